"""Which arrivals wait to become notes: the end of the next batch.

A batch is what one landing brought. So a run that died between landing and commit and the run after it make the same
batches, with the same ids, as runs that did not die.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from dagster_project.contracts import Kind
from dagster_project.lake.lake import Lake
from dagster_project.lake.pins import Pin
from dagster_project.lake.read import relation
from dagster_project.sources import Source
from dagster_project.steps.cursors import source_cursor

_LANDING: Final[Mapping[Kind, str]] = {"documents": "scan_id", "table": "_landed_at", "stream": "landed_at"}
"""The column of raw that is the same for all arrivals of one landing."""


def next_batch_end(lake: Lake, source: Source, pins: Mapping[str, Pin], after: int) -> int | None:
    """Return the last arrival of the oldest landing that is not committed; None if all are."""
    raw = pins[f"raw.{source.name}"]
    if source_cursor(lake, raw).last_sequence <= after:
        return None
    with lake.connect() as con:
        landing = _LANDING[source.kind]
        query = f"SELECT max(sequence) FROM {relation(raw)} AS r WHERE sequence > {after} GROUP BY {landing} ORDER BY 1 LIMIT 1"
        row = con.execute(query).fetchone()
    return int(row[0]) if row else None
