"""Where the vehicle can be, some time after a fix."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.policy.records import Where
from protocol.wire.enums import FixQuality

if TYPE_CHECKING:
    from agent.records import Fix, Geotag

_NS_PER_S = 1_000_000_000
_ACCELERATION_MPS2 = 4.0
"""As :class:`agent.geotag.fixes.FixRingConfig`: hard braking or acceleration."""
_SPEED_MAX_MPS = 60.0


def where_now(fix: Fix | None, t_mono_ns: int) -> Where:
    """Return the position of the latest fix, with a bound that grows by how far the vehicle can have come since."""
    if fix is None:
        return Where()
    if fix.quality is FixQuality.NONE:
        return Where(fix.lat_deg, fix.lon_deg, fix.error_m)
    age_s = abs(t_mono_ns - fix.t_mono_ns) / _NS_PER_S
    speed_mps = _SPEED_MAX_MPS if fix.speed_mps is None else fix.speed_mps
    reach_m = min(speed_mps * age_s + _ACCELERATION_MPS2 * age_s * age_s / 2, _SPEED_MAX_MPS * age_s)
    return Where(fix.lat_deg, fix.lon_deg, fix.error_m + reach_m)


def where_of(geotag: Geotag) -> Where:
    """Return the position of a geotag; unknown if it has no bound."""
    return Where(geotag.lat_deg, geotag.lon_deg, geotag.error_m)
