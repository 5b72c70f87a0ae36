"""Front matter: the block of YAML or TOML at the top of a note, and what of it has a place of its own.

What belongs here: where the block ends, its values as a person meant them, and the well-known keys. What does not:
the body.

Rules:

- The block stands at the very top, between two lines `---` (YAML; the last may be `...`) or `+++` (TOML, as Hugo has
  it). A block that holds no keys is no front matter but a rule and text, and stays in the body.
- A value is typed as it was written: `yes`, `0123`, `12:30` and dates stay text, and so does a number that would not
  be written the same way again (`1.10`).
- A key that stands twice keeps both values, as a list in the order they were written.
- A block that cannot be read is kept as text in the property `front_matter`, and its error is told.
- A well-known key whose value fits has its place in the note and leaves the properties; any other stays there. Of two
  keys for one place the first in `PLACES` wins; tags and aliases come from all of theirs. A time without a zone
  is taken as UTC.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
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
_ERROR_LINE: Final = re.compile(r"line (\d+)")
_BRACKET: Final = re.compile(r"[\[\]{}]")
_SCALAR: Final = re.compile(r"[^\s,\[\]{}\"']+")
_OFFSET: Final = re.compile(r" ([+-]\d\d:?\d\d|Z)$")
_DUPLICATE: Final = "duplicate entry with key"
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
    """Why the block could not be read; then it is `properties["front_matter"]`."""
    line: int | None = None
    """Line in the file at which it could not be read, from 1."""


def read_front_matter(view: str, start: int, end: int, block: str, body: int) -> FrontMatter | None:
    """Return what `block`, the text of `view[start:end]`, holds; None if it is no front matter after all.

    `body` is where the body begins. Never raises: what cannot be read is told in `error`.
    """
    try:
        values = _load_toml(block) if view.startswith("+++") else _load_yaml(block)
    except (ValueError, RecursionError) as error:  # the loaders' own errors are ValueErrors
        if not _KEY.search(block):
            return None
        return FrontMatter(body, properties={RAW: block}, error=str(error), line=_error_line(str(error)))
    if values is None and not block.strip():
        return FrontMatter(body)
    if not isinstance(values, dict):
        return None
    return _placed(values, _Block(view, start, end, block), body)


def find_front_matter(view: str) -> tuple[int, int, int] | None:
    """Return where the block's text begins and ends, and where the body begins; None if there is no block.

    >>> find_front_matter("---\\na: 1\\n---\\ntext")
    (4, 9, 13)
    """
    start = view.find(NEWLINE) + 1
    if view[3:start].strip():
        return None
    if not start:
        return None
    found = None
    for fence in _CLOSE[view[:3]]:
        found = _closing(view, fence, start, found[0] if found else len(view)) or found
    return (start, *found) if found else None


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


def _load_yaml(block: str) -> Any:
    _refuse_depth(block)
    try:
        values = _loads(block)
    except ValueError as error:
        if not str(error).startswith(_DUPLICATE):
            raise
        values = _load_duplicates(block)
    return values


def _loads(block: str) -> Any:
    return ryaml.loads(block)  # type: ignore[attr-defined]  # its stubs do not re-export it


def _refuse_depth(block: str) -> None:
    if block.count("[") + block.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for bracket in _BRACKET.finditer(block):
        depth += 1 if bracket[0] in "[{" else -1
        if depth > MAX_DEPTH:
            line = block.count("\n", 0, bracket.start()) + 1
            raise ValueError(f"brackets nested deeper than {MAX_DEPTH} at line {line}")


def _load_duplicates(block: str) -> dict[Any, Any]:
    """Load a block in which keys stand twice: one entry at a time, the values of a key in a list."""
    starts = [match.start() for match in _KEY.finditer(block)]
    bounds = zip(starts, [*starts[1:], len(block)], strict=True)
    values: dict[Any, list[Any]] = {}
    for start, end in bounds:
        entry = _loads(block[start:end])
        if not isinstance(entry, dict):
            raise ValueError(f"no key and value at line {block.count(NEWLINE, 0, start) + 1}")
        for key, value in entry.items():
            values.setdefault(key, []).append(value)
    return {key: _together(given) for key, given in values.items()}


def _together(given: list[Any]) -> Any:
    if len(given) == 1:
        return given[0]
    if all(isinstance(value, list) for value in given):
        return [item for value in given for item in value]
    return given


def _error_line(message: str) -> int:
    found = _ERROR_LINE.search(message)
    return int(found[1]) + 1 if found else 2


@dataclass(slots=True)
class _Block:
    view: str
    start: int
    end: int
    text: str
    _numbers: dict[float, str] | None = None

    def value_start(self, key: str) -> int:
        """Return where the value of a key at the margin begins in the view; the block's end if that can't be told."""
        written = _in_view(key) + ":"
        if self.view.startswith(written, self.start):
            return self.start + len(written)
        at = self.view.find(NEWLINE + written, self.start, self.end)
        return self.end if at < 0 else at + 1 + len(written)

    def place(self, written: str, after: int) -> tuple[int, int]:
        """Return where `written` stands at or after `after`; the whole block if that can't be told."""
        at = self.view.find(_in_view(written), after, self.end)
        return (at, at + len(_in_view(written))) if at >= 0 else (self.start, self.end)

    def number(self, value: float) -> str | float:
        """Return a number, or the text it was written as if it would not be written the same way again."""
        if self._numbers is None:
            self._numbers = dict(_floats(self.text))
        if math.isnan(value):
            return ".nan"
        written = self._numbers.get(value, repr(value))
        return value if written == repr(value) and math.isfinite(value) else written


def _floats(text: str) -> Iterator[tuple[float, str]]:
    for scalar in _SCALAR.findall(text):
        try:
            yield float(scalar.replace(".inf", "inf")), scalar
        except ValueError:
            continue


def _in_view(text: str) -> str:
    return text if text.isascii() else text.encode().decode("latin-1")


def _placed(values: dict[Any, Any], block: _Block, body: int) -> FrontMatter:
    given = _as_written(values, block)
    found = FrontMatter(body, properties=given)
    known = sorted((_RANK[name], key) for key in given if (name := _normal(key)) in _RANK)
    for (_, place), key in known:
        if place == "tags":
            _take_tags(found, key, block)
        elif place == "aliases":
            _take_aliases(found, key)
        elif getattr(found, place) is None and (value := _fitting(place, given[key])) is not None:
            setattr(found, place, value)
            del given[key]
    return found


def _normal(key: str) -> str:
    return key.lower().replace("-", "_").replace(" ", "_")


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
    return value.isoformat() if isinstance(value, datetime | date | time) else value
