"""`notelake sql --dialect`: another dialect on what a lake serves, shown, run and refused."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner, Result

from dagster_project.cli import main


@pytest.fixture
def lake(tmp_path: Path) -> str:
    with duckdb.connect(str(tmp_path / "lake.duckdb")) as con:
        con.execute(
            "CREATE SCHEMA notes; CREATE VIEW notes.notes AS SELECT 7 AS words, ['a', 'b'] AS tags, DATE '2020-05-10' AS day"
        )
    return str(tmp_path)


def notelake(*words: str) -> Result:
    return CliRunner().invoke(main, list(words), catch_exceptions=False)


def test_a_query_of_athena_runs_by_the_types_of_the_views(lake: str) -> None:
    query = "SELECT words / 2 AS half, element_at(tags, -1) AS last, day_of_week(day) AS weekday FROM notes.notes;"
    done = notelake("sql", "--dialect", "athena", "--format", "csv", "--lake", lake, query)
    assert (done.exit_code, done.stdout.splitlines()) == (0, ["half,last,weekday", "3,b,7"])


def test_explain_shows_the_duckdb_sql_and_runs_nothing(lake: str) -> None:
    done = notelake("sql", "--dialect", "redshift", "--explain", "--lake", lake, "SELECT len('a') FROM notes.notes")
    assert (
        done.exit_code == 0 and done.output == 'SELECT CAST(length(\'a\') AS INTEGER) AS "_col0" FROM "notes"."notes"\n'
    )


def test_what_is_refused_is_wrong_use_and_named(lake: str) -> None:
    done = notelake("sql", "--dialect", "athena", "--lake", lake, "SELECT approx_distinct(words) FROM notes.notes")
    assert done.exit_code == 2 and "count(DISTINCT x)" in done.stderr


def test_a_prepared_statement_is_kept_with_the_lake_and_runs_with_its_values(lake: str) -> None:
    ask = ("sql", "--dialect", "athena", "--format", "csv", "--lake", lake)
    assert notelake(*ask, "PREPARE wordy FROM SELECT words + ? AS more FROM notes.notes WHERE day >= ?").exit_code == 0
    assert notelake(*ask, "EXECUTE wordy USING 3, DATE '2020-01-01'").stdout == "more\n10\n"
    assert notelake(*ask, "EXECUTE wordy USING 'a', DATE '2020-01-01'").exit_code == 2
    assert "has 2 parameters" in notelake(*ask, "EXECUTE wordy USING 3").stderr
    assert notelake(*ask, "DEALLOCATE PREPARE wordy").exit_code == 0
    assert "No prepared statement is called wordy" in notelake(*ask, "EXECUTE wordy USING 3").stderr


def test_an_unload_runs_through_the_command_prepared_or_not(lake: str, tmp_path: Path) -> None:
    ask = ("sql", "--dialect", "athena", "--lake", lake)
    to = f"TO '{tmp_path}/out/' WITH (format = 'JSON')"
    prepared = notelake(*ask, f"PREPARE away FROM UNLOAD (SELECT words, tags FROM notes.notes WHERE words > ?) {to}")
    assert prepared.exit_code == 0, prepared.stderr
    done = notelake(*ask, "EXECUTE away USING 1")
    assert done.exit_code == 0 and done.stderr.startswith("1 row, "), done.stderr
    (made,) = (tmp_path / "out").iterdir()
    assert gzip.decompress(made.read_bytes()) == b'{"words":7,"tags":["a","b"]}\n'
    assert notelake(*ask, "--explain", "EXECUTE away USING 1").stdout.startswith("SELECT ")
    again = notelake(*ask, "EXECUTE away USING 1")
    assert again.exit_code == 2 and "is not empty" in again.stderr
    kept = [json.loads(line) for line in (Path(lake) / "queries.jsonl").read_text().splitlines()]
    assert [(row["statement_type"], row["state"]) for row in kept] == [
        ("UTILITY", "SUCCEEDED"), ("DML", "SUCCEEDED"), ("DML", "FAILED")
    ]  # fmt: skip
    assert kept[1]["output_location"] == f"{tmp_path}/out/"
