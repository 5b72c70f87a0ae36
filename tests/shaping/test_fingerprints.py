"""Fingerprints: the share of equal values is the share of runs of three words in common, however notes are batched."""

from __future__ import annotations

import re

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.contracts import FINGERPRINTS
from dagster_project.shaping.fingerprints import LEAST_WORDS, MOST_BYTES, PERMUTATIONS, fingerprints

WORDS = [f"word{n}" for n in range(400)]


def of(*bodies: str | None) -> dict[str, str]:
    """Return the fingerprints of notes 0, 1, 2 … that have one."""
    ids = [str(n) for n in range(len(bodies))]
    columns = {"note_id": ids, "source": ["v"] * len(ids), "body": pa.array(bodies, pa.string())}
    found = fingerprints(pa.table(columns))
    assert found.schema.equals(FINGERPRINTS.schema)
    return {row["note_id"]: row["signature"] for row in found.to_pylist()}


def alike(a: str, b: str) -> float:
    values = [[text[at : at + 4] for at in range(0, len(text), 4)] for text in (a, b)]
    return sum(x == y for x, y in zip(*values, strict=True)) / PERMUTATIONS


def jaccard(a: str, b: str) -> float:
    def runs(text: str) -> set[tuple[str, ...]]:
        words = re.findall(r"[^\W_]+", text.lower())
        return {tuple(words[n : n + 3]) for n in range(len(words) - 2)}

    return len(runs(a) & runs(b)) / len(runs(a) | runs(b))


def test_the_fingerprint_of_a_text_never_changes() -> None:
    """Fingerprints lie in lakes: were they made otherwise, those made before would fit nothing."""
    words, long_words = of(" ".join(WORDS[:40]), " ".join("é" * n for n in range(1, 100))).values()
    assert words.startswith("861e06f9f35cfd0bbd88281c")
    assert long_words.startswith("aa97ece23504d73f5432898f")


@given(st.lists(st.sampled_from(WORDS), min_size=60, max_size=300), st.data())
def test_equal_values_estimate_what_texts_have_in_common(words: list[str], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(words)))
    other = words[:cut] + WORDS[: len(words) - cut]
    a, b = " ".join(words), " ".join(other)
    found = of(a, b)
    assert abs(alike(found["0"], found["1"]) - jaccard(a, b)) < 0.3  # five standard deviations at the worst


@given(st.lists(st.text("ab Zé,\n*", max_size=120) | st.none(), max_size=12))
def test_a_note_s_fingerprint_does_not_depend_on_the_notes_beside_it(bodies: list[str | None]) -> None:
    together = of(*bodies)
    alone = {str(n): found["0"] for n, body in enumerate(bodies) if (found := of(body))}
    assert together == alone


def test_marks_case_and_white_space_make_no_difference_and_words_do() -> None:
    text = " ".join(WORDS[:50])
    marked = "# " + text.upper().replace(" ", "**,\n\t")
    found = of(text, marked, " ".join(WORDS[50:100]))
    assert found["0"] == found["1"]
    assert alike(found["0"], found["2"]) < 0.1


def test_short_notes_have_none_and_long_ones_count_by_their_beginning() -> None:
    assert of(" ".join(WORDS[: LEAST_WORDS - 1]), None, "") == {}
    assert list(of(" ".join(WORDS[:LEAST_WORDS]))) == ["0"]
    beginning = ("long " * MOST_BYTES)[:MOST_BYTES]
    found = of(beginning + " and an end", beginning)
    assert found["0"] == found["1"]


def test_no_notes_have_no_fingerprints() -> None:
    assert of() == {}
