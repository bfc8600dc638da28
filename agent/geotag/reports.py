"""Positions in JSON: TPV reports of gpsd, and the position of a fixed site from the configuration.

gpsd's reports are described in gpsd_json(5).  They have no checksum; they come over a local socket or from the
configuration, not over a serial line.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

from agent.geotag.sentences import NS_PER_S, Refusal, RefusedError
from protocol.wire.enums import FixQuality

_MAX_CHARS = 8192
_UNKNOWN_ERROR_M = 25.0
_MIN_ERROR_M = 1.0
_LEAP_SECOND = "23:59:60"
_MODE_2D = 2
_SIMULATED = 8
_STATUS: Final = {
    2: FixQuality.DGNSS,
    3: FixQuality.RTK,
    4: FixQuality.RTK,
    5: FixQuality.ESTIMATED,
    6: FixQuality.ESTIMATED,
}


@dataclass(frozen=True, slots=True)
class Report:
    """A position without sentences."""

    lat_deg: float
    lon_deg: float
    error_m: float
    """One-sigma horizontal error."""
    quality: FixQuality
    """``NONE`` for a fixed site, which uses no satellites."""
    day: date | None = None
    tod_ns: int | None = None
    alt_m: float | None = None
    speed_mps: float | None = None
    course_deg: float | None = None


def is_report(text: str) -> bool:
    """True for a line of JSON."""
    return text.startswith('{"')


def parse_report(text: str) -> Report:
    """Parse one line.  Raises RefusedError with the reason if it has no position."""
    try:
        report = json.loads(text) if len(text) <= _MAX_CHARS else None
    except (ValueError, RecursionError) as error:
        raise RefusedError(Refusal.GARBAGE) from error
    if not isinstance(report, dict):
        raise RefusedError(Refusal.GARBAGE)
    match report.get("class"):
        case "TPV":
            return _tpv(report)
        case "SITE":
            lat_deg, lon_deg = _place(report)
            error_m = _number(report, "error_m", 0, math.inf)
            if error_m is None:
                raise RefusedError(Refusal.BAD_FIELDS)
            return Report(lat_deg, lon_deg, error_m, FixQuality.NONE, speed_mps=0.0)
        case _:
            raise RefusedError(Refusal.OTHER)


def _tpv(report: dict[str, Any]) -> Report:
    mode, status = report.get("mode"), report.get("status")
    if not isinstance(mode, int) or mode < _MODE_2D or status == _SIMULATED:
        raise RefusedError(Refusal.VOID)
    lat_deg, lon_deg = _place(report)
    day, tod_ns = _time(report.get("time"))
    alt_m = _number(report, "altMSL", -math.inf, math.inf)
    course_deg = _number(report, "track", 0, 360)
    return Report(
        lat_deg,
        lon_deg,
        _error_m(report),
        _STATUS.get(status, FixQuality.GNSS) if isinstance(status, int) else FixQuality.GNSS,
        day=day,
        tod_ns=tod_ns,
        alt_m=_number(report, "alt", -math.inf, math.inf) if alt_m is None else alt_m,
        speed_mps=_number(report, "speed", 0, math.inf),
        course_deg=None if course_deg is None else course_deg % 360,
    )


def _error_m(report: dict[str, Any]) -> float:
    """Estimates of gpsd have an unknown confidence: they are used as one sigma, which is conservative."""
    east_m, north_m = (_number(report, name, 0, math.inf) for name in ("epx", "epy"))
    either_m = _number(report, "eph", 0, math.inf)
    if east_m is not None and north_m is not None:
        either_m = max(either_m or 0.0, math.hypot(east_m, north_m))
    return max(_MIN_ERROR_M, _UNKNOWN_ERROR_M if either_m is None else either_m)


def _place(report: dict[str, Any]) -> tuple[float, float]:
    lat_deg, lon_deg = _number(report, "lat", -90, 90), _number(report, "lon", -180, 180)
    if lat_deg is None or lon_deg is None:
        raise RefusedError(Refusal.BAD_FIELDS)
    return lat_deg, lon_deg


def _number(report: dict[str, Any], name: str, low: float, high: float) -> float | None:
    value = report.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RefusedError(Refusal.BAD_FIELDS)
    try:
        number = float(value)
    except OverflowError as error:
        raise RefusedError(Refusal.BAD_FIELDS) from error
    if not math.isfinite(number) or not low <= number <= high:
        raise RefusedError(Refusal.BAD_FIELDS)
    return number


def _time(text: object) -> tuple[date | None, int | None]:
    if not isinstance(text, str):
        return None, None
    leap_s = _LEAP_SECOND in text
    try:
        at = datetime.fromisoformat(text.replace(_LEAP_SECOND, "23:59:59"))
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise RefusedError(Refusal.BAD_FIELDS) from error
    seconds = at.hour * 3600 + at.minute * 60 + at.second + leap_s
    return at.date(), seconds * NS_PER_S + at.microsecond * 1000
