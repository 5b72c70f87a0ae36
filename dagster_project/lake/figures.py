"""What the statistics of data files say of their columns: nulls, the least and the greatest, without reading a row.

What belongs here: figures of files that are staged or committed. What does not: what they are compared with (views),
and figures that take reading (`audit`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
from pyiceberg.conversions import from_bytes
from pyiceberg.manifest import DataFile
from pyiceberg.types import PrimitiveType

from dagster_project.contracts import Column
from dagster_project.lake.pins import Pin
from dagster_project.lake.schema import iceberg_schema

if TYPE_CHECKING:
    from dagster_project.lake.lake import Lake  # workers import this module, and need no catalog

_MICROSECONDS: Final = 1_000_000
_DAY: Final = 86_400


@dataclass(frozen=True, slots=True)
class Figures:
    """A column in some files. `least` and `greatest` are of numbers, and of times in seconds since 1970; else None."""

    column: Column
    nulls: int
    least: float | None
    greatest: float | None


def column_figures(columns: Sequence[Column], files: Sequence[DataFile]) -> tuple[Figures, ...]:
    """Return the figures of `columns`, of plain types, in `files`; one whose statistics are not there is left out."""
    plain = tuple(column for column in columns if not pa.types.is_nested(column.type))
    found = []
    for column in plain:
        nulls = [count for file in files if (count := (file.null_value_counts or {}).get(column.field_id)) is not None]
        if len(nulls) == len(files):
            found.append(Figures(column, sum(nulls), *_ends(column, files)))
    return tuple(found)


def _ends(column: Column, files: Sequence[DataFile]) -> tuple[float | None, float | None]:
    type_ = iceberg_schema((column,)).fields[0].field_type
    if not _is_measured(column.type) or not isinstance(type_, PrimitiveType):
        return None, None
    ends: list[tuple[float, float]] = []
    for file in files:
        if (file.null_value_counts or {}).get(column.field_id) == file.record_count:
            continue
        least, greatest = ((bounds or {}).get(column.field_id) for bounds in (file.lower_bounds, file.upper_bounds))
        if least is None or greatest is None:  # some writers give none, e.g. where there is a NaN
            return None, None
        ends.append((_number(column.type, from_bytes(type_, least)), _number(column.type, from_bytes(type_, greatest))))
    if not ends:
        return None, None
    return min(least for least, _ in ends), max(greatest for _, greatest in ends)


def _is_measured(type_: pa.DataType) -> bool:
    """Whether a least and a greatest are told: of numbers and of times, and never of what people wrote."""
    return bool(
        pa.types.is_integer(type_)
        or pa.types.is_floating(type_)
        or pa.types.is_decimal(type_)
        or pa.types.is_timestamp(type_)
        or pa.types.is_date(type_)
    )


def _number(type_: pa.DataType, value: Any) -> float:
    if pa.types.is_timestamp(type_):
        return float(value) / _MICROSECONDS
    return float(value) * (_DAY if pa.types.is_date(type_) else 1)


def files_reaching(lake: Lake, pin: Pin, after: int) -> tuple[str, ...]:
    """Return the data files of a raw table that may hold arrivals `after` < sequence, by their statistics."""
    column = pin.table.column("sequence")
    ends = ((file.file_path, _ends(column, [file])[1]) for file in lake.data_files(pin.metadata_location))
    return tuple(path for path, greatest in ends if greatest is None or greatest > after)


def files_of_arrivals(lake: Lake, pin: Pin, *, after: int, to: int) -> tuple[DataFile, ...]:
    """Return the data files of a raw table that hold arrivals `after` < sequence <= `to` and no others.

    None at all if one of them holds others too, as after a compaction: then their statistics say nothing of these.
    """
    column = pin.table.column("sequence")
    found = []
    for file in lake.data_files(pin.metadata_location):
        least, greatest = _ends(column, [file])
        if least is None or greatest is None:
            return ()
        if greatest > after and least <= to:
            if least <= after or greatest > to:
                return ()
            found.append(file)
    return tuple(found)
