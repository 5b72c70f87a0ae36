"""Every expectation of every suite: good rows pass it, and a row that breaks it is caught by it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import cache
from typing import Any

import duckdb
import duckdb_engine
import pyarrow as pa
import pytest
import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dagster_project import settings as places
from dagster_project.audit.expect import audit, raised
from dagster_project.audit.suites import (
    Expectation,
    expectation_names,
    read_suite,
    read_suites,
    suites_markdown,
    unit_column,
)
from dagster_project.audit.verdict import Subject, Verdict
from dagster_project.contracts import BY_IDENTIFIER, LEDGER, NOTES, SHARED, TAGS, Table
from dagster_project.errors import AuditBroken

FOLDER = places.bundled("expectations")
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
EARLY, LATE = datetime(1969, 12, 31, tzinfo=UTC), datetime(2100, 1, 2, tzinfo=UTC)
ID, OTHER, SHA = "0" * 32, "1" * 32, "a" * 64
Row = dict[str, Any]

PART: Row = {"note_id": ID, "source": "s", "ordinal": 0, "line": 1, "byte_start": 0, "byte_end": 5}
OPS: Row = {"batch_id": "s-1-2", "source": "s"}
GOOD: dict[str, Row] = {
    "notes.notes": {
        "note_id": ID, "source": "s", "kind": "document", "path": "a/b..c.md", "title": "T", "body": "b",
        "created_at": NOW, "modified_at": NOW, "tags": ["a b", "c"], "aliases": [],
        "properties": '{"a": [1]}', "word_count": 1,
        "content_sha256": SHA, "stale": False, "observed_at": NOW, "file": "a/b..c.md", "line": 1, "sequence": 1,
    },
    "notes.versions": {
        "note_id": ID, "source": "s", "sequence": 1, "op": "moved", "path": "a", "moved_from": "b",
        "content_sha256": SHA, "word_count": 3, "valid_from": NOW,
    },
    "notes.sections": {**PART, "level": 0, "heading_path": [], "text": ""},
    "notes.links": {**PART, "kind": "wikilink", "target": "x"},
    "notes.tags": {**PART, "tag": "multi word", "origin": "inline"},
    "notes.tasks": {
        **PART, "state": "open", "text": "t", "due_on": "2024-02-29", "scheduled_on": None, "done_on": None,
    },
    "notes.code_blocks": {**PART, "language": "c++", "code": ""},
    "notes.fields": {**PART, "key": "due date", "value": "", "origin": "inline"},
    "notes.blocks": {**PART, "kind": "callout", "name": "tip", "title": None, "text": ""},
    "notes.fingerprints": {"note_id": ID, "source": "s", "ordinal": 0, "signature": "0a" * 128},
    "notes.attachments": {**PART, "path": "a/b.png", "size": 0, "sha256": SHA, "width": 1, "height": 1},
    "notes.events": {
        "event_id": "e1", "source": "s", "type": "note.moved", "occurred_at": NOW, "landed_at": NOW, "path": "a",
        "moved_from": "b", "detail": '{"a": 1}', "shard": "0", "shard_sequence": 0, "sequence": 1,
    },
    "ops.ledger": {
        **OPS, "path": "a", "op": "put", "status": "parsed", "seen": 6, "committed": 1, "duplicate": 1,
        "quarantined": 2, "failed": 1, "removed": 1, "line": 1, "sequence": 1,
    },
    "ops.quarantine": {**OPS, "unit": "u", "rule": "r", "reason": "w", "quarantined_at": NOW},
    "ops.audits": {
        **OPS, "suite": "notes.notes", "expectation": "x", "rule": "row", "success": True, "bad": 0, "rows": 1,
    },
}  # fmt: skip

_PART_BREAKS: dict[str, list[Row]] = {
    "note_id_is_hex": [{"note_id": None}, {"note_id": "0" * 31 + "X"}],
    "ordinal_not_negative": [{"ordinal": None}, {"ordinal": -1}],
    "line_from_one": [{"line": 0}],
    "bytes_in_order": [{"byte_end": -1}, {"byte_start": 6}, {"byte_start": None}, {"byte_end": None}],
}
BREAKS: dict[str, dict[str, list[Row]]] = {
    "notes.notes": {
        "note_id_is_hex": [{"note_id": None}, {"note_id": "A" * 32}, {"note_id": "0" * 33}],
        "kind_known": [{"kind": "file"}],
        "path_not_empty": [{"path": None}, {"path": ""}],
        "path_stays_inside": [{"path": p} for p in ("/a", "..", "../a", "a/../b", "a/..")],
        "title_not_empty": [{"title": None}, {"title": ""}, {"title": " \n\t"}],
        "title_of_sane_length": [{"title": "x" * 2001}],
        "created_at_plausible": [{"created_at": EARLY}, {"created_at": LATE}],
        "modified_at_plausible": [{"modified_at": EARLY}, {"modified_at": LATE}],
        "word_count_not_negative": [{"word_count": -1}],
        "tags_are_clean": [{"tags": [""]}, {"tags": ["a "]}, {"tags": [None]}],
        "tags_are_distinct": [{"tags": ["a", "b", "a"]}],
        "properties_are_an_object": [{"properties": p} for p in ("[]", "{", "", "null")],
        "content_sha256_is_hex": [{"content_sha256": "a" * 63}],
        "line_from_one": [{"line": 0}],
    },
    "notes.versions": {
        "note_id_is_hex": [{"note_id": None}, {"note_id": "x"}],
        "op_known": [{"op": "put"}],
        "move_says_from_where": [{"moved_from": None}, {"moved_from": ""}],
        "content_sha256_is_hex": [{"content_sha256": "A" * 64}],
        "word_count_not_negative": [{"word_count": -1}],
        "valid_from_plausible": [{"valid_from": EARLY}, {"valid_from": LATE}],
    },
    "notes.sections": {
        **_PART_BREAKS,
        "level_in_range": [{"level": None}, {"level": 7}, {"level": -1}],
        "only_the_first_lacks_a_heading": [{"ordinal": 1}],
    },
    "notes.links": {**_PART_BREAKS, "kind_known": [{"kind": "href"}]},
    "notes.tags": {
        **_PART_BREAKS,
        "tag_is_clean": [{"tag": None}, {"tag": ""}, {"tag": " a"}],
        "origin_known": [{"origin": "body"}],
    },
    "notes.tasks": {
        **_PART_BREAKS,
        "state_known": [{"state": "TODO"}],
        **{
            f"{day}_is_date": [{day: "2023-02-29"}, {day: "2024-1-1"}, {day: "soon"}]
            for day in ("due_on", "scheduled_on", "done_on")
        },
    },
    "notes.code_blocks": {**_PART_BREAKS, "language_is_one_word": [{"language": ""}, {"language": "a b"}]},
    "notes.fields": {
        **_PART_BREAKS,
        "key_trimmed": [{"key": None}, {"key": ""}, {"key": " a"}],
        "origin_known": [{"origin": "front_matter"}],
    },
    "notes.blocks": {
        **_PART_BREAKS,
        "kind_known": [{"kind": "quote"}],
        "name_present": [{"name": None}, {"name": ""}],
    },
    "notes.fingerprints": {
        **_PART_BREAKS,
        "signature_is_hex": [{"signature": None}, {"signature": "0a" * 127}, {"signature": "0A" * 128}],
    },
    "notes.attachments": {
        **_PART_BREAKS,
        "path_stays_inside": [{"path": None}, {"path": ""}, {"path": "/a"}, {"path": "a/../b"}],
        "size_not_negative": [{"size": -1}],
        "sha256_is_hex": [{"sha256": "z" * 64}],
        "width_positive": [{"width": 0}],
        "height_positive": [{"height": 0}],
    },
    "notes.events": {
        "event_id_not_empty": [{"event_id": None}, {"event_id": ""}],
        "type_not_empty": [{"type": None}, {"type": ""}],
        "occurred_at_plausible": [{"occurred_at": EARLY}, {"occurred_at": LATE}],
        "detail_is_json": [{"detail": "{"}],
        "note_event_names_its_note": [{"path": None}, {"path": ""}],
        "move_says_from_where": [{"moved_from": None}],
        "shard_sequence_not_negative": [{"shard_sequence": -1}],
    },
    "ops.ledger": {
        "op_known": [{"op": "seen"}],
        "status_known": [{"status": "ok"}],
        "counts_not_negative": [{"seen": 0, "committed": -5}],
        "counts_balance": [{"seen": 7}, {"committed": None}],
        "failure_says_why": [{"status": "failed"}],
        "line_from_one": [{"line": 0}],
    },
    "ops.quarantine": {},
    "ops.audits": {"rule_known": [{"rule": "cell"}], "bad_not_negative": [{"bad": -1}]},
}  # fmt: skip


BALANCED = "(SELECT 6::BIGINT AS seen, 0::BIGINT AS lost)"


def judged(table: Table, rows: list[Row], folder: Any = FOLDER) -> Verdict:
    opened: list[duckdb.DuckDBPyConnection] = []

    def connect() -> duckdb.DuckDBPyConnection:
        con = duckdb.connect()
        con.register("arrived", pa.Table.from_pylist(rows, schema=table.schema))
        opened.append(con)
        return con

    keys = ", ".join(dict.fromkeys((*table.key, "source")))
    try:
        subject = Subject(table, "arrived", f"(SELECT {keys} FROM arrived)", BALANCED if table == LEDGER else None)
        return audit([subject], folder=folder, connect=connect)
    finally:
        assert len(opened) == 1
        with pytest.raises(duckdb.ConnectionException):
            opened[0].execute("SELECT 1")


def breaking(table: Table, rule: Expectation) -> list[list[Row]]:
    """Return batches that break `rule`: as listed, or as its name says for the general ones."""
    good = GOOD[table.identifier]
    if rule.name == "not_empty":
        return [[]]
    if rule.name == "key_unique":
        return [[good, good]]
    if rule.name.startswith("one_"):
        return [[good, {**good, rule.name[4:]: "another"}]]
    if rule.type == "expect_column_values_to_not_be_null":
        return [[{**good, rule.name.removesuffix("_present"): None}]]
    return [[good, {**good, **change}] for change in BREAKS[table.identifier].get(rule.name, [])]


RULES = [(suite.name, rule) for suite in read_suites(FOLDER) for rule in suite.expectations]
ROW_RULES, TABLE_RULES = (
    [
        pytest.param(name, rule, id=f"{name}/{rule.name}")
        for name, rule in RULES
        if rule.rule == sort and rule.on != "balance"
    ]
    for sort in ("row", "table")
)


@cache
def all_broken(name: str) -> tuple[Verdict, dict[str, set[str | None]]]:
    """Judge, in one batch, every row that breaks a row rule of a suite; return the units meant for each rule too.

    Each row is a unit of its own, unless it is its unit that is broken.
    """
    table = BY_IDENTIFIER[name]
    unit = unit_column(table)
    rows, meant = [GOOD[name]], defaultdict[str, set[str | None]](set)
    for rule in read_suite(FOLDER, table).expectations:
        for broken in (batch[-1] for batch in breaking(table, rule) if rule.rule == "row"):
            named = broken if broken[unit] != GOOD[name][unit] else {**broken, unit: f"{len(rows):032x}"}
            rows.append(named)
            meant[rule.name].add(named[unit])
    return judged(table, rows), meant


@pytest.mark.parametrize("name", [table.identifier for table in SHARED])
def test_good_rows_pass_every_expectation_of_their_suite(name: str) -> None:
    verdict = judged(BY_IDENTIFIER[name], [GOOD[name]])
    assert [r.expectation for r in verdict.results if not r.success] == []
    assert len(verdict.results) == len(read_suite(FOLDER, BY_IDENTIFIER[name]).expectations)
    assert verdict.passed and verdict.refusals.num_rows == 0


@pytest.mark.parametrize(("name", "rule"), ROW_RULES)
def test_a_row_that_breaks_a_row_rule_is_refused_by_it(name: str, rule: Expectation) -> None:
    assert breaking(BY_IDENTIFIER[name], rule), f"{name}/{rule.name} has no breaking example in BREAKS: add one"
    verdict, meant = all_broken(name)
    refused = [r for r in verdict.refusals.to_pylist() if r["rule"] == f"{name}/{rule.name}"]
    units = [r["unit"] for r in refused]
    assert meant[rule.name] <= set(units) and len(set(units)) == len(units)
    assert GOOD[name][unit_column(BY_IDENTIFIER[name])] not in units
    assert {r["reason"] for r in refused} == {rule.reason}
    (result,) = [r for r in verdict.results if r.expectation == rule.name]
    assert not result.success and result not in verdict.failed_tables
    assert result.bad >= len(units) and result.observed == pytest.approx(100 * result.bad / result.rows)


@pytest.mark.parametrize(("name", "rule"), TABLE_RULES)
def test_rows_that_break_a_table_rule_fail_the_batch(name: str, rule: Expectation, tmp_path: Any) -> None:
    """Alone in its suite, so that it is this rule that fails."""
    batches = breaking(BY_IDENTIFIER[name], rule)
    assert batches, f"{name}/{rule.name} has no breaking example in BREAKS: add one"
    suite = json.loads((FOLDER / f"{name}.json").read_text())
    suite["expectations"] = [item for item in suite["expectations"] if item["meta"]["notelake"]["name"] == rule.name]
    (tmp_path / f"{name}.json").write_text(json.dumps(suite))
    for rows in batches:
        verdict = judged(BY_IDENTIFIER[name], rows, tmp_path)
        assert [(r.expectation, r.success, r.rows) for r in verdict.failed_tables] == [(rule.name, False, len(rows))]
        assert not verdict.passed and verdict.refusals.num_rows == 0


@pytest.mark.parametrize("lost", [2, -2])
def test_what_is_lost_or_comes_twice_fails_the_batch_and_stands_in_the_figures(lost: int) -> None:
    subject = Subject(LEDGER, None, None, f"(SELECT 9::BIGINT AS seen, {lost}::BIGINT AS lost)")
    verdict = audit([subject], folder=FOLDER, connect=duckdb.connect)
    assert [(r.expectation, r.observed, r.bad, r.rows) for r in verdict.failed_tables] == [("nothing_lost", lost, 2, 9)]
    assert len(verdict.results) == 1


def test_more_than_twenty_bad_rows_are_all_refused_by_stock_and_by_query_rules() -> None:
    rows = [{**GOOD["notes.notes"], "note_id": f"{n:032x}", "kind": "?", "title": ""} for n in range(500)]
    verdict = judged(NOTES, rows)
    for rule in ("notes.notes/kind_known", "notes.notes/title_not_empty"):
        assert {r["unit"] for r in verdict.refusals.to_pylist() if r["rule"] == rule} == {
            row["note_id"] for row in rows
        }
    (kind,) = [r for r in verdict.results if r.expectation == "kind_known"]
    assert (kind.bad, kind.rows, kind.observed) == (500, 500, 100.0)


@pytest.mark.parametrize(
    "change",
    [
        {
            "type": "unexpected_rows_expectation",
            "kwargs": {"unexpected_rows_query": "SELECT nothing_like_it FROM {batch}"},
        },
        {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "no_such_column"}},
        {"type": "expect_the_impossible", "kwargs": {}},
    ],
    ids=["query", "column", "type"],
)
def test_an_exception_inside_an_expectation_raises_and_closes_the_connection(tmp_path: Any, change: Row) -> None:
    suite = json.loads((FOLDER / "ops.ledger.json").read_text())
    suite["expectations"][0].update(change)
    (tmp_path / "ops.ledger.json").write_text(json.dumps(suite))
    with pytest.raises(AuditBroken, match=r"ops\.ledger"):
        judged(LEDGER, [GOOD["ops.ledger"]], tmp_path)


@pytest.mark.parametrize("text", [None, "[", "{}"])
def test_a_suite_that_cannot_be_read_breaks_the_audit(tmp_path: Any, text: str | None) -> None:
    if text is not None:
        (tmp_path / "ops.ledger.json").write_text(text)
    with pytest.raises(AuditBroken, match="is no suite"):
        judged(LEDGER, [GOOD["ops.ledger"]], tmp_path)


def test_exceptions_are_found_flat_and_nested() -> None:
    info = {"raised_exception": True, "exception_message": "boom"}
    assert raised(info) == raised({"a metric": {"raised_exception": False}, "another": info}) == "boom"
    assert raised({"raised_exception": False, "exception_message": None}) is None


@pytest.mark.parametrize(("weights", "holds"), [([0.5, 0.5], True), ([0.01, 0.99], False)])
def test_a_rule_that_needs_what_is_imported_later_is_judged(weights: list[float], holds: bool, tmp_path: Any) -> None:
    rule = {
        "type": "expect_column_kl_divergence_to_be_less_than",
        "kwargs": {
            "column": "status",
            "partition_object": {"values": ["committed", "failed"], "weights": weights},
            "threshold": 0.1,
        },
        "description": "As many as ever.",
        "meta": {"notelake": {"name": "spread", "rule": "table", "reason": "they are others"}},
    }
    (tmp_path / "ops.ledger.json").write_text(json.dumps({"expectations": [rule]}))
    rows = [GOOD["ops.ledger"] | {"status": status} for status in ("committed", "failed")]
    assert [each.success for each in judged(LEDGER, rows, tmp_path).results] == [holds]


def test_what_is_not_asked_is_not_judged() -> None:
    rows = pa.Table.from_pylist([GOOD["notes.notes"]] * 2, schema=NOTES.schema)
    con = duckdb.connect()
    con.register("arrived", rows)
    verdict = audit([Subject(NOTES, "arrived", None)], folder=FOLDER, connect=lambda: con)
    assert "key_unique" not in {r.expectation for r in verdict.results} and verdict.passed


TEXTS = st.sampled_from(["", " ", "a", "\n", "ü", "..", "a b", "x" * 2001])
KINDS = st.sampled_from(["document", "row", "event", "other"])


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(TEXTS, KINDS, st.integers(-2, 2) | st.none()), min_size=1, max_size=40))
def test_refusals_equal_a_plain_oracle(cases: list[tuple[str, str, int | None]]) -> None:
    rows = [
        {**GOOD["notes.notes"], "note_id": f"{n:032x}", "title": title, "kind": kind, "word_count": words}
        for n, (title, kind, words) in enumerate(cases)
    ]
    oracle: dict[str, Callable[[Row], bool]] = {
        "title_not_empty": lambda row: row["title"].strip() == "",
        "title_of_sane_length": lambda row: len(row["title"]) > 2000,
        "kind_known": lambda row: row["kind"] == "other",
        "word_count_not_negative": lambda row: row["word_count"] is not None and row["word_count"] < 0,
    }
    expected = {(row["note_id"], f"notes.notes/{name}") for name, bad in oracle.items() for row in rows if bad(row)}
    refusals = judged(NOTES, rows).refusals.to_pylist()
    assert {(r["unit"], r["rule"]) for r in refusals} == expected and len(refusals) == len(expected)


def test_great_expectations_itself_reads_every_suite_in_full() -> None:
    from great_expectations import ExpectationSuite

    for table in SHARED:
        text = json.loads((FOLDER / f"{table.identifier}.json").read_text())
        # An expectation it cannot build is logged and left out, so count.
        assert len(ExpectationSuite(**text).expectations) == len(text["expectations"])


def test_great_expectations_still_needs_a_connection_that_is_kept() -> None:
    """Fails once the stock engine works on DuckDB: then `_OneConnection` can go."""
    import sqlalchemy as sa
    from great_expectations.execution_engine import SqlAlchemyExecutionEngine

    engine = SqlAlchemyExecutionEngine(engine=sa.create_engine("duckdb:///:memory:"))
    with pytest.raises(Exception):  # noqa: B017, PT011 -- which error it is depends on what was closed first
        assert engine.execute_query(sa.text("SELECT 1")).fetchall() == [(1,)]


def test_reading_suites_does_not_import_great_expectations() -> None:
    code = "import sys, dagster_project.audit.suites, dagster_project.audit.verdict\n"
    code += "print('great_expectations' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_the_audit_prints_nothing_and_writes_no_file(tmp_path: Any, monkeypatch: Any, capfd: Any) -> None:
    monkeypatch.chdir(tmp_path)
    judged(NOTES, [{**GOOD["notes.notes"], "title": ""}])
    assert capfd.readouterr() == ("", "") and list(tmp_path.iterdir()) == []


def in_a_transaction() -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    con.register("arrived", pa.Table.from_pylist([GOOD["notes.tags"]], schema=TAGS.schema))
    return con.begin()


def test_a_connection_that_has_a_transaction_open_is_no_obstacle() -> None:
    assert audit([Subject(TAGS, "arrived", "arrived")], folder=FOLDER, connect=in_a_transaction).passed


def test_sqlalchemy_still_begins_a_transaction_within_a_transaction() -> None:
    """Fails once it does not: then `_NoTransactions` can go. The second user was once GX's inspector."""
    engine = sqlalchemy.create_engine(
        "duckdb:///:memory:",
        creator=lambda: duckdb_engine.ConnectionWrapper(duckdb.connect()),
        poolclass=sqlalchemy.pool.StaticPool,
    )
    with engine.connect() as first, engine.connect() as second:
        first.execute(sqlalchemy.text("SELECT 1"))
        with pytest.raises(Exception, match="cannot start a transaction within a transaction"):
            second.execute(sqlalchemy.text("SELECT 1"))
    engine.dispose()


def test_audits_in_threads_and_in_each_other_judge_alike() -> None:
    """One audit begins another while it runs, as a second run does at a failpoint; three threads do so at once."""

    def nested() -> tuple[Verdict, Verdict]:
        inner: list[Verdict] = []

        def connect() -> duckdb.DuckDBPyConnection:
            inner.append(judged(TAGS, [{**GOOD["notes.tags"], "tag": " a"}]))
            con = duckdb.connect()
            con.register("arrived", pa.Table.from_pylist([GOOD["notes.tags"]], schema=TAGS.schema))
            return con

        return audit([Subject(TAGS, "arrived", "arrived")], folder=FOLDER, connect=connect), inner[0]

    with ThreadPoolExecutor(3) as pool:
        pairs = list(pool.map(lambda _: nested(), range(3)))
    for outer, inner in pairs:
        assert outer.refusals.num_rows == 0 and {r.success for r in outer.results} == {True}
        assert [r["rule"] for r in inner.refusals.to_pylist()] == ["notes.tags/tag_is_clean"]


def test_names_and_the_reference_page_tell_every_expectation() -> None:
    page = suites_markdown(FOLDER)
    for table in SHARED:
        for name, rule, description in expectation_names(FOLDER, table):
            assert f"| `{name}` | {rule} | {description} |" in page
