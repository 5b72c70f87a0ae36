"""`bookmark`: how far sources have come, paused, resumed, rewound."""

from __future__ import annotations

import click

from dagster_project.commands.opened import lake_at, read_declared
from dagster_project.commands.options import lake_option, tells_errors
from dagster_project.settings import settings


@click.group()
def bookmark() -> None:
    """See how far sources have come, and pause them."""


@bookmark.command("show")
@click.argument("source", required=False)
@lake_option
@tells_errors
def bookmark_show(source: str | None, lake_uri: str | None) -> None:
    """Tell the last arrival of SOURCE, or of each, the last that has become notes, and whether it is paused."""
    from dagster_project.steps.bookmarks import bookmarks

    for mark in bookmarks(lake_at(settings(lake_uri)), source):
        paused = f", paused since {mark.paused_since}" if mark.paused_since else ""
        click.echo(f"{mark.source}: {mark.landed:,} arrivals landed, committed up to {mark.committed:,}{paused}")


@bookmark.command("pause")
@click.argument("source")
@lake_option
@tells_errors
def bookmark_pause(source: str, lake_uri: str | None) -> None:
    """Let runs skip SOURCE until it is resumed; what it has brought stays and is served."""
    from dagster_project.steps.bookmarks import pause

    pause(lake_at(settings(lake_uri)), source)
    click.echo(f"{source} is paused: runs skip it, and say so.")


@bookmark.command("resume")
@click.argument("source")
@lake_option
@tells_errors
def bookmark_resume(source: str, lake_uri: str | None) -> None:
    """Let runs take SOURCE up again where it stopped."""
    from dagster_project.steps.bookmarks import resume

    resume(lake_at(settings(lake_uri)), source)
    click.echo(f"{source} is taken up again by the next run.")


@bookmark.command("states")
@click.argument("source")
@lake_option
@tells_errors
def bookmark_states(source: str, lake_uri: str | None) -> None:
    """List the states of SOURCE that are kept, newest first: when, up to which arrival, snapshot, what made it."""
    from dagster_project import terminal
    from dagster_project.rewind import states

    terminal.print_states(states(lake_at(settings(lake_uri)), source))


@bookmark.command("rewind")
@click.argument("source")
@click.option(
    "--to",
    metavar="SNAPSHOT|TIME",
    help="A snapshot that SOURCE made, or a time (ISO 8601; UTC unless it says another).",
)
@click.option("--dry-run", is_flag=True, help="Tell what would change, and change nothing.")
@lake_option
@tells_errors
def bookmark_rewind(source: str, *, to: str | None, dry_run: bool, lake_uri: str | None) -> None:
    """Put the notes of SOURCE back to what they were, or make all of them again from what has landed.

    With --to the rows of SOURCE in all tables, and how far it has come, go back together to what had been committed by
    then; the next run goes on from there, and makes the same rows again. A state that is kept (`notelake bookmark
    states`) is put back as it was; one that is older is made from raw as of today's readers and rules.

    Without --to every row is made again from raw, and all are put in place at once: what to do after a new version, a
    new mapping or a new rule.

    What has landed stays and lands no second time. Other sources are not touched. A paused SOURCE stays paused.

    \b
    notelake bookmark rewind my_vault
    notelake bookmark rewind my_vault --to 2026-05-14T12:00 --dry-run
    """
    from dagster_project import terminal
    from dagster_project.pipeline import serve
    from dagster_project.rewind import rewind, would_rewind

    lake = lake_at(settings(lake_uri))
    declared = next((each for each in read_declared() if each.name == source), None)
    if dry_run:
        terminal.print_rewound(would_rewind(lake, source, declared, to=to), dry_run=True)
        return
    with terminal.progress() as observe:
        done = rewind(lake, source, declared, to=to, observe=observe)
        observe(source, "serve")
        serve(lake)
    terminal.print_rewound(done, dry_run=False)
