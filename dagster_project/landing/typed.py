"""Values that come with a type of their own, from Parquet, Arrow, Avro, SQLite and spreadsheets, as SQL of columns.

What belongs here: the text and the value of such a column, and rows that come as Arrow batches. What does not: where
the batches come from (`formats`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import duckdb
import pyarrow as pa

from dagster_project.contracts import INSTANT, TEXT
from dagster_project.landing.reading import (
    Field,
    Lines,
    Piece,
    Value,
    checked,
    cursor_of,
    nested_value,
    outside,
    pieces,
    query,
    text_value,
)
from dagster_project.landing.table_columns import BIGGEST_EXACT, DOUBLE, holds_all, is_in_years, kept_type
from dagster_project.sql_words import sql_type


def typed_value(name: str, index: int, own: pa.DataType, field: Field) -> Value:
    """Return the SQL of column `name`, whose values have the Arrow type `own`."""
    value, text = f"n{index}", f"t{index}"
    shown = _text(name, own)
    inner = f"{name} AS {value}, {shown} AS {text}"
    if field.ordinal is None:
        return outside(inner, text)
    if field.type == DOUBLE and pa.types.is_integer(own):
        widened = f"{name} AS {value}, CAST(CAST({name} AS DOUBLE) AS VARCHAR) AS {text}"
        is_exact = f"({value} BETWEEN -{BIGGEST_EXACT} AND {BIGGEST_EXACT})"
        return Value(widened, text, f"CAST({value} AS DOUBLE)", is_exact)
    if field.type != TEXT and holds_all(field.type, kept_type(own)):
        return Value(inner, text, f"CAST({value} AS {sql_type(field.type)})", is_in_years(value, field.type))
    if pa.types.is_nested(field.type):
        return nested_value(inner, text, field.type)
    as_text = text_value(shown, index, field)
    return Value(inner, text, as_text.value, as_text.holds)


def _text(name: str, own: pa.DataType) -> str:
    """Return the SQL of a column's values as text."""
    if pa.types.is_nested(own):
        return f"CAST(to_json({name}) AS VARCHAR)"
    text = f"CAST({name} AS VARCHAR)"
    if kept_type(own) != INSTANT:
        return text
    # The same text, in less than half the time: that of an instant is looked up in a calendar, and here all is in UTC.
    quick = f"CAST(make_timestamp(epoch_us({name})) AS VARCHAR) || '+00'"
    return f"CASE WHEN {is_in_years(name, INSTANT)} THEN {quick} ELSE {text} END"


def read_batches(
    con: duckdb.DuckDBPyConnection,
    batches: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    fields: Sequence[Field],
    *,
    lines: str | None = None,
) -> Iterator[Piece]:
    """Give the rows of Arrow batches, whose columns are called `c<i>`; `lines` is the column of their lines."""
    values = [typed_value(f"c{i}", i, own.type, f) for i, (own, f) in enumerate(zip(schema, fields, strict=True))]
    sql = query(values, fields, "chunk", f"{lines} AS line" if lines else "")
    numbers: Lines | None = (lambda batch, at: [batch.column("line")[i].as_py() for i in at]) if lines else None

    def answered() -> Iterator[pa.RecordBatch]:
        cursor = cursor_of(con)
        try:
            for batch in batches:
                cursor.register("chunk", pa.Table.from_batches([batch]))
                yield from cursor.execute(sql).to_arrow_table().to_batches()
        finally:
            cursor.close()

    return checked(answered(), fields, lambda batch, fields: pieces(batch, fields, lines=numbers))
