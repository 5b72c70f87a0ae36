"""Events written to a log: the other end of `streams`, for whoever has an event and no program that appends lines.

What holds: however many write at once, no line stands within another; a batch that was told as written is on disk, if
it was asked to be. A writer that dies may leave part of a line, which the next one ends. What belongs here: making a
line of an event and appending it. What does not: what events mean.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final, Literal, Self

from dagster_project.durable import sync
from dagster_project.errors import UsageError
from dagster_project.failpoints import failpoint
from dagster_project.landing.segments import newest, segment_name

Fsync = Literal["always", "batch", "never"]
_READ: Final = 1 << 20
BATCH: Final = 1_000
"""Events that are appended, and with `batch` made durable, at a time."""
_NO_NAME: Final = frozenset("/\\\0")


@dataclass(slots=True)
class Emitted:
    """What became of the events."""

    written: int = 0
    refused: list[tuple[int, str]] = field(default_factory=list)
    """Number of the event, from 1, and why it is none."""


def emit(
    batches: Iterable[Sequence[str | bytes]],
    folder: Path,
    *,
    shard: str,
    fsync: Fsync,
    complete: Callable[[dict[str, Any]], dict[str, Any]],
    rotate_bytes: int | None = None,
) -> Emitted:
    """Append events, each a JSON object, to the end of a shard in `folder`, which is made; blank ones are left out.

    What is in one of `batches` is written before the next is asked for, so that an event does not wait for others.
    `complete` gives an event what it lacks. What is no JSON object is refused and the others are written. Raises
    `UsageError` if the shard's name is none, OSError if the file can't be written.
    """
    done = Emitted()
    size = 1 if fsync == "always" else BATCH
    with Log(folder, shard, fsync=fsync, rotate_bytes=rotate_bytes) as log:
        count = 0
        for events in batches:
            lines = _lines(events, count, done, complete)
            count += len(events)
            while batch := list(islice(lines, size)):
                log.append(b"".join(batch))
                done.written += len(batch)
    return done


class Log:
    """The end of a shard, `<folder>/<shard>.jsonl` or its newest segment, open to be appended to; it is made.

    With `rotate_bytes` the next segment is begun once one has so many bytes. Writers that rotate and such that don't
    may write one shard together: each looks, once it is alone, whether its segment is still the newest.

    Raises `UsageError` if the shard's name is none, OSError if the file can't be opened.
    """

    def __init__(self, folder: Path, shard: str, *, fsync: Fsync, rotate_bytes: int | None = None) -> None:
        if not shard or shard.startswith(".") or _NO_NAME & set(shard):
            raise UsageError(f"{shard!r} is no name of a shard: it is a file's name, without its ending.")
        made = [each for each in (folder, *folder.parents) if not each.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._shard = folder, shard
        self._fsync = fsync
        self._rotate_bytes = rotate_bytes
        self._start, self._handle = self._open()
        if fsync != "never":  # also where another writer has made the file: it may not have come so far yet
            for each in (folder, *(below.parent for below in made)):
                sync(each)

    def _open(self) -> tuple[int, int]:
        start, name = newest(os.listdir(self._folder), self._shard) or (0, segment_name(self._shard, 0))
        return start, os.open(self._folder / name, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)

    def append(self, lines: bytes) -> None:
        """Write whole lines, alone; unless `fsync` is `never` they are durable on return. Raises OSError."""
        with self._newest_alone() as end:
            _write(self._handle, lines if self._is_at_line_start(end) else b"\n" + lines)
            failpoint("log.written")
            if self._rotate_bytes is not None and end + len(lines) >= self._rotate_bytes:
                self._rotate()
        if self._fsync != "never":
            self._sync()
        failpoint("log.synced")

    def _sync(self) -> None:
        try:
            os.fsync(self._handle)
        except OSError:
            # What could not be written may be dropped, and the next fsync succeed: nothing more goes into this segment.
            with suppress(OSError), self._newest_alone() as end:
                self._begin(self._start + end)
            raise

    @contextmanager
    def _newest_alone(self) -> Iterator[int]:
        """Hold the newest segment alone; give its size."""
        while True:
            fcntl.flock(self._handle, fcntl.LOCK_EX)
            try:
                end = os.lseek(self._handle, 0, os.SEEK_END)
                if not self._is_closed(end):
                    yield end
                    return
            finally:
                fcntl.flock(self._handle, fcntl.LOCK_UN)
            self._go_on(end)

    def _is_closed(self, end: int) -> bool:
        """Tell whether the next segment has been begun, or this one was deleted after it was read."""
        is_begun = end > 0 and (self._folder / segment_name(self._shard, self._start + end)).exists()
        return is_begun or os.fstat(self._handle).st_nlink == 0

    def _go_on(self, end: int) -> None:
        """Open the newest segment instead of a closed one; where none is left, begin where that one ended."""
        os.close(self._handle)
        if newest(os.listdir(self._folder), self._shard) is None:
            self._begin(self._start + end)
        self._start, self._handle = self._open()

    def _rotate(self) -> None:
        """Begin the next segment; who holds this one alone does so. Its name comes last: until then nobody uses it."""
        if self._fsync != "never":
            os.fsync(self._handle)
        failpoint("log.rotating")
        self._begin(self._start + os.lseek(self._handle, 0, os.SEEK_END))

    def _begin(self, start: int) -> None:
        os.close(os.open(self._folder / segment_name(self._shard, start), os.O_WRONLY | os.O_CREAT, 0o644))
        if self._fsync != "never":
            sync(self._folder)

    def _is_at_line_start(self, end: int) -> bool:
        """Tell whether the last line has an end; one that a writer died in is ended first, and told as no JSON."""
        return not end or os.pread(self._handle, 1, end - 1) == b"\n"

    def close(self) -> None:
        """Let the file go."""
        os.close(self._handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def pieces(stream: IO[bytes]) -> Iterator[list[bytes]]:
    """Yield the lines of `stream` as they come: those of each read, without waiting for more.

    >>> from io import BytesIO
    >>> list(pieces(BytesIO(b"a\\nb\\nc")))
    [[b'a', b'b'], [b'c']]
    """
    rest = b""
    while read := stream.read1(_READ):  # type: ignore[attr-defined]  # buffered readers and BytesIO have it
        *whole, rest = (rest + read).split(b"\n")
        if whole:
            yield whole
    if rest:
        yield [rest]


def parsed(text: str | bytes) -> Any:
    """Return what JSON says. Raises ValueError for what is none, RecursionError for what is nested beyond measure.

    >>> parsed(b'{"a": NaN}')
    Traceback (most recent call last):
    ValueError: NaN is no number of JSON
    """
    if isinstance(text, bytes):
        text = text.decode(json.detect_encoding(text), "surrogatepass")
    return _DECODER.decode(text.removeprefix("\ufeff"))


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


_DECODER: Final = json.JSONDecoder(parse_constant=_no_number)
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, check_circular=False)
_ESCAPER: Final = json.JSONEncoder(separators=(",", ":"), check_circular=False)


def _lines(
    events: Sequence[str | bytes], before: int, done: Emitted, complete: Callable[[dict[str, Any]], dict[str, Any]]
) -> Iterator[bytes]:
    for number, event in enumerate(events, start=before + 1):
        if not event.strip():
            continue
        try:
            read = parsed(event)
            if isinstance(read, dict):
                yield line(complete(read))
                continue
            done.refused.append((number, "no JSON object"))
        except (ValueError, RecursionError) as error:
            done.refused.append((number, f"no JSON: {error}"))


def line(event: dict[str, Any]) -> bytes:
    """Return an event as a line of a log; what UTF-8 has no bytes for (half of a pair of surrogates) stays escaped.

    Raises ValueError for a number that is none of JSON's; `1e999` is read as one.

    >>> line({"a": "é"}).decode(), line({"a": "\\ud800"}).decode()
    ('{"a":"é"}\\n', '{"a":"\\\\ud800"}\\n')
    """
    text = _ENCODER.encode(event)
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:
        return _ESCAPER.encode(event).encode() + b"\n"


def _write(handle: int, content: bytes) -> None:
    while content:
        content = content[os.write(handle, content) :]


def completed(event: dict[str, Any], *, new_id: Callable[[], str], now: datetime) -> dict[str, Any]:
    """Return an event with an `id` and a `time`, given where it has neither under any name that is looked for.

    >>> from datetime import UTC
    >>> completed({"type": "note.created"}, new_id=lambda: "e1", now=datetime(2026, 5, 14, tzinfo=UTC))
    {'type': 'note.created', 'id': 'e1', 'time': '2026-05-14T00:00:00+00:00'}
    >>> completed({"event_id": 7, "timestamp": 1}, new_id=lambda: "e1", now=datetime(2026, 5, 14, tzinfo=UTC))
    {'event_id': 7, 'timestamp': 1}
    """
    whole = dict(event)
    if not {"id", "event_id"} & event.keys():
        whole["id"] = new_id()
    if not {"time", "occurred_at", "timestamp"} & event.keys():
        whole["time"] = now.isoformat()
    return whole
