"""`stream`, `emit`, `collect`, `replay`: events in, and out once more."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Timer
from typing import TYPE_CHECKING

import click

from dagster_project.commands.opened import lake_at, new_id, now, read_chosen, read_declared
from dagster_project.commands.options import OK, TROUBLE, as_instant, lake_option, tells_errors
from dagster_project.errors import UsageError
from dagster_project.settings import settings

if TYPE_CHECKING:
    from dagster_project.landing.emit import Fsync
    from dagster_project.sources import StreamSource
    from dagster_project.streaming import Until


@click.command(short_help="Consume streams as events come, until it is stopped.")
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
    default=1.0,
    show_default=True,
    help="Seconds from a commit to the views that show it.",
)
@click.option("--once", is_flag=True, help="End after one look at each stream.")
@click.option("--until-idle", is_flag=True, help="End when nothing more has come.")
@click.option("--for", "seconds", type=click.FloatRange(0), metavar="SECONDS", help="End after so long.")
@click.option("--quiet", is_flag=True, help="Tell only what somebody should know.")
@lake_option
@tells_errors
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
    `notelake run` or Dagster's sensor beside it; where Dagster runs, its sensor `SOURCE_reports` tells there what was
    committed here. The exit code is 3 if events were refused, or a stream can't be read.

    \b
    notelake stream live
    notelake stream --until-idle --quiet
    """
    from dagster_project.live import watching
    from dagster_project.streaming import Pace, consume, folding_process

    if once and until_idle:
        raise UsageError("--once and --until-idle say when to end: give one of them.")
    sources = _streams(names)
    lake = lake_at(settings(lake_uri), create=True)
    pace = Pace(interval, max_events, fold_interval, views_interval)
    with _stopping(seconds) as stop, watching(quiet=quiet) as tell:
        until: Until = "once" if once else "idle" if until_idle else "stopped"
        folder = folding_process() if until == "stopped" else None
        done = consume(lake, sources, stop=stop, tell=tell, pace=pace, until=until, folder=folder)
    if not quiet:
        click.echo(
            f"{sum(each.counts.seen for each in done):,} events in {sum(each.commits for each in done):,} commits."
        )
    raise SystemExit(TROUBLE if any(each.trouble or each.counts.has_trouble for each in done) else OK)


def _streams(names: Sequence[str]) -> list[StreamSource]:
    """Return the declared streams, or those named."""
    from dagster_project.sources import StreamSource

    chosen = read_chosen(names)
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


@click.command(short_help="Append events to a stream's log.")
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
@tells_errors
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
        complete=(lambda event: event) if as_is else lambda event: completed(event, new_id=new_id, now=now()),
        rotate_bytes=rotate_bytes,
    )
    for number, why in done.refused:
        click.secho(f"notelake: event {number} is {why}.", fg="red", err=True)
    click.echo(f"{done.written:,} {'event' if done.written == 1 else 'events'} written.", err=True)
    raise SystemExit(TROUBLE if done.refused else OK)


@click.command(short_help="Take events over HTTP into a stream's log.")
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
@tells_errors
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
        complete=(lambda event: event) if as_is else lambda event: completed(event, new_id=new_id, now=now()),
    )
    serve(
        serving,
        (host, port),
        processes=processes,
        tell=lambda address: click.echo(f"Events posted to {address} go to {folder}.", err=True),
    )


@click.command(short_help="Write a stream's events out once more, from what has landed.")
@click.argument("source")
@click.option("--from", "since", metavar="TIME", help="Events that happened then or later (ISO 8601; UTC by default).")
@click.option("--to", "until", metavar="TIME", help="Events that happened before then.")
@click.option("--pattern", metavar="JSON", help="Events that fit a pattern, as EventBridge writes them.")
@click.option("--into", metavar="SOURCE|FOLDER", help="The stream to append them to. Default: standard output.")
@lake_option
@tells_errors
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

    asked = Replay(source, as_instant(since), as_instant(until), read_pattern(pattern) if pattern else None)
    lake = lake_at(settings(lake_uri))
    done = replay_into(lake, asked, _log(into)) if into else replay_to(lake, asked, sys.stdout.buffer)
    click.echo(f"{done.events:,} events are meant; {done.written:,} were written.", err=True)


def _only_log() -> str:
    """Return the name of the one declared stream in a local folder."""
    names = [source.name for source in read_declared() if source.kind == "stream" and not source.is_remote]
    if len(names) != 1:
        raise UsageError(f"Which stream? Give --stream: a folder, or one of {', '.join(names) or 'none declared'}.")
    return names[0]


def _log(target: str) -> Path:
    """Return the folder of a declared stream, or the folder that is named."""
    declared = {source.name: source for source in read_declared()}
    source = declared.get(target)
    if source is not None and (source.kind != "stream" or source.is_remote):
        raise UsageError(f"{target} is no stream in a local folder: events can't be appended to it.")
    if source is None and ("://" in target or Path(target).is_file()):
        raise UsageError(f"{target} is neither a declared stream nor a local folder.")
    return Path(source.path if source is not None else target).expanduser()
