"""Which arrivals wait to become notes: the end of the next batch.

A batch is what one landing brought. So a run that died between landing and commit and the run after it make the same
batches, with the same ids, as runs that did not die.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from dagster_project.contracts import Kind, raw_table
from dagster_project.errors import SourceInvalid
from dagster_project.lake.figures import files_reaching
from dagster_project.lake.lake import Lake
from dagster_project.lake.pins import Pin
from dagster_project.lake.read import relation
from dagster_project.sources import Source
from dagster_project.steps.batch import Batch
from dagster_project.steps.cursors import source_cursor

LANDING: Final[Mapping[Kind, str]] = {"documents": "scan_id", "table": "_landed_at", "stream": "landed_at"}
"""The column of raw that is the same for all arrivals of one landing."""
LANDED_AT: Final[Mapping[Kind, str]] = {"documents": "observed_at", "table": "_landed_at", "stream": "landed_at"}
"""The column of raw that says when the landing was."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def next_batch_end(lake: Lake, source: Source, pins: Mapping[str, Pin], after: int) -> int | None:
    """Return the last arrival of the oldest landing that is not committed; None if all are."""
    raw = pins[f"raw.{source.name}"]
    refuse_other_kind(raw, source)
    if source_cursor(lake, raw).last_sequence <= after:
        return None
    with lake.connect() as con:
        landing = LANDING[source.kind]
        rows = relation(raw, files_reaching(lake, raw, after))
        ends = f"SELECT max(sequence) FROM {rows} AS r WHERE sequence > {after} GROUP BY {landing}"
        row = con.execute(f"{ends} ORDER BY 1 LIMIT 1").fetchone()
    return int(row[0]) if row else None


def landed_at(batch: Batch) -> datetime:
    """Return when the last arrivals of a batch landed, UTC; when it was begun if it has none of its own.

    Whatever goes by time counts from here, so that a batch comes out the same whenever it is made.
    """
    when = f"epoch_us(max({LANDED_AT[batch.source.kind]}))"
    within = "true" if batch.arrived is not None else f"sequence > {batch.after} AND sequence <= {batch.to}"
    query = f"SELECT {when} FROM {batch.raw} AS r WHERE {within}"
    row = batch.con.execute(query).fetchone()
    return batch.now if row is None or row[0] is None else _EPOCH + timedelta(microseconds=row[0])


def refuse_other_kind(raw: Pin, source: Source) -> None:
    """Raise `SourceInvalid` if the name of `source` belongs to a source of another kind in this lake."""
    present = {column.name for column in raw.table.columns}
    own = raw_table(source.name, source.kind).columns
    if missing := [column.name for column in own if column.name not in present]:
        raise SourceInvalid(
            f"{raw.table.identifier} holds another kind of source (it has no {missing[0]}). "
            "Give this source another name."
        )
