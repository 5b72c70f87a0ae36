"""shape: arrivals of raw to staged rows of the note tables. Reads raw and the lake, never the source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, assert_never

import pyarrow as pa

from dagster_project.contracts import BY_IDENTIFIER, EVENTS, FINGERPRINTS, NOTES, VERSIONS, Column, Shape, raw_table
from dagster_project.lake.read import scan
from dagster_project.lake.staging import Stager, stage_query, stage_together
from dagster_project.landing.streams.decoding import reread
from dagster_project.landing.table_columns import without_fields
from dagster_project.model.fold import fold_table
from dagster_project.reports import Observer
from dagster_project.shaping import events, rows
from dagster_project.shaping.fingerprints import LEAST_BYTES, fingerprints
from dagster_project.sources import DocumentSource, NoteMapping, StreamSource, TableSource
from dagster_project.steps.batch import Batch
from dagster_project.steps.cursors import columns_since, mapping_name
from dagster_project.steps.documents import shape_documents
from dagster_project.steps.pending import landed_at
from dagster_project.steps.seen import Seen

_NOTES_AT_ONCE: Final = 16_384


def shape(batch: Batch, *, observe: Observer) -> None:
    """Stage what the batch's arrivals become, and fill its `replaced`, `refusals` and `inputs`."""
    match batch.source:
        case DocumentSource():
            shape_documents(batch, observe=observe)
        case TableSource():
            with _joined_as_written(batch):
                _stage(batch, _shape_of_rows(batch, batch.source), observe)
        case StreamSource() if batch.part == "events":
            _stage(batch, _shape_of_arrivals(batch, batch.source), observe)
        case StreamSource() if batch.part == "fold":
            _stage(batch, _fold(batch, batch.source), observe)
        case StreamSource():
            _stage(batch, _shape_of_events(batch, batch.source, observe), observe)
        case _:
            assert_never(batch.source)


def shape_notes_again(batch: Batch, source: StreamSource, note_ids: str, *, observe: Observer) -> None:
    """Stage notes that were refused when their events were committed; `note_ids` is a query that gives their ids."""
    _stage(batch, _fold(batch, source, note_ids), observe)


def _fold(batch: Batch, source: StreamSource, note_ids: str | None = None) -> Shape:
    """Fold the batch's events, which are committed; those that came later are not looked at."""
    present = batch.current(EVENTS) or scan(EVENTS.columns, ())
    return events.fold_events(
        batch.con,
        source,
        note_ids=note_ids,
        is_fresh=batch.arrivals,
        events=f"(SELECT * FROM {present} AS e WHERE sequence <= {batch.to})" if batch.part == "fold" else present,
        versions=batch.current(VERSIONS) or scan(VERSIONS.columns, ()),
        notes=batch.current(NOTES),
        observed_at=batch.now,
        fold=fold_table,
    )


@contextmanager
def _joined_as_written(batch: Batch) -> Iterator[None]:
    batch.con.execute(rows.JOINED_AS_WRITTEN)
    try:
        yield
    finally:
        batch.con.execute("RESET disabled_optimizers")


def _shape_of_rows(batch: Batch, source: TableSource) -> Shape:
    columns = _columns_then(batch, source.note)
    mapping = source.note or _kept_mapping(batch, columns)
    given: dict[str, Any] = {
        "raw": batch.raw,
        "columns": columns,
        "mapping": mapping,
        "after": batch.again[0] - 1 if batch.again else batch.after,
        "to": batch.to,
        "notes": batch.current(NOTES),
    }
    only = f" WHERE {batch.arrivals}" if batch.again else ""
    changes = f"SELECT * FROM ({rows.row_changes(source, **given)}){only}"
    batch.con.execute(f"CREATE OR REPLACE TEMP TABLE changes AS {changes}")
    return rows.shape_rows(source, **given, changes="changes")


def _columns_then(batch: Batch, mapping: NoteMapping | None) -> tuple[Column, ...]:
    """Return the source's own columns as they were when the batch landed, and those its mapping names.

    A struct has the fields it had then.
    """
    raw = batch.pins[f"raw.{batch.source.name}"]
    since = columns_since(batch.lake, raw)
    named = {name for value in (mapping.model_dump().values() if mapping else ()) for name in _names(value)}
    later = {name for name, first in since.items() if first > batch.to and "." in name}
    return tuple(
        replace(column, type=without_fields(column.type, later, f"{column.name}."))
        for column in raw.table.columns[len(raw_table(batch.source.name, "table").columns) :]
        if since.get(column.name, 0) <= batch.to or named & {column.name, column.doc}
    )


def _names(value: str | Sequence[str] | None) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value or ())


def _kept_mapping(batch: Batch, columns: Sequence[Column]) -> NoteMapping:
    """Return the mapping that was guessed at the first landing; guess it if this is the first.

    It is kept as a property of the commit, for a key that came and went would change the ids of all notes.
    """
    name = mapping_name(batch.source.name)
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


def _known_events(batch: Batch, source: StreamSource) -> str | None:
    """Return the events whose ids count as seen; None if there are none."""
    known = batch.current(EVENTS)
    if known is None or batch.again:
        return known and f"(SELECT event_id FROM {known} AS k)"
    since = landed_at(batch) - timedelta(days=source.dedupe_days)
    return f"(SELECT event_id FROM {known} AS k WHERE landed_at >= TIMESTAMPTZ '{since.isoformat()}')"


def _look_near(batch: Batch, seen: Seen) -> None:
    """Make `suspect`, the hashes of ids that may be no new ones, and find the files that may hold one of these."""
    pin = batch.pins[EVENTS.identifier]
    seen.learn(batch.con, pin, [file.file_path for file in batch.lake.source_files(pin, batch.source.name)])
    hashes = f"SELECT hash({events.ID}) AS h FROM {batch.raw} AS r WHERE {batch.is_fresh}"
    found, batch.near = seen.suspects(batch.con.execute(hashes).fetchnumpy()["h"].astype("uint64"))
    batch.con.register("suspects", pa.table({"h": found}))
    batch.con.execute("CREATE OR REPLACE TEMP TABLE suspect AS SELECT DISTINCT h FROM suspects")
    batch.con.unregister("suspects")


def _shape_of_arrivals(batch: Batch, source: StreamSource) -> Shape:
    if batch.seen is not None:
        _look_near(batch, batch.seen)
    return events.shape_arrivals(
        batch.con,
        source,
        raw=batch.raw,
        is_fresh=batch.is_fresh,
        known_events=_known_events(batch, source),
        suspects="suspect" if batch.seen is not None else None,
        is_said=batch.arrived is not None,
    )


def _shape_of_events(batch: Batch, source: StreamSource, observe: Observer) -> Shape:
    def keep(query: str) -> str:
        observe(source.name, "shape")
        batch.stage(EVENTS, stage_query(batch.lake, batch.con, query, table=EVENTS, source=source.name))
        return batch.rows(EVENTS) or scan(EVENTS.columns, ())

    return events.shape_events(
        batch.con,
        source,
        raw=reread(source, batch.raw, batch.arrivals) if batch.again else batch.raw,
        is_fresh=batch.arrivals,
        known_events=_known_events(batch, source),
        all_events=batch.current(EVENTS),
        notes=batch.current(NOTES),
        versions=None if batch.again else batch.current(VERSIONS),
        observed_at=batch.now,
        fold=fold_table,
        keep=keep,
    )


def _stage(batch: Batch, shape_: Shape, observe: Observer) -> None:
    con, name = batch.con, batch.source.name
    for identifiers, query in shape_.together.items():
        observe(name, "shape")
        tables = [BY_IDENTIFIER[identifier] for identifier in identifiers]
        staged = stage_together(batch.lake, con, query, tables=tables, source=name)
        for table, files in zip(tables, staged, strict=True):
            batch.stage(table, files)
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
        query = f"SELECT note_id, source, body FROM {notes} AS n WHERE strlen(body) >= {LEAST_BYTES}"
        for rows_ in batch.con.execute(query).to_arrow_reader(_NOTES_AT_ONCE):
            stager.write(fingerprints(pa.Table.from_batches([rows_])))
        batch.stage(FINGERPRINTS, stager.close())
