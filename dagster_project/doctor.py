"""Examine a set-up and a lake: what is as it should be, what is not, and the way out.

What belongs here: looking. What does not: mending, and printing (`terminal.py`). Nothing is written but a probe in the
scratch folder, nothing is created, and no examination can stop the others: one that fails is a finding itself.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from glob import glob, has_magic
from importlib import metadata
from pathlib import Path
from typing import Final, Generic, Literal, ParamSpec
from uuid import uuid4

import duckdb
import fsspec
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from dagster_project.contracts import BY_IDENTIFIER, SHARED, Column, Table, raw_table
from dagster_project.errors import LakeMoved, NotelakeError
from dagster_project.lake.catalog import catalog_uri
from dagster_project.lake.lake import FORMAT_PROPERTY, Lake, open_lake
from dagster_project.lake.upkeep import clean, missing_files
from dagster_project.landing import streams
from dagster_project.settings import Settings
from dagster_project.sources import Source, StreamSource
from dagster_project.sql_words import literal
from dagster_project.views.anomalies import unusual
from dagster_project.views.publish import published

State = Literal["ok", "warn", "fail"]
Args = ParamSpec("Args")

DISTRIBUTION: Final = "notelake"
PACKAGES: Final = ("dagster", "duckdb", "great-expectations", "pyarrow", "pyiceberg")
"""Packages whose version matters most to what a lake holds; their ranges come from the installed distribution."""
LITTLE_ROOM: Final = 5 * 1024**3
NO_ROOM: Final = 512 * 1024**2
_TOLD: Final = 3
_FACT: Final = 300
"""Characters of an error that are told; the rest of a database's error is its statement."""
_RUN: Final = "`notelake run` makes it."
_REACH: Final = "Check the source's path, and for s3:// the AWS variables."


@dataclass(frozen=True, slots=True)
class Finding:
    """What one examination found. `way_out` says what to do, and is empty where nothing needs doing."""

    name: str
    state: State
    fact: str
    way_out: str = ""


@dataclass(frozen=True, slots=True)
class Examination(Generic[Args]):
    """One look at something. `way_out` is told if looking itself fails."""

    name: str
    look: Callable[Args, Iterator[Finding]]
    way_out: str


def examine(settings: Settings, sources: Sequence[Source]) -> list[Finding]:
    """Examine the set-up, the lake at `settings` and whether each source can be reached; never raises."""
    found = [finding for each in OF_SETTINGS for finding in _safely(each, settings)]
    lake, opening = _opened(settings)
    found += opening
    if lake is not None:
        found += [finding for each in OF_LAKE for finding in _safely(each, lake, sources)]
    for source in sources:
        found += _safely(Examination(f"source {source.name}", _reaches, _REACH), source)
    return found


def _safely(examination: Examination[Args], *args: Args.args, **kwargs: Args.kwargs) -> list[Finding]:
    found: list[Finding] = []
    try:
        found.extend(examination.look(*args, **kwargs))
    except Exception as error:  # whatever is broken, the other examinations go on
        found.append(Finding(examination.name, "fail", _fact(error), examination.way_out))
    return found


def _fact(error: Exception) -> str:
    text = str(error) if isinstance(error, NotelakeError) else f"{type(error).__name__}: {error}"
    return text.split("\n[SQL:", 1)[0].strip().replace("\n", " ")[:_FACT]


def _python(_: Settings) -> Iterator[Finding]:
    wanted = metadata.metadata(DISTRIBUTION)["Requires-Python"] or ""
    version = platform.python_version()
    fits = SpecifierSet(wanted).contains(version, prereleases=True)
    fact = f"{version} at {sys.executable}; supported is {wanted}"
    yield Finding("python", "ok" if fits else "fail", fact, f"Install Python {wanted}.")


def _packages(_: Settings) -> Iterator[Finding]:
    wanted = {
        each.name: each for each in map(Requirement, metadata.requires(DISTRIBUTION) or ()) if each.marker is None
    }
    for name in PACKAGES:
        version = metadata.version(name)
        specifier = wanted[name].specifier if name in wanted else SpecifierSet()
        fits = specifier.contains(version, prereleases=True)
        fact = f"{version}; supported is {specifier}"
        yield Finding(name, "ok" if fits else "fail", fact, f"pip install '{name}{specifier}'")


def _telemetry(_: Settings) -> Iterator[Finding]:
    if _is_set("DAGSTER_DISABLE_TELEMETRY") or _dagster_home_says_no():
        yield Finding("telemetry of dagster", "ok", "off")
    else:
        way_out = "Set DAGSTER_DISABLE_TELEMETRY=1, or `telemetry: {enabled: false}` in $DAGSTER_HOME/dagster.yaml."
        yield Finding(
            "telemetry of dagster", "warn", "not turned off: Dagster's UI and commands tell of their use", way_out
        )
    told = os.environ.get("GX_ANALYTICS_ENABLED", "").lower() in {"1", "true", "yes", "on"}
    if told:
        way_out = "Unset GX_ANALYTICS_ENABLED, or set it to false."
        yield Finding("telemetry of great-expectations", "warn", "GX_ANALYTICS_ENABLED asks for it", way_out)
    else:
        yield Finding("telemetry of great-expectations", "ok", "off")


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "").lower() not in {"", "0", "false", "no"}


def _dagster_home_says_no() -> bool:
    file = Path(os.environ.get("DAGSTER_HOME", "")) / "dagster.yaml"
    if not os.environ.get("DAGSTER_HOME") or not file.is_file():
        return False
    told = (yaml.safe_load(file.read_text("utf-8")) or {}).get("telemetry") or {}
    return told.get("enabled") is False


def _disk(settings: Settings) -> Iterator[Finding]:
    folder = _existing(settings.view_file.parent if settings.is_remote else Path(settings.lake))
    free = shutil.disk_usage(folder).free
    state: State = "fail" if free < NO_ROOM else "warn" if free < LITTLE_ROOM else "ok"
    yield Finding(
        "free disk", state, f"{_size(free)} at {folder}", "Make room: a run that rewrites files needs both at once."
    )


def _scratch(settings: Settings) -> Iterator[Finding]:
    folder = settings.scratch
    if folder.is_dir():
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"notelake")
        yield Finding("scratch", "ok", f"{folder} can be written")
        return
    above = _existing(folder)
    can = os.access(above, os.W_OK | os.X_OK) and not folder.exists()
    there = f"{folder} is no folder" if folder.exists() else f"{folder} is not there yet"
    fact = f"{there}; {above} {'can' if os.access(above, os.W_OK) else 'can not'} be written"
    yield Finding("scratch", "ok" if can else "fail", fact, f"Make {folder} a folder that you may write in.")


def _existing(path: Path) -> Path:
    """Return the path, or the nearest folder above it that exists."""
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def _catalog(settings: Settings) -> Iterator[Finding]:
    url = make_url(catalog_uri(settings))
    is_file = url.get_backend_name() == "sqlite" and url.database not in {None, "", ":memory:"}
    if is_file and not Path(str(url.database)).is_file():
        yield Finding(
            "catalog", "fail", f"there is no {url.database}", f"{_RUN} If the lake was copied, copy this file too."
        )
        return
    where = url.database if is_file else f"{url.host}:{url.port or ''}/{url.database}"
    yield Finding("catalog", "ok", f"{'SQLite' if is_file else 'PostgreSQL'} at {where}")


OF_SETTINGS: Final[tuple[Examination[[Settings]], ...]] = (
    Examination("python", _python, "Install notelake with pip, so that it knows what it needs."),
    Examination("packages", _packages, "Install notelake with pip, so that it knows what it needs."),
    Examination("telemetry", _telemetry, "Mend dagster.yaml in DAGSTER_HOME."),
    Examination("free disk", _disk, "Check the lake's folder."),
    Examination("scratch", _scratch, "Check the rights of the folder; it may be deleted when no run is under way."),
)


def _opened(settings: Settings) -> tuple[Lake | None, list[Finding]]:
    """Open the lake without making one; return what stands in the way."""
    if not settings.is_remote and not Path(settings.lake).is_dir():
        return None, [Finding("lake", "warn", f"there is no folder {settings.lake}", _RUN)]
    found = _safely(Examination("catalog", _catalog, "Check PYICEBERG_CATALOG__NOTELAKE__URI."), settings)
    if any(finding.state == "fail" for finding in found):
        return None, found
    try:
        lake = open_lake(settings, clock=_now, ids=_new_id, create=False)
    except LakeMoved as error:
        return None, [*found, Finding("lake", "fail", _fact(error), "`notelake relocate`, if it was moved or copied.")]
    except NotelakeError as error:
        what = "catalog" if isinstance(error.__cause__, SQLAlchemyError) else "lake"
        return None, [*found, Finding(what, "fail", _fact(error), "The fact says it.")]
    except SQLAlchemyError as error:
        way_out = (
            "Restore the catalog from a copy; the tables' files are still there, but only it says which are current."
        )
        return None, [Finding("catalog", "fail", f"cannot be read: {_fact(error)}", way_out)]
    except Exception as error:  # broken metadata raises what its reader raises: that is what we are here to find
        way_out = "Restore the tables' metadata from a copy, or start a new lake: it is built from the sources."
        return None, [*found, Finding("lake", "fail", f"cannot be opened: {_fact(error)}", way_out)]
    return lake, [*found, Finding("lake", "ok", f"lies at {settings.lake}, and its tables say so")]


def _now() -> datetime:
    return datetime.now(UTC)


def _new_id() -> str:
    return uuid4().hex


def _format(lake: Lake, _: Sequence[Source]) -> Iterator[Finding]:
    for name, pin in lake.pins(["notes.notes"]).items():
        yield Finding("format", "ok", f"{lake.properties(pin).get(FORMAT_PROPERTY, 'not told')}, by {name}")


def _tables(lake: Lake, sources: Sequence[Source]) -> Iterator[Finding]:
    """Compare names, types and field ids of every table with its contract."""
    present = lake.catalog.locations()
    wanted = {**BY_IDENTIFIER, **{f"raw.{each.name}": raw_table(each.name, each.kind) for each in sources}}
    absent = [table.identifier for table in SHARED if table.identifier not in present]
    if absent:
        yield Finding("tables", "fail", f"the catalog lacks {', '.join(absent)}", "`notelake run` makes them, empty.")
    wrong = [told for name, table in wanted.items() if name in present for told in _differences(lake, table)]
    if wrong:
        way_out = "Another program changed the table's schema: put it back there, or start a new lake from the sources."
        yield Finding("contracts", "fail", "; ".join(wrong[:_TOLD]), way_out)
    else:
        yield Finding(
            "contracts", "ok", f"columns, types and field ids of {len(present)} tables are as the contracts say"
        )


def _differences(lake: Lake, wanted: Table) -> Iterator[str]:
    found = {column.field_id: column for column in lake.pins([wanted.identifier])[wanted.identifier].table.columns}
    for column in wanted.columns:
        there = found.pop(column.field_id, None)
        if there is None or _shape(there) != _shape(column):
            is_ = "is missing" if there is None else f"is {there.name} {there.type}"
            yield f"{wanted.identifier}: field {column.field_id}, {column.name} {column.type}, {is_}"
    if wanted.namespace != "raw":
        yield from (f"{wanted.identifier}: {column.name} is in no contract" for column in found.values())


def _shape(column: Column) -> tuple[int, str, str, tuple[int, ...]]:
    return (column.field_id, column.name, str(column.type), column.nested)


def _files(lake: Lake, _: Sequence[Source]) -> Iterator[Finding]:
    pins = lake.pins().values()
    files, size = sum(len(pin.files) for pin in pins), sum(pin.bytes for pin in pins)
    if missing := missing_files(lake):
        shown = ", ".join(missing[:_TOLD])
        fact = f"{len(missing)} of {files} files are gone or have another size, among them {shown}"
        yield Finding(
            "data files", "fail", fact, "Restore them from a copy; or start a new lake: it is built from the sources."
        )
    else:
        yield Finding("data files", "ok", f"all {files} are there, {_size(size)}")


def _publication(lake: Lake, _: Sequence[Source]) -> Iterator[Finding]:
    file = lake.settings.view_file
    if not file.is_file():
        yield Finding("view file", "fail", f"there is no {file}", _RUN)
        return
    shown = published(file)
    if shown is None:
        yield Finding("view file", "fail", f"{file} is no publication of notelake", f"Move it away; {_RUN}")
        return
    pins = {name: pin.metadata_location for name, pin in lake.pins().items()}
    served = {each.table_name: each.metadata_location for each in shown.pins}
    behind = sorted(name for name in pins if served.get(name) != pins[name])
    at = f"{file}, published {shown.published_at:%Y-%m-%d %H:%M:%S} UTC"
    if behind or served.keys() - pins.keys():
        yield Finding(
            "view file", "warn", f"{at}, shows an older state of {', '.join(behind)}", "`notelake run` builds it anew."
        )
    else:
        yield Finding("view file", "ok", f"{at}, shows the current state of {len(pins)} tables")


def _history(lake: Lake, _: Sequence[Source]) -> Iterator[Finding]:
    file = lake.settings.view_file
    if not file.is_file() or published(file) is None:
        return  # told already
    with duckdb.connect() as con:
        lake.prepare(con)
        con.execute(f"ATTACH {literal(str(file))} AS served (READ_ONLY)")
        con.execute("USE served")
        told = unusual(con)
    way_out = "Look at the source, and at quality.anomalies and ops.figures; what is so from now on is usual in time."
    for source, words in told:
        yield Finding(f"history of {source}", "warn", words, way_out)
    if not told:
        yield Finding("history", "ok", "no figure of a source is far from what it was in its batches before")


def _orphans(lake: Lake, _: Sequence[Source]) -> Iterator[Finding]:
    rubbish = clean(lake, now=_now(), dry_run=True)
    used = sum(pin.bytes for pin in lake.pins().values())
    fact = f"{rubbish.files} files, {_size(rubbish.bytes)}, which no kept snapshot needs and which are older than a day"
    state: State = "warn" if rubbish.bytes > max(used, LITTLE_ROOM) else "ok"
    yield Finding("orphan files", state, fact, "Let the upkeep job in the Dagster UI delete them.")


OF_LAKE: Final[tuple[Examination[[Lake, Sequence[Source]]], ...]] = (
    Examination("format", _format, "Restore the metadata of notes.notes from a copy."),
    Examination("tables", _tables, "Restore the tables' metadata from a copy, or start a new lake from the sources."),
    Examination(
        "data files", _files, "Restore the tables' metadata from a copy, or start a new lake from the sources."
    ),
    Examination("view file", _publication, f"Move lake.duckdb away; {_RUN}"),
    Examination("history", _history, f"Move lake.duckdb away; {_RUN}"),
    Examination("orphan files", _orphans, "Restore the tables' metadata from a copy; nothing was deleted."),
)


def _reaches(source: Source) -> Iterator[Finding]:
    name = f"source {source.name}"
    if isinstance(source, StreamSource) and source.is_of_a_server:
        there = bool(streams.shards(source))
    elif source.is_remote:
        filesystem = fsspec.filesystem(source.path.split("://", 1)[0])
        there = bool(filesystem.glob(source.path)) if has_magic(source.path) else filesystem.exists(source.path)
    else:
        there = bool(glob(source.path)) if has_magic(source.path) else False
        there = there or Path(source.path).exists()
    if there:
        yield Finding(name, "ok", f"{source.kind} at {source.path}")
    else:
        yield Finding(
            name, "fail", f"there is nothing at {source.path}", "Mend its path in defs.yaml, or bring it back."
        )


def _size(count: int) -> str:
    """Return a number of bytes as a person says it.

    >>> _size(999), _size(1_234_567)
    ('999 bytes', '1.2 MB')
    """
    for unit, width in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= width:
            return f"{count / width:.1f} {unit}"
    return f"{count} bytes"
