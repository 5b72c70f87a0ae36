"""Claims of `lake.parquet`: what a sink writes, what it refuses, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dagster_project.contracts import FIELD_ID, INSTANT, TEXT, TEXTS, Column, raw_table
from dagster_project.errors import SchemaMismatch
from dagster_project.lake.parquet import ParquetSink

COLUMNS = (
    Column(1, "n", pa.int64(), "A number"),
    Column(7, "words", TEXTS, "Words", (9,)),
    Column(5, "text", TEXT, "Text"),
)
SCHEMA = pa.schema([column.field() for column in COLUMNS])


def paths(folder: Path) -> Callable[[], str]:
    numbers: Iterator[int] = count()
    return lambda: str(folder / f"{next(numbers):03}.parquet")


def batch(start: int, rows: int, width: int = 3) -> pa.RecordBatch:
    columns = [list(range(start, start + rows)), [[f"w{i}"] for i in range(rows)], ["x" * width] * rows]
    return pa.record_batch([pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], schema=SCHEMA)


def test_no_file_is_made_when_no_row_was_written(tmp_path: Path) -> None:
    sink = ParquetSink(SCHEMA, paths(tmp_path / "t"))
    sink.write(batch(0, 0))
    assert sink.close() == ()
    assert list(tmp_path.iterdir()) == []


def test_field_ids_stand_in_the_file_also_those_of_list_elements(tmp_path: Path) -> None:
    sink = ParquetSink(SCHEMA, paths(tmp_path))
    sink.write(batch(0, 2))
    (file,) = sink.close()
    schema = pq.read_schema(file.path)
    assert [schema.field(name).metadata[FIELD_ID] for name in ("n", "words", "text")] == [b"1", b"7", b"5"]
    assert schema.field("words").type.value_field.metadata[FIELD_ID] == b"9"
    assert file.size == Path(file.path).stat().st_size
    assert file.metadata.row_group(0).column(0).statistics.max == 1


@given(sizes=st.lists(st.integers(0, 40), max_size=12), rows=st.integers(1, 30), threads=st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_every_row_comes_back_once_and_in_order_within_its_file(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], rows: int, threads: int
) -> None:
    folder = tmp_path_factory.mktemp("sink")
    sink = ParquetSink(SCHEMA, paths(folder), threads=threads, rows_per_group=rows, bytes_per_file=2000)
    for start, size in zip([sum(sizes[:i]) for i in range(len(sizes))], sizes, strict=True):
        sink.write(batch(start, size))
    read = [pq.read_table(file.path).column("n").to_pylist() for file in sink.close()]
    assert all(numbers == sorted(numbers) for numbers in read)
    assert sorted(n for numbers in read for n in numbers) == list(range(sum(sizes)))
    if threads == 1:
        assert [n for numbers in read for n in numbers] == list(range(sum(sizes)))


def test_groups_are_cut_by_bytes_so_that_long_texts_do_not_fill_memory(tmp_path: Path) -> None:
    sink = ParquetSink(SCHEMA, paths(tmp_path), bytes_per_group=100_000)
    sink.write(batch(0, 100, width=10_000))
    (file,) = sink.close()
    sizes = [file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups)]
    rows = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
    assert len(sizes) >= 10
    assert sum(rows) == 100
    assert max(rows) <= 10


def test_a_file_that_has_its_size_is_followed_by_another(tmp_path: Path) -> None:
    sink = ParquetSink(SCHEMA, paths(tmp_path), rows_per_group=10, bytes_per_file=1)
    sink.write(batch(0, 35))
    assert [file.metadata.num_rows for file in sink.close()] == [10, 10, 10, 5]


@pytest.mark.parametrize(
    ("rows", "word"),
    [
        (pa.table({"n": [1]}), "columns"),
        (pa.table({"n": [1], "text": ["a"], "words": [["a"]]}), "columns"),
        (pa.table({"n": [1.0], "words": [["a"]], "text": ["a"]}), "Column n holds double"),
        (pa.table({"n": pa.array([1], pa.int32()), "words": [["a"]], "text": ["a"]}), "Column n holds int32"),
        (pa.table({"n": [1], "words": [[1]], "text": ["a"]}), "Column words"),
    ],
)
def test_rows_of_another_schema_are_refused_by_name(tmp_path: Path, rows: pa.Table, word: str) -> None:
    sink = ParquetSink(SCHEMA, paths(tmp_path))
    with pytest.raises(SchemaMismatch, match=word):
        sink.write(rows)
    assert sink.close() == ()


def test_other_encodings_of_the_same_type_are_taken(tmp_path: Path) -> None:
    words = pa.array([["a"], None], pa.large_list(pa.large_string()))
    text = pa.array(["x", None]).dictionary_encode()
    sink = ParquetSink(SCHEMA, paths(tmp_path))
    sink.write(pa.table({"n": [1, 2], "words": words, "text": text}))
    (file,) = sink.close()
    assert pq.read_table(file.path).to_pylist() == [
        {"n": 1, "words": ["a"], "text": "x"},
        {"n": 2, "words": None, "text": None},
    ]


def fill_and_fail(sink: ParquetSink) -> None:
    sink.write(batch(0, 5))
    raise ZeroDivisionError


def test_leaving_by_an_error_removes_what_was_written(tmp_path: Path) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        ParquetSink(SCHEMA, paths(tmp_path), rows_per_group=1, bytes_per_file=1) as sink,
    ):
        fill_and_fail(sink)
    assert list(tmp_path.iterdir()) == []


def test_an_error_in_the_writing_thread_reaches_the_caller(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    sink = ParquetSink(SCHEMA, lambda: str(tmp_path / "file" / "a.parquet"))
    sink.write(batch(0, 1))
    with pytest.raises(OSError, match="file"):
        sink.close()
    sink.abort()


def test_times_keep_their_zone_and_microseconds(tmp_path: Path) -> None:
    schema = raw_table("s", "documents").schema
    sink = ParquetSink(schema, paths(tmp_path))
    row = dict.fromkeys(schema.names) | {"modified_at": 1_700_000_000_123_456}
    sink.write(pa.Table.from_pylist([row], schema=schema))
    (file,) = sink.close()
    column = pq.read_table(file.path).column("modified_at")
    assert column.type == INSTANT
    assert column.cast(pa.int64()).to_pylist() == [1_700_000_000_123_456]
