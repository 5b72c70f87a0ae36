"""Measure a stream from log to commit beside DuckDB's bare `read_json` to Parquet of the same files.

    python benchmarks/streams.py [--events N] [--rounds N] [--batches N]

Makes N note events in two shards of JSON lines (the same ones each time) in `benchmarks/.data/`, then, in
processes of their own that take turns, (a) copies them to Parquet with DuckDB and nothing else, the limit that
parsing and encoding set, and (b) runs `pipeline.run_source` on a new lake: land, shape, audit, commit. Prints the
best round of each: events/s, their ratio, CPU seconds, peak memory, and how (b) divides into its stages.
Importing great_expectations (3 s, once per process) is done before the clock starts. With `--batches`, the shards are
appended to in so many steps, each a run of its own on the same lake.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from time import perf_counter, process_time
from typing import Any, Final
from uuid import uuid4

import duckdb

DATA: Final = Path(__file__).parent / ".data"
SHARDS: Final = 2
PATHS: Final = 50_000
STAGES: Final = (
    ("land", "land.committed"),
    ("shape", "shape.staged"),
    ("audit", "audit.judged"),
    ("commit", "commit.committed"),
)
"""Each stage and the failpoint it ends at."""
FIRST_DAY: Final = datetime(2026, 5, 11, tzinfo=UTC)
DAYS: Final = 7
KINDS: Final = {"note.viewed": 4500, "note.updated": 3500, "note.created": 1500, "note.deleted": 495, "note.moved": 5}
"""Events of a type among 10,000."""
DUPLICATES: Final = 0.001


def main() -> None:
    """Measure the two, or be one of the measured processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each (default: 3)")
    parser.add_argument("--batches", type=int, default=1, help="runs the events arrive in (default: 1)")
    parser.add_argument("--measure", choices=MEASURED, help=argparse.SUPPRESS)
    given = parser.parse_args()
    folder = log(given.events)
    if given.measure:
        print(json.dumps(MEASURED[given.measure](folder, given.batches)))
        return
    rounds = [{name: _in_a_process(name, given) for name in MEASURED} for _ in range(given.rounds)]
    best = {name: min((found[name] for found in rounds), key=lambda figures: figures["seconds"]) for name in MEASURED}
    _tell(given.events, folder, best)


def log(events: int) -> Path:
    """Return the folder of a log of so many events; make it if it isn't there."""
    folder = DATA / f"events-{events}"
    if folder.is_dir():
        return folder
    making = DATA / f"making-{uuid4().hex}"
    making.mkdir(parents=True)
    with ExitStack() as stack:
        shards = [stack.enter_context((making / f"shard-{shard}.jsonl").open("w")) for shard in range(SHARDS)]
        for number, line in enumerate(_lines(events)):
            shards[number % SHARDS].write(line)
    making.rename(folder)
    return folder


def _lines(events: int) -> Iterator[str]:
    """Yield a week of events on 50,000 notes, a few of them sent twice."""
    random = Random(20260511)
    kinds = random.choices(list(KINDS), weights=list(KINDS.values()), k=events)
    sent: deque[str] = deque(maxlen=1000)
    for number, kind in enumerate(kinds):
        line = random.choice(sent) if sent and random.random() < DUPLICATES else _line(number, kind, events, random)
        sent.append(line)
        yield line


def _line(number: int, kind: str, events: int, random: Random) -> str:
    at = FIRST_DAY + timedelta(days=DAYS * number / events)
    detail = {
        "path": _path(random),
        "actor": f"u{random.randrange(900):08x}",
        **_said(number, kind, random),
        "commit": f"{number:012x}",
    }
    event = {
        "id": f"{random.getrandbits(96):024x}",
        "detail-type": kind,
        "source": "community.notes",
        "time": at.isoformat(),
        "detail": detail,
    }
    return json.dumps(event) + "\n"


def _path(random: Random) -> str:
    note = random.randrange(PATHS)
    return f"pages/section {note % 97}/note {note}.md"


def _said(number: int, kind: str, random: Random) -> dict[str, Any]:
    if kind == "note.moved":
        return {"from": _path(random)}
    if kind in ("note.created", "note.updated"):
        body = "notes that sit in silos land in a lake, and come out as views."
        return {
            "title": f"On lakes, {number % 5000}",
            "tags": ["lake", f"t{number % 50}"],
            "body": f"Revision {number}:\n{body}",
        }
    client = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0)"
    return {
        "session": f"{random.getrandbits(128):032x}",
        "client": client,
        "referrer": f"https://notes.example.org/{number % 97}?ref=feed",
    }


def _in_a_process(name: str, given: argparse.Namespace) -> dict[str, Any]:
    command = [
        sys.executable,
        __file__,
        "--events",
        str(given.events),
        "--batches",
        str(given.batches),
        "--measure",
        name,
    ]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


def copy(folder: Path, batches: int) -> dict[str, Any]:  # noqa: ARG001
    """Copy the log to one Parquet file, typed as `read_json` sees it."""
    target = DATA / f"copy-{uuid4().hex}.parquet"
    try:
        with duckdb.connect() as con:
            began = perf_counter(), process_time()
            con.execute(
                f"COPY (FROM read_json('{folder}/*.jsonl', format='newline_delimited')) TO '{target}' (FORMAT parquet)"
            )
            return _figures(*began)
    finally:
        target.unlink(missing_ok=True)


def run(folder: Path, batches: int) -> dict[str, Any]:
    """Run the log through the pipeline into a new lake."""
    import dagster_project.audit.expect  # noqa: F401
    from dagster_project import pipeline
    from dagster_project.lake.lake import open_lake
    from dagster_project.settings import settings
    from dagster_project.sources import StreamSource

    place = DATA / f"lake-{uuid4().hex}"
    source_folder = folder if batches == 1 else place / "log"
    source = StreamSource(name="events", path=str(source_folder))
    stages = dict.fromkeys((name for name, _ in STAGES), 0.0)
    try:
        lake = open_lake(settings(str(place / "lake")), clock=lambda: datetime.now(UTC), ids=lambda: uuid4().hex)
        seconds = cpu = 0.0
        for _ in _arriving(folder, source_folder, batches):
            began = perf_counter(), process_time()
            with _split(stages):
                report = pipeline.run_source(lake, source)
            figures = _figures(*began)
            seconds, cpu = seconds + figures["seconds"], cpu + figures["cpu"]
            if report.error or not report.counts.is_balanced:
                raise SystemExit(f"{report.counts} {report.error}")
        return {
            **figures,
            "seconds": seconds,
            "cpu": cpu,
            "last": figures["seconds"],
            "stages": stages,
            "counts": str(report.counts),
        }
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _arriving(folder: Path, target: Path, batches: int) -> Iterator[None]:
    """Append the next part of each shard, and let the caller run, so many times."""
    if batches == 1:
        yield
        return
    target.mkdir(parents=True)
    shards = {file.name: file.read_bytes().splitlines(keepends=True) for file in sorted(folder.iterdir())}
    for batch in range(batches):
        for name, lines in shards.items():
            with (target / name).open("ab") as file:
                file.writelines(lines[batch * len(lines) // batches : (batch + 1) * len(lines) // batches])
        yield


@contextmanager
def _split(stages: dict[str, float]) -> Iterator[None]:
    """Add to `stages` the seconds between the failpoints that end them."""
    from dagster_project.failpoints import arm

    last = perf_counter()

    def end(stage: str) -> Callable[[], None]:
        def stamp() -> None:
            nonlocal last
            now = perf_counter()
            stages[stage] += now - last
            last = now

        return stamp

    with ExitStack() as armed:
        for stage, failpoint in STAGES:
            armed.enter_context(arm(failpoint, end(stage)))
        yield


def _figures(wall: float, cpu: float) -> dict[str, Any]:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {"seconds": perf_counter() - wall, "cpu": process_time() - cpu, "peak": peak}


def _tell(events: int, folder: Path, best: dict[str, dict[str, Any]]) -> None:
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"events   {events:,} in {SHARDS} shards, {size / 1e6:.0f} MB, {size / events:.0f} bytes each")
    for name, found in best.items():
        print(
            f"{name:8} {found['seconds']:6.2f} s  {events / found['seconds']:10,.0f} events/s  "
            f"{found['cpu']:6.2f} CPU s  peak {found['peak'] / 1024**2:,.0f} MiB"
        )
    seconds, cpu = (best["run"][measure] / best["copy"][measure] for measure in ("seconds", "cpu"))
    print(f"ratio    {seconds:.2f} (CPU {cpu:.2f})")
    print("stages   " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in best["run"]["stages"].items()))
    print(f"counts   {best['run']['counts']}")


MEASURED: Final[dict[str, Callable[[Path, int], dict[str, Any]]]] = {"copy": copy, "run": run}


if __name__ == "__main__":
    main()
