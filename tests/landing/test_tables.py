"""Claims of landing table sources: every row lands once, as it was written, or is refused with its reason."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dagster_project.errors import SourceInvalid, SourceUnavailable
from dagster_project.landing.formats import delimited
from dagster_project.landing.table_columns import Wanted, add_columns, place
from dagster_project.landing.tables import arrivals, look
from dagster_project.sources import NoteMapping, TableSource

TALKS = Path(__file__).parents[2].parent / "shared" / "corpora" / "talks"
needs_talks = pytest.mark.skipif(not TALKS.is_dir(), reason="../shared/corpora/talks is not here")
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
OfFiles = Callable[..., Any]
RawOf = Callable[[TableSource], Any]
Write = Callable[..., None]


# --- CSV ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('a,b\n1,"x, ""y"""\n', [("1", 'x, "y"')]),
        ('a,b\nx,"two\nlines"\ny,z\n', [("x", "two\nlines"), ("y", "z")]),
        ("\ufeffa,b\r\nx,y\r\n", [("x", "y")]),
        ('a,b\nx,"two\r\nlines"\ny,z\n', [("x", "two\r\nlines"), ("y", "z")]),
        ("a;b\nx;1,5\ny;2,5\n", [("x", "1.5"), ("y", "2.5")]),
        ("a\tb\nx\ty\n", [("x", "y")]),
        ('a,b\nx,\ny,""\n', [("x", None), ("y", "")]),
        ("a,b\nx,y", [("x", "y")]),
        ("a,b\n", []),
        ("", []),
        ("a,b\n# no comment,y\n", [("# no comment", "y")]),
    ],
)
def test_csv_cells_come_as_they_were_written(
    of_files: OfFiles, tmp_path: Path, text: str, rows: list[tuple[str | None, ...]]
) -> None:
    raw = of_files(tmp_path, t_csv=text)
    raw.land()
    as_text = [tuple(None if v is None else str(v) for v in row.values()) for row in raw.values()]
    assert as_text == rows
    assert raw.of("refused") == []
    assert [m["_row"] for m in raw.of("file")] == [len(rows)]


def test_ragged_rows_are_refused_with_line_and_text(of_files: OfFiles, tmp_path: Path) -> None:
    raw = of_files(tmp_path, t_csv='a,b\n1,"x\ny"\n3\n4,5,6\n7,8\n')
    raw.land()
    assert [(r["a"], r["b"]) for r in raw.values()] == [(1, "x\ny"), (7, "8")]
    assert [(r["_line"], r["_payload"]) for r in raw.of("refused")] == [(4, "3"), (5, "4,5,6")]
    assert "Expected Number of Columns" in raw.of("refused")[0]["_error"]
    assert raw.of("file")[0]["_row"] == 4


def test_a_row_of_a_utf8_file_that_is_no_utf8_is_refused_and_the_others_land(of_files: OfFiles, tmp_path: Path) -> None:
    raw = of_files(tmp_path, t_csv="a,b\n1,caf\udce9\n2,caf\u00e9\n3,na\u00efve\n".encode("utf-8", "surrogateescape"))
    raw.land()
    assert [r["b"] for r in raw.values()] == ["caf\u00e9", "na\u00efve"]
    assert [r["_line"] for r in raw.of("refused")] == [2]


def test_doubled_headers_give_numbered_columns(of_files: OfFiles, tmp_path: Path) -> None:
    raw = of_files(tmp_path, t_csv="a,a,_id,sequence,Größe\n1,2,3,4,5\n")
    raw.land()
    assert raw.values() == [{"a": 1, "a_2": 2, "id": 3, "sequence_2": 4, "grosse": 5}]
    assert raw.columns is not None
    assert [c.doc for c in raw.columns] == ["a", "a", "_id", "sequence", "Größe"]


def test_mixed_line_ends_are_read_by_the_careful_reader(of_files: OfFiles, tmp_path: Path) -> None:
    text = 'a,b\n1,"x\r\ny"\r\n2,z\n3,w\r\n4\n'
    raw = of_files(tmp_path, t_csv=text)
    raw.land()
    assert [(r["a"], r["b"]) for r in raw.values()] == [("1", "x\r\ny"), ("2", "z"), ("3", "w")]
    assert len(raw.of("refused")) == 1


CELL = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r"), max_size=8) | st.sampled_from(
    [
        "",
        "0123",
        "1",
        "-1",
        "1.50",
        "1.5",
        "+1",
        "1e5",
        "true",
        "True",
        "2024-01-01",
        "2024-1-1",
        "NaN",
        "inf",
        " 1",
        "\n",
        '"',
        ",;\t|",
    ]
)


@st.composite
def tables(draw: st.DrawFn) -> list[list[str]]:
    width = draw(st.integers(1, 4))
    return draw(st.lists(st.lists(CELL, min_size=width, max_size=width), max_size=8))


@QUICK
@given(rows=tables(), ends=st.sampled_from(["\n", "\r\n"]), quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_every_cell_agrees_with_pythons_csv_module(
    of_files: OfFiles, tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], ends: str, quoting: int
) -> None:
    width = len(rows[0]) if rows else 2
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=ends, quoting=quoting)  # type: ignore[arg-type]
    writer.writerow([f"column {i}" for i in range(width)])
    writer.writerows(rows)
    raw = of_files(tmp_path_factory.mktemp("csv"), t_csv=text.getvalue())
    raw.land()
    assert raw.of("refused") == []
    assert [[written(v) for v in row.values()] for row in raw.values()] == rows


def written(value: object) -> str:
    """How a typed value is written: as it stood in the file, or it would have stayed text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.isoformat(" ")
    return "" if value is None else str(value)


@pytest.mark.parametrize(
    ("cells", "type_"),
    [
        (["1", "-20", ""], pa.int64()),
        (["1", "0123"], pa.string()),
        (["1", "+1"], pa.string()),
        (["9223372036854775807"], pa.int64()),
        (["9223372036854775808"], pa.string()),
        (["1.5", "-0.25"], pa.float64()),
        (["1.5", "1.50"], pa.string()),
        (["1e5"], pa.string()),
        (["nan", "inf"], pa.string()),
        (["true", "false"], pa.bool_()),
        (["true", "True"], pa.string()),
        (["2024-02-29"], pa.date32()),
        (["2024-02-30"], pa.string()),
        (["2024-2-1"], pa.string()),
        (["infinity"], pa.string()),
        (["2024-01-01 10:00:00"], pa.timestamp("us")),
        (["2024-01-01T10:00:00Z"], pa.string()),
        (["", ""], pa.string()),
    ],
)
def test_a_column_is_typed_only_if_every_text_survives(
    of_files: OfFiles, tmp_path: Path, cells: list[str], type_: pa.DataType
) -> None:
    raw = of_files(tmp_path, t_csv="k,v\n" + "".join(f"x,{cell}\n" for cell in cells))
    raw.land()
    assert raw.columns is not None
    assert raw.columns[1].type == type_


def test_a_late_value_makes_a_new_column_text_and_nothing_is_lost(of_files: OfFiles, tmp_path: Path) -> None:
    count = delimited.SAMPLE_ROWS + 10
    raw = of_files(tmp_path, t_csv="a,b\n" + "1,x\n" * count + "0123,y\n")
    raw.land()
    assert raw.retyped == 1
    assert [r["a"] for r in raw.values()][-2:] == ["1", "0123"]
    assert [r["sequence"] for r in raw.rows] == list(range(1, count + 3))
    assert [r["_row"] for r in raw.of("put")] == list(range(1, count + 2))


def test_a_value_that_breaks_a_standing_column_is_refused_not_cast(
    of_files: OfFiles, write: Write, tmp_path: Path
) -> None:
    raw = of_files(tmp_path, t_csv="a,b\n1,x\n2,y\n")
    raw.source = raw.source.model_copy(update={"schema_contract": "discard_row"})
    raw.land()
    write(tmp_path, t_csv="a,b\n1,x\n02,y\n3,z\n")
    raw.land()
    refused = raw.of("refused")
    assert [(r["_row"], r["a"], r["b"], json.loads(r["_payload"])) for r in refused] == [
        (2, None, None, {"a": "02", "b": "y"})
    ]
    assert "'02'" in refused[0]["_error"]
    assert "BIGINT" in refused[0]["_error"]
    assert [r["a"] for r in raw.values()] == [1, 2, 1, 3]


def test_columns_of_later_files_are_added_and_known_ones_keep_their_ids(
    of_files: OfFiles, write: Write, tmp_path: Path
) -> None:
    raw = of_files(tmp_path, a_csv="x,y\n1,a\n")
    raw.land()
    write(tmp_path, b_csv="Y,z,x\nb,2.5,7\n")
    raw.land()
    assert raw.columns is not None
    assert [(c.name, c.field_id) for c in raw.columns] == [("x", 11), ("y", 12), ("z", 13)]
    assert raw.values() == [{"x": 1, "y": "a", "z": None}, {"x": 7, "y": "b", "z": 2.5}]


def test_field_ids_follow_icebergs_order() -> None:
    wanted = {"a": Wanted("a", pa.list_(pa.string())), "b": Wanted("b", pa.int64())}
    made = add_columns(None, wanted)
    assert [(c.field_id, c.nested) for c in made] == [(11, (13,)), (12, ())]
    added = add_columns((), wanted, last_field_id=20)
    assert [(c.field_id, c.nested) for c in added] == [(21, (22,)), (23, ())]


def test_the_hash_tells_null_from_empty_and_where_a_cell_ends(of_files: OfFiles, tmp_path: Path) -> None:
    raw = of_files(tmp_path, t_csv='a,b\na,bc\nab,c\nx,\nx,""\na,bc\n')
    raw.land()
    hashes = [r["_row_hash"] for r in raw.of("put")]
    assert len(set(hashes)) == 4
    assert hashes[0] == hashes[4]


def test_the_hash_of_a_row_is_the_same_for_ever(of_files: OfFiles, write: Write, tmp_path: Path) -> None:
    raw = of_files(tmp_path, t_csv="a,b,c\n1,é,\n")
    raw.land()
    first = raw.of("put")[0]["_row_hash"]
    assert first == PINNED_HASH
    write(tmp_path, t_csv="a,b,c,d\n1,é,,\n")
    raw.land()
    assert raw.of("put")[1]["_row_hash"] == first


PINNED_HASH = -4422669699633568197


# --- JSON lines -----------------------------------------------------------------------------------------------------


def test_json_values_keep_the_type_json_gives_them(of_files: OfFiles, tmp_path: Path) -> None:
    lines = [
        '{"i": 1, "d": 1.50, "b": true, "s": "0123", "l": ["x", "y"], "n": [1, 2], "o": {"k": [1]}, "m": 1, "big": 1}',
        '{"i": null, "d": 2, "s": "é\\n", "l": [], "m": "two", "big": 123456789012345678901234567890}',
    ]
    raw = of_files(tmp_path, t_jsonl="\n".join(lines))
    raw.land()
    assert raw.columns is not None
    assert {c.name: str(c.type) for c in raw.columns} == {
        "i": "int64",
        "d": "double",
        "b": "bool",
        "s": "string",
        "l": "list<item: string>",
        "n": "list<item: int64>",
        "o": "struct<k: list<item: int64>>",
        "m": "string",
        "big": "string",
    }
    one, two = raw.values()
    assert one["l"] == ["x", "y"]
    assert one["n"] == [1, 2]
    assert (one["i"], one["d"], one["b"], one["s"], one["o"], one["m"]) == (1, 1.5, True, "0123", {"k": [1]}, "1")
    assert (two["i"], two["d"], two["s"], two["l"], two["m"]) == (None, 2.0, "é\n", [], "two")
    assert two["big"] == "123456789012345678901234567890"


def test_malformed_lines_are_refused_with_line_and_text(of_files: OfFiles, tmp_path: Path) -> None:
    lines = [
        b'\xef\xbb\xbf{"a": 1}',
        b"",
        b"oops",
        b"[1]",
        b'{"a": 1, "a": 2}',
        b'{"a": "\xff"}',
        b'{"a": 3}\r',
        b'{"a": "\\ud800"}',
    ]
    raw = of_files(tmp_path, t_jsonl=b"\n".join(lines))
    raw.land()
    assert [r["a"] for r in raw.values()] == [1, 3]
    refused = {r["_line"]: (r["_error"], r["_payload"]) for r in raw.of("refused")}
    assert sorted(refused) == [3, 4, 5, 6, 8]
    assert refused[3][1] == "oops"
    assert "twice" in refused[5][0]
    assert refused[6][1].startswith("base64:")
    assert "surrogate" in refused[8][0]
    assert raw.of("file")[0]["_row"] == 7


KEY = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=4) | st.sampled_from(
    ["a", "b", "a/b", "a~1", '"', ""]
)
SCALAR = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | KEY
)
VALUE = SCALAR | st.lists(SCALAR, max_size=3) | st.dictionaries(KEY, SCALAR, max_size=2)


@QUICK
@given(objects=st.lists(st.dictionaries(KEY, VALUE, max_size=4), max_size=6), ascii_only=st.booleans())
def test_every_value_agrees_with_pythons_json_module(
    of_files: OfFiles, tmp_path_factory: pytest.TempPathFactory, objects: list[dict[str, Any]], ascii_only: bool
) -> None:
    text = "".join(json.dumps(o, ensure_ascii=ascii_only) + "\n" for o in objects)
    raw = of_files(tmp_path_factory.mktemp("json"), t_jsonl=text)
    raw.land()
    assert raw.of("refused") == []
    headers = {c.name: c.doc for c in raw.columns or ()}
    landed = [{headers[name]: v for name, v in row.items() if v is not None} for row in raw.values()]
    assert len(landed) == len(objects)
    for row, written_ in zip(landed, objects, strict=True):
        given_ = {key: value for key, value in written_.items() if value is not None}
        assert row.keys() == given_.keys()
        assert all(agrees(row[key], value) for key, value in given_.items())


def agrees(landed: object, value: object) -> bool:
    """Whether a landed value is what JSON said: in its own type, or as the text of it; a missing key is a null one."""
    if isinstance(landed, list) and isinstance(value, list):
        return len(landed) == len(value) and all(map(agrees, landed, value))
    if isinstance(landed, dict) and isinstance(value, dict):
        return value.keys() <= landed.keys() and all(agrees(landed[key], value.get(key)) for key in landed)
    if isinstance(value, str):
        return landed == value
    if isinstance(landed, str):
        return json.loads(landed) == value or (isinstance(value, float) and float(landed) == value)
    return landed == value and (isinstance(landed, bool) == isinstance(value, bool))


# --- Parquet --------------------------------------------------------------------------------------------------------


def test_parquet_keeps_its_types_and_what_raw_has_no_type_for_is_text(of_files: OfFiles, tmp_path: Path) -> None:
    table = pa.table(
        {
            "i": pa.array([1, None], pa.int16()),
            "f": pa.array([0.5, 2.0], pa.float32()),
            "d": pa.array([date(2024, 1, 1), None]),
            "t": pa.array([datetime(2024, 1, 1, 10), None], pa.timestamp("ms", tz="Europe/Berlin")),
            "l": pa.array([["a"], None]),
            "s": pa.array([{"x": 1}, None]),
            "u": pa.array([2**64 - 1, 0], pa.uint64()),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    raw = of_files(tmp_path)
    raw.land()
    one, _ = raw.values()
    assert (one["i"], one["f"], one["d"], one["l"], one["s"], one["u"]) == (
        1,
        0.5,
        date(2024, 1, 1),
        ["a"],
        {"x": 1},
        str(2**64 - 1),
    )
    assert one["t"].isoformat() == "2024-01-01T10:00:00+00:00"


def test_a_file_that_is_no_parquet_gives_just_a_marker_with_its_error(of_files: OfFiles, tmp_path: Path) -> None:
    raw = of_files(tmp_path, bad_parquet=b"garbage", good_csv="a\n1\n", wide_csv="a,b\n1,2\n".encode("utf-16"))
    raw.land()
    markers = {m["_file"]: m for m in raw.of("file")}
    assert markers["bad.parquet"]["_error"]
    assert markers["bad.parquet"]["_row"] == 0
    assert json.loads(markers["wide.csv"]["_payload"])["encoding"] == "utf-16-le"
    assert markers["good.csv"]["_error"] is None
    assert len(raw.of("put")) == 2


# --- looking --------------------------------------------------------------------------------------------------------


def test_a_second_look_finds_nothing_also_of_files_that_failed(of_files: OfFiles, tmp_path: Path) -> None:
    raw = of_files(tmp_path, bad_parquet=b"garbage", good_csv="a\n1\n", empty_csv="")
    raw.land()
    scan = look(raw.source, raw.known())
    assert scan.is_nothing
    assert scan.unchanged == ("bad.parquet", "empty.csv", "good.csv")


def test_changed_and_vanished_files_are_told(of_files: OfFiles, write: Write, tmp_path: Path) -> None:
    raw = of_files(tmp_path, a_csv="a\n1\n", b_csv="a\n2\n")
    raw.land()
    write(tmp_path, a_csv="a\n3\n")
    (tmp_path / "b.csv").unlink()
    scan = raw.land()
    assert [(f.path, f.is_new) for f in scan.arrived] == [("a.csv", False)]
    assert scan.gone == ("b.csv",)
    assert [r["_file"] for r in raw.of("gone")] == ["b.csv"]
    assert [r["sequence"] for r in raw.rows] == list(range(1, len(raw.rows) + 1))
    assert look(raw.source, raw.known()).is_nothing


def test_a_root_that_vanished_concludes_nothing(of_files: OfFiles, tmp_path: Path) -> None:
    raw = of_files(tmp_path / "f", a_csv="a\n1\n")
    raw.land()
    (tmp_path / "f").rename(tmp_path / "g")
    with pytest.raises(SourceUnavailable, match="Nothing of it was changed"):
        look(raw.source, raw.known())


def test_a_glob_and_hidden_files_and_names_with_patterns(raw_of: RawOf, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / ".hidden").mkdir()
    for name in ("sub/a[1].csv", "b.csv", ".c.csv", ".hidden/d.csv", "notes.txt"):
        (tmp_path / name).write_text("a\n1\n")
    raw = raw_of(TableSource(name="trial", path=str(tmp_path), same_content="load"))
    scan = raw.land()
    assert [f.path for f in scan.arrived] == ["b.csv", "sub/a[1].csv"]
    assert scan.skipped == ("notes.txt",)
    assert len(raw.of("put")) == 2
    by_pattern = look(TableSource(name="trial", path=str(tmp_path / "*" / "*.csv")), {})
    assert [f.path for f in by_pattern.arrived] == ["sub/a[1].csv"]


def test_a_file_whose_name_does_not_tell_its_format_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text("a\n1\n")
    with pytest.raises(SourceInvalid, match="format"):
        look(TableSource(name="trial", path=str(tmp_path / "data.txt")), {})
    assert len(look(TableSource(name="trial", path=str(tmp_path / "data.txt"), format="csv"), {}).arrived) == 1


def test_stamps_save_hashing_only_files_that_look_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a\n1\n")
    os.utime(tmp_path / "a.csv", (1_000_000_000, 1_000_000_000))
    source = TableSource(name="trial", path=str(tmp_path))
    first = look(source, {})
    (tmp_path / "a.csv").write_text("a\n2\n")
    os.utime(tmp_path / "a.csv", (1_000_000_000, 1_000_000_000))
    assert look(source, {}, stamps=first.stamps).arrived[0].sha256 == first.arrived[0].sha256
    os.utime(tmp_path / "a.csv", (1_000_000_001, 1_000_000_001))
    assert look(source, {}, stamps=first.stamps).arrived[0].sha256 != first.arrived[0].sha256


def test_a_file_that_changes_while_it_is_read_does_not_count_and_is_read_again(
    of_files: OfFiles, write: Write, tmp_path: Path
) -> None:
    raw = of_files(tmp_path, a_csv="a\n1\n")
    scan = look(raw.source, {})
    write(tmp_path, a_csv="a\n1\n2\n")
    landing = arrivals(duckdb.connect(), raw.source, scan, columns=None, first_sequence=1, landed_at=NOW)
    rows = [row for batch in landing.batches() for row in batch.to_pylist()]
    assert rows[-1]["_op"] == "file"
    assert "changed while it was read" in rows[-1]["_error"]
    raw.rows = rows
    assert [f.path for f in look(raw.source, raw.known()).arrived] == ["a.csv"]


def test_an_address_is_listed_and_landed_like_a_folder(raw_of: RawOf) -> None:
    store = fsspec.filesystem("memory")
    store.pipe(
        {"/bucket/in/a.csv": b"a,b\n1,x\n", "/bucket/in/sub/b.jsonl": b'{"a": 2}\n', "/bucket/in/.h.csv": b"a\n9\n"}
    )
    raw = raw_of(TableSource(name="trial", path="memory://bucket/in"))
    raw.land()
    assert [(r["_file"], r["a"]) for r in raw.of("put")] == [("a.csv", 1), ("sub/b.jsonl", 2)]
    assert look(raw.source, raw.known()).is_nothing
    assert look(TableSource(name="trial", path="memory://bucket/in/a.csv"), {}).arrived[0].path == "a.csv"
    assert [f.path for f in look(TableSource(name="trial", path="memory://bucket/in/*.csv"), {}).arrived] == ["a.csv"]
    store.rm("/bucket/in", recursive=True)
    with pytest.raises(SourceUnavailable):
        look(raw.source, raw.known())


def test_packed_files_are_read_like_plain_ones(raw_of: RawOf, tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b'a,b\n1,"x\ny"\n2\n'))
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b'{"a": 3}\noops\n'))
    (tmp_path / "c.jsonl.gz").write_bytes(b"no gzip")
    raw = raw_of(TableSource(name="trial", path=str(tmp_path)))
    raw.land()
    assert [r["a"] for r in raw.of("put")] == [1, 3]
    assert [(r["_file"], r["_line"]) for r in raw.of("refused")] == [("a.csv.gz", 4), ("b.jsonl.gz", 2)]
    assert [m["_error"] is not None for m in raw.of("file")] == [False, False, True]


def test_a_missing_quote_costs_the_rest_of_its_record_but_not_the_file(of_files: OfFiles, tmp_path: Path) -> None:
    raw = of_files(tmp_path, t_csv='a,b\n1,x\n2,"unclosed\n3,y\n')
    raw.land()
    assert [r["a"] for r in raw.of("put")] in ([1], ["1"])
    assert "3,y" in raw.of("refused")[0]["_payload"]


def test_names_that_hold_quotes_reach_duckdb_as_they_are(raw_of: RawOf, tmp_path: Path) -> None:
    (tmp_path / "it's.csv").write_text("a'b,c\"d\n1,2\n")
    raw = raw_of(TableSource(name="trial", path=str(tmp_path)))
    raw.land()
    assert raw.values() == [{"a_b": 1, "c_d": 2}]


def test_place_takes_a_known_column_by_header_then_by_name() -> None:
    known = add_columns(None, {"title": Wanted("Title", pa.string()), "title_2": Wanted("TITLE", pa.string())})
    assert place(["TITLE", "title"], known) == (["title_2", "title"], [])
    assert place(["title", "Title"], known) == (["title_3", "title"], [("title_3", "title")])


# --- the talks ------------------------------------------------------------------------------------------------------


@needs_talks
def test_the_talks_as_csv_agree_with_pythons_reader(raw_of: RawOf) -> None:
    raw = raw_of(TableSource(name="talks", path=str(TALKS / "talks.csv")))
    raw.land()
    with (TALKS / "talks.csv").open(encoding="utf-8", newline="") as handle:
        header, *rows = csv.reader(handle)
    assert [c.doc for c in raw.columns or ()] == header
    assert [[written(v) for v in row.values()] for row in raw.values()] == rows


@needs_talks
def test_the_talks_as_json_lines_agree_with_pythons_reader(raw_of: RawOf) -> None:
    raw = raw_of(TableSource(name="talks", path=str(TALKS / "talks.jsonl")))
    raw.land()
    headers = {c.name: c.doc for c in raw.columns or ()}
    lines = [json.loads(line) for line in (TALKS / "talks.jsonl").read_text("utf-8").splitlines()]
    landed = [{headers[name]: v for name, v in row.items() if v is not None} for row in raw.values()]
    assert len(landed) == len(lines)
    for row, line in zip(landed, lines, strict=True):
        given_ = {key: value for key, value in line.items() if value is not None}
        assert row.keys() == given_.keys()
        assert all(agrees(row[key], value) for key, value in given_.items())


def test_a_row_whose_key_is_no_number_has_no_key_that_could_be_gone(of_files: OfFiles, tmp_path: Path) -> None:
    raw = of_files(tmp_path)
    raw.source = TableSource(name="trial", path=str(tmp_path), mode="merge", note=NoteMapping(key=("id",)))
    for ids in ([1.0, float("nan"), 2.0], [2.0]):
        pq.write_table(pa.table({"id": ids}), tmp_path / "a.parquet")
        raw.land()
    assert [row["id"] for row in raw.of("gone")] == [1.0]
