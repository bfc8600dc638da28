"""A private key that only a PIN opens: Argon2id (RFC 9106) of the PIN, mixed with a secret of the unit.

Both are needed: the secret alone, as on a stolen card, leaves the search over all PINs, each of which costs the memory
and time of one Argon2id; a PIN alone opens nothing on another unit.
"""

from __future__ import annotations

import secrets
from itertools import pairwise
from typing import Annotated

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import BaseModel, ConfigDict, Field

from protocol.errors import PinError

MEMORY_KIB, PASSES, LANES = 65_536, 3, 2
"""Second recommended choice of RFC 9106 (64 MiB, 3 passes), with the lanes of two cores."""
MIN_PIN_CHARS, MAX_PIN_CHARS = 6, 64
_SALT_BYTES, _KEY_BYTES, _NONCE_BYTES, _TAG_BYTES = 16, 32, 12, 16
_BOX_BYTES = _NONCE_BYTES + _KEY_BYTES + _TAG_BYTES
_CONTEXT = b"patrol-lpr pin/1\0"
_Hex = Annotated[str, Field(pattern=r"^([0-9a-f]{2})+$")]


class PinWrap(BaseModel):
    """A 32-byte secret wrapped by one officer's PIN, as it is stored."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    memory_kib: Annotated[int, Field(ge=8, le=2**21)] = MEMORY_KIB
    passes: Annotated[int, Field(ge=1, le=64)] = PASSES
    lanes: Annotated[int, Field(ge=1, le=64)] = LANES
    salt: Annotated[_Hex, Field(min_length=2 * _SALT_BYTES, max_length=2 * _SALT_BYTES)]
    box: Annotated[_Hex, Field(min_length=2 * _BOX_BYTES, max_length=2 * _BOX_BYTES)]


def check_pin(pin: str) -> None:
    """Raise PinError for a PIN that is too short, or that everybody would try first."""
    if not MIN_PIN_CHARS <= len(pin) <= MAX_PIN_CHARS:
        raise PinError(f"a PIN has {MIN_PIN_CHARS} to {MAX_PIN_CHARS} characters")
    steps = {ord(b) - ord(a) for a, b in pairwise(pin)}
    if steps in ({0}, {1}, {-1}):
        raise PinError("the PIN is a row of equal or consecutive characters: choose another")


def wrap_with_pin(
    secret: bytes, pin: str, unit_secret: bytes, name: str, *, memory_kib: int = MEMORY_KIB, passes: int = PASSES
) -> PinWrap:
    """Wrap 32 bytes; ``name`` is the officer, to whom the result is bound.  Raises PinError for a weak PIN."""
    check_pin(pin)
    salt, nonce = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_NONCE_BYTES)
    slow = Argon2id(salt=salt, length=_KEY_BYTES, iterations=passes, lanes=LANES, memory_cost=memory_kib)
    key = _key(pin, unit_secret, slow)
    box = ChaCha20Poly1305(key).encrypt(nonce, secret, _CONTEXT + name.encode())
    return PinWrap(memory_kib=memory_kib, passes=passes, lanes=LANES, salt=salt.hex(), box=(nonce + box).hex())


def unwrap_with_pin(wrap: PinWrap, pin: str, unit_secret: bytes, name: str) -> bytes:
    """Return the 32 bytes; raises PinError for a wrong PIN, and for the wrap of another officer or unit."""
    slow = Argon2id(
        salt=bytes.fromhex(wrap.salt), length=_KEY_BYTES, iterations=wrap.passes, lanes=wrap.lanes,
        memory_cost=wrap.memory_kib,
    )  # fmt: skip
    key = _key(pin, unit_secret, slow)
    box = bytes.fromhex(wrap.box)
    try:
        return ChaCha20Poly1305(key).decrypt(box[:_NONCE_BYTES], box[_NONCE_BYTES:], _CONTEXT + name.encode())
    except InvalidTag:
        raise PinError("the PIN is wrong") from None


def _key(pin: str, unit_secret: bytes, slow: Argon2id) -> bytes:
    return HKDF(hashes.SHA256(), _KEY_BYTES, salt=unit_secret, info=_CONTEXT).derive(slow.derive(pin.encode()))
