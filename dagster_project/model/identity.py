"""Who a note is: an id made from its source and the path it was first seen at, the same on every machine, for ever."""

from __future__ import annotations

from hashlib import md5
from typing import Final

SEPARATOR: Final = "\x1f"


def note_id(source: str, path: str, generation: int = 0) -> str:
    """Return the id of the note that `source` first had at `path`: 32 hex digits.

    `generation` rises when another note begins at a path whose first note has moved away. MD5 names things here and
    guards nothing; every engine has it, so SQL makes the same ids.

    >>> note_id("vault", "ideas/lake.md")
    '21cf37e8480b6f49a7a2da268ed01926'
    """
    return md5(SEPARATOR.join((source, path, str(generation))).encode(), usedforsecurity=False).hexdigest()
