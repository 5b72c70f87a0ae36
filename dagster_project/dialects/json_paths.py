"""Paths of SQL/JSON: what a constant path of Trino's language finds in JSON, as SQL over lists.

A path gives a sequence of items: here a list of JSON, NULL where the path fails. Lax paths go through arrays and pass over
what is missing; strict ones fail. Paths whose numbers would be computed (`+`, `floor()`) are refused.

What belongs here: reading a path, and the SQL of its sequence. What does not: JSON_VALUE and its kin (`functions.sql_json`).
Source: https://trino.io/docs/current/functions/json.html#json-path-language
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from dagster_project.dialects.typed import Typed, fail, let, string
from dagster_project.dialects.types import BOOLEAN, JSON, array
from dagster_project.errors import Unsupported

TOKEN: Final = re.compile(
    r'\s*("(?:[^"\\]|\\.)*"|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|\$[A-Za-z_]\w*|[A-Za-z_]\w*|\.\.|==|<>|!=|<=|>=|&&|\|\||[$@.\[\]*?()<>!,+\-/%])'
)
SIGNS: Final = {"==": "=", "<>": "<>", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
NONE: Final = "CAST([] AS JSON[])"
ITEMS: Final = array(JSON)


class Step(NamedTuple):
    """A node of a path: what it does, to what, with what."""

    kind: str
    of: Any = None
    told: Any = None


class Path(NamedTuple):
    """A path as it was written: `lax` or `strict`, and its last step."""

    mode: str
    tree: Step


def read(written: str) -> Path:
    """Return a path. Raises `Unsupported` for what is not given here.

    >>> read('lax $.a[0]').tree
    Step(kind='index', of=Step(kind='member', of=Step(kind='context', of=None, told=None), told='a'), told=[(0, None)])
    """
    mode, _, body = written.strip().partition(" ")
    if mode not in {"lax", "strict"}:
        mode, body = "lax", written
    reader = _Reader(written, body)
    tree = reader.path()
    reader.end()
    return Path(mode, tree)


class _Reader:
    """Reads a path from its left."""

    def __init__(self, written: str, body: str) -> None:
        self.written = written
        self.words: list[str] = []
        at, body = 0, body.rstrip()
        while at < len(body):
            found = TOKEN.match(body, at)
            if found is None:
                raise self.odd()
            self.words.append(found[1])
            at = found.end()
        self.at = 0

    def odd(self) -> Unsupported:
        return Unsupported(
            f"The JSON path {self.written} is not given here. Use names, places, filters, size() and type()."
        )

    @property
    def word(self) -> str:
        return self.words[self.at] if self.at < len(self.words) else ""

    def took(self, *words: str) -> bool:
        if tuple(self.words[self.at : self.at + len(words)]) != words:
            return False
        self.at += len(words)
        return True

    def take(self) -> str:
        self.at += 1
        return self.words[self.at - 1] if self.at <= len(self.words) else ""

    def need(self, word: str) -> None:
        if not self.took(word):
            raise self.odd()

    def end(self) -> None:
        if self.word:
            raise self.odd()

    def path(self) -> Step:
        step = self.start()
        while True:
            if self.took(".."):
                step = Step("descend", step, self.name())
            elif self.took("."):
                step = self.member(step)
            elif self.took("["):
                step = self.places(step)
            elif self.took("?"):
                self.need("(")
                step = Step("filter", step, self.any_of())
                self.need(")")
            else:
                return step

    def start(self) -> Step:
        word = self.take()
        if word in {"$", "@"}:
            return Step("context" if word == "$" else "item")
        if word.startswith("$"):
            return Step("variable", told=word[1:])
        if word == "(":
            step = self.path()
            self.need(")")
            return step
        return Step("literal", told=self.literal(word))

    def literal(self, word: str) -> str:
        if word == "-" and re.fullmatch(r"\d+", self.word):
            return f"-{self.take()}"
        if word in {"true", "false", "null"} or re.fullmatch(r"\d+", word):
            return word
        if word.startswith('"'):
            return json.dumps(self.text(word), ensure_ascii=False)
        raise self.odd()

    def text(self, word: str) -> str:
        if "\\" in word or self.word.startswith('"'):
            raise self.odd()
        return word[1:-1]

    def name(self) -> str:
        word = self.take()
        name = self.text(word) if word.startswith('"') else word
        if not re.fullmatch(r"[A-Za-z_]\w*", word) and not word.startswith('"'):
            raise self.odd()
        if re.search(r'["\\*]', name):
            raise self.odd()
        return name

    def member(self, step: Step) -> Step:
        if self.took("*"):
            return Step("members", step)
        if self.at + 1 < len(self.words) and self.words[self.at + 1] == "(":
            name = self.take()
            self.need("(")
            if name not in {"size", "type", "keyvalue", "datetime"}:
                raise self.odd()
            self.need(")")
            return Step(name, step)
        return Step("member", step, self.name())

    def places(self, step: Step) -> Step:
        if self.took("*", "]"):
            return Step("elements", step)
        found = []
        while True:
            first = self.place()
            found.append((first, self.place() if self.took("to") else None))
            if self.took("]"):
                return Step("index", step, found)
            self.need(",")

    def place(self) -> Any:
        """Return a number, `("last", how many before)` or `("variable", name)`."""
        word = self.take()
        if word == "-" and self.word.isdigit():
            return -int(self.take())
        if word.isdigit():
            return int(word)
        if word == "last":
            return ("last", int(self.take()) if self.took("-") and self.word.isdigit() else 0)
        if re.fullmatch(r"\$\w+", word):
            return ("variable", word[1:])
        raise self.odd()

    # predicates

    def any_of(self) -> Step:
        parts = [self.all_of()]
        while self.took("||"):
            parts.append(self.all_of())
        return parts[0] if len(parts) == 1 else Step("OR", parts)

    def all_of(self) -> Step:
        parts = [self.predicate()]
        while self.took("&&"):
            parts.append(self.predicate())
        return parts[0] if len(parts) == 1 else Step("AND", parts)

    def predicate(self) -> Step:
        if self.took("!"):
            return Step("NOT", self.predicate())
        if self.took("exists", "("):
            path = self.path()
            self.need(")")
            return Step("exists", path)
        if self.word == "(" and (grouped := self.grouped()) is not None:
            return grouped
        left = self.path()
        if self.took("starts", "with"):
            return Step("starts", left, self.path())
        if self.took("like_regex"):
            return Step("like", left, self.text(self.take()))
        sign = SIGNS.get(self.take())
        if sign is None:
            raise self.odd()
        return Step("compare", left, (sign, self.path()))

    def grouped(self) -> Step | None:
        """Return a predicate in brackets; None if the brackets are a path's."""
        start = self.at
        try:
            self.need("(")
            inner = self.any_of()
            self.need(")")
        except Unsupported:
            self.at = start
            return None
        return Step("unknown", inner) if self.took("is", "unknown") else inner


class Sequences:
    """The SQL of a path's sequence. `context` is JSON, or NULL for an error; `variables` are sequences."""

    def __init__(self, path: Path, context: str, variables: Mapping[str, str]) -> None:
        self.lax = path.mode == "lax"
        self.path, self.context, self.variables = path, context, variables
        self.count = 0

    def fresh(self) -> str:
        """Return a name no lambda around bears."""
        self.count += 1
        return f"_p{self.count}"

    def of(self, step: Step, item: str | None = None) -> str:
        """Return the sequence of a step; `item` is what @ stands for."""
        if step.kind == "context":
            return f"(CASE WHEN {self.context} IS NOT NULL THEN [{self.context}] END)"
        if step.kind == "item" and item is not None:
            return f"[{item}]"
        if step.kind == "variable":
            return self.variable(step.told)
        if step.kind == "literal":
            return f"[CAST({string(step.told)} AS JSON)]"
        before = self.of(step.of, item)
        if step.kind == "filter":
            held = self.fresh()
            return f"list_filter({self.unwrapped(before)}, lambda {held}: {self.test(step.told, held)})"
        made = getattr(self, f"_{step.kind}", None)
        if made is None:
            raise Unsupported(f"{step.kind}() stands at the end of a JSON path here. Compute after JSON_VALUE.")
        return str(made(before, step.told))

    def variable(self, name: str) -> str:
        """Return the sequence passed under a name."""
        if name not in self.variables:
            raise Unsupported(
                f"No value is passed for ${name}. Quote its name in PASSING, as it is written in the path."
            )
        return self.variables[name]

    def unwrapped(self, sequence: str) -> str:
        """Return a sequence with the elements of its arrays in their place; as it is in a strict path."""
        if not self.lax:
            return sequence
        e = self.fresh()
        return f"flatten(list_transform({sequence}, lambda {e}: CASE WHEN json_type({e}) = 'ARRAY' THEN {elements(e)} ELSE [{e}] END))"

    def each(self, sequence: str, part: Callable[[str], str]) -> str:
        """Return all that `part` makes of each item, which is a list, or NULL for an error in a strict path."""
        e = self.fresh()
        parts = f"list_transform({sequence}, lambda {e}: {part(e)})"
        if self.lax:
            return f"flatten({parts})"
        n = self.fresh()
        return let(
            [Typed(parts, ITEMS)],
            lambda x: f"CASE WHEN len(list_filter({x}, lambda {n}: {n} IS NULL)) > 0 THEN NULL ELSE flatten({x}) END",
        )

    @property
    def missing(self) -> str:
        """What stands for what is not there."""
        return NONE if self.lax else "NULL"

    def _member(self, before: str, name: str) -> str:
        path = string(f'$."{name}"')
        return self.each(
            self.unwrapped(before),
            lambda e: (
                f"CASE WHEN json_type({e}) = 'OBJECT' AND json_extract({e}, {path}) IS NOT NULL THEN [json_extract({e}, {path})] ELSE {self.missing} END"
            ),
        )

    def _members(self, before: str, _: Any) -> str:
        return self.each(
            self.unwrapped(before),
            lambda e: f"CASE WHEN json_type({e}) = 'OBJECT' THEN json_extract({e}, '$.*') ELSE {self.missing} END",
        )

    def _descend(self, before: str, name: str) -> str:
        path = string(f'$.."{name}"')
        return f"flatten(list_transform({before}, lambda {(e := self.fresh())}: json_extract({e}, {path})))"

    def _elements(self, before: str, _: Any) -> str:
        rest = "[{e}]" if self.lax else "NULL"
        return self.each(
            before, lambda e: f"CASE WHEN json_type({e}) = 'ARRAY' THEN {elements(e)} ELSE {rest.format(e=e)} END"
        )

    def _index(self, before: str, places: list[Any]) -> str:
        def part(e: str) -> str:
            size = f"CAST(json_array_length({e}) AS BIGINT)"
            whole = f"CASE WHEN json_type({e}) = 'ARRAY' THEN {elements(e)} {f'ELSE [{e}] ' if self.lax else ''}END"
            length = f"CASE WHEN json_type({e}) = 'ARRAY' THEN {size} ELSE 1 END"
            found = [self.span(whole, f"({length})", *place) for place in places]
            return found[0] if len(found) == 1 else self.joined(found)

        return self.each(before, part)

    def span(self, whole: str, length: str, first: Any, last: Any) -> str:
        """Return the elements of a list from a place counted from 0 to another."""
        low, high = self.number(first, length), self.number(last if last is not None else first, length)
        if self.lax:
            return f"list_slice({whole}, greatest({low}, 0) + 1, {high} + 1)"
        return f"CASE WHEN {low} >= 0 AND {low} <= {high} AND {high} < {length} THEN list_slice({whole}, {low} + 1, {high} + 1) END"

    def joined(self, lists: list[str]) -> str:
        """Return several lists as one, NULL if one of them is."""
        made = lists[0]
        for each in lists[1:]:
            made = f"(CASE WHEN {made} IS NOT NULL AND {each} IS NOT NULL THEN list_concat({made}, {each}) END)"
        return made

    def number(self, place: Any, length: str) -> str:
        """Return a place as a number."""
        if isinstance(place, int):
            return str(place) if place >= 0 else f"({place})"
        if place[0] == "last":
            return f"({length} - {1 + place[1]})"
        return f"CAST(json_extract_string({self.variable(place[1])}[1], '$') AS BIGINT)"

    def _size(self, before: str, _: Any) -> str:
        rest = "[CAST('1' AS JSON)]" if self.lax else "NULL"
        return self.each(
            before,
            lambda e: f"CASE WHEN json_type({e}) = 'ARRAY' THEN [to_json(json_array_length({e}))] ELSE {rest} END",
        )

    def _type(self, before: str, _: Any) -> str:
        words = "CASE json_type({e}) WHEN 'NULL' THEN 'null' WHEN 'VARCHAR' THEN 'string' WHEN 'BOOLEAN' THEN 'boolean' WHEN 'ARRAY' THEN 'array' WHEN 'OBJECT' THEN 'object' ELSE 'number' END"
        return f"list_transform({before}, lambda {(e := self.fresh())}: to_json({words.format(e=e)}))"

    def _keyvalue(self, before: str, _: Any) -> str:
        e, i, k = self.fresh(), self.fresh(), self.fresh()
        value = f"json_extract({e}, '$.*')[list_position(json_keys({e}), {k})]"
        pair = f"json_object('name', {k}, 'value', {value}, 'id', {i} - 1)"
        made = f"CASE WHEN json_type({e}) = 'OBJECT' THEN list_transform(json_keys({e}), lambda {k}: {pair}) END"
        parts = f"list_transform({self.unwrapped(before)}, lambda {e}, {i}: {made})"
        n = self.fresh()
        return let(
            [Typed(parts, ITEMS)],
            lambda x: f"CASE WHEN len(list_filter({x}, lambda {n}: {n} IS NULL)) > 0 THEN NULL ELSE flatten({x}) END",
        )

    # predicates: true, false, or NULL for unknown

    def test(self, step: Step, item: str) -> str:
        """Return a predicate of an item."""
        if step.kind in {"AND", "OR"}:
            return f"({f' {step.kind} '.join(self.test(each, item) for each in step.of)})"
        if step.kind == "NOT":
            return f"(NOT {self.test(step.of, item)})"
        if step.kind == "unknown":
            return f"(({self.test(step.of, item)}) IS NULL)"
        if step.kind == "exists":
            return f"(len({self.of(step.of, item)}) > 0)"
        left = self.unwrapped(self.of(step.of, item))
        if step.kind == "like":
            return self.found(left, "['']", lambda a, _: self.like(a, step.told))
        sign, right = ("starts", step.told) if step.kind == "starts" else step.told
        answer = (lambda a, b: compared(sign, a, b)) if sign != "starts" else starts
        other = self.of(right, item)
        return self.found(left, self.unwrapped(other) if sign != "starts" else other, answer)

    def like(self, a: str, pattern: str) -> str:
        """Return whether a text holds a pattern."""
        if re.fullmatch(r"[\w\s.*+?^$|()\[\]\-]*", pattern) is None or re.search(r"[*+?][*+?]|\(\?", pattern):
            raise Unsupported(f"like_regex {pattern!r} is not given here. Use regexp_like() on what JSON_VALUE gives.")
        return f"CASE WHEN json_type({a}) = 'VARCHAR' THEN regexp_matches(json_extract_string({a}, '$'), {string(pattern)}) END"

    def found(self, left: str, right: str, answer: Callable[[str, str], str]) -> str:
        """Return whether a pair of items answers: in a lax path by what comes first, true or an error."""
        a, b, f = self.fresh(), self.fresh(), self.fresh()
        pairs = f"flatten(list_transform({left}, lambda {a}: list_transform({right}, lambda {b}: {answer(a, b)})))"

        def made(x: str) -> str:
            if self.lax:
                telling = f"list_filter({x}, lambda {f}: {f} IS NOT FALSE)"
                return f"CASE WHEN {x} IS NULL THEN NULL WHEN len({telling}) = 0 THEN false ELSE {telling}[1] END"
            odd = f"len(list_filter({x}, lambda {f}: {f} IS NULL)) > 0"
            return f"CASE WHEN {x} IS NULL OR {odd} THEN NULL ELSE list_contains({x}, true) END"

        either = f"CASE WHEN {left} IS NOT NULL AND {right} IS NOT NULL THEN {pairs} END"
        return f"({let([Typed(either, array(BOOLEAN))], made)})"


def elements(e: str) -> str:
    """Return the elements of a JSON array, JSON's null among them."""
    return f"json_extract({e}, '$[*]')"


def compared(sign: str, a: str, b: str) -> str:
    """Return how two items compare: NULL where they do not."""
    s, t = f"json_type({a})", f"json_type({b})"
    x, y = f"json_extract_string({a}, '$')", f"json_extract_string({b}, '$')"
    both = lambda *kinds: f"{s} IN ({', '.join(map(string, kinds))}) AND {t} IN ({', '.join(map(string, kinds))})"
    odd = fail("A JSON path that compares with null by != is not given here", BOOLEAN) if sign == "<>" else "false"
    return (
        f"CASE WHEN {s} = 'NULL' AND {t} = 'NULL' THEN {'true' if sign == '=' else 'false'} "
        f"WHEN {s} = 'NULL' OR {t} = 'NULL' THEN {odd} "
        f"WHEN {both('BIGINT', 'UBIGINT')} THEN CAST({x} AS HUGEINT) {sign} CAST({y} AS HUGEINT) "
        f"WHEN {both('BIGINT', 'UBIGINT', 'DOUBLE')} THEN CAST({x} AS DOUBLE) {sign} CAST({y} AS DOUBLE) "
        f"WHEN {both('VARCHAR')} THEN {x} {sign} {y} WHEN {both('BOOLEAN')} THEN ({x} = 'true') {sign} ({y} = 'true') END"
    )


def starts(a: str, b: str) -> str:
    """Return whether a text begins with another: NULL where one is no text."""
    both = f"json_type({a}) = 'VARCHAR' AND json_type({b}) = 'VARCHAR'"
    return f"CASE WHEN {both} THEN starts_with(json_extract_string({a}, '$'), json_extract_string({b}, '$')) END"
