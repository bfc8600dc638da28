"""What became of the plan: hours, coverage, where a unit was, and a person's own shifts."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends
from starlette.responses import HTMLResponse, Response

from station.accounts.rights import Right
from station.deployment.hours import HoursBy
from station.deployment.times import local
from station.errors import DeploymentError
from station.query import deployment_export as export
from station.web.deployment import asks, period_of, picture_of
from station.web.errors import RefusedError
from station.web.page import NavigationEntry, PageModule
from station.web.texts import SAFE_TEXTS
from station.web.visit import Needs, Visit

if TYPE_CHECKING:
    from collections.abc import Callable

router = APIRouter(dependencies=SAFE_TEXTS)
_Reader = Annotated[Visit, Depends(Needs(Right.DEPLOYMENT, why=True))]
_Self = Annotated[Visit, Depends(Needs(Right.OWN_SHIFTS))]
_COVERAGE = ("zone", "unit", "day")
_E7 = 10**7


@router.get("/deployment/hours", include_in_schema=False)
def hours(
    visit: _Reader, first: str = "", days: int = 7, by: HoursBy = HoursBy.PERSON, form: str = "page"
) -> Response:
    """Planned and actual hours by activity; ``form`` is ``page``, ``csv`` or ``print``."""
    query = asks(visit)
    period = period_of(visit, query.settings(), first, days)
    rows = query.hours(period.since_us, period.until_us, by)
    if form == "csv":
        return csv_file("hours", lambda out: export.hours_csv(rows, out))
    if form == "print":
        return HTMLResponse(export.hours_html(rows, period.name, by.value), headers=PRINTED)
    activities = sorted({name for row in rows for name in row.activities})
    return visit.page(
        "hours.html",
        period=period,
        rows=rows,
        by=by.value,
        choices=[one.value for one in HoursBy],
        activities=activities,
    )


@router.get("/deployment/coverage", include_in_schema=False)
def coverage(visit: _Reader, first: str = "", days: int = 7, by: str = "zone", form: str = "page") -> Response:
    """Kilometres, minutes and reads; ``form`` is ``page``, ``csv``, ``geojson`` or ``print``."""
    if by not in _COVERAGE:
        raise RefusedError(400, "by", "coverage is by zone, unit or day")
    query = asks(visit)
    period = period_of(visit, query.settings(), first, days)
    rows = query.coverage(period.since_us, period.until_us, by)
    resources = query.places().resources
    match form:
        case "csv":
            return csv_file("coverage", lambda out: export.coverage_csv(rows, out))
        case "geojson":
            return Response(export.coverage_geojson(rows, resources), media_type="application/geo+json")
        case "print":
            return HTMLResponse(export.coverage_html(rows, period.name, by), headers=PRINTED)
    sums = {row.name: row for row in rows}
    most = max((row.located_ms for row in rows if row.name not in {"*", ""}), default=1) or 1
    shapes = [
        (zone, [(lat / _E7, lon / _E7) for lat, lon in zone.corners], sums.get(zone.id))
        for zone in resources.zones
    ]
    drawing = picture_of([corner for _, corners, _ in shapes for corner in corners]) if by == "zone" else None
    return visit.page(
        "coverage.html",
        period=period,
        rows=sorted(rows, key=lambda row: ("", "*").index(row.name) if row.name in {"", "*"} else -1),
        by=by,
        choices=_COVERAGE,
        shapes=shapes,
        drawing=drawing,
        most=most,
    )


@router.get("/deployment/where", include_in_schema=False)
def where(visit: _Reader, unit: str = "", first: str = "", days: int = 1) -> Response:
    """Where a unit was."""
    query = asks(visit)
    settings = query.settings()
    period = period_of(visit, settings, first, days)
    vehicles = [one.unit for one in query.places().resources.assets if one.unit]
    message, stays = "", []
    if unit:
        try:
            stays = query.where(unit, period.since_us, period.until_us)
        except DeploymentError as error:
            message = str(error)
    zone = settings.zone
    rows = [(local(one.from_us, zone), local(one.until_us, zone), one) for one in stays]
    track = [(one.lat_deg, one.lon_deg) for one in stays if one.lat_deg is not None and one.lon_deg is not None]
    return visit.page(
        "where.html", period=period, unit=unit, units=vehicles, rows=rows, message=message, track=track,
        drawing=picture_of(track),
    )  # fmt: skip


@router.get("/deployment/own", include_in_schema=False)
def own_shifts(visit: _Self, first: str = "", days: int = 14) -> Response:
    """What the person is planned for and has worked."""
    query = asks(visit)
    settings = query.settings()
    period = period_of(visit, settings, first, days)
    planned, worked = query.own_shifts(period.since_us, period.until_us)
    zone = settings.zone
    return visit.page(
        "own_shifts.html", period=period,
        planned=[(local(one.starts_us, zone), local(one.ends_us, zone), one) for one in planned],
        worked=[(local(one.when_us, zone), one) for one in worked],
    )  # fmt: skip


PRINTED = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}
"""The page that prints has its style in itself."""


def csv_file(name: str, write: Callable[[io.StringIO], None]) -> Response:
    """A file to download."""
    out = io.StringIO(newline="")
    write(out)
    headers = {"content-disposition": f'attachment; filename="{name}.csv"'}
    return Response(out.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


PAGE = PageModule(
    router,
    (
        NavigationEntry(
            "Hours", "/deployment/hours", Right.DEPLOYMENT, "Hours as planned and worked, by activity."
        ),
        NavigationEntry(
            "Coverage", "/deployment/coverage", Right.DEPLOYMENT, "Kilometres, minutes and reads by zone."
        ),
        NavigationEntry("Whereabouts", "/deployment/where", Right.DEPLOYMENT, "Which unit was where when."),
        NavigationEntry(
            "Own shifts", "/deployment/own", Right.OWN_SHIFTS, "What you are planned for and have worked."
        ),
    ),
)
