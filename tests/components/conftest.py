"""A Dagster instance, a lake and two small sources: real ones, in a temporary folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from dagster_project.components import LakeResource
from dagster_project.components.assets import notes_asset, raw_asset
from dagster_project.components.served import served_definitions
from dagster_project.components.timing import everything, timing_of
from dagster_project.settings import settings
from dagster_project.sources import DocumentSource, Source, StreamSource

MARKER = "xylophone-marker-9921"
"""A word that stands in a note and must stand nowhere in Dagster's event log."""


@dataclass(frozen=True, slots=True)
class World:
    """Definitions over a folder of notes and a stream, and an instance to run them on."""

    folder: Path
    definitions: dg.Definitions
    instance: dg.DagsterInstance
    lake: LakeResource
    sources: tuple[Source, ...]
    marker: str = MARKER

    def run(self, job: str) -> dg.ExecuteInProcessResult:
        """Run a job to its end, whatever that is."""
        return self.definitions.resolve_job_def(job).execute_in_process(instance=self.instance, raise_on_error=False)

    def materialize(self, *keys: str) -> dg.ExecuteInProcessResult:
        """Materialize assets with their checks, as somebody does who presses the button in the UI."""
        job = self.definitions.resolve_implicit_global_asset_job_def()
        selection = [dg.AssetKey(key.split("/")) for key in keys]
        return job.execute_in_process(instance=self.instance, asset_selection=selection, raise_on_error=False)

    def note(self, name: str, text: str) -> None:
        """Write a note into the vault."""
        (self.folder / "vault" / name).write_text(text, "utf-8")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Three notes and two events; nothing has been run."""
    (tmp_path / "vault").mkdir()
    (tmp_path / "live").mkdir()
    events = [
        {
            "id": f"e{n}",
            "type": "note.created",
            "time": f"2026-05-14T09:0{n}:00Z",
            "path": f"n{n}",
            "detail": {"text": MARKER},
        }
        for n in range(2)
    ]
    (tmp_path / "live" / "a.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events), "utf-8")
    sources = (
        DocumentSource(name="vault", path=str(tmp_path / "vault"), owners=("team:scribes",)),
        StreamSource(name="live", path=str(tmp_path / "live"), enabled=False),
    )
    lake = LakeResource(lake=str(tmp_path / "lake"))
    definitions = dg.Definitions.merge(
        dg.Definitions(
            assets=[asset(source) for source in sources for asset in (raw_asset, notes_asset)],
            resources={"lake": lake},
            executor=dg.in_process_executor,
        ),
        everything(sources),
        *(timing_of(source) for source in sources),
        served_definitions(sources, settings(lake.lake)),
    )
    # In memory: on disk, each of a run's hundreds of events is a commit that waits for the disk.
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        made = World(tmp_path, definitions, instance, lake, sources)
        for name in "abc":
            made.note(f"{name}.md", f"# Note {name}\n\n{MARKER} and [[a]] #lake\n\n- [ ] a task {MARKER}\n")
        yield made
