"""What `quality.anomalies` says, in words: for the status, the doctor and Dagster, which all tell the same.

What belongs here: reading that view. What does not: what is an anomaly, which is the view's to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import duckdb

VIEW: Final = "quality.anomalies"
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
    """Return the anomalies of `source`, or of all, by name; `con` has what is served at hand.

    None if it was published before there was such a view.
    """
    if not con.execute(
        "SELECT 1 FROM duckdb_views() WHERE schema_name || '.' || view_name = ? AND database_name = current_database()",
        [VIEW],
    ).fetchone():
        return ()
    rows = con.execute(
        "SELECT source, suite, figure, column_name, value, usual, batches "
        f"FROM {VIEW} WHERE ? IS NULL OR source = ? ORDER BY ALL",
        [source, source],
    ).fetchall()
    return tuple(Anomaly(*row) for row in rows)
