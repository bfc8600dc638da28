"""Whether a camera hangs upside down, told from plates that were read in both orientations."""

from __future__ import annotations

import pytest

from agent.recognise.orientation import OrientationVote
from agent.records import CharRead, PlateText


def reading(text: str, confidence: float, region: str, region_confidence: float) -> PlateText:
    return PlateText(tuple(CharRead(c, confidence) for c in text), confidence, region, region_confidence)


def upside_down(as_it_is: PlateText, turned: PlateText) -> bool | None:
    vote = OrientationVote()
    for _ in range(6):
        vote.add(as_it_is, turned)
    return vote.upside_down if vote.decided else None


UPRIGHT = [("6KYN051", confidence, "US-CA", 0.99) for confidence in (0.956, 0.98, 0.99)]


@pytest.mark.parametrize("upright", UPRIGHT)
def test_the_region_decides_on_a_text_that_reads_well_both_ways(upright):
    """6KYN051 upside down is LS0NAX9, and may even be read at a higher confidence; but it is no region's plate."""
    other = reading("LS0NAX9", 0.984, "US-OH", 0.45)
    assert upside_down(other, reading(*upright)) is True
    assert upside_down(reading(*upright), other) is False


@pytest.mark.parametrize("known", [0.2, 0.99])
def test_a_text_that_reads_well_one_way_decides_alone(known):
    right, wrong = reading("KRB4821", 0.97, "US-NY", known), reading("128BRK", 0.4, "US-OH", 1.0)
    assert upside_down(wrong, right) is True
    assert upside_down(right, wrong) is False


def test_texts_that_are_unsure_or_alike_decide_nothing():
    assert upside_down(reading("KRB4821", 0.8, "US-NY", 0.9), reading("128BRK", 0.3, "US-OH", 0.1)) is None
    assert upside_down(reading("N0N", 0.98, "US-NY", 0.5), reading("N0N", 0.98, "US-OH", 0.4)) is None
