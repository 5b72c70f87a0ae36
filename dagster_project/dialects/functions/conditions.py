"""COALESCE, NULLIF, TRY, GREATEST and what else chooses among values.

Source: https://trino.io/docs/current/functions/conditional.html, …/comparison.html
"""

from __future__ import annotations

import re

from dagster_project.dialects import operators
from dagster_project.dialects.casts import same_types
from dagster_project.dialects.expressions import cases, row_of
from dagster_project.dialects.functions.calls import MANY, Call, function
from dagster_project.dialects.typed import NULL, Typed, let, text
from dagster_project.dialects.types import Type, common_of


@function("coalesce", args=(2, MANY))
def coalesced(call: Call) -> Typed:
    """Give the first that is not NULL."""
    kind = common_of([v.type for v in call.values], f"{call.name}()")
    return Typed(f"coalesce({', '.join(v.sql for v in same_types(call.values, kind))})", kind)


@function("nullif", args=2)
def nullif(call: Call) -> Typed:
    """Give NULL if both are equal, else the first, in its own type."""
    first, second = call.values
    if first.is_null:
        return NULL
    if second.is_null:
        return first
    same = operators.compare("=", first, second)
    return Typed(f"CASE WHEN {same.sql} THEN NULL ELSE {first.sql} END", first.type)


@function("try")
def tried(call: Call) -> Typed:
    """Give NULL where a value would raise: DuckDB's TRY takes nothing volatile, and nothing here is."""
    value = call.values[0]
    if "random()" in value.sql or "(SELECT" in value.sql:
        raise call.refuse("around a subquery or random() is not given here", "Put it inside of the subquery.")
    if call.queries.holds_aggregate(call.nodes[0]):
        raise call.refuse("around an aggregate is not given here", "Compute the aggregate in a WITH before.")
    return Typed(f"TRY({value.sql})", value.type, value.const) if not value.is_null else value


@function("row", args=(1, MANY))
def row(call: Call) -> Typed:
    """Give a row of values without names."""
    return row_of(call.values)


@function("if", args=(2, 3))
def if_(call: Call) -> Typed:
    """Give the second where the first holds, else the third."""
    return cases([call.values[0].sql], [*call.values[1:], NULL][:2])


def _extreme(word: str) -> None:
    @function(word, args=(1, MANY))
    def rule(call: Call) -> Typed:
        """Give the greatest or least: NULL if one is NULL; NaN only if all are."""
        kind = common_of([v.type for v in call.values], f"{word}()")
        if kind.name not in operators.ORDERED and kind.name != "unknown":
            raise call.refuse(f"of {kind} is not given here", "Compare its parts with CASE.")
        values = same_types(call.values, kind)
        if len(values) == 1 or any(v.is_null for v in values):
            return Typed(f"({values[0].sql})" if len(values) == 1 else f"CAST(NULL AS {_held(kind)})", kind)

        def body(*xs: str) -> str:
            null = " OR ".join(f"{x} IS NULL" for x in xs)
            if not kind.is_float:
                return f"CASE WHEN {null} THEN NULL ELSE {word}({', '.join(xs)}) END"
            numbers = ", ".join(f"CASE WHEN isnan({x}) THEN NULL ELSE {x} END" for x in xs)
            return f"CASE WHEN {null} THEN NULL ELSE coalesce({word}({numbers}), {xs[0]}) END"

        return Typed(let(values, body), kind)


_extreme("greatest")
_extreme("least")


def _held(kind: Type) -> str:
    from dagster_project.dialects.types import duckdb_type

    return duckdb_type(kind)


@function("typeof")
def typeof(call: Call) -> Typed:
    """Give the name of the type, as far as it is known exactly."""
    value = call.values[0]
    if value.type.name == "any" or "varchar" in str(value.type).replace("varchar(", ""):
        raise call.refuse(f"of {value.sql[:40]} is not known exactly", "Leave it out.")
    return text(re.sub(r"(decimal\(\d+), ", r"\1,", str(value.type)))
