"""The tutorial's blocks run, in order, and print what the page says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from itertools import zip_longest
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(sh|sql|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DONE = (0, 3)


def _run(language: str, body: str, folder: Path, environment: dict[str, str]) -> str:
    command = ["bash", "-ec", body] if language == "sh" else ["notelake", "sql", body]
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        text=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
        check=False,
    )
    assert done.returncode in DONE, f"{body}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip("\n").splitlines()]


@pytest.mark.tour
def test_the_tutorial_does_what_it_says(tmp_path: Path) -> None:
    beside = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{beside}:{os.environ['PATH']}", "NOTELAKE_LAKE": str(tmp_path / "lake")}
    if not shutil.which("notelake", path=environment["PATH"]):
        pytest.skip("the notelake command is not installed")
    blocks = [match.groups() for match in BLOCK.finditer(PAGE.read_text("utf-8"))]
    assert blocks[0][1].startswith("export PATH"), "the first block sets up the shell, as this test does"
    for (language, body), (next_language, expected) in zip_longest(blocks[1:], blocks[2:], fillvalue=("", "")):
        if language == "text":
            continue
        printed = _run(language, body, tmp_path, environment)
        if next_language == "text":
            assert _lines(printed) == _lines(expected), body
