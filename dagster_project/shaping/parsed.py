"""What a reader of a format returns: the parts of one note, in the order of the contracts' own columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Section = tuple[int, str | None, list[str], str | None, str, int, int, int]
"""level, heading, heading_path, anchor, text, line, byte_start, byte_end"""
Link = tuple[str, str, str | None, str, int, int, int]
"""kind, target, fragment, text, line, byte_start, byte_end"""
Tag = tuple[str, str, int, int, int]
"""tag, origin, line, byte_start, byte_end"""
Task = tuple[str, str, str | None, str | None, str | None, str | None, str | None, int, int, int]
"""state, text, heading, due_on, scheduled_on, done_on, priority, line, byte_start, byte_end"""
CodeBlock = tuple[str | None, str, int, int, int]
"""language, code, line, byte_start, byte_end"""


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
    dropped: str | None = None
    """Constructs that were not understood, in words: the ledger calls such a note `partial`."""
    error: str | None = None
    """What went wrong with what was dropped."""
    line: int | None = None
    """Line of the first error, from 1."""


class Unreadable(Exception):
    """A file that cannot be read as its format; it goes to quarantine as it is."""

    def __init__(self, rule: str, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.rule = rule
        self.reason = reason
        self.line = line


Reader = Callable[[bytes, str], Parsed]
"""Read the bytes of the file at `path` (relative to its source). Pure. Raises `Unreadable`."""
