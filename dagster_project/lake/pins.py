"""A pin: a table held at one snapshot, with the files that make it up."""

from __future__ import annotations

from dataclasses import dataclass

from dagster_project.contracts import Table


@dataclass(frozen=True, slots=True)
class Pin:
    """A table as one moment of the catalog shows it. `table` has the columns the Iceberg schema has at that moment."""

    table: Table
    metadata_location: str
    snapshot_id: int | None
    files: tuple[str, ...]
    """Absolute local paths or `s3://` addresses of its data files."""
    rows: int
    bytes: int
