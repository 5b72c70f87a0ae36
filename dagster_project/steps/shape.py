"""shape: arrivals of raw to staged rows of the note tables. Reads raw and the lake, never the source."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, assert_never

import pyarrow as pa

from dagster_project.contracts import BY_IDENTIFIER, EVENTS, NOTES, PARTS, VERSIONS, Column, Shape, raw_table
from dagster_project.lake.read import batches, scan
from dagster_project.lake.staging import Stager, stage_query
from dagster_project.model.fold import fold_table
from dagster_project.model.identity import member_id, note_id
from dagster_project.model.moves import Identities
from dagster_project.reports import Observer
from dagster_project.shaping import documents, events, rows
from dagster_project.sources import DocumentSource, NoteMapping, StreamSource, TableSource
from dagster_project.steps.batch import Batch

_DOCUMENT_TABLES: Final = (NOTES, VERSIONS, *PARTS)


def shape(batch: Batch, *, observe: Observer) -> None:
    """Stage what the batch's arrivals become, and fill its `replaced`, `refusals` and `inputs`."""
    match batch.source:
        case DocumentSource():
            _shape_documents(batch, observe)
        case TableSource():
            _stage(batch, _shape_of_rows(batch, batch.source), observe)
        case StreamSource():
            _stage(batch, _shape_of_events(batch, batch.source, observe), observe)
        case _:
            assert_never(batch.source)


@dataclass(frozen=True, slots=True)
class _Observation:
    op: str
    path: str
    moved_from: str | None


def _shape_documents(batch: Batch, observe: Observer) -> None:
    note_ids = _note_ids(batch)
    present = _present(batch)
    name = batch.source.name
    raw = batch.pins[f"raw.{name}"]
    with ExitStack() as stack:
        stack.enter_context(_few_collections())
        stagers = {table.identifier: stack.enter_context(Stager(batch.lake, table, name)) for table in _DOCUMENT_TABLES}
        done = 0
        told: list[documents.Told] = []
        for observed in batches(batch.lake, raw, columns=documents.COLUMNS, after=batch.after, to=batch.to):
            shaped = documents.shape_documents(
                observed, source=name, note_ids=note_ids, present=present, member_id=member_id
            )
            for identifier, table in shaped.tables():
                stagers[identifier].write(table)
            told.append(shaped.report())
            done += observed.num_rows
            observe(name, "shape", done, len(note_ids))
        _note(batch, told)
        for identifier, stager in stagers.items():
            batch.stage(BY_IDENTIFIER[identifier], stager.close())


@contextmanager
def _few_collections() -> Iterator[None]:
    """Let the garbage collector look rarely, and not at what was there before.

    Parsing makes millions of small values and no cycles. With Great Expectations imported, each full collection walks
    a million other objects: a fifth of the time of shaping.
    """
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


def _note(batch: Batch, told: Sequence[documents.Told]) -> None:
    """Fill the batch's own tables, in one statement each: a statement costs as much as thousands of rows."""
    for name in ("replaced", "refusals", "inputs"):
        rows_ = pa.concat_tables([getattr(report, name) for report in told])
        if rows_.num_rows:
            batch.con.register("arriving", rows_)
            batch.con.execute(f"INSERT INTO {name} BY NAME SELECT * FROM arriving")
            batch.con.unregister("arriving")


def _note_ids(batch: Batch) -> dict[int, str]:
    """Return the note of each arrival. Only paths that have to do with a move need their whole history."""
    name = batch.source.name
    moves = f"FROM {batch.raw} AS m WHERE op = 'move'"
    moved = f"SELECT path {moves} UNION SELECT moved_from {moves}"
    history = batch.con.execute(
        f"SELECT sequence, op, path, moved_from FROM {batch.raw} AS h "
        f"WHERE sequence <= {batch.to} AND path IN ({moved}) ORDER BY sequence"
    ).fetchall()
    who = Identities(name)
    through_moves = {sequence: who.take(_Observation(*seen)) for sequence, *seen in history}
    arrived = batch.con.execute(
        f"SELECT sequence, path FROM {batch.raw} AS a WHERE sequence > {batch.after} AND sequence <= {batch.to}"
    ).fetchall()
    return {sequence: through_moves.get(sequence) or note_id(name, path) for sequence, path in arrived}


def _present(batch: Batch) -> documents.Present:
    current = batch.current(NOTES)
    if current is None:
        return documents.Present({}, {})
    rows_ = batch.con.execute(f"SELECT note_id, content_sha256, file_id, path FROM {current} AS n").fetchall()
    members: dict[str, dict[str, str]] = {}
    for id_, _, file_id, path in rows_:
        if file_id is not None:
            members.setdefault(file_id, {})[id_] = path
    return documents.Present({id_: sha256 for id_, sha256, _, _ in rows_}, members)


def _shape_of_rows(batch: Batch, source: TableSource) -> Shape:
    raw = batch.pins[f"raw.{source.name}"].table
    columns = raw.columns[len(raw_table(source.name, "table").columns) :]
    mapping = source.note or _kept_mapping(batch, columns)
    given: dict[str, Any] = {
        "raw": batch.raw,
        "columns": columns,
        "mapping": mapping,
        "after": batch.after,
        "to": batch.to,
        "notes": batch.current(NOTES),
    }
    batch.con.execute(f"CREATE OR REPLACE TEMP TABLE changes AS {rows.row_changes(source, **given)}")
    return rows.shape_rows(source, **given, changes="changes")


def _kept_mapping(batch: Batch, columns: Sequence[Column]) -> NoteMapping:
    """Return the mapping that was guessed at the first landing; guess it if this is the first.

    It is kept as a property of the commit, for a key that came and went would change the ids of all notes.
    """
    name = f"notelake.mapping.{batch.source.name}"
    kept = batch.lake.properties(batch.pins[NOTES.identifier]).get(name)
    if kept:
        return NoteMapping.model_validate_json(kept)
    guess = rows.guess_mapping(columns)
    facts = batch.con.execute(
        rows.mapping_facts(guess, columns, f"(SELECT * FROM {batch.raw} AS r WHERE sequence <= {batch.to})")
    )
    found = facts.fetchone() or (False, None, None)
    mapping = rows.settle_mapping(guess, is_unique=bool(found[0]), created_at=found[1], modified_at=found[2])
    batch.properties[name] = mapping.model_dump_json()
    return mapping


def _shape_of_events(batch: Batch, source: StreamSource, observe: Observer) -> Shape:
    known = batch.current(EVENTS)
    since = batch.now - timedelta(days=source.dedupe_days)
    within = (
        f"(SELECT event_id FROM {known} AS k WHERE landed_at >= TIMESTAMPTZ '{since.isoformat()}')" if known else None
    )

    def keep(query: str) -> str:
        observe(source.name, "shape")
        batch.stage(EVENTS, stage_query(batch.lake, batch.con, query, table=EVENTS, source=source.name))
        return batch.rows(EVENTS) or scan(EVENTS.columns, ())

    return events.shape_events(
        batch.con,
        source,
        raw=batch.raw,
        after=batch.after,
        to=batch.to,
        known_events=within,
        all_events=known,
        notes=batch.current(NOTES),
        observed_at=batch.now,
        fold=fold_table,
        keep=keep,
    )


def _stage(batch: Batch, shape_: Shape, observe: Observer) -> None:
    con, name = batch.con, batch.source.name
    for identifier, query in shape_.rows.items():
        observe(name, "shape")
        table = BY_IDENTIFIER[identifier]
        batch.stage(table, stage_query(batch.lake, con, query, table=table, source=name))
    con.execute(f"INSERT INTO replaced BY NAME {shape_.replaced}")
    con.execute(f"INSERT INTO refusals BY NAME {shape_.refusals}")
    con.execute(f"INSERT INTO inputs BY NAME {shape_.inputs}")
