"""Ask the lake: count what a query scans, refuse what would scan too much, run it, and keep it in the history.

What belongs here: the order of these. What does not: each of them (`views.cost`, `views.queries_log`,
`views.results`), and how rows look in a terminal, which the caller's `show` knows.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import uuid4

import duckdb
import fsspec
from fsspec import AbstractFileSystem

from dagster_project.errors import NotelakeError, UsageError
from dagster_project.settings import Settings
from dagster_project.views import queries_log
from dagster_project.views.cost import Scanned, scanned

_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KB|MB|GB|TB)?", re.IGNORECASE)
_QUERY: Final = re.compile(r"\s*(?:SELECT|WITH|FROM|VALUES|\()", re.IGNORECASE)
_POWERS: Final = {"B": 0, "KB": 1, "MB": 2, "GB": 3, "TB": 4}


@dataclass(frozen=True, slots=True)
class Question:
    """A query as it was written, its dialect, and what became of it in DuckDB's SQL."""

    text: str
    dialect: str
    sql: str
    submitted_at: datetime
    planned_since: float
    """What `time.perf_counter` said when it was read."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a query was: rows it gave, seconds it ran, what it scanned."""

    rows: int
    seconds: float
    scanned: Scanned

    def __str__(self) -> str:
        least = " at least" if self.scanned.unknown else ""
        cost = f"{size_of(self.scanned.bytes)} scanned{least}"
        return f"{self.rows:,} {'row' if self.rows == 1 else 'rows'}, {self.seconds:.2f} s, {cost}"


Show = Callable[[duckdb.DuckDBPyRelation], int]
"""Gives a result to whoever asked, and returns how many rows it gave."""


def ask(
    con: duckdb.DuckDBPyConnection,
    view_file: Path,
    question: Question,
    show: Show,
    *,
    max_scan: int | None = None,
    files: AbstractFileSystem | None = None,
    output: str | None = None,
) -> tuple[Told, str | None]:
    """Run the statements of a question; return what they were together, and why the history lacks it, if it does.

    `files` is the store the lake lies in, None for local disk. Raises `UsageError` if they would scan more than
    `max_scan` bytes: then none of them has run.
    """
    started, told, failure = time.perf_counter(), None, None
    cost: Scanned | None = None
    try:
        statements = con.extract_statements(question.sql)
        if not statements:
            raise UsageError("The query is empty. Give one, or no argument at all for the DuckDB shell.")
        cost = _cost(view_file, statements, files)
        _refuse_dear(cost, max_scan)
        started = time.perf_counter()
        rows = sum(show(result) for each in statements if (result := con.sql(each.query)) is not None)
        told = Told(rows, time.perf_counter() - started, cost)
    except (duckdb.Error, NotelakeError) as error:
        failure = str(error)
        raise
    finally:
        kept = _keep(view_file, question, started, cost, told, failure or "It was broken off.", output)
    return told, kept


def keep_unrun(view_file: Path, question: Question) -> None:
    """Keep a statement in the history that ran nothing in DuckDB, such as PREPARE."""
    _keep(view_file, question, time.perf_counter(), None, Told(0, 0.0, Scanned(0, 0, 0)), "", None)


def store_of(where: Settings) -> AbstractFileSystem | None:
    """Return the object store a lake lies in; None for local disk."""
    return fsspec.filesystem(where.lake.split("://", 1)[0]) if where.is_remote else None


def _cost(view_file: Path, statements: list[duckdb.Statement], files: AbstractFileSystem | None) -> Scanned:
    """Return what the SELECTs scan. Others read nothing of the lake that is counted."""
    counted = [_scanned(view_file, s.query, files) for s in statements if s.type == duckdb.StatementType.SELECT]
    read, groups = sum(each.files for each in counted), sum(each.row_groups for each in counted)
    unknown = next((each.unknown for each in counted if each.unknown), None)
    return Scanned(sum(each.bytes for each in counted), read, groups, unknown)


def _scanned(view_file: Path, query: str, files: AbstractFileSystem | None) -> Scanned:
    try:
        return scanned(view_file, query, files)
    except duckdb.Error:  # running it will say what is wrong, unless it stands on a statement before it
        return Scanned(0, 0, 0, "a statement that DuckDB cannot plan by itself")


def _refuse_dear(cost: Scanned, most: int | None) -> None:
    if most is None:
        return
    if cost.unknown:
        raise UsageError(f"What it scans cannot be counted: {cost.unknown}. Nothing was run. Leave --max-scan out.")
    if cost.bytes > most:
        raise UsageError(
            f"It would scan {size_of(cost.bytes)} of {cost.files:,} files, more than --max-scan {size_of(most)}. "
            "Nothing was run. Name fewer columns, filter by source or time, or raise the limit."
        )


def _keep(
    view_file: Path,
    question: Question,
    started: float,
    cost: Scanned | None,
    told: Told | None,
    failure: str,
    output: str | None,
) -> str | None:
    """Add the question to the history; return why it could not be."""
    now = time.perf_counter()
    ran = told.seconds if told else now - started
    execution = queries_log.Execution(
        query_execution_id=str(uuid4()),
        query=question.text,
        dialect=question.dialect,
        statement_type="DML" if _QUERY.match(question.sql) else "UTILITY",
        state="SUCCEEDED" if told else "FAILED",
        state_change_reason=None if told else failure,
        submission_date_time=question.submitted_at.isoformat(),
        completion_date_time=datetime.now(UTC).isoformat(),
        query_planning_time_in_millis=round((started - question.planned_since) * 1000),
        engine_execution_time_in_millis=round(ran * 1000),
        total_execution_time_in_millis=round((now - question.planned_since) * 1000),
        data_scanned_in_bytes=None if cost is None or cost.unknown or told is None else cost.bytes,
        output_rows=told.rows if told else None,
        output_location=output if told else None,
    )
    try:
        queries_log.append(view_file, execution)
    except OSError as error:
        return str(error)
    return None


def size_of(size: int) -> str:
    """Return a number of bytes in words, as Athena's console has it: powers of 1024.

    >>> size_of(512), size_of(3 * 1024 * 1024 // 2)
    ('512 B', '1.50 MB')
    """
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024 ** (_POWERS[unit] + 1):
            return f"{size} B" if unit == "B" else f"{size / 1024 ** _POWERS[unit]:.2f} {unit}"
    return f"{size / 1024**4:.2f} TB"


def bytes_of(text: str) -> int:
    """Return the bytes that `10MB` and the like name. Raises `UsageError` for what is no size.

    >>> bytes_of("10MB"), bytes_of("1.5 kb"), bytes_of("700")
    (10485760, 1536, 700)
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"{text!r} is no size. Write it as 10MB, 500KB or 2GB.")
    return int(float(found[1]) * 1024 ** _POWERS[(found[2] or "B").upper()])
