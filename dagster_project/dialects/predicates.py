"""MATCH and UNIQUE: predicates of a subquery that are true or false, never unknown.

What belongs here: those two. What does not: IN, EXISTS, ANY and ALL (`expressions`).
Source: https://trino.io/docs/current/functions/comparison.html, ISO 9075-2, 8.11 and 8.12
"""

from __future__ import annotations

from typing import Any

from dagster_project.dialects import operators
from dagster_project.dialects.expressions import RULES, TAKEN, row_of
from dagster_project.dialects.scopes import Scope
from dagster_project.dialects.syntax import Match, Unique
from dagster_project.dialects.typed import Typed, string
from dagster_project.dialects.types import ANY, BOOLEAN, UNKNOWN, field_names
from dagster_project.errors import Unsupported


def _cells(self: Any, node: Any, scope: Scope | None) -> tuple[str, list[Typed]]:
    """Return a subquery as a relation `_s`, and its columns there."""
    sql, columns = self.queries.give(node, Scope(parent=scope))
    if columns is None:
        raise Unsupported("A subquery whose columns are not known is not compared here. Name them.")
    names = [f"c{i}" for i in range(len(columns))]
    cells = [Typed(f"_s.{n}", c.type) for n, c in zip(names, columns, strict=True)]
    if len(cells) == 1 and cells[0].type.name == "row":
        cells = _fields(cells[0])
    return f"FROM ({sql}) AS _s({', '.join(names)})", cells


def _fields(value: Typed) -> list[Typed]:
    return [
        Typed(f"struct_extract({value.sql}, {string(held)})", kind)
        for held, (_, kind) in zip(field_names(value.type), value.type.fields, strict=True)
    ]


def _equal(one: Typed, other: Typed) -> str:
    if UNKNOWN in {one.type, other.type}:
        return "false"
    if ANY in {one.type, other.type}:
        raise Unsupported("MATCH of a column whose type is not known is not given here. Tell the columns' types.")
    return f"(({operators.compare('=', one, other).sql}) IS TRUE)"


def match(self: Any, node: Any, scope: Scope) -> Typed:
    """Give `row MATCH [UNIQUE] [SIMPLE | PARTIAL | FULL] (query)`.

    SIMPLE is true with a NULL in the row; PARTIAL compares what is not NULL; FULL is true for all NULL, false for some.
    """
    value = self.give(node.this, scope)
    value = value if value.type.name == "row" else row_of([value])
    source, cells = _cells(self, node.args["query"], scope)
    if len(cells) != len(value.type.fields):
        raise Unsupported(f"MATCH compares {len(value.type.fields)} values with {len(cells)} columns. Give as many.")
    mode, enough = node.args["mode"], "= 1" if node.args.get("unique") else "> 0"

    def body(x: str) -> str:
        parts = _fields(Typed(x, value.type))
        nulls = [f"{part.sql} IS NULL" for part in parts]
        pairs = [_equal(part, cell) for part, cell in zip(parts, cells, strict=True)]
        if mode == "PARTIAL":
            pairs = [f"({null} OR {pair})" for null, pair in zip(nulls, pairs, strict=True)]
        found = f"(SELECT count(*) {enough} {source} WHERE {' AND '.join(pairs)})"
        every, some = " AND ".join(nulls), " OR ".join(nulls)
        if mode == "SIMPLE":
            return f"CASE WHEN {some} THEN true ELSE {found} END"
        rest = f"WHEN {some} THEN false " if mode == "FULL" else ""
        return f"CASE WHEN {every} THEN true {rest}ELSE {found} END"

    if value.type.fields and all(operators_are_plain(part.sql) for part in _fields(value)):
        return Typed(f"({body(value.sql)})", BOOLEAN)
    raise Unsupported("MATCH takes a row of columns and constants here. Compute the row before, in a subquery.")


def operators_are_plain(sql: str) -> bool:
    """Return whether an expression may stand several times: it computes nothing that differs."""
    return "random()" not in sql and "uuid()" not in sql


def unique(self: Any, node: Any, scope: Scope) -> Typed:
    """Give `UNIQUE (query)`: whether no two rows are equal; a row with NULL is equal to none."""
    source, cells = _cells(self, node.this, scope)
    if any(cell.type.name in {"map", "json", "any"} for cell in cells):
        raise Unsupported("UNIQUE of maps and JSON is not given here. Select what orders them.")
    held = " AND ".join(f"{cell.sql} IS NOT NULL" for cell in cells)
    grouped = ", ".join(cell.sql for cell in cells)
    return Typed(f"(NOT EXISTS (SELECT 1 {source} WHERE {held} GROUP BY {grouped} HAVING count(*) > 1))", BOOLEAN)


RULES[Match] = match
RULES[Unique] = unique
TAKEN[Match] = tuple(Match.arg_types)
TAKEN[Unique] = tuple(Unique.arg_types)
