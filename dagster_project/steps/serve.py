"""serve: publish `lake.duckdb` anew, every view pinned to one moment of the lake, under a lock.

If what is published already shows this moment, nothing is written.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

from dagster_project.failpoints import failpoint
from dagster_project.lake.lake import Lake
from dagster_project.lake.metadata_tables import facts_of
from dagster_project.lake.unavailable import tells_unavailable
from dagster_project.settings import bundled
from dagster_project.views.publish import Publication, publish, published
from dagster_project.views.sql_files import Macro, View, read_macros, read_views


@cache
def views_in(folder: Path) -> tuple[View, ...]:
    """Return the views declared in `folder`, read once per process."""
    return read_views(folder)


@cache
def macros_in(folder: Path) -> tuple[Macro, ...]:
    """Return the macros declared in `folder`, read once per process."""
    return read_macros(folder)


@tells_unavailable
def serve(lake: Lake) -> Publication:
    """Publish the lake as it stands now, unless it is published already; return what is published.

    Raises `ViewInvalid`, and `LakeUnavailable` if the file can't be written; it is then as it was.
    """
    views, macros = views_in(bundled("sql") / "views"), macros_in(bundled("sql") / "macros")
    with _lock(lake.settings.view_file.parent):
        pins = tuple(lake.pins().values())
        failpoint("serve.pinned")
        present = published(lake.settings.view_file)
        if present is not None and present.serves(pins, views, (), macros):
            return present
        publication = publish(
            pins,
            views,
            lake.settings.view_file,
            publication_id=lake.ids(),
            published_at=lake.clock(),
            scratch=lake.settings.scratch,
            macros=macros,
            prepare=lake.prepare,
            facts_of=partial(facts_of, lake),
        )
        failpoint("serve.swapped")
        return publication


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Hold the publisher's lock; the system lets go of it when the process ends, however it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".serve.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
