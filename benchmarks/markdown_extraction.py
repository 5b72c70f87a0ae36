"""Measure what reading Markdown costs beside pyromark's bare event drain of the same pages, in one process.

    python benchmarks/markdown_extraction.py FOLDER [--repeat N]

Prints CPU seconds: the best of N alternating rounds of each, and their ratio.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from time import process_time

import pyromark

from dagster_project.shaping import READERS

Page = tuple[bytes, str]


def main() -> None:
    """Read every `.md` file below a folder, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--repeat", type=int, default=7, help="rounds of each (default: 7)")
    given = parser.parse_args()
    files = sorted(given.folder.rglob("*.md"))
    if not files:
        parser.error(f"no .md file below {given.folder}")
    pages = [(file.read_bytes(), file.name) for file in files]
    drained, extracted = measure(pages, given.repeat)
    size = sum(len(content) for content, _ in pages)
    print(f"pages       {len(pages)} ({size / 1e6:.1f} MB)")
    print(f"drain       {drained:.4f} s")
    print(f"extraction  {extracted:.4f} s")
    print(f"ratio       {extracted / drained:.2f}")


def measure(pages: Sequence[Page], repeat: int) -> tuple[float, float]:
    """Return the best CPU seconds of draining and of reading `pages`, in rounds that alternate."""
    texts = [content.decode("utf-8-sig", "replace") for content, _ in pages]
    rounds = [(_seconds(lambda: _drain(texts)), _seconds(lambda: _extract(pages))) for _ in range(repeat)]
    return min(drained for drained, _ in rounds), min(extracted for _, extracted in rounds)


def _drain(texts: Sequence[str]) -> None:
    for text in texts:
        for _ in pyromark.events_with_range(text):
            pass


def _extract(pages: Sequence[Page]) -> None:
    read = READERS["text/markdown"].read
    for content, path in pages:
        read(content, path)


def _seconds(work: Callable[[], None]) -> float:
    begun = process_time()
    work()
    return process_time() - begun


if __name__ == "__main__":
    main()
