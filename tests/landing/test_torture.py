"""Hostile table files: each is committed right, or refused with its line, and what lies beside it lands.

The first set is that of csv-spectrum (https://github.com/max-mapper/csv-spectrum): its cases, written anew.
"""

from __future__ import annotations

import json
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from dagster_project.landing.formats import delimited, json_lines
from dagster_project.landing.table_columns import place, snake_case
from dagster_project.sources import TableSource

OfFiles = Callable[..., Any]
RawOf = Callable[[TableSource], Any]

SPECTRUM: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "comma in quotes": (
        'first,last,address\nJohn,Doe,"120 any st., Anytown"\n',
        [{"first": "John", "last": "Doe", "address": "120 any st., Anytown"}],
    ),
    "empty": ('a,b,c\n1,"",""\n2,3,4\n', [{"a": 1, "b": "", "c": ""}, {"a": 2, "b": "3", "c": "4"}]),
    "empty, crlf": ('a,b,c\r\n1,"",""\r\n2,3,4\r\n', [{"a": 1, "b": "", "c": ""}, {"a": 2, "b": "3", "c": "4"}]),
    "escaped quotes": ('a,b\n1,"ha ""ha"" ha"\n3,4\n', [{"a": 1, "b": 'ha "ha" ha'}, {"a": 3, "b": "4"}]),
    "json": ('key,val\n1,"{""type"": ""Point""}"\n', [{"key": 1, "val": '{"type": "Point"}'}]),
    "newlines": (
        'a,b,c\n1,2,3\n"Once upon \na time",5,6\n7,8,9\n',
        [
            {"a": "1", "b": 2, "c": 3},
            {"a": "Once upon \na time", "b": 5, "c": 6},
            {"a": "7", "b": 8, "c": 9},
        ],
    ),
    "newlines, crlf": (
        'a,b\r\n"Once upon \r\na time",5\r\n7,8\r\n',
        [{"a": "Once upon \r\na time", "b": 5}, {"a": "7", "b": 8}],
    ),
    "quotes and newlines": (
        'a,b\n1,"ha \n""ha"" \nha"\n3,4\n',
        [{"a": 1, "b": 'ha \n"ha" \nha'}, {"a": 3, "b": "4"}],
    ),
    "simple": ("a,b,c\n1,2,3\n", [{"a": 1, "b": 2, "c": 3}]),
    "simple, crlf, no end": ("a,b,c\r\n1,2,3", [{"a": 1, "b": 2, "c": 3}]),
    "utf-8": ("a,b\n1,2\n4,ʤ\n", [{"a": 1, "b": "2"}, {"a": 4, "b": "ʤ"}]),
}


@pytest.mark.parametrize("case", SPECTRUM)
def test_the_spectrum_of_csv(of_files: OfFiles, tmp_path: Path, case: str) -> None:
    text, rows = SPECTRUM[case]
    raw = of_files(tmp_path, t_csv=text)
    raw.land()
    assert raw.values() == rows
    assert raw.of("refused") == []


def test_nul_bytes_are_characters(of_files: OfFiles, tmp_path: Path) -> None:
    raw = of_files(tmp_path, t_csv="a,b\n1,x\0y\n2,\0\n", u_jsonl='{"a": 3, "b": "x\\u0000y"}\n{"a": 4, "b": "\0"}\n')
    raw.land()
    assert [(row["a"], row["b"]) for row in raw.of("put")] == [(1, "x\0y"), (2, "\0"), (3, "x\0y")]
    assert [(row["_line"], "Invalid control" in row["_error"]) for row in raw.of("refused")] == [(2, True)]


@pytest.mark.parametrize("day", ["0000-01-01", "99999-01-01", "-0044-03-15"])
def test_days_that_no_python_reads_are_text(of_files: OfFiles, tmp_path: Path, day: str) -> None:
    raw = of_files(tmp_path, t_csv=f"a,b\nx,2024-01-01\ny,{day}\n")
    raw.land()
    assert [row["b"] for row in raw.values()] == ["2024-01-01", day]


def test_days_of_parquet_that_no_python_reads_are_text(of_files: OfFiles, tmp_path: Path) -> None:
    far = pa.array([0, 36_159_000], pa.int32()).cast(pa.date32())
    pq.write_table(pa.table({"d": far}), tmp_path / "t.parquet")
    raw = of_files(tmp_path)
    raw.land()
    assert [row["d"][:6] for row in raw.values()] == ["1970-0", "100969"]
    assert raw.retyped == 1


def test_whole_numbers_beyond_64_bits_keep_every_digit(of_files: OfFiles, tmp_path: Path) -> None:
    big = str(2**64 + 1)
    raw = of_files(tmp_path, t_csv=f"a,b\n1,x\n{big},y\n", u_jsonl=f'{{"c": 1}}\n{{"c": {big}}}\n{{"c": -{big}}}\n')
    raw.land()
    assert [row["a"] for row in raw.of("put") if row["a"]] == ["1", big]
    assert [row["c"] for row in raw.of("put") if row["c"]] == ["1", big, f"-{big}"]


def test_a_parquet_file_cut_in_half_fails_alone(of_files: OfFiles, tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": list(range(10_000))}), tmp_path / "half.parquet")
    whole = (tmp_path / "half.parquet").read_bytes()
    raw = of_files(tmp_path, half_parquet=whole[: len(whole) // 2], whole_parquet=whole)
    raw.land()
    errors = {marker["_file"]: marker["_error"] for marker in raw.of("file")}
    assert errors["half.parquet"] and errors["whole.parquet"] is None
    assert len(raw.of("put")) == 10_000


def test_a_line_that_is_too_long_is_refused_with_its_number_and_its_beginning(
    of_files: OfFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_lines, "LONGEST", 3 << 20)
    long = json.dumps({"a": "x" * (5 << 20)})
    raw = of_files(tmp_path, t_jsonl=f'{{"a": "1"}}\n{long}\n{{"a": "2"}}\n')
    raw.land()
    assert [row["a"] for row in raw.values()] == ["1", "2"]
    (refused,) = raw.of("refused")
    assert (refused["_line"], len(refused["_payload"])) == (2, json_lines.KEPT)
    assert f"{len(long):,} bytes" in refused["_error"]


@pytest.mark.long
def test_a_json_line_of_500_mb_is_refused_in_little_memory(of_files: OfFiles, tmp_path: Path) -> None:
    with (tmp_path / "t.jsonl").open("w") as out:
        out.write('{"a": "1"}\n{"a": "')
        for _ in range(500):
            out.write("x" * 1_000_000)
        out.write('"}\n{"a": "2"}\n')
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    raw = of_files(tmp_path)
    raw.land()
    assert [row["a"] for row in raw.values()] == ["1", "2"]
    assert [row["_line"] for row in raw.of("refused")] == [2]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400 * 1024


@pytest.mark.long
def test_a_column_that_is_a_number_for_a_million_rows_and_then_a_word_is_text(
    of_files: OfFiles, tmp_path: Path
) -> None:
    raw = of_files(tmp_path, t_csv="a,b\n" + "".join(f"{i},x\n" for i in range(1_000_000)) + "word,y\n")
    raw.land()
    assert raw.values()[-1] == {"a": "word", "b": "y"}
    assert raw.values()[999_999]["a"] == "999999"


def test_the_line_of_a_row_that_does_not_fit_is_found_behind_newlines_and_broken_rows(
    of_files: OfFiles, tmp_path: Path
) -> None:
    raw = of_files(tmp_path, t_csv="a,b\n1,x\n2,y\n")
    raw.source = raw.source.model_copy(update={"schema_contract": "discard_row"})
    raw.land()
    text = 'a,b\n1,"x\ny\nz"\nbroken\n\n2,y\nword,z\n' + "3,w\n" * delimited.SAMPLE_ROWS + "02,v\n"
    (tmp_path / "t.csv").write_text(text)
    raw.land()
    lines = {row["_line"]: row["_payload"] for row in raw.of("refused")}
    assert lines == {
        5: "broken",
        8: '{"a": "word", "b": "z"}',
        9 + delimited.SAMPLE_ROWS: '{"a": "02", "b": "v"}',
    }


HOSTILE = 'x"; DROP TABLE raw.trial; --'


def test_names_made_to_inject_are_only_names(of_files: OfFiles, tmp_path: Path) -> None:
    nested = json.dumps({HOSTILE: {HOSTILE: 1, "'); --": [2]}})
    raw = of_files(tmp_path, t_jsonl=nested + "\n")
    (tmp_path / "it's; DROP.csv").write_text('"' + HOSTILE.replace('"', '""') + "\",'b\n1,2\n")
    pq.write_table(pa.table({HOSTILE: [3], "'": [4]}), tmp_path / "p.parquet")
    raw.land()
    assert {column.doc for column in raw.columns} == {HOSTILE, "'b", "'"}
    assert all(column.name.replace("_", "a").isalnum() for column in raw.columns)
    assert [marker["_error"] for marker in raw.of("file")] == [None] * 3
    assert len(raw.of("put")) == 3


# --- names ----------------------------------------------------------------------------------------------------------


def test_a_thousand_columns_have_a_thousand_names_and_all_values(of_files: OfFiles, tmp_path: Path) -> None:
    headers = [f"Column {'é' if i % 2 else 'e'} {i // 2}" for i in range(1_000)]
    raw = of_files(tmp_path, t_csv=",".join(headers) + "\n" + ",".join(map(str, range(1_000))) + "\n")
    raw.land()
    assert len({column.name for column in raw.columns}) == 1_000
    assert [column.doc for column in raw.columns] == headers
    assert list(raw.values()[0].values()) == list(range(1_000))


@pytest.mark.parametrize(
    ("headers", "names"),
    [
        (["Order", "order_", "SELECT"], ["order_", "order_2", "select_"]),
        (["_file", "sequence", "_row hash"], ["file", "sequence_2", "row_hash"]),
        (["", " ", "\t"], ["column_1", "column_2", "column_3"]),
        (["é", "É", "E"], ["e", "e_2", "e_3"]),
        (["a" * 80, "a" * 70], ["a" * 60, "a" * 60 + "_2"]),
    ],
)
def test_every_header_has_a_legal_name_of_its_own(headers: list[str], names: list[str]) -> None:
    assert place(headers, [])[0] == names


def test_a_name_does_not_depend_on_where_the_column_stands() -> None:
    assert [snake_case("Größe (cm)", i) for i in (1, 9)] == ["grosse_cm"] * 2


# --- schema contracts -----------------------------------------------------------------------------------------------

FIRST = '{"n": 1, "o": {"a": 1}}\n'
LATER = '{"n": 2, "o": {"a": 2}}\n{"n": "word", "o": {"a": 3}}\n{"n": 4, "o": {"a": 4, "b": 5}}\n'


def drifted(of_files: OfFiles, folder: Path, contract: Any, later: str = LATER) -> Any:
    """The raw table after a first file, and another that drifts."""
    raw = of_files(folder, a_jsonl=FIRST)
    raw.source = TableSource(name="trial", path=str(folder), schema_contract=contract)
    raw.land()
    (folder / "b.jsonl").write_text(later)
    raw.land()
    return raw


def test_evolve_keeps_what_does_not_fit_beside_the_column(of_files: OfFiles, tmp_path: Path) -> None:
    raw = drifted(of_files, tmp_path, "evolve")
    assert [(row["n"], row["n__text"], row["o"]) for row in raw.values()] == [
        (1, None, {"a": 1}),
        (2, None, {"a": 2, "b": None}),
        (None, "word", {"a": 3, "b": None}),
        (4, None, {"a": 4, "b": 5}),
    ]
    assert raw.of("refused") == []
    (tmp_path / "c.jsonl").write_text('{"n": "again"}\n')
    before = raw.retyped
    raw.land()
    assert (raw.values()[-1]["n__text"], raw.retyped) == ("again", before)


def test_freeze_refuses_the_file_and_says_why(of_files: OfFiles, tmp_path: Path) -> None:
    raw = drifted(of_files, tmp_path, "freeze")
    assert "'o.b'" in raw.of("file")[-1]["_error"] and "freeze" in raw.of("file")[-1]["_error"]
    (tmp_path / "b.jsonl").write_text('{"n": "word", "o": {"a": 3}}\n')
    raw.land()
    assert "'word'" in raw.of("file")[-1]["_error"] and "freeze" in raw.of("file")[-1]["_error"]
    (tmp_path / "c.jsonl").write_text('{"n": 9, "new": 1}\n')
    raw.land()
    assert "'new'" in raw.of("file")[-1]["_error"]
    assert {column.name for column in raw.columns} == {"n", "o"}


def test_discard_row_refuses_rows_with_their_lines(of_files: OfFiles, tmp_path: Path) -> None:
    later = LATER + '{"n": 5, "new": null}\n{"n": 6, "new": true}\n'
    raw = drifted(of_files, tmp_path, "discard_row", later)
    assert [row["n"] for row in raw.values()] == [1, 2, 5]
    assert [row["_line"] for row in raw.of("refused")] == [2, 3, 5]
    assert "'new' is not in raw" in raw.of("refused")[-1]["_error"]


def test_discard_value_leaves_values_out_and_tells_them(of_files: OfFiles, tmp_path: Path) -> None:
    later = '{"n": "word"}\n{"n": 3, "new": [1]}\n'
    raw = drifted(of_files, tmp_path, {"types": "discard_value", "columns": "discard_value"}, later)
    assert [(row["n"], row["_payload"]) for row in raw.of("put")] == [
        (1, None),
        (None, '{"n": "word"}'),
        (3, '{"new": "[1]"}'),
    ]
    assert {column.name for column in raw.columns} == {"n", "o"}


def test_columns_and_types_may_have_rules_of_their_own(of_files: OfFiles, tmp_path: Path) -> None:
    raw = drifted(
        of_files, tmp_path, {"columns": "evolve", "types": "discard_row"}, '{"n": "x"}\n{"n": 2, "late": 1}\n'
    )
    assert [(row["n"], row["late"]) for row in raw.values()] == [(1, None), (2, 1)]
    assert len(raw.of("refused")) == 1


def test_the_hash_of_a_row_is_the_same_whether_its_value_fits_or_not(of_files: OfFiles, tmp_path: Path) -> None:
    raw = drifted(of_files, tmp_path, "evolve", '{"n": "1"}\n')
    raw.source = raw.source.model_copy(update={"same_content": "load"})
    (tmp_path / "c.jsonl").write_text('{"n": "1"}\n')
    raw.land()
    assert pc.count_distinct(pa.array([row["_row_hash"] for row in raw.of("put")[1:]])).as_py() == 1


# --- copies ---------------------------------------------------------------------------------------------------------


def test_a_file_under_a_second_name_is_not_loaded_twice_until_the_first_is_gone(
    of_files: OfFiles, tmp_path: Path
) -> None:
    raw = of_files(tmp_path, b_csv="n\n1\n2\n", c_csv="n\n1\n2\n")
    raw.land()
    assert len(raw.of("put")) == 2
    assert [(row["_file"], row["_row"], row["_payload"]) for row in raw.of("same")] == [("c.csv", 2, "b.csv")]
    assert raw.land().is_nothing
    (tmp_path / "a.csv").write_text("n\n1\n2\n")
    raw.land()
    assert [(row["_file"], row["_payload"]) for row in raw.of("same")[1:]] == [("a.csv", "b.csv")]
    (tmp_path / "b.csv").unlink()
    raw.land()
    assert [row["_file"] for row in raw.of("put")] == ["b.csv", "b.csv", "a.csv", "a.csv"]
    assert raw.of("same")[-1]["_payload"] == "a.csv"
    assert raw.land().is_nothing


def test_a_copy_is_loaded_where_the_source_says_so(raw_of: RawOf, tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("n\n1\n")
    raw = raw_of(TableSource(name="trial", path=str(tmp_path), same_content="load"))
    raw.land()
    assert len(raw.of("put")) == 2


# --- deletions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["replace", "append", "merge", "history"])
def test_keys_that_the_source_has_no_more_arrive_as_gone_in_merge_and_history(
    raw_of: RawOf, tmp_path: Path, mode: Any
) -> None:
    note: Any = {"key": "id"}
    raw = raw_of(TableSource(name="trial", path=str(tmp_path), mode=mode, note=note))
    (tmp_path / "a.csv").write_text("id,v\n1,x\n2,y\n3,z\n")
    (tmp_path / "b.csv").write_text("id,v\n2,w\n4,q\n")
    raw.land()
    (tmp_path / "a.csv").write_text("id,v\n1,x\n5,n\n")
    raw.land()
    (tmp_path / "b.csv").unlink()
    raw.land()
    gone = [(row["id"], row["_file"], row["_row"], row["v"]) for row in raw.of("gone") if row["_row_hash"] is not None]
    told = [(3, "a.csv", 3, None), (2, "b.csv", 1, None), (4, "b.csv", 2, None)]
    assert gone == (told if mode in ("merge", "history") else [])
    assert [row["sequence"] for row in raw.rows] == list(range(1, len(raw.rows) + 1))
    assert raw.land().is_nothing


def test_a_file_that_cannot_be_read_takes_no_key_away(raw_of: RawOf, tmp_path: Path) -> None:
    note: Any = {"key": "id"}
    raw = raw_of(TableSource(name="trial", path=str(tmp_path), mode="merge", note=note))
    pq.write_table(pa.table({"id": [1, 2]}), tmp_path / "a.parquet")
    raw.land()
    (tmp_path / "a.parquet").write_bytes(b"torn")
    raw.land()
    assert raw.of("gone") == []
