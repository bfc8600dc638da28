"""Drawn plates laid over labelled ones in photographs: the box is exact, what surrounds it is real.

People label plates with a rim around them, each set with another one.  A drawn plate alone has an exact box but no
vehicle around it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from models.training.detector.lay import lay, perspective

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_RIM = 1.12
"""What is erased is larger than the label by this factor: a label at times cuts the plate."""
_SIZE = (0.82, 1.02)
_STRETCH_SPREAD, _MAX_TALL = 0.12, 1.15
_MIN_WIDTH_PX = 5.0
_DARKEST, _PAPER = 0.25, 190.0


def replace_plates(
    image: NDArray[np.uint8],
    boxes: NDArray[np.float32],
    drawn: Sequence[NDArray[np.uint8]],
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A copy of a BGR picture in which every box [n, 4] holds a drawn plate, and the boxes of these."""
    image = np.ascontiguousarray(image).copy()
    return image, np.array([_replace(image, box, drawn, rng) for box in boxes], np.float32).reshape(-1, 4)


def _replace(
    image: NDArray[np.uint8],
    box: NDArray[np.float32],
    drawn: Sequence[NDArray[np.uint8]],
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    width, height = float(box[2] - box[0]), float(box[3] - box[1])
    if width < _MIN_WIDTH_PX:
        return box
    plate = drawn[rng.integers(len(drawn))]
    light = _light(image, box)
    _erase(image, box)
    aspect = plate.shape[1] / plate.shape[0] * math.exp(rng.normal(0, _STRETCH_SPREAD))
    new_width = width * rng.uniform(*_SIZE)
    new_width = min(new_width, height * _MAX_TALL * aspect)
    new_height = new_width / aspect
    corners = perspective(rng, new_width, new_height)
    low, high = corners.min(0), corners.max(0)
    middle = np.array([box[0] + box[2], box[1] + box[3]]) / 2 + rng.normal(0, 0.06, 2) * (width, height)
    corners += middle - (low + high) / 2
    table = np.clip(np.arange(256) * light, 0, 255).astype(np.uint8)
    lay(image, cv2.LUT(plate, table), corners.astype(np.float32), rng)
    return np.array([*corners.min(0), *corners.max(0)], np.float32)


def _light(image: NDArray[np.uint8], box: NDArray[np.float32]) -> float:
    """How bright paper is there, 1 for a white plate in good light."""
    inside = _inside(image, box)
    bright = (
        float(np.percentile(image[inside[1] : inside[3], inside[0] : inside[2]], 85)) if _area(inside) else 128.0
    )
    return max(_DARKEST, min(1.1, bright / _PAPER))


def _erase(image: NDArray[np.uint8], box: NDArray[np.float32]) -> None:
    """Fill with what is above and below, from one to the other."""
    middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * _RIM
    x0, y0, x1, y1 = _inside(image, np.concatenate([middle - half, middle + half]))
    if not _area((x0, y0, x1, y1)):
        return
    above = image[max(0, y0 - 1), x0:x1].astype(np.float32)
    below = image[min(image.shape[0] - 1, y1), x0:x1].astype(np.float32)
    share = np.linspace(0, 1, y1 - y0, dtype=np.float32)[:, np.newaxis, np.newaxis]
    image[y0:y1, x0:x1] = (above * (1 - share) + below * share).astype(np.uint8)


def _inside(image: NDArray[np.uint8], box: NDArray[np.float32]) -> tuple[int, int, int, int]:
    height, width = image.shape[:2]
    x0, y0 = max(0, math.floor(box[0])), max(0, math.floor(box[1]))
    return x0, y0, min(width, math.ceil(box[2])), min(height, math.ceil(box[3]))


def _area(box: tuple[int, int, int, int]) -> int:
    return max(0, box[2] - box[0]) * max(0, box[3] - box[1])
