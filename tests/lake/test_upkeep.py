"""Snapshots thin out with age, and files nobody names are deleted, others never."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.contracts import NOTES
from dagster_project.lake.commit import Change, commit
from dagster_project.lake.lake import Lake
from dagster_project.lake.staging import Stager
from dagster_project.lake.upkeep import HOURLY, NEWEST, clean, superfluous

HOUR = 3_600_000
YEAR = 365 * 24 * HOUR


@given(st.lists(st.integers(0, YEAR), max_size=400))
def test_the_newest_stay_and_before_them_one_an_hour_then_one_a_day(instants: list[int]) -> None:
    snapshots = dict(enumerate(instants))
    gone = superfluous(snapshots)
    newest = sorted(snapshots, key=lambda id_: (snapshots[id_], id_), reverse=True)
    assert not gone & set(newest[:NEWEST])
    kept_old = [snapshots[id_] for id_ in newest[NEWEST:] if id_ not in gone]
    edge = max(instants, default=0) - HOURLY // timedelta(milliseconds=1)
    slots = [("hour", at // HOUR) if at >= edge else ("day", at // (24 * HOUR)) for at in kept_old]
    assert len(slots) == len(set(slots))
    every = {
        ("hour", at // HOUR) if at >= edge else ("day", at // (24 * HOUR))
        for at in (snapshots[i] for i in newest[NEWEST:])
    }
    assert set(slots) == every


@given(st.lists(st.integers(0, YEAR), max_size=200), st.data())
def test_thinning_again_takes_nothing_more(instants: list[int], data: st.DataObject) -> None:
    snapshots = dict(enumerate(instants))
    left = {id_: at for id_, at in snapshots.items() if id_ not in superfluous(snapshots)}
    assert superfluous(left) == set()


def test_clean_deletes_orphans_that_are_old_enough_and_nothing_else(lake: Lake) -> None:
    pin = lake.pins()[NOTES.identifier]
    row = {**dict.fromkeys(NOTES.schema.names), "note_id": "a", "source": "vault"}
    with Stager(lake, NOTES, "vault") as stager:
        stager.write(pa.Table.from_pylist([row], schema=NOTES.schema))
        kept = stager.close()
    commit(lake, [Change(pin, kept)], summary={})
    orphan = Path(kept[0].path).with_name("orphan.parquet")
    orphan.write_bytes(b"left by a run that was killed")
    now = lake.clock() + timedelta(days=36500)
    assert clean(lake, now=now, grace=timedelta(days=40000)).files == 0
    assert clean(lake, now=now, dry_run=True).files == 1
    assert orphan.exists()
    cleaned = clean(lake, now=now)
    assert (cleaned.files, cleaned.bytes) == (1, 29)
    assert not orphan.exists()
    lake.forget()
    assert lake.pins()[NOTES.identifier].rows == 1
    assert Path(kept[0].path).exists()
