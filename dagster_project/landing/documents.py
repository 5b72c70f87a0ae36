"""Landing of documents: what changed in a folder of files since it was last looked at, as rows of `raw`.

What belongs here: comparing a listing with what raw knows, and the rows of what is new. What does not: listing and
reading (`files`), which files are a move (`moves`), and what the bytes mean (`shaping`).

A file is new if raw has no live row of its path, changed if its SHA-256 is another. Files are told by stat first: one
that looks as it did when it was hashed is not read. A file that vanished and a new one of equal content are a move;
among equals, paths are paired in order; empty files are not, since being empty says nothing. Of those that are left,
a pair whose texts are close beyond doubt is a move too, with an edit.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeVar

import pyarrow as pa

from dagster_project.contracts import raw_table
from dagster_project.errors import TooManyGone
from dagster_project.landing import moves
from dagster_project.landing.files import File, Files, files_of, reason
from dagster_project.landing.stat_cache import StatCache
from dagster_project.sources import DocumentSource

__all__ = ["File", "Files", "Known", "Scan", "StatCache", "Step", "Texts", "arrivals", "files_of", "refusal", "scan"]

BATCH_BYTES: Final = 16 * 1024 * 1024
BATCH_FILES: Final = 1_024
_SCHEMA: Final = raw_table("any", "documents").schema

MediaType = Callable[[str], str]
"""Returns the media type of a path; handed in, since formats are the business of shaping."""


class Known(NamedTuple):
    """The latest row raw has of a path that was not seen to vanish."""

    op: str
    sha256: str | None
    size: int | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Step:
    """One observation to land."""

    op: Literal["put", "move", "gone", "unreadable"]
    path: str
    file: File | None = None
    moved_from: str | None = None
    error: str | None = None
    is_new: bool = False
    """Whether raw knew nothing of the path."""
    is_edited: bool = False
    """Whether a file that moved also changed."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What one look at a source found; `steps` is empty if nothing changed."""

    steps: tuple[Step, ...]
    seen: int
    unchanged: int
    known: int = 0
    """Files that raw knew of."""
    warnings: tuple[str, ...] = ()
    """What could not be listed."""
    notices: tuple[str, ...] = ()
    """What is worth knowing."""

    @property
    def gone(self) -> int:
        """How many files vanished and are no move."""
        return sum(step.op == "gone" for step in self.steps)


class Texts(Protocol):
    """What raw holds of the files it knows; asked only if files vanished while others appeared."""

    def contents(self, paths: Sequence[str]) -> Mapping[str, bytes]:
        """Return the bytes that each of these files last had."""

    def lines_elsewhere(self, lines: frozenset[bytes], *, but: Sequence[str]) -> frozenset[bytes]:
        """Return those of `lines` that a known file has, the files `but` aside."""


def scan(
    files: Files,
    *,
    known: Mapping[str, Known],
    cache: StatCache,
    media_type: MediaType,
    texts: Texts | None = None,
    again: Collection[str] = frozenset(),
) -> Scan:
    """Look at the source and say what is new, changed, moved, gone or unreadable against what raw knows.

    `texts` lets files be found that moved and changed at once; paths in `again` are told as changed though they are
    not. Writes nothing, the cache in memory aside. Raises `SourceUnavailable` if there is no such folder. A part that
    could not be listed is told in `warnings`, and then nothing counts as gone; ask `refusal` before landing it.
    """
    listed, problems = files.listing()
    here = {file.path for file in listed}
    vanished = [path for path in sorted(known) if path not in here] if not problems else []
    look = _Look(files, known, cache, again, hash_new=any(known[path].sha256 for path in vanished))
    puts = [step for file in listed if (step := look.at(file)) is not None]
    pairs, notices = _Pairing(files, known, look.hashes, media_type, texts).pairs(vanished, puts)
    moved = [_moved(step, pairs[step.path], known, look.hashes) for step in puts if step.path in pairs]
    left_behind = {step.moved_from for step in moved}
    gone = [Step("gone", path) for path in vanished if path not in left_behind]
    steps = (*moved, *gone, *(step for step in puts if step.path not in pairs))
    if left_out := sum(files.leaves_out(step.path) for step in gone):
        notices.append(f"{left_out} of the {len(gone)} files that count as gone are now left out by include or exclude")
    return Scan(steps, len(listed) + len(gone), len(listed) - len(puts), len(known), tuple(problems), tuple(notices))


def refusal(source: DocumentSource, scan: Scan) -> TooManyGone | None:
    """Return why a scan is not to be landed: more than the declared share of the source vanished at once."""
    gone, known = scan.gone, scan.known
    if gone <= known * source.max_gone_share or (gone == 1 and known > 1):
        return None
    told = "".join(f"{notice}. " for notice in scan.notices)
    return TooManyGone(
        f"{source.name}: {gone} of {known} files vanished from {source.path} at once; nothing was landed. {told}"
        "If they were deleted on purpose, run again with --allow-gone; if not, check the path."
    )


def _moved(step: Step, before: str, known: Mapping[str, Known], hashes: Mapping[str, str]) -> Step:
    is_edited = known[before].sha256 != hashes[step.path]
    return Step("move", step.path, step.file, moved_from=before, is_edited=is_edited)


@dataclass(slots=True)
class _Look:
    files: Files
    known: Mapping[str, Known]
    cache: StatCache
    again: Collection[str]
    hash_new: bool
    """New files are hashed before they are landed only if something vanished: only then can they be moves."""
    hashes: dict[str, str] = field(default_factory=dict)

    def at(self, file: File) -> Step | None:
        """Return what is to be landed of a file, None if nothing."""
        before = self.known.get(file.path)
        if file.error is not None:
            return self._unreadable(file, file.error, before)
        if before is None and not self.hash_new:
            return Step("put", file.path, file, is_new=True)
        try:
            sha256 = self._sha256(file)
        except OSError as error:
            return self._unreadable(file, reason(error), before)
        if before is not None and before.sha256 == sha256 and file.path not in self.again:
            return None
        if before is None:  # a file that was there and changed is no place that another moved to
            self.hashes[file.path] = sha256
        return Step("put", file.path, file, is_new=before is None)

    def _sha256(self, file: File) -> str:
        if sha256 := self.cache.get(file):
            return sha256
        now_ns = time.time_ns()
        sha256 = hashlib.sha256(self.files.read(file)).hexdigest()
        self.cache.put(file, sha256, now_ns=now_ns)
        return sha256

    def _unreadable(self, file: File, error: str, before: Known | None) -> Step | None:
        if before is not None and before.op == "unreadable" and before.error == error:
            return None
        return Step("unreadable", file.path, file, error=error)


@dataclass(frozen=True, slots=True)
class _Pairing:
    """Finds which new file is which vanished one."""

    files: Files
    known: Mapping[str, Known]
    hashes: Mapping[str, str]
    """Of new files."""
    media_type: MediaType
    texts: Texts | None

    def pairs(self, vanished: Sequence[str], puts: Sequence[Step]) -> tuple[dict[str, str], list[str]]:
        """Return new path -> vanished path, and what is worth knowing."""
        new = {s.path: s.file for s in puts if s.file is not None and s.file.size > 0 and s.path in self.hashes}
        old = {path: sha256 for path in vanished if (sha256 := self.known[path].sha256)}
        equal = moves.equal_moves(list(old.items()), [(path, self.hashes[path]) for path in new])
        close, notices = self._close(
            [path for path in old if path not in set(equal.values())],
            [file for path, file in new.items() if path not in equal],
        )
        return {**equal, **close}, notices

    def _close(self, vanished: Sequence[str], new: Sequence[File]) -> tuple[dict[str, str], list[str]]:
        found: dict[str, str] = {}
        notices: list[str] = []
        if self.texts is None:
            return found, notices
        for kind in sorted({kind for file in new if (kind := self.media_type(file.path)).startswith("text/")}):
            old = {path: self.known[path].size or 0 for path in vanished if self.media_type(path) == kind}
            now = {file: file.size for file in new if self.media_type(file.path) == kind}
            old, now = _small(old), _small(now)
            if max(sum(old.values()), sum(now.values())) > moves.MOST_BYTES:
                notices.append(
                    f"so much vanished and appeared at once ({len(old)} and {len(now)} files of {kind}) that their "
                    "texts were not compared: those that moved and changed are told as gone and new"
                )
            elif old and now:
                found |= self._close_texts(self.texts, sorted(old), list(now))
        return found, notices

    def _close_texts(self, texts: Texts, vanished: Sequence[str], new: Sequence[File]) -> dict[str, str]:
        elsewhere = partial(texts.lines_elsewhere, but=vanished)
        return moves.close_moves(texts.contents(vanished), _contents(self.files, new), elsewhere)


K = TypeVar("K")


def _small(sizes: Mapping[K, int]) -> dict[K, int]:
    return {key: size for key, size in sizes.items() if moves.TELLING_BYTES <= size <= moves.MOST_FILE_BYTES}


def _contents(files: Files, wanted: Sequence[File]) -> dict[str, bytes]:
    """Return the bytes of files by path; what cannot be read is told when it is landed."""
    found = {}
    for file in wanted:
        with suppress(OSError):
            found[file.path] = files.read(file)
    return found


def arrivals(
    scan: Scan,
    files: Files,
    *,
    media_type: MediaType,
    cache: StatCache,
    first_sequence: int,
    scan_id: str,
    observed_at: datetime,
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of raw for a scan, in bounded batches, sequences from `first_sequence` on without gaps.

    A file is hashed as it is read here: what lands is what the row says, also if the file changed since the listing.
    """
    landed = partial(_batch, scan_id=scan_id, observed_at=observed_at)
    rows: list[_Row] = []
    size = 0
    for step in scan.steps:
        row = _row(step, files, media_type, cache)
        rows.append(row)
        size += row.size or 0
        if size >= BATCH_BYTES or len(rows) >= BATCH_FILES:
            yield landed(rows, first_sequence)
            first_sequence += len(rows)
            rows, size = [], 0
    if rows:
        yield landed(rows, first_sequence)


class _Row(NamedTuple):
    """What one step gives to raw. The instant is microseconds since 1970."""

    op: str
    path: str
    path_bytes: bytes | None = None
    moved_from: str | None = None
    sha256: str | None = None
    size: int | None = None
    modified_at: int | None = None
    media_type: str | None = None
    content: bytes | None = None
    error: str | None = None


def _batch(rows: Sequence[_Row], first_sequence: int, *, scan_id: str, observed_at: datetime) -> pa.RecordBatch:
    """Return the rows in the columns of raw: column by column, for a dict of every row takes several times as long."""
    columns: dict[str, Any] = dict(zip(_Row._fields, zip(*rows, strict=True), strict=True))
    columns["sequence"] = range(first_sequence, first_sequence + len(rows))
    columns["scan_id"] = pa.repeat(scan_id, len(rows))
    columns["observed_at"] = pa.repeat(pa.scalar(observed_at, _SCHEMA.field("observed_at").type), len(rows))
    arrays = [columns[column.name] for column in _SCHEMA]
    filled = [
        array if isinstance(array, pa.Array) else pa.array(array, column.type)
        for array, column in zip(arrays, _SCHEMA, strict=True)
    ]
    return pa.RecordBatch.from_arrays(filled, schema=_SCHEMA)


def _row(step: Step, files: Files, media_type: MediaType, cache: StatCache) -> _Row:
    file = step.file
    if file is None:
        return _Row(step.op, step.path, moved_from=step.moved_from, error=step.error)
    modified_at, kind = file.modified_ns // 1_000, media_type(step.path)
    row = _Row(
        step.op, step.path, file.path_bytes, step.moved_from, None, file.size, modified_at, kind, None, step.error
    )
    if step.op == "unreadable":
        return row
    try:
        now_ns = time.time_ns()
        content = files.read(file)
    except OSError as error:
        return row._replace(op="unreadable", moved_from=None, error=reason(error))
    sha256 = hashlib.sha256(content).hexdigest()
    cache.put(file, sha256, now_ns=now_ns)
    return row._replace(content=content, sha256=sha256, size=len(content))
