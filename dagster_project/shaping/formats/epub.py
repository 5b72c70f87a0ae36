"""EPUB 2 and 3: a book as one note, its chapters in the order they are read.

What belongs here: the package of a book (container, OPF, table of contents) and how its chapters become one text. What
does not: archives and their limits (`archives`), and how XHTML becomes Markdown (`hypertext`).

Rules:

- The text is that of the spine, each file once. A chapter without a heading gets the one the table of contents has.
- A link to a chapter, or to a place in it, leads to the anchor of its heading. Pictures, sound and film are
  attachments; links to them are their names in the archive.
- A file the book names and doesn't hold, or that can't be read, is told in `dropped`; the rest comes through.
- A book whose text is encrypted is refused. Obfuscated fonts are no obstacle.

Sources: https://www.w3.org/TR/epub-33/, https://idpf.org/epub/20/spec/OPF_2.0.1_draft.htm.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from urllib.parse import quote, unquote

from dagster_project.shaping.archives import LIMIT, Archive, open_archive
from dagster_project.shaping.converted import from_markdown
from dagster_project.shaping.formats.html import decode_page
from dagster_project.shaping.formats.markdown import anchor, next_anchor
from dagster_project.shaping.front_matter import instant
from dagster_project.shaping.hypertext import Page, parse
from dagster_project.shaping.images import attachment
from dagster_project.shaping.inline import Run, lines
from dagster_project.shaping.parsed import Parsed, Unreadable
from dagster_project.shaping.safe_xml import as_element, as_html, name_of, root_of

MEDIA_TYPES: Final = {".epub": "application/epub+zip"}
PARSER: Final = "epub/selectolax"
EXTRA: Final = None

TEXT_BYTES: Final = 64 << 20
"""Bytes of text that a book may hold; the Bible in XHTML has a tenth of it."""
_CONTAINER: Final = "META-INF/container.xml"
_ENCRYPTION: Final = "META-INF/encryption.xml"
_FONT_OBFUSCATION: Final = frozenset(("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC"))
_SCHEMES: Final = {
    "META-INF/license.lcpl": "Readium LCP",
    "META-INF/rights.xml": "Adobe ADEPT",
    "META-INF/sinf.xml": "Apple FairPlay",
}
_ATTACHED: Final = ("image/", "audio/", "video/")
_TEXTS: Final = frozenset(("application/xhtml+xml", "text/html", "application/x-dtbook+xml", "text/x-oeb1-document"))
_TAKEN: Final = frozenset(("title", "creator", "subject", "date"))
_EXTERNAL: Final = ("//", "#", "?")
_IN_NAMES: Final = "/ ()[]{}!$&'*+,;=@^~|<>\"`\\"


class _Item(NamedTuple):
    """A file that the book is made of."""

    path: str
    media_type: str
    properties: str


@dataclass(slots=True)
class _Chapter:
    """A file of the spine, parsed."""

    path: str
    page: Page
    heading: str
    """What the table of contents calls it, where it has no heading itself."""
    anchors: dict[str, str]


@dataclass(slots=True)
class _Book:
    """A book being read."""

    archive: Archive
    folder: str
    package: Any
    items: dict[str, _Item] = field(default_factory=dict)
    chapters: dict[str, _Chapter] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    error: str | None = None
    characters: int = 0

    def drop(self, construct: str, error: str, count: int = 1) -> None:
        """Tell of what could not be read."""
        self.dropped[construct] = self.dropped.get(construct, 0) + count
        self.error = self.error or error


def read(content: bytes, path: str) -> Parsed:
    """Read a book. Raises `Unreadable` for what is no EPUB, is encrypted, costs too much, or holds no text."""
    archive = open_archive(content)
    _refuse_encrypted(archive)
    where = _package_path(archive)
    book = _Book(archive, posixpath.dirname(where), _xml(archive, where))
    book.items = dict(_items(book))
    _read_chapters(book)
    if not book.chapters:
        raise Unreadable("epub", book.error or "its spine names no text")
    body = "\n".join(text for chapter in book.chapters.values() if (text := _markdown(book, chapter)))
    parsed = from_markdown(body, path, title=next(_texts(book, "title"), None))
    _add_metadata(parsed, book)
    _add_files(parsed, book)
    parsed.encoding, parsed.characters = "utf-8", book.characters
    parsed.dropped = [(construct, count, None) for construct, count in book.dropped.items()]
    parsed.error = book.error
    return parsed


def _xml(archive: Archive, path: str) -> Any:
    from lxml import etree

    try:
        return root_of(archive.read(path))
    except etree.XMLSyntaxError as error:
        raise Unreadable("epub", f"{path} is no XML: {error}"[:500]) from error


def _named(root: Any, name: str) -> Iterator[Any]:
    return (element for element in root.iter("{*}*") if name_of(element) == name)


def _refuse_encrypted(archive: Archive) -> None:
    if _ENCRYPTION not in archive:
        return
    algorithms = {each.get("Algorithm", "") for each in _named(_xml(archive, _ENCRYPTION), "EncryptionMethod")}
    if algorithms - _FONT_OBFUSCATION:
        scheme = next((scheme for name, scheme in _SCHEMES.items() if name in archive), "an unknown scheme")
        raise Unreadable("encrypted", f"its text is encrypted (DRM: {scheme})")


def _package_path(archive: Archive) -> str:
    if _CONTAINER in archive:
        for rootfile in _named(_xml(archive, _CONTAINER), "rootfile"):
            path: str = posixpath.normpath(rootfile.get("full-path", ""))
            if path in archive:
                return path
    for name in archive.names:
        if name.lower().endswith(".opf"):
            return name
    raise Unreadable("epub", "it is a zip archive without a package document (.opf): no EPUB")


def _inside(folder: str, href: str) -> str:
    """Return the name in the archive of a file that is named relative to a folder there."""
    return posixpath.normpath(posixpath.join(folder, unquote(href)))


def _items(book: _Book) -> Iterator[tuple[str, _Item]]:
    for element in _named(book.package, "item"):
        path = _inside(book.folder, element.get("href", ""))
        media_type = element.get("media-type", "").strip().lower()
        yield element.get("id", path), _Item(path, media_type, element.get("properties", ""))


def _read_chapters(book: _Book) -> None:
    used: dict[str, int] = {}
    headings = _contents(book)
    tried: set[str] = set()
    for reference in _named(book.package, "itemref"):
        item = book.items.get(reference.get("idref", ""))
        if item is None or item.media_type not in _TEXTS:
            if item is None or not item.media_type.startswith(_ATTACHED):
                book.drop("chapter that is no text", f"the spine names {reference.get('idref')!r}, which is no text")
            continue
        is_new = item.path not in tried
        tried.add(item.path)
        if is_new and (page := _page(book, item.path)) is not None:
            anchors = page.anchors(used)
            heading = "" if anchors else headings.get(item.path, "")
            if heading:
                name = anchor(heading)
                anchors[""] = next_anchor(name, used) if name in used else name
                used[anchors[""]] = 0
            book.chapters[item.path] = _Chapter(item.path, page, heading, anchors)


def _page(book: _Book, path: str) -> Page | None:
    if path not in book.archive:
        book.drop("file that is not in the archive", f"{path} is not in the archive")
        return None
    try:
        decoded = decode_page(book.archive.read(path))
    except Unreadable as error:
        book.drop("chapter that can't be read", f"{path}: {error.reason}")
        return None
    book.characters += len(decoded.text)
    if book.characters > TEXT_BYTES:
        raise Unreadable(LIMIT, f"its text is longer than {TEXT_BYTES} characters")
    if decoded.replaced:
        book.drop("byte outside the encoding", f"{path} is not {decoded.encoding}", decoded.replaced)
    root = as_element(decoded.text)
    if root is None:
        book.drop("XHTML that is no XML", f"{path} is no XML, and was read as HTML")
    page = parse(decoded.text if root is None else as_html(root))
    if page.flattened:
        book.drop("element nested too deep", f"{path} is nested too deep", page.flattened)
    return page


def _contents(book: _Book) -> dict[str, str]:
    """Return what the table of contents calls each file: EPUB 3's, else EPUB 2's."""
    found: dict[str, str] = {}
    for item in book.items.values():
        is_nav, is_ncx = "nav" in item.properties.split(), item.media_type == "application/x-dtbncx+xml"
        if (is_nav or is_ncx) and item.path in book.archive:
            try:
                root = as_element(decode_page(book.archive.read(item.path)).text)
            except Unreadable:
                root = None
            if root is None:
                book.drop("table of contents that is no XML", f"{item.path} is no XML")
                continue
            entries = _nav_entries(root) if is_nav else _ncx_entries(root)
            for text, href in entries:
                path = _inside(posixpath.dirname(item.path), href.partition("#")[0])
                if text:
                    found.setdefault(path, text)
    return found


def _nav_entries(root: Any) -> Iterator[tuple[str, str]]:
    for nav in root.iter("nav"):
        kinds = [value for name, value in nav.attrib.items() if name.rpartition("}")[2] in ("type", "epub:type")]
        if not kinds or "toc" in kinds[0].split():
            for link in nav.iter("a"):
                yield " ".join("".join(link.itertext()).split()), link.get("href", "")


def _ncx_entries(root: Any) -> Iterator[tuple[str, str]]:
    for point in root.iter("navPoint"):
        label, target = point.find("navLabel/text"), point.find("content")
        if label is not None and target is not None:
            yield " ".join((label.text or "").split()), target.get("src", "")


def _markdown(book: _Book, chapter: _Chapter) -> str:
    text = chapter.page.markdown(lambda written: _address(book, chapter, written))
    return f"# {lines([Run(chapter.heading)])[0]}\n\n{text}" if chapter.heading else text


def _address(book: _Book, chapter: _Chapter, written: str) -> str:
    """Return where a link of a chapter leads in the one text of the book."""
    if written.startswith("#"):
        return _place(chapter, written[1:])
    scheme, colon, _ = written.partition(":")
    if (colon and scheme.isalnum()) or written.startswith(_EXTERNAL):
        return written
    href, _, fragment = written.partition("#")
    path = _inside(posixpath.dirname(chapter.path), href)
    if path in book.chapters:
        return _place(book.chapters[path], fragment)
    return quote(path, safe=_IN_NAMES) if path in book.archive else written


def _place(chapter: _Chapter, fragment: str) -> str:
    # An id within the text has no anchor in Markdown: the beginning of its chapter is nearest.
    name = chapter.anchors.get(unquote(fragment)) or chapter.anchors.get("")
    return f"#{name or unquote(fragment)}"


def _metadata(book: _Book) -> Iterator[Any]:
    for metadata in _named(book.package, "metadata"):
        yield from metadata.iter("{*}*")


def _texts(book: _Book, name: str) -> Iterator[str]:
    for element in _metadata(book):
        if name_of(element) == name and (text := " ".join("".join(element.itertext()).split())):
            yield text


def _add_metadata(parsed: Parsed, book: _Book) -> None:
    parsed.author = ", ".join(dict.fromkeys(_texts(book, "creator"))) or None
    tags = dict.fromkeys(_texts(book, "subject"))
    parsed.tags, parsed.tag_uses = sorted(tags), [(tag, "property", None, None, None) for tag in tags]
    properties: dict[str, list[str]] = {}
    for element in _metadata(book):
        text = " ".join("".join(element.itertext()).split())
        name = name_of(element)
        if name == "meta":
            name = element.get("property") or element.get("name") or name
            text = text or element.get("content", "")
        elif name == "date":
            _add_date(parsed, element, text)
        if name == "dcterms:modified":
            parsed.modified_at = instant(text)
        elif text and name not in _TAKEN and not len(element) and name != "metadata":
            properties.setdefault(name, []).append(text)
    parsed.properties = {name: texts[0] if len(texts) == 1 else texts for name, texts in properties.items()}


def _add_date(parsed: Parsed, element: Any, text: str) -> None:
    event = next((value for name, value in element.attrib.items() if name_of_attribute(name) == "event"), "publication")
    at = instant(text) or instant(f"{text}-01-01" if len(text) == len("2024") else f"{text}-01")
    if event == "modification":
        parsed.modified_at = at
    elif at is not None and (parsed.created_at is None or event == "publication"):
        parsed.created_at = at


def name_of_attribute(name: str) -> str:
    """Return the name of an attribute without its namespace.

    >>> name_of_attribute("{http://www.idpf.org/2007/opf}event")
    'event'
    """
    return name.rpartition("}")[2]


def _add_files(parsed: Parsed, book: _Book) -> None:
    seen: set[str] = set()
    for item in book.items.values():
        if not item.media_type.startswith(_ATTACHED) or item.path in seen:
            continue
        seen.add(item.path)
        if item.path not in book.archive:
            book.drop("file that is not in the archive", f"{item.path} is not in the archive")
            continue
        try:
            parsed.attachments.append(attachment(item.path, book.archive.read(item.path), item.media_type))
        except Unreadable as error:
            book.drop("file that can't be read", f"{item.path}: {error.reason}")
