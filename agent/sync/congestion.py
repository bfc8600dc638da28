"""How much may be on its way at once: as much as the link carries, and no queue in front of the next read.

What is in flight beyond the product of bandwidth and delay only waits in somebody's queue, and a read made now waits
behind it.  So the bytes in flight grow while acknowledgements come back quickly, and shrink when they take longer than
the quickest by more than a second: delay-based congestion control in the manner of LEDBAT (RFC 6817), on top of TCP's
own, whose queue this is about.
"""

from __future__ import annotations

_NS_PER_S = 1_000_000_000
_QUEUE_NS = _NS_PER_S
MIN_BYTES = 8 * 1024
FIRST_BYTES = 32 * 1024
MAX_BYTES = 1024 * 1024
_SLOW_GROWTH = 8
"""How many times slower the room grows once a queue was met."""


class CongestionWindow:
    """Of one connection.  Used by the uplink's thread."""

    def __init__(self) -> None:
        self._in_flight_bytes = 0
        self._room_bytes = FIRST_BYTES
        self._quickest_ns: int | None = None
        self._slow_growth = False
        self._cut_after_ns = 0

    @property
    def room_bytes(self) -> int:
        """What may be in flight."""
        return self._room_bytes

    @property
    def is_open(self) -> bool:
        """True while another message may go; a single one always may, whatever its size."""
        return self._in_flight_bytes < self._room_bytes

    def sent(self, size_bytes: int) -> None:
        """Note a message that went out."""
        self._in_flight_bytes += size_bytes

    def acked(self, size_bytes: int, sent_mono_ns: int, t_mono_ns: int) -> None:
        """Note an acknowledgement, or a refusal."""
        in_use = self._in_flight_bytes * 2 > self._room_bytes
        self._in_flight_bytes -= size_bytes
        took_ns = t_mono_ns - sent_mono_ns
        quickest_ns = self._quickest_ns = took_ns if self._quickest_ns is None else min(took_ns, self._quickest_ns)
        if took_ns - quickest_ns > _QUEUE_NS:
            # What was in flight before the cut says nothing about the room after it.
            if sent_mono_ns >= self._cut_after_ns:
                self._room_bytes = max(MIN_BYTES, self._room_bytes // 2)
                self._cut_after_ns = t_mono_ns
                self._slow_growth = True
        elif in_use:
            grown = max(1, size_bytes // _SLOW_GROWTH) if self._slow_growth else size_bytes
            self._room_bytes = min(MAX_BYTES, self._room_bytes + grown)
