"""An expression of DuckDB with the Trino type of its values: what every rule takes and gives.

What belongs here: the value itself, and the few ways in which every rule writes SQL. What does not: any function.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from dagster_project.dialects.moments import Moment
from dagster_project.dialects.types import BIGINT, BOOLEAN, UNKNOWN, Type, duckdb_type
from dagster_project.errors import Unsupported

SIMPLE: Final = re.compile(
    r"""-?\d+(?:\.\d+)?(?:e-?\d+)?|"[^"]*"(?:\."[^"]*")?|'[^']{0,40}'|\w+|_v\d+\['\w+'\]""", re.IGNORECASE
)
REPEATED: Final = re.compile(r"random\(|uuid\(|SELECT|lambda|CASE|OVER", re.IGNORECASE)
LET: Final = re.compile(r"\b_v(\d+)\b")


class Typed:
    """SQL of DuckDB, the Trino type of what it gives, and its value where that is a constant.

    `const` is a `Moment`, a str, an int, a bool, a `Decimal`; None for everything else. `rows` marks an aggregate.
    """

    __slots__ = ("_sql", "as_number", "const", "type")

    def __init__(self, sql: str | None, kind: Type, const: Any = None) -> None:
        self._sql = sql
        self.type = kind
        self.const = const
        self.as_number: str | None = None
        """SQL of a text whose digits may be others, for who reads it as a number."""

    @property
    def sql(self) -> str:
        """The expression. Raises `Unsupported` for a constant that DuckDB cannot hold."""
        if self._sql is None:
            self._sql = self.const.sql
        return self._sql

    @property
    def is_null(self) -> bool:
        """Whether it is the word NULL."""
        return self._sql == "NULL"

    @property
    def text(self) -> str | None:
        """The text it is, if it is a constant text."""
        return self.const if isinstance(self.const, str) and self.type.is_text else None

    @property
    def integer(self) -> int | None:
        """The integer it is, if it is a constant one."""
        return self.const if type(self.const) is int else None


NULL: Final = Typed("NULL", UNKNOWN)


def moment(value: Moment) -> Typed:
    """Return a constant date or time; it is written when it is asked for."""
    return Typed(None, value.type, value)


def text(value: str) -> Typed:
    """Return a constant text."""
    return Typed(string(value), Type("varchar", (len(value),)), value)


def number(value: int, kind: Type = BIGINT) -> Typed:
    """Return a constant integer."""
    return Typed(str(value) if value >= 0 else f"({value})", kind, value)


def truth(*, value: bool) -> Typed:
    """Return a constant boolean."""
    return Typed("true" if value else "false", BOOLEAN, value)


def string(value: str) -> str:
    """Return a text as an SQL literal; one with a NUL, which no literal holds, is built.

    >>> string("it's")
    "'it''s'"
    """
    if "\0" in value:
        return "(" + " || chr(0) || ".join(string(part) for part in value.split("\0")) + ")"
    return "'" + value.replace("'", "''") + "'"


def fail(message: str, kind: Type) -> str:
    """Return an expression that raises when a row comes to it, in TRY too, which takes nothing volatile such as error()."""
    raised = f"CAST({string(message)} AS INTEGER)"
    return (
        raised
        if kind.name in {"integer", "unknown", "any"}
        else f"CAST({cast_through(raised, kind)} AS {duckdb_type(kind)})"
    )


def cast_through(raised: str, kind: Type) -> str:
    """Return a step between the integer that is never there and types that no integer becomes."""
    return (
        f"CAST({raised} AS VARCHAR)"
        if kind.name not in {"tinyint", "smallint", "bigint", "double", "real", "decimal", "varchar"}
        else raised
    )


def let(values: Sequence[Typed], body: Callable[..., str]) -> str:
    """Return `body` of values that it names more than once: each is computed once, however often it is named.

    >>> let([Typed('random()', UNKNOWN)], lambda x: f"{x} + {x}")
    'list_transform([random()], lambda _v1: _v1 + _v1)[1]'
    """
    named = [value for value in values if not _may_repeat(value.sql)]
    if not named:
        return body(*(value.sql for value in values))
    depth = 1 + max((int(n) for value in values for n in LET.findall(value.sql)), default=0)
    bound = f"_v{depth}"
    if len(named) == 1:
        inner = body(*(bound if value is named[0] else value.sql for value in values))
        return f"list_transform([{named[0].sql}], lambda {bound}: {inner})[1]"
    fields = {id(value): f"x{index}" for index, value in enumerate(named)}
    packed = ", ".join(f"{fields[id(value)]}: {value.sql}" for value in named)
    inner = body(*(f"{bound}['{fields[id(value)]}']" if id(value) in fields else value.sql for value in values))
    return f"list_transform([{{{packed}}}], lambda {bound}: {inner})[1]"


def unless_null(values: Sequence[Typed], body: Callable[..., str]) -> str:
    """Return `body` of values, NULL if one of them is: most functions are so, and DuckDB's sometimes are not.

    >>> unless_null([Typed("a", UNKNOWN), Typed("'x'", UNKNOWN, "x")], lambda x, y: f"f({x}, {y})")
    "CASE WHEN a IS NOT NULL THEN f(a, 'x') END"
    """
    open_ = [i for i, value in enumerate(values) if value.const is None]

    def made(*xs: str) -> str:
        known = " AND ".join(f"{xs[i]} IS NOT NULL" for i in open_)
        return f"CASE WHEN {known} THEN {body(*xs)} END" if known else body(*xs)

    return let(values, made)


def _may_repeat(sql: str) -> bool:
    """Return whether an expression may stand there twice: it is short, always the same, and DuckDB computes it once."""
    return SIMPLE.fullmatch(sql) is not None or (len(sql) <= 60 and REPEATED.search(sql) is None)


def null_of(kind: Type) -> str:
    """Return NULL of a type."""
    return "NULL" if kind.name in {"unknown", "any"} else f"CAST(NULL AS {duckdb_type(kind)})"


def need_type(value: Typed, what: str) -> Type:
    """Return a type that is known. Raises `Unsupported` for a column nobody told of."""
    if value.type.name == "any":
        raise Unsupported(
            f"{what} depends on the type of {value.sql}, which is not known here. Write CAST({value.sql} AS …)."
        )
    return value.type
