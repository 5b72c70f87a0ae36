"""What a query scans, as Athena counts it: compressed bytes of the columns and row groups its plan reads.

What belongs here: counting, before a query runs. What does not: what is done with the count (`steps.ask`).

How: a copy of the view file gets scans whose columns bear marks instead of names; the plan that DuckDB makes of the
query there says which marked columns each scan reads and what it filters by; the footers of the scan's files say how
many bytes those columns hold in the row groups whose statistics the filters leave. What only shows while a query runs
(LIMIT, filters that a join finds) is not taken off, and a column of rows counts with all its fields: the count is what
the query scans at the most. Footers themselves are not counted. A scan of files that is not one of the lake's own
tables cannot be counted, and is told.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import duckdb
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem

from dagster_project.sql_words import identifier, literal


class Scanned(NamedTuple):
    """What a query reads. `unknown` says what of it could not be counted."""

    bytes: int
    files: int
    row_groups: int
    unknown: str | None = None


def scanned(view_file: Path, query: str, files: AbstractFileSystem | None = None) -> Scanned:
    """Return what one SELECT would read of the files behind `view_file`: on local disk, or in the store `files`.

    Raises `duckdb.Error` for a query that DuckDB refuses.
    """
    with tempfile.TemporaryDirectory(prefix="notelake-plan-") as folder:
        copy = Path(folder) / view_file.name
        shutil.copyfile(view_file, copy)
        with closing(duckdb.connect(str(copy), config={"threads": 1})) as con:
            con.execute("SET TimeZone = 'UTC'")
            if files is not None:
                con.register_filesystem(files)
            marked = _Marked()
            for view in _behind(con, query):
                con.execute(marked.mark(view).replace("CREATE VIEW", "CREATE OR REPLACE VIEW", 1))
            if "read_parquet" in query:
                query = marked.mark(_canonical(con, query))
            row = con.execute(f"EXPLAIN (FORMAT JSON) {query}").fetchone()
    return _count(json.loads(row[1]) if row else [], marked.files, files)


def _behind(con: duckdb.DuckDBPyConnection, query: str) -> list[str]:
    """Return the definitions of views that read files and that a query may stand on: their names occur in it."""
    told = con.execute("SELECT view_name, sql FROM duckdb_views() WHERE NOT internal").fetchall()
    if _CALL.search(query):
        told += con.execute(
            "SELECT function_name, macro_definition FROM duckdb_functions() "
            "WHERE database_name = current_database() AND macro_definition IS NOT NULL"
        ).fetchall()
    named: dict[str, list[str]] = {}
    for name, sql in told:
        named.setdefault(str(name).lower(), []).append(sql)
    reached: dict[str, list[str]] = {}
    texts = [query]
    while texts:
        words = {word.lower() for word in _WORD.findall(texts.pop())}
        for name in (words & named.keys()) - reached.keys():
            reached[name] = named[name]
            texts += [_SCAN.sub("", text) for text in named[name]]
    return [
        sql for texts in reached.values() for sql in texts if sql.startswith("CREATE VIEW") and "read_parquet(" in sql
    ]


_CALL: Final = re.compile(r"(?:\b(?:from|join)|,)\s*(?:lateral\s+)?[\w.\"]+\s*\(", re.IGNORECASE)
"""Where a macro that gives rows may stand. To list all functions takes as long as to open the file."""
_WORD: Final = re.compile(r"[\w$]+")


def _canonical(con: duckdb.DuckDBPyConnection, query: str) -> str:
    """Return a SELECT as DuckDB's catalog would show it; as it is if DuckDB cannot."""
    try:
        row = con.execute(f"SELECT json_deserialize_sql(json_serialize_sql({literal(query)}))").fetchone()
    except duckdb.Error:
        return query
    return str(row[0]) if row and row[0] else query


_TEXT: Final = r"'(?:[^']|'')*'"
_PACK: Final = rf"main\.struct_pack\((?:[^'()]|{_TEXT})*\)"
_SCAN: Final = re.compile(
    rf"(?P<head>read_parquet\(main\.list_value\((?P<files>{_TEXT}(?:, {_TEXT})*)\), "
    r'\("schema" = main\."map"\(main\.list_value\((?P<ids>[\d, ]+)\), main\.list_value\()'
    rf"(?P<fields>{_PACK}(?:, {_PACK})*)"
    r"(?P<tail>\)\)\), \(hive_partitioning = CAST\('f' AS BOOLEAN\)\)"
    r"(?P<path>, \(filename = CAST\('t' AS BOOLEAN\)\))?\))"
    r" AS (?P<alias>\w+)"
)
"""A scan as notelake writes it (`lake.read.scan`) and as DuckDB's catalog shows it."""
_NAME: Final = re.compile(rf'"name" := (?P<name>{_TEXT})')
_MARK: Final = re.compile("\u27e6([0-9]+):([0-9]+)\u27e7")
_BOUND: Final = re.compile(
    rf'(?:optional: )?"?{_MARK.pattern}"?(?P<sign>>=|<=|>|<|=)(?P<value>{_TEXT}|-?\d+(?:\.\d+)?)(?:::[A-Z ]+)?'
)
"""A filter that a row group's statistics can answer."""


@dataclass(slots=True)
class _Marked:
    """The files of the scans that were marked, by their number."""

    files: list[list[str]] = field(default_factory=list)

    def mark(self, sql: str) -> str:
        """Return SQL whose scans give their columns under marks, and these under the columns' names again."""
        return _SCAN.sub(self._marked, sql)

    def _marked(self, scan: re.Match[str]) -> str:
        number = len(self.files)
        self.files.append([_unquoted(text) for text in re.findall(_TEXT, scan["files"])])
        marks = [f"\u27e6{number}:{field_id}\u27e7" for field_id in scan["ids"].split(", ")]
        names = [_unquoted(match["name"]) for match in _NAME.finditer(scan["fields"])]
        left = iter(marks)
        fields = _NAME.sub(lambda _: f'"name" := {literal(next(left))}', scan["fields"])
        shown = [f"{identifier(mark)} AS {identifier(name)}" for mark, name in zip(marks, names, strict=True)]
        shown += ["filename"] if scan["path"] else []
        return f"(SELECT {', '.join(shown)} FROM {scan['head']}{fields}{scan['tail']}) AS {scan['alias']}"


def _unquoted(text: str) -> str:
    return text[1:-1].replace("''", "'")


@dataclass(frozen=True, slots=True)
class _Bound:
    field_id: int
    sign: str
    value: str

    def may_hold(self, least: Any, greatest: Any) -> bool:
        """Whether a row group of this range can have a row that passes."""
        value = _like(least, self.value)
        if value is None:
            return True
        if self.sign == "=":
            return bool(least <= value <= greatest)
        if self.sign in {">", ">="}:
            return bool(greatest > value or (self.sign == ">=" and greatest == value))
        return bool(least < value or (self.sign == "<=" and least == value))


def _like(sample: Any, text: str) -> Any:
    """Return a constant of the plan as a value that compares with a statistic; None if it is not known how to."""
    plain = _unquoted(text) if text.startswith("'") else text
    try:
        if isinstance(sample, bool):
            return None
        if isinstance(sample, datetime):
            at = datetime.fromisoformat(plain)
            if sample.tzinfo is None:
                return at.replace(tzinfo=None)
            return at if at.tzinfo else at.replace(tzinfo=UTC)
        if isinstance(sample, date):
            return date.fromisoformat(plain)
        if isinstance(sample, int | float | str):
            return type(sample)(plain) if not isinstance(sample, int) else float(plain)
    except ValueError:
        return None
    return None


_OF_FILES: Final = re.compile(r"(filename|size|last_modified)\b")
"""What is told of files without reading them."""


def _count(
    plan: Sequence[Mapping[str, Any]], files: Sequence[Sequence[str]], store: AbstractFileSystem | None
) -> Scanned:
    total, seen, groups, unknown = 0, 0, 0, None
    for node in _nodes(plan):
        name, info = str(node.get("name", "")).strip(), node.get("extra_info", {})
        told = [*_listed(info.get("Projections")), *_listed(info.get("Filters"))]
        marks = [(int(scan), int(id_)) for text in told for scan, id_ in _MARK.findall(text)]
        if not marks:
            if name.startswith("READ_") and any(text and not _OF_FILES.match(text) for text in told):
                unknown = f"{name} of files that are none of the lake's tables"
            continue
        bounds = list(_bounds(_listed(info.get("Filters"))))
        read = _footers(files[marks[0][0]], {id_ for _, id_ in marks}, bounds, store)
        total, groups, seen = total + sum(b for b, _ in read), groups + sum(g for _, g in read), seen + len(read)
    return Scanned(total, seen, groups, unknown)


def _nodes(plan: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for node in plan:
        yield node
        yield from _nodes(node.get("children", ()))


def _listed(value: str | list[str] | None) -> list[str]:
    return [value] if isinstance(value, str) else value or []


def _bounds(filters: Sequence[str]) -> Iterator[_Bound]:
    for text in filters:
        for part in text.split(" AND "):
            if found := _BOUND.fullmatch(part.strip()):
                yield _Bound(int(found[2]), found["sign"], found["value"])


def _footers(
    files: Sequence[str], fields: set[int], bounds: Sequence[_Bound], store: AbstractFileSystem | None
) -> list[tuple[int, int]]:
    """Return of each file that is read how many bytes and row groups are. A store is asked for many at once."""
    with ThreadPoolExecutor(4 if store is None else 16) as pool:
        read = pool.map(lambda file: _bytes(_footer(file, store), fields, bounds), files)
        return [(size, groups) for size, groups in read if groups]


def _footer(file: str, store: AbstractFileSystem | None) -> pq.FileMetaData:
    if store is None:
        return pq.read_metadata(file)
    with store.open(file, cache_type="none") as opened:
        return pq.read_metadata(opened)


def _bytes(footer: pq.FileMetaData, fields: set[int], bounds: Sequence[_Bound]) -> tuple[int, int]:
    ids = {
        each.name: int((each.metadata or {}).get(b"PARQUET:field_id", -1)) for each in footer.schema.to_arrow_schema()
    }
    columns = [ids[footer.schema.column(i).path.split(".")[0]] for i in range(footer.num_columns)]
    total = groups = 0
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        if all(_passes(group, columns, bound) for bound in bounds):
            groups += 1
            total += sum(group.column(i).total_compressed_size for i, id_ in enumerate(columns) if id_ in fields)
    return total, groups


def _passes(group: pq.RowGroupMetaData, columns: Sequence[int], bound: _Bound) -> bool:
    if columns.count(bound.field_id) != 1:
        return True
    statistics = group.column(columns.index(bound.field_id)).statistics
    if statistics is None or not statistics.has_min_max:
        return True
    return bound.may_hold(statistics.min, statistics.max)
