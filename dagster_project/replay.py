"""Replay: the events of a stream once more, from raw and without the source, to another stream or to who asks.

What belongs here: which events, in which order, and writing them so that doing it again writes none twice. What does
not: what a pattern means (`model.pattern`).

Each event is taken once, as it first arrived, in the order of arrival; arrivals that are no events are not. What is
written into a log is a shard of its own, whose name says what was asked for: the same replay later finds it, and
appends what has landed since. The ids are the same as ever, so a stream that has had an event takes it as a duplicate.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final

import pyarrow as pa

from dagster_project.errors import UsageError
from dagster_project.lake.lake import Lake
from dagster_project.lake.pins import Pin
from dagster_project.lake.read import relation
from dagster_project.landing.emit import Log
from dagster_project.landing.segments import segment_name
from dagster_project.model.pattern import Pattern, matches
from dagster_project.sql_words import literal

_ROWS: Final = 8_192


@dataclass(frozen=True, slots=True)
class Replay:
    """Which events are meant: those that happened `since` <= `occurred_at` < `until`, and fit a pattern."""

    source: str
    since: datetime | None = None
    until: datetime | None = None
    pattern: Pattern | None = None

    def __post_init__(self) -> None:
        """Refuse a span that holds no instant. Raises `UsageError`."""
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise UsageError(
                f"No event happened from {self.since.isoformat()} on and before {self.until.isoformat()}: the one is "
                "not before the other. Exchange --from and --to."
            )

    @property
    def shard(self) -> str:
        """Name of the shard in which a log keeps this replay."""
        asked = [self.source, *(at and at.isoformat() for at in (self.since, self.until)), self.pattern]
        digest = sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
        return f"replay-{self.source}-{digest[:12]}"


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay did: events that are meant, and those that were written now."""

    events: int
    written: int


def replay_to(lake: Lake, replay: Replay, out: IO[bytes]) -> Replayed:
    """Write the events to `out`, a line each. Raises `UsageError` for a source that has landed nothing as a stream."""
    written = 0
    for line in _lines(lake, replay):
        out.write(line)
        written += 1
    return Replayed(written, written)


def replay_into(lake: Lake, replay: Replay, folder: Path) -> Replayed:
    """Append the events that are not there yet to the replay's shard of the log in `folder`; durable on return.

    Raises `UsageError` as `replay_to` does, and if the shard holds other lines than these.
    """
    lines = _lines(lake, replay)
    file = folder / segment_name(replay.shard, 0)
    present = _skip(lines, file) if file.exists() else 0
    written = 0
    with Log(folder, replay.shard, fsync="batch") as log:
        while batch := list(islice(lines, _ROWS)):
            log.append(b"".join(batch))
            written += len(batch)
    return Replayed(present + written, written)


def _skip(lines: Iterator[bytes], file: Path) -> int:
    """Pass over the lines that `file` holds already; return how many. Half of a line that a kill left is cut off."""
    present = 0
    with file.open("r+b") as held:
        while line := held.readline():
            if not line.endswith(b"\n"):
                held.truncate(held.tell() - len(line))
                os.fsync(held.fileno())
                break
            if next(lines, None) != line:
                raise UsageError(
                    f"{file} holds other lines than this replay writes, from line {present + 1} on. Move it away."
                )
            present += 1
    return present


def _lines(lake: Lake, replay: Replay) -> Iterator[bytes]:
    pin = _raw(lake, replay.source)
    ends = [
        f"occurred_at {sign} TIMESTAMPTZ {literal(at.isoformat())}"
        for sign, at in ((">=", replay.since), ("<", replay.until))
        if at is not None
    ]
    rows = f"(SELECT * FROM {relation(pin)} AS r WHERE error IS NULL AND payload IS NOT NULL)"
    firsts = f"SELECT min(sequence) FROM {rows} GROUP BY coalesce(event_id, sequence::VARCHAR), event_id IS NULL"
    query = f"SELECT payload FROM {rows} WHERE {' AND '.join((*ends, f'sequence IN ({firsts})'))} ORDER BY sequence"
    with lake.connect() as con:
        for batch in con.execute(query).to_arrow_reader(_ROWS):
            yield from _as_lines(batch, replay.pattern)


def _as_lines(batch: pa.RecordBatch, pattern: Pattern | None) -> Iterator[bytes]:
    for payload in batch.column("payload").to_pylist():
        if pattern is None or matches(pattern, _parsed(payload)):
            # Within JSON's texts a line never ends, so this changes nothing of what an event says.
            yield payload.replace("\r", " ").replace("\n", " ").encode() + b"\n"


def _parsed(payload: str) -> Any:
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):  # DuckDB takes a little more for JSON than the standard allows
        return {}


def _raw(lake: Lake, source: str) -> Pin:
    pins = lake.pins()
    pin = pins.get(f"raw.{source}")
    if pin is None or all(column.name != "shard_sequence" for column in pin.table.columns):
        streams = sorted(
            name.removeprefix("raw.")
            for name, each in pins.items()
            if name.startswith("raw.") and any(column.name == "shard_sequence" for column in each.table.columns)
        )
        raise UsageError(
            f"The lake has landed no stream called {source}. There are: {', '.join(streams) or 'none yet'}."
        )
    return pin
