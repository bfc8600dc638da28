"""The station's side: open, check who signed, hand on the record with its proof, and sign the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from protocol.errors import KeyUnknownError, SealError
from protocol.seal.envelope import open_picture, open_record, picture_key_id
from protocol.seal.evidence import decode_signed
from protocol.seal.receipts import sign_answer

if TYPE_CHECKING:
    from protocol.seal.envelope import Sealed
    from protocol.seal.evidence import Evidence
    from protocol.seal.keys import KeyRing


@dataclass(frozen=True, slots=True)
class OpenedRecord:
    """A record whose signature is right; whether the chain holds is told from the whole series."""

    unit: str
    seq: int
    record_id: bytes
    record: bytes
    salt: bytes
    evidence: Evidence


class Opener:
    """Opens, and signs answers, with what is in the ring."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    def record(self, sealed: Sealed) -> OpenedRecord:
        """Open ``sealed/1``.

        Raises KeyUnknownError while a key is missing, SealError or WireError for what will never open.
        """
        station = self._ring.stations.get(sealed.key_id)
        if station is None:
            raise KeyUnknownError(f"sealed to the key {sealed.key_id.hex()}, which is not in this station's ring")
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
            raise SealError(f"the signature of unit {sealed.unit} is wrong")

    @property
    def signs(self) -> bool:
        """True when answers go out signed."""
        return self._ring.receipts is not None

    def answer(self, payload: bytes) -> bytes:
        """Sign what goes to a unit, when the ring has a key for it."""
        return payload if self._ring.receipts is None else sign_answer(self._ring.receipts, payload)

    def picture(self, blob: bytes) -> bytes | None:
        """Open a sealed picture; None for one that is not sealed.

        Raises KeyUnknownError while the key is missing, SealError for what will never open.
        """
        name = picture_key_id(blob)
        if name is None:
            return None
        station = self._ring.stations.get(name)
        if station is None:
            raise KeyUnknownError(f"picture sealed to the key {name.hex()}, which is not in this station's ring")
        return open_picture(station, blob)
