"""The views as they are written: one file each, `sql/views/<schema>/<name>.sql`, with its contract in the header.

    -- A row is: a task that is open or being done, with the note it stands in.
    -- note_id: The note
    -- due_on: Due date as YYYY-MM-DD, if the text gives one
    --
    -- Anything after an empty comment line explains the view to whoever reads the file.
    SELECT …

Macros are written in the same way, one file each, `sql/macros/<schema>/<name>.sql`. One that gives rows begins as a
view does, one that gives a value begins with `-- Gives: …`; then each says what it takes, in order, with a default in
brackets if there is one:

    -- A row is: a note as it stood at an instant.
    -- Takes instant: The instant (UTC)
    -- Takes note [NULL]: The note; all if it is null
    -- note_id: The note
    --
    SELECT …

Small macros of one family may share a file that begins with `-- Macros: …`. Each is then a block of its own, after an
empty line, with its name before its header and its examples, which are run as tests, behind what it takes:

    -- Macro codepoint
    -- Gives: the code point of a text of one character
    -- Takes txt: The character
    -- Example: codepoint('a') = 97
    unicode(txt)

What belongs here: reading the files, what they depend on, the order to build them in, where their columns come from.
What does not: building them (`publish`).

A view may bear the name of a table. It then reads that table by this name and stands in its place for everybody else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, Final, NamedTuple

import duckdb

from dagster_project.errors import ViewInvalid
from dagster_project.sql_words import literal

ROW: Final = re.compile(r"^-- A row is: (?P<row>\S.*)$")
FAMILY: Final = re.compile(r"^-- Macros: (?P<family>\S.*)$")
NAMED: Final = re.compile(r"^-- Macro (?P<name>[a-z_][a-z0-9_]*)$")
EXAMPLE: Final = re.compile(r"^-- Example: (?P<call>.+) = (?P<result>.+)$")
GIVES: Final = re.compile(r"^-- Gives: (?P<told>\S.*)$")
TAKES: Final = re.compile(r"^-- Takes (?P<name>[a-z_][a-z0-9_]*)(?: \[(?P<default>[^\]]+)\])?: (?P<doc>\S.*)$")
COLUMN: Final = re.compile(r"^-- (?P<name>[a-z_][a-z0-9_]*): (?P<doc>\S.*)$")


@dataclass(frozen=True, slots=True)
class View:
    """A view of `sql/views`. `columns` maps each column, in order, to what it means; `sql` is one SELECT."""

    schema: str
    name: str
    row: str
    columns: Mapping[str, str]
    sql: str
    depends_on: tuple[str, ...]
    """Relations it reads, `schema.name`, sorted; its own name among them if it stands on the table of that name."""
    file: Path

    @property
    def identifier(self) -> str:
        """The view's name in SQL, `schema.name`."""
        return f"{self.schema}.{self.name}"


class Parameter(NamedTuple):
    """What a macro takes: its name, what it means, and the SQL of its default, None if it must be given."""

    name: str
    doc: str
    default: str | None


@dataclass(frozen=True, slots=True)
class Macro:
    """A macro of `sql/macros`. One with `columns` gives rows, and `sql` is a SELECT; else it gives a value."""

    schema: str
    name: str
    told: str
    parameters: tuple[Parameter, ...]
    columns: Mapping[str, str]
    sql: str
    depends_on: tuple[str, ...]
    """Relations it reads, `schema.name`, sorted."""
    file: Path
    examples: tuple[tuple[str, str], ...] = ()
    """SQL of calls and of what they give."""

    @property
    def identifier(self) -> str:
        """The macro's name in SQL, `schema.name`."""
        return f"{self.schema}.{self.name}"

    @property
    def call(self) -> str:
        """How it is called, e.g. `notes.diff(note, v1 := NULL)`."""
        given = (p.name if p.default is None else f"{p.name} := {p.default}" for p in self.parameters)
        return f"{self.identifier}({', '.join(given)})"

    @property
    def gives_rows(self) -> bool:
        """Whether it stands after FROM."""
        return bool(self.columns)


def read_macros(folder: Path) -> tuple[Macro, ...]:
    """Read every `<schema>/<name>.sql` below `folder`, in name order; none if there is no such folder.

    Raises `ViewInvalid` naming the file and what is wrong with its header or its SQL.
    """
    files = ((file, file.read_text("utf-8")) for file in sorted(folder.glob("*/*.sql")))
    return tuple(_read_macro(file, name, block) for file, whole in files for name, block in _blocks(file, whole))


def _blocks(file: Path, whole: str) -> Iterator[tuple[str, str]]:
    """Yield name and text of each macro of a file."""
    if FAMILY.match(whole.partition("\n")[0]) is None:
        yield file.stem, whole
        return
    for block in re.split(r"\n\n(?=-- Macro )", whole)[1:]:
        first, _, rest = block.partition("\n")
        named = NAMED.match(first)
        if named is None:
            raise ViewInvalid(f"{file}: {first!r} is no `-- Macro name`. Write the name in small letters.")
        yield named["name"], rest


def _read_macro(file: Path, name: str, text: str) -> Macro:
    header, sql = _split(text)
    gives = GIVES.match(header[0]) if header else None
    if gives:
        header[0] = f"-- A row is: {gives['told']}"
    examples, parameters, contract = [], [], []
    for line in header:
        if example := EXAMPLE.match(line):
            examples.append((example["call"], example["result"]))
        elif taken := TAKES.match(line):
            parameters.append(Parameter(taken["name"], taken["doc"], taken["default"]))
        else:
            contract.append(line)
    told, columns = _header(contract, file)
    if gives is None and not columns:
        raise ViewInvalid(f"{file} gives rows, but tells of no columns. Write `-- column: what it means` for each.")
    # An expression of a family that lacks the word FROM reads nothing: to parse all would double a publication's cost.
    reads = not (gives and examples) or re.search(r"\bfrom\b", sql, re.IGNORECASE)
    depends_on = _dependencies(f"SELECT {sql}" if gives else sql, file) if reads else ()
    schema = file.parent.name
    return Macro(schema, name, told, tuple(parameters), columns, sql, depends_on, file, tuple(examples))


def read_views(folder: Path) -> tuple[View, ...]:
    """Read every `<schema>/<name>.sql` below `folder`; a view comes after those it reads.

    Raises `ViewInvalid` naming the file and what is wrong with its header or its SQL, or the cycle.
    """
    return _sorted([_read(file) for file in sorted(folder.glob("*/*.sql"))])


@dataclass(frozen=True, slots=True)
class Query:
    """A question of `sql/queries` in words, and the SELECT that answers it."""

    name: str
    question: str
    sql: str


def read_queries(folder: Path) -> tuple[Query, ...]:
    """Read every `*.sql` of `folder`, in name order. Its first line is the question, `-- Which …?`.

    Raises `ViewInvalid` for a file that does not begin with one.
    """
    return tuple(_read_query(file) for file in sorted(folder.glob("*.sql")))


def _read_query(file: Path) -> Query:
    text = file.read_text("utf-8")
    first = text.partition("\n")[0]
    if not (first.startswith("-- ") and first.endswith("?")):
        raise ViewInvalid(f"{file} does not begin with its question. Write `-- Which …?` as its first line.")
    return Query(file.stem, first.removeprefix("-- "), without_header(text))


def in_order(views: Sequence[View], tables: Collection[str]) -> tuple[View, ...]:
    """Return `views` so that each comes after those it reads; all else they read must be among `tables`.

    Raises `ViewInvalid` for a relation that is neither, and for a cycle.
    """
    known = {*tables, *(view.identifier for view in views)}
    for view in views:
        unknown = [name for name in view.depends_on if name not in known]
        if view.identifier in view.depends_on and view.identifier not in tables:
            unknown.append(view.identifier)
        if unknown:
            raise ViewInvalid(
                f"{view.file} reads {', '.join(unknown)}, which is neither a table nor a view of this lake. "
                f"Mend the name, or run the source that makes it. There are: {', '.join(sorted(known - {*unknown}))}."
            )
    return _sorted(views)


def _sorted(views: Sequence[View]) -> tuple[View, ...]:
    by_name = {view.identifier: view for view in views}
    graph = {
        view.identifier: [name for name in view.depends_on if name in by_name and name != view.identifier]
        for view in views
    }
    try:
        return tuple(by_name[name] for name in TopologicalSorter(graph).static_order())
    except CycleError as error:
        circle = " -> ".join(reversed(error.args[1]))
        raise ViewInvalid(f"The views read each other in a circle: {circle}. Take one of these reads out.") from error


def _read(file: Path) -> View:
    header, sql = _split(file.read_text("utf-8"))
    row, columns = _header(header, file)
    return View(file.parent.name, file.stem, row, columns, sql, _dependencies(sql, file), file)


def _header(lines: Sequence[str], file: Path) -> tuple[str, dict[str, str]]:
    first = ROW.match(lines[0]) if lines else None
    if first is None:
        raise ViewInvalid(f"{file} does not begin with its contract. Write `-- A row is: …` as its first line.")
    columns: dict[str, str] = {}
    for number, line in enumerate(lines[1:], start=2):
        if not line.startswith("-- "):
            break
        column = COLUMN.match(line)
        if column is None:
            raise ViewInvalid(f"{file}:{number} is no `-- column: what it means`. End the contract with a line `--`.")
        columns[column["name"]] = column["doc"]
    return first["row"].rstrip("."), columns


def without_header(text: str) -> str:
    """Return the SQL of a file without the comments it begins with and the semicolon at its end.

    >>> without_header("-- A row is: a day.\\n\\nSELECT 1;\\n")
    'SELECT 1'
    """
    return _split(text)[1]


def _split(text: str) -> tuple[list[str], str]:
    """Return the lines a file begins with, comments and empty ones, and its SQL."""
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if line.strip() and not line.startswith("--")), len(lines))
    return lines[:start], "\n".join(lines[start:]).rstrip().rstrip(";").rstrip()


@cache
def _parser() -> duckdb.DuckDBPyConnection:
    """Return DuckDB for parsing: to start one takes longer than to parse all views and macros."""
    return duckdb.connect(config={"threads": 1})


def _dependencies(sql: str, file: Path) -> tuple[str, ...]:
    """Return the relations a SELECT reads, from DuckDB's own parse of it: nothing need exist for it."""
    asked = f"SELECT json_serialize_sql({literal(sql)})"  # binding a value would import pandas
    answer = _parser().cursor().execute(asked).fetchone()
    tree: dict[str, Any] = json.loads(answer[0]) if answer else {"error": True}
    if tree["error"] or len(tree["statements"]) != 1:
        raise ViewInvalid(f"{file} is no single SELECT: {tree.get('error_message', 'there are several statements')}.")
    nodes = list(_nodes(tree["statements"]))
    ctes = {entry["key"] for node in nodes for entry in (node.get("cte_map") or {}).get("map", ())}
    found = [(node["schema_name"], node["table_name"]) for node in nodes if node.get("type") == "BASE_TABLE"]
    loose = sorted({name for schema, name in found if not schema and name not in ctes})
    if loose:
        raise ViewInvalid(
            f"{file} reads {', '.join(loose)} without its schema. Write it as schema.name, e.g. notes.{loose[0]}."
        )
    return tuple(sorted({f"{schema}.{name}" for schema, name in found if schema}))


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield every object of a JSON tree."""
    stack = [tree]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            yield value
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)


def lineage(view: View, columns_of: Mapping[str, Sequence[str]]) -> dict[str, list[tuple[str, str]]]:
    """Return for each column of `view` the columns its value is made from, as (relation, column), sorted.

    `columns_of` gives the columns of every relation the view reads. Only what flows into the value counts, not what
    it is joined or filtered by. A column made from none (a constant, a count of rows) has an empty list. A view
    whose SQL cannot be followed has empty lists throughout: lineage is for show, and never stops a build.
    """
    relations = tuple(sorted((relation, tuple(columns)) for relation, columns in columns_of.items()))
    found = _traced(view.sql, relations)
    return {name: list(found.get(name, ())) for name in view.columns}


@lru_cache(maxsize=256)
def _traced(sql: str, relations: tuple[tuple[str, tuple[str, ...]], ...]) -> Mapping[str, Sequence[tuple[str, str]]]:
    """Follow every column of a SELECT at once, once per process: a long one takes a second."""
    from sqlglot import exp, parse_one
    from sqlglot.errors import SqlglotError
    from sqlglot.lineage import lineage as trace
    from sqlglot.optimizer.qualify import qualify
    from sqlglot.optimizer.scope import build_scope

    schema: dict[str, Any] = {}
    for relation, columns in relations:
        namespace, name = relation.split(".", 1)
        schema.setdefault(namespace, {})[name] = dict.fromkeys(columns, "unknown")
    try:
        query: exp.Expr = qualify(parse_one(sql, dialect="duckdb"), schema=schema, dialect="duckdb", identify=False)
        roots = trace(
            None,
            query,
            schema=schema,
            dialect="duckdb",
            scope=build_scope(query),
            trim_selects=False,
            copy=False,
        )
    except (SqlglotError, ValueError):
        return {}
    return {name: _origins(root) for name, root in roots.items()}


def _origins(root: Any) -> list[tuple[str, str]]:
    from sqlglot import exp

    leaves = [node for node in root.walk() if isinstance(node.expression, exp.Table) and node.expression.db]
    pairs = {
        (f"{leaf.expression.db}.{leaf.expression.name}", leaf.name.rsplit(".", 1)[-1].strip('"')) for leaf in leaves
    }
    return sorted(pairs)
