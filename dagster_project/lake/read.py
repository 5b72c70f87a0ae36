"""A pin as a DuckDB relation, read by field id, so that added and renamed columns come out right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dagster_project.contracts import Column
from dagster_project.lake.pins import Pin
from dagster_project.sql_words import identifier, literal, sql_type

if TYPE_CHECKING:
    from dagster_project.lake.store import Store

_STEP: Final = 256


def relation(pin: Pin, files: Sequence[str] | None = None) -> str:
    """Return SQL that can stand after FROM and gives the rows of `pin`, or of some of its files, in contract order."""
    return scan(pin.table.columns, pin.files if files is None else files)


def scan(columns: Sequence[Column], files: Sequence[str], *, with_path: bool = False) -> str:
    """Return SQL that can stand after FROM and gives `columns` of these Parquet files: typed, empty without files.

    `with_path` adds a column `filename`, if there are files.
    """
    if not files:
        return f"({_empty(columns)})"
    listed = ", ".join(map(literal, files))
    fields = ", ".join(
        f"{column.field_id}: {{name: {literal(column.name)}, type: {literal(sql_type(column.type))}, "
        "default_value: NULL}"
        for column in columns
    )
    # Hive partitioning is off: a folder called `source=x` must not stand in for what the file itself says.
    path = ", filename = true" if with_path else ""
    return f"read_parquet([{listed}], schema = MAP {{{fields}}}, hive_partitioning = false{path})"


def _empty(columns: Sequence[Column]) -> str:
    nulls = ", ".join(f"CAST(NULL AS {sql_type(column.type)}) AS {identifier(column.name)}" for column in columns)
    return f"SELECT {nulls} WHERE false"


def batches(
    store: Store, files: Sequence[str], *, columns: Sequence[str], after: int, to: int
) -> Iterator[pa.RecordBatch]:
    """Yield rows of a raw table's `files` with `after` < sequence <= `to`, in order, one row group in memory at a time.

    DuckDB hands out at least 2,048 rows at once, whatever they weigh; files of 64 MB each need smaller steps.
    """
    for file in files:
        with store.io.new_input(file).open() as stream:
            parquet = pq.ParquetFile(stream)
            for group in _groups_within(parquet, after, to):
                for batch in parquet.iter_batches(_STEP, row_groups=[group], columns=list(columns)):
                    sequence = batch.column("sequence")
                    wanted = batch.filter(pc.and_(pc.greater(sequence, after), pc.less_equal(sequence, to)))
                    if wanted.num_rows:
                        yield wanted


def _groups_within(parquet: pq.ParquetFile, after: int, to: int) -> Iterator[int]:
    index = parquet.schema_arrow.get_field_index("sequence")
    for group in range(parquet.metadata.num_row_groups):
        statistics = parquet.metadata.row_group(group).column(index).statistics
        if statistics is None or not statistics.has_min_max or (statistics.max > after and statistics.min <= to):
            yield group
