"""Front matter: the block of YAML, TOML or JSON at the top of a note, and what of it has a place of its own.

What belongs here: where the block ends, its values as a person meant them, and the well-known keys. What does not:
the body.

Rules:

- The block stands at the very top, between two lines `---` (YAML; the last may be `...`) or `+++` (TOML, as Hugo has
  it); or it is a JSON object that ends its line (Hugo again: https://gohugo.io/content-management/front-matter/). A
  block that holds no keys is no front matter but a rule and text, and stays in the body.
- A value is typed as it was written: `yes`, `0123`, `12:30` and dates stay text, and so does a number that would not
  be written the same way again (`1.10`, `0x1F`, `+7`) or has more than 18 digits.
- A key that stands twice keeps both values, as a list in the order they were written.
- Of YAML that cannot be read as a whole every key that can be read alone is kept; the text of the others is the
  property `front_matter`, and the first error is told with its line. Other blocks are kept so as a whole.
- A well-known key whose value fits has its place in the note and leaves the properties; any other stays there. Of two
  keys for one place the first in `PLACES` wins; tags and aliases come from all of theirs. A time without a zone
  is taken as UTC.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from functools import lru_cache
from typing import Any, Final

import ryaml

Found = tuple[str, int, int]
"""A tag, and where it stands in the view."""

RAW: Final = "front_matter"
"""The property that holds a block that could not be read."""

PLACES: Final[Mapping[str, tuple[str, ...]]] = {
    "title": ("title",),
    "author": ("author", "authors"),
    "created_at": ("created_at", "created", "date", "date_created"),
    "modified_at": (
        "modified_at",
        "modified",
        "updated_at",
        "updated",
        "date_modified",
        "last_modified_at",
        "last_modified",
        "lastmod",
    ),
    "tags": ("tags", "tag", "keywords"),
    "aliases": ("aliases", "alias"),
}
"""Keys of each place in a note, in lower case and with `_` for space and hyphen."""
_RANK: Final = {name: (rank, place) for place, names in PLACES.items() for rank, name in enumerate(names)}
_CLOSE: Final = {"---": ("\n---", "\n..."), "+++": ("\n+++",)}
_KEY: Final = re.compile(r"^(?:\"[^\"\n]*\"|'[^'\n]*'|[^\s#:'\"\-\[\]{},&*!|>%@`][^:\n]*):(?:[ \t]|\r?$)", re.MULTILINE)
_PLAIN: Final = re.compile(
    r"([A-Za-z][\w.-]*): +"
    r"([A-Za-z](?:[ -\"$-9;-~]*[!\"$-9;-~])?|\"[ !#-\[\]-~]*\"|'[ -&(-~]*'|\d\d/\d\d/\d{4}|\d{4}-\d\d-\d\d)",
    re.ASCII,
)
"""A line of a key and what is text, as it stands or in quotes, whatever the loader."""
_TYPED: Final = frozenset(("true", "false", "null", "nan", "inf"))
_LINE: Final = re.compile(r"line (\d+)")
_BRACKET: Final = re.compile(r"[\[\]{}]")
_NUMBER: Final = re.compile(
    r"(?:^|[:=\[,{-])[ \t]*([+-]?(?:[0-9.][0-9A-Fa-fxob_.+-]*|\.(?:inf|Inf|INF)))(?=[ \t]*(?:[,\]}\r\n#]|\Z))",
    re.MULTILINE,
)
_BIG: Final = re.compile(r"((?:^|[:\[,-])[ \t]+|[\[,])([+-]?[0-9]{19,})(?=[ \t]*(?:[,\]}\r\n#]|\Z))", re.MULTILINE)
_ODD: Final = ("0x", "0o", "0b", "+", "-0")
"""One of these stands in a block that has an integer Python would write otherwise."""
_JSON: Final = re.compile(r"\{\s*\"")
_JSON_TOKEN: Final = re.compile(r"\\.|\"(?:[^\"\\]|\\.)*+\"|[{}]", re.DOTALL)
LONGEST_INTEGER: Final = 18
_OFFSET: Final = re.compile(r" ([+-]\d\d:?\d\d|Z)$")
_DUPLICATE: Final = "duplicate entry with key"
_BIG_ERROR: Final = re.compile("as [iu]128")
"""In the loader's word on an integer of more than 64 bits."""
NEWLINE: Final = "\n"
MAX_DEPTH: Final = 100
"""Brackets deeper than this are refused: the YAML loader takes minutes to find out that it refuses them too."""


@dataclass(slots=True)
class FrontMatter:
    """What stands in the block. `end` is where the body begins in the view."""

    end: int = 0
    title: str | None = None
    author: str | None = None
    created_at: datetime | None = None
    modified_at: datetime | None = None
    tags: list[Found] = field(default_factory=list)
    aliases: list[str] = field(default_factory=list)
    properties: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    """Why the block, or a part of it, could not be read; that text is `properties["front_matter"]`."""
    line: int | None = None
    """Line in the file at which it could not be read, from 1."""
    unread: int = 0
    """How many keys could not be read; 1 if it is the whole block."""


def read_front_matter(view: str, start: int, end: int, block: str, body: int) -> FrontMatter | None:
    """Return what `block`, the text of `view[start:end]`, holds; None if it is no front matter after all.

    `body` is where the body begins. Never raises: what cannot be read is told in `error`.
    """
    above = view.count(NEWLINE, 0, start)
    try:
        values = _LOADERS[view[0]](block)
    except (ValueError, RecursionError) as error:  # the loaders' own errors are ValueErrors
        if (key := _KEYS.get(view[0])) is not None and not key.search(block):
            return None
        return _readable(_Block(view, start, end, block), body, _in_file(str(error), above), above)
    if values is None and not block.strip():
        return FrontMatter(body)
    if not isinstance(values, dict):
        return None
    return _placed(values, _Block(view, start, end, block), body)


def _readable(block: _Block, body: int, error: str, above: int) -> FrontMatter:
    """Return what can be read of a block that cannot be read as a whole."""
    values: dict[Any, Any] = {}
    unread: Sequence[int] = ()
    if block.view.startswith("---"):
        bounds = _entries(block.text)
        values, unread = _load_entries(block.text, bounds)
    if not values:
        found = _LINE.search(error)
        return FrontMatter(
            body, properties={RAW: block.text}, error=error, line=int(found[1]) if found else above + 1, unread=1
        )
    front = _placed(values, block, body)
    front.properties[RAW] = "".join(block.text[bounds[index][0] : bounds[index][1]] for index in unread)
    front.error, front.unread = error, len(unread)
    front.line = above + block.text.count(NEWLINE, 0, bounds[unread[0]][0]) + 1 if unread else above + 1
    return front


def _in_file(error: str, above: int) -> str:
    """Return a loader's message with its line as that of the file."""
    return _LINE.sub(lambda found: f"line {int(found[1]) + above}", error)


def find_front_matter(view: str) -> tuple[int, int, int] | None:
    """Return where the block's text begins and ends, and where the body begins; None if there is no block.

    >>> find_front_matter("---\\na: 1\\n---\\ntext")
    (4, 9, 13)
    """
    if view.startswith("{"):
        return _find_object(view)
    start = view.find(NEWLINE) + 1
    if view[3:start].strip():
        return None
    if not start:
        return None
    found = None
    for fence in _CLOSE[view[:3]]:
        found = _closing(view, fence, start, found[0] if found else len(view)) or found
    return (start, *found) if found else None


def _find_object(view: str) -> tuple[int, int, int] | None:
    """Return where the JSON object at the top begins and ends, and the line after it; None if text follows it."""
    if _JSON.match(view) is None:
        return None
    depth = 0
    for token in _JSON_TOKEN.finditer(view):
        depth += {"{": 1, "}": -1}.get(token[0], 0)
        if depth == 0:
            body = view.find(NEWLINE, token.end()) + 1 or len(view)
            return None if view[token.end() : body].strip() else (0, token.end(), body)
    return None


def _closing(view: str, fence: str, at: int, limit: int) -> tuple[int, int] | None:
    """Return where the first line that is `fence` begins, between `at` and `limit`, and the line after it."""
    at -= 1
    while (at := view.find(fence, at, limit)) >= 0:
        end = view.find(NEWLINE, at + 1) + 1 or len(view)
        if not view[at + len(fence) : end].strip():
            return at + 1, end
        at += 1
    return None


def _load_toml(block: str) -> Any:
    import tomllib  # only Hugo writes TOML

    _refuse_depth(block)
    return tomllib.loads(block.replace("\r\n", "\n"))


def _load_json(block: str) -> Any:
    _refuse_depth(block)
    return json.loads(
        block,
        parse_int=_json_number(int),
        parse_float=_json_number(float),
        parse_constant=str,
        object_pairs_hook=_paired,
    )


def _json_number(kind: type[int | float]) -> Callable[[str], int | float | str]:
    def read(written: str) -> int | float | str:
        if len(written) > LONGEST_INTEGER + 6:
            return written
        value = kind(written)
        return value if str(value) == written and abs(value) < 10**LONGEST_INTEGER else written

    return read


def _paired(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        return {key: _together([value for name, value in pairs if name == key]) for key in values}
    return values


def _load_yaml(block: str) -> Any:
    if plain := _load_plain(block):
        return plain
    _refuse_depth(block)
    try:
        values = _loads(block)
    except ValueError as error:
        if not str(error).startswith(_DUPLICATE):
            raise
        bounds = _entries(block)
        values, unread = _load_entries(block, bounds)
        if unread:
            raise
    return values


def _load_plain(block: str) -> dict[str, str]:
    """Return a block that is nothing but lines of a key and its text, as most are; {} for any other.

    The loader takes four times as long.
    """
    values: dict[str, str] = {}
    *lines, rest = block.split(NEWLINE)
    for line in lines:
        entry = _PLAIN.fullmatch(line)
        if entry is None:
            return {}
        key, value = entry.groups()
        if key in values or key.lower() in _TYPED or value.lower() in _TYPED:
            return {}
        values[key] = value[1:-1] if value[0] in "\"'" else value
    return {} if rest else values


def _loads(block: str) -> Any:
    try:
        return ryaml.loads(block)  # type: ignore[attr-defined]  # its stubs do not re-export it
    except ValueError as error:
        if not _BIG_ERROR.search(str(error)):
            raise
        return ryaml.loads(_BIG.sub(r'\1"\2"', block))  # type: ignore[attr-defined]


_KEYS: Final = {"-": _KEY, "+": re.compile(r"^[ \t]*[\w.\"'-]+[ \t]*=", re.MULTILINE)}
_LOADERS: Final[Mapping[str, Callable[[str], Any]]] = {"-": _load_yaml, "+": _load_toml, "{": _load_json}


def _refuse_depth(block: str) -> None:
    if block.count("[") + block.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for bracket in _BRACKET.finditer(block):
        depth += 1 if bracket[0] in "[{" else -1
        if depth > MAX_DEPTH:
            line = block.count("\n", 0, bracket.start()) + 1
            raise ValueError(f"brackets nested deeper than {MAX_DEPTH} at line {line}")


def _entries(block: str) -> list[tuple[int, int]]:
    """Return where each key at the margin begins and its value ends."""
    starts = [match.start() for match in _KEY.finditer(block)]
    return list(zip(starts, [*starts[1:], len(block)], strict=True))


def _load_entries(block: str, bounds: Sequence[tuple[int, int]]) -> tuple[dict[Any, Any], list[int]]:
    """Load one key at a time. Return the values, those of a key that stands twice in a list, and which failed."""
    values: dict[Any, list[Any]] = {}
    unread: list[int] = []
    for index, (start, end) in enumerate(bounds):
        try:
            _refuse_depth(block[start:end])
            entry = _loads(block[start:end])
        except (ValueError, RecursionError):
            entry = None
        if not isinstance(entry, dict):
            unread.append(index)
            continue
        for key, value in entry.items():
            values.setdefault(key, []).append(value)
    return {key: _together(given) for key, given in values.items()}, unread


def _together(given: list[Any]) -> Any:
    if len(given) == 1:
        return given[0]
    if all(isinstance(value, list) for value in given):
        return [item for value in given for item in value]
    return given


@dataclass(slots=True)
class _Block:
    view: str
    start: int
    end: int
    text: str
    _numbers: dict[tuple[type, float], list[str]] | None = None
    _is_odd: bool | None = None

    def value_start(self, key: str) -> int:
        """Return where the value of a key at the margin begins in the view; the block's end if that can't be told."""
        written = _in_view(key) + ":"
        if self.view.startswith(written, self.start):
            return self.start + len(written)
        at = self.view.find(NEWLINE + written, self.start, self.end)
        if at >= 0:
            return at + 1 + len(written)
        quoted = re.compile(rf"^[ \t]*[\"']?{re.escape(written[:-1])}[\"']?[ \t]*[:=]", re.MULTILINE)
        found = quoted.search(self.view, self.start, self.end)
        return found.end() if found else self.end

    def place(self, written: str, after: int) -> tuple[int, int]:
        """Return where `written` stands at or after `after`; the whole block if that can't be told."""
        at = self.view.find(_in_view(written), after, self.end)
        return (at, at + len(_in_view(written))) if at >= 0 else (self.start, self.end)

    def number(self, value: float) -> str | float:
        """Return a number, or the text it was written as if it would not be written the same way again."""
        if math.isnan(value):
            return ".nan"
        written = self._written(value)
        return value if written == repr(value) and math.isfinite(value) else written

    def integer(self, value: int) -> str | int:
        """Return an integer, or the text it was written as, as `number` does."""
        if self._is_odd is None:
            self._is_odd = any(odd in self.text for odd in _ODD)
        if abs(value) >= 10**LONGEST_INTEGER:
            return str(value)
        if not self._is_odd:
            return value
        written = self._written(value)
        return value if written == repr(value) else written

    def _written(self, value: float) -> str:
        """Return how a number is written in the block: the first of its kind not yet asked for, then the last."""
        if self._numbers is None:
            self._numbers = {}
            for number, written in _numbers(self.text):
                self._numbers.setdefault((type(number), number), []).append(written)
        forms = self._numbers.get((type(value), value))
        if not forms:
            return repr(value)
        return forms.pop(0) if len(forms) > 1 else forms[0]


def _numbers(text: str) -> Iterator[tuple[float, str]]:
    for written in _NUMBER.findall(text):
        try:
            yield _number(written), written
        except ValueError:
            continue


def _number(written: str) -> float:
    try:
        return int(written, 0)
    except ValueError:
        return float(written.lower().replace(".inf", "inf"))


def _in_view(text: str) -> str:
    return text if text.isascii() else text.encode().decode("latin-1")


def _placed(values: dict[Any, Any], block: _Block, body: int) -> FrontMatter:
    given = _as_written(values, block)
    found = FrontMatter(body, properties=given)
    known = sorted((rank, key) for key in given if (rank := _rank(key)) is not None)
    for (_, place), key in known:
        if place == "tags":
            _take_tags(found, key, block)
        elif place == "aliases":
            _take_aliases(found, key)
        elif getattr(found, place) is None and (value := _fitting(place, given[key])) is not None:
            setattr(found, place, value)
            del given[key]
    return found


@lru_cache(1024)
def _rank(key: str) -> tuple[int, str] | None:
    """Return the rank of a well-known key among those for its place, and that place; None of any other key."""
    return _RANK.get(key.lower().replace("-", "_").replace(" ", "_"))


def _fitting(place: str, value: Any) -> str | datetime | None:
    if place == "title":
        return str(value).strip() or None if isinstance(value, str | int | float) else None
    if place == "author":
        return _names(value)
    return instant(value) if isinstance(value, str) else None


def _names(value: Any) -> str | None:
    if isinstance(value, dict):
        value = value.get("name") if set(value) == {"name"} else None
    if isinstance(value, list):
        names = [_names(item) for item in value]
        return ", ".join(name for name in names if name) if names and all(names) else None
    return value.strip() or None if isinstance(value, str) else None


def instant(written: str) -> datetime | None:
    """Return the instant an ISO 8601 date or time gives, in UTC; None if it gives none. No zone means UTC.

    >>> instant("2024-01-05 10:00:00 +0800").isoformat()
    '2024-01-05T02:00:00+00:00'
    >>> instant("tomorrow")
    """
    if not written[:4].isdecimal():
        return None
    try:
        given = datetime.fromisoformat(_OFFSET.sub(r"\1", written.strip()))
        return given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _take_tags(found: FrontMatter, key: str, block: _Block) -> None:
    if (tags := _listed(found.properties[key])) is None:
        return
    del found.properties[key]
    after = block.value_start(key)
    for tag in tags:
        start, end = block.place(tag, after)
        found.tags.append((tag, start, end))
        after = max(after, end) if start >= after else after


def _take_aliases(found: FrontMatter, key: str) -> None:
    if (aliases := _listed(found.properties[key], ",")) is not None:
        found.aliases.extend(aliases)
        del found.properties[key]


def _listed(value: Any, separator: str | None = None) -> list[str] | None:
    """Return the words of a list, or text split at commas or, without `separator`, spaces; None if there are none."""
    if isinstance(value, str):
        split = value.split(",") if "," in value or separator else value.split()
        return [word for item in split if (word := item.strip().strip("#"))] or None
    if not isinstance(value, list):
        return [str(value)] if isinstance(value, int) and not isinstance(value, bool) else None
    words = list(_words(value))
    return words if words and all(words) else None


def _words(values: list[Any]) -> Iterator[str]:
    """Yield the words of a list, those of lists in it too; "" for what is no word."""
    for value in values:
        if isinstance(value, list):
            yield from _words(value)
        elif value is not None:
            yield str(value).strip().lstrip("#") if isinstance(value, str | int | float) else ""


def _as_written(values: dict[Any, Any], block: _Block) -> dict[str, Any]:
    """Return `values` as JSON can hold them, with text for numbers that would not be written the same way again."""
    for value in values.values():
        if value.__class__ is not str:
            break
    else:
        if all(key.__class__ is str for key in values):
            return values
    return {_key(key): _value(value, block) for key, value in values.items()}


def _key(key: Any) -> str:
    if key is None:
        return "null"
    return str(key).lower() if isinstance(key, bool) else str(key)


def _value(value: Any, block: _Block) -> Any:
    if isinstance(value, dict):
        return {_key(key): _value(item, block) for key, item in value.items()}
    if isinstance(value, list):
        return [_value(item, block) for item in value]
    if isinstance(value, float):
        return block.number(value)
    if value.__class__ is int:
        return block.integer(value)
    return value.isoformat() if isinstance(value, datetime | date | time) else value
