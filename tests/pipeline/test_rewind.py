"""A source can be put back to what it was, and a run takes it from there to where it had been."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from dagster_project.lake.past import unbroken
from dagster_project.rewind import rewind
from dagster_project.steps import points

KINDS = pytest.mark.parametrize("which", range(3), ids=["documents", "table", "stream"])


def now() -> str:
    time.sleep(0.01)
    return datetime.now(UTC).isoformat()


@pytest.fixture
def lived(world, here, notes_of, tmp_path):
    """Give a source a history of landings in a lake; return the lake, and the state after each and the time then."""

    def live(which: int, steps: int = 3):
        folder, source = tmp_path / "lake", world.sources[which]
        states = []
        for step in range(steps):
            if step:
                world.step(step)
            here(folder, [source])
            states.append((now(), notes_of(folder)))
        return folder, source, states

    return live


@KINDS
def test_rewound_it_is_as_it_was_and_a_run_makes_it_as_it_had_become(
    which, lived, here, fresh_lake, notes_of, monkeypatch
) -> None:
    folder, source, ((early, first), (_, second), (_, third)) = lived(which)
    assert first != second != third
    assert rewind(fresh_lake(folder), source.name, source, to=early).origin == "kept"
    assert notes_of(folder) == first
    here(folder, [source])
    assert notes_of(folder) == third

    monkeypatch.setattr(points, "unbroken", lambda lake, pin: unbroken(lake, pin)[-1:])  # all else has expired
    done = rewind(fresh_lake(folder), source.name, source, to=early)
    assert (done.origin, done.batches) == ("raw", 1)
    assert notes_of(folder) == first
    here(folder, [source])
    assert notes_of(folder) == third
    done = rewind(fresh_lake(folder), source.name, source)
    assert (done.origin, done.batches, done.point.cursor) == ("raw", 3, done.before)
    assert notes_of(folder) == third
