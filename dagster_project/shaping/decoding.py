"""Bytes to text, with a way back: what each position of the text is in the file's bytes.

What belongs here: encodings, byte order marks, offsets. What does not: what the text means.

Readers look at a file through its *view*: the UTF-8 bytes of the text as a `str` of one character per byte. In a
view an index is a byte offset, whatever script the text is in, so that ranges need no counting and slices,
searches and expressions run at the speed of ASCII. `Text.read` turns a piece of the view back into text.

Which encoding a file is in:

- A mark at the beginning says it. Without one, what is UTF-8 is taken as that, unless it is full of NUL bytes, which
  means UTF-16 or UTF-32.
- What is mostly UTF-8, with a few bytes that are not, is refused with the first of these: read as anything else, all
  of its letters would be wrong.
- Anything else is guessed by charset-normalizer among the encodings in `LEGACY`. Several often fit: of those for Latin
  letters it is `windows-1252`, as on the Web (https://encoding.spec.whatwg.org), unless the words speak for another.
- No byte is ever left out: a file is decoded whole or refused. Where the encoding was not said, its name ends in
  ` (detected)`.
"""

from __future__ import annotations

import re
from array import array
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE, getincrementaldecoder
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from dagster_project.shaping.parsed import Parsed, Unreadable

RULE: Final = "encoding"

DETECTED: Final = " (detected)"
LEGACY: Final[Mapping[str, str]] = {
    "cp1252": "windows-1252",
    "cp1250": "windows-1250",
    "cp1254": "windows-1254",
    "mac_roman": "macintosh",
    "cp1251": "windows-1251",
    "koi8_r": "koi8-r",
    "cp1253": "windows-1253",
    "cp1255": "windows-1255",
    "cp1256": "windows-1256",
    "cp932": "cp932",
    "euc_jp": "euc-jp",
    "gb18030": "gb18030",
    "big5": "big5",
    "cp949": "cp949",
}
"""Encodings that are looked for, as Python calls them, with the names that people know them by."""
_LATIN: Final = frozenset(("cp1252", "cp1250", "cp1254", "mac_roman"))
_USUAL: Final = "cp1252"
_SEVERAL_BYTES: Final = frozenset(("cp932", "euc_jp", "gb18030", "big5", "cp949"))
_LONG_RUN: Final = re.compile(rb"[\x80-\xff]{5}")
"""Letters beyond ASCII without one of ASCII between: no language in Latin letters has so many."""
_CONTROL: Final = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x84\x86-\x9f]")
EVIDENCE: Final = 65_536
"""So many bytes are looked at to guess an encoding, of the lines that are not ASCII."""
_NULS: Final = 4_096

_MARKS: Final = (
    (BOM_UTF32_LE, "utf-32-le"),
    (BOM_UTF32_BE, "utf-32-be"),
    (BOM_UTF16_LE, "utf-16-le"),
    (BOM_UTF16_BE, "utf-16-be"),
)
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
    if b"\0" in content[:_NULS] or content[:1] in (b"\xff", b"\xfe"):
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
        if mark or _is_mostly_utf8(content):
            raise _unreadable(content, error, "UTF-8") from error
        return _guess(content, error)
    if text.isascii():
        return Text(text, text, mark, "utf-8", _as_it_is)
    return Text(text, content[mark:].decode("latin-1"), mark, "utf-8", _from_view)


def _decode_wide(content: bytes) -> Text:
    for mark, encoding in _MARKS:
        if content.startswith(mark) and not (mark == BOM_UTF32_LE and len(content) % 4):
            return _text(content, encoding, mark=len(mark))
    if (told := _without_mark(content)) is not None and (content.isascii() or not _is_utf8(content)):
        text = _text(content, told, suffix=DETECTED)
        if not _CONTROL.search(text.text):
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


def _without_mark(content: bytes) -> str | None:
    """Return the encoding that the places of NUL bytes speak for; None if they speak for none."""
    begun = content[:_NULS]
    nuls = [begun[place::4].count(0) * 4 / len(begun) for place in range(4)]
    low, high, half = 0.05, 0.9, 0.3
    if nuls[0] <= low and min(nuls[2:]) >= high and len(content) % 4 == 0:
        return "utf-32-le"
    if nuls[3] <= low and min(nuls[:2]) >= high and len(content) % 4 == 0:
        return "utf-32-be"
    if len(content) % 2:
        return None
    even, odd = (nuls[0] + nuls[2]) / 2, (nuls[1] + nuls[3]) / 2
    if odd >= half and even <= low:
        return "utf-16-le"
    return "utf-16-be" if even >= half and odd <= low else None


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
    for encoding in _guesses(content):
        try:
            guessed = _text(content, encoding, suffix=DETECTED)
        except Unreadable:
            continue
        if not _CONTROL.search(guessed.text):
            return guessed
    raise _unreadable(content, error, "UTF-8") from error


def _is_mostly_utf8(content: bytes) -> bool:
    text = content.decode("utf-8", "surrogateescape")
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    bad = np.count_nonzero((codes >= 0xDC80) & (codes <= 0xDCFF))
    return bool(np.count_nonzero(codes >= 0x80) - bad >= bad)


def _guesses(content: bytes) -> Iterator[str]:
    """Yield the encodings that `content` may be in, the likeliest first."""
    from charset_normalizer import from_bytes  # few files need it

    evidence = _evidence(content)
    found = [
        (name, match.coherence)
        for match in from_bytes(evidence, cp_isolation=list(LEGACY))
        for name in match.could_be_from_charset
        if name in LEGACY
    ]
    is_latin = _LONG_RUN.search(evidence) is None
    usual = dict(found).get(_USUAL)
    if is_latin and usual is not None and usual >= max(coherence for _, coherence in found):
        yield _USUAL
    yield from (name for name, _ in found if is_latin or name not in _LATIN)


def _evidence(content: bytes) -> bytes:
    """Return lines that are not ASCII, up to `EVIDENCE` bytes, cut at ASCII."""
    lines = b"\n".join(line for line in content[: 16 * EVIDENCE].split(b"\n") if not line.isascii())
    if len(lines) > EVIDENCE:
        cut = max(lines.rfind(end, 0, EVIDENCE) for end in (b"\n", b" ", b"."))
        lines = lines[: cut if cut > 0 else EVIDENCE]
    return lines or content


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
