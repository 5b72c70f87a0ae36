"""Claims of columns that grow: structs by fields, decimals by digits, as the schema contract says."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dagster_project.contracts import INT, TEXT, Column
from dagster_project.landing.table_columns import MOST_FIELDS, grow_columns, grown
from dagster_project.sources import SchemaContract

OfFiles = Callable[..., Any]
DEEP = '{"id":1,"o":{"a":1,"l":[{"x":1}]}}\n'
DEEPER = '{"id":2,"o":{"l":[{"y":"q","x":2},{"x":3}],"n":{"m":true}}}\n'


def told(raw: Any, name: str) -> list[Any]:
    """The values of a column; of those that do not fit it, what stands beside it."""
    return [row[name] if row.get(f"{name}__text") is None else row[f"{name}__text"] for row in raw.values()]


def test_a_struct_gains_the_fields_of_a_later_file_at_any_depth(of_files: OfFiles, tmp_path: Path) -> None:
    raw = of_files(tmp_path, a_jsonl=DEEP)
    raw.land()
    before = raw.columns
    (tmp_path / "b.jsonl").write_text(DEEPER)
    raw.land()
    grown_row = {"a": None, "l": [{"x": 2, "y": "q"}, {"x": 3, "y": None}], "n": {"m": True}}
    assert raw.table().column("o").to_pylist()[2] == grown_row
    assert raw.table().column("o").to_pylist()[0] == {"a": 1, "l": [{"x": 1, "y": None}], "n": None}
    (column,), (was,) = ([c for c in columns if c.name == "o"] for columns in (raw.columns, before))
    assert len(raw.columns) == len(before)
    a, items, element, x = was.nested
    assert column.nested[:4] == (a, items, element, x)  # what stood keeps its ids; what came has later ones
    assert min(column.nested[4:]) > max(i for c in before for i in (c.field_id, *c.nested))
    assert len({*column.nested}) == 7


def test_two_files_that_arrive_together_make_one_struct(of_files: OfFiles, tmp_path: Path) -> None:
    raw = of_files(tmp_path, a_jsonl=DEEP, b_jsonl=DEEPER)
    raw.land()
    assert [row["o"]["l"][-1]["x"] for row in raw.values()] == [1, 3]


@pytest.mark.parametrize(
    ("contract", "rows", "refused", "marker"),
    [
        ("freeze", 1, 0, "'o.l.y', 'o.n'"),
        ("discard_row", 1, 1, None),
        ("discard_value", 2, 0, None),
        (SchemaContract(columns="discard_row"), 1, 1, None),
        (SchemaContract(types="discard_row"), 2, 0, None),
    ],
)
def test_a_new_field_is_a_column_to_the_schema_contract(
    of_files: OfFiles, tmp_path: Path, contract: Any, rows: int, refused: int, marker: str | None
) -> None:
    raw = of_files(tmp_path, a_jsonl=DEEP)
    raw.source = raw.source.model_copy(update={"schema_contract": contract})
    raw.land()
    (tmp_path / "b.jsonl").write_text(DEEPER)
    raw.land()
    assert (len(raw.of("put")), len(raw.of("refused"))) == (rows, refused)
    assert marker is None or marker in raw.of("file")[-1]["_error"]
    if contract == "discard_value":
        assert json.loads(raw.of("put")[-1]["_payload"])["o"] == json.dumps(json.loads(DEEPER)["o"]).replace(" ", "")


def test_a_value_of_another_type_within_an_object_stands_beside_it(of_files: OfFiles, tmp_path: Path) -> None:
    raw = of_files(tmp_path, a_jsonl=DEEP)
    raw.land()
    (tmp_path / "b.jsonl").write_text('{"id":3,"o":{"a":"word","new":1}}\n{"id":4,"o":{"new":2}}\n')
    raw.land()
    assert [*map(str, told(raw, "o"))][1:] == ['{"a":"word","new":1}', "{'a': None, 'l': None, 'new': 2}"]


def test_structs_of_parquet_grow_and_those_with_fewer_fields_fit(of_files: OfFiles, tmp_path: Path) -> None:
    raw = of_files(tmp_path)
    for name, value in (("a", {"x": 1}), ("b", {"y": [{"z": b"\x00"}]}), ("c", {"x": 2})):
        pq.write_table(pa.table({"o": pa.array([value])}), tmp_path / f"{name}.parquet")
        raw.land()
    assert raw.table().column("o").to_pylist()[::2] == [
        {"x": 1, "y": None},
        {"x": None, "y": [{"z": b"\x00"}]},
        {"x": 2, "y": None},
    ]


def test_ever_new_keys_do_not_grow_a_struct_for_ever() -> None:
    known = pa.struct([(f"k{i}", INT) for i in range(MOST_FIELDS)])
    assert grown(known, pa.struct([("one_more", INT)])) == known
    assert grown(pa.struct([("a", INT)]), pa.struct([("A", INT)])) == pa.struct([("a", INT)])


def test_ids_of_fields_that_come_are_later_than_any_that_was_given() -> None:
    column = Column(21, "o", pa.map_(TEXT, pa.struct([("a", INT)])), "", (30, 31, 32))
    type_ = pa.map_(TEXT, pa.struct([("a", INT), ("b", pa.list_(INT))]))
    assert grow_columns([column], {"o": type_}, 40)[0].nested == (30, 31, 32, 41, 42)


def test_decimals_stay_decimals_widen_by_digits_and_never_round(of_files: OfFiles, tmp_path: Path) -> None:
    raw = of_files(tmp_path)
    arrivals = [("1.50", 6, 2), ("123456789.01", 12, 2), ("2.125", 9, 3), ("0.10", 4, 2)]
    for name, (value, precision, scale) in zip("abcd", arrivals, strict=True):
        table = pa.table({"price": pa.array([Decimal(value)], pa.decimal128(precision, scale))})
        pq.write_table(table, tmp_path / f"{name}.parquet")
        raw.land()
    assert [column.type for column in raw.columns] == [pa.decimal128(12, 2), TEXT]
    assert told(raw, "price") == [Decimal("1.50"), Decimal("123456789.01"), "2.125", Decimal("0.10")]


def test_more_digits_are_another_type_to_a_contract_that_lets_none_evolve(of_files: OfFiles, tmp_path: Path) -> None:
    raw = of_files(tmp_path)
    raw.source = raw.source.model_copy(update={"schema_contract": "discard_row"})
    for name, value in (("a", "1.50"), ("b", "12345.01")):
        pq.write_table(pa.table({"price": pa.array([Decimal(value)])}), tmp_path / f"{name}.parquet")
        raw.land()
    assert raw.of("refused")[0]["_payload"] == '{"price": "12345.01"}'


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 60), 1 << 60)
    | st.floats(-1e9, 1e9)
    | st.text("ab é\"'", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "A", "c d"]), inner),
    max_leaves=8,
)


def plain(value: Any) -> Any:
    """A JSON value without keys that are null: a key that is missing and one that is null are the same."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items() if inner is not None}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.lists(st.dictionaries(st.sampled_from("ab"), VALUES), min_size=1, max_size=2), min_size=2, max_size=3)
)
def test_objects_over_several_arrivals_are_what_pythons_json_reads(
    of_files: OfFiles, landings: list[list[dict[str, Any]]]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        raw = of_files(folder)
        for number, objects in enumerate(landings):
            text = "\n".join(json.dumps({"o": value}) for value in objects)
            (folder / f"{number}.jsonl").write_text(text)
            raw.source = raw.source.model_copy(update={"same_content": "load"})
            raw.land()
        given_ = [plain(value) for objects in landings for value in objects]
    read = [json.loads(v) if isinstance(v, str) else v for v in told(raw, "o")]
    assert [plain(value) for value in read] == given_
    assert raw.of("refused") == []
    assert raw.table().num_rows == len(raw.rows)
