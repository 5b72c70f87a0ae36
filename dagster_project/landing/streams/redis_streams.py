"""Redis Streams: `redis://host:port/db?stream=name`, a key a shard.

What belongs here: listing the keys, reading entries from a position, telling entries that are gone. What does not: what
an event means. redis is imported here and nowhere else.

An entry of one field is an event in JSON, its value as it stands. An entry of several fields is an object of them: a
value that is an object or an array of JSON stands as such, all others as text; one without `time` has that of its id.

`stream=` may stand several times, and be a pattern (`notes:*`). No consumer group is needed: the position lies in the
lake, in the commit that holds the rows. A position's token is `<id> <number>`: the id of the last entry that was read,
and the number of entries that had ever been added to the stream up to it (`entries-added`, Redis 7), which tells how
many were trimmed or deleted unread. Name and password of a user come from NOTELAKE_REDIS_USERNAME and
NOTELAKE_REDIS_PASSWORD.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa

from dagster_project.errors import SourceUnavailable, UsageError
from dagster_project.landing.streams.stream import (
    ARRIVED,
    NOWHERE,
    START,
    Piece,
    Position,
    Positions,
    Problem,
    Shard,
    in_turn,
)
from dagster_project.sources import StreamSource

SCHEMES: Final = ("redis", "rediss")
SECONDS: Final = 30
"""How long one answer may take."""
FIRST_COUNT: Final = 256
"""Entries asked for at first; as many more as make about `ANSWER_BYTES` after that."""
ANSWER_BYTES: Final = 4 * 1024**2
_LEAST_VERSION: Final = "Redis 7"
_FIRST_MILLIS: Final = 100_000_000_000
"""From here on, the first part of an id is a time."""

Fields = list[bytes]
"""Names and values in turn; a name may come again."""
Entry = tuple[bytes, Fields]


class RedisStreams:
    """Streams of a Redis server, opened for one source."""

    def __init__(self, source: StreamSource) -> None:
        self._source = source
        self._address = urlsplit(source.path)
        self._wanted = parse_qs(self._address.query).get("stream", [])
        if not self._wanted:
            raise UsageError(
                f"The stream {source.name!r} names no stream of Redis at {source.path}. Write "
                "redis://host:port/db?stream=name; stream= may stand several times and be a pattern."
            )
        if not self._address.path.strip("/").isdecimal() and self._address.path.strip("/"):
            raise UsageError(
                f"The stream {source.name!r} names no database of Redis, which is a number: {source.path}."
            )

    def shards(self, positions: Positions = NOWHERE) -> tuple[Shard, ...]:
        """List the streams there are in name order. Raises `SourceUnavailable` if that fails."""
        with self._connected() as client:
            keys = self._keys(client)
            with self._telling():
                return tuple(self._shard(client, key, positions.get(_text(key), START)) for key in keys)

    def _shard(self, client: Any, key: bytes, position: Position) -> Shard:
        from redis.exceptions import ResponseError

        try:
            state = _State.of(client.xinfo_stream(key))
        except ResponseError:  # no stream: the reading tells
            state = None
        if state is None or (not position.token and self._source.start_at):
            return Shard(_text(key), None)
        at = _Place.of(position, state, None)
        return Shard(_text(key), None if at.added < 0 else at.read + max(0, state.added - at.added))

    def read(self, positions: Positions, *, max_bytes: int) -> Iterator[Piece | Problem]:
        """Yield the entries after `positions`, up to those that are the last at the call."""
        with self._connected() as client:
            keys = self._keys(client)
            missing = positions.keys() - {_text(key) for key in keys}
            yield from (self._vanished(name, positions[name]) for name in sorted(missing))
            found = [self._pieces(client, key, positions.get(_text(key), START), max_bytes) for key in keys]
            with self._telling():
                yield from in_turn(found)

    def _connected(self) -> Any:
        """Return a client, which connects when it is used, and anew when the server is gone."""
        try:
            from redis import Redis
            from redis.backoff import ExponentialWithJitterBackoff
            from redis.retry import Retry
        except ImportError as error:
            raise UsageError(f"{self._source.path} needs redis. Install notelake[redis].") from error
        client = Redis(
            host=self._address.hostname or "localhost",
            port=self._address.port or 6379,
            db=int(self._address.path.strip("/") or 0),
            ssl=self._address.scheme == "rediss",
            username=os.environ.get("NOTELAKE_REDIS_USERNAME"),
            password=os.environ.get("NOTELAKE_REDIS_PASSWORD"),
            socket_timeout=SECONDS,
            socket_connect_timeout=SECONDS,
            retry=Retry(ExponentialWithJitterBackoff(cap=1, base=0.05), 6),
            protocol=2,
        )
        # As it is answered: the client's own form is a dict, which loses a field that comes again.
        client.set_response_callback("XRANGE", lambda answer, **_: answer)
        return client

    def _keys(self, client: Any) -> list[bytes]:
        """Return the keys of the streams that are wanted, in order; of a pattern, those that are streams."""
        named = {name.encode() for name in self._wanted if not _is_pattern(name)}
        patterns = [name for name in self._wanted if _is_pattern(name)]
        scans = (client.scan_iter(match=pattern, count=1000, _type="stream") for pattern in patterns)
        with self._telling():
            return sorted({key for key in named if client.exists(key)}.union(*map(set, scans)))

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Turn what the client raises into the one error."""
        from redis.exceptions import RedisError

        try:
            yield
        except (RedisError, OSError) as error:
            raise SourceUnavailable(
                f"The stream {self._source.name!r} can't be read at {self._source.path}: "
                f"{str(error).rstrip('.') or type(error).__name__}. What was read before stays; see that the server is "
                "there, then run again: it goes on from there."
            ) from error

    def _pieces(self, client: Any, key: bytes, position: Position, max_bytes: int) -> Iterator[Piece | Problem]:
        from redis.exceptions import ResponseError

        try:
            state = _State.of(client.xinfo_stream(key))
        except ResponseError as error:  # no stream, or one that may not be read
            yield Problem(_text(key), "unreadable", self._unreadable(key, error))
            return
        if state is None:
            raise SourceUnavailable(
                f"The server at {self._source.path} does not tell how many entries were added to a stream, so it can't "
                f"be known which are missing. Nothing was read; use {_LEAST_VERSION} or newer."
            )
        at = _Place.of(position, state, self._source.start_at)
        if position.token and (gap := self._gap(key, position, at, state)):
            yield gap
        at = at.after_gap(state)
        yield from _read_on(client, key, at, state, max_bytes)

    def _gap(self, key: bytes, position: Position, at: _Place, state: _State) -> Problem | None:
        """Tell entries that were added and can't be read any more; the reading goes on with those that can."""
        if state.added < at.added or state.last < at.id:
            fact = "has lost entries that were read: it was made anew, or its server came back with an older state"
        elif lost := at.lost(state):
            fact = f"has lost {lost:,} {'entry' if lost == 1 else 'entries'} that had not been read: trimmed or deleted"
        elif state.deleted > at.id:
            fact = f"has lost entries that had not been read, {_written(state.deleted)} the last of them: deleted"
        else:
            return None
        return Problem(
            _text(key),
            "gap",
            f"Stream {_text(key)!r} at {self._source.path} {fact}. {position.offset:,} entries were read, up to "
            f"{_written(at.id)}; it goes on after it with what there is. Trim only what was read, or read oftener.",
        )

    def _unreadable(self, key: bytes, error: Exception) -> str:
        return (
            f"Stream {_text(key)!r} at {self._source.path} can't be read: {error}. What was read of it stays; see that "
            "it is a stream that may be read, then run again."
        )

    def _vanished(self, name: str, at: Position) -> Problem:
        return Problem(
            name,
            "vanished",
            f"Stream {name!r} is no longer at {self._source.path}. What was read of it ({at.offset:,} entries) stays; "
            "nothing needs doing if it was removed on purpose.",
        )


Id = tuple[int, int]
"""Milliseconds and a counter: how Redis orders entries."""


@dataclass(frozen=True, slots=True)
class _State:
    """What Redis tells of a stream at one instant."""

    length: int
    added: int
    """Entries that were ever added."""
    first: Id | None
    last: Id
    """Of what was ever added."""
    deleted: Id
    """The last that was deleted by its id."""

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> _State | None:
        """Return what `XINFO STREAM` told; None if the server is too old to tell what is needed."""
        if "entries-added" not in told:
            return None
        first = told["first-entry"]
        return cls(
            told["length"],
            told["entries-added"],
            _id(first[0]) if first else None,
            _id(told["last-generated-id"]),
            _id(told["max-deleted-entry-id"]),
        )


@dataclass(frozen=True, slots=True)
class _Place:
    """A place in a stream: right after an entry."""

    id: Id
    added: int
    """Entries ever added up to it; -1 if that isn't known."""
    read: int
    """Entries read by us."""

    @classmethod
    def of(cls, position: Position, state: _State, start_at: datetime | None) -> _Place:
        if position.token:
            written, _, added = position.token.partition(" ")
            return cls(_id(written.encode()), int(added), position.offset)
        millis = int(start_at.timestamp() * 1000) if start_at else 0
        if millis > 0:
            return cls((millis - 1, 2**64 - 1), -1, position.offset)
        return cls((0, 0), state.added - state.length, position.offset)

    def is_cut_off(self, state: _State) -> bool:
        """Whether nothing is left in the stream of what was read of it."""
        return state.first is None or state.first > self.id

    def lost(self, state: _State) -> int:
        """Return how many entries after this place are gone from the stream's head."""
        if self.added < 0 or not self.is_cut_off(state):
            return 0
        return max(0, state.added - state.length - self.added)

    def after_gap(self, state: _State) -> _Place:
        """Return the place with the entries counted that are gone."""
        return _Place(self.id, state.added - state.length, self.read) if self.is_cut_off(state) else self

    def moved(self, entries: int, last: Id, state: _State) -> _Place:
        """Return the place after so many more entries; at the stream's end, the stream's own count holds."""
        added = self.added + entries if self.added >= 0 else -1
        return _Place(last, state.added if last == state.last else added, self.read + entries)

    def position(self) -> Position:
        return Position(self.read, self.read, token=f"{_written(self.id)} {self.added}")


def _read_on(client: Any, key: bytes, at: _Place, state: _State, max_bytes: int) -> Iterator[Piece]:
    """Yield the entries after a place up to the last there was, about `max_bytes` at a time."""
    entries: list[Entry] = []
    size, count, last = 0, FIRST_COUNT, at.id
    while last < state.last:
        got: list[Entry] = client.xrange(key, f"({_written(last)}", _written(state.last), count)
        if not got:
            break
        answer = sum(map(_size, got))
        count = max(1, min(count * 4, min(ANSWER_BYTES, max_bytes) * len(got) // max(answer, 1)))
        entries += got
        size, last = size + answer, _id(got[-1][0])
        if size >= max_bytes:
            yield (piece := _piece(key, at, entries, size, state))
            at = _Place.of(piece.after, state, None)
            entries, size = [], 0
    if entries:
        yield _piece(key, at, entries, size, state)


def _piece(key: bytes, at: _Place, entries: list[Entry], size: int, state: _State) -> Piece:
    texts = [_event(id_, fields) for id_, fields in entries]
    columns = {
        "shard_sequence": pa.array(range(at.read, at.read + len(entries)), pa.int64()),
        "line": pa.array(range(at.read + 1, at.read + len(entries) + 1), pa.int64()),
        "payload": pa.array([text if isinstance(text, str) else None for text in texts], pa.string()),
        "undecoded": pa.array([text if isinstance(text, bytes) else None for text in texts], pa.binary()),
    }
    after = at.moved(len(entries), _id(entries[-1][0]), state)
    return Piece(_text(key), pa.table(columns, schema=ARRIVED), after.position(), size)


def _event(id_: bytes, fields: Fields) -> str | bytes:
    """Return the event of an entry as text; its bytes if they are no UTF-8.

    >>> _event(b"1-0", [b"event", b'{"id": 1.10}'])
    '{"id": 1.10}'
    >>> _event(b"1-0", [b"type", b"note.created", b"detail", b'{"path": "a"}'])
    '{"type":"note.created","detail":{"path": "a"}}'
    >>> _event(b"1700000000000-0", [b"id", b"7", b"type", b"x"])
    '{"id":"7","type":"x","time":1700000000000}'
    >>> _event(b"1-0", [b"event", b"\\xff"]), _event(b"1-0", [b"a", b"\\xff", b"b", b""])
    (b'\\xff', b'a \\xff\\nb ')
    """
    names, values = fields[::2], fields[1::2]
    try:
        if len(values) == 1:
            return values[0].decode()
        members = [f"{_quoted(name)}:{_value(value)}" for name, value in zip(names, values, strict=True)]
    except UnicodeDecodeError:
        return values[0] if len(values) == 1 else b"\n".join(map(b" ".join, zip(names, values, strict=True)))
    millis = _id(id_)[0]
    if b"time" not in names and millis >= _FIRST_MILLIS:
        members.append(f'"time":{millis}')
    return "{" + ",".join(members) + "}"


def _quoted(text: bytes) -> str:
    return json.dumps(text.decode(), ensure_ascii=False)


def _value(value: bytes) -> str:
    """Return a field's value as JSON: an object or an array as it stands, else as text."""
    text = value.decode()
    if text[:1] in ("{", "["):
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            pass
        else:
            return text
    return _quoted(value)


def _size(entry: Entry) -> int:
    return len(entry[0]) + sum(map(len, entry[1]))


def _id(written: bytes) -> Id:
    """Return an id that sorts.

    >>> _id(b"1700000000000-12"), _id(b"7")
    ((1700000000000, 12), (7, 0))
    """
    millis, _, counter = written.partition(b"-")
    return int(millis), int(counter or 0)


def _written(id_: Id) -> str:
    return f"{id_[0]}-{id_[1]}"


def _text(key: bytes) -> str:
    return key.decode("utf-8", "backslashreplace")


def _is_pattern(name: str) -> bool:
    return any(mark in name for mark in "*?[")
