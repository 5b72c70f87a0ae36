"""Expressions: each node of sqlglot's tree as DuckDB's SQL with its Trino type. A node without a rule is refused.

What belongs here: literals, columns, operators, CASE, CAST, lambdas, calls. What does not: functions (`functions`),
SELECT (`queries`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from sqlglot import exp

from dagster_project.dialects import moments, operators
from dagster_project.dialects.casts import cast, coerce, json_constant
from dagster_project.dialects.moments import Moment
from dagster_project.dialects.scopes import Scope, field_of, part_of_json
from dagster_project.dialects.typed import NULL, Typed, fail, let, moment, null_of, string, text, truth
from dagster_project.dialects.types import (
    ANY,
    BIGINT,
    BOOLEAN,
    DATE,
    DOUBLE,
    INTEGER,
    INTERVAL,
    JSON,
    JSON_PART,
    MONTHS,
    UNKNOWN,
    VARBINARY,
    VARCHAR,
    Type,
    array,
    common_of,
    decimal,
    duckdb_type,
    field_names,
    map_of,
    quoted,
    row,
    timestamp,
    timestamptz,
)
from dagster_project.errors import Unsupported

if TYPE_CHECKING:
    from dagster_project.dialects.queries import Queries

COMPARISONS: Final = {exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">="}
ARITHMETIC: Final = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.Mod: "%"}
NAMED: Final = {
    "INT": "integer", "TINYINT": "tinyint", "SMALLINT": "smallint", "BIGINT": "bigint", "BOOLEAN": "boolean", "DOUBLE": "double",
    "FLOAT": "real", "VARBINARY": "varbinary", "DATE": "date", "UUID": "uuid", "TEXT": "varchar",
}  # fmt: skip


def told(node: exp.Expression) -> str:
    """Return a node as it is told of in a refusal."""
    try:
        shown = " ".join(node.sql(dialect="trino").split())
    except ValueError:  # a node of our own, which sqlglot does not write
        shown = type(node).__name__.upper()
    return shown if len(shown) <= 60 else f"{shown[:57]}…"


def only(node: exp.Expression, *names: str) -> None:
    """Raise `Unsupported` if a node says more than what is read of it: nothing is passed over in silence."""
    for name, value in node.args.items():
        if name not in names and value not in (None, False, [], ""):
            raise Unsupported(
                f"{type(node).__name__.upper()} with {name} is not known here: {told(node)}. Write it without."
            )


def type_of(data: exp.DataType, default: int = 3) -> Type:
    """Return the Trino type a node names. Raises `Unsupported` for one that DuckDB cannot hold."""
    name = data.this.name if hasattr(data.this, "name") else str(data.this)
    if data.meta.get("number"):
        raise Unsupported("The type number is not Athena's. Use decimal(p, s) or double.")
    told_sizes = [e.this for e in data.expressions if isinstance(e, exp.DataTypeParam)]
    if not all(isinstance(size, exp.Literal) and str(size.this).isdigit() for size in told_sizes):
        raise Unsupported(f"{told(data)} is no type: its sizes are whole numbers. Mend it.")
    sizes = [int(size.this) for size in told_sizes]
    if name in NAMED:
        return Type(NAMED[name])
    if name == "DECIMAL":
        return decimal(sizes[0] if sizes else 38, sizes[1] if len(sizes) > 1 else 0)
    if name == "VARCHAR":
        return Type("varchar", (sizes[0],)) if sizes else VARCHAR
    if name == "CHAR":
        return Type("char", (sizes[0] if sizes else 1,))
    if name == "JSON":
        return JSON
    if name == "TIME":
        return Type("time", (sizes[0] if sizes else default,))
    if name == "TIMETZ":
        return Type("timetz", (sizes[0] if sizes else default, None))
    if name in {"TIMESTAMP", "TIMESTAMPNTZ"}:
        return timestamp(sizes[0] if sizes else default)
    if name in {"TIMESTAMPTZ", "TIMESTAMPLTZ"}:
        return timestamptz(sizes[0] if sizes else default, None)
    if name == "ARRAY" and data.expressions:
        return array(type_of(data.expressions[0]))
    if name == "MAP" and len(data.expressions) == 2:
        return map_of(type_of(data.expressions[0]), type_of(data.expressions[1]))
    if name in {"STRUCT", "ROW"}:
        return row(
            *(
                (e.name, type_of(e.args["kind"])) if isinstance(e, exp.ColumnDef) else (None, type_of(e))
                for e in data.expressions
            )
        )
    raise Unsupported(f"DuckDB has no type that means {data.sql(dialect='trino')}. Keep the value as varchar.")


class Expressions:
    """Gives expressions of one dialect. `queries` gives the SELECTs inside them."""

    def __init__(self, queries: Queries) -> None:
        self.queries = queries
        self.notes: list[str] = []
        self.rules = RULES

    def give(self, node: exp.Expression, scope: Scope) -> Typed:
        """Return what a node is. Raises `Unsupported`, naming it, if it has no rule."""
        made = self.begun(node, scope)
        return self.queries.json_part(*made.const) if made.type == JSON_PART else made

    def begun(self, node: exp.Expression, scope: Scope) -> Typed:
        """Return what a node is, a part of JSON as one that more steps may follow."""
        if node is None:
            raise Unsupported("Something is missing where an expression should stand. Mend the statement.")
        rule = self.rules.get(type(node))
        if rule is not None:
            only(node, *TAKEN.get(type(node), ("this", "expression", "expressions", "typed", "safe")))
        if rule is None:
            raise Unsupported(
                f"{told(node)} is not known here. Write it in other words, or in DuckDB's SQL without --dialect."
            )
        return rule(self, node, scope)

    def all(self, nodes: Sequence[exp.Expression], scope: Scope) -> list[Typed]:
        """Return what each of several nodes is."""
        return [self.give(node, scope) for node in nodes]

    def condition(self, node: exp.Expression, scope: Scope) -> str:
        """Return a condition of WHERE, ON, HAVING or WHEN."""
        value = self.give(node, scope)
        if value.type not in (BOOLEAN, UNKNOWN, ANY):
            raise Unsupported(f"A condition is a boolean, and {told(node)} is {value.type}. Compare it with something.")
        return value.sql


# --- literals and names -------------------------------------------------------------------------------------------


def _literal(_: Expressions, node: Any, __: Scope) -> Typed:
    written = node.this
    if node.is_string:
        return text(written)
    lower = written.lower()
    if "e" in lower and lower.count(".") < 2:
        return Typed(_double(lower), DOUBLE, float(lower))
    if written.count(".") > 1:
        raise Unsupported(f"{written} is no number. Mend it.")
    if "." in written:
        whole, _, part = written.partition(".")
        whole = whole.lstrip("0")
        kind = decimal(max(len(whole) + len(part), 1), len(part))
        if kind.args[0] > 38:
            raise Unsupported(f"{written} has more than 38 digits. Write it as a double, {written}E0.")
        return Typed(
            f"CAST({string(written)} AS {duckdb_type(kind)})"
            if len(part) > 15
            else (f"{whole or '0'}.{part}" if part else f"CAST({whole or '0'} AS {duckdb_type(kind)})"),
            kind,
            Decimal(written),
        )
    value = int(written.replace("_", ""))
    if value >= 2**63:
        raise Unsupported(f"{written} is no bigint. Write DECIMAL '{written}'.")
    return Typed(str(value), INTEGER if value < 2**31 else BIGINT, value)


def _double(lower: str) -> str:
    value = float(lower)
    if value in {float("inf"), float("-inf")}:
        raise Unsupported(f"{lower} is no double. Write infinity().")
    return f"CAST({string(repr(value))} AS DOUBLE)" if "e" not in repr(value) else repr(value)


def _typed_literal(self: Expressions, node: Any, scope: Scope) -> Typed:
    written, name = node.this.this, node.to.this.name
    if name in {"IPADDRESS", "IPPREFIX"}:
        return self.queries.ip_cast(text(written), name.lower())
    if name in {"TIMESTAMP", "TIMESTAMPTZ", "DATE", "TIME", "TIMETZ", "TIMESTAMPNTZ", "TIMESTAMPLTZ"}:
        read = {"DATE": moments.read_date, "TIME": moments.read_time, "TIMETZ": moments.read_time}.get(
            name, moments.read_timestamp
        )(written)
        if read is None:
            raise Unsupported(
                f"{node.to.this.name} '{written}' is none. Write it as DATE '2020-05-01' or TIMESTAMP '2020-05-01 12:34:56'."
            )
        return moment(read)
    if name == "DECIMAL" and not node.to.expressions:
        return _decimal_literal(written)
    if name == "JSON":
        return json_constant(written)
    if name == "CHAR" and not node.to.expressions:
        made = text(written)
        return Typed(made.sql, Type("char", (len(written),)), written)
    made = cast(text(written), type_of(node.to))
    if made.type.is_integer and re.fullmatch(r"[+-]?\d+", written):
        return Typed(made.sql, made.type, int(written))
    return (
        Typed(made.sql, made.type, float(written))
        if made.type.is_float and re.fullmatch(r"[+-]?[\d.]+([eE][+-]?\d+)?", written)
        else made
    )


def _decimal_literal(written: str) -> Typed:
    found = re.fullmatch(r"\s*([+-]?)(\d*)(?:\.(\d*))?\s*", written)
    if found is None or not (found[2] or found[3]):
        raise Unsupported(f"DECIMAL '{written}' is none. Write digits with a point.")
    whole, part = found[2].lstrip("0"), found[3] or ""
    kind = decimal(max(len(whole) + len(part), 1), len(part))
    if kind.args[0] > 38:
        raise Unsupported(f"DECIMAL '{written}' has more than 38 digits. Write it as a double.")
    return Typed(f"CAST({string(written.strip())} AS {duckdb_type(kind)})", kind, Decimal(written.strip()))


def _null(_: Expressions, __: Any, ___: Scope) -> Typed:
    return NULL


def _boolean(_: Expressions, node: Any, __: Scope) -> Typed:
    return truth(value=bool(node.this))


def _hex(_: Expressions, node: Any, __: Scope) -> Typed:
    digits = node.this.replace(" ", "")
    if len(digits) % 2 or not re.fullmatch(r"[0-9a-fA-F]*", digits):
        raise Unsupported(f"X'{node.this}' has no two hexadecimal digits per byte. Mend it.")
    return Typed(f"from_hex({string(digits)})" if digits else "CAST('' AS BLOB)", VARBINARY, bytes.fromhex(digits))


def _unicode(_: Expressions, node: Any, __: Scope) -> Typed:
    mark = node.args["escape"].name if isinstance(node.args.get("escape"), exp.Literal) else "\\"
    pattern = re.escape(mark) + r"(?:\+([0-9A-Fa-f]{6})|([0-9A-Fa-f]{4})|(" + re.escape(mark) + "))"
    return text(re.sub(pattern, lambda m: mark if m[3] else chr(int(m[1] or m[2], 16)), str(node.this)))


def _interval(_: Expressions, node: Any, __: Scope) -> Typed:
    """Give an interval of days to seconds in milliseconds, or of months: nothing in Trino is both."""
    only(node, "this", "unit")
    value, unit = node.this, node.args.get("unit")
    sign = 1
    if isinstance(value, exp.Neg):
        sign, value = -1, value.this
    if not isinstance(value, exp.Literal) or unit is None:
        raise Unsupported(f"{told(node)} is no constant. Multiply: n * INTERVAL '1' DAY.")
    amount = interval_of(value.this, unit.sql().upper().split(" TO "))
    if amount is None:
        raise Unsupported(f"{told(node)} is no interval that Athena reads. Write it as INTERVAL '3' DAY.")
    kind, number = amount
    number *= sign
    made = f"to_milliseconds({number})" if kind == "ms" else f"to_months({number})"
    return Typed(made, INTERVAL if kind == "ms" else MONTHS, (kind, number))


SCALES: Final = {"WEEK": 604800000, "DAY": 86400000, "HOUR": 3600000, "MINUTE": 60000, "SECOND": 1000}


def interval_of(written: str, units: Sequence[str]) -> tuple[str, int] | None:
    """Return the milliseconds or months of an interval as it is written.

    >>> interval_of("12 10:45:32.12", ["DAY", "SECOND"]), interval_of("1-2", ["YEAR", "MONTH"])
    (('ms', 1075532120), ('months', 14))
    """
    sign = -1 if written.strip().startswith("-") else 1
    body = written.strip().lstrip("+-")
    units = [unit.rstrip("S") for unit in units]
    if units[0] in {"YEAR", "MONTH", "QUARTER"}:
        found = re.fullmatch(r"(\d+)(?:-(\d+))?", body)
        if found is None or (found[2] and units[0] != "YEAR"):
            return None
        return "months", sign * (int(found[1]) * {"YEAR": 12, "QUARTER": 3, "MONTH": 1}[units[0]] + int(found[2] or 0))
    names = ["DAY", "HOUR", "MINUTE", "SECOND"]
    if units[0] not in SCALES or (len(units) > 1 and units[0] not in names):
        return None
    parts = re.fullmatch(r"\d+(?:[ :]+\d+)*(?:\.\d{1,9})?", body)
    if parts is None:
        return None
    numbers = re.split(r"[ :]+", body)
    if len(units) == 1 and len(numbers) > 1:
        return None
    chain = names[names.index(units[0]) :] if units[0] in names else [units[0]]
    if len(numbers) > len(chain) or any("." in n for n, u in zip(numbers, chain, strict=False) if u != "SECOND"):
        return None
    total = sum(Decimal(n) * SCALES[u] for n, u in zip(numbers, chain, strict=False))
    return "ms", sign * int(total)


def _column(self: Expressions, node: Any, scope: Scope) -> Typed:
    only(node, "this", "table", "db", "catalog")
    if isinstance(node.this, exp.Star):
        raise Unsupported(f"{told(node)} stands for several columns. Name one.")
    parts = [node.args[name].name for name in ("catalog", "db", "table") if node.args.get(name)] + [node.name]
    found = scope.find(parts)
    if found is None:
        if len(parts) == 1 and parts[0].startswith("$"):
            raise Unsupported(f"The column {parts[0]} tells of files, which the relation here does not. Leave it out.")
        raise Unsupported(f"There is no column {'.'.join(parts)} here. Check its name and its relation's.")
    return found


def _identifier(self: Expressions, node: Any, scope: Scope) -> Typed:
    found = scope.find([node.name])
    if found is None:
        raise Unsupported(f"There is no {node.name} here. Check its name.")
    return found


def _dot(self: Expressions, node: Any, scope: Scope) -> Typed:
    member = node.expression
    if isinstance(member, exp.Anonymous):
        value = self.begun(node.this, scope) if _is_navigation(node.this, scope) else None
        if value is not None and (value.type == JSON_PART or value.type.name == "json"):
            held, steps = value.const if value.type == JSON_PART else (value, "")
            return self.queries.json_method(held, steps, str(member.this).lower(), member.expressions)
        if str(member.this).lower() == "repeat":
            return self.queries.call("repeat_text", [node.this, *member.expressions], scope)
        return self.queries.call(member.this, [node.this, *member.expressions], scope)
    parts = _path(node)
    if parts is not None and (found := scope.find(parts)) is not None:
        return found
    if isinstance(member, exp.Star):
        return _json_steps(self.begun(node.this, scope), ".*", node)
    if isinstance(member, exp.Identifier) or (isinstance(member, exp.Literal) and member.is_string):
        return field_of(self.begun(node.this, scope), member.name)
    raise Unsupported(f"{told(node)} is not known here. Name one field.")


def _is_navigation(node: Any, scope: Scope) -> bool:
    """Return whether dots and brackets begin at a column."""
    while isinstance(node, (exp.Dot, exp.Bracket)) and (path := _path(node)) is None:
        node = node.this
    path = _path(node)
    return path is not None and scope.find(path) is not None


def _json_steps(value: Typed, steps: str, node: Any) -> Typed:
    """Return a part of JSON with more steps."""
    if value.type == JSON_PART:
        return part_of_json(value.const[0], value.const[1] + steps)
    if value.type.name == "json":
        return part_of_json(value, steps)
    raise Unsupported(f"{told(node)} is not known here. Name one field.")


def _path(node: exp.Expression) -> list[str] | None:
    if isinstance(node, exp.Dot):
        before = _path(node.this)
        return (
            None
            if before is None or not isinstance(node.expression, exp.Identifier)
            else [*before, node.expression.name]
        )
    if isinstance(node, exp.Identifier):
        return [node.name]
    if isinstance(node, exp.Column) and not isinstance(node.this, exp.Star):
        return [node.args[name].name for name in ("catalog", "db", "table") if node.args.get(name)] + [node.name]
    return None


# --- constructors and subscripts ----------------------------------------------------------------------------------


def _array(self: Expressions, node: Any, scope: Scope) -> Typed:
    only(node, "expressions", "value_constructor")
    return array_of(self.all(node.expressions, scope))


def array_of(values: Sequence[Typed]) -> Typed:
    """Return `ARRAY[…]`."""
    kind = common_of([value.type for value in values], "ARRAY")
    items = [coerce(value, kind).sql for value in values]
    made = f"[{', '.join(items)}]"
    if kind.name not in {"unknown", "any"} and (not items or any(value.is_null for value in values) or kind.is_number):
        made = f"CAST({made} AS {duckdb_type(array(kind))})"
    return Typed(made, array(kind))


def row_of(values: Sequence[Typed], names: Sequence[str | None] | None = None) -> Typed:
    """Return `ROW(…)`."""
    kind = row(*zip(names or [None] * len(values), (value.type for value in values), strict=True))
    parts = (f"{quoted(held)}: {value.sql}" for held, value in zip(field_names(kind), values, strict=True))
    return Typed(f"{{{', '.join(parts)}}}", kind)


def _tuple(self: Expressions, node: Any, scope: Scope) -> Typed:
    return row_of(self.all(node.expressions, scope))


def _bracket(self: Expressions, node: Any, scope: Scope) -> Typed:
    only(node, "this", "expressions")
    if len(node.expressions) != 1:
        raise Unsupported(f"{told(node)} is not known here. Give one index, or use slice().")
    value = self.begun(node.this, scope)
    if isinstance(node.expressions[0], exp.Star):
        return _json_steps(value, "[*]", node)
    index = self.give(node.expressions[0], scope)
    if value.type == JSON_PART or value.type.name == "json":
        if index.integer is None:
            raise Unsupported(f"{told(node)} takes a constant place in JSON. Use JSON_VALUE … PASSING.")
        return _json_steps(value, f"[{index.integer}]", node)
    return subscript(value, index)


def subscript(value: Typed, index: Typed) -> Typed:
    """Return `value[index]`, which raises beyond the end of an array and for a key that a map has not."""
    kind = value.type
    if kind.name == "array":
        raised = fail("Array subscript is out of bounds", kind.element)
        at = index.integer
        if at is not None and at > 0:
            return Typed(
                let([value], lambda x: f"CASE WHEN len({x}) < {at} THEN {raised} ELSE {x}[{at}] END"), kind.element
            )
        return Typed(
            let([value, index], lambda x, i: f"CASE WHEN {i} < 1 OR {i} > len({x}) THEN {raised} ELSE {x}[{i}] END"),
            kind.element,
        )
    if kind.name == "map":
        key = coerce(index, kind.key)
        raised = fail("Key not present in map", kind.value)
        return Typed(
            let(
                [value, key],
                lambda m, k: (
                    f"CASE WHEN {m} IS NOT NULL AND {k} IS NOT NULL AND NOT map_contains({m}, {k}) THEN {raised} ELSE map_extract_value({m}, {k}) END"
                ),
            ),
            kind.value,
        )
    if kind.name == "row" and index.integer is not None and 1 <= index.integer <= len(kind.fields):
        held = field_names(kind)[index.integer - 1]
        return Typed(f"struct_extract({value.sql}, {string(held)})", kind.fields[index.integer - 1][1])
    raise Unsupported(f"{kind}[…] is not known here. Use element_at, or json_extract of JSON.")


# --- operators ----------------------------------------------------------------------------------------------------


def _paren(self: Expressions, node: Any, scope: Scope) -> Typed:
    return self.give(node.this, scope)


DECIMALS: Final = (
    "A quotient of decimals has at least 6 digits, as in current Trino; older engines round to the digits of its operands. "
    "CAST to double where it matters."
)


def _arithmetic(self: Expressions, node: Any, scope: Scope) -> Typed:
    made = _calculated(self, node, scope)
    if isinstance(node, exp.Div) and made.type.name == "decimal":
        self.notes.append(DECIMALS)
    return made


def _calculated(self: Expressions, node: Any, scope: Scope) -> Typed:
    return operators.arithmetic(ARITHMETIC[type(node)], self.give(node.this, scope), self.give(node.expression, scope))


def _compare(self: Expressions, node: Any, scope: Scope) -> Typed:
    sign = COMPARISONS[type(node)]
    quantified = _quantified(self, sign, node, scope)
    if quantified is not None:
        return quantified
    return operators.compare(sign, self.give(node.this, scope), self.give(node.expression, scope))


def _quantified(self: Expressions, sign: str, node: Any, scope: Scope) -> Typed | None:
    right = node.expression
    if isinstance(right, exp.Any):
        word, inner = "ANY", right.this
    elif isinstance(right, (exp.All,)):
        word, inner = "ALL", right.this
    elif isinstance(right, exp.Anonymous) and str(right.this).upper() in {"ALL", "ANY", "SOME"}:
        word, inner = ("ALL" if str(right.this).upper() == "ALL" else "ANY"), right.expressions[0]
    else:
        return None
    left = self.give(node.this, scope)
    if left.type.name in {"row", "array", "char"}:
        return self.queries.member(sign, word, left, inner, scope)
    sql, column = self.queries.single(inner, scope, f"{sign} {word}")
    _need_scalar(left.type, column, f"{sign} {word} (SELECT …)")
    return Typed(f"({_beside(left, column)} {sign} {word} ({sql}))", BOOLEAN)


def _need_scalar(one: Type, other: Type, what: str) -> None:
    kind = common_of([one, other], what)
    if kind.name in {"row", "array", "map", "json", "any"} or "char" in {one.name, other.name}:
        raise Unsupported(f"{what} of {kind} is not given here. Write it as EXISTS with the comparison inside.")


def _beside(left: Typed, column: Type) -> str:
    kind = common_of([left.type, column], "IN")
    return coerce(left, kind).sql if not left.is_null else null_of(kind)


def _logic(word: str) -> Callable[[Expressions, Any, Scope], Typed]:
    def rule(self: Expressions, node: Any, scope: Scope) -> Typed:
        parts, todo = [], [node]
        while todo:
            each = todo.pop()
            if type(each) is type(node):
                todo.extend([each.expression, each.this])
            else:
                parts.append(self.condition(each, scope))
        return Typed(f"({f' {word} '.join(parts)})", BOOLEAN)

    return rule


def _not(self: Expressions, node: Any, scope: Scope) -> Typed:
    return Typed(f"(NOT {self.condition(node.this, scope)})", BOOLEAN)


def _neg(self: Expressions, node: Any, scope: Scope) -> Typed:
    inner = node.this
    if isinstance(inner, exp.Literal) and not inner.is_string and inner.this in {"9223372036854775808", "2147483648"}:
        value = -int(inner.this)
        kind = BIGINT if value < -(2**31) else INTEGER
        return Typed(f"CAST('{value}' AS {duckdb_type(kind)})", kind, value)
    return operators.negative(self.give(inner, scope))


def _is(self: Expressions, node: Any, scope: Scope) -> Typed:
    value, what = self.give(node.this, scope), node.expression
    if isinstance(what, exp.Null):
        return Typed(f"({_held(value)} IS NULL)", BOOLEAN)
    if isinstance(what, exp.Boolean):
        return Typed(f"({value.sql} IS NOT DISTINCT FROM {'true' if what.this else 'false'})", BOOLEAN)
    if isinstance(what, (exp.Column, exp.Var)) and what.name.upper() == "UNKNOWN":
        return Typed(f"({value.sql} IS NULL)", BOOLEAN)
    raise Unsupported(f"{told(node)} is not known here. Compare with IS NULL or IS DISTINCT FROM.")


def _held(value: Typed) -> str:
    return "1" if isinstance(value.const, Moment) else value.sql


def _distinct_from(*, negated: bool) -> Callable[[Expressions, Any, Scope], Typed]:
    def rule(self: Expressions, node: Any, scope: Scope) -> Typed:
        return operators.distinct(self.give(node.this, scope), self.give(node.expression, scope), negated=negated)

    return rule


def _between(self: Expressions, node: Any, scope: Scope) -> Typed:
    if node.args.get("symmetric"):
        value, a, b = self.all([node.this, node.args["low"], node.args["high"]], scope)
        ways = [operators.compare(s, value, bound).sql for s, bound in ((">=", a), ("<=", b), (">=", b), ("<=", a))]
        return Typed(f"(({ways[0]} AND {ways[1]}) OR ({ways[2]} AND {ways[3]}))", BOOLEAN)
    value = self.give(node.this, scope)
    low = operators.compare(">=", value, self.give(node.args["low"], scope))
    high = operators.compare("<=", value, self.give(node.args["high"], scope))
    return Typed(f"({low.sql} AND {high.sql})", BOOLEAN)


def _in(self: Expressions, node: Any, scope: Scope) -> Typed:
    only(node, "this", "expressions", "query")
    value = self.give(node.this, scope)
    query = node.args.get("query")
    if query is None and len(node.expressions) == 1 and isinstance(node.expressions[0], (exp.Values, exp.Query)):
        query = node.expressions[0]
    if query is not None:
        if value.type.name in {"row", "array", "char"}:
            return self.queries.member("=", "ANY", value, query, scope)
        sql, column = self.queries.single(query, scope, "IN")
        _need_scalar(value.type, column, "IN (SELECT …)")
        return Typed(f"({_beside(value, column)} IN ({sql}))", BOOLEAN)
    items = self.all(node.expressions, scope)
    kind = common_of([value.type, *(item.type for item in items)], "IN")
    if (
        kind.name in {"array", "map", "row", "json", "char"}
        or any(isinstance(v.const, Moment) for v in (value, *items))
        or value.type.is_float
    ):
        each = [operators.compare("=", value, item).sql for item in items]
        return Typed(f"({' OR '.join(each)})", BOOLEAN)
    return Typed(f"({_beside(value, kind)} IN ({', '.join(coerce(item, kind).sql for item in items)}))", BOOLEAN)


def _like(self: Expressions, node: Any, scope: Scope) -> Typed:
    return _negated(node, _matched(self.give(node.this, scope), self.give(node.expression, scope), ""))


def _negated(node: Any, value: Typed) -> Typed:
    return Typed(f"(NOT {value.sql})", BOOLEAN) if node.args.get("negate") else value


def _escape(self: Expressions, node: Any, scope: Scope) -> Typed:
    if not isinstance(node.this, exp.Like):
        raise Unsupported(f"{told(node)} is not known here. Use LIKE … ESCAPE.")
    mark = self.give(node.expression, scope)
    if mark.text is None or len(mark.text) != 1:
        raise Unsupported("ESCAPE takes one constant character here. Write it as such.")
    only(node.this, "this", "expression", "negate")
    pattern = self.give(node.this.expression, scope)
    return _negated(node.this, _matched(self.give(node.this.this, scope), pattern, f" ESCAPE {mark.sql}"))


def _matched(value: Typed, pattern: Typed, escape: str) -> Typed:
    if (not value.type.is_text and value.type.is_known) or (not pattern.type.is_text and pattern.type.is_known):
        raise Unsupported(f"Athena matches texts with LIKE, not {value.type}. CAST it to varchar.")
    if value.is_null or pattern.is_null:
        return Typed("CAST(NULL AS BOOLEAN)", BOOLEAN)
    return Typed(f"({value.sql} LIKE {pattern.sql}{escape})", BOOLEAN)


def _pipes(self: Expressions, node: Any, scope: Scope) -> Typed:
    return operators.concatenate(self.give(node.this, scope), self.give(node.expression, scope))


def _at_time_zone(self: Expressions, node: Any, scope: Scope) -> Typed:
    value, zone = self.give(node.this, scope), self.give(node.args["zone"], scope)
    if zone.type == INTERVAL:
        constant = zone.const if isinstance(zone.const, tuple) else None
        if constant is None:
            raise Unsupported("The zone after AT TIME ZONE is no constant. Write its name.")
        minutes = constant[1] // 60000
        name: str | None = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
    else:
        name = moments.zone_named(zone.text) if zone.text is not None else None
    if name is None:
        raise Unsupported(
            f"AT TIME ZONE takes the name of a zone here, and {zone.sql} is none. Write it as a constant, e.g. 'Europe/Warsaw'."
        )
    return at_named_zone(value, name)


def at_named_zone(value: Typed, name: str) -> Typed:
    """Return the same instant, seen in another zone."""
    kind = value.type
    if isinstance(value.const, Moment) and value.const.kind in {"timestamptz", "timetz", "timestamp"}:
        return moment(moments.in_zone(value.const, name))
    if kind.name == "timestamptz":
        return Typed(value.sql, timestamptz(kind.args[0], name))
    if kind.name == "timestamp":
        return Typed(f"timezone('UTC', {value.sql})", timestamptz(kind.args[0], name))
    raise Unsupported(f"AT TIME ZONE of {kind} is not given here. CAST it to timestamp.")


# --- CASE, CAST, calls --------------------------------------------------------------------------------------------


def _case(self: Expressions, node: Any, scope: Scope) -> Typed:
    only(node, "this", "ifs", "default")
    subject = self.give(node.this, scope) if node.args.get("this") else None
    tests, values = [], []
    for branch in node.args["ifs"]:
        if subject is None or branch.meta.get("is_whole"):
            tests.append(self.condition(branch.this, scope))
        else:
            tests.append(operators.compare("=", subject, self.give(branch.this, scope)).sql)
        values.append(self.give(branch.args["true"], scope))
    values.append(self.give(node.args["default"], scope) if node.args.get("default") else NULL)
    return cases(tests, values)


def cases(tests: Sequence[str], values: Sequence[Typed]) -> Typed:
    """Return CASE of conditions and as many values, and one more for the rest."""
    kind = common_of([value.type for value in values], "CASE")
    shown = [coerce(value, kind).sql for value in values]
    arms = " ".join(f"WHEN {test} THEN {value}" for test, value in zip(tests, shown, strict=False))
    made = f"CASE {arms} ELSE {shown[-1]} END"
    exact = kind.is_number and any(value.type != kind for value in values)
    return Typed(f"CAST({made} AS {duckdb_type(kind)})" if exact else f"({made})", kind)


def _if(self: Expressions, node: Any, scope: Scope) -> Typed:
    only(node, "this", "true", "false")
    values = [
        self.give(node.args["true"], scope),
        self.give(node.args["false"], scope) if node.args.get("false") else NULL,
    ]
    return cases([self.condition(node.this, scope)], values)


def _cast(self: Expressions, node: Any, scope: Scope) -> Typed:
    if node.args.get("action") == "literal" or (
        isinstance(node.args.get("action"), str) and node.args["action"] == "literal"
    ):
        return _typed_literal(self, node, scope)
    only(node, "this", "to", "safe")
    if node.to.this.name in {"IPADDRESS", "IPPREFIX"}:
        return self.queries.ip_cast(self.give(node.this, scope), node.to.this.name.lower())
    is_safe = isinstance(node, exp.TryCast)
    made = cast(self.give(node.this, scope), type_of(node.to), safe=is_safe)
    if is_safe and made.sql.startswith("TRY(") and self.queries.holds_aggregate(node.this):
        raise Unsupported("TRY_CAST around an aggregate is not given here. Compute the aggregate in a WITH before.")
    return made


def _call(self: Expressions, node: Any, scope: Scope) -> Typed:
    only(node, "this", "expressions")
    return self.queries.call(node.this, node.expressions, scope)


def _extract(self: Expressions, node: Any, scope: Scope) -> Typed:
    only(node, "this", "expression")
    return self.queries.call(node.this.name.lower(), [node.expression], scope)


def _trim(self: Expressions, node: Any, scope: Scope) -> Typed:
    only(node, "this", "expression", "position")
    name = {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(str(node.args.get("position") or "").upper(), "trim")
    return self.queries.call(name, [node.this, *([node.expression] if node.expression else [])], scope)


def _position(self: Expressions, node: Any, scope: Scope) -> Typed:
    only(node, "this", "substr")
    return self.queries.call("strpos", [node.this, node.args["substr"]], scope)


def _subquery(self: Expressions, node: Any, scope: Scope) -> Typed:
    if not isinstance(node.this, exp.Query):
        return self.give(node.this, scope)
    sql, column = self.queries.single(node, scope, "A subquery")
    return Typed(f"({sql})", column)


def _exists(self: Expressions, node: Any, scope: Scope) -> Typed:
    sql, _ = self.queries.give(node.this, scope)
    return Typed(f"(EXISTS ({sql}))", BOOLEAN)


def _overlaps(self: Expressions, node: Any, scope: Scope) -> Typed:
    """Give whether two spans of time share an instant; NULL if an end is NULL."""
    sides = [node.this, node.expression]
    if not all(isinstance(side, exp.Tuple) and len(side.expressions) == 2 for side in sides):
        raise Unsupported(f"{told(node)} is not known here. Write (from, to) OVERLAPS (from, to).")
    values = [self.give(e, scope) for side in sides for e in side.expressions]
    kind = common_of([v.type for v in values], "OVERLAPS")
    if kind.name not in {"date", "timestamp", "time", "timestamptz"}:
        raise Unsupported(f"OVERLAPS of {kind} is not given here. Use dates or timestamps.")

    def body(a: str, b: str, c: str, d: str) -> str:
        null = " OR ".join(f"{x} IS NULL" for x in (a, b, c, d))
        return f"CASE WHEN {null} THEN NULL ELSE (least({a}, {b}) < greatest({c}, {d}) AND least({c}, {d}) < greatest({a}, {b})) OR least({a}, {b}) = least({c}, {d}) END"

    return Typed(let([coerce(v, kind) for v in values], body), BOOLEAN)


def _session(what: str) -> Callable[[Expressions, Any, Scope], Typed]:
    def rule(_: Expressions, __: Any, ___: Scope) -> Typed:
        return {
            "date": Typed("CAST(timezone('UTC', now()) AS DATE)", DATE),
            "timestamp": Typed("now()", timestamptz(3, "UTC")),
            "localtimestamp": Typed("date_trunc('millisecond', timezone('UTC', now()))", timestamp(3)),
            "localtime": Typed("CAST(date_trunc('millisecond', timezone('UTC', now())) AS TIME)", Type("time", (3,))),
        }[what]

    return rule


def _aggregate(self: Expressions, node: Any, scope: Scope) -> Typed:
    return self.queries.aggregate(node, scope)


RULES: Final[dict[type, Callable[[Expressions, Any, Scope], Typed]]] = {
    exp.Literal: _literal, exp.Null: _null, exp.Boolean: _boolean, exp.HexString: _hex, exp.UnicodeString: _unicode,
    exp.Interval: _interval, exp.Column: _column, exp.Identifier: _identifier, exp.Dot: _dot, exp.Array: _array,
    exp.Tuple: _tuple, exp.Bracket: _bracket, exp.Paren: _paren, exp.And: _logic("AND"), exp.Or: _logic("OR"), exp.Not: _not,
    exp.Neg: _neg, exp.Is: _is, exp.NullSafeNEQ: _distinct_from(negated=False), exp.NullSafeEQ: _distinct_from(negated=True),
    exp.Between: _between, exp.In: _in, exp.Like: _like, exp.Escape: _escape, exp.DPipe: _pipes, exp.AtTimeZone: _at_time_zone,
    exp.Case: _case, exp.If: _if, exp.Cast: _cast, exp.TryCast: _cast, exp.Anonymous: _call, exp.Extract: _extract,
    exp.Trim: _trim, exp.StrPosition: _position, exp.Subquery: _subquery, exp.Select: _subquery, exp.Exists: _exists,
    exp.Overlaps: _overlaps, exp.CurrentDate: _session("date"), exp.CurrentTimestamp: _session("timestamp"), exp.Localtimestamp: _session("localtimestamp"),
    exp.Localtime: _session("localtime"), exp.Filter: _aggregate, exp.Window: _aggregate, exp.WithinGroup: _aggregate,
    **dict.fromkeys(COMPARISONS, _compare), **dict.fromkeys(ARITHMETIC, _arithmetic),
}  # fmt: skip

TAKEN: Final[dict[type, tuple[str, ...]]] = {
    exp.Literal: ("this", "is_string"), exp.Interval: ("this", "unit"), exp.Column: ("this", "table", "db", "catalog"),
    exp.Identifier: ("this", "quoted"), exp.UnicodeString: ("this", "escape"), exp.Like: ("this", "expression", "negate"),
    exp.Between: ("this", "low", "high", "symmetric"), exp.In: ("this", "expressions", "query"), exp.AtTimeZone: ("this", "zone"),
    exp.Case: ("this", "ifs", "default"), exp.If: ("this", "true", "false"), exp.Cast: ("this", "to", "action"),
    exp.TryCast: ("this", "to", "safe", "action"), exp.Array: ("expressions", "value_constructor"),
    exp.Trim: ("this", "expression", "position"), exp.StrPosition: ("this", "substr"),
    exp.HexString: ("this", "is_integer"),
    **dict.fromkeys((exp.Subquery, exp.Select, exp.Window, exp.Filter, exp.WithinGroup, exp.JSONObject, exp.JSONArray), (
        "this", "expressions", "expression", "with_", "from_", "joins", "where", "group", "having", "windows", "order", "limit", "offset",
        "distinct", "laterals", "partition_by", "spec", "alias", "over", "first", "null_handling", "unique_keys", "return_type", "encoding",
    )),
}  # fmt: skip
