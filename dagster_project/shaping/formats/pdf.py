"""PDF: the text of its pages, its outline as headings, its links, comments, files and metadata.

What belongs here: what a PDF says of itself, as pypdfium2 reads it. What does not: pictures of text, which need
recognition, and layout: the order of the text is the file's.

Rules:

- The body is the text of the pages, made into Markdown that shows just it; so parts have no place in the file. A word
  divided at the end of a line is put together.
- With an outline, its entries are the headings and `<!-- page 3 -->` stands where a page begins. A heading takes the
  place of the line of the same text on the page the entry points to, or else stands at the top of that page. An entry
  that points nowhere stands where the next one does. The heading path is the outline's own, however deep; the level
  ends at 6. Without an outline each page is a section, `Page 3`.
- Links are those a reader can click. One within the file leads to `#page=3` (RFC 8118).
- Comments stand below the text of their page, as quotes; so do the filled fields of a form, `name: value`.
- The title is the metadata's, else the file's name; keywords are tags; the rest of it and the number of pages are
  properties. Embedded files are attachments.
- A page that shows something but has no text is told: a scan must be recognised before it can be read.
- A file can be made to loop or to grow: what exceeds the limits below is cut, and told. What pdfium itself works at
  without end (a form that draws itself twice) ends with the time limit of whoever called.
"""

from __future__ import annotations

import ctypes
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from dagster_project.shaping.converted import from_markdown
from dagster_project.shaping.images import attachment
from dagster_project.shaping.inline import BREAK, Run, escape, lines
from dagster_project.shaping.parsed import Attachment, Link, Parsed, Unreadable

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument, PdfPage, PdfTextPage

MEDIA_TYPES: Final = {".pdf": "application/pdf"}
PARSER: Final = "pdf/pypdfium2"
EXTRA: Final = "pdf"

RULE: Final = "pdf"

MAX_PAGES: Final = 10_000
MAX_CHARACTERS: Final = 50_000_000
"""Of text, in all pages."""
MAX_ENTRIES: Final = 20_000
"""Of the outline."""
MAX_DEPTH: Final = 50
"""Of the outline."""
MAX_ANNOTATIONS: Final = 100_000
"""Links, comments and fields, in all pages."""
MAX_FILES: Final = 1_000
MAX_FILE_BYTES: Final = 256 << 20
"""Of embedded files, in all."""

_LEVELS: Final = 6
_DATE: Final = re.compile(r"(?:D:)?(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?(?:([+-])(\d\d)'?(\d\d)?|Z)?")
_SEPARATORS: Final = re.compile(r"[,;\n]")
_UNPRINTED: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff\ud800-\udfff]")
_LINE_ENDS: Final = re.compile(r"\r\n?|\n")
_DIVIDED: Final = str.maketrans("", "", "\x02\ufffe")
"""What pdfium gives for the hyphen of a word that goes on in the next line."""
_PROPERTIES: Final = {"Subject": "subject", "Creator": "creator", "Producer": "producer"}

Call = Callable[[Any, int], int]
"""A function of pdfium that fills a buffer of a number of bytes, and returns how many it needs."""


@dataclass(slots=True)
class _Entry:
    """An entry of the outline: the headings above it and its own, and the page it points to, from 0."""

    path: list[str]
    page: int | None


@dataclass(slots=True)
class _Page:
    """What a page says."""

    text: list[str]
    notes: list[str]


@dataclass(slots=True)
class _Book:
    """A PDF being read."""

    pdf: PdfDocument
    links: list[Link] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    characters: int = 0
    annotations: int = 0


def read(content: bytes, path: str) -> Parsed:
    """Read a PDF. Raises `Unreadable` if it is none, or is encrypted; all else is kept, and told in `dropped`."""
    pdf = _opened(content)
    try:
        return _read(_Book(pdf), path)
    finally:
        pdf.close()


def _opened(content: bytes) -> PdfDocument:
    from pypdfium2 import PdfDocument, PdfiumError
    from pypdfium2.raw import FPDF_ERR_PASSWORD

    try:
        return PdfDocument(content)
    except PdfiumError as error:
        if error.err_code == FPDF_ERR_PASSWORD:
            raise Unreadable("encrypted", "it is encrypted: save it without a password, and it will be read") from error
        raise Unreadable(RULE, f"it is no PDF that can be read: {error}") from error


def _read(book: _Book, path: str) -> Parsed:
    from pypdfium2.raw import FPDF_DocumentHasValidCrossReferenceTable

    if not FPDF_DocumentHasValidCrossReferenceTable(book.pdf):
        book.dropped["cross-reference table"] = 1
        book.errors.append("its cross-reference table is broken: what could be found without it is kept")
    pages = list(_pages(book))
    entries = _outline(book, len(pages))
    body, paths = _with_outline(pages, entries) if entries else _by_page(pages)
    metadata = {key: _clean(value) for key, value in book.pdf.get_metadata_dict().items()}
    parsed = from_markdown(body, path, title=metadata["Title"] or PurePosixPath(path).stem)
    _set_paths(parsed, paths)
    parsed.links = book.links
    parsed.attachments = list(_files(book))
    _add_metadata(parsed, book, metadata)
    _tell(parsed, book, len(pages))
    return parsed


def _pages(book: _Book) -> Iterator[_Page]:
    from pypdfium2 import PdfiumError

    count = len(book.pdf)
    if count > MAX_PAGES:
        book.dropped[f"page beyond {MAX_PAGES}"] = count - MAX_PAGES
    for index in range(min(count, MAX_PAGES)):
        try:
            page = book.pdf[index]
        except PdfiumError:
            book.dropped["page that cannot be read"] += 1
            yield _Page([], [])
            continue
        try:
            yield _page(book, page)
        finally:
            page.close()


def _page(book: _Book, page: PdfPage) -> _Page:
    from pypdfium2 import PdfiumError
    from pypdfium2.raw import FPDFPage_CountObjects

    try:
        text_page = page.get_textpage()
    except PdfiumError:
        book.dropped["page that cannot be read"] += 1
        return _Page([], [])
    try:
        text = [] if book.characters > MAX_CHARACTERS else _text_lines(_text(text_page))
        book.characters += sum(map(len, text))
        if book.characters > MAX_CHARACTERS:
            book.dropped[f"page beyond {MAX_CHARACTERS} characters"] += 1
            text = []
        elif not text and FPDFPage_CountObjects(page):
            book.dropped["page without text"] += 1
        notes = list(_annotations(book, page))
        _add_links(book, page, text_page)
    finally:
        text_page.close()
    return _Page(text, notes)


def _text(text_page: PdfTextPage) -> str:
    """Return the text of a page; that of what lies within its bounds has characters of every plane."""
    return str(text_page.get_text_bounded(errors="replace")) if text_page.count_chars() > 0 else ""


def _text_lines(text: str) -> list[str]:
    found = [_clean(line) for line in _LINE_ENDS.split(text.translate(_DIVIDED))]
    return found if any(found) else []


def _clean(text: str) -> str:
    return _UNPRINTED.sub("", text).strip()


def _string(call: Call) -> str:
    """Return the UTF-16 text that a function of pdfium gives."""
    buffer = _bytes(call)
    return _clean(buffer.decode("utf-16-le", "replace").rstrip("\0"))


def _bytes(call: Call) -> bytes:
    size = call(None, 0)
    if size <= 0:
        return b""
    buffer = ctypes.create_string_buffer(size)
    call(buffer, size)
    return buffer.raw


def _annotations(book: _Book, page: PdfPage) -> Iterator[str]:
    """Yield what the comments and fields of a page say."""
    from pypdfium2 import raw

    for index in range(_allowed(book, raw.FPDFPage_GetAnnotCount(page), "comment or field")):
        annotation = raw.FPDFPage_GetAnnot(page, index)
        if not annotation:
            continue
        try:
            kind = raw.FPDFAnnot_GetSubtype(annotation)
            if kind == raw.FPDF_ANNOT_WIDGET:
                name, value = _annotated(annotation, b"T\0"), _annotated(annotation, b"V\0")
                if value and value != "Off":
                    yield f"{name}: {value}" if name else value
            elif kind not in (raw.FPDF_ANNOT_LINK, raw.FPDF_ANNOT_POPUP) and (
                said := _annotated(annotation, b"Contents\0")
            ):
                yield said
        finally:
            raw.FPDFPage_CloseAnnot(annotation)


def _annotated(annotation: Any, key: bytes) -> str:
    from pypdfium2.raw import FPDF_WCHAR, FPDFAnnot_GetStringValue

    pointer = ctypes.POINTER(FPDF_WCHAR)
    return _string(lambda buffer, size: FPDFAnnot_GetStringValue(annotation, key, ctypes.cast(buffer, pointer), size))


def _allowed(book: _Book, count: int, construct: str) -> int:
    """Return how many more annotations are looked at, of `count`."""
    allowed = min(count, MAX_ANNOTATIONS - book.annotations)
    book.annotations += allowed
    if allowed < count:
        book.dropped[f"{construct} beyond {MAX_ANNOTATIONS}"] += count - allowed
    return allowed


def _add_links(book: _Book, page: PdfPage, text_page: PdfTextPage) -> None:
    from pypdfium2 import raw

    position, link = ctypes.c_int(0), raw.FPDF_LINK()
    last: Link | None = None
    seen = 0
    while raw.FPDFLink_Enumerate(page, position, link):
        seen += 1
        if seen > MAX_ANNOTATIONS or not _allowed(book, 1, "link"):
            return
        if (to := _target(book.pdf, link)) is None:
            continue
        text = _shown(link, text_page)
        if last is not None and last[1:3] == to:  # one link that goes over several lines
            text = f"{last[3]} {text}".strip()
            book.links.pop()
        last = ("markdown", *to, text, None, None, None)
        book.links.append(last)


def _target(pdf: PdfDocument, link: Any) -> tuple[str, str | None] | None:
    from pypdfium2 import raw

    action = raw.FPDFLink_GetAction(link)
    kind = raw.FPDFAction_GetType(action) if action else raw.PDFACTION_GOTO
    if kind == raw.PDFACTION_URI:
        written = _bytes(lambda buffer, size: raw.FPDFAction_GetURIPath(pdf, action, buffer, size))
    elif kind in (raw.PDFACTION_REMOTEGOTO, raw.PDFACTION_LAUNCH):
        written = _bytes(lambda buffer, size: raw.FPDFAction_GetFilePath(action, buffer, size))
    elif kind == raw.PDFACTION_GOTO and (destination := raw.FPDFLink_GetDest(pdf, link)):
        page = raw.FPDFDest_GetDestPageIndex(pdf, destination)
        return ("", f"page={page + 1}") if page >= 0 else None
    else:
        return None
    target, _, fragment = _clean(written.decode("utf-8", "replace")).partition("#")
    return (target, fragment or None) if target or fragment else None


def _shown(link: Any, text_page: PdfTextPage) -> str:
    from pypdfium2.raw import FS_RECTF, FPDFLink_GetAnnotRect

    box = FS_RECTF()
    if not FPDFLink_GetAnnotRect(link, box):
        return ""
    left, right = sorted((box.left, box.right))
    bottom, top = sorted((box.bottom, box.top))
    return " ".join(_text_lines(text_page.get_text_bounded(left, bottom, right, top, errors="replace")))


def _outline(book: _Book, pages: int) -> list[_Entry]:
    """Return the outline in order of pages, each entry with a page; a loop in it ends where it comes back."""
    from pypdfium2.raw import FPDFBookmark_GetFirstChild, FPDFBookmark_GetNextSibling

    found: list[_Entry] = []
    seen: set[int] = set()
    # A stack, and children above siblings, so that no depth is too deep for Python and the order is that of reading.
    waiting: list[tuple[Any, list[str]]] = [(FPDFBookmark_GetFirstChild(book.pdf, None), [])]
    while waiting:
        mark, above = waiting.pop()
        if not mark:
            continue
        address = ctypes.addressof(mark.contents)
        if address in seen:
            book.dropped["entry of the outline that comes again"] += 1
        elif len(seen) >= MAX_ENTRIES:
            book.dropped[f"outline beyond {MAX_ENTRIES} entries"] = 1
            break
        else:
            seen.add(address)
            path = [*above, title] if (title := _title(mark)) else above
            if title:
                found.append(_Entry(path, _page_of(book.pdf, mark, pages)))
            waiting.append((FPDFBookmark_GetNextSibling(book.pdf, mark), above))
            if len(path) < MAX_DEPTH:
                waiting.append((FPDFBookmark_GetFirstChild(book.pdf, mark), path))
            else:
                book.dropped[f"outline deeper than {MAX_DEPTH}"] = 1
    return _placed(found)


def _title(mark: Any) -> str:
    from pypdfium2.raw import FPDFBookmark_GetTitle

    return " ".join(_string(lambda buffer, size: FPDFBookmark_GetTitle(mark, buffer, size)).split())


def _page_of(pdf: PdfDocument, mark: Any, pages: int) -> int | None:
    from pypdfium2.raw import FPDFBookmark_GetDest, FPDFDest_GetDestPageIndex

    destination = FPDFBookmark_GetDest(pdf, mark)
    page = FPDFDest_GetDestPageIndex(pdf, destination) if destination else -1
    return page if 0 <= page < pages else None


def _placed(entries: Sequence[_Entry]) -> list[_Entry]:
    following = max((entry.page for entry in entries if entry.page is not None), default=0)
    for entry in reversed(entries):
        following = entry.page = following if entry.page is None else entry.page
    return sorted(entries, key=lambda entry: entry.page or 0)


Paths = list[list[str]]
"""The heading path of each heading in a body, in their order."""


def _by_page(pages: Sequence[_Page]) -> tuple[str, Paths]:
    kept = [(number, page) for number, page in enumerate(pages, 1) if page.text or page.notes]
    body = "\n\n".join(_block([f"# Page {number}"], *_written(page.text), *_quoted(page)) for number, page in kept)
    return _ended(body), [[f"Page {number}"] for number, _ in kept]


def _with_outline(pages: Sequence[_Page], entries: Sequence[_Entry]) -> tuple[str, Paths]:
    by_page: dict[int, list[_Entry]] = {}
    for entry in entries:
        by_page.setdefault(entry.page or 0, []).append(entry)
    written = [
        _block([f"<!-- page {index + 1} -->"], *_headed(page.text, by_page.get(index, ())), *_quoted(page))
        for index, page in enumerate(pages)
        if page.text or page.notes or index in by_page
    ]
    return _ended("\n\n".join(written)), [entry.path for entry in entries]


def _ended(body: str) -> str:
    return f"{body}\n" if body else ""


def _block(*parts: list[str]) -> str:
    return "\n\n".join("\n".join(part) for part in parts if part)


def _written(text: Sequence[str]) -> Iterator[list[str]]:
    """Yield the lines of text as Markdown that shows just them; none if there are none."""
    yield lines(run for line in text for run in (Run(line), BREAK))


def _headed(text: Sequence[str], entries: Sequence[_Entry]) -> Iterator[list[str]]:
    """Yield the text of a page as Markdown, with its headings where they stand."""
    places = _places(text) if entries else {}
    at = 0
    for entry in entries:
        starts = places.get(_key(entry.path[-1]), [])
        first = bisect_left(starts, (at, 0))
        if first < len(starts):
            start, count = starts[first]
            yield from _written(text[at:start])
            at = start + count
        yield [_heading(entry)]
    yield from _written(text[at:])


def _places(text: Sequence[str]) -> Mapping[str, list[tuple[int, int]]]:
    """Return where a heading of each key can stand: first line, and how many."""
    places: dict[str, list[tuple[int, int]]] = {}
    for start in range(len(text)):
        for count in (1, 2, 3):
            if start + count <= len(text) and (key := _key(" ".join(text[start : start + count])[:500])):
                places.setdefault(key, []).append((start, count))
    return places


def _key(text: str) -> str:
    """Return what a heading and its entry in the outline have in common.

    >>> _key("2.1  The Lake"), _key("the lake"), _key("1984")
    ('thelake', 'thelake', '1984')
    """
    key = "".join(character for character in text.casefold() if character.isalnum())
    return key.lstrip("0123456789") or key


def _heading(entry: _Entry) -> str:
    text = escape(entry.path[-1])
    if text.endswith("#"):  # it would close the heading
        text = f"{text[:-1]}\\#"
    return f"{'#' * min(len(entry.path), _LEVELS)} {text}"


def _quoted(page: _Page) -> Iterator[list[str]]:
    for note in page.notes:
        yield [f"> {line}" for part in _written(_LINE_ENDS.split(note)) for line in part]


def _set_paths(parsed: Parsed, paths: Paths) -> None:
    """Give each heading the path of the outline, which Markdown holds six levels of, and in the order of pages only."""
    given = iter(paths)
    parsed.sections = [
        part if part[1] is None else (part[0], (path := next(given))[-1], path, *part[3:]) for part in parsed.sections
    ]


def _files(book: _Book) -> Iterator[Attachment]:
    from pypdfium2 import PdfiumError

    count = book.pdf.count_attachments()
    if count > MAX_FILES:
        book.dropped[f"embedded file beyond {MAX_FILES}"] = count - MAX_FILES
    total = 0
    for index in range(min(count, MAX_FILES)):
        try:
            embedded = book.pdf.get_attachment(index)
            name, content = _clean(embedded.get_name()), bytes(embedded.get_data())
        except PdfiumError:
            book.dropped["embedded file that cannot be read"] += 1
            continue
        total += len(content)
        if total > MAX_FILE_BYTES:
            book.dropped[f"embedded file beyond {MAX_FILE_BYTES} bytes"] += 1
        else:
            yield attachment(name or f"file-{index + 1}", content)


def _add_metadata(parsed: Parsed, book: _Book, metadata: Mapping[str, str]) -> None:
    parsed.author = metadata["Author"] or None
    parsed.created_at, parsed.modified_at = instant(metadata["CreationDate"]), instant(metadata["ModDate"])
    keywords = [word for part in _SEPARATORS.split(metadata["Keywords"]) if (word := part.strip())]
    parsed.tag_uses = [(word, "property", None, None, None) for word in keywords]
    parsed.tags = sorted(set(keywords))
    parsed.properties = {name: metadata[key] for key, name in _PROPERTIES.items() if metadata[key]}
    parsed.properties["pages"] = len(book.pdf)
    if version := book.pdf.get_version():
        parsed.properties["pdf_version"] = f"{version // 10}.{version % 10}"


def instant(written: str) -> datetime | None:
    """Return the instant of a date as PDF writes it (ISO 32000-1, 7.9.4), in UTC; None if it is none.

    >>> instant("D:20240501120000+02'00'").isoformat(), instant("D:2024").year, instant("May 1st")
    ('2024-05-01T10:00:00+00:00', 2024, None)
    """
    match = _DATE.fullmatch(written.rstrip("'"))
    if match is None:
        return None
    digits = zip(match.groups()[:6], (1, 1, 1, 0, 0, 0), strict=True)
    year, month, day, hour, minute, second = (int(part) if part else default for part, default in digits)
    offset = timedelta(hours=int(match[8] or 0), minutes=int(match[9] or 0))
    try:
        zone = timezone(-offset if match[7] == "-" else offset)
        return datetime(year, month, day, hour, minute, second, tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _tell(parsed: Parsed, book: _Book, pages: int) -> None:
    parsed.dropped = [(construct, count, None) for construct, count in book.dropped.items()]
    without = book.dropped["page without text"]
    if without and without == pages:
        book.errors.insert(0, "no text: a scan? Recognise its text (OCR), and it will be read")
    elif without:
        book.errors.append(f"{without} of {pages} pages have no text: scans or pictures?")
    if not book.errors and book.dropped:
        book.errors.append(f"not kept: {', '.join(book.dropped)}")
    parsed.error = "; ".join(book.errors) or None
