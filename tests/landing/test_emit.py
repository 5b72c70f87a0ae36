"""Writing a log: every event in one whole line, whoever else writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from dagster_project.cli import main
from dagster_project.errors import UsageError
from dagster_project.landing import emit as emitting
from dagster_project.landing.emit import Emitted, Log, emit
from dagster_project.landing.segments import segment_of

WRITER = """
import sys
from pathlib import Path
from dagster_project.landing.emit import emit
who, folder, *rotate = sys.argv[1:]
events = ('{"id": "%s-%d", "filling": "%s"}' % (who, n, "x" * 3000) for n in range(400))
fsync = "always" if who == "w0" else "never"
emit([[event] for event in events], Path(folder), shard="a", fsync=fsync, complete=lambda event: event,
     rotate_bytes=int(rotate[0]) if rotate else None)
"""


def written(events: list[str], folder: Path, *, shard: str = "a") -> Emitted:
    return emit([events], folder, shard=shard, fsync="never", complete=lambda event: event)


def lines(file: Path) -> list[bytes]:
    return file.read_bytes().splitlines()


def test_several_writers_at_once_tear_no_line(tmp_path: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, f"w{n}", str(tmp_path)]) for n in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    found = [json.loads(line)["id"] for line in lines(tmp_path / "a.jsonl")]
    assert sorted(found) == sorted(f"w{who}-{n}" for who in range(3) for n in range(400))
    for who in range(3):
        assert [id_ for id_ in found if id_.startswith(f"w{who}")] == [f"w{who}-{n}" for n in range(400)]


def test_writers_that_rotate_and_one_that_does_not_leave_segments_without_gap_or_torn_line(tmp_path: Path) -> None:
    rotating = ["100000", "64000"]
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, f"w{n}", str(tmp_path), *rotating[n : n + 1]]) for n in range(3)
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    segments = sorted((segment_of(file.name), file) for file in tmp_path.iterdir())
    assert len(segments) > 20 and all(found for found, _ in segments)
    starts = [start for found, _ in segments if found for start in found[1:]]
    sizes = [file.stat().st_size for _, file in segments]
    assert starts == [sum(sizes[:n]) for n in range(len(sizes))]
    ids = [json.loads(line)["id"] for _, file in segments for line in lines(file)]
    assert sorted(ids) == sorted(f"w{who}-{n}" for who in range(3) for n in range(400))


def test_where_all_segments_were_deleted_an_open_log_goes_on_at_its_place(tmp_path: Path) -> None:
    with Log(tmp_path, "a", fsync="never", rotate_bytes=1 << 20) as log:
        log.append(b"1234567\n")
        (tmp_path / "a.jsonl").unlink()
        log.append(b"9\n")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("a.00000000000000000008.jsonl", b"9\n")]


def test_a_line_that_a_writer_died_in_harms_no_other(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"id": 1}\n{"id": 2, "cut')
    written(['{"id": 3}'], tmp_path)
    assert lines(tmp_path / "a.jsonl") == [b'{"id": 1}', b'{"id": 2, "cut', b'{"id":3}']


def test_what_is_no_event_is_told_and_the_others_are_written(tmp_path: Path) -> None:
    done = written(['{"id": 1}', "", "[]", "no JSON", "[" * 100_000, '{"id": NaN}', '{"id": 2}'], tmp_path)
    assert (done.written, [number for number, _ in done.refused]) == (2, [3, 4, 5, 6])
    assert done.refused[0][1] == "no JSON object"
    assert len(lines(tmp_path / "a.jsonl")) == 2


def test_text_comes_out_as_it_went_in(tmp_path: Path) -> None:
    texts = ["caf\u00e9", "\ud800", "\U0001f30a", "\u2028"]
    written([json.dumps({"id": text}) for text in texts], tmp_path)
    assert [json.loads(line)["id"] for line in (tmp_path / "a.jsonl").read_bytes().split(b"\n") if line] == texts


def test_an_event_does_not_wait_for_others(tmp_path: Path) -> None:
    program = "from dagster_project.cli import main; main()"
    command = [sys.executable, "-c", program, "emit", str(tmp_path), "--shard", "a"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as tail:
        assert tail.stdin is not None
        tail.stdin.write(b'{"id": 1}\n{"id"')
        tail.stdin.flush()
        until = time.monotonic() + 30
        while not ((file := tmp_path / "a.jsonl").exists() and file.stat().st_size) and time.monotonic() < until:
            time.sleep(0.05)
        assert [json.loads(line)["id"] for line in lines(file)] == [1]
        tail.stdin.write(b": 2}")
        tail.stdin.close()
        assert tail.wait(30) == 0
    assert [json.loads(line)["id"] for line in lines(file)] == [1, 2]


@pytest.mark.parametrize("shard", ["", "../out", ".hidden", "a/b", "a\\b", "a\0"])
def test_a_shard_is_a_file_in_its_folder(tmp_path: Path, shard: str) -> None:
    with pytest.raises(UsageError, match="no name of a shard"):
        written(["{}"], tmp_path, shard=shard)
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize(("fsync", "times"), [("always", 6), ("batch", 3), ("never", 0)])
def test_events_are_durable_when_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fsync: emitting.Fsync, times: int
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(emitting, "BATCH", 3)
    monkeypatch.setattr(emitting.os, "fsync", calls.append)
    emit([["{}"] * 5], tmp_path, shard="a", fsync=fsync, complete=lambda event: event)
    assert len(calls) == times


def test_nothing_more_goes_into_a_file_that_could_not_be_made_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with emitting.Log(tmp_path, "a", fsync="batch") as log:
        log.append(b'{"id": 1}\n')
        whole = os.fsync

        def fails_once(handle: int) -> None:
            monkeypatch.setattr(emitting.os, "fsync", whole)
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(emitting.os, "fsync", fails_once)
        with pytest.raises(OSError, match="Input/output"):
            log.append(b'{"id": 2}\n')
        log.append(b'{"id": 3}\n')
    files = sorted(tmp_path.iterdir(), key=lambda file: len(file.name))
    assert [lines(file) for file in files] == [[b'{"id": 1}', b'{"id": 2}'], [b'{"id": 3}']]


def test_the_command_gives_id_and_time_and_has_code_3_if_something_is_no_event(tmp_path: Path) -> None:
    before = datetime.now(UTC)
    given = '{"type": "note.created", "path": "a"}\nno\n'
    done = CliRunner().invoke(main, ["emit", str(tmp_path / "live"), "--shard", "app"], input=given)
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (3, "1 event written.")
    assert "event 2 is no JSON" in done.stderr
    (event,) = map(json.loads, lines(tmp_path / "live" / "app.jsonl"))
    assert event.keys() == {"type", "path", "id", "time"}
    assert before <= datetime.fromisoformat(event["time"]) <= datetime.now(UTC)
    as_is = CliRunner().invoke(main, ["emit", str(tmp_path / "live"), '{"a": 1}', "--as-is"])
    assert as_is.exit_code == 0
    assert lines(tmp_path / "live" / "emitted.jsonl") == [b'{"a":1}']


def test_events_go_into_a_folder_and_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for target in (str(tmp_path / "file"), "s3://bucket/live"):
        assert CliRunner().invoke(main, ["emit", target, "{}"]).exit_code == 2
