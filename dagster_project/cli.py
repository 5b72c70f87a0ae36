"""The `notelake` command: what there is to type, put together from `commands`.

What belongs here: the list of commands. What does not: what one takes and says (`commands/`), what it does (`pipeline`,
`steps`, `lake`) and how it looks (`terminal.py`). Heavy imports stand in the commands that need them, so that `--help`
is quick.

Exit codes: 0 done, 1 failed, 2 wrong use, 3 done but something was quarantined, partial or failed.
"""

from __future__ import annotations

import click

from dagster_project.commands.ask import sql_command
from dagster_project.commands.bookmark import bookmark
from dagster_project.commands.bring import ingest, plan_command, run_command
from dagster_project.commands.events import events
from dagster_project.commands.look import doctor, ledger, relocate, status
from dagster_project.commands.propose import crawl, docs, suggest
from dagster_project.commands.quarantine import quarantine
from dagster_project.commands.streams import collect, emit, replay, stream
from dagster_project.commands.versions import diff, restore


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="notelake", prog_name="notelake")
def main() -> None:
    """Notes from Markdown vaults, tables and event streams in one Iceberg lake, audited, in SQL.

    \b
    Exit codes: 0 done, 1 failed, 2 wrong use,
                3 done, but something was quarantined, came through only in part, or failed.
    """


for command in (
    run_command,
    ingest,
    plan_command,
    stream,
    emit,
    collect,
    replay,
    events,
    sql_command,
    status,
    ledger,
    doctor,
    relocate,
    diff,
    restore,
    crawl,
    suggest,
    docs,
    bookmark,
    quarantine,
):
    main.add_command(command)


if __name__ == "__main__":
    main()
