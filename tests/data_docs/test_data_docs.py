"""Data Docs: every page can be reached and leads nowhere out of its folder, and no text of a note stands in one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import duckdb
import pyarrow as pa
import pytest
from lxml import html

from dagster_project.audit.suites import all_suites
from dagster_project.contracts import AUDITS, LEDGER, QUARANTINE
from dagster_project.data_docs.facts import BATCHES, Facts, read_facts
from dagster_project.data_docs.site import write_site
from dagster_project.errors import UsageError
from dagster_project.settings import bundled

SECRET = "xylophone-marker-9921"
KEY = "<script>alert('k/1')</script>"
NOON = datetime(2026, 5, 14, 12, tzinfo=UTC)
LOADING = re.compile(r"url\(|@import|https?:|//", re.IGNORECASE)
RULE = {
    "type": "unexpected_rows_expectation",
    "kwargs": {"unexpected_rows_query": "SELECT sequence FROM {batch} WHERE owner IS NULL"},
    "description": "`owner` is given.",
    "meta": {"notelake": {"name": "owner_present", "rule": "row", "reason": "owner is missing"}},
}


def batches(source: str, count: int) -> Iterator[dict[str, Any]]:
    """Yield the audits of batches: a figure that grows, a rule that breaks in the newest, one that always holds."""
    for n in range(count):
        at = NOON + timedelta(hours=n)
        head = {"batch_id": f"{source}-{n:03d}", "source": source, "suite": f"raw.{source}", "audited_at": at}
        bad = 3 if n == count - 1 else 0
        told = {"rule": "row", "success": not bad, "observed": 10.0 * bad, "bad": bad, "rows": 30}
        yield {**head, "expectation": "owner_present", **told}
        yield {**head, "suite": "notes.notes", "expectation": "key_unique", "rule": "table", "success": True}
        yield {**head, "expectation": "count(*)", "rule": "figure", "success": True, "observed": 30.0 + n}


@pytest.fixture(scope="module")
def facts() -> Facts:
    """What is told of two sources, one of which has more batches than there are pages for."""
    audits = pa.Table.from_pylist([*batches("crm", BATCHES + 5), *batches("a", 1)], schema=AUDITS.schema)
    newest = f"crm-{BATCHES + 4:03d}"
    unit = {"batch_id": newest, "source": "crm", "rule": "raw.crm/owner_present", "reason": SECRET, "payload": SECRET}
    refused = [{**unit, "unit": f"u{n}", "key": KEY if n == 0 else f"k{n}"} for n in range(30)]
    refused.append({**unit, "rule": "row", "unit": "no row", "key": None})
    quarantine = pa.Table.from_pylist(refused, schema=QUARANTINE.schema)
    ledger = pa.Table.from_pylist(
        [{"batch_id": newest, "source": "crm", "seen": 30, "committed": 27, "quarantined": 3, "error": SECRET}],
        schema=LEDGER.schema,
    )
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'; CREATE SCHEMA ops")
        for name, rows in (("audits", audits), ("quarantine", quarantine), ("ledger", ledger)):
            con.register("given", rows)
            con.execute(f"CREATE TABLE ops.{name} AS FROM given")
        con.execute(
            f"CREATE TABLE ops.publication AS SELECT 'p1' AS publication_id, TIMESTAMPTZ '{NOON}' AS published_at"
        )
        return read_facts(con)


@pytest.fixture(scope="module")
def site(facts: Facts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = tmp_path_factory.mktemp("project")
    for file in bundled("expectations").glob("*.*.json"):
        (project / file.name).write_bytes(file.read_bytes())
    (project / "raw.crm.json").write_text(json.dumps({"expectations": [RULE]}))
    folder = project / "docs"
    written = write_site(facts, all_suites(project), folder)
    assert written.pages == len(list(folder.rglob("*.html")))
    return folder


def addresses(page: html.HtmlElement) -> Iterator[str]:
    """Yield everything on a page that a browser may follow or load."""
    for element, attribute, address, _ in page.iterlinks():
        assert attribute == "href", f"{element.tag} {attribute} loads something"
        yield address


def test_no_address_leaves_the_folder_and_every_page_can_be_reached(site: Path) -> None:
    reached, ahead = set[Path](), [site / "index.html"]
    while ahead:
        file = ahead.pop()
        if file in reached:
            continue
        reached.add(file)
        if file.suffix == ".css":
            continue
        page = html.parse(str(file)).getroot()
        assert not page.xpath("//script|//iframe|//img|//object|//style|//@style|//@onload|//@onclick")
        for address in addresses(page):
            parts = urlsplit(address)
            assert not (parts.scheme or parts.netloc or parts.path.startswith("/")), f"{file}: {address}"
            target = (file.parent / unquote(parts.path)).resolve()
            assert target.is_relative_to(site) and target.is_file(), f"{file}: {address}"
            if parts.fragment:
                assert html.parse(str(target)).xpath("//*[@id=$name]", name=unquote(parts.fragment)), address
            ahead.append(target)
    assert reached == {file for file in site.rglob("*") if file.is_file()}


def test_nothing_but_what_is_quoted_looks_like_an_address(site: Path) -> None:
    assert not LOADING.search((site / "style.css").read_text("utf-8"))
    for file in (*(site / "sources").iterdir(), *(site / "batches").iterdir(), site / "index.html"):
        assert not LOADING.search(file.read_text("utf-8")), file


def cells(page: html.HtmlElement, containing: str) -> list[str]:
    (row,) = (row for row in page.iter("tr") if containing in row.text_content() and not row.findall("th"))
    return [" ".join(cell.text_content().split()) for cell in row.findall("td")]


def test_a_batch_tells_expectation_observed_count_and_keys(site: Path) -> None:
    page = html.parse(str(site / "batches" / f"crm-{BATCHES + 4:03d}.html")).getroot()
    name, rule, held, observed, bad, rows, keys = cells(page, "raw.crm/owner_present")
    assert (name, rule, held, observed, bad, rows) == ("raw.crm/owner_present", "row", "no", "30 %", "3", "30")
    assert keys.startswith(f"30: {KEY}, k1, k10, ") and keys.count(", ") == 19
    assert cells(page, "notes.notes/key_unique")[2] == "yes"
    assert cells(page, "no row") == ["row", "1: no row"]
    assert cells(page, "count(*)") == ["raw.crm", "count(*)", str(30 + BATCHES + 4)]
    assert ["30", "27", "0", "0", "3", "0", "0"] in [
        [cell.text_content().strip() for cell in row.findall("td")] for row in page.iter("tr")
    ]


def test_a_source_with_many_batches_says_that_not_all_have_a_page(site: Path) -> None:
    page = html.parse(str(site / "sources" / "crm.html")).getroot()
    text = " ".join(page.text_content().split())
    assert f"{BATCHES + 5} batches" in text and f"The newest {BATCHES}; ops.audits has the others" in text
    assert len(list((site / "batches").glob("crm-*.html"))) == BATCHES
    (line,) = page.iter("polyline")
    assert len(line.get("points").split()) == BATCHES
    assert "raw.crm: rows: 134 (from 35 to 134)" in text
    assert "The newest" not in html.parse(str(site / "sources" / "a.html")).getroot().text_content()


def test_no_text_of_a_note_stands_in_a_page(site: Path) -> None:
    assert not [file for file in site.rglob("*") if file.is_file() and SECRET in file.read_text("utf-8")]


def test_it_is_written_anew_over_itself_and_never_over_something_else(facts: Facts, site: Path, tmp_path: Path) -> None:
    before = {file: file.read_bytes() for file in site.rglob("*") if file.is_file()}
    (site / "batches" / "old.html").write_text("of a batch that is gone")
    write_site(facts, all_suites(site.parent), site)
    assert {file: file.read_bytes() for file in site.rglob("*") if file.is_file()} == before
    (tmp_path / "index.html").write_text("<html>mine</html>")
    with pytest.raises(UsageError, match="holds something else"):
        write_site(facts, (), tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["index.html"]
