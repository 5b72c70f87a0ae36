"""The macros of Athena's and Redshift's functions: each gives what its examples say where their schema is chosen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from dagster_project.errors import ViewInvalid
from dagster_project.views.sql_files import Macro, read_macros

ROOT = Path(__file__).parents[2]
MACROS = [macro for macro in read_macros(ROOT / "sql" / "macros") if macro.schema in {"athena", "redshift"}]
SHARED = [macro for macro in read_macros(ROOT / "sql" / "macros") if macro.schema == "main"]


@pytest.fixture(scope="module")
def shell() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as con:
        con.execute("CREATE SCHEMA athena; CREATE SCHEMA redshift")
        for macro in MACROS:
            taken = ", ".join(p.name if p.default is None else f"{p.name} := {p.default}" for p in macro.parameters)
            con.execute(f"CREATE MACRO {macro.identifier}({taken}) AS {macro.sql}")
        yield con


@pytest.mark.parametrize("macro", MACROS, ids=lambda macro: macro.identifier)
def test_a_macro_gives_what_its_examples_say(shell: duckdb.DuckDBPyConnection, macro: Macro) -> None:
    shell.execute(f"SET search_path = '{macro.schema}'")
    assert macro.examples
    for call, result in macro.examples:
        row = shell.execute(f"SELECT ({call}) IS NOT DISTINCT FROM ({result}), {call}").fetchone()
        assert row is not None and row[0], (call, row)


def test_functions_that_views_share_with_athena_shadow_none_of_duckdb() -> None:
    with duckdb.connect() as con:
        for macro in SHARED:
            known = con.execute("SELECT count(*) FROM duckdb_functions() WHERE function_name = ?", [macro.name])
            assert known.fetchone() == (0,)
            taken = ", ".join(parameter.name for parameter in macro.parameters)
            con.execute(f"CREATE MACRO {macro.name}({taken}) AS {macro.sql}")
            for call, result in macro.examples:
                assert con.execute(f"SELECT ({call}) IS NOT DISTINCT FROM ({result})").fetchone() == (True,), call


def test_no_macro_holds_a_lambda_or_stands_in_main(shell: duckdb.DuckDBPyConnection) -> None:
    """DuckDB 1.0 and 2.0 write lambdas in different words, and a file with either does not open in the other."""
    written = shell.execute(
        "SELECT schema_name, macro_definition FROM duckdb_functions() WHERE NOT internal"
    ).fetchall()
    assert len(written) == len(MACROS)
    assert [definition for _, definition in written if "lambda" in definition or "->" in definition] == []
    assert {schema for schema, _ in written} == {"athena", "redshift"}


def test_a_file_may_hold_a_family_of_macros(tmp_path: Path) -> None:
    (tmp_path / "fruit").mkdir()
    (tmp_path / "fruit" / "family.sql").write_text(
        "-- Macros: fruit.\n--\n-- More.\n\n-- Macro one\n-- Gives: one\n-- Example: one() = 1\n1\n\n"
        "-- Macro plus\n-- Gives: one more\n-- Takes x: A number\n-- Takes y [1]: What is added\n"
        "-- Example: plus(1) = 2\nx + y\n"
    )
    one, plus = read_macros(tmp_path)
    assert (one.identifier, one.sql, one.examples) == ("fruit.one", "1", (("one()", "1"),))
    assert (plus.call, plus.told, plus.sql) == ("fruit.plus(x, y := 1)", "one more", "x + y")


def test_a_macro_of_a_family_without_a_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "fruit").mkdir()
    (tmp_path / "fruit" / "family.sql").write_text("-- Macros: fruit.\n\n-- Macro No Name\n-- Gives: one\n1\n")
    with pytest.raises(ViewInvalid, match="is no `-- Macro name`"):
        read_macros(tmp_path)
