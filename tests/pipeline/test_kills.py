"""A kill at any named step, then a run, gives the same tables as a run without the kill."""

from __future__ import annotations

import pytest

from dagster_project.contracts import BY_IDENTIFIER
from dagster_project.failpoints import FAILPOINTS

KILLED = -9
NTH = {"serve.pinned": 2}
"""A run serves before its sources too; there nothing is new, so of serve only this one is passed."""


@pytest.fixture
def as_good_as_never_killed(world, forked, here, tables_of, served, tmp_path):
    """Kill runs of one source at the steps named, run again, and compare with a lake that never was killed.

    Only the runs that die need a process of their own.
    """
    whole, killed = tmp_path / "whole", tmp_path / "killed"

    def check(step: int, source, *failpoints: str) -> None:
        for lake_folder in (whole, killed):
            if not lake_folder.exists():
                here(lake_folder, [source])
        world.step(step)
        here(whole, [source])
        for failpoint in failpoints:
            at = f"{failpoint}={NTH.get(failpoint, 1)}"
            assert forked(killed, [source], at) == KILLED, f"{at} was never passed for {source.name}"
        here(killed, [source])
        expected = tables_of(whole)
        assert tables_of(killed) == expected, (failpoints, source.name)
        assert served(killed) == {name: len(rows) for name, rows in expected.items() if name in BY_IDENTIFIER}

    return check


@pytest.mark.slow
@pytest.mark.parametrize("which", range(3), ids=["documents", "table", "stream"])
def test_kills_at_one_step_after_the_other_and_a_run_are_as_good_as_a_run(
    world, as_good_as_never_killed, which
) -> None:
    """Each run gets a little further than the one before it, over whatever that left; each step dies in one source."""
    as_good_as_never_killed(1, world.sources[which], *FAILPOINTS[which::3])


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("which", range(3), ids=["documents", "table", "stream"])
def test_a_kill_at_each_failpoint_and_a_run_is_as_good_as_a_run(world, as_good_as_never_killed, which) -> None:
    """One lake is killed at every step in turn, each time after new changes; another never is."""
    for step, failpoint in enumerate(FAILPOINTS):
        as_good_as_never_killed(step, world.sources[which], failpoint)
