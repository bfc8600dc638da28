"""Monitors the rate of writes to the card against a budget: flash wears out by writing, without warning."""

from __future__ import annotations

from collections import deque

_NS_PER_S = 1_000_000_000
_WINDOW_NS = 3600 * _NS_PER_S


class WriteBudget:
    """Total of bytes written, sampled -> bytes in the last hour, and whether they exceed the budget."""

    def __init__(self, max_bytes_per_hour: int) -> None:
        """Raises ValueError for a budget of 0."""
        if max_bytes_per_hour <= 0:
            raise ValueError(f"the write budget is {max_bytes_per_hour}, must be above 0")
        self._max = max_bytes_per_hour
        self._told: deque[tuple[int, int]] = deque()
        self.last_hour_bytes: int | None = None

    @property
    def exceeded(self) -> bool:
        """True while the last hour's writes exceed the budget."""
        return self.last_hour_bytes is not None and self.last_hour_bytes > self._max

    def step(self, written_bytes: int | None, t_mono_ns: int) -> bool:
        """Add the process's total, None if it is unknown, and the time; return ``exceeded``."""
        if written_bytes is None:
            return self.exceeded
        self._told.append((t_mono_ns, written_bytes))
        # One sample from before the window is kept, so that the difference spans all of it.
        while len(self._told) > 1 and t_mono_ns - self._told[1][0] >= _WINDOW_NS:
            self._told.popleft()
        self.last_hour_bytes = written_bytes - self._told[0][1]
        return self.exceeded
