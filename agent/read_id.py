"""Read ids: UUID version 7 (RFC 9562, section 5.7), strictly increasing; their uniqueness does not depend on the clock.

A unit without a battery-backed clock always boots at the same wrong time, so the 74 bits beside the time are random,
and within one millisecond (or while the clock is behind the last id) they are incremented by a random amount
(RFC 9562, section 6.2, method 2).
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_NS_PER_MS = 1_000_000
_TAIL_BITS = 74
_STEP_BITS = 32
_MAX_MS = (1 << 48) - 1


class ReadIdMint:
    """Makes ids.  One per process; any thread may call.

    ``random_bytes(n)`` returns n unpredictable bytes; ``secrets.token_bytes`` in production.
    """

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self._random_bytes = random_bytes
        self._ms = -1
        self._tail = 0
        self._lock = threading.Lock()

    def mint(self, utc_ns: int | None) -> bytes:
        """Return 16 bytes, greater than all before; ``utc_ns`` is the best estimate of now, None if there is none."""
        with self._lock:
            return self._next(utc_ns)

    def _next(self, utc_ns: int | None) -> bytes:
        ms = 0 if utc_ns is None else min(max(0, utc_ns // _NS_PER_MS), _MAX_MS)
        if ms > self._ms:
            self._ms = ms
            # The top bit stays clear: room to count within the millisecond.
            self._tail = self._random(_TAIL_BITS - 1)
        else:
            self._tail += 1 + self._random(_STEP_BITS)
            if self._tail >> _TAIL_BITS:
                self._ms += 1
                self._tail = self._random(_TAIL_BITS - 1)
        rand_a, rand_b = self._tail >> 62, self._tail & ((1 << 62) - 1)
        value = self._ms << 80 | 0x7 << 76 | rand_a << 64 | 0b10 << 62 | rand_b
        return value.to_bytes(16, "big")

    def _random(self, bits: int) -> int:
        return int.from_bytes(self._random_bytes((bits + 7) // 8), "big") & ((1 << bits) - 1)
