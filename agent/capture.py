"""Which frame to look at next: pacing and loss accounting, without a clock of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hw.ports import Frame

_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class RateDecision:
    """What became of one frame the camera delivered."""

    process: bool
    """True when the frame is to be recognised."""
    dropped: int
    """Frames lost between this one and the one before (the camera numbers every frame)."""


class FrameRateLimiter:
    """Decides frame by frame; a frame rate limit sheds load before the board throttles itself."""

    def __init__(self, *, max_fps: float | None = None) -> None:
        self._interval_ns = 0
        self._next_seq: int | None = None
        self._due_ns: int | None = None
        self.limit(max_fps)

    def limit(self, max_fps: float | None) -> None:
        """Look at no more than this many frames a second; None for every frame.

        Raises ValueError when the rate is not positive.
        """
        if max_fps is not None and max_fps <= 0:
            raise ValueError(f"max_fps is {max_fps}, must be above 0")
        self._interval_ns = int(_NS_PER_S / max_fps) if max_fps else 0
        self._due_ns = None

    def take(self, frame: Frame) -> RateDecision:
        """Account for a frame and say whether to look at it."""
        expected = frame.seq if self._next_seq is None else self._next_seq
        self._next_seq = frame.seq + 1
        dropped = max(0, frame.seq - expected)
        if self._due_ns is not None and frame.t_mono_ns < self._due_ns:
            return RateDecision(process=False, dropped=dropped)
        if self._interval_ns:
            # A frame a little late keeps the schedule, one very late starts a new one: the mean rate is the limit.
            late = self._due_ns is not None and frame.t_mono_ns - self._due_ns < self._interval_ns
            base = self._due_ns if late and self._due_ns is not None else frame.t_mono_ns
            self._due_ns = base + self._interval_ns
        return RateDecision(process=True, dropped=dropped)
