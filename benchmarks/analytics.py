"""Twenty analytical queries over notes and events, in DuckDB through views as notelake writes them, and in Spark SQL.

Both read the same Parquet files, warm: each query runs once, then the best of three counts. The second table compares a
view with the bare `read_parquet` it stands for. Spark is that of `tests/servers/install.sh`; without it its column is empty.

`python benchmarks/analytics.py --rows 10000000` takes what the aim is stated for; the default is smaller.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import duckdb

from dagster_project.contracts import INSTANT, INT, TEXT, Column
from dagster_project.lake.read import scan

SPARK = Path(__file__).parents[1] / ".servers" / "venv" / "bin" / "python"
FILES = 8
NOTES = (
    Column(1, "note_id", TEXT, ""), Column(2, "source", TEXT, ""), Column(3, "kind", TEXT, ""), Column(4, "title", TEXT, ""),
    Column(5, "author", TEXT, ""), Column(6, "word_count", INT, ""), Column(7, "modified_at", INSTANT, ""),
)  # fmt: skip
EVENTS = (
    Column(1, "event_id", TEXT, ""), Column(2, "source", TEXT, ""), Column(3, "type", TEXT, ""), Column(4, "note_id", TEXT, ""),
    Column(5, "actor", TEXT, ""), Column(6, "size", INT, ""), Column(7, "occurred_at", INSTANT, ""),
)  # fmt: skip
ROWS = {
    "notes": "SELECT md5(i::VARCHAR) AS note_id, 's' || (i % 12) AS source, ['document', 'row', 'event'][1 + i % 3] AS kind, "
    "'note about ' || (hash(i) % 5000) AS title, 'a' || (hash(i + 1) % 900) AS author, "
    "(hash(i + 2) % 900)::BIGINT AS word_count, "
    "TIMESTAMPTZ '2025-01-01 00:00:00+00' + to_seconds((hash(i + 3) % 31000000)::BIGINT) AS modified_at",
    "events": "SELECT md5('e' || i) AS event_id, 's' || (i % 12) AS source, "
    "['created', 'updated', 'moved', 'asked', 'deleted'][1 + (hash(i) % 5)::INT] AS type, "
    "md5((hash(i + 4) % {notes})::VARCHAR) AS note_id, 'p' || (hash(i + 5) % 2000) AS actor, "
    "(hash(i + 6) % 10000)::BIGINT AS size, "
    "TIMESTAMPTZ '2025-01-01 00:00:00+00' + to_seconds((hash(i + 7) % 31000000)::BIGINT) AS occurred_at",
}
QUERIES = {
    "count": "SELECT count(*) FROM notes",
    "notes of a source": "SELECT source, count(*), sum(word_count) FROM notes GROUP BY source",
    "kinds of sources": "SELECT source, kind, avg(word_count) FROM notes GROUP BY source, kind",
    "authors": "SELECT author, count(*) AS n FROM notes GROUP BY author ORDER BY n DESC, author LIMIT 10",
    "titles": "SELECT count(DISTINCT title) FROM notes",
    "longest": "SELECT note_id, word_count FROM notes ORDER BY word_count DESC, note_id LIMIT 20",
    "filter": "SELECT count(*) FROM notes WHERE word_count > 800 AND kind = 'document'",
    "like": "SELECT count(*) FROM notes WHERE title LIKE '%about 49%'",
    "months": "SELECT date_trunc('month', modified_at) AS m, count(*) FROM notes GROUP BY date_trunc('month', modified_at)",
    "one note": "SELECT title FROM notes WHERE note_id = md5('77')",
    "events of a type": "SELECT type, count(*), avg(size) FROM events GROUP BY type",
    "days": "SELECT CAST(occurred_at AS DATE) AS d, count(*) FROM events GROUP BY CAST(occurred_at AS DATE)",
    "actors": "SELECT count(DISTINCT actor) FROM events WHERE type = 'asked'",
    "busiest": "SELECT actor, count(*) AS n FROM events GROUP BY actor HAVING count(*) > 10 ORDER BY n DESC, actor LIMIT 10",
    "pivot": "SELECT source, count(CASE WHEN type = 'created' THEN 1 END), count(CASE WHEN type = 'deleted' THEN 1 END) "
    "FROM events GROUP BY source",
    "month's events": "SELECT count(*), sum(size) FROM events WHERE occurred_at >= TIMESTAMP '2025-06-01 00:00:00' "
    "AND occurred_at < TIMESTAMP '2025-07-01 00:00:00'",
    "join": "SELECT n.kind, count(*), sum(e.size) FROM events e JOIN notes n ON n.note_id = e.note_id GROUP BY n.kind",
    "untouched": "SELECT count(*) FROM notes n LEFT JOIN events e ON e.note_id = n.note_id WHERE e.event_id IS NULL",
    "first of each": "SELECT count(*) FROM (SELECT source, author, row_number() OVER (PARTITION BY source, author "
    "ORDER BY word_count DESC, note_id) AS place FROM notes) t WHERE place = 1",
    "running sum": "SELECT max(total) FROM (SELECT sum(n) OVER (ORDER BY d) AS total FROM (SELECT CAST(occurred_at AS DATE) AS d, "
    "count(*) AS n FROM events GROUP BY CAST(occurred_at AS DATE)) t) u",
}
IN_SPARK = """
import json, sys, time
from pyspark.sql import SparkSession
task = json.loads(sys.stdin.read())
spark = (SparkSession.builder.master("local[*]").config("spark.ui.enabled", "false").config("spark.driver.memory", "4g")
         .config("spark.sql.session.timeZone", "UTC").config("spark.sql.shuffle.partitions", task["threads"]).getOrCreate())
for name, folder in task["tables"].items():
    spark.read.parquet(folder).createOrReplaceTempView(name)
told = {}
for name, sql in task["queries"].items():
    times = []
    for _ in range(1 + task["runs"]):
        start = time.perf_counter()
        rows = spark.sql(sql).collect()
        times.append(time.perf_counter() - start)
    told[name] = [min(times[1:]), len(rows)]
print("TOLD " + json.dumps(told))
"""


def generate(folder: Path, rows: int) -> None:
    """Write half of the rows as notes and half as events, in `FILES` files each, with field ids."""
    with duckdb.connect() as con:
        for name, columns in (("notes", NOTES), ("events", EVENTS)):
            (folder / name).mkdir()
            each = rows // 2 // FILES
            ids = ", ".join(f"{column.name}: {column.field_id}" for column in columns)
            for number in range(FILES):
                select = (
                    f"{ROWS[name].format(notes=rows // 2)} FROM range({number * each}, {(number + 1) * each}) AS t(i)"
                )
                file = folder / name / f"{number}.parquet"
                con.execute(f"COPY ({select}) TO '{file}' (FORMAT parquet, COMPRESSION zstd, FIELD_IDS {{{ids}}})")


def files(folder: Path, name: str) -> list[str]:
    """Return the files of a table."""
    return [str(file) for file in sorted((folder / name).glob("*.parquet"))]


def best(ask: Callable[[], object], runs: int) -> float:
    """Return the seconds of the best of some runs, after one that does not count."""
    times = []
    for _ in range(1 + runs):
        start = perf_counter()
        ask()
        times.append(perf_counter() - start)
    return min(times[1:])


def in_spark(folder: Path, runs: int) -> dict[str, tuple[float, int]]:
    """Return seconds and rows of each query in Spark; nothing if it is not here."""
    if not SPARK.is_file():
        return {}
    tables = {name: str(folder / name) for name in ROWS}
    task = {"tables": tables, "queries": QUERIES, "runs": runs, "threads": os.cpu_count()}
    done = subprocess.run(
        [str(SPARK), "-c", IN_SPARK], input=json.dumps(task), capture_output=True, text=True, check=True
    )
    told: dict[str, tuple[float, int]] = json.loads(done.stdout.split("TOLD ", 1)[1])
    return told


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rows", type=int, default=400_000, help="notes and events together")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--no-spark", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        generate(folder, given.rows)
        spark = {} if given.no_spark else in_spark(folder, given.runs)
        with duckdb.connect() as con:
            con.execute("SET TimeZone = 'UTC'; CREATE SCHEMA bare")
            for name, columns in (("notes", NOTES), ("events", EVENTS)):
                con.execute(f"CREATE VIEW {name} AS SELECT * FROM {scan(columns, files(folder, name))} AS pinned")
                con.execute(f"CREATE VIEW bare.{name} AS SELECT * FROM read_parquet({files(folder, name)})")
            show(con, spark, given.rows, given.runs)


def show(con: duckdb.DuckDBPyConnection, spark: dict[str, tuple[float, int]], rows: int, runs: int) -> None:
    """Time each query in DuckDB, over views and bare, and print a row for each."""
    print(f"| query over {rows:,} notes and events | view, ms | Spark, ms | times | view / bare read_parquet |")
    print("|---|---|---|---|---|")
    times, ratios = [], []
    for name, sql in QUERIES.items():
        found = len(con.execute(sql).fetchall())
        ours = best(lambda sql=sql: con.execute(sql).fetchall(), runs)  # type: ignore[misc]
        con.execute("SET search_path = 'bare'")
        bare = best(lambda sql=sql: con.execute(sql).fetchall(), runs)  # type: ignore[misc]
        con.execute("SET search_path = 'main'")
        ratios.append(ours / bare)
        theirs, count = spark.get(name, (math.nan, found))
        assert count == found, f"{name}: Spark gives {count} rows, DuckDB {found}"
        times.append(theirs / ours)
        print(f"| {name} | {ours * 1000:.1f} | {theirs * 1000:.0f} | {theirs / ours:.1f} | {ours / bare:.2f} |")
    mean = math.exp(sum(map(math.log, times)) / len(times))
    print(
        f"\nGeometric mean: {mean:.1f} times as fast as Spark; a view against the bare scan, median {median(ratios):.2f}."
    )


if __name__ == "__main__":
    main()
