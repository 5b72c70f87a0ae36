"""Rewind a source: its rows and its note cursor as they were, or all of its rows made anew from raw.

What belongs here: the order of things. What does not: which states there are (`steps.points`), the commit that goes to
one (`steps.rewind`), and how a batch is made (`pipeline`).

A state that is kept is put back by naming its files again. Any other is made from raw, batch by batch, in a lake
aside, and put in place in one commit: whoever reads sees the old rows until all of the new ones are there, and a
batch that is refused, or a process that dies, leaves the source as it was.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from dagster_project.contracts import QUARANTINE, SHARED, Kind
from dagster_project.errors import AuditFailed, CommitConflict
from dagster_project.failpoints import failpoint
from dagster_project.lake.aside import clear_aside, lake_aside
from dagster_project.lake.lake import Lake
from dagster_project.lake.past import files_now
from dagster_project.pipeline import commit_pending
from dagster_project.reports import Observer, quiet
from dagster_project.sources import KINDS, Source
from dagster_project.steps.cursors import source_cursor
from dagster_project.steps.judge import warm_up
from dagster_project.steps.points import Files, Point, count_landings, kept_files, kept_points, point_at, present_cursor
from dagster_project.steps.refused import kind_of, landed
from dagster_project.steps.rewind import PutBack, forget_given_up, given_up, is_standing, put_back, would_put_back

Origin = Literal["kept", "raw", "present"]
"""Where the rows come from: files that are kept, raw, or they stand as they are."""
_AT_THE_BEGINNING: Final[Files] = {}


@dataclass(frozen=True, slots=True)
class Rewound:
    """What a rewind did, or would do. Cursors are arrivals of the source's raw table."""

    source: str
    origin: Origin
    before: int
    """Note cursor before."""
    point: Point
    landed: int
    """Last arrival in raw; what is beyond the point is shaped by the next run."""
    rows: PutBack | None
    """None if nothing changes, or if a dry run cannot know without shaping."""
    batches: int = 0
    """How many were made again from raw."""
    is_declared: bool = True
    """False if the defaults of its kind were taken, for the source is not declared."""


def rewind(
    lake: Lake, name: str, source: Source | None, *, to: str | None = None, observe: Observer = quiet
) -> Rewound:
    """Put the rows of source `name` and its note cursor back to what they were at `to`, a snapshot's id or a time.

    Without `to` all its rows are made anew from raw, up to where its note cursor stands. `source` is its declaration,
    None if there is none: then rows are shaped by the defaults of its kind. A paused source can be rewound, and stays
    paused. Raises `UsageError` for a source or state that is not there, `AuditFailed` if a batch that is made again is
    refused: then the source is as it was.
    """
    planned = _planned(lake, name, source, to)
    if planned.origin == "present":
        return planned.told(None)
    if planned.files is not None:
        return planned.told(put_back(lake, name, planned.files, planned.point.cursor))
    return _from_raw(lake, planned, observe)


def would_rewind(lake: Lake, name: str, source: Source | None, *, to: str | None = None) -> Rewound:
    """Return what `rewind` would do, and do nothing; rows that would be made from raw are not known before they are."""
    planned = _planned(lake, name, source, to)
    return planned.told(None if planned.files is None else would_put_back(lake, name, planned.files))


@dataclass(frozen=True, slots=True)
class States:
    """What a source can be put back to."""

    kept: tuple[Point, ...]
    """Oldest first."""
    landings: int
    """How many there are in raw: what is not kept can be made up to each of them."""


def states(lake: Lake, name: str) -> States:
    """Return the states that source `name` can be put back to. Raises `UsageError` if it has never landed."""
    pins = lake.pins()
    raw = landed(pins, name)
    return States(kept_points(lake, pins, name), count_landings(lake, raw))


@dataclass(frozen=True, slots=True)
class _Planned:
    name: str
    source: Source | None
    origin: Origin
    before: int
    point: Point
    landed: int
    files: Files | None
    kind: Kind
    is_whole: bool
    """Whether all is made again, up to where the source stands."""

    def told(self, rows: PutBack | None, batches: int = 0) -> Rewound:
        is_declared = self.source is not None or self.origin != "raw"
        return Rewound(self.name, self.origin, self.before, self.point, self.landed, rows, batches, is_declared)


def _planned(lake: Lake, name: str, source: Source | None, to: str | None) -> _Planned:
    pins = lake.pins()
    raw = landed(pins, name)
    before = present_cursor(lake, pins, name)
    point = Point(before) if to is None else point_at(lake, pins, name, to)
    origin: Origin = "raw"
    files: Files | None = None
    if to is not None:
        points = kept_points(lake, pins, name)
        is_last = points[-1].commit == point.commit if points and point.commit else True
        is_present = is_last and point.cursor == before
        if is_present:
            origin = "present"
        elif not point.cursor:
            origin, files = "kept", _AT_THE_BEGINNING
        elif (files := kept_files(lake, pins, name, point)) is not None:
            origin = "present" if point.cursor == before and is_standing(lake, pins, name, files) else "kept"
    return _Planned(
        name, source, origin, before, point, source_cursor(lake, raw).last_sequence, files, kind_of(raw), to is None
    )


def _from_raw(lake: Lake, planned: _Planned, observe: Observer) -> Rewound:
    aside = lake_aside(lake)
    try:
        batches = _make(aside, planned, observe)
    except BaseException:
        clear_aside(aside)
        raise
    pins = aside.pins()
    files = {table.identifier: files_now(aside, pins[table.identifier], planned.name) for table in SHARED}
    cursor = present_cursor(aside, pins, planned.name)  # what was made, and nothing else, counts as made
    failpoint("rewind.shaped")
    observe(planned.name, "commit")
    try:
        done = put_back(lake, planned.name, files, cursor)
    except CommitConflict:  # after any other error the commit may hold; upkeep deletes the files if it does not
        clear_aside(aside)
        raise
    clear_aside(aside, kept={file.path for each in files.values() for file in each})
    return replace(planned, point=replace(planned.point, cursor=cursor)).told(done, batches)


def _make(aside: Lake, planned: _Planned, observe: Observer) -> int:
    """Make the rows up to the point anew in a lake aside; return how many batches that took."""
    warm_up()
    source = planned.source or _by_default(planned)
    kept = {QUARANTINE.identifier: given_up(aside, planned.name)} if planned.is_whole else _AT_THE_BEGINNING
    put_back(aside, planned.name, kept, 0, stage="aside")
    try:
        done = commit_pending(aside, source, observe=_over_all(aside, planned, observe), to=planned.point.cursor)
    except AuditFailed as error:
        raise AuditFailed(f"{planned.name} was not rewound, and stands as it stood. {error}") from error
    if planned.is_whole:
        forget_given_up(aside, planned.name)
    return len(done)


def _by_default(planned: _Planned) -> Source:
    kind = next(kind for kind in KINDS.values() if kind.kind == planned.kind)
    return kind(name=planned.name, path=".")


def _over_all(aside: Lake, planned: _Planned, observe: Observer) -> Observer:
    """Return an observer of batches that tells how far all of them are."""

    def told(source: str, verb: str, done: int = 0, total: int | None = None) -> None:
        made = present_cursor(aside, aside.pins(), planned.name)
        observe(source, verb, made + (done if total else 0), planned.point.cursor)

    return told
