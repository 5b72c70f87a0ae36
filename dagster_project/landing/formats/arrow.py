"""Arrow IPC, stream or file, and Feather: batches as they are, every value in its type."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import duckdb
import pyarrow as pa

from dagster_project.landing.reading import Field, Head, Piece, Unreadable
from dagster_project.landing.table_columns import Wanted, kept_type
from dagster_project.landing.typed import read_batches
from dagster_project.landing.unpacked import Unpacked
from dagster_project.sources import TableSource

NAME: Final = "arrow"
SUFFIXES: Final = (".arrow", ".feather", ".ipc", ".arrows")
EXTRA: Final = None
IS_TEXT: Final = False
INSIDE: Final = None

_FILE: Final = b"ARROW1"
_ROWS: Final = 65_536


def find(con: duckdb.DuckDBPyConnection, file: Unpacked, source: TableSource) -> Head:  # noqa: ARG001
    """Return the columns with the types they are kept in. Raises `Unreadable`."""
    with _told(), _opened(file.path) as (schema, _):
        return Head(tuple(Wanted(field.name, kept_type(field.type)) for field in schema), schema)


def read(con: duckdb.DuckDBPyConnection, file: Unpacked, head: Head, fields: Sequence[Field]) -> Iterator[Piece]:
    """Give the rows in order. Raises `Broken` and `Unreadable`."""
    with _told(), _opened(file.path) as (_, batches):
        yield from read_batches(con, map(_numbered, _cut(batches)), head.how, fields)


@contextmanager
def _opened(path: str) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
    with pa.memory_map(path) as source:
        if source.read(len(_FILE)) == _FILE:
            source.seek(0)
            file = pa.ipc.open_file(source)
            yield file.schema, (file.get_batch(i) for i in range(file.num_record_batches))
        else:
            source.seek(0)
            stream = pa.ipc.open_stream(source)
            yield stream.schema, iter(stream)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise Unreadable(f"it is no Arrow file that can be read: {str(error).splitlines()[0]}") from error


def _cut(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield from (batch.slice(start, _ROWS) for start in range(0, batch.num_rows, _ROWS))


def _numbered(batch: pa.RecordBatch) -> pa.RecordBatch:
    columns: list[Any] = [_plain(column) for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=[f"c{i}" for i in range(len(columns))])


def _plain(column: pa.Array[Any]) -> pa.Array[Any]:
    """Return a column without the encoding of repeated values, which only says how it is kept."""
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
