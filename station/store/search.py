"""What reads are searched by, and geometry; without a database."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from station.errors import StoreError

if TYPE_CHECKING:
    from station.store.rows import RecordRow

MAX_LIMIT = 10_000
_E7 = 10**7
_RADIUS_M = 6_371_008.8
"""Mean radius of the earth."""
_M_PER_DEG = math.radians(_RADIUS_M)
"""Length of a degree of latitude, and of one of longitude at the equator, in metres."""
_STEP_DEG = 2 / _E7
"""Added to bounds, which are rounded."""
_MAX_RADIUS_M = 100_000.0
_POLE, _MERIDIAN = 90, 180
_MIN_CORNERS, _MAX_CORNERS = 3, 1_000


@dataclass(frozen=True, slots=True)
class Circle:
    """A place."""

    lat_deg: float
    lon_deg: float
    radius_m: float

    def __post_init__(self) -> None:
        """Raises StoreError for a place that is none, or a radius above 100 km."""
        if not _is_position(self.lat_deg, self.lon_deg):
            raise StoreError(f"{self.lat_deg} {self.lon_deg} is no position: use degrees, latitude first")
        if not 0 < self.radius_m <= _MAX_RADIUS_M:
            raise StoreError(
                f"a radius of {self.radius_m:g} m cannot be searched: use up to {_MAX_RADIUS_M:,.0f} m"
            )


@dataclass(frozen=True, slots=True)
class Polygon:
    """A place drawn on a map, which does not cross the 180th meridian."""

    corners: tuple[tuple[float, float], ...]
    """Latitude and longitude in degrees."""

    def __post_init__(self) -> None:
        """Raises StoreError for fewer than 3 corners, more than 1,000, or one that is no position."""
        if not _MIN_CORNERS <= len(self.corners) <= _MAX_CORNERS:
            raise StoreError(f"an area needs 3 to 1,000 corners, not {len(self.corners)}")
        if not all(_is_position(lat, lon) for lat, lon in self.corners):
            raise StoreError("a corner of the area is no position: use degrees, latitude first")


@dataclass(frozen=True, slots=True)
class Box:
    """Bounds in 1e-7 degrees, both included."""

    south: int
    west: int
    north: int
    east: int


Place = tuple[int, str, bytes]
"""Time, unit and id of a found read: a search goes on after it."""


@dataclass(frozen=True, slots=True)
class ReadSearch:
    """Every condition must be met; None and empty ones always are."""

    plates: tuple[str, ...] = ()
    """Any of these; ``*`` is any number of characters, ``?`` is one."""
    region: str | None = None
    unit: str | None = None
    camera: str | None = None
    min_confidence_e4: int = 0
    since_us: int | None = None
    """When it was made, or received if its time is unknown."""
    until_us: int | None = None
    area: Circle | Polygon | None = None
    zones: tuple[Polygon, ...] | None = None
    """Also within any of these, to which whoever asks is limited; None: without a limit."""
    ascending: bool = False
    """The oldest first."""

    @property
    def is_exact(self) -> bool:
        """True if every plate is a whole text."""
        return bool(self.plates) and not any("*" in plate or "?" in plate for plate in self.plates)

    @property
    def areas(self) -> tuple[Circle | Polygon, ...] | None:
        """What bounds it; None if it is everywhere."""
        return self.zones if self.area is None else (self.area,)

    def is_inside(self, lat_e7: int | None, lon_e7: int | None) -> bool:
        """True if a position lies in its area, and in one of its zones."""
        within = self.area is None or is_inside(self.area, lat_e7, lon_e7)
        return within and (self.zones is None or any(is_inside(zone, lat_e7, lon_e7) for zone in self.zones))


@dataclass(frozen=True, slots=True)
class FoundRead:
    """A found read."""

    row: RecordRow
    made_us: int


@dataclass(frozen=True, slots=True)
class FoundReads:
    """A page of a search."""

    reads: list[FoundRead]
    after: Place | None
    """Where the next page starts; None if there is none."""
    is_cut: bool = False
    """Too many reads around an area were looked at: the page is complete up to ``after``, and ends there."""


def boxes(area: Circle | Polygon) -> list[Box]:
    """Return the bounds of an area: two across the 180th meridian."""
    if isinstance(area, Polygon):
        lats, lons = zip(*area.corners, strict=True)
        return [_box(min(lats), min(lons), max(lats), max(lons))]
    high = area.radius_m / _M_PER_DEG + _STEP_DEG
    south, north = area.lat_deg - high, area.lat_deg + high
    # The widest part of a circle lies nearer to the pole than its centre.
    widest = math.cos(math.radians(max(abs(south), abs(north))))
    if south <= -_POLE or north >= _POLE or high / widest >= _MERIDIAN:
        return [_box(max(-_POLE, south), -_MERIDIAN, min(_POLE, north), _MERIDIAN)]
    west, east = area.lon_deg - high / widest, area.lon_deg + high / widest
    if west < -_MERIDIAN:
        return [_box(south, west + 2 * _MERIDIAN, north, _MERIDIAN), _box(south, -_MERIDIAN, north, east)]
    if east > _MERIDIAN:
        return [_box(south, west, north, _MERIDIAN), _box(south, -_MERIDIAN, north, east - 2 * _MERIDIAN)]
    return [_box(south, west, north, east)]


def bounds(search: ReadSearch) -> list[Box]:
    """Return the bounds of what bounds a search."""
    return [box for area in search.areas or () for box in boxes(area)]


def _box(south: float, west: float, north: float, east: float) -> Box:
    return Box(*(round(degrees * _E7) for degrees in (south, west, north, east)))


def _is_position(lat_deg: float, lon_deg: float) -> bool:
    return -_POLE <= lat_deg <= _POLE and -_MERIDIAN <= lon_deg <= _MERIDIAN


def is_inside(area: Circle | Polygon, lat_e7: int | None, lon_e7: int | None) -> bool:
    """True if a position lies in an area; on a sphere for a circle, on a plane of degrees for a polygon."""
    if lat_e7 is None or lon_e7 is None:
        return False
    lat, lon = lat_e7 / _E7, lon_e7 / _E7
    if isinstance(area, Circle):
        return _distance_m(area.lat_deg, area.lon_deg, lat, lon) <= area.radius_m
    inside = False
    corners = area.corners
    for (lat0, lon0), (lat1, lon1) in zip(corners, corners[1:] + corners[:1], strict=True):
        if (lat0 > lat) != (lat1 > lat) and lon < (lon1 - lon0) * (lat - lat0) / (lat1 - lat0) + lon0:
            inside = not inside
    return inside


def _distance_m(lat0: float, lon0: float, lat1: float, lon1: float) -> float:
    """Haversine."""
    a = math.sin(math.radians(lat1 - lat0) / 2) ** 2
    b = math.cos(math.radians(lat0)) * math.cos(math.radians(lat1)) * math.sin(math.radians(lon1 - lon0) / 2) ** 2
    return 2 * _RADIUS_M * math.asin(min(1.0, math.sqrt(a + b)))


def check_limit(limit: int) -> int:
    """Return it; raises StoreError for one that is too large."""
    if not 1 <= limit <= MAX_LIMIT:
        raise StoreError(f"a search returns 1 to {MAX_LIMIT:,} reads, not {limit}")
    return limit
