"""The balance of a batch: what arrived is what became of it, each counted where it is.

What belongs here: counting. What does not: the rule (`expectations/ops.ledger.json`) and the ledger (`record`).

The arrivals are counted in raw, the committed in the staged files, the quarantined among the refusals; those that were
given up before are among these, and the ledger tells them as discarded. Only what leaves no row anywhere is taken from
what shaping told of each input: unchanged, duplicate, failed, removed. So a row that was shaped and not written, or
written twice, is found, which a ledger that is worked out from its own terms can't find.
"""

from __future__ import annotations

from typing import Final

from dagster_project.contracts import ATTACHMENTS, EVENTS, NOTES
from dagster_project.steps.batch import Batch
from dagster_project.steps.refused import IS_NOTE

TERMS: Final = ("unchanged", "committed", "removed", "duplicate", "quarantined", "failed")


def balance(batch: Batch) -> str:
    """Return SQL that can stand after FROM: one row with `seen`, its terms, and `lost`, what none of them accounts for.

    To be asked for once refused units are taken out and `inputs` are settled. `lost` is negative if more came out than
    went in. In the unit of the source: files, or notes of files that hold several; rows; events.
    """
    seen, committed = _COUNTS[batch.source.kind](batch)
    figures = {"seen": seen, "committed": committed, "quarantined": _quarantined(batch)} | _told(batch)
    lost = figures["seen"] - sum(figures[term] for term in TERMS)
    listed = ", ".join(f"{value}::BIGINT AS {name}" for name, value in (figures | {"lost": lost}).items())
    return f"(SELECT {listed})"


def _told(batch: Batch) -> dict[str, int]:
    """Return the units that leave no row. Of what is removed only files count, for only they have an arrival then."""
    removed = "sum(removed) FILTER (unit IS NOT NULL)"
    row = batch.con.execute(
        f"SELECT coalesce(sum(unchanged), 0), coalesce(sum(duplicate), 0), coalesce(sum(failed), 0), "
        f"coalesce({removed}, 0) FROM inputs"
    ).fetchone()
    return dict(zip(("unchanged", "duplicate", "failed", "removed"), map(int, row or ()), strict=True))


def _quarantined(batch: Batch) -> int:
    """Return how many units that arrived were refused; a removed one is not, whatever is said of its last version."""
    counted = f"NOT {IS_NOTE}" if batch.source.kind == "stream" else "true"
    gone = "SELECT unit FROM inputs WHERE unit IS NOT NULL AND removed > 0"
    return _one(
        batch,
        f"SELECT count(DISTINCT unit) FROM refusals WHERE {batch.arrivals} AND {counted} AND unit NOT IN ({gone})",
    )


def _files(batch: Batch) -> tuple[int, int]:
    """Return the files, or the notes within them, that arrived, and those that are staged anew."""
    arrived = _one(batch, f"SELECT count(*) FROM {batch.raw} AS r WHERE {batch.arrivals}")
    inside = "coalesce(sum(seen + coalesce(unchanged, 0) - removed), 0) - count(*)"
    arrived += _one(batch, f"SELECT {inside} FROM inputs WHERE unit IS NULL")
    notes, kept = batch.rows(NOTES), batch.rows(ATTACHMENTS)
    good = f"SELECT note_id FROM {notes} AS n WHERE NOT stale" if notes else "SELECT NULL WHERE false"
    staged = _one(batch, f"SELECT count(*) FROM ({good})")
    if kept:
        staged += _one(batch, f"SELECT count(DISTINCT note_id) FROM {kept} AS a WHERE note_id NOT IN ({good})")
    return arrived, staged - _one(batch, "SELECT coalesce(sum(unchanged), 0) FROM inputs")


def _rows(batch: Batch) -> tuple[int, int]:
    """Return the rows that arrived, those of files that were not loaded again too, and those that are staged anew."""
    arrived = _one(
        batch,
        "SELECT coalesce(sum(CASE _op WHEN 'same' THEN _row ELSE 1 END), 0) "
        f"FROM {batch.raw} AS r WHERE {batch.arrivals} AND _op IN ('put', 'refused', 'same')",
    )
    notes = batch.rows(NOTES)
    staged = f"SELECT count(*) FROM {notes} AS n WHERE NOT stale AND {batch.arrivals}"
    return arrived, _one(batch, staged) if notes else 0


def _events(batch: Batch) -> tuple[int, int]:
    """Return the events that arrived and those that are staged."""
    arrived = _one(batch, f"SELECT count(*) FROM {batch.raw} AS r WHERE {batch.is_fresh}")
    events = batch.rows(EVENTS)
    return arrived, _one(batch, f"SELECT count(*) FROM {events} AS e WHERE {batch.arrivals}") if events else 0


_COUNTS: Final = {"documents": _files, "table": _rows, "stream": _events}


def _one(batch: Batch, query: str) -> int:
    row = batch.con.execute(query).fetchone()
    return int(row[0]) if row else 0
