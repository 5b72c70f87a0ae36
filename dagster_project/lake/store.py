"""Where the lake's files lie: what worker processes need of a lake, without the catalog and all it imports.

What belongs here: names and file systems of data files. What does not: what is in the lake (`lake`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.fs as pafs
from pyiceberg.io import FileIO

from dagster_project.contracts import Ids, Table
from dagster_project.settings import Settings

__all__ = ["FileIO", "Store"]


@dataclass(slots=True)
class Store:
    """Where the lake's files lie: all it takes to read and write them, and no catalog. It may go to other processes."""

    settings: Settings
    ids: Ids
    io: FileIO

    def location(self, table: Table) -> str:
        """Return the folder or prefix of a table: `<lake>/<namespace>/<table>`."""
        return f"{self.settings.lake}/{table.namespace}/{table.name}"

    def new_file(self, table: Table, source: str) -> str:
        """Return the path of a data file that does not exist yet; on local disk its folder does."""
        folder = f"{self.location(table)}/data"
        if table.partition:
            folder = f"{folder}/{source}"
        if not self.settings.is_remote:
            Path(folder).mkdir(parents=True, exist_ok=True)
        return f"{folder}/{self.ids()}.parquet"

    def arrow_filesystem(self) -> pafs.FileSystem | None:
        """Return the file system that Parquet files are written to; None is the local one."""
        return pafs.PyFileSystem(pafs.FSSpecHandler(self._remote())) if self.settings.is_remote else None

    def _remote(self) -> Any:
        return fsspec.filesystem(self.settings.lake.split("://", 1)[0])
