"""Whether a list is in force at a time and place: schedule, area, expiry."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from protocol.errors import HotlistError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

    from protocol.hotlist.manifest import Settings, Window

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def load_zone(settings: Settings) -> tzinfo:
    """Return the time zone of a list's schedule; raises HotlistError for one that this system does not know.

    Without a schedule none is needed, and a system may have no time zones.
    """
    if settings.timezone == "UTC" or not settings.schedule:
        return UTC
    try:
        return ZoneInfo(settings.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise HotlistError(
            f"list {settings.list_id}: time zone {settings.timezone!r} is not known here: use an IANA name, such as "
            "America/Denver, or install tzdata"
        ) from error


def is_scheduled(schedule: Sequence[Window], zone: tzinfo, now_utc_us: int | None) -> bool:
    """True if a window is open now, if there are no windows, or if the time is unknown: no listed plate is hidden."""
    if not schedule or now_utc_us is None:
        return True
    try:
        local = (_EPOCH + timedelta(microseconds=now_utc_us)).astimezone(zone)
    except OverflowError:
        return True
    minute, day = local.hour * 60 + local.minute, local.weekday()
    for window in schedule:
        if window.from_minute < window.to_minute:
            if day in window.days and window.from_minute <= minute < window.to_minute:
                return True
        elif (day in window.days and minute >= window.from_minute) or (
            (day - 1) % 7 in window.days and minute < window.to_minute
        ):
            return True
    return False


def is_inside(area: Sequence[Sequence[tuple[int, int]]], lat_deg: float | None, lon_deg: float | None) -> bool:
    """True in one of the polygons, if there are none, or if the position is unknown.

    Corners are in millionths of a degree; even-odd rule, edges are straight in latitude and longitude.
    """
    if not area or lat_deg is None or lon_deg is None:
        return True
    lat, lon = lat_deg * 1e6, lon_deg * 1e6
    return any(_is_in_polygon(polygon, lat, lon) for polygon in area)


def _is_in_polygon(polygon: Sequence[tuple[int, int]], lat: float, lon: float) -> bool:
    inside = False
    last_lat, last_lon = polygon[-1]
    for corner_lat, corner_lon in polygon:
        if (corner_lat > lat) != (last_lat > lat):
            crossing = corner_lon + (lat - corner_lat) / (last_lat - corner_lat) * (last_lon - corner_lon)
            inside ^= lon < crossing
        last_lat, last_lon = corner_lat, corner_lon
    return inside
