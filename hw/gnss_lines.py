"""Common part of all live receivers: timestamped lines, timeouts, close."""

from __future__ import annotations

import re
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
_TOKENS = re.compile(rb"[\r\n]+|[$!]|[ \"#%-~]+|[^\r\n -~]+")
"""Line ends; sentence start; other text; binary data."""
_BEGUN = re.compile(rb"[$!][A-Z][A-Z0-9]")
"""Start of a sentence: any other ``$`` in binary data is binary as well."""
_TRACE_BYTES = 16
"""Number of binary bytes that are passed on, for recognition of the protocol."""


class LineAssembler:
    """Splits a byte stream into lines, stamped with the arrival of their first byte.

    A line ends at a line end, at the start of the next sentence, and at the start of binary data: receivers mix
    sentences with messages of other protocols (UBX, RTCM, CASIC ...), and some truncate sentences.  For each line end
    in binary data, the first bytes are returned as a line, so that a wrong baud rate or a receiver without NMEA is
    noticed.  Memory is bounded by ``max_line_bytes``.
    """

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES, *, has_json: bool = False) -> None:
        """If ``has_json``, a line that starts with a brace is JSON: it is not split, and may have any characters."""
        self._max_line_bytes = max_line_bytes
        self._has_json = has_json
        self._partial = bytearray()
        self._t_first_ns = 0
        self._skipping = False
        """True until the end of a line that was too long."""
        self._trace = bytearray()
        self._in_binary = False
        """True from binary data to the next sentence or line end: text in between is binary as well."""
        self._binary_bytes = 0
        self.dropped = 0
        """Lines of more than ``max_line_bytes`` bytes that were discarded."""

    def restart(self) -> None:
        """Forget what is incomplete: the next bytes are those of a new connection."""
        self._partial.clear()
        self._trace.clear()
        self._binary_bytes = 0
        self._skipping = self._in_binary = False

    def feed(self, data: bytes, t_mono_ns: int) -> list[NmeaLine]:
        """Add bytes that arrived at ``t_mono_ns``; return the lines they complete, without empty ones."""
        lines: list[NmeaLine] = []
        for token in _TOKENS.findall(data):
            if token[0] in b"\r\n":
                lines += self._end_line() or self._end_binary(t_mono_ns)
                self._in_binary = self._skipping = False
            elif token in (b"$", b"!") and not self._is_in_json:
                lines += self._end_line()
                self._in_binary = self._skipping = False
                self._extend(token, t_mono_ns)
            elif not (b" " <= token[:1] <= b"~" or self._is_in_json) or (self._in_binary and not self._partial):
                lines += self._skip_binary(token, t_mono_ns)
            else:
                self._extend(token, t_mono_ns)
        return lines

    @property
    def _is_in_json(self) -> bool:
        return self._has_json and self._partial.startswith(b"{")

    def _extend(self, text: bytes, t_mono_ns: int) -> None:
        if self._skipping:
            return
        if not self._partial:
            self._t_first_ns = t_mono_ns
        self._partial += text
        if len(self._partial) > self._max_line_bytes:
            self._skipping = True
            self._partial.clear()
            self.dropped += 1

    def _end_line(self) -> list[NmeaLine]:
        text = self._partial.decode(errors="replace")
        self._partial.clear()
        return [self._line(self._t_first_ns, text)] if text else []

    def _skip_binary(self, data: bytes, t_mono_ns: int) -> list[NmeaLine]:
        lines: list[NmeaLine] = []
        if _BEGUN.match(self._partial):
            lines = self._end_line()
        else:
            self._note_binary(bytes(self._partial))
            self._partial.clear()
        self._note_binary(data)
        self._in_binary = True
        if self._binary_bytes > self._max_line_bytes:
            lines += self._end_binary(t_mono_ns)
        return lines

    def _note_binary(self, data: bytes) -> None:
        self._binary_bytes += len(data)
        self._trace += data[: _TRACE_BYTES - len(self._trace)]

    def _end_binary(self, t_mono_ns: int) -> list[NmeaLine]:
        if not self._trace:
            return []
        return [self._line(t_mono_ns, self._trace.decode("ascii", errors="replace"))]

    def _line(self, t_mono_ns: int, text: str) -> NmeaLine:
        line = NmeaLine(t_mono_ns, text, self._binary_bytes)
        self._binary_bytes = 0
        self._trace.clear()
        return line


class LineSource(ABC):
    """Waits for lines; the subclass provides the bytes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._assembler = self._new_assembler()
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

    @property
    def dropped_lines(self) -> int:
        """See the port; over all connections."""
        return self._assembler.dropped

    @property
    def unused_reports(self) -> int:
        """See the port; 0 without gpsd."""
        return 0

    def close(self) -> None:
        """See the port; a waiting ``next_line`` returns within a quarter of a second."""
        self._closed.set()

    def _new_assembler(self) -> LineAssembler:
        """Return the assembler of all connections."""
        return LineAssembler()

    @abstractmethod
    def _read(self, timeout_s: float) -> list[NmeaLine]:
        """Return the bytes that arrive within the timeout; raises GnssLostError."""

    @abstractmethod
    def _release(self) -> None:
        """Close the device and discard an incomplete line."""
