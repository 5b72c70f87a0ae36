"""What a pinned table is in DuckDB: a scan of exactly its files, its columns found by field id.

What belongs here: the SQL of a table at its pin, and of a table source's current rows. What does not: the views people
write (`sql_files`), and the file they are put in (`publish`).
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from dagster_project.contracts import Column, Table, raw_table
from dagster_project.errors import NotelakeError
from dagster_project.lake.pins import Pin

ARRIVAL: Final = tuple(column.name for column in raw_table("any", "table").columns)
"""The columns every raw table of a table source begins with; those after them are the source's own."""
PLACE: Final = ("_file", "_row")
"""What a current row keeps of its arrival."""

_PLAIN: Final = (
    (pa.types.is_string, "VARCHAR"),
    (pa.types.is_large_string, "VARCHAR"),
    (pa.types.is_int64, "BIGINT"),
    (pa.types.is_int32, "INTEGER"),
    (pa.types.is_boolean, "BOOLEAN"),
    (pa.types.is_float64, "DOUBLE"),
    (pa.types.is_float32, "FLOAT"),
    (pa.types.is_date32, "DATE"),
    (pa.types.is_time64, "TIME"),
    (pa.types.is_binary, "BLOB"),
    (pa.types.is_large_binary, "BLOB"),
)


def text(value: str) -> str:
    """Return `value` as an SQL string literal.

    >>> text("it's")
    "'it''s'"
    """
    return "'" + value.replace("'", "''") + "'"


def name(value: str) -> str:
    """Return `value` as a quoted SQL name.

    >>> name('a "b" c')
    '"a ""b"" c"'
    """
    return '"' + value.replace('"', '""') + '"'


def relation(identifier: str) -> str:
    """Return `schema.name` with both parts quoted."""
    return ".".join(name(part) for part in identifier.split(".", 1))


def sql_type(type_: pa.DataType) -> str:
    """Return DuckDB's name of an Arrow type. Raises `NotelakeError` for a type no lake table has.

    >>> sql_type(pa.list_(pa.string())), sql_type(pa.timestamp("us", tz="UTC"))
    ('VARCHAR[]', 'TIMESTAMPTZ')
    """
    for holds, word in _PLAIN:
        if holds(type_):
            return word
    if pa.types.is_timestamp(type_):
        return "TIMESTAMPTZ" if type_.tz else "TIMESTAMP"
    if pa.types.is_decimal(type_):
        return f"DECIMAL({type_.precision}, {type_.scale})"
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return f"{sql_type(type_.value_type)}[]"
    if pa.types.is_struct(type_):
        return "STRUCT(" + ", ".join(f"{name(field.name)} {sql_type(field.type)}" for field in type_) + ")"
    raise NotelakeError(
        f"A column has the type {type_}, which the view file cannot show. Tables of a lake have none such."
    )


def scan(pin: Pin) -> str:
    """Return the SELECT that reads the table as pinned.

    Columns are found by field id, so that one that was renamed keeps its values and one that was added is null in older
    files. Hive partitioning is off: a folder called `source=x` must not stand in for what the file itself says.
    """
    columns = pin.table.columns
    if not pin.files:
        nothing = ", ".join(f"CAST(NULL AS {sql_type(c.type)}) AS {name(c.name)}" for c in columns)
        return f"SELECT {nothing} WHERE false"
    files = ", ".join(map(text, pin.files))
    fields = ", ".join(map(_field, columns))
    names = ", ".join(name(column.name) for column in columns)
    return f"SELECT {names} FROM read_parquet([{files}], schema = MAP {{{fields}}}, hive_partitioning = false)"


def _field(column: Column) -> str:
    type_ = text(sql_type(column.type))
    return f"{column.field_id}: {{'name': {text(column.name)}, 'type': {type_}, 'default_value': NULL}}"


def is_table_source(table: Table) -> bool:
    """Whether this is the raw table of a table source: one that has rows of files, with their arrivals."""
    return table.namespace == "raw" and tuple(column.name for column in table.columns[: len(ARRIVAL)]) == ARRIVAL


def current_columns(table: Table) -> tuple[Column, ...]:
    """Return the columns of `tables.<source>`: the source's own, then where the row stands."""
    own = table.columns[len(ARRIVAL) :]
    return (*own, *(table.column(column) for column in PLACE))


def current_rows(table: Table) -> str:
    """Return the SELECT of a table source's current rows over its raw table.

    The rows of a file stand right before the marker (`_op = 'file'`) that ends them, `_row` arrivals of it. The last
    marker of a file that could be read counts; after a `gone` marker the file has no rows.
    """
    raw = relation(table.identifier)
    shown = ", ".join(f"arrival.{name(column.name)}" for column in current_columns(table))
    return f"""
WITH marker AS (
  SELECT _file, _op, sequence, _row FROM {raw} WHERE _op = 'gone' OR (_op = 'file' AND _error IS NULL)
), newest AS (
  SELECT _file, max(sequence) AS sequence FROM marker GROUP BY _file
), standing AS (
  SELECT marker._file, marker.sequence - marker._row AS from_sequence, marker.sequence AS to_sequence
  FROM marker JOIN newest ON newest._file = marker._file AND newest.sequence = marker.sequence
  WHERE marker._op = 'file'
)
SELECT {shown} FROM {raw} AS arrival
JOIN standing ON arrival._file = standing._file
  AND arrival.sequence >= standing.from_sequence AND arrival.sequence < standing.to_sequence
WHERE arrival._op = 'put'""".strip()
