"""`notelake sql`: what a query cost, the history, named queries, results in files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from dagster_project.cli import main
from dagster_project.contracts import NOTES
from dagster_project.lake.commit import Change, commit
from dagster_project.lake.lake import Lake
from dagster_project.lake.staging import Stager
from dagster_project.steps.serve import serve

Sql = Callable[..., Result]


@pytest.fixture
def sql(lake: Lake) -> Sql:
    with Stager(lake, NOTES, "vault") as stager:
        rows = [{**dict.fromkeys(NOTES.schema.names), "source": "vault", "note_id": f"n{i}"} for i in range(3)]
        stager.write(pa.Table.from_pylist(rows, schema=NOTES.schema))
        commit(lake, [Change(lake.pins()[NOTES.identifier], stager.close())], summary={})
    serve(lake)
    return lambda *words: CliRunner().invoke(main, ["sql", "--lake", lake.settings.lake, *words])


def test_what_a_query_cost_is_told_and_kept_and_what_is_too_dear_is_not_run(sql: Sql, tmp_path: Path) -> None:
    done = sql("SELECT count(note_id) AS n FROM notes.notes", "--format", "athena-csv")
    assert done.stdout == '"n"\n"3"\n'
    assert "1 row, " in done.stderr and " B scanned" in done.stderr
    refused = sql("FROM notes.notes", "--max-scan", "10B")
    assert refused.exit_code == 2 and "Nothing was run" in refused.stderr
    assert sql("FROM notes.notes", "--max-scan", "1 ton").exit_code == 2
    written = sql("SELECT note_id FROM notes.notes", "--dialect", "athena", "--output", str(tmp_path / "r.parquet"))
    assert written.exit_code == 0, written.stderr
    assert pq.read_table(tmp_path / "r.parquet").num_rows == 3
    assert sql("SELECT 1", "--output", str(tmp_path / "r.xyz")).exit_code == 2
    assert sql("SELECT nothing FROM notes.notes").exit_code == 2
    asked = (
        "SELECT state, dialect, output_rows, data_scanned_in_bytes > 0 AS has_cost, output_location FROM ops.queries"
    )
    kept = [
        json.loads(line)
        for line in sql(f"{asked} ORDER BY submission_date_time", "--format", "json").stdout.splitlines()
    ]
    assert [(row["state"], row["dialect"], row["output_rows"], row["has_cost"]) for row in kept] == [
        ("SUCCEEDED", "duckdb", 1, True),
        ("FAILED", "duckdb", None, None),
        ("SUCCEEDED", "athena", 3, True),
        ("FAILED", "duckdb", None, None),
    ]
    assert kept[2]["output_location"] == str(tmp_path / "r.parquet")
    named = sql("--named", "due_tasks", "--format", "csv")
    assert named.stdout.startswith("due_on,")
    assert "There are: 1_due_tasks" in sql("--named", "none").stderr
