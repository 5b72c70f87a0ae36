"""MySQL and MariaDB, by PyMySQL: rows come one by one from the server and are put together here.

Rules: whole numbers, floating ones, decimals of up to 38 digits, days, times of a day and instants (TIMESTAMP) keep
their type; longer decimals and whole numbers beyond 64 bits are text, and what has no character set is bytes. Values
come as the server's text, so that one no calendar has (0000-00-00) is kept as it is. All is read in one read-only
transaction with a consistent snapshot.

There is no ADBC driver. connectorx streams faster, but reads each statement in a transaction of its own, cuts decimals
at ten digits, and ends in a panic of its thread where a connection is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pymysql
from pymysql.constants import FIELD_TYPE, FLAG
from pymysql.converters import encoders
from pymysql.cursors import SSCursor

from dagster_project.contracts import BYTES, INSTANT, INT, TEXT
from dagster_project.landing.databases.address import Address
from dagster_project.landing.databases.selected import Selected
from dagster_project.landing.databases.watermark import Watermark
from dagster_project.landing.reading import BATCH_BYTES, BATCH_ROWS, Head
from dagster_project.landing.table_columns import DATE, DOUBLE, MOST_DIGITS, TIMESTAMP, Wanted

ERRORS: Final = (pymysql.Error, OSError)
"""What the driver raises."""
_PATIENCE: Final = 30
_NO_CHARACTERS: Final = 63
"""The number of the character set `binary`."""
_WHOLE: Final = frozenset(
    (FIELD_TYPE.TINY, FIELD_TYPE.SHORT, FIELD_TYPE.INT24, FIELD_TYPE.LONG, FIELD_TYPE.LONGLONG, FIELD_TYPE.YEAR)
)
_FLOATING: Final = frozenset((FIELD_TYPE.FLOAT, FIELD_TYPE.DOUBLE))
_TIMES: Final = {
    FIELD_TYPE.DATE: DATE,
    FIELD_TYPE.NEWDATE: DATE,
    FIELD_TYPE.DATETIME: TIMESTAMP,
    FIELD_TYPE.TIMESTAMP: INSTANT,
}
_CHARACTERS: Final = frozenset(
    (
        FIELD_TYPE.VARCHAR,
        FIELD_TYPE.VAR_STRING,
        FIELD_TYPE.STRING,
        FIELD_TYPE.TINY_BLOB,
        FIELD_TYPE.BLOB,
        FIELD_TYPE.MEDIUM_BLOB,
        FIELD_TYPE.LONG_BLOB,
        FIELD_TYPE.GEOMETRY,
        FIELD_TYPE.BIT,
    )
)


def connect(address: Address) -> Any:
    """Connect, and begin the transaction that all is read in."""
    options = {name: address.options[name] for name in ("ssl_ca", "ssl_cert", "ssl_key") if name in address.options}
    con = pymysql.connect(
        host=address.host or "localhost",
        port=address.port or 3306,
        user=address.user,
        password=address.password or "",
        database=address.name or None,
        charset="utf8mb4",
        connect_timeout=_PATIENCE,
        conv=dict(encoders),  # and no decoders: values stay the server's text
        cursorclass=SSCursor,
        **options,
    )
    with con.cursor() as cursor:
        for statement in (
            "SET SESSION time_zone = '+00:00'",
            "SET SESSION net_write_timeout = 3600",  # what is read is also compared and written between two reads
            "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
        ):
            cursor.execute(statement)
    return con


def close(con: Any) -> None:
    """End the connection, and with it the transaction, however much of a result is left."""
    con._force_close()  # `close` and `rollback` read what is left to its end first


def tables(con: Any) -> list[tuple[tuple[str, ...], str]]:
    """Return the tables and views of the database by their names, and of others as `database.table`; each as SQL."""
    asked = (
        "SELECT table_schema, table_name, table_schema = database() FROM information_schema.tables "
        "WHERE table_schema NOT IN ('information_schema', 'mysql', 'performance_schema', 'sys')"
    )
    return sorted(
        ((*([name] if is_own == "1" else []), f"{schema}.{name}"), f"{quoted(schema)}.{quoted(name)}")
        for schema, name, is_own in _all(con, asked)
    )


def quoted(name: str) -> str:
    """Return the name of a column as SQL.

    >>> quoted("a`b")
    '`a``b`'
    """
    return "`" + name.replace("`", "``") + "`"


def columns(con: Any, rows: str) -> list[str]:
    """Return the names of the columns."""
    return [want.header for want in find(con, rows).columns]


def find(con: Any, rows: str) -> Head:
    """Return the columns with the types they are kept in; `how` is the schema in which `batches` gives them."""
    with _asked(con, f"SELECT * FROM {rows} LIMIT 0") as cursor:
        fields = cursor._result.fields  # the description in DB-API's form leaves out flags and character set
        types = [_type(own) for own in fields]
        wanted = tuple(Wanted(own.name, type_) for own, type_ in zip(fields, types, strict=True))
    as_text = {DATE, TIMESTAMP, INSTANT}
    given = [TEXT if type_ in as_text or pa.types.is_decimal(type_) else type_ for type_ in types]
    # The text of a FLOAT has six digits; that of the double that it is has all.
    shown = ", ".join(quoted(f.name) + (" + 0e0" if f.type_code == FIELD_TYPE.FLOAT else "") for f in fields)
    schema = pa.schema([pa.field(want.header, type_) for want, type_ in zip(wanted, given, strict=True)])
    return Head(wanted, Selected(schema, shown))


def batches(con: Any, rows: str, head: Head) -> Iterator[pa.RecordBatch]:
    """Give the rows: as many at a time as the last ones say that memory bears."""
    schema: pa.Schema = head.how.schema
    make = [_maker(want.type) for want in head.columns]
    with _asked(con, f"SELECT {head.how.columns} FROM {rows}") as cursor:
        count = BATCH_ROWS[0] // 8
        while held := cursor.fetchmany(count):
            arrays = [make_one(column) for make_one, column in zip(make, zip(*held, strict=True), strict=True)]
            batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
            yield batch
            count = max(1, min(BATCH_ROWS[1], count * 4, len(held) * BATCH_BYTES // max(batch.nbytes, 1)))


def greatest(con: Any, rows: str, column: str) -> Watermark | None:
    """Return the greatest value of a column as text."""
    value: str | None = _all(con, f"SELECT CAST(max({quoted(column)}) AS CHAR) FROM {rows}")[0][0]
    return value


@contextmanager
def _asked(con: Any, statement: str) -> Iterator[Any]:
    """Give a cursor over the rows of a statement. What is left of them is read to its end, if the connection lives."""
    cursor = con.cursor()
    try:
        cursor.execute(statement)
        yield cursor
    finally:
        if con.open:
            cursor.close()
        elif cursor._result is not None:
            cursor._result.unbuffered_active = False  # else it tries to read on when it is thrown away
            cursor.connection = None


def _all(con: Any, asked: str) -> Sequence[tuple[Any, ...]]:
    with _asked(con, asked) as cursor:
        found: Sequence[tuple[Any, ...]] = cursor.fetchall()
        return found


def _type(own: Any) -> pa.DataType:
    if own.type_code in _WHOLE:
        is_too_long = own.type_code == FIELD_TYPE.LONGLONG and own.flags & FLAG.UNSIGNED
        return TEXT if is_too_long else INT
    if own.type_code in _FLOATING:
        return DOUBLE
    if own.type_code == FIELD_TYPE.NEWDECIMAL:
        # What is told is how wide it is written: with a point, and a sign where it may have one.
        digits = own.length - (own.scale > 0) - (0 if own.flags & FLAG.UNSIGNED else 1)
        return pa.decimal128(digits, own.scale) if own.scale <= digits <= MOST_DIGITS else TEXT
    if own.type_code in _CHARACTERS and own.charsetnr == _NO_CHARACTERS:
        return BYTES
    return _TIMES.get(own.type_code, TEXT)


def _maker(type_: pa.DataType) -> Callable[[Sequence[Any]], pa.Array[Any]]:
    """Return what makes a column of values as the server wrote them."""
    if type_ == INT:
        return lambda column: pa.array([None if value is None else int(value) for value in column], INT)
    if type_ == DOUBLE:
        return lambda column: pa.array([None if value is None else float(value) for value in column], DOUBLE)
    if type_ == BYTES:
        return lambda column: pa.array([v.encode() if isinstance(v, str) else v for v in column], BYTES)
    if type_ == TIMESTAMP:
        return lambda column: _without_zeros(_texts(column))
    if type_ == INSTANT:
        return lambda column: pc.binary_join_element_wise(_without_zeros(_texts(column)), "+00", "")
    return _texts


def _texts(column: Sequence[Any]) -> pa.Array[Any]:
    return pa.array([v.decode() if isinstance(v, bytes) else v for v in column], TEXT)


def _without_zeros(times: pa.Array[Any]) -> pa.Array[Any]:
    """Return times without the zeros at the end of their fractions, as DuckDB writes them."""
    shorter: pa.Array[Any] = pc.replace_substring_regex(times, r"(\.[0-9]*[1-9])0+$|\.0+$", r"\1")
    return shorter
