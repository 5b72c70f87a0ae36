"""A table source's own suite: proposed from what it brought, and the next run refuses by name what breaks it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner, Result

from dagster_project.cli import main
from dagster_project.errors import UsageError
from dagster_project.pipeline import Run
from dagster_project.settings import PACKAGE
from dagster_project.sources import NoteMapping, Source, TableSource
from dagster_project.suggest import put_in_force

BAD = "bad,lost,1,t1,1\nworse,low,999,t2,\nbad2,lost,99,t3,1\n"


def notelake(*words: str) -> Result:
    return CliRunner().invoke(main, list(words), catch_exceptions=False)


def ask(lake: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(lake / "lake.duckdb"), read_only=True) as con:
        return con.execute(query).fetchall()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of this test's own, with the suites as they are shipped."""
    shutil.copytree(PACKAGE.parent / "expectations", tmp_path / "project" / "expectations")
    monkeypatch.setenv("NOTELAKE_PROJECT", str(tmp_path / "project"))
    return tmp_path / "project"


def figures(lake: Path, suite: str) -> dict[str, float]:
    """Return the figures of the newest batch."""
    newest = "(SELECT max(batch_id) FROM ops.audits)"
    query = f"SELECT expectation, observed FROM ops.audits WHERE rule = 'figure' AND batch_id = {newest}"
    return dict(ask(lake, f"{query} AND suite = '{suite}'"))


def suite_of(file: Path) -> list[dict[str, Any]]:
    return json.loads(file.read_text())["expectations"]


def rows(start: int, end: int, level: str = "low") -> str:
    return "".join(
        f"k{n},{level if n % 2 else 'high'},{n % 7},title {n},{n if n % 4 else ''}\n" for n in range(start, end)
    )


@pytest.mark.slow
def test_a_suite_that_was_proposed_and_written_is_read_by_the_next_run_and_refuses_a_bad_row_by_name(
    tmp_path: Path, project: Path
) -> None:
    source, lake = tmp_path / "orders", tmp_path / "lake"
    source.mkdir()

    def ingest() -> int:
        return notelake("ingest", str(source), "--name", "orders", "--kind", "table", "--lake", str(lake)).exit_code

    (source / "a.csv").write_text("id,level,price,title,seats\n" + rows(0, 40))
    assert ingest() == 0
    written = notelake("suggest", "orders", "--write", "--lake", str(lake))
    assert written.exit_code == 0, written.output
    file = project / "expectations" / "raw.orders.json"
    assert str(file) in written.stderr
    assert "0 rules were added" in notelake("suggest", "orders", "--write", "--lake", str(lake)).stderr

    (source / "b.csv").write_text("id,level,price,title,seats\n" + rows(40, 45) + BAD)
    assert ingest() == 3
    refused = ask(lake, "SELECT key, rule FROM ops.quarantine WHERE source = 'orders' ORDER BY ALL")
    assert refused == [
        ("bad", "raw.orders/level_known"),
        ("bad2", "raw.orders/level_known"),
        ("bad2", "raw.orders/price_in_range"),
        ("worse", "raw.orders/price_in_range"),
    ]
    assert ask(lake, "SELECT count(*) FROM notes.notes") == [(45,)]
    assert ask(lake, "SELECT count(*), max(price) FROM tables.orders") == [(45, 6)], "refused rows are not current"
    balance = ask(lake, "SELECT seen, committed, quarantined FROM ops.ledger WHERE path = 'b.csv'")
    assert balance == [(8, 5, 3)]
    audited = "SELECT success, bad, rows FROM ops.audits WHERE suite = 'raw.orders' AND expectation = 'level_known'"
    assert ask(lake, audited) == [(False, 2, 8)]
    assert figures(lake, "raw.orders") == {
        "count(*)": 8, "nulls(id)": 0, "nulls(level)": 0, "nulls(price)": 0, "nulls(title)": 0, "nulls(seats)": 37.5,
        "min(price)": 0, "max(price)": 999, "min(seats)": 1, "max(seats)": 43,
    }  # fmt: skip
    told = figures(lake, "notes.notes")
    assert (told["count(*)"], told["standing(*)"]) == (5, 45)
    assert {"seats_mostly_given", "price_in_range"} <= {rule["meta"]["notelake"]["name"] for rule in suite_of(file)}

    suite = {"expectations": suite_of(file)}
    for rule in suite["expectations"]:
        rule["meta"]["notelake"]["rule"] = "watch"
    file.write_text(json.dumps(suite))
    (source / "c.csv").write_text("id,level,price,title,seats\n" + rows(50, 54, "lost"))
    assert ingest() == 0
    assert ask(lake, "SELECT count(*) FROM notes.notes") == [(49,)], "a rule that is watched refuses nothing"
    assert ask(lake, f"{audited} AND rule = 'watch'") == [(False, 2, 4)]
    assert notelake("quarantine", "release", "orders", "--lake", str(lake)).exit_code == 0
    assert ask(lake, "SELECT count(*) FROM notes.notes") == ask(lake, "SELECT count(*) FROM tables.orders") == [(52,)]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["replace", "merge"])
def test_a_value_is_unique_among_the_rows_that_would_stand_not_only_among_those_that_arrive(
    tmp_path: Path, project: Path, here: Callable[[Path, list[Source]], Run], mode: Any
) -> None:
    folder = tmp_path / "talks"
    folder.mkdir()
    mapping = NoteMapping(key=("id",), title="title")
    source = TableSource(name="talks", path=str(folder), note=mapping, mode=mode)
    query = "SELECT room, count(*) AS rows FROM {batch} WHERE room IS NOT NULL GROUP BY room HAVING count(*) > 1"
    ours = {"name": "room_unique", "rule": "table", "on": "would_be", "reason": "two talks are in one room"}
    rule = {"type": "unexpected_rows_expectation", "kwargs": {"unexpected_rows_query": query}}
    suite = {"name": "raw.talks", "expectations": [rule | {"description": "One a room.", "meta": {"notelake": ours}}]}
    (project / "expectations" / "raw.talks.json").write_text(json.dumps(suite))

    def error(file: str, text: str) -> str | None:
        (folder / file).write_text("id,title,room\n" + text)
        return here(tmp_path / "lake", [source]).reports[0].error

    assert error("a.csv", "1,One,north\n2,Two,south\n") is None
    assert error("a.csv", "1,First,north\n2,Two,south\n") is None, "rows that make way are not counted"
    assert error("b.csv", "3,Three,east\n") is None
    if mode == "merge":
        assert error("c.csv", "2,Two,west\n4,Four,south\n") is None, "the room is free, for a later row has its key"
    assert "raw.talks/room_unique (observed 1.0)" in (error("d.csv", "5,Five,north\n") or "")


def test_rules_that_are_there_stay_as_they_are_and_shared_suites_are_not_written_to(tmp_path: Path) -> None:
    def proposed(*names: str) -> dict[str, Any]:
        return {"name": "raw.x", "meta": {}, "expectations": [{"kwargs": "new", "meta": a_rule(n)} for n in names]}

    def a_rule(name: str) -> dict[str, Any]:
        return {"notelake": {"name": name}}

    (tmp_path / "raw.x.json").write_text(json.dumps({"expectations": [{"kwargs": "mended", "meta": a_rule("a")}]}))
    file, added = put_in_force(proposed("a", "b", "b"), tmp_path)
    kept = [(rule["kwargs"], rule["meta"]["notelake"]["name"]) for rule in json.loads(file.read_text())["expectations"]]
    assert (added, kept) == (2, [("mended", "a"), ("new", "b"), ("new", "b_2")])
    with pytest.raises(UsageError, match="is shared by all sources"):
        put_in_force({**proposed("a"), "name": "notes.notes"}, tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["raw.x.json"]
    with pytest.raises(UsageError, match=r"copy .* there first"):
        put_in_force(proposed("a"), tmp_path / "none")
