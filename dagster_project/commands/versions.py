"""`diff`, `restore`: versions of a note, compared and written out again."""

from __future__ import annotations

import sys

import click

from dagster_project.commands.opened import read_declared, served_at
from dagster_project.commands.options import as_instant, lake_option, tells_errors
from dagster_project.errors import UsageError
from dagster_project.settings import settings


@click.command(short_help="Show what changed between two versions of a note.")
@click.argument("note")
@click.argument("old", metavar="[V1]", type=int, required=False)
@click.argument("new", metavar="[V2]", type=int, required=False)
@lake_option
@tells_errors
def diff(note: str, old: int | None, new: int | None, lake_uri: str | None) -> None:
    """Show what changed in the file of NOTE from version V1 to version V2, as a unified diff.

    NOTE is its path (with or without SOURCE/), its title, or its note_id; V2 is the newest version if left out, V1 the
    one before it. notes.versions has them all, deleted notes' too.
    """
    from dagster_project import history

    with served_at(settings(lake_uri)) as con:
        found = history.find_note(con, note)
        newer = history.read_version(con, found, number=new)
        older = history.before(con, found, newer) if old is None else history.read_version(con, found, number=old)
    lines = list(history.diff_lines(older, newer))
    for line in lines:
        click.secho(line, nl=False, fg={"+": "green", "-": "red", "@": "cyan"}.get(line[0]))
    if not lines:
        click.echo(f"Versions {older.number} and {newer.number} have the same text.", err=True)


@click.command(short_help="Write a deleted or older note back out as the file it was.")
@click.argument("note")
@click.option("--version", "number", type=int, help="Number of the version; the newest if left out.")
@click.option(
    "--at", metavar="TIME", help="The version that stood at this time (ISO 8601; UTC unless it says another)."
)
@click.option("--to", metavar="FILE", help="Write it there; else to where it lay in its source.")
@click.option("--stdout", is_flag=True, help="Write it to standard output.")
@click.option("--force", is_flag=True, help="Replace what lies there.")
@lake_option
@tells_errors
def restore(
    note: str, *, number: int | None, at: str | None, to: str | None, stdout: bool, force: bool, lake_uri: str | None
) -> None:
    """Write NOTE back out as the file it was, byte for byte: one that was deleted, or an older version.

    NOTE is its path (with or without SOURCE/), its title, or its note_id. Nothing is overwritten without --force, and
    nothing is written out of the source's folder. The lake learns of it with the next run.

    \b
    notelake restore ideas/lake.md
    notelake restore "The lake" --version 2 --to before.md
    """
    from dagster_project import history

    if sum((number is not None, at is not None)) > 1 or (stdout and to is not None):
        raise UsageError("Give --version or --at, and --to or --stdout, not both.")
    with served_at(settings(lake_uri)) as con:
        version = history.read_version(con, history.find_note(con, note), number=number, at=as_instant(at))
    if not version.is_whole_file:
        click.echo(
            f"{version.path} lay in {version.file} with others; that file is written, with all it held.", err=True
        )
    if stdout:
        sys.stdout.buffer.write(version.content)
        return
    if to is not None:
        path = history.write_file(to, version.content, force=force)
    else:
        path = history.restore_in_source(version, read_declared(), force=force)
    click.echo(f"Version {version.number} of {version.path}, {len(version.content):,} bytes, is in {path}.", err=True)
