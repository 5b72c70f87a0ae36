"""Width and height of images, from the first bytes of a file.

What belongs here: the size of a picture by its content. What does not: decoding one; nothing here does.
"""

from __future__ import annotations

import re
from io import BytesIO
from typing import Final

Size = tuple[int | None, int | None]

UNKNOWN: Final[Size] = (None, None)
_HEAD: Final = 65_536
_SVG: Final = re.compile(rb"<(?:svg:)?svg\b([^>]{0,8192})")
_LENGTH: Final = re.compile(rb"""\s(width|height)\s?=\s?["']\s?(\d{1,7})(?:\.\d{0,9})?(?:px)?\s?["']""")
_BOX: Final = re.compile(rb"""\sviewBox\s?=\s?["'][\d.\s,-]{1,99}["']""")
_NUMBER: Final = re.compile(rb"-?\d{1,7}(?:\.\d{0,9})?")


def image_size(content: bytes | None, media_type: str) -> Size:
    """Return width and height in pixels as an image is shown; None for what is no image, or does not say.

    >>> image_size(b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 16"/>', "image/svg+xml")
    (24, 16)
    >>> image_size(b"GIF89a" + bytes([3, 0, 2, 0]) + bytes(8), "image/gif"), image_size(b"", "image/png")
    ((3, 2), (None, None))
    """
    if not content or not media_type.startswith("image/"):
        return UNKNOWN
    if media_type == "image/svg+xml":
        return _size_of_svg(content[:_HEAD])
    import imagesize

    width, height = imagesize.get(BytesIO(content))
    return (width, height) if width > 0 and height > 0 else UNKNOWN


def _size_of_svg(head: bytes) -> Size:
    match = _SVG.search(head)
    if match is None:
        return UNKNOWN
    lengths = {name: int(number) for name, number in _LENGTH.findall(match[1])}
    if len(lengths) == 2:
        return lengths[b"width"] or None, lengths[b"height"] or None
    box = _BOX.search(match[1])
    sides = _NUMBER.findall(box[0]) if box else []
    return (round(float(sides[2])) or None, round(float(sides[3])) or None) if len(sides) == 4 else UNKNOWN
