"""`crawl`, `suggest`, `docs`: declarations and rules proposed from data, and what was judged as pages."""

from __future__ import annotations

from pathlib import Path

import click

from dagster_project.commands.opened import served_at
from dagster_project.commands.options import lake_option, tells_errors
from dagster_project.errors import UsageError
from dagster_project.settings import bundled, project_root, settings


@click.command(short_help="Find tables, and propose how to declare them.")
@click.argument("path", metavar="PATH_OR_URI")
@click.option("--out", metavar="FOLDER", help="Where to write what is proposed. Default: data/crawled.")
@click.option("--address-variable", metavar="NAME", help="Variable that holds the whole address of a database.")
@click.option(
    "--drift",
    type=click.Choice(["evolve", "freeze", "discard_row", "discard_value"]),
    default="evolve",
    show_default=True,
    help="What the declarations say of columns and values that come later and do not fit.",
)
@tells_errors
def crawl(path: str, *, out: str | None, address_variable: str | None, drift: str) -> None:
    """Find the tables at PATH_OR_URI, and propose a defs.yaml and a suite for each, for review.

    A table is a file, the files of a folder that have the same columns, folders named key=value as Hive writes them, a
    sheet, or a table of an SQLite file or of a database. Credentials of a database stand in the environment: of
    PATH_OR_URI, as postgresql://, only the scheme counts with --address-variable. Nothing is in force before you move a
    folder to dagster_project/defs/sources and rules of the suites into expectations/.
    """
    from dagster_project.crawl import crawl as look_through

    address = path if "://" in path else str(Path(path).expanduser().absolute())
    folder = Path(out) if out else project_root() / "data" / "crawled"
    for proposal in look_through(address, contract=drift, address_variable=address_variable):
        target = folder / proposal.source.name
        target.mkdir(parents=True, exist_ok=True)
        (target / "defs.yaml").write_text(proposal.declaration, "utf-8")
        if proposal.suite:
            (target / f"raw.{proposal.source.name}.json").write_text(proposal.suite, "utf-8")
        of = f"{proposal.files:,} files" if proposal.files else f"table {proposal.source.table}"
        click.echo(f"{proposal.source.name}: {len(proposal.columns)} columns, {of}, {target}")
        for told in proposal.notes:
            click.echo(f"  {told}")


@click.command(short_help="Propose expectations for a source.")
@click.argument("source")
@click.option(
    "--out",
    metavar="FILE",
    help="Where to write the suite; - is standard output. Default: a file below expectations/suggested.",
)
@click.option("--write", is_flag=True, help="Put it in force: add its rules to expectations/raw.SOURCE.json.")
@lake_option
@tells_errors
def suggest(source: str, *, out: str | None, write: bool, lake_uri: str | None) -> None:
    """Profile what SOURCE has brought, and propose the rules it has kept so far as a suite, for review.

    The suite is in great_expectations' own format, with the reason of each rule in its `meta`. Nothing is in force
    before you move it, or rules of it, into expectations/. For a table source --write does that: the next run reads
    it, and refuses rows that break its row rules by name. Rules that are there already stay as they are.
    """
    from dagster_project.suggest import as_text, put_in_force, reasons
    from dagster_project.suggest import suggest as propose

    if write and out:
        raise UsageError("--write says where the suite goes: give it or --out.")

    with served_at(settings(lake_uri)) as con:
        con.execute("SET TimeZone = 'UTC'")
        suite = propose(con, source)
    if write:
        file, added = put_in_force(suite, project_root() / "expectations")
        click.echo(f"{added} rules were added to {file}; the next run judges by them.", err=True)
        return
    text = as_text(suite)
    if out == "-":
        click.echo(text, nl=False)
        return
    file = Path(out) if out else project_root() / "expectations" / "suggested" / source / f"{suite['name']}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
    for rule, because in reasons(suite):
        click.echo(f"{rule}  ({because})")
    for each in suite["meta"]["suggested"]["nearly"]:
        click.echo(f"No rule: {each['given']:,} of {each['of']:,} have `{each['name']}`; {each['lacking']} has not.")
    click.echo(f"{len(suite['expectations'])} rules are in {file}, for review.", err=True)


@click.command(short_help="Write what was judged as pages that open without the internet.")
@click.option("--out", metavar="FOLDER", help="Where to write them. Default: data/docs.")
@lake_option
@tells_errors
def docs(out: str | None, lake_uri: str | None) -> None:
    """Write Data Docs: an index of sources, and pages of each source, batch and suite, as plain HTML.

    They tell rules, whether they held, what was observed, how many rows broke them and keys of some, and draw the
    figures of each batch. They hold no text of a note, and no address that leaves the folder.
    """
    from dagster_project.audit.suites import all_suites
    from dagster_project.data_docs.facts import read_facts
    from dagster_project.data_docs.site import write_site

    folder = Path(out).expanduser() if out else project_root() / "data" / "docs"
    with served_at(settings(lake_uri)) as con:
        con.execute("SET TimeZone = 'UTC'")
        facts = read_facts(con)
    written = write_site(facts, all_suites(bundled("expectations")), folder)
    click.echo(f"{written.pages:,} pages are written; open {written.index}.", err=True)
