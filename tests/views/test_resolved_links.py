"""notes.resolved_links gives the same as the plain rule in model/links.py, on vaults made up to be awkward."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dagster_project.contracts import BY_IDENTIFIER
from dagster_project.model.links import Block, BlockKind, Link, Resolved, Section, Target, resolve
from dagster_project.views.sql_files import View

SEGMENT = st.sampled_from(
    ["a", "b", "A", "Ä", "ä", "x y", "x%20y", "50%", "%ff", "a___b", "a.md", ".md", ".h", "a b.md", "..a", "q:r"]
    + ["index", "README", "_index", "Index", "x.y", "e\u0301", "2024_01_05", "2024-02-30", "2023_12_22", "a%2Fb"]
)
FOLDER = st.lists(
    st.sampled_from(["a", "b", "A", ".h", "x y", "..a", "p.q", "pages", "journals", "r.docx"]), max_size=3
)
SUFFIX = st.sampled_from([".md", ".md", ".md", ".markdown", ".png", "", ".MD", ".docx"])
SOURCE = st.sampled_from(["v", "w", "u"])
NAMES = st.sampled_from(
    [
        "a",
        "b",
        "A",
        "x y",
        "x%20y",
        "a___b",
        "a/b",
        "Ä",
        "",
        "https://a",
        "Jan 5th, 2024",
        "2024-01-05",
        "dec 22nd, 2023",
    ]
    + ["x/y", "[[a]]", "[[a/b]]", "\u00e9", "E\u0301", "index", "evernote:///view/1"]
)
PATH = st.builds(lambda folder, name, end: "/".join([*folder, name + end]), FOLDER, SEGMENT, SUFFIX)
EVERNOTE = st.sampled_from(["evernote:///view/1/s1/g/g/", "https://www.evernote.com/shard/s1/nl/1/g"])
IDS = st.sampled_from(["b1", "B1", "b2", "long-id"])
WRITTEN = st.one_of(
    PATH,
    NAMES,
    EVERNOTE,
    st.builds("(({}))".format, IDS),
    IDS,
    st.builds(
        lambda lead, parts, end: lead + "/".join(parts) + end,
        st.sampled_from(["", "./", "../", "/", "//", "https://", "mailto:", "c:"]),
        st.lists(st.one_of(SEGMENT, st.sampled_from(["..", ".", "", "..", "x y"])), min_size=1, max_size=12),
        SUFFIX,
    ),
)
BLOCK_KIND: st.SearchStrategy[BlockKind] = st.sampled_from(["block", "anchor"])
HEADING = st.sampled_from(["A", "a", "B: c", "b c", "!!", "A_b", "AXb", "a-b", "x#y", " d ", "Ä"])
FRAGMENT = st.one_of(
    st.none(),
    st.just(""),
    st.builds("^{}".format, IDS),
    st.lists(HEADING, min_size=1, max_size=3).map("#".join),
    st.sampled_from(["a", "a-1", "B-C", "page=3", "top", ":~:text=a", "^", "##", "#a", "a#", "top#a", "%", "a%b"]),
)
KIND = st.sampled_from(["wikilink", "markdown", "embed", "image", "wikilink", "markdown", "autolink", "html", "block"])
CHANGE: st.SearchStrategy[Callable[[str], str]] = st.sampled_from(
    [str, str.swapcase, lambda path: path.removesuffix(".md"), lambda path: path.removesuffix(".md").lower()]
    + [lambda path: path.rpartition("/")[0], lambda path: path.rpartition("/")[0] + "/", "[[{}]]".format]
)


def as_written(target: Target, parts: int, change: Callable[[str], str]) -> str:
    """Write a link that may well lead to `target`: the last parts of its path, changed a little."""
    return change("/".join(target.path.split("/")[-parts:]))


@st.composite
def notes(draw: st.DrawFn, source: str, path: str, note_id: str) -> Target:
    headings = draw(st.lists(st.lists(HEADING, min_size=1, max_size=3), max_size=4))
    return Target(
        source,
        path,
        note_id,
        draw(st.one_of(st.none(), NAMES)),
        tuple(draw(st.lists(NAMES, max_size=2))),
        tuple(
            Section(number, tuple(heading), f"{heading[-1].lower()}-{number}".removesuffix("-0"), number * 2)
            for number, heading in enumerate(headings)
        ),
        tuple(
            Block(name, number, kind)
            for number, (name, kind) in enumerate(draw(st.lists(st.tuples(IDS | HEADING, BLOCK_KIND), max_size=2)))
        ),
    )


@st.composite
def vaults(draw: st.DrawFn) -> tuple[list[Target], list[Link]]:
    places = draw(st.lists(st.tuples(SOURCE, PATH), min_size=1, max_size=20, unique=True))
    targets = [
        Target(source, path, None) if path.endswith(".png") else draw(notes(source, path, f"n{number:02}"))
        for number, (source, path) in enumerate(places)
    ]
    found = [target for target in targets if target.note_id]
    if not found:
        return targets, []
    at = st.sampled_from(found)
    held = draw(st.lists(st.tuples(at, st.sampled_from(["i.png", "a/i.png", "x y.png"])), max_size=3, unique=True))
    targets += [Target(note.source, f"{note.path}/{name}", None, within=note.note_id) for note, name in held]
    known = st.builds(as_written, st.sampled_from(targets), st.integers(1, 5), CHANGE)
    to = st.one_of(known, known, WRITTEN, st.sampled_from(["i.png", "a/i.png", "x%20y.png"]))
    made = st.builds(
        lambda note, kind, to, fragment, text: Link(note.source, note.path, note.note_id, kind, to, fragment, text),
        *(at, KIND, to, FRAGMENT, NAMES),
    )
    return targets, draw(st.lists(made, min_size=5, max_size=40))


@pytest.fixture(scope="module")
def lake(written_views: Sequence[View]) -> duckdb.DuckDBPyConnection:
    """The view over empty tables of the columns it reads."""
    [view] = [view for view in written_views if view.identifier == "notes.resolved_links"]
    connection = duckdb.connect()
    connection.execute("CREATE SCHEMA notes")
    for name in ("notes", "attachments", "links", "sections", "blocks"):
        connection.from_arrow(BY_IDENTIFIER[f"notes.{name}"].schema.empty_table()).create(f"notes.{name}")
    connection.execute(f"CREATE VIEW notes.resolved_links AS {view.sql}")
    return connection


def resolved_by_view(lake: duckdb.DuckDBPyConnection, targets: list[Target], links: list[Link]) -> list[Resolved]:
    found = [target for target in targets if target.note_id]
    fill(lake, "notes.notes", (asdict(note) for note in found))
    files = (asdict(target) for target in targets if not target.note_id)
    fill(lake, "notes.attachments", (row | {"note_id": row["within"] or f"file {row['path']}"} for row in files))
    fill(lake, "notes.sections", (asdict(part) | of(note) | heading(part) for note in found for part in note.sections))
    blocks = ((note, number, block) for note in found for number, block in enumerate(note.blocks))
    fill(lake, "notes.blocks", (asdict(one) | of(note) | {"ordinal": n} for note, n, one in blocks))
    fill(lake, "notes.links", (asdict(link) | {"ordinal": number} for number, link in enumerate(links)))
    columns = ", ".join(field.name for field in fields(Resolved))
    query = f"SELECT {columns} FROM notes.resolved_links ORDER BY ordinal"
    return [Resolved(*row) for row in lake.execute(query).fetchall()]


@pytest.fixture(scope="module")
def insights(lake: duckdb.DuckDBPyConnection, written_views: Sequence[View]) -> duckdb.DuckDBPyConnection:
    """The views that stand on this one."""
    lake.execute("CREATE SCHEMA insights")
    for name in ("broken_links", "backlinks", "orphans"):
        [view] = [view for view in written_views if view.identifier == f"insights.{name}"]
        lake.execute(f"CREATE VIEW insights.{name} AS {view.sql}")
    return lake


def of(note: Target) -> dict[str, Any]:
    return {"note_id": note.note_id, "source": note.source}


def heading(part: Section) -> dict[str, Any]:
    return {"heading": part.heading_path[-1]}


def fill(lake: duckdb.DuckDBPyConnection, table: str, rows: Iterable[dict[str, Any]]) -> None:
    given = pa.Table.from_pylist(list(rows), BY_IDENTIFIER[table].schema)
    lake.execute(f"DELETE FROM {table}")
    lake.register("given", given)
    lake.execute(f"INSERT INTO {table} FROM given")


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
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
    links = [Link("v", note.path, note.note_id, "wikilink", to) for note in targets if note.note_id for to in written]
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


def test_the_view_reads_fragments_as_the_rule_does(lake: duckdb.DuckDBPyConnection) -> None:
    headings = [("A",), ("A", "B: c"), ("A", "x", "B c"), ("!!",), ("A_b",), ("A_b", "d"), ("AXb", "e"), ("x#y",)]
    headings += [("A", "!!", "Café"), (" d ",), ("B c", "A", "d"), ("a",), ("50% off",), ("It's",), ("C:\\d",)]
    sections = tuple(Section(n, path, f"{path[-1].lower()}-{n}", n + 1) for n, path in enumerate(headings))
    vault = [
        Target("v", path, path, sections=sections, blocks=(Block("b1", 3), Block("B1", 4)))
        for path in ("n.md", "n.html")
    ]
    asked = ["A", "b c", "A#B c", "a#x#b c", "x#B: c", "!!", "A_b#d", "AXb#d", "A_b#e", "AXb#e", "x y", "x#y", "", "#A"]
    asked += [
        "café",
        "A#Café",
        "A#!!#Café",
        "d",
        "B c#d",
        "A#d",
        "a-11",
        "A-0",
        "50% off",
        "50",
        "It's",
        "c d",
        "C:\\d",
    ]
    asked += ["^b1", "^B1", "^", "^b2", "A#", "##", "page=1", "top", "topic", ":~:text=A", "%", "A#%", "_", "A__b"]
    links = [Link("v", "x.md", "x", "markdown", note.path, fragment) for note in vault for fragment in asked]
    found = resolved_by_view(lake, vault, links)
    assert found == resolve(links, vault)
    assert {one.fragment_resolution for one in found} == {"heading", "block", "missing", None}


def test_more_than_eight_steps_up_are_not_followed(lake: duckdb.DuckDBPyConnection) -> None:
    deep = "/".join("abcdefghij")
    targets = [Target("v", f"{deep}/x.md", "x"), Target("v", "only.md", "o"), Target("v", "a/b/near.md", "n")]
    links = [Link("v", f"{deep}/x.md", "x", "markdown", "../" * up + name) for up, name in ((8, "near"), (10, "only"))]
    found = resolved_by_view(lake, targets, links)
    assert found == resolve(links, targets)
    assert [one.resolution for one in found] == ["relative", "missing"]


def test_every_step_is_a_join_on_equal_keys(lake: duckdb.DuckDBPyConnection) -> None:
    section = Section(0, ("A",), "a", 1)
    vault = [Target("v", "n.md", "n", "N", ("other",), sections=(section,), blocks=(Block("b1", 3),))]
    resolved_by_view(lake, vault, [Link("v", "n.md", "n", "wikilink", "N", "A")])  # of empty tables no join is planned
    [(_, plan)] = lake.execute("EXPLAIN (FORMAT json) FROM notes.resolved_links").fetchall()
    operators = set(re.findall(r"\w+_(?:JOIN|PRODUCT)", plan))  # as JSON: the drawing leaves out what is wide
    assert "HASH_JOIN" in operators
    assert operators <= {
        "HASH_JOIN",
        "LEFT_DELIM_JOIN",
        "RIGHT_DELIM_JOIN",
    }  # delim: hashes, for UNNEST


def test_the_header_and_the_oracle_tell_the_same_rule() -> None:
    root = Path(__file__).parents[2]
    header = (root / "sql/views/notes/resolved_links.sql").read_text("utf-8")
    oracle = (root / "dagster_project/model/links.py").read_text("utf-8")
    for step in ("relative", "exact", "alias", "shortest", "case", "missing", "external"):
        assert step in header and step in oracle


TWO_SOURCES = [
    Target("v", "a.md", "a", sections=(Section(0, ("Here",), "here", 1),), blocks=(Block("b1", 4),)),
    Target("v", "b.md", "b"),
    Target("v", "alone.md", "c"),
    Target("w", "far.md", "d", "Far away"),
    Target("w", "lost.md", "e"),
]


def test_a_link_whose_heading_or_block_is_gone_is_broken_in_its_own_way(insights: duckdb.DuckDBPyConnection) -> None:
    written = [("a", "Here"), ("a", "Gone"), ("a", "^b1"), ("a", "^b2"), ("no", "Here"), ("no", None), ("", "Gone")]
    links = [Link("v", "b.md", "b", "wikilink", to, fragment) for to, fragment in written]
    links += [Link("v", "b.md", "b", kind, to) for kind, to in (("block", "b1"), ("block", "b9"), ("embed", "((b9))"))]
    resolved_by_view(insights, TWO_SOURCES, links)
    query = "SELECT path, target, fragment, broken, target_path FROM insights.broken_links ORDER BY ALL"
    assert insights.execute(query).fetchall() == [
        ("b.md", "", "Gone", "heading", "b.md"),
        ("b.md", "((b9))", None, "block", None),
        ("b.md", "a", "Gone", "heading", "a.md"),
        ("b.md", "a", "^b2", "block", "a.md"),
        ("b.md", "b9", None, "block", None),
        ("b.md", "no", "Here", "target", None),
        ("b.md", "no", None, "target", None),
    ]


def test_a_link_from_another_source_counts_and_one_to_itself_does_not(insights: duckdb.DuckDBPyConnection) -> None:
    links = [Link("v", "b.md", "b", "wikilink", to) for to in ("Far away", "a")]
    links += [Link("w", "lost.md", "e", "wikilink", to) for to in ("", "lost", "https://lost")]
    resolved_by_view(insights, TWO_SOURCES, links)
    insights.execute("UPDATE notes.notes SET kind = 'document'")
    query = "SELECT from_path, path, source, target_source, resolution FROM insights.backlinks ORDER BY ALL"
    assert insights.execute(query).fetchall() == [
        ("b.md", "a.md", "v", "v", "exact"),
        ("b.md", "far.md", "v", "w", "alias"),
    ]
    query = "SELECT path FROM insights.orphans ORDER BY ALL"
    assert insights.execute(query).fetchall() == [("alone.md",), ("lost.md",)]
