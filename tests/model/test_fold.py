"""The fold of events into notes, against an oracle that plays the events on a dictionary of dictionaries."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dagster_project.model.fold import NoteEvent, fold
from dagster_project.model.identity import note_id

TYPES = ("note.deleted", "note.moved", "note.created", "note.updated")
PATHS = st.sampled_from(("a.md", "b.md", "c/d.md"))


def at(day: int) -> datetime:
    return datetime(2026, 1, day, tzinfo=UTC)


@st.composite
def histories(draw: st.DrawFn) -> list[NoteEvent]:
    """Up to 12 events, few instants and paths, so that they meet."""
    return [
        NoteEvent(
            event_id=f"e{index:02}",
            type=draw(st.sampled_from((*TYPES, "note.viewed"))),
            occurred_at=at(draw(st.integers(1, 5))),
            path=draw(PATHS),
            moved_from=draw(st.none() | PATHS),
            actor=draw(st.sampled_from((None, "ann", "bob"))),
            title=draw(st.sampled_from((None, "T", "U"))),
            body=draw(st.sampled_from((None, "", "text"))),
            tags=draw(st.sampled_from((None, (), ("x",)))),
            properties=f'{{"n":{index}}}',
            sequence=index + 1,
        )
        for index in range(draw(st.integers(0, 12)))
    ]


def oracle(events: list[NoteEvent]) -> dict[str, tuple[Any, ...]]:
    """Play the events one by one, by the words of the module's docstring."""
    live: dict[str, dict[str, Any]] = {}
    for e in sorted({e.event_id: e for e in events}.values(), key=lambda e: e.event_id):
        assert e.event_id
    chosen = [e for e in {e.event_id: e for e in events}.values() if e.type in TYPES]
    for e in sorted(chosen, key=lambda e: (e.occurred_at, TYPES.index(e.type), e.event_id)):
        if e.type == "note.deleted":
            live.pop(e.path, None)  # type: ignore[arg-type]
            continue
        if e.type == "note.moved" and e.moved_from in live:
            live[e.path] = live.pop(e.moved_from)  # type: ignore[index]
        if e.path not in live:
            used = [note["id"] for note in live.values()]
            first = next(i for g in range(99) if (i := note_id("s", e.path, g)) not in used)  # type: ignore[arg-type]
            live[e.path] = {"id": first, "born": e.occurred_at}  # type: ignore[index]
        note = live[e.path]  # type: ignore[index]
        note |= {k: getattr(e, k) for k in ("title", "body", "tags") if getattr(e, k) is not None}
        note |= {"properties": e.properties, "changed": e.occurred_at, "sequence": e.sequence}
        note.setdefault("author", e.actor) or note.update(author=e.actor)
    keys = ("id", "born", "changed", "title", "body", "tags", "properties", "sequence", "author")
    return {path: tuple(note.get(key) for key in keys) for path, note in live.items()}


@settings(max_examples=150, deadline=None)
@given(histories(), st.randoms(use_true_random=False))
def test_any_order_and_any_duplication_gives_what_the_oracle_says(events: list[NoteEvent], random: Any) -> None:
    sent = [*events, *(random.choices(events, k=3) if events else [])]
    random.shuffle(sent)
    stems = {"a.md": "a", "b.md": "b", "c/d.md": "d"}
    expected = {
        path: (
            i,
            born,
            changed,
            stems[path] if title is None else title,
            body or "",
            tags or (),
            properties,
            sequence,
            author,
        )
        for path, (i, born, changed, title, body, tags, properties, sequence, author) in oracle(events).items()
    }
    assert {
        n.path: (n.note_id, n.created_at, n.modified_at, n.title, n.body, n.tags, n.properties, n.sequence, n.author)
        for n in fold(sent, source="s").values()
    } == expected


def test_a_new_note_where_one_moved_away_gets_a_new_identity() -> None:
    notes = fold(
        [
            NoteEvent("1", "note.created", at(1), "a.md"),
            NoteEvent("2", "note.moved", at(2), "b.md", "a.md"),
            NoteEvent("3", "note.created", at(3), "a.md"),
        ],
        source="s",
    )
    assert {path: note.note_id for path, note in notes.items()} == {
        "a.md": note_id("s", "a.md", 1),
        "b.md": note_id("s", "a.md", 0),
    }


def test_at_one_instant_a_place_is_freed_before_it_is_taken() -> None:
    events = [
        NoteEvent("1", "note.created", at(1), "a.md", title="old"),
        NoteEvent("2", "note.created", at(1), "b.md", title="moved"),
        NoteEvent("3", "note.moved", at(2), "a.md", "b.md"),
        NoteEvent("4", "note.deleted", at(2), "a.md"),
    ]
    assert [(path, note.title) for path, note in fold(events).items()] == [("a.md", "moved")]


def test_a_later_life_keeps_nothing_of_the_former() -> None:
    events = [
        NoteEvent("1", "note.created", at(1), "a.md", title="T", body="x", actor="ann"),
        NoteEvent("2", "note.deleted", at(2), "a.md"),
        NoteEvent("3", "note.updated", at(3), "a.md"),
    ]
    note = fold(events)["a.md"]
    assert (note.title, note.body, note.author, note.created_at) == ("a", "", None, at(3))
