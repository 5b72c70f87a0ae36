"""Real inputs against counts that were made without notelake.

What belongs here: `../shared/corpora`, ingested whole and counted with the standard library. What does not: what a
single construct becomes (`tests/shaping`). Skips, and says so, where the corpora are not on the machine.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
import pytest

from dagster_project.guess import guess_source
from dagster_project.lake.lake import open_lake
from dagster_project.pipeline import run
from dagster_project.reports import Report
from dagster_project.settings import Settings, settings

Ingest = Callable[..., Report]
HEADING = re.compile(r" {0,3}#{1,6}(?:\s|$)")


@pytest.fixture
def where(tmp_path: Path) -> Settings:
    return settings(str(tmp_path / "lake"))


@pytest.fixture
def ingest(where: Settings) -> Ingest:
    """Bring a path into the lake under a name, and return what the run told."""
    lake = open_lake(where, clock=lambda: datetime.now(UTC), ids=lambda: uuid4().hex)

    def once(path: Path, name: str) -> Report:
        (report,) = run(lake, [guess_source(str(path), kind=None, name=name)]).reports
        assert report.error is None
        assert report.counts.is_balanced
        return report

    return once


def ask(where: Settings, query: str) -> list[tuple[Any, ...]]:
    with closing(duckdb.connect(str(where.view_file), read_only=True)) as con:
        return con.execute(query).fetchall()


def files(folder: Path) -> dict[str, int]:
    """Every file of the lake with its modification time, but for the disposable caches."""
    return {str(f): f.stat().st_mtime_ns for f in folder.rglob("*") if f.is_file() and ".scratch" not in f.parts}


def again_changes_nothing(ingest: Ingest, where: Settings, path: Path, name: str, seen: int) -> None:
    before = files(Path(where.lake))
    counts = ingest(path, name).counts
    assert (counts.seen, counts.unchanged) == (seen, seen)
    assert files(Path(where.lake)) == before


def headings(folder: Path) -> int:
    """Lines that begin with 1 to 6 # outside front matter and fences; for text that indents no heading."""
    count = 0
    for file in folder.rglob("*.md"):
        text = file.read_text("utf-8-sig")
        text = re.sub(r"\A---\n.*?\n---\s*\n", "", text, count=1, flags=re.DOTALL)
        fence = ""
        for line in text.splitlines():
            mark = re.match(r"[\s>]*(?:(?:[-*+]|\d+\.)\s+)?(`{3,}|~{3,})", line)
            if mark and not fence:
                fence = mark[1]
            elif mark and mark[1].startswith(fence) and not line.strip(" >\t`~"):
                fence = ""
            elif not fence and HEADING.match(line):
                count += 1
    return count


@pytest.mark.parametrize(("name", "expected"), [("vault_after", 313), ("handbook", 625)])
def test_every_file_of_a_vault_becomes_one_note(
    corpora: Path, ingest: Ingest, where: Settings, name: str, expected: int
) -> None:
    paths = {str(file.relative_to(corpora / name)) for file in (corpora / name).rglob("*.md")}
    counts = ingest(corpora / name, name).counts
    assert len(paths) == expected
    assert (counts.seen, counts.committed, counts.quarantined, counts.failed) == (expected, expected, 0, 0)
    assert {path for (path,) in ask(where, "SELECT path FROM notes.notes")} == paths
    again_changes_nothing(ingest, where, corpora / name, name, expected)


def test_the_handbook_s_headings_are_those_a_line_scanner_sees(corpora: Path, ingest: Ingest, where: Settings) -> None:
    ingest(corpora / "handbook", "handbook")
    ((found,),) = ask(where, "SELECT count(*) FROM notes.sections WHERE level > 0")
    # A line scanner takes for headings what stands in HTML comments, and misses those that are underlined or quoted.
    assert abs(found - headings(corpora / "handbook")) <= found * 0.005


@pytest.mark.slow
def test_the_two_exports_of_the_talks_have_as_many_notes_as_rows(
    corpora: Path, ingest: Ingest, where: Settings
) -> None:
    talks = corpora / "talks"
    with open(talks / "talks.csv", newline="", encoding="utf-8") as stream:
        in_csv = sum(1 for _ in csv.DictReader(stream))
    with open(talks / "talks.jsonl", "rb") as stream:
        in_lines = sum(1 for line in stream if json.loads(line))
    for file, name, expected in (("talks.csv", "flat", in_csv), ("talks.jsonl", "nested", in_lines)):
        counts = ingest(talks / file, name).counts
        assert (counts.seen, counts.committed) == (expected, expected)
        assert ask(where, f"SELECT count(*) FROM tables.{name}") == [(expected,)]
        assert ask(where, f"SELECT count(*) FROM notes.notes WHERE source = '{name}'") == [(expected,)]
        again_changes_nothing(ingest, where, talks / file, name, expected)


@pytest.mark.slow
def test_what_changed_between_two_states_of_a_vault_is_what_git_says(
    corpora: Path, ingest: Ingest, where: Settings, tmp_path: Path
) -> None:
    vault = tmp_path / "vault"
    shutil.copytree(corpora / "vault_before", vault)
    before = ingest(vault, "logseq").counts.committed
    shutil.rmtree(vault)
    shutil.copytree(corpora / "vault_after", vault)
    os.utime(vault)
    ingest(vault, "logseq")
    with open(corpora / "vault_changes.tsv", newline="", encoding="utf-8") as stream:
        said = {(row[0][0], row[-1]) for row in csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)}
    letter = {"created": "A", "updated": "M", "deleted": "D", "moved": "R"}
    query = f"SELECT op, path FROM notes.versions WHERE source = 'logseq' AND sequence > {before}"
    # The table was made with `git diff -M100%`. With -M50% git finds no rename in this vault either: so the rule for
    # close text must find none: one that did would show here as an R.
    assert {(letter[op], path) for op, path in ask(where, query)} == said
