"""Bytes become text whole or not at all, and every place in the text is one of the file."""

from __future__ import annotations

import codecs
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dagster_project.shaping import Unreadable
from dagster_project.shaping.decoding import decode
from dagster_project.shaping.formats.markdown import read

MARKS = {
    "utf-8": codecs.BOM_UTF8,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}
FRENCH = "# Notes\nLes cafés près de la Corderie sont fermés le lundi. #été\n\nVoir [[Été]] — c’est là.\n"
GERMAN = "# Straße\nÜber München – schön, „Grüße“ [[Öl]] #grün\n"
POLISH = "# Notatki\nZażółć gęślą jaźń. W Szczebrzeszynie chrząszcz brzmi w trzcinie. [[Źródło]] #święto\n"
RUSSIAN = "# Заметка\nПривет, это заметка о погоде в Москве. [[Дом]] #тег\n"
GREEK = "# Σημείωση\nΚαλημέρα, αυτή είναι μια σημείωση για τον καιρό. [[Σπίτι]] #ετικέτα\n"
JAPANESE = "# メモ\n今日は天気がいいですね。明日は雨が降ります。 [[家]] #天気\n"
CHINESE = "# 笔记\n今天天气很好，我们去公园散步。明天会下雨。 [[家]] #天气\n"
TAIWANESE = "# 筆記\n今天天氣很好，我們去公園散步。明天會下雨。 [[家]] #天氣\n"
KOREAN = "# 메모\n오늘은 날씨가 좋습니다. 내일은 비가 옵니다. [[집]] #날씨\n"
LEGACY = [
    ("cp1252", "windows-1252", FRENCH),
    ("cp1252", "windows-1252", GERMAN),
    ("cp1252", "windows-1252", "ok\ncafé #x\n"),
    ("cp1252", "windows-1252", "El niño, mañana ¿qué?"),
    ("cp1250", "windows-1250", POLISH),
    ("cp1251", "windows-1251", RUSSIAN),
    ("koi8_r", "koi8-r", RUSSIAN),
    ("cp1253", "windows-1253", GREEK),
    ("cp932", "cp932", JAPANESE),
    ("euc_jp", "euc-jp", JAPANESE),
    ("gb18030", "gb18030", CHINESE),
    ("big5", "big5", TAIWANESE),
    ("cp949", "cp949", KOREAN),
]


@pytest.mark.parametrize("encoding", MARKS)
@pytest.mark.parametrize("text", [FRENCH, JAPANESE, "😀 a", "plain", ""])
def test_a_mark_says_the_encoding_and_is_not_text(encoding: str, text: str) -> None:
    decoded = decode(MARKS[encoding] + text.encode(encoding))

    assert (decoded.text, decoded.encoding, decoded.mark) == (text, encoding, len(MARKS[encoding]))


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("text", [FRENCH, GERMAN, "plain"])
def test_without_a_mark_wide_text_is_told_by_its_nul_bytes(encoding: str, text: str) -> None:
    decoded = decode(text.encode(encoding))

    assert (decoded.text, decoded.encoding, decoded.mark) == (text, f"{encoding} (detected)", 0)


@pytest.mark.parametrize(("codec", "name", "text"), LEGACY)
def test_a_legacy_encoding_is_guessed_and_named(codec: str, name: str, text: str) -> None:
    decoded = decode(text.encode(codec))

    assert (decoded.text, decoded.encoding) == (text, f"{name} (detected)")


@pytest.mark.parametrize(
    ("content", "byte", "line"),
    [
        ("Les cafés\nprès d'ici ".encode() + b"caf\xe9\n", "byte 0xE9 at offset 26 in line 2 is not UTF-8", 2),
        (b"\xef\xbb\xbfok\ncaf\xe9\n", "byte 0xE9 at offset 9 in line 2 is not UTF-8", 2),
        (b"\xff\xfe\x00\xd8", "byte 0x00 at offset 2 in line 1 is not UTF-16", 1),
        (b"\xff\xfea\0b", "byte 0x62 at offset 4 in line 1 is not UTF-16", 1),
        (b"\x00\x00\xfe\xff\x00\x11\x00\x00", "byte 0x00 at offset 4 in line 1 is not UTF-32", 1),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "byte 0x89 at offset 0 in line 1 is not UTF-8", 1),
    ],
)
def test_what_cannot_be_decoded_is_refused_with_the_byte_and_its_place(content: bytes, byte: str, line: int) -> None:
    with pytest.raises(Unreadable, match=byte) as refused:
        decode(content)

    assert (refused.value.rule, refused.value.line) == ("encoding", line)


def test_nul_bytes_in_utf8_are_text() -> None:
    assert (decode(b"a\0b").text, decode("é\0b".encode()).text, decode(b"\0").encoding) == ("a\0b", "é\0b", "utf-8")


@pytest.mark.parametrize(("codec", "name", "text"), LEGACY)
def test_ranges_in_a_legacy_encoding_are_those_of_the_file(codec: str, name: str, text: str) -> None:
    content = text.encode(codec)
    note = read(content, "a.md")

    for section in note.sections:
        assert content[section[-2] : section[-1]].decode(codec) == section[4]
    for tag, *_, start, end in note.tag_uses:
        assert content[start:end].decode(codec) == f"#{tag}"
    for _, target, *_, start, end in note.links:
        assert content[start:end].decode(codec) == f"[[{target}]]"
    assert note.encoding == f"{name} (detected)"


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_no_byte_is_lost_whatever_they_are(content: bytes) -> None:
    try:
        decoded = decode(content)
    except Unreadable:
        return
    codec = decoded.encoding.removesuffix(" (detected)")
    assert content[decoded.mark :].decode(codec) == decoded.text


def test_much_that_is_no_text_is_refused_in_time() -> None:
    content = random.Random(1).randbytes(2_000_000)

    with pytest.raises(Unreadable):
        decode(content)
