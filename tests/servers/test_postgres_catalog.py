"""The catalog in PostgreSQL: a commit over many tables is one, and writers on it lose nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from sqlalchemy import create_engine, text

from dagster_project.contracts import NOTES, TAGS, TASKS, Table
from dagster_project.doctor import examine
from dagster_project.errors import CommitConflict, LakeMoved
from dagster_project.failpoints import arm
from dagster_project.lake.commit import Change, commit
from dagster_project.lake.lake import Lake
from dagster_project.lake.read import relation
from dagster_project.lake.relocate import relocate
from dagster_project.lake.staging import Stager
from dagster_project.pipeline import run
from dagster_project.settings import Settings, settings
from dagster_project.sources import Source

from .conftest import Rows, opened

pytestmark = [pytest.mark.servers, pytest.mark.timeout(400)]  # the first test of a session also starts the servers

THREE = (NOTES, TAGS, TASKS)
WRITES = 8


@pytest.fixture
def lake(catalog: str, tmp_path: Path) -> Lake:
    return opened(settings(str(tmp_path / "lake")))


def change(lake: Lake, table: Table, note_id: str) -> Change:
    pin = lake.pins([table.identifier])[table.identifier]
    row = {"note_id": note_id, "source": "vault"}
    with Stager(lake, table, "vault") as stager:
        stager.write(pa.Table.from_pylist([row], schema=table.schema))
        return Change(pin, stager.close())


def ids_in(lake: Lake, table: Table) -> list[str]:
    with lake.connect() as con:
        pin = lake.pins([table.identifier])[table.identifier]
        return [row[0] for row in con.execute(f"SELECT note_id FROM {relation(pin)} AS t ORDER BY 1").fetchall()]


def test_the_catalog_is_the_server_and_no_file_is_made(lake: Lake, catalog: str) -> None:
    assert lake.catalog.engine.dialect.name == "postgresql"
    assert not (Path(lake.settings.lake) / "catalog.db").exists()
    with create_engine(catalog).connect() as connection:
        rows = connection.execute(text("SELECT count(*) FROM iceberg_tables")).scalar_one()
    assert rows == len(lake.catalog.locations()) > 0


@pytest.mark.parametrize("point", ["commit.written", "commit.swapping"])
def test_nothing_of_a_commit_over_three_tables_is_visible_before_its_end(lake: Lake, point: str) -> None:
    seen: list[list[str]] = []

    def look() -> None:
        other = opened(lake.settings)
        seen.extend(ids_in(other, table) for table in THREE)

    with arm(point, look):
        commit(lake, [change(lake, table, "a") for table in THREE], summary={})
    assert seen == [[], [], []]
    assert [ids_in(lake, table) for table in THREE] == [["a"], ["a"], ["a"]]


def test_a_conflict_on_the_third_table_rolls_back_all(lake: Lake) -> None:
    planned = [change(lake, table, "late") for table in THREE]
    commit(opened(lake.settings), [change(lake, TASKS, "first")], summary={})
    with pytest.raises(CommitConflict, match=r"notes\.tasks"):
        commit(lake, planned, summary={})
    assert [ids_in(lake, table) for table in THREE] == [[], [], ["first"]]


def test_a_commit_that_dies_inside_the_swap_leaves_nothing(lake: Lake) -> None:
    def die() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), arm("commit.swapping", die):
        commit(lake, [change(lake, table, "a") for table in THREE], summary={})
    assert [ids_in(opened(lake.settings), table) for table in THREE] == [[], [], []]


WRITER = """
import sys
from datetime import UTC, datetime
from uuid import uuid4
import pyarrow as pa
from dagster_project.contracts import NOTES, TAGS, TASKS
from dagster_project.errors import CommitConflict
from dagster_project.lake.commit import Change, commit
from dagster_project.lake.lake import open_lake
from dagster_project.lake.staging import Stager
from dagster_project.settings import settings
folder, name, writes = sys.argv[1], sys.argv[2], int(sys.argv[3])
lake = open_lake(settings(folder), clock=lambda: datetime.now(UTC), ids=lambda: uuid4().hex)
conflicts = 0
for number in range(writes):
    staged = {}
    for table in (TASKS, NOTES, TAGS):
        with Stager(lake, table, "vault") as stager:
            rows = [{"note_id": f"{name}{number}", "source": "vault"}]
            stager.write(pa.Table.from_pylist(rows, schema=table.schema))
            staged[table.identifier] = stager.close()
    while True:
        pins = lake.pins(staged)
        try:
            commit(lake, [Change(pins[key], files) for key, files in staged.items()], summary={})
            break
        except CommitConflict:
            conflicts += 1
print(conflicts)
"""


def test_two_processes_that_write_to_the_same_tables_at_once_lose_nothing(lake: Lake) -> None:
    names = ("a", "b")
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, lake.settings.lake, name, str(WRITES)],
            env=dict(os.environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for name in names
    ]
    told = [writer.communicate(timeout=120) for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0], told
    expected = sorted(f"{name}{number}" for name in names for number in range(WRITES))
    lake.forget()
    assert [ids_in(lake, table) for table in THREE] == [expected] * 3


def test_the_sample_gives_the_same_tables_as_with_sqlite(
    lake: Lake,
    sample: Sequence[Source],
    on_local_disk: Settings,
    rows_of: Callable[..., Rows],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = run(lake, sample)
    assert [report.error for report in done.reports] == [None] * len(sample)
    assert all(report.counts.seen == report.counts.unchanged for report in run(lake, sample).reports)
    with_postgres = rows_of(lake)
    monkeypatch.delenv("PYICEBERG_CATALOG__NOTELAKE__URI")
    other = opened(on_local_disk)
    assert other.catalog.engine.dialect.name == "sqlite"
    assert with_postgres == rows_of(other)
    assert with_postgres["notes.notes"]


def test_the_doctor_names_the_server_and_a_moved_lake_is_relocated(lake: Lake, tmp_path: Path) -> None:
    commit(lake, [change(lake, NOTES, "a")], summary={})
    facts = {finding.name: finding.fact for finding in examine(lake.settings, ())}
    assert facts["catalog"].startswith("PostgreSQL at 127.0.0.1")
    Path(lake.settings.lake).rename(tmp_path / "moved")
    where: Settings = settings(str(tmp_path / "moved"))
    with pytest.raises(LakeMoved):
        opened(where)
    relocate(where, clock=lake.clock, ids=lake.ids)
    assert ids_in(opened(where), NOTES) == ["a"]
