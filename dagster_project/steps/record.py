"""What is written down of a batch beside its rows: the ledger, the quarantine, the audits. All under its `batch_id`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from dagster_project.audit.verdict import Result, Verdict
from dagster_project.contracts import AUDITS, LEDGER, NOTES, QUARANTINE, Table
from dagster_project.errors import AuditFailed
from dagster_project.failpoints import failpoint
from dagster_project.lake.read import scan
from dagster_project.lake.staging import Stager, stage_query
from dagster_project.reports import Counts, Observer
from dagster_project.sql_words import literal
from dagster_project.steps.balance import balance
from dagster_project.steps.batch import Batch
from dagster_project.steps.commit import commit_batch
from dagster_project.steps.figures import figures
from dagster_project.steps.judge import judge_all, judge_ledger, take_out
from dagster_project.steps.refused import IS_NOTE, WAITING


def audit(batch: Batch, observe: Observer) -> Verdict:
    """Judge all that is staged, and take out what a row rule refuses.

    Raises `AuditFailed` if a table rule breaks: its verdict is recorded, and nothing may be committed.
    """
    failpoint("shape.staged")
    observe(batch.source.name, "audit")
    verdict = judge_all(batch)
    failpoint("audit.judged")
    if not verdict.passed:
        raise record_refusal(batch, verdict)
    take_out(batch, verdict)
    return verdict


def record(batch: Batch, verdict: Verdict) -> Verdict:
    """Stage ledger, quarantine and audits of a batch that passed; return the verdict with the ledger's own added.

    Raises `AuditFailed` if they do not balance: then a unit was lost, or came twice, and nothing may be committed.
    """
    if batch.part == "fold":  # its arrivals are counted already
        stage_quarantine(batch)
        stage_audits(batch, verdict.results, beside=batch.later)
        return verdict
    found = figures(batch)
    settle(batch)
    stage_ledger(batch)
    stage_quarantine(batch)
    verdict = replace(verdict, results=(*verdict.results, *judge_ledger(batch, balance(batch)).results))
    if not verdict.passed:
        raise record_refusal(batch, verdict)
    if batch.part == "events":
        batch.told = audit_rows(batch, (*verdict.results, *found))
    else:
        stage_audits(batch, (*verdict.results, *found))
    return verdict


def record_refusal(batch: Batch, verdict: Verdict) -> AuditFailed:
    """Write down the audits of a refused batch, and nothing else of it; return the error to raise."""
    batch.discard()
    stage_audits(batch, verdict.results)
    commit_batch(batch, moves_cursor=False)
    broken = [f"{result.suite}/{result.expectation} (observed {result.observed})" for result in verdict.failed_tables]
    return AuditFailed(
        f"{batch.source.name}: {', '.join(broken)} did not hold for batch {batch.batch_id}; nothing of it was "
        f"committed, and the last good state is served. What landed stays in raw.{batch.source.name} and is "
        "judged again by the next run, before anything else lands: mending the source alone lets nothing through. Mend "
        "the rule in expectations/, or make it a `watch` one, and run again."
    )


def settle(batch: Batch) -> None:
    """Work what the audit refused into `inputs`: an input that is one unit is quarantined, others count their units.

    A stream counts events: a note that is refused with the event that made it is no unit of its own. Nor is a row of
    an earlier batch that stands again, and is refused now: it was counted when it arrived. What somebody gave up
    before, and that comes again as it was, is discarded.
    """
    judged = "notes.events" if batch.source.kind == "stream" else "%"
    _unsettle_unchanged(batch)
    batch.con.execute(
        "UPDATE inputs SET status = 'quarantined', committed = 0, quarantined = 1, error = refused.reason "
        "FROM (SELECT unit, min(reason) AS reason FROM refusals GROUP BY unit) AS refused "
        "WHERE inputs.unit = refused.unit AND inputs.committed = 1"
    )
    batch.con.execute(
        "UPDATE inputs SET quarantined = inputs.quarantined + later.units "
        "FROM (SELECT file, count(DISTINCT unit) AS units FROM refusals "
        f"WHERE rule LIKE '{judged}/%' AND {batch.arrivals} GROUP BY file) AS later "
        "WHERE inputs.unit IS NULL AND inputs.path = later.file"
    )
    batch.con.execute(
        "UPDATE inputs SET committed = seen - coalesce(unchanged, 0) - duplicate - quarantined - failed, "
        "seen = seen - coalesce(unchanged, 0) + removed WHERE unit IS NULL"
    )
    _discard_again(batch)
    batch.con.execute(
        "UPDATE inputs SET status = CASE WHEN committed > 0 OR quarantined = 0 THEN 'partial' ELSE 'quarantined' END "
        "WHERE unit IS NULL AND status = 'parsed' AND quarantined > 0"
    )


def _unsettle_unchanged(batch: Batch) -> None:
    """Take notes within files that did not change and are refused all the same, by a new rule, out of `unchanged`.

    They are staged as those beside them are, so the audit may refuse them; counted as both, they would be taken from
    what was committed of their file twice.
    """
    doubtful = "SELECT 1 FROM inputs, refusals WHERE inputs.unchanged > 0 LIMIT 1"
    if batch.source.kind != "documents" or not batch.con.execute(doubtful).fetchone():
        return
    present = batch.current(NOTES) or scan(NOTES.columns, ())
    said = ("path", "content_sha256")
    same = " AND ".join(f"json_extract_string(r.payload, '$.{name}') = n.{name}" for name in said)
    batch.con.execute(
        "UPDATE inputs SET unchanged = inputs.unchanged - u.units FROM (SELECT r.file, count(DISTINCT r.unit) AS units "
        f"FROM (SELECT * FROM refusals WHERE rule LIKE '%/%' AND {batch.arrivals}) AS r "
        f"JOIN (SELECT * FROM {present} AS p WHERE file_id IS NOT NULL) AS n ON n.note_id = r.unit AND {same} "
        "GROUP BY r.file) AS u WHERE inputs.unit IS NULL AND inputs.path = u.file AND inputs.unchanged > 0"
    )


def _discard_again(batch: Batch) -> None:
    """Move units of which every refusal was given up before from quarantined to discarded."""
    counted = f"NOT {IS_NOTE}" if batch.source.kind == "stream" else "true"
    units = f"SELECT DISTINCT unit, file FROM refusals WHERE {batch.arrivals} AND {counted} AND unit NOT IN ({WAITING})"
    batch.con.execute(
        "UPDATE inputs SET status = 'discarded', quarantined = 0, discarded = 1 "
        f"FROM ({units}) AS u WHERE inputs.unit = u.unit AND quarantined = 1"
    )
    batch.con.execute(
        "UPDATE inputs SET quarantined = quarantined - u.units, discarded = u.units, "
        "status = CASE WHEN status = 'parsed' AND committed = 0 AND quarantined = u.units THEN 'discarded' "
        f"ELSE status END FROM (SELECT file, count(*) AS units FROM ({units}) GROUP BY file) AS u "
        "WHERE inputs.unit IS NULL AND inputs.path = u.file"
    )


def stage_ledger(batch: Batch) -> None:
    """Stage the ledger's rows: one per input."""
    given_up = "coalesce(discarded, 0) AS discarded"
    _stage(batch, LEDGER, f"SELECT {_head(batch)}, * REPLACE ({given_up}), {_now(batch)} AS recorded_at FROM inputs")


def stage_quarantine(batch: Batch) -> None:
    """Stage one row per refused unit and rule."""
    query = (
        f"SELECT {_head(batch)}, *, {_now(batch)} AS quarantined_at, NULL::TIMESTAMPTZ AS released_at, "
        f"CASE WHEN discarded_why IS NOT NULL THEN {_now(batch)} END AS discarded_at "
        "FROM refusals LEFT JOIN given_up USING (unit, rule, sequence)"
    )
    _stage(batch, QUARANTINE, query)


def stage_audits(batch: Batch, results: Sequence[Result], *, beside: Sequence[pa.Table] = ()) -> None:
    """Stage one row per expectation that was judged, and per figure; and the rows `beside` them."""
    with Stager(batch.lake, AUDITS, batch.source.name) as stager:
        for rows in (*beside, audit_rows(batch, results)):
            stager.write(rows)
        batch.stage(AUDITS, stager.close())


def audit_rows(batch: Batch, results: Sequence[Result]) -> pa.Table:
    """Return rows of ops.audits: one per expectation that was judged, and per figure."""
    rows = [
        {
            "batch_id": batch.batch_id,
            "source": batch.source.name,
            "suite": result.suite,
            "expectation": result.expectation,
            "rule": result.rule,
            "success": result.success,
            "observed": result.observed,
            "bad": result.bad,
            "rows": result.rows,
            "audited_at": batch.now,
        }
        for result in results
    ]
    return pa.Table.from_pylist(rows, schema=AUDITS.schema)


def counts(batch: Batch) -> Counts:
    """Return what became of the batch's units; those that changed nothing count as unchanged."""
    row = batch.con.execute(
        "SELECT sum(seen) + sum(coalesce(unchanged, 0)), sum(coalesce(unchanged, 0)), sum(committed), sum(removed), "
        "sum(duplicate), sum(quarantined), sum(discarded), sum(failed), "
        "count(*) FILTER (status = 'partial' AND unit IS NOT NULL) FROM inputs"
    ).fetchone()
    return Counts(*(int(value or 0) for value in row or ()))


def _stage(batch: Batch, table: Table, query: str) -> None:
    columns = ", ".join(f'"{column.name}"' for column in table.columns)
    ordered = f"SELECT {columns} FROM ({query}) AS everything ORDER BY {', '.join(table.sort)}"
    batch.stage(table, stage_query(batch.lake, batch.con, ordered, table=table, source=batch.source.name))


def _head(batch: Batch) -> str:
    return f"{literal(batch.batch_id)} AS batch_id, {literal(batch.source.name)} AS source"


def _now(batch: Batch) -> str:
    return f"TIMESTAMPTZ {literal(batch.now.isoformat())}"
