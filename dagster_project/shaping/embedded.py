"""Files that lie within a note's file, as rows of attachments.

What belongs here: from the bytes of such a file to its row. What does not: finding them, which each format does itself.
"""

from __future__ import annotations

import hashlib

from dagster_project.shaping.images import image_size
from dagster_project.shaping.parsed import Attachment


def attachment(path: str, content: bytes, media_type: str | None = None) -> Attachment:
    r"""Return the row of the file `path` within a note's file, without a place there.

    Its media type is that of its name unless given.

    >>> row = attachment("media/a.gif", b"GIF89a\x02\x00\x01\x00" + bytes(8))
    >>> row[:3], row[4:]
    (('media/a.gif', 'image/gif', 18), (2, 1, None, None, None))
    """
    from dagster_project.shaping import media_type as by_name  # it lists the formats, which use this

    media_type = media_type or by_name(path)
    digest = hashlib.sha256(content).hexdigest()
    return (path, media_type, len(content), digest, *image_size(content, media_type), None, None, None)
