"""Common part of all live receivers: timestamped lines, timeouts, close."""

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
"""NMEA 0183 allows 82 characters; proprietary sentences are longer, but not longer than this."""
_POLL_S = 0.25
"""Maximum duration of a read, and so the delay until a close from another thread takes effect."""


class LineAssembler:
    """Splits a byte stream into lines, stamped with the arrival of their first byte."""

    def __init__(self) -> None:
        self._partial = bytearray()
        self._t_first_ns = 0
        self._overlong = False
        self.dropped = 0
        """Runs of more than MAX_LINE_BYTES bytes without a line end that were discarded."""

    def feed(self, data: bytes, t_mono_ns: int) -> list[NmeaLine]:
        """Add bytes that arrived at ``t_mono_ns``; return the lines they complete, without empty ones."""
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
    """Waits for lines; the subclass provides the bytes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._assembler = LineAssembler()
        self._ready: deque[NmeaLine] = deque()
        self._closed = threading.Event()

    def next_line(self, *, timeout_s: float) -> NmeaLine | None:
        """See the port."""
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
        """See the port; a waiting ``next_line`` returns within a quarter of a second."""
        self._closed.set()

    @abstractmethod
    def _read(self, timeout_s: float) -> list[NmeaLine]:
        """Return the bytes that arrive within the timeout; raises GnssLostError."""

    @abstractmethod
    def _release(self) -> None:
        """Close the device and discard an incomplete line."""
