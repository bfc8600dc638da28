"""Plate characters drawn with strokes: what embossing dies look like and no free font has.

A face is a seed: roundness, weight and the variants of 1, 3, 4, 6, 9, A, I, M and W follow from it, so 40 faces cover
North American dies (thin, round) as well as the blockier ones of Brazil and of DIN 1451.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FACES = tuple(f"stroke-{seed}" for seed in range(40))
PREFIX = "stroke-"
_TALL_PX = 96
_SHARP = 0
_CORNER_POINTS = 7

Point = tuple[float, ...]
Stroke = tuple[Point, ...]

_A_POINTED = (((0, 1), (0.5, 0, _SHARP), (1, 1)), ((0.17, 0.66), (0.83, 0.66)))
_A_ROUND = (((0, 1), (0, 0), (1, 0), (1, 1)), ((0, 0.58), (1, 0.58)))
_BOX: Stroke = ((0.5, 0), (1, 0), (1, 1), (0, 1), (0, 0), (0.5, 0))
_GLYPHS: dict[str, tuple[tuple[Stroke, ...], ...]] = {
    "0": ((_BOX,),),
    "O": ((_BOX,),),
    "1": (
        (((0.15, 0.22), (0.55, 0, _SHARP), (0.55, 1)),),
        (((0.15, 0.22), (0.55, 0, _SHARP), (0.55, 1)), ((0.15, 1), (0.95, 1))),
        (((0.5, 0), (0.5, 1)),),
    ),
    "2": ((((0, 0.22), (0, 0), (1, 0), (1, 0.46), (0, 1, _SHARP), (1, 1)),),),
    "3": (
        (((0, 0.2), (0, 0), (1, 0), (1, 0.48), (0.4, 0.48)), ((0.4, 0.48), (1, 0.48), (1, 1), (0, 1), (0, 0.8))),
        (((0, 0), (1, 0, _SHARP), (0.42, 0.41, _SHARP), (1, 0.41), (1, 1), (0, 1), (0, 0.8)),),
    ),
    "4": (
        (((0.76, 1), (0.76, 0, _SHARP), (0, 0.7, _SHARP), (1, 0.7)),),
        (((0.72, 1), (0.72, 0.35)), ((0.55, 0), (0, 0.7, _SHARP), (1, 0.7))),
    ),
    "5": ((((1, 0), (0.05, 0, _SHARP), (0, 0.42, _SHARP), (1, 0.4), (1, 1), (0, 1), (0, 0.8)),),),
    "6": (
        (((1, 0.2), (1, 0), (0, 0), (0, 1), (1, 1), (1, 0.44), (0, 0.44)),),
        (((0.75, 0), (0, 0.45), (0, 1), (1, 1), (1, 0.42), (0.1, 0.42)),),
    ),
    "7": ((((0, 0), (1, 0, _SHARP), (0.35, 1)),), (((0, 0), (1, 0, _SHARP), (0.5, 0.5), (0.4, 1)),)),
    "8": (
        (
            ((0.5, 0), (0.95, 0), (0.95, 0.47), (0.05, 0.47), (0.05, 0), (0.5, 0)),
            ((0.5, 0.47), (1, 0.47), (1, 1), (0, 1), (0, 0.47), (0.5, 0.47)),
        ),
    ),
    "9": (
        (((0, 0.8), (0, 1), (1, 1), (1, 0), (0, 0), (0, 0.56), (1, 0.56)),),
        (((0.25, 1), (1, 0.55), (1, 0), (0, 0), (0, 0.58), (0.9, 0.58)),),
    ),
    "A": (_A_POINTED, _A_ROUND),
    "B": (
        (
            ((0, 0.48), (0, 0, _SHARP), (0.92, 0), (0.92, 0.48), (0, 0.48)),
            ((0, 0.48), (1, 0.48), (1, 1), (0, 1, _SHARP), (0, 0.48)),
        ),
    ),
    "C": ((((1, 0.27), (1, 0), (0, 0), (0, 1), (1, 1), (1, 0.73)),),),
    "D": ((((0, 0.5), (0, 0, _SHARP), (1, 0), (1, 1), (0, 1, _SHARP), (0, 0.5)),),),
    "E": ((((1, 0), (0, 0, _SHARP), (0, 1, _SHARP), (1, 1)), ((0, 0.48), (0.85, 0.48))),),
    "F": ((((1, 0), (0, 0, _SHARP), (0, 1)), ((0, 0.48), (0.85, 0.48))),),
    "G": (
        (((1, 0.24), (1, 0), (0, 0), (0, 1), (1, 1), (1, 0.55, _SHARP), (0.5, 0.55)),),
        (((1, 0.24), (1, 0), (0, 0), (0, 1), (1, 1, _SHARP), (1, 0.55, _SHARP), (0.55, 0.55)),),
    ),
    "H": ((((0, 0), (0, 1)), ((1, 0), (1, 1)), ((0, 0.48), (1, 0.48))),),
    "I": ((((0.5, 0), (0.5, 1)),), (((0.5, 0), (0.5, 1)), ((0.1, 0), (0.9, 0)), ((0.1, 1), (0.9, 1)))),
    "J": ((((1, 0), (1, 1), (0, 1), (0, 0.7)),), (((0.3, 0), (0.95, 0, _SHARP), (0.95, 1), (0, 1), (0, 0.7)),)),
    "K": ((((0, 0), (0, 1)), ((1, 0), (0, 0.62)), ((0.34, 0.42), (1, 1))),),
    "L": ((((0, 0), (0, 1, _SHARP), (1, 1)),),),
    "M": (
        (((0, 1), (0, 0, _SHARP), (0.5, 0.6, _SHARP), (1, 0, _SHARP), (1, 1)),),
        (((0, 1), (0, 0, _SHARP), (0.5, 0.36, _SHARP), (1, 0, _SHARP), (1, 1)),),
        (((0, 1), (0.06, 0, _SHARP), (0.5, 0.98, _SHARP), (0.94, 0, _SHARP), (1, 1)),),
    ),
    "N": ((((0, 1), (0, 0, _SHARP), (1, 1, _SHARP), (1, 0)),),),
    "P": ((((0, 1), (0, 0, _SHARP), (1, 0), (1, 0.55), (0, 0.55)),),),
    "Q": ((_BOX, ((0.58, 0.72), (1.02, 1.04))),),
    "R": ((((0, 1), (0, 0, _SHARP), (1, 0), (1, 0.52), (0, 0.52)), ((0.45, 0.52), (1, 1))),),
    "S": ((((1, 0.22), (1, 0), (0, 0), (0, 0.46), (1, 0.52), (1, 1), (0, 1), (0, 0.78)),),),
    "T": ((((0, 0), (1, 0)), ((0.5, 0), (0.5, 1))),),
    "U": ((((0, 0), (0, 1), (1, 1), (1, 0)),),),
    "V": ((((0, 0), (0.5, 1, _SHARP), (1, 0)),),),
    "W": (
        (((0, 0), (0.2, 1, _SHARP), (0.5, 0.3, _SHARP), (0.8, 1, _SHARP), (1, 0)),),
        (((0, 0), (0, 1, _SHARP), (0.5, 0.42, _SHARP), (1, 1, _SHARP), (1, 0)),),
    ),
    "X": ((((0, 0), (1, 1)), ((1, 0), (0, 1))),),
    "Y": ((((0, 0), (0.5, 0.5, _SHARP), (1, 0)), ((0.5, 0.5), (0.5, 1))),),
    "Z": ((((0, 0), (1, 0, _SHARP), (0, 1, _SHARP), (1, 1)),),),
}


@dataclass(frozen=True, slots=True)
class _Style:
    """Shares of the character's height (`wide`, `weight`) or width (`roundness`); `variant` picks among shapes."""

    wide: float
    weight: float
    roundness: float
    variants: tuple[float, ...]


@cache
def _style(face: str) -> _Style:
    rng = np.random.default_rng((5, int(face.removeprefix(PREFIX))))
    return _Style(
        float(rng.uniform(0.44, 0.62)),
        float(rng.uniform(0.08, 0.15)),
        float(rng.uniform(0.12, 0.5)),
        tuple(float(v) for v in rng.random(len(_GLYPHS))),
    )


def stroke_glyph(face: str, char: str, weight_px: int = 0) -> NDArray[np.uint8]:
    """Mask of `char`, edge to edge, about 96 px tall; `weight_px` is added to its strokes.

    Raises KeyError for anything but A-Z and 0-9.
    """
    style = _style(face)
    shapes = _GLYPHS[char]
    share = style.variants[list(_GLYPHS).index(char)]
    shape = shapes[int(share * len(shapes))]
    thick = max(3, round(style.weight * _TALL_PX) + weight_px)
    wide, tall = round(style.wide * _TALL_PX * (1.2 if char in "MW" else 1.0)), _TALL_PX
    image = np.zeros((tall + 8, wide + 12), np.uint8)
    edge = thick / 2 + 1
    scale = np.array([wide - 2 * edge, tall - 2 * edge])
    for stroke in shape:
        points = _rounded(stroke, style.roundness, scale) + edge
        cv2.polylines(image, [np.round(points * 8).astype(np.int32)], False, 255, thick, cv2.LINE_AA, 3)
    x, y, w, h = cv2.boundingRect((image > 64).astype(np.uint8))
    return np.ascontiguousarray(image[y : y + h, x : x + w])


def _rounded(stroke: Stroke, roundness: float, scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """The stroke in pixels, its corners replaced by quadratic curves where they are not marked sharp."""
    points = [np.array(p[:2]) * scale for p in stroke]
    radius = roundness * scale[0]
    path = [points[0]]
    for before, (corner, point), after in zip(
        points, zip(points[1:-1], stroke[1:-1], strict=True), points[2:], strict=False
    ):
        if len(point) == 3:
            path.append(corner)
            continue
        start, end = (corner + _toward(corner, other, radius) for other in (before, after))
        shares = np.linspace(0, 1, _CORNER_POINTS)
        path.extend((1 - t) ** 2 * start + 2 * t * (1 - t) * corner + t * t * end for t in shares)
    return np.array([*path, points[-1]])


def _toward(corner: NDArray[np.float64], other: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    way = other - corner
    length = float(np.hypot(*way))
    return way * min(radius, length / 2) / max(length, 1e-6)
