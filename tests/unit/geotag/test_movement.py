"""Speed held against movement: a place that stands still at speed, or leaps at rest, is not as good as it says."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.geotag.fixes import FixRing
from agent.geotag.geodesy import Position
from tests.builders import NS_PER_S, make_fix

START = Position(45.0, -100.0)
KNOTS_40_MPS = 40 * 1852 / 3600


def fixes(*steps, gap_s=1.0):
    """Fixes at these distances from the start, in metres, each with its speed."""
    for n, (way_m, speed_mps) in enumerate(steps):
        where = START.moved(90, way_m)
        t_ns = round(n * gap_s * NS_PER_S)
        yield make_fix(t_ns, lat_deg=where.lat_deg, lon_deg=where.lon_deg, speed_mps=speed_mps)


def errors_m(steps, **other):
    ring, errors = FixRing(), []
    for fix in fixes(*steps, **other):
        ring.add(fix)
        errors.append(ring.last.error_m)
    return errors


@pytest.mark.parametrize("speed_mps", [5.0, 10.0, KNOTS_40_MPS, 40.0])
def test_frozen_position_has_the_missed_distance_as_error(speed_mps):
    """After n seconds the vehicle is n v away: the bound of a read says no less."""
    ring = FixRing()
    for fix in fixes(*[(n * speed_mps, speed_mps) for n in range(5)], *[(4 * speed_mps, speed_mps)] * 20):
        ring.add(fix)
        frozen_s = max(0, fix.t_mono_ns // NS_PER_S - 4)
        where = START.moved(90, fix.t_mono_ns / NS_PER_S * speed_mps)
        geotag = ring.locate(fix.t_mono_ns)
        assert geotag.error_m >= 0.99 * frozen_s * speed_mps
        assert Position(geotag.lat_deg, geotag.lon_deg).distance_m(where) <= geotag.error_m


@pytest.mark.parametrize("gap_s", [3.0, 5.0, 10.0])
def test_frozen_position_of_a_slow_receiver_is_noticed(gap_s):
    """Receivers that report every five or ten seconds freeze, too."""
    ring, v = FixRing(), KNOTS_40_MPS
    for fix in fixes(*[(n * gap_s * v, v) for n in range(3)], *[(2 * gap_s * v, v)] * 5, gap_s=gap_s):
        ring.add(fix)
    assert ring.last.error_m >= 0.99 * 5 * gap_s * v


@pytest.mark.parametrize("gap_s", [4.0, 5.0, 7.0, 10.0])
@given(st.lists(st.tuples(st.floats(-4, 4), st.floats(-4, 4)), min_size=20, max_size=120), st.floats(0, 30))
def test_stops_and_turns_between_rare_fixes_are_no_contradiction(gap_s, forces, speed_mps):
    """Within the friction of a road, half a second each: braking, turning back, going round a block."""
    ring, where, course_deg, per_fix = FixRing(), START, 0.0, round(gap_s / 0.5)
    for n, (ahead, aside) in enumerate(forces):
        if n % per_fix == 0:
            ring.add(
                make_fix(n * NS_PER_S // 2, lat_deg=where.lat_deg, lon_deg=where.lon_deg, speed_mps=speed_mps)
            )
        share = max(1.0, math.hypot(ahead, aside) / 4)
        course_deg += math.degrees(aside / share * 0.5 / max(speed_mps, 1.0))
        faster_mps = max(0.0, speed_mps + ahead / share * 0.5)
        where = where.moved(course_deg, (speed_mps + faster_mps) / 2 * 0.5)
        speed_mps = faster_mps
    assert ring.last.error_m == 4.5


def test_position_that_catches_up_has_its_normal_error():
    v = KNOTS_40_MPS
    steps = [(n * v, v) for n in range(5)] + [(4 * v, v)] * 6 + [(n * v, v) for n in range(11, 15)]
    errors = errors_m(steps)
    assert errors[10] > 100
    assert errors[-1] == pytest.approx(4.5, abs=3)


def test_position_jump_at_rest_raises_the_error_for_a_while():
    """60 m in a second at no speed: doubted for ten seconds of calm."""
    errors = errors_m([(0, 0.0)] * 3 + [(60, 0.0)] * 15)
    assert errors[2] == 4.5
    assert errors[3] >= 60
    assert errors[-1] == 4.5


@given(
    st.lists(st.floats(-4, 4), min_size=2, max_size=60),
    st.floats(0, 40),
    st.sampled_from([0.1, 0.2, 0.5, 1.0, 2.0]),
    st.integers(0, 2**32),
)
def test_normal_driving_gets_no_additional_error(accelerations, speed_mps, gap_s, seed):
    """Braking, accelerating and the noise of neighbouring fixes are no contradiction."""
    way_m, steps = 0.0, [(0.0, speed_mps)]
    for n, acceleration in enumerate(accelerations):
        faster = max(0.0, speed_mps + acceleration * gap_s)
        way_m += (speed_mps + faster) / 2 * gap_s
        speed_mps = faster
        steps.append((way_m + 0.4 * ((seed >> n % 32) & 1), speed_mps))
    assert set(errors_m(steps, gap_s=gap_s)) == {4.5}


@given(st.floats(3, 12), st.floats(4, 60))
def test_roundabout_is_no_contradiction(speed_mps, radius_m):
    """The chord is shorter than the arc, by less than is allowed for."""
    if speed_mps**2 / radius_m > 6:
        return
    ring = FixRing()
    for n in range(20):
        where = START.moved(n * speed_mps / radius_m * 57.29578, radius_m)
        ring.add(make_fix(n * NS_PER_S, lat_deg=where.lat_deg, lon_deg=where.lon_deg, speed_mps=speed_mps))
    assert ring.last.error_m == 4.5
