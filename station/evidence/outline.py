"""A place on an outline map, as an SVG without a network: states or, outside of the US, countries."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from station.evidence.topojson import arcs_of, polygons_of, ring_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from station.evidence.topojson import Point

_WIDTH, _HEIGHT = 560, 360
_SPAN_DEG = 9.0
"""Degrees of latitude that the map shows."""
_WORLD_SPAN_DEG = 36.0
_MIN_COS = 0.2


@dataclass(frozen=True, slots=True)
class _View:
    lat: float
    lon: float
    span: float

    def place(self, lon: float, lat: float) -> Point:
        """Pixels; across the 180th meridian the shorter way."""
        scale = _HEIGHT / self.span
        east = (lon - self.lon + 180) % 360 - 180
        x = _WIDTH / 2 + east * scale * max(_MIN_COS, math.cos(math.radians(self.lat)))
        return round(x, 1), round(_HEIGHT / 2 - (lat - self.lat) * scale, 1)

    def shows(self, ring: Iterable[Point]) -> bool:
        places = [self.place(lon, lat) for lon, lat in ring]
        xs, ys = [x for x, _ in places], [y for _, y in places]
        return min(xs) < _WIDTH and max(xs) > 0 and min(ys) < _HEIGHT and max(ys) > 0


def outline_map(lat_deg: float, lon_deg: float, error_m: float | None) -> bytes:
    """Return the SVG; the circle is the error bound where it is large enough to be seen."""
    view = _View(lat_deg, lon_deg, _SPAN_DEG)
    rings = [ring for ring in _rings("states-10m.json", "states") if view.shows(ring)]
    if not rings:
        view = _View(lat_deg, lon_deg, _WORLD_SPAN_DEG)
        rings = [ring for ring in _rings("countries-110m.json", "countries") if view.shows(ring)]
    paths = "".join(f'<path d="{_path(view, ring)}"/>' for ring in rings)
    x, y = _WIDTH / 2, _HEIGHT / 2
    error_px = 0.0 if error_m is None else error_m / 111_195 * _HEIGHT / view.span
    bound = f'<circle cx="{x}" cy="{y}" r="{error_px:.1f}" class="b"/>' if error_px > 1 else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}"><style>path{{fill:#eef1f4;stroke:#54606c;stroke-width:1}}'
        ".b{fill:#c1121f33;stroke:#c1121f}.d{fill:#c1121f}.h{stroke:#c1121f;stroke-width:1}</style>"
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>{paths}{bound}'
        f'<path d="M{x - 14} {y}h28M{x} {y - 14}v28" class="h"/><circle cx="{x}" cy="{y}" r="4" class="d"/></svg>'
    ).encode("ascii")


def _path(view: _View, ring: list[Point]) -> str:
    points = [view.place(lon, lat) for lon, lat in ring]
    parts, last = [], (math.inf, math.inf)
    for point in points:
        if abs(point[0] - last[0]) + abs(point[1] - last[1]) >= 1 or point == points[-1]:
            parts.append(f"{point[0]:g} {point[1]:g}")
            last = point
    return "M" + "L".join(parts) + "Z"


@cache
def _rings(file: str, name: str) -> tuple[list[Point], ...]:
    """Return the outlines of a TopoJSON file as rings of longitude and latitude."""
    told = json.loads(resources.files("station.evidence").joinpath("outlines", file).read_text(encoding="utf-8"))
    arcs = arcs_of(told)
    polygons = polygons_of(told["objects"][name])
    return tuple(ring_of(numbers, arcs) for polygon in polygons for numbers in polygon)
