"""Avro object container files, as Kafka, BigQuery and Hadoop write them.

Rules: a record is a struct, `[null, X]` is X, a union of several types is the text of its JSON, an enum is text, and
bytes of a fixed size are bytes. A block that is broken ends the file: its rows do not count until it is mended.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import duckdb
import fastavro
import pyarrow as pa

from dagster_project.contracts import BOOL, BYTES, INSTANT, INT, TEXT
from dagster_project.landing.reading import Field, Head, Piece, Unreadable
from dagster_project.landing.table_columns import DATE, DOUBLE, TIMESTAMP, Wanted, kept_type
from dagster_project.landing.typed import read_batches
from dagster_project.landing.unpacked import Unpacked
from dagster_project.sources import TableSource

NAME: Final = "avro"
SUFFIXES: Final = (".avro",)
EXTRA: Final = None
IS_TEXT: Final = False
INSIDE: Final = None

_ROWS: Final = 8_192
_TYPES: Final[Mapping[str, pa.DataType]] = {
    "boolean": BOOL,
    "int": INT,
    "long": INT,
    "float": DOUBLE,
    "double": DOUBLE,
    "bytes": BYTES,
    "fixed": BYTES,
    "string": TEXT,
    "enum": TEXT,
    "null": TEXT,
}
_LOGICAL: Final[Mapping[str, pa.DataType]] = {
    "date": DATE,
    "timestamp-millis": INSTANT,
    "timestamp-micros": INSTANT,
    "local-timestamp-millis": TIMESTAMP,
    "local-timestamp-micros": TIMESTAMP,
    "time-millis": pa.time64("us"),
    "time-micros": pa.time64("us"),
    "uuid": TEXT,
}
_JSON: Final = pa.null()
"""Stands for a value of several types, which becomes the text of its JSON."""


def find(con: duckdb.DuckDBPyConnection, file: Unpacked, source: TableSource) -> Head:  # noqa: ARG001
    """Return the fields of the file's record with the types they are kept in. Raises `Unreadable`."""
    try:
        with open(file.path, "rb") as handle:
            schema: Any = fastavro.reader(handle).writer_schema
    except (ValueError, EOFError, OSError, LookupError) as error:
        raise Unreadable(f"it is no Avro file that can be read: {error}") from error
    if not isinstance(schema, dict) or schema.get("type") != "record":
        raise Unreadable("it holds values that are no records; a table needs an Avro file of records")
    named: dict[str, pa.DataType] = {}
    types = {field["name"]: _type(field["type"], named) for field in schema["fields"]}
    columns = tuple(Wanted(name, TEXT if _is_mixed(type_) else kept_type(type_)) for name, type_ in types.items())
    return Head(columns, types)


def read(con: duckdb.DuckDBPyConnection, file: Unpacked, head: Head, fields: Sequence[Field]) -> Iterator[Piece]:
    """Give the rows in order. Raises `Broken` and `Unreadable`."""
    types: Mapping[str, pa.DataType] = head.how
    mixed = {name for name, type_ in types.items() if _is_mixed(type_)}
    schema = pa.schema({f"c{i}": TEXT if name in mixed else type_ for i, (name, type_) in enumerate(types.items())})

    def batches() -> Iterator[pa.RecordBatch]:
        with open(file.path, "rb") as handle:
            rows: Iterator[Any] = iter(fastavro.reader(handle))
            while held := list(islice(rows, _ROWS)):
                columns = [[_as(row[name], name in mixed) for row in held] for name in types]
                arrays = [pa.array(column, own.type) for column, own in zip(columns, schema, strict=True)]
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    try:
        yield from read_batches(con, batches(), schema, fields)
    except (ValueError, EOFError, OSError, LookupError, pa.ArrowException) as error:
        raise Unreadable(f"it cannot be read as Avro: {error}") from error


def _type(schema: Any, named: dict[str, pa.DataType]) -> pa.DataType:
    if isinstance(schema, str):
        return named.get(schema) or _TYPES.get(schema, _JSON)
    if isinstance(schema, list):
        others = [one for one in schema if one != "null"]
        return _type(others[0], named) if len(others) == 1 else _JSON
    if schema.get("logicalType") == "decimal":
        return pa.decimal128(min(schema["precision"], 38), schema.get("scale", 0))
    made = _LOGICAL.get(schema.get("logicalType", "")) or _complex(schema, named)
    if "name" in schema:
        named[schema["name"]] = made
    return made


def _complex(schema: Mapping[str, Any], named: dict[str, pa.DataType]) -> pa.DataType:
    kind = schema["type"]
    if kind == "record":
        named[schema["name"]] = _JSON  # one that holds itself has no type of its own
        return pa.struct([pa.field(field["name"], _type(field["type"], named)) for field in schema["fields"]])
    if kind == "array":
        return pa.list_(_type(schema["items"], named))
    if kind == "map":
        return pa.map_(TEXT, _type(schema["values"], named))
    return _type(kind, named)


def _is_mixed(type_: pa.DataType) -> bool:
    if pa.types.is_struct(type_):
        return type_.num_fields == 0 or any(_is_mixed(type_.field(i).type) for i in range(type_.num_fields))
    if pa.types.is_map(type_):
        return _is_mixed(type_.item_type)
    return _is_mixed(type_.value_type) if pa.types.is_list(type_) else bool(type_ == _JSON)


def _as(value: Any, is_mixed: bool) -> Any:  # noqa: FBT001
    return json.dumps(value, default=str, ensure_ascii=False) if is_mixed and value is not None else value
