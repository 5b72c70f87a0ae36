"""What becomes of notes as their files change: moved, edited and moved, told once, read again."""

from __future__ import annotations

from typing import Any

from dagster_project.lake.lake import Lake
from dagster_project.lake.read import relation
from dagster_project.pipeline import run
from dagster_project.reports import Counts

TEXT = "# Lakes\n\n" + "\n".join(
    f"Sentence {n} of this note says what no other note of the vault says." for n in range(9)
)
TEMPLATE = "\n".join(f"Question {n}: what went well in this week, and what did not go well?" for n in range(9))


def ask(lake: Lake, query: str, name: str) -> list[tuple[Any, ...]]:
    pin = lake.pins()[name]
    with lake.connect() as con:
        return con.execute(query.format(f"{relation(pin)} AS t")).fetchall()


def test_a_note_that_was_edited_and_moved_in_one_step_stays_itself(lake, world) -> None:
    world.note("ideas/lake.md", TEXT)
    run(lake, world.sources[:1])
    before = ask(lake, "SELECT note_id, content_sha256 FROM {} WHERE path = 'ideas/lake.md'", "notes.notes")
    (world.vault / "ideas" / "lake.md").unlink()
    world.note("done/lakes.md", TEXT.replace("Sentence 3 of", "The third sentence of") + "\nAnd one more.\n")
    assert run(lake, world.sources[:1]).reports[0].counts == Counts(seen=4, unchanged=3, committed=1)
    after = ask(lake, "SELECT note_id, content_sha256 FROM {} WHERE path = 'done/lakes.md'", "notes.notes")
    assert after[0][0] == before[0][0]
    assert after[0][1] != before[0][1]
    told = "SELECT op, moved_from FROM {} WHERE path = 'done/lakes.md'"
    assert ask(lake, told, "notes.versions") == [("moved", "ideas/lake.md")]
    assert ask(lake, told + " AND content IS NOT NULL", "raw.vault") == [("move", "ideas/lake.md")]


def test_a_new_note_from_the_template_of_one_that_vanished_is_a_new_note(lake, world) -> None:
    world.note("weeks/18.md", f"# Week 18\n{TEMPLATE}\nFine.\n")
    world.note("weeks/19.md", f"# Week 19\n{TEMPLATE}\nSo so.\n")
    run(lake, world.sources[:1])
    (world.vault / "weeks" / "19.md").unlink()
    world.note("weeks/20.md", f"# Week 20\n{TEMPLATE}\nWell.\n")
    counts = run(lake, world.sources[:1]).reports[0].counts
    assert (counts.committed, counts.removed) == (1, 1)
    assert ask(lake, "SELECT count(*) FROM {} WHERE op = 'moved'", "notes.versions") == [(0,)]


def test_equal_moves_and_edited_ones_at_once_keep_every_identity(lake, world) -> None:
    for number in range(40):
        world.note(f"old/{number}.md", TEXT.replace("this note", f"note {number}"))
    run(lake, world.sources[:1])
    before = dict(ask(lake, "SELECT path, note_id FROM {}", "notes.notes"))
    for number in range(40):
        file = world.vault / "old" / f"{number}.md"
        text = file.read_text("utf-8")
        world.note(f"new/{number}.md", text + f"\nEdit {number}.\n" if number % 2 else text)
        file.unlink()
    run(lake, world.sources[:1])
    after = dict(ask(lake, "SELECT path, note_id FROM {}", "notes.notes"))
    assert {path: after[f"new/{path[4:]}"] for path in before if path.startswith("old/")} == {
        path: id_ for path, id_ in before.items() if path.startswith("old/")
    }


def test_what_did_not_come_through_whole_is_read_again_only_when_asked(lake, world) -> None:
    assert run(lake, world.sources[:1]).reports[0].counts == Counts(seen=3, committed=2, quarantined=1)
    assert run(lake, world.sources[:1]).reports[0].counts == Counts(seen=3, unchanged=3)
    again = run(lake, world.sources[:1], reread=True)
    assert again.reports[0].counts == Counts(seen=3, unchanged=2, quarantined=1)
    assert ask(lake, "SELECT sequence, op FROM {} WHERE path = 'latin.md'", "raw.vault") == [(3, "put"), (4, "put")]
    assert [path for (path,) in ask(lake, "SELECT path FROM {} WHERE sequence = 4", "ops.ledger")] == ["latin.md"]
