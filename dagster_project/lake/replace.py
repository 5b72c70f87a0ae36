"""Which files a set of keys touches, and those files written anew without them.

The cost follows the touched files: only files that hold a key are rewritten, and of the others only the key column
is read. Files that have become many and small are rewritten on the way, so that a view's list of files stays short.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import duckdb
from pyiceberg.manifest import DataFile

from dagster_project.lake.lake import Lake
from dagster_project.lake.pins import Pin
from dagster_project.lake.read import relation
from dagster_project.lake.staging import StagedFile, stage_query
from dagster_project.sql_words import identifier, literal

SMALL_BYTES: Final = 16 * 1024 * 1024
MANY: Final = 10
"""So many small files of one partition are made into one."""


@dataclass(frozen=True, slots=True)
class Rewritten:
    """Files that leave a table, and those that stand in for them."""

    removed: frozenset[str] = frozenset()
    added: tuple[StagedFile, ...] = ()


def without_keys(
    lake: Lake, con: duckdb.DuckDBPyConnection, pin: Pin, *, source: str, key: str, keys: str | None
) -> Rewritten:
    """Write the files of `source` that hold one of `keys` anew without those rows.

    `keys` is SQL that can stand after FROM and has a column called `key`; None touches nothing but small files.
    """
    files = lake.source_files(pin, source)
    paths = [file.file_path for file in files]
    touched = _holding(con, paths, key, keys) if keys and paths else set()
    removed = touched | _too_many_small(files)
    if not removed:
        return Rewritten()
    kept = [path for path in paths if path in removed]
    rows = f"SELECT * FROM {relation(pin, kept)} AS kept"
    if keys:
        rows += f" WHERE {key} IS NULL OR {key} NOT IN (SELECT {key} FROM {keys} WHERE {key} IS NOT NULL)"
    return Rewritten(frozenset(removed), stage_query(lake, con, rows, table=pin.table, source=source))


def has_many_small(lake: Lake, pin: Pin, *, source: str) -> bool:
    """Tell whether `without_keys` would make small files of `source` into larger ones."""
    return bool(_too_many_small(lake.source_files(pin, source)))


def amended(lake: Lake, con: duckdb.DuckDBPyConnection, pin: Pin, *, source: str, changes: str) -> Rewritten:
    """Write the files of `source` that hold a row named in `changes` anew, with the values that are given there.

    `changes` is a table of `con`: the key of the table names a row, once, and the other columns are its new values.
    """
    key = pin.table.key
    given = {name for name, *_ in con.execute(f"DESCRIBE {changes}").fetchall()} - {*key}
    same = " AND ".join(f"t.{identifier(name)} IS NOT DISTINCT FROM c.{identifier(name)}" for name in key)
    paths = [file.file_path for file in lake.source_files(pin, source)]
    touched = f"AS t SEMI JOIN {changes} AS c ON {same} LIMIT 1"
    held = [path for path in paths if con.execute(f"SELECT 1 FROM {relation(pin, [path])} {touched}").fetchone()]
    if not held:
        return Rewritten()
    names = [identifier(column.name) for column in pin.table.columns]
    values = [f"CASE WHEN c.is_changed THEN c.{name} ELSE t.{name} END" for name in map(identifier, given)]
    new = dict(zip(map(identifier, given), values, strict=True))
    listed = ", ".join(f"{new.get(name, f't.{name}')} AS {name}" for name in names)
    rows = (
        f"SELECT {listed} FROM {relation(pin, held)} AS t "
        f"LEFT JOIN (SELECT *, true AS is_changed FROM {changes}) AS c ON {same} ORDER BY {', '.join(pin.table.sort)}"
    )
    return Rewritten(frozenset(held), stage_query(lake, con, rows, table=pin.table, source=source))


def _holding(con: duckdb.DuckDBPyConnection, paths: Sequence[str], key: str, keys: str) -> set[str]:
    listed = ", ".join(map(literal, paths))
    query = (
        f"SELECT DISTINCT filename FROM read_parquet([{listed}], filename = true, union_by_name = true) "
        f"WHERE {key} IN (SELECT {key} FROM {keys})"
    )
    return {row[0] for row in con.execute(query).fetchall()}


def _too_many_small(files: Sequence[DataFile]) -> set[str]:
    by_partition: dict[str, list[str]] = defaultdict(list)
    for file in files:
        if file.file_size_in_bytes < SMALL_BYTES:
            by_partition[str(file.partition)].append(file.file_path)
    return {path for paths in by_partition.values() if len(paths) >= MANY for path in paths}
