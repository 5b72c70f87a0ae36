"""Measure what telling duplicates costs a consumer of streams that has seen tens of millions of ids.

    python benchmarks/seen_events.py [--seen N] [--batch N] [--rounds N]

Makes the hashes of N ids as they would lie in data files of 170,000 each, learns them, and then looks up batches of
which one id in a thousand was seen before. Prints the seconds and the memory of learning, the milliseconds per batch,
and how many of the ids that arrived were suspected though they are new. What reading the ids from files costs once, at
the start of a consumer, is not in it; nor is comparing the suspects with the ids in their files.
"""

from __future__ import annotations

import argparse
import resource
import sys
from time import perf_counter, process_time

import numpy as np

from dagster_project.steps.seen import Seen

FILE_IDS = 170_000


def main() -> None:
    """Learn, look up, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seen", type=int, default=50_000_000)
    parser.add_argument("--batch", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=10)
    given = parser.parse_args()
    random, seen = np.random.default_rng(1), Seen()
    first = _peak()
    began = perf_counter(), process_time()
    for start in range(0, given.seen, FILE_IDS):
        hashes = random.integers(0, 2**64, min(FILE_IDS, given.seen - start), dtype=np.uint64)
        if start == 0:
            known = hashes.copy()
        seen.add(f"{start}.parquet", hashes)
    print(
        f"learned   {len(seen):,} ids in {perf_counter() - began[0]:.1f} s ({process_time() - began[1]:.1f} CPU s), "
        f"memory {_peak() - first:,.0f} MiB more at the peak"
    )
    seconds, wrong = [], 0
    for _ in range(given.rounds):
        again = random.choice(known, given.batch // 1000, replace=False)
        new = random.integers(0, 2**64, given.batch - len(again), dtype=np.uint64)
        began = perf_counter(), process_time()
        suspects, _files = seen.suspects(np.concatenate((new, again)))
        seconds.append((perf_counter() - began[0], process_time() - began[1]))
        if missing := set(again.tolist()) - set(suspects.tolist()):
            raise SystemExit(f"{len(missing)} ids that were seen are not among the suspects")
        wrong += len(suspects) - len(again)
    wall, cpu = (sorted(each)[len(each) // 2] * 1e3 for each in zip(*seconds, strict=True))
    print(
        f"looked up {given.batch:,} ids in {wall:.0f} ms ({cpu:.0f} CPU ms) in the middle of {given.rounds} rounds; "
        f"{wrong} new ones suspected in all; peak of the process {_peak():,.0f} MiB"
    )


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
