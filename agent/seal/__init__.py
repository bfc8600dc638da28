"""What is stored tells nothing and cannot be altered: sealing to the station, signing and chaining by the unit."""

from agent.seal.answers import AnswerKeys, sign_answer
from agent.seal.keys import KeyRing, SigningKey, StationKey, VerifyKey, load_keyring
from agent.seal.opener import OpenedRecord, Opener
from agent.seal.sealer import Sealer

__all__ = [
    "AnswerKeys",
    "KeyRing",
    "OpenedRecord",
    "Opener",
    "Sealer",
    "SigningKey",
    "StationKey",
    "VerifyKey",
    "load_keyring",
    "sign_answer",
]
