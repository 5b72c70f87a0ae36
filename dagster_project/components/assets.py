"""The two assets of a source: `raw/<source>`, what has landed, and `notes/<source>_notes`, what has become of it.

What belongs here: context in, one verb of `pipeline` after the other, metadata out. What does not: the verbs.
"""

# No postponed annotations here: Dagster reads those of `context` and of resources.
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, cast

import dagster as dg

from dagster_project.components.checks import (
    balance_result,
    balance_spec,
    complete_result,
    complete_spec,
    evaluation_of,
    expectation_specs,
    last_verdicts,
    usual_result,
    usual_spec,
    whole_result,
    whole_spec,
)
from dagster_project.components.failures import RETRIES, failure_of, told
from dagster_project.components.keeping_up import lag_results, lag_specs, positions_metadata
from dagster_project.components.metadata import (
    columns_metadata,
    committed_metadata,
    counts_metadata,
    figures_metadata,
    landed_metadata,
)
from dagster_project.components.refusals import quarantine_of, refusal_results, refusal_specs
from dagster_project.components.resources import LakeResource
from dagster_project.contracts import EVENTS, NOTES, Kind, Table, raw_table
from dagster_project.errors import AuditFailed
from dagster_project.reports import UNITS, Committed, Counts, quiet
from dagster_project.sources import Source, TableSource

if TYPE_CHECKING:
    from dagster_project.lake.lake import Lake

_MAIN: Final[Mapping[Kind, Table]] = {"documents": NOTES, "table": NOTES, "stream": EVENTS}
_FORMATS: Final[Mapping[Kind, str]] = {"documents": "markdown", "table": "csv", "stream": "json"}
UNCHANGED: Final = "unchanged"
JUDGED_AT: Final = "judged at"
EVERYTHING: Final = "everything"
"""Name of the job over all sources."""


def raw_key(source: str) -> dg.AssetKey:
    """Return the key of what has landed of a source; it is its table's name too."""
    return dg.AssetKey(["raw", source])


def notes_key(source: str) -> dg.AssetKey:
    """Return the key of what a source has in the tables that all sources share."""
    return dg.AssetKey(["notes", f"{source}_notes"])


def job_name(source: str) -> str:
    """Return the name of the job of a source; a source may be called like another job of this deployment."""
    return f"{source}_job"


class Landing(dg.Config):
    """What can be chosen for one run in the launchpad."""

    allow_gone: bool = False
    """Believe the source even if most of it has vanished."""


def raw_asset(source: Source) -> dg.AssetsDefinition:
    """Return the asset that lands `source`."""
    contract = raw_table(source.name, source.kind)

    @dg.asset(  # type: ignore[untyped-decorator,unused-ignore]
        key=raw_key(source.name),
        description=f"{source.description or source.name} As it was received: {contract.row}, append-only.",
        check_specs=[complete_spec(raw_key(source.name))],
        kinds={_format(source), "iceberg"},
        metadata={**columns_metadata(contract.columns, contract.key), "path": source.path},
        # Here and not on the notes: it is this asset that is materialized even if nothing has changed.
        freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=source.freshness_hours)),
        retry_policy=RETRIES,
        **_shared(source, "land"),
    )
    def land(config: Landing, lake: LakeResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
        began = time.perf_counter()
        with told():
            from dagster_project import pipeline  # takes half a second, and is not needed to load the project

            opened = lake.open()
            landed = pipeline.land(opened, source, observe=quiet, allow_gone=config.allow_gone)
            metadata = landed_metadata(opened, landed, seconds=time.perf_counter() - began)
        # By its version Dagster knows whether the notes are behind: a landing that brought nothing leaves them in step.
        version = dg.DataVersion(str(landed.last_sequence))
        return dg.MaterializeResult(metadata=metadata, data_version=version, check_results=[complete_result(landed)])

    return cast("dg.AssetsDefinition", land)


def notes_asset(source: Source) -> dg.AssetsDefinition:
    """Return the asset that shapes, audits and commits what has landed of `source`, and serves the lake."""
    key = notes_key(source.name)
    spec = dg.AssetSpec(
        key,
        deps=[raw_key(source.name)],
        description=f"The {UNITS[source.kind]} of {source.name} in the lake's tables, audited; lake.duckdb shows them.",
        kinds={"iceberg", "greatexpectations", "duckdb"},
        metadata=columns_metadata(_MAIN[source.kind].columns, _MAIN[source.kind].key),
        **_shared(source, "commit"),
    )

    # Can be subset: an expectation that was never judged has no result, and checks can be run without the asset.
    @dg.multi_asset(
        name=f"notes__{source.name}_notes",
        specs=[spec],
        check_specs=[
            balance_spec(key),
            usual_spec(key),
            *_whole_specs(source, key),
            *lag_specs(source, key),
            *expectation_specs(source, key),
            *refusal_specs(source, key),
        ],
        can_subset=True,
        retry_policy=RETRIES,
    )
    def commit(context: dg.AssetExecutionContext, lake: LakeResource) -> Iterator[Any]:
        with told():
            yield from _commit(context, lake, source)

    return commit


def _whole_specs(source: Source, key: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """Return the check of the share that came through whole: documents only, as rows and events are units of a file."""
    return [whole_spec(key)] if source.kind == "documents" else []


def _commit(context: dg.AssetExecutionContext, resource: LakeResource, source: Source) -> Iterator[Any]:
    """Commit what waits and serve what is good; tell all verdicts, those of a refused batch too."""
    began = time.perf_counter()
    key = notes_key(source.name)
    lake = resource.open()
    batches, refused = _commit_and_serve(lake, source) if context.selected_asset_keys else ((), None)
    verdicts, quarantine = last_verdicts(lake, source), quarantine_of(lake, source)
    metadata = committed_metadata(lake, source.name, batches, main=_MAIN[source.kind])
    results = [verdict.result(key, quarantine) for verdict in verdicts]
    if context.selected_asset_keys and not refused:
        judged_at = max((quarantine.decided_at, *(verdict.judged_at for verdict in verdicts)))
        if context.job_name in (job_name(source.name), EVERYTHING) and judged_at <= _known_until(context, key):
            return  # Nothing changed. What Dagster was told of these rows still holds.
        counts = _counts(context, source, batches)
        about: dict[str, Any] = {
            "seconds": round(time.perf_counter() - began, 3),
            JUDGED_AT: dg.MetadataValue.timestamp(judged_at),
            **positions_metadata(lake, source),
        }
        yield dg.MaterializeResult(
            asset_key=key,
            metadata={**counts_metadata(counts), **figures_metadata(lake, source.name), **metadata, **about},
        )
        results.append(balance_result(counts, key))
    if _whole_specs(source, key):
        results.append(whole_result(lake, source, key))
    results += lag_results(lake, source, key)
    results += [usual_result(lake, source, key), *refusal_results(quarantine, source, key)]
    yield from _tell(context, key, results)
    if refused:
        raise refused


def _commit_and_serve(lake: "Lake", source: Source) -> tuple[tuple[Committed, ...], dg.Failure | None]:
    """Return the batches that were committed and the refusal of the first that was not; what is good is served."""
    from dagster_project import pipeline

    batches: tuple[Committed, ...] = ()
    refused = None
    try:
        batches = pipeline.commit_pending(lake, source, observe=quiet)
    except AuditFailed as error:
        refused = failure_of(error)
    pipeline.serve(lake)
    return batches, refused


def _tell(context: dg.AssetExecutionContext, key: dg.AssetKey, results: Sequence[dg.AssetCheckResult]) -> Iterator[Any]:
    """Yield results, those of checks that the run was not asked for as plain evaluations.

    Dagster writes three events for each check a run is asked for, when it begins and whether anything changes or not,
    and a source has a hundred. So the job of a source asks for none, and a run over unchanged files costs nothing.
    """
    asked = {check.name for check in context.selected_asset_check_keys}
    yield from (result if result.check_name in asked else evaluation_of(result, key) for result in results)


def _known_until(context: dg.AssetExecutionContext, key: dg.AssetKey) -> float:
    """Return the instant of the newest verdict Dagster was told of, in seconds since 1970."""
    last = context.instance.get_latest_materialization_event(key)
    metadata = last.asset_materialization.metadata if last and last.asset_materialization else {}
    return float(metadata[JUDGED_AT].value) if JUDGED_AT in metadata else -1.0


def _counts(context: dg.AssetExecutionContext, source: Source, batches: tuple[Committed, ...]) -> Counts:
    """Return what became of the units of this run, with those that landing found unchanged in it."""
    unchanged = 0
    landed = context.instance.get_latest_materialization_event(raw_key(source.name))
    if landed and landed.run_id == context.run.run_id and landed.asset_materialization:
        unchanged = int(landed.asset_materialization.metadata[UNCHANGED].value)
    return sum((batch.counts for batch in batches), Counts(seen=unchanged, unchanged=unchanged))


def _format(source: Source) -> str:
    if isinstance(source, TableSource) and source.format != "auto":
        return {"jsonl": "json"}.get(source.format, source.format)
    if isinstance(source, TableSource) and source.database:
        return source.database
    return "json" if source.path.endswith((".jsonl", ".ndjson")) else _FORMATS[source.kind]


def _shared(source: Source, stage: str) -> dict[str, Any]:
    group = raw_key(source.name).path[0] if stage == "land" else notes_key(source.name).path[0]
    return {
        "group_name": group,
        "owners": list(source.owners),
        "tags": {"source": source.name, "source_kind": source.kind, "stage": stage},
    }
