"""Zones of a roster: which ones a position is in.  Exact: integers of 1e-7 degrees, even-odd rule.

Edges are straight in latitude and longitude, as they are drawn on a map; over the 20 km of a long edge at 45 degrees
north that is within 6 m of the great circle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from protocol.roster.roster import Zone

_E7 = 10_000_000


@dataclass(frozen=True, slots=True)
class _Area:
    id: str
    corners: tuple[tuple[int, int], ...]
    south: int
    north: int
    west: int
    east: int

    def has(self, lat: int, lon: int) -> bool:
        if not (self.south <= lat <= self.north and self.west <= lon <= self.east):
            return False
        inside = False
        lat0, lon0 = self.corners[-1]
        for lat1, lon1 in self.corners:
            # Half open in latitude, so that a corner belongs to one of its edges; a common edge of two zones
            # belongs to one of them, because the longitude is compared with ``<`` on both.
            if (lat0 > lat) is not (lat1 > lat):
                side = (lon1 - lon0) * (lat - lat0) - (lon - lon0) * (lat1 - lat0)
                if side > 0 if lat1 > lat0 else side < 0:
                    inside = not inside
            lat0, lon0 = lat1, lon1
        return inside


class ZoneMap:
    """The zones of one roster.  Immutable."""

    def __init__(self, zones: Iterable[Zone] = ()) -> None:
        self._areas = tuple(
            _Area(
                zone.id,
                zone.corners,
                min(lat for lat, _ in zone.corners),
                max(lat for lat, _ in zone.corners),
                min(lon for _, lon in zone.corners),
                max(lon for _, lon in zone.corners),
            )
            for zone in zones
        )

    def at(self, lat_deg: float, lon_deg: float) -> tuple[str, ...]:
        """Return the ids of all zones that contain a position, in the order of the roster."""
        lat, lon = round(lat_deg * _E7), round(lon_deg * _E7)
        return tuple(area.id for area in self._areas if area.has(lat, lon))
