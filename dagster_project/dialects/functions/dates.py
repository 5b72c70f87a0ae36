"""Dates and times: fields, arithmetic by units, printing and reading by patterns.

Constants of more digits than DuckDB keeps are computed here (`moments`).
Source: https://trino.io/docs/current/functions/datetime.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from dagster_project.dialects import moments
from dagster_project.dialects.casts import _rounded, at_zone, cast, from_zone, local
from dagster_project.dialects.expressions import at_named_zone
from dagster_project.dialects.functions.calls import Call, function
from dagster_project.dialects.moments import FIELDS, Moment
from dagster_project.dialects.typed import Typed, fail, let, moment, number, string, text
from dagster_project.dialects.types import (
    BIGINT,
    DATE,
    DOUBLE,
    INTERVAL,
    MONTHS,
    UNKNOWN,
    VARCHAR,
    Type,
    timestamp,
    timestamptz,
)

PARTS: Final = {
    "year": "year", "quarter": "quarter", "month": "month", "week": "week", "day": "day", "dow": "isodow", "doy": "doy",
    "yow": "isoyear", "hour": "hour", "minute": "minute",
}  # fmt: skip


def _field(name: str, unit: str) -> None:
    @function(name)
    def rule(call: Call) -> Typed:
        """Give a field of a date or time as bigint."""
        value = call.values[0]
        kind = value.type
        if isinstance(value.const, Moment):
            found = moments.field(value.const, unit)
            if found is not None:
                return number(found)
        if kind.name in {"date", "timestamp", "timestamptz"}:
            if unit.startswith("timezone_") and kind.name == "timestamptz":
                return _zone_field(call, value, unit)
            if (kind.name == "date" and unit in {"hour", "minute", "second", "millisecond"}) or unit.startswith(
                "timezone_"
            ):
                raise call.refuse(f"of {kind} is not in Athena", "CAST it to timestamp.")
            return Typed(_part(unit, local(value, f"{name}()").sql), BIGINT)
        if kind.name == "time" and unit in {"hour", "minute", "second", "millisecond"}:
            return Typed(_part(unit, value.sql), BIGINT)
        if kind == INTERVAL and unit in {"day", "hour", "minute", "second", "millisecond"}:
            steps = {
                "day": "// 86400000",
                "hour": "// 3600000 % 24",
                "minute": "// 60000 % 60",
                "second": "// 1000 % 60",
                "millisecond": "% 1000",
            }
            return Typed(f"CAST(epoch_ms({value.sql}) {steps[unit]} AS BIGINT)", BIGINT)
        if kind == MONTHS and unit in {"year", "month"}:
            return Typed(f"CAST(datepart('{unit}', {value.sql}) AS BIGINT)", BIGINT)
        if kind == UNKNOWN:
            return Typed("CAST(NULL AS BIGINT)", BIGINT)
        raise call.refuse(
            f"of {kind if kind.is_known else value.sql + ', whose type nobody told,'} is not given here",
            "CAST it to timestamp.",
        )


def _part(unit: str, sql: str) -> str:
    if unit == "second":
        return f"CAST(datepart('second', {sql}) AS BIGINT)"
    if unit == "millisecond":
        return f"CAST(datepart('millisecond', {sql}) % 1000 AS BIGINT)"
    return f"CAST(datepart('{PARTS[unit]}', {sql}) AS BIGINT)"


def _zone_field(call: Call, value: Typed, unit: str) -> Typed:
    zone = value.type.args[1]
    minutes = moments.offset_minutes(zone) if zone else None
    if minutes is None:
        shown = local(value, f"{call.name}()")
        offset = f"CAST((epoch_us({shown.sql}) - epoch_us({value.sql})) // 60000000 AS BIGINT)"
    else:
        offset = str(minutes) if value.const is not None else f"CASE WHEN {value.sql} IS NOT NULL THEN {minutes} END"
        offset = f"({offset})"
    return Typed(f"({offset} // 60)" if unit == "timezone_hour" else f"({offset} % 60)", BIGINT)


for _name, _unit in FIELDS.items():
    _field(_name, _unit)


def _timed(call: Call, index: int) -> Typed:
    value = call.values[index]
    if value.type.name not in {"date", "timestamp", "timestamptz", "time", "timetz"}:
        raise call.refuse(
            f"takes a date or time, not {value.type if value.type.is_known else 'a column of a type nobody told of'}",
            "CAST it.",
        )
    return value


@function("date_trunc", args=2)
def date_trunc(call: Call) -> Typed:
    """Give the start of the unit a date or time lies in, in its own type."""
    unit, value = call.constant(0).lower(), _timed_or_null(call, 1)
    kind = value.type
    if isinstance(value.const, Moment) and (made := moments.truncated(value.const, unit)) is not None:
        return moment(made)
    if unit not in {"millisecond", "second", "minute", "hour", "day", "week", "month", "quarter", "year"}:
        raise call.refuse(f"knows no unit {unit}", "Use one from millisecond to year.")
    if (kind.name == "date" and unit in {"millisecond", "second", "minute", "hour"}) or (
        kind.name == "time" and unit not in {"millisecond", "second", "minute", "hour"}
    ):
        raise call.refuse(f"to {unit} of {kind} is not in Athena", "CAST it to timestamp.")
    if kind.name == "time":
        return Typed(f"CAST(date_trunc('{unit}', DATE '1970-01-01' + {value.sql}) AS TIME)", kind)
    if kind.name == "timestamptz":
        shown = f"date_trunc('{unit}', {local(value, 'date_trunc()').sql})"
        return Typed(from_zone(shown, kind.args[1]), kind)
    made_ = f"date_trunc('{unit}', {value.sql})"
    return Typed(f"CAST({made_} AS DATE)" if kind == DATE else f"CAST({made_} AS TIMESTAMP)", kind)


def _timed_or_null(call: Call, index: int) -> Typed:
    if call.values[index].type == UNKNOWN:
        return Typed("CAST(NULL AS DATE)", DATE)
    return _timed(call, index)


MILLISECONDS: Final = {
    "millisecond": 1,
    "second": 1000,
    "minute": 60000,
    "hour": 3600000,
    "day": 86400000,
    "week": 604800000,
}
MONTHS_OF: Final = {"month": 1, "quarter": 3, "year": 12}


@function("date_add", args=3)
def date_add(call: Call) -> Typed:
    """Give a date or time so many units later; a day that the month has not becomes its last."""
    unit, count, value = call.constant(0).lower(), call.integer(1), _timed_or_null(call, 2)
    kind = value.type
    if unit not in MILLISECONDS and unit not in MONTHS_OF:
        raise call.refuse(f"knows no unit {unit}", "Use one from millisecond to year.")
    if (
        isinstance(value.const, Moment)
        and count.integer is not None
        and not (kind.name == "date" and unit in {"hour", "minute", "second", "millisecond"})
    ):
        if kind.name in {"time", "timetz"} and unit in {"day", "week", *MONTHS_OF}:
            raise call.refuse(f"of {unit} to {kind} is not in Athena", "Use hours.")
        return _added(value.const, unit, count.integer)
    if (
        kind.name == "timetz"
        or (kind.name == "time" and unit in {"day", "week", *MONTHS_OF})
        or (kind == DATE and unit in {"hour", "minute", "second", "millisecond"})
    ):
        raise call.refuse(f"of {unit} to {kind} is not given here", "CAST it to timestamp.")
    whole = f"CAST({count.sql} AS INTEGER)"
    span = (
        f"to_months({whole} * {MONTHS_OF[unit]})"
        if unit in MONTHS_OF
        else f"to_days({whole} * {MILLISECONDS[unit] // 86400000})"
        if unit in {"day", "week"}
        else f"to_milliseconds(CAST({count.sql} AS BIGINT) * {MILLISECONDS[unit]})"
    )
    if kind.name == "timestamptz":
        if unit in {"hour", "minute", "second", "millisecond"}:
            return Typed(f"timezone('UTC', timezone('UTC', {value.sql}) + {span})", kind)
        return Typed(from_zone(f"({local(value, 'date_add()').sql} + {span})", kind.args[1]), kind)
    made = f"({value.sql} + {span})"
    if kind.name == "timestamp" and unit == "millisecond":
        made = _rounded(made, kind.args[0], 6)
    return Typed(f"CAST({made} AS DATE)" if kind == DATE else made, kind)


def _added(value: Moment, unit: str, count: int) -> Typed:
    if unit in MONTHS_OF:
        return moment(moments.plus(value, 0, count * MONTHS_OF[unit]))
    if unit in {"day", "week"}:
        days = count * MILLISECONDS[unit] // 86400000
        return moment(Moment(value.kind, value.digits, value.days + days, value.picos, value.zone))
    made = moments.plus(value, count * MILLISECONDS[unit] * 10**9)
    return moment(Moment(made.kind, value.digits, made.days, made.picos, made.zone).rounded(value.digits))


@function("date_diff", args=3)
def date_diff(call: Call) -> Typed:
    """Give how many whole units lie between two dates or times."""
    unit = call.constant(0).lower()
    first, last = _timed_or_null(call, 1), _timed_or_null(call, 2)
    if unit not in MILLISECONDS and unit not in MONTHS_OF:
        raise call.refuse(f"knows no unit {unit}", "Use one from millisecond to year.")
    one, other = (_micro(v) for v in (first, last))
    kinds = {one.type.name, other.type.name}
    if kinds == {"time"} and unit in MILLISECONDS and unit not in {"day", "week"}:
        at = lambda v: f"epoch_us(DATE '1970-01-01' + {v.sql})"
        if isinstance(one.const, Moment) and isinstance(other.const, Moment):
            return number(_quotient(other.const.picos - one.const.picos, MILLISECONDS[unit] * 10**9))
        return Typed(f"(({at(other)} - {at(one)}) // {MILLISECONDS[unit] * 1000})", BIGINT)
    if (
        kinds == {"timetz"}
        and isinstance(one.const, Moment)
        and isinstance(other.const, Moment)
        and unit not in {"day", "week", *MONTHS_OF}
    ):
        a, b = (v.const.instant % moments.DAY for v in (one, other))
        return number(_quotient(b - a, MILLISECONDS[unit] * 10**9))
    if not kinds <= {"date", "timestamp", "timestamptz"}:
        raise call.refuse(f"of {first.type} and {last.type} is not given here", "CAST both to timestamp.")
    if "timestamptz" in kinds:
        one, other = _both_local(one, other, unit)
    a, b = (
        f"CAST({v.sql} AS TIMESTAMP)"
        if v.type == DATE
        else v.sql
        if v.type.args[0] <= 3
        else f"date_trunc('millisecond', {v.sql})"  # Trino counts between whole milliseconds
        for v in (one, other)
    )
    if unit in MONTHS_OF:
        months = f"date_sub('month', {a}, {b})"
        return Typed(months if unit == "month" else f"({months} // {MONTHS_OF[unit]})", BIGINT)
    return Typed(f"((epoch_us({b}) - epoch_us({a})) // {MILLISECONDS[unit] * 1000})", BIGINT)


def _quotient(a: int, b: int) -> int:
    return abs(a) // b * (1 if a >= 0 else -1)


def _both_local(one: Typed, other: Typed, unit: str) -> tuple[Typed, Typed]:
    if unit in {"hour", "minute", "second", "millisecond"}:
        kind = timestamptz(6, "UTC")
        instants = [v.sql if v.type.name == "timestamptz" else cast(v, kind).sql for v in (one, other)]
        first, last = (Typed(at_zone(sql, "UTC"), timestamp(6)) for sql in instants)
        return first, last
    zone = one.type.args[1] if one.type.name == "timestamptz" else "UTC"
    seen = [
        at_named_zone(v if v.type.name == "timestamptz" else cast(v, timestamptz(6, "UTC")), zone) if zone else v
        for v in (one, other)
    ]
    return local(seen[0], "date_diff()"), local(seen[1], "date_diff()")


def _micro(value: Typed) -> Typed:
    return moment(value.const.floored()) if isinstance(value.const, Moment) else value


@function("last_day_of_month")
def last_day_of_month(call: Call) -> Typed:
    """Give the last day of the month a date or time lies in."""
    value = _micro(_timed_or_null(call, 0))
    return Typed(f"last_day({local(value, 'last_day_of_month()').sql})", DATE)


@function("date")
def date(call: Call) -> Typed:
    """Give CAST(… AS date)."""
    return cast(call.values[0], DATE)


# --- instants -----------------------------------------------------------------------------------------------------


@function("from_unixtime", args=(1, 3))
def from_unixtime(call: Call) -> Typed:
    """Give the instant of seconds since 1970, to the millisecond."""
    if len(call) == 3:
        raise call.refuse("with hours and minutes is not given here", "Name a zone, e.g. '+05:30'.")
    seconds = call.double(0)
    zone = "UTC"
    if len(call) == 2:
        named = moments.zone_named(call.constant(1))
        if named is None:
            raise call.refuse(f"knows no zone {call.constant(1)}", "Name one, e.g. 'Europe/Warsaw'.")
        zone = named
    return Typed(f"make_timestamptz(CAST(round({seconds.sql} * 1000) AS BIGINT) * 1000)", timestamptz(3, zone))


@function("to_unixtime")
def to_unixtime(call: Call) -> Typed:
    """Give seconds since 1970 as a double."""
    value = _timed_or_null(call, 0)
    if value.type == DATE:
        value = Typed(f"CAST({value.sql} AS TIMESTAMP)", timestamp(0))
    if value.type.name not in {"timestamp", "timestamptz"}:
        raise call.refuse(f"of {value.type} is not in Athena", "CAST it to timestamp.")
    if isinstance(value.const, Moment):
        value = _micro(value)
    return Typed(f"(CAST(epoch_us({value.sql}) AS DOUBLE) / 1e6)", DOUBLE)


@function("with_timezone", args=2)
def with_timezone(call: Call) -> Typed:
    """Give the instant at which the clocks of a zone show a timestamp."""
    value, zone = call.values[0], moments.zone_named(call.constant(1))
    if zone is None or value.type.name != "timestamp":
        raise call.refuse("takes a timestamp and the name of a zone", "Name one, e.g. 'Europe/Warsaw'.")
    if isinstance(value.const, Moment):
        return moment(Moment("timestamptz", value.const.digits, value.const.days, value.const.picos, zone))
    return Typed(from_zone(value.sql, zone), timestamptz(value.type.args[0], zone))


@function("at_timezone", args=2)
def at_timezone(call: Call) -> Typed:
    """Give the same instant in another zone."""
    by = call.values[1]
    if by.type == INTERVAL and isinstance(by.const, tuple):
        minutes = by.const[1] // 60000
        return at_named_zone(
            call.values[0],
            f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}" if minutes else "UTC",
        )
    zone = moments.zone_named(call.constant(1))
    if zone is None:
        raise call.refuse(f"knows no zone {call.constant(1)}", "Name one, e.g. 'Europe/Warsaw'.")
    return at_named_zone(call.values[0], zone)


@function("timezone")
def timezone(call: Call) -> Typed:
    """Give the name of the zone."""
    value = call.values[0]
    if isinstance(value.const, Moment) and value.const.zone:
        return text("+00:00" if value.const.kind == "timetz" and value.const.zone == "UTC" else value.const.zone)
    if value.type.name == "timestamptz" and value.type.args[1]:
        return Typed(f"CASE WHEN {value.sql} IS NOT NULL THEN {string(value.type.args[1])} END", VARCHAR)
    raise call.refuse("depends on the zone of each value, and DuckDB keeps none", "Write … AT TIME ZONE first.")


@function("to_iso8601")
def to_iso8601(call: Call) -> Typed:
    """Give a date or time in ISO 8601."""
    value = _timed(call, 0)
    if value.type == DATE:
        return Typed(f"strftime({value.sql}, '%Y-%m-%d')", VARCHAR)
    if isinstance(value.const, Moment) and value.type.name in {"timestamp", "timestamptz"}:
        shown = str(value.const).split(" ")
        zone = ""
        if value.const.zone:
            minutes = value.const.offset // 60
            zone = (
                "Z"
                if value.const.zone == "UTC" or (minutes == 0 and value.const.zone == "UTC")
                else f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
            )
        return text(f"{shown[0]}T{shown[1]}{zone}")
    if value.type.name == "timestamp" or (value.type.name == "timestamptz" and value.type.args[1] == "UTC"):
        digits = value.type.args[0]
        shown_ = local(value, "to_iso8601()").sql
        form = f"strftime({shown_}, '%Y-%m-%dT%H:%M:%S{'.%f' if digits else ''}')"
        form = form if digits in {0, 6} else f"left({form}, {digits - 6})"
        return Typed(f"({form} || 'Z')" if value.type.name == "timestamptz" else form, VARCHAR)
    raise call.refuse(f"of {value.type} is not given here", "CAST it to timestamp.")


@function("from_iso8601_date")
def from_iso8601_date(call: Call) -> Typed:
    """Give the date of an ISO 8601 text, as YYYY-MM-DD or a week or a day of a year."""
    value = call.text(0)
    raised = fail("Invalid date", DATE)
    return Typed(
        let(
            [value],
            lambda x: (
                f"CASE WHEN {x} IS NULL OR regexp_full_match({x}, '[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}') THEN CAST({x} AS DATE) ELSE {raised} END"
            ),
        )
        if value.text is None or re.fullmatch(r"\d{4}-\d\d-\d\d", value.text)
        else _odd_date(call, value.text),
        DATE,
    )


def _odd_date(call: Call, written: str) -> str:
    week = re.fullmatch(r"(\d{4})-?W(\d\d)(?:-?(\d))?", written)
    day = re.fullmatch(r"(\d{4})-?(\d{3})", written)
    plain = re.fullmatch(r"(\d{4})(\d\d)(\d\d)", written)
    if week:
        first = moments.epoch_days(int(week[1]), 1, 4)
        found = first - (first + 3) % 7 + (int(week[2]) - 1) * 7 + int(week[3] or 1) - 1
    elif day:
        found = moments.epoch_days(int(day[1]), 1, 1) + int(day[2]) - 1
    elif plain:
        found = moments.epoch_days(int(plain[1]), int(plain[2]), int(plain[3]))
    else:
        raise call.refuse(f"of {written} is not given here", "Write YYYY-MM-DD.")
    return Moment("date", 0, found, 0).sql


ISO: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}(:[0-9]{2}(:[0-9]{2}([.,][0-9]{1,6})?)?)?)?"


def _iso_instants(value: Typed) -> Typed:
    """Return the instants of texts whose offsets may differ."""
    kind = timestamptz(3, None)
    raised = fail("Invalid format of an ISO 8601 timestamp", kind)

    def body(x: str) -> str:
        plain = f"CASE WHEN regexp_full_match({x}, '{ISO}') THEN make_timestamptz(epoch_us(CAST({x} AS TIMESTAMP)) // 1000 * 1000) "
        zoned = f"WHEN regexp_full_match({x}, '{ISO}(Z|[+-][0-9]{{2}}(:?[0-9]{{2}})?)') THEN make_timestamptz(epoch_us(CAST({x} AS TIMESTAMPTZ)) // 1000 * 1000) "
        return f"{plain}{zoned}WHEN {x} IS NOT NULL THEN {raised} END"

    return Typed(let([value], body), kind)


@function("now", args=0)
def now(call: Call) -> Typed:
    """Give the instant at which the query began, to the millisecond."""
    return Typed("date_trunc('millisecond', now())", timestamptz(3, "UTC"))


@function("current_timezone", args=0)
def current_timezone(call: Call) -> Typed:
    """Give the zone of the session, which is UTC as Athena's is."""
    return text("UTC")


@function("from_iso8601_timestamp")
def from_iso8601_timestamp(call: Call) -> Typed:
    """Give the instant of an ISO 8601 text; one without an offset is in UTC."""
    if call.text(0).text is None:
        return _iso_instants(call.text(0))
    written = call.constant(0)
    read = moments.read_timestamp(written)
    if read is None or not re.match(r"\d{4}-\d\d-\d\d(T\d\d:\d\d|$)", written):
        raise call.refuse(f"of {written} is not given here", "Write it as 2020-05-11T11:15:05Z.")
    zoned = read if read.zone else Moment("timestamptz", read.digits, read.days, read.picos, "UTC")
    return moment(zoned.rounded(3) if zoned.digits != 3 else zoned)


# --- patterns -----------------------------------------------------------------------------------------------------

MYSQL: Final[Mapping[str, str]] = {
    "a": "%a", "b": "%b", "c": "%-m", "d": "%d", "e": "%-d", "f": "%f", "H": "%H", "h": "%I", "I": "%I", "i": "%M", "j": "%j",
    "k": "%-H", "l": "%-I", "M": "%B", "m": "%m", "p": "%p", "r": "%I:%M:%S %p", "S": "%S", "s": "%S", "T": "%H:%M:%S",
    "v": "%V", "W": "%A", "x": "%G", "Y": "%Y", "y": "%y", "%": "%%",
}  # fmt: skip
READ: Final = frozenset("bdefHhIijklMmprSsTYyc%a W".replace(" ", ""))


def mysql_pattern(call: Call, index: int) -> str:
    """Return a pattern of date_format in strftime's words. Raises `Unsupported` for a letter Trino does not print."""
    written, made, at = call.constant(index), "", 0
    while at < len(written):
        char = written[at]
        if char != "%":
            made, at = made + char, at + 1
            continue
        letter = written[at + 1 : at + 2]
        if letter in MYSQL:
            made += MYSQL[letter]
        elif (letter and letter in "DUuVwX") or not letter:
            raise call.refuse(f"knows no %{letter}", "Use day_of_week() or week() beside it.")
        else:
            made += letter  # Trino prints the letter itself
        at += 2
    return made


@function("date_format", args=2)
def date_format(call: Call) -> Typed:
    """Give a date or time by MySQL's pattern."""
    return _printed(call, mysql_pattern(call, 1))


def _printed(call: Call, pattern: str) -> Typed:
    """Give a date or time by strftime's pattern."""
    value = _milli(_timed_or_null(call, 0))
    if value.type.name in {"time", "timetz"}:
        raise call.refuse(f"of {value.type} is not in Athena", "CAST it to timestamp.")
    return Typed(f"strftime({local(value, f'{call.name}()').sql}, {string(pattern)})", VARCHAR)


def _milli(value: Typed) -> Typed:
    """Return a date or time rounded to the millisecond, as the patterns print it."""
    kind = value.type
    if kind.name not in {"timestamp", "timestamptz"} or kind.args[0] <= 3:
        return value
    return cast(value, Type(kind.name, (3, *kind.args[1:])))


@function("date_parse", args=2)
def date_parse(call: Call) -> Typed:
    """Give the timestamp that a text is by MySQL's pattern; an error if it is none."""
    written = call.constant(1)
    letters = set(re.findall(r"%(.)", written))
    if letters - READ or letters & {"a", "W"}:
        raise call.refuse(
            f"reads no {', '.join(sorted('%' + c for c in letters - READ | letters & {'a', 'W'}))} here",
            "Take the text apart first.",
        )
    if letters & {"h", "I", "l"} and not letters & {"p", "r"}:
        raise call.refuse("with %h takes %p too here", "Use %H for hours to 23.")
    if not {"Y", "y"} & letters:
        raise call.refuse("takes a pattern with a year here", "Put one before the text.")
    if "y" in letters:
        raise call.refuse("with %y depends on a pivot year", "Write the century.")
    value = call.text(0)
    pattern = mysql_pattern(call, 1).replace("%-m", "%m").replace("%-d", "%d").replace("%-H", "%H").replace("%-I", "%I")
    if re.search(r"%[a-zA-Z](?=%[a-zA-Z])", pattern) and any(c in letters for c in "cekl"):
        raise call.refuse("with fields side by side is not given here", "Put something between them.")
    made = f"strptime({value.sql}, {string(pattern)})"
    return Typed(
        f"date_trunc('millisecond', {made})" if "f" in letters else made,
        timestamp(3),
    )


JODA: Final[list[tuple[str, str]]] = [
    ("yyyy", "%Y"), ("YYYY", "%Y"), ("yy", "%y"), ("MMMM", "%B"), ("MMM", "%b"), ("MM", "%m"), ("M", "%-m"), ("dd", "%d"),
    ("d", "%-d"), ("HH", "%H"), ("H", "%-H"), ("hh", "%I"), ("h", "%-I"), ("mm", "%M"), ("m", "%-M"), ("ss", "%S"), ("s", "%-S"),
    ("SSS", "%g"), ("EEEE", "%A"), ("EEE", "%a"), ("E", "%a"), ("a", "%p"), ("DDD", "%j"), ("xxxx", "%G"), ("ww", "%V"), ("e", "%u"),
    ("y", "%-Y"),
]  # fmt: skip
KNOWN: Final = {letters: made for letters, made in JODA if letters != "y"}


def joda_pattern(call: Call, index: int) -> str:
    """Return a pattern of Joda in strftime's words. Raises `Unsupported` for letters that are not known here."""
    written, made, at = call.constant(index), "", 0
    while at < len(written):
        char = written[at]
        if char == "'":
            end = written.find("'", at + 1)
            if end < 0:
                raise call.refuse("has a quote without an end in its pattern", "Mend it.")
            made += "'" if end == at + 1 else written[at + 1 : end].replace("%", "%%")
            at = end + 1
            continue
        if not char.isalpha():
            made, at = made + ("%%" if char == "%" else char), at + 1
            continue
        run = re.match(re.escape(char) + "+", written[at:])
        letters = run[0] if run else char
        if letters not in KNOWN:
            raise call.refuse(f"knows no {letters} in a pattern here", "Use date_format().")
        made += KNOWN[letters]
        at += len(letters)
    return made


@function("format_datetime", args=2)
def format_datetime(call: Call) -> Typed:
    """Give a date or time by Joda's pattern."""
    return _printed(call, joda_pattern(call, 1))


@function("parse_datetime", args=2)
def parse_datetime(call: Call) -> Typed:
    """Give the instant that a text is by Joda's pattern, in UTC."""
    pattern = joda_pattern(call, 1)
    if not ("%Y" in pattern and "%m" in pattern.replace("%-m", "%m")) or re.search(r"%[aApGVuy]", pattern):
        raise call.refuse("takes a pattern of year, month, day and time here", "Use date_parse().")
    made = f"strptime({call.text(0).sql}, {string(pattern.replace('%-', '%'))})"
    return Typed(f"timezone('UTC', {made})", timestamptz(3, "UTC"))


@function("human_readable_seconds")
def human_readable_seconds(call: Call) -> Typed:
    """Give seconds as weeks, days, hours, minutes, seconds, in words."""
    value = call.double(0)
    raised = fail("Invalid argument found: value must be finite", VARCHAR)

    def body(x: str) -> str:
        s = f"CAST(least(round(abs({x})), 9223372036854774784e0) AS HUGEINT)"
        s = f"CASE WHEN abs({x}) >= 9223372036854775807e0 THEN 9223372036854775807 ELSE {s} END"
        parts = []
        for size, wrap, word in (
            (604800, None, "week"),
            (86400, 7, "day"),
            (3600, 24, "hour"),
            (60, 60, "minute"),
            (1, 60, "second"),
        ):
            n = f"({s} // {size}{f' % {wrap}' if wrap else ''})"
            parts.append(f"CASE WHEN {n} = 0 THEN NULL WHEN {n} = 1 THEN '1 {word}' ELSE {n} || ' {word}s' END")
        return f"CASE WHEN {x} IS NULL THEN NULL WHEN NOT isfinite({x}) THEN {raised} WHEN {s} = 0 THEN '0 seconds' ELSE concat_ws(', ', {', '.join(parts)}) END"

    return Typed(let([value], body), VARCHAR)
