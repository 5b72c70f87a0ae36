"""A file as its reader wants it: unpacked where its format cannot unpack it, and text in UTF-8.

What belongs here: compression, encodings of whole files, and members of archives. What does not: which files there are
(`table_files`), and what is in them (`formats`).

A file that is UTF-8, plain, gzip or zstd is read where it lies. All else is written to a temporary file first, piece
by piece, so that memory does not grow with it.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tempfile
import zipfile
import zlib
from codecs import getincrementaldecoder
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final, cast

import pyarrow as pa

from dagster_project.encodings import DETECTED, LEGACY, encoding_of
from dagster_project.landing.reading import Unreadable

PACKED: Final[Mapping[str, str]] = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2", ".xz": "xz"}
"""Endings of packed files, with what packed them."""
ARCHIVE: Final = ".zip"
READ_AS_THEY_ARE: Final = frozenset(("none", "gzip", "zstd"))
SAMPLE_BYTES: Final = 1 << 20
CHUNK: Final = 1 << 20
_UTF8: Final = "utf-8"
_BROKEN: Final = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError, RuntimeError)


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A file to be read: its path, how its bytes are packed (none, gzip or zstd), and the encoding it had."""

    path: str
    packed: str = "none"
    encoding: str | None = None
    inside: str = ""
    """What of the file is meant, where it holds several: a sheet, a table."""

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open its bytes, unpacked."""
        with _opened(self.path, self.packed) as handle:
            yield handle


def packing(path: str) -> str:
    """Return what packed a file, by its name; none if nothing did.

    >>> packing("a.csv.gz"), packing("a.csv")
    ('gzip', 'none')
    """
    return PACKED.get(PurePosixPath(path.lower()).suffix, "none")


def bare_name(path: str) -> str:
    """Return the name without the ending that says how it is packed.

    >>> bare_name("x/A.csv.ZST"), bare_name("a.csv")
    ('x/A.csv', 'a.csv')
    """
    return path if packing(path) == "none" else path[: -len(PurePosixPath(path).suffix)]


@contextmanager
def unpacked(
    path: str, *, is_text: bool, encoding: str | None = None, inside: str = "", scratch: Path | None = None
) -> Iterator[Unpacked]:
    """Give a file as its reader wants it; `encoding` is the declared one. Raises `Unreadable`."""
    packed = packing(path)
    try:
        codec = _codec(path, packed, encoding) if is_text else None
    except _BROKEN as error:
        raise Unreadable(f"it cannot be unpacked: {error}") from error
    if packed in READ_AS_THEY_ARE and codec in (None, _UTF8) and (is_text or packed == "none"):
        yield Unpacked(path, packed, codec, inside)
        return
    with tempfile.TemporaryDirectory(dir=scratch, prefix="table-") as folder:
        target = os.path.join(folder, "input")
        try:
            _write(path, packed, codec, target)
        except UnicodeDecodeError as error:
            raise Unreadable(f"it is not {_named(codec)}: {error.reason}. Set `encoding:` of the source") from error
        except _BROKEN as error:
            raise Unreadable(f"it cannot be unpacked: {error}") from error
        yield Unpacked(target, "none", _named(codec) if codec else None, inside)


def _codec(path: str, packed: str, declared: str | None) -> str:
    if declared:
        return declared.lower().replace("_", "-").replace("utf8", _UTF8)
    with _opened(path, packed) as handle:
        sample = handle.read(SAMPLE_BYTES)
    return encoding_of(sample, is_whole=len(sample) < SAMPLE_BYTES)


def _named(codec: str | None) -> str:
    bare = (codec or _UTF8).removesuffix(DETECTED)
    return LEGACY.get(bare, bare) + (codec or "")[len(bare) :]


@contextmanager
def _opened(path: str, packed: str) -> Iterator[BinaryIO]:
    if packed == "zstd":
        with pa.input_stream(path, compression="zstd") as stream:
            yield cast("BinaryIO", io.BufferedReader(_Raw(stream), CHUNK))
        return
    opener: Any = {"gzip": gzip.open, "bz2": bz2.open, "xz": lzma.open}.get(packed, open)
    with opener(path, "rb") as handle:
        yield handle


class _Raw(io.RawIOBase):
    """pyarrow's unpacking stream as Python's readers want it."""

    def __init__(self, stream: pa.NativeFile) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _write(path: str, packed: str, codec: str | None, target: str) -> None:
    decoder = getincrementaldecoder((codec or _UTF8).removesuffix(DETECTED))() if codec not in (None, _UTF8) else None
    with _opened(path, packed) as source, open(target, "wb") as out:
        while chunk := source.read(CHUNK):
            out.write(decoder.decode(chunk).encode() if decoder else chunk)
        if decoder:
            out.write(decoder.decode(b"", final=True).encode())


# --- archives -------------------------------------------------------------------------------------------------------


def members(handle: BinaryIO) -> list[tuple[str, int]]:
    """Return the files of a zip archive, with their sizes. Raises `Unreadable`."""
    try:
        with zipfile.ZipFile(handle) as archive:
            found = [entry for entry in archive.infolist() if not entry.is_dir()]
    except _BROKEN as error:
        raise Unreadable(f"it is no zip archive that can be read: {error}") from error
    hidden = ("__MACOSX/", ".")
    return [(e.filename, e.file_size) for e in found if not e.filename.startswith(hidden) and "/." not in e.filename]


@contextmanager
def member(handle: BinaryIO, name: str) -> Iterator[BinaryIO]:
    """Open a file of a zip archive. Raises `Unreadable`, of what is wrong inside it as well."""
    try:
        with zipfile.ZipFile(handle) as archive, archive.open(name) as stream:
            yield cast("BinaryIO", stream)
    except (*_BROKEN, KeyError) as error:
        raise Unreadable(f"{name} cannot be unpacked: {error}") from error
