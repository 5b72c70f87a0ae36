"""PDFs as ReportLab writes them, by hand as cairo and scanners do, and as an enemy would."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen import canvas

from dagster_project.shaping import Parsed, Unreadable
from dagster_project.shaping.converted import from_markdown
from dagster_project.shaping.formats import pdf
from dagster_project.shaping.formats.pdf import read

FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"


def written(draw: Callable[[canvas.Canvas], None], **options: object) -> bytes:
    """Return a PDF that ReportLab writes."""
    file = BytesIO()
    drawing = canvas.Canvas(file, pagesize=(400, 400), invariant=1, **options)  # type: ignore[arg-type]
    draw(drawing)
    drawing.save()
    return file.getvalue()


def by_hand(objects: Mapping[int, bytes], info: bytes = b"") -> bytes:
    """Return a PDF of these objects, 1 being the catalog, with a table of their places."""
    content, places = b"%PDF-1.4\n", {}
    for number, body in objects.items():
        places[number] = len(content)
        content += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start, size = len(content), max(objects) + 1
    content += b"xref\n0 %d\n0000000000 65535 f \n" % size
    for number in range(1, size):
        content += b"%010d 00000 n \n" % places[number] if number in places else b"0000000000 65535 f \n"
    return content + b"trailer\n<< /Size %d /Root 1 0 R %s >>\nstartxref\n%d\n%%%%EOF\n" % (size, info, start)


def stream(content: bytes, more: bytes = b"") -> bytes:
    """Return an object that holds a stream."""
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(content), more, content)


def compressed(objects: Mapping[int, bytes]) -> bytes:
    """Return a PDF with its objects in a compressed stream and a cross-reference stream, as cairo and Word have it."""
    packed = {number: body for number, body in objects.items() if b"stream" not in body}
    content, places = b"%PDF-1.5\n%\xb5\xed\xae\xfb\n", {}
    for number, body in objects.items():
        if number not in packed:
            places[number] = (1, len(content), 0)
            content += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    holder = max(objects) + 1
    index, bodies = b"", b""
    for at, (number, body) in enumerate(packed.items()):
        index += b"%d %d " % (number, len(bodies))
        bodies += body + b"\n"
        places[number] = (2, holder, at)
    places[holder] = (1, len(content), 0)
    packed_stream = zlib.compress(index + bodies)
    more = b"/Type /ObjStm /N %d /First %d /Filter /FlateDecode" % (len(packed), len(index))
    content += b"%d 0 obj\n%s\nendobj\n" % (holder, stream(packed_stream, more))
    places[holder + 1] = (1, len(content), 0)
    rows = b"".join(
        bytes([kind]) + first.to_bytes(4, "big") + bytes([second])
        for kind, first, second in ((places.get(number, (0, 0, 0))) for number in range(holder + 2))
    )
    more = b"/Type /XRef /Size %d /Root 1 0 R /W [1 4 1] /Filter /FlateDecode" % (holder + 2)
    start = len(content)
    content += b"%d 0 obj\n%s\nendobj\n" % (holder + 1, stream(zlib.compress(rows), more))
    return content + b"startxref\n%d\n%%%%EOF\n" % start


def minimal(page: bytes = b"", text: str = "Hello", **more: bytes) -> dict[int, bytes]:
    """Return the objects of a PDF of one page; `more` goes to the catalog and the tree of pages."""
    shown = b"BT /F1 12 Tf 20 300 Td (%s) Tj ET" % text.encode("latin-1")
    return {
        1: b"<< /Type /Catalog /Pages 2 0 R %s >>" % more.get("catalog", b""),
        2: b"<< /Type /Pages /Kids [3 0 R] /Count 1 %s >>" % more.get("pages", b""),
        3: b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 400 400] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> %s >>" % page,
        4: stream(shown),
        5: FONT,
    }


def chapters(drawing: canvas.Canvas) -> None:
    """Draw two chapters with an outline, links and metadata."""
    drawing.setTitle("The Lake")
    drawing.setAuthor("Ada Lovelace")
    drawing.setSubject("Water")
    drawing.setKeywords("water, data lake; notes")
    drawing.bookmarkPage("one")
    drawing.addOutlineEntry("Depth", "one", 0)
    drawing.bookmarkPage("lake")
    drawing.addOutlineEntry("Of the lake", "lake", 1)
    drawing.drawString(20, 350, "before")
    drawing.drawString(20, 330, "1 Depth")
    drawing.drawString(20, 310, "It is deep, hyphen-")
    drawing.drawString(20, 295, "ated, and *not* [[bold]] #tag")
    drawing.linkURL("https://example.org/a?b=1#c", (18, 308, 74, 322))
    drawing.showPage()
    drawing.bookmarkPage("two")
    drawing.addOutlineEntry("Width", "two", 0)
    drawing.drawString(20, 350, "- [ ] It is wide")
    drawing.linkRect("", "one", (18, 345, 200, 360))
    drawing.showPage()


def test_text_outline_links_and_metadata_come_out_as_reportlab_writes_them() -> None:
    note = read(written(chapters), "docs/lake.pdf")

    assert note.body == (
        "<!-- page 1 -->\n\nbefore\n\n# Depth\n\n## Of the lake\n\n"
        "It is deep, hyphenated, and \\*not\\* \\[\\[bold]] #tag\n\n"
        "<!-- page 2 -->\n\n# Width\n\n\\- \\[ ] It is wide\n"
    )
    assert [part[:3] for part in note.sections] == [
        (0, None, []),
        (1, "Depth", ["Depth"]),
        (2, "Of the lake", ["Depth", "Of the lake"]),
        (1, "Width", ["Width"]),
    ]
    assert note.links == [
        ("markdown", "https://example.org/a?b=1", "c", "It is deep,", None, None, None),
        ("markdown", "", "page=1", "- [ ] It is wide", None, None, None),
    ]
    assert (note.title, note.author, note.tags) == ("The Lake", "Ada Lovelace", ["data lake", "notes", "water"])
    assert note.tag_uses[0] == ("water", "property", None, None, None)
    assert (note.created_at, note.modified_at) == (datetime(2000, 1, 1, tzinfo=UTC),) * 2
    assert note.properties == {
        "subject": "Water",
        "creator": "anonymous",
        "producer": "ReportLab PDF Library - (opensource)",
        "pages": 2,
        "pdf_version": "1.3",
    }
    assert (note.tasks, note.dropped, note.error, note.encoding) == ([], [], None, None)


@pytest.mark.parametrize("made", [by_hand, compressed])
def test_without_an_outline_each_page_is_a_section(made: Callable[[Mapping[int, bytes]], bytes]) -> None:
    note = read(made(minimal()), "a/b.c.pdf")

    assert (note.title, note.body) == ("b.c", "# Page 1\n\nHello\n")
    assert [part[:3] for part in note.sections] == [(1, "Page 1", ["Page 1"])]
    assert (note.dropped, note.error, note.properties["pages"]) == ([], None, 1)


def test_pages_keep_their_numbers() -> None:
    def draw(drawing: canvas.Canvas) -> None:
        drawing.drawString(20, 350, "one")
        drawing.showPage()
        drawing.showPage()
        drawing.drawString(20, 350, "three")

    assert read(written(draw), "a.pdf").body == "# Page 1\n\none\n\n# Page 3\n\nthree\n"


def test_a_scan_is_told() -> None:
    scan = minimal(b"/Rotate 0", catalog=b"")
    scan[3] = scan[3].replace(b"/Font << /F1 5 0 R >>", b"/XObject << /Im1 5 0 R >>")
    scan[4] = stream(b"q 400 0 0 400 0 0 cm /Im1 Do Q")
    scan[5] = stream(
        b"\x00", b"/Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceGray /BitsPerComponent 8"
    )
    note = read(by_hand(scan), "scan.pdf")

    assert (note.title, note.body, note.sections) == ("scan", "", [])
    assert note.dropped == [("page without text", 1, None)]
    assert note.error == "no text: a scan? Recognise its text (OCR), and it will be read"


def test_a_picture_among_pages_of_text_is_told() -> None:
    def draw(drawing: canvas.Canvas) -> None:
        drawing.drawString(20, 350, "one")
        drawing.showPage()
        drawing.rect(10, 10, 50, 50)
        drawing.showPage()

    note = read(written(draw), "a.pdf")

    assert note.dropped == [("page without text", 1, None)]
    assert note.error == "1 of 2 pages have no text: scans or pictures?"


def test_an_encrypted_file_says_so_and_one_without_a_user_password_is_read() -> None:
    def draw(drawing: canvas.Canvas) -> None:
        drawing.drawString(20, 350, "secret")

    with pytest.raises(Unreadable, match="it is encrypted: save it without a password") as refused:
        read(written(draw, encrypt=StandardEncryption("user", "owner", strength=128)), "a.pdf")
    assert refused.value.rule == "encrypted"
    open_ = written(draw, encrypt=StandardEncryption("", "owner", canPrint=0, strength=128))
    assert read(open_, "a.pdf").body == "# Page 1\n\nsecret\n"


@pytest.mark.parametrize("content", [b"", b"%PDF-1.4", b"no pdf", by_hand(minimal())[:200]])
def test_what_is_no_pdf_is_refused(content: bytes) -> None:
    with pytest.raises(Unreadable, match="it is no PDF that can be read"):
        read(content, "a.pdf")


def test_a_broken_cross_reference_table_is_told() -> None:
    content = by_hand(minimal())
    note = read(content[: content.index(b"xref\n")] + content[content.index(b"trailer") :], "a.pdf")

    assert note.body == "# Page 1\n\nHello\n"
    assert note.dropped == [("cross-reference table", 1, None)]
    assert note.error == "its cross-reference table is broken: what could be found without it is kept"


def with_outline(entries: Mapping[int, bytes], text: str = "Hello") -> bytes:
    """Return a PDF of one page with the objects of an outline, 10 being its root."""
    return by_hand({**minimal(text=text, catalog=b"/Outlines 10 0 R"), **entries})


def test_an_outline_that_loops_ends() -> None:
    note = read(
        with_outline(
            {
                10: b"<< /First 11 0 R /Last 12 0 R /Count 2 >>",
                11: b"<< /Title (A) /Parent 10 0 R /Next 12 0 R /First 12 0 R /Dest [3 0 R /Fit] >>",
                12: b"<< /Title (B) /Parent 10 0 R /Next 11 0 R /First 11 0 R /Dest [3 0 R /Fit] >>",
            }
        ),
        "a.pdf",
    )

    assert [part[2] for part in note.sections if part[0]] == [["A"], ["A", "B"]]
    assert [part[0] for part in note.dropped] == ["entry of the outline that comes again"]
    assert note.error == "not kept: entry of the outline that comes again"


def test_a_deep_outline_keeps_its_path_and_is_cut() -> None:
    deep = {
        number: b"<< /Title (L%d) /First %d 0 R /Dest [3 0 R /Fit] >>" % (number - 10, number + 1)
        for number in range(11, 80)
    }
    note = read(with_outline({10: b"<< /First 11 0 R /Last 11 0 R >>", **deep}), "a.pdf")

    assert [part[0] for part in note.sections if part[0]] == [1, 2, 3, 4, 5, *[6] * (pdf.MAX_DEPTH - 5)]
    assert note.sections[8][2] == [f"L{level}" for level in range(1, len(note.sections[8][2]) + 1)]
    assert note.dropped == [(f"outline deeper than {pdf.MAX_DEPTH}", 1, None)]


def test_a_long_outline_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "MAX_ENTRIES", 3)
    siblings = {
        number: b"<< /Title (S%d) /Next %d 0 R /Dest [3 0 R /Fit] >>" % (number - 10, number + 1)
        for number in range(11, 20)
    }
    note = read(with_outline({10: b"<< /First 11 0 R /Last 19 0 R >>", **siblings}), "a.pdf")

    assert [part[1] for part in note.sections if part[0]] == ["S1", "S2", "S3"]
    assert note.dropped == [("outline beyond 3 entries", 1, None)]


def test_entries_that_point_nowhere_and_odd_titles_are_kept() -> None:
    note = read(
        with_outline(
            {
                10: b"<< /First 11 0 R /Last 13 0 R >>",
                11: b"<< /Title <FEFF004E00E400680065> /Next 12 0 R >>",
                12: b"<< /Title (C #) /Next 13 0 R /Dest [99 0 R /Fit] >>",
                13: b"<< /Title (  # 1. *x*\\n y ) /Next 14 0 R /Dest [3 0 R /Fit] >>",
                14: b"<< /Title () >>",
            }
        ),
        "a.pdf",
    )

    assert [part[1] for part in note.sections if part[0]] == ["Nähe", "C #", "# 1. *x* y"]


def test_an_outline_out_of_the_order_of_pages_keeps_its_own_paths() -> None:
    def draw(drawing: canvas.Canvas) -> None:
        for name in ("first", "second"):
            drawing.bookmarkPage(name)
            drawing.bookmarkPage(f"{name} again")
            drawing.drawString(20, 350, name)
            drawing.showPage()
        drawing.addOutlineEntry("B", "second", 0)
        drawing.addOutlineEntry("C", "first again", 1)
        drawing.addOutlineEntry("A", "first", 0)

    note = read(written(draw), "a.pdf")

    assert [part[2] for part in note.sections if part[0]] == [["B", "C"], ["A"], ["B"]]


@pytest.mark.parametrize(
    ("pages", "unread"),
    [
        (b"<< /Type /Pages /Kids [2 0 R 3 0 R] /Count 2 >>", ["page that cannot be read"]),
        (b"<< /Type /Pages /Kids [3 0 R] /Count 2147483647 >>", []),
    ],
)
def test_a_tree_of_pages_that_loops_or_lies_ends(pages: bytes, unread: list[str]) -> None:
    note = read(by_hand({**minimal(), 2: pages}), "a.pdf")

    assert (note.body, [part[0] for part in note.dropped]) == ("# Page 1\n\nHello\n", unread)


def test_a_form_that_draws_itself_ends() -> None:
    loop = minimal()
    loop[3] = loop[3].replace(b"/Font", b"/XObject << /X 6 0 R >> /Font")
    loop[4] = stream(b"/X Do BT /F1 12 Tf 20 300 Td (Hello) Tj ET")
    loop[6] = stream(
        b"/X Do", b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /X 6 0 R >> >>"
    )

    assert "Hello" in read(by_hand(loop), "a.pdf").body


def test_comments_fields_and_links_beyond_the_page_are_kept() -> None:
    annotated = minimal(b"/Annots [6 0 R 7 0 R 8 0 R 9 0 R 10 0 R]", catalog=b"/AcroForm << /Fields [8 0 R] >>")
    box = b"/Type /Annot /Rect [18 295 60 312]"
    annotated[6] = b"<< %s /Subtype /Text /Contents (# really?\\rYes) >>" % box
    annotated[7] = b"<< %s /Subtype /Highlight >>" % box
    annotated[8] = b"<< %s /Subtype /Widget /FT /Tx /T (name) /V (Ada *L*) >>" % box
    annotated[9] = b"<< %s /Subtype /Link /A << /S /GoToR /F (other.pdf) /D [0 /Fit] >> >>" % box
    annotated[10] = b"<< %s /Subtype /Link /A << /S /JavaScript /JS (x) >> >>" % box
    note = read(by_hand(annotated), "a.pdf")

    assert note.body == "# Page 1\n\nHello\n\n> \\# really?\n> Yes\n\n> name: Ada \\*L\\*\n"
    assert [link[:4] for link in note.links] == [("markdown", "other.pdf", None, "Hello")]


def test_annotations_beyond_the_limit_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "MAX_ANNOTATIONS", 1)
    monkeypatch.setattr(pdf, "MAX_PAGES", 1)
    note = read(written(chapters), "a.pdf")

    assert [link[1] for link in note.links] == []
    assert [part[0] for part in note.dropped] == ["page beyond 1", "link beyond 1"]


def test_text_beyond_the_limit_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "MAX_CHARACTERS", 3)
    note = read(by_hand(minimal()), "a.pdf")

    assert (note.body, note.dropped) == ("", [("page beyond 3 characters", 1, None)])


def test_embedded_files_are_attachments() -> None:
    files = b"/Names << /EmbeddedFiles << /Names [(a) 6 0 R (b) 8 0 R] >> >>"
    objects = minimal(catalog=files)
    objects[6] = b"<< /Type /Filespec /F (data.csv) /EF << /F 7 0 R >> >>"
    objects[7] = stream(b"a,b\n1,2\n", b"/Type /EmbeddedFile")
    objects[8] = b"<< /Type /Filespec /F (gone.csv) /EF << /F 99 0 R >> >>"
    note = read(by_hand(objects), "a.pdf")

    assert [file[:3] for file in note.attachments] == [("data.csv", "text/csv", 8)]
    assert note.dropped == [("embedded file that cannot be read", 1, None)]


SPECIAL = st.text(st.sampled_from("#*_[]()<>`~|-+=1.)\\&;:% ab\n!^$\"'{}"), min_size=1, max_size=30)


@given(st.lists(SPECIAL, max_size=6), st.lists(st.tuples(SPECIAL, st.integers(1, 8), st.integers(0, 2)), max_size=5))
def test_no_text_is_markup_and_each_entry_is_one_heading(texts: list[str], entries: list[tuple[str, int, int]]) -> None:
    pages = [pdf._Page(pdf._text_lines(text), ["a\n# b"] if "x" in text else []) for text in texts] or [
        pdf._Page([], [])
    ]
    titled = [(" ".join(title.split()), depth, min(page, len(pages) - 1)) for title, depth, page in entries]
    outline = pdf._placed([pdf._Entry([title] * depth, page) for title, depth, page in titled if title])
    body, paths = pdf._with_outline(pages, outline) if outline else pdf._by_page(pages)
    note = from_markdown(body, "a.pdf")

    assert (note.links, note.tasks, note.code_blocks) == ([], [], [])
    assert [part[1] for part in note.sections if part[1] is not None] == [path[-1] for path in paths]


GOOD: list[bytes] = [
    written(chapters),
    by_hand(
        minimal(b"/Annots [6 0 R]", catalog=b"/Outlines 7 0 R")
        | {
            6: b"<< /Type /Annot /Rect [18 295 60 312] /Subtype /Link /A << /S /URI /URI (https://a.org) >> >>",
            7: b"<< /First 8 0 R >>",
            8: b"<< /Title (A) /Dest [3 0 R /Fit] /Next 8 0 R >>",
        }
    ),
    compressed(minimal()),
]


@settings(max_examples=150)
@given(
    st.sampled_from(GOOD), st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=4), st.integers(0, 6)), max_size=6)
)
def test_a_broken_file_is_read_or_refused(good: bytes, changes: list[tuple[float, bytes, int]]) -> None:
    broken = good
    for where, new, cut in changes:
        at = int(where * len(broken))
        broken = broken[:at] + new + broken[at + cut :]
    with suppress(Unreadable):
        note: Parsed = read(broken, "a.pdf")
        note.body.encode()
        assert [part[2][-1] for part in note.sections if part[1]] == [part[1] for part in note.sections if part[1]]
