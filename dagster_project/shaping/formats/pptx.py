"""PPTX, as PowerPoint, LibreOffice and Google Slides write it.

What belongs here: from slides to HTML, which `hypertext` makes Markdown of. What does not: the package with its
properties and files (`office`).

Rules:

- A slide is a section: its heading is the slide's title, or `Slide 3`. Hidden slides are slides.
- Shapes come in the order of the file, groups as what is in them. A paragraph is an item of a list if it says so, or
  if it stands with others in the body of a layout and doesn't say otherwise.
- Tables are Markdown's; a chart is a table of its values. Speaker notes and comments stand at the end of a slide, as
  quotes. Texts of footers are a property, numbers and dates of slides are not kept.
- Pictures are links to the attachments they are. A link to another slide leads to `#slide-3`.
- The title is the presentation's property (not PowerPoint's own `PowerPoint Presentation`), else the title of the first
  slide, else the file's name.
- Diagrams and formulas are told, and so is a shape that cannot be read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from io import BytesIO
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree as ET

from dagster_project.shaping.converted import from_markdown
from dagster_project.shaping.hypertext import to_markdown
from dagster_project.shaping.office import Package, add_properties, files, link_to, local, open_package, title
from dagster_project.shaping.parsed import Parsed, Unreadable

if TYPE_CHECKING:
    from pptx.presentation import Presentation
    from pptx.slide import Slide

MEDIA_TYPES: Final = {
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".pptm": "application/vnd.ms-powerpoint.presentation.macroenabled.12",
}
PARSER: Final = "pptx/python-pptx"
EXTRA: Final = "office"

RULE: Final = "pptx"

_NAMELESS: Final = "PowerPoint Presentation"
_A: Final = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_R: Final = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_MC: Final = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_UNREAD: Final[Mapping[str, str]] = {"oMath": "formula", "relIds": "diagram"}
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
_TRUE: Final = ("1", "true")


@dataclass(slots=True)
class _Deck:
    """A presentation being read."""

    path: str
    numbers: Mapping[str, int]
    """Slides by the names of their parts, from 1."""
    footers: list[str] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class _Item:
    """A paragraph: its HTML, and the list it is an item of, if it is one."""

    html: str
    level: int
    list: str | None


def read(content: bytes, path: str) -> Parsed:
    """Read a presentation. Raises `Unreadable` if it is none, is encrypted, or would cost too much."""
    import pptx

    package = open_package(content, "PPTX")
    try:
        presentation = pptx.Presentation(BytesIO(content))
        slides = list(presentation.slides)
        deck = _Deck(path, {str(slide.part.partname): number for number, slide in enumerate(slides, 1)})
        html = "".join(_slide(deck, slide, number) for number, slide in enumerate(slides, 1))
    except (MemoryError, TimeoutError):  # it is the limits' to say so
        raise
    except RecursionError as error:
        raise Unreadable(RULE, "its parts lie too deep within each other to be read") from error
    except Exception as error:  # python-pptx raises whatever a file that breaks the standard makes happen
        raise Unreadable(RULE, f"it is no PPTX that can be read: {type(error).__name__}: {error}"[:500]) from error
    parsed = from_markdown(to_markdown(html), path, title=_title(package, slides, path))
    add_properties(parsed, package)
    parsed.properties |= _properties(presentation, deck, len(slides))
    parsed.attachments = files(package)
    _tell(parsed, package, deck)
    return parsed


def _title(package: Package, slides: Sequence[Slide], path: str) -> str:
    given = title(package)
    if given and given != _NAMELESS:
        return given
    return (_slide_title(_heading(slides[0])) if slides else "") or PurePosixPath(path).stem


def _heading(slide: Slide) -> Any:
    """Return the shape that is a slide's title; python-pptx takes any placeholder without a number for it."""
    from pptx.enum.shapes import PP_PLACEHOLDER

    titles = (PP_PLACEHOLDER.TITLE, PP_PLACEHOLDER.CENTER_TITLE, PP_PLACEHOLDER.VERTICAL_TITLE)
    return next((shape for shape in slide.placeholders if shape.placeholder_format.type in titles), None)


def _slide_title(heading: Any) -> str:
    return " ".join(_CONTROL.sub(" ", heading.text_frame.text).split()) if heading is not None else ""


def _properties(presentation: Presentation, deck: _Deck, slides: int) -> dict[str, Any]:
    found: dict[str, Any] = {"slides": slides}
    if presentation.slide_width and presentation.slide_height:
        found["slide_size"] = f"{presentation.slide_width.pt:g} x {presentation.slide_height.pt:g} pt"
    return {**found, "footers": deck.footers} if deck.footers else found


def _slide(deck: _Deck, slide: Slide, number: int) -> str:
    _choose(slide._element)  # python-pptx passes over what has alternatives
    heading = _heading(slide)
    pieces = [f"<h1>{_escaped(_slide_title(heading) or f'Slide {number}')}</h1>"]
    for shape in _shapes(slide.shapes):
        if heading is not None and shape._element is heading._element:
            continue
        try:
            pieces.append(_shape(deck, slide, shape))
        except (MemoryError, TimeoutError):
            raise
        except Exception:  # as above, at the cost of a shape
            deck.dropped["shape that cannot be read"] += 1
    pieces += [f"<blockquote>{said}</blockquote>" for said in _notes(deck, slide) if said]
    return "".join(pieces)


def _choose(element: Any) -> None:
    """Put what a reader of today would choose in the place of alternatives: innermost first."""
    for alternatives in reversed(list(element.iter(f"{_MC}AlternateContent"))):
        choice = alternatives.find(f"{_MC}Choice")
        chosen = choice if choice is not None and len(choice) else alternatives.find(f"{_MC}Fallback")
        for child in chosen if chosen is not None else ():
            alternatives.addprevious(child)
        alternatives.getparent().remove(alternatives)


def _shapes(shapes: Iterable[Any]) -> Iterator[Any]:
    """Yield shapes, and those in groups; the package's depth is bounded."""
    for shape in shapes:
        if local(shape._element.tag) == "grpSp":
            yield from _shapes(shape.shapes)
        else:
            yield shape


def _shape(deck: _Deck, slide: Slide, shape: Any) -> str:
    if shape.has_text_frame:
        return _text(deck, slide, shape)
    if getattr(shape, "has_table", False):
        return _table(deck, slide, shape.table)
    if getattr(shape, "has_chart", False):
        return _chart(shape.chart)
    if local(shape._element.tag) == "pic":
        return _picture(deck, slide, shape)
    return ""


def _text(deck: _Deck, slide: Slide, shape: Any) -> str:
    from pptx.enum.shapes import PP_PLACEHOLDER

    kind = shape.placeholder_format.type if shape.is_placeholder else None
    if kind in (PP_PLACEHOLDER.SLIDE_NUMBER, PP_PLACEHOLDER.DATE):
        return ""
    if kind is PP_PLACEHOLDER.FOOTER:
        text = " ".join(_CONTROL.sub(" ", shape.text_frame.text).split())
        if text and text not in deck.footers:
            deck.footers.append(text)
        return ""
    is_body = kind in (PP_PLACEHOLDER.BODY, PP_PLACEHOLDER.OBJECT, PP_PLACEHOLDER.VERTICAL_BODY)
    return _paragraphs(deck, slide.part, shape.text_frame, is_body=is_body)


def _paragraphs(deck: _Deck, part: Any, frame: Any, *, is_body: bool = False) -> str:
    """Return the paragraphs of a text frame; those of a body are items of a list, if there are several."""
    written = [(paragraph, html) for paragraph in frame.paragraphs if (html := _runs(deck, part, paragraph._p)).strip()]
    inherited = "ul" if is_body and len(written) > 1 else None
    return _lists([_Item(html, paragraph.level, _list(paragraph._p, inherited)) for paragraph, html in written])


def _list(paragraph: Any, inherited: str | None) -> str | None:
    properties = paragraph.find(f"{_A}pPr")
    for child in properties if properties is not None else ():
        match local(child.tag):
            case "buNone":
                return None
            case "buAutoNum":
                return "ol"
            case "buChar" | "buBlip":
                return "ul"
    return inherited


def _lists(items: Iterable[_Item]) -> str:
    """Return paragraphs and nested lists.

    >>> _lists([_Item("a", 0, "ul"), _Item("b", 1, "ol"), _Item("c", 0, None)])
    '<ul><li>a<ol><li>b</li></ol></li></ul><p>c</p>'
    """
    made: list[str] = []
    open_: list[tuple[int, str]] = []

    def close(level: int) -> None:
        while open_ and open_[-1][0] > level:
            made.append(f"</li></{open_.pop()[1]}>")

    for item in items:
        if item.list is None:
            close(-1)
            made.append(f"<p>{item.html}</p>")
            continue
        close(item.level)
        if open_ and open_[-1] == (item.level, item.list):
            made.append("</li>")
        else:
            close(item.level - 1)
            made.append(f"<{item.list}>")
            open_.append((item.level, item.list))
        made.append(f"<li>{item.html}")
    close(-1)
    return "".join(made)


def _runs(deck: _Deck, part: Any, paragraph: Any) -> str:
    return "".join(_run(deck, part, child) for child in paragraph)


def _run(deck: _Deck, part: Any, run: Any) -> str:
    name = local(run.tag)
    if name == "br":
        return "<br>"
    if name not in ("r", "fld"):
        return ""
    text = run.find(f"{_A}t")
    html = _escaped((text.text if text is not None else "") or "").replace("\v", "<br>")
    properties = run.find(f"{_A}rPr")
    if properties is None or not html:
        return html
    if properties.get("b") in _TRUE:
        html = f"<b>{html}</b>"
    if properties.get("i") in _TRUE:
        html = f"<i>{html}</i>"
    if properties.get("strike", "noStrike") != "noStrike":
        html = f"<s>{html}</s>"
    link = properties.find(f"{_A}hlinkClick")
    address = _address(deck, part, link) if link is not None else ""
    return f'<a href="{_escaped(address)}">{html}</a>' if address else html


def _address(deck: _Deck, part: Any, link: Any) -> str:
    """Return where a link leads: an address, or a slide; nothing for an action or a link that is broken."""
    relationship = part.rels.get(link.get(f"{_R}id", ""))
    if relationship is None:
        return ""
    if relationship.is_external:
        return str(relationship.target_ref)
    number = deck.numbers.get(str(relationship.target_part.partname))
    return f"#slide-{number}" if number else ""


def _escaped(text: str) -> str:
    return escape(_CONTROL.sub(lambda match: "\v" if match[0] == "\v" else "", text))


def _table(deck: _Deck, slide: Slide, table: Any) -> str:
    rows = ([_cell(deck, slide, cell) for cell in row.cells] for row in table.rows)
    return _rows(rows)


def _cell(deck: _Deck, slide: Slide, cell: Any) -> str:
    written = (_runs(deck, slide.part, paragraph._p) for paragraph in cell.text_frame.paragraphs)
    return "<br>".join(html for html in written if html)


def _rows(rows: Iterable[Iterable[str]]) -> str:
    made = ("".join(f"<td>{cell}</td>" for cell in row) for row in rows)
    return f"<table>{''.join(f'<tr>{row}</tr>' for row in made)}</table>"


def _chart(chart: Any) -> str:
    """Return a chart as a table: a row for each category, a column for each series."""
    tables = []
    for plot in chart.plots:
        series = list(plot.series)
        head = ["", *(_escaped(str(one.name)) for one in series)]
        columns = [[("" if value is None else f"{value:g}") for value in one.values] for one in series]
        names = [_escaped(str(category)) for category in plot.categories]
        length = max(map(len, [names, *columns]))
        rows = [[_at(names, index), *(_at(column, index) for column in columns)] for index in range(length)]
        tables.append(_rows([head, *rows]))
    heading = chart.chart_title.text_frame.text if chart.has_title and chart.chart_title.has_text_frame else ""
    return (f"<p>{_escaped(heading)}</p>" if heading else "") + "".join(tables)


def _at(column: Sequence[str], index: int) -> str:
    return column[index] if index < len(column) else ""


def _picture(deck: _Deck, slide: Slide, shape: Any) -> str:
    identifier = shape._element.blip_rId
    relationship = slide.part.rels.get(identifier) if identifier else None
    if relationship is None:
        deck.dropped["picture without a file"] += 1
        return ""
    if relationship.is_external:
        address = str(relationship.target_ref)
    else:
        address = link_to(deck.path, str(relationship.target_part.partname).lstrip("/"))
    alt = shape._element.nvPicPr.cNvPr.get("descr", "")
    return f'<p><img alt="{_escaped(alt)}" src="{_escaped(address)}"></p>'


def _notes(deck: _Deck, slide: Slide) -> Iterator[str]:
    if slide.has_notes_slide and (frame := slide.notes_slide.notes_text_frame) is not None:
        yield _paragraphs(deck, slide.notes_slide.part, frame)
    for relationship in slide.part.rels.values():
        if not relationship.is_external and relationship.reltype.endswith("/comments"):
            for said in _comments(relationship.target_part.blob):
                yield f"<p>{_escaped(said)}</p>"


def _comments(content: bytes) -> Iterator[str]:
    """Yield the texts of comments, of before and after 2021; the part was checked with its package."""
    for element in ET.fromstring(content).iter():  # noqa: S314
        if local(element.tag) in ("text", "txBody"):
            said = " ".join(piece.text or "" for piece in element.iter() if local(piece.tag) in ("text", "t"))
            if said.strip():
                yield said


def _tell(parsed: Parsed, package: Package, deck: _Deck) -> None:
    for name, construct in _UNREAD.items():
        if count := package.elements.get(name, 0):
            deck.dropped[construct] += count
    parsed.dropped = [(construct, count, None) for construct, count in deck.dropped.items()]
    if parsed.dropped:
        parsed.error = f"not kept: {', '.join(deck.dropped)}"
