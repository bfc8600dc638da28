"""What the pages about deployment have in common: queries and commands of the person, and periods of days."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from station.deployment.times import day_of, days_us, parse_day, week_of
from station.errors import DeploymentError
from station.planning import Planning
from station.query.deployment import DeploymentQuery
from station.web.errors import RefusedError

if TYPE_CHECKING:
    from station.deployment.model import Settings
    from station.web.visit import Visit

MAX_DAYS = 366


def asks(visit: Visit) -> DeploymentQuery:
    """Queries in this person's name."""
    return DeploymentQuery(visit.desk.store, visit.asker, visit.desk.clock_us)


def does(visit: Visit) -> Planning:
    """Commands in this person's name."""
    return Planning(visit.desk.store, visit.asker, visit.desk.clock_us)


@dataclass(frozen=True, slots=True)
class Period:
    """Some days of the agency."""

    first: date
    days: int
    since_us: int
    until_us: int
    time_zone: str

    @property
    def last(self) -> date:
        """The last day."""
        return self.first + timedelta(days=self.days - 1)

    @property
    def before(self) -> date:
        """First day of as many days before."""
        return self.first - timedelta(days=self.days)

    @property
    def after(self) -> date:
        """First day of as many days after."""
        return self.first + timedelta(days=self.days)

    @property
    def each(self) -> list[date]:
        """Every day."""
        return [self.first + timedelta(days=n) for n in range(self.days)]

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.first} to {self.last}, {self.time_zone}"


def period_of(visit: Visit, settings: Settings, first: str, days: int) -> Period:
    """The days of an address; this week if none are given.  Raises RefusedError."""
    zone = settings.zone
    try:
        day = parse_day(first) if first.strip() else week_of(day_of(visit.desk.clock_us(), zone))
    except DeploymentError as error:
        raise RefusedError(400, "day", str(error)) from error
    days = min(max(1, days), MAX_DAYS)
    since_us, until_us = days_us(day, days, zone)
    return Period(day, days, since_us, until_us, settings.time_zone)


@dataclass(frozen=True, slots=True)
class Picture:
    """Positions in a drawing: x to the east, y to the south, true to scale at its middle."""

    south: float
    west: float
    north: float
    east: float
    width: int = 1000

    @property
    def height(self) -> int:
        """In the same units as the width."""
        wide = (self.east - self.west) * self._shrink
        return max(200, min(1000, round(self.width * (self.north - self.south) / wide)))

    @property
    def _shrink(self) -> float:
        return max(0.05, math.cos(math.radians((self.south + self.north) / 2)))

    def at(self, lat_deg: float, lon_deg: float) -> tuple[float, float]:
        """Position in the drawing."""
        x = (lon_deg - self.west) / (self.east - self.west) * self.width
        y = (self.north - lat_deg) / (self.north - self.south) * self.height
        return round(x, 1), round(y, 1)

    def points(self, corners: list[tuple[float, float]]) -> str:
        """A polygon's points."""
        return " ".join(f"{x},{y}" for x, y in (self.at(lat, lon) for lat, lon in corners))


def picture_of(places: list[tuple[float, float]]) -> Picture | None:
    """A drawing that has all these places, with a margin; None without any."""
    if not places:
        return None
    lats, lons = [lat for lat, _ in places], [lon for _, lon in places]
    margin = max(0.005, (max(lats) - min(lats)) * 0.08, (max(lons) - min(lons)) * 0.08)
    return Picture(min(lats) - margin, min(lons) - margin, max(lats) + margin, max(lons) + margin)
