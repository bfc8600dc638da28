"""Converts floats to the integer units of the wire: rounded, and clamped to their ranges.

Clamped rather than refused: a read with an absurd error bound is still a read.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from protocol.wire.codec import I32_MAX, I63_MAX, U8_MAX, U16_MAX, U32_MAX
from protocol.wire.parts import Place, TimeQuality

if TYPE_CHECKING:
    from agent.records import Geotag
    from protocol.wire.enums import TimeSource

_NS_PER_US = 1_000
_E4 = 10_000


def clamp(value: int, low: int, high: int) -> int:
    """Limit to ``low..high``."""
    return min(max(value, low), high)


def scaled(value: float | None, scale: float, low: int, high: int) -> int | None:
    """Round ``value * scale`` into ``low..high``; None stays None, as does NaN."""
    if value is None or math.isnan(value):
        return None
    # Clamped before rounding: infinity cannot be rounded.
    return round(min(max(value * scale, low), high))


def bound(value: float | None, scale: float) -> int | None:
    """Scale and round up into 32 bits: a bound must stay a bound."""
    if value is None or math.isnan(value):
        return None
    return math.ceil(min(max(value * scale, 0), U32_MAX))


def probability_e4(value: float) -> int:
    """Probability times 10,000."""
    return scaled(value, _E4, 0, _E4) or 0


def probability_u8(value: float) -> int:
    """Probability times 255."""
    return scaled(value, U8_MAX, 0, U8_MAX) or 0


def pixel(value: float, limit_px: int) -> int:
    """A coordinate within ``0..limit_px``."""
    return scaled(value, 1, 0, limit_px) or 0


def to_us(nanoseconds: int) -> int:
    """Microseconds, never negative."""
    return clamp(nanoseconds // _NS_PER_US, 0, I63_MAX)


def time_quality(source: TimeSource, uncertainty_ms: float | None) -> TimeQuality:
    """Source and uncertainty of a time."""
    return TimeQuality(source=source, uncertainty_ms=bound(uncertainty_ms, 1))


def place_of(where: Geotag) -> Place:
    """A geotag in the units of the wire."""
    lat_e7 = scaled(where.lat_deg, 1e7, -900_000_000, 900_000_000)
    lon_e7 = scaled(where.lon_deg, 1e7, -1_800_000_000, 1_800_000_000)
    known = lat_e7 is not None and lon_e7 is not None
    return Place(
        method=where.method,
        lat_e7=lat_e7 if known else None,
        lon_e7=lon_e7 if known else None,
        error_cm=bound(where.error_m, 100),
        fix_age_ms=None if where.fix_age_ms is None else clamp(where.fix_age_ms, 0, U32_MAX),
        speed_cmps=scaled(where.speed_mps, 100, 0, U16_MAX),
        course_cdeg=scaled(where.course_deg, 100, 0, 36_000),
        alt_cm=scaled(where.alt_m, 100, -I32_MAX, I32_MAX),
        hdop_c=scaled(where.hdop, 100, 0, U16_MAX),
        satellites=None if where.satellites is None else clamp(where.satellites, 0, U8_MAX),
        quality=where.quality,
    )
