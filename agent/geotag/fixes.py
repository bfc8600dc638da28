"""Position of the vehicle at an instant: interpolated between fixes, extrapolated briefly, then stale, then unknown.

Error model (one sigma; ``docs/geotag-and-time.md`` derives it).  With ``e`` the error of a fix, ``v`` its speed:

* interpolated, share ``u`` of a gap of ``T`` seconds between fixes a and b:
  ``(1-u) e_a + u e_b + u (1-u) T (|v_b - v_a| + a_unseen T) / 2``, where the velocities are vectors when both
  courses are known; a straight line misses uniformly accelerated motion by exactly ``u (1-u) T |v_b - v_a| / 2``.
  Never more than the distance a vehicle can cover from the nearer fix.
  An unknown speed is bounded by ``a_max T`` in place of ``|v_b - v_a|``: both ends are known.
* extrapolated by ``t`` seconds: ``e + speed_error t + a_max t^2 / 2``; without a course the position stays and
  ``v t`` is added; without a speed ``v_most t`` is.
* stale: ``e + v_max t``: the position is that of the nearest fix; the movement since is unknown.
* a fixed site: the error of its configuration, at any instant.

Before that, ``e`` grows by what speed and movement of the fixes disagree: :mod:`agent.geotag.movement`.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agent.geotag.geodesy import Position
from agent.geotag.movement import MovementCheck
from agent.records import Fix, Geotag
from protocol.wire.enums import FixQuality, GeotagMethod

if TYPE_CHECKING:
    from collections.abc import Sequence

_NS_PER_S = 1_000_000_000
_NS_PER_MS = 1_000_000
_WORST_FIRST = (
    FixQuality.NONE,
    FixQuality.ESTIMATED,
    FixQuality.GNSS,
    FixQuality.DGNSS,
    FixQuality.RTK,
)


@dataclass(frozen=True, slots=True)
class FixRingConfig:
    """Limits and error parameters of positions."""

    capacity: int = 600
    max_age_s: float = 600.0
    """Time difference beyond which a fix is not used: the method is ``none``."""
    extrapolate_s: float = 5.0
    """Time difference beyond which a position is no longer extrapolated: the method is ``stale``."""
    acceleration_max_mps2: float = 4.0
    """Maximum acceleration: hard braking or a sharp turn."""
    acceleration_unseen_mps2: float = 1.0
    """Change of speed within a gap that is not visible in the fixes at its ends."""
    speed_error_mps: float = 0.5
    speed_max_mps: float = 60.0


class FixRing:
    """The latest fixes of one receiver.  Memory is bounded by ``capacity``."""

    def __init__(self, config: FixRingConfig | None = None) -> None:
        self._config = config or FixRingConfig()
        if self._config.capacity < 2:  # noqa: PLR2004 - between two fixes
            raise ValueError(f"capacity is {self._config.capacity}, must be at least 2 to interpolate")
        self._fixes: deque[Fix] = deque(maxlen=self._config.capacity)
        self._movement = MovementCheck()

    @property
    def last(self) -> Fix | None:
        """The newest fix."""
        return self._fixes[-1] if self._fixes else None

    def add(self, fix: Fix) -> None:
        """Add the next fix.  Raises ValueError if it is not later than the last one."""
        if self._fixes and fix.t_mono_ns <= self._fixes[-1].t_mono_ns:
            raise ValueError("fixes must be added in the order of the monotonic clock")
        doubt_m = self._movement.doubt_m(fix)
        course_deg = None if self._movement.is_course_wrong else fix.course_deg
        self._fixes.append(replace(fix, error_m=fix.error_m + doubt_m, course_deg=course_deg))

    def locate(self, t_mono_ns: int) -> Geotag:
        """Return the geotag of an instant, possibly with method ``none``."""
        if self._fixes and self._fixes[-1].quality is FixQuality.NONE:
            return _site(self._fixes[-1])
        index = bisect_left(self._fixes, t_mono_ns, key=lambda fix: fix.t_mono_ns)
        after = self._fixes[index] if index < len(self._fixes) else None
        before = self._fixes[index - 1] if index > 0 else None
        if after is not None and after.t_mono_ns == t_mono_ns:
            before = after
        nearest = _nearest(before, after, t_mono_ns)
        if nearest is None or _age_s(nearest, t_mono_ns) > self._config.max_age_s:
            return Geotag(GeotagMethod.NONE)
        if before is not None and after is not None:
            return self._interpolate(before, after, t_mono_ns)
        if _age_s(nearest, t_mono_ns) <= self._config.extrapolate_s:
            return self._extrapolate(nearest, t_mono_ns)
        return self._stale(nearest, t_mono_ns)

    def _interpolate(self, a: Fix, b: Fix, t_mono_ns: int) -> Geotag:
        gap_s = (b.t_mono_ns - a.t_mono_ns) / _NS_PER_S
        share = (t_mono_ns - a.t_mono_ns) / (b.t_mono_ns - a.t_mono_ns) if gap_s else 0.0
        where = Position(a.lat_deg, a.lon_deg).towards(Position(b.lat_deg, b.lon_deg), share)
        nearest = a if share < 0.5 else b  # noqa: PLR2004 - half
        bend_m = self._velocity_change_mps(a, b, gap_s) + self._config.acceleration_unseen_mps2 * gap_s
        wander_m = share * (1 - share) * gap_s * bend_m / 2
        reach_m = 2 * self._config.speed_max_mps * min(share, 1 - share) * gap_s
        return Geotag(
            method=GeotagMethod.INTERPOLATED,
            lat_deg=where.lat_deg,
            lon_deg=where.lon_deg,
            error_m=(1 - share) * a.error_m + share * b.error_m + min(wander_m, reach_m),
            fix_age_ms=_age_ms(nearest, t_mono_ns),
            speed_mps=_blend(a.speed_mps, b.speed_mps, share),
            course_deg=_blend_course(a.course_deg, b.course_deg, share),
            alt_m=_blend(a.alt_m, b.alt_m, share),
            hdop=_max([a.hdop, b.hdop]),
            satellites=_min([a.satellites, b.satellites]),
            quality=min(a.quality, b.quality, key=_WORST_FIRST.index),
        )

    def _velocity_change_mps(self, a: Fix, b: Fix, gap_s: float) -> float:
        if a.speed_mps is None or b.speed_mps is None:
            return self._config.acceleration_max_mps2 * gap_s
        if a.course_deg is None or b.course_deg is None:
            # Receivers omit the course at low speed: the direction is unknown, so both speeds may add up.
            return a.speed_mps + b.speed_mps
        turn = math.radians(b.course_deg - a.course_deg)
        squared = a.speed_mps**2 + b.speed_mps**2 - 2 * a.speed_mps * b.speed_mps * math.cos(turn)
        return math.sqrt(max(0.0, squared))

    def _extrapolate(self, fix: Fix, t_mono_ns: int) -> Geotag:
        """Dead reckoning; backwards if the fix is later than the instant."""
        offset_s = (t_mono_ns - fix.t_mono_ns) / _NS_PER_S
        age_s = abs(offset_s)
        where = Position(fix.lat_deg, fix.lon_deg)
        error_m = fix.error_m + self._config.speed_error_mps * age_s
        error_m += self._config.acceleration_max_mps2 * age_s * age_s / 2
        if fix.speed_mps is None:
            error_m += self._config.speed_max_mps * age_s
        elif fix.course_deg is None:
            error_m += fix.speed_mps * age_s
        else:
            where = where.moved(fix.course_deg, fix.speed_mps * offset_s)
        return Geotag(
            method=GeotagMethod.EXTRAPOLATED,
            lat_deg=where.lat_deg,
            lon_deg=where.lon_deg,
            error_m=error_m,
            fix_age_ms=_age_ms(fix, t_mono_ns),
            speed_mps=fix.speed_mps,
            course_deg=fix.course_deg,
            alt_m=fix.alt_m,
            hdop=fix.hdop,
            satellites=fix.satellites,
            quality=fix.quality,
        )

    def _stale(self, fix: Fix, t_mono_ns: int) -> Geotag:
        return Geotag(
            method=GeotagMethod.STALE,
            lat_deg=fix.lat_deg,
            lon_deg=fix.lon_deg,
            error_m=fix.error_m + self._config.speed_max_mps * _age_s(fix, t_mono_ns),
            fix_age_ms=_age_ms(fix, t_mono_ns),
            hdop=fix.hdop,
            satellites=fix.satellites,
            quality=fix.quality,
        )


def _site(fix: Fix) -> Geotag:
    """The geotag of a fixed site: fix quality ``none`` with a position means configured, not measured."""
    return Geotag(
        method=GeotagMethod.INTERPOLATED,
        lat_deg=fix.lat_deg,
        lon_deg=fix.lon_deg,
        error_m=fix.error_m,
        fix_age_ms=0,
        speed_mps=0.0,
        quality=FixQuality.NONE,
    )


def _nearest(before: Fix | None, after: Fix | None, t_mono_ns: int) -> Fix | None:
    if before is None or after is None:
        return before or after
    return before if t_mono_ns - before.t_mono_ns <= after.t_mono_ns - t_mono_ns else after


def _age_s(fix: Fix, t_mono_ns: int) -> float:
    return abs(t_mono_ns - fix.t_mono_ns) / _NS_PER_S


def _age_ms(fix: Fix, t_mono_ns: int) -> int:
    return round(abs(t_mono_ns - fix.t_mono_ns) / _NS_PER_MS)


def _blend(a: float | None, b: float | None, share: float) -> float | None:
    return None if a is None or b is None else (1 - share) * a + share * b


def _blend_course(a: float | None, b: float | None, share: float) -> float | None:
    if a is None or b is None:
        return None
    turn = (b - a + 180) % 360 - 180
    return (a + share * turn) % 360


def _max(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return max(known) if known else None


def _min(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return min(known) if known else None
