"""A raw table in memory, and files to land in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from dagster_project.contracts import Column, raw_table
from dagster_project.landing.tables import KnownFile, Landing, Retyped, Scan, arrivals, look
from dagster_project.sources import TableSource

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
OURS = set(raw_table("any", "table").schema.names)


@dataclass
class Raw:
    """A raw table in memory."""

    source: TableSource
    columns: tuple[Column, ...] | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    retyped: int = 0
    landings: int = 0

    def land(self) -> Scan:
        """Look and land once; the rows are added to `rows`."""
        scan = look(self.source, self.known())
        con = duckdb.connect()
        con.register("given", self.table())
        con.execute("CREATE TABLE landed AS FROM given")
        landing = arrivals(
            con,
            self.source,
            scan,
            columns=self.columns,
            first_sequence=len(self.rows) + 1,
            landed_at=NOW + timedelta(days=self.landings),
            raw="landed" if self.columns else None,
        )
        self.landings += 1
        rows, landing = self._drain(landing)
        self.columns = landing.columns
        self.rows = [dict.fromkeys(landing.table.schema.names) | row for row in self.rows] + rows
        return scan

    def known(self) -> dict[str, KnownFile]:
        """What raw knows of each file, as the pipeline works it out."""
        markers = [row for row in self.rows if row["_op"] in ("file", "same", "gone") and row["_row_hash"] is None]
        latest = {row["_file"]: row for row in markers}
        return {
            path: KnownFile(
                row["_file_sha256"],
                row["_row"],
                row["sequence"],
                row["_error"],
                row["_payload"] if row["_op"] == "same" else None,
            )
            for path, row in latest.items()
            if row["_op"] != "gone"
        }

    def table(self) -> pa.Table:
        """All arrivals, in the raw table's schema."""
        return pa.Table.from_pylist(self.rows, schema=raw_table(self.source.name, "table", self.columns or ()).schema)

    def of(self, op: str) -> list[dict[str, Any]]:
        """The arrivals of one sort."""
        return [row for row in self.rows if row["_op"] == op]

    def values(self) -> list[dict[str, Any]]:
        """The user columns of the rows that were read."""
        return [{name: value for name, value in row.items() if name not in OURS} for row in self.of("put")]

    def _drain(self, landing: Landing) -> tuple[list[dict[str, Any]], Landing]:
        while True:
            try:
                batches = list(landing.batches())
            except Retyped as change:
                landing = change.landing
                self.retyped += 1
                continue
            assert all(batch.schema.equals(landing.table.schema, check_metadata=True) for batch in batches)
            return [row for batch in batches for row in batch.to_pylist()], landing


def of_files(folder: Path, **files: str | bytes) -> Raw:
    """Write files (`a_csv="…"` makes a.csv) into `folder` and return a raw table of it, not yet landed."""
    write(folder, **files)
    return Raw(TableSource(name="trial", path=str(folder)))


def write(folder: Path, **files: str | bytes) -> None:
    """Write files, `a_csv="…"` as a.csv."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        stem, _, suffix = name.rpartition("_")
        data = content.encode() if isinstance(content, str) else content
        (folder / f"{stem}.{suffix}").write_bytes(data)


@pytest.fixture(name="of_files")
def files_in_a_folder() -> Callable[..., Raw]:
    """Writes files into a folder and returns a raw table of it, not yet landed."""
    return of_files


@pytest.fixture(name="write")
def writer() -> Callable[..., None]:
    """Writes files, `a_csv="…"` as a.csv."""
    return write


@pytest.fixture
def raw_of() -> Callable[[TableSource], Raw]:
    """Returns the raw table of a source, nothing landed yet."""
    return Raw
