"""``tomb/1``: records or pictures that will never be sent, and why."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from protocol.wire.codec import NAMED, U63, Seq, Text16, key
from protocol.wire.enums import Lost, LostReason
from protocol.wire.registry import Priority, RecordBody, RecordType, Value

MAX_RANGES = 256
"""Maximum number of ranges in one tombstone."""


class Tombstone(RecordBody):
    """The body of a tombstone."""

    SCHEMA: ClassVar[str] = "tomb/1"

    lost: Annotated[Lost, NAMED, key("lost")]
    reason: Annotated[LostReason, NAMED, key("why")]
    count: Annotated[U63, key("cnt")]
    """How many are known to be lost; with ``damage`` at least this many."""
    size_bytes: Annotated[U63, key("bytes")]
    ranges: Annotated[tuple[tuple[Seq, Seq], ...], Field(max_length=MAX_RANGES), key("rng")]
    """Inclusive ranges of sequence numbers.  Those that the station has not received before the tombstone will not be
    sent; for pictures the numbers are those of their reads."""
    cause: Annotated[Text16, key("cause")] = ""
    """A more specific reason than ``reason``: one of :class:`~protocol.wire.enums.LostCause`, or of a later version;
    empty for none."""

    @model_validator(mode="after")
    def _ranges_ascend(self) -> Self:
        if any(last < first for first, last in self.ranges):
            raise ValueError("a range ends before it begins")
        return self


def _export(tombstone: Tombstone) -> dict[str, Value]:
    return {
        "lost": tombstone.lost.value,
        "reason": tombstone.cause or tombstone.reason.value,
        "count": tombstone.count,
        "size_bytes": tombstone.size_bytes,
        "ranges": " ".join(f"{first}-{last}" for first, last in tombstone.ranges),
    }


RECORD_TYPE = RecordType(schema="tomb/1", model=Tombstone, priority=Priority.NORMAL, export=_export)
