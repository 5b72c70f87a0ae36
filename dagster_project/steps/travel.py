"""Read the tables of the lake as they were, and with the file of each row: what the translator asks of a lake.

What belongs here: the SQL of such a read, over the snapshots that are served. What does not: the words that ask for it
(`dialects.held`), and finding a snapshot (`lake.then`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import duckdb

from dagster_project.dialects.held import AsOf, Scan
from dagster_project.errors import Unsupported
from dagster_project.lake import then
from dagster_project.lake.lake import Lake
from dagster_project.lake.read import scan
from dagster_project.sql_words import identifier, literal, sql_type

_FROM_FILES: Final = {
    "$path": "pinned.filename",
    "$file_size": "CAST(file.size AS BIGINT)",
    "$size": "CAST(file.size AS BIGINT)",
    "$file_modified_time": "date_trunc('milliseconds', file.last_modified)",
}
_TYPES: Final = {"$path": "VARCHAR", "$file_modified_time": "TIMESTAMPTZ"}


class Travel:
    """Holds the tables of the view file at `view_file`. The lake is opened when it is first asked."""

    def __init__(self, view_file: Path, open_lake: Callable[[], Lake]) -> None:
        self._view_file = view_file
        self._open_lake = open_lake

    def scan(self, table: str, as_of: AsOf | None, file_columns: tuple[str, ...]) -> Scan | None:
        """Return the SELECT of a table, its own columns first; None if the name is that of no table, or of a view."""
        with closing(duckdb.connect(str(self._view_file), read_only=True)) as con:
            con.execute("SET TimeZone = 'UTC'")
            location = _location(con, table)
            if location is None:
                return None
            instant = _milliseconds(con, as_of.instant) if as_of and as_of.instant else None
        lake = self._open_lake()
        if as_of is None:
            shown = then.now(lake, location)
        elif instant is not None:
            shown = then.at(lake, location, then.snapshot_at(lake, location, instant))
        elif as_of.ref is not None:
            shown = then.at(lake, location, then.snapshot_called(lake, location, as_of.ref))
        else:
            shown = then.at(lake, location, then.snapshot_numbered(lake, location, as_of.snapshot_id or 0))
        types = {column.name: sql_type(column.type) for column in shown.columns}
        return Scan(_select(shown, list(types), file_columns), types)


def _location(con: duckdb.DuckDBPyConnection, table: str) -> str | None:
    """Return the metadata file of a table that is served by its own name, with no view in its place."""
    schema, _, name = table.partition(".")
    asked = f"""
SELECT metadata_location FROM ops.pins WHERE lower(table_name) = {literal(table)}
AND (SELECT list(column_name ORDER BY position) FROM iceberg.columns WHERE lower(table_name) = {literal(table)})
  = (SELECT list(column_name ORDER BY column_index) FROM duckdb_columns()
     WHERE lower(schema_name) = {literal(schema)} AND lower(table_name) = {literal(name)})"""
    try:
        found = con.execute(asked).fetchone()
    except duckdb.CatalogException as error:
        raise Unsupported(
            "The view file was made by an older notelake. The next `notelake run` makes it anew."
        ) from error
    return None if found is None else str(found[0])


def _milliseconds(con: duckdb.DuckDBPyConnection, instant: str) -> int:
    row = con.execute(f"SELECT epoch_ms(CAST({instant} AS TIMESTAMPTZ))").fetchone()
    return int(row[0]) if row else 0


def _select(shown: then.Then, names: Sequence[str], file_columns: Sequence[str]) -> str:
    own = ", ".join(f"pinned.{identifier(name)}" for name in names)
    if not shown.files:
        empty = [f"CAST(NULL AS {_TYPES.get(name, 'BIGINT')}) AS {identifier(name)}" for name in file_columns]
        return f"SELECT {', '.join([own, *empty])} FROM {scan(shown.columns, ())} AS pinned"
    told = [f"{_FROM_FILES[name]} AS {identifier(name)}" for name in file_columns]
    rows = scan(shown.columns, shown.files, with_path=bool(file_columns))
    listed = ", ".join(map(literal, shown.files))
    files = f"(SELECT filename, size, last_modified FROM read_blob([{listed}]))"
    joined = f" JOIN {files} AS file ON file.filename = pinned.filename" if {*file_columns} - {"$path"} else ""
    return f"SELECT {', '.join([own, *told])} FROM {rows} AS pinned{joined}"
