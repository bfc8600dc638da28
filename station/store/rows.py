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
    agency: str = ""
    """As its latest record says; empty if it has none."""
    gaps: tuple[Gap, ...] = ()
    """In order."""


@dataclass(frozen=True, slots=True)
class PurgeResult:
    """What a purge deleted."""

    records: int
    pictures: int


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
