"""`events`: dead letters of streams, given a second time."""

from __future__ import annotations

import click

from dagster_project.commands.opened import served_lake_at
from dagster_project.commands.options import lake_option, tells_errors
from dagster_project.commands.quarantine import let_through
from dagster_project.errors import UsageError
from dagster_project.settings import settings


@click.group(short_help="Look after refused events: dead letters.")
def events() -> None:
    """Look after events that were refused: the dead letters of streams."""


@events.command("redrive")
@click.argument("source", required=False)
@click.argument("units", nargs=-1, metavar="[UNIT|EVENT-ID]...")
@click.option("--rule", help="Only what this rule refused.")
@lake_option
@tells_errors
def redrive(source: str | None, units: tuple[str, ...], *, rule: str | None, lake_uri: str | None) -> None:
    """Give dead letters a second time: events refused in SOURCE, a stream, or in all; all, or those named.

    A dead letter keeps the bytes it came with (in raw), its reason, and its place: UNIT is stream/shard/position. To
    be used once the mapping, a rule or notelake was mended; who sent the events need do nothing. What is an event now
    comes in once, as the arrival it was, also if it is given again or a consumer is at work; an id that has come in
    meanwhile is left alone. It is `notelake quarantine release` for streams. The exit code is 3 if something is
    refused again.

    \b
    notelake quarantine list live
    notelake events redrive live --rule type
    """
    from dagster_project.steps.refused import kind_of, landed, open_sources

    lake = served_lake_at(settings(lake_uri))
    pins = lake.pins()
    if source is not None and kind_of(landed(pins, source)) != "stream":
        raise UsageError(f"{source} is no stream: `notelake quarantine release {source}` is for what it had refused.")
    streams = [name for name in open_sources(lake) if kind_of(landed(pins, name)) == "stream"]
    let_through(lake, [source] if source else streams, units, rule=rule)
