"""One file per format of table files, found by what it says it reads; adding one touches nothing else.

A format is a module with

    NAME       what `format:` of a source calls it
    SUFFIXES   the endings of files it reads
    EXTRA      the extra of notelake that brings its library; None if notelake needs it anyway
    IS_TEXT    whether its files are text, of some encoding
    INSIDE     what its files hold several of, each of them read as a file of its own (sheets, tables); else None

    find(con, file, source) -> Head               looks into a file: its columns and how it is to be read
    read(con, file, head, fields) -> Iterator[Piece]     gives its rows in order
    inside(path) -> Sequence[str]                 names what its file holds several of; only where INSIDE is given

and where it has them `read_carefully` (as `read`, slower, for what misleads it). All raise `reading.Unreadable` for
what they cannot read.
"""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from pathlib import PurePosixPath
from types import ModuleType

from dagster_project.landing.reading import Unreadable
from dagster_project.landing.unpacked import bare_name


@cache
def by_name() -> dict[str, ModuleType]:
    """Return the formats by their names."""
    modules = [import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
    return {module.NAME: module for module in modules}


@cache
def suffixes() -> dict[str, str]:
    """Return the name of the format of each ending."""
    return {suffix: name for name, module in by_name().items() for suffix in module.SUFFIXES}


def format_named(path: str) -> str | None:
    """Return the format of a file by its name, whatever packed it; None if it tells none.

    >>> format_named("a/B.CSV.gz"), format_named("a.xlsx"), format_named("a.txt")
    ('csv', 'excel', None)
    """
    return suffixes().get(PurePosixPath(bare_name(path.lower())).suffix)


def needs(library: str, extra: str) -> Unreadable:
    """Return the error of a format whose library is not installed."""
    return Unreadable(f"{library} is not installed, which reads it. Install notelake[{extra}]")
