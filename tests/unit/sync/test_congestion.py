"""The congestion window: fills a fast link, builds no queue on a slow one, and always allows one message."""

from __future__ import annotations

from collections import deque

import pytest

from agent.sync.congestion import FIRST_BYTES, MAX_BYTES, MIN_BYTES, CongestionWindow

MS = 1_000_000
S = 1_000_000_000
MESSAGE = 1000


def drive(
    pace: CongestionWindow, *, bytes_per_s: float, delay_ms: float, seconds: float, size: int = MESSAGE
) -> list[int]:
    """A link that takes one message after the other; return how long each waited, in ns."""
    flights: deque[tuple[int, int]] = deque()
    now, free_at, waits = 0, 0, []
    while now < seconds * S:
        while pace.is_open:
            pace.sent(size)
            free_at = max(now, free_at) + round(size / bytes_per_s * S)
            flights.append((now, free_at + round(delay_ms * MS)))
        sent, now = flights.popleft()
        pace.acked(size, sent, now)
        waits.append(now - sent)
    return waits


def test_window_fills_a_fast_link():
    """LTE: 10 Mbit/s and 120 ms: what is in flight covers bandwidth times delay."""
    pace = CongestionWindow()
    waits = drive(pace, bytes_per_s=1_250_000, delay_ms=120, seconds=20)
    assert pace.room_bytes >= 1_250_000 * 0.12
    assert len(waits) * MESSAGE > 0.9 * 1_250_000 * 20


@pytest.mark.parametrize("size", [MESSAGE, 4096])
def test_on_a_slow_link_a_new_read_never_waits_behind_a_long_queue(size):
    """2G: 60 kbit/s and 900 ms: after a learning phase no message takes three seconds more than necessary."""
    pace = CongestionWindow()
    waits = drive(pace, bytes_per_s=7500, delay_ms=900, seconds=300, size=size)
    settled = waits[len(waits) // 4 :]
    assert max(settled) < 4 * S
    assert len(waits) * size > 0.8 * 7500 * 300


def test_window_limits():
    """It stays within its minimum and maximum."""
    pace = CongestionWindow()
    pace.sent(100)
    pace.acked(100, 0, MS)
    for number in range(1, 40):
        pace.sent(100)
        pace.acked(100, number * 10 * S, number * 10 * S + 5 * S)
    assert pace.room_bytes == MIN_BYTES
    assert drive(CongestionWindow(), bytes_per_s=1e9, delay_ms=200, seconds=3)
    wide = CongestionWindow()
    drive(wide, bytes_per_s=1e9, delay_ms=900, seconds=30)
    assert wide.room_bytes == MAX_BYTES


def test_window_does_not_grow_on_an_idle_link():
    """A message per minute does not show what the link could carry."""
    pace = CongestionWindow()
    for minute in range(500):
        pace.sent(100)
        pace.acked(100, minute * 60 * S, minute * 60 * S + 100 * MS)
    assert pace.room_bytes == FIRST_BYTES


def test_message_larger_than_the_window_is_sent_alone():
    pace = CongestionWindow()
    pace.sent(MAX_BYTES)
    assert not pace.is_open
    pace.acked(MAX_BYTES, 0, MS)
    assert pace.is_open
