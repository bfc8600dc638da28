"""Finds of the detector away from the labels: which count, and how they are cut."""

from __future__ import annotations

import numpy as np
import pytest

from models.training.ocr.negatives import away_from, widened

LABEL = (100.0, 100.0, 200.0, 150.0)


@pytest.mark.parametrize(
    ("box", "away"),
    [
        ((110.0, 105.0, 190.0, 140.0), False),
        ((205.0, 100.0, 260.0, 130.0), False),  # touches what may be the same plate, badly boxed
        ((300.0, 100.0, 360.0, 130.0), True),
        ((100.0, 300.0, 200.0, 350.0), True),
    ],
)
def test_only_detections_away_from_labels_are_negatives(box, away):
    assert away_from(box, [(0.0, 0.0, 10.0, 5.0), LABEL]) is away


def test_a_crop_keeps_margins_inside_the_picture():
    picture = np.arange(60 * 80 * 3, dtype=np.uint32).reshape(60, 80, 3).astype(np.uint8)
    crop, box = widened(picture, (60.0, 40.0, 80.0, 50.0))
    assert crop.shape[:2] == (14, 23)
    x0, y0, x1, y1 = (round(v) for v in box)
    assert np.array_equal(crop[y0:y1, x0:x1], picture[40:50, 60:80])
