"""A stream that commits events first and folds them into notes later has the tables of one that does both at once."""

from __future__ import annotations

import pytest

from dagster_project.contracts import EVENTS, LEDGER, NOTES
from dagster_project.pipeline import commit_events, fold_pending, land
from dagster_project.reports import quiet
from dagster_project.rewind import rewind
from dagster_project.steps.arrived import Arrived
from dagster_project.steps.lag import lag_of
from dagster_project.steps.points import kept_points
from dagster_project.steps.seen import Seen


@pytest.fixture
def events_first(fresh_lake):
    """Land and commit events alone; return the lake and the tables that were written."""

    def commit(folder, source, later):
        lake, arrived = fresh_lake(folder), Arrived()
        before = lake.pins()
        land(lake, source, observe=quiet, keep=arrived)
        commit_events(lake, source, later=later, seen=Seen(), arrived=arrived)
        return lake, {name for name, pin in lake.pins().items() if name not in before or pin != before[name]}

    return commit


@pytest.mark.slow
def test_the_tables_are_the_same_and_a_commit_writes_three(world, here, events_first, fresh_lake, tables_of, tmp_path):
    whole, split, source, later = tmp_path / "whole", tmp_path / "split", world.sources[2], []
    for step in (0, 1, 3):
        if step:
            world.step(step)
        here(whole, [source])
        lake, written = events_first(split, source, later)
        refused = {"ops.quarantine"} if step == 3 else set()  # a line that is cut
        assert written == {"raw.live", EVENTS.identifier, LEDGER.identifier} | refused
        if step == 0:
            fold_pending(lake, source, later=later)
    assert len(later) == 2
    world.event("note.updated", "n1", title="last")
    here(whole, [source])
    here(split, [source])  # a run folds what is left, and goes on
    expected, found = tables_of(whole), tables_of(split)
    del expected["ops.audits"], found["ops.audits"]
    assert found == expected


def test_a_state_to_go_back_to_is_one_in_which_events_and_notes_are_of_one_moment(
    world, events_first, fresh_lake, notes_of, tmp_path
):
    folder, source, later = tmp_path / "lake", world.sources[2], []
    lake, _ = events_first(folder, source, later)
    assert not kept_points(lake, lake.pins(), "live")
    fold_pending(lake, source, later=later)
    (point,) = kept_points(lake, lake.pins(), "live")
    first = notes_of(folder)
    world.step(1)
    lake, _ = events_first(folder, source, later)
    assert kept_points(lake, lake.pins(), "live") == (point,)
    lag = lag_of(lake, source)
    assert (lag.waiting, lag.uncommitted, lag.unfolded, lag.events) == (0, 0, 2, 4)
    world.lines("12345678")
    land(lake, source, observe=quiet)
    world.lines("12345678")
    lag = lag_of(lake, source)
    assert (lag.waiting, lag.uncommitted, lag.unfolded) == (9, 1, 2) and lag.rate > 0
    assert rewind(lake, "live", source, to=point.at.isoformat()).origin == "kept"
    assert notes_of(folder) == first
    (lake := fresh_lake(folder)) and commit_events(lake, source, later=later)
    fold_pending(lake, source, later=later)
    assert dict(lake.properties(lake.pins()[NOTES.identifier]))["notelake.cursor.live"] == "5"
