"""Events as they arrived to rows of `raw.<source>`: DuckDB says what is in them, their text goes on as it is.

What belongs here: telling what of an event `raw` has columns for, and which line is no event. What does not: where
events come from (`stream` and its readers) and what they mean (`shaping.events`).

Times of events (`occurred_at`): ISO 8601 with any offset, in UTC where it gives none; or the number of seconds
(1e8 to 1e11, fractions allowed) or of milliseconds (1e11 to 1e14) since 1970, as a number or as text. All else, a
bare `2020` or `20200831` too, is no time, and `occurred_at` is null.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa

from dagster_project.contracts import INSTANT, raw_table
from dagster_project.landing.streams.stream import Piece
from dagster_project.sources import StreamSource
from dagster_project.sql_words import first_given, pointer

BATCH_ROWS: Final = 16_384
"""Rows of an Arrow batch: DuckDB takes a batch per thread, so a chunk must have several."""
_FIRST_INSTANT: Final = "TIMESTAMPTZ '0001-01-01 00:00:00+00'"
_LAST_INSTANT: Final = "TIMESTAMPTZ '9999-12-31 00:00:00+00'"
"""Beyond these, Python has no word for an instant."""


class Decoder:
    """Turns what arrived into rows of `raw.<source>`, all landed at one instant."""

    def __init__(
        self, source: StreamSource, con: duckdb.DuckDBPyConnection, landed_at: datetime, said: Sequence[str] = ()
    ) -> None:
        self._schema = raw_table(source.name, "stream").schema
        self._con = con.cursor()  # its view and its time zone are its own
        self._con.execute("SET TimeZone = 'UTC'")
        self._query = _query(source, said)
        self._said = tuple(said)
        self._stream = source.name
        self._landed_at = landed_at

    def __call__(self, piece: Piece, first_sequence: int) -> tuple[pa.Table, pa.Table]:
        """Return the rows of these events, numbered from `first_sequence`, and beside them what else they say."""
        numbers = np.arange(first_sequence, first_sequence + len(piece.arrived), dtype=np.int64)
        arrived = piece.arrived.add_column(0, "sequence", pa.array(numbers))
        found = self._read(arrived)
        same = {
            "payload": arrived["payload"],
            "undecoded": arrived["undecoded"],
            "stream": pa.repeat(self._stream, len(arrived)),
            "shard": pa.repeat(piece.shard, len(arrived)),
            "shard_sequence": arrived["shard_sequence"],
            "line": arrived["line"],
            "landed_at": pa.repeat(pa.scalar(self._landed_at, INSTANT), len(arrived)),
        }
        columns = [found[name] if name in found.column_names else same[name] for name in self._schema.names]
        rows = pa.Table.from_arrays(columns, self._schema.names).cast(self._schema)
        return rows, found.select(self._said)

    def _read(self, arrived: pa.Table) -> pa.Table:
        """Return `sequence, event_id, type, occurred_at, error` and what else is said of each event, in their order."""
        self._con.register(
            "arrived", pa.Table.from_batches(arrived.to_batches(max_chunksize=BATCH_ROWS), arrived.schema)
        )
        try:
            found = self._con.execute(self._query).to_arrow_table()
        finally:
            self._con.unregister("arrived")
        # It is in order already, unless the lender of the connection set `preserve_insertion_order` off.
        is_ordered = found["sequence"].combine_chunks().equals(arrived["sequence"].combine_chunks())
        return found if is_ordered else found.sort_by("sequence")


def reread(source: StreamSource, raw: str, arrivals: str) -> str:
    """Return SQL that can stand after FROM: some rows of `raw`, with what the declaration of today finds in them.

    `arrivals` is SQL that is true for their `sequence`. What was refused for want of a time may have one now.
    """
    found = ", ".join(f"f.{name} AS {name}" for name in ("event_id", "type", "occurred_at", "error"))
    return (
        f"(WITH arrived AS (SELECT * FROM {raw} AS r WHERE {arrivals}), found AS ({_query(source)}) "
        f"SELECT a.* REPLACE ({found}) FROM arrived AS a JOIN found AS f USING (sequence))"
    )


def _query(source: StreamSource, said: Sequence[str] = ()) -> str:
    """Return the query of `sequence, event_id, type, occurred_at, error` over the view `arrived`: lines parsed once.

    Columns follow that are called as `said` names them, each what stands in an event where the field of the mapping of
    that name says it does: as text, objects as JSON.

    `TRY` gives null for a line that is no JSON. JSON is what DuckDB takes for it, which is a little more than the
    standard allows: `NaN`, a comma before a closing bracket.
    """
    mapping = source.event
    places = {"event_id": mapping.event_id, "type": mapping.type, "said": mapping.occurred_at}
    places |= {name: getattr(mapping, name) for name in said}
    pointers = [pointer(*path.split(".")) for paths in places.values() for path in paths]
    return f"""
        WITH parsed AS (
            SELECT sequence, undecoded IS NOT NULL AS is_undecoded,
                   TRY(json_extract_string(payload, [{", ".join(pointers)}])) AS found,
                   CASE WHEN starts_with(payload, '{{') THEN true
                        ELSE starts_with(ltrim(payload, E' \\t\\r'), '{{') END AS is_object
            FROM arrived),
        read AS (
            SELECT *, CASE WHEN is_object THEN found END AS f FROM parsed),
        named AS (
            SELECT *, {first_given(places)}
            FROM read),
        timed AS (SELECT *, {_instant("said")} AS instant FROM named)
        SELECT sequence, event_id, type,
               CASE WHEN instant BETWEEN {_FIRST_INSTANT} AND {_LAST_INSTANT} THEN instant END AS occurred_at,
               CASE WHEN is_undecoded THEN 'it is no UTF-8 text'
                    WHEN found IS NULL THEN 'it is no JSON'
                    WHEN NOT is_object THEN 'it is JSON, but no object' END AS error{"".join(f", {n}" for n in said)}
        FROM timed
    """


def _instant(said: str) -> str:
    """An event's time as the module's docstring says; the usual forms are tried first, and then no other."""
    number = f"try_cast({said} AS DOUBLE)"
    micros = (
        f"CASE WHEN {number} >= 1e8 AND {number} < 1e11 THEN {number} * 1e6 "
        f"WHEN {number} >= 1e11 AND {number} < 1e14 THEN {number} * 1e3 END"
    )
    minutes = r"'^(\d+-\d+-\d+[T ]\d+:\d+)(Z|[+-].*)?$', '\1:00\2'"
    mended = f"regexp_replace(upper(trim({said})), {minutes})"
    return (
        f"coalesce(try_cast({said} AS TIMESTAMPTZ), try_cast({mended} AS TIMESTAMPTZ), "
        f"make_timestamp(round({micros})::BIGINT) AT TIME ZONE 'UTC')"
    )
