"""A table source that is loaded in whole, then changed in 1% of its rows, then not at all: each a process of its own.

`python benchmarks/merge.py --rows 1000000` makes narrow rows with columns of all types (about 105 bytes each) in
`benchmarks/.data`, loads them by key (`mode: merge`) from source to committed notes, and loads the file again with 1%
of the rows changed: every hundredth (scattered), or a run of them (clustered). What a changed run takes is told as its
share of the full one, start-up left out of both.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import duckdb
from side_by_side import DATA, Measured, measure
from tables import MIXED

START = "import great_expectations; from dagster_project import pipeline; import dagster_project.lake.lake"
RUN = """
from datetime import UTC, datetime
from uuid import uuid4
import great_expectations
from dagster_project.lake.lake import open_lake
from dagster_project.pipeline import run_source
from dagster_project.settings import settings
from dagster_project.sources import TableSource
lake = open_lake(settings({lake!r}), clock=lambda: datetime.now(UTC), ids=lambda: uuid4().hex)
source = TableSource(name="rows", path={csv!r}, mode="merge", note={{"key": "id", "body": "comment"}})
report = run_source(lake, source)
assert not report.error, report.error
print(report.counts)
"""
CHANGES = {"scattered": "id % 100 = 37", "clustered": "id BETWEEN {rows} // 2 AND {rows} // 2 + {rows} // 100 - 1"}


def write(csv: Path, rows: int, changed: str) -> None:
    """Write the rows, those changed of which `changed` (SQL) is true."""
    mixed = MIXED.format(rows=rows)
    told = f"CASE WHEN {changed} THEN comment || ', changed' ELSE comment END AS comment"
    duckdb.sql(f"SELECT * REPLACE ({told}) FROM ({mixed})").write_csv(str(csv))


def run(name: str, lake: Path, csv: Path, start: float) -> Measured:
    """Run the source once, and tell it as a row of the table."""
    done = measure([sys.executable, "-c", RUN.format(lake=str(lake), csv=str(csv))])
    print(f"{name}: {done.output.strip().splitlines()[-1]}", file=sys.stderr)
    print(f"| {name} | {done.wall:.2f} | {done.wall - start:.2f} | {done.cpu:.2f} | {done.peak_mb:,.0f} |", end="")
    return done


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    DATA.mkdir(exist_ok=True)
    lake, csv = DATA / "merge-lake", DATA / "merge.csv"
    start = measure([sys.executable, "-c", START]).wall
    print(
        "| run | wall s | beyond start-up | CPU s | peak MB | share of the full run |\n|---|---:|---:|---:|---:|---:|"
    )
    for kind in ("scattered", "clustered"):
        shutil.rmtree(lake, ignore_errors=True)
        write(csv, rows, "false")
        full = run(f"{rows:,} rows, all new", lake, csv, start).wall - start
        print(" 1.00 |")
        write(csv, rows, CHANGES[kind].format(rows=rows))
        for name in (f"1% changed, {kind}", "nothing changed"):
            print(f" {(run(name, lake, csv, start).wall - start) / full:.2f} |")
    shutil.rmtree(lake, ignore_errors=True)
    csv.unlink()


if __name__ == "__main__":
    main()
