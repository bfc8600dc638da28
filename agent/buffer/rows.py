"""What the outbox takes and gives: rows, commands, figures."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

from protocol.wire.enums import PictureKind

if TYPE_CHECKING:
    from protocol.wire.registry import RecordBody


class RowKind(IntEnum):
    """What a row holds; the numbers are in the file."""

    READ = 0
    TIME_ANCHOR = 1
    TOMBSTONE = 2


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


def picture_priority(kind: PictureKind, retention: str) -> PicturePriority:
    """Return where a picture waits: those of a read that somebody looks for go before all others."""
    if retention == NON_HIT:
        return PicturePriority.PLATE if kind is PictureKind.PLATE else PicturePriority.OVERVIEW
    return PicturePriority.HIT_PLATE if kind is PictureKind.PLATE else PicturePriority.HIT_OVERVIEW


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A record that waits for its receipt."""

    seq: int
    kind: RowKind
    record_id: bytes
    payload: bytes
    """Final bytes, as they go over the wire."""


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

    def record(self, seq: int, body: RecordBody, link: bytes, record_id: bytes | None = None) -> Encoded:
        """Encode a record; without an id of its own it is named after boot and number."""

    def picture(self, sha256: bytes, jpeg: bytes) -> tuple[bytes, bytes]:
        """Return the hash and the bytes of a picture as they are stored and sent."""

    def intact(self, row: OutboxRow) -> bool:
        """Return True when a row salvaged from a damaged file is whole."""


@dataclass(frozen=True, slots=True)
class OutboxStats:
    """Counters of the outbox, kept in the file itself; all of them survive a restart."""

    next_seq: int
    reads: int
    """Reads waiting."""
    others: int
    """Datings and tombstones waiting."""
    quarantined: int
    plates: int
    overviews: int
    """Pictures waiting."""
    held: int
    """Pictures set aside."""
    used_bytes: int
    """What waits, with an allowance for each row: what the budget is held against."""
    appended: int
    """Reads ever appended."""
    receipted: int
    """Reads that left by receipt."""
    evicted_reads: int
    evicted_plates: int
    evicted_overviews: int
    unknown_receipts: int
    oldest_seq: int | None
    """Sequence number of the oldest waiting record."""


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
