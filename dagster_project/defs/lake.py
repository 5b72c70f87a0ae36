"""The lake all assets share, how runs execute, and the job over all sources."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from dagster_project.components.resources import LakeResource
from dagster_project.components.timing import everything
from dagster_project.settings import project_root
from dagster_project.sources import declared_sources


@dg.definitions
def defs() -> dg.Definitions:
    """Return the resource `lake`, the executor and the job `everything`."""
    sources = declared_sources(Path(__file__).parent / "sources", project_root())
    # A process per step would spend most of the time importing: ten assets took 21 s instead of 3.
    shared = dg.Definitions(resources={"lake": LakeResource(lake=None)}, executor=dg.in_process_executor)
    return dg.Definitions.merge(shared, everything(sources))
