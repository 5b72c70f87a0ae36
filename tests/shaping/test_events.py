"""Arrivals to events and notes: duplicates, refusals, balance, and the fold in SQL against the fold in Python."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dagster_project.contracts import EVENTS, NOTES, SHARED, TAGS, VERSIONS, Shape, raw_table
from dagster_project.landing import streams
from dagster_project.model.fold import NoteEvent, fold, fold_table, steps
from dagster_project.shaping.events import shape_events
from dagster_project.sources import StreamSource

NOW = datetime(2026, 2, 1, tzinfo=UTC)
SOURCE = StreamSource(name="app", path="unused")
CORPORA = Path(__file__).parents[3] / "shared" / "corpora"


def connect() -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    return con


def land(con: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Make the table `raw` of what lies in `folder`."""
    source = StreamSource(name="app", path=str(folder))
    tables = [raw_table("app", "stream").schema.empty_table()]
    for item in streams.read(source, {}, first_sequence=1, landed_at=NOW, con=con):
        assert isinstance(item, streams.Chunk)
        tables.append(item.rows)
    con.register("raw_arrow", pa.concat_tables(tables))
    con.execute("CREATE TABLE raw AS SELECT * FROM raw_arrow")


def shape(con: duckdb.DuckDBPyConnection, after: int, to: int) -> Shape:
    is_fresh = f"(sequence > {after} AND sequence <= {to})"
    given = {"known_events": "events", "all_events": "events", "notes": "notes", "versions": "versions"}
    return shape_events(con, SOURCE, raw="raw", is_fresh=is_fresh, **given, observed_at=NOW, fold=fold_table)


def run(con: duckdb.DuckDBPyConnection, splits: list[int]) -> list[Shape]:
    """Shape and commit `raw` in batches that end at `splits`, as the lake would; the last ends with raw itself."""
    for table, name in ((EVENTS, "events"), (NOTES, "notes"), (VERSIONS, "versions")):
        con.register("empty", table.schema.empty_table())
        con.execute(f"CREATE TABLE {name} AS SELECT * FROM empty")
    last = con.execute("SELECT coalesce(max(sequence), 0) FROM raw").fetchone()[0]  # type: ignore[index]
    after, shapes = 0, []
    for to in [*sorted(split for split in splits if split < last), last]:
        shapes.append(made := shape(con, after, to))
        con.execute(f"CREATE OR REPLACE TEMP TABLE gone AS {made.replaced}")
        new = {
            name: con.execute(made.rows[f"notes.{name}"]).to_arrow_table() for name in ("events", "notes", "versions")
        }
        con.execute("DELETE FROM notes WHERE note_id IN (SELECT note_id FROM gone)")
        for name, rows in new.items():
            con.register("new_rows", rows)
            if name == "versions":
                con.execute("DELETE FROM versions WHERE sequence IN (SELECT sequence FROM new_rows)")
            con.execute(f"INSERT INTO {name} SELECT * FROM new_rows")
        after = to
    return shapes


def write(folder: Path, *lines: str | bytes) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "s.jsonl").write_bytes(b"".join((x.encode() if isinstance(x, str) else x) + b"\n" for x in lines))
    return folder


def event(index: int, kind: str, day: int, **detail: Any) -> str:
    time = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day)).isoformat()
    return json.dumps({"id": f"e{index:03}", "detail-type": kind, "time": time, "detail": detail})


def test_every_arrival_is_an_event_a_duplicate_or_refused_with_its_reason(tmp_path: Path) -> None:
    con = connect()
    good, other = event(1, "note.viewed", 1, path="a.md", actor="ann"), '{"type":"x","time":1700000000,"data":"hello"}'
    bad = [b'{"x":"\xff"}', "{broken", '{"id":"q","time":1700000000}', '{"id":"r","type":"t","time":"soon"}']
    land(con, write(tmp_path / "log", good, good, other, *bad))
    (made,) = run(con, [])
    assert con.sql(f"SELECT seen, duplicate, quarantined FROM ({made.inputs})").fetchall() == [(7, 1, 4)]
    offset = 2 * (len(good) + 1)
    assert con.sql("SELECT event_id, path, actor, detail FROM events ORDER BY sequence").fetchall() == [
        ("e001", "a.md", "ann", '{"path":"a.md","actor":"ann"}'),
        (f"app/s/{offset}", None, None, '{"value":"hello"}'),
    ]
    assert con.sql(
        f"SELECT rule, key, file, payload, sequence FROM ({made.refusals}) ORDER BY sequence"
    ).fetchall() == [
        ("encoding", None, "s", "base64:eyJ4Ijoi/yJ9", 4),
        ("json", None, "s", "{broken", 5),
        ("type", "q", "s", bad[2], 6),
        ("occurred_at", "r", "s", bad[3], 7),
    ]
    assert con.execute(f"SELECT * FROM ({made.inputs}) WHERE seen <> 2 + duplicate + quarantined").fetchall() == []


def test_an_id_seen_before_is_a_duplicate_and_the_first_arrival_stays(tmp_path: Path) -> None:
    con = connect()
    land(
        con,
        write(tmp_path / "log", event(1, "t", 1, v=1), event(1, "t", 1, v=2), event(2, "t", 1), event(1, "t", 2, v=3)),
    )
    first, second, third = run(con, [1, 2])
    assert con.sql("SELECT event_id, sequence FROM events ORDER BY ALL").fetchall() == [("e001", 1), ("e002", 3)]
    assert con.sql(f"SELECT seen, duplicate FROM ({third.inputs})").fetchall() == [(2, 1)] and first and second


def test_rows_have_the_columns_of_their_contracts_in_order(tmp_path: Path) -> None:
    con = connect()
    lines = [
        event(1, "note.created", 1, path="a.md", tags=["#x", "y", "x"], mood="good"),
        event(2, "note.moved", 2, path="b.md", **{"from": "a.md"}),
    ]
    land(con, write(tmp_path / "log", *lines))
    (made,) = run(con, [])
    by_name = {table.identifier: table for table in SHARED}
    for name, query in made.rows.items():
        assert con.execute(query).to_arrow_table().schema.equals(by_name[name].schema, check_metadata=False), name
    assert con.sql("SELECT path, tags, properties FROM notes").fetchall() == [("b.md", ["x", "y"], "{}")]
    assert con.sql(f"SELECT ordinal, tag FROM ({made.rows[TAGS.identifier]})").fetchall() == [
        (0, "x"),
        (1, "y"),
        (2, "x"),
    ]
    assert con.sql("SELECT op, path, moved_from FROM versions ORDER BY sequence").fetchall() == [
        ("created", "a.md", None),
        ("moved", "b.md", "a.md"),
    ]


PATHS = st.sampled_from(("a.md", "b.md", "c/d.md", "e", "f.md"))


@st.composite
def logs(draw: st.DrawFn) -> list[dict[str, Any]]:
    kinds = draw(st.sampled_from((("created", "updated", "deleted"), ("created", "updated", "deleted", "moved"))))
    details = st.fixed_dictionaries(
        {"path": PATHS, "from": PATHS},
        optional={
            "title": st.sampled_from(("T", "")), "body": st.sampled_from(("one two", "")), "tags": st.just(["x", "#y"]),
            "actor": st.sampled_from(("ann", "bob")), "n": st.integers(0, 3),
        },
    )  # fmt: skip
    moments = st.integers(0, 6)
    return [
        {"index": i, "kind": f"note.{draw(st.sampled_from(kinds))}", "day": draw(moments), "detail": draw(details)}
        for i in draw(st.lists(st.integers(0, 14), max_size=14, unique=True))
    ]


def as_note_event(given: dict[str, Any], sequence: int) -> NoteEvent:
    detail = given["detail"]
    rest = {key: value for key, value in detail.items() if key == "n"}
    return NoteEvent(
        f"e{given['index']:03}", given["kind"], datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=given["day"]),
        detail["path"], detail["from"], detail.get("actor"), detail.get("title"), detail.get("body"),
        ("x", "y") if "tags" in detail else None, json.dumps(rest, separators=(",", ":")), sequence,
    )  # fmt: skip


@settings(max_examples=10, deadline=None)
@given(log=logs(), splits=st.lists(st.integers(1, 14), max_size=3, unique=True))
def test_any_split_into_batches_gives_the_notes_that_the_rules_give(
    tmp_path_factory: pytest.TempPathFactory, log: list[dict[str, Any]], splits: list[int]
) -> None:
    con = connect()
    land(
        con,
        write(tmp_path_factory.mktemp("log"), *(event(g["index"], g["kind"], g["day"], **g["detail"]) for g in log)),
    )
    run(con, splits)
    columns = "note_id, path, title, body, author, created_at, modified_at, tags, properties, sequence"
    found = con.sql(f"SELECT {columns} FROM notes ORDER BY path").fetchall()
    told = [as_note_event(given, place) for place, given in enumerate(log, 1)]
    expected = fold(told, source="app").values()
    assert [(*row[:7], tuple(row[7]), *row[8:]) for row in found] == [
        tuple(getattr(note, name) for name in columns.split(", ")) for note in expected
    ]
    done = ((step.event.sequence, step.note_id, step.event.path, step.title) for step in steps(told, source="app"))
    assert con.sql("SELECT sequence, note_id, path, title FROM versions ORDER BY sequence").fetchall() == sorted(done)


@pytest.mark.skipif(not CORPORA.is_dir(), reason="the real inputs in ../shared/corpora are not here")
def test_the_history_of_a_real_vault_ends_in_the_files_git_has(tmp_path: Path) -> None:
    con = connect()
    land(con, CORPORA / "events")
    run(con, [500, 1000])
    vault = CORPORA / "vault_after"
    files = {str(file.relative_to(vault)) for file in vault.rglob("*") if file.is_file()}
    assert {path for (path,) in con.sql("SELECT path FROM notes").fetchall()} == files | {"pages/page_alias.md"}
    assert con.sql("SELECT count(*) FROM events").fetchall() == [(1712,)]
