"""Nothing is lost in silence, whatever changes in whatever order: what was seen is what became of it."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PATHS = st.sampled_from(["a.md", "b.md", "latin.md", "sub/c.md"])
TEXTS = st.sampled_from(
    [b"# T\n[[b]] #one\n", b"---\ntags: [\n---\nx\n", b"caf\xc3\xa9, caf\xe9\n", b"", b"- [ ] do\n"]
)
ROWS = st.lists(
    st.sampled_from(["1,One,x,2026-01-01", "2,,y,2026-01-02", "3,Three,z,never", ",No key,,", "3,a,b"]), max_size=4
)
LINES = st.sampled_from(
    [
        '{"id": "e1", "detail-type": "note.created", "time": "2026-05-14T09:00:00Z", "detail": {"path": "n9"}}',
        '{"id": "x1", "detail-type": "note.deleted", "time": "2026-05-14T10:00:00Z", "detail": {"path": "n1"}}',
        '{"id": "x2", "detail-type": "note.moved", "time": "2026-05-14T11:00:00Z", "detail": {"path": "n7", "from": "n2"}}',  # noqa: E501
        '{"id": "x3", "detail-type": "note.updated", "time": "2300-01-01T00:00:00Z", "detail": {"path": "n1"}}',
        "no JSON",
        "[]",
        "",
    ]
)
CHANGES = st.one_of(
    st.tuples(st.just("write"), PATHS, TEXTS),
    st.tuples(st.just("delete"), PATHS),
    st.tuples(st.just("move"), PATHS, PATHS),
    st.tuples(st.just("sheet"), st.sampled_from(["one.csv", "two.csv"]), ROWS),
    st.tuples(st.just("line"), LINES, st.integers(0, 1)),
)


def apply(world, change: tuple) -> None:
    match change:
        case "write", path, text:
            world.note(path, text)
        case "delete", path:
            (world.vault / path).unlink(missing_ok=True)
        case "move", path, to:
            if (world.vault / path).is_file() and path != to:
                (world.vault / to).parent.mkdir(exist_ok=True)
                (world.vault / path).replace(world.vault / to)
        case "sheet", path, rows:
            world.sheet(path, "\n".join(["id,title,body,at", *rows, ""]))
        case "line", text, shard:
            world.lines(text, shard=shard)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    return tmp_path_factory


@pytest.mark.slow
@settings(max_examples=3, suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(CHANGES, min_size=1, max_size=6), min_size=1, max_size=2))
def test_every_unit_seen_is_accounted_for_whatever_changes(places, here, new_world, rounds) -> None:
    folder = places.mktemp("balance")
    world = new_world(folder / "world")
    for changes in rounds:
        for change in changes:
            apply(world, change)
        reports = {report.source: report for report in here(folder / "lake", world.sources).reports}
        assert [report.error for report in reports.values()] == [None, None, None]
        assert [name for name, report in reports.items() if not report.counts.is_balanced] == []
        files = sum(file.is_file() for file in world.vault.rglob("*"))
        assert reports["vault"].counts.seen == files + reports["vault"].counts.removed
    again = here(folder / "lake", world.sources).reports
    assert [(report.source, report.counts.seen) for report in again] == [
        (report.source, report.counts.unchanged) for report in again
    ]
