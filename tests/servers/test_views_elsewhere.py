"""The views of sql/views mean the same elsewhere: every row of each as DuckDB, Spark SQL and Trino show it.

Trino comes by hand: `TRINO=1 tests/servers/install.sh` brings 820 MB and takes Java 24 or newer.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from dagster_project.settings import Settings
from dagster_project.views.sql_files import without_header

from .conftest import opened
from .daemons import SERVERS
from .trino import ask, trino
from .view_rows import ROOT, derive, here, portable, standing, texts

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]  # takes the servers of `make test-servers`, and minutes

HERE_ONLY = {
    "notes.resolved_links",
    "notes.version_texts",
    "ops.inputs",
    "quality.anomalies",
    "quality.exact_duplicates",
    "quality.mixed_property_types",
}


@pytest.fixture
def lake(on_local_disk: Settings) -> Settings:
    """The sample in a lake on local disk."""
    return on_local_disk


def test_all_views_but_six_are_written_for_three_engines() -> None:
    from dagster_project.views.sql_files import read_views

    told = {view.identifier for view in read_views(ROOT / "sql" / "views")} - {v.identifier for v in portable()}
    assert told == HERE_ONLY


def test_spark_shows_every_row_of_every_view_as_duckdb_does(lake: Settings, tmp_path: Path) -> None:
    python = SERVERS / "venv" / "bin" / "python"
    if not shutil.which("java") or not python.is_file():
        pytest.skip("Spark takes Java and pyspark: run tests/servers/install.sh")
    views = portable()
    names = {name: name.replace(".", "__") for view in views for name in view.depends_on}
    bases = {v.identifier: f"{names[v.identifier]}__table" for v in views if v.identifier in v.depends_on}
    files: dict[str, Any] = {names[n]: file for n, file in derive(lake.view_file, sorted(names), tmp_path).items()}
    files |= {base: list(opened(lake).pins()[name].files) for name, base in bases.items()}
    task = {
        "functions": without_header((ROOT / "sql" / "spark" / "functions.sql").read_text()) + ";\n",
        "files": files,
        # A view that bears a table's name reads that table; all others read the view.
        "views": {v.identifier: standing(v, {**names, v.identifier: bases.get(v.identifier, "")}) for v in views},
    }
    (tmp_path / "task.json").write_text(json.dumps(task))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYTHON"))}
    done = subprocess.run(
        [str(python), str(Path(__file__).with_name("spark_views.py")), str(tmp_path / "task.json")],
        capture_output=True,
        text=True,
        env={**environment, "PYSPARK_PYTHON": str(python), "TZ": "UTC"},
        cwd=tmp_path,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.split("TOLD ", 1)[1])
    _compare(lake, {name: rows if isinstance(rows, str) else _read(rows) for name, rows in told.items()})


def _compare(lake: Settings, told: dict[str, str | list[str]]) -> None:
    ours = dict(here(lake.view_file, portable()))
    assert {name: told[name] for name in ours if isinstance(told[name], str)} == {}
    assert {name for name, rows in ours.items() if rows != told[name]} == set()
    assert sum(map(len, ours.values())) > 500


def _read(rows: list[list[Any]]) -> list[str]:
    return texts([[_instant(value) for value in row] for row in rows])


def _instant(value: Any) -> Any:
    """Return an instant as one, whose text says it to as many digits as it has."""
    if isinstance(value, str) and len(value) >= len("2026-05-10 12:00:00") and value[10:11] == " ":
        try:
            return datetime.fromisoformat(value.removesuffix(" UTC"))
        except ValueError:
            return value
    return value


def test_trino_shows_every_row_of_every_view_as_duckdb_does(lake: Settings, tmp_path: Path) -> None:
    views = portable()
    own = {v.identifier for v in views if v.identifier in v.depends_on}
    derived = {n for v in views for n in v.depends_on if n not in own and n not in opened(lake).pins()} | own
    with trino(Path(lake.lake), tmp_path, derive(lake.view_file, sorted(derived), tmp_path)) as port:
        told: dict[str, str | list[str]] = {}
        for view in views:
            names = {
                name: f"derived.derived.{name.replace('.', '__')}"
                if name in derived and name != view.identifier
                else f"lake.{name}"
                for name in view.depends_on
            }
            told[view.identifier] = _read(ask(port, standing(view, names)))
    _compare(lake, told)


def test_queries_of_athenas_documentation_answer_what_the_page_shows(lake: Settings, tmp_path: Path) -> None:
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        from athena_tour import answers  # type: ignore[import-not-found]
    finally:
        sys.path.pop(0)
    assert answers(lake.lake, tmp_path) == (ROOT / "docs" / "athena_tour.md").read_text("utf-8")
