"""The comparator of the score: what it takes for equal, and that nothing wrong is taken for exact."""

from __future__ import annotations

import datetime as dt
import importlib.util
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).parents[2] / "docs" / "score.py"


@pytest.fixture(scope="module")
def score() -> Any:
    spec = importlib.util.spec_from_file_location("score", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("text", "value", "same"),
    [
        ("[1, 2, NULL]", [1, 2, None], True),
        ("[1, 2]", [2, 1], False),
        ("{a -> 1, b -> 2}", {"b": 2, "a": 2}, False),
        ("{a -> 1, b -> 2}", {"b": 2, "a": 1}, True),
        ("'it''s'", "it's", True),
        ("1.0", 1, False),
        ("1", 1.0, True),
        ("3.14159265358979", 3.141592653589793, True),
        ("3.15", 3.141592653589793, False),
        ("2020-05-01 12:34:56", dt.datetime(2020, 5, 1, 12, 34, 56), True),
        ("2020-05-01 12:34:56.1", dt.datetime(2020, 5, 1, 12, 34, 56), False),
        ("NULL", None, True),
        ("NULL", "NULL", False),
        ("t", True, True),
        ("3 19:26:24.000", dt.timedelta(days=3, hours=19, minutes=26, seconds=24), True),
    ],
)
def test_a_printed_value_is_compared_by_its_type(score: Any, text: str, value: Any, same: bool) -> None:
    assert score.printed(text, value) is same


@pytest.mark.parametrize(
    ("sql", "value", "same"),
    [
        ("SELECT BIGINT '2'", 2, True),
        ("SELECT 2", 2.0, False),
        ("SELECT 2.50", Decimal("2.5"), True),
        ("SELECT 2.50", 2.5, False),
        (
            "SELECT TIMESTAMP '2020-05-01 12:34:56.789 Europe/Warsaw'",
            dt.datetime(2020, 5, 1, 10, 34, 56, 789000, dt.UTC),
            True,
        ),
        ("SELECT INTERVAL '1.5' SECOND", dt.timedelta(seconds=1.5), True),
        ("SELECT ARRAY[1, NULL]", [1, None], True),
        ("SELECT MAP(ARRAY['a'], ARRAY[1])", {"a": 1}, True),
        ("SELECT CAST(ROW(1, 'x') AS row(a bigint, b varchar))", {"a": 1, "b": "x"}, True),
        ("SELECT CAST(NULL AS varchar)", "", False),
    ],
)
def test_an_expectation_is_read_without_the_translator(score: Any, sql: str, value: Any, same: bool) -> None:
    ((expected,),) = score.evaluate(sql)
    assert score.agrees(expected, value) is same


def test_rows_without_an_order_are_compared_as_a_bag_and_with_one_as_a_list(score: Any) -> None:
    page = " a | b\n---+---\n 1 | x\n 2 | y\n(2 rows)\n"
    assert score.page_agrees(page, [(2, "y"), (1, "x")], ordered=False)
    assert not score.page_agrees(page, [(2, "y"), (1, "x")], ordered=True)
    assert not score.page_agrees(page, [(1, "x")], ordered=False)


@pytest.mark.parametrize("group", ["athena_doc", "redshift_nested_doc", "trino_doc_sql"])
def test_statements_with_stated_results_hold(score: Any, group: str) -> None:
    if not score.CORPUS.is_dir():
        pytest.skip("the statements with stated results are not part of the project")
    judged = score.score(group)
    counts = score._counts(judged)
    assert counts["wrong"] == 0
    assert counts["exact"] >= 0.8 * (len(judged) - counts["left out"])
