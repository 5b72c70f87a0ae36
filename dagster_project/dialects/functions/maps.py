"""Maps: DuckDB's are in order, Trino's are not, so what compares or prints them goes by key.

Source: https://trino.io/docs/current/functions/map.html
"""

from __future__ import annotations

from collections.abc import Callable

from dagster_project.dialects.casts import coerce
from dagster_project.dialects.functions.arrays import bound, depth
from dagster_project.dialects.functions.calls import MANY, Call, function
from dagster_project.dialects.typed import Typed, fail, let, string
from dagster_project.dialects.types import UNKNOWN, Type, array, common_of, duckdb_type, field_names, map_of, row


def typed_map(keys: str, values: str, kind: Type) -> str:
    """Return a map of two lists, of a type DuckDB knows even if they are empty."""
    made = f"map({keys}, {values})"
    return f"CAST({made} AS {duckdb_type(kind)})" if UNKNOWN in (kind.key, kind.value) else made


@function("map", args=(0, 2))
def map_(call: Call) -> Typed:
    """Give a map of keys and values; an error for a key that comes twice or is NULL."""
    if not call.nodes:
        return Typed("map(CAST([] AS INTEGER[]), CAST([] AS INTEGER[]))", map_of(UNKNOWN, UNKNOWN))
    if len(call) == 1:
        raise call.refuse("takes keys and values", "Give two arrays.")
    keys, values = call.array(0), call.array(1)
    kind = map_of(keys.type.element, values.type.element)
    a = Typed(f"CAST({keys.sql} AS {duckdb_type(keys.type)})", keys.type) if keys.type.element == UNKNOWN else keys
    b = (
        Typed(f"CAST({values.sql} AS {duckdb_type(values.type)})", values.type)
        if values.type.element == UNKNOWN
        else values
    )
    unlike = fail("Key and value arrays must be the same length", kind)
    return Typed(
        let(
            [a, b],
            lambda x, y: (
                f"CASE WHEN {x} IS NULL OR {y} IS NULL THEN NULL WHEN len({x}) <> len({y}) THEN {unlike} ELSE map({x}, {y}) END"
            ),
        ),
        kind,
    )


@function("map_keys")
def map_keys(call: Call) -> Typed:
    """Give the keys."""
    value = call.map(0)
    return Typed(f"map_keys({value.sql})", array(value.type.key))


@function("map_values")
def map_values(call: Call) -> Typed:
    """Give the values."""
    value = call.map(0)
    return Typed(f"map_values({value.sql})", array(value.type.value))


@function("map_entries")
def map_entries(call: Call) -> Typed:
    """Give rows of key and value, whose fields have no names."""
    value = call.map(0)
    kind = row((None, value.type.key), (None, value.type.value))
    return Typed(
        f"list_transform(map_entries({value.sql}), lambda _e: {{field0: _e.key, field1: _e.value}})", array(kind)
    )


def _entries(call: Call) -> tuple[Typed, list[str], Type]:
    value = call.array(0)
    inner = value.type.element
    if inner.name != "row" or len(inner.fields) != 2:
        raise call.refuse(f"takes an array of rows of two, not {value.type}", "Write ROW(key, value).")
    return value, [string(h) for h in field_names(inner)], inner


@function("map_from_entries")
def map_from_entries(call: Call) -> Typed:
    """Give a map of rows; an error for a key that comes twice."""
    value, (k, v), inner = _entries(call)
    kind = map_of(inner.fields[0][1], inner.fields[1][1])
    null = fail("map entry cannot be null", kind)

    def body(x: str) -> str:
        keys = f"list_transform({x}, lambda _e: struct_extract(_e, {k}))"
        return f"CASE WHEN {x} IS NULL THEN NULL WHEN len(list_filter({x}, lambda _e: _e IS NULL)) > 0 THEN {null} ELSE map({keys}, list_transform({x}, lambda _e: struct_extract(_e, {v}))) END"

    return Typed(let([value], body), kind)


@function("multimap_from_entries")
def multimap_from_entries(call: Call) -> Typed:
    """Give a map of each key to all its values."""
    value, (k, v), inner = _entries(call)
    kind = map_of(inner.fields[0][1], array(inner.fields[1][1]))
    null = fail("map entry cannot be null", kind)

    def body(x: str) -> str:
        keys = f"list_transform({x}, lambda _e: struct_extract(_e, {k}))"
        unique = f"list_filter({keys}, lambda _d, _i: list_position({keys}, _d) = _i)"
        items = f"list_transform({unique}, lambda _y: list_transform(list_filter({x}, lambda _e: struct_extract(_e, {k}) = _y), lambda _e: struct_extract(_e, {v})))"
        return f"CASE WHEN {x} IS NULL THEN NULL WHEN len(list_filter({x}, lambda _e: _e IS NULL)) > 0 THEN {null} ELSE map({unique}, {items}) END"

    return Typed(let([value], body), kind)


@function("map_concat", args=(2, MANY))
def map_concat(call: Call) -> Typed:
    """Give the entries of all maps; the last one wins."""
    values = [call.map(i) for i in range(len(call))]
    kind = common_of([v.type for v in values], "map_concat()")
    coerced = [
        Typed(f"CAST({coerce(v, kind).sql} AS {duckdb_type(kind)})", kind)
        if UNKNOWN in (v.type.key, v.type.value)
        else coerce(v, kind)
        for v in values
    ]
    return Typed(
        let(
            coerced,
            lambda *xs: (
                f"CASE WHEN {' OR '.join(f'{x} IS NULL' for x in xs)} THEN NULL ELSE map_concat({', '.join(xs)}) END"
            ),
        ),
        kind,
    )


def _each_entry(call: Call) -> tuple[Typed, str, Typed]:
    """Return a map, the name of an entry of it, and what the lambda of key and value makes of that."""
    value = call.map(0)
    e = f"_m{depth(call)}"
    return value, e, bound(call, 1, [Typed(f"{e}.key", value.type.key), Typed(f"{e}.value", value.type.value)])


def _unless_null(value: Typed, kind: Type, made: Callable[[str], str]) -> Typed:
    return Typed(let([value], lambda x: f"CASE WHEN {x} IS NULL THEN NULL ELSE {made(x)} END"), kind)


@function("map_filter", args=2)
def map_filter(call: Call) -> Typed:
    """Give the entries for which a lambda is true."""
    value, e, test = _each_entry(call)
    kept = lambda x: f"map_from_entries(list_filter(map_entries({x}), lambda {e}: {test.sql}))"
    return _unless_null(value, value.type, kept)


@function("transform_keys", args=2)
def transform_keys(call: Call) -> Typed:
    """Give a map with keys made by a lambda; an error for one that comes twice."""
    value, e, made = _each_entry(call)
    kind = map_of(made.type, value.type.value)
    keys = lambda x: f"list_transform(map_entries({x}), lambda {e}: {made.sql})"
    return _unless_null(value, kind, lambda x: typed_map(keys(x), f"map_values({x})", kind))


@function("transform_values", args=2)
def transform_values(call: Call) -> Typed:
    """Give a map with values made by a lambda."""
    value, e, made = _each_entry(call)
    kind = map_of(value.type.key, made.type)
    items = lambda x: f"list_transform(map_entries({x}), lambda {e}: {made.sql})"
    return _unless_null(value, kind, lambda x: typed_map(f"map_keys({x})", items(x), kind))


@function("map_zip_with", args=3)
def map_zip_with(call: Call) -> Typed:
    """Give what a lambda makes of each key and its two values, NULL where a map has none."""
    one, other = call.map(0), call.map(1)
    key = common_of([one.type.key, other.type.key], "map_zip_with()")
    one, other = coerce(one, map_of(key, one.type.value)), coerce(other, map_of(key, other.type.value))
    k = f"_m{depth(call)}"

    def parts(x: str, y: str) -> list[Typed]:
        return [
            Typed(k, key),
            Typed(f"map_extract_value({x}, {k})", one.type.value),
            Typed(f"map_extract_value({y}, {k})", other.type.value),
        ]

    kind = map_of(key, bound(call, 2, parts("_x", "_y")).type)

    def body(x: str, y: str) -> str:
        keys = f"list_distinct(list_concat(map_keys({x}), map_keys({y})))"
        return f"CASE WHEN {x} IS NULL OR {y} IS NULL THEN NULL ELSE {typed_map(keys, f'list_transform({keys}, lambda {k}: {bound(call, 2, parts(x, y)).sql})', kind)} END"

    return Typed(let([one, other], body), kind)
