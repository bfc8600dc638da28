"""The plan of a week: by zone or officer, with conflicts; shifts are added, changed, moved and cancelled."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Form
from starlette.responses import Response

from station.accounts.rights import Right
from station.deployment.model import Assignment, PlannedShift
from station.deployment.times import day_of, local, parse_time, typed
from station.errors import DeploymentError
from station.web.deployment import asks, does, period_of
from station.web.errors import RefusedError
from station.web.page import NavigationEntry, PageModule
from station.web.texts import SAFE_TEXTS
from station.web.visit import Needs, Visit

if TYPE_CHECKING:
    from datetime import date
    from zoneinfo import ZoneInfo

    from station.query.deployment import PlanView

router = APIRouter(dependencies=SAFE_TEXTS)
_Reader = Annotated[Visit, Depends(Needs(Right.DEPLOYMENT, why=True))]
_Planner = Annotated[Visit, Depends(Needs(Right.EDIT_DEPLOYMENT, why=True))]
_Short = Annotated[str, Form(max_length=64)]
_WEEK = 7
_S_PER_H = 3600


@dataclass(frozen=True, slots=True)
class Block:
    """A shift as it is shown on one day."""

    shift: PlannedShift
    text: str
    worst: str
    """``refused``, ``warning`` or empty."""


@dataclass(frozen=True, slots=True)
class ShiftForm:
    """What the form of a shift sends."""

    badge: _Short
    starts: _Short
    ends: _Short
    overtime_class: _Short = ""
    zone: _Short = ""
    checkpoint: _Short = ""
    task: _Short = ""
    vehicle: _Short = ""
    equipment: Annotated[str, Form(max_length=512)] = ""
    hours: Annotated[str, Form(max_length=512)] = ""
    note: Annotated[str, Form(max_length=200)] = ""


@router.get("/deployment/plan", include_in_schema=False)
def plan(visit: _Reader, week: str = "", by: str = "zone") -> Response:
    """The week."""
    return _week(visit, week, by)


@router.post("/deployment/plan", include_in_schema=False)
def add_shift(
    visit: _Planner, form: Annotated[ShiftForm, Depends()], week: _Short = "", by: _Short = "zone"
) -> Response:
    """Plan a shift."""
    try:
        shift = _shift_of(visit, form, f"s-{secrets.token_hex(5)}")
        found = does(visit).plan([shift])
    except DeploymentError as error:
        return _week(visit, week, by, message=str(error), form=form, status=400)
    warned = [f"{one.severity.value}: {one.text}" for one in found[shift.id]]
    if warned:
        return _week(visit, week, by, message=f"planned; {'; '.join(warned)}", kind="warn")
    return visit.redirect(f"/deployment/plan?week={_day_of_form(visit, form)}&by={_by(by)}")


@router.get("/deployment/plan/{shift_id}", include_in_schema=False)
def one_shift(visit: _Reader, shift_id: str) -> Response:
    """A shift, and the forms that change it."""
    return _one(visit, shift_id)


@router.post("/deployment/plan/{shift_id}", include_in_schema=False)
def change_shift(
    visit: _Planner, shift_id: str, form: Annotated[ShiftForm, Depends()], version: Annotated[int, Form()]
) -> Response:
    """Move a shift, or give it to somebody else.  Later assignments keep their times."""
    try:
        before = _stored(visit, shift_id)
        changed = _shift_of(visit, form, shift_id)
        kept = tuple(one for one in before.assignments[1:] if changed.starts_us < one.from_us < changed.ends_us)
        does(visit).plan([replace(changed, version=version, assignments=(*changed.assignments, *kept))])
    except DeploymentError as error:
        return _one(visit, shift_id, message=str(error), status=400)
    return visit.redirect(f"/deployment/plan/{shift_id}")


@router.post("/deployment/plan/{shift_id}/assign", include_in_schema=False)
def assign(
    visit: _Planner,
    shift_id: str,
    *,
    at: _Short,
    version: Annotated[int | None, Form()] = None,
    zone: _Short = "",
    checkpoint: _Short = "",
    task: _Short = "",
    vehicle: _Short = "",
    equipment: Annotated[str, Form(max_length=512)] = "",
) -> Response:
    """Send somebody elsewhere from a moment on."""
    try:
        at_us = parse_time(at, asks(visit).settings().zone)
        part = Assignment(at_us, zone, checkpoint, task, vehicle, tuple(equipment.split()))
        does(visit).reassign(shift_id, part, version)
    except DeploymentError as error:
        return _one(visit, shift_id, message=str(error), status=400)
    return visit.redirect(f"/deployment/plan/{shift_id}")


@router.post("/deployment/plan/{shift_id}/cancel", include_in_schema=False)
def cancel(visit: _Planner, shift_id: str, version: Annotated[int, Form()]) -> Response:
    """Cancel a shift."""
    try:
        does(visit).cancel(shift_id, version)
    except DeploymentError as error:
        return _one(visit, shift_id, message=str(error), status=400)
    return visit.redirect(f"/deployment/plan/{shift_id}")


def _week(
    visit: Visit,
    week: str,
    by: str,
    *,
    message: str = "",
    kind: str = "bad",
    form: ShiftForm | None = None,
    status: int = 200,
) -> Response:
    query = asks(visit)
    period = period_of(visit, query.settings(), week, _WEEK)
    view = query.plan(period.since_us, period.until_us)
    rows = _grid(view, period.each, _by(by))
    bad = [
        (shift, one) for shift in view.shifts for one in view.conflicts.get(shift.id, ()) if one.severity != "note"
    ]
    return visit.page(
        "plan.html", status=status, period=period, by=_by(by), rows=rows, view=view, conflicts=bad, message=message,
        kind=kind, form=form, may_edit=visit.may(Right.EDIT_DEPLOYMENT),
    )  # fmt: skip


def _by(text: str) -> str:
    return text if text in {"zone", "officer"} else "zone"


def _grid(view: PlanView, days: list[date], by: str) -> list[tuple[str, str, list[list[Block]]]]:
    """Rows of id, name, and the blocks of each day."""
    zone = view.settings.zone
    names = {one.id: one.name for one in view.resources.zones} if by == "zone" else {}
    if by == "officer":
        names = {one.badge: one.name for one in view.resources.people if one.active}
    found: dict[str, dict[date, list[Block]]] = {name: {} for name in names}
    for shift in view.shifts:
        keys = dict.fromkeys(part.zone for part in shift.assignments) if by == "zone" else {shift.badge: None}
        day = day_of(shift.starts_us, zone)
        # One that began on the day before the week is shown on its first day.
        for key in keys:
            found.setdefault(key, {}).setdefault(max(day, days[0]), []).append(_block(shift, view, by, zone))
    rows = [
        (key, names.get(key, "") or (key or "no zone"), [of_day.get(day, []) for day in days])
        for key, of_day in found.items()
    ]
    return sorted(rows, key=lambda row: (not row[0], row[1]))


def _block(shift: PlannedShift, view: PlanView, by: str, zone: ZoneInfo) -> Block:
    starts, ends = local(shift.starts_us, zone), local(shift.ends_us, zone)
    other = shift.badge if by == "zone" else shift.assignments[0].checkpoint or shift.assignments[0].zone
    worst = next((one.severity.value for one in view.conflicts.get(shift.id, ())), "")
    return Block(shift, f"{starts:%H:%M}-{ends:%H:%M} {other}", "" if worst == "note" else worst)


def _one(visit: Visit, shift_id: str, *, message: str = "", status: int = 200) -> Response:
    query = asks(visit)
    shift = _stored(visit, shift_id)
    view = query.plan(shift.starts_us, shift.ends_us)
    zone = view.settings.zone
    return visit.page(
        "shift.html", status=status, shift=shift, view=view, message=message,
        conflicts=view.conflicts.get(shift.id, ()), starts=typed(shift.starts_us, zone),
        ends=typed(shift.ends_us, zone), week=day_of(shift.starts_us, zone),
        spans=[
            (local(begin, zone), local(end, zone), part) for begin, end, part in shift.spans()
        ],
        hours="; ".join(f"{name} {seconds / _S_PER_H:g}" for name, seconds in shift.hours),
        may_edit=visit.may(Right.EDIT_DEPLOYMENT) and not shift.cancelled,
    )  # fmt: skip


def _stored(visit: Visit, shift_id: str) -> PlannedShift:
    found = asks(visit).planned_shift(shift_id)
    if found is None:
        raise RefusedError(404, "shift", "there is no such shift in the plan")
    return found


def _day_of_form(visit: Visit, form: ShiftForm) -> date:
    zone = asks(visit).settings().zone
    return day_of(parse_time(form.starts, zone), zone)


def _shift_of(visit: Visit, form: ShiftForm, shift_id: str) -> PlannedShift:
    """Raises DeploymentError for times and hours that are none."""
    zone = asks(visit).settings().zone
    starts_us, ends_us = parse_time(form.starts, zone), parse_time(form.ends, zone)
    part = Assignment(
        starts_us, form.zone, form.checkpoint, form.task, form.vehicle, tuple(form.equipment.split())
    )
    return PlannedShift(
        shift_id,
        form.badge.strip(),
        starts_us,
        ends_us,
        form.overtime_class,
        _hours(form.hours),
        (part,),
        form.note,
    )


def _hours(text: str) -> tuple[tuple[str, int], ...]:
    """``patrol 8.5; report 1.5``."""
    found = []
    for part in filter(None, (one.strip() for one in text.split(";"))):
        name, _, hours = part.rpartition(" ")
        try:
            found.append((name.strip(), round(float(hours) * _S_PER_H)))
        except (ValueError, OverflowError):
            raise DeploymentError(f"{part[:40]!r} are no hours: write them as patrol 8.5; report 1.5") from None
    return tuple(found)


PAGE = PageModule(
    router,
    (NavigationEntry("Plan", "/deployment/plan", Right.DEPLOYMENT, "Shifts of a week by zone and officer."),),
)
