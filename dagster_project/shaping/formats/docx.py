"""DOCX, as Word, LibreOffice, Google Docs and pandoc write it.

What belongs here: what mammoth makes of a document, and what it leaves out. What does not: HTML to Markdown
(`hypertext`), and the package with its properties and files (`office`).

Rules:

- Structure is that of styles: `Heading 1` to `6` and `Title` are headings (7 to 9 count as 6), lists are numberings,
  quotes and code are the styles Word, LibreOffice and pandoc have for them. What only looks like a heading is text.
- Tables are Markdown's. Footnotes, endnotes and comments stand at the end, with links between. Text that was deleted
  under tracked changes is gone, inserted text is text. A link to a bookmark in a heading leads to that heading.
- Pictures are links to the attachments they are. Headers and footers are properties: they are no part of the text.
- The title is the document's property, else the first heading of level 1, else the file's name.
- What mammoth does not read (formulas, charts, diagrams) is told.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from html import unescape
from io import BytesIO
from typing import Any, Final

from dagster_project.shaping.converted import from_markdown
from dagster_project.shaping.hypertext import to_markdown
from dagster_project.shaping.office import Package, add_properties, files, link_to, local, open_package, title, xml
from dagster_project.shaping.parsed import Attachment, Parsed, Unreadable

MEDIA_TYPES: Final = {
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".docm": "application/vnd.ms-word.document.macroenabled.12",
}
PARSER: Final = "docx/mammoth"
EXTRA: Final = "office"

RULE: Final = "docx"

_CODE: Final = ("HTML Preformatted", "Preformatted Text", "Source Code", "Code", "macro")
_QUOTES: Final = ("Quote", "Intense Quote", "Block Text", "Quotations")
_CODE_RUNS: Final = (
    "HTML Code",
    "HTML Typewriter",
    "HTML Keyboard",
    "Verbatim Char",
    "Source Text",
    "Code",
    "Code Char",
)
_STYLES: Final[Mapping[str, str]] = {
    "Title": "p[style-name='Title'] => h1:fresh",
    "Emphasis": "r[style-name='Emphasis'] => em",
    **{
        f"{name} {level}": f"p[style-name='{name} {level}'] => h6:fresh"
        for name in ("Heading", "heading")
        for level in (7, 8, 9)
    },
    **{
        f"{name} {level}": f"p[style-name='{name} {level}'] => {'ul|ol > li > ' * (level - 1)}{kind} > li:fresh"
        for name, kind in (("List Bullet", "ul"), ("List Number", "ol"))
        for level in (2, 3, 4, 5)
    },
    **{name: f"p[style-name='{name}'] => pre:separator('\\n')" for name in _CODE},
    **{name: f"p[style-name='{name}'] => blockquote > p:fresh" for name in _QUOTES},
    **{name: f"r[style-name='{name}'] => code" for name in _CODE_RUNS},
}
"""What becomes of styles that mammoth has no rule for, by their names."""
_COMMENTS: Final = "comment-reference => sup"
_IGNORED: Final = re.compile(r"An unrecognised element was ignored: (.*)")
_ABOUT_STYLES: Final = re.compile(r"Unrecognised \w+ style|\w+ style with ID|Image of type|.* style is ignored")
_BACK: Final = re.compile(r' ?<a href="#(?:footnote|endnote|comment)-ref-[^"]{0,40}">↑</a>')
_HEADINGS: Final = re.compile(r'</?h[1-6]>|<a id="([^"]*)">')
_UNREAD: Final[Mapping[str, str]] = {"oMath": "formula", "chart": "chart", "relIds": "diagram"}
_TOLD_ELSEWHERE: Final = ("oMath", "oMathPara")
_MARGIN: Final = re.compile(r"word/(header|footer)\d*\.xml")


def read(content: bytes, path: str) -> Parsed:
    """Read a Word document. Raises `Unreadable` if it is none, is encrypted, or would cost too much."""
    package = open_package(content, "DOCX")
    attachments = files(package)
    html, messages = _html(package, path, attachments)
    html = _BACK.sub("", html)
    parsed = from_markdown(to_markdown(html), path, title=title(package))
    if bookmarks := _bookmarks(html, parsed):
        body = to_markdown(html, address=lambda address: bookmarks.get(address, address))
        parsed = from_markdown(body, path, title=title(package))
    add_properties(parsed, package)
    for name, texts in _margins(package).items():
        parsed.properties[name] = texts
    parsed.attachments = attachments
    _tell(parsed, package, messages)
    return parsed


def _html(package: Package, path: str, attachments: list[Attachment]) -> tuple[str, list[str]]:
    """Return a document as HTML, and what mammoth has to say about it."""
    import mammoth

    names = {file[3]: file[0] for file in attachments}
    try:
        made = mammoth.convert_to_html(
            BytesIO(package.content),
            style_map=_style_map(package),
            include_embedded_style_map=False,
            convert_image=mammoth.images.img_element(lambda image: _source(image, path, names)),
        )
    except RecursionError as error:
        raise Unreadable(RULE, "its elements lie too deep within each other to be read") from error
    except (MemoryError, TimeoutError):  # it is the limits' to say so
        raise
    except Exception as error:  # mammoth raises whatever a document that breaks the standard makes happen
        raise Unreadable(RULE, f"it is no DOCX that can be read: {type(error).__name__}: {error}"[:500]) from error
    return made.value, [message.message for message in made.messages]


def _bookmarks(html: str, parsed: Parsed) -> Mapping[str, str]:
    """Return what links to bookmarks in headings (a table of contents) say, and the headings' own anchors."""
    if '<a href="#' not in html:
        return {}
    found: list[list[str]] = []
    is_open = False
    for match in _HEADINGS.finditer(html):
        if match[1] is not None:
            if is_open:
                found[-1].append(f"#{unescape(match[1])}")
        else:
            is_open = not match[0].startswith("</")
            found.extend([[]] if is_open else [])
    anchors = [part[3] for part in parsed.sections if part[1] is not None]
    if len(anchors) != len(found):  # not every heading became one
        return {}
    return {mark: f"#{anchor}" for marks, anchor in zip(found, anchors, strict=True) for mark in marks}


def _style_map(package: Package) -> str:
    """Return mammoth's rules for the styles a document has: it tries all rules on each piece of text."""
    root = xml(package, "word/styles.xml")
    given = {value for element in (root.iter() if root is not None else ()) for value in element.attrib.values()}
    return "\n".join([*(rule for name, rule in _STYLES.items() if name in given), _COMMENTS])


def _source(image: Any, path: str, names: Mapping[str, str]) -> dict[str, str]:
    """Return where a picture leads: mammoth gives its bytes and no name."""
    from hashlib import sha256

    with image.open() as file:
        name = names.get(sha256(file.read()).hexdigest())
    return {"src": link_to(path, name) if name else ""}


def _margins(package: Package) -> Mapping[str, list[str]]:
    """Return what headers and footers say, each text once."""
    found: dict[str, list[str]] = {}
    for name in package.archive.names:
        if match := _MARGIN.fullmatch(name):
            said = found.setdefault(f"{match[1]}s", [])
            said.extend(text for text in _paragraphs(package, name) if text not in said)
    return {name: said for name, said in found.items() if said}


def _paragraphs(package: Package, name: str) -> Iterator[str]:
    root = xml(package, name)
    for paragraph in root.iter() if root is not None else ():
        if local(paragraph.tag) == "p":
            text = "".join(_said(element.tag, element.text) for element in paragraph.iter())
            if text := " ".join(text.split()):
                yield text


def _said(tag: str, text: str | None) -> str:
    name = local(tag)
    return text or "" if name == "t" else " " if name in ("tab", "br") else ""


def _name(element: str) -> str:
    """Return the name of an element as mammoth writes it, without prefix or namespace."""
    return local(element).rpartition(":")[2]


def _tell(parsed: Parsed, package: Package, messages: list[str]) -> None:
    dropped: Counter[str] = Counter()
    for name, construct in _UNREAD.items():
        if count := package.elements.get(name, 0):
            dropped[construct] += count
    for message in messages:
        if match := _IGNORED.fullmatch(message):
            if _name(match[1]) not in _TOLD_ELSEWHERE:
                # mammoth says each thing once, however often it stands there.
                dropped[f"element {match[1]}"[:100]] += max(1, package.elements.get(_name(match[1]), 1))
        elif not _ABOUT_STYLES.match(message):
            dropped[message[:100]] += 1
    parsed.dropped = [(construct, count, None) for construct, count in dropped.items()]
    if dropped:
        parsed.error = f"not kept: {', '.join(dropped)}"[:500]
