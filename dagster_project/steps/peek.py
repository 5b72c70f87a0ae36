"""Files as their readers see them, read in worker processes and shaped into nothing: what a plan knows of changes.

What belongs here: which files are worth reading for a plan, and what became of them. What does not: what follows from
it (`foresee`), and how processes are watched (`workers`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from dagster_project.landing.documents import File, Files
from dagster_project.landing.files import reason
from dagster_project.settings import Settings
from dagster_project.shaping import READERS, media_type
from dagster_project.shaping.documents import why_failed
from dagster_project.shaping.parsed import Container, Parsed, Unreadable
from dagster_project.steps.workers import Limits, Watch, work

MOST_FILE_BYTES: Final = 16 * 1024 * 1024
MOST_BYTES: Final = 128 * 1024 * 1024
"""What a plan reads of changed files, in one file and in all."""
_AT_ONCE: Final = 256
"""Files a worker is given at a time."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A file that would not come through whole: `status` as the ledger would have it, and why."""

    path: str
    status: str
    reason: str


@dataclass(slots=True)
class Peek:
    """What changed files are, as far as they were read."""

    parsed: dict[str, Parsed] = field(default_factory=dict)
    """Files that are one note each."""
    troubles: list[Trouble] = field(default_factory=list)
    unread: int = 0
    """Files too large for a plan, or more than it reads."""


@dataclass(frozen=True, slots=True)
class _Given:
    number: int
    path: str
    content: bytes


def peek(changed: Iterable[File], files: Files, settings: Settings) -> Peek:
    """Read the `changed` files that are in a known format, as a run would; one that harms its reader is a trouble."""
    found = Peek()
    given = list(_contents(changed, files, found))
    if not given:
        return found
    done = work(
        read_given,
        [given[at : at + _AT_ONCE] for at in range(0, len(given), _AT_ONCE)],
        limits=Limits(settings.file_seconds, settings.file_memory),
        processes=settings.worker_processes,
        progress=lambda _: None,
    )
    for path, read in (pair for pairs in done for pair in pairs):
        if isinstance(read, Trouble):
            found.troubles.append(read)
            continue
        if read.dropped:
            told = read.error or ", ".join(construct for construct, *_ in read.dropped)
            found.troubles.append(Trouble(path, "partial", _at(read.line, told)))
        if isinstance(read, Parsed):
            found.parsed[path] = read
    return found


def _contents(changed: Iterable[File], files: Files, found: Peek) -> Iterator[_Given]:
    taken = 0
    for number, file in enumerate(changed, start=1):
        if media_type(file.path) not in READERS:
            continue
        if file.size > MOST_FILE_BYTES or taken + file.size > MOST_BYTES:
            found.unread += 1
            continue
        taken += file.size
        try:
            yield _Given(number, file.path, files.read(file))
        except OSError as error:
            found.troubles.append(Trouble(file.path, "failed", reason(error)))


def read_given(
    task: Sequence[_Given], left_out: Mapping[int, str], watch: Watch
) -> list[tuple[str, Parsed | Container | Trouble]]:
    """Read some files in a worker."""
    return [(given.path, _read(given, left_out.get(given.number), watch)) for given in task]


def _read(given: _Given, why: str | None, watch: Watch) -> Parsed | Container | Trouble:
    if why is not None:
        return Trouble(given.path, "failed", why)
    _, extra, read = READERS[media_type(given.path)]
    try:
        with watch.at(given.number):
            return read(given.content, given.path)
    except Unreadable as error:
        return Trouble(given.path, "quarantined", _at(error.line, error.reason))
    except Exception as error:  # as in a run: whatever a library makes of a file costs that file only
        return Trouble(given.path, "failed", why_failed(error, extra))


def _at(line: int | None, told: str) -> str:
    return f"line {line}: {told}" if line else told
