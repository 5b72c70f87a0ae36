"""Run all benchmarks, one after the other, and print their tables: what `make bench` does.

Each is a script of its own with options of its own; `--quick` makes them small enough for a look (minutes).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
FULL = (
    ("start_up.py",),
    ("markdown_extraction.py", "../shared/corpora/handbook"),
    ("readers.py", "../shared/corpora/handbook"),
    ("extraction.py",),
    ("documents.py",),
    ("many_files.py",),
    ("streams.py",),
    ("streaming.py",),
    ("collector.py",),
    ("tables.py",),
    ("tables.py", "--mixed", "--rows", "10000000", "--runs", "1"),
    ("tables.py", "--nested", "--rows", "5000000", "--runs", "1"),
    ("merge.py",),
    ("databases.py",),
    ("memory.py",),
    ("translation.py",),
    ("analytics.py", "--rows", "10000000"),
    ("shell_open.py",),
)
QUICK = (
    ("start_up.py", "--runs", "3"),
    ("markdown_extraction.py", "../shared/corpora/handbook", "--repeat", "5"),
    ("readers.py", "../shared/corpora/handbook", "--files", "40", "--rounds", "1"),
    ("extraction.py", "--files", "2000", "--rounds", "1"),
    ("documents.py", "--times", "3", "--rounds", "1"),
    ("many_files.py", "--files", "2000"),
    ("streams.py", "--events", "100000", "--rounds", "1"),
    ("streaming.py", "--seconds", "15", "--events", "100000"),
    ("collector.py", "--seconds", "3"),
    ("tables.py", "--rows", "300000", "--runs", "1"),
    ("tables.py", "--nested", "--rows", "100000", "--runs", "1"),
    ("merge.py", "--rows", "100000"),
    ("databases.py", "--rows", "100000"),
    ("memory.py", "--rows", "100000"),
    ("translation.py",),
    ("analytics.py", "--rows", "200000", "--runs", "1"),
    ("shell_open.py", "--files", "100", "--runs", "3"),
)


def main() -> int:
    """Run the scripts; the exit code is the number of those that failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true")
    failed = 0
    for script, *options in QUICK if parser.parse_args().quick else FULL:
        print(f"\n## benchmarks/{script} {' '.join(options)}\n", flush=True)
        failed += subprocess.call([sys.executable, str(HERE / script), *options], cwd=HERE.parent) != 0
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
