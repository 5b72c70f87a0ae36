"""DuckDB files, by DuckDB itself. Every value keeps the type it has there, where the raw table has that type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import duckdb
import pyarrow as pa

from dagster_project.landing.databases.address import Address
from dagster_project.landing.databases.selected import Selected
from dagster_project.landing.databases.watermark import Watermark
from dagster_project.landing.reading import BATCH_ROWS, Head
from dagster_project.landing.table_columns import Wanted, kept_type
from dagster_project.sql_words import identifier

ERRORS: Final = (duckdb.Error, pa.ArrowException)
"""What the driver raises."""


def connect(address: Address) -> duckdb.DuckDBPyConnection:
    """Open the file for reading; a program that has it open for writing keeps everybody out."""
    con = duckdb.connect(address.name, read_only=True)
    con.execute("SET TimeZone = 'UTC'; BEGIN TRANSACTION")
    return con


def close(con: duckdb.DuckDBPyConnection) -> None:
    """Close the file."""
    con.close()


def tables(con: duckdb.DuckDBPyConnection) -> list[tuple[tuple[str, ...], str]]:
    """Return tables and views as `schema.table`, and the table alone where the schema is `main`; and each as SQL."""
    found = con.execute(
        "SELECT table_schema, table_name FROM information_schema.tables WHERE table_catalog = current_database()"
    ).fetchall()
    return sorted(
        ((f"{schema}.{name}", *([name] if schema == "main" else [])), f"{quoted(schema)}.{quoted(name)}")
        for schema, name in found
    )


def quoted(name: str) -> str:
    """Return the name of a column as SQL."""
    return identifier(name)


def columns(con: duckdb.DuckDBPyConnection, rows: str) -> list[str]:
    """Return the names of the columns."""
    return [want.header for want in find(con, rows).columns]


def find(con: duckdb.DuckDBPyConnection, rows: str) -> Head:
    """Return the columns with the types they are kept in."""
    schema = con.execute(f"SELECT * FROM {rows} LIMIT 0").to_arrow_table().schema
    return Head(tuple(Wanted(own.name, kept_type(own.type)) for own in schema), Selected(schema))


def batches(con: duckdb.DuckDBPyConnection, rows: str, head: Head) -> Iterator[pa.RecordBatch]:  # noqa: ARG001
    """Give the rows."""
    yield from con.execute(f"SELECT * FROM {rows}").to_arrow_reader(BATCH_ROWS[0] * 4)


def greatest(con: duckdb.DuckDBPyConnection, rows: str, column: str) -> Watermark | None:
    """Return the greatest value of a column as text."""
    found = con.execute(f"SELECT CAST(max({identifier(column)}) AS VARCHAR) FROM {rows}").fetchone()
    return found[0] if found else None
