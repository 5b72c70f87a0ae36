"""The functions of Redshift that are given exactly: a rule each.

What belongs here: functions, by their documentation. What does not: the dialect's own syntax (`redshift`).
Source: https://docs.aws.amazon.com/redshift/latest/dg/c_SQL_functions.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from sqlglot import exp

from dagster_project.dialects import moments, operators
from dagster_project.dialects.casts import (
    as_text,
    at_zone,
    canonical,
    cast,
    coerce,
    from_zone,
    is_json,
    local,
    same_types,
)
from dagster_project.dialects.expressions import cases
from dagster_project.dialects.functions import AGGREGATES as ATHENA_AGGREGATES
from dagster_project.dialects.functions import FUNCTIONS as ATHENA
from dagster_project.dialects.functions.calls import MANY, Aggregate, Call, Rules
from dagster_project.dialects.functions.conditions import coalesced
from dagster_project.dialects.moments import Moment
from dagster_project.dialects.typed import NULL, Typed, fail, let, moment, string, text
from dagster_project.dialects.types import (
    BIGINT,
    BOOLEAN,
    DATE,
    DOUBLE,
    INTEGER,
    UNKNOWN,
    VARBINARY,
    VARCHAR,
    Type,
    common_of,
    decimal,
    duckdb_type,
    timestamp,
)

SUPER: Final = Type("super")

SHARED: Final = (
    "abs ceil ceiling floor exp cbrt degrees radians sin cos tan acos asin atan atan2 pi sqrt power pow sign mod coalesce "
    "nullif upper lower strpos translate starts_with random"
)
SHARED_AGGREGATES: Final = (
    "count sum min max bool_and bool_or any_value stddev stddev_samp stddev_pop variance var_samp var_pop row_number rank "
    "dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value"
)
REDSHIFT: Final = Rules(
    {name: ATHENA[name] for name in SHARED.split()},
    {name: ATHENA_AGGREGATES[name] for name in SHARED_AGGREGATES.split()},
)
FUNCTIONS: Final = REDSHIFT.functions
AGGREGATES: Final = REDSHIFT.aggregates
function, aggregate, simple = REDSHIFT.function, REDSHIFT.aggregate, REDSHIFT.simple


# --- choosing -----------------------------------------------------------------------------------------------------


function("nvl", args=(2, MANY))(coalesced)


@function("nvl2", args=3)
def nvl2(call: Call) -> Typed:
    """Give the second if the first is not NULL, else the third."""
    return cases([f"{call.values[0].sql} IS NOT NULL"], call.values[1:])


@function("decode", args=(3, MANY))
def decode(call: Call) -> Typed:
    """Give what stands after the first equal value, NULL being equal to NULL, or the last."""
    subject, *rest = call.values
    tests, values = [], []
    for at in range(0, len(rest) - 1, 2):
        tests.append(operators.distinct(subject, rest[at], negated=True).sql)
        values.append(rest[at + 1])
    return cases(tests, [*values, rest[-1] if len(rest) % 2 else NULL])


def _extreme(word: str) -> None:
    @function(word, args=(1, MANY))
    def rule(call: Call) -> Typed:
        """Give the greatest or least; NULL only if all are."""
        kind = common_of([v.type for v in call.values], f"{word}()")
        if kind.is_float or kind.name not in operators.ORDERED:
            raise call.refuse(f"of {kind} is not given here", "CAST it to decimal.")
        return Typed(f"{word}({', '.join(v.sql for v in same_types(call.values, kind))})", kind)


_extreme("greatest")
_extreme("least")


# --- numbers ------------------------------------------------------------------------------------------------------

simple("cot", "D", "cot({0})", DOUBLE)
simple("dexp", "D", "exp({0})", DOUBLE)


def _log(names: tuple[str, ...], word: str) -> None:
    @function(*names)
    def rule(call: Call) -> Typed:
        """Give a logarithm; an error for what is not above 0, as there."""
        return Typed(f"{word}({call.double(0).sql})", DOUBLE)


_log(("ln", "dlog1"), "ln")
_log(("log", "dlog10"), "log10")


@function("round", args=(1, 2))
def round_(call: Call) -> Typed:
    """Give the nearest number, half away from zero."""
    value = call.values[0]
    digits = call.integer(1).integer if len(call) == 2 else 0
    if digits is None or not value.type.is_number:
        raise call.refuse("takes a number and a constant number of digits", "Write them out.")
    if value.type.is_float:
        return Typed(f"round({value.sql}, {digits})", value.type)
    return ATHENA["round"][0](call)


@function("trunc", args=(1, 2))
def trunc(call: Call) -> Typed:
    """Give a number cut towards zero, or the date of a timestamp."""
    value = call.values[0]
    if value.type.name in {"timestamp", "date"} and len(call) == 1:
        return cast(value, DATE)
    if value.type.is_float and len(call) == 1:
        return Typed(f"trunc({value.sql})", value.type)
    if value.type.name == "decimal":
        return ATHENA["truncate"][0](call)
    if value.type.is_integer and len(call) == 1:
        return value
    raise call.refuse(f"of {value.type} is not given here", "CAST it to decimal and give the digits.")


@function("strtol", args=2)
def strtol(call: Call) -> Typed:
    """Give the number that a text is in a base; in base 16 it may begin with 0x."""
    value = call.text(0)
    if value.text is not None and call.integer(1).integer == 16 and re.match(r"[+-]?0[xX]", value.text):
        bare = exp.Literal.string(re.sub("0[xX]", "", value.text, count=1))
        return ATHENA["from_base"][0](Call(call.name, [bare, call.nodes[1]], call.scope, call.queries))
    return ATHENA["from_base"][0](call)


@function("text_to_int_alt", "text_to_numeric_alt", args=(1, 3))
def text_to_int_alt(call: Call) -> Typed:
    """Give a number whose sign may stand behind it."""
    if call.name != "text_to_int_alt" or len(call) > 1:
        raise call.refuse("with a format is not given here", "Use CAST.")
    value = call.text(0)
    raised = fail("Invalid number", INTEGER)
    body = lambda x: (
        f"CASE WHEN {x} IS NULL THEN NULL WHEN regexp_full_match({x}, ' *[0-9]+[+-]? *') THEN CAST(regexp_extract({x}, '[0-9]+') AS INTEGER) * CASE WHEN contains({x}, '-') THEN -1 ELSE 1 END WHEN regexp_full_match({x}, ' *[+-][0-9]+ *') THEN CAST(trim({x}) AS INTEGER) ELSE {raised} END"
    )
    return Typed(let([value], body), INTEGER)


# --- texts --------------------------------------------------------------------------------------------------------

simple(
    "initcap",
    "T",
    "array_to_string(list_transform(regexp_extract_all({0}, '[A-Za-z0-9]+|[^A-Za-z0-9]+'), lambda _w: upper(left(_w, 1)) || lower(substr(_w, 2))), '')",
    VARCHAR,
)
simple("charindex", "TT", "CAST(instr({1}, {0}) AS INTEGER)", INTEGER)
simple(
    "quote_ident",
    "T",
    "CASE WHEN regexp_full_match({0}, '[a-z_][a-z0-9_$]*') THEN {0} ELSE '\"' || replace({0}, '\"', '\"\"') || '\"' END",
    VARCHAR,
)
simple("quote_literal", "T", "'''' || replace({0}, '''', '''''') || ''''", VARCHAR)
simple("repeat replicate", "TI", "repeat({0}, CAST({1} AS BIGINT))", VARCHAR)
simple("ascii", "T", "ascii({0})", INTEGER)
simple("chr", "I", "chr(CAST({0} AS INTEGER))", VARCHAR)
simple("octet_length", "T", "CAST(strlen({0}) AS INTEGER)", INTEGER)


@function("len", "length", "char_length", "character_length", "textlen")
def length(call: Call) -> Typed:
    """Give characters of a text, without the blanks at the end of a char; bytes of varbyte."""
    value = call.values[0]
    if value.type == VARBINARY:
        return Typed(f"CAST(octet_length({value.sql}) AS INTEGER)", INTEGER)
    return Typed(f"CAST(length({call.text(0).sql}) AS INTEGER)", INTEGER)


@function("concat", args=2)
def concat(call: Call) -> Typed:
    """Give both joined; NULL if one is NULL."""
    return operators.concatenate(call.values[0], call.values[1])


def _trim(name: str, word: str) -> None:
    @function(name, args=(1, 2))
    def rule(call: Call) -> Typed:
        """Give a text without blanks, or without the characters told, at its ends."""
        marks = call.text(1).sql if len(call) == 2 else "' '"
        return Typed(f"{word}({call.text(0).sql}, {marks})", VARCHAR)


for _name, _word in {"btrim": "trim", "trim": "trim", "ltrim": "ltrim", "rtrim": "rtrim"}.items():
    _trim(_name, _word)


@function("replace", args=3)
def replace(call: Call) -> Typed:
    """Give a text with another in place of a part; an empty part is nowhere."""
    values = [call.text(i) for i in range(3)]
    body = lambda x, p, b: f"CASE WHEN {p} = '' AND {b} IS NOT NULL THEN {x} ELSE replace({x}, {p}, {b}) END"
    return Typed(let(values, body), VARCHAR)


def _pad(word: str) -> None:
    @function(word, args=(2, 3))
    def rule(call: Call) -> Typed:
        """Give a text filled, or cut, to a length."""
        by = call.text(2).sql if len(call) == 3 else "' '"
        return Typed(f"{word}({call.text(0).sql}, CAST({call.integer(1).sql} AS INTEGER), {by})", VARCHAR)


_pad("lpad")
_pad("rpad")


@function("substring", "substr", args=(2, 3))
def substring(call: Call) -> Typed:
    """Give the characters from a place on; what lies before the text counts, and is nothing."""
    value, start = call.text(0), call.integer(1)
    if len(call) == 2:
        return Typed(let([value, start], lambda x, s: f"substr({x}, CASE WHEN {s} < 1 THEN 1 ELSE {s} END)"), VARCHAR)
    size = call.integer(2)
    odd = fail("negative substring length not allowed", VARCHAR)

    def body(x: str, s: str, n: str) -> str:
        known = f"{x} IS NOT NULL AND {s} IS NOT NULL AND {n} IS NOT NULL"
        made = f"substr({x}, greatest({s}, 1), {s} + {n} - greatest({s}, 1))"
        return f"CASE WHEN {known} THEN CASE WHEN {n} < 0 THEN {odd} WHEN {s} + {n} <= 1 THEN '' ELSE {made} END END"

    return Typed(let([value, start, size], body), VARCHAR)


@function("left", "right", args=2)
def left(call: Call) -> Typed:
    """Give the first or last characters."""
    count = call.integer(1)
    if count.integer is not None and count.integer < 0:
        raise call.refuse("takes a number that is not negative", "Use substring().")
    odd = fail(f"{call.name}() of a negative number is not given here", INTEGER)
    held = let([count], lambda n: f"CASE WHEN {n} < 0 THEN {odd} ELSE {n} END") if count.integer is None else count.sql
    return Typed(f"{call.name}({call.text(0).sql}, {held})", VARCHAR)


@function("split_part", args=3)
def split_part(call: Call) -> Typed:
    """Give the part of a number from 1; nothing beyond the last."""
    value, by, index = call.text(0), call.text(1), call.integer(2)
    if index.integer is None or index.integer < 1:
        raise call.refuse("takes a constant number above 0", "Write it out.")
    return Typed(f"split_part({value.sql}, {by.sql}, {index.integer})", VARCHAR)


@function("reverse")
def reverse(call: Call) -> Typed:
    """Give a text from its end."""
    return ATHENA["reverse"][0](call)


@function("md5", "func_sha1", "sha1", "sha", args=1)
def digest(call: Call) -> Typed:
    """Give the hexadecimal digest of a text."""
    word = "md5" if call.name == "md5" else "sha1"
    return Typed(f"{word}({call.text(0).sql})", VARCHAR)


@function("sha2", args=2)
def sha2(call: Call) -> Typed:
    """Give the hexadecimal SHA-256 of a text."""
    if call.integer(1).integer not in {0, 256}:
        raise call.refuse("is given here for 256 bits", "Use 256.")
    return Typed(f"sha256({call.text(0).sql})", VARCHAR)


def _fnv(data: bytes, seed: int = 0xCBF29CE484222325) -> int:
    for byte in data:
        seed = ((seed ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return seed - 2**64 if seed >= 2**63 else seed


@function("fnv_hash", args=(1, 2))
def fnv_hash(call: Call) -> Typed:
    """Give the 64-bit FNV-1a hash of a constant text."""
    value = call.values[0]
    seed = call.integer(1).integer if len(call) == 2 else None
    if value.text is None or (len(call) == 2 and seed is None):
        raise call.refuse("is given here for constant texts", "Use md5().")
    found = _fnv(value.text.encode(), seed & 0xFFFFFFFFFFFFFFFF) if seed is not None else _fnv(value.text.encode())
    return Typed(f"CAST('{found}' AS BIGINT)", BIGINT, found)


# --- patterns -----------------------------------------------------------------------------------------------------


def _as_of_athena(name: str, call: Call, nodes: int) -> Typed:
    return ATHENA[name][0](Call(name, list(call.nodes[:nodes]), call.scope, call.queries))


@function("regexp_substr", args=2)
def regexp_substr(call: Call) -> Typed:
    """Give the first match of a pattern, nothing if there is none."""
    found = _as_of_athena("regexp_extract", call, 2)
    body = lambda x, f: f"CASE WHEN {x} IS NOT NULL THEN coalesce({f}, '') END"
    return Typed(let([call.text(0), found], body), VARCHAR)


@function("regexp_count", args=2)
def regexp_count(call: Call) -> Typed:
    """Give how often a pattern matches."""
    return Typed(f"CAST({_as_of_athena('regexp_count', call, 2).sql} AS INTEGER)", INTEGER)


@function("regexp_instr", args=2)
def regexp_instr(call: Call) -> Typed:
    """Give where a pattern first matches, counted from 1; 0 if nowhere."""
    found = _as_of_athena("regexp_position", call, 2)
    return Typed(let([found], lambda x: f"CAST(CASE WHEN {x} = -1 THEN 0 ELSE {x} END AS INTEGER)"), INTEGER)


@function("regexp_replace", args=(2, 3))
def regexp_replace(call: Call) -> Typed:
    """Give a text with another in place of every match of a pattern."""
    if len(call) == 3 and re.search(r"[$\\]", call.constant(2)):
        raise call.refuse("with $ or a backslash in its replacement is not given here", "Write the text itself.")
    return _as_of_athena("regexp_replace", call, len(call))


# --- bytes --------------------------------------------------------------------------------------------------------


@function("from_hex", "to_hex")
def hexadecimal(call: Call) -> Typed:
    """Give the bytes of hexadecimal digits, or the digits of bytes or a number."""
    value = call.values[0]
    if call.name == "from_hex":
        return Typed(f"from_hex({call.text(0).sql})", VARBINARY)
    if value.type == VARBINARY:
        return Typed(f"lower(hex({value.sql}))", VARCHAR)
    if value.type.is_integer:
        return Typed(f"lower(to_hex({value.sql}))", VARCHAR)
    raise call.refuse(f"of {value.type} is not given here", "CAST it to varbyte.")


@function("to_varbyte", args=2)
def to_varbyte(call: Call) -> Typed:
    """Give the bytes that a text is in a format."""
    form = call.constant(1).lower()
    made = {
        "utf8": "encode({0})", "utf-8": "encode({0})", "hex": "from_hex({0})", "base64": "from_base64({0})", "binary": "from_binary({0})",
    }.get(form)  # fmt: skip
    if made is None:
        raise call.refuse(f"knows no format {form}", "Use hex, utf8, binary or base64.")
    return Typed(made.format(call.text(0).sql), VARBINARY)


@function("from_varbyte", args=2)
def from_varbyte(call: Call) -> Typed:
    """Give bytes as a text in a format."""
    form = call.constant(1).lower()
    made = {
        "utf8": "decode({0})",
        "utf-8": "decode({0})",
        "hex": "lower(hex({0}))",
        "base64": "to_base64({0})",
        "binary": "to_binary({0})",
    }.get(form)
    if made is None:
        raise call.refuse(f"knows no format {form}", "Use hex, utf8, binary or base64.")
    if form == "binary":
        return Typed(f"CAST(CAST({call.bytes(0).sql} AS BIT) AS VARCHAR)", VARCHAR)
    return Typed(made.format(call.bytes(0).sql), VARCHAR)


# --- JSON and SUPER -----------------------------------------------------------------------------------------------


def _parts(call: Call, first: int, last: int) -> str:
    names = [call.constant(i) for i in range(first, last)]
    if any(re.search(r'["\\*]', name) or name.isdigit() for name in names):
        raise call.refuse("takes names without quotes, stars and numbers alone", "Use json_parse and navigate.")
    return "$" + "".join(f'."{name}"' for name in names)


@function("json_extract_path_text", args=(2, MANY))
def json_extract_path_text(call: Call) -> Typed:
    """Give the text at a path, NULL if there is none; an error for no JSON unless the last argument is true."""
    last = call.values[-1]
    lenient = last.type == BOOLEAN
    path = string(_parts(call, 1, len(call) - lenient))
    return _extracted(call.text(0), path, lenient=lenient and last.const is True)


@function("json_extract_array_element_text", args=(2, 3))
def json_extract_array_element_text(call: Call) -> Typed:
    """Give the text of an element counted from 0, NULL beyond the end."""
    index = call.integer(1).integer
    if index is None or index < 0:
        raise call.refuse("takes a constant index from 0", "Write it out.")
    lenient = len(call) == 3 and call.values[2].const is True
    return _extracted(call.text(0), f"'$[{index}]'", lenient=lenient)


def _is_odd(value: Typed) -> bool:
    """Return whether a constant is no JSON: DuckDB would read it before it asks whether it is."""
    return value.text is not None and canonical(value.text) is None


def _extracted(value: Typed, path: str, *, lenient: bool) -> Typed:
    """Return the text at a path, of a number only where its digits stand in the document as DuckDB prints them."""
    wrong = "CAST(NULL AS VARCHAR)" if lenient else fail("JSON parsing error", VARCHAR)
    if _is_odd(value):
        return Typed(wrong, VARCHAR)
    odd = fail("a JSON number whose digits DuckDB does not keep. CAST it to a number", VARCHAR)

    def body(x: str, *, loose: bool) -> str:
        shown = f"json_extract_string({x}, {path})"
        stands = f"regexp_matches({x}, '(^|[^0-9.eE+-])' || replace({shown}, '.', '[.]') || '($|[^0-9.eE+-])')"
        told = (
            shown
            if loose
            else f"CASE WHEN json_type({x}, {path}) IS DISTINCT FROM 'DOUBLE' OR {stands} THEN {shown} ELSE {odd} END"
        )
        return f"CASE WHEN {x} IS NULL THEN NULL WHEN {is_json(x)} THEN {told} ELSE {wrong} END"

    made = Typed(let([value], lambda x: body(x, loose=False)), VARCHAR)
    made.as_number = let([value], lambda x: body(x, loose=True))
    return made


@function("json_array_length", args=(1, 2))
def json_array_length(call: Call) -> Typed:
    """Give how long an array is; an error for no array unless the second argument is true."""
    lenient = len(call) == 2 and call.values[1].const is True
    raised = "CAST(NULL AS INTEGER)" if lenient else fail("JSON parsing error: no array", INTEGER)
    if _is_odd(call.text(0)):
        return Typed(raised, INTEGER)
    return Typed(
        let(
            [call.text(0)],
            lambda x: (
                f"CASE WHEN {x} IS NULL THEN NULL WHEN CASE WHEN {is_json(x)} THEN json_type({x}) = 'ARRAY' ELSE false END THEN CAST(json_array_length({x}) AS INTEGER) ELSE {raised} END"
            ),
        ),
        INTEGER,
    )


def _valid(name: str, test: str) -> None:
    @function(name)
    def rule(call: Call) -> Typed:
        """Give whether a text is JSON of a kind."""
        if _is_odd(call.text(0)):
            return Typed("false", BOOLEAN)
        return Typed(
            let(
                [call.text(0)],
                lambda x: (
                    f"CASE WHEN {x} IS NOT NULL THEN CASE WHEN {is_json(x)} THEN {test.replace('{x}', x)} ELSE false END END"
                ),
            ),
            BOOLEAN,
        )


_valid("is_valid_json", "json_type({x}) = 'OBJECT'")
_valid("is_valid_json_array", "json_type({x}) = 'ARRAY'")
_valid("can_json_parse", "true")


@function("json_parse")
def json_parse(call: Call) -> Typed:
    """Give the SUPER value that a text is."""
    raised = fail("Invalid JSON", SUPER)
    if _is_odd(call.text(0)):
        return Typed(raised, SUPER)
    return Typed(
        let([call.text(0)], lambda x: f"CASE WHEN {x} IS NULL OR {is_json(x)} THEN json({x}) ELSE {raised} END"), SUPER
    )


@function("json_serialize")
def json_serialize(call: Call) -> Typed:
    """Give the text of a SUPER value."""
    value = call.values[0]
    if value.type != SUPER:
        raise call.refuse(f"takes SUPER, not {value.type}", "Use json_parse.")
    return Typed(f"CAST({value.sql} AS VARCHAR)", VARCHAR)


@function("json_typeof")
def json_typeof(call: Call) -> Typed:
    """Give what kind of value it is: number, string, boolean, object, array, null."""
    value = call.values[0]
    kind = value.type
    if kind == SUPER:
        word = "CASE json_type({x}) WHEN 'OBJECT' THEN 'object' WHEN 'ARRAY' THEN 'array' WHEN 'VARCHAR' THEN 'string' WHEN 'BOOLEAN' THEN 'boolean' WHEN 'NULL' THEN 'null' ELSE CASE WHEN {x} IS NOT NULL THEN 'number' END END"
        return Typed(let([value], lambda x: word.replace("{x}", x)), VARCHAR)
    name = (
        "number"
        if kind.is_number
        else "string"
        if kind.is_text
        else {"boolean": "boolean", "row": "object", "array": "array"}.get(kind.name)
    )
    if name is None:
        raise call.refuse(f"of {kind} is not given here", "CAST it to super.")
    return Typed(f"CASE WHEN {value.sql} IS NOT NULL THEN '{name}' END", VARCHAR)


@function("get_array_length")
def get_array_length(call: Call) -> Typed:
    """Give how long a SUPER array is, NULL for what is none."""
    value = call.values[0]
    if value.type.name == "array":
        return Typed(f"CAST(len({value.sql}) AS INTEGER)", INTEGER)
    if value.type != SUPER:
        raise call.refuse(f"takes SUPER, not {value.type}", "Use json_parse.")
    return Typed(
        let([value], lambda x: f"CASE WHEN json_type({x}) = 'ARRAY' THEN CAST(json_array_length({x}) AS INTEGER) END"),
        INTEGER,
    )


def _is(name: str, kinds: str) -> None:
    @function(name)
    def rule(call: Call) -> Typed:
        """Give whether a SUPER value is of a kind."""
        value = call.values[0]
        if value.type != SUPER:
            raise call.refuse(f"takes SUPER, not {value.type}", "Use json_parse.")
        return Typed(f"(json_type({value.sql}) IN ({kinds}))", BOOLEAN)


for _name, _kinds in {
    "is_array": "'ARRAY'",
    "is_object": "'OBJECT'",
    "is_varchar": "'VARCHAR'",
    "is_boolean": "'BOOLEAN'",
}.items():
    _is(_name, _kinds)


@function("array", args=(0, MANY))
def array_(call: Call) -> Typed:
    """Give a SUPER array of values."""
    for value in call.values:
        kind = value.type
        if not (kind.is_integer or kind.is_text or kind.name == "decimal" or kind in (BOOLEAN, UNKNOWN, SUPER)):
            raise call.refuse(f"of {kind} is not given here", "Use json_parse.")
    return Typed(f"json_array({', '.join(v.sql for v in call.values)})", SUPER)


def _elements(call: Call, index: int) -> Typed:
    value = call.values[index]
    if value.type != SUPER:
        raise call.refuse(f"takes SUPER, not {value.type}", "Use json_parse or array().")
    raised = fail("A SUPER array is needed", SUPER)
    held = let([value], lambda x: f"CASE WHEN {x} IS NULL OR json_type({x}) = 'ARRAY' THEN {x} ELSE {raised} END")
    return Typed(f"json_extract({held}, '$[*]')", SUPER)


@function("array_concat", args=2)
def array_concat(call: Call) -> Typed:
    """Give the elements of both arrays."""
    one, other = _elements(call, 0), _elements(call, 1)
    body = lambda x, y: f"CASE WHEN {x} IS NOT NULL AND {y} IS NOT NULL THEN to_json(list_concat({x}, {y})) END"
    return Typed(let([one, other], body), SUPER)


@function("split_to_array", args=(1, 2))
def split_to_array(call: Call) -> Typed:
    """Give the parts of a text between separators, a comma unless told, as an array of texts."""
    by = call.constant(1) if len(call) == 2 else ","
    if not by:
        raise call.refuse("takes a separator", "Write one.")
    return Typed(f"to_json(string_split({call.text(0).sql}, {string(by)}))", SUPER)


@function("subarray", args=3)
def subarray(call: Call) -> Typed:
    """Give so many elements of an array from a place on, counted from 0."""
    start, size = call.integer(1).integer, call.integer(2).integer
    if start is None or size is None or start < 0 or size < 0:
        raise call.refuse("takes a constant place from 0 and a constant number", "Write them out.")
    return Typed(f"to_json(list_slice({_elements(call, 0).sql}, {start + 1}, {start + size}))", SUPER)


# --- dates and times ----------------------------------------------------------------------------------------------

ZONES: Final = {
    "UTC": "UTC",
    "GMT": "UTC",
    "Z": "UTC",
    "PST": "-08:00",
    "PDT": "-07:00",
    "MST": "-07:00",
    "MDT": "-06:00",
    "CST": "-06:00",
    "CDT": "-05:00",
    "EST": "-05:00",
    "EDT": "-04:00",
}


def read_moment(written: str) -> Moment | None:
    """Return the date or time that a literal is: ISO, YYYYMMDD, or month.day.year, with a clock and a zone.

    >>> str(read_moment("20220502 04:05:06.789")), str(read_moment("1.12.1997 07:37:16.00 PST"))
    ('2022-05-02 04:05:06.789', '1997-01-12 07:37:16.00 -08:00')
    """
    words = written.strip().split()
    zone = ""
    if len(words) > 1 and words[-1].upper() in ZONES:
        zone = " " + ZONES[words.pop().upper()]
    if not words:
        return None
    day = words[0]
    compact = re.fullmatch(r"(\d{4})(\d\d)(\d\d)", day)
    american = re.fullmatch(r"(\d{1,2})[./-](\d{1,2})[./-](\d{4})", day)
    if compact:
        words[0] = "-".join(compact.groups())
    elif american:
        words[0] = f"{american[3]}-{american[1]}-{american[2]}"
    plain = " ".join(words)
    if re.fullmatch(r"\d{1,2}:\d\d(:\d\d(\.\d+)?)?([+-]\d\d(:?\d\d)?)?", plain):
        return moments.read_time(plain + zone)
    if re.fullmatch(r"\d{4}-\d{1,2}-\d{1,2}", plain) and not zone:
        return moments.read_date(plain)
    return moments.read_timestamp(plain + zone)


def timed(call: Call, index: int) -> Typed:
    """Return an argument that is a date or time, or a quoted text that is read as one."""
    value = call.values[index]
    if value.text is not None:
        read = read_moment(value.text)
        if read is None:
            raise call.refuse(f"reads no date or time in {value.text!r}", "Write it as 'YYYY-MM-DD HH:MI:SS'.")
        return moment(read)
    if value.type.name not in {"date", "timestamp", "timestamptz", "time", "timetz"}:
        raise call.refuse(
            f"takes a date or time, not {value.type if value.type.is_known else 'a column of a type nobody told of'}",
            "CAST it.",
        )
    return value


UNITS: Final = {
    name: unit
    for unit, names in {
        "year": "year years y yr yrs", "quarter": "quarter quarters qtr qtrs", "month": "month months mon mons",
        "week": "week weeks w", "day": "day days d", "hour": "hour hours h hr hrs", "minute": "minute minutes m min mins",
        "second": "second seconds s sec secs", "millisecond": "millisecond milliseconds ms msec msecs msecond mseconds millisec millisecs",
        "microsecond": "microsecond microseconds us usec usecs usecond useconds microsec microsecs",
        "dow": "dayofweek dow dw weekday", "doy": "dayofyear doy dy yearday", "epoch": "epoch",
        "decade": "decade decades dec decs", "century": "century centuries c cent cents", "millennium": "millennium millennia mil mils",
        "timezone_hour": "timezone_hour", "timezone_minute": "timezone_minute", "timezone": "timezone",
    }.items()
    for name in names.split()
}  # fmt: skip


def unit_of(call: Call, index: int) -> str:
    """Return the unit that a word or text names."""
    node = call.nodes[index]
    name = (
        node.name
        if isinstance(node, (exp.Column, exp.Identifier, exp.Var)) or (isinstance(node, exp.Literal) and node.is_string)
        else ""
    )
    found = UNITS.get(name.lower())
    if found is None:
        raise call.refuse(f"knows no unit {name or node.sql()}", "Use one from microsecond to year.")
    return found


SPANS: Final = {
    "week": "to_days({n} * 7)",
    "day": "to_days({n})",
    "hour": "to_hours({n})",
    "minute": "to_minutes({n})",
    "second": "to_seconds({n})",
    "millisecond": "to_milliseconds({n})",
    "microsecond": "to_microseconds({n})",
    "month": "to_months({n})",
    "quarter": "to_months({n} * 3)",
    "year": "to_months({n} * 12)",
}


@function("dateadd", "date_add", args=3)
def dateadd(call: Call) -> Typed:
    """Give a timestamp so many units later, of a time a time; months keep the day, or take the last there is."""
    unit, count, value = unit_of(call, 0), call.value(1), timed(_skipping(call, 0), 2)
    if unit not in SPANS or not (count.type.is_integer or count.type == UNKNOWN):
        raise call.refuse(f"of {unit} is not given here", "Use one from microsecond to year.")
    whole = f"CAST({count.sql} AS {'INTEGER' if unit in {'week', 'day', 'month', 'quarter', 'year'} else 'BIGINT'})"
    span = SPANS[unit].replace("{n}", whole)
    if value.type.name == "timetz" and isinstance(value.const, Moment):
        value = moment(moments.in_zone(value.const, "UTC"))
        value = moment(Moment("time", value.const.digits, 0, value.const.picos)) if count.integer is None else value
        if isinstance(value.const, Moment) and count.integer is not None and unit in {"hour", "minute", "second"}:
            picos = count.integer * {"hour": 3600, "minute": 60, "second": 1}[unit] * moments.SECOND
            return moment(moments.plus(value.const, picos))
    if value.type.name == "time":
        if unit in {"week", "day", "month", "quarter", "year"}:
            raise call.refuse(f"of {unit} to a time is not given here", "Use hours.")
        return Typed(f"({value.sql} + {span})", value.type)
    if value.type.name == "date":
        value = Typed(f"CAST({value.sql} AS TIMESTAMP)", timestamp(6))
    if value.type.name != "timestamp":
        raise call.refuse(f"to {value.type} is not given here", "CAST it to timestamp.")
    return Typed(f"({value.sql} + {span})", timestamp(6))


def _skipping(call: Call, *places: int) -> Call:
    """Return a call whose words, such as a unit, are not read as columns."""
    skipped = Call(call.name, list(call.nodes), call.scope, call.queries)
    skipped.__dict__["values"] = [NULL if i in places else call.value(i) for i in range(len(call.nodes))]
    return skipped


@function("add_months", args=2)
def add_months(call: Call) -> Typed:
    """Give a timestamp so many months later; the end of a month stays the end of a month."""
    value, count = timed(call, 0), call.integer(1)
    at = Typed(f"CAST({value.sql} AS TIMESTAMP)", timestamp(6))
    span = f"to_months(CAST({count.sql} AS INTEGER))"
    return Typed(
        let(
            [at],
            lambda x: (
                f"CASE WHEN CAST({x} AS DATE) = last_day({x}) THEN last_day({x} + {span}) + ({x} - date_trunc('day', {x})) ELSE {x} + {span} END"
            ),
        ),
        timestamp(6),
    )


@function("datediff", "date_diff", args=3)
def datediff(call: Call) -> Typed:
    """Give how many borders of a unit lie between two dates or times."""
    unit = unit_of(call, 0)
    skipped = _skipping(call, 0)
    first, last = timed(skipped, 1), timed(skipped, 2)
    if unit not in {*SPANS, "decade", "century", "millennium"} or "timetz" in {first.type.name, last.type.name}:
        raise call.refuse(f"of {unit} is not given here", "Use one from microsecond to year.")
    if (first.type.name == "time") != (last.type.name == "time"):
        raise call.refuse(f"of {first.type} and {last.type} is not in Redshift", "CAST one of them.")
    if unit == "week":  # weeks begin on Sunday
        shown = [f"CAST({v.sql} AS DATE) + 1" for v in (first, last)]
        return Typed(f"date_diff('week', {shown[0]}, {shown[1]})", BIGINT)
    values = [
        v.sql if v.type.name == "time" else f"CAST({local(v, 'datediff()').sql} AS TIMESTAMP)" for v in (first, last)
    ]
    return Typed(f"date_diff('{unit}', {values[0]}, {values[1]})", BIGINT)


def part(call: Call, unit: str, value: Typed) -> Typed:
    """Return a field of a date or time; Sunday is day 0."""
    kind = value.type.name
    if isinstance(value.const, Moment) and unit in {"timezone_hour", "timezone_minute"}:
        found = moments.field(value.const, unit)
        if found is not None:
            return Typed(str(found) if found >= 0 else f"({found})", INTEGER, found)
    if kind == "timetz":
        if not isinstance(value.const, Moment):
            raise call.refuse("of timetz is not given here", "CAST it to time.")
        value = moment(Moment("time", value.const.digits, 0, value.const.picos))
        kind = "time"
    if kind == "timestamptz":
        value = Typed(f"timezone('UTC', {value.sql})", timestamp(6))
        kind = "timestamp"
    clock = {"hour", "minute", "second", "millisecond", "microsecond"}
    if (kind == "time" and unit not in clock) or unit in {"timezone", "timezone_hour", "timezone_minute"}:
        raise call.refuse(f"of {unit} in {kind} is not given here", "CAST it to timestamp.")
    if kind == "date" and unit in clock:
        value = Typed(f"CAST({value.sql} AS TIMESTAMP)", timestamp(0))
    if unit in {"millisecond", "microsecond"}:
        return Typed(
            f"CAST(datepart('{unit}', {value.sql}) % {1000 if unit == 'millisecond' else 1000000} AS INTEGER)", INTEGER
        )
    if unit == "epoch":
        return Typed(f"CAST(floor(epoch({value.sql})) AS BIGINT)", BIGINT)
    return Typed(f"CAST(datepart('{unit}', {value.sql}) AS INTEGER)", INTEGER)


@function("date_part", "pgdate_part", args=2)
def date_part(call: Call) -> Typed:
    """Give a field of a date or time."""
    return part(call, unit_of(call, 0), timed(_skipping(call, 0), 1))


for _alias, _unit in UNITS.items():
    if len(_alias) > 1:

        @function(_alias)
        def extract(call: Call, unit: str = _unit) -> Typed:
            """Give EXTRACT(field FROM …)."""
            return part(call, unit, timed(call, 0))


@function("date_trunc", args=2)
def date_trunc(call: Call) -> Typed:
    """Give the start of a unit as a timestamp; weeks begin on Monday."""
    unit, value = unit_of(call, 0), timed(_skipping(call, 0), 1)
    if unit not in {*SPANS, "decade", "century", "millennium"} or value.type.name not in {"date", "timestamp"}:
        raise call.refuse(f"of {unit} and {value.type} is not given here", "CAST it to timestamp.")
    return Typed(f"CAST(date_trunc('{unit}', {value.sql}) AS TIMESTAMP)", timestamp(6))


def _compared(name: str, *kinds: str) -> None:
    @function(name, args=2)
    def rule(call: Call) -> Typed:
        """Give 0 for equal dates or times, -1 if the first is earlier, else 1."""
        one, other = timed(call, 0), timed(call, 1)
        if not {one.type.name, other.type.name} <= {"date", *kinds}:
            raise call.refuse(f"of {one.type} and {other.type} is not in Redshift", "CAST one of them.")
        values = [Typed(f"CAST({local(v, name).sql} AS TIMESTAMP)", timestamp(6)) for v in (one, other)]
        made = lambda a, b: f"CASE WHEN {a} = {b} THEN 0 WHEN {a} < {b} THEN -1 WHEN {a} > {b} THEN 1 END"
        return Typed(let(values, made), INTEGER)


_compared("date_cmp")
for _name in ("timestamp_cmp", "date_cmp_timestamp", "timestamp_cmp_date"):
    _compared(_name, "timestamp")


@function("convert_timezone", args=(2, 3))
def convert_timezone(call: Call) -> Typed:
    """Give a timestamp of one zone, UTC unless told, as another has it; zones are places, UTC, or EST and its kin."""
    names = [call.constant(i) for i in range(len(call) - 1)]
    zones = [ZONES.get(name.upper(), name if "/" in name and moments.zone_named(name) else "") for name in names]
    if not all(zones):
        raise call.refuse(f"knows no zone {names[zones.index('')]}", "Write a place, e.g. 'America/New_York'.")
    value = timed(call, len(call) - 1)
    if value.type.name not in {"date", "timestamp"}:
        raise call.refuse(f"of {value.type} is not given here", "CAST it to timestamp.")
    instant = from_zone(f"CAST({value.sql} AS TIMESTAMP)", zones[0] if len(zones) == 2 else "UTC")
    return Typed(at_zone(instant, zones[-1]), timestamp(6))


@function("last_day")
def last_day(call: Call) -> Typed:
    """Give the last day of a month."""
    return Typed(f"last_day({timed(call, 0).sql})", DATE)


DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@function("next_day", args=2)
def next_day(call: Call) -> Typed:
    """Give the first day of a name after a date."""
    value, name = timed(call, 0), call.constant(1).lower()
    found = [i for i, day in enumerate(DAYS, 1) if day.startswith(name) and len(name) > 1]
    if len(found) != 1:
        raise call.refuse(f"knows no day {name}", "Write Monday to Sunday.")
    return Typed(
        let(
            [Typed(f"CAST({value.sql} AS DATE)", DATE)],
            lambda x: (
                f"{x} + CAST((CASE WHEN isodow({x}) < {found[0]} THEN {found[0]} ELSE {found[0] + 7} END) - isodow({x}) AS INTEGER)"
            ),
        ),
        DATE,
    )


@function("months_between", args=2)
def months_between(call: Call) -> Typed:
    """Give the months between two dates: whole between equal days or ends of months, else with 31sts."""
    one, other = (Typed(f"CAST({timed(call, i).sql} AS TIMESTAMP)", timestamp(6)) for i in (0, 1))

    def body(a: str, b: str) -> str:
        whole = f"((year({a}) - year({b})) * 12 + month({a}) - month({b}))"
        ends = f"(day({a}) = day({b}) OR (CAST({a} AS DATE) = last_day({a}) AND CAST({b} AS DATE) = last_day({b})))"
        rest = f"((epoch({a} - date_trunc('month', {a})) - epoch({b} - date_trunc('month', {b}))) / 2678400e0)"
        return f"CASE WHEN {ends} THEN CAST({whole} AS DOUBLE) ELSE {whole} + {rest} END"

    return Typed(let([one, other], body), DOUBLE)


# --- patterns -----------------------------------------------------------------------------------------------------

PIECES: Final[Mapping[str, str]] = {
    "YYYY": "strftime({x}, '%Y')", "YY": "strftime({x}, '%y')", "MONTH": "rpad(upper(strftime({x}, '%B')), 9, ' ')",
    "Month": "rpad(strftime({x}, '%B'), 9, ' ')", "month": "rpad(lower(strftime({x}, '%B')), 9, ' ')",
    "MON": "upper(strftime({x}, '%b'))", "Mon": "strftime({x}, '%b')", "mon": "lower(strftime({x}, '%b'))", "MM": "strftime({x}, '%m')",
    "DAY": "rpad(upper(strftime({x}, '%A')), 9, ' ')", "Day": "rpad(strftime({x}, '%A'), 9, ' ')", "day": "rpad(lower(strftime({x}, '%A')), 9, ' ')",
    "DY": "upper(strftime({x}, '%a'))", "Dy": "strftime({x}, '%a')", "dy": "lower(strftime({x}, '%a'))",
    "DDD": "strftime({x}, '%j')", "DD": "strftime({x}, '%d')", "D": "CAST(datepart('dow', {x}) + 1 AS VARCHAR)",
    "ID": "CAST(isodow({x}) AS VARCHAR)", "HH24": "strftime({x}, '%H')", "HH12": "strftime({x}, '%I')", "HH": "strftime({x}, '%I')",
    "MI": "strftime({x}, '%M')", "SS": "strftime({x}, '%S')", "MS": "strftime({x}, '%g')", "US": "strftime({x}, '%f')",
    "AM": "strftime({x}, '%p')", "PM": "strftime({x}, '%p')", "am": "lower(strftime({x}, '%p'))", "pm": "lower(strftime({x}, '%p'))",
    "Q": "CAST(quarter({x}) AS VARCHAR)", "IW": "strftime({x}, '%V')", "IYYY": "strftime({x}, '%G')",
    "WW": "lpad(CAST((dayofyear({x}) - 1) // 7 + 1 AS VARCHAR), 2, '0')", "W": "CAST((day({x}) - 1) // 7 + 1 AS VARCHAR)",
    "SSSS": "CAST(epoch({x} - date_trunc('day', {x})) AS VARCHAR)",
}  # fmt: skip
ANY_CASE: Final = {
    k: v for k, v in PIECES.items() if k.upper() == k and k not in {"MONTH", "MON", "DAY", "DY", "AM", "PM"}
}


def pieces(call: Call, written: str) -> list[tuple[str, str]]:
    """Return a pattern in pieces: ("text", literal) or ("field", name)."""
    found: list[tuple[str, str]] = []
    names = sorted(PIECES, key=len, reverse=True)
    at = 0
    while at < len(written):
        if written[at] == '"':
            end = written.find('"', at + 1)
            if end < 0:
                raise call.refuse("has a quote without an end in its pattern", "Mend it.")
            found.append(("text", written[at + 1 : end]))
            at = end + 1
            continue
        name = next((n for n in names if written.startswith(n, at)), None)
        if name is None:
            name = next(
                (n for n in sorted(ANY_CASE, key=len, reverse=True) if written[at : at + len(n)].upper() == n), None
            )
            if name is None:
                if written[at].isalpha():
                    raise call.refuse(f"knows no {written[at:]} in a pattern here", "Put texts in double quotes.")
                found.append(("text", written[at]))
                at += 1
                continue
        found.append(("field", name))
        at += len(name)
    return found


@function("to_char", args=2)
def to_char(call: Call) -> Typed:
    """Give a date or time by a pattern."""
    value = call.values[0]
    if value.type.is_number:
        raise call.refuse("of numbers is not given here", "Use CAST(… AS varchar).")
    at = timed(call, 0)
    if at.type.name not in {"date", "timestamp"}:
        raise call.refuse(f"of {at.type} is not given here", "CAST it to timestamp.")
    shown = Typed(f"CAST({at.sql} AS TIMESTAMP)", timestamp(6)) if at.type.name == "date" else at
    parts = [
        string(told) if kind == "text" else PIECES[told].replace("{x}", shown.sql)
        for kind, told in pieces(call, call.constant(1))
    ]
    return Typed(f"({' || '.join(parts)})" if parts else "''", VARCHAR)


READ: Final = {
    "YYYY": r"(?P<y>\d{4})",
    "MM": r"(?P<m>\d\d?)",
    "DD": r"(?P<d>\d\d?)",
    "HH24": r"(?P<h>\d\d?)",
    "MI": r"(?P<i>\d\d?)",
    "SS": r"(?P<s>\d\d?)",
    "MON": r"(?P<mon>[A-Za-z]{3})",
    "Mon": r"(?P<mon>[A-Za-z]{3})",
    "mon": r"(?P<mon>[A-Za-z]{3})",
    "MONTH": r"(?P<mon>[A-Za-z]+)",
    "Month": r"(?P<mon>[A-Za-z]+)",
}
NAMES: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def _read(call: Call) -> dict[str, int]:
    """Return the fields of a constant text by a constant pattern."""
    pattern = "".join(
        re.escape(told) if kind == "text" else READ.get(told, "(?P<none>)")
        for kind, told in pieces(call, call.constant(1))
    )
    found = re.fullmatch(pattern, call.constant(0)) if "none" not in pattern else None
    if found is None:
        raise call.refuse(f"reads {call.constant(0)!r} not by {call.constant(1)!r} here", "Write it as a literal.")
    told = {k: v for k, v in found.groupdict().items() if v is not None}
    if "mon" in told:
        month = told.pop("mon")[:3].lower()
        if month not in NAMES:
            raise call.refuse(f"knows no month {month}", "Write it in English.")
        told["m"] = str(NAMES.index(month) + 1)
    return {k: int(v) for k, v in told.items()}


@function("to_date", args=(2, 3))
def to_date(call: Call) -> Typed:
    """Give the date that a constant text is by a pattern; a day too many goes on in the next month, unless told strict."""
    value = call.values[0]
    strict = len(call) == 3 and call.values[2].const is True
    if value.text is None:
        form = _strptime(call, call.constant(1))
        return Typed(f"CAST(strptime({call.text(0).sql}, {string(form)}) AS DATE)", DATE)
    told = _read(call)
    if not {"y", "m", "d"} <= set(told):
        raise call.refuse("takes a pattern of year, month and day here", "Write all three.")
    if not 1 <= told["m"] <= 12 or (strict and told["d"] > moments.days_in(told["y"], told["m"])):
        return Typed(fail("date/time field value out of range", DATE), DATE)
    days = moments.epoch_days(told["y"], told["m"], 1) + told["d"] - 1
    return moment(Moment("date", 0, days, 0))


def _strptime(call: Call, written: str) -> str:
    forms = {"YYYY": "%Y", "MM": "%m", "DD": "%d", "HH24": "%H", "MI": "%M", "SS": "%S", "Mon": "%b", "MON": "%b"}
    made = ""
    for kind, told in pieces(call, written):
        if kind == "field" and told not in forms:
            raise call.refuse(f"knows no {told} in a pattern of a column here", "Use YYYY, MM, DD, HH24, MI, SS.")
        made += told.replace("%", "%%") if kind == "text" else forms[told]
    return made


@function("to_timestamp", args=(2, 3))
def to_timestamp(call: Call) -> Typed:
    """Give the instant that a constant text is by a pattern, in UTC; what is too much goes on in the next unit."""
    told = _read(call)
    if not {"y", "m", "d"} <= set(told) or not 1 <= told["m"] <= 12:
        raise call.refuse("takes a pattern of year, month and day here", "Write all three.")
    days = moments.epoch_days(told["y"], told["m"], 1) + told["d"] - 1
    seconds = told.get("h", 0) * 3600 + told.get("i", 0) * 60 + told.get("s", 0)
    if len(call) == 3 and call.values[2].const is True and seconds >= 86400:
        return Typed(fail("date/time field value out of range", timestamp(6)), timestamp(6))
    days, seconds = days + seconds // 86400, seconds % 86400
    return moment(Moment("timestamptz", 0, days, seconds * moments.SECOND, "UTC"))


@function("to_number", args=2)
def to_number(call: Call) -> Typed:
    """Give the number that a constant text is by a pattern of 9, G or comma, D or point, L, S."""
    written, form = call.constant(0).strip(), call.constant(1).strip().upper()
    if re.fullmatch(r"[L$ 9G,D.0SMI]+", form) is None:
        raise call.refuse(f"knows no pattern {form}", "Use 9, G, D, L and S.")
    bare = written.replace("$", "").replace(",", "").replace(" ", "")
    sign = -1 if "-" in bare else 1
    found = re.fullmatch(r"(\d*)(?:\.(\d+))?", bare.replace("-", "").replace("+", ""))
    places = len(re.sub(r"[^90]", "", re.split(r"[D.]", form)[1])) if re.search(r"[D.]", form) else 0
    if found is None or len(found[2] or "") > places:
        raise call.refuse(f"reads {written!r} not by {form!r} here", "Write it as a number.")
    digits = f"{'-' if sign < 0 else ''}{found[1] or '0'}{'.' + found[2] if found[2] else ''}"
    kind = decimal(max(len(found[1]) + len(found[2] or ""), 1), len(found[2] or ""))
    return Typed(f"CAST('{digits}' AS {duckdb_type(kind)})", kind)


# --- aggregates ---------------------------------------------------------------------------------------------------


@aggregate("listagg")
def listagg(call: Aggregate) -> Typed:
    """Give all values as a text, without NULL; distinct ones where they first come in the order."""
    call.takes(1, 2)
    value = call.values[0]
    shown = value if value.type.is_text else as_text(value)
    by = call.text(1) if len(call) == 2 else text("")
    if by.text is None:
        raise call.refuse("takes a constant separator", "Write it out.")
    if not call.is_distinct:
        return Typed(call.make("string_agg", shown.sql, by.sql), VARCHAR)
    listed = call.make("list", shown.sql, distinct=False, where=f"{shown.sql} IS NOT NULL")
    return Typed(
        f"array_to_string(list_filter({listed}, lambda _d, _i: list_position({listed}, _d) = _i), {by.sql})", VARCHAR
    )


def _percentile(name: str, word: str) -> None:
    @aggregate(name)
    def rule(call: Aggregate) -> Typed:
        """Give the value at a share of the order."""
        call.takes(1, 1)
        order = call.order_node
        share = call.values[0]
        if order is None or len(order.expressions) != 1 or share.const is None:
            raise call.refuse("takes a constant share and WITHIN GROUP (ORDER BY one value)", "Mend the call.")
        ordered = order.expressions[0]
        value = call.queries.expressions.give(ordered.this, call.scope)
        if not value.type.is_number or ordered.args.get("desc"):
            raise call.refuse(f"of {value.type} in falling order is not given here", "Use 1 - share.")
        shown = coerce(value, DOUBLE) if word == "quantile_cont" else value
        return Typed(call.make(word, shown.sql, share.sql, order=""), shown.type)


_percentile("percentile_cont", "quantile_cont")
_percentile("percentile_disc", "quantile_disc")


@aggregate("median")
def median(call: Aggregate) -> Typed:
    """Give the value in the middle, or between both in the middle."""
    call.takes(1, 1)
    return Typed(call.make("quantile_cont", call.double(0).sql, "0.5"), DOUBLE)


@aggregate("ratio_to_report")
def ratio_to_report(call: Aggregate) -> Typed:
    """Give the share of a value in the sum of its window."""
    call.takes(1, 1)
    value = call.double(0)
    return Typed(f"({value.sql} / nullif({call.make('sum', value.sql)}, 0))", DOUBLE)


@aggregate("avg")
def avg(call: Aggregate) -> Typed:
    """Give the mean of doubles; the mean of whole numbers is cut, that of decimals has digits of its own."""
    call.takes(1, 1)
    value = call.values[0]
    if value.type.is_float:
        return Typed(call.make("avg", value.sql), DOUBLE)
    if value.type.is_integer:
        total, number = call.make("sum", value.sql), call.make("count", value.sql)
        return Typed(f"CAST(trunc(CAST({total} AS DECIMAL(38, 0)) // nullif({number}, 0)) AS BIGINT)", BIGINT)
    raise call.refuse(f"of {value.type} is not given here", "CAST it to double precision.")


def _bits(name: str) -> None:
    @aggregate(name)
    def rule(call: Aggregate) -> Typed:
        """Combine bits."""
        call.takes(1, 1)
        return Typed(call.make(name, call.integer(0).sql), call.integer(0).type)


_bits("bit_and")
_bits("bit_or")
