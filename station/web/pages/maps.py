"""The map: units and leads live, reads for those who have said why, areas that are handed over to the search."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Form, Query
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, Response, StreamingResponse

from station.accounts.rights import Right
from station.query.maps import Bounds, MapQuery
from station.query.places import UnitPlace, UnitPlaces
from station.store.hit_state import UNDECIDED
from station.web.errors import RefusedError
from station.web.guard import CSP
from station.web.page import NavigationEntry, PageModule
from station.web.pages.search import keep_search
from station.web.paths import hit_path, read_path, unit_path
from station.web.search_body import SearchBody, numbers_of
from station.web.texts import SAFE_TEXTS
from station.web.visit import Needs, Visit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from station.query.maps import Following, MapRead
    from station.store.hit_search import HitState

router = APIRouter(dependencies=SAFE_TEXTS)
_Viewer = Annotated[Visit, Depends(Needs(Right.MAP))]
_Follower = Annotated[Visit, Depends(Needs(Right.MAP, used=False))]
_HitViewer = Annotated[Visit, Depends(Needs(Right.HITS))]
_ReadViewer = Annotated[Visit, Depends(Needs(Right.SEARCH, why=True))]
PERIODS = (
    (3_600, "last hour"),
    (86_400, "last 24 hours"),
    (7 * 86_400, "last 7 days"),
    (30 * 86_400, "last 30 days"),
)
"""Seconds, and what they are called."""
STEP_S = 4.0
MAX_STEPS = 150
"""A stream ends after ten minutes, and the page opens another."""
MAX_STREAMS = 200
MAX_STREAMS_OF_ONE = 8
"""One person, or a program in their name, does not take all."""
_MAP_CSP = CSP.replace("connect-src", "worker-src 'self'; connect-src")
_MAX_US = 2**62
_MAX_SECONDS = 10**9
_SOMEWHERE = (39.0, -98.0, 3.4)
"""The middle of the United States, for a station without a position."""
_NEAR_ZOOM = 11


class UnitOut(BaseModel):
    """Where a unit was last."""

    unit: str
    state: str
    reason: str
    seen_us: int | None
    utc_us: int | None
    lat: float | None
    lon: float | None
    error_m: float | None
    source: str
    speed_mps: float | None
    course_deg: float | None
    path: str


class UnitsOut(BaseModel):
    """All units."""

    now_us: int
    units: list[UnitOut]


class HitOut(BaseModel):
    """A lead on the map, without its plate."""

    unit: str
    hit_id: str
    made_us: int
    lat: float
    lon: float
    error_m: float | None
    list_id: str
    list_name: str
    list_owner: str
    priority: str
    state: str
    is_open: bool
    path: str


class HitsOut(BaseModel):
    """Leads in a part of the map, the latest first."""

    hits: list[HitOut]


class ReadOut(BaseModel):
    """A read on the map."""

    unit: str
    record_id: str
    made_us: int
    lat: float
    lon: float
    error_m: float | None
    text: str
    region: str
    confidence: float
    path: str


class ClusterOut(BaseModel):
    """Reads close to each other."""

    lat: float
    lon: float
    count: int
    first_us: int
    last_us: int


class ReadsOut(BaseModel):
    """Reads in a part of the map: one by one, or in clusters if they are many."""

    reads: list[ReadOut]
    clusters: list[ClusterOut]
    total: int
    complete_since_us: int | None
    """Earlier ones are left out; null if there are none."""


class View(BaseModel):
    """A part of the map, and a time."""

    south: Annotated[float, Query(ge=-90, le=90)]
    west: Annotated[float, Query(ge=-180, le=180)]
    north: Annotated[float, Query(ge=-90, le=90)]
    east: Annotated[float, Query(ge=-180, le=180)]
    since_us: Annotated[int, Query(ge=-_MAX_US, le=_MAX_US)]
    until_us: Annotated[int, Query(ge=-_MAX_US, le=_MAX_US)]

    def bounds(self) -> Bounds:
        """As the query takes it.  Raises RefusedError for a part without height."""
        if self.south > self.north:
            raise RefusedError(422, "invalid", "south is north of north")
        return Bounds(self.south, self.west, self.north, self.east)


_View = Annotated[View, Query()]


@router.get("/map", include_in_schema=False)
def show_map(visit: _Viewer) -> Response:
    """The page; what it shows is asked for by its script."""
    lat, lon, zoom = _middle(_query(visit).unit_places())
    return visit.page(
        "map.html", headers={"content-security-policy": _MAP_CSP}, periods=PERIODS, lat=lat, lon=lon, zoom=zoom,
        may_hits=visit.may(Right.HITS), may_reads=visit.may(Right.SEARCH), may_units=visit.may(Right.UNITS),
        may_coverage=visit.may(Right.DEPLOYMENT), has_tiles=visit.desk.settings.map_tiles is not None,
    )  # fmt: skip


@router.post("/map/search", include_in_schema=False)
def search_area(
    visit: _ReadViewer,
    area: Annotated[str, Form(max_length=8192)],
    seconds: Annotated[int, Form(ge=1, le=_MAX_SECONDS)] = 86_400,
) -> Response:
    """Hand an area that was drawn to the search, with the period of the map."""
    since = datetime.fromtimestamp(visit.desk.clock_us() // 1_000_000 - seconds, UTC)
    try:
        numbers = numbers_of(area)
        if len(numbers) == 1:
            lat, lon, radius = numbers[0]
            body = SearchBody(lat_deg=lat, lon_deg=lon, radius_m=radius, since=since)
        else:
            body = SearchBody(polygon=[(lat, lon) for lat, lon in numbers], since=since)
        body.to_search()
    except ValueError as error:
        raise RefusedError(400, "area", "this is no area: draw it again") from error
    return visit.redirect(f"/search/{keep_search(visit, body)}")


@router.get("/map/tiles.pmtiles", include_in_schema=False)
def tiles(visit: _Viewer) -> Response:
    """The agency's own map file, in the ranges that a browser asks for."""
    path = visit.desk.settings.map_tiles
    if path is None or not path.is_file():
        raise RefusedError(404, "unknown", "this station has no map file")
    return FileResponse(
        path, media_type="application/octet-stream", headers={"cache-control": "private, max-age=3600"}
    )


@router.get("/api/1/map/units", tags=["map"])
def units_for_programs(visit: _Viewer) -> UnitsOut:
    """Where each unit was last, by its reads and track points of the last day."""
    return UnitsOut(now_us=visit.desk.clock_us(), units=[_unit(place) for place in _query(visit).unit_places()])


@router.get("/api/1/map/hits", tags=["map"])
def hits_in_view(visit: _HitViewer, view: _View) -> HitsOut:
    """Return the latest leads in a part of the map."""
    found = _query(visit).map_hits(view.bounds(), since_us=view.since_us, until_us=view.until_us)
    return HitsOut(hits=[_hit(hit) for hit in found])


@router.get("/api/1/map/reads", tags=["map"])
def reads_in_view(visit: _ReadViewer, view: _View) -> ReadsOut:
    """Return the latest reads in a part of the map."""
    found = _query(visit).map_reads(view.bounds(), since_us=view.since_us, until_us=view.until_us)
    return ReadsOut(
        reads=[_read(read) for read in found.reads],
        clusters=[
            ClusterOut(lat=c.lat_deg, lon=c.lon_deg, count=c.count, first_us=c.first_us, last_us=c.last_us)
            for c in found.clusters
        ],
        total=found.total,
        complete_since_us=found.complete_since_us,
    )


@router.get("/api/1/map/live", include_in_schema=False)
def follow(visit: _Follower) -> Response:
    """Units as they move, as server-sent events; ``hits_changed`` says that leads are to be asked for again.

    It ends with the session, which it does not keep.
    """
    places = _places(visit)
    if places.followers >= MAX_STREAMS or places.followers_of(visit.name) >= MAX_STREAMS_OF_ONE:
        raise RefusedError(503, "busy", "too many maps follow the units: close one")
    following = _query(visit).follow(hits=visit.may(Right.HITS))
    stream = _stream(following, visit, places)
    return StreamingResponse(stream, media_type="text/event-stream", headers={"x-accel-buffering": "no"})


async def _stream(following: Following, visit: Visit, places: UnitPlaces) -> AsyncIterator[str]:
    places.enter(visit.name)
    try:
        for _ in range(MAX_STEPS):
            if not await run_in_threadpool(visit.still_may, Right.MAP):
                break
            changed = await run_in_threadpool(following.step)
            now_us = visit.desk.clock_us()
            if changed is None:
                yield _event("still", {"now_us": now_us})
            else:
                units, hits_changed = changed
                shown = [_unit(place).model_dump() for place in units]
                yield _event("update", {"now_us": now_us, "units": shown, "hits_changed": hits_changed})
            await asyncio.sleep(STEP_S)
    finally:
        places.leave(visit.name)
        # In a thread, as it waits for the database: nobody else's request may wait with it.  Also if the browser left.
        await asyncio.shield(asyncio.to_thread(following.close))


def _event(name: str, values: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(values)}\n\n"


def _places(visit: Visit) -> UnitPlaces:
    """Shared by all requests of the application."""
    state = visit.request.app.state
    if not hasattr(state, "unit_places"):
        state.unit_places = UnitPlaces(visit.desk.store, visit.desk.clock_us)
    places: UnitPlaces = state.unit_places
    return places


def _query(visit: Visit) -> MapQuery:
    return MapQuery(visit.desk.store, visit.asker, visit.desk.clock_us, _places(visit))


def _middle(places: list[UnitPlace]) -> tuple[float, float, float]:
    """Latitude, longitude and zoom at which a map begins."""
    found = [(place.lat_deg, place.lon_deg) for place in places if place.lat_deg is not None]
    if not found:
        return _SOMEWHERE
    return median(lat for lat, _ in found), median(lon for _, lon in found if lon is not None), _NEAR_ZOOM


def _unit(place: UnitPlace) -> UnitOut:
    return UnitOut(
        unit=place.unit, state=place.state, reason=place.reason, seen_us=place.seen_us, utc_us=place.utc_us,
        lat=place.lat_deg, lon=place.lon_deg, error_m=place.error_m, source=place.source, speed_mps=place.speed_mps,
        course_deg=place.course_deg, path=unit_path(place.unit),
    )  # fmt: skip


def _hit(hit: HitState) -> HitOut:
    return HitOut(
        unit=hit.unit, hit_id=hit.hit_id.hex(), made_us=hit.made_us, lat=(hit.lat_e7 or 0) / 1e7,
        lon=(hit.lon_e7 or 0) / 1e7, error_m=None if hit.error_cm is None else hit.error_cm / 100, list_id=hit.list_id,
        list_name=hit.list_name, list_owner=hit.list_owner, priority=hit.priority, state=hit.state,
        is_open=hit.state in UNDECIDED, path=hit_path(hit.unit, hit.hit_id),
    )  # fmt: skip


def _read(read: MapRead) -> ReadOut:
    return ReadOut(
        unit=read.unit, record_id=read.record_id.hex(), made_us=read.made_us, lat=read.lat_deg, lon=read.lon_deg,
        error_m=read.error_m, text=read.text, region=read.region, confidence=read.confidence,
        path=read_path(read.unit, read.record_id),
    )  # fmt: skip


PAGE = PageModule(
    router,
    (NavigationEntry("Map", "/map", Right.MAP, "Units and leads live, reads by place, areas to search."),),
)
