"""Where things lie: the project, the lake, the view file. Read from the environment once, then passed on.

What belongs here: locations and limits, and the variables they come from. What does not: credentials, which
the libraries read themselves (AWS variables, pyiceberg's own settings).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dagster_project.errors import LakeUnsupported, UsageError

PACKAGE: Final = Path(__file__).parent
DEFAULT_LAKE: Final = "data/lake"
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

    @property
    def is_remote(self) -> bool:
        """Whether the lake lies in an object store."""
        return "://" in self.lake


def _threads() -> int:
    written = os.environ.get("NOTELAKE_THREADS", "0")
    if not written.isdecimal():
        raise UsageError(f"NOTELAKE_THREADS is {written!r}; it takes a number of threads, or 0 for all cores.")
    return int(written)


def settings(lake: str | None = None) -> Settings:
    """Return the settings for `lake`, else `NOTELAKE_LAKE`, else `data/lake` in the project.

    A relative folder that was given counts from the working directory. Raises `LakeUnsupported` for an object
    store without a place for its view file.
    """
    given = lake or os.environ.get("NOTELAKE_LAKE")
    memory = os.environ.get("NOTELAKE_MEMORY_LIMIT", "1GB")
    threads = _threads()
    view_file = os.environ.get("NOTELAKE_VIEW_FILE")
    if given and "://" in given:
        if not view_file:
            raise LakeUnsupported(
                f"The lake {given} lies in an object store, but NOTELAKE_VIEW_FILE is not set: say where on this "
                "machine lake.duckdb shall lie, and name a shared catalog (PYICEBERG_CATALOG__NOTELAKE__URI)."
            )
        path = Path(view_file).expanduser().absolute()
        return Settings(given.rstrip("/"), path, path.parent / f".{path.stem}.scratch", memory, threads)
    folder = Path(given).expanduser().absolute() if given else project_root() / DEFAULT_LAKE
    path = Path(view_file).expanduser().absolute() if view_file else folder / "lake.duckdb"
    return Settings(str(folder), path, folder / ".scratch", memory, threads)
