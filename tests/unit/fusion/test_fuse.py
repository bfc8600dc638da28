"""Fusion by probabilities of characters, not by strings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.fusion.fuse import _align, _align_any, agreed, fuse_predictions
from agent.records import CharRead, PlateText

TEXTS = st.text("ABCDEFGHJKLMNPRSTUVWXYZ0123456789", min_size=3, max_size=8)


def prediction(
    text: str, confidence: float = 0.9, *, char: float = 0.97, weak: dict[int, tuple[str, float]] | None = None
):
    """``weak`` names positions where another symbol is nearly as likely."""
    chars = []
    for i, symbol in enumerate(text):
        if weak and i in weak:
            other, p = weak[i]
            chars.append(CharRead(symbol, 1 - p, ((other, p),)))
        else:
            chars.append(CharRead(symbol, char))
    return PlateText(tuple(chars), confidence, "US-CA", 0.9)


def test_one_prediction_is_returned_unchanged():
    """There is nothing to fuse."""
    only = prediction("7ABC123")
    assert fuse_predictions([only]) is only


def test_no_prediction_is_an_error():
    """A track without predictions cannot exist."""
    with pytest.raises(ValueError, match="no prediction to fuse"):
        fuse_predictions([])


@given(TEXTS, st.integers(2, 8))
def test_two_equal_predictions_raise_the_odds_by_half_and_more_raise_them_no_further(text, n):
    """Frames of one plate are not independent: what misleads one misleads all."""
    predictions = [prediction(text, 0.8, char=0.95) for _ in range(n)]
    fused = fuse_predictions(predictions)
    assert fused.text == text
    odds = fused.confidence / (1 - fused.confidence)
    assert odds == pytest.approx(1.5 * 0.8 / 0.2)


def test_agreeing_distant_frames_do_not_lower_the_confidence():
    """A plate is read with less confidence from afar."""
    far = [prediction("7ABC123", 0.2) for _ in range(4)]
    fused = fuse_predictions([*far, *(prediction("7ABC123", 0.98) for _ in range(4))])
    assert fused.confidence == pytest.approx(agreed(0.98))


@given(st.permutations(range(5)))
def test_the_order_of_predictions_does_not_matter(order):
    """The predictions are a set."""
    predictions = [
        prediction("7ABC123", 0.9),
        prediction("7ABC128", 0.4, weak={6: ("3", 0.45)}),
        prediction("7A8C123", 0.3, weak={2: ("B", 0.4)}),
        prediction("7ABC12", 0.2),
        prediction("7ABC123", 0.7),
    ]
    assert (
        fuse_predictions([predictions[i] for i in order]).text == fuse_predictions(predictions).text == "7ABC123"
    )


def test_confident_prediction_outweighs_two_uncertain_ones():
    """Two equal texts of low confidence do not beat one of high confidence: the probabilities decide."""
    unsure = prediction("7ABC128", 0.15, weak={6: ("3", 0.49)})
    fused = fuse_predictions([prediction("7ABC123", 0.98, char=0.995), unsure, unsure])
    assert fused.text == "7ABC123"


def test_predictions_each_wrong_in_another_place_give_the_right_text():
    """No prediction has the whole text right, the fused text is: characters are pooled by position."""
    fused = fuse_predictions(
        [
            prediction("1ABC123", 0.4, weak={0: ("7", 0.4)}),
            prediction("78BC123", 0.4, weak={1: ("A", 0.4)}),
            prediction("7ABC129", 0.4, weak={6: ("3", 0.4)}),
        ]
    )
    assert fused.text == "7ABC123"


def test_a_missed_character_does_not_shift_the_rest():
    """Characters are pooled by alignment, not by position."""
    fused = fuse_predictions(
        [
            prediction("7ABC123", 0.6),
            prediction("7BC123", 0.5),
            prediction("7ABC12", 0.5),
            prediction("7ABC123", 0.4),
        ]
    )
    assert fused.text == "7ABC123"


def test_disagreement_lowers_confidence():
    """Contradicting predictions lower the confidence."""
    fused = fuse_predictions([prediction("7ABC123", 0.9), prediction("7ABC128", 0.9)])
    assert fused.confidence < 0.75


@given(st.lists(st.tuples(TEXTS, st.floats(0.01, 0.99)), min_size=1, max_size=12))
def test_fused_characters_are_distributions_over_known_symbols(raw):
    """For any predictions: confidences within 0..1, alternatives sorted, symbols of some prediction."""
    predictions = [prediction(text, confidence) for text, confidence in raw]
    fused = fuse_predictions(predictions)
    assert 0.0 <= fused.confidence <= 1.0
    offered = {symbol for text, _ in raw for symbol in text}
    for char in fused.chars:
        assert char.symbol in offered
        assert 0.0 <= char.confidence <= 1.0
        ps = [p for _, p in char.alternatives]
        assert ps == sorted(ps, reverse=True)


def test_region_is_fused_and_known_beats_unknown():
    """A prediction with a region is not overruled by one without."""
    known, unknown = prediction("7ABC123"), PlateText(prediction("7ABC123").chars, 0.9, "?", 0.3)
    assert fuse_predictions([known, unknown]).region == "US-CA"
    assert fuse_predictions([unknown, unknown]).region == "?"


def test_fused_region_has_the_mean_probability():
    """The likeliest region is told however unlikely it is, with its probability."""
    chars = prediction("7ABC123").chars
    fused = fuse_predictions([PlateText(chars, 0.9, "US-CA", 0.3), PlateText(chars, 0.9, "US-NV", 0.1)])
    assert (fused.region, fused.region_confidence) == ("US-CA", pytest.approx(0.15))


LISTED = st.dictionaries(st.sampled_from(["A", "B", "C", ""]), st.floats(-5.5, 0.0), min_size=1)


@given(st.text("ABC", max_size=5), st.lists(LISTED, max_size=5))
def test_straight_alignment_is_the_likeliest_where_it_is_taken(text, listed):
    assert _align(text, listed) == _align_any(text, listed)
