"""`notelake plan`: words, formats and exit codes, and that nothing is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dagster_project.cli import main


def notelake(*words: str) -> Result:
    return CliRunner().invoke(main, list(words), catch_exceptions=False)


def files(folder: Path) -> dict[str, int]:
    return {str(file): file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    folder = tmp_path / "My Notes"
    folder.mkdir()
    (folder / "a.md").write_text("---\nrating: 4\n---\n[[b]]\n", "utf-8")
    (folder / "b.md").write_text("# Something\n", "utf-8")
    return folder


def test_a_plan_over_a_path_makes_no_lake(vault: Path, tmp_path: Path) -> None:
    result = notelake("plan", str(vault), "--lake", str(tmp_path / "lake"))
    assert result.exit_code == 0
    assert result.stdout.splitlines() == ["my_notes: 2 new; 0 files unchanged", "  + a.md", "  + b.md"]
    assert not (tmp_path / "lake").exists()


def test_a_plan_tells_every_sort_of_change_in_a_line_of_its_own(vault: Path, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    assert notelake("ingest", str(vault), "--lake", str(lake)).exit_code == 0
    (vault / "b.md").rename(vault / "moved.md")
    (vault / "a.md").write_text("---\nrating: [4]\n---\n[[b]]\n", "utf-8")
    (vault / "new\n.md").write_text("---\nx: [\n---\n", "utf-8")
    before = files(lake)
    result = notelake("plan", str(vault), "--lake", str(lake))
    assert files(lake) == before
    assert result.exit_code == 3
    lines = result.stdout.splitlines()
    assert lines[:4] == [
        "my_notes: 1 new, 1 changed, 1 moved; 0 files unchanged",
        "  + new⏎.md",
        "  ~ a.md",
        "  > b.md -> moved.md",
    ]
    assert lines[4].startswith("  ! new⏎.md: partial: line 3")
    assert lines[5:] == [
        "  : a.md: rating would be list, not number",
        "  / a.md:4: the wikilink b leads to b.md and would lead nowhere",
    ]
    told = json.loads(notelake("plan", str(vault), "--lake", str(lake), "--format", "json").stdout)
    assert (told["added"], told["changed"], told["moved"]) == (["new\n.md"], ["a.md"], [["b.md", "moved.md"]])
    assert told["broken"][0] == {"path": "a.md", "line": 4, "kind": "wikilink", "target": "b", "leads_to": "b.md"}


def test_a_plan_shows_the_first_of_many(vault: Path, tmp_path: Path) -> None:
    for number in range(30):
        (vault / f"{number:02}.md").write_text("x", "utf-8")
    lines = notelake("plan", str(vault), "--lake", str(tmp_path / "lake")).stdout.splitlines()
    assert lines[1:21] == [f"  + {number:02}.md" for number in range(20)]
    assert lines[21] == "    and 12 more; --format json gives all"


def test_a_name_goes_with_one_path(vault: Path, tmp_path: Path) -> None:
    lake = ("--lake", str(tmp_path / "lake"))
    assert notelake("plan", str(vault), "--name", "mine", *lake).stdout.startswith("mine: 2 new")
    assert notelake("plan", str(vault), str(vault / "a.md"), "--name", "mine", *lake).exit_code == 2
    assert notelake("plan", "nobody", *lake).exit_code == 2
    assert notelake("plan", "/no/such/place", *lake).exit_code == 2


def test_a_source_that_cannot_be_looked_at_has_exit_code_1(vault: Path, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("a,b\n1,2\n", "utf-8")
    lake = ("--lake", str(tmp_path / "lake"))
    assert notelake("ingest", str(vault), "--name", "mine", *lake).exit_code == 0
    result = notelake("plan", str(tmp_path / "table.csv"), "--name", "mine", *lake)
    assert result.exit_code == 1
    assert "another kind of source" in result.stderr


def test_without_a_name_all_declared_sources_are_looked_at(tmp_path: Path) -> None:
    result = notelake("plan", "--format", "json", "--lake", str(tmp_path / "lake"))
    told = [json.loads(line) for line in result.stdout.splitlines()]
    assert {plan["kind"] for plan in told} == {"documents", "table", "stream"}
    assert all(plan["added"] for plan in told)
