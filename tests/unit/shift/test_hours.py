"""Hours: exact within a boot, whatever the date does; across reboots only what is known."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.records import TimeTag
from agent.shift.hours import advance, finish, resume, start_hours, stop, switch
from agent.shift.moment import Moment
from protocol.wire.enums import TimeSource

NS_PER_S = 1_000_000_000
UTC_S = 1_780_000_000


def at(t_s: float, *, boot: int = 1, utc_s: float | None = None) -> Moment:
    tag = (
        TimeTag(None, TimeSource.NONE, None)
        if utc_s is None
        else TimeTag(round(utc_s * NS_PER_S), TimeSource.GNSS, 100.0)
    )
    return Moment(round(t_s * NS_PER_S), boot.to_bytes(16, "big"), tag)


@given(
    st.lists(
        st.tuples(st.floats(0, 4000), st.sampled_from(["patrol", "report"]), st.none() | st.floats(0, 4e9)),
        max_size=20,
    )
)
def test_hours_are_those_of_the_monotonic_clock_however_utc_jumps(steps):
    hours, t_s = start_hours("patrol", at(5)), 5.0
    expected = {"patrol": 0.0}
    for step_s, activity, utc_s in steps:
        expected[hours.activity] = expected.get(hours.activity, 0.0) + step_s
        t_s += step_s
        hours = switch(hours, activity, at(t_s, utc_s=utc_s))
    hours = finish(hours, at(t_s))
    assert hours.unmeasured == 0
    for name, seconds in expected.items():
        assert abs(dict(hours.spent_ns)[name] / NS_PER_S - seconds) < 1e-3


def test_a_restart_in_the_same_boot_loses_nothing():
    hours = stop(advance(start_hours("patrol", at(0)), at(100)))
    assert advance(hours, at(200)) == hours
    assert resume(hours, at(250)).worked_ns == 250 * NS_PER_S


def test_an_interruption_between_known_times_is_counted():
    hours = advance(start_hours("patrol", at(0, utc_s=UTC_S)), at(100, utc_s=UTC_S + 100))
    hours = resume(stop(hours), at(20, boot=2, utc_s=UTC_S + 400))
    assert hours.worked_ns == 400 * NS_PER_S
    assert hours.unmeasured == 0


def test_an_interruption_is_counted_when_the_time_becomes_known_later():
    hours = advance(start_hours("patrol", at(0, utc_s=UTC_S)), at(100, utc_s=UTC_S + 100))
    hours = resume(stop(hours), at(20, boot=2))
    hours = advance(hours, at(80, boot=2))
    assert hours.worked_ns == 160 * NS_PER_S
    hours = advance(hours, at(90, boot=2, utc_s=UTC_S + 470))
    assert hours.worked_ns == 470 * NS_PER_S
    assert hours.unmeasured == 0


def test_an_interruption_of_unknown_length_is_not_guessed():
    hours = advance(start_hours("patrol", at(0)), at(100))
    hours = resume(stop(hours), at(20, boot=2, utc_s=UTC_S))
    assert (hours.worked_ns, hours.unmeasured) == (100 * NS_PER_S, 1)
    hours = advance(start_hours("patrol", at(0, utc_s=UTC_S)), at(100, utc_s=UTC_S + 100))
    hours = finish(resume(stop(hours), at(20, boot=2)), at(30, boot=2))
    assert (hours.worked_ns, hours.unmeasured) == (110 * NS_PER_S, 1)


def test_a_time_that_went_back_or_a_day_ahead_is_an_unknown_interruption():
    for later_s in (UTC_S - 7 * 86_400, UTC_S + 86_400):
        hours = advance(start_hours("patrol", at(0, utc_s=UTC_S)), at(100, utc_s=UTC_S + 100))
        hours = resume(stop(hours), at(20, boot=2, utc_s=later_s))
        assert (hours.worked_ns, hours.unmeasured) == (100 * NS_PER_S, 1)


def test_a_second_reboot_before_the_time_is_known_counts_both():
    hours = advance(start_hours("patrol", at(0, utc_s=UTC_S)), at(100, utc_s=UTC_S + 100))
    hours = stop(advance(resume(stop(hours), at(20, boot=2)), at(50, boot=2)))
    hours = resume(hours, at(10, boot=3, utc_s=UTC_S + 900))
    assert hours.unmeasured == 2
    assert hours.worked_ns == 130 * NS_PER_S
