"""Peak memory of all processes together while tables of 1, 5 and 10 million rows are landed, or run as a whole.

`python benchmarks/memory.py` takes CSV (nine columns, those of `tables.py --mixed`), nested JSON lines and PostgreSQL,
each landed alone and run from source to commit (land, shape, audit, commit); then once more, which finds nothing new.
`--rows`, `--sources` and `--steps` choose among them. CPU seconds are without the database server's, as is memory,
which is sampled ten times a second.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from contextlib import ExitStack

from databases import FILL, do, server
from side_by_side import DATA, spend
from tables import prepare

STEPS = {"land": "land(lake, source, observe=quiet)", "run": "run_source(lake, source)"}
SOURCES = {
    "csv": 'TableSource(name="rows", path={path!r}, note={{"key": "id", "body": "comment"}})',
    "jsonl": 'TableSource(name="rows", path={path!r}, note={{"key": "id", "body": "comment"}})',
    "postgresql": 'TableSource(name="rows", path="postgresql://", address_variable="BENCHMARK", table="talked", '
    'mode="append", incremental="cursor", cursor="id", note={{"key": "id", "body": "comment"}})',
}
DO = """
from datetime import UTC, datetime
from uuid import uuid4
from dagster_project.lake.lake import open_lake
from dagster_project.pipeline import land, run_source
from dagster_project.reports import quiet
from dagster_project.settings import settings
from dagster_project.sources import TableSource
lake = open_lake(settings({lake!r}), clock=lambda: datetime.now(UTC), ids=lambda: uuid4().hex)
source = {source}
done = {call}
assert not getattr(done, "error", None), done.error
"""
NOTHING = "from dagster_project.pipeline import land; import dagster_project.lake.lake"


def row(name: str, rows: int, path: str, step: str) -> None:
    """Run one of them twice, and print what each took."""
    lake = DATA / "memory-lake"
    shutil.rmtree(lake, ignore_errors=True)
    source = SOURCES[name].format(path=path)
    for again in ("", ", again, nothing new"):
        done = spend([sys.executable, "-c", DO.format(lake=str(lake), source=source, call=STEPS[step])])
        print(
            f"| {name} | {rows:,} | {step}{again} | {done.wall:.1f} | {done.cpu:.1f} | {done.peak_mib:,.0f} |",
            flush=True,
        )
    shutil.rmtree(lake)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 5_000_000, 10_000_000])
    parser.add_argument("--sources", nargs="+", choices=SOURCES, default=list(SOURCES))
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    given = parser.parse_args()
    DATA.mkdir(exist_ok=True)
    start = spend([sys.executable, "-c", NOTHING])
    print("| source | rows | step | wall s | CPU s | peak MiB |\n|---|---:|---|---:|---:|---:|")
    print(f"| | | start-up (imports) | {start.wall:.1f} | {start.cpu:.1f} | {start.peak_mib:,.0f} |")
    with ExitStack() as opened:
        address = opened.enter_context(server()) if "postgresql" in given.sources else ""
        os.environ["BENCHMARK"] = address
        for name in given.sources:
            for rows in given.rows:
                if name == "postgresql":
                    do(address, "DROP TABLE IF EXISTS talked", FILL.format(rows=rows))
                    path = ""
                else:
                    path = str(prepare({"csv": "mixed", "jsonl": "nested"}[name], rows))
                for step in given.steps:
                    row(name, rows, path, step)


if __name__ == "__main__":
    main()
