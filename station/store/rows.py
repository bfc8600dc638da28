"""Data types of the station's store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from protocol.seal.evidence import Evidence


@dataclass(frozen=True, slots=True)
class RecordRow:
    """A stored record: its signed bytes, and its time as determined by the station."""

    unit: str
    record_id: bytes
    seq: int
    boot_id: bytes
    schema: str
    received_us: int
    """When it was received; 0 if stored by a station before 0.3, which did not record it."""
    retention: str | None
    mono_us: int | None
    utc_us: int | None
    """None while the record has no time and there is no time anchor for its boot."""
    time_source: str | None
    uncertainty_ms: int | None
    dating_gap_us: int | None
    """Distance on the monotonic clock to the time anchor that dated it; None for the unit's own time."""
    payload: bytes
    pictures: int
    """Number of its complete pictures."""


@dataclass(frozen=True, slots=True)
class EvidenceRow:
    """Evidence of a record, and the record unless it was purged."""

    evidence: Evidence
    salt: bytes | None
    """None if the record was deleted under its retention policy."""
    record: bytes | None
    life: bytes = b""


@dataclass(frozen=True, slots=True)
class ChunkResult:
    """The result of storing a chunk."""

    stored_bytes: int
    """Number of bytes stored from the start without a gap."""
    kept: bool = True
    """True if the chunk's bytes are stored, before or after a gap."""
    hopeless: bool = False
    """True if the picture was received completely several times and never matched its hash."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Sequence numbers that the station has not received, ``last`` included."""

    first: int
    last: int
    explained: bool
    """True if a tombstone of the unit lists them; False if they are missing."""

    @property
    def count(self) -> int:
        """Number of sequence numbers."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """One life of a unit: a series of numbers from 1."""

    unit: str
    life: bytes
    """Empty for a series begun before lives had ids."""
    first_us: int
    """When its first message was received, UTC; 0 for before lives were told apart."""
    seq_high: int
    """The highest number received or announced."""
    seen: tuple[tuple[int, int], ...]
    """Ranges of numbers received."""
    gaps: tuple[Gap, ...]
    removed: tuple[tuple[int, int], ...]
    """Ranges of numbers that were received, and are no longer stored, not even without their contents."""
    overlaps: int
    """How often it spoke after a later life of the unit had begun."""
    overlap_us: int | None
    """The latest time, UTC."""
    forks: int
    """Numbers that named two records: a copy of the unit's card is in use."""
    head: bytes | None
    """``head/1``, the newest that the unit signed and the station verified."""
    head_us: int | None
    """When it was received, UTC."""

    @property
    def missing(self) -> list[tuple[int, int]]:
        """Ranges of numbers neither received nor announced as lost."""
        return [(gap.first, gap.last) for gap in self.gaps if not gap.explained]

    @property
    def conflicts(self) -> int:
        """Signs that two units use one name."""
        return self.overlaps + self.forks


@dataclass(frozen=True, slots=True)
class UnitRow:
    """State of a unit."""

    unit: str
    state: str
    """Latest status, published by the unit or by the broker for it; ``?`` if there was none."""
    software: str
    seen_us: int | None
    """When it last sent something itself; None if only its retained status is known."""
    reads: int | None
    """None if they were not counted."""
    seq_high: int
    """The highest sequence number seen or announced."""
    missing: int
    """Sequence numbers neither received nor announced as lost."""
    evicted: int
    """Sequence numbers that the unit announced as lost."""
    desired: int = 0
    """The release that the station offers it; 0 for none."""
    report: bytes | None = None
    """Its latest report on updates, as received."""
    reason: str = ""
    """Reason of its latest status, such as why nothing is receipted."""
    lives: int = 1
    """Number of its lives; more than one after it was re-flashed."""
    conflicts: int = 0
    """Signs that two units use this name; 0 for none."""
    refused_today: int = 0
    """Messages refused for today, as it sent more than a unit may in a day."""
    agency: str = ""
    """As its latest record says; empty if it has none."""
    gaps: tuple[Gap, ...] = ()
    """In order."""


@dataclass(frozen=True, slots=True)
class UnitTold:
    """What a unit told last, as received; None for what it did not tell."""

    health: bytes | None
    report: bytes | None
    """On updates."""


@dataclass(frozen=True, slots=True)
class PurgeRule:
    """Records of a class, None for all, that were made or received before a time."""

    retention: str | None
    before_us: int


MAX_WAITING = 10_000_000
"""Records that may wait for an output that nobody runs; the table of one that runs may ask for as many."""
_ON_ITS_WAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class PurgePlan:
    """What is to be deleted, unless a hold keeps it."""

    rules: tuple[PurgeRule, ...] = ()
    expired_us: int | None = None
    """Also records whose own expiry is at or before this time; None: their expiry does not matter."""

    @property
    def latest_us(self) -> int:
        """Days of receipt that were over by then can be dropped whole."""
        return max([rule.before_us for rule in self.rules] + [self.expired_us or 0])

    @property
    def loose_us(self) -> int:
        """Pictures without a record that have not changed since then are deleted; younger ones may be on their way."""
        expired_us = 0 if self.expired_us is None else self.expired_us - _ON_ITS_WAY_US
        return max([rule.before_us for rule in self.rules] + [expired_us])


@dataclass(frozen=True, slots=True)
class HealthRow:
    """The latest of a unit, without what has to be counted."""

    unit: str
    state: str
    """``?`` if there was no status."""
    seen_us: int | None
    health_us: int | None
    health: bytes | None
    """Its latest health message, as received."""


@dataclass(frozen=True, slots=True)
class PurgeResult:
    """What a purge deleted."""

    records: int
    pictures: int
    classes: tuple[Purgeable, ...] = ()
    ranges: tuple[PurgedRange, ...] = ()
    days: tuple[tuple[int, int], ...] = ()
    """Days since 1970 whose partitions were dropped whole, with their number of records."""
    held: int = 0
    """Records that were due and that holds keep."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a unit sent in a day."""

    records: int = 0
    size_bytes: int = 0
    """Of records and chunks of pictures, as received."""
    loose_bytes: int = 0
    """Of chunks of pictures whose record was not stored."""
    refused: int = 0
    """Messages refused for that day."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.records + other.records,
            self.size_bytes + other.size_bytes,
            self.loose_bytes + other.loose_bytes,
            self.refused + other.refused,
        )


@dataclass(frozen=True, slots=True)
class StoreFault:
    """Something in the database that is not what a unit signed."""

    unit: str
    record_id: bytes
    """Of a record; the hash of a picture."""
    what: str


@dataclass(frozen=True, slots=True)
class Purgeable:
    """What a purge would delete of one retention class."""

    retention: str
    records: int
    first_us: int
    """Time of receipt of the oldest, UTC."""
    last_us: int
    """The same of the newest."""
    held: int = 0
    """Records of this class that a hold keeps, not among ``records``."""


@dataclass(frozen=True, slots=True)
class AuditRow:
    """An entry of the audit trail."""

    utc_us: int
    who: str
    what: str
    filter: str
    """Filter, as ``name=value`` pairs; empty for all."""
    count: int
    """Number of records, pictures or units."""
    purpose: str = ""
    case_number: str = ""
    document: bytes = b""
    """SHA-256 of the certificate, hold or release that the entry is about; kept in the log alone."""


@dataclass(frozen=True, slots=True)
class AuditSearch:
    """Every condition must be met; empty ones and None always are."""

    who: str = ""
    case_number: str = ""
    what: str = ""
    """The beginning of it."""
    filter: str | None = None
    since_us: int | None = None
    until_us: int | None = None
    names: frozenset[str] | None = None
    """Only entries of these; None for everybody's."""
    ascending: bool = False
    """The oldest first."""


@dataclass(frozen=True, slots=True)
class OfferedFile:
    """A file as it is offered to units."""

    kind: str
    release: int
    """Version of the file, from 1; units decide by what is signed inside the file."""
    sha256: bytes
    size_bytes: int
    parts: tuple[str, ...] = ()
    """Contents of an update; empty for other kinds."""


@dataclass(frozen=True, slots=True, order=True)
class StreamPlace:
    """A place in the stream of new records."""

    xid: int
    """On PostgreSQL, the transaction that stored the record; otherwise 0."""
    number: int


@dataclass(frozen=True, slots=True)
class StreamRow:
    """A new record, as outputs get it."""

    place: StreamPlace
    unit: str
    record_id: bytes
    schema: str
    received_us: int
    row: RecordRow | None
    """None if it was purged meanwhile."""


@dataclass(frozen=True, slots=True)
class OutputState:
    """State of an output."""

    name: str
    schemas: tuple[str, ...]
    registered_us: int
    waiting: int
    oldest_us: int | None
    """Time of receipt of the oldest record that waits; None if none does."""
    delivered: int
    skipped: int
    """Not sent: purged or expired meanwhile, or not to be shared."""
    overflowed: int
    """Left out because too many waited."""
    buried: int
    """Given up since the output was added; those that are still kept are ``dead``."""
    dead: int
    attempts: int
    """Failed attempts at the next record."""
    delivered_us: int | None
    last_error: str
    holder: str
    """Process that delivers; empty for none."""
    lease_us: int
    """UTC until which it does, unless it prolongs."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that could not be delivered."""

    number: int
    output: str
    unit: str
    record_id: bytes
    schema: str
    received_us: int
    failed_us: int
    attempts: int
    reason: str


@dataclass(frozen=True, slots=True)
class CheckpointRow:
    """A signed checkpoint of the audit log."""

    size: int
    """Number of entries."""
    note: str
    made_us: int


@dataclass(frozen=True, slots=True)
class WitnessRow:
    """The latest countersignature of a unit."""

    unit: str
    size: int
    """Of the checkpoint."""
    line: str
    received_us: int


@dataclass(frozen=True, slots=True)
class ConflictRow:
    """A checkpoint that this station signed, that a unit keeps, and that this database does not continue."""

    unit: str
    size: int
    note: str
    received_us: int


@dataclass(frozen=True, slots=True)
class HoldRow:
    """A legal hold: what was written when it was placed, and when it was released."""

    number: int
    statement: bytes
    release: bytes | None


@dataclass(frozen=True, slots=True)
class PurgeRow:
    """A purge: its certificate."""

    number: int
    certificate: bytes


ANY_LIFE = b"*"
"""Life of the numbers of earlier purges, which did not tell lives apart."""


@dataclass(frozen=True, slots=True)
class PurgedRange:
    """Sequence numbers of a life of a unit whose contents one purge deleted, ``last`` included."""

    unit: str
    first: int
    last: int
    life: bytes = b""


@dataclass(frozen=True, slots=True)
class DefinitionRow:
    """A definition of a report that somebody made."""

    id: str
    text: str
    """TOML."""
    who: str
    changed_us: int


@dataclass(frozen=True, slots=True)
class Rollout:
    """The latest file of a kind for a group of units."""

    kind: str
    group: str
    release: int
    sha256: bytes
    size_bytes: int
    parts: tuple[str, ...]
    percent: int
    """Share of the units to which it is offered."""
    started_us: int
    changed_us: int
    who: str
