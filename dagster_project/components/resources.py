"""The lake as a Dagster resource.

What belongs here: where the lake lies, the clock and the ids that a run in Dagster uses. What does not: the lake.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

import dagster as dg
from pydantic import Field

from dagster_project.settings import Settings, settings

if TYPE_CHECKING:
    from dagster_project.lake.lake import Lake


class LakeResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The lake that assets read and write."""

    lake: str | None = Field(None, description="Folder or s3:// prefix; NOTELAKE_LAKE or data/lake if left out.")

    @property
    def settings(self) -> Settings:
        """Where the lake lies."""
        return settings(self.lake)

    def open(self, *, create: bool = True) -> Lake:
        """Open the lake as it stands now, with its shared tables. Raises as `open_lake` does."""
        from dagster_project.lake.lake import open_lake

        return open_lake(self.settings, clock=now, ids=new_id, create=create)


def now() -> datetime:
    """Return the current instant in UTC."""
    return datetime.now(UTC)


def new_id() -> str:
    """Return a name that nothing else bears: 32 hex digits."""
    return uuid4().hex
