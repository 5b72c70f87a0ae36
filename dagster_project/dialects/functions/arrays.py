"""Arrays, and the lambdas over them.

NULL inside of an array is where DuckDB and Trino differ most: `contains` of an array with NULL is NULL and not false.
Source: https://trino.io/docs/current/functions/array.html, …/lambda.html
"""

from __future__ import annotations

from collections.abc import Sequence

from dagster_project.dialects import operators
from dagster_project.dialects.casts import as_text, coerce
from dagster_project.dialects.functions.calls import MANY, Call, function
from dagster_project.dialects.functions.digests import is_set_digest, set_digest_size
from dagster_project.dialects.functions.strings import joined
from dagster_project.dialects.scopes import Scope
from dagster_project.dialects.typed import Typed, fail, let, unless_null
from dagster_project.dialects.types import (
    BIGINT,
    BOOLEAN,
    DATE,
    DOUBLE,
    INTEGER,
    INTERVAL,
    UNKNOWN,
    VARCHAR,
    Type,
    array,
    common,
    common_of,
    duckdb_type,
    field_names,
    map_of,
    quoted,
    row,
)

NESTED = {"array", "map", "row", "json"}


def empty_of(kind: Type) -> str:
    """Return an array of no elements."""
    return "[]" if kind.name in {"unknown", "any"} else f"CAST([] AS {duckdb_type(kind)}[])"


@function("cardinality")
def cardinality(call: Call) -> Typed:
    """Give how many elements an array or a map has, or how many values a set digest."""
    if is_set_digest(call.nodes[0]):
        return set_digest_size(call)
    value = call.value(0)
    if value.type.name == "map":
        return Typed(f"CAST(cardinality({value.sql}) AS BIGINT)", BIGINT)
    return Typed(f"CAST(len({call.array(0).sql}) AS BIGINT)", BIGINT)


@function("element_at", args=2)
def element_at(call: Call) -> Typed:
    """Give an element, from the end if negative, or the value of a key; NULL where there is none."""
    value = call.values[0]
    if value.type.name == "map":
        key = coerce(call.values[1], value.type.key)
        return Typed(f"map_extract_value({value.sql}, {key.sql})", value.type.value)
    value, index = call.array(0), call.integer(1)
    raised = fail("SQL array indices start at 1", value.type.element)
    if index.integer:
        return Typed(f"({value.sql})[{index.integer}]", value.type.element)
    return Typed(
        let([value, index], lambda x, i: f"CASE WHEN {i} = 0 AND {x} IS NOT NULL THEN {raised} ELSE {x}[{i}] END"),
        value.type.element,
    )


def holds(listed: str, item: str, kind: Type) -> str:
    """Return whether an array holds an item: NULL if it is not found beside a NULL."""
    if kind.name in NESTED or kind.is_float:
        each = operators.equal(Typed("_h", kind), Typed(item, kind)).sql
        answers = f"list_transform({listed}, lambda _h: {each})"
        return f"CASE WHEN {listed} IS NULL OR {item} IS NULL THEN NULL WHEN list_contains({answers}, true) THEN true WHEN len(list_filter({answers}, lambda _n: _n IS NULL)) > 0 THEN NULL ELSE false END"
    return (
        f"CASE WHEN {listed} IS NULL OR {item} IS NULL THEN NULL WHEN list_contains({listed}, {item}) THEN true "
        f"WHEN len(list_filter({listed}, lambda _n: _n IS NULL)) > 0 THEN NULL ELSE false END"
    )


def _with_item(call: Call) -> tuple[Typed, Typed]:
    value, item = call.array(0), call.values[1]
    element = common(value.type.element, item.type)
    if element is None:
        raise call.refuse(f"looks for {item.type} in {value.type}", "CAST one of them.")
    return coerce(value, array(element)), coerce(item, element)


@function("contains", args=2)
def contains(call: Call) -> Typed:
    """Give whether an array holds a value; NULL if it is not found and a NULL is there."""
    value, item = _with_item(call)
    if item.type == UNKNOWN:
        return Typed("CAST(NULL AS BOOLEAN)", BOOLEAN)
    return Typed(let([value, item], lambda x, y: holds(x, y, value.type.element)), BOOLEAN)


@function("array_position", args=(2, 3))
def array_position(call: Call) -> Typed:
    """Give where a value first stands, or for the n-th time, from the end if negative; 0 if nowhere."""
    value, item = _with_item(call)
    if len(call) == 3:
        nth = call.integer(2).integer
        if not nth or value.type.element.name in NESTED:
            raise call.refuse("takes a constant occurrence other than 0, and scalars", "Write it out.")
        places = lambda x, y: f"list_filter(range(1, len({x}) + 1), lambda _i: {x}[_i] = {y})"
        return Typed(
            let(
                [value, item],
                lambda x, y: (
                    f"CASE WHEN {x} IS NULL OR {y} IS NULL THEN NULL ELSE coalesce({places(x, y)}[{nth}], 0) END"
                ),
            ),
            BIGINT,
        )
    if value.type.element.name in NESTED:
        raise call.refuse(f"of {value.type} is not given here", "Use contains().")
    return Typed(
        let(
            [value, item],
            lambda x, y: (
                f"CASE WHEN {x} IS NULL OR {y} IS NULL THEN NULL ELSE CAST(coalesce(list_position({x}, {y}), 0) AS BIGINT) END"
            ),
        ),
        BIGINT,
    )


@function("array_distinct")
def array_distinct(call: Call) -> Typed:
    """Give every value once, where it first stood, NULL too."""
    value = call.array(0)
    return Typed(let([value], lambda x: f"list_filter({x}, lambda _d, _i: list_position({x}, _d) = _i)"), value.type)


def _two(call: Call) -> tuple[Typed, Typed, Type]:
    one, other = call.array(0), call.array(1)
    element = common(one.type.element, other.type.element)
    if element is None:
        raise call.refuse(f"takes two arrays of one type, not {one.type} and {other.type}", "CAST one of them.")
    kind = array(element)
    return coerce(one, kind), coerce(other, kind), kind


@function("array_union", args=2)
def array_union(call: Call) -> Typed:
    """Give every value of both once."""
    one, other, kind = _two(call)
    joined = Typed(
        let(
            [one, other], lambda x, y: f"CASE WHEN {x} IS NULL OR {y} IS NULL THEN NULL ELSE list_concat({x}, {y}) END"
        ),
        kind,
    )
    return Typed(let([joined], lambda x: f"list_filter({x}, lambda _d, _i: list_position({x}, _d) = _i)"), kind)


@function("array_except", args=2)
def array_except(call: Call) -> Typed:
    """Give every value of the first once that the second has not."""
    one, other, kind = _two(call)
    return Typed(
        let(
            [one, other],
            lambda x, y: (
                f"CASE WHEN {y} IS NULL THEN NULL WHEN len({y}) = 0 THEN {x} ELSE list_filter({x}, lambda _d, _i: list_position({x}, _d) = _i AND list_position({y}, _d) IS NULL) END"
            ),
        ),
        kind,
    )


@function("array_intersect", args=2)
def array_intersect(call: Call) -> Typed:
    """Give every value of both once, in the order of the longer array, of the second if both are as long."""
    one, other, kind = _two(call)

    def of(x: str, y: str) -> str:
        return f"list_filter({x}, lambda _d, _i: list_position({x}, _d) = _i AND list_position({y}, _d) IS NOT NULL)"

    return Typed(
        let(
            [one, other],
            lambda x, y: (
                f"CASE WHEN {x} IS NULL OR {y} IS NULL THEN NULL WHEN len({x}) >= len({y}) THEN {of(x, y)} ELSE {of(y, x)} END"
            ),
        ),
        kind,
    )


@function("arrays_overlap", args=2)
def arrays_overlap(call: Call) -> Typed:
    """Give whether a value stands in both; NULL if none does and one of them has NULL."""
    one, other, kind = _two(call)
    if kind.element.name in NESTED:
        raise call.refuse(f"of {kind} is not given here", "Use any_match() and contains().")

    def body(x: str, y: str) -> str:
        shared = f"len(list_filter({x}, lambda _d: _d IS NOT NULL AND list_contains({y}, _d))) > 0"
        null = lambda v: f"len(list_filter({v}, lambda _n: _n IS NULL)) > 0"
        return f"CASE WHEN {x} IS NULL OR {y} IS NULL THEN NULL WHEN {shared} THEN true WHEN len({x}) > 0 AND len({y}) > 0 AND ({null(x)} OR {null(y)}) THEN NULL ELSE false END"

    return Typed(let([one, other], body), BOOLEAN)


def _orderable(call: Call, kind: Type) -> None:
    if kind.name in {"map", "json"}:
        raise call.refuse(f"of {kind} is not given here", "Take what orders it first.")


@function("array_sort", args=(1, 2))
def array_sort(call: Call) -> Typed:
    """Give an array in order, NULL last; or in the order of a lambda that compares two."""
    value = call.array(0)
    _orderable(call, value.type.element)
    if len(call) == 1:
        if (
            value.type.element.name == "array"
            and value.type.element.element.name in operators.ORDERED
            and not value.type.element.element.is_float
        ):
            raised = fail("Array contains elements not supported for comparison", value.type)
            nulls = lambda x: f"len(list_filter({x}, lambda _l: len(_l) > list_count(_l))) > 0"
            return Typed(
                let(
                    [value],
                    lambda x: f"CASE WHEN {nulls(x)} THEN {raised} ELSE list_sort({x}, 'ASC', 'NULLS LAST') END",
                ),
                value.type,
            )
        if value.type.element.name in {"array", "row"}:
            raise call.refuse(
                f"of {value.type} is not given here: NULL inside of elements raises in Athena", "Sort by a lambda."
            )
        return Typed(f"list_sort({value.sql}, 'ASC', 'NULLS LAST')", value.type)
    if len(getattr(call.nodes[1], "expressions", ())) == 1:
        return _sorted_by_key(call, value)
    return _sorted_by(call, value)


def _sorted_by_key(call: Call, value: Typed) -> Typed:
    """Sort by what a lambda makes of each element, NULL last, equals as they stand."""
    at = f"_a{depth(call)}"
    key = bound(call, 1, [Typed(at, value.type.element)])
    if key.type.name not in operators.ORDERED or key.type.is_float:
        raise call.refuse(f"by {key.type} is not given here", "CAST it to what has an order.")
    made = f"{{n: {key.sql} IS NULL, k: {key.sql}, i: _i, e: {at}}}"
    return Typed(
        f"list_transform(list_sort(list_transform({value.sql}, lambda {at}, _i: {made}), 'ASC', 'NULLS LAST'), lambda _s: _s.e)",
        value.type,
    )


def _sorted_by(call: Call, value: Typed) -> Typed:
    """Sort by a comparator: an element's place is how many compare less, or equal and stand before it."""
    kind = value.type
    at = depth(call)
    a, b, i, j = f"_a{at}", f"_b{at}", f"_i{at}", f"_j{at}"
    one, other = Typed(a, kind.element), Typed(b, kind.element)
    forth, back = bound(call, 1, [one, other]).sql, bound(call, 1, [other, one]).sql

    def made(x: str) -> str:
        # Where both say that they are less (two NULLs, often), they keep their order.
        before = f"CASE WHEN {i} = {j} THEN false WHEN {forth} < 0 AND {back} >= 0 THEN true WHEN {back} < 0 AND {forth} >= 0 THEN false WHEN {forth} > 0 AND {back} <= 0 THEN false ELSE {j} < {i} END"
        ranked = (
            f"list_transform({x}, lambda {b}, {i}: {{r: len(list_filter({x}, lambda {a}, {j}: {before})), e: {b}}})"
        )
        return f"list_transform(list_sort({ranked}), lambda _s: _s.e)"

    if kind.element.name == "map":
        raise call.refuse(f"of {kind} is not given here", "Sort entries.")
    return Typed(let([value], made), kind)


def _extreme(name: str, word: str) -> None:
    @function(name)
    def rule(call: Call) -> Typed:
        """Give the greatest or least element: NULL if one is NULL or there is none; NaN only if all are."""
        value = call.array(0)
        element = value.type.element
        _orderable(call, element)
        if element.name in {"array", "row"}:
            raise call.refuse(f"of {value.type} is not given here", "Compare the elements' parts.")

        def body(x: str) -> str:
            null = f"len(list_filter({x}, lambda _n: _n IS NULL)) > 0"
            if not element.is_float:
                return f"CASE WHEN {null} THEN NULL ELSE {word}({x}) END"
            return f"CASE WHEN {null} THEN NULL ELSE coalesce({word}(list_filter({x}, lambda _n: NOT isnan(_n))), {word}({x})) END"

        return Typed(let([value], body), element)


_extreme("array_max", "list_max")
_extreme("array_min", "list_min")


@function("array_join", args=(2, 3))
def array_join(call: Call) -> Typed:
    """Give the elements as one text; NULL is passed over, or said as told."""
    value, by = call.array(0), call.text(1)
    if value.type.element.name in NESTED:
        raise call.refuse(f"of {value.type} is not given here", "CAST the elements to varchar.")
    each = as_text(Typed("_j", value.type.element)).sql
    told = [call.text(2)] if len(call) == 3 else []

    def body(x: str, s: str, *null: str) -> str:
        shown = f"coalesce({each}, {null[0]})" if null else each
        return joined(f"list_transform({x}, lambda _j: {shown})", s)

    return Typed(unless_null([value, by, *told], body), VARCHAR)


@function("array_remove", args=2)
def array_remove(call: Call) -> Typed:
    """Give an array without a value."""
    value, item = _with_item(call)
    element = value.type.element
    if item.type == UNKNOWN:
        return Typed(f"CAST(NULL AS {duckdb_type(value.type)})", value.type)
    same = (
        "(_r IS NOT DISTINCT FROM {0})"
        if element.is_float
        else f"({operators.equal(Typed('_r', element), Typed('{0}', element)).sql})"
    )
    return Typed(
        let(
            [value, item],
            lambda x, y: (
                f"CASE WHEN {y} IS NULL THEN NULL ELSE list_filter({x}, lambda _r: {same.replace('{0}', y)} IS NOT TRUE) END"
            ),
        ),
        value.type,
    )


# --- lambdas ------------------------------------------------------------------------------------------------------


@function("transform", args=2)
def transform(call: Call) -> Typed:
    """Give what a lambda makes of each element."""
    value = call.array(0)
    made, kind = call.lambda_sql(1, [value.type.element])
    return Typed(f"list_transform({value.sql}, {made})", array(kind))


@function("filter", args=2)
def filter_(call: Call) -> Typed:
    """Give the elements for which a lambda is true."""
    value = call.array(0)
    made, _ = call.lambda_sql(1, [value.type.element])
    return Typed(f"list_filter({value.sql}, {made})", value.type)


@function("reduce", args=(3, 4))
def reduce(call: Call) -> Typed:
    """Fold an array: a state, a lambda for each element, and one for the end."""
    value, start = call.array(0), call.value(1)
    state = _state(call, value.type.element, start.type)
    at = depth(call)
    acc, cur = f"_a{at}", f"_c{at}"
    stepped = bound(call, 2, [Typed(f"{acc}.s", state), Typed(f"{cur}.e", value.type.element)])
    empty_element = f"CAST(NULL AS {duckdb_type(value.type.element)})"
    items = f"list_transform({value.sql}, lambda _e: {{s: CAST(NULL AS {duckdb_type(state)}), e: {_exact('_e', value.type.element)}}})"
    first = f"{{s: CAST({coerce(start, state).sql} AS {duckdb_type(state)}), e: {empty_element}}}"
    step = f"{{s: CAST({coerce(stepped, state).sql} AS {duckdb_type(state)}), e: {empty_element}}}"
    folded = Typed(f"list_reduce({items}, lambda {acc}, {cur}: {step}, {first}).s", state)
    if len(call) == 3:
        return folded
    end_names, end = call.lambda_of(3, [state])
    if end.sql == end_names[0]:
        return folded
    ended = let([folded], lambda x: bound(call, 3, [Typed(x, state)]).sql)
    return Typed(f"CASE WHEN {value.sql} IS NOT NULL THEN {ended} END", end.type)


def _exact(name: str, kind: Type) -> str:
    return f"CAST({name} AS {duckdb_type(kind)})" if kind.is_known else f"CAST({name} AS INTEGER)"


def depth(call: Call) -> int:
    """Return how many lambdas stand around a call."""
    found = 0
    scope: Scope | None = call.scope
    while scope is not None:
        found += bool(scope.parameters)
        scope = scope.parent
    return found


def bound(call: Call, index: int, values: Sequence[Typed]) -> Typed:
    """Return a lambda's body with its parameters bound to expressions."""
    node = call.nodes[index]
    if type(node).__name__ != "Lambda" or len(node.expressions) != len(values):
        raise call.refuse(f"takes a lambda of {len(values)} parameters as argument {index + 1}", "Write it as x -> ….")
    held = {p.name.lower(): value for p, value in zip(node.expressions, values, strict=True)}
    return call.queries.expressions.give(node.this, Scope(parent=call.scope, parameters=held))


def _state(call: Call, element: Type, start: Type) -> Type:
    """Return the type of the state: the start's, widened by what the lambda makes of it."""
    state = start
    for _ in range(4):
        _, body = call.lambda_of(2, [state, element])
        wider = common(state, body.type)
        if wider is None:
            raise call.refuse(f"makes {body.type} of a state of {state}", "CAST one of them.")
        if wider == state or (state.name in {"decimal", "varchar"} and body.type.name == state.name):
            return state if wider.name != "varchar" else VARCHAR
        state = wider
    return state


def _matches(name: str, made: str) -> None:
    @function(name, args=2)
    def rule(call: Call) -> Typed:
        """Give whether a lambda is true for any, all or no element, with NULL as neither."""
        value = call.array(0)
        lambda_, _ = call.lambda_sql(1, [value.type.element])
        answers = Typed(f"list_transform({value.sql}, {lambda_})", array(BOOLEAN))
        return Typed(let([answers], lambda x: made.replace("{x}", x)), BOOLEAN)


NULLS = "len(list_filter({x}, lambda _n: _n IS NULL)) > 0 THEN NULL"
_matches(
    "any_match",
    f"CASE WHEN {{x}} IS NULL THEN NULL WHEN list_contains({{x}}, true) THEN true WHEN {NULLS} ELSE false END",
)
_matches(
    "all_match",
    f"CASE WHEN {{x}} IS NULL THEN NULL WHEN list_contains({{x}}, false) THEN false WHEN {NULLS} ELSE true END",
)
_matches(
    "none_match",
    f"CASE WHEN {{x}} IS NULL THEN NULL WHEN list_contains({{x}}, true) THEN false WHEN {NULLS} ELSE true END",
)


@function("zip", args=(2, MANY))
def zip_(call: Call) -> Typed:
    """Give rows of the elements side by side, the shorter arrays filled with NULL."""
    values = [call.array(i) for i in range(len(call))]
    kind = row(*((None, v.type.element) for v in values))

    def body(*xs: str) -> str:
        parts = ", ".join(f"{quoted(h)}: {x}[_z]" for h, x in zip(field_names(kind), xs, strict=True))
        return f"CASE WHEN {' OR '.join(f'{x} IS NULL' for x in xs)} THEN NULL ELSE list_transform(range(1, greatest({', '.join(f'len({x})' for x in xs)}) + 1), lambda _z: {{{parts}}}) END"

    return Typed(let(values, body), array(kind))


@function("zip_with", args=3)
def zip_with(call: Call) -> Typed:
    """Give what a lambda makes of two arrays side by side, the shorter filled with NULL."""
    one, other = call.array(0), call.array(1)
    at = f"_z{depth(call)}"
    kinds = [one.type.element, other.type.element]

    def body(x: str, y: str) -> str:
        made = bound(call, 2, [Typed(f"{x}[{at}]", kinds[0]), Typed(f"{y}[{at}]", kinds[1])])
        return f"CASE WHEN {x} IS NULL OR {y} IS NULL THEN NULL ELSE list_transform(range(1, greatest(len({x}), len({y})) + 1), lambda {at}: {made.sql}) END"

    kind = bound(call, 2, [Typed("_0", kinds[0]), Typed("_0", kinds[1])]).type
    return Typed(let([one, other], body), array(kind))


# --- parts --------------------------------------------------------------------------------------------------------


@function("flatten")
def flatten(call: Call) -> Typed:
    """Give the elements of the arrays in an array."""
    value = call.array(0)
    inner = value.type.element
    if inner.name not in {"array", "unknown"}:
        raise call.refuse(f"takes an array of arrays, not {value.type}", "Leave it out.")
    if inner == UNKNOWN and value.sql.startswith("CAST(NULL"):
        return Typed("CAST(NULL AS INTEGER[])", array(UNKNOWN))
    return Typed(f"flatten({value.sql})", inner if inner.name == "array" else array(UNKNOWN))


@function("slice", args=3)
def slice_(call: Call) -> Typed:
    """Give a part of an array: from a place, from the end if negative, so many elements."""
    value, start, size = call.array(0), call.integer(1), call.integer(2)
    odd = fail("SQL array indices start at 1", value.type)
    less = fail("length must be greater than or equal to 0", value.type)

    def body(x: str, s: str, n: str) -> str:
        first = f"CASE WHEN {s} < 0 THEN len({x}) + {s} + 1 ELSE {s} END"
        return f"CASE WHEN {x} IS NULL OR {s} IS NULL OR {n} IS NULL THEN NULL WHEN {s} = 0 THEN {odd} WHEN {n} < 0 THEN {less} WHEN ({first}) < 1 OR {n} = 0 THEN {x}[2:1] ELSE {x}[({first}):({first}) + {n} - 1] END"

    return Typed(let([value, start, size], body), value.type)


@function("repeat", args=2)
def repeat(call: Call) -> Typed:
    """Give an array of one element so many times, 10,000 at most."""
    value, count = call.values[0], call.integer(1)
    kind = array(value.type)
    raised = fail("repeat() takes a count from 0 to 10000", kind)
    return Typed(
        let(
            [count],
            lambda n: (
                f"CASE WHEN {n} IS NULL THEN NULL WHEN {n} < 0 OR {n} > 10000 THEN {raised} ELSE CAST(list_transform(range(CAST({n} AS BIGINT)), lambda _i: {value.sql}) AS {duckdb_type(kind)}) END"
            ),
        ),
        kind,
    )


@function("sequence", args=(2, 3))
def sequence(call: Call) -> Typed:
    """Give the numbers or dates from one to another, by a step; backwards if the second is less."""
    first, last = call.values[0], call.values[1]
    if first.type.is_integer and last.type.is_integer:
        return _at_most(_numbers(call, first, last))
    if first.type.name in {"date", "timestamp"} and last.type.name in {"date", "timestamp"}:
        return _at_most(_days(call, first, last))
    raise call.refuse(f"of {first.type} and {last.type} is not given here", "Use whole numbers or dates.")


def _at_most(made: Typed) -> Typed:
    """Return a sequence, or an error if it is longer than Trino makes one."""
    raised = fail("The result of sequence() must not have more than 10000 entries", made.type)
    return Typed(let([made], lambda x: f"CASE WHEN len({x}) > 10000 THEN {raised} ELSE {x} END"), made.type)


def _numbers(call: Call, first: Typed, last: Typed) -> Typed:
    raised = fail(
        "sequence stop value should be greater than or equal to start value if step is greater than zero", array(BIGINT)
    )
    a, b = (Typed(f"CAST({v.sql} AS BIGINT)", BIGINT, v.const) for v in (first, last))
    if len(call) == 2:
        return Typed(
            let([a, b], lambda x, y: f"generate_series({x}, {y}, CASE WHEN {x} > {y} THEN -1 ELSE 1 END)"),
            array(BIGINT),
        )
    step = call.integer(2)
    return Typed(
        let(
            [a, b, step],
            lambda x, y, s: (
                f"CASE WHEN {s} = 0 OR ({s} > 0 AND {x} > {y}) OR ({s} < 0 AND {x} < {y}) THEN {raised} ELSE generate_series({x}, {y}, CAST({s} AS BIGINT)) END"
            ),
        ),
        array(BIGINT),
    )


def _days(call: Call, first: Typed, last: Typed) -> Typed:
    kind = common_of([first.type, last.type], "sequence()")
    a, b = (Typed(f"CAST({coerce(v, kind).sql} AS TIMESTAMP)", kind) for v in (first, last))
    if len(call) == 2:
        if kind != DATE:
            raise call.refuse("of timestamps takes a step", "Write one, e.g. INTERVAL '1' DAY.")
        step = Typed("INTERVAL 1 DAY", INTERVAL)
        made = let(
            [a, b],
            lambda x, y: (
                f"CASE WHEN {x} > {y} THEN generate_series({x}, {y}, INTERVAL (-1) DAY) ELSE generate_series({x}, {y}, {step.sql}) END"
            ),
        )
    else:
        step = call.values[2]
        if not isinstance(step.const, tuple) or step.const[1] == 0:
            raise call.refuse("takes a constant step", "Write it as INTERVAL '1' DAY.")
        if kind == DATE and step.const[0] == "ms" and step.const[1] % 86400000:
            raise call.refuse("of dates takes whole days", "CAST them to timestamp.")
        raised = fail("sequence stop value should be greater than or equal to start value", array(kind))
        wrong = ">" if step.const[1] > 0 else "<"
        if step.const[0] == "months":
            months = step.const[1]
            span = lambda x, y: (
                f"list_filter(list_transform(range(0, abs(date_diff('month', {x}, {y})) // {abs(months)} + 2), lambda _m: {x} + to_months(CAST(_m * {months} AS INTEGER))), lambda _t: _t {'<=' if months > 0 else '>='} {y})"
            )
        else:
            span = lambda x, y: f"generate_series({x}, {y}, {step.sql})"
        made = let([a, b], lambda x, y: f"CASE WHEN {x} {wrong} {y} THEN {raised} ELSE {span(x, y)} END")
    return Typed(f"CAST({made} AS {duckdb_type(kind)}[])", array(kind))


@function("trim_array", args=2)
def trim_array(call: Call) -> Typed:
    """Give an array without so many elements at its end."""
    value, count = call.array(0), call.integer(1)
    raised = fail("size must not exceed array cardinality", value.type)
    return Typed(
        let(
            [value, count],
            lambda x, n: (
                f"CASE WHEN {x} IS NULL OR {n} IS NULL THEN NULL WHEN {n} < 0 OR {n} > len({x}) THEN {raised} WHEN {n} = len({x}) THEN {x}[2:1] ELSE {x}[1:len({x}) - {n}] END"
            ),
        ),
        value.type,
    )


@function("ngrams", args=2)
def ngrams(call: Call) -> Typed:
    """Give every run of n elements."""
    value, count = call.array(0), call.integer(1)
    kind = array(value.type)
    raised = fail("N must be positive", kind)
    return Typed(
        let(
            [value, count],
            lambda x, n: (
                f"CASE WHEN {n} <= 0 THEN {raised} WHEN {x} IS NULL OR {n} IS NULL THEN NULL WHEN {n} >= len({x}) THEN [{x}] ELSE list_transform(range(1, len({x}) - {n} + 2), lambda _g: {x}[_g:_g + {n} - 1]) END"
            ),
        ),
        kind,
    )


@function("combinations", args=2)
def combinations(call: Call) -> Typed:
    """Give every choice of n elements, n at most 5, in Trino's order: the last place moves slowest."""
    value, count = call.array(0), call.integer(1).integer
    kind = array(value.type)
    if count is None or not 0 <= count <= 5:
        raise call.refuse("takes a constant number of 0 to 5", "Write it out.")
    if count == 0:
        return Typed(let([value], lambda x: f"CASE WHEN {x} IS NULL THEN NULL ELSE [{x}[2:1]] END"), kind)

    def body(x: str) -> str:
        made = f"[{', '.join(f'{x}[_k{i}]' for i in range(1, count + 1))}]"
        for i in range(1, count + 1):
            upper = f"len({x}) + 1" if i == count else f"_k{i + 1}"
            made = f"list_transform(range(1, {upper}), lambda _k{i}: {made})"
            if i > 1:
                made = f"flatten({made})"
        return f"CASE WHEN {x} IS NULL THEN NULL ELSE {made} END"

    return Typed(let([value], body), kind)


@function("array_first", args=1)
def array_first(call: Call) -> Typed:
    """Give the first element, NULL if there is none."""
    value = call.array(0)
    return Typed(f"({value.sql})[1]", value.type.element)


@function("array_last", args=1)
def array_last(call: Call) -> Typed:
    """Give the last element, NULL if there is none."""
    value = call.array(0)
    return Typed(f"({value.sql})[-1]", value.type.element)


@function("contains_sequence", args=2)
def contains_sequence(call: Call) -> Typed:
    """Give whether an array has another as a run; NULL equals NULL here, as in Trino."""
    one, other, _ = _two(call)
    return Typed(
        let(
            [one, other],
            lambda x, y: (
                f"CASE WHEN {x} IS NULL OR {y} IS NULL THEN NULL ELSE len({y}) = 0 OR len(list_filter(range(1, len({x}) - len({y}) + 2), lambda _g: {x}[_g:_g + len({y}) - 1] = {y})) > 0 END"
            ),
        ),
        BOOLEAN,
    )


def _histogram(name: str) -> None:
    @function(name)
    def rule(call: Call) -> Typed:
        """Give a map of the values to how often each stands there, NULL apart."""
        value = call.array(0)
        element = value.type.element
        counted = BIGINT if name == "array_histogram" else INTEGER
        kind = map_of(element, counted)

        def body(x: str) -> str:
            keys = f"list_filter({x}, lambda _d, _i: _d IS NOT NULL AND list_position({x}, _d) = _i)"
            counts = f"list_transform({keys}, lambda _w: CAST(len(list_filter({x}, lambda _o: _o = _w)) AS {duckdb_type(counted)}))"
            return f"CASE WHEN {x} IS NULL THEN NULL ELSE map({keys}, {counts}) END"

        return Typed(let([value], body), kind)


_histogram("array_histogram")
_histogram("array_frequency")


# --- vectors ------------------------------------------------------------------------------------------------------


def _vector(name: str, made: str) -> None:
    @function(name, args=2)
    def rule(call: Call) -> Typed:
        """Give a measure of two vectors of one length as a double; NULL if an element is NULL."""
        if call.values[0].type.name == "map" and call.values[1].type.name == "map":
            return _sparse(call, name)
        one, other = call.array(0), call.array(1)
        if not all(v.type.element.is_number or v.type.element == UNKNOWN for v in (one, other)):
            raise call.refuse(f"takes arrays of numbers, not {one.type} and {other.type}", "CAST them.")
        kind = array(DOUBLE)
        raised = fail("The arguments must have the same length", DOUBLE)
        pairs = "list_transform(range(1, len({x}) + 1), lambda _i: {each})"

        def total(x: str, each: str) -> str:
            return f"coalesce(list_sum({pairs.format(x=x, each=each)}), 0e0)"

        def body(x: str, y: str) -> str:
            nulls = f"len(list_filter({x}, lambda _n: _n IS NULL)) + len(list_filter({y}, lambda _n: _n IS NULL)) > 0"
            dot, square = total(x, f"{x}[_i] * {y}[_i]"), total(x, f"pow({x}[_i] - {y}[_i], 2)")
            norms = f"(sqrt({total(x, f'pow({x}[_i], 2)')}) * sqrt({total(y, f'pow({y}[_i], 2)')}))"
            value = made.replace("{dot}", dot).replace("{square}", square).replace("{norms}", norms)
            zero = (
                f"WHEN {norms} = 0 THEN {fail('Vector magnitude cannot be zero', DOUBLE)} " if "{norms}" in made else ""
            )
            return f"CASE WHEN {x} IS NULL OR {y} IS NULL THEN NULL WHEN len({x}) <> len({y}) THEN {raised} WHEN {nulls} THEN NULL {zero}ELSE {value} END"

        return Typed(let([coerce(one, kind), coerce(other, kind)], body), DOUBLE)


def _sparse(call: Call, name: str) -> Typed:
    if name == "cosine_distance":
        return Typed(f"(1e0 - {cosine_similarity(call).sql})", DOUBLE)
    one, other = call.map(0), call.map(1)
    item = common_of([one.type.value, other.type.value], f"{name}()")
    if name != "dot_product" or not item.is_number:
        raise call.refuse("of maps is not given here", "Give arrays in one order.")
    kind = map_of(
        common_of([one.type.key, other.type.key], f"{name}()"),
        item if item.is_float else BIGINT if item.is_integer else DOUBLE,
    )
    null = lambda v: f"len(list_filter(map_values({v}), lambda _n: _n IS NULL)) > 0"
    total = lambda x, y: (
        f"coalesce(list_sum(list_transform(map_keys({x}), lambda _k: coalesce(map_extract_value({x}, _k) * map_extract_value({y}, _k), 0))), 0)"
    )
    return Typed(
        let(
            [coerce(one, kind), coerce(other, kind)],
            lambda x, y: (
                f"CASE WHEN {x} IS NULL OR {y} IS NULL OR {null(x)} OR {null(y)} THEN NULL ELSE CAST({total(x, y)} AS {duckdb_type(kind.value)}) END"
            ),
        ),
        kind.value,
    )


_vector("dot_product", "{dot}")
_vector("euclidean_distance", "sqrt({square})")
_vector("cosine_distance", "1e0 - {dot} / {norms}")


@function("cosine_similarity", args=2)
def cosine_similarity(call: Call) -> Typed:
    """Give the cosine of two vectors, as arrays of one order or as sparse maps."""
    if call.values[0].type.name != "map":
        from dagster_project.dialects.functions.calls import FUNCTIONS

        distance = FUNCTIONS["cosine_distance"][0](call)
        one, other = call.array(0), call.array(1)
        return Typed(
            let(
                [one, other],
                lambda x, y: (
                    f"CASE WHEN len({x}) = 0 AND len({y}) = 0 THEN CAST('nan' AS DOUBLE) ELSE 1e0 - {distance.sql} END"
                ),
            ),
            DOUBLE,
        )
    one, other = call.map(0), call.map(1)
    kind = map_of(common_of([one.type.key, other.type.key], "cosine_similarity()"), DOUBLE)

    def body(x: str, y: str) -> str:
        null = f"len(list_filter(map_values({x}), lambda _n: _n IS NULL)) + len(list_filter(map_values({y}), lambda _n: _n IS NULL)) > 0"
        dot = f"coalesce(list_sum(list_transform(map_keys({x}), lambda _k: coalesce(map_extract_value({x}, _k) * map_extract_value({y}, _k), 0e0))), 0e0)"
        norm = lambda v: f"sqrt(coalesce(list_sum(list_transform(map_values({v}), lambda _q: _q * _q)), 0e0))"
        return f"CASE WHEN {x} IS NULL OR {y} IS NULL OR {null} THEN NULL ELSE {dot} / ({norm(x)} * {norm(y)}) END"

    return Typed(let([coerce(one, kind), coerce(other, kind)], body), DOUBLE)
