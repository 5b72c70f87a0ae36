"""Events as they arrive: shards, read from a position, to rows of `raw.<source>`.

What belongs here: finding the shards of a stream, reading each from where the last commit left it, and telling
what of an event `raw` has columns for. What does not: duplicates, refusals and what events mean (`shaping.events`),
and storing the positions (`lake`).

The positions of all shards after a chunk belong into the commit that lands the chunk's rows: that makes an event
land exactly once, however often this is killed or run twice. A stream is something that has shards, gives the
complete lines of a shard after a position, and a position after them; **log**, a folder of append-only JSON-lines
files, is the one there is now.

Times of events (`occurred_at`): ISO 8601 with any offset, in UTC where it gives none; or the number of seconds
(1e8 to 1e11, fractions allowed) or of milliseconds (1e11 to 1e14) since 1970, as a number or as text. All else, a
bare `2020` or `20200831` too, is no time, and `occurred_at` is null.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final, Literal, TypeVar

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs

from dagster_project.contracts import raw_table
from dagster_project.errors import SourceInvalid, SourceUnavailable
from dagster_project.sources import StreamSource

SUFFIXES: Final = (".jsonl", ".ndjson", ".json")
CHUNK_BYTES: Final = 32 * 1024 * 1024
MAX_LINE_BYTES: Final = 256 * 1024 * 1024
"""A longer line is not read, and its shard stops there: no event is that long, and memory stays bounded."""
FINGERPRINT_BYTES: Final = 64
BATCH_ROWS: Final = 16_384
"""Rows of an Arrow batch: DuckDB takes a batch per thread, so a chunk must have several."""
POSITIONS_FORMAT: Final = 1

T = TypeVar("T")
_MARK: Final = b"\xef\xbb\xbf"
_NEWLINE: Final = 10
_BLANKS: Final = np.frombuffer(b" \t\r\n", dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a shard, always right after a line's end."""

    offset: int = 0
    """Bytes before it."""
    lines: int = 0
    """Lines before it, blank ones too."""
    fingerprint: str = ""
    """SHA-256, hex, of the last up to 64 bytes before it: tells whether the file is still the one that was read."""


START: Final = Position()
Positions = Mapping[str, Position]
"""Shard -> where it was read up to. The source cursor of a stream."""


def positions_to_json(positions: Positions) -> str:
    """Return the positions as text to be kept in a table's properties.

    >>> positions_to_json({"a": Position(7, 1, "f0")})
    '{"format":1,"shards":{"a":[7,1,"f0"]}}'
    """
    shards = {name: [at.offset, at.lines, at.fingerprint] for name, at in sorted(positions.items())}
    return json.dumps({"format": POSITIONS_FORMAT, "shards": shards}, separators=(",", ":"), ensure_ascii=False)


def positions_from_json(text: str | None) -> dict[str, Position]:
    """Return the positions that `positions_to_json` wrote; none for a stream that was never read.

    >>> positions_from_json('{"format":1,"shards":{"a":[7,1,"f0"]}}')
    {'a': Position(offset=7, lines=1, fingerprint='f0')}
    """
    if not text:
        return {}
    kept = json.loads(text)
    if kept.get("format") != POSITIONS_FORMAT:
        raise SourceUnavailable(
            f"The stream's positions are of format {kept.get('format')!r}; this version reads {POSITIONS_FORMAT}. "
            "A newer notelake wrote this lake: use that one."
        )
    return {name: Position(*values) for name, values in kept["shards"].items()}


ProblemKind = Literal["changed", "shrank", "vanished", "unreadable", "too_long", "ambiguous", "unfinished"]
_NOTICES: Final[frozenset[ProblemKind]] = frozenset({"vanished", "unfinished"})


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a shard, or the rest of it, was not read. The other shards were, and the shard's position stays."""

    shard: str
    kind: ProblemKind
    message: str
    """State, fact and way out."""

    @property
    def is_notice(self) -> bool:
        """Whether it is worth telling but no failure: a vanished shard, or a line that is still being written."""
        return self.kind in _NOTICES

    def error(self) -> SourceUnavailable:
        """Return it as an error, for who wants to raise it."""
        return SourceUnavailable(self.message)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Arrivals of one shard, in order, and where all shards stand once these rows are committed."""

    shard: str
    rows: pa.Table
    """In the schema of `raw.<source>`; never empty."""
    positions: Positions
    """Of all shards, vanished ones too; includes all chunks before this one."""
    bytes: int
    """Bytes of the shard these rows were read from."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A file of a log as one listing saw it; what is appended later waits for the next."""

    name: str
    address: str
    size: int


@dataclass(frozen=True, slots=True)
class _Lines:
    """Complete lines of a shard, as they lie in the file; `before` is where they begin."""

    shard: Shard
    before: Position
    data: bytes
    after: Position


Fetch = Callable[[str, int, int], bytes]
"""address, first byte, byte after the last -> these bytes, fewer if the file ends before."""


def read(
    source: StreamSource,
    positions: Positions,
    *,
    first_sequence: int,
    landed_at: datetime,
    con: duckdb.DuckDBPyConnection,
    max_bytes: int = CHUNK_BYTES,
) -> Iterator[Chunk | Problem]:
    """Read what was appended to the shards of `source` since `positions`, a chunk of each shard in turn.

    `sequence` counts from `first_sequence` without gaps over all chunks. Memory is bounded by `max_bytes` (or the
    longest line). A line whose end is not written yet is left for the next time; blank lines give no row, and the
    position moves over them with the next row. `con` lends its database; its settings stay as they are.

    Raises `SourceUnavailable` if the stream as a whole can't be listed. What is wrong with one shard comes as a
    `Problem`, once, and the others go on.
    """
    filesystem, shards, problems = _find_shards(source, positions)
    yield from problems
    now = dict(positions)
    decode = _Decoder(source, con, landed_at)
    sequence = first_sequence
    for piece in _in_turn([_shard_lines(_fetcher(filesystem), s, now.get(s.name, START), max_bytes) for s in shards]):
        if isinstance(piece, Problem):
            yield piece
            continue
        now[piece.shard.name] = piece.after
        rows = decode(piece, sequence)
        if rows.num_rows:
            sequence += rows.num_rows
            yield Chunk(piece.shard.name, rows, dict(now), len(piece.data))


def shards(source: StreamSource) -> tuple[Shard, ...]:
    """List the shards of a stream in name order. Raises `SourceUnavailable` if that fails."""
    return tuple(_find_shards(source, {})[1])


def _find_shards(source: StreamSource, positions: Positions) -> tuple[AbstractFileSystem, list[Shard], list[Problem]]:
    """List the log's files; tell shards that vanished, and those that two files claim."""
    filesystem, listed = _list(source)
    named: dict[str, list[Shard]] = {}
    for shard in listed:
        named.setdefault(shard.name, []).append(shard)
    found = [same[0] for _, same in sorted(named.items()) if len(same) == 1]
    problems = [_ambiguous(source, same) for _, same in sorted(named.items()) if len(same) > 1]
    problems += [_vanished(source, name, positions[name]) for name in sorted(positions.keys() - named.keys())]
    return filesystem, found, problems


def _list(source: StreamSource) -> tuple[AbstractFileSystem, list[Shard]]:
    """List the files at the source's path: those of the folder itself, hidden ones left out, or the one file."""
    try:
        filesystem, root = url_to_fs(source.path)
        filesystem.invalidate_cache()
        entries = filesystem.ls(root, detail=True)
    except Exception as error:  # whatever the store's own client raises
        raise SourceUnavailable(
            f"The stream {source.name!r} can't be listed at {source.path}: {error or type(error).__name__}. Nothing was read; "
            "see that the folder is there and may be read, then run again."
        ) from error
    files = [entry for entry in entries if entry["type"] != "directory"]
    return filesystem, [shard for entry in files if (shard := _as_shard(entry))]


def _as_shard(entry: Mapping[str, Any]) -> Shard | None:
    """Return the shard of a listed file; None if its name is not a log's."""
    name = str(entry["name"]).rsplit("/", 1)[-1]
    suffix = next((suffix for suffix in SUFFIXES if name.endswith(suffix)), None)
    if suffix is None or name.startswith("."):
        return None
    return Shard(name.removesuffix(suffix), str(entry["name"]), int(entry["size"] or 0))


def _ambiguous(source: StreamSource, same: list[Shard]) -> Problem:
    files = ", ".join(shard.address for shard in same)
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


def _in_turn(readers: Iterable[Iterator[T]]) -> Iterator[T]:
    """Take one item of each reader in turn, so that a busy shard does not keep the others waiting.

    >>> list(_in_turn([iter("aaa"), iter("b")]))
    ['a', 'b', 'a', 'a']
    """
    waiting = deque(readers)
    while waiting:
        reader = waiting.popleft()
        for item in reader:
            yield item
            waiting.append(reader)
            break


def _fetcher(filesystem: AbstractFileSystem) -> Fetch:
    def fetch(address: str, start: int, end: int) -> bytes:
        return bytes(filesystem.cat_file(address, start=start, end=end)) if end > start else b""

    return fetch


def _shard_lines(fetch: Fetch, shard: Shard, position: Position, max_bytes: int) -> Iterator[_Lines | Problem]:
    """Yield the complete lines of a shard after `position`, piece by piece; a problem ends it."""
    if shard.size < position.offset:
        yield _shrank(shard, position)
        return
    size = max_bytes
    while True:
        end = min(position.offset + size, shard.size)
        try:
            data = _fetch_after(fetch, shard, position, end)
        except Exception as error:  # whatever the store's own client raises
            yield _unreadable(shard, position, error)
            return
        if data is None:
            yield _changed(shard, position)
            return
        cut = data.rfind(b"\n") + 1
        if cut:
            lines = _Lines(shard, position, data[:cut], _advance(position, data[:cut]))
            yield lines
            position, size = lines.after, max_bytes
        elif end < shard.size and len(data) >= size and size < MAX_LINE_BYTES:
            size = min(size * 2, MAX_LINE_BYTES)
        else:
            if data:
                yield _unfinished(shard, position, len(data))
            return


def _fetch_after(fetch: Fetch, shard: Shard, position: Position, end: int) -> bytes | None:
    """Return the bytes from the position to `end`; None if those right before it are not the ones that were read."""
    overlap = min(position.offset, FINGERPRINT_BYTES)
    data = fetch(shard.address, position.offset - overlap, end)
    if overlap and _fingerprint(data[:overlap]) != position.fingerprint:
        return None
    return data[overlap:]


def _advance(position: Position, data: bytes) -> Position:
    """Return the position after `data`, which ends with a line."""
    tail = data[-FINGERPRINT_BYTES:]
    if len(tail) < FINGERPRINT_BYTES and position.offset:
        raise _TailNeeded
    return Position(position.offset + len(data), position.lines + data.count(b"\n"), _fingerprint(tail))
