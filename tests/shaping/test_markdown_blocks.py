"""Anchors in HTML and admonitions: small notes in, rows and the bytes they stand at out."""

from __future__ import annotations

import pytest

from dagster_project.shaping.formats.markdown import read


def blocks(text: str, kind: str) -> list[tuple[str | None, str | None, str, int | None, str]]:
    """Return name, title, text and line of each block of a kind, and what stands at its byte range."""
    content = text.encode()
    found = [block for block in read(content, "a.md").blocks if block[0] == kind]
    return [(*block[1:5], content[block[-2] : block[-1]].decode()) for block in found]


@pytest.mark.parametrize(
    ("text", "name", "line", "tag"),
    [
        ('é\n\n<a id="threadjob"></a>\n', "threadjob", 3, '<a id="threadjob">'),
        ("see <a name=top></a>", "top", 1, "<a name=top>"),
        ("- é <span class='x' id='quality-nov'>Quality</span>", "quality-nov", 1, "<span class='x' id='quality-nov'>"),
        ('---\na: b\n---\n<H2\n  ID="Né">Title</H2>', "Né", 4, '<H2\n  ID="Né">'),
        ('## <a id="x"/>Title', "x", 1, '<a id="x"/>'),
        ("<!-- c --><div><p id='p'>", "p", 1, "<p id='p'>"),
    ],
)
def test_an_id_in_html_is_an_anchor(text: str, name: str, line: int, tag: str) -> None:
    assert blocks(text, "anchor") == [(name, None, "", line, tag)]


@pytest.mark.parametrize(
    "text",
    [
        '`<a id="x">`',
        '```\n<a id="x">\n```',
        '    <a id="x">',
        '<!-- <a id="x"> -->',
        '<script>"<a id=x>"</script>',
        '%%\n\n<a id="x">\n\n%%',
        '<span name="x">',
        "<a title='id=\"x\"'>",
        "<a id=''>",
        '<a id="x"',
        '\\<a id="x">',
    ],
)
def test_what_only_looks_like_an_id_is_none(text: str) -> None:
    assert blocks(text, "anchor") == []


@pytest.mark.parametrize(
    ("opening", "title"),
    [
        (":::note", None),
        (":::note[Né *x*]", "Né *x*"),
        (":::note Your title", "Your title"),
        ("::: note  Your title ", "Your title"),
        (":::note{.wide}", None),
        ("::::note\r", None),
    ],
)
def test_an_admonition_is_a_callout(opening: str, title: str | None) -> None:
    text = f"é\n\n{opening}\n\nSee [[a]].\n\n- b\n\n:::::\n\nafter\n"

    found = blocks(text, "callout")
    assert found == [("note", title, "See [[a]].\n\n- b", 3, text[3 : text.index("\n\nafter")])]
    assert [link[1] for link in read(text.encode(), "a.md").links] == ["a"]


def test_admonitions_stand_in_lists_and_in_each_other() -> None:
    text = "- a\n  :::::tip\n  x\n  :::danger[D]\n    y\n  :::\n  :::::\n:::info\nopen\n"

    assert [(name, title, text) for name, title, text, *_ in blocks(text, "callout")] == [
        ("tip", None, "x\n:::danger[D]\n  y\n:::"),
        ("danger", "D", "y"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        ":::note\nnever closed\n",
        ":::\ntext\n:::\n",
        ":::unknown\ntext\n:::\n",
        ":::notes\ntext\n:::\n",
        ":::note: text\n:::\n",
        ":::note text:::\n:::\n",
        ":::image type='content' source='a.png':::\n:::\n",
        "```\n:::note\ntext\n:::\n```\n",
        ":::note\n```\n:::\n```\n",
        "<!--\n:::note\ntext\n:::\n-->\n",
        "a :::note\ntext\n:::\n",
        "::note\ntext\n::\n",
    ],
)
def test_other_colons_are_text(text: str) -> None:
    assert blocks(text, "callout") == []


def test_ten_thousand_openings_are_read_in_a_moment() -> None:
    assert len(blocks(":::note\n" * 10_000 + ":::\n", "callout")) == 10
