"""Reports of a period, and the quality of alarms."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Depends, Form
from starlette.responses import Response

from station.accounts.rights import Right
from station.errors import JobError
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
    from collections.abc import Callable

    from station.jobs import Job
    from station.reports.definition import Definition
    from station.store.reporting import Period
    from station.web.desk import Counted

router = APIRouter(dependencies=SAFE_TEXTS)
_Reader = Annotated[Visit, Depends(Needs(Right.REPORTS))]
_PERIODS = 8
AT_ONCE_S = 0.15
"""What takes no longer is on the page that asked for it."""
_MAX_CARS = 10**9


@router.get("/reports", include_in_schema=False)
def reports_page(visit: _Reader, definition: str = "general", period: str = "") -> Response:
    """Tables of one period, or how far they are; without a period, the choice of periods alone."""
    chosen = _definition(visit, definition)
    job = None
    if period:
        counted = _period(period, chosen.timezone)
        job = _counted(
            visit,
            f"Report {chosen.id}, {period.strip()}",
            lambda tell: make_report(visit.desk.store, visit.asker, visit.desk.clock_us, counted, tell),
        )
    shown = present(job.result, chosen) if job is not None and isinstance(job.result, Report) else None
    return visit.page(
        "reports.html", definitions=_definitions(visit).values(), chosen=chosen, shown=shown, period=period,
        labels=_labels(visit, chosen), may_edit=visit.may(Right.EDIT_REPORTS), job=job,
    )  # fmt: skip


@router.post("/reports/stop", include_in_schema=False)
def stop(visit: _Reader, back: Annotated[Literal["/reports", "/alarms"], Form()] = "/reports") -> Response:
    """Stop what is being counted for the person."""
    visit.desk.counts.end(visit.name)
    return visit.redirect(back)


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
    """Expected and observed false alarms, and confused characters; or how far they are."""
    job = None
    if period:
        counted, count = _period(period, "UTC"), _cars(cars)
        job = _counted(
            visit,
            f"Alarm quality, {period.strip()}" + (f", {count} reads" if count else ""),
            lambda tell: make_quality(
                visit.desk.store, visit.asker, visit.desk.clock_us, counted, cars=count, tell=tell
            ),
        )
    quality = job.result if job is not None and isinstance(job.result, AlarmQuality) else None
    labels = recent_labels(visit.desk.clock_us(), 1, _PERIODS)
    return visit.page("alarms.html", quality=quality, period=period, cars=cars, labels=labels, job=job)


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
        return make_report(desk.store, visit.asker, desk.clock_us, _period(label, chosen.timezone))
    except ReportError as error:
        raise RefusedError(400, "report", str(error)) from error


def _counted(visit: Visit, what: str, count: Callable[[Callable[[float], None]], Counted]) -> Job[Counted]:
    """Return the person's job: the one that was asked for, with its result once, or another that has not ended."""
    counts = visit.desk.counts
    job = counts.get(visit.name)
    if job is None or (job.has_ended and job.what != what):
        try:
            counts.begin(visit.name, what, count)
        except JobError as error:
            raise RefusedError(429, "busy", str(error)) from error
        visit.desk.wake_counts()
        counts.wait(visit.name, AT_ONCE_S)
        job = counts.get(visit.name)
    if job is None:
        raise RefusedError(409, "stopped", "it was stopped in another window")
    if job.has_ended:
        counts.end(visit.name)  # the next look counts anew
    if isinstance(job.error, ReportError | JobError):
        raise RefusedError(400, "report", str(job.error))
    if job.error is not None:
        raise job.error
    return job


def _period(label: str, timezone: str) -> Period:
    try:
        return period_of(label, timezone)
    except ReportError as error:
        raise RefusedError(400, "report", str(error)) from error


def _cars(text: str) -> int | None:
    is_number = text.isascii() and text.isdecimal() and len(text) <= len(str(_MAX_CARS))
    count = int(text) if is_number and 0 < int(text) <= _MAX_CARS else None
    if text.strip() and count is None:
        raise RefusedError(400, "cars", "the number of reads is a whole number above 0")
    return count


PAGE = PageModule(
    router,
    (
        NavigationEntry("Reports", "/reports", Right.REPORTS, "Counts of a period, to be published."),
        NavigationEntry("Alarm quality", "/alarms", Right.REPORTS, "Expected and observed false alarms by list."),
    ),
)
