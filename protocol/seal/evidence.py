"""Signature and chain: each record includes the hash of the one before it, and the unit signs both.

``digest`` is the SHA-256 of a random salt and the record's bytes, ``link`` that of the previous link, the record's
number and the digest (a hash chain as in Haber and Stornetta 1991), and the signature is over the link.
A station that must delete a record keeps its digest without the salt: the chain can still be verified, and the
contents cannot be guessed from it.  A read lists the hashes of its pictures, so the signature covers those too.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from protocol.wire.codec import (
    MAX_MESSAGE_BYTES,
    ClosedMessage,
    KeyId,
    Sha256,
    Signature,
    decode,
    encode,
    key,
)

if TYPE_CHECKING:
    from protocol.seal.keys import SigningKey, VerifyKey

START = bytes(32)
"""Link before the first record: a new chain begins."""
SALT_BYTES = 16
Salt = Annotated[bytes, Field(strict=True, min_length=SALT_BYTES, max_length=SALT_BYTES)]
_PREFIX = b"patrol-lpr link/1\0"


@dataclass(frozen=True, slots=True)
class Evidence:
    """The evidence of one record, without its bytes."""

    unit: str
    seq: int
    prev: bytes
    """Link of the record before; START where a chain begins."""
    digest: bytes
    key_id: bytes
    signature: bytes

    @property
    def link(self) -> bytes:
        """The link, which the next record includes and the unit signs."""
        return link_of(self.unit, self.seq, self.prev, self.digest, self.key_id)

    def is_signed_by(self, key: VerifyKey) -> bool:
        """True if this unit's key signed it."""
        return key.id == self.key_id and key.is_signed(self.signature, self.link)


class Signed(ClosedMessage):
    """``signed/1``: a record with its evidence, as in the seal."""

    SCHEMA: ClassVar[str] = "signed/1"

    record: Annotated[bytes, Field(strict=True, min_length=1, max_length=MAX_MESSAGE_BYTES), key("rec")]
    salt: Annotated[Salt, key("salt")]
    prev: Annotated[Sha256, key("prev")]
    key_id: Annotated[KeyId, key("key")]
    signature: Annotated[Signature, key("sig")]

    def evidence(self, unit: str, seq: int) -> Evidence:
        """The evidence, given unit and number of the record."""
        return Evidence(unit, seq, self.prev, digest_of(self.salt, self.record), self.key_id, self.signature)


def digest_of(salt: bytes, record: bytes) -> bytes:
    """Hash a record with a salt, so that it cannot be guessed."""
    return hashlib.sha256(salt + record).digest()


def link_of(unit: str, seq: int, prev: bytes, digest: bytes, key: bytes) -> bytes:
    """Hash one step of the chain; all parts but the unit's id, which comes last, have a fixed length."""
    return hashlib.sha256(_PREFIX + seq.to_bytes(8, "big") + prev + digest + key + unit.encode()).digest()


def sign(own: SigningKey, unit: str, seq: int, prev: bytes, *, record: bytes, salt: bytes) -> tuple[bytes, bytes]:
    """Return ``signed/1`` and the link for the next record."""
    link = link_of(unit, seq, prev, digest_of(salt, record), own.id)
    signed = Signed(record=record, salt=salt, prev=prev, key_id=own.id, signature=own.sign(link))
    return encode(signed), link


def decode_signed(payload: bytes) -> Signed:
    """Decode ``signed/1``; raises WireError."""
    return decode(payload, Signed)
