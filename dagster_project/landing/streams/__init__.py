"""Event streams: `read` from positions, of whatever kind the source's path says; `stream` says what all kinds share."""

from dagster_project.landing.streams.reading import read, shards
from dagster_project.landing.streams.stream import (
    START,
    Chunk,
    Piece,
    Position,
    Positions,
    Problem,
    Reader,
    Shard,
    restored,
)

__all__ = [
    "START",
    "Chunk",
    "Piece",
    "Position",
    "Positions",
    "Problem",
    "Reader",
    "Shard",
    "read",
    "restored",
    "shards",
]
