"""Which ids of events were seen, kept in memory by a consumer, so that a commit need not read all ids there are.

What belongs here: telling which data files of `notes.events` may hold one of the ids that arrive. What does not:
deciding about duplicates; that is done on the rows of those files, so that two ids with one hash are never one event.

Kept are 12 bytes per event: a hash of 64 bits and the number of the data file it stands in, sorted in runs that grow
geometrically. What is in a file never changes; files that came since the last look are read, ids only, and those that
are gone are forgotten when runs are merged. A consumer that starts reads the ids of all files once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import duckdb
import numpy as np
import numpy.typing as npt

from dagster_project.lake.pins import Pin
from dagster_project.lake.read import relation

GROWTH: Final = 4
"""A run that is not so many times as long as the one after it is merged with it."""
Hashes = npt.NDArray[np.uint64]
Run = tuple[Hashes, npt.NDArray[np.uint32]]
"""Hashes in order, and the number of the file each stands in."""


class Seen:
    """The ids of one source's events."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._runs: list[Run] = []
        self._next = 0

    def learn(self, con: duckdb.DuckDBPyConnection, pin: Pin, files: Iterable[str]) -> None:
        """Read the ids of those of `files`, all that `pin` has of the source, that are not known; forget others."""
        present = set(files)
        for gone in self._numbers.keys() - present:
            del self._names[self._numbers.pop(gone)]
        for file in sorted(present - self._numbers.keys()):
            self._numbers[file], self._names[self._next] = self._next, file
            query = f"SELECT hash(event_id) AS h FROM {relation(pin, [file])} AS e ORDER BY h"
            hashes = con.execute(query).fetchnumpy()["h"].astype(np.uint64)
            self._runs.append((hashes, np.full(len(hashes), self._next, dtype=np.uint32)))
            self._next += 1
            self._merge()

    def files_with(self, hashes: Hashes) -> tuple[str, ...]:
        """Return the files that hold an id with one of these hashes, and perhaps a few that do not."""
        found: set[int] = set()
        for known, numbers in self._runs:
            first, last = np.searchsorted(known, hashes, "left"), np.searchsorted(known, hashes, "right")
            hits = np.flatnonzero(last > first)
            found.update(int(number) for hit in hits for number in numbers[first[hit] : last[hit]])
        return tuple(sorted(self._names[number] for number in found if number in self._names))

    def _merge(self) -> None:
        while len(self._runs) > 1 and len(self._runs[-2][0]) < GROWTH * len(self._runs[-1][0]):
            (one, ones), (other, others) = self._runs[-2:]
            hashes, numbers = np.concatenate((one, other)), np.concatenate((ones, others))
            kept = np.isin(numbers, np.fromiter(self._names, dtype=np.uint32))
            hashes, numbers = hashes[kept], numbers[kept]
            order = np.argsort(hashes, kind="stable")  # two runs in order: merged in one pass
            self._runs[-2:] = [(hashes[order], numbers[order])]
