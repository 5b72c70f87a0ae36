"""A table at one of its kept snapshots: the columns it had then, and the files of all its rows.

What belongs here: finding the snapshot by its number, by a branch or tag, or by an instant, as Athena does. What does
not: the SQL that reads it, and going back to it (`past`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, NamedTuple

from pyiceberg.table.metadata import TableMetadata

from dagster_project.contracts import Column
from dagster_project.errors import Unsupported
from dagster_project.lake.lake import Lake
from dagster_project.lake.schema import columns_of


class Then(NamedTuple):
    """What a snapshot of a table shows."""

    columns: tuple[Column, ...]
    files: tuple[str, ...]


def now(lake: Lake, location: str) -> Then:
    """Return what the current snapshot of the metadata at `location` shows."""
    files = lake.data_files(location)
    return Then(columns_of(lake.metadata(location).schema()), tuple(file.file_path for file in files))


def at(lake: Lake, location: str, snapshot_id: int) -> Then:
    """Return what a kept snapshot shows, in the columns the table had then."""
    metadata = lake.metadata(location)
    snapshot = metadata.snapshot_by_id(snapshot_id)
    schemas = {schema.schema_id: schema for schema in metadata.schemas}
    known = schemas.get(snapshot.schema_id) if snapshot and snapshot.schema_id is not None else None
    files = tuple(file.file_path for file in lake.files_at(location, snapshot_id))
    return Then(columns_of(known or metadata.schema()), files)


def snapshot_numbered(lake: Lake, location: str, number: int) -> int:
    """Return the number of a snapshot, if it is kept. Raises `Unsupported`."""
    if lake.metadata(location).snapshot_by_id(number) is None:
        raise Unsupported(f"There is no snapshot {number}, or it is kept no more. {_KEPT}")
    return number


def snapshot_called(lake: Lake, location: str, name: str) -> int:
    """Return the snapshot of a branch or tag. Raises `Unsupported` if there is none of this name."""
    refs = lake.metadata(location).refs
    if name not in refs:
        raise Unsupported(f"There is no branch or tag {name}. There are: {', '.join(refs) or 'none'}.")
    return refs[name].snapshot_id


def snapshot_at(lake: Lake, location: str, milliseconds: int) -> int:
    """Return the snapshot that was current at an instant, in milliseconds since 1970, UTC. Raises `Unsupported`."""
    metadata = lake.metadata(location)
    earlier = [entry for entry in metadata.snapshot_log if entry.timestamp_ms <= milliseconds]
    if not earlier:
        raise Unsupported(f"The table is not known as it was that early: {_oldest(metadata)} {_KEPT}")
    return snapshot_numbered(lake, location, earlier[-1].snapshot_id)


_KEPT: Final = 'Those that are kept stand in "table$snapshots".'


def _oldest(metadata: TableMetadata) -> str:
    if not metadata.snapshot_log:
        return "it had no rows yet."
    first = datetime.fromtimestamp(metadata.snapshot_log[0].timestamp_ms / 1000, UTC)
    return f"what is kept begins at {first:%Y-%m-%d %H:%M:%S.%f} UTC."
