"""Reads photographs: single pictures, with time for more than one pass.

The detector downscales a picture to its input; a plate 70 pixels wide in a photograph of 4,000 becomes 7 pixels wide
and is not found.  Large photographs are therefore also processed in tiles, at the scale of a camera frame.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from agent.recognise import is_masked
from agent.recognise.detector import fuse_boxes
from agent.records import Box, Detection, PlateText

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from agent.recognise import Look, Recogniser
    from agent.recognise.ocr import OcrPrediction
    from hw.ports import Scene

_TILE_SCALE = 0.3
"""Scale of tiles, detector input pixels per pixel: that of a frame 1280 wide."""
_TILES_BELOW = 0.24
"""Photographs with a smaller scale are also processed in tiles."""
_OVERLAP_PX = 256
"""Overlap of neighbouring tiles: plates up to this width are complete in one of them."""
_NMS_IOU, _MERGE_IOU = 0.4, 0.9
_OVERHANG = (0.02, 0.02, 0.05, 0.05)
"""Left, right, top, bottom, relative to the plate's size: minimum distance of the corners predicted by OCR beyond the
edge of the picture for a plate that is cut off.  Complete plates have up to 0.00, cut-off ones 0.02 to 0.11."""
_TELLS_CORNERS_PX = 24.0
"""Width in detector input pixels below which the corners are too imprecise for that."""

_DAMAGE_HEIGHTS = 0.5
"""Distance from where a damaged picture ends, in heights of the box, below which a plate may be cut off there."""


class Refusal(StrEnum):
    """Why a detected plate has no text."""

    CUT = "cut"
    """Cut off by the edge of the picture; the rest would be read as a complete plate."""
    TWO_LINES = "two_lines"
    """More than one line, or not a plate."""
    UNSURE = "unsure"
    """The confidence is too low."""
    IGNORED = "ignored"
    """The text is configured as not a plate."""


@dataclass(frozen=True, slots=True)
class PhotoPlate:
    """One plate of a photograph."""

    box: Box
    plate: PlateText
    """The OCR result; to be reported only without a refusal."""
    refusal: Refusal | None


def read_photo(
    recogniser: Recogniser,
    rgb: NDArray[np.uint8],
    scene: Scene | None = None,
    part: tuple[int, int, int, int] | None = None,
) -> list[PhotoPlate]:
    """Detect and read all plates of a photograph, best first.

    ``part``: left, top, right and bottom of what there is of a damaged picture; plates are cut off there, too.
    """
    left, top, right, bottom = part or (0, 0, rgb.shape[1], rgb.shape[0])
    there = rgb if part is None else np.ascontiguousarray(rgb[top:bottom, left:right])
    share = recogniser.config.max_masked_share
    found = [
        d
        for d in find_in_photo(recogniser, there)
        if scene is None or not is_masked(_moved(d.box, left, top), rgb, scene, share)
    ]
    plates = [
        replace(plate, box=_moved(plate.box, left, top)) for plate in _read_found(recogniser, there, found, scene)
    ]
    if part is None:
        return plates
    return [replace(p, refusal=Refusal.CUT) if _is_beside_damage(p.box, part, rgb) else p for p in plates]


def _is_beside_damage(box: Box, part: tuple[int, int, int, int], rgb: NDArray[np.uint8]) -> bool:
    """Return whether the plate may go on where nothing was decoded: a box around its rest need not touch the edge."""
    left, top, right, bottom = part
    height_px, width_px = rgb.shape[:2]
    near_px = _DAMAGE_HEIGHTS * box.height_px
    return (
        (left > 0 and box.x0 - left < near_px)
        or (top > 0 and box.y0 - top < near_px)
        or (right < width_px and right - box.x1 < near_px)
        or (bottom < height_px and bottom - box.y1 < near_px)
    )


def _moved(box: Box, x: float, y: float) -> Box:
    return Box(box.x0 + x, box.y0 + y, box.x1 + x, box.y1 + y)


def _read_found(
    recogniser: Recogniser, rgb: NDArray[np.uint8], found: list[Detection], scene: Scene | None
) -> list[PhotoPlate]:
    predictions = [recogniser.ocr.read(rgb, d.box, single_image=True) for d in found]
    looks = [recogniser.look(d, p) for d, p in zip(found, predictions, strict=True)]
    parts = recogniser.parts(rgb, looks)
    plates = [
        PhotoPlate(look.box, look.plate, _refusal(recogniser, rgb, look, prediction, scene))
        for i, (look, prediction) in enumerate(zip(looks, predictions, strict=True))
        if i not in parts.left_out
    ]
    return plates + [PhotoPlate(box, PlateText((), 0.0), Refusal.TWO_LINES) for box in parts.two_lines]


def read_crop(recogniser: Recogniser, rgb: NDArray[np.uint8]) -> PhotoPlate:
    """Read a picture that is the crop of one plate."""
    box = Box(0.0, 0.0, float(rgb.shape[1]), float(rgb.shape[0]))
    prediction = recogniser.ocr.predict_crop(rgb)
    look = recogniser.look(Detection(box, 1.0), prediction)
    return PhotoPlate(box, look.plate, _unreadable(look))


def find_in_photo(recogniser: Recogniser, rgb: NDArray[np.uint8]) -> list[Detection]:
    """Detect plates in the whole picture and, if it is large, in tiles; best first."""
    detector = recogniser.detector
    whole = detector.detect(rgb)
    if detector.scale(rgb) >= _TILES_BELOW:
        return whole
    found = [*whole, *(d for x, y, tile in _tiles(recogniser, rgb) for d in _in_tile(recogniser, rgb, x, y, tile))]
    found.sort(key=lambda d: -d.confidence)
    boxes = [(d.box.x0, d.box.y0, d.box.x1, d.box.y1, d.confidence) for d in found]
    kept = fuse_boxes(boxes, nms_iou=_NMS_IOU, merge_iou=_MERGE_IOU)
    return [Detection(Box(*sides), confidence) for *sides, confidence in kept]


def _tiles(recogniser: Recogniser, rgb: NDArray[np.uint8]) -> Iterator[tuple[int, int, NDArray[np.uint8]]]:
    """Left, top and pixels of each tile."""
    height_px, width_px = rgb.shape[:2]
    tile_w, tile_h = (
        round(v / _TILE_SCALE) for v in (recogniser.detector.width_px, recogniser.detector.height_px)
    )
    for y in _starts(height_px, tile_h):
        for x in _starts(width_px, tile_w):
            yield x, y, np.ascontiguousarray(rgb[y : y + tile_h, x : x + tile_w])


def _starts(size_px: int, tile_px: int) -> list[int]:
    """Offsets of overlapping tiles that cover a side evenly."""
    if size_px <= tile_px:
        return [0]
    count = 1 + -(-(size_px - tile_px) // (tile_px - _OVERLAP_PX))
    return [round(i * (size_px - tile_px) / (count - 1)) for i in range(count)]


def _in_tile(
    recogniser: Recogniser, rgb: NDArray[np.uint8], x: int, y: int, tile: NDArray[np.uint8]
) -> Iterator[Detection]:
    """Detections of a tile, in pixels of the photograph, except those cut off by the tile."""
    edge_px = recogniser.config.edge_px / recogniser.detector.scale(tile)
    height_px, width_px = rgb.shape[:2]
    bottom, right = y + tile.shape[0], x + tile.shape[1]
    for found in recogniser.detector.detect(tile):
        box = Box(found.box.x0 + x, found.box.y0 + y, found.box.x1 + x, found.box.y1 + y)
        whole = (
            (x == 0 or box.x0 - x >= edge_px)
            and (y == 0 or box.y0 - y >= edge_px)
            and (right == width_px or right - box.x1 >= edge_px)
            and (bottom == height_px or bottom - box.y1 >= edge_px)
        )
        if whole:
            yield Detection(box, found.confidence)


def _refusal(
    recogniser: Recogniser, rgb: NDArray[np.uint8], look: Look, prediction: OcrPrediction, scene: Scene | None
) -> Refusal | None:
    if is_cut(recogniser, rgb, look.box, prediction.corners_px):
        return Refusal.CUT
    if scene is not None and scene.ignores(look.plate.text):
        return Refusal.IGNORED
    return _unreadable(look)


def _unreadable(look: Look) -> Refusal | None:
    if not look.one_line:
        return Refusal.TWO_LINES
    return None if look.is_worth_reporting else Refusal.UNSURE


def is_cut(
    recogniser: Recogniser, rgb: NDArray[np.uint8], box: Box, corners_px: NDArray[np.float32] | None
) -> bool:
    """Return whether the plate is cut off by the edge of the picture.

    Its box must touch the edge, and the corners predicted by OCR must lie beyond it: photographs are often cropped to
    their plate, and unlike in a video no other frame shows it completely.
    """
    height_px, width_px = rgb.shape[:2]
    scale = recogniser.detector.scale(rgb)
    at_edge = np.array([box.x0, width_px - box.x1, box.y0, height_px - box.y1]) * scale < recogniser.config.edge_px
    if not at_edge.any():
        return False
    if corners_px is None or box.width_px * scale < _TELLS_CORNERS_PX:
        return bool(at_edge[:2].any())
    (left, top), (right, bottom) = corners_px.min(axis=0), corners_px.max(axis=0)
    beyond = np.array([-left, right - width_px, -top, bottom - height_px])
    size_px = np.array([box.width_px, box.width_px, box.height_px, box.height_px])
    return bool((at_edge & (beyond >= np.array(_OVERHANG) * size_px)).any())
