"""A note through time: find it by what people call it, tell two versions apart, write one back as the file it was.

What belongs here: notes of document sources, whose bytes raw keeps. What does not: what stands in a version
(`notes.versions`, `notes.version_texts`), and how the command looks (`cli`).

What holds: bytes are written back as they were received, under the name they had in bytes. Nothing is overwritten
unless that was asked for, and nothing is written out of its source's folder, whatever links lie there.
"""

from __future__ import annotations

import difflib
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import duckdb

from dagster_project.errors import UsageError
from dagster_project.shaping.decoding import decode
from dagster_project.shaping.parsed import Unreadable
from dagster_project.sources import Source

_LISTED: Final = 8
"""Notes that an ambiguous name tells of."""
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)


@dataclass(frozen=True, slots=True)
class Found:
    """A note that is or was: where it lay last, and whether it stands."""

    note_id: str
    source: str
    path: str
    title: str | None
    is_live: bool


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a note, with the file it lay in as it was then."""

    number: int
    source: str
    path: str
    file: str
    file_bytes: bytes
    """Name of the file in its source, as the file system had it."""
    content: bytes
    valid_from: datetime

    @property
    def is_whole_file(self) -> bool:
        """Whether the file holds this note alone."""
        return self.file == self.path

    @property
    def label(self) -> str:
        """What a diff calls it."""
        return f"{self.path}\tversion {self.number}, {self.valid_from.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


_NOTES: Final = """
    SELECT note_id, any_value(source) AS source, arg_max(path, version) AS path, arg_max(title, version) AS title,
      arg_max(op, version) <> 'deleted' AS is_live
    FROM notes.versions GROUP BY note_id"""
_BY_NAME: Final = (
    "note_id = $name",
    "path = $name OR source || '/' || path = $name",
    "title = $name",
    "lower(title) = lower($name) OR lower(regexp_replace(path, '^.*/|[.][^./]*$', '', 'g')) = lower($name)",
)
"""What a note can be called, the first that fits something decides."""


def find_note(con: duckdb.DuckDBPyConnection, name: str) -> Found:
    """Return the note called `name`: its id, path (with or without its source) or title; one that was deleted too.

    Raises `UsageError` if there is none, or several of which not just one stands now.
    """
    for condition in _BY_NAME:
        rows = con.execute(f"SELECT * FROM ({_NOTES}) AS n WHERE {condition} ORDER BY ALL", {"name": name}).fetchall()
        if rows:
            return _the_one([Found(*row) for row in rows], name)
    raise UsageError(
        f"No note is or was called {name!r}. Give its path, its title, or its note_id from notes.versions."
    )


def _the_one(found: Sequence[Found], name: str) -> Found:
    live = [note for note in found if note.is_live]
    if len(found) == 1 or len(live) == 1:
        return (live or [*found])[0]
    listed = "\n".join(f"  {note.note_id}  {note.source}/{note.path}" for note in found[:_LISTED])
    more = f"\n  and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    raise UsageError(f"{len(found)} notes are or were called {name!r}. Give one's id or path:\n{listed}{more}")


def read_version(
    con: duckdb.DuckDBPyConnection, note: Found, *, number: int | None = None, at: datetime | None = None
) -> Version:
    """Return a version by its number, or the one that stood at an instant; the newest that has a file if none is named.

    Raises `UsageError` if there is no such version, or none of the note's versions is a file.
    """
    wanted = (
        "($number IS NULL OR version = $number) "
        "AND ($at IS NULL OR (valid_from <= $at AND (valid_to IS NULL OR valid_to > $at)))"
    )
    row = con.execute(
        "SELECT version, v.source, v.path, c.path, c.path_bytes, c.content, epoch_us(valid_from) "
        f"FROM (SELECT * FROM notes.versions WHERE note_id = $note AND op <> 'deleted' AND {wanted}) AS v "
        "JOIN notes.contents AS c ON c.source = v.source AND c.sequence = v.sequence ORDER BY version DESC LIMIT 1",
        {"note": note.note_id, "number": number, "at": at},
    ).fetchone()
    if row is None:
        raise UsageError(_no_version(con, note, number=number, at=at))
    version, source, path, file, file_bytes, content, valid_from = row
    instant = datetime.fromtimestamp(valid_from / 1_000_000, UTC)
    return Version(version, source, path, file, file_bytes or file.encode(), content, instant)


def _no_version(con: duckdb.DuckDBPyConnection, note: Found, *, number: int | None, at: datetime | None) -> str:
    rows = con.execute(
        "SELECT version, op, strftime(valid_from AT TIME ZONE 'UTC', '%Y-%m-%d %H:%M:%S') FROM notes.versions "
        "WHERE note_id = ? ORDER BY version",
        [note.note_id],
    ).fetchall()
    told = ", ".join(f"{version} {op} {since} UTC" for version, op, since in rows)
    which = "" if number is None else f" {number}"
    when = "" if at is None else f" at {at.isoformat()}"
    return (
        f"{note.source}/{note.path} has no version{which}{when} with a file to show. It had: {told}. "
        f"What is no file (a row, an event) keeps its earlier values in raw.{note.source}."
    )


def before(con: duckdb.DuckDBPyConnection, note: Found, version: Version) -> Version:
    """Return the version before `version` that has a file; raises `UsageError` if it is the first."""
    row = con.execute(
        "SELECT max(v.version) FROM notes.versions AS v "
        "JOIN notes.contents AS c ON c.source = v.source AND c.sequence = v.sequence "
        "WHERE v.note_id = ? AND v.version < ? AND v.op <> 'deleted'",
        [note.note_id, version.number],
    ).fetchone()
    if row is None or row[0] is None:
        raise UsageError(f"Version {version.number} of {note.source}/{note.path} is its first; none was before it.")
    return read_version(con, note, number=row[0])


def diff_lines(old: Version, new: Version) -> Iterator[str]:
    """Yield what changed from one version's text to the other's as a unified diff, each line with its end.

    Raises `UsageError` for a file that is no text.
    """
    for line in difflib.unified_diff(_lines(old), _lines(new), old.label, new.label):
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _lines(version: Version) -> list[str]:
    try:
        text = decode(version.content).text
    except Unreadable as error:
        raise UsageError(
            f"Version {version.number} of {version.path} is no text: {error}. Write both versions out with "
            "`notelake restore NOTE --version N --to FILE` and compare them with a program for their format."
        ) from error
    return [f"{line}\n" for line in text.split("\n")[:-1]] + ([last] if (last := text.rpartition("\n")[2]) else [])


def restore_in_source(version: Version, sources: Sequence[Source], *, force: bool) -> str:
    """Write a version back to where its file lay in its source; return the path.

    Raises `UsageError` if its source is not a declared folder of this machine, if the file lies out of it, or if
    something lies there and `force` is not given.
    """
    root = _root(version, sources)
    place = os.path.join(root, version.file_bytes)
    parts = version.file_bytes.split(b"/")
    if not all(parts) or b".." in parts or b"\0" in place:
        raise UsageError(f"{version.file} does not lie in its source. Name a file with --to.")
    _check_inside(os.path.dirname(place), root, version)
    os.makedirs(os.path.dirname(place), exist_ok=True)
    _check_inside(os.path.dirname(place), root, version)
    return write_file(os.fsdecode(place), version.content, force=force)


def _root(version: Version, sources: Sequence[Source]) -> bytes:
    source = next((source for source in sources if source.name == version.source), None)
    if source is None or source.is_remote or not os.path.exists(source.path):
        where = "not declared here" if source is None else f"at {source.path}, no folder of this machine"
        raise UsageError(
            f"The source {version.source} is {where}, so it is not known where {version.file} belongs. "
            "Name a file with --to, or use --stdout."
        )
    root = os.path.realpath(os.fsencode(source.path))
    return root if os.path.isdir(root) else os.path.dirname(root)


def _check_inside(folder: bytes, root: bytes, version: Version) -> None:
    """Refuse a folder that links lead out of the source; what is not there yet leads nowhere."""
    real = os.path.realpath(folder)
    if real != root and not real.startswith(root.rstrip(b"/") + b"/"):
        raise UsageError(
            f"A link leads from where {version.file} lay to {os.fsdecode(real)}, out of its source; nothing was "
            "written. Remove the link, or name a file with --to."
        )


def write_file(path: str, content: bytes, *, force: bool) -> str:
    """Write a file that is not there yet, or with `force` put it in the place of what is; return the path.

    It is there as a whole or not at all. Raises `UsageError` if something lies there, or it cannot be written.
    """
    try:
        if force:
            _replace(path, content)
        else:
            _create(path, content)
    except FileExistsError as error:
        raise UsageError(f"There is a file at {path} already; nothing was written. --force replaces it.") from error
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror or error}. Name another file with --to."
        ) from error
    return path


def _create(path: str, content: bytes) -> None:
    handle = os.open(path, _NEW, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
    except BaseException:
        os.unlink(path)
        raise


def _replace(path: str, content: bytes) -> None:
    handle, new = tempfile.mkstemp(prefix=".notelake-", suffix=".tmp", dir=os.path.dirname(path) or ".")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        with suppress(OSError):
            os.chmod(new, os.stat(path).st_mode & 0o777)
        os.replace(new, path)
    except BaseException:
        os.unlink(new)
        raise
