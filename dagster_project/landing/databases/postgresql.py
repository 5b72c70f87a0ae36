"""PostgreSQL, by ADBC: rows come as Arrow from a binary COPY, a few MB at a time.

Rules: numbers, days, instants, booleans, bytes, text and lists of these keep their type, and so does a table's
numeric(p, s) of up to 38 digits; all others come as the text PostgreSQL gives them (a numeric without digits, or of a
query, among them). All is read in one transaction, REPEATABLE READ READ ONLY. What an address leaves out comes from
libpq's variables, as PGUSER and PGPASSWORD.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final

import adbc_driver_manager
import pyarrow as pa
import pyarrow.compute as pc
from adbc_driver_postgresql import dbapi

from dagster_project.landing.databases.address import Address
from dagster_project.landing.databases.selected import Selected
from dagster_project.landing.databases.watermark import Watermark
from dagster_project.landing.reading import BATCH_BYTES, Head
from dagster_project.landing.table_columns import MOST_DIGITS, Wanted, kept_type
from dagster_project.sql_words import identifier, literal

ERRORS: Final = (adbc_driver_manager.Error, pa.ArrowException, OSError)
"""What the driver raises, and what its stream of Arrow does."""
_CALENDAR: Final = {32: (-2_440_588, 10_957), 64: (-210_866_803_200_000_000, 946_684_800_000_000)}
"""By the bits of a value: 24 November 4714 BC in days or microseconds from 1970, and 1 January 2000."""
_BYTES: Final = "adbc.postgresql.batch_size_hint_bytes"
_DECIMAL: Final = re.compile(r"numeric\((\d+),(\d+)\)")
_PATIENCE: Final = 30
"""Seconds to wait for a connection, unless the address says otherwise."""


def connect(address: Address) -> Any:
    """Connect, and begin the transaction that all is read in."""
    text = address.text
    if "connect_timeout" not in address.options:
        text += f"{'&' if '?' in text else '?'}connect_timeout={_PATIENCE}"
    con = dbapi.connect(text)
    with con.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        cursor.execute("SET LOCAL TIME ZONE 'UTC'")
        cursor.execute("SET LOCAL datestyle = 'ISO'")
        cursor.execute("SET LOCAL intervalstyle = 'iso_8601'")
    return con


def close(con: Any) -> None:
    """End the transaction and the connection."""
    con.close()


def tables(con: Any) -> list[tuple[tuple[str, ...], str]]:
    """Return what can be read as `schema.table`, and the table alone where its schema is searched; and each as SQL."""
    asked = """
SELECT n.nspname::text, c.relname::text, n.nspname = ANY (current_schemas(false)) FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_toast%'"""
    return sorted(
        ((f"{schema}.{name}", *([name] if is_searched else [])), f"{quoted(schema)}.{quoted(name)}")
        for schema, name, is_searched in _all(con, asked)
    )


def quoted(name: str) -> str:
    """Return the name of a column as SQL."""
    return identifier(name)


def columns(con: Any, rows: str) -> list[str]:
    """Return the names of the columns."""
    return [own.name for own in _schema(con, f"SELECT * FROM {rows} LIMIT 0")]


def find(con: Any, rows: str) -> Head:
    """Return the columns with the types they are kept in; `how` is the schema in which `batches` gives them."""
    given = _schema(con, f"SELECT * FROM {rows} LIMIT 0")
    schema = _schema(con, f"SELECT {_shown(given)} FROM {rows} LIMIT 0")
    declared = _decimals(con, rows)
    wanted = tuple(Wanted(own.name, declared.get(own.name, kept_type(own.type))) for own in schema)
    return Head(wanted, Selected(schema, _shown(given)))


def _decimals(con: Any, rows: str) -> dict[str, pa.DataType]:
    """Return the types of the columns of a table or view that are declared as numeric(p, s); none for a query.

    Their values come as text, for the driver gives them no other way.
    """
    asked = (
        "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute "
        f"WHERE attrelid = to_regclass({literal(rows)}) AND atttypid = 'numeric'::regtype AND attnum > 0"
    )
    is_query = rows.startswith("(")
    found = {} if is_query else {name: _DECIMAL.fullmatch(told) for name, told in _all(con, asked)}
    digits = {name: (int(told[1]), int(told[2])) for name, told in found.items() if told}
    return {name: pa.decimal128(p, s) for name, (p, s) in digits.items() if s <= p <= MOST_DIGITS}


def batches(con: Any, rows: str, head: Head) -> Iterator[pa.RecordBatch]:
    """Give the rows, as they come."""
    with closing(con.cursor()) as cursor:
        cursor.adbc_statement.set_options(**{_BYTES: str(BATCH_BYTES // 2)})
        cursor.execute(f"SELECT {head.how.columns} FROM {rows}")
        for batch in cursor.fetch_record_batch():
            yield _with_infinities(batch)


def greatest(con: Any, rows: str, column: str) -> Watermark | None:
    """Return the greatest value of a column as text."""
    value: str | None = _all(con, f"SELECT CAST(max({quoted(column)}) AS text) FROM {rows}")[0][0]
    return value


def _with_infinities(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the rows with PostgreSQL's infinite days and instants as DuckDB has them.

    The driver adds the days from 1970 to 2000 to them as to others, so that they wrap around to before 4713 BC, where
    PostgreSQL's calendar begins. Raises `ArrowInvalid` for an instant after the year 294246, which does so too.
    """
    for at, own in enumerate(batch.schema):
        if not (pa.types.is_date(own.type) or pa.types.is_timestamp(own.type)):
            continue
        bits = 32 if pa.types.is_date(own.type) else 64
        column = batch.column(at).view(pa.int32() if bits == 32 else pa.int64())
        least, (begins, shift) = pc.min(column).as_py(), _CALENDAR[bits]
        if least is None or least >= begins:
            continue
        most = (1 << bits - 1) - 1
        wrapped = {-most - 1 + shift - 1: most, -most - 1 + shift: -most}
        values = [wrapped.get(value, value) for value in column.to_pylist()]
        if any(value is not None and -most < value < begins for value in values):
            raise pa.ArrowInvalid(f"column {own.name} holds an instant after the year 294246, which no lake can hold")
        batch = batch.set_column(at, own, pa.array(values, column.type).view(own.type))
    return batch


def _all(con: Any, asked: str) -> list[tuple[Any, ...]]:
    with con.cursor() as cursor:
        cursor.execute(asked)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


def _schema(con: Any, asked: str) -> pa.Schema:
    with con.cursor() as cursor:
        cursor.execute(asked)
        return cursor.fetch_arrow_table().schema


def _shown(schema: pa.Schema) -> str:
    """Return the columns as they are asked for: those of a type that is not kept, as text."""
    return ", ".join(quoted(own.name) + _cast(own.type) for own in schema)


def _cast(type_: pa.DataType) -> str:
    if pa.types.is_list(type_):
        return "" if _is_kept(type_.value_type) else "::text[]"
    return "" if _is_kept(type_) else "::text"


def _is_kept(type_: pa.DataType) -> bool:
    is_kept = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_string, pa.types.is_binary)
    return not isinstance(type_, pa.BaseExtensionType) and (
        any(is_it(type_) for is_it in is_kept) or pa.types.is_date(type_) or pa.types.is_timestamp(type_)
    )
