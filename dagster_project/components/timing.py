"""When a source is read: its job, its schedule or sensor, and what is tried again.

What belongs here: when. What does not: what is then done (`assets`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from functools import reduce
from operator import or_
from typing import Final

import dagster as dg

from dagster_project.components.assets import EVERYTHING, job_name, notes_key, raw_key
from dagster_project.components.resources import now
from dagster_project.errors import NotelakeError
from dagster_project.sources import DocumentSource, Source, StreamSource, TableSource

LOOK_AGAIN: Final = timedelta(minutes=15)
"""How long after a failed run a stream is read again although nothing new has come: what it could not read waits."""

_UNDER_WAY: Final = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]


def timing_of(source: Source) -> dg.Definitions:
    """Return the job that runs the five verbs for one source, and its schedule, or its sensor if it is a stream."""
    job = dg.define_asset_job(
        job_name(source.name),
        selection=_selection(source.name),
        description=f"Land, shape, audit, commit and serve {source.name}.",
        tags={"source": source.name},
    )
    match source:
        case StreamSource():
            return dg.Definitions(jobs=[job], sensors=[_sensor(source)])
        case DocumentSource(cron=None) | TableSource(cron=None):
            return dg.Definitions(jobs=[job])
        case _:
            return dg.Definitions(jobs=[job], schedules=[_schedule(source)])


def _selection(source: str) -> dg.AssetSelection:
    """Both assets, without the checks for the expectations: see `assets._tell`."""
    return dg.AssetSelection.assets(raw_key(source)) | dg.AssetSelection.assets(notes_key(source)).without_checks()


def everything(sources: Sequence[Source]) -> dg.Definitions:
    """Return the job over all sources. What is served is not part of it: one source that fails would stop it."""
    if not sources:
        return dg.Definitions()
    selection = reduce(or_, (_selection(source.name) for source in sources))
    return dg.Definitions(jobs=[dg.define_asset_job(EVERYTHING, selection=selection, description="Run all sources.")])


def _schedule(source: DocumentSource | TableSource) -> dg.ScheduleDefinition:
    return dg.ScheduleDefinition(
        name=f"{source.name}_schedule",
        job_name=job_name(source.name),
        cron_schedule=str(source.cron),
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING if source.enabled else dg.DefaultScheduleStatus.STOPPED,
        description=f"Looks at {source.path}. Where nothing has changed, nothing is written.",
    )


def _sensor(source: StreamSource) -> dg.SensorDefinition:
    """Return a sensor that compares the sizes of the shards with those it saw when it last asked for a run."""

    @dg.sensor(
        name=f"{source.name}_sensor",
        job_name=job_name(source.name),
        minimum_interval_seconds=source.interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING if source.enabled else dg.DefaultSensorStatus.STOPPED,
        description=f"Looks for new events in {source.path}.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        sizes = _sizes(source)
        if isinstance(sizes, dg.SkipReason):
            return sizes
        if is_under_way(context.instance, job_name(source.name)):
            # The cursor stays: what has come meanwhile is asked for when this run is done, and no queue builds up.
            return dg.SkipReason(f"{source.name} is being read.")
        if sizes == context.cursor and not _failed_a_while_ago(context.instance, job_name(source.name)):
            return dg.SkipReason("No shard has grown.")
        return dg.SensorResult(run_requests=[dg.RunRequest()], cursor=sizes)

    return sensor


def _sizes(source: StreamSource) -> str | dg.SkipReason:
    from dagster_project.landing.streams import shards

    try:
        sizes = {shard.name: shard.size for shard in shards(source)}
        # Where the store does not tell a shard's size, a run is the way to know: no two looks are the same then.
        unknown = {"": now()} if None in sizes.values() else {}
        return json.dumps({**sizes, **unknown}, sort_keys=True)
    except NotelakeError as error:
        return dg.SkipReason(str(error))


def is_under_way(instance: dg.DagsterInstance, job: str) -> bool:
    """Tell whether a run of a job is queued or under way."""
    return bool(instance.get_run_ids(dg.RunsFilter(job_name=job, statuses=_UNDER_WAY), limit=1))


def _failed_a_while_ago(instance: dg.DagsterInstance, job: str) -> bool:
    last = next(iter(instance.get_run_records(dg.RunsFilter(job_name=job), limit=1)), None)
    if last is None or last.dagster_run.status != dg.DagsterRunStatus.FAILURE:
        return False
    return now() - last.create_timestamp > LOOK_AGAIN
