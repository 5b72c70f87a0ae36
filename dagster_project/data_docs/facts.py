"""What the pages tell, read from what is served: batches, verdicts, figures, refused keys, and what is unusual.

What belongs here: queries over `ops`, and their rows as frozen values. What does not: markup. No payload, reason or
text is read: a reason may quote what was refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, Final

import duckdb

from dagster_project.audit.verdict import Result
from dagster_project.data_docs.charts import Chart, chart
from dagster_project.views.anomalies import unusual

BATCHES: Final = 100
"""Batches of a source that have a page, the newest."""
KEYS: Final = 20
"""Refused keys that a rule shows."""
CHARTS: Final = 24
"""Figures of a source that are drawn."""
OUTCOMES: Final = ("seen", "committed", "removed", "duplicate", "quarantined", "discarded", "failed")
_DRAWN: Final = ("count", "standing", "nulls", "age")
_TITLES: Final = {
    "count": "rows",
    "standing": "rows standing",
    "nulls": "missing, %",
    "age": "age of the newest, hours",
}


@dataclass(frozen=True, slots=True)
class Refused:
    """What a rule refused of a batch: how many units, and the least of their keys."""

    rule: str
    units: int
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of a batch."""

    suite: str
    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch: what became of its units, its rules, broken ones first, and its figures."""

    batch_id: str
    audited_at: datetime
    outcomes: Mapping[str, int]
    rules: tuple[Result, ...]
    figures: tuple[Figure, ...]
    refused: Mapping[str, Refused]
    """By the name of the rule."""

    @property
    def broken(self) -> tuple[Result, ...]:
        """The rules that did not hold."""
        return tuple(rule for rule in self.rules if not rule.success)

    @property
    def refused_in_shaping(self) -> tuple[Refused, ...]:
        """What was refused by no rule of a suite: what could not be decoded, or has no key."""
        judged = {rule.name for rule in self.rules}
        return tuple(refused for name, refused in sorted(self.refused.items()) if name not in judged)

    @property
    def is_refused(self) -> bool:
        """Whether a table rule did not hold: then nothing of it was committed."""
        return any(rule.rule == "table" for rule in self.broken)


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """A source: its newest batches, newest first, how many there are in all, and its figures over them."""

    name: str
    batches: tuple[Batch, ...]
    batches_in_all: int
    waiting: int
    charts: tuple[Chart, ...]
    unusual: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the pages tell but for the suites."""

    publication_id: str
    published_at: datetime
    sources: tuple[SourceFacts, ...]


def read_facts(con: duckdb.DuckDBPyConnection) -> Facts:
    """Read what is served by `con`; one source is held in memory after the other, and of each the newest batches."""
    publication_id, published_at = _rows(con, "SELECT publication_id, published_at FROM ops.publication")[0]
    told = unusual(con)
    waiting = dict(_rows(con, _WAITING))
    sources = tuple(
        _source(con, name, count, waiting.get(name, 0), tuple(words for of, words in told if of == name))
        for name, count in _rows(con, "SELECT source, count(DISTINCT batch_id) FROM ops.audits GROUP BY 1 ORDER BY 1")
    )
    return Facts(publication_id, published_at, sources)


_WAITING: Final = (
    "SELECT source, count(DISTINCT unit) FROM ops.quarantine WHERE released_at IS NULL AND discarded_at IS NULL "
    "GROUP BY source"
)
_NEWEST: Final = f"""
    SELECT batch_id, max(audited_at) AS audited_at FROM ops.audits WHERE source = ? GROUP BY batch_id
    ORDER BY audited_at DESC, batch_id DESC LIMIT {BATCHES}
"""
_AUDITS: Final = f"""
    WITH newest AS ({_NEWEST})
    SELECT a.batch_id, newest.audited_at, a.suite, a.expectation, a.rule, a.success, a.observed, a.bad, a.rows
    FROM ops.audits AS a
    JOIN newest ON newest.batch_id = a.batch_id
    WHERE a.source = ?
    ORDER BY newest.audited_at DESC, a.batch_id DESC, a.success, a.suite, a.expectation
"""
_REFUSED: Final = f"""
    SELECT batch_id, rule, count(DISTINCT unit), min(coalesce(key, unit), {KEYS})
    FROM ops.quarantine WHERE source = ? GROUP BY batch_id, rule
"""


def _source(con: duckdb.DuckDBPyConnection, name: str, in_all: int, waiting: int, told: tuple[str, ...]) -> SourceFacts:
    summed = ", ".join(f"CAST(coalesce(sum({outcome}), 0) AS BIGINT)" for outcome in OUTCOMES)
    ledger = f"SELECT batch_id, {summed} FROM ops.ledger WHERE source = ? GROUP BY batch_id"
    outcomes = {batch: dict(zip(OUTCOMES, counts, strict=True)) for batch, *counts in _rows(con, ledger, name)}
    refused: dict[str, dict[str, Refused]] = {}
    for batch_id, rule, units, keys in _rows(con, _REFUSED, name):
        refused.setdefault(batch_id, {})[rule] = Refused(rule, units, tuple(keys))
    batches = tuple(
        _batch(batch_id, at, outcomes.get(batch_id, {}), refused.get(batch_id, {}), list(rows))
        for (batch_id, at), rows in groupby(_rows(con, _AUDITS, name, name), key=lambda row: (row[0], row[1]))
    )
    return SourceFacts(name, batches, in_all, waiting, _charts(batches), told)


def _batch(
    batch_id: str,
    at: datetime,
    outcomes: Mapping[str, int],
    refused: Mapping[str, Refused],
    rows: Sequence[tuple[Any, ...]],
) -> Batch:
    rules = tuple(Result(*row[2:]) for row in rows if row[4] != "figure")
    figures = tuple(Figure(row[2], row[3], row[6]) for row in rows if row[4] == "figure")
    return Batch(batch_id, at, outcomes, rules, figures, refused)


def _charts(batches: Sequence[Batch]) -> tuple[Chart, ...]:
    """Return lines of the figures that two batches have; counts first, and shares only where they are not all alike."""
    series: dict[tuple[int, str, str], list[float]] = {}
    for batch in reversed(batches):
        for figure in batch.figures:
            kind = figure.name.split("(", 1)[0]
            if kind in _DRAWN:
                series.setdefault((_DRAWN.index(kind), figure.suite, figure.name), []).append(figure.value)
    lines = [
        chart(_title(kind, suite, name), values)
        for (kind, suite, name), values in sorted(series.items())
        if len(values) > 1 and (_DRAWN[kind] != "nulls" or len(set(values)) > 1)
    ]
    return tuple(lines[:CHARTS])


def _title(kind: int, suite: str, name: str) -> str:
    """Return what a line is of.

    >>> _title(2, "raw.crm", "nulls(owner)"), _title(0, "raw.crm", "count(*)")
    ('raw.crm.owner: missing, %', 'raw.crm: rows')
    """
    column = name.split("(", 1)[1].removesuffix(")")
    return f"{suite}{'' if column == '*' else f'.{column}'}: {_TITLES[_DRAWN[kind]]}"


def _rows(con: duckdb.DuckDBPyConnection, query: str, *given: Any) -> list[tuple[Any, ...]]:
    return con.execute(query, list(given)).fetchall()
