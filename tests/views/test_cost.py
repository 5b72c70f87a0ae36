"""What a query scans, counted before it runs, against the footers of the files; the history; results in files."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dagster_project.contracts import INSTANT, INT, TEXT, TEXTS, Column, Table
from dagster_project.lake.read import scan
from dagster_project.views import queries_log, results
from dagster_project.views.cost import scanned
from dagster_project.views.publish import Publication
from dagster_project.views.sql_files import View

Serve = Callable[..., Publication]
NOON = datetime(2026, 5, 14, 12, tzinfo=UTC)
NOTES = Table(
    "notes",
    "notes",
    "a note",
    (
        Column(1, "note_id", TEXT, ""),
        Column(2, "source", TEXT, ""),
        Column(3, "words", INT, ""),
        Column(4, "seen", INSTANT, ""),
        Column(5, "tags", TEXTS, "", (6,)),
    ),
    ("note_id",),
)


@pytest.fixture
def files(shelf: Any, serve: Serve) -> list[str]:
    """Two files of two row groups each: words 0..3 and 10..13, one view on them, published."""
    made = []
    for first in (0, 10):
        path = str(shelf.folder / f"{first}.parquet")
        rows = [
            {"note_id": f"n{n:02}", "source": "v", "words": n, "seen": NOON + timedelta(days=n), "tags": ["a" * 50]}
            for n in range(first, first + 4)
        ]
        pq.write_table(pa.Table.from_pylist(rows, schema=NOTES.schema), path, row_group_size=2)
        made.append(path)
    longest = View(
        "insights", "longest", "a note", {"note_id": "x"}, "SELECT note_id FROM notes.notes WHERE words % 2 = 0",
        ("notes.notes",), Path("longest.sql"),
    )  # fmt: skip
    serve([shelf.pinned(NOTES, made, 8)], [longest])
    return made


def size(files: Sequence[str], *columns: str, groups: Sequence[int] = (0, 1)) -> int:
    """Return the compressed bytes of some columns, read from the footers."""
    total = 0
    for file in files:
        footer = pq.read_metadata(file)
        for group in groups:
            parts = [footer.row_group(group).column(i) for i in range(footer.num_columns)]
            total += sum(p.total_compressed_size for p in parts if p.path_in_schema.split(".")[0] in columns)
    return total


def test_only_the_columns_a_query_reads_are_counted(view_file: Path, files: list[str]) -> None:
    every = [column.name for column in NOTES.columns]
    for query, columns in [
        ("SELECT note_id FROM notes.notes", ["note_id"]),
        ("SELECT tags FROM notes.notes", ["tags"]),
        ("FROM notes.notes", every),
        ("SELECT count(*) FROM notes.notes", []),
        ("SELECT count(*) FROM notes.notes WHERE lower(note_id) LIKE '%x%'", ["note_id"]),
        ("FROM insights.longest", ["note_id", "words"]),
        ("WITH a AS (SELECT words FROM notes.notes) SELECT sum(words) FROM a", ["words"]),
    ]:
        counted = scanned(view_file, query)
        assert (counted.bytes, counted.unknown) == (size(files, *columns), None), query
    twice = scanned(view_file, "SELECT a.words FROM notes.notes a JOIN notes.notes b ON a.words = b.words + 1")
    assert twice.bytes == 2 * size(files, "words")


def test_row_groups_that_a_filter_leaves_out_are_not_counted(view_file: Path, files: list[str]) -> None:
    for condition, left, groups in [
        ("words = 12", files[1:], [1]),
        ("words >= 10 AND words < 12", files[1:], [0]),
        ("words > 13", [], []),
        ("words BETWEEN 1 AND 2", files[:1], [0, 1]),
    ]:
        counted = scanned(view_file, f"SELECT words FROM notes.notes WHERE {condition}")
        assert counted.bytes == size(left, "words", groups=groups), condition
    assert scanned(view_file, "SELECT note_id FROM notes.notes WHERE note_id = 'n11'").row_groups == 1
    later = "SELECT seen FROM notes.notes WHERE seen >= TIMESTAMPTZ '2026-05-26 12:00:00+00'"
    assert scanned(view_file, later).bytes == size(files[1:], "seen", groups=[1])
    assert scanned(view_file, "SELECT words FROM notes.notes WHERE words = 0 OR words = 13").bytes == size(
        files, "words"
    )


def test_a_table_as_it_was_is_counted_too_and_other_files_are_told(
    view_file: Path, files: list[str], tmp_path: Path
) -> None:
    then = f"SELECT pinned.words, pinned.filename FROM {scan(NOTES.columns, files[:1], with_path=True)} AS pinned"
    assert scanned(view_file, then).bytes == size(files[:1], "words")
    where = f"SELECT pinned.filename FROM {scan(NOTES.columns, files, with_path=True)} AS pinned"
    sizes = f"SELECT filename, size FROM read_blob(['{files[0].replace(chr(39), chr(39) * 2)}'])"
    for free in (where, f"SELECT s.size FROM ({where}) AS w JOIN ({sizes}) AS s ON s.filename = w.filename"):
        assert (scanned(view_file, free).bytes, scanned(view_file, free).unknown) == (0, None)
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    other = scanned(view_file, f"SELECT words, a FROM notes.notes, read_csv('{tmp_path}/x.csv')")
    assert other.bytes == size(files, "words") and "READ_CSV" in str(other.unknown)


def execution(number: str, query: str) -> queries_log.Execution:
    told = ("athena", "DML", "SUCCEEDED", None, NOON.isoformat(), NOON.isoformat(), 1, 2, 3, 4096, 5, None)
    return queries_log.Execution(number, query, *told)


def test_the_history_of_queries_is_a_view_on_a_log(view_file: Path, files: list[str]) -> None:
    def asked(query: str) -> list[tuple[Any, ...]]:
        with closing(duckdb.connect()) as con:
            con.execute(f"ATTACH '{view_file}' AS lake (READ_ONLY); USE lake")
            return con.execute(query).fetchall()

    assert asked("FROM ops.queries") == []
    queries_log.append(view_file, execution("1", "SELECT 'é'\n"))
    with queries_log.log_of(view_file).open("a") as log:
        log.write('{"query_execution_id": "cut sh')
    queries_log.append(view_file, execution("2", "SELECT 2"))
    kept = asked("SELECT query_execution_id, query, state, data_scanned_in_bytes FROM ops.queries ORDER BY 1")
    assert kept == [("1", "SELECT 'é'\n", "SUCCEEDED", 4096), ("2", "SELECT 2", "SUCCEEDED", 4096)]
    described = asked("SELECT column_name, column_type FROM (DESCRIBE ops.queries)")
    types = {"TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE"}
    assert described == [(name, types.get(kind, kind)) for name, (kind, _) in queries_log.COLUMNS.items()]
    queries_log.log_of(view_file).unlink()
    assert len(asked("FROM notes.notes")) == 8
    assert asked("SELECT count(*) FROM duckdb_columns() WHERE table_name = 'queries'") == [(len(queries_log.COLUMNS),)]


VALUES = """SELECT * FROM (VALUES
  (1, 'say "a"', 1.5::DOUBLE, NULL, TIMESTAMP '2026-05-10 12:34:56.789', [1, NULL], MAP {'k': 'v'}, 'ab'::BLOB),
  (2, '', 1e7::DOUBLE, 2.50::DECIMAL(10, 2), NULL, [], MAP {}, NULL)
) AS t(i, txt, d, n, stamp, list, map, bytes)"""


def test_athenas_csv_quotes_every_value_and_leaves_null_empty(tmp_path: Path) -> None:
    with closing(duckdb.connect()) as con:
        assert results.write(con.sql(VALUES), "athena-csv", tmp_path / "r.csv") == 2
    assert (tmp_path / "r.csv").read_text() == (
        '"i","txt","d","n","stamp","list","map","bytes"\n'
        '"1","say ""a""","1.5",,"2026-05-10 12:34:56.789000","[1, null]","{k=v}","61 62"\n'
        '"2","","1.0E7","2.50",,"[]","{}",\n'
    )


def test_results_go_to_files_whole_and_are_counted(tmp_path: Path) -> None:
    with closing(duckdb.connect()) as con:
        for form in ("csv", "json", "parquet"):
            assert results.write(con.sql("SELECT i, 't' || i AS t FROM range(3) AS r(i)"), form, tmp_path / form) == 3
        with pytest.raises(duckdb.Error):
            results.write(con.sql("SELECT error('no') AS x"), "csv", tmp_path / "csv")
    assert [*csv.DictReader((tmp_path / "csv").read_text().splitlines())][2] == {"i": "2", "t": "t2"}
    assert json.loads((tmp_path / "json").read_text().splitlines()[1]) == {"i": 1, "t": "t1"}
    assert pq.read_table(tmp_path / "parquet").num_rows == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["csv", "json", "parquet"]
