"""JSON_VALUE, JSON_QUERY and JSON_EXISTS, and JSON's own dots and brackets: `j.name[0].bigint()`.

What belongs here: what becomes of the sequence a path gives (`json_paths`). What does not: the path itself.
Source: https://trino.io/docs/current/functions/json.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlglot import exp

from dagster_project.dialects.casts import TIMES, cast, coerce, from_json, is_json, json_text
from dagster_project.dialects.expressions import RULES, TAKEN, told, type_of
from dagster_project.dialects.json_paths import ITEMS, NONE, Path, Sequences, read
from dagster_project.dialects.syntax import SqlJson
from dagster_project.dialects.typed import Typed, fail, let, null_of, string
from dagster_project.dialects.types import BOOLEAN, JSON, TEXT_JSON, UNKNOWN, VARCHAR, Type, duckdb_type
from dagster_project.errors import Unsupported

DIGITS: Final = "a number whose digits DuckDB does not keep. Say RETURNING double"
DATED: Final = {
    "date": r"[0-9]{4}-[0-9]{2}-[0-9]{2}", "time": r"[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,6})?",
    "timestamp": r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,6})?",
    "timestamptz": r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,6})?( UTC|[+-][0-9]{2}:[0-9]{2})",
}  # fmt: skip


def source(self: Any, node: Any, scope: Any, what: str) -> Typed:
    """Return the input of a path: JSON, or a text that should be."""
    if isinstance(node, exp.FormatJson):
        node = node.this
    value = self.give(node, scope)
    if value.type == UNKNOWN:
        return Typed("CAST(NULL AS VARCHAR)", VARCHAR)
    if not value.type.is_text and value.type.name != "json":
        raise Unsupported(f"{what} takes a text or JSON, not {value.type}. CAST it to varchar.")
    return value


def context_of(value: Typed, x: str) -> str:
    """Return the JSON that a text is, NULL if it is none."""
    return x if value.type.name == "json" else f"(CASE WHEN {is_json(x)} THEN CAST({x} AS JSON) END)"


def path_of(node: Any) -> Path:
    """Return a constant path."""
    if not isinstance(node, exp.Literal) or not node.is_string:
        raise Unsupported(f"A JSON path is a constant, and {told(node)} is none. Write it out.")
    return read(node.this)


def passed(self: Any, nodes: Sequence[Any], scope: Any) -> dict[str, str]:
    """Return what is passed by name, as sequences: SQL's NULL is JSON's null, with FORMAT JSON nothing."""
    found = {}
    for node in nodes:
        name = node.args["alias"]
        inner = node.this.this if isinstance(node.this, exp.FormatJson) else node.this
        value = self.give(inner, scope)
        if isinstance(node.this, exp.FormatJson) or value.type.name == "json":
            held = value if value.type != UNKNOWN else Typed("CAST(NULL AS VARCHAR)", VARCHAR)
            made = let([held], lambda x, held=held: f"CASE WHEN {x} IS NULL THEN {NONE} WHEN {context_of(held, x)} IS NOT NULL THEN [{context_of(held, x)}] END")  # fmt: skip
        elif value.type == UNKNOWN:
            made = "[CAST('null' AS JSON)]"
        elif value.type.is_text or value.type.is_number or value.type == BOOLEAN:
            made = f"[CAST(coalesce({json_text(value)}, 'null') AS JSON)]"
        else:
            raise Unsupported(f"A {value.type} is not passed to a JSON path here. CAST it to varchar.")
        found[name.name if name.args.get("quoted") else name.name.upper()] = made
    return found


def sql_json(self: Any, node: Any, scope: Any) -> Typed:
    """Return `JSON_VALUE(…)`, `JSON_QUERY(…)` or `JSON_EXISTS(…)`."""
    value = source(self, node.this, scope, f"JSON_{node.args['kind']}")
    return at_path(self, node, scope, value, passed(self, node.args.get("passing") or (), scope))


def not_text(value: Typed) -> None:
    """Raise `Unsupported` for JSON that is a text, which has no members."""
    if value.type == TEXT_JSON:
        raise Unsupported("CAST(text AS JSON) is a text in JSON, which has no parts. Use json_parse() to read a text.")


def at_path(self: Any, node: Any, scope: Any, value: Typed, variables: Mapping[str, str]) -> Typed:
    """Return what a node of SQL/JSON gives of a value that is JSON or should be."""
    path = path_of(node.args["path"])
    ends = Ends(self, node, scope, path)
    kind = ends.kind

    def body(x: str) -> str:
        tree = path.tree.of if path.tree.kind == "datetime" else path.tree
        sequence = Sequences(path, context_of(value, x), variables).of(tree)
        return f"CASE WHEN {x} IS NULL THEN {null_of(kind)} ELSE {let([Typed(sequence, ITEMS)], ends.of)} END"

    return Typed(let([value], body), kind)


class Ends:
    """What becomes of a sequence, by what JSON_VALUE, JSON_QUERY or JSON_EXISTS say of it."""

    def __init__(self, expressions: Any, node: Any, scope: Any, path: Path) -> None:
        self.node, self.path = node, path
        self.word = node.args["kind"]
        told_kind = node.args.get("returning")
        self.kind = BOOLEAN if self.word == "EXISTS" else type_of(told_kind) if told_kind is not None else VARCHAR
        if self.word == "QUERY" and self.kind.name not in {"varchar", "char"}:
            raise Unsupported(f"JSON_QUERY RETURNING {self.kind} is not given here. CAST the result instead.")
        self.empty = self.chosen(expressions, scope, "empty")
        self.error = self.chosen(expressions, scope, "error")
        self.of = {"EXISTS": self.exists, "VALUE": self.value, "QUERY": self.query}[self.word]

    def chosen(self, expressions: Any, scope: Any, place: str) -> str:
        """Return what stands for nothing, or for an error."""
        told_of = self.node.args.get(place)
        if told_of is None:
            return "false" if self.word == "EXISTS" else null_of(self.kind)
        if not isinstance(told_of, str):
            value = coerce(expressions.give(told_of, scope), self.kind)
            return f"CAST({value.sql} AS {duckdb_type(self.kind)})"
        if told_of == "ERROR":
            return fail(f"JSON_{self.word}: {'nothing' if place == 'empty' else 'an error'} at the path", self.kind)
        words = {"NULL": null_of(self.kind), "UNKNOWN": null_of(BOOLEAN), "TRUE": "true", "FALSE": "false"}
        words |= {"EMPTY ARRAY": "'[]'", "EMPTY": "'[]'", "EMPTY OBJECT": "'{}'"}
        return words[told_of]

    def exists(self, s: str) -> str:
        """Return whether there is something."""
        return f"CASE WHEN {s} IS NULL THEN {self.error} ELSE len({s}) > 0 END"

    def value(self, s: str) -> str:
        """Return the one scalar as a value of the type."""
        item = f"{s}[1]"
        kind = f"json_type({item})"
        made = Typed(self.scalar(item), self.kind)
        found = let([made], lambda x: f"CASE WHEN {x} IS NULL THEN {self.error} ELSE {x} END")
        return (
            f"CASE WHEN {s} IS NULL OR len({s}) > 1 THEN {self.error} WHEN len({s}) = 0 THEN {self.empty} "
            f"WHEN {kind} = 'NULL' THEN {null_of(self.kind)} WHEN {kind} IN ('ARRAY', 'OBJECT') THEN {self.error} ELSE {found} END"
        )

    def scalar(self, item: str) -> str:
        """Return a scalar as a value of the type, NULL where it cannot be one."""
        if self.path.tree.kind == "datetime":
            return self.dated(item)
        shown = f"json_extract_string({item}, '$')"
        if self.kind.name in TIMES:
            return f"CASE WHEN json_type({item}) = 'VARCHAR' THEN TRY({cast(Typed(shown, VARCHAR), self.kind).sql}) END"
        if not self.kind.is_text:
            return f"TRY({from_json(Typed(item, JSON), self.kind)})"
        raised = fail(f"json_value: {DIGITS}", VARCHAR)
        whole = f"(CASE WHEN json_type({item}) = 'DOUBLE' THEN {raised} ELSE {shown} END)"
        if not self.kind.args or self.kind.args[0] >= 10**9:
            return whole
        size = self.kind.args[0]  # a text is cut, as CAST does; what else there is must fit
        held = let(
            [Typed(whole, VARCHAR)],
            lambda x: (
                f"CASE WHEN json_type({item}) = 'VARCHAR' OR length({x}) <= {size} THEN substr({x}, 1, {size}) END"
            ),
        )
        return f"rpad({held}, {size}, ' ')" if self.kind.name == "char" else held

    def dated(self, item: str) -> str:
        """Return the date or time a text is, where it is written as one of the type itself."""
        pattern = DATED.get(self.kind.name)
        if pattern is None:
            raise Unsupported(f"datetime() RETURNING {self.kind} is not given here. CAST what JSON_VALUE gives.")
        shown = f"json_extract_string({item}, '$')"
        odd = fail("datetime() of another form than the type RETURNING names", self.kind)
        other = f"regexp_full_match({shown}, {string('|'.join(DATED.values()) + '|.*[0-9]:[0-9].*')})"
        return f"CASE WHEN regexp_full_match({shown}, {string(pattern)}) THEN TRY({cast(Typed(shown, VARCHAR), self.kind).sql}) WHEN {other} THEN {odd} END"

    def query(self, s: str) -> str:
        """Return the JSON text of the items."""
        raised = fail("json_query: a number whose digits DuckDB does not keep", VARCHAR)
        bare = "regexp_replace({t}, '\"(?:[^\"\\\\]|\\\\.)*\"', '\"\"', 'g')"
        listed = f"(array_to_string(list_transform({s}, lambda _q: CAST(_q AS VARCHAR)), ','))"
        mode = self.node.args.get("wrapper") or "WITHOUT"
        wrapped = f"'[' || {listed} || ']'"
        plain = f"CAST({s}[1] AS VARCHAR)"
        if self.node.args.get("quotes") == "OMIT":
            plain = f"CASE WHEN json_type({s}[1]) = 'VARCHAR' THEN json_extract_string({s}[1], '$') ELSE {plain} END"
        one = f"len({s}) = 1 AND json_type({s}[1]) IN ('ARRAY', 'OBJECT')"
        shown = {
            "UNCONDITIONAL": wrapped, "CONDITIONAL": f"CASE WHEN {one} THEN {plain} ELSE {wrapped} END",
            "WITHOUT": f"CASE WHEN len({s}) > 1 THEN {self.error} ELSE {plain} END",
        }[mode]  # fmt: skip
        checked = let(
            [Typed(shown, VARCHAR)],
            lambda t: f"CASE WHEN regexp_matches({bare.replace('{t}', t)}, '[0-9][.eE]') THEN {raised} ELSE {t} END",
        )
        return f"CASE WHEN {s} IS NULL THEN {self.error} WHEN len({s}) = 0 THEN {self.empty} ELSE {sized(checked, self.kind)} END"


def sized(shown: str, kind: Type) -> str:
    """Return a text of JSON as a varchar or char of a size; one that is longer raises."""
    if not kind.args or kind.args[0] >= 10**9:
        return shown
    raised = fail(f"The JSON text is longer than {kind}", VARCHAR)
    fitting = let(
        [Typed(shown, VARCHAR)], lambda x: f"CASE WHEN length({x}) > {kind.args[0]} THEN {raised} ELSE {x} END"
    )
    return f"rpad({fitting}, {kind.args[0]}, ' ')" if kind.name == "char" else fitting


# --- dots and brackets ------------------------------------------------------------------------------------------------

METHODS: Final = {
    "bigint": "BIGINT", "boolean": "BOOLEAN", "date": "DATE", "decimal": "DECIMAL", "integer": "INT", "number": "DOUBLE",
    "string": "VARCHAR", "time": "TIME", "timestamp": "TIMESTAMP", "timestamp_tz": "TIMESTAMPTZ", "time_tz": "TIMETZ",
}  # fmt: skip


def navigated(self: Any, value: Typed, steps: str) -> Typed:
    """Return `j` at the steps of a path, as JSON_QUERY gives it with a conditional wrapper."""
    not_text(value)
    node = SqlJson(kind="QUERY", path=exp.Literal.string(f"lax ${steps}"), wrapper="CONDITIONAL")
    return at_path(self, node, None, value, {})


def method(self: Any, value: Typed, steps: str, name: str, sizes: Sequence[Any]) -> Typed:
    """Return `j.….bigint()` and its like: JSON_VALUE with a type."""
    if name not in METHODS:
        raise Unsupported(f"{name}() of JSON is not given here. Use JSON_VALUE … RETURNING.")
    not_text(value)
    kind = exp.DataType.build(METHODS[name])
    kind.set("expressions", [exp.DataTypeParam(this=size.copy()) for size in sizes])
    node = SqlJson(kind="VALUE", path=exp.Literal.string(f"lax ${steps}"), returning=kind)
    return at_path(self, node, None, value, {})


RULES[SqlJson] = sql_json
TAKEN[SqlJson] = tuple(SqlJson.arg_types)
