"""Profile what a source has brought, and propose the rules it has kept so far, as a suite for somebody to review.

What belongs here: facts about columns and properties, and the rules they suggest, each with its reason. What does not:
judging (`audit`), and deciding what is put in force: that is done by hand, by moving rules into `expectations/`, or for
a table source by asking that it be written there.

What was so over the landings of a source (rows, missing values, how old the newest row was) becomes a rule that is
watched: it refuses nothing.

What holds: a suite is in great_expectations' own format as `audit` reads it, and every rule in it holds for all rows it
came from. What holds for nearly all is told in the suite's `meta`, with an example, and is no rule: mend the notes, and
ask again.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import duckdb

from dagster_project.audit.suites import On
from dagster_project.contracts import EVENTS, NOTES
from dagster_project.errors import UsageError
from dagster_project.settings import bundled
from dagster_project.sql_words import identifier, literal, pointer
from dagster_project.views.scans import ARRIVAL, relation

NEARLY: Final = 0.95
"""Share of rows from which on something is said to be so in nearly all."""
FEW_VALUES: Final = 12
"""So many values at most are proposed as a set, if each stands five times on average."""
LEAST_ROWS: Final = 5
"""Fewer rows suggest nothing."""
UNIQUE_FROM: Final = 20
"""Rows from which on it is no chance that all values differ."""
LONGEST_NAME: Final = 100
"""Characters up to which a text may be what tells rows apart; longer ones differ as all prose does."""
LEAST_LANDINGS: Final = 5
"""Landings from which on they tell how many rows are usual."""
SOMETIMES: Final = 0.5
"""Share of rows from which on a value is one that rows are expected to have."""
_OLD: Final = 31 * 86400
_TIMES_EACH: Final = 5
_WHOLE: Final = 1e15
_DATE: Final = r"\d{4}-\d{2}-\d{2}"
_JSON_TYPES: Final = {"VARCHAR": "text", "BOOLEAN": "boolean", "ARRAY": "list", "OBJECT": "object"}
_SQL_TYPES: Final = {"VARCHAR": "text", "BOOLEAN": "boolean"}
_NUMBERS: Final = ("BIGINT", "DOUBLE", "INTEGER", "UBIGINT", "HUGEINT", "FLOAT", "DECIMAL")

Sort = Literal["text", "number", "boolean", "time", "list", "object", "other"]


@dataclass(frozen=True, slots=True)
class Profiled:
    """Rows that a suite is proposed for: where they are, which of them, and what names one of them."""

    suite: str
    """The table whose suite it is, e.g. `notes.notes`."""
    scope: str
    """SQL condition that picks the source's rows of that table."""
    unit: str
    """Column that names a row in quarantine."""
    example: str
    """SQL of what a person calls a row."""
    columns: tuple[str, ...] | None
    """Columns to look at; all that the source brought if None."""
    properties: str | None
    """Column that holds more of them as a JSON object."""
    standing: str | None = None
    """SQL of the rows that stand, where the table keeps others too: among them a value may be unique."""
    landed: str | None = None
    """Column with the instant of a row's landing, where the table keeps all of them."""

    @property
    def relation(self) -> str:
        """The table, as SQL."""
        return relation(self.suite)

    @property
    def rows(self) -> str:
        """SELECT of the rows, but for what is selected."""
        return f"FROM {self.relation} WHERE {self.scope}"


class Value(NamedTuple):
    """A column or property: what it is called, its SQL, and its sort."""

    name: str
    sql: str
    sort: Sort


@dataclass(frozen=True, slots=True)
class Facts:
    """What is so in the rows of one value.

    `least` and `greatest` are numbers, or instants as text: then the least is as long before the first instant as the
    last is after it.
    """

    value: Value
    rows: int
    present: int
    distinct: int
    least: Any
    greatest: Any
    few: tuple[str, ...]
    """The values, sorted, if they are texts and few."""
    are_dates: bool
    lacking: str | None
    """An example of a row that lacks it."""
    longest: int
    """Characters of the longest text; 0 if it is no text."""
    standing: int = 0
    """How many rows that stand have it."""
    apart: int = 0
    """How many different values these have."""


def suggest(con: duckdb.DuckDBPyConnection, source: str) -> dict[str, Any]:
    """Return a suite for `source` from what is served, ready to be written as JSON.

    Raises `UsageError` for a source the lake does not hold, or one with too few rows to say anything.
    """
    subject = _subject(con, source)
    rows = _one(con, f"SELECT count(*) {subject.rows}")
    if rows < LEAST_ROWS:
        raise UsageError(f"{source} has {rows} rows; {LEAST_ROWS} are the least that suggest a rule.")
    facts = [_facts(con, subject, value, rows) for value in _values(con, subject)]
    rules = [*_rows_as_usual(con, subject), *(rule for fact in facts for rule in _rules(subject, fact))]
    rules += [rule for fact in facts for rule in _watched(con, subject, fact)]
    about = {"source": source, "rows": rows, "nearly": [_nearly(fact) for fact in facts if _is_nearly(fact)]}
    return {"name": subject.suite, "expectations": rules, "meta": {"suggested": about}}


def _subject(con: duckdb.DuckDBPyConnection, source: str) -> Profiled:
    kinds = con.execute("SELECT op, count(*) FROM ops.ledger WHERE source = ? GROUP BY op", [source]).fetchall()
    if not kinds:
        known = [name for (name,) in con.execute("SELECT DISTINCT source FROM ops.ledger ORDER BY 1").fetchall()]
        raise UsageError(f"The lake holds no source called {source}. There are: {', '.join(known) or 'none yet'}.")
    ops = {op for op, _ in kinds}
    mine = f"source = {literal(source)}"
    if "events" in ops:
        columns = ("type", "occurred_at", "path", "actor")
        return Profiled(EVENTS.identifier, mine, "event_id", "event_id", columns, "detail", landed="landed_at")
    if _is_table(con, source):
        name, row = f"raw.{source}", "_file || ' row ' || _row"
        standing = _standing(con, source)
        return Profiled(name, "_op = 'put'", "sequence", row, None, None, standing=standing, landed="_landed_at")
    told = ("title", "author", "created_at")
    return Profiled(NOTES.identifier, mine, "note_id", "path", told, "properties")


def _standing(con: duckdb.DuckDBPyConnection, source: str) -> str:
    """Return SQL of the rows that a table source has now; in mode history `tables.<source>` has those before them."""
    table = relation(f"tables.{source}")
    held = {name for name, *_ in con.execute(f"DESCRIBE {relation(f'raw.{source}')}").fetchall()}
    told = {name for name, *_ in con.execute(f"DESCRIBE {table}").fetchall()} - held
    flag = next((name for name in ("is_current", "_is_current") if name in told), None)
    return f"{table} AS standing WHERE {flag or 'true'}"


def _is_table(con: duckdb.DuckDBPyConnection, source: str) -> bool:
    found = con.execute(
        "SELECT count(*) FROM duckdb_columns() WHERE database_name = current_database() "
        "AND schema_name = 'raw' AND table_name = ? AND column_name = '_row_hash'",
        [source],
    ).fetchone()
    return bool(found and found[0])


def _values(con: duckdb.DuckDBPyConnection, subject: Profiled) -> Iterator[Value]:
    for name, type_, *_ in con.execute(f"DESCRIBE {subject.relation}").fetchall():
        if name in ARRIVAL if subject.columns is None else name not in subject.columns:
            continue
        yield Value(name, identifier(name), _sort(type_))
    if subject.properties is not None:
        yield from _properties(con, subject)


def _sort(type_: str) -> Sort:
    if type_.endswith("[]"):
        return "list"
    if type_.startswith(("TIMESTAMP", "DATE")):
        return "time"
    if type_.startswith(_NUMBERS):
        return "number"
    return _SQL_TYPES.get(type_, "other")  # type: ignore[return-value]


def _properties(con: duckdb.DuckDBPyConnection, subject: Profiled) -> Iterator[Value]:
    """Yield the properties that nearly all rows have and that are of one sort wherever they are given."""
    rows = con.execute(
        f"SELECT key, list(DISTINCT json_type(json_extract({subject.properties}, {_POINTER}))) "
        f"FROM (SELECT {subject.properties}, unnest(json_keys({subject.properties})) AS key "
        f"{subject.rows}) AS p GROUP BY key "
        f"HAVING count(*) >= {NEARLY} * (SELECT count(*) {subject.rows}) ORDER BY key"
    ).fetchall()
    for key, types in rows:
        sorts = {_JSON_TYPES.get(type_, "number") for type_ in types if type_ != "NULL"}
        if len(sorts) == 1:
            at = f"{subject.properties}, {pointer(key)}"
            sort: Sort = sorts.pop()  # type: ignore[assignment]
            yield Value(key, _PROPERTY.get(sort, "json_extract({at})").format(at=at), sort)


_POINTER: Final = "'/' || replace(replace(key, '~', '~0'), '/', '~1')"
_PROPERTY: Final[Mapping[str, str]] = {
    "text": "json_extract_string({at})",
    "number": "TRY_CAST(json_extract_string({at}) AS DOUBLE)",
}
"""SQL of a property by its sort; NULL where it is not given, or null."""


def _facts(con: duckdb.DuckDBPyConnection, subject: Profiled, value: Value, rows: int) -> Facts:
    rows_ = f"FROM (SELECT {value.sql} AS value, {subject.example} AS example {subject.rows}) AS r"
    present, distinct = _row(con, f"SELECT count(value), count(DISTINCT value) {rows_}")
    least, greatest, are_dates, longest = None, None, False, 0
    few: tuple[str, ...] = ()
    if value.sort in ("number", "time"):
        first, last = "min(value)::TIMESTAMPTZ", "max(value)::TIMESTAMPTZ"  # a date less a date is no span
        earliest = f"({first} - ({last} - {first}))::VARCHAR, max(value)::VARCHAR"
        ends = "min(value)::DOUBLE, max(value)::DOUBLE" if value.sort == "number" else earliest
        least, greatest = _row(con, f"SELECT {ends} {rows_}")
    if value.sort == "text":
        (matching, longest) = _row(
            con,
            f"SELECT count(*) FILTER (regexp_full_match(value, '{_DATE}')), coalesce(max(length(value)), 0) {rows_}",
        )
        are_dates = present > 0 and matching == present
        if distinct <= FEW_VALUES:
            found = con.execute(f"SELECT DISTINCT value {rows_} WHERE value IS NOT NULL ORDER BY 1")
            few = tuple(text for (text,) in found.fetchall())
    (lacking,) = _row(con, f"SELECT min(example) {rows_} WHERE value IS NULL")
    standing, apart = present, distinct
    if subject.standing is not None and value.sort in ("text", "number"):
        standing, apart = _row(con, f"SELECT count({value.sql}), count(DISTINCT {value.sql}) FROM {subject.standing}")
    return Facts(value, rows, present, distinct, least, greatest, few, are_dates, lacking, longest, standing, apart)


def _is_nearly(fact: Facts) -> bool:
    return NEARLY * fact.rows <= fact.present < fact.rows


def _nearly(fact: Facts) -> dict[str, Any]:
    return {"name": fact.value.name, "given": fact.present, "of": fact.rows, "lacking": fact.lacking}


def _rules(subject: Profiled, fact: Facts) -> Iterator[dict[str, Any]]:
    """Yield the rules that hold for all rows of a value."""
    name, value = fact.value.name, fact.value.sql
    told = f"{fact.rows:,} rows"
    if fact.present == fact.rows:
        said = f"`{name}` is given."
        yield _row_rule(subject, name, "present", f"{value} IS NOT NULL", said, f"all {told} have it")
    if fact.present < max(LEAST_ROWS, NEARLY * fact.rows):
        return
    if fact.value.sort == "text":
        yield from _text_rules(subject, fact)
    if fact.value.sort == "number":
        yield from _range(subject, fact)
    if fact.value.sort == "time":
        condition = f"({value} IS NULL OR {value} >= TIMESTAMPTZ {literal(fact.least)})"
        said = f"`{name}`, where given, is not before {fact.least}."
        because = f"all {fact.present:,} are well after it, up to {fact.greatest}"
        yield _row_rule(subject, name, "not_too_early", condition, said, because)
    if subject.properties is not None and fact.value.name not in (subject.columns or ()):
        yield _type_rule(subject, fact)
    is_name = fact.value.sort in ("text", "number") and not fact.are_dates and fact.longest <= LONGEST_NAME
    if is_name and fact.apart == fact.standing >= UNIQUE_FROM:
        yield _unique(subject, fact)


def _text_rules(subject: Profiled, fact: Facts) -> Iterator[dict[str, Any]]:
    name, value = fact.value.name, fact.value.sql
    if fact.few and fact.present >= _TIMES_EACH * fact.distinct:
        listed = ", ".join(map(literal, fact.few))
        said = f"`{name}`, where given, is one of {', '.join(fact.few)}."
        because = f"{fact.present:,} rows have {fact.distinct} values"
        yield _row_rule(subject, name, "known", f"({value} IS NULL OR {value} IN ({listed}))", said, because)
    elif fact.are_dates:
        condition = f"({value} IS NULL OR regexp_full_match({value}, {literal(_DATE)}))"
        said = f"`{name}`, where given, is a date as YYYY-MM-DD."
        yield _row_rule(subject, name, "is_date", condition, said, f"all {fact.present:,} values are")


def _range(subject: Profiled, fact: Facts) -> Iterator[dict[str, Any]]:
    """Yield a range with as much room on either side as there is between the values; never below 0 if none is."""
    name, value = fact.value.name, fact.value.sql
    room = fact.greatest - fact.least
    if not 0 < room < float("inf"):
        return
    least = max(0.0, fact.least - room) if fact.least >= 0 else fact.least - room
    ends = (_number(least), _number(fact.greatest + room))
    condition = f"({value} IS NULL OR {value} BETWEEN {ends[0]} AND {ends[1]})"
    said = f"`{name}`, where given, is from {ends[0]} to {ends[1]}."
    because = f"{fact.present:,} values lie from {_number(fact.least)} to {_number(fact.greatest)}"
    yield _row_rule(subject, name, "in_range", condition, said, because)


# --- over the landings of a source ------------------------------------------------------------------------------------


def _rows_as_usual(con: duckdb.DuckDBPyConnection, subject: Profiled) -> Iterator[dict[str, Any]]:
    """Yield a rule of how many rows a landing brings, with as much room on either side as there is between them."""
    if subject.landed is None:
        return
    least, greatest, landings = _row(
        con, f"SELECT min(n), max(n), count(*) FROM (SELECT count(*) AS n {subject.rows} GROUP BY {subject.landed})"
    )
    if landings < LEAST_LANDINGS:
        return
    room = (greatest - least) or greatest // 2
    ends = (max(0, least - room), greatest + room)
    query = f"SELECT count(*) AS rows FROM {{batch}} WHERE {_braced(subject.scope)} HAVING "
    said = f"A landing brings from {ends[0]:,} to {ends[1]:,} rows."
    because = f"{landings} landings brought from {least:,} to {greatest:,}"
    yield _rule("rows", "as_usual", "watch", f"{query}count(*) NOT BETWEEN {ends[0]} AND {ends[1]}", said, because)


def _watched(con: duckdb.DuckDBPyConnection, subject: Profiled, fact: Facts) -> Iterator[dict[str, Any]]:
    """Yield rules of how many rows lack a value, and how old the newest one is, in a landing."""
    if SOMETIMES * fact.rows <= fact.present < fact.rows:
        yield _mostly_given(con, subject, fact)
    if fact.value.sort == "time" and subject.landed is not None and fact.present >= NEARLY * fact.rows:
        yield from _fresh(con, subject, fact)


def _mostly_given(con: duckdb.DuckDBPyConnection, subject: Profiled, fact: Facts) -> dict[str, Any]:
    """Return a rule that allows twice the share of missing values there was in the worst landing of enough rows."""
    name, value = fact.value.name, fact.value.sql
    lacking = f"avg(CASE WHEN {value} IS NULL THEN 1 ELSE 0 END)"
    by = f"GROUP BY {subject.landed} HAVING count(*) >= {UNIQUE_FROM}" if subject.landed else ""
    (worst,) = _row(con, f"SELECT max(share) FROM (SELECT {lacking} AS share {subject.rows} {by}) AS landing")
    share = 1 - fact.present / fact.rows if worst is None else float(worst)
    most = min(1.0, math.ceil(200 * share) / 100)
    query = (
        f"SELECT {_braced(lacking)} AS lacking FROM {{batch}} WHERE {_braced(subject.scope)} "
        f"HAVING count(*) >= {UNIQUE_FROM} AND {_braced(lacking)} > {most}"
    )
    said = f"`{name}` is missing in at most {100 * most:.0f} % of the rows, where there are {UNIQUE_FROM}."
    because = f"{fact.rows - fact.present:,} of {fact.rows:,} rows lack it, at most {100 * share:.1f} % at once"
    return _rule(name, "mostly_given", "watch", query, said, because)


def _fresh(con: duckdb.DuckDBPyConnection, subject: Profiled, fact: Facts) -> Iterator[dict[str, Any]]:
    """Yield a rule that the newest value, when it lands, is at most twice as old as ever; not for old exports."""
    name, value = fact.value.name, fact.value.sql
    age = f"epoch(max({subject.landed})) - epoch(max({value})::TIMESTAMPTZ)"
    least, oldest, landings = _row(
        con,
        "SELECT min(age), max(age), count(*) FROM "
        f"(SELECT {age} AS age {subject.rows} GROUP BY {subject.landed}) AS landing WHERE age IS NOT NULL",
    )
    if not landings or least < 0 or (oldest > _OLD and landings < LEAST_LANDINGS):
        return
    hours = max(1, math.ceil(2 * oldest / 3600))
    query = (
        f"SELECT max({_braced(value)}) AS newest FROM {{batch}} WHERE {_braced(subject.scope)} "
        f"HAVING {_braced(age)} > {3600 * hours}"
    )
    said = f"The newest `{name}` is at most {hours:,} hours old when it lands."
    because = (
        f"in {landings} {'landing' if landings == 1 else 'landings'} it was at most {oldest / 3600:,.1f} hours old"
    )
    yield _rule(name, "fresh", "watch", query, said, because)


def _number(value: float) -> str:
    """Return a number as it is written, without the fraction of a whole one.

    >>> _number(3.0), _number(0.1)
    ('3', '0.1')
    """
    return str(int(value)) if value.is_integer() and abs(value) < _WHOLE else repr(value)


def _type_rule(subject: Profiled, fact: Facts) -> dict[str, Any]:
    name, sort = fact.value.name, fact.value.sort
    type_ = f"json_type(json_extract({subject.properties}, {pointer(name)}))"
    wanted = [json_type for json_type, own in _JSON_TYPES.items() if own == sort]
    others = ", ".join(map(literal, _JSON_TYPES))
    is_so = f"{type_} = {literal(wanted[0])}" if wanted else f"{type_} NOT IN ({others})"
    condition = f"({type_} IS NULL OR {type_} = 'NULL' OR {is_so})"
    said = f"`{name}`, where given, is a {sort}."
    return _row_rule(subject, name, f"is_{sort}", condition, said, f"all {fact.present:,} values are")


def _unique(subject: Profiled, fact: Facts) -> dict[str, Any]:
    """Return a rule that a value stands once: of a table source among all rows that stand, else in a batch."""
    name, value = fact.value.name, fact.value.sql
    stands = "true" if subject.standing else subject.scope
    once = f"{value}" if subject.standing else f"source, {value}"
    where = _braced(f"WHERE {stands} AND {value} IS NOT NULL GROUP BY {once}")
    query = f"SELECT {_braced(value)} AS value, count(*) AS rows FROM {{batch}} {where} HAVING count(*) > 1"
    because = f"all {fact.standing:,} values differ"
    on: On = "would_be" if subject.standing else "staged"
    return _rule(name, "unique", "table", query, f"`{name}` is unique.", because, on=on)


def _row_rule(subject: Profiled, name: str, what: str, condition: str, said: str, because: str) -> dict[str, Any]:
    query = f"SELECT {subject.unit} FROM {{batch}} WHERE {_braced(f'{subject.scope} AND ({condition}) IS NOT TRUE')}"
    return _rule(name, what, "row", query, said, because)


def _braced(sql: str) -> str:
    """Double the braces of what is to be formatted."""
    return sql.replace("{", "{{").replace("}", "}}")


def _rule(name: str, what: str, rule: str, query: str, said: str, because: str, *, on: On = "staged") -> dict[str, Any]:
    words = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "value"
    return {
        "type": "unexpected_rows_expectation",
        "kwargs": {"unexpected_rows_query": query},
        "description": said,
        "severity": "critical" if rule == "table" else "warning",
        "meta": {
            "notelake": {"name": f"{words}_{what}", "rule": rule, "on": on, "reason": f"not so: {said}"},
            "suggested": {"because": because},
        },
    }


def as_text(suite: Mapping[str, Any]) -> str:
    """Return a suite as its file holds it; rules of one name are told apart by a number."""
    named: dict[str, int] = {}
    for rule in suite["expectations"]:
        ours = rule["meta"]["notelake"]
        named[ours["name"]] = named.get(ours["name"], 0) + 1
        if named[ours["name"]] > 1:
            ours["name"] += f"_{named[ours['name']]}"
    return json.dumps(suite, indent=2, ensure_ascii=False) + "\n"


def put_in_force(suite: Mapping[str, Any], folder: Path) -> tuple[Path, int]:
    """Add the rules of a table source's suite to its file in `folder`; return the file and how many were new.

    A rule that is there already stays as it is, for somebody may have mended it. Raises `UsageError` for the suite of a
    table that sources share: its rules judge the notes of all, and are moved by hand.
    """
    name = suite["name"]
    if not name.startswith("raw."):
        raise UsageError(
            f"Nothing was written: {name} is shared by all sources, and its suite judges the notes of each. Leave "
            "--write out, and move the rules you want to keep by hand."
        )
    if not folder.is_dir():
        raise UsageError(
            f"Nothing was written: there is no folder {folder}. Run this in a project; where notelake was installed "
            f"without one, copy {bundled('expectations')} there first, for all suites are read from one folder."
        )
    file = folder / f"{name}.json"
    present = json.loads(file.read_text("utf-8")) if file.is_file() else {"expectations": []}
    proposed = json.loads(as_text(suite))
    known = {rule["meta"]["notelake"]["name"] for rule in present["expectations"]}
    added = [rule for rule in proposed["expectations"] if rule["meta"]["notelake"]["name"] not in known]
    together = {**proposed, **present, "expectations": [*present["expectations"], *added], "meta": proposed["meta"]}
    new = file.with_suffix(".json.tmp")
    new.write_text(as_text(together), "utf-8")
    new.replace(file)
    return file, len(added)


def reasons(suite: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Return what each rule says, with the reason it is proposed for."""
    return ((rule["description"], rule["meta"]["suggested"]["because"]) for rule in suite["expectations"])


def _row(con: duckdb.DuckDBPyConnection, query: str) -> Sequence[Any]:
    return con.execute(query).fetchone() or ()


def _one(con: duckdb.DuckDBPyConnection, query: str) -> int:
    return int(_row(con, query)[0])
