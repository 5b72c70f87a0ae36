"""Errors on their way into Dagster's event log: told without a word of anybody's notes, and retried where it helps.

What belongs here: which error is tried again, and what of it is told. What does not: the errors.

An error that notelake raises on purpose names paths, tables and figures, and goes into the event log as it is. Any
other may quote the value it stumbled over, which may be a line of a note: only its type and place are told there,
the rest goes to stderr, which Dagster keeps with the run's compute log and not in the event log.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import dagster as dg

from dagster_project.errors import (
    CommitConflict,
    CommitUnknown,
    LakeUnavailable,
    NotelakeError,
    SourceUnavailable,
    TooManyGone,
)

RETRIES: Final = dg.RetryPolicy(max_retries=2, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)


@contextmanager
def told() -> Iterator[None]:
    """Turn whatever is raised within into a `dagster.Failure` that holds no text of a note."""
    try:
        yield
    except dg.Failure:
        raise
    except Exception as error:
        failure = failure_of(error)
        if not isinstance(error, NotelakeError):
            traceback.print_exc()
        # Without `from None` Dagster would write down what it came from, message and all.
        raise failure from None


def failure_of(error: Exception) -> dg.Failure:
    """Return what Dagster is told of an error.

    >>> failure_of(ValueError("Dear diary")).description
    'ValueError; its message stands in stderr of the compute log.'
    >>> failure_of(TooManyGone("9 of 10 files vanished")).allow_retries
    False
    """
    if isinstance(error, NotelakeError):
        return dg.Failure(f"{type(error).__name__}: {error}", allow_retries=may_pass(error))
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {frames[-1].name}, {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return dg.Failure(
        f"{type(error).__name__}{place}; its message stands in stderr of the compute log.",
        allow_retries=may_pass(error),
    )


def may_pass(error: Exception) -> bool:
    """Whether trying again may help: a source or store that is away for a moment, a race that was lost."""
    if isinstance(error, TooManyGone):
        return False  # the files are as gone the second time
    return isinstance(error, (SourceUnavailable, LakeUnavailable, CommitConflict, CommitUnknown, OSError))
