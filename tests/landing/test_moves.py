"""Which new file is which vanished one: the rule against a plain reading of it, and where it must refuse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.landing.moves import (
    CLOSE,
    MARGIN,
    TELLING_BYTES,
    TELLING_SHARE,
    close_moves,
    closeness,
    equal_moves,
)


def nowhere(lines: frozenset[bytes]) -> frozenset[bytes]:
    """No other file has any of these lines."""
    return frozenset()


def paragraphs(word: str, count: int = 6) -> list[bytes]:
    return [f"The {word} paragraph number {n} says something that only {word} says.".encode() for n in range(count)]


LAKE = b"\n".join([b"# Lakes", *paragraphs("lake")])
RIVER = b"\n".join([b"# Rivers", *paragraphs("river")])
EDITED = LAKE.replace(b"number 3 says", b"number three tells") + b"\nAnd a line more.\n"


def test_a_note_that_was_edited_and_moved_is_told_as_such() -> None:
    found = close_moves({"a.md": LAKE, "r.md": RIVER}, {"new/b.md": EDITED, "z.md": b"something else"}, nowhere)
    assert found == {"new/b.md": "a.md"}


def test_a_note_that_was_rewritten_is_a_new_one() -> None:
    rewritten = b"# Lakes\nNothing of what stood here is left, but for the heading.\n" + paragraphs("lake")[0]
    assert closeness(LAKE, rewritten) < CLOSE
    assert close_moves({"a.md": LAKE}, {"b.md": rewritten}, nowhere) == {}


def test_the_same_words_in_other_lines_are_not_the_same_note() -> None:
    half = b"\n".join([b"# Lakes", *paragraphs("lake", 2), *paragraphs("pond", 4)])
    assert closeness(LAKE, half) < CLOSE
    assert close_moves({"a.md": LAKE}, {"b.md": half}, nowhere) == {}


@pytest.mark.parametrize(
    ("vanished", "new"),
    [
        ({"a.md": LAKE}, {"b.md": EDITED, "c.md": LAKE + b"\nAnother end."}),
        ({"a.md": LAKE, "copy.md": LAKE + b"\nIts copy."}, {"b.md": EDITED}),
    ],
)
def test_where_two_could_be_it_neither_is(vanished: Mapping[str, bytes], new: Mapping[str, bytes]) -> None:
    assert close_moves(vanished, new, nowhere) == {}


def test_a_rival_that_shares_fewer_lines_but_is_about_as_close_refuses_the_move() -> None:
    shared, other = paragraphs("lake", 20), paragraphs("lake", 24)
    old = b"\n".join(shared)
    close = b"\n".join([*shared[:19], b"An end of its own that is short."])
    rival = b"\n".join([*shared[:17], *(line.replace(b"that only", b"which only") for line in shared[17:])])
    assert closeness(old, rival) > closeness(old, close) - MARGIN
    assert close_moves({"a.md": old}, {"b.md": close, "c.md": rival}, nowhere) == {}
    assert close_moves({"a.md": old}, {"b.md": close, "c.md": b"\n".join(other[20:])}, nowhere) == {"b.md": "a.md"}


def test_two_notes_from_one_template_are_two_notes() -> None:
    template = b"\n".join([b"# %s", *paragraphs("template"), b"Mood: %s"])
    monday, tuesday = template % (b"2026-05-11", b"fine"), template % (b"2026-05-12", b"tired")
    lines = frozenset(line for line in template.splitlines() if b"%" not in line)
    assert closeness(monday, tuesday) > CLOSE
    assert close_moves({"monday.md": monday}, {"tuesday.md": tuesday}, lambda wanted: wanted & lines) == {}


def test_short_notes_say_too_little() -> None:
    assert close_moves({"a.md": b"- [ ] buy milk and eggs\n"}, {"b.md": b"- [ ] buy milk and eggs\n\n"}, nowhere) == {}


def test_equal_content_needs_no_close_look_and_pairs_in_path_order() -> None:
    old = [(f"old/{n}.md", "same") for n in range(9)]
    new = [(f"new/{n}.md", "same") for n in range(7)]
    assert equal_moves(old[::-1], new) == {f"new/{n}.md": f"old/{n}.md" for n in range(7)}


LINES = tuple(f"line {n} of the alphabet {chr(97 + n) * (4 + n % 5)}".encode() for n in range(8))
TEXTS = st.lists(st.sampled_from((*LINES, b"short", b"")), max_size=7).map(b"\n".join)


def by_definition(vanished: Mapping[str, bytes], new: Mapping[str, bytes], others: frozenset[bytes]) -> dict[str, str]:
    """The rule, read word by word: every pair, every text."""

    def lines(text: bytes) -> set[bytes]:
        return {line.strip() for line in text.splitlines() if len(line.strip()) >= 16}

    def own(old: str, path: str) -> set[bytes]:
        rest = [text for name, text in vanished.items() if name != old]
        rest += [text for name, text in new.items() if name != path]
        return {
            line for line in lines(vanished[old]) & lines(new[path]) if not any(line in lines(text) for text in rest)
        }

    def close(old: str, path: str) -> float:
        one, other = Counter(neighbours(vanished[old])), Counter(neighbours(new[path]))
        size = sum(len(pair) - 1 for pair in (one + other).elements())
        return 2 * sum(len(pair) - 1 for pair in (one & other).elements()) / size if size else 0.0

    def neighbours(text: bytes) -> list[bytes]:
        words = text.split()
        return [b"".join((word, b"\0", after)) for word, after in zip(words, [*words[1:], b""], strict=True)]

    pairs = {(old, path): close(old, path) for old in vanished for path in new if own(old, path)}
    found = {}
    for (old, path), value in pairs.items():
        rivals = [v for (o, p), v in pairs.items() if (o == old) != (p == path) and v >= CLOSE - MARGIN]
        told = sum(map(len, own(old, path) - others))
        enough = max(TELLING_BYTES, TELLING_SHARE * max(len(vanished[old]), len(new[path])))
        if value >= CLOSE and all(value >= rival + MARGIN for rival in rivals) and told >= enough:
            found[path] = old
    return found


@given(
    st.dictionaries(st.sampled_from("abc"), TEXTS, max_size=3),
    st.dictionaries(st.sampled_from("xyz"), TEXTS, max_size=3),
    st.frozensets(st.sampled_from(LINES), max_size=2),
)
def test_it_is_what_the_definition_says(
    vanished: dict[str, bytes], new: dict[str, bytes], others: frozenset[bytes]
) -> None:
    found = close_moves(vanished, new, lambda lines: lines & others)
    assert found == by_definition(vanished, new, others)
    assert len(set(found.values())) == len(found)


@given(TEXTS, TEXTS)
def test_closeness_is_a_share_and_the_same_both_ways(one: bytes, other: bytes) -> None:
    assert 0 <= closeness(one, other) == closeness(other, one) <= 1
    if one.split():
        assert closeness(one, one) == 1
