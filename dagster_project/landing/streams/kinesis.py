"""Kinesis: `kinesis://stream-name`, through boto3 against whatever endpoint the usual AWS variables name.

What belongs here: listing the shards, reading records from a position, and the order of shards that were split or
merged. What does not: what an event means. boto3 is imported here and nowhere else.

A record is an event in JSON, its data as it stands; what the producer library packed into one record (KPL
aggregation) is not unpacked, and is a dead letter. A shard is read once its parents are read to their end: so events
of one partition key come in order. A shard that was never read begins where its data does, or at `start_at`.

A position's token is `<sequence number> <arrival>` of the last record that was read, its arrival in milliseconds.
Kinesis tells nobody what it has trimmed. So where the last record that was read is older than the stream keeps records,
and is no longer there, it is told that records after it may be gone too, unless this process has seen since that there
were none.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from random import uniform
from typing import Any, Final

import pyarrow as pa

from dagster_project.errors import SourceUnavailable, UsageError
from dagster_project.landing.streams.stream import ARRIVED, NOWHERE, START, Piece, Position, Positions, Problem, Shard
from dagster_project.sources import StreamSource

SCHEME: Final = "kinesis"
MOST_RECORDS: Final = 10_000
"""Records one call may give (Kinesis' own limit; it gives at most 10 MiB)."""
SKEW: Final = timedelta(seconds=2)
"""How far Kinesis' clock may go before this machine's: a record of the last moments is no sign that all before it is
read (a shard that was split or merged begins up to a second ahead on kinesalite)."""
TRIES: Final = 6
"""Calls where Kinesis says that it is too much; waits double from 0.2 s, about 5 s in all, beside boto3's own."""
_TOO_MUCH: Final = frozenset(
    (
        "ProvisionedThroughputExceededException",
        "LimitExceededException",
        "KMSThrottlingException",
        "ThrottlingException",
    )
)
_EXPIRED: Final = "ExpiredIteratorException"
_seen_to_end: dict[tuple[str, str], datetime] = {}
"""When this process saw last that there was nothing more in a shard: what it does not know, it tells as a gap."""

Record = Mapping[str, Any]
Pieces = Generator[Piece | Problem, None, bool]


@dataclass(frozen=True, slots=True)
class _Shard:
    name: str
    parents: tuple[str, ...]
    is_closed: bool
    """Whether it was split or merged: it gets no more records."""


class Kinesis:
    """A stream of Kinesis, opened for one source."""

    def __init__(self, source: StreamSource) -> None:
        self._source = source
        self._stream = source.path.partition("://")[2].strip("/")
        if not self._stream or "/" in self._stream:
            raise UsageError(
                f"The stream {source.name!r} names no stream of Kinesis at {source.path}. Write kinesis://stream-name; "
                "region, endpoint and credentials come from the AWS variables."
            )

    def shards(self, _: Positions = NOWHERE) -> tuple[Shard, ...]:
        """List the shards in name order. Raises `SourceUnavailable` if that fails."""
        with self._telling():
            return tuple(Shard(shard.name, None) for shard in self._listed(self._client()))

    def read(self, positions: Positions, *, max_bytes: int) -> Iterator[Piece | Problem]:
        """Yield the records after `positions`, of each shard once its parents are read to their end."""
        with self._telling():
            client = self._client()
            listed = self._listed(client)
            yield from self._vanished(listed, positions)
            turns = _Turns(listed, positions)
            while turns.begin(lambda shard: self._pieces(client, shard, positions.get(shard.name, START), max_bytes)):
                yield from turns.take()

    def _client(self) -> Any:
        try:
            return _client(tuple(sorted(item for item in os.environ.items() if item[0].startswith("AWS_"))))
        except ImportError as error:
            raise UsageError(f"{self._source.path} needs boto3. Install notelake[kinesis].") from error

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Turn what the client raises into the one error."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError) as error:
            raise SourceUnavailable(
                f"The stream {self._source.name!r} can't be read at {self._source.path}: "
                f"{str(error).rstrip('.')}. What was read before stays; see that the stream is there and may be "
                "read, then run again: it goes on from there."
            ) from error

    def _listed(self, client: Any) -> list[_Shard]:
        found: list[_Shard] = []
        asked: dict[str, str] = {"StreamName": self._stream}
        while asked:
            told = _patiently(client.list_shards, **asked)
            for shard in told["Shards"]:
                parents = (shard.get("ParentShardId"), shard.get("AdjacentParentShardId"))
                is_closed = "EndingSequenceNumber" in shard["SequenceNumberRange"]
                found.append(_Shard(shard["ShardId"], tuple(parent for parent in parents if parent), is_closed))
            asked = {"NextToken": told["NextToken"]} if told.get("NextToken") else {}
        return sorted(found, key=lambda shard: shard.name)

    def _vanished(self, listed: list[_Shard], positions: Positions) -> Iterator[Problem]:
        """Tell shards that are gone and were not read to their end, as far as that is known: no child was begun."""
        there = {shard.name for shard in listed}
        for shard in listed:
            for parent in shard.parents:
                if shard.name not in positions and parent in positions and parent not in there:
                    fact = "is no longer there, and it is not known whether it was read to its end"
                    yield self._gap(parent, positions[parent], fact)

    def _gap(self, shard: str, at: Position, fact: str) -> Problem:
        return Problem(
            shard,
            "gap",
            f"Shard {shard!r} of {self._source.path} {fact}: records may have been trimmed unread. {at.offset:,} were "
            f"read, the last {at.token.partition(' ')[0]}; it goes on with what there is. Let the stream keep records "
            "for longer, or read oftener.",
        )

    def _pieces(self, client: Any, shard: _Shard, position: Position, max_bytes: int) -> Pieces:
        """Yield a shard's records up to what was there at the call; return whether it is closed and read to its end."""
        from botocore.exceptions import ClientError

        name, key = shard.name, (self._source.path, shard.name)
        try:
            is_doubtful = self._is_doubtful(client, name, position, _seen_to_end.get(key))
            reading = _Reading(client, self._stream, shard, position, self._source.start_at)
            for piece in reading.pieces(max_bytes):
                if is_doubtful:
                    yield self._gap(name, position, "no longer holds the last record that was read of it")
                    is_doubtful = False
                yield piece
        except ClientError as error:
            yield self._problem(name, position, error)
            return False
        if reading.saw_end:
            _seen_to_end[key] = reading.began_at
        return reading.is_closed

    def _is_doubtful(self, client: Any, name: str, position: Position, seen: datetime | None) -> bool:
        """Whether records after a position may have been trimmed: the last that was read is, and none looked since."""
        if not position.token:
            return False
        number, _, arrival = position.token.partition(" ")
        last = max(datetime.fromtimestamp(int(arrival) / 1000, UTC), seen or datetime.min.replace(tzinfo=UTC))
        if datetime.now(UTC) - last < timedelta(hours=23):  # none keeps them for less than 24
            return False
        told = _patiently(client.describe_stream_summary, StreamName=self._stream)["StreamDescriptionSummary"]
        if datetime.now(UTC) - last < timedelta(hours=told["RetentionPeriodHours"]):
            return False
        first = _records_at(client, self._stream, name, number)
        return not first or first[0]["SequenceNumber"] != number

    def _problem(self, name: str, position: Position, error: Any) -> Problem:
        code = error.response["Error"]["Code"]
        if position.token and code == "InvalidArgumentException":
            return Problem(
                name,
                "changed",
                f"Shard {name!r} of {self._source.path} was not read: it knows nothing of the last record that was "
                f"read of it ({error}). The stream was made anew; declare it as a source of another name.",
            )
        return Problem(
            name,
            "unreadable",
            f"Shard {name!r} of {self._source.path} can't be read on: {error}. What was read stays, and the next run "
            "goes on from there.",
        )


class _Turns:
    """Whose turn it is: shards that may be read, those of them that are being read in turn."""

    def __init__(self, listed: list[_Shard], positions: Positions) -> None:
        self._waiting = {shard.name: shard for shard in listed}
        self._names = frozenset(self._waiting)
        # A child was begun only once its parents were read to their end.
        self._ended = {parent for shard in listed if shard.name in positions for parent in shard.parents}
        self._reading: list[tuple[str, Pieces]] = []
        for name in self._ended:
            self._waiting.pop(name, None)

    def begin(self, pieces: Callable[[_Shard], Pieces]) -> bool:
        """Begin every shard whose parents have ended or are no longer there; return whether any is being read."""
        ready = [name for name, shard in self._waiting.items() if self._ended >= self._names & set(shard.parents)]
        self._reading += [(name, pieces(self._waiting.pop(name))) for name in ready]
        return bool(self._reading)

    def take(self) -> Iterator[Piece | Problem]:
        """Yield one piece of each shard that is being read; note those that have ended."""
        still = []
        for name, pieces in self._reading:
            try:
                yield next(pieces)
                still.append((name, pieces))
            except StopIteration as end:
                if end.value:
                    self._ended.add(name)
        self._reading = still


class _Reading:
    """One shard that is being read: an iterator of Kinesis', got anew where it expired."""

    def __init__(self, client: Any, stream: str, shard: _Shard, position: Position, start_at: datetime | None) -> None:
        self._client, self._stream, self._shard = client, stream, shard
        self._at = position
        self._start_at = start_at
        self.began_at = datetime.now(UTC)
        self.is_closed = False
        """Whether the shard has an end, and it was reached."""
        self.saw_end = False
        """Whether there was nothing more."""

    def pieces(self, max_bytes: int) -> Iterator[Piece]:
        """Yield what is there, about `max_bytes` at a time."""
        iterator: str | None = self._iterator(self._at.token.partition(" ")[0])
        records: list[Record] = []
        while iterator is not None and not self.saw_end:
            told = self._told(iterator, records)
            records += told["Records"]
            iterator = told.get("NextShardIterator")
            self.saw_end = self._is_at_end(told)
            if sum(len(record["Data"]) for record in records) >= max_bytes:
                yield self._piece(records)
                records = []
        if records:
            yield self._piece(records)
        self.is_closed = iterator is None
        self.saw_end = self.saw_end or self.is_closed

    def _is_at_end(self, told: Mapping[str, Any]) -> bool:
        """Whether all is read that was there when the reading began; an answer without records may be no end."""
        if self._shard.is_closed:  # it says itself where it ends
            return False
        if told["Records"]:
            ahead = told["Records"][-1]["ApproximateArrivalTimestamp"] - self.began_at
            is_all = len(told["Records"]) < MOST_RECORDS and not told.get("MillisBehindLatest")
            return bool(ahead > SKEW or (is_all and ahead > timedelta(0)))
        return not told.get("MillisBehindLatest")

    def _told(self, iterator: str, records: list[Record]) -> Mapping[str, Any]:
        from botocore.exceptions import ClientError

        try:
            return self._asked(iterator)
        except ClientError as error:
            if error.response["Error"]["Code"] != _EXPIRED:
                raise
        last = records[-1]["SequenceNumber"] if records else self._at.token.partition(" ")[0]
        return self._asked(self._iterator(last))

    def _asked(self, iterator: str) -> Mapping[str, Any]:
        told: Mapping[str, Any] = _patiently(self._client.get_records, ShardIterator=iterator, Limit=MOST_RECORDS)
        return told

    def _iterator(self, last: str) -> str:
        """Return an iterator of what comes after a record; without one, from the start."""
        if last:
            place: dict[str, Any] = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": last}
        elif self._start_at is not None:
            place = {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": self._start_at}
        else:
            place = {"ShardIteratorType": "TRIM_HORIZON"}
        return _iterator(self._client, self._stream, self._shard.name, place)

    def _piece(self, records: list[Record]) -> Piece:
        first = self._at.offset
        texts = [_text(record["Data"]) for record in records]
        columns = {
            "shard_sequence": pa.array(range(first, first + len(records)), pa.int64()),
            "line": pa.array(range(first + 1, first + len(records) + 1), pa.int64()),
            "payload": pa.array([text if isinstance(text, str) else None for text in texts], pa.string()),
            "undecoded": pa.array([text if isinstance(text, bytes) else None for text in texts], pa.binary()),
        }
        read, last = first + len(records), records[-1]
        arrival = int(last["ApproximateArrivalTimestamp"].timestamp() * 1000)
        self._at = replace(self._at, offset=read, lines=read, token=f"{last['SequenceNumber']} {arrival}")
        size = sum(len(record["Data"]) for record in records)
        return Piece(self._shard.name, pa.table(columns, schema=ARRIVED), self._at, size)


@lru_cache(4)
def _client(_variables: tuple[tuple[str, str], ...]) -> Any:
    """Return the client that these AWS variables make; it takes long to be made, and a consumer looks every second."""
    import boto3

    return boto3.client("kinesis")


def _records_at(client: Any, stream: str, shard: str, number: str) -> list[Record]:
    """Return the record of this number, or the first after it; none if there is neither."""
    place = {"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": number}
    iterator = _iterator(client, stream, shard, place)
    found: list[Record] = _patiently(client.get_records, ShardIterator=iterator, Limit=1)["Records"]
    return found


def _iterator(client: Any, stream: str, shard: str, place: Mapping[str, Any]) -> str:
    told = _patiently(client.get_shard_iterator, StreamName=stream, ShardId=shard, **place)
    return str(told["ShardIterator"])


def _patiently(call: Callable[..., Any], **asked: Any) -> Any:
    """Call Kinesis, and again after a while where it says that it is too much; the last answer is raised."""
    from botocore.exceptions import ClientError

    for wait in (0.2 * 2**number for number in range(TRIES - 1)):
        try:
            return call(**asked)
        except ClientError as error:
            if error.response["Error"]["Code"] not in _TOO_MUCH:
                raise
        time.sleep(wait * uniform(0.5, 1.0))  # noqa: S311  # spread, not secret
    return call(**asked)


def _text(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data
