"""Tasks: items with a check box, and items that begin with a word of Logseq's.

What belongs here: what the text of an item says of its state, dates and priority. What does not: where items are,
which `markdown` knows.

Sources: https://publish.obsidian.md/tasks (emoji), https://blacksmithgu.github.io/obsidian-dataview (`[due:: …]`),
https://docs.logseq.com/#/page/tasks (words, `[#A]`, `SCHEDULED: <…>`). Any other character in the box is a state of
somebody's own: Tasks takes it as one still to be done, and so does this. Digits are none, since `- [1] …` is how people
number references.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from functools import lru_cache
from typing import Final, NamedTuple

_BOX: Final = {" ": "open", "x": "done", "X": "done", "-": "cancelled", "/": "doing"}
_WORDS: Final = {
    "TODO": "open",
    "LATER": "open",
    "WAITING": "open",
    "WAIT": "open",
    "DOING": "doing",
    "NOW": "doing",
    "STARTED": "doing",
    "IN-PROGRESS": "doing",
    "DONE": "done",
    "CANCELED": "cancelled",
    "CANCELLED": "cancelled",
}
_MARKER: Final = re.compile(
    r"(?:[-*+]|\d{1,9}[.)])[ \t]{1,4}(?:#{1,6}[ \t]+)?"
    r"(?:\[([^\[\]\t\r\n0-9\x80-\xff]|[\xc2-\xf4][\x80-\xbf]{1,3})\](?=[ \t])"
    rf"|({'|'.join(sorted(_WORDS, reverse=True))})(?=[ \t]))[ \t]*"
)
_THIRD: Final = frozenset("#0123456789.) \t")
_BEGUN: Final = frozenset(word[:3] for word in _WORDS)
_DAY: Final = r"(\d{4}-\d{2}-\d{2})"
_DUE: Final = re.compile(rf"[📅📆🗓]\ufe0f?[ \t]*{_DAY}|[\[(]due::[ \t]*{_DAY}|DEADLINE:[ \t]*<{_DAY}")
_SCHEDULED: Final = re.compile(rf"[⏳⌛]\ufe0f?[ \t]*{_DAY}|[\[(]scheduled::[ \t]*{_DAY}|SCHEDULED:[ \t]*<{_DAY}")
_DONE: Final = re.compile(rf"✅\ufe0f?[ \t]*{_DAY}|[\[(](?:completion|done)::[ \t]*{_DAY}")
_PRIORITY: Final = re.compile(r"([🔺⏫🔼🔽⏬])|\[#([A-Z])\]|[\[(]priority::[ \t]*([^\])\n]{1,40})[\])]")
_PREFIX: Final = " \t>"
_ENDS_TEXT: Final = re.compile(
    r"[-*+][ \t]|\d{1,9}[.)][ \t]|#{1,6}[ \t]|```|~~~|\||<!--|"
    r":[A-Z]+:|[A-Za-z][A-Za-z0-9_-]{0,60}::|SCHEDULED:|DEADLINE:"
)
_PLANNING: Final = ("SCHEDULED:", "DEADLINE:")


class Marker(NamedTuple):
    """The beginning of a task: its state, and where its text begins in the view."""

    state: str
    text_start: int


class Dates(NamedTuple):
    """What a task's text says of time and weight: days as YYYY-MM-DD, the priority as written."""

    due_on: str | None
    scheduled_on: str | None
    done_on: str | None
    priority: str | None


@lru_cache(4096)
def may_be_task(begun: str) -> bool:
    """Return False for most items that are no task, by their third to fifth character: cheaper than `find_marker`."""
    if begun[:1] == "[":
        return begun[2:] == "]" or begun[1:2] >= "\x80"
    return begun[:1] in _THIRD or begun in _BEGUN


def find_marker(view: str, item: int) -> Marker | None:
    """Return the marker of the item that begins at `item`; None if it is no task.

    >>> find_marker("- [x] wash up", 0)
    Marker(state='done', text_start=6)
    """
    match = _MARKER.match(view, item)
    if match is None:
        return None
    return Marker(_BOX.get(match[1], "open") if match[1] else _WORDS[match[2]], match.end())


def text_end(view: str, start: int, end: int) -> tuple[int, str]:
    """Return where a task's text, from `start`, ends at the latest at `end`, and Logseq's planning lines after it.

    Its text is its first paragraph: it goes on over lines until one is blank or begins something else.
    """
    newline = view.find("\n", start, end)
    stop = newline = end if newline < 0 else newline
    planning: list[str] = []
    going_on = True
    while newline < end:
        at, newline = newline + 1, view.find("\n", newline + 1, end)
        newline = end if newline < 0 else newline
        line = view[at:newline].strip(_PREFIX + "\r")
        going_on = going_on and bool(line) and _ENDS_TEXT.match(line) is None
        if going_on:
            stop = newline
        elif line.startswith(_PLANNING):
            planning.append(line)
        elif "::" not in line:  # a property may stand before them
            break
    return stop - (view[stop - 1] == "\r"), "\n".join(planning)


def joined(written: str) -> str:
    """Return the text of a task as one line, without the marks of quotes that continue it."""
    if "\n" not in written:
        return written.strip()
    first, *rest = written.split("\n")
    return " ".join([first.strip(), *(line.lstrip(_PREFIX).rstrip() for line in rest)])


def find_dates(text: str, planning: str) -> Dates:
    """Return the days and the priority that `text`, or the `planning` lines after it, give. No day that doesn't exist.

    >>> find_dates("pay 📅 2024-02-30 ⏳ 2024-02-28 ⏫", "")
    Dates(due_on=None, scheduled_on='2024-02-28', done_on=None, priority='⏫')
    """
    whole = f"{text}\n{planning}" if planning else text
    if whole.isascii() and "[" not in whole and "::" not in whole and "<" not in whole:
        return Dates(None, None, None, None)
    return Dates(_day(_DUE.search, whole), _day(_SCHEDULED.search, whole), _day(_DONE.search, whole), _priority(whole))


def _day(search: Callable[[str], re.Match[str] | None], text: str) -> str | None:
    match = search(text)
    if match is None or match.lastindex is None:
        return None
    try:
        return date.fromisoformat(match[match.lastindex]).isoformat()
    except ValueError:
        return None


def _priority(text: str) -> str | None:
    match = _PRIORITY.search(text)
    return None if match is None or match.lastindex is None else match[match.lastindex].strip()
