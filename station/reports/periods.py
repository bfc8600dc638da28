"""Periods of reports: a month, quarter, half-year or year of a time zone."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from station.reports.lines import ReportError
from station.store.reporting import Period

_LABEL = re.compile(r"([0-9]{4})(?:-(?:([0-9]{2})|Q([1-4])|H([12])))?")
_MIN_YEAR, _MAX_YEAR = 1971, 9000
_YEAR, _HALF, _QUARTER = 12, 6, 3


def period_of(label: str, timezone: str) -> Period:
    """Return the period of ``2026``, ``2026-H1``, ``2026-Q1`` or ``2026-05``; raises ReportError."""
    found = _LABEL.fullmatch(label.strip())
    year = int(found[1]) if found else 0
    if not found or not _MIN_YEAR <= year <= _MAX_YEAR or (found[2] and not 1 <= int(found[2]) <= _YEAR):
        raise ReportError(f"{label!r} is no period: use 2026, 2026-H1, 2026-Q1 or 2026-05")
    if found[2]:
        first, months = int(found[2]), 1
    elif found[3]:
        first, months = int(found[3]) * _QUARTER - _QUARTER + 1, _QUARTER
    elif found[4]:
        first, months = int(found[4]) * _HALF - _HALF + 1, _HALF
    else:
        first, months = 1, _YEAR
    zone = _zone(timezone)
    return Period(_start_us(year, first, zone), _start_us(year, first + months, zone))


def recent_labels(now_us: int, months: int, count: int) -> list[str]:
    """Return the labels of the latest periods of a length, the one that goes on first."""
    now = datetime.fromtimestamp(now_us / 1e6, UTC)
    number = (now.year * _YEAR + now.month - 1) // months
    return [_label(number - back, months) for back in range(count)]


def _label(number: int, months: int) -> str:
    year, month = divmod(number * months, _YEAR)
    match months:
        case 1:
            return f"{year}-{month + 1:02}"
        case 3:
            return f"{year}-Q{month // _QUARTER + 1}"
        case 6:
            return f"{year}-H{month // _HALF + 1}"
        case _:
            return str(year)


def _start_us(year: int, month: int, zone: ZoneInfo) -> int:
    year, month = year + (month - 1) // _YEAR, (month - 1) % _YEAR + 1
    return int(datetime(year, month, 1, tzinfo=zone).timestamp()) * 1_000_000


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ReportError(
            f"{name!r} is no time zone of this machine: use a name such as America/Chicago"
        ) from error
