"""Small files made into larger ones beside the commits that add to a table, and put in their place with the next one.

What belongs here: when it is done, and that nothing comes of it if the table has changed under it. What does not: which
files are small, and how they are written anew (`lake.replace`).

Files never change, so they can be read and written anew while commits go on. Who commits asks for what is ready: files
that leave, and those that stand in for them. It is no commit of its own, so it neither races nor grows the metadata.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from dagster_project.lake.lake import Lake
from dagster_project.lake.pins import Pin
from dagster_project.lake.replace import Rewritten, has_many_small, without_keys
from dagster_project.lake.staging import discard


class Tidy:
    """What tidies the tables of one source. To be called for a table by one thread at a time; close it at the end."""

    def __init__(self, lake: Lake, source: str) -> None:
        self._lake, self._source = lake.beside(), source
        self._thread = ThreadPoolExecutor(1, "tidy")
        self._under_way: dict[str, Future[Rewritten]] = {}

    def __call__(self, pin: Pin) -> Rewritten:
        """Return what is ready for the table as it stands at `pin`, and begin anew where there is something to do.

        What is returned is to be committed, or its added files deleted. Raises what went wrong beside the commits.
        """
        name = pin.table.identifier
        if (ready := self._under_way.get(name)) is None:
            if has_many_small(self._lake, pin, source=self._source):
                self._under_way[name] = self._thread.submit(self._rewrite, pin)
            return Rewritten()
        if not ready.done():
            return Rewritten()
        del self._under_way[name]
        found = ready.result()
        if found.removed <= set(pin.files):
            return found
        discard(self._lake, found.added)
        return Rewritten()

    def close(self) -> None:
        """Wait for what is under way, and delete what nobody asked for."""
        self._thread.shutdown()
        for each in self._under_way.values():
            if each.exception() is None:
                discard(self._lake, each.result().added)
        self._under_way.clear()

    def _rewrite(self, pin: Pin) -> Rewritten:
        with self._lake.connect() as con:
            return without_keys(self._lake, con, pin, source=self._source, key="sequence", keys=None)
