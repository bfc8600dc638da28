"""The data types that stages exchange.

``Frame -> Detection -> Sighting -> Track -> Read``: frozen and slotted, records in and records out.  Units and
clocks are in the names: ``_px``, ``_m``, ``_ms``; ``t_mono_ns`` orders (the unit's monotonic clock), ``utc_ns``
is evidence (nanoseconds since 1970 UTC).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from protocol.wire.enums import FixQuality, GeotagMethod, PictureKind, TimeSource

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hw.ports import Frame
    from protocol.wire.records.read import Read as ReadBody


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-aligned rectangle in pixels of the frame; x to the right, y down, ``x1``/``y1`` exclusive."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def width_px(self) -> float:
        """Width, never negative."""
        return max(0.0, self.x1 - self.x0)

    @property
    def height_px(self) -> float:
        """Height, never negative."""
        return max(0.0, self.y1 - self.y0)

    @property
    def area_px(self) -> float:
        """Area in square pixels."""
        return self.width_px * self.height_px

    def iou(self, other: Box) -> float:
        """Intersection over union, 0..1."""
        w = min(self.x1, other.x1) - max(self.x0, other.x0)
        if w <= 0:
            return 0.0
        h = min(self.y1, other.y1) - max(self.y0, other.y0)
        if h <= 0:
            return 0.0
        shared = w * h
        return shared / (self.area_px + other.area_px - shared)


@dataclass(frozen=True, slots=True)
class Detection:
    """A box in a frame in which the detector found a plate; no text yet."""

    box: Box
    confidence: float
    """The detector's score, 0..1."""


@dataclass(frozen=True, slots=True)
class CharRead:
    """One character position of a plate text."""

    symbol: str
    confidence: float
    """Probability of ``symbol`` at this position, 0..1."""
    alternatives: tuple[tuple[str, float], ...] = ()
    """Other symbols with their probabilities, best first, at most four.  The symbol ``""`` stands for "no
    character here"."""


UNKNOWN_REGION = "?"


@dataclass(frozen=True, slots=True)
class PlateText:
    """The text of one crop, or of several fused ones: upper-case A-Z and 0-9."""

    chars: tuple[CharRead, ...]
    confidence: float
    """Calibrated probability that the whole text is correct, 0..1."""
    region: str = UNKNOWN_REGION
    """The most likely issuing region, such as ``US-CA``, ``MX``, ``EU``, however unlikely; ``?`` if unknown."""
    region_confidence: float = 0.0
    """Calibrated probability of ``region``, 0..1."""

    @property
    def text(self) -> str:
        """The characters as a string."""
        return "".join([c.symbol for c in self.chars])


@dataclass(frozen=True, slots=True)
class Sighting:
    """One plate in one frame: detection, text, and the pixels that were read."""

    frame: Frame
    detection: Detection
    plate: PlateText
    crop: NDArray[np.uint8]
    """RGB, height x width x 3: the pixels the OCR saw, before its resize."""


@dataclass(frozen=True, slots=True)
class PathPoint:
    """Where a plate was in one frame."""

    t_mono_ns: int
    box: Box


@dataclass(frozen=True, slots=True)
class Track:
    """All sightings of one plate in one pass, fused into one text: those so far (confirmed) or all (final)."""

    track_id: int
    """Unique per ``camera`` and process; the same for the confirmed and the final track."""
    camera: str
    plate: PlateText
    """The fused text of all sightings."""
    best: Sighting
    """The sighting whose picture is kept: one whose own text equals the fused text, if there is any."""
    n_sightings: int
    n_agreeing: int
    """Sightings whose own text equals the fused text."""
    t_first_mono_ns: int
    t_last_mono_ns: int
    confirmed: PlateText | None = None
    """The text with which the track was confirmed, at the second agreeing frame; None if it was not.  The final
    ``plate`` may differ."""
    path: tuple[PathPoint, ...] = ()
    """The boxes of all sightings, in the order of their frames."""
    read_id: bytes | None = None
    """Id of the read, made when the track was confirmed; None if it was not."""
    is_hit: bool = False
    """True if the final text matches a hot list."""
    is_raised: bool = False
    """True if a hit was raised for this track: its read is kept even if it is a re-read."""

    @property
    def single_frame(self) -> bool:
        """True if fewer than two frames agree on the text."""
        return self.n_agreeing < 2  # noqa: PLR2004 - two is the definition


@dataclass(frozen=True, slots=True)
class Fix:
    """A position and time solved by the receiver for one epoch."""

    t_mono_ns: int
    """Arrival of the epoch's first sentence on the monotonic clock, less the receiver's known latency."""
    utc_ns: int | None
    """None if the date is unknown or implausible: a position without a time."""
    lat_deg: float
    lon_deg: float
    alt_m: float | None
    speed_mps: float | None
    """None if the receiver does not report it."""
    course_deg: float | None
    hdop: float | None
    satellites: int | None
    quality: FixQuality
    """``NONE`` for a fixed site, whose position is configured."""
    error_m: float
    """One-sigma horizontal error of this fix."""
    date_corrected: bool = False
    """True if the receiver's date was off by whole week rollovers."""


@dataclass(frozen=True, slots=True)
class Geotag:
    """Position of a read; always present, possibly with ``method = none``."""

    method: GeotagMethod
    lat_deg: float | None = None
    lon_deg: float | None = None
    error_m: float | None = None
    """One-sigma bound of the position, growing with the distance from the nearest fix."""
    fix_age_ms: int | None = None
    """Distance in time from the exposure to the nearest fix used."""
    speed_mps: float | None = None
    course_deg: float | None = None
    alt_m: float | None = None
    hdop: float | None = None
    satellites: int | None = None
    quality: FixQuality = FixQuality.NONE


@dataclass(frozen=True, slots=True)
class TimeTag:
    """UTC of an event with source and uncertainty."""

    utc_ns: int | None
    """None if the source is ``none``."""
    source: TimeSource
    uncertainty_ms: float | None


@dataclass(frozen=True, slots=True)
class Picture:
    """A JPEG kept with a read, identified by the hash of its bytes."""

    kind: PictureKind
    sha256: bytes
    jpeg: bytes
    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True)
class Read:
    """One plate that passed once, before it is in the outbox."""

    read_id: bytes
    """UUIDv7, 16 bytes; unique even if the clock steps back."""
    plate: PlateText
    """The fused text with the alternatives of each character, for matching with hot lists."""
    body: ReadBody
    """The body that is signed, stored and sent."""
    pictures: tuple[Picture, ...]
    expires_utc_us: int | None = None
    """UTC at which it is deleted from the outbox, sent or not; None: only on receipt."""
    period_s: int | None = None
    """Seconds from the read until then, by the policy; the outbox needs it while the time is unknown."""

    @property
    def ends_mono_ns(self) -> int | None:
        """Instant of the monotonic clock from which on nobody may see it; None: no policy limits it."""
        return None if self.period_s is None else self.body.mono_us * 1_000 + self.period_s * 1_000_000_000

    @property
    def record_id(self) -> bytes:
        """The record id."""
        return self.read_id

    @property
    def retention(self) -> str:
        """The retention class; the station has the policy."""
        return self.body.retention.policy_class
