"""Plate characters drawn with strokes: every character in every face, apart from each other."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from models.training.plates.strokes import FACES, stroke_glyph

CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ALIKE = ({"0", "O"}, {"1", "I"})
"""Drawn the same on purpose: on most plates nothing tells them apart."""


@pytest.mark.parametrize("face", FACES[::8])
def test_characters_of_a_face_differ(face):
    masks = {c: cv2.resize(stroke_glyph(face, c), (32, 64), interpolation=cv2.INTER_AREA) for c in CHARACTERS}
    for i, a in enumerate(CHARACTERS):
        for b in CHARACTERS[i + 1 :]:
            if {a, b} not in _ALIKE:
                assert np.abs(masks[a].astype(int) - masks[b].astype(int)).mean() > 4, (face, a, b)


def test_a_glyph_touches_all_four_edges():
    mask = stroke_glyph(FACES[3], "E")
    assert all(edge.max() > 64 for edge in (mask[0], mask[-1], mask[:, 0], mask[:, -1]))


def test_weight_thickens_strokes():
    thin, thick = (stroke_glyph(FACES[0], "H", weight).mean() for weight in (0, 6))
    assert thick > thin
