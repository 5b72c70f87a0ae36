"""A log: a folder of append-only JSON-lines files, one a shard; or one such file.

What belongs here: listing the files, reading complete lines from a position, and telling files that are no longer what
was read. What does not: what stands in the lines (`decoding`).

A line whose end is not written yet is left for the next time; blank lines give no row, and the position moves over
them with the next row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs

from dagster_project.errors import SourceUnavailable
from dagster_project.landing.streams.stream import (
    ARRIVED,
    START,
    Piece,
    Position,
    Positions,
    Problem,
    ProblemKind,
    Shard,
    in_turn,
)
from dagster_project.sources import StreamSource

SUFFIXES: Final = (".jsonl", ".ndjson", ".json")
MAX_LINE_BYTES: Final = 256 * 1024 * 1024
"""A longer line is not read, and its shard stops there: no event is that long, and memory stays bounded."""
FINGERPRINT_BYTES: Final = 64
_MARK: Final = b"\xef\xbb\xbf"
_NEWLINE: Final = 10
_BLANKS: Final = np.frombuffer(b" \t\r\n", dtype=np.uint8)

Fetch = Callable[[str, int, int], bytes]
"""address, first byte, byte after the last -> these bytes, fewer if the file ends before."""


class Log:
    """A log, opened for one source."""

    def __init__(self, source: StreamSource) -> None:
        self._source = source

    def shards(self) -> tuple[Shard, ...]:
        """List the shards in name order. Raises `SourceUnavailable` if that fails."""
        return tuple(Shard(file.name, file.size) for file in _find_files(self._source, {})[1])

    def read(self, positions: Positions, *, max_bytes: int) -> Iterator[Piece | Problem]:
        """Yield the complete lines after `positions`; raises `SourceUnavailable` if the folder can't be listed."""
        filesystem, files, problems = _find_files(self._source, positions)
        yield from problems
        fetch = _fetcher(filesystem)
        yield from in_turn([_file_pieces(fetch, file, positions.get(file.name, START), max_bytes) for file in files])


@dataclass(frozen=True, slots=True)
class _File:
    """A file of a log as one listing saw it."""

    name: str
    """Of its shard."""
    address: str
    size: int


@dataclass(frozen=True, slots=True)
class _Lines:
    """Complete lines of a shard, as they lie in the file; `before` is where they begin."""

    before: Position
    data: memoryview
    ends: npt.NDArray[np.int64]
    """Where in `data` each line ends: the byte after its newline."""


def _find_files(source: StreamSource, positions: Positions) -> tuple[AbstractFileSystem, list[_File], list[Problem]]:
    """List the log's files; tell shards that vanished, and those that two files claim."""
    filesystem, listed = _list(source)
    named: dict[str, list[_File]] = {}
    for file in listed:
        named.setdefault(file.name, []).append(file)
    found = [same[0] for _, same in sorted(named.items()) if len(same) == 1]
    problems = [_ambiguous(source, same) for _, same in sorted(named.items()) if len(same) > 1]
    problems += [_vanished(source, name, positions[name]) for name in sorted(positions.keys() - named.keys())]
    return filesystem, found, problems


def _list(source: StreamSource) -> tuple[AbstractFileSystem, list[_File]]:
    """List the files at the source's path: those of the folder itself, hidden ones left out, or the one file."""
    try:
        filesystem, root = url_to_fs(source.path)
        filesystem.invalidate_cache()
        entries = filesystem.ls(root, detail=True)
    except Exception as error:  # whatever the store's own client raises
        raise SourceUnavailable(
            f"The stream {source.name!r} can't be listed at {source.path}: {error or type(error).__name__}. Nothing "
            "was read; see that the folder is there and may be read, then run again."
        ) from error
    files = [entry for entry in entries if entry["type"] != "directory"]
    return filesystem, [file for entry in files if (file := _as_file(entry))]


def _as_file(entry: Mapping[str, Any]) -> _File | None:
    """Return a listed file; None if its name is not a log's."""
    name = str(entry["name"]).rsplit("/", 1)[-1]
    suffix = next((suffix for suffix in SUFFIXES if name.endswith(suffix)), None)
    if suffix is None or name.startswith("."):
        return None
    return _File(name.removesuffix(suffix), str(entry["name"]), int(entry["size"] or 0))


def _ambiguous(source: StreamSource, same: list[_File]) -> Problem:
    files = ", ".join(file.address for file in same)
    return Problem(
        same[0].name,
        "ambiguous",
        f"The stream {source.name!r} has more than one file for shard {same[0].name!r}: {files}. None of them was "
        "read; rename all but the one that was read before.",
    )


def _vanished(source: StreamSource, name: str, at: Position) -> Problem:
    return Problem(
        name,
        "vanished",
        f"Shard {name!r} of the stream {source.name!r} is no longer at {source.path}. What was read of it "
        f"({at.lines} lines, {at.offset} bytes) stays; nothing needs doing if it was removed on purpose.",
    )


def _fetcher(filesystem: AbstractFileSystem) -> Fetch:
    def fetch(address: str, start: int, end: int) -> bytes:
        return bytes(filesystem.cat_file(address, start=start, end=end)) if end > start else b""

    return fetch


def _file_pieces(fetch: Fetch, file: _File, position: Position, max_bytes: int) -> Iterator[Piece | Problem]:
    """Yield the complete lines of a shard after `position`, piece by piece; a problem ends it."""
    if file.size < position.offset:
        yield _shrank(file, position)
        return
    size = max_bytes
    while True:
        found = _piece(fetch, file, position, size)
        if isinstance(found, Piece):
            yield found
            position, size = found.after, max_bytes
        elif found is not None:
            yield found
            return
        elif position.offset + size >= file.size:
            return
        elif size >= MAX_LINE_BYTES:
            yield _too_long(file, position)
            return
        else:
            size = min(size * 2, MAX_LINE_BYTES)


def _piece(fetch: Fetch, file: _File, position: Position, size: int) -> Piece | Problem | None:
    """Read up to `size` bytes after `position`: the complete lines in them, a problem, or None if no line ends there.

    The bytes right before the position come in the same request and are compared with its fingerprint, also where
    nothing was appended: a file that was written anew is noticed however long it is.
    """
    overlap = min(position.offset, FINGERPRINT_BYTES)
    end = min(position.offset + size, file.size)
    try:
        data = fetch(file.address, position.offset - overlap, end)
    except Exception as error:  # whatever the store's own client raises
        return _unreadable(file, position, error)
    if overlap and _fingerprint(data[:overlap]) != position.fingerprint:
        return _changed(file, position)
    cut = data.rfind(b"\n") + 1
    if cut <= overlap:
        return _unfinished(file, position, len(data) - overlap) if end == file.size and len(data) > overlap else None
    lines = memoryview(data)[overlap:cut]
    ends = np.flatnonzero(np.frombuffer(lines, dtype=np.uint8) == _NEWLINE).astype(np.int64) + 1
    fingerprint = _fingerprint(data[max(0, cut - FINGERPRINT_BYTES) : cut])
    after = Position(position.offset + len(lines), position.lines + len(ends), fingerprint)
    return Piece(file.name, _arrived(_Lines(position, lines, ends)), after, len(lines))


def _fingerprint(tail: bytes) -> str:
    return sha256(tail).hexdigest()


def _shrank(file: _File, at: Position) -> Problem:
    return _refused(file, "shrank", f"has {file.size} bytes, fewer than the {at.offset} that were read of it")


def _changed(file: _File, at: Position) -> Problem:
    return _refused(file, "changed", f"has other bytes right before byte {at.offset} than were read there")


def _refused(file: _File, kind: ProblemKind, fact: str) -> Problem:
    """A log is only ever appended to: which of a rewritten file's events are new can't be known."""
    return Problem(
        file.name,
        kind,
        f"Shard {file.name!r} was not read: {file.address} {fact}. A log is appended to, never rewritten; bring the "
        "old file back, or give the new one a name of its own.",
    )


def _unreadable(file: _File, at: Position, error: Exception) -> Problem:
    return Problem(
        file.name,
        "unreadable",
        f"Shard {file.name!r} was read up to byte {at.offset}; {file.address} can't be read on: "
        f"{error or type(error).__name__}. The next run goes on from there; see that the file may be read.",
    )


def _too_long(file: _File, at: Position) -> Problem:
    return Problem(
        file.name,
        "too_long",
        f"Shard {file.name!r} was read up to byte {at.offset}; line {at.lines + 1} of {file.address} is longer than "
        f"{MAX_LINE_BYTES // 1024**2} MiB. Write its events to a shard of another name, a line each.",
    )


def _unfinished(file: _File, at: Position, size: int) -> Problem:
    return Problem(
        file.name,
        "unfinished",
        f"The last line of {file.address}, {size} bytes from byte {at.offset} on, has no end yet. It is read once its "
        "newline is written.",
    )


def _arrived(lines: _Lines) -> pa.Table:
    """Return each line with text, its newline cut off, in the columns of `ARRIVED`."""
    data = np.frombuffer(lines.data, dtype=np.uint8)
    edges = np.concatenate(([_first_byte(lines)], lines.ends))
    raw = pa.Array.from_buffers(
        pa.large_binary(), len(lines.ends), [None, pa.py_buffer(edges), pa.py_buffer(lines.data)]
    )
    starts = edges[:-1]
    numbers = np.arange(len(raw), dtype=np.int64)
    blank = _blank(data, starts, raw)
    if blank:
        numbers = np.delete(numbers, blank)
        raw, starts = raw.take(pa.array(numbers)), starts[numbers]
    payload, undecoded = _decoded(raw)
    columns = {
        "shard_sequence": pa.array(starts + lines.before.offset),
        "line": pa.array(numbers + lines.before.lines + 1),
        "payload": payload,
        "undecoded": undecoded,
    }
    return pa.table(columns, schema=ARRIVED)


def _first_byte(lines: _Lines) -> int:
    """Where the first line begins: after the byte order mark that some programs write at the head of a file."""
    return len(_MARK) if lines.before.offset == 0 and bytes(lines.data[: len(_MARK)]) == _MARK else 0


def _blank(data: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], raw: pa.Array) -> list[int]:
    """Return the indices of the lines that hold only white space."""
    suspects = np.flatnonzero(np.isin(data[starts], _BLANKS))
    return [index for index in suspects.tolist() if not raw[index].as_py().strip()]


def _decoded(raw: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Split lines, their ends cut off, into text and what is no UTF-8; each is null where the other is not."""
    text = raw.view(pa.large_string())
    try:
        text.validate(full=True)
        return pc.ascii_rtrim(text, "\r\n").cast(pa.string()), pa.nulls(len(raw), pa.binary())
    except pa.ArrowInvalid:
        lines = [line.rstrip(b"\r\n") for line in raw.to_pylist()]
        good = [_is_text(line) for line in lines]
        texts = [line.decode() if is_text else None for line, is_text in zip(lines, good, strict=True)]
        others = [None if is_text else line for line, is_text in zip(lines, good, strict=True)]
        return pa.array(texts, pa.string()), pa.array(others, pa.binary())


def _is_text(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
