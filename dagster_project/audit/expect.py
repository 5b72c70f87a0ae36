"""Hold the audit: run the suites with great_expectations on DuckDB. The only module that imports it.

What belongs here: handing one DuckDB connection to great_expectations, reading its results, finding every refused
unit. What does not: the rules (`expectations/*.json`). Import it where it runs: it costs three seconds.

No data context is made, so nothing is global, written or reported; the engine lives as long as one call.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")  # read on import

import duckdb
import duckdb_engine
import pyarrow as pa
import sqlalchemy

from dagster_project.audit.suites import Expectation, read_suite, unit_column
from dagster_project.audit.verdict import REFUSALS, AuditBroken, Result, Subject, Verdict

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it uses what Python deprecates, which is no concern of our users
    import great_expectations
    from great_expectations.core.batch import Batch, IDDict, LegacyBatchDefinition
    from great_expectations.execution_engine import SqlAlchemyExecutionEngine
    from great_expectations.execution_engine.sqlalchemy_batch_data import SqlAlchemyBatchData
    from great_expectations.expectations.core import UnexpectedRowsExpectation
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.validator.validator import Validator

KNOWN: Final = "1.24."
"""The great_expectations whose inner parts (`Validator`, `get_connection`) this module was written for."""
QUERY: Final = "unexpected_rows_query"


class _OneConnection(SqlAlchemyExecutionEngine):
    """Keeps its connection: the stock engine closes DuckDB's before it fetches, and fails."""

    @contextmanager
    def get_connection(self) -> Iterator[sqlalchemy.Connection]:
        if self._connection is None:
            self._connection = self.engine.connect()
        yield self._connection


class _NoTransactions(duckdb_engine.ConnectionWrapper):  # type: ignore[misc]
    """Runs every statement by itself: SQLAlchemy's inspector begins a transaction on a connection that has one open."""

    def begin(self) -> None: ...
    def commit(self) -> None: ...
    def rollback(self) -> None: ...


class _Quiet(Validator):
    def _determine_progress_bars(self) -> bool:
        return False


class NotelakeCountedRows(UnexpectedRowsExpectation):
    """The stock expectation, but it only counts: the stock one runs its query a second time to show rows."""

    metric_dependencies = ("unexpected_rows_query.row_count",)

    def _validate(
        self, metrics: dict[str, Any], runtime_configuration: Any = None, execution_engine: Any = None
    ) -> Any:
        bad = metrics["unexpected_rows_query.row_count"]
        return {"success": bad == 0, "result": {"observed_value": bad}}


_COUNTED: Final[Mapping[str, str]] = {"unexpected_rows_expectation": NotelakeCountedRows.expectation_type}


def audit(subjects: Sequence[Subject], *, folder: Path, connect: Callable[[], duckdb.DuckDBPyConnection]) -> Verdict:
    """Judge `subjects` by the suites in `folder`, on a connection of its own that is closed in any case.

    Memory is bounded by DuckDB's limit and the refusals. Raises `AuditBroken` if a suite cannot be read or run.
    """
    if not great_expectations.__version__.startswith(KNOWN):
        raise AuditBroken(
            f"great_expectations {great_expectations.__version__} is installed, the audit knows {KNOWN}x; "
            "nothing was judged. Install the version in pyproject.toml."
        )
    connection = connect()
    pool = sqlalchemy.create_engine(
        "duckdb:///:memory:",
        creator=lambda: _NoTransactions(connection),
        poolclass=sqlalchemy.pool.StaticPool,
    )
    try:
        engine = _OneConnection(engine=pool)
        judged = [_judge(engine, connection, subject, folder) for subject in subjects]
    finally:
        pool.dispose()
        connection.close()
    refusals = [table for _, tables in judged for table in tables]
    results = tuple(result for found, _ in judged for result in found)
    return Verdict(results, pa.concat_tables([REFUSALS.empty_table(), *refusals]))


Judged = tuple[list[Result], list[pa.Table]]


def _judge(engine: _OneConnection, connection: duckdb.DuckDBPyConnection, subject: Subject, folder: Path) -> Judged:
    rules = read_suite(folder, subject.table).expectations
    results: list[Result] = []
    refusals: list[pa.Table] = []
    for on, relation in (("staged", subject.staged), ("would_be", subject.would_be)):
        asked = [rule for rule in rules if rule.on == on]
        if relation is None or not asked:
            continue
        view = f"{subject.table.namespace}_{subject.table.name}_{on}"
        try:
            connection.execute(f'CREATE OR REPLACE VIEW "{view}" AS SELECT * FROM {relation}')
            rows = _count(connection, view)
            found = _run(engine, view, asked, unit_column(subject.table))
            for rule in asked:
                result, refused = _read(connection, subject, rule, found[rule.name], view, rows)
                results.append(result)
                refusals += refused
        except AuditBroken:
            raise
        except Exception as error:
            raise AuditBroken(
                f"{subject.table.identifier}: the suite could not be run on the {on} rows, so nothing was judged: {error} "
                f"Mend {folder / subject.table.identifier}.json or the relation."
            ) from error
    return results, refusals


def _run(engine: _OneConnection, view: str, rules: Iterable[Expectation], unit: str) -> dict[str, Any]:
    """Return great_expectations' result of each rule by name, all found in one graph of metrics."""
    data = SqlAlchemyBatchData(execution_engine=engine, table_name=view, create_temp_table=False)
    definition = LegacyBatchDefinition("notelake", "audit", view, IDDict({}))
    validator = _Quiet(execution_engine=engine, batches=[Batch(data=data, batch_definition=definition)])  # type: ignore[arg-type]
    configurations = [_configuration(rule) for rule in rules]
    wanted = {
        # The verdict and the query of the bad rows only: other formats fetch values, all of them or the first 20.
        "result_format": "BOOLEAN_ONLY",
        "return_unexpected_index_query": True,
        "unexpected_index_column_names": [unit],
    }
    found = validator.graph_validate(configurations, {"catch_exceptions": False, "result_format": wanted})
    by_name = {result.expectation_config.meta["notelake"]["name"]: result for result in found}  # type: ignore[union-attr,index]
    for name, result in by_name.items():
        if told := raised(result.exception_info):
            raise AuditBroken(f"{view}: the expectation {name} raised {told}; nothing was judged. Mend its suite.")
    return by_name


def _configuration(rule: Expectation) -> ExpectationConfiguration:
    type_ = _COUNTED.get(rule.type, rule.type)
    return ExpectationConfiguration(type=type_, kwargs=dict(rule.kwargs), meta={"notelake": {"name": rule.name}})


def raised(info: Mapping[str, Any] | None) -> str | None:
    """Return the message of an exception in a result's `exception_info`, flat or nested by metric; None if none."""
    if not info:
        return None
    if "raised_exception" in info:
        return str(info["exception_message"]) if info["raised_exception"] else None
    nested = (raised(value) for value in info.values() if isinstance(value, Mapping))
    return next((message for message in nested if message), None)


def _read(
    connection: duckdb.DuckDBPyConnection, subject: Subject, rule: Expectation, found: Any, view: str, rows: int
) -> tuple[Result, list[pa.Table]]:
    suite = subject.table.identifier
    query = _bad_rows(rule, found, view)
    success = bool(found.success)
    bad = 0 if success or query is None else _count(connection, f"({query})")
    share = 100.0 * bad / rows if rows else 0.0
    observed = share if rule.rule == "row" else float(bad if query is not None else rows)
    result = Result(suite, rule.name, rule.rule, success, observed, bad, rows)
    if success or rule.rule == "table":
        return result, []
    if query is None:
        raise AuditBroken(f"{suite}/{rule.name} failed, but {rule.type} does not say which rows; make it a table rule.")
    return result, [_refusals(connection, query, unit_column(subject.table), f"{suite}/{rule.name}", rule.reason)]


def _bad_rows(rule: Expectation, found: Any, view: str) -> str | None:
    """Return the query of the rows that broke `rule`; None for a rule that is about no single rows."""
    if rule.type in _COUNTED:
        return str(rule.kwargs[QUERY]).format(batch=view)
    query = found.result.get("unexpected_index_query")
    return None if query is None else str(query).rstrip("; \n")


def _refusals(connection: duckdb.DuckDBPyConnection, query: str, unit: str, rule: str, reason: str) -> pa.Table:
    """Return each unit once; DISTINCT keeps a missing key as one row."""
    sql = (
        f'SELECT DISTINCT CAST("{unit}" AS VARCHAR) AS unit, ? AS rule, ? AS reason FROM ({query}) AS bad ORDER BY unit'
    )
    return connection.execute(sql, [rule, reason]).to_arrow_table().cast(REFUSALS)


def _count(connection: duckdb.DuckDBPyConnection, relation: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {relation} AS counted").fetchone()
    return int(row[0]) if row else 0
