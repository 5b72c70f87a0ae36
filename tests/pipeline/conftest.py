"""A small world of three sources, and runs in processes of their own that can be killed."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
import pytest

from dagster_project.contracts import AUDITS, BY_IDENTIFIER
from dagster_project.failpoints import VARIABLE
from dagster_project.lake.lake import Lake, open_lake
from dagster_project.lake.read import relation
from dagster_project.pipeline import Run, run
from dagster_project.settings import settings
from dagster_project.sources import DocumentSource, NoteMapping, Source, StreamSource, TableSource

CLOCK_COLUMNS = {
    "observed_at",
    "landed_at",
    "_landed_at",
    "recorded_at",
    "quarantined_at",
    "audited_at",
    "published_at",
    "valid_from",
}
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["dagster_project.pipeline", "dagster_project.audit.expect"])


class World:
    """Sources on disk that can be changed, and any number of lakes that read them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.vault, self.tables, self.stream = folder / "vault", folder / "tables", folder / "stream"
        for place in (self.vault, self.tables, self.stream):
            place.mkdir(parents=True)
        self.events = 0
        self.begin()

    @property
    def sources(self) -> list[Source]:
        mapping = NoteMapping(key=("id",), title="title", body="body", created_at="at")
        return [
            DocumentSource(name="vault", path=str(self.vault), max_gone_share=1),
            TableSource(name="sheet", path=str(self.tables), note=mapping),
            StreamSource(name="live", path=str(self.stream)),
        ]

    def begin(self) -> None:
        self.note("a.md", "# A\n[[b]] #one\n- [ ] do it\n")
        self.note("b.md", "---\ntags: [x]\n---\nB\n")
        self.note("latin.md", b"caf\xc3\xa9, caf\xe9\n")
        self.sheet("one.csv", "id,title,body,at\n1,One,first,2026-01-01\n2,Two,second,2026-02-30\n")
        self.event("note.created", "n1")
        self.event("note.created", "n2")

    def note(self, path: str, text: str | bytes) -> None:
        file = self.vault / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode() if isinstance(text, str) else text)

    def sheet(self, path: str, text: str) -> None:
        (self.tables / path).write_text(text, "utf-8")

    def event(self, type_: str, path: str, **detail: str) -> None:
        self.events += 1
        event = {
            "id": f"e{self.events}",
            "detail-type": type_,
            "time": f"2026-05-14T09:{self.events // 60:02d}:{self.events % 60:02d}Z",
            "detail": {"path": path, **detail},
        }
        self.lines(json.dumps(event), shard=self.events % 2)

    def lines(self, text: str, *, shard: int = 0) -> None:
        with (self.stream / f"shard-{shard}.jsonl").open("a", encoding="utf-8") as file:
            file.write(text + "\n")

    def step(self, number: int) -> None:
        """Change something in every source, another thing each time."""
        self.note("a.md", f"# A{number}\n[[b]] [[c{number}]] #one\n- [x] did it\n")
        self.note(f"sub/new{number}.md", f"new {number}\n")
        if number % 2:
            for file in sorted(self.vault.glob("sub/new*.md"))[:1]:
                file.rename(self.vault / f"moved{number}.md")
        elif (old := next(iter(sorted(self.vault.glob("moved*.md"))), None)) is not None:
            old.unlink()
        rows = "".join(f"{n},Row {n},text {(n - 1) * number},2026-01-{n + 1:02d}\n" for n in range(1, 4 + number % 3))
        self.sheet("one.csv", f"id,title,body,at\n{rows}")
        self.event("note.updated", "n1", body=f"now {number}")
        self.event("note.moved" if number % 2 else "note.created", f"n{number}x", **{"from": "n2"})
        if number % 3 == 0:
            self.lines('{"id": "cut')


@pytest.fixture(scope="session")
def new_world() -> type[World]:
    """For tests that need many."""
    return World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "world")


def fresh(lake_folder: Path | str) -> Lake:
    """Open a lake as a new process does."""
    return open_lake(settings(str(lake_folder)), clock=lambda: datetime.now(UTC), ids=lambda: uuid4().hex)


def run_here(lake_folder: str, sources: list[Source], failpoint: str | None) -> None:
    """Run all sources once in this process; what `started` calls in another."""
    os.environ.pop(VARIABLE, None)
    if failpoint:
        os.environ[VARIABLE] = failpoint
    run(fresh(lake_folder), sources)


@pytest.fixture(scope="session")
def here() -> Callable[[Path, list[Source]], Run]:
    """Run in this process, on a lake that is opened for it."""
    return lambda lake_folder, sources: run(fresh(lake_folder), sources)


@pytest.fixture
def started() -> Callable[..., Any]:
    """Begin a run in a process of its own, which dies at a failpoint if one is named; return the process."""

    def start(lake_folder: Path, sources: list[Source], failpoint: str | None = None) -> Any:
        process = _PROCESSES.Process(target=run_here, args=(str(lake_folder), sources, failpoint))
        process.start()
        return process

    return start


@pytest.fixture
def forked(started: Callable[..., Any]) -> Callable[..., int]:
    """Run in a process of its own; returns the exit code, -9 if it was killed."""

    def finish(lake_folder: Path, sources: list[Source], failpoint: str | None = None) -> int:
        process = started(lake_folder, sources, failpoint)
        process.join(120)
        assert process.exitcode is not None, "the run hangs"
        return process.exitcode

    return finish


Rows = dict[str, list[tuple[Any, ...]]]


@pytest.fixture(scope="session")
def tables_of() -> Callable[[Path], Rows]:
    """Return all rows of all tables of a lake, clock columns and ages aside, in an order of their own."""

    def read(lake_folder: Path) -> Rows:
        lake = fresh(lake_folder)
        tables: Rows = {}
        with lake.connect() as con:
            for name, pin in lake.pins().items():
                columns = [c.name for c in pin.table.columns if c.name not in CLOCK_COLUMNS]
                listed = ", ".join(f'"{column}"' for column in columns)
                if name == AUDITS.identifier:
                    listed = listed.replace('"observed"', "CASE WHEN expectation NOT LIKE 'age(%' THEN observed END")
                tables[name] = con.execute(f"SELECT {listed} FROM {relation(pin)} AS t ORDER BY ALL").fetchall()
        return tables

    return read


@pytest.fixture
def without_sequence() -> Callable[[str, list[tuple[Any, ...]]], list[tuple[Any, ...]]]:
    """Take the arrival they came from out of a table's rows: it is another where two runs landed in turn."""

    def take_out(table: str, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        kept = [name for name in BY_IDENTIFIER[table].schema.names if name not in CLOCK_COLUMNS]
        at = kept.index("sequence") if "sequence" in kept else len(kept)
        return [(*row[:at], *row[at + 1 :]) for row in rows]

    return take_out


@pytest.fixture
def served() -> Callable[[Path], dict[str, int]]:
    """Return what the published file says: rows by view."""

    def read(lake_folder: Path) -> dict[str, int]:
        with duckdb.connect(str(lake_folder / "lake.duckdb"), read_only=True) as con:
            return {name: con.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in BY_IDENTIFIER}

    return read


@pytest.fixture(scope="session")
def fresh_lake() -> Callable[[Path], Lake]:
    """Open a lake as a new process does."""
    return fresh


@pytest.fixture(scope="session")
def notes_of(tables_of: Callable[[Path], Rows]) -> Callable[[Path], Rows]:
    """Return all rows of the tables that are made from raw, clock columns aside."""
    return lambda folder: {name: rows for name, rows in tables_of(folder).items() if not name.startswith("raw.")}
