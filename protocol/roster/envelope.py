"""A signed roster as one file: header with key and signature, then canonical JSON, parsed only after verification."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from protocol.errors import RosterError
from protocol.roster.roster import MAX_ROSTER_BYTES, parse_roster
from protocol.seal.keys import KEY_ID_BYTES, SIGNATURE_BYTES

if TYPE_CHECKING:
    from protocol.roster.roster import Roster
    from protocol.seal.keys import SigningKey, VerifyKey

MAGIC = b"LPRROS1\n"
_HEADER = struct.Struct(f">8s{KEY_ID_BYTES}s{SIGNATURE_BYTES}sI")
_CONTEXT = b"patrol-lpr roster/1\0"
MAX_FILE_BYTES = _HEADER.size + MAX_ROSTER_BYTES


def sign_roster(roster: Roster, key: SigningKey) -> bytes:
    """Return the file.  Raises RosterError if it would be too large."""
    data = roster.canonical()
    if len(data) > MAX_ROSTER_BYTES:
        raise RosterError(
            f"the roster has {len(data)} bytes, at most {MAX_ROSTER_BYTES} are allowed: plan fewer shifts ahead"
        )
    return _HEADER.pack(MAGIC, key.id, key.sign(_CONTEXT + data), len(data)) + data


def verify_roster(file: bytes, key: VerifyKey) -> Roster:
    """Verify the signature, then parse.  Raises RosterError."""
    if len(file) < _HEADER.size or not file.startswith(MAGIC):
        raise RosterError("this is not a signed roster of patrol-lpr; sign one with `patrol-lpr roster sign`")
    _, key_id, signature, length = _HEADER.unpack_from(file)
    if key_id != key.id:
        raise RosterError(
            f"the roster is signed by key {key_id.hex()}, accepted is {key.id.hex()}: is it of another agency?"
        )
    data = file[_HEADER.size :]
    if length > MAX_ROSTER_BYTES or len(data) != length:
        raise RosterError(f"the roster has {len(data)} bytes where its header says {length}: fetch it again")
    if not key.is_signed(signature, _CONTEXT + data):
        raise RosterError("the signature is invalid: the roster was altered, or is of another agency")
    return parse_roster(data)
