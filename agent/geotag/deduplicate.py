"""Suppresses and counts re-reads: the same plate within a window of time and distance."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.geotag.geodesy import Position
from protocol.wire.enums import GeotagMethod

if TYPE_CHECKING:
    from agent.records import Geotag, Track

_NS_PER_S = 1_000_000_000
_KNOWN_PLACE = frozenset({GeotagMethod.INTERPOLATED, GeotagMethod.EXTRAPOLATED})
_FOLD = str.maketrans({"O": "0", "Q": "0", "D": "0", "I": "1", "S": "5", "Z": "2", "B": "8", "G": "6"})


@dataclass(frozen=True, slots=True)
class DeduplicatorConfig:
    """How close two reads of one text must be to count as one."""

    window_s: float = 60.0
    radius_m: float = 150.0
    fold_confusables: bool = False
    """Treat texts that differ only in look-alike characters (0 and O) as the same plate."""
    better_by: float = 0.25
    """A re-read that is more confident than the read before by this much is kept."""
    capacity: int = 4096


@dataclass(frozen=True, slots=True)
class DeduplicatorCounts:
    """Since the start of the process."""

    admitted: int = 0
    suppressed: int = 0
    better: int = 0
    """Re-reads kept because they are clearly better than the read before; included in ``admitted``."""


@dataclass(frozen=True, slots=True)
class _Seen:
    t_mono_ns: int
    place: Position | None
    single_frame: bool
    confidence: float


class Deduplicator:
    """Stores the latest admitted read of each text.  One per process; memory is bounded by ``capacity``."""

    def __init__(self, config: DeduplicatorConfig | None = None) -> None:
        self._config = config or DeduplicatorConfig()
        self._seen: OrderedDict[str, _Seen] = OrderedDict()
        self._admitted = 0
        self._suppressed = 0
        self._better = 0

    @property
    def counts(self) -> DeduplicatorCounts:
        """A snapshot."""
        return DeduplicatorCounts(self._admitted, self._suppressed, self._better)

    def is_new(self, track: Track, where: Geotag) -> bool:
        """Return whether this is a new read; the window starts at the last admitted read.

        A parked vehicle beside a waiting patrol car is thus read once per window.  A track for which a hit was raised
        is always new: the hit names its read.
        """
        text = track.plate.text
        key = text.translate(_FOLD) if self._config.fold_confusables else text
        now = _Seen(track.best.frame.t_mono_ns, _known(where), track.single_frame, track.plate.confidence)
        before = self._seen.get(key)
        if before is not None and self._same_pass(before, now):
            better = self._clearly_better(before, now)
            if not better and not track.is_raised:
                self._suppressed += 1
                return False
            self._better += better
        self._admitted += 1
        self._seen[key] = now
        self._seen.move_to_end(key)
        if len(self._seen) > self._config.capacity:
            self._seen.popitem(last=False)
        return True

    def _same_pass(self, before: _Seen, now: _Seen) -> bool:
        if abs(now.t_mono_ns - before.t_mono_ns) > self._config.window_s * _NS_PER_S:
            return False
        if before.place is None or now.place is None:
            return True
        return before.place.distance_m(now.place) <= self._config.radius_m

    def _clearly_better(self, before: _Seen, now: _Seen) -> bool:
        confirmed = before.single_frame and not now.single_frame
        return confirmed or now.confidence >= before.confidence + self._config.better_by


def _known(where: Geotag) -> Position | None:
    if where.method not in _KNOWN_PLACE or where.lat_deg is None or where.lon_deg is None:
        return None
    return Position(where.lat_deg, where.lon_deg)
