"""How the `notelake` command looks: progress on standard error, results on standard output.

What belongs here: rendering. What does not: computing what is rendered.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import duckdb
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from dagster_project.errors import UsageError
from dagster_project.reports import Observer, Report
from dagster_project.settings import Settings, bundled
from dagster_project.views.sql_files import read_queries

if TYPE_CHECKING:
    from dagster_project.doctor import Finding
    from dagster_project.lake.lake import Lake
    from dagster_project.pipeline import Run

ROWS_SHOWN: Final = 200
"""Rows of a result that a table on the terminal shows; csv and json give all."""
_CELL: Final = 120
_WIDTH: Final = 120
"""Columns where nobody's terminal says how many."""
_ALWAYS: Final = ("unchanged", "committed", "quarantined")
_OUTCOMES: Final = ("unchanged", "committed", "removed", "duplicate", "quarantined", "failed", "partial")
_VERBS: Final = {"land": "landing", "shape": "shaping", "audit": "auditing", "commit": "committing", "serve": "serving"}
_STATES: Final = {"ok": "[green]ok[/]", "warn": "[yellow]warn[/]", "fail": "[red]fail[/]"}

out = Console(width=None if sys.stdout.isatty() else _WIDTH)
err = Console(stderr=True)


@contextmanager
def progress() -> Iterator[Observer]:
    """Show which source is at which verb, and how far; shows nothing where nobody watches."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        tasks: dict[str, TaskID] = {}

        def observe(source: str, verb: str, done: int = 0, total: int | None = None) -> None:
            if source not in tasks:
                tasks[source] = bar.add_task(source, total=None)
            bar.update(tasks[source], description=f"{source}: {_VERBS.get(verb, verb)}", completed=done, total=total)

        yield observe


def print_run(run: Run, where: Settings, *, answers: bool) -> None:
    """Print what a run did, what is served, and what to type next."""
    _print_reports(run.reports)
    _print_served(where, views=answers)
    if answers:
        _print_answers(where.view_file)
    _print_next(run, where)


def _print_reports(reports: Sequence[Report]) -> None:
    table = _titled("What became of what was read", Table(box=SIMPLE_HEAD, pad_edge=False))
    table.add_column("source", no_wrap=True)
    table.add_column("seen", justify="right", no_wrap=True)
    shown = [name for name in _OUTCOMES if name in _ALWAYS or any(getattr(r.counts, name) for r in reports)]
    for name in (*shown, "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    for report in reports:
        figures = [_figure(name, getattr(report.counts, name)) for name in shown]
        table.add_row(report.source, f"{report.counts.seen:,} {report.unit}", *figures, f"{report.seconds:.2f}")
    out.print(table)
    for report in reports:
        for notice in report.landed.notices if report.landed else ():
            err.print(f"[dim]{escape(report.source)}: {escape(notice)}[/]")
        for problem in report.landed.problems if report.landed else ():
            err.print(f"[yellow]{escape(report.source)}: {escape(problem)}[/]")
        if report.error:
            err.print(f"[red]{escape(report.error)}[/]")


def _figure(name: str, value: int) -> str:
    if value and name in {"quarantined", "failed", "partial"}:
        return f"[yellow]{value:,}[/]"
    return f"{value:,}" if value else "[dim]0[/]"


def _print_served(where: Settings, *, views: bool) -> None:
    """Print the tables that are served with their rows, and with `views` the views with theirs."""
    with closing(_read(where.view_file)) as con:
        served = [
            (f"{schema}.{name}", comment or "")
            for schema, name, comment in con.execute(
                "SELECT schema_name, view_name, comment FROM duckdb_views() WHERE NOT internal ORDER BY ALL"
            ).fetchall()
        ]
        pinned = dict(con.execute("SELECT table_name, rows FROM ops.pins").fetchall())
        table = _titled(f"Served in {where.view_file}", Table(box=SIMPLE_HEAD, pad_edge=False))
        table.add_column("view", no_wrap=True)
        table.add_column("rows", justify="right", no_wrap=True)
        table.add_column("a row is", no_wrap=True)
        names = [name for name, _ in served]
        room = max(20, out.width - max(map(len, names), default=0) - 18)
        for name, comment in served:
            if name in pinned and not pinned[name] and not views:
                continue
            if views or name in pinned:
                table.add_row(
                    name, f"{pinned[name] if name in pinned else _count(con, name):,}", escape(_short(comment, room))
                )
    out.print(table)


def _count(con: duckdb.DuckDBPyConnection, view: str) -> int:
    row = con.execute(f"SELECT count(*) FROM {view}").fetchone()
    return int(row[0]) if row else 0


def _print_answers(view_file: Path) -> None:
    with closing(_read(view_file)) as con:
        for query in read_queries(bundled("sql") / "queries"):
            out.print(f"\n[bold]{escape(query.question)}[/]", highlight=False)
            out.print(_table(con.execute(query.sql), most=3, note=f"sql/queries/{query.name}.sql"))


def _print_next(run: Run, where: Settings) -> None:
    flag = "" if where.lake.endswith("/data/lake") else f" --lake {where.lake}"
    out.print(f"\n{run.seconds:.1f} s. Next:")
    if any(report.counts.quarantined for report in run.reports):
        out.print(f"  notelake quarantine list{flag}", highlight=False)
    for command in (f"notelake sql{flag}", f"duckdb -readonly {where.view_file}", "make ui"):
        out.print(f"  {command}", highlight=False, soft_wrap=True)


def print_query(view_file: Path, query: str, form: str) -> None:
    """Run one query on the lake, read-only, and print its result. Raises `UsageError` with DuckDB's own words."""
    with closing(_read(view_file)) as con:
        try:
            result = con.execute(query)
        except duckdb.Error as error:
            raise UsageError(f"DuckDB refused the query: {error}") from error
        _print_result(result, form)


def _print_result(result: duckdb.DuckDBPyConnection, form: str) -> None:
    names = [column[0] for column in result.description or ()]
    if form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        while rows := result.fetchmany(10_000):
            writer.writerows(rows)
    elif form == "json":
        while rows := result.fetchmany(10_000):
            for row in rows:
                print(json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False, default=str))
    else:
        out.print(_table(result, most=ROWS_SHOWN))


def _table(result: duckdb.DuckDBPyConnection, *, most: int, note: str = "--format csv or json gives all") -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    numeric = {"NUMBER", "BIGINT", "DOUBLE", "HUGEINT", "INTEGER"}
    for column in result.description or ():
        table.add_column(escape(column[0]), justify="right" if str(column[1]) in numeric else "left")
    rows = result.fetchmany(most + 1)
    for row in rows[:most]:
        table.add_row(*(escape(_cell(value)) for value in row))
    if len(rows) > most:
        table.caption, table.caption_justify = f"the first {most} rows; {note}", "left"
    return table


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return _short(str(value).replace("\n", "⏎"), _CELL)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def print_status(lake: Lake, view_file: Path) -> None:
    """Print what each source holds and when it was last looked at, and how large the lake is."""
    with closing(_read(view_file)) as con:
        out.print(
            _titled("Sources", _table(con.execute("SELECT * FROM insights.sources ORDER BY source"), most=ROWS_SHOWN))
        )
        (published_at, publication) = con.execute(
            "SELECT published_at::VARCHAR, publication_id FROM ops.publication"
        ).fetchall()[0]
    table = _titled("Tables", Table(box=SIMPLE_HEAD, pad_edge=False))
    for name, justify in (
        ("table", "left"),
        ("rows", "right"),
        ("files", "right"),
        ("MB", "right"),
        ("snapshots", "right"),
    ):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for name, pin in lake.pins().items():
        snapshots = len(lake.metadata(pin.metadata_location).snapshots)
        table.add_row(name, f"{pin.rows:,}", f"{len(pin.files):,}", f"{pin.bytes / 1e6:,.1f}", str(snapshots))
    out.print(table)
    out.print(f"Served in {view_file} since {published_at} (publication {publication}).", soft_wrap=True)


def _titled(title: str, table: Table) -> Table:
    table.title, table.title_justify = title, "left"
    return table


_OPEN: Final = """
    SELECT {columns} FROM ops.quarantine AS q
    WHERE released_at IS NULL AND discarded_at IS NULL AND (? IS NULL OR source = ?)
      AND (? IS NULL OR starts_with(unit, ?) OR starts_with(key, ?))
      AND ({everything} OR NOT EXISTS (
        SELECT 1 FROM notes.versions AS v
        WHERE v.source = q.source AND (v.note_id = q.unit OR v.path = q.key) AND v.sequence > q.sequence))
    ORDER BY source, file, line, rule
"""


def print_quarantine(view_file: Path, source: str | None, *, everything: bool, form: str) -> None:
    """Print one line per refused unit and rule."""
    place = "file || coalesce(':' || line, '') AS place"
    columns = f"source, rule, reason, {place}, key, quarantined_at::VARCHAR AS quarantined_at"
    query = _OPEN.format(columns=columns, everything=str(everything).lower())
    with closing(_read(view_file)) as con:
        _print_result(con.execute(query, [source, source, None, None, None]), form)


def print_refused(view_file: Path, source: str | None, unit: str | None) -> None:
    """Print refused units in full."""
    query = _OPEN.format(columns="source, rule, reason, file, line, key, unit, batch_id, payload", everything="true")
    with closing(_read(view_file)) as con:
        rows = con.execute(query, [source, source, unit, unit, unit]).fetchall()
    for source_, rule, reason, file, line, key, unit_, batch_id, payload in rows:
        place = f"{file}:{line}" if line else file
        out.print(f"[bold]{escape(source_)}[/] {escape(str(place))}  [yellow]{escape(rule)}[/]", highlight=False)
        out.print(f"  {escape(reason)}\n  key {escape(str(key))}, unit {unit_}, batch {batch_id}", highlight=False)
        out.print(escape(payload or ""), highlight=False, style="dim")
    if not rows:
        out.print("Nothing is in quarantine here.")


def print_findings(findings: Sequence[Finding]) -> None:
    """Print what the doctor found, with a way out where something is wrong."""
    for finding in findings:
        out.print(
            f"{_STATES[finding.state]:>4}  [bold]{escape(finding.name)}[/]  {escape(finding.fact)}", soft_wrap=True
        )
        if finding.state != "ok" and finding.way_out:
            out.print(f"      → {escape(finding.way_out)}", soft_wrap=True)


def _read(view_file: Path) -> duckdb.DuckDBPyConnection:
    """Open the view file read-only; a file that is being swapped is opened as it was or as it will be."""
    con = duckdb.connect(str(view_file), read_only=True)
    con.execute("SET TimeZone = 'UTC'")
    return con
