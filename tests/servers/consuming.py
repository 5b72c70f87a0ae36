"""A consumer of streams that runs beside a test, while the test ends and begins the server it reads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dagster_project.lake.lake import Lake
from dagster_project.sources import StreamSource
from dagster_project.streaming import Pace, Progress, consume

PACE = Pace(interval=0.1, fold_interval=3600, views_interval=3600)


@contextmanager
def consuming(lake: Lake, source: StreamSource) -> Iterator[list[str]]:
    """Consume a stream until the block ends, which waits for the last fold; yields the words it tells."""
    stop, words = threading.Event(), list[str]()

    def tell(word: str, progress: Progress, detail: str = "") -> None:
        words.append(word)

    more = {"stop": stop, "tell": tell, "pace": PACE}
    consumer = threading.Thread(target=consume, args=(lake, [source]), kwargs=more)
    consumer.start()
    try:
        yield words
    finally:
        stop.set()
        consumer.join(120)


def wait_for(holds: Callable[[], bool]) -> None:
    """Wait until something holds, a minute at the most."""
    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.1)
