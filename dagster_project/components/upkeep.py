"""The daily clean-up: files of the lake that nobody needs, and runs that Dagster need not remember.

What belongs here: when, and how much of Dagster's history is kept. What does not: which files are needed
(`lake.upkeep`).
"""

# No postponed annotations here: Dagster reads those of `context` and of resources.
from datetime import datetime, timedelta
from typing import Any, Final

import dagster as dg

from dagster_project.components.failures import RETRIES, told
from dagster_project.components.resources import LakeResource, now

NAME: Final = "upkeep"
CRON: Final = "40 3 * * *"
KEPT: Final = timedelta(days=30)
"""How long finished runs are remembered. The event log has no bound of its own."""
AT_ONCE: Final = 500
"""Runs forgotten in one clean-up: what is left waits for the next day."""
_FINISHED: Final = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


@dg.op(retry_policy=RETRIES, description="Delete files of the lake that no kept snapshot names.")
def clean_lake(context: dg.OpExecutionContext, lake: LakeResource) -> None:
    """Delete files of the lake that no kept snapshot names and that are older than a day."""
    from dagster_project.lake.upkeep import clean

    with told():
        cleaned = clean(lake.open(), now=now())
    context.add_output_metadata({"files deleted": cleaned.files, "bytes deleted": cleaned.bytes})


@dg.op(description=f"Forget runs that ended more than {KEPT.days} days ago, but for the last of each asset.")
def forget_runs(context: dg.OpExecutionContext) -> None:
    """Delete old runs from Dagster's history."""
    forgotten = forget(context.instance, before=now() - KEPT)
    context.add_output_metadata({"runs forgotten": forgotten})


def forget(instance: dg.DagsterInstance, *, before: datetime) -> int:
    """Delete runs that were made before that instant and have ended; return how many.

    The last run of each asset stays however old it is: with it would go what Dagster knows of the asset.
    """
    kept = {record.asset_entry.last_run_id for record in instance.get_asset_records()}
    latest = map(instance.get_latest_materialization_event, instance.all_asset_keys())
    kept |= {event.run_id for event in latest if event}
    old = instance.get_run_ids(dg.RunsFilter(statuses=_FINISHED, created_before=before), limit=AT_ONCE + len(kept))
    forgotten = [run_id for run_id in old if run_id not in kept][:AT_ONCE]
    for run_id in forgotten:
        instance.delete_run(run_id)
    return len(forgotten)


def upkeep_definitions() -> dg.Definitions:
    """Return the clean-up and its schedule, which is on from the start."""

    @dg.job(name=NAME, description="Delete what the lake needs no more, and forget old runs.")
    def upkeep() -> None:
        clean_lake()
        forget_runs()

    schedule: Any = dg.ScheduleDefinition(
        job=upkeep, cron_schedule=CRON, execution_timezone="UTC", default_status=dg.DefaultScheduleStatus.RUNNING
    )
    return dg.Definitions(jobs=[upkeep], schedules=[schedule])
