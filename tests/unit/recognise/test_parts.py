"""A part of a plate is no plate of its own."""

from __future__ import annotations

import numpy as np
import pytest

from agent.recognise.detector import fuse
from agent.recognise.parts import Look, parts_of_others, stacked_pairs
from agent.records import Box, CharRead, PlateText

PLATE = Box(100, 100, 260, 180)


def look(box, score, text="", confidence=0.95, *, one_line=True):
    plate = PlateText(tuple(CharRead(c, 0.99) for c in text), confidence if text else 0.0)
    return Look(box, score, plate, one_line, len(text) >= 3 and confidence > 0.3)


@pytest.mark.parametrize(
    "inner", [(110, 110, 180, 170), (200, 105, 255, 150), (105, 150, 255, 178), (120, 120, 128, 126)]
)
def test_box_inside_a_more_confident_one_is_dropped(inner):
    """Overlap (IoU) alone keeps all of these."""
    boxes = np.array([(100, 100, 260, 180), inner], np.float32)
    fused = fuse(boxes, np.array([0.9, 0.9], np.float32), nms_iou=0.4, merge_iou=0.55)
    assert len(fused) == 1


def test_more_confident_box_inside_a_larger_one_is_kept():
    """The larger may be a lorry's back: what was read decides."""
    boxes = np.array([(110, 110, 180, 150), (0, 0, 400, 300)], np.float32)
    assert len(fuse(boxes, np.array([0.9, 0.6], np.float32), nms_iou=0.4, merge_iou=0.55)) == 2


@pytest.mark.parametrize(
    ("part", "whole", "dropped"),
    [
        (look(Box(110, 110, 180, 170), 0.9, "126", 0.99), look(PLATE, 0.6, "34A23126", 0.9), True),
        (look(Box(110, 110, 180, 170), 0.9, "34A", 0.8), look(PLATE, 0.6, "7ABC123", 0.9), True),
        (look(Box(110, 110, 180, 170), 0.6, "345", 0.99), look(PLATE, 0.9), True),
        (look(Box(110, 145, 250, 178), 0.9, "345", 0.99), look(PLATE, 0.6, one_line=False), True),
        (look(Box(110, 110, 180, 170), 0.9, "7ABC123", 0.99), look(PLATE, 0.6), False),
        (look(Box(110, 110, 250, 175), 0.9, "7ABC123", 0.99), look(PLATE, 0.6, one_line=False), False),
        (look(Box(110, 145, 250, 178), 0.9, "7ABC123", 0.99), look(PLATE, 0.6, one_line=False), False),
        (look(Box(300, 110, 380, 170), 0.9, "345", 0.99), look(PLATE, 0.6, "7ABC123"), False),
    ],
    ids=[
        "text within",
        "less sure",
        "of an unread one",
        "line of two",
        "in a false box",
        "nearly all",
        "with its frame in a false box",
        "beside",
    ],
)
def test_ocr_result_decides_between_overlapping_boxes(part, whole, dropped):
    assert parts_of_others([part, whole]) == (frozenset({0}) if dropped else frozenset())
    assert parts_of_others([whole, part]) == (frozenset({1}) if dropped else frozenset())


def test_two_lines_of_one_plate_are_found_and_two_plates_are_not():
    upper, lower = Box(100, 100, 220, 140), Box(95, 145, 225, 190)
    assert stacked_pairs([look(upper, 0.9, "A12"), look(lower, 0.8, "345B")]) == [(0, 1)]
    assert stacked_pairs([look(lower, 0.9, "345B"), look(upper, 0.8, "A12")]) == [(1, 0)]
    assert stacked_pairs([look(upper, 0.9, "A12"), look(Box(95, 245, 225, 290), 0.8, "345B")]) == []
    assert stacked_pairs([look(upper, 0.9, "A12"), look(Box(230, 145, 360, 190), 0.8, "345B")]) == []
    # A whole plate above a dealer's name stays what it is.
    assert stacked_pairs([look(upper, 0.9, "7ABC123"), look(lower, 0.8)]) == []


def test_a_text_within_another_is_a_part_of_it_though_the_boxes_overlap_by_a_third():
    """At any confidence; two plates cannot overlap so, and texts of others are left alone."""
    whole = look(Box(164, 82, 237, 122), 0.6, "6KYN051", confidence=0.9)
    part = look(Box(133, 59, 206, 118), 0.9, "6KYN", confidence=0.96)
    other = look(Box(133, 59, 206, 118), 0.9, "7ABC", confidence=0.96)
    far = look(Box(10, 82, 83, 122), 0.9, "6KYN", confidence=0.96)
    assert parts_of_others([whole, part]) == {1}
    assert parts_of_others([part, whole]) == {0}
    assert parts_of_others([whole, other]) == set()
    assert parts_of_others([whole, far]) == set()
