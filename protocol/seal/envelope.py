"""Encrypts to the station: ``sealed/1`` for records, a short header for pictures.

HPKE in base mode (RFC 9180): X25519, HKDF-SHA256, ChaCha20-Poly1305, single shot, from the ``cryptography``
package.  What the outbox and the receipts need is not encrypted (unit, number, id, key id), but bound to the contents
through HPKE's ``info``: a record with another header does not open.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated, ClassVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from pydantic import Field

from protocol.errors import SealError
from protocol.seal.keys import KEY_ID_BYTES
from protocol.wire.codec import (
    MAX_MESSAGE_BYTES,
    ClosedMessage,
    Id16,
    KeyId,
    Plain,
    Seq,
    UnitId,
    decode_fields,
    encode,
    key,
    unpack,
)

if TYPE_CHECKING:
    from protocol.seal.keys import StationKey

SEALED = "sealed/1"
PICTURE_MAGIC = b"LPRSEAL1"
_SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
_SUM_BYTES = 8
_RECORD_INFO = b"patrol-lpr sealed/1\0"
_PICTURE_INFO = b"patrol-lpr picture/1\0"
OVERHEAD_BYTES = 32 + 16
"""Overhead of HPKE: the encapsulated key and the tag."""


class Sealed(ClosedMessage):
    """``sealed/1``: the unencrypted header of a record, and its encrypted contents."""

    SCHEMA: ClassVar[str] = "sealed/1"

    unit: Annotated[UnitId, key("dev")]
    seq: Annotated[Seq, key("seq")]
    record_id: Annotated[Id16, key("id")]
    key_id: Annotated[KeyId, key("to")]
    box: Annotated[bytes, Field(strict=True, min_length=OVERHEAD_BYTES, max_length=MAX_MESSAGE_BYTES), key("box")]
    """Encapsulated key and ciphertext."""
    checksum: Annotated[bytes, Field(strict=True, min_length=_SUM_BYTES, max_length=_SUM_BYTES), key("sum")]
    """Detects damage without a key; no protection against tampering."""

    @property
    def info(self) -> bytes:
        """HPKE ``info``, to which the contents are bound."""
        return _info(self.unit, self.seq, self.record_id, self.key_id)


def _info(unit: str, seq: int, record_id: bytes, key_id: bytes) -> bytes:
    """The unit's id comes last; the rest has a fixed length."""
    return _RECORD_INFO + seq.to_bytes(8, "big") + record_id + key_id + unit.encode()


def _checksum(info: bytes, box: bytes) -> bytes:
    return hashlib.blake2b(info + box, digest_size=_SUM_BYTES).digest()


def seal_record(station: StationKey, unit: str, seq: int, record_id: bytes, contents: bytes) -> bytes:
    """Seal ``contents`` to the station; return ``sealed/1``."""
    info = _info(unit, seq, record_id, station.id)
    box = _SUITE.encrypt(contents, station.public, info=info)
    sealed = Sealed(
        unit=unit, seq=seq, record_id=record_id, key_id=station.id, box=box, checksum=_checksum(info, box)
    )
    return encode(sealed)


def decode_sealed(payload: bytes) -> Sealed:
    """Decode ``sealed/1`` and check its checksum; raises WireError."""
    return sealed_of(unpack(payload))


def sealed_of(fields: dict[str, Plain]) -> Sealed:
    """As :func:`decode_sealed`, of a map that is unpacked already."""
    sealed = decode_fields(fields, Sealed)
    if sealed.checksum != _checksum(sealed.info, sealed.box):
        raise SealError(f"{SEALED}: damaged in transfer: the checksum is wrong")
    return sealed


def open_record(station: StationKey, sealed: Sealed) -> bytes:
    """Return the contents; raises SealError if they or the header were altered."""
    return _opened(station, sealed.box, sealed.info)


def seal_picture(station: StationKey, jpeg: bytes) -> bytes:
    """Seal a picture to the station."""
    return PICTURE_MAGIC + station.id + _SUITE.encrypt(jpeg, station.public, info=_PICTURE_INFO + station.id)


def picture_key_id(blob: bytes) -> bytes | None:
    """Return the id of the key to which a picture is sealed; None for one that is not sealed."""
    if not blob.startswith(PICTURE_MAGIC) or len(blob) < len(PICTURE_MAGIC) + KEY_ID_BYTES + OVERHEAD_BYTES:
        return None
    return blob[len(PICTURE_MAGIC) :][:KEY_ID_BYTES]


def open_picture(station: StationKey, blob: bytes) -> bytes:
    """Return the JPEG; raises SealError if it was altered."""
    return _opened(station, blob[len(PICTURE_MAGIC) + KEY_ID_BYTES :], _PICTURE_INFO + station.id)


def _opened(station: StationKey, box: bytes, info: bytes) -> bytes:
    if station.private is None:
        raise SealError("this key can only seal")
    try:
        return _SUITE.decrypt(box, station.private, info=info)
    except (InvalidTag, ValueError) as error:
        raise SealError("sealed contents cannot be opened: altered, or sealed to another key") from error
