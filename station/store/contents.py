"""What the station takes from the body of a record that it understands."""

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
    """A record on its way into the store."""

    record: Record
    proof: OpenedRecord | None = None
    """None when it came open."""


@dataclass(frozen=True, slots=True)
class Contents:
    """Of one record."""

    retention: str | None = None
    time: RecordTime | None = None
    pictures: tuple[PictureRef, ...] = ()
    anchor: TimeAnchor | None = None
    """It dates other records of a boot."""
    lost: tuple[tuple[int, int], ...] = ()
    """Inclusive ranges of sequence numbers that will not come any more."""


NOTHING = Contents()
"""Of a record whose type is not known here."""


def contents_of(known: RecordType | None, body: RecordBody | None) -> Contents:
    """Return what a body says of time, retention and pictures, and what it means for other records."""
    if known is None or body is None:
        return NOTHING
    return Contents(
        retention=known.retention(body),
        time=known.when(body),
        pictures=known.pictures(body),
        anchor=body if isinstance(body, TimeAnchor) else None,
        lost=body.ranges if isinstance(body, Tombstone) and body.lost in {Lost.READ, Lost.RECORD} else (),
    )
