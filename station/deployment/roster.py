"""A plan as the roster that is signed and offered to units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from protocol.errors import RosterError
from protocol.roster.roster import FORMAT, draft_roster
from station.deployment.model import US_PER_S
from station.deployment.times import training_over_us
from station.errors import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from zoneinfo import ZoneInfo

    from protocol.roster.roster import Roster
    from station.deployment.model import Person, PlannedShift, Resources, Settings


def make_roster(
    resources: Resources,
    settings: Settings,
    shifts: Iterable[PlannedShift],
    now_us: int,
    *,
    token_key: str | None = None,
) -> Roster:
    """Return the roster of these shifts, each with the assignment of this moment, or its first one.

    Raises DeploymentError if the plan makes no roster.
    """
    zone = settings.zone
    people = [person for person in resources.people if person.active]
    values: dict[str, Any] = {
        "format": FORMAT,
        "token_key": token_key,
        "officers": [_officer(person, zone) for person in people],
        "zones": [
            {"id": one.id, "name": one.name, "corners": [list(corner) for corner in one.corners]}
            for one in resources.zones
        ],
        "checkpoints": [
            {"id": one.id, "name": one.name, "lat_e7": one.lat_e7, "lon_e7": one.lon_e7}
            for one in resources.checkpoints
        ],
        "vehicles": _names(resources, "vehicle"),
        "equipment": _names(resources, "equipment"),
        "roles": settings.roles,
        "tasks": settings.tasks,
        "activities": settings.activities,
        "categories": settings.categories,
        "outcomes": settings.outcomes,
        "contributions": settings.contributions,
        "shifts": [_shift(shift, now_us) for shift in shifts if not shift.cancelled],
    }
    try:
        return draft_roster(values)
    except RosterError as error:
        raise DeploymentError(f"the plan makes no roster: {error}") from None


def _officer(person: Person, zone: ZoneInfo) -> dict[str, Any]:
    until = person.training_until
    return {
        "badge": person.badge,
        "name": person.name,
        "rights": list(person.rights),
        "pin": person.pin,
        "training_expires_s": None if until is None else training_over_us(until, zone) // US_PER_S,
    }


def _names(resources: Resources, kind: str) -> list[str]:
    return [asset.id for asset in resources.assets if asset.kind == kind and not asset.out_of_service]


def _shift(shift: PlannedShift, now_us: int) -> dict[str, Any]:
    part = shift.at(now_us)
    return {
        "id": shift.id,
        "badge": shift.badge,
        "starts_s": shift.starts_us // US_PER_S,
        "ends_s": shift.ends_us // US_PER_S,
        "vehicle": part.vehicle,
        "zone": part.zone,
        "checkpoint": part.checkpoint,
        "task": part.task,
        "overtime_class": shift.overtime_class,
        "activities": [list(pair) for pair in shift.hours],
    }
