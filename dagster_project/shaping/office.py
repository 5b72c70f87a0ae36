"""What DOCX and PPTX have in common: a package of XML parts, opened safely, with properties, images and embedded files.

What belongs here: ECMA-376 part 2, which is to say the package, its core, application and custom properties. What does
not: what stands in the documents.

Rules:

- Every XML part is parsed once before a library opens the package: one with a document type (entities that grow) is
  refused, as the standard demands, and so is one too deep or too large for a library that builds trees.
- Core properties have their places in the note: title, creator, created, modified, keywords as tags. The others, the
  application's own and the custom ones are the note's properties.
- Media and embedded files are attachments under their names in the package, whether or not something shows them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote
from xml.etree import ElementTree as ET
from xml.parsers import expat

from dagster_project.shaping.archives import LIMIT, Archive, open_archive
from dagster_project.shaping.front_matter import instant
from dagster_project.shaping.images import attachment
from dagster_project.shaping.parsed import Attachment, Parsed, Unreadable

RULE: Final = "office"

MAX_DEPTH: Final = 100
"""Elements within each other. Word itself writes no more than some 60."""
MAX_ELEMENTS: Final = 1_000_000
"""In all parts: about a kilobyte of memory each, while a library has them."""

_OLD: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""The mark of a compound file: what Office wrote before 2007, and what it puts around an encrypted package."""
_ENCRYPTED: Final = "EncryptedPackage".encode("utf-16-le")
_KEPT: Final = re.compile(r"[^/]+/(?:media|embeddings)/[^/]+")
_SEPARATORS: Final = re.compile(r"[,;]")
_HUMP: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_PLACED: Final = frozenset(("title", "creator", "created", "modified", "keywords"))
_OF_APPLICATION: Final = {"Application": "application", "Company": "company", "Manager": "manager"}
_WITHOUT_MEANING: Final = frozenset(("revision", "lastPrinted", "version"))


@dataclass(frozen=True, slots=True)
class Package:
    """A package that was checked. `elements` counts the XML elements by name, without their namespaces."""

    content: bytes
    archive: Archive
    elements: Mapping[str, int]


def open_package(content: bytes, format_: str) -> Package:
    """Open a package of `format_`. Raises `Unreadable` for what is none, is encrypted, or costs too much.

    >>> open_package(b"PK", "DOCX")
    Traceback (most recent call last):
    dagster_project.shaping.parsed.Unreadable: it is no zip archive: File is not a zip file
    """
    if content.startswith(_OLD):
        if _ENCRYPTED in content:
            raise Unreadable("encrypted", "it is encrypted: save it without a password, and it will be read")
        raise Unreadable(RULE, f"it is a file of Office before 2007: save it as {format_}, and it will be read")
    archive = open_archive(content)
    if "[Content_Types].xml" not in archive:
        raise Unreadable(RULE, f"it is a zip archive but no {format_}: it has no [Content_Types].xml")
    elements: Counter[str] = Counter()
    for name in archive.names:
        if name.endswith((".xml", ".rels", ".vml")):
            _check(name, archive.read(name), elements)
    return Package(content, archive, elements)


def _check(name: str, content: bytes, elements: Counter[str]) -> None:
    """Refuse XML that is broken, has a document type, or is too deep or too large; count its elements."""
    parser = expat.ParserCreate(namespace_separator="}")  # as ElementTree has it: what is let through, it reads
    depth, left = 0, MAX_ELEMENTS - elements.total()

    def start(tag: str, _: object) -> None:
        nonlocal depth, left
        depth, left = depth + 1, left - 1
        if depth > MAX_DEPTH:
            raise Unreadable(LIMIT, f"{name} has more than {MAX_DEPTH} elements within each other")
        if left < 0:
            raise Unreadable(LIMIT, f"it has more than {MAX_ELEMENTS} XML elements")
        elements[local(tag)] += 1

    def end(_: str) -> None:
        nonlocal depth
        depth -= 1

    def doctype(*_: object) -> None:
        raise Unreadable(RULE, f"{name} has a document type, which no {RULE} file may have")

    parser.StartElementHandler, parser.EndElementHandler, parser.StartDoctypeDeclHandler = start, end, doctype
    try:
        parser.Parse(content, True)  # noqa: FBT003  expat's own signature
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise Unreadable(RULE, f"{name} in it is no XML: {error}") from error


def xml(package: Package, name: str) -> ET.Element | None:
    """Return a checked part of a package; None if it has no such part."""
    return ET.fromstring(package.archive.read(name)) if name in package.archive else None  # noqa: S314  checked


def local(tag: str) -> str:
    """Return a tag without its namespace.

    >>> local("{http://purl.org/dc/elements/1.1/}title")
    'title'
    """
    return tag.rpartition("}")[2]


def add_properties(parsed: Parsed, package: Package) -> None:
    """Give a note the properties of its package. The title is for who made the note."""
    core = _core(package)
    parsed.author = core.get("creator")
    parsed.created_at, parsed.modified_at = (instant(core.get(name, "")) for name in ("created", "modified"))
    keywords = [word for part in _SEPARATORS.split(core.get("keywords", "")) if (word := part.strip())]
    parsed.tag_uses = [(word, "property", None, None, None) for word in keywords]
    parsed.tags = sorted(set(keywords))
    parsed.properties = {
        **{_snake(name): value for name, value in core.items() if name not in _PLACED | _WITHOUT_MEANING},
        **{
            _OF_APPLICATION[name]: text for name, text in _texts(package, "docProps/app.xml") if name in _OF_APPLICATION
        },
        **dict(_custom(package)),
    }


def _snake(name: str) -> str:
    return _HUMP.sub("_", name).lower()


def title(package: Package) -> str | None:
    """Return the title a package gives itself."""
    return _core(package).get("title")


def _core(package: Package) -> dict[str, str]:
    return dict(_texts(package, "docProps/core.xml"))


def _texts(package: Package, name: str) -> Iterator[tuple[str, str]]:
    """Yield the elements of a part below its root that hold text."""
    for element in root if (root := xml(package, name)) is not None else ():
        if text := " ".join((element.text or "").split()):
            yield local(element.tag), text


def _custom(package: Package) -> Iterator[tuple[str, str | int | float | bool]]:
    for element in root if (root := xml(package, "docProps/custom.xml")) is not None else ():
        for value in element:
            if name := element.get("name"):
                yield name, _typed(local(value.tag), value.text or "")


def _typed(kind: str, text: str) -> str | int | float | bool:
    try:
        if kind in ("i1", "i2", "i4", "i8", "int", "ui1", "ui2", "ui4", "ui8", "uint"):
            return int(text)
        if kind in ("r4", "r8", "decimal"):
            return float(text) if float(text) - float(text) == 0 else text
    except ValueError:
        return text
    return text.strip().lower() in ("true", "1") if kind == "bool" else text


def files(package: Package) -> list[Attachment]:
    """Return the media and embedded files of a package, once by name."""
    names = [name for name in package.archive.names if _KEPT.fullmatch(name)]
    return [attachment(name, package.archive.read(name)) for name in names]


def link_to(path: str, name: str) -> str:
    """Return how a link in the note of the file at `path` leads to a file within it.

    >>> link_to("docs/a b.docx", "word/media/image1.png")
    'a%20b.docx/word/media/image1.png'
    """
    return quote(f"{path.rpartition('/')[2]}/{name}")
