"""rewind: a source's note cursor and its rows go back together, in one commit over all tables.

What belongs here: that commit. What does not: which state is meant (`points`), making rows from raw (`pipeline`).

Raw, and with it the source cursor, stays: what has arrived has arrived, and landing goes on where it was. Other sources
share no data file with this one, so theirs are not touched. A run that was at work on the source finds that it was
rewound, throws away what it had staged, and takes it up again from where the source stands now.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from dagster_project.contracts import EVENTS, NOTES, QUARANTINE, SHARED
from dagster_project.lake.commit import Change, commit
from dagster_project.lake.lake import Lake
from dagster_project.lake.past import files_now
from dagster_project.lake.pins import Pin
from dagster_project.lake.read import scan
from dagster_project.lake.replace import without_keys
from dagster_project.lake.staging import StagedFile, stage_query
from dagster_project.sql_words import literal
from dagster_project.steps.commit import retried
from dagster_project.steps.cursors import note_cursor_name, rewinds, rewinds_name
from dagster_project.steps.points import Files
from dagster_project.steps.refused import kind_of

_NO_BATCH: Final = "before"


@dataclass(frozen=True, slots=True)
class PutBack:
    """What going back to a state changed. `before` and `after` are the rows of the source, by table."""

    before: Mapping[str, int]
    after: Mapping[str, int]
    decisions_undone: int
    """Refusals somebody had decided about that are open again, or were given up and are gone with their batch."""


def put_back(lake: Lake, source: str, files: Files, cursor: int, *, stage: str = "rewind") -> PutBack:
    """Let `files` hold the rows of `source`, and its note cursor stand at `cursor`: all at once, or nothing.

    Raises `CommitConflict` after many attempts.
    """
    return retried(lambda: _put_back_once(lake, source, files, cursor, stage))


def is_standing(lake: Lake, pins: Mapping[str, Pin], source: str, files: Files) -> bool:
    """Whether these and no other files hold the rows of `source` already."""
    return all(
        {file.path for file in files_now(lake, pins[table.identifier], source)}
        == {file.path for file in files.get(table.identifier, ())}
        for table in SHARED
    )


def would_put_back(lake: Lake, source: str, files: Files) -> PutBack:
    """Return what `put_back` would change, and change nothing."""
    pins = lake.pins(table.identifier for table in SHARED)
    before = {name: files_now(lake, pin, source) for name, pin in pins.items()}
    return PutBack(_rows(before), _rows(files), _undone(lake, before, files))


def _put_back_once(lake: Lake, source: str, files: Files, cursor: int, stage: str) -> PutBack:
    pins = lake.pins((*(table.identifier for table in SHARED), f"raw.{source}"))
    before = {table.identifier: files_now(lake, pins[table.identifier], source) for table in SHARED}
    undone = _undone(lake, before, files)
    changes = [
        _change(pins[name], before[name], files.get(name, ()), properties)
        for name, properties in _properties(lake, pins, source, cursor).items()
    ]
    summary = {
        "notelake.source": source,
        "notelake.decision": "rewind",
        note_cursor_name(source): str(cursor),
    }
    commit(lake, changes, summary=summary, stage=stage)
    return PutBack(_rows(before), _rows(files), undone)


def _properties(lake: Lake, pins: Mapping[str, Pin], source: str, cursor: int) -> dict[str, dict[str, str]]:
    """Return what is to be set on each shared table."""
    to = {note_cursor_name(source): str(cursor)}
    count = {rewinds_name(source): str(rewinds(lake, pins[NOTES.identifier], source) + 1)}
    found: dict[str, dict[str, str]] = {table.identifier: {} for table in SHARED}
    found[NOTES.identifier] = to | count
    if kind_of(pins[f"raw.{source}"]) == "stream":
        found[EVENTS.identifier] = to
    return found


def _change(
    pin: Pin, before: tuple[StagedFile, ...], after: tuple[StagedFile, ...], properties: Mapping[str, str]
) -> Change:
    standing, wanted = {file.path for file in before}, {file.path for file in after}
    added = tuple(file for file in after if file.path not in standing)
    return Change(pin, added=added, removed=frozenset(standing - wanted), properties=properties)


def _rows(files: Files) -> dict[str, int]:
    return {table.identifier: sum(file.rows for file in files.get(table.identifier, ())) for table in SHARED}


def _undone(lake: Lake, before: Files, after: Files) -> int:
    """Return how many decisions about refusals would be open again, or gone with the batch whose unit was given up."""
    standing, wanted = ([file.path for file in files.get(QUARANTINE.identifier, ())] for files in (before, after))
    if set(standing) <= set(wanted):
        return 0
    rows = (
        "(SELECT batch_id, unit, rule, coalesce(discarded_at, released_at) IS NOT NULL AS is_decided, "
        "discarded_at IS NOT NULL AS is_given_up FROM {} AS q)"
    ).format
    now, then = (rows(scan(QUARANTINE.columns, files)) for files in (standing, wanted))
    query = (
        f"SELECT count(*) FROM {now} AS n LEFT JOIN {then} AS t USING (batch_id, unit, rule) "
        "WHERE n.is_decided AND NOT coalesce(t.is_decided, NOT n.is_given_up)"
    )
    with lake.connect() as con:
        row = con.execute(query).fetchone()
    return int(row[0]) if row else 0


def given_up(lake: Lake, source: str) -> tuple[StagedFile, ...]:
    """Stage the refusals of `source` that were given up, as those of no batch: what comes again so stays given up."""
    pin = lake.pins([QUARANTINE.identifier])[QUARANTINE.identifier]
    files = [file.path for file in files_now(lake, pin, source)]
    rows = f"SELECT * REPLACE ({literal(_NO_BATCH)} AS batch_id) FROM {scan(QUARANTINE.columns, files)} AS q"
    with lake.connect() as con:
        return stage_query(lake, con, f"{rows} WHERE discarded_at IS NOT NULL", table=QUARANTINE, source=source)


def forget_given_up(lake: Lake, source: str) -> None:
    """Take the refusals of no batch out again."""
    pin = lake.pins([QUARANTINE.identifier])[QUARANTINE.identifier]
    keys = f"(SELECT {literal(_NO_BATCH)} AS batch_id)"
    with lake.connect() as con:
        made = without_keys(lake, con, pin, source=source, key="batch_id", keys=keys)
    commit(lake, [Change(pin, added=made.added, removed=made.removed)], summary={}, stage="aside")
