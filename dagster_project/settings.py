"""Where things lie: the project, the lake, the view file. Read from the environment once, then passed on.

What belongs here: locations and limits, and the variables they come from. What does not: credentials, which
the libraries read themselves (AWS variables, pyiceberg's own settings).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dagster_project.errors import LakeUnsupported, UsageError

PACKAGE: Final = Path(__file__).parent
DEFAULT_LAKE: Final = "data/lake"
_SIZE: Final = re.compile(r"(\d+) ?(KB|MB|GB)", re.IGNORECASE)
_POWERS: Final = {"KB": 1, "MB": 2, "GB": 3}
CATALOG: Final = "notelake"
"""Name of the Iceberg catalog in pyiceberg's own settings (`PYICEBERG_CATALOG__NOTELAKE__URI` …)."""


def project_root() -> Path:
    """Return the folder with `workspace.yaml`: from here upwards, else the checkout this package lies in, else here.

    `NOTELAKE_PROJECT` overrides.
    """
    if named := os.environ.get("NOTELAKE_PROJECT"):
        return Path(named).expanduser().absolute()
    here = Path.cwd()
    candidates = (here, *here.parents, PACKAGE.parent)
    return next((folder for folder in candidates if _is_project(folder)), here)


def _is_project(folder: Path) -> bool:
    return (folder / "workspace.yaml").is_file() and (folder / "dagster_project").is_dir()


def bundled(folder: str) -> Path:
    """Return the folder `sql` or `expectations`: the project's own, or the copy in the wheel."""
    own = project_root() / folder
    if own.is_dir():
        return own
    beside = PACKAGE.parent / folder
    return beside if beside.is_dir() else PACKAGE / "_bundled" / folder


@dataclass(frozen=True, slots=True)
class Settings:
    """Locations and limits of one lake."""

    lake: str
    """Folder or `s3://bucket/prefix` of the tables."""
    view_file: Path
    """Where `lake.duckdb` is published."""
    scratch: Path
    """Local folder for caches, locks and temporary files; may be deleted at any time but during a run."""
    memory_limit: str = "1GB"
    """What DuckDB may hold in memory before it spills to `scratch`."""
    threads: int = 0
    """Threads DuckDB may use; 0 for all cores."""
    workers: int = 0
    """Processes that read documents at once; 0 for one per core."""
    file_seconds: float = 30.0
    """How long the reader of one document may take."""
    file_memory: int = 2 * 1024**3
    """Bytes of memory a process that reads documents may use beyond what it starts with (on Linux)."""

    @property
    def worker_processes(self) -> int:
        """How many processes read documents at the most."""
        if self.workers:
            return self.workers
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    @property
    def is_remote(self) -> bool:
        """Whether the lake lies in an object store."""
        return "://" in self.lake


def _number(variable: str, default: float, what: str) -> float:
    written = os.environ.get(variable, "")
    try:
        number = float(written) if written else default
    except ValueError:
        number = -1
    if not 0 <= number < float("inf"):
        raise UsageError(f"{variable} is {written!r}; it takes {what}.")
    return number


def _size(variable: str, default: int) -> int:
    written = os.environ.get(variable)
    if not written:
        return default
    match = _SIZE.fullmatch(written.strip())
    if match is None or not int(match[1]):
        raise UsageError(f"{variable} is {written!r}; it takes a size such as 512MB or 2GB.")
    return int(match[1]) * int(1024 ** _POWERS[match[2].upper()])


def _limits() -> dict[str, Any]:
    return {
        "memory_limit": os.environ.get("NOTELAKE_MEMORY_LIMIT", "1GB"),
        "threads": int(_number("NOTELAKE_THREADS", 0, "a number of threads, or 0 for all cores")),
        "workers": int(_number("NOTELAKE_WORKERS", 0, "a number of processes, or 0 for one per core")),
        "file_seconds": _number("NOTELAKE_FILE_SECONDS", 30, "a number of seconds") or 30.0,
        "file_memory": _size("NOTELAKE_FILE_MEMORY", 2 * 1024**3),
    }


def settings(lake: str | None = None) -> Settings:
    """Return the settings for `lake`, else `NOTELAKE_LAKE`, else `data/lake` in the project.

    A relative folder that was given counts from the working directory. Raises `LakeUnsupported` for an object
    store without a place for its view file.
    """
    given = lake or os.environ.get("NOTELAKE_LAKE")
    limits = _limits()
    view_file = os.environ.get("NOTELAKE_VIEW_FILE")
    if given and "://" in given:
        if not view_file:
            raise LakeUnsupported(
                f"The lake {given} lies in an object store, but NOTELAKE_VIEW_FILE is not set: say where on this "
                "machine lake.duckdb shall lie, and name a shared catalog (PYICEBERG_CATALOG__NOTELAKE__URI)."
            )
        path = Path(view_file).expanduser().absolute()
        return Settings(given.rstrip("/"), path, path.parent / f".{path.stem}.scratch", **limits)
    folder = Path(given).expanduser().absolute() if given else project_root() / DEFAULT_LAKE
    path = Path(view_file).expanduser().absolute() if view_file else folder / "lake.duckdb"
    return Settings(str(folder), path, folder / ".scratch", **limits)
