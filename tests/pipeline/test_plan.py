"""What a plan says is what the run after it does, and a plan does nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from dagster_project.lake.lake import open_lake
from dagster_project.lake.read import relation
from dagster_project.pipeline import land, run
from dagster_project.reports import quiet
from dagster_project.settings import settings
from dagster_project.sources import DocumentSource
from dagster_project.steps.foresee import BrokenLink, RetypedKey
from dagster_project.steps.plan import plan

LOOPING = Path(__file__).parents[1] / "shaping" / "fixtures" / "pdf" / "form_draws_itself_twice.pdf"
TEXT = "# Lakes\n\n" + "\n".join(
    f"Sentence {n} of this note says what no other note of the vault says." for n in range(9)
)


def everything(folder: Path) -> dict[str, int]:
    return {str(file): file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}


@pytest.mark.slow
def test_a_plan_names_what_a_run_would_do_and_does_nothing(lake, world, where) -> None:
    world.note("same.md", "same")
    world.note("lake.md", TEXT)
    run(lake, world.sources)
    (world.vault / "same.md").rename(world.vault / "same2.md")
    (world.vault / "lake.md").unlink()
    (world.vault / "b.md").unlink()
    world.note("lakes.md", TEXT + "\nAn end.\n")
    world.note("new.md", "new")
    world.note("a.md", "# A\n[[b]] [[same]]\n")
    world.note("broken.md", "---\na: [\n---\n")
    world.sheet("two.csv", "id,title\n1,x\n")
    world.event("note.created", "n9")
    before = everything(Path(where.lake))
    vault, sheet, live = (plan(lake, where, source) for source in world.sources)
    assert everything(Path(where.lake)) == before
    assert (vault.added, vault.changed) == (("broken.md", "new.md"), ("a.md",))
    assert (vault.moved, vault.edited, vault.gone) == (
        (("same.md", "same2.md"),),
        (("lake.md", "lakes.md"),),
        ("b.md",),
    )
    assert [(trouble.path, trouble.status) for trouble in vault.unreadable] == [("broken.md", "partial")]
    assert (vault.unchanged, vault.refused, vault.has_trouble) == (1, None, True)
    assert (sheet.added, sheet.changed, sheet.gone, sheet.unchanged) == (("two.csv",), (), (), 1)
    assert (live.added, [shard for shard, _ in live.waiting], live.unchanged) == ((), ["shard-1"], 2)


def test_over_what_is_unchanged_there_is_nothing_to_do(lake, world, where) -> None:
    run(lake, world.sources)
    assert all(plan(lake, where, source).is_nothing for source in world.sources)


def test_a_file_that_harms_its_reader_is_told_and_the_others_are_read(where, world) -> None:
    world.note("loop.pdf", LOOPING.read_bytes())
    world.note("deep.ipynb", "[" * 100_000)
    planned = plan(None, replace(where, file_seconds=0.5), world.sources[0])
    assert [(trouble.path, trouble.status) for trouble in planned.unreadable] == [
        ("deep.ipynb", "quarantined"),
        ("latin.md", "quarantined"),
        ("loop.pdf", "failed"),
    ]
    assert "took longer than 0.5 s" in planned.unreadable[2].reason


def test_without_a_lake_everything_is_new_and_none_is_made(world, where) -> None:
    planned = plan(None, where, world.sources[0])
    assert planned.added == ("a.md", "b.md", "latin.md")
    assert [trouble.path for trouble in planned.unreadable] == ["latin.md"]
    assert not Path(where.lake).exists()


def test_links_that_would_lead_nowhere_are_named_with_their_line(lake, world, where) -> None:
    world.note("hub.md", "# Hub\n[[b]]\n[[deep/inside]] [[nowhere]]\n![[pic.png]] [B](b.md)\n")
    world.note("deep/inside.md", "inside")
    world.note("pic.png", b"png")
    run(lake, world.sources[:1])
    (world.vault / "deep" / "inside.md").rename(world.vault / "moved.md")
    (world.vault / "pic.png").unlink()
    (world.vault / "b.md").unlink()
    assert plan(lake, where, world.sources[0]).broken == (
        BrokenLink("a.md", 2, "wikilink", "b", "b.md"),
        BrokenLink("hub.md", 2, "wikilink", "b", "b.md"),
        BrokenLink("hub.md", 3, "wikilink", "deep/inside", "deep/inside.md"),
        BrokenLink("hub.md", 4, "markdown", "b.md", "b.md"),
        BrokenLink("hub.md", 4, "embed", "pic.png", "pic.png"),
    )


def test_a_move_breaks_no_link_that_finds_the_note_or_was_mended_with_it(lake, world, where) -> None:
    world.note("one.md", "[[target]]\n")
    world.note("two.md", "[[sub/target]]\n")
    world.note("three.md", "[[old]]\n")
    world.note("sub/target.md", "here")
    world.note("old.md", "this says something of its own")
    run(lake, world.sources[:1])
    (world.vault / "sub" / "target.md").rename(world.vault / "target.md")  # one.md finds it by its name, as before
    world.note("two.md", "[[target]]\n")  # mended
    (world.vault / "old.md").unlink()
    world.note("elsewhere/old.md", "another note of that name")
    assert plan(lake, where, world.sources[0]).broken == ()
    (world.vault / "target.md").rename(world.vault / "renamed.md")
    assert {link.path for link in plan(lake, where, world.sources[0]).broken} == {"one.md"}


def test_front_matter_that_changes_type_is_named(lake, world, where) -> None:
    world.note("a.md", "---\nrating: 4\nby: Ada\ndone: yes\n---\n")
    world.note("b.md", "---\nrating: 5\n---\n")
    run(lake, world.sources[:1])
    world.note("a.md", "---\nrating: [4]\nby: Bob\nmore: 1\n---\n")
    world.note("c.md", "---\nrating: good\nby: Eve\n---\n")
    assert set(plan(lake, where, world.sources[0]).retyped) == {
        RetypedKey("rating", "a.md", "number", "list"),
        RetypedKey("rating", "c.md", "number", "text"),
    }


def test_a_scan_that_would_be_refused_says_so(lake, world, where) -> None:
    source = world.sources[0].model_copy(update={"max_gone_share": 0.3})
    run(lake, [source])
    for name in ("a.md", "b.md"):
        (world.vault / name).unlink()
    planned = plan(lake, where, source)
    assert planned.gone == ("a.md", "b.md")
    assert "2 of 3 files vanished" in str(planned.refused)


def test_a_source_that_cannot_be_looked_at_is_told(lake, where, world) -> None:
    planned = plan(lake, where, DocumentSource(name="gone", path=str(world.folder / "nowhere")))
    assert "SourceUnavailable" in str(planned.error)
    assert planned.has_trouble


def test_what_landed_and_was_not_committed_is_told(lake, world, where) -> None:
    land(lake, world.sources[0], observe=quiet)
    planned = plan(lake, where, world.sources[0])
    assert (planned.pending, planned.unchanged, planned.is_nothing) == (3, 3, False)


def test_what_would_be_read_again_is_told_as_changed(lake, world, where) -> None:
    run(lake, world.sources[:1])
    assert plan(lake, where, world.sources[0], reread=True).changed == ("latin.md",)


STATES = st.dictionaries(
    st.sampled_from(["a.md", "b.md", "s/c.md", "s/d.md"]), st.sampled_from(["one", "two", TEXT, TEXT + "\nMore.\n"])
)


@pytest.mark.slow
@given(st.lists(STATES, min_size=2, max_size=2))
@hypothesis_settings(max_examples=3, suppress_health_check=list(HealthCheck))
def test_the_run_does_what_the_plan_says(new_world, clock, ids, tmp_path_factory, states) -> None:
    plan_and_run(new_world, clock, ids, tmp_path_factory.mktemp("plan"), states)


@pytest.mark.long
@pytest.mark.timeout(3600)
@given(st.lists(STATES, min_size=2, max_size=4))
@hypothesis_settings(max_examples=60, suppress_health_check=list(HealthCheck))
def test_the_run_does_what_the_plan_says_over_many_states(new_world, clock, ids, tmp_path_factory, states) -> None:
    plan_and_run(new_world, clock, ids, tmp_path_factory.mktemp("plan"), states)


def plan_and_run(new_world, clock, ids, folder: Path, states: list[dict[str, str]]) -> None:
    """Plan and run each state of a vault in turn, and compare what was planned with what landed."""
    world, lake = new_world(folder / "world"), open_lake(settings(str(folder / "lake")), clock=clock, ids=ids)
    source = world.sources[0]
    for state in states:
        for file in sorted(world.vault.rglob("*.md")):
            file.unlink()
        for path, text in state.items():
            world.note(path, text)
        planned = plan(lake, lake.settings, source)
        first = run(lake, [source]).reports[0].landed
        pin = lake.pins()["raw.vault"]
        query = f"SELECT op, path, moved_from FROM {relation(pin)} AS r WHERE sequence > ?"
        with lake.connect() as con:
            landed = con.execute(query, [first.last_sequence - first.arrivals]).fetchall()
        assert {path for op, path, _ in landed if op == "put"} == {*planned.added, *planned.changed}
        assert {path for op, path, _ in landed if op == "gone"} == set(planned.gone)
        assert {(of, path) for op, path, of in landed if op == "move"} == {*planned.moved, *planned.edited}
