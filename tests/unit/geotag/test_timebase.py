"""Time: GNSS, else NTP, else held; small corrections keep reads in order; the time anchor is made once."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.geotag.timebase import Timebase, TimebaseConfig
from agent.records import TimeTag
from protocol.wire.enums import TimeSource
from tests.builders import BOOT, NS_PER_S, UTC_NS, make_fix

MS = 1_000_000
DAY_NS = 86_400 * NS_PER_S
AT_ONCE = TimebaseConfig(confirm_s=0)
"""Most of what is promised has nothing to do with the first seconds."""
UNKNOWN = TimeTag(None, TimeSource.NONE, None)


def late_fix(second, delay_ms=0.0, *, off_ms=0.0):
    """A fix of the true instant ``second`` whose sentence came ``delay_ms`` later, off by ``off_ms``."""
    t_ns = round(second * NS_PER_S)
    return make_fix(t_ns + round(delay_ms * MS), utc_ns=UTC_NS + t_ns + round(off_ms * MS))


def error_ms(timebase, t_ns):
    return (timebase.tag(t_ns).utc_ns - UTC_NS - t_ns) / MS


def test_without_a_source_there_is_no_time():
    """Without a source the time is none, never the system's clock."""
    assert Timebase(BOOT, AT_ONCE).tag(5) == UNKNOWN
    assert Timebase(BOOT, AT_ONCE).time_anchor() is None


@given(st.lists(st.floats(0, 120), min_size=3, max_size=32))
def test_the_minimum_filter_finds_the_least_delay(delays_ms):
    """Sentences come late, never early: after the slew the error is the least delay, not the mean."""
    timebase = Timebase(BOOT, AT_ONCE)
    for second, delay_ms in enumerate(delays_ms):
        timebase.feed_fix(late_fix(second, delay_ms))
    later_ns = (len(delays_ms) + 300) * NS_PER_S
    assert error_ms(timebase, later_ns) == pytest.approx(-min(delays_ms), abs=1e-3)


@given(st.lists(st.floats(0, 149), min_size=1, max_size=40), st.floats(-60, 60))
def test_the_uncertainty_covers_the_error(delays_ms, beside_s):
    """For any delays a receiver may have, any time before, between and after the fixes."""
    timebase = Timebase(BOOT, AT_ONCE)
    for second, delay_ms in enumerate(delays_ms):
        timebase.feed_fix(late_fix(100 + second, delay_ms))
    t_ns = round((100 + len(delays_ms) + beside_s) * NS_PER_S)
    assert abs(error_ms(timebase, t_ns)) <= timebase.tag(t_ns).uncertainty_ms + 1e-3


@given(st.integers(3, 20), st.floats(-(10**7), 10**7).filter(lambda off: abs(off) > 1000))
def test_one_wild_sample_does_not_move_the_time(n, off_ms):
    """A sample far from the median is not credible."""
    timebase = Timebase(BOOT, AT_ONCE)
    for second in range(n):
        timebase.feed_fix(late_fix(second))
    timebase.feed_fix(late_fix(n, off_ms=off_ms))
    assert error_ms(timebase, (n + 1) * NS_PER_S) == 0
    assert timebase.counts.steps == 0


def test_persistent_new_time_replaces_the_old_one():
    """If half of the samples contradict, the time steps, once, with a new time anchor."""
    timebase = Timebase(BOOT, AT_ONCE)
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
    timebase = Timebase(BOOT, AT_ONCE)
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
def test_small_correction_is_slewed(times_ns):
    """60 ms need 120 s; on the way no second is longer than 1.0005 s."""
    timebase = Timebase(BOOT, AT_ONCE)
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
    timebase = Timebase(BOOT, AT_ONCE)
    timebase.feed_ntp(0, UTC_NS)
    timebase.feed_ntp(NS_PER_S, UTC_NS + NS_PER_S + off_ms * MS)
    assert timebase.counts.steps == steps
    if steps:
        assert error_ms(timebase, NS_PER_S) == off_ms


def test_gnss_wins_over_ntp_and_contradictions_are_counted():
    """A network that is a minute wrong does not move the time while fixes are fresh."""
    timebase = Timebase(BOOT, AT_ONCE)
    timebase.feed_fix(late_fix(0))
    timebase.feed_ntp(NS_PER_S, UTC_NS + 61 * NS_PER_S)
    timebase.feed_ntp(2 * NS_PER_S, UTC_NS + 2 * NS_PER_S + 50 * MS)
    assert error_ms(timebase, 3 * NS_PER_S) == 0
    assert timebase.tag(3 * NS_PER_S).source is TimeSource.GNSS
    assert (timebase.counts.contradictions, timebase.counts.ntp_samples) == (1, 2)


def test_ntp_is_used_only_without_recent_fixes():
    """As in a garage without sky but with a network."""
    timebase = Timebase(BOOT, AT_ONCE)
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
def test_held_time_ends_when_too_uncertain(second, source):
    """The crystal continues it, with 50 ppm of uncertainty; above a minute there is no time."""
    timebase = Timebase(BOOT, AT_ONCE)
    timebase.feed_fix(late_fix(0))
    tag = timebase.tag(round(second * NS_PER_S))
    assert tag.source is source
    if source is TimeSource.NONE:
        assert tag == UNKNOWN
    else:
        assert tag.uncertainty_ms == pytest.approx(150 + second * 0.05)


@given(st.integers(0, 3600), st.integers(0, 3600))
def test_reads_before_the_first_fix_are_dated_by_it(fixed_s, before_s):
    """The monotonic clock extends the time back; the uncertainty grows with the distance."""
    timebase = Timebase(BOOT, AT_ONCE)
    assert timebase.tag(0) == UNKNOWN
    timebase.feed_fix(late_fix(fixed_s + before_s))
    tag = timebase.tag(fixed_s * NS_PER_S)
    assert tag.utc_ns == UTC_NS + fixed_s * NS_PER_S
    assert tag.uncertainty_ms == pytest.approx(150 + before_s * 0.05)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=30))
def test_time_anchor_is_made_once(delays_ms):
    """The first fix gives a time anchor; without a step there is no other."""
    timebase = Timebase(BOOT, AT_ONCE)
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


def test_time_anchor_is_repeated_when_ten_times_better():
    """A receiver with a pulse per second after an hour on NTP."""
    timebase = Timebase(BOOT, TimebaseConfig(ntp_uncertainty_ms=100, gnss_uncertainty_ms=1, confirm_s=0))
    timebase.feed_ntp(0, UTC_NS)
    assert timebase.time_anchor().time.source is TimeSource.NTP
    timebase.feed_ntp(NS_PER_S, UTC_NS + NS_PER_S)
    assert timebase.time_anchor() is None
    timebase.feed_fix(late_fix(2))
    assert timebase.time_anchor().time.source is TimeSource.GNSS


def feed(timebase, seconds, *, off_s=0.0, **other):
    for second in seconds:
        fix = late_fix(second, off_ms=off_s * 1000)
        timebase.feed_fix(replace(fix, **other))


YEARS_7 = 7 * 365 * 86_400.0
WEEKS_1024 = 1024 * 7 * 86_400.0


def test_first_time_of_a_receiver_is_accepted_once_consistent():
    """Three seconds of agreement; what was read before is dated by the anchor."""
    timebase = Timebase(BOOT)
    feed(timebase, range(3))
    assert timebase.tag(2 * NS_PER_S) == UNKNOWN
    assert timebase.time_anchor() is None
    feed(timebase, [3])
    assert timebase.tag(0).source is TimeSource.GNSS
    assert error_ms(timebase, 0) == 0
    assert timebase.time_anchor().utc_us == (UTC_NS + 3 * NS_PER_S) // 1000
    assert timebase.counts.unconfirmed == 3


@pytest.mark.parametrize("wrong_s", [1, 12, 90])
@pytest.mark.parametrize(
    ("off_s", "other"),
    [
        (YEARS_7, {}),
        (-40 * 86_400, {"date_corrected": True}),
        (1 * 86_400, {"date_corrected": True}),
    ],
)
def test_wrong_date_in_the_first_seconds_is_not_used(wrong_s, off_s, other):
    """2033, or a year of the last era: no read of these seconds says so, and the right word is soon believed."""
    timebase = Timebase(BOOT)
    for second in range(wrong_s):
        feed(timebase, [second], off_s=off_s, **other)
        assert timebase.tag(second * NS_PER_S) == UNKNOWN
    feed(timebase, range(wrong_s, wrong_s + 4))
    assert error_ms(timebase, 0) == 0
    assert timebase.counts.steps == 0


def test_unlikely_date_is_accepted_after_two_minutes():
    """A receiver that always misses the rollover, and a unit of the year 2033."""
    for off_s, other in ((0, {"date_corrected": True}), (YEARS_7, {})):
        timebase = Timebase(BOOT)
        feed(timebase, range(120), off_s=off_s, **other)
        assert timebase.tag(0) == UNKNOWN
        feed(timebase, [120], off_s=off_s, **other)
        assert timebase.tag(120 * NS_PER_S).source is TimeSource.GNSS


def test_ntp_confirms_an_unlikely_date_at_once():
    timebase = Timebase(BOOT)
    timebase.feed_ntp(0, UTC_NS)
    feed(timebase, [1], date_corrected=True)
    assert timebase.tag(NS_PER_S).source is TimeSource.GNSS


@given(st.sampled_from([-WEEKS_1024, -86_400.0, 86_400.0, YEARS_7, WEEKS_1024]), st.integers(1, 600))
def test_date_that_contradicts_ntp_is_never_accepted(off_s, seconds):
    """Networks are seconds wrong, receivers weeks."""
    timebase = Timebase(BOOT)
    timebase.feed_ntp(0, UTC_NS)
    feed(timebase, range(1, seconds + 1), off_s=off_s)
    assert abs(error_ms(timebase, seconds * NS_PER_S)) < 1
    assert timebase.counts.contradictions == seconds


def test_ntp_corrects_the_receivers_date_and_gives_a_new_time_anchor():
    """The network comes minutes after a wrong date was taken."""
    timebase = Timebase(BOOT, AT_ONCE)
    feed(timebase, range(10), off_s=86_400)
    assert error_ms(timebase, 0) == DAY_NS / MS
    timebase.time_anchor()
    timebase.feed_ntp(10 * NS_PER_S, UTC_NS + 10 * NS_PER_S)
    assert error_ms(timebase, 0) == 0
    assert timebase.time_anchor().utc_us == (UTC_NS + 10 * NS_PER_S) // 1000


def test_later_time_of_the_receiver_gives_a_new_time_anchor():
    """An unlikely date was taken after two minutes; the likely one takes its place in seconds, with an anchor."""
    timebase = Timebase(BOOT)
    feed(timebase, range(130), off_s=YEARS_7)
    assert timebase.time_anchor().utc_us > (UTC_NS + DAY_NS) // 1000
    feed(timebase, range(130, 134))
    assert error_ms(timebase, 0) == 0
    assert timebase.time_anchor().utc_us == (UTC_NS + 133 * NS_PER_S) // 1000
    assert timebase.counts.steps == 1


def test_accepted_date_is_kept_when_the_receiver_restarts_with_a_wrong_one():
    """After a tunnel it says 2033 for a minute: no read does."""
    timebase = Timebase(BOOT)
    feed(timebase, range(10))
    feed(timebase, range(60, 120), off_s=YEARS_7)
    assert error_ms(timebase, 119 * NS_PER_S) == 0
    feed(timebase, range(120, 125))
    assert timebase.tag(124 * NS_PER_S).source is TimeSource.GNSS
    assert timebase.counts.steps == 0


def test_receiver_seconds_off_from_ntp_is_accepted_later():
    """Leap seconds not known yet: while NTP says otherwise the receiver must keep on for two minutes."""
    timebase = Timebase(BOOT)
    timebase.feed_ntp(0, UTC_NS)
    feed(timebase, range(1, 60), off_s=18)
    assert abs(error_ms(timebase, 59 * NS_PER_S)) < 1
    feed(timebase, [60, 61])
    assert timebase.tag(61 * NS_PER_S).source is TimeSource.GNSS
    assert timebase.counts.steps == 0


def test_fix_without_a_date_gives_no_time():
    timebase = Timebase(BOOT, AT_ONCE)
    timebase.feed_fix(make_fix(0, utc_ns=None))
    assert timebase.tag(0) == UNKNOWN
    assert timebase.counts.fixes == 0


def test_pending_likely_time_is_accepted_at_the_stop():
    """Two fixes and the ignition goes off: the reads of this boot are dated, with the doubt of a time not confirmed."""
    timebase = Timebase(BOOT)
    feed(timebase, range(2))
    timebase.settle()
    assert error_ms(timebase, 0) == 0
    assert timebase.tag(NS_PER_S).uncertainty_ms == 650
    assert timebase.time_anchor() is not None


@pytest.mark.parametrize("other", [{"date_corrected": True}, {"utc_ns": None}])
def test_pending_unlikely_time_is_not_accepted_at_the_stop(other):
    timebase = Timebase(BOOT)
    timebase.settle()
    feed(timebase, range(10), **other)
    timebase.settle()
    assert timebase.tag(0) == UNKNOWN
