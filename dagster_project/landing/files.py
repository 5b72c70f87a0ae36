"""Where documents lie: a local folder, or a prefix of an object store, listed and read.

What belongs here: listing with what is left out, paths as raw has them, links, reading bytes. What does not: what is
new or changed (`documents`).

Links never lead out of a source. A link to a file inside is read as a file of its own. A link to a folder is not
followed: what lies inside is listed at its own place, so loops cannot be; one that leads out is told as unreadable.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol

import fsspec

from dagster_project.errors import SourceUnavailable
from dagster_project.landing.ignored import Ignored
from dagster_project.sources import DocumentSource

LEADS_OUT: Final = "a link that leads out of the source"
CLIMBS_OUT: Final = "a path that climbs out of the source"
_CHUNK: Final = 1024 * 1024
_NO_LINK: Final = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)


class File(NamedTuple):
    """A file as the listing shows it. `stamp` changes whenever the file may have changed."""

    path: str
    path_bytes: bytes | None
    address: str | bytes
    size: int
    stamp: str
    modified_ns: int
    error: str | None = None


class Files(Protocol):
    """Where documents lie."""

    def listing(self) -> tuple[list[File], list[str]]:
        """Return the files in path order, and what could not be listed."""

    def leaves_out(self, path: str) -> bool:
        """Whether the source's patterns leave out what lies at `path`."""

    def read(self, file: File) -> bytes:
        """Return the bytes of a file; raises OSError."""


def files_of(source: DocumentSource) -> Files:
    """Return where the documents of `source` lie: a local folder (or one file), or an object store."""
    return RemoteFiles(source) if source.is_remote else LocalFiles(source)


def reason(error: OSError) -> str:
    """Return why a file could not be read, without its path."""
    return error.strerror or type(error).__name__


@dataclass(slots=True)
class _Paths:
    """Turns names as the file system has them into paths as raw has them: NFC, and one path for each name."""

    taken: set[str] = field(default_factory=set)

    def path(self, name: bytes) -> tuple[str, bytes | None]:
        """Return the path, and the bytes if they are not simply its UTF-8.

        Two names that differ only in normal form are two files: the second keeps its own form.
        """
        text = name.decode("utf-8", "backslashreplace")
        if name.isascii() and text not in self.taken:
            self.taken.add(text)
            return text, None
        path = unicodedata.normalize("NFC", text)
        if path in self.taken:
            path = text
        while path in self.taken:
            path += "~"
        self.taken.add(path)
        return path, None if path.encode("utf-8") == name else name


_Entry = tuple[bytes, bytes, os.stat_result | OSError]
"""Name below the root, address to read it at, and what stat says."""


@dataclass(slots=True)
class LocalFiles:
    """Documents in a local folder, or one local file."""

    source: DocumentSource
    root: bytes = b""
    ignored: Ignored = field(init=False)

    def __post_init__(self) -> None:
        self.root = os.path.realpath(os.fsencode(self.source.path))
        self.ignored = Ignored(include=self.source.include, exclude=self.source.ignored)

    def listing(self) -> tuple[list[File], list[str]]:
        """List the folder; raises `SourceUnavailable` if it is not there."""
        if os.path.isfile(self.root):
            name = os.path.basename(self.root)
            return self._files([(name, self.root, os.stat(self.root))]), []
        if not os.path.isdir(self.root):
            raise SourceUnavailable(
                f"{self.source.name}: there is no folder {self.source.path}. Nothing counts as gone; check the path."
            )
        problems: list[str] = []
        found: list[_Entry] = []
        self._walk(b"", found, problems)
        return self._files(found), problems

    def leaves_out(self, path: str) -> bool:
        """Whether the source's patterns leave out what lies at `path`; nothing is left out of a source of one file."""
        return not os.path.isfile(self.root) and self.ignored.file(path)

    def _walk(self, folder: bytes, found: list[_Entry], problems: list[str]) -> None:
        try:
            entries = sorted(os.scandir(os.path.join(self.root, folder)), key=lambda entry: entry.name)
        except OSError as error:
            problems.append(f"{os.fsdecode(folder) or '.'} could not be listed: {reason(error)}")
            return
        before = folder + b"/" if folder else b""
        for entry in entries:
            name = before + entry.name
            text = name.decode("utf-8", "backslashreplace")
            if entry.is_dir(follow_symlinks=False):
                if not self.ignored.folder(text):
                    self._walk(name, found, problems)
            elif entry.is_symlink():
                found.extend(self._link(entry, name, text))
            elif not self.ignored.name(text):
                found.append((name, entry.path, _stat(entry)))

    def _link(self, entry: os.DirEntry[bytes], name: bytes, text: str) -> Iterator[_Entry]:
        to = os.path.realpath(entry.path)
        if os.path.isdir(to):  # `include` names files: a whole folder that is not followed is told whatever it says
            if not self._is_inside(to) and not self.ignored.folder(text):
                yield name, entry.path, OSError(0, LEADS_OUT)
        elif not self.ignored.name(text):
            # Read by its end, not by the link: one that is bent in the meantime leads nowhere else.
            yield name, to, _stat(entry) if self._is_inside(to) else OSError(0, LEADS_OUT)

    def _is_inside(self, path: bytes) -> bool:
        return os.path.commonpath([self.root, path]) == self.root

    def _files(self, entries: Iterable[_Entry]) -> list[File]:
        paths = _Paths()
        return sorted(self._file(entry, paths) for entry in entries)

    def _file(self, entry: _Entry, paths: _Paths) -> File:
        name, address, found = entry
        path, path_bytes = paths.path(name)
        if isinstance(found, OSError):
            return File(path, path_bytes, address, 0, "", 0, reason(found))
        size, modified_ns = found.st_size, found.st_mtime_ns
        stamp = f"{size} {modified_ns} {found.st_ctime_ns} {found.st_ino}"
        return File(path, path_bytes, address, size, stamp, modified_ns, _too_large(self.source, size))

    def read(self, file: File) -> bytes:
        """Return the bytes of a file; raises OSError, also if there is a link in its place by now."""
        handle = os.open(file.address, _NO_LINK)
        try:
            # Asked for one byte more, a file that gives what the listing said is at its end: half the calls of `open`.
            content = os.read(handle, file.size + 1)
            if len(content) == file.size:
                return content
            return content + b"".join(iter(lambda: os.read(handle, _CHUNK), b""))
        finally:
            os.close(handle)


def _stat(entry: os.DirEntry[bytes]) -> os.stat_result | OSError:
    try:
        found = entry.stat()
        return found if stat.S_ISREG(found.st_mode) else OSError(0, "not a regular file")
    except OSError as error:
        return error


@dataclass(slots=True)
class RemoteFiles:
    """Documents below a prefix of an object store, through fsspec (s3fs)."""

    source: DocumentSource
    filesystem: Any = None
    ignored: Ignored = field(init=False)

    def __post_init__(self) -> None:
        self.filesystem = self.filesystem or fsspec.filesystem(self.source.path.split("://", 1)[0])
        self.ignored = Ignored(include=self.source.include, exclude=self.source.ignored)

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
        paths = _Paths()
        files = []
        for address, info in sorted(found.items()):
            name = address.removeprefix(base) if base else address.rsplit("/", 1)[1]
            if info.get("type") == "file" and not name.endswith("/") and not self.leaves_out(name):
                files.append(self._file(name, address, info, paths))
        return sorted(files), []

    def leaves_out(self, path: str) -> bool:
        """Whether the source's patterns leave out what lies at `path`."""
        return not _climbs_out(path) and self.ignored.file(path)

    def _file(self, name: str, address: str, info: Mapping[str, Any], paths: _Paths) -> File:
        path, path_bytes = paths.path(name.encode("utf-8", "surrogateescape"))
        modified = info.get("LastModified") or info.get("mtime") or info.get("created")
        modified_at = modified.timestamp() if isinstance(modified, datetime) else float(modified or 0)
        modified_us = round(modified_at * 1e6)
        size = int(info.get("size") or 0)
        stamp = f"{size} {info.get('ETag', '')} {modified_us}"
        error = CLIMBS_OUT if _climbs_out(name) else _too_large(self.source, size)
        return File(path, path_bytes, address, size, stamp, modified_us * 1_000, error)

    def read(self, file: File) -> bytes:
        """Return the bytes of an object; raises OSError."""
        return bytes(self.filesystem.cat_file(file.address))


def _climbs_out(key: str) -> bool:
    """Whether a key, written out as a path, might lie outside: in a store it is a name like any other.

    >>> [_climbs_out(key) for key in ("a/b.md", "../a.md", "a/../../b.md", "/etc/passwd", "a/..b.md")]
    [False, True, True, True, False]
    """
    return key.startswith("/") or ".." in key.split("/")


def _too_large(source: DocumentSource, size: int) -> str | None:
    if size <= source.max_file_bytes:
        return None
    return f"{size} bytes; this source reads files of at most {source.max_file_bytes} (max_file_bytes)"
