"""Real servers on loopback: PostgreSQL and an S3 store, each on a free port, with data of its own, ended by its pid.

`install.sh` beside this file brings what is missing. A server that cannot be had skips its tests, and says why.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
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
from dagster_project.settings import Settings, settings
from dagster_project.sources import Source, declared_sources

from .daemons import CEPH, START_SECONDS, daemon, free_port, radosgw

ROOT = Path(__file__).parents[2]
SERVERS = Path(os.environ.get("NOTELAKE_TEST_SERVERS", ROOT / ".servers"))
NOON = datetime(2026, 5, 16, 12, tzinfo=UTC)
KEY, SECRET, REGION = "notelake", "only-on-loopback", "us-east-1"
_NUMBERS = count()

Rows = dict[str, list[tuple[Any, ...]]]


def _program(name: str) -> str | None:
    places = [SERVERS / "bin", *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    return shutil.which(name, path=os.pathsep.join([*map(str, places), os.environ.get("PATH", "")]))


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
    initdb, server = _program("initdb"), _program("postgres")
    if not initdb or not server:
        pytest.skip("there is no PostgreSQL on this machine: run tests/servers/install.sh")
    user = _unprivileged_user()
    folder = Path(tempfile.mkdtemp(prefix="notelake-postgres-"))
    try:
        if user:
            shutil.chown(folder, user["user"], user["group"])
        data, port = folder / "data", free_port()
        make = [initdb, "-D", str(data), "-U", "notelake", "--auth=trust", "-E", "UTF8", "--no-sync", "--locale=C"]
        subprocess.run(make, check=True, capture_output=True, cwd=folder, **user)
        options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": str(folder), "fsync": "off"}
        command = [server, "-D", str(data), "-p", str(port)]
        command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        # SIGINT is PostgreSQL's fast shutdown: it waits for no client.
        with daemon(command, port, folder.with_suffix(".log"), stop=signal.SIGINT, cwd=folder, **user):
            _wait_until_it_answers(port)
            yield Postgres(port)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        folder.with_suffix(".log").unlink(missing_ok=True)


def _unprivileged_user() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    try:
        group = pwd.getpwnam("postgres").pw_gid
    except KeyError:
        pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
    return {"user": "postgres", "group": group, "extra_groups": []}


def _wait_until_it_answers(port: int) -> None:
    import psycopg2

    until = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg2.connect(host="127.0.0.1", port=port, user="notelake", dbname="postgres").close()
            return
        except psycopg2.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


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
    folder = Path(tempfile.mkdtemp(prefix="notelake-s3-"))
    versitygw, asked = _program("versitygw"), os.environ.get("NOTELAKE_TEST_S3", "versitygw")
    try:
        if versitygw and asked == "versitygw":
            store = _versitygw(versitygw, folder)
        elif all(map(_program, CEPH)):
            store = radosgw(folder, key=KEY, secret=SECRET)
        else:
            pytest.skip("there is no S3 server on this machine: run tests/servers/install.sh")
        with store as port:
            yield f"http://127.0.0.1:{port}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _versitygw(server: str, folder: Path) -> Iterator[int]:
    objects, attributes = folder / "objects", folder / "attributes"
    objects.mkdir()
    attributes.mkdir()
    port = free_port()
    # Attributes beside the objects: not every file system of a test machine has extended ones.
    posix = ["posix", "--sidecar", str(attributes), str(objects)]
    command = [server, "--port", f"127.0.0.1:{port}", "--region", REGION, "--quiet", *posix]
    environment = {**os.environ, "ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET}
    with daemon(command, port, folder / "log", env=environment, cwd=folder):
        yield port


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
