"""Statements around queries: SHOW, DESCRIBE, EXPLAIN.

What belongs here: what tells of the catalog or the plan, as SELECTs over DuckDB's own catalog. What does not: queries.
Source: https://docs.aws.amazon.com/athena/latest/ug/ddl-reference.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from dagster_project.dialects.typed import string
from dagster_project.dialects.types import Type, type_named
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
    "CREATE": "Nothing is created here. Write a file in sql/views for a view, or UNLOAD for the rows of a query.",
    "INSERT": "Nothing is written into tables here: `notelake run` does. Write UNLOAD for the rows of a query.",
    "DROP": "Nothing is dropped here. Take the file out of sql/views, or the source out of its declarations.",
    "ALTER": "Tables are changed by their sources here. Leave it out.",
    "MSCK": "Partitions are known from the tables themselves here. Leave it out.",
}


def statement(
    sql: str, translate: Callable[[str], str], schema: Mapping[str, Mapping[str, str]] | None = None
) -> str | None:
    """Return DuckDB's SQL for a statement that is no query; None for one that may be a query.

    `schema` tells the types that DESCRIBE shows, in Athena's words.

    >>> statement("SHOW TABLES IN notes", str)
    "SELECT table_name AS tab_name FROM information_schema.tables WHERE table_schema = 'notes' AND NOT contains(table_name, '$') ORDER BY 1"
    """
    text = " ".join(sql.split()).rstrip("; ")
    word = text.partition(" ")[0].upper()
    if word in REFUSED:
        raise Unsupported(REFUSED[word])
    for pattern, told in INSTEAD:
        if found := re.fullmatch(pattern, text, re.IGNORECASE):
            raise Unsupported(told.format(metadata=_metadata(found), name=found["relation"]))
    for pattern, made in FORMS:
        if found := re.fullmatch(pattern, text, re.IGNORECASE):
            return made(found)
    if found := re.fullmatch(rf"(?:DESCRIBE|DESC)(?:\s+FORMATTED|\s+EXTENDED)?\s+{RELATION}", text, re.IGNORECASE):
        return _columns("col_name", "data_type", "comment")(found, _types(found, schema or {}))
    explained = re.fullmatch(r"EXPLAIN\s+(?!ANALYZE\b|\()(.*)", sql.strip().rstrip("; "), re.IGNORECASE | re.DOTALL)
    if explained:
        return f"EXPLAIN {translate(explained[1])}"
    if word in {"SHOW", "DESCRIBE", "DESC", "EXPLAIN"}:
        raise Unsupported(
            f"{text[:40]} is not given here. Use SHOW TABLES, SHOW DATABASES, SHOW COLUMNS, SHOW CREATE VIEW, DESCRIBE table, or EXPLAIN query."
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


def _types(found: re.Match[str], schema: Mapping[str, Mapping[str, str]]) -> Mapping[str, str]:
    parts = [_bare(part).lower() for part in re.findall(NAME, found["relation"])]
    wanted = ".".join(parts[-2:])
    of = {name.lower(): columns for name, columns in schema.items()}.get(wanted, {})
    return {name: hive_type(type_named(type_)) for name, type_ in of.items()}


def hive_type(of: Type) -> str:
    """Return a type as Athena's DDL and DESCRIBE write it.

    >>> hive_type(type_named("STRUCT(a BIGINT, b VARCHAR[])")), hive_type(type_named("DECIMAL(10,2)"))
    ('struct<a:bigint,b:array<string>>', 'decimal(10,2)')
    """
    if of.name in {"array", "map"}:
        return f"{of.name}<{','.join(hive_type(part) for part in of.args)}>"
    if of.name == "row":
        return f"struct<{','.join(f'{name}:{hive_type(part)}' for name, part in of.fields)}>"
    if of.name == "decimal":
        return f"decimal({of.args[0]},{of.args[1]})"
    return {"varchar": "string", "integer": "int", "varbinary": "binary", "timestamptz": "timestamp"}.get(
        of.name, of.name
    )


def _metadata(found: re.Match[str]) -> str:
    """Return the name of a table's metadata table of partitions."""
    *schema, name = [_bare(part) for part in re.findall(NAME, found["relation"])]
    return ".".join([*schema[-1:], f'"{name}$partitions"'])


def _create_view(found: re.Match[str]) -> str:
    parts = [_bare(part) for part in re.findall(NAME, found["relation"])]
    schema = string(parts[-2]) if len(parts) > 1 else "current_schema()"
    return (
        'SELECT sql AS "Create View" FROM duckdb_views() '
        f"WHERE schema_name = {schema} AND view_name = {string(parts[-1])}"
    )


def _columns(*names: str) -> Callable[..., str]:
    shown = {
        "col_name": "column_name AS col_name",
        "data_type": "data_type",
        "comment": "comment",
        "field": "column_name AS field",
    }

    def made(found: re.Match[str], types: Mapping[str, str] | None = None) -> str:
        parts = [_bare(part) for part in re.findall(NAME, found["relation"])]
        schema = string(parts[-2]) if len(parts) > 1 else "current_schema()"
        told = " ".join(f"WHEN {string(name)} THEN {string(type_)}" for name, type_ in (types or {}).items())
        given = {**shown, "data_type": f"CASE column_name {told} ELSE data_type END AS data_type"} if told else shown
        return (
            f"SELECT {', '.join(given[n] for n in names)} FROM duckdb_columns() "
            f"WHERE schema_name = {schema} AND table_name = {string(parts[-1])} ORDER BY column_index"
        )

    return made


FORMS: Final[tuple[tuple[str, Callable[[re.Match[str]], str]], ...]] = (
    (rf"SHOW\s+TABLES{DATABASE}{LIKE}", _tables("tables")),
    (rf"SHOW\s+VIEWS{DATABASE}{LIKE}", _tables("views")),
    (rf"SHOW\s+(?:DATABASES|SCHEMAS){LIKE}", _databases),
    (rf"SHOW\s+COLUMNS\s+(?:IN|FROM)\s+{RELATION}", _columns("field")),
    (rf"SHOW\s+CREATE\s+VIEW\s+{RELATION}", _create_view),
)
INSTEAD: Final = (
    (
        rf"SHOW\s+PARTITIONS\s+{RELATION}",
        "SHOW PARTITIONS is of Hive tables, and these are Iceberg's. Write SELECT * FROM {metadata}.",
    ),
    (
        rf"SHOW\s+(?:CREATE\s+TABLE|TBLPROPERTIES)\s+{RELATION}",
        "There is no DDL of a table here. Write DESCRIBE {name}, or ask svv_external_tables with --dialect redshift.",
    ),
)
