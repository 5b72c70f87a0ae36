"""Tags in running text, as Obsidian and Logseq write them.

What belongs here: where a tag begins and ends. What does not: tags in front matter, and what hides a tag (code,
links, comments), which `markdown` knows.

The rule is Obsidian's (https://help.obsidian.md/tags): letters, digits, `_`, `-`, `/` and letters and symbols of any
script after `#`, not digits alone. `#[[several words]]` is Logseq's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeVar
from unicodedata import category

_START: Final = re.compile(r"#(?:[A-Za-z0-9_/\-\x80-\xff]+|\[\[)")
_BEFORE: Final = frozenset(" \t\r\n\x0b\x0c(*_~|>,;")
_WIDE_SPACES: Final = ("\xe3\x80\x80", "\xc2\xa0", "\xe2\x80\x8b")
"""U+3000, U+00A0 and U+200B, as the view has them."""
_PIECES: Final = frozenset("-_/\u200d")
_KINDS: Final = frozenset("LMNS")
_Place = TypeVar("_Place", bound=tuple[Any, ...])
LONGEST_WORD: Final = 2_000
"""How far back a word is searched for `://`: a limit keeps the search linear."""


def find_tags(view: str) -> Iterator[tuple[str, int, int]]:
    """Yield each tag of the view with its range, the `#` included; "" for `#[[`, whose end is not told.

    >>> list(find_tags("#a/b, C#, x#y, #12 and #y2k"))
    [('a/b', 0, 4), ('y2k', 23, 27)]
    """
    for match in _START.finditer(view):
        at = match.start()
        if view[at + 1] == "[":
            yield "", at, at
        elif _may_precede(view, at) and (tag := _tag(match[0][1:])) and not _in_address(view, at):
            yield tag, at, at + 1 + (len(tag) if tag.isascii() else len(tag.encode()))


def _may_precede(view: str, at: int) -> bool:
    if at == 0 or view[at - 1] in _BEFORE:
        return True
    return view[at - 1] >= "\x80" and view.endswith(_WIDE_SPACES, 0, at)


def _tag(written: str) -> str:
    """Return the tag at the beginning of `written`, a piece of the view without its `#`; "" if there is none."""
    if not written.isascii():
        written = _cut(written.encode("latin-1").decode("utf-8", "replace"))
    tag = written.rstrip("/")
    return tag if not tag.isdecimal() and tag.strip("-_/") else ""


def _cut(written: str) -> str:
    for index, character in enumerate(written):
        if character not in _PIECES and (category(character)[0] not in _KINDS or character == "\ufffd"):
            return written[:index]
    return written


def _in_address(view: str, at: int) -> bool:
    word = view[max(0, at - LONGEST_WORD) : at]
    space = max(word.rfind(" "), word.rfind("\n"), word.rfind("\t"), word.rfind(">"))
    return "://" in word[space + 1 :]


def outside(places: Sequence[_Place], hidden: Sequence[tuple[int, int]]) -> Iterator[_Place]:
    """Yield the `places`, sorted by their second item, that begin in none of the ranges `hidden`.

    These are sorted too, and may overlap.
    """
    index, reach = 0, -1
    for place in places:
        while index < len(hidden) and hidden[index][0] <= place[1]:
            reach = max(reach, hidden[index][1])
            index += 1
        if place[1] >= reach:
            yield place
