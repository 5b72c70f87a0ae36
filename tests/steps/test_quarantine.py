"""What becomes of refused units: told, given up, audited again; and the balance that holds whatever is decided."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from dagster_project.contracts import NOTES, Table
from dagster_project.errors import UsageError
from dagster_project.lake.lake import Lake, open_lake
from dagster_project.lake.read import relation
from dagster_project.pipeline import run
from dagster_project.reports import Counts
from dagster_project.settings import settings
from dagster_project.sources import DocumentSource, NoteMapping, StreamSource, TableSource
from dagster_project.steps import shape
from dagster_project.steps.quarantine import discard, standing
from dagster_project.steps.refused import refusals
from dagster_project.steps.release import Released, release

MAPPING = NoteMapping(key=("id",), title="title", body="body", created_at="at")


def fresh(folder: Path) -> Lake:
    return open_lake(settings(str(folder)), clock=lambda: datetime.now(UTC), ids=lambda: uuid4().hex)


Ask = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


def ask(folder: Path, query: str) -> list[tuple[Any, ...]]:
    """Ask the lake: {notes.notes} is that table, {refusals:SOURCE} what became of the source's refused units."""
    lake = fresh(folder)
    pins = lake.pins()
    with lake.connect() as con:
        for name, pin in pins.items():
            query = query.replace("{" + name + "}", f"(SELECT * FROM {relation(pin)})")
            source = name.removeprefix("raw.")
            if name != source and "{refusals:" + source + "}" in query:
                query = query.replace("{refusals:" + source + "}", refusals(lake, pins, source))
        return con.execute(query).fetchall()


def sheet(folder: Path, *rows: str, name: str = "one.csv", mapping: NoteMapping = MAPPING) -> TableSource:
    """Write a file of rows `id,title,body,at`; return the source it is in."""
    (folder / "tables").mkdir(exist_ok=True)
    (folder / "tables" / name).write_text("\n".join(["id,title,body,at", *rows, ""]), "utf-8")
    return TableSource(name="sheet", path=str(folder / "tables"), note=mapping)


@pytest.mark.slow
def test_what_the_source_has_since_said_anew_supersedes_a_refusal(tmp_path: Path, lake: Path) -> None:
    vault = tmp_path / "vault"
    vault.mkdir()
    notes = DocumentSource(name="vault", path=str(vault), max_gone_share=1)
    for name in "abc":
        (vault / f"{name}.md").write_bytes(b"caf\xc3\xa9, caf\xe9\n")
    rows = sheet(tmp_path, "1,One,x,2026-01-01", "2,Two,y,never", "3,Three,z,never")
    sheet(tmp_path, "4,Four,x,never", name="two.csv")
    run(fresh(lake), [notes, rows])
    (vault / "a.md").write_text("good\n", "utf-8")
    (vault / "b.md").write_bytes(b"caf\xc3\xa9, caf\xe9, still\n")
    sheet(tmp_path, "1,One,x,2026-01-01", "2,Two,y,2026-01-02", "3,Three,zz,never")
    run(fresh(lake), [notes, rows])

    told = ask(lake, "SELECT key, state FROM {refusals:vault} ORDER BY key, sequence")
    assert told == [("a.md", "superseded"), ("b.md", "superseded"), ("b.md", "open"), ("c.md", "open")]
    told = ask(lake, "SELECT key, state FROM {refusals:sheet} ORDER BY key, sequence")
    assert told == [("2", "superseded"), ("3", "superseded"), ("3", "open"), ("4", "open")]

    assert discard(fresh(lake), "vault", why="old") == 2
    assert ask(lake, "SELECT state, count(*) FROM {refusals:vault} GROUP BY 1 ORDER BY 1") == [
        ("discarded", 2),
        ("superseded", 2),
    ]


def test_who_gives_a_unit_up_moves_it_in_the_ledger_and_its_note_is_stale_no_more(tmp_path: Path, lake: Path) -> None:
    source = sheet(tmp_path, "1,One,x,2026-01-01", "2,Two,y,2026-01-02", "3,Three,z,never")
    run(fresh(lake), [source])
    sheet(tmp_path, "1,One,x,never", "2,Two,y,2026-01-02", "3,Three,z,never")
    assert run(fresh(lake), [source]).reports[0].counts == Counts(seen=3, unchanged=1, quarantined=2)
    assert ask(lake, "SELECT path, stale FROM {notes.notes} ORDER BY 1") == [("1", True), ("2", False)]
    with pytest.raises(UsageError, match="5 is not in quarantine"):
        discard(fresh(lake), "sheet", why="x", units=["1", "5"])

    assert discard(fresh(lake), "sheet", why="a test", units=["1"]) == 1
    assert ask(lake, "SELECT path, stale, title FROM {notes.notes} ORDER BY 1") == [
        ("1", False, "One"),
        ("2", False, "Two"),
    ]
    last = "SELECT status, seen, committed, quarantined, discarded FROM {ops.ledger} ORDER BY sequence DESC LIMIT 1"
    assert ask(lake, last) == [("quarantined", 2, 0, 1, 1)]
    assert discard(fresh(lake), "sheet", why="a test") == 1
    assert ask(lake, last) == [("discarded", 2, 0, 0, 2)]
    counts = standing(fresh(lake), "sheet")
    assert counts == Counts(seen=5, committed=2, quarantined=1, discarded=2)
    assert counts.is_balanced
    assert discard(fresh(lake), "sheet", why="a test") == 0


def test_a_row_is_let_through_once_the_rule_is_mended_and_twice_changes_nothing(tmp_path: Path, lake: Path) -> None:
    source = sheet(tmp_path, "1,One,x,2026-01-01", "2,Two,y,never", "3,Three,z,never", "4,Four,z,2026-01-04")
    assert run(fresh(lake), [source]).reports[0].counts.quarantined == 2
    sheet(tmp_path, "3,Three,z,2026-01-01", name="two.csv")
    run(fresh(lake), [source])
    before = ask(lake, "SELECT * FROM {notes.notes} ORDER BY path")
    assert release(fresh(lake), source) == Released(refused=1, superseded=1)
    assert ask(lake, "SELECT * FROM {notes.notes} ORDER BY path") == before

    mended = source.model_copy(update={"note": MAPPING.model_copy(update={"created_at": None})})
    assert release(fresh(lake), mended) == Released(released=1, superseded=1)
    after = ask(lake, "SELECT * FROM {notes.notes} ORDER BY path")
    assert [row for row in after if row[3] != "2"] == before
    assert ask(lake, "SELECT path, title, sequence, stale FROM {notes.notes} WHERE path = '2'") == [
        ("2", "Two", 2, False)
    ]
    assert ask(lake, "SELECT key, state FROM {refusals:sheet} ORDER BY key") == [("2", "released"), ("3", "superseded")]
    last = "SELECT path, status, seen, committed, quarantined, discarded FROM {ops.ledger} ORDER BY sequence"
    assert ask(lake, last) == [("one.csv", "partial", 4, 3, 1, 0), ("two.csv", "parsed", 1, 1, 0, 0)]
    batches = ask(lake, "SELECT DISTINCT batch_id FROM {ops.audits} WHERE batch_id LIKE '%again%'")
    assert len(batches) == 1
    pins = fresh(lake).pins()
    assert release(fresh(lake), mended) == Released(superseded=1)
    assert fresh(lake).pins() == pins
    assert standing(fresh(lake), "sheet").is_balanced
    assert run(fresh(lake), [mended]).reports[0].counts == Counts(seen=5, unchanged=5)


def test_events_are_read_again_by_the_declaration_of_today_and_an_older_one_changes_nothing_newer(
    tmp_path: Path, lake: Path
) -> None:
    folder = tmp_path / "stream"
    folder.mkdir()
    source = StreamSource(name="live", path=str(folder))
    said = [
        {"id": "e1", "type": "note.created", "time": "2026-05-14T09:00:00Z", "path": "a", "data": {"title": "Old"}},
        {"id": "e2", "type": "note.updated", "when": "2026-05-14T10:00:00Z", "path": "a", "data": {"title": "Mid"}},
        {"id": "e3", "type": "note.updated", "time": "2026-05-14T11:00:00Z", "path": "a", "data": {"title": "New"}},
        {"id": "e4", "type": "note.created", "when": "2026-05-14T10:00:00Z", "path": "b", "data": {"title": "B"}},
        {"id": "e5", "type": "note.created", "when": "2026-05-14T10:00:00Z", "path": "c"},
        {"id": "e5", "type": "note.created", "time": "2026-05-14T10:00:00Z", "path": "c"},
    ]
    (folder / "s.jsonl").write_text("".join(json.dumps(event) + "\n" for event in said) + "no JSON\n", "utf-8")
    assert run(fresh(lake), [source]).reports[0].counts == Counts(seen=7, committed=3, quarantined=4)
    assert ask(lake, "SELECT key, state FROM {refusals:live} ORDER BY sequence") == [
        ("e2", "open"),
        ("e4", "open"),
        ("e5", "superseded"),
        (None, "open"),
    ]
    event = source.event.model_copy(update={"occurred_at": ("time", "when")})
    mended = source.model_copy(update={"event": event})
    assert release(fresh(lake), mended) == Released(released=2, refused=1, superseded=1)

    assert ask(lake, "SELECT path, title FROM {notes.notes} ORDER BY path") == [("a", "New"), ("b", "B"), ("c", "c")]
    made = "SELECT path, sequence, op, title FROM {notes.versions} WHERE path <> 'c' ORDER BY path, sequence"
    assert ask(lake, made) == [
        ("a", 1, "created", "Old"),
        ("a", 2, "updated", "Mid"),
        ("a", 3, "updated", "New"),
        ("b", 4, "created", "B"),
    ]
    counts = standing(fresh(lake), "live")
    assert counts == Counts(seen=7, committed=5, quarantined=2)
    assert release(fresh(lake), mended) == Released(refused=1, superseded=1)


def test_a_row_that_is_lost_on_the_way_refuses_the_batch(
    tmp_path: Path, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged = shape.stage_together
    source = sheet(tmp_path, "1,One,x,2026-01-01", "2,Two,y,2026-01-02", "3,Three,z,never")

    def spoil(lake: Lake, con: Any, query: str, *, tables: Sequence[Table], source: str) -> Any:
        kept = f"SELECT * FROM ({query}) LIMIT 1" if NOTES in tables else query
        return staged(lake, con, kept, tables=tables, source=source)

    monkeypatch.setattr(shape, "stage_together", spoil)
    report = run(fresh(lake), [source]).reports[0]
    assert report.error is not None and "ops.ledger/nothing_lost (observed 1.0)" in report.error
    assert ask(lake, "SELECT count(*) FROM {notes.notes}") == [(0,)]
    figures = "SELECT success, observed, bad, rows FROM {ops.audits} WHERE expectation = 'nothing_lost'"
    assert ask(lake, figures) == [(False, 1, 1, 3)]
    monkeypatch.undo()
    assert run(fresh(lake), [source]).reports[0].counts == Counts(seen=6, unchanged=3, committed=2, quarantined=1)
    assert ask(lake, figures) == [(True, 0, 0, 3)]


@pytest.mark.slow
def test_a_row_no_reader_could_read_is_read_again_with_its_file(tmp_path: Path, lake: Path) -> None:
    source = sheet(tmp_path, "1,One,7,2026-01-01", "2,Two,8,2026-01-02")
    source = source.model_copy(update={"schema_contract": "discard_row"})
    run(fresh(lake), [source])
    sheet(tmp_path, "1,One,7,2026-01-01", "2,Two,eight,2026-01-02")
    assert run(fresh(lake), [source]).reports[0].counts == Counts(seen=3, unchanged=1, quarantined=1, removed=1)
    assert release(fresh(lake), source) == Released(unread=1)

    mended = source.model_copy(update={"schema_contract": "evolve"})
    report = run(fresh(lake), [mended], reread=True).reports[0]
    assert report.counts == Counts(seen=2, unchanged=1, committed=1)
    assert ask(lake, "SELECT path, body FROM {notes.notes} ORDER BY path") == [("1", "7"), ("2", "eight")]
    assert ask(lake, "SELECT state FROM {refusals:sheet}") == [("superseded",)]


@pytest.mark.slow
def test_what_was_given_up_and_comes_again_as_it_was_is_discarded_again(tmp_path: Path, lake: Path) -> None:
    source = sheet(tmp_path, "1,One,x,2026-01-01", "2,Two,y,never", "3,a,b,c,d")
    assert run(fresh(lake), [source]).reports[0].counts == Counts(seen=3, committed=1, quarantined=2)
    assert discard(fresh(lake), "sheet", why="a test") == 2
    sheet(tmp_path, "1,One,xx,2026-01-01", "2,Two,y,never", "3,a,b,c,d", "4,Four,z,2026-01-04")
    report = run(fresh(lake), [source]).reports[0]
    assert report.counts == Counts(seen=4, committed=2, discarded=2)
    assert not report.has_trouble
    assert ask(lake, "SELECT DISTINCT state, discarded_why FROM {refusals:sheet}") == [("discarded", "a test")]
    last = "SELECT status, seen, committed, quarantined, discarded FROM {ops.ledger} ORDER BY sequence DESC LIMIT 1"
    assert ask(lake, last) == [("parsed", 4, 2, 0, 2)]

    sheet(tmp_path, "1,One,xx,2026-01-01", "2,Two,yy,never", "3,a,b,c,d", "4,Four,z,never")
    assert run(fresh(lake), [source]).reports[0].counts == Counts(seen=4, unchanged=1, quarantined=2, discarded=1)
    assert ask(lake, "SELECT path, stale FROM {notes.notes} ORDER BY path") == [("1", False), ("4", True)]
