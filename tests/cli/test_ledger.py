"""`notelake ledger`: what became of each input, with a place an editor opens, and the exit code that says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dagster_project.cli import main


def notelake(*words: str) -> Result:
    return CliRunner().invoke(main, list(words), catch_exceptions=False)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one declared vault: a good note, one read in part, one refused."""
    root = tmp_path_factory.mktemp("project")
    sources = root / "dagster_project" / "defs" / "sources" / "vault"
    sources.mkdir(parents=True)
    (sources / "defs.yaml").write_text(
        "type: dagster_project.components.DocumentSource\nattributes: {name: vault, path: my notes}\n", "utf-8"
    )
    vault = root / "my notes"
    vault.mkdir()
    (vault / "good.md").write_text("# Good\n", "utf-8")
    (vault / "part [x].md").write_text("---\na: 1\na: [\n---\n# Part\n", "utf-8")
    (vault / "null.md").write_bytes(b"\x00\xff\xfe\x00\x01\x02\x81\x8d")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOTELAKE_PROJECT", str(root))
        assert notelake("run").exit_code == 3
    return root


@pytest.fixture(autouse=True)
def _here(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTELAKE_PROJECT", str(project))


def test_each_line_begins_with_a_place_that_is_a_file_and_a_line(project: Path) -> None:
    shown = notelake("ledger", "vault")
    assert shown.exit_code == 3
    lines = shown.stdout.splitlines()
    assert len(lines) == 3
    for line in lines:
        place = line.split(": ")[0]
        path, _, number = place.rpartition(":")
        assert Path(path if number.isdecimal() else place).is_file(), line
    (partial,) = [line for line in lines if ": partial" in line]
    assert partial.startswith(f"{project}/my notes/part [x].md:")
    assert "1 x front matter" in partial


def test_bad_leaves_out_what_came_through_whole() -> None:
    shown = notelake("ledger", "--bad", "--format", "json")
    rows = [json.loads(line) for line in shown.stdout.splitlines()]
    assert shown.exit_code == 3
    assert {row["path"] for row in rows} == {"part [x].md", "null.md"}
    assert all(row["is_bad"] for row in rows)
    (partial,) = [row for row in rows if row["status"] == "partial"]
    assert partial["dropped_count"] == 1
    assert partial["encoding"] == "utf-8"


def test_a_mended_file_is_bad_no_more_and_all_still_tells_of_it(tmp_path: Path) -> None:
    notes, lake = tmp_path / "notes", ["--lake", str(tmp_path / "lake")]
    notes.mkdir()
    (notes / "a.md").write_text("---\na: [\n---\n", "utf-8")
    assert notelake("ingest", str(notes), *lake).exit_code == 3
    (notes / "a.md").write_text("---\na: []\n---\nnow it is well\n", "utf-8")
    assert notelake("ingest", str(notes), *lake).exit_code == 0
    assert notelake("ledger", *lake).exit_code == 0
    assert notelake("ledger", "--bad", *lake).stdout == "Nothing of that sort is in the ledger.\n"
    before = notelake("ledger", "--all", "--format", "json", *lake)
    assert before.exit_code == 3
    assert [json.loads(line)["status"] for line in before.stdout.splitlines()] == ["partial", "parsed"]


def test_csv_is_one_row_per_input_with_its_place_first() -> None:
    text = notelake("ledger", "--format", "csv").stdout
    assert text.startswith("place,source,path,op,status,is_bad,")
    assert len(text.splitlines()) == 4


def test_a_source_nobody_knows_is_wrong_use() -> None:
    assert notelake("ledger", "nobody").exit_code == 2
