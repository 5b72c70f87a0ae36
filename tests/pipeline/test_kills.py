"""A kill at any named step, then a run, gives the same tables as a run without the kill."""

from __future__ import annotations

import pytest

from dagster_project.contracts import BY_IDENTIFIER
from dagster_project.failpoints import FAILPOINTS

KILLED = -9


def test_a_kill_at_each_failpoint_and_a_run_is_as_good_as_a_run(world, forked, tables_of, served, tmp_path) -> None:
    """One lake is killed at every step in turn, each time after new changes; another never is."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for number, failpoint in enumerate(FAILPOINTS):
        world.step(number)
        assert forked(whole, world.sources) == 0
        nth = number % len(world.sources) + 1  # so that each source dies at some steps
        assert forked(killed, world.sources, f"{failpoint}={nth}") == KILLED, f"{failpoint}={nth} was never passed"
        assert forked(killed, world.sources) == 0
        assert tables_of(killed) == tables_of(whole), failpoint
        assert served(killed) == {name: len(rows) for name, rows in tables_of(whole).items() if name in BY_IDENTIFIER}


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_kill_at_each_failpoint_for_each_source(world, forked, tables_of, tmp_path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for number, (failpoint, nth) in enumerate((f, n) for f in FAILPOINTS for n in (1, 2, 3)):
        world.step(number)
        assert forked(whole, world.sources) == 0
        assert forked(killed, world.sources, f"{failpoint}={nth}") == KILLED, f"{failpoint}={nth} was never passed"
        assert forked(killed, world.sources) == 0
        assert tables_of(killed) == tables_of(whole), (failpoint, nth)
