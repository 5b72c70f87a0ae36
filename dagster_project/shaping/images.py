"""Files within a note's file, and the width and height that an image says it has.

What belongs here: the size of a picture by its content, and the row of an attachment. What does not: decoding pixels.
An image of an unknown format, or a broken one, has no width and height.
"""

from __future__ import annotations

import hashlib
import re
from io import BytesIO
from typing import Final

from dagster_project.shaping.parsed import Attachment

Size = tuple[int, int]

_NO_SIZE: Final = (None, None)
_HEAD: Final = 65_536
_SVG: Final = re.compile(rb"<(?:svg:)?svg\b([^>]{0,8192})")
_LENGTH: Final = re.compile(rb"""\s(width|height)\s?=\s?["']\s?(\d{1,7})(?:\.\d{0,9})?(?:px)?\s?["']""")
_BOX: Final = re.compile(rb"""\sviewBox\s?=\s?["'][\d.\s,-]{1,99}["']""")
_NUMBER: Final = re.compile(rb"-?\d{1,7}(?:\.\d{0,9})?")


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
    """Return width and height in pixels, as the image is shown; None if it is no image, or doesn't say.

    >>> image_size(b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 16"/>'), image_size(b"")
    ((24, 16), None)
    """
    is_text = content[:99].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")
    if is_text and (match := _SVG.search(content[:_HEAD])) is not None:
        return _size_of_svg(match[1])
    import imagesize

    width, height = imagesize.get(BytesIO(content))
    return (width, height) if width > 0 and height > 0 else None


def _size_of_svg(attributes: bytes) -> Size | None:
    lengths = {name: int(number) for name, number in _LENGTH.findall(attributes)}
    if len(lengths) == 2 and all(lengths.values()):
        return lengths[b"width"], lengths[b"height"]
    box = _BOX.search(attributes)
    sides = [round(float(side)) for side in _NUMBER.findall(box[0])] if box else []
    return (sides[2], sides[3]) if len(sides) == 4 and min(sides[2:]) > 0 else None
