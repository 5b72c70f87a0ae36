"""Servers as processes: how each is made and started on a free port of loopback, waited for, and ended by its pid.

What belongs here: all that starts a server of any kind. What does not: which tests share one (`conftest`), and what
they ask it. A server that is not on this machine skips the test that asks for it.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

ROOT = Path(__file__).parents[2]
SERVERS = Path(os.environ.get("NOTELAKE_TEST_SERVERS", ROOT / ".servers"))
START_SECONDS = 30
KEY, SECRET, REGION = "notelake", "only-on-loopback", "us-east-1"
CEPH = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
"""The programs that Ceph's S3 gateway takes."""


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def program(name: str, of: str = "") -> str:
    """Return the path of a program. The test is skipped if there is none; `of` names what is missing then."""
    places = [SERVERS / "bin", *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    path = os.pathsep.join([*map(str, places), os.environ.get("PATH", ""), "/usr/sbin"])
    return shutil.which(name, path=path) or pytest.skip(
        f"there is no {of or name} on this machine: run tests/servers/install.sh"
    )


@dataclass
class Server:
    """A server with a folder and a port of its own, which can be ended and begun again; what it keeps, it keeps."""

    folder: Path
    command: Sequence[str]
    port: int
    stop: int = signal.SIGTERM
    user: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] | None = None
    answers: Callable[[Server], object] = lambda _: None
    """Called when its port is open; returns when it answers."""
    running: ExitStack = field(default_factory=ExitStack)

    def begin(self) -> None:
        log, more = self.folder / "log", {**self.user, "env": self.environment, "cwd": self.folder}
        self.running.enter_context(daemon(self.command, self.port, log, stop=self.stop, **more))
        self.answers(self)

    def end(self) -> None:
        self.running.close()


@contextmanager
def serving(make: Callable[[Path], Server]) -> Iterator[Server]:
    """Run a server in a folder that is removed after it."""
    folder = Path(tempfile.mkdtemp(prefix="notelake-server-"))
    folder.chmod(0o755)
    server: Server | None = None
    try:
        server = make(folder)
        server.begin()
        yield server
    finally:
        if server:
            server.end()
        shutil.rmtree(folder, ignore_errors=True)


def _owned_by(name: str, folder: Path) -> dict[str, Any]:
    """Return how to run a server that does not run as root: as `name`, who then owns the folder."""
    if os.geteuid() != 0:
        return {}
    try:
        group = pwd.getpwnam(name).pw_gid
    except KeyError:
        pytest.skip(f"the server does not run as root, and there is no user {name}")
    shutil.chown(folder, name, group)
    return {"user": name, "group": group, "extra_groups": []}


def postgresql(folder: Path, *, hosts: str = "") -> Server:
    """Make a PostgreSQL whose owner is `notelake`; `hosts` are lines before those of its pg_hba.conf."""
    initdb, server = program("initdb", "PostgreSQL"), program("postgres", "PostgreSQL")
    user, data, port = _owned_by("postgres", folder), folder / "data", free_port()
    make = [initdb, "-D", str(data), "-U", "notelake", "--auth=trust", "-E", "UTF8", "--no-sync", "--locale=C"]
    subprocess.run(make, check=True, capture_output=True, cwd=folder, **user)
    known = data / "pg_hba.conf"
    known.write_text(hosts + known.read_text())
    options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": str(folder), "fsync": "off"}
    command = [server, "-D", str(data), "-p", str(port)]
    command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    # SIGINT is PostgreSQL's fast shutdown: it waits for no client.
    return Server(folder, command, port, signal.SIGINT, user, answers=_postgresql_answers)


def _postgresql_answers(server: Server) -> None:
    import psycopg2

    until = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg2.connect(host="127.0.0.1", port=server.port, user="notelake", dbname="postgres").close()
            return
        except psycopg2.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def mariadb(folder: Path) -> Server:
    """Make a MariaDB whose owner is `root`."""
    install, server = program("mariadb-install-db", "MariaDB"), program("mariadbd", "MariaDB")
    user, data, port = _owned_by("mysql", folder), folder / "data", free_port()
    make = [install, "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal", "--skip-test-db"]
    subprocess.run(make, check=True, capture_output=True, cwd=folder, **user)
    command = [server, "--no-defaults", f"--datadir={data}", f"--port={port}", "--bind-address=127.0.0.1"]
    command += [f"--socket={folder}/socket", "--skip-name-resolve", "--innodb-flush-log-at-trx-commit=0"]
    return Server(folder, command, port, user=user)


def redis(folder: Path) -> Server:
    """Make a Redis that keeps what it is told on disk."""
    options = {"port": (port := free_port()), "bind": "127.0.0.1", "dir": folder, "save": "", "appendonly": "yes"}
    command = [program("redis-server", "Redis"), *(p for o, v in options.items() for p in (f"--{o}", str(v)))]
    return Server(folder, command, port)


KINESALITE_CLOCK = (
    "const real = Date.now, fs = require('fs'); Date.now = () => real() + Number(fs.readFileSync(process.env.SHIFT))"
)


def kinesalite(folder: Path) -> Server:
    """Make what speaks Kinesis' API; the file `shift` in its folder says by how many ms its clock is wrong."""
    cli = SERVERS / "kinesalite/node_modules/kinesalite/cli.js"
    if not cli.is_file():
        pytest.skip("there is no kinesalite on this machine: run tests/servers/install.sh")
    clock, shift, port = folder / "clock.js", folder / "shift", free_port()
    clock.write_text(KINESALITE_CLOCK)
    shift.write_text("0")
    command = [program("node"), "-r", str(clock), str(cli), "--port", str(port), "--path", str(folder / "db")]
    command += ["--createStreamMs", "1", "--updateStreamMs", "1"]
    return Server(folder, command, port, environment={"SHIFT": str(shift), "PATH": ""})


def versitygw(folder: Path) -> Server:
    """Make an S3 store that keeps its objects as files."""
    objects, attributes, port = folder / "objects", folder / "attributes", free_port()
    objects.mkdir()
    attributes.mkdir()
    # Attributes beside the objects: not every file system of a test machine has extended ones.
    posix = ["posix", "--sidecar", str(attributes), str(objects)]
    command = [program("versitygw"), "--port", f"127.0.0.1:{port}", "--region", REGION, "--quiet", *posix]
    return Server(folder, command, port, environment={**os.environ, "ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET})


@contextmanager
def daemon(
    command: Sequence[str],
    port: int,
    log: Path,
    *,
    stop: int = signal.SIGTERM,
    seconds: float = START_SECONDS,
    **popen: Any,
) -> Iterator[int]:
    """Run a server until the block ends. It inherits no open file, and so no lock of a test; it is ended by its pid."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, close_fds=True, start_new_session=True, **popen
        )
    try:
        _wait_for(process, port, log, seconds)
        yield process.pid
    finally:
        process.send_signal(stop)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Path, seconds: float = START_SECONDS) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail(f"{process.args!r} did not start: {log.read_text('utf-8', 'replace')[-2000:]}")


CEPH_SETTINGS = """[global]
fsid = {fsid}
mon host = v1:127.0.0.1:{mon_port}
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
run dir = {folder}
admin socket = {folder}/$name.asok
pid file = {folder}/$name.pid
log file = {folder}/$name.log
keyring = {folder}/keyring
mon data = {folder}/mon
osd data = {folder}/osd
rgw data = {folder}/rgw
osd objectstore = memstore
memstore device bytes = 1073741824
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon data avail crit = 0
mon data avail warn = 0
mon max pg per osd = 1000
rgw frontends = beast endpoint=127.0.0.1:{port}
"""


@contextmanager
def radosgw(folder: Path) -> Iterator[int]:
    """Run a Ceph of one monitor, one store in memory and the S3 gateway; yield the gateway's port. Takes about 12 s."""
    mon_port, port, fsid = free_port(), free_port(), str(uuid4())
    for name in ("mon", "osd", "rgw"):
        (folder / name).mkdir()
    settings = folder / "ceph.conf"
    settings.write_text(CEPH_SETTINGS.format(folder=folder, fsid=fsid, mon_port=mon_port, port=port))
    conf = ["-c", str(settings)]

    def do(*command: str) -> None:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, (command, done.stderr[-2000:])

    monitors = ["--addv", "a", f"[v1:127.0.0.1:{mon_port}]", "--fsid", fsid]
    do(
        "monmaptool",
        "--create",
        *monitors,
        "--enable-all-features",
        "--set-min-mon-release",
        "16",
        str(folder / "monmap"),
    )
    do("ceph-mon", *conf, "--mkfs", "-i", "a", "--monmap", str(folder / "monmap"))
    with ExitStack() as running:
        running.enter_context(daemon(["ceph-mon", *conf, "-f", "-i", "a"], mon_port, folder / "mon.out", cwd=folder))
        osd = str(uuid4())
        do("ceph", *conf, "--connect-timeout", "30", "osd", "new", osd)
        do("ceph-osd", *conf, "-i", "0", "--mkfs", "--osd-uuid", osd)
        # The store's ports are its own choice: the next step waits for it.
        running.enter_context(daemon(["ceph-osd", *conf, "-f", "-i", "0"], mon_port, folder / "osd.out", cwd=folder))
        user = ["--uid=notelake", "--display-name=notelake", f"--access-key={KEY}", f"--secret={SECRET}"]
        do("radosgw-admin", *conf, "user", "create", *user)
        gateway = ["radosgw", *conf, "-f", "-n", "client.rgw"]
        running.enter_context(daemon(gateway, port, folder / "rgw.out", cwd=folder))
        yield port
