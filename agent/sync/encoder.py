"""Encodes records as the outbox stores them: final wire bytes of one unit and one boot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.buffer.rows import Encoded, OutboxRow
from protocol.errors import WireError
from protocol.seal.envelope import SEALED, sealed_of
from protocol.seal.head import HeadState
from protocol.wire.codec import schema_of, unpack
from protocol.wire.record import Envelope, derived_record_id, encode_record, record_of

if TYPE_CHECKING:
    from agent.buffer.rows import OutboxStats
    from protocol.seal import Sealer
    from protocol.wire.registry import RecordBody, Registry


@dataclass(frozen=True, slots=True)
class RecordEncoder:
    """Puts records into envelopes, and seals them if the unit has keys."""

    unit: str
    agency: str
    boot_id: bytes
    registry: Registry
    sealer: Sealer | None = None
    """None: stored and sent unencrypted."""
    life: bytes = b""
    """Of the outbox, see :func:`agent.buffer.life_of`."""

    def record(self, seq: int, body: RecordBody, link: bytes, record_id: bytes | None = None) -> Encoded:
        """Encode a record; without its own id it gets one made from boot and number."""
        name = record_id or derived_record_id(self.boot_id, seq, self.life)
        envelope = Envelope(
            schema_id=body.SCHEMA,
            unit=self.unit,
            agency=self.agency,
            boot_id=self.boot_id,
            seq=seq,
            record_id=name,
            life=self.life,
        )
        payload = encode_record(envelope, body)
        if self.sealer is None:
            return Encoded(name, payload, link)
        sealed, link = self.sealer.record(seq, name, payload, link)
        return Encoded(name, sealed, link)

    def head(self, stats: OutboxStats, *, mono_us: int, utc_us: int | None) -> bytes:
        """Return the signed head of the series; empty if records are not signed."""
        if self.sealer is None:
            return b""
        state = HeadState(
            seq=stats.next_seq - 1,
            done=stats.done_seq,
            link=stats.link,
            life=self.life,
            boot_id=self.boot_id,
            mono_us=mono_us,
            utc_us=utc_us,
        )
        return self.sealer.head(state)

    def picture(self, sha256: bytes, jpeg: bytes) -> tuple[bytes, bytes]:
        """Seal a picture; return the hash and the bytes to store."""
        return (sha256, jpeg) if self.sealer is None else self.sealer.picture(sha256, jpeg)

    def intact(self, row: OutboxRow) -> bool:
        """True if the bytes decode, or the seal's checksum is right, and they match the row; raises nothing."""
        try:
            named = self._named(row.payload)
        except WireError:
            return False
        return named == (self.unit, row.seq, row.record_id)

    def schema(self, payload: bytes) -> str | None:
        """Return the type of intact bytes; None if they are sealed.  Raises WireError."""
        schema = schema_of(unpack(payload))
        return None if schema == SEALED else schema

    def _named(self, payload: bytes) -> tuple[str, int, bytes]:
        """Unit, number and id of a record, sealed or (from before the unit had keys) unencrypted."""
        fields = unpack(payload)
        if schema_of(fields) == SEALED:
            sealed = sealed_of(fields)
            return sealed.unit, sealed.seq, sealed.record_id
        envelope = record_of(fields, payload, self.registry).envelope
        return envelope.unit, envelope.seq, envelope.record_id
