"""The messages as frozen records, in the integer units of the wire; docs/wire-format.md gives each key.

Integers, because they hash and compare the same everywhere: µs, 1e-7 degrees, cm, probabilities times 10,000.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from protocol.wire.enums import (
        FixQuality,
        GeotagMethod,
        Lost,
        LostReason,
        NackCode,
        PictureKind,
        TimeSource,
        UnitState,
    )


@dataclass(frozen=True, slots=True)
class TimeQuality:
    """How far to trust a time."""

    source: TimeSource
    uncertainty_ms: int | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a read happened, with method and error bound."""

    method: GeotagMethod
    lat_e7: int | None
    lon_e7: int | None
    error_cm: int | None
    fix_age_ms: int | None
    speed_cmps: int | None
    course_cdeg: int | None
    alt_cm: int | None
    hdop_c: int | None
    satellites: int | None
    quality: FixQuality

    @property
    def lat_deg(self) -> float | None:
        """Latitude in degrees."""
        return None if self.lat_e7 is None else self.lat_e7 / 1e7

    @property
    def lon_deg(self) -> float | None:
        """Longitude in degrees."""
        return None if self.lon_e7 is None else self.lon_e7 / 1e7


@dataclass(frozen=True, slots=True)
class PictureRef:
    """A picture that belongs to a read; its bytes come as chunks."""

    kind: PictureKind
    sha256: bytes
    size_bytes: int
    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True)
class ReadMessage:
    """``read/1``."""

    unit: str
    agency: str
    boot_id: bytes
    seq: int
    read_id: bytes
    camera: str
    camera_role: str
    utc_us: int | None
    time: TimeQuality
    mono_us: int
    mono_first_us: int
    mono_last_us: int
    n_sightings: int
    n_agreeing: int
    single_frame: bool
    text: str
    raw: str
    confidence_e4: int
    char_confidence_u8: bytes
    """One byte a character: probability times 255."""
    alternatives: tuple[tuple[str, int], ...]
    """Other texts with their probability times 10,000."""
    region: str
    region_confidence_e4: int
    box_px: tuple[int, int, int, int]
    frame_px: tuple[int, int]
    """Width, height."""
    place: Place
    track_id: int
    pictures: tuple[PictureRef, ...]
    software: str
    models: tuple[str, ...]
    retention: str
    extra: bytes = b""
    """Keys this version does not know, packed; kept so that nothing is lost on the way through."""


@dataclass(frozen=True, slots=True)
class TimeAnchorMessage:
    """``dating/1``: ties a boot's monotonic clock to UTC, for reads that were made before there was a time."""

    unit: str
    agency: str
    boot_id: bytes
    seq: int
    record_id: bytes
    dated_boot_id: bytes
    mono_us: int
    utc_us: int
    time: TimeQuality
    extra: bytes = b""


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What will never come, and why."""

    lost: Lost
    reason: LostReason
    count: int
    """How many are known to be gone; with ``damage`` at least this many."""
    size_bytes: int
    ranges: tuple[tuple[int, int], ...]
    """Inclusive ranges of sequence numbers.  Of these, whatever the station has not got by the time the tombstone
    comes in will not come any more; for pictures the numbers are those of the reads they belong to."""


@dataclass(frozen=True, slots=True)
class TombstoneMessage:
    """``tomb/1``."""

    unit: str
    agency: str
    boot_id: bytes
    seq: int
    record_id: bytes
    tombstone: Tombstone
    extra: bytes = b""


@dataclass(frozen=True, slots=True)
class PictureChunk:
    """``chunk/1``: some bytes of a picture."""

    unit: str
    boot_id: bytes
    read_id: bytes
    kind: PictureKind
    sha256: bytes
    total_bytes: int
    offset: int
    data: bytes
    extra: bytes = b""


@dataclass(frozen=True, slots=True)
class HealthMessage:
    """``health/1``: all that is counted."""

    unit: str
    boot_id: bytes
    mono_us: int
    utc_us: int | None
    seq_high: int
    """The last sequence number given out; 0 for none."""
    counters: tuple[tuple[str, int], ...]
    """Ever-growing since the boot, sorted by name."""
    gauges: tuple[tuple[str, int], ...]
    """Present values, sorted by name, the unit in the name."""
    extra: bytes = b""


@dataclass(frozen=True, slots=True)
class StatusMessage:
    """``status/1``, retained."""

    unit: str
    boot_id: bytes
    state: UnitState
    reason: str
    software: str
    models: tuple[str, ...]
    extra: bytes = b""


@dataclass(frozen=True, slots=True)
class Receipt:
    """``receipt/1``: what the station has made durable.  Only this frees a row of the outbox."""

    unit: str
    station: str
    stored_us: int
    records: tuple[tuple[int, bytes], ...] = ()
    """Sequence number and record id of each record."""
    pictures: tuple[tuple[bytes, int], ...] = ()
    """SHA-256 and how many bytes from the start are stored; when that is all of them, their hash was right."""
    extra: bytes = b""


@dataclass(frozen=True, slots=True)
class Nack:
    """``nack/1``: the station will not take a message."""

    unit: str
    ref: bytes
    """SHA-256 of the refused payload: works for payloads nobody can read."""
    code: NackCode
    retry: bool
    """True when the same bytes may be taken later."""
    detail: str
    extra: bytes = b""


@dataclass(frozen=True, slots=True)
class PictureStatus:
    """``picstat/1``: the station lacks this picture from ``offset`` on; go on from there."""

    unit: str
    sha256: bytes
    offset: int
    extra: bytes = b""
