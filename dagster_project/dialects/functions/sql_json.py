"""JSON_VALUE, JSON_QUERY and JSON_EXISTS by paths of names and places, lax or strict.

A lax path goes through an array of one as if it were its element; one of several raises here, where Trino goes on with each.
Source: https://trino.io/docs/current/functions/json.html#json-path-language
"""

from __future__ import annotations

import re
from typing import Any

from sqlglot import exp

from dagster_project.dialects.casts import cast, is_json
from dagster_project.dialects.expressions import RULES, TAKEN, told, type_of
from dagster_project.dialects.functions.calls import Call, function
from dagster_project.dialects.functions.json_functions import STEP
from dagster_project.dialects.typed import Typed, fail, let, string
from dagster_project.dialects.types import BOOLEAN, JSON, UNKNOWN, VARCHAR
from dagster_project.errors import Unsupported

SEVERAL = "a lax path through an array of several elements is not given here"


def steps(written: str) -> tuple[str, list[str | int]]:
    """Return the mode and the names and places of a path.

    >>> steps('lax $.a[0]."b c"')
    ('lax', ['a', 0, 'b c'])
    """
    mode, _, path = written.strip().partition(" ")
    body = path.strip()
    if mode.lower() not in {"lax", "strict"} or not body.startswith("$"):
        mode, body = "lax", written.strip()
    found: list[str | int] = []
    at = 1
    while body.startswith("$") and at < len(body):
        step = STEP.match(body, at)
        if step is None:
            break
        name = next((g for g in (step[1], step[3], step[4], step[5]) if g is not None), None)
        found.append(int(step[2]) if step[2] is not None else name or "")
        at = step.end()
    if not body.startswith("$") or at < len(body) or any(isinstance(s, str) and re.search(r'["\\*]', s) for s in found):
        raise Unsupported(f"The JSON path {written} is not given here. Use $.name and $[0] only.")
    return mode.lower(), found


def walked(x: str, mode: str, path: list[str | int]) -> str:
    """Return the JSON at a path of the JSON `x`, NULL where there is none."""
    if mode == "strict":
        whole = "$" + "".join(f"[{s}]" if isinstance(s, int) else f'."{s}"' for s in path)
        return f"json_extract({x}, {string(whole)})"
    current = f"json_extract({x}, '$')"
    for step in path:
        here = Typed(current, JSON)
        if isinstance(step, int):
            rest = "{c}" if step == 0 else "NULL"
            made = f"CASE WHEN json_type({{c}}) = 'ARRAY' THEN json_extract({{c}}, '$[{step}]') ELSE {rest} END"
        else:
            name = string(f'."{step}"')
            made = (
                f"CASE WHEN json_type({{c}}) <> 'ARRAY' THEN json_extract({{c}}, '$' || {name}) "
                f"WHEN json_array_length({{c}}) = 1 THEN json_extract({{c}}, '$[0]' || {name}) "
                f"WHEN json_array_length({{c}}) > 1 THEN {fail(SEVERAL, JSON)} END"
            )
        current = let([here], lambda c, made=made: made.replace("{c}", c))
    return current


def _input(self: Any, node: Any, scope: Any, what: str) -> Typed:
    value = self.give(node, scope)
    if value.type == UNKNOWN:
        return Typed("CAST(NULL AS VARCHAR)", VARCHAR)
    if not value.type.is_text:
        raise Unsupported(f"{what} takes a text, not {value.type}. CAST it to varchar.")
    return value


def _path(node: Any) -> tuple[str, list[str | int]]:
    if not isinstance(node, exp.Literal) or not node.is_string:
        raise Unsupported(f"A JSON path is a constant, and {told(node)} is none. Write it out.")
    return steps(node.this)


def _only_null(node: Any, what: str) -> None:
    condition = node.args.get("on_condition")
    for case in ("empty", "error"):
        chosen = condition.args.get(case) if condition is not None else None
        if chosen is not None and str(chosen).upper() not in {"NULL ON EMPTY", "NULL ON ERROR"}:
            raise Unsupported(
                f"{what} with another answer than NULL ON EMPTY and NULL ON ERROR is not given here. Use coalesce()."
            )


def json_value(self: Any, node: Any, scope: Any) -> Typed:
    """Return `JSON_VALUE(text, path [RETURNING type])`: a scalar; NULL for what is none, or no JSON."""
    _only_null(node, "JSON_VALUE")
    mode, path = _path(node.args["path"])
    value = _input(self, node.this, scope, "JSON_VALUE")
    kind = type_of(node.args["returning"]) if node.args.get("returning") else VARCHAR
    raised = fail("json_value: a number whose digits DuckDB does not keep. Say RETURNING double", VARCHAR)

    def body(x: str, *, loose: bool) -> str:
        item = Typed(walked(x, mode, path), JSON)
        number = "json_extract_string({c}, '$')" if loose else raised
        made = f"CASE WHEN json_type({{c}}) IN ('OBJECT', 'ARRAY', 'NULL') THEN NULL WHEN json_type({{c}}) = 'DOUBLE' THEN {number} ELSE json_extract_string({{c}}, '$') END"
        found = let([item], lambda c: made.replace("{c}", c))
        return f"CASE WHEN {is_json(x)} THEN {found} END"

    text_of = Typed(let([value], lambda x: body(x, loose=kind.is_number)), VARCHAR)
    return text_of if kind == VARCHAR else cast(text_of, kind, safe=True)


def json_query(self: Any, node: Any, scope: Any) -> Typed:
    """Return `JSON_QUERY(text, path)`: the JSON text at a path; NULL for nothing, or no JSON."""
    if not node.args.get("json_query"):
        raise Unsupported(f"{told(node)} is not known here. Use json_extract().")
    if node.args.get("option") or node.args.get("quote"):
        raise Unsupported("JSON_QUERY with a wrapper or quotes is not given here. Put brackets around the text.")
    _only_null(node, "JSON_QUERY")
    mode, path = _path(node.expression)
    value = _input(self, node.this, scope, "JSON_QUERY")
    raised = fail("json_query: a number whose digits DuckDB does not keep", VARCHAR)
    bare = "regexp_replace(CAST({c} AS VARCHAR), '\"(?:[^\"\\\\]|\\\\.)*\"', '\"\"', 'g')"
    made = f"CASE WHEN regexp_matches({bare}, '[0-9][.eE]') THEN {raised} ELSE CAST({{c}} AS VARCHAR) END"
    return Typed(
        let(
            [value],
            lambda x: (
                f"CASE WHEN {is_json(x)} THEN {let([Typed(walked(x, mode, path), JSON)], lambda c: made.replace('{c}', c))} END"
            ),
        ),
        VARCHAR,
    )


@function("json_exists", args=2)
def json_exists(call: Call) -> Typed:
    """Give whether there is something at a path; false for no JSON."""
    mode, path = _path(call.nodes[1])
    value = _input(call.queries.expressions, call.nodes[0], call.scope, "JSON_EXISTS")
    return Typed(
        let(
            [value],
            lambda x: (
                f"CASE WHEN {x} IS NULL THEN NULL WHEN {is_json(x)} THEN {walked(x, mode, path)} IS NOT NULL ELSE false END"
            ),
        ),
        BOOLEAN,
    )


RULES[exp.JSONValue] = json_value
RULES[exp.JSONExtract] = json_query
TAKEN[exp.JSONValue] = ("this", "path", "returning", "on_condition")
TAKEN[exp.JSONExtract] = ("this", "expression", "json_query", "option", "quote", "on_condition", "only_json_types")
