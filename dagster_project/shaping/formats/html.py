"""HTML: pages as people save them, as programs make them, and as they were written by hand.

What belongs here: the encoding of a page, its head, and its body as Markdown. What does not: how HTML becomes Markdown
(`hypertext`), and what Markdown is made of (`converted`).

Rules:

- The encoding is the mark's, else what the page says of itself, as browsers take it (`latin1` is windows-1252), else
  what `decoding` finds. Bytes that are nothing in it stand as U+FFFD in the text and are counted in `dropped`.
- The title is that of the head, else Open Graph's, else the first heading of level 1, else the file's name.
- Days are those of meta elements, else of the first `<time>`. Keywords are tags. Other meta elements are properties.
- Addresses are resolved against `<base href>` where a page has one, and stay as written where it has none.
- A link to the id of a heading leads to its anchor in Markdown. Every id, and `<a name>`, is a block of kind `anchor`.
- What lies in a `data:` address is an attachment.
"""

from __future__ import annotations

import codecs
import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256
from mimetypes import guess_extension
from typing import Any, Final, NamedTuple
from urllib.parse import unquote_to_bytes, urljoin

from dagster_project.shaping.converted import from_markdown
from dagster_project.shaping.decoding import decode
from dagster_project.shaping.front_matter import instant
from dagster_project.shaping.hypertext import Page, parse
from dagster_project.shaping.images import attachment
from dagster_project.shaping.parsed import Attachment, Parsed, Unreadable
from dagster_project.shaping.safe_xml import as_element, as_html

MEDIA_TYPES: Final = {".html": "text/html", ".htm": "text/html", ".xhtml": "application/xhtml+xml"}
PARSER: Final = "html/selectolax"
EXTRA: Final = None

_PRESCAN: Final = 1024
"""Bytes within which a page says its encoding: https://html.spec.whatwg.org/#determining-the-character-encoding."""
_CHARSET: Final = re.compile(rb"""charset\s{0,9}=\s{0,9}["']?\s{0,9}([A-Za-z0-9_.:-]{1,40})""", re.IGNORECASE)
_XML_ENCODING: Final = re.compile(rb"""\s*<\?xml[^>]{0,99}encoding\s?=\s?["']([A-Za-z0-9_.:-]{1,40})["']""")
_AS_BROWSERS_DO: Final = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "tis-620": "cp874",
    "utf-7": "cp1252",
}
"""What browsers read where a page names another: https://encoding.spec.whatwg.org/#names-and-labels."""
_NAMES: Final = {"cp1252": "windows-1252", "cp1254": "windows-1254", "cp932": "shift_jis", "cp949": "euc-kr"}
_NO_TEXT: Final = frozenset(("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"))
_REPLACED: Final = "\ufffd"

_CREATED: Final = (
    "article:published_time",
    "datepublished",
    "dcterms.created",
    "dc.date.created",
    "dc.date.issued",
    "dcterms.issued",
    "citation_publication_date",
    "datecreated",
    "dcterms.date",
    "dc.date",
    "pubdate",
    "date",
)
_MODIFIED: Final = (
    "article:modified_time",
    "og:updated_time",
    "datemodified",
    "dcterms.modified",
    "dc.date.modified",
    "last-modified",
    "revised",
)
_AUTHORS: Final = ("author", "article:author", "dc.creator", "dcterms.creator", "citation_author", "byl")
_TAGS: Final = ("article:tag", "keywords", "news_keywords")
_UNTOLD: Final = frozenset(
    ("viewport", "content-type", "x-ua-compatible", "og:title", *_CREATED, *_MODIFIED, *_AUTHORS, *_TAGS)
)
_SAVED: Final = re.compile(r"<!--\s{0,9}saved from url=\(\d{4}\)(\S{1,2000})\s")
_SINGLE_FILE: Final = re.compile(r"Page saved with SingleFile\s{1,9}url:\s{0,9}(\S{1,2000})")
_SAVED_WITHIN: Final = 3000
_EMBEDDED: Final = re.compile(r"data:([A-Za-z0-9.+/-]{0,80})((?:;[A-Za-z0-9=_.+-]{1,60}){0,4}),", re.IGNORECASE)


class Decoded(NamedTuple):
    """A page's text, its encoding as the ledger names it, and how many bytes were nothing in that encoding."""

    text: str
    encoding: str
    replaced: int


def read(content: bytes, path: str) -> Parsed:
    """Read a page. Raises `Unreadable` for UTF-16 and UTF-32 that are broken; all else is kept.

    >>> note = read(b"<title>Lake</title><meta name=author content=Ada><h2>Now</h2><p><a href=a.md>a</a>.", "a.html")
    >>> note.title, note.author, note.links, note.body
    ('Lake', 'Ada', [('markdown', 'a.md', None, 'a', None, None, None)], '## Now\\n\\n[a](a.md).\\n')
    """
    decoded = decode_page(content)
    html = decoded.text
    if path.lower().endswith(".xhtml") and (root := as_element(html)) is not None:
        html = as_html(root)
    page = parse(html)
    addresses = _Addresses(page)
    parsed = from_markdown(page.markdown(addresses), path, title=_title(page))
    parsed.attachments = addresses.attachments
    parsed.blocks = [("anchor", name, None, "", None, None, None) for name in page.ids()]
    parsed.encoding, parsed.characters = decoded.encoding, len(decoded.text)
    _add_head(parsed, page, decoded.text[:_SAVED_WITHIN])
    _add_dropped(parsed, page, decoded)
    return parsed


def decode_page(content: bytes) -> Decoded:
    """Decode a page as a browser does.

    >>> decode_page("<meta charset=latin1>café".encode("latin-1"))
    Decoded(text='<meta charset=latin1>café', encoding='windows-1252', replaced=0)
    """
    if content[:3] == codecs.BOM_UTF8 or content[:2] in (codecs.BOM_UTF16_BE, codecs.BOM_UTF16_LE):
        return _in_unicode(content)
    if (declared := _declared(content)) is not None:
        return _in(content, declared, _NAMES.get(declared, declared))
    try:
        return _in_unicode(content)
    except Unreadable:
        return _in(content, "utf-8", "utf-8")


def _in_unicode(content: bytes) -> Decoded:
    text = decode(content)
    return Decoded(text.text, text.encoding, 0)


def _declared(content: bytes) -> str | None:
    head = content[:_PRESCAN]
    match = _XML_ENCODING.match(head) or _CHARSET.search(head)
    if match is None:
        return None
    try:
        name = codecs.lookup(match[1].decode("ascii")).name
        "".encode(name)  # refuses codecs between bytes, e.g. `zip`
    except (LookupError, UnicodeError):
        return None
    return "utf-8" if name in _NO_TEXT else _AS_BROWSERS_DO.get(name, name)


def _in(content: bytes, codec: str, name: str) -> Decoded:
    try:
        return Decoded(content.decode(codec), name, 0)
    except (UnicodeError, ValueError):
        text = content.decode(codec, "replace")
        return Decoded(text, name, text.count(_REPLACED))


class _Addresses:
    """Where links and pictures of a page lead in Markdown; collects what lies in `data:` addresses."""

    def __init__(self, page: Page) -> None:
        base = page.tree.css_first("base[href]")
        self.base: str = (base.attributes.get("href") or "").strip() if base is not None else ""
        self.anchors = page.anchors()
        self.attachments: list[Attachment] = []
        self.names: dict[str, str] = {}

    def __call__(self, written: str) -> str:
        if written.startswith("#"):
            return f"#{self.anchors.get(written[1:], written[1:])}" if len(written) > 1 else written
        if written[:5].lower() == "data:":
            return self._embedded(written)
        return _joined(self.base, written) if self.base else written

    def _embedded(self, written: str) -> str:
        match = _EMBEDDED.match(written)
        content = None if match is None else _embedded(written[match.end() :], match[2])
        if match is None or content is None:
            return written
        media_type = match[1].lower() or "text/plain"
        digest = sha256(content).hexdigest()
        if digest not in self.names:
            name = f"embedded-{len(self.names) + 1}{guess_extension(media_type) or ''}"
            self.names[digest] = name
            self.attachments.append(attachment(name, content, media_type))
        return self.names[digest]


def _embedded(written: str, parameters: str) -> bytes | None:
    given = unquote_to_bytes(written)
    if not parameters.lower().endswith(";base64"):
        return given
    try:
        return b64decode(given)
    except (Base64Error, ValueError):
        return None


def _joined(base: str, written: str) -> str:
    try:
        return urljoin(base, written)
    except ValueError:  # e.g. a port that is no number
        return written


def _title(page: Page) -> str | None:
    for selector in ("head > title", "title"):
        if (node := page.tree.css_first(selector)) is not None and (text := " ".join(node.text().split())):
            return text
    node = page.tree.css_first('meta[property="og:title"]')
    return " ".join((node.attributes.get("content") or "").split()) or None if node is not None else None


def _metas(page: Page) -> dict[str, list[str]]:
    """Return the contents of meta elements by their names in lower case."""
    found: dict[str, list[str]] = {}
    for node in page.tree.css("meta[content]"):
        given: Mapping[str, str | None] = node.attributes
        name = given.get("name") or given.get("property") or given.get("itemprop") or given.get("http-equiv")
        text = (given.get("content") or "").strip()
        if name and name.strip() and text:
            found.setdefault(name.strip().lower(), []).append(text)
    return found


def _add_head(parsed: Parsed, page: Page, top: str) -> None:
    metas = _metas(page)
    parsed.author = ", ".join(dict.fromkeys(_given(metas, _AUTHORS))) or None
    parsed.created_at = next(_instants(_given(metas, _CREATED)), None) or next(_times(page), None)
    parsed.modified_at = next(_instants(_given(metas, _MODIFIED)), None)
    parsed.tags = sorted(set(_keywords(metas)))
    parsed.tag_uses = [(tag, "property", None, None, None) for tag in dict.fromkeys(_keywords(metas))]
    told = {name: given for name, given in metas.items() if name not in _UNTOLD}
    parsed.properties = {name: given[0] if len(given) == 1 else given for name, given in told.items()}
    parsed.properties.update(_others(page, top))


def _given(metas: Mapping[str, list[str]], names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        yield from metas.get(name, ())


def _keywords(metas: Mapping[str, list[str]]) -> Iterator[str]:
    yield from metas.get("article:tag", ())
    for written in _given(metas, _TAGS[1:]):
        yield from (word for each in re.split("[,;]", written) if (word := each.strip()))


def _instants(written: Iterator[str]) -> Iterator[datetime]:
    for each in written:
        if (at := instant(each) or _mailed(each)) is not None:
            yield at


def _mailed(written: str) -> datetime | None:
    """Return an instant as HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT`."""
    try:
        given = parsedate_to_datetime(written)
        return given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _times(page: Page) -> Iterator[datetime]:
    return _instants(node.attributes.get("datetime") or "" for node in page.tree.css("time[datetime]"))


def _others(page: Page, top: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    root, canonical = page.tree.root, page.tree.css_first('link[rel="canonical"]')
    if root is not None and (lang := root.attributes.get("lang") or root.attributes.get("xml:lang")):
        found["lang"] = lang
    if canonical is not None and (href := canonical.attributes.get("href")):
        found["canonical"] = href
    if (saved := _SAVED.search(top) or _SINGLE_FILE.search(top)) is not None:
        found["saved_from"] = saved[1]
    return found


def _add_dropped(parsed: Parsed, page: Page, decoded: Decoded) -> None:
    if decoded.replaced:
        parsed.line = decoded.text.count("\n", 0, decoded.text.index(_REPLACED)) + 1
        parsed.dropped.append(("byte outside the encoding", decoded.replaced, parsed.line))
        parsed.error = f"{decoded.replaced} bytes are not {decoded.encoding} and stand as U+FFFD"
    if page.flattened:
        parsed.dropped.append(("element nested too deep", page.flattened, None))
        parsed.error = parsed.error or f"{page.flattened} elements lie too deep: their text is kept without them"
