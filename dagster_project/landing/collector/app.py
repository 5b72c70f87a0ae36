"""The collector's answers: who may post, how much, and 202 only for what is durable.

What belongs here: one request and its answer, as an ASGI application of two addresses. What does not: the forms of
events (`posted`), writing (`group_commit`), the server (`serve`).

| answer | when |
|---|---|
| 202 `{"accepted": n}` | n events are durable in the log |
| 400 | the body holds no events, or one of them does not hold; nothing was taken |
| 401 | no token, or a wrong one |
| 403 | no token is set, and the request was meant for another host (a web page that leads its name to this machine) |
| 404, 405 | another address or method: events are posted to `/` or `/events`, `GET /health` tells how it does |
| 408 | the body did not come within 30 seconds |
| 413 | the body is larger than may be |
| 415 | a content type or packing that is not taken |
| 503 with `Retry-After` | more waits to be written than may, or the log can't be written: send it again |

What was answered otherwise than 202, or not at all, may be in the log or not: send it again. By its id it counts once.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import ip_address
from time import monotonic
from typing import Any, Final

from dagster_project.landing.collector import posted
from dagster_project.landing.collector.group_commit import Full, GroupCommit
from dagster_project.landing.collector.refused import Refused
from dagster_project.landing.emit import line

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Complete = Callable[[posted.Event], posted.Event]

ADDRESSES: Final = frozenset(("/", "/events"))
HEALTH: Final = "/health"
RETRY_SECONDS: Final = 1
_JSON: Final = (b"content-type", b"application/json")
_PROBLEM: Final = (b"content-type", b"application/problem+json")


@dataclass(frozen=True, slots=True)
class Limits:
    """What the collector takes."""

    body: int = 1024**2
    """Bytes of a request's body, unpacked."""
    waiting: int = 64 * 1024**2
    """Bytes of all bodies that are being read or wait to be written."""
    body_seconds: float = 30
    """How long a body may take to come: what is announced counts as waiting until then."""


class Gone(Exception):
    """Who posted has hung up."""


class Collector:
    """An ASGI application that takes events; `open_log` is called when the server starts, and gives what appends."""

    def __init__(
        self,
        open_log: Callable[[], Callable[[bytes], None]],
        *,
        complete: Complete,
        tokens: Sequence[str] = (),
        limits: Limits = Limits(),
    ) -> None:
        self._open_log = open_log
        self._complete = complete
        self._tokens = tuple(token.encode() for token in tokens)
        self._limits = limits
        self._patience = _Patience(limits.body_seconds)
        self._log: GroupCommit

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer a request, or start and end with the server."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            try:
                status, headers, body = await self._answer(scope, receive)
            except Gone:
                return
            headers.append((b"content-length", b"%d" % len(body)))
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self._log = GroupCommit(self._open_log(), most_waiting=self._limits.waiting)
        watch = asyncio.create_task(self._patience.watch())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        watch.cancel()
        await self._log.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, scope: Mapping[str, Any], receive: Receive) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        try:
            if scope["path"] == HEALTH:
                return self._health(scope["method"])
            accepted = await self._take(scope, receive)
        except Refused as refused:
            told = [(name.encode(), value.encode()) for name, value in refused.headers.items()]
            return refused.status, [_PROBLEM, *told], refused.problem()
        return 202, [_JSON], b'{"accepted":%d}' % accepted

    def _health(self, method: str) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        if method != "GET":
            raise _other_method(method, "GET")
        tally = self._log.tally
        told = {
            "status": "ok" if tally.error is None else "failing",
            "events": tally.events,
            "syncs": tally.syncs,
            "waiting_bytes": self._log.held,
        }
        if tally.error is not None:
            told["fact"] = f"The log could not be written: {tally.error.strerror}."
        body = json.dumps(told, separators=(",", ":")).encode()
        return 200 if tally.error is None else 503, [_JSON], body

    async def _take(self, scope: Mapping[str, Any], receive: Receive) -> int:
        """Return how many events of a request are durable now."""
        if scope["path"] not in ADDRESSES:
            raise Refused(404, f"There is no {scope['path']}.", "Post events to / or /events.")
        if scope["method"] != "POST":
            raise _other_method(scope["method"], "POST")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if not self._tokens and not is_loopback(headers.get("host", "localhost")):
            raise Refused(
                403, f"{headers['host']} is not this machine's loopback.", "Set a token, or post to localhost."
            )
        has_bearer = self._has_token(headers)
        if not has_bearer and "x-hub-signature-256" not in headers:
            raise _no_token()
        body, held = b"", _Held(self._log)
        try:
            body = await self._body(headers, receive, held)
            if not has_bearer and not self._is_signed(headers["x-hub-signature-256"], body):
                raise _no_token()
            return await self._write(headers, body)
        except Full as full:
            raise _try_later(f"{self._limits.waiting:,} bytes wait to be written, which is all that may.") from full
        finally:
            held.release()

    def _has_token(self, headers: posted.Headers) -> bool:
        """Whether the request bears a token, or needs none. What is compared has one length, and all are compared."""
        if not self._tokens:
            return True
        scheme, _, given = headers.get("authorization", "").partition(" ")
        digest = sha256(given.strip().encode("latin-1")).digest()
        found = [hmac.compare_digest(digest, sha256(token).digest()) for token in self._tokens]
        return scheme.lower() == "bearer" and any(found)

    def _is_signed(self, signature: str, body: bytes) -> bool:
        """Whether a body is signed with a token as GitHub signs its webhooks (`X-Hub-Signature-256`)."""
        given = signature.encode("latin-1")
        signed = [b"sha256=" + hmac.new(token, body, sha256).hexdigest().encode() for token in self._tokens]
        found = [hmac.compare_digest(given, each) for each in signed]
        return any(found)

    async def _body(self, headers: posted.Headers, receive: Receive, held: _Held) -> bytes:
        """Return the body as it came; no more of it is read than may wait."""
        announced = headers.get("content-length", "")
        if announced.isdecimal():
            if int(announced) > self._limits.body:
                raise posted.too_large(self._limits.body)
            held.hold(int(announced))
        with self._patience:
            return await self._whole(receive, held)

    async def _whole(self, receive: Receive, held: _Held) -> bytes:
        pieces, size = [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Gone
            piece = message.get("body", b"")
            size += len(piece)
            if size > self._limits.body:
                raise posted.too_large(self._limits.body)
            held.up_to(size)
            pieces.append(piece)
            if not message.get("more_body"):
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def _write(self, headers: posted.Headers, body: bytes) -> int:
        events = posted.read(headers, posted.unpacked(headers, body, most=self._limits.body))
        if not events:
            return 0
        try:
            lines = b"".join([line(self._complete(event)) for event in events])
        except ValueError as error:
            raise Refused(
                400, f"An event is no JSON: {error}.", "Send numbers that a 64-bit float can hold."
            ) from error
        try:
            await self._log.write(lines, len(events))
        except OSError as error:
            raise _try_later(f"The log could not be written: {error.strerror}.") from error
        return len(events)


class _Patience:
    """Ends the reading of bodies that do not come, all of them with one clock: a timeout for each takes 20 us."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._begun: dict[asyncio.Task[Any], float] = {}  # the oldest first
        self._ended: set[asyncio.Task[Any]] = set()

    def __enter__(self) -> None:
        self._begun[_this_task()] = monotonic()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        task = _this_task()
        del self._begun[task]
        if task in self._ended:
            self._ended.discard(task)
            task.uncancel()
            fact = f"The body did not come within {self._seconds:g} seconds."
            raise Refused(408, fact, "Send it again.", headers={"connection": "close"}) from error

    async def watch(self) -> None:
        """End what takes too long, for ever."""
        while True:
            await asyncio.sleep(self._seconds / 20)
            late = monotonic() - self._seconds
            for task in [task for task, begun in self._begun.items() if begun < late and task not in self._ended]:
                self._ended.add(task)
                task.cancel()


def _this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  # it is called in coroutines only
    return task


class _Held:
    """Bytes of one request that count as waiting until it is answered."""

    __slots__ = ("_log", "_size")

    def __init__(self, log: GroupCommit) -> None:
        self._log = log
        self._size = 0

    def hold(self, size: int) -> None:
        self._log.hold(size)
        self._size += size

    def up_to(self, size: int) -> None:
        if size > self._size:
            self.hold(size - self._size)

    def release(self) -> None:
        self._log.release(self._size)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address, which may have a port.

    >>> [is_loopback(host) for host in ("127.0.0.1:80", "[::1]:80", "::1", "localhost", "0.0.0.0", "example.org:80")]
    [True, True, True, True, False, False]
    """
    name = host if host.count(":") > 1 and host[0] != "[" else host.removeprefix("[").partition("]")[0]
    name = name if name.count(":") > 1 else name.partition(":")[0]
    if name in ("127.0.0.1", "localhost", "::1"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def _no_token() -> Refused:
    return Refused(
        401,
        "The request bears no token that is known here.",
        "Send `Authorization: Bearer <token>`, or sign the body with it as GitHub does (X-Hub-Signature-256).",
        headers={"www-authenticate": "Bearer"},
    )


def _other_method(method: str, allowed: str) -> Refused:
    return Refused(405, f"{method} is not answered here.", f"Use {allowed}.", headers={"allow": allowed})


def _try_later(fact: str) -> Refused:
    return Refused(503, fact, "Send it again after a while.", headers={"retry-after": str(RETRY_SECONDS)})
