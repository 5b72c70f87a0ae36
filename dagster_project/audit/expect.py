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
from dataclasses import replace
from functools import cache
from pathlib import Path
from threading import RLock
from typing import Any, Final

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")  # read on import

import duckdb
import duckdb_engine
import pyarrow as pa
import sqlalchemy

from dagster_project.audit.later import imported_later
from dagster_project.audit.suites import Expectation, read_suite, unit_column
from dagster_project.audit.verdict import REFUSALS, Result, Subject, Verdict
from dagster_project.errors import AuditBroken

# Statistics and charts are a third of what it takes to import, and few suites need them.
with warnings.catch_warnings(), imported_later("scipy.stats", "altair"):
    warnings.simplefilter("ignore")  # it uses what Python deprecates, which is no concern of our users
    import great_expectations
    from great_expectations.compatibility.pydantic import PrivateAttr
    from great_expectations.execution_engine import SqlAlchemyExecutionEngine
    from great_expectations.execution_engine.sqlalchemy_batch_data import SqlAlchemyBatchData
    from great_expectations.expectations.core import UnexpectedRowsExpectation
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.expectations.registry import get_expectation_impl
    from great_expectations.validator.metric_configuration import MetricConfiguration
    from great_expectations.validator.validation_graph import ValidationGraph

KNOWN: Final = "1.24."
"""The great_expectations whose inner parts (`ValidationGraph`, `get_connection`, …) this module was written for."""
FEW: Final = 10_000
"""Rows of a relation that are held in memory while it is judged."""
QUERY: Final = "unexpected_rows_query"


class _Columns:
    """What an inspector is asked for, from one DESCRIBE: reflection takes four statements and 40 ms per table."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, dialect: sqlalchemy.Dialect) -> None:
        self._connection = connection
        self.dialect = dialect

    def get_columns(self, table_name: str, schema: str | None = None) -> list[dict[str, Any]]:
        described = self._connection.execute(f'DESCRIBE "{table_name}"').fetchall()
        return [{"name": name, "type": sqlalchemy.types.NullType()} for name, *_ in described]

    def get_pk_constraint(self, table_name: str, schema: str | None = None) -> dict[str, Any]:
        return {"constrained_columns": []}


class _OneConnection(SqlAlchemyExecutionEngine):
    """Keeps its connection: the stock engine closes DuckDB's before it fetches, and fails."""

    @contextmanager
    def get_connection(self) -> Iterator[sqlalchemy.Connection]:
        if self._connection is None:
            self._connection = self.engine.connect()
        yield self._connection


class _NoTransactions(duckdb_engine.ConnectionWrapper):
    """Runs every statement by itself: an audit only reads; SQLAlchemy begins a transaction where one may be open."""

    def begin(self) -> None: ...
    def commit(self) -> None: ...
    def rollback(self) -> None: ...


class _Graph(ValidationGraph):
    """Builds each metric once: the stock graph builds all a metric needs anew for every rule that asks for it."""

    def __init__(self, engine: SqlAlchemyExecutionEngine) -> None:
        super().__init__(execution_engine=engine)
        self._built: set[Any] = set()

    def build_metric_dependency_graph(
        self, metric_configuration: MetricConfiguration, runtime_configuration: dict[str, Any] | None = None
    ) -> None:
        if metric_configuration.id not in self._built:
            self._built.add(metric_configuration.id)
            super().build_metric_dependency_graph(metric_configuration, runtime_configuration)


class _Configuration(ExpectationConfiguration):
    """Knows the expectation it is of; the stock one builds another at each of the five looks a rule takes."""

    def __init__(self, expectation: Any, stock: ExpectationConfiguration) -> None:
        super().__init__(type=stock.type, kwargs=stock.kwargs, meta=stock.meta)
        self._expectation = expectation

    def to_domain_obj(self) -> Any:
        return self._expectation


@cache
def _kept(type_: str) -> Any:
    """Return the expectation called `type_` as a class that works out its configuration once, not 60 times."""
    stock = get_expectation_impl(_COUNTED.get(type_, type_))

    def configuration(self: Any) -> ExpectationConfiguration:
        if self._kept is None:
            self._kept = _Configuration(self, stock.configuration.fget(self))  # type: ignore[attr-defined]
        return self._kept  # type: ignore[no-any-return]

    inside = {"__module__": __name__, "_kept": PrivateAttr(default=None), "configuration": property(configuration)}
    make: Any = type(stock)  # pydantic's metaclass
    return make(f"Kept{stock.__name__}", (stock,), inside)


class NotelakeCountedRows(UnexpectedRowsExpectation):
    """The stock expectation, but it only counts: the stock one runs its query a second time to show rows."""

    metric_dependencies = ("unexpected_rows_query.row_count",)

    def _validate(
        self, metrics: dict[str, Any], runtime_configuration: Any = None, execution_engine: Any = None
    ) -> Any:
        bad = metrics["unexpected_rows_query.row_count"]
        return {"success": bad == 0, "result": {"observed_value": bad}}


_COUNTED: Final[Mapping[str, str]] = {"unexpected_rows_expectation": NotelakeCountedRows.expectation_type}


_ONE_AT_A_TIME: Final = RLock()
"""great_expectations promises nothing to threads."""


def audit(subjects: Sequence[Subject], *, folder: Path, connect: Callable[[], duckdb.DuckDBPyConnection]) -> Verdict:
    """Judge `subjects` by the suites in `folder`, on a connection of its own that is closed in any case.

    Memory is bounded by DuckDB's limit and the refusals. Raises `AuditBroken` if a suite cannot be read or run.
    """
    if not great_expectations.__version__.startswith(KNOWN):
        raise AuditBroken(
            f"great_expectations {great_expectations.__version__} is installed, the audit knows {KNOWN}x; "
            "nothing was judged. Install the version in pyproject.toml."
        )
    with _ONE_AT_A_TIME:
        return _audit(subjects, folder, connect())


def _audit(subjects: Sequence[Subject], folder: Path, connection: duckdb.DuckDBPyConnection) -> Verdict:
    pool = sqlalchemy.create_engine(
        "duckdb:///:memory:",
        creator=lambda: _NoTransactions(connection),
        poolclass=sqlalchemy.pool.StaticPool,
    )
    try:
        engine = _OneConnection(engine=pool)
        engine._inspector = _Columns(connection, pool.dialect)  # type: ignore[assignment]
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
    relations = {"staged": subject.staged, "would_be": subject.would_be, "balance": subject.balance}
    for on, relation in relations.items():
        asked = [rule for rule in rules if rule.on == on]
        if relation is None or not asked:
            continue
        view = f"{subject.table.namespace}_{subject.table.name}_{on}"
        try:
            _hold(connection, view, relation)
            rows, found = _run(engine, view, asked, unit_column(subject.table))
            for rule in asked:
                result, refused = _read(connection, subject, rule, found[rule.name], view, rows)
                results.append(_in_units(connection, view, result) if on == "balance" else result)
                refusals += refused
        except AuditBroken:
            raise
        except Exception as error:
            raise AuditBroken(
                f"{subject.table.identifier}: the suite could not be run on the {on} rows, so nothing was judged: "
                f"{error} Mend {folder / subject.table.identifier}.json or the relation."
            ) from error
    return results, refusals


def _hold(connection: duckdb.DuckDBPyConnection, view: str, relation: str) -> None:
    """Make `view` of a relation: a table of what is small, for every rule would open and plan its files anew."""
    few = f"SELECT * FROM {relation} LIMIT {FEW + 1}"
    held = connection.execute(f'CREATE OR REPLACE TEMP TABLE "{view}" AS {few}').fetchone()
    if held is not None and held[0] > FEW:
        connection.execute(f'DROP TABLE "{view}"')
        connection.execute(f'CREATE OR REPLACE TEMP VIEW "{view}" AS SELECT * FROM {relation}')


def _run(engine: _OneConnection, view: str, rules: Sequence[Expectation], unit: str) -> tuple[int, dict[str, Any]]:
    """Return the rows of `view` and great_expectations' result of each rule by name.

    Only rules that failed are asked for the query of their bad rows, for most never fail, and it is half the work.
    """
    engine.load_batch_data(view, SqlAlchemyBatchData(engine, table_name=view, create_temp_table=False))
    rows, found = _ask(engine, view, rules, {"result_format": "BOOLEAN_ONLY"})
    failed = [rule for rule in rules if not found[rule.name].success and rule.type not in _COUNTED]
    if failed:
        # Other formats fetch values, all of them or the first 20.
        query = {"return_unexpected_index_query": True, "unexpected_index_column_names": [unit]}
        found |= _ask(engine, view, failed, {"result_format": "BOOLEAN_ONLY", **query})[1]
    return rows, found


def _ask(
    engine: _OneConnection, view: str, rules: Iterable[Expectation], result_format: Mapping[str, Any]
) -> tuple[int, dict[str, Any]]:
    """Resolve all that `rules` need in one graph of metrics. Raises `AuditBroken` for an exception within a rule."""
    runtime = {"catch_exceptions": False, "result_format": dict(result_format)}
    expectations = {rule.name: _kept(rule.type)(**rule.kwargs, batch_id=view) for rule in rules}
    graph = _Graph(engine)
    rows = MetricConfiguration("table.row_count", {"batch_id": view})
    graph.build_metric_dependency_graph(rows, runtime)
    for expectation in expectations.values():
        for metric in expectation.get_validation_dependencies(engine, runtime).get_metric_configurations():
            graph.build_metric_dependency_graph(metric, runtime)
    metrics, _ = graph.resolve(runtime, show_progress_bars=False)
    found = {name: rule.metrics_validate(metrics, dict(runtime), engine) for name, rule in expectations.items()}
    for name, result in found.items():
        if told := raised(result.exception_info):
            raise AuditBroken(f"{view}: the expectation {name} raised {told}; nothing was judged. Mend its suite.")
    return int(metrics[rows.id]), found


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
    if success or rule.rule != "row":
        return result, []
    if query is None:
        raise AuditBroken(
            f"{suite}/{rule.name} failed, but {rule.type} does not say which rows; make it a table or watch rule."
        )
    return result, [_refusals(connection, query, unit_column(subject.table), f"{suite}/{rule.name}", rule.reason)]


def _in_units(connection: duckdb.DuckDBPyConnection, view: str, result: Result) -> Result:
    """Return the result of a rule on the balance with its figures: units seen, and units lost."""
    seen, lost = connection.execute(f'SELECT seen, lost FROM "{view}"').fetchone() or (0, 0)
    return replace(result, observed=float(lost), bad=abs(lost), rows=seen)


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
