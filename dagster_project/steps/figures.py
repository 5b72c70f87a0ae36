"""The figures of a batch, written down beside its verdict, so that they can be asked for, plotted and compared.

What belongs here: what is told of a batch in numbers that cost next to nothing: rows, missing values, ends, ages. What
does not: what is unusual about them (`sql/views/quality/anomalies.sql`).

A figure is a row of `ops.audits` whose rule is `figure`; its name in `expectation` is one of

    count(*)        rows that arrived (suite raw.<source>), or that were written (any other suite)
    standing(*)     rows the source has in notes.notes or notes.events after the batch
    nulls(column)   share of rows without a value, in percent
    min(column), max(column)   of a column of numbers
    age(column)     hours from the newest time in a column to the landing
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import pyarrow as pa

from dagster_project.audit.verdict import Result
from dagster_project.contracts import EVENTS, NOTES, Column, Table, raw_table
from dagster_project.lake.figures import Figures, column_figures, files_of_arrivals
from dagster_project.steps.batch import Batch
from dagster_project.steps.pending import landed_at

_TOLD: Final = {
    NOTES.identifier: ("author", "created_at", "modified_at", "word_count"),
    EVENTS.identifier: ("occurred_at", "path", "actor"),
}
_MOST_COLUMNS: Final = 100
"""So many columns of a table source are told of."""


def figures(batch: Batch) -> tuple[Result, ...]:
    """Return the figures of a batch whose refused units are taken out and whose ledger is not staged yet."""
    tables = [table for table in batch.tables() if table.namespace == "notes"]
    staged = [figure for table in tables for figure in _of_staged(batch, table)]
    if batch.part == "fold":  # its arrivals and events were told of when they were committed
        return tuple(staged)
    main = EVENTS if batch.source.kind == "stream" else NOTES
    return (*_of_arrivals(batch), *staged, _figure(main.identifier, "standing(*)", _standing(batch, main)))


def _of_arrivals(batch: Batch) -> Iterator[Result]:
    raw = batch.pins[f"raw.{batch.source.name}"]
    if batch.source.kind != "table":
        yield _figure(raw.table.identifier, "count(*)", batch.to - batch.after)
        return
    rows = _one(
        batch,
        f"SELECT count(*) FROM {batch.raw} AS r WHERE sequence > {batch.after} AND sequence <= {batch.to} "
        "AND _op = 'put'",
    )
    yield _figure(raw.table.identifier, "count(*)", rows)
    files = files_of_arrivals(batch.lake, raw, after=batch.after, to=batch.to)
    others = sum(file.record_count for file in files) - rows  # markers and refused rows have no values
    own = raw.table.columns[len(raw_table(batch.source.name, "table").columns) :][:_MOST_COLUMNS]
    yield from _of_columns(batch, raw.table, column_figures(own, files), rows, others=others)


def _of_staged(batch: Batch, table: Table) -> Iterator[Result]:
    staged = batch.staged_rows(table)
    yield _figure(table.identifier, "count(*)", staged - (_stale(batch) if table == NOTES else 0))
    columns = [table.column(name) for name in _TOLD.get(table.identifier, ())]
    files = [file.data_file for file in batch.staged[table.identifier]]
    yield from _of_columns(batch, table, column_figures(columns, files), staged)


def _of_columns(
    batch: Batch, table: Table, found: Sequence[Figures], rows: int, *, others: int = 0
) -> Iterator[Result]:
    """Yield the figures of columns in `rows`; `others` of the rows in their files have no values and do not count."""
    landed = landed_at(batch).timestamp() if any(_is_time(each.column) for each in found) else 0.0
    for each in found if rows else ():
        name, nulls = each.column.name, max(0, each.nulls - others)
        yield _figure(table.identifier, f"nulls({name})", 100.0 * nulls / rows, bad=nulls, rows=rows)
        if each.least is None or each.greatest is None:
            continue
        if _is_time(each.column):
            hours = (landed - each.greatest) / 3600
            yield _figure(table.identifier, f"age({name})", hours, rows=rows)
        else:
            yield _figure(table.identifier, f"min({name})", each.least, rows=rows)
            yield _figure(table.identifier, f"max({name})", each.greatest, rows=rows)


def _standing(batch: Batch, main: Table) -> int:
    """Return how many rows the source has in `main` after the commit: present less replaced plus staged."""
    pin = batch.pins[main.identifier]
    present = sum(file.record_count for file in batch.lake.source_files(pin, batch.source.name))
    staged = batch.staged_rows(main)
    if main == EVENTS or not present:
        return present + staged
    leaving = _one(
        batch, f"SELECT count(*) FROM {batch.current(main)} AS n WHERE note_id IN (SELECT note_id FROM replaced)"
    )
    return present - leaving + staged - _stale(batch)


def _stale(batch: Batch) -> int:
    """Return how many notes are staged once more only to be marked."""
    return _one(batch, "SELECT count(*) FROM stale")


def _is_time(column: Column) -> bool:
    return bool(pa.types.is_temporal(column.type))


def _one(batch: Batch, query: str) -> int:
    row = batch.con.execute(query).fetchone()
    return int(row[0]) if row else 0


def _figure(suite: str, name: str, value: float, *, bad: int | None = None, rows: int | None = None) -> Result:
    return Result(suite, name, "figure", success=True, observed=float(value), bad=bad, rows=rows)
