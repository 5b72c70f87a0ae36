"""Values, names and types as DuckDB's SQL writes them.

What belongs here: how one word is written, so that no text of a user is ever taken for SQL. What does not: statements.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Final

import pyarrow as pa

from dagster_project.contracts import struct_fields

SQL_TYPES: Final[Mapping[pa.DataType, str]] = {
    pa.string(): "VARCHAR",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.bool_(): "BOOLEAN",
    pa.binary(): "BLOB",
    pa.date32(): "DATE",
    pa.timestamp("us"): "TIMESTAMP",
    pa.timestamp("us", tz="UTC"): "TIMESTAMPTZ",
}
"""DuckDB's name of every type that is not nested and that a column of the lake can have."""

STREAMED_AHEAD: Final = "64MB"
"""What a query may have ready before its batches are taken: with DuckDB's own 1 MB it runs on one thread only, with
32 MB on all; it is a setting of each connection, and a cursor is one."""


def literal(text: str) -> str:
    """Return `text` as a string of SQL.

    >>> literal("it's")
    "'it''s'"
    """
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Return `name` as a quoted identifier of SQL.

    >>> identifier('a "b" c')
    '"a ""b"" c"'
    """
    return '"' + name.replace('"', '""') + '"'


def pointer(*keys: str) -> str:
    """Return the JSON pointer (RFC 6901) to what stands under these keys, each within the one before, as a string.

    >>> pointer("detail", "a-b/c")
    "'/detail/a-b~1c'"
    """
    return literal("".join("/" + key.replace("~", "~0").replace("/", "~1") for key in keys))


def first_given(places: Mapping[str, Sequence[str]]) -> str:
    """Return a column per name: the first value that is there and not empty of those that stand in its `places`.

    The values of all places of all columns stand in the list `f`, in their order.

    >>> first_given({"id": ("/a", "/b"), "actor": (), "path": ("/c",)})
    "coalesce(nullif(f[1], ''), nullif(f[2], '')) AS id, NULL::VARCHAR AS actor, coalesce(nullif(f[3], '')) AS path"
    """
    place = count(1)
    values = {name: [f"nullif(f[{next(place)}], '')" for _ in several] for name, several in places.items()}
    told = {name: f"coalesce({', '.join(each)})" if each else "NULL::VARCHAR" for name, each in values.items()}
    return ", ".join(f"{value} AS {name}" for name, value in told.items())


def sql_type(type_: pa.DataType) -> str:
    """Return DuckDB's name of the type of a column. Raises `KeyError` for a type that no column of the lake has.

    >>> sql_type(pa.list_(pa.struct([("a b", pa.string())]))), sql_type(pa.map_(pa.string(), pa.int64()))
    ('STRUCT("a b" VARCHAR)[]', 'MAP(VARCHAR, BIGINT)')
    """
    if pa.types.is_list(type_):
        return f"{sql_type(type_.value_type)}[]"
    if pa.types.is_map(type_):
        return f"MAP({sql_type(type_.key_type)}, {sql_type(type_.item_type)})"
    if pa.types.is_struct(type_):
        return f"STRUCT({', '.join(f'{identifier(f.name)} {sql_type(f.type)}' for f in struct_fields(type_))})"
    if pa.types.is_decimal(type_):
        return f"DECIMAL({type_.precision}, {type_.scale})"
    return SQL_TYPES[type_]
