"""Data types of the outbox: rows, commands, counters."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

from protocol.wire.enums import PictureKind
from protocol.wire.records.read import Read
from protocol.wire.registry import Priority

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.records import Picture
    from protocol.wire.parts import TimeQuality
    from protocol.wire.registry import RecordBody, Registry

UNKNOWN_SCHEMA = "?"
"""Type of a row salvaged from a damaged file, if unknown."""


class Appendable(Protocol):
    """A record to append, such as a read; its type is looked up in the registry by the schema of its body."""

    @property
    def body(self) -> RecordBody:
        """The body of the record."""

    @property
    def record_id(self) -> bytes | None:
        """Record id; if None, it is made from boot and number."""

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """Pictures, which are sent after the record."""

    @property
    def expires_utc_us(self) -> int | None:
        """UTC from which on it is deleted, sent or not; None: kept until its receipt."""


@dataclass(frozen=True, slots=True)
class NewRecord:
    """A record that has only a body."""

    body: RecordBody
    record_id: bytes | None = None
    pictures: tuple[Picture, ...] = ()
    expires_utc_us: int | None = None
    period_s: int | None = None
    """Seconds from its making until it expires, if its time is not known yet."""


class PicturePriority(IntEnum):
    """Queue in which a picture waits, most important first; the numbers are stored in the file."""

    HIT_PLATE = -2
    HIT_OVERVIEW = -1
    PLATE = 0
    OVERVIEW = 1
    QUARANTINED = 9
    """Refused permanently; waits for an operator."""


SENDING = (
    PicturePriority.HIT_PLATE,
    PicturePriority.HIT_OVERVIEW,
    PicturePriority.PLATE,
    PicturePriority.OVERVIEW,
)
"""The order of sending; eviction is in the opposite order."""
PLATES = frozenset({PicturePriority.HIT_PLATE, PicturePriority.PLATE})
OVERVIEWS = frozenset({PicturePriority.HIT_OVERVIEW, PicturePriority.OVERVIEW})
NON_HIT = "nonhit"


def picture_priority(kind: PictureKind, retention: str | None) -> PicturePriority:
    """Return the queue of a picture: pictures of hits before all others."""
    if retention in {None, NON_HIT}:
        return PicturePriority.PLATE if kind is PictureKind.PLATE else PicturePriority.OVERVIEW
    return PicturePriority.HIT_PLATE if kind is PictureKind.PLATE else PicturePriority.HIT_OVERVIEW


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A record that waits for its receipt."""

    seq: int
    schema: str
    """Schema of the record's type, which this version may not know; it is sent anyway."""
    record_id: bytes
    payload: bytes
    """Final wire bytes."""
    priority: int = Priority.NORMAL
    """Lower numbers are sent first."""
    kept: bool = False
    """True if it is never evicted."""
    expires_us: int | None = None
    """UTC; depends only on when the record was made and on its retention class."""
    retention: str | None = None
    """The retention class; empty if the type has none, None if a version stored it that did not note the class."""


@dataclass(frozen=True, slots=True)
class PictureRow:
    """A waiting picture; its bytes are fetched separately."""

    pic: int
    """Number in the order of appending; never used twice."""
    priority: PicturePriority
    kind: PictureKind
    seq: int
    """Id of the read with which it was first stored."""
    read_id: bytes
    sha256: bytes
    size_bytes: int
    stored_bytes: int
    """Number of bytes from the start that the station has confirmed."""


@dataclass(frozen=True, slots=True)
class Receipted:
    """The station has stored these records."""

    records: tuple[tuple[int, bytes], ...]
    """Sequence number and record id."""


@dataclass(frozen=True, slots=True)
class PictureStored:
    """The station has this many bytes of a picture from its start; fewer than before if it lost some."""

    sha256: bytes
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A record was refused permanently: it is quarantined, counted, and kept for an operator."""

    seq: int
    code: str


@dataclass(frozen=True, slots=True)
class PictureQuarantined:
    """A picture was refused permanently: it is quarantined."""

    sha256: bytes
    code: str


Command = Receipted | PictureStored | Quarantined | PictureQuarantined


@dataclass(frozen=True, slots=True)
class PurgeNote:
    """What a purge record says beside its counts."""

    policy: str
    """Id and version of the policy in force; empty for none."""
    time: TimeQuality
    mono_us: int


@dataclass(frozen=True, slots=True)
class Expired:
    """The result of one deletion of expired rows."""

    records: int = 0
    pictures: int = 0
    more: bool = False
    """True if expired rows are left."""


@dataclass(frozen=True, slots=True)
class Applied:
    """The result of a batch of commands."""

    freed: int = 0
    """Records deleted from the outbox."""
    pictures_freed: int = 0
    unknown: int = 0
    """Records and pictures not in the outbox: already receipted, evicted, or of another unit."""
    quarantined: int = 0


@dataclass(frozen=True, slots=True)
class Encoded:
    """A record as it is stored and sent."""

    record_id: bytes
    payload: bytes
    link: bytes = b""
    """Link for the next record; stored with the counters, in the same transaction."""


class Encoder(Protocol):
    """Turns records into final bytes, inside the append transaction and in sequence order.

    ``link`` is that of the record before; empty where a chain begins.
    """

    @property
    def registry(self) -> Registry:
        """The types of records that can be encoded."""

    def record(self, seq: int, body: RecordBody, link: bytes, record_id: bytes | None = None) -> Encoded:
        """Encode a record; without its own id it gets one made from boot and number."""

    def picture(self, sha256: bytes, jpeg: bytes) -> tuple[bytes, bytes]:
        """Return the hash and the bytes of a picture as they are stored and sent."""

    def intact(self, row: OutboxRow) -> bool:
        """Return True if a row salvaged from a damaged file is intact."""

    def schema(self, payload: bytes) -> str | None:
        """Return the type of intact bytes; None if they are sealed."""


@dataclass(slots=True)
class TypeCounts:
    """Counters of one record type."""

    waiting: int = 0
    appended: int = 0
    """Total, as are all that follow."""
    receipted: int = 0
    evicted: int = 0
    expired: int = 0


@dataclass(frozen=True, slots=True)
class OutboxStats:
    """Counters of the outbox, stored in its file."""

    next_seq: int
    quarantined: int
    plates: int
    overviews: int
    """Pictures waiting."""
    held: int
    """Quarantined pictures."""
    used_bytes: int
    """Bytes of all waiting rows, with an allowance for each row; compared with the budget."""
    evicted_plates: int
    evicted_overviews: int
    expired_pictures: int
    unknown_receipts: int
    oldest_seq: int | None
    """Sequence number of the oldest waiting record."""
    done_seq: int
    """Up to this number no record waits or is quarantined: all were receipted, or deleted with a tombstone."""
    link: bytes
    """Chain link of the latest record; empty before the first, and without keys."""
    types: Mapping[str, TypeCounts]
    """By schema id; types that were never appended are absent."""

    @property
    def waiting(self) -> int:
        """Records waiting."""
        return sum(counts.waiting for counts in self.types.values())

    @property
    def reads(self) -> int:
        """Reads waiting."""
        return self._of_reads.waiting

    @property
    def others(self) -> int:
        """Waiting records of all other types."""
        return self.waiting - self.reads

    @property
    def appended(self) -> int:
        """Reads ever appended."""
        return self._of_reads.appended

    @property
    def receipted(self) -> int:
        """Reads that left by receipt."""
        return self._of_reads.receipted

    @property
    def evicted_reads(self) -> int:
        """Reads evicted."""
        return self._of_reads.evicted

    @property
    def _of_reads(self) -> TypeCounts:
        return self.types.get(Read.SCHEMA, TypeCounts())


@dataclass(frozen=True, slots=True)
class OpenReport:
    """Result of opening the file; ``moved_to`` other than None is worth an alarm."""

    created: bool = False
    moved_to: str | None = None
    """New name of the damaged file."""
    damage: str = ""
    salvaged_records: int = 0
    salvaged_pictures: int = 0
    lost_at_min: int = 0
    """Records known to be lost; there may be more, see the tombstone."""
    lost_pictures: int = 0
    """Pictures known to be lost; there may be more."""
    taken_from: str = ""
    """The file of an older release whose rows were taken over; empty for none."""
    taken_records: int = 0
    taken_pictures: int = 0
    problems: tuple[str, ...] = field(default=())
    """Minor repairs, such as a missing ballast file."""
