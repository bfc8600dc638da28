"""Congestion window: uses the bandwidth of the link without building a queue in front of the next read.

Bytes in flight beyond the bandwidth-delay product wait in a queue somewhere, and delay every new read.  So the window
grows while acknowledgements come back quickly, and shrinks when they take over a second longer than the fastest:
delay-based congestion control like LEDBAT (RFC 6817), on top of TCP, whose send queue it keeps short.
"""

from __future__ import annotations

_NS_PER_S = 1_000_000_000
_QUEUE_NS = _NS_PER_S
MIN_BYTES = 8 * 1024
FIRST_BYTES = 32 * 1024
MAX_BYTES = 1024 * 1024
_SLOW_GROWTH = 8
"""Factor by which the window grows more slowly once a queue was detected."""


class CongestionWindow:
    """Congestion window of one connection.  Used by the uplink's thread."""

    def __init__(self) -> None:
        self._in_flight_bytes = 0
        self._room_bytes = FIRST_BYTES
        self._quickest_ns: int | None = None
        self._slow_growth = False
        self._cut_after_ns = 0

    @property
    def room_bytes(self) -> int:
        """Bytes that may be in flight."""
        return self._room_bytes

    @property
    def is_open(self) -> bool:
        """True while another message may be sent; a single one always may, whatever its size."""
        return self._in_flight_bytes < self._room_bytes

    def sent(self, size_bytes: int) -> None:
        """Note a message that was sent."""
        self._in_flight_bytes += size_bytes

    def acked(self, size_bytes: int, sent_mono_ns: int, t_mono_ns: int) -> None:
        """Note an acknowledgement, or a refusal."""
        in_use = self._in_flight_bytes * 2 > self._room_bytes
        self._in_flight_bytes -= size_bytes
        took_ns = t_mono_ns - sent_mono_ns
        quickest_ns = self._quickest_ns = took_ns if self._quickest_ns is None else min(took_ns, self._quickest_ns)
        if took_ns - quickest_ns > _QUEUE_NS:
            # What was in flight before the reduction says nothing about the window after it.
            if sent_mono_ns >= self._cut_after_ns:
                self._room_bytes = max(MIN_BYTES, self._room_bytes // 2)
                self._cut_after_ns = t_mono_ns
                self._slow_growth = True
        elif in_use:
            grown = max(1, size_bytes // _SLOW_GROWTH) if self._slow_growth else size_bytes
            self._room_bytes = min(MAX_BYTES, self._room_bytes + grown)
