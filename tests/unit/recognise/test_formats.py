"""The formats of regions propose, and never change, a text."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from agent.recognise.formats import in_format
from agent.records import CharRead, PlateText
from models.training.plates.designs import FAMILIES
from protocol.plate_formats import FORMATS


def plate(text, region, *, confidence=0.6, **doubts):
    """``doubts`` names positions with another symbol and its probability: at0=("1", 0.3)."""
    chars = []
    for n, symbol in enumerate(text):
        other = doubts.get(f"at{n}")
        chars.append(CharRead(symbol, 1 - other[1], (other,)) if other else CharRead(symbol, 0.99))
    return PlateText(tuple(chars), confidence, region, 0.9)


def test_a_doubtful_letter_where_a_digit_belongs_is_proposed_as_the_digit():
    read = plate("7ABCI23", "US-CA", at4=("1", 0.3))
    assert in_format(read) == "7ABC123"
    assert read.text == "7ABCI23"


def test_text_that_fits_a_format_is_kept():
    assert in_format(plate("ABC1234", "US-NY", at3=("I", 0.45))) == "ABC1234"


def test_personal_plate_of_high_confidence_is_kept():
    assert in_format(plate("GOFAST1", "US-CA", confidence=0.97)) == "GOFAST1"
    assert in_format(plate("G0FAST1", "US-CA", confidence=0.97, at1=("O", 0.02))) == "G0FAST1"


def test_without_a_region_nothing_is_proposed():
    assert in_format(plate("7ABCI23", "?", at4=("1", 0.4))) == "7ABCI23"
    assert in_format(PlateText((), 0.0, "US-CA", 0.9)) == ""


def test_letter_o_and_zero_are_equal():
    """Labels and readers mix them; neither is a reason to propose anything."""
    assert in_format(plate("7ABCO23", "US-CA", at4=("Q", 0.3))) == "7ABCO23"


@given(st.text("ABO018", min_size=3, max_size=8), st.sampled_from([*FORMATS, "?"]), st.floats(0.05, 0.95))
def test_a_proposal_is_among_what_the_characters_allow(text, region, doubt):
    read = plate(text, region, at0=("8", doubt), at1=("B", 1 - doubt))
    proposal = in_format(read)
    assert len(proposal) == len(text)
    assert all(p in {c.symbol, *(s for s, _ in c.alternatives)} for p, c in zip(proposal, read.chars, strict=True))


def test_drawn_plates_follow_the_same_formats():
    """One list of formats: what is trained on is what is proposed."""
    drawn = defaultdict(set)
    for design in (d for family in FAMILIES.values() for d in family):
        drawn[design.region] |= {"".join(c for c in f if c in "LD") for f in design.formats if "!" not in f}
    assert {region: set(formats.split()) for region, formats in FORMATS.items()} == drawn
