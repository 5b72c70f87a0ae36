"""notes.resolved_links gives the same as the plain rule in model/links.py, on vaults made up to be awkward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dagster_project.model.links import Link, Resolved, Target, resolve
from dagster_project.views.sql_files import View

SEGMENT = st.sampled_from(
    ["a", "b", "A", "Ä", "ä", "x y", "x%20y", "50%", "%ff", "a___b", "a.md", ".md", ".h", "a b.md", "..a", "q:r"]
)
FOLDER = st.lists(st.sampled_from(["a", "b", "A", ".h", "x y", "..a", "p.q"]), max_size=3)
SUFFIX = st.sampled_from([".md", ".md", ".md", ".markdown", ".png", "", ".MD"])
SOURCE = st.sampled_from(["v", "w"])
NAMES = st.sampled_from(["a", "b", "A", "x y", "x%20y", "a___b", "a/b", "Ä", "", "https://a"])
PATH = st.builds(lambda folder, name, end: "/".join([*folder, name + end]), FOLDER, SEGMENT, SUFFIX)
WRITTEN = st.one_of(
    PATH,
    NAMES,
    st.builds(
        lambda lead, parts, end: lead + "/".join(parts) + end,
        st.sampled_from(["", "./", "../", "/", "//", "https://", "mailto:", "c:"]),
        st.lists(st.one_of(SEGMENT, st.sampled_from(["..", ".", "", "..", "x y"])), min_size=1, max_size=12),
        SUFFIX,
    ),
)
TYPES = {name: pa.string() for name in ("source", "note_id", "path", "title", "kind", "target")} | {
    "aliases": pa.list_(pa.string())
}
KIND = st.sampled_from(["wikilink", "markdown", "embed", "image", "wikilink", "markdown", "autolink"])
CHANGE: st.SearchStrategy[Callable[[str], str]] = st.sampled_from(
    [str, str.swapcase, lambda path: path.removesuffix(".md"), lambda path: path.removesuffix(".md").lower()]
)


def as_written(target: Target, parts: int, change: Callable[[str], str]) -> str:
    """Write a link that may well lead to `target`: the last parts of its path, changed a little."""
    return change("/".join(target.path.split("/")[-parts:]))


@st.composite
def vaults(draw: st.DrawFn) -> tuple[list[Target], list[Link]]:
    places = draw(st.lists(st.tuples(SOURCE, PATH), min_size=1, max_size=20, unique=True))
    targets = [
        Target(
            source,
            path,
            None if path.endswith(".png") else f"n{number:02}",
            draw(st.one_of(st.none(), NAMES)),
            tuple(draw(st.lists(NAMES, max_size=2))),
        )
        for number, (source, path) in enumerate(places)
    ]
    targets = [t if t.note_id else Target(t.source, t.path, None) for t in targets]
    notes = [target for target in targets if target.note_id]
    if not notes:
        return targets, []
    at = st.sampled_from(notes)
    known = st.builds(as_written, st.sampled_from(targets), st.integers(1, 5), CHANGE)
    to = st.one_of(known, known, WRITTEN)
    made = st.builds(lambda note, kind, to: Link(note.source, note.path, str(note.note_id), kind, to), at, KIND, to)
    return targets, draw(st.lists(made, min_size=5, max_size=40))


@pytest.fixture(scope="module")
def lake(written_views: Sequence[View]) -> duckdb.DuckDBPyConnection:
    """The view over empty tables of the columns it reads."""
    [view] = [view for view in written_views if view.identifier == "notes.resolved_links"]
    connection = duckdb.connect()
    connection.execute("CREATE SCHEMA notes")
    connection.execute("CREATE TABLE notes.notes (source TEXT, note_id TEXT, path TEXT, title TEXT, aliases TEXT[])")
    connection.execute("CREATE TABLE notes.attachments (source TEXT, path TEXT)")
    connection.execute(
        "CREATE TABLE notes.links (note_id TEXT, source TEXT, ordinal BIGINT, kind TEXT, target TEXT, fragment TEXT, "
        "text TEXT, line BIGINT, byte_start BIGINT, byte_end BIGINT)"
    )
    connection.execute(f"CREATE VIEW notes.resolved_links AS {view.sql}")
    return connection


def resolved_by_view(lake: duckdb.DuckDBPyConnection, targets: list[Target], links: list[Link]) -> list[Resolved]:
    notes = [t for t in targets if t.note_id]
    attachments = [t for t in targets if not t.note_id]
    fill(lake, "notes.notes", notes, ("source", "note_id", "path", "title", "aliases"))
    fill(lake, "notes.attachments", attachments, ("source", "path"))
    fill(lake, "notes.links", links, ("note_id", "source", "kind", "target"))
    query = "SELECT resolution, target_note_id, target_path FROM notes.resolved_links ORDER BY ordinal"
    return [Resolved(*row) for row in lake.execute(query).fetchall()]


def fill(lake: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Any], columns: Sequence[str]) -> None:
    values = {name: pa.array([getattr(row, name) for row in rows], TYPES[name]) for name in columns}
    values["ordinal"] = pa.array(range(len(rows)), pa.int64())
    given = pa.table(values if table == "notes.links" else {name: values[name] for name in columns})
    lake.execute(f"DELETE FROM {table}")
    lake.register("given", given)
    lake.execute(f"INSERT INTO {table} BY NAME FROM given")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(vault=vaults())
def test_the_view_finds_what_the_rule_finds(
    lake: duckdb.DuckDBPyConnection, vault: tuple[list[Target], list[Link]]
) -> None:
    targets, links = vault
    told = zip(links, resolved_by_view(lake, targets, links), resolve(links, targets), strict=True)
    assert [(link, view) for link, view, _ in told] == [
        (link, rule) for link, rule in zip(links, resolve(links, targets), strict=True)
    ]


def crowded() -> list[Target]:
    """A vault in which most names are borne by several notes, near and far."""
    paths = [folder + name for folder in ("", "a/", "b/", "a/b/", "c/d/") for name in ("x.md", "X.md", "y.md", "z.png")]
    aliases = [("k",), ("K",), ("k", "lone"), (), ("far",)]
    names = ["t", "T", None, "u", "x"]
    return [
        Target("v", path, None)
        if path.endswith(".png")
        else Target("v", path, f"n{i:02}", names[i % 5], aliases[i % 5])
        for i, path in enumerate(paths)
    ]


def test_the_view_breaks_ties_as_the_rule_does(lake: duckdb.DuckDBPyConnection) -> None:
    targets = [*crowded(), Target("v", "e/m.md", "m1"), Target("v", "f/m.md", "m2"), Target("v", "g/M2.md", "m3", "u2")]
    targets += [Target("v", "h/p.md", "p1", "Same"), Target("v", "i/q.md", "q1", "Same", ("X9", "M2"))]
    written = [
        "x",
        "X",
        "y",
        "z.png",
        "b/x",
        "b/y.md",
        "d/X",
        "k",
        "K",
        "lone",
        "LONE",
        "far",
        "FAR",
        "t",
        "T",
        "u",
        "U",
    ]
    written += [
        "Same",
        "same",
        "M2",
        "m",
        "M",
        "m2",
        "u2",
        "U2",
        "../x",
        "../B/y",
        "no",
        "A/Y",
        "/a/x",
        "/A/x",
        "C/D/Z.PNG",
        "",
    ]
    notes = [target for target in targets if target.note_id]
    links = [Link("v", note.path, str(note.note_id), "wikilink", to) for note in notes for to in written]
    expected = resolve(links, targets)
    assert resolved_by_view(lake, targets, links) == expected
    assert {found.resolution for found in expected} >= {
        "ambiguous",
        "alias",
        "case",
        "shortest",
        "relative",
        "exact",
        "missing",
    }


def test_more_than_eight_steps_up_are_not_followed(lake: duckdb.DuckDBPyConnection) -> None:
    deep = "/".join("abcdefghij")
    targets = [Target("v", f"{deep}/x.md", "x"), Target("v", "only.md", "o"), Target("v", "a/b/near.md", "n")]
    links = [Link("v", f"{deep}/x.md", "x", "markdown", "../" * up + name) for up, name in ((8, "near"), (10, "only"))]
    found = resolved_by_view(lake, targets, links)
    assert found == resolve(links, targets)
    assert [one.resolution for one in found] == ["relative", "missing"]


def test_every_step_is_a_join_on_equal_keys(lake: duckdb.DuckDBPyConnection) -> None:
    [(_, plan)] = lake.execute("EXPLAIN FROM notes.resolved_links").fetchall()
    assert "HASH_JOIN" in plan
    assert not {"NESTED_LOOP_JOIN", "CROSS_PRODUCT", "BLOCKWISE_NL_JOIN", "PIECEWISE_MERGE_JOIN"} & set(plan.split())


def test_the_header_and_the_oracle_tell_the_same_rule() -> None:
    root = Path(__file__).parents[2]
    header = (root / "sql/views/notes/resolved_links.sql").read_text("utf-8")
    oracle = (root / "dagster_project/model/links.py").read_text("utf-8")
    for step in ("relative", "exact", "alias", "shortest", "case", "missing", "external"):
        assert step in header and step in oracle
