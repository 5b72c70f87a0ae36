"""Reading Iceberg's manifests: their Avro schemas are made sense of once.

What belongs here: how pyiceberg reads a manifest and a list of manifests. What does not: what they hold.

Each of those files carries its schema as text, and pyiceberg makes a reader of it for each file anew: most of the time
a small manifest takes. The texts are few (one per table), and a reader keeps nothing of what it read.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any, Final, Self

import pyiceberg.manifest
from pyiceberg.avro.decoder import new_decoder
from pyiceberg.avro.file import META_SCHEMA, AvroFile, AvroFileHeader, D
from pyiceberg.avro.reader import Reader
from pyiceberg.avro.resolver import construct_reader, resolve_reader
from pyiceberg.schema import Schema

_SCHEMA: Final = "avro.schema"


def read_schemas_once() -> None:
    """Let pyiceberg read manifests so, in this process."""
    vars(pyiceberg.manifest)["AvroFile"] = _KnownSchemas


class _KnownSchemas(AvroFile[D]):
    """An Avro file whose schema was most likely met before."""

    def __enter__(self) -> Self:
        with self.input_file.open() as opened:
            self.decoder = new_decoder(opened.read())
        self.header = _header_reader().read(self.decoder)
        wanted = _Wanted(self.read_schema, self.read_types, self.read_enums)
        self.schema, self.reader = _reader(self.header.meta[_SCHEMA], wanted)
        return self


class _Wanted:
    """What is to be read; equal where the schema is the same object, for each is wanted as one sort of record."""

    def __init__(self, schema: Schema | None, types: Any, enums: Any) -> None:
        self.schema, self.types, self.enums = schema, types, enums

    def __hash__(self) -> int:
        return id(self.schema)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Wanted) and self.schema is other.schema


@lru_cache(256)
def _reader(text: str, wanted: _Wanted) -> tuple[Schema, Reader]:
    schema = AvroFileHeader(None, {_SCHEMA: text}, None).get_schema()
    return schema, resolve_reader(schema, wanted.schema or schema, wanted.types, wanted.enums)


@cache
def _header_reader() -> Reader:
    return construct_reader(META_SCHEMA, {-1: AvroFileHeader})
