"""``head/1``: a unit signs how far its series has come, so that records removed from its end are missed.

A unit sends its head with each health message.  The station stores the newest of each life, and exports it with the
series: whoever removes the newest records must forge the unit's signature, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from protocol.errors import KeyUnknownError, SealError
from protocol.wire.codec import (
    U63,
    ClosedMessage,
    Id16,
    KeyId,
    Sha256,
    Signature,
    UnitId,
    decode,
    encode,
    fields_of,
    key,
    pack,
)
from protocol.wire.record import Life

if TYPE_CHECKING:
    from collections.abc import Mapping

    from protocol.seal.keys import SigningKey, VerifyKey

_PREFIX = b"patrol-lpr head/1\0"


class Head(ClosedMessage):
    """The head of a unit's series."""

    SCHEMA: ClassVar[str] = "head/1"

    unit: Annotated[UnitId, key("dev")]
    seq: Annotated[U63, key("seq")]
    """Number of the latest record; 0 for none."""
    done: Annotated[U63, key("done")]
    """Up to this number every record was receipted, or was deleted and a tombstone says so."""
    link: Annotated[Sha256, key("link")]
    """Link of the latest record; zeros before the first."""
    boot_id: Annotated[Id16, key("boot")]
    mono_us: Annotated[U63, key("mono")]
    utc_us: Annotated[U63 | None, key("t")]
    key_id: Annotated[KeyId, key("key")]
    signature: Annotated[Signature, key("sig")]
    life: Annotated[Life, key("life")] = b""

    def is_older_than(self, other: Head) -> bool:
        """True if the series had come less far."""
        return (self.seq, self.done) < (other.seq, other.done)

    def is_signed_by(self, signer: VerifyKey) -> bool:
        """True if this unit's key signed it."""
        return signer.id == self.key_id and signer.is_signed(self.signature, self._signed_bytes())

    def signed(self, own: SigningKey) -> Head:
        """Return the head with this key's signature."""
        return self.model_copy(update={"signature": own.sign(self._signed_bytes())})

    def _signed_bytes(self) -> bytes:
        fields = {**fields_of(self), "v": self.SCHEMA}
        del fields["sig"]
        return _PREFIX + pack(fields)


@dataclass(frozen=True, slots=True)
class HeadState:
    """What a head says of a series at one moment."""

    seq: int
    done: int
    link: bytes
    life: bytes
    boot_id: bytes
    mono_us: int
    utc_us: int | None


def sign_head(own: SigningKey, unit: str, state: HeadState) -> bytes:
    """Return ``head/1``."""
    head = Head(
        unit=unit,
        seq=state.seq,
        done=state.done,
        link=state.link,
        boot_id=state.boot_id,
        mono_us=state.mono_us,
        utc_us=state.utc_us,
        key_id=own.id,
        signature=bytes(64),
        life=state.life,
    )
    return encode(head.signed(own))


def verify_head(payload: bytes, keys: Mapping[bytes, VerifyKey]) -> Head:
    """Decode and verify a head with a unit's keys, by their ids.

    Raises WireError for anything but a head, KeyUnknownError if its key is not among them, SealError if the signature
    is invalid.
    """
    head = decode(payload, Head)
    signer = keys.get(head.key_id)
    if signer is None:
        raise KeyUnknownError(f"unit {head.unit} signs its head with the unknown key {head.key_id.hex()}")
    if not head.is_signed_by(signer):
        raise SealError(f"the signature of the head of unit {head.unit} is invalid")
    return head
