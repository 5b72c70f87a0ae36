"""Measure what a page costs from source to served, beside pyromark's bare event drain of the same pages.

    python benchmarks/documents.py [--folder FOLDER] [--times N] [--rounds N]

Runs `notelake ingest` on the folder once and on N copies of it, each in a process of its own into a fresh lake, in
rounds that alternate with the drain; the best of each counts. The slope, (N copies - one) / added pages, is what a page
costs; what is left of one is fixed. CPU is user and system time of all threads and processes, workers included. The
same N copies with one worker process and with two show how reading scales. Memory is that of all processes together,
each page of memory that they share counted once (Linux).
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter, process_time
from typing import Final

import pyromark
from side_by_side import Spent, spend

HERE: Final = Path(__file__).parent
DATA: Final = HERE / ".data" / "documents"
HANDBOOK: Final = HERE.parents[1] / "shared" / "corpora" / "handbook"
COMMAND: Final = (sys.executable, "-m", "dagster_project.cli")
START_UP: Final = (
    "import dagster_project.cli, dagster_project.pipeline, dagster_project.lake.lake, dagster_project.terminal"
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=HANDBOOK, help="pages to read (default: the handbook)")
    parser.add_argument("--times", type=int, default=10, help="copies of them (default: 10)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each measure (default: 3)")
    given = parser.parse_args()
    if not given.folder.is_dir():
        parser.error(f"there is no folder {given.folder}")
    once, many = _copies(given.folder, 1), _copies(given.folder, given.times)
    pages = len(_pages(once))
    rounds = [_round(once, many) for _ in range(given.rounds)]
    _print([_best(costs) for costs in zip(*rounds, strict=True)], pages=pages, times=given.times)
    shutil.rmtree(DATA, ignore_errors=True)


def _copies(folder: Path, times: int) -> Path:
    """Copy the Markdown pages of `folder` `times` over into one folder, and return it."""
    target = DATA / f"times-{times}"
    shutil.rmtree(target, ignore_errors=True)
    for number in range(times):
        for page in _pages(folder):
            copy = target / f"copy-{number:02d}" / page.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(page, copy)
    return target


def _pages(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.md"))


def _round(once: Path, many: Path) -> list[Spent]:
    """Return the costs of: the drain of `many`, one folder, many, start-up, many unchanged, many with one worker."""
    drained = _drain(many)
    single, multiple = _ingest(once, DATA / "lake-once"), _ingest(many, DATA / "lake-many")
    started, again = spend([sys.executable, "-c", START_UP]), _ingest(many, DATA / "lake-many", keep=True)
    alone = _ingest(many, DATA / "lake-alone", workers=1)
    return [drained, single, multiple, started, again, alone]


def _drain(folder: Path) -> Spent:
    texts = [page.read_bytes().decode("utf-8-sig", "replace") for page in _pages(folder)]
    cpu, wall = process_time(), perf_counter()
    for text in texts:
        for _ in pyromark.events_with_range(text):
            pass
    return Spent(process_time() - cpu, perf_counter() - wall)


def _ingest(folder: Path, lake: Path, *, keep: bool = False, workers: int = 2) -> Spent:
    """Run the command; an existing lake is deleted first unless it is to be kept."""
    if not keep:
        shutil.rmtree(lake, ignore_errors=True)
    command = [*COMMAND, "ingest", str(folder), "--kind", "documents", "--name", "pages", "--lake", str(lake)]
    return spend(command, environment={"NOTELAKE_WORKERS": str(workers)}, fine=(0, 3))


def _best(costs: Sequence[Spent]) -> Spent:
    return Spent(min(c.cpu for c in costs), min(c.wall for c in costs), max(c.peak_mib for c in costs))


def _print(best: Sequence[Spent], *, pages: int, times: int) -> None:
    drained, once, many, started, again, alone = best
    added = pages * (times - 1)
    print(f"pages: {pages} once, {pages * times} in {times} copies; all figures but seconds and MiB are µs per page")
    print(f"{'':24}{'cpu':>10}{'wall':>10}")
    drain = _row("drain", drained.cpu / pages / times * 1e6, drained.wall / pages / times * 1e6)
    slope = _row("slope", (many.cpu - once.cpu) / added * 1e6, (many.wall - once.wall) / added * 1e6)
    _row("slope / drain", slope[0] / drain[0], slope[1] / drain[1])
    _row("fixed part (s)", once.cpu - slope[0] * pages / 1e6, once.wall - slope[1] * pages / 1e6)
    _row(f"{pages} pages (s)", once.cpu, once.wall)
    _row(f"{pages * times} pages (s)", many.cpu, many.wall)
    _row("  with one worker (s)", alone.cpu, alone.wall)
    _row("start-up (s)", started.cpu, started.wall)
    _row("unchanged, beyond it (s)", again.cpu - started.cpu, again.wall - started.wall)
    print(f"peak memory: {once.peak_mib:.0f} MiB once, {many.peak_mib:.0f} MiB for {times} copies")


def _row(name: str, cpu: float, wall: float) -> tuple[float, float]:
    print(f"{name:24}{cpu:10.2f}{wall:10.2f}")
    return cpu, wall


if __name__ == "__main__":
    main()
