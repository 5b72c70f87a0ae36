"""Rows to files that are ready to be committed: written, synced, their field ids checked, their statistics read.

What belongs here: one table's files. What does not: making them visible (`commit.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date
from types import TracebackType
from typing import Final, Self

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.io.pyarrow import (
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.typedef import Record

from dagster_project.contracts import FIELD_ID, Table, struct_fields
from dagster_project.errors import SchemaMismatch
from dagster_project.lake.parquet import ParquetSink, WrittenFile
from dagster_project.lake.schema import iceberg_schema
from dagster_project.lake.store import Store

_EPOCH: Final = date(1970, 1, 1)
_BATCH_ROWS: Final = 65_536
_HELD_BYTES: Final = 128 * 1024 * 1024
"""Rows that the day partitions may hold together before the fullest is written: else each would hold a row group."""
_OPEN_DAYS: Final = 400
"""Day partitions written at once; more are closed and begun again, at the price of more files."""


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A Parquet file that no table knows yet."""

    identifier: str
    path: str
    rows: int
    bytes: int
    data_file: DataFile


@dataclass(slots=True)
class Stager:
    """Writes one source's rows of one table. Use as a context manager: on an error its files are deleted."""

    lake: Store
    table: Table
    source: str
    threads: int = 1
    _sinks: dict[int | None, ParquetSink] = field(default_factory=dict)
    _staged: list[StagedFile] = field(default_factory=list)

    def write(self, rows: pa.RecordBatch | pa.Table) -> None:
        """Write `rows`, which have the contract's columns by name and order. Raises `SchemaMismatch`."""
        if rows.num_rows == 0:
            return
        day_column = next((part.column for part in self.table.partition if part.transform == "day"), None)
        if day_column is None:
            self._sink(None).write(rows)
            return
        for day, part in _by_day(rows, day_column):
            self._sink(day).write(part)
        while sum(sink.held_bytes for sink in self._sinks.values()) > _HELD_BYTES:
            max(self._sinks.values(), key=lambda sink: sink.held_bytes).flush()

    def _sink(self, day: int | None) -> ParquetSink:
        if day not in self._sinks:
            if len(self._sinks) >= _OPEN_DAYS:
                self._close_sinks()
            self._sinks[day] = ParquetSink(
                self.table.schema,
                lambda: self.lake.new_file(self.table, self.source),
                filesystem=self.lake.arrow_filesystem(),
                threads=self.threads,
            )
        return self._sinks[day]

    def _close_sinks(self) -> None:
        for day, sink in self._sinks.items():
            self._staged.extend(_staged(self.table, self.source, day, file) for file in sink.close())
        self._sinks.clear()

    def close(self) -> tuple[StagedFile, ...]:
        """Finish the files and return them; none if no row was written."""
        self._close_sinks()
        return tuple(self._staged)

    def abort(self) -> None:
        """Delete what was written. Harmless when called twice."""
        for sink in self._sinks.values():
            sink.abort()
        self._sinks.clear()
        discard(self.lake, self._staged)
        self._staged.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.abort()


def stage_query(
    lake: Store, con: duckdb.DuckDBPyConnection, query: str, *, table: Table, source: str
) -> tuple[StagedFile, ...]:
    """Stage the result of `query`, batch by batch, so that memory does not grow with it."""
    with Stager(lake, table, source) as stager:
        for batch in con.execute(query).to_arrow_reader(_BATCH_ROWS):
            stager.write(batch)
        return stager.close()


def stage_together(
    lake: Store, con: duckdb.DuckDBPyConnection, query: str, *, tables: Sequence[Table], source: str
) -> tuple[tuple[StagedFile, ...], ...]:
    """Stage the result of `query` as rows of each of `tables`, which take their columns of it: worked out once."""
    names = [[column.name for column in table.columns] for table in tables]
    with ExitStack() as opened:
        stagers = [opened.enter_context(Stager(lake, table, source)) for table in tables]
        for batch in con.execute(query).to_arrow_reader(_BATCH_ROWS):
            for stager, own in zip(stagers, names, strict=True):
                stager.write(batch.select(own))
        return tuple(stager.close() for stager in stagers)


def discard(lake: Store, staged: Sequence[StagedFile]) -> None:
    """Delete staged files that will not be committed."""
    for file in staged:
        lake.io.delete(file.path)


def _by_day(rows: pa.RecordBatch | pa.Table, column: str) -> Iterator[tuple[int | None, pa.Table]]:
    """Yield the rows of each UTC day since 1970-01-01, in order; None for rows without an instant."""
    table = pa.table(rows) if isinstance(rows, pa.Table) else pa.Table.from_batches([rows])
    days = pc.cast(pc.cast(table[column], pa.date32()), pa.int32())
    ends = pc.min_max(days).as_py()
    if not days.null_count and ends["min"] == ends["max"]:
        yield ends["min"], table
        return
    for day in pc.unique(days).to_pylist():
        mask = pc.is_null(days) if day is None else pc.equal(days, day)
        yield day, table.filter(mask)


def _staged(table: Table, source: str, day: int | None, file: WrittenFile) -> StagedFile:
    check_field_ids(table, file.metadata, file.path)
    schema = iceberg_schema(table.columns)
    statistics = data_file_statistics_from_parquet_metadata(
        parquet_metadata=file.metadata,
        stats_columns=compute_statistics_plan(schema, {}),
        parquet_column_mapping=parquet_path_to_id_mapping(schema),
    )
    values = [source if part.transform == "identity" else day for part in table.partition]
    data_file = DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=file.path,
        file_format=FileFormat.PARQUET,
        partition=Record(*values),
        file_size_in_bytes=file.size,
        sort_order_id=None,
        spec_id=0,
        equality_ids=None,
        key_metadata=None,
        **statistics.to_serialized_dict(),
    )
    return StagedFile(table.identifier, file.path, file.metadata.num_rows, file.size, data_file)


def check_field_ids(table: Table, metadata: pq.FileMetaData, path: str) -> None:
    """Refuse a file whose field ids are not the contract's: Iceberg trusts them, and swaps columns in silence."""
    found = _ids(metadata.schema.to_arrow_schema())
    expected = _ids(table.schema)
    if found != expected:
        wrong = sorted(set(found.items()) ^ set(expected.items()))
        raise SchemaMismatch(f"{path} is not what {table.identifier} takes: {wrong}. It was not committed.")


def _ids(schema: pa.Schema) -> dict[str, str]:
    return {path: id_ for field_ in schema for path, id_ in _field_ids(field_, field_.name)}


def _field_ids(field_: pa.Field, path: str) -> Iterator[tuple[str, str]]:
    """Yield the path and id of a field and of all within it."""
    yield path, (field_.metadata or {}).get(FIELD_ID, b"").decode()
    type_ = field_.type
    inner: list[tuple[str, pa.Field]] = []
    if pa.types.is_list(type_):
        inner = [("element", type_.value_field)]
    elif pa.types.is_map(type_):
        inner = [("key", type_.key_field), ("value", type_.item_field)]
    elif pa.types.is_struct(type_):
        inner = [(field_.name, field_) for field_ in struct_fields(type_)]
    for name, each in inner:
        yield from _field_ids(each, f"{path}.{name}")
