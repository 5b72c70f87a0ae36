"""Tables of SQLite files: each table is read as a file of its own.

Rules: a column's type is that of its values, for SQLite holds no column to the type it declares: whole numbers,
numbers, bytes, or text where there are several. A file with a write-ahead log beside it is being written, and is
refused.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, Final

import duckdb
import pyarrow as pa

from dagster_project.contracts import BYTES, INT, TEXT
from dagster_project.landing.reading import Field, Head, Piece, Unreadable, shown
from dagster_project.landing.table_columns import DOUBLE, Wanted
from dagster_project.landing.typed import read_batches
from dagster_project.landing.unpacked import Unpacked
from dagster_project.sources import TableSource
from dagster_project.sql_words import identifier

NAME: Final = "sqlite"
SUFFIXES: Final = (".sqlite", ".sqlite3", ".db", ".db3")
EXTRA: Final = None
IS_TEXT: Final = False
INSIDE: Final = "table"

_ROWS: Final = 8_192
_OF_SORTS: Final = {
    frozenset(("integer",)): INT,
    frozenset(("real",)): DOUBLE,
    frozenset(("integer", "real")): DOUBLE,
    frozenset(("blob",)): BYTES,
}


def inside(path: str) -> Sequence[str]:
    """Return the names of the tables. Raises `Unreadable`."""
    with _opened(path) as con:
        found = con.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'"
        )
        return sorted(name for (name,) in found)


def find(con: duckdb.DuckDBPyConnection, file: Unpacked, source: TableSource) -> Head:  # noqa: ARG001
    """Return the columns of the table with the types of their values. Raises `Unreadable`."""
    with _opened(file.path) as database:
        columns, types = column_types(database, identifier(file.inside))
    return Head(tuple(Wanted(*pair) for pair in zip(columns, types, strict=True)))


def read(con: duckdb.DuckDBPyConnection, file: Unpacked, head: Head, fields: Sequence[Field]) -> Iterator[Piece]:
    """Give the rows in order. Raises `Broken` and `Unreadable`."""
    types = [TEXT if pa.types.is_null(want.type) else want.type for want in head.columns]
    schema = pa.schema({f"c{i}": type_ for i, type_ in enumerate(types)})

    def batches() -> Iterator[pa.RecordBatch]:
        with _opened(file.path) as database:
            rows = database.execute(f"SELECT * FROM {identifier(file.inside)}")
            for held in in_batches(rows):
                columns = zip(*held, strict=True)
                arrays = [array(column, type_) for column, type_ in zip(columns, types, strict=True)]
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    yield from read_batches(con, batches(), schema, fields)


def column_types(database: sqlite3.Connection, rows: str) -> tuple[list[str], list[pa.DataType]]:
    """Return the columns of `rows`, SQL that can stand after FROM, and their types; null for one without values."""
    columns = [name for name, *_ in database.execute(f"SELECT * FROM {rows} LIMIT 0").description]
    sorts = ", ".join(f"group_concat(DISTINCT typeof({identifier(name)}))" for name in columns)
    found = database.execute(f"SELECT {sorts} FROM {rows}").fetchone()
    return columns, [_type(frozenset((kinds or "").split(",")) - {"null", ""}) for kinds in found]


def in_batches(rows: sqlite3.Cursor) -> Iterator[list[tuple[Any, ...]]]:
    """Give the rows of a cursor, some at a time."""
    while held := rows.fetchmany(_ROWS):
        yield held


def array(column: Sequence[Any], type_: pa.DataType) -> pa.Array[Any]:
    """Return values as a column; as text what is of another sort than the others."""
    return pa.array([_text(value) for value in column] if type_ == TEXT else column, type_)


def escaped(path: str) -> str:
    """Return a path as it stands in an address of SQLite's."""
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")


@contextmanager
def _opened(path: str) -> Iterator[sqlite3.Connection]:
    log = f"{path}-wal"
    if os.path.exists(log) and os.path.getsize(log):
        raise Unreadable(f"changes to it wait in {os.path.basename(log)}; close what writes it, or checkpoint it")
    try:
        with closing(sqlite3.connect(f"file:{escaped(path)}?immutable=1", uri=True)) as con:
            con.text_factory = shown
            yield con
    except sqlite3.Error as error:
        raise Unreadable(f"it is no SQLite file that can be read: {error}") from error


def _type(sorts: frozenset[str]) -> pa.DataType:
    return _OF_SORTS.get(sorts, TEXT) if sorts else pa.null()


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        return shown(value)
    return value if value is None or isinstance(value, str) else repr(value)
