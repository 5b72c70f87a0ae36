"""Readers of table files: CSV, JSON lines and Parquet to pieces of rows, each value as text and in its column's type.

What belongs here: dialects, lines, casts that are checked value by value, and what could not be read, with line and
reason. What does not: which columns the raw table has (`table_columns`) and how arrivals are numbered (`tables`).

A value is typed only where its text survives the type; JSON and Parquet values keep the type they have there.
"""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, BinaryIO, Final, TypeVar

import duckdb
import pyarrow as pa

from dagster_project.contracts import BOOL, BYTES, INSTANT, INT, TEXT
from dagster_project.landing.table_columns import (
    DOUBLE,
    GUESSED,
    SQL_TYPES,
    TIMESTAMP,
    Wanted,
    common_type,
    literal,
    quoted,
    sql_type,
    survives,
)

BATCH_BYTES: Final = 16 << 20
"""What a piece holds, about; a few are under way at once."""
BATCH_ROWS: Final = (2_048, 65_536)
LINES: Final = 50_000
SAMPLE_ROWS: Final = 5_000
"""Rows of a CSV file that decide its columns' types at first; a later value that does not fit decides anew."""
SAMPLE_BYTES: Final = 1 << 20
MOST_COLUMNS: Final = 2_000
LONGEST_LINE: Final = 16 << 20
"""Longer CSV records are refused, so that one missing quote does not fill memory."""
DELIMITERS: Final = ",\t;|"
LONGEST_SHOWN: Final = 80
_LINE_TYPES: Final[Mapping[str, pa.DataType]] = {"number": INT, "line": TEXT, "raw": BYTES}
_LINES: Final = pa.schema(_LINE_TYPES)
_BOM: Final = b"\xef\xbb\xbf"
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
_BIGGEST_EXACT: Final = 1 << 53
"""Whole numbers beyond it are not all doubles."""

T = TypeVar("T")


class Unreadable(Exception):  # caught here, never shown
    """A file that cannot be read as its format at all; the message says why."""


class Broken(Exception):  # caught here, never shown
    """Values of new columns do not fit the types the sample gave them; `fields` are the columns' ordinals."""

    def __init__(self, fields: frozenset[int]) -> None:
        super().__init__(f"columns {sorted(fields)} hold values of other types")
        self.fields = fields


class Mangled(Exception):  # caught here, never shown
    """DuckDB's reader lost its way in a CSV file; the careful reader has to read it."""


@dataclass(frozen=True, slots=True)
class Field:
    """A column of a file: its header, and where it goes: ordinal and type in the raw table; `is_new` there."""

    header: str
    ordinal: int
    type: pa.DataType
    is_new: bool


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows in file order. `texts` by ordinal of the column; `values` too. A row with an error is refused.

    `is_numbered` is false for rows whose place among the others is not known.
    """

    rows: int
    texts: Mapping[int, pa.Array[Any]] = field(default_factory=dict)
    values: Mapping[int, pa.Array[Any]] = field(default_factory=dict)
    errors: pa.Array[Any] | None = None
    lines: pa.Array[Any] | None = None
    payloads: pa.Array[Any] | None = None
    is_numbered: bool = True


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a CSV file is written: quotes are always doubled double quotes."""

    delimiter: str
    headers: tuple[str, ...]
    bytes_per_row: int


@dataclass(frozen=True, slots=True)
class _Value:
    """SQL of one column: what the inner query selects, then its text, and value and check if it has a type."""

    inner: str
    text: str
    value: str | None = None
    holds: str | None = None


# --- CSV ------------------------------------------------------------------------------------------------------------


def sniff_csv(path: str) -> Dialect | None:
    """Return the dialect: the delimiter that cuts most records into as many cells as the header; None if empty.

    The first record is the header, always. Raises `Unreadable` for UTF-16 and for what is no text.
    """
    with _binary(path) as handle:
        sample = handle.read(SAMPLE_BYTES)
    if not sample.removeprefix(_BOM).strip():
        return None
    if sample[:2] in _UTF16 or b"\x00" in sample[:4096]:
        raise Unreadable("it is no UTF-8 text; save it as CSV in UTF-8")
    text = sample.removeprefix(_BOM).decode("utf-8", "replace")
    readings = {mark: _records(text, mark, is_whole=len(sample) < SAMPLE_BYTES) for mark in DELIMITERS}
    best = max(DELIMITERS, key=lambda mark: (_fit(readings[mark]), -DELIMITERS.index(mark)))
    records = readings[best]
    width = len(text.encode()) // max(1, len(records))
    if not records or len(records[0]) > MOST_COLUMNS:
        raise Unreadable(f"it has no header of at most {MOST_COLUMNS} columns")
    return Dialect(best, tuple(cell.strip() for cell in records[0]), max(1, width))


def guess_csv(con: duckdb.DuckDBPyConnection, path: str, dialect: Dialect) -> list[pa.DataType]:
    """Return for each column the first type every text of the sample survives, else text; null if it has none."""
    columns = [f"c{i}" for i in range(len(dialect.headers))]
    tries = [f"bool_and({survives(c, t)}) FILTER ({c} IS NOT NULL)" for c in columns for t in GUESSED]
    sample = f"(SELECT * FROM {_read_csv(path, dialect, 'ignore_errors=true')} LIMIT {SAMPLE_ROWS})"
    try:
        found = _cursor(con).execute(f"SELECT {', '.join(tries)} FROM {sample}").fetchone()
    except duckdb.Error:
        return [TEXT] * len(columns)
    found = found or ()
    groups = [found[i : i + len(GUESSED)] for i in range(0, len(found), len(GUESSED))]
    return [_first_fit(group) for group in groups]


def read_csv(con: duckdb.DuckDBPyConnection, path: str, dialect: Dialect, fields: Sequence[Field]) -> Iterator[Piece]:
    """Give the rows of a CSV file in order, then those DuckDB's reader refused. Raises `Broken` and `Mangled`."""
    cursor = _cursor(con)
    rows = min(max(BATCH_BYTES // dialect.bytes_per_row, BATCH_ROWS[0]), BATCH_ROWS[1])
    relation = _read_csv(path, dialect, "store_rejects=true, rejects_limit=0")
    try:
        stream = cursor.execute(_query(_csv_values(fields), relation)).to_arrow_reader(rows)
        yield from _checked(ahead(stream), fields, _pieces)
        if refused := _rejects(cursor, path):
            yield refused
    except (duckdb.Error, pa.ArrowException) as error:
        raise Mangled(str(error)) from error
    finally:
        cursor.close()


def read_csv_carefully(
    con: duckdb.DuckDBPyConnection, path: str, dialect: Dialect, fields: Sequence[Field]
) -> Iterator[Piece]:
    """Do the same with Python's reader: ten times slower, for mixed line ends and what else misleads the fast one."""
    csv.field_size_limit(LONGEST_LINE)
    with _binary(path) as handle:
        text = io.TextIOWrapper(handle, "utf-8-sig", "surrogateescape", newline="")
        reader = csv.reader(text, delimiter=dialect.delimiter)
        try:
            next(reader, None)
            while chunk := list(islice(_numbered(reader), BATCH_ROWS[0])):
                yield from _careful_pieces(con, chunk, fields)
        except csv.Error as error:
            raise Unreadable(f"line {reader.line_num}: {error}") from error


def _first_fit(fits: Sequence[bool | None]) -> pa.DataType:
    if fits[0] is None:
        return pa.null()
    for type_, fit in zip(GUESSED, fits, strict=True):
        if fit:
            return type_
    return TEXT


def _records(text: str, delimiter: str, *, is_whole: bool) -> list[list[str]]:
    records: list[list[str]] = []
    with suppress(csv.Error):
        records.extend(row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row)
    return records if is_whole or len(records) < 2 else records[:-1]


def _fit(records: Sequence[Sequence[str]]) -> tuple[bool, float, int]:
    """Judge a reading: whether there is more than a cell, how many records agree with the header, its cells."""
    if not records:
        return False, 0.0, 0
    width = len(records[0])
    agreeing = sum(len(record) == width for record in records) / len(records)
    return width > 1, round(agreeing, 1), width


def _read_csv(path: str, dialect: Dialect, options: str) -> str:
    columns = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(len(dialect.headers)))
    return (
        f"read_csv({literal(path)}, auto_detect=false, header=true, delim={literal(dialect.delimiter)}, quote='\"', "
        f"escape='\"', allow_quoted_nulls=false, max_line_size={LONGEST_LINE}, buffer_size={2 * LONGEST_LINE}, "
        f"columns={{{columns}}}, {options})"
    )


def _csv_values(fields: Sequence[Field]) -> list[_Value]:
    return [_typed_text(f"c{i}", i, field.type) for i, field in enumerate(fields)]


def _rejects(cursor: duckdb.DuckDBPyConnection, path: str) -> Piece | None:
    """Return the records the reader refused, once each, in file order; its tables are emptied."""
    found = cursor.execute(
        "SELECT line_byte_position, first(error_message ORDER BY column_idx), first(csv_line) FROM reject_errors "
        "GROUP BY line_byte_position ORDER BY line_byte_position"
    ).fetchall()
    cursor.execute("DROP TABLE reject_errors; DROP TABLE reject_scans")
    if not found:
        return None
    positions, errors, payloads = zip(*found, strict=True)
    lines = _line_numbers(path, positions)
    reasons = [f"line {line}: {error.splitlines()[0]}" for line, error in zip(lines, errors, strict=True)]
    return Piece(
        len(found), errors=_texts(reasons), lines=pa.array(lines, INT), payloads=_texts(payloads), is_numbered=False
    )


def _line_numbers(path: str, positions: Sequence[int]) -> list[int]:
    """Return the line (from 1) of each byte (from 1, ascending): DuckDB's own count takes a record for a line."""
    lines, line, at = [], 1, 0
    with _binary(path) as handle:
        for position in positions:
            while at < position - 1 and (chunk := handle.read(min(SAMPLE_BYTES, position - 1 - at))):
                line += chunk.count(b"\n")
                at += len(chunk)
            lines.append(line)
    return lines


def _numbered(reader: Any) -> Iterator[tuple[int, list[str]]]:
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        yield line, row


def _careful_pieces(
    con: duckdb.DuckDBPyConnection, chunk: list[tuple[int, list[str]]], fields: Sequence[Field]
) -> Iterator[Piece]:
    width = len(fields)
    rows = [(line, row or [""] * (width == 1)) for line, row in chunk]
    rows = [(line, row) for line, row in rows if row]
    good = [row for _, row in rows if len(row) == width and all(map(_is_utf8, row))]
    if good:
        table = pa.table({f"c{i}": _texts([row[i] or None for row in good]) for i in range(width)})
        yield from _checked(_over(con, _csv_values(fields), table), fields, _pieces)
    bad = [(line, row) for line, row in rows if len(row) != width or not all(map(_is_utf8, row))]
    if bad:
        errors = [
            f"line {line}: {len(row)} cells, the header has {width}" if len(row) != width else f"line {line}: no UTF-8"
            for line, row in bad
        ]
        payloads = [json.dumps([_shown(cell.encode("utf-8", "surrogateescape")) for cell in row]) for _, row in bad]
        lines = pa.array([line for line, _ in bad], INT)
        yield Piece(len(bad), errors=_texts(errors), lines=lines, payloads=_texts(payloads), is_numbered=False)


# --- JSON lines -----------------------------------------------------------------------------------------------------


def find_json_columns(con: duckdb.DuckDBPyConnection, path: str) -> list[Wanted]:
    """Read a file of JSON lines for its keys, in the order of their first sight, and the types of their values."""
    found: dict[str, set[pa.DataType]] = {}
    cursor = _cursor(con)
    for chunk in ahead(_line_tables(path)):
        for key, kind in _structure(cursor, chunk).items():
            found.setdefault(key, set()).add(_json_type(kind))
        if len(found) > MOST_COLUMNS:
            raise Unreadable(
                f"its objects have more than {MOST_COLUMNS} different keys; nest what is data below one key"
            )
    cursor.close()
    return [Wanted(key, _settled(types)) for key, types in found.items()]


def read_jsonl(con: duckdb.DuckDBPyConnection, path: str, fields: Sequence[Field]) -> Iterator[Piece]:
    """Give each line that is not blank: as a row, or refused with its line and text. Raises `Broken`."""
    values = [_json_value(i, field) for i, field in enumerate(fields)]
    pointers = ", ".join(literal("/" + f.header.replace("~", "~0").replace("/", "~1")) for f in fields)
    keys = "CASE WHEN is_object THEN json_keys(line) END"
    inner = (
        f"SELECT *, CASE WHEN is_object THEN json_extract_string(line, [{pointers}]::VARCHAR[]) END AS x, "
        f"coalesce(len({keys}) <> len(list_distinct({keys})), false) AS is_doubled "
        "FROM (SELECT *, CASE WHEN json_valid(line) THEN json_type(line) = 'OBJECT' ELSE false END AS is_object "
        "FROM (SELECT line, number, raw FROM chunk))"
    )

    def batches() -> Iterator[pa.RecordBatch]:
        for chunk in ahead(_line_tables(path)):
            yield from _over(
                con, values, chunk, inner, "number, raw, line, is_object AND NOT is_doubled AS is_row, is_doubled"
            )

    return _checked(batches(), fields, _json_pieces)


def _line_tables(path: str) -> Iterator[pa.Table]:
    """Cut a file into tables of lines: `number` from 1, `line` as text or null, `raw` as bytes where it is no text."""
    schema = _LINES
    held: list[tuple[int, bytes]] = []
    size = 0
    try:
        with _binary(path) as handle:
            for number, line in enumerate(handle, start=1):
                bare = (line.removeprefix(_BOM) if number == 1 else line).strip(b" \t\r\n")
                if bare:
                    held.append((number, bare))
                    size += len(bare)
                if size > BATCH_BYTES or len(held) >= LINES:
                    yield _line_table(held, schema)
                    held, size = [], 0
    except (OSError, EOFError) as error:
        raise Unreadable(str(error)) from error
    if held:
        yield _line_table(held, schema)


def _line_table(held: list[tuple[int, bytes]], schema: pa.Schema) -> pa.Table:
    numbers, lines = zip(*held, strict=True)
    try:
        # One check for all: single lines are looked at only if there is a bad one among them.
        texts, raw = pa.array(lines, BYTES).cast(TEXT), pa.nulls(len(lines), BYTES)
    except pa.ArrowInvalid:
        fine = [_decodes(line) for line in lines]
        texts = pa.array([line.decode() if ok else None for line, ok in zip(lines, fine, strict=True)], TEXT)
        raw = pa.array([None if ok else line for line, ok in zip(lines, fine, strict=True)], BYTES)
    return pa.table([pa.array(numbers, INT), texts, raw], schema=schema)


def _structure(cursor: duckdb.DuckDBPyConnection, chunk: pa.Table) -> dict[str, Any]:
    cursor.register("chunk", chunk)
    row = cursor.execute(
        "SELECT json_group_structure(CASE WHEN json_valid(line) THEN CASE WHEN json_type(line) = 'OBJECT' "
        "THEN CAST(line AS JSON) END END) FROM chunk"
    ).fetchone()
    found = json.loads(row[0]) if row and row[0] else None
    return found if isinstance(found, dict) else {}


def _json_type(kind: Any) -> pa.DataType:
    scalars: Mapping[str, pa.DataType] = {
        "UBIGINT": INT,
        "BIGINT": INT,
        "DOUBLE": DOUBLE,
        "BOOLEAN": BOOL,
        "NULL": pa.null(),
    }
    if isinstance(kind, list) and len(kind) == 1 and isinstance(kind[0], str) and kind[0] != "JSON":
        return pa.list_(scalars.get(kind[0], TEXT))
    return scalars.get(kind, TEXT) if isinstance(kind, str) else TEXT


def _settled(types: set[pa.DataType]) -> pa.DataType:
    """Return the one type of a key's values over all pieces of a file."""
    found = types - {pa.null()}
    if found and all(pa.types.is_list(t) for t in found):
        elements = {_element(t) for t in found} - {pa.null()}
        return pa.list_(next(iter(elements), TEXT)) if len(elements) < 2 else TEXT
    return common_type(found) if found else pa.null()


def _element(type_: Any) -> pa.DataType:
    element: pa.DataType = type_.value_type
    return element


def _json_value(index: int, field: Field) -> _Value:
    text = f"t{index}"
    inner = f"x[{index + 1}] AS {text}"
    if pa.types.is_list(field.type):
        name = sql_type(field.type)
        value = f"CASE WHEN json_valid({text}) THEN TRY_CAST(CAST({text} AS JSON) AS {name}) END"
        return _Value(inner, text, value, f"(CAST(to_json({value}) AS VARCHAR) IS NOT DISTINCT FROM {text})")
    if field.type == DOUBLE:
        value = f"TRY_CAST({text} AS DOUBLE)"
        whole = f"regexp_full_match({text}, '-?[0-9]+') AND abs({value}) >= {_BIGGEST_EXACT}"
        return _Value(inner, text, value, f"coalesce(isfinite({value}) AND NOT ({whole}), false)")
    return _typed_text(inner, index, field.type, is_named=True)


def _json_pieces(batch: pa.RecordBatch, fields: Sequence[Field]) -> Iterator[Piece]:
    """Tell rows from lines that are none; a batch without such lines passes as it is."""
    is_row = batch.column("is_row")
    if all(is_row.to_pylist()):
        return _pieces(batch, fields, lines=batch.column("number"))
    reasons = [
        None if row["is_row"] else _line_error(row)
        for row in batch.select(["is_row", "number", "line", "raw", "is_doubled"]).to_pylist()
    ]
    payloads = [
        None if fine else _shown(raw if raw is not None else str(line).encode())
        for fine, raw, line in zip(
            is_row.to_pylist(), batch.column("raw").to_pylist(), batch.column("line").to_pylist(), strict=True
        )
    ]
    return _pieces(batch, fields, lines=batch.column("number"), reasons=reasons, payloads=payloads)


def _line_error(row: Mapping[str, Any]) -> str:
    where = f"line {row['number']}: "
    if row["line"] is None:
        return where + "no UTF-8 text"
    if row["is_doubled"]:
        return where + "a key of the object stands twice"
    try:
        value = json.loads(row["line"])
    except ValueError as error:
        return where + f"no JSON: {error}"
    return where + (
        "its text holds half of a character (a lone surrogate)" if isinstance(value, dict) else "no JSON object"
    )


# --- Parquet --------------------------------------------------------------------------------------------------------


def find_parquet_columns(con: duckdb.DuckDBPyConnection, path: str) -> list[Wanted]:
    """Return the columns of a Parquet file with the types they are kept in. Raises `Unreadable`."""
    try:
        described = _cursor(con).execute(f"DESCRIBE SELECT * FROM {_read_parquet(path)}").fetchall()
    except duckdb.Error as error:
        raise Unreadable(str(error).splitlines()[0]) from error
    return [Wanted(name, _kept_type(kind)) for name, kind, *_ in described]


def read_parquet(con: duckdb.DuckDBPyConnection, path: str, fields: Sequence[Field]) -> Iterator[Piece]:
    """Give the rows of a Parquet file in order. Raises `Broken` and `Unreadable`."""
    cursor = _cursor(con)
    try:
        names = cursor.execute(f"DESCRIBE SELECT * FROM {_read_parquet(path)}").fetchall()
        values = [
            _parquet_value(i, name, kind, f.type)
            for i, ((name, kind, *_), f) in enumerate(zip(names, fields, strict=True))
        ]
        stream = cursor.execute(_query(values, _read_parquet(path))).to_arrow_reader(BATCH_ROWS[0] * 4)
        yield from _checked(ahead(stream), fields, _pieces)
    except (duckdb.Error, pa.ArrowException) as error:
        raise Unreadable(str(error).splitlines()[0]) from error
    finally:
        cursor.close()


def _read_parquet(path: str) -> str:
    return f"read_parquet({literal(path)}, hive_partitioning=false)"


_KEPT: Final[Mapping[str, pa.DataType]] = {name: type_ for type_, name in SQL_TYPES.items()} | {
    "TINYINT": INT,
    "SMALLINT": INT,
    "INTEGER": INT,
    "UTINYINT": INT,
    "USMALLINT": INT,
    "UINTEGER": INT,
    "FLOAT": DOUBLE,
    "TIMESTAMP WITH TIME ZONE": INSTANT,
    "TIMESTAMP_S": TIMESTAMP,
    "TIMESTAMP_MS": TIMESTAMP,
}
_IN_LISTS: Final = (TEXT, INT, DOUBLE, BOOL)


def _kept_type(kind: str) -> pa.DataType:
    """Return the type a DuckDB type is kept in: itself if the raw table has it, else text."""
    if kind.endswith("[]"):
        element = _KEPT.get(kind[:-2])
        return pa.list_(element) if element in _IN_LISTS else TEXT
    return _KEPT.get(kind, TEXT)


def _parquet_value(index: int, name: str, kind: str, type_: pa.DataType) -> _Value:
    own, text = f"n{index}", f"t{index}"
    is_nested = any(mark in kind for mark in ("[", "STRUCT", "MAP", "UNION"))
    shown = f"CAST(to_json({quoted(name)}) AS VARCHAR)" if is_nested else f"CAST({quoted(name)} AS VARCHAR)"
    inner = f"{quoted(name)} AS {own}, {shown} AS {text}"
    if type_ == TEXT or _kept_type(kind) != type_:
        return _typed_text(inner, index, type_, is_named=True)
    return _Value(inner, text, f"CAST({own} AS {sql_type(type_)})", "true")


# --- shared ---------------------------------------------------------------------------------------------------------


def ahead(items: Iterator[T], waiting: int = 2) -> Iterator[T]:
    """Take items in a thread of their own, a few ahead, so that reading and what follows overlap."""
    ready: queue.Queue[tuple[str, Any]] = queue.Queue(waiting)
    stop = threading.Event()

    def put(kind: str, item: Any) -> None:
        while not stop.is_set():
            with suppress(queue.Full):
                ready.put((kind, item), timeout=0.1)
                return

    def work() -> None:
        try:
            for item in items:
                put("item", item)
                if stop.is_set():
                    return
            put("end", None)
        except BaseException as error:  # raised again in the thread that asked
            put("error", error)

    thread = threading.Thread(target=work, name="ahead", daemon=True)
    thread.start()
    try:
        while True:
            kind, item = ready.get()
            if kind == "error":
                raise item
            if kind == "end":
                return
            yield item
    finally:
        stop.set()
        thread.join()


def _cursor(con: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Return a connection of its own, on which instants have the same text everywhere."""
    cursor = con.cursor()
    cursor.execute("SET TimeZone = 'UTC'")
    return cursor


def _typed_text(inner: str, index: int, type_: pa.DataType, *, is_named: bool = False) -> _Value:
    text = f"t{index}"
    inner = inner if is_named else f"{inner} AS {text}"
    if type_ == TEXT:
        return _Value(inner, text)
    if pa.types.is_list(type_):
        value = f"CASE WHEN json_valid({text}) THEN TRY_CAST(CAST({text} AS JSON) AS {sql_type(type_)}) END"
        return _Value(inner, text, value, f"(CAST(to_json({value}) AS VARCHAR) IS NOT DISTINCT FROM {text})")
    return _Value(inner, text, f"TRY_CAST({text} AS {sql_type(type_)})", survives(text, type_))


def _query(values: Sequence[_Value], relation: str, also: str = "") -> str:
    """Return the query that gives texts `t<i>`, typed values `v<i>`, and `bad`: the first column that does not hold."""
    typed = [(i, value) for i, value in enumerate(values) if value.value is not None]
    outer = [value.text for value in values] + [f"{value.value} AS v{i}" for i, value in typed]
    checks = " ".join(f"WHEN {v.text} IS NOT NULL AND NOT {v.holds} THEN {i}" for i, v in typed if v.holds != "true")
    outer.append(f"CASE {checks} END AS bad" if checks else "NULL::INTEGER AS bad")
    inner = ", ".join([value.inner for value in values] + ([also] if also else []))
    extra = [name.rsplit(" AS ", 1)[-1].strip() for name in also.split(",")] if also else []
    return f"SELECT {', '.join([*outer, *extra])} FROM (SELECT {inner or 'NULL AS nothing'} FROM {relation})"


def _over(
    con: duckdb.DuckDBPyConnection, values: Sequence[_Value], chunk: pa.Table, inner: str = "FROM chunk", also: str = ""
) -> Iterator[pa.RecordBatch]:
    """Run the query over a table at hand."""
    cursor = _cursor(con)
    cursor.register("chunk", chunk)
    try:
        yield from cursor.execute(_query(values, f"({inner})", also)).to_arrow_table().to_batches()
    finally:
        cursor.close()


def _checked(
    batches: Iterator[pa.RecordBatch], fields: Sequence[Field], pieces: Callable[..., Iterator[Piece]]
) -> Iterator[Piece]:
    """Give the pieces of batches. If values break new columns' types, read on and raise `Broken` with all."""
    broken: set[int] = set()
    for batch in batches:
        bad = batch.column("bad")
        if bad.null_count < batch.num_rows:
            broken |= {i for i in bad.unique().to_pylist() if i is not None and fields[i].is_new}
        if not broken:
            yield from pieces(batch, fields)
    if broken:
        raise Broken(frozenset(fields[i].ordinal for i in broken))


def _pieces(
    batch: pa.RecordBatch,
    fields: Sequence[Field],
    *,
    lines: pa.Array[Any] | None = None,
    reasons: list[str | None] | None = None,
    payloads: list[str | None] | None = None,
) -> Iterator[Piece]:
    names = set(batch.schema.names)
    texts = {f.ordinal: batch.column(f"t{i}") for i, f in enumerate(fields)}
    values = {f.ordinal: batch.column(f"v{i}" if f"v{i}" in names else f"t{i}") for i, f in enumerate(fields)}
    bad = batch.column("bad")
    if bad.null_count == batch.num_rows and reasons is None:
        yield Piece(batch.num_rows, texts, values)
        return
    errors = list(reasons or [None] * batch.num_rows)
    shown = list(payloads or [None] * batch.num_rows)
    for row, index in enumerate(bad.to_pylist()):
        if index is not None and errors[row] is None:
            errors[row] = _misfit(fields[index], texts[fields[index].ordinal][row].as_py())
            shown[row] = json.dumps({f.header: texts[f.ordinal][row].as_py() for f in fields}, ensure_ascii=False)
    yield Piece(batch.num_rows, texts, values, _texts(errors), lines, _texts(shown))


def _misfit(field: Field, text: str) -> str:
    cut = text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "…"
    return f"column {field.header!r} holds {sql_type(field.type)} in raw; the value {cut!r} does not survive that type"


def _shown(data: bytes) -> str:
    return data.decode() if _decodes(data) else "base64:" + base64.b64encode(data).decode()


def _decodes(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= c <= "\udfff" for c in text) if not text.isascii() else True


def _texts(values: Sequence[str | None]) -> pa.Array[Any]:
    return pa.array(values, TEXT)


@contextmanager
def _binary(path: str) -> Iterator[BinaryIO]:
    if path.lower().endswith(".gz"):
        with gzip.open(path, "rb") as unpacked:
            yield unpacked  # type: ignore[misc]
    else:
        with open(path, "rb") as handle:
            yield handle
