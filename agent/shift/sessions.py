"""Sessions: random tokens, in memory only, which end with the shift, with the idle limit, and with the process.

Only hashes of the tokens are kept, so that neither a memory dump of a state object nor a log has a usable one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_NS_PER_S = 1_000_000_000
_TOKEN_BYTES = 32
_MAX_CHARS = 128
_PER_SHIFT = 2
"""Terminals of one officer; the oldest session ends when another is opened."""


@dataclass(frozen=True, slots=True)
class _Session:
    shift_id: str
    used_mono_ns: int


class Sessions:
    """The sessions of this process; not thread-safe."""

    def __init__(self, random_bytes: Callable[[int], bytes], *, idle_s: float) -> None:
        """``random_bytes(n)`` returns n unpredictable bytes; ``secrets.token_bytes`` in production."""
        self._random_bytes = random_bytes
        self.idle_s = idle_s
        """Seconds without a command after which a session ends."""
        self._open: dict[str, _Session] = {}

    def open(self, shift_id: str, t_mono_ns: int) -> str:
        """Return a new token for a shift."""
        own = [digest for digest, session in self._open.items() if session.shift_id == shift_id]
        for digest in own[: max(0, len(own) - _PER_SHIFT + 1)]:
            del self._open[digest]
        token = self._random_bytes(_TOKEN_BYTES).hex()
        self._open[_digest(token)] = _Session(shift_id, t_mono_ns)
        return token

    def shift_of(self, token: str, t_mono_ns: int, *, used: bool = True) -> str | None:
        """Return the shift of a session, and mark it as used; None if it is unknown or was idle for too long."""
        self.expire(t_mono_ns)
        digest = _digest(token)
        session = self._open.get(digest)
        if session is None:
            return None
        if used:
            self._open[digest] = replace(session, used_mono_ns=t_mono_ns)
        return session.shift_id

    def use_all(self, t_mono_ns: int) -> None:
        """Mark all sessions as used: the vehicle moves, and nobody could type a PIN."""
        self.expire(t_mono_ns)
        self._open = {digest: replace(session, used_mono_ns=t_mono_ns) for digest, session in self._open.items()}

    def expire(self, t_mono_ns: int) -> None:
        """End sessions that were idle for too long."""
        self._open = {
            digest: session
            for digest, session in self._open.items()
            if t_mono_ns - session.used_mono_ns < self.idle_s * _NS_PER_S
        }

    def end(self, shift_id: str) -> None:
        """End all sessions of a shift."""
        self._open = {digest: session for digest, session in self._open.items() if session.shift_id != shift_id}

    def __len__(self) -> int:
        return len(self._open)


def _digest(token: str) -> str:
    return hashlib.sha256(token[:_MAX_CHARS].encode("utf-8", "surrogatepass")).hexdigest()
