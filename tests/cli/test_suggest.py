"""`notelake suggest`: the rules a source has kept so far, which hold for it and are broken by what is not so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

from dagster_project.audit.expect import audit
from dagster_project.audit.verdict import Subject, Verdict
from dagster_project.cli import main
from dagster_project.contracts import EVENTS, NOTES, Table, raw_table
from dagster_project.suggest import LEAST_LANDINGS, as_text, suggest


def notelake(*words: str) -> Result:
    return CliRunner().invoke(main, list(words), catch_exceptions=False)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty notes, thirty rows and thirty events, each with something in common."""
    folder = tmp_path_factory.mktemp("sources")
    for name in ("vault", "order", "live"):
        (folder / name).mkdir()
    for n in range(30):
        status, owner = ("draft", "done")[n % 2], "" if n == 7 else "owner: ada\n"
        front = f"status: {status}\n{owner}rating: {n % 5}\ndue: '2026-05-{n + 1:02d}'\nit's {{odd}}/~: true\n"
        mixed = "mixed: 1\n" if n % 2 else "mixed: [1]\n"
        (folder / "vault" / f"{n}.md").write_text(f"---\n{front}{mixed}---\n# Note {n}\n", "utf-8")
    rows = "".join(f"k{n},{('low', 'high')[n % 2]},{n / 2},2026-05-{n + 1:02d}\n" for n in range(30))
    (folder / "order" / "rows.csv").write_text(f"id,level,price,day\n{rows}", "utf-8")
    events = [
        {"id": f"e{n}", "type": "note.created", "time": f"2026-05-14T09:{n:02d}:00Z", "detail": {"path": f"n{n}"}}
        for n in range(30)
    ]
    (folder / "live" / "a.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events), "utf-8")
    for name in ("vault", "order", "live"):
        assert notelake("ingest", str(folder / name), "--name", name, "--lake", str(folder / "lake")).exit_code == 0
    return folder / "lake"


def suggested(lake: Path, source: str, project: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("NOTELAKE_PROJECT", str(project))
    done = notelake("suggest", source, "--lake", str(lake))
    assert done.exit_code == 0, done.output
    (file,) = (project / "expectations" / "suggested" / source).iterdir()
    assert str(file) in done.stderr
    return json.loads(file.read_text("utf-8"))


def judged(lake: Path, table: Table, relation: str, folder: Path) -> Verdict:
    def connect() -> duckdb.DuckDBPyConnection:
        con = duckdb.connect()
        con.execute(f"ATTACH '{lake / 'lake.duckdb'}' AS served (READ_ONLY)")
        return con

    standing = f'served.tables."{table.name}"' if table.namespace == "raw" else None
    return audit([Subject(table, relation, standing)], folder=folder, connect=connect)


TABLES = {"vault": NOTES, "order": raw_table("order", "table"), "live": EVENTS}


@pytest.mark.parametrize("source", TABLES)
def test_every_proposed_rule_holds_for_what_it_came_from_and_says_why(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    suite = suggested(lake, source, tmp_path, monkeypatch)
    table = TABLES[source]
    namespace, name = table.identifier.split(".")
    folder = tmp_path / "expectations" / "suggested" / source
    verdict = judged(lake, table, f'served.{namespace}."{name}"', folder)
    assert suite["name"] == table.identifier
    assert len(verdict.results) == len(suite["expectations"]) > 3
    assert [result.expectation for result in verdict.results if not result.success] == []
    assert all(rule["meta"]["suggested"]["because"] for rule in suite["expectations"])


def names(suite: dict[str, Any]) -> set[str]:
    return {rule["meta"]["notelake"]["name"] for rule in suite["expectations"]}


def test_notes_are_proposed_presence_types_sets_ranges_dates_and_unique_titles(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = suggested(lake, "vault", tmp_path, monkeypatch)
    found = names(suite)
    assert {"title_present", "title_unique", "status_present", "status_known", "status_is_text"} <= found
    assert {"rating_present", "rating_in_range", "rating_is_number", "due_is_date", "it_s_odd_is_boolean"} <= found
    assert not {"owner_present", "due_unique"} & found, "one note has no owner; dates may come twice"
    assert not [name for name in found if name.startswith("mixed")]
    (nearly,) = suite["meta"]["suggested"]["nearly"]
    assert nearly == {"name": "owner", "given": 29, "of": 30, "lacking": "7.md"}


def test_rows_are_proposed_the_same_for_their_columns(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = names(suggested(lake, "order", tmp_path, monkeypatch))
    assert {"id_present", "id_unique", "level_known", "price_in_range"} <= found


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ('properties: json_merge_patch(properties, \'{"status": "lost"}\')', "status_known"),
        ("properties: json_merge_patch(properties, '{\"status\": null}')", "status_present"),
        ("properties: json_merge_patch(properties, '{\"rating\": 99}')", "rating_in_range"),
        ('properties: json_merge_patch(properties, \'{"rating": "3"}\')', "rating_is_number"),
        ('properties: json_merge_patch(properties, \'{"due": "soon"}\')', "due_is_date"),
    ],
)
def test_what_is_not_so_breaks_the_rule(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, broken: str
) -> None:
    suggested(lake, "vault", tmp_path, monkeypatch)
    column, sql = change.split(": ", 1)
    value = f"CASE WHEN path = '3.md' THEN {sql}::VARCHAR ELSE {column} END AS {column}"
    changed = f"(SELECT * REPLACE ({value}) FROM served.notes.notes)"
    verdict = judged(lake, NOTES, changed, tmp_path / "expectations" / "suggested" / "vault")
    failed = {result.expectation: result.bad for result in verdict.results if not result.success}
    assert failed.get(broken) == 1
    assert verdict.refusals.num_rows >= 1


def test_a_title_that_comes_twice_breaks_the_batch(lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suggested(lake, "vault", tmp_path, monkeypatch)
    changed = (
        "(SELECT * REPLACE (CASE WHEN path = '3.md' THEN 'Note 4' ELSE title END AS title) FROM served.notes.notes)"
    )
    verdict = judged(lake, NOTES, changed, tmp_path / "expectations" / "suggested" / "vault")
    assert [result.expectation for result in verdict.failed_tables] == ["title_unique"]


def test_a_suite_goes_to_standard_output_or_a_file_and_too_little_suggests_nothing(lake: Path, tmp_path: Path) -> None:
    shown = notelake("suggest", "vault", "--out", "-", "--lake", str(lake))
    assert json.loads(shown.stdout)["name"] == "notes.notes"
    assert notelake("suggest", "vault", "--out", str(tmp_path / "s.json"), "--lake", str(lake)).exit_code == 0
    assert json.loads((tmp_path / "s.json").read_text("utf-8")) == json.loads(shown.stdout)
    assert notelake("suggest", "nobody", "--lake", str(lake)).exit_code == 2
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a.md").write_text("# A\n", "utf-8")
    small = ["--lake", str(tmp_path / "small")]
    assert notelake("ingest", str(tmp_path / "one"), *small).exit_code == 0
    assert "the least that suggest a rule" in notelake("suggest", "one", *small).stderr


def landed(con: duckdb.DuckDBPyConnection, landings: int) -> None:
    """Put a table source into `con` that landed 30 rows or a few more at a time, a quarter of them without an owner."""
    arrival = ", ".join(
        f'"{c.name}" {"BIGINT" if c.type == pa.int64() else "VARCHAR"}' for c in raw_table("x", "table").columns
    )
    arrival = arrival.replace('"_landed_at" VARCHAR', '"_landed_at" TIMESTAMPTZ')
    con.execute("SET TimeZone = 'UTC'; CREATE SCHEMA raw; CREATE SCHEMA ops; CREATE SCHEMA tables")
    con.execute(f"CREATE TABLE raw.crm ({arrival}, owner VARCHAR, updated_at TIMESTAMPTZ)")
    con.execute("CREATE VIEW tables.crm AS SELECT owner, updated_at, _file, _row FROM raw.crm WHERE sequence % 3 > 0")
    con.execute("CREATE TABLE ops.ledger AS SELECT 'crm' AS source, 'rows' AS op")
    for n in range(landings):
        at = f"TIMESTAMPTZ '2026-05-{n + 1:02d} 12:00:00+00'"
        con.execute(
            f"INSERT INTO raw.crm BY NAME SELECT 'put' AS _op, 'a.csv' AS _file, i AS _row, {n} * 100 + i AS sequence, "
            f"{at} AS _landed_at, CASE WHEN i % 4 > 0 THEN 'owner ' || i END AS owner, "
            f"{at} - INTERVAL 3 HOUR - i * INTERVAL 1 HOUR AS updated_at FROM range({30 + n}) AS r(i)"
        )


def watched(suite: dict[str, Any]) -> dict[str, str]:
    rules = {rule["meta"]["notelake"]["name"]: rule for rule in suite["expectations"]}
    return {name: rule["description"] for name, rule in rules.items() if rule["meta"]["notelake"]["rule"] == "watch"}


def test_from_its_landings_a_source_is_proposed_how_many_rows_what_is_missing_and_how_old_it_is() -> None:
    with duckdb.connect() as con:
        landed(con, LEAST_LANDINGS)
        assert watched(suggest(con, "crm")) == {
            "rows_as_usual": "A landing brings from 26 to 38 rows.",
            "owner_mostly_given": "`owner` is missing in at most 55 % of the rows, where there are 20.",
            "updated_at_fresh": "The newest `updated_at` is at most 6 hours old when it lands.",
        }


def test_prose_that_differs_in_every_row_is_not_proposed_to_be_unique() -> None:
    with duckdb.connect() as con:
        landed(con, 1)
        con.execute("UPDATE raw.crm SET owner = repeat('word ', 25) || sequence")
        assert "owner_unique" not in names(suggest(con, "crm"))
        con.execute("UPDATE raw.crm SET owner = sequence")
        assert "owner_unique" in names(suggest(con, "crm"))


def test_a_value_is_proposed_to_be_unique_among_the_rows_that_stand_whatever_stood_before() -> None:
    with duckdb.connect() as con:
        landed(con, 1)
        con.execute("UPDATE raw.crm SET owner = CASE WHEN sequence % 3 = 0 THEN 'before' ELSE sequence::VARCHAR END")
        (rule,) = [r for r in suggest(con, "crm")["expectations"] if r["meta"]["notelake"]["name"] == "owner_unique"]
        query = rule["kwargs"]["unexpected_rows_query"]
        assert rule["meta"]["notelake"]["on"] == "would_be"
        assert con.execute(query.format(batch="tables.crm")).fetchall() == []
        assert con.execute(query.format(batch="raw.crm")).fetchall() == [("before", 10)]
        con.execute("UPDATE raw.crm SET owner = 1")
        assert "owner_unique" not in names(suggest(con, "crm"))


def test_one_landing_tells_nothing_of_how_many_rows_are_usual() -> None:
    with duckdb.connect() as con:
        landed(con, LEAST_LANDINGS - 1)
        assert watched(suggest(con, "crm")).keys() == {"owner_mostly_given", "updated_at_fresh"}


@pytest.mark.parametrize(
    ("batch", "broken"),
    [
        ("SELECT * FROM raw.crm WHERE sequence >= 400", set()),
        ("SELECT * FROM raw.crm WHERE sequence BETWEEN 400 AND 409", {"rows_as_usual"}),
        ("SELECT * REPLACE (NULL AS owner) FROM raw.crm WHERE sequence >= 400", {"owner_mostly_given"}),
        (
            "SELECT * REPLACE (updated_at - INTERVAL 4 HOUR AS updated_at) FROM raw.crm WHERE sequence >= 400",
            {"updated_at_fresh"},
        ),
    ],
    ids=["as usual", "few rows", "owners missing", "old"],
)
def test_what_is_not_as_it_was_breaks_what_is_watched_and_refuses_nothing(
    tmp_path: Path, batch: str, broken: set[str]
) -> None:
    con = duckdb.connect()
    landed(con, LEAST_LANDINGS)
    (tmp_path / "raw.crm.json").write_text(as_text(suggest(con, "crm")), "utf-8")
    verdict = audit([Subject(raw_table("crm", "table"), f"({batch})", None)], folder=tmp_path, connect=lambda: con)
    failed = {result.expectation for result in verdict.results if not result.success and result.rule == "watch"}
    assert failed == broken
    assert verdict.passed and verdict.refusals.num_rows in (0, 34)
