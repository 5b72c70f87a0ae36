"""The collector as a process: an address to listen on, signals, and an end in which nothing is in doubt.

What belongs here: uvicorn, which is imported here and nowhere else. What does not: what is answered (`app`).
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

from dagster_project.errors import UsageError
from dagster_project.landing.collector.app import Collector, Complete, Limits, is_loopback
from dagster_project.landing.emit import Log

DRAIN_SECONDS: Final = 10
"""How long requests that have begun may take to come in once the process was asked to end."""


def serve(
    folder: Path,
    *,
    shard: str,
    address: tuple[str, int],
    tokens: tuple[str, ...],
    limits: Limits,
    rotate_bytes: int | None,
    complete: Complete,
    tell: Callable[[str], None],
) -> None:
    """Take events until SIGTERM or SIGINT, and then until those that were being sent are answered.

    `tell` is told where the collector listens once it does; port 0 is a free one. Raises `UsageError` if uvicorn is
    not there, if the address can't be listened on, or if anybody on the network could post without a token.
    """
    try:
        import uvicorn
    except ImportError as error:
        raise UsageError("The collector needs uvicorn. Install notelake[collect].") from error
    host, _ = address
    if not tokens and not is_loopback(host):
        raise UsageError(
            f"Anybody who reaches {host} could post events. Set NOTELAKE_COLLECT_TOKEN or give --token-file; without "
            "a token it listens on loopback only."
        )
    with (
        Log(folder, shard, fsync="batch", rotate_bytes=rotate_bytes) as log,
        _listening(address) as listening,
    ):
        at, port = listening.getsockname()[:2]

        def begin() -> Callable[[bytes], None]:
            tell(f"http://{f'[{at}]' if ':' in at else at}:{port}")
            return log.append

        collector = Collector(begin, complete=complete, tokens=tokens, limits=limits)
        config = uvicorn.Config(
            collector,
            log_level="warning",
            access_log=False,
            lifespan="on",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
        # uvicorn raises the signals it has heeded again when it is done; being asked to end is no failure.
        for heeded in (signal.SIGTERM, signal.SIGINT):
            signal.signal(heeded, lambda *_: None)
        uvicorn.Server(config).run(sockets=[listening])


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
