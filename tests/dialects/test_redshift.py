"""What Redshift Spectrum's SQL and its PartiQL give here: navigation, un-nesting, and its own functions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import duckdb
import pytest

from dagster_project.dialects import Unsupported, translate

SCHEMA = {
    "spectrum.customers": {
        "id": "INTEGER", "name": "STRUCT(given VARCHAR, family VARCHAR)", "phones": "VARCHAR[]",
        "orders": "STRUCT(shipdate TIMESTAMP, price DOUBLE)[]",
    },
    "regions": {"r": "JSON"},
    "sales": {"buyer": "VARCHAR", "qty": "INTEGER", "sold": "DATE"},
}  # fmt: skip
ROWS = """
CREATE SCHEMA spectrum;
CREATE TABLE spectrum.customers AS SELECT * FROM (VALUES
  (1, {'given': 'John', 'family': 'Smith'}, ['123'], [{'shipdate': TIMESTAMP '2018-03-01 11:59:59', 'price': 100.5::DOUBLE}, {'shipdate': TIMESTAMP '2018-03-01 09:10:00', 'price': 99.12::DOUBLE}]),
  (2, {'given': 'Jenny', 'family': 'Doe'}, ['858', '415'], [])) AS t(id, name, phones, orders);
CREATE TABLE regions AS SELECT '{"name": "AFRICA", "nations": [{"key": 0, "n": [[1, 2], [3]]}, {"key": "5"}]}'::JSON AS r;
CREATE TABLE sales AS SELECT * FROM (VALUES ('a', 10, DATE '2004-01-09'), ('b', 20, DATE '2004-02-12'), ('a', NULL, NULL)) AS t(buyer, qty, sold);
"""


@pytest.fixture(scope="module")
def lake() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as con:
        con.execute(ROWS)
        con.execute("SET TimeZone = 'Asia/Tokyo'")
        yield con


TABLE: list[tuple[str, list[tuple[Any, ...]]]] = [
    ("SELECT c.id, c.name.given, o.price FROM spectrum.customers c, c.orders o ORDER BY 1, 3", [(1, "John", 99.12), (1, "John", 100.5)]),
    ("SELECT c.id, o.price FROM spectrum.customers c LEFT JOIN c.orders o ON true ORDER BY 1, 2", [(1, 99.12), (1, 100.5), (2, None)]),
    ("SELECT c.name.family, p AS phone FROM spectrum.customers c, c.phones p ORDER BY 2", [("Smith", "123"), ("Doe", "415"), ("Doe", "858")]),
    ("SELECT c.phones[0], c.phones[5] FROM spectrum.customers c ORDER BY id", [("123", None), ("858", None)]),
    ("SELECT p, i FROM spectrum.customers c, c.phones AS p AT i WHERE c.id = 2 ORDER BY i", [("858", 0), ("415", 1)]),
    ("SELECT a, b FROM regions t, t.r.nations AS n, n.n AS a, a AS b ORDER BY 2", [("[1,2]", "1"), ("[1,2]", "2"), ("[3]", "3")]),
    ("SELECT json_typeof(r.nations[0].key), json_typeof(r.nations[1].key), r.nations[0].key = 0 FROM regions", [("number", "string", True)]),
    ("SELECT attr FROM regions t, UNPIVOT t.r AS val AT attr ORDER BY 1", [("name",), ("nations",)]),
    ("SELECT buyer FROM sales WHERE sold > '2004-01-31'", [("b",)]),
    ("SELECT qty FROM sales ORDER BY qty DESC", [(None,), (20,), (10,)]),
    ("SELECT TOP 1 buyer FROM sales ORDER BY qty", [("a",)]),
    ("SELECT listagg(DISTINCT buyer, ',') WITHIN GROUP (ORDER BY qty) FROM sales", [("a,b",)]),
    ("SELECT dateadd(month, 1, '2008-01-31'), datediff(month, '2008-01-31', '2008-02-01')", [(datetime(2008, 2, 29), 1)]),
    ("SELECT date_part(dow, timestamp '20220502 04:05:06.789'), extract(ms from time '18:25:33.123456')", [(1, 123)]),
    ("SELECT to_char(timestamp '2009-12-31 23:15:59', 'MONTH-DY-DD-YYYY HH12:MIPM')", [("DECEMBER -THU-31-2009 11:15PM",)]),
    ("SELECT to_date('20010631', 'YYYYMMDD', FALSE), to_timestamp('2011-12-18 24:38:15', 'YYYY-MM-DD HH24:MI:SS')", [(date(2001, 7, 1), datetime(2011, 12, 19, 0, 38, 15, tzinfo=UTC))]),
    ("SELECT nvl(NULL, 1), nvl2(NULL, 1, 2), decode(3, 1, 'a', 3, 'c', '?')", [(1, 2, "c")]),
    ("SELECT substring('caterpillar', -5, 4), charindex('fish', 'dogfish'), initcap('to be')", [("", 4, "To Be")]),
    ("SELECT is_valid_json('[1]'), is_valid_json_array('[1,]'), can_json_parse('[1]')", [(False, False, True)]),
    ("SELECT json_extract_path_text('{\"a\": {\"b\": 1}}', 'a', 'b'), json_extract_array_element_text('[1,2]', 1)", [("1", "2")]),
    ("SELECT 'a_c' LIKE 'a\\\\_c', 'ABC' ILIKE 'a%'", [(True, True)]),
    ("SELECT months_between('1969-01-18', '1969-03-18'), next_day('2014-08-20', 'Tuesday')", [(-2.0, date(2014, 8, 26))]),
    ("SELECT fnv_hash('abcd'), len('cat'::varbyte), text_to_int_alt('123-')", [(-281581062704388899, 3, -123)]),
]  # fmt: skip


@pytest.mark.parametrize(("query", "rows"), TABLE, ids=[q[:60] for q, _ in TABLE])
def test_a_query_gives_what_redshift_gives(
    lake: duckdb.DuckDBPyConnection, query: str, rows: list[tuple[Any, ...]]
) -> None:
    assert lake.execute(translate(query, "redshift", SCHEMA).sql).fetchall() == rows


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("SELECT qty / 2.5 FROM sales", "quotient of decimals"),
        ("SELECT r.nations[id] FROM regions, sales", "no column id"),
        ("SELECT x FROM sales s, s.qty x", "FROM un-nests arrays"),
        ("SELECT val FROM spectrum.customers c, UNPIVOT c.name AS val AT attr", "UNPIVOT takes a SUPER object"),
        ("SELECT getdate()", r"getdate\(\) is not given"),
        ("UNLOAD ('SELECT 1') TO 's3://b'", "Only queries|not read"),
    ],
)
def test_what_cannot_be_given_exactly_is_refused_by_name(query: str, told: str) -> None:
    with pytest.raises(Unsupported, match=told):
        translate(query, "redshift", SCHEMA)
