"""A PDF that pdfium works at without end costs its time limit, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dagster_project.lake.lake import open_lake
from dagster_project.lake.read import relation
from dagster_project.pipeline import run

LOOPING = Path(__file__).parents[1] / "shaping" / "fixtures" / "pdf" / "form_draws_itself_twice.pdf"


@pytest.mark.slow
def test_a_pdf_made_to_loop_is_told_and_the_others_come_through(world, where, clock, ids):
    lake = open_lake(replace(where, file_seconds=1.0), clock=clock, ids=ids)
    world.note("loop.pdf", LOOPING.read_bytes())
    (report,) = run(lake, world.sources[:1]).reports
    assert (report.counts.seen, report.counts.failed) == (4, 1)
    with lake.connect() as con:
        ledger = relation(lake.pins()["ops.ledger"])
        told = con.execute(f"SELECT path, error FROM {ledger} AS l WHERE status = 'failed'").fetchall()
    assert [path for path, _ in told] == ["loop.pdf"]
    assert "its reader took longer than 1 s" in told[0][1]
