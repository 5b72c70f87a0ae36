"""Two consumers, runs as Dagster's sensor makes them, and rewinds, all at once on one stream: each event once."""

from __future__ import annotations

import threading
from pathlib import Path
from random import Random

import pytest

from dagster_project.errors import CommitConflict
from dagster_project.pipeline import run
from dagster_project.rewind import rewind
from dagster_project.sources import StreamSource
from dagster_project.streaming import Pace, Progress, consume

from .test_faults import Writer, compare, opened

PACE = Pace(interval=0.02, max_events=20, fold_interval=0.2, views_interval=0.2)


@pytest.mark.long
def test_consumers_runs_and_rewinds_at_once_lose_no_event_and_double_none(tmp_path: Path) -> None:
    writer, lake, stop = Writer(tmp_path / "log", Random(6)), str(tmp_path / "lake"), threading.Event()
    source, troubles = StreamSource(name="live", path=str(tmp_path / "log")), list[str]()

    def tell(word: str, progress: Progress, detail: str = "") -> None:
        if word == "trouble":
            troubles.append(detail)

    def consume_one() -> None:
        consume(opened(lake), [source], stop=stop, tell=tell, pace=PACE)

    writer.write(20)
    run(opened(lake), [source])
    consumers = [threading.Thread(target=consume_one) for _ in range(2)]
    for consumer in consumers:
        consumer.start()
    rewinds = 0
    try:
        for _ in range(2):
            writer.write(10)
            assert not [report.error for report in run(opened(lake), [source]).reports if report.error]
            try:
                rewind(opened(lake), "live", source)
                rewinds += 1
            except CommitConflict as lost:  # it says that it lost, and the rows are as they were
                troubles.append(str(lost))
        writer.finish()
    finally:
        stop.set()
        for consumer in consumers:
            consumer.join(120)
    assert all("CommitConflict" in each or "commit" in each for each in troubles), troubles
    assert not run(opened(lake), [source]).has_trouble
    compare(lake, tmp_path / "log", writer)
    print(rewinds, "rewinds;", troubles)
