"""The unit's track at the rate of the policy: groups of positions, and nothing without a rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.geotag.units import bound, clamp, scaled, time_quality, to_us
from protocol.wire.codec import U16_MAX, U32_MAX
from protocol.wire.parts import Retention
from protocol.wire.records.track_point import MAX_POINTS, RETENTION_CLASS, TrackPoints

if TYPE_CHECKING:
    from agent.records import Fix
    from agent.shift.moment import Moment

_NS_PER_S = 1_000_000_000
_NS_PER_MS = 1_000_000
_Point = tuple[int, int, int, int, int | None]


class TrackRecorder:
    """Fixes -> records of at most sixty points; not thread-safe.  A power cut loses the open one."""

    def __init__(self) -> None:
        self._first: Moment | None = None
        self._shift_id: str | None = None
        self._points: list[_Point] = []
        self._due_ns = 0

    def add(self, fix: Fix, now: Moment, *, every_s: float | None, shift_id: str | None) -> list[TrackPoints]:
        """Add the latest fix; ``every_s`` is the policy's rate here, None for no track.  Return finished records."""
        if every_s is None:
            self._due_ns = 0
            return self.finish()
        finished = self.finish() if self._points and shift_id != self._shift_id else []
        if fix.t_mono_ns < self._due_ns:
            return finished
        if not self._points:
            self._first, self._shift_id = now, shift_id
        self._due_ns = fix.t_mono_ns + round(every_s * _NS_PER_S)
        self._points.append(self._point(fix, now))
        return [*finished, *(self.finish() if len(self._points) == MAX_POINTS else [])]

    def finish(self) -> list[TrackPoints]:
        """Return what is recorded, if anything."""
        first, points = self._first, self._points
        if first is None or not points:
            return []
        self._points = []
        return [
            TrackPoints(
                shift_id=None if self._shift_id is None else bytes.fromhex(self._shift_id),
                utc_us=first.utc_us,
                time=time_quality(first.tag.source, first.tag.uncertainty_ms),
                mono_us=to_us(first.t_mono_ns),
                points=tuple(points),
                retention=Retention(policy_class=RETENTION_CLASS),
            )
        ]

    def _point(self, fix: Fix, now: Moment) -> _Point:
        since_ms = 0 if self._first is None else (now.t_mono_ns - self._first.t_mono_ns) // _NS_PER_MS
        return (
            clamp(since_ms, 0, U32_MAX),
            scaled(fix.lat_deg, 1e7, -900_000_000, 900_000_000) or 0,
            scaled(fix.lon_deg, 1e7, -1_800_000_000, 1_800_000_000) or 0,
            bound(fix.error_m, 100) or 0,
            scaled(fix.speed_mps, 100, 0, U16_MAX),
        )
