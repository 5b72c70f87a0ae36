"""What is judged and what was found: frozen values, without great_expectations.

What belongs here: the subject of a suite, the result of an expectation, the verdict on a batch, and the error of
an audit that could not be held. What does not: how rules are read (`suites`) or run (`expect`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import pyarrow as pa

from dagster_project.contracts import TEXT, Table

Rule = Literal["row", "table", "watch", "figure"]
"""row: refuses single units; table: refuses the batch; watch: refuses nothing, and is told; figure: is no rule."""

REFUSALS: Final = pa.schema([("unit", TEXT), ("rule", TEXT), ("reason", TEXT)])
"""A refused unit: its key (null where the key itself is missing), the rule as `suite/name`, and why in words."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What one suite judges.

    `staged` is a relation (it can stand after FROM) of the staged rows with all columns of the contract.
    `would_be` is a relation of the key columns (and source) the table would have after the commit; None: not asked. Of
    the raw table of a table source it is the rows that would stand, with the source's columns, `_file` and `_row`.
    `balance` is a relation of one row: what the batch has `seen`, what became of it, and what was `lost`.
    """

    table: Table
    staged: str | None
    would_be: str | None
    balance: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """One expectation on one batch, or a figure of it.

    `observed` is the share of bad rows in percent for a row rule, and the value itself for the others.
    """

    suite: str
    expectation: str
    rule: Rule
    success: bool
    observed: float | None
    bad: int | None
    rows: int | None

    @property
    def name(self) -> str:
        """The rule as quarantine and errors call it, `suite/expectation`."""
        return f"{self.suite}/{self.expectation}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement on a batch: a result per expectation, and every refused unit once per rule (schema `REFUSALS`)."""

    results: tuple[Result, ...]
    refusals: pa.Table

    @property
    def failed_tables(self) -> tuple[Result, ...]:
        """The table rules that broke: each refuses the batch."""
        return tuple(result for result in self.results if result.rule == "table" and not result.success)

    @property
    def passed(self) -> bool:
        """Whether the batch may be committed, without the units that were refused."""
        return not self.failed_tables
