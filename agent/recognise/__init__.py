"""Frame -> sightings: detect plates, read each crop.

``interpreter`` is the only importer of a TFLite runtime, ``bundle`` refuses models that do not match their
contract, ``detector`` and ``ocr`` turn tensors into records with numpy alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from agent.recognise.bundle import Bundle, load_active, load_bundle
from agent.recognise.detector import Detector
from agent.recognise.interpreter import RuntimeKind
from agent.recognise.ocr import Ocr
from agent.recognise.orientation import OrientationVote
from agent.recognise.parts import Look, Parts, around, parts_of_others, stacked_pairs
from agent.records import Box, Detection, Sighting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from agent.recognise.ocr import OcrPrediction
    from hw.ports import Frame, Scene

__all__ = [
    "Bundle",
    "Detection",
    "Look",
    "Ocr",
    "Recogniser",
    "RecogniserConfig",
    "RuntimeKind",
    "is_masked",
    "load_active",
    "load_bundle",
]


@dataclass(frozen=True, slots=True)
class RecogniserConfig:
    """Settings of the recogniser; thresholds of the models are in their bundles."""

    runtime: RuntimeKind = RuntimeKind.AUTO
    detector_threads: int = 1
    min_plate_width_px: float = 24.0
    """Detections narrower than this are counted but not read: they are illegible."""
    edge_px: float = 2.5
    """Boxes this close to an edge, in pixels of the detector's input, may contain only a part of a plate and are
    dropped: other frames show it completely."""
    max_masked_share: float = 0.05
    """Boxes with a larger masked share are dropped: the rest of a plate would be read as a complete one."""
    max_plates: int = 12
    """Maximum number of detections read per frame, best first: bounds the time of one frame."""


class Recogniser:
    """Both models, behind ``detect`` and ``read``.  One per thread; no clock: the runtime measures the times."""

    def __init__(self, detector: Bundle, ocr: Bundle, config: RecogniserConfig | None = None) -> None:
        self.config = config or RecogniserConfig()
        runtime = self.config.runtime
        self.detector = Detector(detector, runtime=runtime, threads=self.config.detector_threads)
        self.ocr = Ocr(ocr, runtime=runtime)
        self.models = (detector.model_id, ocr.model_id)
        self.orientation = OrientationVote()

    @property
    def upside_down(self) -> bool:
        """True if OCR is more confident with the latest plates turned upside down."""
        return self.orientation.upside_down

    @property
    def small(self) -> NDArray[np.uint8]:
        """The picture that was searched last, as small as the detector's input."""
        return self.detector.small

    def detect(self, frame: Frame) -> list[Detection]:
        """Plates to read in the frame, best first: wide enough, not masked, not at the edge."""
        found = self._find(frame)
        height_px, width_px = frame.rgb.shape[:2]
        source = frame.rgb if frame.lores is None else frame.lores
        edge_px = self.config.edge_px / self.detector.scale(source) * width_px / source.shape[1]
        worth = [
            d
            for d in found
            if d.box.width_px >= self.config.min_plate_width_px
            and min(d.box.x0, d.box.y0, width_px - d.box.x1, height_px - d.box.y1) >= edge_px
            and not self._is_masked(d.box, frame)
        ]
        return worth[: self.config.max_plates]

    def _is_masked(self, box: Box, frame: Frame) -> bool:
        return frame.scene is not None and is_masked(box, frame.rgb, frame.scene, self.config.max_masked_share)

    def _find(self, frame: Frame) -> list[Detection]:
        """Detect in the small picture of the same instant, if there is one; boxes are in pixels of the large one."""
        small = frame.lores
        if small is None or small.shape[0] < self.detector.height_px or small.shape[1] < self.detector.width_px:
            return self.detector.detect(frame.rgb)
        sx, sy = frame.rgb.shape[1] / small.shape[1], frame.rgb.shape[0] / small.shape[0]
        return [
            Detection(Box(d.box.x0 * sx, d.box.y0 * sy, d.box.x1 * sx, d.box.y1 * sy), d.confidence)
            for d in self.detector.detect(small)
        ]

    def read(self, frame: Frame, detections: list[Detection]) -> list[Sighting]:
        """Read each detection; those without a text and those that are a part of another are dropped."""
        predictions = [self.ocr.read(frame.rgb, detection.box) for detection in detections]
        left_out: frozenset[int] = frozenset()
        if len(detections) > 1:
            looks = [self.look(d, p) for d, p in zip(detections, predictions, strict=True)]
            left_out = self.parts(frame.rgb, looks).left_out
        for i, prediction in enumerate(predictions):
            if prediction.plate.chars and i not in left_out and self.orientation.wants_one():
                turned = self.ocr.read_crop(np.ascontiguousarray(prediction.crop[::-1, ::-1]))
                self.orientation.add(prediction.plate, turned)
        return [
            Sighting(frame, detection, prediction.plate, prediction.crop)
            for i, (detection, prediction) in enumerate(zip(detections, predictions, strict=True))
            if prediction.plate.chars and i not in left_out
        ]

    def look(self, detection: Detection, prediction: OcrPrediction) -> Look:
        """Combine a detection with its OCR result."""
        plate = prediction.plate
        worth = self.ocr.is_worth_reporting(plate)
        return Look(detection.box, detection.confidence, plate, prediction.one_line, worth)

    def parts(self, rgb: NDArray[np.uint8], looks: Sequence[Look]) -> Parts:
        """Find detections that are only a part of a plate: contained in another, or one of two lines."""
        left_out = set(parts_of_others(looks))
        two_lines = []
        for pair in stacked_pairs(looks):
            both = [looks[index] for index in pair]
            box = around(both[0].box, both[1].box)
            if not left_out.isdisjoint(pair):
                continue
            # OCR decides whether two detections, one above the other, are one plate.
            if not (both[0].one_line and both[1].one_line and self.ocr.read(rgb, box).one_line):
                left_out.update(pair)
                two_lines.append(box)
        return Parts(frozenset(left_out), tuple(two_lines))


def is_masked(box: Box, rgb: NDArray[np.uint8], scene: Scene, max_share: float) -> bool:
    """Return whether more than a share of a box is masked; the box in pixels of ``rgb``."""
    height_px, width_px = rgb.shape[:2]
    shares = (box.x0 / width_px, box.y0 / height_px, box.x1 / width_px, box.y1 / height_px)
    return scene.masked_share(*shares) > max_share
