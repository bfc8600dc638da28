"""Shapes that share their borders are read as rings of longitude and latitude."""

from __future__ import annotations

from station.evidence.topojson import arcs_of, polygons_of, ring_of

SQUARES = {
    "transform": {"scale": [0.5, 0.25], "translate": [-100.0, 40.0]},
    # The border between both, the rest of the western one, the rest of the eastern one.
    "arcs": [[[2, 0], [0, 4]], [[2, 4], [-2, 0], [0, -4], [2, 0]], [[2, 0], [2, 0], [0, 4], [-2, 0]]],
    "objects": {
        "states": {
            "type": "GeometryCollection",
            "geometries": [
                {"type": "Polygon", "arcs": [[0, 1]]},
                {"type": "MultiPolygon", "arcs": [[[-1, 2]]]},
                {"type": None},
                {"type": "Point", "coordinates": [0, 0]},
            ],
        }
    },
}


def test_neighbours_are_whole_rings_with_one_border():
    """Which one of them follows backwards."""
    arcs = arcs_of(SQUARES)
    west, east = [
        ring_of(numbers, arcs) for rings in polygons_of(SQUARES["objects"]["states"]) for numbers in rings
    ]
    assert west == [(-99.0, 40.0), (-99.0, 41.0), (-100.0, 41.0), (-100.0, 40.0), (-99.0, 40.0)]
    assert east == [(-99.0, 41.0), (-99.0, 40.0), (-98.0, 40.0), (-98.0, 41.0), (-99.0, 41.0)]
