"""Hours: as planned and as worked, by activity, for each person, unit, zone, overtime class or day."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from station.deployment.model import US_PER_S
from station.deployment.times import day_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from zoneinfo import ZoneInfo

    from station.deployment.model import PlannedShift

_S_PER_H = 3600


@dataclass(frozen=True, slots=True)
class WorkedShift:
    """A shift as the unit told it, in its latest revision (``shift/1``)."""

    unit: str
    shift_id: bytes
    revision: int
    stage: str
    badge: str
    started_us: int | None
    """None while the time is unknown."""
    told_us: int
    """Time of the latest revision; that of its receipt if it had none."""
    worked_s: int
    plan_id: str
    overtime_class: str
    overtime_s: int | None
    vehicle: str
    zone: str
    checkpoint: str
    task: str
    equipment: tuple[str, ...]
    hours: tuple[tuple[str, int | None, int], ...]
    """Activity, planned seconds or None, and actual seconds."""
    unmeasured: int
    end_reason: str
    incidents: int
    unanswered: int
    training: str

    @property
    def when_us(self) -> int:
        """Its start; if that is unknown, when it was told less the time worked."""
        return self.told_us - self.worked_s * US_PER_S if self.started_us is None else self.started_us


class HoursBy(StrEnum):
    """What hours are summed by."""

    PERSON = "person"
    UNIT = "unit"
    ZONE = "zone"
    OVERTIME = "overtime"
    DAY = "day"


@dataclass(slots=True)
class HoursRow:
    """Sums of one person, unit, zone, overtime class or day.  Seconds of real time."""

    name: str
    planned_s: int = 0
    actual_s: int = 0
    overtime_s: int = 0
    """Beyond the planned lengths."""
    planned: int = 0
    """Number of planned shifts."""
    worked: int = 0
    missed: int = 0
    """Planned, and nobody came."""
    unplanned: int = 0
    """Worked without a plan."""
    unmeasured: int = 0
    """Interruptions of unknown length, which are in no sum."""
    activities: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Activity: planned and actual seconds."""

    def values(self) -> dict[str, object]:
        """Flat values for JSON and CSV."""
        return {
            "name": self.name,
            "planned_h": round(self.planned_s / _S_PER_H, 3),
            "actual_h": round(self.actual_s / _S_PER_H, 3),
            "overtime_h": round(self.overtime_s / _S_PER_H, 3),
            "planned": self.planned,
            "worked": self.worked,
            "missed": self.missed,
            "unplanned": self.unplanned,
            "unmeasured": self.unmeasured,
            "activities": "; ".join(
                f"{name} {actual / _S_PER_H:.2f}/{plan / _S_PER_H:.2f}"
                for name, (plan, actual) in sorted(self.activities.items())
            ),
        }


def sum_hours(
    planned: Iterable[PlannedShift],
    worked: Iterable[WorkedShift],
    by: HoursBy,
    zone: ZoneInfo,
    now_us: int,
) -> list[HoursRow]:
    """Compare plan and work.  A planned shift that has ended by ``now_us`` without work is missed.

    A shift counts on the day of its start, and in the zone of its first assignment.
    """
    rows: dict[str, HoursRow] = {}

    def row(name: str) -> HoursRow:
        return rows.setdefault(name, HoursRow(name))

    plans = {shift.id: shift for shift in planned if not shift.cancelled}
    done = list(worked)
    came = {shift.plan_id for shift in done}
    for shift in plans.values():
        mine = row(_planned_name(shift, by, zone))
        mine.planned += 1
        mine.planned_s += shift.length_s
        mine.missed += shift.id not in came and shift.ends_us <= now_us
        for name, seconds in shift.hours:
            before = mine.activities.get(name, (0, 0))
            mine.activities[name] = (before[0] + seconds, before[1])
    for work in done:
        plan = plans.get(work.plan_id)
        mine = row(_worked_name(work, plan, by, zone))
        mine.worked += 1
        mine.unplanned += plan is None
        mine.actual_s += work.worked_s
        mine.unmeasured += work.unmeasured
        mine.overtime_s += work.overtime_s or 0
        for name, _, actual in work.hours:
            before = mine.activities.get(name, (0, 0))
            mine.activities[name] = (before[0], before[1] + actual)
    return sorted(rows.values(), key=lambda one: one.name)


def _planned_name(shift: PlannedShift, by: HoursBy, zone: ZoneInfo) -> str:
    match by:
        case HoursBy.PERSON:
            return shift.badge
        case HoursBy.UNIT:
            return shift.assignments[0].vehicle
        case HoursBy.ZONE:
            return shift.assignments[0].zone
        case HoursBy.OVERTIME:
            return shift.overtime_class
        case HoursBy.DAY:
            return str(day_of(shift.starts_us, zone))


def _worked_name(work: WorkedShift, plan: PlannedShift | None, by: HoursBy, zone: ZoneInfo) -> str:
    """By what was planned where there was a plan: both sums are then on one row."""
    match by:
        case HoursBy.PERSON:
            return work.badge
        case HoursBy.UNIT:
            return work.vehicle or work.unit
        case HoursBy.ZONE:
            return work.zone if plan is None else plan.assignments[0].zone
        case HoursBy.OVERTIME:
            return work.overtime_class
        case HoursBy.DAY:
            return str(day_of(work.when_us if plan is None else plan.starts_us, zone))
