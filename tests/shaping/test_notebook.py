"""Notebooks as Jupyter, Colab, Quarto and the IPython of old write them."""

from __future__ import annotations

import json
from base64 import b64encode
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.shaping import Parsed, Unreadable
from dagster_project.shaping.formats.notebook import read

PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000030000000208020000001216f14d")


def book(*cells: dict[str, Any], **metadata: Any) -> bytes:
    """Return a notebook of nbformat 4, indented as Jupyter writes it."""
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}, indent=1).encode()


def marked(source: str, **more: Any) -> dict[str, Any]:
    """Return a Markdown cell, its lines in a list."""
    return {"cell_type": "markdown", "id": "a1", "metadata": {}, "source": source.splitlines(keepends=True), **more}


def coded(source: str, *outputs: dict[str, Any]) -> dict[str, Any]:
    """Return a code cell that has run."""
    return {"cell_type": "code", "execution_count": 3, "metadata": {}, "outputs": outputs, "source": [source]}


def result(**forms: Any) -> dict[str, Any]:
    """Return the result of a cell; `_` in the names stands for `/`."""
    data = {name.replace("_", "/", 1): given for name, given in forms.items()}
    return {"output_type": "execute_result", "execution_count": 3, "metadata": {}, "data": data}


def note(*cells: dict[str, Any], **metadata: Any) -> Parsed:
    """Read a notebook."""
    return read(book(*cells, **metadata), "work/lake.ipynb")


def test_cells_become_text_code_and_sections() -> None:
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    found = note(
        marked("# Lake\n\nSee [there](../a.md#b)."),
        coded("import duckdb\n\nduckdb.sql('select 1')"),
        marked("## Depth\n- [ ] measure"),
        kernelspec=kernel,
        language_info={"name": "python", "version": "3.12.1"},
    )

    assert found.body == (
        "# Lake\n\nSee [there](../a.md#b).\n\n```python\nimport duckdb\n\nduckdb.sql('select 1')\n```\n\n"
        "## Depth\n- [ ] measure\n"
    )
    assert (found.title, found.dropped, found.error) == ("Lake", [], None)
    assert [(part[0], part[1], part[2], part[5:]) for part in found.sections] == [
        (1, "Lake", ["Lake"], (None, None, None)),
        (2, "Depth", ["Lake", "Depth"], (None, None, None)),
    ]
    assert found.code_blocks == [("python", "import duckdb\n\nduckdb.sql('select 1')\n", None, None, None)]
    assert [link[:4] for link in found.links] == [("markdown", "../a.md", "b", "there")]
    assert [task[:3] for task in found.tasks] == [("open", "measure", "Depth")]
    assert found.properties == {"kernel": "Python 3 (ipykernel)", "language": "python", "nbformat": "4.5"}
    assert (found.encoding, found.word_count > 0) == ("utf-8", True)


def test_what_cells_put_out_is_kept() -> None:
    found = note(
        coded("print(1)", {"output_type": "stream", "name": "stdout", "text": ["1\n", "```\n"]}),
        coded("df", result(text_plain=["   a\n", "0  1"], text_html="<table></table>")),
        coded("md", result(text_markdown="**bold** [x](y.md)", text_plain="<Markdown>")),
        coded("h", result(text_html="<p>only <b>HTML</b>", application_x="")),
        coded("1/0", {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["\x1b[0;31mE\x1b[0m: v"]}),
        coded("1/0", {"output_type": "error", "ename": "E", "evalue": "by zero", "traceback": []}),
    )

    assert [block[:2] for block in found.code_blocks if block[0] == "output"] == [
        ("output", "1\n```\n"),
        ("output", "   a\n0  1\n"),
        ("output", "E: v\n"),
        ("output", "E: by zero\n"),
    ]
    assert ("markdown", "y.md") in [link[:2] for link in found.links]
    assert "\n\nonly **HTML**\n\n" in found.body
    assert found.dropped == []


def test_an_output_without_text_or_image_is_told() -> None:
    found = note(coded("w", result(**{"application_x-w": {}})), coded("w", result(**{"application_x-w": {}})))

    assert found.dropped == [("output of type application/x-w", 2, None)]
    assert found.error == "not kept: output of type application/x-w"


def test_images_put_out_and_attached_are_attachments_that_links_lead_to() -> None:
    encoded = b64encode(PNG).decode()
    files = {"my pic.png": {"image/png": encoded}}
    found = note(
        marked("![see](attachment:my%20pic.png) `attachment:my pic.png`", attachments=files),
        coded("plot()", result(image_png=encoded + "\n", text_plain=["<Figure>"]), result(image_svg="")),
        coded("svg", result(**{"image_svg+xml": ["<svg>", "</svg>"]})),
    )

    assert [(file[:3], file[4:6]) for file in found.attachments] == [
        (("cell-1/my pic.png", "image/png", len(PNG)), (3, 2)),
        (("cell-2/output-1.png", "image/png", len(PNG)), (3, 2)),
        (("cell-2/output-2.svg", "image/svg", 0), (None, None)),
        (("cell-3/output-1.svg", "image/svg+xml", 11), (None, None)),
    ]
    assert [link[:4] for link in found.links][:2] == [
        ("image", "lake.ipynb/cell-1/my pic.png", None, "see"),
        ("image", "lake.ipynb/cell-2/output-1.png", None, ""),
    ]
    assert "`attachment:my pic.png`" in found.body


def test_a_broken_attachment_is_told_and_its_link_stays() -> None:
    found = note(marked("![](attachment:a.png)", attachments={"a.png": {"image/png": "*"}}))

    assert (found.attachments, found.dropped) == ([], [("attachment that is no base64", 1, None)])
    assert found.links[0][1] == "attachment:a.png"


@pytest.mark.parametrize(
    ("magic", "language"),
    [("%%bash", "bash"), ("%%sql main", "sql"), ("%%R -i x", "r"), ("%%time", "julia"), ("%matplotlib", "julia")],
)
def test_a_magic_says_the_language(magic: str, language: str) -> None:
    found = note(coded(f"{magic}\nls"), kernelspec={"name": "julia-1.9", "language": "julia"})

    assert found.code_blocks[0][0] == language


@pytest.mark.parametrize(
    "left_open", ["```\ncode", "~~~~\ncode\n```", "<!-- note", "<script>\nx", "<pre>", "> ```\n> x"]
)
def test_what_a_cell_leaves_open_ends_with_it(left_open: str) -> None:
    found = note(marked(left_open), marked("# Next"), coded("x"))

    assert [part[1] for part in found.sections if part[0]] == ["Next"]
    assert found.code_blocks[-1][1] == "x\n"


def test_metadata_takes_its_places() -> None:
    found = note(
        marked("# Heading"),
        title="The lake",
        authors=[{"name": "Ada Lovelace"}, {"name": "Grace Hopper"}],
        date="2024-05-01",
        tags=["water", "data"],
        colab={"provenance": [], "toc": True},
        widgets={"state": {"a": 1}},
    )

    assert (found.title, found.author) == ("The lake", "Ada Lovelace, Grace Hopper")
    assert (found.created_at, found.tags) == (datetime(2024, 5, 1, tzinfo=UTC), ["data", "water"])
    assert found.tag_uses[0] == ("water", "property", None, None, None)
    assert found.properties == {"colab": {"provenance": [], "toc": True}, "nbformat": "4.5"}


def test_a_raw_cell_with_front_matter_is_front_matter_as_quarto_has_it() -> None:
    raw = {
        "cell_type": "raw",
        "metadata": {},
        "source": '---\ntitle: "Näh"\nauthor: Ada\ntags: [a, b]\nformat: html\n---',
    }
    found = note(raw, marked("text"))

    assert (found.title, found.author, found.tags, found.body) == ("Näh", "Ada", ["a", "b"], "text\n")
    assert found.properties["format"] == "html"


def test_broken_front_matter_in_a_raw_cell_is_told() -> None:
    found = note({"cell_type": "raw", "metadata": {}, "source": "---\ntitle: [a\n---"}, marked("text"))

    assert [part[:2] for part in found.dropped] == [("front matter", 1)]
    assert found.error is not None and found.properties["front_matter"] == "title: [a\n"


def test_other_raw_cells_are_code_or_markdown() -> None:
    found = note(
        {"cell_type": "raw", "metadata": {"raw_mimetype": "text/latex"}, "source": "\\alpha # no heading"},
        {"cell_type": "raw", "metadata": {"format": "text/markdown"}, "source": "# Heading"},
    )

    assert [(part[0], part[1]) for part in found.sections] == [(0, None), (1, "Heading")]
    assert found.code_blocks == [(None, "\\alpha # no heading\n", None, None, None)]


OLD = {
    "metadata": {"name": "Old"},
    "nbformat": 3,
    "nbformat_minor": 0,
    "worksheets": [
        {
            "cells": [
                {"cell_type": "heading", "level": 2, "metadata": {}, "source": ["Depth\n", "of it"]},
                {
                    "cell_type": "code",
                    "collapsed": False,
                    "input": ["print 1"],
                    "language": "python",
                    "metadata": {},
                    "outputs": [
                        {"output_type": "stream", "stream": "stdout", "text": ["1\n"]},
                        {"output_type": "pyout", "prompt_number": 1, "html": ["<b>"], "text": ["2"]},
                        {"output_type": "display_data", "png": b64encode(PNG).decode()},
                        {"output_type": "pyerr", "ename": "E", "evalue": "v", "traceback": []},
                    ],
                },
            ]
        }
    ],
}


def test_nbformat_3_is_read() -> None:
    found = read(json.dumps(OLD).encode(), "old.ipynb")

    assert [part[:2] for part in found.sections] == [(2, "Depth of it")]
    assert [block[:2] for block in found.code_blocks] == [
        ("python", "print 1\n"),
        ("output", "1\n"),
        ("output", "2\n"),
        ("output", "E: v\n"),
    ]
    assert [file[0] for file in found.attachments] == ["cell-2/output-3.png"]
    assert (found.title, found.properties, found.dropped) == ("old", {"name": "Old", "nbformat": "3.0"}, [])


@pytest.mark.parametrize(
    ("content", "reason", "line"),
    [
        (b"", "no JSON: Expecting value at line 1", 1),
        (b'{"cells": [\n\n{"a" 1}]}', "no JSON: Expecting ':' delimiter at line 3", 3),
        (b"[1]", "it has no cells", None),
        (b'{"nbformat": 4}', "it has no cells", None),
        (b'{"cells": [1]}', "one of its cells is none", None),
        (b"[" * 200_000, "nested too deep", None),
        (b'{"cells": ' + b"9" * 5_000 + b"}", "its JSON cannot be read", None),
    ],
)
def test_what_is_no_notebook_is_refused(content: bytes, reason: str, line: int | None) -> None:
    with pytest.raises(Unreadable, match=reason) as refused:
        read(content, "a.ipynb")

    assert refused.value.line == line


def test_an_unknown_cell_is_kept_and_told() -> None:
    found = note({"cell_type": "sql", "source": "select 1"})

    assert (found.body, found.dropped) == ("```\nselect 1\n```\n", [("cell of type sql", 1, None)])


def test_halves_of_characters_and_deep_metadata_do_no_harm() -> None:
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    found = read(book(marked("a \ud800 b"), deep=deep, lone="\udfff"), "a.ipynb")

    assert (found.body, found.properties["lone"]) == ("a \ufffd b\n", "\ufffd")
    assert found.dropped == [("metadata nested too deep", 1, None)]


GOOD = json.dumps(OLD) + json.dumps({"cells": [marked("# a", attachments={"b": {"c": "d"}})], "metadata": {}})
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
NAMES = st.sampled_from(
    ["cells", "cell_type", "source", "input", "outputs", "metadata", "data", "text", "text/plain", "image/png", "level"]
    + ["worksheets", "attachments", "title", "authors", "name", "output_type", "kernelspec", "language", "traceback"]
)
WORDS = st.sampled_from(
    ["markdown", "code", "raw", "heading", "stream", "pyout", "error", "---\na: [\n---", "<!--", "```"]
)
ANY = st.recursive(
    SCALARS | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=30,
)


@given(st.dictionaries(NAMES, ANY, max_size=6), st.lists(st.dictionaries(NAMES, ANY, max_size=6), max_size=3))
def test_json_of_any_shape_is_read_or_refused(given_: dict[str, Any], cells: list[dict[str, Any]]) -> None:
    for content in (given_, {**given_, "cells": cells}):
        try:
            found = read(json.dumps(content).encode(), "a.ipynb")
        except Unreadable:
            continue
        json.dumps(found.properties)
        found.body.encode()


@given(st.integers(0, len(GOOD)), st.text(max_size=3), st.integers(0, 20))
def test_a_broken_notebook_is_read_or_refused(at: int, written: str, cut: int) -> None:
    for whole in (json.dumps(OLD), GOOD[len(json.dumps(OLD)) :]):
        broken = whole[:at] + written + whole[at + cut :]
        with suppress(Unreadable):
            read(broken.encode("utf-8", "surrogatepass"), "a.ipynb")
