"""Jupyter notebooks, of nbformat 2 to 4: Markdown cells as text, code cells as code blocks.

What belongs here: from cells to one Markdown text. What does not: the Markdown itself, which `converted` reads.

Rules (https://nbformat.readthedocs.io/en/latest/format_description.html):

- The body is the cells in their order. It is made here and not the file's own text, so parts have no place in the file.
- A code cell is a code block in the kernel's language, or that of its magic (`%%bash`). A raw cell is a code block
  without language, unless it says that it is Markdown. A heading cell, of nbformat 3, is a heading.
- Text that a cell put out is kept below it, in a code block `output`: what was printed, the plain text of a result, the
  name, message and traceback of an error. A result that is Markdown is text, and so is HTML if there is nothing
  plainer. A result has several forms of one content: one that is kept stands for all of them. One with none of these
  is told as dropped.
- Images put out are attachments, `cell-3/output-1.png`. Those of a Markdown cell are `cell-3/NAME`, and the links to
  them lead there.
- A cell that leaves a fence or a comment open ends it, as it does in Jupyter.
- The title is the metadata's, else that of a first raw cell with front matter, else as for Markdown. Metadata without a
  place of its own is in the properties, but for the state of widgets. Metadata of cells and execution counts are not
  kept.
"""

from __future__ import annotations

import binascii
import json
import re
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from dagster_project.shaping.converted import from_markdown
from dagster_project.shaping.decoding import decode
from dagster_project.shaping.formats import markdown
from dagster_project.shaping.front_matter import FrontMatter, find_front_matter, instant, read_front_matter
from dagster_project.shaping.hypertext import to_markdown
from dagster_project.shaping.images import attachment
from dagster_project.shaping.parsed import Attachment, Parsed, Unreadable

MEDIA_TYPES: Final = {".ipynb": "application/x-ipynb+json"}
PARSER: Final = "notebook/1"
EXTRA: Final = None

RULE: Final = "notebook"
MAX_DEPTH: Final = 50
"""Metadata nested deeper than this is dropped."""

_MAGICS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("bash", "sh", "script"), "bash"),
    **dict.fromkeys(("javascript", "js"), "javascript"),
    **dict.fromkeys(("python", "python2", "python3", "pypy"), "python"),
    **{name: name for name in ("cmd", "html", "latex", "markdown", "perl", "ruby", "sql", "svg")},
    "R": "r",
}
"""Cell magics whose cell is in another language."""
_MARKDOWN: Final = ("text/markdown", "text/x-markdown")
_OF_OLD: Final[Mapping[str, str]] = {
    "text": "text/plain",
    "html": "text/html",
    "svg": "image/svg+xml",
    "png": "image/png",
    "jpeg": "image/jpeg",
    "latex": "text/latex",
    "json": "application/json",
    "javascript": "application/javascript",
}
"""Keys of outputs in nbformat 2 and 3."""
_EXTENSIONS: Final = {"image/svg+xml": "svg", "image/jpeg": "jpg"}
_ANSI: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_TICKS: Final = re.compile("`+")
_FENCE: Final = re.compile(r"^ {0,3}(`{3,}|~{3,})", re.MULTILINE)
_NOT_IN_INFO: Final = re.compile(r"[^\w+#.-]+")
_LAST: Final = "notelake-end-of-cell"
_WITHIN: Final = ("kernelspec", "language_info", "widgets", "title", "authors", "author", "date", "tags", "keywords")
"""Metadata that is not a property: it has a place of its own, or is the state of a tool."""
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


@dataclass(slots=True)
class _Book:
    """A notebook being read."""

    path: str
    language: str | None
    front: FrontMatter = field(default_factory=FrontMatter)
    attachments: dict[str, Attachment] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)

    def attach(self, name: str, content: bytes, media_type: str) -> str:
        """Keep a file, and return what a link to it says: its path from the folder of the notebook."""
        if name in self.attachments:
            name = f"{name}.{len(self.attachments)}"
        self.attachments[name] = attachment(name, content, media_type)
        return quote(f"{self.path.rpartition('/')[2]}/{name}")


def read(content: bytes, path: str) -> Parsed:
    r"""Read a notebook. Raises `Unreadable` if it is no JSON, or none of a notebook.

    >>> cells = b'[{"cell_type": "markdown", "source": ["# Lake\\n"]}, {"cell_type": "code", "source": "1 + 1"}]'
    >>> note = read(b'{"nbformat": 4, "metadata": {}, "cells": ' + cells + b"}", "a.ipynb")
    >>> note.title, note.body, note.code_blocks
    ('Lake', '# Lake\n\n```\n1 + 1\n```\n', [(None, '1 + 1\n', None, None, None)])
    """
    decoded = decode(content)
    given = _loads(decoded.text)
    metadata = _mapping(given.get("metadata"))
    book = _Book(path, _language(metadata))
    pieces = [piece.strip("\n") for at, cell in enumerate(_cells(given), 1) for piece in _cell(book, cell, at)]
    body = "".join(f"{piece}\n\n" for piece in pieces if piece).removesuffix("\n")
    parsed = from_markdown(body, path, title=_text(metadata.get("title")).strip() or book.front.title)
    parsed.encoding, parsed.characters = decoded.encoding, len(decoded.text)
    _add_metadata(parsed, book, metadata, given)
    parsed.attachments = list(book.attachments.values())
    parsed.dropped = [(construct, count, None) for construct, count in book.dropped.items()]
    if book.front.error:
        parsed.error = book.front.error
    elif parsed.dropped:
        parsed.error = f"not kept: {', '.join(book.dropped)}"
    return parsed


def _loads(text: str) -> dict[str, Any]:
    try:
        given = json.loads(text, parse_constant=str)
    except json.JSONDecodeError as error:
        raise Unreadable(RULE, f"it is no JSON: {error.msg} at line {error.lineno}", error.lineno) from error
    except RecursionError as error:
        raise Unreadable(RULE, "its JSON is nested too deep to be read") from error
    except ValueError as error:  # a number of more digits than Python reads
        raise Unreadable(RULE, f"its JSON cannot be read: {error}") from error
    if not isinstance(given, dict) or not ("cells" in given or "worksheets" in given):
        raise Unreadable(RULE, "its JSON is none of a notebook: it has no cells")
    return given


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    """Return text that may be given as a list of its lines, without halves of characters."""
    if isinstance(value, list):
        value = "".join(item for item in value if isinstance(item, str))
    if not isinstance(value, str):
        return ""
    value = value.replace("\r\n", "\n").replace("\r", "\n")
    return value if value.isascii() else _SURROGATE.sub("\ufffd", value)


def _cells(given: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    sheets = [given, *map(_mapping, _list(given.get("worksheets")))]
    for sheet in sheets:
        for cell in _list(sheet.get("cells")):
            if not isinstance(cell, dict):
                raise Unreadable(RULE, "one of its cells is none")
            yield cell


def _language(metadata: Mapping[str, Any]) -> str | None:
    kernel, info = _mapping(metadata.get("kernelspec")), _mapping(metadata.get("language_info"))
    return _info(_text(info.get("name")) or _text(kernel.get("language"))) or None


def _info(written: str) -> str:
    """Return a name as an info string can hold it.

    >>> _info("Wolfram Language"), _info("c++")
    ('wolfram-language', 'c++')
    """
    return _NOT_IN_INFO.sub("-", written.strip().lower()).strip("-")


def _cell(book: _Book, cell: Mapping[str, Any], at: int) -> Iterator[str]:
    kind, source = cell.get("cell_type"), _text(cell.get("source", cell.get("input")))
    if kind == "markdown":
        yield _closed(_with_attachments(book, cell, source, at))
    elif kind == "code":
        yield _code(source, _info(_text(cell.get("language"))) or book.language)
        for number, output in enumerate(_list(cell.get("outputs")), 1):
            yield from _output(book, _mapping(output), f"cell-{at}/output-{number}")
    elif kind == "heading":
        level = cell.get("level")
        level = level if isinstance(level, int) and 1 <= level <= 6 else 1
        yield f"{'#' * level} {' '.join(source.split())}"
    elif kind == "raw":
        yield from _raw(book, cell, source, at)
    else:
        book.dropped[f"cell of type {str(kind)[:40]}"] += 1
        yield _fenced(source)


def _raw(book: _Book, cell: Mapping[str, Any], source: str, at: int) -> Iterator[str]:
    metadata = _mapping(cell.get("metadata"))
    if at == 1 and (front := _front_matter(source)) is not None:
        book.front = front
        if front.error:
            book.dropped["front matter"] += 1
    elif metadata.get("format", metadata.get("raw_mimetype")) in _MARKDOWN:
        yield _closed(source)
    else:
        yield _fenced(source)


def _front_matter(source: str) -> FrontMatter | None:
    """Return the front matter a raw cell holds, if it holds nothing else."""
    view = source.encode().decode("latin-1")
    found = find_front_matter(view) if view.startswith("---\n") else None
    if found is None or view[found[2] :].strip():
        return None
    start, end, body = found
    return read_front_matter(view, start, end, view[start:end].encode("latin-1").decode(), body)


def _with_attachments(book: _Book, cell: Mapping[str, Any], source: str, at: int) -> str:
    for name, forms in _mapping(cell.get("attachments")).items():
        for media_type, encoded in _mapping(forms).items():
            if (content := _decoded(encoded)) is None:
                book.dropped["attachment that is no base64"] += 1
                continue
            kept = _text(name)
            target = book.attach(f"cell-{at}/{kept}", content, _text(media_type))
            for written in {kept, quote(kept)}:
                source = source.replace(f"(attachment:{written})", f"({target})")
                source = source.replace(f"(attachment:{written} ", f"({target} ")
    return source


def _decoded(encoded: Any) -> bytes | None:
    try:
        return b64decode("".join(_text(encoded).split()), validate=True)
    except (binascii.Error, ValueError):
        return None


def _closed(source: str) -> str:
    """Return a cell's Markdown with what ends the fence or the comment it leaves open, if it does."""
    if not any(mark in source for mark in ("```", "~~~", "<")):
        return source
    fences = [match[1] for match in _FENCE.finditer(source)]
    endings = (
        "",
        *(f"\n{fence}" for fence in dict.fromkeys(reversed(fences[-8:]))),
        "\n-->",
        "\n</script>",
        "\n</pre>",
    )
    for ending in endings:
        last = markdown.read(f"\n{source}{ending}\n\n# {_LAST}\n".encode(), "").sections[-1:]
        if last and last[0][1] == _LAST:
            return source + ending
    return source


def _code(source: str, language: str | None) -> str:
    if source.startswith("%%"):
        words = source[2:].partition("\n")[0].split()
        language = _MAGICS.get(words[0], language) if words else language
    return _fenced(source, language or "")


def _fenced(source: str, info: str = "") -> str:
    """Return a code block; none for nothing.

    >>> _fenced("a ``` b", "md")
    '````md\\na ``` b\\n````'
    """
    if not source.strip():
        return ""
    longest = max((len(ticks) for ticks in _TICKS.findall(source)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{info}\n{source.removesuffix(chr(10))}\n{fence}"


def _output(book: _Book, output: Mapping[str, Any], name: str) -> Iterator[str]:
    kind = output.get("output_type")
    if kind == "stream":
        yield _put_out(_text(output.get("text")))
    elif kind in ("error", "pyerr"):
        told = f"{_text(output.get('ename'))}: {_text(output.get('evalue'))}"
        trace = "\n".join(_text(line) for line in _list(output.get("traceback")))
        yield _put_out(trace or told)
    else:
        yield from _result(book, _forms(output), name)


def _put_out(text: str) -> str:
    return _fenced(_ANSI.sub("", text), "output")


def _forms(output: Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(output.get("data"), dict):
        return output["data"]  # type: ignore[no-any-return]
    return {media_type: output[key] for key, media_type in _OF_OLD.items() if key in output}


def _result(book: _Book, forms: Mapping[str, Any], name: str) -> Iterator[str]:
    kept = False
    for media_type, given in forms.items():
        if media_type.startswith("image/") and (content := _image(media_type, given)) is not None:
            extension = _EXTENSIONS.get(media_type, _info(media_type.partition("/")[2]))
            target = book.attach(f"{name}.{extension}", content, _text(media_type))
            yield f"![]({target})"
            kept = True
    if marked := next((text for media_type in _MARKDOWN if (text := _text(forms.get(media_type)))), ""):
        yield _closed(marked)
    elif plain := _text(forms.get("text/plain")):
        yield _put_out(plain)
    elif latex := _text(forms.get("text/latex")):
        yield _put_out(latex)
    elif html := _text(forms.get("text/html")):
        yield to_markdown(html)
    elif not kept and forms:
        book.dropped[f"output of type {' or '.join(sorted(map(_text, forms)))[:80]}"] += 1


def _image(media_type: str, given: Any) -> bytes | None:
    return _text(given).encode() if media_type == "image/svg+xml" else _decoded(given)


def _add_metadata(parsed: Parsed, book: _Book, metadata: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    front = book.front
    parsed.author = _authors(metadata.get("authors", metadata.get("author"))) or front.author
    parsed.created_at = instant(_text(metadata.get("date"))) or front.created_at
    parsed.modified_at = front.modified_at
    parsed.aliases = front.aliases
    listed = [*_list(metadata.get("tags")), *_list(metadata.get("keywords"))]
    tags = [*(tag for item in listed if (tag := _text(item).strip())), *(tag for tag, _, _ in front.tags)]
    parsed.tag_uses = [(tag, "property", None, None, None) for tag in tags]
    parsed.tags = sorted(set(tags))
    versions = (given.get("nbformat"), given.get("nbformat_minor"))
    parsed.properties = dict(front.properties)
    for key, value in metadata.items():
        if key not in _WITHIN and value not in ("", [], {}):
            try:
                parsed.properties[_text(key)] = _clean(value)
            except RecursionError:
                book.dropped["metadata nested too deep"] += 1
    parsed.properties["nbformat"] = ".".join(str(number) for number in versions if isinstance(number, int))
    kernel = _mapping(metadata.get("kernelspec"))
    if name := _text(kernel.get("display_name")) or _text(kernel.get("name")):
        parsed.properties["kernel"] = name
    if book.language:
        parsed.properties["language"] = book.language


def _authors(value: Any) -> str | None:
    people = value if isinstance(value, list) else [value]
    names = [_text(person.get("name")) if isinstance(person, dict) else _text(person) for person in people]
    return ", ".join(name.strip() for name in names if name.strip()) or None


def _clean(value: Any, depth: int = 0) -> Any:
    if depth > MAX_DEPTH:
        raise RecursionError
    if isinstance(value, dict):
        return {_text(key): _clean(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_clean(item, depth + 1) for item in value]
    return _text(value) if isinstance(value, str) else value
