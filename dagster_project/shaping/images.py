"""Files within a note's file, and the width and height that an image says it has.

What belongs here: the few bytes in which PNG, GIF, JPEG, WebP and BMP tell their size, and the row of an attachment.
What does not: decoding pixels. An image of another format, or a broken one, has no width and height.
"""

from __future__ import annotations

import hashlib
from typing import Final

from dagster_project.shaping.parsed import Attachment

Size = tuple[int, int]

_NO_SIZE: Final = (None, None)
_JPEG_SIZES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of a frame, which says the size (ITU T.81, table B.1)."""
_JPEG_ALONE: Final = frozenset((0x01, *range(0xD0, 0xD9)))
"""Markers without a segment."""
_MARKERS: Final = 10_000
"""JPEG markers that are looked at: a limit for files made of markers alone."""


def attachment(path: str, content: bytes, media_type: str | None = None) -> Attachment:
    """Return the row of a file within a note's file, without a place; its media type is that of its name unless given.

    >>> attachment("media/a.gif", b"GIF89a\\x02\\x00\\x01\\x00")[:3], image_size(b"GIF89a\\x02\\x00\\x01\\x00")
    (('media/a.gif', 'image/gif', 10), (2, 1))
    """
    from dagster_project.shaping import media_type as by_name  # it lists the formats, which use this

    size = image_size(content) or _NO_SIZE
    digest = hashlib.sha256(content).hexdigest()
    return (path, media_type or by_name(path), len(content), digest, *size, None, None, None)


def image_size(content: bytes) -> Size | None:
    """Return width and height in pixels; None if it is no image known here, or doesn't say.

    Source of the places: https://www.w3.org/TR/png/, https://www.w3.org/Graphics/GIF/spec-gif89a.txt, ITU T.81,
    https://developers.google.com/speed/webp/docs/riff_container.
    """
    if content.startswith(b"\x89PNG\r\n\x1a\n") and content[12:16] == b"IHDR":
        return _size(content[16:20], content[20:24], "big")
    if content.startswith((b"GIF87a", b"GIF89a")):
        return _size(content[6:8], content[8:10], "little")
    if content.startswith(b"\xff\xd8"):
        return _jpeg_size(content)
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return _webp_size(content[12:30])
    if content.startswith(b"BM") and int.from_bytes(content[14:18], "little") >= 40:
        height = abs(int.from_bytes(content[22:26], "little", signed=True))  # from the top if negative
        return _size(content[18:22], height.to_bytes(4, "little"), "little")
    return None


def _size(width: bytes, height: bytes, order: str) -> Size | None:
    wide = int.from_bytes(width, "big" if order == "big" else "little")
    high = int.from_bytes(height, "big" if order == "big" else "little")
    return (wide, high) if wide and high else None


def _jpeg_size(content: bytes) -> Size | None:
    at = 2
    for _ in range(_MARKERS):
        if at + 4 > len(content) or content[at] != 0xFF:
            return None
        marker = content[at + 1]
        if marker in _JPEG_SIZES:
            return _size(content[at + 7 : at + 9], content[at + 5 : at + 7], "big")
        if marker == 0xFF:  # fill
            at += 1
        elif marker in _JPEG_ALONE:
            at += 2
        else:
            at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return None


def _webp_size(chunk: bytes) -> Size | None:
    kind = chunk[:4]
    if len(chunk) < 18:
        return None
    if kind == b"VP8X":
        return int.from_bytes(chunk[12:15], "little") + 1, int.from_bytes(chunk[15:18], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(chunk[9:13], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        wide, high = int.from_bytes(chunk[14:16], "little"), int.from_bytes(chunk[16:18], "little")
        return wide & 0x3FFF, high & 0x3FFF
    return None
