"""shape: arrivals of raw to staged rows of the note tables. Reads raw and the lake, never the source."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final, assert_never

import pyarrow as pa

from dagster_project.contracts import BY_IDENTIFIER, EVENTS, FINGERPRINTS, NOTES, Column, Shape, raw_table
from dagster_project.lake.read import scan
from dagster_project.lake.staging import Stager, stage_query
from dagster_project.model.fold import fold_table
from dagster_project.reports import Observer
from dagster_project.shaping import events, rows
from dagster_project.shaping.fingerprints import fingerprints
from dagster_project.sources import DocumentSource, NoteMapping, StreamSource, TableSource
from dagster_project.steps.batch import Batch
from dagster_project.steps.documents import shape_documents

_NOTES_AT_ONCE: Final = 16_384


def shape(batch: Batch, *, observe: Observer) -> None:
    """Stage what the batch's arrivals become, and fill its `replaced`, `refusals` and `inputs`."""
    match batch.source:
        case DocumentSource():
            shape_documents(batch, observe=observe)
        case TableSource():
            _stage(batch, _shape_of_rows(batch, batch.source), observe)
        case StreamSource():
            _stage(batch, _shape_of_events(batch, batch.source, observe), observe)
        case _:
            assert_never(batch.source)


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
    _stage_fingerprints(batch)
    con.execute(f"INSERT INTO replaced BY NAME {shape_.replaced}")
    con.execute(f"INSERT INTO refusals BY NAME {shape_.refusals}")
    con.execute(f"INSERT INTO inputs BY NAME {shape_.inputs}")


def _stage_fingerprints(batch: Batch) -> None:
    """Stage the fingerprints of the notes that are staged."""
    notes = batch.rows(NOTES)
    if notes is None:
        return
    with Stager(batch.lake, FINGERPRINTS, batch.source.name) as stager:
        query = f"SELECT note_id, source, body FROM {notes} AS n"
        for rows_ in batch.con.execute(query).to_arrow_reader(_NOTES_AT_ONCE):
            stager.write(fingerprints(pa.Table.from_batches([rows_])))
        batch.stage(FINGERPRINTS, stager.close())
