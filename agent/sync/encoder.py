"""Records as the outbox stores them: final wire bytes in the name of one unit and one boot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.buffer.rows import Encoded, OutboxRow
from agent.sync.convert import read_message, time_anchor_message
from protocol.errors import SealError, WireError
from protocol.seal.envelope import decode_sealed
from protocol.wire.wire import (
    ReadMessage,
    TombstoneMessage,
    decode_record,
    encode_read,
    encode_time_anchor,
    encode_tombstone,
    record_id,
)

if TYPE_CHECKING:
    from agent.records import Read, TimeAnchor
    from protocol.seal import Sealer
    from protocol.wire.wire import Tombstone


@dataclass(frozen=True, slots=True)
class RecordEncoder:
    """Puts records into envelopes."""

    unit: str
    agency: str
    boot_id: bytes
    sealer: Sealer | None = None
    """None: stored and sent as anybody can read it."""

    def read(self, seq: int, read: Read, link: bytes) -> Encoded:
        """Encode a read."""
        message = read_message(read, unit=self.unit, agency=self.agency, boot_id=self.boot_id, seq=seq)
        return self._closed(seq, message.read_id, encode_read(message), link)

    def time_anchor(self, seq: int, anchor: TimeAnchor, link: bytes) -> Encoded:
        """Encode a anchor."""
        message = time_anchor_message(anchor, unit=self.unit, agency=self.agency, boot_id=self.boot_id, seq=seq)
        return self._closed(seq, message.record_id, encode_time_anchor(message), link)

    def tombstone(self, seq: int, tombstone: Tombstone, link: bytes) -> Encoded:
        """Encode a tombstone."""
        name = record_id(self.boot_id, seq)
        message = TombstoneMessage(self.unit, self.agency, self.boot_id, seq, name, tombstone)
        return self._closed(seq, name, encode_tombstone(message), link)

    def picture(self, sha256: bytes, jpeg: bytes) -> tuple[bytes, bytes]:
        """Close a picture; return the hash and the bytes to store."""
        return (sha256, jpeg) if self.sealer is None else self.sealer.picture(sha256, jpeg)

    def _closed(self, seq: int, record_id: bytes, payload: bytes, link: bytes) -> Encoded:
        if self.sealer is None:
            return Encoded(record_id, payload, link)
        sealed, link = self.sealer.record(seq, record_id, payload, link)
        return Encoded(record_id, sealed, link)

    def intact(self, row: OutboxRow) -> bool:
        """True when the bytes decode, or the seal's checksum holds, and say what the row says; raises nothing."""
        try:
            unit, seq, name = _named(row.payload)
        except WireError:
            return False
        return (unit, seq, name) == (self.unit, row.seq, row.record_id)


def _named(payload: bytes) -> tuple[str, int, bytes]:
    """Unit, number and id that a record bears, sealed or, from before the unit had keys, open."""
    try:
        sealed = decode_sealed(payload)
    except SealError:
        raise
    except WireError:
        message = decode_record(payload)
        name = message.read_id if isinstance(message, ReadMessage) else message.record_id
        return message.unit, message.seq, name
    return sealed.unit, sealed.seq, sealed.record_id
