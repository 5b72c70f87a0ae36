"""Nothing is undocumented, no link is dead, and the README's SQL runs."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import click
import duckdb
import pytest

from dagster_project import errors
from dagster_project.cli import main
from dagster_project.contracts import SHARED
from dagster_project.lake.lake import open_lake
from dagster_project.pipeline import run
from dagster_project.settings import settings
from dagster_project.sources import KINDS, declared_sources
from dagster_project.views.sql_files import read_views

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "tests" / "README.md", ROOT / "data" / "sample" / "README.md"]
    + list((ROOT / "docs").rglob("*.md"))
)
LINK = re.compile(r"\]\(([^)\s#]*)(?:#[^)\s]*)?\)")


def reference(name: str) -> str:
    return (REFERENCE / f"{name}.md").read_text("utf-8")


def _commands(group: click.Group, path: str) -> list[str]:
    own = [f"{path} {name}" for name in group.commands]
    return own + [
        deep
        for name, sub in group.commands.items()
        if isinstance(sub, click.Group)
        for deep in _commands(sub, f"{path} {name}")
    ]


@pytest.mark.parametrize("command", _commands(main, "notelake"))
def test_every_command_is_documented(command: str) -> None:
    assert f"## {command}\n" in reference("commands")


def test_every_variable_that_the_code_reads_is_documented() -> None:
    code = "".join(file.read_text("utf-8") for file in (ROOT / "dagster_project").rglob("*.py"))
    read = set(re.findall(r"[\"'](NOTELAKE_[A-Z_]+)[\"']", code))
    assert "NOTELAKE_LAKE" in read
    assert {name for name in read if f"`{name}`" not in reference("settings")} == set()


def test_every_error_is_documented() -> None:
    names = [name for name, _ in inspect.getmembers(errors, inspect.isclass)]
    assert [name for name in names if f"`{name}`" not in reference("errors")] == []


def test_every_table_and_view_is_documented() -> None:
    assert [table.identifier for table in SHARED if f"## {table.identifier}\n" not in reference("tables")] == []
    views = read_views(ROOT / "sql" / "views")
    assert [view.identifier for view in views if f"## {view.identifier}\n" not in reference("views")] == []


def test_every_suite_and_every_field_of_a_source_is_documented() -> None:
    suites = [file.stem for file in (ROOT / "expectations").glob("*.json")]
    assert [suite for suite in suites if suite not in reference("expectations")] == []
    fields = [field for model in KINDS.values() for field in model.model_fields]
    assert [field for field in fields if f"`{field}`" not in reference("sources")] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_that_are_there(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    targets = [target for target in LINK.findall(text) if target and "://" not in target]
    assert [target for target in targets if not (page.parent / target.replace("%20", " ")).exists()] == []


def test_the_reference_is_what_the_code_says_now() -> None:
    command = [sys.executable, str(ROOT / "docs" / "build.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr


def test_the_readme_s_sql_runs_on_the_sample(tmp_path: Path) -> None:
    (block,) = re.findall(r"```sql\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), flags=re.DOTALL)
    where = settings(str(tmp_path / "lake"))
    lake = open_lake(where, clock=lambda: datetime.now(UTC), ids=lambda: uuid4().hex)
    run(lake, declared_sources(ROOT / "dagster_project" / "defs" / "sources", ROOT))
    with closing(duckdb.connect(str(where.view_file), read_only=True)) as con:
        queries = con.extract_statements(block)
        assert len(queries) > 5
        for query in queries:
            assert con.execute(query).fetchall(), f"nothing came of {query.query}"
