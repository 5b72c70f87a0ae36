"""JSON: reading parts of it, and making it. A text that is no JSON gives NULL where Trino gives NULL.

Source: https://trino.io/docs/current/functions/json.html
"""

from __future__ import annotations

import json
import re
from typing import Any

from sqlglot import exp

from dagster_project.dialects.casts import canonical, is_json, json_constant, json_text
from dagster_project.dialects.expressions import RULES, type_of
from dagster_project.dialects.functions.calls import Call, function
from dagster_project.dialects.syntax import SqlJson
from dagster_project.dialects.typed import Typed, fail, let, string
from dagster_project.dialects.types import BIGINT, BOOLEAN, DOUBLE, JSON, UNKNOWN, VARCHAR, Type
from dagster_project.errors import Unsupported

STEP = re.compile(
    r"\.([A-Za-z_][\w-]*|\d+)|\[(\d+)\]|\[\"((?:[^\"\\]|\\.)*)\"\]|\['((?:[^'\\]|\\.)*)'\]|\.\"((?:[^\"\\]|\\.)*)\""
)


def path_of(call: Call, index: int) -> str:
    """Return a constant JSON path in DuckDB's words. Raises `Unsupported` for wildcards, filters and slices."""
    written = call.constant(index).strip()
    body = written[1:] if written.startswith("$") else f".{written}" if re.fullmatch(r"[A-Za-z_]\w*", written) else None
    made, at = "$", 0
    if body is None:
        raise call.refuse(f"with the path {written} is not given here", "Begin it with $.")
    while at < len(body):
        step = STEP.match(body, at)
        if step is None:
            raise call.refuse(f"with the path {written} is not given here", 'Use $.name, $[0] and $["name"] only.')
        name = next((g for g in (step[1], step[3], step[4], step[5]) if g is not None), None)
        if name is not None and re.search(r'["\\*]', name):
            raise call.refuse(f"with the name {name} in its path is not given here", "CAST to a map first.")
        made += f"[{step[2]}]" if step[2] is not None else f'."{name}"'
        at = step.end()
    return made


def source(call: Call, index: int = 0) -> tuple[Typed, str]:
    """Return the JSON an argument is, and a condition of SQL, with {x} for it, that it is one."""
    value = call.values[index]
    if value.type.name == "json":
        return value, "{x} IS NOT NULL"
    if value.text is not None and canonical(value.text) is None:  # DuckDB would read the constant before it asks
        return Typed("CAST(NULL AS VARCHAR)", VARCHAR), is_json("{x}")
    if value.type.is_text:
        return value, is_json("{x}")
    if value.type == UNKNOWN:
        return Typed("CAST(NULL AS VARCHAR)", VARCHAR), is_json("{x}")
    raise call.refuse(
        f"takes JSON or a text, not {value.type if value.type.is_known else 'a column of a type nobody told of'}",
        "Use CAST(… AS JSON).",
    )


@function("json_parse")
def json_parse(call: Call) -> Typed:
    """Give the JSON that a text is; an error if it is none."""
    value = call.text(0)
    if value.text is not None:
        return json_constant(value.text)
    raised = fail("Cannot convert value to JSON", JSON)
    return Typed(
        let([value], lambda x: f"CASE WHEN {x} IS NULL OR {is_json(x)} THEN json({x}) ELSE {raised} END"), JSON
    )


@function("json_format")
def json_format(call: Call) -> Typed:
    """Give the text of JSON, keys sorted; so it must be known that they are."""
    value = call.values[0]
    if value.type.is_text and value.text is not None:
        value = json_constant(value.text)
    if value.type == JSON:
        raise call.refuse(
            "sorts the keys of objects, which DuckDB does not", "Use CAST(json_extract(…) AS varchar) for parts."
        )
    if value.type.name != "json":
        raise call.refuse(f"takes JSON, not {value.type}", "Use CAST(… AS JSON).")
    return Typed(f"CAST({value.sql} AS VARCHAR)", VARCHAR, value.const if isinstance(value.const, str) else None)


@function("json_extract", args=2)
def json_extract(call: Call) -> Typed:
    """Give the JSON at a path, NULL if there is none."""
    value, valid = source(call)
    path = path_of(call, 1)
    known = value.const if isinstance(value.const, str) else value.text
    kept = _at(known, path) if known is not None else None
    if kept is not None:
        return json_constant(kept)
    return Typed(
        let([value], lambda x: f"CASE WHEN {valid.replace('{x}', x)} THEN json_extract({x}, {string(path)}) END"), JSON
    )


class _Number(str):
    __slots__ = ()


def _at(told: str, path: str) -> str | None:
    """Return the JSON text at a path of a constant, None if it is not there: then DuckDB says so."""
    kept = canonical(told)
    if kept is None:
        return None
    tree: Any = json.loads(kept, parse_float=_Number, parse_int=_Number)
    for name, index in re.findall(r'\."([^"]*)"|\[(\d+)\]', path):
        if index and isinstance(tree, list) and int(index) < len(tree):
            tree = tree[int(index)]
        elif not index and isinstance(tree, dict) and name in tree:
            tree = tree[name]
        else:
            return None
    return _write(tree)


def _write(tree: Any) -> str:
    from dagster_project.dialects.casts import _written

    return _written(_as_numbers(tree))


def _as_numbers(tree: Any) -> Any:
    from dagster_project.dialects.casts import _Number as Number

    if isinstance(tree, dict):
        return {k: _as_numbers(v) for k, v in tree.items()}
    if isinstance(tree, list):
        return [_as_numbers(v) for v in tree]
    return Number(tree) if isinstance(tree, _Number) else tree


@function("json_extract_scalar", args=2)
def json_extract_scalar(call: Call) -> Typed:
    """Give the text of a scalar at a path; NULL for an object, an array, null or nothing."""
    value, valid = source(call)
    path = string(path_of(call, 1))
    known = value.const if isinstance(value.const, str) else value.text
    if known is not None and (kept := _at(known, path_of(call, 1))) is not None and kept[:1] not in '{["n':
        return Typed(string(kept), VARCHAR, kept)
    raised = fail("json_extract_scalar: a number whose digits DuckDB does not keep. CAST it to a number", VARCHAR)

    def body(x: str, number: str) -> str:
        kind, shown = f"json_type({x}, {path})", f"json_extract_string({x}, {path})"
        found = f"CASE WHEN {kind} NOT IN ('OBJECT', 'ARRAY', 'NULL', 'DOUBLE') THEN {shown} WHEN {kind} = 'DOUBLE' THEN {number.replace('{shown}', shown)} END"
        return f"CASE WHEN {valid.replace('{x}', x)} THEN {found} END"

    # Trino gives the digits as they are written, DuckDB those of the double: 1.5 for 1.50. So they must stand in the text.
    exact = "CASE WHEN regexp_matches(CAST({x} AS VARCHAR), '(^|[^0-9.eE+-])' || replace({shown}, '.', '[.]') || '($|[^0-9.eE+-])') THEN {shown} ELSE {raised} END"
    made = Typed(let([value], lambda x: body(x, exact.replace("{x}", x).replace("{raised}", raised))), VARCHAR)
    made.as_number = let([value], lambda x: body(x, "{shown}"))
    return made


@function("json_array_length")
def json_array_length(call: Call) -> Typed:
    """Give how long a JSON array is, NULL for what is none."""
    value, valid = source(call)
    return Typed(
        let(
            [value],
            lambda x: (
                f"CASE WHEN {valid.replace('{x}', x)} THEN CASE WHEN json_type({x}) = 'ARRAY' THEN CAST(json_array_length({x}) AS BIGINT) END END"
            ),
        ),
        BIGINT,
    )


@function("json_size", args=2)
def json_size(call: Call) -> Typed:
    """Give how many members stand at a path: 0 for a scalar, NULL for nothing."""
    value, valid = source(call)
    path = string(path_of(call, 1))

    def body(x: str) -> str:
        kind = f"json_type({x}, {path})"
        return f"CASE WHEN {valid.replace('{x}', x)} THEN CASE {kind} WHEN 'ARRAY' THEN CAST(json_array_length({x}, {path}) AS BIGINT) WHEN 'OBJECT' THEN len(json_keys({x}, {path})) ELSE CASE WHEN {kind} IS NOT NULL THEN 0 END END END"

    return Typed(let([value], body), BIGINT)


@function("json_array_get", args=2)
def json_array_get(call: Call) -> Typed:
    """Give an element counted from 0, from the end if negative; NULL for none, and for JSON's null."""
    value, valid = source(call)
    index = call.integer(1)

    def body(x: str, i: str) -> str:
        at = f"json_extract({x}, '$[' || (CASE WHEN {i} < 0 THEN CAST(json_array_length({x}) AS BIGINT) + {i} ELSE {i} END) || ']')"
        inside = f"{i} >= -CAST(json_array_length({x}) AS BIGINT)"
        return f"CASE WHEN {valid.replace('{x}', x)} THEN CASE WHEN json_type({x}) = 'ARRAY' AND {inside} THEN CASE json_type({at}) WHEN 'NULL' THEN NULL WHEN 'VARCHAR' THEN json_extract_string({at}, '$') ELSE CAST({at} AS VARCHAR) END END END"

    # Trino gives a text without its quotes, which is no JSON: so it stays a text here.
    return Typed(let([value, index], body), VARCHAR)


@function("json_array_contains", args=2)
def json_array_contains(call: Call) -> Typed:
    """Give whether a JSON array has a boolean, a number or a text among its elements."""
    value, valid = source(call)
    item = call.values[1]
    kind = item.type
    if kind == UNKNOWN:
        return Typed("CAST(NULL AS BOOLEAN)", BOOLEAN)
    if kind.is_text:
        test = "json_type(_j) = 'VARCHAR' AND json_extract_string(_j, '$') = {y}"
    elif kind == BOOLEAN:
        test = "json_type(_j) = 'BOOLEAN' AND (json_extract_string(_j, '$') = 'true') = {y}"
    elif kind.is_integer:
        test = "json_type(_j) IN ('BIGINT', 'UBIGINT') AND TRY_CAST(json_extract_string(_j, '$') AS HUGEINT) = {y}"
    elif kind == DOUBLE or kind.name in {"decimal", "real"}:
        item = Typed(f"CAST({item.sql} AS DOUBLE)", DOUBLE)
        test = "json_type(_j) = 'DOUBLE' AND TRY_CAST(json_extract_string(_j, '$') AS DOUBLE) = {y}"
    else:
        raise call.refuse(f"looks for {kind}", "CAST it to varchar, bigint, double or boolean.")

    def body(x: str, y: str) -> str:
        found = f"len(list_filter(CAST({x} AS JSON[]), lambda _j: {test.replace('{y}', y)})) > 0"
        return f"CASE WHEN {y} IS NULL THEN NULL WHEN {valid.replace('{x}', x)} THEN CASE WHEN json_type({x}) = 'ARRAY' THEN {found} END END"

    return Typed(let([value, item], body), BOOLEAN)


@function("is_json_scalar")
def is_json_scalar(call: Call) -> Typed:
    """Give whether JSON is a number, a text, a boolean or null."""
    written = call.values[0].text
    if written is not None and canonical(written) is None:
        raise call.refuse(f"takes JSON, which {written[:40]!r} is not", "Mend it.")
    value, valid = source(call)
    raised = fail("Invalid JSON value", BOOLEAN)
    return Typed(
        let(
            [value],
            lambda x: (
                f"CASE WHEN {valid.replace('{x}', x)} THEN json_type({x}) NOT IN ('OBJECT', 'ARRAY') WHEN {x} IS NOT NULL THEN {raised} END"
            ),
        ),
        BOOLEAN,
    )


# --- SQL/JSON -----------------------------------------------------------------------------------------------------


def json_object(self: Any, node: Any, scope: Any) -> Typed:
    """Return `JSON_OBJECT(key : value …)`: a text; NULL values are kept unless ABSENT ON NULL."""
    kind = _returning(node)
    if node.args.get("encoding"):
        raise Unsupported("JSON_OBJECT … ENCODING is not given here. Use to_utf8().")
    if node.args.get("unique_keys"):
        raise Unsupported("JSON_OBJECT … WITH UNIQUE KEYS is not given here. Leave it out if the keys differ.")
    pairs = [_pair(p) for p in node.expressions]
    keys = [p.this.name if isinstance(getattr(p, "this", None), exp.Literal) else None for p in pairs]
    if len(keys) > 1 and None in keys:
        raise Unsupported(
            "The order of several keys of JSON_OBJECT is known here for constants only. Write the keys out."
        )
    absent = "ABSENT" in str(node.args.get("null_handling") or "").upper()
    parts = []
    for pair in in_hash_order(pairs, keys):
        if not isinstance(pair, exp.JSONKeyValue):
            raise Unsupported(f"JSON_OBJECT of {pair.sql()[:40]} is not known here. Write key : value.")
        key = self.give(pair.this, scope)
        if not key.type.is_text:
            raise Unsupported(f"A key of JSON_OBJECT is a text, not {key.type}. CAST it.")
        item = _member(self, pair.expression, scope)
        shown = f"CAST(to_json({key.sql}) AS VARCHAR) || ':' || "
        parts.append(f"({shown}{item})" if absent else f"({shown}coalesce({item}, 'null'))")
    inner = f"array_to_string(list_filter([{', '.join(parts)}], lambda _n: _n IS NOT NULL), ',')" if parts else "''"
    return _returned(f"('{{' || {inner} || '}}')", kind)


def _pair(node: Any) -> Any:
    """Return `key : value FORMAT JSON` as a pair whose value is JSON: it is read as JSON of the pair."""
    if isinstance(node, exp.FormatJson) and isinstance(node.this, exp.JSONKeyValue):
        return exp.JSONKeyValue(this=node.this.this, expression=exp.FormatJson(this=node.this.expression))
    return node


def in_hash_order(pairs: list[Any], keys: list[str | None]) -> list[Any]:
    """Return pairs in the order of Java's HashMap, which is that of Trino's JSON_OBJECT."""
    size = 16
    while len(pairs) > size * 0.75:
        size *= 2
    return [pair for _, pair in sorted(zip(keys, pairs, strict=True), key=lambda item: _bucket(item[0] or "", size))]


def _bucket(key: str, size: int) -> int:
    units = key.encode("utf-16-be")
    code = 0
    for at in range(0, len(units), 2):
        code = (31 * code + int.from_bytes(units[at : at + 2], "big")) & 0xFFFFFFFF
    return (code ^ (code >> 16)) & (size - 1)


def _member(self: Any, node: Any, scope: Any) -> str:
    if isinstance(node, (exp.FormatJson,)):
        inner = self.give(node.this, scope)
        return f"CAST(json({inner.sql}) AS VARCHAR)"
    value = self.give(node, scope)
    inner_node = node
    while isinstance(inner_node, exp.Paren):
        inner_node = inner_node.this
    is_json_function = isinstance(inner_node, (exp.JSONObject, exp.JSONArray)) or (
        isinstance(inner_node, SqlJson) and inner_node.args["kind"] == "QUERY"
    )
    if is_json_function:
        return value.sql
    if value.type.is_text or value.type.is_number or value.type in (BOOLEAN, UNKNOWN) or value.type.name == "json":
        return json_text(value)
    if value.type.name in {"date", "timestamp"}:
        return json_text(value)
    raise Unsupported(f"JSON_OBJECT and JSON_ARRAY do not take {value.type} here. CAST it to varchar or JSON.")


def json_array(self: Any, node: Any, scope: Any) -> Typed:
    """Return `JSON_ARRAY(value …)`: a text; NULL values are left out unless NULL ON NULL."""
    kind = _returning(node)
    keeps = (
        "NULL ON NULL" in str(node.args.get("null_handling") or "").upper()
        and "ABSENT" not in str(node.args.get("null_handling")).upper()
    )
    parts = [_member(self, each, scope) for each in node.expressions]
    parts = [f"coalesce({part}, 'null')" for part in parts] if keeps else parts
    inner = f"array_to_string(list_filter([{', '.join(parts)}], lambda _n: _n IS NOT NULL), ',')" if parts else "''"
    return _returned(f"('[' || {inner} || ']')", kind)


RULES[exp.JSONObject] = json_object
RULES[exp.JSONArray] = json_array


def _returning(node: Any) -> Type:
    """Return the type of the result. Raises `Unsupported` for one that is no varchar."""
    kind = node.args.get("return_type")
    while isinstance(kind, exp.FormatJson):
        kind = kind.this
    if not kind or (isinstance(kind, exp.Column) and kind.name.lower() == "varchar"):
        return VARCHAR
    if isinstance(kind, exp.Anonymous) and str(kind.this).lower() == "varchar" and len(kind.expressions) == 1:
        return Type("varchar", (int(kind.expressions[0].name),))
    if not isinstance(kind, exp.DataType) or kind.this.name not in {"VARCHAR", "TEXT"}:
        raise Unsupported("RETURNING of another type than varchar is not given here. CAST the result instead.")
    return type_of(kind)


def _returned(sql: str, kind: Type) -> Typed:
    """Return a text of JSON as the type, an error if it is longer."""
    if not kind.args:
        return Typed(sql, kind)
    raised = fail("The JSON text is longer than its type", kind)
    held = let([Typed(sql, VARCHAR)], lambda x: f"CASE WHEN length({x}) > {kind.args[0]} THEN {raised} ELSE {x} END")
    return Typed(held, kind)
