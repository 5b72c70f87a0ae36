"""The tables and views of lake.duckdb, and the sensor that reports them."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from dagster_project.components.served import served_definitions
from dagster_project.settings import project_root, settings
from dagster_project.sources import declared_sources


@dg.definitions
def defs() -> dg.Definitions:
    """Return an asset for each table and each view, fed by the sources that are declared beside this file."""
    sources = declared_sources(Path(__file__).parent / "sources", project_root())
    return served_definitions(sources, settings())
