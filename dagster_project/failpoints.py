"""Named places where a run can be made to die, so that tests can show that nothing is lost or doubled there.

`NOTELAKE_FAILPOINT=<name>` kills the process with SIGKILL when it gets there, `<name>=<n>` the n-th time. In one
process `arm` runs any function there instead, e.g. a second run, to make a race happen for certain.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from dagster_project.errors import UsageError

VARIABLE: Final = "NOTELAKE_FAILPOINT"
FAILPOINTS: Final = (
    "land.scanned",
    "land.staged",
    "land.written",
    "land.swapping",
    "land.committed",
    "shape.staged",
    "audit.judged",
    "commit.staged",
    "commit.written",
    "commit.swapping",
    "commit.committed",
    "serve.pinned",
    "serve.built",
    "serve.swapped",
)
"""Every failpoint of a run, in the order it passes them."""
REWIND_FAILPOINTS: Final = (
    "rewind.shaped",
    "rewind.written",
    "rewind.swapping",
    "rewind.committed",
)
"""Those of a rewind, likewise; the first only where rows are shaped again from raw."""
LOG_FAILPOINTS: Final = (
    "log.written",
    "log.rotating",
    "log.synced",
)
"""Those of whoever appends to a log: of `notelake emit`, and of the collector, which answers after the last."""
_ALL: Final = (*FAILPOINTS, *REWIND_FAILPOINTS, *LOG_FAILPOINTS)

_armed: dict[str, Callable[[], object]] = {}
_hits: Counter[str] = Counter()


def failpoint(name: str) -> None:
    """Do what is armed at `name`; nothing at all if nothing is."""
    if action := _armed.get(name):
        action()
    if wanted := os.environ.get(VARIABLE):
        _die_if_wanted(name, wanted)


def _die_if_wanted(name: str, wanted: str) -> None:
    where, _, count = wanted.partition("=")
    if where not in _ALL:
        raise UsageError(f"{VARIABLE} names no failpoint: {where!r}. There are: {', '.join(_ALL)}.")
    if where == name:
        _hits[name] += 1
        if _hits[name] == int(count or 1):
            os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def arm(name: str, action: Callable[[], object]) -> Iterator[None]:
    """Run `action` whenever this process gets to `name`, within the block."""
    if name not in _ALL:
        raise UsageError(f"There is no failpoint {name!r}.")
    _armed[name] = action
    try:
        yield
    finally:
        del _armed[name]
