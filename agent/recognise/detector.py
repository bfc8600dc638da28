"""Frame -> detections, with the anchor-free plate detector.

The network sees the frame shrunk to its input, placed top-left on grey.  Per cell of ``stride`` pixels it gives a
score, the offset of the plate's centre in cells and the logarithm of its size (the centre-based design of
CenterNet, Zhou et al. 2019).  Boxes of neighbouring cells that agree with the best one are averaged, which halves
the error of a single cell at the usual plate sizes (weighted boxes fusion, Solovyev et al. 2021).
"""

from __future__ import annotations

from operator import mul
from typing import TYPE_CHECKING

import cv2
import numpy as np

from agent.errors import BundleError
from agent.recognise.interpreter import RuntimeKind
from agent.recognise.parts import CONTAINED
from agent.records import Box, Detection

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agent.recognise.bundle import Bundle, OutputContract

    ScoredBox = tuple[float, float, float, float, float]
    """Left, top, right, bottom and score."""

GREY = 114
_SIGN_BIT = np.uint8(0x80)
_MAX_SHRINK = 4
_MIN_AREA = 1e-6
_MIN_SHARE = 0.5
"""Minimum share of a box that is left after its oversize is subtracted."""
_MAX_CELLS = 400
"""Maximum number of cells decoded, best first: bounds the work on a frame full of false boxes."""


def shrink(
    rgb: NDArray[np.uint8], width_px: int, height_px: int, out: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """Resize bilinearly; from four times the size on, first halve by 2x2 means, or too many pixels would be ignored.

    Means all the way down cost twice the time and blur small plates: on 720p frames they find and read fewer.
    """
    while rgb.shape[1] >= _MAX_SHRINK * width_px and rgb.shape[0] >= _MAX_SHRINK * height_px:
        rgb = cv2.resize(rgb, (rgb.shape[1] // 2, rgb.shape[0] // 2), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    if rgb.shape[:2] == (height_px, width_px):
        return rgb
    return cv2.resize(rgb, (width_px, height_px), dst=out, interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]


class Detector:
    """Finds plates in frames of any size.  One per thread."""

    def __init__(self, bundle: Bundle, *, runtime: RuntimeKind = RuntimeKind.AUTO, threads: int = 1) -> None:
        if bundle.contract.detector is None:
            raise BundleError(f"{bundle.folder}: not a detector bundle")
        self._model = bundle.open(runtime=runtime, threads=threads)
        self._decoder = bundle.contract.detector
        score, offset, size = (bundle.contract.outputs[name] for name in ("score", "offset", "size"))
        self._order = (score.index, offset.index, size.index)
        _, self.height_px, self.width_px, _ = bundle.contract.input.shape
        self._canvas = np.empty((1, self.height_px, self.width_px, 3), np.uint8)
        self._filled_px = (0, 0)
        self._score = _table(score).tolist()
        self._is_plate = bytes(value > self._decoder.score_threshold for value in self._score)
        self._offset_px = ((_table(offset).astype(np.float64) + 0.5) * self._decoder.stride).tolist()
        full_px = np.exp(_table(size)) * self._decoder.size_base_px
        self._half_px = tuple(
            (np.maximum(full_px - np.float32(oversize_px), full_px * _MIN_SHARE) / 2).tolist()
            for oversize_px in self._decoder.oversize_px
        )

    def detect(self, rgb: NDArray[np.uint8]) -> list[Detection]:
        """Find the plates in an RGB picture (height x width x 3), best first, boxes clipped to the picture."""
        scale = self._letterbox(rgb)
        # value = pixel/255 quantised with scale 1/255 and zero point -128 is the pixel less 128.
        np.bitwise_xor(self._canvas, _SIGN_BIT, out=self._model.input_tensor().view(np.uint8))
        return self._decode(self._model.run(), scale, rgb.shape[1], rgb.shape[0])

    @property
    def small(self) -> NDArray[np.uint8]:
        """The latest picture, shrunk; the next one overwrites it."""
        width, height = self._filled_px
        return self._canvas[0, :height, :width]

    def scale(self, rgb: NDArray[np.uint8]) -> float:
        """Return the scale from a picture to the network's input."""
        height, width = rgb.shape[:2]
        return min(self.width_px / width, self.height_px / height)

    def _letterbox(self, rgb: NDArray[np.uint8]) -> float:
        """Shrink the picture into the canvas; returns the scale."""
        height, width = rgb.shape[:2]
        scale = self.scale(rgb)
        w = max(1, round(width * scale))
        h = max(1, round(height * scale))
        if self._filled_px != (w, h):
            # The grey border changes only with the picture's shape.
            self._canvas[0, h:] = GREY
            self._canvas[0, :, w:] = GREY
            self._filled_px = (w, h)
        part = self._canvas[0, :h, :w]
        # OpenCV writes whole rows straight into the canvas; a narrower picture is copied.
        small = shrink(rgb, w, h, part if part.flags.c_contiguous else None)
        if small is not part:
            part[:] = small
        return scale

    def _decode(self, raw: list[NDArray[np.int8]], scale: float, width_px: int, height_px: int) -> list[Detection]:
        # Bytes and floats: for the few cells of a plate numpy's calls take several times as long.
        scores, offsets, sizes = [raw[index].tobytes() for index in self._order]
        real = self._score
        cells = _positions(scores.translate(self._is_plate))
        best_first = sorted([(-real[scores[cell]], cell) for cell in cells])[:_MAX_CELLS]
        kept = fuse_boxes(
            self._boxes(best_first, offsets, sizes),
            nms_iou=self._decoder.nms_iou,
            merge_iou=self._decoder.merge_iou,
        )
        right, bottom = float(width_px), float(height_px)
        return [
            Detection(
                Box(max(0.0, x0 / scale), max(0.0, y0 / scale), min(right, x1 / scale), min(bottom, y1 / scale)),
                confidence,
            )
            for x0, y0, x1, y1, confidence in kept
        ]

    def _boxes(self, best_first: list[tuple[float, int]], offsets: bytes, sizes: bytes) -> list[ScoredBox]:
        """The boxes of cells, given with their negative scores, in pixels of the input."""
        stride = self._decoder.stride
        columns, offset_px, (half_widths, half_heights) = self.width_px // stride, self._offset_px, self._half_px
        boxes = []
        for negative, cell in best_first:
            row, column = divmod(cell, columns)
            at_x, at_y = 2 * cell, 2 * cell + 1
            x, y = column * stride + offset_px[offsets[at_x]], row * stride + offset_px[offsets[at_y]]
            width, height = half_widths[sizes[at_x]], half_heights[sizes[at_y]]
            boxes.append((x - width, y - height, x + width, y + height, -negative))
        return boxes


def _table(contract: OutputContract) -> NDArray[np.float32]:
    """The real value of each raw one, by its byte."""
    raw = np.arange(256, dtype=np.uint8).view(np.int8)
    return (raw.astype(np.float32) - contract.zero_point) * np.float32(contract.scale)


def _positions(marked: bytes) -> list[int]:
    """Where the ones are."""
    found = []
    at = marked.find(1)
    while at >= 0:
        found.append(at)
        at = marked.find(1, at + 1)
    return found


def fuse(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], *, nms_iou: float, merge_iou: float
) -> list[tuple[tuple[float, float, float, float], float]]:
    """As :func:`fuse_boxes`; ``boxes`` is n x 4 (x0, y0, x1, y1), ``scores`` n, best first."""
    scored = [(*box, score) for box, score in zip(boxes.tolist(), scores.tolist(), strict=True)]
    fused = fuse_boxes(scored, nms_iou=nms_iou, merge_iou=merge_iou)
    return [((x0, y0, x1, y1), score) for x0, y0, x1, y1, score in fused]


def fuse_boxes(boxes: list[ScoredBox], *, nms_iou: float, merge_iou: float) -> list[ScoredBox]:
    """Greedy suppression of what overlaps a better box, or lies inside it; ``boxes`` best first.

    Each survivor is the score-weighted mean of the boxes that agree with it, with its own score.
    """
    out = []
    while boxes:
        agreeing, boxes = _split(boxes, nms_iou=nms_iou, merge_iou=merge_iou)
        out.append(_mean(agreeing))
    return out


def _split(boxes: list[ScoredBox], *, nms_iou: float, merge_iou: float) -> tuple[list[ScoredBox], list[ScoredBox]]:
    """The first box with those that agree with it, and those that neither overlap it nor lie inside it."""
    best_x0, best_y0, best_x1, best_y1, _ = boxes[0]
    best_area = (best_x1 - best_x0) * (best_y1 - best_y0)
    agreeing, others = boxes[:1], []
    for box in boxes[1:]:
        x0, y0, x1, y1, _ = box
        if x0 >= best_x1 or x1 <= best_x0 or y0 >= best_y1 or y1 <= best_y0:
            others.append(box)
            continue
        area = (x1 - x0) * (y1 - y0)
        shared = (min(x1, best_x1) - max(x0, best_x0)) * (min(y1, best_y1) - max(y0, best_y0))
        overlap = shared / max(area + best_area - shared, _MIN_AREA)
        if overlap > merge_iou:
            agreeing.append(box)
        # Boxes contained in a better one are parts of its plate; their IoU with it may be small.
        if overlap <= nms_iou and not (shared >= CONTAINED * area and area < best_area):
            others.append(box)
    return agreeing, others


def _mean(agreeing: list[ScoredBox]) -> ScoredBox:
    """The mean of the boxes, weighted by their scores, with the score of the first."""
    if len(agreeing) == 1:
        return agreeing[0]
    *sides, scores = zip(*agreeing, strict=True)
    total = sum(scores)
    x0, y0, x1, y1 = [sum(map(mul, side, scores)) / total for side in sides]
    return x0, y0, x1, y1, scores[0]
