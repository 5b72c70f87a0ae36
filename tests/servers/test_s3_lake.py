"""A lake on S3 with its catalog in PostgreSQL, and sources on S3: the same tables as on local disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs
from click.testing import CliRunner, Result

from dagster_project.cli import main
from dagster_project.contracts import EVENTS, NOTES
from dagster_project.doctor import examine
from dagster_project.errors import LakeMoved, LakeUnsupported
from dagster_project.lake.commit import Change, commit
from dagster_project.lake.lake import Lake
from dagster_project.lake.relocate import relocate
from dagster_project.lake.staging import Stager
from dagster_project.lake.upkeep import clean
from dagster_project.pipeline import run
from dagster_project.settings import Settings, settings
from dagster_project.sources import Source

from .conftest import NOON, Postgres, Rows, aws_variables, make_bucket, opened
from .daemons import KEY, REGION, SECRET, SERVERS

pytestmark = [pytest.mark.servers, pytest.mark.timeout(400)]  # the first test of a session also starts the servers

_HTTPFS = SERVERS / "httpfs" / "duckdb_extension_httpfs" / "extensions"
"""Where the package duckdb-extension-httpfs keeps the extension, by DuckDB's version."""


@dataclass(frozen=True, slots=True)
class Filled:
    """The sample in a lake on S3, and the variables that lead to it."""

    settings: Settings
    environment: dict[str, str]


@pytest.fixture(scope="module")
def filled(
    postgres: Postgres, s3_endpoint: str, sample: Sequence[Source], tmp_path_factory: pytest.TempPathFactory
) -> Filled:
    environment = {
        **aws_variables(s3_endpoint),
        "PYICEBERG_CATALOG__NOTELAKE__URI": postgres.database(),
        "NOTELAKE_VIEW_FILE": str(tmp_path_factory.mktemp("served") / "lake.duckdb"),
    }
    with pytest.MonkeyPatch.context() as patch:
        _set(patch, environment)
        where = settings(f"{make_bucket()}/some/lake")
        _run(opened(where), sample)
    return Filled(where, environment)


@pytest.fixture
def on_s3(filled: Filled, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The sample in a lake on S3, to be read only: the tests of this file share it."""
    _set(monkeypatch, filled.environment)
    return filled.settings


def _set(patch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name, value in environment.items():
        patch.setenv(name, value)


def _run(lake: Lake, sources: Sequence[Source]) -> None:
    assert [report.error for report in run(lake, sources).reports] == [None] * len(sources)


def objects(where: Settings) -> dict[str, str]:
    store = s3fs.S3FileSystem()
    store.invalidate_cache()
    return {path: str(info["ETag"]) for path, info in store.find(where.lake, detail=True).items()}


def put(lake: Lake, note_id: str) -> None:
    with Stager(lake, NOTES, "vault") as stager:
        stager.write(pa.Table.from_pylist([{"note_id": note_id, "source": "vault"}], schema=NOTES.schema))
        commit(lake, [Change(lake.pins()["notes.notes"], stager.close())], summary={})


def counts(con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Return the rows of every view of an attached `lake`, but for its history of queries: each has its own."""
    views = con.execute(
        "SELECT schema_name || '.' || view_name FROM duckdb_views() WHERE database_name = 'lake' AND NOT internal"
    ).fetchall()
    names = sorted(name for (name,) in views if name != "ops.queries")
    return {name: con.execute(f"SELECT count(*) FROM lake.{name}").fetchall()[0][0] for name in names}


def counts_of(where: Settings, prepare: Callable[[duckdb.DuckDBPyConnection], Any] = lambda _: None) -> dict[str, int]:
    with duckdb.connect() as con:
        prepare(con)
        con.execute(f"ATTACH '{where.view_file}' AS lake (READ_ONLY)")
        con.execute("USE lake")
        return counts(con)


def test_the_sample_gives_the_same_tables_on_s3_as_on_local_disk(
    on_s3: Settings, on_local_disk: Settings, rows_of: Callable[..., Rows], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = rows_of(opened(on_s3))
    monkeypatch.delenv("PYICEBERG_CATALOG__NOTELAKE__URI")
    assert there == rows_of(opened(on_local_disk))
    assert there["notes.notes"]
    assert there["notes.events"]


def test_all_of_the_lake_lies_below_its_prefix_and_nothing_of_it_here(on_s3: Settings) -> None:
    stored = objects(on_s3)
    lake = opened(on_s3)
    named = {path.removeprefix("s3://") for pin in lake.pins().values() for path in (*pin.files, pin.metadata_location)}
    assert named <= stored.keys()
    assert not list(on_s3.view_file.parent.rglob("*.parquet"))
    assert not list(on_s3.view_file.parent.rglob("*.avro"))


def test_a_run_over_unchanged_sources_writes_no_object(on_s3: Settings, sample: Sequence[Source]) -> None:
    lake = opened(on_s3)
    before = objects(on_s3), lake.catalog.locations(), on_s3.view_file.stat().st_mtime_ns
    done = run(lake, sample)
    assert all(report.counts.seen == report.counts.unchanged > 0 for report in done.reports)
    assert (objects(on_s3), lake.catalog.locations(), on_s3.view_file.stat().st_mtime_ns) == before


def test_the_views_are_read_from_python_with_s3fs(on_s3: Settings, on_local_disk: Settings) -> None:
    with_s3fs = counts_of(on_s3, lambda con: con.register_filesystem(s3fs.S3FileSystem()))
    assert with_s3fs == counts_of(on_local_disk)
    assert with_s3fs["notes.notes"] > 0


def test_a_query_in_a_store_costs_what_it_costs_on_local_disk_and_its_rows_are_unloaded_there(
    on_s3: Settings, on_local_disk: Settings, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(where: Settings, *words: str) -> Result:
        monkeypatch.setenv("NOTELAKE_VIEW_FILE", str(where.view_file))
        return CliRunner().invoke(main, ["sql", "--lake", where.lake, *words], catch_exceptions=False)

    query = "SELECT source, count(title) AS n FROM notes.notes GROUP BY 1 ORDER BY 1"
    ours, theirs = (ask(where, query, "--max-scan", "1GB") for where in (on_s3, on_local_disk))
    assert (ours.exit_code, ours.stdout) == (0, theirs.stdout), ours.stderr
    scanned = [done.stderr.rpartition(", ")[2] for done in (ours, theirs)]
    assert scanned[0] == scanned[1] and scanned[0].endswith("B scanned\n")
    refused = ask(on_s3, query, "--max-scan", "10B")
    assert refused.exit_code == 2 and "Nothing was run" in refused.stderr

    options = "WITH (format = 'PARQUET', partitioned_by = ARRAY['source'])"
    to = f"TO '{bucket}/away/' {options}"
    done = ask(on_s3, "--dialect", "athena", f"UNLOAD (SELECT title, source FROM notes.notes) {to}")
    assert done.exit_code == 0, done.stderr
    files = s3fs.S3FileSystem().glob(f"{bucket}/away/source=*/*")
    assert sum(pq.read_metadata(s3fs.S3FileSystem().open(file)).num_rows for file in files) > 0
    again = ask(on_s3, "--dialect", "athena", f"UNLOAD (SELECT 1 AS a) TO '{bucket}/away' WITH (format = 'JSON')")
    assert again.exit_code == 2 and "is not empty" in again.stderr


def test_the_views_are_read_by_plain_duckdb_with_httpfs(
    on_s3: Settings, on_local_disk: Settings, s3_endpoint: str
) -> None:
    extension = _HTTPFS / f"v{duckdb.__version__}" / "httpfs.duckdb_extension"
    if not extension.is_file():
        pytest.skip(f"there is no httpfs for DuckDB {duckdb.__version__}: run tests/servers/install.sh")

    def prepare(con: duckdb.DuckDBPyConnection) -> None:
        con.execute(f"LOAD '{extension}'")
        con.execute(
            f"CREATE SECRET (TYPE s3, KEY_ID '{KEY}', SECRET '{SECRET}', REGION '{REGION}', URL_STYLE 'path', "
            f"USE_SSL false, ENDPOINT '{s3_endpoint.removeprefix('http://')}')"
        )

    assert counts_of(on_s3, prepare) == counts_of(on_local_disk)


def test_pyiceberg_alone_reads_the_tables_as_any_other_engine_would(on_s3: Settings) -> None:
    lake = opened(on_s3)
    for table in (NOTES, EVENTS):
        scanned = lake.catalog.load_table(table.identifier).scan().to_arrow()
        assert scanned.num_rows == lake.pins()[table.identifier].rows > 0


def test_the_doctor_finds_a_lake_on_s3_in_order(on_s3: Settings, sample: Sequence[Source]) -> None:
    found = {finding.name: finding for finding in examine(on_s3, sample) if finding.name != "free disk"}
    assert {name: finding.fact for name, finding in found.items() if finding.state != "ok"} == {}
    assert found["catalog"].fact.startswith("PostgreSQL at")


def test_clearing_away_takes_no_object_that_is_needed(on_s3: Settings, rows_of: Callable[..., Rows]) -> None:
    lake = opened(on_s3)
    before = rows_of(lake)
    clean(lake, now=NOON + timedelta(days=9000))
    assert rows_of(opened(on_s3)) == before


def test_an_orphan_and_a_lost_object_are_told(s3_lake: Settings) -> None:
    lake = opened(s3_lake)
    put(lake, "a")
    store = s3fs.S3FileSystem()
    data = lake.pins()["notes.notes"].files[0]
    store.copy(data, f"{s3_lake.lake}/notes/notes/data/vault/orphan.parquet")
    assert clean(lake, now=NOON + timedelta(days=9000), dry_run=True).files == 1
    store.rm(data)
    found = {finding.name: finding for finding in examine(s3_lake, ())}
    assert found["data files"].state == "fail"
    assert data in found["data files"].fact


def test_a_lake_that_was_copied_to_another_prefix_is_noticed_and_relocated(s3_lake: Settings, bucket: str) -> None:
    lake = opened(s3_lake)
    for note_id in ("a", "b"):
        put(lake, note_id)
    store = s3fs.S3FileSystem()
    elsewhere = settings(f"{bucket}/elsewhere")
    store.copy(s3_lake.lake, elsewhere.lake, recursive=True)
    with pytest.raises(LakeMoved):
        opened(elsewhere)
    assert relocate(elsewhere, clock=lake.clock, ids=lake.ids).snapshots == 2
    store.rm(s3_lake.lake, recursive=True)
    table = opened(elsewhere).catalog.load_table("notes.notes")
    rows = [table.scan(snapshot_id=snapshot.snapshot_id).to_arrow().num_rows for snapshot in table.snapshots()]
    assert rows == [1, 2]


def test_sources_on_s3_land_as_they_do_from_local_disk(
    bucket: str, sample: Sequence[Source], on_local_disk: Settings, rows_of: Callable[..., Rows], tmp_path: Path
) -> None:
    """Only the store's own time of modification differs, and what is told of it."""
    store = s3fs.S3FileSystem()
    moved = []
    for source in sample:
        to = f"{bucket}/{source.name}/{Path(source.path).name}"
        store.put(source.path, to, recursive=Path(source.path).is_dir())
        moved.append(source.model_copy(update={"path": to}))
    lake = opened(settings(str(tmp_path / "lake")))
    _run(lake, moved)
    again = run(lake, moved)
    assert all(report.counts.seen == report.counts.unchanged > 0 for report in again.reports)
    without = {"modified_at", "created_at"}
    assert rows_of(lake, without) == rows_of(opened(on_local_disk), without)


def test_a_lake_on_s3_without_a_catalog_of_its_own_is_refused(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTELAKE_VIEW_FILE", str(tmp_path / "lake.duckdb"))
    with pytest.raises(LakeUnsupported, match="no catalog is named"):
        opened(settings(f"{bucket}/lake"))
