"""Enters the agency of the simulated month into the station, as its supervisor does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from station.deployment.model import Asset, Assignment, Checkpoint, Person, PlannedShift, Settings
from station.deployment.zones import make_zone
from tests.month import world
from tests.month.bodies import e7

if TYPE_CHECKING:
    from station.deployment.conflicts import Conflict
    from station.planning import Planning
    from tests.month.truth import Truth

_GROUP = 500


def deploy(planning: Planning, truth: Truth) -> dict[str, list[Conflict]]:
    """Enter settings, people, places and the plan; return what was warned of."""
    planning.put_settings(
        Settings(
            time_zone=world.TIME_ZONE,
            overtime_classes=world.OVERTIME_CLASSES,
            activities=world.ACTIVITIES,
            tasks=world.TASKS,
            categories=world.CATEGORIES,
            outcomes=world.OUTCOMES,
            contributions=world.CONTRIBUTIONS,
        )
    )
    planning.put_people([Person(one.badge, one.name, one.rights, one.training_expires) for one in truth.people])
    planning.put_zones([make_zone(area.id, area.name, area.corners) for area in world.AREAS])
    for name, title, lat, lon in world.CHECKPOINTS:
        planning.put_checkpoint(Checkpoint(name, title, e7(lat), e7(lon)))
    vehicles = sorted({part.vehicle for one in truth.plan for part in one.parts})
    for name in vehicles:
        planning.put_asset(Asset(name, "vehicle", unit=name))
    for name in sorted({name for one in truth.plan for part in one.parts for name in part.equipment}):
        planning.put_asset(Asset(name, "equipment"))
    shifts = [as_planned(one) for one in truth.plan]
    warned: dict[str, list[Conflict]] = {}
    for first in range(0, len(shifts), _GROUP):
        warned |= planning.plan(shifts[first : first + _GROUP])
    return warned


def as_planned(one: world.Planned) -> PlannedShift:
    """A shift of the truth as a supervisor enters it."""
    return PlannedShift(
        one.id,
        one.badge,
        one.starts_us,
        one.ends_us,
        one.overtime_class,
        one.hours,
        tuple(
            Assignment(part.from_us, part.zone, part.checkpoint, part.task, part.vehicle, part.equipment)
            for part in one.parts
        ),
    )
