"""Manifests are read as pyiceberg reads them by itself, whichever table and version wrote them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyiceberg.manifest
from pyiceberg.avro.file import AvroFile
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.memory import InMemoryCatalog
from pyiceberg.manifest import ManifestFile, read_manifest_list
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import IdentityTransform
from pyiceberg.typedef import Record
from pyiceberg.types import LongType, NestedField, StringType

from dagster_project.lake import manifests

SCHEMAS = (
    Schema(NestedField(1, "n", LongType()), NestedField(2, "s", StringType())),
    Schema(NestedField(1, "s", StringType()), NestedField(2, "n", LongType()), NestedField(3, "m", LongType())),
)


@contextmanager
def stock() -> Iterator[None]:
    """Pyiceberg as it is by itself."""
    kept = vars(pyiceberg.manifest)["AvroFile"]
    vars(pyiceberg.manifest)["AvroFile"] = AvroFile
    try:
        yield
    finally:
        vars(pyiceberg.manifest)["AvroFile"] = kept


def tables(catalog: Catalog) -> Iterator[tuple[str, int]]:
    """Make tables of several schemas, partitions and versions with rows, and give their names."""
    catalog.create_namespace("a")
    for number, schema in enumerate(SCHEMAS):
        field = schema.find_field("s")
        for version, spec in (
            (1, PartitionSpec()),
            (2, PartitionSpec(PartitionField(field.field_id, 1000, IdentityTransform(), "s"))),
        ):
            name = f"a.t{number}{version}"
            made = catalog.create_table(name, schema, partition_spec=spec, properties={"format-version": str(version)})
            for value in ("x", "y"):
                row = {"n": [version], "s": [value], "m": [7]}
                types = {"n": pa.int64(), "s": pa.string(), "m": pa.int64()}
                columns = [each.name for each in schema.fields]
                made.append(pa.table({c: pa.array(row[c], types[c]) for c in columns}))
            yield name, 2


def plain(value: Any) -> Any:
    """A record and all in it as plain values."""
    if isinstance(value, Record):
        return [plain(value[at]) for at in range(len(value))]
    return dict(value) if isinstance(value, Mapping) else value


def read(catalog: Catalog, name: str) -> list[tuple[ManifestFile, list[Any]]]:
    table = catalog.load_table(name)
    snapshot = table.current_snapshot()
    assert snapshot is not None
    listed = list(read_manifest_list(table.io.new_input(snapshot.manifest_list)))
    return [(each, [plain(entry) for entry in each.fetch_manifest_entry(table.io)]) for each in listed]


def test_manifests_are_read_as_pyiceberg_reads_them(tmp_path) -> None:
    manifests.read_schemas_once()
    catalog = InMemoryCatalog("own", warehouse=tmp_path.as_uri())
    for name, files in list(tables(catalog)):
        with stock():
            told = read(catalog, name)
        found = read(catalog, name)
        assert [plain(each) for each, _ in found] == [plain(each) for each, _ in told]
        assert [entries for _, entries in found] == [entries for _, entries in told]
        assert sum(len(entries) for _, entries in found) == files
