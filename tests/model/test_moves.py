"""Identity through moves, against a deliberately simple oracle."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from dagster_project.model.identity import note_id
from dagster_project.model.moves import Identities, identities


@dataclass(frozen=True)
class Seen:
    op: str
    path: str
    moved_from: str | None = None


PATHS = "abcd"


@st.composite
def histories(draw: st.DrawFn) -> list[Seen]:
    """Histories a folder can really have: what is put, moved and gone follows from what is there."""
    here: set[str] = set()
    history = []
    for _ in range(draw(st.integers(0, 25))):
        free = sorted(set(PATHS) - here)
        ops = ["put"] + (["gone"] if here else []) + (["move"] if here and free else [])
        op = draw(st.sampled_from(ops))
        if op == "put":
            path = draw(st.sampled_from(PATHS))
            history.append(Seen("put", path))
            here.add(path)
        elif op == "gone":
            path = draw(st.sampled_from(sorted(here)))
            history.append(Seen("gone", path))
            here.discard(path)
        else:
            before, after = draw(st.sampled_from(sorted(here))), draw(st.sampled_from(free))
            history.append(Seen("move", after, before))
            here = here - {before} | {after}
    return history


def oracle(history: list[Seen]) -> list[str]:
    """Names each note by the arrival that began it, then gives each its id by the rule's own words."""
    at: dict[str, int] = {}
    born: dict[int, str] = {}
    moved: set[int] = set()
    who = []
    for place, seen in enumerate(history):
        if seen.op == "move":
            note = at.pop(seen.moved_from)
            moved.add(note)
            at[seen.path] = note
        elif seen.path not in at:
            # A path whose own first note never moved is taken up again by that note.
            same = [n for n, path in born.items() if path == seen.path and n not in moved]
            note = at[seen.path] = same[0] if same else place
            born.setdefault(note, seen.path)
        who.append(at[seen.path])
    generation: dict[int, int] = {}
    for note, path in born.items():
        generation[note] = sum(1 for other in generation if born[other] == path)
    return [note_id("s", born[note], generation[note]) for note in who]


@given(histories())
def test_identities_follow_the_rule(history: list[Seen]) -> None:
    assert list(identities("s", history).values()) == oracle(history)


@given(histories(), st.integers(0, 25))
def test_taking_a_history_in_two_parts_changes_nothing(history: list[Seen], cut: int) -> None:
    who = Identities("s")
    first = [who.take(seen) for seen in history[:cut]]
    assert first + [who.take(seen) for seen in history[cut:]] == list(identities("s", history).values())


@given(histories())
def test_no_two_notes_that_stand_at_once_share_an_id(history: list[Seen]) -> None:
    here: dict[str, str] = {}
    for seen, id_ in zip(history, identities("s", history).values(), strict=True):
        if seen.op == "move":
            here.pop(seen.moved_from)
        here[seen.path] = id_
        if seen.op == "gone":
            here.pop(seen.path)
        assert len(set(here.values())) == len(here)


def test_two_sources_with_the_same_path_are_two_notes() -> None:
    assert note_id("one", "a.md") != note_id("two", "a.md")
