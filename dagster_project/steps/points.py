"""The states of a source that it can be put back to, and the files that held its rows then.

What belongs here: which state a person means, and whether its files are still there. What does not: going there
(`rewind`), and how long snapshots are kept (`lake.upkeep`).

A state is what one commit of the source left: a batch, a decision about refusals, a rewind; of a stream whose events
are committed first and folded into notes later, a commit after which both are of one moment. It is *kept* if in no
table a snapshot has expired since, so that what each of them held of the source is known to the file; the newest 50
commits to a table, of all sources together, always are. Before that a state is told by the note cursor alone, and made
from raw, which keeps all: there is one for every landing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from dagster_project.contracts import EVENTS, NOTES, SHARED
from dagster_project.errors import UsageError
from dagster_project.lake.commit import COMMIT
from dagster_project.lake.lake import Lake
from dagster_project.lake.past import Kept, files_now, files_then, is_there, unbroken
from dagster_project.lake.pins import Pin
from dagster_project.lake.read import relation
from dagster_project.lake.staging import StagedFile
from dagster_project.steps.commit import PART
from dagster_project.steps.cursors import note_cursor, note_cursor_name
from dagster_project.steps.pending import LANDED_AT, LANDING
from dagster_project.steps.refused import kind_of

Files = Mapping[str, tuple[StagedFile, ...]]
"""Data files that hold one source's rows, by table."""

_SOURCE: Final = "notelake.source"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Point:
    """A state of a source, in which its arrivals up to `cursor` were notes, and no others."""

    cursor: int
    at: datetime | None = None
    """When it was committed, if that is kept."""
    commit: str | None = None
    """Id of the commit that made it, if that is kept."""
    snapshot_id: int | None = None
    """One that this commit made."""
    made_by: str = ""
    """Id of the batch, or the decision that was taken."""


def present_cursor(lake: Lake, pins: Mapping[str, Pin], source: str) -> int:
    """Return the last arrival of `source` that has become notes."""
    table = EVENTS if kind_of(pins[f"raw.{source}"]) == "stream" else NOTES
    return note_cursor(lake, pins[table.identifier], source)


def kept_points(lake: Lake, pins: Mapping[str, Pin], source: str) -> tuple[Point, ...]:
    """Return the states of `source` that are kept, oldest first; those that a rewind left behind are among them."""
    return tuple(point for _, point in _kept_commits(lake, pins, source) if point is not None)


def _kept_commits(lake: Lake, pins: Mapping[str, Pin], source: str) -> list[tuple[str, Point | None]]:
    """Return the commits of `source` that are kept, oldest first, and the state that each left."""
    histories = [unbroken(lake, pins[table.identifier]) for table in SHARED]
    known_since = max((history[0].at for history in histories if history and history[0].parent_id), default=_EPOCH)
    made: defaultdict[str, list[Kept]] = defaultdict(list)
    for kept in (kept for history in histories for kept in history if kept.summary.get(_SOURCE) == source):
        if commit := kept.summary.get(COMMIT):
            made[commit].append(kept)
    found: list[tuple[str, Point | None]] = []
    cursor: int | None = None
    for at, commit in sorted((max(kept.at for kept in snapshots), commit) for commit, snapshots in made.items()):
        kept = made[commit][0]
        if at < known_since:
            continue
        if PART in kept.summary:  # events whose notes are folded later are no state,
            cursor = None
        elif said := kept.summary.get(note_cursor_name(source)):
            cursor = int(said)
        made_by = kept.summary.get("notelake.batch_id") or kept.summary.get("notelake.decision", "")
        # nor is a decision that followed a batch which is not kept
        found.append((commit, None if cursor is None else Point(cursor, at, commit, kept.snapshot_id, made_by)))
    return found


def point_at(lake: Lake, pins: Mapping[str, Pin], source: str, to: str) -> Point:
    """Return the state of `source` that `to` means: the id of a snapshot that it made, or a time.

    A time means what had been committed by then or, before the oldest state that is kept, what had landed by then.
    Raises `UsageError` if it is neither, or if no kept snapshot that `source` made has that id.
    """
    if to.isascii() and to.isdigit():
        return _by_snapshot(lake, pins, source, int(to))
    points = kept_points(lake, pins, source)
    instant = _instant(to)
    if before := [point for point in points if point.at is not None and point.at <= instant]:
        return before[-1]
    landed = min(_landed_by(lake, pins[f"raw.{source}"], instant), present_cursor(lake, pins, source))
    return next((point for point in reversed(points) if point.cursor == landed), Point(landed))


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"{text!r} is neither the id of a snapshot nor a time. Write a time as 2026-05-14 or "
            "2026-05-14T12:00:00+02:00 (UTC unless it says another)."
        ) from error
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _by_snapshot(lake: Lake, pins: Mapping[str, Pin], source: str, snapshot_id: int) -> Point:
    points = {point.commit: point for point in kept_points(lake, pins, source)}
    for table in SHARED:
        for kept in unbroken(lake, pins[table.identifier]):
            if kept.snapshot_id == snapshot_id and kept.summary.get(COMMIT) in points:
                return points[kept.summary.get(COMMIT)]
    oldest = next((point.at for point in points.values() if point.at), None)
    since = f"; those since {oldest:%Y-%m-%dT%H:%M:%SZ} are" if oldest else ""
    raise UsageError(
        f"No snapshot {snapshot_id} that a batch of {source} made is kept{since}. Give a time instead: what is not "
        "kept is shaped again from raw."
    )


def _landed_by(lake: Lake, raw: Pin, instant: datetime) -> int:
    with lake.connect() as con:
        row = con.execute(f"SELECT max(sequence) FROM {_landings(raw)} WHERE landed <= $1", [instant]).fetchone()
    return int(row[0] or 0) if row else 0


def count_landings(lake: Lake, raw: Pin) -> int:
    """Return how many landings there are in raw."""
    with lake.connect() as con:
        row = con.execute(f"SELECT count(*) FROM {_landings(raw)}").fetchone()
    return int(row[0]) if row else 0


def _landings(raw: Pin) -> str:
    kind = kind_of(raw)
    ends = f"max(sequence) AS sequence, max({LANDED_AT[kind]}) AS landed"
    return f"(SELECT {ends} FROM {relation(raw)} AS r GROUP BY {LANDING[kind]})"


def kept_files(lake: Lake, pins: Mapping[str, Pin], source: str, point: Point) -> Files | None:
    """Return the files that held the rows of `source` at `point`; None if that is not known for all, or one is gone."""
    commits = [commit for commit, _ in _kept_commits(lake, pins, source)]
    if point.commit not in commits:
        return None
    later = set(commits[commits.index(point.commit) + 1 :])
    found: dict[str, tuple[StagedFile, ...]] = {}
    for table in SHARED:
        files = _files_of(lake, pins[table.identifier], source, point, later)
        if files is None:
            return None
        found[table.identifier] = files
    return found


def _files_of(lake: Lake, pin: Pin, source: str, point: Point, later: set[str]) -> tuple[StagedFile, ...] | None:
    snapshot_id = _snapshot_then(unbroken(lake, pin), point, later)
    files = () if snapshot_id is None else files_then(lake, pin, snapshot_id, source)
    standing = {file.path for file in files_now(lake, pin, source)}
    return files if all(file.path in standing or is_there(lake, file) for file in files) else None


def _snapshot_then(history: Sequence[Kept], point: Point, later: set[str]) -> int | None:
    """Return a snapshot at which a table held what it held of the source at `point`; None if that was nothing yet.

    Snapshots of other sources change none of its files, so it is the one its commit made or, if that did not change
    the table, the one before its next commit that did.
    """
    for kept in history:
        if kept.summary.get(COMMIT) == point.commit:
            return kept.snapshot_id
    for kept in history:
        if kept.summary.get(COMMIT) in later:
            return kept.parent_id
    return history[-1].snapshot_id if history else None
