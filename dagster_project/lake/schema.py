"""Contracts as Iceberg schemas, specs and sort orders, and an Iceberg schema back as columns of a contract.

Types outside this small set are refused: what the contracts do not use, nobody has tried.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.sorting import NullOrder, SortDirection, SortField, SortOrder
from pyiceberg.transforms import DayTransform, IdentityTransform, Transform
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    IcebergType,
    ListType,
    LongType,
    MapType,
    NestedField,
    StringType,
    StructType,
    TimestampType,
    TimestamptzType,
)

from dagster_project import contracts
from dagster_project.contracts import struct_fields
from dagster_project.errors import LakeUnsupported

_ICEBERG: Final[dict[pa.DataType, IcebergType]] = {
    pa.string(): StringType(),
    pa.int64(): LongType(),
    pa.float64(): DoubleType(),
    pa.bool_(): BooleanType(),
    pa.binary(): BinaryType(),
    pa.date32(): DateType(),
    pa.timestamp("us"): TimestampType(),
    pa.timestamp("us", tz="UTC"): TimestamptzType(),
}
_ARROW: Final = {str(iceberg): arrow for arrow, iceberg in _ICEBERG.items()}
_TRANSFORMS: Final[dict[str, Transform[Any, Any]]] = {"identity": IdentityTransform(), "day": DayTransform()}
_FIRST_PARTITION_ID: Final = 1000


def iceberg_schema(columns: tuple[contracts.Column, ...], schema_id: int = 0) -> Schema:
    """Return the Iceberg schema of `columns`: all optional, ids and docs as the contract has them."""
    fields = [
        NestedField(column.field_id, column.name, _iceberg_type(column), required=False, doc=column.doc)
        for column in columns
    ]
    return Schema(*fields, schema_id=schema_id)


def _iceberg_type(column: contracts.Column) -> IcebergType:
    try:
        return _typed(column.type, iter(column.nested))
    except (KeyError, StopIteration):
        raise LakeUnsupported(
            f"Column {column.name} has the type {column.type}, which no table of notelake uses."
        ) from None


def _typed(type_: pa.DataType, ids: Iterator[int]) -> IcebergType:
    """Return the Iceberg type, its inner fields numbered in the order of `contracts.inner_fields`."""
    if pa.types.is_list(type_):
        return ListType(element_id=next(ids), element=_typed(type_.value_type, ids), element_required=False)
    if pa.types.is_map(type_):
        key, key_type = next(ids), _typed(type_.key_type, ids)
        value = next(ids)
        return MapType(
            key_id=key,
            key_type=key_type,
            value_id=value,
            value_type=_typed(type_.item_type, ids),
            value_required=False,
        )
    if pa.types.is_struct(type_):
        fields = (NestedField(next(ids), f.name, _typed(f.type, ids), required=False) for f in struct_fields(type_))
        return StructType(*fields)
    if pa.types.is_decimal(type_):
        return DecimalType(type_.precision, type_.scale)
    return _ICEBERG[type_]


def as_created(columns: tuple[contracts.Column, ...]) -> tuple[contracts.Column, ...]:
    """Return the first of `columns`, as many as get their ids from Iceberg when a table is created with them.

    Iceberg numbers the columns first and the elements of lists after them, whatever ids it is given.
    """
    elements = [id_ for column in columns for id_ in column.nested]
    count = min(elements, default=len(columns) + 1) - 1
    return columns[:count]


def columns_of(schema: Schema) -> tuple[contracts.Column, ...]:
    """Return the columns of an Iceberg schema in the terms of the contracts."""
    return tuple(_column(field) for field in schema.fields)


def _column(field: NestedField) -> contracts.Column:
    ids: list[int] = []
    return contracts.Column(field.field_id, field.name, _arrow(field.field_type, ids), field.doc or "", tuple(ids))


def _arrow(type_: IcebergType, ids: list[int]) -> pa.DataType:
    """Return the Arrow type, and append the ids of its inner fields in the order of `contracts.inner_fields`."""
    if isinstance(type_, ListType):
        ids.append(type_.element_id)
        return pa.list_(_arrow(type_.element_type, ids))
    if isinstance(type_, MapType):
        ids.append(type_.key_id)
        key = _arrow(type_.key_type, ids)
        ids.append(type_.value_id)
        return pa.map_(key, _arrow(type_.value_type, ids))
    if isinstance(type_, StructType):
        fields = []
        for inner in type_.fields:
            ids.append(inner.field_id)
            fields.append(pa.field(inner.name, _arrow(inner.field_type, ids)))
        return pa.struct(fields)
    if isinstance(type_, DecimalType):
        return pa.decimal128(type_.precision, type_.scale)
    return _ARROW[str(type_)]


def partition_spec(table: contracts.Table) -> PartitionSpec:
    """Return the Iceberg partition spec of a contract; field ids from 1000 on, as the Iceberg spec has it."""
    return PartitionSpec(
        *[
            PartitionField(
                source_id=table.column(part.column).field_id,
                field_id=_FIRST_PARTITION_ID + index,
                transform=_TRANSFORMS[part.transform],
                name=part.column if part.transform == "identity" else f"{part.column}_{part.transform}",
            )
            for index, part in enumerate(table.partition)
        ]
    )


def sort_order(table: contracts.Table) -> SortOrder:
    """Return the Iceberg sort order of a contract: ascending, nulls first."""
    return SortOrder(
        *[
            SortField(
                source_id=table.column(name).field_id,
                transform=IdentityTransform(),
                direction=SortDirection.ASC,
                null_order=NullOrder.NULLS_FIRST,
            )
            for name in table.sort
        ]
    )
