"""Make the outlines of the base map from two packages of npm; run once, its results are beside it.

    npm pack world-atlas@2.0.2 us-atlas@3.0.1     # unpack each into a folder of its name
    PYTHONPATH=CHECKOUT python convert.py FOLDER

Land and borders of the world are Natural Earth's at 1:50 million, those of the United States the Census Bureau's at
1:10 million; both are in the public domain.
"""  # noqa: INP001 - a program beside its results

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from station.evidence.topojson import arcs_of, polygons_of, ring_of

if TYPE_CHECKING:
    from station.evidence.topojson import Point

HERE = Path(__file__).parent
_DIGITS = 3
"""Decimals of a degree: 100 m, finer than either source."""
_MIN_RING = 4


def rounded(topology: dict[str, Any]) -> list[list[Point]]:
    """Return the arcs of a TopoJSON file; neighbouring points that round to the same are one."""
    found = []
    for arc in arcs_of(topology):
        points: list[Point] = []
        for x, y in arc:
            point = (round(x, _DIGITS), round(y, _DIGITS))
            if not points or points[-1] != point:
                points.append(point)
        found.append(points)
    return found


def land(topology: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the polygons of an object."""
    arcs = rounded(topology)
    polygons = []
    for rings in polygons_of(topology["objects"][name]):
        drawn = [points for points in (ring_of(numbers, arcs) for numbers in rings) if len(points) >= _MIN_RING]
        if drawn:
            polygons.append(drawn)
    return feature("land", {"type": "MultiPolygon", "coordinates": polygons})


def lines(kind: str, arcs: list[list[Point]], numbers: set[int]) -> dict[str, Any]:
    """Return some arcs as lines."""
    drawn = [arcs[number] for number in sorted(numbers) if len(arcs[number]) > 1]
    return feature(kind, {"type": "MultiLineString", "coordinates": drawn})


def shared(topology: dict[str, Any], name: str) -> set[int]:
    """Return the arcs between two shapes of an object: its inner borders."""
    users: dict[int, set[int]] = defaultdict(set)
    for number, geometry in enumerate(topology["objects"][name]["geometries"]):
        for rings in polygons_of(geometry):
            for arc in (arc for numbers in rings for arc in numbers):
                users[arc if arc >= 0 else ~arc].add(number)
    return {arc for arc, found in users.items() if len(found) > 1}


def feature(kind: str, geometry: dict[str, Any]) -> dict[str, Any]:
    """One of a collection."""
    return {"type": "Feature", "properties": {"kind": kind}, "geometry": geometry}


def write(name: str, *features: dict[str, Any]) -> None:
    """Write a collection."""
    text = json.dumps({"type": "FeatureCollection", "features": features}, separators=(",", ":"))
    (HERE / name).write_text(text + "\n", encoding="utf-8")


def main(folder: Path) -> None:
    """Write ``world.json`` and ``us.json``."""
    world = json.loads((folder / "world-atlas" / "countries-50m.json").read_text(encoding="utf-8"))
    counties = json.loads((folder / "us-atlas" / "counties-10m.json").read_text(encoding="utf-8"))
    write("world.json", land(world, "land"), lines("country", rounded(world), shared(world, "countries")))
    states = shared(counties, "states")
    arcs = rounded(counties)
    write(
        "us.json",
        land(counties, "nation"),
        lines("state", arcs, states),
        lines("county", arcs, shared(counties, "counties") - states),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
