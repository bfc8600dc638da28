"""Compares speed with movement: the additional error of a position that does not move as the reported speed says.

A receiver measures speed by Doppler shift and position by time of flight; they fail independently.  A frozen position
falls behind by ``v t``, and catches up in one jump; a position that jumps is off by the distance that the speed does
not explain.  Both are added to the error of the fixes until the two have agreed for a while.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.geotag.geodesy import Position
from protocol.wire.enums import FixQuality

if TYPE_CHECKING:
    from agent.records import Fix

_NS_PER_S = 1_000_000_000
_MAX_GAP_S = 10.0
"""In a longer gap course and speed may change too much for a comparison."""
_SHORT_GAP_S = 3.0
_SPEED_ERROR_MPS = 0.5
_ACCELERATION_MPS2 = 4.0
"""Difference from uniform acceleration; in a longer gap a vehicle may brake and accelerate again: twice this."""
_NOISE_M = 1.0
"""Noise between neighbouring fixes; far less than their common error."""
_CALM_S = 10.0
"""Time of agreement after which the additional error ends."""


class MovementCheck:
    """Checks the fixes of one receiver in order."""

    def __init__(self) -> None:
        self._last: Fix | None = None
        self._behind_m = 0.0
        self._leapt_m = 0.0
        self._calm_s = 0.0

    def doubt_m(self, fix: Fix) -> float:
        """Add the next fix; return its additional error in metres."""
        last, self._last = self._last, fix
        if last is None or fix.quality is FixQuality.NONE:
            return 0.0
        gap_s = (fix.t_mono_ns - last.t_mono_ns) / _NS_PER_S
        if gap_s > _MAX_GAP_S or last.speed_mps is None or fix.speed_mps is None:
            # Nothing can be compared: an additional error lasts as long as it would have.
            self._rest(gap_s)
            return self._behind_m + self._leapt_m
        moved_m = Position(last.lat_deg, last.lon_deg).distance_m(Position(fix.lat_deg, fix.lon_deg))
        # If the acceleration differs by A from uniform, the trapezoidal rule is off by A T^2 / 8.
        way_m = (last.speed_mps + fix.speed_mps) / 2 * gap_s
        bend_mps2 = _ACCELERATION_MPS2 if gap_s <= _SHORT_GAP_S else 2 * _ACCELERATION_MPS2
        free_m = _NOISE_M + _SPEED_ERROR_MPS * gap_s + bend_mps2 * gap_s * gap_s / 8
        self._take(way_m - moved_m, free_m, gap_s)
        return self._behind_m + self._leapt_m

    def _take(self, missing_m: float, free_m: float, gap_s: float) -> None:
        if abs(missing_m) <= free_m:
            self._rest(gap_s)
            return
        self._calm_s = 0.0
        if missing_m > 0:
            self._behind_m += missing_m
            return
        # Back at the right position: a jump forward by the missing distance is not an error.
        caught_up_m = min(self._behind_m, -missing_m)
        self._behind_m -= caught_up_m
        left_m = -missing_m - caught_up_m
        if left_m > free_m:
            self._leapt_m = max(self._leapt_m, left_m)

    def _rest(self, gap_s: float) -> None:
        self._calm_s += gap_s
        if self._calm_s >= _CALM_S:
            self._behind_m = self._leapt_m = 0.0
