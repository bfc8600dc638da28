"""The station's side: opens records, verifies their signatures, signs receipts and nacks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from protocol.errors import KeyUnknownError, SealError
from protocol.seal.envelope import open_picture, open_record, picture_key_id
from protocol.seal.evidence import decode_signed
from protocol.seal.head import verify_head
from protocol.seal.receipts import sign_answer

if TYPE_CHECKING:
    from protocol.seal.envelope import Sealed
    from protocol.seal.evidence import Evidence
    from protocol.seal.head import Head
    from protocol.seal.keys import KeyRing


@dataclass(frozen=True, slots=True)
class OpenedRecord:
    """A record with a valid signature; the chain is verified with the whole series."""

    unit: str
    seq: int
    record_id: bytes
    record: bytes
    salt: bytes
    evidence: Evidence


class Opener:
    """Opens records, and signs receipts and nacks, with the keys of the ring."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    def record(self, sealed: Sealed) -> OpenedRecord:
        """Open ``sealed/1``.

        Raises KeyUnknownError if a key is missing, SealError or WireError for what can never be opened.
        """
        station = self._ring.stations.get(sealed.key_id)
        if station is None:
            raise KeyUnknownError(
                f"sealed to the key {sealed.key_id.hex()}, which is not in this station's key ring"
            )
        signed = decode_signed(open_record(station, sealed))
        evidence = signed.evidence(sealed.unit, sealed.seq)
        self._check_signer(sealed, evidence)
        return OpenedRecord(sealed.unit, sealed.seq, sealed.record_id, signed.record, signed.salt, evidence)

    def _check_signer(self, sealed: Sealed, evidence: Evidence) -> None:
        key = self._ring.units.get(sealed.unit, {}).get(evidence.key_id)
        if key is None:
            raise KeyUnknownError(
                f"unit {sealed.unit} signs with the key {evidence.key_id.hex()}: put it into the ring as "
                f"unit-{sealed.unit}.pub"
            )
        if not evidence.is_signed_by(key):
            raise SealError(f"the signature of unit {sealed.unit} is invalid")

    def head(self, unit: str, payload: bytes) -> Head:
        """Verify ``head/1`` of a unit.

        Raises KeyUnknownError if its key is not in the ring, SealError or WireError for what is no head of this
        unit.
        """
        head = verify_head(payload, self._ring.units.get(unit, {}))
        if head.unit != unit:
            raise SealError(f"unit {unit} sent the head of unit {head.unit}")
        return head

    @property
    def signs(self) -> bool:
        """True if receipts and nacks are signed."""
        return self._ring.receipts is not None

    def answer(self, payload: bytes) -> bytes:
        """Sign a message to a unit, if the ring has a key for it."""
        return payload if self._ring.receipts is None else sign_answer(self._ring.receipts, payload)

    def picture(self, blob: bytes) -> bytes | None:
        """Open a sealed picture; None for one that is not sealed.

        Raises KeyUnknownError if the key is missing, SealError for what can never be opened.
        """
        name = picture_key_id(blob)
        if name is None:
            return None
        station = self._ring.stations.get(name)
        if station is None:
            raise KeyUnknownError(
                f"picture sealed to the key {name.hex()}, which is not in this station's key ring"
            )
        return open_picture(station, blob)
