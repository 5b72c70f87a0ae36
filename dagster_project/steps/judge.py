"""audit: judge the staged rows before anyone can see them, and take out what a row rule refuses.

A refused unit goes as a whole: a note with all its parts. Its last good version stays, and is marked stale.

A table source may have a suite of its own, `expectations/raw.<source>.json`. It judges the rows as they arrived, and
what it refuses is the note a row was to become: a row that changes nothing, or that a later one stands for, is none.
What must hold for its rows together, such as a value that is unique, is judged over `tables.<source>` as it would be.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from threading import Thread
from typing import Final

import pyarrow as pa

from dagster_project.audit.suites import has_suite
from dagster_project.audit.verdict import REFUSALS, Subject, Verdict
from dagster_project.contracts import EVENTS, LEDGER, NOTES, PARTS, QUARANTINE, VERSIONS, Table
from dagster_project.errors import AuditBroken
from dagster_project.lake.staging import stage_query
from dagster_project.settings import bundled
from dagster_project.steps.batch import Batch
from dagster_project.steps.refused import WAITING, recall
from dagster_project.views.scans import current_rows

_AUDITOR: Final = "dagster_project.audit.expect"
_WHOLE: Final = (NOTES, *PARTS)
"""Tables whose keys are judged as a whole; where rows only come in, only keys that arrive can break a rule."""


def warm_up() -> None:
    """Begin to import the auditor beside other work: it takes seconds, and whoever lands something will need it."""
    if _AUDITOR not in sys.modules:
        Thread(target=import_module, args=(_AUDITOR,), name="auditor").start()


def judge(batch: Batch, tables: Sequence[Table]) -> Verdict:
    """Judge the staged rows of `tables`; raises what the auditor raises if a suite cannot be run."""
    from dagster_project.audit.expect import audit  # takes three seconds to import, and most runs change nothing

    replaced = batch.spilled("replaced")
    subjects = [
        Subject(table, rows, _would_be(batch, table, rows, replaced))
        for table in tables
        if (rows := batch.rows(table)) is not None
    ]
    return audit(subjects, folder=bundled("expectations"), connect=batch.lake.connect)


def judge_ledger(batch: Batch, balance: str) -> Verdict:
    """Judge the ledger of a batch, and by its `balance` whether all that arrived became something."""
    from dagster_project.audit.expect import audit

    subject = Subject(LEDGER, batch.rows(LEDGER), None, balance)
    return audit([subject], folder=bundled("expectations"), connect=batch.lake.connect)


def judge_all(batch: Batch) -> Verdict:
    """Judge the staged rows of all tables, and the rows that arrived if their source has a suite of its own."""
    from dagster_project.audit.expect import audit

    verdict = judge(batch, batch.tables())
    arrived = batch.pins[f"raw.{batch.source.name}"].table
    folder = bundled("expectations")
    if batch.source.kind != "table" or not has_suite(folder, arrived):
        return verdict
    rows = f"(SELECT * FROM {batch.raw} AS r WHERE {batch.arrivals} AND _op = 'put')"
    own = audit([Subject(arrived, rows, _would_stand(batch, arrived))], folder=folder, connect=batch.lake.connect)
    return Verdict(
        (*own.results, *verdict.results), pa.concat_tables([verdict.refusals, _by_note(batch, own.refusals)])
    )


def _by_note(batch: Batch, refusals: pa.Table) -> pa.Table:
    """Return refusals of arrivals as refusals of the notes that are staged for them."""
    notes = batch.rows(NOTES)
    if notes is None or not refusals.num_rows:
        return REFUSALS.empty_table()
    batch.con.register("arrivals_refused", refusals)
    query = (
        f"SELECT note_id AS unit, rule, reason FROM {notes} AS n JOIN arrivals_refused AS r "
        "ON n.sequence = CAST(r.unit AS BIGINT) ORDER BY unit, rule"
    )
    by_note = batch.con.execute(query).to_arrow_table().cast(REFUSALS)
    batch.con.unregister("arrivals_refused")
    return by_note


def _would_be(batch: Batch, table: Table, rows: str, replaced: str) -> str:
    """Return the keys this source's rows of `table` would have after the commit: current minus replaced plus staged."""
    keys = ", ".join(dict.fromkeys((*table.key, "source")))
    staged = f"SELECT {keys} FROM {rows} AS staged"
    current = batch.current(table)
    if current is None or (table == VERSIONS and batch.source.kind == "stream"):  # there one stands for its sequence
        return f"({staged})"
    if table in _WHOLE:
        kept = f"note_id NOT IN (SELECT note_id FROM {replaced} AS r)"
    elif table.key[0] == "batch_id":
        kept = f"batch_id <> '{batch.batch_id}'"
    else:
        kept = f"{table.key[-1]} IN (SELECT {table.key[-1]} FROM {rows} AS arriving)"
    return f"({staged} UNION ALL SELECT {keys} FROM {current} AS present WHERE {kept})"


def _would_stand(batch: Batch, arrived: Table) -> str:
    """Return the rows `tables.<source>` would have after the commit: own columns and place.

    They are those that stand of what has landed up to the end of the batch, without those that were refused; what is
    let through by the batch is among them. Of mode history only what is current counts, which is as merge has it.
    """
    current = arrived.current
    if current is not None and current.mode == "history":
        arrived = replace(arrived, current=replace(current, mode="merge"))
    decided = batch.current(QUARANTINE)
    refused = decided and f"(SELECT * FROM {decided} AS q WHERE NOT {batch.arrivals})"
    raw = f"(SELECT * FROM {batch.raw} AS r WHERE sequence <= {batch.to})"
    return f"({current_rows(arrived, raw=raw, quarantine=refused)})"


def take_out(batch: Batch, verdict: Verdict) -> None:
    """Take the units that row rules refused out of what is staged, and tell of them in `refusals`."""
    if verdict.refusals.column("unit").null_count:
        raise AuditBroken(
            f"{batch.source.name}: staged rows have no key; nothing was committed. This is a fault of notelake."
        )
    if verdict.refusals.num_rows:
        batch.con.register("verdict", verdict.refusals)
        batch.con.execute("CREATE OR REPLACE TEMP TABLE refused AS SELECT DISTINCT unit, rule, reason FROM verdict")
        batch.con.unregister("verdict")
        _tell(batch)
        for table in batch.tables():
            query = f"SELECT * FROM {batch.rows(table)} AS staged WHERE {_is_kept(table)}"
            batch.restage(table, stage_query(batch.lake, batch.con, query, table=table, source=batch.source.name))
        batch.con.execute("DELETE FROM replaced WHERE note_id IN (SELECT unit FROM refused)")
    recall(batch)
    _mark_stale(batch)


def _tell(batch: Batch) -> None:
    """Put each refused unit into `refusals` once per rule, with the row it is about."""
    places = [
        f"SELECT note_id AS unit, path AS key, file, line, to_json(n) AS payload, sequence FROM {notes} AS n"
        for notes in [batch.rows(NOTES)]
        if notes
    ] + [
        f"SELECT event_id, event_id, shard, NULL, to_json(e), sequence FROM {events} AS e"
        for events in [batch.rows(EVENTS)]
        if events
    ]
    if batch.source.kind == "documents":  # a file that is kept beside the notes has no row there
        own = f" AND unit NOT IN (SELECT note_id FROM {batch.rows(NOTES)} AS n)" if batch.rows(NOTES) else ""
        places.append(f"SELECT unit, path, path, line, NULL, sequence FROM inputs WHERE unit IS NOT NULL{own}")
    where = f"LEFT JOIN ({' UNION ALL '.join(places)}) AS place USING (unit)" if places else ""
    columns = "key, file, line, payload, sequence" if places else "NULL AS key"
    batch.con.execute(f"INSERT INTO refusals BY NAME SELECT unit, rule, reason, {columns} FROM refused {where}")
    batch.con.execute(
        "CREATE OR REPLACE TEMP TABLE refused_events AS SELECT DISTINCT sequence FROM refusals "
        "WHERE rule LIKE 'notes.events/%' AND sequence IS NOT NULL"
    )


def _is_kept(table: Table) -> str:
    units = "(SELECT unit FROM refused)"
    if table == EVENTS:
        return f"event_id NOT IN {units}"
    if table in (NOTES, VERSIONS):  # what a refused event made of a note goes with the event
        return f"note_id NOT IN {units} AND sequence NOT IN (SELECT sequence FROM refused_events)"
    return f"note_id NOT IN {units}"


def _mark_stale(batch: Batch) -> None:
    """Stage the last good version of each refused note once more, marked stale, and list it in `stale`."""
    batch.con.execute("CREATE OR REPLACE TEMP TABLE stale (note_id VARCHAR)")
    current = batch.current(NOTES)
    if current is None:
        return
    waiting = f"({WAITING} UNION ALL SELECT unit FROM inputs WHERE status = 'failed')"
    batch.con.execute(
        f"INSERT INTO stale SELECT note_id FROM {current} AS n WHERE NOT stale "
        f"AND (note_id IN {waiting} OR file_id IN {waiting}) "
        "AND note_id NOT IN (SELECT note_id FROM replaced WHERE note_id IS NOT NULL)"
    )
    query = f"SELECT * REPLACE (true AS stale) FROM {current} AS n WHERE note_id IN (SELECT note_id FROM stale)"
    batch.stage(NOTES, stage_query(batch.lake, batch.con, query, table=NOTES, source=batch.source.name))
