"""What the outbox takes and gives: rows, commands, figures."""

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
    from protocol.wire.registry import RecordBody, Registry

UNKNOWN_SCHEMA = "?"
"""Type of a row saved from a damaged file that does not say it."""


class Appendable(Protocol):
    """A record to append, such as a read; its type is in the registry, by the schema of its body."""

    @property
    def body(self) -> RecordBody:
        """What it says."""

    @property
    def record_id(self) -> bytes | None:
        """Its name; None: named after boot and number."""

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """What is sent after it."""

    @property
    def expires_utc_us(self) -> int | None:
        """From then on it is deleted, sent or not; None: it is kept until its receipt."""


@dataclass(frozen=True, slots=True)
class NewRecord:
    """A record to append that is nothing else."""

    body: RecordBody
    record_id: bytes | None = None
    pictures: tuple[Picture, ...] = ()
    expires_utc_us: int | None = None


class PicturePriority(IntEnum):
    """In which queue a picture waits, most wanted first; the numbers are in the file."""

    HIT_PLATE = -2
    HIT_OVERVIEW = -1
    PLATE = 0
    OVERVIEW = 1
    HELD = 9
    """Refused for good; waits for a person."""


SENDING = (
    PicturePriority.HIT_PLATE,
    PicturePriority.HIT_OVERVIEW,
    PicturePriority.PLATE,
    PicturePriority.OVERVIEW,
)
"""In this order; evicted in the opposite one."""
PLATES = frozenset({PicturePriority.HIT_PLATE, PicturePriority.PLATE})
OVERVIEWS = frozenset({PicturePriority.HIT_OVERVIEW, PicturePriority.OVERVIEW})
NON_HIT = "nonhit"


def picture_priority(kind: PictureKind, retention: str | None) -> PicturePriority:
    """Return where a picture waits: those of a read that somebody looks for go before all others."""
    if retention in {None, NON_HIT}:
        return PicturePriority.PLATE if kind is PictureKind.PLATE else PicturePriority.OVERVIEW
    return PicturePriority.HIT_PLATE if kind is PictureKind.PLATE else PicturePriority.HIT_OVERVIEW


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A record that waits for its receipt."""

    seq: int
    schema: str
    """Of the record's type, which this version may not know: it leaves all the same."""
    record_id: bytes
    payload: bytes
    """Final bytes, as they go over the wire."""
    priority: int = Priority.NORMAL
    """Lower leaves first."""
    kept: bool = False
    """True when it is never evicted."""
    expires_us: int | None = None
    """UTC; says when the record was made and how long its kind is kept, nothing else."""


@dataclass(frozen=True, slots=True)
class PictureRow:
    """A picture that waits; its bytes are fetched apart."""

    pic: int
    """Counts pictures in the order of appending; never used twice."""
    lane: PicturePriority
    kind: PictureKind
    seq: int
    """Of the read that first brought it."""
    read_id: bytes
    sha256: bytes
    size_bytes: int
    stored_bytes: int
    """How many bytes from the start the station is known to hold."""


@dataclass(frozen=True, slots=True)
class Receipted:
    """The station holds these records."""

    records: tuple[tuple[int, bytes], ...]
    """Sequence number and record id."""


@dataclass(frozen=True, slots=True)
class PictureStored:
    """The station holds this many bytes of a picture from its start; fewer than before when it lost some."""

    sha256: bytes
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A record was refused for good: it is set aside, kept and counted, and waits for a person."""

    seq: int
    code: str


@dataclass(frozen=True, slots=True)
class PictureQuarantined:
    """A picture was refused for good: it is set aside."""

    sha256: bytes
    code: str


Command = Receipted | PictureStored | Quarantined | PictureQuarantined


@dataclass(frozen=True, slots=True)
class Expired:
    """What was deleted because its time was over."""

    records: int = 0
    pictures: int = 0
    more: bool = False
    """True when not all was deleted at once."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a batch of commands."""

    freed: int = 0
    """Records that left the outbox."""
    pictures_freed: int = 0
    unknown: int = 0
    """Records and pictures that were not here: already receipted, evicted, or never ours."""
    quarantined: int = 0


@dataclass(frozen=True, slots=True)
class Encoded:
    """A record as it will be stored and sent."""

    record_id: bytes
    payload: bytes
    link: bytes = b""
    """What the next record is chained to; kept with the counters, in the same transaction."""


class Encoder(Protocol):
    """Turns records into final bytes, inside the append transaction and in sequence order.

    ``link`` is what the record before led to; empty where a chain begins.
    """

    @property
    def registry(self) -> Registry:
        """The types of records that can be encoded."""

    def record(self, seq: int, body: RecordBody, link: bytes, record_id: bytes | None = None) -> Encoded:
        """Encode a record; without an id of its own it is named after boot and number."""

    def picture(self, sha256: bytes, jpeg: bytes) -> tuple[bytes, bytes]:
        """Return the hash and the bytes of a picture as they are stored and sent."""

    def intact(self, row: OutboxRow) -> bool:
        """Return True when a row salvaged from a damaged file is whole."""

    def schema(self, payload: bytes) -> str | None:
        """Return the type that whole bytes name; None where they are sealed."""


@dataclass(slots=True)
class TypeCounts:
    """Records of one type."""

    waiting: int = 0
    appended: int = 0
    """Ever; as all that follow."""
    receipted: int = 0
    evicted: int = 0
    expired: int = 0


@dataclass(frozen=True, slots=True)
class OutboxStats:
    """Counters of the outbox, kept in the file itself; all of them survive a restart."""

    next_seq: int
    quarantined: int
    plates: int
    overviews: int
    """Pictures waiting."""
    held: int
    """Pictures set aside."""
    used_bytes: int
    """What waits, with an allowance for each row: what the budget is held against."""
    evicted_plates: int
    evicted_overviews: int
    expired_pictures: int
    unknown_receipts: int
    oldest_seq: int | None
    """Sequence number of the oldest waiting record."""
    types: Mapping[str, TypeCounts]
    """By schema id; types that were never appended are not there."""

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
    """What opening the file found; anything but ``moved_to is None`` is worth an alarm."""

    created: bool = False
    moved_to: str | None = None
    """Where the damaged file went."""
    damage: str = ""
    salvaged_records: int = 0
    salvaged_pictures: int = 0
    lost_at_min: int = 0
    """Records known to be gone; more may be, see the tombstone."""
    lost_pictures: int = 0
    """Pictures known to be gone; more may be."""
    problems: tuple[str, ...] = field(default=())
    """Small things that were put right, such as a missing ballast file."""
