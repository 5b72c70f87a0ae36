"""Links written in HTML within a note, `<a href>` and `<img src>`, and what links can point to: ids and `<a name>`.

What belongs here: tags, and their attributes. What does not: HTML files (`formats/html`), and where HTML stands in a
note, which `markdown` knows.

Nothing in HTML comments, scripts and styles is a link or an id. A tag longer than `LONGEST` characters is none: a limit
keeps the search linear.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from html import unescape
from typing import Final, NamedTuple

LONGEST: Final = 8_192
_OPENS: Final = re.compile(r"<(?:!--|(?:a|img|script|style)(?=[\s/>]))", re.IGNORECASE | re.ASCII)
_ANY_OPENS: Final = re.compile(r"<(?:!--|[A-Za-z][A-Za-z0-9-]*+(?=[\s/>]))", re.ASCII)
_TAG: Final = re.compile(r"<[A-Za-z][A-Za-z0-9-]*+((?:[^<>\"']|\"[^\"]*+\"|'[^']*+')*+)>")
_ATTRIBUTE: Final = re.compile(
    r"(?:\A|(?<=[\s\"'/]))([^\s\"'<>/=]++)\s*+=\s*+(?:\"([^\"]*+)\"|'([^']*+)'|([^\s\"'=<>`]++))",
    re.ASCII,
)
_CLOSES: Final = re.compile(r"</a\s*+>", re.IGNORECASE | re.ASCII)
_ANY_TAG: Final = re.compile(r"<[^<>]*+>")
_UNREAD: Final = {"<!--": "-->", "<script": "</script", "<style": "</style"}


class Found(NamedTuple):
    """A link at a place of the view. Its address and text are text, without HTML's escapes."""

    address: str
    text: str
    start: int
    end: int


def find_html_links(view: str, spans: Iterable[Mapping[str, int]]) -> Iterator[Found]:
    """Yield the links in the pieces of HTML at `spans`. The text of `<a>` may go on past its piece.

    >>> view = 'see <a href="b.md">the <b>B</b></a>'
    >>> list(find_html_links(view, [{"start": 4, "end": 19}]))
    [Found(address='b.md', text='the B', start=4, end=35)]
    """
    for name, tag in _tags(view, spans, _OPENS):
        if link := _link(view, name, tag):
            yield link


def find_anchors(view: str, spans: Iterable[Mapping[str, int]]) -> Iterator[tuple[str, int, int]]:
    """Yield what links can point to in the pieces of HTML at `spans`: the id, and where its tag begins and ends.

    >>> list(find_anchors("<a name='top'></a>", [{"start": 0, "end": 14}]))
    [('top', 0, 14)]
    """
    for name, tag in _tags(view, spans, _ANY_OPENS):
        if "=" in tag[1]:
            given = _attributes(tag)
            if anchor := given.get("id") or (given.get("name", "") if name == "a" else ""):
                yield anchor, *tag.span()


def _tags(view: str, spans: Iterable[Mapping[str, int]], opens: re.Pattern[str]) -> Iterator[tuple[str, re.Match[str]]]:
    """Yield the tags that `opens` finds, with their names in lower case, outside of comments, scripts and styles."""
    for span in spans:
        at, end = span["start"], span["end"]
        while (opened := opens.search(view, at, end)) is not None:
            at = opened.start()
            if (close := _UNREAD.get(opened[0].lower())) is not None:
                at = _after(view, close, opened.end(), end)
                continue
            tag = _TAG.match(view, at, min(end, at + LONGEST))
            if tag is None:
                at = opened.end()
                continue
            yield opened[0][1:].lower(), tag
            at = tag.end()


def _after(view: str, close: str, start: int, end: int) -> int:
    at = view.find(close, start, end)
    return end if at < 0 else at + len(close)


def _link(view: str, name: str, tag: re.Match[str]) -> Found | None:
    given = _attributes(tag)
    address = _plain(given.get("src" if name == "img" else "href", ""))
    if not address:
        return None
    if name == "img":
        return Found(address, _plain(given.get("alt", "")), *tag.span())
    close = _CLOSES.search(view, tag.end(), tag.end() + LONGEST)
    if close is None:
        return Found(address, "", *tag.span())
    return Found(address, _plain(_ANY_TAG.sub("", view[tag.end() : close.start()])), tag.start(), close.end())


def _attributes(tag: re.Match[str]) -> dict[str, str]:
    return {match[1].lower(): match[2] or match[3] or match[4] or "" for match in _ATTRIBUTE.finditer(tag[1])}


def _plain(written: str) -> str:
    """Return a piece of the view as the text it means."""
    text = written if written.isascii() else written.encode("latin-1").decode("utf-8", "replace")
    return unescape(" ".join(text.split()))
