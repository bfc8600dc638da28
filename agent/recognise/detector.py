"""Frame -> detections, with the anchor-free plate detector.

The network sees the frame shrunk to its input, placed top-left on grey.  Per cell of ``stride`` pixels it gives a
score, the offset of the plate's centre in cells and the logarithm of its size (the centre-based design of
CenterNet, Zhou et al. 2019).  Boxes of neighbouring cells that agree with the best one are averaged, which halves
the error of a single cell at the usual plate sizes (weighted boxes fusion, Solovyev et al. 2021).
"""

from __future__ import annotations

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

GREY = 114
_SIGN_BIT = 0x80
_MAX_SHRINK = 4
_MIN_AREA = np.float32(1e-6)
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
        self._outputs = bundle.contract.outputs
        _, self.height_px, self.width_px, _ = bundle.contract.input.shape
        self._canvas = np.empty((1, self.height_px, self.width_px, 3), np.uint8)
        self._tensor = np.empty(self._canvas.shape, np.int8)
        self._filled_px = (0, 0)
        score = self._outputs["score"]
        self._oversize_px = np.array(self._decoder.oversize_px, np.float32)
        self._raw_threshold = self._decoder.score_threshold / score.scale + score.zero_point

    def detect(self, rgb: NDArray[np.uint8]) -> list[Detection]:
        """Find the plates in an RGB picture (height x width x 3), best first, boxes clipped to the picture."""
        tensor, scale = self._letterbox(rgb)
        raw = self._model.invoke(tensor)
        return self._decode(raw, scale, rgb.shape[1], rgb.shape[0])

    def scale(self, rgb: NDArray[np.uint8]) -> float:
        """Return the scale from a picture to the network's input."""
        height, width = rgb.shape[:2]
        return min(self.width_px / width, self.height_px / height)

    def _letterbox(self, rgb: NDArray[np.uint8]) -> tuple[NDArray[np.int8], float]:
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
        # value = pixel/255 quantised with scale 1/255 and zero point -128 is the pixel less 128.
        np.bitwise_xor(self._canvas, _SIGN_BIT, out=self._tensor.view(np.uint8))
        return self._tensor, scale

    def _decode(self, raw: list[NDArray[np.int8]], scale: float, width_px: int, height_px: int) -> list[Detection]:
        score_out = self._outputs["score"]
        scores_raw = raw[score_out.index][0, :, :, 0]
        rows, cols = np.nonzero(scores_raw > self._raw_threshold)
        if not len(rows):
            return []
        scores = _real(scores_raw[rows, cols], score_out)
        order = np.argsort(-scores, kind="stable")[:_MAX_CELLS]
        rows, cols, scores = rows[order], cols[order], scores[order]
        offset = _real(raw[self._outputs["offset"].index][0, rows, cols], self._outputs["offset"])
        size = _real(raw[self._outputs["size"].index][0, rows, cols], self._outputs["size"])
        cells = np.stack([cols, rows], axis=1)
        centre = (cells + 0.5 + offset) * self._decoder.stride
        full = np.exp(size) * self._decoder.size_base_px
        half = np.maximum(full - self._oversize_px, full * _MIN_SHARE) / 2
        boxes = np.concatenate([centre - half, centre + half], axis=1) / scale
        kept = fuse(boxes, scores, nms_iou=self._decoder.nms_iou, merge_iou=self._decoder.merge_iou)
        return [
            Detection(
                Box(max(0.0, x0), max(0.0, y0), min(float(width_px), x1), min(float(height_px), y1)), confidence
            )
            for (x0, y0, x1, y1), confidence in kept
        ]


def _real(values: NDArray[np.int8], contract: OutputContract) -> NDArray[np.float32]:
    return (values.astype(np.float32) - contract.zero_point) * np.float32(contract.scale)


def fuse(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], *, nms_iou: float, merge_iou: float
) -> list[tuple[tuple[float, float, float, float], float]]:
    """Greedy suppression of what overlaps a better box, or lies inside it.

    Each survivor is the score-weighted mean of the boxes that agree with it.  ``boxes`` is n x 4 (x0, y0, x1, y1),
    ``scores`` n, best first.
    """
    x0, y0, x1, y1 = boxes.T
    areas = (x1 - x0) * (y1 - y0)
    out = []
    alive = np.ones(len(boxes), bool)
    for best in range(len(boxes)):
        if not alive[best]:
            continue
        width = np.maximum(np.minimum(x1, x1[best]) - np.maximum(x0, x0[best]), 0)
        height = np.maximum(np.minimum(y1, y1[best]) - np.maximum(y0, y0[best]), 0)
        shared = width * height
        overlap = shared / np.maximum(areas + areas[best] - shared, _MIN_AREA)
        merged = alive & (overlap > merge_iou)
        merged[best] = True
        weights = scores[merged]
        left, top, right, bottom = (weights @ boxes[merged] / weights.sum()).tolist()
        out.append(((left, top, right, bottom), float(scores[best])))
        # Boxes contained in a better one are parts of its plate; their IoU with it may be small.
        inside = (shared >= CONTAINED * areas) & (areas < areas[best])
        alive &= (overlap <= nms_iou) & ~inside
        alive[best] = False
    return out
