"""CSV and TSV in any dialect: delimiter, quotes, decimal commas, a header or none.

What belongs here: dialects, DuckDB's reader, Python's slower one for what misleads it, and lines of refused rows.
What does not: encodings (`unpacked`) and types (`table_columns`).

Rules:

- The delimiter is the one of `DELIMITERS` that cuts most records into as many cells as the first, unless declared.
- The first record is the header, unless it looks like the records below it: where at least one column has a type,
  and every such column's first cell has it too, there is no header, and columns are called `column_1`, `column_2` …
- A row that repeats the header (files pasted together) is refused, not landed as data.
- Numbers with a decimal comma are numbers where the delimiter is a semicolon or a tab, or `decimal: ","` says so.
- Rows with more or fewer cells than the header are refused with their line. NUL bytes are characters like others.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import duckdb
import pyarrow as pa

from dagster_project.contracts import INT, TEXT
from dagster_project.landing.reading import (
    BATCH_BYTES,
    BATCH_ROWS,
    MOST_COLUMNS,
    Field,
    Head,
    Mangled,
    Piece,
    Unreadable,
    Value,
    ahead,
    as_texts,
    checked,
    cursor_of,
    over,
    pieces,
    query,
    shown,
    text_value,
)
from dagster_project.landing.table_columns import DOUBLE, GUESSED, Wanted, survives
from dagster_project.landing.unpacked import Unpacked
from dagster_project.sources import TableSource
from dagster_project.sql_words import literal

NAME: Final = "csv"
SUFFIXES: Final = (".csv", ".tsv", ".tab", ".psv")
EXTRA: Final = None
IS_TEXT: Final = True
INSIDE: Final = None

SAMPLE_ROWS: Final = 5_000
"""Rows that decide the columns' types at first; a later value that does not fit decides anew."""
SAMPLE_BYTES: Final = 1 << 20
LONGEST_LINE: Final = 16 << 20
"""Longer records are refused, so that one missing quote does not fill memory."""
DELIMITERS: Final = ",\t;|"
_COMMA_DELIMITERS: Final = ";\t|"
_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a file is written. `header_rows` are skipped; `headers` are names, made up if there are no header rows."""

    delimiter: str
    headers: tuple[str, ...]
    bytes_per_row: int
    header_rows: int = 1
    skip: int = 0
    quote: str = '"'
    escape: str = '"'
    decimal: str = "."

    @property
    def again(self) -> tuple[str, ...] | None:
        """Return what a row that repeats the header says; None if that cannot be told from data."""
        return self.headers if self.header_rows == 1 and len(self.headers) > 1 else None


def find(con: duckdb.DuckDBPyConnection, file: Unpacked, source: TableSource) -> Head:
    """Return the columns and the dialect; no columns for an empty file. Raises `Unreadable`."""
    dialect = sniff(con, file, source)
    if dialect is None:
        return Head(())
    types = _types(con, file, dialect)
    told = {"delimiter": dialect.delimiter, "header_rows": dialect.header_rows}
    columns = tuple(Wanted(*pair) for pair in zip(dialect.headers, types, strict=True))
    return Head(columns, dialect, told | ({"decimal": ","} if dialect.decimal == "," else {}))


def sniff(con: duckdb.DuckDBPyConnection, file: Unpacked, source: TableSource) -> Dialect | None:
    """Return the dialect; None if there is nothing in the file. Raises `Unreadable`."""
    with file.open() as handle:
        sample = handle.read(SAMPLE_BYTES)
    if not sample.removeprefix(_BOM).strip():
        return None
    text = sample.removeprefix(_BOM).decode("utf-8", "replace")
    text = text.split("\n", source.skip)[-1] if source.skip else text
    marks = source.delimiter or DELIMITERS
    readings = {mark: _records(text, mark, source, is_whole=len(sample) < SAMPLE_BYTES) for mark in marks}
    best = max(marks, key=lambda mark: (_fit(readings[mark]), -marks.index(mark)))
    records = readings[best]
    width = len(text.encode()) // max(1, len(records))
    if not records or len(records[0]) > MOST_COLUMNS:
        raise Unreadable(f"it has no header of at most {MOST_COLUMNS} columns")
    decimal = source.decimal or ("," if best in _COMMA_DELIMITERS and _has_commas(records) else ".")
    rows = _header_rows(con, records, decimal) if source.header == "auto" else source.header
    headers = _headers(records, rows)
    escape = source.escape or source.quote
    return Dialect(best, headers, max(1, width), rows, source.skip, source.quote, escape, decimal)


def read(con: duckdb.DuckDBPyConnection, file: Unpacked, head: Head, fields: Sequence[Field]) -> Iterator[Piece]:
    """Give the rows in order, then those DuckDB's reader refused. Raises `Broken` and `Mangled`."""
    dialect: Dialect | None = head.how
    if dialect is None:
        return
    cursor = cursor_of(con)
    rows = min(max(BATCH_BYTES // dialect.bytes_per_row, BATCH_ROWS[0]), BATCH_ROWS[1])
    relation = _read_csv(file, dialect, "store_rejects=true, rejects_limit=0")
    lines = _Lines(file, dialect)
    try:
        sql = query(_values(fields, dialect), fields, relation, again=_again(dialect))
        stream = cursor.execute(sql).to_arrow_reader(rows)
        yield from checked(lines.counted(ahead(stream)), fields, lines.pieces)
        if refused := _rejects(cursor, file):
            yield refused
    except (duckdb.Error, pa.ArrowException) as error:
        raise Mangled(str(error)) from error
    finally:
        cursor.close()


def read_carefully(
    con: duckdb.DuckDBPyConnection, file: Unpacked, head: Head, fields: Sequence[Field]
) -> Iterator[Piece]:
    """Do the same with Python's reader: ten times slower, for mixed line ends and what else misleads the fast one."""
    dialect: Dialect = head.how
    with file.open() as handle:
        rows = _numbered(handle, dialect)
        while chunk := list(islice(rows, BATCH_ROWS[0])):
            yield from _careful_pieces(con, chunk, fields, dialect)


# --- dialects -------------------------------------------------------------------------------------------------------


def _records(text: str, delimiter: str, source: TableSource, *, is_whole: bool) -> list[list[str]]:
    records: list[list[str]] = []
    with suppress(csv.Error):
        reader = _reader(io.StringIO(text, newline=""), delimiter, source.quote, source.escape or source.quote)
        records.extend(row for row in reader if row)
    return records if is_whole or len(records) < 2 else records[:-1]


def _reader(lines: Any, delimiter: str, quote: str, escape: str) -> Any:
    csv.field_size_limit(LONGEST_LINE)
    own = None if escape == quote else escape
    return csv.reader(lines, delimiter=delimiter, quotechar=quote, doublequote=own is None, escapechar=own)


def _fit(records: Sequence[Sequence[str]]) -> tuple[bool, float, int]:
    """Judge a reading: whether there is more than a cell, how many records agree with the header, its cells."""
    if not records:
        return False, 0.0, 0
    width = len(records[0])
    agreeing = sum(len(record) == width for record in records) / len(records)
    return width > 1, round(agreeing, 1), width


def _has_commas(records: Sequence[Sequence[str]]) -> bool:
    """Whether numbers are written with a decimal comma: some are, and none with a point."""
    cells = [cell for record in records[1:] for cell in record]
    parts = [cell.partition(",") for cell in cells if cell.count(",") == 1]
    points = [cell.partition(".") for cell in cells if cell.count(".") == 1]
    return any(map(_is_number, parts)) and not any(map(_is_number, points))


def _is_number(parts: tuple[str, str, str]) -> bool:
    return parts[0].removeprefix("-").isdigit() and parts[2].isdigit()


def _header_rows(con: duckdb.DuckDBPyConnection, records: Sequence[Sequence[str]], decimal: str) -> int:
    """Return 0 if the first record looks like the ones below it, else 1."""
    below = [record for record in records[1:SAMPLE_ROWS] if len(record) == len(records[0])]
    if not below or not all(cell.strip() for cell in records[0]):
        return 1
    columns = [f"c{i}" for i in range(len(records[0]))]
    table = pa.table([as_texts([row[i] or None for row in below]) for i in range(len(columns))], names=columns)
    types = _fitting(con, "chunk", columns, decimal, table)
    typed = [i for i, type_ in enumerate(types) if type_ not in (TEXT, pa.null())]
    first = pa.table([as_texts([records[0][i]]) for i in typed], names=[columns[i] for i in typed]) if typed else None
    fits = _fitting(con, "chunk", [columns[i] for i in typed], decimal, first) if first is not None else []
    return 0 if typed and fits == [types[i] for i in typed] else 1


def _headers(records: Sequence[Sequence[str]], rows: int) -> tuple[str, ...]:
    """Return the names: those of one header row, of several joined, or made up."""
    if not rows:
        return tuple(f"column_{i}" for i in range(1, len(records[0]) + 1))
    parts = [[cell.strip() for cell in record] for record in records[:rows]]
    width = len(parts[-1])
    filled = [*(_filled(part, width) for part in parts[:-1]), parts[-1]]
    return tuple(" / ".join(dict.fromkeys(cell for part in filled if (cell := part[i]))) for i in range(width))


def _filled(cells: Sequence[str], width: int) -> list[str]:
    """Return an upper header row with each name over all the columns up to the next, as merged cells are exported."""
    filled: list[str] = []
    for i in range(width):
        cell = cells[i] if i < len(cells) else ""
        filled.append(cell or (filled[-1] if filled else ""))
    return filled


# --- types ----------------------------------------------------------------------------------------------------------


def _types(con: duckdb.DuckDBPyConnection, file: Unpacked, dialect: Dialect) -> list[pa.DataType]:
    """Return for each column the first type every text of the sample survives, else text; null if it has none."""
    columns = [f"c{i}" for i in range(len(dialect.headers))]
    again = f"WHERE NOT ({_again(dialect, 'c')})" if dialect.again else ""
    relation = _read_csv(file, dialect, "ignore_errors=true")
    try:
        return _fitting(con, f"(SELECT * FROM {relation} {again} LIMIT {SAMPLE_ROWS})", columns, dialect.decimal)
    except duckdb.Error:
        return [TEXT] * len(columns)


def _fitting(
    con: duckdb.DuckDBPyConnection, relation: str, columns: Sequence[str], decimal: str, chunk: pa.Table | None = None
) -> list[pa.DataType]:
    if not columns:
        return []
    tries = ", ".join(f"bool_and({_survives('c', t, decimal)})" for t in GUESSED)
    # Each cell is a row here: an aggregate per column and type would take DuckDB minutes to plan for 200 columns.
    cells = f"SELECT unnest([{', '.join(columns)}]) AS c, unnest(range({len(columns)})) AS i FROM {relation}"
    cursor = cursor_of(con)
    if chunk is not None:
        cursor.register("chunk", chunk)
    found = cursor.execute(f"SELECT i, {tries} FROM ({cells}) WHERE c IS NOT NULL GROUP BY i").fetchall()
    cursor.close()
    fits = {i: row for i, *row in found}
    return [_first_fit(fits[i]) if i in fits else pa.null() for i in range(len(columns))]


def _first_fit(fits: Sequence[bool]) -> pa.DataType:
    for type_, fit in zip(GUESSED, fits, strict=True):
        if fit:
            return type_
    return TEXT


def _survives(text: str, type_: pa.DataType, decimal: str) -> str:
    if type_ != DOUBLE or decimal != ",":
        return survives(text, type_)
    return f"({_with_point(text)} IS NOT NULL AND {survives(_with_point(text), DOUBLE)})"


def _with_point(text: str) -> str:
    """Return SQL of a number with a decimal comma as one with a point; null if there is a point in it already."""
    return f"(CASE WHEN NOT contains({text}, '.') THEN replace({text}, ',', '.') END)"


# --- DuckDB's reader ------------------------------------------------------------------------------------------------


def _read_csv(file: Unpacked, dialect: Dialect, options: str) -> str:
    columns = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(len(dialect.headers)))
    skip = dialect.skip + max(0, dialect.header_rows - 1)
    return (
        f"read_csv({literal(file.path)}, auto_detect=false, header={'true' if dialect.header_rows else 'false'}, "
        f"skip={skip}, delim={literal(dialect.delimiter)}, quote={literal(dialect.quote)}, "
        f"escape={literal(dialect.escape)}, allow_quoted_nulls=false, compression='{file.packed}', "
        f"max_line_size={LONGEST_LINE}, buffer_size={2 * LONGEST_LINE}, columns={{{columns}}}, {options})"
    )


def _values(fields: Sequence[Field], dialect: Dialect) -> list[Value]:
    return [_value(f"c{i}", i, field, dialect) for i, field in enumerate(fields)]


def _value(cell: str, index: int, field: Field, dialect: Dialect) -> Value:
    value = text_value(cell, index, field)
    if dialect.decimal != "," or field.ordinal is None or field.type != DOUBLE:
        return value
    point = _with_point(value.text)
    return Value(value.inner, value.text, f"TRY_CAST({point} AS DOUBLE)", _survives(value.text, DOUBLE, ","))


def _again(dialect: Dialect, cell: str = "t") -> str:
    """Return SQL that is true for a row that repeats the header; '' if that cannot be told."""
    cells = enumerate(dialect.again or ())
    return " AND ".join(f"{cell}{i} IS NOT DISTINCT FROM {literal(header)}" for i, header in cells)


def _rejects(cursor: duckdb.DuckDBPyConnection, file: Unpacked) -> Piece | None:
    """Return the records the reader refused, once each, in file order; its tables are emptied."""
    found = cursor.execute(
        "SELECT line_byte_position, first(error_message ORDER BY column_idx), first(csv_line) FROM reject_errors "
        "GROUP BY line_byte_position ORDER BY line_byte_position"
    ).fetchall()
    cursor.execute("DROP TABLE reject_errors; DROP TABLE reject_scans")
    if not found:
        return None
    positions, errors, payloads = zip(*found, strict=True)
    lines = _line_numbers(file, positions)
    reasons = [f"line {line}: {error.splitlines()[0]}" for line, error in zip(lines, errors, strict=True)]
    return Piece(
        len(found), errors=as_texts(reasons), lines=pa.array(lines, INT), payloads=as_texts(payloads), is_numbered=False
    )


def _line_numbers(file: Unpacked, positions: Sequence[int]) -> list[int]:
    """Return the line (from 1) of each byte (from 1, ascending): DuckDB's own count takes a record for a line."""
    lines, line, at = [], 1, 0
    with file.open() as handle:
        for position in positions:
            while at < position - 1 and (chunk := handle.read(min(SAMPLE_BYTES, position - 1 - at))):
                line += chunk.count(b"\n")
                at += len(chunk)
            lines.append(line)
    return lines


class _Lines:
    """Finds the lines of rows, which DuckDB's reader does not tell: by a second reading, as far as it is needed."""

    def __init__(self, file: Unpacked, dialect: Dialect) -> None:
        self._file = file
        self._dialect = dialect
        self._before = 0
        self._rows: Iterator[tuple[int, list[str]]] | None = None
        self._at = 0

    def counted(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Pass batches on, counting their rows."""
        for batch in batches:
            yield batch
            self._before += batch.num_rows

    def pieces(self, batch: pa.RecordBatch, fields: Sequence[Field]) -> Iterator[Piece]:
        """Give the pieces of the batch that was passed on last."""
        return pieces(batch, fields, lines=self._lines)

    def _lines(self, batch: pa.RecordBatch, places: Sequence[int]) -> list[int | None]:
        texts = [batch.column(f"t{i}") for i in range(len(self._dialect.headers))]
        return [self._line(self._before + place, [text[place].as_py() for text in texts]) for place in places]

    def _line(self, ordinal: int, cells: Sequence[str | None]) -> int | None:
        """Return the line of the row with this ordinal (from 0), if what stands there is that row."""
        if self._rows is None:
            self._rows = self._good_rows()
        for line, row in self._rows:
            self._at += 1
            if self._at > ordinal:
                return line if [cell or None for cell in row] == [cell or None for cell in cells] else None
        return None

    def _good_rows(self) -> Iterator[tuple[int, list[str]]]:
        width = len(self._dialect.headers)
        with self._file.open() as handle, suppress(Unreadable):
            yield from ((line, row) for line, row in _numbered(handle, self._dialect) if _is_good(row, width))


# --- Python's reader ------------------------------------------------------------------------------------------------


def _numbered(handle: Any, dialect: Dialect) -> Iterator[tuple[int, list[str]]]:
    """Give the records below the header with their lines; a blank line of a file of one column is an empty cell."""
    text = io.TextIOWrapper(handle, "utf-8-sig", "surrogateescape", newline="")
    try:
        for _ in range(dialect.skip):
            text.readline()
        reader = _reader(text, dialect.delimiter, dialect.quote, dialect.escape)
        below = dialect.header_rows
        while True:
            line = reader.line_num + 1 + dialect.skip
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise Unreadable(f"line {line}: {error}") from error
            if not row and (below or len(dialect.headers) > 1):
                continue
            if below:
                below -= 1
                continue
            yield line, row or [""]
    finally:
        text.detach()


def _is_good(row: Sequence[str], width: int) -> bool:
    return len(row) == width and all(map(_is_utf8, row))


def _careful_pieces(
    con: duckdb.DuckDBPyConnection, rows: list[tuple[int, list[str]]], fields: Sequence[Field], dialect: Dialect
) -> Iterator[Piece]:
    width = len(fields)
    good = [(line, row) for line, row in rows if _is_good(row, width)]
    if good:
        table = pa.table({f"c{i}": as_texts([row[i] or None for _, row in good]) for i in range(width)})
        table = table.append_column("number", pa.array([line for line, _ in good], INT))
        sql = query(_values(fields, dialect), fields, "chunk", "number", _again(dialect))
        yield from checked(over(con, sql, table), fields, _with_numbers)
    bad = [(line, row) for line, row in rows if not _is_good(row, width)]
    if bad:
        errors = [
            f"line {line}: {len(row)} cells, the header has {width}" if len(row) != width else f"line {line}: no UTF-8"
            for line, row in bad
        ]
        payloads = [json.dumps([shown(cell.encode("utf-8", "surrogateescape")) for cell in row]) for _, row in bad]
        lines = pa.array([line for line, _ in bad], INT)
        yield Piece(len(bad), errors=as_texts(errors), lines=lines, payloads=as_texts(payloads), is_numbered=False)


def _with_numbers(batch: pa.RecordBatch, fields: Sequence[Field]) -> Iterator[Piece]:
    return pieces(batch, fields, lines=lambda rows, at: [rows.column("number")[i].as_py() for i in at])


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= c <= "\udfff" for c in text) if not text.isascii() else True
