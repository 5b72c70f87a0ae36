"""Shaping: the bytes of a file to the parts of a note.

What belongs here: one file per format with its `PARSER` and `read`, and this list of them. What does not: where bytes
come from (`landing`), which note they are (`model`), and what becomes of rows (`lake`). Readers are pure: no clock, no
network, no ids.

A new format is one file beside this one and one line in `_MODULES` (and one in `_NOTES` if its names are unknown).
Reading the list imports no reader: each is imported when it is first asked for.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import Final

from dagster_project.shaping.parsed import Parsed, Reader, Unreadable

__all__ = ["READERS", "Parsed", "Reader", "Unreadable", "media_type"]

_MODULES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "text/markdown": "markdown",
        "text/plain": "plain_text",
    }
)
"""The module here that reads each media type."""

_NOTES: Final[Mapping[str, str]] = MappingProxyType(
    {
        ".md": "text/markdown",
        ".markdown": "text/markdown",
        ".mdown": "text/markdown",
        ".mkd": "text/markdown",
        ".mdx": "text/markdown",
        ".txt": "text/plain",
        ".text": "text/plain",
        ".org": "text/org",
        ".rst": "text/x-rst",
        ".adoc": "text/asciidoc",
    }
)
_FILES: Final[Mapping[str, str]] = MappingProxyType(
    {
        ".avif": "image/avif",
        ".canvas": "application/json",
        ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        ".edn": "application/edn",
        ".epub": "application/epub+zip",
        ".excalidraw": "application/json",
        ".heic": "image/heic",
        ".jsonl": "application/jsonl",
        ".m4a": "audio/mp4",
        ".ogg": "audio/ogg",
        ".parquet": "application/vnd.apache.parquet",
        ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        ".toml": "application/toml",
        ".webm": "video/webm",
        ".webp": "image/webp",
        ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        ".yaml": "application/yaml",
        ".yml": "application/yaml",
    }
)
"""Names that Python's own table lacks in some version."""
UNKNOWN: Final = "application/octet-stream"


@cache
def _reader(name: str) -> tuple[str, Reader]:
    module = import_module(f"{__name__}.{name}")
    return module.PARSER, module.read


class _Readers(Mapping[str, tuple[str, Reader]]):
    """Media type to the parser's name, with its version, and the reader."""

    def __getitem__(self, media_type: str) -> tuple[str, Reader]:
        return _reader(_MODULES[media_type])

    def __contains__(self, media_type: object) -> bool:
        return media_type in _MODULES

    def __iter__(self) -> Iterator[str]:
        return iter(_MODULES)

    def __len__(self) -> int:
        return len(_MODULES)


READERS: Final[Mapping[str, tuple[str, Reader]]] = _Readers()
"""Media type to (parser with version, reader). A file of any other type is kept as an attachment."""


def media_type(path: str) -> str:
    """Return the media type of a file by its name: the same on every machine, whatever is installed there.

    >>> media_type("ideas/Lake.MD"), media_type("a.png"), media_type("Makefile")
    ('text/markdown', 'image/png', 'application/octet-stream')
    """
    return _type_of(suffix(path).lower())


def suffix(path: str) -> str:
    """Return the extension of a path, as `PurePosixPath.suffix` does, which takes ten times as long.

    >>> suffix("a.b/c.tar.gz"), suffix("a/.git"), suffix("a/b.")
    ('.gz', '', '')
    """
    name = path[path.rfind("/") + 1 :]
    at = name.rfind(".")
    return name[at:] if 0 < at < len(name) - 1 else ""


@cache
def _type_of(extension: str) -> str:
    return _NOTES.get(extension) or _FILES.get(extension) or _pythons_own().get(extension, UNKNOWN)


@cache
def _pythons_own() -> Mapping[str, str]:
    # An instance of its own holds Python's table alone; `mimetypes.guess_type` takes in what it finds under /etc.
    return mimetypes.MimeTypes().types_map[True]
