"""Athena's prepared statements: PREPARE, EXECUTE … USING and DEALLOCATE, as statements with values put in.

What belongs here: reading these statements, and a statement with its parameters filled. What does not: where prepared
statements are kept (`views.prepared`), and what the filled statement means (`translation`).

The values are put in as they are written, each with the type it is written with, which is what Trino does with them.
Sources: https://docs.aws.amazon.com/athena/latest/ug/querying-with-prepared-statements.html and
https://trino.io/docs/current/sql/execute.html
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlglot import exp
from sqlglot.tokens import TokenType  # type: ignore[attr-defined]

from dagster_project.dialects.parsing import parse, tokens_of
from dagster_project.errors import Unsupported

NAME: Final = r"[A-Za-z_][A-Za-z0-9_@:]{0,255}"
_PREPARE: Final = re.compile(rf"PREPARE\s+(?P<name>{NAME})\s+FROM\s+(?P<statement>.+)", re.IGNORECASE | re.DOTALL)
_IMMEDIATE: Final = re.compile(
    r"EXECUTE\s+IMMEDIATE\s+'(?P<statement>(?:[^']|'')*)'(?:\s+USING\s+(?P<values>.+))?", re.IGNORECASE | re.DOTALL
)
_EXECUTE: Final = re.compile(rf"EXECUTE\s+(?P<name>{NAME})(?:\s+USING\s+(?P<values>.+))?", re.IGNORECASE | re.DOTALL)
_DEALLOCATE: Final = re.compile(rf"DEALLOCATE\s+PREPARE\s+(?P<name>{NAME})", re.IGNORECASE)
_MAY_BE: Final = re.compile(r"[\s(]*(?:SELECT|WITH|VALUES|TABLE|UNLOAD)\b", re.IGNORECASE)
_TYPED: Final = {"DATE", "TIME", "TIMESTAMP", "INTERVAL", "DECIMAL", "X"}
_SIGNS: Final = {TokenType.L_PAREN: 1, TokenType.L_BRACKET: 1, TokenType.R_PAREN: -1, TokenType.R_BRACKET: -1}


@dataclass(frozen=True, slots=True)
class Prepare:
    """Keep a statement under a name, in place of one that had it."""

    name: str
    statement: str


@dataclass(frozen=True, slots=True)
class Execute:
    """Run the statement of a name, or one that is given, with these values for its parameters."""

    name: str | None
    statement: str | None
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Deallocate:
    """Forget the statement of a name."""

    name: str


def read_prepared(sql: str) -> Prepare | Execute | Deallocate | None:
    """Return what one of these statements says; None for any other statement.

    Raises `Unsupported` for one that is written otherwise, and for PREPARE of what is not run here.

    >>> read_prepared("EXECUTE top USING 10, 'a, b'")
    Execute(name='top', statement=None, values=('10', "'a, b'"))
    """
    text = sql.strip().rstrip("; \t\r\n")
    word = text.partition(" ")[0].split("\n")[0].upper()
    if word not in {"PREPARE", "EXECUTE", "DEALLOCATE"}:
        return None
    if found := _PREPARE.fullmatch(text):
        return _prepare(found["name"], found["statement"].strip())
    if found := _DEALLOCATE.fullmatch(text):
        return Deallocate(found["name"])
    if found := _IMMEDIATE.fullmatch(text):
        return Execute(None, found["statement"].replace("''", "'"), _values(found["values"]))
    if found := _EXECUTE.fullmatch(text):
        return Execute(found["name"], None, _values(found["values"]))
    raise Unsupported(
        f"{text[:40]} is not read here. Write PREPARE name FROM statement, EXECUTE name USING value, … or "
        "DEALLOCATE PREPARE name; a name has letters, digits and underscores."
    )


def _prepare(name: str, statement: str) -> Prepare:
    if not _MAY_BE.match(statement):
        raise Unsupported(
            f"PREPARE of {statement.split(maxsplit=1)[0].upper()} is not given here, where nothing is written. "
            "Prepare a SELECT or an UNLOAD."
        )
    if statement[:6].upper() != "UNLOAD":
        parse(statement, "athena")
    return Prepare(name, statement)


def _values(written: str | None) -> tuple[str, ...]:
    """Return the values of USING, each a constant expression as it is written."""
    if written is None:
        return ()
    values, start, depth = [], 0, 0
    for token in tokens_of(written, "athena"):
        depth += _SIGNS.get(token.token_type, 0)
        if token.token_type == TokenType.COMMA and not depth:
            values.append(written[start : token.start].strip())
            start = token.end + 1
    values.append(written[start:].strip())
    for value in values:
        _refuse_unless_constant(value)
    return tuple(values)


def _refuse_unless_constant(value: str) -> None:
    tree: Any = parse(f"SELECT {value}", "athena") if value else exp.Select()
    shown = tree.expressions if isinstance(tree, exp.Select) else []
    if len(shown) != 1 or isinstance(shown[0], exp.Alias | exp.Star) or tree.args.get("from_"):
        raise Unsupported(f"{value or 'Nothing'} is no value. Write USING value, value, … with one for each ?.")
    if (column := shown[0].find(exp.Column)) is not None:
        raise Unsupported(f"USING takes constants, and {column.sql()} is a name. Put a text in single quotes.")


def filled(statement: str, values: Sequence[str]) -> str:
    """Return a statement with each `?` replaced by its value. Raises `Unsupported` if there are more or fewer values.

    >>> filled("SELECT '?', x FROM t WHERE y = ? LIMIT ?", ["-1", "10"])
    "SELECT '?', x FROM t WHERE y = (-1) LIMIT 10"
    """
    tokens = tokens_of(statement, "athena")
    places = [i for i, token in enumerate(tokens) if token.token_type == TokenType.PLACEHOLDER]
    if len(places) != len(values):
        raise Unsupported(
            f"The statement has {len(places)} parameters, and USING gives {len(values)} values. Give one for each ?."
        )
    made, end = [], 0
    for place, value in zip(places, values, strict=True):
        before = tokens[place - 1].text.upper() if place else ""
        if before in _TYPED:
            raise Unsupported(f"{before} ? is no parameter. Write CAST(? AS {before}), or put {before} into the value.")
        made += [statement[end : tokens[place].start], _one(value)]
        end = tokens[place].end + 1
    return "".join([*made, statement[end:]])


def _one(value: str) -> str:
    """Return a value that stays whole wherever it stands: a number or a text as it is, all else in brackets."""
    tokens: list[Any] = tokens_of(value, "athena")
    is_plain = len(tokens) == 1 and tokens[0].token_type in {TokenType.NUMBER, TokenType.STRING}
    return value if is_plain else f"({value})"
