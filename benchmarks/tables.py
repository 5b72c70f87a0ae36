"""Landing a large table file against DuckDB's bare COPY of the same file to Parquet, in one run.

`python benchmarks/tables.py --rows 5000000` repeats talks.csv to that many rows (about 4.3 GB in benchmarks/.data);
`--mixed --rows 10000000` makes rows of nine columns of all sorts (about 1.1 GB); `--nested --rows 5000000` makes JSON
lines with structs, lists and maps (about 1.9 GB).
"""

from __future__ import annotations

import argparse
import csv
import shutil
import sys
from pathlib import Path

import duckdb
from side_by_side import DATA, in_turn, table

TALKS = Path(__file__).parents[2] / "shared" / "corpora" / "talks" / "talks.csv"

COPY = """
import duckdb, sys
con = duckdb.connect(config={{"memory_limit": "1GB", "temp_directory": "{data}/spill"}})
con.execute("COPY (FROM '{file}') TO '{data}/bare.parquet' (FORMAT parquet)")
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
source = TableSource(name="rows", path="{file}")
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


NESTED = """
    SELECT 'e-' || i AS id, TIMESTAMP '2020-01-01' + to_seconds((hash(i + 11) % 150000000)::BIGINT) AS "time",
           {{'id': hash(i) % 50000, 'name': 'Person no. ' || (hash(i) % 50000),
             'place': {{'city': ['Oslo', 'São Paulo', 'Kyōto'][1 + (hash(i + 1) % 3)::INT], 'lat': (i % 180) - 90.5}}}}
               AS person,
           list_transform(range(1 + (hash(i + 3) % 4)::INT), lambda n: {{
               'sku': 'S-' || (hash(i + n) % 9999), 'count': 1 + (hash(i - n) % 9),
               'price': hash(i + n * 7) % 9999 / 100.0
           }}) AS items,
           list_transform(range((hash(i + 5) % 4)::INT), lambda n: 'tag' || (hash(i + n) % 300)) AS tags,
           map_from_entries(list_transform(range((hash(i + 7) % 3)::INT), lambda n: {{
               'k': 'label-' || (n * 500 + hash(i + n) % 500), 'v': hash(i + n + 1) % 1000
           }})) AS labels,
           CASE WHEN hash(i + 9) % 3 > 0 THEN 'Talked about "offer" no. ' || (hash(i + 19) % 100000) END AS comment
    FROM range({rows}) AS r(i)
"""


def prepare(kind: str, rows: int) -> Path:
    """Write a file of talks, mixed or nested rows if it is not there."""
    DATA.mkdir(exist_ok=True)
    target = DATA / f"{kind}-{rows}.{'jsonl' if kind == 'nested' else 'csv'}"
    if target.exists():
        return target
    draft = target.with_suffix(".tmp")
    if kind == "mixed":
        duckdb.sql(MIXED.format(rows=rows)).write_csv(str(draft))
    elif kind == "nested":
        duckdb.sql(f"COPY ({NESTED.format(rows=rows)}) TO '{draft}' (FORMAT json)")
    else:
        _repeat_talks(rows, draft)
    draft.rename(target)
    return target


def _repeat_talks(rows: int, target: Path) -> None:
    """Write whole repetitions, so that no record is cut."""
    content = TALKS.read_bytes()  # as it is: its line ends are not those of this machine
    head, body = content.split(b"\n", 1)
    with TALKS.open(encoding="utf-8", newline="") as file:
        count = sum(1 for _ in csv.reader(file)) - 1
    with target.open("wb") as out:
        out.write(head + b"\n")
        for _ in range(-(-rows // count)):
            out.write(body)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--whole", action="store_true", help="the whole run, source to commit, instead of landing alone"
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--mixed", dest="kind", action="store_const", const="mixed", help="narrow rows of all types")
    kind.add_argument("--nested", dest="kind", action="store_const", const="nested", help="nested JSON lines")
    parser.set_defaults(kind="talks")
    given = parser.parse_args()
    names = {"data": DATA, "file": prepare(given.kind, given.rows)}
    call = "run_source(lake, source)" if given.whole else "land(lake, source, observe=quiet)"
    commands = [[sys.executable, "-c", text.format(**names, call=call)] for text in (LAND, COPY)]
    results = in_turn(commands, given.runs)
    print(results[0][-1].output.strip()[:400])
    print(table(["notelake run" if given.whole else "notelake land", "DuckDB COPY"], results))
    shutil.rmtree(DATA / "lake", ignore_errors=True)
    (DATA / "bare.parquet").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
