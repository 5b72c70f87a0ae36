"""Spreadsheets: .xlsx, .xls, .xlsb and .ods, each sheet read as a file of its own.

What belongs here: where the table of a sheet begins, merged headers, and cells as typed values. What does not: types
across files (`tables`).

Rules:

- The header is the first row with more than one cell filled (or the first at all, in a sheet of one column); what
  stands above it, a title say, is told in the file's marker. `header:` says how many rows the header has.
- A header row in which cells are merged over several columns goes on in the next row: `2024` over `Q1`, `Q2` gives
  `2024 / Q1` and `2024 / Q2`.
- Numbers are whole where all of a column are; days are dates, times of a day text. Empty rows are passed over.
- The `_line` of a refused row is its row in the sheet. A sheet is read as a whole: it has at most a million rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Final

import duckdb
import pyarrow as pa

from dagster_project.contracts import BOOL, INT, TEXT
from dagster_project.landing.formats import needs
from dagster_project.landing.reading import Field, Head, Piece, Unreadable
from dagster_project.landing.table_columns import BIGGEST_EXACT, DATE, DOUBLE, TIMESTAMP, Wanted
from dagster_project.landing.typed import read_batches
from dagster_project.landing.unpacked import Unpacked
from dagster_project.sources import TableSource

NAME: Final = "excel"
SUFFIXES: Final = (".xlsx", ".xlsm", ".xls", ".xlsb", ".ods")
EXTRA: Final = "excel"
IS_TEXT: Final = False
INSIDE: Final = "sheet"

_ROWS: Final = 16_384
_LINE: Final = "line"


@dataclass(frozen=True, slots=True)
class _Table:
    """A sheet: its headers, its rows below them with their numbers in the sheet (from 1), and what stands above."""

    headers: tuple[str, ...]
    rows: list[tuple[int, list[Any]]]
    first: int
    header_rows: int
    above: tuple[str, ...]


def inside(path: str) -> Sequence[str]:
    """Return the names of the sheets that hold cells. Raises `Unreadable`."""
    with _workbook(path) as workbook:
        return [sheet.name for sheet in workbook.sheets_metadata if "WorkSheet" in str(sheet.typ)]


def find(con: duckdb.DuckDBPyConnection, file: Unpacked, source: TableSource) -> Head:  # noqa: ARG001
    """Return the columns of the sheet. Raises `Unreadable`."""
    table = _table(file, source)
    if table is None:
        return Head(())
    types = [_type([row[i] for _, row in table.rows if row[i] != ""]) for i in range(len(table.headers))]
    told: dict[str, Any] = {"header_row": table.first, "header_rows": table.header_rows}
    told |= {"above": list(table.above)} if table.above else {}
    return Head(tuple(Wanted(*pair) for pair in zip(table.headers, types, strict=True)), source, told)


def read(con: duckdb.DuckDBPyConnection, file: Unpacked, head: Head, fields: Sequence[Field]) -> Iterator[Piece]:
    """Give the rows in order. Raises `Broken` and `Unreadable`."""
    table = _table(file, head.how) if head.columns else None
    if table is None:
        return
    types = [TEXT if pa.types.is_null(want.type) else want.type for want in head.columns]
    schema = pa.schema({f"c{i}": type_ for i, type_ in enumerate(types)})

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, len(table.rows), _ROWS):
            held = table.rows[start : start + _ROWS]
            arrays = [pa.array([_cell(row[i], type_) for _, row in held], type_) for i, type_ in enumerate(types)]
            lines = pa.array([line for line, _ in held], INT)
            yield pa.RecordBatch.from_arrays([*arrays, lines], names=[*schema.names, _LINE])

    yield from read_batches(con, batches(), schema, fields, lines=_LINE)


@contextmanager
def _workbook(path: str) -> Iterator[Any]:
    try:
        from python_calamine import CalamineError, CalamineWorkbook
    except ModuleNotFoundError as error:
        raise needs("python-calamine", EXTRA) from error
    try:
        with CalamineWorkbook.from_path(path) as workbook:
            yield workbook
    except (CalamineError, OSError, ValueError) as error:
        raise Unreadable(f"it is no spreadsheet that can be read: {error}") from error


def _table(file: Unpacked, source: TableSource) -> _Table | None:
    """Return the table of a sheet; None if it is empty."""
    with _workbook(file.path) as workbook:
        sheet = workbook.get_sheet_by_name(file.inside)
        cells: list[list[Any]] = sheet.to_python(skip_empty_area=False)
        merged = _merged(sheet)
    filled = [(i, row) for i, row in enumerate(cells[source.skip :], start=source.skip) if any(c != "" for c in row)]
    if not filled:
        return None
    width = max(max(i for i, cell in enumerate(row) if cell != "") for _, row in filled) + 1
    first = _first(filled, width) if source.header == "auto" else filled[0][0]
    count = _header_rows(first, merged) if source.header == "auto" else source.header
    headers = _headers(cells[first : first + count], first, width, merged)
    rows = [(i + 1, [*row[:width], *[""] * (width - len(row))]) for i, row in filled if i >= first + count]
    above = tuple(str(cell) for i, row in filled if i < first for cell in row if cell != "")
    return _Table(headers, rows, first + 1, count, above)


def _merged(sheet: Any) -> list[tuple[int, int, int, int]]:
    """Return the merged ranges: first row and column, last row and column, from 0. Only .xlsx and .xls tell them."""
    return [(*begin, *end) for begin, end in sheet.merged_cell_ranges or ()]


def _first(filled: Sequence[tuple[int, list[Any]]], width: int) -> int:
    """Return the row of the header: the first with more than one cell filled."""
    several = (i for i, row in filled if sum(cell != "" for cell in row) > 1)
    return next(several, filled[0][0]) if width > 1 else filled[0][0]


def _header_rows(first: int, merged: Sequence[tuple[int, int, int, int]]) -> int:
    """Return how many rows the header has: one more where cells of a row are merged over columns."""
    rows = 1
    while any(top == first + rows - 1 and left < right for top, left, _, right in merged):
        rows += 1
    return max([rows, *(bottom - first + 1 for top, _, bottom, _ in merged if top == first and bottom > top)])


def _headers(
    rows: Sequence[Sequence[Any]], first: int, width: int, merged: Sequence[tuple[int, int, int, int]]
) -> tuple[str, ...]:
    if not rows:
        return tuple(f"column_{i}" for i in range(1, width + 1))
    names = [[_name(row[i]) if i < len(row) else "" for i in range(width)] for row in rows]
    for top, left, _, right in merged:
        if first <= top < first + len(rows):
            for i in range(left, min(right, width - 1) + 1):
                names[top - first][i] = names[top - first][left]
    return tuple(" / ".join(dict.fromkeys(row[i] for row in names if row[i])) for i in range(width))


def _name(cell: Any) -> str:
    return (_text(cell) or "").strip()


def _type(cells: Sequence[Any]) -> pa.DataType:
    """Return the one type of a column's cells, text where they are of several; null if there are none."""
    sorts = {type(cell) for cell in cells}
    if not sorts:
        return pa.null()
    if sorts <= {int, float}:
        is_whole = all(float(cell).is_integer() and abs(cell) < BIGGEST_EXACT for cell in cells)
        return INT if is_whole else DOUBLE
    if sorts == {bool}:
        return BOOL
    if sorts == {date}:
        return DATE
    return TIMESTAMP if sorts <= {date, datetime} else TEXT


def _cell(cell: Any, type_: pa.DataType) -> Any:
    if cell == "":
        return None
    if type_ == TEXT:
        return _text(cell)
    if type_ == INT:
        return int(cell)
    if type_ == TIMESTAMP and not isinstance(cell, datetime):
        return datetime(cell.year, cell.month, cell.day)
    return cell


def _text(cell: Any) -> str:
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < BIGGEST_EXACT:
        return str(int(cell))
    if isinstance(cell, (date, datetime, time)):
        return cell.isoformat(" ") if isinstance(cell, datetime) else cell.isoformat()
    return str(cell) if isinstance(cell, (str, timedelta)) else repr(cell)
