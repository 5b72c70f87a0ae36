"""Hashes of files that have not been touched since they were read: a cache on local disk.

What belongs here: the cache's one file and what may be believed of it. What does not: what a hash is needed for
(`documents`). It is disposable: without it, or with a broken one, files are hashed again.

It is text, `path`, `stamp` and `hash` each ended by a NUL, since splitting that is ten times as fast as any format with
a structure: for 50,000 files a run that has nothing to do spends most of its time on bookkeeping.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from dagster_project.landing.files import File

SETTLED_NS: Final = 2_000_000_000
"""A file modified within so many nanoseconds before it was hashed may change again without a new modification time."""
_HEAD: Final = "notelake stat cache 2"
_END: Final = "\0"


@dataclass(slots=True)
class StatCache:
    """What files hashed to, by path, and the stamp they had."""

    file: Path
    hashes: dict[str, tuple[str, str]] = field(default_factory=dict)
    changed: bool = False

    @classmethod
    def load(cls, file: Path) -> StatCache:
        """Read the cache; an absent or broken one is empty."""
        try:
            head, *cells, last = file.read_text("utf-8").split(_END)
        except (OSError, ValueError):
            return cls(file)
        if head != _HEAD or last or len(cells) % 3:
            return cls(file)
        return cls(file, dict(zip(cells[::3], zip(cells[1::3], cells[2::3], strict=True), strict=True)))

    def get(self, file: File) -> str | None:
        """Return the hash of a file that is as it was."""
        entry = self.hashes.get(file.path)
        return entry[1] if entry is not None and entry[0] == file.stamp else None

    def put(self, file: File, sha256: str, *, now_ns: int) -> None:
        """Remember a hash, unless the file is so young that it may change unseen."""
        if now_ns - file.modified_ns > SETTLED_NS and _END not in file.path + file.stamp:
            self.hashes[file.path] = (file.stamp, sha256)
            self.changed = True

    def save(self, present: Iterable[str]) -> None:
        """Write the cache for the files that are still there, if it has learnt something."""
        if not self.changed:
            return
        here = set(present)
        kept = (cell for path, entry in self.hashes.items() if path in here for cell in (path, *entry))
        self.file.parent.mkdir(parents=True, exist_ok=True)
        draft = self.file.with_suffix(f".{os.getpid()}.tmp")
        draft.write_text("".join(f"{cell}{_END}" for cell in (_HEAD, *kept)), "utf-8", newline="")
        os.replace(draft, self.file)
        self.changed = False
