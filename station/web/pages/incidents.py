"""Incidents: counted, on a heat map, by day, one by one; files for other programs."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query
from starlette.responses import HTMLResponse, Response

from station.accounts.rights import Right
from station.deployment.times import local
from station.errors import DeploymentError
from station.query import deployment_export as export
from station.web.deployment import asks, period_of, picture_of
from station.web.errors import RefusedError
from station.web.page import NavigationEntry, PageModule
from station.web.pages.duty import PRINTED, csv_file
from station.web.texts import SAFE_TEXTS
from station.web.visit import Needs, Visit

router = APIRouter(dependencies=SAFE_TEXTS)
_Reader = Annotated[Visit, Depends(Needs(Right.INCIDENTS, why=True))]
_E7 = 10**7
_ID_HEX = 32


@router.get("/incidents", include_in_schema=False)
def incidents(
    visit: _Reader,
    *,
    first: str = "",
    days: int = 7,
    category: Annotated[str, Query(max_length=64)] = "",
    zone: Annotated[str, Query(max_length=64)] = "",
    outcome: Annotated[str, Query(max_length=64)] = "",
    cell_m: float = 1000,
    form: str = "page",
) -> Response:
    """The incidents of some days; ``form`` is ``page``, ``csv``, ``geojson``, ``heat-map`` or ``print``."""
    query = asks(visit)
    settings = query.settings()
    period = period_of(visit, settings, first, days)
    try:
        report = query.incidents(
            period.since_us, period.until_us, category=category or None, zone=zone or None, outcome=outcome or None,
            cell_m=cell_m,
        )  # fmt: skip
    except DeploymentError as error:
        raise RefusedError(400, "cell", str(error)) from error
    match form:
        case "csv":
            return csv_file("incidents", lambda out: export.incidents_csv(report, settings, out))
        case "geojson":
            return Response(export.incidents_geojson(report, settings), media_type="application/geo+json")
        case "heat-map":
            return Response(export.heat_map_geojson(report), media_type="application/geo+json")
        case "print":
            return HTMLResponse(export.incidents_html(report, settings, period.name), headers=PRINTED)
    zones = [(one, [(lat / _E7, lon / _E7) for lat, lon in one.corners]) for one in query.places().resources.zones]
    points = [
        (row.lat_deg, row.lon_deg) for row in report.rows if row.lat_deg is not None and row.lon_deg is not None
    ]
    asked = {
        "first": str(period.first), "days": period.days, "category": category, "zone": zone, "outcome": outcome,
        "cell_m": cell_m,
    }  # fmt: skip
    return visit.page(
        "incidents.html", period=period, report=report, category=category, zone=zone, outcome=outcome, zones=zones,
        settings=settings, drawing=picture_of(points), most=max((cell.count for cell in report.cells), default=1),
        rows=[(local(row.when_us, settings.zone), row) for row in reversed(report.rows)][:200], asked=urlencode(asked),
        cell_m=cell_m,
    )  # fmt: skip


@router.get("/incidents/{incident_id}", include_in_schema=False)
def incident(visit: _Reader, incident_id: str) -> Response:
    """One incident with its reads and hits; a deleted one stays a reference that says so."""
    try:
        name = bytes.fromhex(incident_id) if len(incident_id) == _ID_HEX else b""
    except ValueError:
        name = b""
    query, may_plates = asks(visit), visit.may(Right.SEARCH)
    found = query.incident(name, plates=may_plates) if name else None
    if found is None:
        raise RefusedError(404, "incident", "there is no such incident, or it was deleted")
    at = local(found.row.when_us, query.settings().zone)
    return visit.page("incident.html", incident=found, at=at, may_plates=may_plates)


PAGE = PageModule(
    router,
    (NavigationEntry("Incidents", "/incidents", Right.INCIDENTS, "What happened, where, and what came of it."),),
)
