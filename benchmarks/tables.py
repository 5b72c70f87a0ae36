"""Landing a large CSV file against DuckDB's bare COPY of the same file to Parquet, in one run.

`python benchmarks/tables.py --rows 5000000` repeats talks.csv to that many rows (about 4.3 GB in benchmarks/.data);
`--mixed --rows 10000000` makes rows of nine columns of all sorts (about 1.1 GB).
"""

from __future__ import annotations

import argparse
import csv
import shutil
import sys
from pathlib import Path

import duckdb
from side_by_side import in_turn, table

HERE = Path(__file__).parent
DATA = HERE / ".data"
TALKS = HERE.parents[1] / "shared" / "corpora" / "talks" / "talks.csv"

COPY = """
import duckdb, sys
con = duckdb.connect(config={{"memory_limit": "1GB", "temp_directory": "{data}/spill"}})
con.execute("COPY (FROM read_csv('{csv}')) TO '{data}/bare.parquet' (FORMAT parquet)")
"""
LAND = """
import sys
from datetime import UTC, datetime
from uuid import uuid4
from dagster_project.lake.lake import open_lake
from dagster_project.settings import settings
from dagster_project.sources import TableSource
from dagster_project.pipeline import land, run_source
from dagster_project.reports import quiet
import shutil
shutil.rmtree("{data}/lake", ignore_errors=True)
lake = open_lake(settings("{data}/lake"), clock=lambda: datetime.now(UTC), ids=lambda: uuid4().hex)
source = TableSource(name="rows", path="{csv}")
landed = {call}
print(landed)
"""


MIXED = """
    SELECT i AS id, 'C-' || lpad((hash(i) % 500000)::VARCHAR, 6, '0') AS customer,
           (hash(i + 7) % 1000000) / 100.0 AS amount, (hash(i + 9) % 5)::INT AS priority,
           hash(i + 3) % 4 = 0 AS is_open,
           DATE '2015-01-01' + (hash(i + 5) % 3650)::INT AS due,
           TIMESTAMP '2015-01-01' + to_seconds((hash(i + 11) % 300000000)::BIGINT) AS created_at,
           CASE WHEN hash(i + 13) % 7 > 0 THEN ['call', 'mail', 'meeting', 'chat'][1 + (hash(i + 15) % 4)::INT] END
               AS channel,
           'Talked about ' || ['the offer', 'a delay, again', 'the "new" plan', 'prices', 'the next visit']
               [1 + (hash(i + 17) % 5)::INT] || ' no. ' || (hash(i + 19) % 100000)::VARCHAR AS comment
    FROM range({rows}) AS r(i)
"""


def prepare(rows: int, *, mixed: bool) -> Path:
    """Write the CSV if it is not there; records of talks.csv are never cut."""
    DATA.mkdir(exist_ok=True)
    target = DATA / f"{'mixed' if mixed else 'talks'}-{rows}.csv"
    if target.exists():
        return target
    if mixed:
        duckdb.sql(MIXED.format(rows=rows)).write_csv(str(target))
        return target
    content = TALKS.read_bytes()  # as it is: its line ends are not those of this machine
    head, body = content.split(b"\n", 1)
    with TALKS.open(encoding="utf-8", newline="") as file:
        count = sum(1 for _ in csv.reader(file)) - 1
    draft = target.with_suffix(".tmp")
    with draft.open("wb") as out:
        out.write(head + b"\n")
        for _ in range(-(-rows // count)):
            out.write(body)
    draft.rename(target)
    return target


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--whole", action="store_true", help="the whole run, source to commit, instead of landing alone"
    )
    parser.add_argument("--mixed", action="store_true", help="narrow rows with columns of all types, instead of talks")
    given = parser.parse_args()
    names = {"data": DATA, "csv": prepare(given.rows, mixed=given.mixed)}
    call = "run_source(lake, source)" if given.whole else "land(lake, source, observe=quiet)"
    commands = [[sys.executable, "-c", text.format(**names, call=call)] for text in (LAND, COPY)]
    results = in_turn(commands, given.runs)
    print(results[0][-1].output.strip()[:400])
    print(table(["notelake run" if given.whole else "notelake land", "DuckDB COPY"], results))
    shutil.rmtree(DATA / "lake", ignore_errors=True)
    (DATA / "bare.parquet").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
