"""Measure commands as whole processes, one after the other in turn: wall seconds, CPU seconds, peak memory.

What belongs here: running a command and reading the system's own accounting of it. What does not: what is compared.
Also a command of its own: `python benchmarks/side_by_side.py --runs 3 'command one' 'command two'`.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import resource
import shlex
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

DATA = Path(os.environ.get("NOTELAKE_BENCHMARK_DATA", Path(__file__).parent / ".data"))
"""Where big inputs and lakes are made and, lakes at least, removed again; the variable names another place."""
_SET_CHILD_SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of <linux/prctl.h>."""
MB = 1 / 1024 if sys.platform != "darwin" else 1 / (1024 * 1024)
"""Linux tells the peak in KiB, macOS in bytes."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of a command; `cpu` is user and system seconds together, `peak_mb` the largest it was."""

    wall: float
    cpu: float
    peak_mb: float
    output: str


def measure(
    command: Sequence[str], *, environment: dict[str, str] | None = None, fine: Sequence[int] = (0,)
) -> Measured:
    """Run `command` to its end; RuntimeError with its output if its exit code is none of `fine`."""
    began = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, **(environment or {})}
    ) as process:
        output = process.stdout.read() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - began
    if process.returncode not in fine:
        raise RuntimeError(f"{shlex.join(command)} ended with {process.returncode}:\n{output}")
    return Measured(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * MB, output)


@dataclass(frozen=True, slots=True)
class Spent:
    """What a command and all processes it started took."""

    cpu: float
    wall: float
    peak_mib: float = 0.0


def spend(command: Sequence[str], *, environment: dict[str, str] | None = None, fine: Sequence[int] = (0,)) -> Spent:
    """Run `command`, and wait until every process it started has ended too; RuntimeError if it fails.

    Processes whose parent ended first are taken over, so that the system counts their CPU time here (on Linux).
    Memory is sampled ten times a second: what all its processes have, shared pages divided among those that share them.
    """
    _adopt_orphans()
    standing = frozenset(_family(os.getpid()))  # a server of the benchmark's own, which is none of the command's
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, **(environment or {})})
    with _Sampler(standing) as sampler:
        code = process.wait()
    wall = time.perf_counter() - began
    with suppress(ChildProcessError):
        while _family(os.getpid(), but=standing):
            os.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if code not in fine:
        raise RuntimeError(f"{shlex.join(command)} ended with {code}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Spent(cpu, wall, sampler.peak_mib)


def _adopt_orphans() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class _Sampler(threading.Thread):
    """Looks at the memory of all processes below this one, but those that were `standing`, until it is left."""

    def __init__(self, standing: frozenset[int]) -> None:
        super().__init__(daemon=True)
        self.standing, self.peak_mib, self._over = standing, 0.0, threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        while not self._over.wait(0.1):
            self.peak_mib = max(self.peak_mib, sum(map(_pss_mib, _family(os.getpid(), but=self.standing))))


def _family(pid: int, *, but: frozenset[int] = frozenset()) -> list[int]:
    """Return all processes below `pid`, those that were adopted among them; not those of `but`, nor what is below."""
    below = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                below += [] if child in but else [child, *_family(child)]
    return below


def _pss_mib(pid: int) -> float:
    with suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def in_turn(commands: Sequence[Sequence[str]], runs: int, *, fine: Sequence[int] = (0,)) -> list[list[Measured]]:
    """Run the commands A B A B …, so that a machine whose speed drifts is as slow for one as for the other."""
    results: list[list[Measured]] = [[] for _ in commands]
    for _ in range(runs):
        for place, command in enumerate(commands):
            results[place].append(measure(command, fine=fine))
    return results


def median(runs: Sequence[Measured], figure: str) -> float:
    """Return the median of one figure over runs."""
    return statistics.median(getattr(run, figure) for run in runs)


def table(names: Sequence[str], results: Sequence[Sequence[Measured]]) -> str:
    """Return a Markdown table of medians, and of each command's ratio to the last one."""
    lines = ["| command | wall s | CPU s | peak MB | wall ratio | CPU ratio |", "|---|---:|---:|---:|---:|---:|"]
    for name, runs in zip(names, results, strict=True):
        wall, cpu, peak = (median(runs, figure) for figure in ("wall", "cpu", "peak_mb"))
        walls = wall / median(results[-1], "wall")
        cpus = cpu / median(results[-1], "cpu")
        lines.append(f"| {name} | {wall:.2f} | {cpu:.2f} | {peak:,.0f} | {walls:.2f} | {cpus:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Compare the commands given as arguments."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("commands", nargs="+", help="each one string, split as a shell splits words")
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    results = in_turn([shlex.split(command) for command in given.commands], given.runs)
    print(table(given.commands, results))


if __name__ == "__main__":
    main()
