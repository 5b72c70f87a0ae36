"""Refused units that are looked at again: let through, or refused once more.

What belongs here: shaping, judging and committing the arrivals of refused units as a batch of their own. What does
not: which refusals are open (`refused`), giving them up (`quarantine`), serving (`serve`).

Raw keeps what arrived, and the note cursor has passed it: so the arrivals are taken from there again, by the rules and
the declaration of today. Notes, versions, quarantine, ledger and audits change in one commit. It holds only if the
source's cursor and its quarantine are as they were when the units were chosen; else they are chosen anew. So a unit is
let through once, and never over something newer: what the source has since said anew is told as superseded. A unit
that is refused once more keeps its row, and gets one more for each new rule; if nothing is let through and no rule
is new, nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final, Literal

import duckdb

from dagster_project.contracts import ATTACHMENTS, AUDITS, EVENTS, LEDGER, NOTES, PARTS, QUARANTINE, SHARED, VERSIONS
from dagster_project.errors import CommitConflict, Superseded, UsageError
from dagster_project.failpoints import failpoint
from dagster_project.lake.commit import Change, commit
from dagster_project.lake.lake import Lake
from dagster_project.lake.pins import Pin
from dagster_project.lake.replace import Rewritten, amended, without_keys
from dagster_project.lake.staging import discard as drop_staged
from dagster_project.lake.unavailable import tells_unavailable
from dagster_project.reports import UNITS, Observer, quiet
from dagster_project.sources import DocumentSource, Source, StreamSource, TableSource
from dagster_project.sql_words import literal
from dagster_project.steps.batch import Batch
from dagster_project.steps.commit import cursor_table, retried
from dagster_project.steps.cursors import mapping_name, note_cursor, rewinds
from dagster_project.steps.pending import refuse_other_kind
from dagster_project.steps.quarantine import choose, count, refuse_unknown
from dagster_project.steps.record import audit, settle, stage_audits, stage_quarantine
from dagster_project.steps.refused import IS_NOTE, kind_of, landed, ledger_moves, own
from dagster_project.steps.shape import shape, shape_notes_again

CHOICES: Final = 20
"""How often units are chosen anew because the source was run, or decided upon, in between."""
_Part = Literal["units", "notes"]
"""What is released together: the units of a source; then, of a stream, the notes its events make."""


@dataclass(frozen=True, slots=True)
class Released:
    """What became of the refused units that were looked at again."""

    released: int = 0
    refused: int = 0
    """Refused once more; they stay in quarantine."""
    superseded: int = 0
    """The source has since said something newer of them; they stay as they are."""
    unread: int = 0
    """Rows that no reader could read: they are not in raw as rows, and their file must be read again."""

    def __add__(self, other: Released) -> Released:
        return Released(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(Released)))


def source_of(lake: Lake, name: str, declared: Iterable[Source]) -> Source:
    """Return how the source called `name` is declared; for one that was brought in undeclared, as it was then.

    Raises `UsageError` for a source that has never landed, or of which it is not known how its columns or events are
    to be read.
    """
    pins = lake.pins()
    kind = kind_of(landed(pins, name))
    if found := next((source for source in declared if source.name == name), None):
        return found
    if kind == "documents":
        return DocumentSource(name=name, path=".")
    if kind == "table" and mapping_name(name) in lake.properties(pins[NOTES.identifier]):
        return TableSource(name=name, path=".")
    raise UsageError(
        f"{name} is not declared here, so it is not known how its {UNITS[kind]} are to be read; nothing was changed. "
        "Declare it, as `notelake ingest` read it, in dagster_project/defs/sources, or go to the project that does."
    )


@tells_unavailable
def release(
    lake: Lake, source: Source, *, rule: str | None = None, units: Sequence[str] = (), observe: Observer = quiet
) -> Released:
    """Look at the open refusals of `source` again, of one `rule` and of `units` (unit or key) if given.

    Raises `UsageError` if one of `units` has no undecided refusal, `AuditFailed` if a table rule refuses what would be
    let through, and `CommitConflict` after many attempts; then nothing is changed.
    """
    parts: tuple[_Part, ...] = ("units", "notes") if source.kind == "stream" else ("units",)
    with lake.connect() as con:
        choose(con, lake, lake.pins(), source.name)
        refuse_unknown(con, source.name, units)
    return sum((_release(lake, source, part, rule, units, observe) for part in parts), Released())


def _release(
    lake: Lake, source: Source, part: _Part, rule: str | None, units: Sequence[str], observe: Observer
) -> Released:
    for _ in range(CHOICES):
        try:
            return _release_once(lake, source, part, rule, units, observe)
        except Superseded:
            continue  # what was chosen may be decided by now
    return _release_once(lake, source, part, rule, units, observe)


def _release_once(
    lake: Lake, source: Source, part: _Part, rule: str | None, units: Sequence[str], observe: Observer
) -> Released:
    pins = lake.pins()
    raw = landed(pins, source.name)
    refuse_other_kind(raw, source)
    con = lake.connect()
    try:
        choose(con, lake, pins, source.name, rule=rule, units=units)
        told = _candidates(con, source, part)
        again = _arrivals(con, lake, pins, source.name, part)
        if not again:
            return told
        table = EVENTS if source.kind == "stream" else NOTES
        cursor = note_cursor(lake, pins[table.identifier], source.name)
        batch = Batch(lake, source, pins, cursor, cursor, con, lake.clock(), again)
    except BaseException:
        con.close()
        raise
    try:
        return told + _release_batch(batch, part, observe)
    finally:
        batch.close()


def _candidates(con: duckdb.DuckDBPyConnection, source: Source, part: _Part) -> Released:
    """Make the table `candidates`, refusals that can be let through; tell how many units of those meant are none."""
    of_part = {"units": f"NOT {IS_NOTE}", "notes": IS_NOTE}[part] if source.kind == "stream" else "true"
    is_read = "rule <> 'row'" if source.kind == "table" else "true"
    con.execute(
        "CREATE OR REPLACE TEMP TABLE candidates AS SELECT * FROM undecided SEMI JOIN (SELECT DISTINCT sequence FROM "
        f"chosen WHERE state = 'open' AND {is_read} AND {of_part}) AS c USING (sequence) WHERE {of_part}"
    )
    unread = f"(SELECT DISTINCT sequence FROM chosen WHERE state = 'open' AND NOT ({is_read}))"
    passed = f"(SELECT DISTINCT unit, sequence FROM chosen WHERE state = 'superseded' AND {of_part})"
    return Released(superseded=count(con, passed), unread=count(con, unread))


def _arrivals(
    con: duckdb.DuckDBPyConnection, lake: Lake, pins: Mapping[str, Pin], source: str, part: _Part
) -> tuple[int, ...]:
    """Return the arrivals to be shaped again; for notes of a stream the events that have not made a version yet."""
    query = "SELECT sequence FROM candidates"
    if part == "notes":
        notes, events, versions = (pins[table.identifier] for table in (NOTES, EVENTS, VERSIONS))
        version = f"SELECT sequence FROM {own(lake, versions, source)} AS v"
        folded = note_cursor(lake, notes, source)
        event = (
            f"SELECT sequence FROM {own(lake, events, source)} AS e WHERE type LIKE 'note.%' AND sequence <= {folded}"
        )
        query = f"{query} UNION SELECT sequence FROM ({event} EXCEPT {version}) WHERE EXISTS ({query})"
    return tuple(sequence for (sequence,) in con.execute(f"SELECT DISTINCT * FROM ({query}) ORDER BY 1").fetchall())


def _release_batch(batch: Batch, part: _Part, observe: Observer) -> Released:
    name = batch.source.name
    try:
        if part == "notes" and isinstance(batch.source, StreamSource):
            shape_notes_again(batch, batch.source, "SELECT unit FROM candidates", observe=observe)
        else:
            shape(batch, observe=observe)
        verdict = audit(batch, observe)
        settle(batch)
        done = _settle_candidates(batch, part)
        if not (done.released or count(batch.con, "refusals")):
            batch.discard()
            return done
        stage_quarantine(batch)
        stage_audits(batch, verdict.results)
    except BaseException:
        batch.discard()
        raise
    failpoint("commit.staged")
    observe(name, "commit")
    try:
        retried(lambda: _commit_once(batch))
    except CommitConflict:
        batch.discard()
        raise
    return done


def _settle_candidates(batch: Batch, part: _Part) -> Released:
    """Make the tables of what changes in quarantine and ledger, leave in `refusals` what is new, count the units."""
    con = batch.con
    is_file = str(batch.source.kind == "documents").lower()  # its reader may have failed, which refuses nothing
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE let_through AS SELECT * FROM candidates AS c WHERE {_is_staged(batch, part)}"
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE turned_down AS SELECT DISTINCT c.unit, c.sequence FROM candidates AS c WHERE "
        "(unit, sequence) NOT IN (SELECT (unit, sequence) FROM let_through) AND "
        f"({is_file} OR sequence IN (SELECT sequence FROM refusals) OR unit IN (SELECT unit FROM refusals))"
    )
    units = count(con, "(SELECT DISTINCT unit, sequence FROM candidates)")
    released = count(con, "(SELECT DISTINCT unit, sequence FROM let_through)")
    refused = count(con, "turned_down")
    con.execute("DELETE FROM refusals WHERE (unit, rule, sequence) IN (SELECT (unit, rule, sequence) FROM undecided)")
    con.execute(
        "CREATE OR REPLACE TEMP TABLE refusal_changes AS SELECT DISTINCT batch_id, unit, rule, "
        f"TIMESTAMPTZ {literal(batch.now.isoformat())} AS released_at FROM let_through"
    )
    counted = "false" if part == "notes" else "true"
    con.execute(
        "CREATE OR REPLACE TEMP TABLE committed AS SELECT DISTINCT unit, file, sequence FROM let_through "
        f"WHERE {counted}"
    )
    pin = batch.pins[LEDGER.identifier]
    ledger_moves(batch.lake, con, pin, source=batch.source.name, kind=batch.source.kind, into=["committed"])
    _tell_files(batch)
    return Released(released=released, refused=refused, superseded=units - released - refused)


def _is_staged(batch: Batch, part: _Part) -> str:
    """Return SQL that is true for a candidate whose unit is staged as good."""
    notes, events, files = batch.rows(NOTES), batch.rows(EVENTS), batch.rows(ATTACHMENTS)
    if batch.source.kind == "documents":
        ids = [f"SELECT unnest([note_id, file_id]) FROM {notes} AS n WHERE NOT stale"] if notes else []
        ids += [f"SELECT note_id FROM {files} AS a"] if files else []
        return f"c.unit IN ({' UNION ALL '.join(ids)})" if ids else "false"
    if part == "notes":
        return f"c.unit IN (SELECT note_id FROM {notes} AS n WHERE NOT stale)" if notes else "false"
    rows = events if batch.source.kind == "stream" else notes
    good = "" if batch.source.kind == "stream" else " WHERE NOT stale"
    return f"c.sequence IN (SELECT sequence FROM {rows} AS r{good})" if rows else "false"


def _tell_files(batch: Batch) -> None:
    """Put into `ledger_changes` what is told of a file that was refused as a whole: how it was read by now."""
    if batch.source.kind != "documents":
        return
    con, notes = batch.con, batch.rows(NOTES)
    names = [column.name for column in LEDGER.columns if column.name in _TOLD]
    for name in names:
        type_ = "BIGINT" if name in _FIGURES else "VARCHAR"
        con.execute(f"ALTER TABLE ledger_changes ADD COLUMN IF NOT EXISTS {name} {type_}")
    pin = batch.pins[LEDGER.identifier]
    own_rows = own(batch.lake, pin, batch.source.name)
    missing = [name for name in names if name not in {"committed", "quarantined", "status"}]
    con.execute(
        f"UPDATE ledger_changes AS c SET {', '.join(f'{name} = l.{name}' for name in missing)} FROM {own_rows} AS l "
        "WHERE c.batch_id = l.batch_id AND c.path = l.path AND c.sequence = l.sequence"
    )
    members = f"SELECT note_id FROM {notes} AS n WHERE file_id IS NOT NULL" if notes else "SELECT NULL WHERE false"
    con.execute(
        f"UPDATE ledger_changes AS c SET {', '.join(f'{name} = i.{name}' for name in names)} FROM inputs AS i "
        "WHERE c.sequence = i.sequence AND c.sequence IN "
        f"(SELECT sequence FROM let_through WHERE unit NOT IN ({members}))"
    )


_FIGURES: Final = (
    "seen",
    "committed",
    "duplicate",
    "quarantined",
    "failed",
    "removed",
    "line",
    "characters_in",
    "characters_out",
)
_TOLD: Final = (*_FIGURES, "status", "parser", "dropped", "error", "encoding")
"""Columns of the ledger that reading a file fills."""


def _commit_once(batch: Batch) -> dict[str, int]:
    name = batch.source.name
    pins = batch.lake.pins(table.identifier for table in SHARED)
    _refuse_changed(batch, pins)
    changes: list[Change] = []
    for table in SHARED:
        pin = pins[table.identifier]
        made_way = _make_way(batch, pin)
        staged = batch.staged.get(table.identifier, ())
        changes.append(Change(pin, added=(*staged, *made_way.added), removed=made_way.removed))
    summary = {"notelake.batch_id": batch.batch_id, "notelake.source": name, "notelake.decision": "release"}
    try:
        snapshots = commit(batch.lake, changes, summary=summary)
    except CommitConflict:
        kept = {file.path for files in batch.staged.values() for file in files}
        drop_staged(batch.lake, [file for each in changes for file in each.added if file.path not in kept])
        raise
    batch.staged.clear()
    return snapshots


def _refuse_changed(batch: Batch, pins: Mapping[str, Pin]) -> None:
    """Raise `Superseded` if the source was run, or decided upon, since its units were chosen."""

    def state(at: Mapping[str, Pin]) -> tuple[list[int], int, list[str]]:
        lake, name = batch.lake, batch.source.name
        cursors = [note_cursor(lake, at[table.identifier], name) for table in (cursor_table(batch), NOTES)]
        files = [file.file_path for file in lake.source_files(at[QUARANTINE.identifier], name)]
        return cursors, rewinds(lake, at[NOTES.identifier], name), files

    if state(pins) != state(batch.pins):
        raise Superseded(f"{batch.source.name}: it was run or decided upon meanwhile; nothing was let through.")


def _make_way(batch: Batch, pin: Pin) -> Rewritten:
    name, table = batch.source.name, pin.table
    if table == QUARANTINE:
        return amended(batch.lake, batch.con, pin, source=name, changes="refusal_changes")
    if table == LEDGER:
        return amended(batch.lake, batch.con, pin, source=name, changes="ledger_changes")
    keys = {NOTES: "(SELECT note_id FROM replaced UNION ALL SELECT note_id FROM stale)"}.get(table)
    if table in PARTS:
        keys = "replaced"
    if table == AUDITS:
        keys = f"(SELECT {literal(batch.batch_id)} AS batch_id)"
    return (
        Rewritten()
        if keys is None
        else without_keys(batch.lake, batch.con, pin, source=name, key=table.key[0], keys=keys)
    )
