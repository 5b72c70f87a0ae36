"""Which snapshots to keep and which files nobody needs any more.

What belongs here: what keeps commits quick and the disk small. What does not: changing what a table says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import fsspec

if TYPE_CHECKING:
    from dagster_project.lake.lake import Lake

NEWEST: Final = 50
"""Snapshots that are kept whatever their age."""
HOURLY: Final = timedelta(days=7)
"""How long before the newest snapshot one per hour is kept; before that, one per day."""
GRACE: Final = timedelta(days=1)
"""How old a file must be before it may be deleted: shells opened earlier still read it, runs still write it."""
_HOUR: Final = 3_600_000
_DAY: Final = 24 * _HOUR


def superfluous(snapshots: Mapping[int, int]) -> set[int]:
    """Return the ids to expire, given each snapshot's instant in milliseconds since 1970.

    The newest 50 stay, before those the last of every hour for 7 days, and before those the last of every day.

    >>> superfluous({1: 0, 2: 1, 3: 2})
    set()
    """
    newest_first = sorted(snapshots, key=lambda id_: (snapshots[id_], id_), reverse=True)
    if len(newest_first) <= NEWEST:
        return set()
    hourly_from = snapshots[newest_first[0]] - HOURLY // timedelta(milliseconds=1)
    kept: set[tuple[int, int]] = set()
    gone: set[int] = set()
    for id_ in newest_first[NEWEST:]:
        width = _HOUR if snapshots[id_] >= hourly_from else _DAY
        slot = (width, snapshots[id_] // width)
        if slot in kept:
            gone.add(id_)
        kept.add(slot)
    return gone


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What a clean-up deleted."""

    files: int
    bytes: int


def clean(lake: Lake, *, now: datetime, grace: timedelta = GRACE, dry_run: bool = False) -> Cleaned:
    """Delete files in the lake's tables that no kept snapshot names and that are older than `grace`.

    They come from runs that were killed, from rewritten files whose snapshots have expired, and from old metadata.
    """
    needed = _needed(lake)
    files = size = 0
    for path, info in _stored(lake).items():
        if path in needed or now - info[1] < grace:
            continue
        files, size = files + 1, size + info[0]
        if not dry_run:
            lake.io.delete(path)
    return Cleaned(files, size)


def missing_files(lake: Lake) -> tuple[str, ...]:
    """Return the data files of current snapshots that are not there, or not of the size their manifest says."""
    stored = _stored(lake)
    current = (file for location in lake.catalog.locations().values() for file in lake.data_files(location))
    return tuple(
        file.file_path
        for file in current
        if file.file_path not in stored or stored[file.file_path][0] != file.file_size_in_bytes
    )


def _needed(lake: Lake) -> set[str]:
    needed: set[str] = set()
    for location in lake.catalog.locations().values():
        metadata = lake.metadata(location)
        needed |= {location, *(entry.metadata_file for entry in metadata.metadata_log)}
        for snapshot in metadata.snapshots:
            needed.add(snapshot.manifest_list)
            for manifest in snapshot.manifests(lake.io):
                needed.add(manifest.manifest_path)
                entries = manifest.fetch_manifest_entry(lake.io, discard_deleted=True)
                needed |= {entry.data_file.file_path for entry in entries}
    return needed


def _stored(lake: Lake) -> dict[str, tuple[int, datetime]]:
    """Return size and modification time of every file below the tables' folders."""
    scheme = lake.settings.lake.split("://", 1)[0] if lake.settings.is_remote else "file"
    filesystem = fsspec.filesystem(scheme)
    prefix = f"{scheme}://" if lake.settings.is_remote else ""
    tables = {location.rsplit("/metadata/", 1)[0] for location in lake.catalog.locations().values()}
    return {
        f"{prefix}{path}": (int(info["size"] or 0), filesystem.modified(path))
        for table in tables
        if filesystem.exists(table)
        for path, info in filesystem.find(table, detail=True).items()
    }
