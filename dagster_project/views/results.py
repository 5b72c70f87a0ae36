"""Results written to files: CSV as Athena writes it, CSV as DuckDB does, Parquet, JSON.

What belongs here: how a value is written. What does not: running the query (`steps.ask`), and the terminal.

Athena's CSV quotes every value and leaves NULL as nothing between the commas; a quote within is doubled.
Doubles are as Java prints them, arrays [a, b], maps {k=v}, rows {name=v}, bytes pairs of hexadecimal digits, instants
to the microsecond, which is what an Iceberg table keeps, and with their zone.
Source: https://docs.aws.amazon.com/athena/latest/ug/querying-finding-output-files.html
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TextIO

import duckdb
import pyarrow.parquet as pq

_BATCH: Final = 10_000


def write(result: duckdb.DuckDBPyRelation, form: str, to: Path) -> int:
    """Write a result to a file, in place of what was there once all of it is written; return how many rows it has."""
    new = to.with_name(f".{to.name}.tmp")
    try:
        if form == "parquet":
            result.to_parquet(str(new), compression="zstd")
            rows = int(pq.read_metadata(new).num_rows)
        else:
            with new.open("w", encoding="utf-8", newline="") as file:
                rows = write_lines(result, form, file)
        new.replace(to)
    finally:
        new.unlink(missing_ok=True)
    return rows


def write_lines(result: duckdb.DuckDBPyRelation, form: str, file: TextIO) -> int:
    """Write a result as csv, athena-csv or json, one row after the other; return how many rows it has."""
    head, lines = _LINES[form](result)
    file.write(head)
    rows = 0
    for line in lines:
        file.write(line + "\n")
        rows += 1
    return rows


def _batches(result: duckdb.DuckDBPyRelation) -> Iterator[tuple[Any, ...]]:
    while rows := result.fetchmany(_BATCH):
        yield from rows


def _json(result: duckdb.DuckDBPyRelation) -> tuple[str, Iterator[str]]:
    rows = result.set_alias("__row").project("CAST(to_json(__row) AS VARCHAR)")
    return "", (row for (row,) in _batches(rows))


def _csv(result: duckdb.DuckDBPyRelation) -> tuple[str, Iterator[str]]:
    """Give what DuckDB's own writer would: NULL as nothing, an empty text as two quotes, values as SQL text."""
    head = io.StringIO()
    csv.writer(head, lineterminator="\n").writerow(result.columns)
    texts = result.project("CAST(COLUMNS(*) AS VARCHAR)")
    return head.getvalue(), (",".join(map(_csv_cell, row)) for row in _batches(texts))


def _csv_cell(text: str | None) -> str:
    """Quote a value where CSV asks for it.

    >>> [_csv_cell(text) for text in (None, "", "a", 'say "a", b')]
    ['', '""', 'a', '"say ""a"", b"']
    """
    if text is None:
        return ""
    if text and text == text.strip() and not any(sign in text for sign in ',"\r\n'):
        return text
    return _quoted(text)


def _athena(result: duckdb.DuckDBPyRelation) -> tuple[str, Iterator[str]]:
    texts = [_text_of(str(type_)) for type_ in result.types]

    def line(row: tuple[Any, ...]) -> str:
        return ",".join("" if value is None else _quoted(text(value)) for text, value in zip(texts, row, strict=True))

    return ",".join(map(_quoted, result.columns)) + "\n", (line(row) for row in _batches(result))


_LINES: Final = {"json": _json, "csv": _csv, "athena-csv": _athena}


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _text_of(type_: str) -> Callable[[Any], str]:
    """Return how values of a column are written: REAL needs its type, since Python makes a double of it."""
    return _real if type_ == "FLOAT" else athena_text


def _real(value: float) -> str:
    import numpy as np

    return java_double(float(str(np.float32(value)))) if math.isfinite(value) else java_double(value)


def athena_text(value: Any) -> str:
    """Return the text of a value within Athena's CSV.

    >>> athena_text([1.5, None, {"a": True}]), athena_text(b"ab")
    ('[1.5, null, {a=true}]', '61 62')
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return java_double(value)
    if isinstance(value, datetime):
        zone = " UTC" if value.tzinfo else ""
        return f"{value.replace(tzinfo=None).isoformat(' ', 'microseconds')}{zone}"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, bytes):
        return value.hex(" ")
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(athena_text, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{athena_text(key)}={athena_text(held)}" for key, held in value.items()) + "}"
    return value.isoformat() if isinstance(value, date | time) else str(value)


def java_double(value: float) -> str:
    """Return a double as Java prints it, as short as it can be told.

    >>> [java_double(number) for number in (100.0, 1e7, 0.00012, -0.0, float("nan"))]
    ['100.0', '1.0E7', '1.2E-4', '-0.0', 'NaN']
    """
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        plain = f"{Decimal(repr(value)):f}"
        return plain if "." in plain else f"{plain}.0"
    exact = Decimal(repr(value)).normalize()
    figures = "".join(map(str, exact.as_tuple().digits))
    return f"{'-' if value < 0 else ''}{figures[0]}.{figures[1:] or '0'}E{exact.adjusted()}"
