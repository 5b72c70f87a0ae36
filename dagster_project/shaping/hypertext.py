"""HTML to Markdown, and what the head of a page says of it.

`to_markdown(html)` is what other formats that have HTML as a step (DOCX, EPUB, ENEX) call.

What belongs here: HTML's tree to blocks of Markdown, its meta elements, bounds on what a hostile page costs. What does
not: text within a block (`inline`), files, encodings and containers (`formats`).

Rules:

- Every piece of text in the tree comes through once and in order, but that of `script`, `style`, `noscript`, `template`
  and the fallback of frames. Hidden text is text. Parsing is the HTML standard's (lexbor), so tag soup means here what
  it means in a browser.
- Marks are those of the text, not of the tree: a heading in bold is a heading, whatever stands around it.
- Tables with blocks in them (tables, headings, code, quotes) lay out a page: their cells come one after the other.
- A tree deeper than `DEPTH` is flattened, which costs structure and no text: a browser's parser takes hours for it.
- Why not a converter from a package: html-to-markdown (Rust) drops what lies deeper than 1023 elements, writes a
  heading in bold as text, and escapes `well-known` as `well\\-known`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from dagster_project.shaping.formats.markdown import anchor, next_anchor
from dagster_project.shaping.inline import BREAK, Link, Run, destination, fenced, image, lines

DEPTH: Final = 400
"""Elements within each other that are kept as such. Chromium's bound is 512."""
FORMATTING_DEPTH: Final = 16
"""Unclosed marks of text that are kept: HTML opens each of them anew in every paragraph that follows."""
NESTED: Final = 24
"""Lists and quotes within each other that are kept as such: each indents all that it holds."""
SPAN: Final = 100
"""Columns and rows that a cell may span."""


def _names(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


_SKIPPED: Final = _names("script style noscript template head iframe noframes noembed en-crypt")
_HEADINGS: Final = {f"h{level}": level for level in range(1, 7)}
_BOLD: Final = _names("b strong dt summary")
_ITALIC: Final = _names("i em cite dfn var")
_STRIKE: Final = _names("s del strike")
_CODE: Final = _names("code kbd samp tt")
_MARKED: Final = _BOLD | _ITALIC | _STRIKE | _CODE
_AROUND: Final = {"q": ('"', '"'), "rt": ("(", ")"), "option": ("", " ")}
_MEDIA: Final = {**dict.fromkeys(_names("iframe frame video audio embed source"), "src"), "object": "data"}
_BOXES: Final = ("[ ] ", "[x] ")
_STYLED: Final = _names("span b strong font")
_PREFORMATTED: Final = _names("pre listing xmp plaintext")
_LISTS: Final = _names("ul ol menu dir")
_CONTAINERS: Final = _PREFORMATTED | _LISTS | _names("li blockquote table") | frozenset(_HEADINGS)
"""Blocks that a heading can't hold in Markdown."""
_BLOCKS: Final = _CONTAINERS | _names(
    "address article aside body caption center colgroup dd details dialog div dl dt en-note fieldset figcaption figure "
    "footer form frameset header hgroup hr html legend main nav optgroup p search section select summary tbody td "
    "textarea tfoot th thead tr"
)
_TABLE: Final = _names("table tr td th")
_LAYING_OUT: Final = _PREFORMATTED | _names("table blockquote hr") | frozenset(_HEADINGS)
"""Blocks that no cell can hold in Markdown."""
_LINE_ENDS: Final = re.compile(r"\r\n?")
_DIGITS: Final = 8
_WEIGHT: Final = re.compile(r"font-weight\s{0,9}:\s{0,9}([a-z0-9]+)", re.IGNORECASE)
_BOLD_WEIGHTS: Final = _names("bold bolder 600 700 800 900")
_LANGUAGE: Final = re.compile(
    r"(?:^|\s)(?:language-|lang-|highlight-source-|sourceCode\s|brush:\s?)([A-Za-z0-9_+#.-]{1,40})"
)
_TAG: Final = re.compile(r"<(/?)([A-Za-z][^\s/>]{0,60})")
_UNCOUNTED: Final = _names(
    "p li dt dd tr td th thead tbody tfoot caption col colgroup option optgroup a html head body area base br embed hr "
    "img input link meta param source track wbr rp rt en-media en-todo"
)
"""Tags that need not be closed: they don't nest by themselves."""
_FORMATTING: Final = _names("b big code em font i nobr s small strike strong tt u")

Address = Callable[[str], str]
"""Returns the address that a link or image gets in Markdown, of that in HTML."""


def _as_it_is(address: str) -> str:
    return address


def to_markdown(html: str, *, address: Address = _as_it_is) -> str:
    r"""Return the text of a page or a piece of HTML as Markdown. `address` may rewrite where links and images lead.

    >>> to_markdown("<h2>A <b>lake</b></h2><p>for <a href='n.html#x'>notes</a>, 1 * 2<ul><li>one<li>two")
    '## A **lake**\n\nfor [notes](n.html#x), 1 \\* 2\n\n- one\n- two\n'
    """
    return parse(html).markdown(address)


@dataclass(frozen=True, slots=True)
class Page:
    """A parsed page. `flattened` counts the elements that lay too deep to be kept as such."""

    tree: Any
    flattened: int

    def markdown(self, address: Address = _as_it_is) -> str:
        """Return its text as Markdown."""
        if self.tree.root is None:
            return ""
        text = _Writer(address).write(self.tree.root)
        return f"{text}\n" if text else ""

    def ids(self) -> list[str]:
        """Return what links can point to, in the order of the page, each once."""
        given = (node.attributes.get("id") or node.attributes.get("name") for node in self.tree.css("[id], a[name]"))
        return list(dict.fromkeys(filter(None, given)))

    def anchors(self, used: dict[str, int] | None = None) -> dict[str, str]:
        """Return the ids of headings, and of what stands in them, with the anchor of the heading in Markdown.

        The anchor of the first heading is also that of the empty id. `used` holds the anchors of pages before this one,
        where several become one text.
        """
        found: dict[str, str] = {}
        used = {} if used is None else used
        for heading in self.tree.css("h1, h2, h3, h4, h5, h6"):
            if not (text := " ".join(heading.text().split())):
                continue
            name = anchor(text)
            name = next_anchor(name, used) if name in used else name
            used[name] = 0
            found.setdefault("", name)
            for each in (heading, *heading.css("[id], a[name]")):
                if id_ := each.attributes.get("id") or each.attributes.get("name"):
                    found.setdefault(id_, name)
        return found


def parse(html: str) -> Page:
    """Return the tree of a page as the HTML standard reads it, tag soup or not."""
    from selectolax.lexbor import LexborHTMLParser

    html, flattened = _bounded(html)
    return Page(LexborHTMLParser(html.encode("utf-8", "replace").decode("utf-8")), flattened)


def _bounded(html: str) -> tuple[str, int]:
    """Take out the tags of elements that lie too deep, and count them. The text stays."""
    if html.count("<") <= FORMATTING_DEPTH:
        return html, 0
    pieces: list[str] = []
    depth: Counter[str] = Counter()
    taken: Counter[str] = Counter()
    total = formatting = flattened = at = 0
    for match in _TAG.finditer(html):
        name = match[2].lower()
        if name in _UNCOUNTED:
            continue
        is_formatting = name in _FORMATTING
        if match[1]:
            if taken[name]:
                taken[name] -= 1
            elif depth[name]:
                depth[name] -= 1
                total -= 1
                formatting -= is_formatting
                continue
            else:
                continue
        elif total < DEPTH and (not is_formatting or formatting < FORMATTING_DEPTH):
            depth[name] += 1
            total += 1
            formatting += is_formatting
            continue
        else:
            taken[name] += 1
            flattened += 1
        pieces.append(html[at : match.start()])
        at = _tag_end(html, match.end())
    return ("".join([*pieces, html[at:]]), flattened) if pieces else (html, 0)


def _tag_end(html: str, at: int) -> int:
    end = html.find(">", at, at + 10_000)
    return at if end < 0 else end + 1


class _Block(NamedTuple):
    """A block of Markdown."""

    text: str
    list_mark: str = ""
    """Of a list or an item: the mark of its items."""
    indent: int = 0
    """Of an item: how far what belongs to it is indented; such blocks follow each other without a blank line."""


@dataclass(slots=True)
class _Frame:
    """An element that holds blocks of its own, being written."""

    kind: str
    blocks: list[_Block] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    heading: int = 0
    """Level of the heading that the runs are."""
    is_item: bool = False
    """Whether the runs began with a check box outside a list."""
    mark: str = ""
    """Of a list: the mark of its items."""
    number: int = 0
    """Of an ordered list: the number of its next item."""
    is_layout: bool = False
    """Of a table: whether a block stands in it that no cell can hold."""
    rows: list[list[list[_Block]]] = field(default_factory=list)
    taken: dict[int, int] = field(default_factory=dict)
    """Of a table: the row until which a cell further up reaches into a column."""


class _Marks(NamedTuple):
    """What the text at a place of the tree is marked with; the fields are those of `Run`."""

    link: Link | None = None
    bold: bool = False
    italic: bool = False
    strike: bool = False
    code: bool = False


_Closer = Callable[[], None] | None
"""What is to be done where an element ends."""
_Attributes = Mapping[str, str | None]


class _Writer:
    """Walks a tree once, without recursion, and writes its blocks."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.frames = [_Frame("page")]
        self.marks = [_Marks()]
        self.closers: list[_Closer] = []
        self.code: list[str] | None = None
        """Text of the block of code that is open."""
        self.beside_code: list[Run] = []
        self.tables: list[_Frame] = []
        self.nested = 0
        self.count = 0
        """How many runs there have been."""

    def write(self, root: Any) -> str:
        """Return what stands in the tree."""
        node, depth = root, 0
        while node is not None:
            tag = node.tag or ""
            child = None
            if tag == "-text":
                self._text(node.text_content or "")
            elif tag in _SKIPPED:
                self._media(tag, node)
            elif tag[:1].isalpha():
                self._open(tag, node)
                child = node.first_child
                if child is None:
                    self._close()
            if child is not None:
                node, depth = child, depth + 1
                continue
            while depth and node.next is None:
                node, depth = node.parent, depth - 1
                self._close()
            node = node.next if depth else None
        self._flush()
        return _joined(self.frames[0].blocks)

    def _open(self, tag: str, node: Any) -> None:
        closer = self._begin(tag, node) if tag in _BLOCKS else self._inline(tag, node)
        self.marks.append(self._marks(tag, node))
        self.closers.append(closer)

    def _close(self) -> None:
        closer = self.closers.pop()
        if closer is not None:
            closer()
        self.marks.pop()

    # Text.

    def _text(self, text: str) -> None:
        if self.code is not None:
            self.code.append(text)
        elif self.frames[-1].runs or not text.isspace():  # most of what stands between tags is their indentation
            self._add(Run(text, *self.marks[-1]))

    def _raw(self, text: str) -> None:
        self._add(Run(text, *self.marks[-1], raw=True))

    def _add(self, run: Run) -> None:
        self.count += not run.text.isspace()
        (self.frames[-1].runs if self.code is None else self.beside_code).append(run)

    def _flush(self) -> None:
        """End the paragraph or heading that is being written."""
        frame = self.frames[-1]
        made, frame.runs = lines(frame.runs) if frame.runs else [], []
        is_item, frame.is_item = frame.is_item, False
        if not made:
            return
        if frame.heading:
            frame.blocks.append(_Block(_heading(frame.heading, " ".join(filter(None, made)))))
        elif is_item:
            frame.blocks.append(_Block(_hung("- ", "  \n".join(filter(None, made))), "-", 2))
        else:
            frame.blocks.extend(_Block(text) for text in _paragraphs(made))

    # Elements within a paragraph.

    def _marks(self, tag: str, node: Any) -> _Marks:
        marks = self.marks[-1]
        if tag in _MARKED:
            bold, italic = marks.bold or tag in _BOLD, marks.italic or tag in _ITALIC
            strike = marks.strike or tag in _STRIKE
            marks = _Marks(marks.link, bold, italic, strike, marks.code or tag in _CODE)
        if tag in _STYLED and (style := node.attributes.get("style")) and (match := _WEIGHT.search(style)):
            return marks._replace(bold=match[1].lower() in _BOLD_WEIGHTS)
        return marks._replace(link=self._link(node)) if tag == "a" else marks

    def _link(self, node: Any) -> Link | None:
        attributes: _Attributes = node.attributes
        written = attributes.get("href")
        if written is None or written.strip().lower().startswith("javascript:"):
            return self.marks[-1].link
        return Link(self.address(written.strip()), attributes.get("title") or "")

    def _inline(self, tag: str, node: Any) -> _Closer:
        if tag == "br":
            self._break()
        elif tag == "img":
            self._image(node.attributes)
        elif tag == "input":
            self._input(node.attributes)
        elif tag == "en-todo":
            self._todo(node.attributes)
        elif tag == "en-media":
            self._resource(node.attributes)
        elif tag == "a":
            return self._closer_of_link(self.count)
        elif tag in _AROUND:
            before, after = _AROUND[tag]
            self._text(before)
            return partial(self._text, after)
        elif tag in ("sub", "sup") and self.code is None:
            self._raw(f"<{tag}>")
            return partial(self._raw, f"</{tag}>")
        else:
            self._media(tag, node)
        return None

    def _break(self) -> None:
        if self.code is not None:
            self.code.append("\n")
        else:
            self.frames[-1].runs.append(BREAK)

    def _closer_of_link(self, count: int) -> _Closer:
        def close() -> None:
            link = self.marks[-1].link
            if link is None or self.count != count or link.address.startswith("#") or self.code is not None:
                return
            if link.title:
                self._text(link.title)
            else:
                self._add(Run(f"[]({destination(link.address)})", raw=True))

        return close

    def _image(self, attributes: _Attributes) -> None:
        alt, source = attributes.get("alt") or "", attributes.get("src") or attributes.get("data-src")
        if source and source.strip():
            self._raw(image(alt, self.address(source.strip()), attributes.get("title") or ""))
        else:
            self._text(alt)

    def _resource(self, attributes: _Attributes) -> None:
        """Write a link to a file of an Evernote note, which `address` knows by `en-media:` and its hash."""
        address = self.address(f"en-media:{(attributes.get('hash') or '').strip().lower()}")
        if (attributes.get("type") or "").startswith("image/"):
            self._raw(image(attributes.get("alt") or attributes.get("title") or "", address))
        else:
            self._add(Run(attributes.get("alt") or unquote(address), Link(address)))

    def _media(self, tag: str, node: Any) -> None:
        """Write a link to what a frame or a player shows, and that there is text no one can read."""
        attributes: _Attributes = node.attributes if tag in _MEDIA or tag == "en-crypt" else {}
        if tag == "en-crypt":
            hint = attributes.get("hint")
            self._text(f"(encrypted: {hint})" if hint else "(encrypted)")
        if tag not in _MEDIA:
            return
        source = (attributes.get(_MEDIA[tag]) or "").strip()
        if source and source != "about:blank":
            self._add(Run(attributes.get("title") or tag, Link(self.address(source))))

    def _input(self, attributes: _Attributes) -> None:
        frame = self.frames[-1]
        is_box = (attributes.get("type") or "").lower() == "checkbox"
        if is_box and self._is_begun() and frame.kind == "item" and not frame.blocks:
            self._box("x" if "checked" in attributes else " ")

    def _todo(self, attributes: _Attributes) -> None:
        frame = self.frames[-1]
        if self._is_begun():
            frame.is_item = frame.kind != "item" or bool(frame.blocks)
        is_done = "checked" in attributes and attributes["checked"] != "false"
        self._box("x" if is_done else " ")

    def _is_begun(self) -> bool:
        return self.code is None and all(run.text.isspace() for run in self.frames[-1].runs)

    def _is_box_alone(self) -> bool:
        """Say whether there is a check box whose text is yet to come, in a block of its own."""
        first, *others = self.frames[-1].runs or [BREAK]
        return first.raw and first.text in _BOXES and all(run.text.isspace() for run in others)

    def _box(self, state: str) -> None:
        if self._is_begun():
            self.frames[-1].runs.clear()
        self._add(Run(f"[{state}] ", raw=True))

    # Blocks.

    def _begin(self, tag: str, node: Any) -> _Closer:
        frame = self.frames[-1]
        if self.code is not None:
            self._end_line()
            return self._end_line
        if frame.heading and tag not in _CONTAINERS:
            self._text(" ")
            return partial(self._text, " ")
        if tag in _CONTAINERS or not self._is_box_alone():
            self._flush()
        frame.heading = _HEADINGS.get(tag, 0)
        if tag in _LAYING_OUT and self.tables:
            self.tables[-1].is_layout = True
        if tag in _PREFORMATTED:
            self.code = []
            return partial(self._close_code, node)
        if tag in _LISTS:
            return self._begin_list(tag, node)
        if tag == "li" or tag == "blockquote":
            return self._nest(self._close_item if tag == "li" else self._close_quote)
        if tag in _TABLE:
            return self._begin_table(tag, node)
        if tag == "hr":
            frame.blocks.append(_Block("___"))
        return self._end_block

    def _end_line(self) -> None:
        if self.code and not self.code[-1].endswith("\n"):
            self.code.append("\n")

    def _end_block(self) -> None:
        self._flush()
        self.frames[-1].heading = 0

    def _close_code(self, node: Any) -> None:
        text, self.code = "".join(self.code or ()), None
        if text.strip():
            self.frames[-1].blocks.append(_Block(fenced(_LINE_ENDS.sub("\n", text), _language(node))))
        self.frames[-1].runs, self.beside_code = self.beside_code, []
        self._flush()

    def _begin_list(self, tag: str, node: Any) -> _Closer:
        blocks = self.frames[-1].blocks
        last = blocks[-1].list_mark if blocks and self.frames[-1].kind != "list" else ""
        frame = _Frame("list", mark="*" if last == "-" else "-")
        if tag == "ol":
            frame.mark, frame.number = ")" if last == "." else ".", _number(node.attributes.get("start"), 1)
        self.frames.append(frame)
        return self._close_list

    def _close_list(self) -> None:
        self._flush()
        frame, parent = self.frames.pop(), self.frames[-1]
        if not frame.blocks:
            return
        text = _joined(frame.blocks)
        if parent.kind == "list" and parent.blocks and (last := parent.blocks[-1]).indent:
            parent.blocks[-1] = last._replace(text=f"{last.text}\n\n{_indented(text, last.indent)}")
        else:
            parent.blocks.append(_Block(text, frame.mark))

    def _nest(self, close: Callable[[], None]) -> _Closer:
        if self.nested >= NESTED:
            return self._end_block
        self.nested += 1
        self.frames.append(_Frame("item" if close == self._close_item else "quote"))
        return close

    def _close_item(self) -> None:
        self._flush()
        self.nested -= 1
        frame, parent = self.frames.pop(), self.frames[-1]
        mark = f"{parent.number}{parent.mark} " if parent.mark in (".", ")") else f"{parent.mark or '-'} "
        parent.number += 1
        if frame.blocks:
            parent.blocks.append(_Block(_hung(mark, _tightened(frame.blocks)), parent.mark or "-", len(mark)))

    def _close_quote(self) -> None:
        self._flush()
        self.nested -= 1
        frame = self.frames.pop()
        if frame.blocks:
            quoted = [f"> {line}" if line else ">" for line in _joined(frame.blocks).split("\n")]
            self.frames[-1].blocks.append(_Block("\n".join(quoted)))

    # Tables.

    def _begin_table(self, tag: str, node: Any) -> _Closer:
        frame = self.frames[-1]
        if tag == "table":
            self.tables.append(_Frame("table"))
            self.frames.append(self.tables[-1])
            return self._close_table
        if frame.kind != "table":
            return self._end_block
        if tag == "tr" or not frame.rows:
            frame.rows.append([])
        if tag == "tr":
            return self._end_block
        self.frames.append(_Frame("cell"))
        spans = _number(node.attributes.get("colspan"), 1), _number(node.attributes.get("rowspan"), 1)
        return partial(self._close_cell, *spans)

    def _close_cell(self, columns: int, rows: int) -> None:
        self._flush()
        cell, table = self.frames.pop(), self.frames[-1]
        row, at = table.rows[-1], len(table.rows)
        while table.taken.get(len(row), 0) >= at:
            row.append([])
        if rows > 1:
            table.taken[len(row)] = at + min(rows, SPAN) - 1
        row.append(cell.blocks)
        row.extend([] for _ in range(min(columns, SPAN) - 1))

    def _close_table(self) -> None:
        self._flush()
        self.tables.pop()
        frame = self.frames.pop()
        blocks = self.frames[-1].blocks
        blocks.extend(frame.blocks)
        rows = [row for row in frame.rows if any(row)]
        if frame.is_layout or all(len(row) == 1 for row in rows):
            blocks.extend(block for row in rows for cell in row for block in cell)
        else:
            blocks.append(_Block(_table([list(map(_cell, row)) for row in rows])))


def _heading(level: int, text: str) -> str:
    bare = text.rstrip("#")
    if bare != text and (not bare or bare[-1] == " "):  # they would be the closing sequence
        text = f"{bare}\\{text[len(bare) :]}"
    return f"{'#' * level} {text}"


def _paragraphs(made: list[str]) -> list[str]:
    return ["  \n".join(group) for has_text, group in groupby(made, bool) if has_text]


def _joined(blocks: list[_Block]) -> str:
    pieces: list[str] = []
    for index, block in enumerate(blocks):
        if index:
            pieces.append("\n" if block.indent and blocks[index - 1].indent else "\n\n")
        pieces.append(block.text)
    return "".join(pieces)


def _tightened(blocks: list[_Block]) -> str:
    """Join what stands in an item: a list in it follows its text without a blank line where Markdown lets it."""
    first, *rest = blocks
    is_tight = not first.list_mark and len(rest) == 1 and rest[0].list_mark in ("-", "*")
    return f"{first.text}\n{rest[0].text}" if is_tight else _joined(blocks)


def _hung(mark: str, text: str) -> str:
    return mark + _indented(text, len(mark))[len(mark) :]


def _indented(text: str, width: int) -> str:
    pad = " " * width
    return "\n".join(pad + line if line else "" for line in text.split("\n"))


def _cell(blocks: list[_Block]) -> str:
    parts = (line.strip(" ") for block in blocks for line in block.text.split("\n"))
    return "<br>".join(part for part in parts if part).replace("|", "\\|")


def _table(rows: list[list[str]]) -> str:
    width = max(map(len, rows))
    head = [*rows[0], *[""] * (width - len(rows[0]))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * width, *rows[1:]))


def _number(written: str | None, default: int) -> int:
    text = (written or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else default


def _language(node: Any) -> str:
    code = node.css_first("code")
    for each in (node, code):
        if each is not None and (match := _LANGUAGE.search(each.attributes.get("class") or "")):
            return match[1]
    return ""
