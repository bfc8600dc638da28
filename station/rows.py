"""What the station's store gives out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoredRead:
    """A read as the station shows and exports it, in the integer units of the wire."""

    read_id: bytes
    unit: str
    agency: str
    boot_id: bytes
    seq: int
    camera: str
    role: str
    utc_us: int | None
    """None while the read has no time and no dating has come for its boot."""
    time_source: str
    uncertainty_ms: int | None
    dated: bool
    """True when the unit had no time yet and the station dated the read through the monotonic clock."""
    mono_us: int
    text: str
    raw: str
    confidence_e4: int
    region: str
    region_e4: int
    single_frame: bool
    n_sightings: int
    n_agreeing: int
    method: str
    lat_e7: int | None
    lon_e7: int | None
    error_cm: int | None
    retention: str
    received_us: int
    pictures: int
    """How many of its pictures are here, whole."""

    @property
    def lat_deg(self) -> float | None:
        """Latitude in degrees."""
        return None if self.lat_e7 is None else self.lat_e7 / 1e7

    @property
    def lon_deg(self) -> float | None:
        """Longitude in degrees."""
        return None if self.lon_e7 is None else self.lon_e7 / 1e7


@dataclass(frozen=True, slots=True)
class UnitRow:
    """What is known of a unit."""

    unit: str
    state: str
    """As the unit, or the broker in its name, said last; ``?`` when it never did."""
    software: str
    seen_us: int | None
    """When it last sent something itself; None when only its retained status is known."""
    reads: int
    seq_high: int
    """The highest sequence number seen or announced."""
    missing: int
    """Sequence numbers that neither came nor were announced as lost."""
    evicted: int
    """Sequence numbers that the unit announced as lost."""
    desired: int = 0
    """The release that the station offers it; 0 for none."""
    report: bytes | None = None
    """What it said last of its releases, as it came."""


@dataclass(frozen=True, slots=True)
class PurgeResult:
    """What a purge deleted."""

    reads: int
    pictures: int


@dataclass(frozen=True, slots=True)
class AuditRow:
    """Who did what with the reads, and when."""

    utc_us: int
    who: str
    what: str
    count: int
    """How many reads."""
