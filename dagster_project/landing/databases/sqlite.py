"""SQLite files that are in use, by Python's own driver: a column's type is that of its values, as in `formats.sqlite`.

ADBC's driver takes a column's type from its first rows, and fails where later ones hold another sort of value, which
SQLite allows. A file with a write-ahead log is read as its last commit left it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Final

import pyarrow as pa

from dagster_project.contracts import TEXT
from dagster_project.landing.databases.address import Address
from dagster_project.landing.databases.selected import Selected
from dagster_project.landing.databases.watermark import Watermark
from dagster_project.landing.formats.sqlite import array, column_types, escaped, in_batches
from dagster_project.landing.reading import Head, shown
from dagster_project.landing.table_columns import Wanted
from dagster_project.sql_words import identifier

ERRORS: Final = (sqlite3.Error,)
"""What the driver raises."""
_PATIENCE: Final = 30.0
"""Seconds to wait for a writer."""


def connect(address: Address) -> sqlite3.Connection:
    """Open the file for reading, and hold on to the state it is in."""
    con = sqlite3.connect(
        f"file:{escaped(address.name)}?mode=ro",
        uri=True,
        timeout=_PATIENCE,
        isolation_level=None,
        check_same_thread=False,
    )
    con.text_factory = shown
    con.execute("BEGIN")
    con.execute("SELECT count(*) FROM sqlite_master").fetchone()  # takes the snapshot
    return con


def close(con: sqlite3.Connection) -> None:
    """Close the file."""
    con.close()


def tables(con: sqlite3.Connection) -> list[tuple[tuple[str, ...], str]]:
    """Return the names of tables and views, and each as SQL."""
    found = con.execute(
        "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite!_%' ESCAPE '!'"
    )
    return sorted(((name,), quoted(name)) for (name,) in found)


def quoted(name: str) -> str:
    """Return the name of a column as SQL."""
    return identifier(name)


def columns(con: sqlite3.Connection, rows: str) -> list[str]:
    """Return the names of the columns."""
    return [name for name, *_ in con.execute(f"SELECT * FROM {rows} LIMIT 0").description]


def find(con: sqlite3.Connection, rows: str) -> Head:
    """Return the columns with the types of their values."""
    headers, types = column_types(con, rows)
    read_as = [TEXT if pa.types.is_null(type_) else type_ for type_ in types]
    schema = pa.schema([pa.field(name, type_) for name, type_ in zip(headers, read_as, strict=True)])
    return Head(tuple(Wanted(*pair) for pair in zip(headers, types, strict=True)), Selected(schema))


def batches(con: sqlite3.Connection, rows: str, head: Head) -> Iterator[pa.RecordBatch]:
    """Give the rows."""
    schema: pa.Schema = head.how.schema
    for held in in_batches(con.execute(f"SELECT * FROM {rows}")):
        of_columns = zip(*held, strict=True)
        arrays = [array(column, type_) for column, type_ in zip(of_columns, schema.types, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def greatest(con: sqlite3.Connection, rows: str, column: str) -> Watermark | None:
    """Return the greatest value of a column, of the sort it has there."""
    value: Watermark | None = con.execute(f"SELECT max({identifier(column)}) FROM {rows}").fetchone()[0]
    return value
