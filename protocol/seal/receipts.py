"""Signed answers: a unit that knows its station's key believes nobody else who says that a record is safe.

The station adds two keys to each message on ``dn/receipt``: ``key`` names its Ed25519 key, ``sig`` signs the canonical
bytes of the message without ``sig``.  Receivers that know neither ignore both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from protocol.errors import SealError
from protocol.wire.codec import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Iterable

    from protocol.seal.keys import SigningKey, VerifyKey

_PREFIX = b"patrol-lpr answer/1\0"


def sign_answer(own: SigningKey, payload: bytes) -> bytes:
    """Return the message with ``key`` and ``sig``; raises WireError for what is no message."""
    fields = {**unpack(payload), "key": own.id}
    return pack({**fields, "sig": own.sign(_PREFIX + pack(fields))})


@dataclass(frozen=True, slots=True)
class ReceiptVerifier:
    """The stations' keys that a unit believes."""

    by_id: dict[bytes, VerifyKey]

    @classmethod
    def of(cls, keys: Iterable[VerifyKey]) -> ReceiptVerifier:
        """Those of one station, or of an old and a new one."""
        return cls({key.id: key for key in keys})

    def check(self, payload: bytes) -> None:
        """Raise SealError for a message that none of these keys signed, WireError for what is no message."""
        fields = unpack(payload)
        signature, name = fields.pop("sig", None), fields.get("key")
        key = self.by_id.get(name) if isinstance(name, bytes) else None
        if key is None or not isinstance(signature, bytes):
            raise SealError("not signed by a key of the station that this unit knows")
        if not key.is_signed(signature, _PREFIX + pack(fields)):
            raise SealError("the signature of the station is wrong")
