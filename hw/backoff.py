"""Retry delays."""

from __future__ import annotations

import random


class Backoff:
    """Exponential back-off with full jitter (M. Brooker, "Exponential Backoff And Jitter", AWS 2015).

    The n-th delay is uniform in 0..min(max_s, min_s * 2^n), so that the units of a fleet do not
    reconnect all at once after a broker outage.
    """

    def __init__(self, min_s: float, max_s: float) -> None:
        if not 0 <= min_s <= max_s:
            raise ValueError(f"back-off from {min_s} to {max_s} s: expected 0 <= min_s <= max_s")
        self._min_s = min_s
        self._max_s = max_s
        self._rng = random.Random()  # noqa: S311 - spreads load, guards nothing
        self._ceiling_s = min_s

    def next_s(self) -> float:
        """Return the delay in seconds; the limit of the next one is doubled."""
        delay_s = self._rng.uniform(0, self._ceiling_s)
        self._ceiling_s = min(self._max_s, self._ceiling_s * 2)
        return delay_s

    def reset(self) -> None:
        """Reset after a success."""
        self._ceiling_s = self._min_s
