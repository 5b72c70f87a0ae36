"""A vault's own history as events, consumed as a stream, ends in what git says of the vault.

What belongs here: `../shared/corpora/events` against the files of the vault itself and git's list of what changed. What
does not: the rules of the fold (`tests/model`). Skips, and says so, where the corpora are not on the machine.

Git's word is taken from the vault, not from a fold: which notes exist is which files lie in it; when a note changed
last is the latest commit that names its path and does not delete it; what a commit between two states changed is
`git diff --name-status`. `pages/page_alias.md` vanished in a merge, which no event tells: it stays.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from random import Random
from threading import Event
from typing import Any

import duckdb
import pytest

from dagster_project.lake.lake import Lake
from dagster_project.landing.emit import emit
from dagster_project.settings import Settings
from dagster_project.sources import StreamSource
from dagster_project.streaming import Pace, Progress, consume

VANISHED = "pages/page_alias.md"
BEFORE = "TIMESTAMPTZ '2023-05-30T10:50:25-04:00'"
"""The last commit in `vault_before`."""

Ask = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture
def ask(where: Settings) -> Ask:
    def asked(query: str) -> list[tuple[Any, ...]]:
        with closing(duckdb.connect(str(where.view_file), read_only=True)) as con:
            return con.execute(query).fetchall()

    return asked


def consumed(lake: Lake, folder: Path) -> Progress:
    source = StreamSource(name="history", path=str(folder))
    (progress,) = consume(lake, [source], stop=Event(), tell=lambda *_: None, pace=Pace(0), until="idle")
    assert progress.trouble is None
    return progress


def lines_of(corpora: Path) -> list[bytes]:
    return [line for file in sorted((corpora / "events").iterdir()) for line in file.read_bytes().splitlines()]


def paths_in(vault: Path) -> set[str]:
    return {str(file.relative_to(vault)) for file in vault.rglob("*.md")} | {VANISHED}


def said_by_git(corpora: Path) -> dict[str, datetime]:
    """Return the notes that exist, by path, and when each changed last."""
    last: dict[str, datetime] = {}
    for event in map(json.loads, lines_of(corpora)):
        path, at = event["detail"]["path"], datetime.fromisoformat(event["time"])
        if event["detail-type"] != "note.deleted":
            last[path] = max(last.get(path, at), at)
    return {path: last[path] for path in paths_in(corpora / "vault_after")}


@pytest.mark.slow
def test_the_history_of_a_vault_shuffled_and_sent_twice_ends_in_what_git_says_of_it(
    corpora: Path, lake: Lake, ask: Ask, tmp_path: Path
) -> None:
    random, lines = Random(2023), lines_of(corpora)
    sent = random.sample(lines, len(lines)) + random.sample(lines, 500)
    counts = []
    for part in (sent[:1_500], sent[1_500:]):  # in two parts, so that notes have been folded before what is older comes
        for shard in range(3):
            append(tmp_path / "log", f"shard-{shard}", part[shard::3])
        counts.append(consumed(lake, tmp_path / "log").counts)
    total = sum(counts[1:], counts[0])
    assert (total.seen, total.committed, total.duplicate) == (len(sent), len(lines), 500)
    notes = ask("SELECT path, modified_at FROM notes.notes")
    assert dict(notes) == said_by_git(corpora) and len(notes) == 314
    assert {path for (path,) in ask(f"SELECT path FROM notes.at({BEFORE})")} == paths_in(corpora / "vault_before")
    with open(corpora / "vault_changes.tsv", encoding="utf-8") as changes:
        changed = {line.rstrip("\n").split("\t")[-1] for line in changes}
    versions = ask(f"SELECT DISTINCT path FROM notes.versions WHERE valid_from > {BEFORE}")
    assert {path for (path,) in versions} == changed
    assert ask("SELECT count(*), count(DISTINCT event_id) FROM notes.events") == [(len(lines), len(lines))]


def append(folder: Path, shard: str, events: Sequence[bytes]) -> None:
    done = emit([events], folder, shard=shard, fsync="never", complete=lambda event: event)
    assert not done.refused
