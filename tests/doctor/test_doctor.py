"""The doctor on lakes that are really broken: one finding says so, and the others are still made."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from dagster_project.contracts import NOTES
from dagster_project.doctor import Finding, examine
from dagster_project.lake.commit import Change, commit
from dagster_project.lake.lake import Lake, open_lake
from dagster_project.lake.staging import Stager
from dagster_project.settings import Settings
from dagster_project.sources import DocumentSource, Source, TableSource
from dagster_project.steps.serve import serve

NOON = datetime(2026, 5, 14, 12, tzinfo=UTC)
NUMBERS = itertools.count()


def at(folder: Path) -> Settings:
    return Settings(str(folder), folder / "lake.duckdb", folder / ".scratch")


def opened(folder: Path) -> Lake:
    return open_lake(at(folder), clock=lambda: NOON, ids=lambda: f"id{next(NUMBERS)}")


def put(lake: Lake, note_id: str) -> None:
    with Stager(lake, NOTES, "vault") as stager:
        rows = [{"note_id": note_id, "source": "vault", "path": f"{note_id}.md"}]
        stager.write(pa.Table.from_pylist(rows, schema=NOTES.schema))
        commit(lake, [Change(lake.pins()["notes.notes"], stager.close())], summary={})


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("healthy") / "lake"
    lake = opened(folder)
    put(lake, "a")
    serve(lake)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A healthy lake of the test's own."""
    folder = tmp_path / "lake"
    lake = opened(folder)
    put(lake, "a")
    serve(lake)
    return folder


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in list(os.environ):
        if variable.startswith("PYICEBERG_CATALOG__NOTELAKE__"):
            monkeypatch.delenv(variable)
    monkeypatch.setenv("DAGSTER_DISABLE_TELEMETRY", "1")
    monkeypatch.setenv("GX_ANALYTICS_ENABLED", "false")
    monkeypatch.delenv("DAGSTER_HOME", raising=False)


def findings(folder: Path, sources: Sequence[Source] = ()) -> dict[str, Finding]:
    return {finding.name: finding for finding in examine(at(folder), sources)}


def troubles(folder: Path, sources: Sequence[Source] = ()) -> dict[str, str]:
    """Return state of what is not ok; the machine's disk may be as full as it is."""
    return {name: f.state for name, f in findings(folder, sources).items() if f.state != "ok" and name != "free disk"}


def test_a_healthy_lake_has_no_trouble_and_every_examination_is_told(whole: Path) -> None:
    assert troubles(whole) == {}
    assert list(findings(whole)) == [
        "python", "dagster", "duckdb", "great-expectations", "pyarrow", "pyiceberg",
        "telemetry of dagster", "telemetry of great-expectations", "free disk", "scratch",
        "catalog", "lake", "format", "contracts", "data files", "view file", "history", "orphan files",
    ]  # fmt: skip


def test_looking_changes_nothing(whole: Path) -> None:
    def state() -> dict[str, int]:
        return {str(path): path.stat().st_mtime_ns for path in whole.rglob("*") if path.is_file()}

    before = state()
    examine(at(whole), ())
    assert state() == before


def test_where_there_is_no_lake_the_doctor_says_so_and_makes_none(tmp_path: Path) -> None:
    assert troubles(tmp_path / "none") == {"lake": "warn"}
    assert not (tmp_path / "none").exists()


def test_every_trouble_comes_with_a_way_out(folder: Path) -> None:
    shutil.rmtree(folder / "notes" / "notes" / "data")
    (folder / "lake.duckdb").write_text("no database")
    shutil.rmtree(folder / ".scratch")
    (folder / ".scratch").write_text("in the way")
    bad = [finding for finding in examine(at(folder), ()) if finding.state == "fail"]
    assert len(bad) >= 3
    assert all(finding.way_out for finding in bad)


@pytest.mark.parametrize(
    "harm", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-1])], ids=["gone", "cut"]
)
def test_a_data_file_that_is_gone_or_cut_short_is_named(folder: Path, harm: Callable[[Path], object]) -> None:
    victim = next(folder.glob("notes/notes/data/**/*.parquet"))
    harm(victim)
    assert troubles(folder) == {"data files": "fail"}
    assert victim.name in findings(folder)["data files"].fact


def test_a_moved_lake_is_told_with_its_remedy(folder: Path) -> None:
    shutil.move(folder, folder.with_name("elsewhere"))
    assert troubles(folder.with_name("elsewhere")) == {"lake": "fail"}
    assert "notelake relocate" in findings(folder.with_name("elsewhere"))["lake"].way_out


def test_a_catalog_that_is_no_database_is_told(folder: Path) -> None:
    (folder / "catalog.db").write_bytes(b"this is no database, by a long way" * 99)
    assert troubles(folder) == {"catalog": "fail"}


def test_a_catalog_that_is_gone_is_told_and_not_made_anew(folder: Path) -> None:
    (folder / "catalog.db").unlink()
    assert troubles(folder) == {"catalog": "fail"}
    assert not (folder / "catalog.db").exists()


def test_a_catalog_server_that_does_not_answer_is_told_without_its_password(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("psycopg2")
    monkeypatch.setenv("PYICEBERG_CATALOG__NOTELAKE__URI", "postgresql+psycopg2://me:sesame@127.0.0.1:1/notelake")
    assert troubles(folder) == {"catalog": "fail"}
    assert not any("sesame" in finding.fact for finding in examine(at(folder), ()))


def test_a_catalog_of_a_kind_that_cannot_be_used_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYICEBERG_CATALOG__NOTELAKE__URI", "https://example.invalid/catalog")
    assert troubles(folder) == {"catalog": "fail"}


def test_a_view_file_that_is_gone_is_told(folder: Path) -> None:
    (folder / "lake.duckdb").unlink()
    assert troubles(folder) == {"view file": "fail"}


def test_a_view_file_that_is_corrupt_is_told(folder: Path) -> None:
    (folder / "lake.duckdb").write_bytes(os.urandom(40_000))
    assert troubles(folder) == {"view file": "fail"}


def test_a_view_file_that_is_behind_is_told_by_table(folder: Path) -> None:
    put(opened(folder), "b")
    assert troubles(folder) == {"view file": "warn"}
    assert findings(folder)["view file"].fact.endswith("an older state of notes.notes")


def test_metadata_that_is_broken_is_a_finding_and_not_a_crash(folder: Path) -> None:
    for manifest in folder.glob("notes/notes/metadata/*-m0.avro"):
        manifest.write_bytes(b"no avro")
    assert troubles(folder) == {"lake": "fail"}


def test_metadata_that_is_gone_is_a_finding_and_not_a_crash(folder: Path) -> None:
    for file in folder.glob("ops/ledger/metadata/*"):
        file.unlink()
    found = troubles(folder)
    assert found["tables"] == found["data files"] == found["view file"] == "fail"


def test_a_schema_that_is_not_the_contract_is_told_by_field(folder: Path) -> None:
    with opened(folder).catalog.load_table("notes.tags").update_schema() as update:
        update.rename_column("tag", "label")
    assert troubles(folder)["contracts"] == "fail"
    assert "notes.tags: field 4, tag string, is label string" in findings(folder)["contracts"].fact


def test_a_lake_of_a_newer_format_is_told(folder: Path) -> None:
    with opened(folder).catalog.load_table("notes.notes").transaction() as transaction:
        transaction.set_properties({"notelake.format": "99"})
    assert troubles(folder) == {"lake": "fail"}


def test_orphan_files_are_counted_once_they_are_old(folder: Path) -> None:
    orphan = folder / "notes" / "notes" / "data" / "vault" / "left.parquet"
    orphan.write_bytes(b"x" * 1000)
    young = findings(folder)["orphan files"].fact
    os.utime(orphan, (0, 0))
    assert young.startswith("0 files")
    assert findings(folder)["orphan files"].fact.startswith("1 files, 1.0 kB")


def test_a_scratch_folder_that_is_a_file_is_told(folder: Path) -> None:
    shutil.rmtree(folder / ".scratch", ignore_errors=True)
    (folder / ".scratch").write_text("in the way")
    assert troubles(folder) == {"scratch": "fail"}


def test_sources_are_looked_for(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "vault").mkdir()
    (tmp_path / "rows-1.csv").write_text("a\n1\n")
    sources = [
        DocumentSource(name="here", path=str(tmp_path / "vault")),
        DocumentSource(name="gone", path=str(tmp_path / "no vault")),
        TableSource(name="rows", path=str(tmp_path / "rows-*.csv")),
        TableSource(name="no_rows", path=str(tmp_path / "none-*.csv")),
        TableSource(name="far", path="nosuchstore://bucket/x"),
    ]
    assert troubles(folder, sources) == {"source gone": "fail", "source no_rows": "fail", "source far": "fail"}


@pytest.mark.parametrize(("written", "is_told"), [("telemetry: {enabled: false}\n", False), ("storage: {}\n", True)])
def test_telemetry_that_is_not_off_is_told(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, is_told: bool
) -> None:
    monkeypatch.delenv("DAGSTER_DISABLE_TELEMETRY")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_text(written)
    assert ("telemetry of dagster" in troubles(folder)) == is_told
    monkeypatch.setenv("GX_ANALYTICS_ENABLED", "True")
    assert "telemetry of great-expectations" in troubles(folder)


def test_the_doctor_comes_without_dagster_and_without_great_expectations() -> None:
    code = "import sys, json, dagster_project.doctor; print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    assert {"dagster", "great_expectations"} & set(loaded) == set()
