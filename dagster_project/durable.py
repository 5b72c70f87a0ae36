"""What is on disk before one goes on: the bytes of a file, or a folder's list of names."""

from __future__ import annotations

import os


def sync(path: str | os.PathLike[str]) -> None:
    """Wait until a file's bytes, or the names of a folder's files, are on disk. Raises `OSError` if they cannot be."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
