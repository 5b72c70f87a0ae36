"""The consumer of streams: every event once, whoever else is at work and however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from dagster_project.failpoints import arm
from dagster_project.pipeline import run
from dagster_project.streaming import Pace, consume

QUICK = Pace(interval=0, max_events=2, fold_interval=0, views_interval=0)


@pytest.fixture
def consumed(fresh_lake):
    """Consume a source in this process until nothing more comes; return what was told, and the figures."""

    def go(lake, source, **given):
        told = []
        (progress,) = consume(
            fresh_lake(lake),
            [source],
            stop=given.pop("stop", Event()),
            tell=lambda word, progress, detail="": told.append((word, detail)),
            pace=QUICK,
            until="idle",
            **given,
        )
        return told, progress

    return go


@pytest.mark.slow
def test_what_is_consumed_as_it_comes_ends_in_what_a_run_makes_of_it(
    world, here, consumed, fresh_lake, tables_of, served, tmp_path
):
    ran, streamed, source = tmp_path / "ran", tmp_path / "streamed", world.sources[2]
    world.step(1)
    here(ran, [source])
    _, progress = consumed(streamed, source)
    assert progress.counts.committed == 4 and progress.commits > 1
    expected, found = tables_of(ran), tables_of(streamed)
    assert [row[1:] for row in found["raw.live"]] == [row[1:] for row in expected["raw.live"]]
    for table in ("notes.notes", "notes.tags"):
        assert [row[:1] for row in found[table]] == [row[:1] for row in expected[table]]
    assert len(found["notes.versions"]) == len(expected["notes.versions"])
    assert served(streamed)["notes.events"] == 4
    assert {row[0] for row in found["ops.ledger"]} <= {row[0] for row in found["ops.audits"]}
    told, progress = consumed(streamed, source)
    assert (told, progress.counts.seen) == ([], 0)


def test_who_is_too_late_commits_nothing_and_says_so(world, consumed, fresh_lake, tables_of, tmp_path):
    folder, source = tmp_path / "lake", world.sources[2]
    other = iter([lambda: run(fresh_lake(folder), [source])])

    def be_quicker_once():
        for run_it in other:
            run_it()

    with arm("commit.staged", be_quicker_once):
        told, progress = consumed(folder, source)
    assert [word for word, _ in told if word == "superseded"] == ["superseded"] and progress.superseded == 1
    rows = tables_of(folder)
    assert len(rows["raw.live"]) == len(rows["notes.events"]) == 2
    assert sorted(row[0] for row in rows["notes.events"]) == ["e1", "e2"]


def test_events_are_folded_here_once_what_folds_them_has_ended(world, consumed, tables_of, tmp_path):
    def ended():
        raise MemoryError

    told, progress = consumed(tmp_path / "lake", world.sources[2], folder=ThreadPoolExecutor(1, initializer=ended))
    assert [word for word, _ in told if word == "notice"] == ["notice"]
    assert progress.folds == 1 and progress.trouble is None
    assert len(tables_of(tmp_path / "lake")["notes.notes"]) == 2


def test_a_source_that_is_away_is_told_once_and_read_when_it_is_back(world, fresh_lake, tmp_path):
    source, stop, told = world.sources[2], Event(), []
    away = world.stream.rename(tmp_path / "away")

    def tell(word, progress, detail=""):
        told.append(word)
        if word == "trouble":
            away.rename(world.stream)
        if word == "recovered":
            stop.set()

    consume(fresh_lake(tmp_path / "lake"), [source], stop=stop, tell=tell, pace=QUICK)
    assert told[0] == "trouble" and told.count("trouble") == 1 and "recovered" in told and "committed" in told


@pytest.mark.slow
def test_sigterm_ends_the_command_after_its_commit_and_the_views_show_it(world, served, tmp_path):
    project, lake = tmp_path / "project", tmp_path / "lake"
    declared = project / "dagster_project" / "defs" / "sources" / "live"
    declared.mkdir(parents=True)
    (declared / "defs.yaml").write_text(
        f"type: dagster_project.components.StreamSource\nattributes:\n  name: live\n  path: {world.stream}\n"
    )
    command = [sys.executable, "-m", "dagster_project.cli", "stream", "--lake", str(lake), "--views-interval", "0"]
    process = subprocess.Popen(command, env={**os.environ, "NOTELAKE_PROJECT": str(project)}, stderr=subprocess.PIPE)
    until = time.monotonic() + 60
    while not (lake / "lake.duckdb").exists() and time.monotonic() < until and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said.decode()
    assert b"live: 2 events" in said
    assert served(lake)["notes.events"] == 2 and served(lake)["notes.notes"] == 2
