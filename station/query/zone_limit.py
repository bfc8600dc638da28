"""The zones to which an account is limited: what was not made in one of them does not exist for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol.wire.records.track_point import TrackPoints
from station.deployment.zones import ZoneIndex
from station.store.search import Box, Polygon, boxes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from station.asker import Scope
    from station.deployment.model import Zone
    from station.query.stored import StoredRecord
    from station.store import Store

_E7 = 10**7


class ZoneLimit:
    """Positions that somebody may see.  A zone that is not there, any more, contains nothing."""

    def __init__(self, zones: Iterable[Zone], names: frozenset[str] | None) -> None:
        """``names`` are those of the limit; None: there is none."""
        self._names = names
        self._zones = [zone for zone in zones if names is not None and zone.id in names]
        self._index = ZoneIndex(self._zones)

    @classmethod
    def of(cls, store: Store, scope: Scope) -> ZoneLimit:
        """Return the limit of a scope, with the zones as they are now.  Raises StoreError."""
        return cls(() if scope.zones is None else store.deployment.resources().zones, scope.zones)

    @property
    def is_none(self) -> bool:
        """True if nothing is left out."""
        return self._names is None

    @property
    def areas(self) -> tuple[Polygon, ...] | None:
        """The zones, for a search; None without a limit."""
        if self._names is None:
            return None
        return tuple(Polygon(tuple((lat / _E7, lon / _E7) for lat, lon in zone.corners)) for zone in self._zones)

    def boxes(self, wanted: Iterable[Box] = ()) -> tuple[Box, ...]:
        """Return the bounds of the zones within others, all of them if none are given; empty: nothing is there."""
        bounds = [box for area in self.areas or () for box in boxes(area)]
        given = list(wanted)
        if not given:
            return tuple(bounds)
        return tuple(found for own in bounds for other in given if (found := _both(own, other)) is not None)

    def has(self, lat_e7: int | None, lon_e7: int | None) -> bool:
        """True if a position may be seen; one that is unknown may not."""
        return self.is_none or bool(self._index.at(lat_e7, lon_e7))

    def has_record(self, stored: StoredRecord) -> bool:
        """True if a record may be seen, by where it was made; a track, if all of it may."""
        if self.is_none:
            return True
        body = stored.body
        if isinstance(body, TrackPoints):
            return all(self.has(lat_e7, lon_e7) for _, lat_e7, lon_e7, *_ in body.points)
        place = getattr(body, "place", None)
        return place is not None and self.has(place.lat_e7, place.lon_e7)


def _both(one: Box, other: Box) -> Box | None:
    south, west = max(one.south, other.south), max(one.west, other.west)
    north, east = min(one.north, other.north), min(one.east, other.east)
    return Box(south, west, north, east) if south <= north and west <= east else None
