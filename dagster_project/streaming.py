"""The long-running consumer of streams: it looks, commits what has come, and waits; over and over until it is stopped.

What belongs here: when to look, to fold, to serve and to try again. What does not: how a commit is made (`pipeline`)
and how it looks to who watches (`live`).

Events are committed by one thread and folded into notes by another, or by a process of its own (`folding_process`)
that gives way to the commits, so that a fold keeps no event waiting. While it catches up, the next events land beside
the commit of the last; small files are made into larger ones beside them.

Whatever tells it to stop, the commits under way are finished, and nothing is in doubt. It keeps nothing that matters:
positions and cursors are in the lake, so it goes on where it was however it ended, and two at once on one source commit
each event once; the one that was too late says so. What is to be written to `ops.audits` waits for the next fold in
memory and on this machine's disk, where a kill does not reach it.
"""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import get_context, parent_process
from threading import Event, Thread
from typing import Final, Literal, Protocol

import pyarrow as pa

from dagster_project.contracts import Clock, Ids
from dagster_project.errors import (
    AuditFailed,
    CommitConflict,
    CommitUnknown,
    LakeUnavailable,
    NotelakeError,
    SourceUnavailable,
)
from dagster_project.lake.lake import Lake, open_lake
from dagster_project.pipeline import commit_events, fold_pending, serve
from dagster_project.reports import Committed, Counts, Landed
from dagster_project.settings import Settings
from dagster_project.sources import StreamSource
from dagster_project.steps.arrived import Arrived
from dagster_project.steps.judge import warm_up
from dagster_project.steps.land import land
from dagster_project.steps.seen import Seen
from dagster_project.steps.tidy import Tidy
from dagster_project.steps.waiting import waiting

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
"""Seconds between attempts at what failed: doubled each time, up to this."""
PASSES: Final = (SourceUnavailable, AuditFailed, CommitConflict, CommitUnknown, LakeUnavailable)
"""What may have passed when it is tried again."""
RATE_SECONDS: Final = 10.0
"""Over how long a rate is taken."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often what is done. Seconds."""

    interval: float = 1.0
    """Between two looks at a source that has nothing waiting."""
    max_events: int = 100_000
    """So many events end a look: what is beyond is committed next, without waiting. A chunk is not cut."""
    fold_interval: float = 30.0
    """Between two folds of events into notes."""
    views_interval: float = 1.0
    """Between two renewals of the views, and so from a commit to the views that show it, at most."""


Until = Literal["stopped", "idle", "once"]
"""When to end: when it is stopped; also when no source has anything more; or after one look at each."""


@dataclass(slots=True)
class Progress:
    """How far the consumer is with a source."""

    source: str
    counts: Counts = field(default_factory=Counts)
    commits: int = 0
    folds: int = 0
    rate: float = 0.0
    """Events a second, over the last ten seconds."""
    delay: float | None = None
    """Seconds that an event of the last commit has waited for it at most; None while older ones are being caught up."""
    committed_at: float | None = None
    """When it committed last, in seconds since 1970."""
    trouble: str | None = None
    """Why it can't be read or committed now; tried again at intervals."""
    retry_at: float | None = None
    """When it is tried again, in seconds since 1970; None where there is no trouble."""
    superseded: int = 0
    """Batches that another run committed while this one worked on them."""


class Tell(Protocol):
    """Is told what happens. `word` is one of committed, folded, trouble, waiting, recovered, superseded, notice."""

    def __call__(self, word: str, progress: Progress, detail: str = "") -> None:
        """Take note."""


def consume(
    lake: Lake,
    sources: Sequence[StreamSource],
    *,
    stop: Event,
    tell: Tell,
    pace: Pace = Pace(),
    until: Until = "stopped",
    folder: Executor | None = None,
) -> tuple[Progress, ...]:
    """Consume `sources` until `stop` is set or `until` is reached; then fold and serve what is left.

    `folder` is what folds, and is shut down at the end: a thread, if none is given.

    A source that can't be read is tried again, ever less often, and hinders no other; so is one whose batch is refused.
    A lake that can't be read or written now (a full disk, a store that answers 503, a catalog that restarts) is waited
    for in the same way; positions and cursors are in it, so it goes on where it was. Raises what would not pass.
    """
    warm_up()
    lake.keep_database()
    with folder or ThreadPoolExecutor(1, "fold") as folding:
        consumers = [_Consumer(lake, source, pace, tell, folding) for source in sources]
        views = _Views(lake, pace)
        while not stop.is_set():
            for consumer in consumers:
                if stop.is_set():
                    break
                views.changed(consumer.turn())
                consumer.guarded(views.serve_if_due)
            if until == "once" or (until == "idle" and all(consumer.is_idle for consumer in consumers)):
                break
            consumers[0].guarded(lake.forget_past)
            stop.wait(max(0.0, min(views.due_at, *(consumer.due_at for consumer in consumers)) - time.monotonic()))
        for consumer in consumers:
            consumer.finish()
    for consumer in consumers:
        consumer.close()
    consumers[0].guarded(views.serve_now)
    return tuple(consumer.progress for consumer in consumers)


class _Consumer:
    """One source: when it is due, and what came of it."""

    def __init__(self, lake: Lake, source: StreamSource, pace: Pace, tell: Tell, folder: Executor) -> None:
        self._lake, self._source, self._pace, self._tell = lake, source, pace, tell
        self._folder = folder
        self._folding: Future[tuple[Committed, ...]] | None = None
        self._written: list[pa.Table] = []
        self.progress = Progress(source.name)
        self.is_idle = False
        self._look_at = 0.0
        self._fold_at = time.monotonic() + pace.fold_interval
        self._looked_at: float | None = None
        self._pause = FIRST_PAUSE
        self._troubles: dict[str, str] = {}
        self._later = waiting(lake, source.name)
        self._seen = Seen()
        self._tidy = Tidy(lake, source.name)
        self._beside = lake.beside()
        self._threads: dict[str, Executor] = {"land": ThreadPoolExecutor(1, "land")}
        self._landing: Future[tuple[Landed, Arrived]] | None = None
        self._is_unfolded = True
        self._recent: deque[tuple[float, int]] = deque()
        self._noticed: frozenset[str] = frozenset()

    @property
    def due_at(self) -> float:
        """When something is to be done, on the monotonic clock."""
        is_fold_due = self._is_unfolded and self._folding is None
        return min(self._look_at, self._fold_at) if is_fold_due else self._look_at

    def turn(self) -> bool:
        """Do what is due; tell whether the lake has changed."""
        changed = False
        if time.monotonic() >= self._look_at:
            changed = self.guarded(self._look)
        if self._folding is not None and self._folding.done():
            changed = self.guarded(self._take_fold) or changed
        if self._is_unfolded and self._folding is None and time.monotonic() >= self._fold_at:
            self._begin_fold(self._folder)
        return changed

    def finish(self) -> None:
        """Commit what has landed, fold what is committed into notes, and write down the audits that wait."""
        if self._landing is not None:
            self.guarded(self._look_last)
        if self._folding is not None:
            self.guarded(self._take_fold)
        if self._is_unfolded:
            self._begin_fold(self._threads["land"])  # there is nothing left to give way to
            self.guarded(self._take_fold)

    def close(self) -> None:
        """Let go of the threads, once what they do is done."""
        for threads in self._threads.values():
            threads.shutdown()
        self._tidy.close()

    def _begin_fold(self, folder: Executor) -> None:
        self._fold_at = time.monotonic() + self._pace.fold_interval
        self._is_unfolded = False
        self._written, self._later = self._later, []
        lake = self._lake
        fold = partial(_fold, lake.settings, lake.clock, lake.ids, self._source, self._written)
        try:
            self._folding = folder.submit(fold)
        except BrokenExecutor:
            self._folder = self._own_folder()
            self._folding = self._folder.submit(fold)

    def _own_folder(self) -> Executor:
        """Return a thread to fold in, where the process that did has ended: killed, or out of memory."""
        self._tell("notice", self.progress, "the process that folds events into notes ended; this one does it now")
        return self._threads.setdefault("fold", ThreadPoolExecutor(1, "fold"))

    def _take_fold(self) -> bool:
        """Take note of a fold, and wait for it if it is under way; tell whether the lake has changed."""
        folding, self._folding = self._folding, None
        try:
            folds = folding.result() if folding is not None else ()
        except BrokenExecutor:
            self._later[:0], self._is_unfolded = self._written, True
            self._folder, self._fold_at = self._own_folder(), time.monotonic()
            return False
        except BaseException:
            self._later[:0], self._is_unfolded = self._written, True
            raise
        self.progress.folds += len(folds)
        if folds:
            self._tell("folded", self.progress, f"{sum(fold.rows.get('notes.notes', 0) for fold in folds):,} notes")
        return bool(folds)

    def _land(self, lake: Lake) -> tuple[Landed, Arrived]:
        """Land what has come; `lake` is of the thread that does it."""
        arrived = Arrived()
        most = self._pace.max_events
        landed = land(lake, self._source, observe=self._observe, most=most, keep=arrived, tidy=self._tidy)
        lake.forget_past()
        return landed, arrived

    def _look_last(self) -> bool:
        """Commit what lands now, and let nothing more land."""
        return self._look(is_last=True)

    def _look(self, *, is_last: bool = False) -> bool:
        began = time.monotonic()
        landing, self._landing = self._landing, None
        landed, arrived = landing.result() if landing is not None else self._land(self._lake)
        is_full = landed.arrivals >= self._pace.max_events
        if is_full and not is_last:
            self._landing = self._threads["land"].submit(self._land, self._beside)
        batches = commit_events(
            self._lake,
            self._source,
            later=self._later,
            seen=self._seen,
            arrived=arrived,
            tidy=self._tidy,
            up_to=None if landed.is_paused else landed.last_sequence,
            observe=self._observe,
        )
        self.is_idle = landing is None and not landed.arrivals and not batches  # what came since was not looked for
        self._notice(landed)
        if batches:
            self.progress.counts = sum((batch.counts for batch in batches), self.progress.counts)
            self.progress.commits += len(batches)
            self.progress.committed_at = time.time()
            self.progress.delay = None if is_full or self._looked_at is None else time.monotonic() - self._looked_at
            self._is_unfolded = True
        self._rate(began, sum(batch.counts.seen for batch in batches))
        self._looked_at = began
        self._look_at = began if is_full else began + self._pace.interval
        if batches:
            self._tell("committed", self.progress, f"{sum(batch.counts.seen for batch in batches):,} events")
        return bool(batches)

    def _rate(self, began: float, events: int) -> None:
        """Take a look that began then into the rate."""
        now = time.monotonic()
        self._recent.append((began, events))
        while len(self._recent) > 1 and self._recent[0][0] < now - RATE_SECONDS:
            self._recent.popleft()
        self.progress.rate = sum(count for _, count in self._recent) / max(now - self._recent[0][0], 1e-3)

    def guarded(self, step: Callable[[], bool | None]) -> bool:
        """Take a step; what fails in the source or the lake and may pass is told, and tried again later."""
        name = step.__name__
        try:
            done = step()
        except PASSES as error:
            self._failed(name, error)
            return False
        if self._troubles.pop(name, None):
            self.progress.trouble = next(iter(self._troubles.values()), None)
            self._pause = FIRST_PAUSE
            if self.progress.trouble is None:
                self.progress.retry_at = None
                self._tell("recovered", self.progress)
        return bool(done)

    def _failed(self, name: str, error: NotelakeError) -> None:
        text = f"{type(error).__name__}: {error}"
        is_new = text not in self._troubles.values()
        self.progress.trouble = self._troubles[name] = text
        self.progress.retry_at = time.time() + self._pause
        if name == self._look.__name__:
            self._look_at = time.monotonic() + self._pause
        else:
            self._fold_at = time.monotonic() + self._pause
        self.is_idle = True  # who waits for idleness does not wait for a source that may never come back
        self._tell("trouble" if is_new else "waiting", self.progress, text)
        self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def _observe(self, source: str, verb: str, done: int = 0, total: int | None = None) -> None:  # noqa: ARG002
        if verb == "superseded":
            self.progress.superseded += 1
            self._tell("superseded", self.progress, "another run committed this batch first; nothing of it was written")

    def _notice(self, landed: Landed) -> None:
        """Tell notices and problems of shards once, and again when they change."""
        told = frozenset((*landed.problems, *landed.notices))
        for text in sorted(told - self._noticed):
            self._tell("notice", self.progress, text)
        self._noticed = told


def folding_process() -> Executor:
    """Return a process that folds beside a consumer and gives way to it. The lake's clock and ids must go there."""
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_give_way)


def _give_way() -> None:
    """Let commits go first, let the consumer say when to end, and end with it however it does."""
    os.nice(10)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if (parent := parent_process()) is not None:
        parent.join()
    os._exit(1)


def _fold(
    where: Settings, clock: Clock, ids: Ids, source: StreamSource, later: list[pa.Table]
) -> tuple[Committed, ...]:
    """Fold on a lake of its own, as what one keeps in memory is for one thread; on one core, beside the commits."""
    own = open_lake(replace(where, threads=1), clock=clock, ids=ids, create=False)
    return fold_pending(own, source, later=later)


class _Views:
    """When the views are due: with a change, unless they were served a moment ago."""

    def __init__(self, lake: Lake, pace: Pace) -> None:
        self._lake, self._pace = lake, pace
        self._served_at = 0.0
        self._pause = FIRST_PAUSE
        self.due_at = float("inf")

    def changed(self, has_changed: bool) -> None:  # noqa: FBT001
        """Take note that the lake has changed, or has not."""
        if has_changed:
            self.due_at = min(self.due_at, max(time.monotonic(), self._served_at + self._pace.views_interval))

    def serve_if_due(self) -> None:
        """Serve what is due."""
        if time.monotonic() >= self.due_at:
            self.serve_now()

    def serve_now(self) -> None:
        """Serve the lake as it stands; where that fails it is due again later."""
        self.due_at, self._pause = time.monotonic() + self._pause, min(self._pause * 2, LONGEST_PAUSE)
        serve(self._lake)
        self._served_at, self.due_at, self._pause = time.monotonic(), float("inf"), FIRST_PAUSE
