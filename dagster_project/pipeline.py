"""The five verbs in order: land, shape, audit, commit, serve. Read this file to know how the program works.

What belongs here: the order, and what one source's failure means for the others. What does not: how a verb is done
(`steps`, and below it a folder for each).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dagster_project.contracts import EVENTS, NOTES
from dagster_project.errors import NotelakeError, Superseded
from dagster_project.failpoints import failpoint
from dagster_project.lake.lake import Lake
from dagster_project.reports import Committed, Counts, Observer, Report, quiet
from dagster_project.sources import Source
from dagster_project.steps.batch import Batch
from dagster_project.steps.commit import commit_batch
from dagster_project.steps.cursors import note_cursor, paused_since
from dagster_project.steps.judge import judge_all, take_out, warm_up
from dagster_project.steps.land import land
from dagster_project.steps.pending import next_batch_end
from dagster_project.steps.record import counts, record, record_refusal
from dagster_project.steps.serve import serve
from dagster_project.steps.shape import shape
from dagster_project.views.publish import Publication

__all__ = ["Run", "commit_pending", "land", "run", "run_source", "serve"]


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


def commit_pending(
    lake: Lake, source: Source, *, observe: Observer = quiet, to: int | None = None
) -> tuple[Committed, ...]:
    """Shape, audit and commit what has landed and is not committed yet, one landing after the other; not while paused.

    With `to` it stops at that arrival, and does not mind a pause.
    Raises `AuditFailed` if a table rule refuses a batch; batches before it stand, and the next run tries it again.
    """
    done: list[Committed] = []
    while (batch := _next(lake, source, to)) is not None:
        try:
            done.append(_commit_one(batch, observe))
        except Superseded:
            continue  # another run did it; look what is left
        finally:
            batch.close()
    return tuple(done)


def _next(lake: Lake, source: Source, last: int | None) -> Batch | None:
    pins = lake.pins()
    raw = pins.get(f"raw.{source.name}")
    if raw is None or (last is None and paused_since(lake, raw)):
        return None
    after = note_cursor(lake, pins[(EVENTS if source.kind == "stream" else NOTES).identifier], source.name)
    to = next_batch_end(lake, source, pins, after)
    if to is None or (last is not None and to > last):
        return None
    return Batch(lake, source, pins, after, to, lake.connect(), lake.clock())


def _commit_one(batch: Batch, observe: Observer) -> Committed:
    name = batch.source.name
    try:
        shape(batch, observe=observe)
        failpoint("shape.staged")
        observe(name, "audit")
        verdict = judge_all(batch)
        failpoint("audit.judged")
        if not verdict.passed:
            raise record_refusal(batch, verdict)
        take_out(batch, verdict)
        rows = {table.identifier: batch.staged_rows(table) for table in batch.tables()}
        verdict = record(batch, verdict)
    except BaseException:
        batch.discard()
        raise
    failpoint("commit.staged")
    observe(name, "commit")
    staged = [file for files in batch.staged.values() for file in files]
    snapshots = commit_batch(batch)
    size = sum(file.bytes for file in staged)
    return Committed(batch.batch_id, counts(batch), rows, snapshots, len(staged), size, verdict)
