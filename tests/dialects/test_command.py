"""`notelake sql --dialect`: another dialect on what a lake serves, shown, run and refused."""

from __future__ import annotations

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
