"""A record as the station shows and exports it: decoded from its signed bytes, dated by the station."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from protocol.errors import WireError
from protocol.wire.record import decode_record
from protocol.wire.registry import Registry

if TYPE_CHECKING:
    from protocol.wire.record import Record
    from protocol.wire.registry import RecordBody, RecordType
    from station.store import RecordRow

_NO_TYPES = Registry(())


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """One record."""

    record: Record
    known: RecordType | None
    """None: its type is not known here, or it is not what its type declares."""
    utc_us: int | None
    """None while the record has no time and no time anchor has come for its boot."""
    time_source: str | None
    uncertainty_ms: int | None
    dated: bool
    """True when the unit had no time yet and the station dated the record through the monotonic clock."""
    received_us: int
    """0: not noted."""
    retention: str | None
    pictures: int
    """How many of its pictures are here, whole."""

    @property
    def unit(self) -> str:
        """Whose it is."""
        return self.record.envelope.unit

    @property
    def seq(self) -> int:
        """Its number."""
        return self.record.envelope.seq

    @property
    def record_id(self) -> bytes:
        """Its id."""
        return self.record.envelope.record_id

    @property
    def body(self) -> RecordBody | None:
        """What it says; None when its type is not known here."""
        return self.record.body


def stored_record(row: RecordRow, registry: Registry) -> StoredRecord:
    """Decode what is stored.  Raises WireError only for bytes that no station takes."""
    try:
        record = decode_record(row.payload, registry)
    except WireError:
        # Stored before its type was known, and not what that type declares: shown as it came.
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
