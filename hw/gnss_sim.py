"""A receiver that repeats the sentences of a drive, as its clock goes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from hw.clock import NS_PER_S, wait
from hw.ports import NmeaLine
from hw.timeline import NmeaEvent, scripted_timeline

if TYPE_CHECKING:
    from hw.drive_format import Drive
    from hw.ports import Clock


class GnssSim:
    """Sentences of a drive at their time, none lost but those of ``gnss.mute``."""

    def __init__(self, drive: Drive, clock: Clock, *, origin_ns: int | None = None) -> None:
        """``origin_ns`` is t = 0 of the drive on ``clock``; if omitted, now."""
        self._clock = clock
        self._closed = threading.Event()
        start = clock.mono_ns() if origin_ns is None else origin_ns
        self._lines = [
            NmeaLine(event.t_mono_ns, event.text)
            for event in scripted_timeline(drive, origin_ns=start)
            if isinstance(event, NmeaEvent)
        ]
        self._next = 0

    def next_line(self, *, timeout_s: float) -> NmeaLine | None:
        """See the port; after the last sentence it waits and returns None, like a receiver that is silent."""
        due_ns = deadline_ns = self._clock.mono_ns() + round(timeout_s * NS_PER_S)
        if self._next < len(self._lines):
            due_ns = min(self._lines[self._next].t_mono_ns, deadline_ns)
        while (left_ns := due_ns - self._clock.mono_ns()) > 0 and not self._closed.is_set():
            wait(self._clock, self._closed, left_ns / NS_PER_S)
        if self._closed.is_set() or self._next >= len(self._lines):
            return None
        line = self._lines[self._next]
        if line.t_mono_ns > self._clock.mono_ns():
            return None
        self._next += 1
        return line

    @property
    def dropped_lines(self) -> int:
        """0: sentences come whole."""
        return 0

    @property
    def unused_reports(self) -> int:
        """0: there is no gpsd."""
        return 0

    def close(self) -> None:
        """See the port."""
        self._closed.set()
