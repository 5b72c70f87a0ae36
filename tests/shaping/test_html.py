"""Pages as browsers, programs and people write them."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.shaping import Parsed, Unreadable
from dagster_project.shaping.formats.html import read

FIXTURES = Path(__file__).parent / "fixtures" / "html"


def page(name: str) -> Parsed:
    return read((FIXTURES / name).read_bytes(), f"pages/{name}")


def test_the_head_of_a_page_a_browser_saved_is_told() -> None:
    note = page("browser_save.html")

    assert (note.title, note.author, note.tags) == ("Lakes & rivers – Example", "Ada Löf", ["lakes", "water, fresh"])
    assert note.created_at == datetime(2024, 3, 1, 8, tzinfo=UTC)
    assert note.modified_at == datetime(2024, 3, 2, tzinfo=UTC)
    assert note.properties == {
        "description": "What a lake is",
        "og:type": "article",
        "lang": "en-GB",
        "canonical": "https://example.org/blog/lakes",
        "saved_from": "https://example.org/blog/lakes?id=7&b=1",
    }
    assert (note.encoding, note.dropped) == ("utf-8", [])
    assert sorted(use[:2] for use in note.tag_uses) == [("lakes", "property"), ("water, fresh", "property")]


def test_the_body_of_a_page_a_browser_saved_comes_as_markdown() -> None:
    note = page("browser_save.html")

    assert [section[:4] for section in note.sections if section[1]] == [
        (1, "Lakes", ["Lakes"], "lakes"),
        (2, "The deep ones", ["Lakes", "The deep ones"], "the-deep-ones"),
    ]
    assert [link[:4] for link in note.links] == [
        ("markdown", "https://example.org/", None, "Home"),
        ("markdown", "https://example.org/blog/rivers.html", "delta", "rivers"),
        ("markdown", "", "the-deep-ones", "below"),
        ("markdown", "https://other.org/a_b?x=1&y=2", None, "there"),
        ("image", "https://example.org/blog/lakes_files/blue%20lake.png", None, "A blue lake"),
        ("image", "embedded-1.gif", None, "dot"),
    ]
    assert [block[:2] for block in note.code_blocks] == [("sql", "SELECT * FROM lakes -- [no](link)\n")]
    assert [task[:2] for task in note.tasks] == [("done", "measured"), ("open", "sailed")]
    assert "| Baikal | 1\u00a0642 m |" in note.body
    assert "no heading" not in note.body and "track" not in note.body


def test_what_lies_in_a_data_address_is_an_attachment() -> None:
    ((path, media_type, size, digest, width, height, *place),) = page("browser_save.html").attachments

    assert (path, media_type, size, width, height, place) == ("embedded-1.gif", "image/gif", 43, 3, 2, [None] * 3)
    assert len(digest) == 64


def test_what_pandoc_writes_is_read() -> None:
    note = page("pandoc.html")

    assert (note.title, note.author, note.tags) == ("A report", "Ada Löf, Bo Ek", ["lakes", "rivers", "water"])
    assert note.created_at == datetime(2023, 5, 6, tzinfo=UTC)
    assert note.properties == {"generator": "pandoc"}
    assert note.code_blocks[0][:2] == ("python", "x = 1\n")
    assert ("markdown", "", "introduction", "Introduction") in [link[:4] for link in note.links]
    assert "Water[<sup>1</sup>](#fn1) is *wet*, snake_case too." in note.body


def test_a_page_of_long_ago_is_read_in_the_encoding_browsers_read_it_in() -> None:
    note = page("hand_written.htm")

    assert (note.title, note.encoding) == ("Färs & recept", "windows-1252")
    assert note.modified_at == datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)
    assert note.body == (
        "**Köttbullar**\n\n“Blanda” 500 g färs  \n1 \\* ägg\n\nSe [sås](sås.htm)\n\n"
        "## Meny\n\nA\n\nB\n\n- Salt\n- Peppar\n"
    )


def test_what_a_word_processor_saves_is_read() -> None:
    note = page("word_processor.html")

    assert (note.title, note.encoding, note.sections[0][1]) == ("Minutes", "windows-1252", "Minutes")
    assert "Price: 5 €" in note.body and "**Due**: “soon”" in note.body and "office" not in note.body


@pytest.mark.parametrize(
    ("content", "encoding", "text"),
    [
        ("é".encode(), "utf-8", "é\n"),
        ("é".encode("utf-8-sig"), "utf-8", "é\n"),
        ("é".encode("utf-16"), "utf-16-le", "é\n"),
        ("“été” à la plage".encode("cp1252"), "windows-1252 (detected)", "“été” à la plage\n"),
        (b"<meta charset=shift_jis>" + "日本".encode("cp932"), "shift_jis", "日本\n"),
        (b"<?xml version='1.0' encoding='iso-8859-2'?>" + "ł".encode("iso-8859-2"), "iso8859-2", "ł\n"),
        (b"<meta charset=klingon>" + "é".encode(), "utf-8", "é\n"),
        (b"<meta charset=utf-16>" + "é".encode(), "utf-8", "é\n"),
        (b"<meta charset=zip>" + "é".encode(), "utf-8", "é\n"),
    ],
)
def test_the_encoding_is_the_marks_the_pages_or_detected(content: bytes, encoding: str, text: str) -> None:
    note = read(content, "a.html")

    assert (note.encoding, note.body, note.dropped) == (encoding, text, [])


def test_bytes_that_are_nothing_in_the_encoding_are_told() -> None:
    note = read(b"<meta charset=utf-8>\n<p>a\xffb\xfe", "a.html")

    assert (note.body, note.dropped, note.line) == ("a\ufffdb\ufffd\n", [("byte outside the encoding", 2, 2)], 2)


@pytest.mark.parametrize(
    ("html", "title"),
    [
        ("<title> a\nb </title><h1>h</h1>", "a b"),
        ("<meta property='og:title' content='og'><h1>h</h1>", "og"),
        ("<title> </title><h1>A <i>h</i></h1>", "A h"),
        ("text", "page"),
    ],
)
def test_the_title_is_the_heads_then_the_headings_then_the_files(html: str, title: str) -> None:
    assert read(html.encode(), "a/page.html").title == title


def test_xhtml_closes_what_xml_closes() -> None:
    xhtml = (
        b"<?xml version='1.0'?><!DOCTYPE html PUBLIC '-//W3C//DTD XHTML 1.0 Strict//EN' 'http://nowhere.invalid/x.dtd'>"
        b"<html xmlns='http://www.w3.org/1999/xhtml'><head><title>T</title><script src='a.js'/></head>"
        b"<body><p><a id='x'/>one&nbsp;<b/>two</p><div/><p>three</p></body></html>"
    )

    assert read(xhtml, "a.xhtml").body == "one\u00a0two\n\nthree\n"


def test_entities_of_xhtml_are_not_expanded() -> None:
    levels = "".join(f"<!ENTITY l{level} '{f'&l{level - 1};' * 10}'>" for level in range(1, 10))
    bomb = f"<!DOCTYPE html [<!ENTITY l0 'boom'>{levels}<!ENTITY f SYSTEM 'file:///etc/passwd'>]><html><body>&l9;&f;x</body></html>"
    note = read(bomb.encode(), "a.xhtml")

    assert len(note.body) < 100 and "x" in note.body and "root:" not in note.body


def test_deep_nesting_costs_structure_and_is_told() -> None:
    note = read(b"<div>" * 5000 + b"<p>text", "a.html")

    assert note.body == "text\n"
    assert note.dropped == [("element nested too deep", 4600, None)]


@given(st.binary(max_size=80), st.sampled_from(["a.html", "b.xhtml"]))
def test_any_bytes_are_a_page_or_refused(content: bytes, path: str) -> None:
    with suppress(Unreadable):
        read(content, path)


HEADS = st.lists(
    st.sampled_from(
        [
            *(
                "<meta name=date content=",
                "<meta name=keywords content=",
                "<base href=",
                "<time datetime=",
                "<a href=",
                ">",
            ),
            *(
                "<img src=data:",
                "image/png;base64,",
                "http://[",
                "//a:b/",
                "'",
                "99999-99-99",
                "Mon, 99",
                "%",
                "#",
                "<title>",
            ),
        ]
    ),
    max_size=12,
).map("".join)


@given(HEADS)
def test_any_head_is_read(html: str) -> None:
    read(html.encode(), "a.html")


def test_ids_are_anchors_without_a_place() -> None:
    note = read(b"<h2 id=now>Now</h2><p><a name='top'>a</a><b id=now>b</b><script id=s></script>", "a.html")

    assert [block for block in note.blocks if block[1] != "s"] == [
        ("anchor", "now", None, "", None, None, None),
        ("anchor", "top", None, "", None, None, None),
    ]
