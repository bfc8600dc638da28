"""Records as the outbox stores them: final wire bytes in the name of one unit and one boot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.buffer.rows import Encoded, OutboxRow
from agent.errors import WireError
from agent.sync.wire import (
    ReadMessage,
    TombstoneMessage,
    dating_message,
    decode_record,
    encode_dating,
    encode_read,
    encode_tombstone,
    read_message,
    record_id,
)

if TYPE_CHECKING:
    from agent.records import Dating, Read
    from agent.sync.wire import Tombstone


@dataclass(frozen=True, slots=True)
class RecordEncoder:
    """Puts records into envelopes."""

    unit: str
    agency: str
    boot_id: bytes

    def read(self, seq: int, read: Read) -> Encoded:
        """Encode a read."""
        message = read_message(read, unit=self.unit, agency=self.agency, boot_id=self.boot_id, seq=seq)
        return Encoded(message.read_id, encode_read(message))

    def dating(self, seq: int, dating: Dating) -> Encoded:
        """Encode a dating."""
        message = dating_message(dating, unit=self.unit, agency=self.agency, boot_id=self.boot_id, seq=seq)
        return Encoded(message.record_id, encode_dating(message))

    def tombstone(self, seq: int, tombstone: Tombstone) -> Encoded:
        """Encode a tombstone."""
        name = record_id(self.boot_id, seq)
        message = TombstoneMessage(self.unit, self.agency, self.boot_id, seq, name, tombstone)
        return Encoded(name, encode_tombstone(message))

    def intact(self, row: OutboxRow) -> bool:
        """True when the bytes decode and say what the row says; raises nothing."""
        try:
            message = decode_record(row.payload)
        except WireError:
            return False
        name = message.read_id if isinstance(message, ReadMessage) else message.record_id
        return (message.unit, message.seq, name) == (self.unit, row.seq, row.record_id)
