"""Numbers: rounding, powers, logarithms, trigonometry, bits.

Where DuckDB raises and Trino gives NaN or infinity (the logarithm of 0, the root of -1), the case is told apart.
Source: https://trino.io/docs/current/functions/math.html, …/bitwise.html
"""

from __future__ import annotations

from typing import Final

from dagster_project.dialects import operators
from dagster_project.dialects.casts import coerce
from dagster_project.dialects.functions.calls import Call, function, simple
from dagster_project.dialects.typed import Typed, fail, let, string, unless_null
from dagster_project.dialects.types import BIGINT, BOOLEAN, DOUBLE, UNKNOWN, VARCHAR, Type, array, decimal, duckdb_type

NAN: Final = "CAST('nan' AS DOUBLE)"
MINUS: Final = "CAST('-infinity' AS DOUBLE)"
BITS: Final = {"tinyint": 8, "smallint": 16, "integer": 32, "bigint": 64}


def _number(call: Call, index: int = 0) -> Typed:
    value = call.values[index]
    if value.type == UNKNOWN:
        return Typed("CAST(NULL AS DOUBLE)", DOUBLE)
    if not value.type.is_number:
        raise call.refuse(
            f"takes a number, not {value.type if value.type.is_known else 'a column of a type nobody told of'}",
            "CAST it.",
        )
    return value


@function("abs")
def absolute(call: Call) -> Typed:
    """Give the value without its sign."""
    value = _number(call)
    return Typed(f"abs({value.sql})", value.type)


def _whole_decimal(of: Type) -> Type:
    p, s = of.args
    return decimal(max(p - s + min(s, 1), 1), 0)


def _to_whole(word: str, *names: str) -> None:
    @function(*names)
    def rule(call: Call) -> Typed:
        """Give the next whole number up or down, in the type of the value."""
        value = _number(call)
        if value.type.is_integer:
            return value
        if value.type.name == "decimal":
            kind = _whole_decimal(value.type)
            return Typed(f"CAST({word}({value.sql}) AS {duckdb_type(kind)})", kind)
        return Typed(f"{word}({value.sql})", value.type)


_to_whole("ceil", "ceil", "ceiling")
_to_whole("floor", "floor")


@function("round", args=(1, 2))
def rounded(call: Call) -> Typed:
    """Give the nearest number, half away from zero."""
    value = _number(call)
    kind = value.type
    digits = call.integer(1) if len(call) == 2 else None
    if kind.is_integer:
        if digits is None:
            return value
        if digits.integer is None:
            raise call.refuse("takes a constant number of digits here", "Write it out.")
        if digits.integer >= 0:
            return value
        step = 10**-digits.integer
        if step > 10**18:
            return Typed(
                let([value], lambda x: f"CASE WHEN {x} IS NOT NULL THEN CAST(0 AS {duckdb_type(kind)}) END"), kind
            )
        return Typed(
            let(
                [value],
                lambda x: (
                    f"CAST((CASE WHEN {x} < 0 THEN -1 ELSE 1 END) * ((abs(CAST({x} AS HUGEINT)) + {step // 2}) // {step}) * {step} AS {duckdb_type(kind)})"
                ),
            ),
            kind,
        )
    if kind.name == "decimal":
        return _rounded_decimal(call, value, digits)
    if digits is None:
        return Typed(f"round({value.sql})", kind)
    return Typed(
        let(
            [value, digits],
            lambda x, d: (
                f"CASE WHEN isfinite({x}) THEN CAST(round({x}, CAST({d} AS INTEGER)) AS {duckdb_type(kind)}) ELSE {x} END"
            ),
        ),
        kind,
    )


def _rounded_decimal(call: Call, value: Typed, digits: Typed | None) -> Typed:
    p, s = value.type.args
    if digits is None:
        kind = _whole_decimal(value.type)
        return Typed(f"CAST({value.sql} AS {duckdb_type(kind)})", kind)
    if digits.integer is None:
        raise call.refuse("of a decimal takes a constant number of digits here", "Write it out.")
    kind = decimal(min(38, p + 1), s)
    d = digits.integer
    if d >= s:
        return Typed(f"CAST({value.sql} AS {duckdb_type(kind)})", kind)
    if d >= 0:
        return Typed(f"CAST(CAST({value.sql} AS DECIMAL({min(38, p - s + d + 1)}, {d})) AS {duckdb_type(kind)})", kind)
    if -d > p - s:
        return Typed(f"CAST({value.sql} * 0 AS {duckdb_type(kind)})", kind)
    step = 10**-d
    body = lambda x: (
        f"CAST((CASE WHEN {x} < 0 THEN -1 ELSE 1 END) * ((CAST(trunc(abs({x})) AS HUGEINT) + {step // 2}) // {step}) * {step} AS {duckdb_type(kind)})"
    )
    return Typed(let([value], body), kind)


DIGITS_OF: Final = {"tinyint": 3, "smallint": 5, "integer": 10, "bigint": 19}


@function("truncate", args=(1, 2))
def truncated(call: Call) -> Typed:
    """Give the number cut towards zero."""
    value = _number(call)
    kind = value.type
    if len(call) == 1:
        if kind.is_integer:  # Trino reads it as a decimal
            whole = decimal(DIGITS_OF[kind.name], 0)
            return Typed(f"CAST({value.sql} AS {duckdb_type(whole)})", whole)
        if kind.name == "decimal":
            whole = decimal(max(kind.args[0] - kind.args[1], 1), 0)
            return Typed(f"CAST(trunc({value.sql}) AS {duckdb_type(whole)})", whole)
        return Typed(f"trunc({value.sql})", kind)
    digits = call.integer(1).integer
    if kind.name != "decimal" or digits is None:
        raise call.refuse("to digits is given here for decimals and a constant number of them", "Use round().")
    p, s = kind.args
    if digits >= s:
        return value
    if -digits >= p - s:
        return Typed(f"CAST({value.sql} * 0 AS {duckdb_type(kind)})", kind)
    step = f"0.{'0' * (digits - 1)}1" if digits > 0 else "1" + "0" * -digits
    return Typed(
        let([value], lambda x: f"CAST({x} - {x} % CAST('{step}' AS {duckdb_type(kind)}) AS {duckdb_type(kind)})"), kind
    )


@function("sign")
def sign(call: Call) -> Typed:
    """Give -1, 0 or 1 in the type of the value."""
    value = _number(call)
    if value.type.is_float:
        return Typed(
            let(
                [value],
                lambda x: f"CASE WHEN isnan({x}) THEN {x} ELSE CAST(sign({x}) AS {duckdb_type(value.type)}) END",
            ),
            value.type,
        )
    kind = decimal(1, 0) if value.type.name == "decimal" else value.type
    return Typed(f"CAST(sign({value.sql}) AS {duckdb_type(kind)})", kind)


@function("mod", args=2)
def mod(call: Call) -> Typed:
    """Give the remainder, with the sign of the dividend."""
    return operators.arithmetic("%", _number(call), _number(call, 1))


simple("exp", "D", "exp({0})", DOUBLE)
simple("cbrt", "D", "cbrt({0})", DOUBLE)
simple("degrees", "D", "degrees({0})", DOUBLE)
simple("radians", "D", "radians({0})", DOUBLE)
simple("atan", "D", "atan({0})", DOUBLE)
simple("atan2", "DD", "atan2({0}, {1})", DOUBLE)
simple("cosh", "D", "cosh({0})", DOUBLE)
simple("sinh", "D", "sinh({0})", DOUBLE)
simple("tanh", "D", "tanh({0})", DOUBLE)
simple("pi", "", "pi()", DOUBLE)
simple("e", "", "exp(1)", DOUBLE)
simple("nan", "", NAN, DOUBLE)
simple("infinity", "", "CAST('infinity' AS DOUBLE)", DOUBLE)
simple("is_nan", "D", "isnan({0})", BOOLEAN)
simple("is_infinite", "D", "isinf({0})", BOOLEAN)
simple("is_finite", "D", "isfinite({0})", BOOLEAN)


def _guarded(name: str, made: str, rest: str) -> None:
    @function(name)
    def rule(call: Call) -> Typed:
        """Give the function where DuckDB has it, and what IEEE 754 says elsewhere."""
        return Typed(
            let([call.double(0)], lambda x: f"CASE {rest.replace('{x}', x)} ELSE {made.replace('{x}', x)} END"), DOUBLE
        )


for _name in ("ln", "log2", "log10"):
    _guarded(_name, f"{_name}({{x}})", f"WHEN {{x}} = 0 THEN {MINUS} WHEN {{x}} < 0 OR isnan({{x}}) THEN {NAN}")
_guarded("sqrt", "sqrt({x})", f"WHEN {{x}} < 0 THEN {NAN}")
for _name in ("acos", "asin"):
    _guarded(_name, f"{_name}({{x}})", f"WHEN abs({{x}}) > 1 THEN {NAN}")
for _name in ("sin", "cos", "tan"):
    _guarded(_name, f"{_name}({{x}})", f"WHEN NOT isfinite({{x}}) THEN {NAN}")


@function("power", "pow", args=2)
def power(call: Call) -> Typed:
    """Give a double, whatever it is raised from."""
    return Typed(f"pow({call.double(0).sql}, {call.double(1).sql})", DOUBLE)


@function("log", args=2)
def log(call: Call) -> Typed:
    """Give the logarithm to a base, the base first."""
    base, of = call.double(0), call.double(1)
    ln = lambda x: f"(CASE WHEN {x} = 0 THEN {MINUS} WHEN {x} < 0 OR isnan({x}) THEN {NAN} ELSE ln({x}) END)"
    return operators.arithmetic("/", Typed(let([of], ln), DOUBLE), Typed(let([base], ln), DOUBLE))


@function("random", "rand", args=0)
def random(_: Call) -> Typed:
    """Give a double from 0 up to 1."""
    return Typed("random()", DOUBLE)


@function("width_bucket", args=(2, 4))
def width_bucket(call: Call) -> Typed:
    """Give the number of the bucket of equal widths a value falls into."""
    if len(call) == 2:
        return _in_bins(call)
    if len(call) == 3:
        raise call.refuse("takes 2 or 4 arguments", "Mend the call.")
    values = [call.double(0), call.double(1), call.double(2), call.integer(3)]
    odd = fail("width_bucket needs finite bounds that differ and a positive count", BIGINT)

    def body(x: str, a: str, b: str, n: str) -> str:
        rising = "CASE WHEN {x} < {a} THEN 0 WHEN {x} >= {b} THEN {n} + 1 ELSE floor({n} * ({x} - {a}) / ({b} - {a})) + 1 END"
        up = rising.format(x=x, a=a, b=b, n=n)
        down = f"{n} + 1 - {rising.format(x=x, a=b, b=a, n=n)}"  # Trino counts from the other end
        return f"CASE WHEN {n} <= 0 OR {a} = {b} OR isnan({x}) OR NOT isfinite({a}) OR NOT isfinite({b}) THEN {odd} WHEN {a} < {b} THEN CAST({up} AS BIGINT) ELSE CAST({down} AS BIGINT) END"

    return Typed(unless_null(values, body), BIGINT)


def _in_bins(call: Call) -> Typed:
    """Return how many of the rising bounds of bins a value has reached; NaN raises."""
    value, bins = call.double(0), coerce(call.array(1), array(DOUBLE))
    odd = fail("width_bucket needs a number, and bins without NULL", BIGINT)
    body = lambda x, b: (
        f"CASE WHEN {x} IS NULL OR {b} IS NULL THEN NULL WHEN isnan({x}) OR len({b}) = 0 OR len({b}) > list_count({b}) OR len(list_filter({b}, lambda _b: NOT isfinite(_b))) > 0 THEN {odd} ELSE len(list_filter({b}, lambda _b: _b <= {x})) END"
    )
    return Typed(let([value, bins], body), BIGINT)


DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


@function("to_base", args=2)
def to_base(call: Call) -> Typed:
    """Give a number in a base, in lower case."""
    value, base = call.integer(0), call.integer(1)
    if base.integer is None:  # DuckDB raises for a base that is none
        return Typed(
            let(
                [value],
                lambda x: (
                    f"(CASE WHEN {x} < 0 THEN '-' ELSE '' END || lower(to_base(abs({x}), CAST({base.sql} AS INTEGER))))"
                ),
            ),
            VARCHAR,
        )
    if not 2 <= base.integer <= 36:
        raise call.refuse("takes a base of 2 to 36", "Mend it.")
    return Typed(
        let([value], lambda x: f"(CASE WHEN {x} < 0 THEN '-' ELSE '' END || lower(to_base(abs({x}), {base.integer})))"),
        VARCHAR,
    )


@function("from_base", args=2)
def from_base(call: Call) -> Typed:
    """Give the number that a text is in a base."""
    value, base = call.text(0), call.integer(1)
    if base.integer is None or not 2 <= base.integer <= 36:
        raise call.refuse("takes a constant base of 2 to 36", "Write it out.")
    r = base.integer
    allowed = DIGITS[:r]
    pattern = string(f"[+-]?[{allowed}]+")

    def body(x: str) -> str:
        digits = f"list_transform(string_split(regexp_replace(lower({x}), '^[+-]', ''), ''), lambda _d: CAST(instr('{DIGITS}', _d) - 1 AS HUGEINT))"
        total = f"list_reduce({digits}, lambda _a, _b: _a * {r} + _b)"
        return f"CASE WHEN {x} IS NULL THEN NULL WHEN regexp_full_match(lower({x}), {pattern}) THEN CAST(CASE WHEN left({x}, 1) = '-' THEN -1 ELSE 1 END * {total} AS BIGINT) ELSE {fail('Not a valid number in that base', BIGINT)} END"

    return Typed(let([value], body), BIGINT)


# --- bits ---------------------------------------------------------------------------------------------------------


def _bitwise(name: str, made: str, takes: int = 2) -> None:
    @function(name, args=takes)
    def rule(call: Call) -> Typed:
        """Give the bits of 64-bit numbers combined."""
        values = [coerce(call.integer(i), BIGINT) for i in range(takes)]
        return Typed(made.format(*(f"CAST({v.sql} AS BIGINT)" for v in values)), BIGINT)


_bitwise("bitwise_and", "({0} & {1})")
_bitwise("bitwise_or", "({0} | {1})")
_bitwise("bitwise_xor", "xor({0}, {1})")
_bitwise("bitwise_not", "(~{0})", 1)


def _shift(name: str) -> None:
    @function(name, args=2)
    def rule(call: Call) -> Typed:
        """Give the bits moved within the width of the value's type."""
        value, by = call.integer(0), call.integer(1)
        bits = BITS.get(value.type.name, 64)
        whole, half = 2**bits, 2 ** (bits - 1)
        target = duckdb_type(value.type)

        def left(x: str, s: str) -> str:
            moved = (
                f"(CAST({x} AS HUGEINT) & ((CAST(1 AS HUGEINT) << ({bits} - {s})) - 1)) * (CAST(1 AS HUGEINT) << {s})"
            )
            return f"CASE WHEN {s} >= {bits} THEN CAST(0 AS {target}) ELSE CAST((CASE WHEN {moved} >= {half} THEN {moved} - {whole} ELSE {moved} END) AS {target}) END"

        def right(x: str, s: str) -> str:
            unsigned = f"(CASE WHEN {x} < 0 THEN CAST({x} AS HUGEINT) + {whole} ELSE CAST({x} AS HUGEINT) END)"
            moved = f"({unsigned} // (CAST(1 AS HUGEINT) << {s}))"
            return f"CASE WHEN {s} >= {bits} THEN CAST(0 AS {target}) ELSE CAST((CASE WHEN {moved} >= {half} THEN {moved} - {whole} ELSE {moved} END) AS {target}) END"

        def arithmetic(x: str, s: str) -> str:
            return f"CASE WHEN {s} >= {bits} THEN CAST(CASE WHEN {x} < 0 THEN -1 ELSE 0 END AS {target}) ELSE CAST(floor_div AS {target}) END".replace(
                "floor_div",
                f"((CAST({x} AS HUGEINT) - CASE WHEN {x} < 0 THEN (CAST(1 AS HUGEINT) << {s}) - 1 ELSE 0 END) // (CAST(1 AS HUGEINT) << {s}))",
            )

        body = {"bitwise_left_shift": left, "bitwise_right_shift": right}.get(name, arithmetic)
        # A negative shift is one by its last six bits, as Java has it.
        places = by.integer if by.integer is None or by.integer >= 0 else by.integer & 63
        made = lambda x, s: body(x, f"CAST(CASE WHEN {s} < 0 THEN {s} & 63 ELSE {s} END AS HUGEINT)")
        if places is not None:
            made = lambda x, _: body(x, str(min(places, 64)))
        return Typed(unless_null([value, by], made), value.type)


for _name in ("bitwise_left_shift", "bitwise_right_shift", "bitwise_right_shift_arithmetic"):
    _shift(_name)


@function("bit_count", args=2)
def bit_count(call: Call) -> Typed:
    """Give how many bits are set in a number of so many bits, in two's complement."""
    value, bits = call.integer(0), call.integer(1).integer
    if bits is None or not 2 <= bits <= 64:
        raise call.refuse("takes a constant number of 2 to 64 bits", "Write it out.")
    least, most = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    raised = fail("Number must be representable with the bits specified", BIGINT)
    return Typed(
        let(
            [value],
            lambda x: (
                f"CASE WHEN {x} < {least} OR {x} > {most} THEN {raised} ELSE CAST(bit_count(CAST({x} AS HUGEINT) & {2**bits - 1}) AS BIGINT) END"
            ),
        ),
        BIGINT,
    )
