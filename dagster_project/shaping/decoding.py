"""Bytes to text, with a way back: what each position of the text is in the file's bytes.

What belongs here: encodings, byte order marks, offsets. What does not: what the text means.

Readers look at a file through its *view*: the UTF-8 bytes of the text as a `str` of one character per byte. In a
view an index is a byte offset, whatever script the text is in, so that ranges need no counting and slices,
searches and expressions run at the speed of ASCII. `Text.read` turns a piece of the view back into text.

Which encoding a file is in is told by the rules of `encodings`.

- No byte is ever left out: a file is decoded whole or refused. Where the encoding was not said, its name ends in
  ` (detected)`.
"""

from __future__ import annotations

import re
from array import array
from codecs import BOM_UTF8, BOM_UTF32_LE, getincrementaldecoder
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from dagster_project.encodings import (
    CONTROL,
    DETECTED,
    LEGACY,
    MARKS,
    NULS,
    guesses,
    is_mostly_utf8,
    without_mark,
)
from dagster_project.shaping.parsed import Parsed, Unreadable

RULE: Final = "encoding"

_SEVERAL_BYTES: Final = frozenset(("cp932", "euc_jp", "gb18030", "big5", "cp949"))
_NAMES: Final = {"utf-16-le": "UTF-16", "utf-16-be": "UTF-16", "utf-32-le": "UTF-32", "utf-32-be": "UTF-32"}

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
    """Decode a file: see above. Raises `Unreadable` if it is no text, or of an encoding that can't be told.

    >>> decode("naïve".encode()).view
    'naÃ¯ve'
    >>> decode("Les cafés près d'ici".encode("cp1252")).encoding
    'windows-1252 (detected)'
    >>> decode("Les cafés ".encode() + "près".encode("cp1252"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    dagster_project.shaping.parsed.Unreadable: byte 0xE8 at offset 13 in line 1 is not UTF-8: ...
    """
    if b"\0" in content[:NULS] or content[:1] in (b"\xff", b"\xfe"):
        return _decode_wide(content)
    if content.isascii():
        text = content.decode("ascii")
        return Text(text, text, 0, "utf-8", _as_it_is)
    return _decode_utf8(content)


def _decode_utf8(content: bytes) -> Text:
    mark = len(BOM_UTF8) if content.startswith(BOM_UTF8) else 0
    try:
        text = content.decode("utf-8")[1 if mark else 0 :]
    except UnicodeDecodeError as error:
        if mark or is_mostly_utf8(content):
            raise _unreadable(content, error, "UTF-8") from error
        return _guess(content, error)
    if text.isascii():
        return Text(text, text, mark, "utf-8", _as_it_is)
    return Text(text, content[mark:].decode("latin-1"), mark, "utf-8", _from_view)


def _decode_wide(content: bytes) -> Text:
    for mark, encoding in MARKS:
        if content.startswith(mark) and not (mark == BOM_UTF32_LE and len(content) % 4):
            return _text(content, encoding, mark=len(mark))
    if (told := without_mark(content)) is not None and (content.isascii() or not _is_utf8(content)):
        text = _text(content, told, suffix=DETECTED)
        if not CONTROL.search(text.text):
            return text
    if content.isascii():
        ascii_text = content.decode("ascii")
        return Text(ascii_text, ascii_text, 0, "utf-8", _as_it_is)
    return _decode_utf8(content)


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _text(content: bytes, encoding: str, *, mark: int = 0, suffix: str = "") -> Text:
    try:
        text = content[mark:].decode(encoding)
    except UnicodeDecodeError as error:
        error.start += mark
        raise _unreadable(content, error, _NAMES.get(encoding, encoding)) from error
    view = text if text.isascii() else text.encode().decode("latin-1")
    return Text(text, view, mark, LEGACY.get(encoding, encoding) + suffix, _from_view)


def _guess(content: bytes, error: UnicodeDecodeError) -> Text:
    """Decode what is not UTF-8, of which `error` tells."""
    for encoding in guesses(content):
        try:
            guessed = _text(content, encoding, suffix=DETECTED)
        except Unreadable:
            continue
        if not CONTROL.search(guessed.text):
            return guessed
    raise _unreadable(content, error, "UTF-8") from error


def _unreadable(content: bytes, error: UnicodeDecodeError, name: str) -> Unreadable:
    line = content.count(b"\n", 0, error.start) + 1
    byte = f"byte 0x{content[error.start]:02X} at offset {error.start} in line {line}"
    return Unreadable(RULE, f"{byte} is not {name}: {error.reason}. Save it as UTF-8.", line)


def _as_it_is(piece: str) -> str:
    return piece


def _from_view(piece: str) -> str:
    return piece if piece.isascii() else piece.encode("latin-1").decode("utf-8")


def count_words(text: str) -> int:
    """Return the number of words: runs of what is neither white space nor a control character.

    >>> count_words("one  two\\nthree"), count_words(" "), count_words("été　mer"), count_words("")
    (3, 0, 2, 0)
    """
    if not text.isascii() and any(space in text for space in _WIDE_SPACES):
        text = _WIDE_SPACE.sub(" ", text)
    # Five times as fast as split, which makes an object of every word.
    is_space = np.frombuffer(text.encode(), np.uint8) <= _SPACE
    ends = np.count_nonzero(is_space[1:] & ~is_space[:-1])
    return int(ends) + (not is_space[-1]) if text else 0


def in_file(parsed: Parsed, text: Text, content: bytes) -> Parsed:
    """Return `parsed` with its encoding, and the byte ranges of its parts, given in the view, as those of `content`."""
    parsed.encoding, parsed.characters = text.encoding, len(text.text)
    if text.encoding == "utf-8":
        return parsed
    at = _offsets(text, content)
    for name in ("sections", "links", "tag_uses", "tasks", "code_blocks", "fields", "blocks", "attachments"):
        parts: list[tuple[Any, ...]] = getattr(parsed, name)
        setattr(parsed, name, [(*part[:-2], at[part[-2]], at[part[-1]]) for part in parts])
    return parsed


def _offsets(text: Text, content: bytes) -> array[int]:
    """Return, for every offset in the marked view, the offset of the same character in the marked file."""
    codes = np.frombuffer(text.text.encode("utf-32-le"), np.uint32)
    lengths = 1 + (codes >= 0x80).astype(np.int64) + (codes >= 0x800) + (codes >= 0x10000)
    ends = text.mark + np.cumsum(_widths(text.encoding.removesuffix(DETECTED), codes, content))
    starts = np.concatenate(([text.mark], ends[:-1])) if len(ends) else ends
    offsets = array("q", range(text.mark))
    offsets.frombytes(np.repeat(starts, lengths).astype(np.int64).tobytes())
    offsets.append(int(ends[-1]) if len(ends) else text.mark)
    return offsets


def _widths(encoding: str, codes: Any, content: bytes) -> Any:
    """Return how many bytes each character has in the file."""
    if encoding.startswith("utf-16"):
        return 2 + 2 * (codes >= 0x10000).astype(np.int64)
    if encoding.startswith("utf-32"):
        return np.full(len(codes), 4, np.int64)
    codec = next(name for name, known in LEGACY.items() if known == encoding)
    return _counted(codec, content) if codec in _SEVERAL_BYTES else np.ones(len(codes), np.int64)


def _counted(codec: str, content: bytes) -> Any:
    decoder = getincrementaldecoder(codec)()
    widths: list[int] = []
    width = 0
    for byte in content:
        width += 1
        if made := decoder.decode(bytes((byte,))):
            widths.extend([width, *[0] * (len(made) - 1)])
            width = 0
    return np.array(widths, np.int64)
