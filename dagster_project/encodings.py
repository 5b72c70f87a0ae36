"""Which encoding a text is in, told by its bytes: the one set of rules for documents and for tables.

What belongs here: byte order marks, the encodings that are looked for, and the judgement. What does not: decoding whole
files, and offsets (`shaping.decoding`, `landing.unpacked`).

- A mark at the beginning says it. Without one, what is UTF-8 is taken as that, unless it is full of NUL bytes, which
  means UTF-16 or UTF-32.
- What is mostly UTF-8, with a few bytes that are not, is UTF-8 with errors: read as anything else, all of its letters
  would be wrong.
- Anything else is guessed by charset-normalizer among the encodings in `LEGACY`. Several often fit: of those for Latin
  letters it is `windows-1252`, as on the Web (https://encoding.spec.whatwg.org), unless the words speak for another.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE, getincrementaldecoder
from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np

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
_LONG_RUN: Final = re.compile(rb"[\x80-\xff]{5}")
"""Letters beyond ASCII without one of ASCII between: no language in Latin letters has so many."""
CONTROL: Final = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x84\x86-\x9f]")
EVIDENCE: Final = 65_536
"""So many bytes are looked at to guess an encoding, of the lines that are not ASCII."""
NULS: Final = 4_096
MARKS: Final = (
    (BOM_UTF32_LE, "utf-32-le"),
    (BOM_UTF32_BE, "utf-32-be"),
    (BOM_UTF16_LE, "utf-16-le"),
    (BOM_UTF16_BE, "utf-16-be"),
)


def without_mark(content: bytes) -> str | None:
    """Return the encoding that the places of NUL bytes speak for; None if they speak for none."""
    begun = content[:NULS]
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


def is_mostly_utf8(content: bytes) -> bool:
    """Whether at least as many characters beyond ASCII are UTF-8 as bytes are not."""
    text = content.decode("utf-8", "surrogateescape")
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    bad = np.count_nonzero((codes >= 0xDC80) & (codes <= 0xDCFF))
    return bool(np.count_nonzero(codes >= 0x80) - bad >= bad)


def guesses(content: bytes) -> Iterator[str]:
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


def encoding_of(sample: bytes, *, is_whole: bool = True) -> str:
    """Return the codec to read a text with, of which `sample` is the beginning (`is_whole`: all of it).

    A guess ends in ` (detected)`; without it the name is `utf-8`, or a mark said so. What no rule reads is `utf-8`:
    whoever decodes it finds its errors.

    >>> encoding_of("naïve".encode()), encoding_of("Les cafés".encode("cp1252"))
    ('utf-8', 'cp1252 (detected)')
    """
    for mark, encoding in MARKS:
        if sample.startswith(mark):
            return encoding
    if b"\0" in sample[:NULS] and (told := without_mark(sample[: len(sample) // 4 * 4] if not is_whole else sample)):
        return told + DETECTED
    try:
        sample.decode("utf-8")
    except UnicodeDecodeError as error:
        is_cut = not is_whole and error.end == len(sample) and error.start > len(sample) - 4
        if is_cut or sample.startswith(BOM_UTF8) or is_mostly_utf8(sample):
            return "utf-8"
        return next((name + DETECTED for name in guesses(sample) if _reads(sample, name)), "utf-8")
    return "utf-8"


def _reads(sample: bytes, encoding: str) -> bool:
    text = getincrementaldecoder(encoding)("replace").decode(sample)
    return "\ufffd" not in text and not CONTROL.search(text)
