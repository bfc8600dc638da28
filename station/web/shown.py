"""Values as the pages show them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from station.query.export import iso

if TYPE_CHECKING:
    from collections.abc import Callable

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400
_MICROSECONDS = re.compile(r"\b(since|until|before)_us=(\d{15,16})(?= |$)")


def utc(utc_us: int | None) -> str:
    """Date and time to the second, UTC; or that it is unknown."""
    return "unknown" if utc_us is None else (iso(utc_us) or "")[:19].replace("T", " ")


def iso_time(utc_us: int | None) -> str:
    """For the ``datetime`` attribute."""
    return iso(utc_us) or ""


def age(seconds: float) -> str:
    """How long ago, in the largest unit."""
    if seconds < _MINUTE_S:
        return f"{max(0, int(seconds))} s"
    if seconds < _HOUR_S:
        return f"{int(seconds // _MINUTE_S)} min"
    return f"{int(seconds // _HOUR_S)} h" if seconds < _DAY_S else f"{int(seconds // _DAY_S)} d"


def percent(share: float) -> str:
    """A share of 1 as whole percent, rounded down: 99.9 % is not certain."""
    return f"{int(share * 100 + 1e-9)} %"


def number(value: int) -> str:
    """With separators."""
    return f"{value:,}"


def readable(asked: str) -> str:
    """What was asked for, with times instead of microseconds: ``since=2026-05-12 06:00:00``."""
    return _MICROSECONDS.sub(lambda found: f"{found[1]}={utc(int(found[2]))}", asked)


FILTERS: dict[str, Callable[..., Any]] = {
    "utc": utc,
    "iso_time": iso_time,
    "age": age,
    "percent": percent,
    "number": number,
    "readable": readable,
}
