"""What the outbox takes and gives: rows, commands, figures."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

from agent.records import PictureKind

if TYPE_CHECKING:
    from agent.records import Dating, Read
    from agent.sync.wire import Tombstone


class RowKind(IntEnum):
    """What a row holds; the numbers are in the file."""

    READ = 0
    DATING = 1
    TOMBSTONE = 2


class Lane(IntEnum):
    """In which queue a picture waits, most wanted first; the numbers are in the file."""

    HIT_PLATE = -2
    HIT_OVERVIEW = -1
    PLATE = 0
    OVERVIEW = 1
    HELD = 9
    """Refused for good; waits for a person."""


SENDING = (Lane.HIT_PLATE, Lane.HIT_OVERVIEW, Lane.PLATE, Lane.OVERVIEW)
"""In this order; evicted in the opposite one."""
PLATES = frozenset({Lane.HIT_PLATE, Lane.PLATE})
OVERVIEWS = frozenset({Lane.HIT_OVERVIEW, Lane.OVERVIEW})
NON_HIT = "nonhit"


def lane_for(kind: PictureKind, retention: str) -> Lane:
    """Return where a picture waits: those of a read that somebody looks for go before all others."""
    if retention == NON_HIT:
        return Lane.PLATE if kind is PictureKind.PLATE else Lane.OVERVIEW
    return Lane.HIT_PLATE if kind is PictureKind.PLATE else Lane.HIT_OVERVIEW


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
    lane: Lane
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
class PictureHeld:
    """A picture was refused for good: it is set aside."""

    sha256: bytes
    code: str


Command = Receipted | PictureStored | Quarantined | PictureHeld


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

    def read(self, seq: int, read: Read, link: bytes) -> Encoded:
        """Encode a read."""

    def dating(self, seq: int, dating: Dating, link: bytes) -> Encoded:
        """Encode a dating."""

    def tombstone(self, seq: int, tombstone: Tombstone, link: bytes) -> Encoded:
        """Encode a tombstone."""

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
    lost_at_least: int = 0
    """Records known to be gone; more may be, see the tombstone."""
    problems: tuple[str, ...] = field(default=())
    """Small things that were put right, such as a missing ballast file."""
