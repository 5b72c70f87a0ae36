"""How far a stream is behind: what waits at the source, what landed and is no event yet, what is not folded into notes.

What belongs here: those figures, and the throughput, as the lake and one look at the shards tell them. What does not:
how they are shown (`live`, `components`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from dagster_project.contracts import EVENTS, LEDGER, NOTES
from dagster_project.errors import SourceUnavailable
from dagster_project.lake.lake import Lake
from dagster_project.lake.read import relation
from dagster_project.landing import streams
from dagster_project.sources import StreamSource
from dagster_project.steps.cursors import note_cursor, source_cursor

MINUTES: Final = 10
"""Throughput is that of so many minutes before the last commit."""


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a stream is behind. Arrivals are counted in its raw table."""

    source: str
    waiting: int | None
    """What its shards hold beyond what was read: bytes of a log, events of another stream; None if they do not tell."""
    uncommitted: int
    """Arrivals that landed and are not committed as events."""
    unfolded: int
    """Arrivals that are events and not folded into notes."""
    events: int
    """All that have landed."""
    rate: float
    """Events a second over the ten minutes before the last commit."""
    committed_at: datetime | None
    trouble: str | None = None
    """Why the source could not be looked at."""


def lag_of(lake: Lake, source: StreamSource) -> Lag:
    """Return how far `source` is behind now; one that never landed has nothing committed."""
    pins = lake.pins()
    raw = pins.get(f"raw.{source.name}")
    cursor = source_cursor(lake, raw) if raw is not None else None
    landed = cursor.last_sequence if cursor else 0
    committed, folded = (note_cursor(lake, pins[table.identifier], source.name) for table in (EVENTS, NOTES))
    waiting, trouble = _waiting(source, streams.restored(cursor.positions) if cursor else {})
    rate, committed_at = _throughput(lake, source.name)
    return Lag(source.name, waiting, landed - committed, committed - folded, landed, rate, committed_at, trouble)


def _waiting(source: StreamSource, at: streams.Positions) -> tuple[int | None, str | None]:
    try:
        shards = streams.shards(source, at)
    except SourceUnavailable as error:
        return None, str(error)
    ahead = [None if shard.size is None else shard.size - at.get(shard.name, streams.START).offset for shard in shards]
    known = [max(0, each) for each in ahead if each is not None]
    return (sum(known) if len(known) == len(ahead) else None), None


def _throughput(lake: Lake, source: str) -> tuple[float, datetime | None]:
    pin = lake.pins([LEDGER.identifier])[LEDGER.identifier]
    files = [file.file_path for file in lake.source_files(pin, source)]
    if not files:
        return 0.0, None
    query = (
        f"WITH l AS (SELECT recorded_at, seen FROM {relation(pin, files)} AS r), "
        f"e AS (SELECT max(recorded_at) AS last FROM l) "
        f"SELECT sum(seen), last, epoch(last) - epoch(min(recorded_at)) FROM l, e "
        f"WHERE recorded_at > last - INTERVAL {MINUTES} MINUTE GROUP BY last"
    )
    with lake.connect() as con:
        row = con.execute(query).fetchone()
    if row is None:
        return 0.0, None
    events, last, seconds = row
    return float(events or 0) / max(float(seconds), 1.0), last
