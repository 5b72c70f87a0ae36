"""A source's bookmark for people: how far it has come, and whether it is paused.

What belongs here: what `notelake bookmark` shows and sets. What does not: moving cursors (`land`, `commit`), their
names and places (`cursors`).
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import Final

from dagster_project.contracts import EVENTS, NOTES
from dagster_project.errors import CommitConflict, UsageError
from dagster_project.lake.commit import Change, commit
from dagster_project.lake.lake import Lake
from dagster_project.steps.commit import ATTEMPTS
from dagster_project.steps.cursors import PAUSED, note_cursor, paused_since, source_cursor

_RAW: Final = "raw."


@dataclass(frozen=True, slots=True)
class Bookmark:
    """How far a source has come, in arrivals of its raw table."""

    source: str
    landed: int
    """Last arrival in raw."""
    committed: int
    """Last arrival that has become notes."""
    paused_since: str | None
    """Since when runs skip it (UTC, ISO 8601); None if they do not."""


def bookmarks(lake: Lake, source: str | None = None) -> tuple[Bookmark, ...]:
    """Return the bookmark of `source`, or of all, as one moment shows them.

    Raises `UsageError` for a source that has never landed.
    """
    pins = lake.pins()
    known = sorted(name.removeprefix(_RAW) for name in pins if name.startswith(_RAW))
    if source is not None:
        _refuse_unknown(source, known)
    found = []
    for name in known if source is None else [source]:
        raw = pins[_RAW + name]
        is_stream = any(column.name == "shard_sequence" for column in raw.table.columns)
        committed = note_cursor(lake, pins[(EVENTS if is_stream else NOTES).identifier], name)
        found.append(Bookmark(name, source_cursor(lake, raw).last_sequence, committed, paused_since(lake, raw)))
    return tuple(found)


def pause(lake: Lake, source: str) -> None:
    """Let runs skip `source` until it is resumed; harmless when it is paused already."""
    _set(lake, source, lake.clock().isoformat())


def resume(lake: Lake, source: str) -> None:
    """Let runs take `source` up again where it stopped; harmless when it is not paused."""
    _set(lake, source, "")


def _set(lake: Lake, source: str, since: str) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        pins = lake.pins()
        _refuse_unknown(source, sorted(name.removeprefix(_RAW) for name in pins if name.startswith(_RAW)))
        raw = pins[_RAW + source]
        if bool(paused_since(lake, raw)) == bool(since):
            return
        try:
            commit(lake, [Change(raw, properties={PAUSED: since})], summary={})
            return
        except CommitConflict:
            if attempt == ATTEMPTS:
                raise
            time.sleep(random.uniform(0, 0.02 * attempt))  # noqa: S311  spreads the attempts, keeps no secret


def _refuse_unknown(source: str, known: list[str]) -> None:
    if source not in known:
        raise UsageError(f"The lake has landed no source called {source}. There are: {', '.join(known) or 'none yet'}.")
