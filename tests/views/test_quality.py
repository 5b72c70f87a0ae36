"""The views of note quality: a small lake in, the notes that somebody should look at out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from dagster_project.contracts import NOTES
from dagster_project.shaping.fingerprints import fingerprints
from dagster_project.views.sql_files import View

Ask = Callable[..., list[tuple[Any, ...]]]
WORDS = [f"word{n}" for n in range(200)]


def a_note(id_: str, **more: Any) -> dict[str, Any]:
    told = {"note_id": id_, "source": "v", "kind": "document", "path": f"{id_}.md", "title": id_, "properties": "{}"}
    at = datetime(2026, 5, 14, 9, tzinfo=UTC)
    return {**told, "body": f"the body of {id_}", "word_count": 4, "observed_at": at, "modified_at": at, **more}


@pytest.fixture
def ask(shelf: Any, serve: Any, view_file: Path, written_views: tuple[View, ...]) -> Callable[..., Ask]:
    """Serve rows of the shared tables; return what answers queries about them."""

    def served(**rows: Any) -> Ask:
        serve(shelf.shared(**rows), written_views)

        def asking(query: str) -> list[tuple[Any, ...]]:
            with duckdb.connect(str(view_file), read_only=True) as con:
                return con.execute(query).fetchall()

        return asking

    return served


def day(number: int) -> datetime:
    return datetime(2026, 1, number, tzinfo=UTC)


def test_titles_in_common_are_told_across_sources_and_whatever_their_case(ask: Any) -> None:
    notes = [a_note("a", title="Plan"), a_note("b", title="plan ", source="w"), a_note("c", title="Plans")]
    found = ask(notes=notes)("SELECT note_id, notes, sources FROM quality.duplicate_titles ORDER BY ALL")
    assert found == [("a", 2, 2), ("b", 2, 2)]


def test_the_same_text_is_told_across_sources_with_the_one_that_is_newest(ask: Any) -> None:
    notes = [
        a_note("a", body="same\n", modified_at=day(1)),
        a_note("b", body="same", modified_at=day(3), source="w"),
        a_note("c", body="same", modified_at=day(3), source="x"),
        a_note("d", body="same but"),
        *(a_note(id_, body="  ") for id_ in "ef"),
    ]
    found = ask(notes=notes)("SELECT note_id, copies, sources, is_newest FROM quality.exact_duplicates ORDER BY 1")
    assert found == [("a", 3, 3, False), ("b", 3, 3, True), ("c", 3, 3, False)]


def test_near_duplicates_are_told_with_the_newer_first_and_others_are_not(ask: Any) -> None:
    edited = [*WORDS[:100], "another", *WORDS[101:]]
    shifted = WORDS[100:] + [f"new{n}" for n in range(100)]
    notes = [
        a_note("old", body=" ".join(WORDS), modified_at=day(1)),
        a_note("new", body="# " + " ".join(edited).upper(), modified_at=day(2), source="w"),
        a_note("copy", body=" ".join(WORDS), modified_at=day(1), path="z.md"),
        a_note("half", body=" ".join(shifted)),
        a_note("bold", body="**" + " ".join(shifted) + "**", modified_at=day(1)),
        a_note("short", body="word1 word2"),
        a_note("short2", body="word1 word2"),
    ]
    marks = fingerprints(pa.Table.from_pylist(notes, schema=NOTES.schema)).to_pylist()
    assert [row["note_id"] for row in marks] == ["old", "new", "copy", "half", "bold"]
    found = ask(notes=notes, fingerprints=marks)(
        "SELECT note_id, older_note_id, similarity FROM quality.near_duplicates ORDER BY 1"
    )
    (same_words, (newer, older, similarity)) = found
    assert same_words == ("half", "bold", 1.0)
    assert (newer, older) == ("new", "old")
    assert 0.9 < similarity < 1


def test_ambiguous_links_name_what_they_are_taken_for(ask: Any) -> None:
    notes = [a_note("a"), a_note("x", path="p/x.md", title="1"), a_note("y", path="q/x.md", title="2")]
    links = [
        {"note_id": "a", "source": "v", "ordinal": n, "kind": "wikilink", "target": t} for n, t in enumerate(["x", "a"])
    ]
    found = ask(notes=notes, links=links)("SELECT target, path, taken_path FROM quality.ambiguous_links")
    assert found == [("x", "a.md", "p/x.md")]


def test_empty_and_oversize_notes_are_told(ask: Any) -> None:
    notes = [
        a_note("empty", body="", word_count=0),
        a_note("event", kind="event", body="", word_count=0),
        a_note("long", body="x " * 10_001, word_count=10_001),
        a_note("wide", body="x" * 100_001, word_count=1),
        a_note("fine"),
    ]
    asking = ask(notes=notes, sections=[{"note_id": "long", "source": "v", "ordinal": 0}])
    assert asking("SELECT note_id FROM quality.empty_notes") == [("empty",)]
    assert asking("SELECT note_id, sections FROM quality.oversize_notes ORDER BY 1") == [("long", 1), ("wide", 0)]


def test_stale_notes_with_open_tasks_are_those_not_touched_for_ninety_days(ask: Any) -> None:
    now = datetime.now(UTC)
    notes = [a_note("old", modified_at=now - timedelta(days=91)), a_note("new", modified_at=now - timedelta(days=89))]
    notes.append(a_note("done", modified_at=now - timedelta(days=91)))
    tasks = [
        {"note_id": id_, "source": "v", "ordinal": n, "state": state, "due_on": due}
        for n, (id_, state, due) in enumerate(
            [("old", "open", "2026-02-02"), ("old", "doing", None), ("new", "open", None), ("done", "done", None)]
        )
    ]
    query = "SELECT note_id, open_tasks, first_due_on, days FROM quality.stale_notes_with_open_tasks"
    assert ask(notes=notes, tasks=tasks)(query) == [("old", 2, "2026-02-02", 91)]


def test_properties_of_mixed_types_are_told_with_an_example_and_null_is_no_type(ask: Any) -> None:
    notes = [
        a_note("a", properties='{"due": "2026-01-01", "n": 1, "a/~.\\"b": true}'),
        a_note("b", properties='{"due": ["x"], "n": 2.5, "a/~.\\"b": {}}'),
        a_note("c", properties='{"due": null, "n": null}'),
        a_note("d", properties='{"due": {}}', source="w"),
    ]
    found = ask(notes=notes)("FROM quality.mixed_property_types ORDER BY ALL")
    assert found == [
        ("v", 'a/~."b', "boolean", 1, 2, "a.md"),
        ("v", 'a/~."b', "object", 1, 2, "b.md"),
        ("v", "due", "list", 1, 2, "b.md"),
        ("v", "due", "text", 1, 2, "a.md"),
    ]


def test_front_matter_that_could_not_be_read_is_told_until_it_is_mended(ask: Any) -> None:
    def told(path: str, second: int, dropped: str | None) -> dict[str, Any]:
        at = datetime(2026, 5, 14, 9, 0, second, tzinfo=UTC)
        row = {"batch_id": f"v-{second}", "source": "v", "path": path, "op": "put", "sequence": second}
        return {**row, "status": "partial" if dropped else "parsed", "dropped": dropped, "recorded_at": at}

    broken = '[{"construct": "front matter", "count": 1, "line": 3}]'
    ledger = [told("a.md", 1, broken), told("b.md", 2, broken), told("b.md", 3, None), told("c.md", 4, "in words")]
    asking = ask(ledger=ledger)
    assert asking("SELECT path, line FROM quality.unreadable_front_matter") == [("a.md", 3)]
    assert asking("SELECT path, is_bad FROM ops.inputs ORDER BY 1") == [
        ("a.md", True),
        ("b.md", False),
        ("c.md", True),
    ]


def test_each_content_of_attachments_is_told_once_with_who_refers_to_it(ask: Any) -> None:
    files = [
        {"note_id": n, "source": s, "ordinal": 0, "path": p, "media_type": "image/png", "size": 3, "sha256": h * 64}
        for n, s, p, h in [("1", "v", "img/a.png", "a"), ("2", "w", "copy.png", "a"), ("3", "v", "unused.png", "b")]
    ]
    links = [{"note_id": "n", "source": "v", "ordinal": n, "kind": "image", "target": "img/a.png"} for n in range(2)]
    found = ask(notes=[a_note("n")], attachments=files, links=links)(
        "SELECT left(sha256, 1), copies, paths, links, linked_from FROM quality.attachment_contents ORDER BY 1"
    )
    assert found == [
        ("a", 2, ["v/img/a.png", "w/copy.png"], 2, ["v/n.md"]),
        ("b", 1, ["v/unused.png"], 0, None),
    ]
