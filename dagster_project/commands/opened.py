"""What commands open: the lake, its view file, the declared sources; with the one clock and the one maker of ids.

What belongs here: from words to what a call takes. What does not: what is done with it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from dagster_project.errors import SourceInvalid, UsageError
from dagster_project.settings import Settings, project_root

if TYPE_CHECKING:
    import duckdb

    from dagster_project.lake.lake import Lake
    from dagster_project.sources import Source

SOURCES: Final = "dagster_project/defs/sources"


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


def new_id() -> str:
    """Return an id nobody has had."""
    return uuid4().hex


def lake_at(where: Settings, *, create: bool = False) -> Lake:
    """Open the lake; with `create`, make it if it is missing. Raises what `open_lake` does."""
    _leave_pandas_out()
    from dagster_project.lake.lake import open_lake

    return open_lake(where, clock=now, ids=new_id, create=create)


def _leave_pandas_out() -> None:
    """Let pyarrow look for pandas once, in vain: it does so at the first value it makes, and that takes half a second.

    Whoever wants a data frame of it still gets one: then it looks again.
    """
    if "pandas" in sys.modules:
        return
    import pyarrow as pa

    hidden = _Hidden()
    sys.meta_path.insert(0, hidden)
    try:
        pa.scalar(value=True)
    finally:
        sys.meta_path.remove(hidden)


class _Hidden:
    """Stands before the finders of modules, and says that there is no pandas."""

    def find_spec(self, name: str, *_: object) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)


def served_lake_at(where: Settings) -> Lake:
    """Open a lake that something was served from."""
    view_file_at(where)
    return lake_at(where)


def view_file_at(where: Settings) -> Path:
    """Return the view file. Raises `UsageError` before it is made."""
    if not where.view_file.is_file():
        raise UsageError(f"There is no {where.view_file} yet. `notelake run` or `notelake ingest` makes it.")
    return where.view_file


@contextmanager
def served_at(where: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open what is served, read-only; for a lake in an object store with what it takes to read there."""
    import duckdb

    file = view_file_at(where)
    if not where.is_remote:
        with duckdb.connect(str(file), read_only=True) as con:
            yield con
        return
    from dagster_project.sql_words import literal

    with lake_at(where).connect() as con:
        con.execute(f"ATTACH {literal(str(file))} AS served (READ_ONLY)")
        con.execute("USE served")
        yield con


def read_declared() -> tuple[Source, ...]:
    """Return the declared sources of the project. Raises `SourceInvalid`."""
    from dagster_project.sources import declared_sources

    root = project_root()
    return declared_sources(root / SOURCES, root)


def read_chosen(names: Sequence[str]) -> list[Source]:
    """Return the declared sources of these names, all without names. Raises `SourceInvalid` where there is none."""
    declared = {source.name: source for source in read_declared()}
    if not declared:
        raise SourceInvalid(
            f"No source is declared in {project_root() / SOURCES}. Declare one (see the README), "
            "or try `notelake ingest PATH`."
        )
    if unknown := [name for name in names if name not in declared]:
        raise SourceInvalid(f"No source is called {', '.join(unknown)}. There are: {', '.join(declared)}.")
    return [declared[name] for name in names or declared]
