"""What a map shows: reads in a part of it, hits, and where units are; each question is audited."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from protocol.wire.records.read import Read
from station.query.clusters import Cluster, cell_e7, clusters_of
from station.query.ledger import LedgerQuery
from station.store.hit_search import HitSearch
from station.store.map_search import MapWindow, PlacedReads
from station.store.search import Box

if TYPE_CHECKING:
    from collections.abc import Callable

    from station.asker import Asker
    from station.query.places import UnitPlace, UnitPlaces
    from station.query.stored import StoredRecord
    from station.store import Store
    from station.store.hit_search import HitState

MAX_READS = 2_000
"""The latest ones in view; more would only be a larger number on a cluster."""
MAX_POINTS = 250
"""Up to so many reads are shown one by one."""
MAX_HITS = 500
_FOLLOWED_HITS = 200
_RECENT_US = 86_400_000_000
_E7 = 10**7
_DATE_LINE = 180 * _E7


@dataclass(frozen=True, slots=True)
class MapRead:
    """One read on a map."""

    unit: str
    record_id: bytes
    made_us: int
    lat_deg: float
    lon_deg: float
    error_m: float | None
    text: str
    region: str
    confidence: float


@dataclass(frozen=True, slots=True)
class MapReads:
    """Reads in a part of a map: one by one if they are few, otherwise clusters."""

    reads: list[MapRead]
    clusters: list[Cluster]
    total: int
    complete_since_us: int | None
    """Reads before this time are left out; None if there are no others."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """A part of a map in degrees; ``west`` may be east of ``east``, across the 180th meridian."""

    south: float
    west: float
    north: float
    east: float

    def boxes(self) -> tuple[Box, ...]:
        """Return it as the store has it."""
        south, west, north, east = (round(deg * _E7) for deg in (self.south, self.west, self.north, self.east))
        if west <= east:
            return (Box(south, west, north, east),)
        return Box(south, west, north, _DATE_LINE), Box(south, -_DATE_LINE, north, east)

    def __str__(self) -> str:
        return f"{self.south:.6f},{self.west:.6f},{self.north:.6f},{self.east:.6f}"


class MapQuery(LedgerQuery):
    """Queries of one person about places."""

    def __init__(self, store: Store, asker: Asker, clock_us: Callable[[], int], places: UnitPlaces) -> None:
        """``places`` is shared by everybody who asks."""
        super().__init__(store, asker, clock_us)
        self._places = places

    def map_reads(self, bounds: Bounds, *, since_us: int, until_us: int) -> MapReads:
        """Return the latest reads of a part of a map; clusters do not count.  Raises PurposeError and BoundError."""
        self._refuse_without_why()
        window = MapWindow(bounds.boxes(), since_us, until_us)
        found = self._reads_in(window)
        total = len(found.reads)
        is_many = total > MAX_POINTS
        records = [] if is_many else self._visible(self._store.records_of(found.reads))
        self._note_reads(
            "show map of reads", records, total, area=str(bounds), since_us=since_us, until_us=until_us
        )
        if is_many:
            clusters = clusters_of(found.reads, cell_e7(window.boxes))
            return MapReads([], clusters, total, found.complete_since_us)
        reads = [read for record in records if (read := _map_read(record)) is not None]
        return MapReads(reads, [], total, found.complete_since_us)

    def map_hits(self, bounds: Bounds, *, since_us: int, until_us: int) -> list[HitState]:
        """Return the latest hits of a part of a map, at most ``MAX_HITS``; without plates, so no purpose is needed."""
        search = HitSearch(since_us=since_us, until_us=until_us, boxes=bounds.boxes())
        found = self._find_hits(search, limit=MAX_HITS)
        self._note("show map of hits", len(found), area=str(bounds), since_us=since_us, until_us=until_us)
        return found

    def unit_places(self) -> list[UnitPlace]:
        """Return where each unit was last, by its records of the last day."""
        found = self.look()
        self._note("show places of units", len(found))
        return found

    def follow(self, *, hits: bool) -> Following:
        """Begin to follow units, and hits if ``hits``; an entry is made now, and another one when it ends."""
        self._note("follow map begins", 0)
        return Following(self, hits=hits)

    def look(self) -> list[UnitPlace]:
        """For :class:`Following`, which has an entry."""
        found = self._places.look(self._asker.scope)
        return found if self._zones.is_none else [place for place in found if self._is_near(place)]

    def latest_hits(self) -> list[HitState]:
        """For :class:`Following`, which has an entry."""
        search = HitSearch(since_us=self._clock_us() - _RECENT_US)
        return self._find_hits(search, limit=_FOLLOWED_HITS)

    def _reads_in(self, window: MapWindow) -> PlacedReads:
        scope = self._asker.scope
        if self._zones.is_none:
            return self._store.reads_in(window, limit=MAX_READS, scope=scope)
        inside = replace(window, boxes=self._zones.boxes(window.boxes))
        if not inside.boxes:
            return PlacedReads([], None)
        found = self._store.reads_in(inside, limit=MAX_READS, scope=scope)
        # Where two zones overlap, a read is found twice.
        reads = {(one.unit, one.record_id): one for one in found.reads if self._zones.has(one.lat_e7, one.lon_e7)}
        return PlacedReads(list(reads.values()), found.complete_since_us)

    def _is_near(self, place: UnitPlace) -> bool:
        if place.lat_deg is None or place.lon_deg is None:
            return False
        return self._zones.has(round(place.lat_deg * _E7), round(place.lon_deg * _E7))

    def end_following(self, count: int) -> None:
        """For :class:`Following`."""
        self._note("follow map", count)


class Following:
    """A map that follows units and hits."""

    def __init__(self, query: MapQuery, *, hits: bool) -> None:
        self._query = query
        self._with_hits = hits
        self._units: list[UnitPlace] | None = None
        self._hits: list[HitState] | None = None
        self._count = 0

    def step(self) -> tuple[list[UnitPlace], bool] | None:
        """Return the units, and whether hits have changed; None if nothing has since the last step."""
        units = self._query.look()
        hits = self._query.latest_hits() if self._with_hits else []
        first = self._units is None
        changed = (units != self._units, hits != self._hits)
        self._units, self._hits = units, hits
        if not any(changed):
            return None
        self._count += 1
        return units, changed[1] and not first

    def close(self) -> None:
        """Record the end, with the number of updates."""
        self._query.end_following(self._count)


def _map_read(record: StoredRecord) -> MapRead | None:
    body = record.body
    if not isinstance(body, Read) or body.place.lat_deg is None or body.place.lon_deg is None:
        return None
    return MapRead(
        unit=record.unit,
        record_id=record.record_id,
        made_us=record.received_us if record.utc_us is None else record.utc_us,
        lat_deg=body.place.lat_deg,
        lon_deg=body.place.lon_deg,
        error_m=body.place.error_m,
        text=body.text,
        region=body.region,
        confidence=body.confidence_e4 / 1e4,
    )
