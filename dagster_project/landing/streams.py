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
import pyarrow.compute as pc
from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs

from dagster_project.contracts import INSTANT, raw_table
from dagster_project.errors import SourceUnavailable
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
_FIRST_INSTANT: Final = "TIMESTAMPTZ '0001-01-01 00:00:00+00'"
_LAST_INSTANT: Final = "TIMESTAMPTZ '9999-12-31 00:00:00+00'"
"""Beyond these, Python has no word for an instant."""
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
    data: memoryview
    ends: npt.NDArray[np.int64]
    """Where in `data` each line ends: the byte after its newline."""
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
            f"The stream {source.name!r} can't be listed at {source.path}: {error or type(error).__name__}. Nothing "
            "was read; see that the folder is there and may be read, then run again."
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
        found = _piece(fetch, shard, position, size)
        if isinstance(found, _Lines):
            yield found
            position, size = found.after, max_bytes
        elif found is not None:
            yield found
            return
        elif position.offset + size >= shard.size:
            return
        elif size >= MAX_LINE_BYTES:
            yield _too_long(shard, position)
            return
        else:
            size = min(size * 2, MAX_LINE_BYTES)


def _piece(fetch: Fetch, shard: Shard, position: Position, size: int) -> _Lines | Problem | None:
    """Read up to `size` bytes after `position`: the complete lines in them, a problem, or None if no line ends there.

    The bytes right before the position come in the same request and are compared with its fingerprint, also where
    nothing was appended: a file that was written anew is noticed however long it is.
    """
    overlap = min(position.offset, FINGERPRINT_BYTES)
    end = min(position.offset + size, shard.size)
    try:
        data = fetch(shard.address, position.offset - overlap, end)
    except Exception as error:  # whatever the store's own client raises
        return _unreadable(shard, position, error)
    if overlap and _fingerprint(data[:overlap]) != position.fingerprint:
        return _changed(shard, position)
    cut = data.rfind(b"\n") + 1
    if cut <= overlap:
        return _unfinished(shard, position, len(data) - overlap) if end == shard.size and len(data) > overlap else None
    lines = memoryview(data)[overlap:cut]
    ends = np.flatnonzero(np.frombuffer(lines, dtype=np.uint8) == _NEWLINE).astype(np.int64) + 1
    fingerprint = _fingerprint(data[max(0, cut - FINGERPRINT_BYTES) : cut])
    after = Position(position.offset + len(lines), position.lines + len(ends), fingerprint)
    return _Lines(shard, position, lines, ends, after)


def _fingerprint(tail: bytes) -> str:
    return sha256(tail).hexdigest()


def _shrank(shard: Shard, at: Position) -> Problem:
    return _refused(shard, "shrank", f"has {shard.size} bytes, fewer than the {at.offset} that were read of it")


def _changed(shard: Shard, at: Position) -> Problem:
    return _refused(shard, "changed", f"has other bytes right before byte {at.offset} than were read there")


def _refused(shard: Shard, kind: ProblemKind, fact: str) -> Problem:
    """A log is only ever appended to: which of a rewritten file's events are new can't be known."""
    return Problem(
        shard.name,
        kind,
        f"Shard {shard.name!r} was not read: {shard.address} {fact}. A log is appended to, never rewritten; bring the "
        "old file back, or give the new one a name of its own.",
    )


def _unreadable(shard: Shard, at: Position, error: Exception) -> Problem:
    return Problem(
        shard.name,
        "unreadable",
        f"Shard {shard.name!r} was read up to byte {at.offset}; {shard.address} can't be read on: "
        f"{error or type(error).__name__}. The next run goes on from there; see that the file may be read.",
    )


def _too_long(shard: Shard, at: Position) -> Problem:
    return Problem(
        shard.name,
        "too_long",
        f"Shard {shard.name!r} was read up to byte {at.offset}; line {at.lines + 1} of {shard.address} is longer than "
        f"{MAX_LINE_BYTES // 1024**2} MiB. Write its events to a shard of another name, a line each.",
    )


def _unfinished(shard: Shard, at: Position, size: int) -> Problem:
    return Problem(
        shard.name,
        "unfinished",
        f"The last line of {shard.address}, {size} bytes from byte {at.offset} on, has no end yet. It is read once its "
        "newline is written.",
    )


class _Decoder:
    """Turns lines into rows of `raw.<source>`: DuckDB says what is in them, their text goes on as it lies in memory."""

    def __init__(self, source: StreamSource, con: duckdb.DuckDBPyConnection, landed_at: datetime) -> None:
        self._schema = raw_table(source.name, "stream").schema
        self._con = con.cursor()  # its view and its time zone are its own
        self._con.execute("SET TimeZone = 'UTC'")
        self._query = _query(source)
        self._stream = source.name
        self._landed_at = landed_at

    def __call__(self, lines: _Lines, first_sequence: int) -> pa.Table:
        """Return the rows of these lines, numbered from `first_sequence`."""
        arrived = _arrow_lines(lines, first_sequence)
        found = self._read(arrived)
        same = {
            "payload": arrived["payload"],
            "undecoded": arrived["undecoded"],
            "stream": pa.repeat(self._stream, len(arrived)),
            "shard": pa.repeat(lines.shard.name, len(arrived)),
            "shard_sequence": arrived["shard_sequence"],
            "line": arrived["line"],
            "landed_at": pa.repeat(pa.scalar(self._landed_at, INSTANT), len(arrived)),
        }
        columns = [found[name] if name in found.column_names else same[name] for name in self._schema.names]
        return pa.Table.from_arrays(columns, self._schema.names).cast(self._schema)

    def _read(self, arrived: pa.Table) -> pa.Table:
        """Return `sequence, event_id, type, occurred_at, error` of each line, in the lines' order."""
        self._con.register(
            "arrived", pa.Table.from_batches(arrived.to_batches(max_chunksize=BATCH_ROWS), arrived.schema)
        )
        try:
            found = self._con.execute(self._query).to_arrow_table()
        finally:
            self._con.unregister("arrived")
        # It is in order already, unless the lender of the connection set `preserve_insertion_order` off.
        is_ordered = found["sequence"].combine_chunks().equals(arrived["sequence"].combine_chunks())
        return found if is_ordered else found.sort_by("sequence")


def _arrow_lines(lines: _Lines, first_sequence: int) -> pa.Table:
    """Return `sequence, shard_sequence, line, payload, undecoded` of each line with text, its newline cut off."""
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
        "sequence": pa.array(np.arange(first_sequence, first_sequence + len(raw), dtype=np.int64)),
        "shard_sequence": pa.array(starts + lines.before.offset),
        "line": pa.array(numbers + lines.before.lines + 1),
        "payload": payload,
        "undecoded": undecoded,
    }
    return pa.table(columns)


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


def _query(source: StreamSource) -> str:
    """Return the query of `sequence, event_id, type, occurred_at, error` over the view `arrived`: lines parsed once.

    `TRY` gives null for a line that is no JSON. JSON is what DuckDB takes for it, which is a little more than the
    standard allows: `NaN`, a comma before a closing bracket.
    """
    mapping = source.event
    pointers = [json_pointer(path) for path in (*mapping.event_id, *mapping.type, *mapping.occurred_at)]
    first_type = len(mapping.event_id) + 1
    first_time = first_type + len(mapping.type)
    return f"""
        WITH parsed AS (
            SELECT sequence, undecoded IS NOT NULL AS is_undecoded,
                   TRY(json_extract_string(payload, [{", ".join(map(literal, pointers))}])) AS found,
                   CASE WHEN starts_with(payload, '{{') THEN true
                        ELSE starts_with(ltrim(payload, E' \\t\\r'), '{{') END AS is_object
            FROM arrived),
        read AS (
            SELECT *, CASE WHEN is_object THEN found END AS f FROM parsed),
        named AS (
            SELECT *, {_first(1, len(mapping.event_id))} AS event_id, {_first(first_type, len(mapping.type))} AS type,
                   {_first(first_time, len(mapping.occurred_at))} AS said
            FROM read),
        timed AS (SELECT *, {_instant("said")} AS instant FROM named)
        SELECT sequence, event_id, type,
               CASE WHEN instant BETWEEN {_FIRST_INSTANT} AND {_LAST_INSTANT} THEN instant END AS occurred_at,
               CASE WHEN is_undecoded THEN 'it is no UTF-8 text'
                    WHEN found IS NULL THEN 'it is no JSON'
                    WHEN NOT is_object THEN 'it is JSON, but no object' END AS error
        FROM timed
    """


def json_pointer(path: str) -> str:
    """Return a dotted path of keys as a JSON pointer (RFC 6901), in which a key may hold any character but a dot.

    >>> json_pointer("detail.a-b/c")
    '/detail/a-b~1c'
    """
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in path.split("."))


def literal(text: str) -> str:
    """Return `text` as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def _first(start: int, count: int) -> str:
    """The first of `count` values from place `start` of the list `f` that is there and not empty."""
    values = ", ".join(f"nullif(f[{place}], '')" for place in range(start, start + count))
    return f"coalesce({values})" if count else "NULL::VARCHAR"


def _instant(said: str) -> str:
    """An event's time as the module's docstring says; the usual forms are tried first, and then no other."""
    number = f"try_cast({said} AS DOUBLE)"
    micros = (
        f"CASE WHEN {number} >= 1e8 AND {number} < 1e11 THEN {number} * 1e6 "
        f"WHEN {number} >= 1e11 AND {number} < 1e14 THEN {number} * 1e3 END"
    )
    minutes = r"'^(\d+-\d+-\d+[T ]\d+:\d+)(Z|[+-].*)?$', '\1:00\2'"
    mended = f"regexp_replace(upper(trim({said})), {minutes})"
    return (
        f"coalesce(try_cast({said} AS TIMESTAMPTZ), try_cast({mended} AS TIMESTAMPTZ), "
        f"make_timestamp(round({micros})::BIGINT) AT TIME ZONE 'UTC')"
    )
