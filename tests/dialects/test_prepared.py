"""PREPARE, EXECUTE … USING and DEALLOCATE, as Athena's documentation shows them."""

from __future__ import annotations

import pytest

from dagster_project.dialects.prepared import Deallocate, Execute, Prepare, filled, read_prepared
from dagster_project.errors import Unsupported

# https://docs.aws.amazon.com/athena/latest/ug/querying-with-prepared-statements.html
READ = (
    ("PREPARE my_select1 FROM\nSELECT * FROM nation", Prepare("my_select1", "SELECT * FROM nation")),
    (
        'PREPARE my_select2 FROM SELECT * FROM "my_database"."my_table" WHERE year = ?',
        Prepare("my_select2", 'SELECT * FROM "my_database"."my_table" WHERE year = ?'),
    ),
    (
        "PREPARE my_unload FROM UNLOAD (SELECT * FROM t WHERE a > ?) TO 's3://b/f/' WITH (format='PARQUET')",
        Prepare("my_unload", "UNLOAD (SELECT * FROM t WHERE a > ?) TO 's3://b/f/' WITH (format='PARQUET')"),
    ),
    ("EXECUTE my_select1;", Execute("my_select1", None, ())),
    ("EXECUTE my_select2 USING 2012", Execute("my_select2", None, ("2012",))),
    (
        "EXECUTE s USING 'a, b', DATE '2012-01-01', ARRAY[1, 2], NULL",
        Execute("s", None, ("'a, b'", "DATE '2012-01-01'", "ARRAY[1, 2]", "NULL")),
    ),
    ("EXECUTE IMMEDIATE 'SELECT ''x'', ?' USING 1", Execute(None, "SELECT 'x', ?", ("1",))),
    ("DEALLOCATE PREPARE my_select1", Deallocate("my_select1")),
    ("SELECT 1", None),
)


@pytest.mark.parametrize(("sql", "read"), READ, ids=[sql[:40] for sql, _ in READ])
def test_a_prepared_statement_is_read_as_it_is_documented(sql: str, read: object) -> None:
    assert read_prepared(sql) == read


REFUSED = (
    ("PREPARE p FROM INSERT INTO t VALUES (?)", "PREPARE of INSERT"),
    ("PREPARE p FROM SELECT FROM WHERE", "not read here"),
    ("PREPARE 1p FROM SELECT 1", "is not read here"),
    ("EXECUTE p USING name", "name is a name"),
    ("EXECUTE p USING 1,", "no value"),
    ("DEALLOCATE p", "DEALLOCATE PREPARE name"),
)


@pytest.mark.parametrize(("sql", "told"), REFUSED, ids=[sql for sql, _ in REFUSED])
def test_what_is_no_prepared_statement_is_refused(sql: str, told: str) -> None:
    with pytest.raises(Unsupported, match=told):
        read_prepared(sql)


def test_values_stand_for_parameters_and_for_nothing_else() -> None:
    statement = "SELECT '?', \"a?\" /* ? */ FROM t -- ?\nWHERE a = ? AND b BETWEEN -? AND ? LIMIT ?"
    assert filled(statement, ["'it''s'", "-1", "1 + 1", "10"]) == (
        "SELECT '?', \"a?\" /* ? */ FROM t -- ?\nWHERE a = 'it''s' AND b BETWEEN -(-1) AND (1 + 1) LIMIT 10"
    )


@pytest.mark.parametrize("values", [[], ["1"], ["1", "2", "3"]], ids=len)
def test_fewer_or_more_values_than_parameters_are_refused(values: list[str]) -> None:
    with pytest.raises(Unsupported, match="has 2 parameters"):
        filled("SELECT ?, ?", values)


def test_a_type_before_a_parameter_is_refused_as_trino_refuses_it() -> None:
    with pytest.raises(Unsupported, match="put DATE into the value"):
        filled("SELECT DATE ?", ["'2020-01-01'"])
