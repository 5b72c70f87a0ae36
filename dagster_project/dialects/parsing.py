"""Reading the dialects: sqlglot's parsers, told not to rename functions, shift indices or forget what was a literal.

What belongs here: the text to a tree. What does not: what anything in the tree means (`expressions`, `queries`).
"""

from __future__ import annotations

import re
from typing import Any, ClassVar, Final

from sqlglot import exp
from sqlglot.dialects.redshift import Redshift
from sqlglot.dialects.trino import Trino
from sqlglot.errors import ErrorLevel, SqlglotError
from sqlglot.tokens import TokenType  # type: ignore[attr-defined]

from dagster_project.dialects.syntax import TrinoSyntax
from dagster_project.errors import Unsupported

TRINO: Any = Trino.Parser
REDSHIFT: Any = Redshift.Parser
KEPT = ("CAST", "TRY_CAST", "EXTRACT", "TRIM", "POSITION", "JSON_OBJECT")


class Marks:
    """What both parsers mark: `DATE '…'` apart from `CAST('…' AS DATE)`, and the type `number`, which is read as decimal."""

    def _parse_type(self: Any, *args: Any, **kwargs: Any) -> Any:
        start = self._curr.text.upper() if self._curr else ""
        made = super()._parse_type(*args, **kwargs)  # type: ignore[misc]
        if start == "NUMBER" and isinstance(made, exp.DataType):
            made.meta["number"] = True
        if isinstance(made, exp.Cast) and start not in {"CAST", "TRY_CAST", "("} and isinstance(made.this, exp.Literal):
            made.set("action", "literal")
        return made

    def _parse_types(self: Any, *args: Any, **kwargs: Any) -> Any:
        start = self._curr.text.upper() if self._curr else ""
        made = super()._parse_types(*args, **kwargs)  # type: ignore[misc]
        if start == "NUMBER" and isinstance(made, exp.DataType):
            made.meta["number"] = True
        return made

    def _parse_json_array(self: Any) -> Any:
        """Read `JSON_ARRAY(value [FORMAT JSON], … [NULL|ABSENT ON NULL] [RETURNING type])`."""
        values = []
        if self._curr and self._curr.token_type != TokenType.R_PAREN:
            values = self._parse_csv(lambda: self._parse_format_json(self._parse_bitwise()))
        nulls = self._parse_on_handling("NULL", "NULL", "ABSENT")
        kind = self._match_text_seq("RETURNING") and self._parse_format_json(self._parse_types())
        return self.expression(exp.JSONArray(expressions=values, null_handling=nulls, return_type=kind or None))

    def _parse_overlay(self: Any) -> Any:
        """Read `OVERLAY(text PLACING text FROM number [FOR number])` as a call."""
        values = [self._parse_bitwise()]
        words = ("PLACING", "FROM", "FOR")
        values += [self._parse_bitwise() for word in words if self._match_text_seq(word)]
        return self.expression(exp.Anonymous(this="overlay", expressions=values))


class AsWritten(Trino):
    """Trino as it is written: functions by their own names, indices as they stand."""

    INDEX_OFFSET = 0

    class Parser(Marks, TrinoSyntax, TRINO):
        """Keeps function calls as they are."""

        FUNCTIONS: ClassVar[dict[str, Any]] = {}
        FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {
            k: v for k, v in Trino.Parser.FUNCTION_PARSERS.items() if k in KEPT
        }
        FUNCTION_PARSERS["JSON_ARRAY"] = lambda self: self._parse_json_array()
        FUNCTION_PARSERS["OVERLAY"] = lambda self: self._parse_overlay()
        FUNCTION_PARSERS["JSON_VALUE"] = lambda self: self._sql_json("VALUE")
        FUNCTION_PARSERS["JSON_QUERY"] = lambda self: self._sql_json("QUERY")
        FUNCTION_PARSERS["JSON_EXISTS"] = lambda self: self._sql_json("EXISTS")
        NO_PAREN_FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {
            k: v for k, v in Trino.Parser.NO_PAREN_FUNCTION_PARSERS.items() if k in {"ANY", "CASE", "IF"}
        }
        TYPE_LITERAL_PARSERS: ClassVar[dict[Any, Any]] = {}


class RedshiftAsWritten(Redshift):
    """Redshift as it is written."""

    INDEX_OFFSET = 0

    class Parser(Marks, REDSHIFT):
        """Keeps function calls as they are."""

        FUNCTIONS: ClassVar[dict[str, Any]] = {}
        FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {
            k: v
            for k, v in Redshift.Parser.FUNCTION_PARSERS.items()
            if k in {"CAST", "TRY_CAST", "EXTRACT", "TRIM", "POSITION"}
        }
        NO_PAREN_FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {
            k: v for k, v in Redshift.Parser.NO_PAREN_FUNCTION_PARSERS.items() if k in {"ANY", "CASE", "IF"}
        }
        TYPE_LITERAL_PARSERS: ClassVar[dict[Any, Any]] = {}


def parse(sql: str, dialect: str) -> Any:
    """Return the tree of one statement. Raises `Unsupported` for none, several, and what does not parse."""
    try:
        reader = _READERS[dialect]
        tokens = reader.tokenize(sql)
        if dialect == "athena":
            tokens = _without_owners(_whole_numbers(tokens, sql))
        if not tokens:
            raise Unsupported("There is no statement. Write one, such as SELECT 1.")
        trees = [t for t in reader.parser(error_level=ErrorLevel.IMMEDIATE).parse(tokens, sql) if t is not None]
    except SqlglotError as error:
        first = str(error).splitlines()[0]
        raise Unsupported(
            f"The statement is not read here: {_plain(first)} Check its spelling, or write it in other words."
        ) from error
    except RecursionError as error:
        raise Unsupported("The statement is nested too deep to be read here. Break it into steps with WITH.") from error
    if len(trees) != 1:
        raise Unsupported(f"There are {len(trees)} statements. Give one at a time.")
    return trees[0]


def tokens_of(sql: str, dialect: str) -> list[Any]:
    """Return the words and signs of a statement. Raises `Unsupported` for a text or name that does not end."""
    try:
        return list(_READERS[dialect].tokenize(sql))
    except SqlglotError as error:
        raise Unsupported(
            f"The statement is not read here: {_plain(str(error).splitlines()[0])} Check its quotes."
        ) from error


NUMBER: Final = re.compile(
    r"0[xX](?P<x>[0-9a-fA-F]+(?:_[0-9a-fA-F]+)*)|0[oO](?P<o>[0-7]+(?:_[0-7]+)*)|0[bB](?P<b>[01]+(?:_[01]+)*)"
    r"|\d+(?:_\d+)*(?:\.(?:\d+(?:_\d+)*)?)?(?:[eE][+-]?\d+)?"
)


def _whole_numbers(tokens: Any, sql: str) -> list[Any]:
    """Return tokens with `1_000`, `0xFF`, `0o17` and `0b101` as the numbers they are. Raises `Unsupported` for `1a`."""
    kept: list[Any] = []
    for each in tokens:
        token = each
        if kept and token.start <= kept[-1].end:
            continue  # it is a part of the number before it
        is_number = token.token_type == TokenType.NUMBER or (
            token.token_type == TokenType.HEX_STRING and sql[token.start] == "0"
        )
        found = NUMBER.match(sql, token.start) if is_number and sql[token.start].isdigit() else None
        if found is not None and found.end() > token.end:
            if sql[found.end() : found.end() + 1].isidentifier():
                raise Unsupported(f"{sql[token.start : found.end() + 1]} is no number. Put a blank behind the digits.")
            base = {"x": 16, "o": 8, "b": 2}.get(found.lastgroup or "")
            bare = found[0].replace("_", "")
            shown = str(int(found[found.lastgroup].replace("_", ""), base)) if base and found.lastgroup else bare
            token = type(token)(TokenType.NUMBER, shown, token.line, token.col, token.start, found.end() - 1)
        kept.append(token)
    return kept


def _without_owners(tokens: Any) -> list[Any]:
    """Return tokens with `varchar::chr(65)`, a method called on its type, as `chr(65)`."""
    kept: list[Any] = []
    at = 0
    while at < len(tokens):
        after = tokens[at + 1 : at + 4]
        is_owner = (
            len(after) == 3 and after[0].token_type == TokenType.DCOLON and after[2].token_type == TokenType.L_PAREN
        )
        at += 2 if is_owner else 0
        kept.append(tokens[at])
        at += 1
    return kept


def _plain(message: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", message).strip().rstrip(".") + "."


_READERS = {"athena": AsWritten(), "redshift": RedshiftAsWritten(), "partiql": RedshiftAsWritten()}
