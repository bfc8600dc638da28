"""Reports of a period, and the quality of alarms."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from station.accounts.rights import Right
from station.reports.lines import ReportError, write_lines
from station.reports.make import Report, make_report
from station.reports.own import OwnDefinitions
from station.reports.periods import period_of, recent_labels
from station.reports.present import present
from station.reports.printed import printed_report
from station.reports.quality import AlarmQuality, make_quality
from station.web.errors import RefusedError
from station.web.page import NavigationEntry, PageModule
from station.web.texts import SAFE_TEXTS
from station.web.visit import Needs, Visit

if TYPE_CHECKING:
    from station.reports.definition import Definition

router = APIRouter(dependencies=SAFE_TEXTS)
_Reader = Annotated[Visit, Depends(Needs(Right.REPORTS))]
_PERIODS = 8
_MAX_CARS = 10**9


@router.get("/reports", include_in_schema=False)
def reports_page(visit: _Reader, definition: str = "general", period: str = "") -> Response:
    """Tables of one period; without one, the choice of periods alone."""
    chosen = _definition(visit, definition)
    shown = present(_report(visit, chosen, period), chosen) if period else None
    return visit.page(
        "reports.html", definitions=_definitions(visit).values(), chosen=chosen, shown=shown, period=period,
        labels=_labels(visit, chosen), may_edit=visit.may(Right.EDIT_REPORTS),
    )  # fmt: skip


@router.get("/reports/print", include_in_schema=False)
def printed(visit: _Reader, definition: str, period: str) -> Response:
    """The page to be printed or published."""
    chosen, period = _definition(visit, definition), period.strip()
    page = printed_report(present(_report(visit, chosen, period), chosen))
    name = f'attachment; filename="report-{chosen.id}-{period}.html"'
    return Response(page, media_type="text/html", headers={"content-disposition": name})


@router.get("/reports/csv", include_in_schema=False)
def numbers(visit: _Reader, definition: str, period: str) -> Response:
    """Every number, for `patrol-lpr report recompute`."""
    chosen, period = _definition(visit, definition), period.strip()
    out = io.StringIO(newline="")
    write_lines(_report(visit, chosen, period).lines, out)
    name = f'attachment; filename="report-{chosen.id}-{period}.csv"'
    return Response(out.getvalue(), media_type="text/csv", headers={"content-disposition": name})


@router.get("/alarms", include_in_schema=False)
def alarms_page(visit: _Reader, period: str = "", cars: str = "") -> Response:
    """Expected and observed false alarms, and confused characters."""
    quality = _quality(visit, period, cars) if period else None
    labels = recent_labels(visit.desk.clock_us(), 1, _PERIODS)
    return visit.page("alarms.html", quality=quality, period=period, cars=cars, labels=labels)


@router.get("/api/1/reports/{definition}/{period}", tags=["reports"])
def report_for_programs(visit: _Reader, definition: str, period: str) -> dict[str, object]:
    """Return every number of a report: table, keys, measure, value."""
    lines = _report(visit, _definition(visit, definition), period).lines
    return {"lines": [[one.table, *one.keys, one.measure, one.value] for one in lines]}


def _definitions(visit: Visit) -> dict[str, Definition]:
    return OwnDefinitions(visit.desk.store, visit.asker, visit.desk.clock_us).usable()


def _definition(visit: Visit, name: str) -> Definition:
    found = _definitions(visit).get(name)
    if found is None:
        raise RefusedError(404, "unknown", "there is no such report")
    return found


def _labels(visit: Visit, chosen: Definition) -> list[str]:
    return recent_labels(visit.desk.clock_us(), chosen.months, _PERIODS)


def _report(visit: Visit, chosen: Definition, label: str) -> Report:
    desk = visit.desk
    try:
        return make_report(desk.store, visit.asker, desk.clock_us, period_of(label, chosen.timezone))
    except ReportError as error:
        raise RefusedError(400, "report", str(error)) from error


def _quality(visit: Visit, label: str, cars: str) -> AlarmQuality:
    is_number = cars.isascii() and cars.isdecimal() and len(cars) <= len(str(_MAX_CARS))
    count = int(cars) if is_number and 0 < int(cars) <= _MAX_CARS else None
    if cars.strip() and count is None:
        raise RefusedError(400, "cars", "the number of reads is a whole number above 0")
    desk = visit.desk
    try:
        return make_quality(desk.store, visit.asker, desk.clock_us, period_of(label, "UTC"), cars=count)
    except ReportError as error:
        raise RefusedError(400, "report", str(error)) from error


PAGE = PageModule(
    router,
    (
        NavigationEntry("Reports", "/reports", Right.REPORTS, "Counts of a period, to be published."),
        NavigationEntry("Alarm quality", "/alarms", Right.REPORTS, "Expected and observed false alarms by list."),
    ),
)
