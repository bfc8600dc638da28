"""Puts reads together that lie close to each other on a map."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from station.store.map_search import PlacedRead
    from station.store.search import Box

_E7 = 10**7
_CELLS_ACROSS = 20
"""Or down to half as many, since the size of a cell is a power of two."""
_LON_TURN = 360 * _E7


@dataclass(frozen=True, slots=True)
class Cluster:
    """Reads of one cell of a grid."""

    lat_deg: float
    lon_deg: float
    count: int
    first_us: int
    """Time of its earliest read, UTC."""
    last_us: int


def cell_e7(boxes: Sequence[Box]) -> int:
    """Return the size of a cell in 1e-7 degrees: a power of two, so that cells stay where they are when a map moves."""
    height = max(box.north - box.south for box in boxes)
    width = sum((box.east - box.west) % _LON_TURN for box in boxes)
    wanted = max(1, max(height, width) // _CELLS_ACROSS)
    return 1 << (wanted - 1).bit_length()


def clusters_of(reads: Iterable[PlacedRead], size_e7: int) -> list[Cluster]:
    """Return the clusters of reads, the largest first; each is placed at the mean of its reads."""
    cells: dict[tuple[int, int], list[PlacedRead]] = defaultdict(list)
    for read in reads:
        cells[read.lat_e7 // size_e7, read.lon_e7 // size_e7].append(read)
    found = [_cluster(part) for part in cells.values()]
    return sorted(found, key=lambda cluster: (-cluster.count, cluster.lat_deg, cluster.lon_deg))


def _cluster(reads: Sequence[PlacedRead]) -> Cluster:
    times = [read.made_us for read in reads]
    lat = sum(read.lat_e7 for read in reads) / len(reads) / _E7
    lon = sum(read.lon_e7 for read in reads) / len(reads) / _E7
    return Cluster(round(lat, 7), round(lon, 7), len(reads), min(times), max(times))
