"""What is unusual about a source is told alike by the status, the doctor and Dagster, and nothing fails by it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
import pyarrow as pa
import pytest
from click.testing import CliRunner

from dagster_project.cli import main
from dagster_project.components.checks import usual_result
from dagster_project.components.metadata import figures_metadata
from dagster_project.contracts import AUDITS
from dagster_project.doctor import examine
from dagster_project.lake.commit import Change, commit
from dagster_project.lake.lake import Lake, open_lake
from dagster_project.lake.staging import Stager
from dagster_project.settings import settings
from dagster_project.sources import TableSource
from dagster_project.steps.serve import serve

NOW = datetime.now(UTC)
TOLD = "it brought 3 rows to raw.crm, usual are 100 rows (10 batches)"
BROKEN = "raw.crm/owner_mostly_given, which is watched, did not hold (1 of 3 rows)"


def a_row(batch: int, rule: str, name: str, **told: Any) -> dict[str, Any]:
    at = NOW - timedelta(hours=11 - batch)
    row = {"batch_id": f"crm-{batch:02d}", "source": "crm", "suite": "raw.crm", "expectation": name, "rule": rule}
    return {**row, "success": True, "audited_at": at, **told}


def history(last: float) -> Iterator[dict[str, Any]]:
    """Yield eleven batches of a hundred rows, but for the last; it breaks a watched rule if it is odd."""
    for batch in range(11):
        is_odd = batch == 10 and last < 100
        yield a_row(batch, "figure", "count(*)", observed=last if batch == 10 else 100.0)
        yield a_row(batch, "watch", "owner_mostly_given", success=not is_odd, bad=int(is_odd), rows=3)


def a_lake(folder: Path, rows: list[dict[str, Any]]) -> Lake:
    lake = open_lake(settings(str(folder)), clock=lambda: datetime.now(UTC), ids=lambda: uuid4().hex, create=True)
    with Stager(lake, AUDITS, "crm") as stager:
        stager.write(pa.Table.from_pylist(rows, schema=AUDITS.schema))
        staged = stager.close()
    commit(lake, [Change(lake.pins([AUDITS.identifier])[AUDITS.identifier], added=staged)], summary={})
    serve(lake)
    return lake


@pytest.mark.parametrize(("last", "words"), [(3.0, [TOLD, BROKEN]), (101.0, [])], ids=["odd", "as usual"])
def test_what_is_unusual_is_told_alike_and_is_only_a_warning(tmp_path: Path, last: float, words: list[str]) -> None:
    lake = a_lake(tmp_path / "lake", list(history(last)))
    status = CliRunner().invoke(main, ["status", "--lake", str(tmp_path / "lake")], catch_exceptions=False)
    assert status.exit_code == 0
    assert [line for line in status.output.splitlines() if "Unusual" in line] == [
        f"Unusual: crm: {each}." for each in words
    ]
    found = [each for each in examine(lake.settings, []) if each.name.startswith("history")]
    assert [(each.state, each.fact) for each in found if each.state != "ok"] == [("warn", each) for each in words]
    source = TableSource(name="crm", path="/nowhere")
    check = usual_result(lake, source, dg.AssetKey(["notes", "crm_notes"]))
    assert (check.passed, check.severity) == (not words, dg.AssetCheckSeverity.WARN)
    assert check.metadata["unusual"].value == len(words)
    assert (check.description or "") == " ".join(f"{each}." for each in words)
    assert figures_metadata(lake, "crm") == {"count(*) of raw.crm": last}
