"""Units: state, gaps, releases, versions of lists and policies; one unit with its files and counters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel
from starlette.responses import Response

from protocol.errors import WireError
from protocol.wire.codec import decode
from protocol.wire.control.transfer import UpdateReport
from station.accounts.rights import Right
from station.query.export import iso
from station.query.versions import Versions
from station.web.page import NavigationEntry, PageModule
from station.web.texts import SAFE_TEXTS
from station.web.visit import Needs, Visit

if TYPE_CHECKING:
    from station.query.versions import FileVersion
    from station.store import Gap, UnitRow

router = APIRouter(dependencies=SAFE_TEXTS)
_Anybody = Annotated[Visit, Depends(Needs(Right.UNITS))]
PAGE_SIZE = 50
SILENT_US = 15 * 60 * 1_000_000
"""A unit that is on sends its health once a minute."""


@router.get("/units", include_in_schema=False)
def units(visit: _Anybody, after: str = "") -> Response:
    """A page of units, by name."""
    rows = visit.query.unit_page(after=after, limit=PAGE_SIZE)
    reports = {row.unit: report_of(row) for row, _ in rows}
    files = _versions(visit).files(row.unit for row, _ in rows)
    return visit.page(
        "units.html", rows=rows, silent_us=SILENT_US, first="/units" if after else None,
        last=rows[-1][0].unit if len(rows) == PAGE_SIZE else None, reports=reports,
        files=files,
    )  # fmt: skip


@router.get("/units/{unit}", include_in_schema=False)
def one_unit(visit: _Anybody, unit: str) -> Response:
    """One unit with its gaps, files and counters."""
    query = visit.query
    row, gaps = query.unit(unit)
    health = query.health(unit)
    counters = [] if health is None else sorted({**health.counters, **health.gauges}.items())
    return visit.page(
        "unit.html", unit=row, gaps=gaps, counters=counters, files=_versions(visit).files([unit])[unit],
        offers=query.offers(unit), report=report_of(row), silent_us=SILENT_US,
        health_us=None if health is None else health.utc_us,
    )  # fmt: skip


def report_of(row: UnitRow) -> UpdateReport | None:
    """Return a unit's latest report on updates; None if there is none that this version understands."""
    try:
        return None if row.report is None else decode(row.report, UpdateReport)
    except WireError:
        return None


def _versions(visit: Visit) -> Versions:
    return Versions(visit.desk.store, visit.asker, visit.desk.clock_us)


class UnitFile(BaseModel):
    """One kind of file at a unit, such as `hotlist` or `policy`."""

    kind: str
    offered: int | None
    """Version; null for none."""
    has: int | None
    """Version that it fetched completely; null for none, or if it did not say so."""


class UnitState(BaseModel):
    """State of a unit."""

    unit: str
    agency: str
    state: str
    reason: str
    software: str
    last_seen: str | None
    last_seq: int
    missing: int
    evicted: int
    gaps: list[tuple[int, int]]
    release: int | None
    """The release that it runs; null if it has not said so."""
    wanted_release: int | None
    files: list[UnitFile]
    """Lists and policies."""
    lives: int
    """More than one after it was written anew."""
    name_conflicts: int
    """Signs that two units use this name."""
    refused_today: int
    """Messages refused today, as it sent more than a unit may in a day."""


class UnitPage(BaseModel):
    """One page of units."""

    units: list[UnitState]
    next: str | None


@router.get("/api/1/units", tags=["units"])
def units_for_programs(visit: _Anybody, after: str = "") -> UnitPage:
    """Return the state of units by name, 50 at a time."""
    rows = visit.query.unit_page(after=after, limit=PAGE_SIZE)
    last = rows[-1][0].unit if len(rows) == PAGE_SIZE else None
    files = _versions(visit).files(row.unit for row, _ in rows)
    return UnitPage(units=[_state(row, gaps, files[row.unit]) for row, gaps in rows], next=last)


@router.get("/api/1/units/{unit}", tags=["units"])
def one_unit_for_programs(visit: _Anybody, unit: str) -> UnitState:
    """Return the state of one unit."""
    row, gaps = visit.query.unit(unit)
    return _state(row, gaps, _versions(visit).files([unit])[unit])


@router.get("/api/1/units/{unit}/counters", tags=["units"])
def counters_for_programs(visit: _Anybody, unit: str) -> dict[str, int]:
    """Return the latest counters and gauges of a unit; empty if it has sent none."""
    health = visit.query.health(unit)
    return {} if health is None else {**health.counters, **health.gauges}


def _state(row: UnitRow, gaps: list[Gap], files: list[FileVersion]) -> UnitState:
    report = report_of(row)
    return UnitState(
        unit=row.unit,
        agency=row.agency,
        state=row.state,
        reason=row.reason,
        software=row.software,
        last_seen=iso(row.seen_us),
        last_seq=row.seq_high,
        missing=row.missing,
        evicted=row.evicted,
        gaps=[(gap.first, gap.last) for gap in gaps if not gap.explained],
        release=None if report is None else report.running,
        wanted_release=row.desired or None,
        files=[UnitFile(kind=one.kind, offered=one.offered or None, has=one.has or None) for one in files],
        lives=row.lives,
        name_conflicts=row.conflicts,
        refused_today=row.refused_today,
    )


PAGE = PageModule(
    router,
    (NavigationEntry("Units", "/units", Right.UNITS, "State, gaps, releases, lists, policies and counters."),),
)
