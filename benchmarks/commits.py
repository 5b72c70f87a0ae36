"""Measure whether commits of a stream take as long after thousands of them as at first.

    python benchmarks/commits.py [--commits N] [--events N]

Appends so many events to a log, lands and commits them as `notelake stream` does, and renews the views, over and over
on one lake in `benchmarks/.data/`. Prints the CPU milliseconds per commit (landing, commit, views) of each tenth of
them, and what the lake has at the end: data files, snapshots, bytes of metadata in use. Folding is not in it.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import sys
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from time import process_time
from uuid import uuid4

from streams import DATA

from dagster_project.audit import expect  # noqa: F401  its import is not measured
from dagster_project.contracts import EVENTS
from dagster_project.lake.lake import Lake, open_lake
from dagster_project.pipeline import commit_events, land, serve
from dagster_project.reports import quiet
from dagster_project.settings import settings
from dagster_project.sources import StreamSource
from dagster_project.steps.arrived import Arrived
from dagster_project.steps.seen import Seen
from dagster_project.steps.tidy import Tidy

STEPS = ("land", "commit", "views")


def main() -> None:
    """Commit and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commits", type=int, default=2_000)
    parser.add_argument("--events", type=int, default=1_000, help="of a commit (default: 1000)")
    given = parser.parse_args()
    place = DATA / f"commits-{uuid4().hex}"
    (place / "log").mkdir(parents=True)
    lake = open_lake(settings(str(place / "lake")), clock=lambda: datetime.now(UTC), ids=lambda: uuid4().hex)
    lake.keep_database()
    try:
        taken = _commit_all(lake, place / "log", given.commits, given.events)
        edges = [given.commits * tenth // 10 for tenth in range(11)]
        for first, end in pairwise(edges):
            spent = [1e3 * sum(each[step] for each in taken[first:end]) / (end - first) for step in range(len(STEPS))]
            told = ", ".join(f"{name} {millis:.0f}" for name, millis in zip(STEPS, spent, strict=True))
            print(f"commits {first + 1:5} to {end:5}: {sum(spent):5.0f} CPU ms each ({told})")
        _tell_lake(lake)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _commit_all(lake: Lake, log: Path, commits: int, events: int) -> list[tuple[float, ...]]:
    source, seen, tidy = StreamSource(name="live", path=str(log)), Seen(), Tidy(lake, "live")
    taken = []
    for number in range(commits):
        _append(log / "a.jsonl", number * events, events)
        arrived, marks = Arrived(), [process_time()]
        landed = land(lake, source, observe=quiet, most=100_000, keep=arrived, tidy=tidy)
        marks.append(process_time())
        given = {"seen": seen, "arrived": arrived, "tidy": tidy, "up_to": landed.last_sequence}
        (batch,) = commit_events(lake, source, later=[], **given)  # type: ignore[arg-type]
        marks.append(process_time())
        serve(lake)
        lake.forget_past()
        marks.append(process_time())
        taken.append(tuple(later - earlier for earlier, later in pairwise(marks)))
        if batch.counts.committed != events:
            raise SystemExit(f"{batch.counts}")
    tidy.close()
    return taken


def _append(file: Path, first: int, events: int) -> None:
    moment = datetime.now(UTC).isoformat()
    said = "notes that sit in silos land in a lake, and come out as views. " * 3
    with file.open("a") as end:
        for number in range(first, first + events):
            detail = {"path": f"pages/note {number % 50_000}.md", "actor": "u1", "body": said}
            event = {"id": f"e{number}", "detail-type": "note.updated", "time": moment, "detail": detail}
            end.write(json.dumps(event) + "\n")


def _tell_lake(lake: Lake) -> None:
    for name in ("raw.live", EVENTS.identifier):
        pin = lake.pins([name])[name]
        metadata = lake.metadata(pin.metadata_location)
        size = lake.io.new_input(pin.metadata_location).open().seek(0, 2)
        print(
            f"{name}: {pin.rows:,} rows in {len(pin.files)} files, {len(metadata.snapshots)} snapshots, {size:,} bytes"
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)
    print(f"peak of the process {peak:,.0f} MiB")


if __name__ == "__main__":
    main()
