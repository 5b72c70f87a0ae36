"""Redshift's names for external schemas, tables, columns and partitions: `svv_external_tables` and its kin.

What belongs here: these views, over what the view file says of itself. What does not: the functions of Redshift, which
are macros in `sql/macros/redshift`. External are the Iceberg tables of the lake, as they are to Redshift Spectrum: its
views are none. They stand in `main`, which every search path ends with, as Redshift's do in `pg_catalog`.
Source: https://docs.aws.amazon.com/redshift/latest/dg/r_SVV_EXTERNAL_TABLES.html and its neighbours
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class SystemView(NamedTuple):
    """A system view: its name with the schema, what a row is, what its columns mean, and its SELECT."""

    name: str
    row: str
    columns: Mapping[str, str]
    sql: str


_SCHEMA: Final = "split_part(table_name, '.', 1)"
_NAME: Final = "split_part(table_name, '.', 2)"
_STORAGE: Final = {
    "input_format": "Empty: an Iceberg table has none",
    "output_format": "Empty: an Iceberg table has none",
    "serialization_lib": "Empty: an Iceberg table has none",
    "serde_parameters": "Empty: an Iceberg table has none",
    "compressed": "0: nothing is compressed but inside its files",
}
_STORED: Final = (
    "'' AS input_format, '' AS output_format, '' AS serialization_lib, '' AS serde_parameters, "
    "CAST(0 AS INTEGER) AS compressed"
)
_DATABASE: Final = {"redshift_database_name": "The database: this file"}
_PLACE: Final = {"schemaname": "Its schema", "tablename": "Its table"}

SYSTEM_VIEWS: Final = (
    SystemView(
        "main.svv_external_schemas",
        "a schema that has tables of the lake",
        {
            "esoid": "Its number",
            "eskind": "1: its tables stand in a data catalog",
            "schemaname": "Its name",
            "esowner": "Number of the owner",
            "databasename": "The database in the catalog",
            "esoptions": "Options, as JSON",
        },
        f"""
SELECT CAST(100000 + row_number() OVER (ORDER BY schemaname) AS BIGINT) AS esoid, CAST(1 AS SMALLINT) AS eskind,
  schemaname, CAST(100 AS INTEGER) AS esowner, schemaname AS databasename, '{{}}' AS esoptions
FROM (SELECT DISTINCT {_SCHEMA} AS schemaname FROM ops.pins)""",
    ),
    SystemView(
        "main.svv_external_tables",
        "an Iceberg table of the lake",
        {
            **_DATABASE,
            **_PLACE,
            "tabletype": "TABLE",
            "location": "Where its files lie",
            **_STORAGE,
            "parameters": "Properties, as JSON: the kind of table and its metadata file",
        },
        f"""
SELECT current_database() AS redshift_database_name, {_SCHEMA} AS schemaname, {_NAME} AS tablename,
  'TABLE' AS tabletype, regexp_replace(metadata_location, '/metadata/[^/]*$', '') AS location, {_STORED},
  CAST(json_object('table_type', 'ICEBERG', 'metadata_location', metadata_location) AS VARCHAR) AS parameters
FROM ops.pins""",
    ),
    SystemView(
        "main.svv_external_columns",
        "a column of an Iceberg table of the lake",
        {
            **_DATABASE,
            **_PLACE,
            "columnname": "The column",
            "external_type": "Its type, as Glue writes it",
            "columnnum": "Its place, from 1",
            "part_key": "Its place among the columns the table is partitioned by, from 1; else 0",
            "is_nullable": "true: every column may be null in storage",
        },
        f"""
SELECT current_database() AS redshift_database_name, {_SCHEMA} AS schemaname, {_NAME} AS tablename,
  column_name AS columnname, type AS external_type, position AS columnnum, partition_position AS part_key,
  'true' AS is_nullable
FROM iceberg.columns""",
    ),
    SystemView(
        "main.svv_external_partitions",
        "a partition of an Iceberg table of the lake",
        {
            **_PLACE,
            "values": "Its values, as a JSON array of texts",
            "location": "Where its files lie, cut at 128 characters, as Redshift does",
            **_STORAGE,
            "parameters": "Properties, as JSON: rows, files and bytes",
        },
        f"""
SELECT {_SCHEMA} AS schemaname, {_NAME} AS tablename, CAST(to_json(map_values(partition)) AS VARCHAR) AS "values",
  left(regexp_replace(min(file_path), '/[^/]*$', ''), 128) AS location, {_STORED},
  CAST(json_object('record_count', sum(record_count), 'file_count', count(*), 'total_size', sum(file_size_in_bytes))
    AS VARCHAR) AS parameters
FROM iceberg.files WHERE cardinality(partition) > 0 GROUP BY table_name, partition""",
    ),
)
"""The four views, which read `ops.pins` and the tables in `iceberg`."""
