"""Durations of stages and rates of events, from a bounded number of samples."""

from __future__ import annotations

import statistics
import threading
import time
from collections import deque

_KEPT = 512
_P90 = 9
_NS_PER_S = 1_000_000_000
_WINDOW_NS = 5 * _NS_PER_S


class StageTimes:
    """Times of named stages in milliseconds.  One thread writes, any may read: each camera has its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._times: dict[str, deque[float]] = {}
        self._last_s = time.perf_counter()

    def start(self) -> None:
        """Start a round."""
        self._last_s = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Record that a stage is done; the next begins."""
        now_s = time.perf_counter()
        with self._lock:
            self._times.setdefault(stage, deque(maxlen=_KEPT)).append((now_s - self._last_s) * 1e3)
        self._last_s = now_s

    def summary(self) -> dict[str, tuple[float, float]]:
        """Median and 90th percentile of each stage, in milliseconds."""
        with self._lock:
            copied = {stage: list(times) for stage, times in self._times.items()}
        return {
            stage: (statistics.median(times), sorted(times)[min(len(times) - 1, len(times) * _P90 // 10)])
            for stage, times in copied.items()
        }


class RateMeter:
    """A counter, sampled -> its rate per second over the last five seconds.  One thread."""

    def __init__(self) -> None:
        self._told: deque[tuple[int, int]] = deque()

    def step(self, count: int, t_mono_ns: int) -> None:
        """Add a sample of the count."""
        self._told.append((t_mono_ns, count))
        # One sample from before the window is kept, so that the difference spans all of it.
        while len(self._told) > 1 and t_mono_ns - self._told[1][0] >= _WINDOW_NS:
            self._told.popleft()

    @property
    def per_s(self) -> float:
        """Rate per second; 0 until there are two samples."""
        if len(self._told) < 2:  # noqa: PLR2004 - a difference needs two
            return 0.0
        (t0_ns, before), (t1_ns, now) = self._told[0], self._told[-1]
        return (now - before) * _NS_PER_S / (t1_ns - t0_ns) if t1_ns > t0_ns else 0.0
