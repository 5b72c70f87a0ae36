"""The daily clean-up, on from the start."""

from __future__ import annotations

import dagster as dg

from dagster_project.components.upkeep import upkeep_definitions


@dg.definitions
def defs() -> dg.Definitions:
    """Return the job `upkeep` and its schedule."""
    return upkeep_definitions()
