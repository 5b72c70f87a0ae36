"""Estimates and digests, which are exact as long as there are few values: Trino keeps each one then.

What belongs here: aggregates that Trino estimates, and the functions that ask their digests. What does not: exact
aggregates (`aggregates`). Of a table, and beyond so many values, the estimate of another engine cannot be repeated: the first
is refused, and the second raises.
Sources: https://trino.io/docs/current/functions/aggregate.html, …/tdigest.html, …/setdigest.html
"""

from __future__ import annotations

from typing import Any, Final

from sqlglot import exp

from dagster_project.dialects.casts import coerce
from dagster_project.dialects.functions.calls import Aggregate, Call, aggregate, function
from dagster_project.dialects.typed import Typed, fail, let
from dagster_project.dialects.types import BIGINT, DOUBLE, REAL, Type, array, duckdb_type
from dagster_project.errors import Unsupported

FEW_DISTINCT: Final = 100
"""HyperLogLog's sparse form, with 26 bits of a hash for each value, counts so many without an error worth naming."""
USUAL_ERROR: Final = 0.023
"""With a larger error there are fewer buckets, and the sparse form ends sooner."""
FEW_RANKED: Final = 30
"""A t-digest of compression 100 keeps so many values apart."""
HASHED: Final = {"tinyint", "smallint", "integer", "bigint", "varchar", "char", "date", "boolean", "decimal", "uuid"}


def _of_told_rows(call: Call, way_out: str) -> None:
    """Raise `Unsupported` for the rows of a table, which are seldom few: better before the query runs than after."""
    if call.queries.reads_tables:
        raise call.refuse("is an estimate, which another engine does not repeat", way_out)


@aggregate("approx_distinct")
def approx_distinct(call: Aggregate) -> Typed:
    """Count distinct values, as long as they are few; an error beyond, with the exact function as the way out."""
    _of_told_rows(call, "Write count(DISTINCT x), which is exact.")
    call.takes(1, 2)
    call.order_node = None
    value = call.values[0]
    if len(call) == 2 and not 0.0040625 <= float(call.values[1].const or 0) <= USUAL_ERROR:
        raise call.refuse("with another error than 0.0040625 to 0.023 is not given here", "Write count(DISTINCT x).")
    if value.type.name not in {*HASHED, "timestamp", "time", "varbinary", "double", "real", "unknown"}:
        raise call.refuse(f"of {value.type} is an estimate, which is not given here", "Write count(DISTINCT x).")
    counted = Typed(call.make("count", value.sql, distinct=True), BIGINT)
    raised = fail("approx_distinct() is an estimate beyond 100 values: write count(DISTINCT x)", BIGINT)
    return Typed(let([counted], lambda n: f"CASE WHEN {n} > {FEW_DISTINCT} THEN {raised} ELSE {n} END"), BIGINT)


@aggregate("approx_percentile")
def approx_percentile(call: Aggregate) -> Typed:
    """Give the value that a share of all lies below, or several, as long as there are few values."""
    _of_told_rows(call, "Use a window with row_number().")
    call.takes(2, 2)
    call.order_node = None
    value, share = call.values
    if not value.type.is_number:
        raise call.refuse(f"takes a number, not {value.type}", "CAST it.")
    kind = BIGINT if value.type.is_integer else REAL if value.type == REAL else DOUBLE
    return _at_shares(call, coerce(value, kind), share)


def _at_shares(call: Aggregate, value: Typed, share: Typed) -> Typed:
    """Return the values at a share, or at an array of them: of n values in order the one at floor(share * n)."""
    kind = value.type
    inside = next(iter(share.type.args), None) if share.type.name == "array" else share.type
    if not isinstance(inside, Type) or not inside.is_number or call.nodes[1].find(exp.Column):
        raise call.refuse("takes a constant share, or an array of them", "Write it out.")
    listed = Typed(f"list_sort({call.make('list', value.sql, where=f'{value.sql} IS NOT NULL')})", array(kind))
    odd = fail("A share is a number from 0 to 1", kind)
    many = fail("An approximate percentile is an estimate beyond 30 values: use row_number()", kind)

    def at(xs: str, q: str) -> str:
        place = f"least(CAST(floor(CAST({q} AS DOUBLE) * len({xs})) AS BIGINT), len({xs}) - 1) + 1"
        nan = f" OR len(list_filter({xs}, lambda _x: isnan(_x))) > 0" if kind.is_float else ""
        return f"CASE WHEN {q} IS NULL OR {q} < 0 OR {q} > 1{nan} THEN {odd} WHEN len({xs}) > {FEW_RANKED} THEN {many} ELSE {xs}[{place}] END"

    if share.type.name != "array":
        return Typed(let([listed], lambda xs: f"CASE WHEN len({xs}) > 0 THEN {at(xs, share.sql)} END"), kind)
    every = lambda xs: f"CAST(list_transform({share.sql}, lambda _q: {at(xs, '_q')}) AS {duckdb_type(kind)}[])"
    return Typed(let([listed], lambda xs: f"CASE WHEN len({xs}) > 0 THEN {every(xs)} END"), array(kind))


@function("value_at_quantile", "values_at_quantiles", args=2)
def value_at_quantile(call: Call) -> Typed:
    """Give what stands at a share, or at several, of `tdigest_agg(x)`, as long as there are few values."""
    inner = _digest(call, 0, "tdigest_agg")
    asked = Aggregate("tdigest_agg", [inner.nodes[0], call.nodes[1]], call.scope, call.queries)
    return _at_shares(asked, asked.double(0), asked.values[1])


def _digest(call: Call, index: int, name: str) -> Aggregate:
    """Return the aggregate of one argument that makes a digest. Raises `Unsupported` for a digest from elsewhere."""
    _of_told_rows(call, "Compute it exactly.")
    node: Any = call.nodes[index]
    if not isinstance(node, exp.Anonymous) or str(node.this).lower() != name or len(node.expressions) != 1:
        raise Unsupported(
            f"{call.name}() is given here of {name}(x) itself, not of a digest that is kept. Compute it from the rows."
        )
    return Aggregate(name, list(node.expressions), call.scope, call.queries)


def is_set_digest(node: Any) -> bool:
    """Return whether an argument is `make_set_digest(x)`."""
    return isinstance(node, exp.Anonymous) and str(node.this).lower() == "make_set_digest"


def set_digest_size(call: Call) -> Typed:
    """Return `cardinality(make_set_digest(x))`: how many values are distinct, NULL for none."""
    counted = Typed(f"nullif(len({_distinct(call, 0).sql}), 0)", BIGINT)
    return Typed(f"CAST({counted.sql} AS BIGINT)", BIGINT)


def _distinct(call: Call, index: int) -> Typed:
    """Return the distinct values of a set digest as a list, an error beyond the few that it keeps apart."""
    inner = _digest(call, index, "make_set_digest")
    value = inner.values[0]
    if value.type.name not in HASHED:
        raise inner.refuse(f"of {value.type} is not given here", "Count distinct values.")
    kind = array(value.type)
    listed = Typed(inner.make("list", value.sql, where=f"{value.sql} IS NOT NULL", distinct=True), kind)
    many = fail("A set digest is an estimate beyond 100 values: count distinct ones", kind)
    return Typed(let([listed], lambda xs: f"CASE WHEN len({xs}) > {FEW_DISTINCT} THEN {many} ELSE {xs} END"), kind)


@function("jaccard_index", args=2)
def jaccard_index(call: Call) -> Typed:
    """Give the share of the values of both digests among those of either."""
    body = lambda x, y: f"len(list_intersect({x}, {y})) / CAST(len(list_distinct(list_concat({x}, {y}))) AS DOUBLE)"
    known = lambda x, y: f"CASE WHEN {x} IS NOT NULL AND {y} IS NOT NULL THEN {body(x, y)} END"
    return Typed(let([_distinct(call, 0), _distinct(call, 1)], known), DOUBLE)


@function("intersection_cardinality", args=2)
def intersection_cardinality(call: Call) -> Typed:
    """Give how many values both digests have."""
    body = lambda x, y: (
        f"CASE WHEN {x} IS NOT NULL AND {y} IS NOT NULL THEN CAST(len(list_intersect({x}, {y})) AS BIGINT) END"
    )
    return Typed(let([_distinct(call, 0), _distinct(call, 1)], body), BIGINT)


@aggregate(
    "approx_most_frequent", "approx_set", "numeric_histogram", "merge", "tdigest_agg", "qdigest_agg", "make_set_digest"
)
def estimate(call: Aggregate) -> Typed:
    """Refuse: an estimate is only right by chance."""
    raise call.refuse("is an estimate, which another engine does not repeat", "Compute it exactly.")
