"""Bytes to text, with a way back: what each position of the text is in the file's bytes.

What belongs here: encodings, byte order marks, offsets. What does not: what the text means.

Readers look at a file through its *view*: the UTF-8 bytes of the text as a `str` of one character per byte. In a
view an index is a byte offset, whatever script the text is in, so that ranges need no counting and slices,
searches and expressions run at the speed of ASCII. `Text.read` turns a piece of the view back into text.
"""

from __future__ import annotations

import re
from array import array
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from dagster_project.shaping.parsed import Parsed, Unreadable

RULE: Final = "encoding"

_OTHER_MARKS: Final = ((BOM_UTF32_LE, "UTF-32"), (BOM_UTF32_BE, "UTF-32"))
_UTF16: Final = ((BOM_UTF16_LE, "utf-16-le"), (BOM_UTF16_BE, "utf-16-be"))
_SURROGATE_PAIR: Final = 0x10000

_SPACE: Final = ord(" ")
_WIDE_SPACES: Final = "\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_WIDE_SPACE: Final = re.compile(f"[{_WIDE_SPACES}]")


@dataclass(frozen=True, slots=True)
class Text:
    """A decoded file. `text` and `view` are without the byte order mark, `mark` is its length in bytes."""

    text: str
    view: str
    mark: int
    encoding: str
    read: Callable[[str], str]
    """Turns a piece of the view, cut at the bounds of characters, back into text."""


def decode(content: bytes) -> Text:
    """Decode UTF-8, with or without a mark, or UTF-16 with one. Raises `Unreadable` for any other encoding.

    >>> decode("naïve".encode()).view
    'naÃ¯ve'
    >>> decode(b"caf" + bytes([0xE9]))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    dagster_project.shaping.parsed.Unreadable: byte 0xE9 at offset 3 in line 1 is not UTF-8: ...
    """
    if content.isascii():
        text = content.decode("ascii")
        return Text(text, text, 0, "utf-8", _as_it_is)
    if content[:1] in (b"\xff", b"\xfe", b"\x00"):
        return _decode_wide(content)
    return _decode_utf8(content)


def _decode_utf8(content: bytes) -> Text:
    mark = len(BOM_UTF8) if content.startswith(BOM_UTF8) else 0
    try:
        text = content.decode("utf-8")[1 if mark else 0 :]
    except UnicodeDecodeError as error:
        raise _unreadable(content, error, "UTF-8") from error
    if text.isascii():
        return Text(text, text, mark, "utf-8", _as_it_is)
    return Text(text, content[mark:].decode("latin-1"), mark, "utf-8", _from_view)


def _decode_wide(content: bytes) -> Text:
    for mark, name in _OTHER_MARKS:
        if content.startswith(mark):
            raise Unreadable(
                RULE, f"byte 0x{content[0]:02X} at offset 0 in line 1 begins a mark of {name}. Save it as UTF-8.", 1
            )
    for mark, encoding in _UTF16:
        if content.startswith(mark):
            return _decode_utf16(content, encoding)
    return _decode_utf8(content)


def _decode_utf16(content: bytes, encoding: str) -> Text:
    try:
        text = content.decode(encoding)[1:]
    except UnicodeDecodeError as error:
        raise _unreadable(content, error, "UTF-16") from error
    view = text if text.isascii() else text.encode().decode("latin-1")
    return Text(text, view, len(BOM_UTF16_LE), encoding, _from_view)


def _unreadable(content: bytes, error: UnicodeDecodeError, name: str) -> Unreadable:
    line = content.count(b"\n", 0, error.start) + 1
    byte = f"byte 0x{content[error.start]:02X} at offset {error.start} in line {line}"
    return Unreadable(RULE, f"{byte} is not {name}: {error.reason}. Save it as UTF-8.", line)


def _as_it_is(piece: str) -> str:
    return piece


def _from_view(piece: str) -> str:
    return piece.encode("latin-1").decode("utf-8")


def count_words(text: str) -> int:
    """Return the number of words: runs of what is neither white space nor a control character.

    >>> count_words("one  two\\nthree"), count_words(" "), count_words("été　mer"), count_words("")
    (3, 0, 2, 0)
    """
    if not text.isascii() and any(space in text for space in _WIDE_SPACES):
        text = _WIDE_SPACE.sub(" ", text)
    # Five times as fast as split, which makes an object of every word.
    is_space = np.frombuffer(text.encode(), np.uint8) <= _SPACE
    ends = np.count_nonzero(is_space[1:] > is_space[:-1])
    return int(ends) + (not is_space[-1]) if text else 0


def in_file(parsed: Parsed, text: Text) -> Parsed:
    """Return `parsed` with its encoding, and the byte ranges of its parts, given in the view, as those of the file."""
    parsed.encoding, parsed.characters = text.encoding, len(text.text)
    if text.encoding == "utf-8":
        return parsed
    at = _utf16_offsets(text.text)
    for name in ("sections", "links", "tag_uses", "tasks", "code_blocks", "fields", "blocks", "attachments"):
        parts: list[tuple[Any, ...]] = getattr(parsed, name)
        setattr(parsed, name, [(*part[:-2], at[part[-2]], at[part[-1]]) for part in parts])
    return parsed


def _utf16_offsets(text: str) -> array[int]:
    """Return, for every offset in the marked view, the offset of the same character in the marked UTF-16 file."""
    offset = len(BOM_UTF16_LE)
    offsets = array("q", range(offset))
    for character in text:
        offsets.extend([offset] * len(character.encode()))
        offset += 4 if ord(character) >= _SURROGATE_PAIR else 2
    offsets.append(offset)
    return offsets
