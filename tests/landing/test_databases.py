"""Claims of databases as sources of rows, on SQLite and DuckDB files: what lands, what lands not, and what is told."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
import pytest
from pydantic import ValidationError

from dagster_project.errors import SourceInvalid, SourceUnavailable, TooManyGone
from dagster_project.lake.lake import Lake, open_lake
from dagster_project.lake.read import relation
from dagster_project.landing.databases.address import HIDDEN, address_of
from dagster_project.pipeline import run_source
from dagster_project.reports import quiet
from dagster_project.settings import settings
from dagster_project.sources import NoteMapping, SchemaContract, TableSource
from dagster_project.steps.cursors import source_cursor
from dagster_project.steps.land import land
from dagster_project.steps.plan import plan
from dagster_project.steps.quarantine import discard
from dagster_project.steps.refused import all_refusals
from dagster_project.steps.serve import serve

BY_ID = NoteMapping(key=("id",), title="title")
MERGED = {"mode": "merge", "note": BY_ID, "incremental": "compare"}
_HOURS = count()


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    noon = datetime(2026, 5, 16, 12, tzinfo=UTC)
    return open_lake(
        settings(str(tmp_path / "lake")),
        clock=lambda: noon + timedelta(hours=next(_HOURS)),
        ids=lambda: uuid4().hex,
    )


@pytest.fixture
def talks(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A SQLite file in use, with a write-ahead log: `talks.db`, with three rows."""
    con = sqlite3.connect(tmp_path / "talks.db", isolation_level=None)
    con.execute("PRAGMA journal_mode = wal")
    con.execute("CREATE TABLE talks (id INTEGER PRIMARY KEY, title TEXT, at TEXT)")
    con.executemany("INSERT INTO talks VALUES (?, ?, ?)", [(n, f"T{n}", f"2026-05-0{n} 10:00:00") for n in (1, 2, 3)])
    yield con
    con.close()


def of_talks(tmp_path: Path, **attributes: Any) -> TableSource:
    given = {"name": "talks", "path": f"sqlite:///{tmp_path}/talks.db", **attributes}
    return TableSource(**given if "query" in given else {"table": "talks", **given})


def landed(lake: Lake, source: TableSource) -> list[tuple[Any, ...]]:
    """Land, and return what arrived: op, file, id and title."""
    done = land(lake, source, observe=quiet)
    first = done.last_sequence - done.arrivals
    return arrivals(lake, f"SELECT _op, _file, id, title FROM raw WHERE sequence > {first} ORDER BY sequence")


def arrivals(lake: Lake, query: str) -> list[tuple[Any, ...]]:
    with lake.connect() as con:
        pin = lake.pins(["raw.talks"])["raw.talks"]
        return con.execute(query.replace("FROM raw", f"FROM {relation(pin)} AS raw")).fetchall()


def state(lake: Lake) -> str:
    return lake.pins(["raw.talks"])["raw.talks"].metadata_location


def test_a_table_lands_whole_anew_if_anything_in_it_changed_and_else_not_at_all(
    lake: Lake, talks: sqlite3.Connection, tmp_path: Path
) -> None:
    source = of_talks(tmp_path)
    assert landed(lake, source) == [
        ("put", "talks", 1, "T1"),
        ("put", "talks", 2, "T2"),
        ("put", "talks", 3, "T3"),
        ("file", "talks", None, None),
    ]
    before = state(lake)
    talks.execute("DELETE FROM talks WHERE id = 1")
    talks.execute("INSERT INTO talks VALUES (1, 'T1', '2026-05-01 10:00:00')")  # the order of rows says nothing
    assert (landed(lake, source), state(lake)) == ([], before)
    talks.execute("DELETE FROM talks WHERE id > 1")
    assert landed(lake, source) == [("put", "talks", 1, "T1"), ("file", "talks", None, None)]
    talks.execute("DELETE FROM talks")
    assert landed(lake, source) == [("file", "talks", None, None)]


@pytest.mark.parametrize("how", [{}, MERGED])
def test_a_table_that_is_suddenly_nearly_empty_lands_with_consent_only(
    lake: Lake, talks: sqlite3.Connection, tmp_path: Path, how: dict[str, Any]
) -> None:
    source = of_talks(tmp_path, **how)
    talks.executemany("INSERT INTO talks VALUES (?, 'T', NULL)", [(n,) for n in range(4, 14)])
    assert len(landed(lake, source)) == 14
    before = state(lake)
    talks.execute("DELETE FROM talks WHERE id > 3")
    with pytest.raises(TooManyGone, match="10 of 13 rows vanished"):
        land(lake, source, observe=quiet)
    assert state(lake) == before
    assert land(lake, source, observe=quiet, allow_gone=True).arrivals == (11 if how else 4)


def test_compared_only_what_is_new_changed_or_gone_lands(lake: Lake, talks: sqlite3.Connection, tmp_path: Path) -> None:
    source = of_talks(tmp_path, **MERGED)
    assert len(landed(lake, source)) == 4
    before = state(lake)
    assert (landed(lake, source), state(lake)) == ([], before)
    talks.execute("UPDATE talks SET title = 'new' WHERE id = 2")
    talks.execute("DELETE FROM talks WHERE id = 1")
    talks.execute("INSERT INTO talks VALUES (4, 'T4', NULL)")
    assert landed(lake, source) == [
        ("put", "talks/5", 2, "new"),
        ("put", "talks/5", 4, "T4"),
        ("gone", "talks/5", 1, None),
        ("file", "talks/5", None, None),
    ]
    talks.execute("INSERT INTO talks VALUES (1, 'T1', '2026-05-01 10:00:00')")
    assert landed(lake, source) == [("put", "talks/9", 1, "T1"), ("file", "talks/9", None, None)]
    assert landed(lake, source) == []


def test_by_a_cursor_only_rows_from_the_last_value_on_are_read(
    lake: Lake, talks: sqlite3.Connection, tmp_path: Path
) -> None:
    source = of_talks(tmp_path, mode="append", incremental="cursor", cursor="at")
    landed(lake, source)
    assert dict(source_cursor(lake, lake.pins(["raw.talks"])["raw.talks"]).positions) == {
        "talks": ["at", "2026-05-03 10:00:00"]
    }
    before = state(lake)
    talks.execute("DELETE FROM talks WHERE id = 2")  # deletions are not seen
    talks.execute("INSERT INTO talks VALUES (4, 'late', '2026-05-02 23:00:00')")  # nor what comes late
    assert (landed(lake, source), state(lake)) == ([], before)
    talks.execute("INSERT INTO talks VALUES (5, 'same time', '2026-05-03 10:00:00')")
    assert [row[2] for row in landed(lake, source)] == [5, None]
    lagging = source.model_copy(update={"lag": 12 * 3600.0})
    assert [row[2] for row in landed(lake, lagging)] == [4, None]
    assert landed(lake, lagging) == []


def test_without_a_key_equal_rows_are_as_many_as_they_are(
    lake: Lake, talks: sqlite3.Connection, tmp_path: Path
) -> None:
    query = "SELECT 1 AS id, title, at FROM talks WHERE title = 'T1' UNION ALL SELECT 1, title, at FROM talks"
    source = of_talks(tmp_path, query=query, mode="append", incremental="cursor", cursor="at")
    assert len(landed(lake, source)) == 5
    assert landed(lake, source) == []
    talks.execute("INSERT INTO talks VALUES (9, 'T3', '2026-05-03 10:00:00')")
    assert landed(lake, source) == [("put", "query/6", 1, "T3"), ("file", "query/6", None, None)]


def test_a_run_shows_what_the_database_has(lake: Lake, talks: sqlite3.Connection, tmp_path: Path) -> None:
    source = of_talks(tmp_path, **{**MERGED, "mode": "history"})

    def run() -> tuple[int, ...]:
        report = run_source(lake, source)
        assert report.error is None and report.counts.is_balanced
        return report.counts.seen, report.counts.unchanged, report.counts.committed, report.counts.removed

    assert run() == (3, 0, 3, 0)
    talks.execute("UPDATE talks SET title = 'new' WHERE id = 2")
    talks.execute("DELETE FROM talks WHERE id = 1")
    assert run() == (3, 1, 1, 1)
    assert served(lake, "SELECT path, title FROM notes.notes ORDER BY 1") == [("2", "new"), ("3", "T3")]
    versions = served(lake, "SELECT id, title, is_current FROM tables.talks ORDER BY ALL")
    assert versions == [(1, "T1", False), (2, "T2", False), (2, "new", True), (3, "T3", True)]
    landed(lake, source.model_copy(update={"mode": "merge"}))
    assert served(lake, "SELECT id, title FROM tables.talks ORDER BY 1") == [(2, "new"), (3, "T3")]
    talks.execute("INSERT INTO talks VALUES (1, 'T1', '2026-05-01 10:00:00')")
    assert run() == (3, 2, 1, 0)
    of_one = "FROM tables.talks WHERE id = 1 ORDER BY valid_from"
    again = served(lake, f"SELECT title, is_current, valid_to IS NULL {of_one}")
    assert again == [("T1", False, False), ("T1", True, True)]


def served(lake: Lake, query: str) -> list[tuple[Any, ...]]:
    serve(lake)
    with duckdb.connect() as con:
        con.execute(f"ATTACH '{lake.settings.view_file}' AS served (READ_ONLY); USE served")
        return con.execute(query).fetchall()


def test_a_key_that_is_none_is_refused_and_nothing_lands(lake: Lake, talks: sqlite3.Connection, tmp_path: Path) -> None:
    source = of_talks(tmp_path, query="SELECT 1 AS id, title FROM talks", **MERGED)
    with pytest.raises(SourceInvalid, match="2 rows of query have that of another"):
        land(lake, source, observe=quiet)
    assert arrivals(lake, "SELECT count(*) FROM raw") == [(0,)]


def test_a_row_that_a_contract_refuses_lands_once_and_its_last_good_version_stays(
    lake: Lake, talks: sqlite3.Connection, tmp_path: Path
) -> None:
    source = of_talks(tmp_path, **MERGED, schema_contract=SchemaContract(types="discard_row"))
    talks.execute("CREATE TABLE loose (id, title)")
    talks.execute("INSERT INTO loose VALUES (1, 10), (2, 20)")
    source = source.model_copy(update={"table": "loose"})
    landed(lake, source)
    talks.execute("UPDATE loose SET title = 'ten' WHERE id = 1")
    assert [row[0] for row in landed(lake, source)] == ["refused", "file"]
    assert landed(lake, source) == []
    talks.execute("UPDATE loose SET title = 11 WHERE id = 1")
    assert landed(lake, source)[0] == ("put", "loose/6", 1, 11)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["cursor", "compare"])
def test_rows_that_were_refused_come_back_once_the_declaration_was_mended_wherever_the_cursor_is(
    lake: Lake, talks: sqlite3.Connection, tmp_path: Path, how: Any
) -> None:
    cursor = {"cursor": "at"} if how == "cursor" else {}
    source = of_talks(tmp_path, mode="merge", note=BY_ID, incremental=how, **cursor, table="loose")
    strict = source.model_copy(update={"schema_contract": SchemaContract(types="discard_row")})
    talks.execute("CREATE TABLE loose (id, title TEXT, seats, at)")
    talks.execute("INSERT INTO loose VALUES (1, 'One', 10, 1), (2, 'Two', 20, 2)")
    assert run_source(lake, strict).counts.committed == 2
    talks.execute("INSERT INTO loose VALUES (3, 'Three', 'many', 3), (4, 'Four', 40, 4), (5, 'Five', 'few', 5)")
    assert run_source(lake, strict).counts.quarantined == 2
    assert discard(lake, "talks", why="a test", units=[refused(lake, "few")[0][0]]) == 1

    def states() -> list[tuple[Any, ...]]:
        return [row[1:] for row in refused(lake, "")]

    assert states() == [("few", "discarded"), ("many", "open")]
    assert run_source(lake, strict, reread=True).counts.committed == 0, "they are refused once more"
    assert states() == [("few", "discarded"), ("few", "discarded"), ("many", "superseded"), ("many", "open")]
    assert run_source(lake, source).counts.committed == (1 if how == "cursor" else 2), "the cursor has passed one"
    report = run_source(lake, source, reread=True)
    assert report.error is None and report.counts.is_balanced
    assert "open" not in {state for _, state in states()}
    assert arrivals(lake, "SELECT id FROM raw WHERE _op = 'put' AND seats__text IS NOT NULL ORDER BY id") == [
        (3,),
        (5,),
    ]
    before = state(lake)
    assert (run_source(lake, source, reread=True).counts.committed, state(lake)) == (0, before)


def refused(lake: Lake, seats: str) -> list[tuple[Any, ...]]:
    """Return unit, seats and state of each refusal, or of those with these `seats`."""
    told = "json_extract_string(payload, '$.seats')"
    with lake.connect() as con:
        query = f"SELECT unit, {told}, state FROM {all_refusals(lake, 'talks')} AS q ORDER BY {told}, sequence"
        return [row for row in con.execute(query).fetchall() if seats in ("", row[1])]


def test_a_changed_schema_goes_by_the_contract(lake: Lake, talks: sqlite3.Connection, tmp_path: Path) -> None:
    source = of_talks(tmp_path, **MERGED)
    landed(lake, source)
    talks.execute("ALTER TABLE talks ADD COLUMN room INTEGER")
    assert landed(lake, source) == []  # nothing is in it yet
    talks.execute("UPDATE talks SET room = 7 WHERE id = 3")
    assert [row[2] for row in landed(lake, source)] == [3, None]
    talks.execute("UPDATE talks SET room = 'hall' WHERE id = 3")
    landed(lake, source)
    assert arrivals(lake, "SELECT room, room__text FROM raw WHERE _op = 'put' AND id = 3 ORDER BY sequence") == [
        (None, None),
        (7, None),
        (None, "hall"),
    ]
    frozen = source.model_copy(update={"schema_contract": SchemaContract(columns="freeze")})
    talks.execute("ALTER TABLE talks ADD COLUMN extra TEXT")
    assert [row[0] for row in landed(lake, frozen)] == ["file"]
    error = "raw has no column for 'extra', and the schema contract is `freeze`"
    assert arrivals(lake, "SELECT _error FROM raw ORDER BY sequence DESC LIMIT 1") == [(error,)]
    assert landed(lake, frozen) == []  # it is told once
    talks.execute("ALTER TABLE talks DROP COLUMN extra")
    talks.execute("UPDATE talks SET room = 'cellar' WHERE id = 3")
    changed = [row[:3] for row in landed(lake, frozen)]
    assert changed == [("put", changed[0][1], 3), ("file", changed[0][1], None)]


def test_names_are_quoted_so_that_none_is_taken_for_sql(lake: Lake, talks: sqlite3.Connection, tmp_path: Path) -> None:
    table, column = 'x"; DROP TABLE talks; --', "at\"; DROP TABLE talks; --'"
    quoted = ['"' + name.replace('"', '""') + '"' for name in (table, column)]
    talks.execute(f"CREATE TABLE {quoted[0]} (id, title, {quoted[1]})")
    talks.execute(f"INSERT INTO {quoted[0]} VALUES (1, 'it''s', 'a''b')")
    source = of_talks(tmp_path, table=table, mode="append", incremental="cursor", cursor=column)
    assert landed(lake, source)[0] == ("put", f"{table}/1", 1, "it's")
    talks.execute(f"INSERT INTO {quoted[0]} VALUES (2, 'more', 'b''c')")
    assert landed(lake, source)[0] == ("put", f"{table}/3", 2, "more")
    assert landed(lake, source) == []
    assert talks.execute("SELECT count(*) FROM talks").fetchone() == (3,)


def test_tables_by_pattern_are_each_a_file_and_one_that_was_dropped_is_gone(
    lake: Lake, talks: sqlite3.Connection, tmp_path: Path
) -> None:
    talks.execute("CREATE VIEW talks_again AS SELECT * FROM talks")
    source = of_talks(tmp_path, table="talks*")
    assert [row[1] for row in landed(lake, source) if row[0] == "file"] == ["talks", "talks_again"]
    assert plan(lake, lake.settings, source).added == ()
    talks.execute("DROP VIEW talks_again")
    assert plan(lake, lake.settings, source).gone == ("talks_again",)
    assert landed(lake, source) == [("gone", "talks_again", None, None)]
    with pytest.raises(SourceInvalid, match=r"reads the table 'talk', and sqlite:///.* has only talks"):
        land(lake, of_talks(tmp_path, table="talk"), observe=quiet)


def test_duckdb_files_keep_their_types(lake: Lake, tmp_path: Path) -> None:
    file = tmp_path / "t.duckdb"
    columns = "DATE '2026-05-16' AS day, [1, 2] AS list, 1.50::DECIMAL(9, 2) AS price, {'a': 1} AS inner_"
    with duckdb.connect(str(file)) as con:
        con.execute(f"CREATE TABLE t AS SELECT i AS id, 'T' || i AS title, {columns} FROM range(3) AS r(i)")
    source = TableSource(
        name="talks", path=f"duckdb:///{file}", table="t", incremental="cursor", cursor="id", mode="append"
    )
    assert len(landed(lake, source)) == 4
    assert arrivals(lake, "SELECT DISTINCT day::VARCHAR, list, price, inner_ FROM raw WHERE _op = 'put'") == [
        ("2026-05-16", [1, 2], Decimal("1.50"), {"a": 1})
    ]
    with duckdb.connect(str(file)) as con:
        con.execute("INSERT INTO t SELECT * REPLACE (10 AS id, 'ten' AS title) FROM t WHERE id = 0")
    assert landed(lake, source) == [("put", "main.t/5", 10, "ten"), ("file", "main.t/5", None, None)]
    assert landed(lake, source) == []


def test_a_database_that_cannot_be_read_changes_nothing(lake: Lake, talks: sqlite3.Connection, tmp_path: Path) -> None:
    source = of_talks(tmp_path)
    landed(lake, source)
    before = state(lake)
    with pytest.raises(SourceUnavailable, match="syntax error"):
        land(lake, of_talks(tmp_path, query="SELECT FROM"), observe=quiet)
    (tmp_path / "talks.db").rename(tmp_path / "elsewhere.db")
    with pytest.raises(
        SourceUnavailable, match=r"Source talks cannot be read at sqlite:///.*Nothing of it was changed"
    ):
        land(lake, source, observe=quiet)
    assert state(lake) == before


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        ({"path": "postgresql://me:secret@host/db", "table": "t"}, "holds no credentials"),
        ({"path": "postgresql://host/db?password=secret", "table": "t"}, "holds no credentials"),
        ({"path": "postgresql://host/db"}, "needs either `table` or `query`"),
        ({"path": "a.csv", "query": "SELECT 1"}, "query: for databases only"),
        ({"path": "mysql://h/d", "table": "t", "incremental": "compare"}, "takes `mode: merge` or `history`"),
        ({"path": "mysql://h/d", "table": "t*", **MERGED}, "takes one table"),
        ({"path": "mysql://h/d", "table": "t", "incremental": "cursor", "mode": "append"}, "goes by a column"),
        ({"path": "mysql://h/d", "table": "t", "lag": 5}, "take `incremental: cursor`"),
    ],
)
def test_a_declaration_that_does_not_hold_is_told(attributes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told) as error:
        TableSource(name="t", **attributes)
    assert "secret" not in str(error.value)


def test_credentials_come_from_the_environment_and_come_out_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM", "postgres://me:s%3Acret@db.example:5433/crm?sslmode=require&password=other")
    source = TableSource(name="t", path="postgresql://", address_variable="CRM", table="t")
    address = address_of(source)
    assert address.shown == "postgresql://db.example:5433/crm"
    assert (
        address.clean("no s:cret, no s%3Acret,\n for user me of some")
        == f"no {HIDDEN}, no {HIDDEN}, for user {HIDDEN} of some"
    )
    assert not any(secret in f"{address!r}{source!r}" for secret in ("cret", "other", "me:"))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "which is not set"),
        ("mysql://me:secret@h/d", "no such address"),
        ("postgresql://me:secret@h:x/d", "cannot be parsed"),
    ],
)
def test_a_variable_without_an_address_is_told_without_its_value(
    value: str | None, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value:
        monkeypatch.setenv("CRM", value)
    with pytest.raises(SourceInvalid, match=told) as error:
        address_of(TableSource(name="t", path="postgresql://", address_variable="CRM", table="t"))
    assert "secret" not in str(error.value) and error.value.__cause__ is None
