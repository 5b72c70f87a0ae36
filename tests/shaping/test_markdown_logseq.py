"""What Logseq writes: small pages in, small tables out."""

from __future__ import annotations

import pytest

from dagster_project.shaping.formats.markdown import read

ID = "63bc6201-53b1-47a4-834f-83934b69ad49"


def written(text: str, part: tuple[object, ...]) -> str:
    return text.encode()[part[-2] : part[-1]].decode()  # type: ignore[misc]


def test_properties_of_pages_and_blocks_are_told_apart() -> None:
    text = (
        "title:: Né\nalias:: A, [[B]]\ntags:: c\n\n- type:: [[Feature]]\n  name:: x\n"
        "- block\n  collapsed:: true\n\t- deep\n\t  price:: 3\n- a [mood:: fine] b\n"
    )
    note = read(text.encode(), "a.md")

    assert [(*part[:4], written(text, part)) for part in note.fields] == [
        ("title", "Né", "page", 1, "title:: Né"),
        ("alias", "A, [[B]]", "page", 2, "alias:: A, [[B]]"),
        ("tags", "c", "page", 3, "tags:: c"),
        ("type", "[[Feature]]", "block", 5, "type:: [[Feature]]"),
        ("name", "x", "block", 6, "name:: x"),
        ("collapsed", "true", "block", 8, "collapsed:: true"),
        ("price", "3", "block", 10, "price:: 3"),
        ("mood", "fine", "inline", 11, "[mood:: fine]"),
    ]
    assert (note.title, note.aliases, note.tags) == ("Né", ["A", "B"], ["c"])


def test_properties_below_a_heading_are_the_headings() -> None:
    note = read(f"## Beta\nid:: {ID}\ncollapsed:: true\n\ntext\n".encode(), "a.md")

    assert [part[:3] for part in note.fields] == [("id", ID, "block"), ("collapsed", "true", "block")]
    assert [part[:4] for part in note.blocks] == [("block", ID, None, "## Beta")]


@pytest.mark.parametrize(
    ("text", "expected", "place"),
    [
        (f"- the block\n  id:: {ID}\n", "the block", f"- the block\n  id:: {ID}"),
        (
            f"- a\n\t- the né\n\t  id:: {ID}\n\t  collapsed:: true\n\t\t- below\n",
            "the né",
            f"- the né\n\t  id:: {ID}\n\t  collapsed:: true",
        ),
        (f"- id:: {ID}\n  text\n", "text", f"- id:: {ID}\n  text"),
        (f"- a\n  id:: {ID}\n  b\n", "a\nb", f"- a\n  id:: {ID}\n  b"),
        (f"paragraph\nid:: {ID}\n\nother", "paragraph", "paragraph"),
    ],
)
def test_an_id_names_the_item_without_what_is_below(text: str, expected: str, place: str) -> None:
    (block,) = read(text.encode(), "a.md").blocks

    assert block[:4] == ("block", ID, None, expected)
    assert written(text, block) == place


def test_bullets_below_a_heading_are_a_list_however_far_they_are_indented() -> None:
    text = (
        f"## Né\n\t- `a` #tag\n\t  id:: {ID}\n\t\t- TODO [[b]]\n\t\t  ```yaml\n\t\t  - c\n\t\t  \td: 1\n\t\t  ```\n"
        f"## Next\n\n\t\t- deep\n\t\t\t- ((({ID})))\n"
    )
    note = read(text.encode(), "graph/pages/a.md")

    assert [(*block[:5], written(text, block)) for block in note.blocks] == [
        ("block", ID, None, "`a` #tag", 2, f"- `a` #tag\n\t  id:: {ID}")
    ]
    assert [(*link[:2], link[-3], written(text, link)) for link in note.links] == [
        ("wikilink", "b", 4, "[[b]]"),
        ("block", ID, 12, f"(({ID}))"),
    ]
    assert [(*task[:2], task[-3], written(text, task)) for task in note.tasks] == [("open", "[[b]]", 4, "- TODO [[b]]")]
    assert note.tags == ["tag"]
    assert [(*block[:2], block[-3]) for block in note.code_blocks] == [("yaml", "- c\n\td: 1\n", 6)]
    assert [section[1] for section in note.sections] == ["Né", "Next"]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("## A\n\t- [[b]]\n", "notes/a.md"),
        ("## A\n\tx\n\t- [[b]]\n", "pages/a.md"),
        ("## A\n\n    - [[b]]\n", "pages/a.md"),
        (f"```\n\t- [[b]]\n\t  id:: {ID}\n```\n", "pages/a.md"),
        (f"## A\n\t- ```\n\t  id:: {ID}\n\t  [[b]]\n\t  ```\n", "pages/a.md"),
    ],
)
def test_what_is_indented_elsewhere_stays_code(text: str, path: str) -> None:
    note = read(text.encode(), path)

    assert (note.links, note.blocks) == ([], [])
    assert [block for block in note.code_blocks if "[[b]]" in block[1]]


@pytest.mark.parametrize(
    ("text", "expected", "place"),
    [
        (f"see (({ID})).", ("block", ID, None, ID), f"(({ID}))"),
        (f"[label]((({ID})))", ("block", ID, None, "label"), f"[label]((({ID})))"),
        (f"{{{{embed (({ID}))}}}}", ("embed", f"(({ID}))", None, ID), f"(({ID}))"),
        ("{{embed [[a page]]}}", ("embed", "a page", None, "a page"), "[[a page]]"),
        ("[label]([[page]])", ("wikilink", "page", None, "label"), "[label]([[page]])"),
        ("[[a/b]]", ("wikilink", "a/b", None, "a/b"), "[[a/b]]"),
    ],
)
def test_references_and_embeds_are_links(text: str, expected: tuple[str, ...], place: str) -> None:
    (link,) = read(f"- {text}".encode(), "a.md").links

    assert link[:4] == expected
    assert written(f"- {text}", link) == place


@pytest.mark.parametrize("text", [f"`(({ID}))`", f"```\n(({ID}))\n```", f"<!-- (({ID})) -->", "((not an id))", "((a))"])
def test_what_only_looks_like_a_reference_is_none(text: str) -> None:
    assert read(text.encode(), "a.md").links == []


def test_a_drawer_is_no_field() -> None:
    assert read(b"- a\n  :LOGBOOK:\n  CLOCK: [2024-01-01 Mon 10:00:00]\n  :END:\n", "a.md").fields == []
