"""The same CSV file loaded by notelake, dlt, Sling and ingestr, whole processes in turn, in one run.

    python -m venv /tmp/dlt && /tmp/dlt/bin/pip install 'dlt[filesystem,parquet]'
    python benchmarks/peers.py --dlt /tmp/dlt/bin/python --sling /tmp/sling --ingestr /tmp/ingestr/bin/ingestr

Each peer that is named is run; all have environments of their own, for their pins are not ours. dlt
(https://dlthub.com) is run as its documentation says is fastest (Arrow tables in, Parquet out) and by its default path
(rows as dicts), which gets a tenth of the rows, as ingestr does, and is told per row. Sling (https://slingdata.io)
writes Arrow, for it writes Parquet through a DuckDB that it downloads first; `--sling-into parquet` asks for that.
ingestr (https://bruin-data.github.io/ingestr) writes a DuckDB file.

None of them keeps row numbers, hashes or what does not fit; notelake lands with all of that.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator

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


LEFT_BEHIND = ("peer-out", "peer-work", "lake", "peer.arrow", "peer.parquet", "peer.duckdb")


def commands(given: argparse.Namespace) -> Iterator[tuple[str, list[str], int]]:
    """Give the name, the command and the rows of each that is compared."""
    rows, few = given.rows, given.rows // 10
    csv, start = prepare("mixed", rows), prepare("mixed", few)
    place = {"csv": str(csv), "out": str(DATA / "peer-out"), "work": str(DATA / "peer-work"), "count": few}
    ours = {"data": DATA, "file": csv}
    yield "notelake land", [sys.executable, "-c", LAND.format(**ours, call="land(lake, source, observe=quiet)")], rows
    yield "notelake run", [sys.executable, "-c", LAND.format(**ours, call="run_source(lake, source)")], rows
    if given.dlt:
        yield "dlt, Arrow tables", [given.dlt, "-c", ARROW.format(**place)], rows
        yield "dlt, rows as dicts", [given.dlt, "-c", DICTS.format(**place)], few
    if given.sling:
        into = f"file://{DATA}/peer.{given.sling_into}"
        command = [given.sling, "run", "--src-stream", f"file://{csv}", "--tgt-object", into]
        yield f"Sling, to {given.sling_into}", command, rows
    if given.ingestr:
        source = ["--source-uri", f"csv://{start}", "--source-table", "rows"]
        target = ["--dest-uri", f"duckdb:///{DATA}/peer.duckdb", "--dest-table", "main.rows"]
        yield "ingestr, to DuckDB", [given.ingestr, "ingest", *source, *target, "--yes"], few


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--dlt", help="a Python that has dlt")
    parser.add_argument("--sling", help="the program of Sling")
    parser.add_argument("--sling-into", choices=("arrow", "parquet"), default="arrow")
    parser.add_argument("--ingestr", help="the program of ingestr")
    given = parser.parse_args()
    best: dict[str, tuple[float, float, float]] = {}
    environment = {
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "SLING_DISABLE_TELEMETRY": "true",
        "INGESTR_DISABLE_TELEMETRY": "true",
    }
    for _ in range(given.runs):
        for name, command, rows in commands(given):
            try:
                done = measure(command, environment=environment)
            except RuntimeError as error:
                print(f"{name} failed: {str(error)[-600:]}", file=sys.stderr)
                continue
            figures = (done.wall / rows * 1e6, done.cpu / rows * 1e6, done.peak_mb)
            best[name] = min(best.get(name, figures), figures)
            for left in LEFT_BEHIND:
                shutil.rmtree(DATA / left, ignore_errors=True)
                (DATA / left).unlink(missing_ok=True)
    first = best["notelake land"]
    print("| command | µs per row | CPU µs per row | peak MB | times notelake land | the same in CPU |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, (wall, cpu, peak) in best.items():
        print(f"| {name} | {wall:.2f} | {cpu:.2f} | {peak:,.0f} | {wall / first[0]:.2f} | {cpu / first[1]:.2f} |")


if __name__ == "__main__":
    main()
