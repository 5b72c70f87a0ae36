"""Landing of documents: what changed in a folder of files since it was last looked at, as rows of `raw`.

What belongs here: listing, hashing, telling put, move and gone apart. What does not: what the bytes mean (`shaping`).

A file is new if raw has no live row of its path, changed if its SHA-256 is another. A file that vanished and a new one
of equal content are a move; among equals, paths are paired in order; empty files are not, since being empty says
nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Protocol

import fsspec
import pyarrow as pa
from pathspec import GitIgnoreSpec

from dagster_project.contracts import raw_table
from dagster_project.errors import SourceUnavailable, TooManyGone
from dagster_project.sources import DocumentSource

SETTLED_NS: Final = 2_000_000_000
"""A file modified within so many nanoseconds before it was hashed may change again without a new modification time."""
BATCH_BYTES: Final = 16 * 1024 * 1024
BATCH_FILES: Final = 1_024
_CHUNK: Final = 1024 * 1024
_SCHEMA: Final = raw_table("any", "documents").schema

MediaType = Any  # Callable[[str], str]; handed in, since formats are the business of shaping


@dataclass(frozen=True, slots=True)
class Known:
    """The latest row raw has of a path that was not seen to vanish."""

    op: str
    sha256: str | None
    size: int | None
    error: str | None


@dataclass(frozen=True, slots=True)
class File:
    """A file as the listing shows it. `stamp` changes whenever the file may have changed."""

    path: str
    path_bytes: bytes | None
    address: str
    size: int
    stamp: tuple[int | str, ...]
    modified_ns: int
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One observation to land."""

    op: Literal["put", "move", "gone", "unreadable"]
    path: str
    file: File | None = None
    moved_from: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Scan:
    """What one look at a source found; `steps` is empty if nothing changed."""

    steps: tuple[Step, ...]
    seen: int
    unchanged: int
    warnings: tuple[str, ...] = ()


class Files(Protocol):
    """Where documents lie."""

    def listing(self) -> tuple[list[File], list[str]]:
        """Return the files in path order, and what could not be listed."""

    def read(self, file: File) -> bytes:
        """Return the bytes of a file; raises OSError."""


@dataclass(slots=True)
class StatCache:
    """Hashes of files that have not been touched since they were read. Disposable: without it they are hashed again."""

    file: Path
    hashes: dict[str, tuple[tuple[int | str, ...], str]] = field(default_factory=dict)
    changed: bool = False

    @classmethod
    def load(cls, file: Path) -> StatCache:
        """Read the cache; an absent or broken one is empty."""
        try:
            content = json.loads(file.read_bytes())
            return cls(file, {path: (tuple(stamp), sha256) for path, (stamp, sha256) in content.items()})
        except (OSError, ValueError, TypeError, AttributeError):
            return cls(file)

    def get(self, file: File) -> str | None:
        """Return the hash of a file that is as it was."""
        stamp, sha256 = self.hashes.get(file.path, ((), ""))
        return sha256 if stamp == file.stamp else None

    def put(self, file: File, sha256: str, *, now_ns: int) -> None:
        """Remember a hash, unless the file is so young that it may change unseen."""
        if now_ns - file.modified_ns > SETTLED_NS:
            self.hashes[file.path] = (file.stamp, sha256)
            self.changed = True

    def save(self, present: Iterable[str]) -> None:
        """Write the cache for the files that are still there."""
        if not self.changed:
            return
        here = set(present)
        content = json.dumps({path: entry for path, entry in self.hashes.items() if path in here})
        self.file.parent.mkdir(parents=True, exist_ok=True)
        draft = self.file.with_suffix(f".{os.getpid()}.tmp")
        draft.write_text(content, "utf-8")
        os.replace(draft, self.file)


def files_of(source: DocumentSource) -> Files:
    """Return where the documents of `source` lie: a local folder (or one file), or an object store."""
    return RemoteFiles(source) if source.is_remote else LocalFiles(source)


def scan(
    source: DocumentSource, files: Files, *, known: Mapping[str, Known], cache: StatCache, allow_gone: bool = False
) -> Scan:
    """Look at the source and say what is new, changed, moved, gone or unreadable against what raw knows.

    Raises `SourceUnavailable` if there is no such folder and `TooManyGone` if more than the declared share vanished.
    A part that could not be listed is told in `warnings`, and then nothing counts as gone.
    """
    listed, problems = files.listing()
    here = {file.path for file in listed}
    vanished = [path for path in sorted(known) if path not in here] if not problems else []
    look = _Look(files, known, cache, hash_new=any(known[path].sha256 for path in vanished))
    puts = [step for file in listed if (step := look.at(file)) is not None]
    moves, gone = _moves(puts, [(path, known[path]) for path in vanished], look.hashes)
    if not allow_gone:
        _refuse_too_many(source, gone=len(gone), known=len(known))
    moved = {step.path for step in moves}
    steps = (*moves, *(Step("gone", path) for path in gone), *(step for step in puts if step.path not in moved))
    cache.save(here)
    return Scan(steps, seen=len(listed) + len(gone), unchanged=len(listed) - len(puts), warnings=tuple(problems))


@dataclass(slots=True)
class _Look:
    files: Files
    known: Mapping[str, Known]
    cache: StatCache
    hash_new: bool
    """New files are hashed before they are landed only if something vanished: only then can they be moves."""
    hashes: dict[str, str] = field(default_factory=dict)

    def at(self, file: File) -> Step | None:
        """Return what is to be landed of a file, None if nothing."""
        before = self.known.get(file.path)
        if file.error is not None:
            return self._unreadable(file, file.error, before)
        if before is None and not self.hash_new:
            return Step("put", file.path, file)
        try:
            sha256 = self._sha256(file)
        except OSError as error:
            return self._unreadable(file, reason(error), before)
        if before is not None and before.sha256 == sha256:
            return None
        if before is None:  # a file that was there and changed is no place that another moved to
            self.hashes[file.path] = sha256
        return Step("put", file.path, file)

    def _sha256(self, file: File) -> str:
        if sha256 := self.cache.get(file):
            return sha256
        now_ns = time.time_ns()
        sha256 = hashlib.sha256(self.files.read(file)).hexdigest()
        self.cache.put(file, sha256, now_ns=now_ns)
        return sha256

    def _unreadable(self, file: File, error: str, before: Known | None) -> Step | None:
        if before is not None and before.op == "unreadable" and before.error == error:
            return None
        return Step("unreadable", file.path, file, error=error)


def reason(error: OSError) -> str:
    """Return why a file could not be read, without its path."""
    return error.strerror or type(error).__name__


def _moves(
    puts: list[Step], vanished: list[tuple[str, Known]], hashes: Mapping[str, str]
) -> tuple[list[Step], list[str]]:
    """Pair vanished files with new ones of equal content; return the moves, and the paths that are just gone."""
    waiting: dict[str, list[Step]] = defaultdict(list)
    for step in reversed(puts):
        if step.file is not None and step.file.size > 0 and step.path in hashes:
            waiting[hashes[step.path]].append(step)
    moves, gone = [], []
    for path, before in vanished:
        candidates = waiting.get(before.sha256 or "")
        if candidates:
            step = candidates.pop()
            moves.append(Step("move", step.path, step.file, moved_from=path))
        else:
            gone.append(path)
    return sorted(moves, key=lambda step: step.path), gone


def _refuse_too_many(source: DocumentSource, *, gone: int, known: int) -> None:
    if gone <= known * source.max_gone_share or (gone == 1 and known > 1):
        return
    raise TooManyGone(
        f"{source.name}: {gone} of {known} files vanished from {source.path} at once; nothing was landed. "
        "If they were deleted on purpose, run again with --allow-gone; if not, check the path."
    )


def arrivals(
    scan: Scan,
    files: Files,
    *,
    media_type: MediaType,
    cache: StatCache,
    first_sequence: int,
    scan_id: str,
    observed_at: datetime,
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of raw for a scan, in bounded batches, sequences from `first_sequence` on without gaps.

    A file is hashed as it is read here: what lands is what the row says, also if the file changed since the listing.
    """
    landed = partial(_batch, scan_id=scan_id, observed_at=observed_at)
    rows: list[_Row] = []
    size = 0
    for step in scan.steps:
        row = _row(step, files, media_type, cache)
        rows.append(row)
        size += row.size or 0
        if size >= BATCH_BYTES or len(rows) >= BATCH_FILES:
            yield landed(rows, first_sequence)
            first_sequence += len(rows)
            rows, size = [], 0
    if rows:
        yield landed(rows, first_sequence)


class _Row(NamedTuple):
    """What one step gives to raw. The instant is microseconds since 1970."""

    op: str
    path: str
    path_bytes: bytes | None = None
    moved_from: str | None = None
    sha256: str | None = None
    size: int | None = None
    modified_at: int | None = None
    media_type: str | None = None
    content: bytes | None = None
    error: str | None = None


def _batch(rows: Sequence[_Row], first_sequence: int, *, scan_id: str, observed_at: datetime) -> pa.RecordBatch:
    """Return the rows in the columns of raw: column by column, for a dict of every row takes several times as long."""
    columns: dict[str, Any] = dict(zip(_Row._fields, zip(*rows, strict=True), strict=True))
    columns["sequence"] = range(first_sequence, first_sequence + len(rows))
    columns["scan_id"] = pa.repeat(scan_id, len(rows))
    columns["observed_at"] = pa.repeat(pa.scalar(observed_at, _SCHEMA.field("observed_at").type), len(rows))
    arrays = [columns[column.name] for column in _SCHEMA]
    filled = [
        array if isinstance(array, pa.Array) else pa.array(array, column.type)
        for array, column in zip(arrays, _SCHEMA, strict=True)
    ]
    return pa.RecordBatch.from_arrays(filled, schema=_SCHEMA)


def _row(step: Step, files: Files, media_type: MediaType, cache: StatCache) -> _Row:
    file = step.file
    if file is None:
        return _Row(step.op, step.path, moved_from=step.moved_from, error=step.error)
    modified_at, kind = file.modified_ns // 1_000, media_type(step.path)
    row = _Row(
        step.op, step.path, file.path_bytes, step.moved_from, None, file.size, modified_at, kind, None, step.error
    )
    if step.op == "unreadable":
        return row
    try:
        now_ns = time.time_ns()
        content = files.read(file)
    except OSError as error:
        return row._replace(op="unreadable", error=reason(error))
    sha256 = hashlib.sha256(content).hexdigest()
    cache.put(file, sha256, now_ns=now_ns)
    return row._replace(content=content, sha256=sha256, size=len(content))


@dataclass(slots=True)
class _Paths:
    """Turns names as the file system has them into paths as raw has them: NFC, and one path for each name."""

    taken: set[str] = field(default_factory=set)

    def path(self, name: bytes) -> tuple[str, bytes | None]:
        """Return the path, and the bytes if they are not simply its UTF-8.

        Two names that differ only in normal form are two files: the second keeps its own form.
        """
        text = name.decode("utf-8", "backslashreplace")
        path = unicodedata.normalize("NFC", text)
        if path in self.taken:
            path = text
        while path in self.taken:
            path += "~"
        self.taken.add(path)
        return path, None if path.encode("utf-8") == name else name


@dataclass(slots=True)
class LocalFiles:
    """Documents in a local folder, or one local file. Links that lead outside the folder are not followed."""

    source: DocumentSource
    root: bytes = b""
    include: GitIgnoreSpec = field(init=False)
    exclude: GitIgnoreSpec = field(init=False)

    def __post_init__(self) -> None:
        self.root = os.path.realpath(os.fsencode(self.source.path))
        self.include = GitIgnoreSpec.from_lines(self.source.include)
        self.exclude = GitIgnoreSpec.from_lines(self.source.exclude)

    def listing(self) -> tuple[list[File], list[str]]:
        """List the folder; raises `SourceUnavailable` if it is not there."""
        if os.path.isfile(self.root):
            folder, name = os.path.split(self.root)
            self.root = folder
            return self._files([(name, os.stat(os.path.join(folder, name)))]), []
        if not os.path.isdir(self.root):
            raise SourceUnavailable(
                f"{self.source.name}: there is no folder {self.source.path}. Nothing counts as gone; check the path."
            )
        problems: list[str] = []
        return self._files(self._walk(b"", problems)), problems

    def _walk(self, folder: bytes, problems: list[str]) -> Iterator[tuple[bytes, os.stat_result | OSError]]:
        try:
            entries = sorted(os.scandir(os.path.join(self.root, folder)), key=lambda entry: entry.name)
        except OSError as error:
            problems.append(f"{os.fsdecode(folder) or '.'} could not be listed: {reason(error)}")
            return
        for entry in entries:
            name = os.path.join(folder, entry.name)
            text = name.decode("utf-8", "backslashreplace")
            if entry.is_dir(follow_symlinks=False):
                if not self.exclude.match_file(f"{text}/"):
                    yield from self._walk(name, problems)
            elif not self.exclude.match_file(text) and self.include.match_file(text):
                yield name, self._stat(entry)

    def _stat(self, entry: os.DirEntry[bytes]) -> os.stat_result | OSError:
        try:
            if entry.is_symlink() and not self._is_inside(os.path.realpath(entry.path)):
                return OSError(0, "a link that leads out of the source")
            found = entry.stat()
            return found if stat.S_ISREG(found.st_mode) else OSError(0, "not a regular file")
        except OSError as error:
            return error

    def _is_inside(self, path: bytes) -> bool:
        return os.path.commonpath([self.root, path]) == self.root

    def _files(self, entries: Iterable[tuple[bytes, os.stat_result | OSError]]) -> list[File]:
        paths = _Paths()
        return sorted((self._file(name, found, paths) for name, found in entries), key=lambda file: file.path)

    def _file(self, name: bytes, found: os.stat_result | OSError, paths: _Paths) -> File:
        path, path_bytes = paths.path(name)
        address = os.fsdecode(os.path.join(self.root, name))
        if isinstance(found, OSError):
            return File(path, path_bytes, address, 0, (), 0, reason(found))
        stamp = (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
        return File(
            path,
            path_bytes,
            address,
            found.st_size,
            stamp,
            found.st_mtime_ns,
            _too_large(self.source, found.st_size),
        )

    def read(self, file: File) -> bytes:
        """Return the bytes of a file; raises OSError."""
        handle = os.open(file.address, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        try:
            # Asked for one byte more, a file that gives what the listing said is at its end: half the calls of `open`.
            content = os.read(handle, file.size + 1)
            if len(content) == file.size:
                return content
            return content + b"".join(iter(lambda: os.read(handle, _CHUNK), b""))
        finally:
            os.close(handle)


@dataclass(slots=True)
class RemoteFiles:
    """Documents below a prefix of an object store, through fsspec (s3fs)."""

    source: DocumentSource
    filesystem: Any = None

    def __post_init__(self) -> None:
        self.filesystem = fsspec.filesystem(self.source.path.split("://", 1)[0])

    def listing(self) -> tuple[list[File], list[str]]:
        """List the prefix; raises `SourceUnavailable` if nothing lies below it or the store does not answer."""
        prefix = self.source.path.split("://", 1)[1].rstrip("/")
        try:
            self.filesystem.invalidate_cache()
            found = self.filesystem.find(prefix, detail=True)
        except Exception as error:  # the store's client raises errors of its own making
            raise SourceUnavailable(f"{self.source.name}: {self.source.path} cannot be listed: {error}.") from error
        if not found:
            raise SourceUnavailable(
                f"{self.source.name}: nothing lies at {self.source.path}. Nothing counts as gone; check the path."
            )
        base = "" if prefix in found else f"{prefix}/"
        include, exclude = GitIgnoreSpec.from_lines(self.source.include), GitIgnoreSpec.from_lines(self.source.exclude)
        paths = _Paths()
        files = []
        for address, info in sorted(found.items()):
            name = address.removeprefix(base) if base else address.rsplit("/", 1)[1]
            if (
                info.get("type") == "file"
                and not name.endswith("/")
                and not exclude.match_file(name)
                and include.match_file(name)
            ):
                files.append(self._file(name, address, info, paths))
        return sorted(files, key=lambda file: file.path), []

    def _file(self, name: str, address: str, info: Mapping[str, Any], paths: _Paths) -> File:
        path, path_bytes = paths.path(name.encode("utf-8", "surrogateescape"))
        modified = info.get("LastModified") or info.get("mtime") or info.get("created")
        modified_at = modified.timestamp() if isinstance(modified, datetime) else float(modified or 0)
        modified_us = round(modified_at * 1e6)
        size = int(info.get("size") or 0)
        stamp = (size, str(info.get("ETag", "")), modified_us)
        return File(
            path,
            path_bytes,
            address,
            size,
            stamp,
            modified_us * 1_000,
            _too_large(self.source, size),
        )

    def read(self, file: File) -> bytes:
        """Return the bytes of an object; raises OSError."""
        return bytes(self.filesystem.cat_file(file.address))


def _too_large(source: DocumentSource, size: int) -> str | None:
    if size <= source.max_file_bytes:
        return None
    return f"{size} bytes; this source reads files of at most {source.max_file_bytes} (max_file_bytes)"
