"""Claims of shaping rows: what stands in a table source becomes notes, and every arrival is accounted for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dagster_project.contracts import BY_IDENTIFIER, NOTES, TEXT, TEXTS, Column, raw_table, variant_doc
from dagster_project.errors import SourceInvalid
from dagster_project.model.identity import note_id
from dagster_project.shaping.rows import guess_mapping, mapping_facts, row_changes, settle_mapping, shape_rows
from dagster_project.sources import NoteMapping, TableSource

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SOURCE = TableSource(name="trial", path="/trial")
COLUMNS = tuple(
    Column(11 + i, name, TEXT, name) for i, name in enumerate(["id", "title", "body", "day", "tags", "path"])
)
MAPPING = NoteMapping(key="id", title="title", body="body", created_at="day", tags="tags")  # type: ignore[arg-type]
Row = dict[str, Any]


@dataclass
class Lake:
    """A raw table and the notes it became, kept as the pipeline would keep them."""

    mapping: NoteMapping = MAPPING
    columns: tuple[Column, ...] = COLUMNS
    raw: list[Row] = field(default_factory=list)
    notes: list[Row] = field(default_factory=list)
    versions: list[Row] = field(default_factory=list)
    after: int = 0
    materialised: bool = False
    source: TableSource = SOURCE

    def land(self, file: str, rows: Sequence[Row | str], error: str | None = None) -> None:
        """Append a file's arrivals; a text among the rows is a refused line."""
        for ordinal, row in enumerate(rows, start=1):
            if isinstance(row, str):
                self._append(_op="refused", _file=file, _row=ordinal, _line=ordinal + 1, _error="broken", _payload=row)
            else:
                digest = hashlib.md5(json.dumps(row, sort_keys=True).encode()).digest()
                hash_ = int.from_bytes(digest[:8], "big", signed=True)
                self._append(_op="put", _file=file, _row=ordinal, _row_hash=hash_, **row)
        self._append(_op="file", _file=file, _row=len(rows), _error=error)

    def gone(self, file: str) -> None:
        """Append the marker of a vanished file."""
        self._append(_op="gone", _file=file)

    def same(self, file: str, of: str, rows: int) -> None:
        """Append the marker of a file that was not loaded, as a copy of another."""
        self._append(_op="same", _file=file, _row=rows, _payload=of)

    def shape(self) -> dict[str, list[Row]]:
        """Shape what has arrived since, commit it, and return the rows of each part of the shape."""
        con = duckdb.connect(config={"threads": 1})
        con.execute("SET TimeZone = 'America/New_York'")  # whatever the session's zone, instants are the same
        con.register("raw", pa.Table.from_pylist(self.raw, schema=raw_table("trial", "table", self.columns).schema))
        con.register("standing", pa.Table.from_pylist(self.notes, schema=NOTES.schema))
        asked: dict[str, Any] = {
            "raw": "raw",
            "columns": self.columns,
            "mapping": self.mapping,
            "after": self.after,
            "to": len(self.raw),
            "notes": "standing",
        }
        if self.materialised:
            con.execute(f"CREATE TABLE changes AS {row_changes(self.source, **asked)}")
            asked["changes"] = "changes"
        shape = shape_rows(self.source, **asked)
        queries = {**shape.rows, "replaced": shape.replaced, "refusals": shape.refusals, "inputs": shape.inputs}
        con.execute("SET TimeZone = 'UTC'")
        tables = {name: con.execute(query).to_arrow_table() for name, query in queries.items()}
        for name, table in tables.items():
            if name in BY_IDENTIFIER:
                check_schema(name, table)
        found = {name: table.to_pylist() for name, table in tables.items()}
        for names, query in shape.together.items():
            for name in names:
                own = con.execute(query).to_arrow_table().select(BY_IDENTIFIER[name].schema.names)
                check_schema(name, own)
                found[name] = own.to_pylist() + found.get(name, [])
        self._commit({"notes.tags": [], **found})
        return found

    def _commit(self, found: dict[str, list[Row]]) -> None:
        replaced = {row["note_id"] for row in found["replaced"]}
        refused = {row["unit"] for row in found["refusals"]}
        kept = [note for note in self.notes if note["note_id"] not in replaced]
        self.notes = [{**note, "stale": note["stale"] or note["note_id"] in refused} for note in kept] + found[
            "notes.notes"
        ]
        self.versions += found["notes.versions"]
        self.after = len(self.raw)

    def _append(self, **row: Any) -> None:
        self.raw.append({"sequence": len(self.raw) + 1, "_file_sha256": "00", "_landed_at": NOW, **row})


def check_schema(name: str, table: pa.Table) -> None:
    assert table.column_names == BY_IDENTIFIER[name].schema.names
    assert [str(t).replace("l:", "item:") for t in table.schema.types] == [
        str(t).replace("element:", "item:") for t in BY_IDENTIFIER[name].schema.types
    ], name


def a_row(id_: str | None, title: str = "", **more: str | None) -> Row:
    return {"id": id_, "title": title or None, **more}


def only(rows: list[Row]) -> Row:
    (row,) = rows
    return row


def test_a_row_becomes_a_note_with_its_fields_in_their_places() -> None:
    lake = Lake()
    lake.land("f.csv", [a_row("k/1", " T ", body="one  two\nthree", day="2024-02-29", tags="#b, a;a ,", path="x/y")])
    found = lake.shape()
    note = only(found["notes.notes"])
    assert note["note_id"] == note_id("trial", "k/1")
    assert (note["path"], note["title"], note["word_count"], note["kind"]) == ("k/1", "T", 3, "row")
    assert note["body"] == "one  two\nthree"
    assert note["tags"] == ["a", "b"]
    assert note["created_at"] == datetime(2024, 2, 29, tzinfo=UTC)
    assert json.loads(note["properties"]) == {"path": "x/y"}
    assert (note["file"], note["line"], note["sequence"], note["stale"]) == ("f.csv", None, 1, False)
    assert [(t["ordinal"], t["tag"], t["origin"]) for t in found["notes.tags"]] == [
        (0, "b", "column"),
        (1, "a", "column"),
        (2, "a", "column"),
    ]
    assert only(found["notes.versions"])["op"] == "created"


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2024-01-31", "2024-01-31T00:00:00+00:00"),
        ("2024-01-31 10:20", "2024-01-31T10:20:00+00:00"),
        ("2024-01-31T10:20:30.5Z", "2024-01-31T10:20:30.500000+00:00"),
        ("2024-01-31T10:20:30+02:00", "2024-01-31T08:20:30+00:00"),
        ("2024-01-31T10:20:30-0530", "2024-01-31T15:50:30+00:00"),
        ("2024-01-31T10:20:30+02", "2024-01-31T08:20:30+00:00"),
        ("", None),
        (" ", None),
    ],
)
def test_times_are_read_as_iso_and_utc_where_they_name_no_zone(text: str, instant: str | None) -> None:
    lake = Lake()
    lake.land("f.csv", [a_row("1", day=text)])
    created = only(lake.shape()["notes.notes"])["created_at"]
    assert (created and created.isoformat()) == instant


@pytest.mark.parametrize("text", ["2024-02-30", "soon", "1700000000", "31.01.2024", "2024-01-31T25:00", "0"])
def test_an_impossible_time_refuses_the_row_in_words(text: str) -> None:
    lake = Lake()
    lake.land("f.csv", [a_row("1", "T", day=text), a_row("2")])
    found = lake.shape()
    refusal = only(found["refusals"])
    assert (refusal["rule"], refusal["key"], refusal["file"], refusal["sequence"]) == (
        "mapping.created_at",
        "1",
        "f.csv",
        1,
    )
    assert all(word in refusal["reason"] for word in (text, "day", "created_at", "f.csv"))
    assert json.loads(refusal["payload"])["day"] == text
    assert [note["path"] for note in found["notes.notes"]] == ["2"]


def test_a_refused_row_leaves_the_last_good_version_and_a_mended_one_replaces_it() -> None:
    lake = Lake()
    lake.land("f.csv", [a_row("1", "old")])
    lake.shape()
    lake.land("f.csv", [a_row("1", "new", day="soon")])
    found = lake.shape()
    assert found["replaced"] == []
    assert only(found["refusals"])["unit"] == lake.notes[0]["note_id"]
    assert [(n["title"], n["stale"]) for n in lake.notes] == [("old", True)]
    lake.land("f.csv", [a_row("1", "old")])
    lake.shape()
    assert [(n["title"], n["stale"]) for n in lake.notes] == [("old", False)]


def test_a_refused_row_is_not_refused_again_by_what_happens_to_other_files() -> None:
    lake = Lake()
    lake.land("f.csv", [a_row("1", day="soon")])
    lake.shape()
    lake.land("g.csv", [a_row("2")])
    found = lake.shape()
    assert found["refusals"] == []
    assert [n["path"] for n in found["notes.notes"]] == ["2"]


def test_what_a_later_landing_of_the_same_batch_supersedes_is_told_as_duplicate() -> None:
    lake = Lake()
    lake.land("f.csv", [a_row("1", "old"), a_row(None)])
    lake.land("f.csv", [a_row("1", "new")])
    found = lake.shape()
    assert [(i["seen"], i["duplicate"], i["quarantined"]) for i in found["inputs"]] == [(2, 2, 0), (1, 0, 0)]
    assert [n["title"] for n in lake.notes] == ["new"]
    assert [v["op"] for v in lake.versions] == ["created"]


def test_a_rewritten_file_makes_rows_only_of_what_changed() -> None:
    lake = Lake()
    lake.land("f.csv", [a_row("1", "a"), a_row("2", "b"), a_row("3", "c")])
    lake.shape()
    lake.land("f.csv", [a_row("3", "c"), a_row("2", "B"), a_row("4", "d")])
    found = lake.shape()
    assert sorted((v["op"], v["path"]) for v in found["notes.versions"]) == [
        ("created", "4"),
        ("deleted", "1"),
        ("updated", "2"),
    ]
    counted = only(found["inputs"])
    assert (counted["seen"], counted["unchanged"], counted["removed"], counted["duplicate"]) == (3, 1, 1, 0)
    assert sorted(n["path"] for n in lake.notes) == ["2", "3", "4"]
    deleted = next(v for v in found["notes.versions"] if v["op"] == "deleted")
    assert (deleted["sequence"], deleted["title"], deleted["valid_from"]) == (8, None, NOW)


def test_a_vanished_file_removes_its_rows_and_counts_them() -> None:
    lake = Lake()
    lake.land("f.csv", [a_row("1"), a_row("2")])
    lake.land("g.csv", [a_row("3")])
    lake.shape()
    lake.gone("f.csv")
    found = lake.shape()
    assert [n["path"] for n in lake.notes] == ["3"]
    counted = only(found["inputs"])
    assert (counted["op"], counted["status"], counted["removed"], counted["seen"]) == ("gone", "removed", 2, 0)


def test_of_rows_with_one_key_the_last_wins_and_the_other_is_told() -> None:
    lake = Lake()
    lake.land("f.csv", [a_row("1", "first"), a_row("1", "last")])
    found = lake.shape()
    assert [n["title"] for n in lake.notes] == ["last"]
    assert only(found["inputs"])["duplicate"] == 1
    told = json.loads(only(found["inputs"])["dropped"])
    assert [(each["construct"].split(",")[0], each["count"]) for each in told] == [
        ("row with a key that a later row has", 1)
    ]


def test_a_row_another_file_hid_comes_back_when_that_file_goes() -> None:
    lake = Lake()
    lake.land("f.csv", [a_row("1", "mine")])
    lake.land("g.csv", [a_row("1", "theirs")])
    lake.shape()
    lake.gone("g.csv")
    lake.shape()
    assert [n["title"] for n in lake.notes] == ["mine"]


def test_equal_rows_without_a_key_are_notes_of_their_own() -> None:
    lake = Lake(mapping=NoteMapping(title="title"))
    lake.land("f.csv", [a_row("1"), a_row("1"), a_row("2")])
    found = lake.shape()
    assert len({n["note_id"] for n in found["notes.notes"]}) == 3
    paths = sorted(n["path"] for n in found["notes.notes"])
    assert [path.startswith("f.csv#") for path in paths] == [True] * 3
    assert sum(path.endswith("-2") for path in paths) == 1
    lake.land("f.csv", [a_row("2"), a_row("1"), a_row("1")])
    assert only(lake.shape()["inputs"])["unchanged"] == 3


def test_a_row_without_its_key_is_refused_and_parts_of_keys_stay_apart() -> None:
    lake = Lake(mapping=NoteMapping(key=("id", "title")))
    lake.land("f.csv", [a_row("a/b", "c"), a_row("a", "b/c"), a_row(None), a_row("a"), a_row("a%2Fb", "c")])
    found = lake.shape()
    assert sorted(n["path"] for n in found["notes.notes"]) == ["a%252Fb/c", "a%2Fb/c", "a/", "a/b%2Fc"]
    assert only(found["refusals"])["rule"] == "mapping.key"


def test_a_file_that_could_not_be_read_is_failed_and_its_last_good_rows_stay() -> None:
    lake = Lake()
    lake.land("f.csv", [a_row("1", "good")])
    lake.shape()
    lake.land("f.csv", [a_row("1", "torn")], error="it changed while it was read")
    found = lake.shape()
    counted = only(found["inputs"])
    assert (counted["status"], counted["failed"], counted["seen"]) == ("failed", 1, 1)
    assert [n["title"] for n in lake.notes] == ["good"]
    assert found["notes.notes"] == found["replaced"] == []


def test_a_user_column_may_be_called_like_one_of_ours() -> None:
    columns = tuple(
        Column(11 + i, name, TEXT, name) for i, name in enumerate(["note_id", "path", "file", "rule", "what", "mark"])
    )
    lake = Lake(mapping=NoteMapping(key=("note_id",), title="path", body="what"), columns=columns)
    lake.land("f.csv", [{"note_id": "1", "path": "p", "file": "q", "rule": "r", "what": "w", "mark": "m"}])
    found = lake.shape()
    assert json.loads(only(found["notes.notes"])["properties"]) == {"file": "q", "rule": "r", "mark": "m"}


def test_lists_are_tags_and_authors_without_splitting() -> None:
    columns = (
        *COLUMNS[:1],
        Column(12, "topics", TEXTS, "topics", (13,)),
        Column(14, "speakers", TEXTS, "speakers", (15,)),
    )
    lake = Lake(mapping=NoteMapping(key=("id",), tags="topics", author="speakers"), columns=columns)
    lake.land("f.jsonl", [{"id": "1", "topics": ["b, c", "a"], "speakers": ["Ann", "Bob"]}, {"id": "2"}])
    one, two = sorted(lake.shape()["notes.notes"], key=lambda note: note["path"])
    assert (one["tags"], one["author"]) == (["a", "b, c"], "Ann, Bob")
    assert (two["tags"], two["author"]) == ([], None)


def test_a_mapping_to_a_column_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(SourceInvalid, match=r"'heading'.*id, title"):
        shape_rows(SOURCE, raw="raw", columns=COLUMNS, mapping=NoteMapping(title="heading"), after=0, to=1, notes=None)


def test_a_guessed_key_that_is_not_unique_and_times_that_are_none_are_dropped() -> None:
    lake = Lake()
    lake.land("f.csv", [a_row("1", day="soon"), a_row("1", day="2024-01-01")])
    con = duckdb.connect(config={"threads": 1})
    con.register("raw", pa.Table.from_pylist(lake.raw, schema=raw_table("trial", "table", COLUMNS).schema))
    unique, created, modified = con.execute(mapping_facts(MAPPING, COLUMNS, "raw")).fetchall()[0]
    assert (unique, created, modified) == (False, 0.5, None)
    settled = settle_mapping(MAPPING, is_unique=unique, created_at=created, modified_at=modified)
    assert (settled.key, settled.created_at, settled.title) == ((), None, "title")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["name", "author", "speaker"], {"title": "name", "author": "author"}),
        (["title", "name", "subject"], {"title": "title"}),
        (["session_id", "id"], {"key": ("session_id",)}),
        (["paid", "valid", "width"], {}),
        (
            ["starts_at", "updated", "labels", "text"],
            {"created_at": "starts_at", "modified_at": "updated", "tags": "labels", "body": "text"},
        ),
    ],
)
def test_the_guess_goes_by_names_and_leaves_out_what_is_unsure(names: list[str], expected: dict[str, Any]) -> None:
    guess = guess_mapping([Column(i, name, TEXT, name) for i, name in enumerate(names)])
    assert {k: v for k, v in guess.model_dump().items() if v} == expected


# --- against an oracle ----------------------------------------------------------------------------------------------

ROW = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["1", "2", "3", None]),
        "title": st.sampled_from(["a", "b"]),
        "day": st.sampled_from([None, "2024-01-01", "never"]),
    }
)
ACTION = st.tuples(
    st.sampled_from(["f", "g"]),
    st.one_of(st.none(), st.lists(st.one_of(ROW, st.just("oops")), max_size=4)),
    st.booleans(),
    st.booleans(),
)


@settings(max_examples=12, deadline=None)
@given(actions=st.lists(ACTION, max_size=7), materialised=st.booleans(), keyed=st.booleans())
def test_any_history_of_files_gives_what_a_plain_reading_of_it_gives(
    actions: list[tuple[str, list[Row | str] | None, bool, bool]], materialised: bool, keyed: bool
) -> None:
    mapping = MAPPING if keyed else MAPPING.model_copy(update={"key": ()})
    lake = Lake(materialised=materialised, mapping=mapping)
    files: dict[str, list[tuple[int, Row]]] = {}
    for file, rows, fails, goes_on in actions:
        first = len(lake.raw) + 1
        if rows is None:
            lake.gone(file)
            files.pop(file, None)
        else:
            lake.land(file, rows, "torn" if fails else None)
            if not fails:
                files[file] = [(first + i, row) for i, row in enumerate(rows) if not isinstance(row, str)]
        if not goes_on:
            check_batch(lake, files, keyed=keyed)
    check_batch(lake, files, keyed=keyed)


def check_batch(lake: Lake, files: dict[str, list[tuple[int, Row]]], *, keyed: bool) -> None:
    """Shape the batch; its counts balance, and the notes are what stands in the files, refused rows aside."""
    before = {note["path"]: note["title"] for note in lake.notes}
    after = lake.after
    found = lake.shape()
    arrived = sum(row["_op"] in ("put", "refused") and row["sequence"] > after for row in lake.raw)
    counts = {
        name: sum(row[name] for row in found["inputs"])
        for name in ("seen", "unchanged", "duplicate", "quarantined", "failed", "removed")
    }
    fresh = sum(note["sequence"] > after for note in found["notes.notes"])
    told = sum(row["sequence"] > after for row in found["refusals"])
    assert counts["seen"] == arrived
    assert arrived == fresh + counts["unchanged"] + counts["duplicate"] + counts["quarantined"] + counts["failed"]
    assert told == counts["quarantined"]
    assert counts["removed"] == sum(version["op"] == "deleted" for version in found["notes.versions"])
    standing = plain_reading(files, keyed=keyed)
    notes = {note["path"]: note["title"] for note in lake.notes}
    good = {path: row["title"] for path, row in standing.items() if row["day"] != "never"}
    stale = {path for path, row in standing.items() if row["day"] == "never"}
    assert {path: title for path, title in notes.items() if path not in stale} == good
    assert all(path in before for path in notes if path in stale)
    assert len({(v["note_id"], v["sequence"]) for v in lake.versions}) == len(lake.versions)


def plain_reading(files: dict[str, list[tuple[int, Row]]], *, keyed: bool) -> dict[str, Row]:
    """What stands: the last row of each key, or every row under its file, hash and ordinal."""
    if keyed:
        everything = sorted(
            (sequence, row["id"], row) for rows in files.values() for sequence, row in rows if row["id"]
        )
        return {id_: row for _, id_, row in everything}
    found: dict[str, Row] = {}
    for file, rows in files.items():
        for _, row in rows:
            digest = hashlib.md5(json.dumps(row, sort_keys=True).encode()).hexdigest()[:16]
            path, ordinal = f"{file}#{digest}", 1
            while path in found:
                ordinal += 1
                path = f"{file}#{digest}-{ordinal}"
            found[path] = row
    return found


def test_a_copy_counts_as_duplicates_and_takes_away_what_its_file_had() -> None:
    lake = Lake()
    lake.land("a.csv", [a_row("1"), a_row("2")])
    lake.land("b.csv", [a_row("3")])
    lake.shape()
    lake.same("b.csv", "a.csv", 2)
    found = lake.shape()
    told = only(found["inputs"])
    assert (told["seen"], told["duplicate"], told["removed"], told["status"]) == (2, 2, 1, "parsed")
    assert json.loads(told["dropped"]) == [
        {"construct": "file whose content stands under a.csv", "count": 1, "line": None}
    ]
    assert {note["path"] for note in lake.notes} == {"1", "2"}


@pytest.mark.parametrize(("mode", "left"), [("append", {"1", "2"}), ("replace", {"2"}), ("merge", {"2"})])
def test_rows_of_a_file_that_is_gone_stay_where_rows_are_appended(mode: Any, left: set[str]) -> None:
    lake = Lake(source=TableSource(name="trial", path="/trial", mode=mode, note=MAPPING))
    lake.land("a.csv", [a_row("1")])
    lake.land("b.csv", [a_row("2")])
    lake.shape()
    lake.gone("a.csv")
    lake.shape()
    assert {note["path"] for note in lake.notes} == left


def test_nan_is_no_key() -> None:
    columns = (Column(11, "id", pa.float64(), "id"), *COLUMNS[1:])
    lake = Lake(columns=columns)
    lake.land("a.csv", [{"id": 1.5, "title": "x"}, {"id": float("nan"), "title": "y"}])
    found = lake.shape()
    assert [note["path"] for note in lake.notes] == ["1.5"]
    assert [row["rule"] for row in found["refusals"]] == ["mapping.key"]


def test_a_mapped_value_that_does_not_fit_its_column_still_reaches_the_note() -> None:
    columns = (Column(11, "id", pa.int64(), "id"), *COLUMNS[1:], Column(30, "id__text", TEXT, variant_doc("id")))
    lake = Lake(columns=columns)
    lake.land("a.csv", [{"id": 1, "title": "x"}, {"id": None, "id__text": "A-2", "title": "y"}])
    lake.shape()
    assert {(note["path"], note["title"]) for note in lake.notes} == {("1", "x"), ("A-2", "y")}


def test_a_row_with_values_left_out_is_told_in_the_ledger() -> None:
    lake = Lake()
    lake.land("a.csv", [a_row("1", _payload='{"new": "x"}'), a_row("2")])
    told = only(lake.shape()["inputs"])
    assert (told["seen"], told["quarantined"]) == (2, 0)
    assert json.loads(told["dropped"])[0]["count"] == 1
