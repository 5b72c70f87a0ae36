"""When a source is read: its job, its schedule or sensor, and what is tried again.

What belongs here: when. What does not: what is then done (`assets`).
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Final

import dagster as dg

from dagster_project.components.assets import notes_key, raw_key
from dagster_project.components.resources import now
from dagster_project.errors import NotelakeError
from dagster_project.sources import DocumentSource, Source, StreamSource, TableSource

LOOK_AGAIN: Final = timedelta(minutes=15)
"""How long after a failed run a stream is read again although nothing new has come: what it could not read waits."""

_UNDER_WAY: Final = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]


def source_job(source: Source) -> dg.UnresolvedAssetJobDefinition:
    """Return the job that runs the five verbs for one source."""
    return dg.define_asset_job(
        source.name,
        selection=dg.AssetSelection.assets(raw_key(source.name), notes_key(source.name)),
        description=f"Land, shape, audit, commit and serve {source.name}.",
        tags={"source": source.name},
    )


def schedule_of(source: DocumentSource | TableSource, job: dg.UnresolvedAssetJobDefinition) -> dg.ScheduleDefinition:
    """Return the schedule of a source that is read as a whole; `source.cron` counts in UTC."""
    return dg.ScheduleDefinition(
        name=f"{source.name}_schedule",
        job=job,
        cron_schedule=str(source.cron),
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING if source.enabled else dg.DefaultScheduleStatus.STOPPED,
        description=f"Looks at {source.path}. Where nothing has changed, nothing is written.",
    )


def sensor_of(source: StreamSource, job: dg.UnresolvedAssetJobDefinition) -> dg.SensorDefinition:
    """Return the sensor of a stream. It compares the sizes of the shards with those it saw at the last run it asked for."""

    @dg.sensor(
        name=f"{source.name}_sensor",
        job=job,
        minimum_interval_seconds=source.interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING if source.enabled else dg.DefaultSensorStatus.STOPPED,
        description=f"Looks for new events in {source.path}.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        sizes = _sizes(source)
        if isinstance(sizes, dg.SkipReason):
            return sizes
        if _is_under_way(context.instance, source.name):
            # The cursor stays: what has come meanwhile is asked for when this run is done, and no queue builds up.
            return dg.SkipReason(f"{source.name} is being read.")
        if sizes == context.cursor and not _failed_a_while_ago(context.instance, source.name):
            return dg.SkipReason("No shard has grown.")
        return dg.SensorResult(run_requests=[dg.RunRequest()], cursor=sizes)

    return sensor


def _sizes(source: StreamSource) -> str | dg.SkipReason:
    from dagster_project.landing.streams import shards

    try:
        return json.dumps({shard.name: shard.size for shard in shards(source)}, sort_keys=True)
    except NotelakeError as error:
        return dg.SkipReason(str(error))


def _is_under_way(instance: dg.DagsterInstance, job: str) -> bool:
    return bool(instance.get_run_ids(dg.RunsFilter(job_name=job, statuses=_UNDER_WAY), limit=1))


def _failed_a_while_ago(instance: dg.DagsterInstance, job: str) -> bool:
    last = next(iter(instance.get_run_records(dg.RunsFilter(job_name=job), limit=1)), None)
    if last is None or last.dagster_run.status != dg.DagsterRunStatus.FAILURE:
        return False
    return now() - last.create_timestamp > LOOK_AGAIN
