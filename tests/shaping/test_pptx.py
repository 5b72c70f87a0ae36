"""Presentations as python-pptx makes them, by hand as other producers do, and as an enemy would."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from io import BytesIO
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pptx import Presentation
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.util import Inches

from dagster_project.shaping import Parsed, Unreadable
from dagster_project.shaping.formats.pptx import read

REL = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
MAIN = "application/vnd.openxmlformats-officedocument.presentationml"
SPACES = (
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
    f' xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" xmlns:r="{REL}"'
    ' xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
    ' xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'
    ' xmlns:a14="http://schemas.microsoft.com/office/drawing/2010/main"'
    ' xmlns:dgm="http://schemas.openxmlformats.org/drawingml/2006/diagram"'
)


def zipped(parts: dict[str, str | bytes]) -> bytes:
    """Return a package of these parts."""
    file = BytesIO()
    with ZipFile(file, "w", ZIP_DEFLATED) as package:
        for name, content in parts.items():
            package.writestr(name, content)
    return file.getvalue()


def relations(**related: str) -> str:
    """Return relationships; those to an address are external."""
    each = "".join(
        f'<Relationship Id="{name}" Type="{REL}/{name.partition("_")[0]}" Target="{target}"'
        f"{' TargetMode=' + chr(34) + 'External' + chr(34) if '://' in target else ''}/>"
        for name, target in related.items()
    )
    return f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{each}</Relationships>'


def parts_of(*slides: str, more: dict[str, str | bytes] | None = None, **related: str) -> dict[str, str | bytes]:
    """Return the parts of a presentation of these trees of shapes; `related` are relations of its first slide."""
    numbers = range(1, len(slides) + 1)
    overrides = "".join(
        f'<Override PartName="/ppt/slides/slide{number}.xml" ContentType="{MAIN}.slide+xml"/>' for number in numbers
    )
    listed = "".join(f'<p:sldId id="{255 + number}" r:id="slide_{number}"/>' for number in numbers)
    written = {
        f"ppt/slides/slide{number}.xml": f"<p:sld {SPACES}><p:cSld><p:spTree><p:nvGrpSpPr><p:cNvPr id='1' name=''/>"
        f"<p:cNvGrpSpPr/><p:nvPr/></p:nvGrpSpPr><p:grpSpPr/>{tree}</p:spTree></p:cSld></p:sld>"
        for number, tree in enumerate(slides, 1)
    }
    return {
        "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/><Default Extension="png" ContentType="image/png"/>'
        f'<Override PartName="/ppt/presentation.xml" ContentType="{MAIN}.presentation.main+xml"/>{overrides}</Types>',
        "_rels/.rels": relations(officeDocument="ppt/presentation.xml"),
        "ppt/presentation.xml": f"<p:presentation {SPACES}><p:sldIdLst>{listed}</p:sldIdLst></p:presentation>",
        "ppt/_rels/presentation.xml.rels": relations(
            **{f"slide_{number}": f"slides/slide{number}.xml" for number in numbers}
        ),
        **written,
        "ppt/slides/_rels/slide1.xml.rels": relations(**related),
        **(more or {}),
    }


def by_hand(*slides: str, more: dict[str, str | bytes] | None = None, **related: str) -> bytes:
    """Return a presentation of these trees of shapes."""
    return zipped(parts_of(*slides, more=more, **related))


def shape(text: str, placeholder: str = "", id_: int = 2) -> str:
    """Return a shape of these paragraphs."""
    kind = f"<p:ph {placeholder}/>" if placeholder else ""
    return (
        f'<p:sp><p:nvSpPr><p:cNvPr id="{id_}" name="x"/><p:cNvSpPr/><p:nvPr>{kind}</p:nvPr></p:nvSpPr><p:spPr/>'
        f"<p:txBody><a:bodyPr/>{text}</p:txBody></p:sp>"
    )


def said(text: str, properties: str = "", marks: str = "") -> str:
    """Return a paragraph of one run."""
    return f"<a:p>{properties}<a:r><a:rPr {marks}/><a:t>{text}</a:t></a:r></a:p>"


def saved(build: Callable[[Any], None]) -> bytes:
    """Return a presentation that python-pptx makes."""
    presentation, file = Presentation(), BytesIO()
    build(presentation)
    presentation.save(file)
    return file.getvalue()


def lake(presentation: Any) -> None:
    """Make slides with what python-pptx can do."""
    properties = presentation.core_properties
    properties.author, properties.keywords, properties.modified = "Ada", "water; data", datetime(2024, 5, 2, 9)
    properties.title = "PowerPoint Presentation"
    layouts, slides = presentation.slide_layouts, presentation.slides
    slide = slides.add_slide(layouts[0])
    slide.shapes.title.text, slide.placeholders[1].text = "The Lake", "a *sub* title"
    slide = slides.add_slide(layouts[1])
    slide.shapes.title.text = "Depth\vof it"
    frame = slide.placeholders[1].text_frame
    frame.text = "one"
    frame.add_paragraph().text, frame.paragraphs[1].level = "deeper", 1
    last = frame.add_paragraph()
    run = last.add_run()
    run.text, run.hyperlink.address = "there", "https://a.org/?a=1&b=2#c"
    last.add_run().text = " and "
    run = last.add_run()
    run.text, run.font.bold, run.font.italic = "bold", True, True
    slide.notes_slide.notes_text_frame.text = "say\n# this"
    slide = slides.add_slide(layouts[6])
    table = slide.shapes.add_table(2, 2, 0, 0, Inches(2), Inches(1)).table
    table.cell(0, 0).text, table.cell(1, 1).text = "a|b", "x\ny"
    image = BytesIO()
    Image.new("RGB", (5, 4)).save(image, "PNG")
    slide.shapes.add_picture(image, 0, 0)
    data = CategoryChartData()
    data.categories = ["A", "B"]
    data.add_series("S", (1, 2.5))
    slide.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, 0, 0, Inches(2), Inches(2), data)
    slide.shapes.add_group_shape().shapes.add_textbox(0, 0, 1, 1).text_frame.text = "in a group"


def test_a_presentation_of_python_pptx_comes_out_whole() -> None:
    note = read(saved(lake), "talks/the lake.pptx")

    assert note.body == (
        "# The Lake\n\na \\*sub\\* title\n\n# Depth of it\n\n- one\n  - deeper\n"
        "- [there](https://a.org/?a=1&b=2#c) and **_bold_**\n\n> say\n>\n> \\# this\n\n# Slide 3\n\n"
        "| a\\|b |  |\n| --- | --- |\n|  | x<br>y |\n\n![image.png](the%20lake.pptx/ppt/media/image1.png)\n\n"
        "|  | S |\n| --- | --- |\n| A | 1 |\n| B | 2.5 |\n\nin a group\n"
    )
    assert [part[:3] for part in note.sections] == [
        (1, "The Lake", ["The Lake"]),
        (1, "Depth of it", ["Depth of it"]),
        (1, "Slide 3", ["Slide 3"]),
    ]
    assert [link[:4] for link in note.links] == [
        ("markdown", "https://a.org/?a=1&b=2", "c", "there"),
        ("image", "the lake.pptx/ppt/media/image1.png", None, "image.png"),
    ]
    assert [(file[0], file[4:6]) for file in note.attachments] == [
        ("ppt/media/image1.png", (5, 4)),
        ("ppt/embeddings/Microsoft_Excel_Sheet1.xlsx", (None, None)),
    ]
    assert (note.title, note.author, note.tags) == ("The Lake", "Ada", ["data", "water"])
    assert note.modified_at == datetime(2024, 5, 2, 9, tzinfo=UTC)
    assert note.properties["slides"] == 3
    assert (note.dropped, note.error) == ([], None)


def test_lists_are_what_paragraphs_say_they_are() -> None:
    bulleted, numbered = (
        '<a:pPr><a:buChar char="-"/></a:pPr>',
        '<a:pPr lvl="1"><a:buAutoNum type="arabicPeriod"/></a:pPr>',
    )
    box = shape(said("plain") + said("one", bulleted) + said("first", numbered) + said("two", bulleted))
    body = shape(said("a") + said("b", "<a:pPr><a:buNone/></a:pPr>") + said("c"), 'idx="1"')
    note = read(by_hand(box + body + shape(said("alone"), 'type="body"')), "a.pptx")

    assert note.body == "# Slide 1\n\nplain\n\n- one\n\n  1. first\n- two\n\n* a\n\nb\n\n- c\n\nalone\n"


def test_marks_breaks_fields_and_links_between_slides_are_kept() -> None:
    text = (
        said("struck", marks='strike="sngStrike"')
        + "<a:p><a:r><a:t>one</a:t></a:r><a:br/><a:r><a:t>*two*, a </a:t></a:r>"
        '<a:fld id="{1}" type="x"><a:t>field</a:t></a:fld></a:p>'
        + '<a:p><a:r><a:rPr><a:hlinkClick r:id="slide_2" action="ppaction://hlinksldjump"/></a:rPr>'
        "<a:t>next</a:t></a:r></a:p>"
        + '<a:p><a:r><a:rPr><a:hlinkClick r:id="gone"/></a:rPr><a:t>broken</a:t></a:r></a:p>'
    )
    note = read(by_hand(shape(text), shape(said("B"), 'type="title"'), slide_2="slide2.xml"), "a.pptx")

    assert note.body == "# Slide 1\n\n~~struck~~\n\none  \n\\*two\\*, a field\n\n[next](#slide-2)\n\nbroken\n\n# B\n"
    assert [link[:4] for link in note.links] == [("markdown", "", "slide-2", "next")]


def test_alternatives_footers_comments_and_what_cannot_be_read() -> None:
    formula = "<a:p><a14:m><m:oMath/></a14:m></a:p>"
    alternative = (
        f"<mc:AlternateContent><mc:Choice Requires='a14'>{shape(said('formula: ') + formula)}"
        f"</mc:Choice><mc:Fallback>{shape(said('picture of it'))}</mc:Fallback></mc:AlternateContent>"
    )
    footer = (
        shape(said("Confidential"), 'type="ftr"') + shape(said("7"), 'type="sldNum"') + shape(said("May"), 'type="dt"')
    )
    diagram = (
        '<p:graphicFrame><p:nvGraphicFramePr><p:cNvPr id="9" name=""/><p:cNvGraphicFramePr/><p:nvPr/>'
        "</p:nvGraphicFramePr><a:graphic>"
        '<a:graphicData uri="http://schemas.openxmlformats.org/drawingml/2006/diagram"><dgm:relIds r:dm="x"/>'
        "</a:graphicData></a:graphic></p:graphicFrame>"
    )
    picture = (
        '<p:pic><p:nvPicPr><p:cNvPr id="5" name="" descr="cat"/><p:cNvPicPr/><p:nvPr/></p:nvPicPr>'
        "<p:blipFill>%s</p:blipFill></p:pic>"
    )
    comments = f"<p:cmLst {SPACES}><p:cm><p:text>really?</p:text></p:cm></p:cmLst>"
    note = read(
        by_hand(
            alternative
            + footer
            + diagram
            + picture % '<a:blip r:embed="gone"/>'
            + picture % '<a:blip r:embed="image_1"/>',
            more={"ppt/comments/comment1.xml": comments},
            comments_1="../comments/comment1.xml",
            image_1="https://a.org/cat.png",
        ),
        "a.pptx",
    )

    assert note.body == "# Slide 1\n\nformula:\n\n![cat](https://a.org/cat.png)\n\n> really?\n"
    assert note.properties["footers"] == ["Confidential"]
    assert note.dropped == [("picture without a file", 1, None), ("formula", 1, None), ("diagram", 1, None)]
    assert note.error == "not kept: picture without a file, formula, diagram"


def test_without_a_title_the_note_is_named_by_its_file() -> None:
    note = read(by_hand(shape(said("x"))), "talks/a.v2.pptx")

    assert (note.title, note.body) == ("a.v2", "# Slide 1\n\nx\n")


def test_text_is_no_markup() -> None:
    note = read(by_hand(shape(said("# one") + said("- [ ] two") + said("&lt;b&gt; [[c]]") + said("| a |"))), "a.pptx")

    assert (note.links, note.tasks, [part[1] for part in note.sections]) == ([], [], ["Slide 1"])


@pytest.mark.parametrize(
    ("content", "rule", "reason"),
    [
        (b"", "archive", "no zip archive"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "office", "it is a file of Office before 2007: save it as PPTX"),
        (zipped({"a": "b"}), "office", "no PPTX: it has no"),
        (zipped({"[Content_Types].xml": "<Types/>"}), "pptx", "no PPTX that can be read"),
        (by_hand("<p:sp>"), "office", "slide1.xml in it is no XML"),
        (by_hand("<p:grpSp>" * 99 + "</p:grpSp>" * 99), "archive_limit", "more than 100 elements within each other"),
        (by_hand("", more={"ppt/media/a.png": bytes(100 << 20)}), "archive_limit", r"inflates to \d+ bytes"),
        (by_hand("", more={"ppt/x.xml": "<!DOCTYPE a><a/>"}), "office", "ppt/x.xml has a document type"),
    ],
)
def test_what_is_no_presentation_is_refused(content: bytes, rule: str, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason) as refused:
        read(content, "a.pptx")

    assert refused.value.rule == rule


def test_parts_in_a_long_chain_are_read_or_refused() -> None:
    chain = {f"ppt/_rels/p{number}.xml.rels": relations(other=f"p{number + 1}.xml") for number in range(2_000)}
    parts = {f"ppt/p{number}.xml": "<a/>" for number in range(2_001)}
    with suppress(Unreadable):
        read(by_hand(shape(said("x")), more={**chain, **parts}, other="../p0.xml"), "a.pptx")


def test_without_its_library_the_file_fails_by_an_import_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pptx", None)
    with pytest.raises(ImportError, match="pptx"):
        read(by_hand(""), "a.pptx")


GOOD = saved(lake)


@settings(max_examples=40)
@given(st.floats(0, 1), st.binary(max_size=4), st.integers(0, 6))
def test_broken_bytes_are_read_or_refused(where: float, new: bytes, cut: int) -> None:
    at = int(where * len(GOOD))
    with suppress(Unreadable):
        read(GOOD[:at] + new + GOOD[at + cut :], "a.pptx")


NAMES = ["ppt/presentation.xml", "ppt/slides/slide2.xml", "ppt/slides/slide3.xml", "ppt/slides/_rels/slide3.xml.rels"]
PARTS = {name: ZipFile(BytesIO(GOOD)).read(name) for name in ZipFile(BytesIO(GOOD)).namelist()}
PIECES = st.sampled_from([b"<a:p/>", b"<a:r/>", b"<p:sp/>", b"r:id", b'"', b"0", b"-1", b"x", b"rId9", b"&#9;", b"../"])


@settings(max_examples=60)
@given(
    st.sampled_from([*NAMES, "ppt/charts/chart6.xml", "docProps/core.xml", "[Content_Types].xml"]),
    st.lists(st.tuples(st.floats(0, 1), PIECES, st.integers(0, 12)), min_size=1, max_size=3),
)
def test_broken_parts_are_read_or_refused(name: str, changes: list[tuple[float, bytes, int]]) -> None:
    broken = PARTS.get(name, b"<a/>")
    for where, new, cut in changes:
        at = int(where * len(broken))
        broken = broken[:at] + new + broken[at + cut :]
    with suppress(Unreadable):
        note: Parsed = read(zipped({**PARTS, name: broken}), "a.pptx")
        note.body.encode()


TAGS = st.sampled_from(
    ["p:sp", "p:pic", "p:grpSp", "p:txBody", "p:nvSpPr", "p:nvPr", "p:ph", "a:p", "a:r", "a:t", "a:pPr", "a:tbl"]
)
ATTRIBUTES = st.dictionaries(
    st.sampled_from(["id", "type", "idx", "lvl", "r:id", "b"]), st.sampled_from(["1", "x", "body", ""])
)
TREES = st.recursive(
    st.sampled_from(["", "text", "&lt;a&gt;"]),
    lambda inner: st.tuples(TAGS, ATTRIBUTES, st.lists(inner, max_size=4)).map(
        lambda each: f"<{each[0]} {' '.join(f'{k}={v!r}' for k, v in each[1].items())}>{''.join(each[2])}</{each[0]}>"
    ),
    max_leaves=25,
)


@settings(max_examples=60)
@given(st.lists(TREES, max_size=3))
def test_any_well_formed_slide_is_read_or_refused(trees: list[str]) -> None:
    with suppress(Unreadable):
        read(by_hand("".join(trees)), "a.pptx")
