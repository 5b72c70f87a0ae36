"""A lake in Parquet files, as the contracts say they are, without Iceberg around them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dagster_project.contracts import SHARED, Table
from dagster_project.lake.pins import Pin
from dagster_project.views.publish import Publication, publish
from dagster_project.views.sql_files import View, read_macros, read_views

ROOT = Path(__file__).parents[2]
NOON = datetime(2026, 5, 14, 12, tzinfo=UTC)
Rows = Sequence[Mapping[str, Any]]


class Shelf:
    """A folder of Parquet files, and pins on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written = 0

    def write(self, schema: pa.Schema, rows: Rows) -> str:
        """Write one file; a column a row does not have is null."""
        self.written += 1
        path = self.folder / f"{self.written}.parquet"
        columns = [pa.array([row.get(field.name) for row in rows], field.type) for field in schema]
        pq.write_table(pa.table(columns, schema=schema), path)
        return str(path)

    def pin(self, table: Table, *files: Rows) -> Pin:
        """Pin `table` on one file per list of rows."""
        return self.pinned(table, [self.write(table.schema, rows) for rows in files], sum(map(len, files)))

    def pinned(self, table: Table, files: Sequence[str], rows: int = 0) -> Pin:
        snapshot = self.written if files else None
        return Pin(table, f"/meta/{table.identifier}/{self.written}.json", snapshot, tuple(files), rows, 0)

    def shared(self, **rows: Rows) -> list[Pin]:
        """Pin every shared table; `notes=[…]` and the like give the rows of a table by its name."""
        return [self.pin(table, rows[table.name]) if table.name in rows else self.pinned(table, ()) for table in SHARED]


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    folder = tmp_path / "it's [a] lake"
    folder.mkdir()
    return Shelf(folder)


@pytest.fixture(scope="session")
def written_views() -> tuple[View, ...]:
    """The project's own views."""
    return read_views(ROOT / "sql" / "views")


FUNCTIONS = tuple(macro for macro in read_macros(ROOT / "sql" / "macros") if macro.schema == "main")
"""The functions that the project's views are written with."""
Serve = Callable[..., Publication]


@pytest.fixture
def view_file(tmp_path: Path) -> Path:
    return tmp_path / "lake.duckdb"


@pytest.fixture
def serve(tmp_path: Path, view_file: Path) -> Serve:
    """Publish pins and views to `view_file`."""

    def publishing(pins: Sequence[Pin], views: Sequence[View] = (), name: str = "p1", **more: Any) -> Publication:
        scratch = tmp_path / "scratch"
        own = FUNCTIONS if views and not {macro.schema for macro in more.get("macros", ())} & {"main"} else ()
        more["macros"] = (*own, *more.get("macros", ()))
        return publish(pins, views, view_file, publication_id=name, published_at=NOON, scratch=scratch, **more)

    return publishing
