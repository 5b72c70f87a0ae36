"""How the `notelake` command looks: progress on standard error, results on standard output.

What belongs here: rendering. What does not: computing what is rendered.
"""

from __future__ import annotations

import base64
import json
import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import duckdb
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from dagster_project.errors import LakeMoved, UsageError
from dagster_project.reports import Counts, Observer, Report
from dagster_project.settings import Settings, bundled, settings
from dagster_project.sql_words import literal
from dagster_project.views.anomalies import unusual
from dagster_project.views.results import write, write_lines
from dagster_project.views.sql_files import read_queries

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

    from dagster_project.dialects.unload import Unload
    from dagster_project.doctor import Finding
    from dagster_project.lake.lake import Lake
    from dagster_project.pipeline import Run
    from dagster_project.rewind import Rewound, States
    from dagster_project.sources import Source
    from dagster_project.steps.ask import Question
    from dagster_project.steps.plan import Plan
    from dagster_project.steps.release import Released

ROWS_SHOWN: Final = 200
"""Rows of a result that a table on the terminal shows; csv and json give all."""
_CELL: Final = 120
_WIDTH: Final = 200
"""Columns where nobody's terminal says how many."""
_GAP: Final = 3
"""Columns a table puts between two of its own."""
_NUMBERS: Final = (
    "BIGINT",
    "DECIMAL",
    "DOUBLE",
    "FLOAT",
    "HUGEINT",
    "INTEGER",
    "SMALLINT",
    "TINYINT",
    "UBIGINT",
    "UINTEGER",
)
_ALWAYS: Final = ("unchanged", "committed", "quarantined")
_OUTCOMES: Final = ("unchanged", "committed", "removed", "duplicate", "quarantined", "discarded", "failed", "partial")
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
        unit = report.unit[:-1] if report.counts.seen == 1 else report.unit
        table.add_row(report.source, f"{report.counts.seen:,} {unit}", *figures, f"{report.seconds:.2f}")
    _show(table)
    for report in reports:
        if not report.counts.seen and not report.error and not (report.landed and report.landed.is_paused):
            err.print(f"[dim]{escape(report.source)}: nothing was found there[/]")
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
    _show(table)


def _count(con: duckdb.DuckDBPyConnection, view: str) -> int:
    row = con.execute(f"SELECT count(*) FROM {view}").fetchone()
    return int(row[0]) if row else 0


def _print_answers(view_file: Path) -> None:
    with closing(_read(view_file)) as con:
        for query in read_queries(bundled("sql") / "queries"):
            out.print(f"\n[bold]{escape(query.question)}[/]", highlight=False)
            _show(_table(con.sql(query.sql), most=3, note=f"sql/queries/{query.name}.sql"))


def _print_next(run: Run, where: Settings) -> None:
    notelake, duckdb_shell = _typed("notelake"), _typed("duckdb")
    flag = "" if where.lake == settings().lake else f" --lake {shlex.quote(where.lake)}"
    out.print(f"\n{run.seconds:.1f} s. Next:")
    commands = [f"{notelake} sql{flag}", f"{duckdb_shell} -readonly {shlex.quote(str(where.view_file))}"]
    if any(report.counts.quarantined for report in run.reports):
        commands.insert(0, f"{notelake} quarantine list{flag}")
    if os.path.exists("Makefile") and os.path.exists("workspace.yaml"):
        commands.append("make ui")
    for command in commands:
        out.print(f"  {command}", highlight=False, soft_wrap=True, markup=False)


def _typed(program: str) -> str:
    """Return what to type for `program`: its name where the shell finds it, else its path beside this command."""
    if shutil.which(program):
        return program
    path = os.path.join(os.path.dirname(sys.argv[0]), program)
    return shlex.quote(path) if os.path.exists(path) else program


def print_states(states: States) -> None:
    """Print the states a source can be put back to, newest first."""
    for point in reversed(states.kept):
        at = f"{point.at:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z" if point.at else ""
        out.print(
            f"{at}  up to {point.cursor:,}  snapshot {point.snapshot_id}  {escape(point.made_by)}", highlight=False
        )
    err.print(f"[dim]{states.landings:,} landings are in raw: a time before the states above means what had landed.[/]")


def print_rewound(done: Rewound, *, dry_run: bool) -> None:
    """Print what a rewind changed, or would change, and what comes next."""
    for line in _told_of_rewind(done, dry_run=dry_run):
        out.print(escape(line), highlight=False, soft_wrap=True)


def _told_of_rewind(done: Rewound, *, dry_run: bool) -> Iterator[str]:
    name, to, rows = done.source, done.point.cursor, done.rows
    one, many = ("would be", "would be") if dry_run else ("is", "are")
    if done.origin == "present":
        yield f"{name} stands so: committed up to {to:,}. Nothing {'would change' if dry_run else 'was changed'}."
        return
    if done.origin == "kept":
        how = f"as it was at {done.point.at:%Y-%m-%dT%H:%M:%SZ}" if done.point.at else "as it was before its first run"
    else:
        batches = "" if dry_run else f" in {done.batches:,} {'batch' if done.batches == 1 else 'batches'}"
        how = f"made again from raw{batches}"
    yield f"{name} {one} {how}: committed up to {to:,} of {done.landed:,} arrivals."
    if not done.is_declared:
        yield f"{name} is not declared here, so its rows {many} made by the defaults of its kind."
    if rows is not None:
        changed = ((table, rows.before[table], after) for table, after in rows.after.items())
        yield from (
            f"  {table}: {after:,} rows, {before:,} before" for table, before, after in changed if after != before
        )
    if rows is not None and rows.decisions_undone:
        units = "1 refusal" if rows.decisions_undone == 1 else f"{rows.decisions_undone:,} refusals"
        yield f"What was decided about {units} {one} undone: notelake quarantine list {name}."
    if done.landed > to:
        yield f"The next run makes the arrivals after {to:,}, unless you pause it: notelake bookmark pause {name}."


def print_query(
    view_file: Path,
    question: Question,
    form: str,
    *,
    output: str | None = None,
    max_scan: int | None = None,
    files: AbstractFileSystem | None = None,
    unload: Unload | None = None,
) -> None:
    """Run SQL on the lake, read-only; print the result of each statement, or write the last one's to `output`.

    `files` is the store the lake lies in, if it lies in one; the rows of an `unload` go where that says.
    What it cost goes to standard error. Raises `UsageError` with DuckDB's own words or if it would scan more than
    `max_scan` bytes, and `LakeMoved` if the files of the views are not there.
    """
    from dagster_project.steps.ask import ask

    output = unload.target if unload else output

    def show(result: duckdb.DuckDBPyRelation) -> int:
        if unload:
            from dagster_project.steps import unload as unloading

            name = f"{question.submitted_at:%Y%m%d_%H%M%S}_{uuid4()}"
            return unloading.unload(con, question.sql, unload, execution_id=name)
        return _print_result(result, form) if output is None else write(result, form, Path(output))

    with closing(_read(view_file, files)) as con, _refused(view_file):
        told, why = ask(con, view_file, question, show, max_scan=max_scan, files=files, output=output)
    err.print(f"{told}" + (f", in {output}" if output else ""), highlight=False, markup=False, soft_wrap=True)
    if why:
        err.print(f"The query is not in ops.queries: {why}", highlight=False, markup=False, soft_wrap=True)


def column_types(view_file: Path, files: AbstractFileSystem | None = None) -> dict[str, dict[str, str]]:
    """Return the columns of every relation that is served, `schema.name`, with their types in DuckDB's words."""
    found: dict[str, dict[str, str]] = {}
    with closing(_read(view_file, files)) as con:
        for schema, relation, column, kind in con.execute(
            "SELECT schema_name, table_name, column_name, data_type FROM duckdb_columns() "
            "WHERE NOT internal ORDER BY schema_name, table_name, column_index"
        ).fetchall():
            found.setdefault(f"{schema}.{relation}", {})[column] = kind
    return found


@contextmanager
def _refused(view_file: Path) -> Iterator[None]:
    """Turn what DuckDB says against a query into one of notelake's own errors."""
    try:
        yield
    except duckdb.IOException as error:
        if "No files found" not in str(error):
            raise UsageError(f"DuckDB refused the query: {error}") from error
        folder = shlex.quote(str(view_file.parent))
        raise LakeMoved(
            f"{view_file} reads files that are not there: {error}\nIf the lake was moved or copied, "
            f"`notelake relocate --lake {folder}` mends it; else see `notelake doctor --lake {folder}`."
        ) from error
    except duckdb.Error as error:
        raise UsageError(f"DuckDB refused the query: {error}") from error


def _print_result(result: duckdb.DuckDBPyRelation, form: str) -> int:
    """Print a result; return how many rows were printed."""
    if form != "table":
        return write_lines(result, form, sys.stdout)
    table = _table(result, most=ROWS_SHOWN)
    _show(table)
    return _rows_in(table, len(result.columns))


def _rows_in(table: Table, columns: int) -> int:
    """Return how many rows of the result a table shows: it has them one below the other, or one in several lines."""
    return table.row_count if table.show_header else table.row_count // max(columns, 1)


def _texts(result: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """Return the rows as DuckDB writes their values, whatever Python would make of them."""
    return result.project("CAST(COLUMNS(*) AS VARCHAR)")


def _batches(result: duckdb.DuckDBPyRelation) -> Iterator[tuple[Any, ...]]:
    while rows := result.fetchmany(10_000):
        yield from rows


def _table(result: duckdb.DuckDBPyRelation, *, most: int, note: str = "--format csv or json gives all") -> Table:
    """Return a result as a table, or one record below the other where its columns don't fit the terminal."""
    names, types = result.columns, [str(type_) for type_ in result.types]
    rows = _texts(result.limit(most + 1)).fetchall()
    fits = sum(map(len, names)) + _GAP * len(names) <= out.width
    table = _rows(names, types, rows[:most]) if fits else _records(names, rows[:most])
    if len(rows) > most:
        table.caption, table.caption_justify = f"the first {most} rows; {note}", "left"
    return table


def _rows(names: Sequence[str], types: Sequence[str], rows: Sequence[Sequence[str | None]]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name, type_ in zip(names, types, strict=True):
        table.add_column(escape(name), justify="right" if type_.startswith(_NUMBERS) else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(_cell(value)) for value in row))
    return table


def _records(names: Sequence[str], rows: Sequence[Sequence[str | None]]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        for name, value in zip(names, row, strict=True):
            table.add_row(escape(name), escape(_cell(value)))
        table.add_section()
    return table


def _show(table: Table) -> None:
    """Print a table; without spaces at the ends of lines where it goes into a file or a pipe."""
    if out.is_terminal:
        out.print(table)
        return
    with out.capture() as captured:
        out.print(table)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _cell(value: str | None) -> str:
    return "" if value is None else _short(value.replace("\n", "⏎"), _CELL)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def print_status(lake: Lake, view_file: Path) -> None:
    """Print what each source holds and when it was last looked at, how large the lake is, and what is unusual."""
    with closing(_read(view_file)) as con:
        _show(_titled("Sources", _table(con.sql("SELECT * FROM insights.sources ORDER BY source"), most=ROWS_SHOWN)))
        (published_at, publication) = con.execute(
            "SELECT published_at::VARCHAR, publication_id FROM ops.publication"
        ).fetchall()[0]
        told = unusual(con)
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
    _show(table)
    for source, words in told:
        out.print(f"[yellow]Unusual: {escape(source)}: {escape(words)}.[/]", soft_wrap=True)
    out.print(f"Served in {view_file} since {published_at} (publication {publication}).", soft_wrap=True)


def _titled(title: str, table: Table) -> Table:
    table.title, table.title_justify = title, "left"
    return table


_PLACE: Final = (
    "file || CASE WHEN line IS NOT NULL THEN ':' || line WHEN key = file THEN '' ELSE ' ' || coalesce(key, unit) END"
)
_BRIEF: Final = f"source, rule, {_PLACE} AS place, reason"
_FULL: Final = "source, rule, reason, file, line, key, unit, batch_id, quarantined_at, state"
_ENCODED: Final = "base64:"
_NOTHING: Final = "Nothing is in quarantine here."


def print_quarantine(lake: Lake, source: str | None, *, rule: str | None, everything: bool, form: str) -> None:
    """Print one line per refused unit and rule. Raises `UsageError` for a source the lake has never seen."""
    columns, states = (_BRIEF if form == "table" else _FULL), ["open", *(["superseded"] if everything else [])]
    with closing(lake.connect()) as con:
        result = con.sql(
            f"SELECT {columns} FROM {_refusals(lake, source)} AS q WHERE list_contains(?, state) "
            "AND (? IS NULL OR rule = ?) ORDER BY source, file, line, rule",
            params=[states, rule, rule],
        )
        if form == "table" and not result.limit(1).fetchall():
            out.print(_NOTHING)
        else:
            _print_result(result, form)


def print_refused(lake: Lake, unit: str, source: str | None) -> None:
    """Print all that is known of one refused unit, by its key, its id, or how one of these begins.

    Raises `UsageError` if there is none, or for a source the lake has never seen.
    """
    at = ", ".join(f"{name}::VARCHAR AS {name}" for name in ("quarantined_at", "released_at", "discarded_at"))
    with closing(lake.connect()) as con:
        con.execute(f"CREATE TEMP TABLE refused AS SELECT * REPLACE ({at}) FROM {_refusals(lake, source)} AS q")
        for condition in ("unit = $1 OR key = $1", "starts_with(unit, $1) OR starts_with(key, $1)"):
            rows = con.execute(f"SELECT * FROM refused WHERE {condition} ORDER BY sequence, rule", [unit])
            if found := rows.to_arrow_table().to_pylist():
                break
    if not found:
        where = f" of {source}" if source else ""
        raise UsageError(
            f"No unit or key{where} in quarantine begins with {unit!r}. `notelake quarantine list --all` lists them."
        )
    for refusal in found:
        _print_refusal(refusal)


def _refusals(lake: Lake, source: str | None) -> str:
    from dagster_project.steps.refused import all_refusals  # brings pyiceberg, which most commands do without

    return all_refusals(lake, source)


def _print_refusal(refusal: Mapping[str, Any]) -> None:
    place = f"{refusal['file']}:{refusal['line']}" if refusal["line"] else refusal["file"]
    title = f"[bold]{escape(refusal['source'])}[/] {escape(str(place))}  [yellow]{escape(refusal['rule'])}[/]"
    words = (
        "  {reason}\n  key {key}, unit {unit}, arrival {sequence}, batch {batch_id}\n  refused at {quarantined_at}; "
    ).format_map(refusal)
    out.print(title, highlight=False)
    out.print(words + _BECAME[refusal["state"]].format_map(refusal), highlight=False, soft_wrap=True, markup=False)
    out.print(_readable(refusal["payload"] or ""), highlight=False, soft_wrap=True, markup=False, style="dim")


_BECAME: Final = {
    "open": "it waits: `notelake quarantine release` looks at it again, `discard` gives it up",
    "superseded": "superseded: the source has since said something newer of it",
    "released": "let through at {released_at}",
    "discarded": "given up at {discarded_at}: {discarded_why}",
}
"""What became of a refusal, by its state."""


def print_released(source: str, done: Released) -> None:
    """Print what became of the units of a source that were looked at again."""
    told = [f"{done.released:,} let through", f"{done.refused:,} refused again"]
    if done.superseded:
        told.append(f"{done.superseded:,} left alone, for the source has since said something newer")
    out.print(f"{source}: {', '.join(told)}.", highlight=False, soft_wrap=True)
    if done.unread:
        out.print(
            f"{source}: {done.unread:,} could not be read when their files or tables were: mend the declaration or the "
            f"source, and `notelake run {source} --reread` reads these files again, and tables of a database whole, "
            "wherever their cursor is.",
            highlight=False,
            soft_wrap=True,
        )


def print_standing(counts: Counts) -> None:
    """Print the balance of a source."""
    terms = [f"{value:,} {name}" for name in _OUTCOMES if name != "partial" and (value := getattr(counts, name))]
    out.print(f"{counts.seen:,} seen = {' + '.join(terms) or 0}", highlight=False, soft_wrap=True)


def _check_known(con: duckdb.DuckDBPyConnection, source: str | None) -> None:
    known = [name for (name,) in con.execute("SELECT DISTINCT source FROM ops.ledger ORDER BY 1").fetchall()]
    if source is not None and source not in known:
        raise UsageError(f"The lake holds no source called {source}. There are: {', '.join(known) or 'none yet'}.")


def _readable(payload: str) -> str:
    r"""Return a payload for people: JSON with a line per key, bytes that are no text with escapes instead of base64.

    >>> print(_readable("base64:Q2Fm6Q=="))
    Caf\xe9
    >>> print(_readable('{"id": 1}'))
    {
      "id": 1
    }
    """
    if not payload.startswith(_ENCODED):
        try:
            return json.dumps(json.loads(payload), indent=2, ensure_ascii=False)
        except ValueError:
            return payload
    return base64.b64decode(payload.removeprefix(_ENCODED)).decode("utf-8", "backslashreplace")


BAD: Final = ("partial", "quarantined", "failed")
"""What the ledger calls an input that did not come through whole."""
_ROOTED: Final = "rtrim({root}, '/') || '/' || path"


@dataclass(frozen=True, slots=True)
class LedgerWanted:
    """Which rows of the ledger to print, and how."""

    source: str | None
    only_bad: bool
    every_row: bool
    form: str


def print_ledger(view_file: Path, wanted: LedgerWanted, sources: Sequence[Source]) -> bool:
    """Print what became of inputs, the place first as an editor opens it; return whether one of them is bad.

    A place is a path on this machine where `sources` tell of one, else the path in the source. Raises `UsageError` for
    a source the lake has never seen.
    """
    relation = f"({_EVERY_ROW})" if wanted.every_row else "ops.inputs"
    told = f"SELECT {_place_of(sources)} AS place, * FROM {relation} AS input WHERE ? IS NULL OR source = ?"
    with closing(_read(view_file)) as con, _refused(view_file):
        _check_known(con, wanted.source)
        params = [wanted.source, wanted.source]
        (bad,) = con.execute(f"SELECT count(*) FROM ({told}) AS t WHERE is_bad", params).fetchone() or (0,)
        only = " WHERE is_bad" if wanted.only_bad else ""
        result = con.sql(f"SELECT * FROM ({told}) AS t{only} ORDER BY source, path, sequence", params=params)
        if wanted.form == "table":
            _print_inputs(result)
        else:
            _print_result(result, wanted.form)
    return bool(bad)


_EVERY_ROW: Final = f"""
    SELECT source, path, op, status, status IN {BAD} AS is_bad, parser, encoding, dropped, error, line, bytes,
      characters_in, characters_out, sequence, batch_id, recorded_at
    FROM ops.ledger"""


def _place_of(sources: Sequence[Source]) -> str:
    """Return SQL for the place of an input: `path:line`, absolute where its source is a folder or file on this machine.

    >>> _place_of([])
    "path || coalesce(':' || line, '')"
    """
    local = [(source.name, root) for source in sources if (root := _root_of(source))]
    whole = "".join(f" WHEN {literal(name)} THEN {_ROOTED.format(root=literal(root))}" for name, root in local)
    return f"{f'CASE source{whole} ELSE path END' if whole else 'path'} || coalesce(':' || line, '')"


def _root_of(source: Source) -> str | None:
    """Return the folder that the paths of a source count from, if it lies on this machine."""
    if source.is_remote or not os.path.exists(source.path):
        return None
    return source.path if os.path.isdir(source.path) else os.path.dirname(source.path)


def _print_inputs(result: duckdb.DuckDBPyRelation) -> None:
    """Print one line per input, as compilers do: editors find the place at its beginning."""
    empty = True
    columns = "place, status, dropped, error, parser, encoding"
    for place, status, dropped, error, parser, encoding in _batches(result.project(columns)):
        empty = False
        style = "yellow" if status in BAD else "dim"
        words = [word for word in (_constructs(dropped), error) if word]
        read_by = ", ".join(word for word in (parser, encoding) if word)
        told = f"{': ' if words else ''}{'; '.join(words)}{f'  [{read_by}]' if read_by else ''}"
        line = f"{escape(place)}: [{style}]{status}[/]{escape(told)}".replace("\n", "⏎")
        out.print(line, highlight=False, soft_wrap=True)
    if empty:
        out.print("Nothing of that sort is in the ledger.")


def _constructs(dropped: str | None) -> str | None:
    """Return what was not understood, in words.

    >>> _constructs('[{"construct": "front matter", "count": 2, "line": 3}]')
    '2 x front matter (first in line 3)'
    """
    if dropped is None:
        return None
    try:
        told = json.loads(dropped)
        return ", ".join(
            f"{each['count']} x {each['construct']}" + (f" (first in line {each['line']})" if each["line"] else "")
            for each in told
        )
    except (ValueError, TypeError, KeyError):
        return dropped  # as an earlier version of notelake wrote it


def print_findings(findings: Sequence[Finding]) -> None:
    """Print what the doctor found, with a way out where something is wrong."""
    for finding in findings:
        out.print(
            f"{_STATES[finding.state]:>4}  [bold]{escape(finding.name)}[/]  {escape(finding.fact)}", soft_wrap=True
        )
        if finding.state != "ok" and finding.way_out:
            out.print(f"      → {escape(finding.way_out)}", soft_wrap=True)


_PLANNED: Final = (
    ("added", "+", "new"),
    ("changed", "~", "changed"),
    ("moved", ">", "moved"),
    ("edited", ">", "moved and edited"),
    ("gone", "-", "gone"),
)
_PLANNED_SHOWN: Final = 20
"""Lines of each sort that a plan on the terminal shows; json gives all."""


def print_plans(planned: Sequence[Plan], form: str) -> None:
    """Print what a run would do, source by source; as json one object per source."""
    for plan in planned:
        if form == "json":
            print(json.dumps(asdict(plan), ensure_ascii=False))
        elif plan.error:
            err.print(f"[red]{escape(plan.error)}[/]", soft_wrap=True)
        else:
            _print_plan(plan)


def _print_plan(plan: Plan) -> None:
    sorts = [(len(getattr(plan, name)), word) for name, _, word in _PLANNED]
    told = [f"{count:,} {word}" for count, word in sorts if count]
    told += [f"{sum(size for _, size in plan.waiting):,} bytes to read"] if plan.waiting else []
    told += [f"{plan.pending:,} arrivals landed and not committed yet"] if plan.pending else []
    what = ", ".join(told) or ("see below" if plan.has_trouble else "nothing to do")
    out.print(f"[bold]{escape(plan.source)}[/]: {what}; {plan.unchanged:,} {plan.unit} unchanged", soft_wrap=True)
    for name, sign, _ in _PLANNED:
        _print_some([_planned_line(sign, each) for each in getattr(plan, name)])
    _print_some([f"  … {shard}: {size:,} bytes" for shard, size in plan.waiting])
    _print_some([f"  ! {each.path}: {each.status}: {each.reason}" for each in plan.unreadable])
    _print_some([f"  : {each.path}: {each.key} would be {each.after}, not {each.before}" for each in plan.retyped])
    _print_some(
        [
            f"  / {each.path}{f':{each.line}' if each.line else ''}: the {each.kind} {each.target} leads to "
            f"{each.leads_to} and would lead nowhere"
            for each in plan.broken
        ]
    )
    for notice in plan.notices:
        out.print(f"  {notice}", markup=False, highlight=False, soft_wrap=True)
    for problem in (*plan.problems, *([plan.refused] if plan.refused else [])):
        out.print(f"  {escape(problem)}", style="yellow", highlight=False, soft_wrap=True)


def _planned_line(sign: str, what: str | tuple[str, str]) -> str:
    return f"  {sign} {what}" if isinstance(what, str) else f"  {sign} {what[0]} -> {what[1]}"


def _print_some(lines: Sequence[str]) -> None:
    for line in lines[:_PLANNED_SHOWN]:
        out.print(line.replace("\n", "⏎"), markup=False, highlight=False, soft_wrap=True)
    if len(lines) > _PLANNED_SHOWN:
        out.print(f"    and {len(lines) - _PLANNED_SHOWN:,} more; --format json gives all", style="dim")


def _read(view_file: Path, files: AbstractFileSystem | None = None) -> duckdb.DuckDBPyConnection:
    """Open the view file read-only; a file that is being swapped is opened as it was or as it will be.

    `files` is the store the lake lies in: with it no extension of DuckDB is needed.
    """
    con = duckdb.connect(str(view_file), read_only=True)
    con.execute("SET TimeZone = 'UTC'")
    if files is not None:
        con.register_filesystem(files)
    return con
