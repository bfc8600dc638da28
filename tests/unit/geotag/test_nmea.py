"""NMEA: any line is taken and counted once, and only what a car can do becomes a fix."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

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
    return [fix for line in lines for fix in state.take(line)]


def drive(state, seconds, **where):
    return [fix for second in seconds for fix in feed(state, epoch_lines(second, **where))]


def accounted(state):
    """Every line is in exactly one of these."""
    c = state.counts
    refused = c.other + c.garbage + c.bad_checksum + c.no_checksum + c.bad_fields + c.void
    return refused + c.taken + c.duplicate + c.reports


BODIES = st.one_of(
    st.text(max_size=90),
    st.builds(
        ",".join,
        st.tuples(
            st.sampled_from(
                ["GPRMC", "GNGGA", "GAGLL", "GPZDA", "GNGNS", "INVTG", "GPGSV", "PUBX", "QQRMC", "GP", "$"]
            ),
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
def test_any_lines_are_accepted_and_counted_once(lines):
    """Garbage never raises and is always counted, and fixes are in the order of the clock."""
    state = NmeaState()
    fixes = feed(state, [NmeaLine(t_ns, text) for t_ns, text in lines])
    assert len(lines) <= state.counts.lines == accounted(state)
    assert len(fixes) == state.counts.fixes
    times = [fix.t_mono_ns for fix in fixes]
    assert times == sorted(set(times))


@given(st.lists(st.tuples(st.integers(0, 10 * NS_PER_S), TEXTS), max_size=20))
def test_garbage_between_valid_lines_changes_only_counts(noise):
    """A line that is refused leaves the state as it was."""
    clean, noisy = NmeaState(), NmeaState()
    lines = [line for second in range(3) for line in epoch_lines(second)]
    expected = feed(clean, lines)
    fixes = []
    for line in lines:
        for _, text in noise:
            if "$" not in text and not text.startswith("{"):
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


@given(st.floats(-89.9, 89.9), st.floats(-179.9, 179.9).filter(lambda lon_deg: abs(lon_deg) > 1))
def test_position_round_trip_in_all_hemispheres(lat_deg, lon_deg):
    """All four hemispheres; 2 cm are what the sentence itself rounds away."""
    (fix,) = feed(NmeaState(), epoch_lines(0, lat_deg=lat_deg, lon_deg=lon_deg))
    assert fix.lat_deg == pytest.approx(lat_deg, abs=2e-7)
    assert fix.lon_deg == pytest.approx(lon_deg, abs=2e-7)


@given(st.data())
def test_changed_character_never_gives_another_fix(data):
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
def test_truncated_line_is_garbage(cut):
    """A receiver that is unplugged in the middle, and a port opened in the middle."""
    text = rmc()
    for part in (text[:cut], text[cut + 1 :]):
        state = NmeaState()
        if len(part) < len(text):
            state.feed(NmeaLine(0, part))
            assert state.counts.garbage + state.counts.no_checksum == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (rmc()[:-2] + "ZZ", "garbage"),
        (rmc()[:-2] + "00", "bad_checksum"),
        (rmc()[:-3], "no_checksum"),
        (gga()[:-3], "no_checksum"),
        ("x" * 4000, "garbage"),
        (sentence("GPGSV,1,1,00"), "other"),
        (sentence("PUBX,00,1"), "other"),
        (sentence("GPRMC,120000,A"), "bad_fields"),
        (sentence("GPRMC,120000,A,4500.0,N,10000.0,W,1.0,90.0"), "bad_fields"),
        (sentence("GPGGA,120000.00,4500.0,N,10000.0,W,1,09,0.9"), "bad_fields"),
        (sentence("GNGNS,120000.00,4500.0,N,10000.0,W,AAXN,09,0.9,12.0,-30.0,,"), "bad_fields"),
        (sentence("GNGNS,120000.00,,,,,NNN,00,,,,,"), "void"),
        (sentence("GPGLL,4500.0,N,10000.0,W"), "bad_fields"),
        (sentence("GPGLL,4500.0,N,10000.0,W,120000.00,V,N"), "void"),
        (sentence("GPVTG,90.0,T,,M,-1.0,N,,K"), "bad_fields"),
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
        (sentence("GPZDA,120000.00,31,02,2026,00,00"), "bad_date"),
        (sentence("GPZDA,120000.00,30,05,2026,00,00"), "taken"),
        (sentence("GPVTG,90.0,T,,M,1.0,N,1.9,K,A"), "taken"),
    ],
)
def test_each_refusal_is_counted_by_its_reason(text, reason):
    """A technician reads from the counters what is wrong with a receiver."""
    state = NmeaState()
    assert state.feed(NmeaLine(0, text)) is None
    assert getattr(state.counts, reason) == 1
    assert accounted(state) == 1


def test_sentences_of_different_epochs_do_not_pair():
    """Speed of one second and position of another are no fix: each is a fix of its own, as good as it is."""
    state = NmeaState()
    late = START + timedelta(seconds=1)
    fixes = feed(state, [NmeaLine(0, rmc()), NmeaLine(NS_PER_S, gga(late)), NmeaLine(2 * NS_PER_S, gga())])
    assert [(fix.hdop, fix.speed_mps is None) for fix in fixes] == [(None, False), (0.9, True)]


def test_repeated_time_of_day_gives_one_fix():
    """A receiver that repeats its last sentence for hours has no fix."""
    state = NmeaState()
    drive(state, range(3))
    stuck = START + timedelta(seconds=2)
    assert [fix for second in range(3, 60) for fix in feed(state, epoch_lines(second, at=stuck))] == []
    assert state.counts.time_back > 15


def test_sentences_with_distant_positions_are_refused():
    """A second check where the checksum has only eight bits."""
    state = NmeaState()
    assert feed(state, [NmeaLine(0, rmc()), NmeaLine(1, gga(lat_deg=45.01))]) == []
    assert state.counts.disagreements == 1


@pytest.mark.parametrize("year", [80, 79, 60, 99, 25, 36])
def test_implausible_date_is_refused_and_the_position_kept(year):
    """Receivers without almanac say 1980, broken ones say 2080: no read is ever dated by them, and all are placed."""
    state = NmeaState()
    body = f"GPRMC,120000.000,A,4500.0,N,10000.0,W,1.0,90.0,1201{year:02d},,,A"
    (fix,) = feed(state, [NmeaLine(0, sentence(body)), NmeaLine(1, gga())])
    assert (fix.utc_ns, fix.lat_deg, fix.lon_deg) == (None, 45.0, -100.0)
    assert (state.counts.date_out_of_range, state.counts.dateless_fixes) == (1, 1)


@given(st.integers(0, 3650), st.sampled_from([-1, 1, 2]))
def test_a_receiver_that_missed_the_week_rollover_is_corrected(days, times):
    """1024 or 2048 weeks behind, or 1024 ahead, any day within the horizon: same instant, marked and counted."""
    at = START.replace(month=1, day=1) + timedelta(days=days)
    wrong = at - times * WEEKS_1024
    (right,) = feed(NmeaState(), epoch_lines(0, at=at))
    state = NmeaState()
    # With its full year in ZDA: two digits cannot tell 1987 from 2087.
    body = f"GPZDA,{wrong:%H%M%S}.00,{wrong:%d,%m,%Y},00,00"
    lines = [NmeaLine(0, sentence(body)), NmeaLine(0, rmc(wrong).replace(f"{wrong:%d%m%y}", ""))]
    lines[1] = NmeaLine(0, sentence(lines[1].text[1:-3]))
    (corrected,) = feed(state, [*lines, NmeaLine(20 * MS, gga(wrong))])
    assert replace(corrected, date_corrected=False) == right
    assert corrected.date_corrected
    assert state.counts.rollovers_corrected == 1


def test_single_date_jump_is_rejected_and_a_persistent_one_accepted():
    """Of a flipped bit that the checksum let through, and of a receiver that learns: the place is there in each."""
    state = NmeaState()
    drive(state, range(3))
    off = START + timedelta(days=200)
    (wrong,) = feed(state, epoch_lines(3, at=off + timedelta(seconds=3)))
    (right,) = feed(state, epoch_lines(4))
    assert (wrong.utc_ns, right.utc_ns) == (None, int(START.timestamp() + 4) * NS_PER_S)
    lasting = [fix for s in range(5, 15) for fix in feed(state, epoch_lines(s, at=off + timedelta(seconds=s)))]
    assert [fix.utc_ns is None for fix in lasting] == [True] * 5 + [False] * 5
    assert state.counts.date_jumps == 6
    assert state.counts.fixes == 15


@pytest.mark.parametrize(
    "where",
    [{"lat_deg": 0.0, "lon_deg": 0.0}, {"lat_deg": 0.01, "lon_deg": -0.02}, {"lat_deg": -0.5, "lon_deg": 0.5}],
)
def test_position_around_zero_is_refused(where):
    """A fix at 0 N 0 E is a receiver without a position that does not say so."""
    state = NmeaState()
    assert drive(state, range(20), **where) == []
    assert state.counts.impossible_places == 20
    assert len(drive(state, range(20, 23))) == 3


@pytest.mark.parametrize("alt_m", ["-700.0", "12000.0", "99999"])
def test_altitude_out_of_range_is_refused(alt_m):
    """A solution that is kilometres wrong upwards is no better sideways."""
    state = NmeaState()
    high = sentence(gga()[1:-3].replace("12.0,M", f"{alt_m},M"))
    assert feed(state, [NmeaLine(0, rmc()), NmeaLine(1, high)]) == []
    assert state.counts.impossible_places == 1


def test_midnight():
    """Time of day starts again, date and time together go on."""
    state = NmeaState()
    midnight = START.replace(hour=23, minute=59, second=58)
    fixes = [fix for s in range(5) for fix in feed(state, epoch_lines(s, at=midnight + timedelta(seconds=s)))]
    assert [fix.utc_ns - fixes[0].utc_ns for fix in fixes] == [s * NS_PER_S for s in range(5)]


@pytest.mark.parametrize(
    "times",
    [
        ["23:59:58 31", "23:59:59 31", "23:59:60 31", "00:00:00 01", "00:00:01 01", "00:00:02 01"],
        ["23:59:58 31", "23:59:59 31", "23:59:59 31", "00:00:00 01", "00:00:01 01", "00:00:02 01"],
        ["23:59:58 31", "23:59:59 31", "00:00:00 01", "00:00:00 01", "00:00:01 01", "00:00:02 01"],
    ],
)
def test_leap_second_costs_no_more_than_its_own_fix(times):
    """Receivers count it as 60, or repeat the second before or after it."""
    state, found = NmeaState(), []
    for second, text in enumerate(times):
        clock, day = text.replace(":", "").split()
        month = "1226" if day == "31" else "0127"
        lines = [
            f"GPRMC,{clock}.00,A,4500.0,N,10000.0,W,1.0,90.0,{day}{month},,,A",
            f"GPGGA,{clock}.00,4500.0,N,10000.0,W,1,09,0.9,12.0,M,-30.0,M,,",
        ]
        found += feed(state, [NmeaLine(second * NS_PER_S + n, sentence(line)) for n, line in enumerate(lines)])
    assert [fix.t_mono_ns // NS_PER_S for fix in found] in ([0, 1, 2, 3, 4, 5], [0, 1, 3, 4, 5], [0, 1, 2, 4, 5])
    assert (state.counts.time_back, state.counts.time_jumps, state.counts.bad_fields) == (0, 0, 0)
    midnight_ns = int(datetime(2027, 1, 1, tzinfo=UTC).timestamp()) * NS_PER_S
    assert found[-1].utc_ns == midnight_ns + 2 * NS_PER_S


@pytest.mark.parametrize("clock", ["120060.00", "235860.00", "235961.00"])
def test_sixty_seconds_are_a_leap_second_only_at_the_end_of_a_day(clock):
    state = NmeaState()
    state.feed(NmeaLine(0, sentence(f"GPGGA,{clock},4500.0,N,10000.0,W,1,09,0.9,12.0,M,-30.0,M,,")))
    assert state.counts.bad_fields == 1


def test_single_position_jump_is_rejected():
    """One outlier does not move the vehicle, nor cause good fixes to be rejected."""
    state = NmeaState()
    assert len(drive(state, range(3))) == 3
    assert drive(state, [3], lat_deg=46.0) == []
    assert len(drive(state, [4, 5])) == 2
    assert (state.counts.jumps, state.counts.resyncs) == (1, 0)


def test_persistent_jump_is_accepted_after_max_rejects():
    """Ferries and first fixes far off: after five rejections the sixth is accepted, with more error."""
    state = NmeaState()
    drive(state, range(3))
    fixes = drive(state, range(3, 12), lat_deg=46.0)
    assert [fix.t_mono_ns // NS_PER_S for fix in fixes] == [8, 9, 10, 11]
    assert fixes[0].error_m == pytest.approx(4 * fixes[1].error_m)
    assert (state.counts.jumps, state.counts.resyncs) == (6, 1)


def test_contradicting_jumps_are_never_accepted():
    """Multipath in a street canyon: the count of rejects starts again each time."""
    state = NmeaState()
    drive(state, range(2))
    wild = [drive(state, [2 + n], lat_deg=46.0 + n) for n in range(20)]
    assert [fix for fixes in wild for fix in fixes] == []


def test_time_running_backwards_is_rejected():
    """A receiver that falls back to its own clock does not date reads into the past."""
    state = NmeaState()
    drive(state, range(3))
    back = START - timedelta(hours=1)
    assert feed(state, epoch_lines(3, at=back)) == []
    assert state.counts.time_back == 1


def test_time_running_ahead_of_the_monotonic_clock_is_rejected():
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


def test_gap_in_a_tunnel_is_no_contradiction():
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
def test_quality_is_the_worse_of_both_sentences(quality, mode, expected):
    """A dead-reckoned position must not pass for a measured one; receivers before NMEA 2.3 name no mode."""
    (fix,) = feed(NmeaState(), [NmeaLine(0, rmc(mode=mode)), NmeaLine(1, gga(quality=quality))])
    assert fix.quality is expected


def test_unknown_hdop_counts_as_bad():
    """Without a value a bad one is assumed."""
    (fix,) = feed(NmeaState(), [NmeaLine(0, rmc()), NmeaLine(1, gga(hdop="", satellites=""))])
    assert (fix.hdop, fix.satellites, fix.error_m) == (None, None, 25.0)


def test_receiver_latency_is_subtracted():
    """The position is that of the epoch, not of the arrival of its sentence."""
    (fix,) = feed(NmeaState(NmeaConfig(latency_ms=80)), epoch_lines(1))
    assert fix.t_mono_ns == NS_PER_S - 80 * MS


def body(kind, at, *, talker="GP"):
    """One sentence of each kind, at 45 N 100 W, 10 m/s east."""
    tod, here = f"{at:%H%M%S}.00", "4500.00000,N,10000.00000,W"
    return {
        "RMC": f"{talker}RMC,{tod},A,{here},19.44,90.0,{at:%d%m%y},,,A",
        "GGA": f"{talker}GGA,{tod},{here},1,09,0.9,12.0,M,-30.0,M,,",
        "GNS": f"{talker}GNS,{tod},{here},AAN,09,0.9,12.0,-30.0,,",
        "GLL": f"{talker}GLL,{here},{tod},A,A",
        "ZDA": f"{talker}ZDA,{tod},{at:%d,%m,%Y},00,00",
        "VTG": f"{talker}VTG,90.0,T,,M,19.44,N,36.0,K,A",
    }[kind]


def epochs(*sets, n=12, talker="GP", step_s=1.0):
    """One epoch a second, the sets of sentences in turn."""
    for second in range(n):
        at = START + timedelta(seconds=second * step_s)
        for nth, kind in enumerate(sets[second % len(sets)]):
            t_ns = round(second * step_s * NS_PER_S) + nth * 20 * MS
            yield NmeaLine(t_ns, sentence(body(kind, at, talker=talker)))


SETS = {
    "RMC": [["RMC"]],
    "RMC GGA": [["RMC", "GGA"]],
    "RMC GNS": [["GNS", "RMC"]],
    "RMC GLL": [["GLL", "RMC"]],
    "GGA ZDA": [["GGA", "ZDA"]],
    "ZDA GGA": [["ZDA", "GGA"]],
    "GGA VTG ZDA": [["GGA", "VTG", "ZDA"]],
    "VTG GGA ZDA": [["VTG", "GGA", "ZDA"]],
    "GNS ZDA VTG": [["GNS", "ZDA", "VTG"]],
    "GLL ZDA": [["GLL", "ZDA"]],
    "GLL VTG ZDA": [["GLL", "VTG", "ZDA"]],
    "in turn": [["RMC"], ["GGA"]],
    "in turn, four": [["RMC"], ["GLL", "VTG"], ["RMC"], ["GGA", "ZDA"]],
    "GGA often, ZDA seldom": [["GGA", "ZDA"], ["GGA"], ["GGA"]],
}


@pytest.mark.parametrize("talker", ["GP", "GN", "GL", "GA", "GB", "BD", "GQ", "QZ", "GI", "IN", "II", "SN"])
@pytest.mark.parametrize("name", SETS)
def test_any_set_of_sentences_with_position_and_date_gives_fixes(name, talker):
    """Only the last epoch may still be waited for; each is stamped with its own first sentence."""
    state = NmeaState()
    lines = list(epochs(*SETS[name], talker=talker))
    fixes = feed(state, lines)
    assert len(fixes) >= 11
    assert {(fix.lat_deg, fix.lon_deg) for fix in fixes} == {(45.0, -100.0)}
    assert [fix.t_mono_ns for fix in fixes] == [n * NS_PER_S for n in range(len(fixes))]
    assert {fix.utc_ns - fix.t_mono_ns for fix in fixes if fix.utc_ns} == {int(START.timestamp()) * NS_PER_S}
    speeds = {fix.speed_mps for fix in fixes} - {None}
    assert all(speed == pytest.approx(10, abs=0.01) for speed in speeds)
    assert bool(speeds) == any({"RMC", "VTG"} & set(kinds) for kinds in SETS[name])


@pytest.mark.parametrize("name", [name for name in SETS if len(SETS[name]) == 1])
def test_learnt_set_completes_the_epoch_at_once(name):
    """From the third second on a fix comes with the last sentence of its epoch: a read waits no second longer."""
    state = NmeaState()
    lines = list(epochs(*SETS[name]))
    each = len(SETS[name][0])
    feed(state, lines[: 3 * each])
    for second in range(3, 12):
        fixes = feed(state, lines[second * each : (second + 1) * each])
        assert [fix.t_mono_ns for fix in fixes] == [second * NS_PER_S]


def test_set_with_a_lost_line_is_not_learnt():
    """One RMC is damaged: that fix lacks its speed, and the next are whole again."""
    state = NmeaState()
    lines = list(epochs(["GGA", "RMC"]))
    lines[9] = NmeaLine(lines[9].t_mono_ns, lines[9].text[:-1])
    fixes = feed(state, lines)
    assert [fix.speed_mps is None for fix in fixes] == [second == 4 for second in range(12)]


def test_position_without_date_is_a_fix():
    """GGA alone: reads are placed, and dated by NTP."""
    fixes = feed(NmeaState(), epochs(["GGA"]))
    assert len(fixes) >= 11
    assert {fix.utc_ns for fix in fixes} == {None}


def test_void_sentence_makes_its_epoch_void():
    """GGA says no fix, RMC says A."""
    state = NmeaState()
    for second in range(10):
        at = START + timedelta(seconds=second)
        lines = [NmeaLine(second * NS_PER_S, rmc(at)), NmeaLine(second * NS_PER_S + 1, gga(at, quality="0"))]
        assert feed(state, lines) == []
    assert state.counts.disagreements == 9


def gga_of(fields):
    whole = [
        "GPGGA",
        "120000.00",
        "4500.0",
        "N",
        "10000.0",
        "W",
        "1",
        "09",
        "0.9",
        "12.0",
        "M",
        "-30.0",
        "M",
        "",
        "0000",
        "1.8",
        "x",
    ]
    return sentence(",".join(whole[: fields + 1]))


def rmc_of(fields):
    whole = [
        "GPRMC",
        "120000.00",
        "A",
        "4500.0",
        "N",
        "10000.0",
        "W",
        "1.0",
        "90.0",
        "300526",
        "",
        "",
        "A",
        "V",
        "x",
        "y",
    ]
    return sentence(",".join(whole[: fields + 1]))


@pytest.mark.parametrize("n_gga", range(10, 17))
@pytest.mark.parametrize("n_rmc", range(9, 16))
def test_sentences_of_any_nmea_edition_are_parsed(n_gga, n_rmc):
    """GGA of 10 to 16 fields, RMC of 9 to 15: old devices leave out, the standard and makers add."""
    (fix,) = feed(NmeaState(), [NmeaLine(0, rmc_of(n_rmc)), NmeaLine(1, gga_of(n_gga))])
    assert (fix.lat_deg, fix.alt_m, fix.hdop, fix.satellites) == (45.0, 12.0, 0.9, 9)
    assert fix.utc_ns == int(START.timestamp()) * NS_PER_S


@pytest.mark.parametrize("text", [*(gga_of(n) for n in range(1, 10)), *(rmc_of(n) for n in range(1, 9))])
def test_sentence_without_required_fields_is_refused(text):
    state = NmeaState()
    assert state.take(NmeaLine(0, text)) == []
    assert state.counts.bad_fields == 1


@pytest.mark.parametrize(
    ("satellites", "expected"),
    [("00", FixQuality.ESTIMATED), ("02", FixQuality.ESTIMATED), ("03", FixQuality.GNSS)],
)
def test_position_without_satellites_is_estimated(satellites, expected):
    """The receiver goes by what it knew before: no measurement."""
    (fix,) = feed(NmeaState(), [NmeaLine(0, rmc()), NmeaLine(1, gga(satellites=satellites))])
    assert fix.quality is expected


PREFIXES = st.one_of(
    st.text(max_size=60), st.binary(max_size=60).map(lambda data: data.decode("ascii", errors="replace"))
)


@given(st.lists(st.tuples(PREFIXES, PREFIXES), min_size=2, max_size=2))
@example([("\\g:1-2-73874,n:157036*7B\\", ""), (" ", " ")])
@example([("\ufffdb\x01\x07", ""), ("$GPGGA,1200", "\r")])
def test_a_sentence_is_found_wherever_it_starts(noise):
    """Behind binary data, TAG blocks and a half of another: the fix is the same."""
    state = NmeaState()
    whole = [rmc(), gga()]
    lines = [f"{before}{text} {after}" for (before, after), text in zip(noise, whole, strict=True)]
    if any(text.startswith("{") for text in lines):
        return
    (fix,) = feed(state, [NmeaLine(at, text) for at, text in enumerate(lines)])
    assert (fix.lat_deg, fix.lon_deg) == (45.0, -100.0)
    assert state.counts.behind_binary == sum(bool(before) for before, _ in noise)


def test_two_sentences_in_one_line_are_both_parsed():
    (fix,) = feed(NmeaState(), [NmeaLine(0, rmc() + gga())])
    assert fix.hdop == 0.9
