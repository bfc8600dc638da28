"""What the station's store takes and gives out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from protocol.seal.evidence import Evidence


@dataclass(frozen=True, slots=True)
class RecordRow:
    """A record as it is stored: its signed bytes, and the station's own view of its time."""

    unit: str
    record_id: bytes
    seq: int
    boot_id: bytes
    schema: str
    received_us: int
    """When it was received; 0 when a station before 0.3 did not note it."""
    retention: str | None
    mono_us: int | None
    utc_us: int | None
    """None while the record has no time and no time anchor has come for its boot."""
    time_source: str | None
    uncertainty_ms: int | None
    dating_gap_us: int | None
    """Distance on the monotonic clock to the time anchor that dated it; None for the unit's own time."""
    payload: bytes
    pictures: int
    """How many of its pictures are here, whole."""


@dataclass(frozen=True, slots=True)
class EvidenceRow:
    """A proof, and what it proves while that is still here."""

    evidence: Evidence
    salt: bytes | None
    """None after the record was deleted under its retention policy."""
    record: bytes | None


@dataclass(frozen=True, slots=True)
class ChunkResult:
    """What became of a chunk."""

    stored_bytes: int
    """How many bytes from the start are here now, without a hole."""
    kept: bool = True
    """True when the chunk's bytes are here, before or after a hole."""
    hopeless: bool = False
    """True when the whole picture came several times and never matched its hash."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Sequence numbers the station has not got, ``last`` included."""

    first: int
    last: int
    explained: bool
    """True when the unit's tombstone said that they will not come; False when nobody knows where they are."""

    @property
    def count(self) -> int:
        """How many numbers."""
        return self.last - self.first + 1


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

    records: int
    pictures: int


@dataclass(frozen=True, slots=True)
class AuditRow:
    """Who asked for what, or did what, and when."""

    utc_us: int
    who: str
    what: str
    filter: str
    """What was asked for, as ``name=value`` pairs; empty for all."""
    count: int
    """How many records, pictures or units."""
