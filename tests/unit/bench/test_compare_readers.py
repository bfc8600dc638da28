"""Comparison of readers."""

from __future__ import annotations

from bench.compare_readers import Score


def test_plate_counts_once_and_unlabelled_text_is_wrong():
    """O and 0 are one, as the scoring tool has it; a text reported twice is one text."""
    score = Score()
    score.add("night US", ["AB0-123", "ABO123", "XYZ9"], frozenset({"AB0123", "CD5678"}))
    score.add("dev EU", [], frozenset({"K1"}))
    assert (dict(score.right), score.wrong) == ({"night US": 1, "dev EU": 0}, 1)
