"""The files of a table source: which there are, what their bytes hash to, and what changed since they were last landed.

What belongs here: listing, hashing, comparing. What does not: what is in the files (`formats`, `tables`).

A file may hold several that are read as files of their own: members of an archive, sheets of a workbook, tables of a
database. Each has the path `<file>/<its name>`. A file whose content stands already under another path arrives as a
copy of it (`same_as`), which is counted and not loaded, unless the source says so.
"""

from __future__ import annotations

import glob
import hashlib
import os
import stat
import tempfile
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any, BinaryIO, Final

import fsspec

from dagster_project.errors import SourceInvalid, SourceUnavailable
from dagster_project.landing import formats
from dagster_project.landing.reading import Unreadable
from dagster_project.landing.unpacked import ARCHIVE, member, members
from dagster_project.sources import TableSource

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
    same_as: str | None = None
    """The path whose content it was a copy of, so that its rows were not loaded."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """A file's hash and what the file looked like when it was taken; a cache of these saves hashing, no more."""

    size: int
    modified: float
    sha256: str
    taken_at: float


@dataclass(frozen=True, slots=True)
class SeenFile:
    """A file that is new or changed. `path` is relative to the source, `location` is where it lies.

    `inside` is what of the file at `location` it is; `is_member` whether that is a file in an archive.
    """

    path: str
    location: str
    format: str
    size: int
    modified: float
    sha256: str | None
    is_new: bool
    error: str | None = None
    inside: str | None = None
    is_member: bool = False
    same_as: str | None = None
    same_rows: int = 0
    """Rows of the file it is a copy of, if raw knows that."""

    @property
    def bare(self) -> str:
        """The name whose endings say how it is packed."""
        return self.inside if self.is_member and self.inside else self.location


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


@dataclass(frozen=True, slots=True)
class _Input:
    """What is read as a file: a listed one, or what is inside it."""

    file: _Listed
    format: str
    inside: str | None = None
    is_member: bool = False
    error: str | None = None

    @property
    def path(self) -> str:
        return f"{self.file.path}/{_as_text(self.inside)}" if self.inside is not None else self.file.path


def look(source: TableSource, known: Mapping[str, KnownFile], *, stamps: Mapping[str, Stamp] | None = None) -> Scan:
    """List the files of `source`, hash them and compare with what raw knows of them, by path.

    A file that cannot be opened arrives with an `error` and no hash. `stamps` of an earlier scan save hashing files
    that look the same. Raises `SourceUnavailable` if the root is not there or the listing fails: then nothing is
    concluded to be gone.
    """
    listed = _by_path(_listed(source))
    old = dict(stamps or {})
    taken: dict[str, Stamp | str] = {}
    kept, skipped = _inputs(source, listed, old, taken)
    for input_ in kept.values():
        if input_.error or input_.path not in taken:
            taken[input_.path] = input_.error or _stamped_input(input_, old.get(input_.path), taken)
    seen = {path: _seen(kept[path], taken[path], known.get(path)) for path in sorted(kept)}
    if source.same_content == "skip":
        seen = _with_copies(seen, known)
    changed = tuple(file for file in seen.values() if not _is_unchanged(file, known.get(file.path)))
    paths = {file.path for file in changed}
    closed = tuple(f"{file.path}/" for file in seen.values() if file.error)  # of what is inside nothing is concluded
    return Scan(
        arrived=changed,
        unchanged=tuple(sorted(kept.keys() - paths)),
        gone=tuple(sorted(path for path in known.keys() - kept.keys() if not path.startswith(closed))),
        skipped=tuple(sorted(skipped)),
        stamps={path: stamp for path, stamp in taken.items() if isinstance(stamp, Stamp)},
    )


@dataclass(frozen=True, slots=True)
class Place:
    """A file that was listed: its path in the source, where it lies, and its format."""

    path: str
    location: str
    format: str


def places(source: TableSource) -> list[Place]:
    """List the files of `source` that have a format, without opening any; an archive's is `zip`.

    Raises `SourceUnavailable` if they cannot be listed.
    """
    listed = _by_path(_listed(source))
    formats_ = {p: "zip" if p.lower().endswith(ARCHIVE) else format_of(source, p) for p in sorted(listed)}
    return [Place(path, listed[path].location, format_) for path, format_ in formats_.items() if format_]


def format_of(source: TableSource, path: str) -> str | None:
    """Return the format of a file: the declared one, else by its name, however it is packed; None if it tells none."""
    return source.format if source.format != "auto" else formats.format_named(path)


@contextmanager
def local_copy(file: SeenFile, scratch: Path | None = None) -> Iterator[str]:
    """Give a local path of the file's bytes that DuckDB takes literally.

    A local file is read where it lies, by a link if its name holds a pattern or is no UTF-8; a remote one is
    downloaded, and `SourceUnavailable` is raised if its bytes are no longer those of the scan. What is inside an
    archive is written to a temporary file.
    """
    is_remote = "://" in file.location
    is_plain = not any(mark in file.location for mark in _WILD) and _is_text(file.location)
    if not is_remote and not file.is_member and is_plain:
        yield file.location
        return
    with tempfile.TemporaryDirectory(dir=scratch, prefix="table-") as folder:
        suffix = "".join(PurePosixPath(file.bare.lower()).suffixes[-2:])
        name = os.path.join(folder, "input" + "".join(c for c in suffix if c.isalnum() or c == "."))
        if file.is_member:
            with _opened(file.location) as archive, member(archive, file.inside or "") as handle:
                _copy(handle, name, file)
        elif is_remote:
            with _opened(file.location) as handle:
                _copy(handle, name, file)
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


def _inputs(
    source: TableSource, listed: Mapping[str, _Listed], old: Mapping[str, Stamp], taken: dict[str, Stamp | str]
) -> tuple[dict[str, _Input], list[str]]:
    """Return what is to be read, by path, and what is in no known format; take the stamps of what holds several."""
    kept: dict[str, _Input] = {}
    skipped: list[str] = []
    for file in listed.values():
        for found in _found(source, file, old, taken):
            if isinstance(found, str):
                skipped.append(found)
            else:
                kept[found.path] = found
    if skipped and len(listed) == 1 and not kept and listed.keys() == set(skipped):
        raise SourceInvalid(
            f"The name of {source.path} does not tell its format. Set `format:` of source {source.name} to one of "
            f"{', '.join(formats.by_name())}."
        )
    return kept, skipped


def _found(
    source: TableSource, file: _Listed, old: Mapping[str, Stamp], taken: dict[str, Stamp | str]
) -> Iterator[_Input | str]:
    if file.path.lower().endswith(ARCHIVE):
        yield from _members(source, file, old, taken)
        return
    format_ = format_of(source, file.path)
    if format_ is None:
        yield file.path
    elif formats.by_name()[format_].INSIDE is None:
        yield _Input(file, format_)
    else:
        yield from _parts(source, file, format_, old, taken)


def _members(
    source: TableSource, file: _Listed, old: Mapping[str, Stamp], taken: dict[str, Stamp | str]
) -> Iterator[_Input | str]:
    names = _names(file, old, taken, _member_names)
    if isinstance(names, str):
        yield _Input(file, "csv", error=names)
        return
    for name in names:
        format_ = format_of(source, name)
        if format_ is None or formats.by_name()[format_].INSIDE is not None:
            yield f"{file.path}/{name}"
        else:
            yield _Input(file, format_, name, is_member=True)


def _parts(
    source: TableSource, file: _Listed, format_: str, old: Mapping[str, Stamp], taken: dict[str, Stamp | str]
) -> Iterator[_Input]:
    """Give the sheets or tables of a file that the source wants."""
    module = formats.by_name()[format_]
    names = _names(file, old, taken, lambda location: _part_names(location, module))
    if isinstance(names, str):
        yield _Input(file, format_, error=names)
        return
    wanted = source.inside(module.INSIDE)
    fitting = [name for name in names if not wanted or any(fnmatchcase(name, pattern) for pattern in wanted)]
    if module.INSIDE == "table" and not wanted and len(names) > 1:
        error = f"it holds the tables {', '.join(names)}; say in `table:` of the source which to read"
        yield _Input(file, format_, error=error)
    elif wanted and not fitting:
        error = f"it has no {module.INSIDE} {' or '.join(wanted)}, but {', '.join(names) or 'none'}"
        yield _Input(file, format_, error=error)
    else:
        yield from (_Input(file, format_, name) for name in fitting)


def _names(
    file: _Listed, old: Mapping[str, Stamp], taken: dict[str, Stamp | str], look_in: Callable[[str], Sequence[str]]
) -> Sequence[str] | str:
    """Return the names of what is inside a file, from the last look if it looks the same, or why there are none.

    The stamp of the file itself is taken, and those of what is inside are under its path.
    """
    stamp = _stamped(file, old.get(file.path))
    taken[file.path] = stamp
    if isinstance(stamp, str):
        return stamp
    if stamp is old.get(file.path):
        below = f"{file.path}/"
        return [path.removeprefix(below) for path in old if path.startswith(below)]
    try:
        names = look_in(file.location)
    except Unreadable as error:
        return str(error)
    return [name for name in names if name]


def _member_names(location: str) -> Sequence[str]:
    with _opened(location) as handle:
        return [name for name, _ in members(handle)]


def _part_names(location: str, module: ModuleType) -> Sequence[str]:
    if "://" not in location:
        names: Sequence[str] = module.inside(location)
        return names
    with tempfile.TemporaryDirectory(prefix="table-") as folder, _opened(location) as handle:
        name = os.path.join(folder, "input" + PurePosixPath(location.lower()).suffix)
        _copy(handle, name, None)
        return list(module.inside(name))


def _stamped_input(input_: _Input, stamp: Stamp | None, taken: Mapping[str, Stamp | str]) -> Stamp | str:
    """Return the stamp of an input; what is inside a file that is no archive has that file's own hash."""
    if input_.inside is None:
        return _stamped(input_.file, stamp)
    own = taken[input_.file.path]
    if not input_.is_member or isinstance(own, str):
        return own
    if (
        stamp
        and (stamp.size, stamp.modified) == (input_.file.size, input_.file.modified)
        and stamp.taken_at >= (own.taken_at)
    ):
        return stamp
    try:
        with _opened(input_.file.location) as archive, member(archive, input_.inside) as handle:
            return replace(own, sha256=_digest(handle))
    except Unreadable as error:
        return str(error)


def _with_copies(seen: Mapping[str, SeenFile], known: Mapping[str, KnownFile]) -> dict[str, SeenFile]:
    """Return the files, with `same_as` where the content stands under another path, or arrives under an earlier one."""
    first: dict[tuple[str, str], str] = {}
    standing = [
        p for p, f in known.items() if p in seen and f.same_as is None and not f.error and seen[p].sha256 == f.sha256
    ]
    for path in [*sorted(standing), *(path for path in seen if path not in set(standing))]:
        file = seen[path]
        if file.sha256 and not file.error:
            first.setdefault(_content(file), path)
    return {
        path: file
        if not file.sha256 or file.error or (of := first[_content(file)]) == path
        else replace(file, same_as=of, same_rows=known[of].rows if of in known else 0)
        for path, file in seen.items()
    }


def _content(file: SeenFile) -> tuple[str, str]:
    return file.sha256 or "", "" if file.is_member else file.inside or ""


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
            digest = _digest(handle)
    except OSError as error:
        return f"it cannot be read: {error.strerror or error}"
    except _network_errors(file.location) as error:
        raise SourceUnavailable(
            f"{file.location} cannot be read now: {error}. Nothing was changed; run again."
        ) from error
    return Stamp(file.size, file.modified, digest, taken_at)


def _opened(location: str) -> BinaryIO:
    if "://" not in location:
        return open(location, "rb")
    store, key = fsspec.url_to_fs(location)
    handle: BinaryIO = store.open(key, "rb", block_size=16 * CHUNK)
    return handle


def _network_errors(location: str) -> type[Exception]:
    """Return what may go wrong there: an object store's client has errors of its own beside OSError."""
    return Exception if "://" in location else OSError


def _digest(handle: BinaryIO) -> str:
    digest = hashlib.sha256()
    while chunk := handle.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def _copy(handle: BinaryIO, target: str, file: SeenFile | None) -> None:
    """Copy to a local file; of a file that was scanned, check that it is still the same."""
    digest = hashlib.sha256()
    with open(target, "wb") as copy:
        while chunk := handle.read(CHUNK):
            digest.update(chunk)
            copy.write(chunk)
    if file is not None and digest.hexdigest() != file.sha256:
        raise SourceUnavailable(f"{file.location} changed while it was read; nothing of it was taken. Run again.")


def _seen(input_: _Input, stamp: Stamp | str, known: KnownFile | None) -> SeenFile:
    sha256, error = (stamp.sha256, None) if isinstance(stamp, Stamp) else (None, stamp)
    file = input_.file
    return SeenFile(
        input_.path,
        file.location,
        input_.format,
        file.size,
        file.modified,
        sha256,
        known is None,
        error,
        input_.inside,
        input_.is_member,
    )


def _is_unchanged(file: SeenFile, known: KnownFile | None) -> bool:
    if known is None or known.sha256 != file.sha256 or known.same_as != file.same_as:
        return False
    return file.sha256 is not None or known.error == file.error


def _as_text(path: str) -> str:
    """Return a path as text for keys: NFC, bytes that are no UTF-8 written as escapes."""
    return unicodedata.normalize("NFC", os.fsencode(path).decode("utf-8", "backslashreplace"))


def _is_text(path: str) -> bool:
    return os.fsencode(path).decode("utf-8", "replace") == path
