"""Blocks that links point to in HTML: small notes in, rows and the bytes they stand at out."""

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
