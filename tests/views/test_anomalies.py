"""quality.anomalies: figures of batches in, what is far from its own history out; nothing of what is as usual."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from dagster_project.contracts import AUDITS
from dagster_project.views.sql_files import View

NOISE = (0, 1, -1, 2, 0, -2, 1, 0, -1, 2, 1, 0)
USUAL = {"count(*)": 100.0, "standing(*)": 5000.0, "nulls(owner)": 5.0, "age(at)": 2.0}
OURS = ("ops.figures", "quality.anomalies")
Ask = Callable[..., list[tuple[Any, ...]]]
History = Sequence[Mapping[str, float]]


@pytest.fixture
def anomalies(written_views: tuple[View, ...]) -> Ask:
    """Return what is told of a source whose batches, one an hour, the newest an hour ago, had these figures."""

    def told(history: History, *, rows: int = 100, ago: float = 1, columns: str = "figure, column_name") -> Any:
        newest = datetime.now(UTC) - timedelta(hours=ago)
        audits = [
            {
                "batch_id": f"s-{n:03d}", "source": "s", "suite": "raw.s", "expectation": name, "rule": "figure",
                "success": True, "observed": value, "rows": rows,
                "audited_at": newest - timedelta(hours=len(history) - 1 - n),
            }
            for n, batch in enumerate(history)
            for name, value in batch.items()
        ]  # fmt: skip
        arrived = pa.Table.from_pylist(audits, schema=AUDITS.schema)
        with duckdb.connect() as con:
            con.execute("CREATE SCHEMA ops; CREATE SCHEMA quality; CREATE TABLE ops.audits AS FROM arrived")
            for name in OURS:
                (view,) = (view for view in written_views if view.identifier == name)
                con.execute(f"CREATE VIEW {name} AS {view.sql}")
            assert arrived.num_rows == len(audits)
            return con.execute(f"SELECT {columns} FROM quality.anomalies ORDER BY ALL").fetchall()

    return told


def a_history(batches: int = 12, **last: float) -> list[dict[str, float]]:
    """Return figures that move by a few percent; the last batch has those given instead, by the word before (."""
    given = {name: last[name.split("(")[0]] for name in USUAL if name.split("(")[0] in last}
    usual = [{name: value * (1 + n / 50) for name, value in USUAL.items()} for n in NOISE[:batches]]
    return [*usual[:-1], {**usual[-1], **given}]


def test_a_history_that_moves_by_a_few_percent_has_no_anomaly(anomalies: Ask) -> None:
    assert anomalies(a_history()) == []


@pytest.mark.parametrize(
    ("last", "told"),
    [
        ({"count": 20.0}, ("count", None)),
        ({"count": 900.0}, ("count", None)),
        ({"standing": 1000.0}, ("standing", None)),
        ({"nulls": 40.0}, ("nulls", "owner")),
        ({"age": 70.0}, ("age", "at")),
    ],
    ids=["few rows", "many rows", "most are gone", "values missing", "nothing new in it"],
)
def test_what_is_far_from_its_own_history_is_told(
    anomalies: Ask, last: dict[str, float], told: tuple[str, str]
) -> None:
    assert anomalies(a_history(**last)) == [told]


@pytest.mark.parametrize("last", [{"count": 250.0}, {"nulls": 14.0}, {"age": 0.0}], ids=str)
def test_what_is_less_far_or_newer_than_usual_is_not_told(anomalies: Ask, last: dict[str, float]) -> None:
    assert anomalies(a_history(**last)) == []


def test_nothing_is_said_before_eight_batches_of_history(anomalies: Ask) -> None:
    assert anomalies(a_history(8, count=0.0)) == []
    assert anomalies(a_history(9, count=0.0)) == [("count", None)]


def test_one_odd_batch_in_the_history_hides_nothing_and_makes_nothing_odd(anomalies: Ask) -> None:
    history = a_history()
    history[0]["count(*)"] = 1_000_000.0
    assert anomalies(history) == []
    history[-1]["count(*)"] = 5.0
    figures = "figure, round(usual), round(least), round(most), batches"
    assert anomalies(history, columns=figures) == [("count", 102.0, 33.0, 308.0, 11)]


def test_shares_of_a_few_rows_say_nothing(anomalies: Ask) -> None:
    assert anomalies(a_history(nulls=100.0), rows=19) == []


def test_a_source_that_falls_silent_is_told_by_how_often_it_used_to_bring_something(anomalies: Ask) -> None:
    assert anomalies(a_history(), ago=4) == []
    assert anomalies(a_history(), ago=30) == [("silence", None)]
