"""The table about position and time: [geotag]."""

from __future__ import annotations

from pydantic import Field

from agent.geotag import HOLD_MS
from agent.geotag.fixes import FixRingConfig
from agent.geotag.nmea import NmeaConfig
from agent.runtime.config.table import Table

_NMEA = NmeaConfig()
_FIX_RING = FixRingConfig()


class GeotagTable(Table):
    """Position and time of reads."""

    hold_ms: float = Field(
        default=HOLD_MS,
        ge=0,
        le=30_000,
        description="Maximum time in milliseconds to wait for a fix after the exposure",
    )
    max_age_s: float = Field(
        default=_FIX_RING.max_age_s,
        ge=1,
        le=86_400,
        description="Maximum age of a fix in seconds; older ones give no position",
    )
    latency_ms: float = Field(
        default=_NMEA.latency_ms, ge=0, le=2_000, description="Measured latency of the receiver in milliseconds"
    )

    def nmea_config(self) -> NmeaConfig:
        """For the parser of the receiver's sentences."""
        return NmeaConfig(latency_ms=self.latency_ms)

    def fix_ring_config(self) -> FixRingConfig:
        """For the latest fixes."""
        return FixRingConfig(max_age_s=self.max_age_s)
