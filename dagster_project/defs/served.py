"""The tables and views of lake.duckdb, and the sensor that reports them."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from dagster_project.components.served import served_assets, served_job, served_sensor
from dagster_project.settings import project_root, settings
from dagster_project.sources import declared_sources


@dg.definitions
def defs() -> dg.Definitions:
    """Return an asset for each table and each view, fed by the sources that are declared beside this file."""
    sources = declared_sources(Path(__file__).parent / "sources", project_root())
    job = served_job()
    return dg.Definitions(assets=[served_assets(sources)], jobs=[job], sensors=[served_sensor(settings(), job)])
