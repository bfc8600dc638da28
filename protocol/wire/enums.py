"""Enumerations of the messages."""

from __future__ import annotations

from enum import StrEnum


class FixQuality(StrEnum):
    """How a fix was obtained, from the quality field of GGA (NMEA 0183)."""

    NONE = "none"
    GNSS = "gnss"
    DGNSS = "dgnss"
    RTK = "rtk"
    ESTIMATED = "estimated"


class GeotagMethod(StrEnum):
    """How the position of a read was obtained."""

    INTERPOLATED = "interpolated"
    EXTRAPOLATED = "extrapolated"
    STALE = "stale"
    NONE = "none"


class TimeSource(StrEnum):
    """Source of a read's ``utc_ns``, best first."""

    GNSS = "gnss"
    NTP = "ntp"
    HELD = "held"
    """GNSS or NTP time continued by the monotonic clock for a limited time."""
    NONE = "none"
    """No time yet: the station dates the read later through the monotonic clock."""


class PictureKind(StrEnum):
    """What a picture shows."""

    PLATE = "plate"
    OVERVIEW = "overview"


class MotionKind(StrEnum):
    """How a vehicle moved relative to the unit."""

    UNKNOWN = "unknown"
    PARKED = "parked"
    """It stood still."""
    APPROACHING = "approaching"
    """It came towards the camera by its own motion: oncoming traffic."""
    RECEDING = "receding"
    """It went away from the camera by its own motion."""
    OVERTAKING = "overtaking"
    """Both drove in the same direction, and one passed the other: the unit, seen by a front camera, or the vehicle,
    seen by a rear camera."""
    FOLLOWING = "following"
    """Both drove in the same direction at the same speed."""


class Lost(StrEnum):
    """What a tombstone lists."""

    READ = "read"
    OVERVIEW = "overview"
    PLATE = "plate"
    RECORD = "record"
    """Records of any type: the outbox was damaged and the types are unknown."""


class LostReason(StrEnum):
    """Why it is lost."""

    BUDGET = "budget"
    """Evicted: the byte budget was reached."""
    DISK = "disk"
    """Evicted: the disk was about to be full."""
    DAMAGE = "damage"
    """The outbox file was damaged or lost; readable rows were salvaged."""
    OPERATOR = "operator"
    """An operator deleted it."""


class LostCause(StrEnum):
    """A more specific reason, in its own key: stations of the first release refuse other values of ``LostReason``."""

    EXPIRED = "expired"
    """Its retention period was over."""


class NackCode(StrEnum):
    """Why the station refuses a message."""

    MALFORMED = "malformed"
    UNKNOWN_SCHEMA = "unknown_schema"
    NOT_AUTHORISED = "not_authorised"
    QUOTA = "quota"
    STORAGE = "storage"


class UnitState(StrEnum):
    """State of a unit, as published by it or by the broker for it."""

    BIRTH = "birth"
    ONLINE = "online"
    DEGRADED = "degraded"
    DYING = "dying"
    OFFLINE = "offline"


class UpdateState(StrEnum):
    """State of the latest update on a unit."""

    IDLE = "idle"
    """There was none yet."""
    WAITING = "waiting"
    """Offered; fetched over an unmetered link, or when the trial of the current one is over."""
    FETCHING = "fetching"
    HANDED = "handed"
    """Fetched completely; being verified and staged."""
    TRIAL = "trial"
    """Staged; runs from the next start, and is then on trial."""
    COMMITTED = "committed"
    ROLLED_BACK = "rolled_back"
    REFUSED = "refused"


class HitStage(StrEnum):
    """How far the read behind a hit has come."""

    PREVIEW = "preview"
    """Two frames agree; the plate is still in view."""
    FINAL = "final"
    """The final text still matches the entry."""
    WITHDRAWN = "withdrawn"
    """The final text does not match the entry, or there is none."""


class HitPriority(StrEnum):
    """Priority of a list, and of its hits."""

    HIGH = "high"
    """Never muted."""
    MEDIUM = "medium"
    LOW = "low"


class MatchRule(StrEnum):
    """How a read was matched with an entry."""

    EXACT = "exact"
    """The read's own text is the listed one; the letter O and the digit 0 count as equal."""
    APPROXIMATE = "approximate"
    """The listed text is another that the probabilities of the read's characters allow."""
    WILDCARD = "wildcard"
    """The entry has ``?``, each for one character."""
    PARTIAL = "partial"
    """The entry has ``*``: only part of the plate is known."""
    MANUAL = "manual"
    """An officer's entry on the unit."""


class RegionMatch(StrEnum):
    """The read's region compared with the entry's."""

    EQUAL = "equal"
    DIFFERENT = "different"
    UNKNOWN = "unknown"
    """The read or the entry has none, or one that does not say the state."""


class DispositionAction(StrEnum):
    """What was done about a hit."""

    ACKNOWLEDGED = "acknowledged"
    CONFIRMED = "confirmed"
    """An officer compared characters, region and vehicle, and the entering agency confirmed the entry."""
    REJECTED = "rejected"
    OUTCOME = "outcome"
    EXPIRED = "expired"
    """Nobody decided: it left the queue by age or overflow."""


class ShiftStage(StrEnum):
    """Why a shift is sent."""

    STARTED = "started"
    CHANGED = "changed"
    """Activity, assignment or crew changed, or it continues after a restart."""
    ENDED = "ended"


class IncidentStage(StrEnum):
    """Stage of an incident."""

    OPENED = "opened"
    CLOSED = "closed"
    """Outcome and contribution were answered."""
    UNANSWERED = "unanswered"
    """Nobody answered before the unit deleted the draft."""


class WitnessAnswer(StrEnum):
    """What a unit says of a checkpoint."""

    SIGNED = "signed"
    """It continues what the unit keeps; countersigned."""
    KEEPS = "keeps"
    """The unit keeps another one, and needs the proof from there."""
    REFUSED = "refused"
    """It does not continue the one that the unit keeps: the log was altered or cut."""
