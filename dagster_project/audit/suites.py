"""The rules as they are written: `expectations/<namespace>.<table>.json`, in great_expectations' own format.

What belongs here: reading and describing suites, so that Dagster can declare a check per expectation and the docs
can list them. What does not: running them; this module must not import great_expectations.
Each expectation carries `meta.notelake`: `name`, `rule` (row, table or watch), `on` (staged, would_be or balance) and
`reason`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from dagster_project.audit.verdict import Rule
from dagster_project.contracts import SHARED, Table, raw_table
from dagster_project.errors import AuditBroken

On = Literal["staged", "would_be", "balance"]
"""The relation a rule looks at, as `verdict.Subject` has it."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """One rule of a suite. `type` and `kwargs` are great_expectations' own; `on` is the relation it looks at."""

    name: str
    rule: Rule
    on: On
    reason: str
    description: str
    type: str
    kwargs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Suite:
    """The rules of one table; `name` is the table's identifier."""

    name: str
    expectations: tuple[Expectation, ...]


class Named(NamedTuple):
    """What Dagster needs to know of an expectation."""

    name: str
    rule: Rule
    description: str


def read_suite(folder: Path, table: Table) -> Suite:
    """Return the rules of `table` in the order of its file. Raises `AuditBroken` naming the file and what it lacks."""
    file = folder / f"{table.identifier}.json"
    try:
        suite = json.loads(file.read_text("utf-8"))
        found = tuple(_expectation(item) for item in suite["expectations"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AuditBroken(f"{file} is no suite: {error!r}. Restore it from the project, or mend the JSON.") from error
    names = [expectation.name for expectation in found]
    if len(set(names)) < len(names):
        raise AuditBroken(f"{file} has two expectations of one name: {sorted(names)}. Rename one of them.")
    return Suite(table.identifier, found)


def has_suite(folder: Path, table: Table) -> bool:
    """Whether `table` has rules of its own; the raw table of a table source may, the shared tables all do."""
    return (folder / f"{table.identifier}.json").is_file()


def _expectation(item: Mapping[str, Any]) -> Expectation:
    ours = item["meta"]["notelake"]
    on = ours.get("on", "staged")
    if ours["rule"] not in ("row", "table", "watch") or on not in get_args(On):
        raise ValueError(f"{ours['name']}: rule is row, table or watch, on is staged, would_be or balance")
    if ours["rule"] == "row" and on != "staged":
        raise ValueError(f"{ours['name']}: a row rule judges staged rows")
    return Expectation(
        ours["name"], ours["rule"], on, ours["reason"], item["description"], item["type"], item["kwargs"]
    )


def read_suites(folder: Path) -> tuple[Suite, ...]:
    """Return the suite of every shared table, in the order of the contracts."""
    return tuple(read_suite(folder, table) for table in SHARED)


def all_suites(folder: Path) -> tuple[Suite, ...]:
    """Return the suite of every shared table, and those that table sources have of their own, by name."""
    own = sorted(file.stem.removeprefix("raw.") for file in folder.glob("raw.*.json"))
    return (*read_suites(folder), *(read_suite(folder, raw_table(name, "table")) for name in own))


def expectation_names(folder: Path, table: Table) -> tuple[Named, ...]:
    """Return name, rule and description of each rule of `table`."""
    return tuple(Named(rule.name, rule.rule, rule.description) for rule in read_suite(folder, table).expectations)


def unit_column(table: Table) -> str:
    """Return the column that names the unit a row rule refuses: the first of the key that is not the source.

    >>> from dagster_project.contracts import EVENTS, LINKS
    >>> unit_column(EVENTS), unit_column(LINKS)
    ('event_id', 'note_id')
    """
    return next(column for column in table.key if column != "source")


def suites_markdown(folder: Path) -> str:
    """Return the reference page of all expectations."""
    intro = (
        "# Expectations\n\n"
        "A **row** rule refuses single units, which go to `ops.quarantine`; a **table** rule refuses the batch, and "
        "the last good state is served; a **watch** rule refuses nothing and is told. The suites lie in "
        "`expectations/`, one JSON file per table. A table source may have one of its own, `raw.<source>.json`, which "
        "`notelake suggest SOURCE --write` proposes from its rows: a row rule there judges the rows that arrive, a "
        "table rule with `on: would_be` those that `tables.<source>` would have, as for a value that is unique.\n"
    )
    return "\n".join([intro, *map(_section, read_suites(folder))])


def _section(suite: Suite) -> str:
    lines = [f"| `{rule.name}` | {rule.rule} | {rule.description} |" for rule in suite.expectations]
    return "\n".join([f"## {suite.name}\n", "| expectation | rule | what holds |", "|---|---|---|", *lines, ""])
