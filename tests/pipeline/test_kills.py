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
    """Kill a run of one source at a step, run again, and compare with a lake that never was killed.

    Only the run that dies needs a process of its own.
    """
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for lake_folder in (whole, killed):
        here(lake_folder, world.sources)

    def check(step: int, failpoint: str, source) -> None:
        world.step(step)
        here(whole, [source])
        at = f"{failpoint}={NTH.get(failpoint, 1)}"
        assert forked(killed, [source], at) == KILLED, f"{at} was never passed for {source.name}"
        here(killed, [source])
        expected = tables_of(whole)
        assert tables_of(killed) == expected, (failpoint, source.name)
        assert served(killed) == {name: len(rows) for name, rows in expected.items() if name in BY_IDENTIFIER}

    return check


def test_a_kill_at_each_failpoint_and_a_run_is_as_good_as_a_run(world, as_good_as_never_killed) -> None:
    """One lake is killed at every step in turn, each time after new changes and in another source."""
    for step, failpoint in enumerate(FAILPOINTS):
        as_good_as_never_killed(step, failpoint, world.sources[step % len(world.sources)])


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_kill_at_each_failpoint_in_each_source(world, as_good_as_never_killed) -> None:
    for step, (failpoint, source) in enumerate((f, s) for f in FAILPOINTS for s in world.sources):
        as_good_as_never_killed(step, failpoint, source)
