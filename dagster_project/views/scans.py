"""What a pinned table is in DuckDB: a scan of exactly its files, its columns found by field id.

What belongs here: the SQL of a table at its pin, and of a table source's current rows. What does not: the views people
write (`sql_files`), and the file they are put in (`publish`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from dagster_project.contracts import BOOL, INSTANT, Column, Current, Table, raw_table, variant_doc
from dagster_project.lake.pins import Pin
from dagster_project.lake.read import relation as rows_of
from dagster_project.landing.standing import counting, key_part
from dagster_project.sql_words import identifier, literal, sql_type

ARRIVAL: Final = tuple(column.name for column in raw_table("any", "table").columns)
"""The columns every raw table of a table source begins with; those after them are the source's own."""
OBSERVATION: Final = tuple(column.name for column in raw_table("any", "documents").columns)
"""The columns of a raw table of a document source."""
CONTENTS: Final = "notes.contents"
"""The one relation over the raw tables of all document sources."""
PLACE: Final = ("_file", "_row")
"""What a current row keeps of its arrival."""


def relation(name: str) -> str:
    """Return `schema.name` with both parts quoted."""
    return ".".join(identifier(part) for part in name.split(".", 1))


def scan(pin: Pin) -> str:
    """Return the SELECT that reads the table as pinned, its columns found by field id."""
    names = ", ".join(identifier(column.name) for column in pin.table.columns)
    return f"SELECT {names} FROM {rows_of(pin)} AS pinned"


def is_table_source(table: Table) -> bool:
    """Whether this is the raw table of a table source: one that has rows of files, with their arrivals."""
    return table.namespace == "raw" and tuple(column.name for column in table.columns[: len(ARRIVAL)]) == ARRIVAL


def current_columns(table: Table) -> tuple[Column, ...]:
    """Return the columns of `tables.<source>`: the source's own, when they were so (mode history), where they stand."""
    own = table.columns[len(ARRIVAL) :]
    return (*own, *validity(table), *(table.column(column) for column in PLACE))


def validity(table: Table) -> tuple[Column, ...]:
    """Return the columns that tell when a row was so; none but in mode history."""
    if table.current is None or table.current.mode != "history":
        return ()
    own = {column.name for column in table.columns}
    return tuple(
        Column(0, column if column not in own else f"_{column}", type_, doc) for column, type_, doc in _VALIDITY
    )


_VALIDITY: Final = (
    ("valid_from", INSTANT, "When the source was first seen to have the row so (UTC)"),
    ("valid_to", INSTANT, "When it was first seen to have it otherwise, or no more (UTC); null if it still has it so"),
    ("is_current", BOOL, "Whether the source has the row so now"),
)


def current_rows(
    table: Table,
    *,
    raw: str | None = None,
    quarantine: str | None = None,
    ledger: str | None = None,
    columns: Sequence[Column] | None = None,
) -> str:
    """Return the SELECT of a table source's current rows over its raw table, as its mode has it.

    `raw`, `quarantine` and `ledger` are SQL that can stand after FROM; `raw` is the table by its name if left out.
    `columns` are of the raw table, and may be of `validity`; `current_columns` if left out.

    What has landed after the last arrival that `ledger` tells of, a batch that waits, was refused or was undone by a
    rewind, is none of them; None takes all that landed.

    A row that the source's own suite refused is none of them until it is released; `quarantine` names the relation that
    tells which were, None where there is none.

    The rows of a file stand right before the marker (`_op = 'file'`) that ends them, `_row` arrivals of it. The last
    marker of a file that could be read counts; after a `gone` or `same` marker the file has no rows, but in mode append
    those of a file that is gone stay. In mode merge the last arrival of a key counts, and rows without a key do not; a
    `gone` among the rows of a file says that the key has no row from there on.
    """
    current = table.current or Current()
    columns = current_columns(table) if columns is None else columns
    raw = raw or relation(table.identifier)
    if current.mode == "history":
        return _history(table, current, raw, _passed(table, quarantine), _markers(table, current, ledger), columns)
    shown = ", ".join(f"arrival.{identifier(column.name)}" for column in columns)
    ops, latest = "= 'put'", ""
    if current.mode == "merge":
        ops = "IN ('put', 'gone')"
        parts = _key_parts(table, current)
        latest = (
            f"\n  AND {_has_key(parts)}\nQUALIFY arrival._op = 'put' AND row_number() OVER "
            f"(PARTITION BY {', '.join(parts)} ORDER BY arrival.sequence DESC) = 1"
        )
    return f"""
WITH marker AS (
  SELECT _file, _op, sequence, _row FROM {raw} AS marked WHERE {_markers(table, current, ledger)}
), newest AS (
  SELECT _file, max(sequence) AS sequence FROM marker GROUP BY _file
), standing AS (
  SELECT marker._file, marker.sequence - marker._row AS from_sequence, marker.sequence AS to_sequence
  FROM marker JOIN newest ON newest._file = marker._file AND newest.sequence = marker.sequence
  WHERE marker._op = 'file'
)
SELECT {shown} FROM {raw} AS arrival
JOIN standing ON arrival._file = standing._file
  AND arrival.sequence >= standing.from_sequence AND arrival.sequence < standing.to_sequence
WHERE arrival._op {ops}{_passed(table, quarantine)}{latest}""".strip()


def _passed(table: Table, quarantine: str | None) -> str:
    """Return SQL that leaves out the arrivals that the suite of the raw table refused and nobody released."""
    if quarantine is None:
        return ""
    return (
        f"\n  AND NOT EXISTS (SELECT 1 FROM {quarantine} AS refused WHERE refused.source = "
        f"{literal(table.name)} AND refused.sequence = arrival.sequence AND refused.released_at IS NULL "
        f"AND starts_with(refused.rule, {literal(f'{table.identifier}/')}))"
    )


def _history(table: Table, current: Current, raw: str, passed: str, markers: str, columns: Sequence[Column]) -> str:
    """Return the SELECT of every version of every key: a slowly changing dimension of type 2.

    A row stands from the landing of its file until the next one of that file, or until that vanished. Of rows with one
    key that stand at once the last to arrive is the one that is so. Where that changes, a version ends and one begins.
    """
    parts = _key_parts(table, current)
    keys = ", ".join(f"{part} AS key_{i}" for i, part in enumerate(parts))
    key = ", ".join(f"key_{i}" for i in range(len(parts)))
    same = " AND ".join(f"a.key_{i} IS NOT DISTINCT FROM t.key_{i}" for i in range(len(parts)))
    plain = {column.name: name for (name, *_), column in zip(_VALIDITY, validity(table), strict=True)}
    shown = ", ".join(
        f"version.{plain[column.name]} AS {identifier(column.name)}"
        if column.name in plain
        else f"arrival.{identifier(column.name)}"
        for column in columns
    )
    return f"""
WITH segment AS (
  SELECT _file, _op, sequence - _row AS from_sequence, sequence AS to_sequence, _landed_at AS born,
    lead(_landed_at) OVER (PARTITION BY _file ORDER BY sequence) AS died
  FROM {raw} AS marked WHERE {markers}
), arrived AS (
  SELECT {keys}, arrival._file, born, died, max(arrival.sequence) AS sequence,
    max_by(arrival._row_hash, arrival.sequence) AS row_hash, max_by(arrival._op, arrival.sequence) AS op
  FROM {raw} AS arrival JOIN segment ON arrival._file = segment._file AND segment._op = 'file'
    AND arrival.sequence >= segment.from_sequence AND arrival.sequence < segment.to_sequence
  WHERE arrival._op IN ('put', 'gone') AND {_has_key(parts)}{passed}
  GROUP BY ALL
), told AS (
  SELECT *, count(DISTINCT _file) OVER (PARTITION BY {key}) > 1 OR row_hash IS DISTINCT FROM lag(row_hash) OVER earlier
    OR born IS DISTINCT FROM lag(died) OVER earlier AS is_new
  FROM arrived WINDOW earlier AS (PARTITION BY {key}, _file ORDER BY sequence)
), numbered AS (
  SELECT *, count(*) FILTER (is_new) OVER (PARTITION BY {key}, _file ORDER BY sequence) AS span FROM told
), a AS (
  SELECT {key}, _file, min(sequence) AS sequence, any_value(row_hash) AS row_hash, any_value(op) AS op,
    min(born) AS born, max_by(coalesce(died, 'infinity'), sequence) AS died
  FROM numbered GROUP BY {key}, _file, span
), t AS (
  SELECT DISTINCT {key}, unnest([born, died]) AS since FROM a
), winner AS (
  SELECT t.*, CASE WHEN max_by(a.op, a.sequence) = 'put' THEN max(a.sequence) END AS sequence,
    max_by(a.row_hash, a.sequence) AS row_hash
  FROM t LEFT JOIN a ON {same} AND a.born <= t.since AND t.since < a.died
  GROUP BY ALL
), turn AS (
  SELECT * FROM winner
  QUALIFY row_hash IS DISTINCT FROM lag(row_hash) OVER (PARTITION BY {key} ORDER BY since)
    OR (sequence IS NULL) <> (lag(sequence) OVER (PARTITION BY {key} ORDER BY since) IS NULL)
), version AS (
  SELECT sequence, since AS valid_from,
    nullif(lead(since) OVER (PARTITION BY {key} ORDER BY since), 'infinity') AS valid_to, valid_to IS NULL AS is_current
  FROM turn
)
SELECT {shown} FROM version JOIN {raw} AS arrival ON arrival.sequence = version.sequence""".strip()


def _markers(table: Table, current: Current, ledger: str | None) -> str:
    markers = counting(current.mode)
    if ledger is None:
        return markers
    # The ledger tells of a file under the first of its arrivals, which stand right before the marker.
    first = "sequence - CASE WHEN _op = 'file' THEN coalesce(_row, 0) ELSE 0 END"
    told = f"SELECT max(told.sequence) FROM {ledger} AS told WHERE told.source = {literal(table.name)}"
    return f"{markers} AND {first} <= ({told})"


def _key_parts(table: Table, current: Current) -> list[str]:
    """Return SQL of the parts of a row's key, as text; null for one that is empty, or NaN, which equals nothing."""
    variants = {column.doc: f"arrival.{identifier(column.name)}" for column in table.columns}
    return [
        key_part(f"arrival.{identifier(column.name)}", column.type, variants.get(variant_doc(column.name)))
        for column in map(table.column, current.key)
    ]


def _has_key(parts: Iterable[str]) -> str:
    return f"coalesce({', '.join(parts)}) IS NOT NULL"


def is_document_source(table: Table) -> bool:
    """Whether this is the raw table of a document source: one that has the bytes of files."""
    return table.namespace == "raw" and tuple(column.name for column in table.columns) == OBSERVATION


CONTENT_COLUMNS: Final[Mapping[str, str]] = {
    "source": "Name of the source",
    **{
        column.name: column.doc
        for column in raw_table("any", "documents").columns
        if column.name in ("sequence", "path", "path_bytes", "sha256", "modified_at", "media_type", "content")
    },
}
"""The columns of `notes.contents`, with what they mean."""


def contents(tables: Iterable[Table]) -> str:
    """Return the SELECT of all bytes that raw holds of files, over the raw tables of document sources."""
    columns = [column for column in raw_table("any", "documents").columns if column.name in CONTENT_COLUMNS]
    listed = ", ".join(identifier(column.name) for column in columns)
    held = [
        f"SELECT {literal(table.name)} AS source, {listed} FROM {relation(table.identifier)} WHERE content IS NOT NULL"
        for table in tables
        if is_document_source(table)
    ]
    nothing = ", ".join(f"CAST(NULL AS {sql_type(column.type)}) AS {identifier(column.name)}" for column in columns)
    return "\nUNION ALL\n".join(held) or f"SELECT CAST(NULL AS VARCHAR) AS source, {nothing} WHERE false"
