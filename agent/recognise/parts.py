"""Detections that are only a part of another: stickers, dealers' names, parts of the text, one of two lines.

Their confidence can be as high as that of the plate, and their overlap (IoU) with it is small; they are recognised by
being contained in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.records import Box

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.records import PlateText

CONTAINED = 0.75
"""Minimum share of a box inside another to count as contained."""
_SAME_TEXT = 0.3
"""The same for two boxes with the same text, or with one text in the other."""
_HALF_HEIGHT = (0.3, 0.7)
"""Height of one of two lines, relative to the plate."""
_HALF_WIDTH = 0.5
_MAX_GAP, _MAX_OVERLAP = 0.5, 0.8
"""Between the boxes of two lines, relative to the smaller height."""
_MAX_HEIGHT_RATIO, _MAX_WIDTH_RATIO = 2.2, 2.5
"""Maximum ratios of two lines of one plate; the upper one is often shorter."""
_MAX_LINE_CHARS = 4


@dataclass(frozen=True, slots=True)
class Look:
    """One detection and its OCR result."""

    box: Box
    confidence: float
    """Confidence of the detector."""
    plate: PlateText
    one_line: bool
    is_worth_reporting: bool


@dataclass(frozen=True, slots=True)
class Parts:
    """Detections to drop, and the two-line plates among them."""

    left_out: frozenset[int]
    """Indices."""
    two_lines: tuple[Box, ...] = ()
    """The box around each pair of lines."""


def around(upper: Box, lower: Box) -> Box:
    """Return the box that contains both."""
    return Box(min(upper.x0, lower.x0), min(upper.y0, lower.y0), max(upper.x1, lower.x1), max(upper.y1, lower.y1))


def contained_share(inner: Box, outer: Box) -> float:
    """Share of ``inner`` that lies within ``outer``, 0..1."""
    width = min(inner.x1, outer.x1) - max(inner.x0, outer.x0)
    height = min(inner.y1, outer.y1) - max(inner.y0, outer.y0)
    return 0.0 if width <= 0 or height <= 0 or not inner.area_px else width * height / inner.area_px


def parts_of_others(looks: Sequence[Look]) -> frozenset[int]:
    """Return the indices of detections that are a part of another one."""
    return frozenset(
        i for i, look in enumerate(looks) if any(_is_part(look, other) for other in looks if other is not look)
    )


def _is_part(look: Look, of: Look) -> bool:
    text, whole = look.plate.text, of.plate.text
    if text and text in whole and contained_share(look.box, of.box) >= _SAME_TEXT:
        # Of a small plate in a large picture two boxes may overlap by a third only: 6KYN beside 6KYN051.
        return len(text) < len(whole) or look.plate.confidence < of.plate.confidence
    if look.box.area_px >= of.box.area_px or contained_share(look.box, of.box) < CONTAINED:
        return False
    if look.confidence <= of.confidence:
        return True
    if not of.one_line:
        return not _is_whole(look) and _is_line_of(look.box, of.box)
    surer = of.plate.confidence >= look.plate.confidence
    return of.is_worth_reporting and (surer or look.plate.text in of.plate.text)


def _is_line_of(line: Box, plate: Box) -> bool:
    low, high = _HALF_HEIGHT
    tall = plate.height_px * low <= line.height_px <= plate.height_px * high
    return tall and line.width_px >= plate.width_px * _HALF_WIDTH


def stacked_pairs(looks: Sequence[Look]) -> list[tuple[int, int]]:
    """Return pairs of indices (upper, lower) that may be two lines of one plate: similar and close."""
    lines = [(i, look.box) for i, look in enumerate(looks) if not _is_whole(look)]
    return [(i, j) for i, upper in lines for j, lower in lines if i != j and _may_be_one_plate(upper, lower)]


def _is_whole(look: Look) -> bool:
    """Texts too long for one of two lines, at any confidence: they count when tracks are fused."""
    return len(look.plate.chars) > _MAX_LINE_CHARS


def _may_be_one_plate(upper: Box, lower: Box) -> bool:
    heights = sorted((upper.height_px, lower.height_px))
    widths = sorted((upper.width_px, lower.width_px))
    if heights[1] > heights[0] * _MAX_HEIGHT_RATIO or widths[1] > widths[0] * _MAX_WIDTH_RATIO:
        return False
    shared_px = min(upper.x1, lower.x1) - max(upper.x0, lower.x0)
    gap_px = lower.y0 - upper.y1
    close = -_MAX_OVERLAP * heights[0] <= gap_px <= _MAX_GAP * heights[0]
    return close and upper.y0 < lower.y0 and upper.y1 < lower.y1 and shared_px >= _HALF_WIDTH * widths[0]
