"""Coverage: only known kilometres count, every second is either located or not, zones are exact."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.geotag.geodesy import Position
from agent.geotag.nmea import NmeaConfig, NmeaState
from agent.shift.coverage import MAX_SPEED_MPS, OUTSIDE, CoverageCounter
from agent.shift.zones import ZoneMap
from hw.drive_load import load_drive
from hw.ports import NmeaLine
from protocol.roster.roster import Zone
from protocol.wire.enums import FixQuality
from tests.builders import make_fix

NS_PER_S = 1_000_000_000
START = Position(45.0, -100.0)


def square(name, west_e7):
    east_e7 = west_e7 + 100_000
    corners = ((450_000_000, west_e7), (450_100_000, west_e7), (450_100_000, east_e7), (450_000_000, east_e7))
    return Zone(id=name, name=name, corners=corners)


SQUARE = square("square", -1_000_000_000)


def drive(counter, seconds, *, speed_mps=20.0, start_s=0.0, start_m=0.0, reported=True, error_m=4.5, course=90.0):
    """Fixes once a second along a straight road."""
    for n in range(int(seconds) + 1):
        place = START.moved(course, start_m + n * speed_mps)
        counter.add_fix(
            make_fix(
                round((start_s + n) * NS_PER_S), lat_deg=place.lat_deg, lon_deg=place.lon_deg,
                speed_mps=speed_mps if reported else None, error_m=error_m,
            )
        )  # fmt: skip
    return start_m + int(seconds) * speed_mps


@pytest.fixture
def counter():
    counter = CoverageCounter(ZoneMap([SQUARE]))
    counter.begin(0)
    return counter


def seconds(ns):
    return ns / NS_PER_S


@pytest.mark.parametrize("reported", [True, False])
def test_a_drive_has_its_length(counter, reported):
    drive(counter, 600, reported=reported)
    assert counter.totals.distance_m == pytest.approx(12_000, rel=0.01)
    assert seconds(counter.totals.located_ns) == 600
    assert counter.totals.jumps == counter.totals.outages == 0


def test_standing_adds_minutes_and_no_metres(counter):
    """Positions of a standing vehicle wander by metres."""
    for n in range(3600):
        wander = (n * 7919 % 13 - 6) * 1e-5
        counter.add_fix(make_fix(n * NS_PER_S, lat_deg=45.005 + wander, lon_deg=-99.995 - wander, speed_mps=0.1))
    assert counter.totals.distance_m == 0
    assert seconds(counter.totals.zones["square"].located_ns) == 3599


def test_a_tunnel_adds_no_kilometres(counter):
    """60 s without a fix, 1.5 km further on: the way between is unknown."""
    drive(counter, 100)
    for n in range(1, 60):
        counter.add_time((100 + n) * NS_PER_S)
    drive(counter, 100, start_s=160, start_m=3500)
    assert counter.totals.distance_m == pytest.approx(4_000, rel=0.01)
    assert seconds(counter.totals.located_ns) == 200
    assert seconds(counter.totals.unlocated_ns) == 60
    assert counter.totals.outages == 1
    assert counter.totals.jumps == 0


def test_a_fix_repeated_in_a_tunnel_adds_nothing(counter):
    """Some receivers repeat position and speed of the last fix."""
    length_m = drive(counter, 100)
    place = START.moved(90.0, length_m)
    for n in range(101, 160):
        counter.add_fix(make_fix(n * NS_PER_S, lat_deg=place.lat_deg, lon_deg=place.lon_deg, speed_mps=20.0))
    assert counter.totals.distance_m == pytest.approx(2_000, rel=0.01)
    assert seconds(counter.totals.unlocated_ns) == 59
    drive(counter, 100, start_s=160, start_m=3200)
    assert counter.totals.jumps == 1
    assert counter.totals.distance_m == pytest.approx(4_000, rel=0.01)


@pytest.mark.parametrize("reported", [True, False])
def test_a_jump_adds_no_kilometres(counter, reported):
    drive(counter, 100, reported=reported)
    drive(counter, 100, start_s=101, start_m=50_000, reported=reported)
    assert counter.totals.jumps == 1
    assert counter.totals.distance_m == pytest.approx(4_000, rel=0.02)


@pytest.mark.parametrize("poor", [{"error_m": 80.0}, {"quality": FixQuality.ESTIMATED}])
def test_poor_and_estimated_positions_count_as_none(counter, poor):
    drive(counter, 10)
    for n in range(11, 100):
        counter.add_fix(make_fix(n * NS_PER_S, lat_deg=45.0, lon_deg=-100.0, **poor))
    assert counter.totals.distance_m == pytest.approx(200, rel=0.01)
    assert seconds(counter.totals.unlocated_ns) == pytest.approx(89, abs=5)


def test_minutes_and_reads_belong_to_their_zone(counter):
    inside, outside = Position(45.005, -99.995), Position(46.0, -99.995)
    counter.add_read(inside)
    counter.add_read(outside)
    counter.add_read(None)
    totals = counter.totals
    assert (totals.zones["square"].reads, totals.zones[OUTSIDE].reads, totals.reads_unlocated) == (1, 1, 1)


FIXES = st.lists(
    st.builds(
        make_fix,
        st.integers(0, 10**12),
        lat_deg=st.floats(-90, 90),
        lon_deg=st.floats(-180, 180),
        speed_mps=st.none() | st.floats(0, 100),
        quality=st.sampled_from(FixQuality),
        error_m=st.floats(0.1, 100),
    ),
    max_size=30,
)


@given(FIXES, st.booleans())
def test_every_second_is_located_or_not_and_no_distance_is_faster_than_a_vehicle(fixes, ordered):
    counter = CoverageCounter(ZoneMap([SQUARE]))
    counter.begin(0)
    for fix in sorted(fixes, key=lambda fix: fix.t_mono_ns) if ordered else fixes:
        counter.add_fix(fix)
    counter.add_time(2 * 10**12)
    totals = counter.totals
    assert totals.located_ns + totals.unlocated_ns == 2 * 10**12
    assert totals.distance_m <= seconds(totals.located_ns) * (MAX_SPEED_MPS + 20) + 1
    assert sum(zone.located_ns for zone in totals.zones.values()) >= totals.located_ns


def test_corners_and_common_edges_belong_to_one_of_two_zones():
    zones = ZoneMap([SQUARE, square("east", -999_900_000)])
    for n in range(1000):
        assert len(zones.at(45.0 + n * 1e-5, -99.99)) == 1
    assert zones.at(44.999, -99.99) == ()
    assert zones.at(45.005, -99.9801) == ("east",)


@given(st.floats(-90, 90), st.floats(-180, 180))
def test_a_zone_drawn_the_other_way_round_is_the_same(lat_deg, lon_deg):
    star = (
        (0, 0),
        (300_000_000, 100_000_000),
        (50_000_000, 120_000_000),
        (290_000_000, -80_000_000),
        (-20_000_000, 300_000_000),
    )
    first = ZoneMap([Zone(id="z", name="Z", corners=star)])
    turned = ZoneMap([Zone(id="z", name="Z", corners=tuple(reversed(star)))])
    assert first.at(lat_deg / 3, lon_deg / 6) == turned.at(lat_deg / 3, lon_deg / 6)


def counted(repo, drive, *, muted_ms):
    """Totals of a drive whose receiver is silent from one time to another."""
    counter, nmea = CoverageCounter(ZoneMap()), NmeaState(NmeaConfig())
    counter.begin(0)
    last_ns = 0
    for sentence in load_drive(repo / "tests" / "drives" / drive).sentences:
        last_ns = sentence.t_ns
        if not muted_ms[0] <= last_ns / 1e6 < muted_ms[1]:
            for fix in nmea.take(NmeaLine(last_ns, sentence.text)):
                counter.add_fix(fix)
        counter.add_time(last_ns)
    return counter.totals, last_ns


def test_the_tunnel_of_a_drive_is_time_without_kilometres(repo):
    """The receiver's own sentences, with their noise; silent for as long as the script of the drive says."""
    whole, _ = counted(repo, "tunnel-outage", muted_ms=(0, 0))
    totals, last_ns = counted(repo, "tunnel-outage", muted_ms=(7_000, 18_500))
    assert (totals.outages, totals.jumps) == (1, 0)
    assert 0 <= last_ns - totals.located_ns - totals.unlocated_ns <= NS_PER_S, (
        "all but the time since the last fix"
    )
    assert 11 <= seconds(totals.unlocated_ns) <= 13
    share = seconds(totals.located_ns) / seconds(whole.located_ns)
    assert totals.distance_m / whole.distance_m == pytest.approx(share, abs=0.15)
