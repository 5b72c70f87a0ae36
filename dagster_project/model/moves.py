"""Which note a file is: identity kept through moves, computed from the observations alone.

What belongs here: the pure rule from observations in order to note ids. What does not: seeing that a file moved
(`landing`), for that needs the files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from dagster_project.model.identity import note_id


class Observation(Protocol):
    """What the rule needs to know of an arrival: its op (put, move, gone, unreadable), path, and path before a move."""

    @property
    def op(self) -> str:
        """What became of the file: put, move, gone or unreadable."""

    @property
    def path(self) -> str:
        """Where it lies now."""

    @property
    def moved_from(self) -> str | None:
        """Where it lay before a move."""


@dataclass(slots=True)
class Identities:
    """Who lies where, after the observations taken so far, in their order.

    A note's id is made from the path at which it was first seen. A move takes the id along; a file that appears later
    at the old path is another note, so it gets the next generation of that path. A file that vanished and came back to
    its path is the same note.

    >>> from types import SimpleNamespace as Seen
    >>> who = Identities("vault")
    >>> first = who.take(Seen(op="put", path="a.md", moved_from=None))
    >>> who.take(Seen(op="move", path="b.md", moved_from="a.md")) == first
    True
    >>> who.take(Seen(op="put", path="a.md", moved_from=None)) == note_id("vault", "a.md", 1)
    True
    """

    source: str
    _at: dict[str, str] = field(default_factory=dict)
    _moved: set[str] = field(default_factory=set)
    """Ids of notes that have ever left the path they were first seen at."""

    def take(self, seen: Observation) -> str:
        """Take the next observation; return the id of the note it is about."""
        if seen.op == "move" and seen.moved_from is not None:
            return self._move(seen.moved_from, seen.path)
        if seen.path not in self._at:
            self._at[seen.path] = self._new(seen.path)
        return self._at[seen.path]

    def _move(self, before: str, after: str) -> str:
        id_ = self._at.pop(before, None) or self._new(before)
        self._moved.add(id_)
        self._at[after] = id_
        return id_

    def _new(self, path: str) -> str:
        generation = 0
        while (id_ := note_id(self.source, path, generation)) in self._moved:
            generation += 1
        return id_


def identities(source: str, history: Iterable[Observation]) -> Mapping[int, str]:
    """Return the note id of each observation in `history`, by its place."""
    who = Identities(source)
    return {place: who.take(seen) for place, seen in enumerate(history)}
