"""JSON lines: an object per line; each value keeps the type that JSON gives it, nested ones stay nested.

What belongs here: cutting lines, the structure of a file's values as types, and lines that are no rows. What does not:
cutting documents that are not one per line (`json_documents`).

Rules:

- An object is a struct, an array a list, as deep as they go. An object with more than `MOST_FIELDS` different keys
  whose values are of one type is a map; what is of no single type (a number here, a word there) is its JSON as text.
- A key that is missing and one that is null are the same. A number that its type cannot hold makes its column text.
- A line longer than `LONGEST` is refused with its line: it is never held as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from dagster_project.contracts import BOOL, BYTES, INT, TEXT
from dagster_project.landing.reading import (
    BATCH_BYTES,
    MOST_COLUMNS,
    Field,
    Head,
    Piece,
    Unreadable,
    Value,
    ahead,
    checked,
    cursor_of,
    decodes,
    nested_value,
    over,
    pieces,
    query,
    shown,
    text_value,
)
from dagster_project.landing.table_columns import DOUBLE, Wanted, whole_or_exact
from dagster_project.landing.unpacked import CHUNK, Unpacked
from dagster_project.sources import TableSource
from dagster_project.sql_words import pointer

NAME: Final = "jsonl"
SUFFIXES: Final = (".jsonl", ".ndjson")
EXTRA: Final = None
IS_TEXT: Final = True
INSIDE: Final = None

LINES: Final = 50_000
LONGEST: Final = 64 << 20
"""Bytes of the longest line that is read."""
KEPT: Final = 64 << 10
"""Bytes of a longer one that its payload keeps."""
MOST_FIELDS: Final = 200
CUT_SHORT: Final = -1
"""Stands for the size of a record that is not there: the file ended before it."""
_SCHEMA: Final = pa.schema({"number": INT, "line": TEXT, "raw": BYTES, "size": INT})
_IS_OBJECT: Final = "coalesce(json_type(TRY_CAST(line AS JSON)) = 'OBJECT', false)"
_BOM: Final = b"\xef\xbb\xbf"
_BLANK: Final = b" \t\r\n"

Numbered = tuple[int, bytes, int]
"""A line: its number from 1, its bytes without blanks around them, and how many it has if not all are here, else 0."""


def find(con: duckdb.DuckDBPyConnection, file: Unpacked, source: TableSource) -> Head:  # noqa: ARG001
    """Read a file for its keys, in the order of their first sight, and the types of their values."""
    return Head(find_columns(con, lines_of(file)))


def read(con: duckdb.DuckDBPyConnection, file: Unpacked, head: Head, fields: Sequence[Field]) -> Iterator[Piece]:  # noqa: ARG001
    """Give each line that is not blank: as a row, or refused with its line and text. Raises `Broken`."""
    return read_objects(con, lines_of(file), fields)


def find_columns(con: duckdb.DuckDBPyConnection, lines: Iterator[Numbered]) -> tuple[Wanted, ...]:
    """Return the keys of JSON objects, and the types of their values. Raises `Unreadable`."""
    found: dict[str, Any] = {}
    cursor = cursor_of(con)
    for chunk in ahead(_tables(lines)):
        for key, kind in _structure(cursor, chunk).items():
            found[key] = joined(found[key], kind) if key in found else kind
        if len(found) > MOST_COLUMNS:
            raise Unreadable(
                f"its objects have more than {MOST_COLUMNS} different keys; nest what is data below one key"
            )
    cursor.close()
    return tuple(Wanted(key, arrow_type(kind)) for key, kind in found.items())


def read_objects(con: duckdb.DuckDBPyConnection, lines: Iterator[Numbered], fields: Sequence[Field]) -> Iterator[Piece]:
    """Give each line as a row, or refused with its line and text. Raises `Broken`."""
    values = [_value(i, field) for i, field in enumerate(fields)]
    pointers = ", ".join(pointer(f.header) for f in fields)
    # As many values as keys: then no key stands twice. That is seldom in doubt, and comparing the keys is slow.
    is_doubled = "len(keys) <> list_count(x) AND len(keys) <> len(list_distinct(keys))"
    inner = (
        f"(SELECT *, coalesce({is_doubled}, false) AS is_doubled FROM (SELECT *, "
        f"CASE WHEN is_object THEN json_extract_string(line, [{pointers}]::VARCHAR[]) END AS x, "
        "CASE WHEN is_object THEN json_keys(line) END AS keys "
        f"FROM (SELECT line, number, raw, size, {_IS_OBJECT} AS is_object FROM chunk)))"
    )
    also = "number, raw, line, size, is_object AND NOT is_doubled AS is_row, is_doubled"
    sql = query(values, fields, inner, also)

    def batches() -> Iterator[pa.RecordBatch]:
        for chunk in ahead(_tables(lines)):
            yield from over(con, sql, chunk)

    return checked(batches(), fields, _pieces)


# --- lines ----------------------------------------------------------------------------------------------------------


def lines_of(file: Unpacked) -> Iterator[Numbered]:
    """Give the lines that are not blank. Of one longer than `LONGEST` only the first `KEPT` bytes are held."""
    try:
        with file.open() as handle:
            number, rest, dropped = 1, b"", 0
            while chunk := handle.read(CHUNK):
                *whole, last = chunk.split(b"\n")
                for end in whole:
                    yield from _line(number, rest + end if rest else end, dropped and dropped + len(end))
                    number, rest, dropped = number + 1, b"", 0
                rest = rest + last if not dropped else rest
                if dropped or len(rest) > LONGEST:
                    dropped = (dropped or len(rest) - len(last)) + len(last)
                    rest = rest[:KEPT]
            yield from _line(number, rest, dropped)
    except (OSError, EOFError) as error:
        raise Unreadable(str(error)) from error


def _line(number: int, line: bytes, dropped: int) -> Iterator[Numbered]:
    bare = (line.removeprefix(_BOM) if number == 1 else line).strip(_BLANK)
    if dropped:
        yield number, bare[:KEPT], dropped
    elif bare:
        yield number, bare, 0


def _tables(lines: Iterator[Numbered]) -> Iterator[pa.Table]:
    """Gather lines into tables: `number`, `line` as text or null, `raw` as bytes where it is no text, `size` if cut."""
    held: list[Numbered] = []
    size = 0
    for line in lines:
        held.append(line)
        size += len(line[1])
        if size > BATCH_BYTES or len(held) >= LINES:
            yield _table(held)
            held, size = [], 0
    if held:
        yield _table(held)


def _table(held: list[Numbered]) -> pa.Table:
    numbers, lines, sizes = zip(*held, strict=True)
    raw: pa.Array[Any]
    try:
        if any(sizes):
            raise pa.ArrowInvalid
        # One check for all: single lines are looked at only if there is a bad one among them.
        texts, raw = pa.array(lines, BYTES).cast(TEXT), pa.nulls(len(lines), BYTES)
    except pa.ArrowInvalid:
        fine = [not cut and decodes(line) for line, cut in zip(lines, sizes, strict=True)]
        texts = pa.array([line.decode() if ok else None for line, ok in zip(lines, fine, strict=True)], TEXT)
        raw = pa.array([None if ok else line for line, ok in zip(lines, fine, strict=True)], BYTES)
    return pa.table([pa.array(numbers, INT), texts, raw, pa.array(sizes, INT)], schema=_SCHEMA)


# --- types ----------------------------------------------------------------------------------------------------------

_SCALARS: Final[Mapping[str, pa.DataType]] = {
    "UBIGINT": INT,
    "BIGINT": INT,
    "HUGEINT": INT,
    "DOUBLE": DOUBLE,
    "BOOLEAN": BOOL,
    "VARCHAR": TEXT,
}
_MIXED: Final = "JSON"


def _structure(cursor: duckdb.DuckDBPyConnection, chunk: pa.Table) -> dict[str, Any]:
    cursor.register("chunk", chunk)
    row = cursor.execute(
        "SELECT json_group_structure(object) FROM (SELECT TRY_CAST(line AS JSON) AS object FROM chunk) "
        "WHERE json_type(object) = 'OBJECT'"
    ).fetchone()
    found = json.loads(row[0]) if row and row[0] else None
    return found if isinstance(found, dict) else {}


def joined(one: Any, other: Any) -> Any:
    """Return the structure that holds the values of two, as DuckDB's `json_structure` writes them.

    >>> joined({"a": "UBIGINT"}, {"a": "DOUBLE", "b": ["NULL"]}), joined("VARCHAR", "UBIGINT")
    ({'a': 'DOUBLE', 'b': ['NULL']}, 'JSON')
    """
    if one == other or other == "NULL":
        return one
    if one == "NULL":
        return other
    if isinstance(one, dict) and isinstance(other, dict):
        shared = {key: joined(one[key], other[key]) if key in one else kind for key, kind in other.items()}
        return one | shared
    if isinstance(one, list) and isinstance(other, list):
        return [joined(one[0], other[0])]
    types = {_SCALARS.get(kind) if isinstance(kind, str) else None for kind in (one, other)}
    if types == {INT}:
        return "BIGINT"
    return "DOUBLE" if types == {INT, DOUBLE} else _MIXED


def arrow_type(kind: Any) -> pa.DataType:
    """Return the type of a column for values of this structure: text where a part of it is of no single type.

    >>> arrow_type({"a": ["UBIGINT"], "b": {"c": "NULL"}})
    StructType(struct<a: list<item: int64>, b: struct<c: string>>)
    """
    return pa.null() if kind == "NULL" else _inner(kind) or TEXT


def _inner(kind: Any) -> pa.DataType | None:
    """Return the type of a value within another; None if it has no single one."""
    if isinstance(kind, list):
        element = _inner(kind[0])
        return pa.list_(element) if element is not None else None
    if isinstance(kind, dict):
        types = {key: _inner(value) for key, value in kind.items()}
        return _map(kind) if len(types) > MOST_FIELDS else _struct(types)
    return TEXT if kind == "NULL" else _SCALARS.get(kind)


def _struct(types: Mapping[str, pa.DataType | None]) -> pa.DataType | None:
    is_legal = len({key.casefold() for key in types}) == len(types) and all(key and "." not in key for key in types)
    fields = [pa.field(key, type_) for key, type_ in types.items() if type_ is not None]
    return pa.struct(fields) if types and is_legal and len(fields) == len(types) else None


def _map(kinds: Mapping[str, Any]) -> pa.DataType | None:
    of_all: Any = "NULL"
    for kind in kinds.values():
        of_all = joined(of_all, kind)
    value = _inner(of_all)
    return pa.map_(TEXT, value) if value is not None else None


# --- rows -----------------------------------------------------------------------------------------------------------


def _value(index: int, field: Field) -> Value:
    text, inner = f"t{index}", f"x[{index + 1}]"
    if field.ordinal is not None and field.type == DOUBLE:
        value = f"TRY_CAST({text} AS DOUBLE)"
        return Value(f"{inner} AS {text}", text, value, f"coalesce({whole_or_exact(text)}, false)")
    if field.ordinal is not None and pa.types.is_nested(field.type):
        return nested_value(f"{inner} AS {text}", text, field.type)
    return text_value(inner, index, field)


def _pieces(batch: pa.RecordBatch, fields: Sequence[Field]) -> Iterator[Piece]:
    """Tell rows from lines that are none; a batch without such lines passes as it is."""
    is_row = batch.column("is_row")
    if pc.all(is_row).as_py():
        return pieces(batch, fields, lines=_numbers)
    reasons = [
        None if row["is_row"] else _line_error(row)
        for row in batch.select(["is_row", "number", "line", "is_doubled", "size"]).to_pylist()
    ]
    payloads = [
        None if fine else shown(raw if raw is not None else str(line).encode())
        for fine, raw, line in zip(
            is_row.to_pylist(), batch.column("raw").to_pylist(), batch.column("line").to_pylist(), strict=True
        )
    ]
    return pieces(batch, fields, lines=_numbers, reasons=reasons, payloads=payloads)


def _numbers(batch: pa.RecordBatch, rows: Sequence[int]) -> list[int]:
    return [batch.column("number")[row].as_py() for row in rows]


def _line_error(row: Mapping[str, Any]) -> str:
    where = f"line {row['number']}: "
    if row["size"] == CUT_SHORT:
        return where + "the file ends within an array or object"
    if row["size"]:
        most = f"more than {LONGEST:,}; the payload holds the first {KEPT:,}"
        return where + f"a value of at least {row['size']:,} bytes, {most}"
    if row["line"] is None:
        return where + "no UTF-8 text"
    if row["is_doubled"]:
        return where + "a key of the object stands twice"
    try:
        value = json.loads(row["line"])
    except (ValueError, RecursionError) as error:
        return where + f"no JSON: {error}"
    return where + (
        "its text holds half of a character (a lone surrogate)" if isinstance(value, dict) else "no JSON object"
    )
