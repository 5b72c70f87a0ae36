"""Claims of the modes of table sources: what `tables.<source>` shows of what has arrived."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from dagster_project.contracts import LEDGER, QUARANTINE, TEXT, Column, Current, raw_table, variant_doc

TALKS = raw_table(
    "talks",
    "table",
    [
        Column(21, "id", pa.float64(), "id"),
        Column(22, "v", TEXT, "v"),
        Column(23, "id__text", TEXT, variant_doc("id")),
    ],
)
NOON = datetime(2026, 1, 1, tzinfo=UTC)

Row = tuple[Any, ...]


def arrived(*landings: dict[str, list[Row] | str | None]) -> list[dict[str, Any]]:
    """Arrivals of landings, a day apart: per file its rows (key, value), None if it is gone, a path it is a copy of."""
    rows: list[dict[str, Any]] = []
    for day, files in enumerate(landings):
        for file, content in files.items():
            at = {"_file": file, "_landed_at": NOON + timedelta(days=day)}
            if content is None:
                rows.append({"_op": "gone", **at})
            elif isinstance(content, str):
                rows.append({"_op": "same", "_payload": content, "_row": 2, **at})
            else:
                for ordinal, (key, value) in enumerate(content, start=1):
                    given = {"id__text": key} if isinstance(key, str) else {"id": key}
                    hashed = hash((str(key), value)) >> 1
                    rows.append({"_op": "put", "_row": ordinal, "_row_hash": hashed, "v": value, **given, **at})
                rows.append({"_op": "file", "_row": len(content), **at})
    return [{"sequence": i, **row} for i, row in enumerate(rows, start=1)]


Shown = Callable[..., list[Row]]


@pytest.fixture
def shown(shelf: Any, serve: Callable[..., Any], view_file: Path) -> Shown:
    """What a SELECT on `tables.talks` gives, in a mode."""

    def ask(
        rows: list[dict[str, Any]],
        mode: Any,
        columns: str,
        refused: Sequence[dict[str, Any]] = (),
        told: Sequence[int] | None = None,
    ) -> list[Row]:
        pin, quarantine = shelf.pin(TALKS, rows), shelf.pin(QUARANTINE, refused)
        ledger = [] if told is None else [shelf.pin(LEDGER, [{"source": "talks", "sequence": at} for at in told])]
        serve([replace(pin, table=replace(pin.table, current=Current(mode, ("id",)))), quarantine, *ledger])
        with duckdb.connect() as con:
            con.execute(f"SET TimeZone = 'UTC'; ATTACH '{view_file}' AS lake (READ_ONLY); USE lake")
            return con.execute(f"SELECT {columns} FROM tables.talks ORDER BY ALL").fetchall()

    return ask


STORY = arrived(
    {"a": [(1.0, "x"), (2.0, "y")], "b": [(2.0, "w"), (float("nan"), "n"), ("K", "t")]},
    {"a": [(1.0, "x2"), (1.0, "x3")]},
    {"b": None, "c": "a"},
)


@pytest.mark.parametrize(
    ("mode", "rows"),
    [
        ("replace", [(1.0, "x2"), (1.0, "x3")]),
        ("append", [(1.0, "x2"), (1.0, "x3"), (2.0, "w"), (None, "n"), (None, "t")]),
        ("merge", [(1.0, "x3")]),
    ],
)
def test_each_mode_shows_its_own_part_of_what_has_arrived(shown: Shown, mode: str, rows: list[Row]) -> None:
    found = shown(STORY, mode, "CASE WHEN NOT isnan(id) THEN id END AS id, v")
    assert sorted(found, key=str) == sorted(rows, key=str)


@pytest.mark.parametrize("mode", ["append", "merge", "history"])
def test_a_landing_that_the_ledger_does_not_tell_of_is_not_shown_yet(shown: Shown, mode: str) -> None:
    """The ledger tells of a file under the first of its arrivals, of others under their marker."""
    assert shown(STORY, mode, "v", told=[]) == []
    assert shown(STORY, mode, "* EXCLUDE id", told=[1, 4]) == shown(STORY[:7], mode, "* EXCLUDE id")
    assert shown(STORY, mode, "* EXCLUDE id", told=[1, 4, 8]) == shown(STORY[:10], mode, "* EXCLUDE id")
    assert shown(STORY, mode, "* EXCLUDE id", told=[1, 4, 8, 11, 12]) == shown(STORY, mode, "* EXCLUDE id")


def test_merge_leaves_out_rows_without_a_key_and_keeps_keys_that_do_not_fit(shown: Shown) -> None:
    rows = arrived({"b": [(2.0, "w"), (float("nan"), "n"), ("nan", "m"), ("K", "t"), (2.0, "z")]})
    assert shown(rows, "merge", "v") == [("m",), ("t",), ("z",)]


def test_history_shows_every_version_of_every_key_and_when_it_was_so(shown: Shown) -> None:
    found = shown(STORY, "history", "coalesce(id::VARCHAR, id__text), v, day(valid_from), day(valid_to), is_current")
    assert found == [
        ("1.0", "x", 1, 2, False),
        ("1.0", "x3", 2, None, True),
        ("2.0", "w", 1, 3, False),
        ("K", "t", 1, 3, False),
    ]


def test_a_row_that_comes_again_as_it_was_makes_no_version_and_one_that_was_away_makes_one(shown: Shown) -> None:
    rows = arrived({"a": [(1.0, "x")]}, {"a": [(1.0, "x")]}, {"a": []}, {"a": [(1.0, "x")]})
    assert shown(rows, "history", "v, day(valid_from), day(valid_to)") == [("x", 1, 3), ("x", 4, None)]


def test_an_older_row_stands_again_where_the_newer_one_of_another_file_is_gone(shown: Shown) -> None:
    rows = arrived({"a": [(1.0, "old")]}, {"b": [(1.0, "new")]}, {"b": None})
    told = [("new", 2, 3), ("old", 1, 2), ("old", 3, None)]
    assert shown(rows, "history", "v, day(valid_from), day(valid_to)") == told
    assert shown(rows, "merge", "v") == [("old",)]


@pytest.mark.parametrize("mode", ["replace", "append", "merge", "history"])
def test_a_row_that_the_sources_own_suite_refused_is_not_shown_until_it_is_released(shown: Shown, mode: str) -> None:
    rows = arrived({"a": [(1.0, "good")]}, {"b": [(1.0, "bad"), (2.0, "other")]})
    (sequence,) = (row["sequence"] for row in rows if row.get("v") == "bad")
    refused = {"source": "talks", "rule": "raw.talks/v_known", "sequence": sequence, "unit": "1"}
    assert shown(rows, mode, "v", [refused]) == [("good",), ("other",)]
    assert ("bad",) in shown(rows, mode, "v", [{**refused, "released_at": NOON}])
    for elsewhere in ({"source": "others"}, {"rule": "notes.notes/title_not_empty"}):
        assert ("bad",) in shown(rows, mode, "v", [{**refused, **elsewhere}])
