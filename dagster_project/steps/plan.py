"""plan: what a run would do, told and not done. Writes no row, no snapshot, no view, and not even the stat cache.

What belongs here: the look at each kind of source, as landing takes it, in words. What does not: what the changes would
do to links and front matter (`foresee`), and how a plan is printed (`terminal`).

The stat cache stays as it was so that a plan is no part of a run: whatever it says can be asked again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import assert_never

import duckdb

from dagster_project.contracts import EVENTS, NOTES, Kind
from dagster_project.errors import NotelakeError
from dagster_project.lake.lake import Lake
from dagster_project.lake.pins import Pin
from dagster_project.landing import documents, streams, tables
from dagster_project.landing.databases import is_of, open_database
from dagster_project.reports import UNITS
from dagster_project.settings import Settings
from dagster_project.sources import DocumentSource, Source, StreamSource, TableSource
from dagster_project.steps.cursors import note_cursor, source_cursor
from dagster_project.steps.foresee import BrokenLink, RetypedKey, foresee
from dagster_project.steps.land import known_files, not_whole, scan_documents
from dagster_project.steps.peek import Trouble, peek
from dagster_project.steps.pending import refuse_other_kind


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run over one source would do. Paths are files of the source; for a stream, shards."""

    source: str
    kind: Kind
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    moved: tuple[tuple[str, str], ...] = ()
    """From, to."""
    edited: tuple[tuple[str, str], ...] = ()
    """From, to: moved and changed at once."""
    gone: tuple[str, ...] = ()
    unreadable: tuple[Trouble, ...] = ()
    retyped: tuple[RetypedKey, ...] = ()
    broken: tuple[BrokenLink, ...] = ()
    unchanged: int = 0
    waiting: tuple[tuple[str, int], ...] = ()
    """Shard and bytes in it that are not read yet."""
    pending: int = 0
    """Arrivals that landed earlier and are not committed yet: a run does that first."""
    refused: str | None = None
    """Why a run would land nothing of the source."""
    notices: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    error: str | None = None
    """Why the source cannot be looked at."""

    @property
    def unit(self) -> str:
        """What `unchanged` counts: files, or events."""
        return UNITS[self.kind] if self.kind == "stream" else UNITS["documents"]

    @property
    def is_nothing(self) -> bool:
        """Whether a run would do nothing."""
        return not any(
            (self.added, self.changed, self.moved, self.edited, self.gone, self.unreadable, self.waiting, self.pending)
        )

    @property
    def has_trouble(self) -> bool:
        """Whether something cannot be read, would come through in part, or would be refused."""
        return bool(self.error or self.refused or self.unreadable or self.problems)


def plan(lake: Lake | None, where: Settings, source: Source, *, reread: bool = False) -> Plan:
    """Say what a run over `source` would do; `lake` is None if there is none yet."""
    try:
        if lake is None:
            with closing(duckdb.connect()) as con:
                return _plan(_Look(None, where, con, None, frozenset()), source)
        raw = lake.pins([f"raw.{source.name}"]).get(f"raw.{source.name}")
        if raw is not None:
            refuse_other_kind(raw, source)
        again = not_whole(lake, source.name) if reread else frozenset()
        with lake.connect() as con:
            return _plan(_Look(lake, where, con, raw, again), source)
    except NotelakeError as error:
        return Plan(source.name, source.kind, error=f"{type(error).__name__}: {error}")


@dataclass(frozen=True, slots=True)
class _Look:
    lake: Lake | None
    where: Settings
    con: duckdb.DuckDBPyConnection
    raw: Pin | None
    again: Collection[str]

    def pending(self, source: Source) -> int:
        """Return how many arrivals of the source landed and are not committed."""
        if self.lake is None or self.raw is None:
            return 0
        table = (EVENTS if source.kind == "stream" else NOTES).identifier
        notes = self.lake.pins([table]).get(table)
        done = note_cursor(self.lake, notes, source.name) if notes is not None else 0
        return source_cursor(self.lake, self.raw).last_sequence - done


def _plan(look: _Look, source: Source) -> Plan:
    match source:
        case DocumentSource():
            return _plan_documents(look, source)
        case TableSource():
            return _plan_table(look, source)
        case StreamSource():
            return _plan_stream(look, source)
    assert_never(source)


def _plan_documents(look: _Look, source: DocumentSource) -> Plan:
    seen = scan_documents(look.where, look.con, look.raw, source, again=look.again)
    scan = seen.scan
    refused = documents.refusal(source, scan)
    changed = [step.file for step in scan.steps if step.file is not None and (step.op == "put" or step.is_edited)]
    read = peek(changed, seen.files, look.where)
    foreseen = foresee(look.lake, source.name, scan.steps, read)
    unread = (
        (f"{read.unread} files are too large, or too many, and were not read for this plan",) if read.unread else ()
    )
    moves = [step for step in scan.steps if step.op == "move"]
    return Plan(
        source.name,
        source.kind,
        added=_paths(step for step in scan.steps if step.op == "put" and step.is_new),
        changed=_paths(step for step in scan.steps if step.op == "put" and not step.is_new),
        moved=tuple((step.moved_from or "", step.path) for step in moves if not step.is_edited),
        edited=tuple((step.moved_from or "", step.path) for step in moves if step.is_edited),
        gone=_paths(step for step in scan.steps if step.op == "gone"),
        unreadable=foreseen.troubles,
        retyped=foreseen.retyped,
        broken=foreseen.broken,
        unchanged=scan.unchanged,
        pending=look.pending(source),
        refused=str(refused) if refused else None,
        notices=(*scan.notices, *unread),
        problems=scan.warnings,
    )


def _paths(steps: Iterable[documents.Step]) -> tuple[str, ...]:
    return tuple(step.path for step in steps)


def _plan_table(look: _Look, source: TableSource) -> Plan:
    if source.database is not None:
        return _plan_database(look, source)
    scan = tables.look(source, known_files(look.con, look.raw, again=look.again) if look.raw else {})
    whole = [file for file in scan.arrived if not file.error]
    return Plan(
        source.name,
        source.kind,
        added=tuple(file.path for file in whole if file.is_new),
        changed=tuple(file.path for file in whole if not file.is_new),
        gone=scan.gone,
        unreadable=tuple(Trouble(file.path, "failed", file.error) for file in scan.arrived if file.error),
        unchanged=len(scan.unchanged),
        pending=look.pending(source),
        notices=(f"{len(scan.skipped)} files are in no known format, e.g. {scan.skipped[0]}",) if scan.skipped else (),
    )


def _plan_database(look: _Look, source: TableSource) -> Plan:
    known = known_files(look.con, look.raw) if look.raw else {}
    with closing(open_database(source)) as database:
        scan, _ = database.look(known, {}, 0)
    there = [file.inside or "" for file in scan.arrived]
    old = [table for table in there if any(is_of(path, table, source) for path in known)]
    return Plan(
        source.name,
        source.kind,
        added=tuple(table for table in there if table not in old),
        gone=scan.gone,
        pending=look.pending(source),
        notices=tuple(f"{table} is read by a run, and what changed lands" for table in old),
    )


def _plan_stream(look: _Look, source: StreamSource) -> Plan:
    cursor = source_cursor(look.lake, look.raw) if look.lake is not None and look.raw is not None else None
    at = streams.restored(cursor.positions) if cursor else {}
    shards = streams.shards(source, at)
    ahead = [
        (shard, shard.size - at.get(shard.name, streams.START).offset) for shard in shards if shard.size is not None
    ]
    return Plan(
        source.name,
        source.kind,
        added=tuple(shard.name for shard in shards if shard.name not in at),
        unreadable=tuple(
            Trouble(shard.name, "failed", f"has {-waiting} bytes fewer than were read of it")
            for shard, waiting in ahead
            if waiting < 0
        ),
        unchanged=cursor.last_sequence if cursor else 0,
        waiting=tuple((shard.name, waiting) for shard, waiting in ahead if waiting > 0),
        pending=look.pending(source),
        notices=tuple(f"shard {name} is no longer there" for name in sorted(at.keys() - {s.name for s in shards})),
    )


def plans(lake: Lake | None, where: Settings, sources: Sequence[Source], *, reread: bool = False) -> list[Plan]:
    """Say what a run over each of `sources` would do; one that cannot be looked at stops no other."""
    return [plan(lake, where, source, reread=reread) for source in sources]
