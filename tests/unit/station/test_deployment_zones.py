"""Zones: crossing ones refused, overlaps told, GeoJSON of strangers."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.deployment.model import Zone
from station.deployment.zones import ZoneIndex, make_zone, overlaps, zones_as_geojson, zones_from_geojson
from station.errors import DeploymentError


def box(name, south, west, north, east):
    return make_zone(name, name, ((south, west), (south, east), (north, east), (north, west)))


def test_zone_that_crosses_itself_is_refused_with_the_reason():
    with pytest.raises(DeploymentError, match="zone 'bow': it crosses itself"):
        make_zone("bow", "Bow", ((0, 0), (1, 1), (1, 0), (0, 1)))


@pytest.mark.parametrize(
    ("corners", "said"),
    [
        (((0, 0), (1, 1)), "at least 3 corners"),
        (((0, 0), (0, 1), (91, 0)), "is no position"),
        (((0, 0), (0, float("nan")), (1, 0)), "is no position"),
        (((0, -100), (0, 0), (1, 100)), "half the Earth"),
        (((0, 0), (0, 1), (0, 0.5)), "runs back over itself"),
    ],
)
def test_impossible_zones_are_refused(corners, said):
    with pytest.raises(DeploymentError, match=said):
        make_zone("z", "Z", corners)


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ((0, 0, 1, 1), (0.5, 0.5, 2, 2), True),
        ((0, 0, 1, 2), (0, 1, 1, 3), True),  # edges on the same parallels
        ((0, 0, 1, 1), (0, 0, 1, 1), True),
        ((0, 0, 3, 3), (1, 1, 2, 2), True),  # one inside the other
        ((0, 0, 1, 1), (0, 1, 1, 2), False),  # a common border
        ((0, 0, 1, 1), (1, 1, 2, 2), False),  # a common corner
        ((0, 0, 1, 1), (5, 5, 6, 6), False),
    ],
)
def test_overlap_is_told_and_a_common_border_is_none(one, other, meet):
    zones = [box("a", *one), box("b", *other)]
    assert overlaps(zones) == ([("a", "b")] if meet else [])
    assert overlaps(reversed(zones)) == overlaps(zones)


def test_position_in_two_zones_is_in_both_and_without_one_in_none():
    index = ZoneIndex([box("a", 0, 0, 1, 1), box("b", 0.5, 0.5, 2, 2)])
    assert index.at(7_500_000, 7_500_000) == ("a", "b")
    assert index.at(2_500_000, 2_500_000) == ("a",)
    assert index.at(None, None) == ()


def test_geojson_comes_back_as_it_went():
    zones = [box("a", 0, 0, 1, 1), box("b", 0.5, 0.5, 2, 2)]
    assert zones_from_geojson(json.dumps(zones_as_geojson(zones))) == zones


def feature(**other):
    ring = [[0, 0], [1, 0], [1, 1], [0, 0]]
    return {
        "type": "Feature",
        "properties": {"id": "a", "name": "A"},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        **other,
    }


@pytest.mark.parametrize(
    ("features", "said"),
    [
        ([feature(properties={})], "feature 1 has no property `id`"),
        ([feature(), feature()], "zone 'a' is in the file twice"),
        ([feature(geometry={"type": "MultiPolygon", "coordinates": []})], "must be a Polygon without holes"),
        ([feature(geometry={"type": "Polygon", "coordinates": [[[0, 0]], [[1, 1]]]})], "without holes"),
        ([feature(geometry={"type": "Polygon", "coordinates": [[["0", 0]]]})], "pair of longitude and latitude"),
        ([feature(properties={"id": "<script>" * 20})], "id: String should have at most"),
        ([feature(properties={"id": "a\u202eb"})], "id: String should match"),
        ([5], "feature 1 is not an object"),
        ([feature()] * 256, "256 features are too many"),
    ],
)
def test_bad_geojson_is_refused_naming_the_feature(features, said):
    with pytest.raises(DeploymentError, match=said):
        zones_from_geojson(json.dumps({"type": "FeatureCollection", "features": features}))


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '{"features": 5}', b"\xff\xfe"])
def test_what_is_no_geojson_is_refused(text):
    with pytest.raises(DeploymentError):
        zones_from_geojson(text)


@given(st.recursive(st.none() | st.floats() | st.text(max_size=5), lambda more: st.lists(more, max_size=4)))
def test_any_coordinates_are_zones_or_refused(coordinates):
    told = {"features": [feature(geometry={"type": "Polygon", "coordinates": coordinates})]}
    try:
        found = zones_from_geojson(json.dumps(told))
    except DeploymentError:
        return
    assert all(isinstance(zone, Zone) for zone in found)
