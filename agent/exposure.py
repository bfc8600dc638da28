"""Exposure for moving plates: short enough to avoid motion blur, dark enough not to overexpose retro-reflective plates.

A plate is retro-reflective: under headlights or the illuminator it is many times brighter than the scene around it,
and a camera that exposes for the scene shows a white rectangle.  Here the plates in view determine
the exposure, and the scene only while there are none.  In the dark two exposures alternate, because the next plate may
need either.  Exposure changes in half stops; the shutter time is capped, gain does the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hw.config import MAX_GAIN, SHUTTER_CAP_US
from hw.ports import Exposure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agent.records import Detection
    from hw.ports import Frame

_HALF_STOP = 2**0.5
_EVERY_PX = 16
_PLATE_SHARE = 0.9
"""Quantile of the bright part of a plate: its background, or the characters on a dark one."""
_PLATE_LOW, _PLATE_HIGH, _PLATE_BURNT = 110.0, 225.0, 245.0
_SCENE_LOW, _SCENE_HIGH = 60.0, 150.0
_OWN_LIGHT = 1.25
"""A frame counts as taken at a step if its exposure is within this factor."""


@dataclass(frozen=True, slots=True)
class ExposureConfig:
    """Limits of the sensor and of the policy."""

    shortest_us: int = 60
    cap_us: int = SHUTTER_CAP_US
    """At 15 m/s across the picture a plate moves 15 mm in this time: about the width of a stroke."""
    max_gain: float = MAX_GAIN
    dark_gain: float = 4.0
    """Gain from which on two exposures alternate."""
    bracket_stops: float = 2.0
    settle_frames: int = 4
    """Frames until a new exposure takes effect, on the usual pipelines."""
    plate_frames: int = 60
    """Time for which the exposure for plates is kept after the last plate."""


def ladder(config: ExposureConfig) -> tuple[Exposure, ...]:
    """All exposures, darkest first, half a stop apart: shutter time rises to its cap, then gain."""
    rungs: list[Exposure] = []
    light = float(config.shortest_us)
    while light <= config.cap_us * config.max_gain * _OWN_LIGHT:
        shutter_us = min(config.cap_us, round(light))
        rungs.append(Exposure(shutter_us, round(min(config.max_gain, max(1.0, light / shutter_us)), 2)))
        light *= _HALF_STOP
    return tuple(rungs)


class ExposurePolicy:
    """Frames and their detections -> the next exposure to set.  One per camera; no clock."""

    def __init__(self, config: ExposureConfig | None = None) -> None:
        self._config = config or ExposureConfig()
        self._ladder = ladder(self._config)
        self._rung = len(self._ladder) // 2
        self._wait = 0
        self._since_plate = self._config.plate_frames
        self._low_turn = False

    @property
    def is_dark(self) -> bool:
        """True while two exposures alternate."""
        return self._ladder[self._rung].gain >= self._config.dark_gain

    def step(self, frame: Frame, detections: list[Detection]) -> Exposure:
        """Add a frame and its plates; return the exposure to set."""
        self._since_plate = 0 if detections else self._since_plate + 1
        self._wait -= 1
        if self._wait <= 0:
            move = self._move(frame, detections)
            if move:
                self._rung = min(max(0, self._rung + move), len(self._ladder) - 1)
            if move or self.is_dark:
                self._wait = self._config.settle_frames
                self._low_turn = self.is_dark and not self._low_turn
        return self._ladder[self._wanted()]

    def _wanted(self) -> int:
        lower = round(2 * self._config.bracket_stops) if self._low_turn else 0
        return max(0, self._rung - lower)

    def _move(self, frame: Frame, detections: list[Detection]) -> int:
        """Steps up or down, for a frame taken with the exposure that was set; 0 for any other."""
        wanted = self._ladder[self._wanted()]
        light, own = wanted.exposure_us * wanted.gain, frame.exposure_us * frame.gain
        if not light / _OWN_LIGHT <= own <= light * _OWN_LIGHT:
            return 0
        if detections:
            return _for_plates(max(_plate_level(frame, detection) for detection in detections))
        if self._low_turn or self._since_plate < self._config.plate_frames:
            return 0
        return _for_scene(float(frame.rgb[::_EVERY_PX, ::_EVERY_PX, 1].mean()))


def _for_plates(level: float) -> int:
    if level >= _PLATE_BURNT:
        return -2
    return -1 if level > _PLATE_HIGH else int(level < _PLATE_LOW)


def _for_scene(level: float) -> int:
    return -1 if level > _SCENE_HIGH else int(level < _SCENE_LOW)


def _plate_level(frame: Frame, detection: Detection) -> float:
    box = detection.box
    part = frame.rgb[int(box.y0) : int(box.y1) + 1, int(box.x0) : int(box.x1) + 1, 1]
    return quantile(part, _PLATE_SHARE) if part.size else 0.0


def quantile(levels: NDArray[np.uint8], share: float) -> float:
    """The level that this share of the pixels is below, interpolated linearly; counting takes a fifth of sorting."""
    reached = np.bincount(levels.reshape(-1), minlength=256).cumsum()
    rank = (levels.size - 1) * share
    whole = int(rank)
    lower, upper = np.searchsorted(reached, (whole, whole + 1), side="right").tolist()
    return float(lower + (min(upper, 255) - lower) * (rank - whole))
