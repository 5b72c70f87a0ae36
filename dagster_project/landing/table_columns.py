"""Which column of the raw table a header means, what it is called there, and what type its values have.

What belongs here: names, field ids, and the SQL that tells whether a text survives a type. What does not: reading.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import pyarrow as pa

from dagster_project.contracts import BOOL, BYTES, INSTANT, INT, TEXT, Column, raw_table

DOUBLE: Final = pa.float64()
DATE: Final = pa.date32()
TIMESTAMP: Final = pa.timestamp("us")
SQL_TYPES: Final[Mapping[pa.DataType, str]] = {
    TEXT: "VARCHAR",
    INT: "BIGINT",
    DOUBLE: "DOUBLE",
    BOOL: "BOOLEAN",
    DATE: "DATE",
    TIMESTAMP: "TIMESTAMP",
    INSTANT: "TIMESTAMPTZ",
    BYTES: "BLOB",
}
GUESSED: Final[tuple[pa.DataType, ...]] = (INT, DOUBLE, BOOL, DATE, TIMESTAMP)
"""What is tried on the values of a CSV file, in this order."""
_OURS: Final = raw_table("any", "table").columns
RESERVED: Final = frozenset(column.name for column in _OURS)
_LONGEST: Final = 60


@dataclass(frozen=True, slots=True)
class Wanted:
    """A column a file brings: its header as written, and the type its values have as far as known."""

    header: str
    type: pa.DataType


def sql_type(type_: pa.DataType) -> str:
    """Return DuckDB's name for a column type.

    >>> sql_type(pa.list_(pa.int64()))
    'BIGINT[]'
    """
    return f"{sql_type(type_.value_type)}[]" if pa.types.is_list(type_) else SQL_TYPES[type_]


def snake_case(header: str, position: int) -> str:
    """Return a legal column name for a header; `column_<position>` (from 1) if no letter or digit of it is left.

    >>> [snake_case(h, 3) for h in ("createdAt", "Größe (cm)", "_id", "2020", "題", "HTTPStatus Code")]
    ['created_at', 'grosse_cm', 'id', 'column_2020', 'column_3', 'http_status_code']
    """
    plain = unicodedata.normalize("NFKD", header.replace("ß", "ss")).encode("ascii", "ignore").decode()
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", plain)
    name = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")[:_LONGEST].rstrip("_")
    if not name:
        return f"column_{position}"
    return name if name[0].isalpha() else f"column_{name}"


def place(headers: Sequence[str], known: Sequence[Column]) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the column name of each header, and (name, header) of those that `known` does not have.

    The n-th column with a header is the n-th known column with the same doc; else the known column of the same
    name that this file does not use otherwise; else a new one, numbered where its name is taken.

    >>> place(["Title", "title", "sequence"], [])
    (['title', 'title_2', 'sequence_2'], [('title', 'Title'), ('title_2', 'title'), ('sequence_2', 'sequence')])
    """
    exact = _exact(headers, known)
    used = set(exact.values())
    taken = {column.name for column in known} | RESERVED
    names: list[str] = []
    new: list[tuple[str, str]] = []
    for index, header in enumerate(headers):
        name = exact.get(index) or snake_case(header, index + 1)
        if index not in exact and (name in used or name in RESERVED or name not in taken):
            name = _free(name, taken)
            new.append((name, header))
        used.add(name)
        taken.add(name)
        names.append(name)
    return names, new


def add_columns(
    known: Sequence[Column] | None, wanted: Mapping[str, Wanted], last_field_id: int = 0
) -> tuple[Column, ...]:
    """Return `known` with the `wanted` columns (by name) appended, numbered as Iceberg numbers them.

    With `known` None the table is yet to be made: all columns first, then the elements of lists. Else columns are
    added to a table: each column is followed by its element. Ids start after the highest in use, `last_field_id`
    included, so that the id of a dropped column is never used again.
    """
    present = tuple(known or ())
    ids = [i for column in (*_OURS, *present) for i in (column.field_id, column.element_id or 0)]
    following = iter(range(max(last_field_id, *ids) + 1, 1 << 31))
    added = []
    for name, want in wanted.items():
        column = Column(next(following), name, want.type, want.header)
        is_nested = pa.types.is_list(want.type) and known is not None
        added.append(replace(column, element_id=next(following)) if is_nested else column)
    if known is None:
        added = [replace(c, element_id=next(following)) if pa.types.is_list(c.type) else c for c in added]
    return (*present, *added)


def common_type(types: Iterable[pa.DataType]) -> pa.DataType:
    """Return the one type of all of them, whole numbers among others as DOUBLE; text where they differ."""
    found = set(types) - {pa.null()}
    if found == {INT, DOUBLE}:
        return DOUBLE
    return found.pop() if len(found) == 1 else TEXT


def survives(text: str, type_: pa.DataType) -> str:
    """Return SQL that is true if the text expression comes back the same from `type_` (never null for a text).

    Infinite and NaN are words, not numbers or days; years beyond 9999 are read by no Python.
    """
    name = sql_type(type_)
    value = f"TRY_CAST({text} AS {name})"
    same = f"CAST({value} AS VARCHAR) IS NOT DISTINCT FROM {text}"
    if type_ == DOUBLE:
        return f"({same} AND isfinite({value}))"
    if type_ in (DATE, TIMESTAMP):
        return f"({same} AND {value} BETWEEN {name} '0001-01-01' AND {name} '9999-12-31')"
    return f"({same})"


def quoted(name: str) -> str:
    """Return a SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a SQL string."""
    return "'" + text.replace("'", "''") + "'"


def _exact(headers: Sequence[str], known: Sequence[Column]) -> dict[int, str]:
    """Return the known column of each header that one has as its doc, the n-th of each kind with the n-th."""
    by_doc: dict[str, list[str]] = {}
    for column in known:
        by_doc.setdefault(column.doc, []).append(column.name)
    found = {}
    for index, header in enumerate(headers):
        if by_doc.get(header):
            found[index] = by_doc[header].pop(0)
    return found


def _free(name: str, taken: set[str]) -> str:
    if name not in taken:
        return name
    number = 2
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"
