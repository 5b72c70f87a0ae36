"""The door: a statement in, DuckDB's SQL and what to know of it out.

What belongs here: dialects and what each takes for a statement. What does not: what a statement means.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from dagster_project.dialects import predicates  # noqa: F401 - enters its rules
from dagster_project.dialects.held import Holder, file_columns_in
from dagster_project.dialects.parsing import parse
from dagster_project.dialects.queries import Queries
from dagster_project.dialects.redshift import RedshiftQueries
from dagster_project.dialects.statements import statement
from dagster_project.errors import Unsupported

ZONES: Final = "A timestamp with time zone is shown in the zone of the shell; the instant is the same."
DIALECTS: Final = ("athena", "redshift", "partiql")


@dataclass(frozen=True, slots=True)
class Translation:
    """DuckDB's SQL, and what a reader should know of it, e.g. that a zone is not kept."""

    sql: str
    notes: tuple[str, ...] = ()


def translate(
    sql: str,
    dialect: str,
    schema: Mapping[str, Mapping[str, str]] | None = None,
    holder: Holder | None = None,
) -> Translation:
    """Return one statement of `dialect` in DuckDB's SQL, with the same meaning.

    `schema` maps each table, `name` or `schema.name`, to its columns and their types in DuckDB's or Trino's words. What
    depends on the type of a column that it does not tell of is refused. `holder` reads tables as they were (FOR
    TIMESTAMP AS OF) and with the files of their rows (`"$path"`); without one, both are refused.

    Raises `Unsupported`, naming the construct and the way out, for everything that is not known to mean the same.

    >>> translate("SELECT 7 / 2 AS half, cardinality(ARRAY[1, 2]) AS size", "athena").sql
    'SELECT (7 // 2) AS "half", CAST(len(CAST([1, 2] AS INTEGER[])) AS BIGINT) AS "size"'
    """
    if dialect not in DIALECTS:
        raise Unsupported(f"There is no dialect {dialect}. Choose one of: {', '.join(DIALECTS)}.")
    if (
        dialect == "athena"
        and (told := statement(sql, lambda query: translate(query, dialect, schema, holder).sql, schema)) is not None
    ):
        return Translation(told)
    tree = parse(sql, dialect)
    if not isinstance(tree, (exp.Query, exp.Values, exp.Subquery)):
        raise Unsupported(f"Only queries are translated, and this is {_kind(tree)}. Write a SELECT.")
    kind = Queries if dialect == "athena" else RedshiftQueries
    queries = kind(schema, holder, file_columns_in(tree, kind.dialect))
    try:
        given, columns = queries.give(tree, None)
    except RecursionError as error:
        raise Unsupported(
            "The statement is nested too deep to be translated. Break it into steps with WITH."
        ) from error
    if "HAVING" in given:
        given = _fields_by_name(given)
    notes = list(queries.expressions.notes)
    if any(column.type.name == "timestamptz" and column.type.args[1] != "UTC" for column in columns or ()):
        notes.append(ZONES)
    return Translation(given, tuple(dict.fromkeys(notes)))


FIELD: Final = re.compile(r"\b(_[a-z]+\d*)\.(?!c\d)([a-z]+\d*)\b")


def _fields_by_name(sql: str) -> str:
    """Return SQL whose lambdas take fields as `_e['k']`: DuckDB reads `_e.k` below HAVING as a column of the query."""
    parts = re.split(r"('(?:[^']|'')*'|\"(?:[^\"]|\"\")*\")", sql)
    return "".join(part if part[:1] in {"'", '"'} else FIELD.sub(r"\1['\2']", part) for part in parts)


def _kind(tree: exp.Expression) -> str:
    return str(tree.this).upper() if isinstance(tree, exp.Command) else type(tree).__name__.upper()
