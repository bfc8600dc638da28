"""Polygons on the Earth: refused if they cross themselves, and how far a position is from them.

Edges are straight in latitude and longitude, as in GeoJSON (RFC 7946 3.1.1).  Whether edges cross is decided in whole
1e-7 degrees, where nothing is rounded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TypeAlias

MAX_CORNERS = 256
EARTH_RADIUS_M = 6_371_008.8
_E7 = 10**7
_HALF_TURN = 180 * _E7
_MIN_CORNERS = 3

Corner: TypeAlias = tuple[int, int]
"""Latitude and longitude in 1e-7 degrees."""


@dataclass(frozen=True)
class Polygon:
    """A simple polygon.  Made by :func:`make_polygon`."""

    corners: tuple[Corner, ...]
    """Without repetition of the first; longitudes go on beyond 180 degrees across the antimeridian."""

    @cached_property
    def _edges(self) -> tuple[tuple[Corner, Corner], ...]:
        return tuple(pairwise((*self.corners, self.corners[0])))

    @cached_property
    def _box(self) -> tuple[int, int, int, int]:
        lats, lons = [lat for lat, _ in self.corners], [lon for _, lon in self.corners]
        return min(lats), min(lons), max(lats), max(lons)

    def may_contain(self, lat_deg: float, lon_deg: float, error_m: float) -> bool:
        """True if a position within ``error_m`` of this one can be inside or on the border."""
        if not math.isfinite(error_m):
            return True
        lat, lon = self._near(lat_deg, lon_deg)
        return self._is_near_box(lat, lon, error_m) and (
            self._contains(lat, lon) or self._distance_m(lat, lon) <= error_m
        )

    def surely_contains(self, lat_deg: float, lon_deg: float, error_m: float) -> bool:
        """True if every position within ``error_m`` of this one is inside."""
        lat, lon = self._near(lat_deg, lon_deg)
        return self._contains(lat, lon) and self._distance_m(lat, lon) > error_m

    def _near(self, lat_deg: float, lon_deg: float) -> tuple[float, float]:
        """The position in 1e-7 degrees, its longitude on the polygon's side of the antimeridian."""
        _, west, _, east = self._box
        lon, middle = lon_deg * _E7, (west + east) / 2
        return lat_deg * _E7, middle + math.remainder(lon - middle, 2 * _HALF_TURN)

    def _is_near_box(self, lat: float, lon: float, error_m: float) -> bool:
        """False if it is certainly farther than the error from the box around the polygon."""
        south, west, north, east = self._box
        reach = math.degrees(error_m / EARTH_RADIUS_M) * _E7
        shrink = _cosine(max(abs(lat), abs(south), abs(north)) + reach)
        wide = reach / shrink if shrink > 0 else math.inf
        return south - reach <= lat <= north + reach and west - wide <= lon <= east + wide

    def _contains(self, lat: float, lon: float) -> bool:
        """Even-odd rule along the parallel to the east."""
        inside = False
        for (lat_a, lon_a), (lat_b, lon_b) in self._edges:
            if (lat_a > lat) != (lat_b > lat) and lon < lon_a + (lat - lat_a) / (lat_b - lat_a) * (lon_b - lon_a):
                inside = not inside
        return inside

    def _distance_m(self, lat: float, lon: float) -> float:
        """Distance to the border, never more than the true one over the distances of a position's error."""
        return min(_to_edge_m(lat, lon, *edge) for edge in self._edges)


def make_polygon(corners: tuple[tuple[float, float], ...]) -> Polygon:
    """Return the polygon of corners in degrees: latitude, longitude.  Raises ValueError, which says what is wrong."""
    found = [(round(lat * _E7), round(lon * _E7)) for lat, lon in corners]
    if len(found) > 1 and found[0] == found[-1]:
        found.pop()
    if len(found) < _MIN_CORNERS:
        raise ValueError(f"a polygon needs at least {_MIN_CORNERS} corners, this one has {len(found)}")
    if len(found) > MAX_CORNERS:
        raise ValueError(f"a polygon has at most {MAX_CORNERS} corners, this one has {len(found)}: simplify it")
    polygon = Polygon(tuple(_joined(found)))
    lons = [lon for _, lon in polygon.corners]
    if max(lons) - min(lons) >= _HALF_TURN:
        raise ValueError("it spans half the Earth or more: is a longitude without its sign?")
    _refuse_crossing(polygon.corners)
    return polygon


def _joined(corners: list[Corner]) -> list[Corner]:
    """Let longitudes go on across the antimeridian."""
    joined = [corners[0]]
    for lat, lon in corners[1:]:
        turns = round((joined[-1][1] - lon) / (2 * _HALF_TURN))
        joined.append((lat, lon + turns * 2 * _HALF_TURN))
    return joined


def _refuse_crossing(corners: tuple[Corner, ...]) -> None:
    """Compare every pair of edges; at most 256 corners, so at most 32,640 pairs."""
    count = len(corners)
    edges = list(pairwise((*corners, corners[0])))
    for i, (a, b) in enumerate(edges):
        if a == b:
            raise ValueError(f"corner {i + 1} is repeated")
    for i, (a, b) in enumerate(edges):
        for j in range(i + 1, count):
            c, d = edges[j]
            follows, closes = j == i + 1, i == 0 and j == count - 1
            if follows or closes:
                # Neighbours share a corner; they may not run back over each other.
                shared, one, other = (b, a, d) if follows else (a, b, c)
                if _turn(one, shared, other) == 0 and _is_between(shared, one, other) is False:
                    raise ValueError(f"it runs back over itself at corner {(i + 1) % count + 1 if follows else 1}")
            elif _cross(a, b, c, d):
                raise ValueError(f"it crosses itself: its edges after corner {i + 1} and corner {j + 1}")


def _turn(a: Corner, b: Corner, c: Corner) -> int:
    """Sign of the turn from ``a`` over ``b`` to ``c``."""
    value = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
    return (value > 0) - (value < 0)


def _is_between(point: Corner, a: Corner, b: Corner) -> bool:
    """True if a point of the line through ``a`` and ``b`` lies between them."""
    return min(a[0], b[0]) <= point[0] <= max(a[0], b[0]) and min(a[1], b[1]) <= point[1] <= max(a[1], b[1])


def _cross(a: Corner, b: Corner, c: Corner, d: Corner) -> bool:
    """True if two edges have a point in common."""
    if _turn(a, b, c) != _turn(a, b, d) and _turn(c, d, a) != _turn(c, d, b):
        return True
    touches = ((a, b, c), (a, b, d), (c, d, a), (c, d, b))
    return any(_turn(p, q, r) == 0 and _is_between(r, p, q) for p, q, r in touches)


def _cosine(lat: float) -> float:
    return math.cos(math.radians(min(abs(lat) / _E7, 90.0)))


def _to_edge_m(lat: float, lon: float, a: Corner, b: Corner) -> float:
    """Distance to an edge on a plane scaled at its highest latitude, so never overestimated."""
    shrink = _cosine(max(abs(lat), abs(a[0]), abs(b[0])))
    ax, ay = (a[1] - lon) * shrink, a[0] - lat
    bx, by = (b[1] - lon) * shrink, b[0] - lat
    dx, dy = bx - ax, by - ay
    length = dx * dx + dy * dy
    share = 0.0 if length == 0 else min(1.0, max(0.0, -(ax * dx + ay * dy) / length))
    return math.radians(math.hypot(ax + share * dx, ay + share * dy) / _E7) * EARTH_RADIUS_M
