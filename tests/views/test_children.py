"""Claims of child tables: the elements of lists and maps, a row each, beside `tables.<source>`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from dagster_project.contracts import INT, TEXT, TEXTS, Column, Current, Mode, raw_table
from dagster_project.views.children import child_tables, not_to_be_had

SPEAKER = pa.struct([("name", TEXT), ("_file", TEXT), ("topics", TEXTS)])
TALKS = raw_table(
    "talks",
    "table",
    [
        Column(21, "id", INT, "id"),
        Column(22, "speakers", pa.list_(SPEAKER), "Speakers", (31, 32, 33, 34, 35)),
        Column(23, "room", pa.struct([("e-mails", TEXTS)]), "room", (36, 37)),
        Column(24, "votes", pa.map_(TEXT, INT), "votes", (38, 39)),
    ],
)
ADA, BO = {"name": "Ada", "_file": "a.pdf", "topics": ["x", "y"]}, {"name": "Bo", "_file": None, "topics": []}
ROWS: list[dict[str, Any]] = [
    {"id": 7, "speakers": [ADA, None, BO], "room": {"e-mails": ["r@x"]}, "votes": [("up", 3), ("down", None)]},
    {"id": 8, "speakers": [], "room": None, "votes": None},
]


def landed(rows: Sequence[dict[str, Any]], day: int = 1, first: int = 1) -> list[dict[str, Any]]:
    """Arrivals of a landing of the file `a`, with its marker."""
    at = {"_file": "a", "_landed_at": datetime(2026, 1, day, tzinfo=UTC)}
    puts = [{**row, **at, "_op": "put", "_row": i, "_row_hash": row["id"] + day} for i, row in enumerate(rows, 1)]
    return [{**row, "sequence": i} for i, row in enumerate([*puts, {**at, "_op": "file", "_row": len(rows)}], first)]


Shown = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def shown(shelf: Any, serve: Callable[..., Any], view_file: Path) -> Shown:
    """What a query gives once `rows` are served."""

    def ask(query: str, rows: list[dict[str, Any]], mode: Mode = "merge") -> list[tuple[Any, ...]]:
        pin = shelf.pin(TALKS, rows)
        serve([replace(pin, table=replace(pin.table, current=Current(mode, ("id",), ("*",))))])
        with duckdb.connect() as con:
            con.execute(f"ATTACH '{view_file}' AS lake (READ_ONLY); USE lake; SET TimeZone = 'UTC'")
            return con.execute(query).fetchall()

    return ask


def test_each_element_is_a_row_with_its_place_and_the_key_of_its_row(shown: Shown) -> None:
    query = "SELECT _ordinal, _parent_id, name, _row, _row_hash, __file, _file FROM tables.talks__speakers ORDER BY 1"
    assert shown(query, landed(ROWS)) == [
        (1, 7, "Ada", 1, 8, "a", "a.pdf"),
        (2, 7, None, 1, 8, "a", None),
        (3, 7, "Bo", 1, 8, "a", None),
    ]


def test_lists_in_structs_and_in_lists_and_maps_have_tables_of_their_own(shown: Shown) -> None:
    query = """
    SELECT 'emails', value, _ordinal, NULL FROM tables.talks__room__e_mails UNION ALL
    SELECT 'topics', value, _ordinal, _parent_ordinals FROM tables.talks__speakers__topics UNION ALL
    SELECT key, CAST(value AS VARCHAR), _ordinal, NULL FROM tables.talks__votes ORDER BY ALL"""
    assert shown(query, landed(ROWS)) == [
        ("down", None, 2, None),
        ("emails", "r@x", 1, None),
        ("topics", "x", 1, [1]),
        ("topics", "y", 2, [1]),
        ("up", "3", 1, None),
    ]


def test_elements_are_those_of_the_rows_that_are_shown_and_in_history_of_each_version(shown: Shown) -> None:
    rows = [*landed(ROWS), *landed([{**ROWS[0], "speakers": [BO]}], day=2, first=9)]
    assert shown("SELECT name FROM tables.talks__speakers", rows, "replace") == [("Bo",)]
    query = (
        "SELECT name, is_current, valid_from = (SELECT min(valid_from) FROM tables.talks) FROM tables.talks__speakers"
    )
    assert shown(f"{query} ORDER BY ALL", rows, "history") == [
        ("Ada", False, True),
        ("Bo", False, True),
        ("Bo", True, False),
        (None, False, True),
    ]


def test_every_column_of_a_child_table_says_what_it_means(shown: Shown) -> None:
    query = (
        "SELECT table_name, string_agg(column_name, ' ' ORDER BY column_index) FROM duckdb_columns() "
        "WHERE schema_name = 'tables' AND table_name LIKE '%\\_\\_%' ESCAPE '\\' AND comment <> '' "
        "GROUP BY ALL ORDER BY 1"
    )
    place = "_ordinal _parent_id _file _row _row_hash"
    assert shown(query, landed(ROWS)) == [
        ("talks__room__e_mails", f"value {place}"),
        ("talks__speakers", "name _file topics _ordinal _parent_id __file _row _row_hash"),
        ("talks__speakers__topics", f"value {place.replace('_parent', '_parent_ordinals _parent', 1)}"),
        ("talks__votes", f"key value {place}"),
    ]


def test_a_child_table_is_made_for_what_is_asked_for_and_told_where_there_is_none() -> None:
    asked = replace(TALKS, current=Current("replace", (), ("room.e-mails", "id", "talk")))
    assert [child.name for child in child_tables(asked)] == ["tables.talks__room__e_mails"]
    told = not_to_be_had(asked)
    assert told.keys() == {"id", "talk"}
    assert told["id"].startswith("holds BIGINT; lists and maps are room.e-mails, speakers")
