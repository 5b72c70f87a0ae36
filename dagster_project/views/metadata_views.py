"""Athena's names for what Iceberg says of a table: `notes."notes$snapshots"`, `"notes$files"` and the others.

What belongs here: the tables in the view file that hold these facts of all tables, in `iceberg`, and six views of each
table on them, with the columns and types of Athena's engine. What does not: the facts (`lake.metadata_tables`).

A publication writes the rows of the tables that moved; the views are made once. Their columns are those of the stored
tables, whose comments tell of them.
Source: https://docs.aws.amazon.com/athena/latest/ug/querying-iceberg-table-metadata.html, and for the columns
https://trino.io/docs/current/connector/iceberg.html#metadata-tables
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

import pyarrow as pa

from dagster_project.contracts import Column, Partition, Table, struct_fields
from dagster_project.sql_words import identifier, literal, sql_type

SCHEMA: Final = "iceberg"
COLUMNS: Final = f"{SCHEMA}.columns"
FILES: Final = f"{SCHEMA}.files"

_TABLE: Final = {"table_name": ("VARCHAR", "The table, namespace.name")}
_SNAPSHOT: Final = {
    "snapshot_id": ("BIGINT", "The snapshot"),
    "parent_id": ("BIGINT", "The snapshot it was made from; null for the first"),
}
_SUMMARIES: Final = "STRUCT(contains_null BOOLEAN, contains_nan BOOLEAN, lower_bound VARCHAR, upper_bound VARCHAR)[]"
_COUNTS: Final = "MAP(INTEGER, BIGINT)"
_BOUNDS: Final = "MAP(INTEGER, VARCHAR)"

STORED: Final[Mapping[str, tuple[str, Mapping[str, tuple[str, str]]]]] = {
    f"{SCHEMA}.snapshots": (
        "a snapshot of a table that is still kept",
        {
            **_TABLE,
            "committed_at": ("TIMESTAMPTZ", "When it was committed (UTC)"),
            **_SNAPSHOT,
            "operation": ("VARCHAR", "append, replace, overwrite or delete"),
            "manifest_list": ("VARCHAR", "The file that lists its manifests"),
            "summary": ("MAP(VARCHAR, VARCHAR)", "What the commit did and said of itself"),
        },
    ),
    f"{SCHEMA}.history": (
        "an instant at which a table got another current snapshot",
        {
            **_TABLE,
            "made_current_at": ("TIMESTAMPTZ", "The instant (UTC)"),
            **_SNAPSHOT,
            "is_current_ancestor": ("BOOLEAN", "Whether what the table is now was made from it"),
        },
    ),
    f"{SCHEMA}.refs": (
        "a branch or tag of a table",
        {
            **_TABLE,
            "name": ("VARCHAR", "Its name"),
            "type": ("VARCHAR", "BRANCH or TAG"),
            "snapshot_id": ("BIGINT", "The snapshot it stands for"),
            "max_reference_age_in_ms": ("BIGINT", "How long it is kept; null for ever"),
            "min_snapshots_to_keep": ("INTEGER", "Snapshots of a branch that are kept at least"),
            "max_snapshot_age_in_ms": ("BIGINT", "How long snapshots of a branch are kept"),
        },
    ),
    f"{SCHEMA}.manifests": (
        "a manifest of the current snapshot of a table",
        {
            **_TABLE,
            "path": ("VARCHAR", "Its file"),
            "length": ("BIGINT", "Size of the file in bytes"),
            "partition_spec_id": ("INTEGER", "The partition spec it was written with"),
            "added_snapshot_id": ("BIGINT", "The snapshot that added it"),
            "added_data_files_count": ("INTEGER", "Data files it adds"),
            "added_rows_count": ("BIGINT", "Rows in them"),
            "existing_data_files_count": ("INTEGER", "Data files it keeps"),
            "existing_rows_count": ("BIGINT", "Rows in them"),
            "deleted_data_files_count": ("INTEGER", "Data files it removes"),
            "deleted_rows_count": ("BIGINT", "Rows in them"),
            "partitions": (_SUMMARIES, "Bounds of each partition column"),
        },
    ),
    FILES: (
        "a data file of the current snapshot of a table",
        {
            **_TABLE,
            "content": ("INTEGER", "0: data"),
            "file_path": ("VARCHAR", "The file"),
            "file_format": ("VARCHAR", "PARQUET"),
            "partition": ("MAP(VARCHAR, VARCHAR)", "Its partition: name and text of each value"),
            "record_count": ("BIGINT", "Rows"),
            "file_size_in_bytes": ("BIGINT", "Size in bytes"),
            "column_sizes": (_COUNTS, "Bytes by field id"),
            "value_counts": (_COUNTS, "Values by field id, nulls among them"),
            "null_value_counts": (_COUNTS, "Nulls by field id"),
            "nan_value_counts": (_COUNTS, "NaNs by field id"),
            "lower_bounds": (_BOUNDS, "Least value by field id, as text; of long texts only the beginning"),
            "upper_bounds": (_BOUNDS, "Greatest value by field id, as text"),
            "key_metadata": ("BLOB", "Of encrypted files: what tells of the key"),
            "split_offsets": ("BIGINT[]", "Where its row groups begin"),
            "equality_ids": ("INTEGER[]", "Of delete files: the fields that are compared"),
        },
    ),
    COLUMNS: (
        "a column of a table",
        {
            **_TABLE,
            "column_name": ("VARCHAR", "The column"),
            "position": ("INTEGER", "Its place, from 1"),
            "field_id": ("INTEGER", "Its Iceberg field id"),
            "type": ("VARCHAR", "Its type, as Glue writes it"),
            "partition_position": (
                "INTEGER",
                "Its place among the columns the table is partitioned by, from 1; else 0",
            ),
        },
    ),
}
"""Relations the view file holds itself: what a row is, and each column with its type and what it means."""
_HIDDEN: Final = ("table_name", "partition")

RANGE: Final = f"{SCHEMA}.range_of"
RANGE_MACRO: Final = f"""
CREATE MACRO {RANGE}(least, greatest, nulls, nans, records) AS struct_pack(
  min := CASE WHEN bool_and(least IS NOT NULL OR nulls IS NOT DISTINCT FROM records) THEN min(least) END,
  max := CASE WHEN bool_and(greatest IS NOT NULL OR nulls IS NOT DISTINCT FROM records) THEN max(greatest) END,
  null_count := CAST(sum(nulls) AS BIGINT),
  nan_count := CAST(sum(nans) AS BIGINT)
);
COMMENT ON MACRO {RANGE} IS
  'the range of a column over data files; null if a file that has values does not tell its bound'
"""


class MetadataView(NamedTuple):
    """One of Athena's metadata tables of a table: `name` is `namespace.table$kind`."""

    name: str
    row: str
    sql: str


def metadata_views(table: Table) -> Iterator[MetadataView]:
    """Yield the six metadata tables of a table, as views on what is stored."""
    of = f"WHERE table_name = {literal(table.identifier)}"
    for kind in ("snapshots", "history", "refs", "manifests", "files"):
        row, columns = STORED[f"{SCHEMA}.{kind}"]
        hidden = ", ".join(column for column in _HIDDEN if column in columns)
        sql = f"SELECT * EXCLUDE ({hidden}) FROM {SCHEMA}.{kind} {of}"
        yield MetadataView(f"{table.identifier}${kind}", row, sql)
    yield MetadataView(f"{table.identifier}$partitions", "a partition of a table as it is now", _partitions(table, of))


def _partitions(table: Table, of: str) -> str:
    by = {part.column for part in table.partition if part.transform == "identity"}
    told = [column for column in table.columns if not pa.types.is_nested(column.type) and column.name not in by]
    data = ", ".join(f"{identifier(column.name)} := {_range(column)}" for column in told)
    partition = ", ".join(_value(table, part) for part in table.partition)
    shown = [f"struct_pack({partition}) AS partition"] if partition else []
    shown += [
        "CAST(sum(record_count) AS BIGINT) AS record_count",
        "count(*) AS file_count",
        "CAST(sum(file_size_in_bytes) AS BIGINT) AS total_size",
        f"struct_pack({data}) AS data",
    ]
    grouped = "GROUP BY files.partition" if partition else "HAVING count(*) > 0"
    return f"SELECT {', '.join(shown)} FROM {FILES} AS files {of} {grouped}"


def _value(table: Table, part: Partition) -> str:
    """Return the value of a partition column in its own type, under the name Iceberg gives it."""
    name = part.column if part.transform == "identity" else f"{part.column}_{part.transform}"
    type_ = table.column(part.column).type if part.transform == "identity" else pa.date32()
    return f"{identifier(name)} := {_as(f'files.partition[{literal(name)}]', type_)}"


def _range(column: Column) -> str:
    """Return the range of a column over some files."""
    id_ = column.field_id
    least, greatest = (_as(f"{which}_bounds[{id_}]", column.type) for which in ("lower", "upper"))
    return f"{RANGE}({least}, {greatest}, null_value_counts[{id_}], nan_value_counts[{id_}], record_count)"


def _as(text: str, type_: pa.DataType) -> str:
    """Return SQL that reads Iceberg's text of a value."""
    if pa.types.is_string(type_):
        return text
    return f"from_base64({text})" if pa.types.is_binary(type_) else f"CAST({text} AS {sql_type(type_)})"


_GLUE: Final = {
    pa.string(): "string",
    pa.int64(): "bigint",
    pa.float64(): "double",
    pa.bool_(): "boolean",
    pa.binary(): "binary",
    pa.date32(): "date",
}


def glue_type(type_: pa.DataType) -> str:
    """Return a type as Glue's catalog writes it.

    >>> glue_type(pa.list_(pa.struct([("a", pa.int64())]))), glue_type(pa.timestamp("us", tz="UTC"))
    ('array<struct<a:bigint>>', 'timestamp')
    """
    if pa.types.is_list(type_):
        return f"array<{glue_type(type_.value_type)}>"
    if pa.types.is_map(type_):
        return f"map<{glue_type(type_.key_type)},{glue_type(type_.item_type)}>"
    if pa.types.is_struct(type_):
        return f"struct<{','.join(f'{field.name}:{glue_type(field.type)}' for field in struct_fields(type_))}>"
    if pa.types.is_decimal(type_):
        return f"decimal({type_.precision},{type_.scale})"
    return "timestamp" if pa.types.is_timestamp(type_) else _GLUE[type_]


def column_rows(tables: Iterable[Table]) -> list[tuple[str, str, int, int, str, int]]:
    """Return the rows of `iceberg.columns`."""
    rows = []
    for table in tables:
        by = [part.column for part in table.partition if part.transform == "identity"]
        for position, column in enumerate(table.columns, start=1):
            at = by.index(column.name) + 1 if column.name in by else 0
            rows.append((table.identifier, column.name, position, column.field_id, glue_type(column.type), at))
    return rows
