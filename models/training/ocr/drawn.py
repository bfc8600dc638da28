"""Drawn plates seen from known angles, plates in two lines, boards that are none: what no photograph's labels tell."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from models.training.ocr.data import cut
from models.training.plates import PlateRenderer
from models.training.plates.boards import BoardPainter
from models.training.plates.signs import SignPainter
from models.training.plates.two_lines import two_line_plate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

YAWS_DEG = (0, 20, 40, 55)
_PLATES, _BOARDS = 200, 400
_WIDTH_PX = 64
"""Of a plate seen from straight ahead: turned away it covers fewer."""
_DISTANCE_WIDTHS = 12.0
"""From the camera to the plate, in widths of the plate: how strong the perspective is."""


def plates_by_yaw(fonts: Path, margins: tuple[float, float]) -> Iterator[tuple[int, NDArray[np.uint8], list[str]]]:
    """For each angle, degrees from straight ahead: crops uint8 [n, 64, 128, 3] of the same plates, and their texts."""
    renderer = PlateRenderer(fonts)
    rng = np.random.default_rng(17)
    plates = [renderer.render(rng) for _ in range(_PLATES)]
    for yaw in YAWS_DEG:
        crops = []
        for plate in plates:
            picture, box = turned(plate.rgb, plate.aspect, yaw)
            crops.append(cut(picture, box, *margins))
        yield yaw, np.stack(crops), [plate.text for plate in plates]


def turned(
    rgb: NDArray[np.uint8], aspect: float, yaw_deg: float
) -> tuple[NDArray[np.uint8], tuple[float, float, float, float]]:
    """A plate's picture turned about its upright axis on grey ground, and its tight upright box there."""
    yaw = math.radians(yaw_deg)
    half_w, half_h = _WIDTH_PX / 2, _WIDTH_PX / aspect / 2
    distance = _DISTANCE_WIDTHS * _WIDTH_PX
    corners = []
    for x, y in ((-half_w, -half_h), (half_w, -half_h), (half_w, half_h), (-half_w, half_h)):
        depth = distance + x * math.sin(yaw)
        corners.append((x * math.cos(yaw) * distance / depth, y * distance / depth))
    quad = np.array(corners, np.float32)
    middle = np.array([_WIDTH_PX, _WIDTH_PX], np.float32)
    quad += middle
    height, width = rgb.shape[:2]
    scale = _WIDTH_PX / width
    small = cv2.resize(rgb, None, fx=scale, fy=scale * (width / height) / aspect, interpolation=cv2.INTER_AREA)
    h, w = small.shape[:2]
    warp = cv2.getPerspectiveTransform(np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32), quad)
    size_px = (2 * _WIDTH_PX, 2 * _WIDTH_PX)
    picture = np.full((*size_px, 3), 96, np.uint8)
    cv2.warpPerspective(small, warp, size_px, dst=picture, borderMode=cv2.BORDER_TRANSPARENT)
    (x0, y0), (x1, y1) = quad.min(0), quad.max(0)
    return picture, (float(x0), float(y0), float(x1), float(y1))


def two_lines(fonts: Path, margins: tuple[float, float]) -> NDArray[np.uint8]:
    """Crops uint8 [n, 64, 128, 3] of plates in two lines."""
    renderer = PlateRenderer(fonts)
    rng = np.random.default_rng(19)
    crops = []
    for _ in range(_BOARDS):
        rgb = two_line_plate(renderer, rng)
        picture, box = turned(rgb, rgb.shape[1] / rgb.shape[0], float(rng.uniform(0, 30)))
        crops.append(cut(picture, box, *margins))
    return np.stack(crops)


def boards(fonts: Path, margins: tuple[float, float]) -> NDArray[np.uint8]:
    """Crops uint8 [n, 64, 128, 3] of boards with writing that are no plates."""
    painter = SignPainter(fonts)
    rng = np.random.default_rng(18)
    rgbs = [np.ascontiguousarray(painter.paint(rng, min_chars=9)[..., ::-1]) for _ in range(_BOARDS)]
    return _boards_seen(rgbs, rng, margins)


def held_out_boards(fonts: Path, margins: tuple[float, float]) -> NDArray[np.uint8]:
    """Crops of signs, lettering, overlays and displays in words and faces that no training board shows."""
    rng = np.random.default_rng(20)
    clouds = [rng.integers(0, 256, (4, 8, 3), dtype=np.uint8) for _ in range(40)]
    grounds = [cv2.resize(cloud, (128, 64), interpolation=cv2.INTER_CUBIC) for cloud in clouds]
    painter = BoardPainter(fonts, grounds, held_out=True)
    return _boards_seen([painter.paint(rng).rgb for _ in range(_BOARDS)], rng, margins)


def _boards_seen(
    rgbs: list[NDArray[np.uint8]], rng: np.random.Generator, margins: tuple[float, float]
) -> NDArray[np.uint8]:
    crops = []
    for rgb in rgbs:
        picture, box = turned(rgb, rgb.shape[1] / rgb.shape[0], float(rng.uniform(0, 30)))
        crops.append(cut(picture, box, *margins))
    return np.stack(crops)
