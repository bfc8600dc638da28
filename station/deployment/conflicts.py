"""What is wrong with a planned shift, alone and beside the others."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from station.deployment.model import US_PER_S
from station.deployment.times import clock_s, day_of, shown, training_over_us, week_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from station.deployment.model import PlannedShift, Resources, Settings

MAX_OPEN_SHIFTS = 4
"""Shifts that a unit can have open at once."""
_S_PER_H = 3600


class Severity(StrEnum):
    """What a conflict means for the plan."""

    REFUSED = "refused"
    """The shift cannot be planned like this."""
    WARNING = "warning"
    """It can, if a person accepts it."""
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Conflict:
    """One finding about a shift."""

    severity: Severity
    kind: str
    text: str
    other: str = ""
    """Id of the other shift, if there is one."""


class Planner:
    """A plan whose shifts can be compared with each other.  Cancelled shifts are left out."""

    def __init__(self, resources: Resources, settings: Settings, shifts: Iterable[PlannedShift]) -> None:
        self._resources, self._settings = resources, settings
        self._zone = settings.zone
        self._people = {person.badge: person for person in resources.people}
        self._assets = {(asset.kind, asset.id): asset for asset in resources.assets}
        self._places = {"zone": {zone.id for zone in resources.zones}}
        self._places["checkpoint"] = {place.id for place in resources.checkpoints}
        self._by_badge: dict[str, list[PlannedShift]] = defaultdict(list)
        self._by_asset: dict[str, list[PlannedShift]] = defaultdict(list)
        for shift in shifts:
            if not shift.cancelled:
                self._by_badge[shift.badge].append(shift)
                for name in _assets_of(shift):
                    self._by_asset[name].append(shift)

    def conflicts(self, shift: PlannedShift) -> list[Conflict]:
        """Everything that is wrong with a shift, the worst first; nothing for a cancelled one."""
        if shift.cancelled:
            return []
        if shift.ends_us <= shift.starts_us:
            return [Conflict(Severity.REFUSED, "times", "it ends before it starts")]
        found = [
            *self._alone(shift),
            *self._of_person(shift),
            *self._of_names(shift),
            *self._beside_own(shift),
            *self._beside_others(shift),
        ]
        return sorted(found, key=lambda one: (list(Severity).index(one.severity), one.kind, one.other))

    def _alone(self, shift: PlannedShift) -> Iterator[Conflict]:
        length_s, by_clock_s = shift.length_s, clock_s(shift.starts_us, shift.ends_us, self._zone)
        if length_s > self._settings.max_shift_hours * _S_PER_H:
            limit = self._settings.max_shift_hours
            yield _refused("length", f"it takes {length_s / _S_PER_H:.1f} h, at most {limit:g} h are allowed")
        if by_clock_s != length_s:
            yield Conflict(
                Severity.NOTE,
                "clocks",
                f"the clocks change: it takes {length_s / _S_PER_H:g} h, not {by_clock_s / _S_PER_H:g} h",
            )
        planned_s = sum(seconds for _, seconds in shift.hours)
        if planned_s > length_s:
            yield _refused(
                "hours", f"{planned_s / _S_PER_H:.1f} h of activities in a shift of {length_s / _S_PER_H:.1f} h"
            )
        starts = [one.from_us for one in shift.assignments]
        if not starts or starts[0] != shift.starts_us:
            yield _refused("assignment", "its first assignment must begin with the shift")
        elif starts != sorted(set(starts)) or starts[-1] >= shift.ends_us:
            yield _refused("assignment", "its assignments must follow each other within the shift")

    def _of_person(self, shift: PlannedShift) -> Iterator[Conflict]:
        person = self._people.get(shift.badge)
        if person is None or not person.active:
            yield _refused("person", f"{shift.badge} is nobody who can be planned")
            return
        until = person.training_until
        if until is None:
            return
        over_us = training_over_us(until, self._zone)
        if shift.starts_us >= over_us:
            yield _refused("training", f"the training of {shift.badge} ended on {until}")
        elif shift.ends_us > over_us:
            yield _warning("training", f"the training of {shift.badge} ends on {until}, during the shift")

    def _of_names(self, shift: PlannedShift) -> Iterator[Conflict]:
        if shift.overtime_class not in self._settings.overtime_classes:
            yield _refused("overtime", f"the overtime class {shift.overtime_class!r} is unknown")
        unknown = [name for name, _ in shift.hours if name not in self._settings.activities]
        if unknown:
            yield _refused("activity", f"the activity {unknown[0]!r} is unknown")
        for part in shift.assignments:
            for kind, name in (("zone", part.zone), ("checkpoint", part.checkpoint)):
                if name and name not in self._places[kind]:
                    yield _refused(kind, f"the {kind} {name!r} is unknown")
            if part.task and part.task not in self._settings.tasks:
                yield _refused("task", f"the task {part.task!r} is unknown")
            wanted = [("vehicle", part.vehicle)] if part.vehicle else []
            for kind, name in (*wanted, *(("equipment", name) for name in part.equipment)):
                asset = self._assets.get((kind, name))
                if asset is None:
                    yield _refused(kind, f"the {kind} {name!r} is unknown")
                elif asset.out_of_service:
                    yield _refused(kind, f"{name} is out of service: {asset.out_of_service}")

    def _beside_own(self, shift: PlannedShift) -> Iterator[Conflict]:
        """Other shifts of the same person."""
        own = [one for one in self._by_badge[shift.badge] if one.id != shift.id]
        rest_us = round(self._settings.rest_hours * _S_PER_H * US_PER_S)
        for other in own:
            if other.starts_us < shift.ends_us and shift.starts_us < other.ends_us:
                yield self._at_once(shift, other)
            else:
                gap_us = max(other.starts_us - shift.ends_us, shift.starts_us - other.ends_us)
                if gap_us < rest_us:
                    hours = gap_us / US_PER_S / _S_PER_H
                    yield _warning("rest", f"{hours:.1f} h between it and {other.id}", other.id)
        yield from self._week(shift, own)

    def _at_once(self, shift: PlannedShift, other: PlannedShift) -> Conflict:
        both = [
            (a.vehicle, b.vehicle)
            for begin, end, a in shift.spans()
            for first, last, b in other.spans()
            if first < end and begin < last and a.vehicle != b.vehicle
        ]
        vehicles = sorted({name for pair in both for name in pair})
        if vehicles:
            names = " and ".join(name or "no vehicle" for name in vehicles)
            return _refused("two_vehicles", f"{shift.badge} would be in {names} at once", other.id)
        return _refused("double", f"{shift.badge} has the shift {other.id} at the same time", other.id)

    def _week(self, shift: PlannedShift, own: list[PlannedShift]) -> Iterator[Conflict]:
        if shift.overtime_class != self._settings.regular:
            return
        week = week_of(day_of(shift.starts_us, self._zone))
        regular_s = shift.length_s + sum(
            one.length_s
            for one in own
            if one.overtime_class == shift.overtime_class and week_of(day_of(one.starts_us, self._zone)) == week
        )
        if regular_s > self._settings.week_hours * _S_PER_H:
            yield _warning(
                "week",
                f"{regular_s / _S_PER_H:.1f} h of class {shift.overtime_class} in the week from {week}, more than "
                f"{self._settings.week_hours:g} h",
            )

    def _beside_others(self, shift: PlannedShift) -> Iterator[Conflict]:
        """Other people with the same vehicle or equipment at the same time."""
        crowd = set()
        for begin, end, part in shift.spans():
            for other in self._near(shift, part.vehicle):
                if any(a < end and begin < b and x.vehicle == part.vehicle for a, b, x in other.spans()):
                    crowd.add(other.id)
            for name in part.equipment:
                for other in self._near(shift, name):
                    # A crew in one vehicle shares its equipment.
                    elsewhere = (
                        (a, b) for a, b, x in other.spans() if name in x.equipment and x.vehicle != part.vehicle
                    )
                    if any(a < end and begin < b for a, b in elsewhere):
                        when = shown(max(begin, other.starts_us), self._zone)
                        yield _warning("equipment", f"{name} is also with {other.badge} at {when}", other.id)
        if len(crowd) >= MAX_OPEN_SHIFTS:
            vehicle = shift.assignments[0].vehicle
            yield _refused(
                "vehicle", f"{vehicle} would have {len(crowd) + 1} shifts at once, a unit has {MAX_OPEN_SHIFTS}"
            )

    def _near(self, shift: PlannedShift, name: str) -> Iterator[PlannedShift]:
        if name:
            for other in self._by_asset[name]:
                is_other = other.id != shift.id and other.badge != shift.badge
                if is_other and other.starts_us < shift.ends_us and shift.starts_us < other.ends_us:
                    yield other


def is_refused(found: Iterable[Conflict]) -> bool:
    """True if the shift cannot be planned."""
    return any(one.severity is Severity.REFUSED for one in found)


def _assets_of(shift: PlannedShift) -> set[str]:
    names = {part.vehicle for part in shift.assignments}
    return (names | {name for part in shift.assignments for name in part.equipment}) - {""}


def _refused(kind: str, text: str, other: str = "") -> Conflict:
    return Conflict(Severity.REFUSED, kind, text, other)


def _warning(kind: str, text: str, other: str = "") -> Conflict:
    return Conflict(Severity.WARNING, kind, text, other)
