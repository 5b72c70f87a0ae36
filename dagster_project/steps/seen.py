"""Which ids of events were seen, kept in memory by a consumer, so that a commit need not read all ids there are.

What belongs here: telling which arrivals may have an id that was seen, and which data files of `notes.events` may hold
it. What does not: deciding about duplicates; that is done on the ids themselves, so that two ids with one hash are
never one event.

Kept are 8 bytes per event: 48 bits of a hash of its id and, in the lowest 16, the number of the data file it stands
in, counted within its run. Runs are sorted, grow geometrically and no longer than `LONGEST`, so that merging two takes
little memory beside them. What is in a file never changes; files that came since the last look are read, ids only.
Those that are gone are forgotten when runs are merged, or when half of a run is gone. A consumer that starts reads the
ids of all files once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import duckdb
import numpy as np
import numpy.typing as npt

from dagster_project.lake.pins import Pin
from dagster_project.lake.read import relation

GROWTH: Final = 4
"""A run that is not so many times as long as the one after it is merged with it."""
LONGEST: Final = 8_000_000
"""Ids of a run that is merged with no other."""
MOST_FILES: Final = 1 << 16
"""Files of a run: their numbers have 16 bits."""
_NUMBER: Final = np.uint64(MOST_FILES - 1)
_HASH: Final = ~_NUMBER
Hashes = npt.NDArray[np.uint64]


@dataclass(slots=True)
class _Run:
    """Ids of some files: hash and file number of each, in order; and the files by number, None if one is gone."""

    ids: Hashes
    files: list[str | None]

    def with_hashes(self, hashes: Hashes) -> tuple[Hashes, Hashes]:
        """Return those of the sorted `hashes` that stand here, and the ids that have one of them."""
        firsts = np.searchsorted(self.ids, hashes)
        inside = firsts < len(self.ids)
        hits = np.flatnonzero(inside)[(self.ids[firsts[inside]] & _HASH) == hashes[inside]]
        ends = np.searchsorted(self.ids, hashes[hits] | _NUMBER, "right")
        found = [self.ids[first:end] for first, end in zip(firsts[hits], ends, strict=True)]
        return hashes[hits], np.concatenate(found) if found else self.ids[:0]

    def without_gone(self) -> _Run:
        """Return the run without files that are gone, the others numbered anew."""
        numbers = np.zeros(len(self.files), dtype=np.uint64)
        is_kept = np.fromiter((file is not None for file in self.files), dtype=bool, count=len(self.files))
        numbers[is_kept] = np.arange(is_kept.sum(), dtype=np.uint64)
        ids = self.ids[is_kept[(self.ids & _NUMBER).astype(np.intp)]]
        ids = (ids & _HASH) | numbers[(ids & _NUMBER).astype(np.intp)]  # the order of numbers stays
        return _Run(ids, [file for file in self.files if file is not None])


class Seen:
    """The ids of one source's events."""

    def __init__(self) -> None:
        self._runs: list[_Run] = []
        self._rows: dict[str, int] = {}

    def __len__(self) -> int:
        """Return how many ids are kept, some of files that are gone."""
        return sum(len(run.ids) for run in self._runs)

    def learn(self, con: duckdb.DuckDBPyConnection, pin: Pin, files: Iterable[str]) -> None:
        """Read the ids of those of `files`, all that `pin` has of the source, that are not known; forget others."""
        present = set(files)
        if gone := self._rows.keys() - present:
            self._forget(gone)
        for file in sorted(present - self._rows.keys()):
            query = f"SELECT hash(event_id) AS h FROM {relation(pin, [file])} AS e"
            self.add(file, con.execute(query).fetchnumpy()["h"].astype(np.uint64))

    def add(self, file: str, hashes: Hashes) -> None:
        """Take note of a file and of the hashes of all ids in it."""
        self._rows[file] = len(hashes)
        self._runs.append(_Run(np.sort(hashes & _HASH), [file]))
        while len(self._runs) > 1 and _belong_together(*self._runs[-2:]):
            self._runs[-2:] = [_merged(*self._runs[-2:])]

    def suspects(self, hashes: Hashes) -> tuple[Hashes, tuple[str, ...]]:
        """Return which of the hashes of ids that arrive may be of one that was seen, or come twice; and where.

        Of an id that was seen, or arrives twice, the hash is among them; and perhaps that of a few that are new. The
        files are all that hold one of these ids, and perhaps a few that do not.
        """
        # Only their first 48 bits are compared: what is found is looked up by them in all that arrive.
        short = np.sort(hashes & _HASH)
        found = [short[1:][short[1:] == short[:-1]]]
        asked = short[np.append(True, short[1:] != short[:-1])] if len(short) else short
        files: set[str] = set()
        for run in self._runs:
            hits, ids = run.with_hashes(asked)
            if names := {file for number in (ids & _NUMBER).tolist() if (file := run.files[number]) is not None}:
                found.append(hits)
                files |= names
        meant = np.unique(np.concatenate(found))
        return hashes[np.isin(hashes & _HASH, meant)] if len(meant) else meant, tuple(sorted(files))

    def _forget(self, gone: set[str]) -> None:
        for file in gone:
            del self._rows[file]
        for place, run in enumerate(self._runs):
            run.files = [None if file in gone else file for file in run.files]
            if 2 * sum(self._rows[file] for file in run.files if file is not None) < len(run.ids):
                self._runs[place] = run.without_gone()
        self._runs = [run for run in self._runs if len(run.ids)]


def _belong_together(one: _Run, other: _Run) -> bool:
    is_short = len(one.ids) < GROWTH * len(other.ids) and len(one.ids) + len(other.ids) <= LONGEST
    return is_short and len(one.files) + len(other.files) <= MOST_FILES


def _merged(one: _Run, other: _Run) -> _Run:
    one, other = one.without_gone(), other.without_gone()
    ids = np.concatenate((one.ids, other.ids + np.uint64(len(one.files))))
    ids.sort(kind="stable")  # two runs in order: merged in one pass
    return _Run(ids, one.files + other.files)
