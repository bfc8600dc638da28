"""Passwords: argon2id (RFC 9106, second recommended parameters: 64 MiB, three passes, four lanes)."""

from __future__ import annotations

import secrets
import threading
from typing import TYPE_CHECKING

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from station.accounts.places import Places
from station.errors import AccountError

if TYPE_CHECKING:
    from typing import Protocol

    class Hasher(Protocol):
        """Hashes and verifies."""

        def hash(self, password: str) -> str:
            """Return the hash in PHC form."""

        def verify(self, hash: str, password: str) -> bool:  # noqa: A002 - argon2's name
            """Raise VerificationError unless they match."""


MIN_LENGTH, MAX_LENGTH = 12, 256
_MIN_DIFFERENT = 5
MAX_AT_ONCE = 2
"""Each takes 64 MiB: strangers who log in all at once must not fill the memory.  The others wait."""
MAX_LOG_INS = 16
"""Log-ins at once, with those that wait."""


def argon2id() -> Hasher:
    """Return the hasher of a station."""
    return PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=4, type=Type.ID)


def check_new(password: str, name: str) -> None:
    """Raises AccountError for a password that is too short, too simple or has the account's name."""
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise AccountError(f"a password has {MIN_LENGTH} to {MAX_LENGTH} characters")
    if len(set(password)) < _MIN_DIFFERENT:
        raise AccountError(f"a password has at least {_MIN_DIFFERENT} different characters")
    if name.casefold() in password.casefold():
        raise AccountError("a password does not contain the name of its account")


class Passwords:
    """Verifies in equal time whether an account exists or not."""

    def __init__(self, hasher: Hasher) -> None:
        self._hasher = hasher
        self._free = threading.BoundedSemaphore(MAX_AT_ONCE)
        self.places = Places(MAX_LOG_INS)
        """One is taken for each log-in."""
        self._dummy = hasher.hash(secrets.token_urlsafe(16))

    def hash(self, password: str) -> str:
        """Return the hash to store."""
        with self._free:
            return self._hasher.hash(password)

    def is_right(self, stored: str | None, password: str) -> bool:
        """Compare; None is a hash that nothing matches."""
        try:
            with self._free:
                self._hasher.verify(self._dummy if stored is None else stored, password[: MAX_LENGTH + 1])
        except (VerificationError, InvalidHashError):
            return False
        return stored is not None
