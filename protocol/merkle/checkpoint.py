"""Checkpoints of the log and countersignatures of witnesses: C2SP tlog-checkpoint, signed-note and tlog-cosignature.

A checkpoint is three lines of text: the log's name, its number of entries, its root.  A station signs it with the log's
key; a unit that has seen that the log only grew countersigns the same text with its own key and the time.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from protocol.errors import CheckpointError
from protocol.merkle.tree import HASH_BYTES
from protocol.seal.keys import SIGNATURE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from protocol.seal.keys import SigningKey, VerifyKey

MAX_NOTE_BYTES = 4_096
"""Of text that is read; one has about 300 bytes."""
_ORIGIN = "patrol-lpr/log/"
_DASH = "\N{EM DASH} "
_NAME = re.compile(r"[A-Za-z0-9._/-]{1,100}")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_MAX_SIGNATURES = 16
_ED25519, _COSIGNATURE = b"\1", b"\4"
"""Types of signature in C2SP's registry."""
_TIME = struct.Struct(">Q")
_MAX_TIME_S = 2**40


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A state of the log."""

    origin: str
    """Name of the log, which has the id of its key: another key is another log."""
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{_base64(self.root)}\n"


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint with its signature lines, not verified yet."""

    checkpoint: Checkpoint
    signatures: tuple[tuple[str, bytes], ...]
    """Name of each signer, and what follows it."""

    def is_signed_by(self, key: VerifyKey) -> bool:
        """True if this key of the log signed it; the name of the log must be the key's."""
        origin = origin_of(key)
        if self.checkpoint.origin != origin:
            return False
        wanted = _key_hash(origin, _ED25519, key)
        return any(
            name == origin and data[:4] == wanted and key.is_signed(data[4:], self.checkpoint.text.encode())
            for name, data in self.signatures
            if len(data) == 4 + SIGNATURE_BYTES
        )


@dataclass(frozen=True, slots=True)
class Cosignature:
    """A unit's countersignature of a checkpoint."""

    unit: str
    utc_s: int
    """When the unit signed, by its clock; 0 if it did not know the time."""
    line: str
    """The signature line of the note."""


def origin_of(key: VerifyKey) -> str:
    """Return the name of the log that this key signs."""
    return f"{_ORIGIN}{key.id.hex()}"


def sign_checkpoint(key: SigningKey, size: int, root: bytes) -> str:
    """Return a signed checkpoint as text."""
    checkpoint = Checkpoint(origin_of(key.public), size, root)
    hint = _key_hash(checkpoint.origin, _ED25519, key.public)
    signature = hint + key.sign(checkpoint.text.encode())
    return f"{checkpoint.text}\n{_DASH}{checkpoint.origin} {_base64(signature)}\n"


def parse_checkpoint(note: str) -> SignedCheckpoint:
    """Parse a signed checkpoint, with or without countersignatures.  Raises CheckpointError."""
    if len(note) > MAX_NOTE_BYTES:
        raise CheckpointError(f"a checkpoint of {len(note)} characters; at most {MAX_NOTE_BYTES} are read")
    text, blank, rest = note.partition("\n\n")
    lines = text.split("\n")
    if not blank or len(lines) != 3:  # noqa: PLR2004 - name, size, root
        raise CheckpointError("not a checkpoint: name, size and root of a log, an empty line, signatures")
    origin, size, root = lines
    if not _NAME.fullmatch(origin) or not _SIZE.fullmatch(size):
        raise CheckpointError("not a checkpoint: the name or the size of the log is invalid")
    checkpoint = Checkpoint(origin, int(size), _bytes(root, HASH_BYTES))
    signed = rest.split("\n")
    if signed.pop() or not 0 < len(signed) <= _MAX_SIGNATURES:
        raise CheckpointError(f"not a checkpoint: it must have 1 to {_MAX_SIGNATURES} signature lines")
    return SignedCheckpoint(checkpoint, tuple(map(_signature, signed)))


def cosign(key: SigningKey, unit: str, checkpoint: Checkpoint, utc_s: int) -> str:
    """Return a unit's signature line for a checkpoint."""
    hint = _key_hash(unit, _COSIGNATURE, key.public)
    signature = hint + _TIME.pack(utc_s) + key.sign(_cosigned(checkpoint, utc_s))
    return f"{_DASH}{unit} {_base64(signature)}"


def read_cosignature(
    line: str, checkpoint: Checkpoint, unit: str, keys: Iterable[VerifyKey]
) -> Cosignature | None:
    """Return a countersignature that one of the unit's keys made of this checkpoint; None for any other line.

    Raises CheckpointError for what is no signature line.
    """
    name, data = _signature(line)
    if name != unit or len(data) != 4 + _TIME.size + SIGNATURE_BYTES:
        return None
    (utc_s,) = _TIME.unpack_from(data, 4)
    if utc_s > _MAX_TIME_S:
        return None
    message = _cosigned(checkpoint, utc_s)
    for key in keys:
        if data[:4] == _key_hash(unit, _COSIGNATURE, key) and key.is_signed(data[4 + _TIME.size :], message):
            return Cosignature(unit, utc_s, line)
    return None


def _cosigned(checkpoint: Checkpoint, utc_s: int) -> bytes:
    return f"cosignature/v1\ntime {utc_s}\n{checkpoint.text}".encode()


def _key_hash(name: str, kind: bytes, key: VerifyKey) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + kind + key.raw).digest()[:4]


def _signature(line: str) -> tuple[str, bytes]:
    name, _, data = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not _NAME.fullmatch(name):
        raise CheckpointError("not a signature line of a checkpoint")
    return name, _bytes(data, None)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes(text: str, length: int | None) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise CheckpointError("not a checkpoint: invalid base64") from None
    if _base64(data) != text or (length is not None and len(data) != length):
        raise CheckpointError("not a checkpoint: a value of the wrong length, or not in its canonical form")
    return data
