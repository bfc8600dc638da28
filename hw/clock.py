"""Clocks: the computer's, and a simulated one for tests and replays."""

from __future__ import annotations

import ctypes
import hashlib
import threading
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from hw.ports import HwConfigError

if TYPE_CHECKING:
    from hw.ports import Clock

NS_PER_S = 1_000_000_000
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_TIMESYNC = Path("/run/systemd/timesync/synchronized")
_TIME_ERROR = 5
"""adjtimex(2) returns this while the clock is not synchronised."""
_TIMEX_BYTES = 512
"""More than struct timex needs on any platform; all zero means: change nothing."""


class RealClock:
    """The clocks of the Linux kernel."""

    def __init__(self) -> None:
        try:
            self._boot_id = uuid.UUID(_BOOT_ID.read_text(encoding="ascii").strip()).bytes
        except (OSError, ValueError) as error:
            raise HwConfigError(f"{_BOOT_ID}: no boot id ({error}); patrol-lpr needs a Linux /proc") from error

    @property
    def boot_id(self) -> bytes:
        """The kernel's random boot id, 16 bytes."""
        return self._boot_id

    def mono_ns(self) -> int:
        """CLOCK_MONOTONIC."""
        return time.monotonic_ns()

    def utc_ns(self) -> int:
        """The system's UTC; without a battery clock it may be months off until NTP or GNSS sets it."""
        return time.time_ns()

    def synchronised(self) -> bool:
        """True when systemd-timesyncd or the kernel (set by chrony, ntpd) says so."""
        if _TIMESYNC.exists():
            return True
        state: int = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
        return 0 <= state < _TIME_ERROR


class SimClock:
    """A simulated clock.  Any thread may call."""

    def __init__(self, *, utc_ns: int = 0, boots_before: int = 0) -> None:
        """``boots_before`` is the number of earlier boots of the unit."""
        self._lock = threading.Lock()
        self._mono_ns = 0
        self._utc_offset_ns = utc_ns
        self._boots = boots_before

    @property
    def boot_id(self) -> bytes:
        """16 bytes, the same in every replay, different after each ``restart``."""
        return hashlib.sha256(f"boot {self._boots}".encode()).digest()[:16]

    def mono_ns(self) -> int:
        """Monotonic nanoseconds."""
        return self._mono_ns

    def utc_ns(self) -> int:
        """UTC of the simulated system clock."""
        return self._mono_ns + self._utc_offset_ns

    def synchronised(self) -> bool:
        """False: no NTP."""
        return False

    def advance(self, ns: int) -> None:
        """Advance by ``ns`` nanoseconds; raises ValueError if negative."""
        if ns < 0:
            raise ValueError(f"a monotonic clock cannot go back by {-ns} ns")
        with self._lock:
            self._mono_ns += ns

    def advance_to(self, mono_ns: int) -> None:
        """Advance to ``mono_ns``; raises ValueError if it is in the past."""
        self.advance(mono_ns - self._mono_ns)

    def step_utc(self, ns: int) -> None:
        """Step the wall clock; monotonic time does not change."""
        self._utc_offset_ns += ns

    def restart(self) -> None:
        """Power cut: new boot id; monotonic time continues, so that a drive has one time axis."""
        self._boots += 1


def wait(clock: Clock, event: threading.Event, timeout_s: float) -> bool:
    """Wait for ``event``, at most ``timeout_s`` of the given clock; returns whether it is set.

    Simulated time passes at once.
    """
    if not isinstance(clock, SimClock):
        return event.wait(timeout_s)
    if not event.is_set():
        clock.advance(max(0, round(timeout_s * NS_PER_S)))
    return event.is_set()
