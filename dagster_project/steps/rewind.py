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
from dagster_project.errors import CommitConflict
from dagster_project.lake.commit import Change, commit
from dagster_project.lake.lake import Lake
from dagster_project.lake.past import files_now
from dagster_project.lake.pins import Pin
from dagster_project.lake.read import scan
from dagster_project.lake.staging import StagedFile, discard, stage_query
from dagster_project.steps.commit import retried
from dagster_project.steps.cursors import note_cursor_name, rewinds, rewinds_name
from dagster_project.steps.points import Files, is_stream

_KEY: Final = "batch_id, unit, rule"
_DECISION: Final = ("released_at", "discarded_at", "discarded_why")


@dataclass(frozen=True, slots=True)
class PutBack:
    """What going back to a state changed. `before` and `after` are the rows of the source, by table."""

    before: Mapping[str, int]
    after: Mapping[str, int]
    decisions_undone: int
    """Refusals somebody had decided about and that are no more, for the batch that made them is undone."""


def put_back(lake: Lake, source: str, files: Files, cursor: int, *, stage: str = "rewind") -> PutBack:
    """Let `files` hold the rows of `source`, and its note cursor stand at `cursor`: all at once, or nothing.

    Decisions about refusals that are still there stay. Raises `CommitConflict` after many attempts.
    """
    return retried(lambda: _put_back_once(lake, source, files, cursor, stage))


def would_put_back(lake: Lake, source: str, files: Files) -> PutBack:
    """Return what `put_back` would change, and change nothing."""
    pins = lake.pins(table.identifier for table in SHARED)
    before = {name: files_now(lake, pin, source) for name, pin in pins.items()}
    return PutBack(_rows(before), _rows(files), _decisions(lake, before, files)[1])


def _put_back_once(lake: Lake, source: str, files: Files, cursor: int, stage: str) -> PutBack:
    pins = lake.pins((*(table.identifier for table in SHARED), f"raw.{source}"))
    before = {table.identifier: files_now(lake, pins[table.identifier], source) for table in SHARED}
    carried, undone = _decisions(lake, before, files)
    decided = _with_decisions(lake, source, carried)
    wanted = {**files, QUARANTINE.identifier: decided} if decided else files
    changes = [
        _change(pins[name], before[name], wanted.get(name, ()), properties)
        for name, properties in _properties(lake, pins, source, cursor).items()
    ]
    summary = {
        "notelake.source": source,
        "notelake.decision": "rewind",
        note_cursor_name(source): str(cursor),
    }
    try:
        commit(lake, changes, summary=summary, stage=stage)
    except CommitConflict:
        discard(lake, decided)
        raise
    return PutBack(_rows(before), _rows(files), undone)


def _properties(lake: Lake, pins: Mapping[str, Pin], source: str, cursor: int) -> dict[str, dict[str, str]]:
    """Return what is to be set on each shared table."""
    to = {note_cursor_name(source): str(cursor)}
    count = {rewinds_name(source): str(rewinds(lake, pins[NOTES.identifier], source) + 1)}
    found: dict[str, dict[str, str]] = {table.identifier: {} for table in SHARED}
    found[NOTES.identifier] = to | count
    if is_stream(pins[f"raw.{source}"]):
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


def _decisions(lake: Lake, before: Files, after: Files) -> tuple[str | None, int]:
    """Return a query of the refusals with the decisions about them, None if none gets one, and how many are undone."""
    standing, wanted = (files.get(QUARANTINE.identifier, ()) for files in (before, after))
    if not standing or {file.path for file in standing} == {file.path for file in wanted}:
        return None, 0
    rows = scan(QUARANTINE.columns, [file.path for file in wanted])
    decided = (
        f"(SELECT {_KEY}, {', '.join(_DECISION)} FROM {scan(QUARANTINE.columns, [file.path for file in standing])} "
        "AS standing WHERE released_at IS NOT NULL OR discarded_at IS NOT NULL)"
    )
    columns = ", ".join(
        f"CASE WHEN d.unit IS NULL THEN q.{column.name} ELSE d.{column.name} END AS {column.name}"
        if column.name in _DECISION
        else f"q.{column.name}"
        for column in QUARANTINE.columns
    )
    with lake.connect() as con:
        found = con.execute(
            f"SELECT count(*) FILTER (q.unit IS NOT NULL), count(*) FILTER (q.unit IS NULL) "
            f"FROM {decided} AS d LEFT JOIN {rows} AS q USING ({_KEY})"
        ).fetchone()
    carried, undone = (int(number) for number in found or (0, 0))
    query = f"SELECT {columns} FROM {rows} AS q LEFT JOIN {decided} AS d USING ({_KEY}) ORDER BY q.unit"
    return (query if carried else None), undone


def _with_decisions(lake: Lake, source: str, query: str | None) -> tuple[StagedFile, ...]:
    if query is None:
        return ()
    with lake.connect() as con:
        return stage_query(lake, con, query, table=QUARANTINE, source=source)
