"""Build `lake.duckdb` from pins and views, and swap it in with one rename.

What holds: whoever opens the file sees every table at its pin, or the file before; never a part. Whoever has the old
file open keeps it. A build that fails or is killed leaves the old file as it is. The file needs no extension for a lake
on local disk and opens in DuckDB 1.5 and 2.0.

Where only snapshots have moved since the file was built, a copy of it gets the scans that changed and nothing is bound
again: what it costs goes by the tables of a commit and not by the views there are. A file somebody else has written
to is built anew.

What belongs here: the file, its comments, and what it says about itself (`ops.publication`, `ops.pins`, the tables of
`metadata_views`, of which a renewed file gets the rows of tables that moved). What does not: the lock that keeps two
builds apart, which is the caller's, and which snapshots to pin.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import duckdb

from dagster_project.contracts import LEDGER, QUARANTINE, Column, Table
from dagster_project.errors import ViewInvalid
from dagster_project.failpoints import failpoint
from dagster_project.lake.metadata_tables import Facts, together
from dagster_project.lake.pins import Pin
from dagster_project.sources import Source
from dagster_project.sql_words import identifier, literal
from dagster_project.views import metadata_views, queries_log, scans
from dagster_project.views.children import child_tables
from dagster_project.views.sql_files import Macro, View, in_order
from dagster_project.views.svv import SYSTEM_VIEWS

LAYOUT: Final = 7
"""Raised when the same pins and views make another file, so that a new version of notelake builds it again."""
FORMAT: Final = "STORAGE_VERSION 'v1.0.0', BLOCK_SIZE 16384"
"""The newest file format that DuckDB 1.5 and 2.0 both open, in its smallest blocks: most columns hold a few bytes."""

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
    **metadata_views.STORED,
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


FactsOf = Callable[[Pin, Collection[str]], Facts]
"""Tells what Iceberg's metadata says of a table; of its data files only those that are not among the paths given."""
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
    facts_of: FactsOf | None = None,
) -> Publication:
    """Make the file of `pins`, the current rows of table sources, `views` and `macros`, and put it at `to`.

    `published_at` is an instant with its zone; `scratch` takes what DuckDB may spill, and keeps what
    can be lost. Without `facts_of` the metadata tables are empty. One build per `to` at a time.
    Raises `ViewInvalid` naming the file of the view or macro and what is wrong with it; `to` is then as it was.
    """
    definition = definition_of(views, sources, macros, (pin.table for pin in pins))
    publication = Publication(publication_id, published_at, definition, _served(pins))
    contents = _Contents(publication, pins, views, sources, macros, facts_of)
    stamp = scratch / "stat" / f"{to.name}.txt"
    present = _untouched(to, stamp)
    to.parent.mkdir(parents=True, exist_ok=True)
    queries_log.make_sure(to)
    _sweep(to)
    new = to.with_name(f".{to.name}.{publication_id}.tmp")
    try:
        with duckdb.connect(config={"temp_directory": str(scratch / "duckdb"), "threads": 1}) as connection:
            if prepare:
                prepare(connection)
            if present is not None and present.definition == definition:
                shutil.copyfile(to, new)
                with _attached(connection, new):
                    _renew(connection, contents, present)
            else:
                with _attached(connection, new):
                    _build(connection, contents, to)
        _sync(new)
        failpoint("serve.built")
        os.replace(new, to)
        _sync(to.parent)
        _remember(to, publication)
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.write_text(f"{_state(to)} {to}", "utf-8")
    finally:
        new.unlink(missing_ok=True)
    return publication


def published(to: Path) -> Publication | None:
    """Return what the file at `to` says about itself; None if there is none, or it is no publication.

    The file is opened read-only and closed at once. It is attached, not connected to: DuckDB would give back the
    database this process opened there before, even after a swap.
    """
    if not to.is_file():
        return None
    state = _state(to)
    if _LAST.get(to, ("", None))[0] != state:
        _LAST[to] = state, _read(to)
    return _LAST[to][1]


_LAST: Final[dict[Path, tuple[str, Publication | None]]] = {}
"""What the file at a place says, and the state it was in: a file is read once, and one made here never."""


def _remember(to: Path, publication: Publication) -> None:
    """Take note of what was put at `to`."""
    served_at = publication.published_at.astimezone(UTC)
    _LAST[to] = _state(to), replace(publication, published_at=served_at)


def _read(to: Path) -> Publication | None:
    """Read what the file says."""
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
        return published(to) if stamp.read_text("utf-8") == f"{_state(to)} {to}" else None
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
    facts_of: FactsOf | None


@contextmanager
def _attached(connection: duckdb.DuckDBPyConnection, new: Path) -> Iterator[None]:
    """Work in `new` in one transaction, then let go of it: DETACH writes all of it and leaves no log beside it."""
    connection.execute(f"ATTACH {literal(str(new))} AS lake ({FORMAT})")
    connection.execute("USE lake; BEGIN")
    yield
    connection.execute("COMMIT; USE memory; DETACH lake")


def _build(connection: duckdb.DuckDBPyConnection, contents: _Contents, to: Path) -> None:
    """Put all there is into a new file."""
    publication, pins, views, sources, macros, facts_of = contents
    by_name = {pin.table.identifier: pin for pin in pins}
    current = {f"tables.{pin.table.name}": pin for pin in pins if scans.is_table_source(pin.table)}
    children = {child.name: child for pin in current.values() for child in child_tables(pin.table)}
    given = (*by_name, *children, *current, *_OWN, scans.CONTENTS, queries_log.VIEW)
    ordered = in_order(views, {*given})
    schemas = {name.split(".")[0] for name in given} | {view.schema for view in views}
    schemas |= {macro.schema for macro in macros}
    connection.execute("".join(f"CREATE SCHEMA IF NOT EXISTS {identifier(schema)};" for schema in sorted(schemas)))
    _write_about(connection, publication)
    _write_columns(connection, pins)
    _write_facts(connection, pins, facts_of)
    replaced = {view.identifier for view in views}
    _create_tables(connection, [pin for pin in pins if pin.table.identifier not in replaced])
    _create_metadata(connection, pins)
    _create_queries(connection, to)
    for system in SYSTEM_VIEWS:
        _create(connection, system.name, system.sql.strip(), f"The view {system.name}")
        _comment(connection, "VIEW", system.name, system.row, system.columns)
    quarantine, ledger = (table.identifier if table.identifier in by_name else None for table in (QUARANTINE, LEDGER))
    told = {source.name: source.description for source in sources}
    for name, child in children.items():
        _create(connection, name, child.select(quarantine=quarantine, ledger=ledger), f"The child table {name}")
        _comment(connection, "VIEW", name, child.row, _docs(child.columns))
    _create_current(connection, current, told, quarantine=quarantine, ledger=ledger)
    _create(connection, scans.CONTENTS, scans.contents(pin.table for pin in pins), f"The view {scans.CONTENTS}")
    _comment(connection, "VIEW", scans.CONTENTS, _CONTENTS_ROW, scans.CONTENT_COLUMNS)
    for macro in macros:  # one that reads nothing may be called in a view
        if not macro.depends_on:
            _create_macro(connection, macro)
    for view in ordered:
        _create_written(connection, view, by_name.get(view.identifier))
    _comment_written(connection, ordered)
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
    _write_facts(connection, moved, contents.facts_of)


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
    if publication.pins:
        connection.execute(f"INSERT INTO {_PINS} VALUES {', '.join(map(_row, publication.pins))}")


def _row(pin: Served) -> str:
    snapshot = "NULL" if pin.snapshot_id is None else pin.snapshot_id
    location = literal(pin.metadata_location)
    return f"({literal(pin.table_name)}, {snapshot}, {location}, {pin.files}, {pin.rows}, {pin.bytes})"


def _write_columns(connection: duckdb.DuckDBPyConnection, pins: Iterable[Pin]) -> None:
    rows = metadata_views.column_rows(pin.table for pin in pins)
    told = ", ".join(
        f"({literal(table)}, {literal(column)}, {position}, {field_id}, {literal(type_)}, {partition})"
        for table, column, position, field_id, type_, partition in rows
    )
    if told:
        connection.execute(f"INSERT INTO {metadata_views.COLUMNS} VALUES {told}")


def _write_facts(connection: duckdb.DuckDBPyConnection, moved: Sequence[Pin], facts_of: FactsOf | None) -> None:
    """Have the file say what the metadata of these tables says now. What is written goes by their new data files."""
    if not moved or facts_of is None:
        return
    of = f"WHERE table_name IN ({', '.join(literal(pin.table.identifier) for pin in moved)})"
    known: dict[str, set[str]] = {pin.table.identifier: set() for pin in moved}
    for table, path in connection.execute(f"SELECT table_name, file_path FROM {metadata_views.FILES} {of}").fetchall():
        known[table].add(path)
    facts = together(facts_of(pin, known[pin.table.identifier]) for pin in moved)
    gone = [path for pin in moved for path in known[pin.table.identifier].difference(pin.files)]
    without = [f"DELETE FROM {metadata_views.SCHEMA}.{kind} {of}" for kind in facts if kind != "files"]
    if gone:
        without.append(f"DELETE FROM {metadata_views.FILES} WHERE file_path IN ({', '.join(map(literal, gone))})")
    connection.execute(";".join(without))
    for kind, rows in facts.items():
        name = f"{metadata_views.SCHEMA}.{kind}"
        if rows.num_rows:
            connection.register("facts", rows)
            connection.execute(f"INSERT INTO {name} SELECT * FROM facts")
            connection.unregister("facts")


def _create_queries(connection: duckdb.DuckDBPyConnection, to: Path) -> None:
    """Make the history of queries, whose log lies beside the file: where that was moved it is built anew."""
    _create(connection, queries_log.VIEW, queries_log.select(queries_log.log_of(to)), "The history of queries")
    columns = {name: doc for name, (_, doc) in queries_log.COLUMNS.items()}
    _comment(connection, "VIEW", queries_log.VIEW, queries_log.ROW, columns)


def _create_metadata(connection: duckdb.DuckDBPyConnection, pins: Iterable[Pin]) -> None:
    """Make the metadata tables of each table, without comments on their columns: these would double a build's time."""
    connection.execute(metadata_views.RANGE_MACRO)
    for pin in pins:
        for view in metadata_views.metadata_views(pin.table):
            _create(connection, view.name, view.sql, f"The metadata table {view.name}")
            connection.execute(f"COMMENT ON VIEW {scans.relation(view.name)} IS {literal(view.row)}")


def _create_tables(connection: duckdb.DuckDBPyConnection, pins: Iterable[Pin]) -> None:
    for pin in pins:
        _create(connection, pin.table.identifier, scans.scan(pin), f"The table {pin.table.identifier}")
        _comment(connection, "VIEW", pin.table.identifier, pin.table.row, _docs(pin.table.columns))


def _create_current(
    connection: duckdb.DuckDBPyConnection,
    current: Mapping[str, Pin],
    descriptions: Mapping[str, str],
    *,
    quarantine: str | None,
    ledger: str | None,
) -> None:
    for name, pin in current.items():
        rows = scans.current_rows(pin.table, quarantine=quarantine, ledger=ledger)
        _create(connection, name, rows, f"The table {name}")
        told = descriptions.get(pin.table.name)
        row = "a row as the source has it now" + (f": {told}" if told else "")
        _comment(connection, "VIEW", name, row, _docs(scans.current_columns(pin.table)))


def _create_written(connection: duckdb.DuckDBPyConnection, view: View, pin: Pin | None) -> None:
    sql = view.sql
    if pin is not None:
        sql = standing_on(view, scans.scan(pin))
    _create(connection, view.identifier, sql, str(view.file))


def _comment_written(connection: duckdb.DuckDBPyConnection, views: Sequence[View]) -> None:
    """Tell what the views and their columns mean, which must be the columns they have.

    The catalog is asked once for all of them: it looks through all columns to give those of one, and DESCRIBE would
    bind a view, and all it stands on, once more.
    """
    asked = (
        "SELECT schema_name || '.' || table_name, list(column_name ORDER BY column_index) FROM duckdb_columns() "
        "WHERE database_name = current_database() GROUP BY ALL"
    )
    given: dict[str, list[str]] = dict(connection.execute(asked).fetchall())
    for view in views:
        if given[view.identifier] != list(view.columns):
            raise ViewInvalid(
                f"{view.file} tells of the columns {', '.join(view.columns)}, but its SELECT gives "
                f"{', '.join(given[view.identifier])}. Name each column in the header, in order."
            )
        _comment(connection, "VIEW", view.identifier, view.row, view.columns)


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
