"""Whatever kills consumer, writer and collector, and whoever works beside them: no event is lost, none is doubled.

`make faults` runs the long form: KILLS kills (500), each at a failpoint or at any moment, with one consumer or two at
work on a log whose writers send events again, out of order, and in pieces.
"""

from __future__ import annotations

import http.client
import json
import multiprocessing
import os
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random
from threading import Event

import pytest

from dagster_project.failpoints import FAILPOINTS, LOG_FAILPOINTS, VARIABLE
from dagster_project.lake.lake import Lake, open_lake
from dagster_project.landing.collector.app import Limits
from dagster_project.landing.collector.serve import Serving, serve
from dagster_project.landing.emit import emit
from dagster_project.landing.segments import newest, segment_name, segment_of
from dagster_project.model.fold import NoteEvent, fold
from dagster_project.settings import settings
from dagster_project.sources import StreamSource
from dagster_project.streaming import Pace, consume

_PROCESSES = multiprocessing.get_context("forkserver")
KINDS = ("note.created", "note.updated", "note.updated", "note.deleted", "note.moved", "note.viewed")
SHARDS = ("a", "b", "c")
SEGMENT_BYTES = 4_000
FIRST = datetime(2026, 5, 14, tzinfo=UTC)


class Writer:
    """Writes events in pieces: some again, in another shard, late; some lines half now and half later; segments."""

    def __init__(self, folder: Path, random: Random) -> None:
        self.folder, self.random = folder, random
        self.sent: list[str] = []
        self.rest: dict[str, str] = {}
        self.events = 0
        folder.mkdir()

    def write(self, count: int) -> None:
        for _ in range(count):
            shard = self.random.choice(SHARDS)
            self._append(shard, self.rest.pop(shard, ""))
            line = self.line() + "\n"
            cut = self.random.randrange(len(line)) if self.random.random() < 0.1 else len(line)
            self._append(shard, line[:cut])
            self.rest[shard] = line[cut:]

    def finish(self) -> None:
        for shard, rest in self.rest.items():
            self._append(shard, rest)
        self.rest.clear()

    def line(self) -> str:
        """Return a new event, or one that was sent before."""
        if self.sent and self.random.random() < 0.15:
            return self.random.choice(self.sent)
        self.events += 1
        detail = {"path": f"n{self.random.randrange(12)}", "from": f"n{self.random.randrange(12)}"}
        if self.random.random() < 0.5:
            detail["title"] = f"T{self.events}"
        at = FIRST + timedelta(minutes=self.random.randrange(500))
        event = {"id": f"e{self.events}", "type": self.random.choice(KINDS), "time": at.isoformat(), "detail": detail}
        self.sent.append(json.dumps(event))
        return self.sent[-1]

    def _append(self, shard: str, text: str) -> None:
        start, name = newest(os.listdir(self.folder), shard) or (0, segment_name(shard, 0))
        file = self.folder / name
        size = file.stat().st_size if file.exists() else 0
        if size >= SEGMENT_BYTES and not self.rest.get(shard) and file.read_bytes().endswith(b"\n"):
            file = self.folder / segment_name(shard, start + size)
        with file.open("a") as end:
            end.write(text)


def die_at(failpoint: str | None) -> None:
    """Let this process die at a failpoint, `name=n`, or at none."""
    os.environ.pop(VARIABLE, None)
    if failpoint:
        os.environ[VARIABLE] = failpoint


def consume_here(lake: str, log: str, failpoint: str | None) -> None:
    """Consume in this process until it dies."""
    die_at(failpoint)
    consumed(lake, log, until="stopped")


def emit_here(log: str, lines: list[str], failpoint: str | None) -> None:
    """Write events as `notelake emit` does, one after the other, until it dies."""
    die_at(failpoint)
    pieces = ([line] for line in lines if not time.sleep(0.02))
    emit(pieces, Path(log), shard="emitted", fsync="batch", complete=lambda event: event, rotate_bytes=SEGMENT_BYTES)
    time.sleep(60)


def collect_here(log: str, failpoint: str | None, address: Connection) -> None:
    """Take events over HTTP, as `notelake collect` does, until it dies."""
    die_at(failpoint)
    serving = Serving(Path(log), "collected", SEGMENT_BYTES, tokens=(), limits=Limits(), complete=lambda event: event)
    serve(serving, ("127.0.0.1", 0), processes=1, tell=address.send)


def opened(lake: str) -> Lake:
    """Open a lake as a program does."""
    return open_lake(
        settings(lake), clock=lambda: datetime.now(UTC), ids=lambda: f"{time.time_ns():x}{os.urandom(6).hex()}"
    )


def consumed(lake: str, log: str, until: str):  # type: ignore[no-untyped-def]
    pace = Pace(interval=0.05, max_events=40, fold_interval=0.3, views_interval=0.2)
    source = StreamSource(name="live", path=log)
    return consume(opened(lake), [source], stop=Event(), tell=lambda *_: None, pace=pace, until=until)[0]


class Sender:
    """Sends events by a writer or a collector that is killed, and again until it is known that they are written."""

    def __init__(self, log: str, writer: Writer, random: Random) -> None:
        self.log, self.writer, self.random = log, writer, random
        self.unsure: list[str] = []
        """Events that may be written, or not."""

    def begin(self, who: str, failpoint: str | None) -> BaseProcess:
        """Let a process work that writes some events; it lives until it is killed."""
        self.unsure += [self.writer.line() for _ in range(5)]
        if who == "writer":
            process = _PROCESSES.Process(target=emit_here, args=(self.log, self.unsure, failpoint))
            process.start()
            return process
        heard, address = _PROCESSES.Pipe(duplex=False)
        process = _PROCESSES.Process(target=collect_here, args=(self.log, failpoint, address))
        process.start()
        address.close()
        with heard, suppress(EOFError):
            self._post(heard.recv())
        return process

    def _post(self, address: str) -> None:
        """Post what is to be sent until nobody answers; what is answered is written."""
        with suppress(OSError, http.client.HTTPException):
            while self.unsure:
                connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=10)
                connection.request("POST", "/", self.unsure[0], {"content-type": "application/json"})
                assert connection.getresponse().status == 202
                connection.close()
                del self.unsure[0]

    def finish(self) -> None:
        """Send all that may not be written."""
        emit([self.unsure], Path(self.log), shard="emitted", fsync="never", complete=lambda event: event)
        self.unsure.clear()


def chosen(random: Random, failpoints: tuple[str, ...]) -> tuple[str, str | None]:
    """Choose where a process shall die: say it, and give it as `die_at` takes it."""
    failpoint = random.choice((*failpoints, None))
    return ("at any moment", None) if failpoint is None else (failpoint, f"{failpoint}={random.randint(1, 2)}")


def killed(lake: str, sender: Sender) -> list[str]:
    """Let one consumer or two work beside a writer or a collector until each has died; return how they did."""
    random, writer = sender.random, sender.writer
    told, at = chosen(random, FAILPOINTS)
    consumers = [(told, at)] + [chosen(random, FAILPOINTS)] * (random.random() < 0.3)
    processes = [(f"consumer {how}", _PROCESSES.Process(target=consume_here, args=(lake, sender.log, each)))
                 for how, each in consumers]  # fmt: skip
    for _, process in processes:
        process.start()
    if random.random() < 0.7:
        who = random.choice(("writer", "collector"))
        how, each = chosen(random, LOG_FAILPOINTS)
        processes.append((f"{who} {how}", sender.begin(who, each)))
    until = time.monotonic() + (random.uniform(0.3, 2.0) if at is None else 20.0)
    while processes[0][1].is_alive() and time.monotonic() < until:
        writer.write(random.randint(1, 4))
        processes[0][1].join(0.3)
    ways = []
    for how, process in processes:
        ways.append(f"{how.split()[0]} at any moment" if process.is_alive() else how)
        process.kill()
        process.join(30)
        assert process.exitcode == -9, f"it ended with {process.exitcode} by itself ({how})"
    return ways


def lines_of(folder: Path) -> dict[tuple[str, int], str]:
    """Return what was written, by shard and place in it."""
    found = {}
    for file in folder.iterdir():
        shard, at = segment_of(file.name)
        for line in file.read_text().splitlines(keepends=True):
            found[shard, at] = line.rstrip("\n")
            at += len(line)
    return found


def compare(lake: str, log: Path, writer: Writer) -> None:
    """Compare a lake with what was written: raw line by line, events by id, notes by the rules."""
    from dagster_project.lake.read import relation

    read = opened(lake)
    pins = read.pins()
    with read.connect() as con:
        raw = con.execute(
            f"SELECT shard, shard_sequence, payload, sequence FROM {relation(pins['raw.live'])}"
        ).fetchall()
        events = con.execute(f"SELECT event_id, sequence FROM {relation(pins['notes.events'])}").fetchall()
        notes = con.execute(f"SELECT note_id, path, title FROM {relation(pins['notes.notes'])} ORDER BY 1").fetchall()
        ((made, distinct),) = con.execute(
            f"SELECT count(*), count(DISTINCT sequence) FROM {relation(pins['notes.versions'])}"
        ).fetchall()
        (ledger,) = con.execute(
            f"SELECT sum(seen), sum(committed), sum(duplicate), sum(quarantined) FROM {relation(pins['ops.ledger'])}"
        ).fetchall()
        batches = f"SELECT batch_id FROM {relation(pins['ops.ledger'])}"
        audits = f"SELECT batch_id, suite, expectation, rule FROM {relation(pins['ops.audits'])}"
        unaudited = con.execute(f"{batches} EXCEPT SELECT batch_id FROM ({audits})").fetchall()
        twice = con.execute(f"{audits} GROUP BY ALL HAVING count(*) > 1").fetchall()
    assert (unaudited, twice) == ([], [])
    assert Counter((shard, at) for shard, at, *_ in raw) == Counter(lines_of(log).keys())
    assert {(shard, at): text for shard, at, text, _ in raw} == lines_of(log)
    assert sorted(sequence for *_, sequence in raw) == list(range(1, len(raw) + 1))
    first: dict[str, tuple[int, dict]] = {}
    cut = 0
    for *_, text, sequence in sorted(raw, key=lambda row: row[-1]):
        try:
            first.setdefault(json.loads(text)["id"], (sequence, json.loads(text)))
        except ValueError:  # a writer died in it
            cut += 1
    assert Counter(events) == Counter((id_, sequence) for id_, (sequence, _) in first.items())
    assert len(events) == writer.events and ledger == (len(raw), len(events), len(raw) - len(events) - cut, cut)
    said = [
        NoteEvent(
            id_, event["type"], datetime.fromisoformat(event["time"]), event["detail"]["path"],
            event["detail"]["from"], title=event["detail"].get("title"), sequence=sequence,
        )
        for id_, (sequence, event) in first.items()
    ]  # fmt: skip
    expected = fold([event for event in said if event.type != "note.viewed"], source="live").values()
    assert notes == sorted((note.note_id, note.path, note.title) for note in expected)
    assert made == distinct == sum(event.type != "note.viewed" for event in said)


def faults(folder: Path, kills: int, seed: int) -> Counter[str]:
    """Kill so often, and compare; return how they died."""
    random = Random(seed)
    writer = Writer(folder / "log", random)
    lake, log = str(folder / "lake"), str(folder / "log")
    sender = Sender(log, writer, random)
    writer.write(5)
    how: Counter[str] = Counter()
    while how.total() < kills:
        how.update(killed(lake, sender))
    writer.finish()
    sender.finish()
    assert consumed(lake, log, until="idle").trouble is None
    compare(lake, folder / "log", writer)
    return how


@pytest.mark.slow
def test_a_dozen_kills_lose_no_event_and_double_none(tmp_path: Path) -> None:
    assert faults(tmp_path, kills=12, seed=20260514).total() >= 12


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_hundreds_of_kills_lose_no_event_and_double_none(tmp_path: Path) -> None:
    kills = int(os.environ.get("KILLS", "500"))
    how = faults(tmp_path, kills, seed=int(os.environ.get("SEED", "1")))
    print(f"{how.total()} kills: {dict(sorted(how.items()))}; 0 lost, 0 doubled")
