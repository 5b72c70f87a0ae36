"""Servers as processes: started on a free port of loopback, waited for, and ended by their pid."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

START_SECONDS = 30
CEPH = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
"""The programs that Ceph's S3 gateway takes."""


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def daemon(command: Sequence[str], port: int, log: Path, *, stop: int = signal.SIGTERM, **popen: Any) -> Iterator[int]:
    """Run a server until the block ends. It inherits no open file, and so no lock of a test; it is ended by its pid."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, close_fds=True, start_new_session=True, **popen
        )
    try:
        _wait_for(process, port, log)
        yield process.pid
    finally:
        process.send_signal(stop)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + START_SECONDS
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
def radosgw(folder: Path, *, key: str, secret: str) -> Iterator[int]:
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
        user = ["--uid=notelake", "--display-name=notelake", f"--access-key={key}", f"--secret={secret}"]
        do("radosgw-admin", *conf, "user", "create", *user)
        gateway = ["radosgw", *conf, "-f", "-n", "client.rgw"]
        running.enter_context(daemon(gateway, port, folder / "rgw.out", cwd=folder))
        yield port
