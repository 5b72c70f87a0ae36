"""Every range is one of the file's own bytes: generated notes and real ones."""

from __future__ import annotations

import codecs
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dagster_project.shaping.formats.markdown import read
from dagster_project.shaping.parsed import Parsed

CORPORA = Path(__file__).parents[3] / "shared" / "corpora"
ENCODINGS = {
    "utf-8": b"",
    "utf-8-sig": b"",
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}

PIECES = st.sampled_from(
    [
        "# ",
        "## ",
        "- ",
        "- [ ] ",
        "> ",
        "\t",
        "    ",
        "```\n",
        "[[",
        "]]",
        "![[",
        "|",
        "[x](y#z)",
        "#tag/é",
        "#日本",
        "%%",
        "`",
        "\n",
        "\n\n",
    ]
    + [
        "é",
        "😀",
        "text ",
        "<!--",
        "-->",
        "---\n",
        '{"tags": ["é"]}\n',
        "tags: [a, é]\n",
        "tags:: b, #c\n",
        "TODO ",
        "*",
        "\\",
        "📅 2024-01-01",
        "\0",
        "===\n",
        "1. ",
        "a:: b",
        "[k:: ",
        "]",
        " ^id1\n",
        "> [!note] T\n",
        "$",
        "$$",
        "<a href='x'>",
        "</a>",
        "((63bc6201-53b1-47a4-834f-83934b69ad49))",
        "id:: ",
        "\n\t- ",
        "\n:::tip x\n",
        "\n:::\n",
    ]
)
NOTES = st.lists(PIECES | st.text(max_size=4), max_size=30).map("".join)


def check(note: Parsed, content: bytes, encoding: str) -> None:
    def at(start: int, end: int) -> str:
        return content[start:end].decode(encoding)

    for section in note.sections:
        assert at(*section[-2:]) == section[4]
    for link in note.links:
        assert at(*link[-2:])[0] in "[!<("
        assert at(*link[-2:])[-1] in "])>"
    for tag, *_, start, end in note.tag_uses:
        assert tag in at(start, end)
    for task in note.tasks:
        assert " ".join(at(*task[-2:]).split()).endswith(" ".join(task[1].split())[-1:])
    for block in note.code_blocks:
        # pyromark turns CRLF into LF and leaves a lone CR, which ends a line all the same.
        written, stored = (text.replace("\r\n", "\n").replace("\r", "\n") for text in (at(*block[-2:]), block[1]))
        assert [line.strip(" \t>") for line in stored.split("\n")] == [
            line.strip(" \t>") for line in written.split("\n")
        ]
    for key, value, *_, start, end in note.fields:
        written = at(start, end)
        assert key in written
        assert written.endswith(value) or written[:-1].rstrip(" \t\r").endswith(value)
    for kind, name, title, text, _, start, end in note.blocks:
        written = at(start, end)
        assert (name or "").lower() in at(start, len(content)).lower()
        assert (title or "") in written
        assert all(line.strip(" \t>\r") in written for line in text.split("\n")), kind
    for part in (
        *note.sections,
        *note.links,
        *note.tag_uses,
        *note.tasks,
        *note.code_blocks,
        *note.fields,
        *note.blocks,
    ):
        before = content[: part[-2]].decode(encoding)
        assert part[-3] == before.count("\n") + 1


@given(text=NOTES, encoding=st.sampled_from(sorted(ENCODINGS)), newline=st.sampled_from(["\n", "\r\n", "\r"]))
@settings(max_examples=400, deadline=None)
def test_a_range_of_the_file_decodes_to_what_is_stored(text: str, encoding: str, newline: str) -> None:
    text = text.encode("utf-8", "ignore").decode().replace("\ufeff", "").lstrip("\0").replace("\n", newline)
    content = ENCODINGS[encoding] + text.encode(encoding)

    note = read(content, "a.md")

    assume(note.encoding == encoding.removesuffix("-sig"))  # a few letters and NULs without a mark may be anything
    check(note, content, encoding.removesuffix("-sig"))
    assert text.endswith(note.body)


@given(text=NOTES)
@settings(max_examples=200, deadline=None)
def test_sections_cover_the_body_without_gap_or_overlap(text: str) -> None:
    content = text.encode("utf-8", "ignore")
    note = read(content, "a.md")
    ranges = [section[-2:] for section in note.sections]

    assert all(left[1] == right[0] for left, right in pairwise(ranges))
    if ranges:
        assert ranges[-1][1] == len(content)
        assert content[len(content) - len(note.body.encode()) : ranges[0][0]].decode().strip() == ""


@given(text=NOTES)
@settings(max_examples=150, deadline=None)
def test_the_encoding_changes_nothing_but_the_ranges(text: str) -> None:
    text = text.encode("utf-8", "ignore").decode().replace("\ufeff", "").lstrip("\0")
    plain = read(text.encode(), "a.md")
    wide = read(b"\xff\xfe" + text.encode("utf-16-le"), "a.md")

    assume(plain.encoding == "utf-8")  # a few letters and NULs without a mark may be anything
    for name in ("title", "body", "tags", "aliases", "properties", "word_count", "dropped", "error", "line"):
        assert getattr(plain, name) == getattr(wide, name)
    for name in ("sections", "links", "tag_uses", "tasks", "code_blocks", "fields", "blocks"):
        assert [part[:-2] for part in getattr(plain, name)] == [part[:-2] for part in getattr(wide, name)]


@pytest.mark.parametrize("folder", ["handbook", "vault_before", "vault_after"])
def test_real_notes_hold_to_their_bytes(folder: str) -> None:
    files = sorted((CORPORA / folder).rglob("*.md"))
    if not files:
        pytest.skip(f"{CORPORA / folder} is not here: real notes lie beside the checkout only")
    for file in files:
        content = file.read_bytes()
        check(read(content, file.name), content, "utf-8")
    for file in files[::10]:
        text = file.read_bytes().decode("utf-8-sig").replace("\r\n", "\n").replace("\n", "\r\n")
        content = codecs.BOM_UTF16_BE + text.encode("utf-16-be")
        check(read(content, file.name), content, "utf-16-be")
