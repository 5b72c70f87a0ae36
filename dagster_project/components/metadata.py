"""Figures and columns as Dagster shows them: numbers are plotted over time, columns have a tab of their own.

What belongs here: names and types of metadata. What does not: measuring anything. Never a value out of a note: metadata
lies in the event log, which is nobody's place for notes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import pyarrow as pa

from dagster_project.contracts import AUDITS, Column, Table
from dagster_project.reports import Committed, Counts, Landed

if TYPE_CHECKING:
    from dagster_project.lake.lake import Lake

Metadata = Mapping[str, Any]

ROW_COUNT: Final = "dagster/row_count"
COLUMN_SCHEMA: Final = "dagster/column_schema"
COLUMN_LINEAGE: Final = "dagster/column_lineage"
TABLE_NAME: Final = "dagster/table_name"
MOST_FIGURES: Final = 100
"""Figures of a batch that one materialization tells; `ops.figures` has them all."""
_SQL_TYPES: Final[Mapping[pa.DataType, str]] = {
    pa.string(): "VARCHAR",
    pa.int64(): "BIGINT",
    pa.bool_(): "BOOLEAN",
    pa.float64(): "DOUBLE",
    pa.binary(): "BLOB",
    pa.timestamp("us", tz="UTC"): "TIMESTAMP WITH TIME ZONE",
    pa.list_(pa.string()): "VARCHAR[]",
}


def columns_metadata(columns: Sequence[Column], key: Sequence[str] = ()) -> Metadata:
    """Return the columns of a contract as a Dagster column schema, with the types DuckDB shows."""
    return {COLUMN_SCHEMA: dg.TableSchema([_column(column, key) for column in columns])}


def _column(column: Column, key: Sequence[str]) -> dg.TableColumn:
    constraints = dg.TableColumnConstraints(nullable=column.name not in key, unique=tuple(key) == (column.name,))
    type_ = _SQL_TYPES.get(column.type, str(column.type))
    return dg.TableColumn(column.name, type_, description=column.doc, constraints=constraints)


def described_metadata(columns: Mapping[str, str], types: Mapping[str, str] | None = None) -> Metadata:
    """Return the columns of a view as a Dagster column schema. Their types are known once the view is built."""
    known = types or {}
    return {
        COLUMN_SCHEMA: dg.TableSchema(
            [dg.TableColumn(name, known.get(name, "?"), description=doc) for name, doc in columns.items()]
        )
    }


def landed_metadata(lake: Lake, landed: Landed, *, seconds: float) -> Metadata:
    """Return what a landing did, and what `raw.<source>` holds now."""
    pin = lake.pins([f"raw.{landed.source}"])[f"raw.{landed.source}"]
    return {
        ROW_COUNT: pin.rows,
        TABLE_NAME: pin.table.identifier,
        **columns_metadata(pin.table.columns, pin.table.key),
        "arrivals": landed.arrivals,
        "unchanged": landed.unchanged,
        "files written": landed.files,
        "bytes written": landed.bytes,
        "files": len(pin.files),
        "bytes": pin.bytes,
        "snapshot id": str(pin.snapshot_id),  # more digits than a plot or JavaScript can hold
        "problems": len(landed.problems),
        "seconds": round(seconds, 3),
    }


def counts_metadata(counts: Counts) -> Metadata:
    """Return what became of the units of a source: one figure for each term of the balance."""
    return asdict(counts)


def figures_metadata(lake: Lake, source: str) -> Metadata:
    """Return the figures of a source's newest batch, as `ops.audits` has them: the first of them if there are many."""
    from dagster_project.lake.read import relation

    pin = lake.pins([AUDITS.identifier])[AUDITS.identifier]
    files = [file.file_path for file in lake.source_files(pin, source)]
    if not files:
        return {}
    query = (
        f"SELECT expectation || ' of ' || suite, observed FROM {relation(pin, files)} AS a WHERE rule = 'figure' "
        "QUALIFY batch_id = first_value(batch_id) OVER (ORDER BY audited_at DESC, batch_id DESC) "
        f"ORDER BY suite, expectation LIMIT {MOST_FIGURES}"
    )
    with lake.connect() as con:
        return dict(con.execute(query).fetchall())


def committed_metadata(lake: Lake, source: str, batches: Sequence[Committed], *, main: Table) -> Metadata:
    """Return what the batches of a run did, and what the source holds in each table now; `main` gives the row count."""
    pins = lake.pins(name for name in lake.pins() if not name.startswith("raw."))
    held = {name: lake.source_files(pin, source) for name, pin in pins.items()}
    rows = {name: sum(file.record_count for file in files) for name, files in held.items()}
    return {
        ROW_COUNT: rows[main.identifier],
        "batches": len(batches),
        "files written": sum(batch.files for batch in batches),
        "bytes written": sum(batch.bytes for batch in batches),
        "files": sum(map(len, held.values())),
        "bytes": sum(file.file_size_in_bytes for files in held.values() for file in files),
        "snapshot id": str(pins[main.identifier].snapshot_id),
        **{f"rows in {name}": count for name, count in rows.items() if count},
    }
