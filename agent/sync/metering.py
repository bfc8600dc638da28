"""Limits for metered links: pictures within a budget of bytes per hour, or none.  Reads are always sent."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

_WINDOW_NS = 3600 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class MeteringConfig:
    """Limits for pictures on metered links."""

    max_bytes_per_hour: int | None = None
    """None for no limit."""
    pictures: bool = True
    """False: pictures wait for an unmetered link."""


class Meter:
    """Counts the bytes of pictures in the last hour.  Used by the uplink's thread; any may call ``set_metered``."""

    def __init__(self, config: MeteringConfig | None = None) -> None:
        """Raises ValueError for a budget of 0; use ``pictures`` instead."""
        self._config = config or MeteringConfig()
        if self._config.max_bytes_per_hour is not None and self._config.max_bytes_per_hour <= 0:
            raise ValueError("the budget is 0 bytes: set pictures to false instead")
        self._spent: deque[tuple[int, int]] = deque()
        self._sum_bytes = 0
        self._metered = True
        self.holding = False
        """True while a picture waits for the budget or for an unmetered link."""

    @property
    def metered(self) -> bool:
        """Whether the current link is metered; assumed until it is known."""
        return self._metered

    def set_metered(self, *, metered: bool) -> None:
        """Set whether the current link is metered; any thread."""
        self._metered = metered

    def nothing_waits(self) -> None:
        """Note that no picture is left to send."""
        self.holding = False

    def allows(self, size_bytes: int, t_mono_ns: int) -> bool:
        """True if this many bytes of a picture may be sent now."""
        self.holding = self._metered and not self._affords(size_bytes, t_mono_ns)
        return not self.holding

    def spend(self, size_bytes: int, t_mono_ns: int) -> None:
        """Note bytes that were sent."""
        if self._metered:
            self._spent.append((t_mono_ns, size_bytes))
            self._sum_bytes += size_bytes

    def _affords(self, size_bytes: int, t_mono_ns: int) -> bool:
        if not self._config.pictures:
            return False
        budget_bytes = self._config.max_bytes_per_hour
        if budget_bytes is None:
            return True
        while self._spent and t_mono_ns - self._spent[0][0] >= _WINDOW_NS:
            self._sum_bytes -= self._spent.popleft()[1]
        # A chunk larger than the whole budget would never be sent: it may be, on its own.
        return self._sum_bytes + size_bytes <= budget_bytes or not self._spent
