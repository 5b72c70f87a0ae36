"""Reading the views and questions people write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest
from sqlglot import exp, parse_one

from dagster_project.contracts import SHARED
from dagster_project.errors import NotelakeError
from dagster_project.views.scans import CONTENTS
from dagster_project.views.sql_files import View, in_order, lineage, read_queries, read_views

ROOT = Path(__file__).parents[2]
TABLES = [table.identifier for table in SHARED]


def write(folder: Path, **views: str) -> Path:
    """Write `schema__name=sql` files, each with a header for one column x."""
    for name, sql in views.items():
        file = folder / (name.replace("__", "/") + ".sql")
        file.parent.mkdir(exist_ok=True)
        file.write_text(sql if sql.startswith("--") else f"-- A row is: a thing.\n-- x: The x\n{sql};\n", "utf-8")
    return folder


def test_a_view_comes_after_those_it_reads(tmp_path: Path) -> None:
    write(tmp_path, a__first="SELECT x FROM b.second", b__second="SELECT x FROM a.third", a__third="SELECT 1 AS x")
    assert [view.identifier for view in read_views(tmp_path)] == ["a.third", "b.second", "a.first"]


def test_dependencies_are_those_of_the_whole_statement_and_no_ctes(tmp_path: Path) -> None:
    write(
        tmp_path,
        a__v="WITH c AS (SELECT * FROM notes.links) SELECT 'raw.x' AS x FROM c, UNNEST([1]) AS t(y) "
        'WHERE EXISTS (SELECT 1 FROM "ops"."ledger") UNION ALL SELECT y FROM (SELECT y FROM notes.tags) AS n',
    )
    assert read_views(tmp_path)[0].depends_on == ("notes.links", "notes.tags", "ops.ledger")


def test_a_circle_is_told_with_its_members(tmp_path: Path) -> None:
    with pytest.raises(NotelakeError, match=r"a\.p -> .*a\.q|a\.q -> .*a\.p"):
        read_views(write(tmp_path, a__p="SELECT x FROM a.q", a__q="SELECT x FROM a.p"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("SELECT 1 AS x", "A row is"),
        ("-- A thing\nSELECT 1", "A row is"),
        ("-- A row is: a thing.\n-- no column here\nSELECT 1", ":2"),
        ("-- A row is: a thing.\nSELECT 1; SELECT 2", "single SELECT"),
        ("-- A row is: a thing.\nDROP TABLE notes.notes", "single SELECT"),
        ("-- A row is: a thing.\nSELECT FROM WHERE", "single SELECT"),
        ("-- A row is: a thing.\nSELECT 1 FROM links", "links without its schema"),
    ],
)
def test_a_file_that_breaks_the_contract_is_refused_by_name(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "broken.sql").write_text(text, "utf-8")
    with pytest.raises(NotelakeError, match=r"broken\.sql") as refusal:
        read_views(tmp_path)
    assert told in str(refusal.value)


def test_an_unknown_relation_is_refused_by_name(tmp_path: Path) -> None:
    views = read_views(write(tmp_path, a__v="SELECT x FROM notes.notse"))
    with pytest.raises(NotelakeError, match=r"v\.sql reads notes\.notse"):
        in_order(views, TABLES)


def test_only_a_tables_namesake_may_read_its_own_name(tmp_path: Path) -> None:
    views = read_views(write(tmp_path, a__v="SELECT x FROM a.v"))
    with pytest.raises(NotelakeError, match=r"reads a\.v"):
        in_order(views, TABLES)
    assert in_order(views, ["a.v"]) == views


def test_the_projects_views_stand_on_the_shared_tables_and_the_contents_of_files_alone(
    written_views: Sequence[View],
) -> None:
    assert in_order(written_views, [*TABLES, CONTENTS]) == tuple(written_views)
    assert len(written_views) >= 10


def test_sqlglot_sees_the_same_dependencies(written_views: Sequence[View]) -> None:
    for view in written_views:
        tables = parse_one(view.sql, dialect="duckdb").find_all(exp.Table)
        assert {f"{table.db}.{table.name}" for table in tables if table.db} == set(view.depends_on), view.identifier


@pytest.mark.parametrize("dialect", ["athena", "spark"])
def test_the_views_can_be_said_in_the_engines_of_the_cloud(written_views: Sequence[View], dialect: str) -> None:
    for view in written_views:
        assert parse_one(parse_one(view.sql, dialect="duckdb").sql(dialect), dialect=dialect), view.identifier


def test_lineage_follows_values_through_subqueries(tmp_path: Path) -> None:
    header = "-- A row is: a tag.\n-- tag: t\n-- uses: n\n-- first: f\n"
    sql = (
        "WITH u AS (SELECT lower(tag) AS tag, line FROM notes.tags JOIN notes.notes USING (note_id)) "
        "SELECT tag, count(*) AS uses, min(line) AS first FROM u GROUP BY tag"
    )
    [view] = read_views(write(tmp_path, a__v=header + sql))
    columns = {table.identifier: [column.name for column in table.columns] for table in SHARED if table.name != "notes"}
    columns["notes.notes"] = ["note_id"]
    found = lineage(view, columns)
    assert found == {"tag": [("notes.tags", "tag")], "uses": [], "first": [("notes.tags", "line")]}


def test_every_question_is_answered(shelf: Any, serve: Any, view_file: Path, written_views: Sequence[View]) -> None:
    queries = read_queries(ROOT / "sql" / "queries")
    assert len(queries) >= 3
    serve(shelf.shared(), written_views)
    with duckdb.connect(str(view_file), read_only=True) as lake:
        for query in queries:
            assert query.question.endswith("?") and lake.execute(query.sql).fetchall() == []
