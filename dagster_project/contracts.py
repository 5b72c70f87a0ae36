"""What a note is: the contract of every table in the lake.

A contract is the table's columns (with field id, type and meaning), its key, its partition spec and its
sort order. The same contract comes out in Iceberg, in Dagster's column schema, in the comments of
`lake.duckdb` and in `docs/reference`.

What belongs here: names, types, ids, keys, docs. What does not: how rows come about (`shaping`, `model`),
how they are stored (`lake`), how they are seen (`views`).

Field ids are fixed for ever: a column may be added with a new id, never renumbered. The ids of a list's
elements are chosen as Iceberg itself assigns them on creation, after those of all top-level columns.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Final, Literal

import pyarrow as pa

FORMAT: Final = 1
"""The layout's version, in every table's properties as `notelake.format`."""

FIELD_ID: Final = b"PARQUET:field_id"

TEXT: Final = pa.string()
INT: Final = pa.int64()
BOOL: Final = pa.bool_()
BYTES: Final = pa.binary()
INSTANT: Final = pa.timestamp("us", tz="UTC")
TEXTS: Final = pa.list_(pa.string())

Clock = Callable[[], datetime]
"""Returns the current instant, with its zone. Passed in, so that a run can be repeated exactly."""

Ids = Callable[[], str]
"""Returns a new unique name for a file or a publication. Passed in, for the same reason."""

Kind = Literal["documents", "table", "stream"]
Transform = Literal["identity", "day"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a contract; `nested` are the ids of fields within a list, struct or map, as `inner_fields` goes."""

    field_id: int
    name: str
    type: pa.DataType
    doc: str
    nested: tuple[int, ...] = ()

    def field(self) -> pa.Field:
        """Return the Arrow field, with the field ids where Parquet writers look for them."""
        type_ = _with_ids(self.type, iter(self.nested)) if self.nested else self.type
        metadata = {FIELD_ID: str(self.field_id).encode(), b"doc": self.doc.encode()}
        return pa.field(self.name, type_, metadata=metadata)


def variant_doc(name: str) -> str:
    """Return the comment of the column that holds, as text, values of column `name` that do not fit its type."""
    return f"Values of {name} that do not fit its type, as text"


def struct_fields(type_: pa.DataType) -> list[pa.Field]:
    """Return the fields of a struct."""
    return [type_.field(i) for i in range(type_.num_fields)]


def inner_fields(type_: pa.DataType) -> int:
    """Return how many fields a type has within: each has an id of its own.

    Their order is that of a walk: an element, then what is in it; of a struct field by field, each with what is in it;
    of a map its key, its value, and what is in that.

    >>> inner_fields(pa.list_(pa.struct([("a", pa.int64()), ("b", pa.map_(pa.string(), pa.int64()))])))
    5
    """
    inner = [field.type for field in struct_fields(type_)] if pa.types.is_struct(type_) else []
    if pa.types.is_list(type_):
        inner = [type_.value_type]
    if pa.types.is_map(type_):
        inner = [type_.key_type, type_.item_type]
    return sum(1 + inner_fields(each) for each in inner)


def _with_ids(type_: pa.DataType, ids: Iterator[int]) -> pa.DataType:
    """Return the type with field ids in the metadata of all fields within it."""

    def numbered(name: str, id_: int, inner: pa.DataType, *, nullable: bool = True) -> pa.Field:
        return pa.field(name, _with_ids(inner, ids), nullable=nullable, metadata={FIELD_ID: str(id_).encode()})

    if pa.types.is_list(type_):
        return pa.list_(numbered("element", next(ids), type_.value_type))
    if pa.types.is_map(type_):
        key = numbered("key", next(ids), type_.key_type, nullable=False)
        return pa.map_(key, numbered("value", next(ids), type_.item_type))
    if pa.types.is_struct(type_):
        return pa.struct([numbered(field.name, next(ids), field.type) for field in struct_fields(type_)])
    return type_


@dataclass(frozen=True, slots=True)
class Partition:
    """One field of a partition spec."""

    column: str
    transform: Transform = "identity"


Mode = Literal["append", "replace", "merge", "history"]


@dataclass(frozen=True, slots=True)
class Current:
    """What of a table source's arrivals is current: its mode, and the names of the columns that are its key.

    `children` are the paths of lists and maps whose elements are shown as child tables, `*` for all.
    """

    mode: Mode = "replace"
    key: tuple[str, ...] = ()
    children: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Return it as the property of a table holds it.

        >>> Current.from_json(Current("merge", ("id",)).to_json())
        Current(mode='merge', key=('id',), children=())
        """
        return json.dumps({"mode": self.mode, "key": self.key, "children": self.children})

    @classmethod
    def from_json(cls, text: str) -> Current:
        """Return what `to_json` wrote."""
        told = json.loads(text)
        return cls(told["mode"], tuple(told["key"]), tuple(told.get("children", ())))


@dataclass(frozen=True, slots=True)
class Table:
    """The contract of a table. Columns are optional in storage; `key` columns are never null (the audit sees to it)."""

    namespace: str
    name: str
    row: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    partition: tuple[Partition, ...] = ()
    sort: tuple[str, ...] = ()
    current: Current | None = None
    """For the raw table of a table source: what `tables.<source>` shows."""

    @property
    def identifier(self) -> str:
        """The table's name in the catalog and in SQL, `namespace.name`."""
        return f"{self.namespace}.{self.name}"

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema, with field ids and docs in the fields' metadata."""
        return pa.schema([column.field() for column in self.columns])

    def column(self, name: str) -> Column:
        """Return the column called `name`; KeyError if there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


_SOURCE: Final = (Partition("source"),)


_Described = tuple[str, pa.DataType, str]
"""Name, type and meaning of a column."""


def _columns(*rows: _Described, added: Sequence[_Described] = ()) -> tuple[Column, ...]:
    """Number columns 1, 2, 3 … in order, and list elements after them, as Iceberg does on creation.

    `added` came later, to tables that exist: their ids follow all of these, in the order in which they came.
    """
    element_ids = iter(range(len(rows) + 1, 2 * len(rows) + 2))
    first = tuple(
        Column(index, name, type_, doc, (next(element_ids),) if pa.types.is_list(type_) else ())
        for index, (name, type_, doc) in enumerate(rows, start=1)
    )
    return (*first, *(Column(id_, *row) for id_, row in enumerate(added, start=next(element_ids))))


NOTES: Final = Table(
    "notes",
    "notes",
    "a note as it stands now, from any source",
    _columns(
        ("note_id", TEXT, "Identity of the note, the same for as long as it lives: 32 hex digits"),
        ("source", TEXT, "Name of the source it came from"),
        ("kind", TEXT, "What it was at the source: document, row or event"),
        ("path", TEXT, "Where it lies in its source: a file's path, a row's key, an event's subject"),
        ("title", TEXT, "Its title: given, first heading or file name"),
        ("body", TEXT, "Its text, without front matter"),
        ("author", TEXT, "Who wrote it, if the source says so"),
        ("created_at", INSTANT, "When it was created, as the source says (UTC)"),
        ("modified_at", INSTANT, "When it was last modified, as the source says (UTC)"),
        ("tags", TEXTS, "Its distinct tags without the leading #, sorted"),
        ("aliases", TEXTS, "Other names it answers to in links"),
        ("properties", TEXT, "Front matter or columns without a place of their own, as a JSON object"),
        ("word_count", INT, "Words in the body"),
        ("content_sha256", TEXT, "SHA-256 of the source's bytes, hex; null for rows and events"),
        ("row_hash", INT, "64-bit hash of the row's values, as in raw; null for documents and events"),
        ("stale", BOOL, "True if a newer version was refused and waits in ops.quarantine"),
        ("observed_at", INSTANT, "When notelake first saw this version (UTC)"),
        ("file", TEXT, "File it came from, relative to the source"),
        ("line", INT, "Line in that file where it begins, from 1; null where the format has none"),
        ("sequence", INT, "Arrival in raw.<source> that this version came from"),
        added=(
            ("file_id", TEXT, "Id of the file it came from: its own, unless the file holds several notes; else null"),
        ),
    ),
    key=("note_id",),
    partition=_SOURCE,
    sort=("path",),
)

VERSIONS: Final = Table(
    "notes",
    "versions",
    "a version a note has had; the text of each is in raw.<source> under its sequence",
    _columns(
        ("note_id", TEXT, "The note"),
        ("source", TEXT, "Name of the source"),
        ("sequence", INT, "Arrival in raw.<source> that made this version"),
        ("op", TEXT, "What happened: created, updated, moved or deleted"),
        ("path", TEXT, "Where the note lay from then on"),
        ("moved_from", TEXT, "Where it lay before, if it moved"),
        ("title", TEXT, "Its title then; null when deleted"),
        ("content_sha256", TEXT, "SHA-256 of its content then, hex; null when deleted or unknown"),
        ("word_count", INT, "Words in its body then; null when deleted or unknown"),
        ("modified_at", INSTANT, "When the source says it was modified (UTC)"),
        (
            "valid_from",
            INSTANT,
            "From when on this version stood: observed (documents, rows) or occurred (events), UTC",
        ),
    ),
    key=("note_id", "sequence"),
    partition=_SOURCE,
    sort=("path", "sequence"),
)

_PART: Final = (
    ("note_id", TEXT, "The note it is a part of"),
    ("source", TEXT, "Name of the source"),
    ("ordinal", INT, "Its place among the note's parts of this sort, from 0"),
)
_WHERE: Final = (
    ("line", INT, "Line in the source file, from 1; null where the format has no lines"),
    ("byte_start", INT, "First byte in the source file, from 0; null where its text does not lie in the file as such"),
    ("byte_end", INT, "Byte after the last, so that file[byte_start:byte_end] is the text"),
)


def _part(name: str, row: str, *columns: tuple[str, pa.DataType, str]) -> Table:
    """Return the contract of a table of parts: note, ordinal, its own columns, place in the file."""
    return Table(
        "notes", name, row, _columns(*_PART, *columns, *_WHERE), ("note_id", "ordinal"), _SOURCE, ("note_id", "ordinal")
    )


SECTIONS: Final = _part(
    "sections",
    "a stretch of a note under one heading; ordinal 0 is what stands before the first",
    ("level", INT, "Level of the heading, 1 to 6; 0 before the first heading"),
    ("heading", TEXT, "Text of the heading; null before the first"),
    ("heading_path", TEXTS, "Headings above it and its own, outermost first"),
    ("anchor", TEXT, "Fragment a link uses for it, as GitHub makes it; unique in the note"),
    ("text", TEXT, "Source text of the section, its heading included"),
)
LINKS: Final = _part(
    "links",
    "a link, image or embed as it is written; see notes.resolved_links for where it leads",
    ("kind", TEXT, "wikilink, markdown, reference, autolink, html, image, embed or block (a Logseq block reference)"),
    ("target", TEXT, "What it points to as written, without fragment"),
    ("fragment", TEXT, "Heading or block after #, without the #; null if none"),
    ("text", TEXT, "Text shown for it"),
)
TAGS: Final = _part(
    "tags",
    "one use of a tag",
    ("tag", TEXT, "The tag as written, without the leading #"),
    ("origin", TEXT, "Where it stands: front_matter, inline, property (of a file that is no Markdown) or column"),
)
TASKS: Final = _part(
    "tasks",
    "a task: an item with a check box, or with a TODO word as Logseq writes it",
    ("state", TEXT, "open, doing, done or cancelled"),
    ("text", TEXT, "The task's text without its marker"),
    ("heading", TEXT, "Heading it stands under; null before the first"),
    ("due_on", TEXT, "Due date as YYYY-MM-DD, if the text gives one"),
    ("scheduled_on", TEXT, "Scheduled date as YYYY-MM-DD, if the text gives one"),
    ("done_on", TEXT, "Date it was done as YYYY-MM-DD, if the text gives one"),
    ("priority", TEXT, "Priority as written, if the text gives one"),
)
CODE_BLOCKS: Final = _part(
    "code_blocks",
    "a fenced or indented block of code",
    ("language", TEXT, "First word of the info string; null if none"),
    ("code", TEXT, "The code itself"),
)
FIELDS: Final = _part(
    "fields",
    "an inline field as Dataview writes it, or a property of a page or block as Logseq does: `key:: value`",
    ("key", TEXT, "The key as written"),
    ("value", TEXT, "The value as written"),
    ("origin", TEXT, "inline, page or block: in the text, at the top of the page, or below a block"),
)
BLOCKS: Final = _part(
    "blocks",
    "a block that has a name or a kind: one that links can point to, a callout or an alert",
    ("kind", TEXT, "block (it has an id), anchor (an id in HTML), callout (Obsidian, Docusaurus) or alert (GitHub)"),
    ("name", TEXT, "The id without ^, or the callout's type in lower case"),
    ("title", TEXT, "Title of a callout; null if it has none"),
    ("text", TEXT, "Text of the block, without its id, marks and title; empty for an anchor"),
)
ATTACHMENTS: Final = _part(
    "attachments",
    "a file that is kept beside the notes and not itself read as one, or one that lies within a note's file",
    ("path", TEXT, "Where it lies in its source; within a file, that file's path and its name there"),
    ("media_type", TEXT, "Media type, by name"),
    ("size", INT, "Size in bytes"),
    ("sha256", TEXT, "SHA-256 of its bytes, hex"),
    ("width", INT, "Width in pixels, if it is an image that says so"),
    ("height", INT, "Height in pixels, if it is an image that says so"),
)
FINGERPRINTS: Final = Table(
    "notes",
    "fingerprints",
    "the fingerprint of a note of at least 30 words; see quality.near_duplicates for what it is for",
    _columns(
        *_PART,
        ("signature", TEXT, "MinHash of its runs of three words: 64 values of 16 bits, each as 4 hex digits"),
    ),
    key=("note_id", "ordinal"),
    partition=_SOURCE,
    sort=("note_id", "ordinal"),
)
EVENTS: Final = Table(
    "notes",
    "events",
    "an event, immutable; the first arrival of an event_id wins",
    _columns(
        ("event_id", TEXT, "Id the producer gave it, or stream, shard and position"),
        ("source", TEXT, "Name of the source"),
        ("type", TEXT, "What happened, e.g. note.updated"),
        ("occurred_at", INSTANT, "When it happened (UTC)"),
        ("landed_at", INSTANT, "When notelake received it (UTC)"),
        ("path", TEXT, "Note or thing it is about; null if it names none"),
        ("moved_from", TEXT, "Where that note lay before, for note.moved"),
        ("actor", TEXT, "Who or what caused it"),
        ("detail", TEXT, "The event's own data as a JSON object"),
        ("shard", TEXT, "Shard it arrived in"),
        ("shard_sequence", INT, "Its position in that shard"),
        ("sequence", INT, "Its arrival in raw.<source>"),
    ),
    key=("source", "event_id"),
    partition=(Partition("source"), Partition("occurred_at", "day")),
    sort=("occurred_at", "event_id"),
)
_BATCH: Final = (
    ("batch_id", TEXT, "The batch: source, first and last arrival"),
    ("source", TEXT, "Name of the source"),
)
LEDGER: Final = Table(
    "ops",
    "ledger",
    "one input that was looked at because it was new or changed, and what became of it",
    _columns(
        *_BATCH,
        ("path", TEXT, "The input: a file of the source, or a shard"),
        ("op", TEXT, "What was seen: put, move, gone, unreadable, rows or events"),
        ("status", TEXT, "parsed, partial, quarantined, discarded, failed or removed"),
        ("parser", TEXT, "What read it"),
        ("seen", INT, "Units seen in it: 1 for a document, else rows or events"),
        ("committed", INT, "Units that were committed"),
        ("duplicate", INT, "Units that had been there before"),
        ("quarantined", INT, "Units that wait in ops.quarantine"),
        ("failed", INT, "Units that could not be read"),
        ("removed", INT, "Units that the source removed"),
        ("bytes", INT, "Size of the input in bytes"),
        (
            "dropped",
            TEXT,
            'Constructs that were not understood, as JSON: [{"construct": …, "count": …, "line": first or null}]',
        ),
        ("error", TEXT, "What went wrong, in words"),
        ("line", INT, "Line of the first error, from 1"),
        ("sequence", INT, "First arrival in raw.<source>"),
        ("recorded_at", INSTANT, "When the batch ran (UTC)"),
        added=(
            ("encoding", TEXT, "Encoding of its text; one that had to be guessed says so. Null if it is no text"),
            ("characters_in", INT, "Characters of the text in the file; null if it is no text"),
            ("characters_out", INT, "Characters in the bodies of the notes it became; null if none"),
            ("discarded", INT, "Units that were refused and that somebody gave up; null stands for 0"),
        ),
    ),
    key=("batch_id", "path", "sequence"),
    partition=_SOURCE,
    sort=("path",),
)
QUARANTINE: Final = Table(
    "ops",
    "quarantine",
    "a unit that was refused, with all its parts: a note, a row or an event",
    _columns(
        *_BATCH,
        ("unit", TEXT, "The refused unit: note_id, row or event position"),
        ("rule", TEXT, "Rule that refused it, e.g. notes.notes/title_not_empty"),
        ("reason", TEXT, "Why, in words"),
        ("key", TEXT, "Path, row key or event id, as far as known"),
        ("file", TEXT, "File or shard it came from"),
        ("line", INT, "Line in that file, from 1, if known"),
        ("payload", TEXT, "What was refused, as text or JSON; base64 with the prefix base64: if it is no text"),
        ("sequence", INT, "Arrival in raw.<source>"),
        ("quarantined_at", INSTANT, "When (UTC)"),
        ("released_at", INSTANT, "When it was audited again and let through (UTC)"),
        ("discarded_at", INSTANT, "When somebody gave it up (UTC)"),
        ("discarded_why", TEXT, "Why it was given up, in the words of who did"),
    ),
    key=("batch_id", "unit", "rule"),
    partition=_SOURCE,
    sort=("unit",),
)
AUDITS: Final = Table(
    "ops",
    "audits",
    "one expectation of one suite on one batch, and what was observed; or a figure of the batch",
    _columns(
        *_BATCH,
        ("suite", TEXT, "Suite: the table it judges"),
        ("expectation", TEXT, "Name of the expectation in the suite; of a figure e.g. count(*) or nulls(title)"),
        ("rule", TEXT, "row: refuses single units; table: refuses the batch; watch: is told; figure: is no rule"),
        ("success", BOOL, "Whether it held; true for a figure"),
        ("observed", pa.float64(), "Figure observed: share of bad rows in percent, or the value itself"),
        ("bad", INT, "Rows that broke it, or that have no value; null for other figures"),
        ("rows", INT, "Rows it looked at"),
        ("audited_at", INSTANT, "When (UTC)"),
    ),
    key=("batch_id", "suite", "expectation"),
    partition=_SOURCE,
    sort=("suite", "expectation"),
)

PARTS: Final[tuple[Table, ...]] = (SECTIONS, LINKS, TAGS, TASKS, CODE_BLOCKS, FIELDS, BLOCKS, ATTACHMENTS, FINGERPRINTS)
"""Tables whose rows belong to a note and are replaced with it."""

SHARED: Final[tuple[Table, ...]] = (NOTES, VERSIONS, *PARTS, EVENTS, LEDGER, QUARANTINE, AUDITS)
"""Every table that all sources share; each lake has them from its first run on."""

BY_IDENTIFIER: Final[Mapping[str, Table]] = MappingProxyType({table.identifier: table for table in SHARED})

_RAW_DOCUMENT: Final = _columns(
    ("sequence", INT, "Arrival number in this source, from 1, without gaps"),
    ("op", TEXT, "put, move, gone, or unreadable"),
    ("path", TEXT, "Path in the source, NFC, parts joined by /"),
    ("path_bytes", BYTES, "The path as the file system has it, where that differs from path in UTF-8; else null"),
    ("moved_from", TEXT, "Path before, for a move"),
    ("sha256", TEXT, "SHA-256 of the bytes, hex; null for gone and unreadable"),
    ("size", INT, "Size in bytes"),
    ("modified_at", INSTANT, "Modification time the file system gives (UTC)"),
    ("media_type", TEXT, "Media type, by name"),
    ("content", BYTES, "The bytes as they were; null for gone and unreadable"),
    ("error", TEXT, "Why it could not be read; null otherwise"),
    ("scan_id", TEXT, "The scan that saw it"),
    ("observed_at", INSTANT, "When it was seen (UTC)"),
)
_RAW_ROW: Final = _columns(
    ("sequence", INT, "Arrival number in this source, from 1, without gaps"),
    (
        "_op",
        TEXT,
        (
            "put: a row as it came; refused: a row that could not be read; file: ends the rows of a file; "
            "same: a file that was not loaded, for its content stands under another path; gone: the file vanished, or, "
            "where _row_hash is given, the source has this row no more (modes merge, history; databases compared)"
        ),
    ),
    (
        "_file",
        TEXT,
        (
            "File it came from, relative to the source; of a database the table, and where it is incremental "
            "<table>/<first arrival>, for each landing adds to those before"
        ),
    ),
    ("_file_sha256", TEXT, "SHA-256 of that file, hex; of a table of a database a digest of its rows, at `file` only"),
    ("_row", INT, "Ordinal of the row in its file, from 1; for `file`, how many arrivals of it stand right before"),
    ("_row_hash", INT, "64-bit hash of the row's values"),
    ("_line", INT, "Line of a refused row, from 1; null otherwise"),
    ("_error", TEXT, "Why a row was refused; null otherwise"),
    (
        "_payload",
        TEXT,
        (
            "Text of a refused row; of `put` the values its schema contract left out, as JSON; of `file` how it was "
            "read, as JSON; of `same` the path that has its content"
        ),
    ),
    ("_landed_at", INSTANT, "When it landed (UTC)"),
)
_RAW_EVENT: Final = _columns(
    ("sequence", INT, "Arrival number in this source, from 1, without gaps"),
    ("event_id", TEXT, "Id the producer gave it; null if it gave none or the line could not be read"),
    ("type", TEXT, "Type of the event"),
    ("occurred_at", INSTANT, "When it happened (UTC); null if the time could not be read"),
    ("payload", TEXT, "The whole event as it was received; null if it is no UTF-8 text"),
    ("undecoded", BYTES, "The bytes of an event that is no UTF-8 text; null otherwise"),
    ("error", TEXT, "Why it could not be read; null otherwise"),
    ("stream", TEXT, "Stream: the name of the source"),
    ("shard", TEXT, "Shard in the stream"),
    ("shard_sequence", INT, "Position in the shard; for a log, the byte offset of its line"),
    ("line", INT, "Line in the shard's file, from 1"),
    ("landed_at", INSTANT, "When it landed (UTC)"),
)


@dataclass(frozen=True, slots=True)
class Shape:
    """What one batch of rows or events becomes: DuckDB queries over what has arrived.

    `rows` maps a table's identifier to a SELECT that gives the columns of its contract, by name and in order.
    `together` maps those of several tables to one SELECT that gives a row of each: every table takes its columns of it.
    `replaced` gives `note_id` of the notes whose rows, in notes and parts, make way for these (or are removed).
    `refusals` gives `unit, rule, reason, key, file, line, payload, sequence` of what the shaping itself refused.
    `inputs` gives one row per file or shard: `path, op, status, parser, seen, duplicate, quarantined, failed, removed,
    unchanged, bytes, dropped, error, line, sequence` (status parsed or failed; quarantined counts `refusals`).
    """

    rows: Mapping[str, str]
    replaced: str
    refusals: str
    inputs: str
    together: Mapping[tuple[str, ...], str] = field(default_factory=dict)


def raw_table(source: str, kind: Kind, extra: Sequence[Column] = ()) -> Table:
    """Return the contract of `raw.<source>`; `extra` are the columns a table source brings, with their field ids."""
    if kind == "documents":
        return Table("raw", source, "one observation of a file", _RAW_DOCUMENT, ("sequence",), sort=("sequence",))
    if kind == "table":
        return Table("raw", source, "an arrival of a row", (*_RAW_ROW, *extra), ("sequence",), sort=("sequence",))
    key = ("stream", "shard", "shard_sequence")
    return Table("raw", source, "an arrival of an event", _RAW_EVENT, key, sort=("sequence",))
