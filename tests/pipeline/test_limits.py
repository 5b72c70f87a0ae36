"""What a file may cost: a file that takes too long or too much memory is a row of the ledger, and the run goes on."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from dagster_project.lake.lake import open_lake
from dagster_project.lake.read import relation
from dagster_project.pipeline import run
from dagster_project.reports import Counts

LONG = "[a](b) `c` *d* [[e]] #f\n\n" * 400_000
"""Ten megabytes that take a reader seconds."""


@pytest.mark.parametrize(
    ("limit", "why"),
    [
        ({"file_seconds": 0.4}, "its reader took longer than 0.4 s"),
        pytest.param(
            {"file_memory": 96 * 1024**2},
            "run out of memory",  # pyromark aborts, and takes its process along
            marks=pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only"),
        ),
    ],
)
def test_a_file_that_costs_too_much_is_told_and_the_others_come_through(world, where, clock, ids, limit, why):
    lake = open_lake(replace(where, **limit), clock=clock, ids=ids)
    world.note("long.md", LONG)
    (report,) = run(lake, world.sources[:1]).reports
    assert report.counts == Counts(seen=4, committed=2, quarantined=1, failed=1)
    with lake.connect() as con:
        ledger = relation(lake.pins()["ops.ledger"])
        told = con.execute(f"SELECT path, error FROM {ledger} AS l WHERE status = 'failed'").fetchall()
    assert told == [("long.md", told[0][1])]
    assert why in told[0][1]


def test_a_note_whose_new_version_cannot_be_read_stays_and_is_marked_stale(world, where, clock, ids):
    lake = open_lake(where, clock=clock, ids=ids)
    run(lake, world.sources[:1])
    world.note("a.md", LONG)
    limited = open_lake(replace(where, file_seconds=0.4), clock=clock, ids=ids)
    assert run(limited, world.sources[:1]).reports[0].counts.failed == 1
    with lake.connect() as con:
        notes = relation(lake.pins()["notes.notes"])
        assert con.execute(f"SELECT title, stale FROM {notes} AS n WHERE path = 'a.md'").fetchall() == [("A", True)]
