"""How `notelake stream` looks to who watches: a line per source that is renewed, or a log where nobody does.

What belongs here: words and figures. What does not: what happens (`streaming`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from dagster_project.steps.lag import Lag
from dagster_project.streaming import Progress, Tell

LOG_SECONDS: Final = 10.0
"""A log tells of a source's commits at most so often."""
_URGENT: Final = {"trouble": "red", "recovered": "green", "superseded": "yellow", "notice": "yellow"}


def line(progress: Progress) -> str:
    """Return how far a source is.

    >>> from dagster_project.reports import Counts
    >>> line(Progress("live", Counts(seen=12000, committed=12000), commits=3, rate=4000, delay=0.94, committed_at=0))
    'live: 12,000 events, 4,000 a second, waited at most 0.9 s, last commit 00:00:00 UTC'
    >>> line(Progress("live", trouble="The lake …", retry_at=8))
    "live: 0 events, 0 a second, can't go on, tries again 00:00:08 UTC"
    """
    parts = [f"{progress.counts.seen:,} events", f"{progress.rate:,.0f} a second"]
    if progress.delay is not None:
        parts.append(f"waited at most {progress.delay:.1f} s")
    if progress.committed_at is not None:
        parts.append(f"last commit {_clock(progress.committed_at)}")
    refused = (("duplicate", progress.counts.duplicate), ("quarantined", progress.counts.quarantined))
    parts.extend(f"{count:,} {name}" for name, count in refused if count)
    if progress.trouble:
        again = "" if progress.retry_at is None else f", tries again {_clock(progress.retry_at)}"
        parts.append(f"can't go on{again}")
    return f"{progress.source}: {', '.join(parts)}"


def _clock(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%H:%M:%S} UTC"


def print_lags(lags: Sequence[Lag]) -> None:
    """Print how far streams are behind; nothing if there are none."""
    if not lags:
        return
    table = Table(title="Streams", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("stream")
    for name in ("events", "waiting", "uncommitted", "unfolded", "events/s", "last commit (UTC)"):
        table.add_column(name, justify="right")
    for lag in lags:
        counts = (lag.events, lag.waiting, lag.uncommitted, lag.unfolded)
        shown = ["?" if count is None else f"{count:,}" for count in counts]
        last = "never" if lag.committed_at is None else f"{lag.committed_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
        table.add_row(lag.source, *shown, f"{lag.rate:,.1f}", last)
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    for lag in lags:
        if lag.trouble:
            console.print(Text(lag.trouble, style="yellow"), soft_wrap=True)


@contextmanager
def watching(*, quiet: bool) -> Iterator[Tell]:
    """Give what is to be told of a consumer; with `quiet` only what somebody should know is shown."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield _log(console, quiet=quiet)
        return
    known: dict[str, Progress] = {}
    with Live(console=console, refresh_per_second=4, transient=False) as live:

        def tell(word: str, progress: Progress, detail: str = "") -> None:
            known[progress.source] = progress
            if colour := _URGENT.get(word):
                console.print(Text(_told(word, progress, detail), style=colour))
            live.update(Group(*(Text(line(each)) for each in known.values())))

        yield tell


def _log(console: Console, *, quiet: bool) -> Tell:
    last: dict[str, float] = {}

    def tell(word: str, progress: Progress, detail: str = "") -> None:
        if word in _URGENT:
            text = _told(word, progress, detail)
        elif quiet or word != "committed" or time.monotonic() < last.get(progress.source, 0.0) + LOG_SECONDS:
            return
        else:
            last[progress.source] = time.monotonic()
            text = line(progress)
        console.print(Text(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {text}"), soft_wrap=True)

    return tell


def _told(word: str, progress: Progress, detail: str) -> str:
    return f"{progress.source}: {'reads and commits again' if word == 'recovered' else detail}"
