"""The collector as a process: an address to listen on, signals, and an end in which nothing is in doubt.

What belongs here: uvicorn, which is imported here and nowhere else. What does not: what is answered (`app`).
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NoReturn

from dagster_project.errors import UsageError, WorkerLost
from dagster_project.landing.collector.app import Collector, Complete, Limits, is_loopback
from dagster_project.landing.emit import Log

SWITCH_SECONDS: Final = 0.001
"""How long the thread that writes may wait for Python's lock: it gives it away at every call of the system."""
DRAIN_SECONDS: Final = 10
"""How long requests that have begun may take to come in once the process was asked to end."""


@dataclass(frozen=True, slots=True)
class Serving:
    """What every process of a collector is told."""

    folder: Path
    shard: str
    """Of the first process; the others append `-2` and so on."""
    rotate_bytes: int | None
    tokens: tuple[str, ...]
    limits: Limits
    """Of each process."""
    complete: Complete


def serve(serving: Serving, address: tuple[str, int], *, processes: int, tell: Callable[[str], None]) -> None:
    """Take events until SIGTERM or SIGINT, and then until those that were being sent are answered.

    `tell` is told where the collector listens once it does; port 0 is a free one. Raises `UsageError` if uvicorn is
    not there, if the address can't be listened on, or if anybody on the network could post without a token;
    `WorkerLost` if one of several processes died, the others then end as if asked to.
    """
    if find_spec("uvicorn") is None:
        raise UsageError("The collector needs uvicorn. Install notelake[collect].")
    if not serving.tokens and not is_loopback(address[0]):
        raise UsageError(
            f"Anybody who reaches {address[0]} could post events. Set NOTELAKE_COLLECT_TOKEN or give --token-file; "
            "without a token it listens on loopback only."
        )
    with _listening(address) as listening:
        at, port = listening.getsockname()[:2]
        where = f"http://{f'[{at}]' if ':' in at else at}:{port}"
        if processes == 1:
            _serve_alone(serving, listening, begun=lambda: tell(where))
        else:
            _serve_together(serving, listening, processes, begun=lambda: tell(where))


def _serve_alone(
    serving: Serving, listening: socket.socket, *, begun: Callable[[], None], parent: int | None = None
) -> None:
    """Take events in this process, until it is asked to end or `parent`, a pipe, is closed by the other's end."""
    import uvicorn

    with Log(serving.folder, serving.shard, fsync="batch", rotate_bytes=serving.rotate_bytes) as log:

        def begin() -> Callable[[bytes], None]:
            if parent is not None:
                _end_with(parent)
            begun()
            return log.append

        config = uvicorn.Config(
            Collector(begin, complete=serving.complete, tokens=serving.tokens, limits=serving.limits),
            log_level="warning",
            access_log=False,
            lifespan="on",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
        sys.setswitchinterval(SWITCH_SECONDS)
        # uvicorn raises the signals it has heeded again when it is done; being asked to end is no failure.
        for heeded in (signal.SIGTERM, signal.SIGINT):
            signal.signal(heeded, lambda *_: None)
        uvicorn.Server(config).run(sockets=[listening])


def _serve_together(serving: Serving, listening: socket.socket, processes: int, *, begun: Callable[[], None]) -> None:
    """Take events in several processes, each with a shard of its own, that listen on one socket and end with this."""
    ended, end = os.pipe()
    children: set[int] = set()
    for number in range(1, processes + 1):
        own = serving if number == 1 else replace(serving, shard=f"{serving.shard}-{number}")
        child = os.fork()
        if not child:
            os.close(end)
            _serve_as_child(own, listening, begun=begun if number == 1 else _nothing, parent=ended)
        children.add(child)

    def pass_on(*_: object) -> None:
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGTERM)

    for heeded in (signal.SIGTERM, signal.SIGINT):
        signal.signal(heeded, pass_on)
    died = 0
    while children:
        child, status = os.wait()
        children.discard(child)
        if status and not died:
            died = child
            pass_on()
    if died:
        raise WorkerLost(f"Process {died} of the collector died, and the others have ended. What was answered is safe.")


def _serve_as_child(serving: Serving, listening: socket.socket, *, begun: Callable[[], None], parent: int) -> NoReturn:
    """Take events in a forked process, which never returns to what its parent was at."""
    os.setpgid(0, 0)  # Ctrl-C is for the parent, which passes it on once
    try:
        _serve_alone(serving, listening, begun=begun, parent=parent)
    except BaseException as error:
        sys.stderr.write(f"notelake: {type(error).__name__}: {error}\n")
        os._exit(1)
    os._exit(0)


def _nothing() -> None: ...


def _end_with(parent: int) -> None:
    """Ask this process to end once the other end of a pipe is closed, which its parent holds while it lives."""
    loop = asyncio.get_running_loop()

    def end() -> None:
        loop.remove_reader(parent)
        os.kill(os.getpid(), signal.SIGTERM)

    loop.add_reader(parent, end)


def _listening(address: tuple[str, int]) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    try:
        return socket.create_server(address, family=family, backlog=2048)
    except OSError as error:
        raise UsageError(
            f"Nothing can listen on {address[0]} port {address[1]}: {error.strerror or error}. Give another --host or "
            "--port, or end what listens there."
        ) from error


def read_tokens(file: str | None, environment: str | None) -> tuple[str, ...]:
    """Return the tokens in a file, one a line, and the one of the environment. Raises `UsageError` if there are none.

    >>> read_tokens(None, "s3cret"), read_tokens(None, None)
    (('s3cret',), ())
    """
    tokens = [environment.strip()] if environment is not None else []
    if file is not None:
        try:
            tokens += [line.strip() for line in Path(file).read_text("utf-8").splitlines() if line.strip()]
        except (OSError, ValueError) as error:
            raise UsageError(f"The tokens in {file} can't be read: {error}.") from error
    if (file is not None and not tokens) or "" in tokens:
        raise UsageError(
            "A token is empty: that would let anybody in. Write one, or leave the option and variable out."
        )
    return tuple(tokens)
