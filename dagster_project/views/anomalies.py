"""What is unusual about a source, in words: for the status, the doctor and Dagster, which all tell the same.

What belongs here: reading `quality.anomalies` and `quality.broken_watches`. What does not: what is one, which is theirs
to say. Where a lake was published before there were such views, nothing is unusual.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import duckdb

_UNITS: Final = {"count": "rows", "standing": "rows", "nulls": "%", "age": "hours", "silence": "hours"}
_TOLD: Final = {
    "count": "it brought {value} to {suite}, usual are {usual}",
    "standing": "it has {value} in {suite}, usual are {usual}",
    "nulls": "{value} of {suite}.{column} are missing, usual are {usual}",
    "age": "the newest {suite}.{column} was {value} old, usual are {usual}",
    "silence": "it has brought nothing for {value}, usual are {usual}",
}


@dataclass(frozen=True, slots=True)
class Anomaly:
    """A figure that is far from its own history; never a value out of a note."""

    source: str
    suite: str
    figure: str
    column: str | None
    value: float
    usual: float
    batches: int

    @property
    def words(self) -> str:
        """What is so, as a person says it.

        >>> Anomaly("crm", "raw.crm", "nulls", "owner", 40.0, 5.25, 12).words
        '40 % of raw.crm.owner are missing, usual are 5.25 % (12 batches)'
        """
        unit = _UNITS[self.figure]
        value, usual = (f"{float(f'{number:.3g}'):,.10g} {unit}" for number in (self.value, self.usual))
        told = _TOLD[self.figure].format(suite=self.suite, column=self.column, value=value, usual=usual)
        return f"{told} ({self.batches} batches)"


def anomalies(con: duckdb.DuckDBPyConnection, source: str | None = None) -> tuple[Anomaly, ...]:
    """Return the anomalies of `source`, or of all, by name; `con` has what is served at hand."""
    columns = "source, suite, figure, column_name, value, usual, batches"
    return tuple(Anomaly(*row) for row in _rows(con, "quality.anomalies", columns, source))


def unusual(con: duckdb.DuckDBPyConnection, source: str | None = None) -> tuple[tuple[str, str], ...]:
    """Return source and words of each anomaly and of each watched rule that did not hold when it was judged last."""
    columns = "source, suite, expectation, bad, rows"
    broken = (
        (name, f"{suite}/{rule}, which is watched, did not hold ({bad:,} of {rows:,} rows)")
        for name, suite, rule, bad, rows in _rows(con, "quality.broken_watches", columns, source)
    )
    return (*((each.source, each.words) for each in anomalies(con, source)), *broken)


def _rows(con: duckdb.DuckDBPyConnection, view: str, columns: str, source: str | None) -> list[tuple[Any, ...]]:
    there = "SELECT 1 FROM duckdb_views() WHERE schema_name || '.' || view_name = ?"
    if con.execute(f"{there} AND database_name = current_database()", [view]).fetchone() is None:
        return []
    query = f"SELECT {columns} FROM {view} WHERE ? IS NULL OR source = ? ORDER BY ALL"
    return con.execute(query, [source, source]).fetchall()
