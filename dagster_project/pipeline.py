"""The five verbs in order: land, shape, audit, commit, serve. Read this file to know how the program works.

What belongs here: the order, and what one source's failure means for the others. What does not: how a verb is done
(`steps`, and below it a folder for each).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from dagster_project.contracts import EVENTS, NOTES
from dagster_project.errors import NotelakeError, Superseded
from dagster_project.failpoints import failpoint
from dagster_project.lake.lake import Lake
from dagster_project.lake.pins import Pin
from dagster_project.lake.unavailable import tells_unavailable
from dagster_project.reports import Committed, Counts, Observer, Report, quiet
from dagster_project.sources import Source, StreamSource
from dagster_project.steps.arrived import Arrived
from dagster_project.steps.batch import Batch, Part
from dagster_project.steps.commit import commit_batch
from dagster_project.steps.cursors import note_cursor, paused_since
from dagster_project.steps.judge import warm_up
from dagster_project.steps.land import land
from dagster_project.steps.pending import next_batch_end
from dagster_project.steps.record import audit, counts, record
from dagster_project.steps.seen import Seen
from dagster_project.steps.serve import serve
from dagster_project.steps.shape import shape
from dagster_project.steps.tidy import Tidy
from dagster_project.steps.waiting import forget, keep, waiting
from dagster_project.views.publish import Publication

__all__ = ["Run", "commit_events", "commit_pending", "fold_pending", "land", "run", "run_source", "serve"]


@dataclass(frozen=True, slots=True)
class Run:
    """What a run over several sources did."""

    reports: tuple[Report, ...]
    publication: Publication
    seconds: float

    @property
    def has_trouble(self) -> bool:
        """Whether something was quarantined, failed, or needs a look."""
        return any(report.has_trouble for report in self.reports)


def run(
    lake: Lake,
    sources: Sequence[Source],
    *,
    observe: Observer = quiet,
    allow_gone: bool = False,
    reread: bool = False,
) -> Run:
    """Run every source; one that fails is told in its report and stops neither the others nor serving what is good."""
    began = time.perf_counter()
    reports = []
    publication = serve(lake)
    for source in sources:
        reports.append(run_source(lake, source, observe=observe, allow_gone=allow_gone, reread=reread))
        observe(source.name, "serve")
        publication = serve(lake)
    return Run(tuple(reports), publication, time.perf_counter() - began)


def run_source(
    lake: Lake, source: Source, *, observe: Observer = quiet, allow_gone: bool = False, reread: bool = False
) -> Report:
    """Land what is new at `source` and commit it; an error becomes part of the report."""
    began = time.perf_counter()
    report = Report(source.name, source.kind, Counts())
    try:
        # What an earlier run landed and did not commit comes first, so that batches are the same however often it died.
        report = _with(report, commit_pending(lake, source, observe=observe))
        landed = land(lake, source, observe=observe, allow_gone=allow_gone, reread=reread, arriving=warm_up)
        unchanged = Counts(seen=landed.unchanged, unchanged=landed.unchanged)
        report = replace(report, landed=landed, counts=report.counts + unchanged)
        report = _with(report, commit_pending(lake, source, observe=observe))
    except NotelakeError as error:
        report = replace(report, error=f"{type(error).__name__}: {error}")
    return replace(report, seconds=time.perf_counter() - began)


def _with(report: Report, batches: Sequence[Committed]) -> Report:
    total = sum((batch.counts for batch in batches), report.counts)
    return replace(report, counts=total, batches=(*report.batches, *batches))


@tells_unavailable
def commit_pending(
    lake: Lake, source: Source, *, observe: Observer = quiet, to: int | None = None
) -> tuple[Committed, ...]:
    """Shape, audit and commit what has landed and is not committed yet, one landing after the other; not while paused.

    With `to` it stops at that arrival, and does not mind a pause.
    Raises `AuditFailed` if a table rule refuses a batch; batches before it stand, and the next run tries it again.
    Raises `LakeUnavailable` if the lake can't be written now, or `CommitUnknown`; likewise.
    """
    return _commit_all(lambda: _next(lake, source, to, minds_pause=to is None), observe)


def _commit_all(next_batch: Callable[[], Batch | None], observe: Observer) -> tuple[Committed, ...]:
    done: list[Committed] = []
    while (batch := next_batch()) is not None:
        try:
            done.append(_commit_one(batch, observe))
        except Superseded:
            observe(batch.source.name, "superseded")  # another run did it; look what is left
        finally:
            batch.close()
    return tuple(done)


@tells_unavailable
def commit_events(
    lake: Lake,
    source: StreamSource,
    *,
    later: list[pa.Table],
    seen: Seen | None = None,
    arrived: Arrived | None = None,
    tidy: Tidy | None = None,
    up_to: int | None = None,
    observe: Observer = quiet,
) -> tuple[Committed, ...]:
    """Commit the events of what has landed, and leave it to `fold_pending` to make notes of them; not while paused.

    A commit writes notes.events and ops.ledger, and ops.quarantine where something is refused. What is to be written
    to ops.audits is appended to `later`, for the next fold, and kept on disk.

    With `seen` its cost does not grow with what was seen; what landed last and is in `arrived` is not read from raw;
    with `tidy` small files are not made into larger ones by it; with `up_to` arrivals after it are left for later.
    Raises as `commit_pending`.
    """

    def next_batch() -> Batch | None:
        batch = _next(lake, source, up_to, minds_pause=True, part="events", later=later, arrived=arrived)
        if batch is not None:
            batch.seen, batch.tidy = seen, tidy
        return batch

    return _commit_all(next_batch, observe)


@tells_unavailable
def fold_pending(
    lake: Lake, source: StreamSource, *, later: list[pa.Table], observe: Observer = quiet
) -> tuple[Committed, ...]:
    """Fold the events that are committed into notes, and write `later` down with them; empty it then."""
    pins = lake.pins()
    raw = pins.get(f"raw.{source.name}")
    if raw is None or paused_since(lake, raw):
        return ()
    return _commit_all(lambda: _next_fold(lake, source, lake.pins(), later), observe)


def _next(
    lake: Lake,
    source: Source,
    last: int | None,
    *,
    minds_pause: bool,
    part: Part = "whole",
    later: list[pa.Table] | None = None,
    arrived: Arrived | None = None,
) -> Batch | None:
    pins = lake.pins()
    raw = pins.get(f"raw.{source.name}")
    if raw is None or (minds_pause and paused_since(lake, raw)):
        return None
    is_stream = source.kind == "stream"
    if is_stream and part == "whole" and (fold := _next_fold(lake, source, pins, None)) is not None:
        return fold  # what a run that commits events first has left
    after = note_cursor(lake, pins[(EVENTS if is_stream else NOTES).identifier], source.name)
    to = next_batch_end(lake, source, pins, after)
    if to is None or (last is not None and to > last):
        return None
    kept = [] if later is None else later
    rows = arrived.rows(after, to) if arrived is not None else None
    return Batch(lake, source, pins, after, to, lake.connect(), lake.clock(), part=part, later=kept, arrived=rows)


def _next_fold(lake: Lake, source: Source, pins: Mapping[str, Pin], later: list[pa.Table] | None) -> Batch | None:
    after, to = (note_cursor(lake, pins[table.identifier], source.name) for table in (NOTES, EVENTS))
    if after >= to:
        return None
    kept = waiting(lake, source.name) if later is None else later
    return Batch(lake, source, pins, after, to, lake.connect(), lake.clock(), part="fold", later=kept)


def _commit_one(batch: Batch, observe: Observer) -> Committed:
    name = batch.source.name
    try:
        shape(batch, observe=observe)
        verdict = audit(batch, observe)
        rows = {table.identifier: batch.staged_rows(table) for table in batch.tables()}
        verdict = record(batch, verdict)
        keep(batch)
    except BaseException:
        batch.discard()
        raise
    failpoint("commit.staged")
    observe(name, "commit")
    staged = [file for files in batch.staged.values() for file in files]
    snapshots = commit_batch(batch)
    if batch.part == "fold":
        forget(batch.lake, name, batch.later)
        batch.later.clear()
    elif batch.told is not None:
        batch.later.append(batch.told)
    size = sum(file.bytes for file in staged)
    return Committed(batch.batch_id, counts(batch), rows, snapshots, len(staged), size, verdict)
