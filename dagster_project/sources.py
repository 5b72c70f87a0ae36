"""What a source is, as somebody declares it: one `defs.yaml` per source, or the words of a command.

What belongs here: the declared fields, their checks, and reading the declarations without Dagster.
What does not: how a source is read (`landing`) and what Dagster makes of it (`components`).
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal

import yaml
from pathspec import GitIgnoreSpec
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from dagster_project.contracts import Kind
from dagster_project.errors import SourceInvalid

NAME_PATTERN: Final = r"^[a-z][a-z0-9_]{0,62}$"
DECLARATION: Final = "defs.yaml"
IGNORED: Final = (
    ".*",
    "**/logseq/bak/",
    "node_modules/",
    "__pycache__/",
    "~$*",
    "*~",
    "\\#*#",
    "*.tmp",
    "*.swp",
    "*.swo",
    "Thumbs.db",
    "desktop.ini",
    "$RECYCLE.BIN/",
)
"""What every document source leaves out unless it says `!`: hidden files and folders (`.obsidian`, `.trash`, `.git`,
`logseq/.recycle` …), backups, and what programs leave behind."""

DATABASES: Final[Mapping[str, str]] = {
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "mysql": "mysql",
    "mariadb": "mysql",
    "sqlite": "sqlite",
    "duckdb": "duckdb",
}
"""The kind of database that an address leads to, by its scheme."""
_SCHEMES: Final = ", ".join(f"{scheme}://" for scheme in DATABASES)
_CREDENTIALS: Final = re.compile(r"^[A-Za-z0-9+]+://[^/]*@|[?&](user|password|passwd|pwd|sslpassword)=", re.IGNORECASE)
_WILD: Final = re.compile(r"[*?\[]")

Name = Annotated[str, Field(pattern=NAME_PATTERN, description="Name of the source: lower case letters, digits and _.")]


class Declared(BaseModel):
    """Fields that all sources share."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)  # it may hold a password
    kind: ClassVar[Kind]

    name: Name
    path: str = Field(
        description="Folder or file, local (from the project's root) or s3://bucket/prefix.", min_length=1
    )
    description: str = Field("", description="What the source is, in a sentence or two.")
    owners: tuple[str, ...] = Field((), description="Who answers for it: e-mail addresses, or team:<name>.")
    enabled: bool = Field(default=True, description="Whether its schedule or sensor is on from the start.")
    freshness_hours: float = Field(26, gt=0, description="Hours after which Dagster calls its rows stale.")

    @field_validator("path")
    @classmethod
    def _has_no_credentials(cls, value: str) -> str:
        if _CREDENTIALS.search(value):
            raise ValueError(
                "a path holds no credentials: give them in the usual AWS variables, or for a database in the variable "
                "that `address_variable` names"
            )
        return value

    @property
    def is_remote(self) -> bool:
        """Whether the path is an address (`s3://…`) and not a local path."""
        return "://" in self.path

    def rooted(self, root: Path) -> Declared:
        """Return the source with a relative local path made absolute from `root`."""
        if self.is_remote:
            return self
        return self.model_copy(update={"path": str((root / Path(self.path).expanduser()).absolute())})


class DocumentSource(Declared):
    """A folder of files, each of them a note: Markdown or plain text; other files are kept as attachments."""

    kind: ClassVar[Kind] = "documents"

    include: tuple[str, ...] = Field(("*",), description="Patterns of what to read, as .gitignore writes them.")
    exclude: tuple[str, ...] = Field(
        (),
        description="Patterns of what to leave out, as .gitignore writes them, beside what is always left out: "
        f"{', '.join(f'`{pattern}`' for pattern in IGNORED)}. `!pattern` takes back in. What is newly left out counts "
        "as gone.",
    )
    max_file_bytes: int = Field(64 * 1024 * 1024, gt=0, description="Larger files are told as failed and not read.")
    max_gone_share: float = Field(
        0.3, ge=0, le=1, description="Refuse a scan in which a larger share vanished at once."
    )
    cron: str | None = Field("0 * * * *", description="When Dagster reads it; none to read it by hand only.")

    @property
    def ignored(self) -> tuple[str, ...]:
        """All patterns of what is left out, in order."""
        return (*IGNORED, *self.exclude)

    @field_validator("include", "exclude")
    @classmethod
    def _are_patterns(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            GitIgnoreSpec.from_lines(value)
        except ValueError as error:
            raise ValueError(f"not as .gitignore writes patterns: {error}") from error
        return value


class NoteMapping(BaseModel):
    """Which columns give which fields of a note. What is not mapped goes to `properties`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: tuple[str, ...] = Field((), description="Columns that identify the row; its hash where there are none.")
    title: str | None = Field(None, description="Column of the title.")
    body: str | None = Field(None, description="Column of the text.")
    author: str | None = Field(None, description="Column of the author.")
    created_at: str | None = Field(None, description="Column of the time it was created.")
    modified_at: str | None = Field(None, description="Column of the time it was last modified.")
    tags: str | None = Field(None, description="Column of the tags: a list, or text split at commas or semicolons.")

    @field_validator("key", mode="before", json_schema_input_type=str | tuple[str, ...])
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value


Drift = Literal["evolve", "freeze", "discard_row", "discard_value"]


class SchemaContract(BaseModel):
    """What a source may change about its table once it stands: see `schema_contract` of a TableSource."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    columns: Drift = Field(
        "evolve",
        description="A column the table lacks, or a field that a struct lacks: added (evolve); its file refused "
        "(freeze); rows with a value in it refused (discard_row); its values left out and told (discard_value), of a "
        "field the object it is in.",
    )
    types: Drift = Field(
        "evolve",
        description="A value that does not fit its column's type: kept in a column `<name>__text` beside it (evolve); "
        "its file refused (freeze); its row refused (discard_row); left out and told (discard_value).",
    )


class TableSource(Declared):
    """A file of rows, or a folder or pattern of such files, plain or packed (gzip, zstd, bz2, xz, zip); or a database.

    CSV, TSV, JSON lines, JSON, Parquet, Arrow and Feather, Avro, spreadsheets and SQLite files. Of databases, where
    `path` is an address (`postgresql://`, `mysql://`, `mariadb://`, `sqlite:///`, `duckdb:///`): tables, or a query.
    """

    kind: ClassVar[Kind] = "table"

    format: Literal["auto", "csv", "jsonl", "json", "parquet", "arrow", "avro", "excel", "sqlite"] = Field(
        "auto", description="Format of the files; auto goes by name."
    )
    encoding: str | None = Field(
        None, description="Encoding of text files; found out if left out, and told in the ledger."
    )
    delimiter: str | None = Field(
        None, min_length=1, max_length=1, description="What parts the cells of CSV; found out if left out."
    )
    quote: str = Field('"', min_length=1, max_length=1, description="What cells of CSV are quoted with.")
    escape: str | None = Field(
        None, min_length=1, max_length=1, description="What stands before a quote within quotes; the quote if left out."
    )
    decimal: Literal[".", ","] | None = Field(
        None, description="Decimal mark of numbers in CSV; found out if left out, and only where cells allow a comma."
    )
    header: Annotated[int, Field(ge=0, le=9)] | Literal["auto"] = Field(
        "auto", description="Rows of the header in CSV and sheets: 0 for none, 2 where names stand over names."
    )
    skip: int = Field(0, ge=0, description="Lines of CSV, or rows of a sheet, that stand above the header.")
    records: str | None = Field(None, description="Path of the array of records in a JSON document, as `data.items`.")
    sheet: str | tuple[str, ...] = Field(
        (), description="Sheets of spreadsheets to read, as names or patterns; all if empty."
    )
    table: str | tuple[str, ...] = Field(
        (),
        description="Tables of SQLite files or of a database to read, as names or patterns; needed where there are "
        "several, and for a database, where a name may be `schema.table`.",
    )
    query: str | None = Field(
        None, min_length=1, description="A SELECT whose rows are read, instead of tables of a database."
    )
    address_variable: str | None = Field(
        None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="Environment variable with the whole address of the database, credentials included; of `path` only "
        "the scheme counts then.",
    )
    incremental: Literal["none", "compare", "cursor"] = Field(
        "none",
        description="How the changes of a database's table are found. none: it is read, and lands anew if anything in "
        "it changed. compare: it is read, and rows land whose values differ from the last of their key; keys that are "
        "gone arrive as `gone`. cursor: only rows from the last value of `cursor` on are read; deletions are not seen.",
    )
    cursor: str | None = Field(
        None, description="Column of a database's table that grows with every change, as a time or a serial number."
    )
    lag: float = Field(
        0,
        ge=0,
        description="How far behind the last value of `cursor` to read again, for rows that become visible late: in "
        "seconds for a time, in its own unit for a number.",
    )
    partitions: Literal["none", "hive"] = Field(
        "none", description="hive: folders named `key=value` give a column `key`, as Hive, Spark and Athena write them."
    )
    mode: Literal["append", "replace", "merge", "history"] = Field(
        "replace",
        description="What `tables.<source>` shows. replace: the rows of the files as they lie at the source now. "
        "append: those, and the rows of files that are gone. merge: of the rows at the source now the latest of each "
        "key of `note`. history: every version of each key, with valid_from, valid_to and is_current.",
    )
    max_gone_share: float = Field(
        0.3,
        ge=0,
        le=1,
        description="Refuse a landing by which a larger share of the rows would vanish at once, ten or more: a "
        "table that is suddenly empty, files that are gone and not replaced. Rows stay in mode append.",
    )
    child_tables: bool | tuple[str, ...] = Field(
        default=False,
        description="Lists and maps whose elements `tables.<source>__<column>` shows, a row each: their columns, with "
        "fields of structs behind a dot as `user.emails`; true for all of them.",
    )
    same_content: Literal["skip", "load"] = Field(
        "skip", description="Whether a file is loaded whose content stands under another name already."
    )
    schema_contract: Drift | SchemaContract = Field(
        "evolve",
        description="What becomes of columns and values the table was not made for: a word for both, or `columns:` and "
        "`types:`, each evolve, freeze, discard_row or discard_value.",
    )
    note: NoteMapping | None = Field(None, description="Mapping to note fields; guessed from the names if left out.")
    cron: str | None = Field("0 * * * *", description="When Dagster reads it; none to read it by hand only.")

    @property
    def drift(self) -> SchemaContract:
        """The schema contract, for columns and for types."""
        given = self.schema_contract
        return SchemaContract(columns=given, types=given) if isinstance(given, str) else given

    def inside(self, part: str) -> tuple[str, ...]:
        """Return the names or patterns given for `sheet` or `table`."""
        given: str | tuple[str, ...] = getattr(self, part)
        return (given,) if isinstance(given, str) else given

    @field_validator("encoding")
    @classmethod
    def _is_known(cls, value: str | None) -> str | None:
        try:
            return None if value is None else codecs.lookup(value).name
        except LookupError as error:
            raise ValueError(
                f"no encoding is called {value!r}; see https://docs.python.org/3/library/codecs.html"
            ) from error

    @property
    def database(self) -> str | None:
        """The kind of database its rows come from; None if they come from files."""
        scheme, is_address, _ = self.path.partition("://")
        return DATABASES.get(scheme.partition("+")[0].lower()) if is_address else None

    def rooted(self, root: Path) -> Declared:
        """Return the source with a relative local path made absolute from `root`; so too that of a database's file."""
        if self.database not in ("sqlite", "duckdb"):
            return super().rooted(root)
        scheme, _, file = self.path.partition(":///")
        return self.model_copy(update={"path": f"{scheme}:///{(root / Path(file).expanduser()).absolute()}"})

    @model_validator(mode="after")
    def _is_of_files_or_of_a_database(self) -> TableSource:
        if self.database is None:
            given = [name for name in ("query", "address_variable", "cursor", "lag") if getattr(self, name)]
            if given or self.incremental != "none":
                told = ", ".join(given or ["incremental"])
                raise ValueError(f"{told}: for databases only, and `path` is the address of none ({_SCHEMES})")
        elif bool(self.query) == bool(self.inside("table")):
            raise ValueError("a database needs either `table` or `query`: say which rows are meant")
        return self

    @model_validator(mode="after")
    def _goes_by_something(self) -> TableSource:
        if self.incremental == "none":
            if self.cursor or self.lag:
                raise ValueError("`cursor` and `lag` take `incremental: cursor`")
            return self
        if self.incremental == "cursor" and not self.cursor:
            raise ValueError("`incremental: cursor` goes by a column: name it in `cursor`")
        if self.incremental == "compare" and (self.cursor or self.lag):
            raise ValueError("`incremental: compare` reads everything: leave out `cursor` and `lag`")
        modes = ("merge", "history") if self.incremental == "compare" else ("append", "merge", "history")
        if self.mode not in modes:
            raise ValueError(f"`incremental: {self.incremental}` takes `mode: {'` or `'.join(modes)}`")
        tables = self.inside("table")
        if len(tables) > 1 or any(_WILD.search(name) for name in tables):
            raise ValueError(f"`incremental: {self.incremental}` takes one table: declare a source for each")
        return self

    @model_validator(mode="after")
    def _has_a_key(self) -> TableSource:
        if self.mode in ("merge", "history") and not (self.note and self.note.key):
            raise ValueError(f"mode {self.mode} goes by key: name its columns in `note: {{key: …}}`")
        return self


class EventMapping(BaseModel):
    """Where in an event to find what it is, as dotted paths; the first that is there wins."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    event_id: tuple[str, ...] = Field(
        ("id", "event_id"), description="Id the producer gave it; an id seen before is a duplicate."
    )
    type: tuple[str, ...] = Field(("detail-type", "type", "event_type"), description="Type of the event.")
    occurred_at: tuple[str, ...] = Field(("time", "occurred_at", "timestamp"), description="When it happened.")
    detail: tuple[str, ...] = Field(
        ("detail", "data", "payload"), description="What it says of the note; the whole event if there is none."
    )
    path: tuple[str, ...] = Field(
        ("detail.path", "data.path", "path", "subject"), description="Path of the note it is about."
    )
    moved_from: tuple[str, ...] = Field(
        ("detail.from", "data.from", "from", "moved_from"), description="Path before, for a move."
    )
    actor: tuple[str, ...] = Field(("detail.actor", "data.actor", "actor"), description="Who did it.")


INSTANTS: Final = ("redis://", "rediss://", "kinesis://")
"""Streams that can be read from an instant on."""


class StreamSource(Declared):
    """A folder of append-only JSON-lines files, one shard each, or a stream of a server; read exactly once.

    `redis://host:port/db?stream=name` is a stream of Redis (7 or newer; extra `redis`), `kinesis://name` one of Kinesis
    (extra `kinesis`; region, endpoint and credentials come from the usual AWS variables).
    """

    kind: ClassVar[Kind] = "stream"

    event: EventMapping = Field(EventMapping(), description="Where in an event to find what it is.")
    start_at: datetime | None = Field(
        None,
        description="Where to begin in a shard that was never read, an instant: events that were sent before are left "
        "out. From the start of what the stream still holds if left out. For streams of Redis and Kinesis.",
    )
    dedupe_days: int = Field(30, gt=0, description="Events with an id seen within so many days are duplicates.")
    interval_seconds: int = Field(30, gt=0, description="How often Dagster's sensor looks for new events.")
    freshness_hours: float = Field(26, gt=0, description="Hours after which Dagster calls its rows stale.")

    @property
    def is_of_a_server(self) -> bool:
        """Whether its shards are no files."""
        return self.path.startswith(INSTANTS)

    @field_validator("start_at")
    @classmethod
    def _is_in_utc(cls, value: datetime | None) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value

    @model_validator(mode="after")
    def _has_instants(self) -> StreamSource:
        if self.start_at is not None and not self.is_of_a_server:
            raise ValueError(
                f"start_at is for streams of a server, whose path begins with one of {', '.join(INSTANTS)}"
            )
        return self


Source = DocumentSource | TableSource | StreamSource
KINDS: Final[Mapping[str, type[DocumentSource | TableSource | StreamSource]]] = {
    "DocumentSource": DocumentSource,
    "TableSource": TableSource,
    "StreamSource": StreamSource,
}
_ENV: Final = re.compile(r"\{\{\s*env\.([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")


def declared_sources(folder: Path, root: Path) -> tuple[Source, ...]:
    """Read every `<name>/defs.yaml` below `folder`, in name order; relative paths count from `root`.

    Raises `SourceInvalid` naming the file, the field and what it takes.
    """
    found = [source.rooted(root) for file in sorted(folder.glob(f"*/{DECLARATION}")) for source in _read(file)]
    names = [source.name for source in found]
    for name in names:
        if names.count(name) > 1:
            raise SourceInvalid(f"Two sources are called {name!r}; rename one of them in {folder}.")
    for source in found:
        below = [name for name in names if name.startswith(f"{source.name}__")]
        if below and isinstance(source, TableSource) and source.child_tables:
            raise SourceInvalid(
                f"Source {source.name} has child tables, which are called tables.{source.name}__…, and another source "
                f"is called {below[0]!r}. Rename one of them in {folder}."
            )
    return tuple(found)  # type: ignore[arg-type]


def declare(kind: str, attributes: Mapping[str, Any], where: str) -> Source:
    """Return the source of class `kind` with these attributes; `where` names the declaration in errors."""
    try:
        return KINDS[kind](**attributes)
    except ValidationError as error:
        facts = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'it'}: {e['msg']}" for e in error.errors())
        raise SourceInvalid(
            f"{where} does not declare a source: {facts}. The fields are in docs/reference/sources.md."
        ) from error


def _read(file: Path) -> Iterator[Source]:
    try:
        documents = list(yaml.load_all(file.read_text("utf-8"), Loader=yaml.CSafeLoader))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SourceInvalid(f"{file} is no YAML: {error}. Mend it, or move the folder away.") from error
    for document in documents:
        if not isinstance(document, dict) or not isinstance(document.get("type"), str):
            raise SourceInvalid(
                f"{file} has no `type:`. Write `dagster_project.components.DocumentSource` or another kind."
            )
        kind = document["type"].rsplit(".", 1)[-1]
        if kind in KINDS:
            yield declare(kind, _with_environment(document.get("attributes") or {}, file), str(file))


def _with_environment(value: Any, file: Path) -> Any:
    """Fill in `{{ env.NAME }}`, as Dagster does when it reads the same file."""
    if isinstance(value, dict):
        return {key: _with_environment(item, file) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_environment(item, file) for item in value]
    if not isinstance(value, str):
        return value

    def fill(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise SourceInvalid(
                f"{file} asks for the variable {match[1]}, which is not set. Set it, or write the value."
            )
        return os.environ[match[1]]

    return _ENV.sub(fill, value)
