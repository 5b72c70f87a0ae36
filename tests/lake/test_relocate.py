"""A lake folder that was moved or copied: noticed, mended, and with all of its history."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from dagster_project.contracts import AUDITS, EVENTS, INT, NOTES, TEXT, Column, Table
from dagster_project.errors import CommitConflict, LakeMoved, LakeUnsupported
from dagster_project.failpoints import arm
from dagster_project.lake.commit import Change, commit
from dagster_project.lake.lake import Lake, open_lake
from dagster_project.lake.pins import Pin
from dagster_project.lake.read import relation
from dagster_project.lake.relocate import Relocated, relocate
from dagster_project.lake.staging import Stager
from dagster_project.lake.upkeep import clean
from dagster_project.settings import Settings

NOON = datetime(2026, 5, 14, 12, tzinfo=UTC)
ORDERS = Table(
    "raw", "orders", "an arrival", (Column(1, "sequence", INT, ""), Column(2, "old", TEXT, "")), ("sequence",)
)
Rows = dict[str, list[tuple[Any, ...]]]


def at(folder: Path) -> Settings:
    return Settings(str(folder), folder / "lake.duckdb", folder / ".scratch")


def counting(prefix: str) -> Callable[[], str]:
    numbers = itertools.count()
    return lambda: f"{prefix}{next(numbers):06d}"


def opened(folder: Path, prefix: str = "a") -> Lake:
    return open_lake(at(folder), clock=lambda: NOON, ids=counting(prefix))


def moved_to(folder: Path, prefix: str = "r") -> Relocated:
    return relocate(at(folder), clock=lambda: NOON, ids=counting(prefix))


def put(lake: Lake, table: Table, rows: list[dict[str, Any]], *, instead_of: str = "", cursor: str = "") -> None:
    """Commit rows in a file of their own; `instead_of` names the source whose files make way."""
    pin = lake.pins([table.identifier])[table.identifier]
    source = rows[0].get("source", "orders")
    with Stager(lake, table, source) as stager:
        stager.write(pa.Table.from_pylist(rows, schema=table.schema))
        added = stager.close()
    removed = frozenset(file.file_path for file in lake.source_files(pin, instead_of)) if instead_of else frozenset()
    change = Change(replace(pin, table=table), added, removed, {"notelake.cursor.vault": cursor} if cursor else {})
    commit(lake, [change], summary={"notelake.source": source})


def note(source: str, path: str, title: str) -> dict[str, Any]:
    return {"note_id": f"{source}/{path}", "source": source, "path": path, "title": title, "tags": ["a", "b"]}


def fill(folder: Path) -> Lake:
    """Make a lake that has seen it all: partitions, days, replaced files, merged manifests, a new column."""
    lake = opened(folder)
    for number in range(14):
        put(lake, NOTES, [note("vault", f"{number}.md", f"note {number}")], cursor=str(number))
    put(lake, NOTES, [note("vault", "all.md", "all in one")], instead_of="vault", cursor="14")
    put(lake, NOTES, [note("talks", "1", "a talk")])
    days = [NOON, NOON + timedelta(days=1), NOON - timedelta(days=40_000)]
    put(lake, EVENTS, [{"event_id": str(day), "source": "live", "occurred_at": day} for day in days])
    lake.ensure([ORDERS])
    put(lake, ORDERS, [{"sequence": 1, "old": "x"}])
    grown = replace(ORDERS, columns=(*ORDERS.columns, Column(3, "new", TEXT, "")))
    put(lake, grown, [{"sequence": 2, "old": "y", "new": "z"}])
    return lake


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("was here") / "lake"
    fill(folder)
    return folder


@pytest.fixture
def copied(original: Path, tmp_path: Path) -> Path:
    """A copy of the lake under a name that needs care in SQL and in addresses; never the lake itself."""
    folder = tmp_path / "it's [now] 100% h%20ere"
    shutil.copytree(original, folder)
    return folder


def rows_of(lake: Lake, pins: dict[str, Pin] | None = None) -> Rows:
    """Return all rows of all tables, as DuckDB reads them."""
    with lake.connect() as con:
        return {
            name: sorted(con.execute(f"SELECT * FROM {relation(pin)} AS t").fetchall(), key=repr)
            for name, pin in (pins or lake.pins()).items()
        }


def history(lake: Lake) -> dict[str, list[tuple[int, int | None, list[dict[str, Any]]]]]:
    """Return every kept snapshot of every table with its sequence number and its rows, as pyiceberg reads them."""
    seen = {}
    for name in lake.catalog.locations():
        table = lake.catalog.load_table(name)
        seen[name] = [
            (
                snapshot.snapshot_id,
                snapshot.sequence_number,
                table.scan(snapshot_id=snapshot.snapshot_id).to_arrow().to_pylist(),
            )
            for snapshot in table.snapshots()
        ]
    return seen


def about_files(lake: Lake) -> list[tuple[Any, ...]]:
    """Return what manifests say of current files, paths aside."""
    return [
        (name, file.record_count, file.file_size_in_bytes, file.partition, file.lower_bounds, file.upper_bounds,
         file.null_value_counts, file.value_counts, file.column_sizes, file.split_offsets)
        for name, location in sorted(lake.catalog.locations().items())
        for file in lake.data_files(location)
    ]  # fmt: skip


def paths_named(lake: Lake) -> Iterator[str]:
    """Yield every path that the metadata of any table names."""
    for location in lake.catalog.locations().values():
        metadata = lake.metadata(location)
        yield from (location, metadata.location, *(entry.metadata_file for entry in metadata.metadata_log))
        for snapshot in metadata.snapshots:
            yield snapshot.manifest_list
            for manifest in snapshot.manifests(lake.io):
                yield manifest.manifest_path
                yield from (
                    entry.data_file.file_path for entry in manifest.fetch_manifest_entry(lake.io, discard_deleted=False)
                )


def test_a_lake_that_was_copied_is_noticed_and_not_read(copied: Path) -> None:
    with pytest.raises(LakeMoved, match="notelake relocate"):
        opened(copied)


def test_a_lake_moved_up_into_the_folder_around_it_is_noticed(original: Path, tmp_path: Path) -> None:
    inner = tmp_path / "outer" / "lake"
    put(opened(inner), NOTES, [note("vault", "a.md", "a")])
    for entry in list(inner.iterdir()):
        shutil.move(entry, inner.parent / entry.name)
    with pytest.raises(LakeMoved):
        opened(inner.parent)
    moved_to(inner.parent)
    assert len(rows_of(opened(inner.parent))["notes.notes"]) == 1


def test_a_relocated_lake_gives_the_same_rows_to_duckdb_and_to_pyiceberg_at_every_snapshot(
    original: Path, copied: Path
) -> None:
    before = opened(original)
    expected = rows_of(before), history(before), about_files(before)
    moved_to(copied)
    shutil.move(original, original.with_name("away"))  # nothing may be read there in secret
    try:
        after = opened(copied, "b")
        assert (rows_of(after), history(after), about_files(after)) == expected
    finally:
        shutil.move(original.with_name("away"), original)
    assert len(expected[1]["notes.notes"]) == 16


def test_nothing_names_the_old_place_any_more_and_all_that_is_named_is_there(original: Path, copied: Path) -> None:
    moved_to(copied)
    named = set(paths_named(opened(copied, "b")))
    assert named
    assert [path for path in named if not path.startswith(f"{copied}/")] == []
    assert [path for path in named if not Path(path).exists()] == []


def test_properties_cursors_schemas_and_snapshot_summaries_stay(original: Path, copied: Path) -> None:
    moved_to(copied)
    before, after = opened(original), opened(copied, "b")
    for name, location in before.catalog.locations().items():
        old, new = before.metadata(location), after.metadata(after.catalog.locations()[name])
        for attribute in ("properties", "schemas", "table_uuid", "current_snapshot_id", "last_sequence_number", "refs",
                          "snapshot_log", "partition_specs", "sort_orders", "last_updated_ms"):  # fmt: skip
            assert getattr(new, attribute) == getattr(old, attribute), (name, attribute)
        assert [s.summary for s in new.snapshots] == [s.summary for s in old.snapshots]
    notes = after.pins()["notes.notes"]
    assert after.properties(notes)["notelake.cursor.vault"] == "14"


def test_the_account_says_what_was_done_and_a_second_time_does_nothing(original: Path, copied: Path) -> None:
    files_before = {path for path in copied.rglob("*") if path.is_file()}
    done = moved_to(copied)
    written = {path for path in copied.rglob("*") if path.is_file()} - files_before
    assert done.moved_from == str(original)
    assert done.tables == len(opened(copied, "b").catalog.locations())
    assert done.snapshots == 19
    assert done.data_files == len(list(copied.glob("*/*/data/**/*.parquet")))
    assert (done.files, done.bytes) == (len(written), sum(path.stat().st_size for path in written))
    assert moved_to(copied, "again") == Relocated()
    assert {path for path in copied.rglob("*") if path.is_file()} == files_before | written


def test_a_relocated_lake_is_written_to_and_moved_again(copied: Path) -> None:
    moved_to(copied)
    put(opened(copied, "b"), NOTES, [note("talks", "2", "another")], cursor="15")
    elsewhere = copied.with_name("third")
    shutil.move(copied, elsewhere)
    moved_to(elsewhere, "s")
    lake = opened(elsewhere, "c")
    put(lake, NOTES, [note("talks", "3", "a third")])
    assert len(rows_of(lake)["notes.notes"]) == 4
    assert lake.catalog.locations()["notes.notes"].rsplit("/", 1)[1].startswith("00019-")


def test_the_old_metadata_is_rubbish_and_the_new_is_not(copied: Path) -> None:
    moved_to(copied)
    lake = opened(copied, "b")
    expected = rows_of(lake), history(lake)
    cleaned = clean(lake, now=datetime.now(UTC) + timedelta(days=9))
    assert cleaned.files > 16
    lake.forget()
    assert (rows_of(lake), history(lake)) == expected


@pytest.mark.parametrize("harm", ["gone", "cut"])
def test_a_copy_that_lacks_a_data_file_is_refused_by_name_and_left_as_it_was(copied: Path, harm: str) -> None:
    victim = next(copied.glob("notes/events/data/**/*.parquet"))
    if harm == "gone":
        victim.unlink()
    else:
        victim.write_bytes(victim.read_bytes()[:-1])
    before = {path for path in copied.rglob("*") if path.is_file()}
    with pytest.raises(LakeMoved, match=f"1 files .*{victim.name}"):
        moved_to(copied)
    assert {path for path in copied.rglob("*") if path.is_file()} == before
    with pytest.raises(LakeMoved, match="relocate"):
        opened(copied)


@pytest.mark.parametrize("lost", ["*.metadata.json", "*-m0.avro", "snap-*.avro"])
def test_a_copy_that_lacks_metadata_is_refused(copied: Path, lost: str) -> None:
    for path in copied.glob(f"notes/notes/metadata/{lost}"):
        path.unlink()
    with pytest.raises(LakeMoved, match="Nothing was changed"):
        moved_to(copied)


def test_a_file_that_left_every_kept_snapshot_may_be_gone(original: Path, tmp_path: Path) -> None:
    folder = tmp_path / "lake"
    lake = opened(folder)
    put(lake, AUDITS, [{"batch_id": "1", "source": "vault"}])
    first = lake.pins()["ops.audits"].files[0]
    put(lake, AUDITS, [{"batch_id": "2", "source": "vault"}], instead_of="vault")
    with lake.catalog.load_table("ops.audits").maintenance.expire_snapshots() as expiry:
        expiry.by_id(lake.catalog.load_table("ops.audits").snapshots()[0].snapshot_id)
    Path(first).unlink()
    shutil.move(folder, tmp_path / "new")
    moved_to(tmp_path / "new")
    assert len(rows_of(opened(tmp_path / "new", "b"))["ops.audits"]) == 1


def test_where_there_is_no_lake_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(LakeUnsupported, match="no folder"):
        moved_to(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
    with pytest.raises(LakeUnsupported, match="knows no tables"):
        moved_to(tmp_path)


def test_two_relocations_at_once_are_one(copied: Path) -> None:
    def other() -> None:
        moved_to(copied, "other")

    with pytest.raises(CommitConflict), arm("commit.written", once(other)):
        moved_to(copied)
    lake = opened(copied, "b")
    assert len(rows_of(lake)["notes.notes"]) == 2
    assert len(history(lake)["notes.notes"]) == 16


def once(action: Callable[[], None]) -> Callable[[], None]:
    calls = itertools.count()
    return lambda: action() if next(calls) == 0 else None


DYING = """
import itertools, os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from dagster_project.lake.relocate import relocate
from dagster_project.settings import Settings
folder, limit = Path(sys.argv[1]), int(sys.argv[2])
numbers = itertools.count(1)
def ids():
    number = next(numbers)
    if number == limit:
        os.kill(os.getpid(), signal.SIGKILL)
    return f"k{number}"
relocate(Settings(str(folder), folder / "lake.duckdb", folder / ".scratch"), clock=lambda: datetime.now(UTC), ids=ids)
"""


@pytest.mark.parametrize(
    ("files", "failpoint", "is_done"),
    [
        (1, "", False),
        pytest.param(30, "", False, marks=pytest.mark.long),
        pytest.param(0, "commit.written", False, marks=pytest.mark.long),
        (0, "commit.swapping", False),
        (0, "commit.committed", True),
    ],
)
def test_a_kill_leaves_the_lake_to_be_relocated_again_or_done(
    original: Path, copied: Path, files: int, failpoint: str, is_done: bool
) -> None:
    environment = {**os.environ, "NOTELAKE_FAILPOINT": failpoint}
    died = subprocess.run(
        [sys.executable, "-c", DYING, str(copied), str(files)], env=environment, capture_output=True, check=False
    )
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()
    if not is_done:
        with pytest.raises(LakeMoved):
            opened(copied)
    assert (moved_to(copied) == Relocated()) == is_done
    before, after = opened(original), opened(copied, "b")
    assert (rows_of(after), history(after)) == (rows_of(before), history(before))


def test_delete_files_of_another_engine_are_refused(copied: Path) -> None:
    import fastavro

    newest = max(copied.glob("ops/../notes/events/metadata/snap-*.avro"))
    with newest.open("rb") as file:
        reader = fastavro.reader(file)
        schema, records = reader.writer_schema, list(reader)
    for record in records:
        record["content"] = 1  # type: ignore[index,call-overload]
    with newest.open("wb") as file:
        fastavro.writer(file, schema, records)
    with pytest.raises(LakeUnsupported, match="delete files"):
        moved_to(copied)


def test_the_duckdb_of_a_stranger_reads_the_relocated_files(copied: Path) -> None:
    moved_to(copied)
    pin = opened(copied, "b").pins()["raw.orders"]
    with duckdb.connect() as con:
        rows = con.execute(f"SELECT sequence, old, new FROM {relation(pin)} AS t ORDER BY sequence").fetchall()
    assert rows == [(1, "x", None), (2, "y", "z")]
