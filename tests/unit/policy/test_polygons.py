"""Polygons: crossing ones are refused, and a position near the border counts as inside."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.geotag.geodesy import Position
from protocol.policy.polygons import MAX_CORNERS, make_polygon
from tests.unit.policy.packs import SQUARE

LATS, LONS = st.floats(-80, 80), st.floats(-180, 180)
POSITIONS = st.tuples(LATS, LONS)


def star(lat, lon, count, radii):
    """A polygon around a point that does not cross itself."""
    return tuple(
        (
            lat + radii[i % len(radii)] * math.cos(2 * math.pi * i / count),
            lon + radii[i % len(radii)] * math.sin(2 * math.pi * i / count),
        )
        for i in range(count)
    )


@given(st.lists(POSITIONS, max_size=12).map(tuple))
def test_any_corners_are_a_polygon_or_refused_with_a_reason(corners):
    try:
        polygon = make_polygon(corners)
    except ValueError:
        return
    assert len(polygon.corners) >= 3


@given(LATS, LONS, st.integers(3, 40), st.floats(0.01, 1))
def test_star_is_no_crossing_and_contains_its_middle(lat, lon, count, radius):
    """Also across the antimeridian."""
    corners = tuple((a, math.remainder(b, 360)) for a, b in star(lat, lon, count, [radius]))
    polygon = make_polygon(corners)
    assert polygon.may_contain(lat, lon, 0.0)
    assert not polygon.may_contain(lat, math.remainder(lon + 90, 360), 1_000)


@pytest.mark.parametrize(
    ("corners", "words"),
    [
        (((0, 0), (1, 1), (1, 0), (0, 1)), "crosses itself"),
        (((0, 0), (0, 2), (0, 1)), "runs back over itself"),
        (((0, 0), (0, 2), (1, 1), (0, 1)), "crosses itself|runs back"),
        (((0, 0), (0, 1), (0, 1), (1, 1)), "is repeated"),
        (((0, 0), (0, 1)), "at least 3 corners"),
        ((), "at least 3 corners"),
        (((0, 0), (0, 1), (0, 0)), "at least 3 corners"),
        (((0, 0), (0, 100), (1, -90), (1, -91)), "spans half the Earth"),
        (tuple((math.cos(i / 50), math.sin(i / 50)) for i in range(300)), "at most 256 corners"),
    ],
)
def test_what_is_no_polygon_is_refused(corners, words):
    with pytest.raises(ValueError, match=words):
        make_polygon(corners)


@pytest.mark.parametrize("start", range(4))
@pytest.mark.parametrize("step", [1, -1])
def test_crossing_is_found_from_every_corner_and_in_both_directions(start, step):
    bow = [(0.0, 0.0), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0)]
    turned = [bow[(start + step * i) % 4] for i in range(4)]
    with pytest.raises(ValueError, match="crosses itself"):
        make_polygon(tuple(turned))


def test_closed_ring_of_geojson_is_accepted():
    assert make_polygon((*SQUARE, SQUARE[0])) == make_polygon(SQUARE)


def test_largest_polygon_is_accepted():
    assert len(make_polygon(star(45, -100, MAX_CORNERS, [0.1])).corners) == MAX_CORNERS


@pytest.mark.parametrize(
    ("lat", "lon", "error", "may", "surely"),
    [
        (45.005, -99.995, 5, True, True),
        (45.005, -99.995, 600, True, False),
        (45.0101, -99.995, 5, False, False),
        (45.0101, -99.995, 20, True, False),
        (45.0099, -99.995, 20, True, False),
        (-45.005, -99.995, 5, False, False),
        (45.005, 80.005, 5, False, False),
        (50, -100, math.inf, True, False),
    ],
)
def test_square_with_error_bounds(lat, lon, error, may, surely):
    square = make_polygon(SQUARE)
    assert (square.may_contain(lat, lon, error), square.surely_contains(lat, lon, error)) == (may, surely)


def test_fence_across_the_antimeridian():
    fence = make_polygon(((10, 179.9), (10, -179.9), (10.2, -179.9), (10.2, 179.9)))
    assert fence.surely_contains(10.1, 179.95, 10)
    assert fence.surely_contains(10.1, -179.95, 10)
    assert not fence.may_contain(10.1, 179.8, 10)
    assert not fence.may_contain(10.1, 0, 10)


@given(st.floats(0, 360), st.floats(1, 5_000), st.floats(0, 1))
def test_every_position_that_can_be_inside_may_be_inside(course, error, share):
    """A true position in the square is never missed, whatever its measured one within the error bound."""
    square = make_polygon(SQUARE)
    inside = Position(45.0 + 0.01 * share, -99.995)
    measured = inside.moved(course, error * 0.999)
    assert square.may_contain(measured.lat_deg, measured.lon_deg, error)


@given(st.floats(0, 360), st.floats(1, 400), LATS, LONS)
def test_surely_inside_means_all_around_is_inside(course, error, lat, lon):
    fence = make_polygon(tuple((a, math.remainder(b, 360)) for a, b in star(lat, lon, 12, [0.02])))
    if fence.surely_contains(lat, lon, error):
        there = Position(lat, lon).moved(course, error * 0.98)
        assert fence.may_contain(there.lat_deg, there.lon_deg, 0.0)
