"""Rows that a source had and has no more: keys of files that were rewritten or vanished, and stand in no other.

What belongs here: the comparison of keys before and after a landing. What does not: what a deletion does to the notes
(`shaping.rows`), and what is shown as current (`views`).

Keys are compared as 128-bit hashes in a table of DuckDB's, which spills: memory does not grow with the source.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import duckdb
import pyarrow as pa

from dagster_project.contracts import Column, variant_doc
from dagster_project.errors import SourceInvalid
from dagster_project.landing.reading import cursor_of
from dagster_project.landing.table_files import Scan
from dagster_project.sources import TableSource
from dagster_project.sql_words import identifier

_ROWS: Final = 65_536


@dataclass(slots=True)
class Departed:
    """Gathers the keys that arrive, and then tells which of those that stood before are gone."""

    con: duckdb.DuckDBPyConnection
    raw: str
    key: tuple[str, ...]
    variants: tuple[str | None, ...]
    """For each column of the key the one of the values that do not fit it."""
    left: tuple[str, ...]
    """Files whose rows stand no more as they did: rewritten, copies by now, or gone."""
    failed: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        con: duckdb.DuckDBPyConnection,
        raw: str,
        columns: Sequence[Column],
        source: TableSource,
        scan: Scan,
    ) -> Departed | None:
        """Return what watches a landing; None if none of its files was there before."""
        left = (*(file.path for file in scan.arrived if not file.is_new and not file.error), *scan.gone)
        if not left:
            return None
        cursor = cursor_of(con)
        cursor.execute("CREATE OR REPLACE TEMP TABLE arrived_keys (file VARCHAR, key UHUGEINT)")
        key = key_columns(source, columns)
        by_doc = {column.doc: column.name for column in columns}
        return cls(cursor, raw, key, tuple(by_doc.get(variant_doc(name)) for name in key), left)

    def see(self, rows: pa.RecordBatch) -> None:
        """Take the keys of arrivals."""
        self.con.register("arriving", pa.Table.from_batches([rows.select(["_file", "_op", *self._columns])]))
        self.con.execute(f"INSERT INTO arrived_keys SELECT _file, {self._hash} FROM arriving WHERE _op = 'put'")
        self.con.unregister("arriving")

    def forget(self, path: str) -> None:
        """Leave a file as it stood: it could not be read."""
        self.failed.append(path)

    def rows(self) -> Iterator[pa.RecordBatch]:
        """Give the rows that are gone: `_file`, `_row`, `_row_hash` and the columns of the key."""
        left = [path for path in self.left if path not in self.failed]
        self.con.execute("DELETE FROM arrived_keys WHERE list_contains(?, file)", [self.failed])
        shown = ", ".join(f"r.{name}" for name in ("_file", "_row", "_row_hash", *map(identifier, self._columns)))
        asked = f"""
WITH marker AS (
  SELECT _file, max_by(sequence - _row, sequence) AS first, max(sequence) AS mark, max_by(_op, sequence) AS op
  FROM {self.raw} AS m
  WHERE (_op = 'file' AND _error IS NULL) OR _op = 'same' OR (_op = 'gone' AND _row_hash IS NULL) GROUP BY _file
), standing AS (
  SELECT r._file AS file, r.sequence, {self._hash} AS key FROM {self.raw} AS r JOIN marker AS m
  ON r._file = m._file AND m.op = 'file' AND r.sequence >= m.first AND r.sequence < m.mark WHERE r._op = 'put'
), stays AS (
  SELECT key FROM arrived_keys UNION ALL SELECT key FROM standing WHERE NOT list_contains($left, file)
), was AS (
  SELECT key, max(sequence) AS sequence FROM standing WHERE list_contains($left, file) AND key IS NOT NULL GROUP BY key
)
SELECT {shown} FROM {self.raw} AS r JOIN (SELECT * FROM was ANTI JOIN stays USING (key)) AS w
ON r.sequence = w.sequence ORDER BY r.sequence"""
        yield from self.con.execute(asked, {"left": left}).to_arrow_reader(_ROWS)

    @property
    def _columns(self) -> tuple[str, ...]:
        return (*self.key, *(name for name in self.variants if name))

    @property
    def _hash(self) -> str:
        """SQL of the hash of a row's key; null if it has none."""
        parts = [
            f"nullif(coalesce(CAST({identifier(name)} AS VARCHAR), {identifier(variant) if variant else 'NULL'}), '')"
            for name, variant in zip(self.key, self.variants, strict=True)
        ]
        told = [f"coalesce(length({part}) || ':' || {part}, '-')" for part in parts]
        return f"CASE WHEN coalesce({', '.join(parts)}) IS NOT NULL THEN md5_number(concat({', '.join(told)})) END"


def key_columns(source: TableSource, columns: Sequence[Column]) -> tuple[str, ...]:
    """Return the names of the columns that are the key of `source`. Raises `SourceInvalid` if one is not there."""
    names = {column.doc: column.name for column in reversed(columns)} | {column.name: column.name for column in columns}
    wanted = source.note.key if source.note else ()
    if missing := [name for name in wanted if name not in names]:
        raise SourceInvalid(
            f"The key of source {source.name} names a column {missing[0]!r}; its files have "
            f"{', '.join(column.name for column in columns) or 'none'}. Name one of these in `note: {{key: …}}`."
        )
    return tuple(names[name] for name in wanted)
