"""Figures of the model card: what is counted, and that an update changes nothing else in it."""

from __future__ import annotations

import json

import pytest

from bench import breakdown
from bench.breakdown import Plate


def plate(confidence, *, right, width_px=80.0, light="as taken"):
    return Plate("US", light, width_px, confidence, right)


def test_calibrated_confidence_has_no_error():
    """Of ten reads with confidence 0.9, nine are correct."""
    kept = [plate(0.9, right=n > 0) for n in range(10)]
    (only,), error = breakdown.reliability(kept)
    assert (only.count, only.said, only.was) == (10, pytest.approx(0.9), 0.9)
    assert error == pytest.approx(0)


def test_overconfidence_has_an_error():
    boasting = [plate(0.95, right=n > 4) for n in range(10)] + [plate(None, right=False)] * 90
    bins, error = breakdown.reliability(boasting)
    assert sum(b.count for b in bins) == 10
    assert error == pytest.approx(0.45)


def test_breakdown_by_width_and_light():
    found = breakdown.by_width(
        [
            plate(0.9, right=True, width_px=59.9),
            plate(None, right=False, width_px=60.0),
            plate(0.9, right=True, width_px=300.0, light="night"),
        ]
    )
    assert found == {
        "0-60 px": {"as taken": (1, 1.0)},
        "60-90 px": {"as taken": (1, 0.0)},
        "140 px and more": {"night": (1, 1.0)},
    }


def test_plate_is_scored_by_the_text_reported_at_its_position(tmp_path):
    """A right text elsewhere in the photograph does not count, an empty one neither; O and 0 are equal."""
    labels, results = tmp_path / "labels.jsonl", tmp_path / "results.jsonl"
    plates = [{"box": [0, 0, 100, 50], "text": "AB0"}, {"box": [200, 0, 300, 50], "text": "XY7"}]
    labels.write_text(json.dumps({"image": "us/a.jpg", "region": "US", "plates": plates}) + "\n")
    told = [
        {"text": "ABO", "confidence": 0.8, "box": [5, 2, 98, 49]},
        {"text": "XY7", "confidence": 0.9, "box": [400, 0, 500, 50]},
        {"text": "", "confidence": 0.1, "box": [200, 0, 300, 50]},
    ]
    results.write_text(json.dumps({"image": "any/us/a.jpg", "plates": told}) + "\n")
    first, second = breakdown.plates_of(labels, results, "night")
    assert (first.right, first.confidence, first.light, first.width_px) == (True, 0.8, "night", 100)
    assert (second.right, second.confidence) == (False, None)


def test_model_card_section_is_replaced(tmp_path):
    card = tmp_path / "CARD.md"
    card.write_text("# A model\n\n## Figures\nmany\n\n## Not for\n- guessing\n")
    plates = [plate(0.9, right=True)]
    breakdown.put_into(card, breakdown.section({"US scenes, read": 90.0}, plates, ["a", "b"]))
    once = card.read_text()
    breakdown.put_into(card, breakdown.section({"US scenes, read": 90.0}, plates, ["a", "b"]))
    assert card.read_text() == once
    assert once.startswith("# A model\n\n## Figures\nmany\n\n<!-- measured")
    assert once.endswith("## Not for\n- guessing\n")
    assert "| US scenes, read | 90 |" in once
