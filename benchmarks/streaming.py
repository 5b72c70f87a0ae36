"""Measure the consumer of streams: how soon an event can be read, and how many it commits.

    python benchmarks/streaming.py [--seconds N] [--rate N] [--events N]

(a) Freshness: `notelake stream` runs as it does by default, in a process of its own; a log is appended to at so many
events a second for so many seconds, and `lake.duckdb` is opened anew all the while to count what can be read. Prints
the seconds from append to readable, of all events after the first ten seconds. (b) Throughput: a log of N events (those
of `streams.py`) is consumed by one process that is warm, in commits of 100,000 and more; prints events/s, CPU seconds,
peak memory, and how long the first and the last commits took. Lakes are made in `benchmarks/.data/` and removed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from bisect import bisect_left
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final
from uuid import uuid4

import duckdb
from streams import DATA, _figures, log

BEAT: Final = 0.01
WARM_SECONDS: Final = 10.0
COMMITS: Final = 5


def main() -> None:
    """Measure both, or be the measured process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="of appending (default: 60)")
    parser.add_argument("--rate", type=int, default=10_000, help="events a second (default: 10000)")
    parser.add_argument("--events", type=int, default=1_000_000, help="of the throughput (default: 1000000)")
    parser.add_argument("--measure", choices=["throughput"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(throughput(given.events)))
        return
    if given.seconds:
        _tell_freshness(given, freshness(given.seconds, given.rate))
    if given.events:
        command = [sys.executable, __file__, "--events", str(given.events), "--measure", "throughput"]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        _tell_throughput(given.events, json.loads(out.splitlines()[-1]))


def freshness(seconds: float, rate: int) -> list[float]:
    """Return the seconds from append to readable of the events that were appended after the first ten seconds."""
    place = DATA / f"streaming-{uuid4().hex}"
    folder, lake = place / "log", place / "lake"
    declared = place / "dagster_project" / "defs" / "sources" / "live"
    declared.mkdir(parents=True)
    folder.mkdir()
    (declared / "defs.yaml").write_text(
        f"type: dagster_project.components.StreamSource\nattributes:\n  name: live\n  path: {folder}\n"
    )
    appended: list[float] = []
    done = Event()
    command = [sys.executable, "-m", "dagster_project.cli", "stream", "live", "--lake", str(lake), "--quiet"]
    consumer = subprocess.Popen(command, env={**os.environ, "NOTELAKE_PROJECT": str(place)})
    writer = Thread(target=_append, args=(folder / "a.jsonl", seconds, rate, appended, done))
    began = time.monotonic()
    writer.start()
    try:
        seen = _watch(lake / "lake.duckdb", appended, done)
    finally:
        writer.join()
        consumer.send_signal(signal.SIGTERM)
        consumer.wait(60)
        shutil.rmtree(place, ignore_errors=True)
    counts, times = [count for count, _ in seen], [at for _, at in seen]
    return [
        times[at] - when
        for number, when in enumerate(appended, start=1)
        if when - began >= WARM_SECONDS and (at := bisect_left(counts, number)) < len(times)
    ]


def _append(file: Path, seconds: float, rate: int, appended: list[float], done: Event) -> None:
    began = time.monotonic()
    said = "notes that sit in silos land in a lake, and come out as views. " * 3
    with file.open("a") as end:
        while (now := time.monotonic()) - began < seconds:
            due = int((now - began) * rate) - len(appended)
            moment = datetime.now(UTC).isoformat()
            lines = [
                json.dumps(
                    {
                        "id": f"e{number}",
                        "detail-type": "note.viewed" if number % 2 else "note.updated",
                        "time": moment,
                        "detail": {"path": f"pages/note {number % 50_000}.md", "actor": "u1", "body": said},
                    }
                )
                for number in range(len(appended), len(appended) + due)
            ]
            end.write("\n".join((*lines, "")) if lines else "")
            end.flush()
            appended.extend([time.monotonic()] * due)
            time.sleep(BEAT)
    done.set()


def _watch(file: Path, appended: list[float], done: Event) -> list[tuple[int, float]]:
    """Open the views anew until all events can be read; return how many could be read when."""
    seen: list[tuple[int, float]] = []
    until = float("inf")
    while time.monotonic() < until:
        if file.exists():
            with duckdb.connect(str(file), read_only=True) as con:
                row = con.execute("SELECT count(*) FROM notes.events").fetchone()
            count = int(row[0]) if row else 0
            if not seen or count > seen[-1][0]:
                seen.append((count, time.monotonic()))
            if done.is_set() and count == len(appended):
                break
        if done.is_set() and until == float("inf"):
            until = time.monotonic() + 60
        time.sleep(0.1)
    return seen


def throughput(events: int) -> dict[str, Any]:
    """Consume a log of so many events; return figures and the seconds of each commit."""
    import dagster_project.audit.expect  # noqa: F401
    from dagster_project.lake.lake import open_lake
    from dagster_project.settings import settings
    from dagster_project.sources import StreamSource
    from dagster_project.streaming import Pace, Progress, consume

    folder = log(events)
    place = DATA / f"lake-{uuid4().hex}"
    commits = [time.perf_counter()]

    def tell(word: str, progress: Progress, detail: str = "") -> None:  # noqa: ARG001
        if word == "committed":
            commits.append(time.perf_counter())

    try:
        lake = open_lake(settings(str(place)), clock=lambda: datetime.now(UTC), ids=lambda: uuid4().hex)
        began = time.perf_counter(), time.process_time()
        pace = Pace(fold_interval=1e9, views_interval=1e9)
        (progress,) = consume(
            lake, [StreamSource(name="events", path=str(folder))], stop=Event(), tell=tell, pace=pace, until="idle"
        )
        whole = _figures(*began)
        return {
            **whole,
            "committing": commits[-1] - commits[0],
            "commits": [later - earlier for earlier, later in pairwise(commits)],
            "counts": str(progress.counts),
        }
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _tell_freshness(given: argparse.Namespace, found: list[float]) -> None:
    found = sorted(found)
    marks = {name: found[min(len(found) - 1, int(len(found) * share))] for name, share in _SHARES.items()}
    print(
        f"freshness   {given.rate:,} events/s for {given.seconds:.0f} s, from append to readable in a newly opened "
        f"lake.duckdb: {', '.join(f'{name} {at:.2f} s' for name, at in marks.items())}, most {found[-1]:.2f} s"
    )


_SHARES: Final = {"p50": 0.5, "p99": 0.99}


def _tell_throughput(events: int, found: dict[str, Any]) -> None:
    commits = found["commits"]
    first, last = commits[:COMMITS], commits[-COMMITS - 1 : -1] or commits[-1:]
    print(
        f"throughput  {events / found['committing']:,.0f} events/s committed, {found['cpu']:.1f} CPU s with the fold, "
        f"peak {found['peak'] / 1024**2:,.0f} MiB, {len(commits)} commits, seconds of the first "
        f"{sum(first) / len(first):.2f} and of the last {sum(last) / len(last):.2f}"
    )
    print(f"counts      {found['counts']}")


if __name__ == "__main__":
    main()
