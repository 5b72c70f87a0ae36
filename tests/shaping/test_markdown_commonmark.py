"""The examples of the CommonMark Spec: what is found in each is what its HTML has, as another parser reads that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import lxml.html
import pytest

from dagster_project.shaping.formats.markdown import read

EXAMPLES = json.loads((Path(__file__).parent / "fixtures" / "commonmark" / "spec-0.31.2.json").read_text("utf-8"))
DIFFERENT = {
    169: "code that is written in HTML is HTML: nothing in it is read",
    548: "brackets in brackets are a wikilink",
    559: "brackets in brackets are a wikilink",
    590: "brackets in brackets are a wikilink",
}
"""Examples that are read otherwise on purpose, and why."""


def found(markdown: str) -> dict[str, Any]:
    # The line before it keeps a rule at the top from being read as front matter.
    note = read(f"\n{markdown}".encode(), "a.md")
    return {
        "headings": [(part[0], " ".join((part[1] or "").split())) for part in note.sections if part[0]],
        "code": [(block[0], block[1]) for block in note.code_blocks],
        "links": [plain(f"{link[1]}#{link[2]}" if link[2] else link[1]) for link in note.links],
    }


def expected(html: str) -> dict[str, Any]:
    page = lxml.html.document_fromstring(f"<main>{html}</main>")
    headings = list(page.iter("h1", "h2", "h3", "h4", "h5", "h6"))
    codes = [node for node in page.iter("code") if node.getparent().tag == "pre"]
    links = [node.get("href") if node.tag == "a" else node.get("src") for node in page.iter("a", "img")]
    return {
        "headings": [(int(node.tag[1]), " ".join(text(node).split())) for node in headings],
        "code": [((node.get("class") or "").removeprefix("language-") or None, node.text_content()) for node in codes],
        "links": [plain(link) for link in links if link is not None],
    }


def text(node: lxml.html.HtmlElement) -> str:
    for image in node.iter("img"):
        image.tail = (image.get("alt") or "") + (image.tail or "")
    return str(node.text_content())


def plain(address: str) -> str:
    return " ".join(unquote(address).split()).rstrip("#")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"{example['example']}-{example['section']}")
def test_what_an_example_of_the_spec_holds_is_found(example: dict[str, Any]) -> None:
    same = found(example["markdown"]) == expected(example["html"])

    assert same is (example["example"] not in DIFFERENT), (found(example["markdown"]), expected(example["html"]))
