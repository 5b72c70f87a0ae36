"""What a reader of a format returns: the parts of a note, in the order of the contracts' own columns.

Lines and byte ranges are the source file's. A format whose text does not lie in the file as such (PDF, DOCX, ENEX …)
has None for them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

At = int | None

Section = tuple[int, str | None, list[str], str | None, str, At, At, At]
"""level, heading, heading_path, anchor, text, line, byte_start, byte_end"""
Link = tuple[str, str, str | None, str, At, At, At]
"""kind, target, fragment, text, line, byte_start, byte_end"""
Tag = tuple[str, str, At, At, At]
"""tag, origin, line, byte_start, byte_end"""
Task = tuple[str, str, str | None, str | None, str | None, str | None, str | None, At, At, At]
"""state, text, heading, due_on, scheduled_on, done_on, priority, line, byte_start, byte_end"""
CodeBlock = tuple[str | None, str, At, At, At]
"""language, code, line, byte_start, byte_end"""
Field = tuple[str, str, str, At, At, At]
"""key, value, origin, line, byte_start, byte_end"""
Block = tuple[str, str | None, str | None, str, At, At, At]
"""kind, name, title, text, line, byte_start, byte_end"""
Attachment = tuple[str, str, int, str, int | None, int | None, At, At, At]
"""path, media_type, size, sha256, width, height, line, byte_start, byte_end"""
Dropped = tuple[str, int, At]
"""construct in words, how often it stands there, line of the first"""


@dataclass(slots=True)
class Parsed:
    """One note as a reader found it. Byte ranges and lines are the source file's, mark and front matter included."""

    title: str
    body: str
    author: str | None = None
    created_at: datetime | None = None
    modified_at: datetime | None = None
    tags: list[str] = field(default_factory=list)
    aliases: list[str] = field(default_factory=list)
    properties: dict[str, Any] = field(default_factory=dict)
    word_count: int = 0
    sections: list[Section] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    tag_uses: list[Tag] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    code_blocks: list[CodeBlock] = field(default_factory=list)
    fields: list[Field] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    """Files within the note's file; their `path` is the name there."""
    dropped: list[Dropped] = field(default_factory=list)
    """Constructs that were not understood: with any, the ledger calls the file `partial`."""
    error: str | None = None
    """What went wrong with what was dropped."""
    line: int | None = None
    """Line of the first error, from 1."""
    encoding: str | None = None
    """Encoding of the text, e.g. `utf-8`, `utf-16-le`, `windows-1252 (detected)`; None if the file is no text."""
    characters: int | None = None
    """Characters of the text in the file, as it was decoded; None if the file is no text."""
    member: str | None = None
    """Name of the note within a file that holds several, the same in every export; see `Container`."""


@dataclass(slots=True)
class Refused:
    """A note within a file that holds several that cannot be read; it alone goes to quarantine."""

    member: str
    rule: str
    reason: str
    payload: str
    line: int | None = None


@dataclass(slots=True)
class Container:
    """A file that holds several notes, each with its `member` name: their `dropped` and `error` are told together."""

    notes: list[Parsed]
    refused: list[Refused] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    error: str | None = None
    line: int | None = None
    encoding: str | None = None
    characters: int | None = None


class Unreadable(Exception):
    """A file that cannot be read as its format; it goes to quarantine as it is."""

    def __init__(self, rule: str, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.rule = rule
        self.reason = reason
        self.line = line


Reader = Callable[[bytes, str], Parsed | Container]
"""Read the bytes of the file at `path` (relative to its source). Pure. Raises `Unreadable`."""
