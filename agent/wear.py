"""How fast the card is being written to, against a budget: flash wears out by writing, and nobody sees it coming."""

from __future__ import annotations

from collections import deque

_NS_PER_S = 1_000_000_000
_WINDOW_NS = 3600 * _NS_PER_S


class WriteBudget:
    """Bytes written so far, told now and then -> bytes in the last hour, and whether that is too much."""

    def __init__(self, max_bytes_per_hour: int) -> None:
        """Raises ValueError for a budget of nothing."""
        if max_bytes_per_hour <= 0:
            raise ValueError(f"the write budget is {max_bytes_per_hour}, must be above 0")
        self._max = max_bytes_per_hour
        self._told: deque[tuple[int, int]] = deque()
        self.last_hour_bytes: int | None = None

    @property
    def exceeded(self) -> bool:
        """True while the last hour's writing is above the budget."""
        return self.last_hour_bytes is not None and self.last_hour_bytes > self._max

    def step(self, written_bytes: int | None, t_mono_ns: int) -> bool:
        """Take the process's total and the time; return ``exceeded``.  None where the total cannot be known."""
        if written_bytes is None:
            return self.exceeded
        self._told.append((t_mono_ns, written_bytes))
        # One from before the window stays, so that the difference spans all of it.
        while len(self._told) > 1 and t_mono_ns - self._told[1][0] >= _WINDOW_NS:
            self._told.popleft()
        self.last_hour_bytes = written_bytes - self._told[0][1]
        return self.exceeded
