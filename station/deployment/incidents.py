"""Incidents counted by category, zone, day, outcome and contribution; on a grid; over time."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from station.deployment.times import day_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from zoneinfo import ZoneInfo

_E7 = 10**7
_M_PER_DEG = 111_195.08
MIN_CELL_M, MAX_CELL_M = 50.0, 100_000.0
NO_ANSWER = "(no answer)"
NO_ZONE = "(outside)"
NO_PLACE = "(no position)"


@dataclass(frozen=True, slots=True)
class IncidentRow:
    """An incident in its latest revision (``incident/1``)."""

    unit: str
    record_id: bytes
    """Of the record with this revision."""
    incident_id: bytes
    revision: int
    stage: str
    """``opened``, ``closed`` or ``unanswered``."""
    shift_id: bytes
    when_us: int
    """Its time; that of the receipt if it had none."""
    lat_e7: int | None
    lon_e7: int | None
    where: str
    category: str
    case_number: str
    contribution: str
    outcome: str
    reads: tuple[bytes, ...]
    hits: tuple[bytes, ...]
    zones: tuple[str, ...] = ()
    """Zones in which it lies, as they are now."""

    @property
    def lat_deg(self) -> float | None:
        """Latitude in degrees."""
        return None if self.lat_e7 is None else self.lat_e7 / _E7

    @property
    def lon_deg(self) -> float | None:
        """Longitude in degrees."""
        return None if self.lon_e7 is None else self.lon_e7 / _E7


@dataclass(frozen=True, slots=True)
class IncidentCounts:
    """Counts of incidents; one that lies in two zones counts in both."""

    total: int
    by_category: dict[str, int]
    by_zone: dict[str, int]
    by_outcome: dict[str, int]
    """With ``none`` and ``unknown``, which are answers, and those without an answer."""
    by_contribution: dict[str, int]
    by_stage: dict[str, int]
    by_unit: dict[str, int]
    by_shift: dict[str, int]
    assisted: int
    """Incidents to which the reader contributed something useful: an answer other than none, unknown and misled."""
    answered: int


def count_incidents(rows: Iterable[IncidentRow]) -> IncidentCounts:
    """Count incidents."""
    found = list(rows)
    zones = Counter(
        zone for row in found for zone in (row.zones or ((NO_PLACE,) if row.lat_e7 is None else (NO_ZONE,)))
    )
    useless = {"", "none", "unknown", "misled"}
    return IncidentCounts(
        total=len(found),
        by_category=_sorted(Counter(row.category or "(none given)" for row in found)),
        by_zone=_sorted(zones),
        by_outcome=_sorted(Counter(row.outcome or NO_ANSWER for row in found)),
        by_contribution=_sorted(Counter(row.contribution or NO_ANSWER for row in found)),
        by_stage=_sorted(Counter(row.stage for row in found)),
        by_unit=_sorted(Counter(row.unit for row in found)),
        by_shift=_sorted(Counter(row.shift_id.hex() for row in found)),
        assisted=sum(row.contribution not in useless for row in found),
        answered=sum(bool(row.contribution and row.outcome) for row in found),
    )


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of the heat map."""

    south: float
    west: float
    north: float
    east: float
    count: int


def heat_map(places: Iterable[tuple[int | None, int | None]], cell_m: float) -> list[Cell]:
    """Count positions (1e-7 degrees) on a grid of cells of about ``cell_m``; without a position they are left out.

    Rows are of equal height in degrees; a cell's width is that of ``cell_m`` at its row.  Raises ValueError for a size
    outside 50 m to 100 km.
    """
    if not MIN_CELL_M <= cell_m <= MAX_CELL_M:
        raise ValueError(f"cells of {cell_m:g} m are not possible: use {MIN_CELL_M:g} to {MAX_CELL_M:g} m")
    high = cell_m / _M_PER_DEG
    counts: Counter[tuple[int, int]] = Counter()
    for lat, lon in places:
        if lat is not None and lon is not None:
            row = math.floor(lat / _E7 / high)
            counts[row, math.floor(lon / _E7 / _width(row, high))] += 1
    return [
        Cell(row * high, column * _width(row, high), (row + 1) * high, (column + 1) * _width(row, high), count)
        for (row, column), count in sorted(counts.items())
    ]


def _width(row: int, high: float) -> float:
    """Width of the cells of a row in degrees."""
    middle = min(89.0, abs((row + 0.5) * high))
    return high / math.cos(math.radians(middle))


def by_day(times_us: Iterable[int], zone: ZoneInfo) -> dict[str, int]:
    """Count per day by the clock, without days between that have none."""
    counts = Counter(str(day_of(utc_us, zone)) for utc_us in times_us)
    return dict(sorted(counts.items()))
