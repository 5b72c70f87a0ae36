"""Streams of a real Redis: every entry once, whatever restarts, and what was trimmed unread is told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from dagster_project.errors import SourceUnavailable, UsageError
from dagster_project.lake.lake import Lake
from dagster_project.landing import streams
from dagster_project.landing.streams.redis_streams import RedisStreams
from dagster_project.pipeline import run
from dagster_project.sources import StreamSource

from . import daemons
from .consuming import consuming, wait_for
from .daemons import Server, serving

pytestmark = pytest.mark.servers
BYTES = 32 * 1024**2


@dataclass(frozen=True)
class Redis:
    """A Redis as who writes to it sees it."""

    server: Server

    def client(self) -> Any:
        from redis import Redis
        from redis.backoff import ConstantBackoff
        from redis.retry import Retry

        return Redis(port=self.server.port, retry=Retry(ConstantBackoff(0.1), 50))

    def begin(self) -> None:
        self.server.begin()
        self.client().ping()

    def end(self) -> None:
        self.server.end()

    def source(self, streams: str = "notes", **more: Any) -> StreamSource:
        named = "&".join(f"stream={name}" for name in streams.split())
        return StreamSource(name="live", path=f"redis://127.0.0.1:{self.server.port}/0?{named}", **more)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    pytest.importorskip("redis")
    with serving(daemons.redis) as server:
        yield server


@pytest.fixture
def redis(server: Server) -> Redis:
    """An empty Redis."""
    redis = Redis(server)
    redis.client().flushall()
    return redis


def event(number: int, **more: Any) -> dict[str, str]:
    detail = {"path": f"n{number % 50}.md", "title": f"T{number}"}
    what = {"id": f"e{number}", "detail-type": "note.created", "time": "2026-05-14T09:00:00Z", "detail": detail}
    return {"event": json.dumps(what | more)}


Pieces = list[streams.Piece]


def read(source: StreamSource, at: streams.Positions, *, max_bytes: int = BYTES) -> tuple[Pieces, list[str]]:
    """Return the pieces and the problems' messages, and see that ordinals have no gap."""
    found = list(RedisStreams(source).read(at, max_bytes=max_bytes))
    pieces = [each for each in found if isinstance(each, streams.Piece)]
    ordinals = {shard: position.offset for shard, position in at.items()}
    for piece in pieces:
        first = ordinals.get(piece.shard, 0)
        assert piece.arrived["shard_sequence"].to_pylist() == list(range(first, first + len(piece.arrived)))
        ordinals[piece.shard] = piece.after.offset
        assert piece.after.offset == first + len(piece.arrived)
    return pieces, [each.message for each in found if isinstance(each, streams.Problem)]


def after(pieces: Pieces) -> dict[str, streams.Position]:
    """Return the positions after pieces, as they come back from a cursor."""
    return streams.restored({piece.shard: piece.after.stored() for piece in pieces})


def waiting(source: StreamSource, at: streams.Positions) -> int:
    """Return how many entries the stream says wait."""
    (shard,) = streams.shards(source, at)
    assert shard.size is not None
    return shard.size - at[shard.name].offset


def ids(pieces: Pieces) -> list[str]:
    return [json.loads(text)["id"] for piece in pieces for text in piece.arrived["payload"].to_pylist()]


def test_entries_are_read_once_from_any_position_whatever_the_size_of_a_piece(redis: Redis) -> None:
    client = redis.client()
    for number in range(2500):
        client.xadd("a" if number % 5 else "b", event(number))
    client.set("c", "no stream")
    whole, problems = read(redis.source("a b"), {})
    assert problems == []
    assert sorted(ids(whole)) == sorted(f"e{number}" for number in range(2500))
    small, _ = read(redis.source("a b"), {}, max_bytes=20_000)
    assert len(small) > 10
    assert max(piece.bytes for piece in small) < 2 * 20_000 + 256 * 200
    for kept in (1, 5, len(small)):
        rest, problems = read(redis.source("a b"), after(small[:kept]))
        assert problems == []
        assert sorted(ids(small[:kept]) + ids(rest)) == sorted(ids(whole))
    assert [shard.name for shard in RedisStreams(redis.source("[ab] c*")).shards()] == ["a", "b"]
    assert "WRONGTYPE" in read(redis.source("c"), {})[1][0]
    assert "no longer at" in read(redis.source("a"), after(whole))[1][0]


def test_entries_of_fields_are_objects_and_what_is_no_text_keeps_its_bytes(redis: Redis) -> None:
    client = redis.client()
    client.xadd("notes", {"type": "note.created", "detail": '{"path": "a"}', "n": "1"}, id="1700000000000-0")
    client.execute_command("XADD", "notes", "1700000000001-0", "tag", "a", "tag", "b", "time", "2026")
    client.xadd("notes", {"event": b"\xff"})
    ((piece,), _) = read(redis.source(), {})
    assert piece.arrived["payload"].to_pylist() == [
        '{"type":"note.created","detail":{"path": "a"},"n":"1","time":1700000000000}',
        '{"tag":"a","tag":"b","time":"2026"}',
        None,
    ]
    assert piece.arrived["undecoded"].to_pylist() == [None, None, b"\xff"]


def test_what_was_trimmed_unread_is_told_and_what_was_read_may_be_trimmed(redis: Redis) -> None:
    client = redis.client()
    entries = [client.xadd("notes", event(number)) for number in range(10)]
    at = after(read(redis.source(), {})[0])
    client.xtrim("notes", maxlen=0, approximate=False)
    assert read(redis.source(), at) == ([], [])
    assert waiting(redis.source(), at) == 0
    entries += [client.xadd("notes", event(number)) for number in range(10, 20)]
    assert waiting(redis.source(), at) == 10
    client.xtrim("notes", minid=entries[13], approximate=False)
    pieces, (told,) = read(redis.source(), at)
    assert "has lost 3 entries that had not been read" in told
    assert f"10 entries were read, up to {entries[9].decode()}" in told
    assert ids(pieces) == [f"e{number}" for number in range(13, 20)]
    assert read(redis.source(), after(pieces)) == ([], [])
    entries += [client.xadd("notes", event(number)) for number in range(20, 24)]
    client.xdel("notes", entries[21])
    pieces_after, (told,) = read(redis.source(), after(pieces))
    assert f"has lost entries that had not been read, {entries[21].decode()} the last of them" in told
    assert ids(pieces_after) == ["e20", "e22", "e23"]
    assert read(redis.source(), after(pieces_after)) == ([], [])
    client.delete("notes")
    client.xadd("notes", event(30))
    pieces_anew, (told,) = read(redis.source(), after(pieces_after))
    assert "made anew" in told
    assert ids(pieces_anew) == ["e30"]
    assert read(redis.source(), after(pieces_anew)) == ([], [])


def test_a_stream_is_read_from_an_instant_on(redis: Redis) -> None:
    client = redis.client()
    for number in range(10):
        client.xadd("notes", event(number), id=f"{1_700_000_000_000 + number}-0")
    source = redis.source(start_at=datetime.fromtimestamp(1_700_000_000.007, UTC))
    (pieces, problems) = read(source, {})
    assert (ids(pieces), problems) == (["e7", "e8", "e9"], [])
    assert read(source, after(pieces)) == ([], [])


def test_a_server_that_restarts_while_it_is_read_loses_and_doubles_nothing(redis: Redis) -> None:
    client = redis.client()
    for number in range(3000):
        client.xadd("notes", event(number))
    reading = RedisStreams(redis.source()).read({}, max_bytes=50_000)
    first = next(reading)
    redis.end()
    with pytest.raises(SourceUnavailable, match="can't be read at"):
        list(reading)
    assert isinstance(first, streams.Piece)
    redis.begin()
    going_on, problems = read(redis.source(), after([first]))
    assert (ids([first, *going_on]), problems) == ([f"e{number}" for number in range(3000)], [])
    reading = RedisStreams(redis.source()).read({}, max_bytes=50_000)
    kept = [next(reading)]
    redis.end()
    redis.begin()
    kept += list(reading)  # the client connects anew
    assert ids([each for each in kept if isinstance(each, streams.Piece)]) == [f"e{number}" for number in range(3000)]


def test_a_run_brings_a_stream_into_the_lake_once(
    redis: Redis, lake: Lake, rows_of: Callable[..., dict[str, list[tuple[Any, ...]]]]
) -> None:
    client = redis.client()
    for number in range(200):
        client.xadd("notes", event(number))
    client.xadd("notes", event(7))
    client.xadd("notes", {"event": "no JSON"})
    for _ in range(2):
        (report,) = run(lake, [redis.source()]).reports
        assert not report.error
    client.xadd("notes", event(200))
    redis.end()
    (report,) = run(lake, [redis.source()]).reports
    assert "can't be read at redis://127.0.0.1" in (report.error or "")
    redis.begin()
    run(lake, [redis.source()])
    rows = rows_of(lake)
    assert (len(rows["raw.live"]), len(rows["notes.events"]), len(rows["notes.notes"])) == (203, 201, 50)
    assert len(rows["ops.quarantine"]) == 1


def test_a_consumer_outlives_a_server_that_restarts(
    redis: Redis, lake: Lake, rows_of: Callable[..., dict[str, list[tuple[Any, ...]]]]
) -> None:
    client = redis.client()
    with consuming(lake, redis.source()) as words:
        for number in range(600):
            client.xadd("notes", event(number))
        wait_for(lambda: "committed" in words)
        redis.end()
        wait_for(lambda: "trouble" in words)
        redis.begin()
        for number in range(500, 1000):
            client.xadd("notes", event(number))
        wait_for(lambda: "recovered" in words and len(rows_of(lake)["raw.live"]) == 1100)
    rows = rows_of(lake)
    assert (len(rows["raw.live"]), len(rows["notes.events"]), len(rows["notes.notes"])) == (1100, 1000, 50)


def test_an_address_says_what_is_read() -> None:
    for path in ("redis://localhost/0", "redis://localhost/db?stream=a"):
        with pytest.raises(UsageError, match="of Redis"):
            RedisStreams(StreamSource(name="live", path=path))
