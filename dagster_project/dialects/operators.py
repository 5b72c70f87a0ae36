"""Arithmetic and comparison, by the types of both sides.

What belongs here: the operators of the SQL itself. What does not: functions, even those that do the same (`functions`).
Sources: https://trino.io/docs/current/functions/{math,decimal,comparison,datetime}.html
"""

from __future__ import annotations

import ipaddress
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Final

from dagster_project.dialects import moments
from dagster_project.dialects.casts import coerce, local
from dagster_project.dialects.moments import Moment
from dagster_project.dialects.typed import Typed, fail, let, moment, need_type, string, truth
from dagster_project.dialects.types import (
    ANY,
    BIGINT,
    BOOLEAN,
    DOUBLE,
    INTERVAL,
    MONTHS,
    UNKNOWN,
    VARBINARY,
    Type,
    array,
    as_decimal,
    common,
    common_of,
    decimal,
    duckdb_type,
    field_names,
    timestamp,
)
from dagster_project.errors import Unsupported

ORDERED: Final = {
    "tinyint", "smallint", "integer", "bigint", "decimal", "real", "double", "varchar", "char", "boolean", "date", "time",
    "timestamp", "timestamptz", "varbinary", "interval day to second", "interval year to month", "uuid",
}  # fmt: skip


def arithmetic(sign: str, left: Typed, right: Typed) -> Typed:
    """Return `left sign right` for `+ - * / %`."""
    one, other = left.type, right.type
    if left.is_null or right.is_null:
        return Typed("NULL", other if left.is_null else one)
    if not {one.name, other.name}.isdisjoint(
        {"date", "time", "timetz", "timestamp", "timestamptz", INTERVAL.name, MONTHS.name}
    ):
        return _with_time(sign, left, right)
    need_type(left, f"The operator {sign}")
    need_type(right, f"The operator {sign}")
    if one == UNKNOWN or other == UNKNOWN:
        kind = other if one == UNKNOWN else one
        return Typed(f"({left.sql} {sign} {right.sql})", kind)
    if not one.is_number or not other.is_number:
        raise Unsupported(f"Athena has no {one} {sign} {other}. CAST one of them.")
    if one.is_float or other.is_float:
        return _floating(sign, left, right)
    if one.is_integer and other.is_integer:
        return _whole(sign, left, right)
    return _exact(sign, left, right)


def _as(value: Typed, kind: Type) -> str:
    return value.sql if value.type == kind else f"CAST({value.sql} AS {duckdb_type(kind)})"


def _floating(sign: str, left: Typed, right: Typed) -> Typed:
    kind = common_of([left.type, right.type], sign)
    a, b = _as(left, kind), _as(right, kind)
    if sign == "/":
        if right.const is not None and right.const != 0:
            return Typed(f"({a} / {b})", kind)
        # DuckDB gives NULL for a division by zero; Trino infinity or NaN.
        return Typed(
            let(
                [Typed(a, kind), Typed(b, kind)],
                lambda x, y: (
                    f"CASE WHEN {y} <> 0 OR isnan({x}) THEN {x} / {y} WHEN {x} = 0 AND {y} = 0 THEN CAST('nan' AS {duckdb_type(kind)}) "
                    f"WHEN {y} = 0 THEN CASE WHEN ({x} < 0) <> signbit({y}) THEN CAST('-infinity' AS {duckdb_type(kind)}) WHEN {x} IS NOT NULL THEN CAST('infinity' AS {duckdb_type(kind)}) END END"
                ),
            ),
            kind,
        )
    if sign == "%":
        return Typed(
            let(
                [Typed(a, kind), Typed(b, kind)],
                lambda x, y: (
                    f"CASE WHEN {y} = 0 AND {x} IS NOT NULL THEN CAST('nan' AS {duckdb_type(kind)}) ELSE {x} % {y} END"
                ),
            ),
            kind,
        )
    return Typed(f"({a} {sign} {b})", kind)


def _whole(sign: str, left: Typed, right: Typed) -> Typed:
    kind = common_of([left.type, right.type], sign)
    mixed = left.type != right.type or kind.name in {"tinyint", "smallint"}
    a, b = (_as(left, kind), _as(right, kind)) if mixed else (left.sql, right.sql)
    if kind == BIGINT:
        a = a if left.type == kind and left.integer is None else f"CAST({left.sql} AS BIGINT)"
    if sign not in "/%":
        return Typed(f"({a} {sign} {b})", kind)
    symbol = "//" if sign == "/" else "%"
    if right.integer:
        return Typed(f"({a} {symbol} {b})", kind)
    return Typed(
        let(
            [Typed(b, kind)],
            lambda y: f"CASE WHEN {y} = 0 THEN {fail('Division by zero', kind)} ELSE {a} {symbol} {y} END",
        ),
        kind,
    )


def _exact(sign: str, left: Typed, right: Typed) -> Typed:
    one, other = as_decimal(left.type), as_decimal(right.type)
    (p1, s1), (p2, s2) = one.args, other.args
    kind = exact_type(sign, one, other)
    if isinstance(left.const, (int, Decimal)) and isinstance(right.const, (int, Decimal)) and right.const != 0:
        return _folded(sign, Decimal(left.const), Decimal(right.const), kind)
    if sign in "+-":
        return Typed(f"({_as(left, _wide(one, kind))} {sign} {_as(right, _wide(other, kind))})", kind)
    if sign == "*":
        return Typed(f"({_as(left, one)} * {_as(right, other)})", kind)
    if sign == "/":
        return quotient(left, right, kind)
    scale = max(s1, s2)
    wide = decimal(min(38, max(p1 - s1, p2 - s2) + scale), scale)
    return Typed(
        let(
            [Typed(_as(left, wide), wide), Typed(_as(right, wide), wide)],
            lambda x, y: (
                f"CASE WHEN {y} = 0 THEN {fail('Division by zero', kind)} ELSE CAST({x} % {y} AS {duckdb_type(kind)}) END"
            ),
        ),
        kind,
    )


def exact_type(sign: str, one: Type, other: Type) -> Type:
    """Return the type of a sum, product, quotient or remainder of decimals, as Trino has it."""
    (p1, s1), (p2, s2) = one.args, other.args
    scale = max(s1, s2)
    if sign in "+-":
        return decimal(min(38, max(p1 - s1, p2 - s2) + scale + 1), scale)
    if sign == "*":
        if s1 + s2 > 38:
            raise Unsupported(f"{one} * {other} has more than 38 digits after the point. CAST one of them to fewer.")
        return decimal(min(38, p1 + p2), s1 + s2)
    if sign == "%":
        return decimal(max(min(p2 - s2, p1 - s1) + scale, 1), scale)
    scale = max(6, s1 + p2 + 1)
    whole = p1 - s1 + s2
    if whole + scale <= 38:
        return decimal(whole + scale, scale)
    return decimal(38, max(38 - whole, min(scale, 6)))


def _folded(sign: str, a: Decimal, b: Decimal, kind: Type) -> Typed:
    """Return what two constants give, in more digits than any machine type has on the way."""
    with localcontext() as context:
        context.prec = 200
        if sign == "%":
            value = a - b * (abs(a) // abs(b)) * (1 if (a < 0) == (b < 0) else -1)
        else:
            value = {"+": a + b, "-": a - b, "*": a * b, "/": a / b}[sign]
        value = value.quantize(Decimal(1).scaleb(-kind.args[1]), rounding=ROUND_HALF_UP)
    if len(value.as_tuple().digits) > kind.args[0]:
        if abs(int(value.scaleb(kind.args[1], context))) < 2**127:
            raise Unsupported(f"{a} {sign} {b} has more than 38 digits, which DuckDB does not keep. CAST one of them.")
        return Typed(fail("Decimal overflow", kind), kind)
    return Typed(f"CAST({string(format(value, 'f'))} AS {duckdb_type(kind)})", kind, value)


def _wide(of: Type, result: Type) -> Type:
    if of.args[1] == result.args[1] and (of.args[0] > 18) == (result.args[0] > 18):
        return of
    return decimal(result.args[0], result.args[1])


def quotient(left: Typed, right: Typed, kind: Type) -> Typed:
    """Return a quotient of decimals in the scale of `kind`, rounded half up, by whole numbers of 128 bits."""
    one, other = as_decimal(left.type), as_decimal(right.type)
    up = kind.args[1] + other.args[1] - one.args[1]
    a, b = Typed(unscaled(left, one, 0), kind), Typed(unscaled(right, other, max(-up, 0)), kind)
    step = f"CAST('1{'0' * max(up, 0)}' AS HUGEINT)"

    def body(x: str, y: str) -> str:
        # The whole part first: 128 bits hold 38 digits, and no more of them for the digits after the point.
        rest = f"(abs({x}) % abs({y}) * {step})" if up > 0 else f"(abs({x}) % abs({y}))"
        whole = f"(abs({x}) // abs({y}) * {step} + {rest} // abs({y}))" if up > 0 else f"(abs({x}) // abs({y}))"
        after = f"({rest} % abs({y}))" if up > 0 else rest
        sign = f"(CASE WHEN ({x} < 0) <> ({y} < 0) THEN -1 ELSE 1 END)"
        rounded = f"({sign} * ({whole} + CASE WHEN {after} >= abs({y}) - {after} THEN 1 ELSE 0 END))"
        return f"CASE WHEN {y} = 0 THEN {fail('Division by zero', kind)} WHEN {x} IS NOT NULL AND {y} IS NOT NULL THEN {scaled_down(rounded, kind)} END"

    return Typed(let([a, b], body), kind)


def scaled_down(whole: str, kind: Type) -> str:
    """Return a decimal of the whole number that its digits are without a point."""
    scale = kind.args[1]
    if not scale:
        return f"CAST({whole} AS {duckdb_type(kind)})"
    # The point goes into the digits: a cast of 123e-2 counts the digits before it moves the point.
    digits = f"lpad(CAST(abs({whole}) AS VARCHAR), CAST(greatest(length(CAST(abs({whole}) AS VARCHAR)), {scale + 1}) AS INTEGER), '0')"
    return f"CAST(CASE WHEN {whole} < 0 THEN '-' ELSE '' END || left({digits}, -{scale}) || '.' || right({digits}, {scale}) AS {duckdb_type(kind)})"


def unscaled(value: Typed, kind: Type, up: int) -> str:
    """Return the digits of a decimal without a point, and so many zeros behind them, as a whole number."""
    digits = f"replace(CAST(CAST({value.sql} AS {duckdb_type(kind)}) AS VARCHAR), '.', '')"
    made = f"CAST({value.sql} AS HUGEINT)" if value.type.is_integer else f"CAST({digits} AS HUGEINT)"
    return f"({made} * CAST('1{'0' * up}' AS HUGEINT))" if up else made


# --- dates and times ----------------------------------------------------------------------------------------------


def _with_time(sign: str, left: Typed, right: Typed) -> Typed:
    one, other = left.type, right.type
    spans = {INTERVAL.name, MONTHS.name}
    if sign == "+" and one.name in spans and other.name not in spans:
        left, right, one, other = right, left, other, one
    if one.name in spans and other.name in spans and sign in "+-" and one == other:
        return Typed(f"({left.sql} {sign} {right.sql})", one)
    if sign == "*" and other.name in spans:
        left, right, one, other = right, left, other, one
    if one.name in spans and other.is_number and sign in "*/":
        return _scaled(sign, left, right)
    if other.name in spans and sign in "+-":
        return _moved(sign, left, right)
    if sign == "-" and one.name == other.name == "date":
        return Typed(f"to_days(CAST({left.sql} - {right.sql} AS INTEGER))", INTERVAL)
    if sign == "-" and isinstance(left.const, Moment) and isinstance(right.const, Moment) and one.name == other.name:
        return _span((left.const.instant - right.const.instant + 5 * 10**8) // 10**9)
    if (
        sign == "-"
        and one.name in {"date", "timestamp", "timestamptz"}
        and other.name in {"date", "timestamp", "timestamptz"}
    ):
        kind = common_of([one, other], "-")
        a, b = coerce(left, kind).sql, coerce(right, kind).sql
        return Typed(f"to_milliseconds(CAST(floor((epoch_us({a}) - epoch_us({b}) + 500) / 1000) AS BIGINT))", INTERVAL)
    if sign == "-" and one.name == other.name == "time":
        at = lambda x: f"epoch_us(DATE '1970-01-01' + {x.sql})"
        return Typed(f"to_milliseconds(CAST(floor(({at(left)} - {at(right)} + 500) / 1000) AS BIGINT))", INTERVAL)
    raise Unsupported(f"Athena has no {one} {sign} {other}, or it is not known here. Use date_diff or date_add.")


def _span(milliseconds: int) -> Typed:
    return Typed(f"to_milliseconds({milliseconds})", INTERVAL, ("ms", milliseconds))


def _scaled(sign: str, span: Typed, by: Typed) -> Typed:
    if sign == "/" and by.const == 0:
        return Typed(fail("Division by zero", span.type), span.type)
    if sign == "/" and by.const is None:
        raised = fail("Division by zero", by.type)
        by = Typed(let([by], lambda y: f"CASE WHEN {y} = 0 THEN {raised} ELSE {y} END"), by.type)
    divisor = by.sql if by.type.name == "double" else f"CAST({by.sql} AS DOUBLE)"
    if span.type == MONTHS:
        whole = let([span], lambda x: f"(datepart('year', {x}) * 12 + datepart('month', {x}))")
        if not by.type.is_integer:
            return Typed(f"to_months(CAST(trunc({whole} {sign} {divisor}) AS INTEGER))", MONTHS)
        return Typed(f"to_months(CAST({whole} {'*' if sign == '*' else '//'} {by.sql} AS INTEGER))", MONTHS)
    if by.type.is_integer and sign == "*":
        return Typed(f"to_milliseconds(CAST(epoch_ms({span.sql}) * {by.sql} AS BIGINT))", INTERVAL)
    return Typed(f"to_milliseconds(CAST(trunc(epoch_ms({span.sql}) {sign} {divisor}) AS BIGINT))", INTERVAL)


def _moved(sign: str, at: Typed, span: Typed) -> Typed:
    kind = at.type
    if isinstance(at.const, Moment) and isinstance(span.const, tuple):
        unit, amount = span.const
        amount = amount if sign == "+" else -amount
        if kind.name == "date" and unit == "ms" and amount % 86400000:
            raise Unsupported("Athena adds whole days to a date only. CAST the date to timestamp.")
        if unit == "months" and kind.name in {"time", "timetz"}:
            raise Unsupported(f"Athena adds no months to {kind}. Leave the addition out.")
        done = moments.plus(at.const, amount * 10**9 if unit == "ms" else 0, amount if unit == "months" else 0)
        digits = at.const.digits
        if unit == "ms" and amount % 1000 and kind.name != "date":
            digits = max(3, digits)
        return moment(Moment(done.kind, digits, done.days, done.picos, done.zone))
    if kind.name == "date":
        if span.type == INTERVAL:
            whole = isinstance(span.const, tuple) and span.const[1] % 86400000 == 0
            if not whole:
                raise Unsupported("Athena adds whole days to a date only. CAST the date to timestamp.")
        return Typed(f"CAST({at.sql} {sign} {span.sql} AS DATE)", kind)
    if kind.name == "timestamp":
        return Typed(
            f"({at.sql} {sign} {span.sql})", timestamp(max(3, kind.args[0])) if span.type == INTERVAL else kind
        )
    if kind.name == "time" and span.type == INTERVAL:
        return Typed(f"({at.sql} {sign} {span.sql})", Type("time", (max(3, kind.args[0]),)))
    if kind.name == "timestamptz":
        if span.type == INTERVAL:
            return Typed(
                f"timezone('UTC', timezone('UTC', {at.sql}) {sign} to_milliseconds(epoch_ms({span.sql})))",
                kind,
            )
        from dagster_project.dialects.casts import from_zone

        return Typed(from_zone(f"({local(at, 'An interval of months').sql} {sign} {span.sql})", kind.args[1]), kind)
    raise Unsupported(f"Athena has no {kind} {sign} {span.type}. CAST the value to timestamp.")


# --- comparison ---------------------------------------------------------------------------------------------------


def compare(sign: str, left: Typed, right: Typed) -> Typed:
    """Return `left sign right` for `= <> < <= > >=`."""
    if (
        left.is_null
        or right.is_null
        or (UNKNOWN in {left.type, right.type} and "any" not in {left.type.name, right.type.name})
    ):
        # Which side is NULL is known; the other is still computed by nobody: neither side raises in Trino.
        return (
            Typed("CAST(NULL AS BOOLEAN)", BOOLEAN)
            if left.is_null or right.is_null
            else Typed(f"({left.sql} {sign} {right.sql})", BOOLEAN)
        )
    if isinstance(left.const, Moment) and isinstance(right.const, Moment):
        return _compare_moments(sign, left.const, right.const)
    kind = common(left.type, right.type)
    if kind is None:
        raise Unsupported(f"Athena does not compare {left.type} and {right.type}. CAST one of them.")
    if kind == ANY:
        need_type(left, f"The operator {sign}")
        need_type(right, f"The operator {sign}")
    if kind.name in {"varchar", "char"}:
        return Typed(f"({coerce(left, kind).sql} {sign} {coerce(right, kind).sql})", BOOLEAN)
    if kind.name == "decimal" and (wide := _beyond(sign, left, right, kind)) is not None:
        return wide
    a, b = coerce(left, kind), coerce(right, kind)
    if kind.name in {"array", "map", "row", "json"}:
        if kind.name != "json" and sign not in {"=", "<>"}:
            return _lexicographic(sign, a, b)
        same = equal(a, b)
        return same if sign == "=" else Typed(f"(NOT {same.sql})", BOOLEAN)
    if kind.name in {"ipaddress", "ipprefix"} and sign in {"=", "<>"}:
        return Typed(f"({a.sql} {sign} {b.sql})", BOOLEAN)
    if kind.name == "ipaddress" and isinstance(a.const, str) and isinstance(b.const, str):
        return truth(value=_ip_order(a.const, b.const, sign))
    if kind.name not in ORDERED:
        raise Unsupported(f"Comparing {kind} is not given here. Compare its parts.")
    return Typed(_scalar(sign, a, b, kind), BOOLEAN)


def _beyond(sign: str, left: Typed, right: Typed, kind: Type) -> Typed | None:
    """Return a comparison of decimals whose common type has no room for the digits of one; None if it has.

    What does not fit is beyond all that does, so its sign decides.
    """
    room = kind.args[0] - kind.args[1]
    wide = [v.type.name == "decimal" and v.type.args[0] - v.type.args[1] > room for v in (left, right)]
    if not any(wide):
        return None
    target = duckdb_type(kind)

    def body(x: str, y: str) -> str:
        made = f"CAST({x} AS {target}) {sign} CAST({y} AS {target})"
        tests = []
        for of, other, is_wide, least in ((x, y, wide[0], f"0 {sign} 1"), (y, x, wide[1], f"1 {sign} 0")):
            if is_wide:
                most = f"1 {sign} 0" if least == f"0 {sign} 1" else f"0 {sign} 1"
                tests.append(
                    f"WHEN {of} IS NOT NULL AND {other} IS NOT NULL AND TRY_CAST({of} AS {target}) IS NULL THEN CASE WHEN {of} < 0 THEN {least} ELSE {most} END"
                )
        return f"(CASE {' '.join(tests)} ELSE {made} END)"

    return Typed(let([left, right], body), BOOLEAN)


def _ip_order(one: str, other: str, sign: str) -> bool:
    def number(written: str) -> int:
        found = ipaddress.ip_address(written)
        return int(found) + (0xFFFF << 32 if found.version == 4 else 0)

    a, b = number(one), number(other)
    return {"<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[sign]


def _compare_moments(sign: str, left: Moment, right: Moment) -> Typed:
    if left.kind != right.kind and {left.kind, right.kind} & {"time", "timetz"}:
        raise Unsupported(f"Athena does not compare {left.kind} and {right.kind}. CAST one of them.")
    if left.kind == "timetz" or {left.kind, right.kind} & {"timestamptz"}:
        a, b = left.instant, right.instant
        if left.kind == "timetz":
            a, b = a % moments.DAY, b % moments.DAY
    else:
        a, b = left.local, right.local
    value = {"=": a == b, "<>": a != b, "<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[sign]
    return truth(value=value)


def _scalar(sign: str, a: Typed, b: Typed, kind: Type) -> str:
    plain = f"({a.sql} {sign} {b.sql})"
    if not kind.is_float:
        return plain
    # NaN equals nothing and stands in no order; for DuckDB it equals itself and is the largest.
    doubtful = {"=": (a,), "<>": (a,), "<": (b,), "<=": (b,), ">": (a,), ">=": (a,)}[sign]
    if sign in {"=", "<>"} and a.const is None and b.const is not None:
        return plain
    if all(value.const is not None for value in doubtful):
        return plain
    if sign == "<>":
        return let([a, b], lambda x, y: f"({x} <> {y} OR (isnan({x}) AND {y} IS NOT NULL))")
    if sign in {"=", ">", ">="}:
        return let([a, b], lambda x, y: f"({x} {sign} {y} AND NOT isnan({x}))")
    return let([a, b], lambda x, y: f"({x} {sign} {y} AND NOT isnan({y}))")


def equal(a: Typed, b: Typed) -> Typed:
    """Return `a = b` of one type: false if parts differ, else NULL if a part is NULL, else true."""
    return Typed(let([a, b], lambda x, y: _equal(x, y, a.type)), BOOLEAN)


def _equal(x: str, y: str, kind: Type) -> str:
    if kind.name == "array":
        inner = (
            _equal("_p[1]", "_p[2]", kind.element)
            if kind.element.name not in {"array", "map", "row"}
            else _renamed(kind.element)
        )
        return _all_of(
            f"list_transform(list_zip({x}, {y}), lambda _p: {inner})",
            f"len({x}) <> len({y})",
            f"{x} IS NULL OR {y} IS NULL",
        )
    if kind.name == "row":
        names = field_names(kind)
        parts = [
            _equal(f"struct_extract({x}, {string(n)})", f"struct_extract({y}, {string(n)})", t)
            for n, (_, t) in zip(names, kind.fields, strict=True)
        ]
        return f"CASE WHEN {x} IS NULL OR {y} IS NULL THEN NULL ELSE ({' AND '.join(parts)}) END"
    if kind.name == "map":
        if kind.key.name in {"map", "row"}:
            raise Unsupported(f"Comparing {kind} is not given here. Compare its entries.")
        inner = _equal(f"map_extract_value({x}, _k)", f"map_extract_value({y}, _k)", kind.value)
        if kind.value.name in {"array", "map", "row"}:
            inner = _equal(f"map_extract_value({x}, _k)", f"map_extract_value({y}, _k)", kind.value).replace("_k", "_m")
            inner = inner.replace("_m", "_k")
        keys = f"len(list_intersect(map_keys({x}), map_keys({y}))) <> cardinality({x}) OR cardinality({x}) <> cardinality({y})"
        return _all_of(f"list_transform(map_keys({x}), lambda _k: {inner})", keys, f"{x} IS NULL OR {y} IS NULL")
    if kind.name == "json":
        if kind.args != (True,):
            raise Unsupported(
                "JSON is compared by its canonical text, which is known of constants only. Compare json_extract_scalar of it."
            )
        return f"(CAST({x} AS VARCHAR) = CAST({y} AS VARCHAR))"
    if kind.is_float:
        return f"({x} = {y} AND NOT isnan({x}))"
    if kind.name == "unknown":
        return "CAST(NULL AS BOOLEAN)"
    return f"({x} = {y})"


def _renamed(kind: Type) -> str:
    """Return equality of the halves of `_p`, whose own lambdas need names of their own."""
    if kind.name != "array":
        return _equal("_p[1]", "_p[2]", kind)
    inner = _equal("_q[1]", "_q[2]", kind.element)
    if "lambda" in inner:
        raise Unsupported("Comparing arrays nested more than twice is not given here. Compare their elements.")
    return _all_of(
        f"list_transform(list_zip(_p[1], _p[2]), lambda _q: {inner})",
        "len(_p[1]) <> len(_p[2])",
        "_p[1] IS NULL OR _p[2] IS NULL",
    )


def _all_of(answers: str, differ: str, null: str) -> str:
    return (
        f"CASE WHEN {null} THEN NULL WHEN {differ} THEN false WHEN list_contains({answers}, false) THEN false "
        f"WHEN len(list_filter({answers}, lambda _n: _n IS NULL)) > 0 THEN NULL ELSE true END"
    )


def _lexicographic(sign: str, a: Typed, b: Typed) -> Typed:
    """Return `<` and its like of arrays and rows without NULL inside; one with it raises, as in Trino."""
    kind = a.type
    if kind.name == "map":
        raise Unsupported("Athena does not order maps. Compare their entries.")
    leaf = kind.element if kind.name == "array" else None
    parts = [leaf] if leaf else [t for _, t in kind.fields]
    if any(
        part.is_float or part.name in {"map", "json", "row", "array"} or part.name not in {*ORDERED, "unknown"}
        for part in parts
    ):
        raise Unsupported(f"Ordering {kind} is not given here. Compare its elements one by one.")
    if leaf is not None:
        nulls = lambda x: f"len(list_filter({x}, lambda _n: _n IS NULL)) > 0"
        raised = fail("ARRAY comparison not supported for arrays with null elements", BOOLEAN)
        return Typed(
            let([a, b], lambda x, y: f"CASE WHEN {nulls(x)} OR {nulls(y)} THEN {raised} ELSE {x} {sign} {y} END"),
            BOOLEAN,
        )
    names = field_names(kind)
    strict = sign[0]

    def body(x: str, y: str) -> str:
        get = lambda v, n: f"struct_extract({v}, {string(n)})"
        made = "true" if "=" in sign else "false"
        for name in reversed(names):
            one, other = get(x, name), get(y, name)
            made = f"CASE WHEN {one} IS NULL OR {other} IS NULL THEN NULL WHEN {one} = {other} THEN {made} ELSE {one} {strict} {other} END"
        return f"CASE WHEN {x} IS NULL OR {y} IS NULL THEN NULL ELSE {made} END"

    return Typed(let([a, b], body), BOOLEAN)


def distinct(left: Typed, right: Typed, *, negated: bool) -> Typed:
    """Return `left IS [NOT] DISTINCT FROM right`; `negated` for NOT."""
    words = "IS NOT DISTINCT FROM" if negated else "IS DISTINCT FROM"
    if isinstance(left.const, Moment) and isinstance(right.const, Moment):
        same = bool(_compare_moments("=", left.const, right.const).const)
        return truth(value=same if negated else not same)
    kind = common(left.type, right.type)
    if kind is None:
        raise Unsupported(f"Athena does not compare {left.type} and {right.type}. CAST one of them.")
    if kind.name == "map" or (kind.name == "json" and kind.args != (True,)):
        raise Unsupported(f"IS DISTINCT FROM of {kind} is not given here. Compare its parts.")
    return Typed(f"({coerce(left, kind).sql} {words} {coerce(right, kind).sql})", BOOLEAN)


def concatenate(left: Typed, right: Typed) -> Typed:
    """Return `left || right` of texts, bytes, or arrays and elements."""
    one, other = left.type, right.type
    if one.name == "array" or other.name == "array":
        return _appended(left, right)
    if one == VARBINARY and other == VARBINARY:
        return Typed(f"({left.sql} || {right.sql})", VARBINARY)
    if left.is_null or right.is_null or UNKNOWN in {one, other}:
        return Typed("CAST(NULL AS VARCHAR)", Type("varchar"))
    need_type(left, "||")
    need_type(right, "||")
    if not one.is_text or not other.is_text:
        raise Unsupported(f"Athena does not concatenate {one} and {other}. CAST both to varchar.")
    left, right = coerce(left, Type("varchar")), coerce(right, Type("varchar"))
    joined = left.text + right.text if left.text is not None and right.text is not None else None
    return Typed(f"({left.sql} || {right.sql})", Type("varchar"), joined)


def _appended(left: Typed, right: Typed) -> Typed:
    if left.type.name == "array" and right.type.name == "array":
        element = common(left.type.element, right.type.element)
        if element is not None:
            kind = array(element)
            both = [coerce(left, kind), coerce(right, kind)]
            # DuckDB takes NULL || list for the list.
            return Typed(
                let(
                    both, lambda x, y: f"CASE WHEN {x} IS NULL OR {y} IS NULL THEN NULL ELSE list_concat({x}, {y}) END"
                ),
                kind,
            )
    listed, item, order = (
        (left, right, "{0}, [{1}]")
        if left.type.name == "array" and common(left.type.element, right.type) is not None
        else (right, left, "[{1}], {0}")
    )
    if listed.type.name != "array":
        raise Unsupported(f"Athena does not concatenate {left.type} and {right.type}. CAST one of them.")
    element = common(listed.type.element, item.type)
    if element is None:
        raise Unsupported(f"Athena does not concatenate {left.type} and {right.type}. CAST one of them.")
    kind = array(element)
    lst, one = coerce(listed, kind), coerce(item, element)
    cast_item = one.sql if element.name in {"any", "unknown"} else f"CAST({one.sql} AS {duckdb_type(element)})"
    return Typed(
        let([lst], lambda x: f"CASE WHEN {x} IS NULL THEN NULL ELSE list_concat({order.format(x, cast_item)}) END"),
        kind,
    )


def negative(value: Typed) -> Typed:
    """Return `-value`."""
    kind = need_type(value, "-")
    if kind.is_number:
        const = -value.const if isinstance(value.const, int) and not isinstance(value.const, bool) else None
        return Typed(f"(-{value.sql})", kind, const)
    if kind in {INTERVAL, MONTHS}:
        span = (value.const[0], -value.const[1]) if isinstance(value.const, tuple) else None
        return Typed(f"(-{value.sql})", kind, span)
    raise Unsupported(f"Athena has no -{kind}. CAST the value to a number.")


def as_double(value: Typed) -> Typed:
    """Return a number as a double."""
    return coerce(value, DOUBLE)
