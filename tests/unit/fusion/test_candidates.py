"""Alternatives: other texts with their probabilities, best first."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.fusion.candidates import alternative_texts
from agent.records import CharRead, PlateText
from tests.strategies import plates


@given(plates(), st.integers(0, 8))
def test_alternatives_and_text_are_a_distribution(plate, most):
    """Never the text itself, no text twice, sorted, and no more probability than the text leaves."""
    found = alternative_texts(plate, limit=most)
    texts = [text for text, _ in found]
    probabilities = [probability for _, probability in found]
    assert len(found) <= most
    assert plate.text not in texts
    assert "" not in texts
    assert len(texts) == len(set(texts))
    assert all(early >= late for early, late in pairwise(probabilities))
    assert all(0.001 <= probability <= 1 for probability in probabilities)
    assert plate.confidence + sum(probabilities) <= 1 + 1e-9


def test_most_likely_alternative_comes_first():
    """8 for B is more likely than 0 for O here; both together come last."""
    chars = (
        CharRead("7", 0.99),
        CharRead("B", 0.6, (("8", 0.4),)),
        CharRead("O", 0.8, (("0", 0.2),)),
    )
    found = alternative_texts(PlateText(chars, 0.48))
    assert [text for text, _ in found] == ["78O", "7B0", "780"]
    assert found[0][1] == pytest.approx(0.48 * 0.4 / 0.6)


def test_a_missing_character_gives_a_shorter_text():
    """The symbol for no character stands for nothing."""
    chars = (CharRead("A", 0.9), CharRead("1", 0.7, (("", 0.3),)))
    assert [text for text, _ in alternative_texts(PlateText(chars, 0.6))] == ["A"]


def test_texts_reached_in_two_ways_add_up():
    """Dropping either of two ones gives the same text; its probability is the sum."""
    one = CharRead("1", 0.8, (("", 0.2),))
    found = dict(alternative_texts(PlateText((one, one, CharRead("A", 1.0)), 0.64)))
    assert found["1A"] == pytest.approx(2 * 0.2 * 0.8)


@pytest.mark.parametrize(
    "plate",
    [PlateText((), 0.0), PlateText((CharRead("A", 0.0),), 0.5), PlateText((CharRead("A", 1.0),), 1.0)],
    ids=["empty", "impossible", "certain"],
)
def test_no_alternatives(plate):
    """There are none if the characters have none."""
    assert alternative_texts(plate) == ()
