"""Positions: the error bound holds for any motion of a car, the method is right, nothing jumps."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agent.geotag.fixes import FixRing, FixRingConfig
from agent.geotag.geodesy import EARTH_RADIUS_M, Position
from agent.records import Geotag
from protocol.wire.enums import FixQuality, GeotagMethod
from tests.builders import NS_PER_S, make_fix
from tests.strategies import fixes

NO_FIX_ERROR = 0.0
COURSES = st.floats(0, 360, exclude_max=True)
POSITIONS = st.builds(Position, st.floats(-90, 90), st.floats(-180, 180))


def ring(*taken, **config):
    made = FixRing(FixRingConfig(**config))
    for fix in taken:
        made.add(fix)
    return made


def place(geotag):
    return Position(geotag.lat_deg, geotag.lon_deg)


class Motion:
    """Uniformly accelerated motion in the plane that touches the Earth at ``origin``."""

    def __init__(self, origin, velocity, acceleration):
        self._origin = origin
        self._v = velocity
        self._a = acceleration

    def velocity(self, t_s):
        return tuple(v + a * t_s for v, a in zip(self._v, self._a, strict=True))

    def position(self, t_s):
        east, north = (v * t_s + a * t_s * t_s / 2 for v, a in zip(self._v, self._a, strict=True))
        return self._origin.moved(math.degrees(math.atan2(east, north)), math.hypot(east, north))

    def fix(self, t_s, *, error_m=NO_FIX_ERROR, with_course=True):
        (east, north), where = self.velocity(t_s), self.position(t_s)
        return make_fix(
            round(t_s * NS_PER_S),
            lat_deg=where.lat_deg,
            lon_deg=where.lon_deg,
            speed_mps=math.hypot(east, north),
            course_deg=math.degrees(math.atan2(east, north)) % 360 if with_course else None,
            error_m=error_m,
        )


COMPONENT = st.floats(-20, 20)
ACCELERATION = st.floats(-2.8, 2.8)
MOTIONS = st.builds(
    Motion,
    st.builds(Position, st.floats(-65, 65), st.floats(-180, 180)),
    st.tuples(COMPONENT, COMPONENT),
    st.tuples(ACCELERATION, ACCELERATION),
)


@given(MOTIONS, st.floats(0.1, 5), st.floats(0, 1), st.booleans())
def test_the_error_bound_holds_for_uniformly_accelerated_motion(motion, gap_s, share, with_course):
    """The truth never lies outside the bound between two exact fixes, known courses or not, antimeridian included.

    With nothing added for what the fixes do not show; 5 mm for the convergence of the meridians.
    """
    ends = (motion.fix(t_s, with_course=with_course) for t_s in (0, gap_s))
    between = ring(*ends, acceleration_unseen_mps2=0)
    t_ns = round(share * round(gap_s * NS_PER_S))
    geotag = between.locate(t_ns)
    missed_m = place(geotag).distance_m(motion.position(t_ns / NS_PER_S))
    assert geotag.method is GeotagMethod.INTERPOLATED
    assert missed_m <= geotag.error_m + 5e-3


@given(MOTIONS, st.floats(-5, 5))
def test_the_error_bound_holds_for_dead_reckoning(motion, offset_s):
    """Before and after a lone fix: braking as hard as a car can stays within the bound."""
    geotag = ring(motion.fix(0)).locate(round(offset_s * NS_PER_S))
    missed_m = place(geotag).distance_m(motion.position(offset_s))
    assert missed_m <= geotag.error_m + 5e-4


@given(MOTIONS, st.floats(5.1, 9), st.sampled_from([-1, 1]))
def test_the_error_bound_holds_when_stale(motion, age_s, sign):
    """The bound holds at any legal speed."""
    fastest = max(math.hypot(*motion.velocity(t)) for t in (0, sign * age_s))
    assume(fastest <= 60)
    geotag = ring(motion.fix(0)).locate(round(sign * age_s * NS_PER_S))
    assert geotag.method is GeotagMethod.STALE
    assert place(geotag).distance_m(motion.position(sign * age_s)) <= geotag.error_m + 5e-4
    assert (geotag.speed_mps, geotag.course_deg) == (None, None)


@given(st.lists(fixes(), min_size=1, max_size=6, unique_by=lambda fix: fix.t_mono_ns), st.integers(0, 10**15))
def test_any_instant_gets_a_valid_geotag(taken, t_ns):
    """Poles, antimeridian, any gap: a valid position with a bound no better than the fixes, or ``none``."""
    taken = sorted(taken, key=lambda fix: fix.t_mono_ns)
    geotag = ring(*taken).locate(t_ns)
    if geotag.method is GeotagMethod.NONE:
        assert geotag == Geotag(GeotagMethod.NONE)
        return
    assert -90 <= geotag.lat_deg <= 90
    assert -180 <= geotag.lon_deg <= 180
    assert geotag.error_m >= min(fix.error_m for fix in taken) * (1 - 1e-9)
    assert geotag.course_deg is None or 0 <= geotag.course_deg < 360
    assert geotag.fix_age_ms == round(min(abs(fix.t_mono_ns - t_ns) for fix in taken) / 1e6)


@given(fixes(), fixes(), st.lists(st.floats(0, 1), min_size=2, max_size=2))
def test_interpolation_is_monotonic(a, b, shares):
    """A later instant is farther from the first fix and nearer to the second, on their great circle."""
    a, b = replace(a, t_mono_ns=0), replace(b, t_mono_ns=10 * NS_PER_S)
    start, end = Position(a.lat_deg, a.lon_deg), Position(b.lat_deg, b.lon_deg)
    way_m = start.distance_m(end)
    assume(way_m < 1e7)
    early, late = (place(ring(a, b).locate(round(share * 10 * NS_PER_S))) for share in sorted(shares))
    assert start.distance_m(early) <= start.distance_m(late) + 1e-3
    assert end.distance_m(early) >= end.distance_m(late) - 1e-3
    assert start.distance_m(late) + end.distance_m(late) == pytest.approx(way_m, abs=1e-2)


@given(fixes(), fixes(), fixes())
def test_position_at_a_fix_is_exact_and_continuous(a, b, c):
    """At a fix the position is the fix; a nanosecond later it has moved for a nanosecond."""
    taken = [replace(fix, t_mono_ns=t * NS_PER_S) for t, fix in enumerate((a, b, c))]
    fixed = ring(*taken)
    at = fixed.locate(NS_PER_S)
    assert place(at).distance_m(Position(b.lat_deg, b.lon_deg)) < 1e-3
    assert at.error_m >= b.error_m * (1 - 1e-9)
    assert at.fix_age_ms == 0
    way_m = max(place(at).distance_m(Position(f.lat_deg, f.lon_deg)) for f in (a, c))
    assume(way_m < 2e7)  # between antipodes there is no one great circle
    for beside in (fixed.locate(NS_PER_S - 1), fixed.locate(NS_PER_S + 1)):
        assert place(beside).distance_m(place(at)) <= way_m * 1e-8 + 1e-2
        assert beside.error_m == pytest.approx(at.error_m, abs=1e-3 + way_m * 1e-8, rel=1e-6)


@pytest.mark.parametrize(
    ("lon_a", "lon_b", "expected"), [(179.9999, -179.9999, 180.0), (-179.9998, 179.9999, 179.99995)]
)
def test_interpolation_across_the_antimeridian(lon_a, lon_b, expected):
    """Half-way between both sides is on the line, not on the other side of the Earth."""
    middle = ring(make_fix(0, lon_deg=lon_a), make_fix(2 * NS_PER_S, lon_deg=lon_b)).locate(NS_PER_S)
    assert abs(middle.lon_deg) == pytest.approx(abs(expected), abs=2e-4)
    assert middle.lat_deg == pytest.approx(45.0, abs=1e-6)


def test_interpolation_across_the_pole():
    """Half-way between opposite meridians at 89.99 degrees is the pole."""
    a, b = make_fix(0, lat_deg=89.9999, lon_deg=10), make_fix(2 * NS_PER_S, lat_deg=89.9999, lon_deg=-170)
    assert ring(a, b).locate(NS_PER_S).lat_deg == pytest.approx(90, abs=1e-6)


@pytest.mark.parametrize("sign", [1, -1], ids=["after", "before"])
def test_methods_change_at_the_configured_ages(sign):
    """Five seconds of dead reckoning, ten minutes stale, then none."""
    lone = ring(make_fix(1000 * NS_PER_S))

    def method(age_ns):
        return lone.locate(1000 * NS_PER_S + sign * age_ns).method

    assert method(5 * NS_PER_S) is GeotagMethod.EXTRAPOLATED
    assert method(5 * NS_PER_S + 1) is GeotagMethod.STALE
    assert method(600 * NS_PER_S) is GeotagMethod.STALE
    assert method(600 * NS_PER_S + 1) is GeotagMethod.NONE


def test_geotag_without_a_fix_is_none():
    """Without a fix there is still a read, with method none."""
    assert ring().locate(5) == Geotag(GeotagMethod.NONE)
    assert ring().last is None


def test_single_fix_at_its_instant():
    """One fix is enough for the reads of its instant; its own error is the bound."""
    geotag = ring(make_fix(7)).locate(7)
    assert geotag.fix_age_ms == 0
    assert geotag.error_m == pytest.approx(4.5)


def test_worse_quality_of_both_fixes_is_reported():
    """A position between a good and an estimated fix is estimated, with the worse dilution and fewer satellites."""
    a = make_fix(0, quality=FixQuality.RTK, hdop=0.8, satellites=12)
    b = make_fix(2 * NS_PER_S, quality=FixQuality.ESTIMATED, hdop=None, satellites=4)
    geotag = ring(a, b).locate(NS_PER_S)
    assert (geotag.quality, geotag.hdop, geotag.satellites) == (FixQuality.ESTIMATED, 0.8, 4)


@given(COURSES, COURSES, st.floats(0, 1))
def test_course_is_interpolated_the_short_way(a, b, share):
    """From 350 to 10 degrees over north, never over south."""
    geotag = ring(make_fix(0, course_deg=a), make_fix(NS_PER_S, course_deg=b)).locate(round(share * NS_PER_S))
    turn = abs((b - a + 180) % 360 - 180)
    away = abs((geotag.course_deg - a + 180) % 360 - 180)
    assert away <= turn + 1e-6


def test_unknown_course_stays_unknown():
    """A receiver omits it at standstill: so does the interpolation."""
    fixed = ring(make_fix(0, course_deg=None), make_fix(NS_PER_S))
    assert fixed.locate(NS_PER_S // 2).course_deg is None


def test_error_in_a_long_gap_is_bounded():
    """Through a tunnel: the bound grows with the gap, yet never beyond what a car can drive."""
    a, b = make_fix(0, error_m=5.0), make_fix(60 * NS_PER_S, error_m=5.0)
    middle = ring(a, b).locate(30 * NS_PER_S)
    assert middle.method is GeotagMethod.INTERPOLATED
    assert 100 < middle.error_m <= 5.0 + 2 * 60 * 30


def test_fixes_out_of_order_raise():
    """The parser keeps the order; this class does not reorder."""
    fixed = ring(make_fix(10))
    for t_ns in (10, 9):
        with pytest.raises(ValueError, match="order of the monotonic clock"):
            fixed.add(make_fix(t_ns))


def test_memory_is_bounded():
    """Old fixes are dropped; their instants become extrapolated backwards, then stale."""
    fixed = ring(*(make_fix(t * NS_PER_S) for t in range(100)), capacity=10)
    assert fixed.locate(95 * NS_PER_S).method is GeotagMethod.INTERPOLATED
    assert fixed.locate(50 * NS_PER_S).method is GeotagMethod.STALE


def test_capacity_of_one_is_refused():
    """Interpolation needs two fixes."""
    with pytest.raises(ValueError, match="at least 2"):
        FixRing(FixRingConfig(capacity=1))


@given(POSITIONS, POSITIONS)
def test_distances_are_symmetric_and_at_most_half_the_earth(a, b):
    """Geodesy: a distance is a distance from either end."""
    assert a.distance_m(b) == b.distance_m(a)
    assert 0 <= a.distance_m(b) <= math.pi * EARTH_RADIUS_M + 1e-6
    assert a.distance_m(a) == 0


@given(POSITIONS, COURSES, st.floats(-1e5, 1e5))
def test_moved_distance_equals_measured_distance(start, course_deg, distance_m):
    """Moving is the inverse of measuring, anywhere and on any course, backwards included."""
    assert start.distance_m(start.moved(course_deg, distance_m)) == pytest.approx(abs(distance_m), abs=1e-3)


@given(POSITIONS, POSITIONS)
def test_interpolation_ends(a, b):
    """Shares 0 and 1 are the ends."""
    assume(a.distance_m(b) < 1.9e7)
    assert a.towards(b, 0).distance_m(a) < 1e-2
    assert a.towards(b, 1).distance_m(b) < 1e-2


@given(MOTIONS, st.floats(0.1, 3), st.floats(0, 1))
def test_error_bound_without_speed(motion, gap_s, share):
    """Receivers without RMC and VTG: two places and what a car can do bound the way between them."""
    ends = (replace(motion.fix(t_s), speed_mps=None, course_deg=None) for t_s in (0, gap_s))
    t_ns = round(share * round(gap_s * NS_PER_S))
    geotag = ring(*ends).locate(t_ns)
    assert place(geotag).distance_m(motion.position(t_ns / NS_PER_S)) <= geotag.error_m + 5e-3
    assert geotag.speed_mps is None


def test_dead_reckoning_without_speed():
    fix = make_fix(0, speed_mps=None, course_deg=None)
    geotag = ring(fix).locate(2 * NS_PER_S)
    assert (geotag.lat_deg, geotag.lon_deg) == (fix.lat_deg, fix.lon_deg)
    assert geotag.error_m >= fix.error_m + 2 * FixRingConfig().speed_max_mps


@given(st.integers(0, 10**15))
def test_fixed_site_has_its_position_at_any_instant(t_ns):
    """Before its first line, and hours after its last: with the error of the configuration, fix quality none."""
    site = make_fix(NS_PER_S, quality=FixQuality.NONE, error_m=12.0, speed_mps=0.0, hdop=None, utc_ns=None)
    geotag = ring(site).locate(t_ns)
    assert (geotag.method, geotag.quality, geotag.error_m, geotag.fix_age_ms) == (
        GeotagMethod.INTERPOLATED,
        FixQuality.NONE,
        12.0,
        0,
    )
    assert (geotag.lat_deg, geotag.lon_deg) == (site.lat_deg, site.lon_deg)
