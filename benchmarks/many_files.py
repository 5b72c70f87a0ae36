"""Measure a vault of many files: the first run, a run over nothing new, and one over a few scattered changes.

    python benchmarks/many_files.py [--files N] [--share S] [--folder FOLDER]

The vault is modelled on FOLDER (default: the handbook): pages are drawn from it with a fixed seed, each with a title
and a few words of its own, so that no two are equal. A smaller vault of a tenth of the files is measured beside it, to
show how memory grows. Seconds are wall seconds; start-up (the imports of the command) is measured alone and taken off.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from documents import COMMAND, HANDBOOK, START_UP
from side_by_side import Spent, spend

DATA: Final = Path(__file__).parent / ".data" / "many_files"
FOLDER_SIZE: Final = 250


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=50_000, help="files in the vault (default: 50,000)")
    parser.add_argument("--share", type=float, default=0.01, help="share that changes (default: 0.01)")
    parser.add_argument("--folder", type=Path, default=HANDBOOK, help="pages to draw from (default: the handbook)")
    given = parser.parse_args()
    pages = [page.read_text("utf-8", "replace") for page in sorted(given.folder.rglob("*.md"))]
    if not pages:
        parser.error(f"no .md file below {given.folder}")
    shutil.rmtree(DATA, ignore_errors=True)
    small, large = (vault(pages, files) for files in (given.files // 10, given.files))
    started = min((spend([sys.executable, "-c", START_UP]) for _ in range(3)), key=lambda spent: spent.wall)
    few = _ingest(small)
    full = _ingest(large)
    _ingest(large)  # fills the cache of hashes where files were too young for it
    again = min((_ingest(large) for _ in range(3)), key=lambda spent: spent.wall)
    _change(large, given.files, given.share)
    changed = _ingest(large)
    _print(given.files, given.share, started, few, full, again, changed)
    shutil.rmtree(DATA)


def vault(pages: Sequence[str], files: int) -> Path:
    """Write that many pages, each drawn from `pages` with words of its own; return their folder."""
    draw = random.Random(files)
    folder = DATA / f"vault-{files}"
    for number in range(files):
        file = _file(folder, number)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{draw.choice(pages)}\n\nPage {number} of {files}: {draw.random()}.\n", "utf-8")
    return folder


def _file(vault: Path, number: int) -> Path:
    return vault / f"part-{number // FOLDER_SIZE:04d}" / f"page-{number:06d}.md"


def _change(vault: Path, files: int, share: float) -> None:
    for number in random.Random(1).sample(range(files), int(files * share)):
        with _file(vault, number).open("a", encoding="utf-8") as file:
            file.write("\nOne more line.\n")


def _ingest(vault: Path) -> Spent:
    lake = vault.with_name(f"{vault.name}-lake")
    return spend(
        [*COMMAND, "ingest", str(vault), "--kind", "documents", "--name", "pages", "--lake", str(lake)], fine=(0, 3)
    )


def _print(files: int, share: float, started: Spent, few: Spent, full: Spent, again: Spent, changed: Spent) -> None:
    print("| run | wall s | beyond start-up | CPU s | peak MiB |\n|---|---:|---:|---:|---:|")
    rows = (
        ("start-up", started),
        (f"{files // 10:,} files, first run", few),
        (f"{files:,} files, first run", full),
        ("nothing changed", again),
        (f"{share:.0%} changed, scattered", changed),
    )
    for name, spent in rows:
        beyond = spent.wall - started.wall
        print(f"| {name} | {spent.wall:.2f} | {beyond:.2f} | {spent.cpu:.2f} | {spent.peak_mib:,.0f} |")
    part = (changed.wall - started.wall) / (full.wall - started.wall)
    print(f"\nchanged / full, beyond start-up: {part:.2f}; memory, {files:,} / {files // 10:,} files: ", end="")
    print(f"{full.peak_mib / few.peak_mib:.2f}")


if __name__ == "__main__":
    main()
