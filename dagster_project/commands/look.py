"""`status`, `ledger`, `doctor`, `relocate`: how the lake does, and what became of each input."""

from __future__ import annotations

import click

from dagster_project.commands.opened import lake_at, new_id, now, read_declared, view_file_at
from dagster_project.commands.options import FAILED, OK, TROUBLE, lake_option, tells_errors
from dagster_project.settings import settings


@click.command(short_help="Show what the lake holds and what is served.")
@lake_option
@tells_errors
def status(lake_uri: str | None) -> None:
    """Show the lake: its sources with what they hold, its tables, what is served, and how far streams are behind.

    `waiting` is what the shards of a declared stream hold beyond what was read: bytes of a log, events of another.
    """
    from dagster_project import terminal
    from dagster_project.live import print_lags
    from dagster_project.sources import StreamSource
    from dagster_project.steps.lag import lag_of

    where = settings(lake_uri)
    file = view_file_at(where)  # before the lake is opened: what is not there yet is no failure of the lake
    lake = lake_at(where)
    terminal.print_status(lake, file)
    landed = lake.catalog.locations()
    streams = (source for source in read_declared() if isinstance(source, StreamSource))
    print_lags([lag_of(lake, source) for source in streams if f"raw.{source.name}" in landed])


@click.command(short_help="Show what became of each input.")
@click.argument("source", required=False)
@click.option("--bad", is_flag=True, help="Only what came through in part or not at all.")
@click.option("--all", "everything", is_flag=True, help="Also what was told of an input before it was looked at last.")
@click.option("--format", "form", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
@lake_option
@tells_errors
def ledger(source: str | None, *, bad: bool, everything: bool, form: str, lake_uri: str | None) -> None:
    """Show what became of each input of SOURCE or of all when it was last looked at: one line each.

    A line begins with the place, FILE:LINE, as editors open it, and tells the status, how many constructs were not
    understood, the error, and what read the file. The exit code is 3 if one of them is partial, quarantined or failed.

    \b
    notelake ledger --bad
    notelake ledger my_vault --format json
    """
    from dagster_project import terminal

    wanted = terminal.LedgerWanted(source, only_bad=bad, every_row=everything, form=form)
    found = terminal.print_ledger(view_file_at(settings(lake_uri)), wanted, read_declared())
    raise SystemExit(TROUBLE if found else OK)


@click.command(short_help="Examine the set-up and the lake.")
@lake_option
@tells_errors
def doctor(lake_uri: str | None) -> None:
    """Examine the set-up and the lake, and say what is wrong and how to mend it."""
    from dagster_project import terminal
    from dagster_project.doctor import examine

    findings = examine(settings(lake_uri), read_declared())
    terminal.print_findings(findings)
    raise SystemExit(FAILED if any(finding.state == "fail" for finding in findings) else OK)


@click.command(short_help="Mend a lake whose folder was moved or copied.")
@lake_option
@tells_errors
def relocate(lake_uri: str | None) -> None:
    """Mend a lake whose folder was moved or copied: Iceberg's paths are absolute."""
    from dagster_project.lake.relocate import relocate as mend
    from dagster_project.pipeline import serve

    where = settings(lake_uri)
    moved = mend(where, clock=now, ids=new_id)
    serve(lake_at(where))
    if not moved.tables:
        click.echo(f"Nothing was to be mended: the tables say already that they lie in {where.lake}.")
        return
    click.echo(f"{moved.tables} tables now say that they lie in {where.lake}; lake.duckdb was built anew.")
