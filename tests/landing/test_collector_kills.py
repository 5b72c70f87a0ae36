"""The collector killed again and again, while senders send again what was not answered: each event is there once.

What belongs here: the one long case; `NOTELAKE_TEST_KILLS` says how often (default 25). What does not: single claims.
"""

from __future__ import annotations

import http.client
import json
import os
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import duckdb
import pytest

from dagster_project.lake.lake import Lake
from dagster_project.pipeline import run
from dagster_project.settings import Settings
from dagster_project.sources import StreamSource

from .test_collector import collecting, connected

KILLS = int(os.environ.get("NOTELAKE_TEST_KILLS", "25"))
CLOUD = {"specversion": "1.0", "source": "/kills", "type": "note.updated", "time": "2026-05-14T09:00:00Z"}
PLAIN = {"content-type": "application/json"}
BATCH = {"content-type": "application/cloudevents-batch+json"}


@dataclass
class Sender:
    """Posts events one after the other, and each until it is answered with 202, whichever collector there is."""

    who: int
    port: list[int]
    ends: threading.Event
    answered: list[str] = field(default_factory=list)
    unanswered: int = 0
    """Posts that may or may not have been written."""

    def work(self) -> None:
        number = 0
        while not self.ends.is_set():
            with suppress(OSError, http.client.HTTPException), connected(self.port[0]) as connection:
                connection.connect()
                while not self.ends.is_set():
                    ids, headers, body = self._post(number)
                    self.unanswered += 1
                    connection.request("POST", "/", body, headers)
                    answer = connection.getresponse()
                    answer.read()
                    self.unanswered -= 1
                    assert answer.status == 202
                    self.answered += ids
                    number += 1
            time.sleep(0.01)

    def _post(self, number: int) -> tuple[list[str], dict[str, str], str]:
        if number % 3:
            id_ = f"{self.who}-{number}"
            event = {"id": id_, "type": "note.updated", "time": CLOUD["time"], "path": "a", "filling": "x" * 500}
            return [id_], PLAIN, json.dumps(event)
        ids = [f"{self.who}-{number}-{part}" for part in range(5)]
        return ids, BATCH, json.dumps([CLOUD | {"id": id_, "data": {"path": "b"}} for id_ in ids])


@pytest.mark.long
@pytest.mark.timeout(120 + 10 * KILLS)
def test_each_event_that_was_answered_is_in_the_lake_once(tmp_path: Path, lake: Lake, where: Settings) -> None:
    folder, random = tmp_path / "live", Random(7)
    options = ("--rotate-bytes", "60000")
    port, ends = [0], threading.Event()
    senders = [Sender(who, port, ends) for who in range(6)]
    threads = [threading.Thread(target=sender.work, daemon=True) for sender in senders]
    for kill in range(KILLS + 1):
        with collecting(folder, *options) as (process, at):
            port[0] = at
            if not kill:
                for thread in threads:
                    thread.start()
            time.sleep(0.02 + random.random() / 4)
            if kill == KILLS:
                ends.set()
                for thread in threads:
                    thread.join(20)
            process.kill()
    answered = [id_ for sender in senders for id_ in sender.answered]
    doubtful = sum(sender.unanswered for sender in senders)
    lines = [line for file in folder.iterdir() for line in file.read_bytes().splitlines()]
    written: Counter[str] = Counter()
    for line in lines:
        with suppress(ValueError):
            written[json.loads(line)["id"]] += 1
    assert set(answered) == set(written)
    (report,) = run(lake, [StreamSource(name="live", path=str(folder))]).reports
    assert report.error is None
    with duckdb.connect(str(where.view_file), read_only=True) as con:
        events = [id_ for (id_,) in con.execute("SELECT event_id FROM notes.events").fetchall()]
    assert sorted(events) == sorted(set(answered))
    assert len(answered) == len(set(answered))
    cut = len(lines) - written.total()
    print(
        f"{KILLS} kills: {len(answered):,} events answered and in the lake once; {doubtful} posts unanswered and sent "
        f"again, {written.total() - len(written)} of their events written twice; {cut} lines cut"
    )
    assert doubtful
