"""A source's bookmark for people: how far it has come, and whether it is paused.

What belongs here: what `notelake bookmark` shows and sets. What does not: moving cursors (`land`, `commit`), their
names and places (`cursors`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from dagster_project.contracts import EVENTS, NOTES
from dagster_project.errors import UsageError
from dagster_project.lake.commit import Change, commit
from dagster_project.lake.lake import Lake
from dagster_project.lake.pins import Pin
from dagster_project.steps.commit import retried
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
    found = []
    for name in _known(pins) if source is None else [source]:
        raw = _raw(pins, name)
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
    def attempt() -> None:
        raw = _raw(lake.pins(), source)
        if bool(paused_since(lake, raw)) != bool(since):
            commit(lake, [Change(raw, properties={PAUSED: since})], summary={})

    retried(attempt)


def _known(tables: Iterable[str]) -> list[str]:
    """Return the sources that have landed something, in order."""
    return sorted(name.removeprefix(_RAW) for name in tables if name.startswith(_RAW))


def _raw(pins: Mapping[str, Pin], source: str) -> Pin:
    """Return the pin of what `source` has landed. Raises `UsageError` for one that has never landed."""
    if _RAW + source not in pins:
        known = ", ".join(_known(pins)) or "none yet"
        raise UsageError(f"The lake has landed no source called {source}. There are: {known}.")
    return pins[_RAW + source]
