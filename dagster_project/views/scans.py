"""What a pinned table is in DuckDB: a scan of exactly its files, its columns found by field id.

What belongs here: the SQL of a table at its pin, and of a table source's current rows. What does not: the views people
write (`sql_files`), and the file they are put in (`publish`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from dagster_project.contracts import Column, Table, raw_table
from dagster_project.lake.pins import Pin
from dagster_project.lake.read import duckdb_type as sql_type
from dagster_project.lake.read import identifier as name
from dagster_project.lake.read import quoted as text
from dagster_project.lake.read import relation as rows_of

__all__ = [
    "CONTENTS",
    "CONTENT_COLUMNS",
    "contents",
    "current_columns",
    "current_rows",
    "is_document_source",
    "is_table_source",
    "name",
    "relation",
    "scan",
    "sql_type",
    "text",
]

ARRIVAL: Final = tuple(column.name for column in raw_table("any", "table").columns)
"""The columns every raw table of a table source begins with; those after them are the source's own."""
OBSERVATION: Final = tuple(column.name for column in raw_table("any", "documents").columns)
"""The columns of a raw table of a document source."""
CONTENTS: Final = "notes.contents"
"""The one relation over the raw tables of all document sources."""
PLACE: Final = ("_file", "_row")
"""What a current row keeps of its arrival."""


def relation(identifier: str) -> str:
    """Return `schema.name` with both parts quoted."""
    return ".".join(name(part) for part in identifier.split(".", 1))


def scan(pin: Pin) -> str:
    """Return the SELECT that reads the table as pinned, its columns found by field id."""
    names = ", ".join(name(column.name) for column in pin.table.columns)
    return f"SELECT {names} FROM {rows_of(pin)} AS pinned"


def is_table_source(table: Table) -> bool:
    """Whether this is the raw table of a table source: one that has rows of files, with their arrivals."""
    return table.namespace == "raw" and tuple(column.name for column in table.columns[: len(ARRIVAL)]) == ARRIVAL


def current_columns(table: Table) -> tuple[Column, ...]:
    """Return the columns of `tables.<source>`: the source's own, then where the row stands."""
    own = table.columns[len(ARRIVAL) :]
    return (*own, *(table.column(column) for column in PLACE))


def current_rows(table: Table) -> str:
    """Return the SELECT of a table source's current rows over its raw table.

    The rows of a file stand right before the marker (`_op = 'file'`) that ends them, `_row` arrivals of it. The last
    marker of a file that could be read counts; after a `gone` marker the file has no rows.
    """
    raw = relation(table.identifier)
    shown = ", ".join(f"arrival.{name(column.name)}" for column in current_columns(table))
    return f"""
WITH marker AS (
  SELECT _file, _op, sequence, _row FROM {raw} WHERE _op = 'gone' OR (_op = 'file' AND _error IS NULL)
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
WHERE arrival._op = 'put'""".strip()


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
    listed = ", ".join(name(column.name) for column in columns)
    held = [
        f"SELECT {text(table.name)} AS source, {listed} FROM {relation(table.identifier)} WHERE content IS NOT NULL"
        for table in tables
        if is_document_source(table)
    ]
    nothing = ", ".join(f"CAST(NULL AS {sql_type(column.type)}) AS {name(column.name)}" for column in columns)
    return "\nUNION ALL\n".join(held) or f"SELECT CAST(NULL AS VARCHAR) AS source, {nothing} WHERE false"
