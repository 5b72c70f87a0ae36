"""Which new file is which vanished one: by equal content, and where that fails by close text.

What belongs here: the pure rules, and the limits within which they are tried. What does not: hashing and reading
(`documents`), and what a move means for a note's identity (`model.moves`).

A wrong merge gives a note the history of another and cannot be told from a right one; a missed one gives a new note.
So the rule for close text refuses whenever there is doubt. docs/decisions/0010 says what it was measured on.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

CLOSE: Final = 0.8
"""How close two texts must be for one to be the other edited; see `closeness`."""
MARGIN: Final = 0.1
"""How much closer they must be than either is to any other candidate."""
TELLING_SHARE: Final = 0.25
"""Share of the larger text that must stand unchanged, line by line, in both and in no other file of the source."""
TELLING_BYTES: Final = 64
_LINE_BYTES: Final = 16
"""Shorter lines tell nothing."""
MOST_FILE_BYTES: Final = 1024 * 1024
MOST_BYTES: Final = 16 * 1024 * 1024
"""Of vanished files, and of new ones, whose texts are compared at once: what they take in memory is bounded by it."""

Elsewhere = Callable[[frozenset[bytes]], frozenset[bytes]]
"""Of these lines, those that some file has which neither vanished nor is new."""


def equal_moves(vanished: Sequence[tuple[str, str]], new: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return new path -> vanished path for files (path, hash) of equal content; among equals, paths pair in order.

    >>> equal_moves([("a.md", "1"), ("b.md", "1"), ("c.md", "2")], [("y.md", "1"), ("x.md", "1"), ("z.md", "3")])
    {'x.md': 'a.md', 'y.md': 'b.md'}
    """
    waiting: dict[str, list[str]] = defaultdict(list)
    for path, sha256 in sorted(new, reverse=True):
        waiting[sha256].append(path)
    return {waiting[sha256].pop(): path for path, sha256 in sorted(vanished) if waiting.get(sha256)}


def close_moves(vanished: Mapping[str, bytes], new: Mapping[str, bytes], elsewhere: Elsewhere) -> dict[str, str]:
    """Return new path -> vanished path for texts that are so close that one is beyond doubt the other edited.

    The cost follows the number of lines: only texts that share a line which no other of them has are compared.
    """
    shared = _shared_lines(vanished, new)
    pairs = [
        _Pair(old, path, lines, closeness(vanished[old], new[path]), max(len(vanished[old]), len(new[path])))
        for (old, path), lines in shared.items()
    ]
    clear = _without_rivals([pair for pair in pairs if pair.closeness >= CLOSE - MARGIN])
    common = elsewhere(frozenset(line for pair in clear for line in pair.lines)) if clear else frozenset()
    return {pair.new: pair.old for pair in clear if pair.is_told(common)}


def closeness(one: bytes, other: bytes) -> float:
    """Return how much two texts have in common, 0 to 1: neighbouring words, each as often as in both, by length.

    Words alone would find texts close that say other things in the same words.

    >>> round(closeness(b"a note on lakes and rivers", b"a note on lakes and seas"), 2)
    0.67
    """
    first, second = _neighbours(one), _neighbours(other)
    both = sum(_length(words) * min(count, second[words]) for words, count in first.items() if words in second)
    whole = sum(_length(words) * count for text in (first, second) for words, count in text.items())
    return 2 * both / whole if whole else 0.0


def _neighbours(text: bytes) -> Counter[tuple[bytes, bytes]]:
    words = text.split()
    return Counter(zip(words, [*words[1:], b""], strict=False))


def _length(words: tuple[bytes, bytes]) -> int:
    return len(words[0]) + len(words[1])


@dataclass(frozen=True, slots=True)
class _Pair:
    old: str
    new: str
    lines: frozenset[bytes]
    closeness: float
    size: int

    def is_told(self, common: frozenset[bytes]) -> bool:
        """Whether enough of the text is nobody else's: two notes made from one template are close, and two notes."""
        own = sum(len(line) for line in self.lines - common)
        return own >= max(TELLING_BYTES, TELLING_SHARE * self.size)


def _shared_lines(vanished: Mapping[str, bytes], new: Mapping[str, bytes]) -> dict[tuple[str, str], frozenset[bytes]]:
    """Return the lines of each pair that stand in these two and no other of the given texts."""
    first, second = _lines_of(vanished), _lines_of(new)
    found: dict[tuple[str, str], set[bytes]] = defaultdict(set)
    for line, old in first.items():
        path = second.get(line)
        if old and path:
            found[old, path].add(line)
    return {pair: frozenset(lines) for pair, lines in found.items()}


def _lines_of(texts: Mapping[str, bytes]) -> dict[bytes, str]:
    """Return line -> the one text that has it; an empty path for a line that several have."""
    owners: dict[bytes, str] = {}
    for path, text in texts.items():
        for line in {line.strip() for line in text.splitlines()}:
            if len(line) >= _LINE_BYTES:
                owners[line] = "" if line in owners else path
    return owners


def _without_rivals(pairs: Sequence[_Pair]) -> list[_Pair]:
    """Return the pairs that are close, and clearly closer than any other of the same file."""
    by_file: dict[tuple[str, str], list[float]] = defaultdict(list)
    for pair in pairs:
        by_file["old", pair.old].append(pair.closeness)
        by_file["new", pair.new].append(pair.closeness)

    def rivals(pair: _Pair) -> list[float]:
        found = [*by_file["old", pair.old], *by_file["new", pair.new]]
        found.remove(pair.closeness)
        found.remove(pair.closeness)
        return found

    return [pair for pair in pairs if pair.closeness >= max([CLOSE, *(r + MARGIN for r in rivals(pair))])]
