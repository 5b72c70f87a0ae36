"""The same events by notelake's consumer, by Spark Structured Streaming and by dlt: each warm, in one run, in turn.

    python benchmarks/streams_peers.py [--events N] [--warm N] [--batch N] [--dlt-events N] [--rounds N]
        [--spark .servers/venv/bin/python] [--dlt /tmp/dlt/bin/python]

The peers have environments of their own, since their pins are not ours: Spark's is the one `tests/servers/install.sh`
makes (it needs Java), dlt's is `python -m venv /tmp/dlt && /tmp/dlt/bin/pip install 'dlt[duckdb,parquet]'`. One whose
interpreter is not there is left out, and told.

The work: JSON lines in, raw as it was received and typed events, each id once, on disk. The events are those of
`streams.py`, in files of one batch. The first `--warm` batches are done before the clock starts, then the others are
laid beside them: it ends when all are committed.

- notelake: `streaming.consume`, with all that it does in production: positions, audit, ledger, dead letters, catalog.
- Spark: two queries with a checkpoint each, from the same folder of files, a file a micro-batch: raw to Parquet, and
  events, `from_json` with a given schema, `withWatermark` and `dropDuplicates` by source and id, to Parquet by day.
  Its state is in memory, its defaults but for 2 shuffle partitions, which on two cores is its fastest.
- dlt: as its documentation says: `merge` by primary key into DuckDB, and raw appended, a `run` a batch. With
  `--dlt-events`, on fewer events, since it takes long; the rate is told.

What is printed is events a second after the warm-up, CPU microseconds an event of the whole process tree in that time
(Linux only; on a machine that is busy, compare these), and how many times as fast notelake is.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any, Final
from uuid import uuid4

from side_by_side import DATA
from streams import log

# What each peer runs in its own interpreter: it takes the folder it works in as its argument, where `ready` holds the
# files of the warm-up and `later` the others, and prints a line of JSON.
_COMMON: Final = '''
import json, os, sys, time
def spent():
    """CPU seconds of this process and all below it, those that have ended too."""
    total, waiting = 0, [os.getpid()]
    while waiting:
        pid = waiting.pop()
        try:
            stat = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
            total += sum(map(int, stat[11:15]))
            for task in os.listdir(f"/proc/{pid}/task"):
                waiting += map(int, open(f"/proc/{pid}/task/{task}/children").read().split())
        except OSError:
            pass
    return total / os.sysconf("SC_CLK_TCK")
place = sys.argv[1]
ready, later = f"{place}/ready", f"{place}/later"
files = sorted(os.listdir(later))
'''
_SPARK: Final = (
    _COMMON
    + """
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
builder = SparkSession.builder.master("local[2]")
for name, value in {
    "spark.driver.memory": "3g",
    "spark.ui.enabled": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "2",
    "spark.local.dir": f"{place}/local",
}.items():
    builder = builder.config(name, value)
spark = builder.getOrCreate()
spark.sparkContext.setLogLevel("ERROR")
lines = spark.readStream.option("maxFilesPerTrigger", 1).text(ready)
parsed = F.from_json("value", "id STRING, `detail-type` STRING, source STRING, time TIMESTAMP, detail STRING")
said = F.from_json("e.detail", "path STRING, `from` STRING, actor STRING")
events = (
    lines.select(parsed.alias("e"))
    .where("e.id IS NOT NULL AND e.`detail-type` IS NOT NULL AND e.time IS NOT NULL")
    .withColumn("d", said)
    .selectExpr("e.id AS event_id", "e.source", "e.`detail-type` AS type", "e.time AS occurred_at", "d.path",
                "d.`from` AS moved_from", "d.actor", "e.detail", "to_date(e.time) AS day")
    .withWatermark("occurred_at", "30 days")
    .dropDuplicates(["source", "event_id"])
)
raw = lines.selectExpr("value AS payload", "_metadata.file_name AS shard", "current_timestamp() AS landed_at")
def sink(frame, name):
    return (frame.writeStream.format("parquet").option("path", f"{place}/{name}")
            .option("checkpointLocation", f"{place}/checkpoint-{name}"))
queries = [sink(raw, "raw").start(), sink(events, "events").partitionBy("day").start()]
for query in queries:
    query.processAllAvailable()
began, cpu = time.perf_counter(), spent()
for file in files:
    os.rename(f"{later}/{file}", f"{ready}/{file}")
for query in queries:
    query.processAllAvailable()
seconds = time.perf_counter() - began
used = spent() - cpu
rows = {name: spark.read.parquet(f"{place}/{name}").count() for name in ("raw", "events")}
for query in queries:
    query.stop()
print("TOLD " + json.dumps({"seconds": seconds, "cpu": used, **rows}))
spark.stop()
"""
)
_DLT: Final = (
    _COMMON
    + """
import dlt
pipeline = dlt.pipeline("peer", destination=dlt.destinations.duckdb(f"{place}/peer.duckdb"), dataset_name="lake",
                        pipelines_dir=f"{place}/pipelines")
def run(file):
    @dlt.resource(name="raw", write_disposition="append")
    def raw():
        with open(file) as lines:
            for number, line in enumerate(lines):
                yield {"payload": line, "shard": file, "shard_sequence": number}
    @dlt.resource(name="events", write_disposition="merge", primary_key=("source", "event_id"),
                  columns={"detail": {"data_type": "json"}, "occurred_at": {"data_type": "timestamp"}})
    def events():
        with open(file) as lines:
            for event in map(json.loads, lines):
                detail = event["detail"]
                yield {"event_id": event["id"], "source": event["source"], "type": event["detail-type"],
                       "occurred_at": event["time"], "path": detail.get("path"), "moved_from": detail.get("from"),
                       "actor": detail.get("actor"), "detail": detail}
    pipeline.run([raw(), events()], loader_file_format="parquet").raise_on_failed_jobs()
for file in sorted(os.listdir(ready)):
    run(f"{ready}/{file}")
began, cpu = time.perf_counter(), spent()
for file in files:
    run(f"{later}/{file}")
seconds, used = time.perf_counter() - began, spent() - cpu
with pipeline.sql_client() as client:
    rows = {name: client.execute_sql(f"SELECT count(*) FROM {name}")[0][0] for name in ("raw", "events")}
print("TOLD " + json.dumps({"seconds": seconds, "cpu": used, **rows}))
"""
)


def main() -> None:
    """Measure each in turn, or be notelake's process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000, help="after the warm-up (default: 1000000)")
    parser.add_argument("--batch", type=int, default=100_000, help="events of a file (default: 100000)")
    parser.add_argument("--warm", type=int, default=3, help="batches before the clock starts (default: 3)")
    parser.add_argument("--dlt-events", type=int, default=100_000, help="for dlt, after a batch (default: 100000)")
    parser.add_argument("--rounds", type=int, default=1, help="rounds of each; the best is told (default: 1)")
    parser.add_argument("--spark", default=os.environ.get("NOTELAKE_BENCHMARK_SPARK", ".servers/venv/bin/python"))
    parser.add_argument("--dlt", default=os.environ.get("NOTELAKE_BENCHMARK_DLT", "/tmp/dlt/bin/python"))
    parser.add_argument("--consume", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.consume:
        print("TOLD " + json.dumps(consumed(Path(given.consume), given.batch)))
        return
    peers = {
        "notelake": ([sys.executable, __file__, "--batch", str(given.batch), "--consume"], given.warm, given.events),
        "Spark": ([given.spark, "-c", _SPARK], given.warm, given.events),
        "dlt": ([given.dlt, "-c", _DLT], 1, given.dlt_events),
    }
    for name, (command, *_) in list(peers.items()):
        if not Path(command[0]).exists():
            print(f"{name} is left out: there is no {command[0]}.")
            del peers[name]
    best: dict[str, dict[str, Any]] = {}
    for _ in range(given.rounds):
        for name, (command, warm, events) in peers.items():
            found = _measure(command, warm * given.batch, events, given.batch)
            if name not in best or found["seconds"] < best[name]["seconds"]:
                best[name] = found
    _tell(best)


def _measure(command: list[str], warm: int, events: int, batch: int) -> dict[str, Any]:
    place = DATA / f"peer-{uuid4().hex}"
    try:
        _lay(place, warm, events, batch)
        done = subprocess.run([*command, str(place)], check=False, capture_output=True, text=True)
        told = [line for line in done.stdout.splitlines() if line.startswith("TOLD ")]
        if done.returncode or not told:
            raise SystemExit(f"{command[0]} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
        return {"counted": events, **json.loads(told[0].removeprefix("TOLD "))}
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _lay(place: Path, warm: int, events: int, batch: int) -> None:
    """Write the events to files of a batch each: `ready` those of the warm-up, `later` the others."""
    for name in ("ready", "later"):
        (place / name).mkdir(parents=True)
    shards = [file.open("rb") for file in sorted(log(warm + events).iterdir())]
    for start in range(0, warm + events, batch):
        with (place / ("ready" if start < warm else "later") / f"part-{start // batch:04d}.jsonl").open("wb") as file:
            for number in range(start, min(start + batch, warm + events)):
                file.write(shards[number % len(shards)].readline())
    for shard in shards:
        shard.close()


def consumed(place: Path, batch: int) -> dict[str, Any]:
    """Consume what is ready, then lay the others beside it; return what they took, and the rows there are."""
    from dagster_project.lake.lake import open_lake
    from dagster_project.lake.read import relation
    from dagster_project.settings import settings
    from dagster_project.sources import StreamSource
    from dagster_project.streaming import Pace, Progress, consume

    warm, later = (sum(1 for file in (place / name).iterdir() for _ in file.open("rb")) for name in ("ready", "later"))
    stop = Event()
    marks: list[tuple[float, float]] = []

    def tell(word: str, progress: Progress, detail: str = "") -> None:
        if word == "trouble":
            raise SystemExit(f"{word}: {detail}")
        if word != "committed":
            return
        if not marks and progress.counts.seen >= warm:
            for file in sorted((place / "later").iterdir()):
                file.rename(place / "ready" / file.name)
            marks.append((time.perf_counter(), time.process_time()))
        elif marks:
            marks.append((time.perf_counter(), time.process_time()))
        if progress.counts.seen == warm + later:
            stop.set()

    lake = open_lake(settings(str(place / "lake")), clock=lambda: datetime.now(UTC), ids=lambda: uuid4().hex)
    source = StreamSource(name="events", path=str(place / "ready"))
    pace = Pace(max_events=batch, fold_interval=1e9, views_interval=1e9)
    consume(lake, [source], stop=stop, tell=tell, pace=pace)
    (began, cpu), (ended, used) = marks[0], marks[-1]
    with lake.connect() as con:
        counted = {
            name: con.execute(f"SELECT count(*) FROM {relation(lake.pins()[table])} AS t").fetchone()
            for name, table in (("raw", "raw.events"), ("events", "notes.events"))
        }
    rows = {name: count[0] if count else 0 for name, count in counted.items()}
    return {"seconds": ended - began, "cpu": used - cpu, "commits": len(marks) - 1, **rows}


def _tell(best: dict[str, dict[str, Any]]) -> None:
    rates = {name: found["counted"] / found["seconds"] for name, found in best.items()}
    costs = {name: found["cpu"] / found["counted"] * 1e6 for name, found in best.items()}
    for name, found in best.items():
        wall, cpu = rates["notelake"] / rates[name], costs[name] / costs["notelake"]
        ratio = f"; notelake is {wall:.2f} times as fast, {cpu:.2f} times in CPU"
        print(
            f"{name:9} {rates[name]:10,.0f} events/s  {costs[name]:7.1f} CPU us an event  {found['seconds']:7.2f} s "
            f"for {found['counted']:,}; {found['raw']:,} in raw, {found['events']:,} events"
            + ("" if name == "notelake" else ratio)
        )


if __name__ == "__main__":
    main()
