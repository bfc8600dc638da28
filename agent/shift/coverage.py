"""Kilometres, minutes and reads by zone, from fixes and reads, so that the track itself need not be kept.

Counted is only what is known:

* Distance is the reported speed over time (trapezoidal rule) between fixes at most ``MAX_GAP_S`` apart: receivers
  measure speed by Doppler shift, so it neither grows while the vehicle stands nor cuts corners.  Without a speed it is
  the straight line between positions that are further apart than their errors.
* After a longer gap, such as a tunnel, the time counts as unlocated and no distance is added: the way is unknown.
* A change of position that the speed does not explain is a jump, and a position that stands still at speed is frozen
  (receivers repeat the last fix in a tunnel): neither distance nor time in a zone counts.
* A position with an error above ``MAX_ERROR_M``, or estimated by the receiver without satellites, is no position.

Time and distance of an interval belong to the zones of its later fix.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from agent.geotag.geodesy import Position
from protocol.wire.enums import FixQuality

if TYPE_CHECKING:
    from agent.records import Fix
    from agent.shift.zones import ZoneMap

_NS_PER_S = 1_000_000_000
MAX_GAP_S = 5.0
"""Receivers send one fix per second and miss a few."""
MAX_ERROR_M = 50.0
MAX_SPEED_MPS = 70.0
STANDING_MPS = 0.3
"""Below this speed the reported value is noise."""
_SLACK_M = 10.0
_SPEED_ERROR_MPS = 1.0
_ACCELERATION_MPS2 = 4.0
_DRIVING_MPS, _FROZEN_SHARE = 3.0, 0.25
"""Noise between neighbouring positions is about 1 m: at this speed it cannot hide three quarters of the way."""
OUTSIDE = ""
"""The zone of positions outside all zones."""


@dataclass(frozen=True, slots=True)
class ZoneTotals:
    """Totals of one zone."""

    distance_m: float = 0.0
    located_ns: int = 0
    reads: int = 0

    def plus(self, other: ZoneTotals) -> ZoneTotals:
        """Return the sum."""
        return ZoneTotals(
            self.distance_m + other.distance_m, self.located_ns + other.located_ns, self.reads + other.reads
        )


@dataclass(frozen=True, slots=True)
class CoverageTotals:
    """Totals of one period."""

    zones: dict[str, ZoneTotals] = field(default_factory=dict)
    distance_m: float = 0.0
    located_ns: int = 0
    unlocated_ns: int = 0
    outages: int = 0
    jumps: int = 0
    reads_unlocated: int = 0

    @property
    def is_empty(self) -> bool:
        """True if there is nothing to report."""
        return self == CoverageTotals()


class CoverageCounter:
    """Counts fixes and reads of one receiver; not thread-safe."""

    def __init__(self, zones: ZoneMap) -> None:
        self._zones = zones
        self._last: Fix | None = None
        """The last usable fix."""
        self._anchor: Fix | None = None
        """Without speeds: the fix up to which distance is counted."""
        self._counted_ns: int | None = None
        self._outage = False
        self.totals = CoverageTotals()

    def use(self, zones: ZoneMap) -> None:
        """Count with the zones of another roster from now on."""
        self._zones = zones

    def take(self) -> CoverageTotals:
        """Return the totals of the period, and begin another one."""
        totals, self.totals = self.totals, CoverageTotals()
        return totals

    def begin(self, t_mono_ns: int) -> None:
        """Start to count time; without a fix it is unlocated."""
        if self._counted_ns is None:
            self._counted_ns = t_mono_ns

    def add_fix(self, fix: Fix) -> None:
        """Add the next fix; older ones than the last are ignored."""
        self.begin(fix.t_mono_ns)
        last = self._last
        if last is not None and fix.t_mono_ns <= last.t_mono_ns:
            return
        if not _is_usable(fix):
            self.add_time(fix.t_mono_ns)
            return
        gap_s = None if last is None else (fix.t_mono_ns - last.t_mono_ns) / _NS_PER_S
        if last is None or gap_s is None or gap_s > MAX_GAP_S:
            self._unlocated(fix.t_mono_ns)
            self._anchor = fix
        elif (jumped := _has_jumped(last, fix, gap_s)) or _is_frozen(last, fix, gap_s):
            self.totals = replace(self.totals, jumps=self.totals.jumps + int(jumped))
            self._unlocated(fix.t_mono_ns)
            self._anchor = fix
        else:
            self._located(fix, self._distance_m(last, fix, gap_s))
        self._last, self._outage = fix, False

    def add_time(self, t_mono_ns: int) -> None:
        """Say what time it is: without a fix for ``MAX_GAP_S`` it is unlocated."""
        self.begin(t_mono_ns)
        since_ns = self._last.t_mono_ns if self._last is not None else self._counted_ns
        if since_ns is None or t_mono_ns - since_ns <= MAX_GAP_S * _NS_PER_S:
            return
        if not self._outage:
            self._outage = True
            self.totals = replace(self.totals, outages=self.totals.outages + 1)
        self._unlocated(t_mono_ns)

    def add_read(self, position: Position | None) -> None:
        """Count a read at its position; None if it has none."""
        if position is None:
            self.totals = replace(self.totals, reads_unlocated=self.totals.reads_unlocated + 1)
        else:
            self._add(position, ZoneTotals(reads=1))

    def _distance_m(self, last: Fix, fix: Fix, gap_s: float) -> float:
        if last.speed_mps is not None and fix.speed_mps is not None:
            self._anchor = fix
            speeds = [0.0 if speed < STANDING_MPS else speed for speed in (last.speed_mps, fix.speed_mps)]
            return gap_s * sum(speeds) / 2
        anchor = self._anchor or last
        apart_m = _position(anchor).distance_m(_position(fix))
        if apart_m <= _SLACK_M + anchor.error_m + fix.error_m:
            return 0.0
        self._anchor = fix
        return apart_m

    def _located(self, fix: Fix, distance_m: float) -> None:
        elapsed_ns = max(0, fix.t_mono_ns - (self._counted_ns or 0))
        self._counted_ns = max(fix.t_mono_ns, self._counted_ns or 0)
        self._add(_position(fix), ZoneTotals(distance_m, elapsed_ns))
        totals = self.totals
        self.totals = replace(
            totals, distance_m=totals.distance_m + distance_m, located_ns=totals.located_ns + elapsed_ns
        )

    def _unlocated(self, t_mono_ns: int) -> None:
        elapsed_ns = max(0, t_mono_ns - (self._counted_ns or 0))
        self._counted_ns = max(t_mono_ns, self._counted_ns or 0)
        self.totals = replace(self.totals, unlocated_ns=self.totals.unlocated_ns + elapsed_ns)

    def _add(self, position: Position, more: ZoneTotals) -> None:
        zones = dict(self.totals.zones)
        for zone in self._zones.at(position.lat_deg, position.lon_deg) or (OUTSIDE,):
            zones[zone] = zones.get(zone, ZoneTotals()).plus(more)
        self.totals = replace(self.totals, zones=zones)


def _is_usable(fix: Fix) -> bool:
    return fix.error_m <= MAX_ERROR_M and fix.quality is not FixQuality.ESTIMATED


def _has_jumped(last: Fix, fix: Fix, gap_s: float) -> bool:
    """True if the position moved further than the speeds, the errors and some acceleration explain."""
    moved_m = _position(last).distance_m(_position(fix))
    slack_m = _SLACK_M + last.error_m + fix.error_m
    if last.speed_mps is None or fix.speed_mps is None:
        return moved_m > MAX_SPEED_MPS * gap_s + slack_m
    bend_m = _SPEED_ERROR_MPS * gap_s + _ACCELERATION_MPS2 * gap_s**2 / 2
    furthest_m = max(last.speed_mps, fix.speed_mps) * gap_s + bend_m + slack_m
    return moved_m > furthest_m or max(last.speed_mps, fix.speed_mps) > MAX_SPEED_MPS


def _is_frozen(last: Fix, fix: Fix, gap_s: float) -> bool:
    """True if the position hardly moved although both speeds say so."""
    if last.speed_mps is None or fix.speed_mps is None:
        return False
    slowest_mps = min(last.speed_mps, fix.speed_mps)
    moved_m = _position(last).distance_m(_position(fix))
    return slowest_mps >= _DRIVING_MPS and moved_m < _FROZEN_SHARE * slowest_mps * gap_s


def _position(fix: Fix) -> Position:
    return Position(fix.lat_deg, fix.lon_deg)
