"""Deployment of the simulated month: plan, hours, coverage, whereabouts and incidents are what its truth says."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from zoneinfo import ZoneInfo

import pytest

from station.asker import Asker
from station.deployment.hours import HoursBy
from station.deployment.times import day_of, parse_time
from station.planning import Planning
from station.query.deployment import DeploymentQuery
from station.store import open_store
from tests.month.deploy import deploy
from tests.month.draw import make_month
from tests.month.fill import fill
from tests.month.world import FULL, SMALL, TIME_ZONE, unit_id

# Integration: those tests keep a file in one process, and the month is made once.
pytestmark = [pytest.mark.integration, pytest.mark.slow]
SIZE = FULL if os.environ.get("PATROL_MONTH") == "full" else SMALL
"""`make month` runs the full size."""
CHICAGO = ZoneInfo(TIME_ZONE)
WHY = Asker("sergeant", "month", "27-001")


class Month:
    """A stored month with its plan."""

    def __init__(self, path):
        self.drawn = make_month(SIZE)
        self.truth = self.drawn.truth
        self.store = open_store(path)
        self.first_us, self.last_us = self.drawn.first_us, self.drawn.last_us
        self.warned = deploy(Planning(self.store, WHY, lambda: self.last_us), self.truth)
        fill(self.store, self.drawn)
        self.query = DeploymentQuery(self.store, WHY, lambda: self.last_us)


@pytest.fixture(scope="module")
def month(tmp_path_factory):
    made = Month(tmp_path_factory.mktemp("month") / "station.db")
    yield made
    made.store.close()


def test_plan_equals_the_simulated_one_and_times_by_the_clock_are_its_utc(month):
    """The truth counts the distance from UTC by hand; the station asks the time zone database."""
    view = month.query.plan(month.first_us, month.last_us)
    assert [(one.id, one.badge, one.length_s) for one in view.shifts] == [
        (one.id, one.badge, one.planned_s) for one in month.truth.plan
    ]
    for one in month.truth.plan:
        assert parse_time(one.starts_local, CHICAGO) == one.starts_us
        assert parse_time(one.ends_local, CHICAGO) == one.ends_us


def test_expired_training_and_changed_clocks_are_told_at_planning(month):
    kinds = Counter(conflict.kind for found in month.warned.values() for conflict in found)
    nights = [one for one in month.truth.plan if one.planned_s == 7 * 3600]
    assert kinds["clocks"] == len(nights) > 0
    assert kinds["equipment"] == 0, "a crew shares its radio"


def true_hours(truth, name):
    """Planned and actual seconds, counts, by a name of plan and work."""
    plans = {one.id: one for one in truth.plan}
    rows = defaultdict(lambda: [0, 0, 0, 0, 0, 0])
    for one in truth.plan:
        row = rows[name(one, None)]
        row[0] += one.planned_s
        row[2] += 1
        row[4] += one.id in truth.absent
    for work in truth.shifts:
        row = rows[name(plans.get(work.plan_id), work)]
        row[1] += work.worked_s
        row[3] += 1
        row[5] += not work.plan_id
    return {key: tuple(row) for key, row in rows.items()}


@pytest.mark.parametrize(
    ("by", "name"),
    [
        (HoursBy.PERSON, lambda plan, work: plan.badge if work is None else work.badge),
        (HoursBy.UNIT, lambda plan, work: plan.parts[0].vehicle if work is None else work.unit),
        (HoursBy.ZONE, lambda plan, _: plan.parts[0].zone if plan else ""),
        (HoursBy.OVERTIME, lambda plan, _: plan.overtime_class if plan else ""),
        (HoursBy.DAY, lambda plan, work: str(day_of(plan.starts_us if plan else work.started_us, CHICAGO))),
    ],
)
def test_hours_equal_the_simulated_ones(month, by, name):
    rows = month.query.hours(month.first_us, month.last_us, by)
    found = {
        row.name: (row.planned_s, row.actual_s, row.planned, row.worked, row.missed, row.unplanned) for row in rows
    }
    assert found == true_hours(month.truth, name)


def test_hours_by_activity_equal_the_simulated_ones(month):
    rows = month.query.hours(month.first_us, month.last_us, HoursBy.PERSON)
    for row in rows:
        done, planned = Counter(), Counter()
        for work in month.truth.shifts:
            if work.badge == row.name:
                done.update(dict(work.hours))
        for plan in month.truth.plan:
            if plan.badge == row.name:
                planned.update(dict(plan.hours))
        expected = {name: (planned[name], done[name]) for name in planned.keys() | done.keys()}
        assert row.activities == expected


def test_overtime_is_what_was_worked_beyond_the_plan(month):
    plans = {one.id: one for one in month.truth.plan}
    expected = Counter()
    for work in month.truth.shifts:
        plan = plans.get(work.plan_id)
        expected[work.badge] += 0 if plan is None else max(0, work.worked_s - plan.planned_s)
    rows = month.query.hours(month.first_us, month.last_us)
    assert {row.name: row.overtime_s for row in rows if row.overtime_s} == {k: v for k, v in expected.items() if v}


def test_coverage_by_zone_equals_the_simulated_one(month):
    zones = defaultdict(lambda: [0, 0, 0])
    for period in month.truth.coverage:
        for zone, metres, ms, reads in period.zones:
            for n, value in enumerate((metres, ms, reads)):
                zones[zone][n] += value
    rows = {row.name: row for row in month.query.coverage(month.first_us, month.last_us)}
    total = rows.pop("*")
    assert {name: [row.distance_m, row.located_ms, row.reads] for name, row in rows.items()} == dict(zones)
    assert total.periods == len(month.truth.coverage)
    assert total.unlocated_ms == sum(period.unlocated_ms for period in month.truth.coverage)
    assert total.distance_m == sum(period.distance_m for period in month.truth.coverage)


def test_coverage_by_unit_and_day_equals_the_simulated_one(month):
    units, days = Counter(), Counter()
    for period in month.truth.coverage:
        units[period.unit] += period.located_ms
        days[str(day_of(period.ends_us - 1, CHICAGO))] += period.located_ms
    for by, expected in (("unit", units), ("day", days)):
        rows = month.query.coverage(month.first_us, month.last_us, by)
        assert {row.name: row.located_ms for row in rows} == dict(expected)


def test_whereabouts_equal_the_simulated_ones(month):
    """Which unit was where when: as assigned, also after it was sent elsewhere, as measured, and as tracked."""
    plans = {one.id: one for one in month.truth.plan}
    for number in range(SIZE.units):
        unit = unit_id(number)
        until_us = min(month.last_us, month.first_us + 7 * 86_400_000_000)
        stays = month.query.where(unit, month.first_us, until_us)
        expected = []
        for work in month.truth.shifts:
            if work.unit == unit:
                parts = plans[work.plan_id].parts if work.plan_id else ()
                begins = [work.started_us, *(part.from_us for part in parts[1:])]
                ends = [*begins[1:], work.ended_us]
                zones = [(part.zone,) for part in parts] or [()]
                expected += [(*span, work.badge) for span in zip(begins, ends, zones, strict=True)]
        found = [(one.from_us, one.until_us, one.zones, one.badge) for one in stays if one.kind == "shift"]
        assert sorted(found) == sorted(span for span in expected if span[0] < until_us)
        tracked = [(one.from_us, one.lat_deg, one.lon_deg) for one in stays if one.kind == "position"]
        truth = sorted(
            (at, lat, lon) for name, at, lat, lon in month.truth.tracks if name == unit and at < until_us
        )
        assert [at for at, _, _ in tracked] == [at for at, _, _ in truth]
        assert tracked == [(at, pytest.approx(lat), pytest.approx(lon)) for at, lat, lon in truth]
        periods = [one.from_us for one in stays if one.kind == "coverage"]
        assert len(periods) == len(set(periods))
        told = sum(c.unit == unit and c.ends_us <= until_us for c in month.truth.coverage)
        assert told <= len(periods) <= told + 1


def test_incidents_equal_the_simulated_ones(month):
    report = month.query.incidents(month.first_us, month.last_us)
    truth = month.truth.incidents
    assert {row.incident_id for row in report.rows} == {one.incident_id for one in truth}
    assert report.counts.by_category == dict(Counter(one.category for one in truth).most_common())
    assert report.counts.by_outcome == Counter(one.outcome or "(no answer)" for one in truth)
    assert report.counts.by_contribution == Counter(one.contribution or "(no answer)" for one in truth)
    assert report.counts.by_zone == Counter(zone for one in truth for zone in one.zones or ("(outside)",))
    assert report.counts.by_unit == Counter(one.unit for one in truth)
    assert report.counts.by_shift == Counter(one.shift_id.hex() for one in truth)
    assert report.days == Counter(str(day_of(one.utc_us, CHICAGO)) for one in truth)
    assert sum(cell.count for cell in report.cells) == len(truth)
    for cell in report.cells:
        inside = [
            one for one in truth if cell.south <= one.lat_deg < cell.north and cell.west <= one.lon_deg < cell.east
        ]
        assert len(inside) == cell.count


def test_links_of_incidents_say_what_was_deleted(month):
    reads = {read.read_id: read for read in month.truth.reads}
    states = Counter()
    for one in month.truth.incidents:
        detail = month.query.incident(one.incident_id)
        assert (detail.row.category, detail.body.case_number) == (one.category, one.case_number)
        for link in detail.links:
            if link.kind == "hit":
                assert link.state == "here"
                continue
            expected = "deleted" if reads[link.id].purged else "here"
            assert link.state == expected
            states[expected] += 1
    assert states["deleted"] > 0
    assert states["here"] > 0
