"""The `notelake` command: words and options in, one call, a rendering out.

What belongs here: what a person types and the exit code. What does not: what it does (`pipeline`, `doctor`, `lake`) and
how it looks (`terminal.py`). Heavy imports stand in the commands that need them, so that `--help` is quick.

Exit codes: 0 done, 1 failed, 2 wrong use, 3 done but something was quarantined, partial or failed.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from threading import Event, Timer
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, ParamSpec
from uuid import uuid4

import click

from dagster_project.errors import NotelakeError, SourceInvalid, UsageError
from dagster_project.settings import DEFAULT_LAKE, Settings, bundled, project_root, settings

if TYPE_CHECKING:
    import duckdb

    from dagster_project.dialects.held import AsOf, Scan
    from dagster_project.lake.lake import Lake
    from dagster_project.landing.emit import Fsync
    from dagster_project.sources import Source, StreamSource
    from dagster_project.streaming import Until

P = ParamSpec("P")

OK: Final = 0
FAILED: Final = 1
WRONG_USE: Final = 2
TROUBLE: Final = 3
SOURCES: Final = "dagster_project/defs/sources"

lake_option = click.option(
    "--lake",
    "lake_uri",
    metavar="FOLDER|S3-PREFIX",
    help=f"The lake. Default: NOTELAKE_LAKE, else {DEFAULT_LAKE} in the project.",
)
gone_option = click.option(
    "--allow-gone", is_flag=True, help="Take it as meant when a large share of a document source vanished at once."
)
reread_option = click.option(
    "--reread",
    is_flag=True,
    help="Also read files again that did not come through whole last time, of notes or rows, e.g. after an extra was "
    "installed or a declaration mended.",
)


def _tells_errors(command: Callable[P, Any]) -> Callable[P, Any]:
    """Turn notelake's own errors into one line and an exit code."""

    @wraps(command)
    def told(*args: P.args, **kwargs: P.kwargs) -> Any:
        try:
            return command(*args, **kwargs)
        except NotelakeError as error:
            click.secho(f"notelake: {error}", fg="red", err=True)
            raise SystemExit(WRONG_USE if isinstance(error, UsageError) else FAILED) from error

    return told


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="notelake", prog_name="notelake")
def main() -> None:
    """Notes from Markdown vaults, tables and event streams in one Iceberg lake, audited, in SQL.

    \b
    Exit codes: 0 done, 1 failed, 2 wrong use,
                3 done, but something was quarantined, came through only in part, or failed.
    """


@main.command("run", short_help="Bring the declared sources into the lake.")
@click.argument("names", metavar="[SOURCE]...", nargs=-1)
@click.option("--answers", is_flag=True, help="Then count every view and answer the questions in sql/queries.")
@lake_option
@gone_option
@reread_option
@_tells_errors
def run_command(names: tuple[str, ...], *, answers: bool, lake_uri: str | None, allow_gone: bool, reread: bool) -> None:
    """Bring the declared sources into the lake: all of them, or those named."""
    _run(_chosen(names), settings(lake_uri), allow_gone=allow_gone, reread=reread, answers=answers)


@main.command(short_help="Bring any folder or file into the lake, undeclared.")
@click.argument("path", metavar="PATH_OR_URI")
@click.option("--kind", type=click.Choice(["documents", "table", "stream"]), help="What it is; guessed if left out.")
@click.option("--name", help="Name of the source; made from the path if left out.")
@lake_option
@gone_option
@reread_option
@_tells_errors
def ingest(
    path: str, *, kind: str | None, name: str | None, lake_uri: str | None, allow_gone: bool, reread: bool
) -> None:
    """Bring any folder or file into the lake without declaring it: the quickest way to try.

    The same path under the same NAME again brings in what has changed since.
    """
    from dagster_project.guess import guess_source

    source = guess_source(path, kind=kind, name=name)
    click.echo(f"{path} is read as {source.kind}, source {source.name!r}.", err=True)
    _run([source], settings(lake_uri), allow_gone=allow_gone, reread=reread, answers=False)


@main.command(short_help="Consume streams as events come, until it is stopped.")
@click.argument("names", metavar="[SOURCE]...", nargs=-1)
@click.option("--interval", type=click.FloatRange(0), default=1.0, show_default=True, help="Seconds between looks.")
@click.option(
    "--max-events",
    type=click.IntRange(1),
    default=100_000,
    show_default=True,
    help="Events after which a commit is made; what is beyond comes next, without waiting.",
)
@click.option(
    "--fold-interval",
    type=click.FloatRange(0),
    default=30.0,
    show_default=True,
    help="Seconds between folds of events into notes.",
)
@click.option(
    "--views-interval",
    type=click.FloatRange(0),
    default=2.0,
    show_default=True,
    help="Seconds from a commit to the views that show it.",
)
@click.option("--once", is_flag=True, help="End after one look at each stream.")
@click.option("--until-idle", is_flag=True, help="End when nothing more has come.")
@click.option("--for", "seconds", type=click.FloatRange(0), metavar="SECONDS", help="End after so long.")
@click.option("--quiet", is_flag=True, help="Tell only what somebody should know.")
@lake_option
@_tells_errors
def stream(
    names: tuple[str, ...],
    *,
    interval: float,
    max_events: int,
    fold_interval: float,
    views_interval: float,
    once: bool,
    until_idle: bool,
    seconds: float | None,
    quiet: bool,
    lake_uri: str | None,
) -> None:
    """Consume the declared streams, all or those named, as their events come: commit them every second or so.

    SIGTERM or Ctrl-C ends it after the commit under way; it goes on where it was when it is started again, also after
    it was killed. A stream that can't be read is told and tried again. Two at once do each other no harm, nor does
    `notelake run` or Dagster's sensor beside it. The exit code is 3 if events were refused, or a stream can't be read.

    \b
    notelake stream live
    notelake stream --until-idle --quiet
    """
    from dagster_project.live import watching
    from dagster_project.streaming import Pace, consume

    if once and until_idle:
        raise UsageError("--once and --until-idle say when to end: give one of them.")
    sources = _streams(names)
    lake = _open(settings(lake_uri), create=True)
    pace = Pace(interval, max_events, fold_interval, views_interval)
    with _stopping(seconds) as stop, watching(quiet=quiet) as tell:
        until: Until = "once" if once else "idle" if until_idle else "stopped"
        done = consume(lake, sources, stop=stop, tell=tell, pace=pace, until=until)
    if not quiet:
        click.echo(
            f"{sum(each.counts.seen for each in done):,} events in {sum(each.commits for each in done):,} commits."
        )
    raise SystemExit(TROUBLE if any(each.trouble or each.counts.has_trouble for each in done) else OK)


@main.command(short_help="Write a stream's events out once more, from what has landed.")
@click.argument("source")
@click.option("--from", "since", metavar="TIME", help="Events that happened then or later (ISO 8601; UTC by default).")
@click.option("--to", "until", metavar="TIME", help="Events that happened before then.")
@click.option("--pattern", metavar="JSON", help="Events that fit a pattern, as EventBridge writes them.")
@click.option("--into", metavar="SOURCE|FOLDER", help="The stream to append them to. Default: standard output.")
@lake_option
@_tells_errors
def replay(
    source: str, *, since: str | None, until: str | None, pattern: str | None, into: str | None, lake_uri: str | None
) -> None:
    """Write the events of SOURCE out once more, each once, from raw: the source itself is not asked.

    With --into they become a shard of that stream's log, called by what was asked for. The same command again writes
    only what has landed since, and a stream that has had an event takes it as a duplicate.

    \b
    notelake replay live --from 2026-05-14 --pattern '{"detail-type": [{"prefix": "note."}]}' --into /tmp/copy
    """
    from dagster_project.model.pattern import read_pattern
    from dagster_project.replay import Replay, replay_into, replay_to

    asked = Replay(source, _instant(since), _instant(until), read_pattern(pattern) if pattern else None)
    lake = _open(settings(lake_uri))
    done = replay_into(lake, asked, _log(into)) if into else replay_to(lake, asked, sys.stdout.buffer)
    click.echo(f"{done.events:,} events are meant; {done.written:,} were written.", err=True)


def _streams(names: Sequence[str]) -> list[StreamSource]:
    """Return the declared streams, or those named."""
    from dagster_project.sources import StreamSource

    chosen = _chosen(names)
    if others := [source.name for source in chosen if names and not isinstance(source, StreamSource)]:
        raise UsageError(f"{', '.join(others)} is no stream: `notelake run` brings it in.")
    streams = [source for source in chosen if isinstance(source, StreamSource)]
    if not streams:
        raise UsageError("No stream is declared. The README says how to declare one.")
    return streams


@contextmanager
def _stopping(seconds: float | None) -> Iterator[Event]:
    """Give an event that SIGTERM, SIGINT, or the end of so many seconds sets; a second signal ends at once."""
    stop = Event()

    def asked(number: int, _: object) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.default_int_handler)

    before = {number: signal.signal(number, asked) for number in (signal.SIGTERM, signal.SIGINT)}
    timer = Timer(seconds or 0, stop.set)
    timer.daemon = True
    if seconds is not None:
        timer.start()
    try:
        yield stop
    finally:
        timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)


@main.command(short_help="Append events to a stream's log.")
@click.argument("target", metavar="SOURCE|FOLDER")
@click.argument("events", metavar="[EVENT]...", nargs=-1)
@click.option("--shard", default="emitted", show_default=True, help="File to append to, without its ending .jsonl.")
@click.option(
    "--fsync",
    type=click.Choice(["always", "batch", "never"]),
    default="batch",
    show_default=True,
    help="When what was written is made durable: after each event, after each batch (what was read at once, 1,000 at "
    "the most), or when the system likes.",
)
@click.option("--as-is", is_flag=True, help="Do not give an id and a time to events that have none.")
@click.option(
    "--rotate-bytes",
    type=click.IntRange(1),
    help="Begin a new file once one has so many bytes; files that a run has read may then be deleted, oldest first.",
)
@_tells_errors
def emit(
    target: str, events: tuple[str, ...], *, shard: str, fsync: Fsync, as_is: bool, rotate_bytes: int | None
) -> None:
    """Append events, each a JSON object, to the log of a stream: those given, or standard input, one a line.

    TARGET is a declared stream, or a folder, which is made. What is no JSON object is told with its number and the
    others are written; the exit code is 3 then. A run brings them into the lake, each once, by its id.

    \b
    notelake emit live '{"type": "note.created", "path": "a", "detail": {"title": "A"}}'
    tail -f app.log | notelake emit /tmp/live --shard app
    """
    from dagster_project.landing.emit import completed, pieces
    from dagster_project.landing.emit import emit as append

    done = append(
        [events] if events else pieces(sys.stdin.buffer),
        _log(target),
        shard=shard,
        fsync=fsync,
        complete=(lambda event: event) if as_is else lambda event: completed(event, new_id=_new_id, now=_now()),
        rotate_bytes=rotate_bytes,
    )
    for number, why in done.refused:
        click.secho(f"notelake: event {number} is {why}.", fg="red", err=True)
    click.echo(f"{done.written:,} {'event' if done.written == 1 else 'events'} written.", err=True)
    raise SystemExit(TROUBLE if done.refused else OK)


@main.command(short_help="Take events over HTTP into a stream's log.")
@click.option("--stream", metavar="SOURCE|FOLDER", help="Where to write them. Default: the one stream there is.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8711, show_default=True, help="0 is any free one.")
@click.option("--shard", default="collected", show_default=True, help="File to append to, without its ending .jsonl.")
@click.option(
    "--processes",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Processes that take events, each with a shard of its own: SHARD, SHARD-2 and so on.",
)
@click.option(
    "--token-file",
    metavar="FILE",
    help="Tokens, one a line, one of which must be borne; beside NOTELAKE_COLLECT_TOKEN.",
)
@click.option("--max-body", type=click.IntRange(1), default=1024**2, show_default=True, help="Bytes of a request.")
@click.option(
    "--max-waiting",
    type=click.IntRange(1),
    default=64 * 1024**2,
    show_default=True,
    help="Bytes that may wait for the disk; who posts more is told to come again.",
)
@click.option("--as-is", is_flag=True, help="Do not give an id and a time to events that have none.")
@click.option(
    "--rotate-bytes",
    type=click.IntRange(1),
    default=256 * 1024**2,
    show_default=True,
    help="Begin a new file once one has so many bytes; files that a run has read may then be deleted, oldest first.",
)
@_tells_errors
def collect(
    stream: str | None,
    *,
    host: str,
    port: int,
    shard: str,
    processes: int,
    token_file: str | None,
    max_body: int,
    max_waiting: int,
    as_is: bool,
    rotate_bytes: int,
) -> None:
    """Take events over HTTP, and answer 202 once they are durable in the log of a stream. SIGTERM ends it.

    Taken are JSON (an object, an array, or lines) and CloudEvents 1.0 (structured, binary, batch), posted to / or
    /events; GET /health tells how it does. Without a token it listens on loopback only.

    \b
    notelake collect --stream live
    curl -H 'content-type: application/json' -d '{"type": "note.created", "path": "a"}' localhost:8711
    """
    from dagster_project.landing.collector.app import Limits
    from dagster_project.landing.collector.serve import Serving, read_tokens, serve
    from dagster_project.landing.emit import completed

    folder = _log(stream or _only_log())
    serving = Serving(
        folder,
        shard,
        rotate_bytes,
        tokens=read_tokens(token_file, os.environ.get("NOTELAKE_COLLECT_TOKEN")),
        limits=Limits(max_body, max_waiting),
        complete=(lambda event: event) if as_is else lambda event: completed(event, new_id=_new_id, now=_now()),
    )
    serve(
        serving,
        (host, port),
        processes=processes,
        tell=lambda address: click.echo(f"Events posted to {address} go to {folder}.", err=True),
    )


def _only_log() -> str:
    """Return the name of the one declared stream in a local folder."""
    names = [source.name for source in _declared() if source.kind == "stream" and not source.is_remote]
    if len(names) != 1:
        raise UsageError(f"Which stream? Give --stream: a folder, or one of {', '.join(names) or 'none declared'}.")
    return names[0]


def _log(target: str) -> Path:
    """Return the folder of a declared stream, or the folder that is named."""
    declared = {source.name: source for source in _declared()}
    source = declared.get(target)
    if source is not None and (source.kind != "stream" or source.is_remote):
        raise UsageError(f"{target} is no stream in a local folder: events can't be appended to it.")
    if source is None and ("://" in target or Path(target).is_file()):
        raise UsageError(f"{target} is neither a declared stream nor a local folder.")
    return Path(source.path if source is not None else target).expanduser()


@main.command("plan", short_help="Show what a run would do, and do nothing.")
@click.argument("names", metavar="[SOURCE|PATH]...", nargs=-1)
@click.option("--name", help="Name of the source, for one PATH; made from the path if left out.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@lake_option
@reread_option
@_tells_errors
def plan_command(names: tuple[str, ...], *, name: str | None, form: str, lake_uri: str | None, reread: bool) -> None:
    """Show what a run over the declared sources, those named, or any folder or file would do; nothing is written.

    Per source: files that are new, changed, moved, moved and edited at once, gone, or would not come through whole;
    keys of front matter whose type would change; links that lead somewhere now and would lead nowhere. json writes
    one object per source.

    The exit code is 3 if something would not come through whole or would be refused, and 1 if no source can be
    looked at.

    \b
    notelake plan
    notelake plan my_vault --format json
    notelake plan ~/Notes --lake /tmp/mylake
    """
    from dagster_project import terminal
    from dagster_project.steps.plan import plans

    where = settings(lake_uri)
    sources = _planned(names, name)
    lake = _open(where) if where.is_remote or Path(where.lake).is_dir() else None
    planned = plans(lake, where, sources, reread=reread)
    terminal.print_plans(planned, form)
    if all(each.error for each in planned):
        raise SystemExit(FAILED)
    raise SystemExit(TROUBLE if any(each.has_trouble for each in planned) else OK)


@main.command("sql", short_help="Ask the lake in SQL, or open the DuckDB shell.")
@click.argument("query", required=False)
@click.option("--named", metavar="NAME", help="A query of sql/queries, by the name of its file.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "athena-csv", "json", "parquet"]),
    help="How the result is written; table by default, and with --output as the ending of its FILE says.",
)
@click.option("--output", metavar="FILE", help="Write the result there.")
@click.option("--max-scan", metavar="SIZE", help="Refuse a query that would scan more, e.g. 10MB, before it runs.")
@click.option(
    "--dialect",
    type=click.Choice(["duckdb", "athena", "redshift", "partiql"]),
    default="duckdb",
    show_default=True,
    help="Read the query as Athena, Redshift Spectrum or its PartiQL does, or refuse what would mean another thing.",
)
@click.option("--explain", is_flag=True, help="Show the DuckDB SQL that the query becomes, and do not run it.")
@lake_option
@_tells_errors
def sql_command(
    query: str | None,
    named: str | None,
    form: str | None,
    output: str | None,
    max_scan: str | None,
    dialect: str,
    lake_uri: str | None,
    *,
    explain: bool,
) -> None:
    """Ask the lake in SQL: one QUERY, a file of SQL, a query on standard input (-), or the DuckDB shell.

    csv writes NULL as nothing and an empty text as ""; athena-csv quotes every value, as Athena does; json writes one
    object per line. Standard error tells rows, seconds, and the bytes the query scanned, as Athena counts them;
    ops.queries keeps them.

    \b
    notelake sql "SELECT source, count(*) FROM notes.notes GROUP BY 1"
    notelake sql --named due_tasks --format csv
    notelake sql "SELECT title FROM notes.notes" --max-scan 10MB --output titles.parquet
    notelake sql --dialect athena "SELECT element_at(tags, 1) FROM notes.notes" --explain
    notelake sql
    """
    from dagster_project import terminal

    asked_at, since = _now(), perf_counter()
    where = settings(lake_uri)
    file = _view_file(where)
    form = _form(form, output)
    if query is None and named is None and sys.stdin.isatty():
        _shell(file)
    text = _named(named, query) if named else sys.stdin.read() if query in {None, "-"} else _query_text(query or "")
    sql = text if dialect == "duckdb" else _translated(text, dialect, file, where)
    if explain:
        click.echo(sql)
        return
    from dagster_project.steps.ask import Question, bytes_of

    terminal.print_query(
        file,
        Question(text, dialect, sql, asked_at, since),
        form,
        output=output,
        max_scan=bytes_of(max_scan) if max_scan else None,
        is_remote=where.is_remote,
    )


def _form(form: str | None, output: str | None) -> str:
    """Return how a result is written. Raises `UsageError` for a table in a file, and for Parquet without one."""
    endings = {".csv": "csv", ".parquet": "parquet", ".json": "json", ".jsonl": "json", ".ndjson": "json"}
    chosen = form or (endings.get(Path(output).suffix.lower(), "table") if output else "table")
    if output and chosen == "table":
        raise UsageError(f"How {output} is to be written is not said. Give --format athena-csv, csv, json or parquet.")
    if chosen == "parquet" and not output:
        raise UsageError("Parquet is not for the terminal. Give --output FILE.")
    return chosen


def _named(name: str, query: str | None) -> str:
    """Return the text of a query of `sql/queries`, named as its file is, with its number or without."""
    if query is not None:
        raise UsageError("Give a query or --named, not both.")
    files = {file.stem: file for file in sorted((bundled("sql") / "queries").glob("*.sql"))}
    found = files.get(name) or next((files[each] for each in files if each.lstrip("0123456789_") == name), None)
    if found is None:
        raise UsageError(f"No query is called {name}. There are: {', '.join(files) or 'none'}.")
    return found.read_text("utf-8")


@main.command(short_help="Show what the lake holds and what is served.")
@lake_option
@_tells_errors
def status(lake_uri: str | None) -> None:
    """Show the lake: its sources with what they hold, its tables, what is served, and how far streams are behind.

    `waiting` is what the shards of a declared stream hold beyond what was read: bytes of a log, events of another.
    """
    from dagster_project import terminal
    from dagster_project.live import print_lags
    from dagster_project.sources import StreamSource
    from dagster_project.steps.lag import lag_of

    where = settings(lake_uri)
    file = _view_file(where)  # before the lake is opened: what is not there yet is no failure of the lake
    lake = _open(where)
    terminal.print_status(lake, file)
    landed = lake.catalog.locations()
    streams = (source for source in _declared() if isinstance(source, StreamSource))
    print_lags([lag_of(lake, source) for source in streams if f"raw.{source.name}" in landed])


@main.command(short_help="Show what became of each input.")
@click.argument("source", required=False)
@click.option("--bad", is_flag=True, help="Only what came through in part or not at all.")
@click.option("--all", "everything", is_flag=True, help="Also what was told of an input before it was looked at last.")
@click.option("--format", "form", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
@lake_option
@_tells_errors
def ledger(source: str | None, *, bad: bool, everything: bool, form: str, lake_uri: str | None) -> None:
    """Show what became of each input of SOURCE or of all when it was last looked at: one line each.

    A line begins with the place, FILE:LINE, as editors open it, and tells the status, how many constructs were not
    understood, the error, and what read the file. The exit code is 3 if one of them is partial, quarantined or failed.

    \b
    notelake ledger --bad
    notelake ledger my_vault --format json
    """
    from dagster_project import terminal

    wanted = terminal.LedgerWanted(source, only_bad=bad, every_row=everything, form=form)
    found = terminal.print_ledger(_view_file(settings(lake_uri)), wanted, _declared())
    raise SystemExit(TROUBLE if found else OK)


@main.command(short_help="Show what changed between two versions of a note.")
@click.argument("note")
@click.argument("old", metavar="[V1]", type=int, required=False)
@click.argument("new", metavar="[V2]", type=int, required=False)
@lake_option
@_tells_errors
def diff(note: str, old: int | None, new: int | None, lake_uri: str | None) -> None:
    """Show what changed in the file of NOTE from version V1 to version V2, as a unified diff.

    NOTE is its path (with or without SOURCE/), its title, or its note_id; V2 is the newest version if left out, V1 the
    one before it. notes.versions has them all, deleted notes' too.
    """
    from dagster_project import history

    with _served(settings(lake_uri)) as con:
        found = history.find_note(con, note)
        newer = history.read_version(con, found, number=new)
        older = history.before(con, found, newer) if old is None else history.read_version(con, found, number=old)
    lines = list(history.diff_lines(older, newer))
    for line in lines:
        click.secho(line, nl=False, fg={"+": "green", "-": "red", "@": "cyan"}.get(line[0]))
    if not lines:
        click.echo(f"Versions {older.number} and {newer.number} have the same text.", err=True)


@main.command(short_help="Write a deleted or older note back out as the file it was.")
@click.argument("note")
@click.option("--version", "number", type=int, help="Number of the version; the newest if left out.")
@click.option(
    "--at", metavar="TIME", help="The version that stood at this time (ISO 8601; UTC unless it says another)."
)
@click.option("--to", metavar="FILE", help="Write it there; else to where it lay in its source.")
@click.option("--stdout", is_flag=True, help="Write it to standard output.")
@click.option("--force", is_flag=True, help="Replace what lies there.")
@lake_option
@_tells_errors
def restore(
    note: str, *, number: int | None, at: str | None, to: str | None, stdout: bool, force: bool, lake_uri: str | None
) -> None:
    """Write NOTE back out as the file it was, byte for byte: one that was deleted, or an older version.

    NOTE is its path (with or without SOURCE/), its title, or its note_id. Nothing is overwritten without --force, and
    nothing is written out of the source's folder. The lake learns of it with the next run.

    \b
    notelake restore ideas/lake.md
    notelake restore "The lake" --version 2 --to before.md
    """
    from dagster_project import history

    if sum((number is not None, at is not None)) > 1 or (stdout and to is not None):
        raise UsageError("Give --version or --at, and --to or --stdout, not both.")
    with _served(settings(lake_uri)) as con:
        version = history.read_version(con, history.find_note(con, note), number=number, at=_instant(at))
    if not version.is_whole_file:
        click.echo(
            f"{version.path} lay in {version.file} with others; that file is written, with all it held.", err=True
        )
    if stdout:
        sys.stdout.buffer.write(version.content)
        return
    if to is not None:
        path = history.write_file(to, version.content, force=force)
    else:
        path = history.restore_in_source(version, _declared(), force=force)
    click.echo(f"Version {version.number} of {version.path}, {len(version.content):,} bytes, is in {path}.", err=True)


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no time. Write it as 2026-05-14 or 2026-05-14T12:00:00+02:00.") from error
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


@contextmanager
def _served(where: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open what is served, read-only; for a lake in an object store with what it takes to read there."""
    import duckdb

    file = _view_file(where)
    if not where.is_remote:
        with duckdb.connect(str(file), read_only=True) as con:
            yield con
        return
    from dagster_project.sql_words import literal

    with _open(where).connect() as con:
        con.execute(f"ATTACH {literal(str(file))} AS served (READ_ONLY)")
        con.execute("USE served")
        yield con


@main.command(short_help="Propose expectations for a source.")
@click.argument("source")
@click.option(
    "--out",
    metavar="FILE",
    help="Where to write the suite; - is standard output. Default: a file below expectations/suggested.",
)
@click.option("--write", is_flag=True, help="Put it in force: add its rules to expectations/raw.SOURCE.json.")
@lake_option
@_tells_errors
def suggest(source: str, *, out: str | None, write: bool, lake_uri: str | None) -> None:
    """Profile what SOURCE has brought, and propose the rules it has kept so far as a suite, for review.

    The suite is in great_expectations' own format, with the reason of each rule in its `meta`. Nothing is in force
    before you move it, or rules of it, into expectations/. For a table source --write does that: the next run reads
    it, and refuses rows that break its row rules by name. Rules that are there already stay as they are.
    """
    from dagster_project.suggest import as_text, put_in_force, reasons
    from dagster_project.suggest import suggest as propose

    if write and out:
        raise UsageError("--write says where the suite goes: give it or --out.")

    with _served(settings(lake_uri)) as con:
        con.execute("SET TimeZone = 'UTC'")
        suite = propose(con, source)
    if write:
        file, added = put_in_force(suite, project_root() / "expectations")
        click.echo(f"{added} rules were added to {file}; the next run judges by them.", err=True)
        return
    text = as_text(suite)
    if out == "-":
        click.echo(text, nl=False)
        return
    file = Path(out) if out else project_root() / "expectations" / "suggested" / source / f"{suite['name']}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
    for rule, because in reasons(suite):
        click.echo(f"{rule}  ({because})")
    for each in suite["meta"]["suggested"]["nearly"]:
        click.echo(f"No rule: {each['given']:,} of {each['of']:,} have `{each['name']}`; {each['lacking']} has not.")
    click.echo(f"{len(suite['expectations'])} rules are in {file}, for review.", err=True)


@main.command(short_help="Write what was judged as pages that open without the internet.")
@click.option("--out", metavar="FOLDER", help="Where to write them. Default: data/docs.")
@lake_option
@_tells_errors
def docs(out: str | None, lake_uri: str | None) -> None:
    """Write Data Docs: an index of sources, and pages of each source, batch and suite, as plain HTML.

    They tell rules, whether they held, what was observed, how many rows broke them and keys of some, and draw the
    figures of each batch. They hold no text of a note, and no address that leaves the folder.
    """
    from dagster_project.audit.suites import all_suites
    from dagster_project.data_docs.facts import read_facts
    from dagster_project.data_docs.site import write_site

    folder = Path(out).expanduser() if out else project_root() / "data" / "docs"
    with _served(settings(lake_uri)) as con:
        con.execute("SET TimeZone = 'UTC'")
        facts = read_facts(con)
    written = write_site(facts, all_suites(bundled("expectations")), folder)
    click.echo(f"{written.pages:,} pages are written; open {written.index}.", err=True)


@main.command(short_help="Find tables, and propose how to declare them.")
@click.argument("path", metavar="PATH_OR_URI")
@click.option("--out", metavar="FOLDER", help="Where to write what is proposed. Default: data/crawled.")
@click.option("--address-variable", metavar="NAME", help="Variable that holds the whole address of a database.")
@click.option(
    "--drift",
    type=click.Choice(["evolve", "freeze", "discard_row", "discard_value"]),
    default="evolve",
    show_default=True,
    help="What the declarations say of columns and values that come later and do not fit.",
)
@_tells_errors
def crawl(path: str, *, out: str | None, address_variable: str | None, drift: str) -> None:
    """Find the tables at PATH_OR_URI, and propose a defs.yaml and a suite for each, for review.

    A table is a file, the files of a folder that have the same columns, folders named key=value as Hive writes them, a
    sheet, or a table of an SQLite file or of a database. Credentials of a database stand in the environment: of
    PATH_OR_URI, as postgresql://, only the scheme counts with --address-variable. Nothing is in force before you move a
    folder to dagster_project/defs/sources and rules of the suites into expectations/.
    """
    from dagster_project.crawl import crawl as look_through

    address = path if "://" in path else str(Path(path).expanduser().absolute())
    folder = Path(out) if out else project_root() / "data" / "crawled"
    for proposal in look_through(address, contract=drift, address_variable=address_variable):
        target = folder / proposal.source.name
        target.mkdir(parents=True, exist_ok=True)
        (target / "defs.yaml").write_text(proposal.declaration, "utf-8")
        if proposal.suite:
            (target / f"raw.{proposal.source.name}.json").write_text(proposal.suite, "utf-8")
        of = f"{proposal.files:,} files" if proposal.files else f"table {proposal.source.table}"
        click.echo(f"{proposal.source.name}: {len(proposal.columns)} columns, {of}, {target}")
        for told in proposal.notes:
            click.echo(f"  {told}")


@main.group()
def bookmark() -> None:
    """See how far sources have come, and pause them."""


@bookmark.command("show")
@click.argument("source", required=False)
@lake_option
@_tells_errors
def bookmark_show(source: str | None, lake_uri: str | None) -> None:
    """Tell the last arrival of SOURCE, or of each, the last that has become notes, and whether it is paused."""
    from dagster_project.steps.bookmarks import bookmarks

    for mark in bookmarks(_open(settings(lake_uri)), source):
        paused = f", paused since {mark.paused_since}" if mark.paused_since else ""
        click.echo(f"{mark.source}: {mark.landed:,} arrivals landed, committed up to {mark.committed:,}{paused}")


@bookmark.command("pause")
@click.argument("source")
@lake_option
@_tells_errors
def bookmark_pause(source: str, lake_uri: str | None) -> None:
    """Let runs skip SOURCE until it is resumed; what it has brought stays and is served."""
    from dagster_project.steps.bookmarks import pause

    pause(_open(settings(lake_uri)), source)
    click.echo(f"{source} is paused: runs skip it, and say so.")


@bookmark.command("resume")
@click.argument("source")
@lake_option
@_tells_errors
def bookmark_resume(source: str, lake_uri: str | None) -> None:
    """Let runs take SOURCE up again where it stopped."""
    from dagster_project.steps.bookmarks import resume

    resume(_open(settings(lake_uri)), source)
    click.echo(f"{source} is taken up again by the next run.")


@bookmark.command("states")
@click.argument("source")
@lake_option
@_tells_errors
def bookmark_states(source: str, lake_uri: str | None) -> None:
    """List the states of SOURCE that are kept, newest first: when, up to which arrival, snapshot, what made it."""
    from dagster_project import terminal
    from dagster_project.rewind import states

    terminal.print_states(states(_open(settings(lake_uri)), source))


@bookmark.command("rewind")
@click.argument("source")
@click.option(
    "--to",
    metavar="SNAPSHOT|TIME",
    help="A snapshot that SOURCE made, or a time (ISO 8601; UTC unless it says another).",
)
@click.option("--dry-run", is_flag=True, help="Tell what would change, and change nothing.")
@lake_option
@_tells_errors
def bookmark_rewind(source: str, *, to: str | None, dry_run: bool, lake_uri: str | None) -> None:
    """Put the notes of SOURCE back to what they were, or make all of them again from what has landed.

    With --to the rows of SOURCE in all tables, and how far it has come, go back together to what had been committed by
    then; the next run goes on from there, and makes the same rows again. A state that is kept (`notelake bookmark
    states`) is put back as it was; one that is older is made from raw as of today's readers and rules.

    Without --to every row is made again from raw, and all are put in place at once: what to do after a new version, a
    new mapping or a new rule.

    What has landed stays and lands no second time. Other sources are not touched. A paused SOURCE stays paused.

    \b
    notelake bookmark rewind my_vault
    notelake bookmark rewind my_vault --to 2026-05-14T12:00 --dry-run
    """
    from dagster_project import terminal
    from dagster_project.pipeline import serve
    from dagster_project.rewind import rewind, would_rewind

    lake = _open(settings(lake_uri))
    declared = next((each for each in _declared() if each.name == source), None)
    if dry_run:
        terminal.print_rewound(would_rewind(lake, source, declared, to=to), dry_run=True)
        return
    with terminal.progress() as observe:
        done = rewind(lake, source, declared, to=to, observe=observe)
        observe(source, "serve")
        serve(lake)
    terminal.print_rewound(done, dry_run=False)


@main.group()
def quarantine() -> None:
    """Look at what was refused, and why, and decide about it."""


@quarantine.command("list")
@click.argument("source", required=False)
@click.option("--all", "everything", is_flag=True, help="Also what the source has since said anew.")
@click.option("--rule", help="Only what this rule refused.")
@click.option("--format", "form", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
@lake_option
@_tells_errors
def quarantine_list(source: str | None, *, everything: bool, rule: str | None, form: str, lake_uri: str | None) -> None:
    """List refused units with rule, reason and place, of SOURCE or of all."""
    from dagster_project import terminal

    terminal.print_quarantine(_filled(settings(lake_uri)), source, rule=rule, everything=everything, form=form)


@quarantine.command("show")
@click.argument("unit", metavar="KEY|UNIT")
@click.argument("source", required=False)
@lake_option
@_tells_errors
def quarantine_show(unit: str, source: str | None, lake_uri: str | None) -> None:
    """Show all that is known of one refused unit: rule, reason, place, what was refused, and what became of it.

    KEY is its path, row key or event id; the beginning will do. With SOURCE only units of that source are looked at.
    """
    from dagster_project import terminal

    terminal.print_refused(_filled(settings(lake_uri)), unit, source)


@quarantine.command("release")
@click.argument("source", required=False)
@click.argument("units", nargs=-1, metavar="[UNIT|KEY]...")
@click.option("--rule", help="Only what this rule refused.")
@lake_option
@_tells_errors
def quarantine_release(source: str | None, units: tuple[str, ...], *, rule: str | None, lake_uri: str | None) -> None:
    """Look at refused units again, by the rules and declarations of today: of SOURCE or of all, all or those named.

    To be used once a rule, a declaration or a reader was mended. What is good now is committed, the rest stays in
    quarantine; what the source has since said anew is left alone. Twice is as good as once. The exit code is 3 if
    something is refused again.

    \b
    notelake quarantine release
    notelake quarantine release talks --rule mapping.created_at
    """
    from dagster_project import terminal
    from dagster_project.pipeline import serve
    from dagster_project.steps.refused import open_sources
    from dagster_project.steps.release import Released, release, source_of

    lake, declared = _filled(settings(lake_uri)), _declared()
    done = Released()
    for name in [source] if source else open_sources(lake):
        with terminal.progress() as observe:
            became = release(lake, source_of(lake, name, declared), rule=rule, units=units, observe=observe)
        serve(lake)
        terminal.print_released(name, became)
        done += became
    raise SystemExit(TROUBLE if done.refused or done.unread else OK)


@quarantine.command("discard")
@click.argument("source")
@click.argument("units", nargs=-1, metavar="[UNIT|KEY]...")
@click.option("--rule", help="Only what this rule refused.")
@click.option("--why", required=True, metavar="TEXT", help="The reason; it is kept with the row.")
@lake_option
@_tells_errors
def quarantine_discard(
    source: str, units: tuple[str, ...], *, rule: str | None, why: str, lake_uri: str | None
) -> None:
    """Give up refused units of SOURCE: all that are open, or those of a rule, or those named.

    The rows stay in ops.quarantine with the instant and the reason, and what arrived stays in raw. The ledger counts
    the units as discarded, and a note that waited for them is stale no more.
    """
    from dagster_project import terminal
    from dagster_project.pipeline import serve
    from dagster_project.steps.quarantine import discard, standing

    lake = _filled(settings(lake_uri))
    rows = discard(lake, source, why=why, rule=rule, units=units)
    serve(lake)
    click.echo(f"{source}: {rows:,} {'refusal' if rows == 1 else 'refusals'} discarded.")
    terminal.print_standing(standing(lake, source))


def _filled(where: Settings) -> Lake:
    """Open a lake that something was served from."""
    _view_file(where)
    return _open(where)


@main.command(short_help="Examine the set-up and the lake.")
@lake_option
@_tells_errors
def doctor(lake_uri: str | None) -> None:
    """Examine the set-up and the lake, and say what is wrong and how to mend it."""
    from dagster_project import terminal
    from dagster_project.doctor import examine

    findings = examine(settings(lake_uri), _declared())
    terminal.print_findings(findings)
    raise SystemExit(FAILED if any(finding.state == "fail" for finding in findings) else OK)


@main.command(short_help="Mend a lake whose folder was moved or copied.")
@lake_option
@_tells_errors
def relocate(lake_uri: str | None) -> None:
    """Mend a lake whose folder was moved or copied: Iceberg's paths are absolute."""
    from dagster_project.lake.relocate import relocate as mend
    from dagster_project.pipeline import serve

    where = settings(lake_uri)
    moved = mend(where, clock=_now, ids=_new_id)
    serve(_open(where))
    if not moved.tables:
        click.echo(f"Nothing was to be mended: the tables say already that they lie in {where.lake}.")
        return
    click.echo(f"{moved.tables} tables now say that they lie in {where.lake}; lake.duckdb was built anew.")


def _now() -> datetime:
    return datetime.now(UTC)


def _new_id() -> str:
    return uuid4().hex


def _open(where: Settings, *, create: bool = False) -> Lake:
    from dagster_project.lake.lake import open_lake

    return open_lake(where, clock=_now, ids=_new_id, create=create)


def _declared() -> tuple[Source, ...]:
    from dagster_project.sources import declared_sources

    root = project_root()
    return declared_sources(root / SOURCES, root)


def _chosen(names: Sequence[str]) -> list[Source]:
    declared = {source.name: source for source in _declared()}
    if not declared:
        raise SourceInvalid(
            f"No source is declared in {project_root() / SOURCES}. Declare one (see the README), "
            "or try `notelake ingest PATH`."
        )
    if unknown := [name for name in names if name not in declared]:
        raise SourceInvalid(f"No source is called {', '.join(unknown)}. There are: {', '.join(declared)}.")
    return [declared[name] for name in names or declared]


def _planned(names: Sequence[str], name: str | None) -> list[Source]:
    """Return the sources of these names, or of paths that are no names."""
    from dagster_project.guess import guess_source

    declared = {source.name for source in _declared()}
    paths = [given for given in names if given not in declared and (os.sep in given or os.path.exists(given))]
    if name is not None and (len(names), len(paths)) != (1, 1):
        raise UsageError("--name gives the name of one PATH. Give one path with it, or leave it out.")
    if not paths:
        return _chosen(names)
    chosen = {source.name: source for source in (_chosen(sorted({*names} & declared)) if {*names} & declared else ())}
    return [chosen[each] if each in chosen else guess_source(each, kind=None, name=name) for each in names]


def _run(sources: Sequence[Source], where: Settings, *, allow_gone: bool, reread: bool, answers: bool) -> None:
    from dagster_project import terminal
    from dagster_project.pipeline import run

    lake = _open(where, create=True)
    with terminal.progress() as observe:
        done = run(lake, sources, observe=observe, allow_gone=allow_gone, reread=reread)
    terminal.print_run(done, where, answers=answers)
    failed = [report for report in done.reports if report.error]
    if len(failed) == len(done.reports):
        raise SystemExit(FAILED)
    raise SystemExit(TROUBLE if done.has_trouble else OK)


def _view_file(where: Settings) -> Path:
    if not where.view_file.is_file():
        raise UsageError(f"There is no {where.view_file} yet. `notelake run` or `notelake ingest` makes it.")
    return where.view_file


def _query_text(query: str) -> str:
    if not query.endswith(".sql") or "\n" in query:
        return query
    if Path(query).is_file():
        return Path(query).read_text("utf-8")
    if re.fullmatch(r"\S+", query):
        raise UsageError(f"There is no file {query}. Check the path, or give the query itself.")
    return query


def _translated(query: str, dialect: str, file: Path, where: Settings) -> str:
    """Return a query of another dialect in DuckDB's SQL; what is to be known of it goes to standard error."""
    from dagster_project import terminal
    from dagster_project.dialects import translate

    holder = _Tables(file, where)
    translation = translate(query.strip().rstrip(";"), dialect, terminal.column_types(file), holder)
    for note in translation.notes:
        click.echo(f"Note: {note}", err=True)
    return translation.sql


class _Tables:
    """Imports what reads tables as they were when a query asks for it."""

    def __init__(self, file: Path, where: Settings) -> None:
        self._file, self._where = file, where

    def scan(self, table: str, as_of: AsOf | None, file_columns: tuple[str, ...]) -> Scan | None:
        from dagster_project.steps.travel import Travel

        return Travel(self._file, lambda: _open(self._where)).scan(table, as_of, file_columns)


def _shell(file: Path) -> None:
    """Become the DuckDB shell, read-only, so that any number of them can be open."""
    beside = Path(sys.executable).with_name("duckdb")
    program = str(beside) if beside.is_file() else "duckdb"
    try:
        os.execvp(program, [program, "-readonly", str(file)])
    except FileNotFoundError as error:
        raise UsageError(
            f"There is no `duckdb` shell. Install duckdb-cli, or open {file} with one of your own."
        ) from error


if __name__ == "__main__":
    main()
