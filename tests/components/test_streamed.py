"""What a consumer commits outside Dagster is told there once, and needs no run; on a real instance on disk."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from dagster_project.components.assets import notes_key, raw_key
from dagster_project.components.keeping_up import KEEPS_UP
from dagster_project.components.streamed import reporting_of
from dagster_project.streaming import consume

if TYPE_CHECKING:
    from tests.components.conftest import World


@pytest.fixture
def disk(tmp_path) -> Iterator[dg.DagsterInstance]:
    (tmp_path / "home").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "home")) as instance:
        yield instance


def reported(world: World, instance: dg.DagsterInstance) -> list[Any]:
    """What the sensor reports at a look, written down as the daemon does it."""
    (sensor,) = reporting_of(world.sources[1]).sensors
    with dg.build_sensor_context(instance=instance, resources={"lake": world.lake}) as context:
        events = list(sensor.evaluate_tick(context).asset_events)
    for event in events:
        instance.report_runless_asset_event(event)
    return events


def figures(instance: dg.DagsterInstance, key: dg.AssetKey) -> dict[str, Any]:
    event = instance.get_latest_materialization_event(key)
    assert event and event.asset_materialization
    return {name: value.value for name, value in event.asset_materialization.metadata.items()}


@pytest.mark.slow
def test_what_a_consumer_commits_is_told_once_beside_runs_of_dagster(world: World, disk: dg.DagsterInstance) -> None:
    assert reported(world, disk) == []  # there is no lake yet
    assert not (world.folder / "lake").exists()
    source, raw, notes = world.sources[1], raw_key("live"), notes_key("live")

    def stream() -> None:
        consume(world.lake.open(), [source], stop=Event(), tell=lambda *_: None, until="idle")

    stream()
    assert [type(event).__name__ for event in reported(world, disk)] == [
        "AssetMaterialization",
        "AssetMaterialization",
        "AssetCheckEvaluation",
    ]
    told = figures(disk, notes)
    assert (told["dagster/row_count"], told["batches"], told["seen"], told["committed"]) == (2, 1, 2, 2)
    assert (told["waiting"], told["uncommitted"], told["unfolded"], told["rows in notes.notes"]) == (0, 0, 0, 2)
    assert told["events a second"] > 0 and told["snapshot id"]
    assert (figures(disk, raw)["dagster/row_count"], figures(disk, raw)["arrivals"]) == (2, 2)
    check = dg.AssetCheckKey(notes, KEEPS_UP)
    assert disk.event_log_storage.get_latest_asset_check_execution_by_key([check])[check].event is not None
    assert reported(world, disk) == []

    with (world.folder / "live" / "a.jsonl").open("a") as shard:
        shard.write('{"id": "e9", "type": "note.created", "time": "2026-05-14T10:00:00Z", "path": "n9"}\n')
    job = world.definitions.resolve_job_def("live_job")
    assert job.execute_in_process(instance=disk).success
    assert figures(disk, notes)["dagster/row_count"] == 3
    assert reported(world, disk) == []  # the run has told it
