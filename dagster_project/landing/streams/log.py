"""A log: a folder of append-only JSON-lines files, a shard each or segments of one; or one such file.

What belongs here: listing the files, reading complete lines from a position, and telling files that are no longer what
was read, or are missing. What does not: how segments are called (`landing.segments`), and what stands in the lines
(`decoding`).

A line whose end is not written yet is left for the next time, unless the next segment begins right there: then nobody
will write it any more, and it is a line. Blank lines give no row, and the position moves over them with the next row.
Segments that were read may be deleted. One that was not, and is missing, is a `gap`: the shard stops before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs

from dagster_project.errors import SourceUnavailable
from dagster_project.landing.segments import segment_of
from dagster_project.landing.streams.stream import (
    ARRIVED,
    NOWHERE,
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

    def shards(self, _: Positions = NOWHERE) -> tuple[Shard, ...]:
        """List the shards in name order. Raises `SourceUnavailable` if that fails."""
        _, found = _list(self._source)
        return tuple(Shard(name, segments[-1].end) for name, segments in found.items())

    def read(self, positions: Positions, *, max_bytes: int) -> Iterator[Piece | Problem]:
        """Yield the complete lines after `positions`; raises `SourceUnavailable` if the folder can't be listed."""
        filesystem, found = _list(self._source)
        if any(_has_gap(segments, positions.get(name)) for name, segments in found.items()):
            # A segment may have been closed, and the next one begun, after its size was taken.
            filesystem, found = _list(self._source)
        for name in sorted(positions.keys() - found.keys()):
            yield _vanished(self._source, name, positions[name])
        fetch = _fetcher(filesystem)
        yield from in_turn(
            _shard_pieces(self._source, fetch, segments, positions.get(name), max_bytes)
            for name, segments in found.items()
        )


@dataclass(frozen=True, slots=True, order=True)
class _Segment:
    """A file of a log as one listing saw it."""

    shard: str
    start: int
    """Bytes of the shard before it."""
    address: str
    size: int

    @property
    def end(self) -> int:
        """Bytes of the shard up to its end."""
        return self.start + self.size


@dataclass(frozen=True, slots=True)
class _Lines:
    """Complete lines of a shard, as they lie in the file; `before` is where they begin."""

    before: Position
    starts_file: bool
    data: memoryview
    ends: npt.NDArray[np.int64]
    """Where in `data` each line ends: the byte after its newline."""


def _list(source: StreamSource) -> tuple[AbstractFileSystem, dict[str, list[_Segment]]]:
    """List the files at the source's path, by shard: those of the folder itself, hidden ones left out, or the one."""
    try:
        filesystem, root = url_to_fs(source.path)
        filesystem.invalidate_cache()
        entries = filesystem.ls(root, detail=True)
    except Exception as error:  # whatever the store's own client raises
        raise SourceUnavailable(
            f"The stream {source.name!r} can't be listed at {source.path}: {error or type(error).__name__}. Nothing "
            "was read; see that the folder is there and may be read, then run again. `notelake emit` and `notelake "
            "collect` make that of a new stream."
        ) from error
    files = [entry for entry in entries if entry["type"] != "directory"]
    found: dict[str, list[_Segment]] = {}
    for segment in sorted(segment for entry in files if (segment := _as_segment(entry))):
        found.setdefault(segment.shard, []).append(segment)
    return filesystem, found


def _as_segment(entry: Mapping[str, Any]) -> _Segment | None:
    """Return a listed file; None if its name is not a log's."""
    found = segment_of(str(entry["name"]).rsplit("/", 1)[-1])
    return _Segment(*found, str(entry["name"]), int(entry["size"] or 0)) if found else None


def _has_gap(segments: Sequence[_Segment], position: Position | None) -> bool:
    """Tell whether something is missing, or said twice, between the segments that are still to be read."""
    ahead = [segment for segment in segments if position is None or segment.end > position.offset]
    begins_late = bool(ahead) and position is not None and ahead[0].start > position.offset
    return begins_late or any(one.end != other.start for one, other in pairwise(ahead))


def _ambiguous(source: StreamSource, one: _Segment, other: _Segment) -> Problem:
    return Problem(
        one.shard,
        "ambiguous",
        f"The stream {source.name!r} has more than one file for the same part of shard {one.shard!r}: {one.address}, "
        f"{other.address}. None of the shard was read; rename all but the one that was read before.",
    )


def _gap(at: int, segment: _Segment) -> Problem:
    return Problem(
        segment.shard,
        "gap",
        f"Shard {segment.shard!r} was read up to byte {at}; the file that goes on from there is not in the log, the "
        f"next is {segment.address}: {segment.start - at} bytes are missing. Bring the file back; if its events are "
        "lost for good, rename what is left of the shard to a shard of another name.",
    )


def _begins_late(segment: _Segment) -> Problem:
    return Problem(
        segment.shard,
        "begins_late",
        f"Shard {segment.shard!r} is read for the first time, and begins at byte {segment.start} with "
        f"{segment.address}: what stood before it was deleted earlier.",
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


def _shard_pieces(
    source: StreamSource, fetch: Fetch, segments: Sequence[_Segment], position: Position | None, max_bytes: int
) -> Iterator[Piece | Problem]:
    """Yield the complete lines of a shard after `position`, piece by piece; a problem ends it."""
    for one, other in pairwise(segments):
        if one.end > other.start:
            yield _ambiguous(source, one, other)
            return
    if position is None:
        position = replace(START, offset=segments[0].start)
        if position.offset:
            yield _begins_late(segments[0])
    followers: list[_Segment | None] = [*segments[1:], None]
    for segment, follower in zip(segments, followers, strict=True):
        if follower is not None and segment.end <= position.offset:
            continue
        if segment.start > position.offset:
            yield _gap(position.offset, segment)
            return
        is_closed = follower is not None and follower.start == segment.end
        for found in _segment_pieces(fetch, segment, position, max_bytes, is_closed=is_closed):
            yield found
            if isinstance(found, Problem):
                return
            position = found.after


def _segment_pieces(
    fetch: Fetch, segment: _Segment, position: Position, max_bytes: int, *, is_closed: bool
) -> Iterator[Piece | Problem]:
    if segment.end < position.offset:
        yield _shrank(segment, position)
        return
    if segment.start == position.offset:
        position = replace(position, lines=0)  # lines are those of a file
    size = max_bytes
    while True:
        found = _piece(fetch, segment, position, size, is_closed=is_closed)
        if isinstance(found, Piece):
            yield found
            position, size = found.after, max_bytes
        elif found is not None:
            yield found
            return
        elif position.offset + size >= segment.end:
            return
        elif size >= MAX_LINE_BYTES:
            yield _too_long(segment, position)
            return
        else:
            size = min(size * 2, MAX_LINE_BYTES)


def _piece(
    fetch: Fetch, segment: _Segment, position: Position, size: int, *, is_closed: bool
) -> Piece | Problem | None:
    """Read up to `size` bytes after `position`: the complete lines in them, a problem, or None if no line ends there.

    The bytes right before the position come in the same request and are compared with its fingerprint, also where
    nothing was appended: a file that was written anew is noticed however long it is. In a closed segment, its end is
    a line's end.
    """
    first = position.offset - segment.start
    overlap = min(first, FINGERPRINT_BYTES)
    end = min(first + size, segment.size)
    try:
        data = fetch(segment.address, first - overlap, end)
    except Exception as error:  # whatever the store's own client raises
        return _unreadable(segment, position, error)
    if overlap and _fingerprint(data[:overlap]) != position.fingerprint:
        return _changed(segment, position)
    is_all = end == segment.size
    cut = len(data) if is_closed and is_all else data.rfind(b"\n") + 1
    if cut <= overlap:
        return _unfinished(segment, position, len(data) - overlap) if is_all and len(data) > overlap else None
    lines = memoryview(data)[overlap:cut]
    ends = np.flatnonzero(np.frombuffer(lines, dtype=np.uint8) == _NEWLINE).astype(np.int64) + 1
    if lines[-1] != _NEWLINE:
        ends = np.append(ends, len(lines))
    fingerprint = _fingerprint(data[max(0, cut - FINGERPRINT_BYTES) : cut])
    after = Position(position.offset + len(lines), position.lines + len(ends), fingerprint)
    return Piece(segment.shard, _arrived(_Lines(position, first == 0, lines, ends)), after, len(lines))


def _fingerprint(tail: bytes) -> str:
    return sha256(tail).hexdigest()


def _shrank(segment: _Segment, at: Position) -> Problem:
    return _refused(segment, "shrank", f"ends at byte {segment.end} of it, before the {at.offset} that were read")


def _changed(segment: _Segment, at: Position) -> Problem:
    return _refused(segment, "changed", f"has other bytes right before byte {at.offset} than were read there")


def _refused(segment: _Segment, kind: ProblemKind, fact: str) -> Problem:
    """A log is only ever appended to: which of a rewritten file's events are new can't be known."""
    return Problem(
        segment.shard,
        kind,
        f"Shard {segment.shard!r} was not read: {segment.address} {fact}. A log is appended to, never rewritten; "
        "bring the old file back, or give the new one a name of its own.",
    )


def _unreadable(segment: _Segment, at: Position, error: Exception) -> Problem:
    return Problem(
        segment.shard,
        "unreadable",
        f"Shard {segment.shard!r} was read up to byte {at.offset}; {segment.address} can't be read on: "
        f"{error or type(error).__name__}. The next run goes on from there; see that the file may be read.",
    )


def _too_long(segment: _Segment, at: Position) -> Problem:
    return Problem(
        segment.shard,
        "too_long",
        f"Shard {segment.shard!r} was read up to byte {at.offset}; line {at.lines + 1} of {segment.address} is longer "
        f"than {MAX_LINE_BYTES // 1024**2} MiB. Write its events to a shard of another name, a line each.",
    )


def _unfinished(segment: _Segment, at: Position, size: int) -> Problem:
    return Problem(
        segment.shard,
        "unfinished",
        f"The last line of {segment.address}, {size} bytes from byte {at.offset} on, has no end yet. It is read once "
        "its newline is written.",
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
    return len(_MARK) if lines.starts_file and bytes(lines.data[: len(_MARK)]) == _MARK else 0


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
