"""The rule of link resolution, told in small vaults. The view is held to the same rule in tests/views."""

from __future__ import annotations

import pytest

from dagster_project.model.links import Link, Resolved, Target, is_external, resolve

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
        ("Elsewhere", "missing", None),
        ("../../people/Ada", "missing", None),
        ("Nobody", "missing", None),
    ],
)
def test_a_link_is_found_by_the_first_step_that_finds_something(target: str, how: str, where: str | None) -> None:
    assert lead(target) == (how, where)


def test_of_several_notes_the_one_in_the_fewest_folders_is_taken() -> None:
    assert lead("Lake", path="Home.md") == ("shortest", "talks/Lake.md")


def test_the_linking_notes_own_folder_comes_first() -> None:
    assert lead("index", path="b/other.md") == ("relative", "b/index.md")


def test_an_empty_target_is_the_note_itself() -> None:
    assert resolve([Link("vault", "Home.md", "home", "wikilink", "")], VAULT) == [Resolved("exact", "home", "Home.md")]


def test_an_attachment_has_a_path_and_no_note() -> None:
    [found] = resolve([Link("vault", "Home.md", "home", "embed", "map.png")], VAULT)
    assert found == Resolved("shortest", None, "talks/img/map.png")


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
    assert is_external(Link("vault", "Home.md", "home", kind, target)) is external
