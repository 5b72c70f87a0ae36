"""The Iceberg catalog: pyiceberg's SQL catalog, and what it lacks: swapping many tables in one transaction.

What belongs here: the rows of the catalog. What does not: what a commit is made of (`commit.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pyiceberg.catalog.sql import IcebergTables, SqlCatalog
from pyiceberg.exceptions import NamespaceAlreadyExistsError
from pyiceberg.utils.config import Config
from sqlalchemy import event, select, update
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, ProgrammingError
from sqlalchemy.orm import Session

from dagster_project.errors import CommitConflict, CommitUnknown, LakeUnsupported
from dagster_project.failpoints import failpoint
from dagster_project.settings import CATALOG, Settings

SQLITE_FILE: Final = "catalog.db"
_BUSY_MILLISECONDS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Swap:
    """One table's step from the metadata it was planned on to the metadata that was written for it."""

    identifier: str
    expected: str
    written: str


class Catalog(SqlCatalog):
    """pyiceberg's SQL catalog on SQLite or PostgreSQL, with a commit over many tables."""

    def locations(self) -> dict[str, str]:
        """Return the metadata location of every table, all from one SELECT: one moment of the whole lake."""
        query = select(IcebergTables.table_namespace, IcebergTables.table_name, IcebergTables.metadata_location)
        with Session(self.engine) as session:
            rows = session.execute(query.where(IcebergTables.catalog_name == self.name)).all()
        return {f"{namespace}.{name}": location for namespace, name, location in rows if location}

    def make_namespace(self, namespace: str) -> None:
        """Create a namespace if it is not there; safe to run twice at once."""
        with suppress(NamespaceAlreadyExistsError, IntegrityError):
            self.create_namespace(namespace)

    def swap(self, swaps: Sequence[Swap], stage: str) -> None:
        """Make all `swaps` visible at once, or none; `stage` names the failpoint inside.

        Tables are swapped in name order, so that two commits never wait for each other crosswise. Raises
        `CommitConflict` naming the first table that has moved on, and `CommitUnknown` if the catalog went away before
        it said whether the commit holds: then the written files must stay.
        """
        try:
            with Session(self.engine) as session, session.begin():
                for number, step in enumerate(sorted(swaps, key=lambda swap: swap.identifier)):
                    self._swap_one(session, step)
                    if number == 0:
                        failpoint(f"{stage}.swapping")
        except DBAPIError as error:
            if not self._holds(swaps, error):
                raise CommitConflict(
                    f"The catalog did not take the commit ({error.orig}); nothing of it is visible. Run again."
                ) from error

    def _holds(self, swaps: Sequence[Swap], error: DBAPIError) -> bool:
        """Look whether a commit that ended in an error holds after all: perhaps only the answer was lost."""
        try:
            present = self.locations()
        except DBAPIError:
            raise CommitUnknown(
                f"The catalog went away in the middle of a commit ({error.orig}); the next run will find out whether "
                "it holds. No file was deleted; run again when the catalog answers."
            ) from error
        return any(present.get(swap.identifier) == swap.written for swap in swaps)

    def _swap_one(self, session: Session, step: Swap) -> None:
        namespace, name = step.identifier.split(".", 1)
        statement = (
            update(IcebergTables)
            .where(
                IcebergTables.catalog_name == self.name,
                IcebergTables.table_namespace == namespace,
                IcebergTables.table_name == name,
                IcebergTables.metadata_location == step.expected,
            )
            .values(metadata_location=step.written, previous_metadata_location=step.expected)
        )
        if session.execute(statement).rowcount != 1:  # type: ignore[attr-defined]
            raise CommitConflict(
                f"Another run committed to {step.identifier} first; nothing of this commit is visible."
            )


def open_catalog(settings: Settings) -> Catalog:
    """Open the catalog that `catalog_uri` names.

    Raises `LakeUnsupported` for an object store without a catalog of its own, and for kinds of catalog that cannot
    commit many tables at once.
    """
    uri = catalog_uri(settings)
    if uri.startswith("sqlite") and not settings.is_remote:
        Path(settings.lake).mkdir(parents=True, exist_ok=True)
    properties = {**_configured(), "uri": uri, "warehouse": settings.lake}
    if settings.is_remote:
        properties.setdefault("py-io-impl", "pyiceberg.io.fsspec.FsspecFileIO")
    given = {key: value for key, value in properties.items() if key != "type"}
    try:
        catalog = Catalog(CATALOG, **given)
    except (IntegrityError, OperationalError, ProgrammingError):
        catalog = Catalog(CATALOG, **given)  # another run was making the catalog's own tables at the same time
    _wait_for_locks(catalog.engine)
    return catalog


def catalog_uri(settings: Settings) -> str:
    """Return the address of the catalog: pyiceberg's setting for `notelake`, else SQLite in the lake's folder.

    Raises `LakeUnsupported` as `open_catalog` does.
    """
    uri = _configured().get("uri", "")
    if settings.is_remote and not uri:
        raise LakeUnsupported(
            f"The lake {settings.lake} lies in an object store, but no catalog is named: two machines with a SQLite "
            f"file each would be two lakes. Set PYICEBERG_CATALOG__{CATALOG.upper()}__URI=postgresql+psycopg2://…"
        )
    if uri and not uri.startswith(("sqlite", "postgresql")):
        raise LakeUnsupported(
            f"The catalog at {uri.split('://', 1)[0]}://… cannot commit many tables at once in a way notelake knows. "
            "Use one on SQLite or PostgreSQL."
        )
    file = str(Path(settings.lake) / SQLITE_FILE)  # quoted below: a folder's name may hold % or ?
    return uri or URL.create("sqlite", database=file).render_as_string(hide_password=False)


def _configured() -> dict[str, str]:
    return {key: str(value) for key, value in (Config().get_catalog_config(CATALOG) or {}).items()}


def _wait_for_locks(engine: Engine) -> None:
    """Let SQLite wait for another writer instead of failing at once."""
    if engine.dialect.name != "sqlite":
        return

    @event.listens_for(engine, "connect")
    def _set(connection: object, _: object) -> None:
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")  # type: ignore[attr-defined]

    engine.dispose()
