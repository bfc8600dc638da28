"""How long the stages take: a bounded memory of the latest times."""

from __future__ import annotations

import statistics
import threading
import time
from collections import deque

_KEPT = 512
_P90 = 9


class StageTimes:
    """Times of named stages in milliseconds.  One thread writes, any may read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._times: dict[str, deque[float]] = {}
        self._last_s = time.perf_counter()

    def start(self) -> None:
        """Begin a round."""
        self._last_s = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Note that a stage is done; the next begins."""
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
