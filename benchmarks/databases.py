"""Rows of PostgreSQL to committed raw, against ADBC's bare read to Parquet; then without change, and with 1% changed.

`python benchmarks/databases.py --rows 1000000` starts a PostgreSQL of its own on loopback (`initdb` must be found), or
takes `--address postgresql://…` of one that may be written to. The server's own time is in the wall seconds only.
"""

from __future__ import annotations

import argparse
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import adbc_driver_postgresql.dbapi
from side_by_side import DATA, Measured, measure

FILL = """
CREATE TABLE talked AS
SELECT i AS id, 'C-' || lpad((hashint8(i)::bigint & 524287)::text, 6, '0') AS customer,
  (hashint8(i + 7)::bigint & 1048575) / 100.0::float8 AS amount, hashint8(i + 9) & 3 AS priority,
  hashint8(i + 3) & 1 = 0 AS is_open, DATE '2015-01-01' + (hashint8(i + 5) & 4095) AS due,
  TIMESTAMPTZ '2015-01-01' + make_interval(secs => (hashint8(i + 11) & 268435455)::float8) AS created_at,
  (ARRAY['call', 'mail', 'meeting', 'chat', NULL])[1 + (hashint8(i + 13) & 3)] AS channel,
  'Talked about the "new" plan, no. ' || hashint8(i + 19) AS comment
FROM generate_series(1, {rows}::bigint) AS s(i)
"""
CHANGE = (
    "UPDATE talked SET comment = comment || '.' WHERE id % 200 = 0",
    "DELETE FROM talked WHERE id % 400 = 1",
    "INSERT INTO talked SELECT id + 100000000, customer, amount, priority, is_open, due FROM talked WHERE id % 400 = 3",
)
BARE = """
import adbc_driver_postgresql.dbapi as driver, pyarrow.parquet as parquet
with driver.connect("{address}") as con, con.cursor() as cursor:
    cursor.execute("SELECT * FROM talked")
    reader = cursor.fetch_record_batch()
    with parquet.ParquetWriter("{data}/bare.parquet", reader.schema, compression="zstd") as writer:
        for batch in reader:
            writer.write_batch(batch)
"""
LAND = """
import os
from datetime import UTC, datetime
from uuid import uuid4
from dagster_project.lake.lake import open_lake
from dagster_project.settings import settings
from dagster_project.sources import NoteMapping, TableSource
from dagster_project.steps.land import land
from dagster_project.reports import quiet
lake = open_lake(settings("{data}/lake"), clock=lambda: datetime.now(UTC), ids=lambda: uuid4().hex)
os.environ["BENCHMARK"] = "{address}"
source = TableSource(name="talked", path="postgresql://", address_variable="BENCHMARK", table="talked", {attributes})
done = land(lake, source, observe=quiet)
print(done.arrivals, "arrivals,", done.unchanged, "unchanged")
"""
COMPARED = 'mode="merge", incremental="compare", note=NoteMapping(key="id")'
CURSOR = 'mode="append", incremental="cursor", cursor="id"'


@contextmanager
def server() -> Iterator[str]:
    """Run a PostgreSQL in a folder of its own; give its address."""
    places = [os.environ.get("PATH", ""), *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True))]
    initdb = shutil.which("initdb", path=os.pathsep.join(places))
    if initdb is None:
        print("There is no initdb, so nothing was measured: run tests/servers/install.sh, or give --address.")
        raise SystemExit(0)
    folder = Path(tempfile.mkdtemp(prefix="notelake-benchmark-"))
    user: dict[str, object] = {}
    if os.geteuid() == 0:
        owner = pwd.getpwnam("postgres")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        user = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    make = [initdb, "-D", f"{folder}/data", "-U", "notelake", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C"]
    subprocess.run(make, check=True, capture_output=True, cwd=folder, **user)
    command = [str(Path(initdb).with_name("postgres")), "-D", f"{folder}/data", "-p", str(port)]
    command += ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}", "-c", "fsync=off"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=folder, start_new_session=True, **quiet, **user) as process:
        try:
            time.sleep(3)
            yield f"postgresql://notelake@127.0.0.1:{port}/postgres"
        finally:
            process.send_signal(signal.SIGINT)
    shutil.rmtree(folder, ignore_errors=True)


def do(address: str, *statements: str) -> None:
    """Do and commit."""
    with adbc_driver_postgresql.dbapi.connect(address) as con, con.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        con.commit()


def line(name: str, took: Measured, bare: Measured) -> str:
    """Return a row of the table."""
    told = took.output.strip().splitlines()[-1:] or [""]
    ratio = f"{took.wall / bare.wall:.2f} | {took.cpu / bare.cpu:.2f}"
    return f"| {name} | {took.wall:.2f} | {took.cpu:.2f} | {took.peak_mb:.0f} | {ratio} | {told[0]} |"


def compared(address: str, rows: int) -> None:
    """Print the table."""
    names = {"data": DATA, "address": address}
    landing = [sys.executable, "-c", LAND.format(**names, attributes=COMPARED)]
    by_cursor = [sys.executable, "-c", LAND.format(**names, attributes=CURSOR)]
    shutil.rmtree(DATA / "lake", ignore_errors=True)
    do(address, "DROP TABLE IF EXISTS talked", FILL.format(rows=rows), "ANALYZE talked")
    bare = measure([sys.executable, "-c", BARE.format(**names)])
    print("| command | wall s | CPU s | peak MB | wall ratio | CPU ratio | what landed |")
    print("|---|---:|---:|---:|---:|---:|---|")
    print(line("ADBC to Parquet, bare", bare, bare))
    print(line("notelake land, first", measure(landing), bare), flush=True)
    print(line("compare, no change", measure(landing), bare), flush=True)
    do(address, *CHANGE)
    print(line("compare, 1% changed", measure(landing), bare), flush=True)
    shutil.rmtree(DATA / "lake")
    print(line("cursor, first", measure(by_cursor), bare), flush=True)
    print(line("cursor, no change", measure(by_cursor), bare), flush=True)
    shutil.rmtree(DATA / "lake")
    (DATA / "bare.parquet").unlink()


def main() -> None:
    """Read the options, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--address")
    given = parser.parse_args()
    DATA.mkdir(exist_ok=True)
    if given.address:
        compared(given.address, given.rows)
        return
    with server() as address:
        compared(address, given.rows)


if __name__ == "__main__":
    main()
