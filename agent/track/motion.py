"""How a vehicle moved relative to the unit, from the boxes of its plate and the speed of the unit.

The square root of a plate's area is nearly the same for all designs, 0.22 m (305 x 152 mm: 0.216, 520 x 110 mm: 0.239).
A box therefore gives the position of the plate in metres: across the line of sight directly, along it times the focal
length.  The speed of the position, fitted to all boxes, is compared with the speed of the unit: a parked vehicle passes
exactly as fast as the unit drives, whatever the direction of the camera.

The focal length need not be known.  Its probability starts broad and is updated by every track (Bayes' rule on a grid),
because for most vehicles, such as parked ones, only the right one explains the speed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from protocol.wire.enums import MotionKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from agent.records import PathPoint

    Floats = NDArray[np.float64]

_NS_PER_S = 1_000_000_000
_PLATE_M = 0.22
_MIN_SPAN_S = 0.15
_MIN_POINTS = 2
_MAX_MPS = 150.0
_NEAR_MPS = 1.0
"""Up to this speed a unit stands, and a vehicle keeps its distance."""
_FORWARD = {"front": (0.0, 1.0), "rear": (0.0, -1.0), "left": (1.0, 0.0), "right": (-1.0, 0.0)}
"""The unit's direction of travel in the picture: to the right, away from the camera."""


_CERTAIN = frozenset({MotionKind.APPROACHING, MotionKind.RECEDING})
"""Can be told without the unit's speed: a plate ahead that becomes smaller is that of a vehicle that drives away."""


@dataclass(frozen=True, slots=True)
class Motion:
    """How a vehicle moved relative to the unit."""

    kind: MotionKind = MotionKind.UNKNOWN
    confidence: float = 0.0
    """Probability of ``kind``, 0..1; 0 for an unknown motion."""


UNKNOWN_MOTION = Motion()


@dataclass(frozen=True, slots=True)
class MotionConfig:
    """Errors and prior probabilities."""

    min_confidence: float = 0.5
    """Below it the motion is unknown."""
    size_error: float = 0.06
    """One-sigma error of a box's size in one frame, as a share."""
    edge_error_px: float = 1.0
    """The same of its position."""
    scale_error: float = 0.1
    """Error that all boxes of a track share: size of the plate, angle, margin of the detector."""
    turn_error_rad_s: float = 0.03
    """Turning of the unit, by which all plates move across the picture."""
    speed_error_mps: float = 0.5
    """Error of the unit's speed and of the assumption that it is constant."""
    parked: float = 0.5
    against: float = 0.25
    along: float = 0.25
    """Prior shares of vehicles that are parked, drive against the unit's direction, and along it."""
    focal_widths: float = 1.1
    """Median of the focal length before the first track, in widths of the picture: 49 degrees."""
    focal_spread: float = 0.5
    """Standard deviation of its logarithm: 95 % of cameras between 20 and 100 degrees."""
    learning: float = 0.5
    """Weight of a track's evidence about the focal length; below 1, as the errors of tracks are not independent."""


@dataclass(frozen=True, slots=True)
class _Course:
    """Fitted speed of a plate relative to the camera."""

    across_mps: float
    down_mps: float
    away_per_s: float
    """Metres per second and unit of the focal length."""
    across_error_mps: float
    down_error_mps: float
    away_error_per_s: float
    distance_per_focal: float
    """Mean distance, metres per unit of the focal length."""
    nearing: bool
    """True if the distance decreased: the boxes grew."""


class MotionEstimator:
    """The motion of the vehicles that one camera sees; one per camera, used by one thread."""

    def __init__(self, role: str, config: MotionConfig | None = None, *, hfov_deg: float | None = None) -> None:
        """``role`` is the camera's direction, ``hfov_deg`` its horizontal field of view, if it is known."""
        self._role = role if role in _FORWARD else "front"
        self._config = config or MotionConfig()
        self._focals = np.geomspace(0.35, 4.5, 48)
        known = None if hfov_deg is None else 0.5 / math.tan(math.radians(hfov_deg) / 2)
        median, spread = (self._config.focal_widths, self._config.focal_spread) if known is None else (known, 0.05)
        self._prior = _normal((np.log(self._focals) - math.log(median)) / spread)
        self._prior /= self._prior.sum()
        self._belief = self._prior.copy()

    @property
    def focal_widths(self) -> float:
        """The focal length as estimated by now, in widths of the picture."""
        return float(math.exp(np.dot(self._belief, np.log(self._focals))))

    def estimate(self, path: Sequence[PathPoint], frame_px: tuple[int, int], speed_mps: float | None) -> Motion:
        """Return the motion of a track; ``frame_px`` is width and height, ``speed_mps`` that of the unit if known."""
        course = _fit(path, frame_px, self._config)
        if course is None:
            return UNKNOWN_MOTION
        if speed_mps is not None and not math.isfinite(speed_mps):
            speed_mps = None
        chances: dict[MotionKind, Floats] = {}
        for weight, unit_mps in _unit_speeds(speed_mps):
            for kind, chance in self._chances(course, unit_mps).items():
                chances[kind] = chances.get(kind, np.zeros_like(self._focals)) + weight * chance
        joint = {kind: self._belief * chance for kind, chance in chances.items()}
        total = float(sum(part.sum() for part in joint.values()))
        if not total > 0.0:
            return UNKNOWN_MOTION
        kind = max(joint, key=lambda one: float(joint[one].sum()))
        confidence = float(joint[kind].sum()) / total
        if speed_mps is None and kind not in _CERTAIN:
            return UNKNOWN_MOTION
        if speed_mps is not None and speed_mps > _NEAR_MPS:
            self._learn(np.sum(list(chances.values()), axis=0))
        return Motion(kind, confidence) if confidence >= self._config.min_confidence else UNKNOWN_MOTION

    def _learn(self, likelihood: Floats) -> None:
        belief = self._belief * (likelihood / likelihood.max() + 1e-6) ** self._config.learning
        # The rest of the prior lets it recover from a lens that was exchanged.
        self._belief = 0.99 * belief / belief.sum() + 0.01 * self._prior

    def _chances(self, course: _Course, unit_mps: float) -> dict[MotionKind, Floats]:
        """Likelihood times prior of each kind, for each focal length."""
        config = self._config
        gap_mps, error_mps = self._gap_speed(course)
        parked_error = np.hypot(error_mps, config.speed_error_mps)
        found = {
            MotionKind.PARKED: config.parked * _normal((gap_mps + unit_mps) / parked_error) / parked_error,
        }
        for share, low, high in ((config.against, -35.0, -2.0), (config.along, 2.0, 40.0)):
            speeds = np.arange(low, high + 0.5)
            for vehicle_mps in speeds:
                kind = self._kind(vehicle_mps, unit_mps, course)
                chance = (
                    share / len(speeds) * _normal((gap_mps - vehicle_mps + unit_mps) / parked_error) / parked_error
                )
                found[kind] = found.get(kind, np.zeros_like(chance)) + chance
        return found

    def _gap_speed(self, course: _Course) -> tuple[Floats, Floats]:
        """Speed of the vehicle less that of the unit, in the unit's direction, and its error; for each focal length."""
        config = self._config
        away, away_error = course.away_per_s * self._focals, course.away_error_per_s * self._focals
        turned = config.turn_error_rad_s * course.distance_per_focal * self._focals
        across_error = np.hypot(course.across_error_mps, turned)
        squared = course.across_mps**2 + course.down_mps**2 + away**2
        noise = across_error**2 + course.down_error_mps**2 + away_error**2
        # A length is biased by the errors of its components.
        length = np.sqrt(np.maximum(squared - noise, 0.0))
        across_ahead, away_ahead = _FORWARD[self._role]
        sign = np.where(across_ahead * course.across_mps + away_ahead * away < 0, -1.0, 1.0)
        along = (course.across_mps * across_error) ** 2 + (course.down_mps * course.down_error_mps) ** 2
        along = along + (away * away_error) ** 2
        error = np.sqrt(np.where(squared > noise, along / np.maximum(squared, 1e-9), noise))
        return sign * length, np.sqrt(error**2 + (config.scale_error * length) ** 2 + 0.1**2)

    def _kind(self, vehicle_mps: float, unit_mps: float, course: _Course) -> MotionKind:
        """The kind of a vehicle that drives with this speed in the unit's direction."""
        gap_mps = vehicle_mps - unit_mps
        nearer = {"front": gap_mps < 0, "rear": gap_mps > 0}.get(self._role, course.nearing)
        if unit_mps > _NEAR_MPS and vehicle_mps > 0:
            if abs(gap_mps) <= _NEAR_MPS:
                return MotionKind.FOLLOWING
            if nearer or self._role in {"left", "right"}:
                return MotionKind.OVERTAKING
        return MotionKind.APPROACHING if nearer else MotionKind.RECEDING


def _fit(path: Sequence[PathPoint], frame_px: tuple[int, int], config: MotionConfig) -> _Course | None:
    """Fit a constant speed; None for too few boxes or too short a time."""
    points = [point for point in path if point.box.area_px >= 1]
    if len(points) < _MIN_POINTS:
        return None
    t_s = np.array([(point.t_mono_ns - points[0].t_mono_ns) / _NS_PER_S for point in points])
    if t_s[-1] - t_s[0] < _MIN_SPAN_S:
        return None
    width_px, height_px = frame_px
    per_px = _PLATE_M / np.sqrt([point.box.area_px for point in points])
    right = per_px * np.array([(p.box.x0 + p.box.x1 - width_px) / 2 for p in points])
    down = per_px * np.array([(p.box.y0 + p.box.y1 - height_px) / 2 for p in points])
    away = per_px * width_px
    # Errors grow with the distance; they are taken from the fit, as those of the boxes would favour large boxes.
    smooth = away
    for _ in range(2):
        share = np.hypot(config.size_error, config.edge_error_px * smooth / width_px / _PLATE_M)
        slope, error = _slope(t_s, away, smooth * share)
        smooth = np.maximum(_line(t_s, away, smooth * share), away.min() / 2)
    step = config.edge_error_px * smooth / width_px
    across, across_error = _slope(t_s, right, np.hypot(np.abs(right) * share, step))
    sinking, sinking_error = _slope(t_s, down, np.hypot(np.abs(down) * share, step))
    return _Course(
        across_mps=across,
        down_mps=sinking,
        away_per_s=slope,
        across_error_mps=across_error,
        down_error_mps=sinking_error,
        away_error_per_s=error,
        distance_per_focal=float(smooth.mean()),
        nearing=slope < 0,
    )


def _slope(t_s: Floats, values: Floats, errors: Floats) -> tuple[float, float]:
    """Weighted linear regression: the slope and its standard error, larger if the values fit badly."""
    weights = errors**-2
    t_mean = np.average(t_s, weights=weights)
    spread = float(np.dot(weights, (t_s - t_mean) ** 2))
    slope = float(np.dot(weights, (t_s - t_mean) * values)) / spread
    misfit = values - np.average(values, weights=weights) - slope * (t_s - t_mean)
    excess = float(np.dot(weights, misfit**2)) / max(1, len(t_s) - 2)
    return slope, math.sqrt(max(1.0, excess) / spread)


def _line(t_s: Floats, values: Floats, errors: Floats) -> Floats:
    """The values of the regression line."""
    weights = errors**-2
    slope, _ = _slope(t_s, values, errors)
    line: Floats = np.average(values, weights=weights) + slope * (t_s - np.average(t_s, weights=weights))
    return line


def _unit_speeds(speed_mps: float | None) -> list[tuple[float, float]]:
    """Weights and speeds of the unit; all speeds if it is unknown."""
    if speed_mps is not None:
        return [(1.0, min(max(0.0, speed_mps), _MAX_MPS))]
    speeds = [0.0, *np.arange(3.0, 34.0, 3.0).tolist()]
    return [(1 / len(speeds), speed) for speed in speeds]


def _normal(deviations: Floats) -> Floats:
    """The normal density of standardised deviations, with tails that never vanish."""
    density: Floats = np.exp(-0.5 * np.square(deviations)) + 1e-4 / (1 + np.square(deviations))
    return density
