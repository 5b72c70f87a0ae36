"""Prepared statements of a lake: a file of JSON beside the view file, as Athena keeps them in a workgroup.

What belongs here: keeping a statement under its name. What does not: what it says (`dialects.prepared`). The file is
written whole and put in place with one rename; of two who prepare at the same instant the later wins.
Source: https://docs.aws.amazon.com/athena/latest/APIReference/API_PreparedStatement.html
"""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from dagster_project.errors import UsageError


def file_of(view_file: Path) -> Path:
    """Return where the prepared statements of a view file are kept."""
    return view_file.with_name("prepared.json")


def statements(view_file: Path) -> dict[str, str]:
    """Return every prepared statement by its name. Raises `UsageError` if the file is not as it was written."""
    file = file_of(view_file)
    try:
        kept = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise UsageError(f"{file} does not hold prepared statements: {error}. Mend it, or remove it.") from error
    if not isinstance(kept, dict) or not all(isinstance(text, str) for text in kept.values()):
        raise UsageError(f"{file} does not hold prepared statements. Mend it, or remove it.")
    return kept


def statement(view_file: Path, name: str) -> str:
    """Return a prepared statement. Raises `UsageError` if there is none of that name."""
    kept = statements(view_file)
    if name not in kept:
        known = f"There are: {', '.join(sorted(kept))}" if kept else "There is none yet"
        raise UsageError(f"No prepared statement is called {name}. {known}. Write PREPARE {name} FROM SELECT ….")
    return kept[name]


def keep(view_file: Path, name: str, text: str) -> None:
    """Keep a statement under a name, in place of one that had it."""
    _write(view_file, {**statements(view_file), name: text})


def forget(view_file: Path, name: str) -> None:
    """Forget a statement. Raises `UsageError` if there is none of that name."""
    statement(view_file, name)
    _write(view_file, {known: text for known, text in statements(view_file).items() if known != name})


def _write(view_file: Path, kept: dict[str, str]) -> None:
    handle, new = tempfile.mkstemp(dir=view_file.parent, prefix=".prepared-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(kept, file, ensure_ascii=False, indent=2, sort_keys=True)
        Path(new).replace(file_of(view_file))
    finally:
        with suppress(FileNotFoundError):
            Path(new).unlink()
