"""Signed receipts and nacks: a unit with its station's key accepts them only with a valid signature.

The station adds two keys to each message on ``dn/receipt``: ``key`` is the id of its Ed25519 key, ``sig`` signs the
canonical bytes of the message without ``sig``.  Receivers that do not know them ignore both.
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
    """Return the message with ``key`` and ``sig``; raises WireError for anything but a message."""
    fields = {**unpack(payload), "key": own.id}
    return pack({**fields, "sig": own.sign(_PREFIX + pack(fields))})


@dataclass(frozen=True, slots=True)
class ReceiptVerifier:
    """Verifies receipts and nacks with the stations' keys."""

    by_id: dict[bytes, VerifyKey]

    @classmethod
    def of(cls, keys: Iterable[VerifyKey]) -> ReceiptVerifier:
        """Make one from the keys of a station, such as an old and a new one."""
        return cls({key.id: key for key in keys})

    def check(self, payload: bytes) -> None:
        """Raise SealError for a message that none of these keys signed, WireError for anything but a message."""
        fields = unpack(payload)
        signature, name = fields.pop("sig", None), fields.get("key")
        key = self.by_id.get(name) if isinstance(name, bytes) else None
        if key is None or not isinstance(signature, bytes):
            raise SealError("not signed with a key of the station that this unit has")
        if not key.is_signed(signature, _PREFIX + pack(fields)):
            raise SealError("the signature of the station is invalid")
