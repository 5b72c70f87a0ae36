"""CAST and coercion: a value of one Trino type as a value of another.

DuckDB's own casts are more lenient (`'1.5'` is the integer 2 there), round doubles half to even and print doubles, times
and JSON in other words; so each pair of types has its rule here, and a pair without one is refused.

What belongs here: casts. What does not: functions that read or format (`functions`).
Sources: https://trino.io/docs/current/functions/conversion.html, …/functions/json.html#cast-to-json, …/language/types.html
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any, Final

from dagster_project.dialects import moments
from dagster_project.dialects.moments import Moment
from dagster_project.dialects.typed import Typed, fail, let, moment, string, text
from dagster_project.dialects.types import (
    CANONICAL_JSON,
    DOUBLE,
    JSON,
    TEXT_JSON,
    VARCHAR,
    Type,
    duckdb_type,
    field_names,
    quoted,
    timestamp,
)
from dagster_project.errors import Unsupported

TIMES: Final = {"date", "time", "timetz", "timestamp", "timestamptz"}
WHOLE: Final = r"[+-]?[0-9]+"
EXACT: Final = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"
FLOATING: Final = r"\s*([+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[fFdD]?|NaN|Infinity))\s*"
CALENDAR: Final = r"[+]?0*[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
BLANKS: Final = string("".join(map(chr, [9, 10, 11, 12, 13, 28, 29, 30, 31, 32])))
CLOCK: Final = r"\s*[0-9]{1,2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
OFFSET: Final = r"\s*[+-][0-9]{2}:[0-9]{2}\s*"
ZONED: Final = (
    r"\s*[0-9]{4}-[0-9]{1,2}-[0-9]{1,2} +[0-9]{1,2}:[0-9]{1,2}(:[0-9]{1,2}(\.[0-9]{1,6})?)?"
    r"( *[+-][0-9]{1,2}(:[0-9]{2})?| +UTC| +[A-Za-z_]+/[A-Za-z_]+(/[A-Za-z_]+)?)\s*"
)
STAMP: Final = r"\s*[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}( +[0-9]{1,2}:[0-9]{1,2}(:[0-9]{1,2}(\.[0-9]{1,12})?)?)?\s*"


def cast(value: Typed, to: Type, *, safe: bool = False) -> Typed:
    """Return `CAST(value AS to)`, or with `safe` `TRY_CAST`. Raises `Unsupported` for a pair of types without a rule."""
    done = _cast(value, to)
    if not safe or done is value or done.is_null:
        return done
    return Typed(f"TRY({done.sql})", done.type)


def coerce(value: Typed, to: Type) -> Typed:
    """Return a value as it stands beside values of `to`, where Trino makes it one by itself."""
    if to.name in {"any", "unknown"} or value.type == to or value.type.name == "any":
        return value
    if to.name == "varchar" and value.type.name in {"varchar", "char"}:
        return Typed(as_text(value)._sql, to, value.const if value.type.name == "varchar" else None)
    if to.name == "json" and value.type.name == "json":
        return value
    return _cast(value, to)


def _cast(value: Typed, to: Type) -> Typed:
    of = value.type
    if (of.name == "any" and to.name in {"varchar", "json", "timestamptz", "timetz"}) or to.name == "any":
        raise Unsupported(
            f"CAST to {to} depends on the type of {value.sql}, which is not known here. Tell the columns' types."
        )
    if value.is_null or of.name == "unknown":
        return Typed(f"CAST({value.sql} AS {duckdb_type(to)})", to)
    if isinstance(value.const, Moment) and to.name in TIMES:
        return _cast_moment(value.const, to)
    if of == to and of.name not in {"varchar", "char"}:
        return value
    if to.name in {"varchar", "char"}:
        return _to_text(value, to)
    if to.name == "json":
        return to_json(value)
    if of.name == "json":
        return Typed(from_json(value, to), to)
    if of.name in {"varchar", "char"}:
        return _from_text(value, to)
    if of.name == "any":
        if to.is_number or to.name in {"boolean", "date"}:
            raise Unsupported(
                f"CAST depends on the type of {value.sql}, which is not known here. Tell the columns' types."
            )
        return Typed(f"CAST({value.sql} AS {duckdb_type(to)})", to)
    if of.name in {"array", "map", "row"} and of.name == to.name:
        return _cast_nested(value, to)
    if (of.is_number or of.name == "boolean") and (to.is_number or to.name == "boolean"):
        return _cast_number(value, to)
    if of.name in TIMES and to.name in TIMES:
        return _cast_time(value, to)
    raise Unsupported(f"Athena does not cast {of} to {to}, or it is not known here. Go by way of varchar.")


def _cast_number(value: Typed, to: Type) -> Typed:
    of = value.type
    target = duckdb_type(to)
    if to.name == "boolean":
        return Typed(f"({value.sql} <> 0)", to)
    if of.name == "boolean":
        return Typed(f"CAST(CAST({value.sql} AS INTEGER) AS {target})", to)
    if of.is_float and to.is_integer:
        return Typed(f"CAST(round({value.sql}) AS {target})", to)
    if of.is_float and to.name == "decimal":
        return Typed(
            let(
                [value],
                lambda x: (
                    f"CASE WHEN isfinite({x}) OR {x} IS NULL THEN CAST({real_text(x) if of.name == 'real' else f'CAST({x} AS VARCHAR)'} AS {target}) ELSE {fail('Cannot cast to decimal', to)} END"
                ),
            ),
            to,
        )
    if to.name == "real" and of.name == "double":
        return Typed(
            let(
                [value],
                lambda x: (
                    f"CASE WHEN isfinite({x}) AND abs({x}) > 3.4028235677973366e38 THEN CAST(CASE WHEN {x} > 0 THEN 'infinity' ELSE '-infinity' END AS FLOAT) ELSE CAST({x} AS FLOAT) END"
                ),
            ),
            to,
        )
    const = (
        value.const if isinstance(value.const, int) and to.is_integer and not isinstance(value.const, bool) else None
    )
    return Typed(f"CAST({value.sql} AS {target})", to, const)


def _cast_moment(value: Moment, to: Type) -> Typed:
    done = moments.cast(value, to)
    if done is None:
        raise Unsupported(
            f"CAST({value.kind} AS {to}) depends on the day on which it is run. Write the date beside the time."
        )
    return moment(done)


def _cast_time(value: Typed, to: Type) -> Typed:
    of = value.type
    digits = to.args[0] if to.args else 0
    if of.name == "timestamptz":
        if to.name == "timestamptz":
            kind = Type(to.name, (digits, of.args[1]))
            return Typed(_rounded(f"{value.sql}", digits, of.args[0], zoned=True), kind)
        value = local(value, f"CAST to {to}")
        of = value.type
    if to.name == "date" and of.name in {"date", "timestamp"}:
        return Typed(f"CAST({value.sql} AS DATE)", to)
    if to.name == "timestamp" and of.name in {"date", "timestamp"}:
        if of.name == "date":
            return Typed(f"CAST({value.sql} AS TIMESTAMP)", to)
        return Typed(_rounded(value.sql, digits, of.args[0]), to)
    if to.name == "timestamptz" and of.name in {"date", "timestamp"}:
        plain = f"CAST({value.sql} AS TIMESTAMP)" if of.name == "date" else value.sql
        kind = Type(to.name, (digits, "UTC"))
        return Typed(_rounded(f"timezone('UTC', {plain})", digits, of.args[0] if of.args else 0, zoned=True), kind)
    if to.name == "time" and of.name == "timestamp":
        return Typed(f"CAST({_rounded(value.sql, digits, of.args[0])} AS TIME)", to)
    if to.name == "time" and of.name == "time":
        day = f"(DATE '1970-01-01' + {value.sql})"
        return value if digits >= of.args[0] else Typed(f"CAST({_rounded(day, digits, of.args[0])} AS TIME)", to)
    raise Unsupported(f"CAST of {of} to {to} is not given here. Go by way of timestamp.")


def _rounded(sql: str, digits: int, known: int, *, zoned: bool = False) -> str:
    """Return a timestamp with fewer digits of the second, half up."""
    if digits >= min(known, 6):
        return sql
    step = 10 ** (6 - digits)
    floor = f"CAST(floor((epoch_us({sql}) + {step // 2}) / {step}) AS BIGINT) * {step}"
    return f"{'make_timestamptz' if zoned else 'make_timestamp'}({floor})"


def local(value: Typed, what: str) -> Typed:
    """Return a timestamp with time zone as its own clock shows it, without a zone."""
    if value.type.name != "timestamptz":
        return value
    if isinstance(value.const, Moment):
        return moment(moments.cast(value.const, timestamp(value.const.digits)) or value.const)
    digits, zone = value.type.args
    if zone is None:
        raise Unsupported(
            f"{what} depends on the zone of each value, and DuckDB keeps none. Write … AT TIME ZONE 'UTC'."
        )
    return Typed(at_zone(value.sql, zone), timestamp(digits))


def at_zone(sql: str, zone: str) -> str:
    """Return the local timestamp of an instant in a zone."""
    minutes = moments.offset_minutes(zone)
    if minutes is None or minutes == 0:
        return f"timezone({string(zone)}, {sql})"
    return f"(timezone('UTC', {sql}) + INTERVAL ({minutes}) MINUTE)"


def from_zone(sql: str, zone: str) -> str:
    """Return the instant of a local timestamp in a zone."""
    minutes = moments.offset_minutes(zone)
    if minutes is None or minutes == 0:
        return f"timezone({string(zone)}, {sql})"
    return f"timezone('UTC', {sql} - INTERVAL ({minutes}) MINUTE)"


def _cast_nested(value: Typed, to: Type) -> Typed:
    of = value.type
    if of.name == "array":
        inner = _element("array", of.element, to.element)
        return value if inner is None else Typed(_transform(value.sql, inner), to)
    if of.name == "map":
        key, item = _element("map", of.key, to.key), _element("map", of.value, to.value)
        if key is None and item is None:
            return Typed(value.sql, to)

        def body(x: str) -> str:
            keys = f"map_keys({x})" if key is None else _transform(f"map_keys({x})", key)
            values = f"map_values({x})" if item is None else _transform(f"map_values({x})", item)
            return f"CASE WHEN {x} IS NULL THEN NULL ELSE map({keys}, {values}) END"

        return Typed(let([value], body), to)
    if len(of.fields) != len(to.fields):
        raise Unsupported(f"Athena does not cast {of} to {to}: they differ in the number of fields. Name each field.")

    def body_row(x: str) -> str:
        parts = []
        for old, new, (_, a), (_, b) in zip(field_names(of), field_names(to), of.fields, to.fields, strict=True):
            parts.append(f"{quoted(new)}: {_cast(Typed(f'struct_extract({x}, {string(old)})', a), b).sql}")
        return f"CASE WHEN {x} IS NULL THEN NULL ELSE {{{', '.join(parts)}}} END"

    return Typed(let([value], body_row), to)


def _element(_: str, of: Type, to: Type) -> Any:
    if of == to or (of.name == "varchar" and to == VARCHAR):
        return None
    return lambda x: _cast(Typed(x, of), to).sql


_DEPTH: Final = re.compile(r"_e(\d+)")


def _transform(sql: str, inner: Any) -> str:
    depth = 1 + max((int(n) for n in _DEPTH.findall(sql + inner("_"))), default=0)
    return f"list_transform({sql}, lambda _e{depth}: {inner(f'_e{depth}')})"


# --- texts --------------------------------------------------------------------------------------------------------


def _to_text(value: Typed, to: Type) -> Typed:
    of = value.type
    if of.is_text:
        return _to_length(value, to)
    plain = as_text(value)
    if to.args and to.args[0] < 10**9:
        size = to.args[0]
        guarded = let(
            [plain],
            lambda x: (
                f"CASE WHEN length({x}) > {size} THEN {fail(f'Value cannot be represented as {to}', VARCHAR)} ELSE {x} END"
            ),
        )
        plain = Typed(f"rpad({guarded}, {size}, ' ')" if to.name == "char" else guarded, to)
    return Typed(plain.sql, to, plain.const)


def _to_length(value: Typed, to: Type) -> Typed:
    if to.name == "varchar":
        value = as_text(value)
    if not to.args:
        return Typed(value._sql, to, value.const)
    size = to.args[0]
    if value.text is not None:
        cut = value.text[:size]
        made = text(cut.ljust(size) if to.name == "char" else cut)
        return Typed(made.sql, to, made.const)
    if to.name == "char":
        return Typed(f"rpad({value.sql}, {size}, ' ')", to)  # rpad cuts as well
    if value.type.name == "varchar" and value.type.args and value.type.args[0] <= size:
        return Typed(value.sql, to)
    return Typed(f"substr({value.sql}, 1, {size})", to)


def as_text(value: Typed) -> Typed:
    """Return a value as `CAST(… AS varchar)` prints it. Raises `Unsupported` for a type that is not cast to text."""
    of = value.type
    if of.name == "char":  # padded where it stands, not where it becomes a varchar
        return text(value.text.rstrip(" ")) if value.text is not None else Typed(f"rtrim({value.sql}, ' ')", VARCHAR)
    if of.is_text:
        return value
    if isinstance(value.const, Moment):
        return text(str(value.const))
    if of.name in {"ipaddress", "ipprefix"}:
        return Typed(value.sql, VARCHAR, value.const)
    if of.is_integer or of.name in {"decimal", "date", "uuid", "boolean"}:
        if isinstance(value.const, int) and not isinstance(value.const, bool):
            return text(str(value.const))
        if of.name == "decimal" and of.args[0] == of.args[1]:  # DuckDB prints .5
            return Typed(f"regexp_replace(CAST({value.sql} AS VARCHAR), '^(-?)[.]', '\\10.')", VARCHAR)
        return Typed(f"CAST({value.sql} AS VARCHAR)", VARCHAR)
    if of.is_float:
        if (shown := _float_constant(value)) is not None:
            return text(shown)
        raise Unsupported(
            f"CAST({of} AS varchar) prints 100.0 as 100.0 or as 1.0E2, by the version of the engine. Say which: CAST to decimal first, or use format()."
        )
    if of.name == "timestamp":
        return Typed(_stamp_text(value.sql, of.args[0]), VARCHAR)
    if of.name == "timestamptz" and of.args[1]:
        return Typed(f"({_stamp_text(local(value, 'CAST').sql, of.args[0])} || {string(' ' + of.args[1])})", VARCHAR)
    if of.name == "time":
        return Typed(_clock_text(value.sql, of.args[0]), VARCHAR)
    if of.name == "json":
        return Typed(from_json(value, VARCHAR), VARCHAR)
    if of.name == "interval day to second":
        return Typed(let([value], interval_text), VARCHAR)
    if of.name == "interval year to month":
        return Typed(let([value], months_text), VARCHAR)
    if of.name == "unknown":
        return Typed("CAST(NULL AS VARCHAR)", VARCHAR)
    raise Unsupported(f"CAST({of} AS varchar) is not given here. Take its parts apart and cast those.")


def _float_constant(value: Typed) -> str | None:
    """Return what a constant prints where every version says the same: below 1e-3 and from 1e7 on, with an exponent.

    >>> _float_constant(Typed("1e-5", DOUBLE, 1e-5)), _float_constant(Typed("1e8", DOUBLE, 1e8)), _float_constant(Typed("2e0", DOUBLE, 2.0))
    ('1.0E-5', '1.0E8', None)
    """
    held = value.const
    if not isinstance(held, float) or not (1e-300 < abs(held) < 1e-3 or 1e7 <= abs(held) < 1e300):
        return None
    if value.type != DOUBLE:
        if not 1e-30 < abs(held) < 1e30:
            return None
        held = struct.unpack("f", struct.pack("f", held))[0]
        shown = next(s for n in range(9) if struct.pack("f", float(s := f"{held:.{n}e}")) == struct.pack("f", held))
    else:
        shown = next(s for n in range(17) if float(s := f"{held:.{n}e}") == held)
    mantissa, _, exponent = shown.partition("e")
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}E{int(exponent)}"


def _stamp_text(sql: str, digits: int) -> str:
    if digits > 6:
        raise Unsupported(
            f"CAST(timestamp({digits}) AS varchar) needs more digits than DuckDB keeps. CAST to timestamp(6) first."
        )
    form = f"strftime({sql}, '%Y-%m-%d %H:%M:%S{'.%f' if digits else ''}')"
    return form if digits in {0, 6} else f"left({form}, {digits - 6})"


def _clock_text(sql: str, digits: int) -> str:
    form = f"strftime(DATE '1970-01-01' + {sql}, '%H:%M:%S{'.%f' if digits else ''}')"
    return form if digits in {0, 6} else f"left({form}, {digits - 6})"


def double_text(x: str) -> str:
    """Return a double as Trino prints it, with one digit before the point and an exponent: 256.5 is 2.565E2."""
    shortest = f"CAST(abs({x}) AS VARCHAR)"
    plain = f"regexp_replace(replace({shortest}, '.', ''), '^0+|0+$', '', 'g')"
    sign = f"CASE WHEN signbit({x}) THEN '-' ELSE '' END"
    exponent = (
        f"CASE WHEN abs({x}) < 1e-320 THEN CAST(split_part(printf('%.1e', abs({x})), 'e', 2) AS INTEGER) "
        f"WHEN contains({shortest}, 'e') THEN CAST(split_part({shortest}, 'e', 2) AS INTEGER) "
        f"WHEN abs({x}) >= 1 THEN length(split_part({shortest}, '.', 1)) - 1 "
        f"ELSE length(regexp_extract({shortest}, '^0\\.(0*)', 1)) * -1 - 1 END"
    )
    # Java takes two digits at least, so where the smallest doubles lie 9.9E-324 and not 1.0E-323.
    digits = (
        f"CASE WHEN abs({x}) < 1e-320 AND length(split_part({shortest}, 'e', 1)) = 1 THEN replace(left(printf('%.1e', abs({x})), 3), '.', '') "
        f"WHEN contains({shortest}, 'e') THEN regexp_replace(replace(split_part({shortest}, 'e', 1), '.', ''), '0+$', '') ELSE {plain} END"
    )
    mantissa = f"(left({digits}, 1) || CASE WHEN length({digits}) > 1 THEN '.' || substr({digits}, 2) ELSE '.0' END)"
    return (
        f"CASE WHEN isnan({x}) THEN 'NaN' WHEN isinf({x}) THEN {sign} || 'Infinity' WHEN {x} = 0 THEN {sign} || '0E0' "
        f"WHEN {x} IS NULL THEN NULL ELSE {sign} || {mantissa} || 'E' || ({exponent}) END"
    )


def real_text(x: str) -> str:
    """Return a real as Trino prints it, in the fewest digits that tell it: 1.2345678E8."""
    tries = ", ".join(f"printf('%.{digits}e', CAST(abs({x}) AS DOUBLE))" for digits in range(9))
    shortest = f"list_filter([{tries}], lambda _s: CAST(_s AS FLOAT) = abs({x}))[1]"
    mantissa = f"split_part({shortest}, 'e', 1)"
    shown = f"({mantissa} || CASE WHEN contains({mantissa}, '.') THEN '' ELSE '.0' END || 'E' || CAST(split_part({shortest}, 'e', 2) AS INTEGER))"
    sign = f"CASE WHEN signbit({x}) THEN '-' ELSE '' END"
    return (
        f"CASE WHEN {x} IS NULL THEN NULL WHEN isnan({x}) THEN 'NaN' WHEN isinf({x}) THEN {sign} || 'Infinity' WHEN {x} = 0 THEN {sign} || '0E0' "
        f"ELSE {sign} || {shown} END"
    )


def interval_text(x: str) -> str:
    """Return an interval of days and seconds as Trino prints it: 3 02:01:00.000."""
    ms = f"(epoch_ms({x}))"
    return (
        f"CASE WHEN {x} IS NULL THEN NULL ELSE CASE WHEN {ms} < 0 THEN '-' ELSE '' END || (abs({ms}) // 86400000) || ' ' || "
        f"printf('%02d:%02d:%02d.%03d', abs({ms}) // 3600000 % 24, abs({ms}) // 60000 % 60, abs({ms}) // 1000 % 60, abs({ms}) % 1000) END"
    )


def months_text(x: str) -> str:
    """Return an interval of months as Trino prints it: 3-2."""
    months = f"(datepart('year', {x}) * 12 + datepart('month', {x}))"
    return (
        f"CASE WHEN {x} IS NULL THEN NULL ELSE CASE WHEN {months} < 0 THEN '-' ELSE '' END || (abs({months}) // 12) || '-' || "
        f"(abs({months}) % 12) END"
    )


def _from_text(value: Typed, to: Type) -> Typed:
    told = value.text
    if to.is_number and value.as_number is not None:
        value = Typed(value.as_number, VARCHAR)
    if told is not None and to.name in TIMES:
        read = {"date": moments.read_date, "time": moments.read_time, "timetz": moments.read_time}.get(
            to.name, moments.read_timestamp
        )(told)
        done = moments.cast(read, to) if read is not None else None
        if done is not None and (to.name != "date" or read is not None):
            return moment(done)
        return Typed(fail(f"Value cannot be cast to {to}: {told}", to), to)
    if to.is_integer:
        value = value if told is None else text(told.strip(" "))
        return Typed(_guarded(value, WHOLE, to, f"CAST({{x}} AS {duckdb_type(to)})"), to)
    if to.name == "decimal":
        if told is not None and re.fullmatch(EXACT, told):
            return Typed(_decimal_text(told, to), to)
        return Typed(_guarded(value, EXACT, to, f"CAST({{x}} AS {duckdb_type(to)})"), to)
    if to.is_float:
        return Typed(
            _guarded(
                value,
                FLOATING,
                to,
                f"CAST(rtrim(trim({{x}}), 'fFdD') AS {duckdb_type(to)})"
                if told and told.strip()[-1:] in "fFdD"
                else f"CAST(regexp_replace({{x}}, '[fFdD]\\s*$', '') AS {duckdb_type(to)})",
            ),
            to,
        )
    if to.name == "boolean":
        return Typed(
            let(
                [value],
                lambda x: (
                    f"CASE WHEN lower({x}) IN ('t', 'true', '1') THEN true WHEN lower({x}) IN ('f', 'false', '0') THEN false "
                    f"WHEN {x} IS NULL THEN NULL ELSE {fail('Cannot cast to boolean', to)} END"
                ),
            ),
            to,
        )
    if to.name == "date":
        return Typed(
            _guarded(
                Typed(f"trim({value.sql}, {BLANKS})", VARCHAR, value.const),
                CALENDAR,
                to,
                "CAST(regexp_extract({x}, '[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}') AS DATE)",
            ),
            to,
        )
    if to.name == "timestamp":
        return Typed(_guarded(value, STAMP, to, _to_digits("TIMESTAMP", to)), to)
    if to.name == "time":
        return Typed(
            _guarded(
                value,
                r"\s*[0-9]{1,2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,12})?)?\s*",
                to,
                f"CAST({_to_digits('TIME', to)} AS TIME)",
            ),
            to,
        )
    if to.name == "timestamptz":  # without a zone it stands in UTC, as Athena's sessions do
        zoned = _rounded("CAST({x} AS TIMESTAMPTZ)", to.args[0], 6, zoned=True)
        instant = f"CASE WHEN regexp_full_match({{x}}, {string(STAMP)}) THEN timezone('UTC', {_to_digits('TIMESTAMP', to)}) ELSE {zoned} END"
        whole = Type(to.name, (to.args[0], None))
        return Typed(_guarded(value, f"{STAMP}|{ZONED}", to, instant), whole)
    if to.name == "timetz":
        clock = _rounded("(DATE '1970-01-01' + CAST(regexp_extract({x}, '[0-9:.]+') AS TIME))", to.args[0], 6)
        made = f"CAST(CAST(CAST({clock} AS TIME) AS VARCHAR) || regexp_extract({{x}}, '[+-][0-9:]+') AS TIMETZ)"
        return Typed(_guarded(value, CLOCK + OFFSET, to, made), to)
    if to.name == "varbinary":
        return Typed(f"encode({value.sql})", to)
    if to.name == "uuid":
        return Typed(
            _guarded(value, r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", to, "CAST({x} AS UUID)"), to
        )
    raise Unsupported(
        f"CAST(varchar AS {to}) is not given here. Read the text with a function, e.g. json_parse or date_parse."
    )


def _to_digits(kind: str, to: Type) -> str:
    """Return the timestamp of a text `{x}`, its digits of the second rounded once, half up, however many there are."""
    plain = "CAST({x} AS TIMESTAMP)" if kind == "TIMESTAMP" else "(DATE '1970-01-01' + CAST({x} AS TIME))"
    bare = plain.replace("{x}", "regexp_replace({x}, '[.][0-9]+', '')")
    keeps = min(to.args[0], 6)
    odd = fail(f"DuckDB keeps 6 digits of the second, not {to.args[0]}", Type("timestamp", (6,)))
    lost = f"WHEN regexp_matches({{x}}, '[.][0-9]{{{{6}}}}[0-9]*[1-9]') THEN {odd} " if to.args[0] > 6 else ""
    part = "CAST('0' || regexp_extract({x}, '[.][0-9]+') AS DECIMAL(13, 12))"
    many = f"{bare} + to_microseconds(CAST(round({part}, {keeps}) * 1000000 AS BIGINT))"
    return (
        f"CASE {lost.replace('{{', '{').replace('}}', '}')}WHEN regexp_matches({{x}}, '[.][0-9]{{7}}') THEN {many} "
        f"ELSE {_rounded(plain, to.args[0], 6)} END"
    )


def _decimal_text(told: str, to: Type) -> str:
    try:
        exact = Decimal(told).quantize(Decimal(1).scaleb(-to.args[1]), rounding=ROUND_HALF_UP)
    except InvalidOperation:
        return fail(f"Cannot cast to {to}: {told}", to)
    if len(exact.as_tuple().digits) > to.args[0]:
        return fail(f"Cannot cast to {to}: {told}", to)
    return f"CAST({string(format(exact, 'f'))} AS {duckdb_type(to)})"


def _guarded(value: Typed, pattern: str, to: Type, made: str) -> str:
    if value.text is not None:
        if re.fullmatch(pattern, value.text):
            return made.replace("{x}", value.sql)
        return fail(f"Cannot cast {value.text[:40]!r} to {to}", to)
    return let(
        [value],
        lambda x: (
            f"CASE WHEN {x} IS NULL OR regexp_full_match({x}, {string(pattern)}) THEN {made.replace('{x}', x)} "
            f"ELSE {fail(f'Cannot cast to {to}', to)} END"
        ),
    )


# --- JSON ---------------------------------------------------------------------------------------------------------


def canonical(told: str) -> str | None:
    """Return a JSON text as Trino's json_parse keeps it: keys sorted, no blanks, numbers as written; None if it is none.

    >>> canonical('{"b": 1.50, "a": [null, "é"]}')
    '{"a":[null,"é"],"b":1.50}'
    """
    try:
        tree = json.loads(told, parse_float=_Number, parse_int=_Number, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return _written(tree)


class _Number(str):
    __slots__ = ()


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def _written(tree: Any) -> str:
    if isinstance(tree, _Number):
        return str(tree)
    if isinstance(tree, dict):
        return (
            "{" + ",".join(f"{json.dumps(k, ensure_ascii=False)}:{_written(v)}" for k, v in sorted(tree.items())) + "}"
        )
    if isinstance(tree, list):
        return "[" + ",".join(map(_written, tree)) + "]"
    return json.dumps(tree, ensure_ascii=False)


def is_json(x: str) -> str:
    """Return whether a text is JSON; DuckDB's json_valid takes a comma before ] or }, NaN and Infinity as well."""
    bare = f"regexp_replace({x}, '\"(?:[^\"\\\\]|\\\\.)*\"', '\"\"', 'g')"
    return f"(json_valid({x}) AND NOT regexp_matches({bare}, '(?i),\\s*[\\]}}]|nan|inf'))"


def json_constant(told: str) -> Typed:
    """Return `JSON 'told'`."""
    kept = canonical(told)
    if kept is None:
        raise Unsupported(f"{told[:60]!r} is no JSON. Mend it.")
    # Numbers with a point are kept as doubles by some versions: their digits are only sure where both print the same.
    plain = all(
        _is_plain(found)
        for found in re.findall(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?", re.sub(r'"(?:[^"\\]|\\.)*"', "", kept))
    )
    return Typed(f"CAST({string(kept)} AS JSON)", CANONICAL_JSON if plain else JSON, kept)


def _is_plain(number: str) -> bool:
    return re.fullmatch(r"-?\d+", number) is not None or (
        repr(float(number)) == number and "e" not in number and 1e-3 <= abs(float(number)) < 1e7
    )


def to_json(value: Typed) -> Typed:
    """Return `CAST(value AS JSON)`."""
    of = value.type
    if of.name == "json":
        return value
    if value.text is not None and of.is_text:
        kept = json.dumps(value.text, ensure_ascii=False)
        return Typed(f"CAST({string(kept)} AS JSON)", TEXT_JSON, kept)
    if of.is_text:
        return Typed(f"CAST({json_text(value)} AS JSON)", TEXT_JSON)
    return Typed(f"CAST({json_text(value)} AS JSON)", CANONICAL_JSON if _is_canonical(of) else JSON)


def _is_canonical(of: Type) -> bool:
    return (
        all(
            _is_canonical(part if isinstance(part, Type) else part[1])
            for part in of.args
            if isinstance(part, (Type, tuple))
        )
        if of.name in {"array", "map", "row"}
        else of != JSON
    )


def json_text(value: Typed) -> str:
    """Return the JSON text of a value, NULL for NULL."""
    of = value.type
    if of.is_integer or of.name in {"boolean", "decimal"}:
        return as_text(value).sql
    if of.is_float:
        return let(
            [value],
            lambda x: (
                f"CASE WHEN isfinite({x}) THEN {json_double(x)} WHEN {x} IS NULL THEN NULL ELSE '\"' || ({double_text(x)}) || '\"' END"
            ),
        )
    if of.is_text:
        return f"CAST(to_json({value.sql}) AS VARCHAR)"
    if of.name in {"date", "timestamp", "timestamptz"}:
        return f"('\"' || {as_text(value).sql} || '\"')"
    if of.name == "json":
        return f"CAST({value.sql} AS VARCHAR)"
    if of.name == "unknown":
        return "CAST(NULL AS VARCHAR)"
    if of.name == "array":
        items = _transform(value.sql, lambda x: f"coalesce({json_text(Typed(x, of.element))}, 'null')")
        return f"('[' || array_to_string({items}, ',') || ']')"
    if of.name == "map" and (of.key.is_text or of.key.is_number or of.key.name == "boolean"):
        key = lambda x: f"coalesce({json_key(Typed(x, of.key))}, '')"

        def pairs(x: str) -> str:
            items = _transform(
                f"map_entries({x})",
                lambda e: f"{{k: {key(f'{e}.key')}, v: coalesce({json_text(Typed(f'{e}.value', of.value))}, 'null')}}",
            )
            return f"'{{' || array_to_string({_transform(f'list_sort({items})', lambda e: f'CAST(to_json({e}.k) AS VARCHAR) || {string(chr(58))} || {e}.v')}, ',') || '}}'"

        return let([value], lambda x: f"CASE WHEN {x} IS NULL THEN NULL ELSE {pairs(x)} END")
    if of.name == "row":

        def fields(x: str) -> str:
            parts = []
            for held, (name, kind) in zip(field_names(of), of.fields, strict=True):
                inner = json_text(Typed(f"struct_extract({x}, {string(held)})", kind))
                parts.append(f"{string(json.dumps(name or '', ensure_ascii=False) + ':')} || coalesce({inner}, 'null')")
            return f"CASE WHEN {x} IS NULL THEN NULL ELSE '{{' || {(' || ' + string(',') + ' || ').join(parts)} || '}}' END"

        return let([value], fields)
    raise Unsupported(f"CAST({of} AS JSON) is not given here. CAST it to varchar first.")


def json_double(x: str) -> str:
    """Return a finite double as Java prints it: 3.14, and beyond 1e-3 … 1e7 with an exponent, 1.0E10."""
    return f"CASE WHEN {x} = 0 OR (abs({x}) >= 1e-3 AND abs({x}) < 1e7) THEN CAST({x} AS VARCHAR) ELSE {double_text(x)} END"


def json_key(value: Typed) -> str:
    """Return a map's key as the text of a JSON key."""
    if value.type.is_float:
        return let([value], lambda x: f"CASE WHEN isfinite({x}) THEN {json_double(x)} ELSE {double_text(x)} END")
    return as_text(value).sql


def from_json(value: Typed, to: Type) -> str:
    """Return `CAST(json AS to)`: JSON's null is NULL, texts and numbers and booleans become each other, as Trino has it."""
    if to.name == "json":
        return value.sql
    return let([value], lambda x: _from_json(x, to))


def _from_json(x: str, to: Type) -> str:
    kind, plain = f"json_type({x})", f"json_extract_string({x}, '$')"
    null = f"{x} IS NULL OR {kind} = 'NULL' THEN NULL"
    odd = fail(f"Cannot cast JSON to {to}", to)
    target = duckdb_type(to)
    text_of = Typed(plain, VARCHAR)
    if to.name in {"varchar", "char"}:
        number = f"CASE WHEN regexp_full_match({plain}, '-?[0-9]+') THEN {plain} ELSE {let([Typed(f'CAST({plain} AS DOUBLE)', DOUBLE)], double_text)} END"
        made = f"CASE WHEN {null} WHEN {kind} IN ('ARRAY', 'OBJECT') THEN {odd} WHEN {kind} IN ('VARCHAR', 'BOOLEAN') THEN {plain} ELSE {number} END"
        return _to_length(Typed(made, VARCHAR), to).sql
    if to.name == "boolean":
        return f"CASE WHEN {null} WHEN {kind} = 'BOOLEAN' THEN {plain} = 'true' WHEN {kind} = 'VARCHAR' THEN {_from_text(text_of, to).sql} WHEN {kind} IN ('ARRAY', 'OBJECT') THEN {odd} ELSE CAST({plain} AS DOUBLE) <> 0 END"
    if to.is_number:
        if to.is_integer:
            number = f"CASE WHEN regexp_full_match({plain}, '-?[0-9]+') THEN CAST({plain} AS {target}) ELSE CAST(round(CAST({plain} AS DOUBLE)) AS {target}) END"
        elif to.name == "decimal":  # DuckDB keeps a number with a point as a double: beyond 15 digits it is another
            many = f"{kind} = 'DOUBLE' AND length(regexp_replace({plain}, '[^0-9]', '', 'g')) > 15"
            number = f"CASE WHEN {many} THEN {fail('JSON number with more digits than a double keeps', to)} ELSE CAST({plain} AS {target}) END"
        else:
            number = f"CAST({plain} AS {target})"
        return f"CASE WHEN {null} WHEN {kind} = 'BOOLEAN' THEN CAST(CAST({plain} = 'true' AS INTEGER) AS {target}) WHEN {kind} = 'VARCHAR' THEN {_from_text(text_of, to).sql} WHEN {kind} IN ('ARRAY', 'OBJECT') THEN {odd} ELSE {number} END"
    if to.name in {"date", "timestamp"}:
        return f"CASE WHEN {null} WHEN {kind} = 'VARCHAR' THEN {_from_text(text_of, to).sql} ELSE {odd} END"
    if to.name == "array":
        items = _transform(
            f"CAST({x} AS JSON[])",
            lambda e: (
                _from_json(e, to.element) if to.element.name != "json" else f"coalesce({e}, CAST('null' AS JSON))"
            ),
        )
        return f"CASE WHEN {null} WHEN {kind} <> 'ARRAY' THEN {odd} ELSE {items} END"
    if to.name == "map":
        keys = (
            f"json_keys({x})"
            if to.key == VARCHAR
            else _transform(f"json_keys({x})", lambda e: _cast(Typed(e, VARCHAR), to.key).sql)
        )
        values = f"map_values(CAST({x} AS MAP(VARCHAR, JSON)))"
        if to.value.name != "json":
            values = _transform(values, lambda e: _from_json(e, to.value))
        else:
            values = _transform(values, lambda e: f"coalesce({e}, CAST('null' AS JSON))")
        return f"CASE WHEN {null} WHEN {kind} <> 'OBJECT' THEN {odd} ELSE map({keys}, {values}) END"
    if to.name == "row":
        by_name, by_place = [], []
        for at, (held, (name, kind_of)) in enumerate(zip(field_names(to), to.fields, strict=True)):
            place = f"json_extract({x}, '$[{at}]')"
            by_place.append(f"{quoted(held)}: {_from_json(place, kind_of) if kind_of.name != 'json' else place}")
            by_key = (
                f"list_filter(map_entries(CAST({x} AS MAP(VARCHAR, JSON))), lambda _k: lower(_k.key) = {string((name or '').lower())})[1].value"
                if name
                else "CAST(NULL AS JSON)"
            )
            by_name.append(f"{quoted(held)}: {_from_json(by_key, kind_of) if kind_of.name != 'json' else by_key}")
        named = f"WHEN {kind} = 'OBJECT' THEN {{{', '.join(by_name)}}} " if all(n for n, _ in to.fields) else ""
        return f"CASE WHEN {null} WHEN {kind} = 'ARRAY' AND json_array_length({x}) = {len(to.fields)} THEN {{{', '.join(by_place)}}} {named}ELSE {odd} END"
    raise Unsupported(f"CAST(JSON AS {to}) is not given here. CAST it to varchar first.")


def same_types(values: Sequence[Typed], kind: Type) -> list[Typed]:
    """Return all values coerced to one type."""
    return [coerce(value, kind) for value in values]
