"""JSON that is not one object per line: arrays, pretty-printed documents, documents one after the other.

What belongs here: cutting a stream of JSON into its records without reading it as a whole. What does not: what is in a
record (`json_lines`).

Rules:

- A top-level array holds a record per element, another top-level value is a record. With `records: a.b` the records are
  the elements of the array at that path in the document (and the rest of the document is not landed).
- A record is known by its brackets, so that one that is broken inside is refused with the line where it begins, and
  those after it land. What stands between records and is none is refused too. A file that ends within one says so.
- A record longer than `json_lines.LONGEST` makes the file unreadable.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final

import duckdb

from dagster_project.landing.formats.json_lines import (
    CUT_SHORT,
    LONGEST,
    Numbered,
    find_columns,
    lines_of,
    read_objects,
)
from dagster_project.landing.reading import Field, Head, Piece, Unreadable
from dagster_project.landing.unpacked import CHUNK, Unpacked
from dagster_project.sources import TableSource

NAME: Final = "json"
SUFFIXES: Final = (".json",)
EXTRA: Final = None
IS_TEXT: Final = True
INSIDE: Final = None

_TO_BRACKET: Final = re.compile(
    rb'[^"{}\[\]]*+(?:"(?:[^"\\]++|\\.)*+"[^"{}\[\]]*+)*+([{}\[\]])', re.DOTALL
)  # strings are passed over as wholes: brackets in them are none
_KEY: Final = re.compile(rb'("(?:[^"\\]|\\.)*")\s*:\s*$', re.DOTALL)
_BETWEEN: Final = b" \t\r\n,"
_BOM: Final = b"\xef\xbb\xbf"
_SAMPLE: Final = 64 << 10


def find(con: duckdb.DuckDBPyConnection, file: Unpacked, source: TableSource) -> Head:
    """Read a file for the keys of its records, and the types of their values. Raises `Unreadable`."""
    path = tuple(source.records.split(".")) if source.records else ()
    columns = find_columns(con, _records_of(file, path))
    if path and not columns:
        raise Unreadable(f"it has no array of objects at {source.records!r}; see `records:` of the source")
    return Head(columns, path)


def read(con: duckdb.DuckDBPyConnection, file: Unpacked, head: Head, fields: Sequence[Field]) -> Iterator[Piece]:
    """Give each record: as a row, or refused with the line where it begins. Raises `Broken` and `Unreadable`."""
    return read_objects(con, _records_of(file, head.how), fields)


def _records_of(file: Unpacked, path: tuple[str, ...]) -> Iterator[Numbered]:
    with file.open() as handle:
        sample = handle.read(_SAMPLE)
    return lines_of(file) if not path and _is_lines(sample) else _opened(file, path)


def _is_lines(sample: bytes) -> bool:
    """Whether it is one object per line: the first two lines that are not blank are, or begin as, objects."""
    lines = [line for line in sample.removeprefix(_BOM).splitlines() if line.strip()]
    if len(lines) < 2 or not lines[1].lstrip().startswith(b"{"):
        return False
    try:
        return isinstance(json.loads(lines[0]), dict)
    except ValueError:
        return False


def _opened(file: Unpacked, path: tuple[str, ...]) -> Iterator[Numbered]:
    try:
        with file.open() as handle:
            yield from records(handle, path)
    except (OSError, EOFError) as error:
        raise Unreadable(str(error)) from error


def records(  # noqa: C901 - one walk, whose steps share all they know
    handle: BinaryIO, path: tuple[str, ...] = (), *, chunk: int = CHUNK
) -> Iterator[Numbered]:
    """Cut a stream of JSON into its records, each with the line where it begins.

    >>> from io import BytesIO
    >>> [(line, text) for line, text, _ in records(BytesIO(b'[{"a": "]"},\\n 1, {"b": [\\n2]}]'))]
    [(1, b'{"a": "]"}'), (2, b'1'), (2, b'{"b": [\\n2]}')]
    >>> [text for _, text, _ in records(BytesIO(b'{"n": 1, "items": [{"a": 1}, {"a": 2}]}'), ("items",))]
    [b'{"a": 1}', b'{"a": 2}']
    """
    open_: list[tuple[bytes, str | None]] = []
    buffer, at, begun, depth, line, counted = handle.read(chunk).removeprefix(_BOM), 0, -1, 0, 1, 0
    while True:
        match = _TO_BRACKET.match(buffer, at)
        if match is None:
            kept = at if begun < 0 else begun
            if len(buffer) - kept > LONGEST:
                raise Unreadable(f"line {line}: a record of more than {LONGEST:,} bytes")
            line, buffer, at, begun = line + buffer.count(b"\n", counted, kept), buffer[kept:], at - kept, min(begun, 0)
            counted = 0
            more = handle.read(
                max(chunk, len(buffer))
            )  # twice as much each time, so that what is passed over is not walked often
            if not more:
                break
            buffer += more
            continue
        bracket, here = match[1], match.start(1)
        if depth:
            depth += 1 if bracket in b"{[" else -1
            if not depth:
                line, counted = line + buffer.count(b"\n", counted, begun), begun
                yield line, buffer[begun : here + 1], 0
                begun = -1
        else:
            is_level = _holds_records(open_, path)
            if is_level and (stray := buffer[at:here].strip(_BETWEEN)):
                first = buffer.index(stray, at)
                line, counted = line + buffer.count(b"\n", counted, first), first
                yield line, stray, 0
            if bracket in b"{[" and is_level and (path or open_ or bracket == b"{"):
                begun, depth = here, 1
            elif bracket in b"{[":
                key = _KEY.search(buffer, at, here)
                open_.append((bracket, json.loads(key[1]) if key else None))
            elif open_:
                open_.pop()
        at = here + 1
    if rest := buffer.strip(_BETWEEN):
        yield line + buffer.count(b"\n", 0, buffer.index(rest)), rest, 0
    elif open_:
        yield line, b"", CUT_SHORT


def _holds_records(open_: Sequence[tuple[bytes, str | None]], path: Sequence[str]) -> bool:
    """Whether what stands next is a record: below these brackets, outermost first, each with its key."""
    if not path:
        return not open_ or (len(open_) == 1 and open_[0][0] == b"[")
    return len(open_) == len(path) + 1 and open_[-1][0] == b"[" and [key for _, key in open_[1:]] == list(path)
