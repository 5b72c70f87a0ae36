"""The types a `defs.yaml` names: a source of documents, of a table, of a stream.

What belongs here: what the three have in common and where they differ for Dagster. What does not: their fields
(`dagster_project.sources`) and how they are read (`pipeline`).
"""

from __future__ import annotations

from typing import ClassVar, Self

import dagster as dg
from pydantic import BaseModel

from dagster_project import sources
from dagster_project.components.assets import notes_asset, raw_asset
from dagster_project.components.attributes import attributes_of
from dagster_project.components.scaffold import SourceScaffolder
from dagster_project.components.streamed import reporting_of
from dagster_project.components.timing import timing_of
from dagster_project.settings import project_root


@dg.scaffold_with(SourceScaffolder)
class SourceComponent(dg.Component, dg.Resolvable):
    """A source: its two assets, their checks, a job, and what starts the job."""

    declares: ClassVar[type[sources.DocumentSource | sources.TableSource | sources.StreamSource]]

    def __init__(self, source: sources.Source) -> None:
        self.source = source

    @classmethod
    def __dg_package_entry__(cls) -> None:
        """Only the three kinds below are offered by `dg`; this class is what they share."""

    @classmethod
    def model(cls) -> type[BaseModel]:
        """Return what `attributes:` in the YAML may hold."""
        return attributes_of(cls.declares)

    @classmethod
    def resolve_from_model(cls, context: dg.ResolutionContext, model: BaseModel) -> Self:
        """Return the component for the attributes of a `defs.yaml`. Raises `SourceInvalid` if they don't hold."""
        attributes = context.resolve_value(model.model_dump(exclude_unset=True))
        source = sources.declare(cls.declares.__name__, attributes, f"The defs.yaml of {attributes.get('name')!r}")
        return cls(source.rooted(project_root()))  # type: ignore[arg-type]

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        """Return what `dg list components` and the UI say about this type."""
        return dg.ComponentTypeSpec(description=cls.declares.__doc__, tags=["notelake", cls.declares.kind])

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002  Dagster's signature
        """Return the source's assets with their checks, its job, and its schedule or sensors."""
        assets = dg.Definitions(assets=[raw_asset(self.source), notes_asset(self.source)])
        return dg.Definitions.merge(assets, timing_of(self.source), reporting_of(self.source))


class DocumentSource(SourceComponent):
    """A folder of files, each of them a note: Markdown or plain text; other files are kept as attachments."""

    declares = sources.DocumentSource


class TableSource(SourceComponent):
    """A file of rows, or a folder or pattern of such files, as CSV, JSON, Parquet or a spreadsheet; or a database."""

    declares = sources.TableSource


class StreamSource(SourceComponent):
    """A folder of append-only JSON-lines files, one shard each, read exactly once."""

    declares = sources.StreamSource
