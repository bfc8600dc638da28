"""Encryption to the station, signatures and chaining by the unit."""

from protocol.seal.keys import KeyRing, SigningKey, StationKey, VerifyKey, load_keyring
from protocol.seal.opener import OpenedRecord, Opener
from protocol.seal.receipts import ReceiptVerifier, sign_answer
from protocol.seal.sealer import Sealer

__all__ = [
    "KeyRing",
    "OpenedRecord",
    "Opener",
    "ReceiptVerifier",
    "Sealer",
    "SigningKey",
    "StationKey",
    "VerifyKey",
    "load_keyring",
    "sign_answer",
]
