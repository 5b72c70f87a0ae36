"""Rows of a database against those that stand: which are new or changed, which are gone, or whether all is as it was.

What belongs here: the comparison, and the digest of a whole table. What does not: reading (`databases`), and the
arrivals themselves (`tables`).

A row is known by its key, or where the source names none by its values, the second of two equal ones as such. Keys are
compared as 128-bit hashes in tables of DuckDB's, which spill: memory does not grow with the source.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa
import xxhash

from dagster_project.contracts import Column
from dagster_project.errors import SourceInvalid
from dagster_project.landing.departed import Key, key_of
from dagster_project.landing.reading import cursor_of
from dagster_project.landing.row_hash import mix
from dagster_project.landing.standing import GONE, READ
from dagster_project.sources import TableSource
from dagster_project.sql_words import identifier, literal

_ROWS: Final = 8_192
_AT_ONCE: Final = 131_072
_BYTES_AT_ONCE: Final = 64 << 20
_WORDS: Final = 1 << 64
_OTHER: Final = np.uint64(0x9E3779B97F4A7C15)


class Digest:
    """What all rows of a table hash to, in whatever order they come."""

    def __init__(self) -> None:
        self.rows = 0
        self._sums = (0, 0)

    def add(self, rows: pa.RecordBatch) -> None:
        """Take arrivals."""
        hashes = np.array(rows.column("_row_hash").fill_null(0).to_numpy(zero_copy_only=False)).view(np.uint64)
        for row in np.flatnonzero(rows.column("_row_hash").is_null().to_numpy(zero_copy_only=False)):
            hashes[row] = xxhash.xxh3_64_intdigest((rows.column("_payload")[int(row)].as_py() or "").encode())
        self.rows += rows.num_rows
        one, other = self._sums
        self._sums = (one + int(mix(hashes).sum())) % _WORDS, (other + int(mix(hashes ^ _OTHER).sum())) % _WORDS

    def __str__(self) -> str:
        return hashlib.sha256(":".join(map(str, (self.rows, *self._sums))).encode()).hexdigest()


@dataclass(slots=True)
class Compared:
    """Tells the arrivals of one table that are new or changed, and then the rows that are gone."""

    con: duckdb.DuckDBPyConnection
    source: TableSource
    raw: str
    key: Key
    was: Key | None
    """The key in the columns of `raw`; None if there is nothing to compare with."""
    table: str
    again: bool = False
    """Whether refused rows do not stand, so that they come again, refused once more or as they can be read now."""
    seen: int = 0
    """Rows that were looked at."""

    @classmethod
    def of(
        cls,
        con: duckdb.DuckDBPyConnection,
        source: TableSource,
        columns: Sequence[Column],
        *,
        raw: str,
        stood: Sequence[Column] | None,
        table: str,
        again: bool = False,
    ) -> Compared:
        """Return what compares the rows of `table`; `stood` are the columns of `raw`, None if none of it has landed."""
        was = None if stood is None else key_of(source, stood)
        made = cls(cursor_of(con), source, raw, key_of(source, columns), was, table, again)
        made.con.execute("CREATE OR REPLACE TEMP TABLE seen_keys (key UHUGEINT)")
        if was is not None:
            made.con.execute(f"CREATE OR REPLACE TEMP TABLE standing_rows AS {made._standing(was)}")
        return made

    def changed(self, arriving: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Give the arrivals that do not stand as they are. Raises `SourceInvalid` if the key is not one."""
        for rows in arriving if self.was is None else _gathered(arriving):
            self.seen += rows.num_rows
            self.con.register("arriving", rows if isinstance(rows, pa.Table) else pa.Table.from_batches([rows]))
            if self.key.columns:
                self.con.execute(f"INSERT INTO seen_keys SELECT {self._key_or_told()} FROM arriving")
            if self.was is None:
                yield rows
            else:
                yield from self.con.execute(self._changed()).to_arrow_table().to_batches()
            self.con.unregister("arriving")
        self._refuse_doubles()

    def gone(self) -> Iterator[pa.RecordBatch]:
        """Give the rows whose keys did not arrive: `_row_hash` and the columns of the key."""
        if self.was is not None:
            shown = ", ".join(f"r.{name}" for name in ("_row_hash", *map(identifier, self.was.all_columns)))
            keys = "(SELECT * FROM standing_rows WHERE key IS NOT NULL) AS s ANTI JOIN seen_keys USING (key)"
            asked = f"SELECT {shown} FROM {self.raw} AS r JOIN (SELECT sequence FROM {keys}) AS w USING (sequence)"
            yield from self.con.execute(f"{asked} ORDER BY sequence").to_arrow_reader(_ROWS)

    @property
    def stood(self) -> int:
        """How many rows stood before."""
        counted = "SELECT count(*) FROM standing_rows WHERE key IS NOT NULL"
        found = self.con.execute(counted).fetchone() if self.was is not None else None
        return found[0] if found else 0

    def close(self) -> None:
        """Let go of what was kept for the comparison."""
        self.con.close()

    def _standing(self, was: Key) -> str:
        """Return SQL of the rows that stand: `identity`, `key` (null for a refused row and one without), `row_hash`."""
        ops = "('put', 'gone')" if self.again else "('put', 'gone', 'refused')"
        own = f"(m._file = {literal(self.table)} OR starts_with(m._file, {literal(self.table + '/')}))"
        return f"""
WITH marker AS (
  SELECT _file, max_by(sequence - _row, sequence) AS _first, max(sequence) AS _mark, max_by(_op, sequence) AS _is
  FROM {self.raw} AS m WHERE {own} AND ({READ} OR {GONE})
  GROUP BY _file
), stood AS (
  SELECT r.sequence, r._op AS op, r._row_hash AS row_hash, CASE WHEN r._op <> 'refused' THEN {was.hash} END AS key,
    {_identity(was)} AS identity
  FROM {self.raw} AS r JOIN marker AS m ON r._file = m._file AND m._is = 'file'
    AND r.sequence >= m._first AND r.sequence < m._mark WHERE r._op IN {ops}
)
SELECT identity, any_value(key) AS key, max_by(row_hash, sequence) AS row_hash, max(sequence) AS sequence
FROM stood GROUP BY identity HAVING max_by(op, sequence) <> 'gone'"""

    def _changed(self) -> str:
        """Return SQL of the rows of `arriving` that do not stand."""
        return f"""
SELECT a.* EXCLUDE (identity) FROM (SELECT *, {_identity(self.key)} AS identity FROM arriving) AS a
LEFT JOIN standing_rows AS s ON s.identity = a.identity
WHERE s.identity IS NULL OR s.row_hash IS DISTINCT FROM a._row_hash ORDER BY a.sequence"""

    def _key_or_told(self) -> str:
        """Return SQL of the key of an arrival; of a refused one as its text tells it, for it is there all the same."""
        return f"CASE WHEN _op = 'refused' THEN {self.key.told_in('_payload')} ELSE {self.key.hash} END"

    def _refuse_doubles(self) -> None:
        found = self.con.execute("SELECT count(key) - count(DISTINCT key) FROM seen_keys").fetchone()
        if found and found[0]:
            raise SourceInvalid(
                f"The key of source {self.source.name} ({', '.join(self.key.headers)}) is not one: {found[0]} rows of "
                f"{self.table} have that of another, so what changed cannot be told. Nothing of it was changed. Name "
                "all columns that tell its rows apart in `note: {key: …}`, or leave out `incremental`."
            )


def _identity(key: Key) -> str:
    """Return SQL of what a row is known by: its key, its values, or for a refused row its text."""
    values = "'=' || _row_hash"
    if not key.columns:
        number = "row_number() OVER (PARTITION BY _op, _row_hash, _payload ORDER BY sequence)"
        values = f"{values} || ':' || {number}"
    text = f"CASE WHEN _op = 'refused' THEN '!' || coalesce(_payload, '') ELSE {values} END"
    return f"coalesce(CASE WHEN _op <> 'refused' THEN {key.hash} END, md5_number({text}))"


def _gathered(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Put batches together: each comparison goes through all that stands."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(b.num_rows for b in held) >= _AT_ONCE or sum(b.nbytes for b in held) >= _BYTES_AT_ONCE:
            yield pa.Table.from_batches(held)
            held = []
    if held:
        yield pa.Table.from_batches(held)
