"""Rows of raw kept in memory from their landing until their batch is made, so that it need not read them back.

What belongs here: holding the rows of the last landing, as many as fit. What does not: landing and shaping them. A
batch takes from here what it would read from raw, or reads raw: it comes out the same.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

MOST_BYTES: Final = 192 * 1024**2
"""Rows of a landing that are more than this are read back from raw."""
_BATCH_ROWS: Final = 16_384
"""Rows of an Arrow batch: DuckDB takes a batch per thread."""


class Arrived:
    """The rows of one landing."""

    def __init__(self) -> None:
        self._tables: list[pa.Table] = []
        self._bytes = 0

    def clear(self) -> None:
        """Let go of what is held; a landing that begins calls it."""
        self._tables, self._bytes = [], 0

    def add(self, rows: pa.Table, said: pa.Table) -> None:
        """Hold these rows too, which follow those that are held, and what their events say (`shaping.events.SAID`)."""
        for name in said.column_names:
            rows = rows.append_column(name, said[name])
        self._bytes += rows.nbytes
        self._tables = [*self._tables, rows] if self._bytes <= MOST_BYTES else []

    def rows(self, after: int, to: int) -> pa.Table | None:
        """Return the arrivals `after` < sequence <= `to` if these are what is held, and no others."""
        if not self._tables or self._bytes > MOST_BYTES:
            return None
        first, last = self._tables[0]["sequence"][0].as_py(), self._tables[-1]["sequence"][-1].as_py()
        if (first, last) != (after + 1, to):
            return None
        batches = [batch for rows in self._tables for batch in rows.to_batches(max_chunksize=_BATCH_ROWS)]
        return pa.Table.from_batches(batches)
