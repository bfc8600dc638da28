"""The clock by which records are deleted: jumps delete nothing, and it goes on without a receiver."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.policy.clock import ExpiryClock
from agent.records import TimeTag
from protocol.wire.enums import TimeSource
from tests.builders import UTC_NS

S = 1_000_000_000
DAY = 86_400 * S
NOTHING = TimeTag(None, TimeSource.NONE, None)


class Memory:
    def __init__(self, utc_us=None) -> None:
        self.utc_us, self.saves = utc_us, 0

    def load(self):
        return self.utc_us

    def save(self, utc_us):
        self.utc_us, self.saves = utc_us, self.saves + 1


def gnss(utc_ns, source=TimeSource.GNSS):
    return TimeTag(utc_ns, source, 100.0)


def us(ns):
    return ns // 1000


def test_unknown_and_held_times_delete_nothing():
    clock = ExpiryClock()
    assert clock.now_us(NOTHING, 0) is None
    assert clock.now_us(gnss(UTC_NS, TimeSource.HELD), S) is None


def test_time_goes_on_with_the_monotonic_clock_when_the_receiver_is_lost():
    """A week in a garage: records expire there too."""
    clock = ExpiryClock()
    assert clock.now_us(gnss(UTC_NS), 0) == us(UTC_NS)
    assert clock.now_us(NOTHING, 7 * DAY) == us(UTC_NS + 7 * DAY)


@pytest.mark.parametrize("jump", [-400 * DAY, -DAY, -60 * S, 60 * S, DAY, 4000 * DAY])
def test_jump_within_a_boot_is_not_believed(jump):
    clock = ExpiryClock()
    clock.now_us(gnss(UTC_NS), 0)
    for second in range(1, 600, 5):
        at = second * S
        assert clock.now_us(gnss(UTC_NS + at + jump), at) == us(UTC_NS + at)
    assert clock.jumps == 1


def test_time_that_stays_is_believed_after_a_while():
    clock = ExpiryClock()
    clock.now_us(gnss(UTC_NS), 0)
    believed = [
        clock.now_us(gnss(UTC_NS + at * S + DAY), at * S) == us(UTC_NS + at * S + DAY) for at in range(1, 1000, 5)
    ]
    assert not any(believed[:179])
    assert all(believed[181:])


def test_time_that_moves_about_is_never_believed():
    clock = ExpiryClock()
    clock.now_us(gnss(UTC_NS), 0)
    for minute in range(1, 200):
        at = minute * 60 * S
        assert clock.now_us(gnss(UTC_NS + at + minute * DAY), at) == us(UTC_NS + at)


def test_small_steps_do_not_add_up():
    """Nine seconds at each call are within the tolerance of one."""
    clock = ExpiryClock()
    clock.now_us(gnss(UTC_NS), 0)
    for call in range(1, 120):
        at = call * 5 * S
        found = clock.now_us(gnss(UTC_NS + at + call * 9 * S), at)
        assert abs(found - us(UTC_NS + at)) <= 30 * 1_000_000


def test_start_with_the_time_of_the_day_before_is_believed_at_once():
    assert ExpiryClock(Memory(us(UTC_NS - DAY + S))).now_us(gnss(UTC_NS), 5) == us(UTC_NS)


@pytest.mark.parametrize("before", [UTC_NS - 60 * DAY, UTC_NS + 60 * DAY])
def test_start_far_from_the_last_time_must_settle(before):
    """The unit was off for two months, or one of the two times is wrong."""
    clock = ExpiryClock(Memory(us(before)))
    assert clock.now_us(gnss(UTC_NS), 0) is None
    assert clock.now_us(gnss(UTC_NS + 600 * S), 600 * S) is None
    assert clock.now_us(gnss(UTC_NS + 901 * S), 901 * S) == us(UTC_NS + 901 * S)


def test_believed_time_is_saved_every_ten_minutes():
    store = Memory()
    clock = ExpiryClock(store)
    for second in range(0, 3600, 5):
        clock.now_us(gnss(UTC_NS + second * S), second * S)
    assert (store.saves, store.utc_us) == (6, us(UTC_NS + 3000 * S))


@given(st.lists(st.tuples(st.integers(0, 3600), st.integers(-(10**18), 10**18)), max_size=30))
def test_no_sequence_of_wrong_times_makes_it_go_back(steps):
    """Within the settling time, whatever is told, the clock only goes on."""
    clock, at, last = ExpiryClock(), 0, us(UTC_NS)
    clock.now_us(gnss(UTC_NS), 0)
    for seconds, jump in steps:
        at += seconds * S // 40
        if at > 800 * S:
            break
        found = clock.now_us(gnss(max(0, UTC_NS + at + jump)), at)
        assert found >= last - 20_000_000
        last = found
