"""What a table was: its kept snapshots, and the files that held one source's rows at one of them.

What belongs here: reading kept history. What does not: deciding how much of it is kept (`upkeep`), and going back to
it (`steps.rewind`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from pyiceberg.manifest import DataFile

from dagster_project.lake.lake import Lake
from dagster_project.lake.pins import Pin
from dagster_project.lake.staging import StagedFile

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Kept:
    """A snapshot that is kept. `at` is when it was written (UTC, milliseconds)."""

    snapshot_id: int
    parent_id: int | None
    at: datetime
    summary: Mapping[str, str]


def unbroken(lake: Lake, pin: Pin) -> tuple[Kept, ...]:
    """Return the kept snapshots back from that of `pin`, oldest first, as far as none between them has expired."""
    kept = {snapshot.snapshot_id: snapshot for snapshot in lake.metadata(pin.metadata_location).snapshots}
    found = []
    at = pin.snapshot_id
    while at is not None and (snapshot := kept.get(at)) is not None:
        summary = snapshot.summary.additional_properties if snapshot.summary else {}
        written = _EPOCH + timedelta(milliseconds=snapshot.timestamp_ms)
        found.append(Kept(at, snapshot.parent_snapshot_id, written, summary))
        at = snapshot.parent_snapshot_id
    return tuple(reversed(found))


def files_then(lake: Lake, pin: Pin, snapshot_id: int, source: str) -> tuple[StagedFile, ...]:
    """Return the data files that held the rows of `source` at a kept snapshot of a table that sources share.

    They come in the form in which a commit takes files, so that it can put them back.
    """
    files = lake.files_at(pin.metadata_location, snapshot_id)
    return tuple(_as_staged(pin, file) for file in files if file.partition[0] == source)


def files_now(lake: Lake, pin: Pin, source: str) -> tuple[StagedFile, ...]:
    """Return those that hold them at `pin`."""
    return tuple(_as_staged(pin, file) for file in lake.source_files(pin, source))


def is_there(lake: Lake, file: StagedFile) -> bool:
    """Whether a file has not been deleted."""
    return lake.io.new_input(file.path).exists()


def _as_staged(pin: Pin, file: DataFile) -> StagedFile:
    return StagedFile(pin.table.identifier, file.file_path, file.record_count, file.file_size_in_bytes, file)
