"""Events as they arrived to events as they count, and to the notes that note events speak of.

What belongs here: which arrivals are events, which are duplicates or refused, what each event says, and which notes a
batch of them touches. What does not: reading the stream (`landing.streams`) and the rules of the fold (`model.fold`;
the pipeline passes it in). Notes whose history knows no move are folded here in SQL, by the same rules; a test holds
the two together.

All text of events stays in DuckDB and streams through its queries: only narrow columns are sorted, joined or kept in
temporary tables. An event that keeps no `detail` apart is its own detail.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final

import duckdb
import pyarrow as pa

from dagster_project.contracts import EVENTS, NOTES, TAGS, VERSIONS, Shape
from dagster_project.sources import StreamSource
from dagster_project.sql_words import first_given, literal, pointer

Fold = Callable[[pa.Table, str], tuple[pa.Table, pa.Table]]
"""events of connected notes, source -> the notes they leave, what each event did; as `model.fold.fold_table`."""

Keep = Callable[[str], str]
"""a query of new rows of notes.events -> those rows, kept, as SQL that can stand after FROM."""

PARSER: Final = "json"
SAID: Final = ("path", "moved_from", "actor", "detail")
"""Fields of a source's mapping that an event has columns for and its arrival in raw has not."""
USED: Final = ("title", "body", "text", "tags")
"""Keys of an event's detail that have a column of their own in `notes.notes`."""
_FOLDED: Final = "['note.deleted', 'note.moved', 'note.created', 'note.updated']"
"""The types that change notes, in the order in which they are taken at one instant; as `model.fold.RANKS`."""


def shape_events(
    con: duckdb.DuckDBPyConnection,
    source: StreamSource,
    *,
    raw: str,
    is_fresh: str,
    known_events: str | None,
    all_events: str | None,
    notes: str | None,
    versions: str | None = None,
    observed_at: datetime,
    fold: Fold,
    keep: Keep | None = None,
) -> Shape:
    """Shape the arrivals of the relation `raw` for whose `sequence` the SQL `is_fresh` is true.

    `known_events` gives the `event_id` of this source within the dedupe window, `all_events` its whole notes.events,
    `notes` its notes as they stand, `versions` its notes.versions; each is SQL that can stand after FROM, or None where
    there are none yet. A row of notes.versions stands for one that has its sequence. They may
    hold this batch's own rows (a batch done again): those that are fresh are left out of them.
    Makes temporary tables in `con`, which the queries of the result need. With `keep`, the rows of notes.events are
    made once, kept by it, and read from there for the notes; they are then not among the result's rows.

    Per shard: seen = events + duplicate + quarantined.
    """
    batch = _Batch(con, source, f"(SELECT * FROM {raw} AS a WHERE {is_fresh})", is_fresh)
    batch.find_dropped(known_events)
    new_events = f"SELECT {_names(EVENTS.schema)} FROM {batch.events}"
    if keep:
        batch.events = keep(new_events)
    batch.find_note_events(all_events)
    batch.fold_simple()
    batch.fold_connected(fold)
    return Shape(
        rows=({} if keep else {EVENTS.identifier: new_events})
        | {
            NOTES.identifier: batch.notes_rows(observed_at),
            VERSIONS.identifier: batch.versions_rows(versions),
            TAGS.identifier: batch.tags_rows(),
        },
        replaced=batch.replaced(notes),
        refusals=batch.refusals(),
        inputs=batch.inputs(),
    )


def shape_arrivals(
    con: duckdb.DuckDBPyConnection,
    source: StreamSource,
    *,
    raw: str,
    is_fresh: str,
    known_events: str | None,
    suspects: str | None = None,
    is_said: bool = False,
) -> Shape:
    """Shape the arrivals of `raw` to events alone, as `shape_events` does; their notes are folded later.

    `suspects` is a table with a column `h`: only arrivals whose id has one of these as its `hash` can be
    duplicates. With `is_said`, `raw` has the columns `SAID` too.
    """
    batch = _Batch(con, source, f"(SELECT * FROM {raw} AS a WHERE {is_fresh})", is_fresh, is_said=is_said)
    batch.find_dropped(known_events, suspects)
    return Shape(
        rows={EVENTS.identifier: f"SELECT {_names(EVENTS.schema)} FROM {batch.events}"},
        replaced="SELECT NULL::VARCHAR AS note_id LIMIT 0",
        refusals=batch.refusals(),
        inputs=batch.inputs(),
    )


def fold_events(
    con: duckdb.DuckDBPyConnection,
    source: StreamSource,
    *,
    is_fresh: str,
    events: str,
    versions: str,
    notes: str | None,
    observed_at: datetime,
    fold: Fold,
    note_ids: str | None = None,
) -> Shape:
    """Fold events that are committed into the notes they speak of, or into those of them that `note_ids` gives.

    `is_fresh` is SQL that is true for the `sequence` of the events that are folded. `events`, `versions` and `notes`
    are what the source has of these tables, as SQL that can stand after FROM; `note_ids` is a query. Versions are made
    for the events that have none; without `note_ids` also for those whose version became another, in its place.
    """
    batch = _Batch(con, source, events, is_fresh)
    batch.events = f"(SELECT * FROM {events} AS e WHERE {is_fresh})"
    batch.find_note_events(events)
    batch.fold_simple()
    batch.fold_connected(fold)
    meant = f"note_id IN ({note_ids})" if note_ids else "true"
    known = f" AND sequence NOT IN (SELECT sequence FROM {versions} AS v)" if note_ids else ""
    told = batch.versions_rows(None if note_ids else versions)
    standing = f" UNION SELECT note_id FROM {notes} AS n WHERE path IN (SELECT path FROM folded WHERE {meant})"
    return Shape(
        rows={
            NOTES.identifier: f"SELECT * FROM ({batch.notes_rows(observed_at)}) AS n WHERE {meant}",
            VERSIONS.identifier: f"SELECT * FROM ({told}) AS n WHERE {meant}{known}",
            TAGS.identifier: f"SELECT * FROM ({batch.tags_rows()}) AS n WHERE {meant}",
        },
        replaced=f"SELECT note_id FROM folded WHERE {meant}{standing if notes else ''}"
        if note_ids
        else batch.replaced(notes),
        refusals="SELECT NULL::VARCHAR AS unit LIMIT 0",
        inputs="SELECT NULL::VARCHAR AS path LIMIT 0",
    )


def _names(schema: pa.Schema) -> str:
    return ", ".join(f'"{name}"' for name in schema.names)


_RULE: Final = """CASE WHEN undecoded IS NOT NULL THEN 'encoding' WHEN error IS NOT NULL THEN 'json'
    WHEN type IS NULL THEN 'type' WHEN occurred_at IS NULL THEN 'occurred_at' END"""
_REASON: Final = """CASE rule WHEN 'type' THEN 'it has no type where the source''s mapping looks for it'
    WHEN 'occurred_at' THEN 'it has no time, or one that can''t be read, where the source''s mapping looks for it'
    ELSE error END"""
ID: Final = "coalesce(event_id, stream || '/' || shard || '/' || shard_sequence)"
"""The id of an arrival's event, in SQL."""
_ORDER: Final = "occurred_at, rank, event_id"
_UNTITLED: Final = "title IS NULL AND type <> 'note.deleted'"
_KEY: Final = f"row({_ORDER}, -sequence)"


class _Batch:
    """The temporary tables of one batch, and the queries over them."""

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        source: StreamSource,
        arrivals: str,
        is_fresh: str,
        *,
        is_said: bool = False,
    ) -> None:
        self._con = con
        self._source = source
        self._name = literal(source.name)
        self._history: str | None = None
        self._is_fresh = is_fresh
        self._arrivals = arrivals
        self.events = self._events_query(is_said=is_said)

    def _make(self, table: str, query: str) -> None:
        self._con.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS {query}")

    def find_dropped(self, known: str | None, suspects: str | None = None) -> None:
        """Make `dropped(sequence, shard, rule)`: refused arrivals, and duplicates (`rule` is null)."""
        looked_at = f" WHERE {_RULE} IS NOT NULL OR hash({ID}) IN (SELECT h FROM {suspects})" if suspects else ""
        found = f"SELECT sequence, shard, {_RULE} AS rule, {ID} AS event_id FROM {self._arrivals}"
        self._make("arrival", f"{found}{looked_at}")
        seen = (
            f"UNION SELECT sequence FROM arrival WHERE rule IS NULL AND event_id IN (SELECT event_id FROM {known})"
            if known
            else ""
        )
        self._make(
            "dropped",
            f"""
            WITH doubled AS (
                SELECT event_id, min(sequence) AS first FROM arrival WHERE rule IS NULL
                GROUP BY event_id HAVING count(*) > 1),
            duplicate AS (
                SELECT sequence FROM arrival JOIN doubled USING (event_id)
                WHERE rule IS NULL AND sequence > first {seen})
            SELECT sequence, shard, rule FROM arrival
            WHERE rule IS NOT NULL OR sequence IN (SELECT sequence FROM duplicate)
            """,
        )
        self._make(
            "arrived_shard",
            f"SELECT shard, count(*) AS seen, min(sequence) AS sequence FROM {self._arrivals} GROUP BY shard",
        )
        self._con.execute("DROP TABLE arrival")

    def _events_query(self, *, is_said: bool) -> str:
        """The rows of notes.events: the arrivals that were not dropped."""
        mapping = self._source.event
        kept = f"(SELECT * FROM {self._arrivals} ANTI JOIN dropped USING (sequence))"
        whole = _without(self._envelope(), "payload")
        details = [f"json_extract(payload, {pointer(*path.split('.'))})" for path in mapping.detail]
        value = f"coalesce({', '.join(details) or 'NULL'}, NULL)"
        return f"""(
            SELECT {ID} AS event_id, {self._name} AS source, type, occurred_at, landed_at, path, moved_from, actor,
                   CASE WHEN detail IS NULL THEN {whole}
                        WHEN starts_with(detail, '{{') AND json_valid(detail) THEN detail
                        ELSE json_object('value', {value})::VARCHAR END AS detail,
                   shard, shard_sequence, sequence
            FROM {kept if is_said else self._said(kept)})"""

    def _said(self, arrivals: str) -> str:
        """Arrivals with the columns `SAID`, as their landing reads them."""
        places = {name: getattr(self._source.event, name) for name in SAID}
        wanted = ", ".join(pointer(*path.split(".")) for paths in places.values() for path in paths)
        found = f"SELECT *, json_extract_string(payload, [{wanted}]) AS f FROM {arrivals}"
        return f"(SELECT *, {first_given(places)} FROM ({found}))"

    def _envelope(self) -> list[str]:
        mapping = self._source.event
        return [path for path in (*mapping.event_id, *mapping.type, *mapping.occurred_at) if "." not in path]

    def find_note_events(self, history: str | None) -> None:
        """Make `affected(path, connected)`, and `note_event`: what changes these notes, old and new, without text."""
        chosen = f"type IN ({_FOLDED[1:-1]}) AND path IS NOT NULL"
        fresh = f"(SELECT * FROM {self.events} AS fresh WHERE {chosen})"
        self._history = history
        old = f"(SELECT * FROM {history} AS h WHERE NOT {self._is_fresh} AND {chosen})" if history else None
        self._make("touched", _said(fresh))
        moves = "SELECT path, moved_from FROM touched WHERE type = 'note.moved' AND moved_from IS NOT NULL"
        if old:
            moves += f" UNION SELECT path, moved_from FROM {old} WHERE type = 'note.moved' AND moved_from IS NOT NULL"
        edges = self._con.execute(f"SELECT DISTINCT path, moved_from FROM ({moves})").fetchall()
        paths = {path for (path,) in self._con.execute("SELECT DISTINCT path FROM touched").fetchall()}
        connected = pa.table({"path": pa.array(sorted(_connected(edges, paths)), pa.string())})
        self._con.register("connected_paths", connected)
        self._make(
            "affected",
            """SELECT path, true AS connected FROM connected_paths UNION ALL
               SELECT DISTINCT path, false FROM touched WHERE path NOT IN (SELECT path FROM connected_paths)""",
        )
        self._con.unregister("connected_paths")
        before = f" UNION ALL SELECT * FROM ({_said(old)}) WHERE path IN (SELECT path FROM affected)" if old else ""
        self._make(
            "note_event", f"SELECT e.*, connected FROM (SELECT * FROM touched{before}) e JOIN affected USING (path)"
        )
        self._con.execute("DROP TABLE touched")

    def _texts(self, sequences: str) -> str:
        """Title, body, tags and properties of the events with these sequences."""
        chosen = f"sequence IN ({sequences})"
        fresh = f"SELECT sequence, detail FROM {self.events} AS fresh WHERE {chosen}"
        old = (
            f" UNION ALL SELECT sequence, detail FROM {self._history} AS h WHERE NOT {self._is_fresh} AND {chosen}"
            if self._history
            else ""
        )
        return f"""
            SELECT sequence, f[1] AS title, coalesce(f[2], f[3]) AS body, {_tags("f[4]")} AS tags,
                   {_without(self._consumed(), "detail")} AS properties
            FROM (SELECT sequence, detail, json_extract_string(detail, ['/title', '/body', '/text', '/tags']) AS f
                  FROM ({fresh}{old}))"""

    def _consumed(self) -> list[str]:
        """Keys of a detail that went to columns: those with a place in the notes, and where path and actor stood."""
        mapping = self._source.event
        keys = [*mapping.path, *mapping.moved_from, *mapping.actor]
        prefixes = tuple(f"{detail}." for detail in mapping.detail)
        inner = [key.removeprefix(prefix) for key in keys for prefix in prefixes if key.startswith(prefix)]
        return [*USED, *dict.fromkeys(key for key in (*inner, *keys) if "." not in key)]

    def fold_simple(self) -> None:
        """Make `folded`: the notes without moves, each from its winning events; and their texts."""
        self._make(
            "winner",
            f"""
            WITH lives AS (
                SELECT e.* FROM note_event e LEFT JOIN (
                    SELECT path, max({_KEY}) AS died FROM note_event
                    WHERE NOT connected AND type = 'note.deleted' GROUP BY path) d USING (path)
                WHERE NOT connected AND (died IS NULL OR {_KEY} > died))
            SELECT path, arg_max(sequence, {_KEY}) AS sequence,
                   min(occurred_at) AS created_at, max(occurred_at) AS modified_at,
                   arg_min(actor, {_KEY}) FILTER (actor IS NOT NULL AND actor <> '') AS author,
                   arg_max(title, {_KEY}) FILTER (title IS NOT NULL) AS title,
                   arg_max(sequence, {_KEY}) FILTER (has_body) AS body_from,
                   arg_max(sequence, {_KEY}) FILTER (has_tags) AS tags_from
            FROM lives GROUP BY path
            """,
        )
        self._make("said", self._texts("SELECT unnest([sequence, body_from, tags_from]) FROM winner"))
        self._make(
            "folded",
            f"""
            SELECT {self._id("w.path")} AS note_id, w.path, coalesce(w.title, {_stem("w.path")}) AS title,
                   coalesce(b.body, '') AS body, w.author, w.created_at, w.modified_at,
                   coalesce(t.tags, []::VARCHAR[]) AS tags, l.properties, w.sequence
            FROM winner w LEFT JOIN said l ON l.sequence = w.sequence LEFT JOIN said b ON b.sequence = body_from
            LEFT JOIN said t ON t.sequence = tags_from
            """,
        )
        self._con.execute("DROP TABLE said")

    def _id(self, path: str) -> str:
        """`model.identity.note_id` of a note that never moved."""
        return f"md5({self._name} || chr(31) || {path} || chr(31) || '0')"

    def fold_connected(self, fold: Fold) -> None:
        """Add to `folded` the notes that moves connect, and make `step`: the note each of their events was about."""
        self._make("step", "SELECT NULL::VARCHAR AS note_id, NULL::BIGINT AS sequence, NULL::VARCHAR AS title LIMIT 0")
        if not self._con.execute("SELECT 1 FROM note_event WHERE connected LIMIT 1").fetchone():
            return
        texts = self._texts("SELECT sequence FROM note_event WHERE connected")
        events = self._con.execute(
            f"""SELECT e.event_id, e.type, e.occurred_at, e.path, e.moved_from, e.actor, t.title, t.body, t.tags,
                       t.properties, e.sequence FROM note_event e JOIN ({texts}) t USING (sequence) WHERE e.connected"""
        ).to_arrow_table()
        notes, steps = fold(events, self._source.name)
        self._con.register("fold_notes", notes)
        self._con.register("fold_steps", steps)
        self._con.execute("INSERT INTO folded BY NAME SELECT * FROM fold_notes")
        self._make("step", "SELECT * FROM fold_steps")
        self._con.unregister("fold_notes")
        self._con.unregister("fold_steps")

    def notes_rows(self, observed_at: datetime) -> str:
        """The rows of notes.notes."""
        at = f"TIMESTAMPTZ {literal(observed_at.isoformat())}"
        return f"""
            SELECT note_id, {self._name} AS source, 'event' AS kind, path, title, body, author, created_at, modified_at,
                   list_sort(list_distinct(tags)) AS tags, []::VARCHAR[] AS aliases, properties,
                   {_words("body")} AS word_count,
                   NULL::VARCHAR AS content_sha256, NULL::BIGINT AS row_hash, false AS stale, {at} AS observed_at,
                   shard AS file, NULL::BIGINT AS line, sequence, NULL::VARCHAR AS file_id
            FROM folded LEFT JOIN (SELECT sequence, shard FROM note_event) USING (sequence)"""

    def versions_rows(self, versions: str | None) -> str:
        """The rows of notes.versions: one per new event, and those of earlier ones that became others by it.

        A move that is told late gives the versions about it another note, and what is told late of a note gives those
        after it another title. `versions` is what the source has of the table; without it only new events are told of.
        """
        self._find_version_events(revised=versions is not None)
        title = "CASE WHEN type <> 'note.deleted' THEN title END"
        then = f"last_value({title} IGNORE NULLS) OVER (PARTITION BY path, life ORDER BY {_ORDER})"
        lived = f"""
            SELECT *, count(*) FILTER (type = 'note.deleted')
                      OVER (PARTITION BY path ORDER BY {_ORDER}) AS life
            FROM note_event WHERE NOT connected AND path IN (
                SELECT path FROM version_event WHERE {_UNTITLED}
                INTERSECT SELECT path FROM note_event WHERE title IS NOT NULL)"""
        rows = f"""
            SELECT coalesce(s.note_id, {self._id("e.path")}) AS note_id, {self._name} AS source, e.sequence,
                   replace(e.type, 'note.', '') AS op, e.path,
                   CASE WHEN e.type = 'note.moved' THEN e.moved_from END AS moved_from,
                   CASE WHEN e.type <> 'note.deleted'
                        THEN coalesce(s.title, e.title, h.said, {_stem("e.path")}) END AS title,
                   NULL::VARCHAR AS content_sha256, NULL::BIGINT AS word_count, e.occurred_at AS modified_at,
                   e.occurred_at AS valid_from
            FROM version_event e LEFT JOIN step s ON s.sequence = e.sequence
            LEFT JOIN (SELECT sequence, {then} AS said FROM ({lived})) h ON h.sequence = e.sequence"""
        if versions is None:
            return rows
        known = "sequence IN (SELECT sequence FROM note_event)"
        told = f"SELECT sequence, note_id, title FROM {versions} AS v WHERE {known}"
        return f"""
            SELECT n.* FROM ({rows}) AS n LEFT JOIN ({told}) AS t USING (sequence)
            WHERE CASE WHEN t.note_id IS NULL THEN {self._is_fresh}
                       ELSE (n.note_id, n.title) IS DISTINCT FROM (t.note_id, t.title) END"""

    def _find_version_events(self, *, revised: bool) -> None:
        """Make `version_event`: the events whose versions are made, and those whose versions may have become others."""
        late = f"SELECT path, min(occurred_at) AS since FROM note_event WHERE {self._is_fresh} GROUP BY path"
        others = f" OR connected OR ({_UNTITLED} AND occurred_at >= since)" if revised else ""
        self._make(
            "version_event",
            f"SELECT * EXCLUDE (since) FROM note_event LEFT JOIN ({late}) USING (path) WHERE {self._is_fresh}{others}",
        )

    def tags_rows(self) -> str:
        """The rows of notes.tags."""
        return f"""
            SELECT note_id, {self._name} AS source, ordinal - 1 AS ordinal, tags[ordinal] AS tag, 'column' AS origin,
                   NULL::BIGINT AS line, NULL::BIGINT AS byte_start, NULL::BIGINT AS byte_end
            FROM (SELECT note_id, tags, unnest(range(1, len(tags) + 1)) AS ordinal FROM folded WHERE len(tags) > 0)"""

    def replaced(self, notes: str | None) -> str:
        """The notes as they stand at any path that the batch touches or that moves connect with one."""
        standing = f" UNION SELECT note_id FROM {notes} WHERE path IN (SELECT path FROM affected)" if notes else ""
        return f"SELECT note_id FROM folded{standing}"

    def refusals(self) -> str:
        """The arrivals that are no events."""
        return f"""
            SELECT stream || '/' || shard || '/' || shard_sequence AS unit, rule, {_REASON} AS reason, event_id AS key,
                   shard AS file, line,
                   coalesce(payload, 'base64:' || base64(undecoded)) AS payload, sequence
            FROM {self._arrivals} JOIN (SELECT sequence, rule FROM dropped WHERE rule IS NOT NULL) USING (sequence)"""

    def inputs(self) -> str:
        """What became of each shard's arrivals."""
        return f"""
            SELECT shard AS path, 'events' AS op, 'parsed' AS status, '{PARSER}' AS parser, seen,
                   coalesce(duplicate, 0) AS duplicate, coalesce(quarantined, 0) AS quarantined, 0::BIGINT AS failed,
                   0::BIGINT AS removed, 0::BIGINT AS unchanged, NULL::BIGINT AS bytes, NULL::VARCHAR AS dropped,
                   NULL::VARCHAR AS error, NULL::BIGINT AS line, sequence
            FROM arrived_shard LEFT JOIN (
                SELECT shard, count(*) FILTER (rule IS NULL) AS duplicate,
                       count(*) FILTER (rule IS NOT NULL) AS quarantined
                FROM dropped GROUP BY shard) USING (shard)"""


def _said(events: str) -> str:
    """What events say of notes, text left out: `has_body` and `has_tags` tell where there is some."""
    return f"""
        SELECT event_id, type, list_position({_FOLDED}, type) AS rank, occurred_at, path, moved_from, actor, shard,
               sequence, f[1] AS title, f[2] IS NOT NULL OR f[3] IS NOT NULL AS has_body, f[4] IS NOT NULL AS has_tags
        FROM (SELECT *, json_extract_string(detail, ['/title', '/body', '/text', '/tags']) AS f FROM {events})"""


def _without(keys: Iterable[str], column: str) -> str:
    """The object without these keys (RFC 7396: null takes a key out)."""
    patch = json.dumps(dict.fromkeys(keys), separators=(",", ":"), ensure_ascii=False)
    return f"json_merge_patch({column}, {literal(patch)})::VARCHAR"


def _tags(text: str) -> str:
    """Tags as a list of JSON, or as text parted by commas or semicolons; no leading #, none empty."""
    split = f"coalesce(TRY(from_json({text}, '[\"VARCHAR\"]')), regexp_split_to_array({text}, '[,;]'))"
    clean = f"list_transform({split}, lambda tag: regexp_replace(trim(tag), '^#', ''))"
    return f"CASE WHEN {text} IS NOT NULL THEN list_filter({clean}, lambda tag: tag <> '') END"


def _stem(path: str) -> str:
    """`model.fold.stem`."""
    return f"regexp_replace(regexp_replace({path}, '^.*/', '', 's'), '^(.+)\\.[^.]+$', '\\1', 's')"


def _words(text: str) -> str:
    return f"CASE WHEN trim({text}) = '' THEN 0 ELSE len(regexp_extract_all({text}, '\\S+')) END"


def _connected(edges: Iterable[tuple[str, str]], paths: set[str]) -> set[str]:
    """Return all paths that moves connect with one of `paths`; a path that no move names is not among them.

    >>> sorted(_connected([("b", "a"), ("z", "y")], {"a", "c"}))
    ['a', 'b']
    """
    neighbours: dict[str, set[str]] = {}
    for one, other in edges:
        neighbours.setdefault(one, set()).add(other)
        neighbours.setdefault(other, set()).add(one)
    waiting = [path for path in paths if path in neighbours]
    found = set(waiting)
    while waiting:
        new = neighbours[waiting.pop()] - found
        found |= new
        waiting.extend(new)
    return found
