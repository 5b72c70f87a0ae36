"""Events over HTTP: what was answered with 202 is in the log, and what is refused says why."""

from __future__ import annotations

import asyncio
import gzip
import hmac
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dagster_project.cli import main
from dagster_project.landing.collector import posted
from dagster_project.landing.collector.app import Collector, Limits
from dagster_project.landing.collector.refused import Refused

JSON = {"content-type": "application/json"}
CLOUD_EVENT = {"specversion": "1.0", "id": "e1", "source": "/vault", "type": "note.created"}
STALLED = b"{"
TOKEN = {"authorization": "Bearer s3cret"}


# What a request says


@pytest.mark.parametrize(
    ("headers", "body", "events"),
    [
        (JSON, '{"id": 1}', [{"id": 1}]),
        (JSON, '[{"id": 1}, {"id": 2}]', [{"id": 1}, {"id": 2}]),
        (JSON, "[]", []),
        ({"content-type": "Application/JSON; charset=utf-8"}, '\n {"id":\n "é"}\n', [{"id": "é"}]),
        ({"content-type": "application/x-ndjson"}, '{"id": 1}\r\n\n{"id": 2}', [{"id": 1}, {"id": 2}]),
        ({"content-type": "text/plain", "x-amz-sns-message-type": "Notification"}, '{"a": 1}', [{"a": 1}]),
        (JSON | {"x-github-delivery": "d7"}, '{"ref": "main"}', [{"ref": "main", "id": "d7"}]),
        (JSON | {"webhook-id": "d7"}, '[{"a": 1}, {"event_id": 2}]', [{"a": 1, "id": "d7-1"}, {"event_id": 2}]),
        ({"content-type": "application/cloudevents+json"}, json.dumps(CLOUD_EVENT), [CLOUD_EVENT]),
        ({"content-type": "application/cloudevents-batch+json"}, json.dumps([CLOUD_EVENT] * 2), [CLOUD_EVENT] * 2),
        ({"content-type": "application/cloudevents-batch+json"}, "[]", []),
    ],
)
def test_events_come_in_many_forms(headers: dict[str, str], body: str, events: list[Any]) -> None:
    assert posted.read(headers, body.encode()) == events


BINARY = {f"ce-{name}": value for name, value in CLOUD_EVENT.items()}


@pytest.mark.parametrize(
    ("content_type", "body", "data"),
    [
        ("application/json", b'{"path": "a"}', {"data": {"path": "a"}}),
        ("application/vnd.x+json; charset=utf-8", b"[1]", {"data": [1]}),
        ("text/plain; charset=latin-1", b"caf\xe9", {"data": "caf\xe9"}),
        ("text/plain", b"\xff", {"data_base64": "/w=="}),
        ("image/png", b"\x89P", {"data_base64": "iVA="}),
        ("", b'{"path": "a"}', {"data": {"path": "a"}}),
        ("", b"\x00", {"data_base64": "AA=="}),
        ("application/json", b"", {}),
    ],
)
def test_a_binary_cloud_event_becomes_one_of_json(content_type: str, body: bytes, data: dict[str, Any]) -> None:
    headers = BINARY | ({"content-type": content_type} if content_type else {}) | {"ce-subject": "Euro%20%E2%82%AC"}
    typed = {"datacontenttype": content_type} if content_type else {}
    assert posted.read(headers, body) == [CLOUD_EVENT | {"subject": "Euro €"} | typed | data]


@pytest.mark.parametrize(
    ("headers", "body", "status", "fact"),
    [
        (JSON, b"", 400, "The body is no JSON"),
        (JSON, b'{"id": NaN}', 400, "NaN is no number of JSON"),
        (JSON, b'{"id": "\xff"}', 400, "no JSON"),
        (JSON, b"[" * 100_000, 400, "no JSON"),
        (JSON, b"7", 400, "no object"),
        (JSON, b'[{"id": 1}, 7]', 400, "Event 2 of the array is JSON, but no object."),
        ({"content-type": "application/x-ndjson"}, b'{"id": 1}\n\n{"id', 400, "Line 3 is no JSON"),
        ({}, b"{}", 415, "what has no content-type"),
        ({"content-type": "text/plain"}, b"{}", 415, "text/plain"),
        ({"content-type": "application/x-www-form-urlencoded"}, b"{}", 415, "form"),
        ({"content-type": "application/cloudevents+avro"}, b"", 415, "avro"),
        ({"content-type": "application/cloudevents+json"}, b'{"specversion": "0.3"}', 400, "version '0.3'"),
        ({"content-type": "application/cloudevents-batch+json"}, b"{}", 400, "no JSON array"),
        (
            {"content-type": "application/cloudevents-batch+json"},
            json.dumps([CLOUD_EVENT, CLOUD_EVENT | {"id": ""}]).encode(),
            400,
            "Event 2 of the batch has no id",
        ),
        (BINARY | {"ce-type": ""}, b"", 400, "no type"),
        (BINARY | JSON, b"{", 400, "The event's data is no JSON"),
    ],
)
def test_what_is_no_event_is_refused_whole(headers: dict[str, str], body: bytes, status: int, fact: str) -> None:
    with pytest.raises(Refused) as refused:
        posted.read(headers, body)
    assert refused.value.status == status
    assert fact in refused.value.fact


def test_packed_bodies_are_unpacked_as_far_as_may_be() -> None:
    packed = {"content-encoding": "gzip"}
    assert posted.unpacked(packed, gzip.compress(b"[]"), most=10) == b"[]"
    for headers, body, status in (
        (packed, gzip.compress(b"x" * 10_000_000), 413),
        (packed, gzip.compress(b"[]")[:-3], 400),
        (packed, b"[]", 400),
        ({"content-encoding": "br"}, b"[]", 415),
    ):
        with pytest.raises(Refused) as refused:
            posted.unpacked(headers, body, most=10)
        assert refused.value.status == status


# When it is answered


class Disk:
    """A log that is slow, or fails, when told to."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.error: OSError | None = None

    def append(self, lines: bytes) -> None:
        assert self.goes_on.wait(20)
        if self.error:
            raise self.error
        self.lines.append(lines)


async def ask(
    collector: Collector, body: bytes, method: str = "POST", path: str = "/", **more: str
) -> tuple[int, dict[str, str], Any]:
    """Send a request to the application; return status, headers and what the answer says."""
    sent: list[Any] = []
    headers = JSON | {"content-length": str(len(body))} | {k.replace("_", "-"): v for k, v in more.items()}
    scope = {"type": "http", "method": method, "path": path, "headers": []}
    scope["headers"] = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def receive() -> dict[str, Any]:
        if body == STALLED:
            await asyncio.sleep(20)
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        sent.append(message)

    await collector(scope, receive, send)
    told = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], told, json.loads(sent[1]["body"])


async def living(collector: Collector) -> tuple[asyncio.Task[None], asyncio.Event]:
    """Start an application as a server does; set the event to end it."""
    begun, ends = asyncio.Event(), asyncio.Event()
    asked = iter((asyncio.sleep(0), ends.wait()))

    async def receive() -> dict[str, Any]:
        await next(asked)
        return {}

    async def send(message: Any) -> None:
        begun.set()

    task = asyncio.create_task(collector({"type": "lifespan"}, receive, send))
    await begun.wait()
    return task, ends


def test_nothing_is_answered_before_it_is_durable_and_what_waits_goes_together() -> None:
    async def scenario() -> None:
        disk = Disk()
        collector = Collector(lambda: disk.append, complete=lambda event: event)
        task, ends = await living(collector)
        disk.goes_on.clear()
        asked = [asyncio.create_task(ask(collector, b'{"id": %d}' % number)) for number in range(10)]
        await asyncio.sleep(0.05)
        assert not any(each.done() for each in asked)
        disk.goes_on.set()
        assert {(await each)[0] for each in asked} == {202}
        assert sorted(b"".join(disk.lines).splitlines()) == [b'{"id":%d}' % number for number in range(10)]
        assert len(disk.lines) <= 2  # the first alone or with others, and all that waited meanwhile
        ends.set()
        await task

    asyncio.run(scenario())


def test_who_posts_more_than_may_wait_is_told_to_come_again_and_nothing_that_waits_is_lost() -> None:
    async def scenario() -> None:
        disk = Disk()
        collector = Collector(lambda: disk.append, complete=lambda event: event, limits=Limits(100, 25))
        task, ends = await living(collector)
        disk.goes_on.clear()
        waiting = [asyncio.create_task(ask(collector, b'{"id": %d}' % number)) for number in range(2)]
        await asyncio.sleep(0.05)
        status, headers, told = await ask(collector, b'{"id": 3}')
        assert (status, headers["retry-after"]) == (503, "1")
        assert told["fact"] == "25 bytes wait to be written, which is all that may."
        ends.set()  # asked to end, it writes what waits first
        await asyncio.sleep(0.05)
        assert not task.done()
        disk.goes_on.set()
        await task
        assert [(await each)[0] for each in waiting] == [202, 202]
        assert b"".join(disk.lines) == b'{"id":0}\n{"id":1}\n'

    asyncio.run(scenario())


def test_a_body_that_does_not_come_keeps_no_other_waiting() -> None:
    async def scenario() -> None:
        disk = Disk()
        limits = Limits(100, 10, body_seconds=0.1)
        collector = Collector(lambda: disk.append, complete=lambda event: event, limits=limits)
        task, ends = await living(collector)
        stalled = [asyncio.create_task(ask(collector, STALLED)) for _ in range(10)]
        await asyncio.sleep(0)
        assert (await ask(collector, b"{}"))[0] == 503
        assert {(await each)[0] for each in stalled} == {408}
        assert (await ask(collector, b"{}"))[0] == 202
        ends.set()
        await task

    asyncio.run(scenario())


def test_a_disk_that_fails_is_told_and_taken_up_again() -> None:
    async def scenario() -> None:
        disk = Disk()
        collector = Collector(lambda: disk.append, complete=lambda event: event)
        task, ends = await living(collector)
        disk.error = OSError(28, "No space left on device")
        status, headers, told = await ask(collector, b'{"id": 1}')
        assert (status, "retry-after" in headers) == (503, True)
        assert told["detail"].startswith("Nothing was taken. The log could not be written: No space left on device.")
        assert (await ask(collector, b"", "GET", "/health"))[0] == 503
        disk.error = None
        assert (await ask(collector, b'{"id": 1}'))[0] == 202
        status, _, told = await ask(collector, b"", "GET", "/health")
        assert (status, told) == (200, {"status": "ok", "events": 1, "syncs": 1, "waiting_bytes": 0})
        assert (await ask(collector, b'{"id": 1e999}'))[0] == 400
        assert (await ask(collector, b"", "GET"))[0:2] == (405, (await ask(collector, b"", "PUT"))[1])
        assert (await ask(collector, b"", path="/else"))[0] == 404
        ends.set()
        await task

    asyncio.run(scenario())


def test_a_web_page_that_leads_its_name_to_this_machine_posts_nothing() -> None:
    async def scenario() -> None:
        disk = Disk()
        collector = Collector(lambda: disk.append, complete=lambda event: event)
        task, ends = await living(collector)
        assert (await ask(collector, b'{"id": 1}', host="evil.example:8711"))[0] == 403
        assert (await ask(collector, b"", "OPTIONS"))[0] == 405
        assert (await ask(collector, b'{"id": 1}', host="localhost:8711"))[0] == 202
        assert len(disk.lines) == 1
        ends.set()
        await task

    asyncio.run(scenario())


def test_only_who_bears_or_signs_with_a_token_is_let_in() -> None:
    async def scenario() -> None:
        disk, body = Disk(), b'{"id": 1}'
        collector = Collector(lambda: disk.append, complete=lambda event: event, tokens=("old", "s3cret"))
        task, ends = await living(collector)
        signed = f"sha256={hmac.new(b's3cret', body, 'sha256').hexdigest()}"
        for status, headers in (
            (401, {}),
            (401, {"authorization": "Bearer wrong"}),
            (401, {"authorization": "Basic s3cret"}),
            (401, {"x_hub_signature_256": signed.replace("=", "=0")}),
            (202, TOKEN),
            (202, {"authorization": "bearer old"}),
            (202, {"x_hub_signature_256": signed}),
        ):
            found, told, _ = await ask(collector, body, **headers)
            assert found == status, headers
            assert (told.get("www-authenticate") == "Bearer") == (status == 401)
        assert len(disk.lines) == 3
        ends.set()
        await task

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--host", "0.0.0.0"], "Anybody who reaches 0.0.0.0 could post events"),
        (["--token-file", "empty"], "A token is empty"),
        (["--token-file", "none"], "can't be read"),
        (["--host", "192.0.2.1", "--token-file", "tokens"], "Nothing can listen on 192.0.2.1"),
    ],
)
def test_what_can_not_be_safe_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "tokens").write_text("a\nb\n")
    done = CliRunner().invoke(main, ["collect", "--stream", "live", *options])
    assert (done.exit_code, told in done.stderr) == (2, True), done.stderr


# As a process


@contextmanager
def collecting(
    folder: Path, *options: str, before: str = "", **environment: str
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run `notelake collect`, with Python done `before`, until the block ends; yields the process and its port."""
    program = f"{before}\nfrom dagster_project.cli import main; main()"
    command = [sys.executable, "-c", program, "collect", "--stream", str(folder), "--port", "0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | environment) as process:
        try:
            assert process.stderr is not None
            told = process.stderr.readline()
            assert " go to " in told, told
            yield process, int(told.split()[3].rsplit(":", 1)[1])
        finally:
            process.kill()


@contextmanager
def connected(port: int) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        yield connection
    finally:
        connection.close()


def post(connection: http.client.HTTPConnection, body: bytes | str, **headers: str) -> tuple[int, Any]:
    connection.request("POST", "/events", body, JSON | {k.replace("_", "-"): v for k, v in headers.items()})
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "collected.jsonl").read_bytes().splitlines()]


def test_a_collector_takes_all_forms_and_ends_when_asked_with_nothing_in_doubt(tmp_path: Path) -> None:
    options = ("--max-body", "1000")
    with (
        collecting(tmp_path, *options, NOTELAKE_COLLECT_TOKEN="s3cret") as (process, port),
        connected(port) as connection,
        connected(port) as late,
    ):
        assert post(connection, '{"type": "note.created"}', **TOKEN) == (202, {"accepted": 1})
        assert post(connection, '[{"id": "b"}, {"id": "c"}]', **TOKEN) == (202, {"accepted": 2})
        structured = {"content_type": "application/cloudevents+json"} | TOKEN
        assert post(connection, json.dumps(CLOUD_EVENT), **structured) == (202, {"accepted": 1})
        assert post(connection, b'{"path": "a"}', **BINARY, **TOKEN) == (202, {"accepted": 1})
        assert post(connection, "{}")[0] == 401
        status, told = post(connection, json.dumps([{"id": "x" * 1000}]), **TOKEN)
        assert (status, told["status"], told["state"]) == (413, 413, "Nothing was taken.")
        assert set(told) == {"title", "status", "detail", "state", "fact", "way_out"}
        late.putrequest("POST", "/")
        for name, value in (JSON | TOKEN | {"content-length": "12"}).items():
            late.putheader(name, value)
        late.endheaders(b'{"id": ')
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        late.send(b'"l"}\n')
        assert late.getresponse().status == 202
        assert process.wait(20) == 0
    written = events(tmp_path)
    assert written[0].keys() == {"type", "id", "time"}
    assert [event["id"] for event in written[1:]] == ["b", "c", "e1", "e1", "l"]
    assert written[-2]["data"] == {"path": "a"}


def test_where_nothing_more_can_be_written_it_is_told_and_what_was_answered_stays(tmp_path: Path) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))"
    with collecting(tmp_path, before=limit) as (process, port), connected(port) as connection:
        answers = [post(connection, json.dumps({"id": n, "filling": "x" * 3000})) for n in range(10)]
        assert [status for status, _ in answers] == [202] * 6 + [503] * 4
        assert "The log could not be written: File too large" in answers[-1][1]["fact"]
        connection.request("GET", "/health")
        assert connection.getresponse().status == 503
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    whole = (tmp_path / "collected.jsonl").read_bytes().splitlines()[:6]
    assert [json.loads(line)["id"] for line in whole] == list(range(6))


@pytest.mark.parametrize("end", ["asked", "child killed", "parent killed"])
def test_several_processes_take_events_as_one_and_end_together(tmp_path: Path, end: str) -> None:
    with collecting(tmp_path, "--processes", "2") as (process, port), ExitStack() as stack:
        for number in range(20):
            assert post(stack.enter_context(connected(port)), f'{{"id": "{number}"}}')[0] == 202
        told = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True).stdout
        children = [int(pid) for pid in told.split()]
        assert len(children) == 2
        if end == "asked":
            process.send_signal(signal.SIGTERM)
        else:
            os.kill(children[1] if end == "child killed" else process.pid, signal.SIGKILL)
        assert process.wait(20) == {"asked": 0, "child killed": 1, "parent killed": -9}[end]
    until = time.monotonic() + 20
    while any(map(_is_alive, children)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(_is_alive, children))
    files = sorted(file.name for file in tmp_path.iterdir())
    assert files == ["collected-2.jsonl", "collected.jsonl"]
    lines = [line for file in files for line in (tmp_path / file).read_bytes().splitlines()]
    assert sorted(int(json.loads(line)["id"]) for line in lines) == list(range(20))


def _is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody waits for does not."""
    told = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(told.strip()) and not told.strip().startswith("Z")


def test_whatever_was_answered_with_202_is_in_the_log_after_a_kill_and_a_cut_line_harms_none(tmp_path: Path) -> None:
    answered: list[str] = []

    def load(who: int, port: int) -> None:
        with connected(port) as connection, suppress(OSError, http.client.HTTPException):  # it dies
            for number in range(100_000):
                if post(connection, json.dumps({"id": f"{who}-{number}", "text": "x" * 5000}))[0] == 202:
                    answered.append(f"{who}-{number}")

    with collecting(tmp_path) as (process, port):
        loads = [threading.Thread(target=load, args=(who, port)) for who in range(8)]
        for each in loads:
            each.start()
        until = time.monotonic() + 20
        while len(answered) < 300 and time.monotonic() < until:
            time.sleep(0.01)
        process.kill()
        for each in loads:
            each.join(30)
    file = tmp_path / "collected.jsonl"
    with file.open("ab") as torn:
        torn.write(b'{"id": "cut')
    with collecting(tmp_path) as (_, port), connected(port) as connection:
        assert post(connection, '{"id": "after"}')[0] == 202
    lines = file.read_bytes().splitlines()
    assert lines[-2].endswith(b'{"id": "cut')
    assert json.loads(lines[-1])["id"] == "after"
    found = {json.loads(line)["id"] for line in lines[:-2]}
    assert len(answered) >= 300
    assert set(answered) <= found
