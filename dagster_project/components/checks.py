"""What was checked, as asset checks: each expectation of the suites, the balance, and whether all could be read.

What belongs here: names, severities and figures. What does not: judging (`audit`). The gate stands in the commit; a
check here reports, and stops nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from dagster_project.components.refusals import Quarantine
from dagster_project.contracts import (
    AUDITS,
    EVENTS,
    FINGERPRINTS,
    LEDGER,
    NOTES,
    PARTS,
    TAGS,
    VERSIONS,
    Kind,
    Table,
    raw_table,
)
from dagster_project.reports import Counts, Landed
from dagster_project.settings import bundled
from dagster_project.sources import Source

if TYPE_CHECKING:
    from dagster_project.lake.lake import Lake

BALANCE: Final = "balance"
COMPLETE: Final = "read_as_a_whole"
WHOLE: Final = "came_through_whole"
USUAL: Final = "as_usual"
JUDGED: Final[Mapping[Kind, tuple[Table, ...]]] = {
    "documents": (NOTES, VERSIONS, *PARTS, LEDGER),
    "table": (NOTES, VERSIONS, TAGS, FINGERPRINTS, LEDGER),
    "stream": (NOTES, VERSIONS, TAGS, FINGERPRINTS, EVENTS, LEDGER),
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
    return dg.AssetCheckSpec(COMPLETE, asset=asset, description="All of the source could be looked at.")


def complete_result(landed: Landed) -> dg.AssetCheckResult:
    """Return whether a landing could look at all of the source; what it could not look at is named, with the reason."""
    return dg.AssetCheckResult(
        check_name=COMPLETE,
        passed=not landed.problems,
        severity=dg.AssetCheckSeverity.WARN,
        description=" ".join((*landed.problems, *landed.notices)) or None,
        metadata={"problems": len(landed.problems), "notices": len(landed.notices)},
    )


def balance_spec(asset: dg.AssetKey) -> dg.AssetCheckSpec:
    """Return the check that no unit was lost."""
    description = "seen = unchanged + committed + removed + duplicate + quarantined + discarded + failed."
    return dg.AssetCheckSpec(BALANCE, asset=asset, description=description)


def balance_result(counts: Counts, asset: dg.AssetKey) -> dg.AssetCheckResult:
    """Return whether every unit seen has become something."""
    return dg.AssetCheckResult(asset_key=asset, check_name=BALANCE, passed=counts.is_balanced, metadata=asdict(counts))


def whole_spec(asset: dg.AssetKey) -> dg.AssetCheckSpec:
    """Return the check that every file of a document source came through whole."""
    description = "The share of files that came through whole, in percent; `notelake ledger --bad` lists the others."
    return dg.AssetCheckSpec(WHOLE, asset=asset, description=description)


def whole_result(lake: Lake, source: Source, asset: dg.AssetKey) -> dg.AssetCheckResult:
    """Return which share of a source's files came through whole when they were last looked at; the figure is plotted.

    Files that are gone, or were given up, count no more. A share below 100 % is a warning: the notes of these files are
    served as far as they could be read, or as they were before.
    """
    standing = _last_status(lake, source)
    parts = {status: standing.get(status, 0) for status in ("partial", "quarantined", "failed")}
    files = sum(standing.values())
    whole = files - sum(parts.values())
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=WHOLE,
        passed=whole == files,
        severity=dg.AssetCheckSeverity.WARN,
        description=None if whole == files else f"See `notelake ledger {source.name} --bad`.",
        metadata={"share in percent": 100.0 * whole / files if files else 100.0, "files": files, **parts},
    )


def _last_status(lake: Lake, source: Source) -> dict[str, int]:
    """Return how many files of a source have which status since they were last looked at."""
    from dagster_project.lake.read import relation

    pin = lake.pins([LEDGER.identifier])[LEDGER.identifier]
    files = [file.file_path for file in lake.source_files(pin, source.name)]
    if not files:
        return {}
    query = (
        "SELECT status, count(*) FROM (SELECT DISTINCT ON (path) path, status "
        f"FROM {relation(pin, files)} AS l ORDER BY path, recorded_at DESC, sequence DESC) "
        "WHERE status NOT IN ('removed', 'discarded') GROUP BY status"
    )
    with lake.connect() as con:
        return dict(con.execute(query).fetchall())


def usual_spec(asset: dg.AssetKey) -> dg.AssetCheckSpec:
    """Return the check that a source's rows, missing values and ages are as they were in its batches before."""
    description = (
        "Rows, missing values and ages are not far from their own history, of 8 batches at least, and no watched rule "
        "is broken; see quality.anomalies and quality.broken_watches. It is a warning, and refuses nothing."
    )
    return dg.AssetCheckSpec(USUAL, asset=asset, description=description)


def usual_result(lake: Lake, source: Source, asset: dg.AssetKey) -> dg.AssetCheckResult:
    """Return whether something about a source is unusual; how many things there are is plotted."""
    from dagster_project.sql_words import literal
    from dagster_project.views.anomalies import unusual

    with lake.connect() as con:
        con.execute(f"ATTACH {literal(str(lake.settings.view_file))} AS served (READ_ONLY)")
        con.execute("USE served")
        told = unusual(con, source.name)
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=USUAL,
        passed=not told,
        severity=dg.AssetCheckSeverity.WARN,
        description=" ".join(f"{words}." for _, words in told) or None,
        metadata={"unusual": len(told)},
    )


def judged(source: Source) -> tuple[Table, ...]:
    """Return the tables whose suites judge a source: those of its kind, and its own if it has one."""
    from dagster_project.audit.suites import has_suite

    own = raw_table(source.name, source.kind)
    is_own = source.kind == "table" and has_suite(bundled("expectations"), own)
    return (*JUDGED[source.kind], own) if is_own else JUDGED[source.kind]


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
        for table in judged(source)
        for expectation in expectation_names(bundled("expectations"), table)
    ]


@dataclass(frozen=True, slots=True)
class Judged:
    """The last recorded result of an expectation for a source."""

    suite: str
    expectation: str
    rule: str
    success: bool
    observed: float | None
    bad: int | None
    rows: int | None
    batch_id: str
    judged_at: float
    """Seconds since 1970."""

    @property
    def name(self) -> str:
        """Name of its check."""
        return check_name(self.suite, self.expectation)

    @property
    def severity(self) -> dg.AssetCheckSeverity:
        """A table rule stops the batch: an error. A watched rule does not, and a row rule fills the quarantine."""
        return dg.AssetCheckSeverity.ERROR if self.rule == "table" else dg.AssetCheckSeverity.WARN

    @property
    def metadata(self) -> dict[str, Any]:
        """Its figures, to be plotted, and which batch they are of."""
        figures = {"observed": self.observed, "bad": self.bad, "rows": self.rows}
        known = {name: figure for name, figure in figures.items() if figure is not None}
        return {**known, "batch": self.batch_id, "judged at": dg.MetadataValue.timestamp(self.judged_at)}

    def result(self, asset: dg.AssetKey, quarantine: Quarantine) -> dg.AssetCheckResult:
        """Return it as the result of its check on `asset`; a row rule holds while nothing of it is in quarantine."""
        kept = quarantine.of(f"{self.suite}/{self.expectation}")
        is_row = self.rule == "row"
        return dg.AssetCheckResult(
            asset_key=asset,
            check_name=self.name,
            passed=not kept.units if is_row else self.success,
            severity=self.severity,
            metadata={**self.metadata, **(kept.metadata if is_row else {})},
        )


def evaluation_of(result: dg.AssetCheckResult, asset: dg.AssetKey) -> dg.AssetCheckEvaluation:
    """Return a result as the plain event that a run may tell without having been asked for the check."""
    return dg.AssetCheckEvaluation(
        asset_key=asset,
        check_name=str(result.check_name),
        passed=result.passed,
        severity=result.severity,
        metadata=result.metadata,
        description=result.description,
    )


def last_verdicts(lake: Lake, source: Source) -> tuple[Judged, ...]:
    """Return the last recorded result of every expectation that was ever judged for this source.

    A run that changed nothing judged nothing, and what it serves is what was judged last: that verdict still stands.
    """
    from dagster_project.lake.read import relation

    pin = lake.pins([AUDITS.identifier])[AUDITS.identifier]
    files = [file.file_path for file in lake.source_files(pin, source.name)]
    if not files:
        return ()
    suites = [table.identifier for table in judged(source)]
    query = (
        "SELECT suite, expectation, rule, success, observed, bad, rows, batch_id, epoch(audited_at) "
        f"FROM {relation(pin, files)} AS a "
        f"WHERE rule <> 'figure' AND suite IN ({', '.join('?' for _ in suites)}) "
        "QUALIFY row_number() OVER (PARTITION BY suite, expectation ORDER BY audited_at DESC, batch_id DESC) = 1"
    )
    with lake.connect() as con:
        rows = con.execute(query, suites).fetchall()
    return tuple(Judged(*row) for row in rows)
