"""Deployment's tables, queries and commands, on SQLite and PostgreSQL."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from protocol.errors import SignedFileError
from protocol.roster.envelope import roster_header, sign_roster
from protocol.seal import SigningKey
from protocol.wire.codec import I63_MAX, U16_MAX
from protocol.wire.enums import IncidentStage, ShiftStage, TimeSource
from protocol.wire.parts import TimeQuality
from station.asker import EVERYTHING, Asker, Scope
from station.commands import Commands
from station.deployment.hours import HoursBy
from station.deployment.model import Asset, Assignment, Checkpoint, Person, PlannedShift, Settings
from station.deployment.zones import make_zone
from station.errors import DeploymentError, PlanConflictError, PurposeError, ScopeError
from station.planning import Planning
from station.query.deployment import DeploymentQuery
from station.query.shifts import ShiftsOf
from station.query.take_over import take_over, taken_over_faults
from station.retention.holds import HoldDesk, hold_scope
from station.retention.schedule import Retention
from station.store import AuditRow, NewRecord, move_store, open_store
from tests.builders import make_read_record, make_record
from tests.shift_builders import make_coverage, make_incident, make_shift, make_track_points
from tests.station_files import add

H_US = 3_600_000_000
DAY_US = 24 * H_US
MONDAY_US = 1_779_667_200_000_000  # 2026-05-25 00:00 UTC
NOW_US = MONDAY_US + 3 * DAY_US
WHY = Asker("sergeant", "planning week 22")
NORTH = make_zone("north", "North", ((44.9, -100.1), (44.9, -99.9), (45.1, -99.9), (45.1, -100.1)))
RIVER = make_zone("river", "River", ((45.0, -100.0), (45.0, -99.5), (45.2, -99.5), (45.2, -100.0)))


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.integration)])
def store(request, tmp_path):
    is_file = request.param == "sqlite"
    opened = open_store(tmp_path / "station.db" if is_file else request.getfixturevalue("postgres").new_database())
    yield opened
    opened.close()


def planning(store, asker=WHY, now_us=NOW_US):
    return Planning(store, asker, lambda: now_us)


def query(store, asker=WHY, now_us=NOW_US):
    return DeploymentQuery(store, asker, lambda: now_us)


@pytest.fixture
def agency(store):
    """A store with people, places and vehicles."""
    does = planning(store)
    does.put_people(
        [Person("4711", "A. Example", training_until=dt.date(2026, 6, 30)), Person("4712", "B. Example")]
    )
    does.put_zones([NORTH, RIVER])
    does.put_checkpoint(Checkpoint("cp-1", "Bridge", 450_000_000, -1_000_000_000))
    for name in ("unit-07", "unit-08"):
        does.put_asset(Asset(name, "vehicle", unit=name))
    does.put_asset(Asset("rifle-3", "equipment", "Rifle"))
    return store


def shift(shift_id="s1", *, badge="4711", day=0, first_h=6, hours=10, vehicle="unit-07", **other):
    starts = MONDAY_US + day * DAY_US + first_h * H_US
    values = {
        "id": shift_id,
        "badge": badge,
        "starts_us": starts,
        "ends_us": starts + hours * H_US,
        "overtime_class": "",
        "hours": (("patrol", 8 * 3600), ("report", 3600)),
        "assignments": (Assignment(starts, "north", "", "patrol", vehicle, ("rifle-3",)),),
    }
    return PlannedShift(**{**values, **other})


def test_what_was_put_comes_back(agency):
    found = query(agency).people()
    assert [person.badge for person in found.people] == ["4711", "4712"]
    assert found.people[0].training_until == dt.date(2026, 6, 30)
    assert found.zones == (NORTH, RIVER)
    assert [asset.id for asset in found.assets] == ["rifle-3", "unit-07", "unit-08"]
    assert query(agency).places().overlaps == (("north", "river"),)
    assert query(agency).places().resources.people == ()


def test_settings_come_back_and_impossible_ones_are_refused(store):
    wanted = Settings(
        time_zone="America/Chicago", week_hours=36.5, overtime_classes=("plain", "extra"), keep_days=90
    )
    planning(store).put_settings(wanted)
    assert query(store).settings() == wanted
    with pytest.raises(DeploymentError, match="time zone"):
        planning(store).put_settings(replace(wanted, time_zone="nowhere"))
    assert query(store).settings() == wanted


def test_planned_shift_comes_back_with_its_class_and_version(agency):
    warned = planning(agency).plan([shift()])
    assert warned == {"s1": []}
    view = query(agency).plan(MONDAY_US, MONDAY_US + DAY_US)
    assert view.shifts == (replace(shift(), overtime_class="regular", version=1),)
    assert view.conflicts == {}


def test_plan_without_a_purpose_shows_and_changes_nothing(agency):
    nobody = Asker("clerk")
    for ask in (
        lambda: query(agency, nobody).plan(0, NOW_US),
        lambda: query(agency, nobody).hours(0, NOW_US),
        lambda: query(agency, nobody).people(),
        lambda: query(agency, nobody).where("unit-07", MONDAY_US, NOW_US),
        lambda: planning(agency, nobody).plan([shift()]),
        lambda: planning(agency, nobody).roster(0, NOW_US),
    ):
        with pytest.raises(PurposeError):
            ask()
    assert query(agency).plan(0, NOW_US).shifts == ()


def test_every_question_and_command_is_in_the_trail_with_its_purpose(agency):
    planning(agency).plan([shift()])
    query(agency).plan(MONDAY_US, NOW_US)
    query(agency).hours(MONDAY_US, NOW_US)
    rows = [row for row in agency.audit_trail() if row.what in {"plan shifts", "show plan", "show hours"}]
    assert [row.what for row in rows] == ["plan shifts", "show plan", "show hours"]
    assert {(row.who, row.purpose) for row in rows} == {("sergeant", "planning week 22")}


def test_officer_in_two_vehicles_is_refused_and_nothing_is_planned(agency):
    planning(agency).plan([shift()])
    with pytest.raises(PlanConflictError, match="s2: 4711 would be in unit-07 and unit-08 at once"):
        planning(agency).plan([shift("s3", badge="4712"), shift("s2", first_h=15, vehicle="unit-08")])
    assert [one.id for one in query(agency).plan(0, NOW_US).shifts] == ["s1"]


def test_shifts_of_one_request_are_compared_with_each_other(agency):
    with pytest.raises(PlanConflictError, match="at the same time"):
        planning(agency).plan([shift("a"), shift("b")])


def test_change_made_from_an_old_version_is_refused(agency):
    planning(agency).plan([shift()])
    planning(agency).plan([shift(version=1, note="first")])
    with pytest.raises(PlanConflictError, match="changed by somebody else"):
        planning(agency).plan([shift(version=1, note="second")])
    with pytest.raises(PlanConflictError, match="changed by somebody else"):
        planning(agency).cancel("s1", version=1)
    assert query(agency).plan(0, NOW_US).shifts[0].note == "first"


def test_cancelled_shift_stays_visible_and_is_in_no_conflict(agency):
    planning(agency).plan([shift()])
    planning(agency).cancel("s1")
    planning(agency).plan([shift("s2")])
    assert [(one.id, one.cancelled) for one in query(agency).plan(0, NOW_US).shifts] == [
        ("s1", True),
        ("s2", False),
    ]


def test_reassigned_shift_keeps_what_was_before(agency):
    planning(agency).plan([shift()])
    noon = MONDAY_US + 12 * H_US
    planning(agency).reassign("s1", Assignment(noon, "river", "cp-1", "checkpoint", "unit-08"))
    (one,) = query(agency).plan(0, NOW_US).shifts
    assert [(a.from_us, a.zone) for a in one.assignments] == [(one.starts_us, "north"), (noon, "river")]
    assert one.at(noon - 1).vehicle == "unit-07"
    with pytest.raises(DeploymentError, match="begins later"):
        planning(agency).reassign("s1", Assignment(one.starts_us - 1, "river"))


def test_what_a_coming_shift_needs_is_not_deleted(agency):
    planning(agency).plan([shift(day=5)])
    for kind, name in (("zone", "north"), ("person", "4711"), ("vehicle", "unit-07"), ("equipment", "rifle-3")):
        with pytest.raises(DeploymentError, match="needed by the shift s1"):
            planning(agency).drop(kind, name)
    assert planning(agency).drop("zone", "river")
    assert not planning(agency).drop("zone", "river")


def test_pin_stays_and_is_never_shown(agency):
    pin = "$argon2id$v=19$m=65536,t=3,p=4$ZXhhbXBsZS1zYWx0LTE$kTL8jHXjeR9gXoJmC7pOmbHzzQbDFN4YJ2S1Q0h7m4s"
    planning(agency).put_people([Person("4711", "A. Example", pin=pin)])
    planning(agency).put_people([Person("4711", "Anna Example")])
    assert query(agency).people().people[0] == Person("4711", "Anna Example", pin="set")
    assert query(agency).plan(0, 1).resources.people[0].pin is None
    roster, _ = planning(agency).roster(0, NOW_US)
    assert roster.officers[0].pin == pin


def test_signed_roster_is_offered_once_and_an_older_one_is_refused(agency, tmp_path):
    planning(agency).plan([shift(day=4)])
    roster, version = planning(agency).roster(NOW_US, NOW_US + 7 * DAY_US)
    assert ([one.id for one in roster.shifts], version) == (["s1"], 1)
    key = SigningKey.generate()
    header = roster_header(roster, id="roster", version=version, as_of_s=NOW_US // 1_000_000)
    file = tmp_path / "roster.signed"
    file.write_bytes(sign_roster(roster, header, key))
    planning(agency).offer_roster(file, [key.public], ["unit-07", "unit-08"])
    assert {offer.unit for offer in agency.offers()} == {"unit-07", "unit-08"}
    assert planning(agency).roster(0, NOW_US)[1] == 2
    with pytest.raises(SignedFileError):
        planning(agency).offer_roster(file, [key.public], ["unit-07"])
    with pytest.raises(SignedFileError):
        planning(agency).offer_roster(file, [SigningKey.generate().public], ["unit-07"])


def told(seq, body, unit="unit-07"):
    return make_record(body, seq=seq, unit=unit)


def worked(shift_id=b"w" * 16, *, started_us, worked_s, revision=2, **other):
    at_us = started_us + worked_s * 1_000_000
    values = {"utc_us": at_us, "started_us": started_us, "worked_s": worked_s, "revision": revision}
    return make_shift(shift_id=shift_id, planned_us=None, overlaps=(), **{**values, **other})


def test_hours_compare_the_plan_with_what_units_told(agency):
    planning(agency).plan([shift(), shift("s2", badge="4712", day=1), shift("s3", badge="4712", day=6)])
    came = MONDAY_US + 6 * H_US - 300_000_000
    record = worked(
        started_us=came,
        worked_s=36_900,
        planned_id="s1",
        overtime_s=900,
        hours=(("patrol", 28_800, 30_000), ("break", None, 6_900)),
    )
    add(agency, told(2, record), now_us=NOW_US)
    extra = worked(
        b"x" * 16, started_us=MONDAY_US + DAY_US, worked_s=3_600, planned_id="", overtime_s=None, hours=()
    )
    add(agency, told(3, extra), now_us=NOW_US)
    rows = {row.name: row for row in query(agency).hours(MONDAY_US, MONDAY_US + 7 * DAY_US)}
    one, two = rows["4711"], rows["4712"]
    assert (one.planned, one.worked, one.missed, one.unplanned) == (1, 2, 0, 1)
    assert (one.planned_s, one.actual_s, one.overtime_s) == (36_000, 40_500, 900)
    assert one.activities == {"patrol": (28_800, 30_000), "report": (3_600, 0), "break": (0, 6_900)}
    # The one on Tuesday has ended and nobody came; the one on Sunday is still to come.
    assert (two.planned, two.worked, two.missed) == (2, 0, 1)


def test_highest_revision_counts_in_any_order_and_twice(agency):
    start = MONDAY_US + 6 * H_US
    late = told(9, worked(started_us=start, worked_s=7_200, revision=5, hours=()))
    early = told(8, worked(started_us=start, worked_s=60, revision=1, stage=ShiftStage.STARTED, hours=()))
    add(agency, late, now_us=NOW_US)
    assert query(agency).hours(MONDAY_US, NOW_US)[0].actual_s == 7_200
    add(agency, early, late, now_us=NOW_US + 1)
    assert query(agency).hours(MONDAY_US, NOW_US)[0].actual_s == 7_200


def test_shift_that_began_before_midnight_counts_with_its_plan(agency):
    """Planned for Tuesday 00:00, the officer came five minutes early."""
    planning(agency).plan([shift(day=1, first_h=0)])
    start = MONDAY_US + DAY_US - 300_000_000
    add(agency, told(2, worked(started_us=start, worked_s=36_300, planned_id="s1", hours=())), now_us=NOW_US)
    tuesday = (MONDAY_US + DAY_US, MONDAY_US + 2 * DAY_US)
    (row,) = query(agency).hours(*tuesday, HoursBy.DAY)
    assert (row.name, row.planned, row.worked) == ("2026-05-26", 1, 1)
    assert query(agency).hours(MONDAY_US, MONDAY_US + DAY_US) == []


def coverage(number, ends_us, zones=(("north", 1_500, 90_000, 31),), **other):
    return make_coverage(period_id=number.to_bytes(16, "big"), utc_us=ends_us, zones=zones, **other)


def test_coverage_counts_each_period_once(agency):
    first = told(1, coverage(1, MONDAY_US + H_US))
    add(agency, first, told(2, coverage(2, MONDAY_US + H_US + 1)), now_us=NOW_US)
    again = told(3, coverage(1, MONDAY_US + H_US))
    assert query(agency).coverage(MONDAY_US, NOW_US)[1].reads == 62
    add(agency, again, now_us=NOW_US + 1)
    rows = {row.name: row for row in query(agency).coverage(MONDAY_US, NOW_US)}
    assert (rows["north"].reads, rows["north"].located_ms, rows["north"].distance_m) == (62, 180_000, 3_000)
    assert (rows["*"].periods, rows["*"].unlocated_ms) == (2, 42_000)
    assert rows["*"].reads == 2 * (31 + 1)
    # The period that ended on the hour belongs to the hour before.
    assert [row.name for row in query(agency).coverage(MONDAY_US, MONDAY_US + H_US, "hour")] == [str(MONDAY_US)]


def test_coverage_by_unit_and_day_in_the_agencys_time_zone(agency):
    planning(agency).put_settings(Settings(time_zone="America/Chicago"))
    add(agency, told(1, coverage(1, MONDAY_US + 2 * H_US)), now_us=NOW_US)
    add(agency, told(1, coverage(2, MONDAY_US + 12 * H_US), "unit-08"), now_us=NOW_US)
    assert [row.name for row in query(agency).coverage(0, NOW_US, "day")] == ["2026-05-24", "2026-05-25"]
    assert [row.name for row in query(agency).coverage(0, NOW_US, "unit")] == ["unit-07", "unit-08"]


def test_account_of_some_units_sees_their_coverage_alone(agency):
    add(agency, told(1, coverage(1, MONDAY_US)), now_us=NOW_US)
    add(agency, told(1, coverage(2, MONDAY_US), "unit-08"), now_us=NOW_US)
    few = Asker("sergeant", "why", scope=Scope(units=frozenset({"unit-08"})))
    assert [row.name for row in query(agency, few).coverage(0, NOW_US, "unit")] == ["unit-08"]
    with pytest.raises(ScopeError):
        query(agency, few).hours(0, NOW_US)
    other = Asker("sergeant", "why", scope=Scope(agencies=frozenset({"Other"})))
    assert query(agency, other).coverage(0, NOW_US) == []
    assert query(agency, other).incidents(0, NOW_US).rows == ()
    with pytest.raises(ScopeError):
        query(agency, other).where("unit-08", MONDAY_US, NOW_US)


def test_account_of_some_units_changes_no_plan_and_sees_no_people(agency):
    few = Asker("sergeant", "why", "26-1", scope=Scope(units=frozenset({"unit-08"})))
    planning(agency).plan([shift()])
    does = planning(agency, few)
    for act in (
        lambda: does.plan([shift("s2", day=1)]),
        lambda: does.cancel("s1"),
        lambda: does.reassign("s1", shift().assignments[0]),
        lambda: does.put_people([Person("4711", "Other", account="sergeant")]),
        lambda: does.put_zones([NORTH]),
        lambda: does.put_checkpoint(Checkpoint("cp-1", "Other", 0, 0)),
        lambda: does.put_asset(Asset("unit-07", "vehicle", unit="unit-08")),
        lambda: does.drop("checkpoint", "cp-1"),
        lambda: does.put_settings(Settings()),
        lambda: does.roster(0, NOW_US),
        lambda: query(agency, few).people(),
    ):
        with pytest.raises(ScopeError):
            act()
    assert not agency.deployment.shift("s1").cancelled
    assert {one.name for one in query(agency).people().people} == {"A. Example", "B. Example"}


def test_time_after_its_receipt_is_not_believed(agency):
    """A unit whose clock is a year ahead: its period counts when it came."""
    add(agency, told(1, coverage(1, NOW_US + 365 * DAY_US)), now_us=NOW_US)
    assert [row.reads for row in query(agency).coverage(NOW_US - H_US, NOW_US, "unit")] == [32]


def test_period_without_a_time_counts_when_it_came(agency):
    none = TimeQuality(source=TimeSource.NONE, uncertainty_ms=None)
    add(agency, told(1, coverage(1, None, time=none)), now_us=NOW_US)
    assert [row.reads for row in query(agency).coverage(NOW_US - H_US, NOW_US, "unit")] == [32]


def incident(number=1, at_us=MONDAY_US + H_US, **other):
    values = {"incident_id": number.to_bytes(16, "big"), "utc_us": at_us, "hits": ()}
    return make_incident(**{**values, **other})


def test_incidents_are_counted_with_none_and_unknown_as_answers(agency):
    bodies = (
        incident(1),
        incident(2, outcome="none", contribution="none", category="other"),
        incident(3, outcome="unknown", contribution="unknown"),
        incident(4, outcome="", contribution="", stage=IncidentStage.UNANSWERED),
    )
    add(agency, *(told(n, body) for n, body in enumerate(bodies, 1)), now_us=NOW_US)
    report = query(agency).incidents(MONDAY_US, NOW_US)
    assert report.counts.total == 4
    assert report.counts.by_outcome == {"(no answer)": 1, "none": 1, "recovered": 1, "unknown": 1}
    assert (report.counts.assisted, report.counts.answered) == (1, 3)
    assert report.counts.by_zone == {"north": 4, "river": 4}
    assert report.days == {"2026-05-25": 4}
    assert sum(cell.count for cell in report.cells) == 4
    assert [row.incident_id[-1] for row in query(agency).incidents(0, NOW_US, outcome="none").rows] == [2]
    assert query(agency).incidents(0, NOW_US, zone="nowhere").rows == ()


@pytest.mark.parametrize("together", [True, False])
def test_another_unit_that_knows_an_id_changes_neither_shift_nor_incident(agency, together):
    """Ids are no secret at the station; with a higher revision the rows would be another agency's."""
    start = MONDAY_US + 6 * H_US
    own = [told(1, incident(1)), told(2, worked(started_us=start, worked_s=7_200, revision=2, hours=()))]
    forged = [
        told(1, incident(1, revision=99, category="other", outcome="none"), unit="unit-66"),
        told(2, worked(started_us=start, worked_s=60, revision=99, hours=()), unit="unit-66"),
    ]
    for records in [own + forged] if together else [own, forged]:
        add(agency, *records, now_us=NOW_US)
        report, hours = query(agency).incidents(0, NOW_US), query(agency).hours(MONDAY_US, NOW_US)
    assert [(row.unit, row.category, row.outcome) for row in report.rows] == [
        ("unit-07", "stolen-vehicle", "recovered")
    ]
    assert [row.actual_s for row in hours] == [7_200]


def test_shifts_are_told_of_each_unit_by_itself(agency):
    start = MONDAY_US + 6 * H_US
    for n, (unit, worked_s) in enumerate((("unit-07", 7_200), ("unit-66", 60)), 1):
        shift_of = worked(started_us=start, worked_s=worked_s, revision=n, hours=())
        driven = coverage(1, start + H_US, shift_id=b"w" * 16, distance_m=n)
        add(agency, told(1, shift_of, unit=unit), told(2, driven, unit=unit), now_us=NOW_US)
    rows = ShiftsOf(query(agency)).shifts()
    assert [(row.unit, row.shift.worked_s, row.distance_m) for row in rows] == [
        ("unit-07", 7_200, 1), ("unit-66", 60, 2),
    ]  # fmt: skip


def test_deleted_read_stays_a_reference_that_says_so(agency):
    read = make_read_record(7, seq=7)
    name = read.envelope.record_id
    add(agency, read, told(8, incident(1, reads=(name, b"?" * 16))), now_us=MONDAY_US)
    detail = query(agency).incident((1).to_bytes(16, "big"))
    assert [(link.state, link.record is None) for link in detail.links] == [
        ("here", False),
        ("not received", True),
    ]
    Commands(agency, WHY, lambda: NOW_US).purge(1, retention="nonhit")
    detail = query(agency).incident((1).to_bytes(16, "big"))
    assert [link.state for link in detail.links] == ["deleted", "not received"]
    assert detail.body.notes == ("Vehicle found parked.", "Owner informed.")


def test_a_record_of_another_type_is_no_read_of_an_incident(agency):
    """What a unit names as a read may be anything that it has sent."""
    other = told(7, coverage(1, MONDAY_US))
    add(agency, other, told(8, incident(1, reads=(other.envelope.record_id,))), now_us=MONDAY_US)
    (link,) = query(agency).incident((1).to_bytes(16, "big")).links
    assert (link.state, link.record) == ("not received", None)


def test_a_unit_changes_neither_shift_nor_incident_of_another_one(agency):
    """It names their ids and the highest revision, in the same group of records and later."""
    own = [worked(started_us=MONDAY_US, worked_s=60, hours=(), badge="4711"), incident(1, case_number="26-1")]
    hostile = [
        worked(started_us=MONDAY_US, worked_s=9, hours=(), badge="666", revision=U16_MAX),
        incident(1, case_number="none", revision=U16_MAX),
    ]
    for first, later in ((1, 5), (5, 1)):
        add(agency, *(told(n, body) for n, body in enumerate(own, first)), now_us=MONDAY_US + first)
        forged = [make_record(body, seq=n, unit="unit-08") for n, body in enumerate(hostile, later)]
        add(agency, *forged, now_us=MONDAY_US + 3)
        assert [row.name for row in query(agency).hours(0, NOW_US)] == ["4711"]
        (row,) = query(agency).incidents(0, NOW_US).rows
        assert (row.unit, row.case_number) == ("unit-07", "26-1")


@pytest.mark.parametrize("utc_us", [MONDAY_US, I63_MAX])
def test_times_of_a_hostile_unit_stay_in_the_calendar(agency, utc_us):
    """A period that began before there were years, and one that has not come yet."""
    endless = coverage(1, utc_us, mono_first_us=0, mono_us=I63_MAX)
    add(agency, told(1, endless), told(2, make_track_points(utc_us=I63_MAX)), now_us=MONDAY_US + 1)
    stays = query(agency).where("unit-07", MONDAY_US - DAY_US, NOW_US)
    assert {stay.kind for stay in stays} == {"coverage", "position"}
    assert all(0 <= stay.from_us <= NOW_US and 0 <= stay.until_us <= NOW_US for stay in stays)


def test_where_a_unit_was_says_what_is_assigned_measured_and_tracked(agency):
    planning(agency).plan([shift()])
    noon = MONDAY_US + 12 * H_US
    planning(agency).reassign("s1", Assignment(noon, "river", "", "patrol", "unit-07"))
    start = MONDAY_US + 6 * H_US
    add(
        agency,
        told(1, worked(started_us=start, worked_s=36_000, planned_id="s1", hours=())),
        told(2, coverage(1, noon)),
        told(3, make_track_points(utc_us=noon)),
        now_us=NOW_US,
    )
    stays = query(agency).where("unit-07", MONDAY_US, NOW_US)
    assigned = [(stay.zones, stay.badge) for stay in stays if stay.kind == "shift"]
    assert assigned == [(("north",), "4711"), (("river",), "4711")]
    assert [stay.minutes for stay in stays if stay.kind == "coverage"] == [(("north", 1.5),)]
    assert len([stay for stay in stays if stay.kind == "position"]) == 2
    with pytest.raises(DeploymentError, match="seven days"):
        query(agency).where("unit-07", 0, NOW_US)


@pytest.mark.slow
def test_records_are_taken_over_in_parts_though_all_came_at_one_moment(agency, monkeypatch):
    """A unit that was away for weeks sends more at once than one part has."""
    monkeypatch.setattr("station.query.take_over.GROUP", 5)
    sent = [told(number, coverage(number, MONDAY_US + number * 60_000_000)) for number in range(1, 25)]
    add(agency, *sent[:12], now_us=NOW_US)
    add(agency, *sent[12:], now_us=NOW_US + 1)
    assert [take_over(agency, most=4) for _ in range(4)] == [5, 20, 24, 24]
    rows = agency.deployment.coverage(MONDAY_US, MONDAY_US + DAY_US, "zone", scope=EVERYTHING)
    assert {row.name: row.reads for row in rows}["north"] == 24 * 31


@pytest.mark.parametrize("wrong_us", [-900 * DAY_US, 4_000 * DAY_US])
def test_what_came_before_or_after_a_clock_was_set_is_taken_over(agency, wrong_us):
    """A station that started with a wrong date stores what comes in the meantime with times of that date."""
    begun = NOW_US if wrong_us < 0 else NOW_US + wrong_us
    then = NOW_US + wrong_us if wrong_us < 0 else NOW_US
    add(agency, told(1, coverage(1, MONDAY_US)), told(2, incident(1)), now_us=begun)
    take_over(agency)
    add(agency, told(3, coverage(2, MONDAY_US)), told(4, incident(2)), now_us=then + DAY_US)
    take_over(agency)
    add(agency, told(5, coverage(3, MONDAY_US)), told(6, incident(3)), now_us=NOW_US + 2 * DAY_US)
    take_over(agency)
    rows = agency.deployment.coverage(0, 2 * begun, "unit", scope=EVERYTHING)
    assert sum(row.reads for row in rows) == 3 * (31 + 1)
    assert len(agency.deployment.incidents(0, 2 * begun)) == 3


def test_what_comes_with_an_earlier_time_during_a_take_over_is_not_passed_over(agency, monkeypatch):
    add(agency, told(1, coverage(1, MONDAY_US)), now_us=NOW_US)
    take_over(agency)
    add(agency, told(3, coverage(3, MONDAY_US)), now_us=NOW_US + H_US)
    keep = agency.deployment.add_coverage

    def keep_while_more_comes(periods):
        monkeypatch.setattr(agency.deployment, "add_coverage", keep)
        agency.add_records([NewRecord(told(2, coverage(2, MONDAY_US)))], NOW_US - DAY_US)
        return keep(periods)

    monkeypatch.setattr(agency.deployment, "add_coverage", keep_while_more_comes)
    take_over(agency)
    take_over(agency)
    rows = agency.deployment.coverage(MONDAY_US - DAY_US, NOW_US, "unit", scope=EVERYTHING)
    assert sum(row.reads for row in rows) == 3 * (31 + 1)


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE {}worked SET worked_s = 36000 WHERE unit = 'unit-07'", ["hours or incidents: worked_s"]),
        ("UPDATE {}worked SET badge = '4712' WHERE unit = 'unit-07'", ["hours or incidents: badge"]),
        (
            "UPDATE {}incidents SET outcome = 'recovered', lat_e7 = 1 WHERE unit = 'unit-07'",
            ["hours or incidents: lat_e7, outcome"],
        ),
        ("DELETE FROM {}worked WHERE unit = 'unit-07'", ["removed from the hours or incidents"]),
        ("DELETE FROM {}incidents WHERE unit = 'unit-07'", ["removed from the hours or incidents"]),
        (
            "UPDATE {0}worked SET shift_id = i.incident_id FROM {0}incidents i WHERE i.unit <> {0}worked.unit",
            ["removed from the hours or incidents", *["in the hours or incidents without a record"] * 2],
        ),
    ],
)
def test_hours_and_incidents_are_compared_with_their_records(agency, statement, what):
    """Overtime is paid by them."""
    bodies = (worked(started_us=MONDAY_US, worked_s=60, hours=()), incident(1, outcome="none"))
    add(agency, *(told(n, body) for n, body in enumerate(bodies, 1)), now_us=NOW_US)
    # What came last is taken over again.
    later = (bodies[0].model_copy(update={"shift_id": bytes(16)}), incident(2))
    add(agency, *(make_record(b, seq=n, unit="unit-08") for n, b in enumerate(later, 1)), now_us=NOW_US + H_US)
    assert list(taken_over_faults(agency)) == []
    prefix = "deployment_" if agency.db.is_sqlite else "deployment."
    with agency.transaction():
        agency.db.driver_sql(statement.format(prefix))
    assert [fault.what for fault in taken_over_faults(agency)] == what


def test_two_records_of_a_unit_with_one_revision_are_no_fault(agency):
    """The unit is at fault, not the station."""
    bodies = [worked(started_us=MONDAY_US, worked_s=seconds, hours=()) for seconds in (60, 120)]
    bodies += [incident(1, outcome=outcome) for outcome in ("none", "unknown")]
    add(agency, *(told(n, body) for n, body in enumerate(bodies, 1)), now_us=NOW_US)
    assert list(taken_over_faults(agency)) == []


def test_purged_hours_are_no_fault(agency):
    add(agency, told(1, worked(started_us=MONDAY_US, worked_s=60, hours=())), told(2, incident(1)), now_us=NOW_US)
    planning(agency).put_settings(Settings(keep_days=20))
    take_over(agency)
    planning(agency, now_us=NOW_US + 60 * DAY_US).purge_plans()
    assert list(taken_over_faults(agency)) == []
    Commands(agency, WHY, lambda: NOW_US + 60 * DAY_US).purge(30)
    assert list(taken_over_faults(agency)) == []


def test_purge_of_a_class_deletes_what_was_taken_over_from_it(agency):
    add(agency, told(1, worked(started_us=MONDAY_US, worked_s=60, hours=())), told(2, incident(1)), now_us=NOW_US)
    assert len(query(agency).hours(0, NOW_US)) == 1
    Commands(agency, WHY, lambda: NOW_US + 60 * DAY_US).purge(30, retention="shift")
    assert query(agency).hours(0, NOW_US) == []
    assert len(query(agency).incidents(0, NOW_US).rows) == 1
    Commands(agency, WHY, lambda: NOW_US + 60 * DAY_US).purge(30)
    assert query(agency).incidents(0, NOW_US).rows == ()


@pytest.mark.slow
@pytest.mark.parametrize("scope", [{"unit": "unit-07"}, {"ids": True}])
def test_hours_and_incidents_stay_as_long_as_a_hold_keeps_their_records(agency, scope):
    """Through purges of records and of plans, in any number; those of another unit go."""
    planning(agency).put_settings(Settings(keep_days=20))
    held = (told(1, worked(started_us=MONDAY_US, worked_s=60, hours=())), told(2, incident(1)))
    others = [
        make_record(worked(b"y" * 16, started_us=MONDAY_US, worked_s=70, hours=()), seq=3, unit="unit-08"),
        make_record(incident(2), seq=4, unit="unit-08"),
    ]
    add(agency, *held, *others, now_us=NOW_US)
    if "ids" in scope:
        scope = {"ids": [record.envelope.record_id.hex() for record in held]}
    clerk = Asker("clerk", "court order", "26-1")
    HoldDesk(agency, clerk, lambda: NOW_US).place(hold_scope(**scope), case_number="26-1", reason="appeal")

    def shown():
        rows = query(agency).incidents(0, NOW_US).rows
        return [one.actual_s for one in query(agency).hours(0, NOW_US)], {row.unit for row in rows}

    assert shown() == ([130], {"unit-07", "unit-08"})
    for days in (60, 61, 62):
        later_us = NOW_US + days * DAY_US
        Commands(agency, WHY, lambda: later_us).purge(30)  # noqa: B023 - used at once
        assert shown() == ([60], {"unit-07"})
        planning(agency, now_us=later_us).purge_plans()
        assert shown() == ([60], {"unit-07"})
    HoldDesk(agency, clerk, lambda: later_us).release(1, case_number="26-1", reason="closed")
    Commands(agency, WHY, lambda: later_us).purge(30)
    assert shown() == ([], set())


def test_hours_of_a_released_hold_end_with_the_plans(agency):
    """Also while their record stays for longer; what came after the hold was placed is kept by it, too."""
    planning(agency).put_settings(Settings(keep_days=20))
    clerk = Asker("clerk", "court order", "26-1")
    desk = HoldDesk(agency, clerk, lambda: NOW_US)
    desk.place(hold_scope(unit="unit-07"), case_number="26-1", reason="appeal")
    add(agency, told(1, worked(started_us=MONDAY_US, worked_s=60, hours=())), now_us=NOW_US)
    assert len(query(agency).hours(0, NOW_US)) == 1
    later_us = NOW_US + 60 * DAY_US
    retention = Retention(agency, (), lambda: later_us, lambda: 0.0)
    add(agency, make_read_record(9, seq=9, utc_us=later_us), now_us=later_us)
    retention.step()
    assert len(query(agency).hours(0, NOW_US)) == 1
    desk.release(1, case_number="26-1", reason="closed")
    planning(agency, now_us=later_us).purge_plans()
    assert query(agency).hours(0, NOW_US) == []
    assert len(agency.latest("shift/1")) == 1


def test_plans_have_a_retention_of_their_own(agency):
    planning(agency).put_settings(Settings(keep_days=30))
    planning(agency).plan([shift(), shift("s2", badge="4712", day=40)])
    add(agency, told(1, coverage(1, MONDAY_US + H_US)), now_us=NOW_US)
    query(agency).coverage(0, NOW_US)
    later = MONDAY_US + 33 * DAY_US
    assert planning(agency, now_us=later).purge_plans() == 4  # a shift, a period, and the sums of zone and unit
    kept = {row.kind: row.rows for row in query(agency).kept()}
    assert (kept["shifts"], kept["coverage"], kept["people"]) == (1, 0, 2)
    # What was deleted does not come back from the records.
    assert query(agency).coverage(0, NOW_US) == []


@pytest.mark.integration
def test_file_that_moves_to_postgresql_takes_its_deployment_along(tmp_path, postgres):
    file = open_store(tmp_path / "station.db")
    planning(file).put_people([Person("4711", "A. Example")])
    planning(file).put_zones([NORTH, RIVER])
    planning(file).put_asset(Asset("unit-07", "vehicle", unit="unit-07"))
    planning(file).plan([shift(assignments=(Assignment(shift().starts_us, "north", vehicle="unit-07"),))])
    add(file, told(1, coverage(1, MONDAY_US + H_US)), told(2, incident(1)), now_us=NOW_US)
    before = (query(file).plan(0, NOW_US), query(file).coverage(0, NOW_US), query(file).incidents(0, NOW_US))
    file.close()
    address = postgres.new_database()
    move_store(tmp_path / "station.db", address, AuditRow(NOW_US, "clerk", "migrate", "", 0))
    moved = open_store(address)
    assert (
        query(moved).plan(0, NOW_US),
        query(moved).coverage(0, NOW_US),
        query(moved).incidents(0, NOW_US),
    ) == before
    assert planning(moved).purge_plans() >= 0
    moved.close()
