"""A roster as people write it: TOML with degrees and dates, zones from GeoJSON; becomes the values of the document."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

from protocol.errors import RosterError
from protocol.roster.roster import FORMAT, Roster, draft_roster
from protocol.written import WrittenFileError, parse_toml, read_written

if TYPE_CHECKING:
    from pathlib import Path

_E7 = 10**7
_LAT_LON = 2
_MAX_DEG = 180


def roster_from(source: Path, zones: Path | None) -> Roster:
    """Read a roster.  Raises RosterError naming the file and the place of the mistake."""
    try:
        told = parse_toml(read_written(source))
    except WrittenFileError as error:
        raise RosterError(f"{source}: {error}") from None
    try:
        values = {"format": FORMAT, **told}
        values["officers"] = [_officer(officer) for officer in _tables(values, "officers")]
        values["checkpoints"] = [_checkpoint(place) for place in _tables(values, "checkpoints")]
        values["shifts"] = [_shift(shift) for shift in _tables(values, "shifts")]
        values["zones"] = [_zone(zone) for zone in _tables(values, "zones")]
    except RosterError as error:
        raise RosterError(f"{source}: {error}") from None
    if zones is not None:
        values["zones"] += zones_from(zones)
    return draft_roster(values)


def zones_from(path: Path) -> list[dict[str, Any]]:
    """Read zones from GeoJSON (RFC 7946): polygons without holes, with ``id`` and ``name`` as properties."""
    try:
        told = json.loads(read_written(path))
        features = told["features"]
        return [_feature(feature, number) for number, feature in enumerate(features)]
    except RosterError as error:
        raise RosterError(f"{path}: {error}") from None
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise RosterError(f"{path}: not a FeatureCollection of GeoJSON in UTF-8: {error!r:.80}") from None


def _feature(feature: Any, number: int) -> dict[str, Any]:
    geometry, properties = feature["geometry"], feature.get("properties") or {}
    zone = str(properties.get("id") or feature.get("id") or "")
    if not zone:
        raise RosterError(f"feature {number} has no property `id`")
    if geometry["type"] != "Polygon" or len(geometry["coordinates"]) != 1:
        raise RosterError(f"zone {zone!r} must be a Polygon without holes: split it")
    ring = [[lat, lon] for lon, lat, *_ in geometry["coordinates"][0]]
    if len(ring) > 1 and ring[0] == ring[-1]:
        ring.pop()
    return _zone({"id": zone, "name": str(properties.get("name") or zone), "corners": ring})


def _tables(values: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = values.get(name, [])
    if not isinstance(found, list) or not all(isinstance(table, dict) for table in found):
        raise RosterError(f"{name}: write it as tables, [[{name}]]")
    return found


def _officer(told: dict[str, Any]) -> dict[str, Any]:
    officer = dict(told)
    if "training_expires" in officer:
        officer["training_expires_s"] = _seconds(officer.pop("training_expires"), "training_expires")
    return officer


def _checkpoint(told: dict[str, Any]) -> dict[str, Any]:
    place = {name: value for name, value in told.items() if name not in {"lat_deg", "lon_deg"}}
    return {**place, "lat_e7": _e7(told.get("lat_deg"), "lat_deg"), "lon_e7": _e7(told.get("lon_deg"), "lon_deg")}


def _zone(told: dict[str, Any]) -> dict[str, Any]:
    corners = told.get("corners")
    if not isinstance(corners, list) or not all(
        isinstance(corner, list) and len(corner) == _LAT_LON for corner in corners
    ):
        raise RosterError(f"zone {told.get('id')!r}: corners are pairs of latitude and longitude in degrees")
    return {**told, "corners": [[_e7(value, "corners") for value in corner] for corner in corners]}


def _shift(told: dict[str, Any]) -> dict[str, Any]:
    shift = dict(told)
    shift["starts_s"] = _seconds(shift.pop("starts", None), "starts")
    shift["ends_s"] = _seconds(shift.pop("ends", None), "ends")
    hours = shift.pop("hours", {})
    if not isinstance(hours, dict) or not all(isinstance(value, int | float) for value in hours.values()):
        raise RosterError("hours: write hours by activity, such as { patrol = 8, report = 0.5 }")
    shift["activities"] = [[name, round(value * 3600)] for name, value in hours.items()]
    return shift


def _e7(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _MAX_DEG:
        raise RosterError(f"{name}: write degrees, such as 45.12345")
    return round(value * _E7)


def _seconds(value: Any, name: str) -> int:
    if isinstance(value, dt.datetime):
        if value.tzinfo is None:
            raise RosterError(f"{name}: give the time zone, such as 2027-01-31T06:00:00-06:00")
        return round(value.timestamp())
    if isinstance(value, dt.date):
        # The last day on which it is valid, wherever the unit is: until noon of the next day in UTC.
        after = dt.datetime.combine(value + dt.timedelta(days=1), dt.time(12), dt.UTC)
        return round(after.timestamp())
    raise RosterError(f"{name}: write a date or a date and time without quotation marks")
