"""The agency of the simulated month: zones, officers, units, and the plan, all made up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

TIME_ZONE = "America/Chicago"
AGENCY = "Example Sheriff"
US_PER_S = 1_000_000
S_PER_H = 3_600
ACTIVITIES = ("patrol", "report")
TASKS = ("patrol", "checkpoint")
CATEGORIES = ("stolen-vehicle", "wanted-person", "amber", "other")
OUTCOMES = ("recovered", "arrest", "citation", "released")
CONTRIBUTIONS = ("located", "identified", "corroborated", "misled")
OVERTIME_CLASSES = ("regular", "scheduled", "unscheduled")
_SUMMER = datetime(2027, 3, 14, 8, tzinfo=UTC)
"""In Chicago the clocks go from 02:00 to 03:00 at this moment."""
_SLOTS = (("day", 6, 10), ("evening", 14, 10), ("night", 22, 8))
"""Name, first hour by the clock, and hours by the clock."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much happens."""

    units: int
    days: int
    first: date
    reads_per_shift: int
    keep_days: int
    """Days after which other reads than hits are purged."""
    seed: int = 1


SMALL = Size(units=3, days=5, first=date(2027, 3, 12), reads_per_shift=12, keep_days=2)
FULL = Size(units=20, days=31, first=date(2027, 3, 1), reads_per_shift=80, keep_days=7)


@dataclass(frozen=True, slots=True)
class Area:
    """A rectangle in degrees."""

    id: str
    name: str
    south: float
    west: float
    north: float
    east: float

    @property
    def corners(self) -> tuple[tuple[float, float], ...]:
        """Latitude and longitude."""
        return (
            (self.south, self.west),
            (self.south, self.east),
            (self.north, self.east),
            (self.north, self.west),
        )

    def has(self, lat_deg: float, lon_deg: float) -> bool:
        """True inside; the places of the month are never on a border."""
        return self.south < lat_deg < self.north and self.west < lon_deg < self.east


AREAS = (
    Area("north", "North", 44.05, -100.20, 44.15, -100.00),
    Area("river", "River", 44.00, -100.10, 44.08, -99.90),  # overlaps with north
    Area("south", "South", 43.85, -100.20, 43.95, -100.00),
    Area("town", "Town", 43.95, -99.85, 44.00, -99.75),
)
CHECKPOINTS = (("cp-bridge", "Bridge", 44.02, -99.95), ("cp-ramp", "Ramp", 43.90, -100.10))
OUTSIDE = (43.70, -100.50)


@dataclass(frozen=True, slots=True)
class Person:
    """An officer."""

    badge: str
    name: str
    rights: tuple[str, ...]
    training_expires: date | None


@dataclass(frozen=True, slots=True)
class Part:
    """An assignment, from a moment to the next one's or the end of the shift."""

    from_us: int
    zone: str
    checkpoint: str
    task: str
    vehicle: str
    equipment: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Planned:
    """A planned shift."""

    id: str
    badge: str
    starts_us: int
    ends_us: int
    overtime_class: str
    hours: tuple[tuple[str, int], ...]
    """Activity and planned seconds."""
    parts: tuple[Part, ...]
    starts_local: str
    ends_local: str
    """By the clock on the wall, such as ``2027-03-14 06:00``."""

    @property
    def planned_s(self) -> int:
        """Real seconds."""
        return (self.ends_us - self.starts_us) // US_PER_S


def unit_id(number: int) -> str:
    """Units are ``unit-01`` and so on; each is the vehicle of the same name."""
    return f"unit-{number + 1:02}"


def utc_us(day: date, hour: int, minute: int = 0) -> int:
    """A time by the clock in Chicago in March 2027; counted by hand, not by a time zone database."""
    wall = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=hour, minutes=minute)
    found = wall + timedelta(hours=6)
    if found >= _SUMMER:
        found -= timedelta(hours=1)
    return round(found.timestamp()) * US_PER_S


def people(size: Size) -> list[Person]:
    """Three officers for each unit, and a supervisor."""
    crew = [
        Person(
            f"{1000 + 10 * unit + slot}",
            f"Officer {unit + 1}-{slot + 1}",
            ("officer",),
            # The training of one officer ends in the middle of the month.
            size.first + timedelta(days=size.days // 2) if (unit, slot) == (1, 2) else date(2028, 1, 31),
        )
        for unit in range(size.units)
        for slot in range(len(_SLOTS))
    ]
    return [*crew, Person("9001", "Supervisor One", ("officer", "supervisor"), None)]


def slots_of(unit: int) -> tuple[int, ...]:
    """Every unit has a day and an evening shift, which overlap by two hours; every third one a night shift, too."""
    return (0, 1, 2) if unit % 3 == 0 else (0, 1)


def plan(size: Size) -> list[Planned]:
    """All planned shifts, in the order of their starts."""
    made = []
    for day_number in range(size.days):
        day = size.first + timedelta(days=day_number)
        for unit in range(size.units):
            made += [_planned(day, day_number, unit, slot) for slot in slots_of(unit)]
    return sorted(made, key=lambda one: (one.starts_us, one.id))


def _planned(day: date, day_number: int, unit: int, slot: int) -> Planned:
    name, hour, length_h = _SLOTS[slot]
    starts, ends = utc_us(day, hour), utc_us(day, hour + length_h)
    zone = AREAS[(unit + slot) % len(AREAS)].id
    vehicle = unit_id(unit)
    first = Part(starts, zone, "", "patrol", vehicle, (f"radio-{unit + 1}",))
    parts = [first]
    if (day_number + unit + slot) % 7 == 3:
        # Sent to a checkpoint in the middle of the shift.
        point, *_ = CHECKPOINTS[unit % 2]
        other = AREAS[(unit + slot + 1) % len(AREAS)].id
        parts.append(Part((starts + ends) // 2, other, point, "checkpoint", vehicle, first.equipment))
    ends_at = day + timedelta(days=(hour + length_h) // 24)
    report_s = S_PER_H
    return Planned(
        f"{day:%m%d}-{vehicle}-{name}",
        f"{1000 + 10 * unit + slot}",
        starts,
        ends,
        "scheduled" if (day_number + unit) % 6 == 5 else "regular",
        (("patrol", (ends - starts) // US_PER_S - report_s), ("report", report_s)),
        tuple(parts),
        f"{day} {hour:02}:00",
        f"{ends_at} {(hour + length_h) % 24:02}:00",
    )
