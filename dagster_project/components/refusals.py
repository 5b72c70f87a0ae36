"""What waits in quarantine, as asset checks: one per rule, with how many units it keeps back and some of their keys.

What belongs here: names, counts and keys. What does not: the text of a note, not even in a reason; what became of a
refusal (`steps.refused`). The rules of the suites have their checks already (`checks`): these get the same figures.

A check fails while a refusal of its rule is open. Letting units through, giving them up, or anything newer from the
source ends that, and the next run tells so, even if it finds nothing new.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from dagster_project.contracts import QUARANTINE, Kind
from dagster_project.reports import UNITS
from dagster_project.sources import Source

if TYPE_CHECKING:
    from dagster_project.lake.lake import Lake

SAMPLE: Final = 20
OTHER: Final = "other"
"""Stands for rules that have no check of their own."""
_FILES: Final = (
    "archive",
    "archive_limit",
    "docx",
    "encoding",
    "encrypted",
    "enex",
    "entities",
    "epub",
    "notebook",
    "office",
    "pdf",
    "pptx",
    "xml",
)
RULES: Final[Mapping[Kind, tuple[str, ...]]] = {
    "documents": (*_FILES, OTHER),
    "table": ("row", "mapping.key", "mapping.created_at", "mapping.modified_at", OTHER),
    "stream": ("encoding", "json", "type", "occurred_at", OTHER),
}
"""The rules that are no expectation: what reading and shaping refuse, by the kind of source."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a rule keeps back of a source."""

    units: int = 0
    keys: tuple[str, ...] = ()
    """Keys of some of them, in order: paths, row keys, event ids."""

    @property
    def metadata(self) -> dict[str, Any]:
        """The figures, to be plotted; the keys only where there are some."""
        sample = {"keys": dg.MetadataValue.json(list(self.keys))} if self.keys else {}
        return {"in quarantine": self.units, **sample}


@dataclass(frozen=True, slots=True)
class Quarantine:
    """What waits of a source, by rule, and when somebody last decided about it."""

    by_rule: Mapping[str, Waiting]
    decided_at: float = 0.0
    """Seconds since 1970; 0 if nobody ever did."""

    def of(self, rule: str) -> Waiting:
        """Return what `rule` keeps back."""
        return self.by_rule.get(rule, Waiting())


def quarantine_of(lake: Lake, source: Source) -> Quarantine:
    """Return what waits of a source."""
    from dagster_project.steps.refused import refusals

    pins = lake.pins()
    if not lake.source_files(pins[QUARANTINE.identifier], source.name):
        return Quarantine({})
    with lake.connect() as con:
        con.execute(
            f"CREATE TEMP TABLE told AS SELECT * EXCLUDE (payload) FROM {refusals(lake, pins, source.name)} AS q"
        )
        waiting = con.execute(
            "SELECT rule, count(DISTINCT unit), list_sort(list(DISTINCT coalesce(key, unit)))[:?] FROM told "
            "WHERE state = 'open' GROUP BY rule",
            [SAMPLE],
        ).fetchall()
        decided = con.execute(
            "SELECT coalesce(epoch(max(greatest(released_at, discarded_at))), 0) FROM told"
        ).fetchone()
    return Quarantine({rule: Waiting(units, tuple(keys)) for rule, units, keys in waiting}, float((decided or (0,))[0]))


def refusal_check(rule: str) -> str:
    """Return the name of the check for a rule that is no expectation.

    >>> refusal_check("mapping.key")
    'refused__mapping_key'
    """
    return f"refused__{rule.replace('.', '_')}"


def refusal_specs(source: Source, asset: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """Return a check for each rule of this kind of source that is no expectation."""
    what = UNITS[source.kind]
    return [
        dg.AssetCheckSpec(
            refusal_check(rule),
            asset=asset,
            description=f"No {what} wait in quarantine for {'another rule' if rule == OTHER else f'the rule {rule}'}.",
            metadata={"rule": rule},
        )
        for rule in RULES[source.kind]
    ]


def refusal_results(quarantine: Quarantine, source: Source, asset: dg.AssetKey) -> list[dg.AssetCheckResult]:
    """Return whether each rule that is no expectation keeps something back."""
    own = RULES[source.kind]
    others = [kept for rule, kept in quarantine.by_rule.items() if "/" not in rule and rule not in own]
    rest = Waiting(sum(kept.units for kept in others), tuple(key for kept in others for key in kept.keys)[:SAMPLE])
    return [_result(rule, rest if rule == OTHER else quarantine.of(rule), source, asset) for rule in own]


def _result(rule: str, waiting: Waiting, source: Source, asset: dg.AssetKey) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=refusal_check(rule),
        passed=not waiting.units,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"See `notelake quarantine list {source.name}`." if waiting.units else None,
        metadata=waiting.metadata,
    )
