"""Databases as sources of rows, a module for each kind, found by the scheme of the address.

What belongs here: which tables are read, which of their rows, and what is told when a database cannot be read. What
does not: comparing rows with those that stand (`compared`), numbering them (`tables`), credentials (`address`).

A kind of database is a module with

    ERRORS                     what its driver raises
    connect(address) -> con    a connection in one read-only transaction, so that all it reads is of one moment
    close(con)
    tables(con) -> [(names, SQL)]    the tables and views that there are: the names each goes by, the whole one first
    quoted(name) -> SQL        the name of a column as SQL
    columns(con, rows) -> [name]     of `rows`, SQL that can stand after FROM
    find(con, rows) -> Head    the same with their types; `how` is `selected.Selected`
    batches(con, rows, head) -> Iterator[RecordBatch]      in the schema of `head.how`, in bounded memory
    greatest(con, rows, column) -> value | None            of a column, as `watermark` has it

A landing is all or nothing: whatever a driver raises becomes `SourceUnavailable`, and nothing of the source lands.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib import import_module
from types import ModuleType
from typing import Any, Final

import duckdb
import pyarrow as pa

from dagster_project.errors import SourceInvalid, SourceUnavailable
from dagster_project.landing.databases.address import Address, address_of
from dagster_project.landing.databases.watermark import Watermark, as_sql, lowered
from dagster_project.landing.reading import Field, Head, Piece, ahead
from dagster_project.landing.table_files import KnownFile, Scan, SeenFile
from dagster_project.landing.typed import read_batches
from dagster_project.sources import TableSource

__all__ = ["Database", "Watermark", "is_of", "open_database"]

Position = tuple[str, Watermark]
"""The cursor column of a table, and the greatest value in it that has landed."""
QUERY: Final = "query"
"""What stands for the table where the rows are those of a query."""


def open_database(source: TableSource) -> Database:
    """Return the database of `source`, connected. Raises `SourceUnavailable`, and `SourceInvalid` for its address."""
    address = address_of(source)
    try:
        kind = import_module(f"{__name__}.{address.kind}")
    except ModuleNotFoundError as error:
        raise SourceInvalid(
            f"Source {source.name} is at {address.shown}, and {error.name}, which reads it, is not installed. Install "
            "notelake[databases]."
        ) from error
    with _told(source, address, kind):
        return Database(source, address, kind, kind.connect(address))


@dataclass(slots=True)
class Database:
    """A database as it stood at one moment, until it is closed."""

    source: TableSource
    address: Address
    kind: ModuleType
    con: Any = field(repr=False)
    rows: dict[str, str] = field(default_factory=dict)
    """What is read of each table, as SQL that can stand after FROM."""
    whole: dict[str, str] = field(default_factory=dict)
    """The same with all rows: there the columns have the types they are declared with."""

    def close(self) -> None:
        """End the connection; harmless if it is gone."""
        with suppress(*self.kind.ERRORS):
            self.kind.close(self.con)

    def look(
        self,
        known: Mapping[str, KnownFile],
        positions: Mapping[str, Position],
        first_sequence: int,
        *,
        again: Collection[str] = (),
    ) -> tuple[Scan, dict[str, Position]]:
        """Return the tables to read as a scan of files, and the positions that hold once they have landed.

        Where a source is incremental, each landing is a file of its own, `<table>/<its first arrival>`, for it adds to
        those before. What is known and in no table that is wanted is gone. Of tables in `again` all rows are read,
        wherever their cursor is.
        """
        with self._told():
            self.whole = self._wanted()
            self.rows = dict(self.whole)
            kept = {path for path in known for table in self.rows if is_of(path, table, self.source)}
            after = dict(positions)
            if self.source.incremental == "cursor":
                after |= self._narrowed({table: at for table, at in positions.items() if table not in again})
        arrived = [self._seen(table, known, first_sequence) for table in self.rows]
        return Scan(tuple(arrived), (), tuple(sorted(known.keys() - kept)), (), {}), after

    def find(self, table: str) -> Head:
        """Return the columns of a table."""
        with self._told():
            head: Head = self.kind.find(self.con, self.whole[table])
        return head

    def read(self, con: duckdb.DuckDBPyConnection, table: str, head: Head, fields: Sequence[Field]) -> Iterator[Piece]:
        """Give the rows of a table. Raises `Broken` and `Unreadable` as the reader of a file does."""

        def batches() -> Iterator[pa.RecordBatch]:
            with self._told():
                yield from self.kind.batches(self.con, self.rows[table], head)

        renamed = pa.schema({f"c{i}": type_ for i, type_ in enumerate(head.how.schema.types)})
        named = (pa.RecordBatch.from_arrays(batch.columns, schema=renamed) for batch in ahead(batches()))
        yield from read_batches(con, named, renamed, fields)

    def _wanted(self) -> dict[str, str]:
        """Return the tables that are wanted, by whole name. Raises `SourceInvalid` for a name that is not there."""
        if self.source.query is not None:
            return {QUERY: f"(\n{self.source.query.strip().rstrip(';')}\n) AS rows_of_query"}
        found: list[tuple[tuple[str, ...], str]] = self.kind.tables(self.con)
        wanted: dict[str, str] = {}
        for pattern in self.source.inside("table"):
            fitting = [each for each in found if pattern in each[0]] or [
                each for each in found if any(fnmatchcase(name, pattern) for name in each[0])
            ]
            if not fitting and not any(mark in pattern for mark in "*?["):
                there = ", ".join(names[0] for names, _ in found) or "none"
                raise SourceInvalid(
                    f"Source {self.source.name} reads the table {pattern!r}, and {self.address.shown} has only {there}."
                    " Nothing of it was changed. Name one of these in `table`, or see what the user may read."
                )
            wanted |= {names[0]: rows for names, rows in fitting}
        return dict(sorted(wanted.items()))

    def _narrowed(self, positions: Mapping[str, Position]) -> dict[str, Position]:
        """Leave of each table the rows from its last position on, and return the positions it has come to."""
        after: dict[str, Position] = {}
        cursor = self.source.cursor or ""
        column = self.kind.quoted(cursor)
        for table, rows in self.rows.items():
            self._refuse_without(cursor, table)
            reached = self.kind.greatest(self.con, rows, cursor)
            if reached is not None:
                after[table] = (cursor, reached)
            column_before, before = positions.get(table, (None, None))
            if before is not None and column_before == cursor:
                low = as_sql(self._low(before))
                self.rows[table] = f"(SELECT * FROM {rows} WHERE {column} >= {low} OR {column} IS NULL) AS newer"
        return after

    def _low(self, position: Watermark) -> Watermark:
        """Return the value of the cursor from which to read."""
        try:
            return lowered(position, self.source.lag)
        except ValueError:
            raise SourceInvalid(
                f"The cursor {self.source.cursor!r} of source {self.source.name} is neither a time nor a number, so no "
                "`lag` can be taken from it. Leave out `lag`, or name another column."
            ) from None

    def _refuse_without(self, cursor: str, table: str) -> None:
        columns = self.kind.columns(self.con, self.rows[table])
        if cursor not in columns:
            raise SourceInvalid(
                f"The cursor of source {self.source.name} is {cursor!r}, and {table} has no such column, but "
                f"{', '.join(columns)}. Name one of these in `cursor`."
            )

    def _seen(self, table: str, known: Mapping[str, KnownFile], first_sequence: int) -> SeenFile:
        path = table if self.source.incremental == "none" else f"{table}/{first_sequence}"
        place = self.address.shown
        return SeenFile(path, place, self.address.kind, 0, 0.0, None, path not in known, inside=table)

    @contextmanager
    def _told(self) -> Iterator[None]:
        with _told(self.source, self.address, self.kind):
            yield


def is_of(path: str, table: str, source: TableSource) -> bool:
    """Whether a path that has landed holds rows of a table that still count."""
    return path == table or (source.incremental != "none" and path.startswith(f"{table}/"))


@contextmanager
def _told(source: TableSource, address: Address, kind: ModuleType) -> Iterator[None]:
    """Tell what a driver raises, without credentials: its own error, which may hold them, is not chained."""
    try:
        yield
    except kind.ERRORS as error:
        raise SourceUnavailable(
            f"Source {source.name} cannot be read at {address.shown}: {address.clean(error)}. Nothing of it was "
            "changed. Look whether the database answers, and who asks may read it; then run again."
        ) from None
