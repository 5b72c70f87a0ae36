"""Rows of a table source to notes: SQL over what has landed, and nothing else.

What belongs here: which rows stand now, which of them are new, changed or gone, and what their columns mean.
What does not: reading files (`landing`), running the SQL and writing its rows (the steps of the pipeline).

The rows of a file are the arrivals right before its latest marker without `_error`; those of all files together are
the source as it stands. Of rows with the same key the last to arrive wins. What stands now is compared with what
stood before the batch, so a rewritten file that says the same makes no row. Wide text is only ever looked at in the
last step: what is sorted, grouped or joined is a key, a hash and a number per row, so memory stays bounded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import pyarrow as pa

from dagster_project.contracts import INT, NOTES, TAGS, TEXT, VERSIONS, Column, Shape, variant_doc
from dagster_project.errors import SourceInvalid
from dagster_project.sources import NoteMapping, TableSource
from dagster_project.sql_words import literal, sql_type

UNIT_SEPARATOR: Final = "chr(31)"
GUESSES: Final[Mapping[str, tuple[str, ...]]] = {
    "title": ("title", "name", "subject", "headline"),
    "body": ("body", "abstract", "description", "text", "content", "notes", "note"),
    "author": ("author", "authors", "speaker", "speakers", "by_", "created_by"),
    "created_at": ("created_at", "created", "date", "recorded", "recorded_at", "starts_at", "published_at"),
    "modified_at": ("updated_at", "updated", "modified_at", "modified", "last_modified"),
    "tags": ("tags", "topics", "labels", "keywords"),
}
"""Names a column of each note field usually has, the likeliest first."""
SHARE_OF_TIMES: Final = 0.99
"""A guessed time column is kept only if at least so many of its values are times."""
JOINED_AS_WRITTEN: Final = "SET disabled_optimizers = 'build_side_probe_side'"
"""What a connection is to be told before it runs these queries: the smaller side of each join stands on the right.

DuckDB takes raw for a few thousand rows, for it does not count them in files it reads by a schema; it would then hold
all its columns in memory to look a few numbers up in them. Read in its order, what comes out is in that order too."""
_KEY_NAME: Final = re.compile(r"^(id|key|uuid|guid|slug|.*_(id|key|uuid))$")
_TIME: Final = (
    r"^\s*(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(:\d{2}(?:[.]\d{1,9})?)?\s*(Z|z|[+-]\d{2}(?::?\d{2})?)?)?\s*$"
)


@dataclass(frozen=True, slots=True)
class _Names:
    """The mapping with every column found in the raw table."""

    key: tuple[Column, ...]
    title: Column | None
    body: Column | None
    author: Column | None
    created_at: Column | None
    modified_at: Column | None
    tags: Column | None
    rest: tuple[Column, ...]

    def times(self) -> list[tuple[str, Column]]:
        """Return the time fields that have a column."""
        fields = (("created_at", self.created_at), ("modified_at", self.modified_at))
        return [(field, column) for field, column in fields if column]


# --- the mapping ----------------------------------------------------------------------------------------------------


def guess_mapping(columns: Sequence[Column]) -> NoteMapping:
    """Guess which columns give which fields of a note, by their names alone; what is unsure is left out.

    The key is the first column called like one. Whether it is one the values tell: see `mapping_facts`.

    >>> names = ["talk_id", "event", "title", "description", "speakers", "recorded"]
    >>> guess = guess_mapping([Column(i, name, TEXT, name) for i, name in enumerate(names)])
    >>> guess.key, guess.title, guess.body, guess.author, guess.created_at, guess.tags
    (('talk_id',), 'title', 'description', 'speakers', 'recorded', None)
    """
    key = next((c.name for c in columns if _KEY_NAME.match(c.name) and not pa.types.is_nested(c.type)), None)
    by_name = {c.name: c for c in columns if c.name != key}
    found: dict[str, str] = {}
    for field, names in GUESSES.items():
        fitting = (name for name in names if name in by_name and _can_be(field, by_name[name].type))
        if name := next(fitting, None):
            found[field] = name
            del by_name[name]
    return NoteMapping(key=(key,) if key else (), **found)


def mapping_facts(mapping: NoteMapping, columns: Sequence[Column], raw: str) -> str:
    """Return SQL of one row that says whether the values of `raw` bear a guess out.

    `is_unique`: the key tells its rows apart and none is without. `created_at`, `modified_at`: the share of their
    values (0 to 1) that are times, null where there are none or the column's type says so. `raw` gives the arrivals
    the guess is checked on, as a query in brackets or a name.
    """
    names = _names(mapping, columns)
    key = _key_text(names)
    unique = f"count(*) = count(DISTINCT {key})" if names.key else "false"
    times = [
        f"{_share_of_times(column)} AS {field}"
        for field, column in (("created_at", names.created_at), ("modified_at", names.modified_at))
    ]
    return f"SELECT {unique} AS is_unique, {', '.join(times)} FROM {raw} AS r WHERE _op = 'put'"


def _share_of_times(column: Column | None) -> str:
    if column is None or pa.types.is_temporal(column.type):  # all it holds are times
        return "NULL::DOUBLE"
    return f"avg(CASE WHEN {_is_said(column)} THEN ({_instant(column)} IS NOT NULL)::INTEGER END)"


def settle_mapping(
    guess: NoteMapping, *, is_unique: bool, created_at: float | None, modified_at: float | None
) -> NoteMapping:
    """Return a guess without what the facts speak against.

    A key that is not unique would hide rows as duplicates, a time column whose values are none would refuse them.
    To be decided once, at the first landing, and kept: a source whose key came and went would change its notes' ids.

    >>> settle_mapping(NoteMapping(key=("id",), created_at="date"), is_unique=False, created_at=0.5, modified_at=None)
    NoteMapping(key=(), title=None, body=None, author=None, created_at=None, modified_at=None, tags=None)
    """
    update: dict[str, object] = {} if is_unique else {"key": ()}
    for field, share in (("created_at", created_at), ("modified_at", modified_at)):
        if share is not None and share < SHARE_OF_TIMES:
            update[field] = None
    return guess.model_copy(update=update)


def _can_be(field: str, type_: pa.DataType) -> bool:
    if field in ("created_at", "modified_at"):
        return bool(type_ == TEXT or pa.types.is_temporal(type_))
    if field in ("author", "tags"):
        return bool(type_ == TEXT or type_ == pa.list_(TEXT))
    return bool(type_ == TEXT)


def _names(mapping: NoteMapping, columns: Sequence[Column]) -> _Names:
    """Find the columns a mapping names, by their name in raw or their header; `SourceInvalid` if one is not there."""
    by_header = {column.doc: column for column in reversed(columns)}
    by_name = {column.name: column for column in columns}

    def find(name: str | None) -> Column | None:
        column = None if name is None else by_name.get(name) or by_header.get(name)
        if name is not None and column is None:
            raise SourceInvalid(
                f"The mapping names a column {name!r}; the table has {', '.join(by_name) or 'none'}. "
                "Name one of these in `note:`."
            )
        return column

    key = tuple(column for name in mapping.key if (column := find(name)))
    others = {field: find(getattr(mapping, field)) for field in GUESSES}
    mapped = {column.name for column in (*key, *others.values()) if column}
    return _Names(key=key, rest=tuple(c for c in columns if c.name not in mapped), **others)


def _whole(raw: str, columns: Sequence[Column], mapping: NoteMapping) -> tuple[str, tuple[Column, ...]] | None:
    """Return the arrivals with mapped columns whole: as text, with the values that did not fit their type.

    None if there are no such values, which is nearly always.
    """
    variants = {column.doc: column for column in columns}
    names = _names(mapping, columns)
    mapped = {c.name for c in columns} - {c.name for c in names.rest}
    joined = {
        c.name: variants[variant_doc(c.name)] for c in columns if c.name in mapped and variant_doc(c.name) in variants
    }
    if not joined:
        return None
    both = ", ".join(
        f"coalesce({_text(c)}, {_ref(joined[c.name])}) AS {_ref(c).removeprefix('r.')}"
        for c in columns
        if c.name in joined
    )
    gone = {column.name for column in joined.values()}
    kept = [c for c in columns if c.name not in gone]
    return (
        f"(SELECT * REPLACE ({both}) FROM {raw} AS r)",
        tuple(replace(c, type=TEXT) if c.name in joined else c for c in kept),
    )


# --- the shape ------------------------------------------------------------------------------------------------------


def shape_rows(
    source: TableSource,
    *,
    raw: str,
    columns: Sequence[Column],
    mapping: NoteMapping,
    after: int,
    to: int,
    notes: str | None,
    changes: str | None = None,
) -> Shape:
    """Return what the arrivals after `after` up to `to` make of the source's notes.

    `raw` and `notes` name relations (or are queries in brackets): all of `raw.<source>` with the user `columns`, and
    this source's rows of `notes.notes` as they stand, None for none. `to` must be the sequence of a marker. `changes`
    names a table that holds `row_changes(...)` of the same arguments: make one, or each query of the shape works it
    out anew. Units of refusals are note ids where the row has one, so that its last good version can be marked stale.
    Raises `SourceInvalid` if the mapping names a column that is not there.
    """
    whole = _whole(raw, columns, mapping)
    if whole is not None:
        raw, columns = whole
    names = _names(mapping, columns)
    if changes is None:
        query = row_changes(source, raw=raw, columns=columns, mapping=mapping, after=after, to=to, notes=notes)
        changes = f"({query})"
    made = f"(SELECT * FROM {changes} WHERE what IN ('created', 'updated'))"
    standing = f"{raw} AS r JOIN {made} AS c ON r.sequence = c.sequence"
    versions = "c.what AS op, NULL::VARCHAR AS moved_from, c.changed_at AS valid_from"
    both = f"SELECT {_note_columns(source, names)}, {versions} FROM {standing}"
    tags = {TAGS.identifier: _tag_rows(source, names, standing)} if names.tags else {}
    return Shape(
        together={(NOTES.identifier, VERSIONS.identifier): both},
        rows={VERSIONS.identifier: _last_versions(source, changes)} | tags,
        replaced=f"SELECT note_id FROM {changes} WHERE what IN ('updated', 'deleted')",
        refusals=_refusals(raw, columns, names, changes),
        inputs=_inputs(raw, changes, after=after, to=to),
    )


def row_changes(
    source: TableSource,
    *,
    raw: str,
    columns: Sequence[Column],
    mapping: NoteMapping,
    after: int,
    to: int,
    notes: str | None,
) -> str:
    """Return SQL that says of each arrival of the batch, and each other note that changes, what becomes of it.

    Columns: sequence, note_id (null where no note changes), path, file, mark (sequence of the marker it stands before,
    or that removed it), in_batch, changed_at, and `what`: created, updated, deleted, unchanged, duplicate (another row
    has its key, or a later landing of its file came in the same batch), quarantined (with `rule`), refused, failed,
    gone (an arrival among the rows of a file that says that its key has no row from there on; what that removes is
    deleted). To be run as it is written: see `JOINED_AS_WRITTEN`.
    """
    whole = _whole(raw, columns, mapping)
    if whole is not None:
        raw, columns = whole
    names = _names(mapping, columns)
    known = notes or "(SELECT NULL::VARCHAR AS path, 0::BIGINT AS row_hash, false AS stale WHERE false)"
    # Grouped and joined by path, which is short; the id of a row's note is made of its path, and only of those needed.
    return f"""
WITH marks AS MATERIALIZED (
    SELECT _file, _op, _error, _landed_at, sequence AS mark, sequence - coalesce(_row, 0) AS first,
        sequence > {after} AS in_batch
    FROM {raw} WHERE {_markers(source)} AND sequence <= {to}),
latest AS MATERIALIZED (
    SELECT _file, max(mark) AS now_mark, max(mark) FILTER (NOT in_batch) AS was_mark
    FROM marks WHERE _error IS NULL GROUP BY _file),
segments AS MATERIALIZED (
    SELECT m.*, coalesce(m.mark = l.now_mark, false) AS is_now, coalesce(m.mark = l.was_mark, false) AS is_was
    FROM marks m LEFT JOIN latest l ON m._file = l._file WHERE m._op = 'file'),
arrivals AS MATERIALIZED (
    SELECT r.sequence, r._op AS op, r._row_hash AS row_hash, s.mark, s.in_batch, s.is_now, s.is_was,
        {_path(names)} AS path, {_time_rule(names)} AS rule
    FROM {raw} AS r JOIN segments s ON r._file = s._file AND r.sequence >= s.first AND r.sequence < s.mark
    WHERE r._op IN ('put', 'refused', 'gone') AND (s.in_batch OR s.is_now OR s.is_was)),
last AS (
    SELECT path, max(mark) FILTER (in_batch AND op = 'gone') AS gone_mark,
        max(sequence) FILTER (is_now) AS now, max(sequence) FILTER (is_now AND op = 'put') AS now_put,
        max(sequence) FILTER (is_was) AS was, max(sequence) FILTER (is_was AND op = 'put') AS was_put
    FROM arrivals WHERE op IN ('put', 'gone') AND path IS NOT NULL AND (is_now OR is_was) GROUP BY path),
states AS (
    SELECT path, gone_mark, CASE WHEN now_put = now THEN now END AS now_sequence,
        CASE WHEN was_put = was THEN was END AS was_sequence FROM last),
moved AS MATERIALIZED (
    SELECT s.*, n.row_hash, n.stale, n.path IS NOT NULL AS is_present
    FROM states s LEFT JOIN {known} AS n ON s.path = n.path WHERE s.now_sequence IS DISTINCT FROM s.was_sequence),
became AS (
    SELECT a.sequence, a.path, f._file AS file, a.mark, a.in_batch, f._landed_at AS changed_at,
        CASE WHEN a.path IS NULL THEN 'mapping.key' ELSE a.rule END AS rule,
        CASE WHEN a.in_batch AND f._error IS NOT NULL THEN 'failed'
             WHEN a.op IN ('refused', 'gone') THEN a.op
             WHEN a.in_batch AND NOT a.is_now THEN 'duplicate'
             WHEN a.path IS NULL THEN 'quarantined'
             WHEN m.path IS NULL THEN 'duplicate'
             WHEN m.is_present AND m.row_hash = a.row_hash AND NOT coalesce(m.stale, false) THEN 'unchanged'
             WHEN a.rule IS NOT NULL THEN 'quarantined'
             WHEN m.is_present THEN 'updated' ELSE 'created' END AS what
    FROM arrivals a JOIN segments f ON a.mark = f.mark LEFT JOIN moved m ON a.sequence = m.now_sequence
    WHERE a.in_batch OR m.path IS NOT NULL),
removed AS (
    SELECT m.path, w._file AS file, coalesce(m.gone_mark, l.now_mark) AS mark
    FROM moved m JOIN arrivals a ON a.sequence = m.was_sequence
    JOIN segments w ON a.mark = w.mark JOIN latest l ON l._file = w._file
    WHERE m.now_sequence IS NULL AND m.is_present)
SELECT sequence, CASE WHEN what NOT IN ('unchanged', 'duplicate', 'gone') THEN {_note_id(source, "path")} END
    AS note_id, path, file, mark, in_batch, changed_at, rule, what
FROM became
UNION ALL
SELECT r.mark, {_note_id(source, "r.path")}, r.path, r.file, r.mark, false, m._landed_at, NULL, 'deleted'
FROM removed r JOIN marks m ON r.mark = m.mark
"""


# --- columns --------------------------------------------------------------------------------------------------------


def _note_columns(source: TableSource, names: _Names) -> str:
    values = {
        "note_id": "c.note_id",
        "source": literal(source.name),
        "kind": "'row'",
        "path": "c.path",
        "title": _title(names),
        "body": _body(names.body),
        "author": _said(names.author),
        "created_at": _instant(names.created_at),
        "modified_at": _instant(names.modified_at),
        "tags": f"list_sort(list_distinct({_tags(names.tags)}))",
        "aliases": "[]::VARCHAR[]",
        "properties": _json(names.rest),
        "word_count": _words(names.body),
        "content_sha256": "NULL::VARCHAR",
        "row_hash": "r._row_hash",
        "stale": "false",
        "observed_at": "r._landed_at",
        "file": "r._file",
        "line": "NULL::BIGINT",
        "sequence": "r.sequence",
        "file_id": "NULL::VARCHAR",
    }
    return ", ".join(f"{values[column.name]} AS {column.name}" for column in NOTES.columns)


def _last_versions(source: TableSource, changes: str) -> str:
    """Return SQL of the versions that end notes; all others come with the note."""
    values = {"source": literal(source.name), "op": "what", "valid_from": "changed_at"}
    values |= {name: name for name in ("note_id", "sequence", "path")}
    columns = (f"CAST({values.get(c.name, 'NULL')} AS {sql_type(c.type)}) AS {c.name}" for c in VERSIONS.columns)
    return f"SELECT {', '.join(columns)} FROM {changes} WHERE what = 'deleted'"


def _tag_rows(source: TableSource, names: _Names, standing: str) -> str:
    return (
        f"SELECT note_id, {literal(source.name)} AS source, (i - 1)::BIGINT AS ordinal, tags[i] AS tag, "
        "'column' AS origin, NULL::BIGINT AS line, NULL::BIGINT AS byte_start, NULL::BIGINT AS byte_end "
        "FROM (SELECT note_id, tags, "
        f"unnest(range(1, len(tags) + 1)) AS i FROM (SELECT c.note_id, {_tags(names.tags)} AS tags FROM {standing}))"
    )


def _refusals(raw: str, columns: Sequence[Column], names: _Names, changes: str) -> str:
    told = " ".join(_no_time(field, column) for field, column in names.times())
    keys = literal(", ".join(column.name for column in names.key))
    keyless = f"'the row has no key in ' || {keys} || '; row ' || r._row || ' of ' || c.file"
    return (
        "SELECT CASE WHEN c.what = 'refused' OR c.note_id IS NULL THEN CAST(c.sequence AS VARCHAR) "
        "ELSE c.note_id END AS unit, "
        "CASE WHEN c.what = 'refused' THEN 'row' ELSE c.rule END AS rule, "
        f"CASE WHEN c.what = 'refused' THEN r._error {told} ELSE {keyless} END AS reason, "
        "CASE WHEN c.what = 'refused' THEN NULL ELSE c.path END AS key, c.file, r._line AS line, "
        f"CASE WHEN c.what = 'refused' THEN r._payload ELSE {_json(columns)} END AS payload, c.sequence "
        f"FROM {raw} AS r JOIN (SELECT * FROM {changes} WHERE what IN ('refused', 'quarantined')) AS c "
        "ON r.sequence = c.sequence"
    )


def _no_time(field: str, column: Column) -> str:
    """Return the SQL case that tells why a row's time was refused."""
    what = literal(f"column {column.name} ({field}) holds ")
    form = literal(", which is no date or time like 2026-01-31 or 2026-01-31T10:00:00Z; row ")
    told = f"{what} || coalesce({_text(column)}, '') || {form} || coalesce(c.path, '') || ' of ' || c.file"
    return f"WHEN c.rule = 'mapping.{field}' THEN {told}"


def _inputs(raw: str, changes: str, *, after: int, to: int) -> str:
    counts = ", ".join(
        f"count(*) FILTER (in_batch AND what {test}) AS {name}"
        for name, test in (
            ("duplicate", "= 'duplicate'"),
            ("quarantined", "IN ('refused', 'quarantined')"),
            ("failed", "= 'failed'"),
            ("unchanged", "= 'unchanged'"),
            ("gone", "= 'gone'"),
        )
    )
    counts += ", count(*) FILTER (what = 'deleted') AS removed"
    told = [
        ("f._op = 'same'", "'file whose content stands under ' || f._payload", "1"),
        ("n.duplicate > 0", "'row with a key that a later row has, or superseded in the same batch'", "n.duplicate"),
        ("n.left_out > 0", "'row with values that the schema contract leaves out'", "n.left_out"),
    ]
    listed = ", ".join(
        f"CASE WHEN {when} THEN json_object('construct', {construct}, 'count', {count}, 'line', NULL) END"
        for when, construct, count in told
    )
    is_any = " OR ".join(when for when, _, _ in told)
    dropped = f"CASE WHEN {is_any} THEN to_json(list_filter([{listed}], lambda d: d IS NOT NULL)) END"
    return (
        "SELECT f._file AS path, CASE f._op WHEN 'gone' THEN 'gone' ELSE 'rows' END AS op, "
        "CASE WHEN f._op = 'gone' THEN 'removed' WHEN f._error IS NULL THEN 'parsed' ELSE 'failed' END AS status, "
        f"coalesce({_told('format')}, regexp_extract(lower(f._file), '[.]([a-z]+)(?:[.](gz|zst))?$', 1)) AS parser, "
        f"{_told('encoding')} AS encoding, coalesce(f._row, 0) - coalesce(n.gone, 0) AS seen, "
        "CASE f._op WHEN 'same' THEN f._row ELSE coalesce(n.duplicate, 0) END AS duplicate, "
        "coalesce(n.quarantined, 0) AS quarantined, "
        "coalesce(n.failed, 0) AS failed, "
        "coalesce(n.removed, 0) AS removed, coalesce(n.unchanged, 0) AS unchanged, NULL::BIGINT AS bytes, "
        f"{dropped} AS dropped, f._error AS error, n.line, "
        "CASE f._op WHEN 'file' THEN f.sequence - coalesce(f._row, 0) ELSE f.sequence END AS sequence "
        f"FROM {raw} AS f LEFT JOIN (SELECT mark, {counts}, min(r._line) FILTER (r.is_refused) AS line, "
        f"count(*) FILTER (r.s IS NOT NULL AND NOT r.is_refused) AS left_out FROM {changes} AS c LEFT JOIN "
        f"(SELECT sequence AS s, _line, _op = 'refused' AS is_refused FROM {raw} "
        "WHERE _op = 'refused' OR (_op = 'put' AND _payload IS NOT NULL)) AS r "
        "ON c.sequence = r.s AND c.in_batch GROUP BY mark) AS n ON n.mark = f.sequence "
        f"WHERE {_ALL_MARKERS} AND f.sequence > {after} AND f.sequence <= {to}"
    )


_ALL_MARKERS: Final = "(_op IN ('file', 'same') OR (_op = 'gone' AND _row_hash IS NULL))"
"""SQL that is true for what ends a file's rows or says that it has none; a `gone` with a hash is one row's."""


def _markers(source: TableSource) -> str:
    """Return SQL that is true for the markers that count: where rows are appended, a file that vanished leaves them."""
    return "_op IN ('file', 'same')" if source.mode == "append" else _ALL_MARKERS


def _told(name: str) -> str:
    """Return SQL of what a marker says of how its file was read; null for one that says nothing."""
    return f"CASE WHEN f._op = 'file' AND json_valid(f._payload) THEN json_extract_string(f._payload, '$.{name}') END"


def _path(names: _Names) -> str:
    """Return SQL of the path of a row: its key, or its file and hash, equal rows numbered from the second on."""
    if names.key:
        return _key_text(names)
    ordinal = "row_number() OVER (PARTITION BY s.mark, r._op, r._row_hash ORDER BY r.sequence)"
    digits = "lpad(lower(hex(r._row_hash)), 16, '0')"
    return f"r._file || '#' || {digits} || CASE WHEN {ordinal} > 1 THEN '-' || {ordinal} ELSE '' END"


def _key_text(names: _Names) -> str:
    """Return SQL of the key's text, null if there is none; parts of a longer key are kept apart by escapes."""
    texts = [_key_part(column) for column in names.key]
    if len(texts) < 2:
        return texts[0] if texts else "NULL"
    parts = [f"replace(replace(coalesce({text}, ''), '%', '%25'), '/', '%2F')" for text in texts]
    return f"CASE WHEN coalesce({', '.join(texts)}) IS NOT NULL THEN concat_ws('/', {', '.join(parts)}) END"


def _key_part(column: Column) -> str:
    """Return SQL of a key's text; NaN is no key, for it equals nothing, itself included."""
    name = _ref(column)
    if pa.types.is_floating(column.type):
        return f"CASE WHEN NOT isnan({name}) THEN CAST({name} AS VARCHAR) END"
    return f"nullif({_text(column)}, '')"


def _note_id(source: TableSource, path: str) -> str:
    """Return SQL of the id of the note first seen at `path`, as `model.identity.note_id` gives it."""
    return f"md5({literal(source.name)} || {UNIT_SEPARATOR} || {path} || {UNIT_SEPARATOR} || '0')"


def _time_rule(names: _Names) -> str:
    """Return SQL of the rule a row breaks whose time says something that is no time; null for all others."""
    cases = [
        f"WHEN {_is_said(column)} AND {_instant(column)} IS NULL THEN 'mapping.{field}'"
        for field, column in names.times()
        if not pa.types.is_temporal(column.type)
    ]
    return f"CASE {' '.join(cases)} END" if cases else "NULL::VARCHAR"


def _instant(column: Column | None) -> str:
    """Return SQL of a column as an instant: ISO dates and times, UTC where they name no zone; null for all else."""
    if column is None or column.type == INT:
        return "NULL::TIMESTAMPTZ"
    name = _ref(column)
    if pa.types.is_date(column.type) or column.type == pa.timestamp("us"):
        return f"(CAST({name} AS TIMESTAMP) AT TIME ZONE 'UTC')"
    if pa.types.is_timestamp(column.type):
        return name
    day, minute, second, zone = (
        f"regexp_extract({_text(column)}, {literal(_TIME)}, {group})" for group in (1, 2, 3, 4)
    )
    spelled = f"regexp_replace({zone}, '(\\d{{2}})(\\d{{2}})$', '\\1:\\2')"
    zone = f"CASE WHEN {zone} IN ('', 'Z', 'z') THEN '+00' ELSE {spelled} END"
    minute, second = f"coalesce(nullif({minute}, ''), '00:00')", f"coalesce(nullif({second}, ''), ':00')"
    return f"TRY_CAST({day} || ' ' || {minute} || {second} || {zone} AS TIMESTAMPTZ)"


def _is_said(column: Column) -> str:
    return f"coalesce(trim({_text(column)}), '') <> ''"


def _title(names: _Names) -> str:
    return f"coalesce({_said(names.title)}, c.path)" if names.title else "c.path"


def _said(column: Column | None) -> str:
    """Return SQL of a column's text, null if it is empty."""
    return f"nullif(trim({_text(column)}), '')" if column else "NULL::VARCHAR"


def _text(column: Column | None) -> str:
    if column is None:
        return "NULL::VARCHAR"
    name = _ref(column)
    if column.type == pa.list_(TEXT) or (
        pa.types.is_list(column.type) and not pa.types.is_nested(column.type.value_type)
    ):
        return f"array_to_string({name}, ', ')"
    if pa.types.is_nested(column.type):
        return f"CAST(to_json({name}) AS VARCHAR)"
    return name if column.type == TEXT else f"CAST({name} AS VARCHAR)"


def _tags(column: Column | None) -> str:
    """Return SQL of the tags as written and in order, without # and blanks around them."""
    if column is None:
        return "[]::VARCHAR[]"
    name = _ref(column)
    split = (
        f"CAST({name} AS VARCHAR[])"
        if pa.types.is_list(column.type)
        else f"regexp_split_to_array({_text(column)}, '[,;]')"
    )
    trimmed = f"list_transform({split}, lambda t: ltrim(trim(t), '#'))"
    return f"coalesce(list_filter({trimmed}, lambda t: t <> ''), [])"


def _body(column: Column | None) -> str:
    return f"coalesce({_text(column)}, '')" if column else "''"


def _words(body: Column | None) -> str:
    """Return SQL of how many words the body has: what stands between blanks, tabs and line ends."""
    if body is None:
        return "0::BIGINT"
    spaced = f"translate({_body(body)}, chr(9) || chr(10) || chr(13), '   ')"
    return f"len(list_filter(string_split({spaced}, ' '), lambda w: w <> ''))"


def _json(columns: Sequence[Column]) -> str:
    """Return SQL of a JSON object of columns, each as it is typed."""
    pairs = (f"{literal(column.name)}, {_json_value(column)}" for column in columns)
    return f"CAST(json_object({', '.join(pairs)}) AS VARCHAR)"


def _json_value(column: Column) -> str:
    name = _ref(column)
    if pa.types.is_floating(column.type):  # JSON has no word for NaN and infinity
        return f"CASE WHEN isfinite({name}) THEN to_json({name}) ELSE to_json(CAST({name} AS VARCHAR)) END"
    # A struct of an earlier batch lacks the fields that came later.
    return f"CAST({name} AS {sql_type(column.type)})" if pa.types.is_nested(column.type) else name


def _ref(column: Column) -> str:
    """Return SQL of a raw column: always by its table, for a user's column may be called like one of ours."""
    return 'r."' + column.name.replace('"', '""') + '"'
