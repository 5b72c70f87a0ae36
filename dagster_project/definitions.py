"""What Dagster loads: everything under `defs/`."""

from __future__ import annotations

from pathlib import Path

import dagster as dg


@dg.definitions
def defs() -> dg.Definitions:
    """Return all definitions of this deployment; they are read when Dagster asks for them, not on import."""
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
