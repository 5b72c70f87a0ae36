"""A file whose reader is not installed is a row of the ledger that names the extra; the other files come through."""

from __future__ import annotations

import sys
from collections.abc import Callable
from io import BytesIO
from zipfile import ZipFile

import docx
import pptx
import pyarrow as pa
import pytest
from reportlab.pdfgen.canvas import Canvas

from dagster_project.contracts import NOTES
from dagster_project.shaping import READERS, media_type
from dagster_project.shaping.documents import COLUMNS, Documents, Present, shape_documents


def written(write: Callable[[BytesIO], object]) -> bytes:
    """Return what is written to a file."""
    file = BytesIO()
    write(file)
    return file.getvalue()


def _package(file: BytesIO) -> None:
    with ZipFile(file, "w") as package:
        package.writestr("[Content_Types].xml", "<Types/>")


def _page(file: BytesIO) -> None:
    drawing = Canvas(file)
    drawing.drawString(20, 300, "Lake")
    drawing.save()


PACKAGE = written(_package)


def shaped(path: str, content: bytes) -> Documents:
    """Shape one file that was seen for the first time, beside a note."""
    files = [(1, path, content), (2, "note.md", b"# Note\n")]
    rows = [
        dict.fromkeys(COLUMNS)
        | {"sequence": sequence, "op": "put", "path": name, "sha256": "", "size": len(file), "content": file}
        | {"media_type": media_type(name), "observed_at": 0, "modified_at": 0}
        for sequence, name, file in files
    ]
    types = {"content": pa.binary(), "sequence": pa.int64(), "size": pa.int64()}
    types |= {"modified_at": pa.int64(), "observed_at": pa.int64()}
    schema = pa.schema([(name, types.get(name, pa.string())) for name in COLUMNS])
    return shape_documents(
        pa.RecordBatch.from_pylist(rows, schema),
        source="vault",
        note_ids={1: "n1", 2: "n2"},
        present=Present({}, {}),
        member_id="{}/{}".format,
    )


@pytest.mark.parametrize(
    ("path", "library", "extra", "content"),
    [
        ("a.pdf", "pypdfium2", "pdf", b"%PDF-1.4"),
        ("a.docx", "mammoth", "office", None),
        ("a.pptx", "pptx", "office", None),
    ],
)
def test_a_missing_reader_is_told_with_the_extra_that_brings_it(
    monkeypatch: pytest.MonkeyPatch, path: str, library: str, extra: str, content: bytes | None
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    found = shaped(path, PACKAGE if content is None else content)
    told = [row for row in found.told if "failed" in row]

    assert len(told) == 1
    assert f"pip install 'notelake[{extra}]'" in next(str(cell) for cell in told[0] if "pip install" in str(cell))
    assert len(found.rows[NOTES.identifier]) == 1


@pytest.mark.parametrize("path", ["a.pdf", "a.docx", "a.docm", "a.pptx", "a.pptm", "a.ipynb"])
def test_the_formats_are_known_by_their_names(path: str) -> None:
    assert READERS[media_type(path)].parser.partition("/")[0] in ("pdf", "docx", "pptx", "notebook")


@pytest.mark.parametrize("path", ["a.pdf", "a.docx", "a.pptx", "a.ipynb"])
def test_a_broken_file_is_refused_and_told(path: str) -> None:
    found = shaped(path, b"{")

    assert [row[4] for row in found.refused] == [path]
    assert len(found.rows[NOTES.identifier]) == 1


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("a.pdf", written(_page)),
        ("a.docx", written(docx.Document().save)),
        ("a.pptx", written(pptx.Presentation().save)),
        ("a.ipynb", b'{"cells": [{"cell_type": "code", "source": "1"}], "metadata": {"title": "A"}}'),
    ],
)
def test_a_good_file_fills_the_columns_of_its_tables(path: str, content: bytes) -> None:
    tables = dict(shaped(path, content).tables())

    assert tables[NOTES.identifier].column("path").to_pylist() == [path, "note.md"]
    for table in tables.values():
        table.validate(full=True)
