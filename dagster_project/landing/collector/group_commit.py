"""Many writers, one fsync: what waits while the disk is busy goes to it together.

What holds: `write` returns when the lines are durable and raises when they may not be; lines of one call lie together.
What belongs here: the queue, its bound and its end. What does not: how lines get to the disk (`landing.emit`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass


class Full(Exception):
    """More waits to be written than may."""


@dataclass(slots=True)
class Tally:
    """What was written since the start."""

    events: int = 0
    syncs: int = 0
    error: OSError | None = None
    """Why the last write failed; None if it did not."""


class GroupCommit:
    """Appends what is given to it, all that waits at a time, with one thread; made and used in one event loop."""

    def __init__(self, append: Callable[[bytes], None], *, most_waiting: int) -> None:
        self.tally = Tally()
        self._append = append
        self._most = most_waiting
        self._held = 0
        self._waiting: list[tuple[bytes, int, asyncio.Future[None]]] = []
        self._wake = asyncio.Event()
        self._ends = False
        self._thread = ThreadPoolExecutor(1, "log")
        self._task = asyncio.create_task(self._write_on())

    @property
    def held(self) -> int:
        """Bytes that wait or are being written, and those that were only announced."""
        return self._held

    def hold(self, size: int) -> None:
        """Announce `size` bytes, to be let go with `release`. Raises `Full` where that would be more than may wait."""
        if self._held + size > self._most:
            raise Full
        self._held += size

    def release(self, size: int) -> None:
        """Let go of bytes that were announced."""
        self._held -= size

    async def write(self, lines: bytes, events: int) -> None:
        """Return when these lines, of so many events, are durable. Raises OSError if they may not be."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((lines, events, done))
        self._wake.set()
        await done

    async def close(self) -> None:
        """Write what still waits, and end."""
        self._ends = True
        self._wake.set()
        await self._task
        self._thread.shutdown()

    async def _write_on(self) -> None:
        while not self._ends or self._waiting:
            await self._wake.wait()
            self._wake.clear()
            group, self._waiting = self._waiting, []
            if group:
                await self._write(group)

    async def _write(self, group: list[tuple[bytes, int, asyncio.Future[None]]]) -> None:
        lines = b"".join(lines for lines, _, _ in group)
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._append, lines)
        except OSError as error:
            self.tally.error = error
            _settle(group, error)
        else:
            self.tally.events += sum(events for _, events, _ in group)
            self.tally.syncs += 1
            self.tally.error = None
            _settle(group, None)


def _settle(group: list[tuple[bytes, int, asyncio.Future[None]]], error: OSError | None) -> None:
    for _, _, done in group:
        if done.done():  # its request was given up
            continue
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)
