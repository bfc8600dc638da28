"""What the station extracts from the body of a record of a known type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from protocol.wire.enums import Lost
from protocol.wire.records.time_anchor import TimeAnchor
from protocol.wire.records.tombstone import Tombstone

if TYPE_CHECKING:
    from protocol.seal import OpenedRecord
    from protocol.wire.parts import PictureRef
    from protocol.wire.record import Record
    from protocol.wire.registry import RecordBody, RecordTime, RecordType


@dataclass(frozen=True, slots=True)
class NewRecord:
    """A record to be stored."""

    record: Record
    proof: OpenedRecord | None = None
    """None if it was not sealed."""


@dataclass(frozen=True, slots=True)
class Contents:
    """The extracted values of one record."""

    retention: str | None = None
    time: RecordTime | None = None
    pictures: tuple[PictureRef, ...] = ()
    anchor: TimeAnchor | None = None
    """Set for a time anchor, which dates other records of a boot."""
    lost: tuple[tuple[int, int], ...] = ()
    """Inclusive ranges of sequence numbers that will not be sent."""


NOTHING = Contents()
"""Values of a record of an unknown type."""


def contents_of(known: RecordType | None, body: RecordBody | None) -> Contents:
    """Return time, retention and pictures of a body, and its effects on other records."""
    if known is None or body is None:
        return NOTHING
    return Contents(
        retention=known.retention(body),
        time=known.when(body),
        pictures=known.pictures(body),
        anchor=body if isinstance(body, TimeAnchor) else None,
        lost=body.ranges if isinstance(body, Tombstone) and body.lost in {Lost.READ, Lost.RECORD} else (),
    )
