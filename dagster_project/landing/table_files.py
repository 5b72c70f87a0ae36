"""The files of a table source: which there are, what their bytes hash to, and what changed since they were last landed.

What belongs here: listing, hashing, comparing. What does not: what is in the files (`table_readers`, `tables`).
"""

from __future__ import annotations

import glob
import hashlib
import os
import stat
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final, Literal

import fsspec

from dagster_project.errors import SourceInvalid, SourceUnavailable
from dagster_project.sources import TableSource

Format = Literal["csv", "jsonl", "parquet"]
FORMATS: Final[Mapping[str, Format]] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
}
CHUNK: Final = 1 << 20
SETTLED: Final = 2.0
"""Seconds: a file modified so shortly before it was hashed may change again within one tick of its clock."""
_WILD: Final = "*?["


@dataclass(frozen=True, slots=True)
class KnownFile:
    """What raw knows of a file: its latest marker. `rows` are the arrivals before it, `sequence` its own."""

    sha256: str | None
    rows: int
    sequence: int
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Stamp:
    """A file's hash and what the file looked like when it was taken; a cache of these saves hashing, no more."""

    size: int
    modified: float
    sha256: str
    taken_at: float


@dataclass(frozen=True, slots=True)
class SeenFile:
    """A file that is new or changed. `path` is relative to the source, `location` is where it lies."""

    path: str
    location: str
    format: Format
    size: int
    modified: float
    sha256: str | None
    is_new: bool
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Scan:
    """What a look at a source found. Paths are sorted; `skipped` are files of a folder in no known format."""

    arrived: tuple[SeenFile, ...]
    unchanged: tuple[str, ...]
    gone: tuple[str, ...]
    skipped: tuple[str, ...]
    stamps: Mapping[str, Stamp]

    @property
    def is_nothing(self) -> bool:
        """Whether there is nothing to land."""
        return not self.arrived and not self.gone


@dataclass(frozen=True, slots=True)
class _Listed:
    path: str
    location: str
    size: int
    modified: float


def look(source: TableSource, known: Mapping[str, KnownFile], *, stamps: Mapping[str, Stamp] | None = None) -> Scan:
    """List the files of `source`, hash them and compare with what raw knows of them, by path.

    A file that cannot be opened arrives with an `error` and no hash. `stamps` of an earlier scan save hashing files
    that look the same. Raises `SourceUnavailable` if the root is not there or the listing fails: then nothing is
    concluded to be gone.
    """
    listed = _by_path(_listed(source))
    kept, skipped = _by_format(source, listed)
    taken = {path: _stamped(listed[path], (stamps or {}).get(path)) for path in kept}
    arrived = tuple(_seen(listed[path], kept[path], taken[path], known.get(path)) for path in sorted(kept))
    changed = tuple(file for file in arrived if not _is_unchanged(file, known.get(file.path)))
    paths = {file.path for file in changed}
    return Scan(
        arrived=changed,
        unchanged=tuple(sorted(kept.keys() - paths)),
        gone=tuple(sorted(known.keys() - kept.keys())),
        skipped=tuple(sorted(skipped)),
        stamps={path: stamp for path, stamp in taken.items() if isinstance(stamp, Stamp)},
    )


def format_of(source: TableSource, path: str) -> Format | None:
    """Return the format of a file: the declared one, else by its name (`.gz` aside); None if neither tells."""
    if source.format != "auto":
        return source.format
    return FORMATS.get(PurePosixPath(path.lower().removesuffix(".gz")).suffix)


@contextmanager
def local_copy(file: SeenFile, scratch: Path | None = None) -> Iterator[str]:
    """Give a local path of the file's bytes that DuckDB takes literally.

    A local file is read where it lies, by a link if its name holds a pattern or is no UTF-8; a remote one is
    downloaded, and `SourceUnavailable` is raised if its bytes are no longer those of the scan.
    """
    if "://" not in file.location and not any(mark in file.location for mark in _WILD) and _is_text(file.location):
        yield file.location
        return
    with tempfile.TemporaryDirectory(dir=scratch, prefix="table-") as folder:
        suffix = "".join(PurePosixPath(file.path.lower()).suffixes[-2:])
        name = os.path.join(folder, "input" + "".join(c for c in suffix if c.isalnum() or c == "."))
        if "://" in file.location:
            _download(file, name)
        else:
            os.symlink(file.location, name)
        yield name


def has_changed(file: SeenFile) -> bool:
    """Whether a local file looks other than when it was scanned, so that what was read of it may be torn."""
    if "://" in file.location:
        return False
    try:
        now = os.stat(file.location)
    except OSError:
        return True
    return (now.st_size, now.st_mtime) != (file.size, file.modified)


def modified_at(file: SeenFile) -> datetime:
    """Return when the file was last modified, as its file system says (UTC)."""
    return datetime.fromtimestamp(file.modified, UTC)


def _listed(source: TableSource) -> Iterator[_Listed]:
    try:
        yield from _remote(source.path) if source.is_remote else _local(source.path)
    except _network_errors(source.path) as error:
        raise SourceUnavailable(
            f"Source {source.name} cannot be listed at {source.path}: {error}. Nothing of it was changed. Look whether "
            "the folder is there and may be read, then run again."
        ) from error


def _by_path(files: Iterable[_Listed]) -> dict[str, _Listed]:
    """Key files by path. Of two whose names differ in their Unicode form only, the later keeps the form it has."""
    found: dict[str, _Listed] = {}
    for file in sorted(files, key=lambda file: os.fsencode(file.location)):
        name = file.path if file.path not in found else f"{file.path} ({os.fsencode(file.location).hex()})"
        found[name] = replace(file, path=name)
    return found


def _local(path: str) -> Iterator[_Listed]:
    if not os.path.lexists(path) and any(mark in path for mark in _WILD):
        root = _fixed_part(path)
        os.stat(root)  # a root that is not there is an error, a pattern without a match is not
        yield from (_local_file(found, root) for found in glob.iglob(path, recursive=True) if os.path.isfile(found))
    elif os.path.isdir(path):
        for folder, folders, files in os.walk(path, onerror=_fail):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            names = (os.path.join(folder, name) for name in files if not name.startswith("."))
            yield from (_local_file(name, path) for name in names if os.path.isfile(name))
    else:
        yield _local_file(path, os.path.dirname(path))


def _fail(error: OSError) -> None:
    raise error


def _local_file(location: str, root: str) -> _Listed:
    facts = os.stat(location)
    if not stat.S_ISREG(facts.st_mode):
        raise OSError(f"{location} is no file")
    relative = PurePosixPath(os.path.relpath(location, root or ".")).as_posix()
    return _Listed(_as_text(relative), location, facts.st_size, facts.st_mtime)


def _fixed_part(pattern: str) -> str:
    first = min(pattern.index(mark) for mark in _WILD if mark in pattern)
    return pattern[:first].rpartition("/")[0] or "."


def _remote(path: str) -> Iterator[_Listed]:
    store, key = fsspec.url_to_fs(path)
    scheme = path.split("://", 1)[0]
    store.invalidate_cache()
    if any(mark in key for mark in _WILD):
        root, found = _fixed_part(key), store.glob(key, detail=True)
    else:
        found = store.find(key, detail=True)
        root = key.rpartition("/")[0] if list(found) == [key] else key.rstrip("/")
    if not found:
        raise FileNotFoundError(f"no object lies at {path}")
    for name, facts in found.items():
        relative = name.removeprefix(root).lstrip("/")
        if facts["type"] == "file" and not any(part.startswith(".") for part in relative.split("/")):
            yield _Listed(_as_text(relative), f"{scheme}://{name}", int(facts["size"]), _instant(facts))


def _instant(facts: Mapping[str, Any]) -> float:
    value = facts.get("LastModified") or facts.get("mtime") or facts.get("created")
    return value.timestamp() if isinstance(value, datetime) else float(value or 0)


def _by_format(source: TableSource, listed: Mapping[str, _Listed]) -> tuple[dict[str, Format], list[str]]:
    formats = {path: format_of(source, path) for path in listed}
    skipped = [path for path, format_ in formats.items() if format_ is None]
    if skipped and len(listed) == 1 and listed[skipped[0]].location.rstrip("/") == source.path.rstrip("/"):
        raise SourceInvalid(
            f"The name of {source.path} does not tell its format. Set `format:` of source {source.name} to csv, "
            "jsonl or parquet."
        )
    return {path: format_ for path, format_ in formats.items() if format_ is not None}, skipped


def _stamped(file: _Listed, stamp: Stamp | None) -> Stamp | str:
    """Return the file's stamp, or in words why it could not be read."""
    if (
        stamp
        and (stamp.size, stamp.modified) == (file.size, file.modified)
        and stamp.taken_at - file.modified > SETTLED
    ):
        return stamp
    taken_at = datetime.now(UTC).timestamp()  # a fact about the cache, not about a row
    try:
        with _opened(file.location) as handle:
            digest = hashlib.sha256()
            while chunk := handle.read(CHUNK):
                digest.update(chunk)
    except OSError as error:
        return f"it cannot be read: {error.strerror or error}"
    except _network_errors(file.location) as error:
        raise SourceUnavailable(
            f"{file.location} cannot be read now: {error}. Nothing was changed; run again."
        ) from error
    return Stamp(file.size, file.modified, digest.hexdigest(), taken_at)


def _opened(location: str) -> BinaryIO:
    if "://" not in location:
        return open(location, "rb")
    store, key = fsspec.url_to_fs(location)
    handle: BinaryIO = store.open(key, "rb", block_size=16 * CHUNK)
    return handle


def _network_errors(location: str) -> type[Exception]:
    """Return what may go wrong there: an object store's client has errors of its own beside OSError."""
    return Exception if "://" in location else OSError


def _download(file: SeenFile, target: str) -> None:
    digest = hashlib.sha256()
    with _opened(file.location) as handle, open(target, "wb") as copy:
        while chunk := handle.read(CHUNK):
            digest.update(chunk)
            copy.write(chunk)
    if digest.hexdigest() != file.sha256:
        raise SourceUnavailable(f"{file.location} changed while it was read; nothing of it was taken. Run again.")


def _seen(file: _Listed, format_: Format, stamp: Stamp | str, known: KnownFile | None) -> SeenFile:
    sha256, error = (stamp.sha256, None) if isinstance(stamp, Stamp) else (None, stamp)
    return SeenFile(file.path, file.location, format_, file.size, file.modified, sha256, known is None, error)


def _is_unchanged(file: SeenFile, known: KnownFile | None) -> bool:
    if known is None or known.sha256 != file.sha256:
        return False
    return file.sha256 is not None or known.error == file.error


def _as_text(path: str) -> str:
    """Return a path as text for keys: NFC, bytes that are no UTF-8 written as escapes."""
    return unicodedata.normalize("NFC", os.fsencode(path).decode("utf-8", "backslashreplace"))


def _is_text(path: str) -> bool:
    return os.fsencode(path).decode("utf-8", "replace") == path
