"""How far a source has come, as properties of the tables that hold its rows.

The *source cursor* says what of the source has landed; it stands in `raw.<source>`, set by the commit that lands the
rows. The *note cursor* says which of those arrivals have become notes; it stands in `notes.notes`, for a stream in
`notes.events` too, set by the commit of the batch. A stream that commits its events first is further in `notes.events`
than in `notes.notes`: what lies between is to be folded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from dagster_project.lake.lake import Lake
from dagster_project.lake.pins import Pin

SOURCE_CURSOR: Final = "notelake.source_cursor"
PAUSED: Final = "notelake.paused"
"""The property of `raw.<source>` that says since when runs skip the source; empty or missing if they do not."""
COLUMNS_SINCE: Final = "notelake.columns_since"
"""The property of `raw.<source>` that says with which arrival a column came that its first landing did not have."""


@dataclass(frozen=True, slots=True)
class SourceCursor:
    """Last arrival of a source, and for a stream the position in each shard."""

    last_sequence: int = 0
    positions: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the cursor as it stands in the table's properties."""
        return json.dumps(asdict(self), sort_keys=True)


def source_cursor(lake: Lake, raw: Pin) -> SourceCursor:
    """Return how far a source has landed at the moment of `raw`."""
    text = lake.properties(raw).get(SOURCE_CURSOR)
    return SourceCursor(**json.loads(text)) if text else SourceCursor()


def paused_since(lake: Lake, raw: Pin) -> str | None:
    """Return since when a source was paused at the moment of `raw` (UTC, ISO 8601); None if it was not."""
    return lake.properties(raw).get(PAUSED) or None


def columns_since(lake: Lake, raw: Pin) -> dict[str, int]:
    """Return the columns that came later, each with the first arrival of the landing that brought it.

    A field of a struct that came later stands behind its column, as `column.field`.

    Batches before that are shaped as if it were not there, so that they come out the same whenever they are made.
    """
    return dict(json.loads(lake.properties(raw).get(COLUMNS_SINCE, "{}")))


def note_cursor_name(source: str) -> str:
    """Return the name of the property that holds the note cursor of `source`."""
    return f"notelake.cursor.{source}"


def mapping_name(source: str) -> str:
    """Return the name of the property of `notes.notes` that holds the mapping guessed at the first landing."""
    return f"notelake.mapping.{source}"


def note_cursor(lake: Lake, notes: Pin, source: str) -> int:
    """Return the last arrival of `source` that has become notes at the moment of `notes`; 0 before the first."""
    return int(lake.properties(notes).get(note_cursor_name(source), 0))


def rewinds_name(source: str) -> str:
    """Return the name of the property of `notes.notes` that counts how often `source` was rewound."""
    return f"notelake.rewinds.{source}"


def rewinds(lake: Lake, notes: Pin, source: str) -> int:
    """Return how often `source` had been rewound at the moment of `notes`; work begun before a rewind is void."""
    return int(lake.properties(notes).get(rewinds_name(source), 0))
