"""Table sources: files of rows to arrivals in `raw.<source>`, as they were received.

What belongs here: which columns the raw table gets, numbering arrivals, and the marker that ends each file.
What does not: finding files (`table_files`), reading them (`table_readers`), and what the rows mean (`shaping.rows`).

The arrivals of a file stand together: its rows in order, rows that could not be read among them or after them, then
a marker `_op='file'` whose `_row` says how many they were. A marker with `_error` says that the file does not count.
A type is chosen from a sample; if a later value does not survive it, `Retyped` is raised and the landing begins anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dagster_project.contracts import INSTANT, INT, TEXT, Column, Table, raw_table
from dagster_project.errors import SourceUnavailable
from dagster_project.landing import table_readers as readers
from dagster_project.landing.row_hash import row_hashes
from dagster_project.landing.table_columns import Wanted, add_columns, common_type, place
from dagster_project.landing.table_files import KnownFile, Scan, SeenFile, Stamp, has_changed, local_copy, look
from dagster_project.landing.table_readers import Broken, Dialect, Field, Mangled, Piece, Unreadable
from dagster_project.sources import TableSource

__all__ = ["KnownFile", "Landing", "Retyped", "Scan", "SeenFile", "Stamp", "arrivals", "look"]

TORN: Final = "it changed while it was read; the next run reads it again"


@dataclass(frozen=True, slots=True)
class _Reading:
    """How one file is to be read: its columns by name in the raw table, and its dialect if it is CSV."""

    file: SeenFile
    names: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    dialect: Dialect | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Landing:
    """What is to be written to `raw.<source>`: its columns first, then the arrivals by `batches`.

    `columns` are the user columns, those that were there and then the `added` ones, with their field ids.
    """

    source: TableSource
    columns: tuple[Column, ...]
    added: tuple[Column, ...]
    table: Table
    plan: _Plan = field(repr=False)
    readings: tuple[_Reading, ...] = field(repr=False)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Give the arrivals in the schema of `table`, sequence ascending without gaps. To be drained once.

        Raises `Retyped` if a new column's values turn out to be of another type: throw away what was written and
        begin anew with its `landing`.
        """
        return _batches(self)


class Retyped(Exception):  # a turn of events, not an error
    """A value did not fit the type its new column had been given; `landing` begins anew with what is known now."""

    def __init__(self, landing: Landing) -> None:
        super().__init__("a column's type was changed; begin anew with the landing of this exception")
        self.landing = landing


def arrivals(
    con: duckdb.DuckDBPyConnection,
    source: TableSource,
    scan: Scan,
    *,
    columns: Sequence[Column] | None,
    first_sequence: int,
    landed_at: datetime,
    last_field_id: int = 0,
    scratch: Path | None = None,
) -> Landing:
    """Return what landing `scan` adds to `raw.<source>`.

    `columns` are the user columns the raw table has, None if there is no such table yet (it decides how field ids
    are given, see `table_columns.add_columns`); `last_field_id` is the highest id it ever gave. `con` must keep
    insertion order, which is DuckDB's default. Memory is bounded by what `con` may hold plus some 16 MB pieces.
    """
    known = tuple(columns or ())
    plan = _Plan(con, source, scan, columns is not None, known, first_sequence, landed_at, last_field_id, scratch)
    return _landing(plan)


@dataclass(frozen=True, slots=True)
class _Plan:
    """All that decides a landing; `text` and `careful` are what earlier attempts have taught."""

    con: duckdb.DuckDBPyConnection
    source: TableSource
    scan: Scan
    is_table: bool
    known: tuple[Column, ...]
    first_sequence: int
    landed_at: datetime
    last_field_id: int
    scratch: Path | None
    text: frozenset[str] = frozenset()
    """New columns that must be text."""
    careful: frozenset[str] = frozenset()
    """CSV files that need the careful reader."""


# --- columns --------------------------------------------------------------------------------------------------------


def _landing(plan: _Plan) -> Landing:
    """Look into every file for its columns, and lay out the raw table."""
    new: dict[str, Wanted] = {}
    readings = []
    for file in plan.scan.arrived:
        present = (*plan.known, *(Column(0, name, want.type, want.header) for name, want in new.items()))
        reading, types = _head(plan, file, present)
        readings.append(reading)
        for name, header, type_ in zip(reading.names, reading.headers, types, strict=True):
            if name not in {column.name for column in plan.known}:
                before = new.get(name, Wanted(header, pa.null()))
                new[name] = Wanted(before.header, _joined(before.type, type_))
    wanted = {name: _decided(plan, name, want) for name, want in new.items()}
    columns = add_columns(plan.known if plan.is_table else None, wanted, plan.last_field_id)
    table = raw_table(plan.source.name, "table", columns)
    return Landing(plan.source, columns, columns[len(plan.known) :], table, plan, tuple(readings))


def _head(plan: _Plan, file: SeenFile, present: Sequence[Column]) -> tuple[_Reading, Sequence[pa.DataType]]:
    """Return how to read a file and the types its own values have; one that cannot be read comes with its error."""
    if file.error:
        return _Reading(file, error=file.error), ()
    try:
        with local_copy(file, plan.scratch) as path:
            wanted, dialect = _wanted(plan.con, file, path)
    except (Unreadable, OSError, SourceUnavailable) as error:
        return _Reading(file, error=str(error)), ()
    headers = tuple(want.header for want in wanted)
    names, _ = place(headers, present)
    return _Reading(file, tuple(names), headers, dialect), [want.type for want in wanted]


def _wanted(con: duckdb.DuckDBPyConnection, file: SeenFile, path: str) -> tuple[list[Wanted], Dialect | None]:
    if file.format == "jsonl":
        return readers.find_json_columns(con, path), None
    if file.format == "parquet":
        return readers.find_parquet_columns(con, path), None
    dialect = readers.sniff_csv(path)
    if dialect is None:
        return [], None
    types = readers.guess_csv(con, path, dialect)
    return [Wanted(*pair) for pair in zip(dialect.headers, types, strict=True)], dialect


def _joined(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """Return the type for the values of two files; null as long as neither has any."""
    return pa.null() if pa.types.is_null(one) and pa.types.is_null(other) else common_type((one, other))


def _decided(plan: _Plan, name: str, want: Wanted) -> Wanted:
    return Wanted(want.header, TEXT) if name in plan.text or pa.types.is_null(want.type) else want


# --- arrivals -------------------------------------------------------------------------------------------------------


def _batches(landing: Landing) -> Iterator[pa.RecordBatch]:
    plan = landing.plan
    sequence = plan.first_sequence
    for reading in landing.readings:
        count, ordinal, error, sha256 = 0, 1, reading.error, reading.file.sha256
        try:
            for piece in () if error else _file_pieces(landing, reading):
                yield _arrived(landing, reading.file, piece, sequence + count, ordinal)
                count += piece.rows
                ordinal += piece.rows if piece.is_numbered else 0
        except (Unreadable, OSError) as failure:
            error = str(failure)
        except SourceUnavailable:
            error, sha256 = TORN, None
        if has_changed(reading.file) and not reading.file.error:
            error, sha256 = TORN, None  # without a hash it counts as changed in the next scan, whatever it is then
        yield _marker(landing, "file", reading.file.path, sequence + count, sha256=sha256, rows=count, error=error)
        sequence += count + 1
    for path in plan.scan.gone:
        yield _marker(landing, "gone", path, sequence)
        sequence += 1


def _file_pieces(landing: Landing, reading: _Reading) -> Iterator[Piece]:
    """Give the pieces of a file; what its reader learns about types or dialect becomes `Retyped`."""
    plan = landing.plan
    try:
        with local_copy(reading.file, plan.scratch) as path:
            yield from _read(landing, reading, path)
    except Broken as broken:
        names = frozenset(landing.columns[ordinal].name for ordinal in broken.fields)
        raise Retyped(_landing(replace(plan, text=plan.text | names))) from broken
    except Mangled as mangled:
        raise Retyped(_landing(replace(plan, careful=plan.careful | {reading.file.path}))) from mangled


def _read(landing: Landing, reading: _Reading, path: str) -> Iterator[Piece]:
    con, fields = landing.plan.con, _fields(landing, reading)
    if reading.file.format == "jsonl":
        return readers.read_jsonl(con, path, fields)
    if reading.file.format == "parquet":
        return readers.read_parquet(con, path, fields)
    if reading.dialect is None:
        return iter(())
    is_careful = reading.file.path in landing.plan.careful
    return (readers.read_csv_carefully if is_careful else readers.read_csv)(con, path, reading.dialect, fields)


def _fields(landing: Landing, reading: _Reading) -> list[Field]:
    ordinals = {column.name: ordinal for ordinal, column in enumerate(landing.columns)}
    new = {column.name for column in landing.added}
    return [
        Field(header, ordinals[name], landing.columns[ordinals[name]].type, name in new)
        for name, header in zip(reading.names, reading.headers, strict=True)
    ]


def _arrived(landing: Landing, file: SeenFile, piece: Piece, sequence: int, ordinal: int) -> pa.RecordBatch:
    """Return the rows of a piece, numbered, with the raw table's columns."""
    rows = piece.rows
    hashes = row_hashes(piece.texts, rows)
    values: Mapping[int, pa.Array[Any]] = piece.values
    ops = _same("put", rows)
    if piece.errors is not None:
        refused = piece.errors.is_valid()
        # Taking row "null" gives null: a refused row has no values of its own, only its payload.
        kept = pc.if_else(refused, pa.scalar(None, INT), pa.array(np.arange(rows)))
        hashes = hashes.take(kept)
        values = {i: column.take(kept) for i, column in values.items()}
        ops = pc.if_else(refused, "refused", "put")
    ours = {
        "sequence": _count(sequence, rows),
        "_op": ops,
        "_file": _same(file.path, rows),
        "_file_sha256": _same(file.sha256, rows),
        "_row": _count(ordinal, rows) if piece.is_numbered else pa.nulls(rows, INT),
        "_row_hash": hashes,
        "_line": _only(piece.lines, piece.errors, rows, INT),
        "_error": _or_nulls(piece.errors, rows),
        "_payload": _or_nulls(piece.payloads, rows),
        "_landed_at": pa.repeat(pa.scalar(landing.plan.landed_at, INSTANT), rows),
    }
    theirs = [values.get(i, _nulls(rows, c.type)) for i, c in enumerate(landing.columns)]
    schema = landing.table.schema
    columns = [
        a if a.type.equals(f.type) else a.cast(f.type) for a, f in zip([*ours.values(), *theirs], schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _marker(
    landing: Landing,
    op: str,
    path: str,
    sequence: int,
    *,
    sha256: str | None = None,
    rows: int | None = None,
    error: str | None = None,
) -> pa.RecordBatch:
    schema = landing.table.schema
    given = {
        "sequence": sequence,
        "_op": op,
        "_file": path,
        "_file_sha256": sha256,
        "_row": rows,
        "_error": error,
        "_landed_at": landing.plan.landed_at,
    }
    return pa.RecordBatch.from_arrays([pa.array([given.get(f.name)], f.type) for f in schema], schema=schema)


def _count(first: int, rows: int) -> pa.Array[Any]:
    return pa.array(np.arange(first, first + rows, dtype=np.int64))


def _same(text: str | None, rows: int) -> pa.Array[Any]:
    return pa.repeat(pa.scalar(text, TEXT), rows)


def _or_nulls(column: pa.Array[Any] | None, rows: int) -> pa.Array[Any]:
    return pa.nulls(rows, TEXT) if column is None else column


def _only(column: pa.Array[Any] | None, errors: pa.Array[Any] | None, rows: int, type_: pa.DataType) -> pa.Array[Any]:
    """Return the column where there is an error, null elsewhere."""
    if column is None or errors is None:
        return _nulls(rows, type_)
    only: pa.Array[Any] = pc.if_else(errors.is_valid(), column, pa.scalar(None, type_))
    return only


def _nulls(rows: int, type_: pa.DataType) -> pa.Array[Any]:
    make: Any = pa.nulls
    nulls: pa.Array[Any] = make(rows, type_)
    return nulls
