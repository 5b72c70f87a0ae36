"""The two assets of a source: `raw/<source>`, what has landed, and `notes/<source>_notes`, what has become of it.

What belongs here: context in, one verb of `pipeline` after the other, metadata out. What does not: the verbs.
"""

# No postponed annotations here: Dagster reads those of `context` and of resources.
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Final

import dagster as dg

from dagster_project.components.checks import (
    BALANCE,
    balance_result,
    balance_spec,
    complete_result,
    complete_spec,
    expectation_results,
    expectation_specs,
)
from dagster_project.components.failures import RETRIES, failure_of, told
from dagster_project.components.metadata import columns_metadata, committed_metadata, counts_metadata, landed_metadata
from dagster_project.components.resources import LakeResource
from dagster_project.contracts import EVENTS, NOTES, Kind, Table, raw_table
from dagster_project.errors import AuditFailed
from dagster_project.reports import UNITS, Committed, Counts, quiet
from dagster_project.sources import Source, TableSource

_MAIN: Final[Mapping[Kind, Table]] = {"documents": NOTES, "table": NOTES, "stream": EVENTS}
_FORMATS: Final[Mapping[Kind, str]] = {"documents": "markdown", "table": "csv", "stream": "json"}
UNCHANGED: Final = "unchanged"


def raw_key(source: str) -> dg.AssetKey:
    """Return the key of what has landed of a source; it is its table's name too."""
    return dg.AssetKey(["raw", source])


def notes_key(source: str) -> dg.AssetKey:
    """Return the key of what a source has in the tables that all sources share."""
    return dg.AssetKey(["notes", f"{source}_notes"])


class Landing(dg.Config):  # type: ignore[misc]
    """What can be chosen for one run in the launchpad."""

    allow_gone: bool = False
    """Believe the source even if most of it has vanished."""


def raw_asset(source: Source) -> dg.AssetsDefinition:
    """Return the asset that lands `source`."""
    contract = raw_table(source.name, source.kind)

    @dg.asset(
        key=raw_key(source.name),
        description=f"{source.description or source.name} As it was received: {contract.row}, append-only.",
        check_specs=[complete_spec(raw_key(source.name))],
        kinds={_format(source), "iceberg"},
        metadata={**columns_metadata(contract.columns, contract.key), "path": source.path},
        retry_policy=RETRIES,
        **_shared(source, "land"),
    )
    def land(config: Landing, lake: LakeResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
        began = time.perf_counter()
        with told():
            from dagster_project import pipeline

            opened = lake.open()
            landed = pipeline.land(opened, source, observe=quiet, allow_gone=config.allow_gone)
            metadata = landed_metadata(opened, landed, seconds=time.perf_counter() - began)
        return dg.MaterializeResult(metadata=metadata, check_results=[complete_result(landed)])

    return land


def notes_asset(source: Source) -> dg.AssetsDefinition:
    """Return the asset that shapes, audits and commits what has landed of `source`, and serves the lake."""
    key = notes_key(source.name)
    spec = dg.AssetSpec(
        key,
        deps=[raw_key(source.name)],
        description=f"The {UNITS[source.kind]} of {source.name} in the tables of the lake, audited; lake.duckdb shows them.",
        kinds={"iceberg", "greatexpectations", "duckdb"},
        metadata=columns_metadata(_MAIN[source.kind].columns, _MAIN[source.kind].key),
        freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=source.freshness_hours)),
        **_shared(source, "commit"),
    )

    # A subset, because an expectation that was never judged has no result to give.
    @dg.multi_asset(
        name=f"notes__{source.name}_notes",
        specs=[spec],
        check_specs=[balance_spec(key), *expectation_specs(source, key)],
        can_subset=True,
        retry_policy=RETRIES,
    )
    def commit(context: dg.AssetExecutionContext, lake: LakeResource) -> Iterator[Any]:
        yield from _commit(context, lake, source)

    return commit


def _commit(context: dg.AssetExecutionContext, resource: LakeResource, source: Source) -> Iterator[Any]:
    """Commit what waits and serve what is good; tell all verdicts, those of a refused batch too."""
    began = time.perf_counter()
    key, refused = notes_key(source.name), None
    batches: tuple[Committed, ...] = ()
    with told():
        from dagster_project import pipeline

        lake = resource.open()
        if context.selected_asset_keys:
            try:
                batches = pipeline.commit_pending(lake, source, observe=quiet)
            except AuditFailed as error:
                refused = failure_of(error)
            pipeline.serve(lake)
        results = {result.check_name: result for result in expectation_results(lake, source)}
        metadata = committed_metadata(lake, source.name, batches, main=_MAIN[source.kind])
    counts = _counts(context, source, batches)
    if context.selected_asset_keys and not refused:
        results[BALANCE] = balance_result(counts)
    # Dagster wants an asset before its checks, or it would call the checks those of the materialisation before.
    if context.selected_asset_keys and not refused:
        seconds = round(time.perf_counter() - began, 3)
        yield dg.MaterializeResult(key, metadata={**counts_metadata(counts), **metadata, "seconds": seconds})
    wanted = {check.name for check in context.selected_asset_check_keys}
    yield from (result for name, result in results.items() if name in wanted)
    if refused:
        raise refused


def _counts(context: dg.AssetExecutionContext, source: Source, batches: tuple[Committed, ...]) -> Counts:
    """Return what became of the units of this run, with those that landing found unchanged in it."""
    unchanged = 0
    landed = context.instance.get_latest_materialization_event(raw_key(source.name))
    if landed and landed.run_id == context.run_id and landed.asset_materialization:
        unchanged = int(landed.asset_materialization.metadata[UNCHANGED].value)  # type: ignore[arg-type]
    return sum((batch.counts for batch in batches), Counts(seen=unchanged, unchanged=unchanged))


def _format(source: Source) -> str:
    if isinstance(source, TableSource) and source.format != "auto":
        return {"jsonl": "json"}.get(source.format, source.format)
    return "json" if source.path.endswith((".jsonl", ".ndjson")) else _FORMATS[source.kind]


def _shared(source: Source, stage: str) -> dict[str, Any]:
    group = raw_key(source.name).path[0] if stage == "land" else notes_key(source.name).path[0]
    return {
        "group_name": group,
        "owners": list(source.owners),
        "tags": {"source": source.name, "source_kind": source.kind, "stage": stage},
    }
