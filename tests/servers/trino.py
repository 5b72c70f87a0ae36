"""Trino on loopback, on the lake's own catalog: started where it was brought, ended by its pid."""

from __future__ import annotations

import json
import os
import shutil
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from .daemons import SERVERS, daemon, free_port

JAVA_LEAST = 24
_OPTIONS = (
    "-Xmx1500m",
    "-XX:+UseSerialGC",
    "-Djdk.attach.allowAttachSelf=true",
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
)


@contextmanager
def trino(lake: Path, folder: Path, derived: Mapping[str, str]) -> Iterator[int]:
    """Serve the lake as catalog `lake`, and Parquet files as tables of `derived.derived`; give the port."""
    home, java, sqlite = _found()
    _tables_of(derived, folder)
    (folder / "catalogs").mkdir()
    for name, database in (("lake", lake / "catalog.db"), ("derived", folder / "derived.db")):
        (folder / "catalogs" / f"{name}.properties").write_text(_catalog(database, folder))
    plugins = folder / "plugins" / "iceberg"
    shutil.copytree(home / "plugin" / "iceberg", plugins, copy_function=os.symlink)
    (plugins / sqlite.name).symlink_to(sqlite)
    port = free_port()
    config = {
        "coordinator": "true",
        "node-scheduler.include-coordinator": "true",
        "http-server.http.port": str(port),
        "discovery.uri": f"http://127.0.0.1:{port}",
        "plugin.dir": str(folder / "plugins"),
        "catalog.config-dir": str(folder / "catalogs"),
    }
    (folder / "config.properties").write_text("".join(f"{name}={value}\n" for name, value in config.items()))
    node = {"environment": "test", "id": "one", "data-dir": folder, "bind-ip": "127.0.0.1"}
    node |= {"internal-address": "127.0.0.1"}
    command = [java, *_OPTIONS, *(f"-Dnode.{name}={value}" for name, value in node.items())]
    command += [f"-Dconfig={folder / 'config.properties'}", "-cp", f"{home}/lib/*", "io.trino.server.TrinoServer"]
    with daemon(command, port, folder / "trino.log", seconds=120, cwd=folder):
        _wait(port)
        yield port


def _found() -> tuple[Path, str, Path]:
    homes, jars = sorted(SERVERS.glob("trino-server-*/lib")), sorted((SERVERS / "jars").glob("sqlite-jdbc-*.jar"))
    javas = [java for java in map(str, Path("/usr/lib/jvm").glob("*/bin/java")) if _version(java) >= JAVA_LEAST]
    if not homes or not javas or not jars:
        pytest.skip(f"Trino takes Java {JAVA_LEAST} and 820 MB: run TRINO=1 tests/servers/install.sh")
    return homes[-1].parent, javas[-1], jars[-1]


def _version(java: str) -> int:
    release = Path(java).parents[1] / "release"
    told = [line for line in release.read_text().splitlines() if line.startswith("JAVA_VERSION=")]
    return int(told[0].split('"')[1].split(".")[0]) if told else 0


def _catalog(database: Path, folder: Path) -> str:
    return (
        "connector.name=iceberg\niceberg.catalog.type=jdbc\niceberg.jdbc-catalog.catalog-name=notelake\n"
        "iceberg.jdbc-catalog.driver-class=org.sqlite.JDBC\niceberg.jdbc-catalog.schema-version=V1\n"
        f"iceberg.jdbc-catalog.connection-url=jdbc:sqlite:{database}\n"
        f"iceberg.jdbc-catalog.default-warehouse-dir=file://{folder}\nfs.hadoop.enabled=true\n"
    )


def _tables_of(derived: Mapping[str, str], folder: Path) -> None:
    from pyiceberg.catalog.sql import SqlCatalog

    catalog = SqlCatalog("notelake", uri=f"sqlite:///{folder / 'derived.db'}", warehouse=f"file://{folder}")
    catalog.create_namespace("derived")
    for name, file in derived.items():
        rows = pq.read_table(file)
        catalog.create_table(f"derived.{name.replace('.', '__')}", schema=rows.schema).append(rows)
    catalog.close()


def _wait(port: int) -> None:
    import time

    for _ in range(600):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/info", timeout=5) as answer:
                if not json.load(answer)["starting"]:
                    return
        except OSError:
            pass
        time.sleep(0.2)
    raise TimeoutError("Trino did not start")


def ask(port: int, sql: str) -> list[list[Any]]:
    """Return the rows of a statement."""
    headers = {"X-Trino-User": "test", "X-Trino-Time-Zone": "UTC", "X-Trino-Client-Capabilities": "PARAMETRIC_DATETIME"}
    request: Any = urllib.request.Request(f"http://127.0.0.1:{port}/v1/statement", data=sql.encode(), headers=headers)
    rows: list[list[Any]] = []
    while True:
        with urllib.request.urlopen(request, timeout=60) as answer:
            told = json.load(answer)
        if "error" in told:
            raise RuntimeError(f"{told['error']['message']}\n{sql}")
        rows += told.get("data", [])
        if "nextUri" not in told:
            return rows
        request = told["nextUri"]
