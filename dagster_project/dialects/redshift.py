"""Redshift Spectrum and its PartiQL: what differs from Athena in the SQL itself.

Texts in quotes become what they are compared with; LIKE has a backslash; NULL comes first in a falling order; FROM
un-nests `c.orders o`; indices count from 0 and give NULL beyond the end.

What belongs here: the dialect. What does not: its functions (`redshift_functions`).
Sources: https://docs.aws.amazon.com/redshift/latest/dg/{query-super,tutorial-query-nested-data,r_pattern-matching}.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from sqlglot import exp

from dagster_project.dialects import moments, operators
from dagster_project.dialects.casts import cast, coerce
from dagster_project.dialects.expressions import (
    COMPARISONS,
    RULES,
    Expressions,
    _bracket,
    _compare,
    only,
    told,
    type_of,
)
from dagster_project.dialects.functions import FUNCTIONS as FUNCTIONS_OF_ATHENA
from dagster_project.dialects.functions.calls import Call
from dagster_project.dialects.held import Holder
from dagster_project.dialects.moments import Moment
from dagster_project.dialects.queries import Columns, Queries, Schema
from dagster_project.dialects.redshift_functions import AGGREGATES, FUNCTIONS, SUPER, read_moment
from dagster_project.dialects.scopes import Column, Relation, Scope
from dagster_project.dialects.typed import Typed, moment
from dagster_project.dialects.types import BIGINT, BOOLEAN, VARBINARY, VARCHAR, Type, array, map_of, quoted, row
from dagster_project.errors import Unsupported


class RedshiftQueries(Queries):
    """Gives the queries of one statement of Redshift or PartiQL."""

    dialect = "redshift"

    def __init__(self, schema: Schema | None, holder: Holder | None = None, file_columns: Sequence[str] = ()) -> None:
        super().__init__(schema, holder, file_columns)
        self.functions = FUNCTIONS
        self.aggregates = AGGREGATES
        self.expressions.rules = REDSHIFT

    def _columns(self, name: str, db: str) -> Columns | None:
        found = super()._columns(name, db)
        return None if found is None else [Column(c.name, _with_super(c.type)) for c in found]

    def _typed(self, columns: Mapping[str, str]) -> list[Column]:
        return [Column(c.name, _with_super(c.type)) for c in super()._typed(columns)]

    def _relation(self, node: Any, scope: Scope, *, lateral: bool) -> str:
        if isinstance(node, exp.Table) and (value := self._navigated(node, scope)) is not None:
            alias = node.args.get("alias")
            return self._elements(value, alias.name if alias else node.name, scope, lateral=lateral)
        if isinstance(node, exp.Unnest) and len(node.expressions) == 1 and not node.args.get("offset"):
            names = [c.name for c in (node.args["alias"].args.get("columns") or ())] if node.args.get("alias") else []
            if len(names) == 1 and not node.args["alias"].this:
                return self._elements(
                    self.expressions.give(node.expressions[0], scope), names[0], scope, lateral=lateral
                )
        if isinstance(node, exp.AtIndex):
            return self._indexed(node, scope, lateral=lateral)
        if isinstance(node, exp.Pivot):
            return self._unpivoted(node, scope, lateral=lateral)
        return super()._relation(node, scope, lateral=lateral)

    def _navigated(self, node: Any, scope: Scope) -> Typed | None:
        """Return the array that a table's name navigates to from a relation before it, if it does."""
        parts = [p for p in (node.text("catalog"), node.text("db"), node.name) if p]
        if not parts:
            return None
        if len(parts) == 1:
            holder = next((r for r in scope.relations if (r.alias or "").lower() == parts[0].lower()), None)
            if holder is None or [(c.name or "").lower() for c in holder.columns or ()] != [parts[0].lower()]:
                return None
        elif not any((r.alias or "").lower() == parts[0].lower() for r in scope.relations):
            return None
        return scope.find(parts)

    def _elements(self, value: Typed, name: str, scope: Scope, *, lateral: bool, index: str | None = None) -> str:
        kind = value.type
        if kind.name == "array":
            listed, element = value.sql, kind.element
        elif kind.name == "super":
            listed, element = (
                f"CASE WHEN json_type({value.sql}) = 'ARRAY' THEN CAST({value.sql} AS JSON[]) WHEN {value.sql} IS NOT NULL THEN [{value.sql}] END",
                kind,
            )
        else:
            raise Unsupported(f"FROM un-nests arrays, and {value.sql} is {kind}. Name an array.")
        columns = [Column(name, element)]
        inner = f"unnest({listed}) AS {quoted(name)}"
        if index is not None:
            columns.append(Column(index, BIGINT))
            inner += f", unnest(range(0, len({listed}))) AS {quoted(index)}"
        scope.relations.append(Relation(name, columns))
        return f"{'LATERAL ' if lateral else ''}(SELECT {inner}) AS {quoted(name)}"

    def _indexed(self, node: Any, scope: Scope, *, lateral: bool) -> str:
        only(node, "this", "expression")
        if not isinstance(node.this, exp.Alias):
            raise Unsupported(f"{told(node)} is not known here. Write FROM c.orders AS o AT i.")
        value = self.expressions.give(node.this.this, scope)
        return self._elements(value, node.this.alias, scope, lateral=lateral, index=node.expression.name)

    def _unpivoted(self, node: Any, scope: Scope, *, lateral: bool) -> str:
        only(node, "this", "unpivot")
        if (
            not node.args.get("unpivot")
            or not isinstance(node.this, exp.AtIndex)
            or not isinstance(node.this.this, exp.Alias)
        ):
            raise Unsupported(f"{told(node)} is not known here. Write UNPIVOT object AS value AT name.")
        value = self.expressions.give(node.this.this.this, scope)
        name, key = node.this.this.alias, node.this.expression.name
        if value.type != SUPER:
            raise Unsupported(f"UNPIVOT takes a SUPER object, not {value.type}. Name its fields.")
        scope.relations.append(Relation(name, [Column(name, SUPER), Column(key, VARCHAR)]))
        entries = f"CAST({value.sql} AS MAP(VARCHAR, JSON))"
        return f"{'LATERAL ' if lateral else ''}(SELECT unnest(map_values({entries})) AS {quoted(name)}, unnest(map_keys({entries})) AS {quoted(key)}) AS {quoted(name)}"


def _with_super(kind: Type) -> Type:
    if kind.name == "json":
        return SUPER
    if kind.name == "array":
        return array(_with_super(kind.element))
    if kind.name == "map":
        return map_of(_with_super(kind.key), _with_super(kind.value))
    if kind.name == "row":
        return row(*((name, _with_super(inner)) for name, inner in kind.fields))
    return kind


# --- expressions --------------------------------------------------------------------------------------------------


def adapted(left: Typed, right: Typed) -> tuple[Typed, Typed]:
    """Return both sides with a quoted text read as what the other side is."""
    return _read_as(left, right.type), _read_as(right, left.type)


def _read_as(value: Typed, kind: Type) -> Typed:
    if value.type.name == "super" and kind.name != "super" and kind.is_known:
        return _from_super(value, kind)
    if value.text is None or not value.type.is_text or kind.is_text or not kind.is_known:
        return value
    if kind.name in {"date", "timestamp", "timestamptz"}:
        read = read_moment(value.text)
        if read is None:
            raise Unsupported(f"{value.text!r} is read as no {kind} here. Write it as 'YYYY-MM-DD HH:MI:SS'.")
        return moment(read)
    if kind.is_number or kind == BOOLEAN:
        return cast(value, kind if kind.name != "decimal" else Type("decimal", (38, 10)))
    return value


def _from_super(value: Typed, kind: Type) -> Typed:
    """Return a SUPER scalar beside a value of SQL: of another type it is NULL (lax), not an error."""
    from dagster_project.dialects.types import duckdb_type

    kinds = {True: "('BIGINT', 'UBIGINT', 'DOUBLE')", False: "('VARCHAR')"}[kind.is_number]
    if not kind.is_number and not kind.is_text and kind != BOOLEAN:
        raise Unsupported(f"SUPER beside {kind} is not given here. CAST the SUPER value.")
    if kind == BOOLEAN:
        kinds = "('BOOLEAN')"
    plain = f"json_extract_string({value.sql}, '$')"
    target = "DOUBLE" if kind.is_number else duckdb_type(kind)
    made = f"CASE WHEN json_type({value.sql}) IN {kinds} THEN CAST({plain} AS {target}) END"
    return Typed(made, Type("double") if kind.is_number else kind)


def _comparison(self: Expressions, node: Any, scope: Scope) -> Typed:
    if isinstance(node.expression, (exp.Any, exp.All)) or (
        isinstance(node.expression, exp.Anonymous) and str(node.expression.this).upper() in {"ALL", "ANY", "SOME"}
    ):
        return _compare(self, node, scope)
    left, right = adapted(self.give(node.this, scope), self.give(node.expression, scope))
    if left.type.is_text and any((v.text or "").endswith(" ") for v in (left, right)):
        raise Unsupported("Blanks at the end of a text do not count everywhere in Redshift. Compare what trim() gives.")
    return operators.compare(COMPARISONS[type(node)], left, right)


def _arithmetic(sign: str) -> Callable[[Expressions, Any, Scope], Typed]:
    def rule(self: Expressions, node: Any, scope: Scope) -> Typed:
        left, right = self.give(node.this, scope), self.give(node.expression, scope)
        if (left.type == SUPER and right.type.is_number) or (right.type == SUPER and left.type.is_number):
            left, right = adapted(left, right)
        if (
            sign == "/"
            and "decimal" in {left.type.name, right.type.name}
            and not {left.type.name, right.type.name} & {"real", "double"}
        ):
            raise Unsupported(
                "A quotient of decimals has digits of its own in Redshift. CAST one of them to double precision."
            )
        names = {left.type.name, right.type.name}
        if sign == "+" and names == {"date", "time"}:
            date, time = (left, right) if left.type.name == "date" else (right, left)
            return Typed(f"({date.sql} + {time.sql})", Type("timestamp", (6,)))
        if left.type.name == "date" and right.type.is_integer and sign in "+-":
            return Typed(f"({left.sql} {sign} CAST({right.sql} AS INTEGER))", left.type)
        if sign == "-" and left.type.name == right.type.name == "date":
            return Typed(f"CAST({left.sql} - {right.sql} AS INTEGER)", Type("integer"))
        spans = {"interval day to second", "interval year to month"}
        if sign in "+-" and "date" in names and names & spans:  # the result has a clock
            left, right = (_as_timestamp(v) if v.type.name == "date" else v for v in (left, right))
        return operators.arithmetic(sign, left, right)

    return rule


def _as_timestamp(value: Typed) -> Typed:
    return cast(value, Type("timestamp", (6,)))


def _between(self: Expressions, node: Any, scope: Scope) -> Typed:
    only(node, "this", "low", "high")
    value = self.give(node.this, scope)
    low = operators.compare(">=", *adapted(value, self.give(node.args["low"], scope)))
    high = operators.compare("<=", *adapted(value, self.give(node.args["high"], scope)))
    return Typed(f"({low.sql} AND {high.sql})", BOOLEAN)


def _in(self: Expressions, node: Any, scope: Scope) -> Typed:
    if node.args.get("query") or any(isinstance(e, exp.Query) for e in node.expressions):
        return RULES[exp.In](self, node, scope)
    value = self.give(node.this, scope)
    each = [operators.compare("=", *adapted(value, item)).sql for item in self.all(node.expressions, scope)]
    return Typed(f"({' OR '.join(each)})", BOOLEAN)


def _like(word: str) -> Callable[[Expressions, Any, Scope], Typed]:
    def rule(self: Expressions, node: Any, scope: Scope) -> Typed:
        value, pattern = self.give(node.this, scope), self.give(node.expression, scope)
        if not value.type.is_text or not pattern.type.is_text:
            raise Unsupported(f"{word} matches texts, not {value.type}. CAST it to varchar.")
        made = f"({value.sql} {word} {pattern.sql} ESCAPE '\\')"
        return Typed(f"(NOT {made})" if node.args.get("negate") else made, BOOLEAN)

    return rule


def _index(self: Expressions, node: Any, scope: Scope) -> Typed:
    """Give `a[0]`: from 0, NULL beyond the end."""
    only(node, "this", "expressions")
    if len(node.expressions) != 1:
        raise Unsupported(f"{told(node)} is not known here. Give one index.")
    value, index = self.give(node.this, scope), self.give(node.expressions[0], scope)
    if value.type.name in {"array", "super"} and (index.integer is None or index.integer < 0):
        raise Unsupported(f"{told(node)} takes a constant index from 0 here. Un-nest in FROM instead.")
    if value.type.name == "array":
        return Typed(f"({value.sql})[{(index.integer or 0) + 1}]", value.type.element)
    if value.type == SUPER:
        if index.integer is None:
            raise Unsupported(f"{told(node)} takes a constant index here. Un-nest in FROM instead.")
        return Typed(f"json_extract({value.sql}, '$[{index.integer}]')", SUPER)
    return _bracket(self, node, scope)


def _typecast(self: Expressions, node: Any, scope: Scope) -> Typed:
    only(node, "this", "to", "safe", "action")
    kind = node.to.this.name if hasattr(node.to.this, "name") else str(node.to.this)
    if kind == "SUPER":
        value = self.give(node.this, scope)
        if value.type.is_number or value.type.is_text or value.type == BOOLEAN:
            return Typed(f"to_json({value.sql})", SUPER)
        raise Unsupported(f"CAST({value.type} AS super) is not given here. Use json_parse.")
    if (
        isinstance(node.this, exp.Literal)
        and node.this.is_string
        and kind in {"DATE", "TIMESTAMP", "TIMESTAMPTZ", "TIME", "TIMETZ"}
    ):
        return _moment(node.this.this, kind)
    value = self.give(node.this, scope)
    to = type_of(node.to, default=6)
    if value.type == SUPER:
        return _cast_super(value, to)
    if value.type.is_text and to.is_number and value.text is not None:
        return cast(value, to)
    if to == VARBINARY and value.type.is_text:
        return Typed(f"encode({value.sql})", VARBINARY)
    if to.is_text and value.type.name in {"timestamp", "timestamptz", "time"}:
        raise Unsupported(f"CAST({value.type.name} AS varchar) prints the digits that there are. Use to_char.")
    if (value.type.name == "decimal" and to.is_integer) or (value.type.is_float and to.name == "decimal"):
        return cast(value, to)
    return cast(value, to)


def _cast_super(value: Typed, to: Type) -> Typed:
    from dagster_project.dialects.casts import from_json

    return Typed(from_json(Typed(value.sql, Type("json", (False,))), to), to)


def _moment(written: str, kind: str) -> Typed:
    read = read_moment(written)
    wanted = {"TIMESTAMPTZ": "timestamptz", "TIMETZ": "timetz"}.get(kind, kind.lower())
    if wanted in {"time", "timetz"} and read is not None and read.kind.startswith("timestamp"):
        read = Moment("timetz" if read.zone else "time", read.digits, 0, read.picos, read.zone, read.known_offset)
    if read is None:
        raise Unsupported(f"{kind} '{written}' is not read here. Write it as 'YYYY-MM-DD HH:MI:SS'.")
    digits = min(read.digits, 6)
    target = {"date": Type("date"), "time": Type("time", (digits,)), "timestamp": Type("timestamp", (digits,))}.get(
        wanted, Type(wanted, (digits, read.zone))
    )
    if read.kind == target.name:
        return moment(read)
    done = moments.cast(read, target)
    if done is None:
        raise Unsupported(f"{kind} '{written}' is not read here. Write it as 'YYYY-MM-DD HH:MI:SS'.")
    return moment(done)


def _interval(self: Expressions, node: Any, scope: Scope) -> Typed:
    return RULES[exp.Interval](self, node, scope)


def _bits(sign: str) -> Callable[[Expressions, Any, Scope], Typed]:
    def rule(self: Expressions, node: Any, scope: Scope) -> Typed:
        left, right = self.give(node.this, scope), self.give(node.expression, scope)
        if left.type == right.type == VARBINARY:
            word = {"&": "&", "|": "|"}[sign]
            bits = f"(CAST({left.sql} AS BIT) {word} CAST({right.sql} AS BIT))"
            return Typed(f"CAST({bits} AS BLOB)", VARBINARY)
        if left.type.is_integer and right.type.is_integer:
            kind = operators.arithmetic("+", left, right).type
            return Typed(f"({coerce(left, kind).sql} {sign} {coerce(right, kind).sql})", kind)
        raise Unsupported(f"{left.type} {sign} {right.type} is not given here. CAST both.")

    return rule


def _flipped(self: Expressions, node: Any, scope: Scope) -> Typed:
    value = self.give(node.this, scope)
    if value.type == VARBINARY:
        return Typed(f"CAST(~CAST({value.sql} AS BIT) AS BLOB)", VARBINARY)
    if value.type.is_integer:
        return Typed(f"(~{value.sql})", value.type)
    raise Unsupported(f"~{value.type} is not given here. CAST it.")


def _matched(self: Expressions, node: Any, scope: Scope) -> Typed:
    """Give `text ~ pattern`."""
    only(node, "this", "expression")
    return FUNCTIONS_OF_ATHENA["regexp_like"][0](Call("regexp_like", [node.this, node.expression], scope, self.queries))


def _computed(name: str) -> Callable[[Expressions, Any, Scope], Typed]:
    def rule(self: Expressions, node: Any, scope: Scope) -> Typed:
        nodes = [node.this, *([node.expression] if node.args.get("expression") else [])]
        return self.queries.call(name, nodes, scope)

    return rule


def _name(self: Expressions, node: Any, scope: Scope) -> Typed:
    if (
        not node.args.get("table")
        and node.name.lower() in {"sysdate", "current_aws_account", "user"}
        and scope.find([node.name]) is None
    ):
        raise Unsupported(f"{node.name} is known to a Redshift cluster only. Leave it out.")
    return RULES[exp.Column](self, node, scope)


def _dot(self: Expressions, node: Any, scope: Scope) -> Typed:
    return RULES[exp.Dot](self, node, scope)


REDSHIFT: Final[dict[type, Callable[[Expressions, Any, Scope], Typed]]] = {
    **{k: v for k, v in RULES.items() if k != exp.JSONObject},
    **dict.fromkeys(COMPARISONS, _comparison),
    **{k: _arithmetic(s) for k, s in ((exp.Add, "+"), (exp.Sub, "-"), (exp.Mul, "*"), (exp.Div, "/"), (exp.Mod, "%"))},
    exp.Between: _between, exp.In: _in, exp.Like: _like("LIKE"), exp.ILike: _like("ILIKE"), exp.Bracket: _index, exp.Cast: _typecast,
    exp.RegexpLike: _matched, exp.Pow: _computed("power"), exp.Sqrt: _computed("sqrt"), exp.Cbrt: _computed("cbrt"),
    exp.TryCast: _typecast, exp.BitwiseNot: _flipped, exp.BitwiseAnd: _bits("&"), exp.BitwiseOr: _bits("|"), exp.Column: _name,
}  # fmt: skip
for _missing in (exp.AtTimeZone, exp.Array):
    REDSHIFT.pop(_missing, None)
