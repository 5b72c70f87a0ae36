"""What all tests share: a clean environment, a clock and ids that repeat, and a real lake on disk."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from dagster_project.lake.lake import Lake, open_lake
from dagster_project.settings import Settings, settings

hypothesis_settings.register_profile(
    "notelake", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("notelake")

CORPORA = Path(__file__).parents[2] / "shared" / "corpora"
OURS = ("NOTELAKE_", "PYICEBERG_", "AWS_", "DAGSTER_HOME")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees what the person who runs it has set, but for what names a server or an interpreter to test on."""
    for name in list(os.environ):
        if name.startswith(OURS) and not name.startswith(("NOTELAKE_TEST_", "NOTELAKE_DUCKDB2_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("GX_ANALYTICS_ENABLED", "false")
    monkeypatch.setenv("DAGSTER_DISABLE_TELEMETRY", "1")


@pytest.fixture
def clock() -> Callable[[], datetime]:
    """A clock that moves a second at every look."""
    ticks = itertools.count()
    return lambda: datetime(2026, 5, 14, 9, tzinfo=UTC) + timedelta(seconds=next(ticks))


@pytest.fixture
def ids() -> Callable[[], str]:
    """Names that count up."""
    numbers = itertools.count()
    return lambda: f"id{next(numbers):06d}"


@pytest.fixture
def where(tmp_path: Path) -> Settings:
    """A lake's place that holds nothing yet."""
    return settings(str(tmp_path / "lake"))


@pytest.fixture
def lake(where: Settings, clock: Callable[[], datetime], ids: Callable[[], str]) -> Lake:
    """A new lake with its shared tables, empty."""
    return open_lake(where, clock=clock, ids=ids)


@pytest.fixture(scope="session")
def corpora() -> Path:
    """Real inputs that are not part of the project."""
    if not CORPORA.is_dir():
        pytest.skip("the real inputs in ../shared/corpora are not on this machine")
    return CORPORA
