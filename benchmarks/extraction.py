"""Measure extraction alone: files that landed, read and written as staged rows of all note tables, by 1 and 2 workers.

    python benchmarks/extraction.py [--files N] [--folder FOLDER] [--rounds N]

The pages are those of `many_files.py`; landing, audit and commit are outside the clock, and the workers' imports too.
Beside it pyromark's bare event drain of the same pages on one core. Wall seconds, the best of the rounds.
"""

from __future__ import annotations

import argparse
import shutil
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pyromark
from many_files import DATA, HANDBOOK, vault

from dagster_project.lake.lake import open_lake
from dagster_project.pipeline import _next, land
from dagster_project.reports import quiet
from dagster_project.settings import settings
from dagster_project.sources import DocumentSource
from dagster_project.steps import workers
from dagster_project.steps.documents import shape_documents

IMPORTS_TAKE = 5.0
"""Seconds until the process that workers are forked from has its imports; they go on beside landing in a run."""


def main() -> None:
    """Print seconds, microseconds per page, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000, help="files in the vault (default: 10,000)")
    parser.add_argument("--folder", type=Path, default=HANDBOOK, help="pages to draw from (default: the handbook)")
    parser.add_argument("--rounds", type=int, default=2, help="rounds of each measure (default: 2)")
    given = parser.parse_args()
    pages = [page.read_text("utf-8", "replace") for page in sorted(given.folder.rglob("*.md"))]
    shutil.rmtree(DATA, ignore_errors=True)
    folder = vault(pages, given.files)
    workers.warm_up()
    time.sleep(IMPORTS_TAKE)
    took = {
        "drain": min(_drain(folder) for _ in range(given.rounds)),
        **{f"{count} workers": min(_extract(folder, count) for _ in range(given.rounds)) for count in (1, 2)},
    }
    print("| | s | µs per page | ratio to the drain |\n|---|---:|---:|---:|")
    for name, seconds in took.items():
        print(f"| {name} | {seconds:.2f} | {seconds / given.files * 1e6:.0f} | {seconds / took['drain']:.2f} |")
    print(f"\n1 worker / 2 workers: {took['1 workers'] / took['2 workers']:.2f}")
    shutil.rmtree(DATA)


def _drain(folder: Path) -> float:
    texts = [file.read_text("utf-8") for file in folder.rglob("*.md")]
    began = time.perf_counter()
    for text in texts:
        for _ in pyromark.events_with_range(text):
            pass
    return time.perf_counter() - began


def _extract(folder: Path, count: int) -> float:
    where = replace(settings(str(folder.with_name("lake"))), workers=count)
    shutil.rmtree(where.lake, ignore_errors=True)
    lake = open_lake(where, clock=lambda: datetime.now(UTC), ids=lambda: uuid4().hex)
    source = DocumentSource(name="pages", path=str(folder))
    land(lake, source, observe=quiet)
    batch = _next(lake, source)
    if batch is None:
        raise SystemExit("Nothing landed.")
    began = time.perf_counter()
    shape_documents(batch, observe=quiet)
    took = time.perf_counter() - began
    batch.close()
    return took


if __name__ == "__main__":
    main()
