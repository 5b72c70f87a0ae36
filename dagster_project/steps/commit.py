"""commit: everything a batch staged, all tables at once, with the note cursor in the same transaction.

Other sources commit to the same tables all the time: then the commit is planned anew on what they left. But if the
note cursor of this source has moved, another run has done this batch's work, and this one says so and commits nothing.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from dagster_project.contracts import AUDITS, EVENTS, LEDGER, NOTES, PARTS, QUARANTINE, SHARED, VERSIONS, Table
from dagster_project.errors import CommitConflict, Superseded
from dagster_project.lake.commit import Change, commit
from dagster_project.lake.pins import Pin
from dagster_project.lake.replace import Rewritten, without_keys
from dagster_project.lake.staging import discard
from dagster_project.sql_words import literal
from dagster_project.steps.batch import Batch
from dagster_project.steps.cursors import note_cursor, note_cursor_name, rewinds
from dagster_project.steps.waiting import batch_ids

T = TypeVar("T")

ATTEMPTS: Final = 20
_OPS: Final = (LEDGER, QUARANTINE, AUDITS)
_OF_EVENTS: Final = (EVENTS, LEDGER, QUARANTINE)
"""What a commit of events alone writes; quarantine only where something is refused."""
PART: Final = "notelake.part"
"""In the summary of a commit after which a stream's events and notes are not of one moment: which of them it wrote."""


def commit_batch(batch: Batch, *, moves_cursor: bool = True) -> dict[str, int]:
    """Commit the batch and return the new snapshot of each table. Without `moves_cursor` only the staged is written.

    Raises `Superseded` if another run was first, `CommitConflict` after many attempts: what was staged is deleted then.
    After any other error it stays, since the commit may hold all the same; upkeep deletes it if it does not.
    """
    try:
        return retried(lambda: _commit_once(batch, moves_cursor=moves_cursor))
    except CommitConflict:
        batch.discard()
        raise


def retried(attempt: Callable[[], T]) -> T:
    """Return what `attempt` returns; while another run is quicker, let it look again and decide anew.

    Raises `CommitConflict` after many attempts, and `Superseded` at once, for there is nothing left to try.
    """
    for number in range(1, ATTEMPTS):
        try:
            return attempt()
        except Superseded:
            raise
        except CommitConflict:
            time.sleep(random.uniform(0, 0.02 * number))  # noqa: S311  spreads the attempts, keeps no secret
    return attempt()


def _commit_once(batch: Batch, *, moves_cursor: bool) -> dict[str, int]:
    pins = batch.lake.pins(table.identifier for table in SHARED)
    _refuse_superseded(batch, pins)
    changes, rewritten = _plan(batch, pins, moves_cursor=moves_cursor)
    try:
        snapshots = commit(batch.lake, changes, summary=_summary(batch, pins, moves_cursor=moves_cursor))
    except CommitConflict:
        for files in rewritten:
            discard(batch.lake, files.added)
        raise
    batch.staged.clear()  # the files are the tables' now; whatever goes wrong from here on must not delete them
    return snapshots


def _refuse_superseded(batch: Batch, pins: Mapping[str, Pin]) -> None:
    name, notes = batch.source.name, NOTES.identifier
    if rewinds(batch.lake, pins[notes], name) != rewinds(batch.lake, batch.pins[notes], name):
        raise Superseded(f"{name} was rewound while this run worked on it; this one committed nothing.")
    if batch.part == "fold" and _versions(batch, pins) != _versions(batch, batch.pins):
        raise Superseded(f"{name}: refused notes were let through meanwhile; this run folds their events anew.")
    found = note_cursor(batch.lake, pins[cursor_table(batch).identifier], name)
    if found != batch.after:
        raise Superseded(
            f"{name}: another run committed up to arrival {found} while this one worked on "
            f"{batch.after + 1} to {batch.to}; this one committed nothing."
        )


def cursor_table(batch: Batch) -> Table:
    """Return the table whose properties say how far the source has come."""
    return EVENTS if batch.source.kind == "stream" and batch.part != "fold" else NOTES


def _versions(batch: Batch, pins: Mapping[str, Pin]) -> set[str]:
    files = batch.lake.source_files(pins[VERSIONS.identifier], batch.source.name)
    return {file.file_path for file in files}


def _tables(batch: Batch, *, moves_cursor: bool) -> tuple[Table, ...]:
    """Return the tables that a commit of the batch may change."""
    if not moves_cursor or batch.part == "whole":
        return SHARED
    if batch.part == "events":
        return _OF_EVENTS
    return tuple(table for table in SHARED if table not in (EVENTS, LEDGER))


def _plan(batch: Batch, pins: Mapping[str, Pin], *, moves_cursor: bool) -> tuple[list[Change], list[Rewritten]]:
    changes, rewritten = [], []
    for table in _tables(batch, moves_cursor=moves_cursor):
        pin = pins[table.identifier]
        made_way = _make_way(batch, table, pin) if moves_cursor or table in _OPS else Rewritten()
        rewritten.append(made_way)
        holders = {cursor_table(batch)} if batch.part == "events" else {NOTES, cursor_table(batch)}
        is_cursor = moves_cursor and table in holders
        change = Change(
            pin,
            added=(*batch.staged.get(table.identifier, ()), *made_way.added),
            removed=made_way.removed,
            properties=_properties(batch, table) if is_cursor else {},
        )
        changes.append(change)
    return changes, rewritten


def _properties(batch: Batch, table: Table) -> dict[str, str]:
    cursor = {note_cursor_name(batch.source.name): str(batch.to)}
    return cursor | batch.properties if table == NOTES else cursor


def _make_way(batch: Batch, table: Table, pin: Pin) -> Rewritten:
    """Write anew the files whose rows are replaced; leave the table alone if nothing of it changes."""
    keys: str | None = None
    key = table.key[0]
    if table == NOTES:
        keys = "(SELECT note_id FROM replaced UNION ALL SELECT note_id FROM stale)"
    elif table in PARTS:
        keys = "replaced"
    elif table == VERSIONS and batch.source.kind == "stream":  # a version that became another stands for the one it was
        key, keys = "sequence", batch.rows(VERSIONS)
    elif table in _OPS:
        batches = [batch.batch_id, *(batch_ids(batch.later) if table == AUDITS and batch.part == "fold" else ())]
        keys = f"(SELECT unnest([{', '.join(map(literal, batches))}]) AS batch_id)"
    if table.identifier not in batch.staged and table not in (NOTES, *PARTS):
        return Rewritten()
    if table == EVENTS and batch.tidy is not None:
        return batch.tidy(pin)
    return without_keys(batch.lake, batch.con, pin, source=batch.source.name, key=key, keys=keys)


def _summary(batch: Batch, pins: Mapping[str, Pin], *, moves_cursor: bool) -> dict[str, str]:
    told = {"notelake.batch_id": batch.batch_id, "notelake.source": batch.source.name}
    if not moves_cursor:
        return told
    is_behind = batch.part == "fold" and note_cursor(batch.lake, pins[EVENTS.identifier], batch.source.name) > batch.to
    part = {PART: batch.part} if batch.part == "events" or is_behind else {}
    return told | part | {note_cursor_name(batch.source.name): str(batch.to)}
