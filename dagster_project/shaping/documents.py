"""Observations of files to rows of the note tables: read by format, put into columns.

What belongs here: which reader reads a file and where what it found goes. What does not: the formats themselves (one
file each beside this one), identity (`model`), and writing (`lake`).
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from dagster_project.contracts import (
    ATTACHMENTS,
    BLOCKS,
    BY_IDENTIFIER,
    CODE_BLOCKS,
    FIELDS,
    LINKS,
    NOTES,
    SECTIONS,
    TAGS,
    TASKS,
    VERSIONS,
    Table,
)
from dagster_project.shaping import READERS
from dagster_project.shaping.images import image_size
from dagster_project.shaping.parsed import Attachment, Container, Dropped, Parsed, Refused, Unreadable

ATTACHMENT: Final = "attachment"
"""What the ledger names as parser of a file that is kept and not read."""
PAYLOAD_CHARACTERS: Final = 1_000_000
_ERROR_CHARACTERS: Final = 500
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
        ("encoding", _TEXT),
        ("characters_in", _INT),
        ("characters_out", _INT),
        *((name, _INT) for name in ("seen", "committed", "duplicate", "quarantined", "failed", "removed", "unchanged")),
    ]
)
"""Columns of what is told of each observation: the ledger's own, and the `unit` it is about.

That is the note, or null for a file that holds several: then the figures count its notes, as for a file of rows.
"""
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
_PARTS: Final[tuple[Table, ...]] = (SECTIONS, LINKS, TAGS, TASKS, CODE_BLOCKS, FIELDS, BLOCKS)
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
    media_type: str
    content: bytes | None
    error: str | None
    observed_at: int


COLUMNS: Final = _Seen._fields
"""Columns of raw that shaping reads."""


@dataclass(frozen=True, slots=True)
class Present:
    """The notes of a source as they stand in the lake, as far as a batch asks for them."""

    sha256: Mapping[str, str | None]
    """Hash of the content of each note."""
    members: Mapping[str, Mapping[str, str]]
    """Of each file that holds several notes: their ids, with the path of each."""


MemberId = Callable[[str, str], str]
"""Returns the id of a note from that of the file it lies in and its name there; handed in, as identity is `model`'s."""


def shape_documents(
    observed: pa.RecordBatch,
    *,
    source: str,
    note_ids: Mapping[int, str],
    present: Present,
    member_id: MemberId,
    failed: Mapping[int, str] = MappingProxyType({}),
    reading: Callable[[int], AbstractContextManager[object]] = lambda _: nullcontext(),
) -> Documents:
    """Shape a batch of raw's rows (`COLUMNS`), each of another path.

    `note_ids` gives the note of each sequence. `failed` tells of sequences whose reader is known to fail, and why: they
    are not tried. `reading` is entered for each sequence that is read, and may raise `Unreadable`, or `TimeoutError`
    or `MemoryError` for what the file costs.
    """
    shaped = Documents(source)
    columns = [_values(observed.column(name)) for name in COLUMNS]
    for seen in map(_Seen._make, zip(*columns, strict=True)):
        note = _Note(source, note_ids[seen.sequence], present, member_id)
        if (why := failed.get(seen.sequence)) is not None:
            _fail(seen, shaped, note, _parser(seen), why)
        else:
            _shape(seen, shaped, note, reading)
    return shaped


def _values(column: pa.Array) -> list[Any]:
    if pa.types.is_timestamp(column.type):
        column = column.cast(_INT)
    return column.to_pylist()  # type: ignore[no-any-return]


class _Note(NamedTuple):
    """The note a file is; or, if it holds several, who the file is."""

    source: str
    note_id: str
    present: Present
    member_id: MemberId

    @property
    def is_live(self) -> bool:
        return self.note_id in self.present.sha256

    @property
    def members(self) -> Mapping[str, str]:
        return self.present.members.get(self.note_id, _NONE)


_NONE: Final[Mapping[str, str]] = MappingProxyType({})


def _parser(seen: _Seen) -> str | None:
    return READERS[seen.media_type].parser if seen.media_type in READERS else None


def _shape(
    seen: _Seen, shaped: Documents, note: _Note, reading: Callable[[int], AbstractContextManager[object]]
) -> None:
    if seen.op == "gone":
        _remove(seen, shaped, note)
    elif seen.op == "unreadable":
        _tell(shaped, seen, note.note_id, "failed", error=seen.error)
    elif seen.media_type not in READERS:
        _attach(seen, shaped, note)
    else:
        parser, extra, read = READERS[seen.media_type]
        try:
            with reading(seen.sequence):
                parsed = read(seen.content or b"", seen.path)
        except Unreadable as error:
            _refuse(seen, shaped, note, parser, error)
        except Exception as error:  # whatever a library makes of a file costs that file only
            _fail(seen, shaped, note, parser, why_failed(error, extra))
        else:
            if isinstance(parsed, Container):
                _add_members(seen, shaped, note, parser, parsed)
            else:
                _add(seen, shaped, note, parser, parsed)


def why_failed(error: Exception, extra: str | None) -> str:
    """Return what to tell of an error that came out of a reader; `extra` is the one that installs its library."""
    if isinstance(error, ImportError) and extra is not None:
        return f"its reader is not installed ({error}): pip install 'notelake[{extra}]', and run with --reread"
    if isinstance(error, TimeoutError):
        return f"its reader {error}"
    if isinstance(error, MemoryError):
        return "its reader ran out of memory"
    return f"its reader failed: {type(error).__name__}: {error}"[:_ERROR_CHARACTERS]


def _fail(seen: _Seen, shaped: Documents, note: _Note, parser: str | None, why: str) -> None:
    _tell(shaped, seen, note.note_id, "failed", parser=parser, error=why)


def _remove(seen: _Seen, shaped: Documents, note: _Note) -> None:
    shaped.replaced.append(note.note_id)
    if note.members:
        _remove_members(seen, shaped, note, note.members)
        _tell(shaped, seen, None, "removed", counts=_Counts(removed=len(note.members)))
        return
    _tell(shaped, seen, note.note_id, "removed")
    if note.is_live:
        shaped.rows[VERSIONS.identifier].append(_version(seen, note, "deleted", None))


def _remove_members(seen: _Seen, shaped: Documents, note: _Note, members: Mapping[str, str]) -> None:
    for member_id, path in members.items():
        shaped.replaced.append(member_id)
        removed = note._replace(note_id=member_id)
        shaped.rows[VERSIONS.identifier].append(
            _version(seen._replace(path=path, moved_from=None), removed, "deleted", None)
        )


def _refuse(seen: _Seen, shaped: Documents, note: _Note, parser: str, error: Unreadable) -> None:
    text = payload(seen.content or b"")
    shaped.refused.append(
        (note.note_id, error.rule, error.reason, seen.path, seen.path, error.line, text, seen.sequence)
    )
    _tell(shaped, seen, note.note_id, "quarantined", parser=parser, error=error.reason, line=error.line)


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
    width, height = image_size(seen.content or b"") or (None, None)
    file = (seen.path, seen.media_type, seen.size, seen.sha256, width, height, None, 0, seen.size)
    shaped.rows[ATTACHMENTS.identifier].append((note.note_id, note.source, 0, *file))
    _tell(shaped, seen, note.note_id, "parsed", parser=ATTACHMENT)


def _add(seen: _Seen, shaped: Documents, note: _Note, parser: str, parsed: Parsed) -> None:
    if note.members:  # it held several notes before, and is one now
        _remove_members(seen, shaped, note, note.members)
    shaped.replaced.append(note.note_id)
    op = "moved" if seen.op == "move" else "updated" if note.is_live else "created"
    shaped.rows[VERSIONS.identifier].append(_version(seen, note, op, parsed))
    _add_note(seen, shaped, note, parsed, None)
    _tell(
        shaped,
        seen,
        note.note_id,
        "partial" if parsed.dropped else "parsed",
        parser=parser,
        dropped=parsed.dropped,
        error=parsed.error,
        line=parsed.line,
        text=_Characters(parsed.encoding, parsed.characters, len(parsed.body)),
    )


def _add_note(seen: _Seen, shaped: Documents, note: _Note, parsed: Parsed, file_id: str | None) -> None:
    """Add the rows of a note and its parts."""
    shaped.rows[NOTES.identifier].append(_note_row(seen, note, parsed, file_id))
    found: tuple[Sequence[Row], ...] = (
        parsed.sections,
        parsed.links,
        parsed.tag_uses,
        parsed.tasks,
        parsed.code_blocks,
        parsed.fields,
        parsed.blocks,
    )
    for table, parts in zip(_PARTS, found, strict=True):
        if parts:
            shaped.parts[table.identifier].add(note.note_id, parts)
    for ordinal, file in enumerate(parsed.attachments):
        inside = (f"{seen.path}/{file[0]}", *file[1:])
        shaped.rows[ATTACHMENTS.identifier].append((note.note_id, note.source, ordinal, *inside))


def _add_members(seen: _Seen, shaped: Documents, note: _Note, parser: str, container: Container) -> None:
    """Add the notes of a file that holds several. Those it held before are replaced; if it broke off, only if seen."""
    shaped.replaced.append(note.note_id)
    before = dict(note.members)
    unchanged = 0
    for parsed in container.notes:
        member = note._replace(note_id=note.member_id(note.note_id, parsed.member or parsed.title))
        was = before.pop(member.note_id, None)
        path = f"{seen.path}/{parsed.member}"
        within = seen._replace(path=path, sha256=_digest(parsed), moved_from=was if was != path else None)
        shaped.replaced.append(member.note_id)
        _add_note(within, shaped, member, parsed, note.note_id)
        if was == path and note.present.sha256.get(member.note_id) == within.sha256:
            unchanged += 1
        else:
            op = "created" if was is None else "updated" if was == path else "moved"
            shaped.rows[VERSIONS.identifier].append(_version(within, member, op, parsed))
    for refused in container.refused:
        member_id = note.member_id(note.note_id, refused.member)
        before.pop(member_id, None)
        shaped.refused.append(_refused_row(seen, member_id, refused))
    if container.error is None:
        _remove_members(seen, shaped, note, before)
    _tell_of_members(seen, shaped, container, parser, unchanged, removed=len(before) if container.error is None else 0)


def _refused_row(seen: _Seen, member_id: str, refused: Refused) -> Row:
    key = f"{seen.path}/{refused.member}"
    text = refused.payload[:PAYLOAD_CHARACTERS]
    return (member_id, refused.rule, refused.reason, key, seen.path, refused.line, text, seen.sequence)


def _tell_of_members(
    seen: _Seen, shaped: Documents, container: Container, parser: str, unchanged: int, *, removed: int
) -> None:
    notes = container.notes
    dropped = _together([*container.dropped, *(each for note in notes for each in note.dropped)])
    error = container.error or next((note.error for note in notes if note.error), None)
    whole = not dropped and not container.refused and container.error is None
    counts = _Counts(
        seen=len(notes) + len(container.refused),
        quarantined=len(container.refused),
        removed=removed,
        unchanged=unchanged,
    )
    _tell(
        shaped,
        seen,
        None,
        "parsed" if whole else "partial",
        parser=parser,
        dropped=dropped,
        error=error,
        line=container.line,
        text=_Characters(container.encoding, container.characters, sum(len(note.body) for note in notes)),
        counts=counts,
    )


def _together(dropped: Sequence[Dropped]) -> list[Dropped]:
    """Return each construct once, with how often it stands in all and the first line."""
    found: dict[str, tuple[int, int | None]] = {}
    for construct, count, line in dropped:
        before, first = found.get(construct, (0, None))
        lines = [at for at in (first, line) if at is not None]
        found[construct] = (before + count, min(lines) if lines else None)
    return [(construct, count, line) for construct, (count, line) in found.items()]


def _digest(parsed: Parsed) -> str:
    """Return a SHA-256 of what a note within a file says: the bytes of the file say nothing of the one note."""
    files: list[Attachment] = parsed.attachments
    said = (
        parsed.title,
        parsed.body,
        parsed.author,
        parsed.created_at,
        parsed.modified_at,
        parsed.tags,
        parsed.properties,
        [(file[0], file[3]) for file in files],
    )
    return hashlib.sha256(_as_json(said).encode()).hexdigest()


def _note_row(seen: _Seen, note: _Note, parsed: Parsed, file_id: str | None) -> Row:
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
        seen.path if file_id is None else seen.path.removesuffix(f"/{parsed.member}"),
        1 if file_id is None else parsed.line,
        seen.sequence,
        file_id,
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


class _Counts(NamedTuple):
    """What became of the units of one observation."""

    seen: int = 0
    committed: int = 0
    duplicate: int = 0
    quarantined: int = 0
    failed: int = 0
    removed: int = 0
    unchanged: int = 0


class _Characters(NamedTuple):
    """The text of a file: its encoding, and how many characters came in and out."""

    encoding: str | None = None
    characters_in: int | None = None
    characters_out: int | None = None


_NO_TEXT: Final = _Characters()
_OUTCOMES: Final = {
    "parsed": _Counts(seen=1, committed=1),
    "partial": _Counts(seen=1, committed=1),
    "quarantined": _Counts(seen=1, quarantined=1),
    "failed": _Counts(seen=1, failed=1),
    "removed": _Counts(seen=1, removed=1),
}


def _tell(
    shaped: Documents,
    seen: _Seen,
    unit: str | None,
    status: str,
    *,
    parser: str | None = None,
    dropped: Sequence[Dropped] = (),
    error: str | None = None,
    line: int | None = None,
    text: _Characters = _NO_TEXT,
    counts: _Counts | None = None,
) -> None:
    """Say what became of an observation; its `counts` are those of one unit unless given."""
    told = dropped_json(dropped) if dropped else None
    about = (unit, seen.path, seen.op, seen.size, seen.sequence)
    shaped.told.append((*about, status, parser, told, error, line, *text, *(counts or _OUTCOMES[status])))


def dropped_json(dropped: Sequence[Dropped]) -> str:
    """Return what was not understood as the ledger has it.

    >>> dropped_json([("front matter", 1, 2)])
    '[{"construct": "front matter", "count": 1, "line": 2}]'
    """
    return _as_json([dict(zip(("construct", "count", "line"), each, strict=True)) for each in dropped])
