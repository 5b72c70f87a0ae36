"""The folder of pages: an index, a page per source, per batch and per suite. Nothing in them leads out of the folder.

What belongs here: which page lies where, and the words of numbers. What does not: what they tell (`facts`).
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dagster_project.audit.suites import Suite
from dagster_project.data_docs.charts import HEIGHT, WIDTH
from dagster_project.data_docs.facts import BATCHES, KEYS, OUTCOMES, Facts
from dagster_project.errors import UsageError

TEMPLATES: Final = Path(__file__).parent / "templates"
MARK: Final = '<meta name="generator" content="notelake docs">'
_FOLDERS: Final = ("sources", "batches", "suites")
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]")
_WHOLE: Final = 1e15


@dataclass(frozen=True, slots=True)
class Written:
    """What was written."""

    index: Path
    pages: int


def write_site(facts: Facts, suites: Sequence[Suite], folder: Path) -> Written:
    """Write the pages to `folder`, in place of those an earlier call wrote there.

    Raises `UsageError` if the folder holds something else: nothing of it is touched then.
    """
    if folder.exists() and not _is_ours(folder):
        raise UsageError(
            f"Nothing was written: {folder} holds something else. Name an empty folder, or one to be made."
        )
    for name in _FOLDERS:
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir(parents=True)
    pages = _Pages(folder)
    known = {suite.name for suite in suites}
    about = {"facts": facts, "suites": suites, "known": known}
    shutil.copyfile(TEMPLATES / "style.css", folder / "style.css")
    for suite in suites:
        pages.write("suite", f"suites/{file_name(suite.name)}", suite=suite, **about)
    for source in facts.sources:
        pages.write("source", f"sources/{file_name(source.name)}", source=source, **about)
        for batch in source.batches:
            pages.write("batch", f"batches/{file_name(batch.batch_id)}", source=source, batch=batch, **about)
    pages.write("index", "index.html", **about)
    return Written(folder / "index.html", pages.written)


def _is_ours(folder: Path) -> bool:
    index = folder / "index.html"
    if index.is_file():
        return MARK in index.read_text("utf-8")
    return folder.is_dir() and not any(folder.iterdir())


def file_name(name: str) -> str:
    """Return the file of a page; names that differ have files that differ, on any file system.

    >>> file_name("notes.notes"), file_name("a/b")
    ('notes.notes.html', 'a~2fb.html')
    """
    return _UNSAFE.sub(lambda sign: f"~{ord(sign[0]):x}", name) + ".html"


class _Pages:
    """Renders templates into a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written = 0
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {"number": number, "instant": instant, "page": file_name, "json": _json}
        self._environment.globals |= {
            "mark": MARK,
            "outcomes": OUTCOMES,
            "most_batches": BATCHES,
            "most_keys": KEYS,
            "width": WIDTH,
            "height": HEIGHT,
        }

    def write(self, template: str, path: str, **given: Any) -> None:
        root = "../" * path.count("/")
        text = self._environment.get_template(f"{template}.html").render(root=root, **given)
        (self.folder / path).write_text(text, "utf-8")
        self.written += 1


def number(value: float | None) -> str:
    """Return a number as a person reads it, nothing for none.

    >>> number(1234.0), number(0.12345), number(None)
    ('1,234', '0.1235', '')
    """
    if value is None:
        return ""
    if float(value).is_integer() and abs(value) < _WHOLE:
        return f"{int(value):,}"
    return f"{float(f'{value:.4g}'):,}"


def instant(at: datetime) -> str:
    """Return an instant to the second, in UTC.

    >>> instant(datetime(2026, 5, 14, 9, tzinfo=UTC))
    '2026-05-14 09:00:00'
    """
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1, default=str)
