"""JSON_TABLE: rows of what paths find in JSON, nested paths as joins.

What belongs here: JSON_TABLE after FROM and JOIN. What does not: paths (`json_paths`), what a column makes of one (`sql_json`).
Source: https://trino.io/docs/current/functions/json.html#json-table
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlglot import exp

from dagster_project.dialects.expressions import type_of
from dagster_project.dialects.functions.sql_json import at_path, context_of, passed, path_of, source
from dagster_project.dialects.json_paths import Sequences
from dagster_project.dialects.scopes import Column, Scope
from dagster_project.dialects.syntax import JsonColumn, JsonNested
from dagster_project.dialects.typed import Typed, fail, let, null_of
from dagster_project.dialects.types import BIGINT, JSON, quoted
from dagster_project.errors import Unsupported


class Plan(NamedTuple):
    """How rows of a path join those of its nested paths, and how these join beside each other.

    `beside` is `UNION` or `CROSS` for all, or a tree of names: `("UNION", [tree, tree])`.
    """

    nested: str = "LEFT"
    beside: Any = "UNION"


class Level(NamedTuple):
    """A SELECT of a path's rows and of all below it, and the columns it gives by name."""

    sql: str
    columns: list[Column]


def json_table(expressions: Any, node: Any, scope: Scope) -> tuple[str, list[Column]]:
    """Return a SELECT, and the columns as they are written."""
    value = source(expressions, node.this, scope, "JSON_TABLE")
    variables = passed(expressions, node.args.get("passing") or (), scope)
    maker = _Maker(expressions, scope, variables, node)
    raised = "CAST([] AS JSON[])"
    if node.args.get("error") == "ERROR":
        maker.strict = True
        raised = fail("JSON_TABLE: an error at the path", Typed("", JSON).type).replace("AS JSON)", "AS JSON[])")
    path = path_of(node.args["path"])
    listed = let([value], lambda x: f"CASE WHEN {x} IS NOT NULL THEN coalesce({Sequences(path, context_of(value, x), variables).of(path.tree)}, {raised}) END")  # fmt: skip
    level = maker.level(listed, node.args["columns"], node.args.get("name"))
    order = [name for name, _ in maker.order(node.args["columns"])]
    kinds = {c.name: c.type for c in level.columns}
    shown = ", ".join(quoted(n) for n in order)
    return f"SELECT {shown} FROM ({level.sql})", [Column(n, kinds[n]) for n in order]


class _Maker:
    def __init__(self, expressions: Any, scope: Scope, variables: Mapping[str, str], node: Any) -> None:
        self.expressions, self.scope, self.variables = expressions, scope, variables
        self.default, self.plans = plans_of(node.args.get("plan") or "")
        names = {each.args["name"].name for each in node.find_all(JsonNested) if each.args.get("name")}
        names |= {node.args["name"].name} if node.args.get("name") else set()
        if unknown := set(self.plans) - names:
            raise Unsupported(f"The PLAN of JSON_TABLE names {min(unknown)}, which is no path there. Name the paths.")
        self.strict = False
        self.count = 0

    def order(self, columns: Sequence[Any]) -> list[tuple[str, Any]]:
        """Return the columns in the order in which they are written, nested ones in their place."""
        found: list[tuple[str, Any]] = []
        for each in columns:
            found += self.order(each.args["columns"]) if isinstance(each, JsonNested) else [(each.this.name, each)]
        return found

    def level(self, listed: str, columns: Sequence[Any], name: Any) -> Level:
        """Return the rows of a list of JSON items."""
        self.count += 1
        row = f"_j{self.count}"
        item = Typed(f"{row}.item", JSON)
        items, given = [], []
        kept: list[str] = []
        for each in columns:
            if isinstance(each, JsonColumn):
                value = self.column(each, item, row, kept)
                items.append(f"{value.sql} AS {quoted(each.this.name)}")
                given.append(Column(each.this.name, value.type))
        nested = [each for each in columns if isinstance(each, JsonNested)]
        held = "".join(f", {sql} AS d{i}" for i, sql in enumerate(kept))
        also = "".join(f", _l.d{i}" for i in range(len(kept)))
        rows = f"(SELECT unnest(_l.l) AS item, generate_subscripts(_l.l, 1) AS place{also} FROM (SELECT {listed} AS l{held}) AS _l) AS {row}"
        plan = self.plans.get(name.name if name is not None else "", self.default)
        below = self.below(nested, item, plan.beside)
        if below is None:
            return Level(f"SELECT {', '.join(items) or '1 AS _none'} FROM {rows}", given)
        shown = [*items, *(f"_b{self.count}.{quoted(c.name or '')}" for c in below.columns)]
        joined = f"{rows} {plan.nested} JOIN LATERAL ({below.sql}) AS _b{self.count} ON true"
        return Level(f"SELECT {', '.join(shown)} FROM {joined}", [*given, *below.columns])

    def below(self, nested: Sequence[Any], item: Typed, beside: Any) -> Level | None:
        """Return the rows of nested paths beside each other."""
        if not nested:
            return None
        levels = [self.nested(each, item) for each in nested]
        if isinstance(beside, str):
            return self.beside(beside, levels)
        named = {
            each.args["name"].name: level for each, level in zip(nested, levels, strict=True) if each.args.get("name")
        }
        return self.arranged(beside, named)

    def arranged(self, tree: Any, named: Mapping[str, Level]) -> Level:
        """Return nested paths as a tree of their names says."""
        if isinstance(tree, tuple):
            return self.beside(tree[0], [self.arranged(each, named) for each in tree[1]])
        if tree not in named:
            raise Unsupported(f"The PLAN of JSON_TABLE names {tree}, which is no path there. Name the nested paths.")
        return named[tree]

    def beside(self, word: str, levels: Sequence[Level]) -> Level:
        """Return every pair of rows (CROSS), or each row with NULL for the columns of the others (UNION)."""
        if len(levels) == 1:
            return levels[0]
        self.count += 1
        at = self.count
        columns = [c for level in levels for c in level.columns]
        if word == "CROSS":
            shown = [f"_x{at}_{i}.{quoted(c.name or '')}" for i, level in enumerate(levels) for c in level.columns]
            joined = ", ".join(f"({level.sql}) AS _x{at}_{i}" for i, level in enumerate(levels))
            return Level(f"SELECT {', '.join(shown)} FROM {joined}", columns)
        parts = []
        for i, level in enumerate(levels):
            own = {c.name for c in level.columns}
            cells = [f"_y{at}_{i}.{quoted(c.name or '')}" if c.name in own else f"{null_of(c.type)} AS {quoted(c.name or '')}" for c in columns]  # fmt: skip
            parts.append(f"SELECT {', '.join(cells)} FROM ({level.sql}) AS _y{at}_{i}")
        return Level(" UNION ALL ".join(parts), columns)

    def nested(self, node: Any, item: Typed) -> Level:
        path = path_of(node.args["path"])
        listed = f"coalesce({Sequences(path, item.sql, self.variables).of(path.tree)}, CAST([] AS JSON[]))"
        return self.level(listed, node.args["columns"], node.args.get("name"))

    def column(self, node: Any, item: Typed, row: str, kept: list[str]) -> Typed:
        """Return what a column gives of an item; a column that DEFAULT names is kept beside the items."""
        told: Any = node.args.get("value")
        if told is None:
            return Typed(f"CAST({row}.place AS BIGINT)", BIGINT)
        if told.args.get("path") is None:
            told.set("path", exp.Literal.string(f'lax $."{node.this.name}"'))
        if self.strict and told.args.get("error") is None:
            told.set("error", "ERROR")
        kind = type_of(told.args["returning"])
        if told.args["kind"] == "QUERY" and not kind.is_text:
            raise Unsupported(f"A column of JSON_TABLE of {kind} FORMAT JSON is not given here. Use varchar.")
        scope = self.scope
        for place in ("empty", "error"):
            default = told.args.get(place)
            if isinstance(default, exp.Column):
                value = self.expressions.give(default, self.scope)
                name = f"d{len(kept)}"
                kept.append(value.sql)
                scope = Scope(parent=scope, parameters={name: Typed(f"{row}.{name}", value.type)})
                told.set(place, exp.column(name))
            elif isinstance(default, exp.Expression) and default.find(exp.Column):
                raise Unsupported("DEFAULT of JSON_TABLE takes a column or a constant here. Compute it before.")
        return at_path(self.expressions, told, scope, item, self.variables)


WORD = re.compile(r'"[^"]*"|\w+|[(),]')


def plans_of(written: str) -> tuple[Plan, dict[str, Plan]]:
    """Return the plan of paths that a PLAN does not name, and those of the paths it names.

    >>> plans_of('( "r" OUTER ( "a" CROSS "b" ) )')[1]
    {'r': Plan(nested='LEFT', beside=('CROSS', ['a', 'b']))}
    """
    words = WORD.findall(written)
    if "DEFAULT" in words:
        nested = "INNER" if "INNER" in words else "LEFT"
        return Plan(nested, "CROSS" if "CROSS" in words else "UNION"), {}
    plans: dict[str, Plan] = {}
    at = 0

    def tree() -> Any:
        nonlocal at
        parts, word = [leaf()], ""
        while at < len(words) and words[at] in {"UNION", "CROSS"}:
            if word not in {"", words[at]}:
                raise Unsupported("A PLAN of JSON_TABLE with UNION beside CROSS takes brackets. Put them.")
            word, at = words[at], at + 1
            parts.append(leaf())
        return (word, parts) if word else parts[0]

    def leaf() -> Any:
        nonlocal at
        if words[at] == "(":
            at += 1
            made = tree()
            at += 1
            return made
        name, at = words[at].strip('"'), at + 1
        if at < len(words) and words[at] in {"OUTER", "INNER"}:
            kind, at = words[at], at + 1
            plans[name] = Plan("LEFT" if kind == "OUTER" else "INNER", leaf())
        return name

    if words:
        tree()
    return Plan(), plans
