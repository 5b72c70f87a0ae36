"""How the files of a log are called: a shard is one file, or segments that follow each other.

What belongs here: the names, for who writes and who reads. What does not: writing (`emit`) and reading (`streams.log`).

`<shard>.jsonl` holds a shard from its start. Where a log is rotated, `<shard>.<20 digits>.jsonl` goes on from there:
the digits are how many bytes of the shard stand before it, so that a place in a shard is one number however its files
are cut, and segments that were read may be deleted, oldest first. The segment that begins where another ends closes it:
nothing is appended to a closed one. The newest is kept, for it says where the shard goes on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

SUFFIXES: Final = (".jsonl", ".ndjson", ".json")
_SEGMENT: Final = re.compile(r"(.+)\.([0-9]{20})", re.DOTALL)


def segment_of(name: str) -> tuple[str, int] | None:
    """Return the shard of a file and the bytes of the shard before it; None if the name is not a log's.

    >>> segment_of("a.b.jsonl"), segment_of("a.00000000000000000100.jsonl"), segment_of(".a.jsonl")
    (('a.b', 0), ('a', 100), None)
    """
    suffix = next((suffix for suffix in SUFFIXES if name.endswith(suffix)), None)
    if suffix is None or name.startswith("."):
        return None
    stem = name.removesuffix(suffix)
    found = _SEGMENT.fullmatch(stem)
    return (found[1], int(found[2])) if found else (stem, 0)


def segment_name(shard: str, start: int) -> str:
    """Return the name of the file that holds a shard from byte `start` on.

    >>> segment_name("a", 0), segment_name("a", 100)
    ('a.jsonl', 'a.00000000000000000100.jsonl')
    """
    return f"{shard}.{start:020d}.jsonl" if start else f"{shard}.jsonl"


def newest(names: Iterable[str], shard: str) -> tuple[int, str] | None:
    """Return where the newest segment of a shard begins, and its name, of the files with these names.

    >>> newest(["a.jsonl", "a.00000000000000000100.jsonl", "b.jsonl"], "a")
    (100, 'a.00000000000000000100.jsonl')
    """
    found = [(segment, name) for name in names if name.endswith(SUFFIXES[0]) and (segment := segment_of(name))]
    return max(((start, name) for (of, start), name in found if of == shard), default=None)
