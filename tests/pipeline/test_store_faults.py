"""A lake whose disk is full or read-only: told, waited for, and every event in it once when it is over.

What belongs here: a real small disk (tmpfs), which takes root to mount. What does not: stores and catalogs on the
network (`servers/test_store_faults.py`), kills (`test_faults`).
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from dagster_project import streaming
from dagster_project.errors import LakeUnavailable
from dagster_project.pipeline import run
from dagster_project.sources import StreamSource
from dagster_project.streaming import Pace, Progress, consume

from .test_faults import Writer, compare, opened

pytestmark = pytest.mark.long
PACE = Pace(interval=0.05, fold_interval=0.3, views_interval=0.2)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("a small disk takes root to mount")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Leave no byte free within the block."""
    filling = disk / "filling"
    with filling.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(65_536))
        except OSError:
            pass
    yield
    filling.unlink()


@contextmanager
def read_only(disk: Path) -> Iterator[None]:
    """Let nothing be written within the block."""
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    yield
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)


def wait_for(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_consumer_waits_while_the_disk_is_full_and_then_goes_on(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "LONGEST_PAUSE", 0.5)
    monkeypatch.setattr(streaming, "FIRST_PAUSE", 0.1)
    writer, told = Writer(tmp_path / "log", Random(3)), list[tuple[str, str]]()

    def tell(word: str, progress: Progress, detail: str = "") -> None:
        told.append((word, detail))

    lake, stop = opened(str(disk / "lake")), threading.Event()
    source = StreamSource(name="live", path=str(tmp_path / "log"))
    more = {"stop": stop, "tell": tell, "pace": PACE}
    consumer = threading.Thread(target=consume, args=(lake, [source]), kwargs=more)
    writer.write(20)
    consumer.start()
    try:
        wait_for(lambda: any(word == "committed" for word, _ in told))
        with full(disk):
            writer.write(20)
            wait_for(lambda: any(word == "waiting" for word, _ in told))
        writer.write(20)
        wait_for(lambda: told[-1][0] != "waiting" and any(word == "recovered" for word, _ in told))
        writer.finish()
    finally:
        stop.set()
        consumer.join(60)
    (fact, *_) = [detail for word, detail in told if word == "trouble"]
    assert "LakeUnavailable: The lake at" in fact and "No space left on device" in fact and "Make room there" in fact
    run(opened(str(disk / "lake")), [source])
    compare(str(disk / "lake"), tmp_path / "log", writer)


def test_a_run_on_a_disk_that_is_read_only_says_so_and_the_next_one_goes_on(disk: Path, tmp_path: Path) -> None:
    writer, folder = Writer(tmp_path / "log", Random(4)), str(disk / "lake")
    source = StreamSource(name="live", path=str(tmp_path / "log"))

    def go() -> None:
        lake = opened(folder)
        try:
            assert not run(lake, [source]).has_trouble
        finally:
            lake.catalog.engine.dispose()  # who has a file open for writing keeps the disk from becoming read-only

    writer.write(20)
    go()
    writer.write(20)
    writer.finish()
    with read_only(disk), pytest.raises(LakeUnavailable, match=r"Read-only file system\. .* in doubt\. Make"):
        go()
    go()
    compare(folder, tmp_path / "log", writer)
