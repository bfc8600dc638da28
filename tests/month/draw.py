"""Draws the month: who worked where, what was read, hit and decided; bodies of records with their times, and truth."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from protocol.wire.enums import DispositionAction, HitStage, IncidentStage, ShiftStage
from protocol.wire.records.audit import AUDIT_START
from tests.month import bodies, world
from tests.month.truth import (
    TrueCoverage,
    TrueHit,
    TrueHold,
    TrueIncident,
    TrueList,
    TrueLookUp,
    TrueRead,
    TrueShift,
    Truth,
)
from tests.month.world import AREAS, OUTSIDE, S_PER_H, US_PER_S, Planned, Size

if TYPE_CHECKING:
    from protocol.wire.registry import RecordBody

MINUTE_US = 60 * US_PER_S
PERIOD_US = 30 * MINUTE_US
_SPEED_MPS = 10
_STALE_S = 86_400
_LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"
_LISTS = (
    ("stolen", "Stolen vehicles", "Example State Police"),
    ("county", "County list", "Example County"),
    ("stolen", "Stolen vehicles", "Example State Police"),
)
_FATES = (
    ("confirmed", "", "recovered"),
    ("rejected", "misread", ""),
    ("rejected", "other_region", ""),
    ("acknowledged", "", ""),
    ("confirmed", "", "arrest"),
    ("withdrawn", "", ""),
    ("expired", "", ""),
    ("rejected", "misread", ""),
    ("new", "", ""),
    ("confirmed", "", ""),
)
"""State, reason, outcome."""
_CONFUSED = {"8": "B", "0": "D", "5": "S", "1": "J"}


@dataclass(frozen=True, slots=True)
class Event:
    """A record at its time."""

    utc_us: int
    unit: str
    body: RecordBody
    record_id: bytes | None = None
    """None: made from boot and number, as units do."""


@dataclass(slots=True)
class Month:
    """A drawn month."""

    size: Size
    truth: Truth = field(default_factory=Truth)
    events: list[Event] = field(default_factory=list)
    """In the order of their times."""
    pictures: dict[bytes, str] = field(default_factory=dict)
    """Reads that have a picture, and the plate in it."""

    @property
    def first_us(self) -> int:
        """Midnight of the first day in the agency's time zone."""
        return world.utc_us(self.size.first, 0)

    @property
    def last_us(self) -> int:
        """Two days after the last planned day began: everything has ended."""
        return world.utc_us(self.size.first + timedelta(days=self.size.days + 1), 0)


def make_month(size: Size) -> Month:
    """Draw a month; the same size gives the same month."""
    draw = _Draw(size)
    draw.run()
    draw.month.events.sort(key=lambda event: (event.utc_us, event.unit))
    return draw.month


class _Draw:
    def __init__(self, size: Size) -> None:
        self.month = Month(size)
        self._truth = self.month.truth
        self._random = random.Random(size.seed)  # noqa: S311 - a simulation
        self._covered_us: dict[str, int] = {}
        self._places: dict[bytes, int] = {}
        self._audits: dict[str, tuple[int, bytes]] = {}
        self._entries: list[tuple[int, str, dict[str, str]]] = []
        self._held: list[tuple[str, str, tuple[bytes, ...]]] = []

    def run(self) -> None:
        size, truth = self.month.size, self._truth
        truth.people = world.people(size)
        truth.plan = world.plan(size)
        self._update_lists()
        for number, planned in enumerate(truth.plan):
            if number % 23 == 11:
                truth.absent.append(planned.id)
                continue
            starts = planned.starts_us + self._random.randrange(-5, 11) * MINUTE_US
            ends = planned.ends_us + self._random.randrange(-10, 41) * MINUTE_US
            self._shift(planned, planned.badge, planned.parts[0].vehicle, starts, ends)
            if number == 3:
                # Called at night; no plan.
                unit = world.unit_id(1)
                begin = world.utc_us(size.first + timedelta(days=1), 2)
                self._shift(None, "9001", unit, begin, begin + 2 * S_PER_H * US_PER_S)
        self._unit_purges()
        self._holds()
        self._write_audit()

    def _id(self) -> bytes:
        return self._random.randbytes(16)

    def _add(self, utc_us: int, unit: str, body: RecordBody, record_id: bytes | None = None) -> None:
        self.month.events.append(Event(utc_us, unit, body, record_id))

    def _update_lists(self) -> None:
        """A version a day, at 05:00 by the clock; every fifth day none comes."""
        for number in range(-2, self.month.size.days + 1):
            if number % 5 == 3:
                continue
            as_of_us = world.utc_us(self.month.size.first + timedelta(days=number), 5)
            for list_id, name, owner in _LISTS[:2]:
                self._truth.lists.append(TrueList(list_id, name, owner, 100 + number, as_of_us, 1000 + number))

    def _list_at(self, list_id: str, utc_us: int) -> TrueList:
        return next(
            one for one in reversed(self._truth.lists) if one.list_id == list_id and one.as_of_us <= utc_us
        )

    def _shift(self, planned: Planned | None, badge: str, unit: str, started: int, ended: int) -> None:
        shift_id = self._id()
        begin = max(started, self._covered_us.get(unit, 0))
        self._covered_us[unit] = max(begin, ended)
        reads: list[TrueRead] = []
        totals = [0, 0]
        zones_ms: dict[str, int] = {}
        while begin < ended:
            until = min(begin + PERIOD_US, ended)
            found = self._period(planned, unit, shift_id, begin, until)
            reads += found[1]
            totals[0] += found[0].distance_m
            totals[1] += found[0].unlocated_ms
            for zone, _, ms, _ in found[0].zones:
                zones_ms[zone] = zones_ms.get(zone, 0) + ms
            begin = until
        incidents = self._hits(badge, shift_id, reads) if reads else []
        unanswered = sum(incident.stage == "unanswered" for incident in incidents)
        report_s = min(S_PER_H, (ended - started) // US_PER_S // 2)
        done = (("patrol", (ended - started) // US_PER_S - report_s), ("report", report_s))
        self._truth.shifts.append(
            TrueShift(
                shift_id, unit, badge, "" if planned is None else planned.id, started, ended, done,
                tuple(sorted(zones_ms.items())), totals[0], totals[1], len(reads), len(incidents),
            )
        )  # fmt: skip
        report_us = ended - report_s * US_PER_S
        stages = (
            (ShiftStage.STARTED, started, (("patrol", 0),)),
            (ShiftStage.CHANGED, report_us, (done[0], ("report", 0))),
            (ShiftStage.ENDED, ended, done),
        )
        for revision, (stage, at_us, hours) in enumerate(stages):
            body = bodies.shift_body(
                planned, badge=badge, unit=unit, shift_id=shift_id, stage=stage, revision=revision, utc_us=at_us,
                started_us=started, hours=hours, incidents=len(incidents), unanswered=unanswered,
            )  # fmt: skip
            self._add(at_us, unit, body)
        self._entry(started, unit, who=badge, action="sign_on", obj=unit)
        if reads and len(self._truth.shifts) % 4 == 1:
            self._look_up(unit, badge, reads[0])

    def _period(
        self, planned: Planned | None, unit: str, shift_id: bytes, begin: int, until: int
    ) -> tuple[TrueCoverage, list[TrueRead]]:
        """One period: a tenth without a position, most of it in the zone of the assignment, the rest outside."""
        own = AREAS[0] if planned is None else _area_at(planned, begin)
        length_ms = (until - begin) // 1000
        unlocated = length_ms // 10
        outside = length_ms // 5
        located = length_ms - unlocated
        zones_ms: dict[str, int] = {own.id: located - outside, "": outside}
        if own.id == "north":
            # Half of it where North and River overlap.
            zones_ms["river"] = zones_ms["north"] // 2
        count = self._reads_in(until - begin)
        reads = [self._read(own, unit, shift_id, begin, until) for _ in range(count)]
        counts: dict[str, int] = {}
        for read in reads:
            for zone in read.zones or ("",):
                counts[zone] = counts.get(zone, 0) + 1
        zones = tuple(
            (zone, zones_ms.get(zone, 0) * _SPEED_MPS // 1000, zones_ms.get(zone, 0), counts.get(zone, 0))
            for zone in sorted(zones_ms.keys() | counts.keys())
        )
        distance = located * _SPEED_MPS // 1000
        coverage = TrueCoverage(unit, shift_id, until, zones, distance, located, unlocated)
        self._truth.coverage.append(coverage)
        body = bodies.coverage_body(
            self._id(),
            shift_id,
            until,
            until - begin,
            zones=zones,
            totals=(distance, located, unlocated),
        )
        self._add(until, unit, body)
        at = self._point(own)
        self._truth.tracks.append((unit, begin, *at))
        self._add(begin, unit, bodies.track_body(shift_id, begin, *at))
        return coverage, reads

    def _reads_in(self, length_us: int) -> int:
        expected = self.month.size.reads_per_shift * length_us / (10 * S_PER_H * US_PER_S)
        return int(expected) + (self._random.random() < expected % 1)

    def _point(self, own: world.Area) -> tuple[float, float]:
        if self._random.random() < 0.15:
            return OUTSIDE
        lat = self._random.uniform(own.south + 0.001, own.north - 0.001)
        lon = self._random.uniform(own.west + 0.001, own.east - 0.001)
        return round(lat, 6), round(lon, 6)

    def _plate(self) -> str:
        draw = self._random
        return f"{draw.randrange(10)}{''.join(draw.choices(_LETTERS, k=3))}{draw.randrange(1000):03}"

    def _read(self, own: world.Area, unit: str, shift_id: bytes, begin: int, until: int) -> TrueRead:
        lat, lon = self._point(own)
        at_us = self._random.randrange(begin, until)
        zones = tuple(area.id for area in AREAS if area.has(lat, lon))
        region = self._random.choice(("US-TX", "US-OK", "US-NM"))
        read = TrueRead(unit, self._id(), shift_id, self._plate(), region, at_us, lat, lon, zones, "nonhit")
        self._truth.reads.append(read)
        self._places[read.read_id] = len(self.month.events)
        self._add(at_us, unit, bodies.read_body(read, len(self._truth.reads)), read.read_id)
        return read

    def _hits(self, badge: str, shift_id: bytes, reads: list[TrueRead]) -> list[TrueIncident]:
        """One hit in most shifts, whose fates take turns; incidents of confirmed hits, and others."""
        made: list[TrueIncident] = []
        if self._random.random() < 0.85:
            hit, read = self._hit(badge, shift_id, self._random.choice(reads))
            if hit.state == "confirmed":
                answer = ("identified", hit.outcome) if hit.outcome else ("", "")
                made.append(self._incident(read, (hit.hit_id,), reads, answer))
        if len(self._truth.shifts) % 3 == 0:
            number = len(self._truth.incidents)
            answers = (("none", "none"), ("unknown", "unknown"), ("misled", "released"), ("", ""))
            made.append(self._incident(reads[-1], (), reads, answers[number % len(answers)]))
        return made

    def _hit(self, badge: str, shift_id: bytes, read: TrueRead) -> tuple[TrueHit, TrueRead]:
        number = len(self._truth.hits)
        state, reason, outcome = _FATES[number % len(_FATES)]
        list_id, _, owner = _LISTS[number % len(_LISTS)]
        of = self._list_at(list_id, read.utc_us)
        listed = read.plate if reason != "misread" else _misread(read.plate)
        age_s = (read.utc_us - of.as_of_us) // US_PER_S
        hit = TrueHit(
            read.unit, self._id(), read.read_id, shift_id, read.utc_us, read.plate, listed, list_id, owner,
            of.version, of.as_of_us, age_s > _STALE_S, "exact" if listed == read.plate else "approximate", state,
            reason, outcome, badge,
        )  # fmt: skip
        self._truth.hits.append(hit)
        self._keep_as_hit(read)
        self._hit_records(hit, read)
        return hit, read

    def _keep_as_hit(self, read: TrueRead) -> None:
        read.retention = "hit"
        self.month.pictures[read.read_id] = read.plate
        number = self._places[read.read_id]
        event = self.month.events[number]
        body = event.body.model_copy(update={"retention": bodies.Retention(policy_class="hit")})
        self.month.events[number] = replace(event, body=body)

    def _hit_records(self, hit: TrueHit, read: TrueRead) -> None:
        at, unit = hit.utc_us, hit.unit
        last = HitStage.WITHDRAWN if hit.state == "withdrawn" else HitStage.FINAL
        self._add(at, unit, bodies.hit_body(hit, read, HitStage.PREVIEW))
        self._add(at + 2 * US_PER_S, unit, bodies.hit_body(hit, read, last))
        done: list[DispositionAction] = []
        if hit.state in {"acknowledged", "confirmed", "rejected"}:
            done.append(DispositionAction.ACKNOWLEDGED)
        if hit.state in {"confirmed", "rejected", "expired"}:
            done.append(DispositionAction(hit.state))
        if hit.outcome:
            done.append(DispositionAction.OUTCOME)
        for step, action in enumerate(done, 1):
            made_us = at + step * MINUTE_US
            self._add(made_us, unit, bodies.disposition_body(hit, action, made_us))

    def _incident(
        self, read: TrueRead, hits: tuple[bytes, ...], reads: list[TrueRead], answer: tuple[str, str]
    ) -> TrueIncident:
        number = len(self._truth.incidents) + 1
        linked = tuple(dict.fromkeys((read.read_id, *(one.read_id for one in reads[:2]))))
        stage = "closed" if answer[0] else "unanswered"
        incident = TrueIncident(
            self._id(), read.unit, read.shift_id, read.utc_us, read.lat_deg, read.lon_deg, read.zones,
            world.CATEGORIES[number % len(world.CATEGORIES)], f"27-{number:04}", stage, answer[1], answer[0],
            linked, hits,
        )  # fmt: skip
        self._truth.incidents.append(incident)
        at, unit = read.utc_us, read.unit
        self._add(at, unit, bodies.incident_body(incident, IncidentStage.OPENED, 0, 0))
        ended = at + 20 * MINUTE_US
        self._add(ended, unit, bodies.incident_body(incident, IncidentStage(stage), ended, 1))
        if len(self._held) < 2:
            self._held.append((incident.case_number, unit, linked))
        return incident

    def _look_up(self, unit: str, badge: str, read: TrueRead) -> None:
        at = read.utc_us + MINUTE_US
        case = f"27-{len(self._truth.look_ups):04}"
        made = TrueLookUp(unit, at, badge, read.plate, "stolen vehicle", case)
        self._truth.look_ups.append(made)
        self._entry(at, unit, who=badge, action="look_up", obj=read.plate, purpose=made.purpose, case_number=case)

    def _entry(self, utc_us: int, unit: str, **values: str) -> None:
        self._entries.append((utc_us, unit, values))

    def _unit_purges(self) -> None:
        for day in range(1, self.month.size.days):
            at = world.utc_us(self.month.size.first + timedelta(days=day), 1)
            for unit in range(self.month.size.units):
                name = world.unit_id(unit)
                self._truth.unit_purges.append((name, at, 5 + unit))
                self._add(at, name, bodies.purge_body(at, 5 + unit))

    def _holds(self) -> None:
        """One hold is released before the last purge, the other one is not."""
        size = self.month.size
        placed = world.utc_us(size.first + timedelta(days=1), 12)
        released = (world.utc_us(size.first + timedelta(days=size.days - 1), 0), 0)
        self._truth.holds = [
            TrueHold(case, unit, ids, placed, until)
            for (case, unit, ids), until in zip(self._held, released, strict=False)
        ]

    def _write_audit(self) -> None:
        for utc_us, unit, values in sorted(self._entries, key=lambda one: (one[0], one[1])):
            n, prev = self._audits.get(unit, (0, AUDIT_START))
            body = bodies.audit_body(n + 1, prev, utc_us, **values)
            self._audits[unit] = (n + 1, body.digest())
            self._add(utc_us, unit, body)


def _area_at(planned: Planned, utc_us: int) -> world.Area:
    part = [part for part in planned.parts if part.from_us <= max(utc_us, planned.starts_us)][-1]
    return next(area for area in AREAS if area.id == part.zone)


def _misread(plate: str) -> str:
    """The listed text that was taken for this one: one character differs."""
    for n, char in enumerate(plate):
        if char in _CONFUSED:
            return plate[:n] + _CONFUSED[char] + plate[n + 1 :]
    return plate[:-1] + ("B" if plate[-1] != "B" else "8")
