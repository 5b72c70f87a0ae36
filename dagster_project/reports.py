"""What a run tells: how many units it saw and what became of each.

What belongs here: the figures and their balance. What does not: how they are printed (`cli`) or plotted (`components`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from dagster_project.audit.verdict import Verdict
    from dagster_project.contracts import Kind

UNITS: Final[Mapping[str, str]] = {"documents": "files", "table": "rows", "stream": "events"}
"""What is counted, by the kind of source."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Units of a source in one run. `seen` is the sum of the others: nothing is lost in silence."""

    seen: int = 0
    unchanged: int = 0
    committed: int = 0
    removed: int = 0
    duplicate: int = 0
    quarantined: int = 0
    discarded: int = 0
    failed: int = 0
    partial: int = 0
    """How many of the committed came through only in part; not a term of the balance."""

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, name.name) + getattr(other, name.name) for name in fields(Counts)))

    @property
    def is_balanced(self) -> bool:
        """Whether every unit seen has become something.

        >>> Counts(seen=3, committed=2, quarantined=1).is_balanced
        True
        """
        parts = (
            self.unchanged,
            self.committed,
            self.removed,
            self.duplicate,
            self.quarantined,
            self.discarded,
            self.failed,
        )
        return self.seen == sum(parts)

    @property
    def has_trouble(self) -> bool:
        """Whether something was quarantined, failed or came through only in part."""
        return bool(self.quarantined or self.failed or self.partial)


@dataclass(frozen=True, slots=True)
class Landed:
    """What a landing did. `unchanged` counts units that raw knew already."""

    source: str
    kind: Kind
    arrivals: int = 0
    unchanged: int = 0
    bytes: int = 0
    files: int = 0
    last_sequence: int = 0
    snapshot_id: int | None = None
    notices: tuple[str, ...] = ()
    """What is worth knowing, and no failure: a file of an unknown format, a line that is still being written."""
    problems: tuple[str, ...] = ()
    """What could not be looked at: a folder that cannot be listed, a shard that was cut."""
    is_paused: bool = False
    """Whether the source was skipped, for it is paused."""


@dataclass(frozen=True, slots=True)
class Committed:
    """What one batch did to the tables."""

    batch_id: str
    counts: Counts
    rows: Mapping[str, int] = field(default_factory=dict)
    """Rows added, by table."""
    snapshots: Mapping[str, int] = field(default_factory=dict)
    files: int = 0
    bytes: int = 0
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What a run did for one source."""

    source: str
    kind: Kind
    counts: Counts
    landed: Landed | None = None
    batches: tuple[Committed, ...] = ()
    error: str | None = None
    """Why the source failed; what was committed before stands."""
    seconds: float = 0.0

    @property
    def unit(self) -> str:
        """What is counted: files, rows or events."""
        return UNITS[self.kind]

    @property
    def has_trouble(self) -> bool:
        """Whether somebody should look: a failure, a quarantined or partial unit, a part that could not be seen."""
        return bool(self.error or self.counts.has_trouble or (self.landed and self.landed.problems))


class Observer(Protocol):
    """Is told how far a run is: verb, units done so far, and units in all if known."""

    def __call__(self, source: str, verb: str, done: int = 0, total: int | None = None) -> None:
        """Take note: `source` is at `verb`."""


def quiet(source: str, verb: str, done: int = 0, total: int | None = None) -> None:
    """Tell nobody."""
