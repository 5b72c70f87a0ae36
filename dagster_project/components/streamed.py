"""What `notelake stream` commits, as materializations: a sensor tells Dagster what the lake holds beyond what it knows.

What belongs here: when there is something to tell, and which figures. What does not: consuming (`streaming`), which
neither knows Dagster nor waits for it: all that is told here is read from the lake. So it is told of whatever commits
outside Dagster, `notelake run` too, and once: a run in Dagster tells of its own commits, by the same two positions.

A consumer commits every second; an event of Dagster's for each would drown its log, so those of an interval are one.
"""

# No postponed annotations here: Dagster reads those of `context` and of resources.
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from dagster_project.components.assets import JUDGED_AT, job_name, notes_key, raw_key
from dagster_project.components.checks import evaluation_of
from dagster_project.components.keeping_up import COMMITTED, FOLDED, LANDED, lag_results, positions_metadata
from dagster_project.components.metadata import committed_metadata, landed_metadata
from dagster_project.components.resources import LakeResource
from dagster_project.components.timing import is_under_way
from dagster_project.contracts import EVENTS, LEDGER
from dagster_project.errors import NotelakeError
from dagster_project.reports import Landed
from dagster_project.sources import Source, StreamSource

if TYPE_CHECKING:
    from dagster_project.lake.lake import Lake

Told = dg.AssetMaterialization | dg.AssetCheckEvaluation
LEAST_SECONDS: Final = 30
"""Between two reports of a stream, at least."""
_VERSION: Final = "dagster/data_version"
"""Tag of a materialization of what has landed: its last arrival."""
_OF_A_RUN: Final = ("seconds", "batches", "files written", "bytes written", "unchanged", "problems")
"""Figures of a run that the lake does not keep."""


@dataclass(frozen=True, slots=True)
class _Known:
    """Arrivals that Dagster was told of as landed, as events, and as notes; and the newest verdict it was told of."""

    landed: int
    committed: int
    folded: int
    judged_at: dg.MetadataValue | None


def reporting_of(source: Source) -> dg.Definitions:
    """Return the sensor that reports what was committed of a stream outside Dagster; nothing for other sources."""
    return dg.Definitions(sensors=[_sensor(source)]) if isinstance(source, StreamSource) else dg.Definitions()


def _sensor(source: StreamSource) -> dg.SensorDefinition:
    @dg.sensor(
        name=f"{source.name}_reports",
        minimum_interval_seconds=max(LEAST_SECONDS, source.interval_seconds),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Reports what `notelake stream` has committed of {source.name}. It starts no run.",
    )
    def sensor(context: dg.SensorEvaluationContext, lake: LakeResource) -> dg.SensorResult | dg.SkipReason:
        if is_under_way(context.instance, job_name(source.name)):
            return dg.SkipReason(f"{source.name} is being read in Dagster, which tells of it.")
        try:
            events = list(_untold(lake.open(create=False), source, _known(context.instance, source.name)))
        except NotelakeError as error:
            return dg.SkipReason(str(error))
        return dg.SensorResult(asset_events=events) if events else dg.SkipReason("All that is committed was told.")

    return sensor


def _known(instance: dg.DagsterInstance, source: str) -> _Known:
    raw, notes = (_last(instance, key) for key in (raw_key(source), notes_key(source)))
    about = notes.metadata if notes else {}
    committed, folded = (int(str(about[name].value)) if name in about else 0 for name in (COMMITTED, FOLDED))
    return _Known(int((raw.tags or {}).get(_VERSION, 0)) if raw else 0, committed, folded, about.get(JUDGED_AT))


def _last(instance: dg.DagsterInstance, key: dg.AssetKey) -> dg.AssetMaterialization | None:
    event = instance.get_latest_materialization_event(key)
    return event.asset_materialization if event else None


def _untold(lake: "Lake", source: StreamSource, known: _Known) -> Iterator[Told]:
    """Yield what Dagster does not know of the source, with how far it is behind; nothing if it knows all."""
    key, now = notes_key(source.name), positions_metadata(lake, source)
    if now[LANDED] > known.landed:
        landed = Landed(source.name, source.kind, now[LANDED] - known.landed, last_sequence=now[LANDED])
        metadata = landed_metadata(lake, landed, seconds=0)
        told = {name: figure for name, figure in metadata.items() if name not in _OF_A_RUN}
        yield dg.AssetMaterialization(raw_key(source.name), metadata=told, tags={_VERSION: str(now[LANDED])})
    if (now[COMMITTED], now[FOLDED]) == (known.committed, known.folded):
        return
    checks = lag_results(lake, source, key)
    yield dg.AssetMaterialization(
        key,
        metadata={
            **{name: figure for name, figure in _held(lake, source).items() if name not in _OF_A_RUN},
            **_counts(lake, source.name, known.committed),
            **{name: figure for check in checks for name, figure in (check.metadata or {}).items()},
            **now,
            **({} if known.judged_at is None else {JUDGED_AT: known.judged_at}),
        },
    )
    yield from (evaluation_of(check, key) for check in checks)


def _held(lake: "Lake", source: StreamSource) -> Mapping[str, Any]:
    return committed_metadata(lake, source.name, (), main=EVENTS)


def _counts(lake: "Lake", source: str, after: int) -> Mapping[str, Any]:
    """Return what became of the arrivals after that one, as the ledger has it."""
    from dagster_project.lake.read import relation

    pin = lake.pins([LEDGER.identifier])[LEDGER.identifier]
    files = [file.file_path for file in lake.source_files(pin, source)]
    names = ("batches", "seen", "committed", "duplicate", "quarantined")
    if not files:
        return dict.fromkeys(names, 0)
    with lake.connect() as con:
        query = (
            "SELECT count(DISTINCT batch_id), sum(seen), sum(committed), sum(duplicate), sum(quarantined) "
            f"FROM {relation(pin, files)} AS l WHERE sequence > {after}"
        )
        return dict(zip(names, (int(count or 0) for count in con.execute(query).fetchone() or ()), strict=True))
