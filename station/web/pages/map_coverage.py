"""Coverage on the map: zones with how long units were in them, and how many reads they made there."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from station.accounts.rights import Right
from station.web.deployment import asks
from station.web.errors import RefusedError
from station.web.page import PageModule
from station.web.texts import SAFE_TEXTS
from station.web.visit import Needs, Visit

router = APIRouter(dependencies=SAFE_TEXTS)
_Viewer = Annotated[Visit, Depends(Needs(Right.DEPLOYMENT, why=True))]
_MAX_US = 2**62
_Time = Annotated[int, Query(ge=-_MAX_US, le=_MAX_US)]
_HOUR_US = 3_600_000_000
_E7 = 10**7


class Covered(BaseModel):
    """What units measured in some place."""

    minutes: int
    reads: int
    distance_m: int


class ZoneCovered(Covered):
    """A zone; its corners are latitude and longitude."""

    id: str
    name: str
    corners: list[tuple[float, float]]


class CoverageOut(BaseModel):
    """Coverage of a time, in whole hours."""

    since_us: int
    until_us: int
    zones: list[ZoneCovered]
    """All of them, by name; also those in which nobody was."""
    outside: Covered
    """Outside all zones."""
    everything: Covered
    """Each place once, also where zones overlap."""


@router.get("/api/1/map/coverage", tags=["map"])
def coverage_for_map(visit: _Viewer, since_us: _Time, until_us: _Time) -> CoverageOut:
    """Minutes, reads and metres by zone; the time begins at the full hour (UTC) before ``since_us``."""
    if since_us > until_us:
        raise RefusedError(422, "invalid", "the time ends before it begins")
    query = asks(visit)
    since_us -= since_us % _HOUR_US
    sums = {
        row.name: Covered(minutes=row.located_ms // 60_000, reads=row.reads, distance_m=row.distance_m)
        for row in query.coverage(since_us, until_us)
    }
    nothing = Covered(minutes=0, reads=0, distance_m=0)
    zones = [
        ZoneCovered(
            **sums.get(zone.id, nothing).model_dump(), id=zone.id, name=zone.name,
            corners=[(lat / _E7, lon / _E7) for lat, lon in zone.corners],
        )
        for zone in sorted(query.places().resources.zones, key=lambda zone: zone.name)
    ]  # fmt: skip
    return CoverageOut(
        since_us=since_us, until_us=until_us, zones=zones, outside=sums.get("", nothing),
        everything=sums.get("*", nothing),
    )  # fmt: skip


PAGE = PageModule(router)
"""The page is that of the map."""
