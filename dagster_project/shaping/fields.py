"""Inline fields and properties of blocks: `key:: value` in running text.

What belongs here: where a field stands, and its key and value. What does not: properties at the top of a page, and
what hides a field (code, links, comments), which `markdown` knows.

The rule is Dataview's (https://blacksmithgu.github.io/obsidian-dataview/annotation/add-metadata), which takes in what
Logseq writes below a block (https://docs.logseq.com/#/page/properties): a line of its own, from its key to its end, or
`[key:: value]` and `(key:: value)` anywhere in a line. So that code in prose (`std::vector`) is none, white space
follows `::` everywhere but within square brackets. A task's line is text: its fields are those in brackets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

SEPARATOR: Final = "::"
LONGEST_KEY: Final = 100
LONGEST_VALUE: Final = 1_000
"""Of a value in brackets; limits keep the search for brackets linear."""
_OWN_LINE: Final = re.compile(
    r"[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)?(?=([*_~]{0,3}))\1"
    r"([A-Za-z0-9\x80-\xff](?:[A-Za-z0-9_/ .\x80-\xff-]{0,99}[A-Za-z0-9\x80-\xff])??)[*_~]{0,3}[ \t]*::(?=[ \t\r\n]|\Z)"
)
_BRACKETS: Final = {"[": re.compile(r"\\.|[\[\]]"), "(": re.compile(r"\\.|[()]")}
_NO_KEY: Final = frozenset(")]:`|\r")
_BLANK: Final = " \t\r"
_AFTER: Final = " \t\r\n"


class Found(NamedTuple):
    """A field in the view: `at` is where its `::` stands, `is_line` whether it is a line of its own."""

    key: str
    at: int
    value: str
    start: int
    end: int
    is_line: bool


def find_fields(view: str, start: int = 0) -> Iterator[Found]:
    """Yield the fields of the view from `start` on, in order.

    >>> [(field.key, field.value) for field in find_fields("**Mood**:: fine\\nI rate it [rating:: 9], (by:: [me]).")]
    [('Mood', 'fine'), ('rating', '9'), ('by', '[me]')]
    >>> list(find_fields("std::vector, [System.Math]::Pow and - [ ] due:: now"))
    []
    """
    at, line = view.find(SEPARATOR, start), start
    while at >= 0:
        if not _may_be(view, at):
            at = view.find(SEPARATOR, at + len(SEPARATOR))
            continue
        line = max(view.rfind("\n", line, at) + 1, line)
        end = view.find("\n", at)
        end = len(view) if end < 0 else end
        own = _own_line(view, line, end)
        found = False
        for field in _bracketed(view, line, end):
            found = True
            yield field
        if own is not None and not found:
            yield own
        at, line = view.find(SEPARATOR, end), end


def _may_be(view: str, at: int) -> bool:
    """Return False for most `::` of code: white space follows it, or a bracket is open before it."""
    if view[at + 2 : at + 3] in _AFTER:
        return True
    opening = view.rfind("[", max(0, at - LONGEST_KEY), at)
    return opening >= 0 and view.find("]", opening, at) < 0


def _own_line(view: str, line: int, end: int) -> Found | None:
    match = _OWN_LINE.match(view, line, end)
    if match is None:
        return None
    value = view[match.end() : end].strip(_BLANK)
    last = match.end() + len(view[match.end() : end].rstrip(_BLANK))
    return Found(match[2], match.end() - len(SEPARATOR), value, match.start(1), last, is_line=True)


def _bracketed(view: str, line: int, end: int) -> Iterator[Found]:
    at, floor = view.find(SEPARATOR, line, end), line
    while at >= 0:
        field = _around(view, at, max(floor, at - LONGEST_KEY), end)
        if field is not None:
            yield field
        floor = at + len(SEPARATOR) if field is None else field.end
        at = view.find(SEPARATOR, floor, end)


def _around(view: str, at: int, floor: int, end: int) -> Found | None:
    """Return the field in brackets whose `::` stands at `at`; None if there is none."""
    opening = max(view.rfind("[", floor, at), view.rfind("(", floor, at))
    if opening < 0:
        return None
    key = view[opening + 1 : at].strip(_BLANK)
    value = at + len(SEPARATOR)
    if not key or not _NO_KEY.isdisjoint(key) or (view[opening] == "(" and view[value : value + 1] not in _BLANK):
        return None
    closing = _closing(view, value, min(end, value + LONGEST_VALUE), view[opening])
    if closing < 0:
        return None
    return Found(key, at, view[value:closing].strip(_BLANK), opening, closing + 1, is_line=False)


def _closing(view: str, start: int, end: int, opening: str) -> int:
    if view.find("]" if opening == "[" else ")", start, end) < 0:
        return -1
    depth = 0
    for bracket in _BRACKETS[opening].finditer(view, start, end):
        if bracket[0] == opening:
            depth += 1
        elif bracket[0][0] != "\\":
            depth -= 1
            if depth < 0:
                return bracket.start()
    return -1
