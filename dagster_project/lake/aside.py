"""A lake whose commits nobody sees: work of many batches is done in it, and its outcome committed to the real one.

What belongs here: catalog and files of such a lake. What does not: what is done in it.

Its tables begin as those of the real lake stand, and go their own way as metadata files that no catalog names. So a
process that is killed leaves the real lake as it was, and files that upkeep deletes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from dagster_project.errors import CommitConflict
from dagster_project.lake.catalog import Catalog, Swap
from dagster_project.lake.lake import Lake


class Aside(Catalog):
    """Where the tables of a lake are in the eyes of one process alone."""

    def __init__(self, real: Catalog) -> None:
        self.__dict__.update(vars(real))
        self._begun = real.locations()
        self._moved = dict(self._begun)
        self._written: list[str] = []

    def locations(self) -> dict[str, str]:
        """Return the metadata location of every table, as this process has moved it."""
        return dict(self._moved)

    def swap(self, swaps: Sequence[Swap], stage: str) -> None:  # noqa: ARG002  nothing is visible, so nothing can be torn
        """Move tables on, for this process alone."""
        for step in swaps:
            if self._moved.get(step.identifier) != step.expected:
                raise CommitConflict(f"{step.identifier} was moved on by this process itself.")
            self._moved[step.identifier] = step.written
            self._written.append(step.written)

    def leavings(self, lake: Lake) -> Iterator[str]:
        """Yield the files that were written here and are part of none of the tables the real lake had then."""
        real = {path for location in self._begun.values() for path in _named(lake, location)}
        here = {path for location in self._written for path in _named(lake, location)}
        yield from sorted(here - real)


def _named(lake: Lake, location: str) -> Iterator[str]:
    yield location
    snapshot = lake.metadata(location).current_snapshot()
    if snapshot is None:
        return
    yield snapshot.manifest_list
    yield from (manifest.manifest_path for manifest in snapshot.manifests(lake.io))
    yield from (file.file_path for file in lake.data_files(location))


def lake_aside(lake: Lake) -> Lake:
    """Return a lake that begins as `lake` stands now, and whose commits `lake` does not see."""
    return replace(lake, catalog=Aside(lake.catalog))


def clear_aside(lake: Lake, *, kept: Collection[str] = ()) -> None:
    """Delete what was written in a lake aside, but for data files `kept`, which the real lake has taken."""
    if isinstance(lake.catalog, Aside):
        for path in lake.catalog.leavings(lake):
            if path not in kept:
                lake.io.delete(path)
