"""The rule of link resolution, told in small vaults. The view is held to the same rule in tests/views."""

from __future__ import annotations

import pytest

from dagster_project.model.links import Block, Link, Resolved, Section, Target, manner, resolve

VAULT = (
    Target("vault", "Home.md", "home", "Welcome"),
    Target("vault", "people/Ada.md", "ada", "Ada Lovelace", ("Countess", "Ada L.")),
    Target("vault", "talks/Lake.md", "lake", "The lake"),
    Target("vault", "talks/day one/Lake.md", "lake1", "The lake, day one"),
    Target("vault", "talks/img/map.png", None),
    Target("vault", "a/index.md", "ia"),
    Target("vault", "b/index.md", "ib"),
    Target("vault", "pages/Whiteboard___Object.md", "wo"),
    Target("vault", "pages/Why%3F.md", "why"),
    Target("other", "Elsewhere.md", "else"),
)

KINDS = ("wikilink", "markdown")
IMAGE = ("image", "media/image1.png")


def lead(target: str, *, path: str = "talks/Lake.md", kind: str = "wikilink") -> tuple[str, str | None]:
    """Return how a link in `path` is found, and where it leads."""
    [found] = resolve([Link("vault", path, "me", kind, target)], VAULT)
    return found.resolution, found.target_path


@pytest.mark.parametrize(
    ("target", "how", "where"),
    [
        ("day one/Lake", "relative", "talks/day one/Lake.md"),
        ("day%20one/Lake.md", "relative", "talks/day one/Lake.md"),
        ("../people/./Ada.md", "relative", "people/Ada.md"),
        ("img/map.png", "relative", "talks/img/map.png"),
        ("people/Ada", "exact", "people/Ada.md"),
        ("/people/Ada.md", "exact", "people/Ada.md"),
        ("Countess", "alias", "people/Ada.md"),
        ("Ada", "shortest", "people/Ada.md"),
        ("map.png", "shortest", "talks/img/map.png"),
        ("Whiteboard/Object", "shortest", "pages/Whiteboard___Object.md"),
        ("Why?", "shortest", "pages/Why%3F.md"),
        ("Ada Lovelace", "alias", "people/Ada.md"),
        ("countess", "case", "people/Ada.md"),
        ("home", "case", "Home.md"),
        ("index", "ambiguous", "a/index.md"),
        ("Elsewhere", "exact", "Elsewhere.md"),
        ("../../people/Ada", "missing", None),
        ("Nobody", "missing", None),
    ],
)
def test_a_link_is_found_by_the_first_step_that_finds_something(target: str, how: str, where: str | None) -> None:
    assert lead(target) == (how, where)


def test_of_several_notes_the_one_in_the_fewest_folders_is_taken() -> None:
    assert lead("Lake", path="Home.md") == ("shortest", "talks/Lake.md")


def test_the_linking_notes_own_folder_comes_before_the_shortest_path() -> None:
    assert lead("index", path="b/other.md") == ("relative", "b/index.md")


def test_a_wikilink_goes_to_the_root_before_the_notes_own_folder_as_in_obsidian() -> None:
    vault = [Target("v", path, path) for path in ("Note.md", "b/Note.md", "b/other.md", "zz/deep/other.md")]
    links = [Link("v", note, note, kind, "Note") for note in ("b/other.md", "zz/deep/other.md") for kind in KINDS]
    assert [(found.resolution, found.target_path) for found in resolve(links, vault)] == [
        ("exact", "Note.md"),
        ("relative", "b/Note.md"),
        ("exact", "Note.md"),
        ("exact", "Note.md"),
    ]


def test_without_one_at_the_root_the_own_folder_wins_then_the_shortest_path() -> None:
    vault = [Target("v", path, path) for path in ("a/b/Note.md", "zzzzzzzz/Note.md", "b/Note.md")]
    links = [Link("v", f"{folder}/x.md", "x", "wikilink", "Note") for folder in ("zzzzzzzz", "zzzzzzzz/deep", "a/b")]
    assert [(found.resolution, found.target_path) for found in resolve(links, vault)] == [
        ("relative", "zzzzzzzz/Note.md"),
        ("ambiguous", "b/Note.md"),
        ("relative", "a/b/Note.md"),
    ]


def test_an_explicit_relative_path_is_no_name() -> None:
    vault = [Target("v", "a/Note.md", "n", "Note")]
    links = [Link("v", "b/x.md", "x", kind, to) for kind in KINDS for to in ("./Note", "../Note.md", "/Note.md")]
    assert {found.resolution for found in resolve(links, vault)} == {"missing"}


def test_a_markdown_link_is_a_path_and_no_title() -> None:
    vault = [Target("v", "a/n.md", "n", "Lake", ("Water",))]
    for kind, how in (("wikilink", "alias"), ("markdown", "missing"), ("image", "missing"), ("html", "missing")):
        links = [Link("v", "x.md", "x", kind, to) for to in ("Lake", "Water")]
        assert {found.resolution for found in resolve(links, vault)} == {how}


@pytest.mark.parametrize("written", ["../about/", "../about", "/about/", "../about/index.md", "../about/./index"])
def test_a_path_to_a_folder_leads_to_its_page(written: str) -> None:
    vault = [Target("v", f"about/{name}.md", name) for name in ("README", "index", "other")]
    [path, page] = resolve([Link("v", "b/x.md", "x", kind, written) for kind in ("markdown", "wikilink")], vault)
    assert path.target_path == "about/index.md"
    assert page.resolution == ("missing" if written.endswith(("about", "about/")) else "relative")


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("pages/a___b.md", ["a/b", "A/B", "pages/a/b"]),
        ("pages/a%2Fb.md", ["a/b", "A/b"]),
        ("pages/a.b.md", ["a/b", "a.b", "A/B"]),
        ("journals/2024_01_05.md", ["Jan 5th, 2024", "jan 5th, 2024", "2024-01-05", "2024_01_05"]),
        ("journals/2023-11-01.md", ["Nov 1st, 2023", "2023_11_01"]),
        ("journals/2023_12_22.md", ["Dec 22nd, 2023"]),
        ("journals/2023_12_13.md", ["Dec 13th, 2023"]),
        ("pages/Café.md", ["Cafe\u0301", "CAFÉ"]),
    ],
)
def test_a_page_of_logseq_answers_to_its_name(path: str, names: list[str]) -> None:
    links = [Link("graph", "journals/2024_02_02.md", "j", "wikilink", name) for name in names]
    links += [Link("graph", "pages/x.md", "x", "markdown", f"[[{name}]]") for name in names]
    assert {found.target_path for found in resolve(links, [Target("graph", path, "n")])} == {path}


@pytest.mark.parametrize("name", ["b", "Feb 30th, 2024", "2024-02-30", "a b", "x/y"])
def test_part_of_a_name_in_logseq_is_no_name(name: str) -> None:
    graph = [Target("graph", path, path) for path in ("pages/a___b.md", "journals/2024_02_30.md", "notes/x.y.md")]
    assert resolve([Link("graph", "x.md", "x", "wikilink", name)], graph) == [Resolved("missing")]


def test_a_block_reference_leads_to_the_note_that_has_the_block() -> None:
    block = "63503015-99B5-4186-9c42-d3ab9c82482b"
    graph = [
        Target("graph", "pages/a.md", "a", blocks=(Block("other"), Block(block, 7))),
        Target("else", "pages/b.md", "b", blocks=(Block("lone", 2),)),
    ]
    written = (("block", block.lower()), ("block", f"(({block}))"), ("markdown", f"(({block}))"), ("block", "lone"))
    links = [Link("graph", "x.md", "x", kind, to) for kind, to in (*written, ("block", "gone"))]
    assert resolve(links, graph) == [
        *[Resolved("exact", "graph", "a", "pages/a.md", "block", None, 7)] * 3,
        Resolved("exact", "else", "b", "pages/b.md", "block", None, 2),
        Resolved("missing"),
    ]


SECTIONS = (
    Section(1, ("Plan",), "plan", 3),
    Section(2, ("Plan", "Risks: all & more"), "risks-all--more", 5),
    Section(3, ("Plan", "Why", "Cost"), "cost", 9),
    Section(4, ("Other",), "other", 20),
    Section(5, ("Other", "Cost"), "cost-1", 22),
)


@pytest.mark.parametrize(
    ("fragment", "what", "section", "line"),
    [
        ("Plan", "heading", 1, 3),
        ("plan", "heading", 1, 3),
        ("Risks all more", "heading", 2, 5),
        ("risks-all--more", "heading", 2, 5),
        ("Cost", "heading", 3, 9),
        ("cost-1", "heading", 5, 22),
        ("Plan#Cost", "heading", 3, 9),
        ("Other#Cost", "heading", 5, 22),
        ("Other#Risks: all & more", "missing", None, None),
        ("Cost#Plan", "missing", None, None),
        ("Gone", "missing", None, None),
        ("^b1", "block", None, 11),
        ("^B1", "block", None, 11),
        ("^gone", "missing", None, None),
        ("page=3", None, None, None),
        ("top", None, None, None),
        (None, None, None, None),
    ],
)
def test_a_fragment_is_looked_for_in_the_note_it_leads_to(
    fragment: str | None, what: str | None, section: int | None, line: int | None
) -> None:
    vault = [Target("v", "n.md", "n", sections=SECTIONS, blocks=(Block("b1", 11),)), Target("v", "x.md", "x")]
    links = [Link("v", "x.md", "x", "wikilink", "n", fragment), Link("v", "n.md", "n", "markdown", "", fragment)]
    for found in resolve(links, vault):
        assert (found.target_note_id, found.fragment_resolution) == ("n", what)
        assert (found.target_section, found.target_line) == (section, line)


def test_an_id_in_html_comes_after_the_anchor_of_a_heading_and_before_the_text_of_one() -> None:
    anchors = [Block(name, line, "anchor") for name, line in (("plan", 1), ("Risks", 2), ("why", 6), ("^b1", 7))]
    blocks = (*anchors, Block("b1", 11), Block("why", 12))
    links = [Link("v", "n.md", "n", "markdown", "", fragment) for fragment in ("Plan", "risks", "Why", "^why", "b1")]
    found = resolve(links, [Target("v", "n.md", "n", sections=SECTIONS, blocks=blocks)])
    assert [(one.fragment_resolution, one.target_section, one.target_line) for one in found] == [
        ("heading", 1, 3),
        ("block", None, 2),
        ("block", None, 6),
        ("block", None, 12),
        ("missing", None, None),
    ]


@pytest.mark.parametrize(
    ("kind", "target", "how"),
    [
        ("markdown", "/dotnet/api/system.io", "external"),
        ("image", "/img/x.png", "external"),
        ("markdown", "/docs/gone", "missing"),
        ("markdown", "/Docs/gone", "missing"),
        ("markdown", "/gone.md", "missing"),
        ("markdown", "dotnet/api", "missing"),
        ("wikilink", "/dotnet/api", "missing"),
        ("markdown", "/docs/there", "exact"),
    ],
)
def test_a_path_from_the_root_of_a_site_is_an_address(kind: str, target: str, how: str) -> None:
    vault = [Target("v", "docs/there.md", "t"), Target("w", "dotnet/api/other.md", "o")]
    [found] = resolve([Link("v", "docs/x.md", "x", kind, target)], vault)
    assert found.resolution == how


def test_what_only_markdown_can_tell_is_not_called_missing_elsewhere() -> None:
    files = [Target("v", "n.html", "n"), Target("v", "n.png", None)]
    links = [Link("v", "x.md", "x", "markdown", to, "gone") for to in ("n.html", "n.png")]
    assert [found.fragment_resolution for found in resolve(links, files)] == [None, None]


LAKE = (
    Target("enex", "export.enex/20240105 Milk", "milk", "Milk"),
    Target("enex", "export.enex/20240106 Shop", "shop", "Shop"),
    Target("vault", "pages/Bread.md", "bread", "How to bake", ("Loaf",)),
    Target("vault", "a/Twice.md", "t1"),
    Target("other", "b/Twice.md", "t2"),
    Target("other", "img/bread.png", None),
)


@pytest.mark.parametrize(
    ("target", "how", "source", "note"),
    [
        ("Bread", "shortest", "vault", "bread"),
        ("pages/bread", "exact", "vault", "bread"),
        ("Loaf", "alias", "vault", "bread"),
        ("how to bake", "alias", "vault", "bread"),
        ("Milk", "alias", "enex", "milk"),
        ("Twice", "missing", None, None),
        ("bread.png", "missing", None, None),
    ],
)
def test_what_is_missing_in_its_own_source_is_looked_for_in_the_others(
    target: str, how: str, source: str | None, note: str | None
) -> None:
    [found] = resolve([Link("enex", "export.enex/20240106 Shop", "shop", "wikilink", target)], LAKE)
    assert (found.resolution, found.target_source, found.target_note_id) == (how, source, note)
    [path] = resolve([Link("enex", "export.enex/20240106 Shop", "shop", "markdown", target)], LAKE)
    assert path.resolution == "missing"


@pytest.mark.parametrize("address", ["evernote:///view/1/s1/guid/guid/", "https://www.evernote.com/shard/s1/nl/1/guid"])
def test_a_link_to_a_note_in_evernote_goes_by_its_text(address: str) -> None:
    texts = ("Milk", "milk", "Loaf", "Gone")
    links = [Link("enex", "export.enex/20240106 Shop", "shop", "markdown", address, None, text) for text in texts]
    gone = "external" if address.startswith("https") else "missing"
    assert [(found.resolution, found.target_note_id) for found in resolve(links, LAKE)] == [
        ("alias", "milk"),
        ("case", "milk"),
        ("alias", "bread"),
        (gone, None),
    ]


def test_a_file_within_the_notes_file_comes_first() -> None:
    files = [
        Target("v", "docs/report.docx/media/image1.png", None, within="r"),
        Target("v", "docs/media/image1.png", None),
        Target("v", "docs/report.docx", "r"),
    ]
    links = [Link("v", "docs/report.docx", "r", "image", "media/image1.png"), Link("v", "docs/x.md", "x", *IMAGE)]
    assert [found.target_path for found in resolve(links, files)] == [files[0].path, files[1].path]


def test_an_empty_target_is_the_note_itself() -> None:
    [found] = resolve([Link("vault", "Home.md", "home", "wikilink", "")], VAULT)
    assert found == Resolved("exact", "vault", "home", "Home.md")


def test_an_attachment_has_a_path_and_no_note() -> None:
    [found] = resolve([Link("vault", "Home.md", "home", "embed", "map.png")], VAULT)
    assert found == Resolved("shortest", "vault", None, "talks/img/map.png")


@pytest.mark.parametrize(
    ("kind", "target", "external"),
    [
        ("markdown", "https://example.org", True),
        ("markdown", "mailto:ada@example.org", True),
        ("image", "//cdn.example.org/x.png", True),
        ("autolink", "ada@example.org", True),
        ("wikilink", "Talk: the lake", False),
        ("wikilink", "https://example.org", True),
        ("markdown", "people/Ada.md", False),
        ("markdown", "C:/notes", False),
    ],
)
def test_a_colon_makes_an_address_only_where_note_names_hold_none(kind: str, target: str, external: bool) -> None:
    assert (manner(Link("vault", "Home.md", "home", kind, target)) == "address") is external
