"""The lake all assets share, how runs execute, and the job that runs everything."""

from __future__ import annotations

import dagster as dg

from dagster_project.components.resources import LakeResource


@dg.definitions
def defs() -> dg.Definitions:
    """Return the resource `lake`, the executor and the job `everything`."""
    everything = dg.define_asset_job(
        "everything", selection=dg.AssetSelection.all(), description="Run all sources, then report what is served."
    )
    # A process per step would spend most of the time importing: ten assets took 21 s instead of 3.
    return dg.Definitions(resources={"lake": LakeResource()}, jobs=[everything], executor=dg.in_process_executor)
