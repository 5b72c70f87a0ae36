"""What a person wrote at the top of a note, as they meant it."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
import ryaml
from hypothesis import assume, given
from hypothesis import strategies as st

from dagster_project.shaping.formats.markdown import read


def properties(block: str, fence: str = "---") -> dict[str, Any]:
    return read(f"{fence}\n{block}\n{fence}\ntext".encode(), "a.md").properties


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("yes", "yes"),
        ("no", "no"),
        ("0123", "0123"),
        ("12:30", "12:30"),
        ("12:30:00", "12:30:00"),
        ("2024-01-05", "2024-01-05"),
    ]
    + [
        ("1.10", "1.10"),
        ("1.5", 1.5),
        ("123e456", "123e456"),
        ("42", 42),
        ("true", True),
        ("~", None),
        (".nan", ".nan"),
        (".inf", ".inf"),
    ]
    + [
        ("0x1F", "0x1F"),
        ("0o17", "0o17"),
        ("+7", "+7"),
        ("-7", -7),
        ("007", "007"),
        ("1_000", "1_000"),
        ("1e3", "1e3"),
        ("190:20:30", "190:20:30"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("9223372036854775808", "9223372036854775808"),
        ("-.inf", "-.inf"),
        ("null", None),
        ("", None),
        ("2024-01-05T10:00:00Z", "2024-01-05T10:00:00Z"),
        ("'2024-01-05'", "2024-01-05"),
        ('"yes"', "yes"),
        ("on", "on"),
        ("n", "n"),
        ("|\n  a\n  b", "a\nb\n"),
        ("[1.1, 1.10, 1.1]", [1.1, "1.10", 1.1]),
        ("{a: 31, b: 0x1F, c: [31]}", {"a": 31, "b": "0x1F", "c": [31]}),
    ]
    + [("[1, 1.20, a]", [1, "1.20", "a"]), ("{b: 2.50}", {"b": "2.50"}), ("'7'", "7")],
)
def test_values_stay_what_a_person_meant(written: str, meant: object) -> None:
    assert properties(f"k: {written}") == {"k": meant}


def test_keys_are_text() -> None:
    assert properties("2: a\ntrue: b\n~: c") == {"2": "a", "true": "b", "null": "c"}


def test_a_key_that_stands_twice_keeps_both_values() -> None:
    assert properties("a: 1\nb: x\na: 2\nc: [p]\nc: [q]") == {"a": [1, 2], "b": "x", "c": ["p", "q"]}


def test_well_known_keys_have_their_place_and_leave_the_properties() -> None:
    note = read(
        b"---\ntitle: T\nauthors: [A, B]\ncreated: 2024-01-05 10:00:00 +0800\nlastmod: 2024-02-01\n"
        b"tags: [b, '#a', 2024]\nkeywords: c, d e\nalias: x\naliases: [y, z]\nother: 1\n---\n",
        "a.md",
    )

    assert (note.title, note.author, note.tags, note.aliases) == (
        "T",
        "A, B",
        ["2024", "a", "b", "c", "d e"],
        ["y", "z", "x"],
    )
    assert note.created_at == datetime(2024, 1, 5, 2, tzinfo=UTC)
    assert note.modified_at == datetime(2024, 2, 1, tzinfo=UTC)
    assert note.properties == {"other": 1}


def test_a_value_that_does_not_fit_its_place_stays_a_property() -> None:
    note = read(b"---\ndate: next week\ncreated: 2024-01-05\ntags: {a: 1}\ntitle: [x]\n---\n", "n.md")

    assert note.properties == {"date": "next week", "tags": {"a": 1}, "title": ["x"]}
    assert (note.created_at, note.title) == (datetime(2024, 1, 5, tzinfo=UTC), "n")


def test_tags_of_front_matter_are_found_where_they_stand() -> None:
    content = "---\nnote: [rust]\ntags:\n  - rust\n  - né\n---\n#rust".encode()
    note = read(content, "a.md")

    assert [(use[:3], content[use[3] : use[4]].decode()) for use in note.tag_uses] == [
        (("rust", "front_matter", 4), "rust"),
        (("né", "front_matter", 5), "né"),
        (("rust", "inline", 7), "#rust"),
    ]
    assert note.tags == ["né", "rust"]


@pytest.mark.parametrize(
    ("block", "line", "readable", "rest"),
    [
        ("a: 1\nb: [x\nc: 2", 3, {"a": 1, "c": 2}, "b: [x\n"),
        ("a: {{title}}", 2, {}, None),
        ("a: {{title}}\nb: x\n", 2, {"b": "x"}, "a: {{title}}\n"),
        ("a: b: c", 2, {}, None),
        ("a: 1\n\tb: 2", 2, {}, None),
        ("a: {b: 1, b: 2}", 2, {}, None),
        ('a: 1\nb: "x\nc: [1, 2]\nd: *x', 3, {"a": 1, "c": [1, 2]}, 'b: "x\nd: *x\n'),
    ],
)
def test_of_a_broken_block_what_can_be_read_is_kept_and_the_rest_as_text(
    block: str, line: int, readable: dict[str, Any], rest: str | None
) -> None:
    note = read(f"---\n{block}\n---\n# Body".encode(), "a.md")
    unread = f"{block}\n" if rest is None else rest

    assert (note.properties, note.title, note.body) == ({**readable, "front_matter": unread}, "Body", "# Body")
    assert note.dropped == [("front matter", unread.count("\n") if rest else 1, note.line)]
    assert note.error
    assert note.line is not None
    assert abs(note.line - line) <= 1


def test_the_error_of_a_broken_block_tells_the_line_of_the_file() -> None:
    toml = read(b"+++\na = 1\nb = yes\n+++\ntext", "a.md")
    json = read(b'{\n"a": 1,\n"b": x\n}\ntext', "a.md")

    assert ("line 3" in (toml.error or ""), toml.line, toml.body) == (True, 3, "text")
    assert ("line 3" in (json.error or ""), json.line, json.body) == (True, 3, "text")
    assert json.properties == {"front_matter": '{\n"a": 1,\n"b": x\n}'}


def test_well_known_keys_of_a_broken_block_have_their_place() -> None:
    note = read(b"---\ntitle: T\ntags: [a]\nbad: [\n---\ntext", "a.md")

    assert (note.title, note.tags, note.properties) == ("T", ["a"], {"front_matter": "bad: [\n"})


@pytest.mark.parametrize(
    "text", ["---\njust text\n---\n", "---\n- a\n---\n", "---\na: 1\n", "text\n---\na: 1\n---\n", "----\na: 1\n---\n"]
)
def test_a_rule_is_no_front_matter(text: str) -> None:
    note = read(text.encode(), "a.md")

    assert (note.body, note.properties, note.dropped) == (text, {}, [])


@pytest.mark.parametrize(
    "text", ["---\r\na: 1\r\n---\r\nb", "\ufeff---\na: 1\n...\nb", "--- \na: 1\n---  \nb", "---\n---\nb"]
)
def test_line_ends_marks_and_spaces_do_not_matter(text: str) -> None:
    assert read(text.encode(), "a.md").body == "b"


def test_hugos_toml_is_read() -> None:
    note = read(b'+++\ntitle = "T"\ndate = 2024-01-05T10:00:00Z\ntags = ["a"]\n[params]\nx = 07:32:00\n+++\nb', "a.md")

    assert (note.title, note.tags, note.properties, note.body) == ("T", ["a"], {"params": {"x": "07:32:00"}}, "b")
    assert note.created_at == datetime(2024, 1, 5, 10, tzinfo=UTC)


def test_hugos_json_is_read() -> None:
    content = (
        '{\n  "title": "Né {x}",\n  "date": "2024-01-05",\n  "tags": ["a", "né"],\n'
        '  "n": 1.10, "i": 12345678901234567890123, "b": true, "z": null, "s": "007",\n  "d": {"k": [1, 2.5]}\n}\n'
        "# Body #c"
    ).encode()
    note = read(content, "a.md")

    assert (note.title, note.body, note.tags) == ("Né {x}", "# Body #c", ["a", "c", "né"])
    assert note.properties == {
        "n": "1.10",
        "i": "12345678901234567890123",
        "b": True,
        "z": None,
        "s": "007",
        "d": {"k": [1, 2.5]},
    }
    assert [(use[2], content[use[3] : use[4]].decode()) for use in note.tag_uses] == [(4, "a"), (4, "né"), (8, "#c")]
    assert note.sections[0][5] == 8


@pytest.mark.parametrize(
    "text",
    [
        "{% include x %}\ntext",
        "{{query x}}\n",
        '{"a": 1} is JSON',
        '{"a": 1\ntext',
        "{}\ntext",
        '{"a',
        '{"a\\"\\"',
        "{a: 1}\ntext",
    ],
)
def test_braces_that_are_no_json_object_stay_in_the_body(text: str) -> None:
    note = read(text.encode(), "a.md")

    assert (note.body, note.properties, note.dropped) == (text, {}, [])


def test_bombs_are_told_and_not_loaded() -> None:
    names = "abcdefghi"
    lines = ["a: &a [x,x,x,x,x,x,x,x,x]"]
    lines += [f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]" for a, b in pairwise(names)]
    note = read(("---\n" + "\n".join(lines) + "\n---\ntext").encode(), "a.md")

    assert (note.body, note.properties["a"], bool(note.error)) == ("text", ["x"] * 9, True)


PLAIN = st.text(st.characters(max_codepoint=126, min_codepoint=32), max_size=8) | st.sampled_from(
    (
        "true",
        "NULL",
        "No",
        "NaN",
        "e1",
        "x: y",
        "x #y",
        '"a"',
        "'it''s'",
        '"\\n"',
        "03/30/2025",
        "2024-01-05",
        "é",
        "a\tb",
    )
)


@given(st.lists(st.tuples(st.sampled_from(("a", "no", "null", "Z.z-1", "b")), PLAIN), min_size=1, max_size=3))
def test_lines_of_plain_text_are_read_as_the_loader_reads_them(entries: list[tuple[str, str]]) -> None:
    block = "\n".join(f"{key}: {value}" for key, value in entries)
    try:
        expected = ryaml.loads(block)  # type: ignore[attr-defined]
    except ValueError:
        assume(False)
    assume(isinstance(expected, dict) and all(isinstance(each, str) for pair in expected.items() for each in pair))
    assert properties(block) == expected
