"""Time: GNSS first, NTP next, held after; small corrections never put reads out of order; anchor is told once."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.geotag.timebase import Timebase, TimebaseConfig
from agent.records import TimeTag
from protocol.wire.enums import TimeSource
from tests.builders import BOOT, NS_PER_S, UTC_NS, make_fix

MS = 1_000_000
UNKNOWN = TimeTag(None, TimeSource.NONE, None)


def late_fix(second, delay_ms=0.0, *, off_ms=0.0):
    """A fix of the true instant ``second`` whose sentence came ``delay_ms`` later, off by ``off_ms``."""
    t_ns = round(second * NS_PER_S)
    return make_fix(t_ns + round(delay_ms * MS), utc_ns=UTC_NS + t_ns + round(off_ms * MS))


def error_ms(timebase, t_ns):
    return (timebase.tag(t_ns).utc_ns - UTC_NS - t_ns) / MS


def test_without_a_source_there_is_no_time():
    """No time is said to be no time, never the system's guess."""
    assert Timebase(BOOT).tag(5) == UNKNOWN
    assert Timebase(BOOT).time_anchor() is None


@given(st.lists(st.floats(0, 120), min_size=3, max_size=32))
def test_the_minimum_filter_finds_the_least_delay(delays_ms):
    """Sentences come late, never early: after the slew the error is the least delay, not the mean."""
    timebase = Timebase(BOOT)
    for second, delay_ms in enumerate(delays_ms):
        timebase.feed_fix(late_fix(second, delay_ms))
    later_ns = (len(delays_ms) + 300) * NS_PER_S
    assert error_ms(timebase, later_ns) == pytest.approx(-min(delays_ms), abs=1e-3)


@given(st.lists(st.floats(0, 149), min_size=1, max_size=40), st.floats(-60, 60))
def test_the_uncertainty_covers_the_error(delays_ms, beside_s):
    """For any delays a receiver may have, any time before, between and after the fixes."""
    timebase = Timebase(BOOT)
    for second, delay_ms in enumerate(delays_ms):
        timebase.feed_fix(late_fix(100 + second, delay_ms))
    t_ns = round((100 + len(delays_ms) + beside_s) * NS_PER_S)
    assert abs(error_ms(timebase, t_ns)) <= timebase.tag(t_ns).uncertainty_ms + 1e-3


@given(st.integers(3, 20), st.floats(-(10**7), 10**7).filter(lambda off: abs(off) > 1000))
def test_one_wild_sample_does_not_move_the_time(n, off_ms):
    """A sample far from the median is not credible."""
    timebase = Timebase(BOOT)
    for second in range(n):
        timebase.feed_fix(late_fix(second))
    timebase.feed_fix(late_fix(n, off_ms=off_ms))
    assert error_ms(timebase, (n + 1) * NS_PER_S) == 0
    assert timebase.counts.steps == 0


def test_a_new_truth_wins_over_an_old_one_in_the_end():
    """When half of the samples say otherwise the time steps, once, and all is dated again."""
    timebase = Timebase(BOOT)
    for second in range(5):
        timebase.feed_fix(late_fix(second))
    timebase.time_anchor()
    for second in range(5, 12):
        timebase.feed_fix(late_fix(second, off_ms=3_600_000))
    assert error_ms(timebase, 12 * NS_PER_S) == 3_600_000
    assert timebase.counts.steps == 1
    assert timebase.time_anchor().utc_us - UTC_NS // 1000 >= 3_600 * NS_PER_S // 1000


@given(
    st.lists(st.tuples(st.floats(0.05, 2), st.floats(0, 60)), min_size=2, max_size=40),
    st.lists(st.floats(0, 1), min_size=1, max_size=4),
)
def test_reads_tagged_one_after_the_other_stay_in_order(steps, shares):
    """Each exposure is tagged after the fix that follows it; corrections are slewed at 500 ppm at most."""
    timebase = Timebase(BOOT)
    tagged = []
    t_last_ns, t_s = 0, 0.0
    for apart_s, delay_ms in steps:
        t_s += apart_s
        fix = late_fix(t_s, delay_ms)
        if fix.t_mono_ns <= t_last_ns:
            continue
        timebase.feed_fix(fix)
        exposures = [t_last_ns + round(share * (fix.t_mono_ns - t_last_ns)) for share in sorted(shares)]
        tagged += [(t_ns, timebase.tag(t_ns).utc_ns) for t_ns in exposures]
        t_last_ns = fix.t_mono_ns
    for (t0, utc0), (t1, utc1) in pairwise(tagged):
        assert abs((utc1 - utc0) - (t1 - t0)) <= (t1 - t0) * 500e-6 + 2


@given(st.lists(st.integers(0, 400 * NS_PER_S), min_size=2, max_size=10))
def test_a_correction_is_slewed_and_arrives(times_ns):
    """60 ms need 120 s; on the way no second is longer than 1.0005 s."""
    timebase = Timebase(BOOT)
    timebase.feed_fix(late_fix(0, 60))
    timebase.feed_fix(late_fix(1, 0))
    for early, late in pairwise(sorted(times_ns)):
        passed_ns = timebase.tag(late).utc_ns - timebase.tag(early).utc_ns
        assert 0 <= passed_ns - (late - early) <= (late - early) * 500e-6 + 2
    assert error_ms(timebase, 100 * NS_PER_S) < 0
    assert error_ms(timebase, 121 * NS_PER_S) == 0


@pytest.mark.parametrize(("off_ms", "steps"), [(128, 0), (129, 1), (-128, 0), (-129, 1)])
def test_a_large_correction_steps(off_ms, steps):
    """Above 128 ms a slew would take too long; the step is counted."""
    timebase = Timebase(BOOT)
    timebase.feed_ntp(0, UTC_NS)
    timebase.feed_ntp(NS_PER_S, UTC_NS + NS_PER_S + off_ms * MS)
    assert timebase.counts.steps == steps
    if steps:
        assert error_ms(timebase, NS_PER_S) == off_ms


def test_gnss_wins_over_ntp_and_contradictions_are_counted():
    """A network that is a minute wrong does not move the time while fixes are fresh."""
    timebase = Timebase(BOOT)
    timebase.feed_fix(late_fix(0))
    timebase.feed_ntp(NS_PER_S, UTC_NS + 61 * NS_PER_S)
    timebase.feed_ntp(2 * NS_PER_S, UTC_NS + 2 * NS_PER_S + 50 * MS)
    assert error_ms(timebase, 3 * NS_PER_S) == 0
    assert timebase.tag(3 * NS_PER_S).source is TimeSource.GNSS
    assert (timebase.counts.contradictions, timebase.counts.ntp_samples) == (1, 2)


def test_ntp_takes_over_when_fixes_are_old_and_gives_way_when_they_come():
    """A garage without sky but with a network."""
    timebase = Timebase(BOOT)
    timebase.feed_fix(late_fix(0))
    timebase.feed_ntp(40 * NS_PER_S, UTC_NS + 40 * NS_PER_S)
    assert timebase.tag(41 * NS_PER_S).source is TimeSource.NTP
    timebase.feed_fix(late_fix(50))
    assert timebase.tag(51 * NS_PER_S).source is TimeSource.GNSS


@pytest.mark.parametrize(
    ("second", "source"),
    [
        (30, TimeSource.GNSS),
        (30.1, TimeSource.HELD),
        (3600, TimeSource.HELD),
        (1_196_000, TimeSource.HELD),
        (1_198_000, TimeSource.NONE),
    ],
)
def test_time_is_held_and_then_given_up(second, source):
    """The crystal carries it on, less sure by 50 ppm; when the doubt passes a minute there is no time."""
    timebase = Timebase(BOOT)
    timebase.feed_fix(late_fix(0))
    tag = timebase.tag(round(second * NS_PER_S))
    assert tag.source is source
    if source is TimeSource.NONE:
        assert tag == UNKNOWN
    else:
        assert tag.uncertainty_ms == pytest.approx(150 + second * 0.05)


@given(st.integers(0, 3600), st.integers(0, 3600))
def test_reads_before_the_first_fix_are_dated_by_it(fixed_s, before_s):
    """The monotonic clock carries the time back; the doubt grows with the distance."""
    timebase = Timebase(BOOT)
    assert timebase.tag(0) == UNKNOWN
    timebase.feed_fix(late_fix(fixed_s + before_s))
    tag = timebase.tag(fixed_s * NS_PER_S)
    assert tag.utc_ns == UTC_NS + fixed_s * NS_PER_S
    assert tag.uncertainty_ms == pytest.approx(150 + before_s * 0.05)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=30))
def test_dating_is_told_once(delays_ms):
    """The first fix dates the boot; as long as nothing steps there is no more to tell."""
    timebase = Timebase(BOOT)
    told = []
    for second, delay_ms in enumerate(delays_ms):
        timebase.feed_fix(late_fix(second, delay_ms))
        told.append(timebase.time_anchor())
        assert timebase.time_anchor() is None
    assert told[1:] == [None] * (len(delays_ms) - 1)
    assert (told[0].anchored_boot_id, told[0].time.source, told[0].time.uncertainty_ms) == (
        BOOT,
        TimeSource.GNSS,
        150,
    )
    assert told[0].utc_us - told[0].mono_us == pytest.approx((UTC_NS - delays_ms[0] * MS) // 1000, abs=2)


def test_dating_is_told_again_when_it_is_ten_times_better():
    """A receiver with a pulse per second after an hour on NTP."""
    timebase = Timebase(BOOT, TimebaseConfig(ntp_uncertainty_ms=100, gnss_uncertainty_ms=1))
    timebase.feed_ntp(0, UTC_NS)
    assert timebase.time_anchor().time.source is TimeSource.NTP
    timebase.feed_ntp(NS_PER_S, UTC_NS + NS_PER_S)
    assert timebase.time_anchor() is None
    timebase.feed_fix(late_fix(2))
    assert timebase.time_anchor().time.source is TimeSource.GNSS
