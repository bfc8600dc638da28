"""Shifts as they are shown: the latest revision of each, with its coverage; asked with a purpose, and audited.

Whoever reads this sees employees' data; queries about reads never do.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from protocol.wire.records.coverage import Coverage
from protocol.wire.records.shift import Shift

if TYPE_CHECKING:
    from collections.abc import Sequence

    from station.query.query import Query
    from station.query.stored import StoredRecord

ShiftKey = tuple[str, bytes]
"""Unit and shift: another unit may know the id."""
_SHIFTS, _COVERAGE = Shift.SCHEMA, Coverage.SCHEMA


@dataclass(frozen=True, slots=True)
class ShiftRow:
    """One shift, summed up."""

    unit: str
    shift: Shift
    """Its latest revision."""
    distance_m: int
    unlocated_ms: int
    zones: tuple[tuple[str, tuple[int, int, int]], ...]
    """Zone (empty: outside all), and its metres, milliseconds and reads."""

    @property
    def unanswered(self) -> int:
        """Incidents without outcome or contribution when the shift ended."""
        return self.shift.unanswered

    def values(self) -> dict[str, Any]:
        """Flat values for JSON."""
        shift = self.shift
        return {
            "unit": self.unit,
            "shift": shift.shift_id.hex(),
            "stage": shift.stage.value,
            **shift.model_dump(include={"badge", "role", "crew", "vehicle", "zone", "checkpoint", "task"}),
            **shift.model_dump(include={"equipment", "training", "overtime_class", "overtime_s", "end_reason"}),
            "started_us": shift.started_us,
            "worked_s": shift.worked_s,
            "unmeasured": shift.unmeasured,
            "hours": [{"activity": name, "planned_s": plan, "actual_s": s} for name, plan, s in shift.hours],
            "overlaps": [{"shift": other.hex(), "common_s": s} for other, s in shift.overlaps],
            "incidents": shift.incidents,
            "unanswered": shift.unanswered,
            "distance_m": self.distance_m,
            "unlocated_s": self.unlocated_ms / 1000,
            "zones": [
                {"zone": zone, "distance_m": m, "located_s": ms / 1000, "reads": reads}
                for zone, (m, ms, reads) in self.zones
            ],
        }


class ShiftsOf:
    """Queries about shifts of one operator."""

    def __init__(self, query: Query) -> None:
        self._query = query

    def shifts(
        self,
        *,
        unit: str | None = None,
        badge: str | None = None,
        since_us: int | None = None,
        limit: int | None = None,
    ) -> list[ShiftRow]:
        """Return the latest shifts, in the order of arrival.

        ``since_us`` is compared with the time of receipt.  Raises PurposeError without a purpose.
        """
        records = self._query.records(_SHIFTS, unit=unit, since_us=since_us)
        latest = list(latest_shifts(records, badge).values())
        chosen = latest[-limit:] if limit else latest
        if not chosen:
            return []
        coverage = self._query.records(_COVERAGE, unit=unit, since_us=since_us)
        periods = periods_by_shift(coverage)
        return [_row(unit, shift, periods.get((unit, shift.shift_id), ())) for unit, shift in chosen]


def latest_shifts(records: list[StoredRecord], badge: str | None = None) -> dict[ShiftKey, tuple[str, Shift]]:
    """Return the highest revision of each shift of each unit; records may arrive in any order, and twice."""
    found: dict[ShiftKey, tuple[str, Shift]] = {}
    for record in records:
        body = record.body
        if isinstance(body, Shift) and badge in {None, body.badge}:
            key = (record.unit, body.shift_id)
            known = found.get(key)
            if known is None or known[1].revision < body.revision:
                found[key] = (record.unit, body)
    return found


def periods_by_shift(records: list[StoredRecord]) -> dict[ShiftKey, list[Coverage]]:
    """Return the periods of each shift, each once."""
    once = {(record.unit, body.period_id): body for record in records if isinstance(body := record.body, Coverage)}
    found: dict[ShiftKey, list[Coverage]] = defaultdict(list)
    for (unit, _), body in once.items():
        if body.shift_id is not None:
            found[unit, body.shift_id].append(body)
    return found


def _row(unit: str, shift: Shift, periods: Sequence[Coverage]) -> ShiftRow:
    zones: dict[str, tuple[int, int, int]] = {}
    for period in periods:
        for zone, metres, located_ms, reads in period.zones:
            before = zones.get(zone, (0, 0, 0))
            zones[zone] = (before[0] + metres, before[1] + located_ms, before[2] + reads)
    return ShiftRow(
        unit,
        shift,
        sum(period.distance_m for period in periods),
        sum(period.unlocated_ms for period in periods),
        tuple(sorted(zones.items())),
    )
