"""What became of refused units: each row of `ops.quarantine` with its state.

What belongs here: telling the refusals that wait for a decision from those that need none, and moving their units in
the ledger. What does not: refusing (`record`), deciding (`quarantine`, `release`), listing (`commands`).

A refusal is *released* or *discarded* if somebody decided so. It is *superseded* if the source has since said
something newer of the same: then it is of no concern any more, and letting it through would put the old over the new.
All others are *open*. What is newer goes by the kind of source:

- a file: a later arrival of its path, or its move away;
- a row: a later landing of its file, or a version or a refusal of its note from a later arrival; of an incremental
  table one that could not be read: a later reading of all its rows (`--reread`), which tells anew of what it refuses;
- an event: the same event in `notes.events`, for it came again and was good;
- a note made of events: a version or a refusal of it from a later arrival.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import duckdb

from dagster_project.contracts import EVENTS, QUARANTINE, VERSIONS, Current, Kind
from dagster_project.errors import UsageError
from dagster_project.lake.lake import Lake
from dagster_project.lake.pins import Pin
from dagster_project.lake.read import relation, scan
from dagster_project.landing.standing import counting, read_whole, table_of
from dagster_project.shaping.documents import PAYLOAD_CHARACTERS
from dagster_project.sources import TableSource
from dagster_project.steps.batch import Batch

RAW: Final = "raw."
IS_NOTE: Final = "(rule LIKE 'notes.%' AND rule NOT LIKE 'notes.events/%')"
"""SQL that is true for a refusal that is about a note, for a stream has refusals of events too."""
STATES: Final = ("open", "superseded", "released", "discarded")
COLUMNS: Final = tuple(column.name for column in QUARANTINE.columns)


def kind_of(raw: Pin) -> Kind:
    """Return the kind of the source that has landed in `raw`."""
    names = {column.name for column in raw.table.columns}
    return "stream" if "shard_sequence" in names else "table" if "_op" in names else "documents"


def landed(pins: Mapping[str, Pin], source: str) -> Pin:
    """Return the pin of what `source` has landed. Raises `UsageError` for one that never has."""
    if RAW + source not in pins:
        known = ", ".join(sorted(name.removeprefix(RAW) for name in pins if name.startswith(RAW))) or "none yet"
        raise UsageError(f"The lake holds no source called {source}. There are: {known}.")
    return pins[RAW + source]


def refusing_sources(lake: Lake, pins: Mapping[str, Pin]) -> list[str]:
    """Return the sources of which something was ever refused, in order."""
    files = lake.data_files(pins[QUARANTINE.identifier].metadata_location)
    return sorted({str(file.partition[0]) for file in files})


def refusals(lake: Lake, pins: Mapping[str, Pin], source: str) -> str:
    """Return SQL that can stand after FROM: the refusals of `source` at `pins`, and the `state` of each."""
    raw = landed(pins, source)
    rows = own(lake, pins[QUARANTINE.identifier], source)
    match kind_of(raw):
        case "documents":
            query = _newer_files(raw, rows)
        case "table":
            query = _newer_rows(raw, _newer_notes(lake, pins, source, rows))
        case "stream":
            query = _newer_events(own(lake, pins[EVENTS.identifier], source), _newer_notes(lake, pins, source, rows))
    listed = ", ".join(f"q.{name}" for name in COLUMNS)
    return (
        f"(SELECT {listed}, CASE WHEN q.released_at IS NOT NULL THEN 'released' "
        "WHEN q.discarded_at IS NOT NULL THEN 'discarded' WHEN coalesce(q.is_superseded, false) THEN 'superseded' "
        f"ELSE 'open' END AS state FROM ({query}) AS q)"
    )


def open_sources(lake: Lake) -> list[str]:
    """Return the sources that have an open refusal, in order."""
    with lake.connect() as con:
        query = f"SELECT DISTINCT source FROM {all_refusals(lake)} AS q WHERE state = 'open' ORDER BY 1"
        return [name for (name,) in con.execute(query).fetchall()]


def all_refusals(lake: Lake, source: str | None = None) -> str:
    """Return SQL that can stand after FROM: the refusals of `source`, or of all, each with its `state`.

    Raises `UsageError` for a source that has never landed.
    """
    pins = lake.pins()
    names = refusing_sources(lake, pins) if source is None else [source]
    if not names:
        return f"(SELECT *, NULL::VARCHAR AS state FROM {scan(QUARANTINE.columns, ())} AS q)"
    return f"({' UNION ALL '.join(f'SELECT * FROM {refusals(lake, pins, name)} AS q' for name in names)})"


def own(lake: Lake, pin: Pin, source: str) -> str:
    """Return SQL that can stand after FROM: the rows of a shared table that `source` has."""
    return relation(pin, [file.file_path for file in lake.source_files(pin, source)])


def _newer_files(raw: Pin, rows: str) -> str:
    seen = (
        f"SELECT path, sequence FROM {relation(raw)} AS here UNION ALL "
        f"SELECT moved_from, sequence FROM {relation(raw)} AS left_behind WHERE moved_from IS NOT NULL"
    )
    return (
        f"SELECT q.*, l.sequence > q.sequence AS is_superseded FROM {rows} AS q LEFT JOIN "
        f"(SELECT path, max(sequence) AS sequence FROM ({seen}) GROUP BY path) AS l "
        "ON l.path = coalesce(q.file, q.key)"
    )


def _newer_rows(raw: Pin, rows: str) -> str:
    markers = counting((raw.table.current or Current()).mode)
    landings = f"SELECT _file, list(sequence) AS ends FROM {relation(raw)} AS m WHERE {markers} GROUP BY _file"
    whole = read_whole(relation(raw))
    return (
        "SELECT n.*, n.has_newer OR len(list_filter(f.ends, lambda e: e > n.sequence)) > 1 "
        "OR (n.rule = 'row' AND n.sequence < coalesce(w.first, 0)) AS is_superseded "
        f"FROM ({rows}) AS n LEFT JOIN ({landings}) AS f ON f._file = n.file "
        f"LEFT JOIN ({whole}) AS w ON w.of_table = {table_of('n.file')} AND w.of_table <> n.file"
    )


def _newer_events(events: str, rows: str) -> str:
    came = f"coalesce(n.key, n.unit) IN (SELECT event_id FROM {events} AS e)"
    return f"SELECT n.*, n.has_newer OR (NOT {IS_NOTE} AND {came}) AS is_superseded FROM ({rows}) AS n"


def _newer_notes(lake: Lake, pins: Mapping[str, Pin], source: str, rows: str) -> str:
    """Return SQL of the refusals, and whether their note `has_newer`: a version, or a refusal, of a later arrival."""
    versions = own(lake, pins[VERSIONS.identifier], source)
    return (
        "SELECT q.*, greatest(coalesce(v.sequence, 0), max(q.sequence) OVER (PARTITION BY q.unit)) > q.sequence "
        f"AS has_newer FROM {rows} AS q LEFT JOIN (SELECT note_id, max(sequence) AS sequence FROM {versions} AS v "
        f"WHERE note_id IN (SELECT unit FROM {rows} AS r) GROUP BY note_id) AS v ON v.note_id = q.unit"
    )


WAITING: Final = (
    "SELECT unit FROM refusals WHERE (unit, rule, sequence) NOT IN (SELECT (unit, rule, sequence) FROM given_up)"
)
"""The refused units of a batch that nobody gave up before; a query on its own tables."""
_SAID: Final = (
    "CASE WHEN rule LIKE '%/%' THEN coalesce(TRY(json_extract_string(payload, '$.content_sha256')), "
    f"TRY(json_extract_string(payload, '$.row_hash'))) WHEN length(payload) < {PAYLOAD_CHARACTERS} THEN payload END"
)
"""SQL of what a refused unit says: two that are equal in it are the same. Null where that is unknown, as of events."""


def recall(batch: Batch) -> None:
    """Make the table `given_up`: the refusals of a batch that somebody gave up before, as they say the same still.

    Who gives a row up means what it says, however often its file is written anew for the sake of others.
    """
    con, decided = batch.con, batch.current(QUARANTINE)
    con.execute(
        "CREATE OR REPLACE TEMP TABLE given_up (unit VARCHAR, rule VARCHAR, sequence BIGINT, discarded_why VARCHAR)"
    )
    if decided is None or not con.execute("SELECT 1 FROM refusals LIMIT 1").fetchone():
        return
    same = " AND ".join(f"r.{name} IS NOT DISTINCT FROM d.{name}" for name in ("rule", "key"))
    # Each landing of an incremental table is a file of its own.
    is_landing = isinstance(batch.source, TableSource) and batch.source.incremental != "none"
    here, there = (table_of(f"{each}.file") if is_landing else f"{each}.file" for each in "rd")
    same = f"{same} AND {here} IS NOT DISTINCT FROM {there}"
    con.execute(
        "INSERT INTO given_up SELECT r.unit, r.rule, r.sequence, arg_max(d.discarded_why, d.discarded_at) "
        f"FROM (SELECT *, {_SAID} AS said FROM refusals) AS r JOIN (SELECT *, {_SAID} AS said FROM {decided} AS q "
        f"WHERE discarded_at IS NOT NULL) AS d ON {same} AND r.said = d.said GROUP BY ALL"
    )


def ledger_moves(
    lake: Lake, con: duckdb.DuckDBPyConnection, pin: Pin, *, source: str, kind: Kind, into: Iterable[str]
) -> None:
    """Make the table `ledger_changes` in `con`: what the ledger says once units have left its `quarantined`.

    `into` names the tables of `con` that hold these units, a row (`file`, `sequence`) each; the table's name is the
    column of the ledger that they go to, `committed` or `discarded`. The input of a unit is the last of its file
    that began no later.
    """
    ledger = own(lake, pin, source)
    gone = " UNION ALL ".join(f"SELECT file, sequence, '{name}' AS into FROM {name}" for name in into)
    moved = (
        "SELECT l.batch_id, l.path, l.sequence, count(*) FILTER (u.into = 'committed') AS committed, "
        "count(*) FILTER (u.into = 'discarded') AS discarded "
        f"FROM ({gone}) AS u ASOF JOIN (SELECT * FROM {ledger} AS e) AS l "
        "ON u.file = l.path AND u.sequence >= l.sequence GROUP BY ALL"
    )
    whole = "CASE WHEN dropped IS NOT NULL THEN 'partial' ELSE 'parsed' END" if kind == "documents" else "'parsed'"
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE ledger_changes AS
        WITH figures AS (
            SELECT l.batch_id, l.path, l.sequence, l.status AS was, l.dropped, l.committed + m.committed AS committed,
                coalesce(l.discarded, 0) + m.discarded AS discarded,
                l.quarantined - m.committed - m.discarded AS quarantined
            FROM {ledger} AS l JOIN ({moved}) AS m USING (batch_id, path, sequence))
        SELECT batch_id, path, sequence, committed, discarded, quarantined,
            CASE WHEN was NOT IN ('partial', 'quarantined') THEN was
                 WHEN quarantined > 0 THEN CASE WHEN committed > 0 THEN 'partial' ELSE 'quarantined' END
                 WHEN committed = 0 AND discarded > 0 THEN 'discarded'
                 ELSE {whole} END AS status
        FROM figures"""
    )
