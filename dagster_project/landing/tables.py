"""Table sources: files of rows to arrivals in `raw.<source>`, as they were received.

What belongs here: which columns the raw table gets, numbering arrivals, and the marker that ends each file.
What does not: finding files (`table_files`), reading them (`formats`), and what the rows mean (`shaping.rows`).

A table of a database is landed as a file is. Where its source is incremental, each landing of it is a file of its own,
which adds to those before: rows that are new or changed, and `gone` ones among them, which stand before its marker.

The arrivals of a file stand together: its rows in order, rows that could not be read among them or after them, then
a marker `_op='file'` whose `_row` says how many they were. A marker with `_error` says that the file does not count.
`_payload` of a marker says how the file was read, as JSON. A marker `_op='same'` stands for a file that was not loaded,
because its content stands under the path in its `_payload`; its `_row` says how many rows that has.

A type is chosen from a sample; if a later value does not survive it, `Retyped` is raised and the landing begins anew.
Where a value does not fit a column that stands, the source's schema contract decides.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import unquote

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dagster_project.contracts import INSTANT, INT, TEXT, Column, Table, raw_table, variant_doc
from dagster_project.errors import SourceUnavailable, TooManyGone
from dagster_project.landing import formats
from dagster_project.landing.compared import Compared, Digest
from dagster_project.landing.databases import Database, is_of
from dagster_project.landing.departed import Departed
from dagster_project.landing.reading import Broken, Conflict, Field, Head, Mangled, Piece, Unreadable
from dagster_project.landing.row_hash import row_hashes
from dagster_project.landing.standing import WHOLE
from dagster_project.landing.table_columns import (
    DATE,
    Wanted,
    add_columns,
    common_type,
    grow_columns,
    grown,
    new_fields,
    place,
    variant_name,
)
from dagster_project.landing.table_files import KnownFile, Scan, SeenFile, Stamp, has_changed, local_copy, look
from dagster_project.landing.unpacked import Unpacked, unpacked
from dagster_project.sources import TableSource
from dagster_project.sql_words import sql_type

__all__ = ["KnownFile", "Landing", "Retyped", "Scan", "SeenFile", "Stamp", "arrivals", "look"]

NOTHING: Final = Head(())
_HIVE_NULL: Final = "__HIVE_DEFAULT_PARTITION__"
FEW: Final = 10
"""Fewer rows may vanish at once, whatever share of the source they are."""
TORN: Final = "it changed while it was read; the next run reads it again"


@dataclass(frozen=True, slots=True)
class _Reading:
    """How one file is to be read: its columns by name in the raw table, and what its format found.

    A column that the schema contract keeps out has no name.
    """

    file: SeenFile
    names: tuple[str | None, ...] = ()
    head: Head = NOTHING
    partition: Mapping[str, str] = field(default_factory=dict)
    """Values that the path of the file gives its rows, by header; they stand behind the columns of `head`."""
    encoding: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Landing:
    """What is to be written to `raw.<source>`: its columns first, then the arrivals by `batches`.

    `columns` are the user columns, those that were there and then the `added` ones, with their field ids.
    """

    source: TableSource
    columns: tuple[Column, ...]
    added: tuple[Column, ...]
    table: Table
    plan: _Plan = field(repr=False)
    readings: tuple[_Reading, ...] = field(repr=False)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Give the arrivals in the schema of `table`, sequence ascending without gaps. To be drained once.

        Raises `Retyped` if a new column's values turn out to be of another type: throw away what was written and
        begin anew with its `landing`.
        """
        return _batches(self)

    @property
    def unchanged(self) -> int:
        """How many rows of a database were read and stand as they are; complete after `batches`."""
        return self.plan.unchanged.total()


class Retyped(Exception):  # a turn of events, not an error
    """A value did not fit the type its new column had been given; `landing` begins anew with what is known now."""

    def __init__(self, landing: Landing) -> None:
        super().__init__("a column's type was changed; begin anew with the landing of this exception")
        self.landing = landing


def arrivals(
    con: duckdb.DuckDBPyConnection,
    source: TableSource,
    scan: Scan,
    *,
    columns: Sequence[Column] | None,
    first_sequence: int,
    landed_at: datetime,
    last_field_id: int = 0,
    scratch: Path | None = None,
    raw: str | None = None,
    database: Database | None = None,
    known: Mapping[str, KnownFile] | None = None,
    max_gone_share: float = 1,
    again: Collection[str] = (),
) -> Landing:
    """Return what landing `scan` adds to `raw.<source>`.

    `columns` are the user columns the raw table has, None if there is no such table yet (it decides how field ids
    are given, see `table_columns.add_columns`); `last_field_id` is the highest id it ever gave. `con` must keep
    insertion order, which is DuckDB's default. `raw` is what has landed, as SQL: with it, in the modes merge and
    history, rows that the source has no more arrive as `gone`. Memory is bounded by what `con` may hold plus some 16 MB
    pieces. Tables of a `database` are compared with what is `known`, and those that are as they were land nothing; of
    those in `again` rows that were refused count as new, and the marker says that all the table's rows were looked at.
    If a larger share of the rows of what is `known` would vanish, draining the batches ends in `TooManyGone`.
    """
    plan = _Plan(
        con, source, scan, columns is not None, tuple(columns or ()), first_sequence, landed_at, last_field_id, scratch
    )
    plan = replace(plan, raw=raw, database=database, files=known or {}, max_gone_share=max_gone_share)
    return _landing(replace(plan, again=frozenset(again)))


@dataclass(frozen=True, slots=True)
class _Plan:
    """All that decides a landing; `text` and `careful` are what earlier attempts have taught."""

    con: duckdb.DuckDBPyConnection
    source: TableSource
    scan: Scan
    is_table: bool
    known: tuple[Column, ...]
    first_sequence: int
    landed_at: datetime
    last_field_id: int
    scratch: Path | None
    text: frozenset[str] = frozenset()
    """New columns that must be text."""
    variants: frozenset[str] = frozenset()
    """Columns that need one beside them, for values that do not fit."""
    careful: frozenset[str] = frozenset()
    """CSV files that need the careful reader."""
    raw: str | None = None
    """What has landed so far, as SQL; needed to tell which rows are gone or changed."""
    database: Database | None = None
    files: Mapping[str, KnownFile] = field(default_factory=dict)
    """What of the source has landed."""
    max_gone_share: float = 1
    again: frozenset[str] = frozenset()
    """Tables of a database of which refused rows are to come again."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Tables of a database that could not be read to their end, and why."""
    unchanged: Counter[str] = field(default_factory=Counter)
    """Rows of a database that were read and stand as they are, by table; filled while they are read."""

    def refuse_gone(self, gone: int, known: int) -> None:
        """Raise `TooManyGone` if so many rows are likelier a mistake than a deletion."""
        if gone >= FEW and gone > known * self.max_gone_share:
            raise TooManyGone(
                f"{self.source.name}: {gone} of {known} rows vanished from {self.source.path} at once; nothing was "
                "landed. If they were deleted on purpose, run again with --allow-gone; if not, check the source."
            )

    def last(self, file: SeenFile) -> KnownFile | None:
        """Return what landed last of a table of a database."""
        if self.source.incremental == "none":
            return self.files.get(file.path)
        of_table = (known for path, known in self.files.items() if is_of(path, file.inside or "", self.source))
        return max(of_table, key=lambda known: known.sequence, default=None)


# --- columns --------------------------------------------------------------------------------------------------------


def _landing(plan: _Plan) -> Landing:
    """Look into every file for its columns, and lay out the raw table."""
    new: dict[str, Wanted] = {}
    known = {column.name: column.type for column in plan.known}
    types = dict(known)
    readings = []
    for file in plan.scan.arrived:
        present = (*plan.known, *(Column(0, name, want.type, want.header) for name, want in new.items()))
        reading = _head(plan, file, present)
        readings.append(reading)
        for name, want in zip(reading.names, _columns(reading), strict=True):
            if name in known:
                types[name] = _grown(plan, types[name], want.type)
            elif name is not None:
                before = new.get(name, Wanted(want.header, pa.null()))
                new[name] = Wanted(before.header, _joined(before.type, want.type))
    wanted = {name: _decided(plan, name, want) for name, want in new.items()} | _variants(plan, new.keys())
    stand = grow_columns(plan.known, types, plan.last_field_id)
    columns = add_columns(stand if plan.is_table else None, wanted, plan.last_field_id)
    table = raw_table(plan.source.name, "table", columns)
    return Landing(plan.source, columns, columns[len(plan.known) :], table, plan, tuple(readings))


def _head(plan: _Plan, file: SeenFile, present: Sequence[Column]) -> _Reading:
    """Return how to read a file; one that cannot be read, or that the contract refuses, comes with its error."""
    if file.error or file.same_as or file.path in plan.refused:
        return _Reading(file, error=file.error or plan.refused.get(file.path))
    if plan.database is not None:
        reading = _Reading(file, (), plan.database.find(file.inside or ""))
    else:
        try:
            with _input(plan, file) as given:
                head: Head = formats.by_name()[file.format].find(plan.con, given, plan.source)
        except (Unreadable, OSError, SourceUnavailable) as error:
            return _Reading(file, error=str(error))
        partition = partition_of(file.path) if plan.source.partitions == "hive" else {}
        reading = _Reading(file, (), head, partition, given.encoding)
    names, new = place([want.header for want in _columns(reading)], present)
    reading = replace(reading, names=tuple(names))
    rule = plan.source.drift.columns
    if not plan.known or rule == "evolve":
        return reading
    types = {column.name: column.type for column in plan.known}
    lacking = [
        f"{want.header}.{path}"
        for name, want in zip(names, _columns(reading), strict=True)
        for path in new_fields(types.get(name, TEXT), want.type)
    ]
    if rule == "freeze" and (new or lacking):
        told = ", ".join(map(repr, [*(header for _, header in new), *lacking]))
        return _Reading(file, error=f"raw has no column for {told}, and the schema contract is `freeze`")
    outside = {name for name, _ in new}
    return replace(reading, names=tuple(None if name in outside else name for name in names))


@contextmanager
def _input(plan: _Plan, file: SeenFile) -> Iterator[Unpacked]:
    is_text = formats.by_name()[file.format].IS_TEXT
    inside = "" if file.is_member else file.inside or ""
    with (
        local_copy(file, plan.scratch) as path,
        unpacked(path, is_text=is_text, encoding=plan.source.encoding, inside=inside, scratch=plan.scratch) as given,
    ):
        yield given


def _columns(reading: _Reading) -> tuple[Wanted, ...]:
    """Return the columns of a file, those that its path gives at the end."""
    return (*reading.head.columns, *(Wanted(key, _type_of(value)) for key, value in reading.partition.items()))


def partition_of(path: str) -> dict[str, str]:
    """Return the values that folders named `key=value` give, as Hive writes them: escaped by %, null by a word.

    >>> partition_of("year=2024/city=S%C3%A3o Paulo/day=__HIVE_DEFAULT_PARTITION__/a.parquet")
    {'year': '2024', 'city': 'São Paulo'}
    """
    parts = (folder.partition("=") for folder in path.split("/")[:-1] if "=" in folder)
    return {unquote(key): unquote(value) for key, _, value in parts if key and value != _HIVE_NULL}


def _type_of(text: str) -> pa.DataType:
    """Return the type of a value in a path: that of whole numbers and days, if it is written as they are."""
    if re.fullmatch(r"0|-?[1-9][0-9]{0,17}", text):
        return INT
    with suppress(ValueError):
        return DATE if date.fromisoformat(text).isoformat() == text else TEXT
    return TEXT


def _with_partition(pieces: Iterator[Piece], landing: Landing, reading: _Reading) -> Iterator[Piece]:
    """Give the pieces with the values that the file's path gives. Raises `Unreadable` for one that does not fit."""
    given = []
    for key, name in zip(reading.partition, reading.names[len(reading.head.columns) :], strict=True):
        column = next((i, c) for i, c in enumerate(landing.columns) if c.name == name) if name else None
        if column is not None:
            given.append((column[0], reading.partition[key], _cast(key, reading.partition[key], column[1].type)))
    for piece in pieces:
        texts = {ordinal: _same(text, piece.rows) for ordinal, text, _ in given} if piece.texts else {}
        values = {ordinal: pa.repeat(value, piece.rows) for ordinal, _, value in given} if piece.texts else {}
        yield replace(piece, texts={**piece.texts, **texts}, values={**piece.values, **values})


def _cast(key: str, text: str, type_: pa.DataType) -> pa.Scalar[Any]:
    fits = type_ == TEXT or _type_of(text) == type_
    if not fits:
        raise Unreadable(f"its path says {key}={text}, and column {key} holds {sql_type(type_)} in raw")
    scalar: pa.Scalar[Any] = pa.scalar(text, TEXT).cast(type_)
    return scalar


def _variants(plan: _Plan, new: Iterable[str]) -> dict[str, Wanted]:
    """Return the columns for values that do not fit others, of those that need one and have none."""
    taken = {column.name for column in plan.known} | set(new)
    made: dict[str, Wanted] = {}
    for column in plan.known:
        if column.name in plan.variants:
            made[variant_name(column.name, taken | made.keys())] = Wanted(variant_doc(column.name), TEXT)
    return made


def _joined(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """Return the type for the values of two files; null as long as neither has any."""
    return pa.null() if pa.types.is_null(one) and pa.types.is_null(other) else common_type((one, other))


def _grown(plan: _Plan, known: pa.DataType, found: pa.DataType) -> pa.DataType:
    """Return the type of a column that stands, grown as the contract lets it."""
    drift = plan.source.drift
    return grown(known, found, fields=drift.columns == "evolve", digits=drift.types == "evolve")


def _decided(plan: _Plan, name: str, want: Wanted) -> Wanted:
    return Wanted(want.header, TEXT) if name in plan.text or pa.types.is_null(want.type) else want


# --- arrivals -------------------------------------------------------------------------------------------------------


def _batches(landing: Landing) -> Iterator[pa.RecordBatch]:
    plan = landing.plan
    sequence = plan.first_sequence
    loaded: dict[str, int] = {}
    before = {path: file.rows for path, file in plan.files.items() if not file.error}
    stands = {path: rows for path, rows in before.items() if path not in plan.scan.gone}
    departed = None
    if plan.raw and plan.source.mode in ("merge", "history"):
        departed = Departed.of(plan.con, plan.raw, landing.columns, plan.source, plan.scan)
    for reading in landing.readings:
        if plan.database is None:
            arriving = _of_file(landing, reading, sequence, loaded, departed)
        else:
            arriving = _of_table(landing, reading, sequence, departed)
        for batch in arriving:
            yield batch
            sequence += batch.num_rows
            stands |= _ended(batch)
    plan.refuse_gone(sum(before.values()) - sum(stands.values()), sum(before.values()))
    for path in plan.scan.gone:
        yield _marker(landing, "gone", path, sequence)
        sequence += 1
    for rows in departed.rows() if departed else ():
        yield _gone_rows(landing, rows, sequence)
        sequence += rows.num_rows


def _ended(batch: pa.RecordBatch) -> dict[str, int]:
    """Return how many rows the file has that a batch ends with its marker, by its path; nothing if it ends none."""
    end = batch.slice(batch.num_rows - 1).select(["_op", "_file", "_row", "_error"]).to_pylist()
    return {row["_file"]: row["_row"] or 0 for row in end if row["_op"] in ("file", "same") and not row["_error"]}


def _of_file(
    landing: Landing, reading: _Reading, first: int, loaded: dict[str, int], departed: Departed | None
) -> Iterator[pa.RecordBatch]:
    """Give the arrivals of a file and its marker; how many there were is put into `loaded`."""
    file = reading.file
    if file.same_as:
        rows = loaded.get(file.same_as, file.same_rows)
        yield _marker(landing, "same", file.path, first, sha256=file.sha256, rows=rows, payload=file.same_as)
        return
    count, ordinal, error, sha256 = 0, 1, reading.error, file.sha256
    try:
        for piece in () if error else _file_pieces(landing, reading):
            arrived = _arrived(landing, file, piece, first + count, ordinal)
            yield arrived
            if departed:
                departed.see(arrived)
            count += piece.rows
            ordinal += piece.rows if piece.is_numbered else 0
    except (Unreadable, OSError) as failure:
        error = str(failure)
    except SourceUnavailable:
        error, sha256 = TORN, None
    if has_changed(file) and not file.error:
        error, sha256 = TORN, None  # without a hash it counts as changed in the next scan, whatever it is then
    if departed and error:
        departed.forget(file.path)
    loaded[file.path] = count
    told = None if error else _told(reading)
    yield _marker(landing, "file", file.path, first + count, sha256=sha256, rows=count, error=error, payload=told)


def _of_table(landing: Landing, reading: _Reading, first: int, departed: Departed | None) -> Iterator[pa.RecordBatch]:
    """Give what a table of a database adds; nothing if it is as it was.

    If a contract refuses it, a marker with the error stands for it, and none of its rows lands.
    """
    plan, file, last = landing.plan, reading.file, landing.plan.last(reading.file)
    plan.unchanged[file.path] = 0
    if reading.error:
        if departed:
            departed.forget(file.path)
        if last is None or last.error != reading.error:
            yield _marker(landing, "file", file.path, first, rows=0, error=reading.error)
        return
    try:
        if plan.source.incremental == "none":
            yield from _whole(landing, reading, first, last, departed)
        else:
            yield from _newer(landing, reading, first, last)
    except Unreadable as error:
        raise Retyped(_landing(replace(plan, refused={**plan.refused, file.path: str(error)}))) from error


def _whole(
    landing: Landing, reading: _Reading, first: int, last: KnownFile | None, departed: Departed | None
) -> Iterator[pa.RecordBatch]:
    """Give all rows of a table and its marker, unless they are those of the last landing: read once more to see."""
    file, digest, count = reading.file, Digest(), 0
    if last and last.sha256:
        for rows in _table_rows(landing, reading):
            digest.add(rows)
        if str(digest) == last.sha256:
            landing.plan.unchanged[file.path] = digest.rows
            if departed:
                departed.forget(file.path)
            return
    digest = Digest()
    for rows in _table_rows(landing, reading):
        arrived = _numbered(landing, rows, first + count, count + 1)
        yield arrived
        digest.add(arrived)
        if departed:
            departed.see(arrived)
        count += rows.num_rows
    told = _told(reading)
    yield _marker(landing, "file", file.path, first + count, sha256=str(digest), rows=count, payload=told)


def _newer(landing: Landing, reading: _Reading, first: int, last: KnownFile | None) -> Iterator[pa.RecordBatch]:
    """Give the rows of a table that are new or changed, those that are gone, and their marker if there are any."""
    plan, file, count = landing.plan, reading.file, 0
    stood, table = None if last is None else plan.known, file.inside or ""
    again = table in plan.again
    compared = Compared.of(
        plan.con, plan.source, landing.columns, raw=plan.raw or "", stood=stood, table=table, again=again
    )
    with closing(compared):
        for rows in compared.changed(_table_rows(landing, reading)):
            yield _numbered(landing, rows, first + count, count + 1)
            count += rows.num_rows
        plan.unchanged[file.path] = compared.seen - count
        changed = count
        for rows in compared.gone() if plan.source.incremental == "compare" else ():
            gone = _gone_rows(landing, rows.append_column("_file", _same(file.path, rows.num_rows)), first + count)
            yield gone
            count += rows.num_rows
        plan.refuse_gone(count - changed, compared.stood)
    if count or last is None or again:
        told = _told(reading, {WHOLE: True} if again else {})
        yield _marker(landing, "file", file.path, first + count, rows=count, payload=told)


def _table_rows(landing: Landing, reading: _Reading) -> Iterator[pa.RecordBatch]:
    """Give all rows of a table as arrivals, numbered from 1."""
    count = 0
    for piece in _file_pieces(landing, reading):
        yield _arrived(landing, reading.file, piece, count + 1, count + 1)
        count += piece.rows


def _numbered(landing: Landing, rows: pa.RecordBatch, sequence: int, ordinal: int) -> pa.RecordBatch:
    """Return arrivals with numbers from `sequence` and `ordinal` on, in the schema of raw."""
    numbers = {"sequence": _count(sequence, rows.num_rows), "_row": _count(ordinal, rows.num_rows)}
    schema = landing.table.schema
    columns = [numbers.get(f.name, rows.column(f.name)) for f in schema]
    return pa.RecordBatch.from_arrays(
        [a if a.type.equals(f.type) else a.cast(f.type) for a, f in zip(columns, schema, strict=True)], schema=schema
    )


def _gone_rows(landing: Landing, rows: pa.RecordBatch, sequence: int) -> pa.RecordBatch:
    """Return rows that the source has no more: their keys, and where they stood."""
    count = rows.num_rows
    given = {"sequence": _count(sequence, count), "_op": _same("gone", count)}
    given |= {"_landed_at": pa.repeat(pa.scalar(landing.plan.landed_at, INSTANT), count)}
    given |= {name: rows.column(name) for name in rows.schema.names}
    schema = landing.table.schema
    columns = [given[f.name].cast(f.type) if f.name in given else _nulls(count, f.type) for f in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _told(reading: _Reading, more: Mapping[str, Any] = MappingProxyType({})) -> str:
    """Return how a file was read, as JSON: where it was guessed, somebody may want to know."""
    told = {"format": reading.file.format, **({"encoding": reading.encoding} if reading.encoding else {})}
    return json.dumps(told | dict(reading.head.told) | dict(more), ensure_ascii=False)


def _file_pieces(landing: Landing, reading: _Reading) -> Iterator[Piece]:
    """Give the pieces of a file; what its reader learns about types or dialect becomes `Retyped`."""
    plan = landing.plan
    try:
        if plan.database is not None:
            table = reading.file.inside or ""
            yield from plan.database.read(plan.con, table, reading.head, _fields(landing, reading))
            return
        with _input(plan, reading.file) as given:
            yield from _read(landing, reading, given)
    except Broken as broken:
        text, variants = ({landing.columns[i].name for i in found} for found in (broken.text, broken.variants))
        raise Retyped(_landing(replace(plan, text=plan.text | text, variants=plan.variants | variants))) from broken
    except Mangled as mangled:
        raise Retyped(_landing(replace(plan, careful=plan.careful | {reading.file.path}))) from mangled


def _read(landing: Landing, reading: _Reading, given: Unpacked) -> Iterator[Piece]:
    module = formats.by_name()[reading.file.format]
    read = module.read_carefully if reading.file.path in landing.plan.careful else module.read
    pieces: Iterator[Piece] = read(landing.plan.con, given, reading.head, _fields(landing, reading))
    return _with_partition(pieces, landing, reading) if reading.partition else pieces


_ON_CONFLICT: Final[Mapping[str, Conflict]] = {
    "evolve": "variant",
    "freeze": "freeze",
    "discard_row": "refuse",
    "discard_value": "leave_out",
}


def _fields(landing: Landing, reading: _Reading) -> list[Field]:
    drift = landing.plan.source.drift
    ordinals = {column.name: ordinal for ordinal, column in enumerate(landing.columns)}
    variants = {column.doc: ordinal for ordinal, column in enumerate(landing.columns)}
    new = {column.name for column in landing.added}
    fields = []
    for name, want in zip(reading.names, reading.head.columns, strict=False):  # those of the path are no fields of it
        if name is None:
            fields.append(Field(want.header, None, TEXT, _ON_CONFLICT[drift.columns]))
            continue
        column = landing.columns[ordinals[name]]
        rule = drift.columns if drift.columns != "evolve" and new_fields(column.type, want.type) else drift.types
        on_conflict = "retype" if name in new else _ON_CONFLICT[rule]
        fields.append(
            Field(want.header, ordinals[name], column.type, on_conflict, variants.get(variant_doc(column.name)))
        )
    return fields


def _arrived(landing: Landing, file: SeenFile, piece: Piece, sequence: int, ordinal: int) -> pa.RecordBatch:
    """Return the rows of a piece, numbered, with the raw table's columns."""
    rows = piece.rows
    hashes = row_hashes(piece.texts, rows)
    values: Mapping[int, pa.Array[Any]] = piece.values
    ops = _same("put", rows)
    if piece.errors is not None:
        refused = piece.errors.is_valid()
        # Taking row "null" gives null: a refused row has no values of its own, only its payload.
        kept = pc.if_else(refused, pa.scalar(None, INT), pa.array(np.arange(rows)))
        hashes = hashes.take(kept)
        values = {i: column.take(kept) for i, column in values.items()}
        ops = pc.if_else(refused, "refused", "put")
    ours = {
        "sequence": _count(sequence, rows),
        "_op": ops,
        "_file": _same(file.path, rows),
        "_file_sha256": _same(file.sha256, rows),
        "_row": _count(ordinal, rows) if piece.is_numbered else pa.nulls(rows, INT),
        "_row_hash": hashes,
        "_line": _only(piece.lines, piece.errors, rows, INT),
        "_error": _or_nulls(piece.errors, rows),
        "_payload": _or_nulls(piece.payloads, rows),
        "_landed_at": pa.repeat(pa.scalar(landing.plan.landed_at, INSTANT), rows),
    }
    theirs = [values.get(i, _nulls(rows, c.type)) for i, c in enumerate(landing.columns)]
    schema = landing.table.schema
    columns = [
        a if a.type.equals(f.type) else a.cast(f.type) for a, f in zip([*ours.values(), *theirs], schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _marker(
    landing: Landing,
    op: str,
    path: str,
    sequence: int,
    *,
    sha256: str | None = None,
    rows: int | None = None,
    error: str | None = None,
    payload: str | None = None,
) -> pa.RecordBatch:
    schema = landing.table.schema
    given = {
        "sequence": sequence,
        "_op": op,
        "_file": path,
        "_file_sha256": sha256,
        "_row": rows,
        "_error": error,
        "_payload": payload,
        "_landed_at": landing.plan.landed_at,
    }
    return pa.RecordBatch.from_arrays([pa.array([given.get(f.name)], f.type) for f in schema], schema=schema)


def _count(first: int, rows: int) -> pa.Array[Any]:
    return pa.array(np.arange(first, first + rows, dtype=np.int64))


def _same(text: str | None, rows: int) -> pa.Array[Any]:
    return pa.repeat(pa.scalar(text, TEXT), rows)


def _or_nulls(column: pa.Array[Any] | None, rows: int) -> pa.Array[Any]:
    return pa.nulls(rows, TEXT) if column is None else column


def _only(column: pa.Array[Any] | None, errors: pa.Array[Any] | None, rows: int, type_: pa.DataType) -> pa.Array[Any]:
    """Return the column where there is an error, null elsewhere."""
    if column is None or errors is None:
        return _nulls(rows, type_)
    only: pa.Array[Any] = pc.if_else(errors.is_valid(), column, pa.scalar(None, type_))
    return only


def _nulls(rows: int, type_: pa.DataType) -> pa.Array[Any]:
    make: Any = pa.nulls
    nulls: pa.Array[Any] = make(rows, type_)
    return nulls
