"""Statements around queries: SHOW, DESCRIBE, EXPLAIN, PREPARE-less EXECUTE, UNLOAD.

What belongs here: what tells of the catalog or the plan, as SELECTs over DuckDB's own catalog. What does not: queries.
Source: https://docs.aws.amazon.com/athena/latest/ug/ddl-reference.html
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from dagster_project.dialects.typed import string
from dagster_project.errors import Unsupported

NAME: Final = r'(?:"[^"]+"|`[^`]+`|\w+)'
RELATION: Final = rf"(?P<relation>{NAME}(?:\.{NAME}){{0,2}})"
DATABASE: Final = rf"(?:\s+(?:IN|FROM)\s+(?P<database>{NAME}(?:\.{NAME})?))?"
LIKE: Final = r"(?:\s+(?:LIKE\s+)?'(?P<like>[^']*)')?"
REFUSED: Final = {
    "PREPARE": "Prepared statements are kept by `notelake sql --dialect athena`. Run it there.",
    "EXECUTE": "Prepared statements are kept by `notelake sql --dialect athena`. Run it there.",
    "DEALLOCATE": "Prepared statements are kept by `notelake sql --dialect athena`. Run it there.",
    "UNLOAD": "UNLOAD is no query, and is written by `notelake sql --dialect athena`. Run it there.",
    "MSCK": "Partitions are known from the tables themselves here. Leave it out.",
}


def statement(sql: str, translate: Callable[[str], str]) -> str | None:
    """Return DuckDB's SQL for a statement that is no query; None for one that may be a query.

    >>> statement("SHOW TABLES IN notes", str)
    "SELECT table_name AS tab_name FROM information_schema.tables WHERE table_schema = 'notes' AND NOT contains(table_name, '$') ORDER BY 1"
    """
    text = " ".join(sql.split()).rstrip("; ")
    word = text.partition(" ")[0].upper()
    if word in REFUSED:
        raise Unsupported(REFUSED[word])
    for pattern, made in FORMS:
        found = re.fullmatch(pattern, text, re.IGNORECASE)
        if found:
            return made(found)
    explained = re.fullmatch(r"EXPLAIN\s+(?!ANALYZE\b|\()(.*)", sql.strip().rstrip("; "), re.IGNORECASE | re.DOTALL)
    if explained:
        return f"EXPLAIN {translate(explained[1])}"
    if word in {"SHOW", "DESCRIBE", "DESC", "EXPLAIN"}:
        raise Unsupported(
            f"{text[:40]} is not given here. Use SHOW TABLES, SHOW DATABASES, DESCRIBE table, or EXPLAIN query."
        )
    return None


def _bare(name: str) -> str:
    return name.strip('"`')


def _like(found: re.Match[str], column: str) -> str:
    if not found["like"]:
        return ""
    # Hive's patterns: * for anything, | for either.
    pattern = "|".join(re.escape(part).replace(r"\*", ".*") for part in found["like"].split("|"))
    return f" AND regexp_full_match({column}, {string(pattern)})"


def _tables(kind: str) -> Callable[[re.Match[str]], str]:
    def made(found: re.Match[str]) -> str:
        where = (
            f"table_schema = {string(_bare(found['database'].split('.')[-1]))}"
            if found["database"]
            else "table_schema = current_schema()"
        )
        only = " AND table_type = 'VIEW'" if kind == "views" else ""
        name = "tab_name" if kind == "tables" else "views"
        where += " AND NOT contains(table_name, '$')"  # metadata tables are not listed
        return f"SELECT table_name AS {name} FROM information_schema.tables WHERE {where}{only}{_like(found, 'table_name')} ORDER BY 1"

    return made


def _databases(found: re.Match[str]) -> str:
    return f"SELECT schema_name AS database_name FROM information_schema.schemata WHERE catalog_name = current_database(){_like(found, 'schema_name')} ORDER BY 1"


def _columns(*names: str) -> Callable[[re.Match[str]], str]:
    shown = {
        "col_name": "column_name AS col_name",
        "data_type": "data_type",
        "comment": "comment",
        "field": "column_name AS field",
    }

    def made(found: re.Match[str]) -> str:
        parts = [_bare(part) for part in re.findall(NAME, found["relation"])]
        schema = string(parts[-2]) if len(parts) > 1 else "current_schema()"
        return (
            f"SELECT {', '.join(shown[n] for n in names)} FROM duckdb_columns() "
            f"WHERE schema_name = {schema} AND table_name = {string(parts[-1])} ORDER BY column_index"
        )

    return made


FORMS: Final[tuple[tuple[str, Callable[[re.Match[str]], str]], ...]] = (
    (rf"SHOW\s+TABLES{DATABASE}{LIKE}", _tables("tables")),
    (rf"SHOW\s+VIEWS{DATABASE}{LIKE}", _tables("views")),
    (rf"SHOW\s+(?:DATABASES|SCHEMAS){LIKE}", _databases),
    (rf"SHOW\s+COLUMNS\s+(?:IN|FROM)\s+{RELATION}", _columns("field")),
    (rf"(?:DESCRIBE|DESC)\s+{RELATION}", _columns("col_name", "data_type", "comment")),
)
