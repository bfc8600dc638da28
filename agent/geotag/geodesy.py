"""Distances and positions on the Earth as unit vectors, so antimeridian and poles need no special case.

A geodetic position is treated as its n-vector (Gade 2010, "A Non-singular Horizontal Position Representation")
on a sphere of the mean radius; over the few kilometres between fixes the error is below 0.6 % of the
distance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

EARTH_RADIUS_M = 6_371_008.8


@dataclass(frozen=True, slots=True)
class Position:
    """Latitude and longitude in degrees, WGS 84."""

    lat_deg: float
    lon_deg: float

    def distance_m(self, other: Position) -> float:
        """Great-circle distance."""
        a, b = _vector(self), _vector(other)
        chord = math.dist(a, b)
        return 2 * EARTH_RADIUS_M * math.asin(min(1.0, chord / 2))

    def towards(self, other: Position, share: float) -> Position:
        """Point on the great circle to ``other``: 0 gives this position, 1 the other."""
        a, b = _vector(self), _vector(other)
        angle = 2 * math.asin(min(1.0, math.dist(a, b) / 2))
        sine = math.sin(angle)
        if sine < 1e-12:  # noqa: PLR2004 - the same point: every share of nothing is nothing
            return self
        wa, wb = math.sin((1 - share) * angle) / sine, math.sin(share * angle) / sine
        return _position((wa * a[0] + wb * b[0], wa * a[1] + wb * b[1], wa * a[2] + wb * b[2]))

    def moved(self, course_deg: float, distance_m: float) -> Position:
        """Point reached along a great circle with a true initial course; the distance may be negative."""
        lat, lon, course = (math.radians(v) for v in (self.lat_deg, self.lon_deg, course_deg))
        angle = distance_m / EARTH_RADIUS_M
        here = _vector(self)
        north = (-math.sin(lat) * math.cos(lon), -math.sin(lat) * math.sin(lon), math.cos(lat))
        east = (-math.sin(lon), math.cos(lon), 0.0)
        ahead = [math.cos(course) * n + math.sin(course) * e for n, e in zip(north, east, strict=True)]
        x, y, z = (math.cos(angle) * h + math.sin(angle) * a for h, a in zip(here, ahead, strict=True))
        return _position((x, y, z))


def _vector(position: Position) -> tuple[float, float, float]:
    lat, lon = math.radians(position.lat_deg), math.radians(position.lon_deg)
    return math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)


def _position(vector: tuple[float, float, float]) -> Position:
    x, y, z = vector
    return Position(math.degrees(math.atan2(z, math.hypot(x, y))), math.degrees(math.atan2(y, x)))
