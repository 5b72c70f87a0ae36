"""Events as they arrive: a stream read from where the last commit left it, to rows of `raw.<source>`.

What belongs here: choosing the reader by the source's path, numbering what it gives, and saying where all shards stand
after it. What does not: how a kind of stream is read (`log` and its siblings), duplicates, refusals and what events
mean (`shaping.events`), and storing the positions (`lake`).

The positions of all shards after a chunk belong into the commit that lands the chunk's rows: that makes an event
land exactly once, however often this is killed or run twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

import duckdb

from dagster_project.landing.streams.decoding import Decoder
from dagster_project.landing.streams.log import Log
from dagster_project.landing.streams.stream import NOWHERE, Chunk, Positions, Problem, Reader, Shard
from dagster_project.sources import StreamSource

CHUNK_BYTES: Final = 32 * 1024 * 1024


def reader(source: StreamSource) -> Reader:
    """Return the reader of a source: by the scheme of its path, a log where it names no stream of another kind."""
    match source.path.partition("://")[0] if source.is_remote else "":
        case "redis" | "rediss":
            from dagster_project.landing.streams.redis_streams import RedisStreams

            return RedisStreams(source)
        case "kinesis":
            from dagster_project.landing.streams.kinesis import Kinesis

            return Kinesis(source)
    return Log(source)


def read(
    source: StreamSource,
    positions: Positions,
    *,
    first_sequence: int,
    landed_at: datetime,
    con: duckdb.DuckDBPyConnection,
    said: Sequence[str] = (),
    max_bytes: int = CHUNK_BYTES,
) -> Iterator[Chunk | Problem]:
    """Read what was appended to the shards of `source` since `positions`, a chunk of each shard in turn.

    `sequence` counts from `first_sequence` without gaps over all chunks. Memory is bounded by `max_bytes` (or the
    longest line). `con` lends its database; its settings stay as they are. `said` names fields of the source's mapping
    that are read beside those which raw has columns for: lines are parsed once.

    Raises `SourceUnavailable` if the stream as a whole can't be read. What is wrong with one shard comes as a
    `Problem`, once, and the others go on.
    """
    now = dict(positions)
    decode = Decoder(source, con, landed_at, said)
    sequence = first_sequence
    for piece in reader(source).read(positions, max_bytes=max_bytes):
        if isinstance(piece, Problem):
            yield piece
            continue
        now[piece.shard] = piece.after
        if piece.arrived.num_rows:
            rows, beside = decode(piece, sequence)
            sequence += rows.num_rows
            yield Chunk(piece.shard, rows, beside, dict(now), piece.bytes)


def shards(source: StreamSource, positions: Positions = NOWHERE) -> tuple[Shard, ...]:
    """List the shards of a stream in name order, as they stand to `positions`. Raises `SourceUnavailable`."""
    return reader(source).shards(positions)
