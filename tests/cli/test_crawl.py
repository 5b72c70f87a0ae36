"""Claims of `notelake crawl`: it finds what is one table, and what it proposes can be put in force as it is."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from dagster_project.cli import main
from dagster_project.crawl import crawl
from dagster_project.errors import UsageError
from dagster_project.landing.table_files import look
from dagster_project.sources import TableSource, declared_sources


@pytest.fixture
def exports(tmp_path: Path) -> Path:
    """A folder of exports: one table in partitions, two in one folder, one alone."""
    root = tmp_path / "exports"
    for year in (2024, 2025):
        folder = root / "talks" / f"year={year}"
        folder.mkdir(parents=True)
        rows = "".join(f"{year}-{i},A talk,What was said {i},{i}\n" for i in range(30))
        (folder / "part.csv").write_text("talk_id,title,body,Score\n" + rows)
    (root / "mixed").mkdir()
    for month in ("01", "02"):
        (root / "mixed" / f"people-{month}.csv").write_text(f"name,email\nx{month},y\n")
    (root / "mixed" / "rooms.csv").write_text("room,seats\na,1\nb,2\n")
    (root / "one.jsonl").write_text('{"id": 1, "where": {"room": "a"}}\n')
    (root / "read.me").write_text("no table")
    return root


def test_files_of_one_folder_and_shape_are_one_table(exports: Path) -> None:
    found = {proposal.source.name: proposal for proposal in crawl(str(exports))}
    assert sorted(found) == ["one", "people", "rooms", "talks"]
    talks = found["talks"].source
    assert (talks.partitions, talks.note and talks.note.key, found["talks"].files) == ("hive", ("talk_id",), 2)
    columns = {column.name: str(column.type) for column in found["talks"].columns}
    assert columns == {"talk_id": "string", "title": "string", "body": "string", "score": "int64", "year": "int64"}
    assert found["people"].source.path.endswith("mixed/people-*.csv")
    assert "room" in found["rooms"].notes[0]
    suite = json.loads(found["talks"].suite or "")
    assert suite["name"] == "raw.talks"


def test_what_is_proposed_is_declared_as_it_stands(exports: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = CliRunner().invoke(main, ["crawl", str(exports), "--out", str(out), "--drift", "freeze"])
    assert result.exit_code == 0, result.output
    assert "talks: 5 columns, 2 files" in result.output
    sources = {source.name: source for source in declared_sources(out, tmp_path)}
    assert sorted(sources) == ["one", "people", "rooms", "talks"]
    talks, people = sources["talks"], sources["people"]
    assert isinstance(talks, TableSource) and talks.drift.types == "freeze"
    assert isinstance(people, TableSource)
    assert [file.path for file in look(people, {}).arrived] == ["people-01.csv", "people-02.csv"]
    told = (out / "talks" / "defs.yaml").read_text("utf-8")
    assert "#   score: BIGINT ('Score')" in told


def test_each_table_of_an_sqlite_file_is_one(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "crm.db")) as con:
        con.execute("CREATE TABLE notes (id INTEGER, text TEXT)")
        con.execute("CREATE TABLE people (id INTEGER, name TEXT)")
        con.commit()
    found = crawl(str(tmp_path))
    assert [(one.source.name, one.source.table) for one in found] == [
        ("crm_notes", ("notes",)),
        ("crm_people", ("people",)),
    ]


def test_a_place_without_tables_says_so(tmp_path: Path) -> None:
    (tmp_path / "read.me").write_text("x")
    with pytest.raises(UsageError, match="No table lies at"):
        crawl(str(tmp_path))


def test_tables_of_a_database_are_proposed_with_what_finds_their_changes(tmp_path: Path) -> None:
    file = tmp_path / "crm.db"
    with closing(sqlite3.connect(file)) as con, con:
        con.execute("CREATE TABLE tickets (id INTEGER, subject TEXT, body TEXT)")
        con.executemany("INSERT INTO tickets VALUES (?, 'It broke', 'And ' || ?)", [(n, n) for n in range(30)])
        con.execute("CREATE TABLE log (what TEXT)")
    out = tmp_path / "crawled"
    done = CliRunner().invoke(main, ["crawl", f"sqlite:///{file}", "--out", str(out)])
    assert done.exit_code == 0, done.output
    log, tickets = declared_sources(out, tmp_path)
    assert isinstance(tickets, TableSource) and isinstance(log, TableSource)
    assert (tickets.path, tickets.table, tickets.incremental, tickets.mode) == (
        f"sqlite:///{file}",
        "tickets",
        "compare",
        "merge",
    )
    assert tickets.note is not None and (tickets.note.key, tickets.note.title) == (("id",), "subject")
    assert (log.incremental, log.mode) == ("none", "replace")
    wrong = CliRunner().invoke(main, ["crawl", "postgresql://me:secret@127.0.0.1:1/x", "--out", str(out)])
    assert wrong.exit_code == 2 and "secret" not in wrong.output and "address_variable" in wrong.output
