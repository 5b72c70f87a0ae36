"""What was checked, as asset checks: each expectation of the suites, the balance, and whether all could be read.

What belongs here: names, severities and figures. What does not: judging (`audit`). The gate stands in the commit; a
check here reports, and stops nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from dagster_project.contracts import AUDITS, EVENTS, LEDGER, NOTES, PARTS, TAGS, VERSIONS, Kind, Table
from dagster_project.reports import Counts, Landed
from dagster_project.settings import bundled
from dagster_project.sources import Source

if TYPE_CHECKING:
    from dagster_project.lake.lake import Lake

BALANCE: Final = "balance"
COMPLETE: Final = "read_as_a_whole"
JUDGED: Final[Mapping[Kind, tuple[Table, ...]]] = {
    "documents": (NOTES, VERSIONS, *PARTS, LEDGER),
    "table": (NOTES, VERSIONS, TAGS, LEDGER),
    "stream": (NOTES, VERSIONS, TAGS, EVENTS, LEDGER),
}
"""The tables that sources of each kind write, and whose suites judge them therefore."""


def check_name(suite: str, expectation: str) -> str:
    """Return the name of the check for an expectation.

    >>> check_name("notes.notes", "title_not_empty")
    'notes_notes__title_not_empty'
    """
    return f"{suite.replace('.', '_')}__{expectation}"


def complete_spec(asset: dg.AssetKey) -> dg.AssetCheckSpec:
    """Return the check that nothing at a source was left unread."""
    return dg.AssetCheckSpec(COMPLETE, asset=asset, description="All of the source was read, without a warning.")


def complete_result(landed: Landed) -> dg.AssetCheckResult:
    """Return whether a landing had nothing to warn of; the warnings name files and reasons."""
    return dg.AssetCheckResult(
        check_name=COMPLETE,
        passed=not landed.warnings,
        severity=dg.AssetCheckSeverity.WARN,
        description=" ".join(landed.warnings) or None,
        metadata={"warnings": len(landed.warnings)},
    )


def balance_spec(asset: dg.AssetKey) -> dg.AssetCheckSpec:
    """Return the check that no unit was lost."""
    description = "seen = unchanged + committed + removed + duplicate + quarantined + discarded + failed."
    return dg.AssetCheckSpec(BALANCE, asset=asset, description=description)


def balance_result(counts: Counts) -> dg.AssetCheckResult:
    """Return whether every unit seen has become something."""
    return dg.AssetCheckResult(check_name=BALANCE, passed=counts.is_balanced, metadata=asdict(counts))
