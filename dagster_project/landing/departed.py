"""Rows that a source had and has no more: keys of files that were rewritten or vanished, and stand in no other.

What belongs here: the comparison of keys before and after a landing. What does not: what a deletion does to the notes
(`shaping.rows`), and what is shown as current (`views`).

Keys are compared in tables of DuckDB's, which spill: memory does not grow with the source.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import duckdb
import pyarrow as pa

from dagster_project.contracts import Column, variant_doc
from dagster_project.errors import SourceInvalid
from dagster_project.landing.reading import cursor_of
from dagster_project.landing.standing import COUNTS, key_part
from dagster_project.landing.table_files import Scan
from dagster_project.sources import TableSource
from dagster_project.sql_words import identifier, pointer

_ROWS: Final = 65_536


@dataclass(frozen=True, slots=True)
class Key:
    """The columns that tell rows apart, and how they are written as SQL."""

    columns: tuple[str, ...]
    headers: tuple[str, ...]
    """What they are called at the source."""
    variants: tuple[str | None, ...]
    """For each of them the column of the values that do not fit it."""
    types: tuple[pa.DataType, ...]

    @property
    def all_columns(self) -> tuple[str, ...]:
        """The columns that hold parts of a key."""
        return (*self.columns, *(name for name in self.variants if name))

    @property
    def hash(self) -> str:
        """SQL of the hash of a row's key; null if it has none."""
        return _hash(self._parts())

    @property
    def text(self) -> str:
        """SQL of what a row's key says, as a text that no other key has; null if it has none."""
        return _text(self._parts())

    def _parts(self) -> list[str]:
        return [
            key_part(identifier(name), type_, identifier(variant) if variant else None)
            for name, type_, variant in zip(self.columns, self.types, self.variants, strict=True)
        ]

    def told_in(self, payload: str) -> str:
        """Return SQL of the hash of the key of a refused row, whose `payload` is its values as a JSON object."""
        return _hash(f"nullif(json_extract_string({payload}, {pointer(header)}), '')" for header in self.headers)


def _hash(parts: Iterable[str]) -> str:
    parts = list(parts)
    if not parts:
        return "NULL::UHUGEINT"
    return f"CASE WHEN coalesce({', '.join(parts)}) IS NOT NULL THEN md5_number({_joined(parts)}) END"


def _text(parts: Sequence[str]) -> str:
    if len(parts) < 2:
        return parts[0] if parts else "NULL::VARCHAR"
    return f"CASE WHEN coalesce({', '.join(parts)}) IS NOT NULL THEN {_joined(parts)} END"


def _joined(parts: Sequence[str]) -> str:
    """Return SQL of the parts in one text, each with its length, so that none runs into the next."""
    told = [f"coalesce(length({part}) || ':' || {part}, '-')" for part in parts]
    return f"concat({', '.join(told)})"


@dataclass(slots=True)
class Departed:
    """Gathers the keys that arrive, and then tells which of those that stood before are gone."""

    con: duckdb.DuckDBPyConnection
    raw: str
    key: Key
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
        cursor.execute("CREATE OR REPLACE TEMP TABLE arrived_keys (file VARCHAR, key VARCHAR)")
        return cls(cursor, raw, key_of(source, columns), left)

    def see(self, rows: pa.RecordBatch) -> None:
        """Take the keys of arrivals."""
        self.con.register("arriving", pa.Table.from_batches([rows.select(["_file", "_op", *self.key.all_columns])]))
        self.con.execute(f"INSERT INTO arrived_keys SELECT _file, {self.key.text} FROM arriving WHERE _op = 'put'")
        self.con.unregister("arriving")

    def forget(self, path: str) -> None:
        """Leave a file as it stood: it could not be read."""
        self.failed.append(path)

    def rows(self) -> Iterator[pa.RecordBatch]:
        """Give the rows that are gone: `_file`, `_row`, `_row_hash` and the columns of the key."""
        if not self._find():
            return
        named = ("_file", "_row", "_row_hash", *map(identifier, self.key.all_columns))
        shown = ", ".join(f"r.{name}" for name in named)
        asked = f"SELECT {shown} FROM {self.raw} AS r JOIN departed AS d ON r.sequence = d.sequence ORDER BY r.sequence"
        yield from self.con.execute(asked).to_arrow_reader(_ROWS)

    def _find(self) -> int:
        """Make `departed`, the sequences of the rows that are gone, and return how many they are."""
        left = [path for path in self.left if path not in self.failed]
        if self.failed:
            self.con.execute("DELETE FROM arrived_keys WHERE list_contains(?, file)", [self.failed])
        asked = f"""
CREATE OR REPLACE TEMP TABLE departed AS
WITH marker AS (
  SELECT _file, max_by(sequence - _row, sequence) AS _first, max(sequence) AS _mark, max_by(_op, sequence) AS _is,
    list_contains($left, _file) AS _left
  FROM {self.raw} AS m
  WHERE {COUNTS} GROUP BY _file
), standing AS MATERIALIZED (
  SELECT m._left, r.sequence, {self.key.text} AS key FROM {self.raw} AS r JOIN marker AS m
  ON r._file = m._file AND m._is = 'file' AND r.sequence >= m._first AND r.sequence < m._mark WHERE r._op = 'put'
), was AS (
  SELECT key, max(sequence) AS sequence FROM standing WHERE _left AND key IS NOT NULL GROUP BY key
)
SELECT was.sequence FROM was ANTI JOIN arrived_keys AS a ON was.key = a.key
ANTI JOIN (SELECT key FROM standing WHERE NOT _left) AS s ON was.key = s.key"""
        self.con.execute(asked, {"left": left})
        found = self.con.execute("SELECT count(*) FROM departed").fetchone()
        return found[0] if found else 0


def key_of(source: TableSource, columns: Sequence[Column]) -> Key:
    """Return the key of `source` in these columns; one of no columns if it names none. Raises `SourceInvalid`."""
    names = key_columns(source, columns)
    headers = {column.name: column.doc for column in columns}
    by_doc = {column.doc: column.name for column in columns}
    types = {column.name: column.type for column in columns}
    variants = tuple(by_doc.get(variant_doc(name)) for name in names)
    return Key(names, tuple(headers[name] for name in names), variants, tuple(types[name] for name in names))


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
