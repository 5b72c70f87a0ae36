"""A pytest plugin that keeps what tests give to readers: seeds for the fuzzer, from every producer the tests know.

NOTELAKE_FUZZ_SEEDS=folder python -m pytest -p tests.fuzz.recorded_seeds tests/shaping/test_pdf.py
"""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from dagster_project import shaping

MOST_SEEDS = 400
LONGEST = 65_536


def pytest_configure() -> None:
    """Wrap every reader, before the tests import them."""
    folder = Path(os.environ["NOTELAKE_FUZZ_SEEDS"])
    for module in shaping._modules():
        module.read = _recording(module.read, folder)


def _recording(read: Callable[[bytes, str], Any], folder: Path) -> Callable[[bytes, str], Any]:
    kept: set[str] = set()

    def recorded(content: bytes, path: str) -> Any:
        found = read(content, path)  # what it does not return from is no seed
        name = sha256(content).hexdigest()[:16]
        if len(kept) < MOST_SEEDS and len(content) <= LONGEST and name not in kept:
            kept.add(name)
            (folder / f"recorded-{name}").write_bytes(content)
        return found

    return recorded
