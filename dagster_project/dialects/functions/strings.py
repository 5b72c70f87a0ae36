"""Texts, patterns and bytes, by code points as Trino counts them.

Source: https://trino.io/docs/current/functions/string.html, …/regexp.html, …/binary.html, …/url.html
"""

from __future__ import annotations

import re
from typing import Final

from dagster_project.dialects import operators
from dagster_project.dialects.casts import as_text
from dagster_project.dialects.functions.calls import MANY, Call, function, simple
from dagster_project.dialects.typed import Typed, fail, let, number, string, text, unless_null
from dagster_project.dialects.types import (
    BIGINT,
    BOOLEAN,
    INTEGER,
    UNKNOWN,
    VARBINARY,
    VARCHAR,
    Type,
    array,
    duckdb_type,
    map_of,
)

BLANK: Final = string(
    "".join(
        map(
            chr,
            [
                9,
                10,
                11,
                12,
                13,
                28,
                29,
                30,
                31,
                32,
                0x1680,
                *range(0x2000, 0x2007),
                0x2008,
                0x2009,
                0x200A,
                0x2028,
                0x2029,
                0x205F,
                0x3000,
            ],
        )
    )
)


@function("length", "char_length", "character_length")
def length(call: Call) -> Typed:
    """Give code points of a text, bytes of varbinary."""
    value = call.values[0]
    if value.type == VARBINARY:
        return Typed(f"octet_length({value.sql})", BIGINT)
    if not value.type.is_text and value.type != UNKNOWN:
        raise call.refuse(f"takes a text or bytes, not {value.type}", "Use cardinality() for arrays and maps.")
    if value.type.name == "char":
        return Typed(f"length({value.sql})", BIGINT)
    return Typed(f"length({call.text(0).sql})", BIGINT)


@function("upper")
def upper(call: Call) -> Typed:
    """Give upper case, a code point for a code point: ß stays."""
    value = call.text(0)
    if value.text is not None:
        return text("".join(c.upper() if len(c.upper()) == 1 else c for c in value.text))
    # DuckDB makes ß a capital; it goes by way of a character that nobody uses.
    return Typed(f"replace(upper(replace({value.sql}, 'ß', chr(57344))), chr(57344), 'ß')", VARCHAR)


@function("lower")
def lower(call: Call) -> Typed:
    """Give lower case."""
    return Typed(f"lower({call.text(0).sql})", VARCHAR)


simple("starts_with", "TT", "starts_with({0}, {1})", BOOLEAN)
simple("ends_with", "TT", "ends_with({0}, {1})", BOOLEAN)
simple("to_hex", "B", "hex({0})", VARCHAR)
simple("to_base64", "B", "to_base64({0})", VARCHAR)
simple("md5", "B", "from_hex(md5({0}))", VARBINARY)
simple("sha1", "B", "from_hex(sha1({0}))", VARBINARY)
simple("sha256", "B", "from_hex(sha256({0}))", VARBINARY)


@function("to_utf8")
def to_utf8(call: Call) -> Typed:
    """Give the bytes of a text, of a char with its blanks."""
    value = call.padded(0)
    return Typed(f"encode({value.sql})", VARBINARY, value.text.encode() if value.text is not None else None)


@function("chr")
def chr_(call: Call) -> Typed:
    """Give the character of a code point."""
    return Typed(f"chr(CAST({call.integer(0).sql} AS INTEGER))", VARCHAR)


@function("codepoint")
def codepoint(call: Call) -> Typed:
    """Give the code point of a single character."""
    raised = fail("Input to codepoint() must be one character", INTEGER)
    return Typed(
        let([call.text(0)], lambda x: f"CASE WHEN length({x}) <> 1 THEN {raised} ELSE unicode({x}) END"), INTEGER
    )


@function("concat", args=(2, MANY))
def concat(call: Call) -> Typed:
    """Give all joined; NULL if one is NULL, unlike DuckDB's concat."""
    values = call.values
    if any(v.is_null for v in values):
        kind = next((v.type for v in values if not v.is_null), VARCHAR)
        return Typed(f"CAST(NULL AS {duckdb_type(kind)})", kind)
    made = values[0]
    for value in values[1:]:
        made = operators.concatenate(made, value)
    return made


def joined(listed: str, by: str) -> str:
    """Return the texts of an array as one, without NULL; array_to_string takes a constant separator only."""
    kept = f"list_filter({listed}, lambda _e: _e IS NOT NULL)"
    if re.fullmatch(r"'(?:[^']|'')*'", by):
        return f"coalesce(array_to_string({kept}, {by}), '')"
    return f"CASE WHEN len({kept}) = 0 THEN '' ELSE list_reduce({kept}, lambda _a, _b: _a || {by} || _b) END"


@function("repeat_text", args=2)
def repeat_text(call: Call) -> Typed:
    """Give a text so many times: the method of varchar; the function repeat() makes an array."""
    return Typed(f"repeat({call.text(0).sql}, CAST({call.integer(1).sql} AS BIGINT))", VARCHAR)


@function("concat_ws", args=(2, MANY))
def concat_ws(call: Call) -> Typed:
    """Give texts joined by a separator without those that are NULL."""
    separator = call.text(0)
    if len(call) == 2 and call.values[1].type.name == "array":
        return Typed(
            let(
                [separator, call.array(1)],
                lambda s, x: f"CASE WHEN {s} IS NULL OR {x} IS NULL THEN NULL ELSE {joined(x, s)} END",
            ),
            VARCHAR,
        )
    parts = [call.text(i).sql for i in range(1, len(call))]
    return Typed(f"concat_ws({separator.sql}, {', '.join(parts)})", VARCHAR)


@function("substr", "substring", args=(2, 3))
def substring(call: Call) -> Typed:
    """Give a part from a place counted from 1, or from the end if it is negative; nothing for a place beyond it."""
    if call.values[0].type == VARBINARY:
        raise call.refuse("of varbinary is not given here", "Use it on texts.")
    value, start = call.padded(0), call.integer(1)
    size = call.integer(2) if len(call) == 3 else None
    if start.integer is not None and start.integer > 0 and (size is None or (size.integer or 0) > 0):
        return Typed(f"substr({value.sql}, {start.sql}{'' if size is None else f', {size.sql}'})", VARCHAR)
    values = [value, start, *([size] if size is not None else [])]

    def body(x: str, s: str, n: str | None = None) -> str:
        none = f"{s} = 0 OR {s} > length({x}) OR {s} < -length({x})" + (f" OR {n} <= 0" if n else "")
        rest = f", {n}" if n else ""
        null = f"{s} IS NULL" + (f" OR {n} IS NULL" if n else "")
        return f"CASE WHEN {null} THEN NULL WHEN {none} THEN '' ELSE substr({x}, CASE WHEN {s} < 0 THEN length({x}) + {s} + 1 ELSE {s} END{rest}) END"

    return Typed(let(values, body), VARCHAR)


@function("overlay", args=(3, 4))
def overlay(call: Call) -> Typed:
    """Give a text with another laid over it from a place on, over as many characters as it has or as are told."""
    value, by, start = call.text(0), call.text(1), call.integer(2)
    if start.integer is not None and start.integer < 1:
        raise call.refuse("takes a place from 1", "Mend it.")
    size = call.integer(3) if len(call) == 4 else None
    values = [value, by, start, *([size] if size is not None else [])]

    def body(x: str, b: str, s: str, n: str | None = None) -> str:
        count = n or f"length({b})"
        return f"CASE WHEN {s} < 1 OR {count} < 0 THEN {fail('OVERLAY takes a place from 1', VARCHAR)} ELSE substr({x}, 1, {s} - 1) || {b} || substr({x}, {s} + {count}) END"

    return Typed(let(values, body), VARCHAR)


@function("replace", args=(2, 3))
def replace(call: Call) -> Typed:
    """Give a text with another in place of a part; an empty part stands between all characters."""
    value, part = call.text(0), call.text(1)
    by = call.text(2) if len(call) == 3 else text("")
    if part.text:
        return Typed(f"replace({value.sql}, {part.sql}, {by.sql})", VARCHAR)

    def body(x: str, p: str, b: str) -> str:
        spread = f"({b} || array_to_string(list_transform(string_split({x}, ''), lambda _c: _c || {b}), ''))"
        return f"CASE WHEN {p} = '' THEN CASE WHEN {x} = '' THEN {b} ELSE {spread} END ELSE replace({x}, {p}, {b}) END"

    return Typed(let([value, part, by], body), VARCHAR)


@function("reverse")
def reverse(call: Call) -> Typed:
    """Give a text from its end, by code points, or an array."""
    value = call.values[0]
    if value.type.name == "array":
        return Typed(f"list_reverse({value.sql})", value.type)
    if value.text is not None:
        return text(value.text[::-1])
    return Typed(
        let(
            [call.padded(0)],
            lambda x: f"array_to_string(list_transform(range(length({x}), 0, -1), lambda _i: substr({x}, _i, 1)), '')",
        ),
        VARCHAR,
    )


@function("strpos", args=(2, 3))
def strpos(call: Call) -> Typed:
    """Give where a part begins, counted from 1; 0 if nowhere. With a number: which occurrence, from the end if negative."""
    value, part = call.text(0), call.text(1)
    if len(call) == 2 or call.integer(2).integer == 1:
        return Typed(f"CAST(instr({value.sql}, {part.sql}) AS BIGINT)", BIGINT)
    which = call.integer(2)
    if not which.integer:
        raise call.refuse("takes a constant occurrence other than 0", "Write it out.")
    n = which.integer

    def body(x: str, p: str) -> str:
        places = f"list_filter(range(1, length({x}) - length({p}) + 2), lambda _i: substr({x}, _i, length({p})) = {p})"
        return (
            f"CASE WHEN {x} IS NULL OR {p} IS NULL THEN NULL WHEN {p} = '' THEN 1 ELSE coalesce({places}[{n}], 0) END"
        )

    return Typed(let([value, part], body), BIGINT)


@function("split", args=(2, 3))
def split(call: Call) -> Typed:
    """Give the parts between separators; with a limit the last part holds the rest."""
    value, by = call.text(0), call.text(1)
    if by.text == "":
        raise call.refuse("takes a separator", "Use regexp_extract_all(…, '.') for the characters.")
    if len(call) == 2:
        return Typed(unless_null([value, by], lambda x, d: f"string_split({x}, {d})"), array(VARCHAR))
    limit = call.integer(2)
    if not limit.integer or limit.integer < 1:
        raise call.refuse("takes a constant limit above 0", "Write it out.")
    n = limit.integer

    def body(x: str, d: str) -> str:
        parts = f"string_split({x}, {d})"
        return f"CASE WHEN len({parts}) <= {n} THEN {parts} ELSE list_append({parts}[1:{n - 1}], {joined(f'{parts}[{n}:]', d)}) END"

    return Typed(unless_null([value, by], body), array(VARCHAR))


@function("split_part", args=3)
def split_part(call: Call) -> Typed:
    """Give the part of a number from 1; NULL beyond the last."""
    value, by, index = call.text(0), call.text(1), call.integer(2)
    raised = fail("Index must be greater than zero", VARCHAR)

    def body(x: str, d: str, i: str) -> str:
        return f"CASE WHEN {i} <= 0 THEN {raised} WHEN {d} = '' THEN CASE WHEN {i} > length({x}) THEN NULL ELSE substr({x}, {i}, 1) END ELSE string_split({x}, {d})[{i}] END"

    return Typed(unless_null([value, by, index], body), VARCHAR)


def _split_entries(call: Call, kind: Type, keys: str, items: str) -> Typed:
    """Give a map of `keys` and `items`, said in `{entries}`, their halves `{key}` and `{item}` of `_e`, and `{keys}`."""
    raised = fail("Key-value delimiter must appear exactly once in each entry", kind)

    def body(x: str, e: str, k: str) -> str:
        entries = f"string_split(CASE WHEN ends_with({x}, {e}) THEN left({x}, -length({e})) ELSE {x} END, {e})"
        entries = f"CASE WHEN {x} = '' THEN CAST([] AS VARCHAR[]) ELSE {entries} END"  # an end without a pair is none
        bad = f"len(list_filter({entries}, lambda _e: len(string_split(_e, {k})) <> 2)) > 0"
        told = {"entries": entries, "key": f"string_split(_e, {k})[1]", "item": f"string_split(_e, {k})[2]"}
        made = keys.format(**told)
        return f"CASE WHEN {bad} THEN {raised} ELSE map({made}, {items.format(keys=made, **told)}) END"

    return Typed(unless_null([call.text(i) for i in range(3)], body), kind)


@function("split_to_map", args=(3, 4))
def split_to_map(call: Call) -> Typed:
    """Give a map of pairs, an error for a key that comes twice or a pair without a key."""
    if len(call) == 4:
        raise call.refuse("with a lambda is not given here", "Use split_to_multimap() and transform_values().")
    each = "list_transform({entries}, lambda _e: "
    return _split_entries(call, map_of(VARCHAR, VARCHAR), each + "{key})", each + "{item})")


@function("split_to_multimap", args=3)
def split_to_multimap(call: Call) -> Typed:
    """Give a map of keys to all their values, in order."""
    keys = "list_distinct(list_transform({entries}, lambda _e: {key}))"
    items = "list_transform({keys}, lambda _y: list_transform(list_filter({entries}, lambda _e: {key} = _y), lambda _e: {item}))"
    return _split_entries(call, map_of(VARCHAR, array(VARCHAR)), keys, items)


def _pad(word: str) -> None:
    @function(word, args=3)
    def rule(call: Call) -> Typed:
        """Give a text filled, or cut, to a length."""
        value, size, by = call.padded(0), call.integer(1), call.text(2)
        if by.text == "":
            return Typed(fail("Padding string must not be empty", VARCHAR), VARCHAR)
        if size.integer is not None and size.integer < 0:
            return Typed(fail("Target length must not be negative", VARCHAR), VARCHAR)
        if by.text is not None and size.integer is not None:
            return Typed(f"{word}({value.sql}, CAST({size.sql} AS INTEGER), {by.sql})", VARCHAR)
        odd = fail("Padding string must not be empty, nor the target length negative", VARCHAR)

        def body(x: str, n: str, b: str) -> str:
            known = f"{x} IS NOT NULL AND {n} IS NOT NULL AND {b} IS NOT NULL"
            made = f"{word}({x}, CAST({n} AS INTEGER), {b})"
            return f"CASE WHEN {known} THEN CASE WHEN {n} < 0 OR {b} = '' THEN {odd} ELSE {made} END END"

        return Typed(let([value, size, by], body), VARCHAR)


_pad("lpad")
_pad("rpad")


def _trim(word: str) -> None:
    @function(word, args=(1, 2))
    def rule(call: Call) -> Typed:
        """Give a text without blanks of any script, or without the characters told, at its ends."""
        value = call.text(0)
        marks = call.text(1).sql if len(call) == 2 else BLANK
        made = f"{word}({value.sql}, {marks})"
        return Typed(f"rtrim({made}, ' ')" if call.values[0].type.name == "char" else made, VARCHAR)


for _word in ("trim", "ltrim", "rtrim"):
    _trim(_word)


@function("translate", args=3)
def translate_(call: Call) -> Typed:
    """Give a text with characters replaced one by one; those without a partner go."""
    return Typed(f"translate({call.text(0).sql}, {call.text(1).sql}, {call.text(2).sql})", VARCHAR)


@function("levenshtein_distance", args=2)
def levenshtein_distance(call: Call) -> Typed:
    """Give how many characters must change, by code points; DuckDB counts bytes, so each character becomes one byte."""
    one, other = call.text(0), call.text(1)
    if one.text is not None and other.text is not None:
        return number(levenshtein(one.text, other.text))
    many = fail("levenshtein_distance() of more than 127 characters beyond ASCII is not given", VARCHAR)

    def body(x: str, y: str) -> str:
        letters = f"list_distinct(string_split({x} || {y}, ''))"
        single = lambda t, of: (
            f"CASE WHEN strlen({x} || {y}) = length({x} || {y}) THEN {t} WHEN len({of}) > 127 THEN {many} "
            f"ELSE array_to_string(list_transform(string_split({t}, ''), lambda _c: chr(CAST(list_position({of}, _c) AS INTEGER))), '') END"
        )
        made = let([Typed(letters, array(VARCHAR))], lambda of: f"levenshtein({single(x, of)}, {single(y, of)})")
        return f"CASE WHEN {x} = '' OR {y} = '' THEN length({x}) + length({y}) ELSE CAST({made} AS BIGINT) END"

    return Typed(let([one, other], body), BIGINT)


def levenshtein(one: str, other: str) -> int:
    """Return how many characters must change to make one text the other.

    >>> levenshtein("naïve", "native")
    2
    """
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        row, before = [i], row
        for j, b in enumerate(other, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (a != b)))
    return row[-1]


@function("hamming_distance", args=2)
def hamming_distance(call: Call) -> Typed:
    """Give at how many places two texts of one length differ."""
    unlike = fail("The input strings to hamming_distance function must have the same length", BIGINT)
    return Typed(
        let(
            [call.text(0), call.text(1)],
            lambda x, y: (
                f"CASE WHEN {x} IS NULL OR {y} IS NULL THEN NULL WHEN length({x}) <> length({y}) THEN {unlike} ELSE len(list_filter(range(1, length({x}) + 1), lambda _i: substr({x}, _i, 1) <> substr({y}, _i, 1))) END"
            ),
        ),
        BIGINT,
    )


@function("normalize", args=(1, 2))
def normalize(call: Call) -> Typed:
    """Give the composed form NFC."""
    if len(call) == 2 and call.nodes[1].name.upper() != "NFC":
        raise call.refuse("to another form than NFC is not given here", "Normalize after the query.")
    return Typed(f"nfc_normalize({call.value(0).sql})", VARCHAR)


@function("luhn_check")
def luhn_check(call: Call) -> Typed:
    """Give whether the digits of a text hold by Luhn's rule."""
    raised = fail("Input contains invalid character", BOOLEAN)

    def body(x: str) -> str:
        digits = f"list_transform(range(1, length({x}) + 1), lambda _i: CAST(substr({x}, length({x}) - _i + 1, 1) AS INTEGER) * CASE WHEN _i % 2 = 0 THEN 2 ELSE 1 END)"
        total = f"list_sum(list_transform({digits}, lambda _d: CASE WHEN _d > 9 THEN _d - 9 ELSE _d END))"
        return f"CASE WHEN {x} IS NULL THEN NULL WHEN NOT regexp_full_match({x}, '[0-9]+') THEN CASE WHEN {x} = '' THEN false ELSE {raised} END ELSE {total} % 10 = 0 END"

    return Typed(let([call.text(0)], body), BOOLEAN)


# --- patterns -----------------------------------------------------------------------------------------------------

BEYOND: Final = re.compile(
    r"\(\?(?:[=!]|<[=!]|>|#)|\\[1-9]|[*+?}]\+|\\[GKRXZhHvVuxckN]|&&|\[\[|\(\?<[A-Za-z]|\\Q|\\p\{(?:Is|In|java|block|script)",
    re.IGNORECASE,
)


def pattern(call: Call, index: int) -> Typed:
    """Return a pattern that means the same to RE2. Raises `Unsupported` for what only a backtracking engine knows."""
    value = call.text(index)
    if value.text is None:
        if value.type == UNKNOWN or value.sql.startswith("CAST(NULL"):
            return value
        raise call.refuse(
            "takes a constant pattern here: DuckDB's engine knows no look-around and no back-references",
            "Write it out.",
        )
    found = BEYOND.search(value.text)
    if found:
        raise call.refuse(
            f"with {found[0]} in its pattern is not given here: DuckDB's engine does not know it",
            "Write the pattern without it.",
        )
    return value


def groups(written: str) -> int:
    """Return how many groups a pattern has."""
    return len(re.findall(r"(?<!\\)(?:\\\\)*\((?!\?)", written))


def always_matches(written: str, group: int) -> bool:
    """Return whether a group takes part in every match: it and those around it are neither optional nor alternatives.

    >>> always_matches("^https?://([^/]+)", 1), always_matches("(a)?b", 1), always_matches("(a|b)c", 1), always_matches("(a)|b", 1)
    (True, False, True, False)
    """
    opened: list[tuple[int, int]] = []
    spans: dict[int, tuple[int, int, list[int]]] = {}
    bars: list[tuple[int, int]] = []
    number, at, level_of = 0, 0, [0]
    fresh = 0
    while at < len(written):
        char = written[at]
        if char == "\\":
            at += 2
            continue
        if char == "[":
            end = at + 2 if written[at + 1 : at + 2] == "^" else at + 1
            end = written.find("]", end + 1 if written[end : end + 1] == "]" else end)
            at = len(written) if end < 0 else end + 1
            continue
        if char == "(":
            is_group = written[at + 1 : at + 2] != "?"
            number += is_group
            fresh += 1
            opened.append((number if is_group else 0, at))
            level_of.append(fresh)
            if is_group:
                spans[number] = (at, -1, list(level_of))
        elif char == ")" and opened:
            which, _ = opened.pop()
            closed = level_of.pop()
            optional = written[at + 1 : at + 2] in {"?", "*"} or written[at + 1 : at + 3] == "{0"
            if optional:
                bars.append((closed, 1))
            if which:
                spans[which] = (spans[which][0], at, spans[which][2])
        elif char == "|":
            bars.append((level_of[-1], 0))
        at += 1
    around = spans[group][2]
    own = around[-1]
    return not any(
        (level in around and kind == 1) or (level in around and level != own and kind == 0) for level, kind in bars
    )


@function("regexp_like", args=2)
def regexp_like(call: Call) -> Typed:
    """Give whether a pattern is found anywhere."""
    return Typed(f"regexp_matches({call.text(0).sql}, {pattern(call, 1).sql})", BOOLEAN)


@function("regexp_extract", args=(2, 3))
def regexp_extract(call: Call) -> Typed:
    """Give the first match, or a group of it; NULL where there is none."""
    value, found, group = call.text(0), pattern(call, 1), _group(call)
    if group and not always_matches(found.text or "", group):
        raise call.refuse(
            "of a group that need not match cannot tell NULL from an empty text here", "Make the group match always."
        )
    return Typed(
        let(
            [value],
            lambda x: f"CASE WHEN regexp_matches({x}, {found.sql}) THEN regexp_extract({x}, {found.sql}, {group}) END",
        ),
        VARCHAR,
    )


def _group(call: Call) -> int:
    if len(call) < 3:
        return 0
    group = call.integer(2).integer
    if group is None:
        raise call.refuse("takes a constant group", "Write it out.")
    if group < 0 or group > groups(call.text(1).text or ""):
        raise call.refuse(
            f"asks for the group {group} of a pattern that has {groups(call.text(1).text or '')}", "Mend the group."
        )
    return group


@function("regexp_extract_all", args=(2, 3))
def regexp_extract_all(call: Call) -> Typed:
    """Give all matches, or a group of each."""
    value, found, group = call.text(0), pattern(call, 1), _group(call)
    if group and not always_matches(found.text or "", group):
        raise call.refuse(
            "of a group that need not match cannot tell NULL from an empty text here", "Make the group match always."
        )
    return Typed(f"regexp_extract_all({value.sql}, {found.sql}, {group})", array(VARCHAR))


@function("regexp_replace", args=(2, 3))
def regexp_replace(call: Call) -> Typed:
    """Give a text with every match replaced; $1 stands for a group."""
    if len(call) == 3 and type(call.nodes[2]).__name__ == "Lambda":
        raise call.refuse("with a lambda is not given here", "Write the replacement with $1.")
    value, found = call.text(0), pattern(call, 1)
    if found.text and matches_nothing(found.text):
        raise call.refuse(
            "with a pattern that also matches nothing is not given here", "Use one that takes a character."
        )
    by = "" if len(call) == 2 else call.constant(2) if call.text(2).text is not None else None
    if by is None:
        return Typed("CAST(NULL AS VARCHAR)", VARCHAR)
    made, at = "", 0
    count = groups(found.text or "")
    while at < len(by):
        char = by[at]
        if char == "\\":
            if at + 1 >= len(by):
                raise call.refuse("has a replacement that ends in \\", "Mend it.")
            made += "\\\\" if by[at + 1] == "\\" else by[at + 1]
            at += 2
        elif char == "$":
            number = re.match(r"\d", by[at + 1 : at + 2])
            if number is None or int(number[0]) > count or re.match(r"\d", by[at + 2 : at + 3]):
                raise call.refuse(
                    f"has a replacement with {by[at : at + 4]}, which names no group here", "Use $0 to $9."
                )
            made += f"\\{number[0]}"
            at += 2
        else:
            made += char
            at += 1
    return Typed(f"regexp_replace({value.sql}, {found.sql}, {string(made)}, 'g')", VARCHAR)


def matches_nothing(written: str) -> bool:
    """Return whether a pattern matches an empty text, or may: engines differ in what follows from it."""
    try:
        return re.search(written, "") is not None
    except re.error:
        return True


@function("regexp_split", args=2)
def regexp_split(call: Call) -> Typed:
    """Give the parts between matches."""
    found = pattern(call, 1)
    if found.text == "":  # between all characters, and at both ends
        body = lambda x: f"CASE WHEN {x} IS NOT NULL THEN list_concat([''], string_split({x}, ''), ['']) END"
        return Typed(let([call.text(0)], body), array(VARCHAR))
    if not found.text or matches_nothing(found.text):
        raise call.refuse(
            "with a pattern that matches nothing at all is not given here", "Use one that takes a character."
        )
    return Typed(f"regexp_split_to_array({call.text(0).sql}, {found.sql})", array(VARCHAR))


@function("regexp_count", args=2)
def regexp_count(call: Call) -> Typed:
    """Give how often a pattern matches."""
    found = pattern(call, 1)
    if found.text is not None and matches_nothing(found.text):
        raise call.refuse(
            "with a pattern that also matches nothing is not given here", "Use one that takes a character."
        )
    return Typed(f"CAST(len(regexp_extract_all({call.text(0).sql}, {pattern(call, 1).sql})) AS BIGINT)", BIGINT)


@function("regexp_position", args=(2, 4))
def regexp_position(call: Call) -> Typed:
    """Give where a match begins, the first or one of a number, from a place on; -1 if nowhere."""
    value, found = call.text(0), pattern(call, 1)
    if found.text is None:
        return Typed("CAST(NULL AS INTEGER)", INTEGER)
    start = call.integer(2).integer if len(call) > 2 else 1
    nth = call.integer(3).integer if len(call) > 3 else 1
    if not start or not nth or start < 1 or nth < 1:
        raise call.refuse("takes a constant start and occurrence above 0", "Write them out.")
    if "^" in found.text or "(?" in found.text or matches_nothing(found.text):
        raise call.refuse(
            "with a pattern that is anchored or may match nothing is not given here", "Use regexp_like()."
        )
    # The text is cut at each match: what stands before the one asked for is as long as its place.
    skipped = f"(?:.{{{start - 1}}})" if start > 1 else ""
    before = string(
        f"(?s)^({skipped}(?:.*?(?:{found.text})){{{nth - 1}}}.*?)(?:{found.text})"
        if nth > 1
        else f"(?s)^({skipped}.*?)(?:{found.text})"
    )
    if start > 1000 or nth > 100:
        raise call.refuse("takes a start to 1000 and an occurrence to 100 here", "Use substr() around the text.")
    return Typed(
        let(
            [value],
            lambda x: (
                f"CASE WHEN {x} IS NULL THEN NULL WHEN regexp_matches({x}, {before}) THEN CAST(length(regexp_extract({x}, {before}, 1)) + 1 AS INTEGER) ELSE -1 END"
            ),
        ),
        INTEGER,
    )


# --- bytes --------------------------------------------------------------------------------------------------------


@function("from_hex")
def from_hex(call: Call) -> Typed:
    """Give the bytes of hexadecimal digits, two to a byte."""
    value = call.text(0)
    if value.text is not None:
        if len(value.text) % 2 or not re.fullmatch(r"[0-9a-fA-F]*", value.text):
            return Typed(fail(f"Invalid hex: {value.text}", VARBINARY), VARBINARY)
        return Typed(f"from_hex({value.sql})", VARBINARY, bytes.fromhex(value.text))
    odd = fail("from_hex() takes two hexadecimal digits per byte", VARBINARY)
    return Typed(let([value], lambda x: f"CASE WHEN length({x}) % 2 = 1 THEN {odd} ELSE from_hex({x}) END"), VARBINARY)


@function("from_base64")
def from_base64(call: Call) -> Typed:
    """Give the bytes of a base64 text."""
    return Typed(_from_base64(call.text(0).sql), VARBINARY)


def _from_base64(x: str) -> str:
    """Return the bytes of base64, whose padding may be missing as in Java."""
    missing = lambda v: (
        f"CASE WHEN contains({v}, '=') THEN '' WHEN length({v}) % 4 = 2 THEN '==' WHEN length({v}) % 4 = 3 THEN '=' ELSE '' END"
    )
    made = lambda v: f"from_base64({v} || {missing(v)})"
    return let([Typed(x, VARCHAR)], made)


@function("to_base64url")
def to_base64url(call: Call) -> Typed:
    """Give base64 with - and _."""
    return Typed(f"translate(to_base64({call.bytes(0).sql}), '+/', '-_')", VARCHAR)


@function("from_base64url")
def from_base64url(call: Call) -> Typed:
    """Give the bytes of base64 with - and _."""
    return Typed(_from_base64(f"translate({call.text(0).sql}, '-_', '+/')"), VARBINARY)


@function("from_utf8", args=(1, 2))
def from_utf8(call: Call) -> Typed:
    """Give the text of bytes, U+FFFD or the character told for a sequence that is none; of a column such a one raises."""
    value = call.bytes(0)
    by = _replacement(call) if len(call) == 2 else "\ufffd"
    if isinstance(value.const, bytes):
        return text(utf8(value.const, by))
    if len(call) == 2:
        raise call.refuse("with a replacement is given here for constants", "Leave the replacement out.")
    return Typed(f"decode({value.sql})", VARCHAR)


def _replacement(call: Call) -> str:
    told = call.values[1]
    if told.integer is not None and 0 <= told.integer < 0x110000 and not 0xD800 <= told.integer < 0xE000:
        return chr(told.integer)
    if told.text is None or len(told.text) > 1:
        raise call.refuse("takes a constant replacement of one character or none", "Write it out.")
    return told.text


def utf8(value: bytes, by: str) -> str:
    """Return bytes as a text, with `by` in place of each sequence that is no UTF-8: as far as it looks like one.

    >>> utf8(b"X\\xbf", "#"), utf8(b"\\xe2\\x82", "#"), utf8(b"\\xed\\xa0\\x80", "#")
    ('X#', '#', '#')
    """
    made, at = [], 0
    while at < len(value):
        first = value[at]
        told = next((n for n in range(2, 7) if first >> (7 - n) == (1 << (n + 1)) - 2), 1)
        found = 1
        while found < told and at + found < len(value) and value[at + found] >> 6 == 0b10:
            found += 1
        sequence = value[at : at + found]
        try:
            made.append(sequence.decode("utf-8"))
        except UnicodeDecodeError:
            made.append(by)
        at += found
    return "".join(made)


def _big_endian(bits: int) -> None:
    digits, whole = bits // 4, 2**bits

    @function(f"to_big_endian_{bits}")
    def to_bytes(call: Call) -> Typed:
        """Give the bytes of a whole number, the highest first."""
        if bits == 64:
            body = lambda x: f"from_hex(lpad(printf('%x', CAST({x} AS BIGINT)), {digits}, '0'))"
        else:
            body = lambda x: (
                f"from_hex(lpad(printf('%x', CAST(CASE WHEN {x} < 0 THEN CAST({x} AS BIGINT) + {whole} ELSE {x} END AS BIGINT)), {digits}, '0'))"
            )
        return Typed(let([call.integer(0)], body), VARBINARY)

    @function(f"from_big_endian_{bits}")
    def from_bytes(call: Call) -> Typed:
        """Give the whole number of bytes, the highest first."""
        kind = BIGINT if bits == 64 else INTEGER
        odd = fail(f"expected {bits // 8}-byte input", kind)
        number_ = "CAST('0x' || hex({x}) AS UBIGINT)"
        signed = f"CASE WHEN {number_} >= {whole // 2} THEN CAST({number_} AS HUGEINT) - {whole} ELSE CAST({number_} AS HUGEINT) END"
        return Typed(
            let(
                [call.bytes(0)],
                lambda x: (
                    f"CASE WHEN octet_length({x}) <> {bits // 8} THEN {odd} ELSE CAST({signed.replace('{x}', x)} AS {duckdb_type(kind)}) END"
                ),
            ),
            kind,
        )


_big_endian(32)
_big_endian(64)


@function("url_encode")
def url_encode(call: Call) -> Typed:
    """Give a text as it stands in a form: + for a blank."""
    return Typed(
        f"replace(replace(replace(url_encode({call.text(0).sql}), '%20', '+'), '~', '%7E'), '%2A', '*')", VARCHAR
    )


@function("url_decode")
def url_decode(call: Call) -> Typed:
    """Give the text of a form; an error for % without two hexadecimal digits."""
    odd = fail("url_decode() takes two hexadecimal digits behind %", VARCHAR)
    rest = lambda x: f"contains(regexp_replace({x}, '%[0-9a-fA-F]{{2}}', '', 'g'), '%')"
    made = lambda x: f"CASE WHEN {rest(x)} THEN {odd} ELSE url_decode(replace({x}, '+', ' ')) END"
    return Typed(let([call.text(0)], made), VARCHAR)


# --- format -------------------------------------------------------------------------------------------------------

PLACE: Final = re.compile(r"%(?:(\d+)\$)?([-#+ 0,(<]*)(\d+)?(?:\.(\d+))?([a-zA-Z%])")


@function("format", args=(1, MANY))
def format_(call: Call) -> Typed:
    """Give Java's format() of the places that mean the same whoever prints them: %s %d %x %f %%, with width and 0 - ,."""
    written = call.constant(0)
    parts: list[str] = []
    at, nth = 0, 0
    for found in PLACE.finditer(written):
        if found.start() > at:
            _plain(call, written[at : found.start()], parts)
        at = found.end()
        if found[5] == "%":
            parts.append("'%'")
            continue
        nth = int(found[1]) if found[1] else nth + 1
        if nth >= len(call):
            raise call.refuse(f"has no argument for {found[0]}", "Give one.")
        parts.append(_place(call, found, call.values[nth]))
    _plain(call, written[at:], parts)
    return Typed(f"({' || '.join(parts)})" if parts else "''", VARCHAR)


def _plain(call: Call, written: str, parts: list[str]) -> None:
    if "%" in written:
        raise call.refuse(f"has a % in {written!r} that is read as nothing here", "Write %%.")
    if written:
        parts.append(string(written))


def _place(call: Call, found: re.Match[str], value: Typed) -> str:
    flags, width, digits, letter = found[2], int(found[3] or 0), found[4], found[5]
    kind = value.type
    if (
        letter == "s"
        and digits is None
        and not set(flags) - {"-"}
        and (kind.is_text or kind.is_integer or kind.name in {"boolean", "decimal", "date", "uuid"})
    ):
        made = f"coalesce({as_text(value).sql}, 'null')"
        if "-" in flags and width:
            return let(
                [Typed(made, VARCHAR)], lambda x: f"rpad({x}, CAST(greatest(length({x}), {width}) AS INTEGER), ' ')"
            )
        return _wide(made, width, " ")
    if letter == "d" and kind.is_integer and digits is None and not set(flags) - {"0", ","}:
        made = f"format('{{:,}}', {value.sql})" if "," in flags else f"CAST({value.sql} AS VARCHAR)"
        if "0" in flags and width:
            return let(
                [value],
                lambda x: (
                    f"(CASE WHEN {x} < 0 THEN '-' ELSE '' END || lpad(CAST(abs({x}) AS VARCHAR), CAST(greatest(length(CAST(abs({x}) AS VARCHAR)), {width} - CASE WHEN {x} < 0 THEN 1 ELSE 0 END) AS INTEGER), '0'))"
                ),
            )
        return _wide(made, width, " ")
    if letter == "f" and (kind.is_float or kind.name == "decimal") and not set(flags) - {","}:
        places = int(digits) if digits is not None else 6
        exact = f"CAST(CAST({value.sql} AS VARCHAR) AS DECIMAL(38, {places}))"
        if "," in flags:
            whole = let(
                [Typed(exact, VARCHAR)],
                lambda x: (
                    f"(CASE WHEN {x} < 0 THEN '-' ELSE '' END || format('{{:,}}', CAST(trunc(abs({x})) AS BIGINT)) || {'substr(CAST(' + x + ' AS VARCHAR), instr(CAST(' + x + chr(32) + 'AS VARCHAR), chr(46)))' if places else string('')})"
                ),
            )
            return _wide(whole, width, " ")
        return _wide(f"CAST({exact} AS VARCHAR)", width, " ")
    if letter == "x" and kind.is_integer and not set(flags) - {"0"} and digits is None:
        return _wide(f"printf('%x', {value.sql})", width, "0" if "0" in flags else " ")
    raise call.refuse(f"with {found[0]} for {kind} is not given here", "Build the text with || and CAST.")


def _wide(made: str, width: int, by: str) -> str:
    if not width:
        return made
    return let(
        [Typed(made, VARCHAR)], lambda x: f"lpad({x}, CAST(greatest(length({x}), {width}) AS INTEGER), {string(by)})"
    )
