"""A stream that speaks Kinesis' API (kinesalite): every record once, through splits, restarts and refusals."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from dagster_project.errors import SourceUnavailable, UsageError
from dagster_project.lake.lake import Lake
from dagster_project.landing import streams
from dagster_project.landing.streams import kinesis
from dagster_project.landing.streams.kinesis import Kinesis
from dagster_project.pipeline import run
from dagster_project.sources import StreamSource

from .conftest import aws_variables
from .consuming import consuming, wait_for
from .daemons import Server, kinesalite, serving

pytestmark = pytest.mark.servers
BYTES = 32 * 1024**2
SOURCE = StreamSource(name="live", path="kinesis://notes")
HOUR = 3_600_000


@dataclass
class Stream:
    """The stream `notes`, as who writes to it sees it."""

    server: Server
    client: Any

    def put(self, *numbers: int) -> None:
        """Put events, in order."""
        for number in numbers:
            self.client.put_record(StreamName="notes", Data=json.dumps(event(number)), PartitionKey=f"k{number}")

    def put_many(self, numbers: range) -> None:
        for start in numbers[::500]:
            records = [
                {"Data": json.dumps(event(number)), "PartitionKey": f"k{number}"}
                for number in numbers[start - numbers[0] : start - numbers[0] + 500]
            ]
            assert self.client.put_records(StreamName="notes", Records=records)["FailedRecordCount"] == 0

    def shift(self, milliseconds: int) -> None:
        """Set the server's clock wrong."""
        (self.server.folder / "shift").write_text(str(milliseconds))

    def begin_anew(self, hours_ago: int) -> None:
        """Make the stream again at a time that is past: no record of a stream is older than it."""
        self.shift(-hours_ago * HOUR)
        self.client.delete_stream(StreamName="notes")
        time.sleep(0.8)
        self.client.create_stream(StreamName="notes", ShardCount=1)
        self.wait()

    def wait(self) -> None:
        until = time.monotonic() + 20
        while self.client.describe_stream_summary(StreamName="notes")["StreamDescriptionSummary"]["StreamStatus"] != (
            "ACTIVE"
        ):
            assert time.monotonic() < until
            time.sleep(0.02)


def event(number: int) -> dict[str, Any]:
    detail = {"path": f"n{number % 50}.md", "title": f"T{number}"}
    return {"id": f"e{number}", "detail-type": "note.created", "time": "2026-05-14T09:00:00Z", "detail": detail}


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(kinesalite) as server:
        yield server


@pytest.fixture
def stream(server: Server, monkeypatch: pytest.MonkeyPatch) -> Stream:
    boto3 = pytest.importorskip("boto3")
    for name, value in aws_variables(f"http://127.0.0.1:{server.port}").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")  # of boto3's own, which wait longer each time
    monkeypatch.setattr(kinesis, "_seen_to_end", {})
    made = Stream(server, boto3.client("kinesis"))
    made.client.create_stream(StreamName="notes", ShardCount=1)
    made.wait()
    return made


Pieces = list[streams.Piece]


def read(at: streams.Positions, *, source: StreamSource = SOURCE, max_bytes: int = BYTES) -> tuple[Pieces, list[str]]:
    """Return the pieces and the problems' messages, and see that ordinals have no gap."""
    found = list(Kinesis(source).read(at, max_bytes=max_bytes))
    pieces = [each for each in found if isinstance(each, streams.Piece)]
    ordinals = {shard: position.offset for shard, position in at.items()}
    for piece in pieces:
        first = ordinals.get(piece.shard, 0)
        assert piece.arrived["shard_sequence"].to_pylist() == list(range(first, first + len(piece.arrived)))
        ordinals[piece.shard] = piece.after.offset
    return pieces, [each.message for each in found if isinstance(each, streams.Problem)]


def after(pieces: Pieces, at: streams.Positions | None = None) -> dict[str, streams.Position]:
    """Return the positions after pieces, as they come back from a cursor."""
    return streams.restored({s: p.stored() for s, p in {**(at or {}), **{p.shard: p.after for p in pieces}}.items()})


def numbers(pieces: Pieces) -> list[int]:
    return [int(json.loads(text)["id"][1:]) for piece in pieces for text in piece.arrived["payload"].to_pylist()]


def test_records_are_read_once_from_any_position_and_keep_their_bytes(stream: Stream) -> None:
    stream.put_many(range(1200))
    whole, problems = read({})
    assert (numbers(whole), problems) == (list(range(1200)), [])
    assert read(after(whole)) == ([], [])
    stream.put_many(range(1200, 1300))
    more, _ = read(after(whole), max_bytes=10)
    assert numbers(more) == list(range(1200, 1300))
    stream.client.put_record(StreamName="notes", Data=b"\xff", PartitionKey="a")
    ((last,), _) = read(after(more))
    assert (last.arrived["payload"].to_pylist(), last.arrived["undecoded"].to_pylist()) == ([None], [b"\xff"])


def test_parents_are_read_to_their_end_before_their_children_wherever_it_was_stopped(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinesis, "MOST_RECORDS", 3)
    first = "shardId-000000000000"
    stream.put(*range(20))
    stream.client.split_shard(StreamName="notes", ShardToSplit=first, NewStartingHashKey=str(2**127))
    stream.wait()
    stream.put(*range(20, 60))
    stream.client.merge_shards(
        StreamName="notes", ShardToMerge="shardId-000000000001", AdjacentShardToMerge="shardId-000000000002"
    )
    stream.wait()
    stream.put(*range(60, 80))
    whole, problems = read({}, max_bytes=1)
    assert problems == []
    assert sorted(numbers(whole)) == list(range(80))
    shards = "".join(piece.shard[-1] for piece in whole)
    assert re.fullmatch("0000000[12]{14,}3333333", shards), shards
    for kept in range(len(whole) + 1):
        rest, problems = read(after(whole[:kept]))
        assert problems == []
        assert sorted(numbers(whole[:kept]) + numbers(rest)) == list(range(80))
    assert [shard.name[-1] for shard in Kinesis(SOURCE).shards()] == ["0", "1", "2", "3"]


def test_a_stream_is_read_from_an_instant_on(stream: Stream) -> None:
    stream.begin_anew(2)
    stream.put(1, 2)
    stream.shift(0)
    stream.put(3)
    since = SOURCE.model_copy(update={"start_at": datetime.now(UTC) - timedelta(hours=1)})
    pieces, problems = read({}, source=since)
    assert (numbers(pieces), problems) == ([3], [])


def test_records_that_may_have_been_trimmed_unread_are_told_and_it_goes_on(stream: Stream) -> None:
    stream.begin_anew(50)
    stream.put(1)
    at = after(read({})[0])
    stream.put(2)
    stream.shift(0)
    kinesis._seen_to_end.clear()
    stream.put(3)
    pieces, (told,) = read(at)
    assert "no longer holds the last record that was read of it: records may have been trimmed unread" in told
    assert numbers(pieces) == [3]
    assert read(after(pieces)) == ([], [])
    assert read(at) == (pieces, [])  # this process has seen meanwhile that there was nothing else


def test_a_stream_that_was_made_anew_is_not_read_as_the_old_one(stream: Stream) -> None:
    stream.put(1)
    at = after(read({})[0])
    stream.begin_anew(0)
    stream.put(2)
    pieces, (told,) = read(at)
    assert pieces == []
    assert "The stream was made anew" in told


def test_a_server_that_restarts_while_it_is_read_loses_and_doubles_nothing(stream: Stream) -> None:
    stream.put_many(range(1000))
    reading = Kinesis(SOURCE).read({}, max_bytes=1)
    first = next(reading)
    assert isinstance(first, streams.Piece)
    stream.server.end()
    with pytest.raises(SourceUnavailable, match="can't be read at kinesis://notes"):
        list(reading)
    stream.server.begin()
    rest, problems = read(after([first]))
    assert (numbers([first, *rest]), problems) == (list(range(1000)), [])
    with pytest.raises(SourceUnavailable, match="ResourceNotFound"):
        read({}, source=StreamSource(name="live", path="kinesis://others"))


@dataclass
class Faulty:
    """Stands before a server, and answers some calls with an error of Kinesis' instead."""

    port: int
    errors: list[tuple[str, str]]
    """Call and error, each once, in order."""
    calls: list[str] = field(default_factory=list)

    def __enter__(self) -> int:
        faulty = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                call = self.headers["X-Amz-Target"].rsplit(".", 1)[1]
                body = self.rfile.read(int(self.headers["Content-Length"]))
                faulty.calls.append(call)
                if faulty.errors and faulty.errors[0][0] == call:
                    status, answer = 400, json.dumps({"__type": faulty.errors.pop(0)[1], "message": "so"}).encode()
                else:
                    server = HTTPConnection("127.0.0.1", faulty.port)
                    server.request("POST", "/", body, dict(self.headers))
                    got = server.getresponse()
                    status, answer = got.status, got.read()
                    server.close()
                self.send_response(status)
                self.send_header("content-type", "application/x-amz-json-1.1")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None: ...

        self.before = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.before.serve_forever, args=(0.05,))
        self.thread.start()
        return int(self.before.server_address[1])

    def __exit__(self, *_: object) -> None:
        self.before.shutdown()
        self.thread.join()
        self.before.server_close()


def test_iterators_that_expire_are_got_anew_and_too_much_is_asked_again_later(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream.put_many(range(100))
    at = after(read({})[0])
    stream.put_many(range(100, 150))
    too_much, expired = "ProvisionedThroughputExceededException", "ExpiredIteratorException"
    # boto3 asks again itself at first; so many refusals reach the reader.
    errors = [("GetRecords", too_much)] * 7 + [("GetRecords", expired), ("GetShardIterator", too_much)]
    waits: list[float] = []
    monkeypatch.setattr(kinesis.time, "sleep", waits.append)
    for position, wanted in (({}, range(150)), (at, range(100, 150))):
        faulty = Faulty(stream.server.port, [*errors])
        with faulty as port:
            monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
            pieces, problems = read(position)
        assert (numbers(pieces), problems, faulty.errors) == (list(wanted), [], [])
    assert waits
    refusals = Faulty(stream.server.port, [("GetRecords", too_much)] * 1000)
    with refusals as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        pieces, (told,) = read(at)
    assert pieces == []
    assert "What was read stays, and the next run goes on from there" in told


def test_a_run_brings_a_stream_into_the_lake_once(
    stream: Stream, lake: Lake, rows_of: Callable[..., dict[str, list[tuple[Any, ...]]]]
) -> None:
    stream.put_many(range(200))
    stream.put(7)
    stream.client.put_record(StreamName="notes", Data=b"no JSON", PartitionKey="a")
    for _ in range(2):
        (report,) = run(lake, [SOURCE]).reports
        assert not report.error
    stream.put(200)
    stream.server.end()
    (report,) = run(lake, [SOURCE]).reports
    assert "can't be read at kinesis://notes" in (report.error or "")
    stream.server.begin()
    run(lake, [SOURCE])
    rows = rows_of(lake)
    assert (len(rows["raw.live"]), len(rows["notes.events"]), len(rows["notes.notes"])) == (203, 201, 50)
    assert len(rows["ops.quarantine"]) == 1


def test_a_consumer_outlives_a_server_that_restarts_and_shards_that_split(
    stream: Stream, lake: Lake, rows_of: Callable[..., dict[str, list[tuple[Any, ...]]]]
) -> None:
    with consuming(lake, SOURCE) as words:
        stream.put_many(range(600))
        wait_for(lambda: "committed" in words)
        stream.client.split_shard(
            StreamName="notes", ShardToSplit="shardId-000000000000", NewStartingHashKey=str(2**127)
        )
        stream.wait()
        stream.server.end()
        wait_for(lambda: "trouble" in words)
        stream.server.begin()
        stream.put_many(range(500, 1000))
        wait_for(lambda: "recovered" in words and len(rows_of(lake)["raw.live"]) == 1100)
    rows = rows_of(lake)
    assert (len(rows["raw.live"]), len(rows["notes.events"]), len(rows["notes.notes"])) == (1100, 1000, 50)


def test_an_address_names_a_stream() -> None:
    with pytest.raises(UsageError, match="names no stream of Kinesis"):
        Kinesis(StreamSource(name="live", path="kinesis://"))
