"""Feed a format's reader what no person would write, guided by coverage, until it crashes, hangs or says too much.

    python tests/fuzz/fuzz_formats.py FORMAT [--seconds 600] [--seeds FOLDER]...
    make fuzz [FORMATS="markdown pdf"] [SECONDS=600]

Needs atheris (`pip install -c constraints.txt --group fuzz`), which brings libFuzzer. A finding is a crash of the
process, an input that takes over thirty seconds or 2 GB, any exception but `Unreadable`, or a part whose byte range
is not within its file. What was found lies in `benchmarks/.data/fuzz/FORMAT/`; keep it, made small, as a fixture of
that format's tests. For formats that are zip archives the members are changed and not the archive, four times of five.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import shutil
import subprocess
import sys
import zipfile
from contextlib import suppress
from pathlib import Path

import atheris

ROOT = Path(__file__).parents[2]
FOUND = ROOT / "benchmarks" / ".data" / "fuzz"
ZIPPED = frozenset(("docx", "pptx", "epub"))
LONGEST = 65_536
TESTS = ROOT / "tests" / "shaping"
ENDLESS = frozenset(("form_draws_itself_twice.pdf",))
"""Known to take its reader for ever, which is what worker processes are for: no seed."""
_PLACED = ("sections", "links", "tag_uses", "tasks", "code_blocks", "fields", "blocks")

with atheris.instrument_imports(include=["dagster_project.shaping"]):
    from dagster_project import shaping
    from dagster_project.shaping.parsed import Container, Parsed, Unreadable

    MODULES = {module.__name__.rsplit(".", 1)[1]: module for module in shaping._modules()}


def main() -> None:
    """Fuzz one format."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("format", choices=sorted(MODULES))
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--seeds", type=Path, action="append", default=[], help="folders to take more seeds from")
    given = parser.parse_args()
    module = MODULES[given.format]
    folder = FOUND / given.format
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    _record(corpus, TESTS / f"test_{given.format}.py")
    _sow(corpus, tuple(module.MEDIA_TYPES), [ROOT / "tests", ROOT / "data", *given.seeds])
    count = sum(1 for _ in corpus.iterdir())
    print(f"{given.format}: {count} seeds, {given.seconds} s; findings go to {folder}", flush=True)
    options = [
        f"-max_total_time={given.seconds}",
        "-timeout=30",
        "-rss_limit_mb=2048",
        f"-max_len={LONGEST}",
        f"-artifact_prefix={folder}/",
        "-print_final_stats=1",
        "-verbosity=0",
        str(corpus),
    ]
    mutator = {"custom_mutator": _mutate_member} if given.format in ZIPPED else {}
    path = f"folder/fuzzed{next(iter(module.MEDIA_TYPES))}"
    atheris.Setup([sys.argv[0], *options], lambda data: _read(module.read, data, path), **mutator)
    atheris.Fuzz()


def _record(corpus: Path, tests: Path) -> None:
    """Run a format's tests and keep what they read: they know more producers than there are fixtures."""
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "tests.fuzz.recorded_seeds", str(tests)]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "NOTELAKE_FUZZ_SEEDS": str(corpus)}, check=True)


def _sow(corpus: Path, extensions: tuple[str, ...], folders: list[Path]) -> None:
    files = [
        file
        for folder in folders
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name.endswith(extensions) and file.stat().st_size <= LONGEST
        if file.name not in ENDLESS
    ]
    for number, file in enumerate(files):
        shutil.copyfile(file, corpus / f"seed-{number:04d}")


def _read(read: shaping.Reader, data: bytes, path: str) -> None:
    try:
        found = read(data, path)
    except Unreadable:
        return
    for parsed in found.notes if isinstance(found, Container) else [found]:
        _check(parsed, len(data))


def _check(parsed: Parsed, size: int) -> None:
    for name in _PLACED:
        for part in getattr(parsed, name):
            line, start, end = part[-3:]
            if start is not None and not (0 <= start <= end <= size and line >= 1):
                raise AssertionError(f"{name} {part!r} is not within {size} bytes")
    parsed.body.encode()  # whatever is kept can be written as UTF-8


def _mutate_member(data: bytes, most: int, seed: int) -> bytes:
    draw = random.Random(seed)
    with suppress(Exception):
        if draw.random() < 0.8:
            return _with_member_changed(data, most, draw)
    return bytes(atheris.Mutate(data, most))


def _with_member_changed(data: bytes, most: int, draw: random.Random) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = draw.choice(list(members))
    members[name] = bytes(atheris.Mutate(members[name], LONGEST))
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return written.getvalue()[:most]


if __name__ == "__main__":
    main()
