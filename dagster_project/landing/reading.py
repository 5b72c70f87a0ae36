"""What all readers of table files share: pieces of rows, and the SQL that types values and tells which do not fit.

What belongs here: the query that gives each value as text and in its column's type, and what becomes of a value that
does not survive the type. What does not: how a format's values are found (`formats`), which columns the raw table has
(`table_columns`), and how arrivals are numbered (`tables`).

A value is typed only where its text survives the type; values of typed formats keep the type they have there. What
becomes of one that does not fit a standing column is said by `Field.on_conflict`; none is ever cast in silence.
"""

from __future__ import annotations

import base64
import json
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from dagster_project.contracts import BOOL, INT, TEXT
from dagster_project.landing.table_columns import DOUBLE, Wanted, json_holds, leaves, survives
from dagster_project.sql_words import STREAMED_AHEAD, sql_type

BATCH_BYTES: Final = 16 << 20
"""What a piece holds, about; a few are under way at once."""
BATCH_ROWS: Final = (2_048, 65_536)
MOST_COLUMNS: Final = 2_000
LONGEST_SHOWN: Final = 80
HEADER_AGAIN: Final = -1
"""Stands for a column in `bad`: the row repeats the header."""

T = TypeVar("T")

Conflict = Literal["retype", "variant", "refuse", "leave_out", "freeze"]
"""What a value that does not fit does: its (new) column becomes text, it goes to the variant column, its row is
refused, it is left out and told, or the whole file is refused."""


class Unreadable(Exception):  # caught here, never shown
    """A file that cannot be read as its format at all; the message says why."""


class Broken(Exception):  # caught here, never shown
    """Values do not fit: `text` are ordinals of new columns that must be text, `variants` those that need a variant."""

    def __init__(self, text: frozenset[int], variants: frozenset[int]) -> None:
        super().__init__(f"columns {sorted(text | variants)} hold values of other types")
        self.text = text
        self.variants = variants


class Mangled(Exception):  # caught here, never shown
    """DuckDB's reader lost its way in a CSV file; the careful reader has to read it."""


@dataclass(frozen=True, slots=True)
class Field:
    """A column of a file: its header, and where it goes: ordinal and type in the raw table, None if it is kept out."""

    header: str
    ordinal: int | None
    type: pa.DataType
    on_conflict: Conflict = "retype"
    variant: int | None = None
    """Ordinal of the column for values that do not fit; None as long as there is none."""

    @property
    def is_guarded(self) -> bool:
        """Whether a value that does not fit is null in its column, and its row lands."""
        return self.on_conflict in ("variant", "leave_out")


@dataclass(frozen=True, slots=True)
class Head:
    """What a look into a file found: its columns, how its format reads it, and what is told of that in the marker."""

    columns: tuple[Wanted, ...]
    how: Any = None
    told: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows in file order. `texts` by ordinal of the column; `values` too. A row with an error is refused.

    `is_numbered` is false for rows whose place among the others is not known. `payloads` of rows without an error are
    values that were left out of them, as a JSON object.
    """

    rows: int
    texts: Mapping[int, pa.Array[Any]] = field(default_factory=dict)
    values: Mapping[int, pa.Array[Any]] = field(default_factory=dict)
    errors: pa.Array[Any] | None = None
    lines: pa.Array[Any] | None = None
    payloads: pa.Array[Any] | None = None
    is_numbered: bool = True


@dataclass(frozen=True, slots=True)
class Value:
    """SQL of one column: what the inner query selects, then its text, and value and check if it has a type."""

    inner: str
    text: str
    value: str | None = None
    holds: str | None = None


Lines = Callable[[pa.RecordBatch, Sequence[int]], Sequence[int | None]]
"""Returns the lines of rows of a batch, given by their places in it."""


# --- values ---------------------------------------------------------------------------------------------------------


def text_value(inner: str, index: int, field_: Field) -> Value:
    """Return the SQL of a value that comes as text; `inner` gives it."""
    text, type_ = f"t{index}", field_.type
    inner = f"{inner} AS {text}"
    if field_.ordinal is None:
        return outside(inner, text)
    if type_ == TEXT:
        return Value(inner, text)
    if pa.types.is_nested(type_):
        return nested_value(inner, text, type_)
    return Value(inner, text, f"TRY_CAST({text} AS {sql_type(type_)})", survives(text, type_))


def nested_value(inner: str, text: str, type_: pa.DataType) -> Value:
    """Return the SQL of a list, struct or map that comes as the text of a JSON value.

    Most values are written as DuckDB writes them again from their type: one comparison shows that nothing is lost. The
    others (a key is missing, a number is written otherwise) are looked at part by part, which takes ten times as long.
    """
    value, as_json = f"{text}_value", f"TRY_CAST({text} AS JSON)"
    is_same = f"CAST(to_json({value}) AS VARCHAR) = {text} AND NOT contains({text}, 'NaN')"
    by_parts = f"coalesce({json_holds(as_json, type_)}, false)"
    is_plain = all(leaf in (TEXT, INT, BOOL, DOUBLE) for leaf in leaves(type_))
    holds = f"CASE WHEN {is_same} AND NOT contains({text}, 'Infinity') THEN true ELSE {by_parts} END"
    typed = f"{inner}, TRY_CAST({as_json} AS {sql_type(type_)}) AS {value}"
    return Value(typed, text, value, holds if is_plain else by_parts)


def outside(inner: str, text: str) -> Value:
    """Return the SQL of a value that has no column: none of its values fits."""
    return Value(inner, text, "NULL::VARCHAR", "false")


def query(values: Sequence[Value], fields: Sequence[Field], relation: str, also: str = "", again: str = "") -> str:
    """Return the query that gives texts `t<i>`, typed values `v<i>`, and `bad`: the first column that does not hold.

    `also` are further columns of the relation. `again` is a condition under which the row repeats the header.
    """
    outer = [value.text for value in values]
    checks = [f"WHEN {again} THEN {HEADER_AGAIN}"] if again else []
    for i, (value, field_) in enumerate(zip(values, fields, strict=True)):
        if value.value is None:
            continue
        is_safe = value.holds == "true"
        if field_.is_guarded and not is_safe:
            outer.append(f"CASE WHEN {value.holds} THEN {value.value} END AS v{i}")
        else:
            outer.append(f"{value.value} AS v{i}")
            checks += [] if is_safe else [f"WHEN {value.text} IS NOT NULL AND NOT {value.holds} THEN {i}"]
    outer.append(f"CASE {' '.join(checks)} END AS bad" if checks else "NULL::INTEGER AS bad")
    inner = ", ".join([value.inner for value in values] + ([also] if also else []))
    extra = [name.rsplit(" AS ", 1)[-1].strip() for name in also.split(",")] if also else []
    return f"SELECT {', '.join([*outer, *extra])} FROM (SELECT {inner or 'NULL AS nothing'} FROM {relation})"


def cursor_of(con: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Return a connection of its own, on which instants have the same text everywhere."""
    cursor = con.cursor()
    cursor.execute(f"SET TimeZone = 'UTC'; SET streaming_buffer_size = '{STREAMED_AHEAD}'")
    return cursor


def over(con: duckdb.DuckDBPyConnection, sql: str, chunk: pa.Table) -> Iterator[pa.RecordBatch]:
    """Run a query over a table at hand, which it calls `chunk`."""
    cursor = cursor_of(con)
    cursor.register("chunk", chunk)
    try:
        yield from cursor.execute(sql).to_arrow_table().to_batches()
    finally:
        cursor.close()


# --- pieces ---------------------------------------------------------------------------------------------------------


def checked(
    batches: Iterator[pa.RecordBatch], fields: Sequence[Field], make: Callable[..., Iterator[Piece]]
) -> Iterator[Piece]:
    """Give the pieces of batches. If values break columns that can be changed, read on and raise `Broken` with all.

    Raises `Unreadable` for a value that does not fit a frozen column.
    """
    text: set[int] = set()
    variants: set[int] = set()
    for batch in batches:
        bad = batch.column("bad")
        if bad.null_count < batch.num_rows:
            for index in bad.unique().to_pylist():
                if index is None or index == HEADER_AGAIN:
                    continue
                if fields[index].on_conflict == "retype":
                    text.add(index)
                elif fields[index].on_conflict == "freeze":
                    raise Unreadable(_frozen(batch, fields[index], index))
        variants |= {
            i
            for i, f in enumerate(fields)
            if f.on_conflict == "variant" and f.variant is None and _misfits(batch, i) is not None
        }
        if not text and not variants:
            yield from make(batch, fields)
    if text or variants:
        raise Broken(_ordinals(fields, text), _ordinals(fields, variants))


def pieces(
    batch: pa.RecordBatch,
    fields: Sequence[Field],
    *,
    lines: Lines | None = None,
    reasons: list[str | None] | None = None,
    payloads: list[str | None] | None = None,
) -> Iterator[Piece]:
    """Give the rows of a batch as a piece: refused those with a reason, and those of which a value does not fit."""
    names = set(batch.schema.names)
    placed = [(i, f, f.ordinal) for i, f in enumerate(fields) if f.ordinal is not None]
    texts = {ordinal: batch.column(f"t{i}") for i, _, ordinal in placed}
    values = {ordinal: batch.column(f"v{i}" if f"v{i}" in names else f"t{i}") for i, _, ordinal in placed}
    for i, field_, _ in placed:
        if field_.variant is not None and (misfits := _misfits(batch, i)) is not None:
            values[field_.variant] = pc.if_else(misfits, batch.column(f"t{i}"), pa.scalar(None, TEXT))
    left_out = _left_out(batch, fields)
    bad = batch.column("bad")
    if bad.null_count == batch.num_rows and reasons is None:
        yield Piece(batch.num_rows, texts, values, payloads=left_out)
        return
    errors = list(reasons or [None] * batch.num_rows)
    shown = list(payloads or ([None] * batch.num_rows if left_out is None else left_out.to_pylist()))
    for row, index in enumerate(bad.to_pylist()):
        if index is not None and errors[row] is None:
            errors[row] = _reason(batch, fields, row, index)
            shown[row] = json.dumps(
                {f.header: batch.column(f"t{i}")[row].as_py() for i, f in enumerate(fields)}, ensure_ascii=False
            )
    refused = [row for row, error in enumerate(errors) if error is not None]
    placed_lines: list[int | None] = [None] * batch.num_rows
    for row, line in zip(refused, lines(batch, refused) if lines else [None] * len(refused), strict=True):
        placed_lines[row] = line
    yield Piece(batch.num_rows, texts, values, as_texts(errors), pa.array(placed_lines, pa.int64()), as_texts(shown))


def _misfits(batch: pa.RecordBatch, index: int) -> pa.Array[Any] | None:
    """Return which rows have a text and no value in a guarded column; None if there are none, or it has no type."""
    at = batch.schema.get_field_index(f"v{index}")
    if at < 0:
        return None
    value, text = batch.column(at), batch.column(f"t{index}")
    if value.null_count == text.null_count:
        return None
    misfits: pa.Array[Any] = pc.and_(value.is_null(), text.is_valid())
    return misfits


def _left_out(batch: pa.RecordBatch, fields: Sequence[Field]) -> pa.Array[Any] | None:
    """Return per row the values that its contract leaves out, as a JSON object; None if there are none."""
    masks = {i: _misfits(batch, i) for i, f in enumerate(fields) if f.on_conflict == "leave_out"}
    found = {i: mask.to_pylist() for i, mask in masks.items() if mask is not None}
    if not found:
        return None
    objects = [
        {fields[i].header: batch.column(f"t{i}")[row].as_py() for i, mask in found.items() if mask[row]}
        for row in range(batch.num_rows)
    ]
    return as_texts([json.dumps(left, ensure_ascii=False) if left else None for left in objects])


def _reason(batch: pa.RecordBatch, fields: Sequence[Field], row: int, index: int) -> str:
    if index == HEADER_AGAIN:
        return "it repeats the header"
    return _misfit(fields[index], batch.column(f"t{index}")[row].as_py())


def _misfit(field_: Field, text: str) -> str:
    cut = text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "…"
    if field_.ordinal is None:
        return f"column {field_.header!r} is not in raw, and the schema contract adds none; the row has {cut!r} there"
    holds = f"column {field_.header!r} holds {sql_type(field_.type)} in raw"
    return f"{holds}; the value {cut!r} does not survive that type"


def _frozen(batch: pa.RecordBatch, field_: Field, index: int) -> str:
    row = batch.column("bad").index(index).as_py()
    told = _misfit(field_, batch.column(f"t{index}")[row].as_py())
    return f"{told}, and the schema contract is `freeze`; mend the file, or let types evolve"


def _ordinals(fields: Sequence[Field], indexes: set[int]) -> frozenset[int]:
    return frozenset(ordinal for i in indexes if (ordinal := fields[i].ordinal) is not None)


# --- text and threads -----------------------------------------------------------------------------------------------


def shown(data: bytes) -> str:
    """Return bytes as the payload of a refused row: as text, or in base64 if they are none."""
    return data.decode() if decodes(data) else "base64:" + base64.b64encode(data).decode()


def decodes(data: bytes) -> bool:
    """Whether bytes are UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def as_texts(values: Sequence[str | None]) -> pa.Array[Any]:
    """Return texts as an Arrow array."""
    return pa.array(values, TEXT)


def ahead(items: Iterator[T], waiting: int = 2) -> Iterator[T]:
    """Take items in a thread of their own, a few ahead, so that reading and what follows overlap."""
    ready: queue.Queue[tuple[str, Any]] = queue.Queue(waiting)
    stop = threading.Event()

    def put(kind: str, item: Any) -> None:
        while not stop.is_set():
            with suppress(queue.Full):
                ready.put((kind, item), timeout=0.1)
                return

    def work() -> None:
        try:
            for item in items:
                put("item", item)
                if stop.is_set():
                    return
            put("end", None)
        except BaseException as error:  # raised again in the thread that asked
            put("error", error)

    thread = threading.Thread(target=work, name="ahead", daemon=True)
    thread.start()
    try:
        while True:
            kind, item = ready.get()
            if kind == "error":
                raise item
            if kind == "end":
                return
            yield item
    finally:
        stop.set()
        thread.join()
