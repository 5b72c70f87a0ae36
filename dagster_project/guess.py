"""Guess what kind of source a path is, for who wants to try it without declaring it.

A folder that holds only JSON-lines files that look like events, or a file of such, is a stream; one that holds only
tables is a table; any other folder is documents.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Final

import fsspec

from dagster_project.errors import SourceInvalid, SourceUnavailable
from dagster_project.landing.formats import format_named
from dagster_project.landing.unpacked import bare_name
from dagster_project.sources import INSTANTS, EventMapping, Source, declare

_KINDS: Final = {"documents": "DocumentSource", "table": "TableSource", "stream": "StreamSource"}
_LINES: Final = (".jsonl", ".ndjson")
_TABLES: Final = (".csv", ".tsv", ".parquet", ".arrow", ".feather", ".avro", ".xlsx", *_LINES)
_LOOK_AT: Final = 500
"""Files looked at to tell what a folder holds."""


def guess_source(path: str, *, kind: str | None, name: str | None) -> Source:
    """Return a source for `path`; `kind` and `name` are guessed where they are None.

    Raises `SourceInvalid` for a path or a name that cannot be, and `SourceUnavailable` for one that cannot be listed.
    """
    address = path if "://" in path else str(Path(path).expanduser().absolute())
    if "://" not in path and not Path(address).exists():
        raise SourceInvalid(f"There is nothing at {path}. Check the path.")
    attributes = {"name": name or name_of(address), "path": address}
    return declare(_KINDS[kind or _guessed(path, address)], attributes, f"ingest {path}")


def name_of(address: str) -> str:
    """Return a source's name made of the last part of a path.

    >>> name_of("/home/me/My Vault 2.0")
    'my_vault_2_0'
    """
    last = address.rstrip("/").rsplit("/", 1)[-1]
    bare = bare_name(last)
    stem = bare.rsplit(".", 1)[0] if format_named(bare) or bare.lower().endswith((".md", ".txt", ".zip")) else bare
    words = re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_")
    return (words if words[:1].isalpha() else f"source_{words}").rstrip("_")[:63]


def _guessed(path: str, address: str) -> str:
    try:
        return _kind(address)
    except Exception as error:  # each kind of store has errors of its own, and none of them is a programming error here
        raise SourceUnavailable(
            f"{path} cannot be looked at: {type(error).__name__}: {error}. Check the path and its credentials."
        ) from error


def _kind(address: str) -> str:
    if address.startswith(INSTANTS):
        return "stream"
    scheme = address.split("://", 1)[0] if "://" in address else "file"
    filesystem = fsspec.filesystem(scheme)
    files = [file for file in islice(_files(filesystem, address), _LOOK_AT) if not _is_hidden(file, address)]
    if not files or not all(bare_name(file.lower()).endswith(_TABLES) for file in files):
        return "documents"
    if all(file.lower().endswith(_LINES) for file in files):
        with filesystem.open(files[0], "rb") as stream:
            return "stream" if _begins_with_event(stream) else "table"
    return "table"


def _files(filesystem: fsspec.AbstractFileSystem, address: str) -> Iterator[str]:
    if filesystem.isfile(address):
        yield address
        return
    for folder, _, names in filesystem.walk(address):
        yield from (f"{folder}/{name}" for name in names)


def _is_hidden(file: str, address: str) -> bool:
    inside = file.removeprefix(address)
    return any(part.startswith(".") for part in inside.split("/"))


def _begins_with_event(stream: IO[bytes]) -> bool:
    """Whether the first line is an object with an id, a type and a time, as events have them."""
    try:
        event = json.loads(stream.readline(1_000_000))
    except ValueError:
        return False
    mapping = EventMapping()
    return isinstance(event, dict) and all(
        any(name in event for name in names) for names in (mapping.event_id, mapping.type, mapping.occurred_at)
    )
