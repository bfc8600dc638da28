"""Signed and chained: each record names the hash of the one before it, and the unit signs both.

``digest`` is the SHA-256 of a random salt and the record's bytes, ``link`` that of the chain's state, the record's
number and the digest (a hash chain in the manner of Haber and Stornetta 1991), and the signature is over the link.
A station that must delete a record keeps its digest without the salt: the chain still holds, and nobody can guess
the contents back.  A read lists the hashes of its pictures, so the signature covers those too.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from protocol.errors import WireError
from protocol.seal.keys import KEY_ID_BYTES, SIGNATURE_BYTES
from protocol.wire.fields import MAX_MESSAGE_BYTES, Fields, pack, unpack

if TYPE_CHECKING:
    from protocol.seal.keys import SigningKey, VerifyKey

SIGNED = "signed/1"
START = bytes(32)
"""Stands for the record before the first: a new chain begins."""
SALT_BYTES = 16
_HASH_BYTES = 32
_PREFIX = b"patrol-lpr link/1\0"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What proves one record: all but its bytes."""

    unit: str
    seq: int
    prev: bytes
    """Link of the record before; START where a chain begins."""
    digest: bytes
    key_id: bytes
    signature: bytes

    @property
    def link(self) -> bytes:
        """What the next record names, and what is signed."""
        return link_of(self.unit, self.seq, self.prev, self.digest, self.key_id)

    def is_signed_by(self, key: VerifyKey) -> bool:
        """True when this unit's key signed it."""
        return key.id == self.key_id and key.is_signed(self.signature, self.link)


@dataclass(frozen=True, slots=True)
class Signed:
    """``signed/1``: a record with its proof, as it lies inside the seal."""

    record: bytes
    salt: bytes
    prev: bytes
    key_id: bytes
    signature: bytes

    def evidence(self, unit: str, seq: int) -> Evidence:
        """The proof, given what the record says of itself."""
        return Evidence(unit, seq, self.prev, digest_of(self.salt, self.record), self.key_id, self.signature)


def digest_of(salt: bytes, record: bytes) -> bytes:
    """Hash a record so that it cannot be guessed."""
    return hashlib.sha256(salt + record).digest()


def link_of(unit: str, seq: int, prev: bytes, digest: bytes, key: bytes) -> bytes:
    """Hash one step of the chain; every part has one length but the unit's name, which comes last."""
    return hashlib.sha256(_PREFIX + seq.to_bytes(8, "big") + prev + digest + key + unit.encode()).digest()


def sign(key: SigningKey, unit: str, seq: int, prev: bytes, *, record: bytes, salt: bytes) -> tuple[bytes, bytes]:
    """Return ``signed/1`` and the link that the next record names."""
    link = link_of(unit, seq, prev, digest_of(salt, record), key.id)
    signed = pack({"v": SIGNED, "prev": prev, "salt": salt, "key": key.id, "rec": record, "sig": key.sign(link)})
    return signed, link


def decode_signed(payload: bytes) -> Signed:
    """Take ``signed/1`` apart; raises WireError."""
    fields = Fields(unpack(payload), SIGNED)
    if (schema := fields.text("v", 16)) != SIGNED:
        raise WireError(f"schema {schema!r} is not {SIGNED}")
    signed = Signed(
        record=fields.binary("rec", 1, MAX_MESSAGE_BYTES),
        salt=fields.binary("salt", SALT_BYTES, SALT_BYTES),
        prev=fields.binary("prev", _HASH_BYTES, _HASH_BYTES),
        key_id=fields.binary("key", KEY_ID_BYTES, KEY_ID_BYTES),
        signature=fields.binary("sig", SIGNATURE_BYTES, SIGNATURE_BYTES),
    )
    fields.finish()
    return signed
