"""ENEX: what Evernote exports, and what others write in its format; one file holds many notes.

What belongs here: the notes of an export with their resources and tasks. What does not: how a note's ENML becomes
Markdown (`hypertext`).

Rules:

- The name of a note within its file is when it was created and its title, with ` (2)`, ` (3)` … for the next of the
  same: every export of a note gives it the same name, whatever else stands in the file.
- The file is read as a stream, one note at a time. Where its XML breaks, reading goes on at the next `<note>`: that
  note is refused alone, and the file says where it broke.
- ENML that is no XML is read as HTML, and told. A file that declares entities is refused: Evernote writes none.
- Resources are attachments, found by the MD5 of their data, as ENML refers to them. What Evernote recognised in
  pictures is an index of words with places, no text of the note: `properties` names the files that have one.
- A check box is a task, and so is a `<task>`, which brings its due day. Links to notes (`evernote:///view/…`) stay.

Sources: https://xml.evernote.com/pub/evernote-export4.dtd, https://dev.evernote.com/doc/articles/enml.php.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections import Counter
from collections.abc import Iterator
from mimetypes import guess_extension
from typing import Any, Final, NamedTuple
from urllib.parse import quote
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

import numpy as np

from dagster_project.shaping.converted import from_markdown
from dagster_project.shaping.front_matter import instant
from dagster_project.shaping.hypertext import parse
from dagster_project.shaping.images import attachment
from dagster_project.shaping.inline import escape
from dagster_project.shaping.parsed import Attachment, Container, Dropped, Parsed, Refused, Task, Unreadable
from dagster_project.shaping.safe_xml import as_element, as_html

MEDIA_TYPES: Final = {".enex": "application/enex+xml"}
PARSER: Final = "enex/1"
EXTRA: Final = None

DEPTH: Final = 32
"""Elements within each other in an export's own XML; Evernote needs a third of it."""
BREAKS: Final = 1000
"""Places where the XML may break before reading is given up."""
_ROOT: Final = "en-export"
_IN_ROOT: Final = 2
_NOTE: Final = re.compile(rb"<note[\s>]")
_LAST: Final = True
_BUFFER: Final = 1 << 20
_FIRST_CHUNK: Final = 4096
_TITLE_CHARACTERS: Final = 255
_DIGITS: Final = 8
_TOP, _CONTINUES = 0xC0, 0x80
_GAP: Final = "\n"
_IN_NAMES: Final = " ()[]{}!$&'*+,;=@^~|<>\"`\\"
_NOWHERE: Final = (None, None, None)
_PLACED: Final = frozenset(("title", "created", "updated", "tag", "content", "resource", "task", "note-attributes"))
_STYLE: Final = re.compile(
    r"-{1,2}en-(id|codeblock|task-group|checked|syntaxlanguage)\s{0,9}:\s{0,9}([\w-]{1,80})", re.IGNORECASE
)
_STATES: Final = {"open": "open", "completed": "done"}
_PROLOGUE: Final = re.compile(r"\s*(?:<\?xml[^>]{0,200}\?>)?\s*(?:<!DOCTYPE[^>\[]{0,300}>)?")


def read(content: bytes, path: str) -> Container:
    """Read an export. Raises `Unreadable` for what is no export, and for one that declares entities.

    >>> enex = "<en-export><note><title>Lake</title><created>20240102T030405Z</created><content>{}</content></note>{}"
    >>> enml = "<![CDATA[<en-note><div>a <b>b</b></div></en-note>]]>"
    >>> (note,) = read(enex.format(enml, "</en-export>").encode(), "a.enex").notes
    >>> note.member, note.body, str(note.created_at)
    ('20240102T030405Z Lake', 'a **b**\\n', '2024-01-02 03:04:05+00:00')
    >>> read(enex.format(enml, "<note><title>Ri").encode(), "a.enex").error
    'line 1: no element found'
    """
    reading = _Reading(content)
    names = _Names()
    notes = [_Note(element, line, names).read(path) for element, line in reading.notes()]
    container = Container(notes, encoding=reading.encoding)
    container.dropped = [(f"element <{name}>", *told) for name, told in reading.strange.items()]
    for broken in reading.broken:
        if broken.note is None:
            container.dropped.append(("XML that is broken", 1, broken.line))
        else:
            payload = content[broken.start : broken.end].decode("utf-8", "replace")
            member = names.member(broken.note)
            container.refused.append(Refused(member, "xml", broken.reason, payload, broken.line))
    if reading.broken:
        container.line = reading.broken[0].line
        container.error = f"line {container.line}: {reading.broken[0].reason}"
    else:
        container.line = next((note.line for note in notes if note.error), None)
    if reading.encoding == "utf-8":
        container.characters = int(np.count_nonzero((np.frombuffer(content, np.uint8) & _TOP) != _CONTINUES))
    return container


class _Broken(NamedTuple):
    """A place where the XML broke, and as much of the note there as came before; bytes `start` to `end` are lost."""

    note: Element | None
    reason: str
    line: int
    start: int
    end: int


class _Reading:
    """Walks an export with expat, which fetches nothing and has no bound on the length of a text."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.encoding = "utf-8"
        self.broken: list[_Broken] = []
        self.strange: dict[str, tuple[int, int]] = {}
        self.found: list[tuple[Element, int]] = []
        self.builder: TreeBuilder | None = None
        self.note: Element | None = None
        self.depth = self.start = self.line = self.above = 0

    def notes(self) -> Iterator[tuple[Element, int]]:
        """Yield each whole note with its line."""
        at = 0
        while at >= 0:
            prefix = f"<{_ROOT}>".encode() if at else b""
            self.parser, self.at, self.depth = self._new_parser(), at - len(prefix), 0
            try:
                self.parser.Parse(prefix)
                for start, end in _chunks(at, len(self.content)):
                    self.parser.Parse(self.content[start:end])
                    yield from self._taken()
                self.parser.Parse(b"", _LAST)
                at = -1
            except expat.ExpatError as error:
                yield from self._taken()
                at = self._resumed(at, error)
            except (LookupError, ValueError) as error:
                raise Unreadable("encoding", f"it says an encoding that no XML parser knows: {error}", 1) from error

    def _taken(self) -> list[tuple[Element, int]]:
        found, self.found = self.found, []
        return found

    def _new_parser(self) -> expat.XMLParserType:
        parser = expat.ParserCreate()
        parser.buffer_text, parser.buffer_size = True, _BUFFER
        parser.StartElementHandler, parser.EndElementHandler = self._open, self._close
        parser.CharacterDataHandler, parser.XmlDeclHandler = self._text, self._declaration
        parser.EntityDeclHandler = self._entity
        return parser

    def _resumed(self, begun: int, error: expat.ExpatError) -> int:
        """Tell of a break; return where reading goes on, -1 if nowhere."""
        line = self.above + error.lineno
        reason = expat.errors.messages.get(error.code, "broken XML")
        if not self.depth and not begun:
            raise Unreadable("xml", f"it is no XML: {reason}", line) from error
        broke = max(self.at + self.parser.ErrorByteIndex, begun + 1)
        match = _NOTE.search(self.content, broke) if self.encoding == "utf-8" else None
        end = match.start() if match else len(self.content)
        start = self.start if self.note is not None else broke
        self.broken.append(_Broken(self.note, reason, line, start, end))
        self.builder = self.note = None
        if match is None or len(self.broken) >= BREAKS:
            return -1
        self.above += self.content.count(b"\n", begun, end)
        return end

    def _declaration(self, version: str, encoding: str | None, standalone: int) -> None:  # noqa: ARG002
        self.encoding = (encoding or "utf-8").lower()

    def _entity(self, name: str, *_: object) -> None:
        line = self.above + self.parser.CurrentLineNumber
        raise Unreadable("entities", f"it declares the entity `{name}`; no export does", line)

    def _open(self, name: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if self.depth == 1 and name != _ROOT:
            raise Unreadable("enex", f"its root is <{name}>, not <{_ROOT}>", self.parser.CurrentLineNumber)
        if self.depth == _IN_ROOT and name == "note":
            self.line = self.above + self.parser.CurrentLineNumber
            self.start = self.at + self.parser.CurrentByteIndex
            self.builder = TreeBuilder()
            self.note = self.builder.start(name, attributes)
        elif self.depth == _IN_ROOT:
            count, line = self.strange.get(name, (0, self.above + self.parser.CurrentLineNumber))
            self.strange[name] = count + 1, line
        elif self.builder is not None and self.depth <= DEPTH:
            self.builder.start(name, attributes)

    def _close(self, name: str) -> None:
        if self.builder is not None and self.depth <= DEPTH:
            self.builder.end(name)
            if self.depth == _IN_ROOT:
                self.found.append((self.builder.close(), self.line))
                self.builder = self.note = None
        self.depth -= 1

    def _text(self, text: str) -> None:
        if self.builder is not None:
            self.builder.data(text)


def _chunks(start: int, end: int) -> Iterator[tuple[int, int]]:
    size = _FIRST_CHUNK  # small at first: where a file is broken in many places, most of a chunk is read in vain
    while start < end:
        yield start, min(start + size, end)
        start, size = start + size, min(size * 2, _BUFFER)


class _Names:
    """Names of notes within a file."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def member(self, note: Element) -> str:
        """Return the name of a note; of those with one name, the second is that of the second call."""
        title = " ".join((note.findtext("title") or "").split())[:_TITLE_CHARACTERS]
        name = " ".join(filter(None, ((note.findtext("created") or "").strip()[:_TITLE_CHARACTERS], title))) or "note"
        self.seen[name] += 1
        return name if self.seen[name] == 1 else f"{name} ({self.seen[name]})"


class _Note:
    """A note of an export, being read."""

    def __init__(self, element: Element, line: int, names: _Names) -> None:
        self.element, self.line = element, line
        self.member = names.member(element)
        self.dropped: list[Dropped] = []
        self.error: str | None = None
        self.files: dict[str, Attachment] = {}
        """Resources by the MD5 of their data."""
        self.missing = 0
        self.properties: dict[str, Any] = {}

    def read(self, path: str) -> Parsed:
        """Return the note."""
        self._read_attributes()
        self._read_resources()
        tasks = [_told_task(task) for task in self.element.findall("task")]
        body, unplaced = self._markdown(self.element.findtext("content") or "", tasks)
        for task in unplaced:
            body += f"{'' if not body or body.startswith('- [') else _GAP}- [{_mark(task)}] {_escaped(task[1])}\n"
        parsed = from_markdown(body, path, title=" ".join((self.element.findtext("title") or "").split()) or None)
        parsed.tasks = list(_with_days(parsed.tasks, tasks))
        self._finish(parsed)
        return parsed

    def _finish(self, parsed: Parsed) -> None:
        element = self.element
        parsed.member, parsed.line = self.member, self.line
        parsed.author = self.properties.pop("author", None)
        parsed.created_at = instant(element.findtext("created") or "")
        parsed.modified_at = instant(element.findtext("updated") or "") or parsed.created_at
        tags = dict.fromkeys(tag for each in element.findall("tag") if (tag := " ".join((each.text or "").split())))
        parsed.tags, parsed.tag_uses = sorted(tags), [(tag, "property", None, None, None) for tag in tags]
        parsed.attachments = list(self.files.values())
        parsed.properties = self.properties
        if source := str(self.properties.get("source-url", "")).strip():
            target, _, fragment = source.partition("#")
            parsed.links.append(("markdown", target, fragment or None, "source-url", None, None, None))
        if self.missing:
            self._drop("resource that is not in the file", self.missing)
        parsed.dropped, parsed.error = self.dropped, self.error

    def _drop(self, construct: str, count: int, error: str | None = None) -> None:
        self.dropped.append((construct, count, self.line))
        self.error = self.error or f"line {self.line}: {error or construct}"

    def _read_attributes(self) -> None:
        for child in self.element:
            if child.tag not in _PLACED:
                self._add_property(child)
        for child in self.element.iterfind("note-attributes/*"):
            self._add_property(child)

    def _add_property(self, child: Element) -> None:
        text = "".join(child.itertext()).strip()
        name = child.get("key") or child.tag
        if name in self.properties:
            before = self.properties[name]
            self.properties[name] = [*before, text] if isinstance(before, list) else [before, text]
        elif text:
            self.properties[name] = text

    def _read_resources(self) -> None:
        recognised: list[str] = []
        names: Counter[str] = Counter()
        for resource in self.element.findall("resource"):
            content = self._data(resource)
            media_type = (resource.findtext("mime") or "application/octet-stream").strip().lower()
            if content is None:
                continue
            digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
            name = _file_name(resource, digest, media_type)
            names[name] += 1
            name = name if names[name] == 1 else f"{names[name]}-{name}"
            if resource.findtext("recognition") or resource.findtext("alternate-data"):
                recognised.append(name)
            self.files[digest] = _with_size(attachment(name, content, media_type), resource)
        if recognised:
            self.properties["recognised"] = recognised

    def _data(self, resource: Element) -> bytes | None:
        written = "".join((resource.findtext("data") or "").split())
        try:
            return b64decode(written, validate=True)
        except (Base64Error, ValueError) as error:
            self._drop("resource whose data is broken", 1, f"the data of a resource is no base64: {error}")
            return None

    def _markdown(self, enml: str, tasks: list[Task]) -> tuple[str, list[Task]]:
        """Return the text of a note, and the tasks it has no place for."""
        unplaced = tasks
        root = as_element(enml) if enml.strip() else None
        if root is not None:
            unplaced = _place_tasks(root, tasks, self.element.findall("task"))
            _restyle(root)
            html = as_html(root)
        else:
            html = _PROLOGUE.sub("", enml, count=1)
            if html.strip():
                self._drop("ENML that is no XML", 1, "its ENML is no XML, and was read as HTML")
        page = parse(html)
        if encrypted := len(page.tree.css("en-crypt")):
            self._drop("encrypted text", encrypted)
        if page.flattened:
            self._drop("element nested too deep", page.flattened)
        return page.markdown(self._address), unplaced

    def _address(self, written: str) -> str:
        scheme, _, digest = written.partition(":")
        if scheme != "en-media":
            return written
        file = self.files.get(digest)
        self.missing += file is None
        return quote(file[0], safe=_IN_NAMES) if file is not None else digest


def _file_name(resource: Element, digest: str, media_type: str) -> str:
    written = resource.findtext("resource-attributes/file-name") or ""
    name = " ".join(written.replace("/", "_").split())
    return name or f"{digest}{guess_extension(media_type) or ''}"


def _with_size(file: Attachment, resource: Element) -> Attachment:
    """Return a file with the width and height that the export tells, where its content tells none."""
    if file[4] is not None or not file[1].startswith("image/"):
        return file
    return (*file[:4], _pixels(resource.findtext("width")), _pixels(resource.findtext("height")), *file[6:])


def _pixels(written: str | None) -> int | None:
    text = (written or "").strip()
    return (int(text) or None) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None


def _told_task(task: Element) -> Task:
    state = _STATES.get((task.findtext("taskStatus") or "").strip().lower(), "open")
    changed = _day(task.findtext("statusUpdated") or task.findtext("updated"))
    text = " ".join((task.findtext("title") or "").split())
    priority = "flag" if (task.findtext("taskFlag") or "").strip() == "true" else None
    return (
        state,
        text,
        None,
        _day(task.findtext("dueDate")),
        None,
        changed if state == "done" else None,
        priority,
        *_NOWHERE,
    )


def _day(written: str | None) -> str | None:
    at = instant(written or "")
    return at.date().isoformat() if at is not None else None


def _mark(task: Task) -> str:
    return "x" if task[0] == "done" else " "


def _escaped(text: str) -> str:
    return escape(f"{text} ")[:-1]


def _with_days(found: list[Task], told: list[Task]) -> Iterator[Task]:
    """Yield the tasks of the text; those that the export tells of as it tells them."""
    waiting: dict[tuple[str, str], list[Task]] = {}
    for task in reversed(told):
        waiting.setdefault((task[0], _escaped(task[1])), []).append(task)
    for task in found:
        same = waiting.get((task[0], task[1]))
        known = same.pop() if same else None
        yield task if known is None else (known[0], known[1], task[2], *known[3:])


def _place_tasks(root: Any, tasks: list[Task], elements: list[Element]) -> list[Task]:
    """Put tasks where the text has a place for their group; return the others."""
    from lxml import etree

    groups: dict[str, list[Task]] = {}
    for task, element in zip(tasks, elements, strict=True):
        groups.setdefault((element.findtext("taskGroupNoteLevelID") or "").strip(), []).append(task)
    for place in root.iter("div"):
        style = _styles(place)
        if "task-group" not in style:
            continue
        group = etree.SubElement(place, "ul")
        for state, text, *_ in groups.pop(style.get("id", ""), ()):
            item = etree.SubElement(group, "li")
            box = etree.SubElement(item, "en-todo", checked="true" if state == "done" else "false")
            box.tail = text
    return [task for group in groups.values() for task in group]


def _restyle(root: Any) -> None:
    """Say in elements what Evernote 10 says in styles: code blocks and check lists."""
    from lxml import etree

    for element in list(root.iter(etree.Element)):
        style = _styles(element)
        if "checked" in style:
            box = etree.Element("en-todo", checked=style["checked"])
            box.tail, element.text = element.text, None
            element.insert(0, box)
        elif style.get("codeblock") == "true":
            element.tag = "pre"
            if "syntaxlanguage" in style:
                element.set("class", f"language-{style['syntaxlanguage']}")
    for box in root.iter("en-todo"):
        if box.get("checked", "").lower() != "true":
            box.attrib.pop("checked", None)  # HTML has no value for it: that it is there says yes


def _styles(element: Any) -> dict[str, str]:
    style = element.get("style") or ""
    return {name.lower(): value for name, value in _STYLE.findall(style)} if "-en-" in style else {}
