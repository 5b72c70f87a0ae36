"""Word documents as python-docx makes them, by hand as Word, LibreOffice and Google Docs do, and as an enemy would."""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from io import BytesIO
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
from docx import Document
from hypothesis import given, settings
from hypothesis import strategies as st

from dagster_project.shaping import Parsed, Unreadable, office
from dagster_project.shaping.formats.docx import read

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
SPACES = (
    f'xmlns:w="{W}" xmlns:r="{R}" xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'
    ' xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" xmlns:v="urn:schemas-microsoft-com:vml"'
    ' xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing"'
    ' xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
    ' xmlns:c="http://schemas.openxmlformats.org/drawingml/2006/chart"'
    ' xmlns:pic="http://schemas.openxmlformats.org/drawingml/2006/picture"'
    ' xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape" mc:Ignorable="w14 wp14"'
    ' xmlns:w14="http://schemas.microsoft.com/office/word/2010/wordml" xmlns:wp14="urn:x"'
)
TYPES = (
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/><Default Extension="png" ContentType="image/png"/>'
    '<Override PartName="/word/document.xml" ContentType='
    '"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>'
)


def png(width: int, height: int) -> bytes:
    """Return a grey image."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + b"\x80" * width for _ in range(height)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def zipped(parts: dict[str, str | bytes]) -> bytes:
    """Return a package of these parts."""
    file = BytesIO()
    with ZipFile(file, "w", ZIP_DEFLATED) as package:
        for name, content in parts.items():
            package.writestr(name, content)
    return file.getvalue()


def by_hand(body: str, parts: dict[str, str | bytes] | None = None, **related: str) -> bytes:
    """Return a document with this body; `related` gives the targets of relationships, `kind_id="target"`."""
    head = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
    document = f"{head}\n<w:document {SPACES}><w:body>{body}</w:body></w:document>"
    links = "".join(
        f'<Relationship Id="{name}" Type="{R}/{name.partition("_")[0]}" Target="{target}"'
        f"{' TargetMode=' + chr(34) + 'External' + chr(34) if name.startswith('hyperlink') else ''}/>"
        for name, target in related.items()
    )
    relationships = '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    return zipped(
        {
            "[Content_Types].xml": TYPES,
            "_rels/.rels": f'{relationships}<Relationship Id="r1" Type="{R}/officeDocument"'
            ' Target="word/document.xml"/></Relationships>',
            "word/document.xml": document,
            "word/_rels/document.xml.rels": f"{relationships}{links}</Relationships>",
            **(parts or {}),
        }
    )


def part(kind: str, content: str) -> str:
    """Return a part whose root is `w:kind`."""
    return f"<w:{kind} {SPACES}>{content}</w:{kind}>"


def said(text: str, style: str = "", marks: str = "") -> str:
    """Return a paragraph of one run."""
    properties = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f'<w:p>{properties}<w:r><w:rPr>{marks}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r></w:p>'


def style(id_: str, name: str, kind: str = "paragraph") -> str:
    """Return a style."""
    return f'<w:style w:type="{kind}" w:styleId="{id_}"><w:name w:val="{name}"/></w:style>'


def item(text: str, level: int, numbering: int) -> str:
    """Return an item of a list."""
    place = f'<w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="{numbering}"/></w:numPr>'
    return f"<w:p><w:pPr>{place}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"


def levels(id_: int, kind: str) -> str:
    """Return a numbering of three levels."""
    each = "".join(f'<w:lvl w:ilvl="{level}"><w:numFmt w:val="{kind}"/></w:lvl>' for level in range(3))
    return f'<w:abstractNum w:abstractNumId="{id_}">{each}</w:abstractNum>'


def saved(build: Callable[[Any], None]) -> bytes:
    """Return a document that python-docx makes."""
    document, file = Document(), BytesIO()
    build(document)
    document.save(file)
    return file.getvalue()


def lake(document: Any) -> None:
    """Write a document with what python-docx can do."""
    properties = document.core_properties
    properties.author, properties.keywords, properties.subject = "Ada Lovelace", "water, data lake", "Depth"
    properties.created, properties.modified = datetime(2024, 5, 1, 8), datetime(2024, 5, 2, 9, 30)
    document.add_heading("The Lake", 0)
    document.add_heading("Depth", 1)
    paragraph = document.add_paragraph("It is ")
    paragraph.add_run("deep").bold = True
    paragraph.add_run(" and ")
    paragraph.add_run("cold").italic = True
    paragraph.add_run(", *not* #tag [[link]]")
    for text, name in (
        ("one", "List Bullet"),
        ("one a", "List Bullet 2"),
        ("two", "List Bullet"),
        ("1st", "List Number"),
    ):
        document.add_paragraph(text, style=name)
    document.add_heading("Of it", 2)
    document.add_paragraph("said", style="Quote")
    table = document.add_table(rows=2, cols=2)
    for cell, text in zip(table._cells, ("a|b", "c", "1", "2"), strict=True):
        cell.text = text
    document.add_picture(BytesIO(png(5, 4)))
    document.sections[0].header.paragraphs[0].text = "Draft"
    document.sections[0].footer.paragraphs[0].text = "Page"


def test_a_document_of_python_docx_comes_out_whole() -> None:
    note = read(saved(lake), "docs/the lake.docx")

    assert note.body == (
        "# The Lake\n\n# Depth\n\nIt is **deep** and *cold*, \\*not\\* #tag \\[\\[link]]\n\n"
        "- one\n  - one a\n- two\n\n1. 1st\n\n## Of it\n\n> said\n\n| a\\|b | c |\n| --- | --- |\n| 1 | 2 |\n\n"
        "![](the%20lake.docx/word/media/image1.png)\n"
    )
    assert [part[:3] for part in note.sections] == [
        (1, "The Lake", ["The Lake"]),
        (1, "Depth", ["Depth"]),
        (2, "Of it", ["Depth", "Of it"]),
    ]
    assert note.links == [("image", "the lake.docx/word/media/image1.png", None, "", None, None, None)]
    assert [(file[:3], file[4:6]) for file in note.attachments] == [
        (("word/media/image1.png", "image/png", len(png(5, 4))), (5, 4))
    ]
    assert (note.title, note.author, note.tags) == ("The Lake", "Ada Lovelace", ["data lake", "water"])
    assert note.tag_uses[0] == ("water", "property", None, None, None)
    assert note.created_at == datetime(2024, 5, 1, 8, tzinfo=UTC)
    assert note.modified_at == datetime(2024, 5, 2, 9, 30, tzinfo=UTC)
    assert note.properties == {
        "subject": "Depth",
        "description": "generated by python-docx",
        "application": "Microsoft Macintosh Word",
        "headers": ["Draft"],
        "footers": ["Page"],
    }
    assert (note.dropped, note.error) == ([], None)


WORD = by_hand(
    said("Überblick", "berschrift1")
    + item("one", 0, 1)
    + item("deeper", 1, 1)
    + item("first", 2, 1)
    + item("two", 0, 1)
    + item("1st", 0, 2)
    + '<w:p><w:r><w:t>see </w:t></w:r><w:hyperlink r:id="hyperlink_1"><w:r><w:t>there</w:t></w:r></w:hyperlink>'
    '<w:r><w:fldChar w:fldCharType="begin"/></w:r><w:r><w:instrText> HYPERLINK "https://b.org/c#d" </w:instrText></w:r>'
    '<w:r><w:fldChar w:fldCharType="separate"/></w:r><w:r><w:t> field</w:t></w:r>'
    '<w:r><w:fldChar w:fldCharType="end"/></w:r>'
    '<w:r><w:footnoteReference w:id="2"/></w:r><w:r><w:commentReference w:id="7"/></w:r></w:p>'
    '<w:p><w:ins w:author="A"><w:r><w:t>new</w:t></w:r></w:ins>'
    "<w:del><w:r><w:delText>old</w:delText></w:r></w:del></w:p>"
    "<w:p><m:oMathPara><m:oMath><m:r><m:t>x</m:t></m:r></m:oMath></m:oMathPara></w:p>"
    "<w:p><w:r><mc:AlternateContent><mc:Choice Requires='wps'><w:drawing><wps:txbx><w:txbxContent>"
    + said("boxed")
    + "</w:txbxContent></wps:txbx></w:drawing></mc:Choice><mc:Fallback><w:pict><v:shape><v:textbox>"
    "<w:txbxContent>" + said("boxed") + "</w:txbxContent></v:textbox></v:shape></w:pict></mc:Fallback>"
    "</mc:AlternateContent></w:r></w:p>"
    "<w:sdt><w:sdtPr/><w:sdtContent>" + said("filled in") + "</w:sdtContent></w:sdt>"
    '<w:p><w:r><w:drawing><wp:inline><wp:docPr id="1" name="P" descr="a cat"/><a:graphic><a:graphicData>'
    '<pic:pic><pic:blipFill><a:blip r:embed="image_1"/></pic:blipFill></pic:pic></a:graphicData></a:graphic>'
    "</wp:inline></w:drawing></w:r></w:p>",
    {
        "word/styles.xml": part("styles", style("berschrift1", "heading 1")),
        "word/numbering.xml": part(
            "numbering",
            levels(1, "bullet")
            + levels(2, "decimal")
            + "".join(f'<w:num w:numId="{n}"><w:abstractNumId w:val="{n}"/></w:num>' for n in (1, 2)),
        ),
        "word/footnotes.xml": part("footnotes", f'<w:footnote w:id="2">{said("a note")}</w:footnote>'),
        "word/comments.xml": part(
            "comments", f'<w:comment w:id="7" w:author="Grace" w:initials="G">{said("really?")}</w:comment>'
        ),
        "word/media/image1.png": png(2, 3),
        "word/embeddings/table.xlsx": b"PK",
        "docProps/core.xml": '<cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties"'
        ' xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:dcterms="http://purl.org/dc/terms/"><dc:title>Näheres</dc:title>'
        "<cp:keywords>a;b</cp:keywords><cp:lastModifiedBy>Grace</cp:lastModifiedBy><cp:revision>4</cp:revision>"
        "<dcterms:created>2024-05-01T08:00:00Z</dcterms:created></cp:coreProperties>",
        "docProps/custom.xml": "<Properties"
        ' xmlns="http://schemas.openxmlformats.org/officeDocument/2006/custom-properties"'
        ' xmlns:vt="http://schemas.openxmlformats.org/officeDocument/2006/docPropsVTypes">'
        '<property name="Project"><vt:lpwstr>Lake</vt:lpwstr></property>'
        '<property name="Count"><vt:i4>3</vt:i4></property>'
        '<property name="Done"><vt:bool>true</vt:bool></property></Properties>',
    },
    hyperlink_1="../a%20b.md#c",
    image_1="media/image1.png",
    styles_1="styles.xml",
    numbering_1="numbering.xml",
    footnotes_1="footnotes.xml",
    comments_1="comments.xml",
)


def test_a_document_as_word_writes_it_comes_out_whole() -> None:
    note = read(WORD, "a.docx")

    assert note.body == (
        "# Überblick\n\n- one\n  - deeper\n    - first\n- two\n\n1. 1st\n\n"
        "see [there](../a%20b.md#c) [field](https://b.org/c#d)"
        "<sup>[\\[1\\]](#footnote-2)[\\[G1\\]](#comment-7)</sup>\n\n"
        "new\n\nboxed\n\nfilled in\n\n![a cat](a.docx/word/media/image1.png)\n\n"
        "1. a note\n\n**Comment \\[G1]**\n\nreally?\n"
    )
    assert [link[:4] for link in note.links] == [
        ("markdown", "../a b.md", "c", "there"),
        ("markdown", "https://b.org/c", "d", "field"),
        ("markdown", "", "footnote-2", "[1]"),
        ("markdown", "", "comment-7", "[G1]"),
        ("image", "a.docx/word/media/image1.png", None, "a cat"),
    ]
    assert (note.title, note.tags, note.created_at) == ("Näheres", ["a", "b"], datetime(2024, 5, 1, 8, tzinfo=UTC))
    assert note.properties == {"last_modified_by": "Grace", "Project": "Lake", "Count": 3, "Done": True}
    assert [file[0] for file in note.attachments] == ["word/media/image1.png", "word/embeddings/table.xlsx"]
    assert (note.dropped, note.error) == ([("formula", 1, None)], "not kept: formula")


def test_styles_of_libreoffice_and_pandoc_are_code_and_quotes() -> None:
    styles = (
        style("Title", "Title")
        + style("PreformattedText", "Preformatted Text")
        + style("Quotations", "Quotations")
        + style("VerbatimChar", "Verbatim Char", "character")
        + style("Heading8", "Heading 8")
    )
    run = '<w:p><w:r><w:rPr><w:rStyle w:val="VerbatimChar"/></w:rPr><w:t>x_y_</w:t></w:r></w:p>'
    body = (
        said("Cover", "Title")
        + said("a = 1", "PreformattedText")
        + said("  b = 2", "PreformattedText")
        + said("quoted", "Quotations")
        + run
        + said("deep", "Heading8")
    )
    note = read(by_hand(body, {"word/styles.xml": part("styles", styles)}, styles_1="styles.xml"), "a.docx")

    assert note.body == "# Cover\n\n```\na = 1\n  b = 2\n```\n\n> quoted\n\n`x_y_`\n\n###### deep\n"
    assert note.code_blocks == [(None, "a = 1\n  b = 2\n", None, None, None)]
    assert note.title == "Cover"


def test_a_document_without_properties_is_named_by_its_file() -> None:
    note = read(by_hand(said("text", marks="<w:b/>")), "docs/report.v2.docx")

    assert (note.title, note.author, note.created_at, note.properties) == ("report.v2", None, None, {})
    assert (note.body, note.dropped) == ("**text**\n", [])


def test_a_table_of_contents_leads_to_the_headings() -> None:
    def heading(text: str, mark: str) -> str:
        bookmark = f'<w:bookmarkStart w:id="1" w:name="{mark}"/>'
        return f'<w:p><w:pPr><w:pStyle w:val="Heading1"/></w:pPr>{bookmark}<w:r><w:t>{text}</w:t></w:r></w:p>'

    def entry(text: str, mark: str) -> str:
        return f'<w:p><w:hyperlink w:anchor="{mark}"><w:r><w:t>{text}</w:t></w:r></w:hyperlink></w:p>'

    note = read(
        by_hand(
            entry("one", "_Toc1")
            + entry("two", "_Toc2")
            + entry("there", "place")
            + heading("The lake", "_Toc1")
            + heading("The lake", "_Toc2")
            + '<w:p><w:bookmarkStart w:id="3" w:name="place"/><w:r><w:t>x</w:t></w:r></w:p>'
        ),
        "a.docx",
    )

    assert [part[3] for part in note.sections] == [None, "the-lake", "the-lake-1"]
    assert [link[1:4] for link in note.links] == [
        ("", "the-lake", "one"),
        ("", "the-lake-1", "two"),
        ("", "place", "there"),
    ]
    assert note.body.startswith("[one](#the-lake)\n\n[two](#the-lake-1)\n")


def test_text_is_no_markup() -> None:
    note = read(by_hand(said("# one") + said("- [ ] two") + said("&lt;b&gt; `c`") + said("```")), "a.docx")

    assert (note.links, note.tasks, note.code_blocks) == ([], [], [])
    assert [part[0] for part in note.sections] == [0]


def test_what_mammoth_leaves_out_is_told() -> None:
    chart = "<w:p><w:r><w:drawing><wp:inline><a:graphic><a:graphicData><c:chart r:id='x'/></a:graphicData></a:graphic>"
    strange = "<w:p><w:unheard/><w:unheard/></w:p>"
    note = read(by_hand(f"{chart}</wp:inline></w:drawing></w:r></w:p>{strange}{said('x')}"), "a.docx")

    assert note.dropped == [("chart", 1, None), ("element w:unheard", 2, None)]
    assert note.error == "not kept: chart, element w:unheard"


@pytest.mark.parametrize(
    ("content", "rule", "reason"),
    [
        (b"", "archive", "no zip archive"),
        (office._OLD + b"...", "office", "it is a file of Office before 2007: save it as DOCX"),
        (office._OLD + office._ENCRYPTED, "encrypted", "it is encrypted: save it without a password"),
        (zipped({"a.txt": "x"}), "office", r"no DOCX: it has no \[Content_Types\].xml"),
        (zipped({"[Content_Types].xml": TYPES, "xl/workbook.xml": "<a/>"}), "docx", "no DOCX that can be read"),
        (by_hand("<w:p>"), "office", "word/document.xml in it is no XML: mismatched tag: line 2"),
        (by_hand(said("x"), {"word/styles.xml": b"\xff\xfe\x00"}), "office", "word/styles.xml in it is no XML"),
    ],
)
def test_what_is_no_document_is_refused(content: bytes, rule: str, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason) as refused:
        read(content, "a.docx")

    assert refused.value.rule == rule


def test_a_namespace_that_element_tree_takes_for_none_is_refused() -> None:
    core = '<cp:coreProperties xmlns:cp="http://sche}as.openxmlformats.org"/>'  # found by the fuzzer
    with pytest.raises(Unreadable, match=r"docProps/core.xml in it is no XML"):
        read(by_hand(said("x"), {"docProps/core.xml": core}), "a.docx")


def test_entities_that_grow_are_refused() -> None:
    grows = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    for encoding in ("utf-8", "utf-16"):
        bomb = f'<?xml version="1.0" encoding="{encoding}"?>{grows}<w:styles xmlns:w="{W}">&b;</w:styles>'.encode(
            encoding
        )
        with pytest.raises(Unreadable, match=r"word/styles.xml has a document type"):
            read(by_hand(said("x"), {"word/styles.xml": bomb}), "a.docx")


def test_what_lies_too_deep_is_refused_and_what_does_not_is_read() -> None:
    def nested(depth: int) -> bytes:
        cells = "<w:tbl><w:tr><w:tc>" * depth
        return by_hand(f"{cells}{said('deep')}{'</w:tc></w:tr></w:tbl>' * depth}")

    assert "deep" in read(nested(31), "a.docx").body
    with pytest.raises(Unreadable, match="more than 100 elements within each other"):
        read(nested(100_000), "a.docx")


def test_too_many_elements_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(office, "MAX_ELEMENTS", 20)
    with pytest.raises(Unreadable, match="it has more than 20 XML elements"):
        read(by_hand(said("x") * 20), "a.docx")


def test_a_zip_bomb_is_refused_before_it_is_inflated() -> None:
    with pytest.raises(Unreadable, match=r"inflates to \d+ bytes"):
        read(by_hand(said("x"), {"word/media/image1.png": bytes(100 << 20)}), "a.docx")


def test_a_linked_picture_is_never_fetched() -> None:
    picture = (
        "<w:p><w:r><w:drawing><wp:inline><a:graphic><a:graphicData><pic:pic><pic:blipFill><a:blip r:link='image_1'/>"
        "</pic:blipFill></pic:pic></a:graphicData></a:graphic></wp:inline></w:drawing></w:r></w:p>"
    )
    note = read(by_hand(picture + said("x"), image_1="/etc/passwd"), "a.docx")

    assert (note.attachments, note.body) == ([], "x\n")
    assert len(note.dropped) == 1


def test_without_its_library_the_file_fails_by_an_import_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mammoth", None)
    with pytest.raises(ImportError, match="mammoth"):
        read(WORD, "a.docx")


GOOD = [WORD, saved(lake)]


@settings(max_examples=40)
@given(st.sampled_from(GOOD), st.floats(0, 1), st.binary(max_size=4), st.integers(0, 6))
def test_broken_bytes_are_read_or_refused(good: bytes, where: float, new: bytes, cut: int) -> None:
    at = int(where * len(good))
    with suppress(Unreadable):
        read(good[:at] + new + good[at + cut :], "a.docx")


PARTS = {name: ZipFile(BytesIO(WORD)).read(name) for name in ZipFile(BytesIO(WORD)).namelist()}
PIECES = st.sampled_from(
    [b"<w:p>", b"</w:p>", b"<w:tbl>", b"</w:tbl>", b"w:val", b"r:id", b'"', b"<w:r/>", b"0", b"x", b"&#0;"]
)


@settings(max_examples=60)
@given(
    st.sampled_from([name for name in PARTS if name.endswith((".xml", ".rels"))]),
    st.lists(st.tuples(st.floats(0, 1), PIECES, st.integers(0, 12)), min_size=1, max_size=3),
)
def test_broken_parts_are_read_or_refused(name: str, changes: list[tuple[float, bytes, int]]) -> None:
    broken = PARTS[name]
    for where, new, cut in changes:
        at = int(where * len(broken))
        broken = broken[:at] + new + broken[at + cut :]
    with suppress(Unreadable):
        note: Parsed = read(zipped({**PARTS, name: broken}), "a.docx")
        note.body.encode()


TAGS = st.sampled_from(
    ["p", "r", "t", "tbl", "tr", "tc", "pPr", "numPr", "ilvl", "numId", "hyperlink", "fldChar", "sdt", "sym"]
)
ATTRIBUTES = st.dictionaries(
    st.sampled_from(["w:val", "w:id", "r:id", "w:char", "w:font", "w:fldCharType"]),
    st.sampled_from(["1", "x", "begin", "end", ""]),
    max_size=2,
)
TREES = st.recursive(
    st.sampled_from(["", "text", "&lt;a&gt;"]),
    lambda inner: st.tuples(TAGS, ATTRIBUTES, st.lists(inner, max_size=4)).map(
        lambda each: (
            f"<w:{each[0]} {' '.join(f'{k}={v!r}' for k, v in each[1].items())}>{''.join(each[2])}</w:{each[0]}>"
        )
    ),
    max_leaves=25,
)


@settings(max_examples=60)
@given(st.lists(TREES, max_size=3))
def test_any_well_formed_document_is_read_or_refused(trees: list[str]) -> None:
    with suppress(Unreadable):
        read(by_hand("".join(trees)), "a.docx")
