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


def member_id(file_id: str, member: str) -> str:
    """Return the id of a note within a file that holds several: made from that file's own id and its name there.

    It stays through moves of the file, as the file's id does.

    >>> member_id(note_id("vault", "export.enex"), "20240105T100000Z Milk")
    '1b3feb257e952eddf2db0e0f68b29697'
    """
    return md5(SEPARATOR.join((file_id, member)).encode(), usedforsecurity=False).hexdigest()
