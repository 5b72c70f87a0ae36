"""Refused units are let through once, whatever happens meanwhile: kills, a decision, a newer arrival."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from dagster_project.failpoints import VARIABLE, arm
from dagster_project.lake.lake import open_lake
from dagster_project.settings import PACKAGE, settings
from dagster_project.sources import Source
from dagster_project.steps.quarantine import discard
from dagster_project.steps.release import Released, release

PROCESSES = multiprocessing.get_context("forkserver")
STEPS = ("commit.swapping", "commit.committed")


def mended(source: Source) -> Source:
    """Return the sheet without the mapping that refuses a date that is none."""
    return source.model_copy(update={"note": source.note.model_copy(update={"created_at": None})})


def release_here(folder: str, source: Source, failpoint: str) -> None:
    """What a process of its own does."""
    os.environ[VARIABLE] = failpoint
    lake = open_lake(settings(folder), clock=lambda: datetime.now(UTC), ids=lambda: uuid4().hex)
    release(lake, source)


def decided(tables: dict[str, list[tuple[Any, ...]]]) -> dict[str, list[tuple[Any, ...]]]:
    """Only that a refusal was decided, and not when."""
    told = [
        tuple(value is not None if isinstance(value, datetime) else value for value in row)
        for row in tables["ops.quarantine"]
    ]
    return {**tables, "ops.quarantine": sorted(told, key=str)}


@pytest.mark.slow
def test_kills_at_one_step_after_the_other_and_a_release_are_as_good_as_a_release(
    world, here, fresh_lake, tables_of, tmp_path
) -> None:
    whole, killed, sheet = tmp_path / "whole", tmp_path / "killed", world.sources[1]
    for folder in (whole, killed):
        here(folder, [sheet])
    assert release(fresh_lake(whole), mended(sheet)) == Released(released=1)
    for failpoint in STEPS:
        process = PROCESSES.Process(target=release_here, args=(str(killed), mended(sheet), failpoint))
        process.start()
        process.join(120)
        assert process.exitcode == -9, failpoint
    assert release(fresh_lake(killed), mended(sheet)) == Released()
    tables = tables_of(killed)
    assert decided(tables) == decided(tables_of(whole))
    assert len(tables["notes.notes"]) == len(tables["notes.versions"]) == 2


@pytest.mark.slow
def test_what_is_decided_or_said_anew_meanwhile_is_not_let_through(
    world, here, fresh_lake, tables_of, tmp_path
) -> None:
    sheet, once = world.sources[1], []

    def meanwhile(do: Any) -> Any:
        return lambda: None if once else (once.append(1), do())

    given_up = tmp_path / "given_up"
    here(given_up, [sheet])
    with arm("audit.judged", meanwhile(lambda: discard(fresh_lake(given_up), "sheet", why="a test"))):
        assert release(fresh_lake(given_up), mended(sheet)) == Released()
    assert len(tables_of(given_up)["notes.notes"]) == 1

    once.clear()
    newer = tmp_path / "newer"
    here(newer, [sheet])
    world.sheet("one.csv", "id,title,body,at\n1,One,first,2026-01-01\n2,Two,newer,2026-02-28\n")
    with arm("audit.judged", meanwhile(lambda: here(newer, [sheet]))):
        assert release(fresh_lake(newer), mended(sheet)) == Released(superseded=1)
    assert sorted(row[5] for row in tables_of(newer)["notes.notes"]) == ["first", "newer"]


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Set a rule for the titles of notes, in a project of this test's own."""
    shutil.copytree(PACKAGE.parent / "expectations", tmp_path / "project" / "expectations")
    monkeypatch.setenv("NOTELAKE_PROJECT", str(tmp_path / "project"))
    file = tmp_path / "project" / "expectations" / "notes.notes.json"
    own = json.loads(file.read_text())

    def refuse(title: str | None) -> None:
        rule = {
            "type": "unexpected_rows_expectation",
            "kwargs": {"unexpected_rows_query": f"SELECT note_id FROM {{batch}} WHERE title = '{title}'"},
            "description": "No such title.",
            "severity": "critical",
            "meta": {
                "notelake": {"name": "no_such_title", "rule": "row", "on": "staged", "reason": "it has the title"}
            },
        }
        file.write_text(json.dumps({**own, "expectations": [*own["expectations"], *([rule] if title else [])]}))

    return refuse


@pytest.mark.slow
def test_notes_that_a_rule_refused_are_let_through_with_all_their_parts_once_it_is_mended(
    world, here, fresh_lake, suite, tmp_path
) -> None:
    vault, _, live = world.sources
    folder = tmp_path / "lake"
    here(folder, [vault, live])
    suite("Bad")
    world.note("a.md", "# Bad\n[[b]] #late\n- [ ] other\n")
    world.note("sub/c.md", "# Bad\n")
    world.note("sub/d.md", "# Bad\n")
    world.event("note.updated", "n1", title="Bad")
    world.event("note.updated", "n2", title="Good")
    assert [report.counts.quarantined for report in here(folder, [vault, live]).reports] == [3, 0]
    world.note("sub/d.md", "# Better\n")
    here(folder, [vault])
    assert said(fresh_lake(folder)) == {
        "a.md": ("A", True),
        "b.md": ("b", False),
        "n1": ("n1", True),
        "n2": ("Good", False),
        "sub/d.md": ("Better", False),
    }
    assert release(fresh_lake(folder), vault) == Released(refused=3, superseded=1)

    suite(None)
    assert release(fresh_lake(folder), vault) == Released(released=2, refused=1, superseded=1)
    assert release(fresh_lake(folder), live) == Released(released=1)
    lake = fresh_lake(folder)
    assert said(lake) == {
        "a.md": ("Bad", False),
        "b.md": ("b", False),
        "n1": ("Bad", False),
        "n2": ("Good", False),
        "sub/c.md": ("Bad", False),
        "sub/d.md": ("Better", False),
    }
    assert asked(lake, "SELECT tag FROM {notes.tags} WHERE tag IN ('one', 'late')") == [("late",)]
    assert asked(lake, "SELECT op, title FROM {notes.versions} WHERE path = 'a.md' ORDER BY sequence") == [
        ("created", "A"),
        ("updated", "Bad"),
    ]
    assert asked(lake, "SELECT op, title FROM {notes.versions} WHERE path = 'n1' ORDER BY sequence") == [
        ("created", "n1"),
        ("updated", "Bad"),
    ]
    files = (
        "SELECT path, status, committed, quarantined, error FROM {ops.ledger} WHERE path LIKE 'sub/%' ORDER BY sequence"
    )
    assert [row[:2] for row in asked(lake, files)] == [
        ("sub/c.md", "parsed"),
        ("sub/d.md", "quarantined"),
        ("sub/d.md", "parsed"),
    ]
    assert release(fresh_lake(folder), live) == Released()


def said(lake: Any) -> dict[str, tuple[str, bool]]:
    """Return title and staleness of each note, by path."""
    return {path: (title, stale) for path, title, stale in asked(lake, "SELECT path, title, stale FROM {notes.notes}")}


def asked(lake: Any, query: str) -> list[tuple[Any, ...]]:
    """Ask the lake: {notes.notes} is that table."""
    from dagster_project.lake.read import relation

    for name, pin in lake.pins().items():
        query = query.replace("{" + name + "}", f"(SELECT * FROM {relation(pin)})")
    with lake.connect() as con:
        return con.execute(query).fetchall()
