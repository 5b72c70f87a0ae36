"""Real servers on loopback: PostgreSQL and an S3 store, each on a free port, with data of its own, ended by its pid.

`install.sh` beside this file brings what is missing. A server that cannot be had skips its tests, and says why.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from dagster_project.contracts import AUDITS, Table
from dagster_project.lake.lake import Lake, open_lake
from dagster_project.lake.read import relation
from dagster_project.pipeline import run
from dagster_project.settings import Settings, settings
from dagster_project.sources import Source, declared_sources

from .daemons import CEPH, KEY, REGION, ROOT, SECRET, SERVERS, postgresql, radosgw, serving, versitygw

NOON = datetime(2026, 5, 16, 12, tzinfo=UTC)
_NUMBERS = count()

Rows = dict[str, list[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class Postgres:
    """A PostgreSQL server."""

    port: int

    def database(self) -> str:
        """Make an empty database and return its address for SQLAlchemy."""
        import psycopg2

        name = f"lake{next(_NUMBERS)}"
        connection = psycopg2.connect(host="127.0.0.1", port=self.port, user="notelake", dbname="postgres")
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
        connection.close()
        return f"postgresql+psycopg2://notelake@127.0.0.1:{self.port}/{name}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server of this test session; it never runs as root."""
    with serving(postgresql) as server:
        yield Postgres(server.port)


@pytest.fixture
def catalog(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> str:
    """A catalog in a PostgreSQL database of the test's own, named as pyiceberg wants it; returns its address."""
    address = postgres.database()
    monkeypatch.setenv("PYICEBERG_CATALOG__NOTELAKE__URI", address)
    return address


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The address of an S3 store of this test session: versitygw, or Ceph's gateway where only that is at hand.

    `NOTELAKE_TEST_S3=radosgw` asks for the latter.
    """
    has_versitygw = shutil.which("versitygw", path=f"{SERVERS / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}")
    if has_versitygw and os.environ.get("NOTELAKE_TEST_S3", "versitygw") == "versitygw":
        with serving(versitygw) as server:
            yield f"http://127.0.0.1:{server.port}"
    elif all(map(shutil.which, CEPH)):
        with tempfile.TemporaryDirectory(prefix="notelake-s3-") as folder, radosgw(Path(folder)) as port:
            yield f"http://127.0.0.1:{port}"
    else:
        pytest.skip("there is no S3 server on this machine: run tests/servers/install.sh")


def make_bucket() -> str:
    """Make an empty bucket where the AWS variables lead to, and return `s3://name`."""
    import s3fs

    name = f"bucket{next(_NUMBERS)}"
    s3fs.S3FileSystem().mkdir(name)
    return f"s3://{name}"


@pytest.fixture
def bucket(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket of the test's own, `s3://name`; the usual AWS variables lead to it."""
    for name, value in aws_variables(s3_endpoint).items():
        monkeypatch.setenv(name, value)
    return make_bucket()


def aws_variables(endpoint: str) -> dict[str, str]:
    """Return what a person sets to reach a store that is not AWS."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@pytest.fixture
def s3_lake(bucket: str, catalog: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The place of an empty lake on S3, its catalog in PostgreSQL, its view file on this machine."""
    monkeypatch.setenv("NOTELAKE_VIEW_FILE", str(tmp_path / "served" / "lake.duckdb"))
    return settings(f"{bucket}/some/lake")


def opened(where: Settings) -> Lake:
    """Open a lake in which it is always the same noon: a clock's reading also stands inside of refused payloads."""
    return open_lake(where, clock=lambda: NOON, ids=lambda: uuid4().hex)


@pytest.fixture(scope="session")
def sample() -> tuple[Source, ...]:
    """The sample's sources, as they are declared."""
    return declared_sources(ROOT / "dagster_project" / "defs" / "sources", ROOT)


@pytest.fixture(scope="session")
def on_local_disk(tmp_path_factory: pytest.TempPathFactory, sample: tuple[Source, ...]) -> Settings:
    """The sample in a lake on local disk, its catalog in SQLite; to be read only: the tests of a session share it."""
    where = settings(str(tmp_path_factory.mktemp("local") / "lake"))
    assert [report.error for report in run(opened(where), sample).reports] == [None] * len(sample)
    return where


@pytest.fixture
def rows_of() -> Callable[..., Rows]:
    """Return all rows of all tables of a lake, columns named `without` and figures of them aside, in order."""

    def read(lake: Lake, without: Collection[str] = ()) -> Rows:
        with lake.connect() as con:
            return {
                name: con.execute(
                    f"SELECT {_listed(pin.table, without)} FROM {relation(pin)} AS t ORDER BY ALL"
                ).fetchall()
                for name, pin in lake.pins().items()
            }

    return read


def _listed(table: Table, without: Collection[str]) -> str:
    listed = ", ".join(f'"{column.name}"' for column in table.columns if column.name not in without)
    if table.identifier != AUDITS.identifier or not without:
        return listed
    of_them = f"regexp_matches(expectation, '^[a-z]+[(]({'|'.join(sorted(without))})[)]$')"
    return listed.replace('"observed"', f"CASE WHEN NOT {of_them} THEN observed END AS observed")
