"""What a disk, a store or a catalog says when it can't do its work now, told as one error: `LakeUnavailable`.

What belongs here: telling a fault of the place a lake lies in from a fault of ours or of a source, and the way out of
it. What does not: trying again (`streaming`, Dagster), and what a commit makes of its own answer (`catalog`).

Nothing is in doubt after it: a commit is one transaction of the catalog, and what was written beside it is no part of
any table; the upkeep job deletes it. Other libraries are asked for by name only once they are imported: who raises
an error of theirs has done so.
"""

from __future__ import annotations

import errno
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from dagster_project.errors import LakeUnavailable, NotelakeError
from dagster_project.lake.store import Store
from dagster_project.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")
Place = TypeVar("Place", bound=Store | Settings)

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_CLOSED: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_AWAY: Final = frozenset(
    {
        errno.EIO, errno.EBUSY, errno.ESTALE, errno.ETIMEDOUT, errno.ECONNREFUSED, errno.ECONNRESET, errno.EPIPE,
        errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ECONNABORTED, errno.EAGAIN, errno.ENODEV, errno.ENXIO,
    }
)  # fmt: skip
_WAYS: Final = {
    "full": "Make room there",
    "closed": "Make it writable for this user",
    "away": "See that it answers",
}
_OF_LIBRARIES: Final = {
    "botocore.exceptions": ("ClientError", "HTTPClientError", "ConnectionError"),
    "aiohttp": ("ClientError",),
    "sqlalchemy.exc": ("OperationalError", "InterfaceError", "TimeoutError"),
    "duckdb": ("IOException", "HTTPException"),
}
"""Errors by which a store or a catalog says that it can't be reached or does not do what it is asked now."""


def tells_unavailable(step: Callable[Concatenate[Place, P], T]) -> Callable[Concatenate[Place, P], T]:
    """Let what a place can't do now come out of `step`, which takes the lake or its settings first, as one error."""

    @wraps(step)
    def told(place: Place, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return step(place, *args, **kwargs)
        except NotelakeError:
            raise
        except Exception as error:
            if found := unavailable(error, place if isinstance(place, Settings) else place.settings):
                raise found from error
            raise

    return told


def unavailable(error: BaseException, where: Settings) -> LakeUnavailable | None:
    """Return what `error` says of the place of a lake; None if it says nothing of it.

    >>> here = Settings("/lake", Path("/lake/lake.duckdb"), Path("/lake/.scratch"))
    >>> str(unavailable(OSError(28, "No space left on device", "/lake/a"), here)).split(". ")[0]
    "The lake at /lake can't be read or written now: /lake/a: No space left on device"
    >>> unavailable(PermissionError(13, "Permission denied", "/vault/a.md"), here), unavailable(ValueError(), here)
    (None, None)
    """
    for each in _chain(error):
        if (way := _way(each, where)) is not None:
            return LakeUnavailable(
                f"The lake at {where.lake} can't be read or written now: {_fact(each)}. What was committed stands, and "
                f"nothing is in doubt. {_WAYS[way]}; the next run goes on from there."
            )
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it came from."""
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        yield at
        at = at.__cause__ or at.__context__


def _way(error: BaseException, where: Settings) -> str | None:
    if isinstance(error, OSError) and not _is_elsewhere(error.filename, where):
        for way, numbers in (("full", _FULL), ("closed", _CLOSED), ("away", _AWAY)):
            if error.errno in numbers:
                return way
        if isinstance(error, (ConnectionError, TimeoutError)):
            return "away"
    text = str(error).lower()
    if "no space left" in text and isinstance(error, _classes("duckdb", ("Error",))):
        return "full"
    if not any(isinstance(error, _classes(module, names)) for module, names in _OF_LIBRARIES.items()):
        return None
    if "no space" in text or "is full" in text:
        return "full"
    return "closed" if "readonly" in text or "read-only" in text or "denied" in text else "away"


def _classes(module: str, names: tuple[str, ...]) -> tuple[type[BaseException], ...]:
    loaded = sys.modules.get(module)
    return tuple(found for name in names if isinstance(found := getattr(loaded, name, None), type))


def _is_elsewhere(file: Any, where: Settings) -> bool:
    """Tell whether a file is none of the lake's own: then it is a source's, which has errors of its own."""
    if not isinstance(file, (str, os.PathLike)) or where.is_remote:
        return False
    own = (Path(where.lake), where.view_file.parent, where.scratch, Path(tempfile.gettempdir()))
    return not any(Path(file).is_relative_to(folder) for folder in own)


def _fact(error: BaseException) -> str:
    """Return what an error says, in one line."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    origin = getattr(error, "orig", None) or error  # SQLAlchemy's own text quotes the statement and its parameters
    text = str(origin).strip().splitlines()
    return (text[0] if text else type(error).__name__).rstrip(".")
