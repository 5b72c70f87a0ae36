"""What each view of sql/views reads, as files and tables another engine reads, and rows as texts that compare.

The relations a view reads that are views themselves are given as DuckDB has them, so that each view is compared alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb

from dagster_project.sql_words import literal
from dagster_project.views.sql_files import View, read_views

ROOT = Path(__file__).parents[2]
ONLY_HERE = re.compile(r"^-- Only in DuckDB: .+\.$", re.MULTILINE)


def portable() -> list[View]:
    """Return the views that are to mean the same in DuckDB, Athena and Spark: all that do not say otherwise."""
    return [view for view in read_views(ROOT / "sql" / "views") if not ONLY_HERE.search(view.file.read_text("utf-8"))]


def standing(view: View, tables: dict[str, str]) -> str:
    """Return the SELECT of a view with other names for what it reads."""
    return re.sub(
        rf"\b({'|'.join(re.escape(name) for name in view.depends_on)})\b(?!\.)", lambda m: tables[m[1]], view.sql
    )


def derive(view_file: Path, names: Sequence[str], folder: Path) -> dict[str, str]:
    """Write what is served under these names as Parquet, and return the files."""
    with _opened(view_file) as con:
        files = {name: str(folder / f"{name}.parquet") for name in names}
        for name, file in files.items():
            con.execute(f"COPY (FROM {name}) TO {literal(file)} (FORMAT parquet)")
    return files


def here(view_file: Path, views: Sequence[View]) -> Iterator[tuple[str, list[str]]]:
    """Yield the rows of each view as DuckDB shows them."""
    with _opened(view_file) as con:
        for view in views:
            yield view.identifier, texts(con.execute(f"FROM {view.identifier}").fetchall())


def _opened(view_file: Path) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect(str(view_file), read_only=True)
    con.execute("SET TimeZone = 'UTC'")
    return con


def texts(rows: Sequence[Sequence[Any]]) -> list[str]:
    """Return rows as texts, in order of these."""
    return sorted(json.dumps([_text(value) for value in row]) for row in rows)


def _text(value: Any) -> Any:
    if isinstance(value, datetime):
        return (
            f"{(value.astimezone(UTC) if value.tzinfo else value).replace(tzinfo=None).isoformat(' ', 'microseconds')}"
        )
    if isinstance(value, date):
        return value.isoformat()
    return [_text(each) for each in value] if isinstance(value, list | tuple) else value
