"""Plain text is kept as it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.shaping import Unreadable
from dagster_project.shaping.decoding import count_words
from dagster_project.shaping.formats.plain_text import read


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_is_the_body_and_one_section(encoding: str) -> None:
    content = "# no heading\n😀 [[no link]]".encode(encoding)
    note = read(content, "lists/shop.v1.txt")
    ((*_, text, line, start, end),) = note.sections

    assert (note.title, note.body, note.word_count, note.links) == ("shop.v1", "# no heading\n😀 [[no link]]", 6, [])
    assert (text, line, content[start:end].decode("utf-16-le" if encoding == "utf-16" else "utf-8")) == (
        note.body,
        1,
        note.body,
    )


def test_blank_text_has_no_section() -> None:
    assert read(b" \n\t", "a.txt").sections == []


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(Unreadable, match="byte 0x80 at offset 0 in line 1"):
        read(b"\x80\x00\x01\x02", "a.txt")


def test_a_guessed_encoding_is_told_and_its_ranges_are_the_files() -> None:
    content = "Les cafés près de la Corderie".encode("cp1252")
    note = read(content, "a.txt")

    assert (note.encoding, note.characters, note.body) == ("windows-1252 (detected)", 29, content.decode("cp1252"))
    assert note.sections[0][-2:] == (0, 29)


@given(st.text(st.sampled_from("ab \n\t\r\x0b\x0c\x00\x1cé\u3000\u00a0"), max_size=40))
def test_words_are_what_stands_between_spaces_and_control_characters(text: str) -> None:
    cleared = "".join(max(character, " ") for character in text)

    assert count_words(text) == len(cleared.split())
