"""A table rule that breaks refuses the batch: the last good state is served, and the other sources are not harmed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from dagster_project.settings import PACKAGE

RULE = {
    "type": "unexpected_rows_expectation",
    "kwargs": {"unexpected_rows_query": "SELECT note_id FROM {batch} WHERE source = 'sheet'"},
    "description": "Nothing comes from the sheet today.",
    "severity": "critical",
    "meta": {"notelake": {"name": "no_sheet", "rule": "table", "on": "staged", "reason": "it is from the sheet"}},
}


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set what the suite of notes.notes holds beyond its own rules, in a project of this test's own."""
    shutil.copytree(PACKAGE.parent / "expectations", tmp_path / "project" / "expectations")
    monkeypatch.setenv("NOTELAKE_PROJECT", str(tmp_path / "project"))
    file = tmp_path / "project" / "expectations" / "notes.notes.json"
    own = json.loads(file.read_text())

    def write(*more: dict) -> None:
        file.write_text(json.dumps({**own, "expectations": [*own["expectations"], *more]}))

    return write


def of_sheet(tables: dict, *, but: tuple[str, ...]) -> dict:
    """Return the rows that come from the sheet, by table."""
    return {name: [row for row in rows if "sheet" in row] for name, rows in tables.items() if name not in but}


@pytest.mark.slow
def test_a_note_in_a_file_that_did_not_change_and_that_a_later_rule_refuses_is_counted_once(
    world, here, suite, tmp_path
) -> None:
    def export(*bodies: str) -> None:
        notes = "".join(
            f"<note><title>T{n}</title><content><![CDATA[<en-note>{body}</en-note>]]></content></note>"
            for n, body in enumerate(bodies)
        )
        world.note("all.enex", f"<?xml version='1.0'?>\n<en-export>{notes}</en-export>")

    lake = tmp_path / "lake"
    export("a", "b", "c")
    assert here(lake, world.sources[:1]).reports[0].error is None
    query = "SELECT note_id FROM {batch} WHERE title IN ('T0', 'T1')"
    ours = {"name": "no_t", "rule": "row", "on": "staged", "reason": "it is called so"}
    suite({**RULE, "kwargs": {"unexpected_rows_query": query}, "meta": {"notelake": ours}})
    export("A", "b", "c")
    report = here(lake, world.sources[:1]).reports[0]
    assert report.error is None and report.counts.is_balanced
    assert (report.counts.unchanged, report.counts.committed, report.counts.quarantined) == (4, 0, 2)
    with duckdb.connect(str(lake / "lake.duckdb"), read_only=True) as con:
        told = con.execute(
            "SELECT seen, committed, quarantined FROM ops.ledger WHERE path = 'all.enex' ORDER BY sequence"
        ).fetchall()
    assert told == [(3, 3, 0), (2, 0, 2)]


@pytest.mark.slow
def test_a_table_rule_that_breaks_refuses_its_batch_alone_until_it_is_mended(
    world, here, tables_of, without_sequence, served, suite, tmp_path
) -> None:
    lake = tmp_path / "lake"
    here(lake, world.sources)
    before, served_before = tables_of(lake), served(lake)

    suite(RULE)
    world.step(1)
    vault, sheet, live = here(lake, world.sources).reports
    refused = tables_of(lake)
    assert (vault.error, live.error) == (None, None)
    assert vault.counts.committed > 0 and live.counts.committed > 0
    assert sheet.error.startswith("AuditFailed") and "notes.notes/no_sheet" in sheet.error
    assert sheet.batches == () and sheet.has_trouble
    assert of_sheet(refused, but=("raw.sheet", "ops.audits")) == of_sheet(before, but=("raw.sheet", "ops.audits"))
    audits = {row for row in refused["ops.audits"] if "sheet" in row} - set(before["ops.audits"])
    assert [row[2:6] for row in audits if row[5] is False] == [("notes.notes", "no_sheet", "table", False)]
    assert len({row[0] for row in audits}) == 1
    assert len(refused["raw.sheet"]) > len(before["raw.sheet"])
    now = served(lake)
    assert now == {name: len(refused[name]) for name in now} != served_before

    again = here(lake, world.sources).reports[1]
    assert again.error == sheet.error
    assert tables_of(lake) == refused

    suite()
    mended = here(lake, world.sources).reports[1]
    assert mended.error is None and mended.counts.is_balanced
    assert mended.counts.committed > 0 and len(mended.batches) == 1
    here(tmp_path / "never_refused", world.sources[1:2])
    whole, mended_tables = tables_of(tmp_path / "never_refused"), tables_of(lake)
    of_mended = of_sheet(mended_tables, but=())["notes.notes"]
    assert without_sequence("notes.notes", of_mended) == without_sequence("notes.notes", whole["notes.notes"])
    assert served(lake) == {name: len(mended_tables[name]) for name in now}
