"""Exports as Evernote and others write them."""

from __future__ import annotations

import base64
import hashlib
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.shaping import Container, Parsed, Unreadable
from dagster_project.shaping.formats.enex import read

FIXTURES = Path(__file__).parent / "fixtures" / "enex"


def export(name: str) -> Container:
    return read((FIXTURES / name).read_bytes(), f"notes/{name}")


def lake_trip() -> Parsed:
    return export("evernote_10.enex").notes[0]


def note(enml: str, title: str = "t") -> str:
    return (
        f"<note><title>{title}</title><created>20240101T000000Z</created><content><![CDATA[{enml}]]></content></note>\n"
    )


def exported(*notes: str) -> bytes:
    return f"<?xml version='1.0'?>\n<en-export>\n{''.join(notes)}</en-export>".encode()


def test_what_evernote_10_tells_of_a_note_is_told() -> None:
    found = lake_trip()

    assert (found.title, found.author, found.tags) == ("Lake trip & more", "Ada Löf", ["travel", "water, fresh"])
    assert found.created_at == datetime(2024, 3, 1, 8, tzinfo=UTC)
    assert found.modified_at == datetime(2024, 3, 2, 9, 30, tzinfo=UTC)
    assert found.properties == {
        "source": "web.clip7",
        "source-url": "https://example.org/lakes#deep",
        "latitude": "59.3",
        "reminder-time": "20240305T080000Z",
        "recognised": ["lake 50%.png"],
    }
    assert (found.member, found.line, found.dropped, found.error) == ("20240301T080000Z Lake trip & more", 4, [], None)


def test_no_text_around_media_is_lost() -> None:
    assert lake_trip().body == (
        "# Plan\n\n"
        "before ![](<lake 50%25.png>) after\n\n"
        "- [ ] Pack \\*the\\* tent\n- [x] Book train\n\n"
        "* [x] swim\n* [ ] row\n\n"
        "```python\nx = 1\ny = *x\n```\n\n"
        "see [the other note](evernote:///view/12/s1/aaaa-bbbb/aaaa-bbbb/)\u00a0and "
        "[map_of lake.pdf](<map_of lake.pdf>)\n\n"
        "| a | b |\n| --- | --- |\n| c |  |\n\n"
        "- [ ] Nowhere in the text\n"
    )


def test_tasks_are_check_boxes_and_what_the_export_says_of_them() -> None:
    assert lake_trip().tasks == [
        ("open", "Pack *the* tent", "Plan", "2024-03-04", None, None, "flag", None, None, None),
        ("done", "Book train", "Plan", None, None, "2024-03-02", None, None, None, None),
        ("done", "swim", "Plan", None, None, None, None, None, None, None),
        ("open", "row", "Plan", None, None, None, None, None, None, None),
        ("open", "Nowhere in the text", "Plan", None, None, None, None, None, None, None),
    ]


def test_links_are_kept_those_to_notes_too() -> None:
    assert [link[:4] for link in lake_trip().links] == [
        ("image", "lake 50%.png", None, ""),
        ("markdown", "evernote:///view/12/s1/aaaa-bbbb/aaaa-bbbb/", None, "the other note"),
        ("markdown", "map_of lake.pdf", None, "map_of lake.pdf"),
        ("markdown", "https://example.org/lakes", "deep", "source-url"),
    ]


def test_resources_are_attachments_found_by_the_hash_of_their_data() -> None:
    picture, chart = lake_trip().attachments

    assert picture[:2] == ("lake 50%.png", "image/png") and picture[4:] == (4, 2, None, None, None)
    assert chart == (
        "map_of lake.pdf",
        "application/pdf",
        13,
        hashlib.sha256(b"%PDF-1.4 tiny").hexdigest(),
        *[None] * 5,
    )


def test_a_note_has_the_same_name_in_every_export() -> None:
    assert [each.member for each in export("evernote_10.enex").notes[1:]] == [
        "20240301T080000Z Twin",
        "20240301T080000Z Twin (2)",
    ]


def test_what_older_versions_write_is_read() -> None:
    whole = export("evernote_legacy.enex")
    (found,) = whole.notes

    assert (whole.error, whole.line) == (None, 4)
    assert found.body == (
        "- [x] milk & **eggs**\n- [ ] bread\n\nPIN: (encrypted: my cat) end\n\n"
        "[Lake trip](evernote:///view/12/s1/cccc/cccc/)\n\n**bold** 1<2\n\n"
        "text![](00000000000000000000000000000000)tail\n"
    )
    assert [task[:2] for task in found.tasks] == [("done", "milk & **eggs**"), ("open", "bread")]
    assert found.properties == {"source": "desktop.win", "some.app": "x"}
    assert found.dropped == [("encrypted text", 1, 4), ("resource that is not in the file", 1, 4)]
    assert found.error == "line 4: encrypted text"


def test_what_others_write_is_read() -> None:
    text, broken, empty = export("third_party.enex").notes

    assert (text.body, text.properties) == ("one *two*  \nthree\n", {"folder": "Work", "colour": "blue"})
    assert broken.body == "one **two**\n\n**![](x)three \\&nope;**\n\n**four**\n"
    assert broken.dropped == [("ENML that is no XML", 1, 10), ("resource that is not in the file", 1, 10)]
    assert (empty.title, empty.body, empty.member) == ("third_party", "", "note")


def test_of_a_file_that_is_cut_off_the_notes_before_come_through() -> None:
    whole = exported(note("<en-note>a</en-note>", "A"), note("<en-note>b</en-note>", "B"))
    found = read(whole[: whole.index(b"b</en-note>")], "a.enex")

    assert [(each.title, each.body) for each in found.notes] == [("A", "a\n")]
    assert [(each.member, each.rule, each.line) for each in found.refused] == [("20240101T000000Z B", "xml", 4)]
    assert found.refused[0].payload.startswith("<note><title>B")
    assert (found.line, found.error) == (4, "line 4: unclosed CDATA section")


def test_a_note_whose_xml_is_broken_is_refused_alone() -> None:
    found = read(exported(note("a", "A"), note("b", "\x0b"), note("c", "C & D"), note("d", "D")), "a.enex")

    assert [each.title for each in found.notes] == ["A", "D"]
    assert [each.line for each in found.refused] == [4, 5]
    assert [each.line for each in found.notes] == [3, 6]


def test_every_cut_of_a_file_keeps_the_notes_before_it() -> None:
    whole = (FIXTURES / "evernote_10.enex").read_bytes()
    ends = [at for at in range(len(whole)) if whole.startswith(b"</note>", at)]
    for cut in range(150, len(whole) - 1, 97):
        with suppress(Unreadable):
            found = read(whole[:cut], "a.enex")
            assert len(found.notes) == sum(end + len("</note>") <= cut for end in ends)
            assert found.error is not None and found.line is not None


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "xml"),
        (b"no xml", "xml"),
        (b"<html><body/></html>", "enex"),
        (b"<?xml version='1.0' encoding='klingon'?><en-export/>", "encoding"),
        (b"<?xml version='1.0' encoding='shift_jis'?><en-export/>", "encoding"),
        (b"<!DOCTYPE en-export [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]><en-export/>", "entities"),
        (b"<!DOCTYPE en-export [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><en-export>&a;</en-export>", "entities"),
    ],
)
def test_what_is_no_export_is_refused(content: bytes, rule: str) -> None:
    with pytest.raises(Unreadable) as refused:
        read(content, "a.enex")

    assert refused.value.rule == rule and refused.value.line == 1


def test_entities_of_enml_are_not_expanded() -> None:
    levels = "".join(f"<!ENTITY l{level} '{f'&l{level - 1};' * 10}'>" for level in range(1, 10))
    declared = f"<!ENTITY l0 'boom'>{levels}<!ENTITY f SYSTEM 'file:///etc/passwd'>"
    enml = f"<!DOCTYPE en-note [{declared}]><en-note a='&l9;'>&l9;&f;x</en-note>"
    (found,) = read(exported(note(enml)), "a.enex").notes

    assert len(found.body) < 2000 and "x" in found.body and "root:" not in found.body


def test_an_empty_export_holds_no_note() -> None:
    found = read(exported(), "a.enex")

    assert (found.notes, found.refused, found.dropped, found.error) == ([], [], [], None)
    assert (found.encoding, found.characters) == ("utf-8", len(exported().decode()))


def test_a_resource_whose_data_is_broken_is_told() -> None:
    resource = "<resource><data encoding='base64'>a*b</data><mime>image/png</mime></resource></note>"
    (found,) = read(exported(note("<en-note>a</en-note>").replace("</note>", resource)), "a.enex").notes

    assert (found.body, found.attachments) == ("a\n", [])
    assert found.dropped == [("resource whose data is broken", 1, 3)]


def test_a_big_resource_is_read() -> None:
    data = base64.b64encode(bytes(12_000_000)).decode()
    resource = f"<resource><data>{data}</data><mime>video/mp4</mime></resource></note>"
    (found,) = read(exported(note("<en-note>a</en-note>").replace("</note>", resource)), "a.enex").notes

    assert found.attachments[0][1:3] == ("video/mp4", 12_000_000)


@pytest.mark.parametrize(
    "content",
    [
        exported(*["<note>&"] * 20_000),
        exported("<note>" + "<a>" * 50_000 + "</a>" * 50_000 + "</note>"),
        exported("<a>" * 50_000),
        exported(note("<en-note>" + "<div>" * 20_000 + "x" + "</div>" * 20_000 + "</en-note>")),
        exported(note("<en-note>" + "<div style='--en-task-group:true; --en-id:a'/>" * 5_000 + "</en-note>")),
    ],
    ids=["breaks", "deep", "strange", "deep enml", "groups"],
)
def test_what_a_hostile_export_costs_is_bounded(content: bytes) -> None:
    begun = time.process_time()
    read(content, "a.enex")

    assert time.process_time() - begun < 15


PIECES = st.lists(
    st.sampled_from(
        [
            *(
                "<note>",
                "</note>",
                "<title>",
                "</title>",
                "<content>",
                "</content>",
                "<![CDATA[",
                "]]>",
                "<task>",
                "</task>",
            ),
            *(
                "<en-note>",
                "</en-note>",
                "<en-todo/>",
                "<en-media hash='a'/>",
                "<resource>",
                "</resource>",
                "<data>",
                "</data>",
            ),
            *(
                "a",
                "&lt;",
                "&",
                "<",
                "\n",
                "<created>",
                "</created>",
                "<dueDate>",
                "</dueDate>",
                "99999999T",
                "=",
                "\x01",
            ),
        ]
    ),
    max_size=25,
).map("".join)


@given(PIECES)
def test_any_export_is_read_or_refused(inside: str) -> None:
    with suppress(Unreadable):
        read(exported(inside), "a.enex")


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    with suppress(Unreadable):
        read(content, "a.enex")
