"""`sql`: ask the lake, in DuckDB's SQL or in that of another engine."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import click

from dagster_project.commands.opened import lake_at, now, view_file_at
from dagster_project.commands.options import lake_option, tells_errors
from dagster_project.errors import UsageError
from dagster_project.settings import Settings, bundled, settings

if TYPE_CHECKING:
    from dagster_project.dialects.held import AsOf, Scan
    from dagster_project.dialects.unload import Unload


@click.command("sql", short_help="Ask the lake in SQL, or open the DuckDB shell.")
@click.argument("query", required=False)
@click.option("--named", metavar="NAME", help="A query of sql/queries, by the name of its file.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "athena-csv", "json", "parquet"]),
    help="How the result is written; table by default, and with --output as the ending of its FILE says.",
)
@click.option("--output", metavar="FILE", help="Write the result there.")
@click.option("--max-scan", metavar="SIZE", help="Refuse a query that would scan more, e.g. 10MB, before it runs.")
@click.option(
    "--dialect",
    type=click.Choice(["duckdb", "athena", "redshift", "partiql"]),
    default="duckdb",
    show_default=True,
    help="Read the query as Athena, Redshift Spectrum or its PartiQL does, or refuse what would mean another thing.",
)
@click.option("--explain", is_flag=True, help="Show the DuckDB SQL that the query becomes, and do not run it.")
@lake_option
@tells_errors
def sql_command(
    query: str | None,
    named: str | None,
    form: str | None,
    output: str | None,
    max_scan: str | None,
    dialect: str,
    lake_uri: str | None,
    *,
    explain: bool,
) -> None:
    """Ask the lake in SQL: one QUERY, a file of SQL, a query on standard input (-), or the DuckDB shell.

    csv writes NULL as nothing and an empty text as ""; athena-csv quotes every value, as Athena does; json writes one
    object per line. Standard error tells rows, seconds, and the bytes the query scanned, as Athena counts them;
    ops.queries keeps them.

    \b
    notelake sql "SELECT source, count(*) FROM notes.notes GROUP BY 1"
    notelake sql --named due_tasks --format csv
    notelake sql "SELECT title FROM notes.notes" --max-scan 10MB --output titles.parquet
    notelake sql --dialect athena "SELECT element_at(tags, 1) FROM notes.notes" --explain
    notelake sql
    """
    from dagster_project import terminal

    asked_at, since = now(), perf_counter()
    where = settings(lake_uri)
    file = view_file_at(where)
    form = _form(form, output)
    if query is None and named is None and sys.stdin.isatty():
        _shell(file)
    text = _named(named, query) if named else sys.stdin.read() if query in {None, "-"} else _query_text(query or "")
    asked, unload = (text, None) if dialect == "duckdb" else _read_statement(text, dialect, file, keeps=not explain)
    sql = text if dialect == "duckdb" else "" if asked is None else _translated(asked, dialect, file, where)
    if explain:
        click.echo(sql)
        return
    from dagster_project.steps.ask import Question, bytes_of, keep_unrun, store_of

    question = Question(text, dialect, sql, asked_at, since)
    if asked is None:
        keep_unrun(file, question)
        return
    if unload and output:
        raise UsageError("UNLOAD says itself where its rows go. Leave --output out.")
    terminal.print_query(
        file,
        question,
        form,
        output=output,
        max_scan=bytes_of(max_scan) if max_scan else None,
        files=store_of(where),
        unload=unload,
    )


def _form(form: str | None, output: str | None) -> str:
    """Return how a result is written. Raises `UsageError` for a table in a file, and for Parquet without one."""
    endings = {".csv": "csv", ".parquet": "parquet", ".json": "json", ".jsonl": "json", ".ndjson": "json"}
    chosen = form or (endings.get(Path(output).suffix.lower(), "table") if output else "table")
    if output and chosen == "table":
        raise UsageError(f"How {output} is to be written is not said. Give --format athena-csv, csv, json or parquet.")
    if chosen == "parquet" and not output:
        raise UsageError("Parquet is not for the terminal. Give --output FILE.")
    return chosen


def _named(name: str, query: str | None) -> str:
    """Return the text of a query of `sql/queries`, named as its file is, with its number or without."""
    if query is not None:
        raise UsageError("Give a query or --named, not both.")
    files = {file.stem: file for file in sorted((bundled("sql") / "queries").glob("*.sql"))}
    found = files.get(name) or next((files[each] for each in files if each.lstrip("0123456789_") == name), None)
    if found is None:
        raise UsageError(f"No query is called {name}. There are: {', '.join(files) or 'none'}.")
    return found.read_text("utf-8")


def _query_text(query: str) -> str:
    if not query.endswith(".sql") or "\n" in query:
        return query
    if Path(query).is_file():
        return Path(query).read_text("utf-8")
    if re.fullmatch(r"\S+", query):
        raise UsageError(f"There is no file {query}. Check the path, or give the query itself.")
    return query


def _read_statement(text: str, dialect: str, file: Path, *, keeps: bool) -> tuple[str | None, Unload | None]:
    """Return the query of a statement, its values put in, and where its rows go if it is an UNLOAD.

    The query is None where nothing is to run: a statement was prepared or forgotten, unless `keeps` is false.
    """
    from dagster_project.dialects.unload import read_unload

    filled = _filled(text, file, keeps=keeps) if dialect == "athena" else text
    if filled is None:
        return None, None
    unload = read_unload(filled, dialect)
    for note in unload.notes if unload else ():
        click.echo(f"Note: {note}", err=True)
    return (unload.query, unload) if unload else (filled, None)


def _filled(text: str, file: Path, *, keeps: bool) -> str | None:
    """Return a statement of Athena as it is, or for EXECUTE the prepared one; None for PREPARE and DEALLOCATE."""
    from dagster_project.dialects.prepared import Deallocate, Prepare, filled, read_prepared
    from dagster_project.views import prepared

    found = read_prepared(text)
    if found is None:
        return text
    if isinstance(found, Prepare):
        if keeps:
            prepared.keep(file, found.name, found.statement)
            click.echo(f"Prepared {found.name}. Run it with EXECUTE {found.name} USING …", err=True)
        return None
    if isinstance(found, Deallocate):
        if keeps:
            prepared.forget(file, found.name)
            click.echo(f"Forgot {found.name}.", err=True)
        return None
    return filled(found.statement or prepared.statement(file, found.name or ""), found.values)


def _translated(query: str, dialect: str, file: Path, where: Settings) -> str:
    """Return a query of another dialect in DuckDB's SQL; what is to be known of it goes to standard error."""
    from dagster_project import terminal
    from dagster_project.dialects import translate
    from dagster_project.steps.ask import store_of

    holder = _Tables(file, where)
    translation = translate(query.strip().rstrip(";"), dialect, terminal.column_types(file, store_of(where)), holder)
    for note in translation.notes:
        click.echo(f"Note: {note}", err=True)
    return translation.sql


class _Tables:
    """Imports what reads tables as they were when a query asks for it."""

    def __init__(self, file: Path, where: Settings) -> None:
        self._file, self._where = file, where

    def scan(self, table: str, as_of: AsOf | None, file_columns: tuple[str, ...]) -> Scan | None:
        from dagster_project.steps.travel import Travel

        return Travel(self._file, lambda: lake_at(self._where)).scan(table, as_of, file_columns)


def _shell(file: Path) -> None:
    """Become the DuckDB shell, read-only, so that any number of them can be open."""
    beside = Path(sys.executable).with_name("duckdb")
    program = str(beside) if beside.is_file() else "duckdb"
    try:
        os.execvp(program, [program, "-readonly", str(file)])
    except FileNotFoundError as error:
        raise UsageError(
            f"There is no `duckdb` shell. Install duckdb-cli, or open {file} with one of your own."
        ) from error
