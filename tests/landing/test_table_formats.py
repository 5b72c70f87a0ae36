"""Claims of the formats of table files: each gives the same rows, whatever packs or encodes it, in the types it has."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import sqlite3
import sys
import zipfile
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.feather as feather
import pytest

from dagster_project.landing import formats
from dagster_project.landing.formats import json_documents, json_lines
from dagster_project.sources import TableSource

RawOf = Callable[[TableSource], Any]
CSV = 'id,say\n1,"x, ""y"""\n2,"two\nlines"\n'
JSONL = '{"id": 1, "say": "x"}\n{"id": 2, "say": "é"}\n'


def landed(raw_of: RawOf, path: Path, **options: Any) -> Any:
    """The raw table after landing what lies at `path`."""
    raw = raw_of(TableSource(name="trial", path=str(path), **options))
    raw.land()
    return raw


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".zst": lambda data: pa.Codec("zstd").compress(data, asbytes=True),
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


@pytest.mark.parametrize("ending", PACKERS)
@pytest.mark.parametrize(("name", "text", "say"), [("a.csv", CSV, 'x, "y"'), ("a.jsonl", JSONL, "x")])
def test_a_packed_file_gives_the_rows_of_the_plain_one(
    raw_of: RawOf, tmp_path: Path, ending: str, name: str, text: str, say: str
) -> None:
    (tmp_path / (name + ending)).write_bytes(PACKERS[ending](text.encode()))
    raw = landed(raw_of, tmp_path)
    assert [row["id"] for row in raw.values()] == [1, 2]
    assert raw.values()[0]["say"] == say
    assert raw.of("file")[0]["_error"] is None


def test_what_is_broken_inside_a_packed_file_is_told_in_its_marker(raw_of: RawOf, tmp_path: Path) -> None:
    for ending, pack in PACKERS.items():
        (tmp_path / f"a{ending[1:]}.jsonl{ending}").write_bytes(pack(JSONL.encode() * 2_000)[:-40])
    raw = landed(raw_of, tmp_path)
    assert [bool(marker["_error"]) for marker in raw.of("file")] == [True] * len(PACKERS)


def test_each_file_of_an_archive_is_a_file_of_its_own(raw_of: RawOf, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("in/a.csv", "id\n1\n")
        archive.writestr("b.jsonl.gz", gzip.compress(b'{"id": 2}\n'))
        archive.writestr("read.me", "no table")
        archive.writestr("__MACOSX/._a.csv", "no file of anybody's")
    raw = raw_of(TableSource(name="trial", path=str(tmp_path)))
    scan = raw.land()
    assert [(row["_file"], row["id"]) for row in raw.of("put")] == [("all.zip/b.jsonl.gz", 2), ("all.zip/in/a.csv", 1)]
    assert scan.skipped == ("all.zip/read.me",)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("in/a.csv", "id\n1\n")
    again = raw.land()
    assert (again.unchanged, again.gone) == (("all.zip/in/a.csv",), ("all.zip/b.jsonl.gz",))


def test_an_archive_that_cannot_be_read_leaves_what_was_in_it(raw_of: RawOf, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("a.csv", "id\n1\n")
    raw = landed(raw_of, tmp_path)
    (tmp_path / "all.zip").write_bytes(b"PK torn")
    scan = raw.land()
    assert scan.gone == ()
    assert "no zip archive" in raw.of("file")[-1]["_error"]


# --- encodings and dialects -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoding", "told"),
    [
        ("utf-8-sig", "utf-8"),
        ("utf-16", "utf-16-le"),
        ("utf-16-be", "utf-16-be (detected)"),
        ("utf-32", "utf-32-le"),
        ("cp1252", "windows-1252 (detected)"),
    ],
)
def test_text_is_read_in_its_own_encoding_and_that_is_told(
    raw_of: RawOf, tmp_path: Path, encoding: str, told: str
) -> None:
    text = "id,say\n" + "".join(f"{i},les cafés près d'ici où l'été fut déjà là {i}\n" for i in range(20))
    (tmp_path / "a.csv").write_bytes(text.encode(encoding))
    raw = landed(raw_of, tmp_path)
    assert [row["say"] for row in raw.values()][3] == "les cafés près d'ici où l'été fut déjà là 3"
    assert json.loads(raw.of("file")[0]["_payload"])["encoding"] == told


def test_a_declared_encoding_is_used_and_one_that_is_wrong_is_told(raw_of: RawOf, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("a,b\nx,Привет\n".encode("koi8_r"))
    assert landed(raw_of, tmp_path, encoding="KOI8-R").values() == [{"a": "x", "b": "Привет"}]
    (tmp_path / "b.csv").write_bytes(b"a,b\n\xff\xfe\xff,x\n")
    raw = landed(raw_of, tmp_path / "b.csv", encoding="shift_jis")
    assert "shift" in raw.of("file")[0]["_error"]
    assert "encoding:" in raw.of("file")[0]["_error"]


@pytest.mark.parametrize(
    ("text", "options", "rows"),
    [
        ("a;b;c\nx;1,5;2\ny;-0,25;3\n", {}, [("x", 1.5, 2), ("y", -0.25, 3)]),
        ("a;b\nx;1.5\ny;1,5\n", {}, [("x", "1.5"), ("y", "1,5")]),
        ('a,b\nx,"1,5"\n', {"decimal": ","}, [("x", 1.5)]),
        ("1,x\n2,y\n", {}, [(1, "x"), (2, "y")]),
        ("x,y\nz,w\n", {"header": 0}, [("x", "y"), ("z", "w")]),
        ("1,2\n3,4\n", {"header": 1}, [(3, 4)]),
        ("made by\n2024-01-01\na,b\n1,x\n", {"skip": 2}, [(1, "x")]),
        ("a|b\n'x|y'|1\n", {"quote": "'"}, [("x|y", 1)]),
        ('a,b\n"x\\"y",1\n', {"escape": "\\"}, [('x"y', 1)]),
        ("a:b\nx,y:1\n", {"delimiter": ":"}, [("x,y", 1)]),
    ],
    ids=["comma", "both", "declared", "no header", "said", "years", "skip", "quote", "escape", "delimiter"],
)
def test_a_dialect_is_found_out_or_said(
    raw_of: RawOf, tmp_path: Path, text: str, options: dict[str, Any], rows: list[tuple[Any, ...]]
) -> None:
    (tmp_path / "a.csv").write_text(text)
    raw = landed(raw_of, tmp_path, **options)
    assert [tuple(row.values()) for row in raw.values()] == rows
    assert raw.of("refused") == []


def test_a_header_that_comes_again_is_refused_with_its_line_and_makes_no_column_text(
    raw_of: RawOf, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text('id,say\n1,"x\ny"\nbroken\nid,say\n2,z\n')
    raw = landed(raw_of, tmp_path)
    assert [row["id"] for row in raw.values()] == [1, 2]
    assert {(row["_line"], row["_payload"]) for row in raw.of("refused")} == {
        (4, "broken"),
        (5, '{"id": "id", "say": "say"}'),
    }


def test_names_over_names_become_one(raw_of: RawOf, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("who,2024,,2025,\n,Q1,Q2,Q1,Q2\nx,1,2,3,4\n")
    raw = landed(raw_of, tmp_path, header=2)
    assert [column.doc for column in raw.columns] == ["who", "2024 / Q1", "2024 / Q2", "2025 / Q1", "2025 / Q2"]


# --- JSON documents -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ('[{"id": 1, "o": {"a": [1, 2]}},\n {"id": 2}]', {}),
        (json.dumps([{"id": 1, "o": {"a": [1, 2]}}, {"id": 2}], indent=4), {}),
        ('{\n"id": 1, "o": {"a": [1, 2]}\n}\n{\n"id": 2\n}\n', {}),
        ('{"id": 1, "o": {"a": [1, 2]}}\n{"id": 2}\n', {}),
        (
            '{"n": [9], "data": {"items": [{"id": 1, "o": {"a": [1, 2]}}, {"id": 2}], "x": []}}',
            {"records": "data.items"},
        ),
    ],
    ids=["array", "indented", "one after the other", "lines", "records"],
)
def test_records_are_found_however_a_document_holds_them(
    raw_of: RawOf, tmp_path: Path, text: str, options: dict[str, Any]
) -> None:
    (tmp_path / "a.json").write_text("\ufeff" + text)
    raw = landed(raw_of, tmp_path, **options)
    assert raw.values() == [{"id": 1, "o": {"a": [1, 2]}}, {"id": 2, "o": None}]
    assert raw.of("refused") == []


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_a_broken_record_costs_itself_alone(chunk: int) -> None:
    text = b'[\n{"a": "]}\\"{"},\n{"a": 1,},\n 7, null,\n{"a": {"b": [\n3]}}\n]'
    found = [(line, data) for line, data, _ in json_documents.records(io.BytesIO(text), chunk=chunk)]
    assert found == [
        (2, b'{"a": "]}\\"{"}'),
        (3, b'{"a": 1,}'),
        (4, b"7, null"),
        (5, b'{"a": {"b": [\n3]}}'),
    ]


def test_a_document_cut_short_says_so(raw_of: RawOf, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"id": 1},\n{"id": 2}')
    raw = landed(raw_of, tmp_path)
    assert [row["id"] for row in raw.values()] == [1, 2]
    assert [(row["_line"], "ends within" in row["_error"]) for row in raw.of("refused")] == [(2, True)]


def test_nested_values_stay_nested_and_those_of_no_single_type_are_text(raw_of: RawOf, tmp_path: Path) -> None:
    many = {f"k{i}": i for i in range(json_lines.MOST_FIELDS + 1)}
    rows = [
        {
            "s": {"a": 1, "b": {"c": "x"}},
            "l": [{"d": 1.5}],
            "m": many,
            "mix": {"a": [1, "x"]},
            "twice": {"A": 1, "a": 2},
        },
        {"s": {"b": {"c": None}}, "l": [], "m": {"k1": None}, "mix": None},
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    raw = landed(raw_of, tmp_path)
    types = {column.name: str(column.type) for column in raw.columns}
    assert types["s"] == "struct<a: int64, b: struct<c: string>>"
    assert types["l"] == "list<item: struct<d: double>>"
    assert types["m"].startswith("map<string, int64")
    assert (types["mix"], types["twice"]) == ("string", "string")
    one, two = raw.values()
    assert one["s"] == {"a": 1, "b": {"c": "x"}}
    assert dict(one["m"]) == many
    assert json.loads(one["mix"]) == {"a": [1, "x"]}
    assert (two["s"], two["l"]) == ({"a": None, "b": {"c": None}}, [])


@pytest.mark.parametrize("value", ['{"a": 123456789012345678901}', '{"a": 1, "a": 2}', '{"a": 9007199254740993.5}'])
def test_a_nested_value_that_would_lose_something_makes_the_column_text(
    raw_of: RawOf, tmp_path: Path, value: str
) -> None:
    (tmp_path / "a.jsonl").write_text('{"o": {"a": 1}}\n{"o": ' + value + "}\n")
    raw = landed(raw_of, tmp_path)
    assert raw.columns[0].type in (pa.string(), pa.struct([("a", pa.float64())]))
    if raw.columns[0].type == pa.string():
        assert raw.values()[1]["o"] == value.replace(": ", ":").replace(", ", ",")


# --- typed formats --------------------------------------------------------------------------------------------------

TYPED = pa.table(
    {
        "i": pa.array([1, None], pa.int32()),
        "t": pa.array([datetime(2024, 1, 1, 10, tzinfo=UTC), None], pa.timestamp("ms", "UTC")),
        "d": pa.array([date(2024, 2, 29), None]),
        "n": pa.array([{"x": [1, 2], "y": "z"}, None], pa.struct([("x", pa.list_(pa.int64())), ("y", pa.string())])),
        "c": pa.array(["red", "red"]).dictionary_encode(),
        "b": pa.array([b"\x00\xff", None]),
    }
)


@pytest.mark.parametrize("form", ["file", "stream", "feather"])
def test_arrow_keeps_its_types(raw_of: RawOf, tmp_path: Path, form: str) -> None:
    path = str(tmp_path / ("t.feather" if form == "feather" else "t.arrow"))
    if form == "feather":
        feather.write_feather(TYPED, path, compression="zstd")
    else:
        with pa.OSFile(path, "wb") as sink:
            writer = pa.ipc.new_file(sink, TYPED.schema) if form == "file" else pa.ipc.new_stream(sink, TYPED.schema)
            with writer:
                writer.write_table(TYPED)
    one, two = landed(raw_of, tmp_path).values()
    assert (one["i"], one["d"], one["n"], one["c"], one["b"]) == (
        1,
        date(2024, 2, 29),
        {"x": [1, 2], "y": "z"},
        "red",
        b"\x00\xff",
    )
    assert one["t"] == datetime(2024, 1, 1, 10, tzinfo=UTC)
    assert [value for name, value in two.items() if name != "c"] == [None] * 5


AVRO = {
    "type": "record",
    "name": "talk",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}]},
        {"name": "who", "type": {"type": "array", "items": {"type": "record", "name": "p", "fields": [
            {"name": "name", "type": "string"}]}}},
        {"name": "either", "type": ["string", "int", "null"]},
        {"name": "kind", "type": {"type": "enum", "name": "k", "symbols": ["LONG", "SHORT"]}},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2}},
    ],
}  # fmt: skip


def test_avro_gives_its_records(raw_of: RawOf, tmp_path: Path) -> None:
    from decimal import Decimal

    at = datetime(2024, 1, 1, tzinfo=UTC)
    rows = [{"id": 1, "at": at, "who": [{"name": "x"}], "either": 7, "kind": "LONG", "price": Decimal("1.50")}]
    with (tmp_path / "t.avro").open("wb") as out:
        fastavro.writer(out, AVRO, rows, codec="deflate")
    raw = landed(raw_of, tmp_path)
    assert raw.values() == [rows[0] | {"either": "7"}]
    data = (tmp_path / "t.avro").read_bytes()
    (tmp_path / "t.avro").write_bytes(data[:-20])
    raw.land()
    assert raw.of("file")[-1]["_error"]


def sqlite_file(path: Path) -> None:
    with closing(sqlite3.connect(path)) as con:
        con.execute("CREATE TABLE talks (id INTEGER PRIMARY KEY, title TEXT, score, raw BLOB, empty)")
        con.executemany("INSERT INTO talks VALUES (?, ?, ?, ?, NULL)", [(1, "a", 1, b"\xff"), (2, None, "x", b"y")])
        con.execute('CREATE TABLE "o""ther; DROP TABLE talks" (n REAL)')
        con.execute('INSERT INTO "o""ther; DROP TABLE talks" VALUES (0.5)')
        con.commit()


def test_a_table_of_an_sqlite_file_is_named_and_its_values_keep_their_sort(raw_of: RawOf, tmp_path: Path) -> None:
    sqlite_file(tmp_path / "t.db")
    raw = landed(raw_of, tmp_path)
    assert "say in `table:`" in raw.of("file")[0]["_error"]
    raw = landed(raw_of, tmp_path, table="talks")
    assert raw.values() == [
        {"id": 1, "title": "a", "score": "1", "raw": b"\xff", "empty": None},
        {"id": 2, "title": None, "score": "x", "raw": b"y", "empty": None},
    ]
    assert {row["_file"] for row in raw.rows} == {"t.db/talks"}
    assert landed(raw_of, tmp_path, table="o*").values() == [{"n": 0.5}]


def test_an_sqlite_file_that_is_being_written_is_refused(raw_of: RawOf, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "t.db")) as con:
        con.execute("PRAGMA journal_mode = wal")
        con.execute("CREATE TABLE t (a)")
        con.commit()
        raw = landed(raw_of, tmp_path / "t.db")
    assert "t.db-wal" in raw.of("file")[0]["_error"]


# --- spreadsheets ---------------------------------------------------------------------------------------------------

ROWS = """
<row r="1"><c r="A1" t="str"><v>Talks of the year</v></c></row>
<row r="3"><c r="A3" t="str"><v>who</v></c><c r="B3" t="str"><v>2024</v></c><c r="D3" t="str"><v>day</v></c></row>
<row r="4"><c r="B4" t="str"><v>Q1</v></c><c r="C4" t="str"><v>Q2</v></c></row>
<row r="5"><c r="A5" t="str"><v>x</v></c><c r="B5"><v>1</v></c><c r="C5"><v>2.5</v></c>
<c r="D5" s="1"><v>45351</v></c></row>
<row r="7"><c r="A7" t="str"><v>y</v></c><c r="B7"><v>3</v></c><c r="C7"><v>4</v></c></row>
"""


def workbook(path: Path, **sheets: tuple[str, str]) -> None:
    """Write a workbook by hand: name of a sheet, its rows and its merged ranges."""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    types = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    names = list(sheets)
    files = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types"><Default Extension="rels" ContentType='
        '"application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType='
        '"application/xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{types}.sheet.main+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r" '
        f'Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>'
        + "".join(f'<sheet name="{n}" sheetId="{i}" r:id="s{i}"/>' for i, n in enumerate(names, 1))
        + "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships">'
        f'<Relationship Id="st" Type="{office}/styles" Target="styles.xml"/>'
        + "".join(
            f'<Relationship Id="s{i}" Type="{office}/worksheet" Target="worksheets/sheet{i}.xml"/>'
            for i in range(1, len(names) + 1)
        )
        + "</Relationships>",
        "xl/styles.xml": f'<styleSheet xmlns="{main}"><cellXfs count="2"><xf numFmtId="0"/>'
        '<xf numFmtId="14" applyNumberFormat="1"/></cellXfs></styleSheet>',
    }
    for i, (rows, merged) in enumerate(sheets.values(), 1):
        ranges = "".join(f'<mergeCell ref="{ref}"/>' for ref in merged.split())
        files[f"xl/worksheets/sheet{i}.xml"] = (
            f'<worksheet xmlns="{main}"><sheetData>{rows}</sheetData>'
            + (f"<mergeCells>{ranges}</mergeCells>" if ranges else "")
            + "</worksheet>"
        )
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)


def test_a_sheet_gives_its_table_with_merged_headers_and_days(raw_of: RawOf, tmp_path: Path) -> None:
    plain = '<row r="1"><c r="A1" t="str"><v>n</v></c></row><row r="2"><c r="A2"><v>1</v></c></row>'
    workbook(tmp_path / "b.xlsx", Talks=(ROWS, "B3:C3 A3:A4"), Other=(plain, ""))
    raw = landed(raw_of, tmp_path, sheet="Talks")
    assert [column.doc for column in raw.columns] == ["who", "2024 / Q1", "2024 / Q2", "day"]
    assert [tuple(row.values()) for row in raw.values()] == [("x", 1, 2.5, date(2024, 2, 29)), ("y", 3, 4.0, None)]
    assert {row["_file"] for row in raw.rows} == {"b.xlsx/Talks"}
    told = json.loads(raw.of("file")[0]["_payload"])
    assert (told["header_row"], told["header_rows"], told["above"]) == (3, 2, ["Talks of the year"])
    assert {row["_file"] for row in landed(raw_of, tmp_path).rows} == {"b.xlsx/Other", "b.xlsx/Talks"}
    assert "no sheet Nope" in landed(raw_of, tmp_path, sheet="Nope").of("file")[0]["_error"]


def test_a_format_whose_library_is_missing_names_the_extra(
    raw_of: RawOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workbook(tmp_path / "b.xlsx", Talks=(ROWS, ""))
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    assert "notelake[excel]" in landed(raw_of, tmp_path).of("file")[0]["_error"]


def test_every_format_says_what_it_reads_and_no_ending_is_read_by_two() -> None:
    modules = formats.by_name().values()
    endings = [suffix for module in modules for suffix in module.SUFFIXES]
    assert len(endings) == len(set(endings))
    assert all(module.__doc__ and module.EXTRA in (None, "excel") for module in modules)


# --- partitions -----------------------------------------------------------------------------------------------------


def test_folders_named_as_hive_does_give_columns(raw_of: RawOf, tmp_path: Path) -> None:
    for year, city in (("2024", "S%C3%A3o"), ("2025", "__HIVE_DEFAULT_PARTITION__")):
        folder = tmp_path / f"year={year}" / f"city={city}"
        folder.mkdir(parents=True)
        (folder / "a.csv").write_text(f"id\n{year[-1]}\n")
    assert landed(raw_of, tmp_path).values() == [{"id": 4}, {"id": 5}]
    raw = landed(raw_of, tmp_path, partitions="hive")
    assert raw.values() == [{"id": 4, "year": 2024, "city": "São"}, {"id": 5, "year": 2025, "city": None}]
    (tmp_path / "year=soon").mkdir()
    (tmp_path / "year=soon" / "a.csv").write_text("id\n6\n")
    raw.land()
    assert "its path says year=soon" in raw.of("file")[-1]["_error"]
