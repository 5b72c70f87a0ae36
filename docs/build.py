"""Write docs/reference from the code: contracts, views, suites, sources, commands, errors, settings.

`python docs/build.py` writes the pages; with `--check` it writes nothing and fails if one is not up to date.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import click
import dialect_pages  # beside this file

from dagster_project import cli, errors, settings
from dagster_project.audit.suites import suites_markdown
from dagster_project.contracts import SHARED, Column, Kind, Table, raw_table
from dagster_project.failpoints import FAILPOINTS, REWIND_FAILPOINTS
from dagster_project.sources import KINDS, EventMapping, NoteMapping
from dagster_project.views import queries_log
from dagster_project.views.metadata_views import STORED
from dagster_project.views.scans import sql_type
from dagster_project.views.sql_files import Macro, read_macros, read_views
from dagster_project.views.svv import SYSTEM_VIEWS

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"
RAW: dict[str, Kind] = {"document source": "documents", "table source": "table", "stream source": "stream"}
HEAD = "<!-- Made by `make docs` from the code. Change it there. -->\n\n"


def tables() -> str:
    """Return the page of all tables of the lake."""
    raws = [raw_table(f"<{name}>", kind) for name, kind in RAW.items()]
    parts = ["# Tables\n\nEvery table is Iceberg v2 with `notelake.format` 1. Field ids never change.\n"]
    return "\n".join([*parts, *(_table(table) for table in (*raws, *SHARED))])


def _table(table: Table) -> str:
    partition = _names(p.column if p.transform == "identity" else f"{p.transform}({p.column})" for p in table.partition)
    lines = [
        f"## {_title(table)}\n\nA row is {_prose(table.row)}.\n",
        f"Key: {_names(table.key)}. Partitioned by: {partition or 'nothing'}. Sorted by: {_names(table.sort)}.\n",
        "| id | column | type | meaning |\n|---|---|---|---|",
        *(_column(column) for column in table.columns),
        "",
    ]
    return "\n".join(lines)


def _title(table: Table) -> str:
    """Return the heading; a placeholder such as <table source> stands in code, or Markdown takes it for HTML."""
    return f"`{table.identifier}`" if "<" in table.identifier else table.identifier


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _column(column: Column) -> str:
    within = ", ".join(map(str, column.nested))
    ids = f"{column.field_id}, element {within}" if within else f"{column.field_id}"
    return f"| {ids} | `{column.name}` | {sql_type(column.type)} | {_cell(column.doc)} |"


def _cell(text: str) -> str:
    return _prose(" ".join(text.split())).replace("|", "\\|")


def _prose(text: str) -> str:
    """Put words such as raw.<source> into code: Markdown takes what stands in angle brackets for HTML and drops it."""
    return re.sub(
        r"`[^`]*`|\b[\w.:]*<[a-z ]+>", lambda found: found[0] if found[0].startswith("`") else f"`{found[0]}`", text
    )


VIEWS_HEAD = """# Views

One file each, `sql/views/<schema>/<view>.sql`; they stand in `lake.duckdb` by the same name. Made without a file:
`tables.<source>`, the rows of a table source as they are now, its child tables, and `notes.contents`, the bytes of
every file of every document source as they arrived. Macros are at the end.

## Child tables

A table source with `child_tables` has `tables.<source>__<column>` for each list and map it names, a row per element; it
stores nothing. Fields of structs follow behind `__`, and so do lists within elements: `orders.items.taxes` is
`tables.<source>__orders__items__taxes`.

| column | meaning |
|---|---|
| fields of a struct, else `value`; of a map `key` and `value` | What is in the element |
| `_ordinal` | Its place in the list, from 1, so that `column[_ordinal]` is the element |
| `_parent_ordinals` | Where lists are within lists: the places of the elements it is within, the outermost first |
| `_parent_<column>` | The key of the row it is in, where the source names one |
| `valid_from`, `valid_to`, `is_current` | Those of the row, in mode history |
| `_file`, `_row`, `_row_hash` | Where the row stands, as in `tables.<source>`, and its hash, as in `raw.<source>` |

A name that an element's own field has gets a `_` before it. An empty list has no rows, a null in a list has one.
"""


def views() -> str:
    """Return the page of all views and macros, from the headers of their files."""
    pages = [VIEWS_HEAD]
    for view in sorted(read_views(ROOT / "sql" / "views"), key=lambda view: view.identifier):
        pages.append(
            f"## {view.identifier}\n\nA row is {_prose(view.row)}.\n\nReads: {_names(view.depends_on) or 'nothing'}.\n"
        )
        pages.append("| column | meaning |\n|---|---|")
        pages.extend(f"| `{name}` | {_cell(doc)} |" for name, doc in view.columns.items())
        pages.append("")
    pages.append(METADATA_HEAD)
    pages.extend(_stored(name, row, columns) for name, (row, columns) in STORED.items())
    pages.append(_stored(queries_log.VIEW, queries_log.ROW, queries_log.COLUMNS))
    pages.extend(_stored(view.name, view.row, dict(_without_types(view.columns))) for view in SYSTEM_VIEWS)
    pages.extend(_macro(macro) for macro in read_macros(ROOT / "sql" / "macros"))
    return "\n".join(pages)


METADATA_HEAD = """## Metadata tables

Every table of the lake has Athena's metadata tables beside it: `notes."notes$snapshots"`, `"notes$history"`,
`"notes$refs"`, `"notes$manifests"`, `"notes$files"` and `"notes$partitions"`, as they were when `lake.duckdb` was made.
They show the rows of the tables below for their table; `$partitions` sums up its files: `partition` with the values,
`record_count`, `file_count`, `total_size`, and `data` with `min`, `max`, `null_count` and `nan_count` of each column.
"""


def _without_types(columns: Mapping[str, str]) -> Iterator[tuple[str, tuple[str, str]]]:
    yield from ((name, ("", doc)) for name, doc in columns.items())


def _stored(name: str, row: str, columns: Mapping[str, tuple[str, str]]) -> str:
    told = "\n".join(f"| `{column}` | {type_} | {_cell(doc)} |" for column, (type_, doc) in columns.items())
    return f"## {name}\n\nA row is {_prose(row)}.\n\n| column | type | meaning |\n|---|---|---|\n{told}\n"


def _macro(macro: Macro) -> str:
    told = f"A row is {_prose(macro.told)}." if macro.gives_rows else f"Gives {_prose(macro.told)}."
    taken = "| takes | default | meaning |\n|---|---|---|\n" + "\n".join(
        f"| `{p.name}` | {'required' if p.default is None else f'`{p.default}`'} | {_cell(p.doc)} |"
        for p in macro.parameters
    )
    columns = "\n".join(f"| `{name}` | {_cell(doc)} |" for name, doc in macro.columns.items())
    given = f"\n| column | meaning |\n|---|---|\n{columns}\n" if macro.gives_rows else ""
    return f"## {macro.call}\n\n{told}\n\nReads: {_names(macro.depends_on) or 'nothing'}.\n\n{taken}\n{given}"


SOURCES_HEAD = """# Sources

A source is a folder `dagster_project/defs/sources/<name>/` with a `defs.yaml`:

```yaml
type: dagster_project.components.DocumentSource
attributes:
  name: my_vault
  path: ~/Notes
```

`{{ env.NAME }}` stands for an environment variable. A relative path counts from the project's root.
"""


def sources() -> str:
    """Return the page of what a source's declaration takes."""
    text = [SOURCES_HEAD]
    for name, model in {
        **KINDS,
        "note (mapping of a TableSource)": NoteMapping,
        "event (mapping of a StreamSource)": EventMapping,
    }.items():
        text.append(
            f"## {name}\n\n{inspect.cleandoc(model.__doc__ or '')}\n\n| field | default | meaning |\n|---|---|---|"
        )
        for field, info in model.model_fields.items():
            default = "required" if info.is_required() else _default(info.default)
            text.append(f"| `{field}` | {_cell(default)} | {_cell(info.description or '')} |")
        text.append("")
    return "\n".join(text)


def _default(value: object) -> str:
    if value is None or value in ("", ()):
        return "none"
    if isinstance(value, EventMapping):
        return "see below"
    return _names(value) if isinstance(value, tuple) else f"`{json.dumps(value)}`".replace('"', "")


def commands() -> str:
    """Return the page of the `notelake` command, as its own help says it."""
    pages = [f"# The notelake command\n\n{_help(cli.main, 'notelake')}"]
    pages.extend(f"## {path}\n\n{_help(command, path)}" for path, command in _commands(cli.main, "notelake"))
    return "\n".join(pages)


def _commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    for name, command in sorted(group.commands.items()):
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from _commands(command, f"{path} {name}")


def _help(command: click.Command, path: str) -> str:
    context = click.Context(command, info_name=path, max_content_width=110, terminal_width=110)
    return f"```\n{command.get_help(context)}\n```\n"


def error_tree() -> str:
    """Return the page of the errors."""
    text = [f"# Errors\n\n```\n{inspect.getdoc(errors)}\n```\n\n| error | meaning |\n|---|---|"]
    for name, error in inspect.getmembers(errors, inspect.isclass):
        text.append(f"| `{name}` | {_cell(inspect.getdoc(error) or '')} |")
    return "\n".join([*text, ""])


def environment() -> str:
    """Return the page of the settings."""
    rows = [
        (
            "NOTELAKE_LAKE",
            f"the lake: a folder or `s3://bucket/prefix`; default `{settings.DEFAULT_LAKE}` in the project",
        ),
        ("NOTELAKE_VIEW_FILE", "where `lake.duckdb` is published; default in the lake's folder, required for `s3://`"),
        ("NOTELAKE_PROJECT", "the project's root; default the folder with `workspace.yaml`, from here upwards"),
        ("NOTELAKE_MEMORY_LIMIT", "what DuckDB may hold in memory before it spills, e.g. `2GB`; default `1GB`"),
        ("NOTELAKE_THREADS", "threads DuckDB may use; default all cores"),
        ("NOTELAKE_WORKERS", "processes that read documents at once; default one per core"),
        (
            "NOTELAKE_FILE_SECONDS",
            "how long the reader of one document may take before it is stopped and the file told as failed; default 30",
        ),
        (
            "NOTELAKE_FILE_MEMORY",
            "what a process that reads documents may use beyond its start, e.g. `512MB`; default `2GB`; Linux only",
        ),
        (
            "NOTELAKE_COLLECT_TOKEN",
            "a token `notelake collect` asks of who posts, beside those in --token-file; default none, on loopback",
        ),
        ("NOTELAKE_REDIS_USERNAME, NOTELAKE_REDIS_PASSWORD", "who reads streams of Redis; default nobody"),
        (
            "PYICEBERG_CATALOG__NOTELAKE__URI",
            "the Iceberg catalog, SQLite or PostgreSQL; default SQLite in the lake's folder",
        ),
        (
            "AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY",
            "these and the other usual AWS variables, for `s3://` lakes and sources",
        ),
        (
            "NOTELAKE_FAILPOINT",
            f"for tests: die at one of {', '.join(f'`{name}`' for name in (*FAILPOINTS, *REWIND_FAILPOINTS))}",
        ),
    ]
    head = "# Settings\n\nFrom the environment; there is no other configuration file.\n"
    table = [f"| {_names(name.split(', '))} | {meaning} |" for name, meaning in rows]
    return "\n".join([head, "| variable | meaning |\n|---|---|", *table, ""])


def expectations() -> str:
    """Return the page of all expectations."""
    return suites_markdown(ROOT / "expectations")


PAGES: dict[str, Callable[[], str]] = {
    "tables.md": tables,
    "views.md": views,
    "expectations.md": expectations,
    "sources.md": sources,
    "commands.md": commands,
    "errors.md": error_tree,
    "settings.md": environment,
    "dialects.md": dialect_pages.functions,
    "../athena.md": dialect_pages.athena,
}


def main() -> int:
    """Write the pages, or with --check compare them; return the exit code."""
    stale = []
    REFERENCE.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        text, file = HEAD + page().rstrip() + "\n", REFERENCE / name
        if not file.exists() or file.read_text("utf-8") != text:
            stale.append(name)
            if "--check" not in sys.argv:
                file.write_text(text, "utf-8")
    if "--check" in sys.argv and stale:
        print(f"docs/reference is not up to date: {', '.join(stale)}. Run `make docs`.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
