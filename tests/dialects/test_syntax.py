"""What Trino has beyond sqlglot's reading: JSON paths, JSON_TABLE, j.a.b, MATCH, UNIQUE, NEAREST, CASE WHEN IN, GROUP BY AUTO.

The answers are those of Trino's documentation, functions/json.html and sql/select.html.
"""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from dagster_project.dialects import Unsupported, translate

TWO = "(VALUES (1, 'a'), (2, 'b'))"
TREE = (
    """'{"id": 1, "notes": [{"type": 1, "comment": "foo"}, {"type": 2, "comment": null}], "comment": ["bar", "baz"]}'"""
)
NUMBERS = '\'[[0, 1, 2], ["a", "b", "c", "d"], [null, null]]\''
REGIONS = """'[{"c": 100, "r": "AFRICA"}, {"r": "ASIA"}, {"c": 300, "r": "AFRICA", "x": null}]'"""
EXPRESSIONS: list[tuple[str, Any]] = [
    # paths: sequences of items
    (f"json_query({TREE}, 'lax $..comment' WITH ARRAY WRAPPER)", '[["bar","baz"],"foo",null]'),
    (f"json_query({NUMBERS}, 'lax $[*][last]' WITH ARRAY WRAPPER)", '[2,"d",null]'),
    (f"json_query({NUMBERS}, 'lax $[*][2 to 3]' WITH ARRAY WRAPPER)", '[2,"c","d"]'),
    (f"json_query({NUMBERS}, 'strict $[*][2 to 3]' WITH ARRAY WRAPPER)", None),
    (f"json_query({NUMBERS}, 'lax $[*][1, 0, 0]' WITH ARRAY WRAPPER)", '[1,0,0,"b","a","a",null,null,null]'),
    (f"json_query({REGIONS}, 'lax $.c' WITH ARRAY WRAPPER)", "[100,300]"),
    (f"json_query({REGIONS}, 'strict $[*].c' WITH ARRAY WRAPPER)", None),
    (f"json_query({REGIONS}, 'lax $?(@.r != \"ASIA\").c' WITH ARRAY WRAPPER)", "[100,300]"),
    (f"json_query({REGIONS}, 'lax $?(!exists(@.c))' WITH ARRAY WRAPPER)", '[{"r":"ASIA"}]'),
    (f'json_query({REGIONS}, \'lax $?(@.c > $least && @.r starts with "AF").c\' PASSING 150 AS "least")', "300"),
    (f"json_query({NUMBERS}, 'lax $[*].size()' WITH ARRAY WRAPPER)", "[3,4,2]"),
    (
        "json_query('[1, \"a\", null, true]', 'lax $[*].type()' WITH ARRAY WRAPPER)",
        '["number","string","null","boolean"]',
    ),
    # what becomes of nothing, of several, of an error
    ("json_query('[1, 2]', 'lax $[*]')", None),
    ("json_query('[8]', 'lax $[*]')", "8"),
    ("json_query('{\"a\": \"x\"}', 'strict $.a')", '"x"'),
    ("json_query('{\"a\": \"x\"}', 'strict $.a' OMIT QUOTES)", "x"),
    ("json_query('[1]', 'lax $.a' WITH ARRAY WRAPPER EMPTY ARRAY ON EMPTY)", "[]"),
    ("json_value('[1, 2]', 'strict $[2]' DEFAULT 'err' ON ERROR)", "err"),
    ("json_value('[1, 2]', 'lax $[2]' DEFAULT 'missing' ON EMPTY)", "missing"),
    ("json_value('no json', 'lax $' DEFAULT 'err' ON ERROR)", "err"),
    ("json_value('[10]', 'lax $[0]' RETURNING tinyint)", 10),
    ("json_value('[1000]', 'lax $[0]' RETURNING tinyint)", None),
    ("json_value('{\"a\": \"nice\"}', 'lax $.a' RETURNING char(6))", "nice  "),
    ("json_exists('[2]', 'strict $[2]' UNKNOWN ON ERROR)", None),
    ("json_exists('[2]', 'strict $[2]')", False),
    # JSON's own dots and brackets
    ('(SELECT j.a.b FROM (VALUES JSON \'{"a": {"b": 42}}\') t(j))', "[42]"),
    ("(SELECT j.A FROM (VALUES JSON '{\"a\": 1}') t(j))", None),
    ('(SELECT j.rows[0].n.bigint() FROM (VALUES JSON \'{"rows": [{"n": 7}]}\') t(j))', 7),
    ("(SELECT j.p.decimal(4, 1) = DECIMAL '19.9' FROM (VALUES JSON '{\"p\": 19.9}') t(j))", True),
    # MATCH is never unknown; UNIQUE takes rows with NULL for different ones
    (f"ROW(1, 'a') MATCH {TWO}", True),
    (f"ROW(NULL, 'z') MATCH {TWO}", True),
    (f"ROW(NULL, 'a') MATCH PARTIAL {TWO}", True),
    (f"ROW(NULL, 'z') MATCH PARTIAL {TWO}", False),
    (f"ROW(NULL, 'a') MATCH FULL {TWO}", False),
    ("ROW(1, 'a') MATCH UNIQUE (VALUES (1, 'a'), (1, 'a'))", False),
    ("UNIQUE (VALUES (CAST(NULL AS integer), 'a'), (NULL, 'a'))", True),
    ("UNIQUE (VALUES 1, 1)", False),
    # CASE says the rest of a predicate
    ("CASE 15 WHEN BETWEEN 1 AND 10 THEN 1 WHEN > 12 THEN 2 ELSE 3 END", 2),
    ("CASE 'apple' WHEN NOT LIKE 'a%' THEN 1 WHEN IN ('apple', 'pear') THEN 2 END", 2),
    ("CASE CAST(NULL AS boolean) WHEN IS NOT TRUE THEN 1 ELSE 0 END", 1),
]


def run(sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as con:
        return con.execute(translate(sql, "athena").sql).fetchall()


@pytest.mark.parametrize(("sql", "expected"), EXPRESSIONS, ids=[sql[:60] for sql, _ in EXPRESSIONS])
def test_an_expression_gives_what_the_documentation_says(sql: str, expected: Any) -> None:
    assert run(f"SELECT {sql}") == [(expected,)]


QUOTES = (
    "WITH trades(s, t) AS (VALUES ('A', 2), ('A', 4), ('B', 1)), quotes(s, t, p) AS (VALUES ('A', 1, 10), ('A', 3, 11), (NULL, 1, 9)) "
    "SELECT trades.s, trades.t, p FROM trades {join} NEAREST (FROM quotes WHERE quotes.s = trades.s MATCH quotes.t {sign} trades.t) {on}"
)
CONTINENTS = """'[{"name": "Asia", "c": [{"n": "Japan"}, {"n": "Thailand"}]}, {"name": "Atlantis", "c": []}]'"""
TABLES: list[tuple[str, list[tuple[Any, ...]]]] = [
    (QUOTES.format(join="CROSS JOIN", sign="<=", on=""), [("A", 2, 10), ("A", 4, 11)]),
    (QUOTES.format(join="LEFT JOIN", sign=">", on="ON TRUE"), [("A", 2, 11), ("A", 4, None), ("B", 1, None)]),
    (
        f"SELECT * FROM JSON_TABLE({CONTINENTS}, 'lax $[*]' COLUMNS (i FOR ORDINALITY, name varchar, NESTED PATH 'lax $.c[*]' COLUMNS (n varchar)))",
        [(1, "Asia", "Japan"), (1, "Asia", "Thailand"), (2, "Atlantis", None)],
    ),
    (
        f'SELECT name, n FROM JSON_TABLE({CONTINENTS}, \'lax $[*]\' AS "a" COLUMNS (name varchar, NESTED PATH \'lax $.c[*]\' AS "b" COLUMNS (n varchar)) PLAN ("a" INNER "b"))',
        [("Asia", "Japan"), ("Asia", "Thailand")],
    ),
    (
        "SELECT * FROM JSON_TABLE('[1]', 'lax $' COLUMNS (NESTED PATH 'lax $[*]' COLUMNS (a integer PATH 'lax $'), NESTED PATH 'lax $[*]' COLUMNS (b integer PATH 'lax $')))",
        [(1, None), (None, 1)],
    ),
    ("SELECT a, sum(b) FROM (VALUES (1, 10), (1, 20)) t(a, b) GROUP BY AUTO", [(1, 30)]),
    ("SELECT sum(b) FROM (VALUES (1, 10), (1, 20)) t(a, b) GROUP BY AUTO", [(30,)]),
    (
        "SELECT a, sum(b) FROM (VALUES (1, 10), (1, 20)) t(a, b) GROUP BY DISTINCT a, GROUPING SETS ((), (t.a))",
        [(1, 30)],
    ),
    (
        "SELECT a, sum(b) FROM (VALUES (1, 10), (1, 20)) t(a, b) GROUP BY a, GROUPING SETS ((), (a))",
        [(1, 30), (1, 30)],
    ),
    ("VALUES CAST(ROW(1, 'a') AS row(double, varchar)), (2, 'b')", [(1.0, "a"), (2.0, "b")]),
    ("VALUES ROW(ROW(1, 2))", [({"field0": 1, "field1": 2},)]),
    ("SELECT * FROM ((SELECT 5) JOIN (VALUES 1) u ON true) t(a, b)", [(5, 1)]),
    ("SELECT count(*) FROM (VALUES 1, 2 UNION VALUES 2, 3) t(v)", [(3,)]),
    ("SELECT * FROM (VALUES 1, 2) t(x) LEFT JOIN (VALUES 1, 3) u(y) ON y IN (VALUES 3)", [(1, 3), (2, 3)]),
    ("SELECT * FROM (VALUES 1) t(x) FULL JOIN UNNEST(ARRAY[2, NULL]) ON TRUE", [(1, 2), (1, None)]),
]


@pytest.mark.parametrize(("sql", "expected"), TABLES, ids=[sql[:60] for sql, _ in TABLES])
def test_a_relation_gives_what_the_documentation_says(sql: str, expected: list[tuple[Any, ...]]) -> None:
    assert sorted(run(sql), key=repr) == sorted(expected, key=repr)


REFUSED = [
    ("SELECT json_value('1', 'lax $.floor()')", "JSON path"),
    ("SELECT json_query('[1]', 'lax $[0] + 1')", "JSON path"),
    ("SELECT j.a FROM (VALUES CAST('{\"a\": 1}' AS JSON)) t(j)", "json_parse"),
    ("SELECT * FROM (VALUES 1) t(x) RIGHT JOIN UNNEST(ARRAY[2]) u(y) ON x = y", "ON TRUE"),
]


@pytest.mark.parametrize(("sql", "word"), REFUSED, ids=[sql[:60] for sql, _ in REFUSED])
def test_what_would_be_a_guess_is_refused_by_name(sql: str, word: str) -> None:
    with pytest.raises(Unsupported, match=word):
        translate(sql, "athena")
