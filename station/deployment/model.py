"""People, places, vehicles, equipment and planned shifts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import ValidationError

from protocol.roster import roster as wire
from station.errors import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

US_PER_S = 1_000_000
Corner: TypeAlias = tuple[int, int]
"""Latitude and longitude in 1e-7 degrees."""


@dataclass(frozen=True, slots=True)
class Person:
    """Someone who can be planned."""

    badge: str
    name: str
    rights: tuple[str, ...] = ("officer",)
    training_until: date | None = None
    """Last day on which the training is valid; None: not checked."""
    overtime_class: str = ""
    """Class of their shifts unless the shift says otherwise; empty: the first of the agency's."""
    pin: str | None = field(default=None, repr=False)
    """argon2id hash for the roster; None: tokens only."""
    active: bool = True
    """False: has left; is in reports, and not in the roster."""


@dataclass(frozen=True, slots=True)
class Zone:
    """An area.  Made by :func:`station.deployment.zones.make_zone`."""

    id: str
    name: str
    corners: tuple[Corner, ...]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A place with a name."""

    id: str
    name: str
    lat_e7: int
    lon_e7: int


@dataclass(frozen=True, slots=True)
class Asset:
    """A vehicle or a piece of equipment."""

    id: str
    kind: str
    """``vehicle`` or ``equipment``."""
    name: str = ""
    unit: str = ""
    """Id of the unit in a vehicle; empty if it has none."""
    out_of_service: str = ""
    """Why it cannot be used; empty: it can."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """Where someone is and with what, from a moment to the next assignment or the end of the shift."""

    from_us: int
    zone: str = ""
    checkpoint: str = ""
    task: str = ""
    vehicle: str = ""
    equipment: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlannedShift:
    """A shift as planned.  Times are UTC in microseconds: lengths are real time, also when the clocks change."""

    id: str
    badge: str
    starts_us: int
    ends_us: int
    overtime_class: str
    hours: tuple[tuple[str, int], ...]
    """Activity and planned seconds."""
    assignments: tuple[Assignment, ...]
    """In order; the first one begins with the shift."""
    note: str = ""
    cancelled: bool = False
    version: int = 0
    """Rises with each change; a change must name the one that it was made from."""

    @property
    def length_s(self) -> int:
        """Real seconds from start to end."""
        return (self.ends_us - self.starts_us) // US_PER_S

    def at(self, now_us: int) -> Assignment:
        """The assignment at a time; the first one before the start, the last one after the end."""
        begun = [one for one in self.assignments if one.from_us <= now_us]
        return begun[-1] if begun else self.assignments[0]

    def spans(self) -> tuple[tuple[int, int, Assignment], ...]:
        """Begin, end and assignment of each part."""
        ends = [*(one.from_us for one in self.assignments[1:]), self.ends_us]
        return tuple((one.from_us, end, one) for one, end in zip(self.assignments, ends, strict=True))


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for the whole agency."""

    time_zone: str = "UTC"
    overtime_classes: tuple[str, ...] = ("regular", "scheduled", "unscheduled")
    """The first is that of hours that are no overtime."""
    week_hours: float = 40
    """Planned hours of the first class in a week from which a warning is given."""
    rest_hours: float = 8
    """Hours between two shifts of a person below which a warning is given."""
    max_shift_hours: float = 16
    activities: tuple[str, ...] = ("patrol", "transport", "court", "report", "break", "training")
    tasks: tuple[str, ...] = ("patrol", "checkpoint")
    roles: tuple[str, ...] = ("driver", "observer", "relief")
    categories: tuple[str, ...] = ("stolen-vehicle", "wanted-person", "amber", "other")
    outcomes: tuple[str, ...] = ("recovered", "arrest", "citation", "released")
    contributions: tuple[str, ...] = ("located", "identified", "corroborated", "misled")
    keep_days: int = 1095
    """Days after which plans, hours and coverage are deleted."""
    roster_version: int = 0
    """Version of the latest exported roster."""

    @property
    def zone(self) -> ZoneInfo:
        """The agency's time zone.  Raises DeploymentError if this machine does not know it."""
        try:
            return ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise DeploymentError(
                f"the time zone {self.time_zone!r} is unknown: use a name such as America/Chicago"
            ) from None

    @property
    def regular(self) -> str:
        """The class of hours that are no overtime."""
        return self.overtime_classes[0]


@dataclass(frozen=True, slots=True)
class Resources:
    """Everyone and everything that can be planned."""

    people: tuple[Person, ...] = ()
    zones: tuple[Zone, ...] = ()
    checkpoints: tuple[Checkpoint, ...] = ()
    assets: tuple[Asset, ...] = ()

    def person(self, badge: str) -> Person | None:
        """By badge."""
        return next((one for one in self.people if one.badge == badge), None)

    def asset(self, name: str, kind: str) -> Asset | None:
        """By id and kind."""
        return next((one for one in self.assets if one.id == name and one.kind == kind), None)


def check_person(person: Person) -> Person:
    """Raises DeploymentError for a person that a roster could not have."""
    _accepted(
        f"person {person.badge!r}",
        lambda: wire.Officer(
            badge=person.badge,
            name=person.name,
            rights=tuple(wire.Right(right) for right in person.rights),
            pin=person.pin,
        ),
    )
    return person


def check_checkpoint(place: Checkpoint) -> Checkpoint:
    """Raises DeploymentError for a checkpoint that a roster could not have."""
    _accepted(
        f"checkpoint {place.id!r}",
        lambda: wire.Checkpoint(id=place.id, name=place.name, lat_e7=place.lat_e7, lon_e7=place.lon_e7),
    )
    return place


def check_asset(asset: Asset) -> Asset:
    """Raises DeploymentError for a vehicle or equipment that a roster could not have."""
    if asset.kind not in {"vehicle", "equipment"}:
        raise DeploymentError(f"{asset.id!r}: the kind {asset.kind!r} is unknown: use vehicle or equipment")
    if asset.kind == "equipment" and asset.unit:
        raise DeploymentError(f"equipment {asset.id!r}: only a vehicle has a unit")
    # The rules for a name in a roster are those of a checkpoint's id.
    _accepted(
        f"{asset.kind} {asset.id!r}",
        lambda: wire.Checkpoint(id=asset.id, name=asset.name or asset.id, lat_e7=0, lon_e7=0),
    )
    return asset


def check_settings(settings: Settings) -> Settings:
    """Raises DeploymentError for settings with which no roster can be made."""
    _ = settings.zone
    if not settings.overtime_classes or not settings.activities:
        raise DeploymentError("give at least one overtime class and one activity")
    if settings.keep_days < 1:
        raise DeploymentError("plans and hours are kept for at least one day")
    _accepted(
        "settings",
        lambda: wire.Roster(
            format=wire.FORMAT,
            officers=(),
            roles=settings.roles,
            tasks=settings.tasks,
            activities=settings.activities,
            categories=settings.categories,
            outcomes=settings.outcomes,
            contributions=settings.contributions,
        ),
    )
    return settings


def with_class(shift: PlannedShift, resources: Resources, settings: Settings) -> PlannedShift:
    """A shift without an overtime class gets that of its person, or the regular one."""
    if shift.overtime_class:
        return shift
    person = resources.person(shift.badge)
    own = "" if person is None else person.overtime_class
    return replace(shift, overtime_class=own or settings.regular)


def _accepted(what: str, make: Callable[[], object]) -> None:
    try:
        make()
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise DeploymentError(f"{what}: {key}: {first['msg']}") from None
    except ValueError as error:
        raise DeploymentError(f"{what}: {error}") from None
