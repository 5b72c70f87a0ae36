"""The lake in other hands: Spark on the tables, DuckDB 2.0 on the view file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from dagster_project.settings import Settings
from dagster_project.views.sql_files import read_macros

from .conftest import opened
from .daemons import SERVERS

pytestmark = [pytest.mark.servers, pytest.mark.timeout(400)]  # the first test of a session also starts the servers


SPARK = """
import json, sys
from pyspark.sql import SparkSession
jars, catalog, lake, tables = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4].split(",")
settings = {
    "spark.jars": jars,
    "spark.driver.memory": "1g",
    "spark.ui.enabled": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.catalog.notelake": "org.apache.iceberg.spark.SparkCatalog",
    "spark.sql.catalog.notelake.type": "jdbc",
    "spark.sql.catalog.notelake.uri": f"jdbc:sqlite:{catalog}",
    "spark.sql.catalog.notelake.warehouse": lake,
    "spark.sql.catalog.notelake.jdbc.schema-version": "V1",
}
builder = SparkSession.builder.master("local[2]")
for name, value in settings.items():
    builder = builder.config(name, value)
spark = builder.getOrCreate()
counts = {table: spark.table(f"notelake.{table}").count() for table in tables}
titles = [row.title for row in spark.sql("SELECT title FROM notelake.notes.notes ORDER BY note_id").collect()]
days = [str(row.d) for row in spark.sql("SELECT to_date(min(occurred_at)) AS d FROM notelake.notes.events").collect()]
print("TOLD " + json.dumps({"counts": counts, "titles": titles, "days": days}))
"""


def test_spark_reads_every_table_from_the_lakes_own_catalog_as_duckdb_does(
    on_local_disk: Settings, tmp_path: Path
) -> None:
    python, jars = SERVERS / "venv" / "bin" / "python", sorted((SERVERS / "jars").glob("*.jar"))
    if not shutil.which("java") or not python.is_file() or len(jars) < 2:
        pytest.skip("Spark takes Java, pyspark and two jars: run tests/servers/install.sh")
    pins = opened(on_local_disk).pins()
    script = tmp_path / "ask.py"
    script.write_text(SPARK)
    catalog = Path(on_local_disk.lake) / "catalog.db"
    arguments = [",".join(map(str, jars)), str(catalog), on_local_disk.lake, ",".join(pins)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYTHON"))}
    done = subprocess.run(
        [str(python), str(script), *arguments],
        capture_output=True,
        text=True,
        env={**environment, "PYSPARK_PYTHON": str(python)},
        cwd=tmp_path,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.split("TOLD ", 1)[1])
    assert told["counts"] == {name: pin.rows for name, pin in pins.items()}
    with duckdb.connect(str(on_local_disk.view_file), read_only=True) as con:
        titles = [row[0] for row in con.execute("SELECT title FROM notes.notes ORDER BY note_id").fetchall()]
        day = con.execute("SELECT min(occurred_at)::TIMESTAMP::DATE::VARCHAR FROM notes.events").fetchall()[0][0]
    assert (told["titles"], told["days"]) == (titles, [day])


COUNT = """
import duckdb, json, sys
con = duckdb.connect(sys.argv[1], read_only=True)
con.execute("SET TimeZone = 'UTC'")
names = "SELECT schema_name || '.' || view_name FROM duckdb_views() WHERE NOT internal ORDER BY 1"
views = con.execute(names).fetchall()
told = {name: con.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0] for (name,) in views}
# DuckDB 2 quotes bytes within a struct otherwise, which is no difference of the rows.
text = "translate(v::VARCHAR, chr(39) || chr(92), '')"
rows = {name: sorted(map(str, con.execute(f"SELECT {text} FROM {name} AS v").fetchall())) for (name,) in views}
print(json.dumps({"version": duckdb.__version__, "counts": told, "rows": rows}))
"""


def test_duckdb_2_shows_in_every_view_the_same_rows(on_local_disk: Settings) -> None:
    named = os.environ.get("NOTELAKE_DUCKDB2_PYTHON")
    python = Path(named) if named else SERVERS / "duckdb2" / "bin" / "python"
    if not python.is_file():
        pytest.skip("there is no environment with DuckDB 2.0: run tests/servers/install.sh")
    ours, theirs = (_told(interpreter, on_local_disk.view_file) for interpreter in (Path(sys.executable), python))
    assert ours["version"].startswith("1.5.")
    assert theirs["version"].startswith("2.")
    assert theirs["counts"] == ours["counts"]
    assert {name for name in ours["rows"] if ours["rows"][name] != theirs["rows"][name]} == set()
    assert len(ours["counts"]) > 15


def _told(interpreter: Path, view_file: Path) -> dict[str, dict[str, object]]:
    done = subprocess.run(
        [str(interpreter), "-c", COUNT, str(view_file)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told: dict[str, dict[str, object]] = json.loads(done.stdout)
    return told


MACROS = """
import duckdb, json, sys
con = duckdb.connect()
con.execute("SET TimeZone = 'UTC'; CREATE SCHEMA athena; CREATE SCHEMA redshift")
macros, bad = json.loads(sys.argv[1]), []
for macro in macros:
    con.execute(macro["create"])
for macro in macros:
    con.execute(f"SET search_path = '{macro['schema']}'")
    for call, result in macro["examples"]:
        if con.execute(f"SELECT ({call}) IS NOT DISTINCT FROM ({result})").fetchone() != (True,):
            bad.append(call)
print(json.dumps({"bad": bad, "macros": len(macros)}))
"""


def test_the_macros_give_what_their_examples_say_in_duckdb_2() -> None:
    python = SERVERS / "duckdb2" / "bin" / "python"
    if not python.is_file():
        pytest.skip("there is no environment with DuckDB 2.0: run tests/servers/install.sh")
    macros = [
        {
            "schema": macro.schema,
            "create": f"CREATE MACRO {macro.identifier}("
            + ", ".join(p.name if p.default is None else f"{p.name} := {p.default}" for p in macro.parameters)
            + f") AS {macro.sql}",
            "examples": macro.examples,
        }
        for macro in read_macros(Path(__file__).parents[2] / "sql" / "macros")
        if macro.examples
    ]
    done = subprocess.run(
        [str(python), "-c", MACROS, json.dumps(macros)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout) == {"bad": [], "macros": len(macros)}
    assert len(macros) > 80
