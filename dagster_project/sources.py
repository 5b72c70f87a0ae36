"""What a source is, as somebody declares it: one `defs.yaml` per source, or the words of a command.

What belongs here: the declared fields, their checks, and reading the declarations without Dagster.
What does not: how a source is read (`landing`) and what Dagster makes of it (`components`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal

import yaml
from pathspec import GitIgnoreSpec
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

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

Name = Annotated[str, Field(pattern=NAME_PATTERN, description="Name of the source: lower case letters, digits and _.")]


class Declared(BaseModel):
    """Fields that all sources share."""

    model_config = ConfigDict(extra="forbid", frozen=True)
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
        if re.match(r"^[a-z0-9+]+://[^/]*@", value):
            raise ValueError("a path holds no credentials: give them in the usual AWS variables")
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


class TableSource(Declared):
    """A file of rows, or a folder or pattern of such files: CSV, TSV, JSON lines or Parquet."""

    kind: ClassVar[Kind] = "table"

    format: Literal["auto", "csv", "jsonl", "parquet"] = Field(
        "auto", description="Format of the files; auto goes by name."
    )
    note: NoteMapping | None = Field(None, description="Mapping to note fields; guessed from the names if left out.")
    cron: str | None = Field("0 * * * *", description="When Dagster reads it; none to read it by hand only.")


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


class StreamSource(Declared):
    """A folder of append-only JSON-lines files, one shard each, read exactly once."""

    kind: ClassVar[Kind] = "stream"

    event: EventMapping = Field(EventMapping(), description="Where in an event to find what it is.")
    dedupe_days: int = Field(30, gt=0, description="Events with an id seen within so many days are duplicates.")
    interval_seconds: int = Field(30, gt=0, description="How often Dagster's sensor looks for new events.")
    freshness_hours: float = Field(26, gt=0, description="Hours after which Dagster calls its rows stale.")


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
