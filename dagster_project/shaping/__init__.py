"""Shaping: the bytes of a file to the parts of a note.

What belongs here: `formats/`, one file per format, and what they share; `documents`, `rows` and `events`, which put
what was read into the columns of the note tables. What does not: where bytes come from (`landing`), which note they
are (`model`), and what becomes of rows (`lake`). Readers are pure: no clock, no network, no ids.
"""

from __future__ import annotations

import mimetypes
import pkgutil
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType, ModuleType
from typing import Final, NamedTuple

from dagster_project.shaping import formats
from dagster_project.shaping.parsed import Container, Parsed, Reader, Unreadable

__all__ = ["READERS", "Container", "Format", "Parsed", "Reader", "Unreadable", "media_type"]

_FILES: Final[Mapping[str, str]] = MappingProxyType(
    {
        ".adoc": "text/asciidoc",
        ".avif": "image/avif",
        ".canvas": "application/json",
        ".edn": "application/edn",
        ".excalidraw": "application/json",
        ".heic": "image/heic",
        ".jsonl": "application/jsonl",
        ".m4a": "audio/mp4",
        ".ogg": "audio/ogg",
        ".org": "text/org",
        ".parquet": "application/vnd.apache.parquet",
        ".rst": "text/x-rst",
        ".toml": "application/toml",
        ".webm": "video/webm",
        ".webp": "image/webp",
        ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        ".yaml": "application/yaml",
        ".yml": "application/yaml",
    }
)
"""Names of files that are kept and not read, which Python's own table lacks in some version."""
UNKNOWN: Final = "application/octet-stream"


class Format(NamedTuple):
    """What reads a media type: the parser's name with its version, the extra that brings it, and the reader."""

    parser: str
    extra: str | None
    read: Reader


@cache
def _modules() -> tuple[ModuleType, ...]:
    found = pkgutil.iter_modules(formats.__path__)
    return tuple(import_module(f"{formats.__name__}.{module.name}") for module in found)


@cache
def _by_media_type() -> Mapping[str, ModuleType]:
    return {media_type: module for module in _modules() for media_type in module.MEDIA_TYPES.values()}


@cache
def _by_extension() -> Mapping[str, str]:
    return {extension: media_type for module in _modules() for extension, media_type in module.MEDIA_TYPES.items()}


@cache
def _format(media_type: str) -> Format:
    module = _by_media_type()[media_type]
    return Format(_named(module.PARSER), module.EXTRA, module.read)


def _named(parser: str) -> str:
    """Return a parser's name with the version of its library; as it is if that is not installed, or it has its own."""
    try:
        return f"{parser}-{version(parser.partition('/')[2])}"
    except PackageNotFoundError:
        return parser


class _Readers(Mapping[str, Format]):
    """Media type to the format that reads it."""

    def __getitem__(self, media_type: str) -> Format:
        return _format(media_type)

    def __contains__(self, media_type: object) -> bool:
        return media_type in _by_media_type()

    def __iter__(self) -> Iterator[str]:
        return iter(_by_media_type())

    def __len__(self) -> int:
        return len(_by_media_type())


READERS: Final[Mapping[str, Format]] = _Readers()
"""Media type to its format. A file of any other type is kept as an attachment."""


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
    return _by_extension().get(extension) or _FILES.get(extension) or _pythons_own().get(extension, UNKNOWN)


@cache
def _pythons_own() -> Mapping[str, str]:
    # An instance of its own holds Python's table alone; `mimetypes.guess_type` takes in what it finds under /etc.
    return mimetypes.MimeTypes().types_map[True]
