"""What commands have in common: options, exit codes, and how an error ends one.

What belongs here: what a person types in many commands. What does not: what it opens (`opened.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import Any, Final, ParamSpec

import click

from dagster_project.errors import NotelakeError, UsageError
from dagster_project.settings import DEFAULT_LAKE

P = ParamSpec("P")

OK: Final = 0
FAILED: Final = 1
WRONG_USE: Final = 2
TROUBLE: Final = 3

lake_option = click.option(
    "--lake",
    "lake_uri",
    metavar="FOLDER|S3-PREFIX",
    help=f"The lake. Default: NOTELAKE_LAKE, else {DEFAULT_LAKE} in the project.",
)
gone_option = click.option(
    "--allow-gone", is_flag=True, help="Take it as meant when a large share of a document source vanished at once."
)
reread_option = click.option(
    "--reread",
    is_flag=True,
    help="Also read files again that did not come through whole last time, of notes or rows, e.g. after an extra was "
    "installed or a declaration mended; and such tables of a database whole, wherever their cursor is.",
)


def tells_errors(command: Callable[P, Any]) -> Callable[P, Any]:
    """Turn notelake's own errors into one line and an exit code."""

    @wraps(command)
    def told(*args: P.args, **kwargs: P.kwargs) -> Any:
        try:
            return command(*args, **kwargs)
        except NotelakeError as error:
            click.secho(f"notelake: {error}", fg="red", err=True)
            raise SystemExit(WRONG_USE if isinstance(error, UsageError) else FAILED) from error

    return told


def as_instant(text: str | None) -> datetime | None:
    """Return an instant as it was typed: ISO 8601, UTC by default. Raises `UsageError`."""
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no time. Write it as 2026-05-14 or 2026-05-14T12:00:00+02:00.") from error
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
