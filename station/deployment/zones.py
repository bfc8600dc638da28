"""Zones: refused if they cross themselves, overlaps told, drawn or imported as GeoJSON (RFC 7946)."""

from __future__ import annotations

import json
from contextlib import suppress
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any

from protocol.policy.polygons import make_polygon
from protocol.roster import roster as wire
from station.deployment.model import Zone
from station.errors import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from protocol.policy.polygons import Corner, Polygon

MAX_ZONES = 255
MAX_FILE_BYTES = 4 * 2**20
_E7 = 10**7
_MAX_LAT, _MAX_LON = 90, 180


def make_zone(zone_id: str, name: str, corners: Iterable[tuple[float, float]]) -> Zone:
    """Make a zone of corners in degrees, latitude first.  Raises DeploymentError, which says what is wrong."""
    given = tuple(corners)
    try:
        for lat, lon in given:
            position_e7(lat, lon)
    except DeploymentError as error:
        raise DeploymentError(f"zone {zone_id!r}: {error}") from None
    try:
        polygon = make_polygon(given)
        made = wire.Zone(id=zone_id, name=name, corners=polygon.corners)
    except ValueError as error:
        raise DeploymentError(f"zone {zone_id!r}: {_first_line(error)}") from None
    return Zone(made.id, made.name, made.corners)


def position_e7(lat_deg: float, lon_deg: float) -> tuple[int, int]:
    """A position in 1e-7 degrees.  Raises DeploymentError for degrees that are none, endless ones among them."""
    if not (-_MAX_LAT <= lat_deg <= _MAX_LAT and -_MAX_LON <= lon_deg <= _MAX_LON):
        raise DeploymentError(f"{lat_deg:g} {lon_deg:g} is no position: use degrees, latitude first")
    return round(lat_deg * _E7), round(lon_deg * _E7)


def _first_line(error: ValueError) -> str:
    details = getattr(error, "errors", None)
    if details is None:
        return str(error)
    first = details(include_input=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"


def polygon_of(zone: Zone) -> Polygon:
    """The zone's polygon."""
    return make_polygon(tuple((lat / _E7, lon / _E7) for lat, lon in zone.corners))


class ZoneIndex:
    """Finds the zones of a position."""

    def __init__(self, zones: Iterable[Zone]) -> None:
        self._polygons = [(zone.id, polygon_of(zone)) for zone in zones]

    def at(self, lat_e7: int | None, lon_e7: int | None) -> tuple[str, ...]:
        """Ids of the zones that a position is in, by id; none without a position."""
        if lat_e7 is None or lon_e7 is None:
            return ()
        lat, lon = lat_e7 / _E7, lon_e7 / _E7
        return tuple(sorted(name for name, polygon in self._polygons if polygon.may_contain(lat, lon, 0.0)))


def overlaps(zones: Iterable[Zone]) -> list[tuple[str, str]]:
    """Pairs of zones that have more than a border in common: reads and minutes there count in both."""
    return [
        (one.id, other.id)
        for one, other in combinations(sorted(zones, key=lambda zone: zone.id), 2)
        if _interiors_meet(one.corners, other.corners)
    ]


def _interiors_meet(one: tuple[Corner, ...], other: tuple[Corner, ...]) -> bool:
    """True if edges cross, or along some parallel between the corners both are inside."""
    if not _boxes_meet(one, other):
        return False
    edges, others = _edges(one), _edges(other)
    if any(_cross(*a, *b) for a in edges for b in others):
        return True
    parallels = sorted({lat for lat, _ in (*one, *other)})
    return any(_meet(edges, others, (low + high) / 2) for low, high in pairwise(parallels))


def _boxes_meet(one: tuple[Corner, ...], other: tuple[Corner, ...]) -> bool:
    return all(
        max(min(a), min(b)) < min(max(a), max(b))
        for a, b in zip(zip(*one, strict=True), zip(*other, strict=True), strict=True)
    )


def _edges(corners: tuple[Corner, ...]) -> list[tuple[Corner, Corner]]:
    return list(pairwise((*corners, corners[0])))


def _side(a: Corner, b: Corner, c: Corner) -> int:
    value = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
    return (value > 0) - (value < 0)


def _cross(a: Corner, b: Corner, c: Corner, d: Corner) -> bool:
    """True if two edges cross in a point that is an end of neither."""
    return _side(a, b, c) * _side(a, b, d) < 0 and _side(c, d, a) * _side(c, d, b) < 0


def _meet(edges: list[tuple[Corner, Corner]], others: list[tuple[Corner, Corner]], lat: float) -> bool:
    spans, other_spans = _spans(edges, lat), _spans(others, lat)
    return any(max(a[0], b[0]) < min(a[1], b[1]) for a in spans for b in other_spans)


def _spans(edges: list[tuple[Corner, Corner]], lat: float) -> list[tuple[float, float]]:
    """The parts of a parallel that are inside; no corner is on it."""
    cuts = sorted(
        a[1] + (lat - a[0]) * (b[1] - a[1]) / (b[0] - a[0]) for a, b in edges if (a[0] > lat) != (b[0] > lat)
    )
    return list(zip(cuts[::2], cuts[1::2], strict=True))


def zones_from_geojson(text: str | bytes) -> list[Zone]:
    """Zones of a FeatureCollection of polygons without holes, with the properties ``id`` and ``name``.

    Raises DeploymentError naming the feature; then no zone is taken.
    """
    if len(text) > MAX_FILE_BYTES:
        raise DeploymentError(f"the file has more than {MAX_FILE_BYTES // 2**20} MiB: simplify the zones")
    try:
        told = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DeploymentError(f"this is not JSON in UTF-8: {error!s:.100}") from None
    features = told.get("features") if isinstance(told, dict) else None
    if not isinstance(features, list):
        raise DeploymentError("this is not a FeatureCollection of GeoJSON")
    if len(features) > MAX_ZONES:
        raise DeploymentError(f"{len(features)} features are too many: at most {MAX_ZONES} zones are possible")
    zones = [_feature(feature, number) for number, feature in enumerate(features, 1)]
    names = [zone.id for zone in zones]
    if doubles := sorted({name for name in names if names.count(name) > 1}):
        raise DeploymentError(f"zone {doubles[0]!r} is in the file twice")
    return zones


def _feature(feature: Any, number: int) -> Zone:
    if not isinstance(feature, dict):
        raise DeploymentError(f"feature {number} is not an object")
    properties, geometry = feature.get("properties") or {}, feature.get("geometry") or {}
    if not isinstance(properties, dict) or not isinstance(geometry, dict):
        raise DeploymentError(f"feature {number}: properties and geometry must be objects")
    name = properties.get("id") or feature.get("id")
    if not isinstance(name, str | int) or isinstance(name, bool):
        raise DeploymentError(f"feature {number} has no property `id`")
    rings = geometry.get("coordinates")
    if geometry.get("type") != "Polygon" or not isinstance(rings, list) or len(rings) != 1:
        raise DeploymentError(f"zone {str(name)[:40]!r} must be a Polygon without holes: split it")
    corners = [_position(at, str(name)) for at in rings[0]] if isinstance(rings[0], list) else []
    title = properties.get("name")
    return make_zone(str(name), title if isinstance(title, str) and title else str(name), corners)


def _position(at: Any, name: str) -> tuple[float, float]:
    if isinstance(at, list) and len(at) >= 2:  # noqa: PLR2004 - longitude, latitude, perhaps a height
        lon, lat = at[0], at[1]
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in (lat, lon)):
            with suppress(OverflowError):  # JSON has numbers of any size
                return float(lat), float(lon)
    raise DeploymentError(f"zone {name[:40]!r}: a corner is a pair of longitude and latitude in degrees")


def zones_as_geojson(zones: Iterable[Zone]) -> dict[str, Any]:
    """A FeatureCollection, as :func:`zones_from_geojson` reads it."""
    return {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "id": zone.id,
                "geometry": {
                    "type": "Polygon",
                    "coordinates": [[[lon / _E7, lat / _E7] for lat, lon in (*zone.corners, zone.corners[0])]],
                },
                "properties": {"id": zone.id, "name": zone.name},
            }
            for zone in zones
        ],
    }
