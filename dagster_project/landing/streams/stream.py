"""What every stream has: shards, places in them, what is read of them, and what can be wrong with them.

What belongs here: the words that readers and those who call them share, and `Reader`, what a kind of stream must be
able to do. What does not: how one kind is read (`log`, and a module for each other kind), making rows of raw of what
was read (`decoding`), and choosing the reader (`reading`).

How an event is known in `raw.<source>`: by stream, shard and `shard_sequence`, a 64-bit integer that rises within a
shard. For a log it is the byte offset of the line in the shard. Where a store's own numbers don't fit 64 bits (a
Kinesis sequence number has up to 128, a Redis id is milliseconds and a counter), it is the *ordinal* of the event: how
many events of that shard this source has read before it, counted by us. The ordinal stands in the position
(`Position.offset`) beside the store's own number (`Position.token`), and both are committed with the rows: so an event
that is read again after a kill gets the ordinal it would have had. What follows from that: a source that starts anew
elsewhere in a shard counts on from where it was, and the ordinals of two sources over one stream say nothing of each
other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from types import MappingProxyType
from typing import Any, Final, Literal, Protocol, TypeVar

import pyarrow as pa

from dagster_project.errors import SourceUnavailable

T = TypeVar("T")

ARRIVED: Final = pa.schema(
    [
        ("shard_sequence", pa.int64()),
        ("line", pa.int64()),
        ("payload", pa.string()),
        ("undecoded", pa.binary()),
    ]
)
"""What a reader gives of each event, in the shard's order: its place, its line in a file if it has one, and its text,
or its bytes if they are no UTF-8; of the two, one is null."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a shard, always between two events."""

    offset: int = 0
    """What was read of the shard before it: bytes of a log, events of another stream."""
    lines: int = 0
    """Lines before it, blank ones too; for what has no lines, as `offset`."""
    fingerprint: str = ""
    """SHA-256, hex, of the last up to 64 bytes before it: tells whether a log is still the one that was read."""
    token: str = ""
    """What the store itself calls the place, for the reader alone to understand; empty for a log."""

    def stored(self) -> list[Any]:
        """Return it as it is kept in a cursor; older versions read a log's.

        >>> Position(7, 1, "f0").stored(), Position(2, 2, token="49x").stored()
        ([7, 1, 'f0'], [2, 2, '', '49x'])
        """
        kept = list(astuple(self))
        return kept if self.token else kept[:-1]


START: Final = Position()
Positions = Mapping[str, Position]
"""Shard -> where it was read up to. The source cursor of a stream."""
NOWHERE: Final[Positions] = MappingProxyType({})


def restored(kept: Mapping[str, Sequence[Any]]) -> dict[str, Position]:
    """Return the positions of a cursor, each as `Position.stored` gave it.

    >>> restored({"a": [7, 1, "f0"]})
    {'a': Position(offset=7, lines=1, fingerprint='f0', token='')}
    """
    return {shard: Position(*values) for shard, values in kept.items()}


ProblemKind = Literal[
    "changed", "shrank", "vanished", "unreadable", "too_long", "ambiguous", "unfinished", "gap", "begins_late"
]
_NOTICES: Final[frozenset[ProblemKind]] = frozenset({"vanished", "unfinished", "begins_late"})


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a shard, or the rest of it, was not read. The other shards were, and the shard's position stays."""

    shard: str
    kind: ProblemKind
    message: str
    """State, fact and way out."""

    @property
    def is_notice(self) -> bool:
        """Whether it is worth telling but no failure: a vanished shard, a line still being written, a later start."""
        return self.kind in _NOTICES

    def error(self) -> SourceUnavailable:
        """Return it as an error, for who wants to raise it."""
        return SourceUnavailable(self.message)


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard as one look at the stream saw it; what is appended later waits for the next."""

    name: str
    size: int | None
    """What `Position.offset` will be once all of it is read; None where the store does not tell."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Events of one shard, in order, as they arrived, and where they end."""

    shard: str
    arrived: pa.Table
    """In the columns of `ARRIVED`. It may be empty: then only the position moves (over blank lines)."""
    after: Position
    bytes: int
    """Bytes of the shard these events were read from."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Arrivals of one shard, in order, and where all shards stand once these rows are committed."""

    shard: str
    rows: pa.Table
    """In the schema of `raw.<source>`; never empty."""
    said: pa.Table
    """What else was asked of these events, a row for each."""
    positions: Positions
    """Of all shards, vanished ones too; includes all chunks before this one."""
    bytes: int
    """Bytes of the shard these rows were read from."""


class Reader(Protocol):
    """A kind of stream, opened for one source. It keeps no state that matters: positions say all, and are passed in.

    What it holds open (a client, iterators of shards) is there to save time and may be lost at any moment.
    """

    def shards(self, positions: Positions = NOWHERE) -> tuple[Shard, ...]:
        """List the shards in name order. Raises `SourceUnavailable` if that fails.

        Some stores count only what was ever added: where we are in them is needed to tell what `offset` will be.
        """
        ...

    def read(self, positions: Positions, *, max_bytes: int) -> Iterator[Piece | Problem]:
        """Yield what stands in the shards after `positions`, pieces of the shards in turn, and end.

        A shard that `positions` does not name is read from its start, or from where the source says. It ends when all
        is read that was there at the call (or about then); it does not wait for more. A piece holds about `max_bytes`
        at most. The caller may stop at any piece, and passes the `after` of those it kept the next time.

        Raises `SourceUnavailable` if the stream as a whole can't be reached, at the first `next` or later. What is
        wrong with one shard comes as a `Problem`, once; that shard ends there, and the others go on.
        """
        ...


def in_turn(readers: Iterable[Iterator[T]]) -> Iterator[T]:
    """Take one item of each reader in turn, so that a busy shard does not keep the others waiting.

    >>> list(in_turn([iter("aaa"), iter("b")]))
    ['a', 'b', 'a', 'a']
    """
    waiting = deque(readers)
    while waiting:
        reader = waiting.popleft()
        for item in reader:
            yield item
            waiting.append(reader)
            break
