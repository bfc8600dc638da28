"""A flat picture laid into another one in perspective."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def perspective(rng: np.random.Generator, width: float, height: float) -> NDArray[np.float64]:
    """Corners of a plate seen at an angle, from the top left clockwise, its upper left near (0, 0)."""
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]])
    corners[:, 0] *= rng.uniform(0.7, 1.05)
    tilt = math.radians(rng.normal(0, 4))
    turn = np.array([[math.cos(tilt), -math.sin(tilt)], [math.sin(tilt), math.cos(tilt)]])
    shear = rng.normal(0, 0.08)
    corners = corners @ turn.T
    corners[:, 1] += shear * corners[:, 0]
    return corners + rng.normal(0, 0.02, corners.shape) * height


def lay(
    canvas: NDArray[np.uint8], plate: NDArray[np.uint8], corners: NDArray[np.float32], rng: np.random.Generator
) -> None:
    """Warp a plate onto its corners without aliasing, with a frame around it now and then."""
    if rng.random() < 0.35:
        middle = corners.mean(0)
        rim = middle + (corners - middle) * rng.uniform(1.04, 1.18)
        grey = int(rng.choice([12, 40, 190, 225]))
        cv2.fillPoly(canvas, [np.round(rim * 8).astype(np.int32)], (grey, grey, grey), cv2.LINE_AA, 3)
    width = float(np.linalg.norm(corners[1] - corners[0]))
    factor = min(1.0, max(0.05, 1.3 * width / plate.shape[1]))
    small = cv2.resize(plate, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    h, w = small.shape[:2]
    matrix = cv2.getPerspectiveTransform(np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32), corners)
    size = (canvas.shape[1], canvas.shape[0])
    laid = cv2.warpPerspective(small, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    mask = np.zeros(canvas.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.round(corners * 8).astype(np.int32)], 255, cv2.LINE_AA, 3)
    opacity = mask[..., np.newaxis].astype(np.float32) / 255
    canvas[:] = (canvas * (1 - opacity) + laid * opacity).astype(np.uint8)
