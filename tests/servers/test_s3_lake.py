"""A lake on S3, its catalog in PostgreSQL: the same tables as on local disk."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import duckdb
import pytest
import s3fs

from dagster_project.doctor import examine
from dagster_project.lake.lake import Lake
from dagster_project.lake.upkeep import clean
from dagster_project.pipeline import run
from dagster_project.settings import Settings, settings
from dagster_project.sources import DocumentSource, Source, TableSource

from .conftest import KEY, ROOT, SECRET, Rows, opened

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, sample: Sequence[Source]) -> Path:
    """The sample in a lake on local disk."""
    folder = tmp_path_factory.mktemp("local") / "lake"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYICEBERG_CATALOG__NOTELAKE__URI", raising=False)
        patch.delenv("NOTELAKE_VIEW_FILE", raising=False)
        assert [report.error for report in run(opened(settings(str(folder))), sample).reports] == [None] * len(sample)
    return folder


def test_the_sample_gives_the_same_tables_on_s3_as_on_local_disk(
    s3_lake: Settings, sample: Sequence[Source], rows_of: Callable[[Lake], Rows]
) -> None:
    lake = opened(s3_lake)
    done = run(lake, sample)
    assert [report.error for report in done.reports] == [None] * len(sample)
    print(done.reports, done.seconds)
