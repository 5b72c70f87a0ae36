"""When sources are read, what YAML may say, what a scaffold writes, and what loading the project costs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pytest
import yaml

from dagster_project.components.failures import may_pass
from dagster_project.components.resources import now
from dagster_project.components.scaffold import declaration
from dagster_project.components.sources import DocumentSource, StreamSource, TableSource
from dagster_project.components.upkeep import forget
from dagster_project.errors import CommitConflict, SourceUnavailable, TooManyGone
from dagster_project.sources import KINDS

if TYPE_CHECKING:
    from tests.components.conftest import World

ROOT = Path(__file__).parents[2]
BUDGET = 1.5
COMPONENTS = {"DocumentSource": DocumentSource, "TableSource": TableSource, "StreamSource": StreamSource}


def python(code: str) -> str:
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return ran.stdout.strip()


def test_loading_the_project_imports_neither_great_expectations_nor_pyiceberg_nor_sqlglot() -> None:
    heavy = "great_expectations", "pyiceberg", "sqlglot"
    code = (
        "import sys; from dagster_project.definitions import defs; "
        "loaded = defs.load_fn() if hasattr(defs, 'load_fn') else defs(); loaded.get_repository_def(); "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    assert python(code) == "[]"


def test_importing_the_definitions_costs_little_more_than_importing_dagster() -> None:
    code = "import time; a = time.process_time(); import dagster; b = time.process_time(); "
    code += "import dagster_project.definitions; c = time.process_time(); print((c - a) / (b - a))"
    assert min(float(python(code)) for _ in range(3)) < BUDGET


def test_a_schedule_or_sensor_is_on_from_the_start_if_its_source_is_enabled(world: World) -> None:
    repository = world.definitions.get_repository_def()
    assert repository.get_schedule_def("vault_schedule").default_status == dg.DefaultScheduleStatus.RUNNING
    assert repository.get_sensor_def("live_sensor").default_status == dg.DefaultSensorStatus.STOPPED
    assert repository.get_schedule_def("vault_schedule").cron_schedule == "0 * * * *"


def test_a_sensor_asks_for_a_run_only_when_a_shard_has_grown(world: World) -> None:
    sensor = world.definitions.get_repository_def().get_sensor_def("live_sensor")

    def look(cursor: str | None) -> tuple[int, str | None]:
        with dg.build_sensor_context(
            instance=world.instance, cursor=cursor, repository_def=world.definitions.get_repository_def()
        ) as context:
            data = sensor.evaluate_tick(context)
        return len(data.run_requests or ()), data.cursor or cursor

    asked, cursor = look(None)
    assert asked == 1
    assert look(cursor) == (0, cursor)
    with (world.folder / "live" / "a.jsonl").open("a") as shard:
        shard.write('{"id": "e9", "type": "note.created", "time": "2026-05-14T10:00:00Z", "path": "n9"}\n')
    asked, later = look(cursor)
    assert asked == 1
    assert later != cursor


@pytest.mark.parametrize(
    ("error", "again"),
    [(SourceUnavailable(), True), (CommitConflict(), True), (TooManyGone(), False), (ValueError(), False)],
)
def test_only_what_may_pass_is_tried_again(error: Exception, again: bool) -> None:
    assert may_pass(error) is again


@pytest.mark.parametrize("kind", KINDS)
def test_a_scaffold_names_every_field_and_declares_a_source(kind: str) -> None:
    text = declaration(kind, name="my_notes", path="~/Notes: all of them")
    attributes = yaml.safe_load(text)["attributes"]
    assert KINDS[kind](**attributes).path == "~/Notes: all of them"
    for field in KINDS[kind].model_fields:
        assert f"{field}:" in text, field
    in_full = yaml.safe_load(re.sub(r"(?m)^  # ( *[a-z_]+:)", r"  \1", text))["attributes"]
    assert set(in_full) == set(KINDS[kind].model_fields)
    of_databases = {"query", "address_variable", "cursor", "lag", "incremental"}
    KINDS[kind](**{name: value for name, value in in_full.items() if name not in of_databases})
    if kind == "TableSource":
        changes = {"path": "postgresql://", "table": (), "incremental": "cursor", "mode": "append"}
        KINDS[kind](**{**in_full, **changes})


@pytest.mark.parametrize("kind", KINDS)
def test_yaml_may_take_any_value_from_the_environment(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOURS", "7")
    monkeypatch.setenv("PLACE", "/somewhere")
    attributes = {"name": "x", "path": "{{ env.PLACE }}/notes", "freshness_hours": "{{ env.HOURS }}"}
    source = COMPONENTS[kind].from_attributes_dict(attributes=attributes).source
    assert (source.path, source.freshness_hours) == ("/somewhere/notes", 7)


@pytest.mark.slow
def test_dg_scaffolds_a_source_where_it_is_found_and_nowhere_else(tmp_path: Path) -> None:
    for name in ("dagster_project", "sql", "expectations"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "workspace.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(ROOT / "dagster_project" / "defs" / "dagster.yaml", home)

    def dg_(*words: str) -> subprocess.CompletedProcess[str]:
        dg_command = Path(sys.executable).with_name("dg")
        environment = {**os.environ, "DAGSTER_HOME": str(home), "PATH": f"{dg_command.parent}:{os.environ['PATH']}"}
        return subprocess.run(
            [str(dg_command), *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    right = dg_("scaffold", "defs", "dagster_project.components.DocumentSource", "sources/my_vault")
    assert right.returncode == 0, right.stderr
    wrong = dg_("scaffold", "defs", "dagster_project.components.DocumentSource", "my_vault")
    assert wrong.returncode == 2
    assert "sources/my_vault" in wrong.stderr
    assert not (tmp_path / "dagster_project" / "defs" / "my_vault").exists()
    assert dg_("check", "yaml").returncode == 0


@pytest.mark.slow
def test_upkeep_forgets_old_runs_but_never_the_last_of_an_asset(world: World) -> None:
    first, second = world.run("vault_job"), world.run("vault_job")
    assert forget(world.instance, before=now() - timedelta(days=1)) == 0
    third = world.run("vault_job")
    assert forget(world.instance, before=now() + timedelta(days=1)) == 1
    assert first.run_id in world.instance.get_run_ids()
    assert third.run_id in world.instance.get_run_ids()
    assert second.run_id not in world.instance.get_run_ids()
