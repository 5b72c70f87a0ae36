"""Parquet: DuckDB reads it; every value keeps the type it has there, where the raw table has that type."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import duckdb
import pyarrow as pa

from dagster_project.landing.reading import (
    BATCH_ROWS,
    Field,
    Head,
    Piece,
    Unreadable,
    ahead,
    checked,
    cursor_of,
    pieces,
    query,
)
from dagster_project.landing.table_columns import Wanted, kept_type
from dagster_project.landing.typed import typed_value
from dagster_project.landing.unpacked import Unpacked
from dagster_project.sources import TableSource
from dagster_project.sql_words import identifier, literal

NAME: Final = "parquet"
SUFFIXES: Final = (".parquet", ".pq")
EXTRA: Final = None
IS_TEXT: Final = False
INSIDE: Final = None


def find(con: duckdb.DuckDBPyConnection, file: Unpacked, source: TableSource) -> Head:  # noqa: ARG001
    """Return the columns with the types they are kept in. Raises `Unreadable`."""
    cursor = cursor_of(con)
    try:
        schema = cursor.execute(f"SELECT * FROM {_relation(file)} LIMIT 0").to_arrow_table().schema
    except (duckdb.Error, pa.ArrowException) as error:
        raise Unreadable(str(error).splitlines()[0]) from error
    finally:
        cursor.close()
    return Head(tuple(Wanted(field.name, kept_type(field.type)) for field in schema), schema)


def read(con: duckdb.DuckDBPyConnection, file: Unpacked, head: Head, fields: Sequence[Field]) -> Iterator[Piece]:
    """Give the rows in order. Raises `Broken` and `Unreadable`."""
    cursor = cursor_of(con)
    schema: pa.Schema = head.how
    values = [
        typed_value(identifier(own.name), i, own.type, f) for i, (own, f) in enumerate(zip(schema, fields, strict=True))
    ]
    try:
        stream = cursor.execute(query(values, fields, _relation(file))).to_arrow_reader(BATCH_ROWS[0] * 4)
        yield from checked(ahead(stream), fields, pieces)
    except (duckdb.Error, pa.ArrowException) as error:
        raise Unreadable(str(error).splitlines()[0]) from error
    finally:
        cursor.close()


def _relation(file: Unpacked) -> str:
    return f"read_parquet({literal(file.path)}, hive_partitioning=false)"
