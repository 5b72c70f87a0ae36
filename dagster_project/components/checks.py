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


def expectation_specs(source: Source, asset: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """Return one check for each expectation of each suite that judges this kind of source."""
    from dagster_project.audit.suites import expectation_names

    return [
        dg.AssetCheckSpec(
            check_name(table.identifier, expectation.name),
            asset=asset,
            description=expectation.description,
            metadata={"suite": table.identifier, "rule": expectation.rule},
        )
        for table in JUDGED[source.kind]
        for expectation in expectation_names(bundled("expectations"), table)
    ]


def expectation_results(lake: Lake, source: Source) -> Iterator[dg.AssetCheckResult]:
    """Yield the last recorded result of every expectation that was ever judged for this source.

    A run that changed nothing judged nothing, and what it serves is what was judged last: that verdict still stands.
    """
    from dagster_project.lake.read import relation

    pin = lake.pins([AUDITS.identifier])[AUDITS.identifier]
    files = [file.file_path for file in lake.source_files(pin, source.name)]
    if not files:
        return
    query = (
        "SELECT suite, expectation, rule, success, observed, bad, rows, batch_id, epoch(audited_at) AS audited_at "
        f"FROM {relation(pin, files)} AS a WHERE source = ? "
        "QUALIFY row_number() OVER (PARTITION BY suite, expectation ORDER BY audited_at DESC, batch_id DESC) = 1"
    )
    with lake.connect() as con:
        cursor = con.execute(query, [source.name])
        names = [column[0] for column in cursor.description or ()]
        rows = cursor.fetchall()
    yield from (_result(dict(zip(names, row, strict=True))) for row in rows)


def _result(row: Mapping[str, Any]) -> dg.AssetCheckResult:
    """Return a recorded result. What a row rule refuses is in quarantine: a warning. A table rule stops the batch: an error."""
    is_row_rule = row["rule"] == "row"
    return dg.AssetCheckResult(
        check_name=check_name(row["suite"], row["expectation"]),
        passed=bool(row["success"]),
        severity=dg.AssetCheckSeverity.WARN if is_row_rule else dg.AssetCheckSeverity.ERROR,
        metadata={
            **{name: row[name] for name in ("observed", "bad", "rows") if row[name] is not None},
            "batch": row["batch_id"],
            "judged at": dg.MetadataValue.timestamp(row["audited_at"]),
        },
    )
