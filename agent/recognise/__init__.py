"""Frame -> sightings: detect plates, read each crop.

``interpreter`` is the only importer of a TFLite runtime, ``bundle`` refuses models that do not match their
contract, ``detector`` and ``ocr`` turn tensors into records with numpy alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.recognise.bundle import Bundle, load_active, load_bundle
from agent.recognise.detector import Detector
from agent.recognise.interpreter import RuntimeKind
from agent.recognise.ocr import Ocr
from agent.records import Box, Detection, Sighting

if TYPE_CHECKING:
    from hw.ports import Frame

__all__ = [
    "Bundle",
    "Detection",
    "Ocr",
    "Recogniser",
    "RecogniserConfig",
    "RuntimeKind",
    "load_active",
    "load_bundle",
]


@dataclass(frozen=True, slots=True)
class RecogniserConfig:
    """How the recogniser looks at a frame; thresholds of the models live in their bundles."""

    runtime: RuntimeKind = RuntimeKind.AUTO
    detector_threads: int = 1
    min_plate_width_px: float = 24.0
    """Detections narrower than this are counted but not read: nobody could read them."""
    edge_px: float = 3.0
    """A box this near to the left or right edge holds part of a plate: another frame shows the whole."""
    max_plates: int = 12
    """Detections read per frame at most, best first: bounds the time of one frame."""


class Recogniser:
    """Both models behind two verbs.  One per thread; no clock: the runtime times the verbs."""

    def __init__(self, detector: Bundle, ocr: Bundle, config: RecogniserConfig | None = None) -> None:
        self.config = config or RecogniserConfig()
        runtime = self.config.runtime
        self.detector = Detector(detector, runtime=runtime, threads=self.config.detector_threads)
        self.ocr = Ocr(ocr, runtime=runtime)
        self.models = (detector.model_id, ocr.model_id)

    def detect(self, frame: Frame) -> list[Detection]:
        """Plates worth reading in the frame, best first: wide enough, and not cut off by the frame's edge."""
        found = self._find(frame)
        width_px = frame.rgb.shape[1]
        worth = [
            d
            for d in found
            if d.box.width_px >= self.config.min_plate_width_px
            and d.box.x0 >= self.config.edge_px
            and d.box.x1 <= width_px - self.config.edge_px
        ]
        return worth[: self.config.max_plates]

    def _find(self, frame: Frame) -> list[Detection]:
        """In the small picture of the same instant where the camera gives one; boxes are the large one's."""
        small = frame.lores
        if small is None or small.shape[0] < self.detector.height_px or small.shape[1] < self.detector.width_px:
            return self.detector.detect(frame.rgb)
        sx, sy = frame.rgb.shape[1] / small.shape[1], frame.rgb.shape[0] / small.shape[0]
        return [
            Detection(Box(d.box.x0 * sx, d.box.y0 * sy, d.box.x1 * sx, d.box.y1 * sy), d.confidence)
            for d in self.detector.detect(small)
        ]

    def read(self, frame: Frame, detections: list[Detection]) -> list[Sighting]:
        """Read each detection; those without a single character are left out."""
        sightings = []
        for detection in detections:
            look = self.ocr.read(frame.rgb, detection.box)
            if look.plate.chars:
                sightings.append(Sighting(frame, detection, look.plate, look.crop))
        return sightings
