"""What a function's rule is given: its arguments, as nodes and as values.

What belongs here: reading arguments, and the tables that rules enter themselves into. What does not: any function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from sqlglot import exp

from dagster_project.dialects.casts import coerce
from dagster_project.dialects.scopes import Scope
from dagster_project.dialects.typed import NULL, Typed
from dagster_project.dialects.types import BIGINT, DOUBLE, INTEGERS, UNKNOWN, VARBINARY, VARCHAR, Type, quoted
from dagster_project.errors import Unsupported

if TYPE_CHECKING:
    from dagster_project.dialects.queries import Queries

Rule = Callable[["Call"], Typed]
AggregateRule = Callable[["Aggregate"], Typed]
FunctionRule = tuple[Rule, int, int]
"""A rule, and how few and how many arguments it takes."""
MANY: Final = 10_000


class Call:
    """A call of a function: `nodes` are its arguments as read, `values` what they are."""

    def __init__(self, name: str, nodes: list[Any], scope: Scope, queries: Queries) -> None:
        self.name = name
        self.nodes = nodes
        self.scope = scope
        self.queries = queries

    @cached_property
    def values(self) -> list[Typed]:
        """All arguments."""
        return self.queries.expressions.all(self.nodes, self.scope)

    def __len__(self) -> int:
        """How many arguments there are."""
        return len(self.nodes)

    def value(self, index: int) -> Typed:
        """One argument, without reading the others: they may be lambdas."""
        return self.queries.expressions.give(self.nodes[index], self.scope)

    def refuse(self, what: str, way_out: str) -> Unsupported:
        """Return the refusal of this call."""
        return Unsupported(f"{self.name}() {what}. {way_out}")

    def text(self, index: int) -> Typed:
        """An argument that is a text."""
        value = self.values[index]
        if value.type == UNKNOWN:
            return Typed("CAST(NULL AS VARCHAR)", VARCHAR)
        if value.type.name == "any":
            return value
        if not value.type.is_text:
            raise self.refuse(f"takes a text, not {value.type}", "CAST it to varchar.")
        return coerce(value, VARCHAR) if value.type.name == "char" else value

    def padded(self, index: int) -> Typed:
        """An argument that is a text, and a char with its blanks."""
        value = self.values[index]
        return Typed(value.sql, VARCHAR, value.const) if value.type.name == "char" else self.text(index)

    def constant(self, index: int) -> str:
        """An argument that is a constant text."""
        found = self.values[index].text
        if found is None:
            raise self.refuse(f"takes a constant text as argument {index + 1} here", "Write it out.")
        return found

    def integer(self, index: int) -> Typed:
        """An argument that is a whole number."""
        value = self.values[index]
        if value.type == UNKNOWN:
            return Typed("CAST(NULL AS BIGINT)", BIGINT)
        if value.type.name not in {*INTEGERS, "any"}:
            raise self.refuse(f"takes a whole number, not {value.type}", "CAST it to bigint.")
        return value

    def double(self, index: int) -> Typed:
        """An argument as a double."""
        value = self.values[index]
        if not value.type.is_number and value.type != UNKNOWN:
            raise self.refuse(f"takes a number, not {value.type}", "CAST it to double.")
        return coerce(value, DOUBLE)

    def array(self, index: int) -> Typed:
        """An argument that is an array."""
        return self._of(index, "array")

    def map(self, index: int) -> Typed:
        """An argument that is a map."""
        return self._of(index, "map")

    def _of(self, index: int, name: str) -> Typed:
        value = self.value(index)
        if value.type == UNKNOWN:
            kind = Type("array", (UNKNOWN,)) if name == "array" else Type("map", (UNKNOWN, UNKNOWN))
            return Typed("CAST(NULL AS INTEGER[])" if name == "array" else "CAST(NULL AS MAP(INTEGER, INTEGER))", kind)
        if value.type.name != name:
            told = value.type if value.type.is_known else "a column of a type nobody told of"
            raise self.refuse(f"takes {'an array' if name == 'array' else 'a map'}, not {told}", "CAST it.")
        return value

    def bytes(self, index: int) -> Typed:
        """An argument that is varbinary."""
        value = self.values[index]
        if value.type not in (VARBINARY, UNKNOWN):
            raise self.refuse(f"takes varbinary, not {value.type}", "Use to_utf8() for a text.")
        return value if value.type == VARBINARY else Typed("CAST(NULL AS BLOB)", VARBINARY)

    def lambda_of(self, index: int, kinds: Sequence[Type]) -> tuple[list[str], Typed]:
        """A lambda whose parameters have these types: their names in DuckDB, and its body."""
        node = self.nodes[index]
        if not isinstance(node, exp.Lambda):
            raise self.refuse(f"takes a lambda as argument {index + 1}", "Write it as x -> ….")
        if len(node.expressions) != len(kinds):
            raise self.refuse(f"takes a lambda of {len(kinds)} parameters", "Mend its parameters.")
        names = [f"l_{p.name.lower()}" for p in node.expressions]
        held = {
            p.name.lower(): NULL if kind == UNKNOWN else Typed(quoted(n), kind)
            for p, n, kind in zip(node.expressions, names, kinds, strict=True)
        }
        body = self.queries.expressions.give(node.this, Scope(parent=self.scope, parameters=held))
        return [quoted(n) for n in names], body

    def lambda_sql(self, index: int, kinds: Sequence[Type]) -> tuple[str, Type]:
        """A lambda in DuckDB's words, and the type of what it gives."""
        names, body = self.lambda_of(index, kinds)
        return f"lambda {', '.join(names)}: {body.sql}", body.type


class Aggregate(Call):
    """A call of an aggregate or window function, with what stands around it."""

    def __init__(
        self,
        name: str,
        nodes: list[Any],
        scope: Scope,
        queries: Queries,
        *,
        over: Any = None,
        where: Any = None,
        within: Any = None,
        ignores_nulls: bool = False,
    ) -> None:
        self.is_distinct = False
        self.order_node: Any = within
        self.over_node, self.where, self.ignores_nulls = over, where, ignores_nulls
        nodes = [self._unwrapped(node) for node in nodes]
        nodes = [each for node in nodes for each in (node if isinstance(node, list) else [node])]
        super().__init__(name, nodes, scope, queries)

    def _unwrapped(self, node: Any) -> Any:
        if isinstance(node, exp.IgnoreNulls):
            self.ignores_nulls = True
            return self._unwrapped(node.this)
        if isinstance(node, exp.Order):
            self.order_node = node
            return self._unwrapped(node.this)
        if isinstance(node, exp.Distinct):
            self.is_distinct = True
            return [self._unwrapped(each) for each in node.expressions]
        return node

    @cached_property
    def order(self) -> str:
        """ORDER BY inside of the brackets, or nothing."""
        return self.queries.order(self.order_node, self.scope, {}) if self.order_node is not None else ""

    def make(
        self,
        function: str,
        *arguments: str,
        order: str | None = None,
        where: str | None = None,
        distinct: bool | None = None,
    ) -> str:
        """Return the call of a DuckDB aggregate with DISTINCT, ORDER BY, FILTER and OVER as they were written."""
        is_distinct = self.is_distinct if distinct is None else distinct
        inside = ("DISTINCT " if is_distinct else "") + ", ".join(arguments)
        ordered = self.order if order is None else order
        nulls = " IGNORE NULLS" if self.ignores_nulls else ""
        made = f"{function}({inside}{' ' + ordered if ordered else ''}{nulls})"
        tests = [self.queries.expressions.condition(self.where, self.scope)] if self.where is not None else []
        tests += [where] if where else []
        if tests:
            made += f" FILTER (WHERE {' AND '.join(tests)})"
        if self.over_node is not None:
            made += f" {self.queries.over(self.over_node, self.scope)}"
        return made

    def takes(self, least: int, most: int) -> None:
        """Raise `Unsupported` if the number of arguments is another."""
        if not least <= len(self.nodes) <= most:
            raise self.refuse(f"takes {least} to {most} arguments, not {len(self.nodes)}", "Mend the call.")

    def no_order(self) -> None:
        """Raise `Unsupported` if an order is told, where it would be lost."""
        if self.order_node is not None:
            raise self.refuse("with ORDER BY is not known here", "Leave the order out.")


KINDS: Final = {"T": "text", "I": "integer", "D": "double", "A": "array", "M": "map", "B": "bytes", "P": "padded"}


class Rules:
    """The functions and aggregates of one dialect, and the decorators with which rules enter themselves."""

    def __init__(self, functions: Mapping[str, FunctionRule], aggregates: Mapping[str, AggregateRule]) -> None:
        self.functions = dict(functions)
        self.aggregates = dict(aggregates)

    def function(self, *names: str, args: int | tuple[int, int] = 1) -> Callable[[Rule], Rule]:
        """Enter a rule under the function's names; `args` is how many arguments it takes."""
        least, most = (args, args) if isinstance(args, int) else args

        def enter(rule: Rule) -> Rule:
            self.functions.update(dict.fromkeys(names, (rule, least, most)))
            return rule

        return enter

    def aggregate(self, *names: str) -> Callable[[AggregateRule], AggregateRule]:
        """Enter a rule for an aggregate or window function."""

        def enter(rule: AggregateRule) -> AggregateRule:
            self.aggregates.update(dict.fromkeys(names, rule))
            return rule

        return enter

    def simple(self, names: str, takes: str, made: str, gives: Type) -> None:
        """Enter functions that are one expression of DuckDB: `takes` has a letter per argument (`KINDS`, X for anything)."""

        @self.function(*names.split(), args=len(takes))
        def rule(call: Call) -> Typed:
            """Give what DuckDB's function of that meaning gives."""
            values = [call.values[i] if kind == "X" else getattr(call, KINDS[kind])(i) for i, kind in enumerate(takes)]
            return Typed(made.format(*(v.sql for v in values)), gives)


ATHENA: Final = Rules({}, {})
FUNCTIONS: Final = ATHENA.functions
AGGREGATES: Final = ATHENA.aggregates
function, aggregate, simple = ATHENA.function, ATHENA.aggregate, ATHENA.simple
