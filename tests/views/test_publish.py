"""The view file: what is in it, who can open it, and what happens when building it goes wrong."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from dagster_project.contracts import INT, NOTES, TEXT, TEXTS, VERSIONS, Column, Table, raw_table
from dagster_project.errors import NotelakeError
from dagster_project.sources import TableSource
from dagster_project.views import publish as publishing
from dagster_project.views.publish import Publication, published
from dagster_project.views.sql_files import View

from .conftest import FUNCTIONS

Serve = Callable[..., Publication]
SESSIONS = raw_table("sessions", "table", [Column(21, "title", TEXT, "Its title"), Column(22, "seats", INT, "")])


def ask(file: Path, query: str) -> list[tuple[Any, ...]]:
    """Ask the file as it lies there now, whatever this process opened at that path before."""
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{file}' AS lake (READ_ONLY)")
        connection.execute("USE lake")
        return connection.execute(query).fetchall()


def user_view(sql: str, *columns: str, reads: Sequence[str] = (), name: str = "mine") -> View:
    docs = dict.fromkeys(columns, "something")
    return View("insights", name, "a row", docs, sql, tuple(reads), Path(f"sql/views/insights/{name}.sql"))


def test_every_relation_and_column_says_what_it_means(
    shelf: Any, serve: Serve, view_file: Path, written_views: Sequence[View]
) -> None:
    serve([*shelf.shared(), shelf.pin(SESSIONS, [])], written_views)
    views = "SELECT schema_name || '.' || view_name FROM duckdb_views() WHERE NOT internal AND comment IS NULL"
    tables = "SELECT schema_name || '.' || table_name FROM duckdb_tables() WHERE comment IS NULL"
    columns = (  # what is told of the columns of a metadata table stands in `iceberg`
        "SELECT schema_name, table_name, column_name FROM duckdb_columns() WHERE NOT internal AND comment IS NULL "
        "AND NOT contains(table_name, '$')"
    )
    assert [ask(view_file, query) for query in (views, tables, columns)] == [[], [], []]
    count = "SELECT count(DISTINCT (schema_name, table_name)) FROM duckdb_columns() WHERE NOT internal"
    assert ask(view_file, count)[0][0] >= 12 + 10 + 2 + 2


def test_a_renamed_an_added_and_a_moved_column_come_out_right(shelf: Any, serve: Serve, view_file: Path) -> None:
    before = Table(
        "notes", "notes", "a note", (Column(1, "note_id", TEXT, ""), Column(2, "name", TEXT, "")), ("note_id",)
    )
    after = Table(
        "notes",
        "notes",
        "a note",
        (
            Column(2, "title", TEXT, ""),
            Column(1, "note_id", TEXT, ""),
            Column(3, "name", TEXT, ""),
            Column(4, "tags", TEXTS, "", (5,)),
        ),
        ("note_id",),
    )
    old = shelf.write(before.schema, [{"note_id": "a", "name": "Old"}])
    new = shelf.write(after.schema, [{"note_id": "b", "title": "New", "name": "n", "tags": ["x", "y"]}])
    serve([shelf.pinned(after, [old, new], 2)])
    rows = ask(view_file, "SELECT * FROM notes.notes ORDER BY note_id")
    assert rows == [("Old", "a", None, None), ("New", "b", "n", ["x", "y"])]


def test_a_widened_column_comes_out_right(shelf: Any, serve: Serve, view_file: Path) -> None:
    narrow = Table("notes", "n", "a row", (Column(1, "n", pa.int32(), ""),), ("n",))
    wide = Table("notes", "n", "a row", (Column(1, "n", INT, ""),), ("n",))
    files = [shelf.write(narrow.schema, [{"n": 1}]), shelf.write(wide.schema, [{"n": 2**40}])]
    serve([shelf.pinned(wide, files, 2)])
    assert ask(view_file, "SELECT n, typeof(n) FROM notes.n ORDER BY n") == [(1, "BIGINT"), (2**40, "BIGINT")]


def test_a_table_without_files_has_its_columns_and_no_rows(shelf: Any, serve: Serve, view_file: Path) -> None:
    serve([shelf.pinned(NOTES, ())])
    described = ask(view_file, "SELECT column_name, column_type FROM (DESCRIBE notes.notes)")
    assert described[9] == ("tags", "VARCHAR[]") and len(described) == len(NOTES.columns)
    assert ask(view_file, "FROM notes.notes") == []


def arrivals(*rows: tuple[Any, ...]) -> list[dict[str, Any]]:
    names = ("_op", "_file", "_row", "title", "_error")
    return [{"sequence": i, **dict(zip(names, row, strict=False))} for i, row in enumerate(rows, start=1)]


@pytest.mark.parametrize(
    ("rows", "current"),
    [
        ([("put", "a", 1, "x"), ("put", "a", 2, "y"), ("file", "a", 2)], [("x", 1), ("y", 2)]),
        ([("put", "a", 1, "x"), ("file", "a", 1), ("put", "a", 1, "z"), ("file", "a", 1)], [("z", 1)]),
        ([("put", "a", 1, "x"), ("file", "a", 1), ("put", "b", 1, "y"), ("file", "b", 1)], [("x", 1), ("y", 1)]),
        ([("put", "a", 1, "x"), ("file", "a", 1), ("gone", "a", 0)], []),
        (
            [("put", "a", 1, "x"), ("file", "a", 1), ("gone", "a", 0), ("put", "a", 1, "y"), ("file", "a", 1)],
            [("y", 1)],
        ),
        ([("put", "a", 1, "x"), ("file", "a", 1), ("file", "a", 0, None, "no CSV")], [("x", 1)]),
        ([("put", "a", 1, "x"), ("refused", "a", 2), ("put", "a", 3, "z"), ("file", "a", 3)], [("x", 1), ("z", 3)]),
        ([("put", "a", 1, "x"), ("file", "a", 1), ("file", "a", 0)], []),
        ([("put", "a", 1, "x"), ("file", "a", 1), ("put", "a", 1, "unfinished")], [("x", 1)]),
    ],
    ids=["read", "read again", "two files", "gone", "back", "unreadable", "refused row", "empty now", "half landed"],
)
def test_the_current_rows_are_those_of_each_files_last_good_reading(
    shelf: Any, serve: Serve, view_file: Path, rows: list[tuple[Any, ...]], current: list[tuple[Any, ...]]
) -> None:
    serve([shelf.pin(SESSIONS, arrivals(*rows))])
    assert ask(view_file, "SELECT title, _row FROM tables.sessions ORDER BY _file, _row") == current
    columns = ask(view_file, "SELECT column_name FROM (DESCRIBE tables.sessions)")
    assert columns == [("title",), ("seats",), ("_file",), ("_row",)]


def test_a_table_sources_description_stands_at_its_rows(shelf: Any, serve: Serve, view_file: Path) -> None:
    source = TableSource(name="sessions", path="x.csv", description="The programme")
    serve([shelf.pin(SESSIONS, [])], sources=[source])
    comment = ask(view_file, "SELECT comment FROM duckdb_views() WHERE schema_name = 'tables'")
    assert comment == [("a row as the source has it now: The programme",)]


def test_a_view_may_stand_on_the_table_of_its_name(
    shelf: Any, serve: Serve, view_file: Path, written_views: Sequence[View]
) -> None:
    noon = publishing._EPOCH
    rows = [{"note_id": "a", "sequence": n, "valid_from": noon.replace(year=2020 + n)} for n in (1, 2)]
    serve([pin if pin.table != VERSIONS else shelf.pin(VERSIONS, rows) for pin in shelf.shared()], written_views)
    found = ask(view_file, "SELECT sequence, year(valid_to) FROM notes.versions ORDER BY sequence")
    assert found == [(1, 2022), (2, None)]


def test_a_name_in_a_string_or_comment_is_left_alone(shelf: Any, serve: Serve, view_file: Path) -> None:
    sql = (
        "SELECT v.note_id, 'notes.versions' AS said /* notes.versions */ FROM \"notes\".versions AS v -- notes.versions"
    )
    docs = {"note_id": "n", "said": "s"}
    view = View("notes", "versions", "a row", docs, sql, ("notes.versions",), Path("versions.sql"))
    serve([shelf.pin(VERSIONS, [{"note_id": "a"}])], [view])
    assert ask(view_file, "FROM notes.versions") == [("a", "notes.versions")]


def test_a_reader_keeps_what_it_opened_and_the_next_one_sees_the_new(shelf: Any, serve: Serve, view_file: Path) -> None:
    serve([shelf.pin(NOTES, [{"note_id": "old"}])])
    with duckdb.connect() as reader:
        reader.execute(f"ATTACH '{view_file}' AS lake (READ_ONLY)")
        assert reader.execute("SELECT note_id FROM lake.notes.notes").fetchall() == [("old",)]
        serve([shelf.pin(NOTES, [{"note_id": "new"}])], name="p2")
        assert reader.execute("SELECT note_id FROM lake.notes.notes").fetchall() == [("old",)]
        assert ask(view_file, "SELECT note_id FROM notes.notes") == [("new",)]
        found = published(view_file)
        assert found is not None and found.publication_id == "p2"


EXCLUDED = re.compile(r"EXCLUDE \(([^)]*)\)")
"""DuckDB writes these columns down in any order."""


def everything_in(file: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All a file holds but when and as what it was published: its views with their SQL and comments, and its rows."""
    return {
        "views": [
            (*name, EXCLUDED.sub(lambda match: str(sorted(match[1].split(", "))), sql), comment)
            for *name, sql, comment in ask(
                file, "SELECT schema_name, view_name, sql, comment FROM duckdb_views() WHERE NOT internal ORDER BY ALL"
            )
        ],
        "columns": ask(
            file,
            "SELECT schema_name, table_name, column_index, column_name, data_type, comment FROM duckdb_columns() "
            "WHERE NOT internal ORDER BY ALL",
        ),
        "pins": ask(file, "FROM ops.pins ORDER BY ALL"),
        "publication": ask(file, "SELECT definition FROM ops.publication"),
        "notes": ask(file, "SELECT note_id FROM notes.notes ORDER BY ALL"),
        "versions": ask(file, "SELECT note_id, sequence FROM notes.versions ORDER BY ALL"),
        "links": ask(file, "SELECT note_id, resolution, target_path FROM notes.resolved_links ORDER BY ALL"),
    }


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How each file was made: built, or renewed from the one before."""
    done: list[str] = []

    def told(name: str) -> Callable[..., None]:
        make = getattr(publishing, name)
        return lambda *given: (done.append(name), make(*given))[1]

    for name in ("_build", "_renew"):
        monkeypatch.setattr(publishing, name, told(name))
    return done


def test_a_file_in_which_only_snapshots_moved_is_what_building_it_anew_would_give(
    shelf: Any, serve: Serve, view_file: Path, written_views: Sequence[View], builds: list[str]
) -> None:
    serve(shelf.shared(), written_views)
    pins = shelf.shared(**LINKED, versions=[{"note_id": "a", "sequence": n} for n in (1, 2)])
    serve(pins, written_views, name="p2")
    renewed, found = everything_in(view_file), published(view_file)
    view_file.unlink()
    serve(pins, written_views, name="p3")
    assert builds == ["_build", "_renew", "_build"]
    assert renewed == everything_in(view_file)
    assert renewed["links"] == [("a", "case", "a.md")]
    assert found is not None and found.publication_id == "p2"


def test_a_file_somebody_wrote_to_or_that_has_other_columns_is_built_anew(
    shelf: Any, serve: Serve, view_file: Path, builds: list[str]
) -> None:
    serve([shelf.pin(NOTES, [{"note_id": "a"}])])
    with duckdb.connect(str(view_file)) as somebody:
        somebody.execute("CREATE OR REPLACE VIEW notes.notes AS SELECT 1 AS note_id")
    serve([shelf.pin(NOTES, [{"note_id": "b"}])], name="p2")
    assert ask(view_file, "SELECT note_id FROM notes.notes") == [("b",)]
    fewer = Table("notes", "notes", "a note", NOTES.columns[:3], ("note_id",))
    serve([shelf.pin(fewer, [{"note_id": "c"}])], name="p3")
    assert len(ask(view_file, "DESCRIBE notes.notes")) == 3
    serve([shelf.pin(fewer, [{"note_id": "d"}]), shelf.pin(VERSIONS, [])], name="p4")
    assert ask(view_file, "FROM notes.versions") == []
    assert builds == ["_build"] * 4


def test_a_file_renewed_many_times_does_not_grow(shelf: Any, serve: Serve, view_file: Path) -> None:
    sizes = []
    for time in range(24):
        serve([shelf.pin(NOTES, [{"note_id": str(time)}])], name=f"p{time}")
        sizes.append(view_file.stat().st_size)
    assert max(sizes[12:]) <= max(sizes[:12])


def test_a_publication_knows_whether_it_serves_these_pins(
    shelf: Any, serve: Serve, view_file: Path, written_views: Sequence[View]
) -> None:
    pins = shelf.shared(notes=[{"note_id": "a"}])
    made = serve(pins, written_views)
    found = published(view_file)
    assert found == made and found.serves(list(reversed(pins)), written_views, (), FUNCTIONS)
    newer = [*pins[1:], shelf.pin(NOTES, [{"note_id": "b"}])]
    assert not found.serves(newer, written_views, (), FUNCTIONS)
    assert not found.serves(pins, written_views[1:], (), FUNCTIONS)


def test_a_file_that_is_no_publication_is_none(tmp_path: Path, view_file: Path) -> None:
    assert published(view_file) is None
    view_file.write_bytes(b"no database at all" * 1000)
    assert published(view_file) is None
    other = tmp_path / "other.duckdb"
    duckdb.connect(str(other)).close()
    assert published(other) is None


@pytest.mark.parametrize(
    ("view", "told"),
    [
        (user_view("SELECT x FROM notes.nothing", "x", reads=["notes.nothing"]), "notes.nothing"),
        (user_view("SELECT nope AS x FROM notes.notes", "x", reads=["notes.notes"]), "nope"),
        (user_view("SELECT note_id, path FROM notes.notes", "note_id", reads=["notes.notes"]), "note_id, path"),
    ],
    ids=["unknown relation", "unknown column", "undocumented column"],
)
def test_a_view_that_does_not_hold_is_refused_and_the_old_file_stays(
    shelf: Any, serve: Serve, view_file: Path, view: View, told: str
) -> None:
    pins = [shelf.pin(NOTES, [{"note_id": "a"}])]
    serve(pins)
    before = view_file.read_bytes()
    with pytest.raises(NotelakeError, match=r"insights/mine\.sql") as refusal:
        serve(pins, [view], name="p2")
    assert told in str(refusal.value)
    assert view_file.read_bytes() == before
    assert [path.name for path in view_file.parent.glob(".lake*")] == []


KILLED = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from dagster_project.views import publish as publishing
die = lambda *_: os._exit(9)
if sys.argv[2] == "before the swap":
    os.replace = die
else:
    publishing._comment = die
to = Path(sys.argv[1])
publishing.publish([], [], to, publication_id="p2", published_at=datetime.now(UTC), scratch=to.parent)
"""


@pytest.mark.parametrize("moment", ["half way", "before the swap"])
def test_a_build_that_is_killed_leaves_the_old_file_and_the_next_one_clears_up(
    shelf: Any, serve: Serve, view_file: Path, moment: str
) -> None:
    serve([shelf.pin(NOTES, [{"note_id": "a"}])])
    killed = subprocess.run([sys.executable, "-c", KILLED, str(view_file), moment], check=False, timeout=60)
    assert killed.returncode == 9
    assert list(view_file.parent.glob(".lake.duckdb.*"))
    assert ask(view_file, "SELECT note_id FROM notes.notes") == [("a",)]
    serve([shelf.pin(NOTES, [{"note_id": "b"}])], name="p3")
    assert not list(view_file.parent.glob(".lake.duckdb.*"))
    assert ask(view_file, "SELECT note_id FROM notes.notes") == [("b",)]


LINKED = {
    "notes": [{"note_id": "a", "source": "v", "kind": "document", "path": "a.md", "aliases": ["x"]}],
    "links": [{"note_id": "a", "source": "v", "ordinal": 0, "kind": "wikilink", "target": "X"}],
}
EVERYTHING = "SELECT schema_name || '.' || view_name FROM duckdb_views() WHERE NOT internal ORDER BY 1"


def test_a_plain_shell_opens_it(shelf: Any, serve: Serve, view_file: Path, written_views: Sequence[View]) -> None:
    shell = shutil.which("duckdb", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    assert shell, "duckdb-cli is a dependency of this project"
    serve(shelf.shared(**LINKED), written_views)
    query = "SELECT resolution, target_path FROM notes.resolved_links"
    done = subprocess.run(
        [shell, "-init", os.devnull, "-readonly", "-csv", "-noheader", str(view_file), query],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.strip() == "case,a.md"


OTHER = """
import duckdb, sys
lake = duckdb.connect(sys.argv[1], read_only=True)
print([lake.execute(query).fetchall() for query in sys.argv[2:]])
"""


@pytest.mark.skipif(
    "NOTELAKE_DUCKDB2_PYTHON" not in os.environ,
    reason="set NOTELAKE_DUCKDB2_PYTHON to an interpreter that has duckdb 2 to try the file there",
)
def test_duckdb_2_reads_every_view_of_it(
    shelf: Any, serve: Serve, view_file: Path, written_views: Sequence[View]
) -> None:
    serve(
        [*shelf.shared(**LINKED), shelf.pin(SESSIONS, arrivals(("put", "a", 1, "x"), ("file", "a", 1)))], written_views
    )
    names = [name for (name,) in ask(view_file, EVERYTHING)]
    queries = [f"SELECT count(*) FROM {name}" for name in names]
    command = [os.environ["NOTELAKE_DUCKDB2_PYTHON"], "-c", OTHER, str(view_file), "SELECT version() >= 'v2'", *queries]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == str([[(True,)], *(ask(view_file, query) for query in queries)])
