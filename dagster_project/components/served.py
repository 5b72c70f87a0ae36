"""The tables and views of `lake.duckdb` as assets: what they are, what they read, and what was served last.

What belongs here: reporting a publication. What does not: making one, which every source's commit does for itself.
"""

# No postponed annotations here: Dagster reads those of `context` and of resources.
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from dagster_project.components.assets import notes_key, raw_key
from dagster_project.components.checks import JUDGED
from dagster_project.components.failures import RETRIES, told
from dagster_project.components.metadata import (
    COLUMN_LINEAGE,
    ROW_COUNT,
    TABLE_NAME,
    columns_metadata,
    described_metadata,
)
from dagster_project.components.resources import LakeResource
from dagster_project.contracts import AUDITS, QUARANTINE, SHARED, Table
from dagster_project.settings import Settings, bundled
from dagster_project.sources import Source
from dagster_project.views.scans import CONTENTS

if TYPE_CHECKING:
    import duckdb

    from dagster_project.views.publish import Publication, Served
    from dagster_project.views.sql_files import View

NAME: Final = "served"
STEP: Final = "report"
INTERVAL_SECONDS: Final = 60
PUBLICATION: Final = "publication"
QUALITY: Final = "quality"
"""Schema of the views whose rows somebody should look at."""
NO_ROWS: Final = "nothing_to_look_at"
TELLS_OF_ALL: Final = ("quality.attachment_contents",)
"""Views of that schema that list what is there, good or bad."""


def relation_key(relation: str, sources: Iterable[str] = ()) -> dg.AssetKey:
    """Return the asset behind a relation of the lake: its own, or its source's raw rows.

    Those are behind `tables.<source>`, and the child tables of those of `sources`, `tables.<source>__<column>`.
    """
    namespace, name = relation.split(".", 1)
    if namespace != "tables":
        return dg.AssetKey([namespace, name])
    of = [source for source in sources if name == source or name.startswith(f"{source}__")]
    return raw_key(max(of, key=len, default=name))


def served_definitions(sources: Sequence[Source], settings: Settings) -> dg.Definitions:
    """Return an asset for each shared table and each view, the job that reports them, and the sensor that starts it."""
    selection = dg.AssetSelection.tag("stage", "serve")
    job = dg.define_asset_job(
        NAME, selection=selection, description="Report what lake.duckdb shows of each table and view."
    )
    return dg.Definitions(assets=[_served(sources)], jobs=[job], sensors=[_sensor(settings)])


def _served(sources: Sequence[Source]) -> dg.AssetsDefinition:
    """Return the shared tables and the views as one step: all are reported from the same publication."""
    from dagster_project.views.sql_files import read_views

    views = {view.identifier: view for view in read_views(bundled("sql") / "views")}
    # A view may bear a table's name; it is what people then see under it.
    tables = [table for table in SHARED if table.identifier not in views]
    specs = [
        *(_table_spec(table, sources) for table in tables),
        *(_view_spec(view, sources) for view in views.values()),
    ]

    looked_at = [view for view in views.values() if _is_looked_at(view)]
    checks = [_quality_spec(view) for view in looked_at]

    @dg.multi_asset(name=STEP, specs=specs, check_specs=checks, can_subset=True, retry_policy=RETRIES)
    def served(context: dg.AssetExecutionContext, lake: LakeResource) -> Iterator[Any]:
        with told():
            asked = {check.asset_key for check in context.selected_asset_check_keys}
            for result in _report(lake, views, [source.name for source in sources]):
                if result.asset_key in context.selected_asset_keys:
                    yield result
                if result.asset_key in asked:
                    yield _quality_result(result)

    return served


def _is_looked_at(view: "View") -> bool:
    return view.schema == QUALITY and view.identifier not in TELLS_OF_ALL


def _quality_spec(view: "View") -> dg.AssetCheckSpec:
    description = f"There is no row: {view.row}. One is a warning, and stops nothing."
    return dg.AssetCheckSpec(NO_ROWS, asset=relation_key(view.identifier), description=description)


def _quality_result(reported: dg.MaterializeResult) -> dg.AssetCheckResult:  # type: ignore[type-arg]
    """Return whether a view of note quality has no row; how many it has is plotted."""
    rows = (reported.metadata or {})[ROW_COUNT]
    return dg.AssetCheckResult(
        asset_key=reported.asset_key,
        check_name=NO_ROWS,
        passed=not rows,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"rows": rows},
    )


def _table_spec(table: Table, sources: Sequence[Source]) -> dg.AssetSpec:
    writers = [source for source in sources if _writes(source, table)]
    return dg.AssetSpec(
        relation_key(table.identifier),
        deps=[notes_key(source.name) for source in writers],
        description=f"A row is: {table.row}.",
        kinds={"iceberg", "duckdb"},
        metadata={**columns_metadata(table.columns, table.key), TABLE_NAME: table.identifier},
        **_shared(table.namespace, writers, "table"),
    )


def _writes(source: Source, table: Table) -> bool:
    return table in (*JUDGED[source.kind], QUARANTINE, AUDITS)


def _view_spec(view: "View", sources: Sequence[Source]) -> dg.AssetSpec:
    own = relation_key(view.identifier)
    names = [source.name for source in sources]
    deps = [relation_key(name, names) for name in view.depends_on if name not in (view.identifier, CONTENTS)]
    if CONTENTS in view.depends_on:  # made of the raw rows of all document sources, and no asset of its own
        deps += [raw_key(source.name) for source in sources if source.kind == "documents"]
    if view.identifier in view.depends_on:  # it stands on the table of its own name, which is no asset of its own then
        table = next(table for table in SHARED if table.identifier == view.identifier)
        deps += [notes_key(source.name) for source in sources if _writes(source, table)]
    return dg.AssetSpec(
        own,
        deps=deps,
        description=f"A row is: {view.row}.\n\n```sql\n{view.sql}\n```",
        kinds={"duckdb", "view"},
        metadata={**described_metadata(view.columns), TABLE_NAME: view.identifier},
        **_shared(view.schema, sources, "view"),
    )


def _shared(namespace: str, sources: Sequence[Source], what: str) -> dict[str, Any]:
    owners = sorted({owner for source in sources for owner in source.owners})
    return {"group_name": namespace, "owners": owners, "tags": {"stage": "serve", "relation": what}}


def _report(
    resource: LakeResource, views: Mapping[str, "View"], sources: Sequence[str]
) -> Iterator[dg.MaterializeResult]:  # type: ignore[type-arg]
    """Yield what is served of each table and view, all from one publication."""
    with _view_file(resource) as (publication, con):
        about: dict[str, Any] = {
            PUBLICATION: publication.publication_id,
            "published at": dg.MetadataValue.timestamp(publication.published_at),
        }
        for pin in publication.pins:
            if pin.table_name not in views and not pin.table_name.startswith("raw."):
                yield dg.MaterializeResult(relation_key(pin.table_name), metadata={**_pin_metadata(pin), **about})
        types = _column_types(con)
        for view in views.values():
            yield dg.MaterializeResult(
                relation_key(view.identifier), metadata={**_view_metadata(con, view, types, sources), **about}
            )


def _pin_metadata(pin: "Served") -> dict[str, Any]:
    return {ROW_COUNT: pin.rows, "files": pin.files, "bytes": pin.bytes, "snapshot id": str(pin.snapshot_id)}


@contextmanager
def _view_file(resource: LakeResource) -> Iterator[tuple["Publication", "duckdb.DuckDBPyConnection"]]:
    """Open `lake.duckdb` read-only. Raises `dagster.Failure` if there is none yet."""
    from dagster_project.sql_words import literal
    from dagster_project.views.publish import published

    settings = resource.settings
    publication = published(settings.view_file)
    if publication is None:
        raise dg.Failure(
            f"Nothing is served at {settings.view_file} yet. Materialize a source first.", allow_retries=False
        )
    with resource.open().connect() as con:
        con.execute(f"ATTACH {literal(str(settings.view_file))} AS served (READ_ONLY)")
        con.execute("USE served")
        yield publication, con


def _column_types(con: "duckdb.DuckDBPyConnection") -> dict[str, dict[str, str]]:
    query = (
        "SELECT schema_name || '.' || table_name, column_name, data_type FROM duckdb_columns() "
        "WHERE database_name = 'served' ORDER BY 1, column_index"
    )
    types: dict[str, dict[str, str]] = {}
    for relation, column, type_ in con.execute(query).fetchall():
        types.setdefault(relation, {})[column] = type_
    return types


def _view_metadata(
    con: "duckdb.DuckDBPyConnection", view: "View", types: Mapping[str, Mapping[str, str]], sources: Sequence[str]
) -> dict[str, Any]:
    began = time.perf_counter()
    (rows,) = con.execute(f"SELECT count(*) FROM {view.identifier}").fetchone() or (0,)
    return {
        ROW_COUNT: rows,
        **described_metadata(view.columns, types.get(view.identifier)),
        **_lineage_metadata(view, types, sources),
        "seconds": round(time.perf_counter() - began, 3),
    }


def _lineage_metadata(view: "View", types: Mapping[str, Mapping[str, str]], sources: Sequence[str]) -> dict[str, Any]:
    from dagster_project.views.sql_files import lineage

    found = lineage(view, {name: list(types.get(name, ())) for name in view.depends_on})
    deps = {
        column: [
            dg.TableColumnDep(relation_key(relation, sources), name)
            for relation, name in origins
            if relation not in (view.identifier, CONTENTS)
        ]
        for column, origins in found.items()
    }
    return {COLUMN_LINEAGE: dg.TableColumnLineage({column: origins for column, origins in deps.items() if origins})}


def _sensor(settings: Settings) -> dg.SensorDefinition:
    """Return a sensor that has each publication reported once: sources publish by themselves, at their own times."""

    @dg.sensor(
        name=f"{NAME}_sensor",
        job_name=NAME,
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Reports the tables and views whenever lake.duckdb was published anew.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        from dagster_project.views.publish import published

        publication = published(settings.view_file)
        if publication is None:
            return dg.SkipReason("Nothing is served yet.")
        if publication.publication_id == _reported(context.instance):
            return dg.SkipReason("What is served was reported.")
        return dg.RunRequest(run_key=publication.publication_id)

    return sensor


def _reported(instance: dg.DagsterInstance) -> object:
    """Return the publication that was reported last, by whatever run."""
    event = instance.get_latest_materialization_event(relation_key("notes.notes"))
    told_ = event.asset_materialization if event else None
    return told_.metadata[PUBLICATION].value if told_ and PUBLICATION in told_.metadata else None
