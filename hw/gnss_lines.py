"""What every live receiver shares: bytes become stamped lines, waiting ends in time, a close is noticed."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING

from hw.clock import NS_PER_S
from hw.ports import NmeaLine

if TYPE_CHECKING:
    from hw.ports import Clock

MAX_LINE_BYTES = 512
"""NMEA 0183 allows 82 characters; proprietary sentences run longer, more than this is no sentence."""
_POLL_S = 0.25
"""Longest read: how late a close from another thread is noticed."""


class LineAssembler:
    """Cuts a byte stream into lines.  A line carries the time its first byte arrived."""

    def __init__(self) -> None:
        self._partial = bytearray()
        self._t_first_ns = 0
        self._overlong = False
        self.dropped = 0
        """Runs of more than MAX_LINE_BYTES bytes without a line end, thrown away."""

    def feed(self, data: bytes, t_mono_ns: int) -> list[NmeaLine]:
        """Take bytes that arrived at ``t_mono_ns``; return the lines they completed, empty ones left out."""
        lines: list[NmeaLine] = []
        for position, piece in enumerate(data.replace(b"\r", b"\n").split(b"\n")):
            if position:
                lines.extend(self._end_line())
            self._extend(piece, t_mono_ns)
        return lines

    def _extend(self, piece: bytes, t_mono_ns: int) -> None:
        if not piece or self._overlong:
            return
        if not self._partial:
            self._t_first_ns = t_mono_ns
        self._partial += piece
        if len(self._partial) > MAX_LINE_BYTES:
            self._overlong = True
            self._partial.clear()
            self.dropped += 1

    def _end_line(self) -> list[NmeaLine]:
        text = self._partial.decode("ascii", errors="replace")
        self._partial.clear()
        self._overlong = False
        return [NmeaLine(self._t_first_ns, text)] if text else []


class LineSource(ABC):
    """Waits for lines; where they come from is the subclass's matter."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._assembler = LineAssembler()
        self._ready: deque[NmeaLine] = deque()
        self._closed = threading.Event()

    def next_line(self, *, timeout_s: float) -> NmeaLine | None:
        """As the port says."""
        deadline_ns = self._clock.mono_ns() + round(timeout_s * NS_PER_S)
        while not self._ready and not self._closed.is_set():
            left_s = (deadline_ns - self._clock.mono_ns()) / NS_PER_S
            self._ready.extend(self._read(max(0.0, min(_POLL_S, left_s))))
            if left_s <= 0:
                break
        if self._closed.is_set():
            self._release()
            return None
        return self._ready.popleft() if self._ready else None

    def close(self) -> None:
        """As the port says; a waiting ``next_line`` returns within a quarter of a second."""
        self._closed.set()

    @abstractmethod
    def _read(self, timeout_s: float) -> list[NmeaLine]:
        """Return whatever arrives within the time-out; raises GnssLostError."""

    @abstractmethod
    def _release(self) -> None:
        """Give back the device, and what of a line has come."""
