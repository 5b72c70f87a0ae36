"""Measure reading documents beside other libraries, format by format, in one process and in rounds that alternate.

    python benchmarks/readers.py FOLDER [--files N] [--rounds N]

Markdown: the pages below FOLDER, read to the parts of notes, beside markdown-it-py and mistune, which merely parse,
and markitdown. HTML, DOCX and PDF: the same pages, rendered to each format first, read to the parts of notes, beside
markitdown, which makes Markdown of them. CPU seconds, the best of the rounds; a ratio above 1 says that the peer takes
longer. Needs the peers: `pip install -c constraints.txt --group bench`.
"""

from __future__ import annotations

import argparse
import io
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from time import process_time
from xml.sax.saxutils import escape

import markdown_it
import mistune
from docx import Document
from markitdown import MarkItDown, StreamInfo
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.platypus import Paragraph, SimpleDocTemplate

from dagster_project.shaping import READERS, media_type

Page = tuple[bytes, str]
Read = Callable[[Page], object]


def main() -> None:
    """Render, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=150, help="pages of each format (default: 150)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each reader (default: 3)")
    given = parser.parse_args()
    texts = [file.read_text("utf-8-sig", "replace") for file in sorted(given.folder.rglob("*.md"))]
    if not texts:
        parser.error(f"no .md file below {given.folder}")
    step = max(1, len(texts) // given.files)
    print("| format | pages | MB | notelake, s | peer | peer, s | ratio |\n|---|---:|---:|---:|---|---:|---:|")
    for extension, pages in _formats(texts[::step][: given.files]):
        for line in _rows(extension, pages, given.rounds):
            print(line, flush=True)


def _formats(texts: Sequence[str]) -> Iterator[tuple[str, list[Page]]]:
    yield ".md", [(text.encode(), "page.md") for text in texts]
    html = [f"<!doctype html><title>page</title><body>{mistune.html(text)}</body>" for text in texts]
    yield ".html", [(text.encode(), "page.html") for text in html]
    yield ".docx", [(_docx(text), "page.docx") for text in texts]
    yield ".pdf", [(_pdf(text), "page.pdf") for text in texts]


def _docx(text: str) -> bytes:
    document = Document()
    for line in text.splitlines():
        if line.startswith("#"):
            document.add_heading(line.lstrip("# "), min(9, len(line) - len(line.lstrip("#"))))
        elif line.strip():
            document.add_paragraph("".join(c for c in line if c.isprintable()))
    written = io.BytesIO()
    document.save(written)
    return written.getvalue()


def _pdf(text: str) -> bytes:
    styles = getSampleStyleSheet()
    story = [Paragraph(escape(line), styles["Normal"]) for line in text.splitlines() if line.strip()]
    written = io.BytesIO()
    SimpleDocTemplate(written, invariant=1).build(story)
    return written.getvalue()


def _peers(extension: str) -> dict[str, Read]:
    converter = MarkItDown(enable_plugins=False)

    def convert(page: Page) -> object:
        info = StreamInfo(extension=extension, mimetype=media_type(page[1]), charset="utf-8")
        return converter.convert_stream(io.BytesIO(page[0]), stream_info=info)

    if extension != ".md":
        return {"markitdown": convert}
    parse, markdown = (
        markdown_it.MarkdownIt("gfm-like", {"linkify": False}).parse,
        mistune.create_markdown(renderer=None),
    )
    return {
        "markdown-it-py, parse": lambda page: parse(page[0].decode()),
        "mistune, parse": lambda page: markdown(page[0].decode()),
        "markitdown": convert,
    }


def _rows(extension: str, pages: Sequence[Page], rounds: int) -> Iterator[str]:
    read = READERS[media_type(f"page{extension}")].read
    readers: dict[str, Read] = {"notelake": lambda page: read(*page), **_peers(extension)}
    spent = {name: float("inf") for name in readers}
    for _ in range(rounds):
        for name, reader in readers.items():
            spent[name] = min(spent[name], _seconds(partial(_all, reader, pages)))
    size = sum(len(content) for content, _ in pages) / 1e6
    ours = spent.pop("notelake")
    for name, theirs in spent.items():
        print_as = f"| {extension} | {len(pages)} | {size:.1f} | {ours:.3f} | {name} | {theirs:.3f} |"
        yield f"{print_as} {theirs / ours:.1f} |"


def _all(reader: Read, pages: Sequence[Page]) -> None:
    for page in pages:
        reader(page)


def _seconds(work: Callable[[], None]) -> float:
    begun = process_time()
    work()
    return process_time() - begun


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
