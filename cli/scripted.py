"""A recogniser that returns the ground truth of a drive, so that later stages can be tested exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agent.records import Box, CharRead, Detection, PlateText, Sighting

if TYPE_CHECKING:
    from hw.drive_format import Drive, Truth
    from hw.ports import Frame

_SURE = 0.97
_MODEL = "scripted@00000000"


class ScriptedReader:
    """Returns the ground truth of each frame with fixed confidences.  One per thread."""

    models = (_MODEL,)

    def __init__(self, drive: Drive) -> None:
        self._drive = drive

    def detect(self, frame: Frame) -> list[Detection]:
        """See :class:`agent.pipeline.PlateRecognizer`."""
        return [Detection(_box(truth), _SURE) for truth in self._drive.truth_of(frame.seq)]

    def read(self, frame: Frame, detections: list[Detection]) -> list[Sighting]:
        """See :class:`agent.pipeline.PlateRecognizer`."""
        sightings = []
        for truth, detection in zip(self._drive.truth_of(frame.seq), detections, strict=True):
            chars = tuple(CharRead(symbol, _SURE) for symbol in truth.plate)
            plate = PlateText(chars, _SURE, truth.region, _SURE)
            box = detection.box
            crop = frame.rgb[int(box.y0) : int(box.y1) + 1, int(box.x0) : int(box.x1) + 1]
            sightings.append(Sighting(frame, detection, plate, np.ascontiguousarray(crop)))
        return sightings


def _box(truth: Truth) -> Box:
    return Box(truth.x0, truth.y0, truth.x1, truth.y1)
