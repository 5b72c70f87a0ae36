"""Blocks that have a name or a kind: callouts, alerts, admonitions, and what a link can point to.

What belongs here: where such a block begins and ends, and its text. What does not: what hides a block (code, comments),
which `markdown` knows.

Rules:

- A quote that begins with `[!type]` is a callout (https://help.obsidian.md/callouts); it is an alert if it is one of
  GitHub's five, in capitals and alone on its line (https://docs.github.com → Basic writing → Alerts).
- `:::note` to `:::` is a callout, with `[Title]` or a title after its type, if the type is one of Docusaurus's
  (https://docusaurus.io/docs/markdown-features/admonitions). It is closed by the first line of as many colons or more;
  what is not closed is text.
- `^id` at the end of a paragraph, or of an item's own text, names it; on a line of its own it names the block before:
  a paragraph, list, quote, table or code (https://help.obsidian.md/links). Letters, digits and hyphens make an id.
- `id:: …` is Logseq's name of the item it stands in, without the items below that; outside of lists, of the heading
  or the paragraph it stands below.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

Span = Mapping[str, int]

_CALLOUT: Final = re.compile(r">[ \t]{0,4}\[!([^\]\r\n|]{1,80})(?:\|[^\]\r\n]{0,200})?\]([+-]?)[ \t]*([^\r\n]*)")
DEEPEST: Final = 10
"""Callouts in more quotes than this are text of the one around them, which holds the text of all within it."""
_ADMONITION: Final = re.compile(
    r"^([ \t]{0,40}+)(:{3,9})"
    r"(?:[ \t]{0,4}+(note|tip|info|important|success|secondary|caution|warning|danger)(?![A-Za-z0-9_-])"
    r"(?:\[([^\]\r\n]{0,200})\])?(?:\{[^}\r\n]{0,200}\})?((?:[ \t][^\r\n]*+)?+))?[ \t]*+\r?$",
    re.MULTILINE,
)
_ALERTS: Final = frozenset(("NOTE", "TIP", "IMPORTANT", "WARNING", "CAUTION"))
_ID: Final = re.compile(r"\^([A-Za-z0-9-]+)[ \t]*\r?(?=\n|\Z)")
_BEFORE_ID: Final = frozenset(" \t\r\n>")
_MARKER: Final = re.compile(r"[ \t\r\n]*(?:[-*+]|\d{1,9}[.)])(?:[ \t]{1,4}|(?=[\r\n])|\Z)")
_PROPERTY_LINE: Final = re.compile(r"^[ \t]*[A-Za-z][A-Za-z0-9_.-]{0,60}::(?:[ \t][^\n]*)?\r?(?:\n|\Z)", re.MULTILINE)
_BLANK: Final = " \t\r\n"


class Found(NamedTuple):
    """A block in the view. Its text is a piece of the view too."""

    kind: str
    name: str
    title: str | None
    text: str
    start: int
    end: int


class Layout(NamedTuple):
    """Where the blocks of a note are, in the order of the text."""

    items: Sequence[Span]
    paragraphs: Sequence[Span]
    others: Sequence[Span]
    """Lists, quotes and code, in any order."""


def find_callouts(view: str, quotes: Iterable[Span]) -> Iterator[Found]:
    """Yield the callouts and alerts among the `quotes`.

    >>> list(find_callouts("> [!tip]- Look\\n> here\\n", [{"start": 0, "end": 22}]))
    [Found(kind='callout', name='tip', title='Look', text='here', start=0, end=21)]
    """
    for span in quotes:
        match = _CALLOUT.match(view, span["start"], span["end"])
        if match is None or (depth := _depth(view, span["start"])) > DEEPEST:
            continue
        kind, fold, title = match[1].strip(_BLANK), match[2], match[3].strip(_BLANK)
        start, end = span["start"], _before_blank(view, span["start"], span["end"])
        is_alert = kind in _ALERTS and not fold and not title
        text = _unquoted(view[match.end() : end].lstrip("\r\n"), depth)
        yield Found("alert" if is_alert else "callout", kind, title or None, text, start, end)


def find_fences(view: str) -> list[tuple[re.Match[str], int, int]]:
    """Return the lines that may open or close an admonition, with where their colons begin and they end."""
    return [(match, match.start(2), match.end()) for match in _ADMONITION.finditer(view)]


def find_admonitions(view: str, fences: Iterable[tuple[re.Match[str], int, int]]) -> Iterator[Found]:
    """Yield the admonitions that the `fences` make, in the order in which they are closed.

    >>> view = ":::tip[Look]\\nhere\\n:::\\n"
    >>> list(find_admonitions(view, find_fences(view)))
    [Found(kind='callout', name='tip', title='Look', text='here', start=0, end=21)]
    """
    opened: list[re.Match[str]] = []
    for match, *_ in fences:
        if match[3] is not None:
            if len(opened) < DEEPEST and not match[5].rstrip(_BLANK).endswith(":::"):
                opened.append(match)
            continue
        yield from (_admonition(view, mark, match) for mark in opened if len(mark[2]) <= len(match[2]))
        opened = [mark for mark in opened if len(mark[2]) > len(match[2])]


def _admonition(view: str, opened: re.Match[str], closed: re.Match[str]) -> Found:
    margin = len(opened[1])
    lines = view[opened.end() : closed.start()].replace("\r", "").split("\n")
    text = "\n".join(line[min(margin, len(line) - len(line.lstrip(" \t"))) :] for line in lines)
    title = (opened[4] or opened[5]).strip(_BLANK) or None
    return Found("callout", opened[3], title, text.strip(_BLANK), opened.start(2), closed.end(2))


def _depth(view: str, start: int) -> int:
    line = view.rfind("\n", max(0, start - 1_000), start) + 1
    return view.count(">", line, start + 1)


def _unquoted(text: str, depth: int) -> str:
    """Return `text` without the marks of `depth` quotes before its lines."""
    if depth == 0 or not text:
        return text
    return "\n".join(_without_marks(line, depth) for line in text.rstrip("\r").split("\n"))


def _without_marks(line: str, depth: int) -> str:
    for _ in range(depth):
        rest = line.lstrip(" \t")
        if not rest.startswith(">"):
            break
        line = rest[1:].removeprefix(" ")
    return line


def _before_blank(view: str, start: int, end: int) -> int:
    """Return `end` without the white space before it; never before `start`."""
    return start + len(view[start:end].rstrip(_BLANK))


def find_ids(view: str) -> list[tuple[str, int, int]]:
    """Return what looks like an Obsidian block id, at the end of a line, with where its `^` and its last character are.

    >>> find_ids("text ^a-1\\nx^2")
    [('a-1', 5, 9)]
    """
    return [
        (match[1], match.start(), match.end(1))
        for match in _ID.finditer(view)
        if match.start() == 0 or view[match.start() - 1] in _BEFORE_ID
    ]


def find_named(view: str, ids: Sequence[tuple[str, int, int]], layout: Layout) -> Iterator[Found]:
    """Yield the block that each of the `ids` names; an id that stands at the end of no block names none."""
    tops = _outermost(layout.others)
    top_starts = [span["start"] for span in tops]
    starts = [span["start"] for span in layout.paragraphs]
    for (name, at, end), item in zip(ids, innermost(layout.items, [at for _, at, _ in ids]), strict=True):
        index = bisect_right(starts, at) - 1
        paragraph = layout.paragraphs[index] if index >= 0 and at < layout.paragraphs[index]["end"] else None
        if paragraph is not None and view[end : paragraph["end"]].strip(_BLANK):
            continue
        if item is not None and (paragraph is None or _opens(view, layout.items[item], paragraph, at)):
            if block := _item(view, layout, item, name, at, end):
                yield block
        elif paragraph is not None:
            start = paragraph["start"]
            text = _unquoted(view[start:at].rstrip(_BLANK), _depth(view, start) if view[start - 1 : start] else 0)
            if text.strip(" \t>\r\n"):
                yield Found("block", name, None, text, start, end)
            elif (
                before := _before(view, start, tops, top_starts, layout.paragraphs[max(0, index - 1) : index])
            ) is not None:
                text = view[before["start"] : before["end"]].strip("\r\n")
                yield Found("block", name, None, text, before["start"], end)


def _opens(view: str, item: Span, paragraph: Span, at: int) -> bool:
    """Return whether an id in `paragraph` names the whole item: in its first paragraph, or alone in a later one."""
    before = _MARKER.sub("", view[item["start"] : paragraph["start"]], count=1)
    return not before.strip(_BLANK) or not view[paragraph["start"] : at].strip(_BLANK)


def _item(view: str, layout: Layout, index: int, name: str, at: int, end: int) -> Found | None:
    start, limit = _own(view, layout.items, index)
    if at >= limit or view[end:limit].strip(_BLANK):
        return None
    return Found("block", name, None, _item_text(view, start, at), start, end)


def item_block(view: str, items: Sequence[Span], index: int, name: str) -> Found:
    """Return the item at `index` as the block that is called `name`, without the properties in it."""
    start, limit = _own(view, items, index)
    end = _before_blank(view, start, limit)
    return Found("block", name, None, _item_text(view, start, end), start, end)


def text_block(view: str, start: int, end: int, name: str) -> Found:
    """Return what stands from `start` to `end`, a heading or a paragraph, as the block that is called `name`."""
    end = _before_blank(view, start, end)
    return Found("block", name, None, without_properties(view[start:end]).strip(_BLANK), start, end)


def without_properties(text: str) -> str:
    """Return `text` without its lines `key:: value`."""
    return _PROPERTY_LINE.sub("", text) if "::" in text else text


def _own(view: str, items: Sequence[Span], index: int) -> tuple[int, int]:
    """Return where an item begins, and where the first item within it begins or it ends."""
    start, end = items[index]["start"], items[index]["end"]
    start += len(view[start:end]) - len(view[start:end].lstrip(_BLANK))  # a tab before it may count as its own
    if index + 1 < len(items):
        end = min(end, max(items[index + 1]["start"], start))
    return start, end


def _item_text(view: str, start: int, end: int) -> str:
    marker = _MARKER.match(view, start, end)
    begins = marker.end() if marker else start
    margin = begins - (view.rfind("\n", max(0, start - 1_000), start) + 1)
    first, *rest = without_properties(view[begins:end]).split("\n")
    lines = [first, *(line[min(margin, len(line) - len(line.lstrip(" \t"))) :] for line in rest)]
    return "\n".join(lines).strip(_BLANK)


def innermost(items: Sequence[Span], places: Sequence[int]) -> Iterator[int | None]:
    """Yield for each of the sorted `places` the index of the innermost item around it; None if there is none.

    >>> list(innermost([{"start": 0, "end": 9}, {"start": 3, "end": 5}], [1, 4, 7, 9]))
    [0, 1, 0, None]
    """
    around: list[int] = []
    index = 0
    for place in places:
        while index < len(items) and items[index]["start"] <= place:
            while around and items[around[-1]]["end"] <= items[index]["start"]:
                around.pop()
            around.append(index)
            index += 1
        while around and items[around[-1]]["end"] <= place:
            around.pop()
        yield around[-1] if around else None


def _outermost(spans: Iterable[Span]) -> list[Span]:
    found: list[Span] = []
    for span in sorted(spans, key=lambda span: (span["start"], -span["end"])):
        if not found or span["start"] >= found[-1]["end"]:
            found.append(span)
    return found


def _before(view: str, start: int, tops: Sequence[Span], starts: Sequence[int], last: Sequence[Span]) -> Span | None:
    """Return the block right before `start`, with nothing but white space between."""
    index = bisect_right(starts, start - 1) - 1
    near = [*([tops[index]] if index >= 0 else []), *last]
    near = [span for span in near if span["end"] <= start and not view[span["end"] : start].strip(_BLANK)]
    return min(near, key=lambda span: span["start"], default=None)
