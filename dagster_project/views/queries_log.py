"""The history of queries: lines of JSON beside the view file, and the view `ops.queries` on them.

What belongs here: what is kept of a query, and how. What does not: running it (`steps.ask`). A line is written at once,
so several may write; the log is made when a view file is, since the view reads it. It may be emptied at any time.
Source of the names: https://docs.aws.amazon.com/athena/latest/APIReference/API_QueryExecution.html
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from dagster_project.sql_words import literal

VIEW: Final = "ops.queries"
ROW: Final = "a query that was asked with `notelake sql`, as Athena's history tells of one"
COLUMNS: Final[Mapping[str, tuple[str, str]]] = {
    "query_execution_id": ("VARCHAR", "Id of this execution"),
    "query": ("VARCHAR", "The query as it was written"),
    "dialect": ("VARCHAR", "duckdb, athena, redshift or partiql"),
    "statement_type": ("VARCHAR", "DML for a SELECT, UTILITY for the rest"),
    "state": ("VARCHAR", "SUCCEEDED or FAILED"),
    "state_change_reason": ("VARCHAR", "Why it failed"),
    "submission_date_time": ("TIMESTAMPTZ", "When it was asked (UTC)"),
    "completion_date_time": ("TIMESTAMPTZ", "When it was answered or given up (UTC)"),
    "query_planning_time_in_millis": ("BIGINT", "How long it took to translate it and to count what it scans"),
    "engine_execution_time_in_millis": ("BIGINT", "How long it ran"),
    "total_execution_time_in_millis": ("BIGINT", "How long it took in all"),
    "data_scanned_in_bytes": ("BIGINT", "Compressed bytes of the columns it read; null if they could not be counted"),
    "output_rows": ("BIGINT", "Rows it gave; of a table in the terminal those that were shown"),
    "output_location": ("VARCHAR", "The file its result was written to, if any"),
}
"""The columns of `ops.queries` and the keys of a line: type and meaning."""


@dataclass(frozen=True, slots=True)
class Execution:
    """A line of the log: what `COLUMNS` says. Instants are ISO 8601."""

    query_execution_id: str
    query: str
    dialect: str
    statement_type: str
    state: str
    state_change_reason: str | None
    submission_date_time: str
    completion_date_time: str
    query_planning_time_in_millis: int
    engine_execution_time_in_millis: int
    total_execution_time_in_millis: int
    data_scanned_in_bytes: int | None
    output_rows: int | None
    output_location: str | None


def log_of(view_file: Path) -> Path:
    """Return where the queries of a view file are kept."""
    return view_file.with_name("queries.jsonl")


def append(view_file: Path, execution: Execution) -> None:
    """Add a line. Raises `OSError` if it cannot be written."""
    line = json.dumps(asdict(execution), ensure_ascii=False) + "\n"
    handle = os.open(log_of(view_file), os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(handle).st_size
        was_cut = size and os.pread(handle, 1, size - 1) != b"\n"
        os.write(handle, b"\n" * bool(was_cut) + line.encode("utf-8", "backslashreplace"))
    finally:
        os.close(handle)


def make_sure(view_file: Path) -> Path:
    """Have the log there, empty if need be: the view cannot be made, or read, without it."""
    log = log_of(view_file)
    if not log.exists():
        log.touch()
    return log


def select(log: Path) -> str:
    """Return the SELECT of `ops.queries`. A line that was cut short by a crash is passed over."""
    columns = ", ".join(f"{name}: {literal(type_)}" for name, (type_, _) in COLUMNS.items())
    path = literal(str(log))
    return (
        f"SELECT * FROM read_json({path}, format = 'newline_delimited', columns = {{{columns}}}, ignore_errors = true) "
        "WHERE query_execution_id IS NOT NULL"
    )
