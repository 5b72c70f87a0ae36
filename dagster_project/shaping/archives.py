"""Zip archives from strangers, opened so that what comes out is bounded before anything is inflated.

What belongs here: the checks, the limits, and reading one entry. What does not: what the entries mean, which EPUB, DOCX
and PPTX say each for itself.

Rules:

- The limits are checked against what the archive declares, and `zipfile` inflates no entry beyond what it declares; an
  entry that holds more or less than that is refused when it is read. So a library that opens the same bytes with
  `zipfile` afterwards is bounded too.
- Only stored and deflated entries are read, as OOXML and EPUB demand: other methods inflate without bound.
- Names are names: nothing is ever written to disk, so one that climbs out (`../a`) leads nowhere.
- Of two entries with one name the last counts, as for `zipfile`.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from io import BytesIO
from typing import Final
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from dagster_project.shaping.parsed import Unreadable

RULE: Final = "archive"
"""The rule an archive breaks that cannot be opened."""
LIMIT: Final = "archive_limit"
"""The rule an archive breaks that would cost too much."""

_ENTRY: Final = b"PK\x01\x02"
_ENCRYPTED: Final = 0x1
_METHODS: Final = frozenset((ZIP_STORED, ZIP_DEFLATED))
_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What an archive may cost."""

    entries: int = 20_000
    total_bytes: int = 512 * _MIB
    """Bytes of all entries, inflated."""
    entry_bytes: int = 256 * _MIB
    ratio: int = 200
    """Times the archive's own size, counted only beyond `ratio_from` bytes: small text compresses well."""
    ratio_from: int = 16 * _MIB


LIMITS: Final = Limits()


class Archive:
    """A zip archive that keeps to its limits. Entries are read one at a time."""

    def __init__(self, zip_file: ZipFile) -> None:
        self._zip = zip_file
        self._entries = {entry.filename: entry for entry in zip_file.infolist()}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the entries, folders included, in the order of the archive."""
        return tuple(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def size(self, name: str) -> int:
        """Return the declared size of an entry, inflated, in bytes."""
        return self._entry(name).file_size

    def read(self, name: str) -> bytes:
        """Return the bytes of an entry. Raises `Unreadable` if there is none, or it isn't what the archive declares."""
        entry = self._entry(name)
        try:
            content = self._zip.read(entry)
        except (BadZipFile, EOFError, NotImplementedError, OSError, RuntimeError, ValueError, zlib.error) as error:
            raise Unreadable(RULE, f"{_shown(name)} in the archive cannot be read: {error}") from error
        if len(content) != entry.file_size:
            raise Unreadable(RULE, f"{_shown(name)} in the archive is {len(content)} bytes, not {entry.file_size}")
        return content

    def _entry(self, name: str) -> ZipInfo:
        if name not in self._entries:
            raise Unreadable(RULE, f"the archive has no {_shown(name)}")
        return self._entries[name]


def open_archive(content: bytes, limits: Limits = LIMITS) -> Archive:
    """Open a zip archive that keeps to `limits`. Raises `Unreadable` for any other, and for what is no archive.

    >>> open_archive(b"PK")
    Traceback (most recent call last):
    dagster_project.shaping.parsed.Unreadable: it is no zip archive: File is not a zip file
    """
    # Each entry of the directory has this mark: counted before zipfile makes an object of every one.
    if (count := content.count(_ENTRY)) > limits.entries:
        raise Unreadable(LIMIT, f"the archive has about {count} entries, and {limits.entries} are allowed")
    try:
        zip_file = ZipFile(BytesIO(content))
    except (BadZipFile, EOFError, NotImplementedError, OSError, RuntimeError, ValueError, OverflowError) as error:
        raise Unreadable(RULE, f"it is no zip archive: {error}") from error
    _check(zip_file.infolist(), len(content), limits)
    return Archive(zip_file)


def _check(entries: list[ZipInfo], size: int, limits: Limits) -> None:
    for entry in entries:
        if entry.flag_bits & _ENCRYPTED:
            raise Unreadable("encrypted", f"{_shown(entry.filename)} in the archive is encrypted")
        if entry.compress_type not in _METHODS:
            method = entry.compress_type
            raise Unreadable(RULE, f"{_shown(entry.filename)} in the archive is compressed by method {method}")
        if entry.file_size > limits.entry_bytes:
            raise Unreadable(
                LIMIT, f"{_shown(entry.filename)} inflates to {entry.file_size} bytes: {limits.entry_bytes} are allowed"
            )
    total = sum(entry.file_size for entry in entries)
    if total > limits.total_bytes:
        raise Unreadable(LIMIT, f"the archive inflates to {total} bytes: {limits.total_bytes} are allowed")
    if total > limits.ratio_from and total > limits.ratio * size:
        raise Unreadable(
            LIMIT,
            f"the archive inflates to {total} bytes, {total // size} times its size: {limits.ratio} times are allowed",
        )


def _shown(name: str) -> str:
    return repr(name[:100])
