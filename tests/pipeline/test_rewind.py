"""A source can be put back to what it was, and a run takes it from there to where it had been."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from dagster_project.rewind import rewind, would_rewind

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
def test_rewound_it_is_as_it_was_and_a_run_makes_it_as_it_had_become(which, lived, here, fresh_lake, notes_of) -> None:
    folder, source, states = lived(which)
    (early, first), (_, second), (_, third) = states
    done = rewind(fresh_lake(folder), source.name, source, to=early)
    assert done.origin == "kept"
    assert notes_of(folder) == first
    here(folder, [source])
    assert notes_of(folder) == third
