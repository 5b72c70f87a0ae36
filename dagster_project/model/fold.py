"""From events to the notes they speak of: pure rules, the same result in any order and however often an event is sent.

What belongs here: what `note.created`, `updated`, `moved` and `deleted` do to the notes of a source. What does not:
reading events out of JSON, and which notes a batch touches (`shaping.events`).

Events are taken in the order of (occurred_at, rank of the type, event_id); of events with one id the first stands.
At one instant deletions come before moves, moves before creations, those before updates: as in a commit of a version
control system, all of whose changes are told from the state before it, so that places are freed before they are taken.

- created, updated: begin a note where none lies, else change the one that does.
- moved: takes the note to its new path, with its identity; a note that lay there is gone. With nothing at the old
  path it acts as updated at the new one.
- deleted: ends the note. What comes later at the path begins a new life: new creation time, nothing kept.
- A value that an event does not give stays as it was: title, body and tags are the latest given in the note's life,
  the author is the first actor named, the properties are those of the latest event.
- Events of other types, or without a path, are facts and no more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Final

import pyarrow as pa

from dagster_project.contracts import INSTANT, INT, TEXT, TEXTS
from dagster_project.model.identity import note_id

RANKS: Final[Mapping[str, int]] = MappingProxyType(
    {"note.deleted": 0, "note.moved": 1, "note.created": 2, "note.updated": 3}
)
"""The types that change notes, in the order in which they are taken at one instant."""


@dataclass(frozen=True, slots=True)
class NoteEvent:
    """An event as far as the fold needs it; None is what the event does not say."""

    event_id: str
    type: str
    occurred_at: datetime
    path: str | None
    moved_from: str | None = None
    actor: str | None = None
    title: str | None = None
    body: str | None = None
    tags: tuple[str, ...] | None = None
    properties: str = "{}"
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class FoldedNote:
    """A note as its events leave it."""

    note_id: str
    path: str
    title: str
    body: str
    author: str | None
    created_at: datetime
    modified_at: datetime
    tags: tuple[str, ...]
    properties: str
    sequence: int
    """Of the latest event."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one event did: the version it made of which note."""

    event: NoteEvent
    note_id: str
    path: str
    title: str | None


@dataclass(frozen=True, slots=True)
class _Note:
    note_id: str
    path: str
    created_at: datetime
    latest: NoteEvent
    title: str | None = None
    body: str | None = None
    author: str | None = None
    tags: tuple[str, ...] | None = None


def fold(events: Iterable[NoteEvent], *, source: str = "") -> dict[str, FoldedNote]:
    """Return the notes that the events leave, by path.

    >>> from datetime import UTC
    >>> at = [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2)]
    >>> moved = NoteEvent("2", "note.moved", at[1], "b.md", "a.md")
    >>> notes = fold([moved, NoteEvent("1", "note.created", at[0], "a.md", title="Lake"), moved])
    >>> [(path, note.title, note.note_id == note_id("", "a.md")) for path, note in notes.items()]
    [('b.md', 'Lake', True)]
    """
    notes: dict[str, _Note] = {}
    for _ in _steps(events, source, notes):
        pass
    return {path: _finished(note) for path, note in sorted(notes.items())}


def steps(events: Iterable[NoteEvent], *, source: str = "") -> Iterator[Step]:
    """Yield what each event did, in the order in which they are taken."""
    return _steps(events, source, {})


def _steps(events: Iterable[NoteEvent], source: str, notes: dict[str, _Note]) -> Iterator[Step]:
    borne = {note.note_id for note in notes.values()}
    for event in _in_order(events):
        yield _apply(notes, borne, event, source)


def _in_order(events: Iterable[NoteEvent]) -> list[NoteEvent]:
    """Return the events that change notes, each once, in the order in which they are taken."""
    relevant = (event for event in events if event.type in RANKS and event.path is not None)
    ordered = sorted(relevant, key=lambda e: (e.occurred_at, RANKS[e.type], e.event_id, e.sequence))
    once: dict[str, NoteEvent] = {}
    for event in ordered:
        once.setdefault(event.event_id, event)
    return list(once.values())


def _apply(notes: dict[str, _Note], borne: set[str], event: NoteEvent, source: str) -> Step:
    """Play one event; `borne` holds the ids of `notes` and is kept up with them."""
    path = event.path or ""
    if event.type == "note.deleted":
        gone = _remove(notes, borne, path)
        return Step(event, gone.note_id if gone else _new_id(borne, source, path), path, None)
    if event.type == "note.moved" and event.moved_from in notes:
        moving = notes.pop(event.moved_from)
        _remove(notes, borne, path)
        notes[path] = replace(moving, path=path)
    note = notes[path] = _changed(notes.get(path) or _begun(borne, event, source, path), event)
    borne.add(note.note_id)
    return Step(event, note.note_id, path, note.title if note.title is not None else stem(path))


def _remove(notes: dict[str, _Note], borne: set[str], path: str) -> _Note | None:
    gone = notes.pop(path, None)
    if gone:
        borne.discard(gone.note_id)
    return gone


def _begun(borne: AbstractSet[str], event: NoteEvent, source: str, path: str) -> _Note:
    return _Note(_new_id(borne, source, path), path, event.occurred_at, event)


def _new_id(borne: AbstractSet[str], source: str, path: str) -> str:
    """Return the first id of `path` that no note bears; only notes that moved away from there can bear one."""
    generation = 0
    while (found := note_id(source, path, generation)) in borne:
        generation += 1
    return found


def _changed(note: _Note, event: NoteEvent) -> _Note:
    return replace(
        note,
        latest=event,
        title=note.title if event.title is None else event.title,
        body=note.body if event.body is None else event.body,
        tags=note.tags if event.tags is None else event.tags,
        author=note.author or event.actor,
    )


def _finished(note: _Note) -> FoldedNote:
    latest = note.latest
    return FoldedNote(
        note_id=note.note_id,
        path=note.path,
        title=stem(note.path) if note.title is None else note.title,
        body=note.body or "",
        author=note.author,
        created_at=note.created_at,
        modified_at=latest.occurred_at,
        tags=note.tags or (),
        properties=latest.properties,
        sequence=latest.sequence,
    )


def stem(path: str) -> str:
    """Return a file's name without its last extension.

    >>> [stem(path) for path in ("a/b.c.md", ".hidden", "a/b")]
    ['b.c', '.hidden', 'b']
    """
    name = path.rsplit("/", 1)[-1]
    return re.sub(r"^(.+)\.[^.]+$", r"\1", name, flags=re.DOTALL)


NOTES_SCHEMA: Final = pa.schema(
    [
        ("note_id", TEXT),
        ("path", TEXT),
        ("title", TEXT),
        ("body", TEXT),
        ("author", TEXT),
        ("created_at", INSTANT),
        ("modified_at", INSTANT),
        ("tags", TEXTS),
        ("properties", TEXT),
        ("sequence", INT),
    ]
)
STEPS_SCHEMA: Final = pa.schema([("note_id", TEXT), ("sequence", INT), ("title", TEXT)])


def fold_table(events: pa.Table, source: str) -> tuple[pa.Table, pa.Table]:
    """Fold a table of events, columns as `NoteEvent`: the notes (`NOTES_SCHEMA`), what events did (`STEPS_SCHEMA`)."""
    given = [_event(row) for row in events.to_pylist()]
    notes: dict[str, _Note] = {}
    done = list(_steps(given, source, notes))
    finished = [_finished(note) for _, note in sorted(notes.items())]
    rows = [{name: getattr(note, name) for name in NOTES_SCHEMA.names} for note in finished]
    told = [{"note_id": step.note_id, "sequence": step.event.sequence, "title": step.title} for step in done]
    return pa.Table.from_pylist(rows, NOTES_SCHEMA), pa.Table.from_pylist(told, STEPS_SCHEMA)


def _event(row: dict[str, object]) -> NoteEvent:
    tags = row.pop("tags")
    return NoteEvent(**row, tags=tuple(tags) if isinstance(tags, list) else None)  # type: ignore[arg-type]
