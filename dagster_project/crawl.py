"""Look through a folder, prefix or database for tables, and propose how to declare each, for review.

What belongs here: which files are one table, its columns, key and mapping as far as a sample tells; they become a
`defs.yaml` and a suite. What does not: putting anything in force: that is done by hand, by moving these to their place.

Rules:

- Files are one table if they lie in one folder, in one format, and share at least half of their columns. Folders named
  `key=value` below it, as Hive, Spark and Athena write them, are its partitions. A sheet or a table within a file is a
  table of its own.
- Columns and types are those of the first files, `FILES` of them; a key, a mapping and a suite are proposed from at
  most `ROWS` of their rows; so too of a table of a database. What is proposed says so: it is no promise about the rows
  nobody looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final, cast

import duckdb
import pyarrow as pa
import yaml

from dagster_project.contracts import Column
from dagster_project.errors import UsageError
from dagster_project.guess import name_of
from dagster_project.landing import table_files, tables
from dagster_project.landing.databases import Database, open_database
from dagster_project.shaping.rows import guess_mapping, mapping_facts, settle_mapping
from dagster_project.sources import DATABASES, NoteMapping, TableSource, declare
from dagster_project.sql_words import identifier, sql_type
from dagster_project.suggest import LEAST_ROWS, as_text, suggest
from dagster_project.views.scans import relation

FILES: Final = 5
"""Files of a table that are looked into."""
ROWS: Final = 5_000
"""Rows of them that a key, a mapping and a suite are proposed from."""
ALIKE: Final = 0.5
_HIVE: Final = re.compile(r"^[^=/]+=[^/]*$")
_TYPE: Final = "dagster_project.components.TableSource"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A table that was found: its declaration, what a sample tells of it, and a suite if there are rows enough."""

    source: TableSource
    columns: tuple[Column, ...]
    files: int
    rows: int
    """Rows that were looked at."""
    notes: tuple[str, ...]
    suite: str | None

    @property
    def declaration(self) -> str:
        """The text of its `defs.yaml`, with the reasons as comments."""
        given = self.source.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
        note = given.pop("note", {})
        given["note"] = {f: value[0] if f == "key" and len(value) == 1 else value for f, value in note.items()}
        body = yaml.safe_dump(
            {"type": _TYPE, "attributes": {k: v for k, v in given.items() if v != {}}},
            sort_keys=False,
            allow_unicode=True,
            width=110,
        )
        listed = [f"#   {column.name}: {sql_type(column.type)}{_header(column)}" for column in self.columns]
        told = [f"# {note}" for note in self.notes]
        of_files = f" of {self.files:,} files" if self.files else ""
        head = f"# Proposed by `notelake crawl` from {self.rows:,} rows{of_files}, for review. Columns:"
        return "\n".join([head, *listed, *told, body])


def crawl(path: str, *, contract: str = "evolve", address_variable: str | None = None) -> tuple[Proposal, ...]:
    """Return what is proposed for the tables at `path`, a folder, file, `s3://` prefix or database; by name.

    The address of a database, credentials included, may stand in the environment variable `address_variable`; of `path`
    only the scheme counts then. Raises `SourceUnavailable` if it cannot be listed, and `UsageError` if there is no
    table.
    """
    if path.partition("://")[0].lower() in DATABASES:
        return tuple(_of_database(path, contract, address_variable))
    found = [group for group in _groups(path) if group.items]
    if not found:
        raise UsageError(f"No table lies at {path}: no file there has the name of a format that is read.")
    names: dict[str, int] = {}
    proposals = []
    for group in found:
        names[group.name] = names.get(group.name, 0) + 1
        name = group.name if names[group.name] == 1 else f"{group.name}_{names[group.name]}"
        proposals.append(_proposal(group, name, contract))
    return tuple(sorted(proposals, key=lambda proposal: proposal.source.name))


@dataclass(frozen=True, slots=True)
class _Item:
    """A file, or a part of one, and the headers it has."""

    path: str
    location: str
    format: str
    inside: str | None
    headers: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Group:
    """Items that are one table; `path` is what a source of them is declared with."""

    name: str
    path: str
    format: str
    items: tuple[_Item, ...]
    files: int
    is_hive: bool = False
    inside: str | None = None


# --- which files are one table ---------------------------------------------------------------------------------------


def _groups(path: str) -> Iterator[_Group]:
    """Yield the tables: files by folder and format, those of a folder told apart by their columns."""
    source = TableSource(name="crawl", path=path, same_content="load")
    by_place: dict[tuple[str, str], list[table_files.Place]] = {}
    for place in table_files.places(source):
        folder = "/".join(part for part in place.path.split("/")[:-1] if not _HIVE.match(part))
        by_place.setdefault((folder, place.format), []).append(place)
    for (folder, format_), places in by_place.items():
        items = [item for place in places[: 4 * FILES] for item in _items(place)]
        if any(item.inside is not None for item in items):
            yield from (_inner(path, item) for item in items)
            continue
        clusters = _alike(items)
        for cluster in clusters:
            whole = len(clusters) == 1
            yield _group(path, folder, format_, cluster, places if whole else [], by_place)


def _group(
    path: str,
    folder: str,
    format_: str,
    items: Sequence[_Item],
    places: Sequence[table_files.Place],
    others: Mapping[tuple[str, str], object],
) -> _Group:
    """Return the table of all files of a folder (`places`), or of those that have the same columns."""
    is_hive = any(_HIVE.match(part) for item in items for part in item.path.split("/")[:-1])
    if len(items) == 1 and len(places) <= 1 and not is_hive:
        return _Group(name_of(items[0].path or path), items[0].location, format_, tuple(items), 1)
    root = f"{path.rstrip('/')}/{folder}".rstrip("/")
    below = f"{folder}/".lstrip("/")
    is_alone = not any(other != (folder, format_) and f"{other[0]}/".startswith(below) for other in others)
    if places and (is_hive or is_alone):
        return _Group(name_of(root), root, format_, tuple(items), len(places), is_hive)
    names = [item.path.rsplit("/", 1)[-1] for item in items]
    shared = _shared(names)
    ending = names[0][names[0].index(".") :] if "." in names[0] else ""
    return _Group(
        name_of(shared or root), f"{root}/{shared}*{ending}", format_, tuple(items), len(places) or len(items)
    )


def _inner(path: str, item: _Item) -> _Group:
    inside = item.inside or ""
    return _Group(
        name_of(f"{name_of(item.path or path)}_{inside}"), item.location, item.format, (item,), 1, inside=inside
    )


def _shared(names: Sequence[str]) -> str:
    """Return what all names begin with, up to a digit or mark.

    >>> _shared(["talks-2024.csv", "talks-2025.csv"]), _shared(["a.csv", "b.csv"])
    ('talks-', '')
    """
    least, most = min(names), max(names)
    length = next((i for i, (a, b) in enumerate(zip(least, most, strict=False)) if a != b), len(least))
    return least[:length].rstrip("0123456789")


def _items(place: table_files.Place) -> Iterator[_Item]:
    source = _sampled(place.location)
    scan = table_files.look(source, {})
    for file in scan.arrived:
        if file.error:
            continue
        landing = _landing(source, replace(scan, arrived=(file,)))
        headers = frozenset(column.doc for column in landing.columns)
        if headers:
            yield _Item(place.path, place.location, file.format, file.inside, headers)


def _sampled(location: str) -> TableSource:
    return TableSource(name="crawl", path=location, same_content="load", table="*")


def _alike(items: Sequence[_Item]) -> list[list[_Item]]:
    """Return items in clusters, each with those that share at least half of their columns with its first."""
    clusters: list[list[_Item]] = []
    for item in items:
        for cluster in clusters:
            first = cluster[0].headers
            if len(first & item.headers) >= ALIKE * len(first | item.headers):
                cluster.append(item)
                break
        else:
            clusters.append([item])
    return clusters


# --- what a sample tells ---------------------------------------------------------------------------------------------


def _proposal(group: _Group, name: str, contract: str) -> Proposal:
    options: dict[str, Any] = {"partitions": "hive"} if group.is_hive else {}
    if group.inside is not None:
        part = "table" if group.format == "sqlite" else "sheet"
        options[part] = (group.inside,)
    source = TableSource(name=name, path=group.path, schema_contract=contract, **options)
    return _told(source, _files(source, group), group.files)


def _told(source: TableSource, landing: tables.Landing, files: int) -> Proposal:
    """Return what the first rows of a landing tell."""
    name = source.name
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'; CREATE SCHEMA raw; CREATE SCHEMA tables; CREATE SCHEMA ops")
    columns, rows = _sample(con, source, landing)
    mapping, notes = _mapping(con, source, columns)
    source = source.model_copy(update={"note": mapping})
    suite = None
    if rows >= LEAST_ROWS:
        con.execute("CREATE TABLE ops.ledger AS SELECT ? AS source, 'rows' AS op", [name])
        con.execute(f"CREATE VIEW {relation(f'tables.{name}')} AS FROM {relation(f'raw.{name}')} WHERE _op = 'put'")
        suite = as_text(suggest(con, name))
    con.close()
    return Proposal(source, columns, files, rows, notes, suite)


def _of_database(path: str, contract: str, variable: str | None) -> Iterator[Proposal]:
    """Yield what is proposed for each table of a database. With a key, its changes are found by comparing rows."""
    given: dict[str, Any] = {"schema_contract": contract, "address_variable": variable}
    whole = _declared(name="crawl", path=path, table="*", **given)
    path = whole.path
    with closing(open_database(whole)) as database:
        scan, _ = database.look({}, {}, 1)
        if not scan.arrived:
            raise UsageError(f"No table lies at {database.address.shown} that the user may read.")
        names: dict[str, int] = {}
        for file in scan.arrived:
            name = name_of(file.path.rpartition(".")[2])
            names[name] = names.get(name, 0) + 1
            name = name if names[name] == 1 else f"{name}_{names[name]}"
            source = _declared(name=name, path=path, table=file.path, **given)
            database.rows[file.path] = f"(SELECT * FROM {database.rows[file.path]} LIMIT {ROWS}) AS first_rows"
            landing = _landing(source, replace(scan, arrived=(file,)), database)
            proposal = _told(source, landing, 0)
            if (note := proposal.source.note) and note.key:
                by_key = {"mode": "merge", "incremental": "compare"}
                proposal = replace(proposal, source=proposal.source.model_copy(update=by_key))
            yield proposal


def _declared(**attributes: Any) -> TableSource:
    source = declare("TableSource", attributes, "What is to be crawled")
    return cast("TableSource", source.rooted(Path.cwd()))


def _files(source: TableSource, group: _Group) -> tables.Landing:
    """Return the landing of a few files of a table."""
    arrived = []
    for item in group.items[:FILES]:
        seen = table_files.look(_sampled(item.location), {}).arrived
        arrived += [replace(file, path=item.path) for file in seen if file.inside == item.inside]
    return _landing(source, table_files.Scan(tuple(arrived), (), (), (), {}))


def _sample(
    con: duckdb.DuckDBPyConnection, source: TableSource, landing: tables.Landing
) -> tuple[tuple[Column, ...], int]:
    """Put the first rows of a landing into `raw.<source>`; return the columns, and how many rows there are."""
    while True:
        try:
            sample = _first_rows(landing)
            break
        except tables.Retyped as again:
            landing = again.landing
    con.register("sample", sample)
    con.execute(f"CREATE TABLE raw.{identifier(source.name)} AS SELECT * FROM sample WHERE _op = 'put' LIMIT {ROWS}")
    con.unregister("sample")
    (count,) = con.execute(f"SELECT count(*) FROM raw.{identifier(source.name)}").fetchone() or (0,)
    return landing.columns, int(count)


def _first_rows(landing: tables.Landing) -> pa.Table:
    held: list[pa.RecordBatch] = []
    rows = 0
    for batch in landing.batches():
        held.append(batch)
        rows += batch.num_rows
        if rows > ROWS:
            break
    return pa.Table.from_batches(held, schema=landing.table.schema)


def _landing(source: TableSource, scan: table_files.Scan, database: Database | None = None) -> tables.Landing:
    con = duckdb.connect()
    return tables.arrivals(con, source, scan, columns=None, first_sequence=1, landed_at=_EPOCH, database=database)


def _mapping(
    con: duckdb.DuckDBPyConnection, source: TableSource, columns: Sequence[Column]
) -> tuple[NoteMapping, tuple[str, ...]]:
    """Return a mapping the sample bears out, and in words what speaks for its key."""
    raw = f"raw.{identifier(source.name)}"
    guess = guess_mapping(columns)
    found = con.execute(mapping_facts(guess, columns, raw)).fetchone() or (False, None, None)
    mapping = settle_mapping(guess, is_unique=bool(found[0]), created_at=found[1], modified_at=found[2])
    if mapping.key:
        return mapping, (f"Key {', '.join(mapping.key)}: called like one, and unique in what was looked at.",)
    for column in islice(_unique(con, raw, columns), 1):
        told = f"Column {column} is unique in what was looked at; if it always is, make it the key: `key: {column}`."
        return mapping, (told,)
    return mapping, ("No column is unique in what was looked at: without a key, a corrected row is a new note.",)


def _unique(con: duckdb.DuckDBPyConnection, raw: str, columns: Sequence[Column]) -> Iterator[str]:
    for column in columns:
        if pa.types.is_nested(column.type) or pa.types.is_floating(column.type):
            continue
        value = identifier(column.name)
        row = con.execute(f"SELECT count(*) = count(DISTINCT {value}) AND count(*) > 1 FROM {raw}").fetchone()
        if row and row[0]:
            yield column.name


def _header(column: Column) -> str:
    return "" if column.doc == column.name else f" ({column.doc!r})"
