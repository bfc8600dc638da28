"""Queries about deployment: plan, hours, coverage, where a unit was, incidents.

Who is planned, works or drives where is employees' data: these queries need a purpose.  Coverage, places and incidents
name nobody.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from protocol.wire.records.coverage import Coverage
from protocol.wire.records.incident import Incident
from protocol.wire.records.read import Read
from protocol.wire.records.shift import Shift
from protocol.wire.records.track_point import TrackPoints
from station.deployment.conflicts import Planner
from station.deployment.hours import HoursBy, HoursRow, sum_hours
from station.deployment.incidents import Cell, IncidentCounts, by_day, count_incidents, heat_map
from station.deployment.times import day_of
from station.deployment.zones import ZoneIndex, overlaps
from station.errors import DeploymentError, ScopeError
from station.query.query import Query
from station.query.take_over import take_over
from station.store.deployment.port import CoverageSum

if TYPE_CHECKING:
    from collections.abc import Sequence

    from station.deployment.conflicts import Conflict
    from station.deployment.hours import WorkedShift
    from station.deployment.incidents import IncidentRow
    from station.deployment.model import PlannedShift, Resources, Settings
    from station.query.stored import StoredRecord
    from station.store.deployment.port import Kept

MAX_WHERE_US = 7 * 86_400_000_000
"""Longest time for which the whereabouts of a unit are shown at once."""
_DAY_US = 86_400_000_000
_LATE_US = 7 * _DAY_US
"""How late a record may arrive and still be found by its time."""


@dataclass(frozen=True, slots=True)
class PlanView:
    """A part of the plan, with what is wrong with it."""

    resources: Resources
    settings: Settings
    shifts: tuple[PlannedShift, ...]
    """By start; with the cancelled ones."""
    conflicts: dict[str, tuple[Conflict, ...]]
    """By the id of the shift; those without any are left out."""


@dataclass(frozen=True, slots=True)
class Places:
    """Zones, checkpoints, vehicles and equipment; no people."""

    resources: Resources
    settings: Settings
    overlaps: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Stay:
    """Where a unit was in a time, as one record says."""

    kind: str
    """``shift``: assigned; ``coverage``: measured; ``position``: from a track."""
    from_us: int
    until_us: int
    zones: tuple[str, ...]
    badge: str = ""
    lat_deg: float | None = None
    lon_deg: float | None = None
    minutes: tuple[tuple[str, float], ...] = ()
    """Zone and minutes in it."""


@dataclass(frozen=True, slots=True)
class Link:
    """A read or hit to which an incident refers."""

    kind: str
    """``read`` or ``hit``."""
    id: bytes
    record: StoredRecord | None
    state: str
    """``here``, ``deleted`` under its retention policy, or ``not received``."""


@dataclass(frozen=True, slots=True)
class IncidentDetail:
    """One incident with everything that belongs to it."""

    row: IncidentRow
    body: Incident
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class IncidentReport:
    """Incidents of a time."""

    rows: tuple[IncidentRow, ...]
    counts: IncidentCounts
    cells: tuple[Cell, ...]
    days: dict[str, int]
    since_us: int
    until_us: int
    cell_m: float


class DeploymentQuery(Query):
    """Queries of one operator about deployment; every method raises StoreError, and then nothing was returned."""

    def places(self) -> Places:
        """Zones, checkpoints, vehicles and equipment."""
        found = self._seen_places(self._store.deployment.resources())
        self._note("show zones", len(found.zones))
        return Places(replace(found, people=()), self._store.deployment.settings(), tuple(overlaps(found.zones)))

    def settings(self) -> Settings:
        """The agency's settings; they name nobody."""
        return self._store.deployment.settings()

    def people(self) -> Resources:
        """Everyone who can be planned.  Raises PurposeError."""
        self._refuse_without_purpose(Shift.SCHEMA)
        self._refuse_unless_all()
        found = self._store.deployment.resources()
        self._note("show people", len(found.people))
        # Nobody who looks needs the hashes of PINs.
        hidden = tuple(replace(person, pin="set" if person.pin else None) for person in found.people)
        return replace(found, people=hidden)

    def plan(self, since_us: int, until_us: int, *, badge: str | None = None) -> PlanView:
        """Shifts that overlap with a time, and their conflicts with all others.  Raises PurposeError."""
        self._refuse_without_purpose(Shift.SCHEMA)
        self._refuse_unless_all()
        store = self._store.deployment
        resources, settings = store.resources(), store.settings()
        # Conflicts of a shift may be with one before or after, and with the hours of its week.
        near = store.shifts(since_us - 8 * _DAY_US, until_us + 8 * _DAY_US)
        shifts = store.shifts(since_us, until_us, badge=badge, cancelled=True)
        planner = Planner(resources, settings, near)
        conflicts = {shift.id: tuple(planner.conflicts(shift)) for shift in shifts}
        self._note("show plan", len(shifts), since_us=since_us, until_us=until_us, badge=badge)
        return PlanView(
            self._without_pins(resources),
            settings,
            tuple(shifts),
            {name: found for name, found in conflicts.items() if found},
        )

    def planned_shift(self, shift_id: str) -> PlannedShift | None:
        """One shift of the plan; None if there is none.  Raises PurposeError."""
        self._refuse_without_purpose(Shift.SCHEMA)
        self._refuse_unless_all()
        found = self._store.deployment.shift(shift_id)
        self._note("show planned shift", int(found is not None), id=shift_id)
        return found

    def own_shifts(self, since_us: int, until_us: int) -> tuple[list[PlannedShift], list[WorkedShift]]:
        """What whoever asks is planned for and has worked; nothing without a person that has the account."""
        take_over(self._store)
        store = self._store.deployment
        own = [one.badge for one in store.resources().people if one.account == self._asker.who]
        planned = [one for badge in own for one in store.shifts(since_us, until_us, badge=badge, cancelled=True)]
        worked = [one for badge in own for one in store.worked(since_us, until_us, badge=badge)]
        self._note("show own shifts", len(planned) + len(worked), since_us=since_us, until_us=until_us)
        return planned, worked

    def hours(
        self, since_us: int, until_us: int, by: HoursBy = HoursBy.PERSON, *, badge: str | None = None
    ) -> list[HoursRow]:
        """Planned and actual hours of the shifts that began in a time.  Raises PurposeError."""
        self._refuse_without_purpose(Shift.SCHEMA)
        self._refuse_unless_all()
        take_over(self._store)
        store = self._store.deployment
        # A shift counts with its plan, also if it began a little before or after the time that is asked for.
        near = store.shifts(since_us - _DAY_US, until_us + _DAY_US, badge=badge)
        planned = [shift for shift in near if since_us <= shift.starts_us < until_us]
        inside, around = {shift.id for shift in planned}, {shift.id for shift in near}
        worked = [
            one
            for one in store.worked(since_us - _DAY_US, until_us + _DAY_US, badge=badge)
            if one.plan_id in inside or (one.plan_id not in around and since_us <= one.when_us < until_us)
        ]
        rows = sum_hours(planned, worked, by, store.settings().zone, self._clock_us())
        self._note("show hours", len(rows), since_us=since_us, until_us=until_us, by=by.value, badge=badge)
        return rows

    def coverage(self, since_us: int, until_us: int, by: str = "zone") -> list[CoverageSum]:
        """Kilometres, minutes and reads of a time, by ``zone``, ``unit``, ``hour`` or ``day``.

        The time is counted in whole hours of UTC: each period belongs to the hour in which it ends.
        """
        self._refuse_without_why()
        take_over(self._store)
        store, scope = self._store.deployment, self._asker.scope
        if scope.zones is not None and by != "zone":
            raise ScopeError("this account sees the coverage of its zones alone: ask for it by zone")
        found = store.coverage(since_us, until_us, "hour" if by == "day" else by, scope=scope)
        if by == "day":
            found = _days(found, store.settings())
        found = [row for row in found if scope.zones is None or row.name in scope.zones]
        self._note("show coverage", len(found), since_us=since_us, until_us=until_us, by=by)
        return found

    def where(self, unit: str, since_us: int, until_us: int) -> list[Stay]:
        """Where a unit was: assigned, measured by zone, and positions as far as a policy kept them.

        Raises PurposeError, and DeploymentError for more than a week.
        """
        self._refuse_without_purpose(Shift.SCHEMA)
        if until_us - since_us > MAX_WHERE_US:
            raise DeploymentError("ask for at most seven days of one unit at a time")
        if self._asker.scope.zones is not None:
            raise ScopeError(
                "where a unit was, also outside of zones, is for accounts that are not limited to some"
            )
        self._refuse_outside(unit)
        stays = self._assigned(unit, since_us, until_us)
        for schema in (Coverage.SCHEMA, TrackPoints.SCHEMA):
            for row in self._store.each(schema, unit=unit, since_us=since_us):
                if row.received_us > until_us + _LATE_US:
                    break
                for stored in self._visible([row]):
                    stays += _stays(stored)
        kept = [stay for stay in stays if stay.from_us < until_us and since_us < stay.until_us]
        self._note("show whereabouts", len(kept), unit=unit, since_us=since_us, until_us=until_us)
        return sorted(kept, key=lambda stay: (stay.from_us, stay.kind))

    def _assigned(self, unit: str, since_us: int, until_us: int) -> list[Stay]:
        """What was planned where there was a plan, as it changed during the shift; else what the officer chose."""
        take_over(self._store)
        store = self._store.deployment
        stays = []
        for work in store.worked(since_us - 2 * _DAY_US, until_us):
            if work.unit != unit:
                continue
            ends = work.when_us + work.worked_s * 1_000_000
            plan = store.shift(work.plan_id) if work.plan_id else None
            if plan is None:
                stays.append(Stay("shift", work.when_us, ends, _named(work.zone), work.badge))
                continue
            spans = plan.spans()
            for n, (begin, end, part) in enumerate(spans):
                first = work.when_us if n == 0 else begin
                last = ends if n == len(spans) - 1 else min(end, ends)
                if first < last:
                    stays.append(Stay("shift", first, last, _named(part.zone), work.badge))
        return stays

    def incidents(
        self,
        since_us: int,
        until_us: int,
        *,
        category: str | None = None,
        zone: str | None = None,
        outcome: str | None = None,
        contribution: str | None = None,
        shift_id: bytes | None = None,
        cell_m: float = 1000.0,
    ) -> IncidentReport:
        """Incidents of a time, counted, on a grid and by day.  An empty outcome or contribution: without an answer.

        Raises DeploymentError for a grid that is not possible.
        """
        self._refuse_without_why()
        take_over(self._store)
        store = self._store.deployment
        index = ZoneIndex(store.resources().zones)
        placed = (
            replace(row, zones=index.at(row.lat_e7, row.lon_e7))
            for row in store.incidents(since_us, until_us, scope=self._asker.scope)
        )
        rows = tuple(
            row
            for row in placed
            if category in {None, row.category}
            and outcome in {None, row.outcome}
            and contribution in {None, row.contribution}
            and shift_id in {None, row.shift_id}
            and (zone is None or zone in row.zones)
            and self._zones.has(row.lat_e7, row.lon_e7)
        )
        try:
            cells = tuple(heat_map(((row.lat_e7, row.lon_e7) for row in rows), cell_m))
        except ValueError as error:
            raise DeploymentError(str(error)) from None
        days = by_day((row.when_us for row in rows), store.settings().zone)
        self._note(
            "show incidents",
            len(rows),
            since_us=since_us,
            until_us=until_us,
            category=category,
            zone=zone,
            outcome=outcome,
        )
        return IncidentReport(rows, count_incidents(rows), cells, days, since_us, until_us, cell_m)

    def incident(self, incident_id: bytes, *, plates: bool = True) -> IncidentDetail | None:
        """One incident with its reads and hits; None if it is unknown or was deleted.

        Its reads count as those of a search, unless whoever asks does not show ``plates``.  Raises BoundError.
        """
        self._refuse_without_why()
        take_over(self._store)
        store = self._store.deployment
        row = store.incident(incident_id)
        found = None if row is None else self._store.record(row.unit, row.record_id)
        visible = self._visible([] if found is None else [found])
        body = visible[0].body if visible else None
        if row is None or not isinstance(body, Incident):
            self._note("show incident", len(visible), id=incident_id.hex())
            return None
        zones = ZoneIndex(store.resources().zones).at(row.lat_e7, row.lon_e7)
        links = (*(self._read_link(row.unit, name) for name in row.reads), *self._hit_links(row))
        shown = [link.record for link in links if plates and link.record is not None]
        self._note_reads("show incident", shown, len(visible), id=incident_id.hex())
        return IncidentDetail(replace(row, zones=zones), body, links)

    def _read_link(self, unit: str, read_id: bytes) -> Link:
        found = self._store.record(unit, read_id)
        if found is not None and found.schema != Read.SCHEMA:
            # The unit names a record of another type.
            return Link("read", read_id, None, "not received")
        if found is not None and (visible := self._visible([found])):
            return Link("read", read_id, visible[0], "here")
        was_here = self._store.deployment.was_received(unit, read_id)
        return Link("read", read_id, None, "deleted" if was_here else "not received")

    def _hit_links(self, row: IncidentRow) -> list[Link]:
        """A hit has an id of its own, which its records name."""
        latest: dict[bytes, StoredRecord] = {}
        if row.hits:
            for found in self._store.each("hit/1", unit=row.unit, since_us=row.when_us - _DAY_US):
                if found.received_us > row.when_us + _LATE_US:
                    break
                for record in self._visible([found]):
                    hit_id = getattr(record.body, "hit_id", None)
                    if hit_id in row.hits:
                        latest[hit_id] = record
        return [
            Link("hit", name, latest.get(name), "here" if name in latest else "deleted or not received")
            for name in row.hits
        ]

    def kept(self) -> list[Kept]:
        """What deployment's tables hold."""
        found = self._store.deployment.kept()
        self._note("show deployment tables", len(found))
        return found

    def _seen_places(self, resources: Resources) -> Resources:
        """Zones to which the account is limited, and the checkpoints in them."""
        own = self._asker.scope.zones
        if own is None:
            return resources
        zones = tuple(zone for zone in resources.zones if zone.id in own)
        points = tuple(one for one in resources.checkpoints if self._zones.has(one.lat_e7, one.lon_e7))
        return replace(resources, zones=zones, checkpoints=points)

    def _without_pins(self, resources: Resources) -> Resources:
        return replace(resources, people=tuple(replace(one, pin=None) for one in resources.people))


def _named(zone: str) -> tuple[str, ...]:
    return (zone,) if zone else ()


def _days(hours: Sequence[CoverageSum], settings: Settings) -> list[CoverageSum]:
    """Sums of the agency's days."""
    zone = settings.zone
    found: dict[str, CoverageSum] = {}
    for row in hours:
        name = str(day_of(int(row.name), zone))
        before = found.get(name, CoverageSum(name, 0, 0, 0))
        found[name] = CoverageSum(
            name,
            before.distance_m + row.distance_m,
            before.located_ms + row.located_ms,
            before.reads + row.reads,
            before.unlocated_ms + row.unlocated_ms,
            before.periods + row.periods,
            before.jumps + row.jumps,
        )
    return [found[name] for name in sorted(found)]


def _stays(stored: StoredRecord) -> list[Stay]:
    body = stored.body
    if stored.utc_us is None:
        return []
    # Nothing is made after its receipt: a clock that says so is wrong, and its time may be beyond the calendar.
    utc_us = min(stored.utc_us, stored.received_us or stored.utc_us)
    if isinstance(body, Coverage):
        begin = max(0, utc_us - (body.mono_us - body.mono_first_us))
        minutes = tuple((zone, ms / 60_000) for zone, _, ms, _ in body.zones if ms)
        return [Stay("coverage", begin, utc_us, tuple(zone for zone, _ in minutes if zone), minutes=minutes)]
    if isinstance(body, TrackPoints):
        return [
            Stay("position", at, at + 1, (), lat_deg=lat / 1e7, lon_deg=lon / 1e7)
            for ms, lat, lon, *_ in body.points
            for at in (utc_us + ms * 1000,)
        ]
    return []
