"""`run`, `ingest`, `plan`: bring sources into the lake, or show what that would do."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dagster_project.commands.opened import lake_at, read_chosen, read_declared
from dagster_project.commands.options import FAILED, OK, TROUBLE, gone_option, lake_option, reread_option, tells_errors
from dagster_project.errors import UsageError
from dagster_project.settings import Settings, settings

if TYPE_CHECKING:
    from dagster_project.sources import Source


@click.command("run", short_help="Bring the declared sources into the lake.")
@click.argument("names", metavar="[SOURCE]...", nargs=-1)
@click.option("--answers", is_flag=True, help="Then count every view and answer the questions in sql/queries.")
@lake_option
@gone_option
@reread_option
@tells_errors
def run_command(names: tuple[str, ...], *, answers: bool, lake_uri: str | None, allow_gone: bool, reread: bool) -> None:
    """Bring the declared sources into the lake: all of them, or those named."""
    _run(read_chosen(names), settings(lake_uri), allow_gone=allow_gone, reread=reread, answers=answers)


@click.command(short_help="Bring any folder or file into the lake, undeclared.")
@click.argument("path", metavar="PATH_OR_URI")
@click.option("--kind", type=click.Choice(["documents", "table", "stream"]), help="What it is; guessed if left out.")
@click.option("--name", help="Name of the source; made from the path if left out.")
@lake_option
@gone_option
@reread_option
@tells_errors
def ingest(
    path: str, *, kind: str | None, name: str | None, lake_uri: str | None, allow_gone: bool, reread: bool
) -> None:
    """Bring any folder or file into the lake without declaring it: the quickest way to try.

    The same path under the same NAME again brings in what has changed since.
    """
    from dagster_project.guess import guess_source

    source = guess_source(path, kind=kind, name=name)
    click.echo(f"{path} is read as {source.kind}, source {source.name!r}.", err=True)
    _run([source], settings(lake_uri), allow_gone=allow_gone, reread=reread, answers=False)


@click.command("plan", short_help="Show what a run would do, and do nothing.")
@click.argument("names", metavar="[SOURCE|PATH]...", nargs=-1)
@click.option("--name", help="Name of the source, for one PATH; made from the path if left out.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@lake_option
@reread_option
@tells_errors
def plan_command(names: tuple[str, ...], *, name: str | None, form: str, lake_uri: str | None, reread: bool) -> None:
    """Show what a run over the declared sources, those named, or any folder or file would do; nothing is written.

    Per source: files that are new, changed, moved, moved and edited at once, gone, or would not come through whole;
    keys of front matter whose type would change; links that lead somewhere now and would lead nowhere. json writes
    one object per source.

    The exit code is 3 if something would not come through whole or would be refused, and 1 if no source can be
    looked at.

    \b
    notelake plan
    notelake plan my_vault --format json
    notelake plan ~/Notes --lake /tmp/mylake
    """
    from dagster_project import terminal
    from dagster_project.steps.plan import plans

    where = settings(lake_uri)
    sources = _planned(names, name)
    lake = lake_at(where) if where.is_remote or Path(where.lake).is_dir() else None
    planned = plans(lake, where, sources, reread=reread)
    terminal.print_plans(planned, form)
    if all(each.error for each in planned):
        raise SystemExit(FAILED)
    raise SystemExit(TROUBLE if any(each.has_trouble for each in planned) else OK)


def _planned(names: Sequence[str], name: str | None) -> list[Source]:
    """Return the sources of these names, or of paths that are no names."""
    from dagster_project.guess import guess_source

    declared = {source.name for source in read_declared()}
    paths = [given for given in names if given not in declared and (os.sep in given or os.path.exists(given))]
    if name is not None and (len(names), len(paths)) != (1, 1):
        raise UsageError("--name gives the name of one PATH. Give one path with it, or leave it out.")
    if not paths:
        return read_chosen(names)
    chosen = {
        source.name: source for source in (read_chosen(sorted({*names} & declared)) if {*names} & declared else ())
    }
    return [chosen[each] if each in chosen else guess_source(each, kind=None, name=name) for each in names]


def _run(sources: Sequence[Source], where: Settings, *, allow_gone: bool, reread: bool, answers: bool) -> None:
    from dagster_project import terminal
    from dagster_project.pipeline import run

    lake = lake_at(where, create=True)
    with terminal.progress() as observe:
        done = run(lake, sources, observe=observe, allow_gone=allow_gone, reread=reread)
    terminal.print_run(done, where, answers=answers)
    failed = [report for report in done.reports if report.error]
    if len(failed) == len(done.reports):
        raise SystemExit(FAILED)
    raise SystemExit(TROUBLE if done.has_trouble else OK)
