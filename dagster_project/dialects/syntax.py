"""What sqlglot does not read of Athena's SQL, read into nodes of our own.

What belongs here: the words of MATCH, UNIQUE (…), CASE … WHEN IN, NEAREST, JSON_VALUE and its kin, JSON_TABLE. What does
not: what they mean (`predicates`, `functions.sql_json`, `json_tables`, `queries`).
Source: https://trino.io/docs/current/sql/select.html, …/functions/{conditional,comparison,json}.html
"""

from __future__ import annotations

from typing import Any, ClassVar

from sqlglot import exp
from sqlglot.tokens import TokenType  # type: ignore[attr-defined]

Node: Any = exp.Expression


class Match(Node):
    """`row MATCH [UNIQUE] [SIMPLE | PARTIAL | FULL] (query)`."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True, "query": True, "mode": True, "unique": False}


class Unique(Node):
    """`UNIQUE (query)`."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True}


class Nearest(Node):
    """`NEAREST (FROM relation [WHERE condition] MATCH comparison)` after FROM or JOIN."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True, "where": False, "match": True, "alias": False}


class SqlJson(Node):
    """`JSON_VALUE`, `JSON_QUERY` or `JSON_EXISTS`, or a column of JSON_TABLE.

    `kind` says which, `empty` and `error` what stands before ON EMPTY and ON ERROR.
    """

    arg_types: ClassVar[dict[str, bool]] = {
        "kind": True, "this": False, "path": False, "passing": False, "returning": False, "wrapper": False, "quotes": False,
        "empty": False, "error": False, "format": False,
    }  # fmt: skip


class JsonTable(Node):
    """`JSON_TABLE(…)`; `columns` are `JsonColumn` and `JsonNested`."""

    arg_types: ClassVar[dict[str, bool]] = {
        "this": True, "path": True, "name": False, "passing": False, "columns": True, "plan": False, "error": False,
        "alias": False,
    }  # fmt: skip


class JsonColumn(Node):
    """A column of JSON_TABLE: what gives it, None for FOR ORDINALITY."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True, "value": False}


class JsonNested(Node):
    """`NESTED PATH … COLUMNS (…)` of JSON_TABLE."""

    arg_types: ClassVar[dict[str, bool]] = {"path": True, "name": False, "columns": True}


COMPARED: dict[Any, Any] = {
    TokenType.EQ: exp.EQ, TokenType.NEQ: exp.NEQ, TokenType.LT: exp.LT, TokenType.LTE: exp.LTE, TokenType.GT: exp.GT,
    TokenType.GTE: exp.GTE,
}  # fmt: skip
SHORTENED = {TokenType.IN, TokenType.BETWEEN, TokenType.LIKE, TokenType.IS}
MODES = ("SIMPLE", "PARTIAL", "FULL")


class TrinoSyntax:
    """Methods of the parser for what Trino has and sqlglot has not."""

    def _ahead(self: Any, *words: str) -> bool:
        """Return whether these words stand next."""
        tokens = self._tokens[self._index : self._index + len(words)]
        return len(tokens) == len(words) and all(
            t.text.upper() == w and t.token_type != TokenType.IDENTIFIER for t, w in zip(tokens, words, strict=True)
        )

    # --- predicates ---------------------------------------------------------------------------------------------------

    def _parse_case(self: Any) -> Any:
        """Read CASE whose WHEN may say the rest of a predicate: `WHEN > 5`, `WHEN NOT IN (1, 2)`, `WHEN MATCH (…)`."""
        start = self._index
        subject = None if self._ahead("WHEN") else self._parse_disjunction()
        if not self._ahead("WHEN"):
            self._retreat(start)
            return super()._parse_case()  # type: ignore[misc]
        branches = []
        while self._match(TokenType.WHEN):
            shortened = self._shortened(subject) if subject is not None else None
            test = shortened or self._parse_disjunction()
            self._match(TokenType.THEN)
            branch = exp.If(this=test, true=self._parse_disjunction())
            branch.meta["is_whole"] = shortened is not None
            branches.append(branch)
        default = self._parse_disjunction() if self._match(TokenType.ELSE) else None
        if not self._match(TokenType.END):
            self.raise_error("Expected END after CASE", self._prev)
        return self.expression(exp.Case(this=subject, ifs=branches, default=default))

    def _shortened(self: Any, subject: Any) -> Any:
        """Return the predicate of a WHEN that leaves its subject out; None if it is a value."""
        kind = COMPARED.get(self._curr.token_type)
        if kind is not None:
            self._advance()
            return self.expression(kind(this=subject.copy(), expression=self._parse_bitwise()))
        negated = self._curr.token_type == TokenType.NOT and self._next and self._next.token_type in SHORTENED
        if negated or self._curr.token_type in SHORTENED:
            return self._parse_range(subject.copy(), parse_is=True)
        return self._match_of(subject.copy()) if self._stands_match() else None

    def _parse_range(self: Any, this: Any = None, parse_is: bool = False) -> Any:  # noqa: FBT001, FBT002
        made = super()._parse_range(this, parse_is)  # type: ignore[misc]
        return self._match_of(made) if made is not None and self._stands_match() else made

    def _stands_match(self: Any) -> bool:
        return self._curr.text in {"MATCH", "match", "Match"} and any(
            self._ahead("MATCH", *unique, *mode, "(")
            for unique in ((), ("UNIQUE",))
            for mode in ((), *((m,) for m in MODES))
        )

    def _match_of(self: Any, value: Any) -> Any:
        self._match_text_seq("MATCH")
        unique = bool(self._match_text_seq("UNIQUE"))
        mode = next((m for m in MODES if self._match_text_seq(m)), "SIMPLE")
        query = self._parse_wrapped(self._parse_select)
        return self.expression(Match(this=value, query=query, mode=mode, unique=unique))

    def _parse_unary(self: Any) -> Any:
        if self._curr.token_type != TokenType.UNIQUE or not self._ahead("UNIQUE", "("):
            return super()._parse_unary()  # type: ignore[misc]
        self._advance()
        return self.expression(Unique(this=self._parse_wrapped(self._parse_select)))

    # --- relations ----------------------------------------------------------------------------------------------------

    def _parse_table(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self._next and self._next.token_type == TokenType.L_PAREN:
            if self._ahead("NEAREST", "(", "FROM"):
                return self._nearest()
            if self._ahead("JSON_TABLE", "("):
                return self._json_table()
        return super()._parse_table(*args, **kwargs)  # type: ignore[misc]

    def _parse_derived_table_values(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self._is_set_of_values():
            return None
        return super()._parse_derived_table_values(*args, **kwargs)  # type: ignore[misc]

    def _is_set_of_values(self: Any) -> bool:
        """Return whether brackets hold VALUES and another query beside it."""
        if not self._ahead("(", "VALUES"):
            return False
        depth = 0
        for token in self._tokens[self._index :]:
            depth += {TokenType.L_PAREN: 1, TokenType.R_PAREN: -1}.get(token.token_type, 0)
            if depth == 0:
                return False
            if depth == 1 and token.token_type in {TokenType.UNION, TokenType.EXCEPT, TokenType.INTERSECT}:
                return True
        return False

    def _nearest(self: Any) -> Any:
        self._advance(3)
        relation = super()._parse_table()  # type: ignore[misc]
        if relation.alias.upper() == "MATCH" and not self._ahead("MATCH") and not self._ahead("WHERE"):
            relation.set("alias", None)
            self._retreat(self._index - 1)
        where = self._parse_disjunction() if self._match(TokenType.WHERE) else None
        if not self._match_text_seq("MATCH"):
            self.raise_error("Expected MATCH in NEAREST", self._curr)
        match = self._parse_disjunction()
        self._match_r_paren()
        return self.expression(Nearest(this=relation, where=where, match=match, alias=self._parse_table_alias()))

    def _json_table(self: Any) -> Any:
        self._advance(2)
        value, path, name, passing = self._json_source()
        columns = self._json_columns()
        plan = self._plan() if self._match_text_seq("PLAN") else None
        error = next((w for w in ("ERROR", "EMPTY") if self._match_text_seq(w, "ON", "ERROR")), None)
        self._match_r_paren()
        return self.expression(
            JsonTable(
                this=value,
                path=path,
                name=name,
                passing=passing,
                columns=columns,
                plan=plan,
                error=error,
                alias=self._parse_table_alias(),
            )
        )

    def _plan(self: Any) -> str:
        """Return what stands after PLAN, `DEFAULT` and the brackets, as words."""
        words, depth = [], 0
        while self._curr:
            depth += {"(": 1, ")": -1}.get(self._curr.text, 0)
            quoted = self._curr.token_type == TokenType.IDENTIFIER
            words.append(f'"{self._curr.text}"' if quoted else self._curr.text.upper())
            self._advance()
            if depth == 0 and words[-1] == ")":
                break
        return " ".join(words)

    def _json_columns(self: Any) -> list[Any]:
        if not self._match_text_seq("COLUMNS"):
            self.raise_error("Expected COLUMNS", self._curr)
        return list(self._parse_wrapped(lambda: self._parse_csv(self._json_column)))

    def _json_column(self: Any) -> Any:
        if self._match_text_seq("NESTED"):
            self._match_text_seq("PATH")
            path = self._parse_string()
            name = self._parse_id_var() if self._match(TokenType.ALIAS) else None
            return self.expression(JsonNested(path=path, name=name, columns=self._json_columns()))
        name = self._parse_id_var(any_token=True)
        if self._match_text_seq("FOR", "ORDINALITY"):
            return self.expression(JsonColumn(this=name))
        kind = self._parse_types()
        is_query = self._format_json()
        path = self._parse_string() if self._match_text_seq("PATH") else None
        kinds = {"kind": "QUERY" if is_query else "VALUE", "path": path, "returning": kind}
        return self.expression(JsonColumn(this=name, value=self.expression(SqlJson(**kinds, **self._json_ends()))))

    # --- SQL/JSON -----------------------------------------------------------------------------------------------------

    def _sql_json(self: Any, kind: str) -> Any:
        """Read what stands in the brackets of JSON_VALUE, JSON_QUERY or JSON_EXISTS."""
        value, path, _, passing = self._json_source()
        returning = None
        if self._match_text_seq("RETURNING"):
            returning = self._parse_types()
            self._format_json()
        return self.expression(
            SqlJson(kind=kind, this=value, path=path, passing=passing, returning=returning, **self._json_ends())
        )

    def _json_source(self: Any) -> tuple[Any, Any, Any, list[Any]]:
        """Return the input, the path, its name and the parameters, which are aliases."""
        value = self._parse_bitwise()
        if self._format_json():
            value = self.expression(exp.FormatJson(this=value))
        self._match(TokenType.COMMA)
        path = self._parse_bitwise()
        if value is None or path is None:
            self.raise_error("Expected a value and a JSON path", self._curr)
        name = self._parse_id_var() if self._match(TokenType.ALIAS) else None
        passing = self._parse_csv(self._parameter) if self._match_text_seq("PASSING") else []
        return value, path, name, passing

    def _parameter(self: Any) -> Any:
        value = self._parse_disjunction()
        if self._format_json():
            value = self.expression(exp.FormatJson(this=value))
        self._match(TokenType.ALIAS)
        return self.expression(exp.Alias(this=value, alias=self._parse_id_var(any_token=True)))

    def _format_json(self: Any) -> bool:
        if not self._match_text_seq("FORMAT", "JSON"):
            return False
        if self._match_text_seq("ENCODING") and not self._match_text_seq("UTF8"):
            self.raise_error("Only the encoding UTF8 is read here", self._curr)
        return True

    def _json_ends(self: Any) -> dict[str, Any]:
        """Read the wrapper, the quotes, and what stands before ON EMPTY and ON ERROR."""
        found: dict[str, Any] = {}
        for words, wrapper in WRAPPERS:
            if self._match_text_seq(*words):
                self._match_text_seq("ARRAY")
                if not self._match_text_seq("WRAPPER"):
                    self.raise_error("Expected WRAPPER", self._curr)
                found["wrapper"] = wrapper
                break
        for word in ("KEEP", "OMIT"):
            if self._match_text_seq(word, "QUOTES"):
                self._match_text_seq("ON", "SCALAR", "STRING")
                found["quotes"] = word
        for _ in range(2):
            if (chosen := self._chosen()) is not None:
                self._match_text_seq("ON")
                place = "empty" if self._match_text_seq("EMPTY") else "error"
                if place == "error" and not self._match_text_seq("ERROR"):
                    self.raise_error("Expected ON EMPTY or ON ERROR", self._curr)
                found[place] = chosen
        return found

    def _chosen(self: Any) -> Any:
        if self._match_text_seq("DEFAULT"):
            value = self._parse_bitwise()
            if value is None or not self._ahead("ON"):
                self.raise_error("Expected a value and ON behind DEFAULT", self._curr)
            return value
        for words in (("EMPTY", "ARRAY"), ("EMPTY", "OBJECT"), ("EMPTY",), ("NULL",), ("ERROR",), ("TRUE",), ("FALSE",), ("UNKNOWN",)):  # fmt: skip
            if self._ahead(*words, "ON"):
                self._advance(len(words))
                return " ".join(words)
        return None


WRAPPERS = (
    (("WITHOUT",), "WITHOUT"),
    (("WITH", "CONDITIONAL"), "CONDITIONAL"),
    (("WITH", "UNCONDITIONAL"), "UNCONDITIONAL"),
    (("WITH",), "UNCONDITIONAL"),
)
