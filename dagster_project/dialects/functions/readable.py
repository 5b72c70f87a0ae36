"""What is printed for people and read from them: numbers with a letter, sizes, durations, names by sound.

Source: https://trino.io/docs/current/functions/conversion.html, …/string.html, …/datetime.html
"""

from __future__ import annotations

import re
from decimal import Decimal

from dagster_project.dialects.functions.calls import Call, function
from dagster_project.dialects.typed import Typed, fail, let, text
from dagster_project.dialects.types import BIGINT, DOUBLE, INTERVAL, UNKNOWN, VARCHAR, decimal


@function("format_number")
def format_number(call: Call) -> Typed:
    """Give a number in three digits and a letter for the thousands: 12.4K."""
    value = call.values[0]
    if value.type == UNKNOWN:
        return Typed("CAST(NULL AS VARCHAR)", VARCHAR)
    if not value.type.is_number:
        raise call.refuse(f"takes a number, not {value.type}", "CAST it.")
    held = Typed(_whole(value) if not value.type.is_integer else f"CAST({value.sql} AS DOUBLE)", DOUBLE)

    def body(x: str) -> str:
        scale = f"CASE WHEN abs({x}) >= 1e15 THEN 5 WHEN abs({x}) >= 1e12 THEN 4 WHEN abs({x}) >= 1e9 THEN 3 WHEN abs({x}) >= 1e6 THEN 2 WHEN abs({x}) >= 1e3 THEN 1 ELSE 0 END"
        small = f"({x} / pow(1000, {scale}))"
        shown = f"CASE WHEN {small} < 10 THEN CAST(CAST({small} AS DECIMAL(38, 2)) AS VARCHAR) WHEN {small} < 100 THEN CAST(CAST({small} AS DECIMAL(38, 1)) AS VARCHAR) ELSE CAST(CAST({small} AS DECIMAL(38, 0)) AS VARCHAR) || '.0' END"
        return f"CASE WHEN {x} IS NULL THEN NULL ELSE regexp_replace({shown}, '[.]?0*$', '') || ['', 'K', 'M', 'B', 'T', 'Q'][{scale} + 1] END"

    return Typed(let([held], body), VARCHAR)


def _whole(value: Typed) -> str:
    """Return a double cut to a bigint, as a double: what format_number() tells of it. Source: its code's `(long) value`."""
    return let(
        [Typed(f"CAST({value.sql} AS DOUBLE)", DOUBLE)],
        lambda x: (
            f"CASE WHEN {x} IS NULL THEN NULL WHEN isnan({x}) THEN 0e0 ELSE trunc(greatest(least({x}, 9223372036854775807e0), -9223372036854775808e0)) END"
        ),
    )


SIZES = ("b", "kb", "mb", "gb", "tb", "pb", "eb", "zb", "yb")


@function("parse_data_size", "parse_presto_data_size")
def parse_data_size(call: Call) -> Typed:
    """Give the bytes that a constant text such as 2.3MB is, with 1024 to each step."""
    written = call.constant(0)
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]+)\s*", written)
    kind = decimal(38, 0)
    if found is None or found[2].lower() not in SIZES:
        return Typed(fail(f"Invalid data size: {written}", kind), kind)
    size = int(Decimal(found[1]) * 1024 ** SIZES.index(found[2].lower()))
    return Typed(f"CAST('{size}' AS DECIMAL(38, 0))", kind, Decimal(size))


UNITS = {
    unit: Decimal(ms)
    for unit, ms in {
        "ns": "0.000001",
        "us": "0.001",
        "ms": "1",
        "s": "1000",
        "m": "60000",
        "h": "3600000",
        "d": "86400000",
    }.items()
}


@function("parse_duration")
def parse_duration(call: Call) -> Typed:
    """Give the interval that a constant text such as 3.81 d is, to the millisecond."""
    written = call.constant(0)
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ns|us|ms|s|m|h|d)\s*", written)
    if found is None:
        return Typed(fail(f"duration is not a valid data duration string: {written}", INTERVAL), INTERVAL)
    amount = round(Decimal(found[1]) * UNITS[found[2]])
    return Typed(f"to_milliseconds({amount})", INTERVAL, ("ms", amount))


@function("to_milliseconds")
def to_milliseconds(call: Call) -> Typed:
    """Give the milliseconds of an interval."""
    value = call.values[0]
    if value.type != INTERVAL:
        raise call.refuse(f"takes an interval of days to seconds, not {value.type}", "Use to_unixtime for instants.")
    return Typed(f"CAST(epoch_ms({value.sql}) AS BIGINT)", BIGINT)


@function("title_case")
def title_case(call: Call) -> Typed:
    """Give a text whose words begin with a capital and go on in small letters."""
    words = "regexp_extract_all({x}, '[^ ]+|[ ]+')"
    body = lambda x: (
        f"array_to_string(list_transform({words.replace('{x}', x)}, lambda _w: upper(left(_w, 1)) || lower(substr(_w, 2))), '')"
    )
    return Typed(let([call.text(0)], body), VARCHAR)


CODES = {c: d for d, letters in enumerate(("bfpv", "cgjkqsxz", "dt", "l", "mn", "r"), 1) for c in letters}


@function("soundex")
def soundex(call: Call) -> Typed:
    """Give the sound of a constant English word in a letter and three digits."""
    if call.values[0].type == UNKNOWN:
        return Typed("CAST(NULL AS VARCHAR)", VARCHAR)
    letters = [c for c in call.constant(0).lower() if "a" <= c <= "z"]
    if not letters:
        return text("")
    digits, last = "", CODES.get(letters[0])
    for letter in letters[1:]:
        code = CODES.get(letter)
        if code is not None and code != last:
            digits += str(code)
        if letter not in "hw":
            last = code
    return text(letters[0].upper() + (digits + "000")[:3])
