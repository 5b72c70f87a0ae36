"""Observations of files to rows of the note tables: read by format, put into columns.

What belongs here: which reader reads a file and where what it found goes. What does not: the formats themselves (one
file each beside this one), identity (`model`), and writing (`lake`).
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

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
)
from dagster_project.shaping import READERS
from dagster_project.shaping.parsed import Parsed, Unreadable

ATTACHMENT: Final = "attachment"
"""What the ledger names as parser of a file that is kept and not read."""
PAYLOAD_CHARACTERS: Final = 1_000_000

Row = tuple[Any, ...]


@dataclass(slots=True)
class Documents:
    """What a batch of observations became."""

    rows: dict[str, list[Row]] = field(default_factory=lambda: {table.identifier: [] for table in _FILLED})
    inputs: list[dict[str, Any]] = field(default_factory=list)
    """One per observation, with the ledger's own columns, and the `unit` (note) it is about."""
    refusals: list[dict[str, Any]] = field(default_factory=list)
    """Files no reader could read, with the columns `unit, rule, reason, key, file, line, payload, sequence`."""
    replaced: list[str] = field(default_factory=list)
    """Notes whose rows make way for these, or are removed."""

    def tables(self) -> Iterator[tuple[str, pa.Table]]:
        """Yield the rows of each table as Arrow, in the columns of its contract."""
        for identifier, rows in self.rows.items():
            if rows:
                schema = BY_IDENTIFIER[identifier].schema
                columns = zip(*rows, strict=True)
                arrays = [pa.array(column, type_) for column, type_ in zip(columns, schema.types, strict=True)]
                yield identifier, pa.Table.from_arrays(arrays, schema=schema)


_FILLED: Final = (NOTES, VERSIONS, SECTIONS, LINKS, TAGS, TASKS, CODE_BLOCKS, ATTACHMENTS)


@dataclass(frozen=True, slots=True)
class _Seen:
    """One row of raw."""

    sequence: int
    op: str
    path: str
    moved_from: str | None
    sha256: str | None
    size: int | None
    modified_at: datetime | None
    media_type: str | None
    content: bytes | None
    error: str | None
    observed_at: datetime


COLUMNS: Final = tuple(_Seen.__dataclass_fields__)
"""Columns of raw that shaping reads."""


def shape_documents(
    observed: pa.RecordBatch, *, source: str, note_ids: Mapping[int, str], live: Collection[str]
) -> Documents:
    """Shape a batch of raw's rows (`COLUMNS`), each of another path.

    `note_ids` gives the note of each sequence; `live` holds the notes that stand in the lake now.
    """
    shaped = Documents()
    columns = [observed.column(name).to_pylist() for name in COLUMNS]
    for values in zip(*columns, strict=True):
        seen = _Seen(*values)
        _shape(seen, shaped, _Note(source, note_ids[seen.sequence], note_ids[seen.sequence] in live))
    return shaped


@dataclass(frozen=True, slots=True)
class _Note:
    source: str
    note_id: str
    is_live: bool


def _shape(seen: _Seen, shaped: Documents, note: _Note) -> None:
    if seen.op == "gone":
        _remove(seen, shaped, note)
    elif seen.op == "unreadable":
        shaped.inputs.append(_input(seen, note, status="failed", failed=1, error=seen.error))
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
    shaped.inputs.append(_input(seen, note, status="removed", removed=1))
    if note.is_live:
        shaped.rows[VERSIONS.identifier].append(_version(seen, note, "deleted", None))


def _refuse(seen: _Seen, shaped: Documents, note: _Note, parser: str, error: Unreadable) -> None:
    shaped.refusals.append({
        "unit": note.note_id,
        "rule": error.rule,
        "reason": error.reason,
        "key": seen.path,
        "file": seen.path,
        "line": error.line,
        "payload": payload(seen.content or b""),
        "sequence": seen.sequence,
    })
    shaped.inputs.append(
        _input(seen, note, status="quarantined", parser=parser, quarantined=1, error=error.reason, line=error.line)
    )


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
    row = (note.note_id, note.source, 0, seen.path, seen.media_type, seen.size, seen.sha256, None, None, None, 0, seen.size)
    shaped.rows[ATTACHMENTS.identifier].append(row)
    shaped.inputs.append(_input(seen, note, status="parsed", parser=ATTACHMENT, committed=1))


def _add(seen: _Seen, shaped: Documents, note: _Note, parser: str, parsed: Parsed) -> None:
    shaped.replaced.append(note.note_id)
    shaped.rows[NOTES.identifier].append(_note_row(seen, note, parsed))
    op = "moved" if seen.op == "move" else "updated" if note.is_live else "created"
    shaped.rows[VERSIONS.identifier].append(_version(seen, note, op, parsed))
    for identifier, parts in (
        (SECTIONS.identifier, parsed.sections),
        (LINKS.identifier, parsed.links),
        (TAGS.identifier, parsed.tag_uses),
        (TASKS.identifier, parsed.tasks),
        (CODE_BLOCKS.identifier, parsed.code_blocks),
    ):
        if parts:
            shaped.rows[identifier].extend(_parts(note, parts))
    status = "partial" if parsed.dropped else "parsed"
    shaped.inputs.append(
        _input(
            seen, note, status=status, parser=parser, committed=1, dropped=parsed.dropped, error=parsed.error, line=parsed.line
        )
    )


def _parts(note: _Note, parts: Sequence[Row]) -> Iterator[Row]:
    note_id, source = note.note_id, note.source
    return ((note_id, source, ordinal, *part) for ordinal, part in enumerate(parts))


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
        json.dumps(parsed.properties, ensure_ascii=False, default=str) if parsed.properties else "{}",
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


def _input(seen: _Seen, note: _Note, *, status: str, **known: Any) -> dict[str, Any]:
    return {
        "path": seen.path,
        "op": seen.op,
        "status": status,
        "parser": None,
        "seen": 1,
        "committed": 0,
        "duplicate": 0,
        "quarantined": 0,
        "failed": 0,
        "removed": 0,
        "bytes": seen.size,
        "dropped": None,
        "error": None,
        "line": None,
        "sequence": seen.sequence,
        **known,
        "unit": note.note_id,
    }
