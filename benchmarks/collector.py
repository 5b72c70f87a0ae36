"""Measure the collector: single-event posts over loopback, each answered once it is durable; then kill it.

    python benchmarks/collector.py [--seconds N] [--connections 64 256] [--processes N] [--folder FOLDER]

Runs `notelake collect` as a process and posts events of about 400 bytes, one a request, over so many connections that
are kept alive, from a process of its own. Prints posts/s, the time from post to answer, how many events share an
fsync, and CPU microseconds per event of the collector; beside them how long an fsync of the disk takes alone. Each
round ends with SIGKILL under load; then every event that was answered with 202 must be in the log. `--folder` is
where the log is written: the disk that is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Final

TEXT: Final = "x" * 230
CLOCK_TICKS: Final = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure with each number of connections, or be the process that posts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--connections", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--processes", type=int, default=1, help="processes of the collector (default: 1)")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--post-to", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.post_to:
        asyncio.run(post(given.post_to, given.connections[0], given.seconds))
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        print(f"an fsync of 16 KB alone takes {fsync_seconds(Path(folder)) * 1e3:.1f} ms\n")
        print("| connections | posts/s | p50 ms | p99 ms | events per fsync | CPU µs per event | 202 but lost |")
        print("|---:|---:|---:|---:|---:|---:|---:|")
        for connections in given.connections:
            log = Path(folder) / str(connections)
            print(measured(log, connections, given.seconds, processes=given.processes), flush=True)


def fsync_seconds(folder: Path) -> float:
    """Return how long a write of 16 KB and its fsync take, the median of a hundred."""
    took = []
    with (folder / "probe").open("ab", buffering=0) as file:
        for _ in range(100):
            begun = perf_counter()
            file.write(b"x" * 16_384)
            os.fsync(file.fileno())
            took.append(perf_counter() - begun)
    return sorted(took)[50]


def measured(folder: Path, connections: int, seconds: float, *, processes: int) -> str:
    """Return a row of the table: a collector that is posted to, and killed while it is."""
    command = [sys.executable, "-m", "dagster_project.cli", "collect", "--stream", str(folder), "--port", "0"]
    command += ["--processes", str(processes)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as collector:
        told = collector.stderr.readline()
        port = int(told.split()[3].rsplit(":", 1)[1])
        pids = [collector.pid, *children(collector.pid)]
        before = sum(map(cpu_seconds, pids))
        load = [sys.executable, __file__, "--post-to", str(port), "--connections", str(connections)]
        with subprocess.Popen([*load, "--seconds", str(seconds)], stdout=subprocess.PIPE, text=True) as posts:
            figures = json.loads(posts.stdout.readline())
            used = sum(map(cpu_seconds, pids)) - before
            health = figures.pop("health")
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            answered = set(posts.stdout.read().split())
    lost = answered - {event["id"] for file in folder.iterdir() for event in events(file)}
    took = sorted(figures["took"])
    return (
        f"| {connections} | {figures['posts'] / figures['seconds']:,.0f} | {took[len(took) // 2] * 1e3:.1f} "
        f"| {took[len(took) * 99 // 100] * 1e3:.1f} | {health['events'] / health['syncs']:.0f} "
        f"| {used / figures['posts'] * 1e6:.0f} | {len(lost)} of {len(answered):,} |"
    )


def children(pid: int) -> list[int]:
    """Return the processes that a process has begun; none where there is no /proc."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds a process has used; 0 where there is no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except FileNotFoundError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def events(file: Path) -> list[dict[str, object]]:
    """Return the events of a log whose last line may be cut."""
    *lines, last = file.read_bytes().split(b"\n")  # an empty file has one, empty
    return [json.loads(line) for line in lines] + ([json.loads(last)] if last.endswith(b"}") else [])


class Connection(asyncio.Protocol):
    """Posts an event, and the next when it is answered, until the server is gone."""

    def __init__(self, who: int, answered: list[tuple[str, float]]) -> None:
        self.answered = answered
        self.who, self.number, self.begun, self.got = who, 0, 0.0, b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = transport  # type: ignore[assignment]
        self.send()

    def send(self) -> None:
        """Post the next event."""
        self.number += 1
        body = (
            f'{{"id":"{self.who}-{self.number}","detail-type":"note.updated","source":"vault.git",'
            f'"time":"2026-05-14T09:00:00Z","detail":{{"path":"pages/{self.number % 5000}.md","actor":"uf6b928ed",'
            f'"text":"{TEXT}"}}}}'
        )
        head = "POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
        self.begun = perf_counter()
        self.transport.write(f"{head}{len(body)}\r\n\r\n{body}".encode())

    def data_received(self, data: bytes) -> None:
        """Count an answer."""
        self.got += data
        if b"accepted" not in self.got:
            return
        assert self.got.startswith(b"HTTP/1.1 202"), self.got
        self.got = b""
        self.answered.append((f"{self.who}-{self.number}", perf_counter() - self.begun))
        self.send()


async def post(port: int, connections: int, seconds: float) -> None:
    """Post for so long and print the figures; then post on until the server is gone, and print what was answered."""
    loop, answered = asyncio.get_running_loop(), []
    lines = [
        (await loop.create_connection(lambda who=who: Connection(who, answered), "127.0.0.1", port))[0]
        for who in range(connections)
    ]
    await asyncio.sleep(1)
    first, begun = len(answered), perf_counter()
    await asyncio.sleep(seconds)
    took, lasted = [took for _, took in answered[first:]], perf_counter() - begun
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    health = json.loads((await reader.read()).split(b"\r\n\r\n", 1)[1])
    print(json.dumps({"posts": len(took), "seconds": lasted, "took": took, "health": health}), flush=True)
    while not all(line.is_closing() for line in lines):
        await asyncio.sleep(0.1)
    print("\n".join(id_ for id_, _ in answered))


if __name__ == "__main__":
    main()
