"""A consumer on a lake whose store answers 503 and whose catalog goes away: it says so, waits, and loses nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import psycopg2
import pytest
import s3fs

from dagster_project import streaming
from dagster_project.errors import LakeUnavailable
from dagster_project.pipeline import run
from dagster_project.settings import Settings
from dagster_project.sources import StreamSource
from dagster_project.streaming import Pace, Progress, consume

from ..pipeline.test_faults import Writer, compare
from ..pipeline.test_faults import opened as opened_now
from .conftest import Postgres
from .consuming import wait_for

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]  # takes the servers of `make test-servers`
PACE = Pace(interval=0.1, fold_interval=1, views_interval=0.5)
SLOW_DOWN = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your rate.</Message></Error>"


@dataclass
class Store:
    """Stands before a store, and answers 503 while it is busy."""

    address: str
    is_busy: threading.Event = field(default_factory=threading.Event)
    refused: int = 0

    def __enter__(self) -> str:
        store = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if store.is_busy.is_set():
                    store.refused += 1
                    self._send(503, {"content-type": "application/xml"}, SLOW_DOWN)
                    return
                server = HTTPConnection(store.address)
                server.request(self.command, self.path, body, dict(self.headers))
                got = server.getresponse()
                self._send(got.status, dict(got.headers), got.read())
                server.close()

            def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response_only(status)
                for name, value in headers.items():
                    if name.lower() not in {"transfer-encoding", "connection", "content-length"}:
                        self.send_header(name, value)
                length = headers.get("Content-Length", len(body)) if self.command == "HEAD" else len(body)
                self.send_header("Content-Length", str(length))
                self.end_headers()
                with suppress(ConnectionError):  # who asked may have given it up
                    self.wfile.write(b"" if self.command == "HEAD" else body)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

            def log_message(self, *_: object) -> None: ...

        self.before = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.before.serve_forever, args=(0.05,))
        self.thread.start()
        return f"http://127.0.0.1:{self.before.server_address[1]}"

    def __exit__(self, *_: object) -> None:
        self.before.shutdown()
        self.thread.join()
        self.before.server_close()


@pytest.fixture
def store(s3_endpoint: str, s3_lake: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """What stands before the store of `s3_lake`, where the AWS variables lead now."""
    store = Store(urlsplit(s3_endpoint).netloc)
    with store as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        s3fs.S3FileSystem.clear_instance_cache()
        yield store
        s3fs.S3FileSystem.clear_instance_cache()


@contextmanager
def away(postgres: Postgres, catalog: str) -> Iterator[None]:
    """Let nobody connect to a catalog within the block, and who was connected no longer be."""
    name = catalog.rsplit("/", 1)[1]
    connection = psycopg2.connect(host="127.0.0.1", port=postgres.port, user="notelake", dbname="postgres")
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
            yield
            cursor.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    finally:
        connection.close()


def test_a_consumer_outlives_a_store_that_answers_503_and_a_catalog_that_goes_away(
    store: Store, postgres: Postgres, catalog: str, s3_lake: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "LONGEST_PAUSE", 0.5)
    writer, told = Writer(tmp_path / "log", Random(5)), list[tuple[str, str]]()
    source = StreamSource(name="live", path=str(tmp_path / "log"))

    def tell(word: str, progress: Progress, detail: str = "") -> None:
        told.append((word, detail))

    def hears(*words: str) -> Callable[[], bool]:
        return lambda: set(words) <= {word for word, _ in told}

    stop = threading.Event()
    more = {"stop": stop, "tell": tell, "pace": PACE}
    consumer = threading.Thread(target=consume, args=(opened_now(s3_lake.lake), [source]), kwargs=more)
    writer.write(20)
    consumer.start()
    facts = []
    try:
        wait_for(hears("committed"))
        store.is_busy.set()
        writer.write(10)
        wait_for(hears("trouble"))
        with pytest.raises(LakeUnavailable, match="nothing is in doubt"):
            run(opened_now(s3_lake.lake), [source])
        store.is_busy.clear()
        wait_for(hears("recovered"))
        facts += [detail for word, detail in told if word == "trouble"]
        told.clear()
        with away(postgres, catalog):
            writer.write(10)
            wait_for(hears("trouble"))
        wait_for(hears("recovered"))
        facts += [detail for word, detail in told if word == "trouble"]
    finally:
        store.is_busy.clear()
        stop.set()
        consumer.join(60)
    writer.finish()
    assert store.refused
    assert "Service Unavailable" in facts[0] or "reduce your rate" in facts[0]
    assert any("server closed the connection" in fact or "not currently accepting" in fact for fact in facts[1:])
    assert not run(opened_now(s3_lake.lake), [source]).has_trouble
    compare(s3_lake.lake, tmp_path / "log", writer)
