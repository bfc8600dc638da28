"""Which frames to process: rate limit and loss accounting, without a clock of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hw.ports import Frame

_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class RateDecision:
    """The decision about one frame of the camera."""

    process: bool
    """True if the frame is to be recognised."""
    dropped: int
    """Frames lost since the frame before (the camera numbers every frame)."""


class FrameRateLimiter:
    """Limits the frame rate, so that load is reduced before the board throttles itself."""

    def __init__(self, *, max_fps: float | None = None) -> None:
        self._interval_ns = 0
        self._next_seq: int | None = None
        self._due_ns: int | None = None
        self.limit(max_fps)

    def limit(self, max_fps: float | None) -> None:
        """Process at most this many frames per second; None for every frame.

        Raises ValueError when the rate is not positive.
        """
        if max_fps is not None and max_fps <= 0:
            raise ValueError(f"max_fps is {max_fps}, must be above 0")
        self._interval_ns = int(_NS_PER_S / max_fps) if max_fps else 0
        self._due_ns = None

    def take(self, frame: Frame) -> RateDecision:
        """Count a frame and decide whether to process it."""
        expected = frame.seq if self._next_seq is None else self._next_seq
        self._next_seq = frame.seq + 1
        dropped = max(0, frame.seq - expected)
        if self._due_ns is not None and frame.t_mono_ns < self._due_ns:
            return RateDecision(process=False, dropped=dropped)
        if self._interval_ns:
            # A slightly late frame keeps the schedule, a very late one starts a new one: the mean rate is the limit.
            late = self._due_ns is not None and frame.t_mono_ns - self._due_ns < self._interval_ns
            base = self._due_ns if late and self._due_ns is not None else frame.t_mono_ns
            self._due_ns = base + self._interval_ns
        return RateDecision(process=True, dropped=dropped)
