"""Markdown as Obsidian, Logseq, Jekyll, Hugo and GitHub write it.

What belongs here: from pyromark's events to the parts of a note. What does not: front matter, tags, tasks, fields,
blocks and links in HTML, each in files of their own in the folder above.

Rules:

- The title is the front matter's, else Logseq's `title::`, else the first heading of level 1, else the file's name.
- A section goes from the line of its heading to that of the next heading of any level, or the end of the file.
- Anchors are made as GitHub makes them: lower case, without punctuation, `-` for space, `-1`, `-2` … for the next of
  the same name. One that is given, `# Heading {#id}` as Hugo and Docusaurus have it, is taken as it is.
- A link's target is what it points to after Markdown's escapes, without the fragment. In a relative link `%20` and its
  like are decoded, since they stand for a file's name; an address with a scheme stays as it is. A mail address gets
  `mailto:`. An image is `image` however its target is given.
- Nothing in code, HTML, `<!-- -->`, `%% %%` or math is a heading, Markdown link, tag, task, field or block. An unclosed
  `%%` or `$` hides nothing. `<a href>` and `<img src>` in HTML are links of kind `html`; an id
  there, or `<a name>`, is a block of kind `anchor`.
- Math is `$…$` in one line, with no space within its marks and no word at them, and `$$…$$`, over several lines if it
  begins one.
- `((id))` is Logseq's reference to a block: a link of kind `block`. `{{embed …}}` of one or of a page is an `embed`;
  that of a block keeps its brackets in the target, which tells it from a page.
- Wikilinks in front matter are links, as Obsidian has them.
- A code block's range is that of its lines, its text is without the indentation or `>` of what it stands in, and with
  `\\n` for `\\r\\n`.
- `key:: value` lines at the very top are Logseq's page properties; they stay in the body, as Logseq shows them.
- In a page of Logseq (in `pages/` or `journals/`, with properties at its top or an `id::` below a bullet) bullets that
  are indented by tabs below a heading are a list, as Logseq has them, and no code.
- A Logseq file name (`a___b`, `a%3Ab`) also answers to the page it stands for.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final
from unicodedata import category
from urllib.parse import unquote

import pyromark

from dagster_project.shaping.blocks import Found as FoundBlock
from dagster_project.shaping.blocks import (
    Layout,
    find_admonitions,
    find_callouts,
    find_fences,
    find_ids,
    find_named,
    innermost,
    item_block,
    text_block,
    without_properties,
)
from dagster_project.shaping.decoding import Text, count_words, decode, in_file
from dagster_project.shaping.fields import Found as FoundField
from dagster_project.shaping.fields import find_fields
from dagster_project.shaping.front_matter import FrontMatter, find_front_matter, read_front_matter
from dagster_project.shaping.html_links import find_anchors, find_html_links
from dagster_project.shaping.parsed import Block, CodeBlock, Link, Parsed, Section, Task
from dagster_project.shaping.tags import find_tags, outside
from dagster_project.shaping.tasks import find_dates, find_marker, joined, may_be_task, text_end

MEDIA_TYPES: Final = dict.fromkeys((".md", ".markdown", ".mdown", ".mkd", ".mdx"), "text/markdown")
PARSER: Final = "markdown/pyromark"
EXTRA: Final = None

_PARSER: Final = pyromark.Markdown(options=pyromark.Options.ENABLE_WIKILINKS)

_CLOSING: Final = frozenset(("Link", "Image", "CodeBlock"))
_FENCES: Final = ("---", "+++", "{")
_LEVELS: Final = {f"H{level}": level for level in range(1, 7)}
_KINDS: Final = {
    "Inline": "markdown",
    "Reference": "reference",
    "Collapsed": "reference",
    "Shortcut": "reference",
    "Autolink": "autolink",
    "Email": "autolink",
}
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:|//")
_COMMENT: Final = re.compile("%%")
_DISPLAY: Final = re.compile(r"\$\$")
_INLINE_MATH: Final = re.compile(
    r"\$(?<![\\$\w\x80-\xff]\$)(?![\s$])[^$\n`]*+(?<![\s\\$])\$(?![\w$\x80-\xff])", re.ASCII
)
_BEGINS_LINE: Final = frozenset(" \t>-*+")
_BLOCK_ID: Final = r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}"
_REFERENCE: Final = re.compile(rf"\(\(({_BLOCK_ID})\)\)")
_LOGSEQ: Final = frozenset("([")
_BULLET_ID: Final = re.compile(rf"\n\t+[ \t]{{2,8}}id:: {_BLOCK_ID}")
_MOST_TABS: Final = 3
"""A list may be indented by three spaces."""
_EMBED: Final = "{{embed"
_INDENT: Final = 80
"""How much white space is looked through; a limit keeps the search linear."""
_FAR: Final = 2_000
_WIKILINK: Final = re.compile(r"\[\[([^\[\]\r\n]+)\]\]")
_IN_WORDS: Final = frozenset(("Mn", "Mc", "Me", "Pc"))
_PROPERTY: Final = re.compile(r"([A-Za-z][A-Za-z0-9_.-]{0,60})::(?:[ \t]+([^\r\n]*))?\r?(?:\n|\Z)")
_ANCHORED: Final = bytes.maketrans(b" ", b"-")
_BLANK: Final = "\n\r\t "
_NO_ANCHOR: Final = frozenset(" \t{}#")
_DROPPED: Final = bytes(code for code in range(128) if not (chr(code).isalnum() or chr(code) in "-_ "))
"""ASCII that an anchor does not take over."""

Read = Callable[[str], str]
Span = Mapping[str, int]
"""A range as pyromark gives it: `start` and `end`."""
Place = tuple[str, int, int]
Mark = list[Any]
"""Something pyromark found: its tag, start, end, line, the text in it, and the first and the last piece of that.

A list, since there is one for every link, and an object of a class takes five times as long to make.
"""


@dataclass(slots=True)
class _Outline:
    """What pyromark found in a body, in the order of the text. Ranges count from the body's first byte."""

    headings: list[Mark] = field(default_factory=list)
    links: list[Mark] = field(default_factory=list)
    codes: list[Mark] = field(default_factory=list)
    items: list[Span] = field(default_factory=list)
    opaque: list[Span] = field(default_factory=list)
    """Where nothing is read as Markdown: code in a line, HTML, comments, math."""
    html: list[Span] = field(default_factory=list)
    quotes: list[Span] = field(default_factory=list)
    lists: list[Span] = field(default_factory=list)
    paragraphs: list[Span] = field(default_factory=list)
    """Those outside of tight lists; collected only if the note may have block ids."""


@dataclass(slots=True)
class _Note:
    """A note being read. Places in it count from the body's first byte; `base` and `line` say where it begins."""

    view: str
    base: int
    line: int
    read: Read
    is_ascii: bool
    outline: _Outline
    _hidden: list[tuple[int, int]] | None = None

    def hidden(self) -> list[tuple[int, int]]:
        """Return, sorted, where no tag, field or block is: code, HTML, comments, math, links."""
        if self._hidden is None:
            outline = self.outline
            hidden = [(span["start"], span["end"]) for span in outline.opaque]
            hidden += [(mark[1], mark[2]) for mark in outline.links]
            hidden += [(mark[1], mark[2]) for mark in outline.codes]
            hidden.sort()
            self._hidden = hidden
        return self._hidden


def read(content: bytes, path: str) -> Parsed:
    """Read a Markdown file. Raises `Unreadable` if it can't be decoded; all else is kept, and told in `dropped`.

    >>> note = read(b"# Lake\\nSee [[Ideas#Now|ideas]]. #water\\n", "notes/lake.md")
    >>> note.title, note.tags, note.links
    ('Lake', ['water'], [('wikilink', 'Ideas', 'Now', 'ideas', 2, 11, 30)])
    """
    source = decode(content)
    front = _front_matter(source)
    view = source.view[front.end :] if front.end else source.view
    body = source.read(view) if front.end else source.text
    line = 1 + source.view.count("\n", 0, front.end)
    outline = _walk(body, view, line)
    if outline.codes and (indented := _bullets(view, outline.codes)) and _is_logseq(view, path):
        outline = _walk(source.read(_unindented(view, indented)), view, line)
    note = _Note(view, source.mark + front.end, line, source.read, source.view is source.text, outline)
    if "%" in view or "$" in view:  # a search for one character is several times faster
        _hide(note)
    parsed = Parsed("", body, word_count=count_words(body))
    parsed.sections = _sections(note)
    parsed.code_blocks = _code_blocks(note)
    _add_front_matter(parsed, front, source)
    after = _add_page_properties(parsed, note)
    if "#" in view:
        _add_tags(parsed, note)
    parsed.links = _all_links(note, front, source)
    if outline.items:
        parsed.tasks = _tasks(note, parsed.sections)
    named = _add_fields(parsed, note, after)
    if named or outline.quotes or outline.html or "^" in view or ":::" in view:
        parsed.blocks = _blocks(note, named)
    parsed.tags = sorted({use[0] for use in parsed.tag_uses})
    _name(parsed, path)
    return in_file(parsed, source, content)


def _front_matter(source: Text) -> FrontMatter:
    found = find_front_matter(source.view) if source.view.startswith(_FENCES) else None
    if found is None:
        return FrontMatter()
    start, end, body = found
    return read_front_matter(source.view, start, end, source.read(source.view[start:end]), body) or FrontMatter()


def _walk(body: str, view: str, line: int) -> _Outline:  # noqa: C901  calls would cost more than what they do
    """Collect what the note is made of in one pass. The hot loop, and most of what a note costs."""
    outline = _Outline()
    links, headings, codes, items = outline.links, outline.headings, outline.codes, outline.items
    opaque, quotes, lists, html = outline.opaque, outline.quotes, outline.lists, outline.html
    paragraphs = outline.paragraphs if "^" in view else None
    open_: list[Mark] = []
    pieces: list[str] = []
    first: Span | None = None
    final: Span | None = None
    last, count = 0, view.count
    events: Iterable[tuple[Any, Any]] = _PARSER.events_with_range(body)  # to have pieces of text merged costs more
    for event, span in events:
        # An event is a dict of one key, or a word; `in` tells them apart soonest.
        if "Text" in event:
            if open_:
                pieces.append(event["Text"])
                final = span
                if first is None:
                    first = span
        elif "Start" in event:
            tag = event["Start"]
            if tag.__class__ is dict:
                if "Link" in tag:
                    found, data = links, tag["Link"]
                elif "Heading" in tag:
                    found, data = headings, tag["Heading"]
                elif "CodeBlock" in tag:
                    found, data = codes, tag["CodeBlock"]
                elif "Image" in tag:
                    found, data = links, tag["Image"]
                else:
                    if "List" in tag:
                        lists.append(span)
                    elif "BlockQuote" in tag:
                        quotes.append(span)
                    continue
                start = span["start"]
                line += count("\n", last, start)
                last = start
                mark = [data, start, span["end"], line, len(pieces), None]
                found.append(mark)
                open_.append(mark)
            elif tag == "Paragraph":
                if paragraphs is not None:
                    paragraphs.append(span)
            elif tag == "Item":
                items.append(span)
            elif tag == "HtmlBlock":
                html.append(span)
        elif "End" in event:
            if open_:
                tag = event["End"]
                if tag in _CLOSING if tag.__class__ is str else "Heading" in tag:
                    mark = open_.pop()
                    at = mark[4]
                    mark[4], mark[5] = "".join(pieces[at:] if at else pieces), (first, final)
                    first = None
                    if not open_:
                        pieces = []
        elif event.__class__ is str:
            if open_:
                pieces.append(" ")
        else:
            opaque.append(span)
            if "InlineHtml" in event:
                html.append(span)
            elif open_ and "Code" in event:
                pieces.append(event["Code"])
    return outline


def _bullets(view: str, codes: Iterable[Mark]) -> list[tuple[int, int]]:
    """Return where there are blocks indented by tabs that begin with a bullet."""
    found = []
    for kind, start, end, *_ in codes:
        if kind == "Indented" and view[start : start + _INDENT].lstrip("\t").startswith("- "):
            begin = view.rfind("\n", 0, start) + 1
            if not view[begin:start].strip("\t"):
                found.append((begin, end))
    return found


def _is_logseq(view: str, path: str) -> bool:
    return (
        not {"pages", "journals"}.isdisjoint(path.split("/")[:-1])
        or _PROPERTY.match(view) is not None
        or _BULLET_ID.search(view) is not None
    )


def _unindented(view: str, blocks: Iterable[tuple[int, int]]) -> str:
    """Return the view with a space for each tab that indents all of a block: a list then, and every place as it was."""
    pieces, last = [], 0
    for start, end in blocks:
        tabs = len(view[start:end]) - len(view[start:end].lstrip("\t"))
        if tabs > _MOST_TABS:
            continue
        lines = view[start:end].split("\n")
        pieces += [view[last:start], "\n".join(_spaced(line, tabs) for line in lines)]
        last = end
    return "".join([*pieces, view[last:]])


def _spaced(line: str, tabs: int) -> str:
    indent = min(tabs, len(line) - len(line.lstrip("\t")))
    return " " * indent + line[indent:]


def _hide(note: _Note) -> None:
    """Take what stands in comments and math out of the outline."""
    outline, view = note.outline, note.view
    comments = _marked(_COMMENT, view) if "%%" in view else []
    displays = _marked(_DISPLAY, view) if "$$" in view else []
    math = _marked(_INLINE_MATH, view) if "$" in view else []
    if not comments and not displays and not math:
        return
    code = [(span["start"], span["end"]) for span in outline.opaque]
    code += [(mark[1], mark[2]) for mark in outline.codes]
    code.sort()
    places = sorted(_asides(view, code, comments, displays, math))
    if not places:
        return
    starts = [start for start, _ in places]

    def is_seen(start: int) -> bool:
        index = bisect_right(starts, start) - 1
        return index < 0 or start >= places[index][1]

    outline.headings = [mark for mark in outline.headings if is_seen(mark[1])]
    outline.links = [mark for mark in outline.links if is_seen(mark[1])]
    outline.codes = [mark for mark in outline.codes if is_seen(mark[1])]
    for name in ("items", "html", "quotes"):
        setattr(outline, name, [span for span in getattr(outline, name) if is_seen(span["start"])])
    outline.opaque.extend({"start": start, "end": end} for start, end in places)


def _marked(pattern: re.Pattern[str], view: str) -> list[Place]:
    return [("", *match.span()) for match in pattern.finditer(view)]


def _asides(
    view: str, code: list[tuple[int, int]], comments: list[Place], displays: list[Place], math: list[Place]
) -> list[tuple[int, int]]:
    """Return where comments and math are, in any order, not one within another."""
    marks = list(outside(comments, code))
    found = [(opened[1], closed[2]) for opened, closed in zip(marks[::2], marks[1::2], strict=False)]
    if displays:
        found += _displays(view, outside(displays, sorted([*code, *found])))
    if math:
        found += [place[1:] for place in outside(math, sorted([*code, *found]))]
    return found


def _displays(view: str, marks: Iterable[Place]) -> Iterator[tuple[int, int]]:
    """Yield where `$$…$$` is, of its marks: in one line, or from the beginning of one on."""
    opened: int | None = None
    has_begun = False
    line = 0
    for _, start, end in marks:
        line = max(line, view.rfind("\n", line, start) + 1)
        begins = _BEGINS_LINE.issuperset(view[line : min(start, line + _INDENT)]) and start - line <= _INDENT
        if opened is not None and (opened >= line or has_begun):
            yield opened, end
            opened = None
        else:
            opened, has_begun = start, begins


def _sections(note: _Note) -> list[Section]:
    view, base, headings = note.view, note.base, note.outline.headings
    starts = _section_starts(note)
    starts.append(len(view))
    sections = _before_headings(note, starts[0])
    levels: list[int] = []
    path: list[str] = []
    used: dict[str, int] = {}
    for index, (data, _, _, line, text, _) in enumerate(headings):
        start, end = starts[index], starts[index + 1]
        level, heading = _LEVELS[data["level"]], text.strip()
        heading, given = _given_anchor(heading) if heading[-1:] == "}" else (heading, "")
        while levels and levels[-1] >= level:
            levels.pop()
            path.pop()
        levels.append(level)
        path.append(heading)
        name = given or anchor(heading)
        if name in used:
            name = next_anchor(name, used)
        used[name] = 0
        sections.append((level, heading, path[:], name, view[start:end], line, base + start, base + end))
    if not note.is_ascii:
        return [part if part[4].isascii() else (*part[:4], note.read(part[4]), *part[5:]) for part in sections]
    return sections


def _given_anchor(heading: str) -> tuple[str, str]:
    """Return a heading without the anchor it gives, and that; "" if it gives none."""
    at = heading.rfind("{#")
    given = heading[at + 2 : -1]
    if at < 0 or not given or not _NO_ANCHOR.isdisjoint(given):
        return heading, ""
    return heading[:at].rstrip(), given


def _before_headings(note: _Note, end: int) -> list[Section]:
    text = note.view[:end]
    if not text or text.isspace():
        return []
    return [(0, None, [], None, text, note.line, note.base, note.base + end)]


def _section_starts(note: _Note) -> list[int]:
    """Return where the line of each heading begins; where lines end with a lone CR, where the heading itself begins."""
    view, starts, last = note.view, [], -1
    for mark in note.outline.headings:
        start = mark[1]
        if start and view[start - 1] != "\n":
            line = view.rfind("\n", 0, start) + 1
            start = line if line > last else start
        starts.append(start)
        last = start
    return starts


@lru_cache(4096)
def anchor(heading: str) -> str:
    """Return the fragment GitHub gives a heading, before it is made unique.

    >>> anchor("What's new: C# & naïve?")
    'whats-new-c--naïve'
    """
    if heading.isascii():
        return heading.lower().encode().translate(_ANCHORED, _DROPPED).decode()
    return "".join(_anchored(character) for character in heading.lower())


def _anchored(character: str) -> str:
    if character == " ":
        return "-"
    return character if character.isalnum() or character in "-_" or category(character) in _IN_WORDS else ""


def next_anchor(name: str, used: dict[str, int]) -> str:
    """Return the first of `name-1`, `name-2` … that is free, as https://github.com/Flet/github-slugger does."""
    following = name
    while following in used:
        used[name] += 1
        following = f"{name}-{used[name]}"
    return following


def _code_blocks(note: _Note) -> list[CodeBlock]:
    view, base = note.view, note.base
    blocks: list[CodeBlock] = []
    for kind, begin, stop, line, text, lines in note.outline.codes:
        first, final = lines
        start, end = (first["start"], final["end"]) if first else _nothing(view, begin, stop)
        if view[end - 2 : end] == "\r\r" and end - start > 1:  # a blank line that pyromark leaves out of the text
            end -= 1
        info = kind["Fenced"].split(None, 1) if kind.__class__ is dict else ()
        at = line + view.count("\n", begin, start)
        blocks.append((info[0] if info else None, text, at, base + start, base + end))
    return blocks


def _nothing(view: str, start: int, end: int) -> tuple[int, int]:
    """Return the empty range below the fence of a block without a line."""
    newline = view.find("\n", start, end)
    at = end if newline < 0 else newline + 1
    return at, at


def _all_links(note: _Note, front: FrontMatter, source: Text) -> list[Link]:
    """Return the links of the text, of HTML in it and of the front matter, in the order they stand in."""
    links = _links(note)
    more: list[Link] = []
    if note.outline.html:
        more.extend(_html_links(note))
    if _REFERENCE.search(note.view) is not None:  # twice as fast as to look for `((`
        more.extend(_references(note))
    if front.end and "[[" in source.view[: front.end]:
        more.extend(_front_links(front.end, source))
    return sorted([*links, *more], key=_link_start) if more else links


def _link_start(link: Link) -> int:
    return link[-2] or 0


def _html_links(note: _Note) -> Iterator[Link]:
    view, line, last = note.view, note.line, 0
    for address, text, start, end in find_html_links(view, note.outline.html):
        line, last = line + view.count("\n", last, start), start
        target, fragment = _address(address, "Html")
        yield ("html", target, fragment, text, line, note.base + start, note.base + end)


def _references(note: _Note) -> Iterator[Link]:
    """Yield Logseq's references to blocks, and its embeds of them."""
    view, line, last = note.view, note.line, 0
    found = [(match[1], *match.span()) for match in _REFERENCE.finditer(view)]
    for block, start, end in outside(found, note.hidden()):
        line, last = line + view.count("\n", last, start), start
        kind, target = ("embed", f"(({block}))") if _is_embedded(view, start, end) else ("block", block)
        yield (kind, target, None, block, line, note.base + start, note.base + end)


def _is_embedded(view: str, start: int, end: int) -> bool:
    before = view[max(0, start - len(_EMBED) - _INDENT) : start].rstrip(" \t")
    return before.endswith(_EMBED) and view[end : end + _INDENT].lstrip(" \t").startswith("}}")


def _front_links(end: int, source: Text) -> Iterator[Link]:
    view, mark, line, last = source.view, source.mark, 1, 0
    for match in _WIKILINK.finditer(view, 0, end):
        start = match.start()
        line, last = line + view.count("\n", last, start), start
        before = view[view.rfind("\n", 0, start) + 1 : start]
        written, bar, text = source.read(match[1]).partition("|")
        if "," in written or before.lstrip(" \t").startswith("#"):  # a list in a list, and a comment
            continue
        target, fragment = _page(written)
        is_embed = before.endswith("!")
        kind, start = ("embed", start - 1) if is_embed else ("wikilink", start)
        yield (kind, target, fragment, text.strip() if bar else written, line, mark + start, mark + match.end())


def _links(note: _Note) -> list[Link]:
    base, view = note.base, note.view
    has_embeds: bool | None = None
    alt_end = 0
    links: list[Link] = []
    for data, start, end, line, text, _ in note.outline.links:
        target, type_ = data["dest_url"], data["link_type"]
        fragment = None
        is_image = view[start] == "!"
        if start < alt_end:  # what describes an image is text
            continue
        if is_image:
            alt_end = end
        if type_.__class__ is dict:
            if "\n" in target:  # code that looks like a link: no page's name goes over two lines
                continue
            if has_embeds is None:
                has_embeds = "{" in view and _EMBED in view
            is_embed = is_image or (has_embeds and _is_embedded(view, start, end))
            kind = "embed" if is_embed else "wikilink"
            target, fragment = _page(target)
        elif target[:1] in _LOGSEQ and (logseq := _logseq(target)) is not None:
            kind, target = logseq
        else:
            kind = "image" if is_image else _KINDS[type_]
            if "%" in target or type_ == "Email":
                target, fragment = _address(target, type_)
            elif "#" in target:
                target, _, fragment = target.partition("#")
                fragment = fragment or None
        links.append((kind, target, fragment, text, line, base + start, base + end))
    return links


def _logseq(target: str) -> tuple[str, str] | None:
    """Return kind and target of Logseq's `[text](((id)))` and `[text]([[page]])`; None of any other link."""
    if (block := _REFERENCE.fullmatch(target)) is not None:
        return "block", block[1]
    return ("wikilink", target[2:-2]) if target.startswith("[[") and target.endswith("]]") else None


def _page(written: str) -> tuple[str, str | None]:
    # In a table the bar is escaped, [[page\|text]], and pyromark leaves the backslash to the target.
    target, _, fragment = written.rstrip("\\").partition("#")
    return target.strip(), fragment.strip() or None


def _address(written: str, type_: str) -> tuple[str, str | None]:
    if type_ == "Email":
        return f"mailto:{written}", None
    target, _, fragment = written.partition("#")
    if "%" in written and _SCHEME.match(written) is None:
        return _decoded(target), _decoded(fragment) or None
    return target, fragment or None


def _decoded(written: str) -> str:
    try:
        return unquote(written, errors="strict")
    except UnicodeDecodeError:
        return written


def _add_tags(parsed: Parsed, note: _Note) -> None:
    """Add the tags of the text; a `#[[tag]]` is one and no link."""
    found = list(find_tags(note.view))
    if not found:
        return
    if any(tag == "" for tag, _, _ in found):
        tags = [place for place in found if place[0]]
        found = sorted([*tags, *_take_bracketed(note)], key=_start)
    if not found:
        return
    line, last = note.line, 0
    found = list(outside(found, note.hidden()))
    if found and "]:" in note.view:
        found = list(outside(found, _definitions(note)))
    for tag, start, end in found:
        line, last = line + note.view.count("\n", last, start), start
        parsed.tag_uses.append((tag, "inline", line, note.base + start, note.base + end))


def _start(found: tuple[str, int, int]) -> int:
    return found[1]


def _take_bracketed(note: _Note) -> Iterator[tuple[str, int, int]]:
    links = []
    for mark in note.outline.links:
        data, start, end = mark[:3]
        if start and data["link_type"].__class__ is dict and note.view[start - 1 : start + 1] == "#[":
            yield data["dest_url"].strip(), start - 1, end
        else:
            links.append(mark)
    note.outline.links = links


def _definitions(note: _Note) -> list[tuple[int, int]]:
    definitions = pyromark.reference_definitions(note.read(note.view))
    return sorted((link["span"]["start"], link["span"]["end"]) for link in definitions.values())


def _tasks(note: _Note, sections: list[Section]) -> list[Task]:
    view, base, line, last = note.view, note.base, note.line, 0
    starts: list[int] = [section[-2] for section in sections if section[-2] is not None]
    items = note.outline.items
    tasks: list[Task] = []
    for index, span in enumerate(items):
        item = span["start"]
        if view[item] in _BLANK:  # an item indented by a tab is said to begin at the line end before it
            item = span["end"] - len(view[item : span["end"]].lstrip())
        if not may_be_task(view[item + 2 : item + 5]) or (marker := find_marker(view, item)) is None:
            continue
        limit = min(span["end"], items[index + 1]["start"] if index + 1 < len(items) else len(view))
        end, planning = text_end(view, marker.text_start, limit)
        text = joined(note.read(view[marker.text_start : end]))
        line, last = line + view.count("\n", last, item), item
        heading = sections[at][1] if (at := bisect_right(starts, base + item) - 1) >= 0 else None
        tasks.append((marker.state, text, heading, *find_dates(text, planning), line, base + item, base + end))
    return tasks


def _add_front_matter(parsed: Parsed, front: FrontMatter, source: Text) -> None:
    parsed.title = front.title or ""
    parsed.author, parsed.created_at, parsed.modified_at = front.author, front.created_at, front.modified_at
    parsed.aliases, parsed.properties = front.aliases, front.properties
    if front.error:
        parsed.dropped.append(("front matter", front.unread, front.line))
        parsed.error, parsed.line = front.error, front.line
    for tag, start, end in front.tags:
        line = source.view.count("\n", 0, start) + 1
        parsed.tag_uses.append((tag, "front_matter", line, source.mark + start, source.mark + end))


def _add_page_properties(parsed: Parsed, note: _Note) -> int:
    """Add the properties at the top of the page; return where they end in the view."""
    at, line = 0, note.line
    while (match := _PROPERTY.match(note.view, at)) is not None:
        value = note.read(match[2] or "").strip()
        name = match[1].lower()
        end = note.base + match.start() + len(match[0].rstrip(_BLANK))
        parsed.fields.append((match[1], value, "page", line, note.base + match.start(), end))
        if name == "tags":
            _add_listed(parsed, note, match, line)
        elif name == "alias":
            parsed.aliases.extend(item for written in value.split(",") if (item := _bare(written)))
        elif name == "title" and not parsed.title:
            parsed.title = value
        else:
            parsed.properties.setdefault(match[1], value)
        at, line = match.end(), line + 1
    return at


def _add_fields(parsed: Parsed, note: _Note, after: int) -> list[FoundBlock]:
    """Add the fields and block properties from `after` on; return the items that an `id::` names."""
    view, base, read, items = note.view, note.base, note.read, note.outline.items
    found: list[FoundField] = list(find_fields(view, after))
    if not found:
        return []
    found = list(outside(found, note.hidden()))
    named: list[FoundBlock] = []
    line, last = note.line, 0
    for given, item in zip(found, innermost(items, [each.start for each in found]), strict=True):
        key, _, value, start, end, is_line = given
        line, last = line + view.count("\n", last, start), start
        above = None if item is not None or not is_line else _above(note, start, is_id=key == "id")
        origin = "block" if is_line and (item is not None or above is not None) else "inline"
        parsed.fields.append((read(key), read(value), origin, line, base + start, base + end))
        if key == "id" and value and is_line and item is not None:
            named.append(item_block(view, items, item, value))
        elif key == "id" and above is not None and _is_block_id(value):
            named.append(text_block(view, above, start, value))
    return named


def _above(note: _Note, start: int, *, is_id: bool) -> int | None:
    """Return where the block begins that a property at `start`, not in an item, belongs to; None if to none.

    In Logseq a heading is a block, and so is a paragraph; but below a paragraph only an id is surely a property.
    """
    index = bisect_right(note.outline.headings, start, key=_mark_start) - 1
    heading, end = note.outline.headings[index][1:3] if index >= 0 else (0, 0)
    between = note.view[max(end, start - _FAR) : start]
    if index >= 0 and start - end < _FAR and not without_properties(between).strip(_BLANK):
        return heading
    blank = max(between.rfind("\n\n"), between.rfind("\n\r\n"))
    begins = start - len(between) + (between.find("\n", blank + 1) + 1 if blank >= 0 else 0)
    return begins if is_id and note.view[begins:start].strip(_BLANK) else None


def _mark_start(mark: Mark) -> int:
    return mark[1]  # type: ignore[no-any-return]


def _is_block_id(value: str) -> bool:
    return _REFERENCE.fullmatch(f"(({value}))") is not None


def _blocks(note: _Note, named: list[FoundBlock]) -> list[Block]:
    view, read, outline = note.view, note.read, note.outline
    found = list(named)
    if outline.quotes:
        found.extend(find_callouts(view, outline.quotes))
    if ":::" in view and (fences := find_fences(view)):
        found.extend(find_admonitions(view, outside(fences, note.hidden())))
    if outline.html:
        found.extend(FoundBlock("anchor", name, None, "", *place) for name, *place in find_anchors(view, outline.html))
    if "^" in view and (ids := find_ids(view)) and (ids := list(outside(ids, note.hidden()))):
        codes: list[Span] = [{"start": mark[1], "end": mark[2]} for mark in outline.codes]
        others = [*outline.lists, *outline.quotes, *codes]
        found.extend(find_named(view, ids, Layout(outline.items, outline.paragraphs, others)))
    line, last = note.line, 0
    blocks: list[Block] = []
    for kind, name, title, text, start, end in sorted(found, key=_block_start):
        line, last = line + view.count("\n", last, start), start
        place = (line, note.base + start, note.base + end)
        called = read(name).lower() if kind in ("callout", "alert") else read(name)
        blocks.append((kind, called, None if title is None else read(title), read(text), *place))
    return blocks


def _block_start(block: FoundBlock) -> int:
    return block.start


def _add_listed(parsed: Parsed, note: _Note, match: re.Match[str], line: int) -> None:
    start, end = match.span(2)
    if start < 0:
        return
    for written in note.view[start:end].split(","):
        if tag := _bare(note.read(written)):
            stripped = written.strip(" \t")
            at = start + written.index(stripped)
            parsed.tag_uses.append((tag, "front_matter", line, note.base + at, note.base + at + len(stripped)))
        start += len(written) + 1
    note.outline.opaque.append({"start": match.start(), "end": match.end()})


def _bare(written: str) -> str:
    return written.strip().lstrip("#").removeprefix("[[").removesuffix("]]").strip()


def _name(parsed: Parsed, path: str) -> None:
    stem = _stem(path)
    parsed.title = parsed.title or next((part[1] for part in parsed.sections if part[0] == 1 and part[1]), None) or stem
    if "%" in stem or "___" in stem:
        page = _decoded(stem.replace("___", "/"))
        if page != stem and page not in parsed.aliases:
            parsed.aliases.append(page)


def _stem(path: str) -> str:
    """Return the name without its extension, as `PurePosixPath.stem` does, which takes ten times as long."""
    name = path[path.rfind("/") + 1 :]
    at = name.rfind(".")
    return name[:at] if 0 < at < len(name) - 1 else name
