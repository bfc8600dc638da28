"""PINs: argon2id (RFC 9106) with the RFC's second recommended parameters, 64 MiB, three passes, four lanes.

A Raspberry Pi 4 needs about 0.4 s for that: `cryptsetup benchmark` on one does four passes over 239,062 KiB with four
threads in 2 s (github.com/unixabg/cryptmypi, issue 53), 478 MB/s; three passes over 64 MiB are 201 MB.

A PIN is short.  Who copies the card can try all PINs of six digits in about five days on such a board, and far faster
on a graphics card; argon2id slows that down and does not prevent it.  The limits of :mod:`agent.shift.attempts` protect
the unit in use.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Protocol

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from protocol.roster.roster import check_pin_hash

MEMORY_KIB, PASSES, LANES = 65_536, 3, 4
MIN_DIGITS, MAX_CHARS = 6, 64
_ABSENT = "$argon2id$v=19$m=65536,t=3,p=4$cGF0cm9sLWxwci1ub25l$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
"""Compared with for an unknown badge, so that it takes as long as for a known one."""


class PinChecker(Protocol):
    """Compares a PIN with a hash of the roster."""

    def is_right(self, pin: str, pin_hash: str | None) -> bool:
        """Return whether it matches; None never does, and takes as long."""


class Argon2Pins:
    """The checker in use; stateless."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(PASSES, MEMORY_KIB, LANES, hash_len=32, salt_len=16, type=Type.ID)

    def is_right(self, pin: str, pin_hash: str | None) -> bool:
        """See :class:`PinChecker`.  Hashes with costs beyond the roster's bounds never match."""
        try:
            check_pin_hash(pin_hash or _ABSENT)
            self._hasher.verify(pin_hash or _ABSENT, pin)
        except (VerificationError, InvalidHashError, ValueError):
            return False
        return pin_hash is not None

    def hash(self, pin: str) -> str:
        """Return the hash for a roster.  Raises ValueError for a PIN that is too short, too long or too simple."""
        check_pin(pin)
        return self._hasher.hash(pin)


def check_pin(pin: str) -> None:
    """Raise ValueError for a PIN that nobody should have."""
    if not MIN_DIGITS <= len(pin) <= MAX_CHARS or not pin.isprintable() or not pin.isascii():
        raise ValueError(f"a PIN has {MIN_DIGITS} to {MAX_CHARS} digits or other ASCII characters")
    steps = {ord(b) - ord(a) for a, b in pairwise(pin)}
    if len(steps) == 1 and steps <= {-1, 0, 1}:
        raise ValueError("all digits are the same or in sequence: choose another PIN")
