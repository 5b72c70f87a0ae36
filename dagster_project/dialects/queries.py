"""SELECT, VALUES, set operations, WITH and what stands after FROM.

What belongs here: queries and relations, and which columns each gives. What does not: expressions (`expressions`).
Source: https://trino.io/docs/current/sql/select.html
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlglot import exp

from dagster_project.dialects import operators
from dagster_project.dialects.casts import coerce
from dagster_project.dialects.expressions import Expressions, only, row_of, told, type_of
from dagster_project.dialects.functions import AGGREGATES, FUNCTIONS
from dagster_project.dialects.functions.calls import Aggregate, Call
from dagster_project.dialects.held import FILE_COLUMNS, AsOf, Holder, Scan, no_past
from dagster_project.dialects.scopes import Column, Relation, Scope
from dagster_project.dialects.syntax import JsonTable, Nearest
from dagster_project.dialects.typed import Typed, null_of, string
from dagster_project.dialects.types import (
    ANY,
    BIGINT,
    BOOLEAN,
    JSON_PART,
    UNKNOWN,
    Type,
    common_of,
    duckdb_type,
    field_names,
    quoted,
    type_named,
)
from dagster_project.errors import Unsupported

SETS: Final = {exp.Union: "UNION", exp.Except: "EXCEPT", exp.Intersect: "INTERSECT"}
CATALOGS: Final = {"awsdatacatalog", "lake"}
Columns = list[Column]
Schema = Mapping[str, Mapping[str, str]]


class Queries:
    """Gives the queries of one statement. `schema` maps tables, `name` or `schema.name`, to columns and their types."""

    dialect = "athena"

    def __init__(self, schema: Schema | None, holder: Holder | None = None, file_columns: Sequence[str] = ()) -> None:
        self.schema = {name.lower(): columns for name, columns in (schema or {}).items()}
        self.knows_all = schema is not None
        self.holder = holder
        self.file_columns = tuple(file_columns)
        self.expressions = Expressions(self)
        self.functions: Mapping[str, Any] = FUNCTIONS
        self.aggregates: Mapping[str, Any] = AGGREGATES
        self.ctes: list[dict[str, Columns | None]] = []
        self.fresh = 0
        self.reads_tables = False
        """Whether a table stands in what was read so far, and not only rows that the statement tells of."""
        self.inline: dict[str, tuple[list[tuple[str, Type]], Type, Any]] = {}

    def ip_cast(self, value: Typed, name: str) -> Typed:
        """Return a value as ipaddress or ipprefix."""
        from dagster_project.dialects.functions.addresses import ip_cast

        return ip_cast(value, name)

    def json_part(self, value: Typed, steps: str) -> Typed:
        """Return what stands in JSON at the steps of a path."""
        from dagster_project.dialects.functions.sql_json import navigated

        return navigated(self.expressions, value, steps)

    def json_method(self, value: Typed, steps: str, name: str, sizes: Sequence[Any]) -> Typed:
        """Return what stands in JSON at the steps of a path, as a value of the type that a method names."""
        from dagster_project.dialects.functions.sql_json import method

        return method(self.expressions, value, steps, name, sizes)

    # --- calls ----------------------------------------------------------------------------------------------------

    def call(self, name: str, nodes: Sequence[Any], scope: Scope) -> Typed:
        """Return a call of a function. Raises `Unsupported` for one that is not known to mean the same."""
        lower = str(name).lower()
        if lower in self.inline:
            return self._inlined(lower, nodes, scope)
        if lower in self.functions:
            rule, least, most = self.functions[lower]
            if not least <= len(nodes) <= most:
                raise Unsupported(
                    f"{lower}() takes {least if least == most else f'{least} to {most}'} arguments, not {len(nodes)}. Mend the call."
                )
            return rule(Call(lower, list(nodes), scope, self))
        if lower in self.aggregates:
            return self.aggregates[lower](Aggregate(lower, list(nodes), scope, self))
        raise Unsupported(
            f"The function {lower}() is not given here exactly. Write it in other functions, or compute it after the query."
        )

    def _inlined(self, name: str, nodes: Sequence[Any], scope: Scope) -> Typed:
        """Return the body of `WITH FUNCTION name(…) RETURNS type RETURN body`, its parameters bound."""
        parameters, gives, body = self.inline[name]
        if len(nodes) != len(parameters):
            raise Unsupported(f"{name}() takes {len(parameters)} arguments, not {len(nodes)}. Mend the call.")
        values = [
            coerce(self.expressions.give(node, scope), kind) for node, (_, kind) in zip(nodes, parameters, strict=True)
        ]
        held = {p: Typed(value.sql, kind) for (p, kind), value in zip(parameters, values, strict=True)}
        outer = self.inline
        self.inline = {k: v for k, v in outer.items() if list(outer).index(k) < list(outer).index(name)}
        try:
            made = self.expressions.give(body, Scope(parameters=held))
        finally:
            self.inline = outer
        return coerce(made, gives)

    def _define(self, node: Any) -> None:
        only(node, "this", "characteristics", "expression")
        found = node.args["characteristics"].expressions if node.args.get("characteristics") else []
        returns = next((p.this for p in found if isinstance(p, exp.ReturnsProperty)), None)
        body = node.args.get("expression")
        if returns is None or len(found) != 1 or not isinstance(body, exp.Return):
            raise Unsupported("WITH FUNCTION is given here for one RETURN of an expression. Write it into the query.")
        if any(p.args.get("kind") is None for p in node.this.expressions):
            raise Unsupported("WITH FUNCTION takes a type for each parameter. Write FUNCTION f(x bigint).")
        parameters = [(p.name.lower(), type_of(p.args["kind"])) for p in node.this.expressions]
        self.inline[node.this.this.name.lower()] = (parameters, type_of(returns), body.this)

    def aggregate(self, node: Any, scope: Scope) -> Typed:
        """Return an aggregate or window function with FILTER, WITHIN GROUP, OVER, IGNORE NULLS around it."""
        told_of: dict[str, Any] = {}
        inner: Any = node
        while not isinstance(inner, exp.Anonymous):
            if isinstance(inner, exp.Window):
                told_of["over"] = inner
            elif isinstance(inner, exp.Filter):
                told_of["where"] = inner.expression.this
            elif isinstance(inner, exp.WithinGroup):
                told_of["within"] = inner.expression
            elif isinstance(inner, exp.IgnoreNulls):
                told_of["ignores_nulls"] = True
            elif not isinstance(inner, exp.RespectNulls):
                raise Unsupported(f"{told(node)} is not known here. Write it without what stands around the function.")
            inner = inner.this
        name = str(inner.this).lower()
        if name not in self.aggregates:
            raise Unsupported(
                f"{name}() is no aggregate or window function that is given here exactly. Write it in others."
            )
        return self.aggregates[name](Aggregate(name, list(inner.expressions), scope, self, **told_of))

    def over(self, node: Any, scope: Scope) -> str:
        """Return `OVER (…)`."""
        only(node, "this", "partition_by", "order", "spec", "alias", "over", "first")
        if node.args.get("alias") and not any(node.args.get(k) for k in ("partition_by", "order", "spec")):
            return f"OVER {quoted(node.args['alias'].name)}"
        base = f"{quoted(node.args['alias'].name)} " if node.args.get("alias") else ""
        return f"OVER ({base}{self.window(node, scope)})"

    def window(self, node: Any, scope: Scope) -> str:
        """Return what stands in the brackets of a window."""
        parts = []
        if node.args.get("partition_by"):
            parts.append(
                "PARTITION BY " + ", ".join(v.sql for v in self.expressions.all(node.args["partition_by"], scope))
            )
        if node.args.get("order"):
            parts.append(self.order(node.args["order"], scope, {}))
        if node.args.get("spec"):
            parts.append(self._frame(node.args["spec"], scope))
        return " ".join(parts)

    def _frame(self, spec: exp.Expression, scope: Scope) -> str:
        only(spec, "kind", "start", "start_side", "end", "end_side")

        def bound(name: str) -> str:
            value, side = spec.args.get(name), spec.args.get(f"{name}_side") or ""
            shown = (
                value
                if isinstance(value, str)
                else self.expressions.give(value, scope).sql
                if value is not None
                else "CURRENT ROW"
            )
            return f"{shown} {side}".strip()

        return f"{spec.args['kind']} BETWEEN {bound('start')} AND {bound('end')}"

    # --- queries --------------------------------------------------------------------------------------------------

    def give(self, node: Any, scope: Scope | None) -> tuple[str, Columns | None]:
        """Return a query and the columns it gives; None if nobody told of those."""
        while isinstance(node, (exp.Subquery, exp.Paren)) and not any(
            node.args.get(k) for k in ("with_", "order", "limit", "offset", "alias")
        ):
            if node.args.get("joins"):  # (a JOIN b) as a query: all columns of both
                joins, bare = node.args["joins"], node.copy()
                bare.set("joins", None)
                node = exp.select("*").from_(bare)
                node.set("joins", [join.copy() for join in joins])
                break
            only(node, "this")
            node = node.this
        if isinstance(node, exp.Table):
            node = exp.select("*").from_(node)
        with_ = node.args.get("with_")
        if with_ is None:
            return self._body(node, scope)
        self.ctes.append({})
        try:
            before = self._with(with_, scope)
            sql, columns = self._body(node, scope)
        finally:
            self.ctes.pop()
        return f"{before} {sql}".lstrip(), columns

    def single(self, node: Any, scope: Scope, where: str) -> tuple[str, Type]:
        """Return a subquery of one column, and its type."""
        sql, columns = self.give(node, Scope(parent=scope))
        if columns is None:
            return sql, ANY
        if len(columns) != 1:
            if where != "A subquery":
                raise Unsupported(f"{where} with a subquery of {len(columns)} columns is not given here. Select one.")
            names = [f"c{i}" for i in range(len(columns))]
            fields = row_of(
                [Typed(f"_s.{n}", c.type) for n, c in zip(names, columns, strict=True)], [c.name for c in columns]
            )
            empty = row_of([Typed(null_of(c.type), c.type) for c in columns], [c.name for c in columns])
            return (
                f"SELECT coalesce((SELECT {fields.sql} FROM ({sql}) AS _s({', '.join(names)})), {empty.sql})",
                fields.type,
            )
        return sql, columns[0].type

    def member(self, sign: str, word: str, left: Typed, node: Any, scope: Scope) -> Typed:
        """Return `left sign ANY|ALL (query)` for values that are compared part by part: rows, arrays, char.

        True if one answer is true (all, for ALL), else NULL if one is NULL, else false.
        """
        sql, columns = self.give(node, Scope(parent=scope))
        if columns is None:
            raise Unsupported("A subquery whose columns are not known is not compared here. Name them.")
        names = [f"c{i}" for i in range(len(columns))]
        cells = [Typed(f"_s.{n}", c.type) for n, c in zip(names, columns, strict=True)]
        right = (
            cells[0]
            if len(cells) == 1 and (left.type.name != "row" or columns[0].type.name == "row")
            else row_of(cells)
        )
        one = operators.compare(sign, left, right).sql
        source = f"FROM ({sql}) AS _s({', '.join(names)})"
        found, other = ("true", "false") if word == "ANY" else ("false", "true")
        return Typed(
            f"(CASE WHEN EXISTS (SELECT 1 {source} WHERE ({one}) IS {found}) THEN {found} WHEN EXISTS (SELECT 1 {source} WHERE ({one}) IS NULL) THEN NULL ELSE {other} END)",
            BOOLEAN,
        )

    def _body(self, node: Any, scope: Scope | None) -> tuple[str, Columns | None]:
        if isinstance(node, exp.Select):
            return self._select(node, scope)
        if isinstance(node, tuple(SETS)):
            return self._set(node, scope)
        if isinstance(node, exp.Values):
            return self._values(node, scope)
        if isinstance(node, exp.Subquery):
            sql, columns = self.give(node.this, scope)
            only(node, "this", "with_", "order", "limit", "offset", "alias")
            return f"({sql}){self._tail(node, Scope(parent=scope), columns)}", columns
        raise Unsupported(f"{told(node)} is no query that is known here. Write a SELECT.")

    def _with(self, node: Any, scope: Scope | None) -> str:
        only(node, "expressions", "recursive", "udfs")
        for udf in node.args.get("udfs") or ():
            self._define(udf)
        if not node.expressions:
            return ""
        parts = []
        for cte in node.expressions:
            only(cte, "this", "alias")
            name, given = cte.alias, [c.name for c in cte.args["alias"].args.get("columns") or ()]
            if node.args.get("recursive") and isinstance(cte.this, exp.Union):
                kinds = self.give(cte.this.this, scope)[1]
                self.ctes[-1][name.lower()] = _renamed(kinds, given)
            sql, columns = self.give(cte.this, scope)
            self.ctes[-1][name.lower()] = _renamed(columns, given)
            named = given or [c.name or f"_col{i}" for i, c in enumerate(columns or ())]
            brackets = f" ({', '.join(map(quoted, named))})" if named else ""
            parts.append(f"{quoted(name)}{brackets} AS ({sql})")
        return f"WITH {'RECURSIVE ' if node.args.get('recursive') else ''}{', '.join(parts)}"

    def _set(self, node: Any, scope: Scope | None) -> tuple[str, Columns | None]:
        only(node, "this", "expression", "distinct", "with_", "order", "limit", "offset", "by_name", "kind")
        left, one = self.give(node.this, scope)
        right, other = self.give(node.expression, scope)
        if node.args.get("by_name"):
            left, one, right, other = self._corresponding(left, one, right, other)
        if one is not None and other is not None:
            if len(one) != len(other):
                raise Unsupported(
                    f"The two sides of {SETS[type(node)]} have {len(one)} and {len(other)} columns. Give both as many."
                )
            kinds = [common_of([a.type, b.type], SETS[type(node)]) for a, b in zip(one, other, strict=True)]
            left, right = self._as_types(left, one, kinds), self._as_types(right, other, kinds)
            one = [Column(c.name, kind) for c, kind in zip(one, kinds, strict=True)]
            if any(k.name == "map" for k in kinds) and not (
                isinstance(node, exp.Union) and not node.args.get("distinct")
            ):
                raise Unsupported(f"{SETS[type(node)]} of maps is not given here. Take map_entries, sorted, instead.")
        else:
            one = None
        word = SETS[type(node)] + ("" if node.args.get("distinct") else " ALL")
        sql = f"{_bracketed(node.this, left)} {word} {_bracketed(node.expression, right)}"
        return f"{sql}{self._tail(node, Scope(parent=scope), one)}", one

    def _corresponding(
        self, left: str, one: Columns | None, right: str, other: Columns | None
    ) -> tuple[str, Columns, str, Columns]:
        """Return both sides with the columns whose names both have, in the order of the left."""
        if one is None or other is None:
            raise Unsupported("CORRESPONDING needs the columns of both sides, which are not known here. Name them.")
        theirs = {(c.name or "").lower(): c for c in other}
        mine = [c for c in one if (c.name or "").lower() in theirs]
        if not mine or len(theirs) != len(other) or len({(c.name or "").lower() for c in one}) != len(one):
            raise Unsupported("CORRESPONDING takes sides that share names, each once. Name the columns.")
        names = ", ".join(quoted(c.name or "") for c in mine)
        matched = [theirs[(c.name or "").lower()] for c in mine]
        return f"SELECT {names} FROM ({left})", mine, f"SELECT {names} FROM ({right})", matched

    def _as_types(self, sql: str, columns: Columns, kinds: Sequence[Type]) -> str:
        if all(
            c.type == k or k.name in {"any", "unknown", "varchar"} or c.type == UNKNOWN
            for c, k in zip(columns, kinds, strict=True)
        ):
            return sql
        names = [f"c{i}" for i in range(len(columns))]
        shown = ", ".join(
            f"{coerce(Typed(f'_s.{n}', c.type), k).sql} AS {quoted(c.name or f'_col{i}')}"
            for i, (n, c, k) in enumerate(zip(names, columns, kinds, strict=True))
        )
        return f"SELECT {shown} FROM ({sql}) AS _s({', '.join(names)})"

    def _values(self, node: Any, scope: Scope | None) -> tuple[str, Columns]:
        sql, columns = self._rows(node, scope or Scope())
        names = ", ".join(quoted(f"_col{i}") for i in range(len(columns)))
        return f"SELECT * FROM ({sql}) AS _v({names}){self._tail(node, Scope(parent=scope), columns)}", columns

    def _rows(self, node: Any, scope: Scope) -> tuple[str, Columns]:
        only(node, "expressions", "alias", "order", "limit", "offset", "with_")
        rows = []
        for each in node.expressions:
            cells = list(each.expressions) if isinstance(each, exp.Tuple) else [each]
            while len(cells) == 1 and isinstance(cells[0], (exp.Paren, exp.Tuple)):
                cells = list(cells[0].expressions) if isinstance(cells[0], exp.Tuple) else [cells[0].this]
            is_row = len(cells) == 1 and isinstance(cells[0], exp.Anonymous) and str(cells[0].this).upper() == "ROW"
            values = self.expressions.all(cells[0].expressions if is_row else cells, scope)
            if not is_row and len(values) == 1 and values[0].type.name == "row":  # a row is as many columns
                row_, kind = values[0].sql, values[0].type
                values = [
                    Typed(f"struct_extract({row_}, {string(held)})", field)
                    for held, (_, field) in zip(field_names(kind), kind.fields, strict=True)
                ]
            rows.append(values)
        if len({len(r) for r in rows}) != 1:
            return self._whole_rows(rows)
        kinds = [common_of([r[i].type for r in rows], "VALUES") for i in range(len(rows[0]))]
        lines = (
            ", ".join(v.sql if v.is_null and k == UNKNOWN else _exactly(v, k) for v, k in zip(r, kinds, strict=True))
            for r in rows
        )
        return f"VALUES {', '.join(f'({line})' for line in lines)}", [
            Column(f"_col{i}", kind) for i, kind in enumerate(kinds)
        ]

    def _whole_rows(self, rows: Sequence[Sequence[Typed]]) -> tuple[str, Columns]:
        raise Unsupported(
            f"The rows of VALUES differ in length ({', '.join(str(len(r)) for r in rows[:4])}). Give each as many values."
        )

    # --- SELECT ---------------------------------------------------------------------------------------------------

    def _select(self, node: Any, outer: Scope | None) -> tuple[str, Columns | None]:
        only(
            node,
            "expressions",
            "from_",
            "joins",
            "where",
            "group",
            "having",
            "windows",
            "order",
            "limit",
            "offset",
            "distinct",
            "with_",
            "laterals",
            "operation_modifiers",
        )
        scope = Scope(parent=outer)
        parts = []
        if node.args.get("from_"):
            parts.append(f"FROM {self._from(node, scope)}")
        if node.args.get("where"):
            parts.append(f"WHERE {self.expressions.condition(node.args['where'].this, scope)}")
        if node.args.get("distinct"):
            only(node.args["distinct"])
        items, columns = self._items(node.expressions, scope)
        if outer is None and not node.args.get("group") and not any(map(self.holds_aggregate, node.expressions)):
            items = _tries_apart(items)
        if node.args.get("group"):
            parts.append(self._group(node.args["group"], node.expressions, scope, columns))
        if node.args.get("having"):
            parts.append(f"HAVING {self.expressions.condition(node.args['having'].this, scope)}")
        if node.args.get("windows"):
            if len({w.this.name.lower() for w in node.args["windows"]}) != len(node.args["windows"]):
                raise Unsupported("Two windows differ in the case of their names only. Give each a name of its own.")
            named = ", ".join(f"{quoted(w.this.name)} AS ({self.window(w, scope)})" for w in node.args["windows"])
            parts.append(f"WINDOW {named}")
        if isinstance(node.args.get("limit"), exp.Fetch) and _ties(node.args["limit"]):
            parts.append(self._with_ties(node, scope))
        if node.args.get("distinct") and columns is not None and any(c.type.name == "map" for c in columns):
            raise Unsupported("DISTINCT of maps is not given here. Take map_entries, sorted, instead.")
        head = f"SELECT {'DISTINCT ' if node.args.get('distinct') else ''}{', '.join(items)}"
        return " ".join([head, *parts]) + self._tail(node, scope, columns), columns

    def _with_ties(self, node: Any, scope: Scope) -> str:
        """Return FETCH … WITH TIES as a condition on the rank."""
        order = node.args.get("order")
        plain = order is not None and not any(isinstance(e.this, exp.Literal) for e in order.expressions)
        if not plain or node.args.get("distinct"):
            raise Unsupported("FETCH … WITH TIES takes ORDER BY of columns, and no DISTINCT here. Use rank().")
        count, offset = node.args["limit"].args.get("count"), node.args.get("offset")
        over = f"OVER ({self.order(order, scope, {})})"
        last = int(_whole(count)) if count is not None else 1
        if offset is None:
            return f"QUALIFY rank() {over} <= {last}"
        first = int(_whole(offset.expression))
        return f"QUALIFY rank() {over} <= {first + last} AND row_number() {over} > {first}"

    def _items(self, nodes: Sequence[Any], scope: Scope) -> tuple[list[str], Columns | None]:
        if not nodes:
            raise Unsupported("SELECT of nothing gives nothing. Name a column.")
        items: list[str] = []
        columns: Columns | None = []
        for node in nodes:
            stars = self._star(node, scope)
            if stars is None:
                value = self.expressions.give(node.this if isinstance(node, exp.Alias) else node, scope)
                name = node.alias if isinstance(node, exp.Alias) else _name(node)
                shown = name or f"_col{len(items) if columns is None else len(columns)}"
                items.append(f"{value.sql} AS {quoted(shown)}")
                if columns is not None:
                    columns.append(Column(name or shown, value.type))
            else:
                items.append(stars[0])
                columns = None if stars[1] is None or columns is None else [*columns, *stars[1]]
        return items, columns

    def _star(self, node: Any, scope: Scope) -> tuple[str, Columns | None] | None:
        inner = node.this if isinstance(node, exp.Aliases | exp.Alias) else node
        if isinstance(inner, exp.Star):
            only(inner)
            if not scope.relations:
                raise Unsupported("SELECT * without FROM gives nothing. Name the relation.")
            is_hiding = any(r.hidden for r in scope.relations)
            if any(r.columns is None for r in scope.relations):
                if is_hiding:
                    raise Unsupported("SELECT * beside a column that tells of files needs the columns. Name them.")
                return "*", None
            seen: set[str] = set()
            found: Columns = []
            for relation in scope.relations:
                for column in relation.columns or ():
                    name = (column.name or "").lower()
                    if name not in scope.merged or name not in seen:
                        found.append(column)
                        seen.add(name)
            return ("*", found) if not scope.merged and not is_hiding else self._merged_star(scope)
        if isinstance(inner, exp.Column) and isinstance(inner.this, exp.Star):
            names = [a.name for a in node.expressions] if isinstance(node, exp.Aliases) else None
            parts = [inner.text(part) for part in ("catalog", "db", "table") if inner.text(part)]
            if len(parts) > 1 or not self._names_relation(parts[0], scope):
                value = scope.find(parts)
                if value is None:
                    raise Unsupported(f"There is no {told(inner)} here. Check its name.")
                return self._spread(value, names)
            return self._renamed_star(self._relation_star(inner.table, scope), parts[0], names)
        if isinstance(inner, exp.Dot) and isinstance(inner.expression, exp.Star):
            return self._row_star(node, inner, scope)
        if isinstance(node, exp.Aliases):
            raise Unsupported(f"{told(node)} is not known here. Give each column its alias.")
        return None

    def _names_relation(self, name: str, scope: Scope | None) -> bool:
        while scope is not None:
            if any((r.alias or "").lower() == name.lower() for r in scope.relations):
                return True
            scope = scope.parent
        return False

    def _renamed_star(
        self, star: tuple[str, Columns | None], relation: str, names: Sequence[str] | None
    ) -> tuple[str, Columns | None]:
        if names is None:
            return star
        if star[1] is None or len(star[1]) != len(names):
            raise Unsupported(f"{relation}.* AS ({', '.join(names)}) names other columns than there are. Name each.")
        held = [c.name or "" for c in star[1]]
        items = ", ".join(f"{quoted(relation)}.{quoted(h)} AS {quoted(n)}" for h, n in zip(held, names, strict=True))
        return items, [Column(n, c.type) for n, c in zip(names, star[1], strict=True)]

    def _merged_star(self, scope: Scope) -> tuple[str, Columns]:
        """Return `*` after USING: its columns come first, once."""
        first: dict[str, Column] = {}
        rest: list[tuple[str, Column]] = []
        for relation in scope.relations:
            for column in relation.columns or ():
                name = (column.name or "").lower()
                if name not in scope.merged:
                    rest.append((f"{quoted(relation.alias or '')}.{quoted(column.name or '')}", column))
                elif name in first:
                    kind = common_of([first[name].type, column.type], "USING")
                    first[name] = Column(first[name].name, kind)
                else:
                    first[name] = column
        shown = [_shown_merged(c, scope) for c in first.values()]
        items = [f"{s} AS {quoted(c.name or '')}" for s, c in zip(shown, first.values(), strict=True)]
        items += [f"{sql} AS {quoted(c.name or '')}" for sql, c in rest]
        return ", ".join(items), [*first.values(), *(c for _, c in rest)]

    def _relation_star(self, name: str, scope: Scope) -> tuple[str, Columns | None]:
        around: Scope | None = scope
        while around is not None:
            for relation in around.relations:
                if (relation.alias or "").lower() == name.lower():
                    if relation.columns is not None and (around is not scope or around.merged or relation.hidden):
                        shown = ", ".join(f"{quoted(name)}.{quoted(c.name or '')}" for c in relation.columns)
                        return shown, list(relation.columns)
                    return f"{quoted(name)}.*", None if relation.columns is None else list(relation.columns)
            around = around.parent
        found = scope.find([name])
        if found is not None and found.type.name == "row":
            return self._spread(found, None)
        raise Unsupported(f"There is no relation {name} here. Check its name.")

    def _row_star(self, node: Any, inner: exp.Dot, scope: Scope) -> tuple[str, Columns]:
        names = [a.name for a in node.expressions] if isinstance(node, exp.Aliases) else None
        return self._spread(self.expressions.begun(inner.this, scope), names)

    def _spread(self, value: Typed, names: Sequence[str] | None) -> tuple[str, Columns]:
        if value.type == JSON_PART or value.type.name == "json":
            held, steps = value.const if value.type == JSON_PART else (value, "")
            members, name = self.json_part(held, f"{steps}.*"), (names or ["_col0"])[0]
            return f"{members.sql} AS {quoted(name)}", [Column(name, members.type)]
        if value.type.name != "row":
            raise Unsupported(f"{value.type}.* is not known here. Only rows have fields.")
        held = field_names(value.type)
        shown = names or [name or f"_col{i}" for i, (name, _) in enumerate(value.type.fields)]
        items = ", ".join(
            f"struct_extract({value.sql}, {string(h)}) AS {quoted(s)}" for h, s in zip(held, shown, strict=True)
        )
        return items, [Column(s, kind) for s, (_, kind) in zip(shown, value.type.fields, strict=True)]

    def _group(self, node: Any, selected: Sequence[Any], scope: Scope, columns: Columns | None) -> str:
        only(node, "expressions", "grouping_sets", "cube", "rollup", "all")
        written = [
            *node.expressions,
            *(e for name in ("grouping_sets", "cube", "rollup") for e in node.args.get(name) or ()),
        ]
        if any(map(_is_auto, written)) and scope.find(["auto"]) is not None:
            raise Unsupported("GROUP BY AUTO beside a column auto is not given here. Rename the column.")
        nodes = [each for e in written for each in (self._auto(selected, scope) if _is_auto(e) else [e])]
        if not nodes:
            return "GROUP BY ()"
        if node.args.get("all") is False:  # GROUP BY DISTINCT
            sets = dict.fromkeys(tuple(sorted(set(s))) for s in self._sets(nodes, scope, columns))
            shown = ", ".join(f"({', '.join(each)})" for each in sets)
            return f"GROUP BY GROUPING SETS ({shown})"
        return f"GROUP BY {', '.join(self._grouping(e, scope, columns) for e in nodes)}"

    def _auto(self, selected: Sequence[Any], scope: Scope) -> list[Any]:
        """Return what GROUP BY AUTO groups by: all that is selected and holds no aggregate, constants apart."""
        found: list[Any] = []
        for item in selected:
            node = item.this if isinstance(item, exp.Alias) else item
            if isinstance(node, exp.Star) or (isinstance(node, exp.Column) and isinstance(node.this, exp.Star)):
                found += _starred(node, scope)
            elif node.find(exp.Window) and not self.holds_aggregate(node):
                raise Unsupported(f"GROUP BY AUTO beside {told(node)} is not given here. Name what to group by.")
            elif node.find(exp.Column) and not self.holds_aggregate(node):
                found.append(node)
        return found

    def holds_aggregate(self, node: Any) -> bool:
        """Return whether an expression holds an aggregate that no window or subquery takes for itself."""
        for each in node.walk(prune=lambda n: isinstance(n, (exp.Query, exp.Window))):
            if isinstance(each, exp.Anonymous) and str(each.this).lower() in self.aggregates:
                return True
        return False

    def _sets(self, nodes: Sequence[Any], scope: Scope, columns: Columns | None) -> list[list[str]]:
        """Return the grouping sets that elements beside each other make: every union of one of each."""
        every: list[list[str]] = [[]]
        for node in nodes:
            every = [[*one, *other] for one in every for other in self._expanded(node, scope, columns)]
        return every

    def _expanded(self, node: Any, scope: Scope, columns: Columns | None) -> list[list[str]]:
        one = lambda e: self._expanded(e, scope, columns)
        if isinstance(node, exp.GroupingSets):
            return [each for e in node.expressions for each in one(e)]
        if isinstance(node, exp.Rollup):
            return [self._sets(node.expressions[:n], scope, columns)[0] for n in range(len(node.expressions), -1, -1)]
        if isinstance(node, exp.Cube):
            parts = [one(e)[0] for e in node.expressions]
            chosen = itertools.product((True, False), repeat=len(parts))
            return [[name for part, taken in zip(parts, way, strict=True) if taken for name in part] for way in chosen]
        if isinstance(node, exp.Tuple):
            return self._sets(node.expressions, scope, columns)
        return one(node.this) if isinstance(node, exp.Paren) else [[self._grouping(node, scope, columns)]]

    def _grouping(self, node: Any, scope: Scope, columns: Columns | None) -> str:
        words = {exp.GroupingSets: "GROUPING SETS", exp.Cube: "CUBE", exp.Rollup: "ROLLUP"}
        if type(node) in words:
            if any(isinstance(e, exp.Literal) for e in node.find_all(exp.Literal)):
                raise Unsupported(f"Athena takes no places of columns in {words[type(node)]}. Name the columns.")
            return f"{words[type(node)]} ({', '.join(self._grouping(e, scope, columns) for e in node.expressions)})"
        if isinstance(node, exp.Tuple):
            return f"({', '.join(self._grouping(e, scope, columns) for e in node.expressions)})"
        if isinstance(node, exp.Paren):
            return f"({self._grouping(node.this, scope, columns)})"
        if isinstance(node, exp.Literal) and not node.is_string:
            kind = columns[int(node.this) - 1].type if columns and 0 < int(node.this) <= len(columns) else ANY
            shown = node.this
        else:
            value = self.expressions.give(node, scope)
            kind, shown = value.type, value.sql
        if kind.name == "map":
            raise Unsupported("GROUP BY of maps is not given here. Take map_entries, sorted, instead.")
        return shown

    def _tail(self, node: Any, scope: Scope, columns: Columns | None) -> str:
        parts = []
        if node.args.get("order"):
            parts.append(
                self.order(node.args["order"], scope, {c.name.lower(): c.type for c in columns or () if c.name})
            )
        limit, offset = node.args.get("limit"), node.args.get("offset")
        if isinstance(limit, exp.Fetch):
            if _ties(limit):
                if not isinstance(node, exp.Select):
                    raise Unsupported("FETCH … WITH TIES is given here for a SELECT. Put one around the query.")
                return "".join(f" {part}" for part in parts)
            parts.append(f"LIMIT {limit.args['count'].sql() if limit.args.get('count') else 1}")
        elif limit is not None:
            only(limit, "expression", "this")
            shown = limit.expression.sql()
            if shown.upper() not in {"ALL", '"ALL"'}:
                parts.append(f"LIMIT {_whole(limit.expression)}")
        if offset is not None:
            parts.append(f"OFFSET {_whole(offset.expression)}")
        return "".join(f" {part}" for part in parts)

    def order(self, node: Any, scope: Scope, outputs: Mapping[str, Type]) -> str:
        """Return ORDER BY, with the place of NULL said: Trino has it last in both directions."""
        inner = Scope(parent=scope, outputs=outputs) if outputs else scope
        return f"ORDER BY {', '.join(self._ordered(e, inner) for e in node.expressions)}"

    def _ordered(self, node: Any, scope: Scope) -> str:
        if not isinstance(node, exp.Ordered):
            raise Unsupported(f"ORDER BY {told(node)} is not known here. Name a column.")
        only(node, "this", "desc", "nulls_first")
        if isinstance(node.this, exp.Literal) and not node.this.is_string:
            key = node.this.this
        else:
            value = self.expressions.give(node.this, scope)
            if value.type.name in {"map", "json"}:
                raise Unsupported(f"Athena does not order {value.type}. Order by a part of it.")
            key = value.sql
        return f"{key} {'DESC' if node.args.get('desc') else 'ASC'} NULLS {'FIRST' if node.args.get('nulls_first') else 'LAST'}"

    # --- FROM -----------------------------------------------------------------------------------------------------

    def _from(self, node: Any, scope: Scope) -> str:
        parts = [self._relation(node.args["from_"].this, scope, lateral=False)]
        parts += [self._join(join, scope) for join in node.args.get("joins") or ()]
        return "".join(parts)

    def _join(self, join: Any, scope: Scope) -> str:
        only(join, "this", "side", "kind", "on", "using", "method")
        side, kind, method = (str(join.args.get(k) or "").upper() for k in ("side", "kind", "method"))
        if method == "NATURAL" and self.dialect == "athena":
            raise Unsupported("Athena has no NATURAL JOIN. Write JOIN … USING (columns).")
        if kind not in {"", "INNER", "OUTER", "CROSS"} or method not in {"", "NATURAL"}:
            raise Unsupported(f"{told(join)} is not known here. Use JOIN … ON.")
        before = list(scope.relations)
        is_lateral = isinstance(join.this, (exp.Unnest, exp.Lateral, Nearest, JsonTable))
        if is_lateral and side in {"RIGHT", "FULL"}:  # joined anew for each row before it
            if isinstance(join.this, Nearest) or not _is_true(join.args.get("on")):
                raise Unsupported(f"{side} JOIN UNNEST or LATERAL is given here ON TRUE only. Use LEFT JOIN.")
            side, kind = ("LEFT", kind) if side == "FULL" else ("", "INNER")
        shown = self._relation(join.this, scope, lateral=True)
        if not side and not kind and not method and not join.args.get("on") and not join.args.get("using"):
            return f" CROSS JOIN {shown}" if is_lateral else f", {shown}"
        words = " ".join(w for w in (method, side, kind if kind != "OUTER" else "OUTER", "JOIN") if w)
        after = ""
        if join.args.get("using"):
            names = [c.name for c in join.args["using"]]
            scope.merged |= {n.lower() for n in names}
            after = f" USING ({', '.join(map(quoted, names))})"
        elif method == "NATURAL":
            last = scope.relations[-1].columns
            if last is None or any(r.columns is None for r in before):
                raise Unsupported("NATURAL JOIN needs the columns of both sides, which are not known here. Use USING.")
            mine = {(c.name or "").lower() for c in last}
            scope.merged |= {(c.name or "").lower() for r in before for c in r.columns or ()} & mine
        elif join.args.get("on"):
            condition = self.expressions.condition(join.args["on"], scope)
            if side and join.args["on"].find(exp.Query, exp.Exists, exp.Values):
                inner = scope.relations[len(before) :] if side == "LEFT" else before
                self._asks_one_side(join.args["on"], side, inner, scope)
            after = f" ON {condition}"
        return f" {words} {shown}{after}"

    def _asks_one_side(self, node: Any, side: str, inner: Sequence[Relation], scope: Scope) -> None:
        """Raise `Unsupported` for a subquery in ON, unless it is asked of the side that may be missing alone.

        That is all DuckDB takes in an outer join.
        """
        if isinstance(node, exp.And):
            self._asks_one_side(node.this, side, inner, scope)
            self._asks_one_side(node.expression, side, inner, scope)
            return
        mine, every = Scope(relations=list(inner)), Scope(relations=scope.relations)
        columns = [parts_of(c) for c in node.find_all(exp.Column)]
        if side == "FULL" or any(every.find(c) is not None and mine.find(c) is None for c in columns):
            raise Unsupported(
                f"A subquery in the condition of a {side} JOIN is not given here. Compute it in a WITH before."
            )

    def _relation(self, node: Any, scope: Scope, *, lateral: bool) -> str:
        """Give what stands after FROM or JOIN, and enter it into the scope."""
        if isinstance(node, exp.Table):
            return self._table(node, scope)
        if isinstance(node, exp.Unnest):
            return self._unnest(node, scope, lateral=lateral)
        if isinstance(node, exp.Values):
            rows, cells = self._rows(node, scope)
            return self._aliased(f"({rows})", node, cells, scope)
        if isinstance(node, exp.Lateral):
            only(node, "this", "view", "outer", "alias")
            if not isinstance(node.this, exp.Subquery):
                raise Unsupported(f"{told(node)} is not known here. Use UNNEST or LATERAL (SELECT …).")
            sql, columns = self.give(node.this, Scope(parent=scope))
            return "LATERAL " + self._aliased(f"({sql})", node, columns, scope)
        if isinstance(node, Nearest):
            return self._nearest(node, scope)
        if isinstance(node, JsonTable):
            from dagster_project.dialects.json_tables import json_table

            sql, cells = json_table(self.expressions, node, scope)
            return ("LATERAL " if lateral else "") + self._aliased(f"({sql})", node, cells, scope)
        if isinstance(node, exp.Subquery):
            return self._derived(node, scope)
        if isinstance(node, exp.Paren):
            return f"({self._relation(node.this, scope, lateral=lateral)})"
        raise Unsupported(f"{told(node)} after FROM is not known here. Use a table, a subquery or UNNEST.")

    def _nearest(self, node: Any, scope: Scope) -> str:
        """Give NEAREST: of the rows that match, one that is nearest by the comparison, in a lateral subquery."""
        match = node.args["match"]
        sign = {exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">="}.get(type(match))
        if sign is None or not isinstance(node.this, (exp.Table, exp.Subquery)):
            raise Unsupported("NEAREST takes a table or subquery, and MATCH one comparison by <, <=, > or >=. Mend it.")
        inner = Scope(parent=scope)
        relation = self._relation(node.this, inner, lateral=False)
        mine, theirs = (self._reads(side, Scope(relations=inner.relations)) for side in (match.this, match.expression))
        if mine == theirs:
            raise Unsupported("MATCH of NEAREST compares a value of its relation with one of another. Mend it.")
        own = match.this if mine else match.expression
        rises = (sign in {">", ">="}) == mine
        tests = [self.expressions.condition(e, inner) for e in (node.args.get("where"), match) if e is not None]
        key = self.expressions.give(own, inner).sql
        held = inner.relations[0]
        sql = f"(SELECT * FROM {relation} WHERE {' AND '.join(tests)} ORDER BY {key} {'ASC' if rises else 'DESC'} LIMIT 1)"
        alias = node if node.args.get("alias") else exp.Table(alias=exp.TableAlias(this=exp.to_identifier(held.alias)))
        return "LATERAL " + self._aliased(sql, alias, None if held.columns is None else list(held.columns), scope)

    def _reads(self, node: Any, scope: Scope) -> bool:
        """Return whether an expression reads a relation of a scope alone."""
        found = [*node.find_all(exp.Column)]
        return bool(found) and all(scope.find(parts_of(column)) is not None for column in found)

    def _derived(self, node: Any, scope: Scope) -> str:
        if isinstance(node.this, exp.Query):
            only(node, "this", "alias", "order", "limit", "offset", "with_")
            bare = node.copy() if any(node.args.get(k) for k in ("order", "limit", "offset", "with_")) else node.this
            if bare is not node.this:
                bare.set("alias", None)
            sql, columns = self.give(bare, scope.parent)
            return self._aliased(f"({sql})", node, columns, scope)
        only(node, "this", "joins", "alias")
        if node.args.get("alias"):
            raise Unsupported(f"A name for a join in brackets is not given here: {told(node)}. Make it a SELECT.")
        inner = node.this
        parts = [self._relation(inner, scope, lateral=False)]
        parts += [
            self._join(join, scope) for join in [*(inner.args.get("joins") or ()), *(node.args.get("joins") or ())]
        ]
        return f"({''.join(parts)})"

    def _aliased(self, sql: str, node: Any, columns: Columns | None, scope: Scope) -> str:
        alias = node.args.get("alias")
        given = [c.name for c in (alias.args.get("columns") or ())] if alias else []
        name = alias.name if alias and alias.this else None
        if columns is not None and given and len(given) != len(columns):
            raise Unsupported(f"{name} gives {len(given)} names to {len(columns)} columns. Name each.")
        renamed = _renamed(columns, given)
        if name is None:
            self.fresh += 1
        shown = name or f"_r{self.fresh}"
        scope.relations.append(Relation(name or shown, renamed))
        names = given or [c.name or f"_col{i}" for i, c in enumerate(columns or ())]
        unique = len({n.lower() for n in names}) == len(names)
        brackets = f"({', '.join(map(quoted, names))})" if names and (unique or given) else ""
        return f"{sql} AS {quoted(shown)}{brackets}"

    def _table(self, node: Any, scope: Scope) -> str:
        only(node, "this", "db", "catalog", "alias", "joins", "version")
        if not isinstance(node.this, exp.Identifier):
            raise Unsupported(f"The table function {told(node)} is not given here. Use UNNEST(sequence(…)).")
        name, db, catalog = node.name, node.text("db"), node.text("catalog")
        if catalog and catalog.lower() not in CATALOGS:
            raise Unsupported(f"There is one catalog here, and {catalog} is another. Leave it out.")
        columns = self._columns(name, db)
        self.reads_tables = self.reads_tables or bool(db) or not any(name.lower() in ctes for ctes in self.ctes)
        db = db or self._only_schema(name) or ""
        shown = ".".join(quoted(part) for part in (db, name) if part)
        alias = node.args.get("alias")
        given = [c.name for c in (alias.args.get("columns") or ())] if alias else []
        shown_as = alias.name if alias else name
        hidden: list[Column] = []
        if (scan := self._held(node, f"{db}.{name}".lower(), scope)) is not None:
            columns = self._typed(scan.columns)
            hidden = [Column(column, FILE_COLUMNS[self.dialect][column]) for column in self.file_columns]
            shown = f"({scan.sql})"
            alias = alias or exp.TableAlias(this=exp.to_identifier(name))
        if any((r.alias or "").lower() == shown_as.lower() for r in scope.relations):
            self.fresh += 1  # Athena lets two relations bear one name as long as nobody says it
            unsaid = f"_r{self.fresh}"
            scope.relations.append(Relation(unsaid, _renamed(columns, given), hidden))
            return f"{shown} AS {quoted(unsaid)}{'(' + ', '.join(map(quoted, given)) + ')' if given else ''}"
        scope.relations.append(Relation(shown_as, _renamed(columns, given), hidden))
        if node.args.get("joins"):
            raise Unsupported(f"{told(node)} is not known here. Put the join behind the table.")
        brackets = f"({', '.join(map(quoted, given))})" if given else ""
        return f"{shown} AS {quoted(alias.name)}{brackets}" if alias else shown

    def _held(self, node: Any, table: str, scope: Scope) -> Scan | None:
        """Return how a table is read if its name alone does not say it: as it was, or with the file of each row."""
        moment = self._moment(node.args["version"], scope) if node.args.get("version") else None
        if moment is None and not self.file_columns:
            return None
        scan = self.holder.scan(table, moment, self.file_columns) if self.holder else None
        if scan is None and moment is not None:
            raise no_past(table.removeprefix("."))
        return scan

    def _moment(self, version: Any, scope: Scope) -> AsOf:
        """Return what FOR VERSION AS OF and FOR TIMESTAMP AS OF name. A date or a local time is one of UTC."""
        only(version, "this", "expression", "kind")
        node = version.expression
        if version.args.get("kind") != "AS OF" or str(version.this).upper() not in {"VERSION", "TIMESTAMP"}:
            raise Unsupported(f"{told(version)} is not known here. Write FOR TIMESTAMP AS OF or FOR VERSION AS OF.")
        if str(version.this).upper() == "VERSION":
            if not isinstance(node, exp.Literal):
                raise Unsupported("FOR VERSION AS OF takes the number of a snapshot, or a name. Write it out.")
            return AsOf(ref=node.this) if node.is_string else AsOf(snapshot_id=int(node.this))
        if node.find(exp.Column, exp.Query):
            raise Unsupported("FOR TIMESTAMP AS OF takes a constant. Write it out.")
        value = self.expressions.give(node, scope)
        if value.type.name not in {"timestamptz", "timestamp", "date"}:
            raise Unsupported(f"FOR TIMESTAMP AS OF takes an instant, not {value.type}. Write TIMESTAMP '… UTC'.")
        return AsOf(instant=coerce(value, FILE_COLUMNS["athena"]["$file_modified_time"]).sql)

    def _columns(self, name: str, db: str) -> Columns | None:
        if not db:
            for ctes in reversed(self.ctes):
                if name.lower() in ctes:
                    return ctes[name.lower()]
        found = self.schema.get(f"{db}.{name}".lower() if db else name.lower())
        if found is None and not db and (key := self._only_schema(name)) is not None:
            found = self.schema[f"{key}.{name}".lower()]
        return None if found is None else self._typed(found)

    def _typed(self, columns: Mapping[str, str]) -> Columns:
        return [Column(column, type_named(kind)) for column, kind in columns.items()]

    def _only_schema(self, name: str) -> str | None:
        """Return the one schema that has a table of this name; None if none or several have."""
        if name.lower() in self.schema or any(name.lower() in ctes for ctes in self.ctes):
            return None
        found = [key.rpartition(".")[0] for key in self.schema if key.rpartition(".")[2] == name.lower()]
        return found[0] if len(found) == 1 else None

    def _unnest(self, node: Any, scope: Scope, *, lateral: bool) -> str:
        """Give UNNEST: arrays side by side, the shorter filled with NULL; maps as two columns; rows as their fields."""
        only(node, "expressions", "alias", "offset")
        values = self.expressions.all(node.expressions, scope)
        lists: list[str] = []
        columns: Columns = []
        shown: list[str] = []
        for value in values:
            kind = value.type
            if kind.name == "map":
                lists += [f"map_keys({value.sql})", f"map_values({value.sql})"]
                columns += [Column(None, kind.key), Column(None, kind.value)]
                shown += [f"_u.c{len(lists) - 2}", f"_u.c{len(lists) - 1}"]
            elif kind.name == "array" and kind.element.name == "row":
                lists.append(value.sql)
                for held, (name, field) in zip(field_names(kind.element), kind.element.fields, strict=True):
                    columns.append(Column(name, field))
                    shown.append(f"struct_extract(_u.c{len(lists) - 1}, {string(held)})")
            elif kind.name in {"array", "unknown"}:
                lists.append(
                    value.sql
                    if kind.name == "array" and kind.element.name != "unknown"
                    else f"CAST({value.sql} AS INTEGER[])"
                )
                columns.append(Column(None, kind.element if kind.name == "array" else UNKNOWN))
                shown.append(f"_u.c{len(lists) - 1}")
            else:
                raise Unsupported(
                    f"UNNEST takes arrays and maps, and {value.sql} is {kind if kind.is_known else 'of a type nobody told of'}. CAST it."
                )
        alias = node.args.get("alias")
        given = [c.name for c in (alias.args.get("columns") or ())] if alias else []
        offset = node.args.get("offset") or None
        if (
            given
            and len(columns) != len(given)
            and len(values) == len(given)
            and all(v.type.name == "array" for v in values)
        ):
            # Fewer names than fields: Athena gives each row as one value then.
            columns, shown = [Column(None, v.type.element) for v in values], [f"_u.c{i}" for i in range(len(values))]
        if offset is not None:
            longest = ", ".join(f"coalesce(len({each}), 0)" for each in lists)
            lists.append(
                f"range(1, greatest({longest}) + 1)"
                if len(lists) > 1
                else f"range(1, coalesce(len({lists[0]}), 0) + 1)"
            )
            columns.append(Column("ordinality", BIGINT))
            shown.append(f"_u.c{len(lists) - 1}")
            if isinstance(offset, exp.Identifier) and given:
                given = [*given, offset.name]
        names = given or [c.name or f"_col{i}" for i, c in enumerate(columns)]
        if len(names) != len(columns):
            raise Unsupported(f"UNNEST gives {len(columns)} columns here, and {len(names)} are named. Name each.")
        inner = ", ".join(f"unnest({each}) AS c{i}" for i, each in enumerate(lists))
        outer = ", ".join(f"{s} AS {quoted(n)}" for s, n in zip(shown, names, strict=True))
        name = alias.name if alias and alias.this else None
        if name is None:
            self.fresh += 1
        scope.relations.append(Relation(name or f"_r{self.fresh}", _renamed(columns, names)))
        body = f"(SELECT {outer} FROM (SELECT {inner}) AS _u) AS {quoted(name or f'_r{self.fresh}')}"
        return f"LATERAL {body}" if lateral else body


def _shown_merged(column: Column, scope: Scope) -> str:
    held = {
        c.type
        for r in scope.relations
        for c in r.columns or ()
        if (c.name or "").lower() == (column.name or "").lower()
    }
    name = quoted(column.name or "")
    return name if held == {column.type} or not column.type.is_number else f"CAST({name} AS {duckdb_type(column.type)})"


def _exactly(value: Typed, kind: Type) -> str:
    coerced = coerce(value, kind)
    if kind.is_known and (value.is_null or (kind.is_number and value.type != kind) or (kind.name == "bigint")):
        return f"CAST({coerced.sql} AS {duckdb_type(kind)})"
    return coerced.sql


def _renamed(columns: Columns | None, names: Sequence[str]) -> Columns | None:
    if columns is None or not names:
        return columns if columns is not None else [Column(n, ANY) for n in names] if names else None
    return [Column(name, column.type) for name, column in zip(names, columns, strict=False)]


def _bracketed(node: Any, sql: str) -> str:
    plain = isinstance(node, exp.Select) and not any(node.args.get(k) for k in ("order", "limit", "offset", "with_"))
    return sql if plain else f"({sql})"


def _name(node: Any) -> str | None:
    if isinstance(node, exp.Column):
        return node.name
    if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Identifier):
        return node.expression.name
    return None


def _starred(node: Any, scope: Scope) -> list[Any]:
    """Return the columns that `*` or `relation.*` stands for."""
    wanted = "" if isinstance(node, exp.Star) else node.table.lower()
    held = [r for r in scope.relations if not wanted or (r.alias or "").lower() == wanted]
    if not held or any(relation.columns is None for relation in held):
        raise Unsupported(f"GROUP BY AUTO of {told(node)} needs the columns, which are not known here. Name them.")
    return [exp.column(c.name or "", r.alias, quoted=True) for r in held for c in r.columns or ()]


def _is_auto(node: Any) -> bool:
    return (
        isinstance(node, exp.Column) and not node.table and node.name.upper() == "AUTO" and not node.this.args["quoted"]
    )


def _is_true(node: Any) -> bool:
    return isinstance(node, exp.Boolean) and bool(node.this)


def parts_of(column: Any) -> list[str]:
    """Return a column's name in its parts, the relation's first."""
    return [column.text(part) for part in ("catalog", "db", "table", "this") if column.text(part)]


def _ties(fetch: Any) -> bool:
    options = fetch.args.get("limit_options")
    if options is not None and options.args.get("percent"):
        raise Unsupported("FETCH … PERCENT is not given here. Use percent_rank().")
    return bool(options is not None and options.args.get("with_ties"))


def _tries_apart(items: list[str]) -> list[str]:
    """Return what is selected with every TRY but the first in a lambda.

    DuckDB computes what two expressions share before either, outside of TRY, where it raises.

    >>> _tries_apart(["TRY(1 // x)", "TRY(1 // x + 1)"])
    ['TRY(1 // x)', 'TRY(list_transform([true], lambda _try: 1 // x + 1)[1])']
    """
    if sum("TRY(" in item for item in items) < 2 or any("SELECT" in item or " OVER " in item for item in items):
        return items
    first = next(at for at, item in enumerate(items) if "TRY(" in item)
    return [item if at <= first else _hidden(item) for at, item in enumerate(items)]


def _hidden(item: str) -> str:
    at = item.find("TRY(")
    if at < 0 or "'" in item[:at] or '"' in item[:at]:
        return item
    start = end = at + len("TRY(")
    depth, quote = 1, ""
    while depth and end < len(item):
        mark = item[end]
        if quote:
            quote = "" if mark == quote else quote
        elif mark in "'\"":
            quote = mark
        else:
            depth += (mark == "(") - (mark == ")")
        end += 1
    return f"{item[:start]}list_transform([true], lambda _try: {item[start : end - 1]})[1]{item[end - 1 :]}"


def _whole(node: Any) -> str:
    if not isinstance(node, exp.Literal) or node.is_string or not node.this.isdigit():
        raise Unsupported(f"LIMIT and OFFSET take a whole number here, not {told(node)}. Write it out.")
    return node.this
