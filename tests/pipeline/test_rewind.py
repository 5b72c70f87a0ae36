"""A source can be put back to what it was, and a run takes it from there to where it had been."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
import pytest

from dagster_project.contracts import BY_IDENTIFIER
from dagster_project.errors import UsageError
from dagster_project.failpoints import REWIND_FAILPOINTS, VARIABLE, arm
from dagster_project.lake.commit import Change, commit
from dagster_project.lake.lake import Lake, open_lake
from dagster_project.lake.past import files_now, unbroken
from dagster_project.lake.upkeep import missing_files
from dagster_project.pipeline import run_source
from dagster_project.rewind import rewind, states, would_rewind
from dagster_project.settings import bundled, settings
from dagster_project.sources import Source
from dagster_project.steps import points
from dagster_project.steps.bookmarks import bookmarks, pause, resume
from dagster_project.steps.quarantine import discard
from dagster_project.steps.serve import serve

PROCESSES = multiprocessing.get_context("forkserver")
Rows = dict[str, list[tuple[Any, ...]]]


@dataclass
class Lived:
    """A lake that saw three sources twice; tests leave it as it was after the second time."""

    folder: Path
    world: Any
    times: list[str]
    states: list[Rows]

    @staticmethod
    def of(source: str, rows: Rows) -> Rows:
        """Only the rows that are this source's: each has its name among its first columns."""
        return {table: [row for row in found if source in row[:3]] for table, found in rows.items()}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A project of few rules: what is judged is no matter here, and takes half of the time of a batch."""
    root = tmp_path_factory.mktemp("project")
    rules = root / "expectations"
    shutil.copytree(bundled("expectations"), rules)
    for file in rules.iterdir():
        suite = json.loads(file.read_text("utf-8"))
        kept = [
            rule
            for rule in suite["expectations"]
            if file.stem == "notes.notes" and rule["meta"]["notelake"]["rule"] == "table"
        ]
        file.write_text(json.dumps({**suite, "expectations": kept}), "utf-8")
    return root


@pytest.fixture(autouse=True)
def _few_rules(monkeypatch, project) -> None:
    monkeypatch.setenv("NOTELAKE_PROJECT", str(project))


@pytest.fixture(scope="module")
def lived(new_world, notes_of, project, tmp_path_factory) -> Lived:
    world, folder = new_world(tmp_path_factory.mktemp("world")), tmp_path_factory.mktemp("lake") / "lake"
    lived = Lived(folder, world, [], [])
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("NOTELAKE_PROJECT", str(project))
        for step in range(2):
            if step:
                world.step(step)
                world.sheet("two.csv", "id,title,body,at,extra\n9,Nine,ninth,2026-01-01,more\n")
            run_all(folder, world.sources)
            time.sleep(0.01)
            lived.times.append(datetime.now(UTC).isoformat())
            lived.states.append(notes_of(folder))
    return lived


def run_all(folder: Path, sources: list[Source]) -> list[int]:
    """Run each source once; return how many arrivals each brought."""
    lake = fresh(folder)
    return [run_source(lake, source).landed.arrivals for source in sources]


def served(lake: Lake, query: str) -> list[tuple[Any, ...]]:
    serve(lake)
    with duckdb.connect() as con:
        con.execute(f"ATTACH '{lake.settings.view_file}' AS served (READ_ONLY); USE served")
        return con.execute(query).fetchall()


def fresh(folder: Path) -> Lake:
    return open_lake(settings(str(folder)), clock=lambda: datetime.now(UTC), ids=lambda: uuid4().hex)


@pytest.mark.slow
def test_rewound_it_is_as_it_was_and_a_run_makes_it_as_it_had_become(lived, notes_of) -> None:
    (early, _), (first, second) = lived.times, lived.states
    names = [source.name for source in lived.world.sources]
    for source in lived.world.sources:
        assert lived.of(source.name, first) != lived.of(source.name, second)
        foreseen = would_rewind(fresh(lived.folder), source.name, source, to=early)
        done = rewind(fresh(lived.folder), source.name, source, to=early)
        assert done == foreseen
        assert (done.origin, done.point.cursor < done.before == done.landed) == ("kept", True)
        now = notes_of(lived.folder)
        back = names[: names.index(source.name) + 1]
        for name in names:
            assert lived.of(name, now) == lived.of(name, first if name in back else second)
    assert now == first
    assert served(fresh(lived.folder), "SELECT id FROM tables.sheet ORDER BY 1") == [(1,), (2,)]
    assert served(fresh(lived.folder), "SELECT max(id) FROM raw.sheet") == [(9,)]
    assert run_all(lived.folder, lived.world.sources) == [0, 0, 0]
    assert notes_of(lived.folder) == second
    assert missing_files(fresh(lived.folder)) == ()


@pytest.mark.parametrize("which", [0, 2], ids=["documents", "stream"])
def test_what_is_not_kept_is_made_from_raw_as_it_was_and_a_rewind_can_be_undone(lived, notes_of, which) -> None:
    source = lived.world.sources[which]
    with pytest.MonkeyPatch.context() as expired:
        expired.setattr(points, "unbroken", lambda lake, pin: unbroken(lake, pin)[-1:])
        done = rewind(fresh(lived.folder), source.name, source, to=lived.times[0])
    assert (done.origin, done.batches) == ("raw", 1)
    assert lived.of(source.name, notes_of(lived.folder)) == lived.of(source.name, lived.states[0])
    back_to_the_latest(fresh(lived.folder), source, lived)
    assert notes_of(lived.folder) == lived.states[1]


def back_to_the_latest(lake: Lake, source: Source, lived: Lived) -> None:
    """Undo the last rewind: to the snapshot of the state before it."""
    undone = states(lake, source.name).kept[-2]
    assert rewind(lake, source.name, None, to=str(undone.snapshot_id)).origin == "kept"


def test_all_of_it_is_made_again_from_raw_with_what_was_given_up_and_nothing_is_left_lying(lived, notes_of) -> None:
    lake, source, told = fresh(lived.folder), lived.world.sources[1], []
    assert discard(lake, "sheet", why="old", units=["2"]) == 1
    held = {str(file) for file in lived.folder.rglob("*.parquet")}
    done = rewind(lake, "sheet", source, observe=lambda *seen: told.append(seen))
    assert (done.origin, done.batches, done.point.cursor) == ("raw", 2, done.before)
    assert done.rows.decisions_undone == 0
    assert ("sheet", "shape", 3, done.before) in told
    now = notes_of(lived.folder)
    changed = {table for table in now if now[table] != lived.states[1][table]}
    assert changed == {"ops.quarantine", "ops.ledger"}
    assert [row[-1] for row in lived.of("sheet", now)["ops.quarantine"]] == ["old"]
    shared = (pin for name, pin in lake.pins().items() if name in BY_IDENTIFIER)
    needed = {file.path for pin in shared for file in files_now(lake, pin, "sheet")}
    assert {str(file) for file in lived.folder.rglob("*.parquet")} - held <= needed
    before = states(lake, "sheet").kept[-3]
    assert rewind(lake, "sheet", None, to=str(before.snapshot_id)).rows.decisions_undone == 1
    assert notes_of(lived.folder) == lived.states[1]


@pytest.mark.slow
def test_a_kill_at_each_step_leaves_all_of_it_or_nothing_and_it_can_be_done_again(lived, notes_of) -> None:
    """At the first of them from raw, then as it is kept."""
    source, early = lived.world.sources[1], lived.times[0]
    for failpoint in REWIND_FAILPOINTS:
        assert notes_of(lived.folder) == lived.states[1]
        is_raw = failpoint == "rewind.shaped"
        killed = PROCESSES.Process(target=rewind_here, args=(lived.folder, source, early, failpoint, is_raw))
        killed.start()
        killed.join(120)
        assert killed.exitcode == -9, failpoint
    assert lived.of("sheet", notes_of(lived.folder)) == lived.of("sheet", lived.states[0])
    assert rewind(fresh(lived.folder), "sheet", source, to=early).origin == "present"
    back_to_the_latest(fresh(lived.folder), source, lived)
    assert notes_of(lived.folder) == lived.states[1]


def rewind_here(folder: Path, source: Source, to: str, failpoint: str, is_raw: bool) -> None:
    """What a process of its own does."""
    os.environ[VARIABLE] = failpoint
    if is_raw:
        points.unbroken = lambda lake, pin: unbroken(lake, pin)[-1:]
    rewind(fresh(folder), source.name, source, to=to)


def test_another_run_is_quicker_once_and_the_rewind_still_holds(lived, notes_of) -> None:
    lake, source, early = fresh(lived.folder), lived.world.sources[1], lived.times[0]
    seen: list[int] = []

    def be_quicker() -> None:
        if not seen:
            pin = (other := fresh(lived.folder)).pins()["notes.notes"]
            commit(other, [Change(pin, properties={"quicker": "yes"})], summary={}, stage="other")
        seen.append(1)

    with arm("rewind.written", be_quicker):
        assert rewind(lake, "sheet", source, to=early).origin == "kept"
    assert len(seen) == 2
    assert lived.of("sheet", notes_of(lived.folder)) == lived.of("sheet", lived.states[0])
    back_to_the_latest(lake, source, lived)


def test_a_run_whose_source_is_rewound_meanwhile_begins_anew_where_the_source_stands(lived, notes_of) -> None:
    lake, source, early = fresh(lived.folder), lived.world.sources[2], lived.times[0]
    rewind(lake, "live", source, to=early)
    begun: list[int] = []

    def rewind_meanwhile() -> None:
        if not begun:  # there and back: the cursor is the same as before, the rows might not be
            rewind(fresh(lived.folder), "live", source, to="2020-01-01")
            rewind(fresh(lived.folder), "live", source, to=early)
        begun.append(1)

    with arm("commit.staged", rewind_meanwhile):
        run_source(lake, source)
    assert len(begun) == 2
    assert notes_of(lived.folder) == lived.states[1]


def test_before_its_first_run_a_source_has_no_rows(lived, notes_of) -> None:
    lake, source = fresh(lived.folder), lived.world.sources[0]
    done = rewind(lake, "vault", source, to="1999-12-31")
    assert (done.point.cursor, done.landed) == (0, done.before)
    assert not any(lived.of("vault", notes_of(lived.folder)).values())
    assert bookmarks(lake, "vault")[0].committed == 0
    back_to_the_latest(lake, source, lived)
    assert notes_of(lived.folder) == lived.states[1]


@pytest.mark.parametrize("which", [1, 2], ids=["table", "stream"])
def test_a_paused_source_stays_paused_and_as_it_was_put(lived, notes_of, which) -> None:
    lake, source = fresh(lived.folder), lived.world.sources[which]
    pause(lake, source.name)
    rewind(lake, source.name, source, to=lived.times[0])
    at = lake.pins()[f"raw.{source.name}"].metadata_location
    assert run_source(lake, source).landed.is_paused
    assert lake.pins()[f"raw.{source.name}"].metadata_location == at
    assert lived.of(source.name, notes_of(lived.folder)) == lived.of(source.name, lived.states[0])
    back_to_the_latest(lake, source, lived)
    resume(lake, source.name)
    assert run_source(lake, source).landed.arrivals == 0
    assert notes_of(lived.folder) == lived.states[1]


def test_what_makes_no_sense_is_refused(lived, notes_of) -> None:
    lake, source = fresh(lived.folder), lived.world.sources[0]
    foreign = states(lake, "sheet").kept[0].snapshot_id
    for name, to, why in (
        ("nobody", None, "no source called nobody"),
        ("vault", "soon", "neither the id of a snapshot nor a time"),
        ("vault", str(foreign), "No snapshot"),
    ):
        with pytest.raises(UsageError, match=why):
            rewind(lake, name, None, to=to)
    assert rewind(lake, "vault", source, to=datetime.now(UTC).isoformat()).origin == "present"
    assert notes_of(lived.folder) == lived.states[1]


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(3))
def test_however_a_source_is_rewound_and_run_it_is_always_one_of_the_states_it_had(
    new_world, notes_of, tmp_path, seed
) -> None:
    """Four landings in each of three sources, then a walk among their states: kept or from raw, with runs between."""
    world, folder, chance = new_world(tmp_path / "world"), tmp_path / "lake", random.Random(seed)
    times, had = [], []
    for step in chance.sample(range(1, 7), 4):
        world.step(step)
        run_all(folder, world.sources)
        time.sleep(0.01)
        times.append(datetime.now(UTC).isoformat())
        had.append(notes_of(folder))
    at = [3, 3, 3]
    for _ in range(12):
        which = chance.randrange(3)
        source, to = world.sources[which], chance.randrange(-1, at[which] + 1)
        with pytest.MonkeyPatch.context() as patched:
            if chance.random() < 0.5:
                patched.setattr(points, "unbroken", lambda lake, pin: unbroken(lake, pin)[-1:])
            rewind(fresh(folder), source.name, source, to="2020-01-01" if to < 0 else times[to])
        at[which] = to
        if chance.random() < 0.3:
            run_source(fresh(folder), source)
            at[which] = 3
        now = notes_of(folder)
        for each, state in zip(world.sources, at, strict=True):
            expected = Lived.of(each.name, had[state]) if state >= 0 else {}
            found = Lived.of(each.name, now)
            assert {table: rows for table, rows in found.items() if rows} == {t: r for t, r in expected.items() if r}
    run_all(folder, world.sources)
    assert notes_of(folder) == had[3]
