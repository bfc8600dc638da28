"""A record as shown and exported: decoded from its signed bytes, with the station's time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from protocol.errors import WireError
from protocol.wire.record import decode_record
from protocol.wire.registry import Registry

if TYPE_CHECKING:
    from protocol.wire.parts import PictureRef
    from protocol.wire.record import Record
    from protocol.wire.registry import RecordBody, RecordType
    from station.store import RecordRow

_NO_TYPES = Registry(())


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """One record."""

    record: Record
    known: RecordType | None
    """None if its type is unknown, or it does not match its type."""
    utc_us: int | None
    """None while the record has no time and there is no time anchor for its boot."""
    time_source: str | None
    uncertainty_ms: int | None
    dated: bool
    """True if the unit had no time and the station dated the record by a time anchor."""
    received_us: int
    """0: not recorded."""
    retention: str | None
    pictures: int
    """Number of its complete pictures."""

    @property
    def unit(self) -> str:
        """The unit that made it."""
        return self.record.envelope.unit

    @property
    def seq(self) -> int:
        """Its sequence number."""
        return self.record.envelope.seq

    @property
    def record_id(self) -> bytes:
        """Its id."""
        return self.record.envelope.record_id

    @property
    def body(self) -> RecordBody | None:
        """Its body; None if its type is unknown."""
        return self.record.body


def picture_name(stored: StoredRecord, ref: PictureRef) -> str:
    """Return the file name of a record's picture in exports."""
    return f"{stored.record_id.hex()}-{ref.kind.value}.jpg"


def stored_record(row: RecordRow, registry: Registry) -> StoredRecord:
    """Decode a stored record.  Raises WireError only for bytes that no station accepts."""
    try:
        record = decode_record(row.payload, registry)
    except WireError:
        # Stored before its type was known, and does not match it: shown undecoded.
        record = decode_record(row.payload, _NO_TYPES)
    return StoredRecord(
        record=record,
        known=None if record.body is None else registry.get(row.schema),
        utc_us=row.utc_us,
        time_source=row.time_source,
        uncertainty_ms=row.uncertainty_ms,
        dated=row.dating_gap_us is not None,
        received_us=row.received_us,
        retention=row.retention,
        pictures=row.pictures,
    )
