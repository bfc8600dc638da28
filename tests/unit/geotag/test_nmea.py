"""NMEA: any line is taken and counted once, and only what a car can do becomes a fix."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.geotag.nmea import UERE_M, NmeaConfig, NmeaState
from hw.ports import NmeaLine
from protocol.wire.enums import FixQuality
from tests.nmea_lines import NS_PER_S, START, epoch_lines, gga, rmc, sentence

MS = 1_000_000
WEEKS_1024 = timedelta(weeks=1024)


def feed(state, lines):
    return [fix for line in lines if (fix := state.feed(line)) is not None]


def drive(state, seconds, **where):
    return [fix for second in seconds for fix in feed(state, epoch_lines(second, **where))]


def accounted(state):
    """Every line is in exactly one of these."""
    c = state.counts
    refused = c.other + c.garbage + c.bad_checksum + c.unknown_talker + c.bad_fields + c.bad_date + c.void
    contradicted = c.time_back + c.time_jumps + c.jumps + c.disagreements + c.date_out_of_range
    pairs = contradicted + c.fixes - c.resyncs
    return refused + c.timing + c.duplicate + c.incomplete_epochs + state.is_waiting + 2 * pairs


BODIES = st.one_of(
    st.text(max_size=90),
    st.builds(
        ",".join,
        st.tuples(
            st.sampled_from(["GPRMC", "GNGGA", "GAGLL", "GPZDA", "GNGNS", "GPGSV", "PUBX", "QQRMC", "GP", "$"]),
            st.lists(st.text("0123456789.-NSEWAVM", max_size=10), max_size=16).map(",".join),
        ),
    ),
).map(sentence)
SOUND = st.tuples(st.integers(0, 8), st.booleans(), st.sampled_from([45.0, 45.0, 45.0001, 46.0])).map(
    lambda t: (rmc if t[1] else gga)(START + timedelta(seconds=t[0]), lat_deg=t[2])
)
TEXTS = st.one_of(st.text(max_size=140), st.binary(max_size=140).map(lambda b: b.decode("latin-1")), BODIES, SOUND)


@given(st.lists(st.tuples(st.integers(0, 10 * NS_PER_S), TEXTS), max_size=40))
@example([(0, sentence("GPRMC")), (0, sentence("GPGLL,")), (0, sentence("P")), (0, "$*00"), (0, "")])
@example(
    [(0, rmc()), (0, gga()), (0, rmc(START + timedelta(seconds=0.1))), (0, gga(START + timedelta(seconds=0.1)))]
)
def test_any_lines_are_taken_and_each_is_counted_once(lines):
    """Garbage never raises, never vanishes from the books, and fixes come out in the order of the clock."""
    state = NmeaState()
    fixes = feed(state, [NmeaLine(t_ns, text) for t_ns, text in lines])
    assert len(lines) == state.counts.lines == accounted(state)
    assert len(fixes) == state.counts.fixes
    times = [fix.t_mono_ns for fix in fixes]
    assert times == sorted(set(times))


@given(st.lists(st.tuples(st.integers(0, 10 * NS_PER_S), TEXTS), max_size=20))
def test_garbage_between_sound_lines_changes_nothing_but_counts(noise):
    """A line that is refused leaves the state as it was."""
    clean, noisy = NmeaState(), NmeaState()
    lines = [line for second in range(3) for line in epoch_lines(second)]
    expected = feed(clean, lines)
    fixes = []
    for line in lines:
        for _, text in noise:
            if not text.startswith("$G"):
                assert noisy.feed(NmeaLine(line.t_mono_ns, text)) is None
        fixes += feed(noisy, [line])
    assert expected == fixes
    assert len(fixes) == 3


@pytest.mark.parametrize("talker_rmc", ["GP", "GN", "GL", "GA", "GB"])
@pytest.mark.parametrize("talker_gga", ["GP", "GN", "GL", "GA", "GB"])
@pytest.mark.parametrize("rmc_first", [True, False])
def test_rmc_and_gga_of_any_talkers_pair_in_both_orders(talker_rmc, talker_gga, rmc_first):
    """Constellations and vendors differ; an epoch is known by its time of day."""
    lines = [NmeaLine(5 * MS, rmc(talker=talker_rmc)), NmeaLine(9 * MS, gga(talker=talker_gga))]
    if not rmc_first:
        lines = [NmeaLine(5 * MS, lines[1].text), NmeaLine(9 * MS, lines[0].text)]
    (fix,) = feed(NmeaState(), lines)
    assert fix.t_mono_ns == 5 * MS
    assert fix.utc_ns == int(START.timestamp()) * NS_PER_S
    assert (fix.lat_deg, fix.lon_deg) == (45.0, -100.0)
    assert fix.speed_mps == pytest.approx(20 * 1852 / 3600)
    assert (fix.course_deg, fix.alt_m, fix.hdop, fix.satellites) == (90.0, 12.0, 0.9, 9)
    assert fix.error_m == pytest.approx(0.9 * UERE_M[FixQuality.GNSS])


@given(st.floats(-89.9, 89.9), st.floats(-179.9, 179.9))
def test_a_position_comes_back_to_a_hundred_thousandth_minute(lat_deg, lon_deg):
    """All four hemispheres; 2 cm are what the sentence itself rounds away."""
    (fix,) = feed(NmeaState(), epoch_lines(0, lat_deg=lat_deg, lon_deg=lon_deg))
    assert fix.lat_deg == pytest.approx(lat_deg, abs=2e-7)
    assert fix.lon_deg == pytest.approx(lon_deg, abs=2e-7)


@given(st.data())
def test_a_changed_character_never_yields_another_fix(data):
    """Any single character changed is caught: by the checksum, by the shape, or because the halves do not pair."""
    state = NmeaState()
    lines = epoch_lines(0)
    which = data.draw(st.integers(0, 1))
    text = lines[which].text
    at = data.draw(st.integers(0, len(text) - 1))
    symbol = data.draw(st.characters(min_codepoint=32, max_codepoint=126).filter(lambda c: c != text[at]))
    damaged = text[:at] + symbol + text[at + 1 :]
    if damaged.upper() == text.upper():
        return
    lines[which] = NmeaLine(lines[which].t_mono_ns, damaged)
    assert feed(state, lines) == []


@given(st.integers(0, 75))
def test_half_a_line_is_garbage(cut):
    """A receiver that is unplugged in the middle, and a port opened in the middle."""
    text = rmc()
    for part in (text[:cut], text[cut + 1 :]):
        state = NmeaState()
        if len(part) < len(text):
            state.feed(NmeaLine(0, part))
            assert state.counts.garbage == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (rmc()[:-2] + "ZZ", "garbage"),
        (rmc()[:-2] + "00", "bad_checksum"),
        ("x" * 4000, "garbage"),
        (sentence("GPGSV,1,1,00"), "other"),
        (sentence("PUBX,00,1"), "other"),
        (sentence("XXRMC,120000,A"), "unknown_talker"),
        (sentence("GPRMC,120000,A"), "bad_fields"),
        (sentence("GPGGA,120000.00,4500.0,N,10000.0,W,1,09,0.9,12.0,M,-30.0,M,,,"), "bad_fields"),
        (sentence("GPGGA,120000.00,9100.0,N,10000.0,W,1,09,0.9,12.0,M,-30.0,M,,"), "bad_fields"),
        (sentence("GPGGA,120000.00,4560.0,N,10000.0,W,1,09,0.9,12.0,M,-30.0,M,,"), "bad_fields"),
        (sentence("GPGGA,240000.00,4500.0,N,10000.0,W,1,09,0.9,12.0,M,-30.0,M,,"), "bad_fields"),
        (rmc(course="361"), "bad_fields"),
        (rmc(course="nan"), "bad_fields"),
        (rmc(speed_kn=-1.0), "bad_fields"),
        (gga(hdop="1e9"), "bad_fields"),
        (gga(quality="0"), "void"),
        (gga(quality="8"), "void"),
        (gga(quality="7"), "void"),
        (gga(quality="x"), "bad_fields"),
        (rmc(status="V"), "void"),
        (rmc(mode=",N"), "void"),
        (rmc(mode=",S"), "void"),
        (sentence("GPRMC,120000.00,A,4500.0,N,10000.0,W,1.0,90.0,310226,,,A"), "bad_date"),
        (sentence("GPRMC,120000.00,A,4500.0,N,10000.0,W,1.0,90.0,,,,A"), "bad_date"),
        (sentence("GPZDA,120000.00,30,05,2026,00,00"), "timing"),
    ],
)
def test_each_refusal_is_counted_under_its_own_name(text, reason):
    """A technician reads from the counters what is wrong with a receiver."""
    state = NmeaState()
    assert state.feed(NmeaLine(0, text)) is None
    assert getattr(state.counts, reason) == 1
    assert accounted(state) == 1


def test_two_halves_of_different_epochs_do_not_pair():
    """Speed of one second and position of another are no fix."""
    state = NmeaState()
    late = START + timedelta(seconds=1)
    assert feed(state, [NmeaLine(0, rmc()), NmeaLine(NS_PER_S, gga(late)), NmeaLine(2 * NS_PER_S, gga())]) == []
    assert state.counts.incomplete_epochs == 2


def test_halves_of_the_same_time_of_day_a_long_time_apart_do_not_pair():
    """A receiver that repeats its last sentence for hours is not fixed."""
    assert feed(NmeaState(), [NmeaLine(0, rmc()), NmeaLine(60 * NS_PER_S, gga())]) == []


def test_halves_that_lie_apart_are_refused():
    """A second check where the checksum has only eight bits."""
    state = NmeaState()
    assert feed(state, [NmeaLine(0, rmc()), NmeaLine(1, gga(lat_deg=45.01))]) == []
    assert state.counts.disagreements == 1


@pytest.mark.parametrize("year", [80, 79, 60, 99])
def test_a_date_that_cannot_be_is_refused(year):
    """Receivers without almanac say 1980, broken ones say 2080: no read is ever dated by them."""
    state = NmeaState()
    body = f"GPRMC,120000.000,A,4500.0,N,10000.0,W,1.0,90.0,0601{year:02d},,,A"
    assert feed(state, [NmeaLine(0, sentence(body)), NmeaLine(1, gga())]) == []
    assert state.counts.date_out_of_range == 1


@given(st.integers(0, 3650))
def test_a_receiver_that_missed_the_week_rollover_is_corrected(days):
    """1024 weeks behind, for any day within the horizon: same instant, and counted."""
    at = START.replace(month=1, day=1) + timedelta(days=days)
    (right,) = feed(NmeaState(), epoch_lines(0, at=at))
    state = NmeaState()
    (corrected,) = feed(state, epoch_lines(0, at=at - WEEKS_1024))
    assert right == corrected
    assert state.counts.rollovers_corrected == 1


def test_midnight_is_no_jump():
    """Time of day starts again, date and time together go on."""
    state = NmeaState()
    midnight = START.replace(hour=23, minute=59, second=58)
    fixes = [fix for s in range(5) for fix in feed(state, epoch_lines(s, at=midnight + timedelta(seconds=s)))]
    assert [fix.utc_ns - fixes[0].utc_ns for fix in fixes] == [s * NS_PER_S for s in range(5)]


def test_a_single_jump_is_refused_and_the_way_goes_on():
    """One wild position does not move the vehicle, nor lock the good ones out."""
    state = NmeaState()
    assert len(drive(state, range(3))) == 3
    assert drive(state, [3], lat_deg=46.0) == []
    assert len(drive(state, [4, 5])) == 2
    assert (state.counts.jumps, state.counts.resyncs) == (1, 0)


def test_a_jump_that_stays_is_believed_when_patience_is_over_and_not_before():
    """Ferries and first fixes far off: after five refusals the sixth is the truth, with more error."""
    state = NmeaState()
    drive(state, range(3))
    fixes = drive(state, range(3, 12), lat_deg=46.0)
    assert [fix.t_mono_ns // NS_PER_S for fix in fixes] == [8, 9, 10, 11]
    assert fixes[0].error_m == pytest.approx(4 * fixes[1].error_m)
    assert (state.counts.jumps, state.counts.resyncs) == (6, 1)


def test_jumps_that_contradict_each_other_are_never_believed():
    """Multipath in a street canyon throws the position about: patience starts again each time."""
    state = NmeaState()
    drive(state, range(2))
    wild = [drive(state, [2 + n], lat_deg=46.0 + n) for n in range(20)]
    assert [fix for fixes in wild for fix in fixes] == []


def test_time_running_back_is_refused():
    """A receiver that falls back to its own clock does not date reads into the past."""
    state = NmeaState()
    drive(state, range(3))
    back = START - timedelta(hours=1)
    assert feed(state, epoch_lines(3, at=back)) == []
    assert state.counts.time_back == 1


def test_time_running_ahead_of_the_monotonic_clock_is_refused():
    """A second of one clock is a second of the other."""
    state = NmeaState()
    drive(state, range(3))
    assert feed(state, epoch_lines(3, at=START + timedelta(seconds=60))) == []
    assert state.counts.time_jumps == 1


def test_two_epochs_that_arrive_in_one_burst_give_one_fix():
    """A held-up serial port delivers two epochs at one instant: an instant has one position."""
    state = NmeaState()
    lines = [epoch_lines(second, t_mono_ns=7) for second in (0, 0.2)]
    assert len(feed(state, lines[0] + lines[1])) == 1
    assert state.counts.time_back == 1


def test_a_tunnel_is_no_contradiction():
    """Minutes without a fix and a kilometre of way are what a car does."""
    state = NmeaState()
    drive(state, range(3))
    assert len(drive(state, [123], lat_deg=45.02)) == 1


@pytest.mark.parametrize(
    ("quality", "mode", "expected"),
    [
        ("1", ",A", FixQuality.GNSS),
        ("2", ",D", FixQuality.DGNSS),
        ("4", ",R", FixQuality.RTK),
        ("5", ",F", FixQuality.RTK),
        ("6", ",E", FixQuality.ESTIMATED),
        ("1", ",E", FixQuality.ESTIMATED),
        ("1", "", FixQuality.GNSS),
    ],
)
def test_quality_is_the_worse_of_what_both_sentences_say(quality, mode, expected):
    """A dead-reckoned position must not pass for a measured one; receivers before NMEA 2.3 name no mode."""
    (fix,) = feed(NmeaState(), [NmeaLine(0, rmc(mode=mode)), NmeaLine(1, gga(quality=quality))])
    assert fix.quality is expected


def test_an_unknown_dilution_is_taken_for_a_bad_one():
    """No figure is no reason for trust."""
    (fix,) = feed(NmeaState(), [NmeaLine(0, rmc()), NmeaLine(1, gga(hdop="", satellites=""))])
    assert (fix.hdop, fix.satellites, fix.error_m) == (None, None, 25.0)


def test_the_known_latency_of_a_receiver_is_taken_off():
    """The position is that of the epoch, not of the arrival of its sentence."""
    (fix,) = feed(NmeaState(NmeaConfig(latency_ms=80)), epoch_lines(1))
    assert fix.t_mono_ns == NS_PER_S - 80 * MS
