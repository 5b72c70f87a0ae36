"""What the translator asks of whoever holds the tables: how to read one as it was, or with the file of each row.

What belongs here: the question and the answer. What does not: the answers of a lake (`views.behind`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol

from sqlglot import exp

from dagster_project.dialects.types import BIGINT, VARCHAR, Type, type_named
from dagster_project.errors import Unsupported

FILE_COLUMNS: Final[Mapping[str, Mapping[str, Type]]] = {
    "athena": {
        "$path": VARCHAR,
        "$file_size": BIGINT,
        "$file_modified_time": type_named("TIMESTAMP WITH TIME ZONE"),
    },
    "redshift": {"$path": VARCHAR, "$size": BIGINT},
}
"""The hidden columns of each dialect that tell of a row's file. Sources: https://trino.io/docs/current/connector/
iceberg.html#metadata-columns, https://docs.aws.amazon.com/redshift/latest/dg/c-spectrum-external-tables.html"""


class AsOf(NamedTuple):
    """When a table is read: at a snapshot, at a branch or tag, or as SQL of an instant has it. One of them is given."""

    snapshot_id: int | None = None
    ref: str | None = None
    instant: str | None = None
    """A constant TIMESTAMPTZ in DuckDB's SQL."""


class Scan(NamedTuple):
    """A SELECT that reads a table, and its columns, hidden ones apart, with their types in DuckDB's words."""

    sql: str
    columns: Mapping[str, str]


class Holder(Protocol):
    """Reads tables in ways their names alone do not give."""

    def scan(self, table: str, moment: AsOf | None, file_columns: tuple[str, ...]) -> Scan | None:
        """Return the scan of `schema.name`, whose last columns are `file_columns`; None if that is no table.

        Raises `Unsupported` if the table was never so, or is not kept as it was.
        """


def file_columns_in(tree: exp.Expr, dialect: str) -> tuple[str, ...]:
    """Return the hidden columns that a statement names, in the order of `FILE_COLUMNS`."""
    named = {column.name.lower() for column in tree.find_all(exp.Column)}
    return tuple(name for name in FILE_COLUMNS[dialect] if name in named)


def no_past(table: str) -> Unsupported:
    """Return the refusal of a relation that has no snapshots, or none that are known here."""
    return Unsupported(
        f"{table} as it was is known of the lake's own tables, through `notelake sql`. Notes as they stood are in "
        "notes.at(instant), in any shell."
    )
