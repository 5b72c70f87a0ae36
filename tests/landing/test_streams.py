"""Reading a log: every complete line once, in order, whatever happens to the files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from dagster_project.contracts import raw_table
from dagster_project.errors import SourceUnavailable
from dagster_project.landing import streams
from dagster_project.landing.segments import segment_name
from dagster_project.landing.streams import Chunk, Positions, Problem, restored
from dagster_project.sources import StreamSource

LANDED = datetime(2026, 2, 1, tzinfo=UTC)


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


def land(con: duckdb.DuckDBPyConnection, folder: Path, positions: Positions | None = None, first: int = 1, **kw: int):  # type: ignore[no-untyped-def]
    """Return rows, positions after them, and problems."""
    source = StreamSource(name="app", path=str(folder))
    rows, problems, now = [], [], dict(positions or {})
    for item in streams.read(source, now, first_sequence=first, landed_at=LANDED, con=con, **kw):
        if isinstance(item, Problem):
            problems.append((item.shard, item.kind))
        else:
            assert item.rows.schema.equals(raw_table("app", "stream").schema, check_metadata=True)
            rows += item.rows.to_pylist()
            now = dict(item.positions)
    return rows, now, problems


def test_every_line_lands_once_with_its_offset_whatever_the_chunk_size(
    con: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    text = "".join(
        json.dumps({"id": i, "type": "t", "time": 1_700_000_000 + i, "x": "é" * i}) + "\n" for i in range(40)
    )
    (tmp_path / "a.jsonl").write_text(text)
    (tmp_path / "b.ndjson").write_text(text)
    for size in (1, 100, 1 << 20):
        rows, at, problems = land(con, tmp_path, max_bytes=size)
        assert [row["sequence"] for row in rows] == list(range(1, 81)) and not problems
        for row in rows:
            assert text.encode()[row["shard_sequence"] :].startswith(row["payload"].encode() + b"\n")
        assert land(con, tmp_path, restored({shard: position.stored() for shard, position in at.items()})) == (
            [],
            at,
            [],
        )


def test_a_half_written_line_waits_and_is_told(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b'{"id":1}\n{"id"')
    rows, at, problems = land(con, tmp_path)
    assert [row["event_id"] for row in rows] == ["1"] and problems == [("a", "unfinished")]
    with file.open("ab") as end:
        end.write(b":2}\n")
    rows, at, problems = land(con, tmp_path, at, 2)
    assert [(row["event_id"], row["shard_sequence"], row["sequence"]) for row in rows] == [("2", 9, 2)]
    assert at["a"].lines == 2 and not problems


def test_a_rewritten_or_shrunk_shard_is_refused_and_the_others_go_on(
    con: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    for name in "abc":
        (tmp_path / f"{name}.jsonl").write_text('{"id":1}\n')
    _, at, _ = land(con, tmp_path)
    (tmp_path / "a.jsonl").write_text('{"id":9}\n{"id":8}\n')
    (tmp_path / "b.jsonl").write_text("{}\n")
    (tmp_path / "c.jsonl").write_text('{"id":1}\n{"id":2}\n')
    (tmp_path / "d.jsonl").write_text('{"id":3}\n')
    rows, after, problems = land(con, tmp_path, at)
    assert sorted(row["event_id"] for row in rows) == ["2", "3"]
    assert problems == [("a", "changed"), ("b", "shrank")] and after["a"] == at["a"]


def test_a_vanished_shard_is_told_and_its_position_kept(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id":1}\n')
    (tmp_path / "b.jsonl").write_text('{"id":1}\n')
    _, at, _ = land(con, tmp_path)
    (tmp_path / "a.jsonl").unlink()
    assert land(con, tmp_path, at) == ([], at, [("a", "vanished")])


def test_two_files_of_one_shard_are_refused(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id":1}\n')
    (tmp_path / "a.json").write_text('{"id":2}\n')
    assert land(con, tmp_path) == ([], {}, [("a", "ambiguous")])


def segments(folder: Path, shard: str, *contents: bytes) -> list[Path]:
    """Write the segments of a shard, one after the other."""
    starts = [sum(map(len, contents[:n])) for n in range(len(contents))]
    files = [folder / segment_name(shard, start) for start in starts]
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)
    return files


def test_segments_are_one_shard_and_a_torn_end_of_a_closed_one_is_a_line(
    con: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    segments(
        tmp_path, "a", b'{"id":1}\n{"id":2}\n', b'{"id":3}\n{"id"', b'\xef\xbb\xbf{"id":4}\n', b"", b'{"id":5}\n{"i'
    )
    for size in (1, 7, 1 << 20):
        rows, at, problems = land(con, tmp_path, max_bytes=size)
        assert [(row["event_id"], row["line"], row["shard_sequence"]) for row in rows] == [
            ("1", 1, 0), ("2", 2, 9), ("3", 1, 18), (None, 2, 27), ("4", 1, 35), ("5", 1, 44),
        ]  # fmt: skip
        assert problems == [("a", "unfinished")] and at["a"].offset == 53


def test_segments_that_were_read_may_be_deleted_and_one_that_was_not_is_a_gap(
    con: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    one, two, three = segments(tmp_path, "a", b'{"id":1}\n', b'{"id":2}\n', b'{"id":3}\n')
    two.rename(tmp_path / "away")
    rows, at, problems = land(con, tmp_path)
    assert [row["event_id"] for row in rows] == ["1"] and problems == [("a", "gap")]
    one.unlink()
    assert land(con, tmp_path, at) == ([], at, [("a", "gap")])
    (tmp_path / "away").rename(two)
    rows, at, problems = land(con, tmp_path, at)
    assert [row["event_id"] for row in rows] == ["2", "3"] and not problems
    two.unlink()
    assert land(con, tmp_path, at) == ([], at, [])
    three.write_bytes(b'{"id":8}\n')
    assert land(con, tmp_path, at) == ([], at, [("a", "changed")])


def test_a_shard_of_which_the_first_segments_are_gone_begins_late_and_says_so_once(
    con: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    one, *_ = segments(tmp_path, "a", b'{"id":1}\n', b'{"id":2}\n')
    one.unlink()
    rows, at, problems = land(con, tmp_path)
    assert [row["event_id"] for row in rows] == ["2"] and problems == [("a", "begins_late")]
    assert land(con, tmp_path, at) == ([], at, [])


def test_segments_that_overlap_are_refused(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    one, *_ = segments(tmp_path, "a", b'{"id":1}\n', b'{"id":2}\n')
    with one.open("ab") as file:
        file.write(b'{"id":3}\n')
    assert land(con, tmp_path) == ([], {}, [("a", "ambiguous")])


def test_what_is_no_event_lands_as_it_was_with_its_error(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    lines = [b'\xef\xbb\xbf{"id":1}\r', b"", b"  ", b"{broken", b"[1]", b'{"x":"\xff"}', b'{"id":2}']
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    rows, at, _ = land(con, tmp_path)
    assert [(r["event_id"], r["payload"], r["undecoded"], r["error"]) for r in rows] == [
        ("1", '{"id":1}', None, None),
        (None, "{broken", None, "it is no JSON"),
        (None, "[1]", None, "it is JSON, but no object"),
        (None, None, b'{"x":"\xff"}', "it is no UTF-8 text"),
        ("2", '{"id":2}', None, None),
    ]
    assert [row["sequence"] for row in rows] == [1, 2, 3, 4, 5] and at["a"].lines == 7


@pytest.mark.parametrize(
    ("said", "instant"),
    [
        ('"2020-08-31T19:46:35+08:00"', datetime(2020, 8, 31, 11, 46, 35, tzinfo=UTC)),
        ('"2020-08-31T19:46Z"', datetime(2020, 8, 31, 19, 46, tzinfo=UTC)),
        ('"2020-08-31t19:46:35z"', datetime(2020, 8, 31, 19, 46, 35, tzinfo=UTC)),
        ('"2020-08-31T19:46:35"', datetime(2020, 8, 31, 19, 46, 35, tzinfo=UTC)),
        ("1500000000.5", datetime(2017, 7, 14, 2, 40, 0, 500_000, tzinfo=UTC)),
        ("1500000000123", datetime(2017, 7, 14, 2, 40, 0, 123_000, tzinfo=UTC)),
        ('"20200831"', None),
        ('"soon"', None),
        ('"infinity"', None),
        ("null", None),
    ],
)
def test_times_are_read_as_documented(
    con: duckdb.DuckDBPyConnection, tmp_path: Path, said: str, instant: datetime | None
) -> None:
    con.execute("SET TimeZone = 'Asia/Tokyo'")
    (tmp_path / "a.jsonl").write_text(f'{{"id":"x","detail-type":"t","time":{said}}}\n')
    (row,), _, _ = land(con, tmp_path)
    assert row["occurred_at"] == instant and row["type"] == "t" and row["landed_at"] == LANDED


def test_a_missing_folder_is_an_error_and_not_an_empty_stream(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match="can't be listed"):
        land(con, tmp_path / "nowhere")


def test_a_chunk_is_never_empty(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("\n\n")
    source = StreamSource(name="app", path=str(tmp_path))
    items = list(streams.read(source, {}, first_sequence=1, landed_at=LANDED, con=con))
    assert not [item for item in items if isinstance(item, Chunk)]
