"""Functions that Presto and Velox have beside Trino's: over arrays and maps.

Source: https://prestodb.io/docs/current/functions.html
"""

from __future__ import annotations

from dagster_project.dialects import operators
from dagster_project.dialects.casts import coerce
from dagster_project.dialects.functions.arrays import NULLS, bound, depth
from dagster_project.dialects.functions.calls import Call, function
from dagster_project.dialects.functions.maps import typed_map
from dagster_project.dialects.typed import Typed, fail, let, unless_null
from dagster_project.dialects.types import (
    BIGINT,
    BOOLEAN,
    DOUBLE,
    UNKNOWN,
    VARCHAR,
    array,
    common_of,
    duckdb_type,
    map_of,
)


def _numbers(call: Call) -> Typed:
    value = call.array(0)
    if not value.type.element.is_number and value.type.element != UNKNOWN:
        raise call.refuse(f"takes an array of numbers, not {value.type}", "CAST it.")
    return value


@function("array_sum")
def array_sum(call: Call) -> Typed:
    """Give the sum of what is not NULL, 0 for none."""
    value = _numbers(call)
    kind = BIGINT if value.type.element.is_integer else value.type.element if value.type.element != UNKNOWN else DOUBLE
    return Typed(
        let(
            [value],
            lambda x: (
                f"CASE WHEN {x} IS NULL THEN NULL ELSE CAST(coalesce(list_sum({x}), 0) AS {duckdb_type(kind)}) END"
            ),
        ),
        kind,
    )


@function("array_average")
def array_average(call: Call) -> Typed:
    """Give the mean of what is not NULL."""
    value = coerce(_numbers(call), array(DOUBLE))
    return Typed(f"list_avg({value.sql})", DOUBLE)


@function("array_cum_sum")
def array_cum_sum(call: Call) -> Typed:
    """Give the sums so far; NULL from the first NULL on."""
    value = _numbers(call)
    element = value.type.element

    def body(x: str) -> str:
        part = f"{x}[1:_i]"
        return f"list_transform(range(1, len({x}) + 1), lambda _i: CASE WHEN len(list_filter({part}, lambda _n: _n IS NULL)) = 0 THEN CAST(list_sum({part}) AS {duckdb_type(element)}) END)"

    return Typed(let([value], lambda x: f"CASE WHEN {x} IS NULL THEN NULL ELSE {body(x)} END"), value.type)


@function("array_duplicates")
def array_duplicates(call: Call) -> Typed:
    """Give what stands there more than once, in order, NULL first."""
    value = call.array(0)
    seen = lambda x: (
        f"list_filter({x}, lambda _d, _i: list_position({x}, _d) = _i AND len(list_filter({x}, lambda _o: _o IS NOT DISTINCT FROM _d)) > 1)"
    )
    return Typed(let([value], lambda x: f"list_sort({seen(x)}, 'ASC', 'NULLS FIRST')"), value.type)


@function("array_has_duplicates")
def array_has_duplicates(call: Call) -> Typed:
    """Give whether something stands there more than once."""
    value = call.array(0)
    return Typed(
        let(
            [value],
            lambda x: (
                f"CASE WHEN {x} IS NULL THEN NULL ELSE len(list_filter({x}, lambda _d, _i: list_position({x}, _d) <> _i)) > 0 END"
            ),
        ),
        BOOLEAN,
    )


@function("array_sort_desc")
def array_sort_desc(call: Call) -> Typed:
    """Give an array in falling order, NULL last."""
    value = call.array(0)
    if value.type.element.name in {"array", "row", "map", "json"}:
        raise call.refuse(f"of {value.type} is not given here", "Sort by a part of the elements.")
    return Typed(f"list_sort({value.sql}, 'DESC', 'NULLS LAST')", value.type)


@function("array_top_n", args=2)
def array_top_n(call: Call) -> Typed:
    """Give the n greatest, falling, NULL last."""
    value, count = call.array(0), call.integer(1)
    if value.type.element.name in {"array", "row", "map", "json"}:
        raise call.refuse(f"of {value.type} is not given here", "Sort by a part of the elements.")
    raised = fail("Parameter n: must be non-negative", value.type)
    return Typed(
        let(
            [value, count],
            lambda x, n: (
                f"CASE WHEN {n} < 0 THEN {raised} ELSE list_slice(list_sort({x}, 'DESC', 'NULLS LAST'), 1, CAST({n} AS BIGINT)) END"
            ),
        ),
        value.type,
    )


@function("array_split_into_chunks", args=2)
def array_split_into_chunks(call: Call) -> Typed:
    """Give runs of n elements, the last one shorter."""
    value, size = call.array(0), call.integer(1)
    kind = array(value.type)
    raised = fail("Invalid slice size", kind)
    return Typed(
        let(
            [value, size],
            lambda x, n: (
                f"CASE WHEN {n} <= 0 THEN {raised} WHEN {x} IS NULL THEN NULL ELSE list_transform(range(0, CAST(ceil(len({x}) / {n}) AS BIGINT)), lambda _c: {x}[_c * {n} + 1:(_c + 1) * {n}]) END"
            ),
        ),
        kind,
    )


@function("array_subset", args=2)
def array_subset(call: Call) -> Typed:
    """Give the elements at places counted from 1; places that are none are passed over."""
    value, places = call.array(0), call.array(1)
    return Typed(
        unless_null(
            [value, places],
            lambda x, p: f"list_transform(list_filter({p}, lambda _i: _i BETWEEN 1 AND len({x})), lambda _i: {x}[_i])",
        ),
        value.type,
    )


@function("remove_nulls")
def remove_nulls(call: Call) -> Typed:
    """Give what is not NULL."""
    value = call.array(0)
    return Typed(f"list_filter({value.sql}, lambda _n: _n IS NOT NULL)", value.type)


@function("transform_with_index", args=2)
def transform_with_index(call: Call) -> Typed:
    """Give what a lambda makes of each element and its place."""
    value = call.array(0)
    names, body = call.lambda_of(1, [value.type.element, BIGINT])
    return Typed(f"list_transform({value.sql}, lambda {', '.join(names)}: {body.sql})", array(body.type))


@function("find_first", args=(2, 3))
def find_first(call: Call) -> Typed:
    """Give the first element, from a place on, for which a lambda is true."""
    value, made = _from_place(call)
    return Typed(f"({made})[1].e", value.type.element)


@function("find_first_index", args=(2, 3))
def find_first_index(call: Call) -> Typed:
    """Give the place of the first element, from a place on, for which a lambda is true."""
    _, made = _from_place(call)
    return Typed(f"({made})[1].i", BIGINT)


def _from_place(call: Call) -> tuple[Typed, str]:
    value = call.array(0)
    start = call.value(1).integer if len(call) == 3 else 1
    if not start or start < 1:
        raise call.refuse("takes a constant place above 0", "Write it out.")
    at = f"_f{depth(call)}"
    test = bound(call, len(call) - 1, [Typed(f"{at}.e", value.type.element)])
    pairs = f"list_transform({value.sql}, lambda _e, _i: {{e: _e, i: CAST(_i AS BIGINT)}})"
    return value, f"list_filter({pairs}, lambda {at}: {at}.i >= {start} AND {test.sql})"


def _by(name: str, word: str) -> None:
    @function(name, args=2)
    def rule(call: Call) -> Typed:
        """Give the element for which a lambda is greatest or least; the first of equals."""
        value = call.array(0)
        made, kind = call.lambda_sql(1, [value.type.element])
        if kind.name in {"array", "map", "row", "json"} or kind.is_float:
            raise call.refuse(f"by {kind} is not given here", "CAST it to what has an order.")

        def body(x: str) -> str:
            keys = f"list_transform({x}, {made})"
            null = f"len(list_filter({keys}, lambda _n: _n IS NULL)) > 0"
            return f"CASE WHEN {null} THEN NULL ELSE {x}[list_position({keys}, {word}({keys}))] END"

        return Typed(let([value], body), value.type.element)


_by("array_max_by", "list_max")
_by("array_min_by", "list_min")


def _norm(name: str, made: str) -> None:
    @function(name)
    def rule(call: Call) -> Typed:
        """Give the length of a vector, NULL passed over, as a double."""
        value = call.values[0]
        listed = (
            Typed(f"map_values({value.sql})", array(value.type.value)) if value.type.name == "map" else call.array(0)
        )
        doubles = coerce(listed, array(DOUBLE))
        return Typed(
            let([doubles], lambda x: f"CASE WHEN {x} IS NULL THEN NULL ELSE {made.replace('{x}', x)} END"), DOUBLE
        )


_norm("l2_norm", "sqrt(coalesce(list_sum(list_transform({x}, lambda _q: _q * _q)), 0e0))")


@function("l2_squared", args=2)
def l2_squared(call: Call) -> Typed:
    """Give the square of the distance of two vectors."""
    one, other = coerce(call.array(0), array(DOUBLE)), coerce(call.array(1), array(DOUBLE))
    raised = fail("The arguments must have the same length", DOUBLE)
    return Typed(
        let(
            [one, other],
            lambda x, y: (
                f"CASE WHEN {x} IS NULL OR {y} IS NULL THEN NULL WHEN len({x}) <> len({y}) THEN {raised} ELSE coalesce(list_sum(list_transform(range(1, len({x}) + 1), lambda _i: pow({x}[_i] - {y}[_i], 2))), 0e0) END"
            ),
        ),
        DOUBLE,
    )


@function("array_normalize", args=2)
def array_normalize(call: Call) -> Typed:
    """Give a vector divided by its p-norm; as it is if that is 0."""
    value, p = call.array(0), call.double(1)
    if not value.type.element.is_float:
        raise call.refuse("takes an array of doubles or reals", "CAST it.")

    def body(x: str, n: str) -> str:
        norm = f"pow(coalesce(list_sum(list_transform({x}, lambda _q: pow(abs(_q), {n}))), 0e0), 1 / {n})"
        return f"CASE WHEN {n} = 0 OR {norm} = 0 THEN {x} WHEN len(list_filter({x}, lambda _n: _n IS NULL)) > 0 THEN NULL ELSE list_transform({x}, lambda _q: CAST(_q / {norm} AS {duckdb_type(value.type.element)})) END"

    return Typed(let([value, p], body), value.type)


# --- maps ---------------------------------------------------------------------------------------------------------


def _some(name: str, part: str, kind_of: str, made: str) -> None:
    @function(name, args=2)
    def rule(call: Call) -> Typed:
        """Give whether a lambda is true for any, all or no keys, or values."""
        value = call.map(0)
        lambda_, _ = call.lambda_sql(1, [getattr(value.type, kind_of)])
        answers = Typed(f"list_transform({part}({value.sql}), {lambda_})", array(BOOLEAN))
        return Typed(let([answers], lambda x: made.replace("{x}", x)), BOOLEAN)


ANY_OF = f"CASE WHEN {{x}} IS NULL THEN NULL WHEN list_contains({{x}}, true) THEN true WHEN {NULLS} ELSE false END"
ALL_OF = f"CASE WHEN {{x}} IS NULL THEN NULL WHEN list_contains({{x}}, false) THEN false WHEN {NULLS} ELSE true END"
NONE_OF = f"CASE WHEN {{x}} IS NULL THEN NULL WHEN list_contains({{x}}, true) THEN false WHEN {NULLS} ELSE true END"
for _names, _made in (
    (("any_keys_match", "map_keys_any_match", "any_values_match", "map_values_any_match"), ANY_OF),
    (("all_keys_match", "map_keys_all_match", "all_values_match", "map_values_all_match"), ALL_OF),
    (("no_keys_match", "map_keys_none_match", "no_values_match", "map_values_none_match"), NONE_OF),
):
    for _name in _names:
        _some(_name, "map_keys" if "keys" in _name else "map_values", "key" if "keys" in _name else "value", _made)


def _kept(test: str, value: Typed, *more: Typed) -> Typed:
    """Give the entries of a map for which a test of `_e.key` and `_e.value` holds."""

    def body(x: str, *xs: str) -> str:
        null = " OR ".join(f"{v} IS NULL" for v in (x, *xs))
        held = test.format(*xs)
        made = f"map_from_entries(list_filter(map_entries({x}), lambda _e: {held}))"
        return f"CASE WHEN {null} THEN NULL ELSE {f'CAST({made} AS {duckdb_type(value.type)})' if UNKNOWN in value.type.args else made} END"

    return Typed(let([value, *more], body), value.type)


def _keyed(call: Call) -> tuple[Typed, Typed]:
    value, keys = call.map(0), call.array(1)
    kind = common_of([value.type.key, keys.type.element], f"{call.name}()")
    return coerce(value, map_of(kind, value.type.value)) if value.type.key != UNKNOWN else value, coerce(
        keys, array(kind)
    )


@function("map_subset", "map_intersect", args=2)
def map_subset(call: Call) -> Typed:
    """Give the entries of some keys."""
    value, keys = _keyed(call)
    return _kept("list_contains({0}, _e.key)", value, keys)


@function("map_except", args=2)
def map_except(call: Call) -> Typed:
    """Give the entries of other keys."""
    value, keys = _keyed(call)
    return _kept("NOT list_contains({0}, _e.key)", value, keys)


@function("map_keys_overlap", args=2)
def map_keys_overlap(call: Call) -> Typed:
    """Give whether a map has one of some keys."""
    value, keys = _keyed(call)
    return Typed(
        let(
            [value, keys],
            lambda x, k: (
                f"CASE WHEN {x} IS NULL OR {k} IS NULL THEN NULL ELSE len(list_intersect(map_keys({x}), {k})) > 0 END"
            ),
        ),
        BOOLEAN,
    )


@function("map_key_exists", args=2)
def map_key_exists(call: Call) -> Typed:
    """Give whether a map has a key."""
    value = call.map(0)
    key = coerce(call.values[1], value.type.key)
    return Typed(f"map_contains({value.sql}, {key.sql})", BOOLEAN)


@function("map_remove_null_values")
def map_remove_null_values(call: Call) -> Typed:
    """Give the entries whose value is not NULL."""
    return _kept("_e.value IS NOT NULL", call.map(0))


@function("map_subset_key_in_range", "map_keys_in_range", args=3)
def map_keys_in_range(call: Call) -> Typed:
    """Give the entries whose key lies between two, both among them."""
    value = call.map(0)
    low, high = (coerce(call.values[i], value.type.key) for i in (1, 2))
    return _kept("_e.key BETWEEN {0} AND {1}", value, low, high)


@function("map_values_in_range", args=3)
def map_values_in_range(call: Call) -> Typed:
    """Give the entries whose value lies between two, or is NULL."""
    value = call.map(0)
    low, high = call.values[1], call.values[2]
    return _kept("_e.value IS NULL OR _e.value BETWEEN {0} AND {1}", value, low, high)


@function("map_trim_values", args=2)
def map_trim_values(call: Call) -> Typed:
    """Give a map whose arrays are cut to n elements, uncut for a negative n."""
    value, size = call.map(0), call.integer(1)
    if value.type.value.name != "array":
        raise call.refuse(f"takes a map of arrays, not {value.type}", "CAST it.")
    cut = lambda x, n: (
        f"list_transform(map_values({x}), lambda _l: CASE WHEN {n} < 0 THEN _l WHEN {n} = 0 THEN _l[2:1] ELSE _l[1:CAST({n} AS BIGINT)] END)"
    )
    return Typed(
        unless_null([value, size], lambda x, n: f"map(map_keys({x}), {cut(x, n)})"),
        value.type,
    )


for _name in ("map_append", "map_update"):

    @function(_name, args=3)
    def put(call: Call) -> Typed:
        """Give a map with keys and values added, the last one of a key; NULL keys are passed over."""
        value, keys, items = call.map(0), call.array(1), call.array(2)
        kind = map_of(
            common_of([value.type.key, keys.type.element], call.name),
            common_of([value.type.value, items.type.element], call.name),
        )
        k, v = coerce(keys, array(kind.key)), coerce(items, array(kind.value))
        held = duckdb_type(kind)

        def body(x: str, a: str, b: str) -> str:
            places = f"list_filter(range(1, len({a}) + 1), lambda _q: {a}[_q] IS NOT NULL AND len(list_filter({a}[_q + 1:], lambda _o: _o = {a}[_q])) = 0)"
            added = f"map(list_transform({places}, lambda _q: {a}[_q]), list_transform({places}, lambda _q: {b}[_q]))"
            unlike = fail("keys and values must have the same length", kind)
            return f"CASE WHEN {x} IS NULL OR {a} IS NULL OR {b} IS NULL THEN NULL WHEN len({a}) <> len({b}) THEN {unlike} ELSE map_concat(CAST({x} AS {held}), CAST({added} AS {held})) END"

        return Typed(let([value, k, v], body), kind)


@function("map_normalize")
def map_normalize(call: Call) -> Typed:
    """Give a map whose values are divided by their sum."""
    value = call.map(0)
    kind = map_of(value.type.key, DOUBLE)
    doubles = coerce(value, kind)

    def body(x: str) -> str:
        total = Typed(f"list_sum(map_values({x}))", DOUBLE)
        made = operators.arithmetic("/", Typed("_q", DOUBLE), total).sql
        return f"CASE WHEN {x} IS NULL THEN NULL ELSE {typed_map(f'map_keys({x})', f'list_transform(map_values({x}), lambda _q: {made})', kind)} END"

    return Typed(let([doubles], body), kind)


def _top(name: str, gives: str) -> None:
    @function(name, args=2)
    def rule(call: Call) -> Typed:
        """Give the n greatest entries, keys or values, falling; equal values go by key."""
        value, count = call.map(0), call.integer(1)
        if value.type.value.name in {"array", "row", "map", "json"} or value.type.key.name in {
            "array",
            "row",
            "map",
            "json",
        }:
            raise call.refuse(f"of {value.type} is not given here", "Sort map_entries by a lambda.")

        def body(x: str, n: str) -> str:
            part = "_e.key" if gives == "top_keys" else "_e.value"
            ordered = f"list_transform(list_sort(list_transform(map_entries({x}), lambda _e: {{n: {part} IS NOT NULL, a: {part}, b: _e.key, e: _e}}), 'DESC', 'NULLS LAST'), lambda _o: _o.e)"
            cut = f"list_slice({ordered}, 1, CAST({n} AS BIGINT))"
            shown = {
                "map": f"map_from_entries({cut})",
                "keys": f"list_transform({cut}, lambda _o: _o.key)",
                "top_keys": f"list_transform({cut}, lambda _o: _o.key)",
                "values": f"list_transform({cut}, lambda _o: _o.value)",
            }[gives]
            return f"CASE WHEN {n} < 0 THEN {fail('n must be greater than or equal to 0', kind)} WHEN {x} IS NULL THEN NULL ELSE {shown} END"

        kind = {
            "map": value.type,
            "keys": array(value.type.key),
            "top_keys": array(value.type.key),
            "values": array(value.type.value),
        }[gives]
        return Typed(let([value, count], body), kind)


_top("map_top_n", "map")
_top("map_top_n_keys", "top_keys")
_top("map_keys_by_top_n_values", "keys")
_top("map_top_n_values", "values")


@function("array_sum_propagate_element_null")
def array_sum_propagate_element_null(call: Call) -> Typed:
    """Give the sum, NULL if an element is NULL, 0 for none."""
    value = _numbers(call)
    total = array_sum(call)
    return Typed(let([value], lambda x: f"CASE WHEN len({x}) = list_count({x}) THEN {total.sql} END"), total.type)


@function("strrpos", args=(2, 3))
def strrpos(call: Call) -> Typed:
    """Give where a part begins for the last time, or the n-th from the end; 0 if nowhere."""
    value, part = call.text(0), call.text(1)
    nth = call.integer(2).integer if len(call) == 3 else 1
    if not nth or nth < 1:
        raise call.refuse("takes a constant occurrence above 0", "Write it out.")
    places = lambda x, p: (
        f"list_filter(range(1, length({x}) - length({p}) + 2), lambda _i: substr({x}, _i, length({p})) = {p})"
    )
    return Typed(
        let(
            [value, part],
            lambda x, p: f"CASE WHEN {x} IS NULL OR {p} IS NULL THEN NULL ELSE coalesce({places(x, p)}[-{nth}], 0) END",
        ),
        BIGINT,
    )


@function("replace_first", args=3)
def replace_first(call: Call) -> Typed:
    """Give a text with the first of a part replaced."""
    values = [call.text(i) for i in range(3)]
    body = lambda x, p, b: (
        f"CASE WHEN instr({x}, {p}) = 0 THEN {x} ELSE substr({x}, 1, instr({x}, {p}) - 1) || {b} || substr({x}, instr({x}, {p}) + length({p})) END"
    )
    return Typed(let(values, body), VARCHAR)


@function("trail", args=2)
def trail(call: Call) -> Typed:
    """Give the last characters of a text."""
    count = call.integer(1)
    return Typed(
        let(
            [call.text(0), count],
            lambda x, n: f"CASE WHEN {n} <= 0 THEN CASE WHEN {x} IS NOT NULL THEN '' END ELSE right({x}, {n}) END",
        ),
        VARCHAR,
    )


@function("factorial")
def factorial(call: Call) -> Typed:
    """Give the factorial of 0 to 20."""
    raised = fail("Argument for factorial must be in the range [0, 20]", BIGINT)
    return Typed(
        let(
            [call.integer(0)],
            lambda x: (
                f"CASE WHEN {x} < 0 OR {x} > 20 THEN {raised} ELSE CAST(factorial(CAST({x} AS INTEGER)) AS BIGINT) END"
            ),
        ),
        BIGINT,
    )


@function("clamp", args=3)
def clamp(call: Call) -> Typed:
    """Give a whole number held between two bounds."""
    values = [call.integer(i) for i in range(3)]
    kind = common_of([v.type for v in values], "clamp()")
    null = lambda *xs: " OR ".join(f"{x} IS NULL" for x in xs)
    return Typed(
        let(
            [coerce(v, kind) for v in values],
            lambda x, a, b: (
                f"CASE WHEN {null(x, a, b)} THEN NULL WHEN {x} < {a} THEN {a} WHEN {x} > {b} THEN {b} ELSE {x} END"
            ),
        ),
        kind,
    )


@function("cot")
def cot(call: Call) -> Typed:
    """Give the cotangent."""
    return Typed(f"cot({call.double(0).sql})", DOUBLE)


@function("bit_length")
def bit_length(call: Call) -> Typed:
    """Give how many bits a text takes in UTF-8."""
    return Typed(f"CAST(bit_length({call.text(0).sql}) AS BIGINT)", BIGINT)


@function("like", args=(2, 3))
def like(call: Call) -> Typed:
    """Give text LIKE pattern."""
    escape = f" ESCAPE {call.text(2).sql}" if len(call) == 3 else ""
    return Typed(f"({call.text(0).sql} LIKE {call.text(1).sql}{escape})", BOOLEAN)
