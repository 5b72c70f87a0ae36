"""Whether a stream keeps up, as an asset check of the events it commits.

What belongs here: the check and its figures, which are plotted. What does not: the figures themselves (`steps.lag`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import dagster as dg

from dagster_project.contracts import EVENTS, NOTES
from dagster_project.sources import Source, StreamSource

if TYPE_CHECKING:
    from dagster_project.lake.lake import Lake

KEEPS_UP: Final = "keeps_up"
LANDED: Final = "landed up to"
COMMITTED: Final = "committed up to"
FOLDED: Final = "folded up to"


def lag_specs(source: Source, asset: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """Return the check that all of a stream that landed is committed; other sources have none."""
    description = (
        "All that landed is committed, as events and as notes, and the shards can be looked at. What waits in them, "
        "and events a second, are plotted. It is a warning."
    )
    return [dg.AssetCheckSpec(KEEPS_UP, asset=asset, description=description)] if source.kind == "stream" else []


def lag_results(lake: Lake, source: Source, asset: dg.AssetKey) -> list[dg.AssetCheckResult]:
    """Return how far a stream is behind; nothing for other sources."""
    if not isinstance(source, StreamSource):
        return []
    from dagster_project.steps.lag import lag_of

    lag = lag_of(lake, source)
    figures = {"waiting": lag.waiting, "uncommitted": lag.uncommitted, "unfolded": lag.unfolded}
    metadata = {name: figure for name, figure in figures.items() if figure is not None}
    result = dg.AssetCheckResult(
        asset_key=asset,
        check_name=KEEPS_UP,
        passed=not (lag.uncommitted or lag.unfolded or lag.trouble),
        severity=dg.AssetCheckSeverity.WARN,
        description=lag.trouble,
        metadata={**metadata, "events a second": round(lag.rate, 3)},
    )
    return [result]


def positions_metadata(lake: Lake, source: Source) -> dict[str, int]:
    """Return the last arrival of a stream that has landed, is an event, and is folded; nothing for other sources."""
    if not isinstance(source, StreamSource):
        return {}
    from dagster_project.steps.cursors import note_cursor, source_cursor

    pins = lake.pins()
    raw = pins.get(f"raw.{source.name}")
    landed = source_cursor(lake, raw).last_sequence if raw is not None else 0
    committed, folded = (note_cursor(lake, pins[table.identifier], source.name) for table in (EVENTS, NOTES))
    return {LANDED: landed, COMMITTED: committed, FOLDED: folded}
