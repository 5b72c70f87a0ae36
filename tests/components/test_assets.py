"""What a run in Dagster tells, and what it does when the audit refuses a batch."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import duckdb
import pytest

from dagster_project.audit.suites import expectation_names
from dagster_project.components.assets import notes_key, raw_key
from dagster_project.components.checks import BALANCE, COMPLETE, JUDGED, USUAL, WHOLE, check_name
from dagster_project.components.failures import told
from dagster_project.components.keeping_up import KEEPS_UP
from dagster_project.components.refusals import RULES, refusal_check
from dagster_project.settings import bundled
from dagster_project.steps.quarantine import discard

if TYPE_CHECKING:
    from tests.components.conftest import World


def metadata(world: World, key: dg.AssetKey) -> Mapping[str, Any]:
    event = world.instance.get_latest_materialization_event(key)
    assert event and event.asset_materialization, f"{key} was not materialized"
    return {name: value.value for name, value in event.asset_materialization.metadata.items()}


def evaluations(world: World, run_id: str) -> dict[str, dg.AssetCheckEvaluation]:
    logs = world.instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    found = [log.get_dagster_event().asset_check_evaluation_data for log in logs]
    return {evaluation.check_name: evaluation for evaluation in found}


def test_a_run_tells_its_figures_and_every_verdict(world: World) -> None:
    run = world.run("vault_job")
    assert run.success
    landed, committed = metadata(world, raw_key("vault")), metadata(world, notes_key("vault"))
    assert landed["dagster/row_count"] == landed["arrivals"] == 3
    assert (committed["seen"], committed["committed"], committed["quarantined"]) == (3, 3, 0)
    assert committed["dagster/row_count"] == committed["rows in notes.notes"] == 3
    assert committed["rows in notes.tasks"] == 3
    assert committed["count(*) of notes.notes"] == committed["standing(*) of notes.notes"] == 3
    told_of = evaluations(world, run.run_id)
    assert told_of[BALANCE].passed
    assert told_of[COMPLETE].passed
    assert (told_of[USUAL].passed, told_of[USUAL].metadata["unusual"].value) == (True, 0)
    unique = told_of[check_name("notes.notes", "key_unique")]
    assert unique.passed
    assert unique.metadata["rows"].value == 3
    assert unique.metadata["bad"].value == 0


def test_the_share_that_came_through_whole_warns_below_a_hundred_and_counts_what_is_gone_no_more(world: World) -> None:
    whole = evaluations(world, world.run("vault_job").run_id)[WHOLE]
    assert (whole.passed, whole.metadata["share in percent"].value) == (True, 100.0)
    world.note("d.md", "---\na: [\n---\n# Broken\n")
    partly = evaluations(world, world.run("vault_job").run_id)[WHOLE]
    assert (partly.passed, partly.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert (partly.metadata["share in percent"].value, partly.metadata["partial"].value) == (75.0, 1)
    (world.folder / "vault" / "d.md").unlink()
    mended = evaluations(world, world.run("vault_job").run_id)[WHOLE]
    assert (mended.passed, mended.metadata["files"].value) == (True, 3)


@pytest.mark.slow
def test_each_rule_tells_how_many_units_it_keeps_back_and_their_keys_until_somebody_decides(world: World) -> None:
    (world.folder / "vault" / "bad.md").write_bytes(b"caf\xc3\xa9, caf\xe9 " + world.marker.encode())
    check = refusal_check("encoding")
    refused = evaluations(world, world.run("vault_job").run_id)
    assert (refused[check].passed, refused[check].severity) == (False, dg.AssetCheckSeverity.WARN)
    assert (refused[check].metadata["in quarantine"].value, refused[check].metadata["keys"].value) == (1, ["bad.md"])
    assert all(refused[refusal_check(rule)].passed for rule in ("xml", "other"))
    assert refused[check_name("notes.notes", "title_not_empty")].metadata["in quarantine"].value == 0
    assert check not in evaluations(world, world.run("vault_job").run_id)
    stored = "".join(str(log) for run in world.instance.get_run_ids() for log in world.instance.all_logs(run))
    assert world.marker not in stored

    discard(world.lake.open(), "vault", why="a test")
    given_up = evaluations(world, world.run("vault_job").run_id)
    assert (given_up[check].passed, given_up[check].metadata["in quarantine"].value) == (True, 0)
    assert given_up[WHOLE].passed


def test_every_expectation_of_a_suite_that_judges_a_source_is_a_check(world: World) -> None:
    for source in world.sources:
        asset = world.definitions.resolve_assets_def(notes_key(source.name))
        declared = {key.name for key in asset.check_keys}
        folder = bundled("expectations")
        written = {
            check_name(table.identifier, rule.name)
            for table in JUDGED[source.kind]
            for rule in expectation_names(folder, table)
        }
        refused = {refusal_check(rule) for rule in RULES[source.kind]}
        own = {"documents": {WHOLE}, "stream": {KEEPS_UP}}.get(source.kind, set())
        assert declared == written | refused | {BALANCE, USUAL} | own
        assert len(written) > 20


def test_a_run_over_an_unchanged_source_materializes_raw_only_and_keeps_what_was_told(world: World) -> None:
    world.run("vault_job")
    before = world.instance.get_latest_materialization_event(notes_key("vault"))
    again = world.run("vault_job")
    assert again.success
    assert metadata(world, raw_key("vault"))["unchanged"] == 3
    after = world.instance.get_latest_materialization_event(notes_key("vault"))
    assert after == before
    assert set(evaluations(world, again.run_id)) == {COMPLETE}


@pytest.mark.slow
def test_whoever_materializes_by_hand_gets_every_verdict_again(world: World) -> None:
    first = world.run("vault_job")
    by_hand = world.materialize("raw/vault", "notes/vault_notes")
    assert by_hand.success
    assert set(evaluations(world, by_hand.run_id)) == set(evaluations(world, first.run_id))
    assert metadata(world, notes_key("vault"))["unchanged"] == 3


@pytest.mark.slow
def test_no_text_of_a_note_is_in_the_event_log(world: World) -> None:
    world.run("everything")
    world.run("served")
    world.note("broken.md", f"---\n{world.marker}: [\n---\n{world.marker}\n")
    world.run("vault_job")
    runs = world.instance.get_runs()
    stored = "".join(str(log) for run in runs for log in world.instance.all_logs(run.run_id)) + str(runs)
    assert "vault_notes" in stored
    assert world.marker not in stored


def test_an_error_nobody_foresaw_is_told_without_its_message_or_its_causes(world: World) -> None:
    @dg.op
    def stumble() -> None:
        with told():
            try:
                raise ValueError(world.marker)
            except ValueError as error:
                raise RuntimeError(f"about {world.marker}") from error

    @dg.job
    def stumbling() -> None:
        stumble()

    run = stumbling.execute_in_process(instance=world.instance, raise_on_error=False)
    assert not run.success
    stored = "".join(str(log) for log in world.instance.all_logs(run.run_id))
    assert "RuntimeError in stumble" in stored
    assert world.marker not in stored


def expect_a_thousand_notes(folder: Path) -> None:
    """Write a suite whose table rule three notes can't hold."""
    file = folder / "expectations" / "notes.notes.json"
    suite = json.loads(file.read_text("utf-8"))
    rule = {"name": "a_thousand", "rule": "table", "on": "would_be", "reason": "there are fewer than a thousand"}
    suite["expectations"].append(
        {
            "type": "expect_table_row_count_to_be_between",
            "kwargs": {"min_value": 1000},
            "description": "There are a thousand notes.",
            "severity": "critical",
            "meta": {"notelake": rule},
        }
    )
    file.write_text(json.dumps(suite), "utf-8")


@pytest.fixture
def strict_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder of its own, with suites that can be changed."""
    project = tmp_path / "project"
    for name in ("expectations", "sql"):
        shutil.copytree(bundled(name), project / name)
    monkeypatch.setenv("NOTELAKE_PROJECT", str(project))
    return project


def test_a_refused_batch_fails_once_is_told_as_a_check_and_leaves_all_else_served(
    strict_project: Path, world: World
) -> None:
    assert world.run("vault_job").success
    expect_a_thousand_notes(strict_project)
    world.note("d.md", "# One more\n")
    refused = world.run("vault_job")
    assert not refused.success
    steps = [event.step_key for event in refused.all_events if event.is_step_restarted or event.is_step_up_for_retry]
    assert steps == []
    verdict = evaluations(world, refused.run_id)["notes_notes__a_thousand"]
    assert not verdict.passed
    assert verdict.severity == dg.AssetCheckSeverity.ERROR
    with duckdb.connect(str(world.folder / "lake" / "lake.duckdb"), read_only=True) as shell:
        served = shell.execute("SELECT path FROM notes.notes WHERE source = 'vault' ORDER BY path").fetchall()
    assert served == [("a.md",), ("b.md",), ("c.md",)]


def test_one_source_that_fails_stops_no_other(world: World) -> None:
    shutil.rmtree(world.folder / "vault")
    (world.folder / "vault").write_text("no folder")
    run = world.materialize("raw/live", "notes/live_notes")
    assert run.success
    assert metadata(world, notes_key("live"))["committed"] == 2


def test_tables_and_views_report_one_publication_with_types_and_lineage(world: World) -> None:
    world.run("vault_job")
    run = world.run("served")
    assert run.success
    tasks, opened = (metadata(world, dg.AssetKey(key)) for key in (["notes", "tasks"], ["insights", "open_tasks"]))
    assert tasks["dagster/row_count"] == opened["dagster/row_count"] == 3
    assert tasks["publication"] == opened["publication"]
    assert {column.name: column.type for column in opened["dagster/column_schema"].columns}["line"] == "BIGINT"
    assert opened["dagster/column_lineage"].deps_by_column["text"] == [
        dg.TableColumnDep(dg.AssetKey(["notes", "tasks"]), "text")
    ]


def test_a_view_of_note_quality_with_rows_is_a_warning_that_says_how_many(world: World) -> None:
    world.note("b.md", "# Note a\n")
    world.run("vault_job")
    run = world.run("served")
    assert run.success
    logs = world.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    found = [log.get_dagster_event().asset_check_evaluation_data for log in logs]
    told_of = {each.asset_key.path[-1]: each for each in found}
    titles, empty = told_of["duplicate_titles"], told_of["empty_notes"]
    assert (titles.passed, titles.severity, titles.metadata["rows"].value) == (False, dg.AssetCheckSeverity.WARN, 2)
    assert empty.passed
    assert "attachment_contents" not in told_of


def test_views_depend_on_what_their_sql_reads_and_tables_on_the_sources_that_write_them(world: World) -> None:
    graph = world.definitions.resolve_asset_graph()
    open_tasks = graph.get(dg.AssetKey(["insights", "open_tasks"])).parent_keys
    assert open_tasks == {dg.AssetKey(["notes", "notes"]), dg.AssetKey(["notes", "tasks"])}
    assert graph.get(dg.AssetKey(["notes", "tasks"])).parent_keys == {notes_key("vault")}
    assert graph.get(dg.AssetKey(["notes", "events"])).parent_keys == {notes_key("live")}
    assert graph.get(dg.AssetKey(["notes", "notes"])).parent_keys == {notes_key("vault"), notes_key("live")}


def test_every_asset_says_what_it_is_and_has_its_columns(world: World) -> None:
    for spec in world.definitions.resolve_all_asset_specs():
        assert spec.description and spec.group_name == spec.key.path[0], spec.key
        assert spec.kinds
        assert spec.tags
        assert spec.owners is not None
        assert all(column.description for column in spec.metadata["dagster/column_schema"].columns), spec.key
