"""Position now, from the latest fix, for what does not wait for the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.records import Geotag
from protocol.wire.enums import GeotagMethod

if TYPE_CHECKING:
    from agent.records import Fix

_NS_PER_S = 1_000_000_000
_FRESH_S, _MAX_AGE_S = 5.0, 600.0
_MAX_SPEED_MPS = 60.0


def here(fix: Fix | None, t_mono_ns: int) -> Geotag:
    """Position now: that of the latest fix, with a bound that grows with its age at the highest speed."""
    if fix is None:
        return Geotag(GeotagMethod.NONE)
    age_s = (t_mono_ns - fix.t_mono_ns) / _NS_PER_S
    if not 0 <= age_s <= _MAX_AGE_S:
        return Geotag(GeotagMethod.NONE)
    moved_m = age_s * (_MAX_SPEED_MPS if fix.speed_mps is None or age_s > _FRESH_S else fix.speed_mps)
    return Geotag(
        method=GeotagMethod.EXTRAPOLATED if age_s <= _FRESH_S else GeotagMethod.STALE,
        lat_deg=fix.lat_deg,
        lon_deg=fix.lon_deg,
        error_m=fix.error_m + moved_m,
        fix_age_ms=round(age_s * 1000),
        speed_mps=fix.speed_mps,
        course_deg=fix.course_deg,
        alt_m=fix.alt_m,
        hdop=fix.hdop,
        satellites=fix.satellites,
        quality=fix.quality,
    )
