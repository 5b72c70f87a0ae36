"""Claims of whole runs over table sources: what is nested, drifts, is copied or goes, from the file to the view."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb

from dagster_project.lake.lake import Lake, open_lake
from dagster_project.pipeline import run_source
from dagster_project.settings import settings
from dagster_project.sources import NoteMapping, TableSource
from dagster_project.steps.serve import serve


def ask(lake: Lake, query: str) -> list[tuple[Any, ...]]:
    serve(lake)
    with duckdb.connect() as con:
        con.execute(f"ATTACH '{lake.settings.view_file}' AS served (READ_ONLY); USE served")
        return con.execute(query).fetchall()


def test_a_table_that_is_nested_and_drifts_is_told_from_the_file_to_the_view(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    lake = open_lake(settings(str(tmp_path / "lake")), clock=lambda: datetime.now(UTC), ids=lambda: uuid4().hex)
    source = TableSource(name="t", path=str(folder), mode="history", note=NoteMapping(key=("id",), title="name"))

    def run(source: TableSource = source) -> tuple[int, ...]:
        counts = run_source(lake, source).counts
        assert counts.is_balanced
        return counts.seen, counts.unchanged, counts.committed, counts.removed, counts.duplicate, counts.quarantined

    (folder / "a.jsonl").write_text('{"id":1,"name":"x","o":{"a":[1,2],"b":{"c":"z"}}}\n{"id":2,"name":"y"}\n')
    assert run() == (2, 0, 2, 0, 0, 0)
    assert ask(lake, "SELECT o.b.c, unnest(o.a) FROM tables.t") == [("z", 1), ("z", 2)]
    (folder / "a.jsonl").write_text('{"id":1,"name":"x2"}\n{"id":3,"name":"w"}\n')
    assert run() == (3, 0, 2, 1, 0, 0)
    assert ask(lake, "SELECT id, name, is_current FROM tables.t ORDER BY ALL") == [
        (1, "x", False),
        (1, "x2", True),
        (2, "y", False),
        (3, "w", True),
    ]
    assert ask(lake, "SELECT id, _file, _row FROM raw.t WHERE _op = 'gone'") == [(2, "a.jsonl", 2)]
    (folder / "b.jsonl").write_text('{"id":"n","name":"v","o":{"a":[1],"new":1}}\n')
    shutil.copy(folder / "b.jsonl", folder / "c.jsonl")
    assert run() == (4, 2, 1, 0, 1, 0)
    merged = source.model_copy(update={"mode": "merge"})
    assert run(merged) == (4, 4, 0, 0, 0, 0)
    rows = ask(lake, "SELECT coalesce(id::VARCHAR, id__text), o FROM tables.t ORDER BY 1")
    assert rows == [("1", None), ("3", None), ("n", {"a": [1], "b": None, "new": 1})]
    assert ask(lake, "SELECT o.new, o.b.c FROM raw.t WHERE o.b IS NOT NULL") == [(None, "z")]
    assert ask(lake, "SELECT path FROM notes.notes ORDER BY 1") == [("1",), ("3",), ("n",)]
    merged = source.model_copy(update={"mode": "merge", "child_tables": True})
    assert run(merged)[:2] == (4, 4)
    elements = (
        "SELECT coalesce(_parent_id::VARCHAR, _parent_id__text), value, _ordinal FROM tables.t__o__a ORDER BY ALL"
    )
    assert ask(lake, elements) == [("n", 1, 1)]
    assert run(source.model_copy(update={"child_tables": ("o.a", "name")}))[:2] == (4, 4)
    assert ask(lake, elements) == [("1", 1, 1), ("1", 2, 2), ("n", 1, 1)]
    assert run(merged)[:2] == (4, 4)
    location = lake.pins(["raw.t"])["raw.t"].metadata_location
    assert run(merged)[:2] == (4, 4)
    assert lake.pins(["raw.t"])["raw.t"].metadata_location == location
