"""What opening `lake.duckdb` costs a plain DuckDB shell: 50 views and more, all macros, a table of 1,000 files.

Beside it, what a publication takes in which one commit of one file is to be told. The aim is under 100 ms to open.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import duckdb
import pyarrow as pa
from side_by_side import in_turn, measure, median, table

from dagster_project.contracts import NOTES
from dagster_project.lake.commit import Change, commit
from dagster_project.lake.lake import Lake, open_lake
from dagster_project.lake.staging import StagedFile, Stager
from dagster_project.settings import bundled, settings
from dagster_project.steps import serve as serving
from dagster_project.views.sql_files import View, read_views

SQL = "SELECT count(*) FROM duckdb_views() WHERE NOT internal AND NOT contains(view_name, '$')"


def staged(lake: Lake, first: int, count: int) -> list[StagedFile]:
    """Return `count` files of two notes each."""
    files: list[StagedFile] = []
    for number in range(first, first + count):
        with Stager(lake, NOTES, "vault") as stager:
            rows = [
                {**dict.fromkeys(NOTES.schema.names), "source": "vault", "note_id": f"{number}-{i}"} for i in range(2)
            ]
            stager.write(pa.Table.from_pylist(rows, schema=NOTES.schema))
            files += stager.close()
    return files


def add(lake: Lake, first: int, count: int) -> None:
    """Commit `count` files to the notes."""
    commit(
        lake, [Change(lake.pins([NOTES.identifier])[NOTES.identifier], tuple(staged(lake, first, count)))], summary={}
    )


def views(most: int) -> tuple[View, ...]:
    """Return the project's views, and as many of a user as make up `most`."""
    own = read_views(bundled("sql") / "views")
    columns, reads = {"note_id": "the note", "title": "its title"}, (NOTES.identifier,)
    sql = f"SELECT note_id, title FROM {NOTES.identifier} WHERE word_count > "
    of_user = [View("mine", f"v{i}", "a note", columns, sql + str(i), reads, Path()) for i in range(most - len(own))]
    return (*own, *of_user)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--views", type=int, default=50)
    parser.add_argument("--runs", type=int, default=15)
    given = parser.parse_args()
    shell = shutil.which("duckdb") or str(Path(sys.executable).with_name("duckdb"))
    serving.views_in = lambda _: views(given.views)  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as folder:
        where = settings(str(Path(folder) / "lake"))
        lake = open_lake(where, clock=lambda: datetime.now(UTC), ids=lambda: uuid4().hex)
        add(lake, 0, given.files)
        serving.serve(lake)
        file = str(where.view_file)
        print(f"{measure([shell, '-readonly', '-list', file, SQL]).output.split()[-1]} views, {given.files} files")
        print(f"{Path(file).stat().st_size / 1024:,.0f} KB\n")
        opened = in_turn([[shell, "-readonly", file, "SELECT 1"], [shell, ":memory:", "SELECT 1"]], given.runs)
        print(table([f"duckdb lake.duckdb, {given.files:,} files", "duckdb, no file"], opened))
        wall, cpu = (1000 * (median(opened[0], what) - median(opened[1], what)) for what in ("wall", "cpu"))
        print(f"the file takes the shell {wall:.0f} ms, of CPU {cpu:.0f} ms")
        print(f"opened within a process: {1000 * _opened(file, given.runs):.0f} ms of CPU\n")
        for count in (1, 1, 1):
            add(lake, int(time.time() * 1e6), count)
            began, cpu = time.perf_counter(), time.process_time()
            serving.serve(lake)
            took, used = time.perf_counter() - began, time.process_time() - cpu
            print(f"publishing one more file: {1000 * took:.0f} ms, of CPU {1000 * used:.0f} ms")


def _opened(file: str, runs: int) -> float:
    """Return the least CPU seconds to open the file and answer SELECT 1, in a process that has DuckDB loaded."""
    least = float("inf")
    for _ in range(runs):
        began = time.process_time()
        with duckdb.connect(file, read_only=True) as con:
            con.execute("SELECT 1").fetchall()
        least = min(least, time.process_time() - began)
    return least


if __name__ == "__main__":
    main()
