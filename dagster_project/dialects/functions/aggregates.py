"""Aggregates and window functions.

DuckDB's sum of integers is wider than Trino's bigint, its avg of decimals a double, its max of doubles NaN: each is mended
by type. Approximate aggregates stand in `digests`.
Source: https://trino.io/docs/current/functions/aggregate.html, …/window.html
"""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from dagster_project.dialects import operators
from dagster_project.dialects.casts import coerce
from dagster_project.dialects.functions.arrays import bound, depth
from dagster_project.dialects.functions.calls import Aggregate, aggregate
from dagster_project.dialects.typed import Typed, fail, let, need_type
from dagster_project.dialects.types import (
    BIGINT,
    BOOLEAN,
    DOUBLE,
    REAL,
    UNKNOWN,
    VARCHAR,
    Type,
    array,
    common_of,
    decimal,
    duckdb_type,
    map_of,
)


@aggregate("count")
def count(call: Aggregate) -> Typed:
    """Count rows, or what is not NULL."""
    call.takes(0, 1)
    call.order_node = None  # no order changes a count
    if not call.nodes or isinstance(call.nodes[0], exp.Star):
        return Typed(call.make("count", "*"), BIGINT)
    value = call.values[0]
    if value.type.name == "map" and call.is_distinct:
        raise call.refuse("DISTINCT of maps is not given here", "Count their sorted entries.")
    return Typed(call.make("count", value.sql), BIGINT)


@aggregate("count_if")
def count_if(call: Aggregate) -> Typed:
    """Count the rows for which a condition holds."""
    call.takes(1, 1)
    call.order_node = None
    return Typed(call.make("count", f"CASE WHEN {call.values[0].sql} THEN true END"), BIGINT)


NARROW: Final = 37
"""From so many digits on a sum of decimals may pass DuckDB's 128 bits on its way, and still fit in the end."""
HALF: Final = "CAST('10000000000000000000' AS HUGEINT)"


def _halves(call: Aggregate, value: Typed) -> list[Typed]:
    """Return the sums of the upper and the lower 19 digits of decimals, whole: neither overflows."""
    digits = operators.unscaled(value, value.type, 0)
    kind = decimal(38, 0)
    return [Typed(call.make("sum", f"{digits} {sign} {HALF}"), kind) for sign in ("//", "%")]


def _wide_average(call: Aggregate, value: Typed) -> Typed:
    """Return the mean of decimals whose sum may have more than 38 digits, rounded half up."""
    kind = value.type
    number = Typed(f"CAST({call.make('count', value.sql)} AS HUGEINT)", decimal(38, 0))

    def body(high: str, low: str, n: str) -> str:
        rest = f"(({high} % {n}) * {HALF} + {low})"
        whole, left = f"(({high} // {n}) * {HALF} + {rest} // {n})", f"({rest} % {n})"
        half = f"2 * abs({left})"
        up = f"{left} > 0 AND ({half} > {n} OR ({half} = {n} AND {whole} >= 0))"
        down = f"{left} < 0 AND ({half} > {n} OR ({half} = {n} AND {whole} <= 0))"
        rounded = f"({whole} + CASE WHEN {up} THEN 1 WHEN {down} THEN -1 ELSE 0 END)"
        return f"CASE WHEN {n} > 0 THEN {operators.scaled_down(rounded, kind)} END"

    return Typed(let([*_halves(call, value), number], body), kind)


@aggregate("sum")
def total(call: Aggregate) -> Typed:
    """Add up: integers to bigint, decimals to 38 digits, with an error beyond."""
    call.takes(1, 1)
    call.order_node = None
    value = call.values[0]
    kind = need_type(value, "sum()")
    if kind == UNKNOWN:
        return Typed(f"CAST({call.make('sum', 'CAST(NULL AS BIGINT)')} AS BIGINT)", BIGINT)
    if kind.is_integer:
        return Typed(f"CAST({call.make('sum', value.sql)} AS BIGINT)", BIGINT)
    if kind.name == "decimal":
        whole = decimal(38, kind.args[1])
        if kind.args[0] < NARROW:
            return Typed(call.make("sum", value.sql), whole)
        made_ = let(_halves(call, value), lambda high, low: operators.scaled_down(f"({high} * {HALF} + {low})", whole))
        return Typed(made_, whole)
    if kind.is_float:
        made = call.make("sum", value.sql)
        return Typed(f"CAST({made} AS FLOAT)" if kind == REAL else made, kind)
    raise call.refuse(f"of {kind} is not given here", "CAST it to a number.")


@aggregate("avg")
def average(call: Aggregate) -> Typed:
    """Give the mean: of decimals with their digits, rounded half up; else a double."""
    call.takes(1, 1)
    call.order_node = None
    value = call.values[0]
    kind = need_type(value, "avg()")
    if kind.name == "decimal" and kind.args[0] >= NARROW:
        return _wide_average(call, value)
    if kind.name == "decimal":
        made = Typed(call.make("sum", value.sql), decimal(38, kind.args[1]))
        number = Typed(f"CAST({call.make('count', value.sql)} AS DECIMAL(19, 0))", decimal(19, 0))
        counted = Typed(f"nullif({number.sql}, 0)", number.type)
        return operators.quotient(made, counted, kind)
    if not kind.is_number and kind != UNKNOWN:
        raise call.refuse(f"of {kind} is not given here", "CAST it to a number.")
    made_ = call.make("avg", coerce(value, DOUBLE).sql)
    return Typed(f"CAST({made_} AS FLOAT)" if kind == REAL else made_, REAL if kind == REAL else DOUBLE)


def _extreme(word: str) -> None:
    @aggregate(word)
    def rule(call: Aggregate) -> Typed:
        """Give the greatest or least; NaN only if there is nothing else; with a number, so many in order."""
        call.takes(1, 2)
        call.order_node = None
        value = call.values[0]
        kind = value.type
        if kind.name in {"map", "json", "array", "row"}:
            raise call.refuse(f"of {kind} is not given here", "Take what orders it first.")
        if len(call) == 2:
            if call.integer(1).integer is None or call.over_node is not None:
                raise call.refuse("with a number is given here for a constant one and no window", "Use row_number().")
            if kind.is_float:
                way = "ASC" if word == "min" else "DESC"
                numbers = (
                    f"list_sort({call.make('list', value.sql, where=f'NOT isnan({value.sql})')}, '{way}', 'NULLS LAST')"
                )
                rest = call.make("list", value.sql, where=f"isnan({value.sql})")
                both = f"list_concat(coalesce({numbers}, []), coalesce({rest}, []))"
                some = call.make("count", value.sql)
                return Typed(
                    f"CASE WHEN {some} > 0 THEN CAST(list_slice({both}, 1, {call.integer(1).integer}) AS {duckdb_type(kind)}[]) END",
                    array(kind),
                )
            return Typed(call.make(word, value.sql, call.integer(1).sql), array(kind))
        if not kind.is_float:
            return Typed(call.make(word, value.sql), kind)
        return Typed(
            f"coalesce({call.make(word, value.sql, where=f'NOT isnan({value.sql})')}, {call.make(word, value.sql)})",
            kind,
        )


_extreme("max")
_extreme("min")


def _by(name: str, word: str) -> None:
    @aggregate(name)
    def rule(call: Aggregate) -> Typed:
        """Give the value of the row where another is greatest or least, NULL too."""
        call.takes(2, 3)
        call.no_order()
        value, by = call.values[0], call.values[1]
        if by.type.name in {"map", "json", "array"} or (
            by.type.name == "row" and not all(t.name in operators.ORDERED and not t.is_float for _, t in by.type.fields)
        ):
            raise call.refuse(f"ordered by {by.type} is not given here", "CAST it to what has an order, e.g. decimal.")
        if len(call) == 3:
            count = call.integer(2).integer
            if count is None or call.over_node is not None:
                raise call.refuse("with a number is given here for a constant one and no window", "Use row_number().")
            number = (
                "true" if not by.type.is_float else f"isnan({by.sql})" if word == "arg_min" else f"NOT isnan({by.sql})"
            )
            listed = call.make("list", f"{{z: {number}, b: {by.sql}, v: {value.sql}}}", where=f"{by.sql} IS NOT NULL")
            way = "'ASC', 'NULLS LAST'" if word == "arg_min" else "'DESC', 'NULLS LAST'"
            return Typed(
                f"list_transform(list_slice(list_sort({listed}, {way}), 1, {count}), lambda _e: _e.v)",
                array(value.type),
            )
        # DuckDB passes over a NULL value; in a row, it is kept.
        made = call.make(word, f"{{v: {value.sql}}}", by.sql)
        if by.type.is_float:
            made = f"coalesce({call.make(word, f'{{v: {value.sql}}}', by.sql, where=f'NOT isnan({by.sql})')}, {made})"
        return Typed(f"struct_extract({made}, 'v')", value.type)


_by("max_by", "arg_max")
_by("min_by", "arg_min")


@aggregate("arbitrary", "any_value")
def arbitrary(call: Aggregate) -> Typed:
    """Give any value that is not NULL."""
    call.takes(1, 1)
    return Typed(call.make("any_value", call.values[0].sql, distinct=False), call.values[0].type)


@aggregate("array_agg")
def array_agg(call: Aggregate) -> Typed:
    """Give all values, NULL too; NULL for none."""
    call.takes(1, 1)
    value = call.values[0]
    order = None
    if call.is_distinct and call.over_node is not None and call.order_node is None:
        listed = call.make("list", value.sql, distinct=False)
        return Typed(f"list_filter({listed}, lambda _d, _i: list_position({listed}, _d) = _i)", array(value.type))
    if call.is_distinct and call.order_node is None and value.type.name not in {"map", "json"}:
        order = f"ORDER BY {value.sql}"  # Trino's order is any; this one is always the same
    return Typed(call.make("list", value.sql, order=order), array(value.type))


def _boolean(name: str, word: str) -> None:
    @aggregate(name)
    def rule(call: Aggregate) -> Typed:
        """Give whether all, or any, are true."""
        call.takes(1, 1)
        call.order_node = None
        return Typed(call.make(word, call.values[0].sql), BOOLEAN)


_boolean("bool_and", "bool_and")
_boolean("every", "bool_and")
_boolean("bool_or", "bool_or")


@aggregate("listagg")
def listagg(call: Aggregate) -> Typed:
    """Give all texts joined in an order, without NULL; nothing stands between them if no separator is told."""
    call.takes(1, 2)
    value = call.text(0)
    by = "''"
    if len(call) == 2:
        by = call.text(1).sql
    if call.order_node is None:
        raise call.refuse("takes WITHIN GROUP (ORDER BY …)", "Say the order.")
    return Typed(call.make("string_agg", value.sql, by), VARCHAR)


def _entries(call: Aggregate) -> tuple[str, Type, Type]:
    """Return the rows `{k, v}` of a call of a key and a value, where the key is not NULL, and both types."""
    call.takes(2, 2)
    if call.is_distinct:
        raise call.refuse("with DISTINCT is not given here", "Select distinct rows first.")
    key, value = call.values
    made = call.make("list", f"{{k: {key.sql}, v: {value.sql}}}", where=f"{key.sql} IS NOT NULL")
    return made, key.type, value.type


@aggregate("map_agg")
def map_agg(call: Aggregate) -> Typed:
    """Give a map of keys to values; of a key that comes often, the first."""
    entries, key, value = _entries(call)
    kept = (
        f"list_filter({entries}, lambda _d, _i: list_position(list_transform({entries}, lambda _e: _e.k), _d.k) = _i)"
    )
    made = f"map(list_transform({kept}, lambda _e: _e.k), list_transform({kept}, lambda _e: _e.v))"
    return Typed(made, map_of(key, value))


@aggregate("multimap_agg")
def multimap_agg(call: Aggregate) -> Typed:
    """Give a map of keys to all their values."""
    entries, key, value = _entries(call)
    keys = f"list_distinct(list_transform({entries}, lambda _e: _e.k))"
    items = f"list_transform({keys}, lambda _y: list_transform(list_filter({entries}, lambda _e: _e.k = _y), lambda _e: _e.v))"
    return Typed(f"map({keys}, {items})", map_of(key, array(value)))


@aggregate("histogram")
def histogram(call: Aggregate) -> Typed:
    """Give a map of values to how often each comes."""
    call.takes(1, 1)
    value = call.values[0]
    kind = map_of(value.type, BIGINT)
    if value.type.is_float:  # DuckDB's puts all beside a NaN into it
        listed = call.make("list", value.sql, where=f"{value.sql} IS NOT NULL")
        keys = f"list_filter({listed}, lambda _d, _i: list_position({listed}, _d) = _i)"
        counts = f"list_transform({keys}, lambda _y: len(list_filter({listed}, lambda _e: _e = _y)))"
        return Typed(f"CAST(map({keys}, {counts}) AS {duckdb_type(kind)})", kind)
    return Typed(f"CAST({call.make('histogram', value.sql)} AS {duckdb_type(kind)})", kind)


@aggregate("map_union")
def map_union(call: Aggregate) -> Typed:
    """Give the entries of all maps; of a key that comes often, the first."""
    call.takes(1, 1)
    value = call.values[0]
    if value.type.name != "map":
        raise call.refuse(f"takes maps, not {value.type}", "CAST it.")
    entries = f"flatten(list_transform({call.make('list', value.sql, where=f'{value.sql} IS NOT NULL')}, lambda _m: map_entries(_m)))"
    kept = f"list_filter({entries}, lambda _d, _i: list_position(list_transform({entries}, lambda _e: _e.key), _d.key) = _i)"
    return Typed(f"map_from_entries({kept})", value.type)


@aggregate("reduce_agg")
def reduce_agg(call: Aggregate) -> Typed:
    """Fold all values that are not NULL, one by one."""
    call.takes(4, 4)
    value, start = call.value(0), call.value(1)
    if call.nodes[1].find(exp.Column):
        raise call.refuse("takes a first state that no row changes", "Write a constant.")
    if not common_of([start.type, value.type], "reduce_agg()").is_known:
        raise call.refuse("takes a state of a known type", "CAST it.")
    at = depth(call)
    acc, cur = f"_a{at}", f"_c{at}"
    state = (
        start.type
        if not start.type.is_integer
        else common_of([start.type, bound(call, 2, [start, value]).type], "reduce_agg()")
    )
    held = duckdb_type(state)
    step = bound(call, 2, [Typed(f"{acc}.s", state), Typed(f"{cur}.e", value.type)])
    listed = Aggregate(call.name, call.nodes[:1], call.scope, call.queries, over=call.over_node, where=call.where).make(
        "list", value.sql, where=f"{value.sql} IS NOT NULL"
    )
    none = f"CAST(NULL AS {duckdb_type(value.type)})"
    items = f"list_transform({listed}, lambda _e: {{s: CAST(NULL AS {held}), e: _e}})"
    return Typed(
        f"list_reduce({items}, lambda {acc}, {cur}: {{s: CAST({step.sql} AS {held}), e: {none}}}, {{s: CAST({start.sql} AS {held}), e: {none}}}).s",
        state,
    )


def _of_finite(call: Aggregate, word: str, takes: int = 1, least: int = 1) -> str:
    """Return a statistic that is NaN, for `least` rows or more, if one value is NaN or infinite: DuckDB's raises."""
    values = [call.double(i).sql for i in range(takes)]
    if not any(call.values[i].type.is_float for i in range(takes)):
        return call.make(word, *values)
    finite = " AND ".join(f"isfinite({v})" for v in values)
    known = " AND ".join(f"{v} IS NOT NULL" for v in values)
    odd = call.make("count", "*", where=f"{known} AND NOT ({finite})", distinct=False)
    enough = f"{call.make('count', '*', where=known, distinct=False)} >= {least}"
    return f"CASE WHEN {odd} > 0 THEN CASE WHEN {enough} THEN CAST('nan' AS DOUBLE) END ELSE {call.make(word, *values, where=finite)} END"


def _statistic(name: str, word: str, takes: int = 1, least: int = 1) -> None:
    @aggregate(name)
    def rule(call: Aggregate) -> Typed:
        """Give a statistic of doubles."""
        call.takes(takes, takes)
        call.order_node = None
        kind = REAL if all(call.values[i].type == REAL for i in range(takes)) and takes == 2 else DOUBLE
        made = _of_finite(call, word, takes, least)
        if name in {"corr", "regr_slope", "regr_intercept"}:  # of a line without a slope there is none
            made = let([Typed(made, DOUBLE)], lambda x: f"CASE WHEN isfinite({x}) THEN {x} END")
        return Typed(f"CAST({made} AS FLOAT)" if kind == REAL else made, kind)


for _name, _word in {
    "stddev": "stddev_samp", "stddev_samp": "stddev_samp", "stddev_pop": "stddev_pop", "variance": "var_samp",
    "var_samp": "var_samp", "var_pop": "var_pop",
}.items():  # fmt: skip
    _statistic(_name, _word, 1, 1 if _word.endswith("pop") else 2)
for _name in (
    "corr",
    "covar_pop",
    "covar_samp",
    "regr_slope",
    "regr_intercept",
    "regr_avgx",
    "regr_avgy",
    "regr_r2",
    "regr_sxx",
    "regr_sxy",
    "regr_syy",
):
    _statistic(_name, _name, 2, 2 if _name == "covar_samp" else 1)


@aggregate("kurtosis")
def kurtosis(call: Aggregate) -> Typed:
    """Give the excess kurtosis, estimated without bias; NULL for less than four."""
    call.takes(1, 1)
    call.order_node = None
    return Typed(_of_finite(call, "kurtosis", 1, 4), DOUBLE)


@aggregate("geometric_mean")
def geometric_mean(call: Aggregate) -> Typed:
    """Give the root of the product: NaN if a value is negative, 0 if one is 0, where DuckDB's raises."""
    call.takes(1, 1)
    call.order_node = None
    x = call.double(0).sql
    some = lambda test: f"{call.make('count', '*', where=f'{x} {test}', distinct=False)} > 0"
    made = f"CASE WHEN {some('< 0')} THEN CAST('nan' AS DOUBLE) WHEN {some('= 0')} THEN 0e0 ELSE exp({call.make('avg', f'ln(CASE WHEN {x} > 0 THEN {x} END)')}) END"
    return Typed(
        f"CAST({made} AS FLOAT)" if call.values[0].type == REAL else made,
        call.values[0].type if call.values[0].type == REAL else DOUBLE,
    )


@aggregate("skewness")
def skewness(call: Aggregate) -> Typed:
    """Give Fisher's skewness of the population; DuckDB's is corrected for a sample."""
    call.takes(1, 1)
    call.order_node = None
    number = call.make("count", call.double(0).sql)
    return Typed(f"({_of_finite(call, 'skewness', 1, 3)} * ({number} - 2) / sqrt({number} * ({number} - 1)))", DOUBLE)


def _bits(name: str, word: str) -> None:
    @aggregate(name)
    def rule(call: Aggregate) -> Typed:
        """Combine the bits of whole numbers."""
        call.takes(1, 1)
        call.order_node = None
        return Typed(call.make(word, f"CAST({call.integer(0).sql} AS BIGINT)"), BIGINT)


for _name, _word in {"bitwise_and_agg": "bit_and", "bitwise_or_agg": "bit_or", "bitwise_xor_agg": "bit_xor"}.items():
    _bits(_name, _word)


@aggregate("grouping")
def grouping(call: Aggregate) -> Typed:
    """Give which columns a grouping set leaves out, as bits."""
    kind = Type("integer") if len(call) <= 31 else BIGINT
    return Typed(f"CAST(grouping({', '.join(v.sql for v in call.values)}) AS {duckdb_type(kind)})", kind)


# --- windows ------------------------------------------------------------------------------------------------------


def _ranking(name: str, kind: Type) -> None:
    @aggregate(name)
    def rule(call: Aggregate) -> Typed:
        """Give the place of a row in its window."""
        call.takes(0, 0)
        _need_over(call)
        return Typed(call.make(name), kind)


def _need_over(call: Aggregate) -> None:
    if call.over_node is None:
        raise call.refuse("stands over a window", "Write OVER (…).")
    if call.is_distinct or call.order_node is not None or call.where is not None:
        raise call.refuse("takes no DISTINCT, ORDER BY or FILTER", "Leave it out.")


for _name in ("row_number", "rank", "dense_rank"):
    _ranking(_name, BIGINT)
for _name in ("percent_rank", "cume_dist"):
    _ranking(_name, DOUBLE)


@aggregate("ntile")
def ntile(call: Aggregate) -> Typed:
    """Give in which of n parts of a window a row lies."""
    call.takes(1, 1)
    _need_over(call)
    return Typed(call.make("ntile", call.integer(0).sql), BIGINT)


def _offset(name: str) -> None:
    @aggregate(name)
    def rule(call: Aggregate) -> Typed:
        """Give the value so many rows before or after, or a default."""
        call.takes(1, 3)
        _need_over(call)
        value = call.values[0]
        by = call.integer(1) if len(call) > 1 else None
        if by is not None and by.integer is None:
            raise call.refuse("takes a constant number of rows here", "Write it out.")
        if by is not None and (by.integer or 0) < 0:
            raise call.refuse("takes a number that is not negative", "Use the other of lag and lead.")
        kind = common_of([value.type, call.values[2].type], f"{name}()") if len(call) == 3 else value.type
        rest = [by.sql] if by is not None else []
        rest += [coerce(call.values[2], kind).sql] if len(call) == 3 else []
        return Typed(call.make(name, coerce(value, kind).sql, *rest), kind)


_offset("lag")
_offset("lead")


def _placed(name: str, takes: int) -> None:
    @aggregate(name)
    def rule(call: Aggregate) -> Typed:
        """Give the value of a row of the frame."""
        call.takes(takes, takes)
        _need_over(call)
        values = [v.sql for v in call.values]
        if takes == 2 and (call.integer(1).integer or 0) < 1:
            odd = fail("nth_value() takes an offset of at least 1", BIGINT)
            values[1] = let([call.integer(1)], lambda n: f"CASE WHEN {n} < 1 THEN {odd} ELSE {n} END")
        return Typed(call.make(name, *values), call.values[0].type)


_placed("first_value", 1)
_placed("last_value", 1)
_placed("nth_value", 2)
