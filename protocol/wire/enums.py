"""Values that messages choose from."""

from __future__ import annotations

from enum import StrEnum


class FixQuality(StrEnum):
    """How a fix was obtained, after the quality field of GGA (NMEA 0183)."""

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
    """What a read's ``utc_ns`` rests on, best first."""

    GNSS = "gnss"
    NTP = "ntp"
    HELD = "held"
    """GNSS or NTP time carried on by the monotonic clock for a while."""
    NONE = "none"
    """No time yet: the station dates the read later through the monotonic clock."""


class PictureKind(StrEnum):
    """What a picture shows."""

    PLATE = "plate"
    OVERVIEW = "overview"


class Lost(StrEnum):
    """What a tombstone stands for."""

    READ = "read"
    OVERVIEW = "overview"
    PLATE = "plate"
    RECORD = "record"
    """Records of any kind: the outbox was damaged and cannot say which."""


class LostReason(StrEnum):
    """Why it is gone."""

    BUDGET = "budget"
    """Evicted: the byte budget was reached."""
    DISK = "disk"
    """Evicted: the disk was about to be full."""
    DAMAGE = "damage"
    """The outbox file was corrupt or gone; what could be salvaged was."""
    OPERATOR = "operator"
    """A person removed it."""


class LostCause(StrEnum):
    """A closer reason, in a key of its own: stations of the first release refuse other values of ``LostReason``."""

    EXPIRED = "expired"
    """Its retention period was over."""


class NackCode(StrEnum):
    """Why the station does not take a message."""

    MALFORMED = "malformed"
    UNKNOWN_SCHEMA = "unknown_schema"
    NOT_AUTHORISED = "not_authorised"
    QUOTA = "quota"
    STORAGE = "storage"


class UnitState(StrEnum):
    """What a unit, or the broker in its name, says of itself."""

    BIRTH = "birth"
    ONLINE = "online"
    DEGRADED = "degraded"
    DYING = "dying"
    OFFLINE = "offline"


class UpdateState(StrEnum):
    """How the latest update stands on a unit."""

    IDLE = "idle"
    """None was ever seen."""
    WAITING = "waiting"
    """Offered; fetched over a link that costs nothing, or when the one on trial is decided."""
    FETCHING = "fetching"
    HANDED = "handed"
    """Fetched whole; being verified and staged."""
    TRIAL = "trial"
    """Staged; runs from the next start, until it has proven itself."""
    COMMITTED = "committed"
    ROLLED_BACK = "rolled_back"
    REFUSED = "refused"
