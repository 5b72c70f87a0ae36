"""Plain text: the whole file is the body, and one section.

What belongs here: what can be known of text without markup. What does not: guessing at markup.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Final

from dagster_project.shaping.decoding import count_words, decode, in_file
from dagster_project.shaping.parsed import Parsed

MEDIA_TYPES: Final = {".txt": "text/plain", ".text": "text/plain"}
PARSER: Final = "plain_text/1"
EXTRA: Final = None


def read(content: bytes, path: str) -> Parsed:
    """Read a text file. Its title is its name without extension. Raises `Unreadable` if it can't be decoded.

    >>> read(b"Milk and eggs", "lists/shopping.txt").title
    'shopping'
    """
    decoded = decode(content)
    body = decoded.text
    parsed = Parsed(PurePosixPath(path).stem, body, word_count=count_words(body))
    if body and not body.isspace():
        parsed.sections.append((0, None, [], None, body, 1, decoded.mark, decoded.mark + len(decoded.view)))
    return in_file(parsed, decoded, content)
