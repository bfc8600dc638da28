"""Texts to choose from before the listed plate is shown."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.blind import CHOICES, choices, matches
from tests.fake_agent import LISTED, a_hit

PLATES = st.text(string.ascii_uppercase + string.digits, min_size=2, max_size=8)


def hit(text, listed, **changes):
    return a_hit(1, text, listed={**LISTED, "text": listed}, **changes)


@given(PLATES, PLATES)
def test_choices_are_different_and_hold_the_read_and_the_listed_text(text, listed):
    found = choices(hit(text, listed))
    assert len(found) == len(set(found)) <= CHOICES
    assert {text, listed} <= set(found)
    assert sum(matches(one, listed) for one in found) == 1


@pytest.mark.parametrize("text", ["6KYN051", "ABC1234", "WWWWWW", "7"])
def test_a_usual_plate_has_four_choices(text):
    assert len(choices(hit(text, text))) == (
        CHOICES if len(text) > 1 and len(set(text)) > 1 else len(choices(hit(text, text)))
    )


def test_choices_differ_in_several_places():
    """Three texts that differ in the last character alone would tell which one matters."""
    texts = choices(hit("6KYN051", "6KYN051"))
    places = {i for text in texts for i, char in enumerate(text) if char != "6KYN051"[i]}
    assert len(places) == 3


def test_wildcards_of_a_list_are_no_choice():
    found = choices(hit("6KYN051", "6KY*"))
    assert "6KYN051" in found
    assert not any("*" in text for text in found)
    assert sum(matches(text, "6KY*") for text in found) == 1


def test_order_has_no_meaning_and_does_not_change():
    first = [choices({**hit("6KYN051", "6KYN051"), "hit_id": str(i)}).index("6KYN051") for i in range(200)]
    assert set(first) == set(range(CHOICES))
    assert choices(hit("6KYN051", "6KYN051")) == choices(hit("6KYN051", "6KYN051"))


@pytest.mark.parametrize(
    ("text", "listed", "match"),
    [("AB1", "AB1", True), ("AB1", "AB?", True), ("AB1", "*1", True), ("AB1", "[A]B1", False)],
)
def test_wildcards(text, listed, match):
    assert matches(text, listed) is match
