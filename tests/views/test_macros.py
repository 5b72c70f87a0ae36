"""Macros: how they are written, that they stand in the published file, and what those over versions give."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dagster_project.contracts import raw_table
from dagster_project.errors import ViewInvalid
from dagster_project.views.sql_files import View, read_macros

ROOT = Path(__file__).parents[2]
VAULT = raw_table("vault", "documents")
OLD, NEW = "# Title\r\n\r\none\r\ntwo\r\ntwo\r\n", "# Title\n\ntwo\none\nthree\ntwo"


def at(hour: int) -> datetime:
    return datetime(2026, 5, 14, hour, tzinfo=UTC)


def history(shelf: Any) -> list[Any]:
    """A note with three versions, the last a deletion, and one in a file of several notes."""
    raw = [
        {"sequence": 1, "op": "put", "path": "a.md", "media_type": "text/markdown", "content": OLD.encode()},
        {"sequence": 2, "op": "put", "path": "a.md", "media_type": "text/markdown", "content": NEW.encode()},
        {"sequence": 3, "op": "gone", "path": "a.md"},
        {"sequence": 4, "op": "put", "path": "b.enex", "media_type": "application/enex", "content": b"<en-export/>"},
        {"sequence": 5, "op": "put", "path": "latin.txt", "media_type": "text/plain", "content": b"caf\xe9"},
    ]
    versions = [
        {"note_id": "a", "sequence": 1, "op": "created", "path": "a.md", "title": "Title", "valid_from": at(9)},
        {"note_id": "a", "sequence": 2, "op": "updated", "path": "a.md", "title": "Title", "valid_from": at(10)},
        {"note_id": "a", "sequence": 3, "op": "deleted", "path": "a.md", "valid_from": at(11)},
        {"note_id": "b", "sequence": 4, "op": "created", "path": "b.enex/one", "title": "B", "valid_from": at(9)},
        {"note_id": "c", "sequence": 5, "op": "created", "path": "latin.txt", "title": "C", "valid_from": at(9)},
    ]
    return [*shelf.shared(versions=[{"source": "vault", **row} for row in versions]), shelf.pin(VAULT, raw)]


@pytest.fixture
def ask(shelf: Any, serve: Any, view_file: Path, written_views: tuple[View, ...]) -> Any:
    serve(history(shelf), written_views, macros=read_macros(ROOT / "sql" / "macros"))

    def asking(query: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(view_file), read_only=True) as con:
            con.execute("SET TimeZone = 'UTC'")
            return con.execute(query).fetchall()

    return asking


def test_each_version_has_its_number_and_the_text_it_had(ask: Any) -> None:
    found = ask("SELECT note_id, version, file, text FROM notes.version_texts ORDER BY ALL")
    assert found == [
        ("a", 1, "a.md", OLD),
        ("a", 2, "a.md", NEW),
        ("b", 1, "b.enex", None),
        ("c", 1, "latin.txt", None),
    ]


@pytest.mark.parametrize(
    ("instant", "stood"),
    [
        ("2026-05-14 08:59:59+00", []),
        ("2026-05-14 09:00:00+00", [("a", OLD), ("b", None), ("c", None)]),
        ("2026-05-14 10:30:00+00", [("a", NEW), ("b", None), ("c", None)]),
        ("2026-05-14 11:00:00+00", [("b", None), ("c", None)]),
    ],
)
def test_notes_at_an_instant_are_those_that_stood_then(ask: Any, instant: str, stood: list[Any]) -> None:
    assert ask(f"SELECT note_id, text FROM notes.at(TIMESTAMPTZ '{instant}') ORDER BY note_id") == stood


def test_a_diff_tells_lines_that_came_and_went_but_not_those_that_moved_or_ends_of_lines(ask: Any) -> None:
    assert ask("FROM notes.diff('a', 1, 2)") == [("+", 5, "three")]
    assert ask("FROM notes.diff('a')") == [("+", 5, "three")], "the newest version with a text, and the one before"
    assert ask("FROM notes.diff('a', v1 := 2, v2 := 1)") == [("-", 5, "three")]
    assert ask("FROM notes.diff('nobody')") == []


def test_a_plain_shell_calls_them(ask: Any, view_file: Path) -> None:
    shell = shutil.which("duckdb", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    assert shell, "duckdb-cli is a dependency of this project"
    command = [shell, "-init", os.devnull, "-readonly", "-csv", "-noheader", str(view_file), "FROM notes.diff('a')"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "+,5,three"


@pytest.mark.skipif("NOTELAKE_DUCKDB2_PYTHON" not in os.environ, reason="set NOTELAKE_DUCKDB2_PYTHON to try duckdb 2")
def test_duckdb_2_calls_them(ask: Any, view_file: Path) -> None:
    program = "import duckdb, sys; print(duckdb.connect(sys.argv[1], read_only=True).execute(sys.argv[2]).fetchall())"
    query = "SELECT count(*) FROM notes.at(TIMESTAMPTZ '2026-05-14 10:30:00+00'), notes.diff('a')"
    command = [os.environ["NOTELAKE_DUCKDB2_PYTHON"], "-c", program, str(view_file), query]
    assert subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip() == "[(3,)]"


def write(folder: Path, text: str) -> Path:
    (folder / "mine").mkdir()
    (folder / "mine" / "one.sql").write_text(text, "utf-8")
    return folder


def test_a_macro_that_gives_a_value_can_be_called_in_views_and_says_how(
    shelf: Any, serve: Any, view_file: Path, tmp_path: Path
) -> None:
    text = "-- Gives: a number and another.\n-- Takes a: The one\n-- Takes b [2]: The other\na + b;\n"
    (macro,) = read_macros(write(tmp_path, text))
    assert (macro.call, macro.gives_rows, macro.depends_on) == ("mine.one(a, b := 2)", False, ())
    view = View("insights", "v", "a sum", {"x": "The sum"}, "SELECT mine.one(1) AS x", (), tmp_path / "v.sql")
    serve(shelf.shared(), [view], macros=[macro])
    with duckdb.connect(str(view_file), read_only=True) as con:
        assert con.execute("SELECT x, mine.one(1, b := 5) FROM insights.v").fetchall() == [(3, 6)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("SELECT 1", "does not begin with its contract"),
        ("-- A row is: a row.\nSELECT 1 AS x", "no columns"),
        ("-- A row is: a row.\n-- y: It\n--\nSELECT 1 AS x", "gives x"),
        ("-- A row is: a row.\n-- x: It\n--\nSELECT x FROM notes.nothing", "cannot be served"),
        ("-- Gives: it.\n-- Takes a: The one\n\nSELECT", "no single SELECT"),
    ],
)
def test_a_macro_that_does_not_hold_is_refused_with_its_file(
    shelf: Any, serve: Any, view_file: Path, tmp_path: Path, text: str, told: str
) -> None:
    with pytest.raises(ViewInvalid, match=r"mine/one\.sql") as refusal:
        serve(shelf.shared(), [], macros=read_macros(write(tmp_path, text)))
    assert told in str(refusal.value)
    assert not view_file.exists()


def test_another_macro_makes_another_file(shelf: Any, serve: Any, tmp_path: Path) -> None:
    (macro,) = read_macros(write(tmp_path, "-- Gives: one.\n1\n"))
    pins = shelf.shared()
    made = serve(pins, [], macros=[macro])
    assert made.serves(pins, [], (), [macro])
    assert not made.serves(pins, [], ())
