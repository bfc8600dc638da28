"""Closed to all but the station: ``sealed/1`` for records, a short header for pictures.

HPKE in base mode (RFC 9180): X25519, HKDF-SHA256, ChaCha20-Poly1305, single shot, from the ``cryptography``
package.  What the outbox and the receipts need stays clear (unit, number, id, key id) and is bound to the contents
through HPKE's ``info``: exchanged headers do not open.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke

from protocol.errors import SealError, WireError
from protocol.seal.keys import KEY_ID_BYTES
from protocol.wire.fields import I63, MAX_MESSAGE_BYTES, Fields, pack, unpack
from protocol.wire.topics import check_unit

if TYPE_CHECKING:
    from protocol.seal.keys import StationKey

SEALED = "sealed/1"
PICTURE_MAGIC = b"LPRSEAL1"
_SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
_SUM_BYTES = 8
_ID_BYTES = 16
_RECORD_INFO = b"patrol-lpr sealed/1\0"
_PICTURE_INFO = b"patrol-lpr picture/1\0"
OVERHEAD_BYTES = 32 + 16
"""Of HPKE: the encapsulated key and the tag."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """``sealed/1``: what everybody may see of a record, and what only the station can open."""

    unit: str
    seq: int
    record_id: bytes
    key_id: bytes
    box: bytes
    """Encapsulated key and ciphertext."""

    @property
    def info(self) -> bytes:
        """What the contents are bound to; the unit's name comes last, the rest has one length."""
        return _RECORD_INFO + self.seq.to_bytes(8, "big") + self.record_id + self.key_id + self.unit.encode()

    def encode(self) -> bytes:
        """As it is stored and sent; the checksum finds damage without a key."""
        return pack(
            {
                "v": SEALED,
                "dev": self.unit,
                "seq": self.seq,
                "id": self.record_id,
                "to": self.key_id,
                "box": self.box,
                "sum": self.checksum,
            }
        )

    @property
    def checksum(self) -> bytes:
        """Finds damage without a key; proves nothing against people."""
        return hashlib.blake2b(self.info + self.box, digest_size=_SUM_BYTES).digest()


def seal_record(key: StationKey, unit: str, seq: int, record_id: bytes, contents: bytes) -> bytes:
    """Close ``contents`` to the station; return ``sealed/1``."""
    header = Sealed(unit, seq, record_id, key.id, b"")
    box = _SUITE.encrypt(contents, key.public, info=header.info)
    return Sealed(unit, seq, record_id, key.id, box).encode()


def decode_sealed(payload: bytes) -> Sealed:
    """Take ``sealed/1`` apart and check its sum; raises WireError."""
    fields = Fields(unpack(payload), SEALED)
    if (schema := fields.text("v", 16)) != SEALED:
        raise WireError(f"schema {schema!r} is not {SEALED}")
    sealed = Sealed(
        unit=check_unit(fields.text("dev", 36)),
        seq=fields.integer("seq", 1, I63),
        record_id=fields.binary("id", _ID_BYTES, _ID_BYTES),
        key_id=fields.binary("to", KEY_ID_BYTES, KEY_ID_BYTES),
        box=fields.binary("box", OVERHEAD_BYTES, MAX_MESSAGE_BYTES),
    )
    if fields.binary("sum", _SUM_BYTES, _SUM_BYTES) != sealed.checksum:
        raise SealError(f"{SEALED}: damaged on the way: the checksum is wrong")
    fields.finish()
    return sealed


def open_record(key: StationKey, sealed: Sealed) -> bytes:
    """Return the contents; raises SealError when they were altered or the header was exchanged."""
    return _opened(key, sealed.box, sealed.info)


def seal_picture(key: StationKey, jpeg: bytes) -> bytes:
    """Close a picture to the station."""
    return PICTURE_MAGIC + key.id + _SUITE.encrypt(jpeg, key.public, info=_PICTURE_INFO + key.id)


def picture_key_id(blob: bytes) -> bytes | None:
    """Return to which key a picture is sealed; None for one that is not sealed."""
    if not blob.startswith(PICTURE_MAGIC) or len(blob) < len(PICTURE_MAGIC) + KEY_ID_BYTES + OVERHEAD_BYTES:
        return None
    return blob[len(PICTURE_MAGIC) :][:KEY_ID_BYTES]


def open_picture(key: StationKey, blob: bytes) -> bytes:
    """Return the JPEG; raises SealError when it was altered."""
    return _opened(key, blob[len(PICTURE_MAGIC) + KEY_ID_BYTES :], _PICTURE_INFO + key.id)


def _opened(key: StationKey, box: bytes, info: bytes) -> bytes:
    if key.private is None:
        raise SealError("this key can only seal")
    try:
        return _SUITE.decrypt(box, key.private, info=info)
    except (InvalidTag, ValueError) as error:
        raise SealError("sealed contents do not open: altered, or sealed for somebody else") from error
