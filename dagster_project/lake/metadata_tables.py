"""What Iceberg's metadata says of a table, as Arrow rows: its snapshots, history, references, manifests and data files.

What belongs here: the rows of one pinned table, each beginning with the table's name. What does not: where they are
shown and under which names (`views.metadata_views`). Nothing is read here that making the pin has not read already,
but the short lists of manifests. A row of a data file never changes, so those that are known are left out.

Texts of bounds and partition values are those of Iceberg's `toHumanString`, as Trino shows them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import pyarrow as pa
from pyiceberg.conversions import from_bytes
from pyiceberg.manifest import DataFile, ManifestFile, PartitionFieldSummary
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import ancestors_of
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import PrimitiveType

from dagster_project.lake.lake import Lake
from dagster_project.lake.pins import Pin

Facts: TypeAlias = Mapping[str, pa.Table]
"""Rows by the name of what they tell of: snapshots, history, refs, manifests, files."""

_INSTANT: Final = pa.timestamp("ms", tz="UTC")
_COUNTS: Final = pa.map_(pa.int32(), pa.int64())
_BOUNDS: Final = pa.map_(pa.int32(), pa.string())
_SUMMARY: Final = pa.struct(
    [
        ("contains_null", pa.bool_()),
        ("contains_nan", pa.bool_()),
        ("lower_bound", pa.string()),
        ("upper_bound", pa.string()),
    ]
)
SCHEMAS: Final[Mapping[str, pa.Schema]] = {
    "snapshots": pa.schema(
        [
            ("table_name", pa.string()),
            ("committed_at", _INSTANT),
            ("snapshot_id", pa.int64()),
            ("parent_id", pa.int64()),
            ("operation", pa.string()),
            ("manifest_list", pa.string()),
            ("summary", pa.map_(pa.string(), pa.string())),
        ]
    ),
    "history": pa.schema(
        [
            ("table_name", pa.string()),
            ("made_current_at", _INSTANT),
            ("snapshot_id", pa.int64()),
            ("parent_id", pa.int64()),
            ("is_current_ancestor", pa.bool_()),
        ]
    ),
    "refs": pa.schema(
        [
            ("table_name", pa.string()),
            ("name", pa.string()),
            ("type", pa.string()),
            ("snapshot_id", pa.int64()),
            ("max_reference_age_in_ms", pa.int64()),
            ("min_snapshots_to_keep", pa.int32()),
            ("max_snapshot_age_in_ms", pa.int64()),
        ]
    ),
    "manifests": pa.schema(
        [
            ("table_name", pa.string()),
            ("path", pa.string()),
            ("length", pa.int64()),
            ("partition_spec_id", pa.int32()),
            ("added_snapshot_id", pa.int64()),
            ("added_data_files_count", pa.int32()),
            ("added_rows_count", pa.int64()),
            ("existing_data_files_count", pa.int32()),
            ("existing_rows_count", pa.int64()),
            ("deleted_data_files_count", pa.int32()),
            ("deleted_rows_count", pa.int64()),
            ("partitions", pa.list_(_SUMMARY)),
        ]
    ),
    "files": pa.schema(
        [
            ("table_name", pa.string()),
            ("content", pa.int32()),
            ("file_path", pa.string()),
            ("file_format", pa.string()),
            ("partition", pa.map_(pa.string(), pa.string())),
            ("record_count", pa.int64()),
            ("file_size_in_bytes", pa.int64()),
            ("column_sizes", _COUNTS),
            ("value_counts", _COUNTS),
            ("null_value_counts", _COUNTS),
            ("nan_value_counts", _COUNTS),
            ("lower_bounds", _BOUNDS),
            ("upper_bounds", _BOUNDS),
            ("key_metadata", pa.binary()),
            ("split_offsets", pa.list_(pa.int64())),
            ("equality_ids", pa.list_(pa.int32())),
        ]
    ),
}
"""The columns of each, in order; instants are UTC, to the millisecond."""


def facts_of(lake: Lake, pin: Pin, known_files: Collection[str] = ()) -> Facts:
    """Return what the metadata of `pin` says; of its data files only those whose paths are not among `known_files`."""
    metadata = lake.metadata(pin.metadata_location)
    snapshot = metadata.current_snapshot()
    manifests = snapshot.manifests(lake.io) if snapshot else []
    new = [file for file in lake.data_files(pin.metadata_location) if file.file_path not in known_files]
    rows = {
        "snapshots": _snapshots(metadata),
        "history": _history(metadata),
        "refs": _refs(metadata),
        "manifests": [_manifest(manifest, metadata) for manifest in manifests],
        "files": _files(new, metadata),
    }
    return {name: _table(pin.table.identifier, each, SCHEMAS[name]) for name, each in rows.items()}


def together(facts: Iterable[Facts]) -> Facts:
    """Return the rows of several tables as one of each kind."""
    told = list(facts)
    return {
        name: pa.concat_tables([schema.empty_table(), *(f[name] for f in told)]) for name, schema in SCHEMAS.items()
    }


_Rows: TypeAlias = Sequence[tuple[Any, ...]]


def _table(name: str, rows: _Rows, schema: pa.Schema) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else ((),) * (len(schema) - 1)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, list(schema)[1:], strict=True)]
    return pa.table([pa.array([name] * len(rows), pa.string()), *arrays], schema=schema)


def _snapshots(metadata: TableMetadata) -> _Rows:
    return [
        (
            each.timestamp_ms,
            each.snapshot_id,
            each.parent_snapshot_id,
            each.summary.operation.value if each.summary else None,
            each.manifest_list,
            list(each.summary.additional_properties.items()) if each.summary else None,
        )
        for each in metadata.snapshots
    ]


def _history(metadata: TableMetadata) -> _Rows:
    ancestors = {each.snapshot_id for each in ancestors_of(metadata.current_snapshot(), metadata)}
    parents = {each.snapshot_id: each.parent_snapshot_id for each in metadata.snapshots}
    return [
        (entry.timestamp_ms, entry.snapshot_id, parents.get(entry.snapshot_id), entry.snapshot_id in ancestors)
        for entry in metadata.snapshot_log
    ]


def _refs(metadata: TableMetadata) -> _Rows:
    return [
        (
            name,
            ref.snapshot_ref_type.value.upper(),
            ref.snapshot_id,
            ref.max_ref_age_ms,
            ref.min_snapshots_to_keep,
            ref.max_snapshot_age_ms,
        )
        for name, ref in metadata.refs.items()
    ]


def _manifest(manifest: ManifestFile, metadata: TableMetadata) -> tuple[Any, ...]:
    spec = metadata.specs()[manifest.partition_spec_id]
    return (
        manifest.manifest_path,
        manifest.manifest_length,
        manifest.partition_spec_id,
        manifest.added_snapshot_id,
        manifest.added_files_count,
        manifest.added_rows_count,
        manifest.existing_files_count,
        manifest.existing_rows_count,
        manifest.deleted_files_count,
        manifest.deleted_rows_count,
        [_summary(each, index, spec, metadata.schema()) for index, each in enumerate(manifest.partitions or [])],
    )


def _summary(summary: PartitionFieldSummary, index: int, spec: PartitionSpec, schema: Schema) -> dict[str, Any]:
    type_, transform = spec.partition_type(schema).fields[index].field_type, spec.fields[index].transform

    def told(bound: bytes | None) -> str | None:
        if bound is None or not isinstance(type_, PrimitiveType):
            return None
        return transform.to_human_string(type_, from_bytes(type_, bound))

    return {
        "contains_null": summary.contains_null,
        "contains_nan": summary.contains_nan,
        "lower_bound": told(summary.lower_bound),
        "upper_bound": told(summary.upper_bound),
    }


def _files(files: Sequence[DataFile], metadata: TableMetadata) -> _Rows:
    specs, types, used = metadata.specs(), _types(metadata.schema()), {file.spec_id for file in files}
    partition_of = {spec_id: _partition_texts(specs[spec_id], metadata.schema()) for spec_id in used}
    return [
        (
            int(file.content),
            file.file_path,
            file.file_format.value,
            partition_of[file.spec_id](file),
            file.record_count,
            file.file_size_in_bytes,
            *map(_pairs, (file.column_sizes, file.value_counts, file.null_value_counts, file.nan_value_counts)),
            _texts(file.lower_bounds, types),
            _texts(file.upper_bounds, types),
            file.key_metadata,
            file.split_offsets,
            file.equality_ids,
        )
        for file in files
    ]


def _types(schema: Schema) -> dict[int, PrimitiveType]:
    found = {field_id: schema.find_type(field_id) for field_id in schema.field_ids}
    return {field_id: type_ for field_id, type_ in found.items() if isinstance(type_, PrimitiveType)}


def _partition_texts(spec: PartitionSpec, schema: Schema) -> Callable[[DataFile], list[tuple[str, str | None]]]:
    """Return how the partition of a file of this spec is told: name and text of each value."""
    types = [field.field_type for field in spec.partition_type(schema).fields]

    def texts(file: DataFile) -> list[tuple[str, str | None]]:
        told = []
        for index, (field, type_) in enumerate(zip(spec.fields, types, strict=True)):
            value = file.partition[index]
            told.append((field.name, None if value is None else field.transform.to_human_string(type_, value)))
        return told

    return texts


def _pairs(counts: Mapping[int, int] | None) -> list[tuple[int, int]] | None:
    return None if counts is None else list(counts.items())


_IDENTITY: Final = IdentityTransform[Any]()


def _texts(bounds: Mapping[int, bytes] | None, types: Mapping[int, PrimitiveType]) -> list[tuple[int, str]] | None:
    """Return the bounds as texts; those of columns the table no longer has are left out."""
    if bounds is None:
        return None
    known = ((field_id, types[field_id], bound) for field_id, bound in bounds.items() if field_id in types)
    return [(field_id, _IDENTITY.to_human_string(type_, from_bytes(type_, bound))) for field_id, type_, bound in known]
