"""Build `lake.duckdb` from pins and views, and swap it in with one rename.

What holds: whoever opens the file sees every table at its pin, or the file before; never a part. Whoever has the old
file open keeps it. A build that fails or is killed leaves the old file as it is. The file needs no extension for a lake
on local disk and opens in DuckDB 1.5 and 2.0.

Where only snapshots have moved since the file was built, a copy of it gets the scans that changed and nothing is bound
again: what it costs goes by the tables of a commit and not by the views there are. A file somebody else has written
to is built anew.

What belongs here: the file, its comments, and what it says about itself (`ops.publication`, `ops.pins`). What does not:
the lock that keeps two builds apart, which is the caller's, and which snapshots to pin.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

import duckdb

from dagster_project.contracts import Column, Table
from dagster_project.errors import ViewInvalid
from dagster_project.failpoints import failpoint
from dagster_project.lake.pins import Pin
from dagster_project.sources import Source
from dagster_project.sql_words import identifier, literal
from dagster_project.views import scans
from dagster_project.views.sql_files import Macro, View, in_order

LAYOUT: Final = 4
"""Raised when the same pins and views make another file, so that a new version of notelake builds it again."""
STORAGE_VERSION: Final = "v1.0.0"
"""The newest file format that DuckDB 1.5 and 2.0 both open."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PUBLICATION: Final = "ops.publication"
_PINS: Final = "ops.pins"
_OWN: Final[Mapping[str, tuple[str, Mapping[str, tuple[str, str]]]]] = {
    _PUBLICATION: (
        "this file: one row",
        {
            "publication_id": ("VARCHAR", "Id of the publication"),
            "published_at": ("TIMESTAMPTZ", "When the file was built (UTC)"),
            "definition": ("VARCHAR", "SHA-256 of the views, macros, columns and descriptions it was built with, hex"),
        },
    ),
    _PINS: (
        "a table of the lake and the snapshot at which this file shows it",
        {
            "table_name": ("VARCHAR", "The table, namespace.name"),
            "snapshot_id": ("BIGINT", "Its Iceberg snapshot; null if it has none yet"),
            "metadata_location": ("VARCHAR", "Its Iceberg metadata file"),
            "files": ("BIGINT", "Data files"),
            "rows": ("BIGINT", "Rows"),
            "bytes": ("BIGINT", "Size of the data files in bytes"),
        },
    ),
}


@dataclass(frozen=True, slots=True)
class Served:
    """A row of `ops.pins`: a table and the snapshot at which a publication shows it."""

    table_name: str
    snapshot_id: int | None
    metadata_location: str
    files: int
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Publication:
    """What a view file says about itself."""

    publication_id: str
    published_at: datetime
    definition: str
    pins: tuple[Served, ...]

    def serves(
        self, pins: Sequence[Pin], views: Sequence[View], sources: Sequence[Source], macros: Sequence[Macro] = ()
    ) -> bool:
        """Whether publishing these would make the same file again."""
        definition = definition_of(views, sources, macros, (pin.table for pin in pins))
        return self.definition == definition and self.pins == _served(pins)


Prepare = Callable[[duckdb.DuckDBPyConnection], None]
"""Gives a connection what it needs to see the data files: for an `s3://` lake httpfs and its secret."""


def publish(
    pins: Sequence[Pin],
    views: Sequence[View],
    to: Path,
    *,
    publication_id: str,
    published_at: datetime,
    scratch: Path,
    sources: Sequence[Source] = (),
    macros: Sequence[Macro] = (),
    prepare: Prepare | None = None,
) -> Publication:
    """Make the file of `pins`, the current rows of table sources, `views` and `macros`, and put it at `to`.

    `published_at` is an instant with its zone; `scratch` takes what DuckDB may spill, and keeps what
    can be lost. One build per `to` at a time.
    Raises `ViewInvalid` naming the file of the view or macro and what is wrong with it; `to` is then as it was.
    """
    definition = definition_of(views, sources, macros, (pin.table for pin in pins))
    publication = Publication(publication_id, published_at, definition, _served(pins))
    contents = _Contents(publication, pins, views, sources, macros)
    stamp = scratch / "stat" / f"{to.name}.txt"
    present = _untouched(to, stamp)
    to.parent.mkdir(parents=True, exist_ok=True)
    _sweep(to)
    new = to.with_name(f".{to.name}.{publication_id}.tmp")
    try:
        with duckdb.connect(config={"temp_directory": str(scratch / "duckdb")}) as connection:
            if prepare:
                prepare(connection)
            if present is not None and present.definition == definition:
                shutil.copyfile(to, new)
                with _attached(connection, new):
                    _renew(connection, contents, present)
            else:
                with _attached(connection, new):
                    _build(connection, contents)
        _sync(new)
        failpoint("serve.built")
        os.replace(new, to)
        _sync(to.parent)
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.write_text(_state(to), "utf-8")
    finally:
        new.unlink(missing_ok=True)
    return publication


def published(to: Path) -> Publication | None:
    """Return what the file at `to` says about itself; None if there is none, or it is no publication.

    The file is opened read-only and closed at once. It is attached, not connected to: DuckDB would give back the
    database this process opened there before, even after a swap.
    """
    return _read(to, _state(to)) if to.is_file() else None


@lru_cache(maxsize=16)
def _read(to: Path, _state: str) -> Publication | None:
    """Read what the file says; its state is part of the question, so that a file is read once and a new one again."""
    try:
        with duckdb.connect() as connection:
            connection.execute(f"ATTACH {literal(str(to))} AS lake (READ_ONLY)")
            about = "SELECT publication_id, epoch_us(published_at), definition FROM lake.ops.publication"
            row = connection.execute(about).fetchone()
            pins = connection.execute("SELECT * FROM lake.ops.pins ORDER BY table_name").fetchall()
    except duckdb.Error:
        return None
    if row is None:
        return None
    return Publication(row[0], _EPOCH + timedelta(microseconds=row[1]), row[2], tuple(Served(*pin) for pin in pins))


def _state(file: Path) -> str:
    status = file.stat()
    return f"{status.st_ino} {status.st_size} {status.st_mtime_ns}"


def _untouched(to: Path, stamp: Path) -> Publication | None:
    """Return what the file at `to` says of itself, if it is as a build left it, which `stamp` tells."""
    try:
        return published(to) if stamp.read_text("utf-8") == _state(to) else None
    except OSError:
        return None


def definition_of(
    views: Sequence[View], sources: Sequence[Source], macros: Sequence[Macro], tables: Iterable[Table]
) -> str:
    """Return a SHA-256 over all that shapes the file but snapshots; the order of views and sources is no matter."""
    told = sorted((view.identifier, view.row, tuple(view.columns.items()), view.sql) for view in views)
    names = sorted((source.name, source.kind, source.description) for source in sources)
    called = sorted((macro.call, macro.told, tuple(macro.columns.items()), macro.sql) for macro in macros)
    held = sorted((table.identifier, table.row, [*map(repr, table.columns)], repr(table.current)) for table in tables)
    return hashlib.sha256(repr((LAYOUT, told, names, called, held)).encode()).hexdigest()


def _served(pins: Iterable[Pin]) -> tuple[Served, ...]:
    rows = (
        Served(pin.table.identifier, pin.snapshot_id, pin.metadata_location, len(pin.files), pin.rows, pin.bytes)
        for pin in pins
    )
    return tuple(sorted(rows, key=lambda served: served.table_name))


def _sweep(to: Path) -> None:
    """Remove what a build that was killed left behind."""
    for left in to.parent.glob(f".{to.name}.*.tmp*"):
        left.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Have a file, or a folder's list of names, on disk before going on. A file system that cannot is let be."""
    handle = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)


class _Contents(NamedTuple):
    publication: Publication
    pins: Sequence[Pin]
    views: Sequence[View]
    sources: Sequence[Source]
    macros: Sequence[Macro]


@contextmanager
def _attached(connection: duckdb.DuckDBPyConnection, new: Path) -> Iterator[None]:
    """Work in `new` in one transaction, then let go of it: DETACH writes all of it and leaves no log beside it."""
    connection.execute(f"ATTACH {literal(str(new))} AS lake (STORAGE_VERSION '{STORAGE_VERSION}')")
    connection.execute("USE lake; BEGIN")
    yield
    connection.execute("COMMIT; USE memory; DETACH lake")


def _build(connection: duckdb.DuckDBPyConnection, contents: _Contents) -> None:
    """Put all there is into a new file."""
    publication, pins, views, sources, macros = contents
    by_name = {pin.table.identifier: pin for pin in pins}
    current = {f"tables.{pin.table.name}": pin for pin in pins if scans.is_table_source(pin.table)}
    given = (*by_name, *current, *_OWN, scans.CONTENTS)
    ordered = in_order(views, {*given})
    schemas = {name.split(".")[0] for name in given} | {view.schema for view in views}
    schemas |= {macro.schema for macro in macros}
    connection.execute("".join(f"CREATE SCHEMA IF NOT EXISTS {identifier(schema)};" for schema in sorted(schemas)))
    _write_about(connection, publication)
    replaced = {view.identifier for view in views}
    _create_tables(connection, [pin for pin in pins if pin.table.identifier not in replaced])
    _create_current(connection, current, {source.name: source.description for source in sources})
    _create(connection, scans.CONTENTS, scans.contents(pin.table for pin in pins), f"The view {scans.CONTENTS}")
    _comment(connection, "VIEW", scans.CONTENTS, _CONTENTS_ROW, scans.CONTENT_COLUMNS)
    for macro in macros:  # one that reads nothing may be called in a view
        if not macro.depends_on:
            _create_macro(connection, macro)
    for view in ordered:
        _create_written(connection, view, by_name.get(view.identifier))
    for macro in macros:
        if macro.depends_on:
            _create_macro(connection, macro)


def _renew(connection: duckdb.DuckDBPyConnection, contents: _Contents, present: Publication) -> None:
    """Put the scans that moved, and what the file says of itself, into a copy of the file that was `present`."""
    served = set(present.pins)
    written = {view.identifier: view for view in contents.views}
    moved = [pin for pin in contents.pins if not served.issuperset(_served([pin]))]
    for pin in moved:
        if view := written.get(pin.table.identifier):
            _create(connection, view.identifier, standing_on(view, scans.scan(pin)), str(view.file))
            _comment(connection, "VIEW", view.identifier, view.row, view.columns)
    _create_tables(connection, [pin for pin in moved if pin.table.identifier not in written])
    _tell(connection, contents.publication)


def _write_about(connection: duckdb.DuckDBPyConnection, publication: Publication) -> None:
    for name, (row, columns) in _OWN.items():
        declared = ", ".join(f"{identifier(column)} {type_}" for column, (type_, _) in columns.items())
        connection.execute(f"CREATE TABLE {name} ({declared})")
        _comment(connection, "TABLE", name, row, {column: doc for column, (_, doc) in columns.items()})
    _tell(connection, publication)


def _tell(connection: duckdb.DuckDBPyConnection, publication: Publication) -> None:
    """Have the file say what it is, and no more what it was."""
    connection.execute(f"DELETE FROM {_PUBLICATION}; DELETE FROM {_PINS}")
    instant = publication.published_at.astimezone(UTC).isoformat()
    about = [publication.publication_id, instant, publication.definition]
    connection.execute(f"INSERT INTO {_PUBLICATION} VALUES (?, ?, ?)", about)
    for pin in publication.pins:
        values = [pin.table_name, pin.snapshot_id, pin.metadata_location, pin.files, pin.rows, pin.bytes]
        connection.execute(f"INSERT INTO {_PINS} VALUES (?, ?, ?, ?, ?, ?)", values)


def _create_tables(connection: duckdb.DuckDBPyConnection, pins: Iterable[Pin]) -> None:
    for pin in pins:
        _create(connection, pin.table.identifier, scans.scan(pin), f"The table {pin.table.identifier}")
        _comment(connection, "VIEW", pin.table.identifier, pin.table.row, _docs(pin.table.columns))


def _create_current(
    connection: duckdb.DuckDBPyConnection, current: Mapping[str, Pin], descriptions: Mapping[str, str]
) -> None:
    for name, pin in current.items():
        _create(connection, name, scans.current_rows(pin.table), f"The table {name}")
        told = descriptions.get(pin.table.name)
        row = "a row as the source has it now" + (f": {told}" if told else "")
        _comment(connection, "VIEW", name, row, _docs(scans.current_columns(pin.table)))


def _create_written(connection: duckdb.DuckDBPyConnection, view: View, pin: Pin | None) -> None:
    sql = view.sql
    if pin is not None:
        sql = standing_on(view, scans.scan(pin))
    _create(connection, view.identifier, sql, str(view.file))
    names = _columns_of(connection, view)
    if names != list(view.columns):
        raise ViewInvalid(
            f"{view.file} tells of the columns {', '.join(view.columns)}, but its SELECT gives {', '.join(names)}. "
            "Name each column in the header, in order."
        )
    _comment(connection, "VIEW", view.identifier, view.row, view.columns)


def _columns_of(connection: duckdb.DuckDBPyConnection, view: View) -> list[str]:
    """Return a view's columns as the catalog has them: DESCRIBE would bind it, and all it stands on, once more."""
    asked = (
        "SELECT column_name FROM duckdb_columns() WHERE database_name = current_database() "
        "AND schema_name = ? AND table_name = ? ORDER BY column_index"
    )
    return [name for (name,) in connection.execute(asked, [view.schema, view.name]).fetchall()]


_CONTENTS_ROW: Final = "the bytes of a file of a document source as they arrived, under the arrival's sequence"


def _create_macro(connection: duckdb.DuckDBPyConnection, macro: Macro) -> None:
    """Make a macro. One that reads what this lake has not is refused now, not when somebody calls it."""
    taken = ", ".join(p.name if p.default is None else f"{p.name} := {p.default}" for p in macro.parameters)
    rows = " TABLE" if macro.gives_rows else ""
    target = scans.relation(macro.identifier)
    try:
        connection.execute(f"CREATE MACRO {target}({taken}) AS{rows} {macro.sql}")
        if macro.gives_rows:
            nulls = ", ".join("NULL" for p in macro.parameters if p.default is None)
            shown = [row[0] for row in connection.execute(f"DESCRIBE FROM {target}({nulls})").fetchall()]
    except duckdb.Error as error:
        raise ViewInvalid(
            f"{macro.file} cannot be served: {error}. The file that was served before is unchanged."
        ) from error
    if macro.gives_rows and shown != list(macro.columns):
        raise ViewInvalid(
            f"{macro.file} tells of the columns {', '.join(macro.columns)}, but its SELECT gives {', '.join(shown)}. "
            "Name each column in the header, in order."
        )
    connection.execute(f"COMMENT ON MACRO{rows} {target} IS {literal(macro.told)}")


def _docs(columns: Iterable[Column]) -> dict[str, str]:
    return {column.name: column.doc or "As the source gives it" for column in columns}


def standing_on(view: View, base: str) -> str:
    """Return the SELECT of a view that bears a table's name, with the table's scan under that name inside it.

    Whole names are replaced, never text in strings, comments or quoted names; the table's columns, and an alias after
    it, mean what they meant.
    """
    own = rf'(?:"{view.schema}"|\b{view.schema})\s*\.\s*(?:"{view.name}"|{view.name}\b)'
    token = re.compile(
        rf"(?P<own>{own})|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/", re.DOTALL | re.IGNORECASE
    )
    inner = token.sub(lambda match: identifier(view.name) if match["own"] else match[0], view.sql)
    return f"WITH {identifier(view.name)} AS NOT MATERIALIZED ({base})\nSELECT * FROM (\n{inner}\n)"


def _create(connection: duckdb.DuckDBPyConnection, name: str, sql: str, where: str) -> None:
    try:
        connection.execute(f"CREATE OR REPLACE VIEW {scans.relation(name)} AS {sql}")
    except duckdb.Error as error:
        raise ViewInvalid(
            f"{where} cannot be served: {error}. The file that was served before is unchanged."
        ) from error


def _comment(connection: duckdb.DuckDBPyConnection, kind: str, name: str, row: str, columns: Mapping[str, str]) -> None:
    target = scans.relation(name)
    told = [f"COMMENT ON {kind} {target} IS {literal(row)}"]
    told += [f"COMMENT ON COLUMN {target}.{identifier(column)} IS {literal(doc)}" for column, doc in columns.items()]
    connection.execute(";".join(told))
