"""Contracts as Iceberg schemas, specs and sort orders, and an Iceberg schema back as columns of a contract.

Types outside this small set are refused: what the contracts do not use, nobody has tried.
"""

from __future__ import annotations

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
    DoubleType,
    IcebergType,
    ListType,
    LongType,
    NestedField,
    StringType,
    TimestampType,
    TimestamptzType,
)

from dagster_project import contracts
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
    if column.element_id is not None:
        return ListType(element_id=column.element_id, element=_ICEBERG[column.type.value_type], element_required=False)
    try:
        return _ICEBERG[column.type]
    except KeyError:
        raise LakeUnsupported(
            f"Column {column.name} has the type {column.type}, which no table of notelake uses."
        ) from None


def as_created(columns: tuple[contracts.Column, ...]) -> tuple[contracts.Column, ...]:
    """Return the first of `columns`, as many as get their ids from Iceberg when a table is created with them.

    Iceberg numbers the columns first and the elements of lists after them, whatever ids it is given.
    """
    elements = [column.element_id for column in columns if column.element_id is not None]
    count = min(elements, default=len(columns) + 1) - 1
    return columns[:count]


def columns_of(schema: Schema) -> tuple[contracts.Column, ...]:
    """Return the columns of an Iceberg schema in the terms of the contracts."""
    return tuple(_column(field) for field in schema.fields)


def _column(field: NestedField) -> contracts.Column:
    if isinstance(field.field_type, ListType):
        type_ = pa.list_(_ARROW[str(field.field_type.element_type)])
        return contracts.Column(field.field_id, field.name, type_, field.doc or "", field.field_type.element_id)
    return contracts.Column(field.field_id, field.name, _ARROW[str(field.field_type)], field.doc or "")


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
