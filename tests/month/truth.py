"""What happened in the simulated month, counted while it is drawn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.month.world import Person, Planned


@dataclass(slots=True)
class TrueRead:
    """One read."""

    unit: str
    read_id: bytes
    shift_id: bytes
    plate: str
    region: str
    utc_us: int
    lat_deg: float
    lon_deg: float
    zones: tuple[str, ...]
    retention: str
    """``nonhit`` or ``hit``."""
    purged: bool = False


@dataclass(frozen=True, slots=True)
class TrueHit:
    """One hit with what was decided about it."""

    unit: str
    hit_id: bytes
    read_id: bytes
    shift_id: bytes
    utc_us: int
    text: str
    """As it was read."""
    listed_text: str
    list_id: str
    list_owner: str
    list_version: int
    list_as_of_us: int
    list_stale: bool
    rule: str
    state: str
    """``confirmed``, ``rejected``, ``expired``, ``acknowledged``, ``withdrawn`` or ``new``."""
    reason: str
    """Why it was rejected."""
    outcome: str
    officer: str

    @property
    def list_age_s(self) -> int:
        """Age of the list when the plate was seen."""
        return (self.utc_us - self.list_as_of_us) // 1_000_000


@dataclass(frozen=True, slots=True)
class TrueShift:
    """A shift as it was worked."""

    shift_id: bytes
    unit: str
    badge: str
    plan_id: str
    """Empty: nobody planned it."""
    started_us: int
    ended_us: int
    hours: tuple[tuple[str, int], ...]
    """Activity and actual seconds."""
    zones_ms: tuple[tuple[str, int], ...]
    """Milliseconds in each zone; empty name: outside all."""
    distance_m: int
    unlocated_ms: int
    reads: int
    incidents: int

    @property
    def worked_s(self) -> int:
        """Seconds on duty."""
        return sum(seconds for _, seconds in self.hours)


@dataclass(frozen=True, slots=True)
class TrueCoverage:
    """One period of coverage."""

    unit: str
    shift_id: bytes
    ends_us: int
    zones: tuple[tuple[str, int, int, int], ...]
    """Zone, metres, milliseconds, reads."""
    distance_m: int
    located_ms: int
    unlocated_ms: int


@dataclass(frozen=True, slots=True)
class TrueIncident:
    """An incident in its last revision."""

    incident_id: bytes
    unit: str
    shift_id: bytes
    utc_us: int
    lat_deg: float
    lon_deg: float
    zones: tuple[str, ...]
    category: str
    case_number: str
    stage: str
    """``closed`` or ``unanswered``."""
    outcome: str
    contribution: str
    reads: tuple[bytes, ...]
    hits: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class TrueList:
    """A version of a hot list that came into force."""

    list_id: str
    name: str
    owner: str
    version: int
    as_of_us: int
    entries: int


@dataclass(frozen=True, slots=True)
class TrueLookUp:
    """Somebody asked a unit for a plate."""

    unit: str
    utc_us: int
    badge: str
    plate: str
    purpose: str
    case_number: str


@dataclass(frozen=True, slots=True)
class TruePurge:
    """A purge at the station."""

    utc_us: int
    retention: str
    before_us: int
    records: int


@dataclass(frozen=True, slots=True)
class TrueHold:
    """A legal hold: these records are not deleted until it is released."""

    case_number: str
    unit: str
    record_ids: tuple[bytes, ...]
    placed_us: int
    released_us: int


@dataclass(slots=True)
class Truth:
    """Everything that happened.  ``purges`` and ``TrueRead.purged`` are filled in while the month is stored."""

    people: list[Person] = field(default_factory=list)
    plan: list[Planned] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    """Planned shifts for which nobody came."""
    shifts: list[TrueShift] = field(default_factory=list)
    coverage: list[TrueCoverage] = field(default_factory=list)
    tracks: list[tuple[str, int, float, float]] = field(default_factory=list)
    """Unit, time and position."""
    reads: list[TrueRead] = field(default_factory=list)
    hits: list[TrueHit] = field(default_factory=list)
    incidents: list[TrueIncident] = field(default_factory=list)
    lists: list[TrueList] = field(default_factory=list)
    look_ups: list[TrueLookUp] = field(default_factory=list)
    unit_purges: list[tuple[str, int, int]] = field(default_factory=list)
    """Unit, time, and number of reads that it deleted."""
    holds: list[TrueHold] = field(default_factory=list)
    purges: list[TruePurge] = field(default_factory=list)
