"""`quarantine`: what was refused, looked at and decided about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

import click

from dagster_project.commands.opened import read_declared, served_lake_at
from dagster_project.commands.options import OK, TROUBLE, lake_option, tells_errors
from dagster_project.settings import settings

if TYPE_CHECKING:
    from dagster_project.lake.lake import Lake


@click.group()
def quarantine() -> None:
    """Look at what was refused, and why, and decide about it."""


@quarantine.command("list")
@click.argument("source", required=False)
@click.option("--all", "everything", is_flag=True, help="Also what the source has since said anew.")
@click.option("--rule", help="Only what this rule refused.")
@click.option("--format", "form", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
@lake_option
@tells_errors
def quarantine_list(source: str | None, *, everything: bool, rule: str | None, form: str, lake_uri: str | None) -> None:
    """List refused units with rule, reason and place, of SOURCE or of all."""
    from dagster_project import terminal

    terminal.print_quarantine(served_lake_at(settings(lake_uri)), source, rule=rule, everything=everything, form=form)


@quarantine.command("show")
@click.argument("unit", metavar="KEY|UNIT")
@click.argument("source", required=False)
@lake_option
@tells_errors
def quarantine_show(unit: str, source: str | None, lake_uri: str | None) -> None:
    """Show all that is known of one refused unit: rule, reason, place, what was refused, and what became of it.

    KEY is its path, row key or event id; the beginning will do. With SOURCE only units of that source are looked at.
    """
    from dagster_project import terminal

    terminal.print_refused(served_lake_at(settings(lake_uri)), unit, source)


@quarantine.command("release")
@click.argument("source", required=False)
@click.argument("units", nargs=-1, metavar="[UNIT|KEY]...")
@click.option("--rule", help="Only what this rule refused.")
@lake_option
@tells_errors
def quarantine_release(source: str | None, units: tuple[str, ...], *, rule: str | None, lake_uri: str | None) -> None:
    """Look at refused units again, by the rules and declarations of today: of SOURCE or of all, all or those named.

    To be used once a rule, a declaration or a reader was mended. What is good now is committed, the rest stays in
    quarantine; what the source has since said anew is left alone. Twice is as good as once. The exit code is 3 if
    something is refused again.

    \b
    notelake quarantine release
    notelake quarantine release talks --rule mapping.created_at
    """
    from dagster_project.steps.refused import open_sources

    lake = served_lake_at(settings(lake_uri))
    let_through(lake, [source] if source else open_sources(lake), units, rule=rule)


def let_through(lake: Lake, sources: Sequence[str], units: Sequence[str], *, rule: str | None) -> NoReturn:
    """Look at refused units of `sources` again, tell what became of them, and exit: with 3 if one is refused again."""
    from dagster_project import terminal
    from dagster_project.pipeline import serve
    from dagster_project.steps.release import Released, release, source_of

    declared, done = read_declared(), Released()
    for name in sources:
        with terminal.progress() as observe:
            became = release(lake, source_of(lake, name, declared), rule=rule, units=units, observe=observe)
        serve(lake)
        terminal.print_released(name, became)
        done += became
    raise SystemExit(TROUBLE if done.refused or done.unread else OK)


@quarantine.command("discard")
@click.argument("source")
@click.argument("units", nargs=-1, metavar="[UNIT|KEY]...")
@click.option("--rule", help="Only what this rule refused.")
@click.option("--why", required=True, metavar="TEXT", help="The reason; it is kept with the row.")
@lake_option
@tells_errors
def quarantine_discard(
    source: str, units: tuple[str, ...], *, rule: str | None, why: str, lake_uri: str | None
) -> None:
    """Give up refused units of SOURCE: all that are open, or those of a rule, or those named.

    The rows stay in ops.quarantine with the instant and the reason, and what arrived stays in raw. The ledger counts
    the units as discarded, and a note that waited for them is stale no more.
    """
    from dagster_project import terminal
    from dagster_project.pipeline import serve
    from dagster_project.steps.quarantine import discard, standing

    lake = served_lake_at(settings(lake_uri))
    rows = discard(lake, source, why=why, rule=rule, units=units)
    serve(lake)
    click.echo(f"{source}: {rows:,} {'refusal' if rows == 1 else 'refusals'} discarded.")
    terminal.print_standing(standing(lake, source))
