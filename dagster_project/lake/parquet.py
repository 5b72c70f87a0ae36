"""Arrow rows to Parquet files of one contract: rolled at a size, field ids in place, safe on disk before they are told.

What belongs here: how a data file is encoded, cut and made durable. What does not: where files lie and what they
are called (the caller's `new_path`), what their statistics mean to Iceberg (`lake.stage`), and what the rows say.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Literal, Self, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from dagster_project.contracts import struct_fields
from dagster_project.durable import sync
from dagster_project.errors import SchemaMismatch

ROWS_PER_GROUP: Final = 250_000
BYTES_PER_GROUP: Final = 64 * 1024 * 1024
"""Uncompressed; a group is held in memory as a whole, so this bounds the memory of a sink, not `ROWS_PER_GROUP`."""
BYTES_PER_FILE: Final = 256 * 1024 * 1024
"""Compressed. Replacing a row rewrites its file, so files stay well below Iceberg's usual 512 MB."""
Compression = Literal["snappy", "zstd", "lz4", "gzip", "brotli", "none"]
COMPRESSION: Final[Compression] = "zstd"
"""At its level 1: encodes talks as fast as snappy and pages faster, a third smaller; every Iceberg engine reads it."""
DICTIONARY_BYTES: Final = 8 << 20
"""Values that repeat within a group are stored once up to this size; the usual 1 MB gives up on long texts."""
SAMPLE_ROWS: Final = 4096
DISTINCT_SHARE: Final = 0.99
"""A column whose sampled values are nearly all distinct is written without a dictionary, which would take longer to
build than the values to write, and then be given up."""
WAITING: Final = 1
"""Groups that may wait for a thread while it writes another: enough to overlap, and memory stays bounded."""

Rows: TypeAlias = pa.RecordBatch | pa.Table


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A finished Parquet file; `size` in bytes."""

    path: str
    metadata: pq.FileMetaData
    size: int


class ParquetSink:
    """Writes Arrow batches of one schema to Parquet files, rolled at a size, field ids in place.

    What holds: no file is made before a row is written; after `close` every local file and its name are on disk
    (fsync); `abort`, or leaving the `with` block by an error, removes what was made. Rows keep their order within
    a file. With one thread the files follow each other too; with more, each thread has a file of its own and
    takes row groups in turn, so that a file holds runs of consecutive rows with gaps between them.

    Memory: about `bytes_per_group * (1 + 2 * threads)`, whatever is written. Not to be called from several threads.
    An address such as `s3://bucket/key` goes to `filesystem` without its scheme, as pyarrow wants it.
    """

    def __init__(
        self,
        schema: pa.Schema,
        new_path: Callable[[], str],
        *,
        filesystem: pafs.FileSystem | None = None,
        threads: int = 1,
        rows_per_group: int = ROWS_PER_GROUP,
        bytes_per_group: int = BYTES_PER_GROUP,
        bytes_per_file: int = BYTES_PER_FILE,
        compression: Compression = COMPRESSION,
    ) -> None:
        store = _Store(schema, _locked(new_path), filesystem or pafs.LocalFileSystem(), bytes_per_file, compression)
        self._schema = schema
        self._lanes = [_Lane(store) for _ in range(max(1, threads))]
        self._rows_per_group = rows_per_group
        self._bytes_per_group = bytes_per_group
        self._held: list[pa.RecordBatch] = []
        self._held_rows = self._held_bytes = 0
        self._groups = 0

    def write(self, rows: Rows) -> None:
        """Take rows of the sink's schema; raise `SchemaMismatch` if they are of another, and write none of them.

        Encodings of the same type (dictionary, large or view text) and nullability may differ; names, order
        and types may not.
        """
        for batch in _conform(rows, self._schema).to_batches(max_chunksize=self._rows_per_group):
            for piece in self._cut(batch):
                self._hold(piece)

    @property
    def held_bytes(self) -> int:
        """Bytes of rows that wait for their row group to be full."""
        return self._held_bytes

    def flush(self) -> None:
        """Send what is held to its file, as a row group that is smaller than others."""
        self._flush()

    def close(self) -> tuple[WrittenFile, ...]:
        """Write what is held, make all files durable and return them, in the order of their first rows."""
        self._flush()
        files = [file for lane in self._lanes for file in lane.close()]
        return tuple(written for _, written in sorted(files, key=lambda file: file[0]))

    def abort(self) -> None:
        """Remove every file this sink has made; harmless when called twice or after an error."""
        self._held.clear()
        for lane in self._lanes:
            lane.abort()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.abort()

    def _cut(self, batch: pa.RecordBatch) -> list[pa.RecordBatch]:
        """Cut a batch that is larger than a group; batches of usual size pass as they are."""
        pieces = min(batch.num_rows, -(-batch.nbytes // self._bytes_per_group))
        if pieces <= 1:
            return [batch] if batch.num_rows else []
        step = -(-batch.num_rows // pieces)
        return [batch.slice(start, step) for start in range(0, batch.num_rows, step)]

    def _hold(self, batch: pa.RecordBatch) -> None:
        size = batch.nbytes
        over = (
            self._held_bytes + size > self._bytes_per_group or self._held_rows + batch.num_rows > self._rows_per_group
        )
        if self._held and over:
            self._flush()
        self._held.append(batch)
        self._held_rows += batch.num_rows
        self._held_bytes += size

    def _flush(self) -> None:
        if not self._held:
            return
        group = pa.Table.from_batches(self._held, schema=self._schema)
        self._held = []
        self._held_rows = self._held_bytes = 0
        self._lanes[self._groups % len(self._lanes)].send(group, self._groups)
        self._groups += 1


class _Store:
    """What all lanes of a sink share: schema, names, file system, sizes."""

    def __init__(
        self,
        schema: pa.Schema,
        new_path: Callable[[], str],
        filesystem: pafs.FileSystem,
        bytes_per_file: int,
        compression: Compression,
    ) -> None:
        self.schema = schema
        self.new_path = new_path
        self.filesystem = filesystem
        self.bytes_per_file = bytes_per_file
        self.compression = compression

    @property
    def is_local(self) -> bool:
        return isinstance(self.filesystem, pafs.LocalFileSystem)

    def create(self, path: str) -> pa.NativeFile:
        if self.is_local:
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        return self.filesystem.open_output_stream(_bare(path))

    def settle(self, path: str) -> int:
        """Make a local file and its name durable; return its size in bytes."""
        if self.is_local:
            sync(path)
            sync(os.path.dirname(path) or ".")
        return int(self.filesystem.get_file_info(_bare(path)).size)

    def remove(self, path: str) -> None:
        with suppress(FileNotFoundError):
            self.filesystem.delete_file(_bare(path))


class _File:
    """One Parquet file being written; its first group decides how its columns are encoded."""

    def __init__(self, store: _Store, group: pa.Table, ordinal: int) -> None:
        self.path = store.new_path()
        self.first_group = ordinal
        self._store = store
        self._footers: list[pq.FileMetaData] = []
        self._stream = store.create(self.path)
        self._writer = pq.ParquetWriter(
            self._stream,
            store.schema,
            compression=store.compression,
            use_dictionary=_repeating(group),
            dictionary_pagesize_limit=DICTIONARY_BYTES,
            write_statistics=True,
            store_schema=False,  # an Arrow copy of the schema in the footer would tell every other reader nothing
            metadata_collector=self._footers,
        )

    @property
    def is_full(self) -> bool:
        return int(self._stream.tell()) >= self._store.bytes_per_file

    def write(self, group: pa.Table) -> None:
        self._writer.write_table(group, row_group_size=group.num_rows)

    def close(self) -> WrittenFile:
        self._writer.close()
        self._stream.close()
        return WrittenFile(self.path, self._footers[0], self._store.settle(self.path))

    def abort(self) -> None:
        for closeable in (self._writer, self._stream):
            with suppress(Exception):  # it is removed below, whatever state it is in
                closeable.close()


class _Lane:
    """Files that follow each other, written by one background thread, which starts with the first full group."""

    def __init__(self, store: _Store) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="parquet")
        self._pending: deque[Future[None]] = deque()
        self._open: _File | None = None
        self._done: list[tuple[int, WrittenFile]] = []

    def send(self, group: pa.Table, ordinal: int) -> None:
        """Queue a row group; waits while the thread is behind, and raises what went wrong in it."""
        while len(self._pending) > WAITING:
            self._pending.popleft().result()
        self._pending.append(self._thread.submit(self._write, group, ordinal))

    def close(self) -> list[tuple[int, WrittenFile]]:
        while self._pending:
            self._pending.popleft().result()
        self._thread.submit(self._finish).result()
        self._thread.shutdown()
        return self._done

    def abort(self) -> None:
        self._thread.shutdown(cancel_futures=True)
        self._pending.clear()
        if self._open:
            self._open.abort()
            self._store.remove(self._open.path)
            self._open = None
        for _, written in self._done:
            self._store.remove(written.path)
        self._done = []

    def _write(self, group: pa.Table, ordinal: int) -> None:
        self._open = self._open or _File(self._store, group, ordinal)
        self._open.write(group)
        if self._open.is_full:
            self._finish()

    def _finish(self) -> None:
        if self._open:
            self._done.append((self._open.first_group, self._open.close()))
            self._open = None


def _repeating(group: pa.Table) -> list[str]:
    """Return the Parquet columns of which many values occur more than once, as rows from all over `group` show."""
    rows = group.take(list(range(0, group.num_rows, max(1, group.num_rows // SAMPLE_ROWS))))
    repeating = []
    for field in group.schema:
        if pa.types.is_nested(field.type):
            repeating.extend(_leaves(field.type, field.name))
        elif _repeats(rows[field.name]):
            repeating.append(field.name)
    return repeating


def _leaves(type_: pa.DataType, path: str) -> list[str]:
    """Return the Parquet columns of a nested one."""
    if pa.types.is_list(type_):
        return _leaves(type_.value_type, f"{path}.list.element")
    if pa.types.is_map(type_):
        inner = (("key", type_.key_type), ("value", type_.item_type))
        return [leaf for name, each in inner for leaf in _leaves(each, f"{path}.key_value.{name}")]
    if pa.types.is_struct(type_):
        return [leaf for field in struct_fields(type_) for leaf in _leaves(field.type, f"{path}.{field.name}")]
    return [path]


def _repeats(values: pa.ChunkedArray) -> bool:
    given = len(values) - values.null_count
    return bool(pa.types.is_boolean(values.type) or pc.count_distinct(values).as_py() <= DISTINCT_SHARE * given)


def _locked(new_path: Callable[[], str]) -> Callable[[], str]:
    """Let one thread at a time ask for a path: a caller's counter need not be safe."""
    lock = threading.Lock()

    def ask() -> str:
        with lock:
            return new_path()

    return ask


def _bare(path: str) -> str:
    return path.split("://", 1)[-1]


def _conform(rows: Rows, schema: pa.Schema) -> pa.Table:
    """Return the rows as a table of exactly `schema`, or raise `SchemaMismatch` naming what differs."""
    table = pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows
    _check(table.schema, schema)
    columns = [
        column if column.type.equals(field.type) else column.cast(field.type)
        for column, field in zip(table.columns, schema, strict=True)
    ]
    return pa.table(columns, schema=schema)


def _check(given: pa.Schema, wanted: pa.Schema) -> None:
    if given.names != wanted.names:
        raise SchemaMismatch(
            f"Rows have the columns {', '.join(given.names)}; their table has {', '.join(wanted.names)}. Nothing of "
            "them was written. Give every column of the contract, by name and in order."
        )
    for field, want in zip(given, wanted, strict=True):
        if not _plain(field.type).equals(_plain(want.type)):
            raise SchemaMismatch(
                f"Column {want.name} holds {field.type}; its contract says {want.type}. Nothing of these rows was "
                "written. Cast it where it is made, so that a value that does not fit is seen."
            )


def _plain(type_: pa.DataType) -> pa.DataType:
    """Return the type without what only says how it is encoded."""
    if pa.types.is_dictionary(type_):
        return _plain(type_.value_type)
    if pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return pa.string()
    if pa.types.is_large_binary(type_) or pa.types.is_binary_view(type_):
        return pa.binary()
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return pa.list_(_plain(type_.value_type))
    if pa.types.is_map(type_):
        return pa.map_(_plain(type_.key_type), _plain(type_.item_type))
    if pa.types.is_struct(type_):
        return pa.struct([(f.name, _plain(f.type)) for f in struct_fields(type_)])
    return type_
