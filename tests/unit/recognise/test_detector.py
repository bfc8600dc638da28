"""Boxes of neighbouring cells become one box per plate."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from agent.recognise import load_active
from agent.recognise.detector import Detector, fuse, shrink

if TYPE_CHECKING:
    from pathlib import Path


def test_agreeing_boxes_are_averaged() -> None:
    """Two cells that see one plate give the weighted mean of their boxes."""
    boxes = np.array([[0, 0, 40, 20], [2, 0, 42, 20]], np.float32)
    scores = np.array([0.9, 0.3], np.float32)

    fused = fuse(boxes, scores, nms_iou=0.4, merge_iou=0.55)

    assert fused == [(pytest.approx((0.5, 0.0, 40.5, 20.0)), pytest.approx(0.9))]


def test_separate_boxes_are_not_merged() -> None:
    """Boxes that do not overlap are never merged."""
    boxes = np.array([[0, 0, 40, 20], [50, 0, 90, 20]], np.float32)

    fused = fuse(boxes, np.array([0.9, 0.8], np.float32), nms_iou=0.4, merge_iou=0.55)

    assert [round(confidence, 3) for _, confidence in fused] == [0.9, 0.8]


@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 40), st.just(2)), elements=st.floats(0, 400, width=32)))
def test_suppression_keeps_the_best_and_no_overlaps(corners: np.ndarray) -> None:
    """Whatever the boxes, fusing ends, keeps the best score and never invents more boxes than it got."""
    boxes = np.concatenate([corners, corners + 16], axis=1)
    scores = np.linspace(1, 0.5, len(boxes), dtype=np.float32)

    fused = fuse(boxes, scores, nms_iou=0.4, merge_iou=0.55)

    assert 1 <= len(fused) <= len(boxes)
    assert fused[0][1] == pytest.approx(1.0)


@pytest.mark.parametrize("size", [(720, 1280), (1080, 1920), (100, 90), (216, 384), (5000, 30)])
def test_shrink_gives_the_size_asked_for(size: tuple[int, int]) -> None:
    """Any frame size becomes the network's size, growing or shrinking."""
    frame = np.full((*size, 3), 77, np.uint8)

    small = shrink(frame, 96, 54)

    assert small.shape == (54, 96, 3)
    assert (small == 77).all()


def test_shrink_does_not_alias() -> None:
    """Stripes finer than the target become grey, not coarse false stripes."""
    frame = np.zeros((720, 1280, 3), np.uint8)
    frame[:, ::2] = 255

    assert np.ptp(shrink(frame, 320, 180)) <= 2


def test_cells_are_decoded_by_the_contract(repo: Path) -> None:
    """Raw values of both signs; the best cell first."""
    bundle = load_active(repo / "models")[0]
    detector = Detector(bundle)
    outputs, contract = bundle.contract.outputs, bundle.contract.detector
    assert contract is not None
    raw = [np.full(o.shape, -128, np.int8) for o in sorted(outputs.values(), key=lambda o: o.index)]
    cells = {(3, 5): (70, (-9, 40), (30, -20)), (20, 40): (120, (55, -128), (-40, 5))}
    expected = []
    for (row, column), (score, offset, size) in cells.items():
        for name, values in (("score", score), ("offset", offset), ("size", size)):
            raw[outputs[name].index][0, row, column] = values
        x, y = (
            (at + 0.5 + (value - outputs["offset"].zero_point) * outputs["offset"].scale) * contract.stride
            for at, value in zip((column, row), offset, strict=True)
        )
        width, height = (
            math.exp((value - outputs["size"].zero_point) * outputs["size"].scale) * contract.size_base_px
            - oversize
            for value, oversize in zip(size, contract.oversize_px, strict=True)
        )
        box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        expected.insert(0, (box, (score - outputs["score"].zero_point) * outputs["score"].scale))

    found = detector._decode(raw, 0.5, 768, 512)

    assert [d.confidence for d in found] == pytest.approx([score for _, score in expected])
    for detection, (box, _) in zip(found, expected, strict=True):
        sides = (detection.box.x0, detection.box.y0, detection.box.x1, detection.box.y1)
        assert sides == pytest.approx([side / 0.5 for side in box], rel=1e-5)
