"""Observations of files to rows of the note tables: read by format, put into columns.

What belongs here: which reader reads a file and where what it found goes. What does not: the formats themselves (one
file each beside this one), identity (`model`), and writing (`lake`).
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from dagster_project.contracts import (
    ATTACHMENTS,
    BY_IDENTIFIER,
    CODE_BLOCKS,
    LINKS,
    NOTES,
    SECTIONS,
    TAGS,
    TASKS,
    VERSIONS,
    Table,
)
from dagster_project.shaping import READERS
from dagster_project.shaping.parsed import Parsed, Unreadable

ATTACHMENT: Final = "attachment"
"""What the ledger names as parser of a file that is kept and not read."""
PAYLOAD_CHARACTERS: Final = 1_000_000
_as_json: Final = json.JSONEncoder(ensure_ascii=False, default=str).encode

Row = tuple[Any, ...]

_TEXT: Final = pa.string()
_INT: Final = pa.int64()
INPUTS: Final = pa.schema(
    [
        ("unit", _TEXT),
        ("path", _TEXT),
        ("op", _TEXT),
        ("bytes", _INT),
        ("sequence", _INT),
        ("status", _TEXT),
        ("parser", _TEXT),
        ("dropped", _TEXT),
        ("error", _TEXT),
        ("line", _INT),
        *((name, _INT) for name in ("seen", "committed", "duplicate", "quarantined", "failed", "removed")),
    ]
)
"""Columns of what is told of each observation: the ledger's own, and the `unit` (note) it is about."""
REFUSALS: Final = pa.schema(
    [
        *((name, _TEXT) for name in ("unit", "rule", "reason", "key", "file")),
        ("line", _INT),
        ("payload", _TEXT),
        ("sequence", _INT),
    ]
)
"""Columns of what is told of a file no reader could read."""


@dataclass(slots=True)
class _Parts:
    """Rows of one table of parts. Note, source and ordinal are put before them as whole columns, at the end."""

    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)

    def add(self, note_id: str, parts: Sequence[Row]) -> None:
        """Add the parts of a note, in their order."""
        self.rows.extend(parts)
        self.notes.append(note_id)
        self.counts.append(len(parts))

    def table(self, source: str, schema: pa.Schema) -> pa.Table:
        """Return them in the columns of their contract."""
        counts = np.array(self.counts)
        note_ids = pa.array(self.notes, _TEXT).take(pa.array(np.repeat(np.arange(len(counts)), counts)))
        firsts = np.cumsum(counts) - counts
        ordinals = pa.array(np.arange(len(self.rows)) - np.repeat(firsts, counts))
        sources = pa.repeat(source, len(self.rows))
        return pa.Table.from_arrays([note_ids, sources, ordinals, *_arrays(self.rows, schema.types[3:])], schema=schema)


_WHOLE: Final[tuple[Table, ...]] = (NOTES, VERSIONS, ATTACHMENTS)
"""Tables whose rows are made here column for column."""
_PARTS: Final[tuple[Table, ...]] = (SECTIONS, LINKS, TAGS, TASKS, CODE_BLOCKS)
"""Tables whose rows are as readers return them, after note, source and ordinal."""


@dataclass(slots=True)
class Documents:
    """What a batch of observations of `source` became."""

    source: str
    rows: dict[str, list[Row]] = field(default_factory=lambda: {table.identifier: [] for table in _WHOLE})
    parts: dict[str, _Parts] = field(default_factory=lambda: {table.identifier: _Parts() for table in _PARTS})
    told: list[Row] = field(default_factory=list)
    refused: list[Row] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    """Notes whose rows make way for these, or are removed."""

    def tables(self) -> Iterator[tuple[str, pa.Table]]:
        """Yield the rows of each table that has some as Arrow, in the columns of its contract."""
        for identifier, rows in self.rows.items():
            if rows:
                yield identifier, _table(rows, BY_IDENTIFIER[identifier].schema)
        for identifier, parts in self.parts.items():
            if parts.rows:
                yield identifier, parts.table(self.source, BY_IDENTIFIER[identifier].schema)

    def report(self) -> Told:
        """Return what became of each observation."""
        replaced = pa.table({"note_id": pa.array(self.replaced, _TEXT)})
        return Told(replaced, _table(self.refused, REFUSALS), _table(self.told, INPUTS))


@dataclass(frozen=True, slots=True)
class Told:
    """What is told of observations beside the rows they became."""

    replaced: pa.Table
    """Notes (`note_id`) whose rows make way, or are removed."""
    refusals: pa.Table
    """One row per file no reader could read, with the columns `REFUSALS`."""
    inputs: pa.Table
    """One row per observation, with the columns `INPUTS`."""


def _table(rows: Sequence[Row], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_arrays(_arrays(rows, schema.types), schema=schema) if rows else schema.empty_table()


def _arrays(rows: Sequence[Row], types: Sequence[pa.DataType]) -> list[pa.Array]:
    return [pa.array(column, type_) for column, type_ in zip(zip(*rows, strict=True), types, strict=True)]


class _Seen(NamedTuple):
    """One row of raw. Instants are microseconds since 1970, which Arrow takes and gives several times faster."""

    sequence: int
    op: str
    path: str
    moved_from: str | None
    sha256: str | None
    size: int | None
    modified_at: int | None
    media_type: str | None
    content: bytes | None
    error: str | None
    observed_at: int


COLUMNS: Final = _Seen._fields
"""Columns of raw that shaping reads."""


def shape_documents(
    observed: pa.RecordBatch, *, source: str, note_ids: Mapping[int, str], live: Collection[str]
) -> Documents:
    """Shape a batch of raw's rows (`COLUMNS`), each of another path.

    `note_ids` gives the note of each sequence; `live` holds the notes that stand in the lake now.
    """
    shaped = Documents(source)
    columns = [_values(observed.column(name)) for name in COLUMNS]
    for seen in map(_Seen._make, zip(*columns, strict=True)):
        note_id = note_ids[seen.sequence]
        _shape(seen, shaped, _Note(source, note_id, note_id in live))
    return shaped


def _values(column: pa.Array) -> list[Any]:
    if pa.types.is_timestamp(column.type):
        column = column.cast(_INT)
    return column.to_pylist()  # type: ignore[no-any-return]


class _Note(NamedTuple):
    source: str
    note_id: str
    is_live: bool


def _shape(seen: _Seen, shaped: Documents, note: _Note) -> None:
    if seen.op == "gone":
        _remove(seen, shaped, note)
    elif seen.op == "unreadable":
        _tell(shaped, seen, note, status="failed", error=seen.error)
    elif (reader := READERS.get(seen.media_type or "")) is None:
        _attach(seen, shaped, note)
    else:
        parser, read = reader
        try:
            parsed = read(seen.content or b"", seen.path)
        except Unreadable as error:
            _refuse(seen, shaped, note, parser, error)
        else:
            _add(seen, shaped, note, parser, parsed)


def _remove(seen: _Seen, shaped: Documents, note: _Note) -> None:
    shaped.replaced.append(note.note_id)
    _tell(shaped, seen, note, status="removed")
    if note.is_live:
        shaped.rows[VERSIONS.identifier].append(_version(seen, note, "deleted", None))


def _refuse(seen: _Seen, shaped: Documents, note: _Note, parser: str, error: Unreadable) -> None:
    text = payload(seen.content or b"")
    shaped.refused.append(
        (note.note_id, error.rule, error.reason, seen.path, seen.path, error.line, text, seen.sequence)
    )
    _tell(shaped, seen, note, status="quarantined", parser=parser, error=error.reason, line=error.line)


def payload(content: bytes) -> str:
    """Return refused bytes as text that quarantine can hold: as they are, or in base64 with that prefix.

    >>> payload(b"\\xff")
    'base64:/w=='
    """
    try:
        return content.decode("utf-8")[:PAYLOAD_CHARACTERS]
    except UnicodeDecodeError:
        return "base64:" + b64encode(content[:PAYLOAD_CHARACTERS]).decode("ascii")


def _attach(seen: _Seen, shaped: Documents, note: _Note) -> None:
    shaped.replaced.append(note.note_id)
    row = (
        note.note_id,
        note.source,
        0,
        seen.path,
        seen.media_type,
        seen.size,
        seen.sha256,
        None,
        None,
        None,
        0,
        seen.size,
    )
    shaped.rows[ATTACHMENTS.identifier].append(row)
    _tell(shaped, seen, note, status="parsed", parser=ATTACHMENT)


def _add(seen: _Seen, shaped: Documents, note: _Note, parser: str, parsed: Parsed) -> None:
    shaped.replaced.append(note.note_id)
    shaped.rows[NOTES.identifier].append(_note_row(seen, note, parsed))
    op = "moved" if seen.op == "move" else "updated" if note.is_live else "created"
    shaped.rows[VERSIONS.identifier].append(_version(seen, note, op, parsed))
    found: tuple[Sequence[Row], ...] = (
        parsed.sections,
        parsed.links,
        parsed.tag_uses,
        parsed.tasks,
        parsed.code_blocks,
    )
    for table, parts in zip(_PARTS, found, strict=True):
        if parts:
            shaped.parts[table.identifier].add(note.note_id, parts)
    status = "partial" if parsed.dropped else "parsed"
    _tell(
        shaped, seen, note, status=status, parser=parser, dropped=parsed.dropped, error=parsed.error, line=parsed.line
    )


def _note_row(seen: _Seen, note: _Note, parsed: Parsed) -> Row:
    return (
        note.note_id,
        note.source,
        "document",
        seen.path,
        parsed.title,
        parsed.body,
        parsed.author,
        parsed.created_at,
        parsed.modified_at or seen.modified_at,
        parsed.tags,
        parsed.aliases,
        _as_json(parsed.properties) if parsed.properties else "{}",
        parsed.word_count,
        seen.sha256,
        None,
        False,
        seen.observed_at,
        seen.path,
        1,
        seen.sequence,
    )


def _version(seen: _Seen, note: _Note, op: str, parsed: Parsed | None) -> Row:
    return (
        note.note_id,
        note.source,
        seen.sequence,
        op,
        seen.path,
        seen.moved_from,
        parsed.title if parsed else None,
        seen.sha256 if parsed else None,
        parsed.word_count if parsed else None,
        (parsed.modified_at or seen.modified_at) if parsed else None,
        seen.observed_at,
    )


_OUTCOMES: Final = {
    # status: seen, committed, duplicate, quarantined, failed, removed
    "parsed": (1, 1, 0, 0, 0, 0),
    "partial": (1, 1, 0, 0, 0, 0),
    "quarantined": (1, 0, 0, 1, 0, 0),
    "failed": (1, 0, 0, 0, 1, 0),
    "removed": (1, 0, 0, 0, 0, 1),
}


def _tell(
    shaped: Documents,
    seen: _Seen,
    note: _Note,
    *,
    status: str,
    parser: str | None = None,
    dropped: str | None = None,
    error: str | None = None,
    line: int | None = None,
) -> None:
    """Say what became of an observation."""
    about = (note.note_id, seen.path, seen.op, seen.size, seen.sequence)
    shaped.told.append((*about, status, parser, dropped, error, line, *_OUTCOMES[status]))
