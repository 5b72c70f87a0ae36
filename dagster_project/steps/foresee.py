"""What changes to files would do to notes that stand: links that would break, front matter that changes type.

What belongs here: comparing what the changed files are with the lake. What does not: which files changed (`landing`),
how they are read (`peek`), and anything that is written.

Links are resolved by the served view itself, over the notes as they stand and as they would stand.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

import duckdb
import pyarrow as pa

from dagster_project.contracts import ATTACHMENTS, LINKS, NOTES, SHARED
from dagster_project.lake.lake import Lake
from dagster_project.lake.pins import Pin
from dagster_project.lake.read import relation
from dagster_project.landing.documents import Step
from dagster_project.model.fold import stem
from dagster_project.settings import bundled
from dagster_project.shaping.parsed import Parsed
from dagster_project.sql_words import identifier, literal
from dagster_project.steps.peek import Peek, Trouble
from dagster_project.steps.serve import views_in
from dagster_project.views import scans
from dagster_project.views.publish import standing_on
from dagster_project.views.sql_files import View

RESOLVED: Final = "notes.resolved_links"


@dataclass(frozen=True, slots=True)
class RetypedKey:
    """A key of front matter whose value would be of another JSON type than before.

    `before` is the type in the note as it stands; where it has no such key, those of the other notes of the source.
    """

    key: str
    path: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class BrokenLink:
    """A link that leads to something now and would lead nowhere."""

    path: str
    """File it would stand in."""
    line: int | None
    kind: str
    target: str
    leads_to: str
    """Path it leads to now."""


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What the changes would do."""

    troubles: tuple[Trouble, ...] = ()
    retyped: tuple[RetypedKey, ...] = ()
    broken: tuple[BrokenLink, ...] = ()


def foresee(lake: Lake | None, source: str, steps: Sequence[Step], read: Peek) -> Foreseen:
    """Say what landing `steps` would do to the notes of `source`, their files being as `read`."""
    troubles = [Trouble(step.path, "failed", step.error or "") for step in steps if step.op == "unreadable"]
    troubles += read.troubles
    pins = lake.pins() if lake is not None else {}
    if lake is None or NOTES.identifier not in pins:
        return Foreseen(tuple(troubles))
    with lake.connect() as con:
        notes = _Notes(con, source, relation(pins[NOTES.identifier]))
        retyped = tuple(_retyped(notes, steps, read.parsed)) if read.parsed else ()
    broken = _Breaking(lake, pins, source, steps, read.parsed).links()
    return Foreseen(tuple(sorted(troubles, key=lambda trouble: trouble.path)), retyped, broken)


@dataclass(frozen=True, slots=True)
class _Notes:
    con: duckdb.DuckDBPyConnection
    source: str
    notes: str

    def types(self) -> dict[str, dict[str, str]]:
        """Return path -> key -> JSON type of the properties of every note of the source."""
        query = f"SELECT path, properties FROM {self.notes} AS n WHERE source = ? AND properties <> '{{}}'"
        rows = self.con.execute(query, [self.source]).fetchall()
        return {path: types_of(json.loads(properties)) for path, properties in rows}


def types_of(properties: Mapping[str, Any]) -> dict[str, str]:
    """Return key -> JSON type; a value that is null has none.

    >>> types_of({"date": "2026-01-01", "tags": [], "rating": 4, "done": True, "none": None})
    {'date': 'text', 'tags': 'list', 'rating': 'number', 'done': 'boolean'}
    """
    named = {str: "text", bool: "boolean", int: "number", float: "number", list: "list", dict: "object"}
    return {key: named.get(type(value), "text") for key, value in properties.items() if value is not None}


def _retyped(notes: _Notes, steps: Sequence[Step], parsed: Mapping[str, Parsed]) -> Iterator[RetypedKey]:
    present = notes.types()
    usual: dict[str, Counter[str]] = {}
    for types in present.values():
        for key, type_ in types.items():
            usual.setdefault(key, Counter())[type_] += 1
    for step in steps:
        if step.path not in parsed:
            continue
        own = present.get(step.moved_from or step.path, {})
        for key, after in types_of(parsed[step.path].properties).items():
            known = [own[key]] if key in own else [type_ for type_, _ in usual.get(key, Counter()).most_common()]
            if known and after not in known:
                yield RetypedKey(key, step.path, " or ".join(known), after)


@dataclass(frozen=True, slots=True)
class _Breaking:
    """Finds links that lead somewhere now and would lead nowhere."""

    lake: Lake
    pins: Mapping[str, Pin]
    source: str
    steps: Sequence[Step]
    parsed: Mapping[str, Parsed]

    def links(self) -> tuple[BrokenLink, ...]:
        """Return them in the order of their files. Only what vanished or moved can break a link."""
        away = {step.moved_from or step.path: step.path for step in self.steps if step.op in {"move", "gone"}}
        gone = {step.path for step in self.steps if step.op == "gone"}
        if not away or not {NOTES.identifier, LINKS.identifier, ATTACHMENTS.identifier} <= self.pins.keys():
            return ()
        places = self._places({old: None if new in gone else new for old, new in away.items()})
        with closing(self.lake.connect()) as now:
            _build(now, self.pins, {})
            now.register("places", places)
            query = f"""
                WITH target AS (SELECT note_id FROM notes.notes SEMI JOIN places USING (path) WHERE source = $source)
                SELECT note_id, kind, target, any_value(target_path) AS leads_to FROM {RESOLVED}
                WHERE target_note_id IN (FROM target)
                  OR (source = $source AND target_path IN (SELECT path FROM places))
                GROUP BY ALL
            """
            leading = now.execute(query, {"source": self.source}).to_arrow_table()
            noted = "SELECT path, note_id FROM notes.notes WHERE source = ?"
            ids = dict(now.execute(noted, [self.source]).fetchall())
        return self._broken(leading, places, self._written(ids)) if leading.num_rows else ()

    def _places(self, away: Mapping[str, str | None]) -> pa.Table:
        """Return where each note and attachment in a file that moved would lie (null: nowhere), and its title there."""
        with closing(self.lake.connect()) as con:
            notes, attachments = (relation(self.pins[table.identifier]) for table in (NOTES, ATTACHMENTS))
            query = f"SELECT path, title FROM {notes} AS n WHERE source = $source UNION "
            query += f"SELECT path, NULL FROM {attachments} AS a WHERE source = $source"
            listed = con.execute(query, {"source": self.source}).fetchall()
        placed = {
            path: (path, to, self._title(path, to, title))
            for path, title in sorted(listed, key=lambda row: row[1] or "")
            for to in _place(path, away)
        }
        columns = zip(*placed.values(), strict=True) if placed else [()] * 3
        return pa.table({n: pa.array(c, pa.string()) for n, c in zip(("path", "place", "title"), columns, strict=True)})

    def _title(self, path: str, to: str | None, title: str | None) -> str | None:
        if to is not None and to in self.parsed:
            return self.parsed[to].title
        return stem(to) if to is not None and title == stem(path) else title

    def _written(self, ids: Mapping[str, str]) -> pa.Table:
        """Return the links of files that were edited as they are written now, by note."""
        before = {step.path: step.moved_from or step.path for step in self.steps}
        rows = [
            (ids[before[path]], kind, target, fragment, text, line)
            for path, parsed in self.parsed.items()
            if before[path] in ids
            for kind, target, fragment, text, line, *_ in parsed.links
        ]
        names = ("note_id", "kind", "target", "fragment", "text", "line")
        types = (*[pa.string()] * 5, pa.int64())
        columns = zip(*rows, strict=True) if rows else [()] * len(names)
        return pa.table({n: pa.array(c, t) for n, c, t in zip(names, columns, types, strict=True)})

    def _broken(self, leading: pa.Table, places: pa.Table, written: pa.Table) -> tuple[BrokenLink, ...]:
        before = {step.path: step.moved_from or step.path for step in self.steps}
        edited = pa.table({"path": pa.array([before[path] for path in self.parsed], pa.string())})
        new = [step.path for step in self.steps if step.op == "put" and step.is_new]
        titles = [self.parsed[path].title if path in self.parsed else stem(path) for path in new]
        aliases = [self.parsed[path].aliases if path in self.parsed else [] for path in new]
        added = pa.table(
            {
                "path": pa.array(new, pa.string()),
                "title": pa.array(titles, pa.string()),
                "aliases": pa.array(aliases, pa.list_(pa.string())),
            }
        )
        with closing(self.lake.connect()) as then:
            for name, table in (
                ("places", places),
                ("leads", leading),
                ("written", written),
                ("edited", edited),
                ("added", added),
            ):
                then.register(name, table)
            _build(then, self.pins, _as_they_would_stand(self.pins, self.source))
            found = then.execute(f"""
                SELECT n.path, r.line, r.kind, r.target, l.leads_to
                FROM {RESOLVED} AS r
                JOIN leads AS l USING (note_id, kind, target)
                JOIN notes.notes AS n ON n.note_id = r.note_id
                WHERE r.resolution = 'missing' ORDER BY 1, 2, 4
            """).fetchall()
        return tuple(BrokenLink(*row) for row in found)


def _place(path: str, away: Mapping[str, str | None]) -> Iterator[str | None]:
    """Yield where `path`, or the file it lies in, would be.

    >>> list(_place("a.enex/Note", {"a.enex": "b.enex"})), list(_place("a.md", {"a.md": None})), list(_place("c", {}))
    (['b.enex/Note'], [None], [])
    """
    parts = path.split("/")
    for count in range(len(parts), 0, -1):
        file = "/".join(parts[:count])
        if file in away:
            to = away[file]
            yield None if to is None else "/".join([to, *parts[count:]])
            return


def _as_they_would_stand(pins: Mapping[str, Pin], source: str) -> dict[str, str]:
    """Return the SELECTs of notes, attachments and those links that count, over the tables that tell of the changes."""
    own = f"source = {literal(source)}"
    moved = (
        "SELECT t.* REPLACE ({0}) FROM ({1}) AS t "
        f"LEFT JOIN places AS p ON t.path = p.path AND t.{own} WHERE p.path IS NULL OR p.place IS NOT NULL"
    )
    place = "coalesce(p.place, t.path) AS path"
    notes = moved.format(f"{place}, coalesce(p.title, t.title) AS title", scans.scan(pins[NOTES.identifier]))
    attachments = moved.format(place, scans.scan(pins[ATTACHMENTS.identifier]))
    new = f"SELECT {literal(source)} AS source, path AS note_id, path, title, aliases, 'document' AS kind FROM added"
    kept = (
        f"SELECT k.* FROM ({scans.scan(pins[LINKS.identifier])}) AS k SEMI JOIN leads USING (note_id, kind, target) "
        f"WHERE note_id NOT IN (SELECT e.note_id FROM ({scans.scan(pins[NOTES.identifier])}) AS e JOIN edited "
        f"USING (path) WHERE e.{own})"
    )
    now = f"SELECT {literal(source)} AS source, row_number() OVER () AS ordinal, * FROM written"
    return {
        NOTES.identifier: f"{notes} UNION ALL BY NAME {new}",
        ATTACHMENTS.identifier: attachments,
        LINKS.identifier: f"{kept} UNION ALL BY NAME {now} SEMI JOIN leads USING (note_id, kind, target)",
    }


def _build(con: duckdb.DuckDBPyConnection, pins: Mapping[str, Pin], instead: Mapping[str, str]) -> None:
    """Make the tables and what `RESOLVED` stands on as views of `con`, with other SELECTs for some tables."""
    base = {
        table.identifier: instead.get(table.identifier) or scans.scan(pins[table.identifier])
        for table in SHARED
        if table.identifier in pins
    }
    views = _needed({view.identifier: view for view in views_in(bundled("sql") / "views")})
    for schema in sorted({name.split(".")[0] for name in (*base, *(view.identifier for view in views))}):
        con.execute(f"CREATE SCHEMA IF NOT EXISTS {identifier(schema)}")
    own = {view.identifier: view for view in views}
    for name, sql in base.items():
        if name not in own:
            con.execute(f"CREATE VIEW {scans.relation(name)} AS {sql}")
    for view in views:
        sql = standing_on(view, base[view.identifier]) if view.identifier in base else view.sql
        con.execute(f"CREATE VIEW {scans.relation(view.identifier)} AS {sql}")


def _needed(views: Mapping[str, View]) -> list[View]:
    """Return `RESOLVED` and the views it reads, each after those it reads itself, as `views` are."""
    wanted, waiting = set(), [RESOLVED]
    while waiting:
        name = waiting.pop()
        if name in views and name not in wanted:
            wanted.add(name)
            waiting.extend(views[name].depends_on)
    return [view for name, view in views.items() if name in wanted]
