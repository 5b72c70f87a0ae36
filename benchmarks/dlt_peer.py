"""The same CSV file loaded by notelake and by dlt (https://dlthub.com), whole processes in turn, in one run.

    python -m venv /tmp/dlt && /tmp/dlt/bin/pip install 'dlt[filesystem,parquet]'
    python benchmarks/dlt_peer.py --dlt /tmp/dlt/bin/python

dlt has an environment of its own, for its pins are not ours. It is run as its documentation says is fastest (Arrow
tables in, Parquet out) and by its default path (rows as dicts), which gets a tenth of the rows and is told per row.
Neither of them keeps row numbers, hashes or what does not fit; notelake lands with all of that.
"""

from __future__ import annotations

import argparse
import shutil
import sys

from side_by_side import DATA, measure
from tables import LAND, prepare

ARROW = """
import dlt, pyarrow.csv
with pyarrow.csv.open_csv({csv!r}) as batches:
    def rows():
        import pyarrow as pa
        for batch in batches:
            yield pa.Table.from_batches([batch])
    pipeline = dlt.pipeline("arrow", destination=dlt.destinations.filesystem({out!r}), pipelines_dir={work!r})
    pipeline.run(dlt.resource(rows, name="rows"), loader_file_format="parquet", write_disposition="replace")
"""
DICTS = """
import csv, itertools, dlt
def rows():
    with open({csv!r}, newline="") as file:
        yield from itertools.islice(csv.DictReader(file), {count})
pipeline = dlt.pipeline("dicts", destination=dlt.destinations.filesystem({out!r}), pipelines_dir={work!r})
pipeline.run(dlt.resource(rows, name="rows"), loader_file_format="parquet", write_disposition="replace")
"""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--dlt", required=True, help="a Python that has dlt")
    given = parser.parse_args()
    csv, few = prepare("mixed", given.rows), given.rows // 10
    place = {"csv": str(csv), "out": str(DATA / "dlt-out"), "work": str(DATA / "dlt-work"), "count": few}
    ours = {"data": DATA, "file": csv}
    commands = [
        ("notelake land", sys.executable, LAND.format(**ours, call="land(lake, source, observe=quiet)"), given.rows),
        ("notelake run", sys.executable, LAND.format(**ours, call="run_source(lake, source)"), given.rows),
        ("dlt, Arrow tables", given.dlt, ARROW.format(**place), given.rows),
        ("dlt, rows as dicts", given.dlt, DICTS.format(**place), few),
    ]
    best: dict[str, tuple[float, float, float]] = {}
    environment = {"RUNTIME__DLTHUB_TELEMETRY": "false"}
    for _ in range(given.runs):
        for name, python, text, rows in commands:
            done = measure([python, "-c", text], environment=environment)
            figures = (done.wall / rows * 1e6, done.cpu / rows * 1e6, done.peak_mb)
            best[name] = min(best.get(name, figures), figures)
            for folder in ("dlt-out", "dlt-work", "lake"):
                shutil.rmtree(DATA / folder, ignore_errors=True)
    first = best["notelake land"][0]
    print("| command | µs per row | CPU µs per row | peak MB | times notelake land |\n|---|---:|---:|---:|---:|")
    for name, (wall, cpu, peak) in best.items():
        print(f"| {name} | {wall:.2f} | {cpu:.2f} | {peak:,.0f} | {wall / first:.2f} |")


if __name__ == "__main__":
    main()
